/* dim: canonical arithmetic on sizes. Every expression is kept as a sum of coefficient * product
 * of atoms, plus a constant, where an atom is a symbol, a floor division or a maximum; sums and
 * products are sorted and like terms merged, so equal handles are equal sizes. Relies on dim.h
 * alone. Never guesses: what the bounds do not decide stays an expression. */
#include "dim.h"

#define MAX_TERMS 32   /* of one sum */
#define MAX_FACTORS 16 /* of one product */
#define MAX_SIZE 1000  /* of one expression as a tree */

typedef struct Term {
    int64_t coef;
    Dim mono; /* an atom, or a MUL chain of atoms */
} Term;

typedef struct Sum {
    int64_t c;
    uint32_t n;
    bool bad; /* overflow or too many terms */
    Term t[MAX_TERMS];
} Sum;

void dim_table_init(DimTable *t, Arena *arena)
{
    *t = (DimTable){.arena = arena, .shared = {.arena = arena}};
}

static const DimExpr *expr_of(const DimTable *t, Dim d) { return &t->expr.at[-1 - d]; }

static bool is_kind(const DimTable *t, Dim d, DimKind kind)
{
    return d < 0 && expr_of(t, d)->kind == kind;
}

int64_t dim_lo(const DimTable *t, Dim d) { return d >= 0 || d == DIM_BAD ? d : expr_of(t, d)->lo; }

int64_t dim_hi(const DimTable *t, Dim d) { return d >= 0 || d == DIM_BAD ? d : expr_of(t, d)->hi; }

static bool within(int64_t v) { return v >= -DIM_MAX && v <= DIM_MAX; }

static bool add_to(int64_t *a, int64_t b)
{
    return !__builtin_add_overflow(*a, b, a) && within(*a);
}

static bool multiply(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out) && within(*out);
}

static int64_t floor_div(int64_t a, int64_t by) { return a / by - (a % by < 0); }

/* ---- interning --------------------------------------------------------------------------- */

static bool same_expr(const DimExpr *x, const DimExpr *y)
{
    if (x->kind != y->kind) return false;
    if (x->kind == DIM_SYMBOL) return strcmp(x->name, y->name) == 0;
    return x->kind == DIM_NEGATIVE ? x->lo == y->lo : x->a == y->a && x->b == y->b;
}

static Dim intern(DimTable *t, const DimExpr *e)
{
    uint64_t h = e->kind;
    if (e->kind == DIM_SYMBOL)
        h = hash_bytes(h, e->name, strlen(e->name));
    else if (e->kind == DIM_NEGATIVE)
        h = hash_mix(h, (uint64_t)e->lo);
    else
        h = hash_mix(hash_mix(h, (uint64_t)e->a), (uint64_t)e->b);
    for (uint64_t *i; (i = map_get(&t->shared, h)) != NULL; h++)
        if (same_expr(&t->expr.at[*i], e)) return -1 - (Dim)*i;
    *VEC_PUSH(t->arena, &t->expr) = *e;
    map_put(&t->shared, h, t->expr.len - 1);
    return -(Dim)t->expr.len;
}

bool dim_name_ok(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return n != 0 && s[n] == '\0' && !(s[0] >= '0' && s[0] <= '9');
}

static Dim symbol(DimTable *t, const char *name, int64_t lo, int64_t hi, bool made)
{
    if (!dim_name_ok(name) || lo < 0 || hi < lo || hi > DIM_MAX) return DIM_BAD;
    size_t len = strlen(name);
    Dim known = dim_find(t, name, len);
    DimExpr e = {.kind = DIM_SYMBOL, .size = 1, .lo = lo, .hi = hi, .made = made};
    if (known != DIM_BAD)
        return dim_lo(t, known) == lo && dim_hi(t, known) == hi && dim_is_made(t, known) == made ? known : DIM_BAD;
    e.name = arena_copy(t->arena, name, len + 1);
    return intern(t, &e);
}

Dim dim_symbol(DimTable *t, const char *name, int64_t lo, int64_t hi) { return symbol(t, name, lo, hi, false); }

