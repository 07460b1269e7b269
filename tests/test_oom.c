/* oom: programs run once to count Kiln's allocations, then again and again with the n-th one failing, once and from then on. Each run must
 * end with KILN_EMEMORY or with the right result, give back every block, and leave an engine in which the same program then runs as if
 * nothing had been. The programs look at no error on their way: whatever a failed call returns must be safe to pass on. The programs
 * themselves are in oom_*.c. The LLVM module has an allocator of its own, which stays unarmed.
 *   KILN_TEST_FULL=1: every n of every program; KILN_OOM_ONLY=program: that one; KILN_OOM_AT=n: that n alone */
#include "front.h"

#include <stdlib.h>

#include "oom_programs.h"
#include "runtime/base.h"

#if defined(KILN_DEBUG) || defined(FIRST_BLOCK) /* slow, and of thousands of pieces of arenas (test_oom_pieces.c) */
#define DENSE 30
#define SAMPLES 55
#else
#define DENSE 50    /* the first so many are all tried */
#define SAMPLES 110 /* in all, where there are more allocations than that and the run is not a full one */
#endif

typedef struct Outcome { kiln_code code; uint64_t digest, allocations; bool rerun_wrong; char text[200]; } Outcome;

static kiln_options options = {.threads = 2};

static Outcome attempt(const OomProgram *p, uint64_t n, bool forever, bool rerun)
{
    Outcome o = {.code = KILN_EMEMORY};
    uint64_t before = memory_count().allocations;
    memory_fail_at(n, forever);
    kiln *k = kiln_open(&options);
    if (k)
        o.digest = oom_run(p, k);
    memory_fail_at(0, false);
    o.allocations = memory_count().allocations - before;
    if (!k)
        return o;
    o.code = kiln_error(k)->code;
    snprintf(o.text, sizeof o.text, "%s", kiln_error(k)->text);
    kiln_clear(k);
    if (rerun && o.code != KILN_OK) {
        uint64_t again = oom_run(p, k);
        o.rerun_wrong = kiln_failed(k) || again != p->want;
        if (o.rerun_wrong)
            snprintf(o.text, sizeof o.text, "then: %s", kiln_error(k)->text);
        kiln_clear(k);
    }
    kiln_close(k);
    return o;
}

static void try_at(const OomProgram *p, uint64_t n, bool forever, bool rerun)
{
    MemoryCount before = memory_count();
    Outcome o = attempt(p, n, forever, rerun);
    const char *how = forever ? "from allocation" : "allocation";
    if (o.code != KILN_OK && o.code != KILN_EMEMORY)
        fail_msg("%s: %s %llu failing gives code %d: %s", p->name, how, (unsigned long long)n, (int)o.code, o.text);
    if (o.code == KILN_OK && o.digest != p->want)
        fail_msg("%s: %s %llu failing goes unseen, and the result differs", p->name, how, (unsigned long long)n);
    if (o.digest == OOM_HALF_WRITTEN)
        fail_msg("%s: %s %llu failing leaves a file half written", p->name, how, (unsigned long long)n);
    if (o.rerun_wrong)
        fail_msg("%s: after %s %llu failed the engine is not as it was: %s", p->name, how, (unsigned long long)n, o.text);
    int64_t lost = memory_count().live_blocks - before.live_blocks;
    if (lost)
        fail_msg("%s: %s %llu failing loses %lld blocks, %lld bytes (%s)", p->name, how, (unsigned long long)n, (long long)lost,
                 (long long)(memory_count().live_bytes - before.live_bytes), o.text);
}

