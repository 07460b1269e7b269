/* op_gather: gather and its adjoint, scatter_add. Relies on family. */
#include "family.h"

/* Out-of-range indices clamp, which needs somewhere to clamp to. */
static bool can_index(Infer *inf, Dim axis, const Type *indices)
{
    DimTable *t = rule_dims(inf);
    if (dim_lo(t, axis) >= 1 || type_elements(t, indices) == 0) return true;
    return infer_fail(inf, ST_SHAPE, "the indexed axis is, or may be, empty");
}

bool infer_gather(Infer *inf)
{
    const Type *x = inf->in[0], *indices = inf->in[1];
    const int64_t axis = ATTRS(gather, inf->attr)->axis;
    if (!rule_axis(inf, axis, x->rank)) return false;
    if (!dtype_is_int((DType)indices->dtype)) return infer_fail(inf, ST_DTYPE, "indices must be integers");
    if (x->rank - 1 + indices->rank > MAX_RANK) return infer_fail(inf, ST_SHAPE, "the result's rank is beyond %d", MAX_RANK);
    if (!can_index(inf, x->dim[axis], indices)) return false;
    Type out = {.dtype = x->dtype};
    for (int64_t i = 0; i < axis; i++) shape_push(&out, x->dim[i]);
    for (uint32_t i = 0; i < indices->rank; i++) shape_push(&out, indices->dim[i]);
    for (int64_t i = axis + 1; i < x->rank; i++) shape_push(&out, x->dim[i]);
    return rule_result(inf, &out);
}

void vjp_gather(Vjp *v)
{
    if (!v->wanted[0] || v->g[0] == 0) return;
    int64_t axis = ATTRS(gather, v->node->attr->at)->axis;
    const Type x = *v->e->type(v->e, v->in[0]);
    const int64_t attr[2] = {axis, x.dim[axis]};
    Value g = emit_wide(v->e, v->g[0]); /* sums of 16-bit floats round once */
    if (g != 0) g = v->e->op(v->e, OP_scatter_add, (Value[]){g, v->in[1]}, 2, attr, 2);
    v->dx[0] = emit_cast(v->e, g, (DType)x.dtype);
}

bool infer_scatter_add(Infer *inf)
{
    const Type *g = inf->in[0], *indices = inf->in[1];
    if (!dtype_is_int((DType)indices->dtype)) return infer_fail(inf, ST_DTYPE, "indices must be integers");
    if (!rule_domain(inf, 0, 'N')) return false;
    if (g->rank < indices->rank) return infer_fail(inf, ST_SHAPE, "the rank is below the indices'");
    if (g->rank - indices->rank + 1 > MAX_RANK) return infer_fail(inf, ST_SHAPE, "the result's rank is beyond %d", MAX_RANK);
    const struct scatter_add_attrs *to = ATTRS(scatter_add, inf->attr);
    if (!rule_axis(inf, to->axis, g->rank - indices->rank + 1u)) return false;
    const uint32_t axis = (uint32_t)to->axis;
    if (memcmp(g->dim + axis, indices->dim, indices->rank * sizeof *g->dim) != 0)
        return infer_fail(inf, ST_SHAPE, "the axes from %u on are not the indices'", axis);
    if (!can_index(inf, to->size, indices)) return false;
    Type out = {.dtype = g->dtype};
    for (uint32_t i = 0; i < axis; i++) shape_push(&out, g->dim[i]);
    shape_push(&out, to->size);
    for (uint32_t i = axis + indices->rank; i < g->rank; i++) shape_push(&out, g->dim[i]);
    return rule_result(inf, &out);
}

void vjp_scatter_add(Vjp *v)
{
    if (!v->wanted[0] || v->g[0] == 0) return;
    v->dx[0] = v->e->op(v->e, OP_gather, (Value[]){v->g[0], v->in[1]}, 2, &ATTRS(scatter_add, v->node->attr->at)->axis, 1);
}

/* The result's axes are (before, indices, after): the indices lie along those in the middle; x along the others and where its index
 * says. */
bool map_gather(const Mapping *p)
{
    const Type *t = mapped_result(p), *x = mapped_operand(p, 0), *indices = mapped_operand(p, 1);
    const uint32_t axis = (uint32_t)ATTRS(gather, p->n->attr->at)->axis;
    IndexMap seen, *out = &p->out->map;
    Dim size[3] = {1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++) {
        uint32_t part = i < axis ? 0 : i < axis + indices->rank ? 1 : 2;
        size[part] = dim_mul(p->env->dims, size[part], t->dim[i]);
    }
    if (!index_regroup(p->env, p->m, size, 3, &seen)) return false;
    map_push(out, seen.dim[1], &seen.at[1]);
    if (p->k == 1) return true;
    IndexExpr e = index_const(0);
    index_normalise(p->env, out);
    e.dyn = p->env->clamped != NULL ? p->env->clamped(p->env->user, p->n->in[1], out, x->dim[axis]) : -1;
    if (e.dyn < 0) return false;
    out->rank = 0;
    map_push(out, seen.dim[0], &seen.at[0]);
    map_push(out, x->dim[axis], &e);
    map_push(out, seen.dim[2], &seen.at[2]);
    return true;
}
