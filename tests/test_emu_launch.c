/* test_emu_launch: emulated CUDA devices at their table of functions: modules, launches, calls that are told to fail, threads of the
 * host. */
#define _GNU_SOURCE
#include "emu_use.h"

#include <pthread.h>
#include <unistd.h>

/* ---- kernels ------------------------------------------------------------------------------------------------------ */
static void threads_work_together(void **state)
{
    (void)state;
    int in[256], out[256];
    const CudaDriver *d = emu_use(0);
    CUfunction f = emu_function(d, "turn");
    CUdeviceptr from = emu_memory(d, sizeof in), to = emu_memory(d, sizeof in);
    for (int i = 0; i < 256; i++) in[i] = i * i;
    assert_int_equal(d->MemcpyHtoD(from, in, sizeof in) + emu_launch(d, f, 1, 256, NULL, (void *[]){&from, &to}) + d->MemcpyDtoH(out, to, sizeof out), 0);
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
    const CudaDriver *d = emu_use(0);
    CUfunction f = emu_function(d, "where");
    CUdeviceptr x = emu_memory(d, sizeof out);
    assert_int_equal(d->LaunchKernel(f, 4, 3, 2, 3, 2, 1, 0, NULL, (void *[]){&x}, NULL), 0);
    assert_int_equal(d->MemcpyDtoH(out, x, sizeof out), 0);
    for (unsigned i = 0; i < 144; i++) assert_int_equal(out[i], i / 6 * 100 + i / 3 % 2 * 10 + i % 3);
    assert_int_equal(d->LaunchKernel(f, 0, 3, 2, 3, 2, 1, 0, NULL, (void *[]){&x}, NULL), INVALID);
    assert_int_equal(d->LaunchKernel(f, 4, 3, 2, 33, 32, 1, 0, NULL, (void *[]){&x}, NULL), INVALID);
}

/* More shared memory than every block has must be asked for twice: of the function, and by the launch. */
static void shared_memory_is_asked_for(void **state)
{
    (void)state;
    enum { ASKED = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, BYTES = 100000 };
    static const char source[] = "extern \"C\" __global__ void __launch_bounds__(256) large(unsigned *x)\n"
                                 "{ KILN_SHARED(100000); kiln_shared[threadIdx.x] = 7; __syncthreads(); x[threadIdx.x] = kiln_shared[255 - threadIdx.x]; }\n";
    const CudaDriver *d = emu_use(3);
    CUfunction f;
    unsigned out[256];
    CUdeviceptr x = emu_memory(d, sizeof out);
    void *args[] = {&x};
    assert_int_equal(d->ModuleGetFunction(&f, emu_load(d, source), "large"), 0);
    assert_int_equal(d->LaunchKernel(f, 1, 1, 1, 256, 1, 1, BYTES, NULL, args, NULL), INVALID);
    assert_int_equal(d->FuncSetAttribute(f, ASKED + 1, BYTES), INVALID);
    assert_int_equal(d->FuncSetAttribute(f, ASKED, 1 << 20), INVALID);
    assert_int_equal(d->FuncSetAttribute(f, ASKED, BYTES), 0);
    assert_int_equal(d->LaunchKernel(f, 1, 1, 1, 256, 1, 1, BYTES, NULL, args, NULL), 0);
    assert_int_equal(d->MemcpyDtoH(out, x, sizeof out), 0);
    assert_int_equal(out[255], 7);
    assert_int_equal(d->LaunchKernel(f, 1, 1, 1, 256, 1, 1, BYTES - 1, NULL, args, NULL), 0);
    assert_int_equal(d->CtxSynchronize(), FAILED);
    assert_non_null(strstr(emu_fault(3), "has less shared memory than it uses"));
}

static void threads_that_wait_for_nobody(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(2);
    CUfunction f = emu_function(d, "apart");
    CUdeviceptr at;
    const char *text;
    emu_launch(d, f, 1, 40, NULL, NULL);
    assert_int_equal(d->CtxSynchronize(), FAILED);
    assert_int_equal(d->MemAlloc(&at, 8), FAILED); /* the context is gone */
    assert_int_equal(d->GetErrorString(FAILED, &text), 0);
    assert_string_equal(text, "apart: in block 0, 7 of 40 threads wait, thread 0 in __syncthreads, for others that never come");
    assert_string_equal(text, emu_fault(2));
    assert_string_equal("", emu_fault(1));
}

