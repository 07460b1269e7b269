/* The compile thread (.compile = KILN_BACKGROUND): calls are answered before there is code, with the same bits, and run it when it has
 * come; what cannot be compiled stays interpreted; freeing, evicting, closing and forking while something is being compiled. */
#include "front.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitized.h"
#include "waves.h"

#define BACKGROUND (&(kiln_options){.compile = KILN_BACKGROUND, .threads = 2})
#define X(k) kiln_f32(k, KILN_SHAPE(4), 0.5, 1, -2, 3)

static int background_setup(void **state)
{
    return (*state = kiln_open(BACKGROUND)) ? 0 : -1;
}
#define BACKGROUND_TEST(f) cmocka_unit_test_setup_teardown(f, background_setup, front_teardown)

static kiln_function_statistics stats_of(kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    return s;
}

static void wanted(kiln *k, int number, float to[4])
{
    kiln_eager(k, true);
    KILN_SCOPE(k);
    kiln_read(kiln_call(waves_new(k, number), X(k)), to, 16);
    kiln_eager(k, false);
}

static void code_arrives(void **state)
{
    kiln *k = *state;
    float want[4];
    wanted(k, 1, want);
    KILN_SCOPE(k);
    kiln_function *f = waves_new(k, 1);
    assert_memory_equal(kiln_data(kiln_call(f, X(k))), want, 16);
    assert_int_equal(stats_of(f).interpreted, 1);
    assert_int_equal(stats_of(f).traces, 1);
    assert_true(kiln_function_wait(f));
    const uint64_t before = stats_of(f).interpreted;
    for (int i = 0; i < 3; i++) assert_memory_equal(kiln_data(kiln_call(f, X(k))), want, 16);
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.interpreted, before);
    assert_int_equal(s.compiles, 1);
    assert_int_equal(s.waiting, 0);
    assert_int_equal(s.failures, 0);
    assert_true(s.compile_seconds > 0 && s.kernels > 0 && s.code_bytes > 0);
    assert_true(s.cache_bytes > s.code_bytes);
    assert_ok(k);
}

/* A function may say that it waits, and one that is never compiled has nothing to wait for. */
static void functions_say_otherwise(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *wait = kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.compile = KILN_WAIT}),
                  *never = kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.compile = KILN_NEVER});
    kiln_call(wait, X(k));
    kiln_call(never, X(k));
    assert_int_equal(stats_of(wait).compiles, 1);
    assert_int_equal(stats_of(wait).interpreted, 0);
    assert_true(kiln_function_wait(wait));
    assert_false(kiln_function_wait(never));
    assert_int_equal(stats_of(never).interpreted, 1);
    assert_ok(k);
    assert_false(kiln_function_wait(NULL));
    assert_error(k, KILN_ESTATE, "function_wait: the function is NULL");
}

static void waits_inside(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_function_wait(user);
    out[0] = in[0];
}

static void no_trace_waits(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_call(kiln_function_new(k, waits_inside, waves_new(k, 1), NULL), X(k));
    assert_error(k, KILN_ESTATE, "function_wait: called inside a trace");
}

static float gradient_of(kiln *k, kiln_function *f, kiln_variable *v)
{
    KILN_SCOPE(k);
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_sum(kiln_call(f, v), KILN_ALL);
    return (float)kiln_item(kiln_sum(kiln_gradient(tape, y, v), KILN_ALL));
}

static void gradients_too(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = waves_new(k, 2);
    kiln_variable *v = kiln_variable_new(k, "v", X(k));
    const float first = gradient_of(k, f, v);
    for (int i = 0; i < 4; i++) {
        assert_float_equal(gradient_of(k, f, v), first, 0);
        assert_true(kiln_function_wait(f));
    }
    kiln_eager(k, true);
    assert_float_equal(gradient_of(k, f, v), first, 0);
    kiln_eager(k, false);
    kiln_tensor *d = kiln_call(kiln_grad(f), X(k));
    assert_true(kiln_function_wait(kiln_grad(f)));
    assert_memory_equal(kiln_data(kiln_call(kiln_grad(f), X(k))), kiln_data(d), 16);
    assert_ok(k);
}

