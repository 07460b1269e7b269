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
KILN_API kiln_tensor *kiln_sum_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* A; integers wrap; bools count, in i64; empty: 0 */
KILN_API kiln_tensor *kiln_prod_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* A; bools in i64; empty: 1 */
KILN_API kiln_tensor *kiln_mean_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* F; empty: NaN */
/* A; empty is an error; ties share the gradient */
KILN_API kiln_tensor *kiln_reduce_max_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_reduce_min_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_variance_at(kiln_site at, kiln_operand x, kiln_axes axes); /* F; mean of (x - mean)^2, divided by n */
KILN_API kiln_tensor *kiln_any_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* A: whether one is not 0, NaN among them; empty: false */
KILN_API kiln_tensor *kiln_all_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* A: whether none is 0; empty: true */
/* A; result i64: the first of equals, or the first NaN; no gradient */
KILN_API kiln_tensor *kiln_argmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_argmin_at(kiln_site at, kiln_operand x, int axis);
/* The same over any axes, which count as one in their order (KILN_ALL: the index in x flattened); over none it is 0. how is 0, or
 * KILN_LAST for the last of equals, or the last NaN. */
#define KILN_LAST 32
KILN_API kiln_tensor *kiln_argmax_over_at(kiln_site at, kiln_operand x, kiln_axes axes, int how);
KILN_API kiln_tensor *kiln_argmin_over_at(kiln_site at, kiln_operand x, kiln_axes axes, int how);

KILN_API kiln_tensor *kiln_count_nonzero_at(kiln_site at, kiln_operand x, kiln_axes axes); /* A; i64; NaN counts; no gradient */
KILN_API kiln_tensor *kiln_ptp_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* N; the largest minus the smallest */
/* F; log(sum(exp(x))), right however large x is; empty: minus infinity. kiln_logsumexp (loss.h) is this over one axis. */
KILN_API kiln_tensor *kiln_reduce_logsumexp_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_reduce_log_sum_at(kiln_site at, kiln_operand x, kiln_axes axes);    /* F; log(sum(x)) */
KILN_API kiln_tensor *kiln_reduce_sum_square_at(kiln_site at, kiln_operand x, kiln_axes axes); /* N; sum(x * x) */
KILN_API kiln_tensor *kiln_reduce_l1_at(kiln_site at, kiln_operand x, kiln_axes axes);         /* N; sum(|x|) */
/* F; sqrt(sum(x * x)), as kiln_vector_norm of 2 */
KILN_API kiln_tensor *kiln_reduce_l2_at(kiln_site at, kiln_operand x, kiln_axes axes);
/* F; the sum of (x - mean)^2 divided by n - correction, or by 0 where that is negative; kiln_std is its root, whose gradient is 0
 * where it is 0. kiln_variance has the correction 0. */
KILN_API kiln_tensor *kiln_var_at(kiln_site at, kiln_operand x, kiln_axes axes, double correction);
KILN_API kiln_tensor *kiln_std_at(kiln_site at, kiln_operand x, kiln_axes axes, double correction);
/* F; sum(x w) / sum(w); w is a number or broadcasts to x. Gradients flow to both. */
KILN_API kiln_tensor *kiln_average_at(kiln_site at, kiln_operand x, kiln_operand weights, kiln_axes axes);
/* F; over what is no NaN. Where all is NaN, sums are 0, products 1, means and extremes NaN. */
KILN_API kiln_tensor *kiln_nansum_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_nanprod_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_nanmean_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_nanmax_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_nanmin_at(kiln_site at, kiln_operand x, kiln_axes axes);

/* F; (sum of |x|^p)^(1/p) for any p: 1, 2, also INFINITY and -INFINITY (the largest and the smallest |x|; empty is an error) and 0
 * (how many are not 0; no gradient). It is right wherever the result is in range; the gradient of a norm of zeros is 0. */
