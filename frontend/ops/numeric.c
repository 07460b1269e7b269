/* numeric: functions of numbers that are composites of other operations: interpolation, remainders and quotients, bits, neighbours,
 * tests. Relies on wide.h. Never has a gradient of its own. */
#include "wide.h"

#include <math.h>

/* ---- of one operand -------------------------------------------------------------------------- */

static kiln_tensor *exp10_(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return kiln_pow_at(at, NUMBER(10), x[0]);
}

static kiln_tensor *degrees(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return kiln_mul_at(at, x[0], NUMBER(57.295779513082320877));
}

static kiln_tensor *radians(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return kiln_mul_at(at, x[0], NUMBER(0.017453292519943295769));
}

static kiln_tensor *positive(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t, (void)at;
    return x[0].as.tensor;
}

/* The series of sin(pi x) / (pi x) for |x| < 1/2: its terms, and their sum by Horner's rule. */
static kiln_operand sinc_near(kiln_site at, kiln_operand x, DType d)
{
    enum { MOST = 11 };
    const int last = d == DT_f64 ? MOST : 7;
    double term[MOST + 1] = {1};
    for (int i = 1; i <= MOST; i++) term[i] = -term[i - 1] * 9.8696044010893586188 / (2 * i * (2 * i + 1));
    kiln_operand z = OP2(mul, x, x), sum = OP2(mul, z, NUMBER(term[last]));
    for (int i = last - 1; i > 0; i--) sum = OP2(mul, OP2(add, sum, NUMBER(term[i])), z);
    return OP2(add, sum, NUMBER(1));
}

/* Beyond 1/2 the sine of pi times the distance from the nearest whole number n, with the sign of n's parity. */
static kiln_tensor *sinc(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand near = OP2(lt, OP1(abs, x[0]), NUMBER(0.5));
    kiln_operand inner = PICK(near, x[0], NUMBER(0)), outer = PICK(near, NUMBER(1), x[0]);
    kiln_operand n = OP1(round, outer), half = OP2(mul, n, NUMBER(0.5)), odd = OP2(ne, OP1(floor, half), half);
    kiln_operand sine = OP1(sin, OP2(mul, OP2(sub, outer, n), NUMBER(3.1415926535897932385)));
    kiln_operand far = OP2(div, PICK(odd, OP1(neg, sine), sine), OP2(mul, outer, NUMBER(3.1415926535897932385)));
    return kiln_where_at(at, near, sinc_near(at, inner, (DType)x[0].as.tensor->type.dtype), far);
}

kiln_tensor *kiln_exp10_at(kiln_site at, kiln_operand x) { return wide_composite(at, "exp10", &x, 1, WIDE_FLOATS, exp10_); }
kiln_tensor *kiln_degrees_at(kiln_site at, kiln_operand x) { return wide_composite(at, "degrees", &x, 1, WIDE_FLOATS, degrees); }
kiln_tensor *kiln_radians_at(kiln_site at, kiln_operand x) { return wide_composite(at, "radians", &x, 1, WIDE_FLOATS, radians); }
kiln_tensor *kiln_sinc_at(kiln_site at, kiln_operand x) { return wide_composite(at, "sinc", &x, 1, WIDE_FLOATS, sinc); }
kiln_tensor *kiln_positive_at(kiln_site at, kiln_operand x)
{
    return wide_composite(at, "positive", &x, 1, WIDE_NUMBERS, positive);
}

/* ---- tests: bool ----------------------------------------------------------------------------- */

typedef enum Infinite { EITHER, PLUS, MINUS } Infinite;

static kiln_tensor *infinite(kiln_site at, const char *op, kiln_operand o, Infinite which)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x)) return x;
    Composite s = composite_begin(t, op);
    /* integers, and f8_e4m3, have no infinity */
    if (!dtype_info[x->type.dtype].infinite) return composite_end(t, &s, kiln_lt_at(at, of(x), of(x)));
    kiln_operand v = which == EITHER ? OP1(abs, of(x)) : of(x);
    return composite_end(t, &s, kiln_eq_at(at, v, NUMBER(which == MINUS ? -INFINITY : INFINITY)));
}