/* ---- threads ------------------------------------------------------------------------------------------------------------- */
#define THREADS 4
typedef struct Crew {
    kiln *k;
    kiln_function *f[3];
    float want[3][4];
    atomic_bool done;
    atomic_int wrong;
} Crew;

static void *calls(void *arg)
{
    Crew *c = arg;
    for (int i = 0; !atomic_load(&c->done) || i < 30; i++) {
        KILN_SCOPE(c->k);
        kiln_tensor *y = kiln_call(c->f[i % 3], X(c->k));
        float got[4] = {0};
        kiln_read(y, got, sizeof got);
        if (memcmp(got, c->want[i % 3], sizeof got) != 0) atomic_fetch_add(&c->wrong, 1);
        if (i % 7 == 0) kiln_function_free(waves_new(c->k, 5));
    }
    if (kiln_failed(c->k)) atomic_fetch_add(&c->wrong, 1);
    return NULL;
}

static void threads_call_meanwhile(void **state)
{
    kiln *k = *state;
    static Crew c;
    memset(&c, 0, sizeof c);
    c.k = k;
    pthread_t id[THREADS];
    for (int i = 0; i < 3; i++) {
        wanted(k, i, c.want[i]);
        c.f[i] = waves_new(k, i);
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&id[i], NULL, calls, &c), 0);
    usleep(20000);
    for (int i = 0; i < 3; i++) kiln_function_wait(c.f[i]);
    atomic_store(&c.done, true);
    for (int i = 0; i < THREADS; i++) pthread_join(id[i], NULL);
    assert_int_equal(c.wrong, 0);
    for (int i = 0; i < 3; i++) assert_int_equal(stats_of(c.f[i]).traces, 1);
    assert_ok(k);
}

/* ---- what goes while it is being compiled ---------------------------------------------------------------------------------- */
static void freed_and_closed(void **state)
{
    (void)state;
    const int64_t blocks = kiln_memory_count().live_blocks;
    for (int round = 0; round < 12; round++) {
        kiln *k = kiln_open(BACKGROUND);
        {
            KILN_SCOPE(k);
            kiln_function *f[6];
            for (int i = 0; i < 6; i++) kiln_call(f[i] = waves_new(k, i), X(k));
            if (round % 3 == 0) usleep(2000 * (unsigned)round); /* the thread is somewhere in it */
            for (int i = 0; i < 6 && round % 2 == 0; i++) kiln_function_free(f[round % 4 ? i : 5 - i]);
            kiln_call(waves_new(k, 7), X(k));
            assert_ok(k);
        }
        assert_int_equal(kiln_close(k), 0);
        assert_int_equal(kiln_memory_count().live_blocks, blocks);
    }
}

static void evicted(void **state)
{
    kiln *k = *state;
    kiln_function *f = kiln_function_new(k, waves, NULL, &(kiln_function_options){.name = "waves", .fixed_sizes = true, .cache_bytes = 1});
    for (int i = 0; i < 40; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1 + i % 5));
        kiln_call(f, x);
        kiln_call(f, x);
        if (i % 8 == 0) usleep(15000);
    }
    kiln_function_wait(f);
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.signatures, 1);
    assert_true(s.evictions >= 30);
    assert_int_equal(s.failures, 0);
    assert_ok(k);
}

static int in_child(kiln *k, kiln_function *const *f, float want[][4])
{
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(k);
        if (memcmp(kiln_data(kiln_call(f[i], X(k))), want[i], 16) != 0) return 1;
    }
    for (int i = 0; i < 6; i++)
        if (!kiln_function_wait(f[i])) return 2;
    for (int i = 0; i < 6; i++) {
        KILN_SCOPE(k);
        if (memcmp(kiln_data(kiln_call(f[i], X(k))), want[i], 16) != 0 || stats_of(f[i]).compiles != 1) return 3;
    }
    return kiln_close(k) ? 4 : 0;
}

