/* ops_products: products of tensors that an einsum or a multiplication is: tensordot, vecdot, inner, outer, cross, kron, and
 * matrix_transpose. Relies on einsum.h. Never multiplies by itself. */
#include "einsum.h"

/* Both operands, numbers that promote to one dtype, which they are cast to. False: poison, or recorded. */
static bool numbers_pair(Thread *t, kiln_site at, const char *op, const kiln_operand o[2], kiln_tensor *x[2])
{
    char a[160];
    for (int i = 0; i < 2; i++) {
        x[i] = operand_named(t, at, op, o[i], NULL);
        if (!tensor_ok(x[i])) return false;
        if (x[i]->type.dtype != DT_bool) continue;
        fail(t, at, KILN_EDTYPE, "%s: needs numbers, not bool, use kiln_cast: %s", op, tensor_text(x[i], a, sizeof a));
        return false;
    }
    return operands_alike(t, at, op, x);
}

typedef kiln_tensor *Product(Thread *t, kiln_site at, const char *op, kiln_tensor *x, kiln_tensor *y);

static kiln_tensor *product(kiln_site at, const char *op, kiln_operand xo, kiln_operand yo, Product *body)
{
    const kiln_operand o[2] = {xo, yo};
    kiln_tensor *x[2];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    Composite s = composite_begin(t, op);
    return composite_end(t, &s, numbers_pair(t, at, op, o, x) ? body(t, at, op, x[0], x[1]) : &t->k->poison);
}

/* ---- sums over pairs of axes ---------------------------------------------------------------------- */

/* The axes as named, in that order. False: recorded. */
static bool in_order(Thread *t, kiln_site at, const char *op, const kiln_axes *axes, int rank, int *to)
{
    Axes checked;
    if (!reduced_axes(t, at, op, axes, rank, &checked)) return false;
    for (int i = 0; i < axes->count; i++) to[i] = axes->axis[i + 1] < 0 ? axes->axis[i + 1] + rank : axes->axis[i + 1];
    return true;
}

static kiln_tensor *over_pairs(
    Thread *t, kiln_site at, const char *op, kiln_tensor *x, kiln_tensor *y, const int *xa, const int *ya, int n)
{
    char a[160], b[160];
    Labelled term[2] = {{.x = x, .n = x->type.rank}, {.x = y, .n = y->type.rank}};
    Einsum e = {.op = op, .count = 2, .term = term};
    if (x->type.rank + y->type.rank - 2 * n > MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "%s: the result would have %d axes (allowed: 0 to %d)", op,
            x->type.rank + y->type.rank - 2 * n, MAX_RANK);
    for (int i = 0; i < x->type.rank; i++) term[0].label[i] = (uint8_t)i;
    for (int i = 0; i < y->type.rank; i++) term[1].label[i] = (uint8_t)(MAX_RANK + i);
    for (int i = 0; i < n; i++) {
        if (x->type.dim[xa[i]] != y->type.dim[ya[i]])
            return fail(t, at, KILN_ESHAPE, "%s: axis %d and axis %d differ: %s x %s", op, xa[i], ya[i],
                tensor_text(x, a, sizeof a), tensor_text(y, b, sizeof b));
        term[1].label[ya[i]] = (uint8_t)xa[i];
    }
    const uint64_t both = labels_of(&term[0]) & labels_of(&term[1]);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < term[k].n; i++)
            if (!(both >> term[k].label[i] & 1)) e.out[e.nout++] = term[k].label[i];
    return einsum_sizes(t, at, &e) ? einsum_run(t, at, &e) : &t->k->poison;
}

