/* dim_divide: floor division, maximum and exact division of sizes. Relies on dim_sum.h. Never guesses that
 * a division is exact or one size the larger: the bounds decide. */
#include "dim_sum.h"

/* A size: not certainly negative. */
static Dim size(DimTable *t, Dim d) { return d != DIM_BAD && dim_hi(t, d) < 0 ? dim_fail(t, DIM_BELOW_ZERO) : d; }

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* Splits x = by * q + r, r's coefficients in [0, by), then divides out what r and by share. */
static void split(const Sum *x, int64_t *by, Sum *q, Sum *r)
{
    q->c = dim_floor(x->c, *by);
    r->c = x->c - q->c * *by;
    int64_t common = *by;
    for (uint32_t i = 0; i < x->n; i++) {
        Term now = x->t[i];
        int64_t whole = dim_floor(now.coef, *by), rest = now.coef - whole * *by;
        if (whole != 0) q->t[q->n++] = (Term){whole, now.mono};
        if (rest != 0) r->t[r->n++] = (Term){rest, now.mono};
        common = gcd(common, rest);
    }
    if (r->n == 0) return;
    for (uint32_t i = 0; i < r->n; i++) r->t[i].coef /= common;
    r->c /= common;
    *by /= common;
}

/* Atoms are nearly always at least 0, but a maximum may be negative. Whole multiples of `by` then move from the quotient into the
 * rest. */
static bool lift(const DimTable *t, Sum *q, Sum *r, int64_t by, Range *range)
{
    *range = sum_range(t, r);
    if (!dim_within(range->lo) || !dim_within(range->hi)) return false;
    if (range->lo >= 0) return true;
    int64_t up = -dim_floor(range->lo, by);
    return dim_accumulate(&r->c, up * by) && dim_accumulate(&q->c, -up) && dim_accumulate(&range->lo, up * by) &&
           dim_accumulate(&range->hi, up * by);
}

static Dim quotient(DimTable *t, const Sum *x, int64_t by)
{
    if (x->trouble != DIM_FINE) return dim_fail(t, x->trouble);
    Sum q = {0}, r = {0};
    split(x, &by, &q, &r);
    if (r.n == 0) return sum_dim(t, &q);
    int64_t inner_by;
    if (r.n == 1 && r.t[0].coef == 1 && dim_is(t, r.t[0].mono, DIM_FLOORDIV)) {
        /* (a / x + c) / y = (a + c x) / (x y) */
        DimExpr inner = *dim_expr(t, r.t[0].mono);
        if (dim_times(inner.b, by, &inner_by)) {
            Sum s = {0};
            sum_add(t, &s, 1, inner.a);
            sum_number(&s, r.c, inner.b);
            sum_add(t, &q, 1, quotient(t, &s, inner_by));
            return sum_dim(t, &q);
        }
    }
    Range range;
    if (!lift(t, &q, &r, by, &range)) return dim_fail(t, DIM_TOO_LARGE);
    if (range.lo / by == range.hi / by)
        sum_number(&q, 1, range.lo / by);
    else
        sum_add(t, &q, 1, dim_make(t, DIM_FLOORDIV, sum_dim(t, &r), by));
    return sum_dim(t, &q);
}

Dim dim_floordiv(DimTable *t, Dim a, int64_t by)
{
    if (a == DIM_BAD) return DIM_BAD;
    if (by <= 0 || by > DIM_MAX) return dim_fail(t, DIM_TOO_LARGE);
    if (a >= 0) return a / by;
    return by == 1 ? a : size(t, dim_any_floordiv(t, a, by));
}

Dim dim_any_floordiv(DimTable *t, Dim a, int64_t by)
{
    if (a == DIM_BAD) return DIM_BAD;
    if (by <= 0 || by > DIM_MAX) return dim_fail(t, DIM_TOO_LARGE);
    Sum s = {0};
    sum_add(t, &s, 1, a);
    return quotient(t, &s, by);
}

static bool dominates(const DimTable *t, Dim a, Dim b)
{
    Sum s = {0};
    sum_add(t, &s, 1, a);
    sum_add(t, &s, -1, b);
    return s.trouble == DIM_FINE && sum_range(t, &s).lo >= 0;
}

/* Adds d's operands, if it is a maximum, or d itself to the sorted list of those that none
 * dominates. */
static bool add_candidate(const DimTable *t, Dim *list, uint32_t *n, Dim d)
{
    if (dim_is(t, d, DIM_MAX2)) return add_candidate(t, list, n, dim_expr(t, d)->a) && add_candidate(t, list, n, dim_expr(t, d)->b);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (dominates(t, list[i], d)) return true;
    for (uint32_t i = 0; i < *n; i++)
        if (!dominates(t, d, list[i])) list[kept++] = list[i];
    if (kept == DIM_TERMS) return false;
    uint32_t at = kept;
    for (; at > 0 && dim_order(t, list[at - 1], d) > 0; at--) list[at] = list[at - 1];
    list[at] = d;
    *n = kept + 1;
    return true;
}

Dim dim_max(DimTable *t, Dim a, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    if (a >= 0 && b >= 0) return MAX_OF(a, b);
    Dim list[DIM_TERMS];
    uint32_t n = 0;
    if (!add_candidate(t, list, &n, a) || !add_candidate(t, list, &n, b)) return dim_fail(t, DIM_MANY_TERMS);
    Dim d = list[0];
    for (uint32_t i = 1; i < n; i++) d = dim_make(t, DIM_MAX2, d, list[i]);
    return d;
}

bool dim_divides(DimTable *t, Dim whole, Dim part, Dim *out)
{
    if (whole == DIM_BAD || part == DIM_BAD || part == 0) return false;
    if (whole >= 0 && part >= 0) {
        *out = whole / part;
        return whole % part == 0;
    }
    Sum rest = {0}, by = {0}, q = {0};
    sum_add(t, &rest, 1, whole);
    sum_add(t, &by, 1, part);
    if (rest.trouble != DIM_FINE || by.trouble != DIM_FINE) return false;
    Term lead = by.n != 0 ? by.t[0] : (Term){by.c, 0};
    for (int step = 0; step < DIM_TERMS && (rest.n != 0 || rest.c != 0); step++) {
        Term top = rest.n != 0 ? rest.t[0] : (Term){rest.c, 0};
        Dim m = lead.mono == 0 ? top.mono : top.mono == 0 ? DIM_BAD : mono_over(t, top.mono, lead.mono);
        if (m == DIM_BAD || top.coef % lead.coef != 0) return false;
        int64_t k = top.coef / lead.coef;
        if (m == 0)
            sum_number(&q, 1, k);
        else
            sum_term(t, &q, k, m);
        sum_add_product(t, &rest, &by, -k, m);
        if (rest.trouble != DIM_FINE) return false;
    }
    if (rest.n != 0 || rest.c != 0) return false;
    *out = size(t, sum_dim(t, &q));
    return *out != DIM_BAD;
}
