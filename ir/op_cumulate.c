/* op_cumulate: results of which each element depends on all before it along an axis: cumsum cumprod recurrence. Relies on family.
 */
#include "family.h"

static bool cumulated(Infer *inf)
{
    const Type *x = inf->in[0];
    for (uint32_t i = 1; i < inf->nattr; i++)
        if (inf->attr[i] != 0 && inf->attr[i] != 1) return infer_fail(inf, ST_VALUE, "attribute %u must be 0 or 1", i);
    if (!rule_axis(inf, ATTRS(cumsum, inf->attr)->axis, x->rank) || !rule_domain(inf, 0, 'N')) return false;
    if (dtype_info[x->dtype].compute != x->dtype) return infer_fail(inf, ST_DTYPE, "cast 16-bit and 8-bit floats to f32 first");
    return rule_result(inf, x);
}

bool infer_cumsum(Infer *inf) { return cumulated(inf); }
bool infer_cumprod(Infer *inf) { return cumulated(inf); }

bool infer_recurrence(Infer *inf)
{
    if (!type_equal(inf->in[0], inf->in[1])) return infer_fail(inf, ST_SHAPE, "the operands must have the same dtype and shape");
    return cumulated(inf);
}

/* ---- gradients --------------------------------------------------------------------------------------- */

void vjp_cumsum(Vjp *v)
{
    const struct cumsum_attrs *a = ATTRS(cumsum, v->node->attr->at);
    v->dx[0] =
        emit_attr(v->e, OP_cumsum, v->g[0], ATTRS_OF(cumsum, .axis = a->axis, .reverse = !a->reverse, .exclusive = a->exclusive));
}

/* The elements that come next, or before, in the order in which they are met; 0 where there are none. */
static Value neighbours(Emit *e, Value x, int64_t axis, bool next, bool reverse)
{
    if (x == 0) return 0;
    const Dim n = e->type(e, x)->dim[axis];
    const bool from_end = next != reverse;                                                /* what lies at the higher index */
    Value longer = emit_pad(e, x, (uint32_t)axis, from_end ? 0 : 1, from_end ? 1 : 0, 0); /* first, as n may turn out to be 0 */
    return emit_slice(e, longer, (uint32_t)axis, from_end ? 1 : 0, n);
}

static Value recurrence(Emit *e, Value a, Value b, int64_t axis, bool reverse)
{
    if (a == 0 || b == 0) return 0;
    return e->op(e, OP_recurrence, (Value[]){a, b}, 2, ATTRS_OF(recurrence, .axis = axis, .reverse = reverse));
}

/* With s = g + next x * next s, from the end: the product of all before, times s. No division, so zeros are no special case. */
void vjp_cumprod(Vjp *v)
{
    Emit *e = v->e;
    const struct cumprod_attrs *a = ATTRS(cumprod, v->node->attr->at);
    Value g = v->g[0];
    if (g == 0) return;
    if (e->type(e, g)->dim[a->axis] == 0) {
        v->dx[0] = g;
        return;
    }
    Value before = emit_attr(e, OP_cumprod, v->in[0], ATTRS_OF(cumprod, .axis = a->axis, .reverse = a->reverse, .exclusive = 1));
    if (a->exclusive) g = neighbours(e, g, a->axis, true, a->reverse);
    v->dx[0] = emit2(e, OP_mul, before, recurrence(e, neighbours(e, v->in[0], a->axis, true, a->reverse), g, a->axis, !a->reverse));
}

/* s = g + next a * next s, from the end: that of b, and times the element before that of a. */
void vjp_recurrence(Vjp *v)
{
    Emit *e = v->e;
    const struct recurrence_attrs *a = ATTRS(recurrence, v->node->attr->at);
    if (v->g[0] == 0) return;
    if (e->type(e, v->g[0])->dim[a->axis] == 0) {
        v->dx[0] = v->dx[1] = v->g[0];
        return;
    }
    Value s = recurrence(e, neighbours(e, v->in[0], a->axis, true, a->reverse), v->g[0], a->axis, !a->reverse);
    if (v->wanted[0]) v->dx[0] = emit2(e, OP_mul, s, neighbours(e, v->out[0], a->axis, false, a->reverse));
    v->dx[1] = s;
}
