/* factor_tier: what one instruction set offers to factors of matrices and to triangular systems: the steps on small blocks, of one
 * type. All else is products. Relies on base. Never knows threads. */
#ifndef KILN_CODEGEN_FACTOR_TIER_H
#define KILN_CODEGEN_FACTOR_TIER_H

#include <stdbool.h>
#include <stdint.h>

#define FACTOR_LEAF \
    32 /* columns that are eliminated one by one, rows that are inverted; frontend/linalg has the same (MATRIX_LEAF) */
#define FACTOR_LANES 16 /* no vector has more elements */

/* Columns of a matrix that are factored where they stand: element i of column c is column[c * line + i]. line: m, rounded up to
 * FACTOR_LANES. */
typedef struct FactorPanel {
    void *column;
    int64_t line, m, n;
    void *row;      /* the pivots' rows as they come to be, FACTOR_LEAF apart */
    void *free;     /* integers of the elements' size, `line` of them: -1 where a row has been no pivot yet, else 0 */
    int64_t *pivot; /* which row was that of column j */
} FactorPanel;

typedef struct FactorType {
    /* Rows stay where they are: those that were no pivots have their part of L, all else is in `row`. */
    void (*panel)(const FactorPanel *p);
    /* x: the inverse of a lower triangle a; rows of both are FACTOR_LEAF apart. */
    void (*inverse)(void *x, const void *a, int64_t n, bool unit);
    /* x [n, c] becomes the solution, row by row. */
    void (*few)(void *x, int64_t x_row, const void *a, int64_t a_row, int64_t n, int64_t c, bool upper, bool unit);
    /* The upper triangle of a symmetric a becomes the transpose of its Cholesky factor, with zeros below; rows are FACTOR_LEAF
     * apart, and numbers stand behind them up to FACTOR_LANES. */
    void (*cholesky)(void *a, int64_t n);
    void (*less)(void *x, int64_t x_row, const void *y, int64_t m, int64_t n); /* x -= y, which is contiguous */
    /* to [c * line + i] = from [i * row + c] */
    void (*turn)(void *to, int64_t line, const void *from, int64_t row, int64_t m, int64_t n);
    /* to [i * row + c] = from [c * line + which[i]] */
    void (*back)(void *to, int64_t row, const void *from, int64_t line, const int64_t *which, int64_t m, int64_t n);
} FactorType;

#endif