Dim dim_made(DimTable *t, const char *name) { return symbol(t, name, 0, DIM_MAX, true); }

static Dim number(DimTable *t, int64_t v)
{
    if (!within(v)) return DIM_BAD;
    return v >= 0 ? v : intern(t, &(DimExpr){.kind = DIM_NEGATIVE, .size = 1, .lo = v, .hi = v});
}

static bool product_bounds(
    int64_t alo, int64_t ahi, int64_t blo, int64_t bhi, int64_t *lo, int64_t *hi)
{
    int64_t p[4];
    if (!multiply(alo, blo, &p[0]) || !multiply(alo, bhi, &p[1]) || !multiply(ahi, blo, &p[2]) ||
        !multiply(ahi, bhi, &p[3]))
        return false;
    *lo = MIN_OF(MIN_OF(p[0], p[1]), MIN_OF(p[2], p[3]));
    *hi = MAX_OF(MAX_OF(p[0], p[1]), MAX_OF(p[2], p[3]));
    return true;
}

static uint32_t size_of(const DimTable *t, Dim d) { return d >= 0 ? 1 : expr_of(t, d)->size; }

/* An expression with its bounds; the operands are canonical. */
static Dim make(DimTable *t, DimKind kind, Dim a, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    uint32_t size = 1 + size_of(t, a) + size_of(t, b);
    if (size > MAX_SIZE) return DIM_BAD;
    int64_t alo = dim_lo(t, a), ahi = dim_hi(t, a), blo = dim_lo(t, b), bhi = dim_hi(t, b),
            lo = alo, hi = ahi;
    switch (kind) {
    case DIM_ADD:
        if (!add_to(&lo, blo) || !add_to(&hi, bhi)) return DIM_BAD;
        break;
    case DIM_MUL:
        if (!product_bounds(alo, ahi, blo, bhi, &lo, &hi)) return DIM_BAD;
        break;
    case DIM_FLOORDIV:
        lo = floor_div(alo, b);
        hi = floor_div(ahi, b);
        break;
    default: /* MAX2 */ lo = MAX_OF(alo, blo); hi = MAX_OF(ahi, bhi);
    }
    return intern(
        t, &(DimExpr){
               .kind = (uint8_t)kind, .size = (uint16_t)size, .a = a, .b = b, .lo = lo, .hi = hi});
}

/* ---- the canonical order ----------------------------------------------------------------- */

static bool is_number(const DimTable *t, Dim d) { return d >= 0 || is_kind(t, d, DIM_NEGATIVE); }

static uint32_t degree(const DimTable *t, Dim d)
{
    uint32_t n = 1;
    for (; is_kind(t, d, DIM_MUL); d = expr_of(t, d)->a) n += !is_number(t, expr_of(t, d)->b);
    return n;
}

/* Total, and independent of the order in which expressions were made: higher degrees first,
 * symbols by name, constants last. */
static int order(const DimTable *t, Dim x, Dim y)
{
    if (x == y) return 0;
    if (x >= 0 || y >= 0) return x >= 0 && y >= 0 ? (x < y ? -1 : 1) : x >= 0 ? 1 : -1;
    uint32_t dx = degree(t, x), dy = degree(t, y);
    if (dx != dy) return dx > dy ? -1 : 1;
    const DimExpr *ex = expr_of(t, x), *ey = expr_of(t, y);
    if (ex->kind != ey->kind) return ex->kind < ey->kind ? -1 : 1;
    if (ex->kind == DIM_SYMBOL) return strcmp(ex->name, ey->name);
    if (ex->kind == DIM_NEGATIVE) return ex->lo < ey->lo ? -1 : 1;
    int by_a = order(t, ex->a, ey->a);
    return by_a != 0 ? by_a : order(t, ex->b, ey->b);
}

/* ---- sums -------------------------------------------------------------------------------- */

