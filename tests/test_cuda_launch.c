/* test_cuda_launch: kernels side by side as one launch on an emulated device: instances of a kernel and of others, more blocks than the
 * grid has, kernels that are launched alone among them. */
#include "cuda_check.h"

#include "codegen/cuda/print.h"
#include "kernel_make.h"

enum { LONG = 3000, SHORT = 70, INSTANCES = 7 };

/* y = x * x, of n elements or of rows of so many, which are then summed. */
static uint32_t square_kernel(Make *m, DType t, Dim n, Dim rows)
{
    make_kernel(m, rows ? 2 : 1, rows ? (Dim[]){rows, n} : (Dim[]){n}, rows ? 1 : -1, rows ? 1 : 0, 0, 1, 2);
    make_stage(m, rows != 0);
    const int32_t x = make_load(m, make_stream(m, 0, t, 0, rows ? (Dim[]){n, 1} : (Dim[]){1}, -1, -1));
    int32_t y = make_prim(m, P_mul, t, x, x, -1);
    if (rows) {
        make_reduce(m, R_SUM, ORDER_LANES, y);
        make_stage(m, false);
        y = make_reduced(m, 0);
    }
    make_store(m, make_stream(m, 1, t, 0, (Dim[]){1, 0}, -1, -1), y, false);
    return make_kernel_end(m);
}

static Make *side_by_side(void **in)
{
    static const struct { DType t; Dim n, rows; } is[INSTANCES] = {
        {DT_f32, LONG, 0}, {DT_f64, SHORT, 0}, {DT_f32, LONG, 0}, {DT_f32, SHORT, 40}, {DT_f32, LONG, 40}, {DT_f64, SHORT, 0}, {DT_f32, LONG, 0}};
    Make *m = make_new();
    uint32_t buf[INSTANCES][2], kernel[INSTANCES];
    for (int i = 0; i < INSTANCES; i++) {
        const Dim n = is[i].n * (is[i].rows ? is[i].rows : 1);
        buf[i][0] = make_length(m, make_input(m, is[i].t), n);
        in[i] = cuda_spread(&m->arena, is[i].t, (size_t)n);
    }
    for (int i = 0; i < INSTANCES; i++) buf[i][1] = make_length(m, make_output(m, is[i].t), is[i].rows ? is[i].rows : is[i].n);
    for (int i = 0; i < INSTANCES; i++) {
        int same = 0;
        while (is[same].t != is[i].t || is[same].n != is[i].n || is[same].rows != is[i].rows) same++;
        kernel[i] = same < i ? kernel[same] : square_kernel(m, is[i].t, is[i].n, is[i].rows);
        Step s = make_run(m, kernel[i], 2, buf[i]);
        s.beside = i > 0;
        make_step(m, s);
    }
    return m;
}

/* The long rows are a block's each, so they are launched alone, between two launches. */
static void kernels_share_launches(void **state)
{
    NEED_HOST();
    void *in[INSTANCES];
    Make *m = side_by_side(in);
    const Program *p = make_program(m);
    CudaFunctions text;
    cuda_functions(&m->arena, p, &text);
    assert_int_equal(text.launches.len, 2);
    assert_int_equal(text.launches.at[0].n, 4);
    assert_int_equal(text.launches.at[0].blocks, 3 + 3 + 1 + 5);
    assert_int_equal(text.launches.at[1].n, 2);
    int alone = 0;
    for (uint32_t i = 0; i < p->kernel.len; i++) alone += *text.name[i] != 0;
    assert_int_equal(alone, 1);
    const int64_t most = cuda_grid_most;
    for (cuda_grid_most = most; cuda_grid_most > 0; cuda_grid_most = cuda_grid_most == most ? 2 : 0)
        cuda_agrees(&m->arena, p, in, NULL, cuda_host_run, "side by side");
    cuda_grid_most = most;
    make_free(m);
}

static void they_compile(void **state)
{
    NEED_NVRTC();
    void *in[INSTANCES];
    Make *m = side_by_side(in);
    cuda_compiles(make_program(m));
    make_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kernels_share_launches), cmocka_unit_test(they_compile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
