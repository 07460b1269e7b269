/* The public operations on values: elementwise, reductions, movement, contraction; dtypes and
 * numbers as operands. */
#include "values.h"

#define S KILN_SHAPE

static void numbers_take_the_tensors_dtype(void **state)
{
    (void)state;
    kiln_tensor *i = kiln_i32(k, S(2), 1, 2), *f = kiln_f32(k, S(2), 1, 2),
                *u = kiln_u8(k, S(2), 1, 2);
    EXACTLY(kiln_add(i, 1), KILN_I32, S(2), 2, 3);
    EXACTLY(kiln_add(i, 2.0), KILN_I32, S(2), 3, 4);
    EXACTLY(kiln_mul(2.5, f), KILN_F32, S(2), 2.5, 5);
    EXACTLY(kiln_sub(10, u), KILN_U8, S(2), 9, 8);
    EXACTLY(kiln_add(u, 255), KILN_U8, S(2), 0, 1);
    EXACTLY(kiln_less(f, 1.5), KILN_BOOL, S(2), 1, 0);
    EXACTLY(kiln_and(kiln_less(f, 1.5), true), KILN_BOOL, S(2), 1, 0);
    EXACTLY(
        kiln_add(kiln_zeros(k, KILN_U64, S()), UINT64_MAX), KILN_U64, S(), 18446744073709551615.0);
    EXACTLY(kiln_pow(f, 2), KILN_F32, S(2), 1, 4);
}

static void dtypes_promote_within_a_kind(void **state)
{
    (void)state;
    kiln_tensor *i = kiln_i32(k, S(2), 1, 2), *l = kiln_i64(k, S(2), 10, 20),
                *f = kiln_f32(k, S(2), 1, 2);
    kiln_tensor *d = kiln_f64(k, S(2), 0.5, 0.25), *u = kiln_u8(k, S(2), 200, 100);
    EXACTLY(kiln_add(i, l), KILN_I64, S(2), 11, 22);
    EXACTLY(kiln_mul(f, d), KILN_F64, S(2), 0.5, 0.5);
    EXACTLY(kiln_add(u, i), KILN_I32, S(2), 201, 102);
    EXACTLY(kiln_sub(u, kiln_cast(i, KILN_I8)), KILN_I16, S(2), 199, 98);
    FAILS(kiln_add(i, f), KILN_EDTYPE,
        "add: dtypes of different kinds, use kiln_cast: i32[2] x f32[2]");
    FAILS(kiln_add(l, kiln_cast(l, KILN_U64)), KILN_EDTYPE,
        "add: dtypes of different kinds, use kiln_cast: i64[2] x u64[2]");
    FAILS(kiln_mul(kiln_less(f, 2), f), KILN_EDTYPE,
        "mul: dtypes of different kinds, use kiln_cast: bool[2] x f32[2]");
}

static void numbers_that_do_not_fit(void **state)
{
    (void)state;
    kiln_tensor *i = kiln_i32(k, S(2), 1, 2), *u = kiln_u8(k, S(2), 1, 2),
                *b = kiln_bool(k, S(1), true);
    kiln_tensor *f = kiln_f32(k, S(1), 1);
    FAILS(kiln_add(i, 0.5), KILN_EDTYPE,
        "add: 0.5 is not an integer, but the dtype here is i32 (kiln_cast a tensor to a float dtype first)");
    FAILS(kiln_add(i, NAN), KILN_EDTYPE,
        "add: nan is not an integer, but the dtype here is i32 (kiln_cast a tensor to a float dtype first)");
    FAILS(kiln_add(u, -1), KILN_EVALUE, "add: -1 is out of the range of u8 (0 to 255)");
    FAILS(kiln_add(u, 256u), KILN_EVALUE, "add: 256 is out of the range of u8 (0 to 255)");
    FAILS(kiln_mul(i, 3e9), KILN_EVALUE,
        "mul: 3e+09 is out of the range of i32 (-2147483648 to 2147483647)");
    FAILS(kiln_mul(kiln_cast(i, KILN_U64), -1.0), KILN_EVALUE,
        "mul: -1 is out of the range of u64 (0 to 18446744073709551615)");
    FAILS(kiln_mul(f, 1e300), KILN_EVALUE, "mul: 1e+300 is beyond the largest f32");
    FAILS(kiln_mul(kiln_cast(f, KILN_F16), 70000), KILN_EVALUE,
        "mul: 70000 is beyond the largest f16");
    FAILS(kiln_and(b, 2), KILN_EDTYPE, "and: a bool tensor takes only true and false, not 2");
    FAILS(kiln_add_at(KILN_HERE, kiln_of_tensor(f), kiln_of_bool(true)), KILN_EDTYPE,
        "add: true goes with bool tensors only, not with f32");
    FAILS(kiln_add(1, 2), KILN_EVALUE, "add: at least one operand must be a tensor or a variable");
    FAILS(kiln_sqrt(2.0), KILN_EVALUE, "sqrt: an operand is a number; it must be a tensor or a variable");
    FAILS(kiln_full(k, KILN_I8, S(2), 128), KILN_EVALUE,
        "full: 128 is out of the range of i8 (-128 to 127)");
}

