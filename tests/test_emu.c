/* test_emu: emulated CUDA devices at their table of functions: what they are, memory, copies, streams and events. Modules, launches
 * and faults are in test_emu_launch.c. */
#define _GNU_SOURCE
#include "emu_use.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what there is ------------------------------------------------------------------------------------------------ */
static void devices_say_what_they_are(void **state)
{
    (void)state;
    int n, major, version;
    size_t bytes;
    char name[64];
    const CudaDriver *d = emu_use(0), *e = emu_use(1);
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
    const CudaDriver *d = emu_use(0);
    Status st = {0};
    assert_false(cuda_ok(d, CUDA_ERROR_OUT_OF_MEMORY, &st, "asking for %d", 7));
    assert_string_equal(st.text, "cuda: asking for 7: CUDA_ERROR_OUT_OF_MEMORY (out of memory)");
}

static void calls_need_a_context(void **state)
{
    (void)state;
    CUdeviceptr at;
    CUcontext c;
    const CudaDriver *d = emu_use(0), *e = emu_use(1);
    assert_int_equal(d->CtxPushCurrent(d->context), 0);
    assert_int_equal(d->CtxPopCurrent(&c), 0);
    assert_ptr_equal(c, d->context);
    at = emu_memory(e, 8);
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
    const CudaDriver *d = emu_use(0);
    CUdeviceptr a = emu_memory(d, 100), b = emu_memory(d, 100), c;
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
    c = emu_memory(d, 100);
    assert_true(c != a && c > b); /* used again late */
    assert_int_equal(d->MemAlloc(&c, 0), INVALID);
}

static void memory_ends(void **state)
{
    (void)state;
    size_t left, total;
    CUdeviceptr a, b, c;
    setenv("KILN_EMU_MEMORY", "3M", 1); /* read when the device is opened */
    const CudaDriver *d = emu_use(3);
    unsetenv("KILN_EMU_MEMORY");
    assert_int_equal(d->MemAlloc(&a, (3 << 20) + 1), OUT_OF_MEMORY);
    a = emu_memory(d, 2 << 20);
    b = emu_memory(d, 1000);
    assert_int_equal(d->MemGetInfo(&left, &total), 0);
    assert_int_equal(total, 3 << 20);
    assert_int_equal(left, (1 << 20) - 1024);
    assert_int_equal(d->MemAlloc(&c, 1 << 20), OUT_OF_MEMORY);
    CUstream s = emu_stream(d);
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
    const CudaDriver *d = emu_use(0);
    enum { BIG = (1 << 30) - (1 << 20) };
    CUdeviceptr first = emu_memory(d, 100), kept[8], at = 0;
    for (int i = 0; i < 8; i++) kept[i] = emu_memory(d, 4096);
    bool again = false;
    for (int i = 0; i < 100; i++) {
        at = emu_memory(d, BIG);
        again = again || at < first + (1 << 20);
        for (int k = 0; k < 8; k++) assert_true(at + BIG <= kept[k] || at >= kept[k] + 4096);
        assert_int_equal(d->MemFree(at), 0);
        assert_int_equal(d->MemFree(kept[i % 8]), 0);
        kept[i % 8] = emu_memory(d, 4096);
    }
    assert_true(again);
}

static void the_host_reaches_nothing(void **state)
{
    (void)state;
    int status;
    const CudaDriver *d = emu_use(0);
    CUdeviceptr x = emu_memory(d, 64);
    assert_int_equal(emu_launch(d, emu_function(d, "fill"), 1, 256, NULL, (void *[]){&x, &(float){1}, &(int){16}}), 0);
    assert_int_equal(d->CtxSynchronize(), 0);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(volatile char *)(uintptr_t)x ? 0 : 0);
    }
    waitpid(child, &status, 0);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* As with CUDA; its memory would be its parent's. */
static void a_child_has_no_device(void **state)
{
    (void)state;
    int status;
    const CudaDriver *d = emu_use(0);
    const pid_t child = fork();
    if (child == 0) {
        CUdeviceptr at;
        const char *name = "";
        const CUresult r = d->MemAlloc(&at, 8);
        d->GetErrorName(r, &name);
        _exit(strcmp(name, "CUDA_ERROR_NOT_INITIALIZED") == 0 && d->CtxPushCurrent(d->context) == r ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */
/* 3 * 2 + 1 or (3 + 1) * 2, as the streams take turns; with an event the first. */
static float two_streams(const CudaDriver *d, uint64_t seed, bool event)
{
    emu_reset(d->ordinal, seed);
    CUmodule m = emu_load(d, emu_source);
    CUfunction twice, more;
    CUdeviceptr x = emu_memory(d, 4);
    CUstream first = emu_stream(d), second = emu_stream(d);
    CUevent v;
    float out = 3;
    int wrong = d->ModuleGetFunction(&twice, m, "twice") + d->ModuleGetFunction(&more, m, "more") + d->MemcpyHtoD(x, &out, 4) +
                d->EventCreate(&v, CU_EVENT_DISABLE_TIMING);
    for (int i = 0; i < 3; i++) wrong += d->MemcpyDtoDAsync(x, x, 4, first); /* so that it is seldom done already */
    wrong += emu_launch(d, twice, 1, 1, first, (void *[]){&x}) + d->EventRecord(v, first);
    if (event) wrong += d->StreamWaitEvent(second, v, 0);
    wrong += emu_launch(d, more, 1, 1, second, (void *[]){&x}) + d->StreamSynchronize(second) + d->StreamSynchronize(first) +
             d->MemcpyDtoH(&out, x, 4) + d->EventDestroy(v) + d->StreamDestroy(first) + d->StreamDestroy(second);
    assert_int_equal(wrong, 0);
    return out;
}

static void the_seed_orders_streams(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(0);
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
    const CudaDriver *d = emu_use(0);
    CUfunction more = emu_function(d, "more");
    CUdeviceptr x = emu_memory(d, 4);
    CUstream s = emu_stream(d);
    CUevent v;
    int waited = 0;
    assert_int_equal(d->EventCreate(&v, CU_EVENT_DISABLE_TIMING), 0);
    assert_int_equal(d->EventQuery(v), 0); /* never recorded */
    assert_int_equal(d->EventSynchronize(v), 0);
    assert_int_equal(d->MemcpyHtoD(x, &(float){0}, 4), 0);
    for (int i = 0; i < 1000; i++) assert_int_equal(emu_launch(d, more, 1, 1, s, (void *[]){&x}), 0);
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
    const CudaDriver *d = emu_use(0);
    CUdeviceptr x = emu_memory(d, 4);
    for (uint64_t i = 0; i < 10; i++) {
        int *pinned, plain = 5, out;
        CUstream s = emu_stream(d);
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
    const CudaDriver *d = emu_use(0);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        emu_reset(0, seed);
        CUstream s = emu_stream(d), other = emu_stream(d);
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
    const CudaDriver *d = emu_use(0);
    CUstream s = emu_stream(d), none;
    emu_use(1);
    CUstream theirs = emu_stream(d);
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
        cmocka_unit_test(a_child_has_no_device),
        cmocka_unit_test(the_seed_orders_streams),
        cmocka_unit_test(work_is_late),
        cmocka_unit_test(pinned_memory_is_late),
        cmocka_unit_test(memory_comes_and_goes_with_its_stream),
        cmocka_unit_test(handles_are_known),
    };
    EMU_TESTS(tests);
}