kiln_tensor *kiln_tensordot_at(kiln_site at, kiln_operand xo, kiln_operand yo, kiln_axes xa, kiln_axes ya)
{
    const kiln_operand o[2] = {xo, yo};
    kiln_tensor *x[2];
    int from[2][MAX_RANK];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    if (!numbers_pair(t, at, "tensordot", o, x)) return &t->k->poison;
    if (xa.count < 0) xa = (kiln_axes){0, x[0]->type.rank, {0, 0, 1, 2, 3, 4, 5, 6, 7}};
    if (ya.count < 0) ya = (kiln_axes){0, x[1]->type.rank, {0, 0, 1, 2, 3, 4, 5, 6, 7}};
    if (xa.count != ya.count) return fail(t, at, KILN_ESHAPE, "tensordot: %d axes of x are named, and %d of y", xa.count, ya.count);
    if (!in_order(t, at, "tensordot", &xa, x[0]->type.rank, from[0]) ||
        !in_order(t, at, "tensordot", &ya, x[1]->type.rank, from[1]))
        return &t->k->poison;
    Composite s = composite_begin(t, "tensordot");
    return composite_end(t, &s, over_pairs(t, at, "tensordot", x[0], x[1], from[0], from[1], xa.count));
}

static kiln_tensor *inner(Thread *t, kiln_site at, const char *op, kiln_tensor *x, kiln_tensor *y)
{
    if (x->type.rank == 0 || y->type.rank == 0) return kiln_mul_at(at, of(x), of(y));
    return over_pairs(t, at, op, x, y, &(int){x->type.rank - 1}, &(int){y->type.rank - 1}, 1);
}

kiln_tensor *kiln_inner_at(kiln_site at, kiln_operand x, kiln_operand y) { return product(at, "inner", x, y, inner); }

/* Broadcast against each other, but that their sizes along the axis must be equal. False: recorded. */
static bool beside(Thread *t, kiln_site at, const char *op, kiln_tensor *x[2], int axis, int *found)
{
    char a[160], b[160];
    Type shape;
    if (!shapes_broadcast(t, at, op, x[0], x[1], &shape) || !axis_of(t, at, op, axis, shape.rank, found)) return false;
    const int from_end = shape.rank - *found;
    for (int i = 0; i < 2; i++)
        if (x[i]->type.rank < from_end || x[i]->type.dim[x[i]->type.rank - from_end] != shape.dim[*found]) {
            fail(t, at, KILN_ESHAPE, "%s: axis %d must be one of both, of equal sizes: %s x %s", op, axis,
                tensor_text(x[0], a, sizeof a), tensor_text(x[1], b, sizeof b));
            return false;
        }
    for (int i = 0; i < 2; i++) x[i] = broadcast_to(t, at, x[i], &shape);
    return tensor_ok(x[0]) && tensor_ok(x[1]);
}

kiln_tensor *kiln_vecdot_at(kiln_site at, kiln_operand xo, kiln_operand yo, int axis)
{
    const kiln_operand o[2] = {xo, yo};
    kiln_tensor *x[2];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    if (!numbers_pair(t, at, "vecdot", o, x)) return &t->k->poison;
    Composite s = composite_begin(t, "vecdot");
    if (!beside(t, at, "vecdot", x, axis, &axis)) return composite_end(t, &s, &t->k->poison);
    const DType own = (DType)x[0]->type.dtype, wide = wide_dtype(x[0]);
    kiln_tensor *p = kiln_mul_at(at, of(cast_to(t, at, x[0], wide)), of(cast_to(t, at, x[1], wide)));
    return composite_end(t, &s, cast_to(t, at, kiln_sum_at(at, of(p), KILN_AXES(axis)), own));
}

/* ---- products without sums ------------------------------------------------------------------------ */

static kiln_tensor *flat(Thread *t, kiln_site at, const char *op, kiln_tensor *x, bool column)
{
    char why[64];
    const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
    if (all == DIM_BAD) return fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", op, extent_trouble(t, why, sizeof why));
    return reshape_to(t, at, x, (Dim[]){all, 1}, column ? 2 : 1);
}

static kiln_tensor *outer(Thread *t, kiln_site at, const char *op, kiln_tensor *x, kiln_tensor *y)
{
    kiln_tensor *a = flat(t, at, op, x, true), *b = flat(t, at, op, y, false);
    return tensor_ok(a) && tensor_ok(b) ? kiln_mul_at(at, of(a), of(b)) : &t->k->poison;
}

