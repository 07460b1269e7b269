/* sized.h: operations whose results have a size that the elements tell: the places of elements, those that a mask takes, different
 * elements, boxes that are left. ops.h includes it and says what operands are; it compiles alone as C11 and C++17.
 *
 * Eagerly a result simply has its size. In a traced function the size is a symbol that is counted while the function runs, at most a
 * bound that the operands tell: memory is planned for the bound, everything that follows runs to the true size, and nothing that
 * lies beyond it enters a sum, a mean, a maximum or a softmax. Two results have one size if they count the same: those of one mask go
 * together, those of two masks are an error (sizes differ), even if a run would find equal numbers. Where a size turns out to be
 * too small for what is asked of it (a largest element or an argmax of none, an index, the few of kiln_top_k, a window) it is
 * KILN_EVALUE of the running function. kiln_dim of such an axis, in C, is the bound; kiln_iota_along, kiln_sum and their like see
 * the true size. Results and gradients of compiled functions have their true sizes. A loop's body, a branch or a condition may
 * count sizes and use them; what it gives out has a size from outside (KILN_EUNSUPPORTED). In a kiln_vmap each example may count a
 * size of its own: what has such a size runs in a loop over the examples, and results of the map have sizes that are the same for
 * all (KILN_EUNSUPPORTED; zeros of the bound, into which elements are scattered at kiln_iota_along, hold any of them). Ahead of time
 * each result is a buffer of the bound, and the true sizes are further i64 results, which the header names (on a device, i64 in its
 * memory). */
#ifndef KILN_SIZED_H
#define KILN_SIZED_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- places and masks --------------------------------------------------------------------------------------------------- */
/* The coordinates of the elements that are not 0 (NaN is not), in row-major order: i64[rank, n] (ONNX's NonZero; kiln_unstack gives
 * NumPy's tuple, kiln_transpose torch's [n, rank]). x is of any dtype and has at least one axis. No gradient. */
KILN_API kiln_tensor *kiln_nonzero_at(kiln_site at, kiln_operand x);
/* The slices of x along the axis where the mask, [m] with m no more than the axis has, is true (NumPy's and ONNX's compress; torch's
 * masked_select and NumPy's x[mask] are kiln_masked). Gradient to x. */
KILN_API kiln_tensor *kiln_compress_at(kiln_site at, kiln_operand x, kiln_operand mask, int axis);
/* x[mask]: the mask, of bools, has the shape of x's first axes, which become one, [n, x's other axes], in row-major order. Gradient
 * to x. */
KILN_API kiln_tensor *kiln_masked_at(kiln_site at, kiln_operand x, kiln_operand mask);
/* The same, no more than the first `most` places; that is the bound, too. */
KILN_API kiln_tensor *kiln_nonzero_within_at(kiln_site at, kiln_operand x, int64_t most);
KILN_API kiln_tensor *kiln_compress_within_at(kiln_site at, kiln_operand x, kiln_operand mask, int axis, int64_t most);
KILN_API kiln_tensor *kiln_masked_within_at(kiln_site at, kiln_operand x, kiln_operand mask, int64_t most);

/* ---- different elements ------------------------------------------------------------------------------------------------- */
/* The different elements of x (A), ascending, [n]. -0 equals 0; each NaN is one of its own, and NaN come last (the array API's
 * unique_values; ONNX's Unique, sorted). The gradient of an element goes to its first occurrence. */
KILN_API kiln_tensor *kiln_unique_values_at(kiln_site at, kiln_operand x);
/* unique_counts: out[0] the values, out[1] how often each occurs, i64[n]. unique_inverse: out[0] the values, out[1] for each element
 * of x the index of its value, i64 in x's shape. unique_all: the values, the index of each one's first occurrence in x seen as one
 * axis, i64[n], the inverse, the counts. False after an error: then out is poison. */
KILN_API bool kiln_unique_counts_at(kiln_site at, kiln_operand x, kiln_tensor **out);
KILN_API bool kiln_unique_inverse_at(kiln_site at, kiln_operand x, kiln_tensor **out);
KILN_API bool kiln_unique_all_at(kiln_site at, kiln_operand x, kiln_tensor **out);
/* All of these with an axis and an order (torch's unique with dim, ONNX's Unique): the different slices of x along the axis, in the order
 * of their first different elements, or with KILN_FLAT (move.h) its elements. how is 0, ascending; or KILN_FIRST_MET: in the order in which
 * x has them. A slice with a NaN is one of its own. Unless NULL, *indices receives where along the axis each occurs first, *inverse for
 * each slice the index of its equal in the result, i64 [x's size along the axis] (KILN_FLAT: x's shape), and *counts how often each
 * occurs. The gradient goes to first occurrences. After an error all are poison. Slices of m elements take 2 m sorts of x's size along
 * the axis, in about log2(m) steps; of a size that is a symbol, m is its bound. */
#define KILN_FIRST_MET 512
KILN_API kiln_tensor *kiln_unique_at(kiln_site at, kiln_operand x, int axis, int how, kiln_tensor **indices, kiln_tensor **inverse,
    kiln_tensor **counts);

/* ---- boxes ---------------------------------------------------------------------------------------------------------------- */
/* Non-maximum suppression as ONNX has it: boxes [b, n, 4], scores [b, c, n] (F) -> i64[m, 3]: rows (batch, class, box) by batch, class
 * and falling score. Of the boxes of a class whose score is above `score` (-INFINITY: all but NaN) the one with the highest, of
 * equals the first, is taken, and those that overlap it by more than `iou`, the area in common divided by that of both, go; and so on,
 * until none is left or `most` are taken (-1: no limit). A box is two opposite corners (y, x, y, x), or with `centers` (x, y, width,
 * height); one without area overlaps none. Time is that of the boxes taken times n. No gradient. */
KILN_API kiln_tensor *kiln_non_max_suppression_at(kiln_site at, kiln_operand boxes, kiln_operand scores, int64_t most, double iou,
    double score, bool centers);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
#define kiln_unique_counts(x, out) kiln_unique_counts_at(KILN_HERE, KILN_OPERAND(x), (out))
#define kiln_unique_inverse(x, out) kiln_unique_inverse_at(KILN_HERE, KILN_OPERAND(x), (out))
#define kiln_unique_all(x, out) kiln_unique_all_at(KILN_HERE, KILN_OPERAND(x), (out))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_nonzero(x) kiln_nonzero_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_compress(x, mask, axis) kiln_compress_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(mask), (axis))
#define kiln_masked(x, mask) kiln_masked_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(mask))
#define kiln_nonzero_within(x, most) kiln_nonzero_within_at(KILN_HERE, KILN_OPERAND(x), (most))
#define kiln_compress_within(x, mask, axis, most) kiln_compress_within_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(mask), (axis), (most))
#define kiln_masked_within(x, mask, most) kiln_masked_within_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(mask), (most))
#define kiln_unique_values(x) kiln_unique_values_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_unique(x, axis, how, indices, inverse, counts) kiln_unique_at(KILN_HERE, KILN_OPERAND(x), (axis), (how), (indices), (inverse), (counts))
#define kiln_non_max_suppression(boxes, scores, most, iou, score, centers) kiln_non_max_suppression_at(KILN_HERE, KILN_OPERAND(boxes), KILN_OPERAND(scores), (most), (iou), (score), (centers))

#endif
