/* rules_index: result types of gather and its adjoint, and of the ops that make values: constant
 * iota dim_size random_bits param; and cast. Relies on rules. */
#include "rules.h"

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
    if (!rule_axis(inf, inf->attr[0], x->rank)) return false;
    uint32_t axis = (uint32_t)inf->attr[0];
    if (!dtype_is_int((DType)indices->dtype))
        return infer_fail(inf, ST_DTYPE, "indices must be integers");
    if (x->rank - 1 + indices->rank > MAX_RANK)
        return infer_fail(inf, ST_SHAPE, "the result's rank is beyond %d", MAX_RANK);
    if (!can_index(inf, x->dim[axis], indices)) return false;
    Type out = {.dtype = x->dtype};
    for (uint32_t i = 0; i < axis; i++) shape_push(&out, x->dim[i]);
    for (uint32_t i = 0; i < indices->rank; i++) shape_push(&out, indices->dim[i]);
    for (uint32_t i = axis + 1; i < x->rank; i++) shape_push(&out, x->dim[i]);
    return rule_result(inf, &out);
}

bool infer_scatter_add(Infer *inf)
{
    const Type *g = inf->in[0], *indices = inf->in[1];
    if (!dtype_is_int((DType)indices->dtype))
        return infer_fail(inf, ST_DTYPE, "indices must be integers");
    if (!rule_domain(inf, 0, 'N')) return false;
    if (g->rank < indices->rank) return infer_fail(inf, ST_SHAPE, "the rank is below the indices'");
    if (g->rank - indices->rank + 1 > MAX_RANK)
        return infer_fail(inf, ST_SHAPE, "the result's rank is beyond %d", MAX_RANK);
    if (!rule_axis(inf, inf->attr[0], g->rank - indices->rank + 1u)) return false;
    uint32_t axis = (uint32_t)inf->attr[0];
    if (memcmp(g->dim + axis, indices->dim, indices->rank * sizeof *g->dim) != 0)
        return infer_fail(inf, ST_SHAPE, "the axes from %u on are not the indices'", axis);
    if (!can_index(inf, inf->attr[1], indices)) return false;
    Type out = {.dtype = g->dtype};
    for (uint32_t i = 0; i < axis; i++) shape_push(&out, g->dim[i]);
    shape_push(&out, inf->attr[1]);
    for (uint32_t i = axis + indices->rank; i < g->rank; i++) shape_push(&out, g->dim[i]);
    return rule_result(inf, &out);
}

bool infer_constant(Infer *inf)
{
    Type out;
    DType t = (DType)inf->attr[0];
    return rule_scalar(inf, t, inf->attr[1]) && rule_shape(inf, 2, t, &out) &&
           rule_result(inf, &out);
}

bool infer_iota(Infer *inf)
{
    Type out;
    if (inf->attr[0] == DT_bool) return infer_fail(inf, ST_DTYPE, "needs numbers, not bool");
    return rule_shape(inf, 2, (DType)inf->attr[0], &out) &&
           rule_axis(inf, inf->attr[1], out.rank) && rule_result(inf, &out);
}

bool infer_dim_size(Infer *inf) { return rule_result(inf, &(Type){.dtype = DT_i64}); }

bool infer_random_bits(Infer *inf)
{
    Type out;
    if (!type_equal(inf->in[0], &(Type){.dtype = DT_u64, .rank = 1, .dim = {2}}))
        return infer_fail(
            inf, inf->in[0]->dtype == DT_u64 ? ST_SHAPE : ST_DTYPE, "the key must be u64[2]");
    return rule_shape(inf, 0, DT_u32, &out) && rule_result(inf, &out);
}

bool infer_param(Infer *inf)
{
    return infer_fail(inf, ST_INTERNAL, "its type is given when it is made");
}

bool infer_cast(Infer *inf)
{
    Type out = *inf->in[0];
    out.dtype = (uint8_t)inf->attr[0];
    if (inf->nattr > 1 && (inf->nattr > 2 || inf->attr[1] != 1 || !dtype_is_float(out.dtype)))
        return infer_fail(inf, ST_VALUE, "only 1 may follow the dtype, and that a float");
    return rule_result(inf, &out);
}