static void sum_term(const DimTable *t, Sum *s, int64_t coef, Dim mono)
{
    uint32_t i = 0;
    int o = 1;
    while (i < s->n && (o = order(t, s->t[i].mono, mono)) < 0) i++;
    if (i < s->n && o == 0) {
        if (!add_to(&s->t[i].coef, coef)) s->bad = true;
        if (s->t[i].coef == 0) memmove(&s->t[i], &s->t[i + 1], (--s->n - i) * sizeof s->t[0]);
        return;
    }
    if (coef == 0) return;
    if (s->n == MAX_TERMS) {
        s->bad = true;
        return;
    }
    memmove(&s->t[i + 1], &s->t[i], (s->n++ - i) * sizeof s->t[0]);
    s->t[i] = (Term){coef, mono};
}

static void sum_number(Sum *s, int64_t k, int64_t v)
{
    int64_t p;
    if (!multiply(k, v, &p) || !add_to(&s->c, p)) s->bad = true;
}

/* s += k * d */
static void sum_add(const DimTable *t, Sum *s, int64_t k, Dim d)
{
    if (d == DIM_BAD) {
        s->bad = true;
    } else if (is_number(t, d)) {
        sum_number(s, k, dim_lo(t, d));
    } else if (is_kind(t, d, DIM_ADD)) {
        sum_add(t, s, k, expr_of(t, d)->a);
        sum_add(t, s, k, expr_of(t, d)->b);
    } else if (is_kind(t, d, DIM_MUL) && is_number(t, expr_of(t, d)->b)) {
        if (!multiply(k, dim_lo(t, expr_of(t, d)->b), &k)) s->bad = true;
        sum_term(t, s, k, expr_of(t, d)->a);
    } else {
        sum_term(t, s, k, d);
    }
}

static Dim sum_dim(DimTable *t, const Sum *s)
{
    if (s->bad) return DIM_BAD;
    if (s->n == 0) return number(t, s->c);
    Dim d = DIM_BAD;
    for (uint32_t i = 0; i < s->n; i++) {
        Dim term = s->t[i].coef == 1 ? s->t[i].mono
                                     : make(t, DIM_MUL, s->t[i].mono, number(t, s->t[i].coef));
        d = i == 0 ? term : make(t, DIM_ADD, d, term);
    }
    return s->c == 0 ? d : make(t, DIM_ADD, d, number(t, s->c));
}

static bool sum_bounds(const DimTable *t, const Sum *s, int64_t *lo, int64_t *hi)
{
    *lo = *hi = s->c;
    for (uint32_t i = 0; i < s->n; i++) {
        int64_t k = s->t[i].coef, l, h;
        if (!product_bounds(k, k, dim_lo(t, s->t[i].mono), dim_hi(t, s->t[i].mono), &l, &h) ||
            !add_to(lo, l) || !add_to(hi, h))
            return false;
    }
    return !s->bad;
}

/* A size: not certainly negative. */
static Dim checked(const DimTable *t, Dim d)
{
    return d != DIM_BAD && dim_hi(t, d) < 0 ? DIM_BAD : d;
}

Dim dim_add(DimTable *t, Dim a, Dim b)
{
    if (a >= 0 && b >= 0) return a <= DIM_MAX - b ? a + b : DIM_BAD;
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    Sum s = {0};
    sum_add(t, &s, 1, a);
    sum_add(t, &s, 1, b);
    return checked(t, sum_dim(t, &s));
}

Dim dim_sub(DimTable *t, Dim a, Dim b)
{
    if (a >= 0 && b >= 0) return a >= b ? a - b : DIM_BAD;
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    Sum s = {0};
    sum_add(t, &s, 1, a);
    sum_add(t, &s, -1, b);
    return checked(t, sum_dim(t, &s));
}

/* ---- products ---------------------------------------------------------------------------- */

static uint32_t atoms_of(const DimTable *t, Dim mono, Dim *atom)
{
    uint32_t n = 0;
    for (; is_kind(t, mono, DIM_MUL); mono = expr_of(t, mono)->a) atom[n++] = expr_of(t, mono)->b;
    atom[n++] = mono;
    return n;
}

