/* ops_quantile: quantiles and the median: the elements are sorted, and the result lies between two of them. Relies on ops.h. Never
 * reads an element. */
#include "effect.h"
#include "ops.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))

typedef enum Between { GOES, BEFORE, BEHIND, NEAREST, MIDDLE, STEPS, STEPS_MEAN } Between;
/* The place is (n - 1) q if alpha is 1, else n q + alpha + q (1 - 2 alpha) - 1; Hyndman & Fan 1996, as NumPy has them. */
static const struct {
    double alpha;
    Between between;
} methods[] = {
    [KILN_LINEAR] = {1, GOES},
    [KILN_LOWER] = {1, BEFORE},
    [KILN_HIGHER] = {1, BEHIND},
    [KILN_NEAREST] = {1, NEAREST},
    [KILN_MIDPOINT] = {1, MIDDLE},
    [KILN_INVERTED_CDF] = {0, STEPS},
    [KILN_AVERAGED_INVERTED_CDF] = {0, STEPS_MEAN},
    [KILN_HAZEN] = {0.5, GOES},
    [KILN_WEIBULL] = {0, GOES},
    [KILN_MEDIAN_UNBIASED] = {1.0 / 3, GOES},
    [KILN_NORMAL_UNBIASED] = {3.0 / 8, GOES},
};

/* Between which two places the quantile lies (f64, whole), and how much of the way to the second. */
typedef struct Place {
    kiln_operand low, high, part;
} Place;

static Place place_of(kiln_site at, kiln_operand q, kiln_operand n, kiln_quantile_method method)
{
    const double alpha = methods[method].alpha;
    const Between between = methods[method].between;
    const kiln_operand last = OP2(sub, n, kiln_of_i(1));
    kiln_operand v;
    if (alpha == 1)
        v = OP2(mul, q, last);
    else if (between >= STEPS)
        v = OP2(sub, OP2(mul, n, q), kiln_of_i(1));
    else
        v = OP2(sub, OP2(add, OP2(mul, n, q), OP2(add, OP2(mul, q, kiln_of_f(1 - 2 * alpha)), kiln_of_f(alpha))), kiln_of_i(1));
    kiln_operand low = OP1(floor, v), high = OP2(add, low, kiln_of_i(1)), part = OP2(sub, v, low);
    const kiln_operand exact = OP2(eq, part, kiln_of_i(0)), whole = OP1(ones_like, part);
    switch (between) {
    case BEFORE: part = OP1(zeros_like, part); break;
    case BEHIND: part = OP1(ceil, part); break;
    case NEAREST: part = OP2(sub, OP1(round, v), low); break;
    case MIDDLE: part = WHERE(exact, kiln_of_i(0), OP2(mul, whole, kiln_of_f(0.5))); break;
    case STEPS: part = WHERE(exact, kiln_of_i(0), whole); break;
    case STEPS_MEAN: part = WHERE(exact, kiln_of_f(0.5), whole); break;
    default: break;
    }
    low = of(kiln_clip_at(at, low, kiln_of_i(0), last));
    high = of(kiln_clip_at(at, high, kiln_of_i(0), last));
    return (Place){low, high, part};
}

/* x [..., n], its last axis taken at one place, or at those of a list, which is the last axis then */
static kiln_operand taken(Thread *t, kiln_site at, kiln_tensor *x, kiln_operand place, DType to)
{
    kiln_tensor *i = kiln_cast_at(at, place, KILN_I64);
    if (!tensor_ok(i) || !tensor_ok(x)) return of(&t->k->poison);
    return of(cast_to(t, at, apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = x->type.rank - 1)), to));
}

