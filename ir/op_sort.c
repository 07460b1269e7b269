/* op_sort: argsort, from which sorting and the largest few are made. Relies on family. */
#include "family.h"

bool infer_argsort(Infer *inf)
{
    Type out = *inf->in[0];
    const struct argsort_attrs *a = ATTRS(argsort, inf->attr);
    if (!rule_axis(inf, a->axis, out.rank)) return false;
    if (a->descending != 0 && a->descending != 1) return infer_fail(inf, ST_VALUE, "descending must be 0 or 1");
    out.dtype = DT_i64;
    return rule_result(inf, &out);
}
