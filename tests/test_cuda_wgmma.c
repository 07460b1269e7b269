/* test_cuda_wgmma: products of f16 and bf16 on devices of compute capability 9.0, by the emulated device's twins of their instructions: within
 * the bound of docs/numerics.md, with the bits that an emulated device's other tensor cores give, whatever extents and layouts; each fence,
 * wait and barrier is missed; and what NVRTC makes of them for sm_90a. */
#include "half.h"
#include "mutant.h"
#include "random_graph.h"

#include "codegen/cuda/print.h"
#include "codegen/cuda/schedule.h"

static int opened(void **state)
{
    (void)state;
    if (cuda_host_compiles()) emu_architecture(0, 90);
    return 0;
}

static int closed(void **state)
{
    (void)state;
    if (cuda_host_compiles()) emu_architecture(0, EMU_SM), emu_version(EMU_NEWEST);
    product_large = 1 << 20, cuda_grid_most = CUDA_GRID;
    return 0;
}

/* Text for what it is says so, and has the instruction. */
static void is_for_groups(const Half *x, bool yes)
{
    Status st = {0};
    Text t = {0};
    Make *m = half_make(x, false);
    assert_true(cuda_program_text(make_program(m), CUDA_SM_90A, &t, &st));
    assert_int_equal(strstr(t.at, CUDA_OWN_LINE) != NULL, yes);
    assert_int_equal(strstr(t.at, "wgmma.mma_async") != NULL, yes);
    text_free(&t);
    assert_true(cuda_program_text(make_program(m), 90, &t, &st) && !strstr(t.at, CUDA_OWN_LINE));
    text_free(&t);
    assert_true(cuda_program_text(make_program(m), 100, &t, &st) && !strstr(t.at, CUDA_OWN_LINE));
    text_free(&t);
    make_free(m);
}

static void agree(Arena *a, const Half *x)
{
    emu_architecture(0, 90);
    const char *got = half_run(a, x, false);
    half_judge(x, got);
    emu_architecture(0, 80);
    const char *want = half_run(a, x, false);
    emu_architecture(0, 90);
    if (memcmp(got, want, (size_t)(x->batch * x->m * x->n) * 2) != 0)
        fail_msg("%lld of %lld x %lld x %lld, %d and %d: other bits", (long long)x->batch, (long long)x->m, (long long)x->n, (long long)x->k, x->a, x->b);
}

/* Tiles of all widths, operands along k and along their rows, pieces and single elements, digits; chains that end within a step, runs. */
static void they_have_the_bits_of_others(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    static const Half all[] = {
        {DT_f16, 1, 130, 72, 200, 0, 1}, {DT_bf16, 2, 72, 80, 64, 1, 0}, {DT_bf16, 1, 140, 16, 96, 0, 0}, {DT_f16, 1, 67, 13, 45, 2, 1},
        {DT_f16, 1, 5, 8, 8192 + 70, 1, 1}, {DT_bf16, 1, 40, 24, 72, 4, 3}, {DT_f16, 1, 3, 4, 1, 0, 1}, {DT_f16, 1, 3, 4, 0, 0, 1},
    };
    const bool full = getenv("KILN_TEST_FULL") != NULL;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        Arena a;
        arena_init(&a);
        is_for_groups(&all[i], true);
        if (all[i].k != 1 || full) agree(&a, &all[i]);
        if (i == 0 || all[i].a == 4 || full) { /* and with the largest tile, digits among them */
            product_large = 1;
            agree(&a, &all[i]);
            product_large = 1 << 20;
        }
        arena_free(&a);
    }
    is_for_groups(&(Half){DT_f32, 1, 70, 72, 200, 0, 1}, false);
}

