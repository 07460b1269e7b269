/* Functions of f64 that compute part of themselves only where some element needs it (rare of ir/scalar.def): whichever elements
 * those are, eager loops and compiled vectors give each the bits that it has alone, in loops, in sums over rows and in functions of
 * several such functions. */
#include "../ir/scalar.h"
#include "front.h"

enum { ROWS = 3, MOST = 1100 };

static double at_alone(MathFn fn, double x)
{
    const ScalarTok call[] = {{P_FN, DT_NONE, (uint16_t)fn, 0}, {P_ARG, DT_NONE, 0, 0}};
    return scalar_eval(call, DT_f64, DT_f64, (Scalar[]){{.f = x}}).f;
}

/* Some of them are far: one among many, one in each few, all. */
static double element(int64_t i, int64_t every)
{
    const double x = (double)(i % 61) * 0.37 - 9;
    return every != 0 && i % every == every - 1 ? x * 0x1p+70 + 40000 : x;
}
static const int64_t every[] = {0, 700, 13, 1};

typedef struct Row {
    MathFn fn;
    const char *name;
} Row;
static const Row row[] = {{FN_sin, "sin"}, {FN_cos, "cos"}, {FN_tan, "tan"}};

static kiln_tensor *of(int which, kiln_tensor *x) { return which == 0 ? kiln_sin(x) : which == 1 ? kiln_cos(x) : kiln_tan(x); }

KILN_FUNCTION(sine, k, x)
{
    (void)k;
    return of(0, x);
}
KILN_FUNCTION(cosine, k, x)
{
    (void)k;
    return of(1, x);
}
KILN_FUNCTION(tangent, k, x)
{
    (void)k;
    return of(2, x);
}
static kiln_tensor *mixture(kiln_tensor *x)
{
    kiln_tensor *s = kiln_mul(kiln_sin(x), kiln_cos(kiln_mul(x, 3.0)));
    return kiln_add(kiln_sum(kiln_add(s, kiln_tan(kiln_add(x, 1.0))), KILN_AXES(1)), kiln_sin(kiln_reduce_max(x, KILN_AXES(1))));
}
KILN_FUNCTION(mixed, k, x)
{
    (void)k;
    return mixture(x);
}

static void compare(const char *what, const double *want, const double *got, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&want[i], &got[i], sizeof *want) != 0)
            fail_msg("%s: element %lld of %lld is %a, not %a", what, (long long)i, (long long)n, got[i], want[i]);
}

static void each_element_has_its_bits(void **state)
{
    kiln *k = *state;
    static double x[MOST], want[MOST], got[MOST];
    static const int64_t size[] = {1, 3, 8, 17, 512, 513, MOST};
    for (size_t e = 0; e < COUNT_OF(every); e++)
        for (size_t s = 0; s < COUNT_OF(size); s++)
            for (int f = 0; f < (int)COUNT_OF(row); f++) {
                KILN_SCOPE(k);
                const int64_t n = size[s];
                for (int64_t i = 0; i < n; i++) x[i] = element(i, every[e]), want[i] = at_alone(row[f].fn, x[i]);
                kiln_tensor *t = kiln_from(k, KILN_F64, KILN_SHAPE(n), x, n);
                assert_true(kiln_read_doubles(of(f, t), got, n));
                compare(row[f].name, want, got, n);
                assert_true(kiln_read_doubles(f == 0 ? sine(k, t) : f == 1 ? cosine(k, t) : tangent(k, t), got, n));
                compare(row[f].name, want, got, n);
            }
}

static void kernels_of_several(void **state)
{
    kiln *k = *state;
    static double x[ROWS * MOST], want[ROWS], got[ROWS];
    static const int64_t size[] = {1, 5, 33, MOST};
    for (size_t e = 0; e < COUNT_OF(every); e++)
        for (size_t s = 0; s < COUNT_OF(size); s++) {
            KILN_SCOPE(k);
            const int64_t n = size[s];
            for (int64_t i = 0; i < ROWS * n; i++) x[i] = element(i, every[e]);
            kiln_tensor *t = kiln_from(k, KILN_F64, KILN_SHAPE(ROWS, n), x, ROWS * n);
            assert_true(kiln_read_doubles(mixture(t), want, ROWS));
            assert_true(kiln_read_doubles(mixed(k, t), got, ROWS));
            compare("several", want, got, ROWS);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_element_has_its_bits, front_setup_waiting, front_teardown),
        cmocka_unit_test_setup_teardown(kernels_of_several, front_setup_waiting, front_teardown),
    };
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