kiln_tensor *kiln_outer_at(kiln_site at, kiln_operand x, kiln_operand y) { return product(at, "outer", x, y, outer); }

kiln_tensor *kiln_cross_at(kiln_site at, kiln_operand xo, kiln_operand yo, int axis)
{
    const kiln_operand o[2] = {xo, yo};
    kiln_tensor *x[2], *part[3];
    char text[160];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    if (!numbers_pair(t, at, "cross", o, x)) return &t->k->poison;
    Composite s = composite_begin(t, "cross");
    if (!beside(t, at, "cross", x, axis, &axis)) return composite_end(t, &s, &t->k->poison);
    if (x[0]->type.dim[axis] != 3)
        return composite_end(
            t, &s, fail(t, at, KILN_ESHAPE, "cross: axis %d must have size 3: %s", axis, tensor_text(x[0], text, sizeof text)));
    for (int i = 0; i < 3; i++) {
        kiln_operand at_next[2], at_last[2];
        for (int k = 0; k < 2; k++) {
            at_next[k] = of(slice_axis(t, at, x[k], axis, (i + 1) % 3, 1));
            at_last[k] = of(slice_axis(t, at, x[k], axis, (i + 2) % 3, 1));
        }
        part[i] = kiln_sub_at(at, of(kiln_mul_at(at, at_next[0], at_last[1])), of(kiln_mul_at(at, at_last[0], at_next[1])));
    }
    return composite_end(t, &s, kiln_concat_at(at, part, 3, axis));
}

/* x as [.., n, 1, ..] times y as [.., 1, m, ..], where neighbours become one axis. Axes of size 1 stand before the shorter one's.
 */
static kiln_tensor *kron(Thread *t, kiln_site at, const char *op, kiln_tensor *x, kiln_tensor *y)
{
    kiln_tensor *in[2] = {x, y};
    char why[64];
    const int rank = MAX_OF(x->type.rank, y->type.rank);
    Dim own[2][MAX_RANK], to[MAX_RANK];
    int wide = 0;
    for (int i = 0; i < rank; i++) {
        Dim d[2];
        for (int k = 0; k < 2; k++) {
            const int a = i - (rank - in[k]->type.rank);
            d[k] = a < 0 ? 1 : in[k]->type.dim[a];
        }
        to[i] = extent(t, at, EXTENT_MUL, d[0], d[1]);
        if (to[i] == DIM_BAD)
            return fail(t, at, KILN_ESHAPE, "%s: the size of axis %d %s", op, i, extent_trouble(t, why, sizeof why));
        for (int k = 0; k < 2; k++) {
            if (d[k] == 1) continue; /* an axis of 1 needs no place of its own */
            if (wide == MAX_RANK)
                return fail(t, at, KILN_ESHAPE, "%s: x and y have more than %d axes above 1 together", op, MAX_RANK);
            own[k][wide] = d[k];
            own[1 - k][wide++] = 1;
        }
    }
    for (int k = 0; k < 2; k++) in[k] = reshape_to(t, at, in[k], own[k], wide);
    if (!tensor_ok(in[0]) || !tensor_ok(in[1])) return &t->k->poison;
    kiln_tensor *r = kiln_mul_at(at, of(in[0]), of(in[1]));
    return tensor_ok(r) ? reshape_to(t, at, r, to, rank) : r;
}

kiln_tensor *kiln_kron_at(kiln_site at, kiln_operand x, kiln_operand y) { return product(at, "kron", x, y, kron); }

kiln_tensor *kiln_matrix_transpose_at(kiln_site at, kiln_operand o)
{
    char text[160];
    int perm[MAX_RANK];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "matrix_transpose", o, NULL);
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank;
    if (rank < 2)
        return fail(t, at, KILN_ESHAPE, "matrix_transpose: needs two axes at least: %s", tensor_text(x, text, sizeof text));
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return transpose_to(t, at, x, perm);
}
