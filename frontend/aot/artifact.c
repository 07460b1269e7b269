/* artifact: a traced module as NAME.o and NAME.h: the same pipeline and lowering as the JIT, without the host's products and
 * threads, with the values of variables and captured tensors as data of the object. Never runs what it makes. */
#include "aot.h"

#include <stdio.h>

#include "../engine/file.h"
#include "append.h"

/* ---- data blocks ------------------------------------------------------------------------------------------------- */
/* Places the inputs of one kind one after the other, each aligned; returns the block's size. */
static int64_t place_block(Artifact *a, const Program *p, PlaceKind kind)
{
    int64_t at = 0;
    for (uint32_t i = 0; i < p->ninput; i++)
        if (a->input[i].kind == kind && !a->input[i].unread) {
            a->input[i].offset = at;
            at = artifact_align(at + p->buf.at[i].bytes);
        }
    return at;
}

static char *fill_block(const Artifact *a, const Program *p, PlaceKind kind, int64_t bytes, Status *st)
{
    char *block = arena_zeros(a->arena, bytes > 0 ? (size_t)bytes : 1, 1);
    for (uint32_t i = 0; i < p->ninput; i++)
        if (a->input[i].kind == kind && !a->input[i].unread && p->buf.at[i].bytes)
            if (!tensor_read(a->t, a->at, a->input[i].value, block + a->input[i].offset))
                status_fail(st, ST_DEVICE, "aot: an input's values could not be read");
    return block;
}

/* What fill_block would make, written piece by piece, so that it is never in memory as a whole. What fails is recorded where it
 * does.
 */
static bool write_block(const Artifact *a, const Program *p, PlaceKind kind, FileOut *f)
{
    static const char zeros[ARTIFACT_ALIGN];
    int64_t at = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < p->ninput; i++) {
        const int64_t bytes = p->buf.at[i].bytes;
        if (a->input[i].kind != kind || a->input[i].unread || bytes == 0) continue;
        kiln_scope scope = kiln_scope_open(a->t->k);
        kiln_tensor *x = tensor_host(a->t, a->at, a->input[i].value);
        x = tensor_ok(x) ? tensor_contiguous(a->t, a->at, x) : x;
        ok = tensor_ok(x) && file_write(f, zeros, (size_t)(a->input[i].offset - at)) && file_write(f, x->data, (size_t)bytes);
        at = a->input[i].offset + bytes;
        kiln_scope_close(&scope);
    }
    return ok && file_write(f, zeros, (size_t)(artifact_align(at) - at));
}

