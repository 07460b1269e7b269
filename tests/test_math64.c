/* The elementary functions of math64.def, but for those that the C library need not have (test_own64.c), against the C library's in
 * long double, and where libquadmath is at hand against that one's wherever an error is the largest so far: errors in ulps with and
 * without FMA, dense where a row changes its formula, special values, and scalar_eval against compiled C bit for bit. A sample;
 * KILN_TEST_FULL=1 takes 10^8 points of each, and KILN_TEST_MATH=exp,log picks some. */
#include <dlfcn.h>
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../ir/scalar.h"
#include "math_twice.h"

#if defined(__x86_64__) && defined(__GLIBC__)
#define QUAD 1
__extension__ typedef __float128 Quad;
#else
#define QUAD 0
typedef long double Quad;
#endif

typedef double One(double);
typedef double Two(double, double);
#define OF_1(fn)                       \
    {                                  \
        split_##fn##64, fused_##fn##64 \
    }
#define NONE_1     \
    {              \
        NULL, NULL \
    }
typedef struct Function {
    MathFn fn;
    One *of1[2]; /* without and with FMA */
    Two *of2[2];
    long double (*exact1)(long double);
    long double (*exact2)(long double, long double);
} Function;
#define ROW_1(fn) {FN_##fn, OF_1(fn), NONE_1, fn##l, NULL},
#define ROW_2(fn) {FN_##fn, NONE_1, OF_1(fn), NULL, fn##l},
static const Function function[] = {
#define MATH_F64(fn, args) ROW_##args(fn)
#define MATH_OWN(fn)
#include "../ir/math64.def"
#undef MATH_F64
#undef MATH_OWN
};

static double limit(MathFn fn) { return fn == FN_exp || fn == FN_log || fn == FN_cbrt ? 1 : 2; }

/* Distance in places of `want`; an overflow is as good as the largest number. Negative: wrong kind (NaN, sign of a zero). */
static double ulps(double got, Quad want)
{
    const double near = (double)want;
    if (isnan(near) || isnan(got)) return isnan(near) && isnan(got) ? 0 : -1;
    if ((got == 0 || near == 0) && !signbit(got) != !signbit(near)) return -1;
    const Quad end = (Quad)DBL_MAX + (Quad)0x1p+970, g = isinf(got) ? (got > 0 ? end : -end) : (Quad)got;
    const Quad w = want > end ? end : want < -end ? -end : want;
    int e = DBL_MIN_EXP;
    if (w != 0) frexp((double)w, &e);
    if (isinf((double)w)) e = DBL_MAX_EXP;
    const Quad d = g > w ? g - w : w - g;
    e = DBL_MANT_DIG - (e < DBL_MIN_EXP ? DBL_MIN_EXP : e);
    return e > 0 ? ldexp((double)(d * (Quad)0x1p+500), e - 500) : ldexp((double)d, e); /* d itself may be too small, or too large */
}

/* A function of libquadmath; NULL: there is none. */
static void *in_quad(const char *name)
{
    static void *library;
    char symbol[16];
    if (QUAD && !library) library = dlopen("libquadmath.so.0", RTLD_NOW);
    snprintf(symbol, sizeof symbol, "%sq", name);
    return library ? dlsym(library, symbol) : NULL;
}

static uint64_t seed = 1;
static uint64_t random_u64(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed ^ seed >> 31;
}
static double random_unit(void) { return (double)(int64_t)random_u64() * 0x1p-63; }

static const double special[] = {0, 0x1p-1074, 0x1p-1073, 0x1.8p-1030, 0x1p-1022, 0x1.fffffffffffffp-1023, 0x1p-100, 0x1p-55,
    0x1p-54, 0x1.fffffffffffffp-55, 0x1p-53, 0x1p-28, 0x1p-12, 0.25, 0.2928932188134524, 0.29289321881345254, 0.5, 0.55,
    0.5500000000000002, 0.7071067811865475, 0.7071067811865476, 0x1.fffffffffffffp-1, 1, 0x1.0000000000001p0, 1.4142135623730950,
    1.4142135623730951, 1.5, 2, 3, 5, 10, 19, 20, 20.000000000000004, 22, 36, 40, 308.25, 709.78, 709.782712893384,
    709.7827128933841, 709.9, 710, 710.4758, 710.4758600739439, 710.475860073944, 710.5, 711, 744, 745.13, 745.1332191019411,
    745.1332191019412, 746, 747, 1000, 1022, 1022.5, 1023, 1023.9999999999999, 1024, 1025, 1074, 1074.9, 1075, 1077, 0x1p31, 0x1p52,
    0x1.fffffffffffffp52, 0x1p53, 0x1p54, 0x1p63, 0x1p66, 0x1p1000, 0x1p1023, 0x1.fffffffffffffp1023, INFINITY, NAN,
    /* near multiples of pi/2 */ 0x1.921fb54442d18p+0, 0x1.921fb54442d18p+1, 0x1.2d97c7f3321d2p+2, 0x1.921fb54442d18p+12, 355,
    103993, 833719, 1e22, 0x1.6ac5b262ca1ffp+849};
static const double edge[] = {/* where rows change their formula */
    0.25, 0.34657359027997264, 0.46875, 0.5, 0.5625, 0.625, 0.66, 0x1.5555555555555p-1, 0.7071067811865476, 0.75, 0.7853981633974483, 1,
    1.0397207708399179, 1.4142135623730951, 1.5, 1.5625, 1.5707963267948966, 2, 2.414213562373095, 3.141592653589793, 6, 20, 27.3, 32768, 0x1p+28,
    709.78, 710.47};

