/* test_linalg: factors of matrices that are halved, whose sizes are no multiples of anything, by what defines them; many examples; what is
 * refused. Small ones are compared with NumPy's in test_given_linalg. */
#include "values.h"

#include <stdlib.h>

#define S KILN_SHAPE

static kiln_tensor *drawn(kiln_dtype t, kiln_shape s, uint64_t seed)
{
    kiln_variable *g = kiln_generator(k, seed);
    kiln_tensor *x = kiln_cast(kiln_normal(g, KILN_F64, s, 0, 1), t);
    kiln_variable_free(g);
    return x;
}

static kiln_tensor *turned(kiln_tensor *x)
{
    return kiln_rank(x) == 2 ? kiln_transpose(x, KILN_AXES(1, 0)) : kiln_transpose(x, KILN_AXES(0, 2, 1));
}

static kiln_tensor *unit(kiln_dtype t, int64_t n)
{
    return kiln_cast(kiln_equal(kiln_iota(k, KILN_I64, S(n, n), 0), kiln_iota(k, KILN_I64, S(n, n), 1)), t);
}

/* The largest difference, in units of the last place of the largest element. */
static double apart(kiln_tensor *x, kiln_tensor *y)
{
    if (!x || !y || kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
    const double d = kiln_item(kiln_cast(kiln_reduce_max(kiln_abs(kiln_sub(x, y)), KILN_ALL), KILN_F64));
    const double most = kiln_item(kiln_cast(kiln_reduce_max(kiln_abs(y), KILN_ALL), KILN_F64));
    return d / most / (kiln_dtype_of(x) == KILN_F64 ? 0x1p-52 : 0x1p-23);
}

static const int64_t sizes[] = {31, 33, 64, 100, 161};

static void factors_give_their_product(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int wide = 0; wide < 2; wide++) {
            KILN_SCOPE(k);
            const int64_t n = sizes[i];
            const kiln_dtype t = wide ? KILN_F64 : KILN_F32;
            kiln_tensor *a = kiln_add(drawn(t, S(2, n, n), i + 1), kiln_mul(unit(t, n), 3)), *order, *q, *r;
            kiln_tensor *p = kiln_add(kiln_matmul(a, turned(a)), unit(t, n)), *l = kiln_cholesky(p);
            assert_true(apart(kiln_matmul(l, turned(l)), p) < 64);
            kiln_tensor *lu = kiln_lu(a, &order), *row = kiln_iota(k, KILN_I64, S(n, n), 0), *column = kiln_iota(k, KILN_I64, S(n, n), 1);
            kiln_tensor *low = kiln_add(kiln_where(kiln_greater(row, column), lu, 0), unit(t, n)), *up = kiln_where(kiln_less_equal(row, column), lu, 0);
            kiln_tensor *in_order = kiln_take_along(a, kiln_broadcast(kiln_expand(order, 2), S(2, n, n)), 1);
            assert_true(apart(kiln_matmul(low, up), in_order) < 512);
            assert_true(kiln_item(kiln_reduce_max(kiln_abs(kiln_where(kiln_greater(row, column), lu, 0)), KILN_ALL)) <= 1); /* pivots are largest */
            kiln_tensor *b = drawn(t, S(2, n, 3), 7);
            assert_true(apart(kiln_matmul(a, kiln_solve(a, b)), b) < 65536);
            assert_true(apart(kiln_matmul(kiln_inverse(a), a), kiln_broadcast(unit(t, n), S(2, n, n))) < 65536);
            q = kiln_qr(kiln_slice(a, 2, 0, n - 5, 1), &r);
            assert_true(apart(kiln_matmul(q, r), kiln_slice(a, 2, 0, n - 5, 1)) < 256);
            assert_true(apart(kiln_matmul(turned(q), q), kiln_broadcast(unit(t, n - 5), S(2, n - 5, n - 5))) < 256);
            q = kiln_qr(kiln_slice(a, 1, 0, n - 5, 1), &r);
            assert_true(apart(kiln_matmul(q, r), kiln_slice(a, 1, 0, n - 5, 1)) < 256);
        }
}

