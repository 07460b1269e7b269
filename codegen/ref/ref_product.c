/* ref_product: matmul and convolutions: each result is a sum of products in order of the index, with error bounds that cover the
 * order of docs/numerics.md. Results that lie side by side and meet the same elements of the first operand are summed side by side.
 * Relies on internal.h. */
#include "../../ir/tree.h"
#include "../contract/contract.h"
#include "integer.h"
#include "internal.h"

#include <limits.h>
#include <math.h>

/* The most steps that a product goes through on its way into the sum. OpenBLAS may add in order, and so does this interpreter,
 * which matters in f64. */
static double depth_of_product(const Run *r, int64_t m, int64_t n, int64_t k)
{
    const DType to = (DType)r->out[0].type.dtype, t = (DType)dtype_info[to].compute;
    const int tensor_cores = t == to && !r->tf32 ? 0 : 8; /* what their sums may lose more (docs/numerics.md) */
    if (t == DT_f64 || (contract_blas_opened() && contract_by_blas(t, m, n, k))) return (double)k;
    return tensor_cores + fmin((double)k, TREE_PRODUCT + (double)TREE_RUN / TREE_PRODUCT + log2((double)k + 1));
}

/* ---- sums of products in the making, side by side ------------------------------------------------------------- */

typedef struct Dots {
    const RefTensor *a, *b;
    int64_t width, n; /* sums, and products in each so far */
    double *sum, *size, *err;
    int *lowest;
    uint8_t *undecided;
    bool tf32; /* operands may be rounded to it */
    int16_t
        *plain; /* per element of b: its lowest bit, NO_BIT of a zero; NULL: not all are exact and finite, or products overflow */
    size_t plain_bytes;
} Dots;

enum { NO_BIT = 1 << 12 };

static bool all_plain(const RefTensor *x)
{
    bool plain = x->type.dtype != DT_f64;
    for (int64_t i = 0; plain && i < x->count; i++) plain = isfinite(x->f[i]) && x->bound[i] == 0 && !x->undecided[i];
    return plain;
}

static bool dots_open(const Run *r, int64_t width, Dots *d)
{
    const RefTensor *b = r->in[1];
    const size_t n = (size_t)MAX_OF(width, 1);
    *d = (Dots){.a = r->in[0], .b = b, .width = width};
    d->tf32 = r->tf32 && r->out[0].type.dtype == DT_f32 && d->a->type.dtype == DT_f32;
    d->plain_bytes = d->tf32 || !all_plain(b) ? 0 : ((size_t)b->count + 1) * sizeof *d->plain;
    d->sum = mem_zeros(n, 3 * sizeof *d->sum + sizeof *d->lowest + sizeof *d->undecided);
    d->plain = d->plain_bytes ? mem_alloc(d->plain_bytes) : NULL;
    if (!d->sum || (d->plain_bytes && !d->plain)) {
        if (d->sum) mem_free(d->sum, n * (3 * sizeof *d->sum + sizeof *d->lowest + sizeof *d->undecided));
        return status_fail(r->st, ST_MEMORY, "no memory for products of %lld elements", (long long)b->count);
    }
    d->size = d->sum + n;
    d->err = d->size + n;
    d->lowest = (int *)(d->err + n);
    d->undecided = (uint8_t *)(d->lowest + n);
    for (int64_t i = 0; d->plain && i < b->count; i++) d->plain[i] = (int16_t)(b->f[i] == 0 ? NO_BIT : ref_lowest_bit(b->f[i]));
    return true;
}

static void dots_close(const Dots *d)
{
    const size_t n = (size_t)MAX_OF(d->width, 1);
    mem_free(d->sum, n * (3 * sizeof *d->sum + sizeof *d->lowest + sizeof *d->undecided));
    if (d->plain) mem_free(d->plain, d->plain_bytes);
}

static void begin(Dots *d)
{
    d->n = 0;
    for (int64_t j = 0; j < d->width; j++) d->sum[j] = d->size[j] = d->err[j] = 0, d->lowest[j] = NO_BIT, d->undecided[j] = 0;
}

