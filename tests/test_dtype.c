/* The element types: the table, promotion, and every conversion of the 16-bit floats against a
 * plain definition. KILN_TEST_FULL=1 converts all 2^32 floats instead of the borders of the
 * rounding steps. */
#include "runtime/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <cmocka.h>

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void table_is_whole(void **state)
{
    (void)state;
    assert_int_equal(DT_COUNT - 1, 13);
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
        const DTypeInfo *d = &dtype_info[t];
        assert_int_equal(dtype_parse(d->name, strlen(d->name)), t);
        assert_int_equal(dtype_bytes((DType)t), d->bytes);
        size_t digits = strcspn(d->name, "0123456789");
        if (t != DT_bool) assert_int_equal(atoi(d->name + digits), 8 * d->bytes);
        assert_int_equal(d->compute, t == DT_f16 || t == DT_bf16 ? DT_f32 : t);
        assert_int_equal(dtype_is_float((DType)t), strchr(d->name, 'f') != NULL);
        assert_int_equal(dtype_is_int((DType)t), t != DT_bool && !dtype_is_float((DType)t));
        if (d->kind == DK_INT) {
            assert_true(d->hi == (int64_t)(~(uint64_t)0 >> (65 - 8 * d->bytes)));
            assert_true(d->lo == -d->hi - 1);
        }
        if (d->kind == DK_UINT && d->bytes < 8)
            assert_true(d->lo == 0 && d->hi == ((int64_t)1 << 8 * d->bytes) - 1);
    }
    assert_true(dtype_info[DT_u64].hi == INT64_MAX && dtype_info[DT_bool].hi == 1);
    const char *wrong[] = {"", "f", "f3", "f321", "F32", "none", "int", " f32"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(dtype_parse(wrong[i], strlen(wrong[i])), DT_NONE);
    assert_int_equal(dtype_parse("f32[3]", 3), DT_f32);
}

/* The table of the array API standard, with bf16 added; "-" is undefined. */
static void promotion_is_the_standards(void **state)
{
    (void)state;
    static const char *const order[] = {
        "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "bf16", "f32", "f64"};
    static const char *const rows[][13] = {
        {"bool", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"},
        {"-", "i8", "i16", "i32", "i64", "i16", "i32", "i64", "-", "-", "-", "-", "-"},
        {"-", "i16", "i16", "i32", "i64", "i16", "i32", "i64", "-", "-", "-", "-", "-"},
        {"-", "i32", "i32", "i32", "i64", "i32", "i32", "i64", "-", "-", "-", "-", "-"},
        {"-", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "-", "-", "-", "-", "-"},
        {"-", "i16", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "-", "-", "-", "-"},
        {"-", "i32", "i32", "i32", "i64", "u16", "u16", "u32", "u64", "-", "-", "-", "-"},
        {"-", "i64", "i64", "i64", "i64", "u32", "u32", "u32", "u64", "-", "-", "-", "-"},
        {"-", "-", "-", "-", "-", "u64", "u64", "u64", "u64", "-", "-", "-", "-"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f16", "f32", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f32", "bf16", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f32", "f32", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f64", "f64", "f64", "f64"},
    };
    for (int i = 0; i < 13; i++) {
        DType a = dtype_parse(order[i], strlen(order[i]));
        assert_int_equal(dtype_promote(a, DT_NONE), DT_NONE);
        assert_int_equal(dtype_promote(DT_NONE, a), DT_NONE);
        for (int j = 0; j < 13; j++) {
            DType b = dtype_parse(order[j], strlen(order[j])), c = dtype_promote(a, b);
            assert_string_equal(c == DT_NONE ? "-" : dtype_info[c].name, rows[i][j]);
        }
    }
}

/* ---- one element ----------------------------------------------------------------------------- */

static void integers_come_back(void **state)
{
    (void)state;
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
        const DTypeInfo *d = &dtype_info[t];
        if (d->kind == DK_FLOAT) continue;
        int64_t values[] = {0, 1, d->lo, d->hi, d->hi / 3, d->lo / 7};
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            unsigned char at[24];
            memset(at, 0x5a, sizeof at);
            dtype_store_i64((DType)t, at + 1, values[i]); /* at an odd address, too */
            assert_true(dtype_load_i64((DType)t, at + 1) == values[i]);
            assert_true(dtype_load_f64((DType)t, at + 1) == (double)values[i]);
            assert_true(at[0] == 0x5a && at[1 + d->bytes] == 0x5a);
            if (d->bytes == 8) continue;
            memset(at, 0x5a, sizeof at);
            dtype_store_f64((DType)t, at + 1, (double)values[i]);
            assert_true(dtype_load_i64((DType)t, at + 1) == values[i]);
            assert_true(at[0] == 0x5a && at[1 + d->bytes] == 0x5a);
        }
    }
}

