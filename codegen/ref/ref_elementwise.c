/* ref_elementwise: every elementwise op on floats in double through the C library, with error bounds found at the corners of the
 * operands' intervals; cast. Integers: ref_integer.c. Relies on internal.h. Never reads the scalar algebra of ops.def. */
#include "integer.h"
#include "internal.h"
#include "special.h"

#include <math.h>

/* A float operand as an interval. */
typedef struct Operand {
    double v, b;
} Operand;

/* ---- values --------------------------------------------------------------------------------------------- */

/* As CPython, and by zero as NumPy; each step is rounded to the type in which it is computed. */
#define DIVISION(name, T, suffix)                                    \
    static double python_mod_##name(T x, T y)                        \
    {                                                                \
        T r = fmod##suffix(x, y);                                    \
        if (r != 0 && (r < 0) != (y < 0)) return (double)(T)(r + y); \
        return (double)(r == 0 ? copysign##suffix(0, y) : r);        \
    }                                                                \
    static double floor_div_##name(T x, T y)                         \
    {                                                                \
        if (y == 0) return (double)(x / y);                          \
        T r = fmod##suffix(x, y), q = (x - r) / y;                   \
        if (r != 0 && (r < 0) != (y < 0)) q -= 1;                    \
        if (q == 0) return (double)copysign##suffix(0, x / y);       \
        T whole = floor##suffix(q);                                  \
        if (q - whole > (T)0.5) whole += 1;                          \
        return (double)whole;                                        \
    }
DIVISION(f64, double, )
DIVISION(f32, float, f)
#undef DIVISION

static double floor_div(DType t, double x, double y)
{
    return t == DT_f64 ? floor_div_f64(x, y) : floor_div_f32((float)x, (float)y);
}

static double python_mod(DType t, double x, double y)
{
    return t == DT_f64 ? python_mod_f64(x, y) : python_mod_f32((float)x, (float)y);
}

/* x f(x), 0 where f is 0 far out. */
static double times(double x, double f) { return f == 0 && isinf(x) ? copysign(0, x) : x * f; }

/* s(x) s(-x) equals 1 / (2 + 2 cosh x); far out, where cosh overflows, it is exp(-|x|). */
static double logistic_density(double x) { return isnan(x) ? x : fabs(x) > 700 ? exp(-fabs(x)) : 0.5 / (1 + cosh(x)); }

/* The density of the normal distribution. */
static double normal_density(double x) { return 0.39894228040143267794 * exp(-0.5 * x * x); }

/* Both follow the library's own formula: 1 + erf loses what erfc would keep, and only rounding should differ. */
static double normal_share(double x) { return 0.5 * (1 + erf(x * 0.70710678118654752440)); }

static double two_u(double x) { return 1.59576912160573071176 * (x + 0.044715 * x * x * x); }

/* Far out, where exp(-x) overflows, it is exp(x). */
static double sigmoid(double x) { return x < -700 ? exp(x) : 1 / (1 + exp(-x)); }

static double gelu_tanh_slope(double x)
{
    double slope = 1.59576912160573071176 * (1 + 0.134145 * x * x);
    if (fabs(x) > 100) return x > 0;
    return sigmoid(two_u(x)) + x * logistic_density(two_u(x)) * slope;
}

static double unary(Op op, double x)
{
    switch (op) {
    case OP_sigmoid: return sigmoid(x);
    case OP_silu: return times(x, sigmoid(x));
    case OP_softplus: return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    case OP_gelu: return times(x, normal_share(x));
    case OP_gelu_tanh: return times(x, sigmoid(two_u(x)));
    case OP_sigmoid_slope: return logistic_density(x);
    case OP_silu_slope: return sigmoid(x) + times(x, logistic_density(x));
    case OP_tanh_slope: return 4 * logistic_density(2 * x);
    case OP_atan_slope: return 1 / (1 + x * x);
    case OP_erf_slope: return 1.12837916709551257390 * exp(-x * x);
    case OP_gelu_slope: return normal_share(x) + times(x, normal_density(x));
    case OP_gelu_tanh_slope: return gelu_tanh_slope(x);
    case OP_neg: return -x;
    case OP_abs: return fabs(x);
    case OP_sign: return x > 0 ? 1 : x < 0 ? -1 : x;
    case OP_relu: return x > 0 || isnan(x) ? x : 0;
    case OP_floor: return floor(x);
    case OP_ceil: return ceil(x);
    case OP_trunc: return trunc(x);
    case OP_round: return rint(x);
    case OP_sqrt: return sqrt(x);
    case OP_exp: return exp(x);
    case OP_exp2: return exp2(x);
    case OP_expm1: return expm1(x);
    case OP_log: return log(x);
    case OP_log2: return log2(x);
    case OP_log10: return log10(x);
    case OP_log1p: return log1p(x);
    case OP_sin: return sin(x);
    case OP_cos: return cos(x);
    case OP_tan: return tan(x);
    case OP_asin: return asin(x);
    case OP_acos: return acos(x);
    case OP_atan: return atan(x);
    case OP_sinh: return sinh(x);
    case OP_cosh: return cosh(x);
    case OP_tanh: return tanh(x);
    case OP_erf: return erf(x);
    default: return special_unary(op, x);
    }
}

/* y x^(y - 1), computed as y x^y / x where y - 1 may round; if x is 0 or infinite, only the sign comes from that quotient. */
static double pow_slope(double x, double y)
{
    bool end = x == 0 || isinf(x);
    if (y == 0) return 0;
    if (fabs(y) <= 4194304 && (y >= 0.5 || end)) return y * pow(x, y - 1);
    return (double)(y * powl(x, y) / (end ? copysign(1, x) : x));
}

/* Becomes infinite beyond the numbers in which t is computed. */
static double held(DType t, double v)
{
    return dtype_info[t].compute == DT_f64 ? v : fabs(v) > 0x1.fffffefp127 ? copysign(INFINITY, v) : v;
}

static double binary(Op op, DType t, double x, double y)
{
    switch (op) {
    case OP_add: return x + y;
    case OP_sub: return x - y;
    case OP_mul: return x * y;
    case OP_div: return x / y;
    case OP_floor_div: return floor_div(t, x, y);
    case OP_mod: return python_mod(t, x, y);
    case OP_pow: return pow(x, y);
    case OP_max: return x > y || x != x ? x : y;
    case OP_min: return x < y || x != x ? x : y;
    case OP_atan2: return atan2(x, y);
    case OP_hypot_slope: return special_hypot_slope(x, y);
    case OP_pow_slope: return pow_slope(x, y);
    case OP_pow_rise: return x == 0 ? 0 : held(t, pow(x, y)) * log(x);
    case OP_atan2_slope:
        if (isnan(x) || isnan(y)) return NAN;
        return (x == 0 && y == 0) || isinf(x) || isinf(y) ? 0 : x / hypot(x, y) / hypot(x, y);
    default: return special_binary(op, x, y);
    }
}

/* ---- which ops may err, and how -------------------------------------------------------------------------- */

static bool takes_steps(Op op)
{
    return op == OP_sign || op == OP_floor || op == OP_ceil || op == OP_trunc || op == OP_round || op == OP_floor_div;
}

/* IEEE defines every bit, given the operands. */
static bool correctly_rounded(Op op)
{
    switch (op) {
    case OP_neg:
    case OP_abs:
    case OP_relu:
    case OP_sqrt:
    case OP_add:
    case OP_sub:
    case OP_mul:
    case OP_div:
    case OP_mod:
    case OP_fmod:
    case OP_copysign:
    case OP_max:
    case OP_min: return true;
    default: return takes_steps(op);
    }
}

/* Activations are smooth, with slopes of at most 1.13 either way, and not monotone. */
static bool activation(Op op)
{
    switch (op) {
    case OP_sigmoid:
    case OP_silu:
    case OP_softplus:
    case OP_gelu:
    case OP_gelu_tanh:
    case OP_sigmoid_slope:
    case OP_silu_slope:
    case OP_tanh_slope:
    case OP_atan_slope:
    case OP_erf_slope:
    case OP_gelu_slope:
    case OP_gelu_tanh_slope: return true;
    default: return false;
    }
}

/* The function's largest slope, if that bounds it better than its values at the ends of an interval; else 0. */
static double steepest(Op op) { return op == OP_sin || op == OP_cos ? 1 : activation(op) ? 1.13 : 0; }

/* Elementary functions are within 2 ulp, and the C library's in f64 within 1; activations combine a few of them.
 * 16-bit floats are computed in f32. */
static double own_ulps(Op op, DType t)
{
    if (correctly_rounded(op)) return 0;
    if (t != DT_f32 && t != DT_f64) return 0.01;
    if (op == OP_digamma_slope || op == OP_trigamma_slope) return 10;
    if (op == OP_atan2_slope || op == OP_pow_slope || op == OP_pow_rise || op == OP_tanhshrink || special_rows(op)) return 8;
    return (activation(op) ? 4 : 2) + 2 * (t == DT_f64);
}

/* Further error of an activation of x, from differences within it (slopes have roots, 1 + erf) and from rounding the exponent. */
static double own_error(Op op, DType t, double x, double value)
{
    DType wide = (DType)dtype_info[t].compute;
    double unit = ref_unit(wide), far = fmin(fabs(x), 40),
           few = 4 * ref_ulp(wide, 0) * fmax(1, fmin(fabs(x), 1000)); /* among the denormals */
    switch (op) {
    case OP_gelu:
    case OP_silu_slope:
    case OP_gelu_slope: return 4 * unit * fmax(1, far);
    case OP_erf_slope: return 4 * unit * value * far * far;
    case OP_silu: return few;
    case OP_gelu_tanh: return few + 4 * unit * fabs(value * two_u(far));
    case OP_gelu_tanh_slope: return 4 * unit * (1 + far * fabs(two_u(far) * logistic_density(two_u(far) * 0.99)) * (1 + far * far));
    default: return 0;
    }
}

/* An interval of that operand within which the function is not monotone, nor symmetric about its turning point. */
static bool breaks1(Op op, Operand x)
{
    const double pi = 3.14159265358979323846, low = x.v - x.b, high = x.v + x.b;
    if (special_poles(op)) return low <= 0 && (floor(low) != floor(high) || low == floor(low));
    return op == OP_tan && floor((x.v - x.b) / pi + 0.5) != floor((x.v + x.b) / pi + 0.5);
}

/* The sign of a computed zero is unknown. */
static bool has_zero(Operand x) { return fabs(x.v) <= x.b; }

/* The quotient of which fmod is the remainder. */
static double times_in(double x, double y) { return rint((x - fmod(x, y)) / y); }

static bool breaks2(Op op, DType t, Operand x, Operand y)
{
    switch (op) {
    case OP_div: return has_zero(y);
    case OP_pow: return has_zero(x) && y.v - y.b < 0;
    case OP_pow_slope:
    case OP_pow_rise:
        return has_zero(x) || has_zero(y) || x.v - x.b < 0; /* powers of negative numbers exist only for whole exponents */
    /* near the branch cut, or so near zero that any angle is possible */
    case OP_atan2: return fabs(x.v) <= x.b + y.b && y.v - y.b <= 0;
    /* near the origin, and on the ridge where the function turns */
    case OP_atan2_slope: return fabs(fabs(x.v) - fabs(y.v)) <= x.b + y.b;
    case OP_copysign: return has_zero(y);
    case OP_hypot_slope: return has_zero(x) && has_zero(y);
    case OP_fmod:
        if (has_zero(y)) return true;
        for (int c = 0; c < 4; c++)
            if (times_in(x.v + (c & 1 ? x.b : -x.b), y.v + (c & 2 ? y.b : -y.b)) != times_in(x.v, y.v)) return true;
        return false;
    case OP_mod:
    case OP_floor_div:
        if (has_zero(y)) return true;
        for (int c = 0; c < 4; c++)
            if (floor_div(t, x.v + (c & 1 ? x.b : -x.b), y.v + (c & 2 ? y.b : -y.b)) != floor_div(t, x.v, y.v)) return true;
        return false;
    default: return false;
    }
}

/* At these operands, if they are exact, the functions have exact values (C, Annex F). */
static bool is_special(double x) { return x == 0 || fabs(x) == 1 || isinf(x); }
static bool exact_there(double value) { return value == 0 || fabs(value) == 1 || !isfinite(value); }

/* Sets element i from the values at the middle and at the corners. own: the function's own error. */
static void settle(RefTensor *out, int64_t i, Op op, double mid, const double *corner, uint32_t n, double own)
{
    double err = 0;
    for (uint32_t c = 0; c < n; c++) {
        if (isfinite(mid) && isfinite(corner[c])) {
            err = fmax(err, fabs(corner[c] - mid));
        } else if (!(corner[c] == mid || (corner[c] != corner[c] && mid != mid))) {
            out->undecided[i] |= DOUBT_EDGE;
        }
    }
    if (takes_steps(op) && err > 0) out->undecided[i] |= DOUBT_STEP;
    ref_set(out, i, mid, err + own, own_ulps(op, (DType)out->type.dtype));
}

/* Further error of what is not smooth everywhere: where zeros lie, and where x and tanh x nearly cancel. */
static double rows_error(Op op, DType t, double x)
{
    if (op == OP_tanhshrink) return fabs(x) < 0.5 ? 0 : 6 * ref_unit(t);
    return special_error(op, x);
}

static void unary_element(RefTensor *out, int64_t i, Op op, Operand x)
{
    double mid = unary(op, x.v), corner[2];
    uint32_t n = x.b > 0 ? 2 : 0;
    if (activation(op) || (n != 0 && steepest(op) > 0)) {
        double error = x.b * steepest(op) + own_error(op, (DType)out->type.dtype, x.v, mid);
        ref_set(out, i, mid, activation(op) ? error : fmin(error, 2),
            own_ulps(op, (DType)out->type.dtype)); /* two values of sin or cos are at most 2 apart */
        return;
    }
    if (n != 0 && breaks1(op, x)) out->undecided[i] |= DOUBT_EDGE;
    for (uint32_t c = 0; c < n; c++) corner[c] = unary(op, x.v + (c ? x.b : -x.b));
    if (n == 0 && is_special(x.v) && exact_there(mid))
        ref_set(out, i, mid, 0, 0);
    else
        settle(out, i, op, mid, corner, n, rows_error(op, (DType)out->type.dtype, x.v));
    /* rounding leaves nothing of an operand near 0 but its sign, which is unknown */
    if (n != 0 && has_zero(x) && out->f[i] == 0) out->bound[i] = fmax(out->bound[i], ref_ulp((DType)out->type.dtype, 0));
}

/* Among the denormals a power has few places, and multiplying or dividing by it makes the loss larger. Where a slope or rise is 0,
 * its sign is not defined. */
static double lost(Op op, DType t, double x, double y, double value)
{
    if (op == OP_logaddexp) return 8 * ref_unit(t) * fmax(fabs(fmax(x, y)), 1);
    if (value == 0 && (op == OP_pow_slope || op == OP_pow_rise || op == OP_atan2_slope)) return ref_ulp(t, 0);
    const double tiny = ref_ulp((DType)dtype_info[t].compute, 0), normal = tiny * 0x1p24;
    if (op == OP_pow_slope && x != 0 && fabs(value) < normal * fmax(fabs(y), 1 / fabs(x)))
        return 2 * tiny * (fabs(y) + 1 / fabs(x));
    return op == OP_pow_rise && x > 0 && isfinite(x) ? 3 * ref_ulp((DType)dtype_info[t].compute, 0) * fabs(log(x)) : 0;
}

static void binary_element(RefTensor *out, int64_t i, Op op, Operand x, Operand y)
{
    const DType t = (DType)out->type.dtype;
    double mid = binary(op, t, x.v, y.v), corner[4];
    uint32_t n = x.b > 0 || y.b > 0 ? 4 : 0;
    if ((n != 0 && breaks2(op, t, x, y)) || (op == OP_copysign && isnan(y.v))) out->undecided[i] |= DOUBT_EDGE;
    for (uint32_t c = 0; c < n; c++) corner[c] = binary(op, t, x.v + (c & 1 ? x.b : -x.b), y.v + (c & 2 ? y.b : -y.b));
    const double own = lost(op, t, x.v, y.v, mid);
    if (n == 0 && own == 0 && (is_special(x.v) || is_special(y.v)) && exact_there(mid))
        ref_set(out, i, mid, 0, 0);
    else
        settle(out, i, op, mid, corner, n, own);
}

/* ---- comparisons and select -------------------------------------------------------------------------------- */

static bool compare(Op op, double x, double y)
{
    switch (op) {
    case OP_eq: return x == y;
    case OP_ne: return x != y;
    case OP_lt: return x < y;
    case OP_le: return x <= y;
    case OP_gt: return x > y;
    default: return x >= y;
    }
}

static void compare_element(RefTensor *out, int64_t i, Op op, Operand x, Operand y)
{
    out->i[i] = compare(op, x.v, y.v);
    double both = x.b + y.b;
    if (both > 0 && fabs(x.v - y.v) <= both * (1 + 1e-9)) out->undecided[i] |= DOUBT_STEP;
}

static bool where(Run *r)
{
    RefTensor *out = &r->out[0];
    for (int64_t i = 0; i < out->count; i++) {
        ref_copy(out, i, r->in[0]->i[i] ? r->in[1] : r->in[2], i);
        out->undecided[i] |= r->in[0]->undecided[i];
    }
    return true;
}

static Operand operand(const RefTensor *t, int64_t i) { return (Operand){t->f[i], t->bound[i]}; }

/* Every function above has a value at 1/2 or at 2. */
static bool is_stated(Op op, uint32_t n)
{
    return (op_def[op].flags & OPF_TO_BOOL) || !isnan(n == 1 ? unary(op, 0.5) : binary(op, DT_f64, 0.5, 0.5)) ||
           (n == 1 && !isnan(unary(op, 2)));
}

bool ref_elementwise(Run *r)
{
    const Op op = (Op)r->node->op;
    RefTensor *out = &r->out[0];
    const uint32_t n = r->node->nin;
    if (n == 3) return where(r);
    if (r->in[0]->f && !is_stated(op, n))
        return status_fail(r->st, ST_UNSUPPORTED,
            "the reference interpreter has no %s; it needs a case in codegen/ref/ref_elementwise.c", op_def[op].name);
    for (int64_t i = 0; i < out->count; i++) {
        for (uint32_t k = 0; k < n; k++) out->undecided[i] |= r->in[k]->undecided[i];
        if (!r->in[0]->f) {
            int64_t y = n == 2 ? r->in[1]->i[i] : 0;
            if (!integer_element(op, (DType)r->in[0]->type.dtype, r->in[0]->i[i], y, &out->i[i]))
                return status_fail(r->st, ST_UNSUPPORTED, "the reference interpreter has no %s for integers", op_def[op].name);
            continue;
        }
        Operand x = operand(r->in[0], i);
        if (n == 1)
            unary_element(out, i, op, x);
        else if (op_def[op].flags & OPF_TO_BOOL)
            compare_element(out, i, op, x, operand(r->in[1], i));
        else
            binary_element(out, i, op, x, operand(r->in[1], i));
    }
    return true;
}

/* ---- cast ---------------------------------------------------------------------------------------------------- */

static void cast_float(RefTensor *out, int64_t i, Operand x, bool saturate)
{
    DType to = (DType)out->type.dtype;
    if (out->f) {
        if (saturate && fabs(x.v) > ref_largest(to)) {
            const double over = fabs(x.v) - ref_largest(to);
            x.v = copysign(ref_largest(to), x.v);
            x.b = isinf(over) ? 0 : fmax(x.b - over, 0);
        }
        ref_set(out, i, x.v, x.b, 0);
        return;
    }
    out->i[i] = integer_of_float(to, x.v);
    if (x.b == 0) return;
    bool steps = integer_of_float(to, x.v - x.b) != out->i[i] || integer_of_float(to, x.v + x.b) != out->i[i];
    if (steps || (to == DT_bool && has_zero(x))) out->undecided[i] |= DOUBT_STEP;
}

static void cast_integer(RefTensor *out, int64_t i, DType from, int64_t x, bool saturate)
{
    DType to = (DType)out->type.dtype;
    if (!out->f) {
        out->i[i] = ref_wrap(to, x);
    } else {
        ref_set_integer(out, i, from, x);
        if (saturate && !(fabs(out->f[i]) <= ref_largest(to)))
            out->f[i] = from != DT_u64 && x < 0 ? -ref_largest(to) : ref_largest(to);
    }
}

bool ref_cast(Run *r)
{
    RefTensor *out = &r->out[0];
    const RefTensor *x = r->in[0];
    const bool saturate = r->node->attr->len > 1;
    for (int64_t i = 0; i < out->count; i++) {
        out->undecided[i] = x->undecided[i];
        if (x->f)
            cast_float(out, i, operand(x, i), saturate);
        else
            cast_integer(out, i, (DType)x->type.dtype, x->i[i], saturate);
    }
    return true;
}

/* The bits of a float that may err are those of no one number. */
bool ref_bitcast(Run *r)
{
    RefTensor *out = &r->out[0];
    const RefTensor *x = r->in[0];
    const DType from = (DType)x->type.dtype, to = (DType)out->type.dtype;
    for (int64_t i = 0; i < out->count; i++) {
        uint64_t room = 0;
        out->undecided[i] = x->undecided[i] | (x->f && operand(x, i).b != 0 && from != to ? DOUBT_STEP : 0);
        if (x->f)
            dtype_store_f64(from, &room, x->f[i]);
        else
            dtype_store_i64(from, &room, x->i[i]);
        if (out->f)
            ref_set(out, i, dtype_load_f64(to, &room), from == to ? operand(x, i).b : 0, 0);
        else
            out->i[i] = dtype_load_i64(to, &room);
    }
    return true;
}
