/* losses: softmax and related functions, layer normalisation, the mean squared error and cross-entropy: composites over public ops.
 * Relies on ops.h. Never has a gradient of its own. The maximum that is subtracted to stay in range carries no gradient, because
 * the results do not depend on it. A composite of 16-bit floats is computed in f32 and rounded once. */
#include "effect.h"
#include "losses.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* Checks an operand of floats and its axis, which is then counted from the front. NULL: stop and return *r. */
static kiln_tensor *along(kiln_site at, const char *op, kiln_operand o, int *axis, Thread **t, kiln_tensor **r)
{
    *r = NULL;
    if (!(*t = op_thread(&o, 1))) return NULL;
    kiln_tensor *x = operand_float(*t, at, op, o);
    *r = &(*t)->k->poison;
    if (!tensor_ok(x) || !axis_of(*t, at, op, *axis, x->type.rank, axis)) return NULL;
    return x;
}

/* Ends a composite: casts r, computed wide, to the dtype of x. */
static kiln_tensor *rounded(Thread *t, kiln_site at, Composite *s, kiln_tensor *r, const kiln_tensor *x)
{
    return composite_end(t, s, cast_to(t, at, r, (DType)x->type.dtype));
}

/* x - max along the axis */
static kiln_operand shifted(Thread *t, kiln_site at, kiln_operand x, int axis)
{
    return OP2(sub, x, OP1(stop_gradient, largest_or_none(t, at, x, KILN_KEEP(axis))));
}

kiln_tensor *kiln_softmax_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    kiln_tensor *r, *x = along(at, "softmax", o, &axis, &t, &r);
    if (!x) return r;
    Composite s = composite_begin(t, "softmax");
    kiln_operand e = OP1(exp, shifted(t, at, wide_of(t, at, x), axis));
    return rounded(t, at, &s, kiln_div_at(at, e, OP2(sum, e, KILN_KEEP(axis))), x);
}

static kiln_tensor *log_softmax(Thread *t, kiln_site at, kiln_operand x, int axis)
{
    kiln_operand z = shifted(t, at, x, axis);
    return kiln_sub_at(at, z, OP1(log, OP2(sum, OP1(exp, z), KILN_KEEP(axis))));
}

kiln_tensor *kiln_log_softmax_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    kiln_tensor *r, *x = along(at, "log_softmax", o, &axis, &t, &r);
    if (!x) return r;
    Composite s = composite_begin(t, "log_softmax");
    return rounded(t, at, &s, log_softmax(t, at, wide_of(t, at, x), axis), x);
}

kiln_tensor *kiln_logsumexp_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    kiln_tensor *r, *x = along(at, "logsumexp", o, &axis, &t, &r);
    if (!x) return r;
    Composite s = composite_begin(t, "logsumexp");
    /* An infinite maximum is not subtracted: inf - inf is NaN. */
    kiln_operand in = wide_of(t, at, x);
    kiln_operand m = OP1(stop_gradient, largest_or_none(t, at, in, KILN_KEEP(axis)));
    m = of(kiln_where_at(at, OP1(isfinite, m), m, kiln_of_f(0)));
    kiln_operand sum = OP2(sum, OP1(exp, OP2(sub, in, m)), KILN_AXES(axis));
    /* If every element is minus infinity, the slope of log(0) would turn their gradients, which are 0, into NaN. */
    kiln_operand none = OP2(eq, sum, kiln_of_i(0));
    kiln_operand log = OP1(log, of(kiln_where_at(at, none, kiln_of_i(1), sum)));
    log = of(kiln_where_at(at, none, kiln_of_f(-INFINITY), log));
    return rounded(t, at, &s, kiln_add_at(at, log, OP2(squeeze, m, axis)), x);
}

/* ---- layer normalisation -------------------------------------------------------------------- */

/* scale or shift: [last]. False: recorded. */
static bool per_element(Thread *t, kiln_site at, const kiln_tensor *x, kiln_tensor *p)
{
    char a[160], b[160];
    if (p->type.rank == 1 && p->type.dim[0] == x->type.dim[x->type.rank - 1]) return true;
    fail(t, at, KILN_ESHAPE, "layernorm: scale and shift must have the size of the last axis: %s x %s", tensor_text(x, a, sizeof a),
        tensor_text(p, b, sizeof b));
    return false;
}

