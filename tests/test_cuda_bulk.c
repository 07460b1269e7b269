/* test_cuda_bulk: products of f16 and bf16 whose operands come by tensor maps (codegen/cuda/maps.h), on an emulated device of compute
 * capability 9.0: with the bits that they have when threads copy them, launched and recorded, whatever lies where; how many boxes are
 * copied, and that none is where no map tells of an operand. Fences, barriers and bytes that are expected are each missed. */
#include "cuda_check.h"
#include "mutant.h"

#include "codegen/cuda/maps.h"
#include "codegen/cuda/print.h"

static int opened(void **state)
{
    (void)state;
    record_least = 1;
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

/* ---- products ------------------------------------------------------------------------------------------------------- */
enum { BATCHES = 4 };
typedef struct Operand { /* lines of elements that lie side by side: along k, else along the rows (columns) */
    bool along;
    Dim far, base, batch[BATCHES]; /* how far lines lie apart, where it begins, how far batches lie apart */
} Operand;
typedef struct Product {
    DType t;
    uint32_t nbatch;
    Dim batch[BATCHES], m, n, k;
    Operand a, b;
    Dim length[2]; /* elements of both buffers */
    bool ends;     /* a kernel in its place: twice its elements */
} Product;

static void add_end(Make *m, const Product *x, Dim rows)
{
    const uint32_t buf[2] = {m->step.at[0].contract.c, make_length(m, make_output(m, x->t), rows * x->n)};
    make_kernel(m, 2, (Dim[]){rows, x->n}, -1, 1, 0, 1, 2);
    make_stage(m, false);
    const int32_t v = make_load(m, make_stream(m, 0, x->t, 0, (Dim[]){x->n, 1}, -1, -1));
    make_store(m, make_stream(m, 1, x->t, 0, (Dim[]){x->n, 1}, -1, -1), make_prim(m, P_add, DT_f32, v, v, -1), false);
    make_step(m, make_run(m, make_kernel_end(m), 2, buf));
    m->step.at[0].contract.ended = true;
    m->step.at[1].ends = true;
}

/* In `to`, if it is given, which may have symbols. */
static Make *make_of(const Product *x, Make *to)
{
    Make *m = to ? to : make_new();
    Step s = {.kind = STEP_CONTRACT};
    Dim rows = dim_is_const(x->m) ? x->m : 256;
    s.contract.type = s.contract.b_type = s.contract.to = (uint8_t)x->t;
    s.contract.nbatch = x->nbatch;
    s.contract.sums = SUMS_TF32;
    s.contract.m = x->m, s.contract.n = x->n, s.contract.k = x->k;
    for (uint32_t i = 0; i < x->nbatch; i++) {
        s.contract.batch[i] = x->batch[i], s.contract.a_batch[i] = x->a.batch[i], s.contract.b_batch[i] = x->b.batch[i];
        rows *= x->batch[i];
    }
    s.contract.a_row = strides_one(x->a.along ? x->a.far : 1), s.contract.a_col = strides_one(x->a.along ? 1 : x->a.far);
    s.contract.b_col = strides_one(x->b.along ? x->b.far : 1), s.contract.b_row = strides_one(x->b.along ? 1 : x->b.far);
    s.contract.a_base = x->a.base, s.contract.b_base = x->b.base;
    s.contract.a = make_length(m, make_input(m, x->t), x->length[0]), s.contract.b = make_length(m, make_input(m, x->t), x->length[1]);
    s.contract.c = make_length(m, make_output(m, x->t), rows * (dim_is_const(x->n) ? x->n : 256));
    make_step(m, s);
    if (x->ends) add_end(m, x, rows);
    return m;
}

/* ---- running them --------------------------------------------------------------------------------------------------- */
typedef struct Code {
    Make *m;
    const Program *p;
    Compiled *c;
    Text source;
} Code;

static Code code_of(Make *m, bool graph)
{
    Status st = {0};
    const CudaDriver *d = emu_driver(0, &st);
    Code c = {.m = m, .p = make_program(m)};
    Text image = {0};
    if (!(graph ? cuda_graph_text : cuda_program_text)(c.p, cuda_sm(d), &c.source, &st) || !d->build(d, c.source.at, "bulk", &image, &st) ||
        !(c.c = (graph ? cuda_load_graph : cuda_load)(c.p, d, image.at, image.len, &st)))
        fail_msg("%s", st.text);
    text_free(&image);
    return c;
}

static void code_free(Code *c)
{
    cuda_release(c->c);
    text_free(&c->source);
    make_free(c->m);
}

static bool put(CudaQueue *q, CUdeviceptr to, const void *from, size_t bytes, Status *st)
{
    return cuda_ok(q->driver, q->driver->MemcpyHtoD(to, from, bytes), st, "copying in");
}

static uint64_t boxes; /* that the last run has copied */

/* Elements of the last output, with each buffer `shift` elements behind an address of the device. False: st. */
static bool run_at(const Code *c, const int64_t *symbol, int shift, LaunchCounts *counts, uint16_t *out, Status *st)
{
    const Program *p = c->p;
    const CudaDriver *d = c->c->driver;
    const uint32_t n = p->ninput + p->noutput;
    CUcontext old;
    CUdeviceptr block[8] = {0}, at[8];
    CudaQueue q = {.driver = d, .put = put};
    if (!cuda_ok(d, d->CtxPushCurrent(d->context), st, "entering")) return false;
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        const int64_t length = p->buf.at[i].type.dim[0];
        ok = cuda_ok(d, d->MemAlloc(&block[i], (size_t)(length + shift) * 2 + 2), st, "taking memory");
        at[i] = block[i] + 2 * (CUdeviceptr)shift;
        uint16_t *all = calloc((size_t)length + 1, 2);
        for (int64_t e = 0; e < length && i < p->ninput; e++)
            dtype_store_f64((DType)p->buf.at[i].type.dtype, all + e, (double)((e * 7919 + i * 31) % 61 - 30) / 32);
        ok = ok && (length == 0 || put(&q, at[i], all, (size_t)length * 2, st));
        free(all);
    }
    const uint64_t before = emu_boxes(0);
    const CudaCall call = {.buf = (void *const *)(uintptr_t)at, .dim = symbol, .counts = counts};
    ok = ok && cuda_run(c->c, &q, &call, st) == 0;
    ok = cuda_ok(d, d->StreamSynchronize(NULL), st, "waiting") && ok;
    boxes = emu_boxes(0) - before;
    const size_t bytes = (size_t)p->buf.at[n - 1].type.dim[0] * 2;
    ok = ok && (bytes == 0 || cuda_ok(d, d->MemcpyDtoH(out, at[n - 1], bytes), st, "copying out"));
    for (uint32_t i = 0; i < n; i++)
        if (block[i] && d->MemFree(block[i]) != 0) d->MemFree(block[i]);
    d->CtxPopCurrent(&old);
    return ok;
}