static bool begin_weights(const Artifact *a, const Program *p, const char *name, FileOut *f)
{
    if (!file_begin(f, a->t, a->at, "aot", name, NULL)) return false;
    if (write_block(a, p, PLACE_CONSTANT, f)) return true;
    file_abandon(f);
    return false;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */
typedef struct Sink { /* what is to be written beside the object, once it is there */
    const Artifact *a;
    const Program *p;
    const char *path, *symbol;
    const kiln_aot_options *o;
    int64_t state, constant;
    DeviceObject device;
    Append *append; /* blocks of data that follow the object: state, constants; NULL: it has them itself */
    Status *st;
    bool ok;
} Sink;

static bool write_object(const Sink *s, FileOut *f, const char *object, size_t len)
{
    static const char zeros[APPEND_ALIGN];
    const Append *x = s->append;
    if (!x) return file_write(f, object, len);
    return file_write(f, x->head, APPEND_HEAD) && file_write(f, object + APPEND_HEAD, len - APPEND_HEAD) &&
           file_write(f, zeros, x->before) && (x->bytes[0] == 0 || write_block(s->a, s->p, PLACE_STATE, f)) &&
           (x->bytes[1] == 0 || write_block(s->a, s->p, PLACE_CONSTANT, f)) && file_write(f, x->tail.at, x->tail.len);
}

/* Both files or neither; each grows under a temporary name that follows no link (io/file.c). Weights are written before either has
 * its name, so that a full disk leaves what was there. */
static bool write_whole(const Sink *s, const char *name[3], const void *object, size_t len, const Text *header)
{
    const Artifact *a = s->a;
    FileOut object_out, header_out, weights;
    if (a->weights && !begin_weights(a, s->p, name[2], &weights)) return false;
    bool begun = file_begin(&object_out, a->t, a->at, "aot", name[0], NULL);
    if (begun && !file_begin(&header_out, a->t, a->at, "aot", name[1], NULL)) {
        file_abandon(&object_out);
        begun = false;
    }
    bool ok = begun && write_object(s, &object_out, object, len) && file_write(&header_out, header->at, header->len);
    if (a->weights && ok)
        ok = file_commit(&weights);
    else if (a->weights)
        file_abandon(&weights);
    if (ok) return file_commit_pair(&object_out, &header_out);
    if (begun) {
        file_abandon(&object_out);
        file_abandon(&header_out);
    }
    return false;
}

/* What fails is recorded where it does. */
static bool write_pair(const Sink *s, const void *object, size_t len, const Text *header)
{
    static const char *const end[3] = {".o", ".h", ".weights"};
    Text text[3] = {{0}};
    const char *name[3];
    bool named = true;
    for (int i = 0; i < 3; i++) {
        text_printf(&text[i], "%s%s", s->path, end[i]);
        named = named && !text[i].failed;
        name[i] = text[i].at;
    }
    bool ok = named && (!s->append || append_to(s->append, object, len, s->st)) && write_whole(s, name, object, len, header);
    if (!named) status_fail(s->st, ST_MEMORY, "aot: no memory");
    if (!ok) status_fail(s->st, ST_IO, "aot: %s.o and %s.h could not be written", s->path, s->path);
    for (int i = 0; i < 3; i++) text_free(&text[i]);
    return ok;
}

/* ---- compiling -------------------------------------------------------------------------------------------------------- */
/* An object file has no program around it that it could call. */
static bool calls_nobody(const Module *m, Status *st)
{
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t j = 0; j < m->graph.at[i]->node.len; j++) {
            const Node *n = &m->graph.at[i]->node.at[j];
            if (n->op == OP_callback)
                return status_fail(st, ST_UNSUPPORTED,
                    "aot: the body calls C code (kiln_callback, %s:%d), which an object file cannot do",
                    n->loc.file ? n->loc.file : "?", n->loc.line);
            if (op_factors((Op)n->op))
                return status_fail(st, ST_UNSUPPORTED,
                    "aot: the body computes %s (%s:%d), which an object file, without %s, cannot do", op_def[n->op].name,
                    n->loc.file ? n->loc.file : "?", n->loc.line, op_by_lapack((Op)n->op) ? "LAPACK" : "a host's routines");
        }
    return true;
}

/* One vector a step, one loop for each kernel. No sum depends on it. */
static void make_small(Program *p)
{
    for (uint32_t i = 0; i < p->kernel.len; i++) p->kernel.at[i].unroll = MIN_OF(p->kernel.at[i].unroll, 1);
}

static Program *lower(Artifact *a, const DeviceTarget *on, bool small, Status *st)
{
    BuildOptions o = {.stop_after = -1};
    if (!calls_nobody(a->module, st) || !on->backend->target(on->there, &o.target, st)) return NULL;
    o.target.threads = false;
    if (small) o.target.past = o.target.turns = false;
    o.target.sums = a->sums;
    Program *p = module_to_program(a->module, a->arena, &o, st);
    if (p && p->nstack != 0) { /* there is no memory that grows */
        status_fail(st, ST_UNSUPPORTED,
            "aot: the gradient of a loop whose number of steps is known only when it runs: bound it "
            "(KILN_WHILE_AT_MOST, kiln_while_at_most), or give it a constant count");
        p = NULL;
    }
    if (p && small) make_small(p);
    return p;
}

