/* test_emu_mutants: each barrier and each guard of memory that the CUDA backend prints is needed: the text without it fails on an
 * emulated device, by the error of a race or of an address. The text as it is printed passes. */
#include "mutant.h"

#include "codegen/cuda/schedule.h"
#include "ir/text.h"
#include "passes/pass.h"

/* barriers: of all kinds, in its kernels and what the prelude has for them, each of which a test takes away. */
static void case_of(Case *c, Make *m, int barriers)
{
    *c = (Case){.m = m};
    case_open(c);
    case_runs(c);
    for (const char *at = c->source.at; (at = strstr(at, "__sync")); at++) barriers--;
    assert_int_equal(barriers, 0);
}

/* ---- products ----------------------------------------------------------------------------------------------------- */
/* More of k than a step takes, in two batches. */
static Make *product(DType t, Dim rows, Dim columns, Dim k, bool digits, bool turned)
{
    enum { BATCH = 2 };
    Make *m = make_new();
    Step s = {.kind = STEP_CONTRACT};
    s.contract.type = s.contract.to = (uint8_t)t;
    s.contract.nbatch = 1;
    s.contract.batch[0] = BATCH, s.contract.m = rows, s.contract.n = columns, s.contract.k = k;
    s.contract.a_batch[0] = rows * k, s.contract.b_batch[0] = k * columns;
    s.contract.a_row = strides_one(turned ? 1 : k), s.contract.a_col = strides_one(turned ? rows : 1);
    s.contract.b_row = strides_one(columns), s.contract.b_col = strides_one(1);
    if (digits) { /* the same elements, counted otherwise */
        s.contract.a_col = (Strides){2, {0, 3}, {3, 1}};
        s.contract.b_row = (Strides){2, {0, 11}, {11 * columns, columns}};
    }
    s.contract.a = make_length(m, make_input(m, t), BATCH * rows * k);
    s.contract.b = make_length(m, make_input(m, t), BATCH * k * columns);
    s.contract.c = make_length(m, make_output(m, t), BATCH * rows * columns);
    make_step(m, s);
    return m;
}

enum { PRODUCT_BARRIERS = 5 };

static void products_need(void **state)
{
    (void)state;
    Case c;
    Make *m = product(DT_f32, 70, 66, 33, false, false); /* two tiles down and across */
    case_of(&c, m, PRODUCT_BARRIERS);
    needed(&c, "            __syncthreads();\n        }\n        if (step + STAGES - 1", "        }\n        if (step + STAGES - 1", 1);
    needed(&c, "        copies_wait<STAGES - 2>();\n", "", 1);
    needed(&c, "        copies_group();\n        if (step < 0)", "        if (step < 0)", 1);
    needed(&c, "i < rows && ", "", 1);
    needed(&c, "&& first + l < k", "", 1);
    needed(&c, "if (r >= m) continue;", "", 1);
    needed(&c, "if (s + g < n)", "", 1);
    needed(&c, "; tile += gridDim.x)", " + 1; tile += gridDim.x)", 1);
    cuda_grid_most = 1; /* a block makes several tiles */
    needed(&c, "    __syncthreads();\n    bool any", "    bool any", 1);
    cuda_grid_most = CUDA_GRID;
    case_free(&c);
    m = product(DT_f32, 70, 66, 33, true, false);
    case_of(&c, m, PRODUCT_BARRIERS);
    needed(&c, "(step); }\n        __syncthreads();\n", "(step); }\n", 1);
    needed(&c, "if (A && me < DEEP)", "if (A)", 1);
    needed(&c, "if (B && me >= 64 && me < 64 + DEEP)", "if (B && me < 64 + DEEP)", 1);
    case_free(&c);
}

/* Few rows, and pieces of 16 bytes. */
static void strips_need(void **state)
{
    (void)state;
    Case c;
    Make *m = product(DT_f64, 4, 68, 70, false, false);
    case_of(&c, m, PRODUCT_BARRIERS);
    needed(&c, "|| i >= WIDTH ", "", 1);
    needed(&c, "c_wide && s < n", "c_wide", 1);
    needed(&c, "i < rows && ", "", 1);
    case_free(&c);
    m = product(DT_f64, 4, 68, 70, false, true);
    case_of(&c, m, PRODUCT_BARRIERS);
    needed(&c, "l >= DEEP ||", "", 1);
    needed(&c, "&& first + l < k", "", 1);
    case_free(&c);
}

