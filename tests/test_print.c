/* Printing and reading: text as NumPy prints it (each string here was printed by NumPy 2.4),
 * elements out, and mistakes. */
#include "values.h"

#include <stdlib.h>

#define S KILN_SHAPE

static void prints(kiln_tensor *x, const char *want)
{
    char *text = NULL;
    size_t n = 0;
    if (kiln_failed(k)) print_error("%s\n", kiln_error(k)->text);
    assert_false(kiln_failed(k));
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    kiln_print(f, x);
    fclose(f);
    assert_false(kiln_failed(k));
    assert_string_equal(text, want);
    free(text);
}

static void integers_and_bools(void **state)
{
    (void)state;
    prints(kiln_i32(k, S(2, 2), 2, 6, 12, 20), "[[ 2  6]\n [12 20]] i32[2,2]\n");
    prints(kiln_i64(k, S(3), -1, 10, 100), "[ -1  10 100] i64[3]\n");
    prints(kiln_scalar(k, KILN_U64, UINT64_MAX), "18446744073709551615 u64[]\n");
    prints(kiln_scalar(k, KILN_I8, -128), "-128 i8[]\n");
    prints(kiln_bool(k, S(2), true, false), "[ True False] bool[2]\n");
    prints(kiln_bool(k, S(1), true), "[ True] bool[1]\n");
    prints(kiln_scalar(k, KILN_BOOL, false), "False bool[]\n");
    prints(kiln_iota(k, KILN_I32, S(2, 2, 2), 2),
        "[[[0 1]\n  [0 1]]\n\n [[0 1]\n  [0 1]]] i32[2,2,2]\n");
    prints(kiln_zeros(k, KILN_F32, S(2, 0)), "[] f32[2,0]\n");
}

static void floats(void **state)
{
    (void)state;
    prints(kiln_f32(k, S(3), 1, 2.5, -0.125f), "[ 1.     2.5   -0.125] f32[3]\n");
    prints(kiln_f32(k, S(2), 0.1f, 1.0f / 3), "[0.1        0.33333334] f32[2]\n");
    prints(kiln_f64(k, S(2), 0.1, 1.0 / 3), "[0.1        0.33333333] f64[2]\n");
    prints(kiln_f32(k, S(3), 1e-5f, 1, 100), "[1.e-05 1.e+00 1.e+02] f32[3]\n");
    prints(kiln_f32(k, S(2), 1e6f, 1), "[1.e+06 1.e+00] f32[2]\n");
    prints(kiln_f64(k, S(2), 1e-100, 1e8), "[1.e-100 1.e+008] f64[2]\n");
    prints(kiln_f32(k, S(2), 69.83011f, 1e-7f), "[6.983011e+01 1.000000e-07] f32[2]\n");
    prints(kiln_f32(k, S(4), NAN, INFINITY, -INFINITY, 1), "[ nan  inf -inf   1.] f32[4]\n");
    prints(kiln_f32(k, S(2), NAN, INFINITY), "[nan inf] f32[2]\n");
    prints(kiln_f32(k, S(2), -0.0f, 0), "[-0.  0.] f32[2]\n");
    prints(kiln_f32(k, S(2, 1), 1, 10), "[[ 1.]\n [10.]] f32[2,1]\n");
}

static void scalars(void **state)
{
    (void)state;
    prints(kiln_scalar(k, KILN_F32, 6), "6.0 f32[]\n");
    prints(kiln_scalar(k, KILN_F32, 1.2755646), "1.2755646 f32[]\n");
    prints(kiln_scalar(k, KILN_F64, 0.1), "0.1 f64[]\n");
    prints(kiln_scalar(k, KILN_F64, 1e-5), "1e-05 f64[]\n");
    prints(kiln_scalar(k, KILN_F64, 1e16), "1e+16 f64[]\n");
    prints(kiln_scalar(k, KILN_F64, 123456789.25), "123456789.25 f64[]\n");
    prints(kiln_scalar(k, KILN_F32, -INFINITY), "-inf f32[]\n");
    prints(kiln_scalar(k, KILN_F32, NAN), "nan f32[]\n");
}

static void long_lines_and_summaries(void **state)
{
    (void)state;
    prints(kiln_iota(k, KILN_I32, S(30), 0),
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n"
        " 24 25 26 27 28 29] i32[30]\n");
    prints(kiln_iota(k, KILN_I64, S(1001), 0), "[   0    1    2 ...  998  999 1000] i64[1001]\n");
    prints(kiln_iota(k, KILN_F32, S(2, 501), 1),
        "[[  0.   1.   2. ... 498. 499. 500.]\n [  0.   1.   2. ... 498. 499. 500.]] f32[2,501]\n");
    prints(kiln_iota(k, KILN_I32, S(1001, 1), 0),
        "[[   0]\n [   1]\n [   2]\n ...\n [ 998]\n [ 999]\n [1000]] i32[1001,1]\n");
    /* Views are read through their strides. */
    prints(
        kiln_transpose(kiln_i32(k, S(2, 2), 1, 2, 3, 4), KILN_ALL), "[[1 3]\n [2 4]] i32[2,2]\n");
    prints(kiln_slice(kiln_iota(k, KILN_I32, S(5), 0), 0, -1, KILN_END, -2), "[4 2 0] i32[3]\n");
}

