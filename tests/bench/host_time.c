/* How long a device keeps the host: eager operations, and replays of compiled functions, on a CUDA device whose driver does nothing
 * ("idle:0"). So the figures are Kiln's own time, to which a real driver adds its own for each of the calls that are counted beside.
 * Microseconds, the median and the least of many rounds. Relies on codegen/gpu.h, device.h and cuda/api.h. */
#include <kiln/kiln.h>

#include "bench.h"
#include "codegen/cuda/api.h"
#include "codegen/device.h"
#include "codegen/gpu.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* ---- a driver that does nothing ---------------------------------------------------------------------------------------------- */
static long calls;

#define IDLE(member, params, ...)      \
    static CUresult idle_##member params \
    {                                  \
        calls++;                       \
        __VA_ARGS__;                   \
        return 0;                      \
    }
#define HANDLE(type, n) ((type)(uintptr_t)(n))

IDLE(Init, (unsigned flags), (void)0)
IDLE(DriverGetVersion, (int *version), *version = 13000)
IDLE(GetErrorName, (CUresult e, const char **text), *text = "none")
IDLE(GetErrorString, (CUresult e, const char **text), *text = "none")
IDLE(DeviceGetCount, (int *n), *n = 1)
IDLE(DeviceGet, (CUdevice * d, int ordinal), *d = ordinal)
IDLE(DeviceGetName, (char *name, int cap, CUdevice d), snprintf(name, (size_t)cap, "idle"))
IDLE(DeviceGetAttribute, (int *value, int attribute, CUdevice d), *value = 9)
IDLE(DeviceTotalMem, (size_t * bytes, CUdevice d), *bytes = (size_t)8 << 30)
IDLE(DevicePrimaryCtxRetain, (CUcontext * c, CUdevice d), *c = HANDLE(CUcontext, 1))
IDLE(DevicePrimaryCtxRelease, (CUdevice d), (void)0)
IDLE(CtxPushCurrent, (CUcontext c), (void)0)
IDLE(CtxPopCurrent, (CUcontext * c), *c = HANDLE(CUcontext, 1))
IDLE(ModuleLoadData, (CUmodule * m, const void *image), *m = HANDLE(CUmodule, 2))
IDLE(ModuleUnload, (CUmodule m), (void)0)
IDLE(ModuleGetFunction, (CUfunction * f, CUmodule m, const char *name), *f = HANDLE(CUfunction, 3))
IDLE(MemAlloc, (CUdeviceptr * at, size_t bytes), *at = (CUdeviceptr)(uintptr_t)malloc(bytes))
IDLE(MemFree, (CUdeviceptr at), free(HANDLE(void *, at)))
IDLE(MemAllocAsync, (CUdeviceptr * at, size_t bytes, CUstream s), *at = (CUdeviceptr)(uintptr_t)malloc(bytes))
IDLE(MemFreeAsync, (CUdeviceptr at, CUstream s), free(HANDLE(void *, at)))
IDLE(DeviceGetDefaultMemPool, (CUmemoryPool * pool, CUdevice d), *pool = HANDLE(CUmemoryPool, 4))
IDLE(MemPoolSetAttribute, (CUmemoryPool pool, int attribute, void *value), (void)0)
IDLE(MemGetInfo, (size_t * left, size_t *total), *left = *total = (size_t)8 << 30)
IDLE(MemHostAlloc, (void **at, size_t bytes, unsigned flags), *at = malloc(bytes))
IDLE(MemFreeHost, (void *at), free(at))
IDLE(MemcpyHtoD, (CUdeviceptr to, const void *from, size_t bytes), (void)0)
IDLE(MemcpyDtoH, (void *to, CUdeviceptr from, size_t bytes), memset(to, 0, bytes))
IDLE(MemcpyDtoD, (CUdeviceptr to, CUdeviceptr from, size_t bytes), (void)0)
IDLE(MemcpyHtoDAsync, (CUdeviceptr to, const void *from, size_t bytes, CUstream s), (void)0)
IDLE(MemcpyDtoHAsync, (void *to, CUdeviceptr from, size_t bytes, CUstream s), memset(to, 0, bytes))
IDLE(MemcpyDtoDAsync, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s), (void)0)
IDLE(StreamCreate, (CUstream * s, unsigned flags), *s = HANDLE(CUstream, 5))
IDLE(StreamDestroy, (CUstream s), (void)0)
IDLE(StreamSynchronize, (CUstream s), (void)0)
IDLE(StreamWaitEvent, (CUstream s, CUevent e, unsigned flags), (void)0)
IDLE(CtxSynchronize, (void), (void)0)
IDLE(EventCreate, (CUevent * e, unsigned flags), *e = HANDLE(CUevent, 6))
IDLE(EventDestroy, (CUevent e), (void)0)
IDLE(EventRecord, (CUevent e, CUstream s), (void)0)
IDLE(EventQuery, (CUevent e), (void)0)
IDLE(EventSynchronize, (CUevent e), (void)0)
IDLE(EventElapsedTime, (float *ms, CUevent from, CUevent to), *ms = 0)
IDLE(FuncSetAttribute, (CUfunction f, int attribute, int value), (void)0)
IDLE(LaunchKernel,
    (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream,
        void **params, void **extra),
    (void)0)
IDLE(LaunchCooperativeKernel,
    (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream,
        void **params),
    (void)0)
