/* control_of: the calls of control.c with their operands as lists. */
#include "region.h"

bool kiln_cond_of_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise, kiln_operands in,
    kiln_tensor **out, int nout, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_cond", in, out, nout, kiln_cond_at(at, k, condition, then, otherwise, x, in.count, out, nout, user));
}

bool kiln_switch_of_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count, kiln_operands in,
    kiln_tensor **out, int nout, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_switch", in, out, nout, kiln_switch_at(at, k, selector, bodies, count, x, in.count, out, nout, user));
}

bool kiln_for_of_at(
    kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_operands carries, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(t, "kiln_for", carries, out, carries.count, kiln_for_at(at, k, count, body, x, carries.count, out, user));
}

bool kiln_while_of_at(kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body, kiln_operands carries,
    kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    WITH_TENSORS(
        t, "kiln_while", carries, out, carries.count, kiln_while_at(at, k, at_most, condition, body, x, carries.count, out, user));
}

bool list_scan(Thread *t, kiln_site at, kiln_scan_options *o)
{
    const kiln_operands carries = o->carries_in, xs = o->xs_in;
    if (carries.at || carries.count) {
        o->carries_count = carries.count;
        if (!(o->carries = list_tensors(t, at, "kiln_scan", carries, true))) return false;
    }
    if (!xs.at && !xs.count) return true;
    o->xs_count = xs.count;
    return (o->xs = list_tensors(t, at, "kiln_scan", xs, true));
}
