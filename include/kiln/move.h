/* move.h: operations that move elements: shapes, slices, joins, indices. ops.h includes it and says what operands are; it compiles
 * alone as C11 and C++17. */
#ifndef KILN_MOVE_H
#define KILN_MOVE_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- movement ------------------------------------------------------------------------------------------------------------- */
KILN_API kiln_tensor *kiln_reshape_at(kiln_site at, kiln_operand x, kiln_shape s); /* one size may be -1: the rest */
KILN_API kiln_tensor *kiln_transpose_at(kiln_site at, kiln_operand x, kiln_axes perm); /* KILN_ALL reverses the order */
KILN_API kiln_tensor *kiln_broadcast_at(kiln_site at, kiln_operand x, kiln_shape s); /* size -1: as it is */
KILN_API kiln_tensor *kiln_expand_at(kiln_site at, kiln_operand x, int axis);      /* inserts an axis of size 1 */
KILN_API kiln_tensor *kiln_squeeze_at(kiln_site at, kiln_operand x, int axis);     /* removes an axis of size 1 */
KILN_API kiln_tensor *kiln_flatten_at(kiln_site at, kiln_operand x);               /* [n, ...] -> [n, rest] */
/* Several axes at once: expand_dims inserts axes of size 1 where the result has them (NumPy's expand_dims), squeeze_dims removes
 * axes of size 1; KILN_ALL: all that have it. */
KILN_API kiln_tensor *kiln_expand_dims_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_squeeze_dims_at(kiln_site at, kiln_operand x, kiln_axes axes);
/* moveaxis: axis from[i] goes to place to[i] of the result, the others keep their order. swapaxes exchanges two. (The array API's
 * permute_dims is kiln_transpose.) */
KILN_API kiln_tensor *kiln_moveaxis_at(kiln_site at, kiln_operand x, kiln_axes from, kiln_axes to);
KILN_API kiln_tensor *kiln_swapaxes_at(kiln_site at, kiln_operand x, int a, int b);
/* flip reverses the order along the axes; rot90 turns the plane of two different axes by 90 degrees, from the first towards the
 * second, that many times (NumPy's rot90); turns may be negative. */
KILN_API kiln_tensor *kiln_flip_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_rot90_at(kiln_site at, kiln_operand x, int turns, int from, int to);
/* Elements shift towards higher indices and come back in at the other end: KILN_SHAPE(2, -1) along KILN_AXES(0, 1), or one amount
 * along all axes named. KILN_ALL rolls x seen as one axis (NumPy's axis=None). Amounts may be larger than the size. */
KILN_API kiln_tensor *kiln_roll_at(kiln_site at, kiln_operand x, kiln_shape by, kiln_axes axes);
/* x in the shape of another tensor, whose sizes may be symbols; kiln_broadcast_arrays(KILN_IN(x, y), out) gives all operands, which
 * are tensors and variables, the shape in which they meet, and keeps their dtypes. False after an error: then out is poison. */
KILN_API kiln_tensor *kiln_broadcast_like_at(kiln_site at, kiln_operand x, kiln_operand like);
KILN_API bool kiln_broadcast_arrays_at(kiln_site at, kiln_operands x, kiln_tensor **out);
/* x[start : stop : step] along one axis, as in Python: a negative start or stop counts from the end, and both are clamped. step may
 * be negative but not 0. KILN_END as stop means to the end in the step's direction (x[::-1] is -1, KILN_END, -1). */
#define KILN_END INT64_MAX
KILN_API kiln_tensor *kiln_slice_at(kiln_site at, kiln_operand x, int axis, int64_t start, int64_t stop, int64_t step);
/* low, high: elements per axis; a negative amount cuts as many off */
KILN_API kiln_tensor *kiln_pad_at(kiln_site at, kiln_operand x, kiln_shape low, kiln_shape high, kiln_operand fill);
/* The same with elements of x for the new ones, along each axis in turn (NumPy's modes): EDGE repeats the last element;
 * REFLECT goes back from it (c b | a b c | b a), SYMMETRIC repeats it first (b a | a b c | c b), WRAP comes in at the other end
 * (b c | a b c | a b). Amounts may be larger than the size; negative ones cut first. An axis without elements cannot grow:
 * KILN_EVALUE. */