/* What a number loses that is rounded to 11 bits; one below the normal numbers may be lost as a whole. */
static double lost_in_tf32(double v) { return fabs(v) < 0x1p-126 ? fabs(v) : fabs(v) * 0x1p-11; }

static void round_pair(Dots *d, int64_t j, double x, double y)
{
    const double x_err = lost_in_tf32(x), y_err = lost_in_tf32(y);
    if (fmax(fabs(x), fabs(y)) >= 0x1.ffep127) d->undecided[j] |= DOUBT_OVERFLOW; /* it may become infinite */
    d->err[j] += fabs(x) * y_err + fabs(y) * x_err + x_err * y_err;
}

/* Element p of a times element q of b; p < 0: a zero. */
static void take_pair(Dots *d, int64_t j, int64_t p, int64_t q)
{
    const RefTensor *a = d->a, *b = d->b;
    const double x = p < 0 ? 0 : a->f[p], bound = p < 0 ? 0 : a->bound[p], product = x * b->f[q];
    d->sum[j] += product;
    d->undecided[j] |= (p < 0 ? 0 : a->undecided[p]) | b->undecided[q];
    if (!isfinite(product)) return;
    if (d->tf32) round_pair(d, j, x, b->f[q]);
    d->size[j] += fabs(product);
    if (product != 0) d->lowest[j] = MIN_OF(d->lowest[j], ref_lowest_bit(x) + ref_lowest_bit(b->f[q]));
    d->err[j] += fabs(x) * b->bound[q] + fabs(b->f[q]) * bound + bound * b->bound[q];
}

/* The same of exact and finite elements whose products are finite. */
static void take_plain(const Dots *d, double x, int64_t q)
{
    const double *b = d->b->f + q;
    const int16_t *bit = d->plain + q;
    double *restrict sum = d->sum, *restrict size = d->size;
    int *restrict lowest = d->lowest;
    const int lowest_x = ref_lowest_bit(x);
    for (int64_t j = 0; j < d->width; j++) {
        const double product = x * b[j];
        sum[j] += product;
        size[j] += fabs(product);
        lowest[j] = MIN_OF(lowest[j], lowest_x + bit[j]);
    }
}

/* Element p of a, or a zero, times as many of b as there are sums, from q on. */
static void take(Dots *d, int64_t p, int64_t q)
{
    const RefTensor *a = d->a;
    d->n++;
    if (!d->plain || (p >= 0 && (a->bound[p] != 0 || a->undecided[p] || !isfinite(a->f[p]))))
        for (int64_t j = 0; j < d->width; j++) take_pair(d, j, p, q + j);
    else if (p >= 0 && a->f[p] != 0)
        take_plain(d, a->f[p], q);
}

/* Gives the results from i on. */
static void end(const Dots *d, double depth, RefTensor *out, int64_t i)
{
    const DType compute = (DType)dtype_info[out->type.dtype].compute;
    for (int64_t j = 0; j < d->width; j++) {
        const double size = d->size[j];
        double err = d->err[j];
        uint8_t undecided = d->undecided[j];
        if (err != 0 || !ref_exact_sum(compute, size, d->lowest[j])) {
            err += 2 * (depth + 1) * ref_unit((DType)out->type.dtype) * size;
            /* Whether a product or partial sum may overflow, or be lost below the smallest number. */
            if (size > 0) err += (double)d->n * ref_ulp(compute, 0);
        }
        if (size + err >= ref_largest(compute) && d->sum[j] == d->sum[j]) undecided |= DOUBT_OVERFLOW;
        ref_set(out, i + j, d->sum[j], isfinite(d->sum[j]) ? err : 0, 0);
        out->undecided[i + j] |= undecided;
    }
}

/* ---- matmul -------------------------------------------------------------------------------------------------- */

