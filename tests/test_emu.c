/* test_emu: emulated CUDA devices at their table of functions: memory, copies, streams and events, modules, launches, what goes wrong
 * and what is told to. What kernels may not do is in test_emu_kernels.c. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/cuda/api.h"
#include "codegen/emu.h"

enum { OUT_OF_MEMORY = CUDA_ERROR_OUT_OF_MEMORY, INVALID = 1, BAD_IMAGE = 200, BAD_HANDLE = 400, NOT_FOUND = 500, ILLEGAL = 700, FAILED = 719 };

static const char source[] =
    "extern \"C\" __global__ void __launch_bounds__(256) fill(float *x, float with, int n)\n"
    "{ for (unsigned i = blockIdx.x * 256 + threadIdx.x; i < n; i += gridDim.x * 256) x[i] = with; }\n"
    "extern \"C\" __global__ void __launch_bounds__(256) twice(float *x) { x[threadIdx.x] *= 2; }\n"
    "extern \"C\" __global__ void __launch_bounds__(256) more(float *x) { x[threadIdx.x] += 1; }\n"
    "extern \"C\" __global__ void __launch_bounds__(256) turn(const int *from, int *to)\n"
    "{\n"
    "    __shared__ int all[256];\n"
    "    all[threadIdx.x] = from[threadIdx.x];\n"
    "    __syncthreads();\n"
    "    int x = all[255 - threadIdx.x];\n"
    "    for (unsigned half = 16; half > 0; half /= 2) x += __shfl_down_sync(0xffffffffu, x, half);\n"
    "    to[threadIdx.x] = __shfl_sync(0xffffffffu, x, 0) + threadIdx.x % 32;\n"
    "}\n"
    "extern \"C\" __global__ void where(unsigned *x)\n"
    "{\n"
    "    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;\n"
    "    x[(block * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x] = block * 100 + threadIdx.y * 10 + threadIdx.x;\n"
    "}\n"
    "extern \"C\" __global__ void apart(void) { if (threadIdx.x < 7) __syncthreads(); }\n";

static const CudaDriver *device(int ordinal)
{
    Status st = {0};
    CUcontext old;
    const CudaDriver *d = emu_driver(ordinal, &st);
    if (!d) fail_msg("%s", st.text);
    emu_reset(ordinal, 1);
    while (d->CtxPopCurrent(&old) == 0) continue;
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    return d;
}

static CUmodule load(const CudaDriver *d)
{
    Status st = {0};
    Text image = {0};
    CUmodule m;
    if (!d->build(d, source, "test", &image, &st)) fail_msg("%s", st.text);
    assert_int_equal(d->ModuleLoadData(&m, image.at), 0);
    text_free(&image);
    return m;
}

static CUfunction function(const CudaDriver *d, const char *name)
{
    CUfunction f;
    assert_int_equal(d->ModuleGetFunction(&f, load(d), name), 0);
    return f;
}

static CUdeviceptr memory(const CudaDriver *d, size_t bytes)
{
    CUdeviceptr at;
    assert_int_equal(d->MemAlloc(&at, bytes), 0);
    return at;
}

static CUstream stream(const CudaDriver *d)
{
    CUstream s;
    assert_int_equal(d->StreamCreate(&s, CU_STREAM_NON_BLOCKING), 0);
    return s;
}

static CUresult launch(const CudaDriver *d, CUfunction f, unsigned grid, unsigned threads, CUstream s, void **params)
{
    return d->LaunchKernel(f, grid, 1, 1, threads, 1, 1, 0, s, params, NULL);
}

/* ---- what there is ------------------------------------------------------------------------------------------------ */
static void devices_say_what_they_are(void **state)
{
    (void)state;
    int n, major, version;
    size_t bytes;
    char name[64];
    const CudaDriver *d = device(0), *e = device(1);
    assert_int_equal(d->Init(0) + d->DeviceGetCount(&n) + d->DriverGetVersion(&version), 0);
    assert_int_equal(n, EMU_DEVICES);
    assert_int_equal(version, d->version);
    assert_int_equal(d->DeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 1), 0);
    assert_int_equal(10 * major, d->capability);
    assert_int_equal(d->DeviceGetName(name, sizeof name, 1), 0);
    assert_string_equal(name, e->device);
    assert_int_equal(d->DeviceTotalMem(&bytes, 0), 0);
    assert_int_equal(bytes, 1 << 30);
    assert_ptr_not_equal(d->context, e->context);
    assert_ptr_equal(d, emu_driver(0, &(Status){0}));
    Status st = {0};
    assert_null(emu_driver(EMU_DEVICES, &st));
    assert_int_equal(st.code, ST_DEVICE);
}

