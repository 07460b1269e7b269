/* ref_reduce: reductions, matmul and convolutions, in order of the index, with error bounds that cover the order of
 * docs/numerics.md. Relies on internal.h. */
#include "../../ir/tree.h"
#include "../contract/contract.h"
#include "integer.h"
#include "internal.h"

#include <limits.h>
#include <math.h>

/* What is known of one result before all its elements have come. */
typedef struct Sum {
    int64_t n, integer;
    double value, err;    /* err: error of the elements themselves */
    double lost;          /* sum: what rounding took from value (Neumaier 1974); without it f64 would be judged by its equal */
    double size;          /* sum: of |x|; prod: unused */
    double grown, shrunk; /* prod: log2 of the factors above 1, and below */
    uint8_t undecided;    /* RefDoubt bits of the elements */
    bool any;
    int lowest;    /* sum: the exponent of the lowest bit of any element, so that all are multiples of that power of two */
    uint8_t zeros; /* signs of the zeros among the elements: 1 plus, 2 minus */
} Sum;

/* Steps in the tree of ir/tree.h: in a block, and in the subtrees above it. */
static double depth_of(double n, bool row)
{
    double block = row ? TREE_ROW : TREE_CHAIN, steps = row ? (double)TREE_ROW / TREE_LANES + 5 : TREE_CHAIN;
    return fmin(n, steps) + (n > block ? ceil(log2(ceil(n / block))) : 0);
}

/* The most steps that one element goes through, run after run (docs/numerics.md). */
static double depth_of_reduction(const Run *r)
{
    const Type *x = &r->in[0]->type;
    const Attr *axes = r->node->attr;
    double n = 1, depth = 0;
    bool last_run = true;
    for (uint32_t k = axes->len; k-- > 0;) {
        bool last = k + 1 == axes->len || axes->at[k + 1] != axes->at[k] + 1;
        if (last) n = 1;
        n *= (double)x->dim[axes->at[k]];
        if (k > 0 && axes->at[k - 1] + 1 == axes->at[k]) continue;
        bool row = last_run && axes->at[axes->len - 1] + 1 == x->rank;
        depth += depth_of(n, row && n >= TREE_LANES);
        last_run = false;
    }
    return depth;
}

/* The exponent of v's lowest bit that is set; v is finite and not 0. */
static int lowest_bit(double v)
{
    int exponent;
    const int64_t digits = (int64_t)ldexp(frexp(fabs(v), &exponent), 53);
    return exponent - 53 + __builtin_ctzll((unsigned long long)digits);
}

/* Multiples of 2^lowest whose absolute values add up to `size` are added without rounding in any order. */
static bool exact_sum(DType t, double size, int lowest)
{
    return size == 0 || (lowest >= ref_lowest(t) && ldexp(1, lowest) >= size * ref_ulp(t, 1) / 2);
}

static void take_sum(Sum *s, double x, double b)
{
    if (isfinite(x) && x != 0) s->lowest = MIN_OF(s->lowest, lowest_bit(x));
    double t = s->value + x;
    if (isfinite(t)) s->lost += fabs(s->value) >= fabs(x) ? (s->value - t) + x : (x - t) + s->value;
    s->value = t;
    if (x == 0) s->zeros |= signbit(x) ? 2 : 1;
    s->err += b;
    s->size += isfinite(x) ? fabs(x) : 0;
}

static void take_product(Sum *s, double x, double b)
{
    double p = s->value, factor = fabs(x);
    s->value = p * x;
    s->err = isfinite(s->value) ? fabs(p) * b + factor * s->err + s->err * b : 0;
    if (factor > 1 && isfinite(factor)) s->grown += log2(factor + b);
    if (factor < 1 && factor != 0) s->shrunk += log2(factor);
}

/* The interval of a maximum or minimum reaches from the extreme of the lower ends to that of the upper ends. NaN wins and is
 * certain. */
static void take_extreme(Sum *s, double x, double b, bool max)
{
    if (!s->any || x != x || (s->value == s->value && (max ? x > s->value : x < s->value))) s->value = x;
    s->err = fmax(s->err, b);
    if (x == 0) s->zeros |= signbit(x) ? 2 : 1;
}

