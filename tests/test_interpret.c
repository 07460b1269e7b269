/* Calls that are answered by interpreting (.compile = KILN_NEVER): no LLVM is loaded, results are memory of their own, bits, errors and
 * memory are as in compiled code. `make test` runs the tests of the public interface once more with KILN_COMPILE=never beside this. */
#include "front.h"

#include <kiln/aot.h>
#include <stdlib.h>

#include "loaded.h"

static kiln_function_statistics stats_of(kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    return s;
}

static int never_setup(void **state)
{
    return (*state = kiln_open(&(kiln_options){.compile = KILN_NEVER})) ? 0 : -1;
}
#define NEVER_TEST(f) cmocka_unit_test_setup_teardown(f, never_setup, front_teardown)

static void sines(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *sum = kiln_local(k, KILN_F32, 0.0);
    KILN_FOR(k, i, 5)
    {
        KILN_IF(kiln_less(kiln_mod(i, 2), 1)) kiln_assign_add(sum, kiln_mean(kiln_sin(in[0]), KILN_ALL));
        KILN_ELSE(k) kiln_assign(sum, kiln_mul(sum, 1.5));
    }
    out[0] = kiln_mul(kiln_value(sum), kiln_cos(in[0]));
}

static void no_llvm_is_loaded(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, sines, NULL, &(kiln_function_options){.inputs_count = 1});
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4), 0, 1, 2, 3), *y = kiln_call(f, x), *d = kiln_call(kiln_grad(f), x);
    kiln_eager(k, true);
    kiln_tensor *e = kiln_call(f, x), *g = kiln_call(kiln_grad(f), x);
    kiln_eager(k, false);
    assert_ok(k);
    assert_memory_equal(kiln_data(y), kiln_data(e), 16);
    assert_memory_equal(kiln_data(d), kiln_data(g), 16);
    kiln_function_statistics s = stats_of(f);
    assert_int_equal(s.interpreted, 1);
    assert_int_equal(s.compiles, 0);
    assert_int_equal(s.traces, 1);
    assert_true(s.ops > 0);
    assert_false(llvm_is_loaded());
}

static void turned(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[0];
    out[1] = in[0];
    out[2] = kiln_transpose(in[0], KILN_AXES(1, 0));
    out[3] = kiln_full(k, KILN_F32, KILN_SHAPE(2, 2), 7);
}

/* What is an input, a view of one, a constant or another result comes out as memory of its own. */
static void results_are_memory_of_their_own(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float mine[4] = {1, 2, 3, 4};
    kiln_function *f = kiln_function_new(k, turned, NULL, &(kiln_function_options){.outputs = 4});
    kiln_tensor *x = kiln_borrow(k, KILN_F32, KILN_SHAPE(2, 2), mine, NULL, NULL), *y[4];
    assert_true(kiln_call_all(f, KILN_IN(x), y, 4));
    assert_ok(k);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++) assert_ptr_not_equal(kiln_data(y[i]), kiln_data(y[j]));
    memset(mine, 0, sizeof mine);
    assert_memory_equal(kiln_data(y[0]), ((float[]){1, 2, 3, 4}), 16);
    assert_memory_equal(kiln_data(y[1]), ((float[]){1, 2, 3, 4}), 16);
    assert_memory_equal(kiln_data(y[2]), ((float[]){1, 3, 2, 4}), 16);
    assert_memory_equal(kiln_data(y[3]), ((float[]){7, 7, 7, 7}), 16);
}

static void long_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, 400) kiln_assign(x, kiln_mul(kiln_sqrt(kiln_add(kiln_value(x), 1.0)), 0.5));
    out[0] = kiln_value(x);
}

/* Values are freed after their last use, in loops and outside. */
static void memory_stays_flat(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, long_loop, NULL, NULL);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1 << 16));
    const int64_t before = kiln_memory_count().live_bytes;
    kiln_call(f, x);
    assert_ok(k);
    assert_true(kiln_memory_count().peak_bytes - before < 16 * (int64_t)kiln_bytes(x));
}

static void bounded(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 3, kiln_less(kiln_value(x), 100.0)) kiln_assign(x, kiln_add(kiln_value(x), 1.0));
    out[0] = kiln_value(x);
}

static void a_bound_is_kept(void **state)
{
    kiln *k = *state;
    char text[600];
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, bounded, NULL, NULL);
    assert_float_equal(kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, 97.5))), 100.5, 0);
    kiln_eager(k, true);
    kiln_call(f, kiln_scalar(k, KILN_F32, 1));
    snprintf(text, sizeof text, "%s", kiln_error(k)->text);
    kiln_clear(k);
    kiln_eager(k, false);
    kiln_call(f, kiln_scalar(k, KILN_F32, 1));
    assert_string_equal(kiln_error(k)->text, text);
    assert_error(k, KILN_EVALUE, "the loop goes on after its bound of 3 steps");
}