static void random_ones_do(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    Random r = {20};
    const int n = getenv("KILN_TEST_FULL") ? 100 : 2;
    for (int i = 0; i < n; i++) {
        Arena a;
        arena_init(&a);
        Half x = {random_chance(&r, 50) ? DT_f16 : DT_bf16, 1 + random_below(&r, 3), 1 + random_below(&r, 150), 1 + random_below(&r, 150), random_below(&r, 300), 0, 0};
        x.a = (int)random_below(&r, 3), x.b = (int)random_below(&r, 3);
        if (random_chance(&r, 50)) x.m = (x.m + 7) / 8 * 8, x.n = (x.n + 7) / 8 * 8, x.k = (x.k + 7) / 8 * 8;
        product_large = random_chance(&r, 50) ? 1 : 1 << 20;
        agree(&a, &x);
        arena_free(&a);
    }
    product_large = 1 << 20;
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */
/* A kernel in the place of the product before it: twice its elements. */
static Make *ended(const Half *x)
{
    Make *m = half_make(x, false);
    const Dim n = x->batch * x->m * x->n;
    const uint32_t buf[2] = {m->step.at[0].contract.c, make_length(m, make_output(m, x->t), n)};
    make_kernel(m, 2, (Dim[]){x->batch * x->m, x->n}, -1, 1, 0, 1, 2);
    make_stage(m, false);
    const int32_t v = make_load(m, make_stream(m, 0, x->t, 0, (Dim[]){x->n, 1}, -1, -1));
    make_store(m, make_stream(m, 1, x->t, 0, (Dim[]){x->n, 1}, -1, -1), make_prim(m, P_add, DT_f32, v, v, -1), false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    m->step.at[0].contract.ended = true;
    m->step.at[1].ends = true;
    return m;
}

/* What it gives on a device of that architecture. */
static const void *end_run(Make *m, int sm)
{
    Status st = {0};
    const Program *p = make_program(m);
    void **buf = arena_zeros(&m->arena, 5, sizeof *buf);
    emu_architecture(0, sm);
    for (uint32_t i = 0; i < p->ninput + p->noutput; i++) buf[i] = arena_zeros(&m->arena, (size_t)p->buf.at[i].type.dim[0] + 1, 2);
    for (uint32_t i = 0; i < p->ninput; i++)
        for (int64_t e = 0; e < p->buf.at[i].type.dim[0]; e++) dtype_store_f64(DT_f16, (char *)buf[i] + 2 * e, (double)(e * 7 % 23 - 11) / 16);
    if (!cuda_host_run(p, buf, NULL, &st)) fail_msg("%s", st.text);
    emu_architecture(0, 90);
    return buf[p->ninput + p->noutput - 1];
}

static void ends_are_computed(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    static const Half all[] = {{DT_f16, 1, 130, 136, 40, 0, 1}, {DT_f16, 2, 70, 66, 33, 1, 0}, {DT_f16, 1, 140, 9, 64, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        product_large = i == 0 ? 1 : 1 << 20;
        Make *m = ended(&all[i]);
        const void *want = end_run(m, 80);
        assert_memory_equal(end_run(m, 90), want, (size_t)(all[i].batch * all[i].m * all[i].n) * 2);
        make_free(m);
    }
    product_large = 1 << 20;
}

/* ---- each of what orders them is needed --------------------------------------------------------------------------- */
static void each_is_needed(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) skip();
    static const Half x = {DT_f16, 2, 70, 72, 200, 0, 1};
    Case c = {.m = half_make(&x, false), .graph = true};
    product_large = 1; /* recorded, with more shared memory than every block has */
    case_open(&c);
    case_runs(&c);
    product_large = 1 << 20;
    case_free(&c);
    c = (Case){.m = half_make(&x, false)};
    case_open(&c);
    emu_version(11080); /* without maps, of which test_cuda_bulk.c is, threads copy */
    case_runs(&c);
    needed(&c, "            Unit::written();\n", "", 1);
    needed(&c, "        group_begin<N / 2>(&sum[0][0][0]);\n", "", 1);
    needed(&c, "        group_commit();\n", "", 1);
    needed(&c, "        Unit::template wait<R, Q>(chain);\n", "", 1);
    static const char ready[] = "            Unit::written();\n        }\n        __syncthreads();\n";
    needed(&c, ready, "            Unit::written();\n        }\n", 1);
    needed(&c, ready, "        }\n        __syncthreads();\n        Unit::written();\n", 1);
    needed(&c, "            copies_wait<STAGES - 2>();\n            Unit", "            Unit", 1);
    needed(&c, "        copies_group();\n        Unit::template", "        Unit::template", 1);
    needed(&c, "i < rows && ", "", 2);
    needed(&c, "&& first + l < k", "", 2);
    needed(&c, "if (r >= m) continue;", "", 2);
    needed(&c, "c_wide && s < n", "c_wide", 2);
    cuda_grid_most = 1; /* a block makes several tiles */
    needed(&c, "    __syncthreads();\n    bool any", "    bool any", 2);
    cuda_grid_most = CUDA_GRID;
    case_free(&c);
    emu_version(EMU_NEWEST);
}

/* ---- the compiler ------------------------------------------------------------------------------------------------- */
static void they_compile(void **state)
{
    NEED_NVRTC();
    static const Half all[] = {{DT_f16, 1, 1024, 1024, 1024, 0, 1}, {DT_bf16, 1, 256, 256, 256, 1, 0}, {DT_f16, 1, 256, 16, 512, 0, 1}, {DT_bf16, 1, 64, 64, 9000, 3, 1}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (i > 1 && !getenv("KILN_TEST_FULL")) break;
        Make *m = i == 1 ? ended(&all[i]) : half_make(&all[i], false);
        if (i == 0) cuda_compiles_for(make_program(m), CUDA_SM_90A);
        cuda_program_fits_for(make_program(m), CUDA_SM_90A);
        if (i == 0) {
            product_large = INT64_MAX; /* the smaller tile, and a kernel after the largest */
            cuda_program_fits_for(make_program(m), CUDA_SM_90A);
            product_large = 1;
        }
        make_free(m);
    }
    product_large = 1 << 20;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(they_have_the_bits_of_others, opened, closed),
        cmocka_unit_test_setup_teardown(random_ones_do, opened, closed),
        cmocka_unit_test_setup_teardown(ends_are_computed, opened, closed),
        cmocka_unit_test_setup_teardown(each_is_needed, opened, closed),
        cmocka_unit_test(they_compile),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