static void errors_have_names(void **state)
{
    (void)state;
    const CudaDriver *d = device(0);
    Status st = {0};
    assert_false(cuda_ok(d, CUDA_ERROR_OUT_OF_MEMORY, &st, "asking for %d", 7));
    assert_string_equal(st.text, "cuda: asking for 7: CUDA_ERROR_OUT_OF_MEMORY (out of memory)");
}

static void calls_need_a_context(void **state)
{
    (void)state;
    CUdeviceptr at;
    CUcontext c;
    const CudaDriver *d = device(0), *e = device(1);
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    assert_int_equal(d->CtxPopCurrent(&c), 0);
    assert_ptr_equal(c, d->context);
    at = memory(e, 8);
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    assert_int_equal(d->MemFree(at), INVALID); /* of the other device */
    d->CtxPopCurrent(&c);
    assert_int_equal(d->MemFree(at), 0);
    d->CtxPopCurrent(&c);
    assert_int_equal(d->MemAlloc(&at, 8), 201);
    assert_int_equal(d->CtxPopCurrent(&c), 201);
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */
static void blocks_have_exact_bounds(void **state)
{
    (void)state;
    unsigned char bytes[101] = {0};
    const CudaDriver *d = device(0);
    CUdeviceptr a = memory(d, 100), b = memory(d, 100), c;
    assert_int_equal(d->MemcpyDtoH(bytes, a, 100), 0);
    for (int i = 0; i < 100; i++) assert_int_equal(bytes[i], 0xcd);
    assert_int_equal(d->MemcpyDtoH(bytes, a, 101), INVALID);
    assert_int_equal(d->MemcpyHtoD(a - 1, bytes, 1), INVALID);
    assert_int_equal(d->MemcpyHtoD(a + 99, "", 1), 0);
    assert_int_equal(d->MemcpyDtoD(b, a + 1, 100), INVALID);
    assert_int_equal(d->MemcpyDtoD(b + 1, a + 1, 99), 0);
    assert_int_equal(d->MemcpyDtoH(bytes, b, 100), 0);
    assert_int_equal(bytes[0], 0xcd);
    assert_int_equal(bytes[99], 0);
    assert_int_equal(d->MemFree(a + 1), INVALID);
    assert_int_equal(d->MemFree(a), 0);
    assert_int_equal(d->MemFree(a), INVALID);
    assert_int_equal(d->MemFree(0), 0);
    assert_int_equal(d->MemcpyDtoH(bytes, a, 1), INVALID);
    c = memory(d, 100);
    assert_true(c != a && c > b); /* used again late */
    assert_int_equal(d->MemAlloc(&c, 0), INVALID);
}

static void memory_ends(void **state)
{
    (void)state;
    size_t left, total;
    CUdeviceptr a, b, c;
    setenv("KILN_EMU_MEMORY", "3M", 1); /* read when the device is opened */
    const CudaDriver *d = device(3);
    unsetenv("KILN_EMU_MEMORY");
    assert_int_equal(d->MemAlloc(&a, (3 << 20) + 1), OUT_OF_MEMORY);
    a = memory(d, 2 << 20);
    b = memory(d, 1000);
    assert_int_equal(d->MemGetInfo(&left, &total), 0);
    assert_int_equal(total, 3 << 20);
    assert_int_equal(left, (1 << 20) - 1024);
    assert_int_equal(d->MemAlloc(&c, 1 << 20), OUT_OF_MEMORY);
    CUstream s = stream(d);
    assert_int_equal(d->MemFreeAsync(a, s), 0);
    assert_int_equal(d->MemFreeAsync(a, s), INVALID);
    assert_int_equal(d->MemAlloc(&c, 2 << 20), 0); /* what the stream frees makes room */
    assert_int_equal(d->MemFree(b) + d->MemFree(c), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(d->MemAlloc(&a, (size_t)(1 + i * 977 % 100) << 14), 0);
        assert_int_equal(d->MemFree(a), 0);
    }
    assert_int_equal(d->MemGetInfo(&left, &total), 0);
    assert_int_equal(left, total);
}

/* Addresses are gone through to their end, and from the beginning. */
static void addresses_are_used_again(void **state)
{
    (void)state;
    const CudaDriver *d = device(0);
    enum { BIG = (1 << 30) - (1 << 20) };
    CUdeviceptr first = memory(d, 100), kept[8], at = 0;
    for (int i = 0; i < 8; i++) kept[i] = memory(d, 4096);
    bool again = false;
    for (int i = 0; i < 100; i++) {
        at = memory(d, BIG);
        again = again || at < first + (1 << 20);
        for (int k = 0; k < 8; k++) assert_true(at + BIG <= kept[k] || at >= kept[k] + 4096);
        assert_int_equal(d->MemFree(at), 0);
        assert_int_equal(d->MemFree(kept[i % 8]), 0);
        kept[i % 8] = memory(d, 4096);
    }
    assert_true(again);
}

static void the_host_reaches_nothing(void **state)
{
    (void)state;
    int status;
    const CudaDriver *d = device(0);
    CUdeviceptr x = memory(d, 64);
    assert_int_equal(launch(d, function(d, "fill"), 1, 256, NULL, (void *[]){&x, &(float){1}, &(int){16}}), 0);
    assert_int_equal(d->CtxSynchronize(), 0);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile char *)(uintptr_t)x ? 0 : 0);
    }
    waitpid(child, &status, 0);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */
