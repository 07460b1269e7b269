/* test_scatter: kiln_scatter and kiln_take_along against numbers written out by hand, in all modes; who gets the gradient; errors. */
#include "values.h"

#define SCATTER(name, how) \
    KILN_FUNCTION(name, e, x, i, u) { return kiln_scatter(x, i, u, 0, how); }
SCATTER(sets, KILN_SCATTER_SET)
SCATTER(adds, KILN_SCATTER_ADD)
SCATTER(multiplies, KILN_SCATTER_MUL)
SCATTER(largest, KILN_SCATTER_MAX)
SCATTER(smallest, KILN_SCATTER_MIN)
KILN_FUNCTION(takes, e, x, i) { return kiln_take_along(x, i, 1); }
KILN_FUNCTION(takes_rows, e, x, i) { return kiln_take_along(x, i, 0); }

typedef struct Row {
    kiln_function *f;
    double value[8], to_x[8], to_u[6]; /* gradients of the sum of all elements */
} Row;

/* x[4,2], places 2, 0, 2. */
static void every_way(void **state)
{
    (void)state;
    const Row row[] = {
        {KILN_FN(k, sets), {12, 13, 2, 3, 14, 3, 6, 7}, {0, 0, 1, 1, 0, 0, 1, 1}, {0, 0, 1, 1, 1, 1}},
        {KILN_FN(k, adds), {12, 14, 2, 3, 22, 13, 6, 7}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}},
        {KILN_FN(k, multiplies), {0, 13, 2, 3, 224, 75, 6, 7}, {12, 13, 1, 1, 56, 15, 1, 1}, {56, 15, 0, 1, 16, 25}},
        {KILN_FN(k, largest), {12, 13, 2, 3, 14, 5, 6, 7}, {0, 0, 1, 1, 0, 0.5, 1, 1}, {0, 0.5, 1, 1, 1, 0}},
        {KILN_FN(k, smallest), {0, 1, 2, 3, 4, 3, 6, 7}, {1, 1, 1, 1, 0.5, 0, 1, 1}, {0.5, 0, 0, 0, 0, 1}},
    };
    static const kiln_dtype type[] = {KILN_F32, KILN_F64, KILN_BF16};
    for (int mode = 0; mode < 6; mode++)
        for (size_t r = 0; r < sizeof row / sizeof *row; r++) {
            KILN_SCOPE(k);
            const kiln_dtype d = type[mode / 2];
            kiln_eager(k, mode % 2);
            kiln_tensor *x = kiln_numbers(k, d, KILN_SHAPE(4, 2), 0, 1, 2, 3, 4, 5, 6, 7), *dx[2];
            kiln_tensor *u = kiln_numbers(k, d, KILN_SHAPE(3, 2), 4, 5, 12, 13, 14, 3), *i = kiln_i32(k, KILN_SHAPE(3), 2, 0, 2);
            KILN_TAPE(k, tape);
            kiln_watch(tape, x);
            kiln_watch(tape, u);
            kiln_tensor *y = kiln_call(row[r].f, x, i, u);
            assert_true(kiln_gradients(tape, kiln_sum(y, KILN_ALL), KILN_IN(x, u), dx));
            equals(y, d, KILN_SHAPE(4, 2), row[r].value, 8, 0);
            equals(dx[0], d, KILN_SHAPE(4, 2), row[r].to_x, 8, 0);
            equals(dx[1], d, KILN_SHAPE(3, 2), row[r].to_u, 6, 0);
        }
}

/* Among the factors of one place none, one or two are 0. */
static void factors_of_zero(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4), 2, 2, 2, 0), *u = kiln_f32(k, KILN_SHAPE(6), 3, 0, 5, 0, 0, 7), *dx[2];
        kiln_tensor *i = kiln_u8(k, KILN_SHAPE(6), 0, 1, 1, 2, 2, 3);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_watch(tape, u);
        kiln_tensor *y = kiln_call(KILN_FN(k, multiplies), x, i, u);
        assert_true(kiln_gradients(tape, kiln_sum(y, KILN_ALL), KILN_IN(x, u), dx));
        EXACTLY(y, KILN_F32, KILN_SHAPE(4), 6, 0, 0, 0);
        EXACTLY(dx[0], KILN_F32, KILN_SHAPE(4), 3, 0, 0, 7);
        EXACTLY(dx[1], KILN_F32, KILN_SHAPE(6), 2, 10, 0, 0, 0, 0);
    }
}