static void take(Sum *s, Op op, const RefTensor *x, int64_t j)
{
    DType t = (DType)x->type.dtype;
    s->undecided |= x->undecided[j];
    if (!x->f) {
        int64_t v = x->i[j];
        uint64_t sum = (uint64_t)s->integer;
        if (op == OP_sum)
            s->integer = (int64_t)(sum + (uint64_t)v);
        else if (op == OP_prod)
            s->integer = (int64_t)(sum * (uint64_t)v);
        else if (!s->any || (op == OP_reduce_max ? integer_less(t, s->integer, v) : integer_less(t, v, s->integer)))
            s->integer = v;
    } else if (op == OP_sum) {
        take_sum(s, x->f[j], x->bound[j]);
    } else if (op == OP_prod) {
        take_product(s, x->f[j], x->bound[j]);
    } else {
        take_extreme(s, x->f[j], x->bound[j], op == OP_reduce_max);
    }
    s->any = true;
    s->n++;
}

static Sum sum_begin(Op op)
{
    return (Sum){.value = op == OP_prod, .integer = op == OP_prod || op == OP_reduce_min, .lowest = INT_MAX};
}

/* Twice the unit roundoff: in f64 this interpreter rounds products as much as what it judges. */
static void sum_end(const Sum *s, Op op, double depth, RefTensor *out, int64_t i)
{
    DType t = (DType)out->type.dtype, compute = (DType)dtype_info[t].compute;
    out->undecided[i] = s->undecided;
    if (!out->f) {
        out->i[i] = ref_wrap(t, s->integer);
        return;
    }
    double value = s->value + s->lost, err = s->err, rounding = s->n > 1 ? 2 * ref_unit(t) * depth : 0;
    if (op == OP_sum) {
        if (err != 0 || !exact_sum(compute, s->size, s->lowest)) err += rounding * s->size;
        if (s->value == 0 && s->zeros & 2) err = fmax(err, ref_ulp(t, 0)); /* -0 alone, or added to a 0 that comes before it */
        if (s->size + err >= ref_largest(compute) && s->value == s->value) out->undecided[i] |= DOUBT_OVERFLOW;
    } else if (op == OP_prod) {
        int top = compute == DT_f64 ? 1022 : 126;
        err += isfinite(s->value) ? rounding * fabs(s->value) : 0;
        /* Whether some order of multiplication may leave the normal range on the way. */
        if (s->n > 1 && s->value == s->value && (s->grown > top || s->shrunk < -top)) out->undecided[i] |= DOUBT_OVERFLOW;
    } else if (!isfinite(s->value)) {
        err = 0;
    } else if (s->value == 0 && s->zeros == 3) {
        err = fmax(err, ref_ulp(t, 0)); /* the sign of the zero depends on the order: the zero is not exact */
    }
    ref_set(out, i, s->lost != 0 && isfinite(s->value) ? value : s->value, err, 0);
}

bool ref_reduce(Run *r)
{
    const RefTensor *x = r->in[0];
    RefTensor *out = &r->out[0];
    const Op op = (Op)r->node->op;
    const double depth = depth_of_reduction(r);
    bool gone[MAX_RANK] = {false};
    for (uint32_t k = 0; k < r->node->attr->len; k++) gone[ATTRS(sum, r->node->attr->at)->axes[k]] = true;
    Sum *sums = mem_zeros((size_t)out->count + 1, sizeof *sums);
    if (!sums) return status_fail(r->st, ST_MEMORY, "no memory for %lld sums", (long long)out->count);
    for (int64_t i = 0; i < out->count; i++) sums[i] = sum_begin(op);
    for (int64_t j = 0; j < x->count; j++) {
        int64_t index[MAX_RANK], at[MAX_RANK];
        uint32_t n = 0;
        unravel(&x->type, j, index);
        for (uint32_t k = 0; k < x->type.rank; k++)
            if (!gone[k]) at[n++] = index[k];
        take(&sums[ravel(&out->type, at)], op, x, j);
    }
    for (int64_t i = 0; i < out->count; i++) sum_end(&sums[i], op, depth, out, i);
    mem_free(sums, ((size_t)out->count + 1) * sizeof *sums);
    return true;
}

