/* ref_factor: eigenvalues and singular values by Jacobi's rotations, with bounds: values move no more than the matrix does (Weyl),
 * vectors no more than that over the distance to the next value (Davis and Kahan). Relies on internal.h. Never calls LAPACK. */
#include "internal.h"

#include <math.h>

#define SWEEPS 60

typedef struct Matrix {
    const RefTensor *x;
    int64_t m, n, k, first; /* first: its element 0 in x */
    bool symmetric, doubtful, nan;
    double scale, size,
        err; /* scale: a power of two that was divided by; size: Frobenius' norm; err: by how much values may differ */
    double *u, *value, *v; /* u [m, k], value [k], v [n, k]; of symmetric ones u is v */
} Matrix;

/* ---- rotations --------------------------------------------------------------------------------------- */

/* Columns p and q of a, of so many rows, as [c, -s; s, c] turns them. */
static void rotate(double *a, int64_t rows, int64_t columns, int64_t p, int64_t q, double c, double s)
{
    for (int64_t i = 0; i < rows; i++) {
        const double x = a[i * columns + p], y = a[i * columns + q];
        a[i * columns + p] = c * x - s * y;
        a[i * columns + q] = s * x + c * y;
    }
}

/* Makes [a, b; b, d] diagonal. */
static void angle(double a, double b, double d, double *c, double *s)
{
    const double tau = (d - a) / (2 * b), t = (tau < 0 ? -1 : 1) / (fabs(tau) + hypot(1, tau));
    *c = 1 / hypot(1, t);
    *s = t * *c;
}

static void transpose(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double x = a[i * n + j];
            a[i * n + j] = a[j * n + i];
            a[j * n + i] = x;
        }
}

/* a [n, n] becomes diagonal, v the columns' turns. */
static void diagonalise(double *a, double *v, int64_t n)
{
    bool turned = true;
    for (int sweep = 0; sweep < SWEEPS && turned; sweep++) {
        turned = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                const double b = a[p * n + q], around = fabs(a[p * n + p]) + fabs(a[q * n + q]);
                double c, s;
                if (fabs(b) <= 0x1p-60 * around || b == 0) continue;
                angle(a[p * n + p], b, a[q * n + q], &c, &s);
                turned = true;
                for (int both = 0; both < 2; both++) {
                    rotate(a, n, n, p, q, c, s);
                    transpose(a, n);
                }
                a[p * n + q] = a[q * n + p] = 0;
                rotate(v, n, n, p, q, c, s);
            }
    }
}

/* The columns of a [m, n] become orthogonal; m >= n. */
static void orthogonalise(double *a, double *v, int64_t m, int64_t n)
{
    bool turned = true;
    for (int sweep = 0; sweep < SWEEPS && turned; sweep++) {
        turned = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double x = 0, y = 0, both = 0, c, s;
                for (int64_t i = 0; i < m; i++) {
                    x += a[i * n + p] * a[i * n + p];
                    y += a[i * n + q] * a[i * n + q];
                    both += a[i * n + p] * a[i * n + q];
                }
                if (fabs(both) <= 0x1p-54 * sqrt(x * y) || both == 0) continue;
                angle(x, both, y, &c, &s);
                turned = true;
                rotate(a, m, n, p, q, c, s);
                rotate(v, n, n, p, q, c, s);
            }
    }
}

/* ---- one matrix -------------------------------------------------------------------------------------- */

static double at(const Matrix *a, int64_t i, int64_t j)
{
    const bool mirrored = a->symmetric && j > i;
    return a->x->f[a->first + (mirrored ? j * a->n + i : i * a->n + j)];
}

