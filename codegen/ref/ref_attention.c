/* ref_attention: attention and its gradients from their formulas, key by key, with bounds that cover any order of sums. Relies on
 * internal.h. */
#include "internal.h"

#include <math.h>

#define DEPTH 80 /* roundings on the longest way through a block of 64 and around it */

/* One row against one key. */
typedef struct Pair {
    bool seen, doubtful;
    double score, tanh, tanh_err, err; /* err: of the score */
} Pair;

typedef struct Total { /* a sum of products: what it is, how large its terms are, what they err by */
    double sum, size, err;
} Total;

typedef struct Sizes {
    int64_t n, rows, keys, d, e;
    double unit, scale, cap, blocks;
    double rounded; /* what products lose of their size by operands in tf32 (docs/numerics.md) */
} Sizes;

static Sizes sizes_of(const Run *r)
{
    const Type *q = &r->in[0]->type, *v = &r->in[2]->type;
    const struct attention_attrs *a = ATTRS(attention, r->node->attr->at);
    return (Sizes){q->dim[0], q->dim[1], v->dim[1], q->dim[2], v->dim[2], ref_unit((DType)q->dtype), attr_f64(a->scale),
        attr_f64(a->cap), (double)(MAX_OF(q->dim[1], v->dim[1]) / 64 + 1), r->tf32 && q->dtype == DT_f32 ? 16800 * 0x1p-24 : 0};
}

static void add(Total *t, double x, double x_err, double y, double y_err)
{
    t->sum += x * y;
    t->size += fabs(x * y);
    t->err += fabs(x) * y_err + fabs(y) * x_err + x_err * y_err;
}

/* Whether the vector is as sure as its bounds say. */
static bool decided(const RefTensor *x, int64_t p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x->undecided[p + i]) return false;
    return true;
}

/* The same, and no element is one that a weight of 0, which might as well be a little more, makes another number of. */
static bool sure(const RefTensor *x, int64_t p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x->undecided[p + i] || !isfinite(x->f[p + i])) return false;
    return true;
}

/* The product of two vectors of n elements, with a bound for any order of the sum. */
static double dot(const Sizes *z, const RefTensor *x, int64_t p, const RefTensor *y, int64_t q, int64_t n, double *err)
{
    Total t = {0};
    for (int64_t i = 0; i < n; i++) add(&t, x->f[p + i], x->bound[p + i], y->f[q + i], y->bound[q + i]);
    *err = t.err + (2 * (double)(n + 1) * z->unit + z->rounded) * t.size + (double)n * ref_ulp((DType)x->type.dtype, 0);
    return t.sum;
}

static Pair pair_of(const Run *r, const Sizes *z, int64_t n, int64_t row, int64_t key)
{
    const struct attention_attrs *a = ATTRS(attention, r->node->attr->at);
    const RefTensor *q = r->in[0], *k = r->in[1], *mask = r->in[3];
    const int64_t p = (n * z->rows + row) * z->d, at = (n * z->keys + key) * z->d;
    Pair w = {.seen = !a->causal || row % run_dim(r, a->period) + run_dim(r, a->after) >= key + run_dim(r, a->before)};
    if (!w.seen) return w;
    const Type *m = &mask->type;
    const int64_t m_row = m->dim[1] == 1 ? 0 : row, m_key = m->dim[2] == 1 ? 0 : key,
                  m_at = ((m->dim[0] == 1 ? 0 : n) * m->dim[1] + m_row) * m->dim[2] + m_key;
    double err, s = z->scale * dot(z, q, p, k, at, z->d, &err);
    const bool overflows = !isfinite(s) && sure(q, p, z->d) && sure(k, at, z->d);
    w.doubtful = !decided(q, p, z->d) || !decided(k, at, z->d) || mask->undecided[m_at] || overflows;
    err = fabs(z->scale) * err + 2 * z->unit * fabs(s);
    if (z->cap != 0) {
        w.tanh = tanh(s / z->cap);
        w.tanh_err = err / z->cap + 8 * z->unit;
        s = z->cap * w.tanh;
        err = z->cap * w.tanh_err + 2 * z->unit * fabs(s);
    }
    w.score = s + mask->f[m_at];
    w.err = err + mask->bound[m_at] + (isfinite(w.score) ? 2 * z->unit * fabs(w.score) : 0);
    if (w.score == -INFINITY) w.err = 0;
    return w;
}

