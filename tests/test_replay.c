/* test_replay: compiled functions on devices as graphs: recorded once for each vector of sizes, replayed with whatever addresses a
 * call has, with loops and branches in them; and walked by the host where the driver has less. All of it has the CPU's bits. */
#include "front.h"

#include "codegen/cuda/run.h"
#include "codegen/emu.h"

#include <pthread.h>

#define CALLS 1000

static int needs_compiler(void **state)
{
    Status st = {0};
    record_least = 1;
    (void)state;
    if (emu_driver(0, &st)) return 0;
    printf("skip: %s\n", st.text);
    return -1;
}

/* ---- functions ------------------------------------------------------------------------------------------------------ */
/* Four kernels and products; no loop. */
static void straight(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *y = kiln_softmax(kiln_matmul(in[0], kiln_transpose(in[0], KILN_ALL)), -1);
    out[0] = kiln_add(kiln_matmul(kiln_softmax(kiln_matmul(y, y), -1), in[0]), 1);
}

/* Slices of loops in loops, one backwards, a branch inside. */
static void turns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *x = in[0];
    kiln_variable *sum = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(4)));
    KILN_FOR (k, i, kiln_dim(x, 0)) {
        kiln_tensor *row = kiln_gather(x, i, 0);
        KILN_FOR (k, j, 3) {
            kiln_assign(sum, kiln_add(kiln_mul(sum, 0.5), kiln_mul(row, kiln_cast(kiln_add(j, i), KILN_F32))));
        }
        KILN_IF(kiln_greater(kiln_sum(sum, KILN_ALL), 3.0)) kiln_assign(sum, kiln_sub(sum, 1));
        KILN_ELSE(k) kiln_assign(sum, kiln_add(sum, kiln_sin(row)));
    }
    out[0] = kiln_value(sum);
}

/* A loop with a condition, and how often it turned. */
static void doubles(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]), *n = kiln_local(k, kiln_i64(k, KILN_SHAPE(), 0));
    KILN_WHILE (k, kiln_less(kiln_sum(x, KILN_ALL), 100.0)) {
        kiln_assign(x, kiln_add(kiln_mul(x, 2), 1));
        kiln_assign(n, kiln_add(n, 1));
    }
    out[0] = kiln_add(kiln_value(x), kiln_cast(kiln_value(n), KILN_F32));
}

/* The gradient of a loop: what it keeps for each turn, and a loop backwards. */
static void descends(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(k, tape);
    kiln_tensor *w = kiln_watch(tape, in[0]);
    kiln_variable *x = kiln_local(k, w);
    KILN_FOR (k, i, 5) kiln_assign(x, kiln_sin(kiln_add(kiln_mul(x, w), kiln_mul(kiln_cast(i, KILN_F32), 0.1))));
    out[0] = kiln_gradient(tape, kiln_sum(x, KILN_ALL), w);
}

static kiln_tensor *some(kiln *k, int64_t rows, double from)
{
    return kiln_add(kiln_mul(kiln_iota(k, KILN_F32, KILN_SHAPE(rows, 4), 0), 0.125),
        kiln_add(kiln_mul(kiln_iota(k, KILN_F32, KILN_SHAPE(rows, 4), 1), 0.25), from));
}

static void same_bits(kiln *k, kiln_tensor *there, kiln_tensor *here)
{
    unsigned char a[4096], b[4096];
    const size_t n = kiln_bytes(here);
    assert_ok(k);
    assert_true(n <= sizeof a && kiln_bytes(there) == n && kiln_read(there, a, n) && kiln_read(here, b, n));
    assert_memory_equal(a, b, n);
}

static kiln_function_statistics stats(kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    return s;
}

typedef struct Case {
    kiln_body *body;
    const char *name;
    bool loops;
} Case;
static const Case cases[] = {
    {straight, "straight", false}, {turns, "turns", true}, {doubles, "doubles", true}, {descends, "descends", true}};

