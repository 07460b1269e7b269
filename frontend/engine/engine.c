/* engine: opening and closing, the per-thread state. There is no other global state than one thread-local cache and
 * two counters. Never runs an op. */

#include <stdatomic.h>
#include <stdio.h>

#include "../../codegen/contract/contract.h"
#include "../../codegen/host_marks.h"
#include "../../codegen/host_stack.h"
#include "../../codegen/native.h"
#include "../../codegen/store.h"
#include "engine.h"

#define DTYPE_INT(t, tag, ...) _Static_assert((int)KILN_##tag == (int)DT_##t, "dtypes match");
#define DTYPE_FLOAT DTYPE_INT
#define DTYPE_NARROW DTYPE_INT
#include "../../runtime/dtype.def"
_Static_assert(KILN_MAX_RANK == MAX_RANK, "ranks match");

static atomic_uint_fast64_t serials = 1, thread_numbers = 1;

/* All open engines, so that a scope or call that outlives kiln_close finds nothing instead of freed memory. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static kiln *open_engines;

/* The only other exception to "no mutable globals": which engine this thread used last, and its state there. */
static _Thread_local struct {
    kiln *k;
    uint64_t serial;
    Thread *t;
} last;

static void host_run(const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain);
static int32_t host_contract(const KilnHost *h, const HostContract *c);
static int32_t host_convolve(const KilnHost *h, const HostConv *c);
static int32_t host_attend(const KilnHost *h, const HostAttention *a);
static int32_t host_factor(const KilnHost *h, const HostFactor *f);
static int32_t host_sort(const KilnHost *h, const HostSort *s);

static void missing_inputs_init(kiln *k)
{
    for (int i = 0; i < MISSING_INPUTS; i++) {
        k->missing[i].state = TENSOR_MISSING;
        k->missing[i].k = k;
    }
    for (int i = 0; i < 2 * MISSING_INPUTS; i++) k->missing_at[i] = &k->missing[MIN_OF(i, MISSING_INPUTS - 1)];
}

static bool asked_for(const char *name)
{
    const char *value = getenv(name);
    return value && *value && *value != '0';
}

/* The word of KILN_COMPILE; 0: none. */
static kiln_compiling compiling_asked_for(kiln *k)
{
    static const struct {
        const char *word;
        kiln_compiling is;
    } words[] = {{"wait", KILN_WAIT}, {"background", KILN_BACKGROUND}, {"never", KILN_NEVER}, {"swap", COMPILE_SWAP}};
    const char *value = getenv("KILN_COMPILE");
    if (!value || !*value) return 0;
    const size_t word = strcspn(value, ":");
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strlen(words[i].word) != word || memcmp(value, words[i].word, word) != 0) continue;
        if (value[word]) k->swaps = strtoull(value + word + 1, NULL, 10); /* swap:SEED */
        return words[i].is;
    }
    log_line(k, "KILN_COMPILE=%s: it must be wait, background or never", value);
    return 0;
}

static void note_store(void *k, const char *text) { log_line(k, "%s", text); }

static void name_code(kiln *k)
{
    char why[160] = "";
    if (asked_for("KILN_PERF") && !perf_open(why, sizeof why)) log_line(k, "%s", why);
}

/* An engine that compiles nothing has no use for it. */
static void open_store(kiln *k)
{
    const char *folder = k->options.cache_dir ? k->options.cache_dir : getenv("KILN_CACHE_DIR");
    if (k->options.no_compile || !folder || !*folder) return;
    k->store = store_open(folder, k->options.cache_dir_bytes ? k->options.cache_dir_bytes : (uint64_t)256 << 20, note_store, k);
}

kiln *engine_new(const kiln_options *options, size_t size, const Hooks *hooks)
{
    kiln *k = mem_zeros(1, sizeof *k);
    if (!k) return NULL;
    k->hooks = hooks;
    if (options) memcpy(&k->options, options, MIN_OF(size, sizeof k->options));
    log_open(k);
    if (!k->options.cache_bytes) k->options.cache_bytes = (size_t)1 << 30;
    k->device = (uint8_t)device_preferred();
    k->panels.most = k->options.cache_bytes / 2;
    k->threads = threads_new(k->options.threads);
    if (!k->threads) {
        mem_free(k, sizeof *k);
        return NULL;
    }
    if (k->options.parallel_for) threads_set_hook(k->threads, k->options.parallel_for, k->options.parallel_user);
    pthread_mutex_init(&k->lock, NULL);
    k->serial = atomic_fetch_add(&serials, 1);
    k->poison.state = TENSOR_POISON;
    k->poison.k = k;
    missing_inputs_init(k);
    k->host = (KilnHost){.ctx = k,
        .run = host_run,
        .contract = host_contract,
        .convolve = host_convolve,
        .attend = host_attend,
        .factor = host_factor,
        .sort = host_sort,
        .stack = host_stack_grow,
        .mark = host_mark,
        .effect = hooks->effect_happens};
    k->eager_only = k->options.no_compile;
    pthread_mutex_lock(&open_lock);
    k->next_open = open_engines;
    open_engines = k;
    pthread_mutex_unlock(&open_lock);
    k->retrace = asked_for("KILN_RETRACE");
    k->compile = k->options.compile ? k->options.compile : compiling_asked_for(k);
    if (!k->compile) k->compile = KILN_BACKGROUND;
    k->checked = k->options.checked || asked_for("KILN_CHECKED");
    open_store(k);
    name_code(k);
    return k;
}

