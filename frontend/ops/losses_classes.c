/* losses_classes: cross-entropy and negative log-likelihood with all that models ask of them: any axis of classes, weights, labels
 * that do not count, smoothing. kiln_cross_entropy, the short way, stands in losses.c. Relies on losses.h and effect.h. */
#include "effect.h"
#include "losses.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))

typedef struct ClassLoss {
    Thread *t;
    kiln_site at;
    const char *op;
    kiln_class_loss o;
    int axis;
    kiln_tensor *x, *y; /* logits or logarithms of probabilities, as they were given; labels */
    Dim classes;
    bool labels;         /* y has integers, not probabilities */
    kiln_axes along;     /* the axis, which goes */
    kiln_operand weight; /* of the classes, broadcast along the other axes; only if .o.weight */
} ClassLoss;

/* The shape of x without the axis is y's. */
static bool labels_fit(const ClassLoss *l)
{
    const Type *x = &l->x->type, *y = &l->y->type;
    if (y->rank != x->rank - 1) return false;
    for (int a = 0; a < y->rank; a++)
        if (y->dim[a] != x->dim[a + (a >= l->axis)]) return false;
    return true;
}

static bool shapes_fit(ClassLoss *l)
{
    Thread *t = l->t;
    kiln_site at = l->at;
    char a[160], b[160];
    l->labels = dtype_is_int((DType)l->y->type.dtype);
    const bool fits = l->labels ? labels_fit(l) : l->y->type.dtype == l->x->type.dtype && same_shape(l->x, l->y);
    if (!fits)
        return fail(t, at, KILN_ESHAPE,
                   "%s: needs [n, classes, ...] and labels, integers of that shape without axis %d or probabilities of that shape "
                   "and "
                   "dtype: %s x %s",
                   l->op, l->axis, tensor_text(l->x, a, sizeof a), tensor_text(l->y, b, sizeof b)),
               false;
    if (!effect_least(t, at, l->op, l->x, l->axis, 1)) return false;
    const kiln_tensor *w = l->o.weight;
    if (!w) return true;
    if (!tensor_ok(operand_float(t, at, l->op, of(l->o.weight)))) return false;
    if (w->type.rank == 1 && w->type.dim[0] == l->classes) return true;
    return fail(t, at, KILN_ESHAPE, "%s: the weights must be as many as the classes: %s x %s", l->op,
               tensor_text(l->x, a, sizeof a), tensor_text(w, b, sizeof b)),
           false;
}

/* v [classes] as [1, ..., classes, ..., 1] */
static kiln_operand along_classes(const ClassLoss *l, kiln_tensor *v)
{
    Dim dim[MAX_RANK];
    for (int a = 0; a < l->x->type.rank; a++) dim[a] = a == l->axis ? l->classes : 1;
    return of(tensor_ok(v) ? reshape_to(l->t, l->at, v, dim, l->x->type.rank) : v);
}

/* For each class whether it is the label's. */
static kiln_operand is_labels(const ClassLoss *l, kiln_tensor *y)
{
    kiln_site at = l->at;
    DType d = (DType)y->type.dtype;
    if (extent_hi(l->t, l->classes) - 1 > dtype_info[d].hi)
        y = cast_to(l->t, at, y, d = DT_i64); /* otherwise the iota would wrap */
    kiln_tensor *count = iota_of(l->t, at, &(Type){.dtype = (uint8_t)d, .rank = 1, .dim = {l->classes}}, 0, y);
    return OP2(eq, OP2(expand, of(y), l->axis), along_classes(l, count));
}

/* The sum over the classes of what holds there, for each label. */
static kiln_operand picked(const ClassLoss *l, kiln_operand hot, kiln_operand v)
{
    kiln_site at = l->at;
    return OP2(sum, WHERE(hot, v, kiln_of_i(0)), l->along);
}

/* What the labels' own classes have of the logarithms, and of the weights; 16-bit floats widened. One element for each label is
 * read where logarithms lie in memory; where they are computed in the same kernel, all are. Either way it is a sum of 0 and the
 * element. */