static int64_t stored_f64(DType t, double v)
{
    uint64_t at = 0;
    dtype_store_f64(t, &at, v);
    return dtype_load_i64(t, &at);
}

static void odd_numbers_are_defined(void **state)
{
    (void)state;
    assert_int_equal(stored_f64(DT_i32, -2.9), -2);
    assert_int_equal(stored_f64(DT_u8, 254.9), 254);
    assert_int_equal(stored_f64(DT_bool, 0.25), 1);
    assert_int_equal(stored_f64(DT_bool, (double)NAN), 1);
    assert_int_equal(stored_f64(DT_bool, -0.0), 0);
    assert_true(stored_f64(DT_i64, 1e30) == INT64_MAX && stored_f64(DT_i64, -1e30) == INT64_MIN);
    assert_true(stored_f64(DT_i64, (double)NAN) == 0);
    uint64_t u;
    dtype_store_f64(DT_u64, &u, 0x1.8p63);
    assert_true(u == (uint64_t)3 << 62 && dtype_load_f64(DT_u64, &u) == 0x1.8p63);
    dtype_store_f64(DT_u64, &u, 1e30);
    assert_true(u == UINT64_MAX);
    dtype_store_i64(DT_bool, &u, 256);
    assert_int_equal(dtype_load_i64(DT_bool, &u), 1);
}

static double through(DType t, double v)
{
    double at = 0;
    dtype_store_f64(t, &at, v);
    return dtype_load_f64(t, &at);
}

static double through_i64(DType t, int64_t v)
{
    double at = 0;
    dtype_store_i64(t, &at, v);
    return dtype_load_f64(t, &at);
}

/* Where rounding to float first, and to 16 bits then, gives another answer. */
static void rounding_happens_once(void **state)
{
    (void)state;
    assert_true(through(DT_f16, 1 + 0x1p-11) == 1);
    assert_true(through(DT_f16, 1 + 0x1p-11 + 0x1p-40) == 1 + 0x1p-10);
    assert_true(through(DT_f16, -1 - 0x1p-11 - 0x1p-40) == -1 - 0x1p-10);
    assert_true(through(DT_f16, 1 + 0x3p-11) == 1 + 0x1p-9);
    assert_true(through(DT_f16, 1 + 0x3p-11 - 0x1p-40) == 1 + 0x1p-10);
    assert_true(through(DT_f16, 0x1p-25 + 0x1p-60) == 0x1p-24);
    assert_true(through(DT_f16, 0x1p-25) == 0 && through(DT_f16, 0x1p-300) == 0);
    assert_true(signbit(through(DT_f16, -0x1p-300)));
    assert_true(through(DT_f16, 65520 - 0x1p-30) == 65504 && isinf(through(DT_f16, 65520)));
    assert_true(isinf(through(DT_f16, 1e300)) && isnan(through(DT_f16, (double)NAN)));
    assert_true(through(DT_bf16, 1 + 0x1p-8 + 0x1p-40) == 1 + 0x1p-7);
    assert_true(through(DT_bf16, 1 + 0x1p-8) == 1);
    assert_true(through(DT_bf16, 0x1p-134 + 0x1p-180) == 0x1p-133);
    assert_true(isinf(through(DT_bf16, -1e300)) && through(DT_bf16, -1e300) < 0);
    assert_true(through(DT_f32, 1 + 0x1p-24 + 0x1p-50) == 1 + 0x1p-23);
    int64_t tie = ((int64_t)1 << 60) + ((int64_t)1 << 52);
    assert_true(through_i64(DT_bf16, tie) == 0x1p60);
    assert_true(through_i64(DT_bf16, tie + 1) == 0x1p60 + 0x1p53);
    assert_true(through_i64(DT_bf16, -tie - 1) == -0x1p60 - 0x1p53);
    assert_true(
        through_i64(DT_f32, ((int64_t)1 << 60) + ((int64_t)1 << 36) + 1) == 0x1p60 + 0x1p37);
    assert_true(through_i64(DT_f16, 2049) == 2048 && through_i64(DT_f16, 2051) == 2052);
    assert_true(
        through_i64(DT_bf16, INT64_MIN) == -0x1p63 && through_i64(DT_bf16, INT64_MAX) == 0x1p63);
    assert_true(isinf(through_i64(DT_f16, INT64_MAX)));
}