void thread_free(Thread *t)
{
    tensor_slabs_free(t);
    places_free(t);
    pool_free(t->pool);
    scratch_free(&t->scratch);
    kept_free(t->kept);
    large_free(t->work, t->work_bytes);
    mem_free(t->scope, t->scope_cap * sizeof *t->scope);
    mem_free(t, sizeof *t);
}

/* Takes k off the list of open engines; false if it is not there: closed before, or never an engine. */
bool engine_unlist(kiln *k)
{
    pthread_mutex_lock(&open_lock);
    kiln **link = &open_engines;
    while (*link && *link != k) link = &(*link)->next_open;
    bool there = *link;
    if (there) *link = k->next_open;
    pthread_mutex_unlock(&open_lock);
    return there;
}

void engine_free(kiln *k)
{
    if (k->fft_tables) k->fft_free(k->fft_tables);
    for (uint32_t i = 0; i < k->ncustom; i++)
        if (k->custom[i].free_user) k->custom[i].free_user(k->custom[i].user);
    mem_free(k->custom, k->custom_cap * sizeof *k->custom);
    threads_free(k->threads);
    store_close(k->store);
    pthread_mutex_destroy(&k->lock);
    if (last.k == k) last.k = NULL, last.serial = 0, last.t = NULL;
    mem_free(k, sizeof *k);
}

bool engines_any(bool (*what)(kiln *k, void *arg), void *arg)
{
    pthread_mutex_lock(&open_lock);
    kiln *k = open_engines;
    while (k && !what(k, arg)) k = k->next_open;
    pthread_mutex_unlock(&open_lock);
    return k;
}

static Thread *thread_make(kiln *k)
{
    Thread *t = mem_zeros(1, sizeof *t);
    if (!t) {
        atomic_store(&k->starved, true);
        return NULL;
    }
    t->k = k;
    t->self = pthread_self();
    t->next_uid = atomic_fetch_add(&thread_numbers, 1) << 40;
    t->device = t->chosen = k->device;
    t->pool = pool_new(k->options.cache_bytes);
    t->kept = kept_new(); /* NULL: nothing is kept */
    if (!t->pool || !scope_push(t)) {
        pool_free(t->pool);
        kept_free(t->kept);
        mem_free(t, sizeof *t);
        atomic_store(&k->starved, true);
        return NULL;
    }
    pthread_mutex_lock(&k->lock);
    t->next = k->thread_list;
    k->thread_list = t;
    pthread_mutex_unlock(&k->lock);
    if (atomic_exchange(&k->starved, false)) /* what failed before this thread had a place for its errors */
        fail(t, (kiln_site){NULL, 0}, KILN_EMEMORY, "no memory for the thread's state");
    return t;
}

static bool engine_open(const kiln *k)
{
    pthread_mutex_lock(&open_lock);
    const kiln *e = open_engines;
    while (e && e != k) e = e->next_open;
    pthread_mutex_unlock(&open_lock);
    return e;
}

/* Of an open engine. NULL: it has none yet. */
static Thread *thread_known(kiln *k)
{
    pthread_mutex_lock(&k->lock);
    Thread *t = k->thread_list;
    while (t && !pthread_equal(t->self, pthread_self())) t = t->next;
    pthread_mutex_unlock(&k->lock);
    return t;
}

static Thread *thread_find(kiln *k)
{
    if (!engine_open(k)) return NULL;
    Thread *t = thread_known(k);
    return t ? t : thread_make(k);
}

Thread *thread_inside(kiln *k)
{
    Thread *t = engine_open(k) ? thread_known(k) : NULL;
    return t && t->calls ? t : NULL;
}

Thread *thread_of(kiln *k)
{
    if (LIKELY(last.k == k && k && last.serial == k->serial)) return last.t;
    if (!k) return NULL;
    Thread *t = thread_find(k);
    if (t) last.k = k, last.serial = k->serial, last.t = t;
    return t;
}