/* On tensor cores, whose text comes after that of the others. */
static void tensor_products_need(void **state)
{
    (void)state;
    enum { BARRIERS = PRODUCT_BARRIERS + 4 };
    Case c;
    Make *m = product(DT_f16, 70, 72, 40, false, false); /* in pieces of 8 */
    case_of(&c, m, BARRIERS);
    needed(&c, "        __syncthreads();\n        if (!Unit::ASKS", "        if (!Unit::ASKS", 1);
    needed(&c, "        copies_wait<STAGES - 2>();\n", "", 2);
    needed(&c, "        copies_group();\n        Unit::template", "        Unit::template", 1);
    needed(&c, "        copies_group();\n    }\n", "    }\n", 1);
    needed(&c, "i < rows && ", "", 2);
    needed(&c, "&& first + l < k", "", 2);
    needed(&c, "if (r >= m) continue;", "", 2);
    needed(&c, "c_wide && s < n", "c_wide", 2);
    cuda_grid_most = 1;
    needed(&c, "    __syncthreads();\n    bool any", "    bool any", 2);
    cuda_grid_most = CUDA_GRID;
    case_free(&c);
    m = product(DT_bf16, 67, 65, 45, false, false); /* one by one */
    case_of(&c, m, BARRIERS);
    needed(&c, "i < rows && ", "", 3);
    needed(&c, "&& first + l < k", "", 3);
    needed(&c, "!c_wide && s < n", "!c_wide", 1);
    needed(&c, "!c_wide && s + 1 < n", "!c_wide", 1);
    case_free(&c);
    m = product(DT_f16, 5, 136, 64, false, false);
    case_of(&c, m, BARRIERS);
    needed(&c, "if (p < ALL) ", "", 1);
    case_free(&c);
    m = product(DT_f32, 67, 65, 45, false, false); /* in tf32, one by one, but copied late */
    m->step.at[0].contract.sums = SUMS_TF32;
    case_of(&c, m, BARRIERS);
    needed(&c, "i < rows && ", "", 3);
    needed(&c, "&& first + l < k", "", 3);
    needed(&c, "        copies_wait<STAGES - 2>();\n", "", 2);
    case_free(&c);
}

/* A kernel in the place of the product before it: twice its elements. */
static Make *ended(DType t, Dim rows, Dim columns, Dim k)
{
    Make *m = product(t, rows, columns, k, false, false);
    const Dim n = 2 * rows * columns;
    const uint32_t made = m->step.at[0].contract.c, buf[2] = {made, make_length(m, make_output(m, t), n)};
    make_kernel(m, 2, (Dim[]){2 * rows, columns}, -1, 1, 0, 1, 2);
    make_stage(m, false);
    const int32_t x = make_load(m, make_stream(m, 0, t, 0, (Dim[]){columns, 1}, -1, -1));
    const DType in = (DType)dtype_info[t].compute;
    make_store(m, make_stream(m, 1, t, 0, (Dim[]){columns, 1}, -1, -1), make_prim(m, P_add, in, x, x, -1), false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    m->step.at[0].contract.ended = true;
    m->step.at[1].ends = true;
    return m;
}

static void ends_need(void **state)
{
    (void)state;
    static const char part[] = "        __syncthreads();\n        KILN_ROLLED", next[] = "        __syncthreads();\n    }\n    KILN_UNROLL for (u32 i";
    for (int tensor = 0; tensor < 2; tensor++) {
        Case c;
        Make *m = tensor ? ended(DT_f16, 130, 136, 33) : ended(DT_f32, 70, 66, 33);
        product_large = tensor ? 1 : product_large;
        case_of(&c, m, PRODUCT_BARRIERS + 4 * tensor);
        needed(&c, part, "        KILN_ROLLED", 1 + tensor);
        needed(&c, next, "    }\n    KILN_UNROLL for (u32 i", 1 + tensor);
        needed(&c, "if (r < m && s < n) end", "if (s < n) end", 1 + tensor);
        needed(&c, "if (r < m && s < n) end", "if (r < m) end", 1 + tensor);
        case_free(&c);
    }
    product_large = 1 << 20;
}

/* ---- a warp per point --------------------------------------------------------------------------------------------- */
/* Rows of 40, whose sum is written over one of their elements. */
static Make *rows(ReduceOrder order)
{
    enum { ROWS = 9, N = 40 };
    Make *m = make_new();
    uint32_t buf[1] = {make_length(m, make_output(m, DT_f32), ROWS * N)};
    make_kernel(m, 2, (Dim[]){ROWS, N}, 1, 1, 0, 2, 1);
    make_stage(m, true);
    int32_t x = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){N, 1}, -1, -1));
    make_reduce(m, R_SUM, order, x);
    make_stage(m, false);
    int32_t sum = make_reduced(m, m->reduction.len - 1);
    make_store(m, make_stream(m, 0, DT_f32, 1, (Dim[]){N, 0}, -1, -1), sum, false);
    make_step(m, make_run(m, make_kernel_end(m), 1, buf));
    return m;
}

