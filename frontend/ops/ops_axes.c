/* ops_axes: the public operations on several axes at once: their order, their direction, axes of size 1, common shapes. Composites
 * of the ops that move elements; relies on ops.h. Never looks at an element. */
#include "ops.h"

#include <stdio.h>

kiln_tensor *first_operand(kiln_site at, const char *op, kiln_operand o, Thread **t)
{
    *t = op_thread(&o, 1);
    return *t ? operand_named(*t, at, op, o, NULL) : NULL;
}

int axes_listed(Thread *t, kiln_site at, const char *op, const kiln_axes *axes, int rank, int out[MAX_RANK])
{
    unsigned seen = 0;
    if (axes->count > KILN_MAX_RANK || axes->count < -1) {
        fail(t, at, KILN_ESHAPE, "%s: %d axes named (allowed: 0 to %d)", op, axes->count, KILN_MAX_RANK);
        return -1;
    }
    if (axes->count < 0)
        for (int i = 0; i < rank; i++) out[i] = i;
    for (int i = 0; i < axes->count; i++) {
        if (!axis_of(t, at, op, axes->axis[i + 1], rank, &out[i])) return -1;
        if (seen >> out[i] & 1) {
            fail(t, at, KILN_ESHAPE, "%s: axis %d is named twice", op, out[i]);
            return -1;
        }
        seen |= 1u << out[i];
    }
    return axes->count < 0 ? rank : axes->count;
}

/* ---- axes of size 1 -------------------------------------------------------------------------- */

kiln_tensor *kiln_expand_dims_at(kiln_site at, kiln_operand o, kiln_axes axes)
{
    Thread *t;
    char text[160];
    int axis[MAX_RANK], from = 0;
    kiln_tensor *x = first_operand(at, "expand_dims", o, &t);
    if (!tensor_ok(x)) return x;
    if (axes.count < 0) return fail(t, at, KILN_ESHAPE, "expand_dims: KILN_ALL names no new axes");
    const int rank = x->type.rank + axes.count;
    if (rank > MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "expand_dims: %d new axes would make %d of %s (allowed: 0 to %d)", axes.count, rank,
            tensor_text(x, text, sizeof text), MAX_RANK);
    const int count = axes_listed(t, at, "expand_dims", &axes, rank, axis);
    if (count < 0) return &t->k->poison;
    Dim dim[MAX_RANK] = {0};
    for (int i = 0; i < count; i++) dim[axis[i]] = 1;
    for (int i = 0; i < rank; i++)
        if (dim[i] == 0) dim[i] = x->type.dim[from++];
    return result_of(t, at, reshape_to(t, at, x, dim, rank), x);
}

kiln_tensor *kiln_squeeze_dims_at(kiln_site at, kiln_operand o, kiln_axes axes)
{
    Thread *t;
    char text[160];
    int axis[MAX_RANK], rank = 0;
    unsigned gone = 0;
    kiln_tensor *x = first_operand(at, "squeeze_dims", o, &t);
    if (!tensor_ok(x)) return x;
    const int count = axes_listed(t, at, "squeeze_dims", &axes, x->type.rank, axis);
    if (count < 0) return &t->k->poison;
    for (int i = 0; i < count; i++) {
        const bool one = x->type.dim[axis[i]] == 1;
        if (!one && axes.count >= 0)
            return fail(
                t, at, KILN_ESHAPE, "squeeze_dims: axis %d does not have size 1: %s", axis[i], tensor_text(x, text, sizeof text));
        if (one) gone |= 1u << axis[i];
    }
    Dim dim[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++)
        if (!(gone >> i & 1)) dim[rank++] = x->type.dim[i];
    return result_of(t, at, reshape_to(t, at, x, dim, rank), x);
}

/* ---- order ------------------------------------------------------------------------------------- */

