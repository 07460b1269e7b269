/* ops_index_nd: the public operations whose indices name elements of several axes at once, or of x seen as one axis: each makes one
 * index of them, for gather and scatter along a single axis. Relies on ops.h, effect.h. Never reads an index. */
#include "effect.h"

#include <stdio.h>

kiln_tensor *scatter_flat(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *flat, kiln_operand updates, kiln_scatter_how how)
{
    if (!tensor_ok(flat)) return flat;
    const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
    kiln_tensor *r = kiln_scatter_at(at, of(reshape_to(t, at, x, &all, 1)), of(flat), updates, 0, how);
    return reshape_to(t, at, r, x->type.dim, x->type.rank);
}

/* How coordinates name elements: those of the indices' last axis, c of them, along the axes of x behind the batch. */
typedef struct Rows {
    kiln_tensor *x, *i;
    int batch, c;
} Rows;

/* False: recorded, or poison. */
static bool rows_fit(Thread *t, kiln_site at, const char *op, kiln_operand x, kiln_operand indices, int batch, Rows *r)
{
    char a[160], b[160];
    *r = (Rows){.x = operand_named(t, at, op, x, NULL), .i = operand_index(t, at, op, indices), .batch = batch};
    if (!tensor_ok(r->x) || !tensor_ok(r->i)) return false;
    const Type *type = &r->x->type, *i = &r->i->type;
    tensor_text(r->x, a, sizeof a);
    tensor_text(r->i, b, sizeof b);
    const int last = i->rank - 1;
    if (batch < 0 || batch > last || batch >= type->rank) {
        fail(t, at, KILN_ESHAPE, "%s: %d axes of a batch are not in both, with one behind them: %s x %s", op, batch, a, b);
        return false;
    }
    for (int k = 0; k < batch; k++) {
        if (type->dim[k] == i->dim[k]) continue;
        fail(t, at, KILN_ESHAPE, "%s: axis %d of the batch differs: %s x %s", op, k, a, b);
        return false;
    }
    const Dim c = i->dim[last];
    if (!dim_is_const(c) || c < 1 || c > type->rank - batch) {
        fail(t, at, dim_is_const(c) ? KILN_ESHAPE : KILN_EUNSUPPORTED,
            "%s: the last axis of the indices has the coordinates, 1 to %d of them: %s x %s", op, type->rank - batch, a, b);
        return false;
    }
    r->c = (int)c;
    if (last + type->rank - batch - r->c <= MAX_RANK) return true;
    fail(t, at, KILN_ESHAPE, "%s: there would be %d axes (allowed: 0 to %d): %s x %s", op, last + type->rank - batch - r->c,
        MAX_RANK, a, b);
    return false;
}

/* One index for each row of coordinates, into x's first batch + c axes seen as one. */
static kiln_tensor *row_index(Thread *t, kiln_site at, const char *op, const Rows *r)
{
    const Type *type = &r->x->type;
    Type each = {.dtype = DT_i64, .rank = (uint8_t)(r->i->type.rank - 1)};
    memcpy(each.dim, r->i->type.dim, each.rank * sizeof *each.dim);
    kiln_tensor *sum = NULL;
    Dim stride = 1;
    for (int a = r->batch + r->c - 1; a >= 0; a--) {
        kiln_tensor *i;
        if (a < r->batch) {
            i = iota_of(t, at, &each, a, r->x);
        } else {
            i = slice_axis(t, at, r->i, each.rank, a - r->batch, 1);
            i = reshape_to(t, at, i, each.dim, each.rank);
            if (!tensor_ok(i) || !effect_indices(t, at, op, i, type->dim[a])) return &t->k->poison;
            i = index_clamped(t, at, i, type->dim[a]);
        }
        sum = index_sum(t, at, sum, i, stride);
        stride = extent(t, at, EXTENT_MUL, stride, type->dim[a]);
    }
    return sum;
}

/* x with its first batch + c axes as one. */
static kiln_tensor *joined_axes(Thread *t, kiln_site at, const Rows *r)
{
    const int n = r->batch + r->c, rank = r->x->type.rank;
    Dim dim[MAX_RANK];
    dim[0] = extent_product(t, at, r->x->type.dim, n);
    for (int a = n; a < rank; a++) dim[a - n + 1] = r->x->type.dim[a];
    return reshape_to(t, at, r->x, dim, rank - n + 1);
}