static void rows_need(void **state)
{
    (void)state;
    static const ReduceOrder order[] = {ORDER_INDEX, ORDER_LANES};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        Case c;
        Make *m = rows(order[i]);
        case_of(&c, m, 1);
        needed(&c, "__syncwarp();\n", "", 1);
        needed(&c, "if (lane == 0) {", "{", 1);
        needed(&c, "if (i1 < to) {", "{", 1);
        needed(&c, "point < points;", "point < points + 1;", 1);
        case_free(&c);
    }
}

/* ---- a block per point -------------------------------------------------------------------------------------------- */
/* Rows of five blocks, whose sum and place of the highest are made; one element, which goes to all places of another row, then becomes
 * the sum. */
static Make *long_rows(bool once)
{
    enum { ROWS = 3, N = 4 * TREE_ROW + 7 };
    Make *m = make_new();
    uint32_t buf[3] = {make_length(m, make_output(m, DT_f32), ROWS * N), make_length(m, make_output(m, DT_i64), ROWS)};
    buf[2] = make_length(m, make_output(m, DT_f32), ROWS * N);
    make_kernel(m, 2, (Dim[]){ROWS, N}, 1, 1, 0, 2, 3);
    make_stage(m, true);
    int32_t x = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){N, 1}, -1, -1));
    make_reduce(m, R_SUM, ORDER_LANES, x);
    make_reduce(m, R_ARGMAX, ORDER_LANES, x);
    make_stage(m, true);
    const uint32_t second = make_stream(m, 0, DT_f32, 1, (Dim[]){N, 0}, -1, -1);
    make_store(m, make_stream(m, 2, DT_f32, 0, (Dim[]){N, 1}, -1, -1), make_load(m, second), false);
    if (once) make_stage(m, false);
    if (once) make_store(m, second, make_reduced(m, 0), false);
    if (once) make_store(m, make_stream(m, 1, DT_i64, 0, (Dim[]){1, 0}, -1, -1), make_reduced(m, 1), false);
    make_step(m, make_run(m, make_kernel_end(m), 3, buf));
    return m;
}

static void long_rows_need(void **state)
{
    (void)state;
    Case c;
    Make *m = long_rows(true);
    case_of(&c, m, 3);
    needed(&c, "__syncthreads();\n", "", 1);                  /* before totals are read */
    needed(&c, "__syncthreads();\n", "", 2);                  /* before the next level of the tree */
    needed(&c, "__syncthreads();\n", "", 3);                  /* before an element that all read is written */
    needed(&c, "if (lane == 0) totals", "totals", 1);
    needed(&c, "if (lane == 0) bests", "bests", 1);
    needed(&c, "if (threadIdx.x == 0) {", "{", 1);
    needed(&c, "if (i1 < to) {", "{", 1);
    needed(&c, "point < points;", "point < points + 1;", 1);
    case_free(&c);
    m = long_rows(false);
    case_of(&c, m, 3);
    replace(&c.source, "point = u32(blockIdx.x) * 1u + 0u", "point = blockIdx.x == 0 ? 0u : points"); /* one block makes all */
    replace(&c.source, "point += u32(gridDim.x) * 1u", "point += 1u");
    assert_int_equal(case_run(&c, c.source.at, "one block"), 0);
    needed(&c, "__syncthreads();\n", "", 3); /* before the next row's totals take these places */
    case_free(&c);
}