/* The child has no such thread until it wants one; what was compiled before is there. */
static void forked(void **state)
{
    (void)state;
#ifdef UNDER_TSAN
    print_message("skip: the thread sanitizer allows no new threads after a fork\n");
    skip();
#endif
    for (int round = 0; round < 6; round++) {
        kiln *k = kiln_open(BACKGROUND);
        kiln_function *f[6];
        float want[6][4];
        for (int i = 0; i < 6; i++) wanted(k, i, want[i]);
        for (int i = 0; i < 6; i++) {
            KILN_SCOPE(k);
            kiln_call(f[i] = waves_new(k, i), X(k));
        }
        usleep(9000 * (unsigned)round);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(60);
            _exit(in_child(k, f, want));
        }
        int status = -1;
        if (round % 2) assert_int_equal(waitpid(child, &status, 0), child);
        for (int i = 0; i < 6; i++) assert_true(kiln_function_wait(f[i]));
        if (round % 2 == 0) assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(kiln_close(k), 0);
    }
}

/* ---- loops ------------------------------------------------------------------------------------------------------------------ */
static void turns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_tensor *h = in[1], *x = in[2];
    out[0] = kiln_add(kiln_mul(h, 0.75), kiln_sin(kiln_mul(x, kiln_cast(in[0], KILN_F32))));
    out[1] = kiln_mul(out[0], x);
}

static int print_calls;
static int counts(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)in, (void)nin, (void)nout, (void)user;
    print_calls++;
    *(float *)out[0].data = (float)print_calls;
    return 0;
}

enum { FOR, UNTIL, SCAN, BACKWARDS, GRADIENT, NESTED, CALLBACK, KINDS };
static void looped(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const int kind = (int)(intptr_t)user;
    kiln_variable *x = kiln_local(k, in[0]), *n = kiln_local(k, kiln_scalar(k, KILN_I64, 0));
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    switch (kind) {
    case FOR: KILN_FOR(k, i, 12) kiln_assign(x, kiln_add(kiln_mul(x, 0.5), kiln_sin(kiln_cast(i, KILN_F32)))); break;
    case UNTIL:
        KILN_WHILE(k, kiln_less(kiln_sum(kiln_abs(x), KILN_ALL), 90.0))
        {
            kiln_assign(x, kiln_mul(x, 1.25));
            kiln_assign_add(n, 1);
        }
        break;
    case NESTED:
        KILN_FOR(k, i, 5)
        {
            KILN_FOR(k, j, kiln_add(i, 1)) kiln_assign(x, kiln_add(kiln_mul(x, 0.9), kiln_cast(kiln_mul(i, j), KILN_F32)));
            KILN_IF(kiln_less(kiln_sum(x, KILN_ALL), 9.0)) kiln_assign(x, kiln_mul(x, 2.0));
        }
        break;
    case CALLBACK:
        KILN_FOR(k, i, 9)
        {
            kiln_tensor *y = NULL;
            kiln_callback(k, counts, NULL, NULL, 0, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &y, 1);
            kiln_assign(x, kiln_add(kiln_mul(x, 0.5), y));
        }
        break;
    default: {
        kiln_tensor *carry[1] = {kiln_value(x)}, *last[1] = {NULL}, *ys[1] = {NULL};
        kiln_tensor *xs[1] = {kiln_sin(kiln_add(kiln_expand(kiln_cast(kiln_iota(k, KILN_I64, KILN_SHAPE(11), 0), KILN_F32), 1), in[0]))};
        kiln_scan(k, turns, &(kiln_scan_options){.carries = carry, .carries_count = 1, .xs = xs, .xs_count = 1, .ys_count = 1, .reverse = kind == BACKWARDS}, last, ys, NULL);
        kiln_tensor *all = kiln_sum(ys[0], KILN_AXES(0));
        kiln_assign(x, kind == GRADIENT ? kiln_gradient(tape, kiln_sum(kiln_mul(all, last[0]), KILN_ALL), in[0]) : kiln_add(all, last[0]));
    }
    }
    out[0] = kiln_value(x);
    out[1] = kiln_value(n);
}

