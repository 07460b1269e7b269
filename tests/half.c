/* half: see half.h. */
#include "half.h"

#include <math.h>

static uint32_t of_length(Make *m, uint32_t buf, Dim n)
{
    m->p->buf.at[buf].type.rank = 1;
    m->p->buf.at[buf].type.dim[0] = n;
    return buf;
}

/* Elements of `rows` by k as `how` says; returns how many cells a batch takes. */
static int64_t lay(int how, int64_t rows, int64_t k, Strides *outer, Strides *inner)
{
    *outer = strides_one(how == 1 ? 1 : how == 2 ? 3 * k : k);
    *inner = strides_one(how == 1 ? rows : how == 2 ? 3 : 1);
    if (how == 3) *inner = (Strides){2, {0, 8}, {8, 1}};
    if (how == 4) *outer = (Strides){2, {0, 4}, {4 * k, k}};
    return how == 2 ? 3 * rows * k : rows * k;
}

Make *half_make(const Half *x, bool chains)
{
    Make *m = make_new();
    Step s = {.kind = STEP_CONTRACT};
    s.contract.type = s.contract.b_type = s.contract.to = (uint8_t)x->t;
    s.contract.nbatch = 1;
    s.contract.sums = chains ? SUMS_CHAINS : SUMS_TF32;
    s.contract.batch[0] = x->batch, s.contract.m = x->m, s.contract.n = x->n, s.contract.k = x->k;
    s.contract.a_batch[0] = lay(x->a, x->m, x->k, &s.contract.a_row, &s.contract.a_col);
    s.contract.b_batch[0] = lay(x->b, x->n, x->k, &s.contract.b_col, &s.contract.b_row);
    s.contract.a = of_length(m, make_input(m, x->t), x->batch * s.contract.a_batch[0]);
    s.contract.b = of_length(m, make_input(m, x->t), x->batch * s.contract.b_batch[0]);
    s.contract.c = of_length(m, make_output(m, x->t), x->batch * x->m * x->n);
    make_step(m, s);
    return m;
}

static int64_t place(const Strides *s, int64_t index)
{
    int64_t at = 0;
    for (uint32_t i = s->n; i-- > 1; index /= s->extent[i]) at += index % s->extent[i] * s->stride[i];
    return at + index * s->stride[0];
}

/* Element (i, l) of an operand, whatever its layout. Most products come in pairs that cancel, so that what is lost on the way shows. */
static double value(int64_t i, int64_t l, int side)
{
    if (l % 32 >= 16 && l % 32 != 31) return side ? -value(i, l - 16, side) : value(i, l - 16, side);
    const uint64_t h = (uint64_t)(i * 7919 + l * 104729 + side * 31337) * 0x9e3779b97f4a7c15u;
    return ((double)(int64_t)(h >> 40) / (1 << 23) - 1) * (l % 32 == 31 || l % 32 == 15 ? 0x1p-6 : 1);
}

static void fill(const Half *x, const Strides *outer, const Strides *inner, int64_t rows, int64_t each, int side, char *to)
{
    for (int64_t batch = 0; batch < x->batch; batch++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t l = 0; l < x->k; l++)
                dtype_store_f64(x->t, to + (size_t)(batch * each + place(outer, i) + place(inner, l)) * dtype_bytes(x->t), value(i + batch, l, side));
}

char *half_run(Arena *a, const Half *x, bool chains)
{
    Status st = {0};
    Make *m = half_make(x, chains);
    const Program *p = make_program(m);
    const Step *s = p->step;
    void *buf[3] = {NULL};
    for (int i = 0; i < 3; i++) buf[i] = arena_zeros(a, (size_t)p->buf.at[i].type.dim[0] + 1, dtype_bytes(x->t));
    fill(x, &s->contract.a_row, &s->contract.a_col, x->m, s->contract.a_batch[0], 0, buf[0]);
    fill(x, &s->contract.b_col, &s->contract.b_row, x->n, s->contract.b_batch[0], 1, buf[1]);
    if (!cuda_host_run(p, buf, NULL, &st)) fail_msg("%lld x %lld x %lld, %d and %d: %s", (long long)x->m, (long long)x->n, (long long)x->k, x->a, x->b, st.text);
    make_free(m);
    return buf[2];
}

static double held(DType t, double v)
{
    uint32_t h;
    dtype_store_f64(t, &h, v);
    return dtype_load_f64(t, &h);
}

/* (What rounds to 16 bits adds half a unit in the last place of those.) */
void half_judge(const Half *x, const char *got)
{
    const double u = ldexp(1, -24), half = ldexp(1, x->t == DT_f16 ? -11 : x->t == DT_bf16 ? -8 : -24), lost = x->t == DT_f32 ? 16800 : 400;
    for (int64_t e = 0; e < x->batch * x->m * x->n; e++) {
        const int64_t j = e % x->n, i = e / x->n % x->m, batch = e / x->n / x->m;
        double sum = 0, size = 0;
        for (int64_t l = 0; l < x->k; l++) {
            const double product = held(x->t, value(i + batch, l, 0)) * held(x->t, value(j + batch, l, 1));
            sum += product;
            size += fabs(product);
        }
        const double bound = (lost + log2((double)x->k + 1)) * u * size, have = dtype_load_f64(x->t, got + (size_t)e * dtype_bytes(x->t));
        if (!(fabs(have - sum) <= bound + half * (fabs(sum) + bound))) fail_msg("%lld x %lld x %lld: element %lld is %g, not %g", (long long)x->m, (long long)x->n, (long long)x->k, (long long)e, have, sum);
    }
}
