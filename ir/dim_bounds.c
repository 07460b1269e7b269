/* dim_bounds: the least and the greatest value of a sum over all values of its symbols. Sizes are
 * kept expanded, so (h-2)*(w-2) is h*w-2*h-2*w+4 and bounds term by term say little. Three
 * readings of the same polynomial are taken, and the tightest wins: factors that all terms share,
 * numbers too, are taken out; it is evaluated at the corners of the box of its atoms, which bound it (Bernstein
 * coefficients; exact where no atom is squared); and a floor division or maximum is replaced by what
 * it lies between, which relates it to the symbols inside it. Relies on dim_sum.h. The result depends
 * on the sum alone, never on how or when it was made; work and memory are bounded. */
#include "dim_sum.h"

#define ATOMS 12
#define POLY_TERMS 64
#define POWERS 4 /* the highest power that corners are computed for */
#define CORNERS 512
#define WORK 60000 /* multiplications for one sum, roughly */
#define DEPTH 12   /* of replacements in replacements */

typedef __int128 Wide;
#define WIDE_MAX ((Wide)1 << 110)

typedef struct PolyTerm {
    int64_t coef;
    uint8_t power[ATOMS];
} PolyTerm;

typedef struct Poly {
    uint32_t n;
    PolyTerm t[POLY_TERMS];
} Poly;

typedef struct Bounds {
    const DimTable *t;
    Dim atom[ATOMS];
    uint32_t natom, work, depth;
} Bounds;

static bool afford(Bounds *b, uint32_t work)
{
    bool enough = work <= b->work;
    b->work = enough ? b->work - work : 0;
    return enough;
}

static const Range anything = {-RANGE_MAX, RANGE_MAX};

/* ---- ranges: RANGE_MAX and beyond is infinity ---------------------------------------------------- */

static int64_t clamped(Wide v) { return v <= -RANGE_MAX ? -RANGE_MAX : v >= RANGE_MAX ? RANGE_MAX : (int64_t)v; }

static Range range_mul(Range a, Range b)
{
    Wide p[4] = {(Wide)a.lo * b.lo, (Wide)a.lo * b.hi, (Wide)a.hi * b.lo, (Wide)a.hi * b.hi};
    Wide lo = p[0], hi = p[0];
    for (int i = 1; i < 4; i++) lo = MIN_OF(lo, p[i]), hi = MAX_OF(hi, p[i]);
    return (Range){clamped(lo), clamped(hi)};
}

static Range range_sum(Range a, Range b)
{
    bool low = a.lo == -RANGE_MAX || b.lo == -RANGE_MAX, high = a.hi == RANGE_MAX || b.hi == RANGE_MAX;
    return (Range){low ? -RANGE_MAX : clamped((Wide)a.lo + b.lo), high ? RANGE_MAX : clamped((Wide)a.hi + b.hi)};
}

static Range meet(Range a, Range b) { return (Range){MAX_OF(a.lo, b.lo), MIN_OF(a.hi, b.hi)}; }

/* Of integers whose by-fold lies in r. */
static Range range_over(Range r, int64_t by)
{
    return (Range){r.lo == -RANGE_MAX ? r.lo : -dim_floor(-r.lo, by), r.hi == RANGE_MAX ? r.hi : dim_floor(r.hi, by)};
}

/* ---- polynomials --------------------------------------------------------------------------------- */

static bool poly_term(Poly *p, int64_t coef, const uint8_t *power)
{
    uint32_t i = 0;
    while (i < p->n && memcmp(p->t[i].power, power, ATOMS) != 0) i++;
    if (i == p->n) {
        if (coef == 0) return true;
        if (p->n == POLY_TERMS) return false;
        p->t[i] = (PolyTerm){.coef = 0};
        memcpy(p->t[i].power, power, ATOMS);
        p->n++;
    }
    Wide sum = (Wide)p->t[i].coef + coef;
    if (clamped(sum) == RANGE_MAX || clamped(sum) == -RANGE_MAX) return false;
    p->t[i].coef = (int64_t)sum;
    if (sum == 0) p->t[i] = p->t[--p->n];
    return true;
}

static bool raise_power(Bounds *b, uint8_t *power, Dim atom)
{
    uint32_t i = 0;
    while (i < b->natom && b->atom[i] != atom) i++;
    if (i == ATOMS || power[i] == UINT8_MAX) return false;
    if (i == b->natom) b->atom[b->natom++] = atom;
    power[i]++;
    return true;
}