static void shapes_broadcast(void **state)
{
    (void)state;
    kiln_tensor *row = kiln_f32(k, S(3), 1, 2, 3), *column = kiln_f32(k, S(2, 1), 10, 20),
                *one = kiln_f32(k, S(1), 5);
    EXACTLY(kiln_add(row, column), KILN_F32, S(2, 3), 11, 12, 13, 21, 22, 23);
    EXACTLY(kiln_sub(one, row), KILN_F32, S(3), 4, 3, 2);
    has_shape(kiln_add(kiln_zeros(k, KILN_F32, S(0, 3)), row), KILN_F32, S(0, 3));
}

static void broadcast_errors(void **state)
{
    (void)state;
    kiln_tensor *a = kiln_f32(k, S(2, 3), 1, 2, 3, 4, 5, 6), *b = kiln_f32(k, S(4), 1, 2, 3, 4);
    FAILS(kiln_add(a, b), KILN_ESHAPE, "add: shapes do not broadcast: f32[2,3] x f32[4]");
    FAILS(kiln_where(kiln_less(b, 2), a, 0), KILN_ESHAPE,
        "where: shapes do not broadcast: bool[4] x f32[2,3]");
    FAILS(kiln_where(a, a, a), KILN_EDTYPE, "where: the condition must be bool, not f32[2,3]");
    FAILS(kiln_where(kiln_less(a, 2), 1, 2), KILN_EVALUE,
        "where: x and y are numbers, which have no dtype: make one of them a tensor, as by kiln_scalar");
    FAILS(kiln_where(2, a, 0), KILN_EDTYPE, "where: a bool tensor takes only true and false, not 2");
    FAILS(kiln_mse(kiln_expand(b, 1), b), KILN_ESHAPE,
        "mse: prediction and target differ in shape: f32[4,1] x f32[4]");
}

static void handles_that_cannot_be_used(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2), 1, 2);
    FAILS(kiln_add(x, NULL), KILN_EVALUE, "add: a tensor is NULL");
    FAILS(kiln_exp((kiln_tensor *)NULL), KILN_EVALUE, "exp: a tensor is NULL");
    FAILS(kiln_add(x, (kiln_variable *)NULL), KILN_EVALUE, "add: a variable is NULL");
    FAILS(kiln_neg_at(KILN_HERE, (kiln_operand){{0}, 0, 0}), KILN_EVALUE,
        "neg: an operand is not a tensor, variable or number (kind 0)");
    kiln *other = kiln_open(NULL);
    kiln_tensor *foreign = kiln_f32(other, S(2), 1, 2);
    FAILS(kiln_add(x, foreign), KILN_ESTATE, "add: operands belong to different engines");
    assert_int_equal(kiln_close(other), 0);
    /* Poison passes on silently, and the first error stays. */
    kiln_tensor *bad = kiln_add(x, 1e300),
                *worse = kiln_softmax(kiln_matmul(kiln_exp(bad), bad), 7);
    assert_non_null(worse);
    assert_int_equal(kiln_dtype_of(worse), KILN_NONE);
    assert_int_equal(kiln_rank(worse), 0);
    assert_int_equal(kiln_elements(worse), 0);
    assert_true(isnan(kiln_item(worse)));
    assert_null(kiln_data(worse));
    fails_with(KILN_EVALUE, "add: 1e+300 is beyond the largest f32", __FILE__);
    assert_false(kiln_failed(k));
}

static void closed_handles(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2), 1, 2), *gone;
    int opened, made;
    {
        opened = __LINE__ + 1;
        KILN_SCOPE(k);
        made = __LINE__ + 1;
        gone = kiln_add(x, 1);
    }
    char want[320];
    snprintf(want, sizeof want,
        "add: a tensor made at %s:%d is used after its scope, opened at %s:%d, closed (kiln_keep "
        "or kiln_own it there)",
        __FILE__, made, __FILE__, opened);
    FAILS(kiln_add(x, gone), KILN_ESTATE, want);
    gone = kiln_own(kiln_add(x, 1)), made = __LINE__;
    kiln_release(gone);
    snprintf(want, sizeof want, "add: a tensor made at %s:%d is used after it was released",
        __FILE__, made);
    FAILS(kiln_add(x, gone), KILN_ESTATE, want);
    kiln_scope s = kiln_scope_open(k);
    gone = kiln_add(x, 1), made = __LINE__;
    kiln_scope_close(&s);
    snprintf(want, sizeof want,
        "neg: a tensor made at %s:%d is used after its scope closed (kiln_keep or kiln_own it "
        "there)",
        __FILE__, made);
    FAILS(kiln_neg(gone), KILN_ESTATE, want);
}

