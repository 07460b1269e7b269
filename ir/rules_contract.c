/* rules_contract: the result type of matmul. Relies on rules. */
#include "rules.h"

bool infer_matmul(Infer *inf)
{
    const Type *x = inf->in[0], *y = inf->in[1];
    if (x->rank < 2 || y->rank < 2) return infer_fail(inf, ST_SHAPE, "needs matrices");
    if (x->dtype != y->dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
    if (!rule_domain(inf, 0, 'F')) return false;
    uint32_t lead = x->rank - 2u;
    if (x->rank != y->rank || memcmp(x->dim, y->dim, lead * sizeof *x->dim) != 0)
        return infer_fail(inf, ST_SHAPE, "leading sizes differ");
    if (x->dim[lead + 1] != y->dim[lead]) return infer_fail(inf, ST_SHAPE, "inner sizes differ");
    Type out = *x;
    out.dim[lead + 1] = y->dim[lead + 1];
    return rule_result(inf, &out);
}