kiln_tensor *kiln_moveaxis_at(kiln_site at, kiln_operand o, kiln_axes from, kiln_axes to)
{
    Thread *t;
    char text[160];
    int source[MAX_RANK], place[MAX_RANK], perm[MAX_RANK];
    kiln_tensor *x = first_operand(at, "moveaxis", o, &t);
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank, n = axes_listed(t, at, "moveaxis", &from, rank, source);
    const int m = n < 0 ? -1 : axes_listed(t, at, "moveaxis", &to, rank, place);
    if (n < 0 || m < 0) return &t->k->poison;
    if (n != m) return fail(t, at, KILN_ESHAPE, "moveaxis: %d axes go to %d places: %s", n, m, tensor_text(x, text, sizeof text));
    unsigned moved = 0;
    for (int i = 0; i < rank; i++) perm[i] = -1;
    for (int i = 0; i < n; i++) {
        perm[place[i]] = source[i];
        moved |= 1u << source[i];
    }
    for (int i = 0, next = 0; i < rank; i++) {
        if (perm[i] >= 0) continue;
        while (moved >> next & 1) next++;
        perm[i] = next++;
    }
    return transpose_to(t, at, x, perm);
}

static kiln_tensor *swapped(Thread *t, kiln_site at, kiln_tensor *x, int a, int b)
{
    int perm[MAX_RANK];
    for (int i = 0; i < MAX_RANK; i++) perm[i] = i == a ? b : i == b ? a : i;
    return transpose_to(t, at, x, perm);
}

kiln_tensor *kiln_swapaxes_at(kiln_site at, kiln_operand o, int a, int b)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "swapaxes", o, &t);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, "swapaxes", a, x->type.rank, &a) || !axis_of(t, at, "swapaxes", b, x->type.rank, &b)) return &t->k->poison;
    return swapped(t, at, x, a, b);
}

/* ---- direction ----------------------------------------------------------------------------------- */

kiln_tensor *flip_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis)
{
    return tensor_ok(x) ? apply1(t, at, OP_flip, x, &(int64_t){axis}, 1) : &t->k->poison;
}

kiln_tensor *kiln_flip_at(kiln_site at, kiln_operand o, kiln_axes axes)
{
    Thread *t;
    int axis[MAX_RANK];
    bool named[MAX_RANK] = {false};
    int64_t attr[MAX_RANK];
    uint32_t nattr = 0;
    kiln_tensor *x = first_operand(at, "flip", o, &t);
    if (!tensor_ok(x)) return x;
    const int count = axes_listed(t, at, "flip", &axes, x->type.rank, axis);
    if (count < 0) return &t->k->poison;
    for (int i = 0; i < count; i++) named[axis[i]] = true;
    for (int i = 0; i < x->type.rank; i++)
        if (named[i]) attr[nattr++] = i;
    return nattr ? apply1(t, at, OP_flip, x, attr, nattr) : result_of(t, at, x, x);
}

kiln_tensor *kiln_rot90_at(kiln_site at, kiln_operand o, int turns, int from, int to)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "rot90", o, &t);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, "rot90", from, x->type.rank, &from) || !axis_of(t, at, "rot90", to, x->type.rank, &to))
        return &t->k->poison;
    if (from == to) return fail(t, at, KILN_ESHAPE, "rot90: axis %d is named twice", from);
    turns = (turns % 4 + 4) % 4;
    if (turns == 0) return result_of(t, at, x, x);
    Composite s = composite_begin(t, "rot90");
    kiln_tensor *r = x;
    if (turns == 2) r = flip_axis(t, at, flip_axis(t, at, x, from), to);
    if (turns == 1) r = swapped(t, at, flip_axis(t, at, x, to), from, to);
    if (turns == 3) r = flip_axis(t, at, swapped(t, at, x, from, to), to);
    return composite_end(t, &s, r);
}

/* ---- roll ---------------------------------------------------------------------------------------- */

/* Of a size that is a symbol the amount is not known, so that indices are computed: (i - by) mod n. */
static kiln_tensor *rolled_by_index(Thread *t, kiln_site at, kiln_tensor *x, int axis, int64_t by)
{
    const Dim n = x->type.dim[axis];
    kiln_tensor *i = iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {n}}, 0, x);
    if (!tensor_ok(i)) return i;
    const Type scalar = {.dtype = DT_i64};
    kiln_operand size = of(dim_tensor(t, at, n, DT_i64)), low = of(number_like(t, at, "roll", &scalar, kiln_of_i(by)));
    i = kiln_mod_at(at, of(kiln_sub_at(at, of(i), of(kiln_mod_at(at, low, size)))), size);
    return tensor_ok(i) ? apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = axis)) : i;
}

