/* activations: those that are composites of other operations (ops.def has the others), written so that gradients of first and
 * second order hold far out: what an expression must not see where it is not taken, it does not see. Relies on wide.h. Never has a
 * gradient of its own. */
#include "wide.h"

#define COMPOSITE1(name, takes) \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x) { return wide_composite(at, #name, &x, 1, takes, name); }
#define COMPOSITE2(name, takes, second)                                              \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x, kiln_operand second) \
    {                                                                                \
        const kiln_operand o[] = {x, second};                                        \
        return wide_composite(at, #name, o, 2, takes, name);                         \
    }
#define COMPOSITE3(name, takes, second, third)                                                           \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x, kiln_operand second, kiln_operand third) \
    {                                                                                                    \
        const kiln_operand o[] = {x, second, third};                                                     \
        return wide_composite(at, #name, o, 3, takes, name);                                             \
    }

static kiln_tensor *logsigmoid(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return kiln_neg_at(at, OP1(softplus, OP1(neg, x[0])));
}

/* Below -1000 the second factor is 0 in every type, and the first one stays finite. */
static kiln_tensor *mish(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand from = OP2(max, x[0], NUMBER(-1000));
    return kiln_mul_at(at, from, OP1(tanh, OP1(softplus, from)));
}

/* ---- units that are exponential below 0 ------------------------------------------------------ */

/* above * x where x > 0, else below * (exp(x / by) - 1) */
static kiln_tensor *exponential(kiln_site at, kiln_operand x, const double *above, kiln_operand below, const kiln_operand *by)
{
    kiln_operand positive = OP2(gt, x, NUMBER(0)), v = PICK(positive, NUMBER(0), x);
    if (by) v = OP2(div, v, *by);
    kiln_operand low = OP2(mul, below, OP1(expm1, v)), high = above ? OP2(mul, x, NUMBER(*above)) : x;
    return kiln_where_at(at, positive, high, low);
}

static kiln_tensor *elu(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return exponential(at, x[0], NULL, x[1], NULL);
}

static kiln_tensor *selu(Thread *t, kiln_site at, const kiln_operand *x)
{
    static const double scale = 1.0507009873554804934, alpha = 1.6732632423543772848;
    (void)t;
    return exponential(at, x[0], &scale, NUMBER(scale * alpha), NULL);
}

static kiln_tensor *celu(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return exponential(at, x[0], NULL, x[1], &x[1]);
}

/* ---- units in straight pieces: a comparison with NaN is false, and then x itself is taken ---- */

static kiln_tensor *leaky_relu(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand positive = OP2(gt, x[0], NUMBER(0)), low = OP2(mul, PICK(positive, NUMBER(0), x[0]), x[1]);
    return kiln_where_at(at, positive, x[0], low);
}

static kiln_tensor *between(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi)
{
    kiln_operand below = OP2(le, x, lo), above = OP2(ge, x, hi), rest = PICK(above, hi, x);
    return kiln_where_at(at, below, lo, rest);
}

static kiln_tensor *hardtanh(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return between(at, x[0], x[1], x[2]);
}

static kiln_tensor *relu6(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return between(at, x[0], kiln_of_i(0), kiln_of_i(6));
}

static kiln_tensor *hardsigmoid(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return between(at, OP2(add, OP2(mul, x[0], x[1]), x[2]), NUMBER(0), NUMBER(1));
}

static kiln_tensor *hardswish(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand outside = OP2(ge, OP1(abs, x[0]), NUMBER(3)), v = PICK(outside, NUMBER(0), x[0]);
    kiln_operand middle = OP2(div, OP2(mul, v, OP2(add, v, NUMBER(3))), NUMBER(6));
    kiln_operand ends = PICK(OP2(gt, x[0], NUMBER(0)), x[0], NUMBER(0));
    return kiln_where_at(at, outside, ends, middle);
}

static kiln_tensor *hardshrink(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return kiln_where_at(at, OP2(le, OP1(abs, x[0]), x[1]), NUMBER(0), x[0]);
}

static kiln_tensor *softshrink(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand less = OP2(sub, x[0], x[1]), more = OP2(add, x[0], x[1]);
    kiln_operand nearer = PICK(OP2(gt, x[0], NUMBER(0)), less, more);
    return kiln_where_at(at, OP2(le, OP1(abs, x[0]), x[1]), NUMBER(0), nearer);
}

static kiln_tensor *shrink(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    kiln_operand low = OP2(lt, x[0], OP1(neg, x[1])), high = OP2(gt, x[0], x[1]);
    kiln_operand below = OP2(add, x[0], x[2]), above = OP2(sub, x[0], x[2]);
    kiln_operand inside = PICK(OP2(le, OP1(abs, x[0]), x[1]), NUMBER(0), x[0]); /* NaN, which is on no side */
    return kiln_where_at(at, low, below, PICK(high, above, inside));
}

static kiln_tensor *threshold(Thread *t, kiln_site at, const kiln_operand *x)
{
    (void)t;
    return kiln_where_at(at, OP2(le, x[0], x[1]), x[2], x[0]);
}

COMPOSITE1(logsigmoid, WIDE_FLOATS)
COMPOSITE1(mish, WIDE_FLOATS)
COMPOSITE2(elu, WIDE_FLOATS, alpha)
COMPOSITE1(selu, WIDE_FLOATS)
COMPOSITE2(celu, WIDE_FLOATS, alpha)
COMPOSITE2(leaky_relu, WIDE_FLOATS, slope)
COMPOSITE3(hardtanh, WIDE_NUMBERS, lo, hi)
COMPOSITE1(relu6, WIDE_NUMBERS)
COMPOSITE3(hardsigmoid, WIDE_FLOATS, slope, offset)
COMPOSITE1(hardswish, WIDE_FLOATS)
COMPOSITE2(hardshrink, WIDE_FLOATS, width)
COMPOSITE2(softshrink, WIDE_FLOATS, width)
COMPOSITE3(shrink, WIDE_FLOATS, width, bias)
COMPOSITE3(threshold, WIDE_NUMBERS, level, value)
