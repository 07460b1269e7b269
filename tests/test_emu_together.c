/* test_emu_together: cooperative launches of emulated CUDA devices: their blocks run all at once and meet; what they do before and
 * after is judged by that, and launches that a card could not run are refused. */
#include "emu_use.h"

#define PART "const unsigned part = blockIdx.y, t = threadIdx.x;\n"

/* In each column of the grid: a block writes what the next one reads, twice. */
static const char source[] =
    "extern \"C\" __global__ void __launch_bounds__(64) pass(unsigned long long *at, int *x, int *y)\n"
    "{\n    " PART "    __shared__ int all[64];\n    int *row = x + blockIdx.x * gridDim.y * 64;\n"
    "    all[t] = part;\n"
    "    for (int turn = 0; turn < 3; turn++) {\n"
    "        row[part * 64 + t] = turn + part * 64 + t;\n        __threadfence();\n        blocks_meet(at + blockIdx.x, gridDim.y);\n"
    "        __syncthreads();\n"
    "        y[(blockIdx.x * gridDim.y + part) * 64 + t] = row[(part + 1) % gridDim.y * 64 + 63 - t] * 100 + all[63 - t];\n"
    "        __threadfence();\n        blocks_meet(at + blockIdx.x, gridDim.y);\n    }\n}\n";

enum { COLUMNS = 2, PARTS = 4, LANES = 64, ALL = COLUMNS * PARTS * LANES };

typedef struct Use {
    const CudaDriver *d;
    CUfunction f;
    CUdeviceptr at, x, y;
} Use;

static Use use(const char *text)
{
    Use u = {.d = emu_use(0)};
    assert_int_equal(u.d->ModuleGetFunction(&u.f, emu_load(u.d, text), "pass"), 0);
    u.at = emu_memory(u.d, COLUMNS * 8);
    u.x = emu_memory(u.d, ALL * 4), u.y = emu_memory(u.d, ALL * 4);
    return u;
}

static CUresult launch(Use *u, unsigned columns, unsigned parts)
{
    return u->d->LaunchCooperativeKernel(u->f, columns, parts, 1, LANES, 1, 1, 0, NULL, (void *[]){&u->at, &u->x, &u->y});
}

static void blocks_run_all_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 6; seed++) {
        Use u = use(source);
        int out[ALL];
        u.d->MemsetD32Async(u.at, 0, 2 * COLUMNS, NULL);
        if (launch(&u, COLUMNS, PARTS) || u.d->MemcpyDtoH(out, u.y, sizeof out)) fail_msg("%s", emu_fault(0));
        for (int i = 0; i < ALL; i++) {
            const int part = i / LANES % PARTS, t = i % LANES;
            assert_int_equal(out[i], (2 + (part + 1) % PARTS * LANES + 63 - t) * 100 + part);
        }
        emu_reset(0, seed);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    enum { TOO_LARGE = 720, NOT_SUPPORTED = 801 };
    (void)state;
    int n = 0;
    Use u = use(source);
    assert_int_equal(u.d->OccupancyMaxActiveBlocks(&n, u.f, LANES, 0), 0);
    assert_int_equal(n * u.d->together, COLUMNS * PARTS);
    assert_int_equal(launch(&u, COLUMNS, PARTS + 1), TOO_LARGE);
    assert_int_equal(u.d->CtxSynchronize(), 0); /* nothing ran */
    emu_apart(true);
    assert_int_equal(u.d->together, 0);
    assert_int_equal(launch(&u, 1, 1), NOT_SUPPORTED);
    emu_apart(false);
    assert_int_equal(u.d->MemsetD32Async(u.at, 0, 2 * COLUMNS + 1, NULL), INVALID);
}

