/* op_contract: matmul. Relies on family. */
#include "family.h"

bool infer_matmul(Infer *inf)
{
    const Type *x = inf->in[0], *y = inf->in[1];
    const DType t = (DType)x->dtype, sum = inf->nattr == 0 ? t : (DType)ATTRS(matmul, inf->attr)->sum[0];
    if (x->rank < 2 || y->rank < 2) return infer_fail(inf, ST_SHAPE, "operands must have at least 2 axes");
    if (x->dtype != y->dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
    if (inf->nattr > 1 || (inf->nattr == 1 && sum == t))
        return infer_fail(inf, ST_VALUE, "the attribute must be a dtype that is not the operands'");
    if (sum != dtype_of_product(t))
        return infer_fail(inf, ST_DTYPE,
            "no sums in %s (i8, u8 and i16 add up in i32, floats and other integers in their own dtype)", dtype_info[sum].name);
    uint32_t lead = x->rank - 2u;
    if (x->rank != y->rank || memcmp(x->dim, y->dim, lead * sizeof *x->dim) != 0)
        return infer_fail(inf, ST_SHAPE, "leading axes differ");
    if (x->dim[lead + 1] != y->dim[lead]) return infer_fail(inf, ST_SHAPE, "inner sizes differ");
    Type out = *x;
    out.dtype = (uint8_t)sum;
    out.dim[lead + 1] = y->dim[lead + 1];
    return rule_result(inf, &out);
}

void vjp_matmul(Vjp *v)
{
    if (v->wanted[0]) v->dx[0] = emit2(v->e, OP_matmul, v->g[0], emit_swap_last(v->e, v->in[1]));
    if (v->wanted[1]) v->dx[1] = emit2(v->e, OP_matmul, emit_swap_last(v->e, v->in[0]), v->g[0]);
}

/* Rows of all examples are more rows, where there is one matrix for them; else the examples are one more leading axis. */
void vmap_matmul(Vmap *v)
{
    if (v->many[1] || vmap_type(v, 0).rank != 2) {
        vmap_elements(v);
        return;
    }
    vmap_as(v, (Value[]){vmap_merge(v, v->in[0]), v->in[1]}, v->node->attr->at, v->node->attr->len);
    v->out[0] = vmap_split(v, v->out[0], vmap_first(v, 0));
}