/* x [..., n] -> [...] or [..., as many as q has] */
static kiln_tensor *quantiles(Thread *t, kiln_site at, kiln_tensor *x, kiln_operand q, kiln_quantile_method method)
{
    const DType wide = wide_dtype(x);
    const kiln_operand n = of(dim_tensor(t, at, x->type.dim[x->type.rank - 1], DT_f64));
    const Place p = place_of(at, q, n, method);
    x = kiln_sort_at(at, of(x), -1, 0);
    if (!tensor_ok(x) || !tensor_ok(q.as.tensor)) return &t->k->poison;
    kiln_operand a = taken(t, at, x, p.low, wide), b = taken(t, at, x, p.high, wide);
    kiln_operand part = of(kiln_cast_at(at, p.part, (kiln_dtype)wide)), rest = OP2(sub, OP1(ones_like, part), part);
    /* An element is itself where the place is its own, or its neighbour equals it: infinity times 0 is NaN. */
    const kiln_operand first = OP2(or, OP2(eq, a, b), OP2(le, part, kiln_of_i(0))), second = OP2(ge, part, kiln_of_i(1));
    kiln_operand sum = OP2(add, OP2(mul, WHERE(second, kiln_of_i(0), a), rest), OP2(mul, WHERE(first, kiln_of_i(0), b), part));
    sum = WHERE(first, a, WHERE(second, b, sum));
    kiln_operand most = taken(t, at, x, OP2(sub, n, kiln_of_i(1)), wide);
    if (q.as.tensor->type.rank == 1) most = of(kiln_expand_at(at, most, -1));
    const kiln_operand fine = OP2(and, OP2(ge, q, kiln_of_i(0)), OP2(le, q, kiln_of_i(1)));
    return kiln_where_at(at, OP2(and, OP2(eq, most, most), fine), sum, kiln_of_f(NAN));
}

/* A number is checked here, a tensor gives NaN when it is computed with. NULL: recorded, or poison. */
static kiln_tensor *wanted(Thread *t, kiln_site at, kiln_operand q)
{
    char text[160];
    if (operand_is_number(q)) {
        const double v = q.kind == 3 ? q.as.f : q.kind == 5 ? (double)q.as.u : (double)q.as.i;
        if (v >= 0 && v <= 1) return constant_of(t, at, &(Type){.dtype = DT_f64}, kiln_of_f(v));
        fail(t, at, KILN_EVALUE, "quantile: q is %g; it must be in [0, 1]", v);
        return NULL;
    }
    kiln_tensor *x = operand_float(t, at, "quantile", q);
    if (!tensor_ok(x)) return NULL;
    if (x->type.rank <= 1) return x;
    fail(t, at, KILN_ESHAPE, "quantile: q must have rank 0 or 1: %s", tensor_text(x, text, sizeof text));
    return NULL;
}

static kiln_tensor *quantile(
    kiln_site at, const char *name, kiln_operand o, kiln_operand qo, kiln_axes axes, kiln_quantile_method method)
{
    kiln_operand both[2] = {o, qo};
    Axes a;
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, name, o), *q = tensor_ok(x) ? wanted(t, at, qo) : NULL;
    if (!q) return &t->k->poison;
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    if ((unsigned)method > KILN_NORMAL_UNBIASED)
        return fail(t, at, KILN_EVALUE, "%s: the method is %d (allowed: KILN_LINEAR to KILN_NORMAL_UNBIASED, %d to %d)", name,
            (int)method, KILN_LINEAR, KILN_NORMAL_UNBIASED);
    for (uint32_t i = 0; i < a.n; i++)
        if (!effect_least(t, at, name, x, (int)a.at[i], 1)) return &t->k->poison;
    const Type kept = kept_of(x, &a);
    const int list = q->type.rank;
    if (kept.rank - (axes.keep ? 0 : (int)a.n) + list > MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "%s: the result would have more than %d axes", name, MAX_RANK);
    Composite s = composite_begin(t, name);
    const kiln_operand in_f64 = of(cast_to(t, at, q, DT_f64));
    kiln_tensor *line = axes_last(t, at, name, x, &a);
    kiln_tensor *r = tensor_ok(line) ? quantiles(t, at, line, in_f64, method) : line;
    if (tensor_ok(r) && list) {
        int perm[MAX_RANK] = {r->type.rank - 1};
        for (int i = 1; i < r->type.rank; i++) perm[i] = i - 1;
        r = transpose_to(t, at, r, perm);
    }
    if (tensor_ok(r) && axes.keep) {
        Dim dim[MAX_RANK];
        if (list) dim[0] = r->type.dim[0];
        memcpy(dim + list, kept.dim, kept.rank * sizeof *dim);
        r = reshape_to(t, at, r, dim, kept.rank + list);
    }
    return composite_end(t, &s, cast_to(t, at, r, (DType)x->type.dtype));
}

kiln_tensor *kiln_quantile_at(kiln_site at, kiln_operand x, kiln_operand q, kiln_axes axes, kiln_quantile_method method)
{
    return quantile(at, "quantile", x, q, axes, method);
}

kiln_tensor *kiln_median_at(kiln_site at, kiln_operand x, kiln_axes axes)
{
    return quantile(at, "median", x, kiln_of_f(0.5), axes, KILN_LINEAR);
}