static void arithmetic_follows_python(void **state)
{
    (void)state;
    kiln_tensor *i = kiln_i32(k, S(4), 7, -7, 7, -7), *j = kiln_i32(k, S(4), 2, 2, -2, -2);
    EXACTLY(kiln_floor_div(i, j), KILN_I32, S(4), 3, -4, -4, 3);
    EXACTLY(kiln_mod(i, j), KILN_I32, S(4), 1, 1, -1, -1);
    kiln_tensor *f = kiln_f32(k, S(4), 7.5, -7.5, 7.5, -7.5), *g = kiln_f32(k, S(4), 2, 2, -2, -2);
    EXACTLY(kiln_floor_div(f, g), KILN_F32, S(4), 3, -4, -4, 3);
    EXACTLY(kiln_mod(f, g), KILN_F32, S(4), 1.5, 0.5, -0.5, -1.5);
    EXACTLY(kiln_floor_div(i, 0), KILN_I32, S(4), 0, 0, 0, 0);
    EXACTLY(kiln_shl(i, 1), KILN_I32, S(4), 14, -14, 14, -14);
    EXACTLY(kiln_shr(i, 1), KILN_I32, S(4), 3, -4, 3, -4);
    EXACTLY(kiln_not(i), KILN_I32, S(4), -8, 6, -8, 6);
    EXACTLY(kiln_round(kiln_f32(k, S(4), 0.5, 1.5, -2.5, 2.6)), KILN_F32, S(4), 0, 2, -2, 3);
    EXACTLY(kiln_sign(kiln_f32(k, S(3), -3, 0, 9)), KILN_F32, S(3), -1, 0, 1);
    EXACTLY(kiln_max(kiln_f32(k, S(2), NAN, 1), 2), KILN_F32, S(2), NAN, 2);
    EXACTLY(kiln_pow(i, 2), KILN_I32, S(4), 49, 49, 49, 49);
    EXACTLY(kiln_floor(i), KILN_I32, S(4), 7, -7, 7, -7);
    EXACTLY(kiln_square(i), KILN_I32, S(4), 49, 49, 49, 49);
}

static void elementary_functions(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2), 0.5, 2);
    NEAR(kiln_exp(x), KILN_F32, S(2), exp(0.5), exp(2));
    NEAR(kiln_log(x), KILN_F32, S(2), log(0.5), log(2));
    NEAR(kiln_sqrt(x), KILN_F32, S(2), sqrt(0.5), sqrt(2));
    NEAR(kiln_sin(x), KILN_F32, S(2), sin(0.5), sin(2));
    NEAR(kiln_cos(x), KILN_F32, S(2), cos(0.5), cos(2));
    NEAR(kiln_tanh(x), KILN_F32, S(2), tanh(0.5), tanh(2));
    NEAR(kiln_erf(x), KILN_F32, S(2), erf(0.5), erf(2));
    NEAR(kiln_atan2(x, 2), KILN_F32, S(2), atan2(0.5, 2), atan2(2, 2));
    NEAR(
        kiln_sqrt(kiln_add(kiln_exp(kiln_f32(k, S(1), 2)), 1.0)), KILN_F32, S(1), sqrt(exp(2) + 1));
}

static void casts(void **state)
{
    (void)state;
    kiln_tensor *f = kiln_f32(k, S(5), -1.7, 1.7, 300, NAN, 0);
    EXACTLY(kiln_cast(f, KILN_I32), KILN_I32, S(5), -1, 1, 300, 0, 0);
    EXACTLY(kiln_cast(f, KILN_U8), KILN_U8, S(5), 0, 1, 255, 0, 0);
    EXACTLY(kiln_cast(f, KILN_BOOL), KILN_BOOL, S(5), 1, 1, 1, 1, 0);
    EXACTLY(kiln_cast(kiln_i32(k, S(2), 3, -4), KILN_F64), KILN_F64, S(2), 3, -4);
    assert_ptr_not_equal(kiln_cast(f, KILN_F32), f);
    FAILS(kiln_cast(f, (kiln_dtype)77), KILN_EDTYPE, "cast: 77 is not a dtype");
}

