/* dim: canonical arithmetic on sizes. Every expression is kept as a sum of coefficient * product
 * of atoms, plus a constant (dim_sum.h); sums and products are sorted and like terms merged, so equal
 * handles are equal sizes. Here: the table of expressions, and what the others call. Relies on
 * dim_sum.h. Never guesses: what the bounds do not decide stays an expression. */
#include "dim_sum.h"

#include <stdio.h>

#define MAX_SIZE 1000 /* of one expression as a tree */

void dim_table_init(DimTable *t, Arena *arena) { *t = (DimTable){.arena = arena, .shared = {.arena = arena}}; }

void dim_table_copy(DimTable *to, const DimTable *from, Arena *arena)
{
    *to = *from;
    to->arena = arena;
    VEC_COPY(arena, &to->expr);
    map_copy(&to->shared, &from->shared, arena);
}

int64_t dim_lo(const DimTable *t, Dim d) { return d >= 0 || d == DIM_BAD ? d : dim_expr(t, d)->lo; }

int64_t dim_hi(const DimTable *t, Dim d) { return d >= 0 || d == DIM_BAD ? d : dim_expr(t, d)->hi; }

/* ---- failures ------------------------------------------------------------------------------ */

Dim dim_fail(DimTable *t, DimTrouble why)
{
    if (t) t->trouble = why;
    return DIM_BAD;
}

const char *dim_trouble(const DimTable *t, char *buf, size_t cap)
{
    switch (t ? t->trouble : DIM_FINE) {
    case DIM_BELOW_ZERO: snprintf(buf, cap, "is below zero"); break;
    case DIM_MANY_TERMS: snprintf(buf, cap, "is a sum of more than %d terms", DIM_TERMS); break;
    case DIM_MANY_FACTORS: snprintf(buf, cap, "is a product of more than %d factors", DIM_FACTORS); break;
    case DIM_LONG: snprintf(buf, cap, "is an expression of more than %d parts", MAX_SIZE); break;
    default: snprintf(buf, cap, "is beyond 2^48");
    }
    return buf;
}

/* ---- interning --------------------------------------------------------------------------- */

static bool same_expr(const DimExpr *x, const DimExpr *y)
{
    if (x->kind != y->kind) return false;
    return x->kind == DIM_NEGATIVE ? x->lo == y->lo : x->a == y->a && x->b == y->b;
}

static bool named(const DimExpr *x, const char *name, size_t len)
{
    return x->kind == DIM_SYMBOL && strlen(x->name) == len && memcmp(x->name, name, len) == 0;
}

static Dim added(DimTable *t, const DimExpr *e, uint64_t hash)
{
    *VEC_PUSH(t->arena, &t->expr) = *e;
    map_put(&t->shared, hash, t->expr.len - 1);
    return -(Dim)t->expr.len;
}

static Dim intern(DimTable *t, const DimExpr *e)
{
    uint64_t h =
        e->kind == DIM_NEGATIVE ? hash_mix(e->kind, (uint64_t)e->lo) : hash_mix(hash_mix(e->kind, (uint64_t)e->a), (uint64_t)e->b);
    h = hash_key(h);
    for (uint64_t *i; (i = map_get(&t->shared, h)); h++)
        if (same_expr(&t->expr.at[*i], e)) return -1 - (Dim)*i;
    return added(t, e, h);
}

Dim dim_find(const DimTable *t, const char *name, size_t len)
{
    uint64_t h = hash_key(hash_bytes(DIM_SYMBOL, name, len));
    for (uint64_t *i; (i = map_get(&t->shared, h)); h++)
        if (named(&t->expr.at[*i], name, len)) return -1 - (Dim)*i;
    return DIM_BAD;
}

bool dim_name_ok(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return n != 0 && s[n] == '\0' && !(s[0] >= '0' && s[0] <= '9');
}

static Dim symbol(DimTable *t, const char *name, int64_t lo, int64_t hi, bool made, Dim bound)
{
    const bool counted = bound != DIM_BAD;
    if (!dim_name_ok(name) || lo < 0 || hi < lo || hi > DIM_MAX) return DIM_BAD;
    size_t len = strlen(name);
    uint64_t h = hash_key(hash_bytes(DIM_SYMBOL, name, len));
    Dim known = dim_find(t, name, len);
    DimExpr e = {.kind = DIM_SYMBOL, .size = 1, .lo = lo, .hi = hi, .made = made, .counted = counted, .bound = bound};
    if (known != DIM_BAD) {
        const DimExpr *x = dim_expr(t, known);
        return x->lo == lo && x->hi == hi && x->made == made && x->bound == bound ? known : DIM_BAD;
    }
    t->counts = t->counts || counted;
    while (map_get(&t->shared, h)) h++;
    e.name = arena_copy(t->arena, name, len + 1);
    return added(t, &e, h);
}

Dim dim_symbol(DimTable *t, const char *name, int64_t lo, int64_t hi) { return symbol(t, name, lo, hi, false, DIM_BAD); }

Dim dim_made(DimTable *t, const char *name) { return symbol(t, name, 0, DIM_MAX, true, DIM_BAD); }

