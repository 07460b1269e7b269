/* vjp_index: gradients of gather and scatter_add, each the other's adjoint (both clamp indices).
 * Relies on emit. */
#include "emit.h"

void vjp_gather(Vjp *v);
void vjp_scatter_add(Vjp *v);

void vjp_gather(Vjp *v)
{
    if (!v->wanted[0] || v->g[0] == 0) return;
    int64_t axis = v->node->attr->at[0];
    const Type x = *v->e->type(v->e, v->in[0]);
    const int64_t attr[2] = {axis, x.dim[axis]};
    Value g = emit_wide(v->e, v->g[0]); /* sums of 16-bit floats round once */
    if (g != 0) g = v->e->op(v->e, OP_scatter_add, (Value[]){g, v->in[1]}, 2, attr, 2);
    v->dx[0] = emit_cast(v->e, g, (DType)x.dtype);
}

void vjp_scatter_add(Vjp *v)
{
    if (!v->wanted[0] || v->g[0] == 0) return;
    v->dx[0] = v->e->op(v->e, OP_gather, (Value[]){v->g[0], v->in[1]}, 2, v->node->attr->at, 1);
}