/* All functions with three inputs each: as graphs unless the driver lacks what they need. */
static void each_function(bool graphs, bool loops)
{
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, cases[i].body, NULL, &(kiln_function_options){.name = cases[i].name});
        for (int n = 0; n < 3; n++) {
            KILN_SCOPE(k);
            kiln_tensor *x = some(k, 3, 0.1 * n);
            same_bits(k, kiln_call(f, kiln_to(x, "emu:1")), kiln_call(f, x));
        }
        const kiln_function_statistics s = stats(f);
        const bool recorded = graphs && (loops || !cases[i].loops);
        if (s.recordings != recorded || s.replays != (recorded ? 3 : 0))
            fail_msg("%s: %d recordings, %d replays", cases[i].name, (int)s.recordings, (int)s.replays);
        kiln_function_free(f);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void functions_are_replayed(void **state)
{
    (void)state;
    each_function(true, true);
}

static void older_drivers_are_driven(void **state)
{
    (void)state;
    emu_version(12030);
    each_function(true, false);
    emu_version(11080);
    each_function(false, false);
    emu_version(EMU_NEWEST);
}

/* ---- one recording -------------------------------------------------------------------------------------------------- */
/* Fresh inputs and outputs, which stay, so that no two calls have the same addresses. */
static void a_thousand_calls(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        KILN_DEVICE(k, "emu:1");
        kiln_function *f = kiln_function_new(k, doubles, NULL, &(kiln_function_options){.name = "doubles"});
        kiln_tensor **out = calloc(CALLS, sizeof *out);
        for (int i = 0; i < CALLS; i++) out[i] = kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(2), 40 + i % 16));
        for (int i = 0; i < CALLS; i++) {
            float want = (float)(40 + i % 16), got[2];
            const bool turns_once = want < 50;
            assert_true(kiln_read(out[i], got, sizeof got));
            assert_true(got[0] == (turns_once ? want * 2 + 2 : want) && got[1] == got[0]);
        }
        assert_ok(k);
        assert_int_equal(stats(f).recordings, 1);
        assert_int_equal(stats(f).replays, CALLS);
        free(out);
        kiln_function_free(f);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* Each size is recorded once while it is among the last eight. */
static void sizes_are_recorded_each(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, straight, NULL,
            &(kiln_function_options){.name = "straight", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 4)}});
        for (int round = 0; round < 3; round++)
            for (int n = 1; n <= (round < 2 ? 8 : 10); n++) {
                KILN_SCOPE(k);
                kiln_tensor *x = some(k, n, round);
                same_bits(k, kiln_call(f, kiln_to(x, "emu:1")), kiln_call(f, x));
            }
        assert_int_equal(stats(f).recordings, 10);
        assert_int_equal(stats(f).replays, 26);
        KILN_SCOPE(k);
        kiln_call(f, kiln_to(some(k, 1, 0), "emu:1")); /* it has given way */
        assert_int_equal(stats(f).recordings, 11);
        kiln_function_free(f);
    }
    assert_int_equal(kiln_close(k), 0);
}

static void trains(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable *const *v = user;
    for (int i = 0; i < 3; i++)
        kiln_assign(v[i], kiln_add(kiln_mul(v[i], 0.5), kiln_sum(kiln_mul(kiln_value(v[(i + 1) % 3]), in[0]), KILN_AXES(0))));
    out[0] = kiln_add(kiln_value(v[0]), kiln_value(v[1]));
}

/* Variables whose new values are computed beside the old ones, so that their addresses change at each call. */
static void variables_move(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        kiln_tensor *got[2];
        for (int d = 0; d < 2; d++) {
            KILN_DEVICE(k, d ? "emu:1" : "cpu");
            kiln_variable *v[3];
            for (int i = 0; i < 3; i++) v[i] = kiln_variable_new(k, "v", some(k, 2, i));
            kiln_function *f = kiln_function_new(k, trains, v, &(kiln_function_options){.name = "trains"});
            for (int n = 0; n < 20; n++) got[d] = kiln_call(f, kiln_mul(some(k, 2, n), 0.01));
            assert_int_equal(stats(f).recordings, d);
            assert_int_equal(stats(f).replays, d * 20);
            for (int i = 0; i < 3; i++) got[d] = kiln_add(got[d], kiln_value(v[i])), kiln_variable_free(v[i]);
            kiln_function_free(f);
        }
        same_bits(k, got[1], got[0]);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* ---- assertions ----------------------------------------------------------------------------------------------------- */
/* In a loop, in a branch of it, and at the end; each of them about values that what comes after would write over. */
static void asserts(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *x = in[0];
    kiln_variable *sum = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(4)));
    KILN_FOR (k, i, kiln_dim(x, 0)) {
        kiln_tensor *row = kiln_gather(x, i, 0);
        kiln_assert(kiln_less(row, 100.0), "rows are below 100");
        kiln_assign(sum, kiln_add(kiln_mul(sum, 0.5), row));
        KILN_IF(kiln_greater(kiln_sum(row, KILN_ALL), 50.0))
        kiln_assert(kiln_less(kiln_sum(sum, KILN_ALL), 200.0), "sums are below 200");
        kiln_assign(sum, kiln_sub(sum, 0.25));
    }
    KILN_WHILE_AT_MOST(k, 3, kiln_less(kiln_sum(sum, KILN_ALL), 20.0))
    {
        kiln_assert(kiln_greater(sum, -50.0), "no sum is below -50");
        kiln_assign(sum, kiln_add(sum, 2));
    }
    kiln_assert_finite(kiln_sqrt(sum));
    out[0] = kiln_add(kiln_value(sum), 1);
}

