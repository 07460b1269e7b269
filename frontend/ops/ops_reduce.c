/* ops_reduce: the public reductions. Relies on ops.h and apply. Adds nothing up itself: the op fixes the order of additions
 * (docs/numerics.md). */
#include "ops.h"

#include <math.h>

bool reduced_axes(Thread *t, kiln_site at, const char *op, const kiln_axes *axes, int rank, Axes *out)
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

Type kept_of(const kiln_tensor *x, const Axes *axes)
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

/* truth: numbers are asked whether they are 0; else bools count. */
static kiln_tensor *reduction(kiln_site at, const char *name, Op op, kiln_operand o, kiln_axes axes, bool truth)
{
    Axes a;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    const DType own = (DType)x->type.dtype, to = truth ? DT_bool : own == DT_bool && (op == OP_sum || op == OP_prod) ? DT_i64 : own;
    if (to == own) return result_of(t, at, reduce(t, at, op, x, &a, axes.keep != 0), x);
    Composite s = composite_begin(t, name);
    x = cast_to(t, at, x, to);
    return composite_end(t, &s, tensor_ok(x) ? reduce(t, at, op, x, &a, axes.keep != 0) : x);
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

kiln_operand extreme_of(DType d, bool most)
{
    const DTypeInfo *info = &dtype_info[d];
    if (d == DT_bool) return kiln_of_bool(most);
    if (dtype_is_float(d)) return kiln_of_f((most ? 1 : -1) * (info->infinite ? INFINITY : info->largest));
    if (d == DT_u64) return kiln_of_u(most ? UINT64_MAX : 0);
    return kiln_of_i(most ? info->hi : info->lo);
}

/* ---- means ---------------------------------------------------------------------------------- */

kiln_tensor *axes_count(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, const Axes *axes, DType type)
{
    Dim n = 1;
    for (uint32_t i = 0; i < axes->n; i++) n = extent(t, at, EXTENT_MUL, n, x->type.dim[axes->at[i]]);
    char why[64];
    if (n == DIM_BAD) return fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", op, extent_trouble(t, why, sizeof why));
    return dim_tensor(t, at, n, type);
}

static kiln_tensor *mean(Thread *t, kiln_site at, kiln_tensor *x, const Axes *axes, bool keep)
{
    return kiln_div_at(at, of(reduce(t, at, OP_sum, x, axes, keep)), of(axes_count(t, at, "mean", x, axes, (DType)x->type.dtype)));
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
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
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
    const char *name = op_def[op].name;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, name, axis, x->type.rank, &axis)) return &t->k->poison;
    if (x->type.dtype != DT_bool) return apply1(t, at, op, x, ATTRS_OF(argmax, .axis = axis));
    Composite s = composite_begin(t, name);
    return composite_end(t, &s, apply1(t, at, op, cast_to(t, at, x, DT_u8), ATTRS_OF(argmax, .axis = axis)));
}

kiln_tensor *kiln_argmax_at(kiln_site at, kiln_operand x, int axis) { return arg_extreme(at, OP_argmax, x, axis); }

kiln_tensor *kiln_argmin_at(kiln_site at, kiln_operand x, int axis) { return arg_extreme(at, OP_argmin, x, axis); }

kiln_tensor *axes_last(Thread *t, kiln_site at, const char *name, kiln_tensor *x, const Axes *axes)
{
    int perm[MAX_RANK], n = 0;
    Dim dim[MAX_RANK], all = 1;
    char why[64];
    for (int a = 0; a < x->type.rank; a++) {
        bool one = false;
        for (uint32_t i = 0; i < axes->n; i++) one |= axes->at[i] == a;
        if (!one) dim[n] = x->type.dim[a], perm[n++] = a;
    }
    for (uint32_t i = 0; i < axes->n; i++) {
        all = extent(t, at, EXTENT_MUL, all, x->type.dim[axes->at[i]]);
        perm[n + (int)i] = (int)axes->at[i];
    }
    if (all == DIM_BAD) return fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", name, extent_trouble(t, why, sizeof why));
    dim[n] = all;
    x = transpose_to(t, at, x, perm);
    return tensor_ok(x) ? reshape_to(t, at, x, dim, n + 1) : x;
}

static kiln_tensor *arg_over(kiln_site at, const char *name, Op op, kiln_operand o, kiln_axes axes, int how)
{
    Axes a;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!tensor_ok(x)) return x;
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    if (how != 0 && how != KILN_LAST) return fail(t, at, KILN_EVALUE, "%s: how is %d (allowed: 0, KILN_LAST)", name, how);
    Type kept = kept_of(x, &a);
    Composite s = composite_begin(t, name);
    kiln_tensor *line = axes_last(t, at, name, x, &a);
    if (tensor_ok(line) && line->type.dtype == DT_bool) line = cast_to(t, at, line, DT_u8);
    if (!tensor_ok(line)) return composite_end(t, &s, line);
    const int last = line->type.rank - 1;
    const Dim n = line->type.dim[last];
    if (how == KILN_LAST) line = apply1(t, at, OP_flip, line, &(int64_t){last}, 1);
    kiln_tensor *r = apply1(t, at, op, line, ATTRS_OF(argmax, .axis = last));
    if (how == KILN_LAST) r = kiln_sub_at(at, of(dim_tensor(t, at, extent(t, at, EXTENT_SUB, n, 1), DT_i64)), of(r));
    if (tensor_ok(r) && axes.keep) r = reshape_to(t, at, r, kept.dim, kept.rank);
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_argmax_over_at(kiln_site at, kiln_operand x, kiln_axes axes, int how)
{
    return arg_over(at, "argmax_over", OP_argmax, x, axes, how);
}

kiln_tensor *kiln_argmin_over_at(kiln_site at, kiln_operand x, kiln_axes axes, int how)
{
    return arg_over(at, "argmin_over", OP_argmin, x, axes, how);
}
