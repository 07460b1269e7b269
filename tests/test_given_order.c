/* test_given_order: running sums and extremes, order, places and counts (reduce.h) against NumPy's (tests/given/order.py). */
#include "given.h"

#define TWO(name, call)                                    \
    static void name(const Given *g, kiln_tensor **out)    \
    {                                                      \
        out[1] = NULL;                                     \
        out[0] = call;                                     \
    }
TWO(cummax, kiln_cummax(X(0), I(0), I(1), &out[1]))
TWO(cummin, kiln_cummin(X(0), I(0), I(1), &out[1]))
TWO(top_k, kiln_top_k(X(0), I(0), I(1), &out[1]))
TWO(bottom_k, kiln_bottom_k(X(0), I(0), I(1), &out[1]))
GIVEN(cummax_of, kiln_cummax(X(0), I(0), I(1), NULL))
GIVEN(cummin_of, kiln_cummin(X(0), I(0), I(1), NULL))
GIVEN(cumsum_how, kiln_cumsum(X(0), I(0), I(1)))
GIVEN(cumprod_how, kiln_cumprod(X(0), I(0), I(1)))
GIVEN(logcumsumexp, kiln_logcumsumexp(X(0), I(0), I(1)))
GIVEN(diff, kiln_diff(X(0), I(0), I(1), NULL, NULL))
GIVEN(diff_joined, kiln_diff(X(0), I(0), I(1), X(1), X(2)))
GIVEN(searchsorted, kiln_searchsorted(X(1), X(0), I(0)))
GIVEN(isin, kiln_isin(X(0), X(1)))
GIVEN(histogram, kiln_histogram(X(0), X(1)))
GIVEN(histogram_range, kiln_histogram_range(X(0), I(0), N(1), N(2)))
GIVEN(bincount, kiln_bincount(X(0), I(0), NULL))
GIVEN(bincount_weights, kiln_bincount(X(1), I(0), X(0)))
GIVEN(segment_sum, kiln_segment_sum(X(0), X(1), I(0)))
GIVEN(segment_prod, kiln_segment_prod(X(0), X(1), I(0)))
GIVEN(segment_max, kiln_segment_max(X(0), X(1), I(0)))
GIVEN(segment_min, kiln_segment_min(X(0), X(1), I(0)))
GIVEN(segment_mean, kiln_segment_mean(X(0), X(1), I(0)))

static const GivenRow rows[] = {ROW(cummax, 0, 0), ROW(cummin, 0, 0), ROW(cummax_of, 0, GIVEN_GRAD), ROW(cummin_of, 0, GIVEN_GRAD), ROW(top_k, 0, GIVEN_GRAD),
    ROW(bottom_k, 0, GIVEN_GRAD), ROW(cumsum_how, 0, GIVEN_GRAD), ROW(cumprod_how, 2, GIVEN_GRAD), ROW(logcumsumexp, 4, GIVEN_GRAD), ROW(diff, 0, GIVEN_GRAD),
    ROW(diff_joined, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(searchsorted, 0, 0), ROW(isin, 0, 0), ROW(histogram, 0, 0), ROW(histogram_range, 0, 0), ROW(bincount, 0, 0),
    ROW(bincount_weights, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(segment_sum, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(segment_prod, 0, GIVEN_GRAD | GIVEN_SIZED),
    ROW(segment_max, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(segment_min, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(segment_mean, 1, GIVEN_GRAD | GIVEN_SIZED)};

GIVEN_MAIN("order", rows)
