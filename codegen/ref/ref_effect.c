/* ref_effect: assert. What it holds of undecided elements is for others to say. Relies on internal.h. */
#include "internal.h"

bool ref_assert(Run *r)
{
    const RefTensor *ok = r->in[0];
    for (int64_t i = 0; i < ok->count; i++)
        if (!ok->i[i] && !ok->undecided[i])
            return status_fail(r->st, ST_VALUE, "assert: element %lld does not hold (%s:%d)", (long long)i,
                r->node->loc.file != NULL ? r->node->loc.file : "?", r->node->loc.line);
    return true;
}