/* 3 * 2 + 1 or (3 + 1) * 2, as the streams take turns; with an event the first. */
static float two_streams(const CudaDriver *d, uint64_t seed, bool event)
{
    emu_reset(d->ordinal, seed);
    CUmodule m = load(d);
    CUfunction twice, more;
    CUdeviceptr x = memory(d, 4);
    CUstream first = stream(d), second = stream(d);
    CUevent v;
    float out = 3;
    int wrong = d->ModuleGetFunction(&twice, m, "twice") + d->ModuleGetFunction(&more, m, "more") + d->MemcpyHtoD(x, &out, 4) +
                d->EventCreate(&v, CU_EVENT_DISABLE_TIMING);
    for (int i = 0; i < 3; i++) wrong += d->MemcpyDtoDAsync(x, x, 4, first); /* so that it is seldom done already */
    wrong += launch(d, twice, 1, 1, first, (void *[]){&x}) + d->EventRecord(v, first);
    if (event) wrong += d->StreamWaitEvent(second, v, 0);
    wrong += launch(d, more, 1, 1, second, (void *[]){&x}) + d->StreamSynchronize(second) + d->StreamSynchronize(first) +
             d->MemcpyDtoH(&out, x, 4) + d->EventDestroy(v) + d->StreamDestroy(first) + d->StreamDestroy(second);
    assert_int_equal(wrong, 0);
    return out;
}

static void the_seed_orders_streams(void **state)
{
    (void)state;
    const CudaDriver *d = device(0);
    int sevens = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const float out = two_streams(d, seed, false);
        assert_true(out == 7 || out == 8);
        assert_true(out == two_streams(d, seed, false));
        assert_true(two_streams(d, seed, true) == 7);
        sevens += out == 7;
    }
    assert_in_range(sevens, 1, 19);
}

static void work_is_late(void **state)
{
    (void)state;
    const CudaDriver *d = device(0);
    CUfunction more = function(d, "more");
    CUdeviceptr x = memory(d, 4);
    CUstream s = stream(d);
    CUevent v;
    int waited = 0;
    assert_int_equal(d->EventCreate(&v, CU_EVENT_DISABLE_TIMING), 0);
    assert_int_equal(d->EventQuery(v), 0); /* never recorded */
    assert_int_equal(d->EventSynchronize(v), 0);
    assert_int_equal(d->MemcpyHtoD(x, &(float){0}, 4), 0);
    for (int i = 0; i < 1000; i++) assert_int_equal(launch(d, more, 1, 1, s, (void *[]){&x}), 0);
    assert_int_equal(d->EventRecord(v, s), 0);
    for (; d->EventQuery(v) == CUDA_ERROR_NOT_READY; waited++) assert_in_range(waited, 0, 10000);
    assert_in_range(waited, 10, 10000);
    float out;
    assert_int_equal(d->MemcpyDtoH(&out, x, 4), 0);
    assert_true(out == 1000);
}

