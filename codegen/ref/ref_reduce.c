/* ref_reduce: reductions and running ones, in order of the index, with error bounds that cover the order of docs/numerics.md.
 * Relies on internal.h. */
#include "../../ir/tree.h"
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

int ref_lowest_bit(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    const int exponent = (int)(bits >> 52 & 0x7ff);
    const uint64_t digits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)(exponent != 0) << 52;
    return MAX_OF(exponent, 1) - 1075 + __builtin_ctzll(digits);
}

bool ref_exact_sum(DType t, double size, int lowest)
{
    return size == 0 || (lowest >= ref_lowest(t) && ldexp(1, lowest) >= size * ref_ulp(t, 1) / 2);
}

static void take_sum(Sum *s, double x, double b)
{
    if (isfinite(x) && x != 0) s->lowest = MIN_OF(s->lowest, ref_lowest_bit(x));
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
        if (err != 0 || !ref_exact_sum(compute, s->size, s->lowest)) err += rounding * s->size;
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