static bool scaled(int64_t *k, int64_t by)
{
    Wide p = (Wide)*k * by;
    *k = clamped(p);
    return *k != RANGE_MAX && *k != -RANGE_MAX;
}

/* p += k * (the atoms of power) * d */
static bool poly_add(Bounds *b, Poly *p, int64_t k, const uint8_t *power, Dim d)
{
    uint8_t all[ATOMS];
    memcpy(all, power, ATOMS);
    for (; dim_is(b->t, d, DIM_ADD); d = dim_expr(b->t, d)->a)
        if (!poly_add(b, p, k, power, dim_expr(b->t, d)->b)) return false;
    for (; dim_is(b->t, d, DIM_MUL); d = dim_expr(b->t, d)->a) {
        Dim last = dim_expr(b->t, d)->b;
        if (!(dim_is_number(b->t, last) ? scaled(&k, dim_lo(b->t, last)) : raise_power(b, all, last))) return false;
    }
    bool fits = dim_is_number(b->t, d) ? scaled(&k, dim_lo(b->t, d)) : raise_power(b, all, d);
    return fits && poly_term(p, k, all);
}

/* p += k * q * d */
static bool poly_add_product(Bounds *b, Poly *p, int64_t k, const Poly *q, Dim d)
{
    for (uint32_t i = 0; i < q->n; i++) {
        int64_t c = k;
        if (!scaled(&c, q->t[i].coef) || !poly_add(b, p, c, q->t[i].power, d)) return false;
    }
    return true;
}

static Range atom_range(const Bounds *b, uint32_t i) { return (Range){dim_lo(b->t, b->atom[i]), dim_hi(b->t, b->atom[i])}; }

static Range term_range(const Bounds *b, int64_t coef, const uint8_t *power)
{
    Range r = {coef, coef};
    for (uint32_t i = 0; i < b->natom; i++)
        for (uint32_t k = 0; k < power[i]; k++) r = range_mul(r, atom_range(b, i));
    return r;
}

static Range by_terms(const Bounds *b, const Poly *p)
{
    Range r = {0, 0};
    for (uint32_t i = 0; i < p->n; i++) r = range_sum(r, term_range(b, p->t[i].coef, p->t[i].power));
    return r;
}

/* ---- corners ------------------------------------------------------------------------------------- */

static const uint8_t choose[POWERS + 1][POWERS + 1] = {{1}, {1, 1}, {1, 2, 1}, {1, 3, 3, 1}, {1, 4, 6, 4, 1}};
static const uint8_t common_multiple[POWERS + 1] = {1, 1, 2, 3, 12}; /* of a row of choose */

static bool wide_mul(Wide *v, Wide by)
{
    const Wide small = (Wide)1 << 55;
    bool plain = *v <= small && *v >= -small && by <= small && by >= -small;
    if (!plain && *v != 0 && by != 0 && (*v < 0 ? -*v : *v) > WIDE_MAX / (by < 0 ? -by : by)) return false;
    *v *= by;
    return true;
}

/* What x^j becomes at corner k of degree d: of all ways to take j of d copies of x, k of which are
 * at hi and the others at lo, the mean product, times common_multiple[d]. */
static bool corner_weight(Range x, uint32_t d, uint32_t k, uint32_t j, Wide *out)
{
    *out = 0;
    for (uint32_t high = 0; high <= MIN_OF(j, k); high++) {
        if (j - high > d - k) continue;
        Wide v = (Wide)choose[k][high] * choose[d - k][j - high];
        for (uint32_t i = 0; i < j; i++)
            if (!wide_mul(&v, i < high ? x.hi : x.lo)) return false;
        *out += v;
    }
    *out *= common_multiple[d] / choose[d][j];
    return true;
}

typedef struct Corners {
    uint8_t degree[ATOMS], at[ATOMS];
    Wide weight[ATOMS][POWERS + 1]; /* of each power at this corner */
    int64_t scale;                  /* of all values */
} Corners;

static bool value_at(const Bounds *b, const Poly *p, const Corners *c, Wide *value)
{
    *value = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        Wide v = p->t[i].coef;
        for (uint32_t a = 0; a < b->natom; a++)
            if (c->degree[a] != 0 && !wide_mul(&v, c->weight[a][p->t[i].power[a]])) return false;
        *value += v;
    }
    return true;
}