/* It has no caller any more that could be told. */
static void a_launch_that_was_taken_needs_no_memory(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(0);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        emu_reset(0, seed);
        CUfunction f = emu_function(d, "more");
        CUdeviceptr x = emu_memory(d, 4);
        CUstream s = emu_stream(d);
        assert_int_equal(emu_launch(d, f, 1, 1, s, (void *[]){&x}), 0);
        memory_fail_at(1, true);
        const CUresult r = d->StreamSynchronize(s);
        memory_fail_at(0, false);
        assert_int_equal(r, 0);
    }
}

/* ---- modules ------------------------------------------------------------------------------------------------------ */
static void modules_may_be_wrong(void **state)
{
    (void)state;
    CUmodule m;
    CUfunction f;
    Status st = {0};
    Text image = {0};
    const CudaDriver *d = emu_use(0);
    assert_int_equal(d->ModuleLoadData(&m, "something else"), BAD_IMAGE);
    assert_false(d->build(d, "extern \"C\" __global__ void f() { nobody(); }", "wrong", &image, &st));
    assert_int_equal(st.code, ST_INTERNAL);
    assert_non_null(strstr(st.text, "wrong"));
    assert_non_null(strstr(st.text, "nobody"));
    assert_int_equal(image.len, 0);
    m = emu_load(d, emu_source);
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
    const CudaDriver *d = emu_use(0);
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
    if ((r = emu_launch(d, f, 1, 1, s, (void *[]){&x})) != 0) return r;
    if ((r = d->MemcpyDtoHAsync(&out, x, 4, s)) != 0) return r;
    if ((r = d->MemFreeAsync(x, s)) != 0) return r;
    if ((r = d->StreamSynchronize(s)) != 0) return r;
    assert_true(out == 2);
    return d->StreamDestroy(s);
}

static void each_call_can_be_told_to_fail(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(1);
    CUfunction f = emu_function(d, "more");
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
    d = emu_use(0); /* others go on */
    assert_int_equal(some_calls(d, emu_function(d, "more")), 0);
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
        int wrong = !cuda_image(d, NULL, emu_source, "test", NULL, &image, &st);
        wrong += d->ModuleLoadData(&m, image.at) + d->ModuleGetFunction(&f, m, "fill") + d->MemAlloc(&x, sizeof out) +
                 d->StreamCreate(&s, CU_STREAM_NON_BLOCKING) + emu_launch(d, f, 2, 256, s, (void *[]){&x, &(float){(float)i}, &(int){256}}) +
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
    const CudaDriver *d[2] = {emu_use(0), emu_use(1)};
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
    const CudaDriver *d = emu_use(0);
    const int64_t before = memory_count().live_bytes;
    for (int i = 0; i < 3; i++) {
        void *pinned;
        CUevent v;
        CUfunction f = emu_function(d, "more");
        CUdeviceptr x = emu_memory(d, 100);
        assert_int_equal(d->MemHostAlloc(&pinned, 100, 0) + d->EventCreate(&v, 0) + emu_launch(d, f, 1, 1, emu_stream(d), (void *[]){&x}), 0);
        emu_reset(0, 1);
        assert_int_equal(memory_count().live_bytes, before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_work_together),
        cmocka_unit_test(grids_have_three_dimensions),
        cmocka_unit_test(shared_memory_is_asked_for), cmocka_unit_test(threads_that_wait_for_nobody),
        cmocka_unit_test(a_launch_that_was_taken_needs_no_memory),
        cmocka_unit_test(modules_may_be_wrong),
        cmocka_unit_test(the_compiler_may_be_absent_or_have_arguments),
        cmocka_unit_test(each_call_can_be_told_to_fail),
        cmocka_unit_test(threads_share_devices),
        cmocka_unit_test(a_reset_leaves_nothing),
    };
    EMU_TESTS(tests);
}