static void reductions(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2, 3), 1, 2, 3, 4, 5, 6), *i = kiln_i32(k, S(2, 2), 3, 1, 2, 3);
    EXACTLY(kiln_sum(x, KILN_ALL), KILN_F32, S(), 21);
    EXACTLY(kiln_sum(x, KILN_AXES(0)), KILN_F32, S(3), 5, 7, 9);
    EXACTLY(kiln_sum(x, KILN_AXES(-1)), KILN_F32, S(2), 6, 15);
    EXACTLY(kiln_sum(x, KILN_KEEP(1)), KILN_F32, S(2, 1), 6, 15);
    EXACTLY(kiln_sum(x, KILN_KEEP(1, 0)), KILN_F32, S(1, 1), 21);
    EXACTLY(kiln_prod(x, KILN_AXES(1)), KILN_F32, S(2), 6, 120);
    EXACTLY(kiln_mean(x, KILN_AXES(0)), KILN_F32, S(3), 2.5, 3.5, 4.5);
    EXACTLY(kiln_mean(x, KILN_ALL), KILN_F32, S(), 3.5);
    NEAR(kiln_variance(x, KILN_AXES(1)), KILN_F32, S(2), 2.0 / 3, 2.0 / 3);
    EXACTLY(kiln_variance(x, KILN_KEEP(0)), KILN_F32, S(1, 3), 2.25, 2.25, 2.25);
    EXACTLY(kiln_reduce_max(x, KILN_AXES(0)), KILN_F32, S(3), 4, 5, 6);
    EXACTLY(kiln_reduce_min(i, KILN_ALL), KILN_I32, S(), 1);
    EXACTLY(kiln_any(kiln_greater(x, 3), KILN_AXES(1)), KILN_BOOL, S(2), 0, 1);
    EXACTLY(kiln_all(kiln_greater(x, 3), KILN_AXES(1)), KILN_BOOL, S(2), 0, 1);
    EXACTLY(kiln_all(kiln_greater(x, 0), KILN_ALL), KILN_BOOL, S(), 1);
    EXACTLY(kiln_argmax(i, 1), KILN_I64, S(2), 0, 1);
    EXACTLY(kiln_argmin(i, -2), KILN_I64, S(2), 1, 0);
    EXACTLY(kiln_argmax(kiln_f32(k, S(3), 1, NAN, 5), 0), KILN_I64, S(), 1);
    EXACTLY(kiln_mean(kiln_full(k, KILN_F16, S(70000), 2), KILN_ALL), KILN_F16, S(), 2);
    EXACTLY(kiln_mean(kiln_zeros(k, KILN_F32, S(0)), KILN_ALL), KILN_F32, S(), NAN);
    EXACTLY(kiln_sum(kiln_zeros(k, KILN_F32, S(0, 2)), KILN_AXES(0)), KILN_F32, S(2), 0, 0);
    EXACTLY(kiln_sum(kiln_scalar(k, KILN_F32, 4), KILN_ALL), KILN_F32, S(), 4);
}

static void reduction_errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2, 3), 1, 2, 3, 4, 5, 6), *i = kiln_i32(k, S(2), 1, 2);
    FAILS(kiln_sum(x, KILN_AXES(2)), KILN_ESHAPE, "sum: axis 2 is out of range for rank 2 (allowed: -2 to 1)");
    FAILS(kiln_sum(x, KILN_AXES(0, -2)), KILN_ESHAPE, "sum: axis 0 is named twice");
    FAILS(kiln_sum(kiln_scalar(k, KILN_F32, 1), KILN_AXES(0)), KILN_ESHAPE,
        "sum: axis 0 is out of range: a scalar has no axes");
    FAILS(kiln_mean(i, KILN_ALL), KILN_EDTYPE, "mean: needs floats, use kiln_cast: i32[2]");
    EXACTLY(kiln_sum(kiln_eq(i, i), KILN_ALL), KILN_I64, S(), 2);
    EXACTLY(kiln_sum(kiln_eq(i, i), KILN_AXES()), KILN_I64, S(2), 1, 1);
    EXACTLY(kiln_any(i, KILN_ALL), KILN_BOOL, S(), 1);
    FAILS(kiln_argmax(x, 5), KILN_ESHAPE, "argmax: axis 5 is out of range for rank 2 (allowed: -2 to 1)");
    (void)kiln_reduce_max(kiln_zeros(k, KILN_F32, S(0)), KILN_ALL);
    assert_int_equal(kiln_error(k)->code, KILN_ESHAPE);
    kiln_clear(k);
}