IDLE(OccupancyMaxActiveBlocks, (int *n, CUfunction f, int threads, size_t shared), *n = 4)
IDLE(MemsetD32Async, (CUdeviceptr at, unsigned word, size_t n, CUstream s), (void)0)
IDLE(GraphCreate, (CUgraph * g, unsigned flags), *g = HANDLE(CUgraph, 7))
IDLE(GraphDestroy, (CUgraph g), (void)0)
IDLE(GraphAddKernelNode,
    (CUgraphNode * n, CUgraph g, const CUgraphNode *after, size_t nafter, const CUDA_KERNEL_NODE_PARAMS *params),
    *n = HANDLE(CUgraphNode, 8))
IDLE(GraphKernelNodeSetAttribute, (CUgraphNode n, int attribute, const CUlaunchAttributeValue *value), (void)0)
IDLE(GraphInstantiate, (CUgraphExec * x, CUgraph g, unsigned long long flags), *x = HANDLE(CUgraphExec, 9))
IDLE(GraphExecKernelNodeSetParams, (CUgraphExec x, CUgraphNode n, const CUDA_KERNEL_NODE_PARAMS *params), (void)0)
IDLE(GraphLaunch, (CUgraphExec x, CUstream s), (void)0)
IDLE(GraphExecDestroy, (CUgraphExec x), (void)0)

static bool build(const CudaDriver *d, const char *source, const char *name, Text *image, Status *st)
{
    return text_add(image, "idle", 5), true;
}

static bool idle_device(Status *st)
{
    static CudaDriver idle = {.build = build, .device = "idle", .capability = 90, .together = 132, .version = 13000, .context = HANDLE(CUcontext, 1)};
#define CUDA_CALL(member, symbol, params) idle.member = idle_##member;
    CUDA_CALLS
    CUDA_GRAPH_CALLS
#undef CUDA_CALL
    const Device *d = gpu_open(&idle, "idle:0", (uint8_t)device_next(), st);
    if (d) device_add(d);
    return d;
}

/* ---- what is measured -------------------------------------------------------------------------------------------------------- */
enum { ROUNDS = 300, EACH = 50, LAYERS = 4 };

static kiln *k;
static kiln_tensor *x, *y, *row;
static kiln_variable *weight[LAYERS];
static kiln_function *step;

static void sgd(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE(engine, tape);
    kiln_tensor *h = in[0];
    for (int i = 0; i < LAYERS; i++) h = kiln_tanh(kiln_matmul(h, weight[i]));
    out[0] = kiln_mean(h, KILN_ALL);
    kiln_operand of[LAYERS];
    kiln_tensor *gradient[LAYERS];
    for (int i = 0; i < LAYERS; i++) of[i] = KILN_OPERAND(weight[i]);
    kiln_gradients(tape, out[0], of, LAYERS, gradient);
    for (int i = 0; i < LAYERS; i++) kiln_assign(weight[i], kiln_sub(weight[i], kiln_mul(gradient[i], 0.1)));
}

static kiln_tensor *add(void) { return kiln_add(x, y); }
static kiln_tensor *add_number(void) { return kiln_add(x, 0.5); }
static kiln_tensor *add_row(void) { return kiln_add(x, row); }
static kiln_tensor *tanh_of(void) { return kiln_tanh(x); }
static kiln_tensor *product(void) { return kiln_matmul(x, y); }
static kiln_tensor *sum(void) { return kiln_sum(x, KILN_ALL); }
static kiln_tensor *softmax(void) { return kiln_softmax(x, -1); }
static kiln_tensor *turned(void) { return kiln_add(kiln_transpose(x, KILN_AXES(1, 0)), y); }
static kiln_tensor *replay(void) { return kiln_call(step, x); }

static const struct {
    const char *name;
    kiln_tensor *(*run)(void);
} rows[] = {
    {"add", add},
    {"add a number", add_number},
    {"add a row", add_row},
    {"tanh", tanh_of},
    {"matmul", product},
    {"sum to a scalar", sum},
    {"softmax", softmax},
    {"add a transpose", turned},
    {"replay of an SGD step", replay},
};

static bool measure(const char *name, kiln_tensor *(*run)(void))
{
    double took[ROUNDS];
    long made = 0;
    for (int r = -1; r < ROUNDS; r++) { /* the first one compiles */
        KILN_SCOPE(k);
        const long before = calls;
        const double start = now();
        for (int i = 0; i < EACH; i++)
            if (!run() || kiln_failed(k)) return false;
        if (r >= 0) took[r] = (now() - start) / EACH;
        made = calls - before;
    }
    const double middle = median(took, ROUNDS);
    printf("%-22s %6.2f us, least %6.2f; %4.1f calls of the driver\n", name, 1e6 * middle, 1e6 * took[0], (double)made / EACH);
    return true;
}

int main(void)
{
    Status st = {0};
    if (!idle_device(&st)) return printf("no device: %s\n", st.text), 1;
    k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    bool ok = k;
    {
        KILN_SCOPE(k);
        KILN_DEVICE(k, "idle:0");
        kiln_variable *g = kiln_generator(k, 1);
        x = kiln_normal(g, KILN_F32, KILN_SHAPE(64, 64), 0, 1); /* not kiln_full's: the host computes with a single element */
        y = kiln_normal(g, KILN_F32, KILN_SHAPE(64, 64), 0, 1);
        row = kiln_normal(g, KILN_F32, KILN_SHAPE(64), 0, 1);
        for (int i = 0; i < LAYERS; i++) weight[i] = kiln_variable_new(k, "weight", y);
        step = kiln_function_new(k, sgd, NULL, &(kiln_function_options){.name = "sgd"});
        printf("%s\n", processor());
        for (size_t i = 0; ok && i < sizeof rows / sizeof *rows; i++) ok = measure(rows[i].name, rows[i].run);
    }
    if (!ok) printf("failed: %s\n", k ? kiln_error(k)->text : "no engine");
    kiln_close(k);
    return !ok;
}