Dim dim_counted(DimTable *t, const char *name, Dim bound)
{
    if (!dim_valid(t, bound) || dim_lo(t, bound) < 0 || dim_is_made(t, bound)) return DIM_BAD;
    return symbol(t, name, 0, dim_hi(t, bound), false, bound);
}

Dim dim_number(DimTable *t, int64_t v)
{
    if (!dim_within(v)) return dim_fail(t, DIM_TOO_LARGE);
    return v >= 0 ? v : intern(t, &(DimExpr){.kind = DIM_NEGATIVE, .size = 1, .lo = v, .hi = v});
}

static bool product_bounds(int64_t alo, int64_t ahi, int64_t blo, int64_t bhi, int64_t *lo, int64_t *hi)
{
    int64_t p[4];
    if (!dim_times(alo, blo, &p[0]) || !dim_times(alo, bhi, &p[1]) || !dim_times(ahi, blo, &p[2]) || !dim_times(ahi, bhi, &p[3]))
        return false;
    *lo = MIN_OF(MIN_OF(p[0], p[1]), MIN_OF(p[2], p[3]));
    *hi = MAX_OF(MAX_OF(p[0], p[1]), MAX_OF(p[2], p[3]));
    return true;
}

static bool counts(const DimTable *t, Dim d) { return d < 0 && dim_expr(t, d)->counted; }

static uint32_t size_of(const DimTable *t, Dim d) { return d >= 0 ? 1 : dim_expr(t, d)->size; }

static Dim put(DimTable *t, DimKind kind, Dim a, Dim b, Range bounds)
{
    uint32_t size = 1 + size_of(t, a) + size_of(t, b);
    if (size > MAX_SIZE) return dim_fail(t, DIM_LONG);
    DimExpr e = {.kind = (uint8_t)kind, .size = (uint16_t)size, .a = a, .b = b, .lo = bounds.lo, .hi = bounds.hi, .bound = DIM_BAD};
    e.counted = counts(t, a) || counts(t, b);
    return intern(t, &e);
}

Dim dim_make(DimTable *t, DimKind kind, Dim a, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    if (kind == DIM_ADD) return put(t, kind, a, b, (Range){-RANGE_MAX, RANGE_MAX});
    int64_t alo = dim_lo(t, a), ahi = dim_hi(t, a), blo = dim_lo(t, b), bhi = dim_hi(t, b);
    Range r;
    if (kind == DIM_FLOORDIV)
        r = (Range){dim_floor(alo, b), dim_floor(ahi, b)};
    else if (kind == DIM_MAX2)
        r = (Range){MAX_OF(alo, blo), MAX_OF(ahi, bhi)};
    else if (!product_bounds(alo, ahi, blo, bhi, &r.lo, &r.hi))
        return dim_fail(t, DIM_TOO_LARGE);
    return put(t, kind, a, b, r);
}

Dim dim_bounded(DimTable *t, Dim d, const Sum *s)
{
    if (!dim_is(t, d, DIM_ADD)) return d;
    DimExpr *e = &t->expr.at[-1 - d];
    if (e->hi == RANGE_MAX) {
        Range r = sum_range(t, s);
        if (!dim_within(r.lo) || !dim_within(r.hi)) return dim_fail(t, DIM_TOO_LARGE);
        e->lo = r.lo;
        e->hi = r.hi;
    }
    return d;
}

/* ---- sums, differences, products ---------------------------------------------------------- */

/* A size: not certainly negative. */
static Dim checked(DimTable *t, Dim d) { return d != DIM_BAD && dim_hi(t, d) < 0 ? dim_fail(t, DIM_BELOW_ZERO) : d; }

static Dim sum(DimTable *t, Dim a, int64_t k, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    Sum s = {0};
    sum_add(t, &s, 1, a);
    sum_add(t, &s, k, b);
    return sum_dim(t, &s);
}

Dim dim_any_add(DimTable *t, Dim a, Dim b) { return sum(t, a, 1, b); }

Dim dim_any_sub(DimTable *t, Dim a, Dim b) { return sum(t, a, -1, b); }

Dim dim_any_mul(DimTable *t, Dim a, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    Sum x = {0}, y = {0}, s = {0};
    sum_add(t, &x, 1, a);
    sum_add(t, &y, 1, b);
    for (uint32_t i = 0; i < y.n; i++) sum_add_product(t, &s, &x, y.t[i].coef, y.t[i].mono);
    sum_add_product(t, &s, &x, y.c, 0);
    if (s.trouble == DIM_FINE) s.trouble = y.trouble;
    return sum_dim(t, &s);
}

Dim dim_add(DimTable *t, Dim a, Dim b)
{
    if (a >= 0 && b >= 0) return a <= DIM_MAX - b ? a + b : dim_fail(t, DIM_TOO_LARGE);
    return checked(t, dim_any_add(t, a, b));
}

Dim dim_sub(DimTable *t, Dim a, Dim b)
{
    if (a >= 0 && b >= 0) return a >= b ? a - b : dim_fail(t, DIM_BELOW_ZERO);
    return checked(t, dim_any_sub(t, a, b));
}

Dim dim_mul(DimTable *t, Dim a, Dim b)
{
    int64_t p;
    if (a >= 0 && b >= 0) return dim_times(a, b, &p) ? p : dim_fail(t, DIM_TOO_LARGE);
    return checked(t, dim_any_mul(t, a, b));
}
