/* tape: gradients in eager code; the traced twins run where the compiler is at hand (test_function.c). */
#include "front.h"

#include <kiln/nn.h>

#include <math.h>

static kiln_variable *scalar_variable(kiln *k, double v)
{
    return kiln_variable_new(k, "x", kiln_scalar(k, KILN_F64, v));
}

static void polynomial_first_and_second_order(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *x = scalar_variable(k, 0);
    KILN_TAPE(k, outer);
    KILN_TAPE(k, inner);
    kiln_tensor *y = kiln_add(kiln_sub(kiln_pow(x, 2), kiln_mul(2.0, x)), 1.0);
    kiln_tensor *dy = kiln_gradient(inner, y, x);
    assert_float_equal(kiln_item(dy), -2, 0);
    assert_float_equal(kiln_item(kiln_gradient(outer, dy, x)), 2, 1e-12);
    assert_ok(k);
}

static void watched_coefficients(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *x = scalar_variable(k, 0);
    kiln_tensor *a = kiln_scalar(k, KILN_F64, 1), *b = kiln_scalar(k, KILN_F64, -2), *c = kiln_scalar(k, KILN_F64, 1);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, a);
    kiln_watch(tape, b);
    kiln_watch(tape, c);
    kiln_tensor *y = kiln_add(kiln_add(kiln_mul(a, kiln_pow(x, 2)), kiln_mul(b, x)), c);
    assert_float_equal(kiln_item(kiln_gradient(tape, y, a)), 0, 0); /* a and c are equal in value, not in identity */
    assert_float_equal(kiln_item(kiln_gradient(tape, y, c)), 1, 0);
    assert_float_equal(kiln_item(kiln_gradient(tape, y, x)), -2, 0);
    assert_ok(k);
}

static void persistence(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F64, 3);
    {
        KILN_TAPE_PERSISTENT(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_square(x), *z = kiln_square(y);
        assert_float_equal(kiln_item(kiln_gradient(tape, z, x)), 108, 1e-12);
        assert_float_equal(kiln_item(kiln_gradient(tape, y, x)), 6, 1e-12);
    }
    KILN_TAPE(k, once);
    kiln_watch(once, x);
    kiln_tensor *y = kiln_square(x);
    kiln_gradient(once, y, x);
    kiln_gradient(once, y, x);
    assert_error(k, KILN_ESTATE, "KILN_TAPE_PERSISTENT");
}

static void reads_are_leaves_and_sum(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *x = scalar_variable(k, 3);
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_mul(x, x);          /* two reads: x + x */
    kiln_assign(x, kiln_mul(y, 10.0));        /* nothing flows through an assignment */
    kiln_tensor *z = kiln_add(y, kiln_value(x));
    assert_float_equal(kiln_item(z), 99, 0);
    assert_float_equal(kiln_item(kiln_gradient(tape, z, x)), 7, 0);
    assert_ok(k);
}

static void gradients_flow_through_locals(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F64, 2);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_variable *acc = kiln_local(k, kiln_scalar(k, KILN_F64, 1));
    KILN_FOR(k, i, 5) { kiln_assign(acc, kiln_mul(acc, x)); }
    assert_float_equal(kiln_item(acc), 32, 0);
    assert_float_equal(kiln_item(kiln_gradient(tape, kiln_value(acc), x)), 80, 1e-12); /* 5 x^4 */
    assert_ok(k);
}

static void unconnected_is_zero_and_says_why(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *x = scalar_variable(k, 3), *unread = scalar_variable(k, 4);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *y = kiln_floor(kiln_mul(x, 1.5));
    assert_float_equal(kiln_item(kiln_gradient(tape, y, x)), 0, 0);
    assert_non_null(strstr(kiln_grad_why(tape, KILN_OPERAND(x)), "floor"));
    assert_float_equal(kiln_item(kiln_gradient(tape, y, unread)), 0, 0);
    assert_non_null(strstr(kiln_grad_why(tape, KILN_OPERAND(unread)), "not read"));
    kiln_tensor *z = kiln_stop_gradient(kiln_square(x));
    assert_float_equal(kiln_item(kiln_gradient(tape, z, x)), 0, 0);
    assert_ok(k);
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *i = kiln_i32(k, KILN_SHAPE(2), 1, 2);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, i);
    assert_error(k, KILN_EDTYPE, "floats");
    kiln_gradient(tape, i, i);
    assert_error(k, KILN_EDTYPE, "floats");
    kiln_gradient((kiln_tape *)NULL, i, i);
    assert_error(k, KILN_ESTATE, "NULL");
}

