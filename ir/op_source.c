/* op_source: the ops that make values: param constant iota dim_size set_size random_bits. Relies on family. */
#include "family.h"

bool infer_constant(Infer *inf)
{
    Type out;
    const struct constant_attrs *c = ATTRS(constant, inf->attr);
    return rule_scalar(inf, (DType)c->dtype, c->value) && rule_shape(inf, ATTR_INDEX(constant, shape), (DType)c->dtype, &out) &&
           rule_result(inf, &out);
}

bool infer_iota(Infer *inf)
{
    Type out;
    const struct iota_attrs *a = ATTRS(iota, inf->attr);
    if (a->dtype == DT_bool) return infer_fail(inf, ST_DTYPE, "needs numbers, not bool");
    return rule_shape(inf, ATTR_INDEX(iota, shape), (DType)a->dtype, &out) && rule_axis(inf, a->axis, out.rank) &&
           rule_result(inf, &out);
}

bool infer_dim_size(Infer *inf) { return rule_result(inf, &(Type){.dtype = DT_i64}); }

Value fold_dim_size(const Folding *f)
{
    const Dim d = ATTRS(dim_size, f->attr)->dim;
    return dim_is_const(d) ? folded_constant(f, &(Type){.dtype = DT_i64}, (Scalar){.i = d}) : 0;
}

bool infer_set_size(Infer *inf)
{
    const Dim d = ATTRS(set_size, inf->attr)->size;
    if (!type_equal(inf->in[0], &(Type){.dtype = DT_i64})) return infer_fail(inf, ST_DTYPE, "the operand must be i64[]");
    if (!inf->module || d >= 0 || rule_dims(inf)->expr.at[-1 - d].bound == DIM_BAD)
        return infer_fail(inf, ST_VALUE, "the size must be a symbol that a node counts");
    return rule_result(inf, inf->in[0]);
}

void vmap_set_size(Vmap *v) { vmap_each(v); }

bool infer_random_bits(Infer *inf)
{
    Type out;
    if (!type_equal(inf->in[0], &(Type){.dtype = DT_u64, .rank = 1, .dim = {2}}))
        return infer_fail(inf, inf->in[0]->dtype == DT_u64 ? ST_SHAPE : ST_DTYPE, "the key must be u64[2]");
    return rule_shape(inf, 0, DT_u32, &out) && rule_result(inf, &out);
}

bool infer_param(Infer *inf) { return infer_fail(inf, ST_INTERNAL, "its type is given when it is made"); }

/* Each element needs both words of the key, wherever it lies. */
bool map_random_bits(const Mapping *p)
{
    const IndexExpr first = index_const(0);
    map_push(&p->out->map, 2, &first);
    return true;
}