static kiln_operand own_logs(const ClassLoss *l, kiln_operand hot, kiln_operand logs, kiln_operand index)
{
    kiln_site at = l->at;
    if (hot.as.tensor) return picked(l, hot, logs);
    index = OP2(expand, index, l->axis);
    if (!tensor_ok(index.as.tensor) || !tensor_ok(logs.as.tensor)) return of(&l->t->k->poison);
    kiln_tensor *own = take_along(l->t, at, logs.as.tensor, index.as.tensor, l->axis);
    return OP2(add, OP2(squeeze, wide_of(l->t, at, own), l->axis), kiln_of_i(0));
}

static kiln_operand own_weights(const ClassLoss *l, kiln_operand hot, kiln_operand index)
{
    kiln_site at = l->at;
    if (!l->o.weight) return kiln_of_i(1);
    if (hot.as.tensor) return picked(l, hot, l->weight);
    kiln_tensor *w = cast_to(l->t, at, l->o.weight, wide_dtype(l->x));
    if (!tensor_ok(w) || !tensor_ok(index.as.tensor)) return of(&l->t->k->poison);
    return OP2(add, of(apply2(l->t, at, OP_gather, w, index.as.tensor, ATTRS_OF(gather, .axis = 0))), kiln_of_i(0));
}

static kiln_operand weighed(const ClassLoss *l, kiln_operand v)
{
    kiln_site at = l->at;
    return l->o.weight ? OP2(mul, v, l->weight) : v;
}

static kiln_operand log_probabilities(const ClassLoss *l, kiln_operand x, bool logits)
{
    kiln_site at = l->at;
    return logits ? OP2(log_softmax, x, l->axis) : x;
}

static kiln_operand part_of_class(const ClassLoss *l, DType d)
{
    kiln_site at = l->at;
    return OP2(div, kiln_of_f(l->o.smoothing), of(dim_tensor(l->t, at, l->classes, d)));
}

/* Elements that do not count have loss and gradient 0, whatever they hold. */
static kiln_tensor *of_labels(ClassLoss *l, bool logits)
{
    kiln_site at = l->at;
    Thread *t = l->t;
    const DType d = (DType)l->y->type.dtype, wide = wide_dtype(l->x);
    kiln_operand y = of(l->y), ignored = kiln_of_i(0);
    const bool ignores = l->o.ignores && l->o.ignore >= dtype_info[d].lo && l->o.ignore <= dtype_info[d].hi;
    if (ignores) {
        ignored = OP2(eq, y, kiln_of_i(l->o.ignore));
        y = WHERE(ignored, kiln_of_i(0), y);
    }
    if (!tensor_ok(y.as.tensor) || !effect_indices(t, at, l->op, y.as.tensor, l->classes)) return &t->k->poison;
    kiln_operand counts = of(is_index(t, at, y.as.tensor, l->classes));
    if (ignores) counts = OP2(and, counts, OP1(not, ignored));
    const bool sums = l->o.smoothing > 0, fused = logits && (t->trace || t->recording != 0);
    kiln_operand logs = of(l->x), hot = {0}, index = {0};
    if (sums || logits) {
        kiln_operand in = wide_of(t, at, l->x);
        if (sums || fused) in = WHERE(OP2(expand, counts, l->axis), in, OP1(stop_gradient, in));
        logs = log_probabilities(l, in, logits);
    }
    if (fused)
        hot = is_labels(l, y.as.tensor);
    else
        index = of(index_clamped(t, at, y.as.tensor, l->classes));
    kiln_operand own = own_weights(l, hot, index), each = own_logs(l, hot, logs, index);
    if (!fused) each = WHERE(counts, each, OP1(stop_gradient, each));
    each = OP1(neg, each);
    if (l->o.weight) each = OP2(mul, each, own);
    if (sums) {
        kiln_operand all = OP2(mul, OP2(sum, weighed(l, logs), l->along), part_of_class(l, wide));
        each = OP2(sub, OP2(mul, each, kiln_of_f(1 - l->o.smoothing)), all);
    }
    each = WHERE(counts, each, kiln_of_i(0));
    if (l->o.how != KILN_LOSS_MEAN) return loss_reduced(t, at, l->op, each.as.tensor, l->o.how);
    kiln_operand n = OP2(sum, l->o.weight ? WHERE(counts, own, kiln_of_i(0)) : of(kiln_cast_at(at, counts, KILN_I64)), KILN_ALL);
    n = WHERE(OP2(eq, n, kiln_of_i(0)), kiln_of_i(1), n);
    if (!tensor_ok(n.as.tensor)) return n.as.tensor;
    return kiln_div_at(at, OP2(sum, each, KILN_ALL), of(cast_to(t, at, n.as.tensor, wide)));
}

