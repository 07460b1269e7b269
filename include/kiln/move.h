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
/* x[start : stop : step] along one axis, as in Python: a negative start or stop counts from the end, and both are clamped. step may
 * be negative but not 0. KILN_END as stop means to the end in the step's direction (x[::-1] is -1, KILN_END, -1). In a trace of a
 * bounded size, bounds whose place depends on that size are KILN_EUNSUPPORTED. */
#define KILN_END INT64_MAX
KILN_API kiln_tensor *kiln_slice_at(kiln_site at, kiln_operand x, int axis, int64_t start, int64_t stop, int64_t step);
/* low, high: elements per axis */
KILN_API kiln_tensor *kiln_pad_at(kiln_site at, kiln_operand x, kiln_shape low, kiln_shape high, kiln_operand fill);
/* kiln_concat(KILN_IN(a, v), 0) joins tensors and variables along an axis; their other sizes must be equal and their dtypes
 * promote. kiln_stack puts tensors of equal shape side by side along a new axis. (Passing an array and its count as two arguments
 * is the older way.) */
KILN_API kiln_tensor *kiln_concat_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_stack_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_concat_at(kiln_site at, kiln_tensor *const *x, int count, int axis);
KILN_API kiln_tensor *kiln_stack_at(kiln_site at, kiln_tensor *const *x, int count, int axis);

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
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_reshape(x, s) kiln_reshape_at(KILN_HERE, KILN_OPERAND(x), s)
#define kiln_transpose(x, perm) kiln_transpose_at(KILN_HERE, KILN_OPERAND(x), perm)
#define kiln_broadcast(x, s) kiln_broadcast_at(KILN_HERE, KILN_OPERAND(x), s)
#define kiln_expand(x, axis) kiln_expand_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_squeeze(x, axis) kiln_squeeze_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_flatten(x) kiln_flatten_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_slice(x, axis, start, stop, step) kiln_slice_at(KILN_HERE, KILN_OPERAND(x), (axis), (start), (stop), (step))
#define kiln_pad(x, low, high, fill) kiln_pad_at(KILN_HERE, KILN_OPERAND(x), low, high, KILN_OPERAND(fill))
#define kiln_gather(x, indices, axis) kiln_gather_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (axis))
#define kiln_take_along(x, indices, axis) kiln_take_along_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (axis))
#define kiln_scatter(x, indices, updates, axis, how) kiln_scatter_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), KILN_OPERAND(updates), (axis), (how))
#define kiln_one_hot(indices, classes, t) kiln_one_hot_at(KILN_HERE, KILN_OPERAND(indices), (classes), (t))

#endif