/* ---- what depends on all before ---------------------------------------------------------------------------------- */

/* Element k, in the order in which they are met, of the line along the axis through element `first`. */
static int64_t line_at(const Type *t, int64_t axis, bool reverse, int64_t first, int64_t k)
{
    int64_t step = 1;
    for (uint32_t i = (uint32_t)axis + 1; i < t->rank; i++) step *= t->dim[i];
    return first + (reverse ? t->dim[axis] - 1 - k : k) * step;
}

static bool begins_line(const Type *t, int64_t axis, int64_t i)
{
    int64_t index[MAX_RANK];
    unravel(t, i, index);
    return index[axis] == 0;
}

static bool running(Run *r, Op op)
{
    const RefTensor *x = r->in[0];
    RefTensor *out = &r->out[0];
    const struct cumsum_attrs *a = ATTRS(cumsum, r->node->attr->at);
    const int64_t n = x->type.dim[a->axis];
    /* Counts blocks, blocks of their totals, and so on; each level is one step more. */
    const double depth = n <= TREE_CHAIN ? (double)n : (TREE_CHAIN + 1) * ceil(log((double)n) / log(TREE_CHAIN) + 1);
    for (int64_t i = 0; i < out->count; i++) {
        if (!begins_line(&out->type, a->axis, i)) continue;
        Sum s = sum_begin(op);
        for (int64_t k = 0; k < n; k++) {
            const int64_t at = line_at(&out->type, a->axis, a->reverse, i, k);
            if (a->exclusive) sum_end(&s, op, depth, out, at);
            take(&s, op, x, at);
            if (!a->exclusive) sum_end(&s, op, depth, out, at);
        }
    }
    return true;
}

bool ref_cumsum(Run *r) { return running(r, OP_sum); }
bool ref_cumprod(Run *r) { return running(r, OP_prod); }

bool ref_recurrence(Run *r)
{
    const RefTensor *a = r->in[0], *b = r->in[1];
    RefTensor *out = &r->out[0];
    const struct recurrence_attrs *attr = ATTRS(recurrence, r->node->attr->at);
    const DType t = (DType)out->type.dtype;
    for (int64_t i = 0; i < out->count; i++) {
        if (!begins_line(&out->type, attr->axis, i)) continue;
        double h = 0, err = 0;
        int64_t whole = 0;
        uint8_t undecided = 0;
        for (int64_t k = 0; k < out->type.dim[attr->axis]; k++) {
            const int64_t at = line_at(&out->type, attr->axis, attr->reverse, i, k);
            undecided |= a->undecided[at] | b->undecided[at];
            if (!out->f) {
                whole = out->i[at] = ref_wrap(t, (int64_t)((uint64_t)a->i[at] * (uint64_t)whole + (uint64_t)b->i[at]));
            } else {
                const double p = a->f[at] * h, next = p + b->f[at];
                err = fabs(a->f[at]) * err + fabs(h) * a->bound[at] + err * a->bound[at] + b->bound[at];
                err += 4 * ref_unit(t) * (fabs(p) + fabs(next)) + 2 * ref_ulp(t, 0);
                if (fabs(p) + fabs(next) + err >= ref_largest(t) && next == next) undecided |= DOUBT_OVERFLOW;
                ref_set(out, at, h = next, isfinite(next) ? err : 0, 0);
                if (!isfinite(next)) err = 0;
            }
            out->undecided[at] |= undecided;
        }
    }
    return true;
}

/* ---- scatter ------------------------------------------------------------------------------------------------- */

