/* ops_statistics: composites over axes: counts, moments, sums that leave NaN out, logarithms of sums. Relies on ops.h and the
 * public reductions. Never has a gradient of its own; 16-bit floats compute in f32 and round once. */
#include "ops.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

typedef kiln_tensor *Over(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes);
typedef enum Takes { ANY, NUMBERS, FLOATS } Takes;

/* A composite over the axes of x, computed wide and rounded to x's dtype; ANY: to none. */
static kiln_tensor *over(kiln_site at, const char *name, kiln_operand o, kiln_axes axes, Over *body, Takes takes)
{
    Axes a;
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = takes == FLOATS ? operand_float(t, at, name, o) : operand_named(t, at, name, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    if (takes == NUMBERS && x->type.dtype == DT_bool)
        return fail(t, at, KILN_EDTYPE, "%s: needs numbers, not bool, use kiln_cast: %s", name, tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, name);
    if (takes == ANY) return composite_end(t, &s, body(t, at, of(x), axes));
    kiln_tensor *r = body(t, at, of(cast_to(t, at, x, wide_dtype(x))), axes);
    return composite_end(t, &s, cast_to(t, at, r, (DType)x->type.dtype));
}

#define OVER(name, takes) \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x, kiln_axes axes) { return over(at, #name, x, axes, name, takes); }
#define BODY(name) static kiln_tensor *name(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes)

static kiln_axes keeping(kiln_axes axes)
{
    axes.keep = 1;
    return axes;
}

/* ---- counts ---------------------------------------------------------------------------------- */

BODY(count_nonzero) { return kiln_sum_at(at, of(cast_to(t, at, x.as.tensor, DT_bool)), axes); }

BODY(ptp)
{
    (void)t;
    return kiln_sub_at(at, OP2(reduce_max, x, axes), OP2(reduce_min, x, axes));
}

BODY(reduce_sum_square)
{
    (void)t;
    return kiln_sum_at(at, OP1(square, x), axes);
}

BODY(reduce_l1)
{
    (void)t;
    return kiln_sum_at(at, OP1(abs, x), axes);
}

OVER(count_nonzero, ANY)
OVER(ptp, NUMBERS)
OVER(reduce_sum_square, NUMBERS)
OVER(reduce_l1, NUMBERS)

/* ---- logarithms of sums ----------------------------------------------------------------------- */

BODY(reduce_log_sum)
{
    (void)t;
    return kiln_log_at(at, OP2(sum, x, axes));
}

/* An axis that may have no elements gets one more, which changes nothing else. */
kiln_operand extreme_or(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes, double none, bool least)
{
    Axes a;
    if (!tensor_ok(x.as.tensor) || !reduced_axes(t, at, "reduce_max", &axes, x.as.tensor->type.rank, &a)) return of(&t->k->poison);
    for (uint32_t i = 0; i < a.n && tensor_ok(x.as.tensor); i++)
        if (extent_lo(t, x.as.tensor->type.dim[a.at[i]]) < 1)
            x = of(pad_axis(t, at, x.as.tensor, (int)a.at[i], 0, 1, kiln_of_f(none)));
    return least ? OP2(reduce_min, x, keeping(axes)) : OP2(reduce_max, x, keeping(axes));
}

kiln_operand largest_or_none(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes)
{
    return extreme_or(t, at, x, axes, -INFINITY, false);
}

BODY(reduce_logsumexp)
{
    /* An infinite maximum is not subtracted: inf - inf is NaN. */
    kiln_operand most = OP1(stop_gradient, largest_or_none(t, at, x, axes));
    most = of(kiln_where_at(at, OP1(isfinite, most), most, kiln_of_f(0)));
    kiln_operand sum = OP2(sum, OP1(exp, OP2(sub, x, most)), keeping(axes)), none = OP2(eq, sum, kiln_of_i(0));
    /* If every element is minus infinity, the slope of log(0) would turn their gradients, which are 0, into NaN. */
    kiln_operand log = OP1(log, of(kiln_where_at(at, none, kiln_of_i(1), sum)));
    log = OP2(add, of(kiln_where_at(at, none, kiln_of_f(-INFINITY), log)), most);
    /* It is a sum of one element over each axis. */
    return axes.keep || !tensor_ok(log.as.tensor) ? log.as.tensor : kiln_sum_at(at, log, axes);
}

OVER(reduce_log_sum, FLOATS)
OVER(reduce_logsumexp, FLOATS)

/* ---- what is no NaN --------------------------------------------------------------------------- */

/* x with another number where it is NaN */
static kiln_operand without_nan(kiln_site at, kiln_operand x, double instead)
{
    return of(kiln_where_at(at, OP1(isnan, x), kiln_of_f(instead), x));
}

BODY(nansum)
{
    (void)t;
    return kiln_sum_at(at, without_nan(at, x, 0), axes);
}

BODY(nanprod)
{
    (void)t;
    return kiln_prod_at(at, without_nan(at, x, 1), axes);
}

BODY(nanmean)
{
    if (!tensor_ok(x.as.tensor)) return x.as.tensor;
    kiln_operand is = of(cast_to(t, at, kiln_eq_at(at, x, x), (DType)x.as.tensor->type.dtype));
    return kiln_div_at(at, OP2(sum, without_nan(at, x, 0), axes), OP2(sum, is, axes));
}

static kiln_tensor *nan_extreme(kiln_site at, kiln_operand x, kiln_axes axes, bool most)
{
    const kiln_operand some = without_nan(at, x, most ? -INFINITY : INFINITY), all = OP2(all, OP1(isnan, x), axes);
    return kiln_where_at(at, all, kiln_of_f(NAN), most ? OP2(reduce_max, some, axes) : OP2(reduce_min, some, axes));
}

BODY(nanmax)
{
    (void)t;
    return nan_extreme(at, x, axes, true);
}

BODY(nanmin)
{
    (void)t;
    return nan_extreme(at, x, axes, false);
}

OVER(nansum, FLOATS)
OVER(nanprod, FLOATS)
OVER(nanmean, FLOATS)
OVER(nanmax, FLOATS)
OVER(nanmin, FLOATS)

/* ---- moments ---------------------------------------------------------------------------------- */

/* root: the standard deviation. The root of 0, where its slope is infinite, is avoided. */
static kiln_tensor *spread(kiln_site at, const char *name, kiln_operand o, kiln_axes axes, double correction, bool root)
{
    Axes a;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, name, o);
    if (!tensor_ok(x)) return x;
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    if (!isfinite(correction))
        return fail(t, at, KILN_EVALUE, "%s: the correction is %g; it must be a finite number", name, correction);
    Composite s = composite_begin(t, name);
    kiln_operand in = of(cast_to(t, at, x, wide_dtype(x)));
    kiln_operand n = of(axes_count(t, at, name, x, &a, wide_dtype(x)));
    kiln_operand mean = OP2(div, OP2(sum, in, keeping(axes)), n);
    if (correction != 0) n = OP2(max, OP2(sub, n, kiln_of_f(correction)), kiln_of_f(0));
    kiln_operand r = OP2(div, OP2(sum, OP1(square, OP2(sub, in, mean)), axes), n);
    if (root) {
        const kiln_operand none = OP2(eq, r, kiln_of_i(0));
        r = of(kiln_where_at(at, none, kiln_of_i(0), OP1(sqrt, of(kiln_where_at(at, none, kiln_of_i(1), r)))));
    }
    return composite_end(t, &s, cast_to(t, at, r.as.tensor, (DType)x->type.dtype));
}

