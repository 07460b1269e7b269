/* The element types: the table, promotion, and every conversion of the narrow floats against a
 * plain definition. KILN_TEST_FULL=1 converts all 2^32 floats to the 16-bit types instead of the borders of the
 * rounding steps. */
#include "codegen/eager/kernels.h"

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
    assert_int_equal(DT_COUNT - 1, 15);
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
        const DTypeInfo *d = &dtype_info[t];
        assert_int_equal(dtype_parse(d->name, strlen(d->name)), t);
        assert_int_equal(dtype_bytes((DType)t), d->bits / 8);
        size_t digits = strcspn(d->name, "0123456789");
        if (t != DT_bool) assert_int_equal(atoi(d->name + digits), d->bits);
        assert_int_equal(d->compute, dtype_is_float((DType)t) && d->bits < 32 ? DT_f32 : t);
        if (dtype_is_float((DType)t)) assert_int_equal(1 + d->exponent + d->mantissa, d->bits);
        assert_int_equal(dtype_is_float((DType)t), strchr(d->name, 'f') != NULL);
        assert_int_equal(dtype_is_int((DType)t), t != DT_bool && !dtype_is_float((DType)t));
        if (d->kind == DK_INT) {
            assert_true(d->hi == (int64_t)(~(uint64_t)0 >> (65 - d->bits)));
            assert_true(d->lo == -d->hi - 1);
        }
        if (d->kind == DK_UINT && d->bits < 64)
            assert_true(d->lo == 0 && d->hi == ((int64_t)1 << d->bits) - 1);
    }
    assert_true(dtype_info[DT_u64].hi == INT64_MAX && dtype_info[DT_bool].hi == 1);
    const char *wrong[] = {"", "f", "f3", "f321", "F32", "none", "int", " f32"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(dtype_parse(wrong[i], strlen(wrong[i])), DT_NONE);
    assert_int_equal(dtype_parse("f32[3]", 3), DT_f32);
}

