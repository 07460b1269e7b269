/* compose: elementwise composites: ordinary C over public ops, so that eager code, tapes, traces and every backend need nothing
 * more for them. Each records the user's site and keeps its temporaries in a scope of its own. Relies on ops.h. Never has a
 * gradient of its own. */
#include "ops.h"

#include <math.h>

typedef kiln_tensor *Body(Thread *t, kiln_site at, kiln_operand x);
/* ANY takes any dtype, FLOATS only floats. ONCE takes floats and computes 16-bit ones in f32, so that several steps round once. */
typedef enum Takes { ANY, FLOATS, ONCE } Takes;

static kiln_tensor *composite(kiln_site at, const char *op, kiln_operand o, Body *body, Takes takes)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = takes == ANY ? operand_named(t, at, op, o, NULL) : operand_float(t, at, op, o);
    if (!tensor_ok(x)) return x;
    Composite s = composite_begin(t, op);
    DType own = (DType)x->type.dtype;
    if (takes != ONCE) return composite_end(t, &s, body(t, at, of(x)));
    x = cast_to(t, at, x, wide_dtype(x));
    return composite_end(t, &s, cast_to(t, at, body(t, at, of(x)), own));
}

#define COMPOSITE(name, takes) \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x) { return composite(at, #name, x, name, takes); }

#define NUMBER(v) kiln_of_f(v)
#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

static kiln_tensor *square(Thread *t, kiln_site at, kiln_operand x)
{
    return apply2(t, at, OP_mul, x.as.tensor, x.as.tensor, NULL, 0);
}

static kiln_tensor *reciprocal(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_div_at(at, NUMBER(1), x);
}

static kiln_tensor *rsqrt(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_div_at(at, NUMBER(1), OP1(sqrt, x));
}

static kiln_tensor *isnan_(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_ne_at(at, x, x);
}

static kiln_tensor *isfinite_(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    if (!dtype_info[x.as.tensor->type.dtype].infinite)
        return kiln_eq_at(at, x, x); /* f8_e4m3 has NaN but no infinity, integers neither */
    return kiln_lt_at(at, OP1(abs, x), NUMBER(INFINITY));
}

COMPOSITE(square, ANY)
COMPOSITE(reciprocal, FLOATS)
COMPOSITE(rsqrt, ONCE)

kiln_tensor *kiln_isnan_at(kiln_site at, kiln_operand x) { return composite(at, "isnan", x, isnan_, ANY); }

kiln_tensor *kiln_isfinite_at(kiln_site at, kiln_operand x) { return composite(at, "isfinite", x, isfinite_, ANY); }

kiln_tensor *kiln_clip_at(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi)
{
    kiln_operand o[3] = {x, lo, hi};
    Thread *t = op_thread(o, 3);
    if (!t) return NULL;
    Composite s = composite_begin(t, "clip");
    return composite_end(t, &s, kiln_min_at(at, OP2(max, x, lo), hi));
}

/* ---- of the same shape ---------------------------------------------------------------------- */

static kiln_tensor *filled_like(kiln_site at, const char *op, kiln_operand o, int64_t v)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    return tensor_ok(x) ? number_beside(t, at, op, x, kiln_of_i(v)) : x;
}

kiln_tensor *kiln_zeros_like_at(kiln_site at, kiln_operand x) { return filled_like(at, "zeros_like", x, 0); }

kiln_tensor *kiln_ones_like_at(kiln_site at, kiln_operand x) { return filled_like(at, "ones_like", x, 1); }

kiln_tensor *kiln_stop_gradient_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    return apply1(t, at, OP_leaf, operand_named(t, at, "stop_gradient", o, NULL), ATTRS_OF(leaf, .stops = true));
}

/* ---- norms ---------------------------------------------------------------------------------- */

/* The sum of (x by)^2 over all x; by NULL: of x^2. */
static kiln_operand squares(Thread *t, kiln_site at, kiln_tensor *const *x, int count, DType d, const kiln_operand *by)
{
    kiln_operand sum = kiln_of_f(0);
    for (int i = 0; i < count; i++) {
        kiln_operand v = of(cast_to(t, at, x[i], d));
        if (by) v = OP2(mul, v, *by);
        kiln_operand part = OP2(sum, OP2(mul, v, v), KILN_ALL);
        sum = i == 0 ? part : OP2(add, sum, part);
    }
    return sum;
}

/* The power of two that brings squares whose sum was `sum` back into the type's range; nearly always 1. Its own square is in the
 * range, which second gradients need. */
kiln_operand norm_scale(kiln_site at, kiln_operand sum, DType d)
{
    const double up = d == DT_f64 ? 0x1p511 : 0x1p63, down = d == DT_f64 ? 0x1p-520 : 0x1p-70;
    kiln_operand one = OP1(ones_like, sum), small = OP2(lt, sum, kiln_of_f(1 / up));
    kiln_operand by = of(kiln_where_at(at, small, kiln_of_f(up), one));
    return of(kiln_where_at(at, OP2(eq, sum, kiln_of_f(INFINITY)), kiln_of_f(down), by));
}

kiln_tensor *norm_of(Thread *t, kiln_site at, kiln_tensor *const *x, int count)
{
    DType d = DT_f32;
    for (int i = 0; i < count; i++)
        if (!tensor_ok(x[i]))
            return &t->k->poison;
        else if (x[i]->type.dtype == DT_f64)
            d = DT_f64;
    kiln_operand first = OP1(stop_gradient, squares(t, at, x, count, d, NULL)), by = norm_scale(at, first, d);
    /* If the factor is 1, the sum of squares stays the same, so a second pass is needed only for a gradient. */
    const bool known = !t->trace && t->recording == 0 && tensor_ok(by.as.tensor);
    if (known && kiln_item_at(at, by) == 1) return kiln_sqrt_at(at, first);
    kiln_operand sum = squares(t, at, x, count, d, &by), none = OP2(eq, sum, kiln_of_i(0));
    /* The root of 0, where its slope is infinite, is avoided. */
    kiln_operand root = OP1(sqrt, of(kiln_where_at(at, none, kiln_of_i(1), sum)));
    return kiln_where_at(at, none, kiln_of_i(0), OP2(div, root, by));
}

kiln_tensor *kiln_norm_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "norm", o);
    if (!tensor_ok(x)) return x;
    Composite s = composite_begin(t, "norm");
    return composite_end(t, &s, cast_to(t, at, norm_of(t, at, &x, 1), (DType)x->type.dtype));
}