static void reshaping(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_i32(k, S(2, 3), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_reshape(x, S(3, 2)), KILN_I32, S(3, 2), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_reshape(x, S(-1)), KILN_I32, S(6), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_reshape(x, S(1, -1, 2)), KILN_I32, S(1, 3, 2), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_reshape(kiln_transpose(x, KILN_ALL), S(-1)), KILN_I32, S(6), 1, 4, 2, 5, 3, 6);
    EXACTLY(kiln_transpose(x, KILN_AXES(-1, 0)), KILN_I32, S(3, 2), 1, 4, 2, 5, 3, 6);
    EXACTLY(kiln_expand(x, 1), KILN_I32, S(2, 1, 3), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_expand(x, -1), KILN_I32, S(2, 3, 1), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_squeeze(kiln_expand(x, 0), 0), KILN_I32, S(2, 3), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_flatten(kiln_expand(x, 2)), KILN_I32, S(2, 3), 1, 2, 3, 4, 5, 6);
    EXACTLY(kiln_broadcast(kiln_i32(k, S(2, 1), 1, 2), S(2, 2, 2)), KILN_I32, S(2, 2, 2), 1, 1, 2,
        2, 1, 1, 2, 2);
    EXACTLY(kiln_broadcast(kiln_i32(k, S(2, 1), 1, 2), S(-1, 2)), KILN_I32, S(2, 2), 1, 1, 2, 2);
    FAILS(kiln_reshape(x, S(4, -1)), KILN_ESHAPE,
        "reshape: i32[2,3] cannot become [4,-1]: the numbers of elements differ");
    FAILS(
        kiln_reshape(x, S(7)), KILN_ESHAPE, "reshape: i32[2,3] cannot become [7]: the numbers of elements differ");
    FAILS(kiln_reshape(x, S(-1, -1)), KILN_ESHAPE, "reshape: only one size may be -1");
    FAILS(kiln_reshape(x, S(-2)), KILN_ESHAPE,
        "reshape: axis 0 of [-2] has size -2; it must be 0 or more, or -1 for what remains");
    FAILS(kiln_reshape(x, S(INT64_C(1) << 62)), KILN_ESHAPE,
        "reshape: [4611686018427387904] is too large: a tensor has at most 2^48 elements");
    FAILS(kiln_transpose(x, KILN_AXES(0, 0)), KILN_ESHAPE, "transpose: axis 0 is named twice");
    FAILS(kiln_transpose(x, KILN_AXES(0)), KILN_ESHAPE, "transpose: 1 axes named for rank 2: i32[2,3]");
    FAILS(kiln_squeeze(x, 0), KILN_ESHAPE, "squeeze: axis 0 does not have size 1: i32[2,3]");
    FAILS(kiln_broadcast(x, S(3, 3)), KILN_ESHAPE,
        "broadcast: i32[2,3] cannot become [3,3]: axis 0 becomes 3 only from that size or from 1");
    FAILS(kiln_broadcast(x, S(3)), KILN_ESHAPE,
        "broadcast: i32[2,3] cannot become [3]: it has 2 axes; a broadcast adds axes and never removes any");
    FAILS(kiln_broadcast(x, S(-1, 2, 3)), KILN_ESHAPE,
        "broadcast: i32[2,3] cannot become [-1,2,3]: axis 0 is new, so its size cannot be -1");
    FAILS(kiln_broadcast(x, S(INT64_C(1) << 47, 2, 3)), KILN_ESHAPE,
        "broadcast: [140737488355328,2,3] is too large: a tensor has at most 2^48 elements");
    FAILS(kiln_broadcast(x, S(INT64_MAX, 2, 3)), KILN_ESHAPE,
        "broadcast: [9223372036854775807,2,3] is too large: a tensor has at most 2^48 elements");
    FAILS(kiln_flatten(kiln_scalar(k, KILN_F32, 1)), KILN_ESHAPE,
        "flatten: a scalar has no axes");
}

static void slices_follow_python(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_i32(k, S(6), 0, 1, 2, 3, 4, 5);
    /* Every start, stop and step near the edges, against Python's definition. */
    for (int start = -8; start <= 8; start++)
        for (int stop = -8; stop <= 9; stop++)
            for (int step = -3; step <= 3; step++) {
                if (step == 0) continue;
                KILN_SCOPE(k);
                int n = 0, want[6], first = start < 0 ? start + 6 : start,
                    end = stop < 0 ? stop + 6 : stop;
                int low = step < 0 ? -1 : 0, high = step < 0 ? 5 : 6;
                first = first < low ? low : first > high ? high : first;
                end = end < low ? low : end > high ? high : end;
                if (stop == 9) end = step < 0 ? -1 : 6;
                for (int i = first; step > 0 ? i < end : i > end; i += step) want[n++] = i;
                kiln_tensor *y = kiln_slice(x, 0, start, stop == 9 ? KILN_END : stop, step);
                has_shape(y, KILN_I32, S(n));
                assert_memory_equal(kiln_data(y), want, (size_t)n * sizeof *want);
            }
    EXACTLY(kiln_slice(kiln_reshape(x, S(2, 3)), 1, 1, KILN_END, 1), KILN_I32, S(2, 2), 1, 2, 4, 5);
    EXACTLY(kiln_slice(kiln_reshape(x, S(2, 3)), -1, -1, KILN_END, -1), KILN_I32, S(2, 3), 2, 1, 0,
        5, 4, 3);
    EXACTLY(kiln_slice(x, 0, 4, KILN_END, INT64_MAX), KILN_I32, S(1), 4);
    EXACTLY(kiln_slice(x, 0, INT64_MIN, KILN_END, 5), KILN_I32, S(2), 0, 5);
    has_shape(kiln_slice(x, 0, 4, INT64_MIN, INT64_MIN), KILN_I32, S(1));
    FAILS(kiln_slice(x, 0, 0, 1, 0), KILN_EVALUE, "slice: the step must not be 0");
    FAILS(kiln_slice(x, 1, 0, 1, 1), KILN_ESHAPE, "slice: axis 1 is out of range for rank 1 (allowed: -1 to 0)");
}

