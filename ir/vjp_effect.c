/* vjp_effect: gradients of effects: there are none, and a callback says so. Relies on emit. */
#include "emit.h"

void vjp_callback(Vjp *v);

void vjp_callback(Vjp *v)
{
    status_fail(v->st, ST_UNSUPPORTED,
        "callback: no gradient flows through C code (%s:%d); give one with kiln_custom_gradient, "
        "or stop it with kiln_stop_gradient",
        v->node->loc.file != NULL ? v->node->loc.file : "?", v->node->loc.line);
}