/* A class of probability 0 and logarithm minus infinity adds nothing. */
static kiln_tensor *of_probabilities(ClassLoss *l, bool logits)
{
    kiln_site at = l->at;
    const DType wide = wide_dtype(l->x);
    kiln_operand p = wide_of(l->t, at, l->y), logs = log_probabilities(l, wide_of(l->t, at, l->x), logits);
    if (l->o.smoothing > 0) p = OP2(add, OP2(mul, p, kiln_of_f(1 - l->o.smoothing)), part_of_class(l, wide));
    kiln_operand none = OP2(and, OP2(eq, p, kiln_of_i(0)), OP2(eq, logs, kiln_of_f(-INFINITY)));
    kiln_operand each = OP2(mul, p, WHERE(none, kiln_of_i(0), logs));
    each = OP1(neg, OP2(sum, weighed(l, each), l->along));
    return loss_reduced(l->t, at, l->op, each.as.tensor, l->o.how);
}

static kiln_tensor *class_loss(
    kiln_site at, const char *op, kiln_operand xo, kiln_operand yo, const kiln_class_loss *options, size_t size, bool logits)
{
    kiln_operand both[2] = {xo, yo};
    char text[160];
    ClassLoss l = {.t = op_thread(both, 2), .at = at, .op = op};
    Thread *t = l.t;
    if (!t) return NULL;
    if (options) memcpy(&l.o, options, MIN_OF(size, sizeof l.o));
    if (!loss_how_ok(t, at, op, l.o.how)) return &t->k->poison;
    if (!(l.o.smoothing >= 0 && l.o.smoothing < 1))
        return fail(t, at, KILN_EVALUE, "%s: the smoothing is %g; it must lie in [0, 1)", op, l.o.smoothing);
    l.x = operand_float(t, at, op, xo), l.y = operand_named(t, at, op, yo, NULL);
    if (!tensor_ok(l.x) || !tensor_ok(l.y)) return &t->k->poison;
    if (l.x->type.rank < 1)
        return fail(t, at, KILN_ESHAPE, "%s: needs an axis of classes: %s", op, tensor_text(l.x, text, sizeof text));
    l.axis = l.o.axis != 0 ? l.o.axis : l.x->type.rank > 1;
    if (!axis_of(t, at, op, l.axis, l.x->type.rank, &l.axis)) return &t->k->poison;
    l.classes = l.x->type.dim[l.axis];
    l.along = (kiln_axes){0, 1, {0, l.axis}};
    if (!shapes_fit(&l)) return &t->k->poison;
    Composite s = composite_begin(t, op);
    if (l.o.weight) l.weight = along_classes(&l, cast_to(t, at, l.o.weight, wide_dtype(l.x)));
    kiln_tensor *r = l.labels ? of_labels(&l, logits) : of_probabilities(&l, logits);
    return composite_end(t, &s, tensor_ok(r) ? cast_to(t, at, r, (DType)l.x->type.dtype) : r);
}

kiln_tensor *kiln_softmax_cross_entropy_sized(
    kiln_site at, kiln_operand logits, kiln_operand labels, const kiln_class_loss *options, size_t size)
{
    return class_loss(at, "softmax_cross_entropy", logits, labels, options, size, true);
}

kiln_tensor *kiln_nll_sized(
    kiln_site at, kiln_operand log_probabilities, kiln_operand labels, const kiln_class_loss *options, size_t size)
{
    return class_loss(at, "nll", log_probabilities, labels, options, size, false);
}
