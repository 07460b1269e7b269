/* test_given_sized: operations whose results have a size that the elements tell (sized.h) against NumPy's and, of boxes, ONNX Runtime's
 * (tests/given/sized.py). */
#include "given.h"

GIVEN(nonzero, kiln_nonzero(X(0)))
GIVEN(nonzero_within, kiln_nonzero_within(X(0), I(0)))
GIVEN(compress, kiln_compress(X(0), X(1), I(0)))
GIVEN(compress_within, kiln_compress_within(X(0), X(1), I(0), I(1)))
GIVEN(masked, kiln_masked(X(0), X(1)))
GIVEN(masked_within, kiln_masked_within(X(0), X(1), I(0)))
GIVEN(positive, kiln_masked(X(0), kiln_greater(X(0), 0)))
GIVEN(positive_sum, kiln_sum(kiln_masked(X(0), kiln_greater(X(0), 0)), KILN_ALL))
GIVEN(positive_rows, kiln_compress(X(0), kiln_squeeze(kiln_greater(kiln_slice(X(0), 1, 0, 1, 1), 0), 1), 0))
GIVEN(unique_values, kiln_unique_values(X(0)))

GIVEN(non_max_suppression, kiln_non_max_suppression(X(0), X(1), (int64_t)N(0), N(1), N(2) < -1e20 ? -INFINITY : N(2), N(3) != 0))

static void unique_counts(const Given *g, kiln_tensor **out) { kiln_unique_counts(X(0), out); }
static void unique_inverse(const Given *g, kiln_tensor **out) { kiln_unique_inverse(X(0), out); }
static void unique_all(const Given *g, kiln_tensor **out) { kiln_unique_all(X(0), out); }

static void unique(const Given *g, kiln_tensor **out)
{
    out[0] = kiln_unique(X(0), I(0) == -9 ? KILN_FLAT : I(0), I(1) ? KILN_FIRST_MET : 0, &out[1], &out[2], &out[3]);
}

/* Masks of their own would have to be as long as a size that is open. */
static const GivenRow rows[] = {
    ROW(nonzero, 0, GIVEN_ALONE),
    ROW(nonzero_within, 0, GIVEN_ALONE),
    ROW(compress, 0, GIVEN_SIZED | GIVEN_ALONE | GIVEN_GRAD),
    ROW(compress_within, 0, GIVEN_SIZED | GIVEN_ALONE | GIVEN_GRAD),
    ROW(masked, 0, GIVEN_SIZED | GIVEN_ALONE | GIVEN_GRAD),
    ROW(masked_within, 0, GIVEN_SIZED | GIVEN_ALONE | GIVEN_GRAD),
    ROW(positive, 0, GIVEN_ALONE | GIVEN_GRAD),
    ROW(positive_sum, 1, GIVEN_ALONE | GIVEN_GRAD),
    ROW(positive_rows, 0, GIVEN_ALONE | GIVEN_GRAD),
    ROW(unique_values, 0, GIVEN_ALONE | GIVEN_GRAD),
    ROW(unique_counts, 0, GIVEN_ALONE),
    ROW(unique_inverse, 0, GIVEN_ALONE),
    ROW(unique_all, 0, GIVEN_ALONE),
    ROW(unique, 0, GIVEN_ALONE | GIVEN_GRAD),
    ROW(non_max_suppression, 0, GIVEN_SIZED | GIVEN_ALONE)};

GIVEN_MAIN("sized", rows)
