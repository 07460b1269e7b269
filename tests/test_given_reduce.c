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

static const GivenRow rows[] = {ROW(sum_axis, 0, GIVEN_GRAD), ROW(sum_all, 0, GIVEN_GRAD), ROW(prod_all, 0, GIVEN_GRAD),
    ROW(mean_axis, 1, GIVEN_GRAD), ROW(variance_axis, 4, GIVEN_GRAD), ROW(max_axis, 0, 0), ROW(min_axis, 0, 0), ROW(argmax, 0, 0),
    ROW(argmin, 0, 0), ROW(sort, 0, 0), ROW(argsort, 0, 0), ROW(cumsum, 0, GIVEN_GRAD)};

GIVEN_MAIN("reduce", rows)
