/* dim: sizes of axes. A Dim >= 0 is that size; a Dim < 0 names an expression in a DimTable,
 * canonical, so that equal Dims are equal sizes. Eager code meets constants only and needs no
 * table. Relies on base. Never knows tensors. */
#ifndef KILN_IR_DIM_H
#define KILN_IR_DIM_H

#include "../runtime/base.h"

typedef int64_t Dim;
#define DIM_MAX ((Dim)1 << 48) /* no axis, offset or element count beyond this */
#define DIM_BAD INT64_MIN      /* no size: dim_trouble says why */
#define DIM_TERMS 32           /* of one sum, its constant not counted */
#define DIM_FACTORS 16         /* of one product, its number not counted */

/* Inside expressions only: DIM_NEGATIVE is the number lo == hi < 0. A FLOORDIV's a is never
 * negative and its b is a constant, so truncating division is right. */
typedef enum DimKind { DIM_SYMBOL, DIM_ADD, DIM_MUL, DIM_FLOORDIV, DIM_MAX2, DIM_NEGATIVE } DimKind;

typedef struct DimExpr {
    uint8_t kind;
    uint16_t size;    /* of the expression as a tree: bounded, so walks may recurse */
    Dim a, b;         /* operands (SYMBOL, NEGATIVE: unused) */
    const char *name; /* SYMBOL */
    int64_t lo, hi;   /* bounds, inclusive */
    bool made;        /* SYMBOL: known only once a loop has run, not from any argument */
    bool counted;     /* it is, or holds, a size that a node counts */
    Dim bound;        /* SYMBOL that is counted: it is no more than that */
} DimExpr;

typedef enum DimTrouble { DIM_FINE, DIM_TOO_LARGE, DIM_BELOW_ZERO, DIM_MANY_TERMS, DIM_MANY_FACTORS, DIM_LONG } DimTrouble;

typedef struct DimTable {
    Arena *arena;
    VEC(DimExpr) expr;  /* Dim d < 0 is expr.at[-1 - d] */
    Map shared;         /* structural hash -> index */
    DimTrouble trouble; /* why arithmetic last gave DIM_BAD */
    bool counts;        /* some symbol is counted */
} DimTable;

void dim_table_init(DimTable *t, Arena *arena);
void dim_table_copy(DimTable *to, const DimTable *from, Arena *arena); /* the same sizes by the same handles; shares their terms */
/* Same name: same Dim. DIM_BAD if the name is no C identifier, the bounds are not 0 <= lo <= hi <=
 * DIM_MAX, or the name is known with other bounds. The name is copied. */
bool dim_name_ok(const char *name); /* letters, digits and _, no digit first */
Dim dim_symbol(DimTable *t, const char *name, int64_t lo, int64_t hi);
/* A size that only running code learns: how often a loop turns. Same name: same Dim; DIM_BAD if the name is no C identifier or an
 * ordinary symbol's. */
Dim dim_made(DimTable *t, const char *name);
static inline bool dim_is_made(const DimTable *t, Dim d) { return d < 0 && d != DIM_BAD && t->expr.at[-1 - d].made; }
/* A size that a node counts (set_size): 0 to `bound`, which is a size of t. Ordinary in all arithmetic. Same name: same Dim;
 * DIM_BAD as above, or where the bound is none. */
Dim dim_counted(DimTable *t, const char *name, Dim bound);
/* A name of no symbol yet: what, and a number. */
const char *dim_fresh(const DimTable *t, Arena *arena, const char *what);
static inline bool dim_is_counted(const DimTable *t, Dim d) { return d < 0 && d != DIM_BAD && t->expr.at[-1 - d].counted; }
/* A size that is never less than d and in which nothing is counted: each such symbol's bound or 0, whichever makes more. DIM_BAD as
 * in arithmetic. */
Dim dim_most(DimTable *t, Dim d);
Dim dim_find(const DimTable *t, const char *name, size_t len); /* the symbol of that name, DIM_BAD if there is none */

/* Arithmetic folds and sorts sums and products into one canonical order. Constants need no table
 * (t may be NULL then). Overflow past DIM_MAX (of the bounds) and expressions beyond DIM_TERMS,
 * DIM_FACTORS or a thousand parts give DIM_BAD, which every operation passes on. dim_sub may pass through
 * negative terms inside a sum (N - 1); a sum that can only be negative is DIM_BAD. */
Dim dim_add(DimTable *t, Dim a, Dim b);
Dim dim_sub(DimTable *t, Dim a, Dim b);
Dim dim_mul(DimTable *t, Dim a, Dim b);
Dim dim_floordiv(DimTable *t, Dim a, int64_t by); /* by > 0 */
Dim dim_max(DimTable *t, Dim a, Dim b);
/* The same of numbers of any sign, which sizes are computed of: what they give is a size only if dim_lo says so. They need a table;
 * floor division is towards minus infinity. dim_max is for any sign as it is. */
Dim dim_any_add(DimTable *t, Dim a, Dim b);
Dim dim_any_sub(DimTable *t, Dim a, Dim b);
Dim dim_any_mul(DimTable *t, Dim a, Dim b);
Dim dim_any_floordiv(DimTable *t, Dim a, int64_t by); /* by > 0 */

/* "is a sum of more than 32 terms": why the last operation of t that made a DIM_BAD did. buf, at least 64 bytes. */
const char *dim_trouble(const DimTable *t, char *buf, size_t cap);

static inline bool dim_is_const(Dim d) { return d >= 0; }
/* Bounds; a constant's own value. A function of the size alone, never of how it was computed: (h-2)*(w-2) and
 * its expansion are one handle. Exact for polynomials in which no symbol is squared; else as tight as dim_bounds.c gets. */
int64_t dim_lo(const DimTable *t, Dim d);
int64_t dim_hi(const DimTable *t, Dim d);
bool dim_divides(DimTable *t, Dim whole, Dim part, Dim *quotient); /* whole == part * quotient provably */

/* d, of table `from`, in t: each symbol is the size of t that `size` has for it (indexed by position in `from`; only symbols'
 * entries are read). DIM_BAD as in arithmetic. */
Dim dim_replace(DimTable *t, const DimTable *from, Dim d, const Dim *size);

/* The value for given symbol values (indexed by position in the table; only symbols' entries are
 * read). */
int64_t dim_eval(const DimTable *t, Dim d, const int64_t *symbol);

static inline bool dim_valid(const DimTable *t, Dim d) /* a constant in range, or an expression of t */
{
    return d >= 0 ? d <= DIM_MAX : d != DIM_BAD && t && (uint64_t)(-1 - d) < t->expr.len;
}

/* Prints as N, 4*N, (N+1)/2, max(N,4) ...; buf gets at most cap bytes, terminated. Returns the
 * whole text's length. */
size_t dim_print(const DimTable *t, Dim d, char *buf, size_t cap);
/* The same text back, symbols known to t only. Stops at the first byte that does not continue it
 * (*used bytes were read); DIM_BAD on a mistake there. t may be NULL if only numbers are expected. */
Dim dim_parse(DimTable *t, const char *text, size_t len, size_t *used);

#endif