/* ---- all of the 16-bit floats ---------------------------------------------------------------- */

/* The definition: 1 sign bit, `ebits` of exponent, the rest mantissa. */
static double value_of(uint16_t h, int ebits)
{
    int mbits = 15 - ebits, bias = (1 << (ebits - 1)) - 1;
    int e = h >> mbits & ((1 << ebits) - 1), m = h & ((1 << mbits) - 1);
    double v = e == 0 ? ldexp(m, 1 - bias - mbits) : ldexp(m + (1 << mbits), e - bias - mbits);
    if (e == (1 << ebits) - 1) v = m != 0 ? (double)NAN : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static void every_16_bit_float_widens(void **state)
{
    (void)state;
    for (uint32_t h = 0; h <= UINT16_MAX; h++) {
        double half = value_of((uint16_t)h, 5), bf16 = value_of((uint16_t)h, 8);
        float f = half_to_float((uint16_t)h), g = bf16_to_float((uint16_t)h);
        assert_true(isnan(half) ? isnan(f) : f == half);
        assert_true(isnan(bf16) ? isnan(g) : g == bf16);
        assert_true(!signbit(f) == !(h & 0x8000) && !signbit(g) == !(h & 0x8000));
        if (!isnan(half)) assert_int_equal(float_to_half(f), h);
        if (!isnan(bf16)) assert_int_equal(float_to_bf16(g), h);
    }
}

typedef struct Narrow {
    uint16_t (*from)(float);
    int ebits;
    uint16_t infinity;
} Narrow;

static void check_step(const Narrow *n, uint32_t bits, uint16_t expected)
{
    uint16_t plus = n->from(float_of(bits)), minus = n->from(float_of(bits | 0x80000000));
    if (plus == expected && minus == (expected | 0x8000)) return;
    fail_msg("float %08x gave %04x and %04x, not %04x", bits, plus, minus, expected);
}

/* Between neighbours h and h + 1 the nearest wins, and at the middle the even one; infinity counts
 * as the next power of two. */
static void check_between(const Narrow *n, uint16_t h, bool full)
{
    double lo = value_of(h, n->ebits), hi = value_of((uint16_t)(h + 1), n->ebits);
    if (h + 1 == n->infinity) hi = ldexp(1, 1 << (n->ebits - 1));
    uint32_t first = bits_of((float)lo), middle = bits_of((float)(lo + (hi - lo) / 2));
    uint32_t last = bits_of((float)hi);
    assert_true((double)float_of(middle) == lo + (hi - lo) / 2);
    if (full) {
        for (uint32_t b = first; b < middle; b++) check_step(n, b, h);
        for (uint32_t b = middle + 1; b < last; b++) check_step(n, b, (uint16_t)(h + 1));
    }
    check_step(n, first, h);
    check_step(n, first + 1 < middle ? first + 1 : first, h);
    check_step(n, middle - 1, h);
    check_step(n, middle, (uint16_t)(h + (h & 1)));
    check_step(n, middle + 1, (uint16_t)(h + 1));
    check_step(n, last - 1, (uint16_t)(h + 1));
}

static void every_rounding_step(void **state)
{
    (void)state;
    bool full = getenv("KILN_TEST_FULL") != NULL;
    const Narrow kinds[] = {{float_to_half, 5, 0x7c00}, {float_to_bf16, 8, 0x7f80}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        const Narrow *n = &kinds[i];
        for (uint16_t h = 0; h < n->infinity; h++) check_between(n, h, full);
        float beyond = (float)ldexp(1, 1 << (n->ebits - 1)); /* for bf16: infinity itself */
        for (uint32_t b = bits_of(beyond); b <= 0x7f800000; b += full ? 1 : 4099)
            check_step(n, b, n->infinity);
        check_step(n, 0x7f800000, n->infinity);
        for (uint32_t b = 0x7f800001; b <= 0x7fffffff; b += full ? 1 : 1021) {
            uint16_t h = n->from(float_of(b)), minus = n->from(float_of(b | 0x80000000));
            assert_true((h & 0x7fff) > n->infinity && minus == (h | 0x8000));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_whole),
        cmocka_unit_test(promotion_is_the_standards),
        cmocka_unit_test(integers_come_back),
        cmocka_unit_test(odd_numbers_are_defined),
        cmocka_unit_test(rounding_happens_once),
        cmocka_unit_test(every_16_bit_float_widens),
        cmocka_unit_test(every_rounding_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