static void padding_and_joining(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_i32(k, S(1, 2), 1, 2), *y = kiln_i64(k, S(1, 1), 9);
    EXACTLY(kiln_pad(x, S(1, 0), S(0, 1), 7), KILN_I32, S(2, 3), 7, 7, 7, 1, 2, 7);
    EXACTLY(kiln_concat(((kiln_tensor *[]){x, y, x}), 3, 1), KILN_I64, S(1, 5), 1, 2, 9, 1, 2);
    EXACTLY(kiln_concat(((kiln_tensor *[]){x, x}), 2, -2), KILN_I32, S(2, 2), 1, 2, 1, 2);
    EXACTLY(kiln_stack(((kiln_tensor *[]){x, x}), 2, 2), KILN_I32, S(1, 2, 2), 1, 1, 2, 2);
    kiln_tensor *many[20];
    for (int i = 0; i < 20; i++) many[i] = y;
    has_shape(kiln_concat(many, 20, 0), KILN_I64, S(20, 1));
    FAILS(kiln_pad(x, S(1), S(0), 0), KILN_ESHAPE,
        "pad: 1 amounts before and 1 after given for rank 2: i32[1,2]");
    FAILS(kiln_pad(x, S(-1, 0), S(-1, 0), 0), KILN_ESHAPE, "pad: axis 0 cannot be cut by -1 and -1: i32[1,2]");
    FAILS(kiln_pad(x, S(0, INT64_C(1) << 62), S(0, 0), 0), KILN_ESHAPE,
        "pad: i32[1,2] with axis 1 padded by 4611686018427387904 and 0 is too large: a tensor has "
        "at most 2^48 elements");
    FAILS(kiln_pad(x, S(INT64_C(1) << 30, 0), S(0, INT64_C(1) << 30), 0), KILN_ESHAPE,
        "pad: i32[1,2] with axis 1 padded by 0 and 1073741824 is too large: a tensor has at most "
        "2^48 elements");
    FAILS(kiln_pad(x, S(0, 0), S(0, 0), 0.5), KILN_EDTYPE,
        "pad: 0.5 is not an integer, but the dtype here is i32 (kiln_cast a tensor to a float dtype first)");
    FAILS(kiln_pad(x, S(0, 0), S(0, 0), x), KILN_EVALUE, "pad: the fill must be a number");
    FAILS(kiln_concat(((kiln_tensor *[]){x, y}), 2, 0), KILN_ESHAPE,
        "concat: the shapes must be equal but for axis 0: i32[1,2] x i64[1,1]");
    FAILS(kiln_concat(((kiln_tensor *[]){x, NULL}), 2, 0), KILN_EVALUE, "concat: a tensor is NULL");
    FAILS(kiln_concat(NULL, 0, 0), KILN_EVALUE, "concat: no tensors given");
    FAILS(kiln_stack(((kiln_tensor *[]){x, kiln_f32(k, S(1, 2), 1, 2)}), 2, 0), KILN_EDTYPE,
        "stack: dtypes of different kinds, use kiln_cast: i32[1,2] x f32[1,2]");
}

static void indexing(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(3, 2), 1, 2, 3, 4, 5, 6), *i = kiln_i32(k, S(2), 2, 0);
    EXACTLY(kiln_gather(x, i, 0), KILN_F32, S(2, 2), 5, 6, 1, 2);
    EXACTLY(kiln_gather(x, 1, 0), KILN_F32, S(2), 3, 4);
    EXACTLY(kiln_gather(x, kiln_i64(k, S(1, 2), 1, 9), -1), KILN_F32, S(3, 1, 2), 2, 2, 4, 4, 6, 6);
    EXACTLY(kiln_one_hot(i, 3, KILN_F32), KILN_F32, S(2, 3), 0, 0, 1, 1, 0, 0);
    EXACTLY(kiln_one_hot(kiln_i64(k, S(2), -1, 2), 2, KILN_I32), KILN_I32, S(2, 2), 0, 0, 0, 0);
    EXACTLY(
        kiln_sum(kiln_one_hot(kiln_u8(k, S(1), 44), 300, KILN_F32), KILN_ALL), KILN_F32, S(), 1);
    FAILS(kiln_gather(x, x, 0), KILN_EDTYPE, "gather: the indices must be integers, not f32[3,2]");
    FAILS(kiln_one_hot(x, 3, KILN_F32), KILN_EDTYPE, "one_hot: the indices must be integers, not f32[3,2]");
    FAILS(kiln_one_hot(i, -1, KILN_F32), KILN_EVALUE, "one_hot: classes is -1 (allowed: 0 to 2^48)");
}

