/* dim_sum: what the files of dim share: expressions as sums of coefficient * product of atoms, plus a
 * constant, where an atom is a symbol, a floor division or a maximum. Relies on dim.h. Never seen
 * outside dim*.c. */
#ifndef KILN_IR_DIM_SUM_H
#define KILN_IR_DIM_SUM_H

#include "dim.h"

typedef struct Term {
    int64_t coef;
    Dim mono; /* an atom, or a MUL chain of atoms; 0 stands for 1 where a constant may be a term */
} Term;

typedef struct Sum {
    int64_t c;
    uint32_t n;
    DimTrouble trouble; /* DIM_FINE, or why this is no size */
    Term t[DIM_TERMS];
} Sum;

typedef struct Range {
    int64_t lo, hi;
} Range;

static inline const DimExpr *dim_expr(const DimTable *t, Dim d) { return &t->expr.at[-1 - d]; }

static inline bool dim_is(const DimTable *t, Dim d, DimKind kind) { return d < 0 && d != DIM_BAD && dim_expr(t, d)->kind == kind; }

static inline bool dim_is_number(const DimTable *t, Dim d) { return d >= 0 || dim_is(t, d, DIM_NEGATIVE); }

static inline bool dim_within(int64_t v) { return v >= -DIM_MAX && v <= DIM_MAX; }

/* False beyond DIM_MAX either way. */
static inline bool dim_accumulate(int64_t *a, int64_t b) { return !__builtin_add_overflow(*a, b, a) && dim_within(*a); }

static inline bool dim_times(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out) && dim_within(*out); }

static inline int64_t dim_floor(int64_t a, int64_t by) { return a / by - (a % by < 0); }

/* ---- dim.c: interning; DIM_BAD with its reason in the table ---- */
Dim dim_fail(DimTable *t, DimTrouble why);             /* always DIM_BAD */
Dim dim_number(DimTable *t, int64_t v);                /* any sign */
Dim dim_make(DimTable *t, DimKind kind, Dim a, Dim b); /* operands canonical; a sum's bounds stay open */
Dim dim_bounded(DimTable *t, Dim d, const Sum *s);     /* closes them: d is s; DIM_BAD beyond DIM_MAX */

/* ---- dim_sum.c ---- */
/* Total, and independent of the order in which expressions were made: higher degrees first, symbols
 * by name, constants last. */
int dim_order(const DimTable *t, Dim x, Dim y);
void sum_term(const DimTable *t, Sum *s, int64_t coef, Dim mono);               /* s += coef * mono */
void sum_number(Sum *s, int64_t k, int64_t v);                                  /* s += k * v */
void sum_add(const DimTable *t, Sum *s, int64_t k, Dim d);                      /* s += k * d */
void sum_add_product(DimTable *t, Sum *out, const Sum *s, int64_t k, Dim mono); /* out += k * mono * s; mono 0: 1 */
Dim mono_over(DimTable *t, Dim mono, Dim by);                                   /* 0: the quotient is 1; DIM_BAD: there is none */
Dim sum_dim(DimTable *t, const Sum *s);

/* ---- dim_bounds.c: a function of the sum alone, so that equal sizes always have equal bounds ---- */
Range sum_range(const DimTable *t, const Sum *s); /* not beyond +-RANGE_MAX */
#define RANGE_MAX ((int64_t)1 << 60)

#endif