/* Of integers: modulo 2^bits of the result. */
static void integer_product(const RefTensor *a, const RefTensor *b, RefTensor *out)
{
    const uint32_t rank = a->type.rank;
    const int64_t n = b->type.dim[rank - 1], depth = a->type.dim[rank - 1];
    for (int64_t i = 0; i < out->count; i++) {
        int64_t col = i % n, row = i / n, batch = row / a->type.dim[rank - 2];
        uint64_t sum = 0;
        for (int64_t k = 0; k < depth; k++) {
            const int64_t p = row * depth + k, q = (batch * depth + k) * n + col;
            sum += (uint64_t)a->i[p] * (uint64_t)b->i[q];
            out->undecided[i] |= a->undecided[p] | b->undecided[q];
        }
        out->i[i] = ref_wrap((DType)out->type.dtype, (int64_t)sum);
    }
}

bool ref_matmul(Run *r)
{
    const RefTensor *a = r->in[0], *b = r->in[1];
    RefTensor *out = &r->out[0];
    const uint32_t rank = a->type.rank;
    const int64_t n = b->type.dim[rank - 1], depth_k = a->type.dim[rank - 1];
    Dots d;
    if (out->i) {
        integer_product(a, b, out);
        return true;
    }
    if (!dots_open(r, n, &d)) return false;
    const double depth = depth_of_product(r, a->type.dim[rank - 2], n, depth_k);
    for (int64_t row = 0; row * n < out->count; row++) {
        const int64_t batch = row / a->type.dim[rank - 2];
        begin(&d);
        for (int64_t k = 0; k < depth_k; k++) take(&d, row * depth_k + k, (batch * depth_k + k) * n);
        end(&d, depth, out, row * n);
    }
    dots_close(&d);
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

/* A group's channels of one place are a row. */
bool ref_conv(Run *r)
{
    const RefTensor *x = r->in[0], *w = r->in[1];
    RefTensor *out = &r->out[0];
    const uint32_t space = x->type.rank - 2u;
    const int64_t c = w->type.dim[space], go = w->type.dim[space + 1], channels = x->type.dim[space + 1];
    const int64_t width = go / ATTRS(conv, r->node->attr->at)->groups;
    Dots d;
    if (!dots_open(r, width, &d)) return false;
    for (int64_t i = 0; i < out->count; i += width) {
        int64_t index[MAX_RANK], tap[MAX_RANK];
        unravel(&out->type, i, index);
        const int64_t first = index[space + 1] / width * c;
        begin(&d);
        for (int64_t q = 0; q < w->count; q += c * go) {
            unravel(&w->type, q, tap);
            const int64_t at = pixel(r, index[0], index + 1, tap);
            for (int64_t k = 0; k < c && at != -2; k++)
                take(&d, at < 0 ? -1 : at * channels + first + k, q + k * go + index[space + 1]);
        }
        end(&d, depth_of_product(r, 1, 1, d.n), out, i);
    }
    dots_close(&d);
    return true;
}

bool ref_conv_filter(Run *r)
{
    const RefTensor *x = r->in[0], *y = r->in[1];
    RefTensor *out = &r->out[0];
    const uint32_t space = x->type.rank - 2u;
    const int64_t c = out->type.dim[space], go = out->type.dim[space + 1], channels = x->type.dim[space + 1];
    const int64_t width = go / ATTRS(conv_filter, r->node->attr->at)->groups;
    Dots d;
    if (!dots_open(r, width, &d)) return false;
    for (int64_t i = 0; i < out->count; i += width) {
        int64_t tap[MAX_RANK], place[MAX_RANK];
        unravel(&out->type, i, tap);
        const int64_t channel = tap[space + 1] / width * c + tap[space];
        begin(&d);
        for (int64_t q = 0; q < y->count; q += go) {
            unravel(&y->type, q, place);
            const int64_t at = pixel(r, place[0], place + 1, tap);
            take(&d, at < 0 ? -1 : at * channels + channel, q + tap[space + 1]);
        }
        end(&d, depth_of_product(r, 1, 1, d.n), out, i);
    }
    dots_close(&d);
    return true;
}