KILN_API kiln_tensor *kiln_vector_norm_at(kiln_site at, kiln_operand x, double p, kiln_axes axes);
/* F; of the matrices along two axes, rows named first: KILN_FROBENIUS, the root of the sum of squares; 1 or -1, the largest or
 * smallest sum of |x| of a column; INFINITY or -INFINITY, of a row. 2, -2 and KILN_NUCLEAR, the largest and
 * smallest singular value and the sum of all (kiln_svdvals, whose needs and gradient they share). */
#define KILN_FROBENIUS 0
#define KILN_NUCLEAR 1024
KILN_API kiln_tensor *kiln_matrix_norm_at(kiln_site at, kiln_operand x, double p, kiln_axes axes);

/* F; the value below which the part q of the elements lies, 0 <= q <= 1, among the axes' elements in order; q is a number or floats
 * of rank 0 or 1, whose axis then comes first in the result. Between two elements the method says what it is (Hyndman & Fan 1996
 * number them): KILN_LINEAR (7) goes from one to the other; LOWER, HIGHER, NEAREST (of equally near ones the even place) and
 * MIDPOINT lie at the same place, (n - 1) q; INVERTED_CDF (1) and AVERAGED_INVERTED_CDF (2) are elements, or means of two; HAZEN
 * (5), WEIBULL (6), MEDIAN_UNBIASED (8) and NORMAL_UNBIASED (9) go from one to the other at other places. Where a NaN is among
 * them, or q is none in [0, 1], the result is NaN; no elements are an error. Gradients flow to the elements met, and to q. */
typedef enum kiln_quantile_method {
    KILN_LINEAR, KILN_LOWER, KILN_HIGHER, KILN_NEAREST, KILN_MIDPOINT, KILN_INVERTED_CDF, KILN_AVERAGED_INVERTED_CDF,
    KILN_HAZEN, KILN_WEIBULL, KILN_MEDIAN_UNBIASED, KILN_NORMAL_UNBIASED
} kiln_quantile_method;
KILN_API kiln_tensor *kiln_quantile_at(kiln_site at, kiln_operand x, kiln_operand q, kiln_axes axes, kiln_quantile_method method);
KILN_API kiln_tensor *kiln_median_at(kiln_site at, kiln_operand x, kiln_axes axes); /* F; the quantile of 0.5, KILN_LINEAR */

/* ---- running sums, order ------------------------------------------------------------------------------------------ */
/* Running sums and products (A; bools in i64): each element combined with all before it along the axis; the result has x's shape
 * (docs/numerics.md tells the order). how is 0 or a sum of KILN_REVERSE (start at the end) and one of KILN_EXCLUSIVE (leave out the
 * element itself, so that 0, or 1 for products, comes first) and KILN_INITIAL (0 or 1 comes first, and all n others after it: n + 1
 * elements). 16-bit floats compute in f32 and round once. Gradients are right where factors are 0. */
#define KILN_REVERSE 1
#define KILN_EXCLUSIVE 2
#define KILN_INITIAL 8
KILN_API kiln_tensor *kiln_cumsum_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_cumprod_at(kiln_site at, kiln_operand x, int axis, int how);
/* h[i] = a[i] * h[i - 1] + b[i] along the axis (N), computed in the order of the index; h is 0 before the first step. how is 0 or
 * KILN_REVERSE. It serves moving averages, discounted returns and linear state spaces. a and b broadcast and promote. */
KILN_API kiln_tensor *kiln_recurrence_at(kiln_site at, kiln_operand a, kiln_operand b, int axis, int how);
/* The largest, or smallest, of each element and all before it along the axis (A). NaN wins from its place on. how is 0 or
 * KILN_REVERSE. *indices, unless indices is NULL, gets where they lie (i64): of equals the one met last, to which the gradient goes. */
KILN_API kiln_tensor *kiln_cummax_at(kiln_site at, kiln_operand x, int axis, int how, kiln_tensor **indices);
KILN_API kiln_tensor *kiln_cummin_at(kiln_site at, kiln_operand x, int axis, int how, kiln_tensor **indices);
/* F; log of the running sum of exp(x), right however far apart its elements are; how is 0 or KILN_REVERSE */
KILN_API kiln_tensor *kiln_logcumsumexp_at(kiln_site at, kiln_operand x, int axis, int how);
/* x[i + 1] - x[i] along the axis, `times` times over (A; of bools whether they differ; integers wrap). before and after are tensors
 * that are joined to x at the axis' ends first, or NULL. */
