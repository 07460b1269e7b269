/* test_cuda_tensor: products of f16, bf16 and tf32 on tensor cores, by the emulated device's twin of their instructions: within the bound of
 * docs/numerics.md of exact sums, with bits that extents, layouts and plans do not change; each barrier, wait and guard is missed. */
#include "cuda_check.h"

#include <math.h>

#include "codegen/cuda/print.h"
#include "codegen/cuda/schedule.h"
#include "kernel_make.h"

typedef struct Half { /* a product, and how its operands lie: 0: along k, 1: along rows (columns), 2: neither, 3: k in digits, 4: rows in digits */
    DType t;
    int64_t batch, m, n, k;
    int a, b;
} Half;

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

static Make *make_half(const Half *x, bool chains)
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

/* The product's elements. */
static char *run_half(Arena *a, const Half *x, bool chains)
{
    Status st = {0};
    Make *m = make_half(x, chains);
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

/* Against exact sums. (What rounds to 16 bits adds half a unit in the last place of those.) */
static void judge(const Half *x, const char *got)
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

/* Strips and tiles; pieces of 8 and single elements; chains that end within a step, runs that add up pairwise. */
static const Half halves[] = {
    {DT_f16, 1, 70, 72, 200, 0, 1}, {DT_f16, 2, 72, 80, 64, 1, 0}, {DT_bf16, 1, 64, 64, 96, 0, 0}, {DT_bf16, 1, 67, 66, 45, 2, 1},
    {DT_f16, 1, 5, 136, 160, 0, 1}, {DT_bf16, 1, 130, 9, 33, 1, 2}, {DT_f16, 1, 6, 10, 8192 * 2 + 70, 0, 1}, {DT_bf16, 1, 24, 40, 64, 3, 3},
    {DT_f32, 1, 70, 72, 200, 0, 1}, {DT_f32, 2, 72, 66, 40, 1, 0}, {DT_f32, 1, 5, 136, 160, 1, 1}, {DT_f32, 1, 130, 9, 33, 0, 2},
    {DT_f32, 1, 24, 40, 64, 3, 3}, {DT_f32, 1, 6, 10, 8192 * 2 + 70, 0, 1}, {DT_f32, 1, 7, 9, 19, 2, 4},
    {DT_f16, 1, 40, 24, 72, 4, 4}, {DT_f16, 1, 9, 24, 35, 3, 1}, {DT_f16, 1, 3, 4, 1, 0, 1}, {DT_f16, 1, 3, 4, 0, 0, 1},
};

enum { TF32 = 8 }; /* the first */

static void products_keep_the_bound(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    int others = 0;
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        Arena a;
        arena_init(&a);
        const Half *x = &halves[i];
        const size_t n = (size_t)(x->batch * x->m * x->n) * dtype_bytes(x->t);
        const char *got = run_half(&a, x, false);
        judge(x, got);
        if (i % 2 == 0 && memcmp(got, run_half(&a, x, true), n) != 0) others++;
        for (int how = 0; how < 3 && (i < 2 || i == TF32); how++) { /* and with large tiles, made by one block */
            const Half other = {x->t, x->batch, x->m, x->n, x->k, how, 2 - how};
            product_large = how == 2 ? 1 : product_large;
            cuda_grid_most = how == 2 ? 1 : CUDA_GRID;
            if (memcmp(got, run_half(&a, &other, false), n) != 0) fail_msg("case %zu: other bits if operands lie otherwise", i);
        }
        product_large = 1 << 20, cuda_grid_most = CUDA_GRID;
        arena_free(&a);
    }
    print_message("%d of %zu have other bits as chains of FMA\n", others, COUNT_OF(halves) / 2);
    assert_int_equal(halves[TF32].t, DT_f32);
    assert_true(others >= 6); /* chains of FMA are something else */
}

/* A row's bits are the same whatever rows and columns are computed with it. */
static void rows_have_bits_of_their_own(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    Arena a;
    arena_init(&a);
    Half many = {DT_bf16, 1, 80, 72, 300, 0, 1}, few = {DT_bf16, 1, 7, 72, 300, 0, 1}, narrow = {DT_bf16, 1, 80, 8, 300, 0, 0};
    for (int tf32 = 0; tf32 < 2; tf32++) {
        const size_t each = tf32 ? 4 : 2;
        if (tf32) many.t = few.t = narrow.t = DT_f32;
        const char *all = run_half(&a, &many, false), *top = run_half(&a, &few, false), *left = run_half(&a, &narrow, false);
        assert_memory_equal(all, top, 7 * 72 * each);
        for (size_t i = 0; i < 80; i++) assert_memory_equal(all + 72 * i * each, left + 8 * i * each, 8 * each);
    }
    arena_free(&a);
}

/* Large tiles, of either kind, whose elements a kernel takes in the product's place. */
static void ends_compile(void **state)
{
    NEED_NVRTC();
    for (int tensor = 0; tensor < 3; tensor++) {
        const Half x = {tensor == 1 ? DT_f16 : DT_f32, 1, 256, 256, 256, 0, 1};
        Make *m = make_half(&x, tensor == 0);
        const uint32_t buf[2] = {m->step.at[0].contract.c, make_length(m, make_output(m, x.t), 256 * 256)};
        make_kernel(m, 2, (Dim[]){256, 256}, -1, 1, 0, 1, 2);
        make_stage(m, false);
        const int32_t v = make_load(m, make_stream(m, 0, x.t, 0, (Dim[]){256, 1}, -1, -1));
        make_store(m, make_stream(m, 1, x.t, 0, (Dim[]){256, 1}, -1, -1), make_prim(m, P_add, DT_f32, v, v, -1), false);
        make_step(m, make_run(m, make_kernel_end(m), 2, buf));
        m->step.at[0].contract.ended = true;
        m->step.at[1].ends = true;
        product_large = 1;
        if (!tensor || getenv("KILN_TEST_FULL")) cuda_compiles(make_program(m));
        cuda_program_fits(make_program(m));
        product_large = 1 << 20;
        make_free(m);
    }
}

static void they_compile(void **state)
{
    NEED_NVRTC();
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        Make *m = make_half(&halves[i], false);
        product_large = i == 0 || i == TF32 ? 1 : 1 << 20;
        if (i == 1 || i == TF32 || getenv("KILN_TEST_FULL")) cuda_compiles(make_program(m));
        if (i < 1 || i == TF32 || i == TF32 + 1 || getenv("KILN_TEST_FULL")) cuda_program_fits(make_program(m));
        make_free(m);
    }
    product_large = 1 << 20;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_keep_the_bound),
        cmocka_unit_test(rows_have_bits_of_their_own),
        cmocka_unit_test(they_compile),
        cmocka_unit_test(ends_compile),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
