/* ops_sort: the public operations that order elements along an axis: all but argsort gather the elements at argsort's indices.
 * Relies on ops.h. */
#include "ops.h"

/* NULL: recorded, or poison. */
static kiln_tensor *sortable(kiln_site at, const char *name, kiln_operand o, int *axis, Thread **t)
{
    *t = op_thread(&o, 1);
    if (!*t) return NULL;
    kiln_tensor *x = operand_named(*t, at, name, o, NULL);
    return tensor_ok(x) && axis_of(*t, at, name, *axis, x->type.rank, axis) ? x : NULL;
}

static kiln_tensor *places(Thread *t, kiln_site at, const char *name, kiln_tensor *x, int axis, int how)
{
    if (how != 0 && how != KILN_DESCENDING)
        return fail(t, at, KILN_EVALUE, "%s: how is %d (allowed: 0, KILN_DESCENDING)", name, how);
    return apply1(t, at, OP_argsort, x, ATTRS_OF(argsort, .axis = axis, .descending = how == KILN_DESCENDING));
}

kiln_tensor *kiln_argsort_at(kiln_site at, kiln_operand o, int axis, int how)
{
    Thread *t;
    kiln_tensor *x = sortable(at, "argsort", o, &axis, &t);
    if (!x) return t ? &t->k->poison : NULL;
    return places(t, at, "argsort", x, axis, how);
}

kiln_tensor *kiln_sort_at(kiln_site at, kiln_operand o, int axis, int how)
{
    Thread *t;
    kiln_tensor *x = sortable(at, "sort", o, &axis, &t);
    if (!x) return t ? &t->k->poison : NULL;
    Composite s = composite_begin(t, "sort");
    kiln_tensor *i = places(t, at, "sort", x, axis, how);
    return composite_end(t, &s, tensor_ok(i) ? take_along(t, at, x, i, axis) : i);
}

kiln_tensor *kiln_top_k_at(kiln_site at, kiln_operand o, int64_t count, int axis, kiln_tensor **indices)
{
    Thread *t;
    char text[160];
    kiln_tensor *x = sortable(at, "top_k", o, &axis, &t);
    if (indices) *indices = t ? &t->k->poison : NULL;
    if (!x) return t ? &t->k->poison : NULL;
    if (count < 0 || count > extent_lo(t, x->type.dim[axis]))
        return fail(t, at, KILN_EVALUE, "top_k: count is %lld; it must be 0 or more, and at most the size of axis %d: %s",
            (long long)count, axis, tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, "top_k");
    kiln_tensor *i = places(t, at, "top_k", x, axis, KILN_DESCENDING);
    if (tensor_ok(i)) i = slice_axis(t, at, i, axis, 0, count);
    if (tensor_ok(i)) x = take_along(t, at, x, i, axis);
    if (indices) composite_keep(t, *indices = i);
    return composite_end(t, &s, tensor_ok(i) ? x : i);
}
