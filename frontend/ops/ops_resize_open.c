/* ops_resize_open: resizing along an axis whose size is a symbol, or becomes one: what ops_resize.c computes on the host, the same
 * operations in the same order, as operations on tensors of f64. Relies on resize.h. */
#include "effect.h"
#include "resize.h"

#include <math.h>
#include <stdio.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define NUMBER(v) kiln_of_f(v)

typedef struct Ratio {
    int64_t over, more, under;
} Ratio;

static int64_t product(double by, bool single, bool up, int64_t n)
{
    const double v = single ? (double)((float)by * (float)n) : by * (double)n;
    return (int64_t)(up ? ceil(v) : floor(v));
}

/* Whether that is what it gives for all values of n. */
static bool always(const Ratio *r, double by, bool single, bool up, int64_t lo, int64_t hi)
{
    for (int64_t n = hi; n >= lo; n--) /* what is nearly right is wrong there first */
        if ((r->over * n + r->more) < 0 || (r->over * n + r->more) / r->under != product(by, single, up, n)) return false;
    return true;
}

/* A whole number over a power of two is exactly that, others are told by all values that n may have. */
static bool ratio_of(double by, bool single, bool up, int64_t lo, int64_t hi, Ratio *r)
{
    enum { MOST = 1 << 16, PARTS = 256 };
    *r = (Ratio){.under = 1};
    while (r->under < 1 << 20 && by * (double)r->under != floor(by * (double)r->under)) r->under *= 2;
    const double over = by * (double)r->under;
    r->over = over <= 0x1p40 ? (int64_t)over : 0;
    r->more = up ? r->under - 1 : 0;
    if (over == floor(over) && over <= 0x1p40 && (!single || (over <= 0x1p24 && over * (double)hi <= 0x1p24))) return true;
    if (hi - lo > MOST || hi > 1 << 24 || by > 0x1p20) return false;
    for (r->under = 1; r->under <= PARTS; r->under++) {
        r->over = (int64_t)floor(by * (double)r->under + 0.5);
        const int64_t near = up ? r->under - 1 : 0;
        for (r->more = near; r->more >= near - 1; r->more--)
            if (always(r, by, single, up, MAX_OF(lo, 1), hi)) return true;
    }
    return false;
}

Dim extent_scaled(Thread *t, kiln_site at, Dim n, double by, bool single, bool up)
{
    Ratio r;
    if (!(by > 0) || extent_lo(t, n) < 0 || !ratio_of(by, single, up, extent_lo(t, n), extent_hi(t, n), &r)) return DIM_BAD;
    Dim over = extent(t, at, EXTENT_MUL, n, r.over);
    if (r.more > 0) over = extent(t, at, EXTENT_ADD, over, r.more);
    if (r.more < 0) over = extent(t, at, EXTENT_MAX, extent(t, at, EXTENT_SUB, over, 1), 0); /* of no elements there are none */
    return extent(t, at, EXTENT_FLOORDIV, over, r.under);
}

bool resize_open_fits(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_resizing *r, bool sized, Along *a)
{
    char text[160];
    const char *why = NULL;
    if (r->antialias || r->aspect != KILN_RESIZE_STRETCH) why = "must be known where antialias or an aspect is asked for";
    if (!sized) a->out = extent_scaled(t, at, a->n, a->given, false, false);
    if (a->out == DIM_BAD)
        why = "must be known, or have fewer values: no ratio of small whole numbers stands for its scale at all of them";
    if (!why) return true;
    return fail(t, at, KILN_EUNSUPPORTED, "resize: the size of axis %d %s: %s", a->axis, why, tensor_text(x, text, sizeof text)),
           false;
}

