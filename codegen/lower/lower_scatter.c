/* lower_scatter: lowers scatter to two steps: one copies the operand's elements, then a kernel folds in each index's update, in
 * order. Relies on lower.h. */
#include "lower.h"

/* The extents of axes (before, after, indices). */
static void extents(DimTable *dims, const Graph *g, const Node *n, Dim *extent)
{
    const Type *updates = graph_type(g, n->in[2]), *index = graph_type(g, n->in[1]);
    const uint32_t axis = (uint32_t)ATTRS(scatter, n->attr->at)->axis;
    extent[0] = extent[1] = extent[2] = 1;
    for (uint32_t i = 0; i < updates->rank; i++) {
        uint32_t part = i < axis ? 0 : i < axis + index->rank ? 2 : 1;
        extent[part] = dim_mul(dims, extent[part], updates->dim[i]);
    }
}

static bool draft(Build *b, const void *with)
{
    const Node *n = with;
    const struct scatter_attrs *a = ATTRS(scatter, n->attr->at);
    const Type *x = graph_type(b->g, n->out);
    const Dim size = x->dim[a->axis];
    Dim e[3];
    extents(b->lw->dims, b->g, n, e);
    const IndexExpr axis[3] = {index_axis(0, 1), index_axis(1, 1), index_axis(2, 1)};
    IndexMap at = {.rank = 1, .dim = {e[2]}, .at = {axis[2]}};
    IndexMap from = {.rank = 3, .dim = {e[0], e[2], e[1]}, .at = {axis[0], axis[2], axis[1]}};
    index_normalise(&b->env, &at);
    index_normalise(&b->env, &from);
    int32_t index = build_value(b, n->in[1], &at);
    if (index < 0) return false;
    IndexExpr where = index_const(0);
    where.dyn = build_clamped(b, index, size);
    IndexMap to = {.rank = 3, .dim = {e[0], size, e[1]}, .at = {axis[0], where, axis[1]}};
    int32_t update = build_value(b, n->in[2], &from);
    return build_store(
        b, build_stream(b, b->group->nin, (DType)x->dtype, &to), update, a->fold > R_MIN ? STORE_SETS : (uint8_t)(1 + a->fold));
}

bool lower_scatter(Scope *s, const Node *n)
{
    const Dim size = graph_type(s->g, n->out)->dim[ATTRS(scatter, n->attr->at)->axis];
    DimTable *dims = s->lw->dims;
    Group group;
    uint32_t *buf = scope_operands(s, n, &group, 1), out = scope_result(s, n->out);
    buf[group.nin] = out;
    bool ok = out != NO_BUF && scope_write(s, n->in[0], group, buf);
    group.draft = draft;
    group.with = n;
    group.nout = 1;
    group.naxis = 3;
    group.sweep = 2;
    extents(dims, s->g, n, group.extent);
    if (dim_lo(dims, size) < 1 &&
        !dim_is_counted(dims, size)) /* into an axis that is empty nothing is written: min(1, size) times */
        group.extent[2] = dim_mul(dims, group.extent[2], dim_sub(dims, 1, dim_max(dims, 0, dim_sub(dims, 1, size))));
    ok = ok && scope_kernel(s, &group, buf);
    scope_operands_end(s, n);
    return ok;
}
