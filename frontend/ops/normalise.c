/* normalise: what sets means to 0 and lengths to 1: normalisation over axes, groups and batches, unit vectors, hardmax: composites
 * over public ops. kiln_layernorm stands in losses.c, the layer that keeps running statistics in nn/batchnorm.c. A composite of
 * 16-bit floats is computed in f32 and rounded once. Relies on losses.h. */
#include "losses.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

typedef struct Norm {
    Thread *t;
    kiln_site at;
    const char *op;
    kiln_tensor *x;  /* as it was given */
    kiln_operand in; /* computed wide */
    double epsilon;
    DType own; /* of the result */
    Composite c;
} Norm;

/* False: *r is what to return. Else the composite is open. */
static bool norm_begin(Norm *n, kiln_operand o, double epsilon, double standard, kiln_tensor **r)
{
    n->t = op_thread(&o, 1);
    *r = n->t ? &n->t->k->poison : NULL;
    if (!n->t) return false;
    n->x = operand_float(n->t, n->at, n->op, o);
    if (!tensor_ok(n->x)) return false;
    if (!(epsilon >= 0) || isinf(epsilon)) {
        fail(n->t, n->at, KILN_EVALUE, "%s: epsilon is %g; it must be a finite number, 0 or more", n->op, epsilon);
        return false;
    }
    n->epsilon = epsilon == 0 ? standard : epsilon;
    n->own = (DType)n->x->type.dtype;
    n->c = composite_begin(n->t, n->op);
    n->in = wide_of(n->t, n->at, n->x);
    return true;
}

static kiln_tensor *norm_end(Norm *n, kiln_operand r)
{
    return composite_end(n->t, &n->c, tensor_ok(r.as.tensor) ? cast_to(n->t, n->at, r.as.tensor, n->own) : &n->t->k->poison);
}

static kiln_operand poison(const Norm *n) { return of(&n->t->k->poison); }

/* 1 / sqrt(variance + epsilon), from the root that docs/numerics.md has correctly rounded. */
static kiln_operand over_root(const Norm *n, kiln_operand variance)
{
    kiln_site at = n->at;
    return OP2(div, kiln_of_i(1), OP1(sqrt, OP2(add, variance, kiln_of_f(n->epsilon))));
}

/* A scale or shift of floats, of which the result's dtype learns. channels: it must be [channels], and comes as [1, .., channels,
 * .., 1]; -1: it must broadcast to x. NULL stays NULL. Poison: recorded. */
static kiln_tensor *per_channel(Norm *n, const char *what, kiln_operand o, int axis)
{
    Type whole;
    Dim dim[MAX_RANK];
    char a[160], b[160];
    const Type *x = &n->x->type;
    if (none_given(o)) return NULL;
    kiln_tensor *w = operand_float(n->t, n->at, n->op, o);
    if (!tensor_ok(w)) return &n->t->k->poison;
    n->own = dtype_promote(n->own, (DType)w->type.dtype);
    if (axis < 0) {
        if (!shapes_broadcast(n->t, n->at, n->op, n->x, w, &whole)) return &n->t->k->poison;
        if (whole.rank == x->rank && memcmp(whole.dim, x->dim, whole.rank * sizeof *whole.dim) == 0) return w;
        return fail(n->t, n->at, KILN_ESHAPE, "%s: the %s does not broadcast to x: %s x %s", n->op, what,
            tensor_text(n->x, a, sizeof a), tensor_text(w, b, sizeof b));
    }
    if (w->type.rank != 1 || w->type.dim[0] != x->dim[axis])
        return fail(n->t, n->at, KILN_ESHAPE, "%s: the %s must have the size of axis %d: %s x %s", n->op, what, axis,
            tensor_text(n->x, a, sizeof a), tensor_text(w, b, sizeof b));
    for (int i = 0; i < x->rank; i++) dim[i] = i == axis ? x->dim[axis] : 1;
    return reshape_to(n->t, n->at, w, dim, x->rank);
}