/* Folds an element of x and the updates for it. Each step may round, to the dtype itself. */
bool ref_scatter(Run *r)
{
    static const Op op_of[] = {OP_sum, OP_prod, OP_reduce_max, OP_reduce_min};
    const RefTensor *x = r->in[0], *indices = r->in[1], *updates = r->in[2];
    RefTensor *out = &r->out[0];
    const struct scatter_attrs *a = ATTRS(scatter, r->node->attr->at);
    const bool sets = a->fold == (int)COUNT_OF(op_of); /* the last update stays */
    const Op op = sets ? OP_reduce_max : op_of[a->fold];
    const DType t = (DType)out->type.dtype;
    Sum *sums = mem_zeros((size_t)out->count + 1, sizeof *sums);
    if (!sums) return status_fail(r->st, ST_MEMORY, "no memory for %lld elements", (long long)out->count);
    for (int64_t i = 0; i < out->count; i++) {
        sums[i] = sum_begin(op);
        take(&sums[i], op, x, i);
        if (sets) ref_copy(out, i, x, i);
    }
    for (int64_t j = 0; j < updates->count; j++) {
        int64_t index[MAX_RANK], at[MAX_RANK];
        unravel(&updates->type, j, index);
        int64_t which = ref_split(indices, index, x->type.rank, (uint32_t)a->axis, at);
        at[a->axis] = ref_clamped(indices, which, x->type.dim[a->axis]);
        const int64_t o = ravel(&out->type, at);
        if (sets)
            ref_copy(out, o, updates, j);
        else
            take(&sums[o], op, updates, j);
        /* The update may belong anywhere along the axis. */
        for (at[a->axis] = 0; indices->undecided[which] && at[a->axis] < x->type.dim[a->axis]; at[a->axis]++)
            *(sets ? &out->undecided[ravel(&out->type, at)] : &sums[ravel(&out->type, at)].undecided) |= DOUBT_CHOICE;
    }
    for (int64_t i = 0; i < out->count && !sets; i++) {
        if (op == OP_sum && t != dtype_info[t].compute && sums[i].n > 1)
            sums[i].err += 2 * (double)sums[i].n * ref_ulp(t, sums[i].size);
        if (out->f && op == OP_sum && sums[i].size + sums[i].err >= ref_largest(t)) sums[i].undecided |= DOUBT_OVERFLOW;
        sum_end(&sums[i], op, (double)sums[i].n, out, i);
    }
    mem_free(sums, ((size_t)out->count + 1) * sizeof *sums);
    return true;
}

/* ---- argmax, argmin ------------------------------------------------------------------------------------------ */

/* Whether element a wins over b, which comes earlier or later. */
static bool wins(const RefTensor *x, bool max, int64_t a, int64_t b)
{
    if (!x->f) {
        DType t = (DType)x->type.dtype;
        return max ? integer_less(t, x->i[b], x->i[a]) : integer_less(t, x->i[a], x->i[b]);
    }
    if (x->f[b] != x->f[b]) return false;
    return x->f[a] != x->f[a] || (max ? x->f[a] > x->f[b] : x->f[a] < x->f[b]);
}

static bool may_differ(const RefTensor *x, int64_t best, int64_t other)
{
    if (!x->f || best == other || x->f[best] != x->f[best]) return false;
    double both = x->bound[best] + x->bound[other];
    return both > 0 && fabs(x->f[best] - x->f[other]) <= both * (1 + 1e-9);
}

bool ref_argextreme(Run *r)
{
    const RefTensor *x = r->in[0];
    RefTensor *out = &r->out[0];
    uint32_t axis = (uint32_t)ATTRS(argmax, r->node->attr->at)->axis;
    bool max = r->node->op == OP_argmax;
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK], at[MAX_RANK], best = 0, step = 1;
        unravel(&out->type, i, index);
        for (uint32_t k = 0; k < x->type.rank; k++) at[k] = k < axis ? index[k] : k == axis ? 0 : index[k - 1];
        for (uint32_t k = axis + 1; k < x->type.rank; k++) step *= x->type.dim[k];
        int64_t first = ravel(&x->type, at);
        for (int64_t k = 1; k < x->type.dim[axis]; k++)
            if (wins(x, max, first + k * step, first + best * step)) best = k;
        out->i[i] = best;
        for (int64_t k = 0; k < x->type.dim[axis]; k++)
            if (x->undecided[first + k * step] || may_differ(x, first + best * step, first + k * step))
                out->undecided[i] |= DOUBT_STEP;
    }
    return true;
}

/* ---- matmul -------------------------------------------------------------------------------------------------- */

