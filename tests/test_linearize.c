/* test_linearize: kiln_linearize against kiln_jvp: values, tangents, later changes of what was read, maps, gradients, errors. */
#include "front.h"

static void model(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *w = user;
    kiln_tensor *h = kiln_tanh(kiln_matmul(in[0], w));
    kiln_variable *turn = kiln_local(k, h);
    KILN_FOR(k, i, 3) kiln_assign(turn, kiln_sin(kiln_add(turn, in[1])));
    out[0] = kiln_sum(kiln_mul(turn, kiln_softmax(h, 1)), KILN_AXES(1));
    out[1] = kiln_argmax(h, 1);
    out[2] = kiln_exp(in[1]);
}

static kiln_tensor *ramp(kiln *k, kiln_shape s, double by)
{
    int64_t n = 1;
    for (int i = 1; i <= s.rank; i++) n *= s.size[i];
    return kiln_reshape(kiln_sin(kiln_mul(kiln_iota(k, KILN_F64, KILN_SHAPE(n), 0), by)), s);
}

typedef struct Made {
    kiln_variable *w;
    kiln_function *f, *jvp;
    kiln_tensor *x, *b;
} Made;

static Made made(kiln *k)
{
    Made m = {.w = kiln_variable_new(k, "w", ramp(k, KILN_SHAPE(5, 4), 0.7))};
    m.f = kiln_function_new(k, model, m.w, &(kiln_function_options){.name = "model", .inputs_count = 2, .outputs = 3});
    m.jvp = kiln_jvp(m.f);
    m.x = ramp(k, KILN_SHAPE(3, 5), 0.31);
    m.b = ramp(k, KILN_SHAPE(4), 1.3);
    return m;
}

static void it_is_the_jvp(void **state)
{
    kiln *k = *state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        Made m = made(k);
        kiln_tensor *y[3], *want[6], *got[3];
        kiln_function *linear = kiln_linearize(m.f, KILN_IN(m.x, m.b), y, 3);
        assert_ok(k);
        assert_non_null(linear);
        for (int i = 1; i < 4; i++) {
            kiln_tensor *dx = ramp(k, KILN_SHAPE(3, 5), 0.9 * i), *db = ramp(k, KILN_SHAPE(4), 0.2 * i);
            assert_true(kiln_call_all(m.jvp, KILN_IN(m.x, m.b, dx, db), want, 6));
            kiln_tensor *before = kiln_value(m.w);
            kiln_assign(m.w, kiln_mul(m.w, 3)); /* it was taken as it was */
            assert_true(kiln_call_all(linear, KILN_IN(dx, db), got, 3));
            kiln_assign(m.w, before);
            for (int o = 0; o < 3; o++) {
                assert_true(kiln_assert_close(kiln_cast(y[o], KILN_F64), kiln_cast(want[o], KILN_F64), 1e-14));
                assert_int_equal(kiln_dtype_of(got[o]), kiln_dtype_of(want[3 + o]));
                assert_true(kiln_assert_close(kiln_cast(got[o], KILN_F64), kiln_cast(want[3 + o], KILN_F64), 1e-13));
            }
        }
        assert_ok(k);
        kiln_function_free(linear);
        kiln_eager(k, false);
    }
}

static void square(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *y[3];
    (void)k;
    kiln_call_all(user, KILN_IN(in[0], in[1]), y, 3);
    out[0] = kiln_sum(kiln_square(y[0]), KILN_ALL);
}

/* Its tangents are the columns of the Jacobian; the gradient of |J t|^2 / 2 is J' J t. */
static void it_is_mapped_and_differentiated(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Made m = made(k);
    kiln_tensor *columns[3], *rows[6];
    kiln_function *linear = kiln_linearize(m.f, KILN_IN(m.x, m.b), NULL, 0), *many = kiln_vmap(linear, NULL);
    kiln_tensor *units = kiln_reshape(kiln_eye(k, KILN_F64, 15, 15, 0), KILN_SHAPE(15, 3, 5));
    assert_true(kiln_call_all(many, KILN_IN(units, kiln_zeros(k, KILN_F64, KILN_SHAPE(15, 4))), columns, 3));
    assert_true(kiln_call_all(kiln_jacobian(m.f), KILN_IN(m.x, m.b), rows, 6));
    kiln_tensor *jacobian = kiln_reshape(rows[0], KILN_SHAPE(3, 15));
    assert_true(kiln_assert_close(kiln_matrix_transpose(columns[0]), jacobian, 1e-13));

    kiln_function *f = kiln_function_new(k, square, linear, &(kiln_function_options){.name = "square", .inputs_count = 2});
    kiln_tensor *dx = ramp(k, KILN_SHAPE(3, 5), 0.4), *slope = kiln_call(kiln_grad(f), dx, kiln_zeros(k, KILN_F64, KILN_SHAPE(4)));
    kiln_tensor *want = kiln_matmul(kiln_mul(2, kiln_matmul(jacobian, kiln_reshape(dx, KILN_SHAPE(15)))), jacobian);
    assert_true(kiln_assert_close(kiln_reshape(slope, KILN_SHAPE(15)), want, 1e-12));
    assert_ok(k);
}

static void assigns(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_assign_add(user, 1);
    out[0] = in[0];
}

static void errors_say_what_is_wrong(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Made m = made(k);
    kiln_tensor *y[3];
    assert_null(kiln_linearize(NULL, KILN_IN(m.x), y, 1));
    assert_error(k, KILN_ESTATE, "linearize: the function is NULL");
    assert_null(kiln_linearize(m.f, KILN_IN(m.x, m.b), y, 4));
    assert_error(k, KILN_EVALUE, "4 outputs asked for, but it has 3");
    assert_null(kiln_linearize(m.f, KILN_IN(m.x), y, 3));
    assert_error(k, KILN_EVALUE, "called with 1 arguments, but it takes 2");
    kiln_function *f = kiln_function_new(k, assigns, kiln_variable_new(k, "count", kiln_scalar(k, KILN_I64, 0)), &(kiln_function_options){.name = "f", .inputs_count = 1});
    assert_null(kiln_linearize(f, KILN_IN(m.x), y, 1));
    assert_error(k, KILN_EUNSUPPORTED, "linearize of f: it assigns variable count");
    kiln_function *linear = kiln_linearize(m.f, KILN_IN(m.x, m.b), y, 3);
    kiln_call(linear, m.b, m.b);
    assert_error(k, KILN_ESHAPE, "linearize: a tangent is f64[4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(it_is_the_jvp), FRONT_TEST(it_is_mapped_and_differentiated), FRONT_TEST(errors_say_what_is_wrong)};
    return cmocka_run_group_tests_name("linearize", tests, front_needs_llvm, NULL);
}
