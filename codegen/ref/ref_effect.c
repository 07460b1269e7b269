/* ref_effect: effects, and ops that another part of Kiln runs. Whether an assertion on undecided elements holds is not decided
 * here. Relies on internal.h. */
#include "internal.h"

bool ref_assert(Run *r)
{
    const RefTensor *ok = r->in[0];
    for (int64_t i = 0; i < ok->count; i++)
        if (!ok->i[i] && !ok->undecided[i])
            return status_fail(r->st, ST_VALUE, "assert: element %lld does not hold (%s:%d)", (long long)i,
                r->node->loc.file ? r->node->loc.file : "?", r->node->loc.line);
    return true;
}

bool ref_print(Run *r)
{
    (void)r; /* it is asked for values */
    return true;
}

bool ref_saved(Run *r)
{
    ref_copy_all(&r->out[0], r->in[1]);
    return true;
}

static bool foreign(Run *r)
{
    return status_fail(r->st, ST_UNSUPPORTED, "the reference interpreter cannot run %s", op_def[r->node->op].name);
}

bool ref_callback(Run *r) { return r->node->nout == 0 || foreign(r); }
bool ref_call(Run *r) { return foreign(r); }
bool ref_param(Run *r) { return foreign(r); }
