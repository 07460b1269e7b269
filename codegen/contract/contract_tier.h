/* contract_tier: one block of a matrix product in the plain kernel, per instruction set, or by the BLAS. Relies on
 * base. Never knows threads. */
#ifndef KILN_CODEGEN_CONTRACT_TIER_H
#define KILN_CODEGEN_CONTRACT_TIER_H

#include "../../ir/tree.h"

#define TILE_ROWS 6
#define BLOCK_ROWS 96     /* most rows of a block */
#define PANEL_BYTES 16384 /* of b at a time */

/* c[m][n] of a[m][k] and b[k][n]; strides in elements; m <= BLOCK_ROWS, k > 0; c's columns lie side
 * by side. */
typedef struct Block {
    const void *a, *b;
    void *c;
    int64_t m, n, k, a_row, a_col, b_row, b_col, c_row;
} Block;

typedef struct ContractTier {
    void (*block_f32)(const Block *g);
    void (*block_f64)(const Block *g);
    void (*vector_f32)(const Block *g); /* m == 1 */
    void (*vector_f64)(const Block *g);
} ContractTier;

/* By one single-threaded call of the BLAS (blas.c): f32 or f64, of each operand's strides one is 1. */
void blas_block(int type, const Block *g);

#define UNROLL _Pragma("GCC unroll 16")

extern const ContractTier contract_base, contract_avx2, contract_avx512;

#endif