static bool turn_to(const Bounds *b, Corners *c, uint32_t a, uint32_t corner)
{
    c->at[a] = (uint8_t)corner;
    for (uint32_t j = 0; j <= c->degree[a]; j++)
        if (!corner_weight(atom_range(b, a), c->degree[a], corner, j, &c->weight[a][j])) return false;
    return true;
}

/* The first corner; false if there are too many, or their values too large. */
static bool first_corner(Bounds *b, const Poly *p, Corners *c)
{
    uint32_t corners = 1;
    *c = (Corners){.scale = 1};
    for (uint32_t a = 0; a < b->natom; a++) {
        for (uint32_t i = 0; i < p->n; i++) c->degree[a] = MAX_OF(c->degree[a], p->t[i].power[a]);
        if (c->degree[a] > POWERS || (corners *= c->degree[a] + 1u) > CORNERS || !turn_to(b, c, a, 0)) return false;
        c->scale *= common_multiple[c->degree[a]];
    }
    return afford(b, corners * p->n * b->natom);
}

static Range by_corners(Bounds *b, const Poly *p)
{
    Corners c;
    Wide v, lo = WIDE_MAX, hi = -WIDE_MAX;
    if (!first_corner(b, p, &c)) return anything;
    for (uint32_t a = 0; a < b->natom;) {
        if (!value_at(b, p, &c, &v)) return anything;
        lo = MIN_OF(lo, v), hi = MAX_OF(hi, v);
        for (a = 0; a < b->natom; a++) {
            bool more = c.at[a] < c.degree[a];
            if (!turn_to(b, &c, a, more ? c.at[a] + 1u : 0)) return anything;
            if (more) break;
        }
    }
    return range_over((Range){clamped(lo), clamped(hi)}, c.scale);
}

/* ---- atoms replaced by what they lie between ----------------------------------------------------- */

static Range range(Bounds *b, const Poly *p);

/* p = with * atom + without; false if the atom's square occurs or the atom does not. */
static bool split_by(const Poly *p, uint32_t atom, Poly *with, Poly *without)
{
    with->n = without->n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        PolyTerm x = p->t[i];
        if (x.power[atom] > 1) return false;
        Poly *to = x.power[atom] != 0 ? with : without;
        x.power[atom] = 0;
        to->t[to->n++] = x;
    }
    return with->n != 0;
}

/* with * to + by * without */
static Range replaced(Bounds *b, const Poly *with, const Poly *without, Dim to, int64_t less, int64_t by)
{
    Poly q = {.n = 0};
    for (uint32_t i = 0; i < without->n; i++) {
        int64_t c = by;
        if (!scaled(&c, without->t[i].coef) || !poly_term(&q, c, without->t[i].power)) return anything;
    }
    bool fits = poly_add_product(b, &q, 1, with, to) && (less == 0 || poly_add_product(b, &q, -1, with, less));
    return fits ? range(b, &q) : anything;
}

/* a / by * by lies between a - (by - 1) and a. */
static Range by_quotient(Bounds *b, const DimExpr *e, const Poly *with, const Poly *without, bool rising)
{
    static const uint8_t one[ATOMS];
    bool constant = with->n == 1 && memcmp(with->t[0].power, one, ATOMS) == 0;
    Range most = replaced(b, with, without, e->a, 0, e->b),
          less = range_mul((Range){with->t[0].coef, with->t[0].coef}, (Range){1 - e->b, 1 - e->b});
    Range least = constant ? range_sum(most, less) : replaced(b, with, without, e->a, e->b - 1, e->b);
    return range_over(rising ? (Range){least.lo, most.hi} : (Range){most.lo, least.hi}, e->b);
}

static Range by_maximum(Bounds *b, const DimExpr *e, const Poly *with, const Poly *without, bool rising)
{
    Range x = replaced(b, with, without, e->a, 0, 1), y = replaced(b, with, without, e->b, 0, 1);
    return rising ? (Range){MAX_OF(x.lo, y.lo), MAX_OF(x.hi, y.hi)} : (Range){MIN_OF(x.lo, y.lo), MIN_OF(x.hi, y.hi)};
}

