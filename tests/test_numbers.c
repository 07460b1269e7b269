/* Numbers from C: which dtype they take in variables and locals, tensors of every dtype from doubles and back. */
#include <math.h>

#include "front.h"

static void numbers_in_variables_keep_their_kind(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    size_t bytes = 7;
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_local(k, 3))), KILN_I64);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_local(k, bytes))), KILN_I64);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_local(k, (bool)true))), KILN_BOOL);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_variable_new(k, "n", -1))), KILN_I64);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_variable_new(k, "h", KILN_F16, 0.5))), KILN_F16);
    assert_int_equal(kiln_dtype_of(kiln_value(kiln_local(k, KILN_F64, 1))), KILN_F64);
    assert_true(kiln_item(kiln_local(k, KILN_F64, 0.1)) == 0.1);
    assert_int_equal(kiln_item_i64(kiln_local(k, INT64_MAX)), INT64_MAX);
    assert_ok(k);
    assert_null(kiln_local(k, 0.5));
    assert_error(k, KILN_EDTYPE, "kiln_local: 0.5 is a C double, which could be f32 or f64 here; give the dtype too: KILN_F32, 0.5");
    assert_null(kiln_variable_new(k, "x", 2.0f));
    assert_error(k, KILN_EDTYPE, "kiln_variable_new: 2 is a C double");
    assert_null(kiln_local(k, UINT64_MAX));
    assert_error(k, KILN_EVALUE, "out of the range of i64");
    assert_null(kiln_local(k, KILN_I32, 0.5));
    assert_error(k, KILN_EDTYPE, "0.5 is not an integer");
    assert_null(kiln_local(k, KILN_U8, 256));
    assert_error(k, KILN_EVALUE, "256 is out of the range of u8");
    assert_null(kiln_local(k, KILN_F32, kiln_scalar(k, KILN_F32, 1)));
    assert_error(k, KILN_EVALUE, "a dtype goes with a number");
}

static void integers_are_listed_in_each_dtype(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    assert_true(*(const uint64_t *)kiln_data(kiln_u64(k, KILN_SHAPE(1), UINT64_MAX)) == UINT64_MAX); /* which no double holds */
    assert_true(((const int8_t *)kiln_data(kiln_i8(k, KILN_SHAPE(2), 1, -128)))[1] == -128);
    assert_true(((const int16_t *)kiln_data(kiln_i16(k, KILN_SHAPE(2), 1, -32768)))[1] == -32768);
    assert_true(((const uint16_t *)kiln_data(kiln_u16(k, KILN_SHAPE(2), 1, 65535)))[1] == 65535);
    assert_true(((const uint32_t *)kiln_data(kiln_u32(k, KILN_SHAPE(2), 1, UINT32_MAX)))[1] == UINT32_MAX);
    assert_int_equal(kiln_dtype_of(kiln_u32(k, KILN_SHAPE(2), 1, 2)), KILN_U32);
    assert_ok(k);
}

static const kiln_dtype all[] = {KILN_BOOL, KILN_U8, KILN_I8, KILN_U16, KILN_I16, KILN_U32, KILN_I32, KILN_U64, KILN_I64, KILN_F16, KILN_BF16, KILN_F32, KILN_F64, KILN_F8_E4M3, KILN_F8_E5M2};
enum { DTYPES = sizeof all / sizeof all[0] };