static Dim mono_of(DimTable *t, Dim *atom, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && order(t, atom[j - 1], atom[j]) > 0; j--) {
            Dim swap = atom[j];
            atom[j] = atom[j - 1];
            atom[j - 1] = swap;
        }
    Dim d = atom[0];
    for (uint32_t i = 1; i < n; i++) d = make(t, DIM_MUL, d, atom[i]);
    return d;
}

static Dim mono_times(DimTable *t, Dim x, Dim y)
{
    if (degree(t, x) + degree(t, y) > MAX_FACTORS) return DIM_BAD;
    Dim atom[MAX_FACTORS];
    uint32_t n = atoms_of(t, x, atom);
    n += atoms_of(t, y, atom + n);
    return mono_of(t, atom, n);
}

/* out += k * mono * s, where mono 0 stands for 1 */
static void sum_add_product(DimTable *t, Sum *out, const Sum *s, int64_t k, Dim mono)
{
    int64_t c;
    if (s->bad) out->bad = true;
    for (uint32_t i = 0; i < s->n && !out->bad; i++) {
        Dim m = mono == 0 ? s->t[i].mono : mono_times(t, s->t[i].mono, mono);
        if (m == DIM_BAD || !multiply(k, s->t[i].coef, &c))
            out->bad = true;
        else
            sum_term(t, out, c, m);
    }
    if (mono == 0)
        sum_number(out, k, s->c);
    else if (!multiply(k, s->c, &c))
        out->bad = true;
    else
        sum_term(t, out, c, mono);
}

Dim dim_mul(DimTable *t, Dim a, Dim b)
{
    int64_t p;
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    if (a >= 0 && b >= 0) return multiply(a, b, &p) ? p : DIM_BAD;
    Sum x = {0}, y = {0}, s = {0};
    sum_add(t, &x, 1, a);
    sum_add(t, &y, 1, b);
    for (uint32_t i = 0; i < y.n; i++) sum_add_product(t, &s, &x, y.t[i].coef, y.t[i].mono);
    sum_add_product(t, &s, &x, y.c, 0);
    s.bad |= y.bad;
    return checked(t, sum_dim(t, &s));
}

/* ---- floor division, maximum, exact division --------------------------------------------- */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* Splits x = by * q + r with small coefficients in r, then divides out what r and by share. */
static void split(const Sum *x, int64_t *by, Sum *q, Sum *r)
{
    q->c = floor_div(x->c, *by);
    r->c = x->c - q->c * *by;
    int64_t common = *by;
    for (uint32_t i = 0; i < x->n; i++) {
        Term now = x->t[i];
        if (now.coef / *by != 0) q->t[q->n++] = (Term){now.coef / *by, now.mono};
        if (now.coef % *by != 0) r->t[r->n++] = (Term){now.coef % *by, now.mono};
        common = gcd(common, now.coef % *by);
    }
    if (r->n == 0) return;
    for (uint32_t i = 0; i < r->n; i++) r->t[i].coef /= common;
    r->c /= common;
    *by /= common;
}

static Dim quotient(DimTable *t, const Sum *x, int64_t by)
{
    if (x->bad) return DIM_BAD;
    Sum q = {0}, r = {0};
    split(x, &by, &q, &r);
    if (r.n == 0) return sum_dim(t, &q);
    int64_t lo, hi, inner_by;
    if (r.n == 1 && r.t[0].coef == 1 && is_kind(t, r.t[0].mono, DIM_FLOORDIV)) {
        /* (a / x + c) / y = (a + c x) / (x y) */
        DimExpr inner = *expr_of(t, r.t[0].mono);
        if (multiply(inner.b, by, &inner_by)) {
            Sum s = {0};
            sum_add(t, &s, 1, inner.a);
            sum_number(&s, r.c, inner.b);
            sum_add(t, &q, 1, quotient(t, &s, inner_by));
            return sum_dim(t, &q);
        }
    }
    if (!sum_bounds(t, &r, &lo, &hi)) return DIM_BAD;
    if (lo < 0) { /* the numerator of an expression is never negative */
        int64_t up = -floor_div(lo, by);
        if (!add_to(&r.c, up * by) || !add_to(&q.c, -up) || !add_to(&lo, up * by) ||
            !add_to(&hi, up * by))
            return DIM_BAD;
    }
    if (lo / by == hi / by)
        sum_number(&q, 1, lo / by);
    else
        sum_add(t, &q, 1, make(t, DIM_FLOORDIV, sum_dim(t, &r), by));
    return sum_dim(t, &q);
}