static void pinned_memory_is_late(void **state)
{
    (void)state;
    int late = 0;
    const CudaDriver *d = device(0);
    CUdeviceptr x = memory(d, 4);
    for (uint64_t i = 0; i < 10; i++) {
        int *pinned, plain = 5, out;
        CUstream s = stream(d);
        assert_int_equal(d->MemHostAlloc((void **)&pinned, 2 * sizeof *pinned, 0), 0);
        *pinned = 5;
        assert_int_equal(d->MemcpyHtoDAsync(x, &plain, 4, s), 0);
        plain = 6; /* it was read */
        assert_int_equal(d->MemcpyDtoHAsync(&out, x, 4, s), 0);
        assert_int_equal(out, 5); /* it was waited for */
        assert_int_equal(d->MemcpyHtoDAsync(x, pinned, 4, s), 0);
        pinned[1] = -1;
        assert_int_equal(d->MemcpyDtoHAsync(&pinned[1], x, 4, s), 0);
        late += pinned[1] == -1;
        assert_int_equal(d->StreamSynchronize(s), 0);
        assert_int_equal(pinned[1], 5);
        assert_int_equal(d->MemFreeHost(pinned), 0);
        assert_int_equal(d->MemFreeHost(pinned), INVALID);
        assert_int_equal(d->StreamDestroy(s), 0);
    }
    assert_true(late > 5);
}

/* Memory of one stream is there for another only after an event. */
static void memory_comes_and_goes_with_its_stream(void **state)
{
    (void)state;
    int early = 0;
    const CudaDriver *d = device(0);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        emu_reset(0, seed);
        CUstream s = stream(d), other = stream(d);
        CUdeviceptr x;
        CUevent v;
        const char *text;
        assert_int_equal(d->MemAllocAsync(&x, 64, s) + d->EventCreate(&v, 0) + d->EventRecord(v, s), 0);
        if (seed % 2) assert_int_equal(d->StreamWaitEvent(other, v, 0), 0);
        d->MemcpyHtoDAsync(x, &(int){1}, 4, other);
        CUresult r = d->StreamSynchronize(other);
        assert_true(r == 0 || (r == ILLEGAL && seed % 2 == 0));
        early += r == ILLEGAL;
        if (r == ILLEGAL) assert_int_equal(d->GetErrorString(r, &text) || !strstr(text, "not there"), 0);
        if (r == 0) assert_int_equal(d->MemFreeAsync(x, other) + d->StreamSynchronize(other), 0);
        if (r == 0) assert_int_equal(d->MemcpyHtoD(x, &(int){1}, 4), INVALID);
    }
    assert_in_range(early, 1, 10);
}

