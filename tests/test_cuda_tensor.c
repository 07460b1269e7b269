/* test_cuda_tensor: products of f16, bf16 and tf32 on tensor cores, by the emulated device's twin of their instructions: within the bound of
 * docs/numerics.md of exact sums, with bits that extents, layouts and plans do not change; each barrier, wait and guard is missed. */
#include "half.h"

#include "codegen/cuda/print.h"
#include "codegen/cuda/schedule.h"

/* Strips and tiles; pieces of 8 and single elements; chains that end within a step, runs that add up pairwise. */
static const Half halves[] = {
    {DT_f16, 1, 70, 72, 200, 0, 1}, {DT_f16, 2, 72, 80, 64, 1, 0}, {DT_bf16, 1, 64, 64, 96, 0, 0}, {DT_bf16, 1, 67, 66, 45, 2, 1},
    {DT_f16, 1, 5, 136, 160, 0, 1}, {DT_bf16, 1, 130, 9, 33, 1, 2}, {DT_f16, 1, 6, 10, 8192 * 2 + 70, 0, 1}, {DT_bf16, 1, 24, 40, 64, 3, 3},
    {DT_f32, 1, 70, 72, 200, 0, 1}, {DT_f32, 2, 72, 66, 40, 1, 0}, {DT_f32, 1, 5, 136, 160, 1, 1}, {DT_f32, 1, 130, 9, 33, 0, 2},
    {DT_f32, 1, 24, 40, 64, 3, 3}, {DT_f32, 1, 6, 10, 8192 * 2 + 70, 0, 1}, {DT_f32, 1, 7, 9, 19, 2, 4},
    {DT_f16, 1, 40, 24, 72, 4, 4}, {DT_f16, 1, 9, 24, 35, 3, 1}, {DT_f16, 1, 3, 4, 1, 0, 1}, {DT_f16, 1, 3, 4, 0, 0, 1},
    {DT_f16, 2, 580, 70, 8, 0, 1}, /* more tiles down than a band has */
};

enum { TF32 = 8 }; /* the first */

/* Those whose kinds of operands and extents others have, too, are for the long run: each takes the time of several kernels. */
static bool left_out(size_t i)
{
    static const uint8_t some[] = {1, 5, 9, 11, 14, 17};
    return getenv("KILN_TEST_FULL") == NULL && memchr(some, (int)i, sizeof some) != NULL;
}

static void products_keep_the_bound(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    int others = 0;
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        Arena a;
        if (left_out(i)) continue;
        arena_init(&a);
        const Half *x = &halves[i];
        const size_t n = (size_t)(x->batch * x->m * x->n) * dtype_bytes(x->t);
        const char *got = half_run(&a, x, false);
        half_judge(x, got);
        if (i % (getenv("KILN_TEST_FULL") ? 2 : 4) == 0) {
            const char *fma = half_run(&a, x, true);
            half_judge(x, fma);
            others += memcmp(got, fma, n) != 0;
        }
        for (int how = 0; how < 3 && (i < 2 || i == TF32); how++) { /* and with large tiles, made by one block */
            const Half other = {x->t, x->batch, x->m, x->n, x->k, how, 2 - how};
            product_large = how == 2 ? 1 : product_large;
            cuda_grid_most = how == 2 ? 1 : CUDA_GRID;
            if (memcmp(got, half_run(&a, &other, false), n) != 0) fail_msg("case %zu: other bits if operands lie otherwise", i);
        }
        product_large = 1 << 20, cuda_grid_most = CUDA_GRID;
        arena_free(&a);
    }
    print_message("%d have other bits as chains of FMA\n", others);
    assert_int_equal(halves[TF32].t, DT_f32);
    assert_true(others >= 3); /* chains of FMA are something else */
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
        const char *all = half_run(&a, &many, false), *top = half_run(&a, &few, false), *left = half_run(&a, &narrow, false);
        assert_memory_equal(all, top, 7 * 72 * each);
        for (size_t i = 0; i < 80; i++) assert_memory_equal(all + 72 * i * each, left + 8 * i * each, 8 * each);
    }
    arena_free(&a);
}

/* Devices without tensor cores that take them have chains of FMA, whatever is asked for. */
static void older_devices_have_none(void **state)
{
    (void)state;
    for (int t = 0; t < 2; t++) {
        Status st = {0};
        Text text = {0};
        const Half x = {t ? DT_f32 : DT_bf16, 1, 70, 72, 200, 0, 1};
        Make *m = half_make(&x, false);
        assert_true(cuda_program_text(make_program(m), 75, &text, &st) && !strstr(text.at, "mma.sync"));
        text_free(&text);
        assert_true(cuda_program_text(make_program(m), 80, &text, &st) && strstr(text.at, "mma.sync"));
        text_free(&text);
        make_free(m);
    }
}

/* Large tiles, of either kind, whose elements a kernel takes in the product's place. */
static void ends_compile(void **state)
{
    NEED_NVRTC();
    for (int tensor = 0; tensor < (getenv("KILN_TEST_FULL") ? 3 : 2); tensor++) {
        const Half x = {tensor == 1 ? DT_f16 : DT_f32, 1, 256, 256, 256, 0, 1};
        Make *m = half_make(&x, tensor == 0);
        const uint32_t buf[2] = {m->step.at[0].contract.c, make_length(m, make_output(m, x.t), 256 * 256)};
        make_kernel(m, 2, (Dim[]){256, 256}, -1, 1, 0, 1, 2);
        make_stage(m, false);
        const int32_t v = make_load(m, make_stream(m, 0, x.t, 0, (Dim[]){256, 1}, -1, -1));
        make_store(m, make_stream(m, 1, x.t, 0, (Dim[]){256, 1}, -1, -1), make_prim(m, P_add, DT_f32, v, v, -1), false);
        make_step(m, make_run(m, make_kernel_end(m), 2, buf));
        m->step.at[0].contract.ended = true;
        m->step.at[1].ends = true;
        product_large = 1;
        if (getenv("KILN_TEST_FULL")) cuda_compiles(make_program(m));
        cuda_program_fits(make_program(m));
        product_large = 1 << 20;
        make_free(m);
    }
}

static void they_compile(void **state)
{
    NEED_NVRTC();
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        Make *m = half_make(&halves[i], false);
        product_large = i == 0 || i == TF32 ? 1 : 1 << 20;
        if (i == 1 || getenv("KILN_TEST_FULL")) cuda_compiles(make_program(m));
        if (i < 1 || i == TF32 || getenv("KILN_TEST_FULL")) cuda_program_fits(make_program(m));
        make_free(m);
    }
    product_large = 1 << 20;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_keep_the_bound),
        cmocka_unit_test(rows_have_bits_of_their_own),
        cmocka_unit_test(older_devices_have_none),
        cmocka_unit_test(they_compile),
        cmocka_unit_test(ends_compile),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