static void reading(void **state)
{
    (void)state;
    int32_t out[4];
    kiln_tensor *x = kiln_i32(k, S(2, 2), 1, 2, 3, 4), *y = kiln_transpose(x, KILN_ALL);
    assert_true(kiln_read(x, out, sizeof out));
    assert_memory_equal(out, ((int32_t[]){1, 2, 3, 4}), sizeof out);
    assert_true(kiln_read(y, out, sizeof out));
    assert_memory_equal(out, ((int32_t[]){1, 3, 2, 4}), sizeof out);
    assert_memory_equal(kiln_data(y), out, sizeof out);
    if (!late_is_own()) assert_ptr_equal(kiln_data(y), kiln_data(y));
    kiln_tensor *again = kiln_add(y, 0); /* the packed handle still is what it was */
    assert_memory_equal(kiln_data(again), out, sizeof out);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 2.5);
    assert_float_equal(kiln_item(v), 2.5, 0);
    assert_float_equal(kiln_item(kiln_i32(k, S(1, 1), -3)), -3, 0);
    assert_int_equal(kiln_item_i64(kiln_scalar(k, KILN_I64, INT64_MAX)), INT64_MAX);
    assert_int_equal(kiln_item_i64(kiln_scalar(k, KILN_F32, 7)), 7);
}

static void looking(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_zeros(k, KILN_F64, S(2, 3));
    assert_int_equal(kiln_dtype_of(x), KILN_F64);
    assert_int_equal(kiln_rank(x), 2);
    assert_int_equal(kiln_dim(x, 0), 2);
    assert_int_equal(kiln_dim(x, -1), 3);
    assert_int_equal(kiln_dim(x, 2), 0);
    assert_int_equal(kiln_error(k)->code, KILN_ESHAPE);
    kiln_clear(k);
    assert_int_equal(kiln_elements(x), 6);
    assert_int_equal(kiln_bytes(x), 48);
    assert_ptr_equal(kiln_engine(x), k);
    assert_string_equal(kiln_dtype_name(KILN_BF16), "bf16");
    assert_string_equal(kiln_dtype_name((kiln_dtype)99), "none");
    assert_int_equal(kiln_dtype_bytes(KILN_U16), 2);
    assert_int_equal(kiln_dtype_bytes(KILN_NONE), 0);
    assert_int_equal(kiln_dtype_of(NULL), KILN_NONE);
    assert_int_equal(kiln_elements(NULL), 0);
    assert_null(kiln_engine(NULL));
}

static void mistakes(void **state)
{
    (void)state;
    int32_t out[4];
    kiln_tensor *x = kiln_i32(k, S(2, 2), 1, 2, 3, 4);
    FAILS(kiln_read(x, out, 8), KILN_EVALUE, "read: i32[2,2] has 16 bytes, but the array has 8");
    FAILS(kiln_read(x, NULL, 16), KILN_EVALUE, "read: i32[2,2] has 16 bytes, but the array is NULL and bytes is 16");
    FAILS(kiln_read((kiln_tensor *)NULL, out, 16), KILN_EVALUE, "read: a tensor is NULL");
    FAILS(kiln_item(x), KILN_ESHAPE, "item: needs a tensor of one element, not i32[2,2]");
    FAILS(kiln_item_i64(kiln_scalar(k, KILN_F32, 0.5)), KILN_EVALUE,
        "item_i64: 0.5 is not an int64: f32[]");
    FAILS(kiln_item_i64(kiln_scalar(k, KILN_U64, UINT64_MAX)), KILN_EVALUE,
        "item_i64: 1.84467441e+19 is not an int64: u64[]");
    FAILS(kiln_data(NULL), KILN_EVALUE, "data: a tensor is NULL");
    FAILS(kiln_print(NULL, x), KILN_EVALUE, "print: the file is NULL");
    FAILS(kiln_print(stdout, 2.0), KILN_EVALUE,
        "print: an operand is a number; it must be a tensor or a variable");
}

/* A value that is only traced has no elements: each way to ask is an error that names both lines.
 * */
static void peek(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    double *item = user;
    (void)engine;
    *item = kiln_item(in[0]);
    out[0] = kiln_add(in[0], 1);
}

static void traced_values_have_no_elements(void **state)
{
    (void)state;
    double item = 0;
    kiln_function *f = kiln_function_new(k, peek, &item, NULL);
    kiln_tensor *y = kiln_call(f, kiln_scalar(k, KILN_F32, 1));
    assert_int_equal(kiln_dtype_of(y), KILN_NONE);
    const kiln_failure *e = kiln_error(k);
    assert_int_equal(e->code, KILN_ESTATE);
    assert_non_null(strstr(e->text, "item: f32[], made at"));
    assert_non_null(
        strstr(e->text, "is traced: it has no elements while the function's body runs"));
    assert_true(isnan(item));
    kiln_clear(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(integers_and_bools),
        ENGINE_TEST(floats),
        ENGINE_TEST(scalars),
        ENGINE_TEST(long_lines_and_summaries),
        ENGINE_TEST(reading),
        ENGINE_TEST(looking),
        ENGINE_TEST(mistakes),
        ENGINE_TEST(traced_values_have_no_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