static void every_allocation(OomProgram *p)
{
    LATE_SKIP(LATE_STARVES);
    const char *at = getenv("KILN_OOM_AT");
    Outcome first = attempt(p, 0, false, false); /* what is made once per process, the compiler's module above all */
    if (first.code == KILN_EDEVICE) {
        printf("skip: %s: the LLVM module is not at hand\n", p->name);
        skip();
    }
    int64_t live = memory_count().live_blocks;
    Outcome clean = attempt(p, 0, false, false);
    if (clean.code != KILN_OK)
        fail_msg("%s fails: %s", p->name, clean.text);
    assert_int_equal(memory_count().live_blocks, live);
    assert_true(clean.digest == first.digest);
    p->want = clean.digest;
    bool full = getenv("KILN_TEST_FULL") != NULL;
    uint64_t count = clean.allocations, tried = 0;
    const uint64_t dense = p->compiles ? DENSE / 2 : DENSE, samples = p->compiles ? SAMPLES / 3 : SAMPLES; /* compiling takes long */
    uint64_t stride = full || count <= samples ? 1 : (count - dense) / (samples - dense) + 1;
    for (uint64_t n = at ? strtoull(at, NULL, 10) : 1; n <= count; n += n < dense ? 1 : stride, tried++) {
        bool rerun = at || !p->compiles || tried % 32 == 0;
        try_at(p, n, false, rerun);
        try_at(p, n, true, rerun && !p->compiles);
        if (at)
            break;
    }
    printf("# %s: %llu allocations, %llu of them made to fail\n", p->name, (unsigned long long)count, (unsigned long long)tried);
}

static void program_test(void **state)
{
    OomProgram *p = *state;
    const char *only = getenv("KILN_OOM_ONLY");
    if (only && strcmp(only, p->name)) {
        printf("skip: not %s\n", only);
        skip();
    }
    every_allocation(p);
}

/* ---- a failed step leaves variables as they were ---------------------------------------------------------------------- */
/* Two good steps, the first after one that the n-th allocation ended; the digest of all state at the end. */
static uint64_t train_after_failure(kiln *k, uint64_t n, uint64_t *made)
{
    KILN_SCOPE(k);
    OomTraining *train = oom_training_new(k);
    uint64_t before = oom_training_state(train, false), at = memory_count().allocations;
    memory_fail_at(n, false);
    if (n)
        oom_training_step(train);
    memory_fail_at(0, false);
    if (kiln_failed(k)) {
        assert_true(oom_training_state(train, false) == before);
    } else if (n) { /* the allocation could be done without: the step is taken back by starting anew */
        oom_training_free(train);
        train = oom_training_new(k);
    }
    kiln_clear(k);
    oom_training_step(train);
    if (!n)
        *made = memory_count().allocations - at;
    oom_training_step(train);
    uint64_t state = oom_training_state(train, true);
    if (kiln_failed(k))
        fail_msg("after a step that allocation %llu ended: %s", (unsigned long long)n, kiln_error(k)->text);
    oom_training_free(train);
    return state;
}

static void failed_steps_change_no_variable(void **state)
{
    (void)state;
    kiln *k = kiln_open(&options);
    assert_non_null(k);
    uint64_t made = 0, want = train_after_failure(k, 0, &made);
    if (kiln_error(k)->code == KILN_EDEVICE) {
        kiln_clear(k);
        kiln_close(k);
        printf("skip: the LLVM module is not at hand\n");
        skip();
    }
    assert_ok(k);
    uint64_t tried = 0, stride = getenv("KILN_TEST_FULL") ? 7 : made / 24 + 1;
    for (uint64_t n = 1; n <= made; n += stride, tried++)
        if (train_after_failure(k, n, NULL) != want)
            fail_msg("training goes on differently after a step that allocation %llu ended", (unsigned long long)n);
    assert_ok(k);
    printf("# of %llu allocations of a first step %llu made to fail\n", (unsigned long long)made, (unsigned long long)tried);
    assert_int_equal(kiln_close(k), 0);
}

int main(void)
{
    OomProgram *const all[] = {oom_eager, oom_traced, oom_training};
    size_t n = 0;
    for (int i = 0; i < 3; i++)
        for (OomProgram *p = all[i]; p->name; p++) n++;
    struct CMUnitTest tests[n + 1];
    tests[n] = (struct CMUnitTest)cmocka_unit_test(failed_steps_change_no_variable);
    for (int i = 3; i-- > 0;)
        for (OomProgram *p = all[i]; p->name; p++) tests[--n] = (struct CMUnitTest){p->name, program_test, NULL, NULL, p};
    return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}