static void handles_are_known(void **state)
{
    (void)state;
    CUevent v;
    const CudaDriver *d = device(0);
    CUstream s = stream(d), none;
    device(1);
    CUstream theirs = stream(d);
    CUcontext c;
    d->CtxPopCurrent(&c);
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    assert_int_equal(d->StreamCreate(&none, 0), 801); /* Kiln has no use for streams that wait for the one without a name */
    assert_int_equal(d->StreamSynchronize(theirs), BAD_HANDLE);
    assert_int_equal(d->StreamDestroy(s), 0);
    assert_int_equal(d->StreamDestroy(s), BAD_HANDLE);
    assert_int_equal(d->EventCreate(&v, 0) + d->EventDestroy(v), 0);
    assert_int_equal(d->EventRecord(v, NULL), BAD_HANDLE);
    assert_int_equal(d->EventSynchronize(v), BAD_HANDLE);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------ */
static void threads_work_together(void **state)
{
    (void)state;
    int in[256], out[256];
    const CudaDriver *d = device(0);
    CUfunction f = function(d, "turn");
    CUdeviceptr from = memory(d, sizeof in), to = memory(d, sizeof in);
    for (int i = 0; i < 256; i++) in[i] = i * i;
    assert_int_equal(d->MemcpyHtoD(from, in, sizeof in) + launch(d, f, 1, 256, NULL, (void *[]){&from, &to}) + d->MemcpyDtoH(out, to, sizeof out), 0);
    for (int w = 0; w < 8; w++) {
        int sum = 0;
        for (int i = 0; i < 32; i++) sum += in[255 - (32 * w + i)];
        for (int i = 0; i < 32; i++) assert_int_equal(out[32 * w + i], sum + i);
    }
}

static void grids_have_three_dimensions(void **state)
{
    (void)state;
    unsigned out[2 * 3 * 4 * 6];
    const CudaDriver *d = device(0);
    CUfunction f = function(d, "where");
    CUdeviceptr x = memory(d, sizeof out);
    assert_int_equal(d->LaunchKernel(f, 4, 3, 2, 3, 2, 1, 0, NULL, (void *[]){&x}, NULL), 0);
    assert_int_equal(d->MemcpyDtoH(out, x, sizeof out), 0);
    for (unsigned i = 0; i < 144; i++) assert_int_equal(out[i], i / 6 * 100 + i / 3 % 2 * 10 + i % 3);
    assert_int_equal(d->LaunchKernel(f, 0, 3, 2, 3, 2, 1, 0, NULL, (void *[]){&x}, NULL), INVALID);
    assert_int_equal(d->LaunchKernel(f, 4, 3, 2, 33, 32, 1, 0, NULL, (void *[]){&x}, NULL), INVALID);
}

static void threads_that_wait_for_nobody(void **state)
{
    (void)state;
    const CudaDriver *d = device(2);
    CUfunction f = function(d, "apart");
    CUdeviceptr at;
    const char *text;
    assert_int_equal(launch(d, f, 1, 40, NULL, NULL), 0);
    assert_int_equal(d->CtxSynchronize(), FAILED);
    assert_int_equal(d->MemAlloc(&at, 8), FAILED); /* the context is gone */
    assert_int_equal(d->GetErrorString(FAILED, &text), 0);
    assert_string_equal(text, "apart: in block 0, 7 of 40 threads wait, thread 0 in __syncthreads, for others that never come");
    assert_string_equal(text, emu_fault(2));
    assert_string_equal("", emu_fault(1));
}

/* ---- modules ------------------------------------------------------------------------------------------------------ */
static void modules_may_be_wrong(void **state)
{
    (void)state;
    CUmodule m;
    CUfunction f;
    Status st = {0};
    Text image = {0};
    const CudaDriver *d = device(0);
    assert_int_equal(d->ModuleLoadData(&m, "something else"), BAD_IMAGE);
    assert_false(d->build(d, "extern \"C\" __global__ void f() { nobody(); }", "wrong", &image, &st));
    assert_int_equal(st.code, ST_INTERNAL);
    assert_non_null(strstr(st.text, "wrong"));
    assert_non_null(strstr(st.text, "nobody"));
    assert_int_equal(image.len, 0);
    m = load(d);
    assert_int_equal(d->ModuleGetFunction(&f, m, "nobody"), NOT_FOUND);
    assert_int_equal(d->ModuleGetFunction(&f, m, "more"), 0);
    assert_int_equal(d->ModuleUnload(m), 0);
    assert_int_equal(d->ModuleUnload(m), BAD_HANDLE);
}

static void the_compiler_may_be_absent_or_have_arguments(void **state)
{
    (void)state;
    Status st = {0};
    Text image = {0};
    const CudaDriver *d = device(0);
    char *was = getenv("CXX") ? strdup(getenv("CXX")) : NULL, with[500];
    const char *text = "extern \"C\" __global__ void f(int *x) { *x = SEVEN; }";
    setenv("CXX", "/nowhere/c++ -O2", 1);
    assert_false(d->build(d, text, "f", &image, &st));
    assert_int_equal(st.code, ST_DEVICE);
    assert_non_null(strstr(st.text, "/nowhere/c++"));
    snprintf(with, sizeof with, "%s -DSEVEN=7", was ? was : "c++");
    setenv("CXX", with, 1);
    st = (Status){0};
    if (!d->build(d, text, "f", &image, &st)) fail_msg("%s", st.text);
    if (was)
        setenv("CXX", was, 1);
    else
        unsetenv("CXX");
    text_free(&image);
    free(was);
}

/* ---- faults that were asked for ----------------------------------------------------------------------------------- */
/* Stops at the first call that fails, as somebody who has an error to tell does. */
static CUresult some_calls(const CudaDriver *d, CUfunction f)
{
    CUresult r;
    CUdeviceptr x = 0;
    CUstream s = NULL;
    float out = 1;
    if ((r = d->StreamCreate(&s, CU_STREAM_NON_BLOCKING)) != 0) return r;
    if ((r = d->MemAllocAsync(&x, 4, s)) != 0) return r;
    if ((r = d->MemcpyHtoDAsync(x, &out, 4, s)) != 0) return r;
    if ((r = launch(d, f, 1, 1, s, (void *[]){&x})) != 0) return r;
    if ((r = d->MemcpyDtoHAsync(&out, x, 4, s)) != 0) return r;
    if ((r = d->MemFreeAsync(x, s)) != 0) return r;
    if ((r = d->StreamSynchronize(s)) != 0) return r;
    assert_true(out == 2);
    return d->StreamDestroy(s);
}

static void each_call_can_be_told_to_fail(void **state)
{
    (void)state;
    const CudaDriver *d = device(1);
    CUfunction f = function(d, "more");
    const uint64_t before = emu_called(1);
    assert_int_equal(some_calls(d, f), 0);
    const uint64_t n = emu_called(1) - before;
    assert_int_equal(n, 8);
    for (uint64_t i = 1; i <= n; i++) {
        emu_fail(1, i, OUT_OF_MEMORY);
        assert_int_equal(some_calls(d, f), OUT_OF_MEMORY);
        assert_int_equal(some_calls(d, f), 0); /* only that one */
    }
    emu_fail(1, 3, ILLEGAL);
    assert_int_equal(some_calls(d, f), ILLEGAL);
    assert_int_equal(some_calls(d, f), ILLEGAL);
    assert_int_equal(d->CtxSynchronize(), ILLEGAL);
    assert_int_equal(d->CtxPushCurrent(d->context), ILLEGAL);
    d = device(0); /* others go on */
    assert_int_equal(some_calls(d, function(d, "more")), 0);
}

/* ---- threads ------------------------------------------------------------------------------------------------------ */
static void *use_device(void *arg)
{
    const CudaDriver *d = arg;
    if (d->CtxPushCurrent(d->context) != 0) return arg;
    for (int i = 0; i < 50; i++) {
        float out[256];
        CUfunction f;
        CUmodule m;
        CUstream s;
        CUdeviceptr x;
        Status st = {0};
        Text image = {0};
        int wrong = !d->build(d, source, "test", &image, &st);
        wrong += d->ModuleLoadData(&m, image.at) + d->ModuleGetFunction(&f, m, "fill") + d->MemAlloc(&x, sizeof out) +
                 d->StreamCreate(&s, CU_STREAM_NON_BLOCKING) + launch(d, f, 2, 256, s, (void *[]){&x, &(float){(float)i}, &(int){256}}) +
                 d->MemcpyDtoHAsync(out, x, sizeof out, s) + d->MemFree(x) + d->StreamDestroy(s) + d->ModuleUnload(m);
        text_free(&image);
        if (wrong != 0 || out[0] != (float)i || out[255] != (float)i) return arg;
    }
    return NULL;
}

static void threads_share_devices(void **state)
{
    (void)state;
    pthread_t thread[4];
    const CudaDriver *d[2] = {device(0), device(1)};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, use_device, (void *)(uintptr_t)d[i % 2]), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
}

