/* test_cuda: kernels made by hand as CUDA C: every primitive of every type, 16-bit floats, every
 * reduction in every order and form; NVRTC's mistakes; the backend's row where no device is.
 * test_cuda_graph.c has whole graphs. */
#include "cuda_check.h"

#include <math.h>

#include "codegen/cuda/print.h"
#include "codegen/cuda/schedule.h"
#include "kernel_make.h"
#include "prim_cases.h"
#include "random_graph.h"

/* ---- kernels by hand: every primitive of every type ------------------------------------------ */

static void *edges(Arena *a, DType t)
{
    void *all = arena_zeros(a, EDGES, 8);
    prim_edges(t, all);
    return all;
}

/* Axes x, y, z over the edges of the operands: all combinations, or for three operands a part of
 * them. */
static void primitive(Make *m, Prim p, DType t, DType to, const uint32_t *input)
{
    uint32_t args = prim_info[p].args, buf[4];
    int32_t x[3] = {-1, -1, -1};
    Dim extent[3] = {args == 3 ? 8 : 1, args > 1 ? EDGES : 1, EDGES},
        out[3] = {(Dim)EDGES * extent[1], EDGES, 1};
    make_kernel(m, 3, extent, -1, 2, 1, 1, args + 1);
    make_stage(m, false);
    for (uint32_t a = 0; a < args; a++) {
        DType in = p == P_select && a == 0 ? DT_bool : t;
        buf[a] = input[in];
        Dim coef[3] = {a == 2 ? 5 : 0, a == 1, a == 0};
        x[a] = make_load(m, make_stream(m, a, in, 0, coef, -1, -1));
    }
    buf[args] = make_length(m, make_output(m, to), extent[0] * out[0]);
    make_store(
        m, make_stream(m, args, to, 0, out, -1, -1), make_prim(m, p, to, x[0], x[1], x[2]), false);
    make_step(m, make_run(m, make_kernel_end(m), args + 1, buf));
}

static Make *primitives(DType t, void **in)
{
    Make *m = make_new();
    uint32_t input[DT_COUNT];
    for (DType d = DT_NONE + 1; d < DT_COUNT; d++) {
        input[d] = make_length(m, make_input(m, d), EDGES);
        in[input[d]] = edges(&m->arena, d);
    }
    for (Prim p = P_NONE + 1; p < P_COUNT; p++)
        for (DType to = DT_NONE + 1; to < DT_COUNT; to++)
            if (prim_takes(p, t) && prim_gives(p, t, to)) primitive(m, p, t, to, input);
    return m;
}

static void check_made(Make *m, void *const *in, RunFn *run, const char *what)
{
    cuda_agrees(&m->arena, make_program(m), in, NULL, run, what);
}

static void primitives_run(void **state)
{
    NEED_HOST();
    for (DType t = DT_NONE + 1; t < DT_COUNT; t++) {
        void *in[DT_COUNT];
        if (dtype_info[t].compute != t) continue;
        Make *m = primitives(t, in);
        check_made(m, in, cuda_host_run, dtype_info[t].name);
        make_free(m);
    }
}

/* ---- 16-bit floats, libm --------------------------------------------------------------------- */