/* Rows of which one is out of bounds; 0: none is. */
static kiln_tensor *rows_with(kiln *k, double odd, int at)
{
    float x[12];
    for (int i = 0; i < 12; i++) x[i] = i / 4 == at ? (float)odd : (float)i;
    return kiln_from(k, KILN_F32, KILN_SHAPE(3, 4), x, 12);
}

static void assertions_end_a_call(void **state)
{
    (void)state;
    static const struct {
        double odd;
        int at;
        const char *text;
    } call[] = {{1, 0, NULL}, {101, 1, "rows are below 100"}, {90, 2, "sums are below 200"}, {2, 2, NULL},
        {-80, 2, "no sum is below -50"}, {-8, 2, "goes on after its bound of 3 steps"}, {3, 1, NULL}};
    char text[COUNT_OF(call)][600];
    for (int way = 0; way < 3; way++) { /* on the CPU, as a graph, walked */
        emu_version(way == 2 ? 12030 : EMU_NEWEST);
        kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
        kiln_function *f = kiln_function_new(k, asserts, NULL, &(kiln_function_options){.name = "asserts"});
        for (size_t i = 0; i < COUNT_OF(call); i++) {
            KILN_SCOPE(k);
            kiln_tensor *x = rows_with(k, call[i].odd, call[i].at), *y = kiln_call(f, way ? kiln_to(x, "emu:1") : x);
            if (!call[i].text) {
                same_bits(k, y, kiln_call(f, x));
                continue;
            }
            if (way == 0) snprintf(text[i], sizeof *text, "%s", kiln_error(k)->text);
            assert_non_null(strstr(text[i], call[i].text));
            assert_error(k, KILN_EVALUE, text[i]);
        }
        assert_int_equal(stats(f).recordings, way == 1);
        kiln_function_free(f);
        assert_int_equal(kiln_close(k), 0);
    }
    emu_version(EMU_NEWEST);
}

/* ---- threads and faults --------------------------------------------------------------------------------------------- */
typedef struct Member {
    kiln *k;
    kiln_function *f;
    int wrong;
} Member;

static void *calls_it(void *arg)
{
    Member *m = arg;
    for (int i = 0; i < 20; i++) {
        KILN_SCOPE(m->k);
        KILN_DEVICE(m->k, "emu:1");
        float got[2] = {0};
        kiln_tensor *x = kiln_full(m->k, KILN_F32, KILN_SHAPE(2), i % 2 ? 45 : 60), *y = kiln_call(m->f, x);
        for (int n = 0; n < i % 3; n++) kiln_call(m->f, kiln_add(x, n));
        m->wrong += !kiln_read(y, got, sizeof got) || got[0] != (i % 2 ? 92 : 60);
    }
    return NULL;
}