static uint16_t *runs(const Code *c, const int64_t *symbol, int shift, const char *what)
{
    Status st = {0};
    const size_t n = (size_t)c->p->buf.at[c->p->ninput + c->p->noutput - 1].type.dim[0];
    uint16_t *out = calloc(n + 1, 2);
    if (!run_at(c, symbol, shift, NULL, out, &st)) fail_msg("%s: %s\n%s", what, st.text, c->source.at);
    return out;
}

static void same(const Code *c, uint16_t *got, const uint16_t *want, const char *what)
{
    const size_t n = (size_t)c->p->buf.at[c->p->ninput + c->p->noutput - 1].type.dim[0];
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i]) fail_msg("%s: element %zu of %zu is %04x, not %04x", what, i, n, got[i], want[i]);
    free(got);
}

/* How many boxes the product takes where both operands have maps. */
static uint64_t boxes_of(const Code *c, const int64_t *symbol)
{
    const Step *s = c->p->step;
    const ProductPlan *plan = product_plan(c->p, s, CUDA_SM_90A);
    OperandMap map[2];
    if (!product_maps(c->p, s, plan, map)) return 0;
    const int64_t k = program_size(c->p, s->contract.k, symbol), steps = (k + plan->deep - 1) / plan->deep;
    uint64_t each = 0;
    for (int i = 0; i < 2; i++) each += (plan->deep * (i ? plan->columns : plan->rows)) / (map[i].box[0] * map[i].box[1]);
    return (uint64_t)(cuda_product_blocks(c->c, s, symbol) * steps) * each;
}