kiln_tensor *kiln_var_at(kiln_site at, kiln_operand x, kiln_axes axes, double correction)
{
    return spread(at, "var", x, axes, correction, false);
}

kiln_tensor *kiln_std_at(kiln_site at, kiln_operand x, kiln_axes axes, double correction)
{
    return spread(at, "std", x, axes, correction, true);
}

kiln_tensor *kiln_average_at(kiln_site at, kiln_operand o, kiln_operand weights, kiln_axes axes)
{
    kiln_operand both[2] = {o, weights};
    char a[160], b[160];
    Axes checked;
    Type shape;
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "average", o);
    if (!tensor_ok(x)) return x;
    kiln_tensor *w = operand_named(t, at, "average", weights, &x->type);
    if (!tensor_ok(w) || !reduced_axes(t, at, "average", &axes, x->type.rank, &checked)) return &t->k->poison;
    if (!dtype_is_float((DType)w->type.dtype))
        return fail(t, at, KILN_EDTYPE, "average: the weights must be floats, use kiln_cast: %s", tensor_text(w, a, sizeof a));
    if (!shapes_broadcast(t, at, "average", x, w, &shape)) return &t->k->poison;
    if (shape.rank != x->type.rank || memcmp(shape.dim, x->type.dim, shape.rank * sizeof *shape.dim) != 0)
        return fail(t, at, KILN_ESHAPE, "average: the weights must broadcast to x: %s x %s", tensor_text(x, a, sizeof a),
            tensor_text(w, b, sizeof b));
    const DType own = dtype_promote((DType)x->type.dtype, (DType)w->type.dtype), wide = (DType)dtype_info[own].compute;
    Composite s = composite_begin(t, "average");
    const kiln_operand in = of(cast_to(t, at, x, wide)), by = of(broadcast_to(t, at, cast_to(t, at, w, wide), &shape));
    kiln_tensor *r = kiln_div_at(at, OP2(sum, OP2(mul, in, by), axes), OP2(sum, by, axes));
    return composite_end(t, &s, cast_to(t, at, r, own));
}