/* y times scale, plus shift. */
static kiln_operand affine(Norm *n, kiln_operand y, kiln_operand scale, kiln_operand shift, int axis)
{
    kiln_site at = n->at;
    kiln_tensor *by = per_channel(n, "scale", scale, axis), *plus = per_channel(n, "shift", shift, axis);
    if ((by && !tensor_ok(by)) || (plus && !tensor_ok(plus))) return poison(n);
    if (by) y = OP2(mul, y, of(by));
    return plus ? OP2(add, y, of(plus)) : y;
}

/* (x - mean) / sqrt(variance + epsilon) over the axes. */
static kiln_operand standard(const Norm *n, kiln_operand x, kiln_axes axes)
{
    kiln_site at = n->at;
    axes.keep = 1;
    kiln_operand centred = OP2(sub, x, OP2(mean, x, axes));
    kiln_operand spread = OP2(mean, OP1(square, centred), axes);
    return OP2(div, centred, OP1(sqrt, OP2(add, spread, kiln_of_f(n->epsilon))));
}

kiln_tensor *kiln_layernorm_axes_at(
    kiln_site at, kiln_operand x, kiln_axes axes, kiln_operand scale, kiln_operand shift, double epsilon)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "layernorm_axes"};
    if (!norm_begin(&n, x, epsilon, 1e-5, &r)) return r;
    return norm_end(&n, affine(&n, standard(&n, n.in, axes), scale, shift, -1));
}

kiln_tensor *kiln_rmsnorm_at(kiln_site at, kiln_operand x, kiln_axes axes, kiln_operand scale, double epsilon)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "rmsnorm"};
    if (!norm_begin(&n, x, epsilon, 1e-5, &r)) return r;
    axes.keep = 1;
    kiln_operand power = OP2(mean, OP1(square, n.in), axes);
    kiln_operand y = OP2(div, n.in, OP1(sqrt, OP2(add, power, kiln_of_f(n.epsilon))));
    return norm_end(&n, affine(&n, y, scale, of(NULL), -1));
}

/* ---- channels ------------------------------------------------------------------------------------------ */

/* The axis of channels, which is not the first. False: recorded. */
static bool channels_at(const Norm *n, int *axis)
{
    char text[160];
    if (!axis_of(n->t, n->at, n->op, *axis, n->x->type.rank, axis)) return false;
    if (*axis > 0) return true;
    fail(n->t, n->at, KILN_ESHAPE, "%s: axis 0 is the batch's and cannot be that of the channels: %s", n->op,
        tensor_text(n->x, text, sizeof text));
    return false;
}

/* All axes but the first and that one. */
static kiln_axes others(int rank, int axis)
{
    kiln_axes all = {1, 0, {0}};
    for (int i = 1; i < rank; i++)
        if (i != axis) all.axis[++all.count] = i;
    return all;
}

static kiln_operand grouped(const Norm *n, int64_t groups, int axis)
{
    kiln_site at = n->at;
    const Type *x = &n->x->type;
    char text[160];
    Dim dim[MAX_RANK];
    const Dim channels = x->dim[axis];
    if (groups == 1) return standard(n, n->in, others(x->rank, -1));
    if (!dim_is_const(channels))
        return of(fail(n->t, at, KILN_EUNSUPPORTED, "%s: the number of channels must be known in a trace: %s", n->op,
            tensor_text(n->x, text, sizeof text)));
    if (groups < 1 || channels % groups != 0)
        return of(fail(n->t, at, KILN_ESHAPE, "%s: the channels do not come in %lld groups: %s", n->op, (long long)groups,
            tensor_text(n->x, text, sizeof text)));
    if (groups == channels) return standard(n, n->in, others(x->rank, axis));
    if (x->rank == MAX_RANK)
        return of(fail(n->t, at, KILN_EUNSUPPORTED, "%s: takes at most %d axes: %s", n->op, MAX_RANK - 1,
            tensor_text(n->x, text, sizeof text)));
    for (int i = 0; i <= x->rank; i++) dim[i] = i <= axis ? x->dim[i] : x->dim[i - 1];
    dim[axis] = groups, dim[axis + 1] = channels / groups;
    kiln_operand y = standard(n, of(reshape_to(n->t, at, n->in.as.tensor, dim, x->rank + 1)), others(x->rank + 1, axis));
    return of(tensor_ok(y.as.tensor) ? reshape_to(n->t, at, y.as.tensor, x->dim, x->rank) : y.as.tensor);
}

