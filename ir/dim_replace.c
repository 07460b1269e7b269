/* dim_replace: an expression of one table in another, with other sizes for its symbols. Relies on dim_sum.h. Never keeps what folds
 * away: the new table's order and arithmetic are its own. */
#include "dim_sum.h"

typedef struct Replace {
    DimTable *to;
    const DimTable *from;
    const Dim *size;
} Replace;

static Dim replaced(const Replace *r, Dim d);

/* A product of atoms; 0 where it is a number, which is then a factor of *k. */
static Dim product(const Replace *r, Dim d, int64_t *k)
{
    Dim all = 1;
    while (dim_is(r->from, d, DIM_MUL)) {
        all = dim_mul(r->to, all, replaced(r, dim_expr(r->from, d)->b));
        d = dim_expr(r->from, d)->a;
    }
    all = dim_mul(r->to, all, replaced(r, d));
    if (all != DIM_BAD && dim_is_number(r->to, all) && dim_times(*k, dim_lo(r->to, all), k)) return 0;
    return all;
}

/* Adds k * d to s. Parts may be negative on the way, as long as they add up to a size. */
static void add(const Replace *r, Sum *s, int64_t k, Dim d)
{
    if (dim_is_number(r->from, d)) {
        sum_number(s, k, dim_lo(r->from, d));
    } else if (dim_is(r->from, d, DIM_ADD)) {
        add(r, s, k, dim_expr(r->from, d)->a);
        add(r, s, k, dim_expr(r->from, d)->b);
    } else if (dim_is(r->from, d, DIM_MUL) && dim_is_number(r->from, dim_expr(r->from, d)->b)) {
        if (!dim_times(k, dim_lo(r->from, dim_expr(r->from, d)->b), &k)) s->trouble = DIM_TOO_LARGE;
        add(r, s, k, dim_expr(r->from, d)->a);
    } else {
        const Dim all = product(r, d, &k);
        if (all == 0)
            sum_number(s, 1, k);
        else
            sum_add(r->to, s, k, all);
    }
}

/* Any sign. */
static Dim replaced(const Replace *r, Dim d)
{
    if (d >= 0 || d == DIM_BAD) return d;
    const DimExpr *e = dim_expr(r->from, d);
    Sum s = {0};
    switch ((DimKind)e->kind) {
    case DIM_SYMBOL: return r->size[-1 - d];
    case DIM_NEGATIVE: return dim_number(r->to, e->lo);
    case DIM_FLOORDIV: return dim_floordiv(r->to, replaced(r, e->a), e->b);
    case DIM_MAX2: return dim_max(r->to, replaced(r, e->a), replaced(r, e->b));
    default: add(r, &s, 1, d); return sum_dim(r->to, &s);
    }
}

Dim dim_replace(DimTable *t, const DimTable *from, Dim d, const Dim *size)
{
    const Replace r = {t, from, size};
    d = replaced(&r, d);
    return d != DIM_BAD && dim_hi(t, d) < 0 ? dim_fail(t, DIM_BELOW_ZERO) : d;
}