/* By maps, and not, launched and recorded. some: whether maps tell of its operands. */
static void agree(const Product *x, bool some, const char *what)
{
    Code c = code_of(make_of(x, NULL), false);
    uint16_t *got = runs(&c, NULL, 0, what);
    if (boxes != (some ? boxes_of(&c, NULL) : 0) || (boxes > 0) != some) fail_msg("%s: %llu boxes", what, (unsigned long long)boxes);
    emu_version(11080); /* a driver without maps */
    uint16_t *want = runs(&c, NULL, 0, what);
    emu_version(EMU_NEWEST);
    assert_int_equal(boxes, 0);
    same(&c, got, want, what);
    same(&c, runs(&c, NULL, 1, what), want, "where no map can begin");
    assert_int_equal(boxes, 0);
    code_free(&c);
    c = code_of(make_of(x, NULL), true);
    for (int i = 0; i < 3; i++) {
        same(&c, runs(&c, NULL, i == 1, what), want, "recorded");
        assert_int_equal(boxes, some && i != 1 ? boxes_of(&c, NULL) : 0);
    }
    free(want);
    code_free(&c);
}

static void layouts_have_the_same_bits(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) SKIP("no C++ compiler to run printed kernels on the host");
    static const struct {
        const char *what;
        bool large;
        Product x;
    } all[] = {
        {"both along k, ends everywhere", false, {DT_f16, 1, {2}, 130, 70, 104, {true, 104, 0, {13520}}, {true, 104, 0, {7280}}, {27040, 14560}, false}},
        {"both along rows, ends everywhere", false, {DT_bf16, 1, {2}, 130, 70, 77, {false, 136, 0, {10472}}, {false, 72, 0, {5544}}, {20944, 11088}, false}},
        {"large, a along rows", true, {DT_bf16, 1, {1}, 136, 140, 100, {false, 136, 0, {0}}, {true, 104, 0, {0}}, {13600, 14560}, false}},
        {"large, b along rows, with an end", true, {DT_f16, 1, {2}, 140, 136, 72, {true, 72, 0, {10080}}, {false, 136, 0, {9792}}, {20160, 19584}, true}},
        {"few columns", false, {DT_f16, 1, {1}, 150, 13, 72, {true, 72, 0, {0}}, {false, 16, 0, {0}}, {10800, 1152}, false}},
        {"runs of k", false, {DT_bf16, 1, {1}, 5, 9, 8192 + 70, {false, 8, 0, {0}}, {true, 8264, 0, {0}}, {66096, 74376}, false}},
        {"bases, lines apart", false, {DT_f16, 1, {2}, 20, 24, 40, {true, 48, 16, {1000}}, {false, 40, 8, {1608}}, {2100, 3300}, false}},
        {"three axes of batches, some broadcast", false,
            {DT_f16, 3, {2, 3, 2}, 10, 16, 32, {true, 32, 0, {960, 320, 0}}, {false, 16, 0, {0, 512, 1536}}, {1920, 3072}, false}},
        {"batches that lie between lines", false, {DT_f16, 1, {3}, 10, 16, 32, {true, 96, 0, {32}}, {false, 48, 0, {16}}, {960, 1536}, false}},
        {"one row of a line that lies anywhere", false, {DT_f16, 1, {1}, 1, 16, 40, {true, 3, 0, {5}}, {false, 16, 0, {7}}, {40, 640}, false}},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (getenv("KILN_TEST_FULL") == NULL && (i == 2 || i == 4 || i == 5 || i > 7)) continue; /* each takes several seconds */
        product_large = all[i].large ? 1 : 1 << 20;
        cuda_grid_most = i % 2 ? 1 : CUDA_GRID; /* a block makes all tiles */
        agree(&all[i].x, true, all[i].what);
    }
}

