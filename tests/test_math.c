/* The elementary functions of math.def against libm in double, and where that has none against codegen/ref/special.h: errors in ulps with and without
 * FMA, special values, order and range, and scalar_eval against compiled C bit for bit. Every
 * 1009th bit pattern; KILN_TEST_FULL=1 takes all 2^32 (minutes per function;
 * KILN_TEST_MATH=exp,log picks some). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

#include "../codegen/ref/special.h"
#include "../ir/scalar.h"
#include "math_twice.h"

#if defined(__x86_64__)
#define FMA_TARGET __attribute__((target("avx2,fma")))
#else
#define FMA_TARGET
#endif

enum { BLOCK = 4096 };
#define CALL_1(fn) fn(x[i])
#define CALL_2(fn) fn(x[i], y[i])
#define LOOP(name, call)                                                                    \
    static void name(float *restrict out, const float *restrict x, const float *restrict y) \
    {                                                                                       \
        (void)y;                                                                            \
        for (int i = 0; i < BLOCK; i++) out[i] = call;                                      \
    }
#define MATH_BEGIN(fn, args)                        \
    LOOP(block_split_##fn, CALL_##args(split_##fn)) \
    FMA_TARGET LOOP(block_fused_##fn, CALL_##args(fused_##fn))
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "../ir/math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END

typedef void (*Block)(float *restrict, const float *restrict, const float *restrict);
static const Block block[FN_COUNT][2] = {
#define MATH_BEGIN(fn, args) {block_split_##fn, block_fused_##fn},
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "../ir/math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
};

static const double LIMIT = 2.0;

/* What fails is printed (first few) and counted, so that one run shows everything. */
static int complaints;
static void complain(
    const char *fn, bool fused, float x, float y, float got, double want, const char *what)
{
    if (complaints++ < 20)
        printf("    %s %s: x %a y %a: %a (%.9g), want %a (%.9g): %s\n", fn,
            fused ? "fma" : "no fma", (double)x, (double)y, (double)got, (double)got, want, want,
            what);
}

/* Distance in ulps of the float at `want`; infinity counts as 2^128. Negative: wrong kind (NaN,
 * sign of a zero). */
static double ulps(float got, double want)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : -1;
    if ((got == 0 || want == 0) && !signbit(got) != !signbit(want)) return -1;
    double g = isinf(got) ? copysign(0x1p128, (double)got) : (double)got;
    double w = fabs(want) > 0x1p128 ? copysign(0x1p128, want) : want;
    if (g == w) return 0;
    uint64_t e = (bits_f64(w) >> 52) & 2047;
    if (e < 1023 - 126) e = 1023 - 126;
    return fabs(g - w) * floatbits_f64((2 * 1023 - e + 23) << 52);
}

static double libm(MathFn fn, float x, float y)
{
    const MathInfo *m = &math_info[fn];
    const long double v = (long double)x;
    switch (fn) {
    case FN_lgamma: return (double)lgammal(v);
    case FN_digamma: return (double)special_psi(0, v);
    case FN_trigamma: return (double)special_psi(1, v);
    case FN_tetragamma: return (double)special_psi(2, v);
    case FN_erfinv: return (double)special_erfinv(v);
    case FN_i0: return (double)special_i0(v);
    case FN_i1: return (double)special_i1(v);
    case FN_i1_slope: return (double)special_i1_slope(v);
    default: return m->args == 1 ? m->f64((double)x) : m->f64_2((double)x, (double)y);
    }
}

typedef struct Worst {
    double ulp;
    float x, y;
} Worst;

static void check_block(
    MathFn fn, bool fused, const float *x, const float *y, const double *want, Worst *worst)
{
    float out[BLOCK];
    const MathInfo *m = &math_info[fn];
    block[fn][fused](out, x, y);
    for (int i = 0; i < BLOCK; i++) {
        double e = ulps(out[i], want[i]);
        if (e > worst->ulp) *worst = (Worst){e, x[i], y[i]};
        if (e < 0) complain(m->name, fused, x[i], y[i], out[i], want[i], "kind");
        if (e > LIMIT) complain(m->name, fused, x[i], y[i], out[i], want[i], "ulps");
    }
}

