/* vjp_region: gradients of nodes that run graphs or belong to the front end. Relies on emit. */
#include "emit.h"

void vjp_call(Vjp *v);
void vjp_custom(Vjp *v);

static void ask_front_end(Vjp *v)
{
    if (v->foreign != NULL)
        v->foreign(v);
    else
        status_fail(v->st, ST_UNSUPPORTED, "%s: no gradient outside the front end", op_def[v->node->op].name);
}

void vjp_call(Vjp *v)
{
    ask_front_end(v);
}

void vjp_custom(Vjp *v)
{
    ask_front_end(v);
}
