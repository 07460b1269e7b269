/* ops_sort: the public operations that order elements along an axis; the largest and smallest few are gathered at argsort's
 * indices. Relies on ops.h. */
#include "ops.h"

#include <math.h>

/* NULL: recorded, or poison. */
static kiln_tensor *sortable(kiln_site at, const char *name, kiln_operand o, int *axis, Thread **t)
{
    *t = op_thread(&o, 1);
    if (!*t) return NULL;
    kiln_tensor *x = operand_named(*t, at, name, o, NULL);
    return tensor_ok(x) && axis_of(*t, at, name, *axis, x->type.rank, axis) ? x : NULL;
}

/* By argsort, or by sort, whose attributes are the same. */
static kiln_tensor *ordered(Thread *t, kiln_site at, const char *name, Op op, kiln_tensor *x, int axis, int how)
{
    if (how != 0 && how != KILN_DESCENDING)
        return fail(t, at, KILN_EVALUE, "%s: how is %d (allowed: 0, KILN_DESCENDING)", name, how);
    return apply1(t, at, op, x, ATTRS_OF(argsort, .axis = axis, .descending = how == KILN_DESCENDING));
}

static kiln_tensor *places(Thread *t, kiln_site at, const char *name, kiln_tensor *x, int axis, int how)
{
    return ordered(t, at, name, OP_argsort, x, axis, how);
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
    return ordered(t, at, "sort", OP_sort, x, axis, how);
}

/* ---- the largest few ----------------------------------------------------------------------------- */

/* A line in blocks: the largest `count` elements lie in the `count` blocks with the largest maxima, or behind the last whole block.
 * For if one lay in another block, each of those would have an element that goes before it. */
typedef struct Blocks {
    int axis, how; /* how: KILN_DESCENDING for the largest, 0 for the smallest, of which all that is said of the largest holds */
    int64_t size, count, blocks; /* of the line, of what is wanted, and of whole blocks */
    int64_t block;               /* elements of a block; 0: sorting the line is less work */
} Blocks;

static Blocks blocks_of(const kiln_tensor *x, int axis, Dim count, int how)
{
    Blocks b = {.axis = axis, .how = how, .size = x->type.dim[axis], .count = count};
    if (!dim_is_const(b.size) || !dim_is_const(count) || count == 0 || x->type.dtype == DT_bool || x->type.rank == MAX_RANK)
        return b;
    int64_t block = 8;
    while (block < 1024 && block * block < b.size / count) block *= 2; /* so that maxima and candidates are about as many */
    b.blocks = b.size / block;
    if (b.blocks >= count && 2 * (b.blocks + (count + 1) * block) < b.size) b.block = block;
    return b;
}

/* x [.., size, ..] as [.., blocks, block, ..], without what lies behind the last whole block. */
static kiln_tensor *in_blocks(Thread *t, kiln_site at, const Blocks *b, kiln_tensor *x)
{
    Dim dim[MAX_RANK];
    const int rank = x->type.rank, after = b->axis + 1;
    x = slice_axis(t, at, x, b->axis, 0, b->blocks * b->block);
    memcpy(dim, x->type.dim, (size_t)after * sizeof *dim);
    memcpy(dim + after + 1, x->type.dim + after, (size_t)(rank - after) * sizeof *dim);
    dim[b->axis] = b->blocks, dim[after] = b->block;
    return tensor_ok(x) ? reshape_to(t, at, x, dim, rank + 1) : x;
}

/* The largest of each block, NaN where it has nothing else: NaN goes last. */
static kiln_tensor *largest_of_blocks(Thread *t, kiln_site at, const Blocks *b, kiln_tensor *x)
{
    const kiln_axes within = {0, 1, {0, b->axis + 1}};
    const DType d = (DType)x->type.dtype;
    const bool largest = b->how == KILN_DESCENDING;
    x = in_blocks(t, at, b, x);
    if (!tensor_ok(x)) return x;
    kiln_operand in = of(x);
    if (!dtype_is_float(d)) return largest ? kiln_reduce_max_at(at, in, within) : kiln_reduce_min_at(at, in, within);
    kiln_operand nan = of(kiln_isnan_at(at, in));
    in = of(kiln_where_at(at, nan, extreme_of(d, !largest), in));
    kiln_tensor *most = largest ? kiln_reduce_max_at(at, in, within) : kiln_reduce_min_at(at, in, within);
    return kiln_where_at(at, of(kiln_all_at(at, nan, within)), KILN_OPERAND(NAN), of(most));
}

