/* losses: softmax and its kin, layer normalisation, losses: composites over public ops. Relies on
 * operand.h. Never has a gradient of its own; the maximum that is subtracted for the sake of range
 * carries none, because the results do not depend on it. */
#include "operand.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* Along one axis of floats: the operand, checked, with the axis counted from the front. NULL: stop
 * and return *r. */
static kiln_tensor *along(
    kiln_site at, const char *op, kiln_operand o, int *axis, Thread **t, kiln_tensor **r)
{
    *r = NULL;
    if ((*t = op_thread(&o, 1)) == NULL) return NULL;
    kiln_tensor *x = operand_float(*t, at, op, o);
    *r = &(*t)->k->poison;
    if (!tensor_ok(x) || !axis_of(*t, at, op, *axis, x->type.rank, axis)) return NULL;
    return x;
}

/* x - max along the axis */
static kiln_operand shifted(kiln_site at, kiln_operand x, int axis)
{
    return OP2(sub, x, OP1(stop_gradient, OP2(reduce_max, x, KILN_KEEP(axis))));
}

kiln_tensor *kiln_softmax_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    kiln_tensor *r, *x = along(at, "softmax", o, &axis, &t, &r);
    if (x == NULL) return r;
    kiln_scope s = kiln_scope_open(t->k);
    kiln_operand e = OP1(exp, shifted(at, of(x), axis));
    return composite_end(t, &s, kiln_div_at(at, e, OP2(sum, e, KILN_KEEP(axis))));
}

static kiln_tensor *log_softmax(kiln_site at, kiln_operand x, int axis)
{
    kiln_operand z = shifted(at, x, axis);
    return kiln_sub_at(at, z, OP1(log, OP2(sum, OP1(exp, z), KILN_KEEP(axis))));
}

kiln_tensor *kiln_log_softmax_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    kiln_tensor *r, *x = along(at, "log_softmax", o, &axis, &t, &r);
    if (x == NULL) return r;
    kiln_scope s = kiln_scope_open(t->k);
    return composite_end(t, &s, log_softmax(at, of(x), axis));
}

kiln_tensor *kiln_logsumexp_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    kiln_tensor *r, *x = along(at, "logsumexp", o, &axis, &t, &r);
    if (x == NULL) return r;
    kiln_scope s = kiln_scope_open(t->k);
    /* An infinite maximum is not subtracted: inf - inf is not a number. */
    kiln_operand m = OP1(stop_gradient, OP2(reduce_max, of(x), KILN_KEEP(axis)));
    m = of(kiln_where_at(at, OP1(isfinite, m), m, kiln_of_f(0)));
    kiln_operand sum = OP2(sum, OP1(exp, OP2(sub, of(x), m)), KILN_AXES(axis));
    return composite_end(t, &s, kiln_add_at(at, OP1(log, sum), OP2(squeeze, m, axis)));
}

/* ---- layer normalisation -------------------------------------------------------------------- */

static bool is_none(kiln_operand o) { return o.kind == 1 && o.as.tensor == NULL; }

/* scale or shift: [last]. False: recorded. */
static bool per_element(Thread *t, kiln_site at, const kiln_tensor *x, kiln_tensor *p)
{
    char a[160], b[160];
    if (p->type.rank == 1 && p->type.dim[0] == x->type.dim[x->type.rank - 1]) return true;
    fail(t, at, KILN_ESHAPE, "layernorm: scale and shift have the size of the last axis: %s x %s",
        tensor_text(x, a, sizeof a), tensor_text(p, b, sizeof b));
    return false;
}

kiln_tensor *kiln_layernorm_at(
    kiln_site at, kiln_operand o, kiln_operand scale, kiln_operand shift, double epsilon)
{
    Thread *t;
    int axis = -1;
    kiln_operand p[2] = {scale, shift};
    kiln_tensor *r, *x = along(at, "layernorm", o, &axis, &t, &r);
    if (x == NULL) return r;
    if (!(epsilon >= 0)) return fail(t, at, KILN_EVALUE, "layernorm: epsilon is %g", epsilon);
    kiln_scope s = kiln_scope_open(t->k);
    kiln_operand centred = OP2(sub, of(x), OP2(mean, of(x), KILN_KEEP(axis)));
    kiln_operand spread = OP2(mean, OP1(square, centred), KILN_KEEP(axis));
    r = kiln_div_at(
        at, centred, OP1(sqrt, OP2(add, spread, kiln_of_f(epsilon == 0 ? 1e-5 : epsilon))));
    for (int i = 0; i < 2; i++) {
        if (is_none(p[i])) continue;
        kiln_tensor *w = operand_named(t, at, "layernorm", p[i], NULL);
        if (!tensor_ok(w) || !per_element(t, at, x, w)) return composite_end(t, &s, &t->k->poison);
        r = i == 0 ? kiln_mul_at(at, of(r), of(w)) : kiln_add_at(at, of(r), of(w));
    }
    return composite_end(t, &s, r);
}