typedef enum kiln_padding { KILN_PAD_EDGE, KILN_PAD_REFLECT, KILN_PAD_SYMMETRIC, KILN_PAD_WRAP } kiln_padding;
KILN_API kiln_tensor *kiln_pad_with_at(kiln_site at, kiln_operand x, kiln_shape low, kiln_shape high, kiln_padding how);
/* x side by side that many times along each axis, the last of `times` for the last axis; what either lacks counts as 1 (NumPy's
 * tile). */
KILN_API kiln_tensor *kiln_tile_at(kiln_site at, kiln_operand x, kiln_shape times);
/* Each element along the axis that many times. times is a number, or a tensor of integers, one for each element, whose values must
 * be known: in a trace, a constant (NumPy's repeat). Gradient to x. */
KILN_API kiln_tensor *kiln_repeat_at(kiln_site at, kiln_operand x, kiln_operand times, int axis);
/* kiln_split(x, axis, sizes, count, out) cuts x into parts of these sizes along the axis, one of which may be -1: the rest. sizes
 * NULL: `count` equal parts. kiln_unstack(x, axis, count, out) gives the `count` tensors of which kiln_stack makes x. False after an
 * error: then out is poison. */
KILN_API bool kiln_split_at(kiln_site at, kiln_operand x, int axis, const int64_t *sizes, int count, kiln_tensor **out);
KILN_API bool kiln_unstack_at(kiln_site at, kiln_operand x, int axis, int count, kiln_tensor **out);
/* kiln_concat(KILN_IN(a, v), 0) joins tensors and variables along an axis; their other sizes must be equal and their dtypes
 * promote. With KILN_FLAT for the axis each is seen as one axis first. kiln_stack puts tensors of equal shape side by side along a
 * new axis. (Passing an array and its count as two arguments is the older way.) */
#define KILN_FLAT (-2147483647 - 1)
KILN_API kiln_tensor *kiln_concat_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_stack_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_concat_at(kiln_site at, kiln_tensor *const *x, int count, int axis);
KILN_API kiln_tensor *kiln_stack_at(kiln_site at, kiln_tensor *const *x, int count, int axis);

/* All windows of these sizes along the axes named, each `steps` after the one before: x's axes, of which those named become
 * (n - size) / step + 1 long, then the windows' own axes in the order named (NumPy's sliding_window_view; torch's unfold). steps:
 * one for each, or KILN_SHAPE() for 1. A window that is larger than the axis is KILN_ESHAPE. Gradients add up where windows
 * overlap. */
KILN_API kiln_tensor *kiln_sliding_windows_at(kiln_site at, kiln_operand x, kiln_axes axes, kiln_shape sizes, kiln_shape steps);
/* Between channels and one to three axes of space, which are all but the first axis and that of the channels: depth_to_space makes
 * of each element block x block ones, whose channels' number is divided by as many; space_to_depth goes back. order says how
 * channels are numbered (ONNX's modes): KILN_DCR by place in the block, then by channel; KILN_CRD the other way round. */
typedef enum kiln_depth_order { KILN_DCR, KILN_CRD } kiln_depth_order;
KILN_API kiln_tensor *kiln_depth_to_space_at(kiln_site at, kiln_operand x, int64_t block, int channels, kiln_depth_order order);
KILN_API kiln_tensor *kiln_space_to_depth_at(kiln_site at, kiln_operand x, int64_t block, int channels, kiln_depth_order order);

/* ---- diagonals: offset 0 is the main one, 1 the one above it, -1 the one below; it may lie outside of x ---------------------- */
/* x with 0 below (triu) or above (tril) that diagonal of its last two axes. Rank 2 or more, any dtype. */
KILN_API kiln_tensor *kiln_triu_at(kiln_site at, kiln_operand x, int64_t offset);
KILN_API kiln_tensor *kiln_tril_at(kiln_site at, kiln_operand x, int64_t offset);
/* [..., n] -> [..., m, m] with m = n + |offset|: x on that diagonal, 0 elsewhere. */
KILN_API kiln_tensor *kiln_diag_at(kiln_site at, kiln_operand x, int64_t offset);
/* The diagonal over two different axes, which the result has as its last one; trace: its sum, in x's dtype (bools count in i64). The array
 * API's have the axes -2 and -1. */
KILN_API kiln_tensor *kiln_diagonal_at(kiln_site at, kiln_operand x, int64_t offset, int rows, int columns);
KILN_API kiln_tensor *kiln_trace_at(kiln_site at, kiln_operand x, int64_t offset, int rows, int columns);