static void every_dtype_goes_out_as_it_came_in(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int d = 0; d < DTYPES; d++) {
        double got[6];
        kiln_tensor *x = kiln_numbers(k, all[d], KILN_SHAPE(2, 3), 0, 1, 1, 0, 1, 0);
        assert_int_equal(kiln_dtype_of(x), all[d]);
        assert_true(kiln_read_doubles(kiln_transpose(x, KILN_ALL), got, 6));
        assert_memory_equal(got, ((double[]){0, 0, 1, 1, 1, 0}), sizeof got);
    }
    double out[4];
    assert_true(kiln_read_doubles(kiln_numbers(k, KILN_BF16, KILN_SHAPE(4), 1.00390625, -0.0, NAN, -INFINITY), out, 4));
    assert_true(out[0] == 1 && signbit(out[1]) && isnan(out[2]) && out[3] == -INFINITY); /* the tie to even */
    assert_true(kiln_read_doubles(kiln_from_doubles(k, KILN_U64, KILN_SHAPE(2), ((double[]){0x1p63, 0xfffffffffffff800}), 2), out, 2));
    assert_true(out[0] == 0x1p63 && out[1] == 0xfffffffffffff800);
    assert_true(kiln_read_doubles(kiln_numbers(k, KILN_I64, KILN_SHAPE(1), -0x1p63), out, 1));
    assert_true(out[0] == -0x1p63);
    assert_int_equal(kiln_elements(kiln_from_doubles(k, KILN_I8, KILN_SHAPE(0), NULL, 0)), 0);
    assert_true(kiln_read_doubles(kiln_variable_new(k, "v", 5), out, 1) && out[0] == 5);
    assert_ok(k);
}

static void what_does_not_fit_is_named_with_its_place(void **state)
{
    static const struct {
        kiln_dtype t;
        double v;
        const char *text;
    } bad[] = {
        {KILN_BOOL, 2, "element 1 is 2, which is not a value of bool"}, {KILN_BOOL, 0.5, "is not a value of bool"}, {KILN_U8, 256, "element 1 is 256, which is not a value of u8"},
        {KILN_U8, -1, "is not a value of u8"}, {KILN_I8, -129, "is not a value of i8"}, {KILN_I16, 1.5, "element 1 is 1.5, which is not a value of i16"}, {KILN_I32, 0x1p31, "is not a value of i32"},
        {KILN_U32, 0x1p32, "is not a value of u32"}, {KILN_I64, 0x1p63, "is not a value of i64"}, {KILN_U64, 0x1p64, "is not a value of u64"}, {KILN_I32, NAN, "is not a value of i32"},
        {KILN_U64, INFINITY, "is not a value of u64"}, {KILN_F16, 65520, "element 1 is 65520, which is not a value of f16"}, {KILN_F32, 1e39, "is not a value of f32"}, {KILN_BF16, -1e39, "is not a value of bf16"},
        {KILN_F8_E4M3, 464.1, "is not a value of f8_e4m3"}, {KILN_F8_E4M3, INFINITY, "is not a value of f8_e4m3"}, {KILN_F8_E5M2, -61440, "element 1 is -61440, which is not a value of f8_e5m2"},
    };
    kiln *k = *state;
    KILN_SCOPE(k);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kiln_numbers(k, bad[i].t, KILN_SHAPE(2), 1, bad[i].v);
        assert_error(k, KILN_EVALUE, bad[i].text);
    }
    kiln_numbers(k, KILN_F32, KILN_SHAPE(3), 1, 2);
    assert_error(k, KILN_ESHAPE, "from_doubles: 2 elements given, but the shape has 3");
    double out[2];
    assert_false(kiln_read_doubles(kiln_i64(k, KILN_SHAPE(2), 1, ((int64_t)1 << 53) + 1), out, 2));
    assert_error(k, KILN_EVALUE, "read_doubles: element 1 is 9007199254740993, which a double cannot hold exactly");
    assert_false(kiln_read_doubles(kiln_i64(k, KILN_SHAPE(1), INT64_MAX), out, 1));
    assert_error(k, KILN_EVALUE, "element 0 is 9223372036854775807");
    assert_false(kiln_read_doubles(kiln_ones(k, KILN_F16, KILN_SHAPE(3)), out, 2));
    assert_error(k, KILN_EVALUE, "read_doubles: f16[3] has 3 elements, but the array has 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(numbers_in_variables_keep_their_kind),
        FRONT_TEST(integers_are_listed_in_each_dtype),
        FRONT_TEST(every_dtype_goes_out_as_it_came_in),
        FRONT_TEST(what_does_not_fit_is_named_with_its_place),
    };
    return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