static void set(RefTensor *out, int64_t i, double v, double err, bool doubtful)
{
    ref_set(out, i, v, isfinite(v) ? err : 0, 0);
    if (doubtful || (!isfinite(err) && v == v)) out->undecided[i] |= DOUBT_STEP;
}

/* What a sum of products may err by when it is added up in blocks. */
static double total_err(const Sizes *z, const Total *t)
{
    return t->err + (2 * (DEPTH + z->blocks) * z->unit + z->rounded) * t->size;
}

/* ---- forward ----------------------------------------------------------------------------------------- */

static void forward_row(Run *r, const Sizes *z, int64_t n, int64_t row, Pair *pair)
{
    const RefTensor *v = r->in[2];
    const int64_t at = n * z->rows + row;
    double most = -INFINITY, err = 0, size = 0, sum = 0;
    bool doubtful = false, nan = false; /* nan: a score that is none, or infinite, which softmax makes one of all weights */
    for (int64_t j = 0; j < z->keys; j++) {
        pair[j] = pair_of(r, z, n, row, j);
        if (!pair[j].seen || pair[j].score == -INFINITY) continue;
        doubtful |= pair[j].doubtful;
        nan |= !(pair[j].score < INFINITY);
        most = fmax(most, pair[j].score);
        err = fmax(err, pair[j].err);
        size = fmax(size, fabs(pair[j].score));
    }
    for (int64_t j = 0; j < z->keys && most > -INFINITY; j++)
        if (pair[j].seen) sum += exp(pair[j].score - most);
    const double around = err + 8 * z->unit * size, each = 2 * expm1(2 * around) + (4 * DEPTH + 32 * z->blocks) * z->unit;
    for (int64_t i = 0; i < z->e; i++) {
        Total t = {0};
        bool bad = doubtful;
        for (int64_t j = 0; j < z->keys && sum > 0; j++) {
            const int64_t value = (n * z->keys + j) * z->e + i;
            bad |= !nan && !isfinite(v->f[value]); /* in a block that is seen it is multiplied with the weight 0 if it is not */
            if (!pair[j].seen) continue;
            const double w = exp(pair[j].score - most) / sum;
            add(&t, w, w * each, v->f[value], v->bound[value]);
            bad |= !nan && v->undecided[value];
        }
        set(&r->out[0], at * z->e + i, nan ? NAN : t.sum, total_err(z, &t) + ref_ulp((DType)v->type.dtype, 0) * (double)z->keys,
            bad);
    }
    const double log_sum = most > -INFINITY ? most + log(sum) : -INFINITY;
    set(&r->out[1], at, nan ? NAN : log_sum, 2 * around + each + 4 * z->unit * (fabs(most) + fabs(log(sum))), doubtful);
}

bool ref_attention(Run *r)
{
    const Sizes z = sizes_of(r);
    Pair *pair = ARENA_ARRAY(r->arena, Pair, z.keys + 1);
    for (int64_t n = 0; n < z.n; n++)
        for (int64_t row = 0; row < z.rows; row++) forward_row(r, &z, n, row, pair);
    return true;
}

/* ---- gradients --------------------------------------------------------------------------------------- */

typedef struct Slope {
    double p, p_err, ds, ds_err;
    bool doubtful, none; /* none: surely NaN, and so is what it is added to */
} Slope;