/* At random turns the rest of a loop runs in compiled code, forwards, backwards, in loops, with callbacks, and in gradients. */
static void loops_go_on(void **state)
{
    (void)state;
    uint64_t rests[KINDS] = {0};
    for (int seed = 0; seed < 4; seed++) {
        char word[32];
        const char *said = getenv("KILN_COMPILE");
        char before[64];
        snprintf(before, sizeof before, "%s", said ? said : "");
        snprintf(word, sizeof word, "swap:%d", 1000 * seed);
        setenv("KILN_COMPILE", word, 1);
        kiln *k = kiln_open(NULL);
        if (said) setenv("KILN_COMPILE", before, 1); else unsetenv("KILN_COMPILE");
        for (int kind = 0; kind < KINDS; kind++) {
            KILN_SCOPE(k);
            kiln_tensor *want[2], *got[2];
            kiln_function *f = kiln_function_new(k, looped, (void *)(intptr_t)kind, &(kiln_function_options){.name = "looped", .inputs_count = 1, .outputs = 2});
            kiln_eager(k, true);
            print_calls = 0;
            kiln_call_all(f, KILN_IN(X(k)), want, 2);
            kiln_eager(k, false);
            for (int call = 0; call < 6; call++) {
                print_calls = 0;
                kiln_call_all(f, KILN_IN(X(k)), got, 2);
                assert_ok(k);
                for (int i = 0; i < 2; i++)
                    if (memcmp(kiln_data(want[i]), kiln_data(got[i]), kiln_bytes(want[i])) != 0) fail_msg("seed %d, kind %d, call %d, result %d", seed, kind, call, i);
                assert_int_equal(print_calls, kind == CALLBACK ? 9 : 0);
            }
            rests[kind] += stats_of(f).loops;
        }
        assert_int_equal(kiln_close(k), 0);
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (rests[kind] < 3) fail_msg("kind %d went on in compiled code %d times only", kind, (int)rests[kind]);
}

static void long_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, in[1]) kiln_assign(x, kiln_add(kiln_mul(x, 0.5), kiln_sin(kiln_cast(i, KILN_F32))));
    out[0] = kiln_value(x);
}

/* A loop that takes long does not wait for its function's code. */
static void a_first_call_goes_on(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, long_loop, NULL, &(kiln_function_options){.name = "long_loop"});
    kiln_tensor *n = kiln_scalar(k, KILN_I64, 3000000), *first = kiln_call(f, X(k), n);
    assert_int_equal(stats_of(f).interpreted, 1);
    assert_int_equal(stats_of(f).loops, 1);
    assert_true(kiln_function_wait(f));
    assert_memory_equal(kiln_data(kiln_call(f, X(k), n)), kiln_data(first), 16);
    assert_int_equal(stats_of(f).interpreted, 1);
    assert_int_equal(stats_of(f).compiles, 1);
    assert_ok(k);
}

static void until_bound(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 2000000, kiln_less(x, in[1])) kiln_assign(x, kiln_add(x, 1.0));
    out[0] = kiln_value(x);
}

static void a_bound_holds_there_too(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, until_bound, NULL, &(kiln_function_options){.name = "until_bound"});
    kiln_tensor *zero = kiln_scalar(k, KILN_F64, 0);
    assert_float_equal(kiln_item(kiln_call(f, zero, kiln_scalar(k, KILN_F64, 2000000))), 2000000, 0);
    assert_int_equal(stats_of(f).loops, 1);
    kiln_function *g = kiln_function_new(k, until_bound, NULL, &(kiln_function_options){.name = "until_bound"});
    kiln_call(g, zero, kiln_scalar(k, KILN_F64, 2000001));
    assert_int_equal(stats_of(g).loops, 1);
    assert_error(k, KILN_EVALUE, "while: the loop goes on after its bound of 2000000 steps  tests/test_background.c:");
}

/* ---- what cannot be compiled ------------------------------------------------------------------------------------------------ */
static void far(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *forward)
{
    (void)k;
    out[0] = forward ? kiln_convolve(in[0], in[1], &(kiln_convolution){.stride = {5000}})
                     : kiln_convolve_transposed(in[0], in[1], &(kiln_convolution){.stride = {5000}}); /* a product for each remainder: too many */
}