/* Nothing is left of a device that was reset. */
static void a_reset_leaves_nothing(void **state)
{
    (void)state;
    const CudaDriver *d = device(0);
    const int64_t before = memory_count().live_bytes;
    for (int i = 0; i < 3; i++) {
        void *pinned;
        CUevent v;
        CUfunction f = function(d, "more");
        CUdeviceptr x = memory(d, 100);
        assert_int_equal(d->MemHostAlloc(&pinned, 100, 0) + d->EventCreate(&v, 0) + launch(d, f, 1, 1, stream(d), (void *[]){&x}), 0);
        emu_reset(0, 1);
        assert_int_equal(memory_count().live_bytes, before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_say_what_they_are),
        cmocka_unit_test(errors_have_names),
        cmocka_unit_test(calls_need_a_context),
        cmocka_unit_test(blocks_have_exact_bounds),
        cmocka_unit_test(memory_ends),
        cmocka_unit_test(addresses_are_used_again),
        cmocka_unit_test(the_host_reaches_nothing),
        cmocka_unit_test(the_seed_orders_streams),
        cmocka_unit_test(work_is_late),
        cmocka_unit_test(pinned_memory_is_late),
        cmocka_unit_test(memory_comes_and_goes_with_its_stream),
        cmocka_unit_test(handles_are_known),
        cmocka_unit_test(threads_work_together),
        cmocka_unit_test(grids_have_three_dimensions),
        cmocka_unit_test(threads_that_wait_for_nobody),
        cmocka_unit_test(modules_may_be_wrong),
        cmocka_unit_test(the_compiler_may_be_absent_or_have_arguments),
        cmocka_unit_test(each_call_can_be_told_to_fail),
        cmocka_unit_test(threads_share_devices),
        cmocka_unit_test(a_reset_leaves_nothing),
    };
    Status st = {0};
    if (!emu_driver(0, &st)) {
        print_message("skip: %s\n", st.text);
        return 77;
    }
    if (getenv("KILN_ONLY") != NULL) cmocka_set_test_filter(getenv("KILN_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
