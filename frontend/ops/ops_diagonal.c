/* ops_diagonal: the public operations on diagonals and triangles of matrices. Composites of indices compared with one another,
 * slices and sums; relies on ops.h. */
#include "ops.h"

/* A matrix, or several, whose two axes to work on are the last. NULL: there is no thread; else usable or poison. */
static kiln_tensor *matrix(kiln_site at, const char *op, kiln_operand o, Thread **t)
{
    char text[160];
    kiln_tensor *x = first_operand(at, op, o, t);
    if (!tensor_ok(x) || x->type.rank >= 2) return x;
    return fail(*t, at, KILN_ESHAPE, "%s: needs two axes: %s", op, tensor_text(x, text, sizeof text));
}

/* An offset that far out is outside of every tensor, and arithmetic with it stays in range. */
static int64_t within_reach(int64_t offset) { return MAX_OF(MIN_OF(offset, DIM_MAX), -DIM_MAX); }

/* What holds of the columns of a matrix and its rows moved by the offset: GE, LE or EQ. Only the answer has all elements. */
static kiln_operand columns_to_rows(Thread *t, kiln_site at, Op op, const kiln_tensor *x, Dim rows, Dim columns, int64_t offset)
{
    kiln_tensor *row = iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 2, .dim = {rows, 1}}, 0, x);
    kiln_tensor *column = iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 2, .dim = {1, columns}}, 1, x);
    if (!tensor_ok(row) || !tensor_ok(column)) return of(&t->k->poison);
    row = offset == 0 ? row : kiln_add_at(at, of(row), kiln_of_i(offset));
    return of(binary(at, op, of(column), of(row)));
}

static kiln_tensor *triangle(kiln_site at, const char *op, kiln_operand o, int64_t offset, bool upper)
{
    Thread *t;
    kiln_tensor *x = matrix(at, op, o, &t);
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank;
    Composite s = composite_begin(t, op);
    const Op side = upper ? OP_ge : OP_le;
    kiln_operand kept = columns_to_rows(t, at, side, x, x->type.dim[rank - 2], x->type.dim[rank - 1], within_reach(offset));
    const Type scalar = {.dtype = x->type.dtype};
    kiln_operand none = of(number_like(t, at, op, &scalar, kiln_of_i(0)));
    return composite_end(t, &s, tensor_ok(kept.as.tensor) ? kiln_where_at(at, kept, of(x), none) : &t->k->poison);
}

kiln_tensor *kiln_triu_at(kiln_site at, kiln_operand x, int64_t offset) { return triangle(at, "triu", x, offset, true); }

kiln_tensor *kiln_tril_at(kiln_site at, kiln_operand x, int64_t offset) { return triangle(at, "tril", x, offset, false); }

kiln_tensor *kiln_eye_at(kiln_site at, kiln *k, kiln_dtype d, int64_t rows, int64_t columns, int64_t offset)
{
    Thread *t = thread_of(k);
    Type type;
    const kiln_shape shape = {.rank = 2, .size = {0, rows, columns}};
    if (!t || !type_from_shape(t, at, "eye", d, &shape, &type)) return t ? &k->poison : NULL;
    Composite s = composite_begin(t, "eye");
    kiln_operand on = columns_to_rows(t, at, OP_eq, NULL, rows, columns, within_reach(offset));
    return composite_end(t, &s, kiln_cast_at(at, on, d));
}

kiln_tensor *kiln_diag_at(kiln_site at, kiln_operand o, int64_t offset)
{
    Thread *t;
    char text[160];
    kiln_tensor *x = first_operand(at, "diag", o, &t);
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank;
    if (rank == 0 || rank == MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "diag: needs 1 to %d axes: %s", MAX_RANK - 1, tensor_text(x, text, sizeof text));
    offset = within_reach(offset);
    const int64_t by = offset < 0 ? -offset : offset;
    Type wide = x->type;
    wide.dim[rank - 1] = wide.dim[rank] = extent(t, at, EXTENT_ADD, x->type.dim[rank - 1], by);
    wide.rank++;
    if (extent_product(t, at, wide.dim, wide.rank) == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "diag: offset %lld makes more elements than a tensor can have: %s", (long long)offset,
            tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, "diag");
    struct pad_attrs *padding = ATTRS_ROOM(pad, 2 * MAX_RANK); /* a column's number is then that of its element */
    padding->fill = 0;
    for (int i = 0; i < rank; i++) padding->axis[i].low = padding->axis[i].high = 0;
    *(offset > 0 ? &padding->axis[rank - 1].low : &padding->axis[rank - 1].high) = by;
    kiln_tensor *row = by ? apply1(t, at, OP_pad, x, ATTRS_TO(padding, padding->axis + rank)) : x;
    row = tensor_ok(row) ? kiln_expand_at(at, of(row), -2) : row;
    const Type scalar = {.dtype = x->type.dtype};
    kiln_operand none = of(number_like(t, at, "diag", &scalar, kiln_of_i(0)));
    kiln_operand on = columns_to_rows(t, at, OP_eq, x, wide.dim[rank], wide.dim[rank], offset);
    return composite_end(t, &s, tensor_ok(row) && tensor_ok(on.as.tensor) ? kiln_where_at(at, on, of(row), none) : &t->k->poison);
}

