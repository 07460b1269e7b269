/* ref_triangle: LU with pivots, triangular systems and Cholesky's factor, by elimination row by row, with bounds that are carried
 * along: what a correct execution may add up in any order, or by an inverse of a block. Where that leaves open which element is the
 * pivot, everything is. Relies on internal.h. */
#include "internal.h"

#include <math.h>

typedef struct Known { /* an element: its value, by how much it may differ, and the sizes that were added up to make it */
    double v, err, size;
} Known;

typedef struct Rules {
    double unit, lowest; /* a rounding, of 1 and of next to nothing */
} Rules;

static bool load(const RefTensor *x, int64_t first, int64_t n, Known *to)
{
    for (int64_t i = 0; i < n; i++) {
        to[i] = (Known){x->f[first + i], x->bound[first + i], fabs(x->f[first + i])};
        if (!isfinite(to[i].v) || !isfinite(to[i].err) || x->undecided[first + i]) return false;
    }
    return true;
}

static void store(RefTensor *to, int64_t first, int64_t n, const Known *x, bool open)
{
    for (int64_t i = 0; i < n; i++) {
        const bool none = open || !isfinite(x[i].v) || !isfinite(x[i].err);
        ref_set(to, first + i, none ? 0 : x[i].v, none ? 0 : x[i].err, 0);
        if (none) to->undecided[first + i] |= DOUBT_STEP;
    }
}

/* x - f y */
static void lose(const Rules *r, Known *x, const Known *f, const Known *y)
{
    x->err += fabs(f->v) * y->err + fabs(y->v) * f->err + f->err * y->err;
    x->size += fabs(f->v) * y->size;
    x->v -= f->v * y->v;
    x->err += 4 * r->unit * x->size + r->lowest;
}

static Known divided(const Rules *r, const Known *x, const Known *by)
{
    Known q = {x->v / by->v, INFINITY, x->size / fabs(by->v)};
    if (fabs(by->v) > by->err) q.err = (x->err + fabs(q.v) * by->err) / (fabs(by->v) - by->err) + 4 * r->unit * q.size + r->lowest;
    return q;
}

static Rules rules_of(const RefTensor *x, int64_t n)
{
    const DType t = (DType)x->type.dtype;
    return (Rules){ref_unit(t) * (double)(n + 8), ref_ulp(t, 0) * (double)(n + 8)};
}

/* The free row of the largest element; false: another one may be that. */
static bool choose(const Known *x, const bool *gone, int64_t m, int64_t n, int64_t j, int64_t *row)
{
    int64_t best = -1;
    for (int64_t i = 0; i < m; i++)
        if (!gone[i] && (best < 0 || fabs(x[i * n + j].v) > fabs(x[best * n + j].v))) best = i;
    bool sure = true;
    const Known *most = &x[best * n + j];
    for (int64_t i = 0; i < m && sure; i++) {
        const Known *e = &x[i * n + j];
        if (gone[i] || i == best || (e->err == 0 && most->err == 0)) continue;
        sure = fabs(e->v) + e->err < fabs(most->v) - most->err;
    }
    *row = best;
    return sure && (most->v != 0 || most->err == 0);
}

/* The order is that of pivots, then of what is left. False: it is open. */
static bool eliminate(const Rules *r, Known *x, bool *gone, int64_t *order, int64_t m, int64_t n)
{
    int64_t next = MIN_OF(m, n);
    for (int64_t j = 0; j < MIN_OF(m, n); j++) {
        if (!choose(x, gone, m, n, j, &order[j])) return false;
        const Known *pivots = &x[order[j] * n];
        gone[order[j]] = true;
        for (int64_t i = 0; i < m; i++) {
            if (gone[i]) continue;
            Known *row = &x[i * n];
            if (pivots[j].v != 0) row[j] = divided(r, &row[j], &pivots[j]);
            for (int64_t c = j + 1; c < n; c++) lose(r, &row[c], &row[j], &pivots[c]);
        }
    }
    for (int64_t i = 0; i < m; i++)
        if (!gone[i]) order[next++] = i;
    return true;
}

bool ref_lu(Run *r)
{
    const Type *t = &r->in[0]->type;
    const int64_t m = t->dim[t->rank - 2], n = t->dim[t->rank - 1], each = m * n;
    const Rules rules = rules_of(r->in[0], MIN_OF(m, n));
    Known *x = ARENA_ARRAY(r->arena, Known, each + 1);
    bool *gone = ARENA_ARRAY(r->arena, bool, m + 1);
    int64_t *order = ARENA_ARRAY(r->arena, int64_t, m + 1);
    for (int64_t b = 0; m != 0 && b < r->out[1].count / m; b++) {
        memset(gone, 0, (size_t)m * sizeof *gone);
        const bool known = load(r->in[0], b * each, each, x) && eliminate(&rules, x, gone, order, m, n);
        for (int64_t i = 0; i < m; i++) {
            r->out[1].i[b * m + i] = known ? order[i] : 0;
            if (!known) r->out[1].undecided[b * m + i] |= DOUBT_STEP;
            store(&r->out[0], b * each + i * n, n, &x[(known ? order[i] : i) * n], !known);
        }
    }
    return true;
}