/* ---- a thread per point ------------------------------------------------------------------------------------------- */
/* Where the guard does not hold, nothing is read or written; there are 5 elements and 8 points. */
static Make *guarded(bool load)
{
    Make *m = make_new();
    uint32_t buf[2] = {make_length(m, make_input(m, DT_f32), load ? 5 : 8), make_length(m, make_output(m, DT_f32), load ? 8 : 5)};
    make_kernel(m, 1, (Dim[]){8}, -1, 0, 0, 1, 2);
    make_stage(m, false);
    const int32_t below = make_prim(m, P_lt, DT_bool, make_axis(m, 0), make_const(m, DT_i64, (Scalar){.i = 5}), -1);
    const int32_t x = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){1}, -1, load ? below : -1));
    make_store(m, make_stream(m, 1, DT_f32, 0, (Dim[]){1}, -1, load ? -1 : below), x, false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    return m;
}

/* A sweep that adds to what lies in memory, where its guard holds. */
static Make *fetched(void)
{
    Make *m = make_new();
    uint32_t buf[1] = {make_length(m, make_output(m, DT_f32), 5)};
    make_kernel(m, 2, (Dim[]){1, 8}, 1, 0, 0, 1, 1);
    make_stage(m, true);
    const int32_t below = make_prim(m, P_lt, DT_bool, make_axis(m, 1), make_const(m, DT_i64, (Scalar){.i = 5}), -1);
    const int32_t one = make_const(m, DT_f32, (Scalar){.f = 1});
    const uint32_t s = make_stream(m, 0, DT_f32, 0, (Dim[]){0, 1}, -1, below);
    m->instr.at[below].sweeps = true;
    *VEC_PUSH(&m->arena, &m->instr) = (Instr){.kind = I_FETCH, .type = DT_f32, .sweeps = true, .a = one, .b = -1, .c = -1, .ref = s};
    m->stage.at[0].last = m->instr.len;
    make_step(m, make_run(m, make_kernel_end(m), 1, buf));
    return m;
}

static void points_need(void **state)
{
    (void)state;
    Case c;
    Make *m = guarded(true);
    case_of(&c, m, 0);
    needed(&c, "v2 ? ", "true ? ", 1);
    needed(&c, "point < points;", "point < points + 8;", 1);
    case_free(&c);
    m = guarded(false);
    case_of(&c, m, 0);
    needed(&c, "if (v2) ", "", 1);
    case_free(&c);
    m = fetched();
    case_of(&c, m, 0);
    needed(&c, "if (v2) ", "", 1); /* what is read is not used then: compilers leave it out */
    case_free(&c);
}

/* ---- several points at once --------------------------------------------------------------------------------------- */
/* x[1 + i] + y[3 * i], of 10 points. */
static Make *side_by_side(void)
{
    enum { N = 10 };
    Make *m = make_new();
    uint32_t buf[3] = {make_length(m, make_input(m, DT_f32), N + 1), make_length(m, make_input(m, DT_f32), 3 * N - 2)};
    buf[2] = make_length(m, make_output(m, DT_f32), N);
    make_kernel(m, 1, (Dim[]){N}, -1, 0, 0, 1, 3);
    make_stage(m, false);
    const int32_t x = make_load(m, make_stream(m, 0, DT_f32, 1, (Dim[]){1}, -1, -1));
    const int32_t y = make_load(m, make_stream(m, 1, DT_f32, 0, (Dim[]){3}, -1, -1));
    make_store(m, make_stream(m, 2, DT_f32, 0, (Dim[]){1}, -1, -1), make_prim(m, P_add, DT_f32, x, y, -1), false);
    make_step(m, make_run(m, make_kernel_end(m), 3, buf));
    return m;
}

static void groups_need(void **state)
{
    (void)state;
    Case c;
    Make *m = side_by_side();
    case_of(&c, m, 0);
    needed(&c, "aligned && ", "", 1);
    needed(&c, "if (l >= count) continue;", "", 1);
    needed(&c, "if (l < count) to.at[l]", "to.at[l]", 1);
    needed(&c, "if (l < count) to[l]", "to[l]", 1);
    replace(&c.source, "b0 + (i0 + 1ll)", "b0 + (i0)");
    replace(&c.source, "b0 + 1ll", "b0 + 0ll");
    needed(&c, " && count == 4u", "", 1);
    case_free(&c);
}

