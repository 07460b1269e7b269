/* oom_background: the programs of test_oom.c where calls do not wait for code. The n-th allocation fails, on the caller's thread or on the
 * compile thread, whichever a row says, so that which one it is does not hang on who is faster; without code at all; with loops that go on
 * in compiled code at random turns; and with a folder of compiled code, which each run finds empty or full. What fails on the compile thread
 * no call may notice: its result is right and there is no error. All else is as in test_oom.c.
 *   KILN_TEST_FULL=1: every n; KILN_OOM_ONLY=program, KILN_OOM_ROW=row: that one; KILN_OOM_AT=n: that n alone */
#include "remove_all.h"

#include "frontend/function/background.h"

#include "front.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "oom_programs.h"

/* ---- whose allocation fails ------------------------------------------------------------------------------------------------- */
typedef enum Whose { CALLER, COMPILER } Whose;

static pthread_t caller;
static Whose whose;
static atomic_uint_fast64_t asked, fail_at; /* of allocations on that thread; fail_at 0: none fails */
static atomic_bool forever, failed;

static bool refused(size_t size)
{
    if (size == 0 || pthread_equal(pthread_self(), caller) != (whose == CALLER)) return false;
    const uint_fast64_t n = atomic_fetch_add(&asked, 1) + 1, at = atomic_load(&fail_at);
    const bool yes = at && (n == at || (forever && n > at));
    if (yes) atomic_store(&failed, true);
    return yes;
}

static void *resize(void *user, void *old, size_t old_size, size_t size, size_t align)
{
    (void)user;
    if (refused(size)) return NULL;
    void *fresh = size ? aligned_alloc(align, (size + align - 1) / align * align) : NULL;
    if (size && !fresh) return NULL;
    if (old && size) memcpy(fresh, old, MIN_OF(old_size, size));
    free(old);
    return fresh;
}

static void starve(Whose on, uint64_t n, bool from_then_on)
{
    whose = on;
    atomic_store(&asked, 0);
    atomic_store(&forever, from_then_on);
    atomic_store(&failed, false);
    atomic_store(&fail_at, n);
}

/* ---- the rows --------------------------------------------------------------------------------------------------------------- */
typedef enum Folder { NO_FOLDER, EMPTY, FULL } Folder;
typedef struct Row {
    const char *name;
    kiln_compiling compile; /* 0: at random turns and calls */
    Whose on;
    Folder folder;
} Row;

static const Row rows[] = {
    {"compiler", KILN_BACKGROUND, COMPILER, NO_FOLDER}, {"caller", KILN_BACKGROUND, CALLER, NO_FOLDER}, {"interpreted", KILN_NEVER, CALLER, NO_FOLDER},
    {"swap", 0, CALLER, NO_FOLDER}, {"keeping", KILN_BACKGROUND, COMPILER, EMPTY}, {"kept", KILN_BACKGROUND, COMPILER, FULL},
    {"kept_waiting", KILN_WAIT, CALLER, FULL}, {"keeping_waiting", KILN_WAIT, CALLER, EMPTY},
};

static char folder[] = "/tmp/kiln-oom-code-XXXXXX";

static void no_line(void *user, const char *text)
{
    (void)user, (void)text;
}

/* The compile thread has nothing more to do. So it makes the same allocations each time, and what is called next has code. */
static void drain(kiln *k)
{
    for (kiln_function *f = k->functions; f; f = f->next)
        if (!f->freed) kiln_function_wait(f);
}

typedef struct Outcome { kiln_code code; uint64_t digest, allocations; bool reached, wrong_again; char text[200]; } Outcome;

static Outcome attempt(const Row *row, const OomProgram *p, uint64_t n, bool from_then_on, bool rerun)
{
    Outcome o = {.code = KILN_EMEMORY};
    if (row->folder == EMPTY) remove_all(folder);
    starve(row->on, n, from_then_on);
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = row->compile, .log = no_line, .cache_dir = row->folder ? folder : ""});
    oom_between = row->on == COMPILER ? drain : NULL;
    if (k) o.digest = oom_run(p, k);
    oom_between = NULL;
    o.allocations = atomic_load(&asked);
    o.reached = atomic_load(&failed);
    starve(row->on, 0, false);
    if (!k) return o;
    o.code = kiln_error(k)->code;
    snprintf(o.text, sizeof o.text, "%s", kiln_error(k)->text);
    kiln_clear(k);
    if (rerun) {
        const uint64_t again = oom_run(p, k);
        o.wrong_again = kiln_failed(k) || again != p->want;
        if (o.wrong_again) snprintf(o.text, sizeof o.text, "then: %s", kiln_error(k)->text);
        kiln_clear(k);
    }
    kiln_close(k);
    return o;
}