static void matmul_ranks(void **state)
{
    (void)state;
    kiln_tensor *a = kiln_f32(k, S(2, 3), 1, 2, 3, 4, 5, 6),
                *b = kiln_f32(k, S(3, 2), 1, 0, 0, 1, 1, 1);
    kiln_tensor *v = kiln_f32(k, S(3), 1, 1, 2), *w = kiln_f32(k, S(2), 1, 10);
    EXACTLY(kiln_matmul(kiln_f32(k, S(1, 1), 2), kiln_f32(k, S(1, 1), 2)), KILN_F32, S(1, 1), 4);
    EXACTLY(kiln_matmul(a, b), KILN_F32, S(2, 2), 4, 5, 10, 11);
    EXACTLY(kiln_matmul(a, kiln_transpose(a, KILN_ALL)), KILN_F32, S(2, 2), 14, 32, 32, 77);
    EXACTLY(kiln_matmul(a, v), KILN_F32, S(2), 9, 21);
    EXACTLY(kiln_matmul(w, a), KILN_F32, S(3), 41, 52, 63);
    EXACTLY(kiln_matmul(v, v), KILN_F32, S(), 6);
    kiln_tensor *batch = kiln_stack(((kiln_tensor *[]){a, kiln_mul(a, 2)}), 2, 0);
    EXACTLY(kiln_matmul(batch, b), KILN_F32, S(2, 2, 2), 4, 5, 10, 11, 8, 10, 20, 22);
    EXACTLY(kiln_matmul(b, batch), KILN_F32, S(2, 3, 3), 1, 2, 3, 4, 5, 6, 5, 7, 9, 2, 4, 6, 8, 10,
        12, 10, 14, 18);
    EXACTLY(
        kiln_matmul(batch, kiln_expand(b, 0)), KILN_F32, S(2, 2, 2), 4, 5, 10, 11, 8, 10, 20, 22);
    EXACTLY(kiln_matmul(w, batch), KILN_F32, S(2, 3), 41, 52, 63, 82, 104, 126);
    EXACTLY(kiln_matmul(batch, v), KILN_F32, S(2, 2), 9, 21, 18, 42);
    EXACTLY(kiln_matmul(a, kiln_cast(v, KILN_F64)), KILN_F64, S(2), 9, 21);
    FAILS(kiln_matmul(a, a), KILN_ESHAPE, "matmul: inner sizes differ: f32[2,3] x f32[2,3]");
    FAILS(kiln_matmul(a, kiln_scalar(k, KILN_F32, 1)), KILN_ESHAPE,
        "matmul: a scalar has no rows, use kiln_mul: f32[2,3] x f32[]");
    FAILS(kiln_matmul(kiln_i32(k, S(1, 1), 1), kiln_i32(k, S(1, 1), 1)), KILN_EDTYPE,
        "matmul: needs floats, use kiln_matmul_to for integers, or kiln_cast: i32[1,1] x i32[1,1]");
    FAILS(kiln_matmul(batch, kiln_zeros(k, KILN_F32, S(3, 3, 2))), KILN_ESHAPE,
        "matmul: leading axes: shapes do not broadcast: f32[2] x f32[3]");
}