static Slope slope_of(const Run *r, const Sizes *z, int64_t n, int64_t row, int64_t key)
{
    const RefTensor *v = r->in[2], *g = r->in[4], *sums = r->in[5], *rest = r->in[6];
    const int64_t at = n * z->rows + row;
    const Pair w = pair_of(r, z, n, row, key);
    const int64_t k = (n * z->keys + key) * z->d;
    const bool none = w.seen && (isnan(w.score) || isnan(sums->f[at]));
    bool doubtful = sums->undecided[at] || w.doubtful || sums->f[at] == INFINITY;
    doubtful |= !none && (!sure(rest, at, 1) || !sure(g, at * z->e, z->e) || !sure(v, (n * z->keys + key) * z->e, z->e));
    doubtful |= !none && (!sure(r->in[0], at * z->d, z->d) || !sure(r->in[1], k, z->d));
    if (none) return (Slope){NAN, 0, NAN, 0, doubtful, !doubtful};
    if (!w.seen) return (Slope){.doubtful = doubtful};
    const double from = sums->f[at] == -INFINITY ? 0 : sums->f[at];
    double err;
    Slope s = {.p = exp(w.score - from)};
    const double around = w.err + sums->bound[at] + 4 * z->unit * (fabs(from) + (isfinite(w.score) ? fabs(w.score) : 0));
    const double each = expm1(2 * around) + 8 * z->unit;
    const double excess = dot(z, g, at * z->e, v, (n * z->keys + key) * z->e, z->e, &err) - rest->f[at];
    err += rest->bound[at] + 2 * z->unit * fabs(excess);
    const double slope = z->scale * (1 - w.tanh * w.tanh), slope_err = fabs(z->scale) * (2 * w.tanh_err + 4 * z->unit);
    s.p_err = s.p * each + ref_ulp((DType)v->type.dtype, 0);
    const double dz = s.p * excess, dz_err = s.p_err * (fabs(excess) + err) + s.p * err + 2 * z->unit * fabs(dz);
    s.ds = dz * slope;
    s.ds_err = dz_err * (fabs(slope) + slope_err) + fabs(dz) * slope_err + 2 * z->unit * fabs(s.ds);
    s.doubtful = doubtful || !isfinite(s.p_err); /* a score beyond where its rounding is a factor */
    return s;
}

/* totals[i] += x * y[i]; y's vector of n elements begins at p. */
static void add_vector(Total *t, double x, double x_err, const RefTensor *y, int64_t p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) add(&t[i], x, x_err, y->f[p + i], y->bound[p + i]);
}

static void set_vector(const Sizes *z, RefTensor *out, int64_t at, const Total *t, int64_t n, bool doubtful)
{
    for (int64_t i = 0; i < n; i++)
        set(out, at + i, t[i].sum, total_err(z, &t[i]) + z->blocks * 64 * ref_ulp((DType)out->type.dtype, 0), doubtful);
}

bool ref_attention_query(Run *r)
{
    const Sizes z = sizes_of(r);
    Total *t = ARENA_ARRAY(r->arena, Total, z.d + 1);
    for (int64_t n = 0; n < z.n; n++)
        for (int64_t row = 0; row < z.rows; row++) {
            bool doubtful = false, none = false;
            memset(t, 0, (size_t)z.d * sizeof *t);
            for (int64_t key = 0; key < z.keys; key++) {
                const int64_t k = (n * z.keys + key) * z.d;
                const Slope s = slope_of(r, &z, n, row, key);
                none |= s.none;
                doubtful |= s.doubtful || !sure(r->in[1], k, z.d);
                add_vector(t, s.ds, s.ds_err, r->in[1], k, z.d);
            }
            set_vector(&z, &r->out[0], (n * z.rows + row) * z.d, t, z.d, doubtful && !none);
        }
    return true;
}

bool ref_attention_keys(Run *r)
{
    const Sizes z = sizes_of(r);
    Total *t = ARENA_ARRAY(r->arena, Total, z.d + z.e + 1);
    for (int64_t n = 0; n < z.n; n++)
        for (int64_t key = 0; key < z.keys; key++) {
            bool doubtful = false, none = false;
            memset(t, 0, (size_t)(z.d + z.e) * sizeof *t);
            for (int64_t row = 0; row < z.rows; row++) {
                const int64_t at = n * z.rows + row;
                const Slope s = slope_of(r, &z, n, row, key);
                none |= s.none;
                doubtful |= s.doubtful || !sure(r->in[0], at * z.d, z.d);
                add_vector(t, s.ds, s.ds_err, r->in[0], at * z.d, z.d);
                add_vector(t + z.d, s.p, s.p_err, r->in[4], at * z.e, z.e);
            }
            set_vector(&z, &r->out[0], (n * z.keys + key) * (z.d + z.e), t, z.d + z.e, doubtful && !none);
        }
    return true;
}