/* A size that a node counts lies between 0 and its bound. */
static Range by_count(Bounds *b, const DimExpr *e, const Poly *with, const Poly *without, bool rising)
{
    Range none = replaced(b, with, without, 0, 0, 1), all = replaced(b, with, without, e->bound, 0, 1);
    return rising ? (Range){none.lo, all.hi} : (Range){all.lo, none.hi};
}

static bool is_between(const DimExpr *e) /* others, which its bounds do not tell */
{
    return e->kind == DIM_FLOORDIV || e->kind == DIM_MAX2 || (e->kind == DIM_SYMBOL && e->counted && e->bound < 0);
}

/* Outermost atoms first, so that what is inside them is replaced in its turn. */
static Range by_atoms(Bounds *b, const Poly *p)
{
    bool done[ATOMS] = {false};
    for (;;) {
        uint32_t best = ATOMS;
        for (uint32_t i = 0; i < b->natom; i++) {
            const DimExpr *e = dim_expr(b->t, b->atom[i]);
            if (done[i] || !is_between(e)) continue;
            const uint32_t size = best == ATOMS ? 0 : dim_expr(b->t, b->atom[best])->size;
            /* of two counted symbols that which may be bounded by the other, which was there before it */
            if (e->size > size || (e->size == size && e->kind == DIM_SYMBOL && b->atom[i] < b->atom[best])) best = i;
        }
        if (best == ATOMS) return anything;
        done[best] = true;
        Poly with, without;
        if (!split_by(p, best, &with, &without)) continue;
        Range sign = range(b, &with);
        if (sign.lo < 0 && sign.hi > 0) continue;
        const DimExpr *e = dim_expr(b->t, b->atom[best]);
        return (e->kind == DIM_MAX2     ? by_maximum
                : e->kind == DIM_SYMBOL ? by_count
                                        : by_quotient)(b, e, &with, &without, sign.lo >= 0);
    }
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static bool shared_power(const Poly *p, uint8_t *power)
{
    bool any = false;
    for (uint32_t a = 0; a < ATOMS; a++) {
        power[a] = p->n != 0 ? p->t[0].power[a] : 0;
        for (uint32_t i = 1; i < p->n; i++) power[a] = MIN_OF(power[a], p->t[i].power[a]);
        any |= power[a] != 0;
    }
    return any;
}

/* What divides all coefficients. */
static int64_t shared_number(const Poly *p)
{
    int64_t common = 0;
    for (uint32_t i = 0; i < p->n && common != 1; i++)
        for (int64_t v = p->t[i].coef; v != 0;) {
            const int64_t rest = common % v;
            common = v, v = rest;
        }
    return common < 0 ? -common : common;
}

static Range range(Bounds *b, const Poly *p)
{
    uint8_t shared[ATOMS];
    Range r = by_terms(b, p);
    if (p->n < 2 || b->depth == DEPTH || !afford(b, p->n * b->natom)) return r;
    const int64_t by = shared_number(p);
    if (by > 1) {
        Poly rest = *p;
        for (uint32_t i = 0; i < rest.n; i++) rest.t[i].coef /= by;
        return meet(r, range_mul((Range){by, by}, range(b, &rest)));
    }
    b->depth++;
    if (shared_power(p, shared)) {
        Poly rest = *p;
        for (uint32_t i = 0; i < rest.n; i++)
            for (uint32_t a = 0; a < ATOMS; a++) rest.t[i].power[a] -= shared[a];
        r = meet(r, range_mul(term_range(b, 1, shared), range(b, &rest)));
    } else {
        r = meet(r, by_corners(b, p));
        r = meet(r, by_atoms(b, p));
    }
    b->depth--;
    return r;
}

Range sum_range(const DimTable *t, const Sum *s)
{
    static const uint8_t one[ATOMS];
    Bounds b = {.t = t, .work = WORK};
    Poly p = {.n = 0};
    bool fits = poly_term(&p, s->c, one);
    for (uint32_t i = 0; i < s->n; i++) fits = fits && poly_add(&b, &p, s->t[i].coef, one, s->t[i].mono);
    if (fits) return range(&b, &p);
    Range r = {s->c, s->c};
    for (uint32_t i = 0; i < s->n; i++)
        r = range_sum(r, range_mul((Range){s->t[i].coef, s->t[i].coef}, (Range){dim_lo(t, s->t[i].mono), dim_hi(t, s->t[i].mono)}));
    return r;
}