/* ---- several axes in one call ------------------------------------------------------------------------------------------
 * kiln_index(x, KILN_AT(i), KILN_ALL_OF, KILN_RANGE(1, -1)) is NumPy's x[i, :, 1:-1]. Up to 10 subscripts, one for each axis of x in
 * turn; axes behind the last are taken whole.
 *   KILN_AT(i)             the element i; the axis goes. A C number counts from the end if it is negative, and must be in range
 *   KILN_AT(t)             elements at the indices in a tensor or variable of integers, of any rank. Several broadcast against
 *                          each other and name elements together. Their axes stand where the first of them stood if they (and
 *                          numbers among them) are side by side, else they come first, as in NumPy. Out of range as kiln_gather
 *   KILN_MASK(m)           where the bools in m, which has the sizes of as many axes, are true: in place of KILN_AT of each of its
 *                          coordinates (kiln_nonzero; sized.h says what the size is in a trace)
 *   KILN_RANGE(a, b)       a : b, or with a third number a : b : step, as kiln_slice: KILN_RANGE(-1, KILN_END, -1) goes backwards
 *   KILN_FROM(start, size) `size` elements from a start that may be a tensor (rank 0), moved so that all are in range, as
 *                          kiln_assign_slice does
 *   KILN_ALL_OF            the whole axis
 *   KILN_NEW               a new axis of size 1
 *   KILN_REST              as many whole axes as are left; once */
typedef struct kiln_subscript { int64_t kind, start, stop, step; kiln_operand index; } kiln_subscript;
typedef struct kiln_subscripts { const kiln_subscript *at; int count; } kiln_subscripts;
KILN_API kiln_tensor *kiln_index_at(kiln_site at, kiln_operand x, kiln_subscripts s);

/* ---- indices ------------------------------------------------------------------------------------------------------ */
/* Indices out of range, which include negative ones (they do not count from the end): kiln_gather takes the nearest element in
 * range, kiln_one_hot makes a row of zeros, kiln_cross_entropy leaves the row out, kiln_assign_slice (control.h) and kiln_switch
 * clamp. In a checked engine (.checked of kiln_options, or KILN_CHECKED=1) each of these is a KILN_EVALUE instead, eagerly and
 * compiled, such as "gather: an index is out of range: element [1,0] is 7, of a size of 5: i64[2,2]  a.c:12". The check costs one
 * pass over the indices.
 * kiln_gather replaces x's axis by the axes of the indices; gradient to x. */
KILN_API kiln_tensor *kiln_gather_at(kiln_site at, kiln_operand x, kiln_operand indices, int axis);
/* NumPy's take_along_axis: each index names the element along the axis; the other coordinates are the index's own. The indices have
 * x's shape except along the axis. Indices out of range clamp; gradient to x. */
KILN_API kiln_tensor *kiln_take_along_at(kiln_site at, kiln_operand x, kiln_operand indices, int axis);
/* x with the updates put at the indices along the axis. The updates are one number, or have x's shape with the indices' axes in
 * place of that axis. With SET the last of several updates of one element wins. ADD, MUL, MAX and MIN (N) combine each update with
 * what lies there, in the order of the indices; 16-bit floats add and multiply in f32 and round once. Indices out of range clamp.
 * Gradients flow to x and to the updates: SET gives them to what is left of x and to the winners, MAX and MIN in equal shares to
 * all that tie; MUL's are right where factors are 0. */
typedef enum kiln_scatter_how { KILN_SCATTER_SET, KILN_SCATTER_ADD, KILN_SCATTER_MUL, KILN_SCATTER_MAX, KILN_SCATTER_MIN }
    kiln_scatter_how;
KILN_API kiln_tensor *kiln_scatter_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_operand updates, int axis,
    kiln_scatter_how how);
/* kiln_index_update(x, values, how, KILN_AT(i), ...): x with the values, which broadcast to the shape of kiln_index(x, KILN_AT(i), ...),
 * put where that takes its elements from, or combined with them; how and gradients as kiln_scatter. A variable's part is assigned by
 * kiln_assign(v, kiln_index_update(v, ...)). */
KILN_API kiln_tensor *kiln_index_update_at(kiln_site at, kiln_operand x, kiln_operand values, kiln_scatter_how how, kiln_subscripts s);
/* Indices that are rows of coordinates: those in the last axis of `indices`, whose size must be known, name elements of x's first
 * axes, or of those behind the `batch` first ones, which both have (ONNX's GatherND): [batch..., n..., c] gives [batch..., n..., x's
 * axes from batch + c on]. */