/* Looks at all elements that count. */
static void measure(Matrix *a)
{
    const DType t = (DType)a->x->type.dtype;
    double most = 0, bounds = 0;
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < (a->symmetric ? i + 1 : a->n); j++) {
            const int64_t e = a->first + i * a->n + j;
            a->doubtful |= a->x->undecided[e] != 0;
            a->nan |= !isfinite(a->x->f[e]);
            most = fmax(most, fabs(a->x->f[e]));
            bounds += a->x->bound[e] * a->x->bound[e] * (a->symmetric && i != j ? 2 : 1);
        }
    a->scale = most > 0 && !a->nan ? ldexp(1, ilogb(most)) : 1;
    for (int64_t i = 0; i < a->m && !a->nan; i++)
        for (int64_t j = 0; j < a->n; j++) a->size += at(a, i, j) / a->scale * (at(a, i, j) / a->scale);
    a->size = sqrt(a->size);
    const double n = (double)MAX_OF(a->m, a->n);
    a->err = sqrt(bounds) / a->scale + 16 * (n + 8) * ref_unit(t) * a->size + n * ref_ulp(t, 0) / a->scale;
}

static void swap_columns(double *a, int64_t rows, int64_t columns, int64_t p, int64_t q)
{
    for (int64_t i = 0; i < rows; i++) {
        const double x = a[i * columns + p];
        a[i * columns + p] = a[i * columns + q];
        a[i * columns + q] = x;
    }
}

static void sort_values(Matrix *a)
{
    for (int64_t i = 0; i < a->k; i++) {
        int64_t best = i;
        for (int64_t j = i + 1; j < a->k; j++)
            if (a->symmetric ? a->value[j] < a->value[best] : a->value[j] > a->value[best]) best = j;
        swap_columns(a->value, 1, a->k, i, best);
        swap_columns(a->v, a->n, a->k, i, best);
        if (!a->symmetric) swap_columns(a->u, a->m, a->k, i, best);
    }
}

static double *unit(Arena *arena, int64_t n)
{
    double *v = ARENA_ARRAY(arena, double, n *n + 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) v[i * n + j] = i == j;
    return v;
}

static void factor(Matrix *a, Arena *arena)
{
    const bool wide = a->m < a->n;
    const int64_t m = MAX_OF(a->m, a->n), k = a->k;
    double *w = ARENA_ARRAY(arena, double, m *k + 1), *v = unit(arena, k);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) w[i * k + j] = (wide ? at(a, j, i) : at(a, i, j)) / a->scale;
    a->value = ARENA_ARRAY(arena, double, k + 1);
    if (a->symmetric)
        diagonalise(w, v, k);
    else
        orthogonalise(w, v, m, k);
    for (int64_t j = 0; j < k; j++) {
        double sum = 0;
        for (int64_t i = 0; i < m; i++) sum += w[i * k + j] * w[i * k + j];
        a->value[j] = a->symmetric ? w[j * k + j] : sqrt(sum);
        for (int64_t i = 0; i < m && !a->symmetric; i++) w[i * k + j] = sum > 0 ? w[i * k + j] / a->value[j] : 0;
    }
    a->u = wide ? v : w;
    a->v = wide ? w : v;
    if (a->symmetric) a->u = a->v = v;
    sort_values(a);
}

/* ---- results ----------------------------------------------------------------------------------------- */

static void set(RefTensor *out, int64_t i, double v, double err, bool doubtful)
{
    ref_set(out, i, v, isfinite(v) ? err : 0, 0);
    if (doubtful) out->undecided[i] |= DOUBT_STEP;
}

static void set_all(RefTensor *out, int64_t first, int64_t n, double v, bool doubtful)
{
    for (int64_t i = 0; i < n; i++) set(out, first + i, v, 0, doubtful);
}

static void set_values(const Matrix *a, RefTensor *out, int64_t first)
{
    for (int64_t j = 0; j < a->k; j++) set(out, first + j, a->value[j] * a->scale, a->err * a->scale, false);
}

/* By how much the elements of vector j may differ; infinite: it may turn. */
static double turn_of(const Matrix *a, int64_t j)
{
    double gap = a->symmetric ? INFINITY : a->value[j];
    if (j > 0) gap = fmin(gap, fabs(a->value[j] - a->value[j - 1]));
    if (j + 1 < a->k) gap = fmin(gap, fabs(a->value[j] - a->value[j + 1]));
    return gap > 16 * a->err ? 4 * a->err / gap + 16 * (double)MAX_OF(a->m, a->n) * ref_unit((DType)a->x->type.dtype) : INFINITY;
}