/* Indices with axes of their own, a middle axis, integers and bools, one number for all, places out of range. */
static void shapes_and_types(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = kiln_zeros(k, KILN_I16, KILN_SHAPE(1, 3, 2)), *i = kiln_i64(k, KILN_SHAPE(2, 2), 0, 9, -4, 1);
        kiln_tensor *u = kiln_reshape(kiln_iota(k, KILN_I16, KILN_SHAPE(8), 0), KILN_SHAPE(1, 2, 2, 2));
        EXACTLY(kiln_scatter(x, i, u, 1, KILN_SCATTER_ADD), KILN_I16, KILN_SHAPE(1, 3, 2), 4, 6, 6, 7, 2, 3);
        EXACTLY(kiln_scatter(x, i, u, 1, KILN_SCATTER_SET), KILN_I16, KILN_SHAPE(1, 3, 2), 4, 5, 6, 7, 2, 3);
        EXACTLY(kiln_scatter(kiln_f64(k, KILN_SHAPE(3), 1, 2, 3), kiln_i32(k, KILN_SHAPE(), 1), 7, 0, KILN_SCATTER_SET), KILN_F64, KILN_SHAPE(3), 1, 7, 3);
        kiln_tensor *flags = kiln_scatter(kiln_zeros(k, KILN_BOOL, KILN_SHAPE(4)), kiln_i32(k, KILN_SHAPE(2), 3, 1), true, 0, KILN_SCATTER_SET);
        EXACTLY(flags, KILN_BOOL, KILN_SHAPE(4), 0, 1, 0, 1);
        kiln_tensor *none = kiln_zeros(k, KILN_I32, KILN_SHAPE(0)), *empty = kiln_zeros(k, KILN_F32, KILN_SHAPE(0));
        EXACTLY(kiln_scatter(kiln_f32(k, KILN_SHAPE(2), 1, 2), none, empty, 0, KILN_SCATTER_SET), KILN_F32, KILN_SHAPE(2), 1, 2);
        EXACTLY(kiln_scatter(kiln_f32(k, KILN_SHAPE(2), NAN, 2), kiln_i32(k, KILN_SHAPE(2), 0, 1), kiln_f32(k, KILN_SHAPE(2), 1, NAN), 0, KILN_SCATTER_MAX), KILN_F32,
            KILN_SHAPE(2), NAN, NAN);
    }
}

static void taking_along(void **state)
{
    (void)state;
    for (int eager = 0; eager < 2; eager++) {
        KILN_SCOPE(k);
        kiln_eager(k, eager);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 3), 0, 1, 2, 3, 4, 5), *i = kiln_i32(k, KILN_SHAPE(2, 4), 2, 0, 0, 9, -1, 1, 2, 2);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(KILN_FN(k, takes), x, i);
        EXACTLY(kiln_gradient(tape, kiln_sum(y, KILN_ALL), x), KILN_F32, KILN_SHAPE(2, 3), 2, 0, 2, 1, 1, 2);
        EXACTLY(y, KILN_F32, KILN_SHAPE(2, 4), 2, 0, 0, 2, 3, 4, 5, 5);
        EXACTLY(kiln_call(KILN_FN(k, takes_rows), x, kiln_u8(k, KILN_SHAPE(1, 3), 1, 0, 1)), KILN_F32, KILN_SHAPE(1, 3), 3, 1, 5);
        EXACTLY(kiln_take_along(kiln_f32(k, KILN_SHAPE(3), 7, 8, 9), kiln_i64(k, KILN_SHAPE(2), 2, 0), 0), KILN_F32, KILN_SHAPE(2), 9, 7);
    }
}

static void errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_zeros(k, KILN_F32, KILN_SHAPE(4, 2)), *i = kiln_i32(k, KILN_SHAPE(3), 0, 1, 2), *u = kiln_zeros(k, KILN_F32, KILN_SHAPE(3, 2));
    FAILS(kiln_scatter(x, i, x, 0, KILN_SCATTER_SET), KILN_ESHAPE, "scatter: the updates are f32[4,2]; they must be f32[3,2]");
    FAILS(kiln_scatter(x, i, u, 0, (kiln_scatter_how)9), KILN_EVALUE, "scatter: how is 9 (allowed: KILN_SCATTER_SET to KILN_SCATTER_MIN, 0 to 4)");
    FAILS(kiln_scatter(x, i, kiln_cast(u, KILN_F64), 0, KILN_SCATTER_ADD), KILN_EDTYPE, "scatter: the updates are f64, x is f32[4,2]; the dtypes must be equal");
    FAILS(kiln_scatter(x, u, u, 0, KILN_SCATTER_ADD), KILN_EDTYPE, "scatter: the indices must be integers, not f32[3,2]");
    FAILS(kiln_scatter(x, i, u, 2, KILN_SCATTER_ADD), KILN_ESHAPE, "scatter: axis 2 is out of range for rank 2 (allowed: -2 to 1)");
    FAILS(kiln_take_along(x, i, 0), KILN_ESHAPE, "take_along: the indices must have the shape of x on all axes but 0: f32[4,2] x i32[3]");
    kiln_tensor *flag = kiln_zeros(k, KILN_BOOL, KILN_SHAPE(2));
    FAILS(kiln_scatter(flag, kiln_i32(k, KILN_SHAPE(1), 0), kiln_zeros(k, KILN_BOOL, KILN_SHAPE(1)), 0, KILN_SCATTER_MAX), KILN_EDTYPE,
        "scatter: needs numbers, not bool, use kiln_cast: bool[2] x i32[1] x bool[1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(every_way), ENGINE_TEST(factors_of_zero), ENGINE_TEST(shapes_and_types), ENGINE_TEST(taking_along), ENGINE_TEST(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
