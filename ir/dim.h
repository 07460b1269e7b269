/* dim: sizes of axes. A Dim >= 0 is that size; a Dim < 0 names an expression in a DimTable, canonical, so that equal Dims are
 * equal sizes. Eager code meets constants only and needs no table. Relies on base. Never knows tensors. */
#ifndef KILN_IR_DIM_H
#define KILN_IR_DIM_H

#include "../runtime/base.h"

typedef int64_t Dim;
#define DIM_MAX ((Dim)1 << 48)          /* no axis, offset or element count beyond this */
#define DIM_BAD INT64_MIN               /* overflow, or a result that could be negative */

typedef enum DimKind { DIM_SYMBOL, DIM_ADD, DIM_MUL, DIM_FLOORDIV, DIM_MAX2 } DimKind;

typedef struct DimExpr {
    uint8_t kind;
    Dim a, b;          /* operands (SYMBOL: unused) */
    const char *name;  /* SYMBOL */
    int64_t lo, hi;    /* bounds, inclusive */
} DimExpr;

typedef struct DimTable {
    Arena *arena;
    VEC(DimExpr) expr; /* Dim d < 0 is expr.at[-1 - d] */
    Map shared;        /* structural hash -> index */
} DimTable;

void dim_table_init(DimTable *t, Arena *arena);
Dim dim_symbol(DimTable *t, const char *name, int64_t lo, int64_t hi); /* same name: same Dim */

/* Arithmetic folds and sorts sums and products into one canonical order. Constants need no table (t may be NULL then).
 * Overflow past DIM_MAX gives DIM_BAD, which every operation passes on. dim_sub may pass through negative terms inside a sum
 * (N - 1); a sum that can only be negative is DIM_BAD. */
Dim dim_add(DimTable *t, Dim a, Dim b);
Dim dim_sub(DimTable *t, Dim a, Dim b);
Dim dim_mul(DimTable *t, Dim a, Dim b);
Dim dim_floordiv(DimTable *t, Dim a, int64_t by); /* by > 0 */
Dim dim_max(DimTable *t, Dim a, Dim b);

static inline bool dim_is_const(Dim d) { return d >= 0; }
int64_t dim_lo(const DimTable *t, Dim d); /* bounds; a constant's own value */
int64_t dim_hi(const DimTable *t, Dim d);
bool dim_divides(DimTable *t, Dim whole, Dim part, Dim *quotient); /* whole == part * quotient provably */

/* The value for given symbol values (indexed by position in the table; only symbols' entries are read). */
int64_t dim_eval(const DimTable *t, Dim d, const int64_t *symbol);

/* Prints as N, 4*N, (N+1)/2 ...; parse of the same text. buf gets at most cap bytes, terminated. */
size_t dim_print(const DimTable *t, Dim d, char *buf, size_t cap);

#endif