static void other_layouts_are_copied_by_threads(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) SKIP("no C++ compiler to run printed kernels on the host");
    static const struct {
        const char *what;
        Product x;
    } all[] = {
        {"lines at no multiple of 16 bytes", {DT_f16, 1, {1}, 20, 16, 33, {true, 33, 0, {0}}, {false, 16, 0, {0}}, {660, 528}, false}},
        {"a base at no multiple of 16 bytes", {DT_f16, 1, {1}, 20, 16, 32, {true, 32, 4, {0}}, {false, 16, 0, {0}}, {650, 512}, false}},
        {"lines that overlap", {DT_f16, 1, {1}, 20, 16, 32, {true, 8, 0, {0}}, {false, 16, 0, {0}}, {192, 512}, false}},
        {"rows that are one", {DT_f16, 1, {1}, 20, 16, 32, {true, 0, 0, {0}}, {false, 16, 0, {0}}, {32, 512}, false}},
        {"more axes than a map has", {DT_f16, 4, {2, 2, 2, 2}, 5, 8, 16, {true, 16, 0, {80, 160, 320, 640}}, {false, 8, 0, {0, 0, 0, 128}}, {1280, 256}, false}},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) agree(&all[i].x, false, all[i].what);
}

/* One program, whose sizes and strides are told at each call: maps tell of some. */
static void symbols_may_be_told_of(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) SKIP("no C++ compiler to run printed kernels on the host");
    for (int graph = 0; graph < 2; graph++) {
        Make *m = make_new();
        const Dim rows = make_dim(m, make_symbol(m, "M", 1, 256)), columns = make_dim(m, make_symbol(m, "N", 1, 256)), k = make_dim(m, make_symbol(m, "K", 1, 256));
        Product x = {DT_f16, 1, {1}, rows, columns, k, {true, k, 0, {0}}, {false, columns, 0, {0}}, {1 << 16, 1 << 16}, false};
        Code c = code_of(make_of(&x, m), graph);
        static const int64_t size[][3] = {{130, 72, 40}, {1, 8, 8}, {77, 80, 64}, {130, 72, 41}, {130, 70, 40}, {3, 200, 256}};
        for (size_t i = 0; i < COUNT_OF(size); i++) {
            uint16_t *got = runs(&c, size[i], 0, "symbols");
            assert_int_equal(boxes, size[i][1] % 8 || size[i][2] % 8 ? 0 : boxes_of(&c, size[i]));
            if (i == 0) assert_true(boxes > 0);
            uint16_t *want = runs(&c, size[i], 3, "symbols");
            assert_int_equal(boxes, 0);
            same(&c, got, want, "symbols");
            free(want);
        }
        code_free(&c);
    }
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------------- */
static const Product small = {DT_f16, 1, {1}, 20, 24, 40, {true, 40, 0, {0}}, {false, 24, 0, {0}}, {800, 960}, false};

/* Each call of the driver fails once: the run says so, or does without maps, and the next one is whole. */
static void failing_calls_lose_nothing(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) SKIP("no C++ compiler to run printed kernels on the host");
    for (int graph = 0; graph < 2; graph++) {
        Code c = code_of(make_of(&small, NULL), graph);
        uint16_t *want = runs(&c, NULL, 0, "whole"), got[512];
        int without = 0, failed = 0;
        for (int kind = 0; kind < 2; kind++)
            for (uint64_t n = 1;; n++) {
                Status st = {0};
                if (graph) cuda_recordings_free(c.c), c.c->recordings = cuda_recordings();
                const uint64_t called = emu_called(0);
                emu_fail(0, n, kind ? 999 : INVALID);
                const bool ok = run_at(&c, NULL, 0, NULL, got, &st);
                const bool last = emu_called(0) - called < n;
                emu_fail(0, 0, 0);
                failed += !ok;
                if (ok) assert_memory_equal(got, want, 20 * 24 * 2);
                without += ok && boxes == 0;
                if (ok && boxes == 0) assert_int_equal(kind, 0); /* a driver that refuses a map; other errors are errors */
                same(&c, runs(&c, NULL, 0, "the next one"), want, "the next one");
                if (last) break;
            }
        assert_int_equal(without, 2); /* each of both maps */
        assert_true(failed > 10);
        free(want);
        code_free(&c);
    }
}

