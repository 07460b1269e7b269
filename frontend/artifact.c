/* artifact: a traced module as NAME.o and NAME.h: the same pipeline and lowering as the JIT, without BLAS and threads, with the values of
 * variables and captured tensors as data of the object. Never runs what it makes. */
#include "artifact.h"

#include <stdio.h>

#include "../passes/pass.h"
#include "io/file.h"

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
/* Both files or neither; each grows under a temporary name that follows no link (io/file.c). */
static bool write_whole(const Artifact *a, const char *o, const char *h, const void *object, size_t len, const Text *header)
{
    FileOut object_out, header_out;
    if (!file_begin(&object_out, a->t, a->at, "aot", o, NULL)) return false;
    if (!file_begin(&header_out, a->t, a->at, "aot", h, NULL)) {
        file_abandon(&object_out);
        return false;
    }
    if (file_write(&object_out, object, len) && file_write(&header_out, header->at, header->len))
        return file_commit_pair(&object_out, &header_out);
    file_abandon(&object_out);
    file_abandon(&header_out);
    return false;
}

/* What fails is recorded where it does. */
static bool write_pair(
    const Artifact *a, const char *path, const void *object, size_t len, const Text *header, Status *st)
{
    Text o = {0}, h = {0};
    text_printf(&o, "%s.o", path);
    text_printf(&h, "%s.h", path);
    bool named = !o.failed && !h.failed, ok = named && write_whole(a, o.at, h.at, object, len, header);
    if (!named) status_fail(st, ST_MEMORY, "aot: no memory");
    if (!ok) status_fail(st, ST_IO, "aot: %s.o and %s.h could not be written", path, path);
    text_free(&o);
    text_free(&h);
    return ok;
}

/* ---- compiling -------------------------------------------------------------------------------------------------------- */
/* Of ASCII, whatever the locale. */
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool framed(const char *name, const char *first, const char *last)
{
    const size_t n = strlen(name), f = strlen(first), l = strlen(last);
    return n >= f + l && !strncmp(name, first, f) && !strcmp(name + n - l, last);
}

/* The header declares a function of that name, in C and C++ of any year and with GNU's words: keywords, macros without an underscore in front,
 * what <stdint.h> and <string.h> declare, and main. */
static bool is_taken(const char *name)
{
    static const char words[] =
        " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class "
        "co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue "
        "decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto "
        "i386 if inline int linux long main mutable namespace new noexcept not not_eq nullptr operator or or_eq "
        "private protected public register reinterpret_cast requires restrict return short signed sizeof static static_assert "
        "static_cast struct switch template this thread_local throw true try typedef typeid typename typeof typeof_unqual "
        "union unix unsigned using virtual void volatile wchar_t while xor xor_eq "
        "NULL PTRDIFF_MIN PTRDIFF_MAX SIZE_MAX SIG_ATOMIC_MIN SIG_ATOMIC_MAX WCHAR_MIN WCHAR_MAX WINT_MIN WINT_MAX size_t locale_t "
        "basename bcmp bcopy bzero explicit_bzero ffs ffsl ffsll index rindex "
        "memccpy memchr memcmp memcpy memfrob memmem memmove mempcpy memrchr memset rawmemchr sigabbrev_np sigdescr_np "
        "stpcpy stpncpy strcasecmp strcasecmp_l strcasestr strcat strchr strchrnul strcmp strcoll strcoll_l strcpy strcspn strdup "
        "strdupa strerror strerror_l strerror_r strerrordesc_np strerrorname_np strfry strlcat strlcpy strlen strncasecmp "
        "strncasecmp_l strncat strncmp strncpy strndup strndupa strnlen strpbrk strrchr strsep strsignal strspn strstr strtok "
        "strtok_r strverscmp strxfrm strxfrm_l ";
    static const char *const limits[] = {"_MIN", "_MAX", "_WIDTH", "_C"};
    char spaced[160];
    snprintf(spaced, sizeof spaced, " %s ", name);
    if (strstr(words, spaced) || framed(name, "int", "_t") || framed(name, "uint", "_t")) return true;
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        if (framed(name, "INT", limits[i]) || framed(name, "UINT", limits[i])) return true;
    return name[0] == '_' && (name[1] == '_' || (name[1] >= 'A' && name[1] <= 'Z'));
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
        if (!letter(name[i]) && !digit(name[i]) && name[i] != '_')
            return status_fail(st, ST_VALUE, "aot: \"%s\" is no C identifier; give .symbol", name);
    if (digit(name[0]))
        return status_fail(st, ST_VALUE, "aot: \"%s\" is no C identifier; give .symbol", name);
    if (is_taken(name))
        return status_fail(st, ST_VALUE, "aot: \"%s\" is no C identifier of its own: the language or the C library has it; give .symbol", name);
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
    const Artifact *a;
    const char *path;
    const Text *header;
    Status *st;
    bool ok;
} Sink;

static void write_artifact(void *user, const void *bytes, size_t len)
{
    Sink *s = user;
    s->ok = write_pair(s->a, s->path, bytes, len, s->header, s->st);
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
    Sink sink = {a, path, &header, st, false};
    ok = ok && backend->object(p, &c, entry, sizes, data, 2, write_artifact, &sink, st) && sink.ok;
    text_free(&header);
    return ok;
}