/* Any bits; up to some thousands; of every size; near an edge, of either sign. */
static double sample(int64_t i)
{
    const int k = (int)(i / 5 % 4096);
    switch (i % 5) {
    case 0: return floatbits_f64(random_u64());
    case 1: return random_unit() * (1 << k % 12);
    case 2: return ldexp(random_unit(), k % 60 - 50);
    case 3: return (k & 1 ? -1 : 1) * edge[k / 2 % (int)COUNT_OF(edge)] * (1 + ldexp(random_unit(), -(int)(random_u64() >> 59)));
    default: return 1 + ldexp(random_unit(), -(k % 50));
    }
}

/* Any pair; results in range; x near 1 and y large; whole y; ratios near 1, and of every size. */
static void pair(int64_t i, double *x, double *y)
{
    *x = floatbits_f64(random_u64()), *y = floatbits_f64(random_u64());
    const double unit = random_unit();
    const int k = (int)(random_u64() >> 58);
    switch (i % 8) {
    case 0:
    case 1: *y = unit * 1075 / log2(fabs(*x)); break;
    case 2: *x = 1 + ldexp(unit, -k), *y = ldexp(random_unit(), k); break;
    case 3: *y = trunc(unit * 64); break;
    case 4: *x = fabs(*x) < 0x1p+1000 ? *x : 1, *y = *x * (1 + ldexp(unit, -k % 8)); break;
    case 5: *x = sample(i), *y = *x * ldexp(unit, k - 20); break;
    case 6: *x = fabs(unit) * 4, *y = 8 * random_unit(); break;
    default: break;
    }
}

static bool wanted(const char *name)
{
    const char *list = getenv("KILN_TEST_MATH");
    const size_t n = strlen(name);
    if (!list) return true;
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == 0 || at[n] == ',')) return true;
    return false;
}

typedef struct Worst {
    double ulp, x, y;
} Worst;

static int complaints;
static void check(const Function *f, const void *quad, double x, double y, Worst worst[2])
{
    const long double nearly = f->exact1 ? f->exact1(x) : f->exact2(x, y);
    const double places = LDBL_MANT_DIG > DBL_MANT_DIG ? 0x1p-8 : 1; /* how far long double may be wrong */
    for (int fused = 0; fused < 2; fused++) {
        const double got = f->exact1 ? f->of1[fused](x) : f->of2[fused](x, y);
        double e = ulps(got, (Quad)nearly), slack = quad ? 0 : places;
        if (quad && (e < 0 || e > worst[fused].ulp - places)) {
            Quad (*one)(Quad), (*two)(Quad, Quad);
            memcpy(&one, &quad, sizeof one), memcpy(&two, &quad, sizeof two);
            e = ulps(got, f->exact1 ? one((Quad)x) : two((Quad)x, (Quad)y));
        }
        if (e > worst[fused].ulp) worst[fused] = (Worst){e, x, y};
        if ((e < 0 || e > limit(f->fn) + slack) && complaints++ < 20)
            printf("    %s %s: (%a, %a): %a, want %La: %.3f ulps\n", math_info[f->fn].name, fused ? "fma" : "no fma", x, y, got,
                nearly, e);
    }
}

static double special_at(int i) { return i % 2 ? special[i / 2] : -special[i / 2]; }

static void errors_are_small(void **state)
{
    (void)state;
    const int64_t n = getenv("KILN_TEST_FULL") ? 100000000 : 100000;
    const int specials = 2 * (int)COUNT_OF(special);
    complaints = 0;
    for (size_t i = 0; i < COUNT_OF(function); i++) {
        const Function *f = &function[i];
        const char *name = math_info[f->fn].name;
        if (!wanted(name)) continue;
        const void *quad = in_quad(name);
        Worst worst[2] = {{0, 0, 0}, {0, 0, 0}};
        for (int a = 0; a < specials; a++)
            for (int b = 0; b < (f->exact2 ? specials : 1); b++) check(f, quad, special_at(a), special_at(b), worst);
        for (int64_t k = 0; k < n; k++) {
            double x, y = 0;
            if (f->exact2)
                pair(k, &x, &y);
            else
                x = sample(k);
            check(f, quad, x, y, worst);
        }
        printf("    %-6s max ulp %.3f at (%a, %a); with fma %.3f at (%a, %a)%s\n", name, worst[0].ulp, worst[0].x, worst[0].y,
            worst[1].ulp, worst[1].x, worst[1].y, quad ? "" : ", by long double");
    }
    assert_int_equal(complaints, 0);
}

/* scalar_eval walks tokens; compiled C pasted them. Same bits (any NaN is one value). */
static void eval_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(function); i++) {
        const Function *f = &function[i];
        const ScalarTok call[] = {{P_FN, DT_NONE, (uint16_t)f->fn, 0}, {P_ARG, DT_NONE, 0, 0}, {P_ARG, DT_NONE, 1, 0}};
        for (int k = -(int)COUNT_OF(special); k < 10000; k++) {
            double x = k >= 0 ? sample(k) : special[-1 - k], y = 0;
            if (f->exact2) pair(k + 1000, &x, &y);
            const double want = f->exact1 ? f->of1[cpu_has_fma()](x) : f->of2[cpu_has_fma()](x, y);
            const double got = scalar_eval(call, DT_f64, DT_f64, (Scalar[]){{.f = x}, {.f = y}}).f;
            if (isnan(want) ? !isnan(got) : bits_f64(got) != bits_f64(want))
                fail_msg("%s(%a, %a) is %a, not %a", math_info[f->fn].name, x, y, got, want);
        }
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(eval_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