/* Nothing gives elements only where none are asked for. Returns x, with one element at least. */
static kiln_tensor *not_of_nothing(Thread *t, kiln_site at, kiln_tensor *x, const Along *a, const kiln_operand *n, kiln_operand out)
{
    char type[160], text[240];
    if (extent_lo(t, a->n) >= 1 || a->given != 0) return x;
    snprintf(text, sizeof text, "resize: axis %d has no element: %s", a->axis, tensor_text(x, type, sizeof type));
    kiln_operand fits = OP2(or, OP2(gt, *n, NUMBER(0)), OP2(eq, out, NUMBER(0)));
    if (!tensor_ok(fits.as.tensor) || !effect_holds(t, at, fits.as.tensor, text)) return &t->k->poison;
    return pad_axis(t, at, x, a->axis, 0, extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_MAX, a->n, 1), a->n), kiln_of_i(0));
}

/* The size of x and of the result, the scale, and the scaled size. */
typedef struct Sizes {
    kiln_operand n, out, scale, wide;
} Sizes;

static kiln_operand source(kiln_site at, const Sizes *s, const Along *a, kiln_resize_rule rule, kiln_operand i)
{
    kiln_operand half = OP2(sub, OP2(div, OP2(add, i, NUMBER(0.5)), s->scale), NUMBER(0.5));
    kiln_operand last = OP2(sub, s->n, NUMBER(1)), end = OP2(sub, s->wide, NUMBER(1)), one = OP2(eq, s->wide, NUMBER(1));
    switch (rule) {
    case KILN_RESIZE_ALIGN_CORNERS: return of(kiln_where_at(at, one, NUMBER(0), OP2(div, OP2(mul, i, last), end)));
    case KILN_RESIZE_ASYMMETRIC: return OP2(div, i, s->scale);
    case KILN_RESIZE_HALF_PIXEL_SYMMETRIC: {
        kiln_operand beside = OP2(sub, NUMBER(1), OP2(div, s->out, s->wide));
        return OP2(add, OP2(mul, OP2(div, s->n, NUMBER(2)), beside), half);
    }
    case KILN_RESIZE_PYTORCH_HALF_PIXEL: return of(kiln_where_at(at, one, NUMBER(-0.5), half));
    case KILN_RESIZE_CROP: {
        const double part = a->roi[1] - a->roi[0];
        kiln_operand middle = OP2(div, OP2(mul, last, NUMBER(part)), NUMBER(2));
        kiln_operand there = OP2(div, OP2(mul, OP2(mul, i, NUMBER(part)), last), end);
        return OP2(add, OP2(mul, last, NUMBER(a->roi[0])), of(kiln_where_at(at, one, middle, there)));
    }
    default: return half;
    }
}

static kiln_operand nearest(kiln_site at, kiln_operand v, kiln_resize_nearest how)
{
    switch (how) {
    case KILN_RESIZE_PREFER_CEIL: return OP1(floor, OP2(add, v, NUMBER(0.5)));
    case KILN_RESIZE_FLOOR: return OP1(floor, v);
    case KILN_RESIZE_CEIL: return OP1(ceil, v);
    default: return OP1(ceil, OP2(sub, v, NUMBER(0.5)));
    }
}

static kiln_operand kernel(kiln_site at, kiln_resize_kind kind, kiln_operand x, double a)
{
    x = OP1(abs, x);
    kiln_operand inner = OP2(sub, NUMBER(1), x), outer;
    if (kind == KILN_RESIZE_LINEAR) return of(kiln_where_at(at, OP2(lt, x, NUMBER(1)), inner, NUMBER(0)));
    inner = OP2(sub, OP2(mul, x, NUMBER(a + 2)), NUMBER(a + 3));
    inner = OP2(add, OP2(mul, OP2(mul, inner, x), x), NUMBER(1));
    outer = OP2(sub, OP2(mul, x, NUMBER(a)), NUMBER(5 * a));
    outer = OP2(add, OP2(mul, outer, x), NUMBER(8 * a));
    outer = OP2(sub, OP2(mul, outer, x), NUMBER(4 * a));
    outer = of(kiln_where_at(at, OP2(lt, x, NUMBER(2)), outer, NUMBER(0)));
    return of(kiln_where_at(at, OP2(le, x, NUMBER(1)), inner, outer));
}