/* The table of the array API standard, with bf16 and the 8-bit floats added: where neither holds the other, f32. "-" is undefined. */
static void promotion_is_the_standards(void **state)
{
    (void)state;
    static const char *const order[] = {
        "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f8_e4m3", "f8_e5m2", "f16", "bf16", "f32", "f64"};
    static const char *const rows[][15] = {
        {"bool", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"},
        {"-", "i8", "i16", "i32", "i64", "i16", "i32", "i64", "-", "-", "-", "-", "-", "-", "-"},
        {"-", "i16", "i16", "i32", "i64", "i16", "i32", "i64", "-", "-", "-", "-", "-", "-", "-"},
        {"-", "i32", "i32", "i32", "i64", "i32", "i32", "i64", "-", "-", "-", "-", "-", "-", "-"},
        {"-", "i64", "i64", "i64", "i64", "i64", "i64", "i64", "-", "-", "-", "-", "-", "-", "-"},
        {"-", "i16", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "-", "-", "-", "-", "-", "-"},
        {"-", "i32", "i32", "i32", "i64", "u16", "u16", "u32", "u64", "-", "-", "-", "-", "-", "-"},
        {"-", "i64", "i64", "i64", "i64", "u32", "u32", "u32", "u64", "-", "-", "-", "-", "-", "-"},
        {"-", "-", "-", "-", "-", "u64", "u64", "u64", "u64", "-", "-", "-", "-", "-", "-"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f8_e4m3", "f32", "f16", "bf16", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f32", "f8_e5m2", "f16", "bf16", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f16", "f16", "f16", "f32", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "bf16", "bf16", "f32", "bf16", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f32", "f32", "f32", "f32", "f32", "f64"},
        {"-", "-", "-", "-", "-", "-", "-", "-", "-", "f64", "f64", "f64", "f64", "f64", "f64"},
    };
    for (int i = 0; i < 15; i++) {
        DType a = dtype_parse(order[i], strlen(order[i]));
        assert_int_equal(dtype_promote(a, DT_NONE), DT_NONE);
        assert_int_equal(dtype_promote(DT_NONE, a), DT_NONE);
        for (int j = 0; j < 15; j++) {
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
            assert_true(at[0] == 0x5a && at[1 + d->bits / 8] == 0x5a);
            if (d->bits == 64) continue;
            memset(at, 0x5a, sizeof at);
            dtype_store_f64((DType)t, at + 1, (double)values[i]);
            assert_true(dtype_load_i64((DType)t, at + 1) == values[i]);
            assert_true(at[0] == 0x5a && at[1 + d->bits / 8] == 0x5a);
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

/* ---- all of the narrow floats ---------------------------------------------------------------- */

static bool is_narrow(int t) { return dtype_is_float((DType)t) && dtype_info[t].compute != t; }

/* The definition: a sign, the exponent, the mantissa; spelt out here, so that a wrong column is seen. */
typedef struct Layout {
    DType type;
    int bits, ebits;
    uint32_t over; /* the code above the largest number's */
    bool infinite;
} Layout;
static const Layout layouts[] = {
    {DT_f16, 16, 5, 0x7c00, true},
    {DT_bf16, 16, 8, 0x7f80, true},
    {DT_f8_e4m3, 8, 4, 0x7f, false},
    {DT_f8_e5m2, 8, 5, 0x7c, true},
};

static double value_of(const Layout *l, uint32_t h)
{
    int mbits = l->bits - 1 - l->ebits, bias = (1 << (l->ebits - 1)) - 1;
    int e = (int)(h >> mbits) & ((1 << l->ebits) - 1), m = (int)h & ((1 << mbits) - 1);
    uint32_t size = h & ((1u << (l->bits - 1)) - 1);
    double v = e == 0 ? ldexp(m, 1 - bias - mbits) : ldexp(m + (1 << mbits), e - bias - mbits);
    if (size >= l->over) v = l->infinite && size == l->over ? (double)INFINITY : (double)NAN;
    return h >> (l->bits - 1) ? -v : v;
}

static void every_narrow_type_is_here(void **state)
{
    (void)state;
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
        size_t i = 0;
        while (i < COUNT_OF(layouts) && (int)layouts[i].type != t) i++;
        assert_int_equal(i < COUNT_OF(layouts), is_narrow(t));
        if (i < COUNT_OF(layouts)) assert_true(dtype_info[t].largest == value_of(&layouts[i], layouts[i].over - 1));
    }
}

/* What each tier, and code that converts one element, makes of n codes and n floats. */
static float widened[4][1 << 16];
static uint16_t narrowed[4][1 << 16];

static int convert_everywhere(DType t, const void *codes, const float *floats, int n)
{
    int tiers;
    const Kernels *const *tier = eager_tiers(&tiers);
    for (int k = 0; k < tiers; k++) {
        memset(narrowed[k], 0, sizeof narrowed[k]);
        if (codes) tier[k]->widen[t](widened[k], codes, n);
        if (floats) tier[k]->narrow[t](narrowed[k], floats, n);
    }
    if (codes) dtype_widen(t, widened[tiers], codes, 1, n);
    if (floats) dtype_narrow(t, narrowed[tiers], floats, n);
    return tiers + 1;
}

static void every_code_widens(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(layouts); k++) {
        const Layout *l = &layouts[k];
        static union { uint8_t b[1 << 16]; uint16_t h[1 << 16]; } codes;
        const int n = 1 << l->bits;
        for (int h = 0; h < n; h++)
            if (l->bits == 8) codes.b[h] = (uint8_t)h; else codes.h[h] = (uint16_t)h;
        int ways = convert_everywhere(l->type, &codes, NULL, n);
        for (int h = 0; h < n; h++) {
            double want = value_of(l, (uint32_t)h);
            for (int w = 0; w < ways; w++) {
                float f = widened[w][h];
                if (bits_of(f) != bits_of(widened[0][h]) || !(isnan(want) ? isnan(f) : f == want) || !signbit(f) != !(h >> (l->bits - 1)))
                    fail_msg("%s %x widens to %a, way %d", dtype_info[l->type].name, h, (double)f, w);
            }
            uint16_t back = 0;
            dtype_narrow(l->type, &back, &widened[0][h], 1);
            if (!isnan(want)) assert_int_equal(back, h);
        }
    }
}

/* ---- f32 to narrow floats: steps gathered and converted in blocks, in every way */

static float given[1 << 16];
static uint16_t expected[1 << 16];
static int steps;

static void flush(const Layout *l)
{
    const uint32_t sign = 1u << (l->bits - 1);
    int ways = convert_everywhere(l->type, NULL, given, steps);
    for (int w = 0; w < ways; w++)
        for (int i = 0; i < steps; i++) {
            uint16_t got = narrowed[0][0];
            if (l->bits == 8) got = ((const uint8_t *)narrowed[w])[i]; else got = narrowed[w][i];
            bool nan = (expected[i] & (sign - 1)) > l->over || (!l->infinite && (expected[i] & (sign - 1)) == l->over);
            bool right = nan ? isnan(value_of(l, got)) && (got & sign) == (expected[i] & sign) : got == expected[i];
            if (!right) fail_msg("float %08x gave %s %04x, not %04x, way %d", bits_of(given[i]), dtype_info[l->type].name, got, expected[i], w);
            uint16_t first = l->bits == 8 ? ((const uint8_t *)narrowed[0])[i] : narrowed[0][i];
            if (got != first) fail_msg("float %08x gave %s %04x one way and %04x another", bits_of(given[i]), dtype_info[l->type].name, first, got);
        }
    steps = 0;
}

static void check_step(const Layout *l, uint32_t bits, uint32_t want)
{
    for (uint32_t minus = 0; minus < 2; minus++) {
        given[steps] = float_of(bits | minus << 31);
        expected[steps++] = (uint16_t)(want | minus << (l->bits - 1));
    }
    if (steps == 1 << 16) flush(l);
}

/* Between neighbours h and h + 1 the nearest wins, and at the middle the even one; what lies over the largest counts as the next number. */
static void check_between(const Layout *l, uint32_t h, uint32_t stride)
{
    double lo = value_of(l, h), hi = value_of(l, h + 1);
    if (h + 1 == l->over) hi = lo + (lo - value_of(l, h - 1));
    uint32_t first = bits_of((float)lo), middle = bits_of((float)(lo + (hi - lo) / 2));
    uint32_t last = bits_of((float)hi);
    assert_true((double)float_of(middle) == lo + (hi - lo) / 2);
    for (uint32_t b = first; stride != 0 && b < middle; b += stride) check_step(l, b, h);
    for (uint32_t b = middle + 1; stride != 0 && b < last; b += stride) check_step(l, b, h + 1);
    check_step(l, first, h);
    check_step(l, first + 1 < middle ? first + 1 : first, h);
    check_step(l, middle - 1, h);
    check_step(l, middle, h + (h & 1));
    check_step(l, middle + 1, h + 1);
    check_step(l, last - 1, h + 1);
}

static void every_rounding_step(void **state)
{
    (void)state;
    bool full = getenv("KILN_TEST_FULL") != NULL;
    for (size_t i = 0; i < COUNT_OF(layouts); i++) {
        const Layout *l = &layouts[i];
        const uint32_t nan = l->infinite ? l->over + 1 : l->over;
        const uint32_t stride = !full ? 0 : l->bits == 8 ? 61 : 1; /* 8-bit types have few steps, all alike inside */
        for (uint32_t h = 0; h < l->over; h++) check_between(l, h, stride);
        double top = value_of(l, l->over - 1), beyond = top + (top - value_of(l, l->over - 2)); /* for bf16: infinity itself */
        for (uint32_t b = bits_of((float)beyond); b <= 0x7f800000; b += full && l->bits == 16 ? 1 : 4099) check_step(l, b, l->over);
        check_step(l, 0x7f800000, l->over);
        for (uint32_t b = 0x7f800001; b <= 0x7fffffff; b += full && l->bits == 16 ? 1 : 1021) check_step(l, b, nan);
        check_step(l, 0x7fffffff, nan);
        flush(l);
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
        cmocka_unit_test(every_narrow_type_is_here),
        cmocka_unit_test(every_code_widens),
        cmocka_unit_test(every_rounding_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