static void matmul_of_integers(void **state)
{
    (void)state;
    kiln_tensor *i = kiln_cast(kiln_i32(k, S(2, 2), -128, 127, 3, -4), KILN_I8), *u = kiln_u8(k, S(2, 2), 255, 1, 2, 255);
    EXACTLY(kiln_matmul_to(i, i, KILN_I32), KILN_I32, S(2, 2), 16765, -16764, -396, 397);
    EXACTLY(kiln_matmul_to(u, u, KILN_I32), KILN_I32, S(2, 2), 65027, 510, 1020, 65027);
    EXACTLY(kiln_matmul_to(i, u, KILN_I32), KILN_I32, S(2, 2), -32386, 32257, 757, -1017);
    EXACTLY(kiln_matmul_to(u, kiln_slice(i, 0, -1, KILN_END, -1), KILN_I64), KILN_I64, S(2, 2), 637, -893, -32634, 32377);
    kiln_tensor *s = kiln_cast(kiln_i32(k, S(1, 2), -32768, -32768), KILN_I16);
    EXACTLY(kiln_matmul_to(s, kiln_transpose(s, KILN_ALL), KILN_I32), KILN_I32, S(1, 1), -2147483648.0);
    EXACTLY(kiln_matmul_to(s, kiln_transpose(s, KILN_ALL), KILN_U32), KILN_U32, S(1, 1), 2147483648.0);
    EXACTLY(kiln_matmul_to(s, kiln_transpose(s, KILN_ALL), KILN_I64), KILN_I64, S(1, 1), 2147483648.0);
    kiln_tensor *wide = kiln_i32(k, S(2), 1 << 30, 5), *batch = kiln_stack(((kiln_tensor *[]){i, i}), 2, 0);
    EXACTLY(kiln_matmul_to(wide, wide, KILN_I32), KILN_I32, S(), 25);
    EXACTLY(kiln_matmul_to(wide, wide, KILN_U64), KILN_U64, S(), 1152921504606847001.0);
    EXACTLY(kiln_matmul_to(wide, i, KILN_I32), KILN_I32, S(2), 15, -1073741844);
    EXACTLY(kiln_matmul_to(batch, u, KILN_I32), KILN_I32, S(2, 2, 2), -32386, 32257, 757, -1017, -32386, 32257, 757, -1017);
    EXACTLY(kiln_matmul_to(kiln_zeros(k, KILN_I8, S(2, 0)), kiln_zeros(k, KILN_I8, S(0, 1)), KILN_I32), KILN_I32, S(2, 1), 0, 0);
    FAILS(kiln_matmul_to(u, kiln_u8(k, S(1, 1), 1), KILN_I32), KILN_ESHAPE, "matmul_to: inner sizes differ: u8[2,2] x u8[1,1]");
    FAILS(kiln_matmul_to(i, i, KILN_I8), KILN_EDTYPE, "matmul_to: the dtype is i8; it must be i32, u32, i64 or u64");
    FAILS(kiln_matmul_to(i, i, KILN_F32), KILN_EDTYPE, "matmul_to: the dtype is f32; it must be i32, u32, i64 or u64");
    FAILS(kiln_matmul_to(i, i, (kiln_dtype)99), KILN_EDTYPE, "matmul_to: 99 is not a dtype");
    FAILS(kiln_matmul_to(i, kiln_cast(i, KILN_F32), KILN_I32), KILN_EDTYPE,
        "matmul_to: needs integers, use kiln_matmul for floats: i8[2,2] x f32[2,2]");
}

static void variables_stand_where_tensors_do(void **state)
{
    (void)state;
    kiln_variable *v = kiln_variable_new(k, "v", kiln_f32(k, S(2), 1, 2));
    EXACTLY(kiln_add(v, 1), KILN_F32, S(2), 2, 3);
    EXACTLY(kiln_mul(v, v), KILN_F32, S(2), 1, 4);
    EXACTLY(kiln_sum(v, KILN_ALL), KILN_F32, S(), 3);
    assert_float_equal(kiln_item(kiln_sum(v, KILN_ALL)), 3, 0);
    kiln_variable_free(v);
    FAILS(kiln_add(v, 1), KILN_ESTATE, "read: the variable was freed");
}

/* Temporaries of composites go with the call, so memory does not grow. */
static void composites_leave_one_tensor(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_ones(k, KILN_F32, S(64, 64));
    KILN_SCOPE(k);
    for (int i = 0; i < 4; i++) {
        KILN_SCOPE(k);
        (void)kiln_softmax(x, 1);
    }
    int64_t before = kiln_memory_count().live_bytes;
    (void)kiln_softmax(x, 1);
    assert_true(kiln_memory_count().live_bytes - before <= 64 * 64 * 4 + 8192);
    assert_false(kiln_failed(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(numbers_take_the_tensors_dtype),
        ENGINE_TEST(dtypes_promote_within_a_kind),
        ENGINE_TEST(numbers_that_do_not_fit),
        ENGINE_TEST(shapes_broadcast),
        ENGINE_TEST(broadcast_errors),
        ENGINE_TEST(handles_that_cannot_be_used),
        ENGINE_TEST(closed_handles),
        ENGINE_TEST(arithmetic_follows_python),
        ENGINE_TEST(elementary_functions),
        ENGINE_TEST(casts),
        ENGINE_TEST(reductions),
        ENGINE_TEST(reduction_errors),
        ENGINE_TEST(reshaping),
        ENGINE_TEST(slices_follow_python),
        ENGINE_TEST(padding_and_joining),
        ENGINE_TEST(indexing),
        ENGINE_TEST(matmul_ranks),
        ENGINE_TEST(matmul_of_integers),
        ENGINE_TEST(variables_stand_where_tensors_do),
        ENGINE_TEST(composites_leave_one_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
