/* Functions with several results and with none: KILN_RESULTS, KILN_PROCEDURE, KILN_NO_OUTPUTS; eagerly, traced, under tapes, checked. */
#include <math.h>

#include "front.h"

KILN_RESULTS(parabola, y, 3, k, x, a)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    y[0] = kiln_mul(a, kiln_square(x));
    y[1] = kiln_gradient(tape, y[0], x);
    y[2] = kiln_full(k, KILN_I32, KILN_SHAPE(), 7);
}

KILN_RESULTS(constants, out, 2, k)
{
    out[0] = kiln_scalar(k, KILN_F32, 1);
    out[1] = kiln_scalar(k, KILN_F32, 2);
}

KILN_FUNCTION(none, k) { return kiln_scalar(k, KILN_F32, 3); }

KILN_FUNCTION(all_eight, k, a, b, c, d, e, f, g, h)
{
    return kiln_add(kiln_add(kiln_add(a, b), kiln_add(c, d)), kiln_add(kiln_add(e, f), kiln_mul(g, kiln_mul(h, 10))));
}

static kiln_variable *total, *calls;

KILN_PROCEDURE(add_up, k, x)
{
    kiln_assign_add(total, kiln_sum(x, KILN_ALL));
    kiln_assign_add(calls, 1);
}

KILN_PROCEDURE(count, k) { kiln_assign_add(calls, 1); }

KILN_PROCEDURE(idle, k, x) { kiln_square(x); }

KILN_PROCEDURE(demanding, k, x)
{
    kiln_assign_add(calls, 1);
    kiln_assert(kiln_gt(x, 0.0), "x is positive");
}

static void several_results(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3), *a = kiln_scalar(k, KILN_F32, 2), *y[3];
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_true(parabola(k, x, a, y));
        assert_true(kiln_item(y[0]) == 18 && kiln_item(y[1]) == 12 && kiln_item_i64(y[2]) == 7);
        assert_true(constants(k, y));
        assert_true(kiln_item(y[0]) == 1 && kiln_item(y[1]) == 2);
        assert_true(kiln_item(none(k)) == 3);
        assert_true(kiln_item(all_eight(k, x, x, x, x, x, x, x, a)) == 78);
    }
    kiln_eager(k, false);
    assert_true(kiln_check(NULL, KILN_FN(k, parabola), KILN_IN(x, a)));
    assert_ok(k);
    assert_false(parabola(k, x, kiln_ones(k, KILN_I32, KILN_SHAPE(2)), y));
    assert_int_equal(kiln_dtype_of(y[2]), KILN_NONE);
    assert_error(k, KILN_EDTYPE, "test_results.c");
}

static void no_result(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(3), 1, 2, 3);
    total = kiln_variable_new(k, "total", KILN_F32, 0);
    calls = kiln_variable_new(k, "calls", 0);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_true(add_up(k, x));
        assert_true(count(k));
        assert_true(idle(k, x));
    }
    kiln_eager(k, false);
    assert_true(kiln_item(total) == 12 && kiln_item_i64(calls) == 4);
    assert_null(kiln_call(KILN_FN(k, add_up), x));
    assert_true(kiln_call_all(KILN_FN(k, add_up), KILN_IN(x), NULL, 0));
    assert_true(kiln_item(total) == 24 && kiln_item_i64(calls) == 6);
    assert_ok(k);
    assert_false(demanding(k, kiln_scalar(k, KILN_F32, -1)));
    assert_error(k, KILN_EVALUE, "x is positive");
    assert_true(kiln_item_i64(calls) == 6);
    assert_true(kiln_check(NULL, KILN_FN(k, add_up), KILN_IN(x)));
    FILE *to = tmpfile();
    assert_true(kiln_compare(to, KILN_FN(k, add_up), KILN_IN(x), &(kiln_compare_options){.seconds = 0.01}));
    fclose(to);
    {
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        add_up(k, x);
        kiln_tensor *dx = kiln_gradient(tape, kiln_sum(kiln_square(x), KILN_ALL), x);
        assert_true(kiln_item(kiln_sum(dx, KILN_ALL)) == 12);
    }
    assert_ok(k);
    kiln_tensor *out;
    assert_false(kiln_call_all(KILN_FN(k, add_up), KILN_IN(x), &out, 1));
    assert_error(k, KILN_EVALUE, "add_up: 1 outputs asked for, but it has 0");
    assert_null(kiln_grad(KILN_FN(k, add_up)));
    assert_error(k, KILN_EVALUE, "grad of add_up: it has no outputs");
    assert_null(kiln_jvp(KILN_FN(k, add_up)));
    assert_error(k, KILN_EVALUE, "jvp of add_up: it has no outputs");
    assert_null(kiln_function_new(k, KILN_FN(k, add_up) ? front_doubles : NULL, NULL, &(kiln_function_options){.outputs = -2}));
    assert_error(k, KILN_EVALUE, "KILN_NO_OUTPUTS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(several_results), FRONT_TEST(no_result)};
    return cmocka_run_group_tests_name("results", tests, front_needs_llvm, NULL);
}