Thread *thread_last(void) { return last.t; }

/* ---- what compiled code reaches --------------------------------------------------------------------- */
typedef struct HostRun {
    KernelFn *fn;
    void *const *buf;
    const int64_t *dim;
} HostRun;

static void run_chunk(void *arg, int64_t lo, int64_t hi)
{
    const HostRun *r = arg;
    r->fn(r->buf, r->dim, lo, hi);
}

static void host_run(const KilnHost *h, KernelFn *fn, void *const *buf, const int64_t *dim, int64_t n, int64_t grain)
{
    HostRun r = {fn, buf, dim};
    threads_run(((kiln *)h->ctx)->threads, run_chunk, &r, n, grain);
}

static int32_t answer(bool ok, const Status *st)
{
    Thread *t = ok ? NULL : thread_last();
    if (t) t->refused = *st;
    return ok ? 0 : (int32_t)st->code;
}

/* Keeps what is packed of elements at `at` in the buffer of the call's inputs in which they lie, if they do. */
static Keep keep_of(kiln *k, const void *at)
{
    const Thread *t = thread_of(k);
    const uintptr_t here = (uintptr_t)at;
    for (uint32_t i = 0; i < t->inputs; i++) {
        Buffer *b = t->input[i];
        if (here >= (uintptr_t)b->data && here - (uintptr_t)b->data < b->bytes) return (Keep){&k->panels, b, NULL};
    }
    return (Keep){&k->panels, NULL, NULL};
}

static int32_t host_contract(const KilnHost *h, const HostContract *c)
{
    kiln *k = h->ctx;
    Status st = {0};
    Keep keep = keep_of(k, c->b);
    HostContract kept = *c;
    kept.keep = &keep;
    return answer(contract_run(k->threads, &kept, k->options.blas, &st), &st);
}

static int32_t host_convolve(const KilnHost *h, const HostConv *c)
{
    kiln *k = h->ctx;
    Status st = {0};
    Keep keep = keep_of(k, c->with);
    HostConv kept = *c;
    kept.keep = &keep;
    return answer(contract_convolve(k->threads, &kept, &st), &st);
}

static int32_t host_attend(const KilnHost *h, const HostAttention *a)
{
    Status st = {0};
    return answer(attention_run(((const kiln *)h->ctx)->threads, a, &st), &st);
}

static int32_t host_factor(const KilnHost *h, const HostFactor *f)
{
    Status st = {0};
    return answer(factor_run(((const kiln *)h->ctx)->threads, f, &st), &st);
}

static int32_t host_sort(const KilnHost *h, const HostSort *s)
{
    Status st = {0};
    return answer(sort_run(((const kiln *)h->ctx)->threads, s, &st), &st);
}

/* ---- small public facts ------------------------------------------------------------------------------- */
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
const char *kiln_version(void) { return TEXT(KILN_VERSION_MAJOR) "." TEXT(KILN_VERSION_MINOR) "." TEXT(KILN_VERSION_PATCH); }

void kiln_set_allocator(const kiln_allocator *a)
{
    Allocator inner = a ? (Allocator){a->resize, a->user} : (Allocator){0};
    memory_set_allocator(a ? &inner : NULL);
}

kiln_memory kiln_memory_count(void)
{
    MemoryCount c = memory_count();
    return (kiln_memory){c.allocations, c.live_blocks, c.live_bytes, c.peak_bytes};
}

bool kiln_cache_stats_sized(kiln *k, kiln_cache_statistics *out, size_t size)
{
    StoreCount c = {0};
    if (!out) return false;
    const bool keeps = engine_open(k) && k->store;
    if (keeps) store_count(k->store, &c);
    const kiln_cache_statistics s = {.hits = c.hits,
        .misses = c.misses,
        .refused = c.refused,
        .evicted = c.evicted,
        .bytes_read = c.bytes_in,
        .bytes_written = c.bytes_out,
        .files = c.files,
        .bytes = c.bytes,
        .most = c.most};
    memcpy(out, &s, MIN_OF(size, sizeof s));
    return keeps;
}

kiln_panels kiln_panels_count(kiln *k)
{
    if (!engine_open(k)) return (kiln_panels){0};
    const PanelCache *c = &k->panels;
    return (kiln_panels){atomic_load_explicit(&c->bytes, memory_order_relaxed), c->most,
        atomic_load_explicit(&c->packed, memory_order_relaxed), atomic_load_explicit(&c->used, memory_order_relaxed)};
}

void kiln_eager(kiln *k, bool on)
{
    if (k) k->eager_only = on || k->options.no_compile;
}
