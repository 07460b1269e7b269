/* reduce.h: reductions, running sums, order. ops.h includes it and says what operands and dtype letters are; it compiles alone as C11
 * and C++17. */
#ifndef KILN_REDUCE_H
#define KILN_REDUCE_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reductions: over KILN_AXES(...), KILN_KEEP(...) or KILN_ALL ----------------------------------------------------------------
 * Negative axes count from the end; an axis named twice is an error. The order of additions is fixed (docs/numerics.md). "empty"
 * says what a reduction over no elements gives. */
KILN_API kiln_tensor *kiln_sum_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* N; integers wrap; empty: 0 */
KILN_API kiln_tensor *kiln_prod_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* N; empty: 1 */
KILN_API kiln_tensor *kiln_mean_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* F; empty: NaN */
/* A; empty is an error; ties share the gradient */
KILN_API kiln_tensor *kiln_reduce_max_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_reduce_min_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_variance_at(kiln_site at, kiln_operand x, kiln_axes axes); /* F; mean of (x - mean)^2, divided by n */
KILN_API kiln_tensor *kiln_any_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* bool only; empty: false */
KILN_API kiln_tensor *kiln_all_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* bool only; empty: true */
/* N; result i64: the first of equals, or the first NaN; no gradient */
KILN_API kiln_tensor *kiln_argmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_argmin_at(kiln_site at, kiln_operand x, int axis);

/* ---- running sums, order ------------------------------------------------------------------------------------------ */
/* Running sums and products (N): each element combined with all before it along the axis; the result has x's shape
 * (docs/numerics.md tells the order). how is 0 or a sum of KILN_REVERSE (start at the end) and KILN_EXCLUSIVE (leave out the
 * element itself, so that 0, or 1 for products, comes first). 16-bit floats compute in f32 and round once. Gradients are right
 * where factors are 0. */
#define KILN_REVERSE 1
#define KILN_EXCLUSIVE 2
KILN_API kiln_tensor *kiln_cumsum_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_cumprod_at(kiln_site at, kiln_operand x, int axis, int how);
/* h[i] = a[i] * h[i - 1] + b[i] along the axis (N), computed in the order of the index; h is 0 before the first step. how is 0 or
 * KILN_REVERSE. It serves moving averages, discounted returns and linear state spaces. a and b broadcast and promote. */
KILN_API kiln_tensor *kiln_recurrence_at(kiln_site at, kiln_operand a, kiln_operand b, int axis, int how);
/* Sorting along an axis (A): the smallest element comes first, or the largest if how is KILN_DESCENDING (else 0). NaN is last
 * either way, -0 equals 0, and equal elements keep their order (stable). kiln_sort returns the elements (gradient to x),
 * kiln_argsort their indices as i64. kiln_top_k returns the `count` largest elements, the largest first and equal ones by lower
 * index; it stores their indices in *indices unless that is NULL. */
#define KILN_DESCENDING 4
KILN_API kiln_tensor *kiln_sort_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_argsort_at(kiln_site at, kiln_operand x, int axis, int how); /* no gradient */
KILN_API kiln_tensor *kiln_top_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_sum(x, axes) kiln_sum_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_prod(x, axes) kiln_prod_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_mean(x, axes) kiln_mean_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_max(x, axes) kiln_reduce_max_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_min(x, axes) kiln_reduce_min_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_variance(x, axes) kiln_variance_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_any(x, axes) kiln_any_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_all(x, axes) kiln_all_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_argmax(x, axis) kiln_argmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_argmin(x, axis) kiln_argmin_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_cumsum(x, axis, how) kiln_cumsum_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_cumprod(x, axis, how) kiln_cumprod_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_recurrence(a, b, axis, how) kiln_recurrence_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), (axis), (how))
#define kiln_sort(x, axis, how) kiln_sort_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_argsort(x, axis, how) kiln_argsort_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_top_k(x, count, axis, indices) kiln_top_k_at(KILN_HERE, KILN_OPERAND(x), (count), (axis), (indices))

#endif
