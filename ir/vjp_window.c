/* vjp_window: gradients of window and window_add, each the other's adjoint. Relies on emit. */
#include "emit.h"

void vjp_window(Vjp *v);
void vjp_window_add(Vjp *v);

void vjp_window(Vjp *v)
{
    const Type x = *v->e->type(v->e, v->in[0]);
    int64_t attr[8];
    memcpy(attr, v->node->attr->at, 6 * sizeof *attr);
    attr[6] = x.dim[1];
    attr[7] = x.dim[2];
    Value sum = emit_attr(v->e, OP_window_add, emit_wide(v->e, v->g[0]), attr, 8); /* of 16-bit floats rounded once */
    v->dx[0] = emit_cast(v->e, sum, (DType)x.dtype);
}

void vjp_window_add(Vjp *v)
{
    v->dx[0] = emit_attr(v->e, OP_window, v->g[0], v->node->attr->at, 6);
}
