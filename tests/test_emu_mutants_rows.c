/* test_emu_mutants_rows: where several blocks share a row, each meeting, fence, barrier and guard that the CUDA backend prints is needed:
 * the text without it fails on an emulated device. */
#include "mutant.h"

/* Rows of five pieces, whose sum and place of the highest are made; one element, which goes to all places of another row, then becomes
 * the sum. */
static Make *long_rows(bool once, Dim n)
{
    enum { ROWS = 3 };
    Make *m = make_new();
    uint32_t buf[3] = {make_length(m, make_output(m, DT_f32), ROWS * n), make_length(m, make_output(m, DT_i64), ROWS)};
    buf[2] = make_length(m, make_output(m, DT_f32), ROWS * n);
    make_kernel(m, 2, (Dim[]){ROWS, n}, 1, 1, 0, 2, 3);
    make_stage(m, true);
    int32_t x = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){n, 1}, -1, -1));
    make_reduce(m, R_SUM, ORDER_LANES, x);
    make_reduce(m, R_ARGMAX, ORDER_LANES, x);
    make_stage(m, true);
    const uint32_t second = make_stream(m, 0, DT_f32, 1, (Dim[]){n, 0}, -1, -1);
    make_store(m, make_stream(m, 2, DT_f32, 0, (Dim[]){n, 1}, -1, -1), make_load(m, second), false);
    if (once) make_stage(m, false);
    if (once) make_store(m, second, make_reduced(m, 0), false);
    if (once) make_store(m, make_stream(m, 1, DT_i64, 0, (Dim[]){1, 0}, -1, -1), make_reduced(m, 1), false);
    make_step(m, make_run(m, make_kernel_end(m), 3, buf));
    return m;
}

static void opens(Case *c, Make *m, const char *from)
{
    *c = (Case){.m = m};
    case_open(c);
    case_runs(c);
    c->from = from;
}

static const char barrier[] = "__syncthreads();\n", meeting[] = "blocks_meet(meet + blockIdx.x, parts);\n", fence[] = "__threadfence();\n";
enum { N = 4 * SHARE_WARPS * TREE_ROW + 7 };

static void shared_rows_need(void **state)
{
    (void)state;
    Case c;
    opens(&c, long_rows(true, N), "__launch_bounds__");
    needed(&c, meeting, "", 1); /* before totals are read */
    needed(&c, meeting, "", 2); /* before an element that all read is written */
    needed(&c, fence, "", 1);
    needed(&c, fence, "", 2);
    needed(&c, "if (part == 0) {", "{", 1);
    needed(&c, "if (threadIdx.x == 0) {\n                    const i64 left", "{\n                    const i64 left", 1);
    needed(&c, "if (lane == 0) part", "part", 1);
    needed(&c, "if (lane == 0) bests", "bests", 1);
    needed(&c, "if (i1 < to) {", "{", 1);
    needed(&c, "point < points;", "point < points + 1;", 1);
    for (int i = 1; i <= 4; i++) needed(&c, barrier, "", i); /* around what warps found, and the levels of the tree */
    case_free(&c);
    cuda_grid_most = 1; /* the same blocks make one row after the other */
    opens(&c, long_rows(false, N), "__launch_bounds__");
    needed(&c, "number++ % 2", "0 * number", 1);
    case_free(&c);
    cuda_grid_most = CUDA_GRID;
}

static void rows_of_one_block_need(void **state)
{
    (void)state;
    Case c;
    cuda_least_units = N;
    opens(&c, long_rows(true, N), "__launch_bounds__");
    for (int i = 1; i <= 5; i++) /* the last: before an element that all read is written; the third is for who meets others */
        if (i != 3) needed(&c, barrier, "", i);
    case_free(&c);
    cuda_least_units = 2;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_rows_need),
        cmocka_unit_test(rows_of_one_block_need),
    };
    cuda_long_row = 4000, cuda_least_units = 2;
    EMU_TESTS(tests);
}
