/* op_sort: the order of elements along an axis, as indices or as the elements themselves. Relies on family. */
#include "family.h"

static bool is_ordered(Infer *inf, int64_t axis, int64_t descending)
{
    if (!rule_axis(inf, axis, inf->in[0]->rank)) return false;
    return descending == 0 || descending == 1 || infer_fail(inf, ST_VALUE, "descending must be 0 or 1");
}

bool infer_argsort(Infer *inf)
{
    Type out = *inf->in[0];
    const struct argsort_attrs *a = ATTRS(argsort, inf->attr);
    out.dtype = DT_i64;
    return is_ordered(inf, a->axis, a->descending) && rule_result(inf, &out);
}

bool infer_sort(Infer *inf)
{
    const struct sort_attrs *a = ATTRS(sort, inf->attr);
    return is_ordered(inf, a->axis, a->descending) && rule_result(inf, inf->in[0]);
}

/* Each cotangent goes to where its element came from, as places of one line of all elements. */
void vjp_sort(Vjp *v)
{
    Emit *e = v->e;
    const struct sort_attrs *a = ATTRS(sort, v->node->attr->at);
    Type x = *e->type(e, v->in[0]), flat = {.dtype = x.dtype, .rank = 1, .dim = {1}};
    Dim after = 1;
    if (v->g[0] == 0) return;
    for (uint32_t i = 0; i < x.rank; i++) {
        flat.dim[0] = dim_mul(emit_dims(e), flat.dim[0], x.dim[i]);
        if (i > (uint32_t)a->axis) after = dim_mul(emit_dims(e), after, x.dim[i]);
    }
    const Value order = emit_attr(e, OP_argsort, v->in[0], ATTRS_OF(argsort, .axis = a->axis, .descending = a->descending));
    Value to = emit2(e, OP_sub, order, emit_iota(e, &x, a->axis)), zeros = emit_constant(e, 0, &flat);
    x.dtype = DT_i64;
    to = emit2(e, OP_mul, to, emit_broadcast(e, emit_extent(e, after), &x));
    to = emit2(e, OP_add, emit_reshape(e, to, &flat), emit_iota(e, &flat, 0));
    const Value in[3] = {zeros, to, emit_reshape(e, v->g[0], &flat)};
    if (in[0] == 0 || in[1] == 0 || in[2] == 0) return;
    v->dx[0] = emit_reshape(e, e->op(e, OP_scatter, in, 3, ATTRS_OF(scatter, .axis = 0, .fold = 0)), &x);
}