KILN_API kiln_tensor *kiln_gather_nd_at(kiln_site at, kiln_operand x, kiln_operand indices, int batch);
/* x with the updates, a number or [n..., x's axes from c on], at [n..., c] (ONNX's ScatterND); how as kiln_scatter. */
KILN_API kiln_tensor *kiln_scatter_nd_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_operand updates, kiln_scatter_how how);
/* The opposite of kiln_take_along: each update, or one number, goes to the index along the axis, and to its own place along the
 * other axes, which may be shorter than x's (ONNX's ScatterElements; torch's scatter and scatter_reduce). */
KILN_API kiln_tensor *kiln_scatter_along_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_operand updates, int axis,
    kiln_scatter_how how);
/* x with the values, a number or in the indices' shape, at the indices into x seen as one axis (NumPy's put); the last wins. */
KILN_API kiln_tensor *kiln_put_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_operand values);
/* Adds a last axis of size `classes`, all 0 for an index out of range. No gradient. */
KILN_API kiln_tensor *kiln_one_hot_at(kiln_site at, kiln_operand indices, int64_t classes, kiln_dtype t);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
#define kiln_concat(...) KILN_CAT(KILN_CONCAT_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CONCAT_2(x, axis) kiln_concat_of_at(KILN_HERE, x, (axis))
#define KILN_CONCAT_3(...) KILN_CONCAT_M(__VA_ARGS__)
#define KILN_CONCAT_4(...) KILN_CONCAT_M(__VA_ARGS__)
#define KILN_CONCAT_M(...) kiln_concat_at(KILN_HERE, __VA_ARGS__)
#define kiln_stack(...) KILN_CAT(KILN_STACK_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_STACK_2(x, axis) kiln_stack_of_at(KILN_HERE, x, (axis))
#define KILN_STACK_3(...) KILN_STACK_M(__VA_ARGS__)
#define KILN_STACK_4(...) KILN_STACK_M(__VA_ARGS__)
#define KILN_STACK_M(...) kiln_stack_at(KILN_HERE, __VA_ARGS__)
#define kiln_broadcast_arrays(x, out) kiln_broadcast_arrays_at(KILN_HERE, x, (out))
#define kiln_split(x, axis, ...) kiln_split_at(KILN_HERE, KILN_OPERAND(x), (axis), __VA_ARGS__) /* sizes, count, out */
#define kiln_unstack(x, axis, count, out) kiln_unstack_at(KILN_HERE, KILN_OPERAND(x), (axis), (count), (out))
static inline kiln_subscript kiln_subscript_of(int kind, int64_t start, int64_t stop, int64_t step, kiln_operand index)
{
    kiln_subscript s = {kind, start, stop, step, index};
    return s;
}
static inline kiln_subscripts kiln_subscript_list(const kiln_subscript *at, int count)
{
    kiln_subscripts s = {at, count};
    return s;
}
#define KILN_AT(i) kiln_subscript_of(0, 0, 0, 0, KILN_OPERAND(i))
#define KILN_MASK(m) kiln_subscript_of(6, 0, 0, 0, KILN_OPERAND(m))
#define KILN_RANGE(...) KILN_CAT(KILN_RANGE_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_RANGE_2(a, b) KILN_RANGE_3(a, b, 1)
#define KILN_RANGE_3(a, b, step) kiln_subscript_of(1, (a), (b), (step), KILN_OPERAND(0))
#define KILN_FROM(start, size) kiln_subscript_of(2, (size), 0, 0, KILN_OPERAND(start))
#define KILN_ALL_OF kiln_subscript_of(3, 0, 0, 0, KILN_OPERAND(0))
#define KILN_NEW kiln_subscript_of(4, 0, 0, 0, KILN_OPERAND(0))
#define KILN_REST kiln_subscript_of(5, 0, 0, 0, KILN_OPERAND(0))
#ifdef __cplusplus
#define KILN_SUBSCRIPTS(...) \
    kiln_subscript_list(std::initializer_list<kiln_subscript>{__VA_ARGS__}.begin(), KILN_COUNT(__VA_ARGS__))
