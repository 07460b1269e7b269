/* test_given_linalg: factors of matrices and what is made of them (linalg.h) against NumPy's and SciPy's (tests/given/linalg.py). */
#include "given.h"

GIVEN(cholesky, kiln_cholesky(X(0)))
GIVEN(triangular_solve, kiln_triangular_solve(X(0), X(1), I(0)))
GIVEN(solve, kiln_solve(X(0), X(1)))
GIVEN(inverse, kiln_inverse(X(0)))
GIVEN(det, kiln_det(X(0)))
GIVEN(matrix_power, kiln_matrix_power(X(0), I(0)))
GIVEN(expm, kiln_expm(X(0)))
static void slogdet(const Given *g, kiln_tensor **out) { out[0] = kiln_slogdet(X(0), &out[1]); }
static void qr(const Given *g, kiln_tensor **out) { out[0] = kiln_qr(X(0), &out[1]); }

static void lu(const Given *g, kiln_tensor **out) { out[0] = kiln_lu(X(0), &out[1]); }

/* L U with the rows in the order of the pivots, or in that of x where there are more of them; and the pivots' rows. */
static void lu_product(const Given *g, kiln_tensor **out)
{
    kiln_tensor *order, *lu = kiln_lu(X(0), &order);
    const int64_t m = kiln_dim(lu, 0), n = kiln_dim(lu, 1), least = m < n ? m : n;
    kiln_tensor *row = kiln_iota(k, KILN_I64, KILN_SHAPE(m, least), 0), *column = kiln_iota(k, KILN_I64, KILN_SHAPE(m, least), 1);
    kiln_tensor *part = kiln_slice(lu, 1, 0, least, 1);
    kiln_tensor *low = kiln_where(kiln_greater(row, column), part, kiln_cast(kiln_equal(row, column), kiln_dtype_of(lu)));
    kiln_tensor *up = kiln_slice(lu, 0, 0, least, 1);
    up = kiln_where(kiln_less_equal(kiln_iota(k, KILN_I64, KILN_SHAPE(least, n), 0), kiln_iota(k, KILN_I64, KILN_SHAPE(least, n), 1)), up, 0);
    out[0] = kiln_matmul(low, up);
    if (m > n) out[0] = kiln_gather(out[0], kiln_argsort(order, 0, 0), 0);
    out[1] = kiln_slice(order, 0, 0, least, 1);
}

static const GivenRow rows[] = {ROW(cholesky, 64, GIVEN_GRAD | GIVEN_BATCH), ROW(triangular_solve, 4096, GIVEN_GRAD | GIVEN_BATCH),
    ROW(solve, 4096, GIVEN_GRAD | GIVEN_BATCH), ROW(inverse, 4096, GIVEN_GRAD | GIVEN_BATCH), ROW(det, 512, GIVEN_GRAD | GIVEN_BATCH),
    ROW(slogdet, 512, GIVEN_GRAD | GIVEN_BATCH), ROW(qr, 1024, GIVEN_GRAD | GIVEN_BATCH), ROW(matrix_power, 512, GIVEN_GRAD | GIVEN_BATCH),
    ROW(expm, 1024, GIVEN_GRAD | GIVEN_BATCH), ROW(lu_product, 256, GIVEN_SIZED), {"lu", lu, 1024, GIVEN_GRAD | GIVEN_BATCH},
    {"lu_tall", lu, 1024, GIVEN_GRAD | GIVEN_BATCH}, {"lu_wide", lu, 1024, GIVEN_GRAD | GIVEN_BATCH}};

GIVEN_MAIN("linalg", rows)
