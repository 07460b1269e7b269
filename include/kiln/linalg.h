/* linalg.h: factors of matrices and what is made of them: systems of equations, inverses, determinants, exponentials. kiln.h includes it;
 * it compiles alone as C11 and C++17.
 *
 * Matrices are the last two axes, [..., m, n]; axes before them are batches, which broadcast where there are two operands. Floats; 16-bit
 * floats compute in f32 and round once. m and n must be known when a function is traced. What is computed is made of other operations, in
 * every mode and on every device, with the same bits. A matrix that has no such factor, or is singular, gives NaN or infinities where the
 * formulas do, no error. Gradients flow, of any order, unless a line says otherwise. */
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
 * b [..., k, n]). */
#define KILN_UPPER 16
#define KILN_TRANSPOSED 32
#define KILN_UNIT 64
#define KILN_RIGHT 128
KILN_API kiln_tensor *kiln_triangular_solve_at(kiln_site at, kiln_operand a, kiln_operand b, int how);
/* Gaussian elimination with partial pivoting of x [..., m, n]: L, whose diagonal of ones is left out, below the diagonal and U on and
 * above it, [..., m, n]. *order (NULL: not asked for), i64[..., m], says which row of x is which row of L U. The gradient is that of a
 * square x; of others there is none, which is an error when it is asked for. */
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

#ifdef __cplusplus
}
#endif

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

#endif