Dim dim_floordiv(DimTable *t, Dim a, int64_t by)
{
    if (a == DIM_BAD || by <= 0 || by > DIM_MAX) return DIM_BAD;
    if (a >= 0) return a / by;
    if (by == 1) return a;
    Sum s = {0};
    sum_add(t, &s, 1, a);
    return checked(t, quotient(t, &s, by));
}

static bool dominates(const DimTable *t, Dim a, Dim b)
{
    Sum s = {0};
    int64_t lo, hi;
    sum_add(t, &s, 1, a);
    sum_add(t, &s, -1, b);
    return sum_bounds(t, &s, &lo, &hi) && lo >= 0;
}

/* Adds d's operands, if it is a maximum, or d itself to the sorted list of those that none
 * dominates. */
static bool add_candidate(const DimTable *t, Dim *list, uint32_t *n, Dim d)
{
    if (is_kind(t, d, DIM_MAX2))
        return add_candidate(t, list, n, expr_of(t, d)->a) &&
               add_candidate(t, list, n, expr_of(t, d)->b);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (dominates(t, list[i], d)) return true;
    for (uint32_t i = 0; i < *n; i++)
        if (!dominates(t, d, list[i])) list[kept++] = list[i];
    if (kept == MAX_TERMS) return false;
    uint32_t at = kept;
    for (; at > 0 && order(t, list[at - 1], d) > 0; at--) list[at] = list[at - 1];
    list[at] = d;
    *n = kept + 1;
    return true;
}

Dim dim_max(DimTable *t, Dim a, Dim b)
{
    if (a == DIM_BAD || b == DIM_BAD) return DIM_BAD;
    if (a >= 0 && b >= 0) return MAX_OF(a, b);
    Dim list[MAX_TERMS];
    uint32_t n = 0;
    if (!add_candidate(t, list, &n, a) || !add_candidate(t, list, &n, b)) return DIM_BAD;
    Dim d = list[0];
    for (uint32_t i = 1; i < n; i++) d = make(t, DIM_MAX2, d, list[i]);
    return d;
}

/* mono / by, 0 if the quotient is 1, DIM_BAD if there is none. */
static Dim mono_over(DimTable *t, Dim mono, Dim by)
{
    Dim a[MAX_FACTORS], b[MAX_FACTORS];
    uint32_t na = atoms_of(t, mono, a), nb = atoms_of(t, by, b);
    for (uint32_t i = 0; i < nb; i++) {
        uint32_t j = 0;
        while (j < na && a[j] != b[i]) j++;
        if (j == na) return DIM_BAD;
        a[j] = a[--na];
    }
    return na == 0 ? 0 : mono_of(t, a, na);
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
    if (rest.bad || by.bad) return false;
    Term lead = by.n != 0 ? by.t[0] : (Term){by.c, 0};
    for (int step = 0; step < MAX_TERMS && (rest.n != 0 || rest.c != 0); step++) {
        Term top = rest.n != 0 ? rest.t[0] : (Term){rest.c, 0};
        Dim m = lead.mono == 0  ? top.mono
                : top.mono == 0 ? DIM_BAD
                                : mono_over(t, top.mono, lead.mono);
        if (m == DIM_BAD || top.coef % lead.coef != 0) return false;
        int64_t k = top.coef / lead.coef;
        if (m == 0)
            sum_number(&q, 1, k);
        else
            sum_term(t, &q, k, m);
        sum_add_product(t, &rest, &by, -k, m);
        if (rest.bad) return false;
    }
    if (rest.n != 0 || rest.c != 0) return false;
    *out = checked(t, sum_dim(t, &q));
    return *out != DIM_BAD;
}