static kiln_tensor *rolled(Thread *t, kiln_site at, kiln_tensor *x, int axis, int64_t by)
{
    if (!tensor_ok(x)) return x;
    const Dim n = x->type.dim[axis];
    if (!dim_is_const(n)) return rolled_by_index(t, at, x, axis, by);
    const int64_t low = n ? (by % n + n) % n : 0;
    if (low == 0) return x;
    kiln_tensor *end = slice_axis(t, at, x, axis, n - low, low), *start = slice_axis(t, at, x, axis, 0, n - low);
    return kiln_concat_at(at, (kiln_tensor *[]){end, start}, 2, axis);
}

kiln_tensor *kiln_roll_at(kiln_site at, kiln_operand o, kiln_shape by, kiln_axes axes)
{
    Thread *t;
    char text[160], why[64];
    int axis[MAX_RANK];
    kiln_tensor *x = first_operand(at, "roll", o, &t);
    if (!tensor_ok(x)) return x;
    const int count = axes.count < 0 ? 1 : axes_listed(t, at, "roll", &axes, x->type.rank, axis);
    if (count < 0) return &t->k->poison;
    if (by.rank != 1 && by.rank != count)
        return fail(t, at, KILN_ESHAPE, "roll: %lld amounts given for %d axes: %s", (long long)by.rank, count,
            tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, "roll");
    kiln_tensor *r = x;
    if (axes.count < 0) {
        const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
        if (all == DIM_BAD)
            r = fail(t, at, KILN_EUNSUPPORTED, "roll: the product of the sizes %s: %s", extent_trouble(t, why, sizeof why),
                tensor_text(x, text, sizeof text));
        else
            r = reshape_to(t, at, rolled(t, at, reshape_to(t, at, x, &all, 1), 0, by.size[1]), x->type.dim, x->type.rank);
    }
    for (int i = 0; i < count && axes.count >= 0; i++) r = rolled(t, at, r, axis[i], by.size[by.rank == 1 ? 1 : i + 1]);
    return composite_end(t, &s, result_of(t, at, r, x));
}

/* ---- common shapes --------------------------------------------------------------------------------- */

kiln_tensor *kiln_broadcast_like_at(kiln_site at, kiln_operand o, kiln_operand like)
{
    kiln_operand both[2] = {o, like};
    char a[160], b[160];
    Type to;
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *y = operand_named(t, at, "broadcast_like", like, NULL);
    kiln_tensor *x = operand_named(t, at, "broadcast_like", o, tensor_ok(y) ? &y->type : NULL);
    if (!tensor_ok(x) || !tensor_ok(y)) return &t->k->poison;
    if (!shapes_broadcast(t, at, "broadcast_like", x, y, &to)) return &t->k->poison;
    if (to.rank != y->type.rank || memcmp(to.dim, y->type.dim, to.rank * sizeof *to.dim) != 0)
        return fail(t, at, KILN_ESHAPE, "broadcast_like: %s does not fit into the shape of %s", tensor_text(x, a, sizeof a),
            tensor_text(y, b, sizeof b));
    return result_of(t, at, broadcast_to(t, at, x, &to), x);
}

/* The shape in which all meet. False: recorded. */
static bool joint_shape(Thread *t, kiln_site at, kiln_tensor *const *x, int count, Type *joint)
{
    kiln_tensor so_far; /* for the error's text: a traced tensor, if symbols may be in it */
    for (int i = 0; i < count; i++) {
        if (i == 0 || x[i]->state == TENSOR_TRACED) so_far = *x[i];
        so_far.type = *joint;
        if (i == 0)
            *joint = x[0]->type;
        else if (!shapes_broadcast(t, at, "broadcast_arrays", &so_far, x[i], joint))
            return false;
    }
    return true;
}

static bool broadcast_all(Thread *t, kiln_site at, kiln_tensor *const *x, int count, kiln_tensor **out)
{
    Type joint = {0};
    if (!joint_shape(t, at, x, count, &joint)) return results_poison(t, out, count);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        out[i] = result_of(t, at, broadcast_to(t, at, x[i], &joint), x[i]);
        ok = ok && tensor_ok(out[i]);
    }
    return ok || results_poison(t, out, count);
}

bool kiln_broadcast_arrays_at(kiln_site at, kiln_operands l, kiln_tensor **out)
{
    Thread *t = operands_of_thread(l);
    if (t && !list_there(t, at, "broadcast_arrays", out, l.count)) return false;
    WITH_TENSORS(t, "broadcast_arrays", l, out, l.count, broadcast_all(t, at, x, l.count, out));
}
