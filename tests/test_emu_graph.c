/* test_emu_graph: graphs of emulated CUDA devices at their table of functions: nodes and their order, arguments that are set anew,
 * conditional nodes, what is refused, and drivers that have less. */
#include "emu_use.h"

static const char source[] = "extern \"C\" __device__ void cudaGraphSetConditional(unsigned long long handle, unsigned value);\n"
                             "extern \"C\" __global__ void add(float *x, float y) { x[threadIdx.x] += y; }\n"
                             "extern \"C\" __global__ void scale(float *x, float y) { x[threadIdx.x] *= y; }\n"
                             "extern \"C\" __global__ void below(const float *x, float y, unsigned long long handle)\n"
                             "{ cudaGraphSetConditional(handle, *x < y); }\n";

typedef struct Use {
    const CudaDriver *d;
    CUfunction add, scale, below;
    CUdeviceptr x;
} Use;

enum { N = 4 };

static Use use(uint64_t seed)
{
    Use u = {.d = emu_use(0)};
    emu_reset(0, seed);
    CUmodule m = emu_load(u.d, source);
    assert_int_equal(u.d->ModuleGetFunction(&u.add, m, "add") + u.d->ModuleGetFunction(&u.scale, m, "scale") +
                         u.d->ModuleGetFunction(&u.below, m, "below"),
        0);
    u.x = emu_memory(u.d, N * sizeof(float));
    return u;
}

static void set(const Use *u, float to)
{
    const float all[N] = {to, to, to, to};
    assert_int_equal(u->d->MemcpyHtoD(u->x, all, sizeof all), 0);
}

static float got(const Use *u)
{
    float all[N];
    assert_int_equal(u->d->CtxSynchronize(), 0);
    assert_int_equal(u->d->MemcpyDtoH(all, u->x, sizeof all), 0);
    for (int i = 1; i < N; i++) assert_true(all[i] == all[0]);
    return all[0];
}

static CUDA_KERNEL_NODE_PARAMS params_of(const CudaDriver *d, CUfunction f, void **args, unsigned threads)
{
    return (CUDA_KERNEL_NODE_PARAMS){.func = f,
        .gridDimX = 1,
        .gridDimY = 1,
        .gridDimZ = 1,
        .blockDimX = threads,
        .blockDimY = 1,
        .blockDimZ = 1,
        .kernelParams = args,
        .ctx = d->context};
}

/* x = f(x, y), after a node or (NULL) none. */
static CUgraphNode kernel(const Use *u, CUgraph g, CUgraphNode after, CUfunction f, float y)
{
    CUgraphNode n;
    CUdeviceptr x = u->x;
    const CUDA_KERNEL_NODE_PARAMS p = params_of(u->d, f, (void *[]){&x, &y}, N);
    assert_int_equal(u->d->GraphAddKernelNode(&n, g, &after, after != NULL, &p), 0);
    return n;
}

static CUgraphNode decide(const Use *u, CUgraph g, CUgraphNode after, CUgraphConditionalHandle h, float y, unsigned threads)
{
    CUgraphNode n;
    CUdeviceptr x = u->x;
    const CUDA_KERNEL_NODE_PARAMS p = params_of(u->d, u->below, (void *[]){&x, &y, &h}, threads);
    assert_int_equal(u->d->GraphAddKernelNode(&n, g, &after, after != NULL, &p), 0);
    return n;
}

static CUgraphNodeParams condition(const CudaDriver *d, CUgraphConditionalHandle h, int type)
{
    return (CUgraphNodeParams){
        .type = CU_GRAPH_NODE_TYPE_CONDITIONAL, .conditional = {.handle = h, .type = type, .size = 1, .ctx = d->context}};
}

static CUgraphNode conditional(const Use *u, CUgraph g, CUgraphNode after, CUgraphConditionalHandle h, int type, CUgraph *body)
{
    CUgraphNode n;
    CUgraphNodeParams p = condition(u->d, h, type);
    assert_int_equal(u->d->GraphAddNode(&n, g, &after, NULL, after != NULL, &p), 0);
    *body = p.conditional.phGraph_out[0];
    return n;
}

static CUgraph graph(const Use *u)
{
    CUgraph g;
    assert_int_equal(u->d->GraphCreate(&g, 0), 0);
    return g;
}