KILN_API kiln_tensor *kiln_diff_at(kiln_site at, kiln_operand x, int axis, int64_t times, kiln_operand before, kiln_operand after);
/* Sorting along an axis (A): the smallest element comes first, or the largest if how is KILN_DESCENDING (else 0). NaN is last
 * either way. kiln_sort returns the elements (gradient to x), -0 before 0, or behind it if descending; kiln_argsort their indices as
 * i64, where -0 equals 0 and equal elements keep their order (stable). kiln_top_k returns the `count` largest elements, the largest
 * first and equal ones by lower index; it stores their indices in *indices unless that is NULL. */
#define KILN_DESCENDING 4
KILN_API kiln_tensor *kiln_sort_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_argsort_at(kiln_site at, kiln_operand x, int axis, int how); /* no gradient */
KILN_API kiln_tensor *kiln_top_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices);
/* The `count` smallest, the smallest first, otherwise as kiln_top_k. */
KILN_API kiln_tensor *kiln_bottom_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices);

/* ---- places in an order, counts ------------------------------------------------------------------------------------------ */
/* For each value the place in `sorted` (A, [n], ascending, NaN last; kiln_gather(x, kiln_argsort(x, 0, 0), 0) sorts by a sorter) at which
 * it could be put in: i64, of the values' shape. how is 0: before its equals; or KILN_AFTER: after them. The dtypes promote. n log n
 * comparisons are made; no gradient. */
#define KILN_AFTER 64
KILN_API kiln_tensor *kiln_searchsorted_at(kiln_site at, kiln_operand sorted, kiln_operand values, int how);
/* bool of x's shape: whether the element equals one of the set, which may have any shape (A; the dtypes promote; a NaN equals none). */
KILN_API kiln_tensor *kiln_isin_at(kiln_site at, kiln_operand x, kiln_operand set);
/* How many of x's elements (N) lie between edges [n + 1], which ascend: i64 [n]. Each bin has its lower edge, the last one both; what
 * lies outside, and NaN, is not counted. The edges are promoted with x; with integers x they may be floats, and both become f64. */
KILN_API kiln_tensor *kiln_histogram_at(kiln_site at, kiln_operand x, kiln_operand edges);
/* The same with `bins` bins of equal width from low to high (edges are low + i (high - low) / bins in f64, rounded to x's dtype). */
KILN_API kiln_tensor *kiln_histogram_range_at(kiln_site at, kiln_operand x, int64_t bins, double low, double high);
/* How often each integer of [0, length) is in x: i64 [length]; with weights (N, of x's shape) their sums, to which gradients flow; NULL:
 * none. Other integers are left out. */
KILN_API kiln_tensor *kiln_bincount_at(kiln_site at, kiln_operand x, int64_t length, kiln_operand weights);
/* x [n, ...] and integers [n] give [count, ...]: the sum, product, largest, smallest or mean of the rows of each segment (N; mean: F), in
 * order of the rows. A segment without rows has 0, 1, minus infinity or the smallest integer, infinity or the largest, NaN. Rows whose
 * integer is not in [0, count) take no part; a checked engine gives an error (kiln_gather). Gradients as kiln_scatter's. */