static void a_tape_ends_with_its_scope(void **state)
{
    kiln *k = *state;
    kiln_tensor *x = kiln_scalar(k, KILN_F64, 2);
    kiln_scope s = kiln_scope_open(k);
    kiln_tape *tape = kiln_tape_open_at(KILN_HERE, k, true);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_keep(kiln_square(x));
    kiln_scope_close(&s);
    kiln_gradient(tape, y, x);
    assert_error(k, KILN_ESTATE, "scope closed");
    kiln_watch(tape, x);
    assert_error(k, KILN_ESTATE, "scope closed");
    assert_non_null(strstr(kiln_grad_why(tape, KILN_OPERAND(x)), "scope closed"));
    kiln_tape_stop(tape);
    kiln_tape_close(&tape);
    assert_null(tape);
    assert_ok(k);
}

static void clip(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k;
    (void)x;
    (void)user;
    kiln_tensor *norm = kiln_norm(g);
    dx[0] = kiln_mul(g, kiln_div(0.5, kiln_max(norm, 0.5)));
}

static void log1pexp_back(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k;
    (void)user;
    dx[0] = kiln_mul(g, kiln_sub(1.0, kiln_div(1.0, kiln_add(1.0, kiln_exp(x[0])))));
}

static void custom_gradients(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *v = kiln_scalar(k, KILN_F32, 2);
    {
        KILN_TAPE(k, tape);
        kiln_watch(tape, v);
        kiln_tensor *c = kiln_custom_gradient(v, &v, 1, clip, NULL);
        assert_float_equal(kiln_item(kiln_gradient(tape, kiln_mul(c, c), v)), 0.5, 1e-6); /* 2 v = 4, clipped */
    }
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 100);
    {
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        assert_true(isnan(kiln_item(kiln_gradient(tape, kiln_log(kiln_add(1.0, kiln_exp(x))), x))));
    }
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_custom_gradient(kiln_log(kiln_add(1.0, kiln_exp(x))), &x, 1, log1pexp_back, NULL);
    assert_float_equal(kiln_item(kiln_gradient(tape, y, x)), 1, 0);
    assert_ok(k);
}

static void of_another_shape(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)g, (void)x, (void)user;
    dx[0] = kiln_zeros(k, KILN_F32, KILN_SHAPE(7));
}

/* A rule that fails on the way makes the whole question fail: no gradient is handed out, and no step is made with one. */
static void a_failed_rule_leaves_nothing(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 0.4), *w = kiln_variable_new(k, "w", KILN_F32, 0.5);
    kiln_optimizer *o = kiln_adam(k, 0.1);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *x = kiln_value(v), *y = kiln_mul(kiln_custom_gradient(kiln_exp(x), KILN_IN(x), of_another_shape, NULL), w), *d[2];
    assert_false(kiln_gradients(tape, y, KILN_IN(v, w), d));
    assert_int_equal(kiln_dtype_of(d[0]), KILN_NONE);
    assert_int_equal(kiln_dtype_of(d[1]), KILN_NONE);
    assert_error(k, KILN_ESHAPE, "custom gradient");
    kiln_optimizer_minimize(o, tape, y);
    assert_error(k, KILN_ESHAPE, "minimize");
    assert_true(kiln_item(v) == 0.4f && kiln_item(w) == 0.5f);
    kiln_optimizer_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(polynomial_first_and_second_order), FRONT_TEST(watched_coefficients), FRONT_TEST(persistence),
        FRONT_TEST(reads_are_leaves_and_sum), FRONT_TEST(gradients_flow_through_locals), FRONT_TEST(unconnected_is_zero_and_says_why),
        FRONT_TEST(misuse_is_named), FRONT_TEST(a_tape_ends_with_its_scope), FRONT_TEST(custom_gradients), FRONT_TEST(a_failed_rule_leaves_nothing),
    };
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