static void each_is_needed(void **state)
{
    (void)state;
    if (!cuda_host_compiles()) SKIP("no C++ compiler to run printed kernels on the host");
    static const Product tiles = {DT_f16, 1, {1}, 136, 8, 170, {true, 176, 0, {0}}, {false, 8, 0, {0}}, {23936, 1360}, true};
    Case c = {.m = make_of(&tiles, NULL)};
    cuda_grid_most = 1; /* a block makes several tiles */
    case_open(&c);
    case_runs(&c);
    needed(&c, "for (u32 i = 0; i < STAGES; i++) barrier_make(full + i, 1);", "", 1);
    needed(&c, "            barriers_made();\n", "", 1);
    needed(&c, "        }\n        __syncthreads();\n    }\n    template <typename L", "        }\n    }\n    template <typename L", 1);
    needed(&c, "        barrier_expect(full + place, (Left::ALL + Right::ALL) * 16);\n", "", 1);
    needed(&c, "(Left::ALL + Right::ALL) * 16", "(Left::ALL + Right::ALL) * 8", 1);
    needed(&c, "            bulk.wait(u32(step) % STAGES);\n", "", 1);
    needed(&c, "        phases ^= 1u << place;\n", "", 1);
    needed(&c, "        if (threadIdx.x != 0) return;\n", "", 1);
    needed(&c, "        if (bulk.on) Unit::written(); /* copies of the next tile come by another way */\n", "", 1);
    needed(&c, "            Unit::written();\n        }\n        __syncthreads();\n", "            Unit::written();\n        }\n", 1);
    case_free(&c);
    c = (Case){.m = make_of(&small, NULL), .graph = true};
    case_open(&c);
    case_runs(&c);
    needed(&c, "            if (IN_MEMORY) map_taken(&maps->a), map_taken(&maps->b);\n", "            if (IN_MEMORY) map_taken(&maps->a);\n", 1);
    needed(&c, "            if (IN_MEMORY) map_taken(&maps->a), map_taken(&maps->b);\n", "            if (IN_MEMORY) map_taken(&maps->b);\n", 1);
    needed(&c, "    maps_moved();\n}\n", "}\n", 1);
    needed(&c, "        if (KILN_MAPS_MOVE && at % 16 == 0) map_move((Map *)all[i].map, at);\n", "", 1);
    case_free(&c);
    static const Product square = {DT_f16, 1, {1}, 20, 20, 40, {true, 40, 0, {0}}, {true, 40, 0, {0}}, {800, 800}, false};
    c = (Case){.m = make_of(&square, NULL), .graph = true};
    c.m->step.at[0].contract.a = 1, c.m->step.at[0].contract.b = 0; /* other threads write addresses than read them */
    case_open(&c);
    case_runs(&c);
    needed(&c, "    __syncthreads();\n    if (to != 0) move_maps", "    if (to != 0) move_maps", 1);
    case_free(&c);
    cuda_grid_most = CUDA_GRID;
}

static void they_compile(void **state)
{
    NEED_NVRTC();
    static const Product x = {DT_f16, 3, {2, 3, 2}, 140, 136, 72, {true, 72, 0, {60480, 10080, 0}}, {false, 136, 0, {0, 9792, 29376}}, {120960, 58752}, true};
    const bool full = getenv("KILN_TEST_FULL") != NULL; /* else the large tile launched, and the other recorded */
    for (int large = 0; large < 2; large++) {
        Status st = {0};
        Text text = {0};
        Make *m = make_of(&x, NULL);
        product_large = large ? 1 : 1 << 20;
        if (full) cuda_compiles_for(make_program(m), CUDA_SM_90A);
        if (full || large) cuda_program_fits_for(make_program(m), CUDA_SM_90A);
        assert_true(cuda_graph_text(make_program(m), CUDA_SM_90A, &text, &st));
        if (full) cuda_source_compiles(text.at, "recorded");
        if (full || !large) cuda_fits_registers(text.at, "recorded");
        text_free(&text);
        make_free(m);
    }
    product_large = 1 << 20;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layouts_have_the_same_bits, opened, closed),
        cmocka_unit_test_setup_teardown(other_layouts_are_copied_by_threads, opened, closed),
        cmocka_unit_test_setup_teardown(symbols_may_be_told_of, opened, closed),
        cmocka_unit_test_setup_teardown(failing_calls_lose_nothing, opened, closed),
        cmocka_unit_test_setup_teardown(each_is_needed, opened, closed),
        cmocka_unit_test(they_compile),
    };
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
