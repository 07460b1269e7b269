/* linalg.h: factors of matrices and what is made of them: systems of equations, inverses, determinants, exponentials, eigenvalues and
 * singular values, least squares. kiln.h includes it; it compiles alone as C11 and C++17.
 *
 * Matrices are the last two axes, [..., m, n]; axes before them are batches, which broadcast where there are two operands. Floats; 16-bit
 * floats compute in f32 and round once. m and n must be known when a function is traced. What is computed is made of other operations, in
 * every mode and on every device, with the same bits, but for what is LAPACK's (below). A matrix that has no such factor, or is singular,
 * gives NaN or infinities where the formulas do, no error. Gradients flow, of any order, unless a line says otherwise. */
#ifndef KILN_LINALG_H
#define KILN_LINALG_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The lower triangle L with L Lᵀ = x, of a symmetric positive definite x [..., n, n], of which the lower triangle alone is read; above
 * the diagonal are zeros. NaN where x is not positive definite. The gradient lies in the lower triangle, too (Murray 2016). */
KILN_API kiln_tensor *kiln_cholesky_at(kiln_site at, kiln_operand x);
/* x with a x = b: a [..., n, n], of which one triangle is read; b [..., n, k]. how is 0 or a sum of KILN_UPPER (the upper triangle is
 * read; else the lower), KILN_TRANSPOSED (aᵀ stands for a), KILN_UNIT (ones stand for a's diagonal) and KILN_RIGHT (x a = b, with
 * b [..., k, n]). Where there are more columns than rows, diagonal blocks of up to 32 rows are inverted: a block whose inverse is
 * beyond the largest number gives infinities or NaN, even if x itself is not. */
#define KILN_UPPER 16
#define KILN_TRANSPOSED 32
#define KILN_UNIT 64
#define KILN_RIGHT 128
KILN_API kiln_tensor *kiln_triangular_solve_at(kiln_site at, kiln_operand a, kiln_operand b, int how);
/* Gaussian elimination with partial pivoting of x [..., m, n]: L, whose diagonal of ones is left out, below the diagonal and U on and
 * above it, [..., m, n]. *order (NULL: not asked for), i64[..., m], says which row of x is which row of L U. The gradient needs
 * the first min(m, n) pivots not to be 0. */
KILN_API kiln_tensor *kiln_lu_at(kiln_site at, kiln_operand x, kiln_tensor **order);
/* x with a x = b, by kiln_lu: a [..., n, n]; b [n], or [..., n, k]. */
KILN_API kiln_tensor *kiln_solve_at(kiln_site at, kiln_operand a, kiln_operand b);
KILN_API kiln_tensor *kiln_inverse_at(kiln_site at, kiln_operand x);
/* [...]; of a singular x it is 0, and its gradient NaN */
KILN_API kiln_tensor *kiln_det_at(kiln_site at, kiln_operand x);
/* The sign of the determinant, -1, 0 or 1, without a gradient; *logarithm gets that of its absolute value (minus infinity for 0). */
KILN_API kiln_tensor *kiln_slogdet_at(kiln_site at, kiln_operand x, kiln_tensor **logarithm);
/* Q [..., m, k] with orthonormal columns, k = min(m, n); *r gets R [..., k, n], upper triangular, with Q R = x (Householder; the signs
 * are LAPACK's). The gradient needs the first k columns to be independent. */
KILN_API kiln_tensor *kiln_qr_at(kiln_site at, kiln_operand x, kiln_tensor **r);
/* x [..., n, n] to the power of an integer, by squaring; a negative power is that of the inverse. */
KILN_API kiln_tensor *kiln_matrix_power_at(kiln_site at, kiln_operand x, int64_t power);
/* e^x of x [..., n, n] by scaling and squaring of a Padé approximant (Higham 2005), for norms up to 2^16 times 5.4 (f32: 3.9). */
KILN_API kiln_tensor *kiln_expm_at(kiln_site at, kiln_operand x);

/* ---- by LAPACK
 *
 * What follows is computed by LAPACK's functions out of OpenBLAS, whose shared library (libopenblas.so.0) is opened at the first use; where
 * it is not there, KILN_EUNSUPPORTED says so. A matrix is one thread's; several are shared by the engine's threads, with the same bits.
 * Devices have it from the host, by copies there and back, which wait; a function with it cannot be an object file (kiln_aot):
 * KILN_EUNSUPPORTED. A matrix has fewer than 2^31 elements. A matrix with an element that is no finite number gives NaN, also
 * where LAPACK would fail; if it finds no solution otherwise, the call fails with KILN_EVALUE, which names the matrix.
 *
 * Vectors have a sign: in each eigenvector, and in each column of U, the first element of at least nine tenths of the largest |element| is
 * positive. Those of equal values may still be turned among themselves, and the bits of all are LAPACK's, so they differ among versions of
 * OpenBLAS. Where values are equal (or 0, in kiln_svd), the gradient through vectors is NaN or infinite; through values it is right. */