kiln_tensor *kiln_isinf_at(kiln_site at, kiln_operand x) { return infinite(at, "isinf", x, EITHER); }
kiln_tensor *kiln_isposinf_at(kiln_site at, kiln_operand x) { return infinite(at, "isposinf", x, PLUS); }
kiln_tensor *kiln_isneginf_at(kiln_site at, kiln_operand x) { return infinite(at, "isneginf", x, MINUS); }

static kiln_tensor *sign_is_set(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    const bool whole = !dtype_is_float((DType)x[0].as.tensor->type.dtype);
    return kiln_lt_at(at, whole ? x[0] : OP2(copysign, NUMBER(1), x[0]), kiln_of_i(0));
}

kiln_tensor *kiln_signbit_at(kiln_site at, kiln_operand x)
{
    return wide_composite(at, "signbit", &x, 1, WIDE_NUMBERS, sign_is_set);
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* In u64, of the unsigned integers of x's width: bits are added in pairs, pairs in fours, fours in bytes, and bytes by a product.
 */
static kiln_tensor *popcount(Thread *t, kiln_site at, kiln_tensor *x)
{
    static const uint8_t plain[DT_COUNT] = {[DT_i8] = DT_u8, [DT_i16] = DT_u16, [DT_i32] = DT_u32, [DT_i64] = DT_u64};
    const DType own = (DType)x->type.dtype;
    const kiln_operand twos = kiln_of_u(0x5555555555555555u), fours = kiln_of_u(0x3333333333333333u),
                       bytes = kiln_of_u(0x0f0f0f0f0f0f0f0fu);
    kiln_operand v = of(cast_to(t, at, plain[own] ? cast_to(t, at, x, (DType)plain[own]) : x, DT_u64));
    v = OP2(sub, v, OP2(and, OP2(shr, v, kiln_of_i(1)), twos));
    v = OP2(add, OP2(and, v, fours), OP2(and, OP2(shr, v, kiln_of_i(2)), fours));
    v = OP2(and, OP2(add, v, OP2(shr, v, kiln_of_i(4))), bytes);
    v = OP2(shr, OP2(mul, v, kiln_of_u(0x0101010101010101u)), kiln_of_i(56));
    return cast_to(t, at, v.as.tensor, own);
}

kiln_tensor *kiln_popcount_at(kiln_site at, kiln_operand o)
{
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "popcount", o, NULL);
    if (!tensor_ok(x)) return x;
    if (!dtype_is_int((DType)x->type.dtype))
        return fail(t, at, KILN_EDTYPE, "popcount: needs integers, use kiln_cast: %s", tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, "popcount");
    return composite_end(t, &s, popcount(t, at, x));
}

/* ---- of two and three operands ----------------------------------------------------------------- */

static kiln_tensor *ignoring_nan(kiln_site at, const kiln_operand *x, kiln_operand both)
{
    kiln_operand rest = PICK(OP2(ne, x[1], x[1]), x[0], both);
    return kiln_where_at(at, OP2(ne, x[0], x[0]), x[1], rest);
}

static kiln_tensor *fmax_(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return ignoring_nan(at, x, OP2(max, x[0], x[1]));
}

static kiln_tensor *fmin_(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return ignoring_nan(at, x, OP2(min, x[0], x[1]));
}

/* Where x is 0 and y a place where the logarithm or its product with 0 is no number, y counts as 1. */
static kiln_tensor *xlogy(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand none = OP2(or, OP2(le, x[1], NUMBER(0)), OP2(eq, x[1], NUMBER(INFINITY)));
    kiln_operand y = PICK(OP2(and, OP2(eq, x[0], NUMBER(0)), none), NUMBER(1), x[1]);
    return kiln_mul_at(at, x[0], OP1(log, y));
}

/* From the nearer end, so that both ends are exact. */
static kiln_tensor *lerp(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand way = OP2(sub, x[1], x[0]), from = OP2(add, x[0], OP2(mul, way, x[2]));
    kiln_operand back = OP2(sub, x[1], OP2(mul, way, OP2(sub, NUMBER(1), x[2])));
    return kiln_where_at(at, OP2(lt, x[2], NUMBER(0.5)), from, back);
}

/* Of floats, as floor_div of the magnitudes, which snaps to the whole number; of integers, which have no magnitude of the smallest,
 * as floor_div and one more where that rounded down to a negative number. */
