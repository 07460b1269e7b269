/* metrics: running means, kept as a sum and a count in f64 variables, so that updates trace like everything else. */
#include <kiln/nn.h>
#include <math.h>

#include "../ops/effect.h"
#include "../ops/ops.h"

struct kiln_metric {
    Object o;
    kiln_variable *sum, *count; /* f64[] */
    bool accuracy;
};

static kiln_metric *metric_new(kiln_site at, kiln *k, bool accuracy)
{
    kiln_metric *m = object_new(at, k, sizeof *m, NULL);
    if (!m) return NULL;
    Thread *t = thread_of(k);
    kiln_scope scope = kiln_scope_open(k);
    const uint8_t own = t->device;
    t->device = HOST; /* one element each, which goes along to the device of what is counted */
    m->accuracy = accuracy;
    m->sum = kiln_variable_new_at(at, k, "metric/sum", kiln_of_tensor(kiln_scalar(k, KILN_F64, 0)));
    m->count = kiln_variable_new_at(at, k, "metric/count", kiln_of_tensor(kiln_scalar(k, KILN_F64, 0)));
    t->device = own;
    kiln_scope_close(&scope);
    if (m->sum && m->count) return m;
    kiln_metric_free(m);
    return NULL;
}

kiln_metric *kiln_mean_metric_at(kiln_site at, kiln *k) { return metric_new(at, k, false); }

kiln_metric *kiln_accuracy_metric_at(kiln_site at, kiln *k) { return metric_new(at, k, true); }

static kiln_tensor *refused(Thread *t, kiln_site at, kiln_code code, const char *why, const kiln_tensor *x, const kiln_tensor *y)
{
    char a[160], b[160];
    return fail(t, at, code, "metric: %s: %s x %s", why, tensor_text(x, a, sizeof a), tensor_text(y, b, sizeof b));
}

/* Per row, whether the class with the largest logit is the label. Nothing broadcasts: [n, 1] against [n] would compare each row
 * with all labels. */
static kiln_tensor *right(Thread *t, kiln_site at, kiln_operand logits, kiln_operand labels)
{
    if (operand_is_number(labels))
        return fail(t, at, KILN_EVALUE, "metric: accuracy needs a tensor of labels (kiln_metric_update_labels)");
    kiln_tensor *x = operand_named(t, at, "metric", logits, NULL), *y = operand_named(t, at, "metric", labels, NULL);
    if (!tensor_ok(x) || !tensor_ok(y)) return &t->k->poison;
    const int rank = y->type.rank;
    if (x->type.rank != rank + 1 || memcmp(x->type.dim, y->type.dim, (size_t)rank * sizeof y->type.dim[0]) != 0)
        return refused(t, at, KILN_ESHAPE, "needs logits [..., classes] and labels [...]", x, y);
    if (!dtype_is_int((DType)y->type.dtype)) return refused(t, at, KILN_EDTYPE, "the labels must be integers", x, y);
    kiln_tensor *best = kiln_argmax_at(at, kiln_of_tensor(x), -1);
    if (!tensor_ok(best) || !effect_indices(t, at, "metric", y, x->type.dim[rank])) return &t->k->poison;
    return kiln_eq_at(at, kiln_of_tensor(best), kiln_of_tensor(cast_to(t, at, y, DT_i64)));
}

/* v and the sum of all of x. */
static kiln_tensor *added(kiln_site at, kiln_variable *v, kiln_tensor *x)
{
    return kiln_add_at(at, kiln_of_variable(v), kiln_of_tensor(kiln_sum_at(at, kiln_of_tensor(x), KILN_ALL)));
}

void kiln_metric_update_at(kiln_site at, kiln_metric *m, kiln_operand x, kiln_operand labels)
{
    if (!m) {
        fail(thread_last(), at, KILN_ESTATE, "metric: the metric is NULL");
        return;
    }
    Thread *t = thread_of(m->o.k);
    Composite c = composite_begin(t, "metric");
    kiln_tensor *v = m->accuracy ? right(t, at, x, labels) : operand_named(t, at, "metric", x, &(Type){.dtype = DT_f64});
    if (tensor_ok(v) && !m->accuracy && !operand_is_number(labels)) v = fail(t, at, KILN_EVALUE, "metric: a mean takes no labels");
    if (tensor_ok(v)) {
        v = kiln_cast_at(at, kiln_of_tensor(v), KILN_F64);
        kiln_tensor *n = kiln_ones_like_at(at, kiln_of_tensor(v));
        const Assignment both[2] = {{m->sum, added(at, m->sum, v)}, {m->count, added(at, m->count, n)}};
        if (composite_well(t, &c)) assign_all(t, at, both, 2);
    }
    composite_end(t, &c, NULL);
}

double kiln_metric_result_at(kiln_site at, kiln_metric *m)
{
    if (!m) return NAN;
    Thread *t = thread_of(m->o.k);
    Composite c = composite_begin(t, "metric");
    double sum = kiln_item_at(at, kiln_of_variable(m->sum)), count = kiln_item_at(at, kiln_of_variable(m->count));
    composite_end(t, &c, NULL);
    return sum / count;
}

void kiln_metric_reset(kiln_metric *m)
{
    if (!m) return;
    const kiln_site at = {NULL, 0};
    Thread *t = thread_of(m->o.k);
    if (!t) return;
    Composite c = composite_begin(t, "metric");
    kiln_tensor *zero = kiln_full_at(at, m->o.k, KILN_F64, KILN_SHAPE(), kiln_of_i(0));
    if (composite_well(t, &c)) assign_all(t, at, (const Assignment[]){{m->sum, zero}, {m->count, zero}}, 2);
    composite_end(t, &c, NULL);
}

void kiln_metric_free(kiln_metric *m)
{
    if (!m) return;
    kiln_variable_free(m->sum);
    kiln_variable_free(m->count);
    object_free(&m->o);
}