/* The most steps that a product goes through on its way into the sum. OpenBLAS may add in order, and so does this interpreter,
 * which matters in f64. */
static double depth_of_product(const Run *r, int64_t m, int64_t n, int64_t k)
{
    const DType to = (DType)r->out[0].type.dtype, t = (DType)dtype_info[to].compute;
    const int tensor_cores = t == to && !r->tf32 ? 0 : 8; /* what their sums may lose more (docs/numerics.md) */
    if (t == DT_f64 || (contract_blas_opened() && contract_by_blas(t, m, n, k))) return (double)k;
    return tensor_cores + fmin((double)k, TREE_PRODUCT + (double)TREE_RUN / TREE_PRODUCT + log2((double)k + 1));
}

/* A sum of products in the making. */
typedef struct Dot {
    double sum, size, err;
    int64_t n;
    int lowest;
    uint8_t undecided;
    bool tf32; /* operands may be rounded to it */
} Dot;

static Dot begin_dot(const Run *r)
{
    return (Dot){.lowest = INT_MAX, .tf32 = r->tf32 && r->out[0].type.dtype == DT_f32 && r->in[0]->type.dtype == DT_f32};
}

/* What a number loses that is rounded to 11 bits; one below the normal numbers may be lost as a whole. */
static double lost_in_tf32(double v) { return fabs(v) < 0x1p-126 ? fabs(v) : fabs(v) * 0x1p-11; }

static void round_pair(Dot *d, double x, double y)
{
    const double x_err = lost_in_tf32(x), y_err = lost_in_tf32(y);
    if (fmax(fabs(x), fabs(y)) >= 0x1.ffep127) d->undecided |= DOUBT_OVERFLOW; /* it may become infinite */
    d->err += fabs(x) * y_err + fabs(y) * x_err + x_err * y_err;
}

/* Element p of a times element q of b; p < 0: a zero. */
static void take_pair(Dot *d, const RefTensor *a, int64_t p, const RefTensor *b, int64_t q)
{
    const double x = p < 0 ? 0 : a->f[p], bound = p < 0 ? 0 : a->bound[p], product = x * b->f[q];
    d->sum += product;
    d->n++;
    d->undecided |= (p < 0 ? 0 : a->undecided[p]) | b->undecided[q];
    if (!isfinite(product)) return;
    if (d->tf32) round_pair(d, x, b->f[q]);
    d->size += fabs(product);
    if (product != 0) d->lowest = MIN_OF(d->lowest, lowest_bit(x) + lowest_bit(b->f[q]));
    d->err += fabs(x) * b->bound[q] + fabs(b->f[q]) * bound + bound * b->bound[q];
}

static void end_dot(const Dot *d, double depth, RefTensor *out, int64_t i)
{
    const DType compute = (DType)dtype_info[out->type.dtype].compute;
    double err = d->err;
    uint8_t undecided = d->undecided;
    if (err != 0 || !exact_sum(compute, d->size, d->lowest)) {
        err += 2 * (depth + 1) * ref_unit((DType)out->type.dtype) * d->size;
        /* Whether a product or partial sum may overflow, or be lost below the smallest number. */
        if (d->size > 0) err += (double)d->n * ref_ulp(compute, 0);
    }
    if (d->size + err >= ref_largest(compute) && d->sum == d->sum) undecided |= DOUBT_OVERFLOW;
    ref_set(out, i, d->sum, isfinite(d->sum) ? err : 0, 0);
    out->undecided[i] |= undecided;
}

/* Of integers: modulo 2^bits of the result. */
static void integer_product(const RefTensor *a, const RefTensor *b, RefTensor *out)
{
    const uint32_t rank = a->type.rank;
    const int64_t n = b->type.dim[rank - 1], depth = a->type.dim[rank - 1];
    for (int64_t i = 0; i < out->count; i++) {
        int64_t col = i % n, row = i / n, batch = row / a->type.dim[rank - 2];
        uint64_t sum = 0;
        for (int64_t k = 0; k < depth; k++) sum += (uint64_t)a->i[row * depth + k] * (uint64_t)b->i[(batch * depth + k) * n + col];
        out->i[i] = ref_wrap((DType)out->type.dtype, (int64_t)sum);
    }
}