/* ---- squares ------------------------------------------------------------------------------------------------------ */
/* x[j, i], of 40 x 90 points. */
static Make *turned(void)
{
    enum { ROWS = 40, COLUMNS = 90 };
    Make *m = make_new();
    uint32_t buf[2] = {make_length(m, make_input(m, DT_f32), ROWS * COLUMNS), make_length(m, make_output(m, DT_f32), ROWS * COLUMNS)};
    make_kernel(m, 2, (Dim[]){ROWS, COLUMNS}, -1, 1, 0, 1, 2);
    m->k.turn = 0;
    make_stage(m, false);
    const int32_t x = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){1, ROWS}, -1, -1));
    make_store(m, make_stream(m, 1, DT_f32, 0, (Dim[]){COLUMNS, 1}, -1, -1), x, false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    return m;
}

static void squares_need(void **state)
{
    (void)state;
    Case c;
    Make *m = turned();
    case_of(&c, m, 2);
    needed(&c, "__syncthreads();\n", "", 1);
    needed(&c, "if (i0 < 40ll && i1 < 90ll) {", "if (i0 < 40ll) {", 1);
    needed(&c, "if (i0 < 40ll && i1 < 90ll) {", "if (i1 < 90ll) {", 1);
    needed(&c, "if (i1 < 90ll && i0 < 40ll) {", "if (i1 < 90ll) {", 1);
    needed(&c, "if (i1 < 90ll && i0 < 40ll) {", "if (i0 < 40ll) {", 1);
    needed(&c, "number < squares;", "number < squares + 1;", 1);
    replace(&c.source, "number = blockIdx.x;", "number = blockIdx.x == 0 ? 0 : squares;"); /* one block makes all */
    replace(&c.source, "number += gridDim.x", "number += 1");
    assert_int_equal(case_run(&c, c.source.at, "one block"), 0);
    needed(&c, "__syncthreads();\n", "", 2); /* before the next square takes this one's place */
    case_free(&c);
}

/* ---- launches ----------------------------------------------------------------------------------------------------- */
/* Two instances of a kernel and one of another, side by side. */
static Make *beside(void)
{
    enum { N = 300 };
    Make *m = make_new();
    uint32_t buf[3][2], kernel[2];
    for (int i = 0; i < 3; i++) buf[i][0] = make_length(m, make_input(m, DT_f32), N);
    for (int i = 0; i < 3; i++) buf[i][1] = make_length(m, make_output(m, DT_f32), N);
    for (int i = 0; i < 2; i++) {
        make_kernel(m, 1, (Dim[]){N}, -1, 0, 0, 1, 2);
        make_stage(m, false);
        const int32_t x = make_load(m, make_stream(m, 0, DT_f32, 0, (Dim[]){1}, -1, -1));
        make_store(m, make_stream(m, 1, DT_f32, 0, (Dim[]){1}, -1, -1), make_prim(m, i ? P_mul : P_add, DT_f32, x, x, -1), false);
        kernel[i] = make_kernel_end(m);
    }
    for (int i = 0; i < 3; i++) {
        Step s = make_run(m, kernel[i / 2], 2, buf[i]);
        s.beside = i > 0;
        make_step(m, s);
    }
    return m;
}

static void launches_need(void **state)
{
    (void)state;
    Case c;
    Make *m = beside();
    case_of(&c, m, 0);
    needed(&c, "at >= 0u && at < 2u", "at >= 0u && at < 3u", 1);
    needed(&c, "at >= 2u && at < 3u", "at < 3u", 1);
    needed(&c, "(at - 0u) / 1u", "(at - 0u) / 2u", 1);
    needed(&c, "point < points;", "point < points + 8;", 1);
    case_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_need),
        cmocka_unit_test(strips_need),
        cmocka_unit_test(tensor_products_need),
        cmocka_unit_test(ends_need),
        cmocka_unit_test(rows_need),
        cmocka_unit_test(long_rows_need),
        cmocka_unit_test(points_need),
        cmocka_unit_test(groups_need),
        cmocka_unit_test(squares_need),
        cmocka_unit_test(launches_need),
    };
    EMU_TESTS(tests);
}