/* ---- losses --------------------------------------------------------------------------------- */

static bool same_shape(const kiln_tensor *a, const kiln_tensor *b)
{
    return a->type.rank == b->type.rank &&
           memcmp(a->type.dim, b->type.dim, a->type.rank * sizeof a->type.dim[0]) == 0;
}

kiln_tensor *kiln_mse_at(kiln_site at, kiln_operand prediction, kiln_operand target)
{
    kiln_operand o[2] = {prediction, target};
    char a[160], b[160];
    kiln_tensor *in[2];
    Thread *t = op_thread(o, 2);
    if (t == NULL) return NULL;
    for (int i = 0; i < 2; i++) {
        if (operand_is_number(o[i]) && !operand_is_number(o[1 - i])) continue;
        in[i] = operand_float(t, at, "mse", o[i]);
        if (!tensor_ok(in[i])) return in[i];
        o[i] = of(in[i]);
    }
    /* [n, 1] against [n] would broadcast to [n, n] and teach the wrong thing. */
    if (o[0].kind == 1 && o[1].kind == 1 && !same_shape(in[0], in[1]))
        return fail(t, at, KILN_ESHAPE, "mse: prediction and target differ in shape: %s x %s",
            tensor_text(in[0], a, sizeof a), tensor_text(in[1], b, sizeof b));
    kiln_scope s = kiln_scope_open(t->k);
    return composite_end(t, &s, kiln_mean_at(at, OP1(square, OP2(sub, o[0], o[1])), KILN_ALL));
}

/* -log softmax at each label, [n]: log(sum(exp z)) - z[label], z being the logits less their
 * maximum. */
static kiln_operand label_losses(Thread *t, kiln_site at, kiln_tensor *logits, kiln_tensor *labels)
{
    kiln_operand z = shifted(at, of(logits), 1),
                 hot = of(is_class(t, at, labels, logits->type.dim[1]));
    kiln_operand chosen = OP2(sum, of(kiln_where_at(at, hot, z, kiln_of_f(0))), KILN_AXES(1));
    return OP2(sub, OP1(log, OP2(sum, OP1(exp, z), KILN_AXES(1))), chosen);
}

static kiln_operand probability_losses(kiln_site at, kiln_tensor *logits, kiln_tensor *p)
{
    return OP1(neg, OP2(sum, OP2(mul, of(p), of(log_softmax(at, of(logits), 1))), KILN_AXES(1)));
}

static bool labels_fit(const kiln_tensor *logits, const kiln_tensor *labels)
{
    if (logits->type.rank != 2) return false;
    if (dtype_is_int((DType)labels->type.dtype))
        return labels->type.rank == 1 && labels->type.dim[0] == logits->type.dim[0];
    return labels->type.dtype == logits->type.dtype && same_shape(logits, labels);
}

kiln_tensor *kiln_cross_entropy_at(kiln_site at, kiln_operand lo, kiln_operand yo)
{
    kiln_operand o[2] = {lo, yo};
    char a[160], b[160];
    Thread *t = op_thread(o, 2);
    if (t == NULL) return NULL;
    kiln_tensor *logits = operand_float(t, at, "cross_entropy", lo),
                *y = operand_named(t, at, "cross_entropy", yo, NULL);
    if (!tensor_ok(logits) || !tensor_ok(y)) return &t->k->poison;
    if (!labels_fit(logits, y))
        return fail(t, at, KILN_ESHAPE,
            "cross_entropy: needs logits [n, classes] and labels, integers [n] or probabilities "
            "[n, classes]: %s x %s",
            tensor_text(logits, a, sizeof a), tensor_text(y, b, sizeof b));
    kiln_scope s = kiln_scope_open(t->k);
    kiln_operand each = dtype_is_int((DType)y->type.dtype) ? label_losses(t, at, logits, y)
                                                           : probability_losses(at, logits, y);
    return composite_end(t, &s, kiln_mean_at(at, each, KILN_ALL));
}
