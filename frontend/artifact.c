/* artifact: a traced module as NAME.o and NAME.h: the same pipeline and lowering as the JIT, without BLAS and threads, with the values of
 * variables and captured tensors as data of the object. Never runs what it makes. */
#include "artifact.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "../passes/pass.h"

/* ---- data blocks ------------------------------------------------------------------------------------------------- */
/* Places the inputs of one kind one after the other, each aligned; returns the block's size. */
static int64_t place_block(Artifact *a, const Program *p, PlaceKind kind)
{
    int64_t at = 0;
    for (uint32_t i = 0; i < p->ninput; i++)
        if (a->input[i].kind == kind) {
            a->input[i].offset = at;
            at = artifact_align(at + p->buf.at[i].bytes);
        }
    return at;
}

static char *fill_block(const Artifact *a, const Program *p, PlaceKind kind, int64_t bytes)
{
    char *block = arena_zeros(a->arena, bytes > 0 ? (size_t)bytes : 1, 1);
    for (uint32_t i = 0; i < p->ninput; i++)
        if (a->input[i].kind == kind && p->buf.at[i].bytes)
            memcpy(block + a->input[i].offset, a->input[i].bytes, (size_t)p->buf.at[i].bytes);
    return block;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */
static bool write_temporary(const char *path, const void *bytes, size_t len, Status *st)
{
    FILE *f = fopen(path, "wb");
    if (!f) return status_fail(st, ST_IO, "aot: cannot write %s: %s", path, strerror(errno));
    bool ok = fwrite(bytes, 1, len, f) == len;
    ok = fclose(f) == 0 && ok;
    if (!ok) {
        status_fail(st, ST_IO, "aot: writing %s: %s", path, strerror(errno));
        remove(path);
    }
    return ok;
}

static bool write_pair(
    const char *path, const void *object, size_t object_len, const Text *header, Status *st)
{
    char o[1024], h[1024], o_new[1040], h_new[1040];
    if (snprintf(o, sizeof o, "%s.o", path) >= (int)sizeof o)
        return status_fail(st, ST_VALUE, "aot: the path is too long");
    snprintf(h, sizeof h, "%s.h", path);
    snprintf(o_new, sizeof o_new, "%s.%d", o, (int)getpid());
    snprintf(h_new, sizeof h_new, "%s.%d", h, (int)getpid());
    if (!write_temporary(o_new, object, object_len, st)) return false;
    if (!write_temporary(h_new, header->at, header->len, st)) {
        remove(o_new);
        return false;
    }
    if (rename(o_new, o) || rename(h_new, h)) {
        status_fail(st, ST_IO, "aot: cannot rename onto %s: %s", o, strerror(errno));
        remove(o_new);
        remove(h_new);
        return false;
    }
    return true;
}

/* ---- compiling -------------------------------------------------------------------------------------------------------- */
/* The header declares functions of that name in C and C++. */
static bool is_keyword(const char *name)
{
    static const char words[] =
        " alignas alignof and asm auto bool break case catch char class const constexpr continue "
        "decltype default delete do double else enum explicit export extern false float for friend "
        "goto if inline int long main mutable namespace new noexcept not nullptr operator or "
        "private protected public register restrict return short signed sizeof static struct "
        "switch template this throw true try typedef typeid typename union unsigned using virtual "
        "void volatile while xor ";
    char spaced[160];
    snprintf(spaced, sizeof spaced, " %s ", name);
    return strstr(words, spaced) != NULL;
}

static bool symbol_from(
    const char *path, const kiln_aot_options *o, char *symbol, size_t cap, Status *st)
{
    const char *slash = strrchr(path, '/'), *name = o->symbol ? o->symbol
                                                    : slash   ? slash + 1
                                                              : path;
    size_t n = strlen(name);
    if (n == 0 || n >= cap)
        return status_fail(
            st, ST_VALUE, "aot: \"%s\" gives no symbol of 1 to %zu characters", name, cap - 1);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return status_fail(st, ST_VALUE, "aot: \"%s\" is no C identifier; give .symbol", name);
    if (isdigit((unsigned char)name[0]) || is_keyword(name))
        return status_fail(st, ST_VALUE, "aot: \"%s\" is no C identifier; give .symbol", name);
    memcpy(symbol, name, n + 1);
    return true;
}

typedef struct Pipe { /* the pass scratch has a border of its own */
    PassCtx ctx;
    Module *module;
    bool ok;
} Pipe;

static void pipe_body(void *arg)
{
    Pipe *p = arg;
    p->ok = pipeline_run(&p->ctx, p->module);
}

static void pipe_border(
    void *arg) /* the module's arena may run out as well: the scratch is freed all the same */
{
    Pipe *p = arg;
    arena_try(p->module->arena, p->ctx.st, pipe_body, p);
}

/* An object file has no program around it that it could call. */
static bool calls_nobody(const Module *m, Status *st)
{
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t j = 0; j < m->graph.at[i]->node.len; j++) {
            const Node *n = &m->graph.at[i]->node.at[j];
            if (n->op == OP_callback)
                return status_fail(st, ST_UNSUPPORTED,
                    "aot: the body calls C code (callback, %s:%d), which an object file cannot",
                    n->loc.file ? n->loc.file : "?", n->loc.line);
        }
    return true;
}

