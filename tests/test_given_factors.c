/* test_given_factors: eigenvalues, singular values and what is made of them (linalg.h) against NumPy's (tests/given/factors.py). */
#include "given.h"

GIVEN(eigvalsh, kiln_eigvalsh(X(0), I(0)))
GIVEN(svdvals, kiln_svdvals(X(0)))
GIVEN(condition, kiln_condition(X(0), N(0)))
GIVEN(matrix_norm, kiln_matrix_norm(X(0), N(PAST), OVER))
static void eigh(const Given *g, kiln_tensor **out) { out[0] = kiln_eigh(X(0), I(0), &out[1]); }
static void svd(const Given *g, kiln_tensor **out) { out[0] = kiln_svd(X(0), 0, &out[1], &out[2]); }
static void svd_full(const Given *g, kiln_tensor **out) { out[0] = kiln_svd(X(0), KILN_FULL, &out[1], &out[2]); }

#define RANKS(from) (&(kiln_rank_options){.rtol = N(from), .atol = N(from + 1), .symmetric = N(from + 2) != 0})
GIVEN(pinv, kiln_pinv(X(0), RANKS(0)))
GIVEN(matrix_rank, kiln_matrix_rank(X(0), RANKS(0)))
GIVEN(lstsq, kiln_lstsq(X(0), X(1), NULL))
static void lstsq_cut(const Given *g, kiln_tensor **out)
{
    out[0] = kiln_lstsq(X(0), X(1), (&(kiln_rank_options){.rtol = N(0), .atol = N(1), .symmetric = N(2) != 0, .rank = &out[1]}));
}

#define FACTOR(name, call, near, flags) {name, call, near, (flags) | GIVEN_BATCH}
static const GivenRow rows[] = {FACTOR("eigh", eigh, 4096, GIVEN_GRAD), FACTOR("eigvalsh", eigvalsh, 64, GIVEN_GRAD),
    FACTOR("svd", svd, 4096, GIVEN_GRAD), FACTOR("svd_tall", svd, 4096, GIVEN_GRAD), FACTOR("svd_wide", svd, 4096, GIVEN_GRAD),
    FACTOR("svd_full", svd_full, 4096, GIVEN_GRAD), FACTOR("svdvals", svdvals, 64, GIVEN_GRAD), FACTOR("pinv", pinv, 8192, GIVEN_GRAD),
    FACTOR("pinv_cut", pinv, 8192, GIVEN_GRAD), FACTOR("matrix_rank", matrix_rank, 0, 0), FACTOR("lstsq", lstsq, 8192, GIVEN_GRAD),
    FACTOR("lstsq_wide", lstsq, 8192, GIVEN_GRAD), FACTOR("lstsq_cut", lstsq_cut, 8192, GIVEN_GRAD),
    FACTOR("lstsq_many", lstsq, 8192, GIVEN_GRAD), FACTOR("condition", condition, 4096, GIVEN_GRAD), FACTOR("matrix_norm", matrix_norm, 64, GIVEN_GRAD)};

static void given_or_skipped(void **state)
{
    if (kiln_dtype_of(kiln_svdvals(kiln_zeros(k, KILN_F64, KILN_SHAPE(1, 1)))) == KILN_NONE) {
        printf("skip: %s\n", kiln_error(k)->text);
        kiln_clear(k);
        skip();
    }
    given_agree(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(given_or_skipped)};
    given_rows = rows, given_count = (int)(sizeof rows / sizeof *rows);
    given_file = "factors";
    return cmocka_run_group_tests_name("factors", tests, NULL, NULL);
}