static void all_of(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    kiln_tensor *p = kiln_add(kiln_matmul(in[0], kiln_transpose(in[0], KILN_AXES(1, 0))), unit(kiln_dtype_of(in[0]), kiln_dim(in[0], 0)));
    out[0] = kiln_cholesky(p);
    out[1] = kiln_solve(in[0], in[1]);
    out[2] = kiln_qr(in[0], &out[3]);
    out[4] = kiln_det(in[0]);
    out[5] = kiln_expm(kiln_mul(in[0], 0.1));
    out[6] = kiln_triangular_solve(in[0], in[1], KILN_UPPER);
}

/* Compiled code, many examples at once, and their gradients, for sizes that are halved. */
static void compiled_and_mapped(void **state)
{
    (void)state;
    enum { N = 36, OUT = 7 };
    kiln_function *f = kiln_function_new(k, all_of, NULL, &(kiln_function_options){.name = "all_of", .inputs_count = 2, .outputs = OUT});
    kiln_tensor *a = kiln_add(drawn(KILN_F64, S(3, N, N), 3), kiln_mul(unit(KILN_F64, N), 20)), *b = drawn(KILN_F64, S(3, N, 2), 4);
    kiln_tensor *all[OUT], *one[3][OUT];
    assert_true(kiln_call_all(kiln_vmap(f, NULL), KILN_IN(a, b), all, OUT));
    for (int e = 0; e < 3; e++)
        assert_true(kiln_call_all(f, KILN_IN(kiln_squeeze(kiln_slice(a, 0, e, e + 1, 1), 0), kiln_squeeze(kiln_slice(b, 0, e, e + 1, 1), 0)), one[e], OUT));
    for (int i = 0; i < OUT; i++)
        for (int e = 0; e < 3; e++) assert_true(apart(kiln_squeeze(kiln_slice(all[i], 0, e, e + 1, 1), 0), one[e][i]) < 4096);
    if (!late_keeps()) {
        kiln_tensor *in[2] = {kiln_squeeze(kiln_slice(a, 0, 0, 1, 1), 0), kiln_squeeze(kiln_slice(b, 0, 0, 1, 1), 0)};
        if (kiln_check(NULL, f, kiln_tensors(in, 2)) == KILN_DISAGREE) fail_msg("%s", kiln_error(k)->text);
    }
}

static void singular_and_not_definite(void **state)
{
    (void)state;
    kiln_tensor *logarithm, *x = kiln_f64(k, S(2, 2), 1, 2, 2, 4);
    EXACTLY(kiln_det(x), KILN_F64, S(), 0);
    EXACTLY(kiln_slogdet(x, &logarithm), KILN_F64, S(), 0);
    EXACTLY(logarithm, KILN_F64, S(), -INFINITY);
    EXACTLY(kiln_cholesky(kiln_f64(k, S(2, 2), 4, 9, 2, 0)), KILN_F64, S(2, 2), 2, 0, 1, NAN);
    EXACTLY(kiln_det(kiln_zeros(k, KILN_F32, S(0, 0))), KILN_F32, S(), 1);
    EXACTLY(kiln_cast(kiln_inverse(kiln_cast(kiln_f32(k, S(2, 2), 2, 0, 0, 4), KILN_BF16)), KILN_F32), KILN_F32, S(2, 2), 0.5, 0, 0, 0.25);
}

/* What is solved before the row whose diagonal is zero does not see it, however many columns there are. */
static void rows_before_a_zero(void **state)
{
    (void)state;
    for (int64_t columns = 1; columns < 6; columns += 2)
        for (int upper = 0; upper < 2; upper++) {
            kiln_tensor *a = upper ? kiln_f64(k, S(3, 3), 0, 3, 5, 0, 4, 6, 0, 0, 2) : kiln_f64(k, S(3, 3), 2, 0, 0, 6, 4, 0, 5, 3, 0);
            kiln_tensor *x = kiln_triangular_solve(a, kiln_ones(k, KILN_F64, S(3, columns)), upper ? KILN_UPPER : 0);
            for (int64_t c = 0; c < columns; c++) {
                EXACTLY(kiln_slice(kiln_slice(x, 1, c, c + 1, 1), 0, upper ? 2 : 0, upper ? 3 : 1, 1), KILN_F64, S(1, 1), 0.5);
                EXACTLY(kiln_slice(kiln_slice(x, 1, c, c + 1, 1), 0, 1, 2, 1), KILN_F64, S(1, 1), -0.5);
            }
        }
}

static void lower(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_triangular_solve(in[0], in[1], 0);
}