/* Whether element [turn, k] of the inverse, rows and columns in the order in which they are solved, or a sum on the way to it, is
 * beyond the largest number: w has those before it. a: of a triangle with n rows. */
static bool inverse_overflows(
    const struct triangular_attrs *attr, const Known *a, double *w, int64_t n, int64_t turn, double largest)
{
    bool over = false;
    const int64_t row = attr->upper ? n - 1 - turn : turn;
    const double by = attr->unit ? 1 : a[row * n + row].v;
    for (int64_t k = 0; k <= turn; k++) {
        double sum = k == turn, size = sum;
        for (int64_t i = k; i < turn; i++) {
            const double term = a[row * n + (attr->upper ? n - 1 - i : i)].v * w[i * n + k];
            sum -= term, size += fabs(term);
        }
        w[turn * n + k] = sum / by;
        over |= !(size <= largest / 2 && fabs(w[turn * n + k]) <= largest / 2);
    }
    return over;
}

bool ref_triangular(Run *r)
{
    const struct triangular_attrs *attr = ATTRS(triangular, r->node->attr->at);
    const Type *t = &r->in[1]->type;
    const int64_t n = t->dim[t->rank - 2], c = t->dim[t->rank - 1];
    const Rules rules = rules_of(r->in[1], n);
    Known *a = ARENA_ARRAY(r->arena, Known, n * n + 1), *x = ARENA_ARRAY(r->arena, Known, n * c + 1);
    double *w = ARENA_ARRAY(r->arena, double, n *n + 1);
    const double largest = ref_largest((DType)t->dtype);
    for (int64_t b = 0; n * c != 0 && b < r->out[0].count / (n * c); b++) {
        const bool known = load(r->in[0], b * n * n, n * n, a) && load(r->in[1], b * n * c, n * c, x);
        for (int64_t turn = 0; turn < n && known; turn++) {
            const int64_t j = attr->upper ? n - 1 - turn : turn, first = attr->upper ? 0 : j + 1, end = attr->upper ? j : n;
            const bool over = inverse_overflows(attr, a, w, n, turn, largest);
            for (int64_t i = 0; i < c; i++) {
                if (over) x[j * c + i].err = INFINITY;
                if (!attr->unit) x[j * c + i] = divided(&rules, &x[j * c + i], &a[j * n + j]);
                for (int64_t k = first; k < end; k++) lose(&rules, &x[k * c + i], &a[k * n + j], &x[j * c + i]);
            }
        }
        store(&r->out[0], b * n * c, n * c, x, !known);
    }
    return true;
}

/* Of what is above 0 whatever it is within its bounds. False: it is not. */
static bool rooted(const Rules *r, Known *x)
{
    if (!(x->v > x->err)) return false;
    const double v = sqrt(x->v), least = sqrt(x->v - x->err);
    *x = (Known){v, x->err / (v + least), MAX_OF(v, x->size / v)};
    x->err += 4 * r->unit * x->size + r->lowest;
    return true;
}

bool ref_cholesky(Run *r)
{
    const Type *t = &r->in[0]->type;
    const int64_t n = t->dim[t->rank - 1];
    const Rules rules = rules_of(r->in[0], n);
    Known *x = ARENA_ARRAY(r->arena, Known, n * n + 1);
    for (int64_t b = 0; n != 0 && b < r->out[0].count / (n * n); b++) {
        bool known = load(r->in[0], b * n * n, n * n, x);
        for (int64_t j = 0; j < n && known; j++) {
            known = rooted(&rules, &x[j * n + j]);
            for (int64_t i = j + 1; i < n && known; i++) x[i * n + j] = divided(&rules, &x[i * n + j], &x[j * n + j]);
            for (int64_t i = j + 1; i < n && known; i++)
                for (int64_t c = j + 1; c <= i; c++) lose(&rules, &x[i * n + c], &x[i * n + j], &x[c * n + j]);
            for (int64_t c = j + 1; c < n; c++) x[j * n + c] = (Known){0, 0, 0};
        }
        store(&r->out[0], b * n * n, n * n, x, !known);
    }
    return true;
}
