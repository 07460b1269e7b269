/* matrix: what the files of this room share: the operations of one composite, written short, and matrices as operands. Private to
 * them. */
#ifndef KILN_FRONTEND_LINALG_MATRIX_H
#define KILN_FRONTEND_LINALG_MATRIX_H

#include "../grad/grad.h"

#define MATRIX_LEAF 32 /* columns that a loop factors one by one; more are halved. As in codegen/contract/factor.c */

typedef struct Linear { /* one composite */
    Thread *t;
    kiln_site at;
} Linear;

typedef struct MatrixLeaf { /* [..., m, n], factored one column after the other */
    Linear c;
    int64_t m, n;
} MatrixLeaf;

static inline kiln_tensor *la_add(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_add_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_sub(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_sub_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_mul(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_mul_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_div(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_div_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_product(const Linear *c, kiln_tensor *x, kiln_tensor *y)
{
    return kiln_matmul_at(c->at, of(x), of(y));
}
static inline kiln_tensor *la_neg(const Linear *c, kiln_tensor *x) { return kiln_neg_at(c->at, of(x)); }
static inline kiln_tensor *la_where(const Linear *c, kiln_tensor *is, kiln_tensor *x, kiln_operand y)
{
    return kiln_where_at(c->at, of(is), of(x), y);
}
static inline kiln_tensor *la_lt(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_lt_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_le(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_le_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_eq(const Linear *c, kiln_tensor *x, kiln_tensor *y) { return kiln_eq_at(c->at, of(x), of(y)); }
static inline kiln_tensor *la_expand(const Linear *c, kiln_tensor *x, int axis) { return kiln_expand_at(c->at, of(x), axis); }
static inline kiln_tensor *la_sum(const Linear *c, kiln_tensor *x, int axis)
{
    return kiln_sum_at(c->at, of(x), (kiln_axes){0, 1, {0, axis}});
}

/* Whether x's matrices are factored by the host's routine (codegen/contract/factor.c), which has the bits of what stands here: not
 * on other devices, nor for objects. */
static inline bool la_by_host(const Linear *c, kiln_tensor *x)
{
    return !c->t->alone && tensor_ok(x) && all_on_host(c->t, &x, 1) && x->type.dim[x->type.rank - 2] > 0 &&
           x->type.dim[x->type.rank - 1] > 0;
}

/* [..., n] at index j, a scalar, of the axis, which goes */
static inline kiln_tensor *la_pick(const Linear *c, kiln_tensor *x, kiln_tensor *j, int axis)
{
    return kiln_gather_at(c->at, of(x), of(j), axis);
}

/* ---- matrix.c */
/* x with floats and two axes at least, in the type that it computes in; *m, *n: its sizes. What the composite makes from here on
 * lies beside x. NULL: recorded, or poison. */
kiln_tensor *matrix_of(const Linear *c, const char *name, kiln_operand x, int64_t *m, int64_t *n);
kiln_tensor *square_of(const Linear *c, const char *name, kiln_operand x, int64_t *n); /* the same of a square one */
/* x in the dtype that two operands promote to. */
kiln_tensor *matrix_narrowed(const Linear *c, kiln_tensor *x, kiln_operand a, kiln_operand b);
int64_t matrix_size(const kiln_tensor *x, int axis_from_end); /* -1: columns, -2: rows */
kiln_tensor *matrix_turned(const Linear *c, kiln_tensor *x);
/* Rows and columns from these on, so many. */
kiln_tensor *matrix_part(const Linear *c, kiln_tensor *x, int64_t row, int64_t rows, int64_t column, int64_t columns);
kiln_tensor *matrix_rows(const Linear *c, kiln_tensor *x, int64_t row, int64_t rows);
kiln_tensor *matrix_columns(const Linear *c, kiln_tensor *x, int64_t column, int64_t columns);
kiln_tensor *matrix_over(const Linear *c, kiln_tensor *above, kiln_tensor *below);
kiln_tensor *matrix_beside(const Linear *c, kiln_tensor *left, kiln_tensor *right);
kiln_tensor *matrix_places(const Linear *c, int64_t n, const kiln_tensor *beside);   /* 0 .. n - 1, i64[n] */
kiln_tensor *matrix_zeros(const Linear *c, kiln_tensor *like, int64_t m, int64_t n); /* with like's batches */
kiln_tensor *matrix_unit(const Linear *c, kiln_tensor *like, int64_t n);             /* [n, n] */
kiln_tensor *matrix_diagonal(const Linear *c, kiln_tensor *x);                       /* of a square one: [..., n] */
/* What lies below (above) the diagonal, and on it if that is asked; zeros elsewhere. */
kiln_tensor *matrix_lower(const Linear *c, kiln_tensor *x, bool diagonal);
kiln_tensor *matrix_upper(const Linear *c, kiln_tensor *x, bool diagonal);
kiln_tensor *matrix_ordered(const Linear *c, kiln_tensor *x, kiln_tensor *order); /* rows in the order of i64[..., m] */
/* x summed over the batches that `like` does not have, or has once; and x with those of an order [..., n], of whose rows it has
 * none. */
kiln_tensor *matrix_summed(const Linear *c, kiln_tensor *x, const kiln_tensor *like);
kiln_tensor *matrix_batched(const Linear *c, kiln_tensor *x, const kiln_tensor *order);
/* y, whose gradient is what the rule, which lives as long as the program, makes of g and x. */
typedef struct MatrixRule {
    void (*run)(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx);
    int how;
} MatrixRule;
kiln_tensor *matrix_ruled(const Linear *c, kiln_tensor *y, kiln_tensor *const *x, int n, const MatrixRule *rule);
/* n turns of the body; carries in, last ones out. False: recorded. */
bool matrix_turns(
    const Linear *c, int64_t n, kiln_body *body, kiln_tensor *const *carry, int carries, kiln_tensor **out, void *user);

kiln_tensor *triangle_solved(const Linear *c, kiln_tensor *a, kiln_tensor *b, int how); /* checked; with its gradient */

#endif
