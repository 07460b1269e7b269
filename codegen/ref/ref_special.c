/* ref_special: special.h. Loops and recurrences, as slow as they are plain. Never reads the scalar algebra. */
#include "special.h"

#include <math.h>

static const long double pi = 3.14159265358979323846264338327950288L;

static long double power(long double x, int n)
{
    long double p = 1;
    for (int i = 0; i < n; i++) p *= x;
    return p;
}

/* For x > 0: the sum of 1 / (x + j)^(order + 1) up to 40, and from there Euler and Maclaurin's series. */
static long double psi_above(int order, long double x)
{
    /* Bernoulli's numbers of order 2, 4 ... */
    static const long double b[] = {1.0L / 6, -1.0L / 30, 1.0L / 42, -1.0L / 30, 5.0L / 66, -691.0L / 2730, 7.0L / 6};
    static const int factorial[] = {1, 1, 2};
    long double sum = 0, tail;
    for (; x < 40; x += 1) sum += 1 / power(x, order + 1);
    const long double z = 1 / x;
    tail = order == 0 ? -logl(x) + z / 2 : order == 1 ? z + z * z / 2 : z * z / 2 + z * z * z / 2;
    for (int j = 1; j <= 7; j++) {
        const int n = 2 * j;
        const long double many = order == 0 ? 1.0L / n : order == 1 ? 1 : (long double)(n + 1) / 2;
        tail += b[j - 1] * many * power(z, n + order);
    }
    sum += tail;
    return factorial[order] * (order == 1 ? sum : -sum);
}

long double special_psi(int order, long double x)
{
    if (isnan(x) || x > 0) return psi_above(order, x);
    if (isinf(x)) return NAN;
    if (x == 0) return order == 1 ? INFINITY : copysignl(INFINITY, -x);
    const long double s = x - rintl(x), sine = sinl(pi * s), cosine = fabsl(s) == 0.5L ? 0 : cosl(pi * s),
                      above = psi_above(order, 1 - x), g = pi / sine;
    if (s == 0) return order == 1 ? INFINITY : NAN;
    return order == 0 ? above - g * cosine : order == 1 ? g * g - above : above - 2 * cosine * g * g * g;
}

long double special_erfinv(long double x)
{
    const long double a = fabsl(x), root_pi = 1.77245385090551602729816748334114518L;
    if (!(a < 1)) return a == 1 ? copysignl(INFINITY, x) : NAN;
    /* A first guess (Winitzki), and Newton's steps: of erf, or far out of log erfc */
    const long double l = log1pl(-a * a), h = 2 / (pi * 0.147L) + l / 2;
    long double v = sqrtl(fmaxl(sqrtl(h * h - l / 0.147L) - h, 0));
    if (a < 1e-4L) return x * root_pi / 2 * (1 + pi / 12 * a * a * (1 + 7 * pi / 40 * a * a));
    for (int i = 0; i < 8; i++) {
        const long double slope = 2 / root_pi * expl(-v * v);
        v -= a < 0.5L ? (erfl(v) - a) / slope : logl((1 - a) / erfcl(v)) * erfcl(v) / slope;
    }
    return copysignl(v, x);
}

/* The sum of (x / 2)^2k weight(k) / (k! (k + n)!). From 800 on it is beyond the numbers of double, for which it is asked. */
static long double bessel(long double x, int n, bool slope)
{
    const long double z = x / 2 * (x / 2);
    long double term = 1, sum = 0;
    if (isnan(x) || fabsl(x) > 800) return isnan(x) ? x : INFINITY;
    for (int k = 0; k < 2000; k++) {
        const long double part = slope ? term * (long double)(2 * k + 1) : term;
        sum += part;
        if (part < sum * 0x1p-80L) break;
        term *= z / ((long double)(k + 1) * (long double)(k + 1 + n));
    }
    return sum;
}

long double special_i0(long double x) { return bessel(x, 0, false); }
long double special_i1(long double x) { return bessel(x, 1, false) * (x / 2); }
long double special_i1_slope(long double x) { return bessel(x, 1, true) / 2; }

/* ---- ops ------------------------------------------------------------------------------------------------------- */

static long double softsign(long double x) { return isinf(x) ? copysignl(1, x) : x / (1 + fabsl(x)); }

/* Near 0, where x and tanh x cancel, the series of what is left. */
static long double tanhshrink(long double x)
{
    static const long double term[] = {
        1.0L / 3, -2.0L / 15, 17.0L / 315, -62.0L / 2835, 1382.0L / 155925, -21844.0L / 6081075, 929569.0L / 638512875};
    long double sum = 0;
    if (!(fabsl(x) < 0.05L)) return x - tanhl(x);
    for (int i = 6; i >= 0; i--) sum = sum * x * x + term[i];
    return x * x * x * sum;
}

double special_unary(Op op, double x)
{
    switch (op) {
    case OP_asinh: return asinh(x);
    case OP_acosh: return acosh(x);
    case OP_atanh: return atanh(x);
    case OP_cbrt: return cbrt(x);
    case OP_erfc: return erfc(x);
    case OP_erfinv: return (double)special_erfinv(x);
    case OP_lgamma: return (double)lgammal(x);
    case OP_digamma: return (double)special_psi(0, x);
    case OP_digamma_slope: return (double)special_psi(1, x);
    case OP_trigamma_slope: return (double)special_psi(2, x);
    case OP_i0: return (double)special_i0(x);
    case OP_i1: return (double)special_i1(x);
    case OP_i1_slope: return (double)special_i1_slope(x);
    case OP_logit: return (double)(fabs(x - 0.5) < 0.25 ? 2 * atanhl(2 * (long double)x - 1) : logl(x) - log1pl(-x));
    case OP_softsign: return (double)softsign(x);
    case OP_tanhshrink: return (double)tanhshrink(x);
    default: return NAN;
    }
}

/* The limit where one operand is infinite. */
double special_hypot_slope(double x, double y)
{
    if (isnan(x) || isnan(y) || (isinf(x) && isinf(y))) return NAN;
    if (isinf(x) || isinf(y)) return isinf(x) ? copysign(1, x) : copysign(0, x);
    return x == 0 && y == 0 ? 0 : (double)(x / hypotl(x, y));
}

double special_binary(Op op, double x, double y)
{
    switch (op) {
    case OP_fmod: return fmod(x, y);
    case OP_copysign: return copysign(x, y);
    case OP_hypot: return hypot(x, y);
    case OP_logaddexp: return x == y ? x + log(2) : fmax(x, y) + log1p(exp(-fabs(x - y))) + (isnan(x) || isnan(y) ? NAN : 0);
    default: return NAN;
    }
}

bool special_poles(Op op) { return op == OP_lgamma || op == OP_digamma || op == OP_digamma_slope || op == OP_trigamma_slope; }

bool special_rows(Op op)
{
    switch (op) {
    case OP_erfinv:
    case OP_i0:
    case OP_i1:
    case OP_i1_slope: return true;
    default: return special_poles(op);
    }
}

double special_error(Op op, double x)
{
    const double unit = 0x1p-53 * 64, far = fabs(x);
    if (!isfinite(x)) return 0;
    if (op == OP_lgamma) return x < 0 ? unit * (2 + far * log1p(far)) : 0;
    if (op == OP_digamma) return unit * (2 + log1p(far));
    return op == OP_trigamma_slope && x < 0 ? unit * 64 : 0;
}
