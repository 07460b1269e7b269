/* dim_sum: sums and products in one canonical order, like terms merged. Relies on dim_sum.h. Never
 * guesses: a sum too long or a number too large is DIM_BAD, with the reason. */
#include "dim_sum.h"

/* ---- the canonical order ----------------------------------------------------------------- */

static uint32_t degree(const DimTable *t, Dim d)
{
    uint32_t n = 1;
    for (; dim_is(t, d, DIM_MUL); d = dim_expr(t, d)->a) n += !dim_is_number(t, dim_expr(t, d)->b);
    return n;
}

int dim_order(const DimTable *t, Dim x, Dim y)
{
    if (x == y) return 0;
    if (x >= 0 || y >= 0) return x >= 0 && y >= 0 ? (x < y ? -1 : 1) : x >= 0 ? 1 : -1;
    uint32_t dx = degree(t, x), dy = degree(t, y);
    if (dx != dy) return dx > dy ? -1 : 1;
    const DimExpr *ex = dim_expr(t, x), *ey = dim_expr(t, y);
    if (ex->kind != ey->kind) return ex->kind < ey->kind ? -1 : 1;
    if (ex->kind == DIM_SYMBOL) return strcmp(ex->name, ey->name);
    if (ex->kind == DIM_NEGATIVE) return ex->lo < ey->lo ? -1 : 1;
    int by_a = dim_order(t, ex->a, ey->a);
    return by_a != 0 ? by_a : dim_order(t, ex->b, ey->b);
}

/* ---- sums -------------------------------------------------------------------------------- */

static void fail(Sum *s, DimTrouble why)
{
    if (s->trouble == DIM_FINE) s->trouble = why;
}

void sum_term(const DimTable *t, Sum *s, int64_t coef, Dim mono)
{
    uint32_t i = 0;
    int o = 1;
    while (i < s->n && (o = dim_order(t, s->t[i].mono, mono)) < 0) i++;
    if (i < s->n && o == 0) {
        if (!dim_accumulate(&s->t[i].coef, coef)) fail(s, DIM_TOO_LARGE);
        if (s->t[i].coef == 0) memmove(&s->t[i], &s->t[i + 1], (--s->n - i) * sizeof s->t[0]);
        return;
    }
    if (coef == 0) return;
    if (s->n == DIM_TERMS) {
        fail(s, DIM_MANY_TERMS);
        return;
    }
    memmove(&s->t[i + 1], &s->t[i], (s->n++ - i) * sizeof s->t[0]);
    s->t[i] = (Term){coef, mono};
}

void sum_number(Sum *s, int64_t k, int64_t v)
{
    int64_t p;
    if (!dim_times(k, v, &p) || !dim_accumulate(&s->c, p)) fail(s, DIM_TOO_LARGE);
}

void sum_add(const DimTable *t, Sum *s, int64_t k, Dim d)
{
    if (d == DIM_BAD) {
        fail(s, t->trouble);
    } else if (dim_is_number(t, d)) {
        sum_number(s, k, dim_lo(t, d));
    } else if (dim_is(t, d, DIM_ADD)) {
        sum_add(t, s, k, dim_expr(t, d)->a);
        sum_add(t, s, k, dim_expr(t, d)->b);
    } else if (dim_is(t, d, DIM_MUL) && dim_is_number(t, dim_expr(t, d)->b)) {
        if (!dim_times(k, dim_lo(t, dim_expr(t, d)->b), &k)) fail(s, DIM_TOO_LARGE);
        sum_term(t, s, k, dim_expr(t, d)->a);
    } else {
        sum_term(t, s, k, d);
    }
}

Dim sum_dim(DimTable *t, const Sum *s)
{
    if (s->trouble != DIM_FINE) return dim_fail(t, s->trouble);
    if (s->n == 0) return dim_number(t, s->c);
    Dim d = DIM_BAD;
    for (uint32_t i = 0; i < s->n; i++) {
        Dim term = s->t[i].coef == 1 ? s->t[i].mono : dim_make(t, DIM_MUL, s->t[i].mono, dim_number(t, s->t[i].coef));
        d = i == 0 ? term : dim_make(t, DIM_ADD, d, term);
    }
    if (s->c != 0) d = dim_make(t, DIM_ADD, d, dim_number(t, s->c));
    return dim_bounded(t, d, s);
}

/* ---- products ---------------------------------------------------------------------------- */

static uint32_t atoms_of(const DimTable *t, Dim mono, Dim *atom)
{
    uint32_t n = 0;
    for (; dim_is(t, mono, DIM_MUL); mono = dim_expr(t, mono)->a) atom[n++] = dim_expr(t, mono)->b;
    atom[n++] = mono;
    return n;
}

static Dim mono_of(DimTable *t, Dim *atom, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && dim_order(t, atom[j - 1], atom[j]) > 0; j--) {
            Dim swap = atom[j];
            atom[j] = atom[j - 1];
            atom[j - 1] = swap;
        }
    Dim d = atom[0];
    for (uint32_t i = 1; i < n; i++) d = dim_make(t, DIM_MUL, d, atom[i]);
    return d;
}

static Dim mono_times(DimTable *t, Dim x, Dim y)
{
    if (degree(t, x) + degree(t, y) > DIM_FACTORS) return dim_fail(t, DIM_MANY_FACTORS);
    Dim atom[DIM_FACTORS];
    uint32_t n = atoms_of(t, x, atom);
    n += atoms_of(t, y, atom + n);
    return mono_of(t, atom, n);
}

static Dim times_term(DimTable *t, Dim x, Dim y) { return x == 0 ? y : y == 0 ? x : mono_times(t, x, y); }

void sum_add_product(DimTable *t, Sum *out, const Sum *s, int64_t k, Dim mono)
{
    if (s->trouble != DIM_FINE) fail(out, s->trouble);
    for (uint32_t i = 0; i <= s->n && out->trouble == DIM_FINE; i++) {
        Term x = i < s->n ? s->t[i] : (Term){s->c, 0};
        int64_t c;
        Dim m = x.coef == 0 ? 0 : times_term(t, x.mono, mono);
        if (m == DIM_BAD)
            fail(out, t->trouble);
        else if (!dim_times(k, x.coef, &c))
            fail(out, DIM_TOO_LARGE);
        else if (m == 0)
            sum_number(out, 1, c);
        else
            sum_term(t, out, c, m);
    }
}

Dim mono_over(DimTable *t, Dim mono, Dim by)
{
    Dim a[DIM_FACTORS], b[DIM_FACTORS];
    uint32_t na = atoms_of(t, mono, a), nb = atoms_of(t, by, b);
    for (uint32_t i = 0; i < nb; i++) {
        uint32_t j = 0;
        while (j < na && a[j] != b[i]) j++;
        if (j == na) return DIM_BAD;
        a[j] = a[--na];
    }
    return na == 0 ? 0 : mono_of(t, a, na);
}
