/* vjp_contract: gradients of contractions. Relies on emit. */
#include "emit.h"

void vjp_matmul(Vjp *v);

void vjp_matmul(Vjp *v)
{
    if (v->wanted[0]) v->dx[0] = emit2(v->e, OP_matmul, v->g[0], emit_swap_last(v->e, v->in[1]));
    if (v->wanted[1]) v->dx[1] = emit2(v->e, OP_matmul, emit_swap_last(v->e, v->in[0]), v->g[0]);
}