/* Eigenvalues [..., n], ascending, of symmetric x [..., n, n]; *vectors (NULL: not asked for) [..., n, n], of which column i is that of
 * value i, of length 1 (syevd). One triangle of x is read, and gets the gradient: the lower one, or with how KILN_UPPER the upper one. */
KILN_API kiln_tensor *kiln_eigh_at(kiln_site at, kiln_operand x, int how, kiln_tensor **vectors);
KILN_API kiln_tensor *kiln_eigvalsh_at(kiln_site at, kiln_operand x, int how); /* the values alone, in less time */
/* U [..., m, k] of x [..., m, n], k = min(m, n); *values [..., k], descending, and *vt [..., k, n]: U diag(values) vt = x, columns of U and
 * rows of vt orthonormal (gesdd). With how KILN_FULL U is [..., m, m], vt [..., n, n]; gradients of vectors beyond the k-th are left out,
 * since they may turn at will (how 0: none). NULL: not asked for. */
#define KILN_FULL 256
KILN_API kiln_tensor *kiln_svd_at(kiln_site at, kiln_operand x, int how, kiln_tensor **values, kiln_tensor **vt);
KILN_API kiln_tensor *kiln_svdvals_at(kiln_site at, kiln_operand x); /* the values alone, in less time */
/* The condition of x: of p 2, the largest over the smallest singular value, of -2 the inverse of that; else, of square x, kiln_matrix_norm
 * of x times that of its inverse. Infinite where x is singular, but NaN where its inverse is. */
KILN_API kiln_tensor *kiln_condition_at(kiln_site at, kiln_operand x, double p);
/* Which singular values count as none: those up to max(atol, rtol times the largest). */
typedef struct kiln_rank_options {
    double rtol, atol;      /* both 0: rtol is max(m, n) times the distance from 1 to the next number of the dtype computed in */
    kiln_tensor *tolerance; /* in their place: [...], for each matrix the size itself */
    bool symmetric;         /* x is symmetric: eigenvalues do, of its lower triangle, which is faster */
    kiln_tensor **rank;     /* NULL, or gets how many count, i64[...] */
    kiln_tensor **values;   /* NULL, or gets the singular values (eigenvalues), without a gradient */
} kiln_rank_options;
/* How many singular values count: i64[...]; no gradient. Of a matrix with NaN all do. options may be NULL here and below. */
KILN_API kiln_tensor *kiln_matrix_rank_sized(kiln_site at, kiln_operand x, const kiln_rank_options *options, size_t size);
/* The pseudo-inverse [..., n, m] of x [..., m, n]. Its gradient is that of matrices of its rank (Golub and Pereyra 1973); equal singular
 * values do not matter to it. */
KILN_API kiln_tensor *kiln_pinv_sized(kiln_site at, kiln_operand x, const kiln_rank_options *options, size_t size);
/* The x [..., n, k] of smallest |a x - b|, and among those the smallest: a [..., m, n] of any shape and rank; b [m] or [..., m, k]. It is
 * pinv(a) b, and its gradient likewise. */
KILN_API kiln_tensor *kiln_lstsq_sized(kiln_site at, kiln_operand a, kiln_operand b, const kiln_rank_options *options, size_t size);

#ifdef __cplusplus
}
#endif

/* options: &(kiln_rank_options){...} or NULL */
#define kiln_matrix_rank(x, ...) kiln_matrix_rank_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_rank_options))
#define kiln_pinv(x, ...) kiln_pinv_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_rank_options))
#define kiln_lstsq(a, b, ...) \
    kiln_lstsq_sized(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), __VA_ARGS__, sizeof(kiln_rank_options))

/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_cholesky(x) kiln_cholesky_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_triangular_solve(a, b, how) kiln_triangular_solve_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), (how))
#define kiln_lu(x, order) kiln_lu_at(KILN_HERE, KILN_OPERAND(x), (order))
#define kiln_solve(a, b) kiln_solve_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b))
#define kiln_inverse(x) kiln_inverse_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_det(x) kiln_det_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_slogdet(x, logarithm) kiln_slogdet_at(KILN_HERE, KILN_OPERAND(x), (logarithm))
#define kiln_qr(x, r) kiln_qr_at(KILN_HERE, KILN_OPERAND(x), (r))
#define kiln_matrix_power(x, power) kiln_matrix_power_at(KILN_HERE, KILN_OPERAND(x), (power))
#define kiln_expm(x) kiln_expm_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_eigh(x, how, vectors) kiln_eigh_at(KILN_HERE, KILN_OPERAND(x), (how), (vectors))
#define kiln_eigvalsh(x, how) kiln_eigvalsh_at(KILN_HERE, KILN_OPERAND(x), (how))
#define kiln_svd(x, how, values, vt) kiln_svd_at(KILN_HERE, KILN_OPERAND(x), (how), (values), (vt))
#define kiln_svdvals(x) kiln_svdvals_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_condition(x, p) kiln_condition_at(KILN_HERE, KILN_OPERAND(x), (p))

#endif