kiln_tensor *kiln_groupnorm_at(
    kiln_site at, kiln_operand x, int64_t groups, int axis, kiln_operand scale, kiln_operand shift, double epsilon)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "groupnorm"};
    if (!norm_begin(&n, x, epsilon, 1e-5, &r)) return r;
    if (!channels_at(&n, &axis)) return norm_end(&n, poison(&n));
    return norm_end(&n, affine(&n, grouped(&n, groups, axis), scale, shift, axis));
}

kiln_tensor *kiln_instancenorm_at(kiln_site at, kiln_operand x, int axis, kiln_operand scale, kiln_operand shift, double epsilon)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "instancenorm"};
    if (!norm_begin(&n, x, epsilon, 1e-5, &r)) return r;
    if (!channels_at(&n, &axis)) return norm_end(&n, poison(&n));
    return norm_end(&n, affine(&n, standard(&n, n.in, others(n.x->type.rank, axis)), scale, shift, axis));
}

/* ---- batches --------------------------------------------------------------------------------------------- */

/* With statistics [1, .., channels, .., 1]: one factor per channel. */
static kiln_operand with_statistics(
    Norm *n, kiln_operand mean, kiln_operand variance, kiln_operand scale, kiln_operand shift, int axis)
{
    kiln_site at = n->at;
    kiln_operand by = over_root(n, variance), centred = OP2(sub, n->in, mean);
    kiln_tensor *w = per_channel(n, "scale", scale, axis);
    if (w && !tensor_ok(w)) return poison(n);
    return affine(n, OP2(mul, centred, w ? OP2(mul, by, of(w)) : by), of(NULL), shift, axis);
}

kiln_tensor *kiln_batchnorm_at(kiln_site at, kiln_operand x, kiln_operand mean, kiln_operand variance, kiln_operand scale,
    kiln_operand shift, int axis, double epsilon)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "batchnorm"};
    if (!norm_begin(&n, x, epsilon, 1e-5, &r)) return r;
    if (!axis_of(n.t, at, n.op, axis, n.x->type.rank, &axis)) return norm_end(&n, poison(&n));
    const DType own = n.own;
    kiln_tensor *m = per_channel(&n, "mean", mean, axis), *v = per_channel(&n, "variance", variance, axis);
    n.own = own; /* which statistics do not change */
    if (!m || !v) {
        fail(n.t, at, KILN_EVALUE, "batchnorm: the mean or the variance is NULL");
        return norm_end(&n, poison(&n));
    }
    if (!tensor_ok(m) || !tensor_ok(v)) return norm_end(&n, poison(&n));
    return norm_end(&n, with_statistics(&n, of(m), wide_of(n.t, at, v), scale, shift, axis));
}

kiln_tensor *kiln_batchnorm_training_at(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand shift, int axis,
    double epsilon, kiln_tensor **mean, kiln_tensor **variance)
{
    kiln_tensor *r, **to[2] = {mean, variance};
    Norm n = {.at = at, .op = "batchnorm_training"};
    const bool begun = norm_begin(&n, x, epsilon, 1e-5, &r);
    for (int i = 0; i < 2; i++)
        if (to[i]) *to[i] = r;
    if (!begun) return r;
    if (!axis_of(n.t, at, n.op, axis, n.x->type.rank, &axis)) return norm_end(&n, poison(&n));
    kiln_axes all = others(n.x->type.rank, axis);
    if (axis > 0) all.axis[++all.count] = 0;
    kiln_operand m = OP2(mean, n.in, all), v = OP2(mean, OP1(square, OP2(sub, n.in, m)), all);
    kiln_operand y = with_statistics(&n, m, v, scale, shift, axis), each[2] = {m, v};
    for (int i = 0; i < 2; i++)
        if (to[i] && tensor_ok(each[i].as.tensor))
            composite_keep(n.t, *to[i] = reshape_to(n.t, at, each[i].as.tensor, &n.x->type.dim[axis], 1));
    return norm_end(&n, y);
}

