/* dim_counted: what sizes that nodes count are at most, and names for new ones. Relies on dim_sum.h. Never knows a value. */
#include "dim_sum.h"

static Dim limit(DimTable *t, Dim d, bool most);

/* Of a symbol, a floor division or a maximum. The least of those that are no symbols is not looked for: 0 is never wrong. */
static Dim atom(DimTable *t, Dim d, bool most)
{
    if (d >= 0 || d == DIM_BAD || !dim_expr(t, d)->counted) return d;
    const DimExpr e = *dim_expr(t, d);
    if (!most) return 0;
    switch ((DimKind)e.kind) {
    case DIM_SYMBOL: return limit(t, e.bound, true);
    case DIM_FLOORDIV: return dim_floordiv(t, limit(t, e.a, true), e.b);
    default: return dim_max(t, limit(t, e.a, true), limit(t, e.b, true));
    }
}

static void add(DimTable *t, Sum *s, int64_t k, Dim d, bool most)
{
    for (; dim_is(t, d, DIM_ADD); d = dim_expr(t, d)->a) add(t, s, k, dim_expr(t, d)->b, most);
    Dim all = 1;
    for (; dim_is(t, d, DIM_MUL); d = dim_expr(t, d)->a) {
        const Dim last = dim_expr(t, d)->b;
        if (!dim_is_number(t, last))
            all = dim_mul(t, all, atom(t, last, most == (k > 0)));
        else if (!dim_times(k, dim_lo(t, last), &k))
            s->trouble = DIM_TOO_LARGE;
    }
    if (dim_is_number(t, d)) {
        if (!dim_times(k, dim_lo(t, d), &k)) s->trouble = DIM_TOO_LARGE;
    } else {
        all = dim_mul(t, all, atom(t, d, most == (k > 0)));
    }
    if (all == DIM_BAD)
        s->trouble = t->trouble;
    else if (dim_is_number(t, all))
        sum_number(s, k, dim_lo(t, all));
    else
        sum_add(t, s, k, all);
}

/* Numbers come last in products, so that the sign of one is known before its other factors are looked at. */
static Dim limit(DimTable *t, Dim d, bool most)
{
    if (d >= 0 || d == DIM_BAD || !dim_expr(t, d)->counted) return d;
    if (dim_is(t, d, DIM_SYMBOL) || dim_is(t, d, DIM_FLOORDIV) || dim_is(t, d, DIM_MAX2)) return atom(t, d, most);
    Sum s = {0};
    add(t, &s, 1, d, most);
    return sum_dim(t, &s);
}

const char *dim_fresh(const DimTable *t, Arena *arena, const char *what)
{
    for (uint32_t number = t->expr.len;; number++) {
        const char *name = arena_printf(arena, "%s%u", what, number);
        if (dim_find(t, name, strlen(name)) == DIM_BAD) return name;
    }
}

Dim dim_most(DimTable *t, Dim d) { return limit(t, d, true); }