#else
#define KILN_SUBSCRIPTS(...) kiln_subscript_list((kiln_subscript[]){__VA_ARGS__}, KILN_COUNT(__VA_ARGS__))
#endif
#define kiln_index(x, ...) kiln_index_at(KILN_HERE, KILN_OPERAND(x), KILN_SUBSCRIPTS(__VA_ARGS__))
#define kiln_index_update(x, values, how, ...) \
    kiln_index_update_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(values), (how), KILN_SUBSCRIPTS(__VA_ARGS__))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_reshape(x, s) kiln_reshape_at(KILN_HERE, KILN_OPERAND(x), s)
#define kiln_transpose(x, perm) kiln_transpose_at(KILN_HERE, KILN_OPERAND(x), perm)
#define kiln_broadcast(x, s) kiln_broadcast_at(KILN_HERE, KILN_OPERAND(x), s)
#define kiln_expand(x, axis) kiln_expand_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_squeeze(x, axis) kiln_squeeze_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_flatten(x) kiln_flatten_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_expand_dims(x, axes) kiln_expand_dims_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_squeeze_dims(x, axes) kiln_squeeze_dims_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_moveaxis(x, from, to) kiln_moveaxis_at(KILN_HERE, KILN_OPERAND(x), from, to)
#define kiln_swapaxes(x, a, b) kiln_swapaxes_at(KILN_HERE, KILN_OPERAND(x), (a), (b))
#define kiln_flip(x, axes) kiln_flip_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_rot90(x, turns, from, to) kiln_rot90_at(KILN_HERE, KILN_OPERAND(x), (turns), (from), (to))
#define kiln_roll(x, by, axes) kiln_roll_at(KILN_HERE, KILN_OPERAND(x), by, axes)
#define kiln_broadcast_like(x, like) kiln_broadcast_like_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(like))
#define kiln_slice(x, axis, start, stop, step) kiln_slice_at(KILN_HERE, KILN_OPERAND(x), (axis), (start), (stop), (step))
#define kiln_pad(x, low, high, fill) kiln_pad_at(KILN_HERE, KILN_OPERAND(x), low, high, KILN_OPERAND(fill))
#define kiln_pad_with(x, low, high, how) kiln_pad_with_at(KILN_HERE, KILN_OPERAND(x), low, high, (how))
#define kiln_tile(x, times) kiln_tile_at(KILN_HERE, KILN_OPERAND(x), times)
#define kiln_repeat(x, times, axis) kiln_repeat_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(times), (axis))
#define kiln_sliding_windows(x, axes, sizes, steps) kiln_sliding_windows_at(KILN_HERE, KILN_OPERAND(x), axes, sizes, steps)
#define kiln_depth_to_space(x, block, channels, order) kiln_depth_to_space_at(KILN_HERE, KILN_OPERAND(x), (block), (channels), (order))
#define kiln_space_to_depth(x, block, channels, order) kiln_space_to_depth_at(KILN_HERE, KILN_OPERAND(x), (block), (channels), (order))
#define kiln_triu(x, offset) kiln_triu_at(KILN_HERE, KILN_OPERAND(x), (offset))
#define kiln_tril(x, offset) kiln_tril_at(KILN_HERE, KILN_OPERAND(x), (offset))
#define kiln_diag(x, offset) kiln_diag_at(KILN_HERE, KILN_OPERAND(x), (offset))
#define kiln_diagonal(x, offset, rows, columns) kiln_diagonal_at(KILN_HERE, KILN_OPERAND(x), (offset), (rows), (columns))
#define kiln_trace(x, offset, rows, columns) kiln_trace_at(KILN_HERE, KILN_OPERAND(x), (offset), (rows), (columns))
#define kiln_gather(x, indices, axis) kiln_gather_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (axis))
#define kiln_take_along(x, indices, axis) kiln_take_along_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (axis))
#define kiln_scatter(x, indices, updates, axis, how) kiln_scatter_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), KILN_OPERAND(updates), (axis), (how))
#define kiln_gather_nd(x, indices, batch) kiln_gather_nd_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (batch))
#define kiln_scatter_nd(x, indices, updates, how) kiln_scatter_nd_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), KILN_OPERAND(updates), (how))
#define kiln_scatter_along(x, indices, updates, axis, how) kiln_scatter_along_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), KILN_OPERAND(updates), (axis), (how))
#define kiln_put(x, indices, values) kiln_put_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), KILN_OPERAND(values))
#define kiln_one_hot(indices, classes, t) kiln_one_hot_at(KILN_HERE, KILN_OPERAND(indices), (classes), (t))

#endif