static CUgraphConditionalHandle handle(const Use *u, CUgraph g)
{
    CUgraphConditionalHandle h;
    assert_int_equal(u->d->GraphConditionalHandleCreate(&h, g, u->d->context, 0, 0), 0);
    return h;
}

static CUgraphExec copy_of(const Use *u, CUgraph g)
{
    CUgraphExec x;
    assert_int_equal(u->d->GraphInstantiate(&x, g, 0), 0);
    return x;
}

/* ---- kernels ------------------------------------------------------------------------------------------------------ */
/* Each launch has the arguments of its time, though all of them run late, and they run in order, on whatever stream. */
static void launches_keep_their_arguments(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        const Use u = use(seed);
        CUgraph g = graph(&u);
        CUgraphNode first = kernel(&u, g, NULL, u.add, 1);
        kernel(&u, g, kernel(&u, g, first, u.scale, 2), u.add, 3);
        CUgraphExec x = copy_of(&u, g);
        CUstream s[] = {emu_stream(u.d), emu_stream(u.d)};
        set(&u, 1);
        float want = 1;
        for (int i = 0; i < 6; i++) {
            float y = (float)i;
            CUdeviceptr at = u.x;
            const CUDA_KERNEL_NODE_PARAMS p = params_of(u.d, u.add, (void *[]){&at, &y}, N);
            assert_int_equal(u.d->GraphExecKernelNodeSetParams(x, first, &p), 0);
            assert_int_equal(u.d->GraphLaunch(x, s[i % 2]), 0);
            want = (want + y) * 2 + 3;
        }
        assert_true(got(&u) == want);
        assert_int_equal(u.d->GraphLaunch(x, s[0]), 0);
        assert_int_equal(u.d->GraphExecDestroy(x) + u.d->GraphDestroy(g), 0);
        assert_true(got(&u) == (want + 5) * 2 + 3);
    }
}

/* Nodes that nothing orders come in any order. */
static void only_edges_order_nodes(void **state)
{
    (void)state;
    bool seen[2] = {false};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        const Use u = use(seed);
        CUgraph g = graph(&u);
        kernel(&u, g, NULL, u.add, 1);
        kernel(&u, g, NULL, u.scale, 2);
        set(&u, 1);
        assert_int_equal(u.d->GraphLaunch(copy_of(&u, g), NULL), 0);
        const float x = got(&u);
        assert_true(x == 3 || x == 4);
        seen[x == 4] = true;
    }
    assert_true(seen[0] && seen[1]);
}

/* ---- conditions --------------------------------------------------------------------------------------------------- */
/* while (x < 100) { x = 2 x; if (x < 30) x += 5; } */
static void loops_and_branches(void **state)
{
    (void)state;
    const Use u = use(1);
    CUgraph g = graph(&u), body, inner;
    const CUgraphConditionalHandle h = handle(&u, g);
    conditional(&u, g, decide(&u, g, NULL, h, 100, 1), h, CU_GRAPH_COND_TYPE_WHILE, &body);
    const CUgraphConditionalHandle way = handle(&u, body);
    CUgraphNode at = decide(&u, body, kernel(&u, body, NULL, u.scale, 2), way, 30, 1);
    at = conditional(&u, body, at, way, CU_GRAPH_COND_TYPE_IF, &inner);
    kernel(&u, inner, NULL, u.add, 5);
    decide(&u, body, at, h, 100, 1);
    CUgraphExec x = copy_of(&u, g);
    for (int from = 1; from <= 128; from *= 2) {
        float want = (float)from;
        while (want < 100) {
            want *= 2;
            if (want < 30) want += 5;
        }
        set(&u, (float)from);
        assert_int_equal(u.d->GraphLaunch(x, NULL), 0);
        assert_true(got(&u) == want);
    }
    CUgraphExec second;
    assert_int_equal(u.d->GraphInstantiate(&second, g, 0), INVALID);
    assert_int_equal(u.d->GraphExecDestroy(x), 0);
    x = copy_of(&u, g);
    assert_int_equal(u.d->GraphDestroy(g), 0);
    set(&u, 60);
    assert_int_equal(u.d->GraphLaunch(x, NULL), 0);
    assert_true(got(&u) == 120);
}