/* ---- out of a matrix --------------------------------------------------------------------------- */

static Dim smaller(Thread *t, kiln_site at, Dim a, Dim b)
{
    if (a == b || extent_hi(t, a) <= extent_lo(t, b)) return a;
    if (extent_hi(t, b) <= extent_lo(t, a)) return b;
    return extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_ADD, a, b), extent(t, at, EXTENT_MAX, a, b));
}

/* The diagonal over the last two axes: in the rows and columns one after the other, an element and one more than a row further each
 * time. */
static kiln_tensor *last_diagonal(Thread *t, kiln_site at, const char *op, kiln_tensor *x, int64_t offset)
{
    char text[160];
    const int rank = x->type.rank;
    const Dim rows = x->type.dim[rank - 2], columns = x->type.dim[rank - 1];
    Dim first[2] = {offset < 0 ? -offset : 0, offset > 0 ? offset : 0}, left[2] = {rows, columns}, dim[MAX_RANK];
    for (int i = 0; i < 2; i++) {
        const bool inside = first[i] <= extent_lo(t, left[i]);
        if (first[i] >= extent_hi(t, left[i]))
            left[i] = 0;
        else if (first[i] != 0)
            left[i] = extent(t, at, EXTENT_SUB, left[i], first[i]);
        if (!inside) left[i] = extent(t, at, EXTENT_MAX, left[i], 0);
    }
    const Dim least = smaller(t, at, left[0], left[1]), all = extent(t, at, EXTENT_MUL, rows, columns);
    const Dim size = least != DIM_BAD && extent_lo(t, least) < 0 ? extent(t, at, EXTENT_MAX, least, 0) : least; /* which it is */
    const Dim from = extent(t, at, EXTENT_ADD, extent(t, at, EXTENT_MUL, first[0], columns), first[1]);
    if (size == DIM_BAD || all == DIM_BAD || from == DIM_BAD)
        return fail(t, at, KILN_EUNSUPPORTED, "%s: too long an expression for a size: %s", op, tensor_text(x, text, sizeof text));
    memcpy(dim, x->type.dim, sizeof dim);
    dim[rank - 2] = all;
    kiln_tensor *flat = reshape_to(t, at, x, dim, rank - 1);
    if (!tensor_ok(flat)) return flat;
    if (size == 0) return slice_axis(t, at, flat, rank - 2, 0, 0);
    if (dim_is_const(columns) && dim_is_const(size)) { /* of another size it may not be provable that the last step lies within */
        struct slice_attrs *a = slice_all(&flat->type, ATTRS_ROOM(slice, 3 * MAX_RANK));
        a->axis[rank - 2].first = from;
        a->axis[rank - 2].size = size;
        a->axis[rank - 2].step = size == 1 ? 1 : columns + 1;
        return apply1(t, at, OP_slice, flat, ATTRS_TO(a, a->axis + rank - 1));
    }
    kiln_operand i = of(iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {size}}, 0, x));
    kiln_operand step = of(kiln_add_at(at, of(dim_tensor(t, at, columns, DT_i64)), kiln_of_i(1)));
    i = of(kiln_add_at(at, of(kiln_mul_at(at, i, step)), of(dim_tensor(t, at, from, DT_i64))));
    return tensor_ok(i.as.tensor) ? apply2(t, at, OP_gather, flat, i.as.tensor, ATTRS_OF(gather, .axis = rank - 2)) : &t->k->poison;
}

static kiln_tensor *diagonal_of(Thread *t, kiln_site at, const char *op, kiln_tensor *x, int64_t offset, int rows, int columns)
{
    int perm[MAX_RANK], n = 0;
    const int rank = x->type.rank;
    if (!axis_of(t, at, op, rows, rank, &rows) || !axis_of(t, at, op, columns, rank, &columns)) return &t->k->poison;
    if (rows == columns) return fail(t, at, KILN_ESHAPE, "%s: axis %d is named twice", op, rows);
    for (int i = 0; i < rank; i++)
        if (i != rows && i != columns) perm[n++] = i;
    perm[n++] = rows;
    perm[n] = columns;
    if (rows != rank - 2 || columns != rank - 1) x = transpose_to(t, at, x, perm);
    return tensor_ok(x) ? last_diagonal(t, at, op, x, within_reach(offset)) : x;
}

kiln_tensor *kiln_diagonal_at(kiln_site at, kiln_operand o, int64_t offset, int rows, int columns)
{
    Thread *t;
    kiln_tensor *x = matrix(at, "diagonal", o, &t);
    if (!tensor_ok(x)) return x;
    Composite s = composite_begin(t, "diagonal");
    return composite_end(t, &s, diagonal_of(t, at, "diagonal", x, offset, rows, columns));
}

kiln_tensor *kiln_trace_at(kiln_site at, kiln_operand o, int64_t offset, int rows, int columns)
{
    Thread *t;
    kiln_tensor *x = matrix(at, "trace", o, &t);
    if (!tensor_ok(x)) return x;
    Composite s = composite_begin(t, "trace");
    kiln_tensor *r = diagonal_of(t, at, "trace", x, offset, rows, columns);
    return composite_end(t, &s, tensor_ok(r) ? kiln_sum_at(at, of(r), (kiln_axes){.count = 1, .axis = {0, -1}}) : r);
}