/* Whether column j of u is to be turned, 1 or -1; 0: that is left open. */
static int sign_of(const Matrix *a, int64_t j, double err)
{
    double most = 0;
    for (int64_t i = 0; i < a->m; i++) most = fmax(most, fabs(a->u[i * a->k + j]));
    for (int64_t i = 0; i < a->m; i++) {
        const double x = a->u[i * a->k + j], over = fabs(x) - 0.9 * most;
        if (fabs(over) <= 2 * err) return 0;
        if (over > 0) return x < 0 ? -1 : 1;
    }
    return 1;
}

/* left [m, columns] and right [rows, n], if there are such, from these elements on. */
static void set_vectors(const Matrix *a, RefTensor *left, int64_t l, int64_t columns, RefTensor *right, int64_t r, int64_t rows)
{
    for (int64_t j = 0; j < MAX_OF(columns, rows); j++) {
        const double err = j < a->k ? turn_of(a, j) : INFINITY;
        const int sign = isfinite(err) ? sign_of(a, j, err) : 0;
        const bool open = sign == 0, there = j < a->k;
        for (int64_t i = 0; i < a->m && j < columns; i++)
            set(left, l + i * columns + j, open ? 0 : sign * a->u[i * a->k + j], open ? 0 : err, open);
        for (int64_t i = 0; i < a->n && right && j < rows; i++)
            set(right, r + j * a->n + i, open || !there ? 0 : sign * a->v[i * a->k + j], open ? 0 : err, open);
    }
}

/* Of no rows or columns: the unit matrix. */
static void set_unit(RefTensor *out, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n * n; i++) set(out, first + i, i % (n + 1) == 0, 0, false);
}

static bool run(Run *r, bool symmetric, bool vectors)
{
    const RefTensor *x = r->in[0];
    const Type *t = &x->type;
    const int values = !symmetric && vectors, results = !vectors ? 1 : symmetric ? 2 : 3;
    Matrix a = {.x = x, .symmetric = symmetric, .m = t->dim[t->rank - 2], .n = t->dim[t->rank - 1]};
    a.k = MIN_OF(a.m, a.n);
    int64_t count = 1;
    for (int i = 0; i + 2 < t->rank; i++) count *= t->dim[i];
    for (int64_t b = 0; b < count; b++) {
        Matrix one = a;
        one.first = b * a.m * a.n;
        measure(&one);
        for (int i = 0; i < results && (one.nan || one.doubtful); i++)
            set_all(&r->out[i], b * (r->out[i].count / count), r->out[i].count / count, one.nan ? NAN : 0, one.doubtful);
        if (one.nan || one.doubtful) continue;
        factor(&one, r->arena);
        set_values(&one, &r->out[values], b * a.k);
        if (symmetric && vectors) set_vectors(&one, &r->out[1], one.first, a.n, NULL, 0, 0);
        if (symmetric || !vectors) continue;
        const Type *u = &r->out[0].type, *v = &r->out[2].type;
        const int64_t left = u->dim[u->rank - 1], right = v->dim[v->rank - 2];
        if (a.k != 0)
            set_vectors(&one, &r->out[0], b * a.m * left, left, &r->out[2], b * a.n * right, right);
        else if (ATTRS(svd, r->node->attr->at)->full)
            set_unit(&r->out[0], b * a.m * a.m, a.m), set_unit(&r->out[2], b * a.n * a.n, a.n);
    }
    return true;
}

bool ref_eigh(Run *r) { return run(r, true, true); }
bool ref_eigvalsh(Run *r) { return run(r, true, false); }
bool ref_svd(Run *r) { return run(r, false, true); }
bool ref_svdvals(Run *r) { return run(r, false, false); }
