/* native: the CPU's row of the table of backends. It compiles by asking an LLVM module for an object, which becomes an image and
 * is mapped; if the caller's folder of compiled code has the image, the module is not even loaded. On instruction sets whose
 * objects it cannot lay out, the module links, too, and nothing is kept. Relies on module.h, map.h, store.h. Never knows LLVM's
 * types. */
#define _GNU_SOURCE
#include "../module.h"
#include "../native.h"
#include "../store.h"
#include "key.h"
#include "machine.h"
#include "map.h"
#include "perf.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "kiln_config.h"

#define ENTRY "kiln_entry"
#define SIZES "kiln_sizes"

struct Compiled {
    EntryFn *entry;
    SizesFn *sizes;
    Mapped code;
    const Backend *by; /* the module's own, where it linked `theirs`; else NULL */
    Compiled *theirs;
};

/* ---- the module ------------------------------------------------------------------------------ */

/* Code for this CPU comes from the first, which has no more of LLVM than that takes and so is loaded fast; for other machines from
 * the second. */
typedef enum Which { OURS, ALL, MODULES } Which;
static const char *const file_of[MODULES] = {"libkiln-llvm.so", "libkiln-llvm-all.so"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const Backend *module[MODULES]; /* under lock; kept until the process ends, since compiled code may outlast every engine */
static char maker[512]; /* the file of the library that compiles for this CPU, by when the module is there; empty: unknown */

static bool same_machine(const Backend *b, const char *file, Status *st)
{
    Target ours, theirs;
    if (!native_target(&ours, st) || !b->target(NULL, &theirs, st)) return false;
    if (ours.vector_bytes == theirs.vector_bytes && ours.fma == theirs.fma) return true;
    return status_fail(st, ST_DEVICE, "%s takes this CPU for one with %u-byte vectors%s, Kiln for one with %u%s", file,
        theirs.vector_bytes, theirs.fma ? " and fma" : "", ours.vector_bytes, ours.fma ? " and fma" : "");
}

/* The module has LLVM in itself, or is linked to the library that does. */
static void note_maker(void *handle, const void *in)
{
    Dl_info info;
    const void *apart = dlsym(handle, "LLVMGetVersion");
    if (dladdr(apart ? apart : in, &info) && info.dli_fname[0] == '/' && strlen(info.dli_fname) < sizeof maker)
        snprintf(maker, sizeof maker, "%s", info.dli_fname);
}

static const Backend *load(Which which, Status *st)
{
    const char *file = file_of[which];
    void *handle = module_open(file, "kiln_llvm_mark", st);
    if (!handle) return NULL;
    /* A function pointer out of dlsym, as POSIX has it. */
    BackendExport *get;
    *(void **)&get = dlsym(handle, "kiln_llvm_backend");
    if (!get) return status_fail(st, ST_DEVICE, "%s does not export kiln_llvm_backend", file), NULL;
    const Backend *b = get();
    if (which == ALL) return b;
    if (!same_machine(b, file, st)) return NULL;
    note_maker(handle, b);
    return b;
}

/* NULL: st */
static const Backend *llvm(Which which, Status *st)
{
    pthread_mutex_lock(&lock);
    if (!module[which]) module[which] = load(which, st);
    const Backend *b = module[which];
    pthread_mutex_unlock(&lock);
    return b;
}

/* Whether the triple (NULL: none) is of another instruction set, as far as its first word tells. */
static bool elsewhere(const char *triple)
{
    const size_t n = strlen(KILN_CONFIG_MACHINE);
    return triple && (strncmp(triple, KILN_CONFIG_MACHINE, n) != 0 || triple[n] != '-');
}

/* ---- compiling ------------------------------------------------------------------------------- */

typedef struct Made {
    const Program *p;
    char *block; /* an image */
    size_t len;
    Status *st;
} Made;

static void take_object(void *user, const void *bytes, size_t len)
{
    Made *m = user;
    m->block = image_of_object(bytes, len, ENTRY, m->p->symbol.len ? SIZES : NULL, &m->len, m->st);
}

static bool compile_image(Made *m, const CompileOptions *o)
{
    const Backend *b = llvm(OURS, m->st);
    return b && b->object(m->p, o, ENTRY, m->p->symbol.len ? SIZES : NULL, NULL, 0, take_object, m, m->st) && m->block;
}

static void put_image(Compiled *c, const Image *m)
{
    /* Functions out of memory that was made for them. */
    *(void **)&c->entry = c->code.at + m->head->entry;
    if (m->head->sizes != IMAGE_NONE) *(void **)&c->sizes = c->code.at + m->head->sizes;
}

static bool map_block(Compiled *c, const Program *p, const char *block, size_t len, Status *st)
{
    Image m;
    if (!image_open(block, len, &m) || (m.head->sizes == IMAGE_NONE) != (p->symbol.len == 0))
        return status_fail(st, ST_INTERNAL, "compiled code of %s is malformed", p->name);
    if (!image_map(&m, &c->code, st)) return false;
    put_image(c, &m);
    perf_note(p, &m, c->code.at);
    return true;
}

/* key: NULL, if nothing is kept. */
static bool make(Compiled *c, const Program *p, const CompileOptions *o, const Text *key, Status *st)
{
    Made m = {.p = p, .st = st};
    bool ok = compile_image(&m, o) && map_block(c, p, m.block, m.len, st);
    if (ok && key) store_keep(o->store, key, maker, m.block, m.len);
    mem_free_aligned(m.block, m.len, IMAGE_ALIGN);
    return ok;
}

/* False: nothing that can be used is kept. */
static bool use_kept(Compiled *c, const Program *p, const CompileOptions *o, const Text *key)
{
    Found f;
    if (!store_find(o->store, key, &f)) return false;
    bool ok = map_block(c, p, f.block, f.len, &(Status){0});
    found_free(&f);
    if (ok && o->from_store) *o->from_store = true;
    return ok;
}

/* Whoever wants to see what the compiler makes has it compiled. */
static bool wants_stages(const CompileOptions *o)
{
    return o->dump && o->want && (strstr(o->want, "llvm") || strstr(o->want, "asm"));
}

static bool find_or_make(Compiled *c, const Program *p, const CompileOptions *o, Status *st)
{
    Text key = {0};
    if (!o->store || wants_stages(o)) return make(c, p, o, NULL, st);
    key_of(&key, p, o);
    bool ok = key.failed ? make(c, p, o, NULL, st) : use_kept(c, p, o, &key) || make(c, p, o, &key, st);
    text_free(&key);
    return ok;
}

static bool linked_by_module(Compiled *c, const Program *p, const CompileOptions *o, Status *st)
{
    c->by = llvm(OURS, st);
    c->theirs = c->by ? c->by->compile(p, o, st) : NULL;
    if (!c->theirs) return false;
    c->entry = c->by->entry(c->theirs);
    c->sizes = c->by->sizes(c->theirs);
    return true;
}

static void release(Compiled *c)
{
    if (!c) return;
    if (c->theirs) c->by->release(c->theirs);
    image_unmap(&c->code);
    mem_free(c, sizeof *c);
}

static Compiled *compile(const Program *p, const CompileOptions *o, Status *st)
{
    Compiled *c = mem_zeros(1, sizeof *c);
    if (!c) return status_fail(st, ST_MEMORY, "no memory for a compiled program"), NULL;
    if (image_runs_here() ? find_or_make(c, p, o, st) : linked_by_module(c, p, o, st)) return c;
    release(c);
    return NULL;
}

static EntryFn *entry(const Compiled *c) { return c->entry; }
static SizesFn *sizes(const Compiled *c) { return c->sizes; }
static size_t code_bytes(const Compiled *c) { return c->theirs ? c->by->code_bytes(c->theirs) : c->code.bytes; }

/* ---- what only the module does --------------------------------------------------------------- */

static bool object(const Program *p, const CompileOptions *o, const char *symbol, const char *size_symbol, const ObjectData *data,
    int ndata, ObjectSink *sink, void *user, Status *st)
{
    const Backend *b = llvm(o && elsewhere(o->triple) ? ALL : OURS, st);
    return b && b->object(p, o, symbol, size_symbol, data, ndata, sink, user, st);
}

static bool target(const void *there, Target *t, Status *st)
{
    (void)there;
    return native_target(t, st);
}

static void describe(char *buf, size_t cap)
{
    Status st = {0};
    const Backend *b = llvm(OURS, &st);
    if (b)
        b->describe(buf, cap);
    else
        snprintf(buf, cap, "%s", st.text);
}

const Backend *native_backend(void)
{
    static const Backend backend = {
        .name = "cpu",
        .target = target,
        .compile = compile,
        .entry = entry,
        .sizes = sizes,
        .code_bytes = code_bytes,
        .release = release,
        .object = object,
        .describe = describe,
    };
    return &backend;
}