bool ref_matmul(Run *r)
{
    const RefTensor *a = r->in[0], *b = r->in[1];
    RefTensor *out = &r->out[0];
    const uint32_t rank = a->type.rank;
    const int64_t n = b->type.dim[rank - 1], depth_k = a->type.dim[rank - 1];
    if (out->i) {
        integer_product(a, b, out);
        return true;
    }
    const double depth = depth_of_product(r, a->type.dim[rank - 2], n, depth_k);
    for (int64_t i = 0; i < out->count; i++) {
        int64_t col = i % n, row = i / n, batch = row / a->type.dim[rank - 2];
        Dot d = begin_dot(r);
        for (int64_t k = 0; k < depth_k; k++) take_pair(&d, a, row * depth_k + k, b, (batch * depth_k + k) * n + col);
        end_dot(&d, depth, out, i);
    }
    return true;
}

/* ---- convolution --------------------------------------------------------------------------------------------- */

/* The pixel of x, its channels not counted, that tap t of place p meets in image n; -1: it lies outside; -2: it meets a gap. */
static int64_t pixel(const Run *r, int64_t n, const int64_t *p, const int64_t *t)
{
    const struct conv_attrs *a = ATTRS(conv, r->node->attr->at); /* conv_filter's begin in the same way, without spread */
    const Type *x = &r->in[0]->type;
    const uint32_t space = x->rank - 2u;
    bool outside = false;
    for (uint32_t i = 0; i < space; i++) {
        const uint32_t j = 3 - space + i;
        const int64_t spread = r->node->op == OP_conv ? a->spread[j] : 1;
        const int64_t at = p[i] * a->stride[j] + t[i] * a->dilation[j] - a->low[j];
        if (at % spread != 0) return -2;
        outside |= at < 0 || at / spread >= x->dim[1 + i];
        n = n * x->dim[1 + i] + at / spread;
    }
    return outside ? -1 : n;
}

bool ref_conv(Run *r)
{
    const RefTensor *x = r->in[0], *w = r->in[1];
    RefTensor *out = &r->out[0];
    const uint32_t space = x->type.rank - 2u;
    const int64_t c = w->type.dim[space], go = w->type.dim[space + 1], channels = x->type.dim[space + 1];
    for (int64_t i = 0; i < out->count; i++) {
        int64_t index[MAX_RANK], tap[MAX_RANK];
        Dot d = begin_dot(r);
        unravel(&out->type, i, index);
        const int64_t first = index[space + 1] / (go / ATTRS(conv, r->node->attr->at)->groups) * c;
        for (int64_t q = 0; q < w->count; q += c * go) {
            unravel(&w->type, q, tap);
            const int64_t at = pixel(r, index[0], index + 1, tap);
            for (int64_t k = 0; k < c && at != -2; k++)
                take_pair(&d, x, at < 0 ? -1 : at * channels + first + k, w, q + k * go + index[space + 1]);
        }
        end_dot(&d, depth_of_product(r, 1, 1, d.n), out, i);
    }
    return true;
}

bool ref_conv_filter(Run *r)
{
    const RefTensor *x = r->in[0], *y = r->in[1];
    RefTensor *out = &r->out[0];
    const uint32_t space = x->type.rank - 2u;
    const int64_t c = out->type.dim[space], go = out->type.dim[space + 1], channels = x->type.dim[space + 1];
    for (int64_t i = 0; i < out->count; i++) {
        int64_t tap[MAX_RANK], place[MAX_RANK];
        Dot d = begin_dot(r);
        unravel(&out->type, i, tap);
        const int64_t channel = tap[space + 1] / (go / ATTRS(conv_filter, r->node->attr->at)->groups) * c + tap[space];
        for (int64_t q = 0; q < y->count; q += go) {
            unravel(&y->type, q, place);
            const int64_t at = pixel(r, place[0], place + 1, tap);
            take_pair(&d, x, at < 0 ? -1 : at * channels + channel, y, q + tap[space + 1]);
        }
        end_dot(&d, depth_of_product(r, 1, 1, d.n), out, i);
    }
    return true;
}
