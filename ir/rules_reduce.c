/* rules_reduce: result types of reductions: the reduced axes go. Relies on rules. */
#include "rules.h"

static bool reduced(Infer *inf)
{
    if (!rule_axes(inf, inf->in[0]->rank)) return false;
    Type out = {.dtype = inf->in[0]->dtype};
    for (uint32_t i = 0, k = 0; i < inf->in[0]->rank; i++) {
        if (k < inf->nattr && inf->attr[k] == i)
            k++;
        else
            shape_push(&out, inf->in[0]->dim[i]);
    }
    return rule_result(inf, &out);
}

/* An extreme of nothing is no number; of bools it is false for max, true for min. Call when the axes are known to be good. */
static bool not_empty(Infer *inf)
{
    for (uint32_t i = 0; i < inf->nattr && inf->in[0]->dtype != DT_bool; i++)
        if (dim_lo(rule_dims(inf), inf->in[0]->dim[inf->attr[i]]) < 1)
            return infer_fail(
                inf, ST_SHAPE, "axis %lld is, or may be, empty", (long long)inf->attr[i]);
    return true;
}

bool infer_sum(Infer *inf) { return rule_domain(inf, 0, 'N') && reduced(inf); }

bool infer_prod(Infer *inf) { return rule_domain(inf, 0, 'N') && reduced(inf); }

bool infer_reduce_max(Infer *inf) { return reduced(inf) && not_empty(inf); }

bool infer_reduce_min(Infer *inf) { return reduced(inf) && not_empty(inf); }

bool infer_argmax(Infer *inf)
{
    if (!rule_domain(inf, 0, 'N') || !reduced(inf) || !not_empty(inf)) return false;
    inf->out[0].dtype = DT_i64;
    return true;
}

bool infer_argmin(Infer *inf) { return infer_argmax(inf); }