/* 1 / a is infinite, though b / a is 1: which of both comes out is the inverse's business, and checks know. */
static void an_inverse_beyond_all_numbers(void **state)
{
    (void)state;
    kiln_function *f = kiln_function_new(k, lower, NULL, &(kiln_function_options){.inputs_count = 2, .outputs = 1});
    kiln_tensor *in[2] = {kiln_f64(k, S(2, 2), 1e-320, 0, 0, 1), kiln_full(k, KILN_F64, S(2, 5), 1e-320)};
    if (late_is_own()) return; /* the check's eager code would make the inverse there, beside operands that are here */
    if (kiln_check(NULL, f, kiln_tensors(in, 2)) == KILN_DISAGREE) fail_msg("%s", kiln_error(k)->text);
}

static void of_nothing(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_det(in[0]);
    out[1] = kiln_cholesky(in[0]);
    out[2] = kiln_qr(in[0], &out[3]);
    out[4] = kiln_solve(in[0], in[0]);
}

static void empty_and_narrow(void **state)
{
    (void)state;
    kiln_tensor *out[5], *x = kiln_cast(kiln_f32(k, S(2, 2), 2, 0, 0, 4), KILN_F16), *y = kiln_cast(kiln_f32(k, S(2), 1, 1), KILN_F16);
    kiln_function *f = kiln_function_new(k, of_nothing, NULL, &(kiln_function_options){.inputs_count = 1, .outputs = 5});
    if (!kiln_call_all(f, KILN_IN(kiln_zeros(k, KILN_F64, S(0, 0))), out, 5)) fail_msg("%s", kiln_error(k)->text);
    EXACTLY(out[0], KILN_F64, S(), 1);
    assert_int_equal(kiln_elements(out[2]), 0);
    assert_int_equal(kiln_dtype_of(kiln_solve(x, y)), KILN_F16);
    assert_int_equal(kiln_dtype_of(kiln_triangular_solve(x, x, 0)), KILN_F16);
    assert_int_equal(kiln_dtype_of(kiln_solve(x, kiln_cast(y, KILN_F64))), KILN_F64);
    EXACTLY(kiln_cast(kiln_solve(x, y), KILN_F32), KILN_F32, S(2), 0.5, 0.25);
}

static kiln_tensor *sized;
static void of_a_symbol(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)e, (void)user, out[0] = kiln_cholesky(in[0]); }

static void errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_ones(k, KILN_F32, S(2, 3)), *y = kiln_ones(k, KILN_F32, S(2, 2));
    FAILS(kiln_cholesky(x), KILN_ESHAPE, "cholesky: needs square matrices: f32[2,3]");
    FAILS(kiln_det(kiln_ones(k, KILN_F32, S(3))), KILN_ESHAPE, "det: needs matrices, the last two axes: f32[3]");
    FAILS(kiln_inverse(kiln_ones(k, KILN_I32, S(2, 2))), KILN_EDTYPE, "inverse: needs floats, use kiln_cast: i32[2,2]");
    FAILS(kiln_solve(y, kiln_ones(k, KILN_F32, S(3, 1))), KILN_ESHAPE, "solve: the sizes of the matrix and of the other side differ: f32[2,2], f32[3,1]");
    FAILS(kiln_triangular_solve(y, y, 3), KILN_EVALUE,
        "triangular_solve: how is 3 (allowed: a sum of KILN_UPPER, KILN_TRANSPOSED, KILN_UNIT, KILN_RIGHT)");
    FAILS(kiln_triangular_solve(y, x, KILN_RIGHT), KILN_ESHAPE,
        "triangular_solve: the sizes of the matrix and of the other side differ: f32[2,2], f32[2,3]");
    kiln_function *f = kiln_function_new(k, of_a_symbol, NULL, &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 8), KILN_DIM("N", 1, 8))}});
    sized = kiln_call(f, y);
    fails_with(KILN_EUNSUPPORTED, "cholesky: a matrix's size is known only when the function runs: f32[N,N]", __FILE__);
    kiln_function_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(factors_give_their_product), ENGINE_TEST(compiled_and_mapped),
        ENGINE_TEST(singular_and_not_definite), ENGINE_TEST(rows_before_a_zero), ENGINE_TEST(an_inverse_beyond_all_numbers), ENGINE_TEST(empty_and_narrow), ENGINE_TEST(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
