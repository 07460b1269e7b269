/* test_given_reduce: reductions, running sums and order (reduce.h) against NumPy's (tests/given/reduce.py). */
#include "given.h"

GIVEN(sum_axis, kiln_sum(X(0), KILN_AXES(I(0))))
GIVEN(sum_all, kiln_sum(X(0), KILN_ALL))
GIVEN(prod_all, kiln_prod(X(0), KILN_ALL))
GIVEN(mean_axis, kiln_mean(X(0), KILN_AXES(I(0))))
GIVEN(variance_axis, kiln_variance(X(0), KILN_AXES(I(0))))
GIVEN(max_axis, kiln_reduce_max(X(0), KILN_AXES(I(0))))
GIVEN(min_axis, kiln_reduce_min(X(0), KILN_AXES(I(0))))
GIVEN(argmax, kiln_argmax(X(0), I(0)))
GIVEN(argmin, kiln_argmin(X(0), I(0)))
GIVEN(sort, kiln_sort(X(0), I(0), I(1)))
GIVEN(argsort, kiln_argsort(X(0), I(0), 0))
GIVEN(cumsum, kiln_cumsum(X(0), I(0), 0))


GIVEN(sum_over, kiln_sum(X(0), OVER))
GIVEN(prod_over, kiln_prod(X(0), OVER))
GIVEN(any_over, kiln_any(X(0), OVER))
GIVEN(all_over, kiln_all(X(0), OVER))
GIVEN(count_nonzero, kiln_count_nonzero(X(0), OVER))
GIVEN(ptp, kiln_ptp(X(0), OVER))
GIVEN(reduce_l1, kiln_reduce_l1(X(0), OVER))
GIVEN(reduce_sum_square, kiln_reduce_sum_square(X(0), OVER))
GIVEN(reduce_logsumexp, kiln_reduce_logsumexp(X(0), OVER))
GIVEN(reduce_log_sum, kiln_reduce_log_sum(X(0), OVER))
GIVEN(var, kiln_var(X(0), OVER, N(PAST)))
GIVEN(std, kiln_std(X(0), OVER, N(PAST)))
GIVEN(average, kiln_average(X(0), X(1), OVER))
GIVEN(nansum, kiln_nansum(X(0), OVER))
GIVEN(nanprod, kiln_nanprod(X(0), OVER))
GIVEN(nanmean, kiln_nanmean(X(0), OVER))
GIVEN(nanmax, kiln_nanmax(X(0), OVER))
GIVEN(nanmin, kiln_nanmin(X(0), OVER))
GIVEN(norm, kiln_vector_norm(X(0), N(PAST), OVER))
GIVEN(norm_2, kiln_vector_norm(X(0), 2, OVER))
GIVEN(norm_3, kiln_vector_norm(X(0), 3, OVER))
GIVEN(matrix_norm, kiln_matrix_norm(X(0), N(PAST), OVER))
GIVEN(median, kiln_median(X(0), OVER))
GIVEN(quantile, kiln_quantile(X(0), N(PAST), OVER, (kiln_quantile_method)I(PAST + 1)))
GIVEN(quantile_many, kiln_quantile(X(0), X(1), OVER, (kiln_quantile_method)I(PAST)))
GIVEN(argmax_over, kiln_argmax_over(X(0), OVER, I(PAST)))
GIVEN(argmin_over, kiln_argmin_over(X(0), OVER, I(PAST)))

static const GivenRow rows[] = {ROW(sum_axis, 0, GIVEN_GRAD), ROW(sum_all, 0, GIVEN_GRAD), ROW(prod_all, 0, GIVEN_GRAD),
    ROW(mean_axis, 1, GIVEN_GRAD), ROW(variance_axis, 4, GIVEN_GRAD), ROW(max_axis, 0, 0), ROW(min_axis, 0, 0), ROW(argmax, 0, 0),
    ROW(argmin, 0, 0), ROW(sort, 0, 0), ROW(argsort, 0, 0), ROW(cumsum, 0, GIVEN_GRAD),
    ROW(sum_over, 0, 0), ROW(prod_over, 0, 0), ROW(any_over, 0, 0), ROW(all_over, 0, 0), ROW(count_nonzero, 0, 0), ROW(ptp, 0, GIVEN_GRAD),
    ROW(reduce_l1, 0, GIVEN_GRAD), ROW(reduce_sum_square, 0, GIVEN_GRAD), ROW(reduce_logsumexp, 2, GIVEN_GRAD), ROW(reduce_log_sum, 2, GIVEN_GRAD),
    ROW(var, 4, GIVEN_GRAD), ROW(std, 4, GIVEN_GRAD), ROW(average, 2, GIVEN_GRAD), ROW(nansum, 0, GIVEN_GRAD), ROW(nanprod, 2, GIVEN_GRAD),
    ROW(nanmean, 1, GIVEN_GRAD), ROW(nanmax, 0, GIVEN_GRAD), ROW(nanmin, 0, 0), ROW(norm, 8, GIVEN_GRAD), ROW(norm_2, 2, GIVEN_GRAD), ROW(norm_3, 4, GIVEN_GRAD),
    ROW(matrix_norm, 1, GIVEN_GRAD), ROW(median, 1, GIVEN_GRAD), ROW(quantile, 2, GIVEN_GRAD), ROW(quantile_many, 2, GIVEN_GRAD), ROW(argmax_over, 0, 0),
    ROW(argmin_over, 0, 0)};

GIVEN_MAIN("reduce", rows)