kiln_tensor *kiln_gather_nd_at(kiln_site at, kiln_operand o, kiln_operand indices, int batch)
{
    kiln_operand both[2] = {o, indices};
    Rows r;
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    if (!rows_fit(t, at, "gather_nd", o, indices, batch, &r)) return &t->k->poison;
    Composite s = composite_begin(t, "gather_nd");
    kiln_tensor *i = row_index(t, at, "gather_nd", &r), *x = joined_axes(t, at, &r);
    return composite_end(
        t, &s, tensor_ok(i) && tensor_ok(x) ? apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = 0)) : &t->k->poison);
}

kiln_tensor *kiln_scatter_nd_at(kiln_site at, kiln_operand o, kiln_operand indices, kiln_operand updates, kiln_scatter_how how)
{
    kiln_operand all[3] = {o, indices, updates};
    Rows r;
    Thread *t = op_thread(all, 3);
    if (!t) return NULL;
    if (!rows_fit(t, at, "scatter_nd", o, indices, 0, &r)) return &t->k->poison;
    Composite s = composite_begin(t, "scatter_nd");
    kiln_tensor *i = row_index(t, at, "scatter_nd", &r), *x = joined_axes(t, at, &r);
    if (!tensor_ok(i) || !tensor_ok(x)) return composite_end(t, &s, &t->k->poison);
    kiln_tensor *y = kiln_scatter_at(at, of(x), of(i), updates, 0, how);
    return composite_end(t, &s, reshape_to(t, at, y, r.x->type.dim, r.x->type.rank));
}

kiln_tensor *kiln_scatter_along_at(
    kiln_site at, kiln_operand o, kiln_operand indices, kiln_operand updates, int axis, kiln_scatter_how how)
{
    kiln_operand all[3] = {o, indices, updates};
    Thread *t = op_thread(all, 3);
    char text[160], other[160];
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "scatter_along", o, NULL), *i = operand_index(t, at, "scatter_along", indices);
    if (!tensor_ok(x) || !tensor_ok(i) || !axis_of(t, at, "scatter_along", axis, x->type.rank, &axis)) return &t->k->poison;
    bool fits = i->type.rank == x->type.rank;
    for (int a = 0; fits && a < x->type.rank; a++)
        fits = a == axis || i->type.dim[a] == x->type.dim[a] || extent_hi(t, i->type.dim[a]) <= extent_lo(t, x->type.dim[a]);
    if (!fits)
        return fail(t, at, KILN_ESHAPE,
            "scatter_along: the indices must have x's rank, and be no longer than x on all axes but %d: %s x %s", axis,
            tensor_text(x, text, sizeof text), tensor_text(i, other, sizeof other));
    if (!effect_indices(t, at, "scatter_along", i, x->type.dim[axis])) return &t->k->poison;
    Composite s = composite_begin(t, "scatter_along");
    kiln_tensor *flat = index_clamped(t, at, i, x->type.dim[axis]);
    if (tensor_ok(flat)) flat = flat_index(t, at, &x->type, flat, axis);
    return composite_end(t, &s, result_of(t, at, scatter_flat(t, at, x, flat, updates, how), x));
}

kiln_tensor *kiln_put_at(kiln_site at, kiln_operand o, kiln_operand indices, kiln_operand values)
{
    kiln_operand all[3] = {o, indices, values};
    Thread *t = op_thread(all, 3);
    char why[64];
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "put", o, NULL), *i = operand_index(t, at, "put", indices);
    if (!tensor_ok(x) || !tensor_ok(i)) return &t->k->poison;
    const Dim n = extent_product(t, at, x->type.dim, x->type.rank);
    if (n == DIM_BAD) return fail(t, at, KILN_EUNSUPPORTED, "put: the product of the sizes %s", extent_trouble(t, why, sizeof why));
    if (!effect_indices(t, at, "put", i, n)) return &t->k->poison;
    Composite s = composite_begin(t, "put");
    kiln_tensor *r = scatter_flat(t, at, x, index_clamped(t, at, i, n), values, KILN_SCATTER_SET);
    return composite_end(t, &s, result_of(t, at, r, x));
}
