/* Functions and activations that programs ask for less often, in every float type, near and far (far.h). */
#include "far.h"
#include "far_more.h"

#include "codegen/ref/special.h"

#define PI 3.14159265358979323846264338327950288L
#define SELU 1.0507009873554804934193349852946L
#define ALPHA 1.6732632423543772848170429916717L

static Real root1(Real v) { return sqrtl(v - 1) * sqrtl(v + 1); }
static Real erfinv1(Real v) { return expl(special_erfinv(v) * special_erfinv(v)) / TWO_BY_ROOT_PI; }
static Real gate(Real v) { return 4 * slope(2 * softplus(v)) * sg(v); } /* of tanh(softplus), the slope */

static Real i1_bend(Real v)
{
    Real term = v / 4, sum = 0;
    if (fabsl(v) > 1) return special_i1(v) * (1 + 1 / v / v) - special_i1_slope(v) / v;
    for (int n = 1; n < 20; n++, term *= v / 2 * (v / 2) / ((Real)n * (Real)(n + 1))) sum += term * (Real)((2 * n + 1) * 2 * n) / 4;
    return sum;
}

static Real shrunk(Real v)
{
    const Real z = v * v;
    if (fabsl(v) > 0.11L || isnan(v)) return v - tanhl(v);
    return v * z * (1 / 3.0L - z * (2 / 15.0L - z * (17 / 315.0L - z * (62 / 2835.0L - z * (1382 / 155925.0L - z * (21844 / 6081075.0L - z * (929569 / 638512875.0L)))))));
}

/* Derivatives of sin(pi v) / (pi v): near 0 term by term, else with the nearest whole number taken off before the sine. */
static Real sinc_derivative(Real v, int order)
{
    const Real n = rintl(v), odd = fmodl(n, 2) == 0 ? 1 : -1, s = odd * sinl(PI * (v - n)), c = odd * cosl(PI * (v - n));
    Real term = 1, sum = 0;
    if (!(fabsl(v) < 0.5L)) {
        if (order == 0) return s / (PI * v);
        return order == 1 ? c / v - s / (PI * v * v) : -PI * s / v - 2 * c / v / v + 2 * s / (PI * v * v * v);
    }
    for (int i = 0; i < 30; i++) {
        const Real m = 2 * i, power = order == 0 ? term : i == 0 ? 0 : order == 1 ? term * m : term * m * (m - 1);
        sum += power; /* its derivatives lack factors v */
        term *= -PI * PI * (v == 0 ? 1 : v * v) / ((m + 2) * (m + 3));
        if (v == 0 && i == 1) return order == 0 ? 1 : order == 1 ? 0 : sum;
    }
    return order == 0 ? sum : order == 1 ? sum / v : sum / v / v;
}
static Real sinc0(Real v) { return sinc_derivative(v, 0); }
static Real sinc1(Real v) { return sinc_derivative(v, 1); }
static Real sinc2(Real v) { return sinc_derivative(v, 2); }

MORE_ROWS(FUNCTIONS)
static const Row rows[] = {MORE_ROWS(ROW)};

static void sweep(void **state)
{
    (void)state;
    sweep_rows(rows, (int)(sizeof rows / sizeof *rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(sweep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