static kiln_operand gathered(Thread *t, kiln_site at, kiln_tensor *x, const Along *a, kiln_operand index, kiln_operand last)
{
    index = of(kiln_clip_at(at, index, NUMBER(0), last));
    if (!tensor_ok(index.as.tensor)) return index;
    return of(apply2(t, at, OP_gather, x, cast_to(t, at, index.as.tensor, DT_i64), ATTRS_OF(gather, .axis = a->axis)));
}

/* Numbers for each new element, along the axis of x. */
static kiln_operand along(Thread *t, kiln_site at, kiln_operand v, const kiln_tensor *x, const Along *a)
{
    Dim dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++) dim[i] = i == a->axis ? a->out : 1;
    return tensor_ok(v.as.tensor) ? of(reshape_to(t, at, v.as.tensor, dim, x->type.rank)) : v;
}

static kiln_operand weighed(
    Thread *t, kiln_site at, kiln_tensor *x, const kiln_resizing *r, const Along *a, kiln_operand from, kiln_operand last)
{
    const int taps = r->kind == KILN_RESIZE_CUBIC ? 4 : 2;
    kiln_operand first = OP1(floor, from), index[4], weight[4], all = {0}, sum = {0};
    for (int k = 0; k < taps; k++) {
        index[k] = OP2(add, first, NUMBER(k - taps / 2 + 1));
        weight[k] = kernel(at, r->kind, OP2(sub, index[k], from), r->cubic != 0 ? r->cubic : -0.75);
        if (r->exclude_outside) {
            kiln_operand inside = OP2(and, OP2(ge, index[k], NUMBER(0)), OP2(le, index[k], last));
            weight[k] = of(kiln_where_at(at, inside, weight[k], NUMBER(0)));
        }
        all = k == 0 ? weight[k] : OP2(add, all, weight[k]);
    }
    all = of(kiln_where_at(at, OP2(eq, all, NUMBER(0)), NUMBER(1), all));
    for (int k = 0; k < taps; k++) {
        if (r->exclude_outside) weight[k] = OP2(div, weight[k], all);
        if (!tensor_ok(weight[k].as.tensor)) return weight[k];
        kiln_operand w = of(cast_to(t, at, weight[k].as.tensor, (DType)x->type.dtype));
        kiln_operand read = OP2(mul, gathered(t, at, x, a, index[k], last), along(t, at, w, x, a));
        sum = k == 0 ? read : OP2(add, sum, read);
    }
    return sum;
}

kiln_tensor *resize_open(Thread *t, kiln_site at, kiln_tensor *x, const kiln_resizing *r, const Along *a)
{
    Sizes s = {.n = of(dim_tensor(t, at, a->n, DT_f64)), .out = of(dim_tensor(t, at, a->out, DT_f64))};
    s.scale = a->given != 0 ? NUMBER(a->given) : OP2(div, s.out, s.n);
    s.wide = a->given != 0 ? OP2(mul, s.n, NUMBER(a->given)) : s.out;
    kiln_operand i = of(iota_of(t, at, &(Type){.dtype = DT_f64, .rank = 1, .dim = {a->out}}, 0, x));
    kiln_operand from = source(at, &s, a, r->rule, i), last = OP2(sub, s.n, NUMBER(1)), y;
    x = not_of_nothing(t, at, x, a, &s.n, s.out);
    if (!tensor_ok(x)) return x;
    if (r->kind == KILN_RESIZE_NEAREST)
        y = gathered(t, at, x, a, nearest(at, from, r->nearest), last);
    else
        y = weighed(t, at, x, r, a, from, last);
    if (r->rule == KILN_RESIZE_CROP) {
        kiln_operand no = OP2(or, OP2(lt, from, NUMBER(0)), OP2(gt, from, last));
        y = of(kiln_where_at(at, along(t, at, no, x, a), NUMBER(r->extrapolation), y));
    }
    /* What has that size already stays as it is: infinities times 0 would not. */
    const bool whole = r->rule != KILN_RESIZE_CROP || (a->roi[0] == 0 && a->roi[1] == 1);
    if (a->given == 0 && whole && r->kind != KILN_RESIZE_NEAREST)
        y = of(kiln_where_at(at, OP2(eq, s.n, s.out), gathered(t, at, x, a, i, last), y));
    return y.as.tensor;
}