static void convert(Make *m, uint32_t from, DType to)
{
    const Type *t = &m->p->buf.at[from].type;
    DType in = (DType)t->dtype;
    Dim n = t->dim[0];
    uint32_t buf[2] = {from, make_length(m, make_output(m, to), n)};
    make_kernel(m, 1, (Dim[]){n}, -1, 0, 0, 4, 2);
    make_stage(m, false);
    int32_t x = make_load(m, make_stream(m, 0, in, 0, (Dim[]){1}, -1, -1));
    make_store(m, make_stream(m, 1, to, 0, (Dim[]){1}, -1, -1), x, false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
}

/* All bits of the upper half; then all halves, and what lies just below, on and just above the
 * middle between each and the next. */
static void fill_floats(uint32_t *bits)
{
    for (uint32_t i = 0; i < 65536; i++) {
        float half = (float)dtype_load_f64(DT_f16, &(uint16_t){(uint16_t)i});
        uint32_t at;
        memcpy(&at, &half, 4);
        bits[i] = i * 65537u + (i & 3) * 0x1000u;
        for (uint32_t k = 0; k < 3; k++) bits[65536 * (k + 1) + i] = at + 0xfff + k;
    }
}

static void sixteen_bit_floats(void **state)
{
    NEED_HOST();
    enum { N = 65536 };
    static const DType type[3] = {DT_f16, DT_bf16, DT_f32};
    Make *m = make_new();
    uint16_t *h = arena_alloc(&m->arena, N * sizeof *h);
    uint32_t *f = arena_alloc(&m->arena, 4 * N * sizeof *f);
    void *in[3] = {h, h, f};
    for (uint32_t i = 0; i < N; i++) h[i] = (uint16_t)i;
    fill_floats(f);
    for (int i = 0; i < 3; i++) make_length(m, make_input(m, type[i]), i == 2 ? 4 * N : N);
    convert(m, 0, DT_f32);
    convert(m, 1, DT_f32);
    convert(m, 2, DT_f16);
    convert(m, 2, DT_bf16);
    check_made(m, in, cuda_host_run, "16-bit floats");
    make_free(m);
}

/* ---- sweeps by hand: every reduction, order, form and length --------------------------------- */

static void reduction(Make *m, ReduceKind kind, ReduceOrder order, DType t, Dim rows, Dim n,
    bool along, bool in_order, uint32_t input)
{
    bool arg = kind == R_ARGMAX || kind == R_ARGMIN;
    uint32_t buf[2] = {input, make_length(m, make_output(m, arg ? DT_i64 : t), rows)};
    make_kernel(m, 2, (Dim[]){rows, n}, 1, along ? 1 : 0, 0, 2, 2);
    make_stage(m, true);
    int32_t x =
        make_load(m, make_stream(m, 0, t, 0, (Dim[]){along ? n : 1, along ? 1 : rows}, -1, -1));
    make_reduce(m, kind, order, x);
    if (in_order) make_reduce(m, R_SUM, ORDER_INDEX, x); /* a block's warps cannot share such a row out */
    make_stage(m, false);
    int32_t r = make_reduced(m, m->reduction.len - 1 - in_order);
    make_store(m, make_stream(m, 1, arg ? DT_i64 : t, 0, (Dim[]){1, 0}, -1, -1), r, false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
}

static void reductions(Make *m, DType t, void **in)
{
    static const int64_t lengths[] = {0, 1, 5, 31, 32, 33, 100, 1025, 4096, 4097, 8300, 23000};
    for (size_t l = 0; l < COUNT_OF(lengths); l++) {
        int64_t n = lengths[l], rows = n > 1000 ? 2 : 9;
        uint32_t input = make_length(m, make_input(m, t), n * rows);
        in[input] = cuda_spread(&m->arena, t, (size_t)(n * rows));
    }
    for (size_t l = 0; l < COUNT_OF(lengths); l++)
        for (int kind = R_SUM; kind <= R_ARGMIN; kind++)
            for (int order = ORDER_INDEX; order <= ORDER_LANES; order++)
                for (int along = 0; along < 2; along++) {
                    int64_t n = lengths[l], rows = n > 1000 ? 2 : 9;
                    if ((t != DT_f32 || kind > R_PROD) && n != 5 && n != 33 && n != 4097) continue;
                    for (int in_order = along && n > 1000 ? 0 : 1; in_order < 2; in_order++)
                        reduction(m, (ReduceKind)kind, (ReduceOrder)order, t, rows, n, along, in_order, (uint32_t)l);
                }
}

static void reductions_run(void **state)
{
    NEED_HOST();
    static const DType type[] = {DT_f32, DT_i64, DT_u8, DT_f64};
    for (size_t i = 0; i < COUNT_OF(type); i++) {
        void *in[16];
        Make *m = make_new();
        reductions(m, type[i], in);
        check_made(m, in, cuda_host_run, dtype_info[type[i]].name);
        make_free(m);
    }
}

/* ---- products ------------------------------------------------------------------------------- */

static bool chains = true; /* of products that are made: as on the CPU, whose model compares bits */

static void product(Make *m, DType t, Dim batch, Dim rows, Dim columns, Dim k, bool turned, void **in)
{
    uint32_t a = make_length(m, make_input(m, t), batch * rows * k);
    uint32_t b = make_length(m, make_input(m, t), batch * k * columns);
    in[a] = cuda_spread(&m->arena, t, (size_t)(batch * rows * k));
    in[b] = cuda_spread(&m->arena, t, (size_t)(batch * k * columns));
    Step s = {.kind = STEP_CONTRACT};
    s.contract.type = (uint8_t)t;
    s.contract.to = t == DT_i8 || t == DT_u8 || t == DT_i16 ? DT_i32 : (uint8_t)t;
    s.contract.sums = chains ? SUMS_CHAINS : SUMS_USUAL;
    s.contract.nbatch = 1;
    s.contract.batch[0] = batch, s.contract.m = rows, s.contract.n = columns, s.contract.k = k;
    s.contract.a_batch[0] = rows * k, s.contract.b_batch[0] = k * columns;
    s.contract.a_row = strides_one(turned ? 1 : k), s.contract.a_col = strides_one(turned ? rows : 1);
    s.contract.b_row = strides_one(turned ? 1 : columns), s.contract.b_col = strides_one(turned ? k : 1);
    s.contract.a = a, s.contract.b = b;
    make_step(m, s);
}

/* Outputs come after all inputs. */
static Make *products(void **in)
{
    static const DType type[] = {DT_f32, DT_f64, DT_f16, DT_bf16, DT_f8_e4m3, DT_f8_e5m2, DT_i32, DT_u8, DT_i64, DT_i8, DT_i16, DT_u64};
    Make *m = make_new();
    for (uint32_t i = 0; i < COUNT_OF(type); i++) product(m, type[i], 2, 70, 65, 33, i & 1, in);
    product(m, DT_f32, 1, 3, 129, 16, true, in);
    product(m, DT_f32, 2, 136, 140, 133, false, in); /* every plan that there is (codegen/cuda/schedule.c) */
    product(m, DT_f32, 1, 140, 132, 20, true, in);
    product(m, DT_f32, 1, 9, 72, 40, true, in);
    product(m, DT_bf16, 1, 20, 72, 40, false, in);
    product(m, DT_f64, 1, 70, 13, 20, false, in);
    product(m, DT_u32, 1, 67, 3, 70, true, in);
    product(m, DT_f32, 1, 20, 20, 2 * 8192 + 7, false, in);
    product(m, DT_f32, 1, 3, 5, 129, false, in);
    product(m, DT_f64, 1, 2, 3, 3 * 8192 + 5, true, in);
    product(m, DT_f32, 3, 5, 4, 0, false, in);
    product(m, DT_f32, 0, 5, 4, 2, false, in);
    product(m, DT_f32, 2, 0, 4, 2, false, in);
    product(m, DT_f32, 1, 1, 1, 1, false, in); /* -0 by underflow: padding k with zeros shows */
    *(float *)in[m->p->ninput - 2] = -1e-30f;
    *(float *)in[m->p->ninput - 1] = 1e-30f;
    for (uint32_t i = 0; i < m->step.len; i++) {
        Step *s = &m->step.at[i];
        Dim n = s->contract.batch[0] * s->contract.m * s->contract.n;
        s->contract.c = make_length(m, make_output(m, (DType)s->contract.to), n);
    }
    return m;
}

/* Windows as rows and as columns, of either operand, with and without elements that lie side by side; sizes that only a call knows. */
static Make *digits(bool symbols, void **in)
{
    enum { CELLS = 7000 };
    static const struct Read {
        DType t;
        int64_t m, n, k;
        Strides a_row, a_col, b_row, b_col;
    } read[] = {
        {DT_f32, 126, 35, 54, {3, {0, 7, 9}, {594, 66, 6}}, {2, {0, 18}, {66, 1}}, {1, {0}, {35}}, {1, {0}, {1}}},
        {DT_bf16, 63, 17, 18, {3, {0, 3, 3}, {700, 44, 4}}, {3, {0, 3, 2}, {22, 4, 2}}, {1, {0}, {17}}, {1, {0}, {1}}},
        {DT_f64, 54, 35, 315, {2, {0, 18}, {66, 1}}, {3, {0, 7, 9}, {594, 66, 6}}, {1, {0}, {1}}, {1, {0}, {19}}},
        {DT_i8, 30, 126, 54, {1, {0}, {54}}, {1, {0}, {1}}, {2, {0, 18}, {66, 1}}, {3, {0, 7, 9}, {594, 66, 6}}},
        {DT_f32, 30, 54, 315, {1, {0}, {15}}, {1, {0}, {2}}, {3, {0, 7, 9}, {594, 66, 6}}, {2, {0, 18}, {66, 1}}},
        {DT_f32, 36, 16, 27, {4, {0, 3, 2, 2}, {900, 90, 18, 2}}, {4, {0, 3, 3, 1}, {90, 18, 2, 0}}, {1, {0}, {16}}, {1, {0}, {1}}},
    };
    Make *m = make_new();
    for (uint32_t i = 0; i < COUNT_OF(read); i++)
        for (uint32_t j = 0; j < 2; j++) {
            const uint32_t buf = make_length(m, make_input(m, read[i].t), CELLS);
            in[buf] = cuda_spread(&m->arena, read[i].t, CELLS);
        }
    for (uint32_t i = 0; i < COUNT_OF(read); i++) {
        const struct Read *x = &read[i];
        Step s = {.kind = STEP_CONTRACT};
        s.contract.type = s.contract.b_type = (uint8_t)x->t;
        s.contract.to = x->t == DT_i8 ? DT_i32 : (uint8_t)x->t;
        s.contract.m = x->m, s.contract.n = x->n, s.contract.k = x->k;
        s.contract.sums = chains ? SUMS_CHAINS : SUMS_USUAL;
        s.contract.a_row = x->a_row, s.contract.a_col = x->a_col, s.contract.b_row = x->b_row, s.contract.b_col = x->b_col;
        Strides *all[] = {&s.contract.a_row, &s.contract.b_row, &s.contract.b_col};
        for (uint32_t j = 0; symbols && j < COUNT_OF(all); j++)
            if (all[j]->n > 1 && all[j]->extent[1] == 7) all[j]->extent[1] = make_symbol(m, arena_printf(&m->arena, "S%u_%u", i, j), 1, 9);
        s.contract.a = 2 * i, s.contract.b = 2 * i + 1;
        s.contract.c = make_length(m, make_output(m, (DType)s.contract.to), x->m * x->n);
        make_step(m, s);
    }
    return m;
}

static void digits_run(void **state)
{
    NEED_HOST();
    void *in[16];
    Make *m = digits(false, in);
    check_made(m, in, cuda_host_run, "digits");
    make_free(m);
    m = digits(true, in);
    cuda_agrees(&m->arena, make_program(m), in, (int64_t[]){7, 7, 7, 7, 7, 7}, cuda_host_run, "digits and symbols");
    make_free(m);
}

static void products_run(void **state)
{
    NEED_HOST();
    void *in[64];
    const int64_t large = product_large, grid = cuda_grid_most;
    for (int few = 0; few < 2; few++) { /* with small products as large ones, whose tiles one block makes */
        product_large = few ? 1 : large;
        cuda_grid_most = few ? 1 : grid;
        Make *m = products(in);
        check_made(m, in, cuda_host_run, "products");
        make_free(m);
    }
    product_large = large;
    cuda_grid_most = grid;
}

/* ---- NVRTC ----------------------------------------------------------------------------------- */

static void primitives_compile(void **state)
{
    NEED_NVRTC();
    for (DType t = DT_NONE + 1; t < DT_COUNT; t++) {
        void *in[DT_COUNT];
        if (dtype_info[t].compute != t) continue;
        Make *m = primitives(t, in);
        cuda_compiles(make_program(m));
        make_free(m);
    }
}

static void other_kernels_compile(void **state)
{
    NEED_NVRTC();
    void *in[64];
    Make *m = make_new();
    reductions(m, DT_f32, in);
    cuda_compiles(make_program(m));
    make_free(m);
    m = products(in);
    product_large = 1;
    if (getenv("KILN_TEST_FULL")) cuda_compiles(make_program(m)); /* else as a binary alone: these are the most text of all */
    cuda_program_fits(make_program(m));
    product_large = 1 << 20;
    make_free(m);
    m = digits(false, in);
    cuda_compiles(make_program(m));
    make_free(m);
}

static void a_mistake_is_reported_with_the_log(void **state)
{
    NEED_NVRTC();
    Status st = {0};
    Text out = {0}, log = {0};
    assert_false(cuda_compile(
        "extern \"C\" __global__ void f() { nobody(); }", "wrong", 80, false, &out, &log, &st));
    assert_int_equal(st.code, ST_INTERNAL);
    assert_non_null(strstr(st.text, "wrong.cu"));
    assert_non_null(strstr(st.text, "nobody"));
    assert_non_null(strstr(log.at, "nobody"));
    assert_int_equal(out.len, 0);
    text_free(&log);
    Status binary = {0};
    assert_true(cuda_compile(
        "extern \"C\" __global__ void f() {}", "right", 90, true, &out, NULL, &binary));
    assert_memory_equal(out.at, "\177ELF", 4);
    text_free(&out);
}

/* ---- the backend's row ----------------------------------------------------------------------- */

static void absent_is_said(void **state)
{
    (void)state;
    Status st = {0};
    Target t;
    char line[600];
    cuda_backend()->describe(line, sizeof line);
    print_message("%s\n", line);
    if (cuda_driver(0, &st) != NULL) SKIP("there is a device");
    assert_int_equal(st.code, ST_DEVICE);
    assert_non_null(strstr(st.text, "cuda: "));
    assert_false(cuda_backend()->target(NULL, &t, &(Status){0}));
    assert_null(cuda_backend()->entry);
}

static void dump(void *user, const char *stage, const char *name, const char *text, size_t len)
{
    (void)name;
    assert_int_equal(strlen(text), len);
    strcat(user, stage);
    strcat(user, " ");
}

/* What was asked for is dumped even where nothing can run. */
static void dumps_without_a_device(void **state)
{
    NEED_NVRTC();
    void *in[DT_COUNT];
    char stages[64] = "";
    Status st = {0};
    Make *m = primitives(DT_bool, in);
    Compiled *c = cuda_backend()->compile(make_program(m),
        &(CompileOptions){.dump = dump, .dump_user = stages, .want = "ir,cuda,ptx"}, &st);
    assert_string_equal(stages, "cuda ptx ");
    if (cuda_driver(0, &(Status){0}) == NULL) {
        assert_null(c);
        assert_int_equal(st.code, ST_DEVICE);
    }
    cuda_backend()->release(c);
    make_free(m);
}

static void device_agrees(void **state)
{
    Status st = {0};
    (void)state;
    if (cuda_driver(0, &st) == NULL) SKIP("%s", st.text);
    NEED_NVRTC();
    for (DType t = DT_NONE + 1; t < DT_COUNT; t++) {
        void *in[DT_COUNT];
        if (dtype_info[t].compute != t) continue;
        Make *m = primitives(t, in);
        check_made(m, in, cuda_device_run, dtype_info[t].name);
        make_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_said),
        cmocka_unit_test(primitives_compile),
        cmocka_unit_test(other_kernels_compile),
        cmocka_unit_test(a_mistake_is_reported_with_the_log),
        cmocka_unit_test(dumps_without_a_device),
        cmocka_unit_test(primitives_run),
        cmocka_unit_test(sixteen_bit_floats),
        cmocka_unit_test(reductions_run),
        cmocka_unit_test(products_run),
        cmocka_unit_test(digits_run),
        cmocka_unit_test(device_agrees),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