static Program *lower(Artifact *a, const Backend *backend, Status *st)
{
    Target target = {0};
    if (!calls_nobody(a->module, st) || !backend->target(&target, st)) return NULL;
    target.blas = target.threads = false;
    Arena scratch;
    arena_init(&scratch);
    Pipe pipe = {.ctx = {.scratch = &scratch, .target = &target, .st = st, .stop_after = -1},
        .module = a->module};
    bool ok = arena_try(&scratch, st, pipe_border, &pipe) && pipe.ok;
    arena_free(&scratch);
    LowerOptions o = {target, false};
    Program *p = ok ? program_lower(a->arena, a->module, &o, st) : NULL;
    if (p != NULL && p->nstack != 0) { /* there is no memory that grows */
        status_fail(st, ST_UNSUPPORTED,
            "aot: the gradient of a loop whose number of steps is known only when it runs: bound it "
            "(KILN_WHILE_AT_MOST, kiln_while_at_most), or give it a constant count");
        p = NULL;
    }
    return p;
}

typedef struct Sink { /* what is to be written beside the object, once it is there */
    const char *path;
    const Text *header;
    Status *st;
    bool ok;
} Sink;

static void write_artifact(void *user, const void *bytes, size_t len)
{
    Sink *s = user;
    s->ok = write_pair(s->path, bytes, len, s->header, s->st);
}

bool artifact_write(Artifact *a, const char *path, const kiln_aot_options *o, Status *st)
{
    char symbol[128], entry[160], sizes[160], initial[160], constants[160];
    const Backend *backend = backend_get("cpu", st);
    if (!symbol_from(path, o, symbol, sizeof symbol, st) || !backend) return false;
    if (!backend->object)
        return status_fail(st, ST_UNSUPPORTED, "aot: backend %s writes no objects", backend->name);
    Program *p = lower(a, backend, st);
    if (!p) return false;
    int64_t state = place_block(a, p, PLACE_STATE), constant = place_block(a, p, PLACE_CONSTANT);
    snprintf(entry, sizeof entry, "%s_entry", symbol);
    snprintf(sizes, sizeof sizes, "%s_sizes", symbol);
    snprintf(initial, sizeof initial, "%s_initial", symbol);
    snprintf(constants, sizeof constants, "%s_constants", symbol);
    ObjectData data[2] = {
        {initial, fill_block(a, p, PLACE_STATE, state), (size_t)state},
        {constants, fill_block(a, p, PLACE_CONSTANT, constant), (size_t)constant},
    };
    Text header = {0};
    artifact_header(&header, a, p, symbol, state, constant);
    int64_t work = artifact_workspace(p, a->noutput);
    bool ok = !header.failed || status_fail(st, ST_MEMORY, "aot: no memory for the header");
    if (ok && o->workspace_limit && work > o->workspace_limit)
        ok = status_fail(st, ST_VALUE, "aot: %s needs %lld bytes of workspace, the limit is %lld",
            symbol, (long long)work, (long long)o->workspace_limit);
    CompileOptions c = {.triple = o->triple, .cpu = o->cpu, .features = o->features};
    Sink sink = {path, &header, st, false};
    ok = ok && backend->object(p, &c, entry, sizes, data, 2, write_artifact, &sink, st) && sink.ok;
    text_free(&header);
    return ok;
}