/* Threads that replay one recording, each in its own stream. */
static void threads_share_a_recording(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    kiln_function *f = kiln_function_new(k, doubles, NULL, &(kiln_function_options){.name = "doubles"});
    Member m[4];
    pthread_t t[4];
    for (int i = 0; i < 4; i++) m[i] = (Member){k, f, 0}, assert_int_equal(pthread_create(&t[i], NULL, calls_it, &m[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(m[i].wrong, 0);
    }
    assert_int_equal(stats(f).recordings, 1);
    kiln_function_free(f);
    assert_int_equal(kiln_close(k), 0);
}

/* What ends the device in a replay is told with the program, its kernel and the line of the call. */
static void faults_name_program_and_call(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
    kiln_function *f = kiln_function_new(k, doubles, NULL, &(kiln_function_options){.name = "doubles"});
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_to(kiln_full(k, KILN_F32, KILN_SHAPE(2), 45), "emu:3");
        assert_true(kiln_sync(k, "emu:3"));
        kiln_tensor *y = kiln_call(f, x);
        float got[2];
        emu_fail(3, 2, 700); /* the call after that which makes the context current */
        assert_false(kiln_read(y, got, sizeof got));
        assert_error(k, KILN_EDEVICE, "emu:3: CUDA_ERROR_ILLEGAL_ADDRESS");
        kiln_call(f, x);
        assert_error(k, KILN_EDEVICE, "found when these had been launched: the graph of doubles (tests/test_replay.c:");
    }
    assert_int_equal(kiln_close(k), 0);
}

/* ---- failures ------------------------------------------------------------------------------------------------------- */
typedef struct Outcome {
    kiln_code code;
    double sum;
    char text[512];
} Outcome;

static Outcome works(const char *device)
{
    Outcome o = {0};
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .no_log = true});
    for (size_t i = 1; i < 3; i++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, cases[i].body, NULL, &(kiln_function_options){.name = cases[i].name});
        for (int n = 0; n < 2; n++) o.sum += kiln_item(kiln_sum(kiln_call(f, kiln_to(some(k, 2, n), device)), KILN_ALL));
        kiln_function_free(f);
    }
    o.code = kiln_error(k)->code;
    snprintf(o.text, sizeof o.text, "%s", kiln_error(k)->text);
    kiln_clear(k);
    kiln_close(k);
    return o;
}

/* All of the device's memory is free again. */
static void nothing_is_held(int ordinal)
{
    size_t now = 0, total = 1;
    CUcontext c;
    const CudaDriver *d = emu_driver(ordinal, &(Status){0});
    assert_int_equal(d->CtxPushCurrent(d->context) + d->CtxSynchronize() + d->MemGetInfo(&now, &total) + d->CtxPopCurrent(&c), 0);
    if (now != total) fail_msg("%zu bytes are held", total - now);
}

/* Every call of the driver fails once: the work goes on or says why, nothing is lost, and the next one is whole. */
static void each_call_may_fail(void **state)
{
    (void)state;
    const int errors[] = {CUDA_ERROR_OUT_OF_MEMORY, 1};
    const Outcome want = works("cpu");
    assert_int_equal(want.code, KILN_OK);
    works("emu:1");
    const uint64_t before = emu_called(1);
    assert_true(works("emu:1").sum == want.sum);
    const uint64_t calls = emu_called(1) - before, step = getenv("KILN_TEST_FULL") ? 1 : 5;
    int failed = 0;
    for (uint64_t n = 1; n <= calls; n += step) {
        emu_fail(1, n, errors[n / step % 2]);
        const Outcome got = works("emu:1");
        emu_fail(1, 0, 0);
        if (got.code != KILN_OK && got.code != KILN_EMEMORY && got.code != KILN_EDEVICE) fail_msg("call %d: %s", (int)n, got.text);
        if (got.code == KILN_OK && got.sum != want.sum) fail_msg("call %d: %g, not %g", (int)n, got.sum, want.sum);
        failed += got.code != KILN_OK;
        const Outcome again = works("emu:1");
        nothing_is_held(1);
        if (again.code != KILN_OK || again.sum != want.sum) fail_msg("after call %d: %s", (int)n, again.text);
    }
    print_message("%d of %d calls failed the work\n", failed, (int)((calls + step - 1) / step));
    assert_true(failed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(functions_are_replayed), cmocka_unit_test(older_drivers_are_driven),
        cmocka_unit_test(a_thousand_calls), cmocka_unit_test(sizes_are_recorded_each), cmocka_unit_test(variables_move),
        cmocka_unit_test(assertions_end_a_call), cmocka_unit_test(threads_share_a_recording), cmocka_unit_test(each_call_may_fail),
        cmocka_unit_test(faults_name_program_and_call)};
    if (getenv("KILN_ONLY")) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests_name("replay", tests, needs_compiler, NULL);
}