/* ---- lengths --------------------------------------------------------------------------------------------- */
kiln_tensor *kiln_normalize_at(kiln_site at, kiln_operand x, double p, int axis, double epsilon)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "normalize"};
    if (!norm_begin(&n, x, epsilon, 1e-12, &r)) return r;
    const kiln_axes along = KILN_KEEP(axis);
    kiln_operand length = poison(&n), least = kiln_of_f(n.epsilon);
    if (p == 2 && (n.epsilon < 1e-18 || n.epsilon > 1e18))
        fail(n.t, at, KILN_EVALUE, "normalize: epsilon is %g; it must be 0 or lie in [1e-18, 1e18]", n.epsilon);
    else if (p == 2) /* the root of no less than epsilon^2, where it has a slope */
        length = OP1(sqrt, OP2(max, OP2(sum, OP1(square, n.in), along), kiln_of_f(n.epsilon * n.epsilon)));
    else if (p == 1)
        length = OP2(max, OP2(sum, OP1(abs, n.in), along), least);
    else if (p == INFINITY)
        length = OP2(max, extreme_or(n.t, at, OP1(abs, n.in), along, 0, false), least);
    else
        fail(n.t, at, KILN_EVALUE, "normalize: p is %g (allowed: 1, 2, INFINITY)", p);
    return norm_end(&n, OP2(div, n.in, length));
}

kiln_tensor *kiln_local_response_norm_at(
    kiln_site at, kiln_operand o, int64_t size, int axis, double alpha, double beta, double bias)
{
    kiln_tensor *r;
    Norm n = {.at = at, .op = "local_response_norm"};
    if (!norm_begin(&n, o, 0, 0, &r)) return r;
    if (!axis_of(n.t, at, n.op, axis, n.x->type.rank, &axis)) return norm_end(&n, poison(&n));
    if (size < 1 || size > 1024) {
        fail(n.t, at, KILN_EVALUE, "%s: the size is %lld (allowed: 1 to 1024)", n.op, (long long)size);
        return norm_end(&n, poison(&n));
    }
    kiln_shape low = {.rank = n.x->type.rank}, high = low;
    low.size[axis + 1] = (size - 1) / 2, high.size[axis + 1] = size / 2;
    kiln_tensor *padded = kiln_pad_at(at, OP1(square, n.in), low, high, kiln_of_f(0));
    kiln_operand sum = of(padded);
    for (int64_t i = 0; i < size && tensor_ok(padded); i++) {
        kiln_operand part = of(slice_axis(n.t, at, padded, axis, i, n.x->type.dim[axis]));
        sum = i == 0 ? part : OP2(add, sum, part);
    }
    kiln_operand by = OP2(add, OP2(mul, sum, kiln_of_f(alpha / (double)size)), kiln_of_f(bias));
    return norm_end(&n, OP2(div, n.in, OP2(pow, by, kiln_of_f(beta))));
}

kiln_tensor *kiln_hardmax_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "hardmax", o, NULL);
    if (!tensor_ok(x) || !axis_of(t, at, "hardmax", axis, x->type.rank, &axis)) return &t->k->poison;
    Composite c = composite_begin(t, "hardmax");
    Type index = {.dtype = DT_i64, .rank = x->type.rank};
    for (int i = 0; i < index.rank; i++) index.dim[i] = i == axis ? x->type.dim[axis] : 1;
    kiln_operand first = OP2(expand, OP2(argmax, of(x), axis), axis);
    kiln_operand is = OP2(eq, first, of(iota_of(t, at, &index, axis, x)));
    return composite_end(t, &c, kiln_cast_at(at, is, (kiln_dtype)x->type.dtype));
}