/* The places of the elements among which the wanted ones are, ascending: [.., candidates, ..]. */
static kiln_tensor *candidates(Thread *t, kiln_site at, const Blocks *b, kiln_tensor *x)
{
    const int64_t rest = b->size - b->blocks * b->block;
    Type type = x->type, one = {.dtype = DT_i64, .rank = (uint8_t)(x->type.rank + 1)};
    kiln_tensor *largest = largest_of_blocks(t, at, b, x);
    if (!tensor_ok(largest)) return largest;
    kiln_tensor *block = places(t, at, "top_k", largest, b->axis, b->how);
    if (!tensor_ok(block)) return block;
    block = slice_axis(t, at, block, b->axis, 0, b->count);
    block = kiln_sort_at(at, of(cast_to(t, at, block, DT_i32)), b->axis, 0);
    block = kiln_mul_at(at, of(kiln_expand_at(at, of(cast_to(t, at, block, DT_i64)), b->axis + 1)), KILN_OPERAND(b->block));
    for (int i = 0; i < one.rank; i++) one.dim[i] = i == b->axis + 1 ? b->block : 1;
    block = kiln_add_at(at, of(block), of(iota_of(t, at, &one, b->axis + 1, x)));
    type.dtype = DT_i64, type.dim[b->axis] = b->count * b->block;
    if (tensor_ok(block)) block = reshape_to(t, at, block, type.dim, type.rank);
    if (rest == 0 || !tensor_ok(block)) return block;
    type.dim[b->axis] = rest;
    kiln_tensor *behind = kiln_add_at(at, of(iota_of(t, at, &type, b->axis, x)), KILN_OPERAND(b->blocks * b->block));
    return kiln_concat_at(at, (kiln_tensor *[]){block, behind}, 2, b->axis);
}

static kiln_tensor *first_places(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim count, int how)
{
    const Blocks b = blocks_of(x, axis, count, how);
    kiln_tensor *from = b.block != 0 ? candidates(t, at, &b, x) : NULL;
    if (from && !tensor_ok(from)) return from;
    kiln_tensor *i = places(t, at, "top_k", from ? take_along(t, at, x, from, axis) : x, axis, how);
    if (tensor_ok(i)) i = slice_axis(t, at, i, axis, 0, count);
    return from && tensor_ok(i) ? take_along(t, at, from, i, axis) : i;
}

static kiln_tensor *wrong_count(Thread *t, kiln_site at, const char *name, const kiln_tensor *x, int axis, int64_t count)
{
    char text[160];
    return fail(t, at, KILN_EVALUE, "%s: count is %lld; it must be 0 or more, and at most the size of axis %d: %s", name,
        (long long)count, axis, tensor_text(x, text, sizeof text));
}

kiln_tensor *first_few(kiln_site at, const char *name, kiln_operand o, Dim count, int axis, int how, kiln_tensor **indices)
{
    Thread *t;
    kiln_tensor *x = sortable(at, name, o, &axis, &t);
    if (indices) *indices = t ? &t->k->poison : NULL;
    if (!x) return t ? &t->k->poison : NULL;
    if (dim_is_const(count) && count > extent_hi(t, x->type.dim[axis])) return wrong_count(t, at, name, x, axis, count);
    Composite s = composite_begin(t, name);
    x = axis_at_least(t, at, name, x, axis, count);
    kiln_tensor *i = tensor_ok(x) ? first_places(t, at, x, axis, count, how) : x;
    if (tensor_ok(i)) x = take_along(t, at, x, i, axis);
    if (indices) composite_keep(t, *indices = i);
    return composite_end(t, &s, tensor_ok(i) ? x : i);
}

/* A number below 0 would be taken for a symbol. */
static kiln_tensor *plain_few(
    kiln_site at, const char *name, kiln_operand o, int64_t count, int axis, int how, kiln_tensor **indices)
{
    Thread *t;
    if (count >= 0) return first_few(at, name, o, count, axis, how, indices);
    const kiln_tensor *x = sortable(at, name, o, &axis, &t);
    if (indices) *indices = t ? &t->k->poison : NULL;
    if (!x) return t ? &t->k->poison : NULL;
    return wrong_count(t, at, name, x, axis, count);
}

kiln_tensor *kiln_top_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices)
{
    return plain_few(at, "top_k", x, count, axis, KILN_DESCENDING, indices);
}

kiln_tensor *kiln_bottom_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices)
{
    return plain_few(at, "bottom_k", x, count, axis, 0, indices);
}