/* False: the program has no n-th allocation there. */
static bool try_at(const Row *row, const OomProgram *p, uint64_t n, bool from_then_on, bool rerun)
{
    const MemoryCount before = memory_count();
    const Outcome o = attempt(row, p, n, from_then_on, rerun);
    char which[120];
    snprintf(which, sizeof which, "%s, %s: %s %llu", row->name, p->name, from_then_on ? "from allocation" : "allocation", (unsigned long long)n);
    if (o.code != KILN_OK && (row->on == COMPILER || o.code != KILN_EMEMORY)) fail_msg("%s failing gives code %d: %s", which, (int)o.code, o.text);
    if (o.code == KILN_OK && o.digest != p->want) fail_msg("%s failing goes unseen, and the result differs", which);
    if (o.wrong_again) fail_msg("after %s failed the engine is not as it was: %s", which, o.text);
    const MemoryCount after = memory_count();
    if (after.live_blocks != before.live_blocks)
        fail_msg("%s failing loses %lld blocks, %lld bytes (%s)", which, (long long)(after.live_blocks - before.live_blocks),
                 (long long)(after.live_bytes - before.live_bytes), o.text);
    return o.reached;
}

/* ---- a loop that asks for code of its own -------------------------------------------------------------------------------------- */
/* The first turn takes long enough, and the second waits until its code is there, or cannot be made. */
static int slowly(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)nin, (void)nout;
    kiln_function *const *f = user;
    const float turn = *(const float *)in[0].data;
    if (turn == 0 && (*f)->compile != COMPILE_SWAP) usleep(1500);
    while (turn == 1 && background_waiting((*f)->k, *f)) usleep(100);
    *(float *)out[0].data = 2 * turn;
    return 0;
}

static void slow_turns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, 5) {
        kiln_tensor *turn = kiln_cast(i, KILN_F32), *y = NULL;
        kiln_callback(k, slowly, user, &turn, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &y, 1);
        kiln_assign(x, kiln_add(kiln_mul(x, 0.5), y));
    }
    out[0] = kiln_value(x);
}

static uint64_t loops_compiled;

static void slow_loop(kiln *k, OomDigest *d)
{
    static kiln_function *f;
    kiln_function_statistics s = {0};
    f = kiln_function_new(k, slow_turns, &f, &(kiln_function_options){.name = "slow_loop"});
    for (int i = 0; i < 2; i++) oom_take(d, kiln_call(f, kiln_f32(k, KILN_SHAPE(3), 0.5, -1, 2)));
    kiln_function_stats(f, &s);
    loops_compiled += s.loops;
    kiln_function_free(f);
}

static OomProgram own[] = {{"slow_loop", slow_loop, true, 0}, {0}};

/* ---- the tests ---------------------------------------------------------------------------------------------------------------- */
#define DENSE 3    /* the first so many are all tried, */
#define SAMPLES 6  /* and about so many in all, where the run is not a full one */

static void starved(const Row *row, OomProgram *p)
{
    const char *at = getenv("KILN_OOM_AT");
    const uint64_t first = at ? strtoull(at, NULL, 10) : 1;
    attempt(row, p, 0, false, false); /* what is made once per process, and the folder's files */
    const Outcome clean = attempt(row, p, 0, false, false);
    if (clean.code != KILN_OK) fail_msg("%s, %s fails: %s", row->name, p->name, clean.text);
    p->want = clean.digest;
    const uint64_t count = clean.allocations, stride = getenv("KILN_TEST_FULL") || count <= SAMPLES ? 1 : (count - DENSE) / (SAMPLES - DENSE) + 1;
    uint64_t tried = 0;
    for (uint64_t n = first; try_at(row, p, n, false, at || tried % 8 == 0); n += n < DENSE ? 1 : stride, tried++) {
        try_at(row, p, n, true, at);
        if (at || n > 4 * count + 100) break;
    }
    printf("# %s, %s: %llu allocations, %llu of them made to fail\n", row->name, p->name, (unsigned long long)count, (unsigned long long)tried);
}

static void row_test(void **state)
{
    LATE_SKIP(LATE_STARVES);
    const Row *row = *state;
    const char *only = getenv("KILN_OOM_ROW"), *program = getenv("KILN_OOM_ONLY");
    if (only && strcmp(only, row->name)) {
        printf("skip: not %s\n", only);
        skip();
    }
    if (!row->compile) setenv("KILN_COMPILE", "swap:7", 1);
    OomProgram *const all[] = {oom_traced, oom_training, own};
    loops_compiled = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        for (OomProgram *p = all[i]; p->name; p++)
            if (!program || strcmp(program, p->name) == 0) starved(row, p);
    if (!program && row->compile != KILN_NEVER && row->compile != KILN_WAIT) assert_true(loops_compiled > 2);
}

/* Whose code is made elsewhere is not made once more, by whoever asks. */
static void dropped_jobs_stay_dropped(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.threads = 1, .compile = KILN_BACKGROUND});
    CodeJob job = {.f = kiln_function_new(k, front_doubles, NULL, NULL)};
    background_drop(k, &job);
    assert_true(background_ask(k, &job));
    assert_int_equal(background_waiting(k, job.f), 0);
    assert_int_equal(job.state, JOB_FAILED);
    assert_int_equal(kiln_close(k), 0);
}

static int setup(void **state)
{
    if (front_needs_llvm(state)) return -1;
    caller = pthread_self();
    kiln_set_allocator(&(kiln_allocator){.resize = resize});
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[COUNT_OF(rows) + 1] = {[COUNT_OF(rows)] = cmocka_unit_test(dropped_jobs_stay_dropped)};
    for (size_t i = 0; i < COUNT_OF(rows); i++) tests[i] = (struct CMUnitTest){rows[i].name, row_test, NULL, NULL, (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests_name("oom in the background", tests, setup, teardown);
}