/* What a function says goes before what the engine's options say, and those before the environment. */
static void who_says_it(void **state)
{
    (void)state;
    const bool llvm = front_has_llvm();
    for (int i = 0; i < 4; i++) { /* i & 1: the environment says never; i & 2: the engine says wait */
        if (i & 1) setenv("KILN_COMPILE", "never", 1);
        kiln *k = kiln_open(&(kiln_options){.compile = i & 2 ? KILN_WAIT : i & 1 ? 0 : KILN_NEVER});
        unsetenv("KILN_COMPILE");
        {
            KILN_SCOPE(k);
            kiln_tensor *x = kiln_scalar(k, KILN_F32, 3);
            kiln_function *f = kiln_function_new(k, front_doubles, NULL, NULL),
                          *never = kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.inputs_count = 1, .compile = KILN_NEVER});
            for (int call = 0; call < 3; call++) kiln_call(never, x), kiln_call(kiln_grad(never), x);
            assert_int_equal(stats_of(never).interpreted, 3);
            assert_int_equal(stats_of(kiln_grad(never)).interpreted, 3);
            if (llvm || !(i & 2)) {
                assert_float_equal(kiln_item(kiln_call(f, x)), 6, 0);
                assert_int_equal(stats_of(f).compiles, (i & 2) != 0);
                assert_int_equal(stats_of(f).interpreted, (i & 2) == 0);
            }
            assert_ok(k);
        }
        assert_int_equal(kiln_close(k), 0);
    }
    kiln *k = kiln_open(&(kiln_options){.compile = (kiln_compiling)9});
    assert_error(k, KILN_EVALUE, "kiln_open: compile is 9");
    assert_null(kiln_function_new(k, front_doubles, NULL, &(kiln_function_options){.compile = (kiln_compiling)-1}));
    assert_error(k, KILN_EVALUE, "function: compile is -1");
    assert_int_equal(kiln_close(k), 0);
}

static const char beyond[] = "module {}\n"
                             "graph @m(%1: i64[], %2: f32[], %3: f32[4]) -> (%4, %5) {\n"
                             "  %4, %5 = loop(%1, %2, %3) {@b, 1, 1, 1, REVERSE, 4, []} : f32[], f32[4]\n}\n"
                             "graph @b(%1: i64[], %2: f32[], %3: f32[]) -> (%4, %2) {\n  %4 = add(%2, %3) : f32[]\n}\n";

/* A graph's text may come from anywhere, and its trip count is data. */
static void loops_turn_no_further_than_their_slices(void **state)
{
    (void)state;
    LATE_SKIP("a graph's text runs on the CPU");
    for (int how = 0; how < 4; how++) {
        char text[sizeof beyond];
        kiln *k = kiln_open(&(kiln_options){.compile = how / 2 ? KILN_WAIT : KILN_NEVER});
        strcpy(text, beyond);
        memcpy(strstr(text, "REVERSE"), how % 2 ? "1      " : "0      ", 7);
        for (int64_t trip = 2; how / 2 == 0 || front_has_llvm(); trip = trip == 2 ? 4 : trip * 1000) {
            KILN_SCOPE(k);
            kiln_tensor *out[2], *x = kiln_f32(k, KILN_SHAPE(4), 1, 2, 3, 4);
            if (trip > 1000000000) break;
            assert_int_equal(kiln_run_text(k, text, strlen(text), KILN_IN(kiln_scalar(k, KILN_I64, trip), kiln_scalar(k, KILN_F32, 0), x), out, 2), 2);
            assert_ok(k);
            assert_float_equal(kiln_item(out[0]), trip == 2 ? 3 : 10, 0);
            const float *y = kiln_data(out[1]);
            assert_float_equal(y[3], trip == 2 ? 0 : how % 2 ? 0 : 6, 0);
        }
        assert_int_equal(kiln_close(k), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NEVER_TEST(no_llvm_is_loaded), NEVER_TEST(results_are_memory_of_their_own), NEVER_TEST(memory_stays_flat), NEVER_TEST(a_bound_is_kept),
        cmocka_unit_test(who_says_it), cmocka_unit_test(loops_turn_no_further_than_their_slices),
    };
    return cmocka_run_group_tests_name("interpret", tests, NULL, NULL);
}