static kiln_tensor *trunc_div(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    if (dtype_is_float((DType)x[0].as.tensor->type.dtype)) {
        kiln_operand size = OP2(floor_div, OP1(abs, x[0]), OP1(abs, x[1])), one = NUMBER(1);
        return kiln_copysign_at(at, size, OP2(mul, OP2(copysign, one, x[0]), OP2(copysign, one, x[1])));
    }
    kiln_operand q = OP2(floor_div, x[0], x[1]), rest = OP2(ne, OP2(mod, x[0], x[1]), kiln_of_i(0));
    kiln_operand apart = OP2(xor, OP2(lt, x[0], kiln_of_i(0)), OP2(lt, x[1], kiln_of_i(0)));
    return kiln_where_at(at, OP2(and, rest, apart), OP2(add, q, kiln_of_i(1)), q);
}

#define COMPOSITE2(name, body, takes)                                           \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x, kiln_operand y) \
    {                                                                           \
        const kiln_operand o[] = {x, y};                                        \
        return wide_composite(at, #name, o, 2, takes, body);                    \
    }
COMPOSITE2(fmax, fmax_, WIDE_NUMBERS)
COMPOSITE2(fmin, fmin_, WIDE_NUMBERS)
COMPOSITE2(xlogy, xlogy, WIDE_FLOATS)
COMPOSITE2(trunc_div, trunc_div, WIDE_NUMBERS)

kiln_tensor *kiln_lerp_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_operand weight)
{
    const kiln_operand o[] = {x, y, weight};
    return wide_composite(at, "lerp", o, 3, WIDE_FLOATS, lerp);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

/* How far the neighbour of x lies that is further from 0, and the way there: Rump, Zimmermann, Boldo and Melquiond 2009, "Computing
 * predecessor and successor in rounding to nearest", algorithm 2. Each operation rounds to x's own dtype. */
static kiln_operand neighbour(kiln_site at, kiln_operand x, kiln_operand up, DType d)
{
    const int places = dtype_info[d].mantissa + 1;
    const double u = ldexp(1, -places), least = ldexp(1, dtype_least_exponent(d) - dtype_info[d].mantissa);
    kiln_operand a = OP1(abs, x), large = OP2(ge, a, NUMBER(least / (2 * u * u))), small = OP2(lt, a, NUMBER(least / u));
    /* what is between is scaled up, so that the step does not round to 0 */
    kiln_operand scale = PICK(OP2(or, large, small), OP1(ones_like, x), NUMBER(1 / u));
    kiln_operand wide = OP2(mul, x, scale), step = OP2(mul, OP1(abs, wide), NUMBER(u * (1 + 2 * u)));
    step = PICK(small, NUMBER(least), step);
    kiln_operand there = OP2(add, wide, PICK(up, step, OP1(neg, step)));
    return OP2(div, there, scale);
}

static kiln_tensor *nextafter_of(Thread *t, kiln_site at, kiln_tensor *const in[2])
{
    const DType d = (DType)in[0]->type.dtype;
    (void)t;
    kiln_operand x = OP1(stop_gradient, of(in[0])), y = OP1(stop_gradient, of(in[1]));
    kiln_operand next = neighbour(at, x, OP2(gt, y, x), d), zero = OP2(eq, next, NUMBER(0));
    next = PICK(zero, OP2(copysign, next, x), next); /* from the smallest number towards 0 its sign stays */
    if (dtype_info[d].infinite)
        next = PICK(OP2(eq, OP1(abs, x), NUMBER(INFINITY)), OP2(copysign, NUMBER(dtype_info[d].largest), x), next);
    next = PICK(OP2(eq, x, y), y, next);
    return kiln_where_at(at, OP2(ne, y, y), y, next);
}

kiln_tensor *kiln_nextafter_at(kiln_site at, kiln_operand x, kiln_operand y)
{
    kiln_operand o[2] = {x, y};
    kiln_tensor *in[2];
    char text[160];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    if (!operand_pair(t, at, "nextafter", x, y, in) || !tensor_ok(in[0]) || !tensor_ok(in[1])) return &t->k->poison;
    if (!dtype_is_float((DType)in[0]->type.dtype))
        return fail(t, at, KILN_EDTYPE, "nextafter: needs floats, use kiln_cast: %s", tensor_text(in[0], text, sizeof text));
    Composite s = composite_begin(t, "nextafter");
    return composite_end(t, &s, nextafter_of(t, at, in));
}
