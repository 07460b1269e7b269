/* model: see model.h. */
#include "model.h"

Scalar model_index(const ModelFold *f, const Scalar *x, int64_t n)
{
    Scalar total = f->identity;
    for (int64_t i = 0; i < n; i++) total = f->step(f->of, total, x[i]);
    return total;
}

/* Lane j takes the elements i with i mod 32 = j; then the upper half of the lanes is added to the lower. */
static Scalar row_block(const ModelFold *f, const Scalar *x, int64_t n)
{
    Scalar lane[32];
    for (int j = 0; j < 32; j++) {
        lane[j] = f->identity;
        for (int64_t i = j; i < n; i += 32) lane[j] = f->step(f->of, lane[j], x[i]);
    }
    for (int half = 16; half >= 1; half /= 2)
        for (int j = 0; j < half; j++) lane[j] = f->step(f->of, lane[j], lane[j + half]);
    return lane[0];
}

/* Of several blocks, the first 2^p are one subtree, 2^p being the largest power of two below their number. */
static Scalar tree(const ModelFold *f, const Scalar *x, int64_t n, int64_t block)
{
    if (n <= block) return block == 1024 ? row_block(f, x, n) : model_index(f, x, n);
    int64_t blocks = (n + block - 1) / block, first = 1;
    while (2 * first < blocks) first *= 2;
    Scalar left = tree(f, x, first * block, block), right = tree(f, x + first * block, n - first * block, block);
    return f->step(f->of, left, right);
}

Scalar model_chains(const ModelFold *f, const Scalar *x, int64_t n) { return tree(f, x, n, 64); }
Scalar model_lanes(const ModelFold *f, const Scalar *x, int64_t n) { return tree(f, x, n, 1024); }

Scalar model_row(const ModelFold *f, const Scalar *x, int64_t n)
{
    return n < 32 ? model_chains(f, x, n) : model_lanes(f, x, n);
}

static Scalar plus(DType t, Scalar x, Scalar y) { return prim_eval(P_add, t, t, x, y, y); }

static Scalar times_plus(DType t, Scalar x, Scalar y, Scalar z)
{
    return dtype_is_float(t) ? prim_eval(P_mad, t, t, x, y, z) : plus(t, prim_eval(P_mul, t, t, x, y, y), z);
}

/* A run of at most 64 chains of 128: they start at 0, and their totals are added in order, from 0. */
static Scalar product_run(DType t, const Scalar *x, const Scalar *y, int64_t n)
{
    Scalar total = {0};
    for (int64_t from = 0; from < n; from += 128) {
        Scalar chain = {0};
        for (int64_t i = from; i < n && i < from + 128; i++) chain = times_plus(t, x[i], y[i], chain);
        total = plus(t, total, chain);
    }
    return total;
}

Scalar model_product(DType t, const Scalar *x, const Scalar *y, int64_t n)
{
    int64_t run = 64 * 128, first = run;
    if (n <= run) return product_run(t, x, y, n);
    while (2 * first < n) first *= 2;
    return plus(t, model_product(t, x, y, first), model_product(t, x + first, y + first, n - first));
}

static Scalar add(const void *of, Scalar total, Scalar x)
{
    DType t = *(const DType *)of;
    return prim_eval(P_add, t, t, total, x, x);
}

double model_sum(DType t, const void *x, int64_t n, int64_t stride, bool row)
{
    DType compute = (DType)dtype_info[t].compute;
    ModelFold f = {.step = add, .of = &compute};
    Scalar *v = mem_alloc(((size_t)n + 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i].f = dtype_load_f64(t, (const char *)x + (size_t)(i * stride) * dtype_bytes(t));
    double sum = (row ? model_row(&f, v, n) : model_chains(&f, v, n)).f;
    mem_free(v, ((size_t)n + 1) * sizeof *v);
    return sum;
}