static void a_condition_has_one_setter(void **state)
{
    (void)state;
    Use u = use(1);
    CUgraph g = graph(&u), body;
    const CUgraphConditionalHandle h = handle(&u, g);
    conditional(&u, g, decide(&u, g, NULL, h, 1, 2), h, CU_GRAPH_COND_TYPE_IF, &body);
    set(&u, 0);
    assert_int_equal(u.d->GraphLaunch(copy_of(&u, g), NULL), 0);
    assert_int_equal(u.d->CtxSynchronize(), FAILED);
    assert_string_equal(emu_fault(0), "below: several threads set one condition");
    u = use(1);
    float y = 0;
    CUgraphConditionalHandle none = 1;
    assert_int_equal(emu_launch(u.d, u.below, 1, 1, NULL, (void *[]){&u.x, &y, &none}), 0);
    assert_int_equal(u.d->CtxSynchronize(), ILLEGAL);
    assert_string_equal(emu_fault(0), "below: sets a condition of a graph that does not run");
}

/* ---- what is refused ---------------------------------------------------------------------------------------------- */
static void graphs_must_be_right(void **state)
{
    (void)state;
    const Use u = use(1);
    CUgraph g = graph(&u), other = graph(&u), body, none;
    CUgraphExec x;
    CUgraphNode n, there = kernel(&u, other, NULL, u.add, 1);
    CUgraphConditionalHandle h = handle(&u, g), none_of_g = handle(&u, other);
    CUdeviceptr at = u.x;
    float y = 1;
    CUDA_KERNEL_NODE_PARAMS p = params_of(u.d, u.add, (void *[]){&at, &y}, 1025);
    CUgraphNodeParams c = condition(u.d, none_of_g, CU_GRAPH_COND_TYPE_WHILE);
    assert_int_equal(u.d->GraphCreate(&none, 1), INVALID);
    assert_int_equal(u.d->GraphAddKernelNode(&n, g, NULL, 0, &p), INVALID);
    p.blockDimX = N;
    assert_int_equal(u.d->GraphAddKernelNode(&n, g, &there, 1, &p), INVALID); /* a node of another graph */
    assert_int_equal(u.d->GraphAddNode(&n, g, NULL, NULL, 0, &c), INVALID);   /* and a condition */
    assert_int_equal(u.d->GraphInstantiate(&x, g, 0), INVALID);               /* h has no node */
    c = condition(u.d, h, CU_GRAPH_COND_TYPE_WHILE);
    c.reserved1[28] = 1;
    assert_int_equal(u.d->GraphAddNode(&n, g, NULL, NULL, 0, &c), INVALID);
    CUgraphNode loop = conditional(&u, g, NULL, h, CU_GRAPH_COND_TYPE_WHILE, &body);
    assert_int_equal(u.d->GraphAddNode(&n, g, NULL, NULL, 0, &c), INVALID); /* it has one now */
    assert_int_equal(u.d->GraphDestroy(body), INVALID);
    CUgraphNode inside = kernel(&u, body, NULL, u.add, 1);
    x = copy_of(&u, g);
    assert_int_equal(u.d->GraphExecKernelNodeSetParams(x, loop, &p), INVALID);
    assert_int_equal(u.d->GraphExecKernelNodeSetParams(x, inside, &p), INVALID);
    assert_int_equal(u.d->GraphDestroy(g), 0);
    assert_int_equal(u.d->GraphDestroy(g), INVALID);
    assert_int_equal(u.d->GraphExecDestroy(x), 0);
    assert_int_equal(u.d->GraphExecDestroy(x), INVALID);
    assert_int_equal(u.d->GraphLaunch(x, NULL), BAD_HANDLE);
    x = copy_of(&u, graph(&u)); /* of nothing */
    assert_int_equal(u.d->GraphLaunch(x, NULL) + u.d->CtxSynchronize(), 0);
}

static void older_drivers_have_less(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(0);
    int version;
    emu_version(12030);
    assert_int_equal(d->DriverGetVersion(&version), 0);
    assert_int_equal(version, 12030);
    assert_true(cuda_has_graphs(d) && !cuda_has_conditionals(d));
    emu_version(11080);
    assert_true(!cuda_has_graphs(d) && !cuda_has_conditionals(d));
    emu_version(EMU_NEWEST);
    assert_true(cuda_has_graphs(d) && cuda_has_conditionals(d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launches_keep_their_arguments),
        cmocka_unit_test(only_edges_order_nodes),
        cmocka_unit_test(loops_and_branches),
        cmocka_unit_test(a_condition_has_one_setter),
        cmocka_unit_test(graphs_must_be_right),
        cmocka_unit_test(older_drivers_have_less),
    };
    EMU_TESTS(tests);
}
