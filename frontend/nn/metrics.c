/* metrics: running means, kept as a sum and a count in f64 variables, so that updates trace like everything else. */
#include <kiln/nn.h>
#include <math.h>

#include "../object.h"
#include "../operand.h"

struct kiln_metric {
    Object o;
    kiln_variable *sum, *count; /* f64[] */
    bool accuracy;
};

static kiln_metric *metric_new(kiln_site at, kiln *k, bool accuracy)
{
    kiln_metric *m = object_new(at, k, sizeof *m, NULL);
    if (!m) return NULL;
    kiln_scope scope = kiln_scope_open(k);
    m->accuracy = accuracy;
    m->sum = kiln_variable_new_at(at, k, "metric/sum", kiln_of_tensor(kiln_scalar(k, KILN_F64, 0)));
    m->count =
        kiln_variable_new_at(at, k, "metric/count", kiln_of_tensor(kiln_scalar(k, KILN_F64, 0)));
    kiln_scope_close(&scope);
    if (m->sum && m->count) return m;
    kiln_metric_free(m);
    return NULL;
}

kiln_metric *kiln_mean_metric_at(kiln_site at, kiln *k) { return metric_new(at, k, false); }

kiln_metric *kiln_accuracy_metric_at(kiln_site at, kiln *k) { return metric_new(at, k, true); }

void kiln_metric_update_at(kiln_site at, kiln_metric *m, kiln_operand x, kiln_operand labels)
{
    if (!m) {
        fail(thread_last(), at, KILN_ESTATE, "metric: it is NULL");
        return;
    }
    Thread *t = thread_of(m->o.k);
    Type f64 = {.dtype = DT_f64};
    Composite c = composite_begin(t, "metric");
    kiln_tensor *v = operand_named(t, at, "metric", x, &f64);
    if (m->accuracy && tensor_ok(v)) {
        kiln_tensor *best = kiln_argmax_at(at, kiln_of_tensor(v), -1);
        kiln_tensor *right = operand_named(t, at, "metric", labels, &f64);
        right = tensor_ok(right) ? kiln_cast_at(at, kiln_of_tensor(right), KILN_I64) : right;
        v = kiln_eq_at(at, kiln_of_tensor(best), kiln_of_tensor(right));
    }
    if (tensor_ok(v)) {
        v = kiln_cast_at(at, kiln_of_tensor(v), KILN_F64);
        kiln_tensor *n = kiln_sum_at(at, kiln_of_tensor(kiln_ones_like_at(at, kiln_of_tensor(v))), KILN_ALL);
        kiln_assign_add_at(at, m->sum, kiln_of_tensor(kiln_sum_at(at, kiln_of_tensor(v), KILN_ALL)));
        kiln_assign_add_at(at, m->count, kiln_of_tensor(n));
    }
    composite_end(t, &c, NULL);
}

double kiln_metric_result_at(kiln_site at, kiln_metric *m)
{
    if (!m) return NAN;
    Thread *t = thread_of(m->o.k);
    Composite c = composite_begin(t, "metric");
    double sum = kiln_item_at(at, kiln_of_variable(m->sum)),
           count = kiln_item_at(at, kiln_of_variable(m->count));
    composite_end(t, &c, NULL);
    return sum / count;
}

void kiln_metric_reset(kiln_metric *m)
{
    if (!m) return;
    kiln_assign(m->sum, 0);
    kiln_assign(m->count, 0);
}

void kiln_metric_free(kiln_metric *m)
{
    if (!m) return;
    kiln_variable_free(m->sum);
    kiln_variable_free(m->count);
    object_free(&m->o);
}