typedef struct Lines {
    char text[2000];
    atomic_int n;
} Lines;

static void keep_line(void *user, const char *text)
{
    Lines *l = user;
    snprintf(l->text, sizeof l->text, "%s", text);
    atomic_fetch_add(&l->n, 1);
}

static void what_cannot_be_compiled_is_interpreted(void **state)
{
    (void)state;
    static Lines lines;
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_BACKGROUND, .log = keep_line, .log_user = &lines});
    lines.n = 0; /* what the first engine says of the machine is not this test's */
    {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, far, NULL, &(kiln_function_options){.name = "far", .no_blas = true});
        kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1, 3, 1)), *w = kiln_ones(k, KILN_F32, KILN_SHAPE(5000, 1, 1)), *y = kiln_call(f, x, w);
        assert_ok(k);
        assert_false(kiln_function_wait(f));
        assert_int_equal(lines.n, 1);
        assert_non_null(strstr(lines.text, "kiln: far is not compiled, and its calls are interpreted: conv: without the host's kernels"));
        kiln_tensor *again = kiln_call(f, x, w);
        assert_memory_equal(kiln_data(again), kiln_data(y), kiln_bytes(y));
        kiln_function_statistics s = stats_of(f);
        assert_int_equal(s.failures, 1);
        assert_int_equal(s.compiles, 0);
        assert_int_equal(s.interpreted, 2);
        assert_false(kiln_compare(stdout, f, KILN_IN(x, w)));
        assert_error(k, KILN_EUNSUPPORTED, "conv: without the host's kernels");
    }
    assert_int_equal(kiln_close(k), 0);
}

/* The function can be compiled, but not its gradient. */
static void derived_functions_count(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, far, k, &(kiln_function_options){.name = "strided", .no_blas = true, .inputs_count = 2});
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1, 15000, 1)), *w = kiln_ones(k, KILN_F32, KILN_SHAPE(5000, 1, 1)), *d[2];
    kiln_call(f, x, w);
    assert_true(kiln_function_wait(f));
    kiln_call_all(kiln_grad(f), KILN_IN(x, w), d, 2);
    assert_ok(k);
    assert_false(kiln_function_wait(f));
    assert_int_equal(stats_of(f).failures, 0);
}

static void outer_rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *rows = kiln_add(kiln_expand(in[0], 1), kiln_zeros(k, KILN_F32, KILN_SHAPE(1, (1 << 20) + 1)));
    out[0] = kiln_sum(kiln_cumsum(rows, 0, 0), KILN_AXES(1));
}

/* Sizes became symbols, but their bound would take too much workspace: once that is known, each size is compiled by itself again. */
static void bounds_that_take_too_much(void **state)
{
    kiln *k = *state;
    kiln_function *f = kiln_function_new(k, outer_rows, NULL, &(kiln_function_options){.name = "outer_rows"});
    for (int n = 17; n < 23; n++) {
        KILN_SCOPE(k);
        kiln_tensor *y = kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n)));
        assert_int_equal(kiln_dim(y, 0), n);
        kiln_function_wait(f);
    }
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.generalisations, 1);
    assert_non_null(strstr(s.general, "stays a constant: the bound would take more than 268435456 bytes of workspace"));
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BACKGROUND_TEST(code_arrives), BACKGROUND_TEST(functions_say_otherwise), BACKGROUND_TEST(no_trace_waits), BACKGROUND_TEST(gradients_too),
        BACKGROUND_TEST(threads_call_meanwhile), cmocka_unit_test(freed_and_closed), BACKGROUND_TEST(evicted), cmocka_unit_test(forked),
        cmocka_unit_test(what_cannot_be_compiled_is_interpreted), BACKGROUND_TEST(derived_functions_count), BACKGROUND_TEST(bounds_that_take_too_much),
        cmocka_unit_test(loops_go_on), BACKGROUND_TEST(a_first_call_goes_on), BACKGROUND_TEST(a_bound_holds_there_too),
    };
    return cmocka_run_group_tests_name("background", tests, front_needs_llvm, NULL);
}