static void write_artifact(void *user, const void *bytes, size_t len)
{
    Sink *s = user;
    Text header = {0};
    if (s->o->device)
        artifact_device_header(&header, s->a, s->p, s->symbol, s->state, s->constant, s->o->device, &s->device);
    else
        artifact_header(&header, s->a, s->p, s->symbol, s->state, s->constant);
    s->ok = header.failed ? status_fail(s->st, ST_MEMORY, "aot: no memory for the header") : write_pair(s, bytes, len, &header);
    text_free(&header);
}

/* Whose code the object has. An object for a device has the host's code of this machine. */
static bool find_target(const Artifact *a, const kiln_aot_options *o, DeviceTarget *on, Status *st)
{
    Status why = {0};
    if (!o->device) {
        on->backend = device_backend(HOST, st);
        return on->backend && (on->backend->object || status_fail(st, ST_UNSUPPORTED, "aot: backend %s does not write object files",
                                                          on->backend->name));
    }
    if (o->triple || o->cpu || o->features)
        return status_fail(
            st, ST_UNSUPPORTED, "aot: an object for a device is made for this machine: no .triple, .cpu or .features");
    if (o->small) return status_fail(st, ST_UNSUPPORTED, "aot: .small is for CPUs, not for .device = \"%.40s\"", o->device);
    return device_target(o->device, a->arena, on, &why) ||
           status_fail(st, why.code, "aot: .device = \"%.40s\": %s", o->device, why.text);
}

bool artifact_write(Artifact *a, const char *path, const kiln_aot_options *o, Status *st)
{
    char symbol[128], entry[160], sizes[160], initial[160], constants[160];
    DeviceTarget on = {0};
    if (!artifact_symbol(path, o, symbol, sizeof symbol, st) || !find_target(a, o, &on, st)) return false;
    Program *p = lower(a, &on, o->small, st);
    if (!p) return false;
    int64_t state = place_block(a, p, PLACE_STATE), constant = place_block(a, p, PLACE_CONSTANT);
    snprintf(entry, sizeof entry, "%s_entry", symbol);
    snprintf(sizes, sizeof sizes, "%s_sizes", symbol);
    snprintf(initial, sizeof initial, "%s_initial", symbol);
    snprintf(constants, sizeof constants, "%s_constants", symbol);
    a->about = o->about;
    a->weights = o->weights_file;
    if (a->weights && o->device) return status_fail(st, ST_UNSUPPORTED, "aot: weights in a file are for CPUs alone");
    const bool apart = !o->device && append_fits(o->triple);
    Append append = {.symbol = {initial, constants}};
    append.bytes[0] = apart ? (uint64_t)state : 0;
    append.bytes[1] = apart && !a->weights ? (uint64_t)constant : 0;
    ObjectData data[2] = {
        {initial, apart ? NULL : fill_block(a, p, PLACE_STATE, state, st), (size_t)state, false},
        {constants, apart || a->weights ? NULL : fill_block(a, p, PLACE_CONSTANT, constant, st), a->weights ? 0 : (size_t)constant,
            true},
    };
    int64_t work = artifact_workspace(p, a->noutput) + (o->device ? artifact_dims(p) + on.backend->meeting(p) : 0);
    bool ok = !st->code;
    if (ok && o->workspace_limit && work > o->workspace_limit)
        ok = status_fail(st, ST_VALUE, "aot: %s needs %lld bytes of workspace, the limit is %lld", symbol, (long long)work,
            (long long)o->workspace_limit);
    CompileOptions c = {.there = on.there, .triple = o->triple, .cpu = o->cpu, .features = o->features, .store = a->t->k->store};
    Sink sink = {.a = a, .p = p, .path = path, .symbol = symbol, .o = o, .state = state, .constant = constant, .st = st};
    if (append.bytes[0] + append.bytes[1] != 0) sink.append = &append;
    if (!ok) return false;
    if (o->device) return on.backend->device_object(p, &c, symbol, data, 2, &sink.device, write_artifact, &sink, st) && sink.ok;
    ok = on.backend->object(p, &c, entry, sizes, data, apart ? 0 : 2, write_artifact, &sink, st) && sink.ok;
    text_free(&append.tail);
    return ok;
}
