/* to: kiln_to: copies from one device to another. Its gradient is a custom one, the copy back, so that a tape which spans devices
 * needs no operation of the language for it: a graph runs on one device. */
#include "grad.h"

static void copy_back(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)user;
    dx[0] = kiln_to_at((kiln_site){x[0]->made.file, x[0]->made.line}, of(g), device_name(x[0]->device));
}

/* In a function's body nothing moves. */
static kiln_tensor *stays(Thread *t, kiln_site at, kiln_tensor *x, uint32_t device)
{
    if (x->state == TENSOR_TRACED || x->device == device || tensor_joins(x)) return result_of(t, at, x, x);
    char text[96];
    return fail(t, at, KILN_EDEVICE,
        "to: the body of %s runs on %s, but %s, which it uses, is on %s; copy it outside of the body, or make it an argument",
        t->body->name, device_name(device), tensor_text(x, text, sizeof text), device_name(x->device));
}

kiln_tensor *kiln_to_at(kiln_site at, kiln_operand o, const char *name)
{
    Thread *t = op_thread(&o, 1);
    uint32_t device;
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "to", o, NULL);
    if (!tensor_ok(x) || !device_find(t, at, "to", name, &device) || !may_use(t, at, "to", device)) return &t->k->poison;
    if (inside_body(t)) return stays(t, at, x, device);
    if (x->device == device) return result_of(t, at, x, x);
    kiln_tensor *there = tensor_to(t, at, x, device);
    if (!tensor_ok(there) || !t->recording || !dtype_is_float(x->type.dtype)) return there;
    return kiln_custom_gradient_at(at, there, &x, 1, copy_back, NULL);
}