/* The text with the first of `find` behind `from` replaced ends its launch, with these words in the error. */
static void fails(const char *from, const char *find, const char *by, const char *words)
{
    Text text = {0};
    const char *at = strstr(strstr(source, from), find);
    text_add(&text, source, (size_t)(at - source));
    text_printf(&text, "%s%s", by, at + strlen(find));
    for (int both = 0; both < 2; both++) {
        Use u = use(text.at);
        if (both) emu_reset(0, 7), u = use(text.at);
        assert_int_equal(launch(&u, COLUMNS, PARTS), 0);
        assert_int_equal(u.d->CtxSynchronize(), FAILED);
        if (!strstr(emu_fault(0), words)) fail_msg("%s", emu_fault(0));
    }
    text_free(&text);
}

static void mistakes_are_found(void **state)
{
    (void)state;
    static const char meet[] = "blocks_meet(at + blockIdx.x, gridDim.y);", fence[] = "__threadfence();\n";
    fails("row[part", meet, "", "nothing orders the two");
    fails("y[(", meet, "", "nothing orders the two");
    fails("row[part", fence, "", "no __threadfence orders");
    fails("row[part", meet, "if (part == 0) return; blocks_meet(at + blockIdx.x, gridDim.y);", "for others that never come");
    fails("row[part", meet, "blocks_meet(at, gridDim.y * 2);", "another column");
    Use u = use(source);
    assert_int_equal(u.d->LaunchKernel(u.f, 1, 2, 1, LANES, 1, 1, 0, NULL, (void *[]){&u.at, &u.x, &u.y}, NULL), 0);
    assert_int_equal(u.d->CtxSynchronize(), FAILED);
    if (!strstr(emu_fault(0), "not cooperative")) fail_msg("%s", emu_fault(0));
}

static void one_block_meets_nobody(void **state)
{
    (void)state;
    Use u = use(source);
    assert_int_equal(u.d->LaunchKernel(u.f, 2, 1, 1, LANES, 1, 1, 0, NULL, (void *[]){&u.at, &u.x, &u.y}, NULL), 0);
    if (u.d->CtxSynchronize()) fail_msg("%s", emu_fault(0));
}

static void nodes_of_graphs_may_be_cooperative(void **state)
{
    (void)state;
    Use u = use(source);
    const CudaDriver *d = u.d;
    void *args[] = {&u.at, &u.x, &u.y};
    CUDA_KERNEL_NODE_PARAMS p = {.func = u.f, .gridDimX = COLUMNS, .gridDimY = PARTS, .gridDimZ = 1, .blockDimX = LANES, .blockDimY = 1, .blockDimZ = 1, .kernelParams = args};
    const CUlaunchAttributeValue yes = {.cooperative = 1};
    CUgraph g;
    CUgraphNode n, large;
    CUgraphExec x;
    assert_int_equal(d->GraphCreate(&g, 0) + d->GraphAddKernelNode(&n, g, NULL, 0, &p), 0);
    p.gridDimY = PARTS + 1;
    assert_int_equal(d->GraphAddKernelNode(&large, g, &n, 1, &p), 0);
    assert_int_equal(d->GraphKernelNodeSetAttribute(n, CU_LAUNCH_ATTRIBUTE_COOPERATIVE + 1, &yes), INVALID);
    assert_int_equal(d->GraphKernelNodeSetAttribute(n, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &yes), 0);
    assert_int_equal(d->GraphKernelNodeSetAttribute(large, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &yes), 720);
    assert_int_equal(d->GraphDestroy(g), 0);
    p.gridDimY = PARTS;
    assert_int_equal(d->GraphCreate(&g, 0) + d->GraphAddKernelNode(&n, g, NULL, 0, &p), 0);
    assert_int_equal(d->GraphKernelNodeSetAttribute(n, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &yes), 0);
    assert_int_equal(d->GraphInstantiate(&x, g, 0) + d->GraphLaunch(x, NULL) + d->GraphLaunch(x, NULL), 0);
    if (d->CtxSynchronize()) fail_msg("%s", emu_fault(0));
    assert_int_equal(d->GraphExecDestroy(x) + d->GraphDestroy(g), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_run_all_at_once),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(mistakes_are_found),
        cmocka_unit_test(one_block_meets_nobody),
        cmocka_unit_test(nodes_of_graphs_may_be_cooperative),
    };
    EMU_TESTS(tests);
}
