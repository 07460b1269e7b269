/* ops_cumulate: the public operations whose elements depend on those before them along an axis. Relies on ops.h. */
#include "ops.h"

static bool cumulates(Thread *t, kiln_site at, const char *name, const kiln_tensor *x, int how, int allowed, int *axis)
{
    if (!tensor_ok(x) || !axis_of(t, at, name, *axis, x->type.rank, axis)) return false;
    if ((how & ~allowed) == 0) return true;
    fail(t, at, KILN_EVALUE, "%s: how is %d (allowed: 0, KILN_REVERSE%s)", name, how,
        allowed & KILN_EXCLUSIVE ? ", KILN_EXCLUSIVE or their sum" : "");
    return false;
}

/* 16-bit floats go through f32 and are rounded once. */
static kiln_tensor *cumulate(kiln_site at, Op op, kiln_operand o, int axis, int how)
{
    const char *name = op_def[op].name;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!cumulates(t, at, name, x, how, KILN_REVERSE | KILN_EXCLUSIVE, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, name);
    const bool reverse = how & KILN_REVERSE, exclusive = how & KILN_EXCLUSIVE;
    kiln_tensor *r = apply1(
        t, at, op, cast_to(t, at, x, wide_dtype(x)), ATTRS_OF(cumsum, .axis = axis, .reverse = reverse, .exclusive = exclusive));
    return composite_end(t, &s, cast_to(t, at, r, (DType)x->type.dtype));
}

kiln_tensor *kiln_cumsum_at(kiln_site at, kiln_operand x, int axis, int how) { return cumulate(at, OP_cumsum, x, axis, how); }

kiln_tensor *kiln_cumprod_at(kiln_site at, kiln_operand x, int axis, int how) { return cumulate(at, OP_cumprod, x, axis, how); }

kiln_tensor *kiln_recurrence_at(kiln_site at, kiln_operand a, kiln_operand b, int axis, int how)
{
    kiln_operand both[2] = {a, b};
    Thread *t = op_thread(both, 2);
    kiln_tensor *in[2];
    if (!t) return NULL;
    if (!operand_pair(t, at, "recurrence", a, b, in)) return &t->k->poison;
    if (!cumulates(t, at, "recurrence", in[0], how, KILN_REVERSE, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, "recurrence");
    const DType own = (DType)in[0]->type.dtype, wide = wide_dtype(in[0]);
    kiln_tensor *r = apply2(t, at, OP_recurrence, cast_to(t, at, in[0], wide), cast_to(t, at, in[1], wide),
        ATTRS_OF(recurrence, .axis = axis, .reverse = how & KILN_REVERSE));
    return composite_end(t, &s, cast_to(t, at, r, own));
}