static bool with_fma(void)
{
#if defined(__x86_64__)
    return cpu_has_fma();
#else
    return true;
#endif
}

static void check_values(MathFn fn, const float *x, const float *y, Worst worst[2])
{
    double want[BLOCK];
    for (int i = 0; i < BLOCK; i++) want[i] = libm(fn, x[i], y[i]);
    check_block(fn, false, x, y, want, &worst[0]);
    if (with_fma()) check_block(fn, true, x, y, want, &worst[1]);
}

static void report(MathFn fn, const Worst worst[2])
{
    printf("    %-6s max ulp %.3f at (%a, %a); with fma %.3f at (%a, %a)\n", math_info[fn].name,
        worst[0].ulp, (double)worst[0].x, (double)worst[0].y, worst[1].ulp, (double)worst[1].x,
        (double)worst[1].y);
}

static bool wanted(const char *name)
{
    const char *list = getenv("KILN_TEST_MATH");
    size_t n = strlen(name);
    if (!list) return true;
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == 0 || at[n] == ',')) return true;
    return false;
}

static uint64_t seed = 1;
static uint32_t random_u32(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static void sweep(MathFn fn, uint64_t from, uint64_t to, uint32_t step, Worst worst[2])
{
    float x[BLOCK];
    for (uint64_t u = from; u < to;) {
        for (int i = 0; i < BLOCK; i++, u += step) x[i] = floatbits_f32((uint32_t)u);
        check_values(fn, x, x, worst);
    }
}

static void test_one_argument(void **state)
{
    (void)state;
    complaints = 0;
    bool full = getenv("KILN_TEST_FULL") != NULL;
    for (int fn = 0; fn < FN_COUNT; fn++) {
        if (math_info[fn].args != 1 || !wanted(math_info[fn].name)) continue;
        Worst worst[2] = {0};
        const bool slow = !math_info[fn].f64; /* to judge */
        sweep((MathFn)fn, 0, (uint64_t)1 << 32, full ? 1 : slow ? 10007 : 1009, worst);
        /* where errors peak: 2^-3 to 2^3 of either sign */
        if (!full) sweep((MathFn)fn, bits_f32(0.125f), bits_f32(8), slow ? 601 : 61, worst);
        if (!full) sweep((MathFn)fn, bits_f32(-0.125f), bits_f32(-8), slow ? 601 : 61, worst);
        report((MathFn)fn, worst);
    }
    assert_int_equal(complaints, 0);
}

/* Half of the pairs are any bits; the rest keep results in range: y = (up to 2^7) / log2 |x|, or
 * |x| near 1, or small integers. */
static void pair(float *x, float *y)
{
    uint32_t u = random_u32();
    *x = floatbits_f32(u);
    *y = floatbits_f32(random_u32());
    float small = (float)((int)(random_u32() % 301) - 150) + (float)(random_u32() & 255) / 256;
    switch (random_u32() & 7) {
    case 0:
    case 1: *y = (float)((double)small / log2(fabs((double)*x))); break;
    case 2:
        *x = floatbits_f32(0x3f800000 + (u & 0xfffff) - 0x40000);
        *y = floatbits_f32((random_u32() & 0x81ffffff) | 0x42000000);
        break;
    case 3: *y = truncf(small); break;
    default: break;
    }
}

static void test_two_arguments(void **state)
{
    (void)state;
    complaints = 0;
    int blocks = getenv("KILN_TEST_FULL") ? 50000 : 500;
    for (int fn = 0; fn < FN_COUNT; fn++) {
        if (math_info[fn].args != 2 || !wanted(math_info[fn].name)) continue;
        Worst worst[2] = {0};
        float x[BLOCK], y[BLOCK];
        for (int b = 0; b < blocks; b++) {
            for (int i = 0; i < BLOCK; i++) pair(&x[i], &y[i]);
            check_values((MathFn)fn, x, y, worst);
        }
        report((MathFn)fn, worst);
    }
    assert_int_equal(complaints, 0);
}

static const float special[] = {
    0,
    0x1p-149f,
    0x1p-148f,
    0x1.fffffcp-127f,
    0x1p-126f,
    0x1.8p-127f,
    0x1p-100f,
    0x1p-30f,
    0x1p-25f,
    0x1.fffffep-26f,
    0x1p-24f,
    0x1p-12f,
    0.25f,
    0.5f,
    0x1.fffffep-2f,
    0x1.000002p-1f,
    0x1.555554p-1f,
    0x1.555556p-1f,
    0x1.fffffep-1f,
    1,
    0x1.000002p+0f,
    1.5f,
    2,
    3,
    0x1.fffffep+1f,
    4,
    5,
    10,
    11,
    24,
    25,
    64,
    87.3365f,
    88.72284f,
    88.722839f,
    89,
    89.41599f,
    89.5f,
    103.27f,
    103.98f,
    104,
    105,
    127,
    128,
    149,
    150,
    151,
    1000,
    0x1p+15f,
    0x1.fffffep+22f,
    0x1p+23f,
    0x1.000002p+23f,
    0x1.fffffep+23f,
    0x1p+24f,
    0x1p+25f,
    0x1p+31f,
    0x1p+32f,
    0x1p+63f,
    0x1p+64f,
    0x1p+126f,
    0x1p+127f,
    0x1.fffffep+127f,
    INFINITY,
    NAN,
    0x1.921fb6p+0f,
    0x1.921fb6p+1f,
    0x1.921fb4p+1f,
    0x1.921fb6p-1f,
    /* near multiples of pi/2 */ 0x1.d9c2cep+25f,
    0x1.6d7f4ap+23f,
    0x1.ed9ee4p+48f,
    0x1.47d0fep+34f,
    0x1.64f032p+38f,
    0x1.f08b14p+115f,
    6381956970095103.f * 0x1p77f,
};

static void test_special_values(void **state)
{
    (void)state;
    complaints = 0;
    enum { N = COUNT_OF(special), ALL = 2 * N };
    for (int fn = 0; fn < FN_COUNT; fn++) {
        Worst worst[2] = {0};
        float x[BLOCK], y[BLOCK];
        int pairs = math_info[fn].args == 2 ? ALL * ALL : ALL;
        for (int first = 0; first < pairs; first += BLOCK) {
            for (int i = 0; i < BLOCK; i++) {
                int k = (first + i) % pairs, a = k % ALL, b = k / ALL % ALL;
                x[i] = a < N ? special[a] : -special[a - N];
                y[i] = b < N ? special[b] : -special[b - N];
            }
            check_values((MathFn)fn, x, y, worst);
        }
    }
    assert_int_equal(complaints, 0);
}

/* scalar_eval walks tokens; compiled C pasted them. Same bits (any NaN is one value). */
static void test_eval_same_bits(void **state)
{
    (void)state;
    complaints = 0;
    static const ScalarTok call_1[FN_COUNT][2] = {
#define MATH_BEGIN(fn, args) {{P_FN, DT_NONE, FN_##fn, 0}, {P_ARG, DT_NONE, 0, 0}},
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "../ir/math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
    };
    for (int fn = 0; fn < FN_COUNT; fn++) {
        const ScalarTok expr[3] = {call_1[fn][0], call_1[fn][1], {P_ARG, DT_NONE, 1, 0}};
        float x[BLOCK], y[BLOCK], out[BLOCK];
        for (int round = 0; round < 12; round++) {
            for (int i = 0; i < BLOCK; i++) {
                pair(&x[i], &y[i]);
                if (round > 6) x[i] = floatbits_f32((bits_f32(x[i]) & 0x83ffffff) | 0x3c000000);
            }
            block[fn][cpu_has_fma()](out, x, y);
            for (int i = 0; i < BLOCK; i++) {
                const Scalar args[2] = {{.f = (double)x[i]}, {.f = (double)y[i]}};
                float got = (float)scalar_eval(expr, DT_f32, DT_f32, args).f;
                if (bits_f32(got) != bits_f32(out[i]) && !(isnan(got) && isnan(out[i])))
                    complain(math_info[fn].name, cpu_has_fma(), x[i], y[i], got, (double)out[i],
                        "scalar_eval and C differ");
            }
        }
    }
    assert_int_equal(complaints, 0);
}

static void check_order(MathFn fn, float lo, float hi, int sign, float low, float high)
{
    for (int fused = 0; fused <= with_fma(); fused++) {
        float x[BLOCK], out[BLOCK], last = sign > 0 ? -INFINITY : INFINITY;
        for (int b = 0; b < 256; b++) {
            for (int i = 0; i < BLOCK; i++)
                x[i] = lo + (hi - lo) * ((float)(b * BLOCK + i) / (256 * BLOCK));
            block[fn][fused](out, x, x);
            for (int i = 0; i < BLOCK; last = out[i++]) {
                if (!(out[i] >= low && out[i] <= high))
                    complain(math_info[fn].name, fused, x[i], 0, out[i], 0, "out of its range");
                float slack = 4 * 0x1p-24f * fabsf(last);
                if (sign * (out[i] - last) < -slack)
                    complain(
                        math_info[fn].name, fused, x[i], 0, out[i], (double)last, "out of order");
            }
        }
    }
}

static void test_order_and_range(void **state)
{
    (void)state;
    complaints = 0;
    check_order(FN_exp, -104, 88.7f, 1, 0, INFINITY);
    check_order(FN_exp2, -150, 127.9f, 1, 0, INFINITY);
    check_order(FN_expm1, -20, 88.7f, 1, -1, INFINITY);
    check_order(FN_log, 1e-3f, 10, 1, -INFINITY, INFINITY);
    check_order(FN_log2, 1e-3f, 10, 1, -INFINITY, INFINITY);
    check_order(FN_log10, 1e-3f, 10, 1, -INFINITY, INFINITY);
    check_order(FN_log1p, -0.999f, 10, 1, -INFINITY, INFINITY);
    check_order(FN_tanh, -11, 11, 1, -1, 1);
    check_order(FN_erf, -5, 5, 1, -1, 1);
    check_order(FN_sin, -1.57f, 1.57f, 1, -1, 1);
    check_order(FN_cos, 0, 3.14f, -1, -1, 1);
    check_order(FN_tan, -1.57f, 1.57f, 1, -INFINITY, INFINITY);
    check_order(FN_asin, -1, 1, 1, -0x1.921fb6p+0f, 0x1.921fb6p+0f);
    check_order(FN_acos, -1, 1, -1, 0, 0x1.921fb6p+1f);
    check_order(FN_atan, -50, 50, 1, -0x1.921fb6p+0f, 0x1.921fb6p+0f);
    check_order(FN_sinh, -89, 89, 1, -INFINITY, INFINITY);
    check_order(FN_cosh, 0, 89, 1, 1, INFINITY);
    check_order(FN_asinh, -50, 50, 1, -INFINITY, INFINITY);
    check_order(FN_acosh, 1, 50, 1, 0, INFINITY);
    check_order(FN_atanh, -1, 1, 1, -INFINITY, INFINITY);
    check_order(FN_cbrt, -30, 30, 1, -INFINITY, INFINITY);
    check_order(FN_erfc, -5, 11, -1, 0, 2);
    check_order(FN_erfinv, -1, 1, 1, -INFINITY, INFINITY);
    check_order(FN_digamma, 0.01f, 30, 1, -INFINITY, INFINITY);
    check_order(FN_trigamma, 0.01f, 30, -1, 0, INFINITY);
    check_order(FN_i0, 0, 90, 1, 1, INFINITY);
    check_order(FN_i1, -90, 90, 1, -INFINITY, INFINITY);
    for (uint32_t k = 0; k < 1u << 20; k++) {
        float x = floatbits_f32(random_u32());
        if (isfinite(x) && !(fabsf(split_sin(x)) <= 1 && fabsf(split_cos(x)) <= 1))
            complain("sin", false, x, 0, split_sin(x), 0, "range");
    }
    assert_int_equal(complaints, 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_eval_same_bits),
        cmocka_unit_test(test_order_and_range),
        cmocka_unit_test(test_one_argument),
        cmocka_unit_test(test_two_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
