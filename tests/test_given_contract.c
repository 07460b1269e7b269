/* test_given_contract: contractions (contract.h) against NumPy's (tests/given/contract.py). */
#include "given.h"

#define EINSUM(name, labels) GIVEN(name, kiln_einsum(labels, kiln_tensors(g->in, g->nin)))
EINSUM(product, "ij,jk->ik")
EINSUM(product_turned, "ij,jk->ki")
EINSUM(product_both, "ji,kj->ik")
EINSUM(implied, "ij,jh")
EINSUM(implied_turned, "ba")
EINSUM(batched, "bij,bjk->bik")
EINSUM(heads, "bqhd , bkhd -> bhqk")
EINSUM(heads_back, "bhqk,bkhd->bqhd")
EINSUM(groups, "abcd,cdef->abef")
EINSUM(groups_mixed, "abcd,ecfa->bedf")
EINSUM(diagonal, "ii->i")
EINSUM(trace, "ii")
EINSUM(diagonal_of_three, "iji->ij")
EINSUM(diagonal_of_all, "iii->i")
EINSUM(two_diagonals, "iijj->ij")
EINSUM(diagonal_in_product, "ij,jj->i")
EINSUM(sum_all, "ijk->")
EINSUM(sum_lone, "ij,kl->il")
EINSUM(outer, "i,j->ij")
EINSUM(hadamard, "ij,ij->ij")
EINSUM(hadamard_turned, "ij,ji->ji")
EINSUM(dot, "i,i")
EINSUM(row_dots, "ij,ij->i")
EINSUM(matrix_vector, "bij,bj->bi")
EINSUM(dots, "...ij,...jk->...ik")
EINSUM(dots_implied, "i...,i...")
EINSUM(dots_sum, "...j->j...")
EINSUM(dots_none, "...,...")
EINSUM(three, "ij,jk,kl->il")
EINSUM(bilinear, "bn,anm,bm->ba")
EINSUM(scalar, ",ij->ji")
EINSUM(capitals, "aB,Bc->")

static void tensordot(const Given *g, kiln_tensor **out)
{
    kiln_axes a = {.count = I(0)}, b = {.count = I(0)};
    for (int i = 1; i <= I(0); i++) a.axis[i] = I(i), b.axis[i] = I(I(0) + i);
    out[0] = kiln_tensordot(X(0), X(1), a, b);
}

GIVEN(vecdot, kiln_vecdot(X(0), X(1), I(0)))
GIVEN(inner, kiln_inner(X(0), X(1)))
GIVEN(outer_flat, kiln_outer(X(0), X(1)))
GIVEN(cross, kiln_cross(X(0), X(1), I(0)))
GIVEN(kron, kiln_kron(X(0), X(1)))
GIVEN(matrix_transpose, kiln_matrix_transpose(X(0)))
GIVEN(multi_dot, kiln_multi_dot(kiln_tensors(g->in, g->nin)))
/* the number: 1 and 2, which zero points are given */
GIVEN(matmul_integer, kiln_matmul_integer(X(0), X(1), I(0) & 1 ? X(2) : NULL, I(0) & 2 ? X(I(0) & 1 ? 3 : 2) : NULL))
GIVEN(matmul_quantised, kiln_matmul_quantised(X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7)))

static void convolve_integer(const Given *g, kiln_tensor **out)
{
    const kiln_convolution by = {.stride = {I(0), I(0)}, .pad = {{1, 0}, {1, 0}}};
    out[0] = g->nin == 2 ? kiln_convolve_integer(X(0), X(1), NULL, NULL, &by) : kiln_convolve_integer(X(0), X(1), X(2), X(3), &by);
}

#define SUMS GIVEN_GRAD
#define FIXED (GIVEN_GRAD | GIVEN_SIZED) /* operands share the first axis */
static const GivenRow rows[] = {ROW(product, 0, SUMS), ROW(product_turned, 0, SUMS), ROW(product_both, 0, FIXED), ROW(implied, 0, 0), ROW(implied_turned, 0, SUMS),
    ROW(batched, 0, FIXED), ROW(heads, 0, FIXED), ROW(heads_back, 0, FIXED), ROW(groups, 0, SUMS), ROW(groups_mixed, 0, FIXED), ROW(diagonal, 0, FIXED),
    ROW(trace, 0, FIXED), ROW(diagonal_of_three, 0, FIXED), ROW(diagonal_of_all, 0, FIXED), ROW(two_diagonals, 0, FIXED), ROW(diagonal_in_product, 0, SUMS),
    ROW(sum_all, 0, SUMS), ROW(sum_lone, 0, SUMS), ROW(outer, 0, SUMS), ROW(hadamard, 0, FIXED), ROW(hadamard_turned, 0, FIXED), ROW(dot, 0, FIXED),
    ROW(row_dots, 0, FIXED), ROW(matrix_vector, 0, FIXED), ROW(dots, 0, SUMS), ROW(dots_implied, 0, FIXED), ROW(dots_sum, 0, SUMS), ROW(dots_none, 0, SUMS),
    ROW(three, 0, FIXED), ROW(bilinear, 0, FIXED), ROW(scalar, 0, SUMS), ROW(capitals, 0, SUMS), ROW(tensordot, 0, FIXED), ROW(vecdot, 0, FIXED), ROW(inner, 0, FIXED),
    ROW(outer_flat, 0, SUMS), ROW(cross, 0, FIXED), ROW(kron, 0, SUMS), ROW(matrix_transpose, 0, SUMS), ROW(multi_dot, 0, FIXED), ROW(matmul_integer, 0, GIVEN_SIZED),
    ROW(matmul_quantised, 0, GIVEN_SIZED), ROW(convolve_integer, 0, 0)};

GIVEN_MAIN("contract", rows)
