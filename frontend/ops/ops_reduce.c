/* ops_reduce: the public reductions. Relies on ops.h and apply. Adds nothing up itself: the op fixes the order of additions
 * (docs/numerics.md). */
#include "ops.h"

typedef struct Axes {
    uint32_t n;
    int64_t at[MAX_RANK]; /* ascending */
} Axes;

static bool axes_of(Thread *t, kiln_site at, const char *op, const kiln_axes *axes, int rank, Axes *out)
{
    bool named[MAX_RANK] = {false};
    if (axes->count > KILN_MAX_RANK || axes->count < -1) {
        fail(t, at, KILN_ESHAPE, "%s: %d axes named (allowed: 0 to %d)", op, axes->count, KILN_MAX_RANK);
        return false;
    }
    for (int i = 1; i <= axes->count; i++) {
        int axis;
        if (!axis_of(t, at, op, axes->axis[i], rank, &axis)) return false;
        if (named[axis]) {
            fail(t, at, KILN_ESHAPE, "%s: axis %d is named twice", op, axis);
            return false;
        }
        named[axis] = true;
    }
    out->n = 0;
    for (int i = 0; i < rank; i++)
        if (axes->count < 0 || named[i]) out->at[out->n++] = i;
    return true;
}

/* The shape of x with the axes of size 1. */
static Type kept_of(const kiln_tensor *x, const Axes *axes)
{
    Type kept = x->type;
    for (uint32_t i = 0; i < axes->n; i++) kept.dim[axes->at[i]] = 1;
    return kept;
}

static kiln_tensor *reduce(Thread *t, kiln_site at, Op op, kiln_tensor *x, const Axes *axes, bool keep)
{
    if (axes->n == 0) return x; /* an element is its own sum, product and extreme */
    kiln_tensor *r = apply1(t, at, op, x, axes->at, axes->n);
    if (!keep || !tensor_ok(r)) return r;
    Type kept = kept_of(x, axes);
    return reshape_to(t, at, r, kept.dim, kept.rank);
}

static kiln_tensor *reduction(kiln_site at, const char *name, Op op, kiln_operand o, kiln_axes axes, bool bools)
{
    Axes a;
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!tensor_ok(x)) return x;
    if (bools && x->type.dtype != DT_bool)
        return fail(t, at, KILN_EDTYPE, "%s: needs bool, use kiln_cast: %s", name, tensor_text(x, text, sizeof text));
    if (!axes_of(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    if (x->type.dtype == DT_bool && (op == OP_sum || op == OP_prod))
        return fail(t, at, KILN_EDTYPE, "%s: needs numbers, not bool, use kiln_cast: %s", name, tensor_text(x, text, sizeof text));
    return result_of(t, at, reduce(t, at, op, x, &a, axes.keep != 0), x);
}

kiln_tensor *kiln_sum_at(kiln_site at, kiln_operand x, kiln_axes axes) { return reduction(at, "sum", OP_sum, x, axes, false); }

kiln_tensor *kiln_prod_at(kiln_site at, kiln_operand x, kiln_axes axes) { return reduction(at, "prod", OP_prod, x, axes, false); }

kiln_tensor *kiln_reduce_max_at(kiln_site at, kiln_operand x, kiln_axes axes)
{
    return reduction(at, "reduce_max", OP_reduce_max, x, axes, false);
}

kiln_tensor *kiln_reduce_min_at(kiln_site at, kiln_operand x, kiln_axes axes)
{
    return reduction(at, "reduce_min", OP_reduce_min, x, axes, false);
}

kiln_tensor *kiln_any_at(kiln_site at, kiln_operand x, kiln_axes axes)
{
    return reduction(at, "any", OP_reduce_max, x, axes, true);
}

kiln_tensor *kiln_all_at(kiln_site at, kiln_operand x, kiln_axes axes)
{
    return reduction(at, "all", OP_reduce_min, x, axes, true);
}

/* ---- means ---------------------------------------------------------------------------------- */

/* How many elements the axes hold, as a scalar of x's dtype. */
static kiln_tensor *count_of(Thread *t, kiln_site at, const kiln_tensor *x, const Axes *axes)
{
    Dim n = 1;
    for (uint32_t i = 0; i < axes->n; i++) n = extent(t, at, EXTENT_MUL, n, x->type.dim[axes->at[i]]);
    char why[64];
    if (n == DIM_BAD) return fail(t, at, KILN_ESHAPE, "mean: the number of elements %s", extent_trouble(t, why, sizeof why));
    return dim_tensor(t, at, n, x->type.dtype);
}

static kiln_tensor *mean(Thread *t, kiln_site at, kiln_tensor *x, const Axes *axes, bool keep)
{
    return kiln_div_at(at, of(reduce(t, at, OP_sum, x, axes, keep)), of(count_of(t, at, x, axes)));
}

static kiln_tensor *variance(Thread *t, kiln_site at, kiln_tensor *x, const Axes *axes, bool keep)
{
    kiln_tensor *d = kiln_sub_at(at, of(x), of(mean(t, at, x, axes, true)));
    d = kiln_square_at(at, of(d));
    return tensor_ok(d) ? mean(t, at, d, axes, keep) : d;
}

typedef kiln_tensor *Moment(Thread *t, kiln_site at, kiln_tensor *x, const Axes *axes, bool keep);

/* 16-bit floats go through f32: the sum and the number of their elements may be beyond the dtype's range. */
static kiln_tensor *moment(kiln_site at, const char *name, Moment *body, kiln_operand o, kiln_axes axes)
{
    Axes a;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, name, o);
    if (!tensor_ok(x)) return x;
    if (!axes_of(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    Composite s = composite_begin(t, name);
    DType d = x->type.dtype;
    x = cast_to(t, at, x, (DType)dtype_info[d].compute);
    kiln_tensor *r = tensor_ok(x) ? body(t, at, x, &a, axes.keep != 0) : x;
    if (tensor_ok(r)) r = cast_to(t, at, r, d);
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_mean_at(kiln_site at, kiln_operand x, kiln_axes axes) { return moment(at, "mean", mean, x, axes); }

kiln_tensor *kiln_variance_at(kiln_site at, kiln_operand x, kiln_axes axes) { return moment(at, "variance", variance, x, axes); }

/* ---- where the extremes are ----------------------------------------------------------------- */

static kiln_tensor *arg_extreme(kiln_site at, Op op, kiln_operand o, int axis)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, op_def[op].name, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, op_def[op].name, axis, x->type.rank, &axis)) return &t->k->poison;
    return apply1(t, at, op, x, ATTRS_OF(argmax, .axis = axis));
}

kiln_tensor *kiln_argmax_at(kiln_site at, kiln_operand x, int axis) { return arg_extreme(at, OP_argmax, x, axis); }

kiln_tensor *kiln_argmin_at(kiln_site at, kiln_operand x, int axis) { return arg_extreme(at, OP_argmin, x, axis); }