kiln_tensor *kiln_layernorm_at(kiln_site at, kiln_operand o, kiln_operand scale, kiln_operand shift, double epsilon)
{
    Thread *t;
    int axis = -1;
    kiln_operand p[2] = {scale, shift};
    kiln_tensor *r, *x = along(at, "layernorm", o, &axis, &t, &r);
    if (!x) return r;
    if (!(epsilon >= 0) || isinf(epsilon))
        return fail(t, at, KILN_EVALUE, "layernorm: epsilon is %g; it must be a finite number, 0 or more", epsilon);
    Composite s = composite_begin(t, "layernorm");
    kiln_operand in = wide_of(t, at, x);
    kiln_operand centred = OP2(sub, in, OP2(mean, in, KILN_KEEP(axis)));
    kiln_operand spread = OP2(mean, OP1(square, centred), KILN_KEEP(axis));
    DType d = (DType)x->type.dtype; /* the result's */
    r = kiln_div_at(at, centred, OP1(sqrt, OP2(add, spread, kiln_of_f(epsilon == 0 ? 1e-5 : epsilon))));
    for (int i = 0; i < 2; i++) {
        if (none_given(p[i])) continue;
        kiln_tensor *w = operand_named(t, at, "layernorm", p[i], NULL);
        if (!tensor_ok(w) || !per_element(t, at, x, w)) return composite_end(t, &s, &t->k->poison);
        r = i == 0 ? kiln_mul_at(at, of(r), of(w)) : kiln_add_at(at, of(r), of(w));
        if (dtype_is_float((DType)w->type.dtype)) d = dtype_promote(d, (DType)w->type.dtype);
    }
    return composite_end(t, &s, cast_to(t, at, r, d));
}

/* ---- losses --------------------------------------------------------------------------------- */

kiln_tensor *kiln_mse_at(kiln_site at, kiln_operand prediction, kiln_operand target)
{
    kiln_operand o[2] = {prediction, target};
    char a[160], b[160];
    kiln_tensor *in[2] = {NULL, NULL};
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    for (int i = 0; i < 2; i++) {
        if (operand_is_number(o[i]) && !operand_is_number(o[1 - i])) continue;
        in[i] = operand_float(t, at, "mse", o[i]);
        if (!tensor_ok(in[i])) return in[i];
        o[i] = of(in[i]);
    }
    if (!in[0]) in[0] = in[1];
    if (!in[1]) in[1] = in[0];
    /* [n, 1] and [n] would broadcast to [n, n], and a network would learn the wrong thing. */
    if (o[0].kind == 1 && o[1].kind == 1 && !same_shape(in[0], in[1]))
        return fail(t, at, KILN_ESHAPE, "mse: prediction and target differ in shape: %s x %s", tensor_text(in[0], a, sizeof a),
            tensor_text(in[1], b, sizeof b));
    DType own = dtype_promote((DType)in[0]->type.dtype, (DType)in[1]->type.dtype);
    Composite s = composite_begin(t, "mse");
    for (int i = 0; i < 2; i++)
        if (o[i].kind == 1) o[i] = wide_of(t, at, in[i]);
    kiln_tensor *r = kiln_mean_at(at, OP1(square, OP2(sub, o[0], o[1])), KILN_ALL);
    return composite_end(t, &s, cast_to(t, at, r, own));
}

/* -log softmax at each label, [n]: log(sum(exp z)) - z[label], where z is the logits minus their maximum. */
static kiln_operand label_losses(Thread *t, kiln_site at, kiln_operand logits, kiln_tensor *labels, Dim classes)
{
    kiln_operand z = shifted(t, at, logits, 1), hot = of(is_class(t, at, labels, classes));
    kiln_operand chosen = OP2(sum, of(kiln_where_at(at, hot, z, kiln_of_f(0))), KILN_AXES(1));
    return OP2(sub, OP1(log, OP2(sum, OP1(exp, z), KILN_AXES(1))), chosen);
}

