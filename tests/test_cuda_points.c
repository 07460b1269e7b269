/* test_cuda_points: kernels made by hand as CUDA C, run on an emulated device: points side by side, moved at once or one by one, and
 * squares that are turned. test_cuda.c has what kernels compute. */
#include "cuda_check.h"

#include "kernel_make.h"

/* y[i, j] = x[from + i * across + j] + z[j]: elements lie in groups that one access moves, or not, and rows end within a group, or not. */
static void side_by_side(Make *m, DType t, Dim rows, Dim columns, Dim across, Dim from)
{
    uint32_t buf[3] = {0, 1};
    buf[2] = make_length(m, make_output(m, t), rows * columns);
    make_kernel(m, 2, (Dim[]){rows, columns}, -1, 1, 0, 1, 3);
    make_stage(m, false);
    const int32_t x = make_load(m, make_stream(m, 0, t, from, (Dim[]){across, 1}, -1, -1));
    const int32_t z = make_load(m, make_stream(m, 1, t, 0, (Dim[]){0, 1}, -1, -1));
    make_store(m, make_stream(m, 2, t, 0, (Dim[]){columns, 1}, -1, -1), make_prim(m, P_add, dtype_info[t].compute, x, z, -1), false);
    make_step(m, make_run(m, make_kernel_end(m), 3, buf));
}

/* y[h, i, j] = x[h, j, i] * z[i], which is turned by squares, and w[h, j, i] the same, which is not. */
static void turned(Make *m, DType t, Dim images, Dim rows, Dim columns)
{
    uint32_t buf[4] = {0, 1, make_length(m, make_output(m, t), images * rows * columns)};
    buf[3] = make_length(m, make_output(m, t), images * rows * columns);
    make_kernel(m, 3, (Dim[]){images, rows, columns}, -1, 2, 0, 1, 4);
    m->k.turn = 1;
    make_stage(m, false);
    const int32_t x = make_load(m, make_stream(m, 0, t, 0, (Dim[]){rows * columns, 1, rows}, -1, -1));
    const int32_t z = make_load(m, make_stream(m, 1, t, 0, (Dim[]){0, 1, 0}, -1, -1));
    const int32_t y = make_prim(m, P_mul, dtype_info[t].compute, x, z, -1);
    make_store(m, make_stream(m, 2, t, 0, (Dim[]){rows * columns, columns, 1}, -1, -1), y, false);
    make_store(m, make_stream(m, 3, t, 0, (Dim[]){rows * columns, 1, rows}, -1, -1), y, false);
    make_step(m, make_run(m, make_kernel_end(m), 4, buf));
}

static void sides_run(void **state)
{
    NEED_HOST();
    static const DType type[] = {DT_f32, DT_f64, DT_i16, DT_u8, DT_bf16};
    static const Dim size[][4] = {{1, 1, 1, 0}, {1, 31, 31, 0}, {1, 33, 33, 4}, {1, 33, 33, 3}, {5, 24, 24, 0}, {5, 24, 28, 8}, {5, 24, 27, 0}, {7, 22, 22, 2}, {2, 3000, 3000, 0}};
    for (size_t i = 0; i < COUNT_OF(type); i++) {
        Make *m = make_new();
        void *in[2] = {cuda_spread(&m->arena, type[i], 6000), cuda_spread(&m->arena, type[i], 3000)};
        make_length(m, make_input(m, type[i]), 6000);
        make_length(m, make_input(m, type[i]), 3000);
        for (size_t k = 0; k < COUNT_OF(size); k++) side_by_side(m, type[i], size[k][0], size[k][1], size[k][2], size[k][3]);
        turned(m, type[i], 1, 32, 64);
        turned(m, type[i], 2, 45, 33);
        turned(m, type[i], 3, 4, 100);
        cuda_agrees(&m->arena, make_program(m), in, NULL, cuda_host_run, dtype_info[type[i]].name);
        make_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sides_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
