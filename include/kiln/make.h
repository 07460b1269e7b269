/* make.h: tensors made of numbers: ranges, grids, the unit matrix, and what is made in another tensor's shape (core.h has those that
 * are full of one number). ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_MAKE_H
#define KILN_MAKE_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- ranges: of C numbers, no tensors; sizes are checked before anything is allocated ------------------------------------ */
/* start + i * step for all i that lie before stop, as in Python: max(0, ceil((stop - start) / step)) numbers, computed in f64, or
 * for integer dtypes exactly, where fractions and results out of range are errors (the array API's arange). */
KILN_API kiln_tensor *kiln_arange_at(kiln_site at, kiln *k, kiln_dtype t, kiln_operand start, kiln_operand stop, kiln_operand step);
/* `count` floats that are equally far apart, computed in f64 and rounded once. The last is stop itself, or without `end` the one
 * before it of count + 1 such numbers. logspace: base to the power of these. */
KILN_API kiln_tensor *kiln_linspace_at(kiln_site at, kiln *k, kiln_dtype t, double start, double stop, int64_t count, bool end);
KILN_API kiln_tensor *kiln_logspace_at(kiln_site at, kiln *k, kiln_dtype t, double start, double stop, int64_t count, double base);
/* [rows, columns], 1 on the diagonal (offset 0; 1: the one above it) and 0 elsewhere; any dtype. */
KILN_API kiln_tensor *kiln_eye_at(kiln_site at, kiln *k, kiln_dtype t, int64_t rows, int64_t columns, int64_t offset);

/* ---- of another tensor's shape, whose sizes may be symbols ------------------------------------------------------------- */
/* The number in each element, in x's dtype and shape. */
KILN_API kiln_tensor *kiln_full_like_at(kiln_site at, kiln_operand x, kiln_operand number);
/* 0, 1, ... for the elements along x's axis: [n] of the dtype, which no gradient reaches. A causal mask over a size known only when
 * the function runs: kiln_greater_equal(kiln_expand(i, 1), i). */
KILN_API kiln_tensor *kiln_iota_along_at(kiln_site at, kiln_operand x, int axis, kiln_dtype t);
/* kiln_meshgrid(KILN_IN(x, y), false, out): out[i] is operand i, of rank 1 or 0, along axis i of [x's size, y's size, ...].
 * xy: the first two axes change places, as in NumPy unless it is told otherwise. False after an error: then out is poison. */
KILN_API bool kiln_meshgrid_at(kiln_site at, kiln_operands x, bool xy, kiln_tensor **out);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
#define kiln_meshgrid(x, xy, out) kiln_meshgrid_at(KILN_HERE, x, (xy), (out))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_arange(k, t, start, stop, step) kiln_arange_at(KILN_HERE, (k), (t), KILN_OPERAND(start), KILN_OPERAND(stop), KILN_OPERAND(step))
#define kiln_linspace(k, t, start, stop, count, end) kiln_linspace_at(KILN_HERE, (k), (t), (start), (stop), (count), (end))
#define kiln_logspace(k, t, start, stop, count, base) kiln_logspace_at(KILN_HERE, (k), (t), (start), (stop), (count), (base))
#define kiln_eye(k, t, rows, columns, offset) kiln_eye_at(KILN_HERE, (k), (t), (rows), (columns), (offset))
#define kiln_full_like(x, number) kiln_full_like_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(number))
#define kiln_iota_along(x, axis, t) kiln_iota_along_at(KILN_HERE, KILN_OPERAND(x), (axis), (t))

#endif