/* Whether the host can read the elements, and each is a class. */
static bool all_are_classes(const Thread *t, const kiln_tensor *labels, Dim classes)
{
    const DType d = (DType)labels->type.dtype;
    if (t->trace || labels->state != TENSOR_EAGER || labels->device != HOST || !labels->contiguous || labels->type.dim[0] == 0)
        return false;
    const char *at = labels->data;
    for (int64_t i = 0; i < labels->type.dim[0]; i++, at += dtype_bytes(d))
        if ((uint64_t)dtype_load_i64(d, at) >= (uint64_t)classes) return false;
    return true;
}

/* The mean over the rows whose label is a class; it and its gradient are 0 if there is none. No gradient flows to other rows,
 * whatever they hold. If all labels are known to be classes, fewer steps give the same bits. */
static kiln_tensor *label_loss(Thread *t, kiln_site at, kiln_tensor *logits, kiln_tensor *labels)
{
    const Dim classes = logits->type.dim[1];
    kiln_operand in = wide_of(t, at, logits);
    if (all_are_classes(t, labels, classes)) return kiln_mean_at(at, label_losses(t, at, in, labels, classes), KILN_ALL);
    kiln_operand counts = of(is_index(t, at, labels, classes));
    kiln_operand n = OP2(max, OP2(sum, of(kiln_cast_at(at, counts, KILN_I64)), KILN_ALL), kiln_of_i(1));
    in = of(kiln_where_at(at, OP2(expand, counts, 1), in, OP1(stop_gradient, in)));
    kiln_operand each = of(kiln_where_at(at, counts, label_losses(t, at, in, labels, classes), kiln_of_i(0)));
    if (!tensor_ok(each.as.tensor)) return each.as.tensor;
    return kiln_div_at(at, OP2(sum, each, KILN_ALL), of(cast_to(t, at, n.as.tensor, (DType)each.as.tensor->type.dtype)));
}

/* A class of probability 0 and logit minus infinity adds nothing, although 0 times its infinite logarithm is NaN. */
static kiln_operand probability_losses(Thread *t, kiln_site at, kiln_tensor *logits, kiln_tensor *labels)
{
    kiln_operand p = wide_of(t, at, labels), l = of(log_softmax(t, at, wide_of(t, at, logits), 1));
    kiln_operand none = OP2(and, OP2(eq, p, kiln_of_i(0)), OP2(eq, l, kiln_of_f(-INFINITY)));
    l = of(kiln_where_at(at, none, kiln_of_i(0), l));
    return OP1(neg, OP2(sum, OP2(mul, p, l), KILN_AXES(1)));
}

static bool labels_fit(const kiln_tensor *logits, const kiln_tensor *labels)
{
    if (logits->type.rank != 2) return false;
    if (dtype_is_int((DType)labels->type.dtype)) return labels->type.rank == 1 && labels->type.dim[0] == logits->type.dim[0];
    return labels->type.dtype == logits->type.dtype && same_shape(logits, labels);
}

kiln_tensor *kiln_cross_entropy_at(kiln_site at, kiln_operand lo, kiln_operand yo)
{
    kiln_operand o[2] = {lo, yo};
    char a[160], b[160];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *logits = operand_float(t, at, "cross_entropy", lo), *y = operand_named(t, at, "cross_entropy", yo, NULL);
    if (!tensor_ok(logits) || !tensor_ok(y)) return &t->k->poison;
    if (!labels_fit(logits, y))
        return fail(t, at, KILN_ESHAPE,
            "cross_entropy: needs logits [n, classes] and labels, integers [n] or probabilities "
            "[n, classes]: %s x %s",
            tensor_text(logits, a, sizeof a), tensor_text(y, b, sizeof b));
    if (!effect_least(t, at, "cross_entropy", logits, 1, 1)) return &t->k->poison;
    const bool labels = dtype_is_int((DType)y->type.dtype);
    if (labels && !effect_indices(t, at, "cross_entropy", y, logits->type.dim[1])) return &t->k->poison;
    Composite s = composite_begin(t, "cross_entropy");
    kiln_tensor *r = labels ? label_loss(t, at, logits, y) : kiln_mean_at(at, probability_losses(t, at, logits, y), KILN_ALL);
    return rounded(t, at, &s, r, logits);
}
