/* The elementary functions of math64.def against the C library's in long double: errors in ulps with and without FMA, special
 * values, and scalar_eval against compiled C bit for bit. A sample; KILN_TEST_FULL=1 takes a hundred times as many. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../codegen/ref/special.h"
#include "../ir/scalar.h"
#include "math_twice.h"

typedef struct Function {
    MathFn fn;
    double (*of[2])(double); /* without and with FMA */
    long double (*exact)(long double);
} Function;
static long double digammal(long double x) { return special_psi(0, x); }
static long double trigammal(long double x) { return special_psi(1, x); }
static long double tetragammal(long double x) { return special_psi(2, x); }
#define erfinvl special_erfinv
#define i0l special_i0
#define i1l special_i1
#define i1_slopel special_i1_slope
static const Function function[] = {
#define MATH_F64(fn, args)
#define MATH_OWN(fn) {FN_##fn, {split_##fn##64, fused_##fn##64}, fn##l},
#include "../ir/math64.def"
#undef MATH_F64
#undef MATH_OWN
};

/* The bounds that math64.def states, rounded up. */
static double limit(MathFn fn)
{
    switch (fn) {
    case FN_tetragamma: return 10;
    case FN_lgamma:
    case FN_digamma:
    case FN_trigamma:
    case FN_erfinv:
    case FN_i0:
    case FN_i1:
    case FN_i1_slope: return 8;
    default: return 1.3;
    }
}

/* Where a function has zeros its error is counted in places of a larger number: what its parts come to there. */
static long double scale_of(MathFn fn, double x, long double value)
{
    const long double size = fabsl(value), far = fabsl((long double)x);
    if (isnan(value) || isinf(value) || isinf(x)) return value;
    if (fn == FN_digamma) return fmaxl(size, 1 + log1pl(far));
    if (fn == FN_lgamma && x < -1) return fmaxl(size, 2 + far * log1pl(far));
    return fn == FN_tetragamma && x < 0 ? fmaxl(size, 64) : value;
}

/* Distance in places of `scale`, which is at least `want`; an overflow is as good as the largest number. Negative: wrong kind (NaN,
 * sign of a zero). */
static double ulps(double got, long double want, long double scale)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : -1;
    if ((got == 0 || (double)want == 0) && !signbit(got) != !signbit(want)) return -1;
    const long double end = ldexpl(1, DBL_MAX_EXP);
    const long double g = isinf(got) ? copysignl(end, got) : got, w = fabsl(want) > end ? copysignl(end, want) : want;
    int e = DBL_MIN_EXP;
    if (scale != 0 && isfinite(scale)) frexpl(scale, &e);
    return (double)ldexpl(fabsl(g - w), DBL_MANT_DIG - (e < DBL_MIN_EXP ? DBL_MIN_EXP : e));
}

static uint64_t seed = 1;
static uint64_t random_u64(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed ^ seed >> 31;
}

static const double special[] = {0, 0x1p-1074, 0x1p-1073, 0x1.8p-1030, 0x1p-1022, 0x1.fffffffffffffp-1023, 0x1p-100, 0x1p-55,
    0x1p-54, 0x1.fffffffffffffp-55, 0x1p-53, 0x1p-28, 0x1p-12, 0.25, 0.2928932188134524, 0.29289321881345254, 0.5, 0.55,
    0.5500000000000002, 0.7071067811865475, 0.7071067811865476, 0x1.fffffffffffffp-1, 1, 0x1.0000000000001p0, 1.4142135623730950,
    1.4142135623730951, 2, 3, 10, 19, 20, 20.000000000000004, 22, 36, 40, 308.25, 709.78, 709.782712893384, 709.7827128933841,
    709.9, 710, 711, 744, 745.13, 745.1332191019411, 745.1332191019412, 746, 747, 1000, 1022, 1022.5, 1023, 1023.9999999999999,
    1024, 1025, 1074, 1074.9, 1075, 1077, 0x1p31, 0x1p52, 0x1p53, 0x1p63, 0x1p1000, 0x1p1023, 0x1.fffffffffffffp1023, INFINITY,
    NAN};

/* Any bits; up to some thousands; of every size; near 1. */
static double sample(int i)
{
    const int k = i / 4;
    const double unit = (double)(int64_t)random_u64() * 0x1p-63;
    switch (i % 4) {
    case 0: return floatbits_f64(random_u64());
    case 1: return unit * (1 << k % 12);
    case 2: return ldexp(unit, k % 60 - 50);
    default: return 1 + ldexp(unit, -(k % 40));
    }
}

static void errors_are_small(void **state)
{
    (void)state;
    int complaints = 0;
    const int all = getenv("KILN_TEST_FULL") ? 40000000 : 400000, specials = 2 * (int)COUNT_OF(special);
    const double slack = LDBL_MANT_DIG > DBL_MANT_DIG ? 0 : 1; /* where long double is a double */
    for (size_t f = 0; f < COUNT_OF(function); f++)
        for (int fused = 0; fused < 2; fused++) {
            const char *name = math_info[function[f].fn].name;
            double worst = 0, at = 0;
            const int n = math_info[function[f].fn].f64 ? all : all / 10; /* slow to judge */
            for (int i = -specials; i < n; i++) {
                const double x = i >= 0 ? sample(i) : i % 2 ? special[(-1 - i) / 2] : -special[(-1 - i) / 2];
                const double got = function[f].of[fused](x);
                const long double want = function[f].exact(x);
                const double e = ulps(got, want, scale_of(function[f].fn, x, want));
                if (e > worst) worst = e, at = x;
                if ((e < 0 || e > limit(function[f].fn) + slack) && complaints++ < 20)
                    printf("    %s %s: %a: %a, want %La: %.3f ulps\n", name, fused ? "fma" : "no fma", x, got, function[f].exact(x),
                        e);
            }
            printf("    %-6s %-6s max ulp %.3f at %a\n", name, fused ? "fma" : "no fma", worst, at);
        }
    assert_int_equal(complaints, 0);
}

/* scalar_eval walks tokens; compiled C pasted them. Same bits (any NaN is one value). */
static void eval_gives_the_same_bits(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT_OF(function); f++) {
        const ScalarTok call[] = {{P_FN, DT_NONE, (uint16_t)function[f].fn, 0}, {P_ARG, DT_NONE, 0, 0}};
        for (int i = -(int)COUNT_OF(special); i < 20000; i++) {
            const double x = i >= 0 ? sample(i) : special[-1 - i], want = function[f].of[cpu_has_fma()](x);
            const double got = scalar_eval(call, DT_f64, DT_f64, (Scalar[]){{.f = x}}).f;
            if (isnan(want) ? !isnan(got) : bits_f64(got) != bits_f64(want))
                fail_msg("%s(%a) is %a, not %a", math_info[function[f].fn].name, x, got, want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(eval_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