KILN_API kiln_tensor *kiln_segment_sum_at(kiln_site at, kiln_operand x, kiln_operand segments, int64_t count);
KILN_API kiln_tensor *kiln_segment_prod_at(kiln_site at, kiln_operand x, kiln_operand segments, int64_t count);
KILN_API kiln_tensor *kiln_segment_max_at(kiln_site at, kiln_operand x, kiln_operand segments, int64_t count);
KILN_API kiln_tensor *kiln_segment_min_at(kiln_site at, kiln_operand x, kiln_operand segments, int64_t count);
KILN_API kiln_tensor *kiln_segment_mean_at(kiln_site at, kiln_operand x, kiln_operand segments, int64_t count);

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
#define kiln_argmax_over(x, axes, how) kiln_argmax_over_at(KILN_HERE, KILN_OPERAND(x), axes, (how))
#define kiln_argmin_over(x, axes, how) kiln_argmin_over_at(KILN_HERE, KILN_OPERAND(x), axes, (how))
#define kiln_count_nonzero(x, axes) kiln_count_nonzero_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_ptp(x, axes) kiln_ptp_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_logsumexp(x, axes) kiln_reduce_logsumexp_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_log_sum(x, axes) kiln_reduce_log_sum_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_sum_square(x, axes) kiln_reduce_sum_square_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_l1(x, axes) kiln_reduce_l1_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_l2(x, axes) kiln_reduce_l2_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_var(x, axes, correction) kiln_var_at(KILN_HERE, KILN_OPERAND(x), axes, (correction))
#define kiln_std(x, axes, correction) kiln_std_at(KILN_HERE, KILN_OPERAND(x), axes, (correction))
#define kiln_average(x, weights, axes) kiln_average_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(weights), axes)
#define kiln_nansum(x, axes) kiln_nansum_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_nanprod(x, axes) kiln_nanprod_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_nanmean(x, axes) kiln_nanmean_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_nanmax(x, axes) kiln_nanmax_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_nanmin(x, axes) kiln_nanmin_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_vector_norm(x, p, axes) kiln_vector_norm_at(KILN_HERE, KILN_OPERAND(x), (p), axes)
#define kiln_matrix_norm(x, p, axes) kiln_matrix_norm_at(KILN_HERE, KILN_OPERAND(x), (p), axes)
#define kiln_quantile(x, q, axes, method) kiln_quantile_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(q), axes, (method))
#define kiln_median(x, axes) kiln_median_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_cumsum(x, axis, how) kiln_cumsum_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_cumprod(x, axis, how) kiln_cumprod_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_recurrence(a, b, axis, how) kiln_recurrence_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), (axis), (how))
#define kiln_cummax(x, axis, how, indices) kiln_cummax_at(KILN_HERE, KILN_OPERAND(x), (axis), (how), (indices))
#define kiln_cummin(x, axis, how, indices) kiln_cummin_at(KILN_HERE, KILN_OPERAND(x), (axis), (how), (indices))
#define kiln_logcumsumexp(x, axis, how) kiln_logcumsumexp_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_diff(x, axis, times, before, after) kiln_diff_at(KILN_HERE, KILN_OPERAND(x), (axis), (times), KILN_OPERAND(before), KILN_OPERAND(after))
#define kiln_sort(x, axis, how) kiln_sort_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_argsort(x, axis, how) kiln_argsort_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_top_k(x, count, axis, indices) kiln_top_k_at(KILN_HERE, KILN_OPERAND(x), (count), (axis), (indices))
#define kiln_bottom_k(x, count, axis, indices) kiln_bottom_k_at(KILN_HERE, KILN_OPERAND(x), (count), (axis), (indices))
#define kiln_searchsorted(sorted, values, how) kiln_searchsorted_at(KILN_HERE, KILN_OPERAND(sorted), KILN_OPERAND(values), (how))
#define kiln_isin(x, set) kiln_isin_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(set))
#define kiln_histogram(x, edges) kiln_histogram_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(edges))
#define kiln_histogram_range(x, bins, low, high) kiln_histogram_range_at(KILN_HERE, KILN_OPERAND(x), (bins), (low), (high))
#define kiln_bincount(x, length, weights) kiln_bincount_at(KILN_HERE, KILN_OPERAND(x), (length), KILN_OPERAND(weights))
#define kiln_segment_sum(x, segments, count) kiln_segment_sum_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(segments), (count))
#define kiln_segment_prod(x, segments, count) kiln_segment_prod_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(segments), (count))
#define kiln_segment_max(x, segments, count) kiln_segment_max_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(segments), (count))
#define kiln_segment_min(x, segments, count) kiln_segment_min_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(segments), (count))
#define kiln_segment_mean(x, segments, count) kiln_segment_mean_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(segments), (count))

#endif
