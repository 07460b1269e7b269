/* test_emu_check: what emulated CUDA devices see of a kernel's accesses: each that leaves the memory that is there, and each pair of
 * which one writes and nothing orders the two, whatever the seed. test_emu_mutants.c does it with printed kernels. */
#include "emu_use.h"

#define KERNEL "extern \"C\" __global__ void __launch_bounds__(256) "
#define T "threadIdx.x"
enum { BYTES = 1000, INTS = BYTES / 4 };

/* x: BYTES bytes of zeros. */
static const char source[] =
    /* bounds */
    KERNEL "inside(int *x) { if (" T " < 250) x[" T "] += 1; }\n"
    KERNEL "behind(int *x) { if (" T " < 251) x[" T "] = 1; }\n"
    KERNEL "before(int *x) { x[10] = x[-1]; }\n"
    KERNEL "across(char *x) { if (" T " == 7) *(int *)(x + 998) = 1; }\n"
    KERNEL "nowhere(int **x) { *x[" T "] = 1; }\n"
    KERNEL "odd(char *x) { *(int *)(x + 6 * " T ") = 1; }\n"
    KERNEL "wide(char *x) { struct alignas(16) Four { float at[4]; }; *(Four *)(x + 8) = *(Four *)(x + 32); }\n"
    /* indices: of a thread's own array, which is no memory that others see, and of one shared array where another lies behind it */
    KERNEL "own_inside(int *x) { int own[4]; for (int i = 0; i < 4; i++) own[i] = i; x[" T "] = own[" T " % 4]; }\n"
    KERNEL "own_outside(int *x) { int own[4]; for (int i = 0; i < 4; i++) own[i] = i; x[" T "] = own[" T " % 5]; }\n"
    KERNEL "shared_outside(int *x)\n"
    "{ __shared__ int s[8]; __shared__ int o[8]; if (" T " < 8) o[" T "] = 1; __syncthreads(); if (" T " == 8) s[" T "] = 1; }\n"
    /* order */
    KERNEL "both(int *x) { x[0] = 1; }\n"
    KERNEL "read_all(int *x) { if (" T " == 0) x[3] = 1; else x[10 + " T "] = x[3]; }\n"
    KERNEL "one_reads(int *x) { if (" T " == 0) x[3] = 1; if (" T " == blockDim.x - 1) x[10] = x[3]; }\n"
    KERNEL "turned(int *x) { x[" T "] = 1; x[100 + " T "] = x[" T " ^ 1]; }\n"
    KERNEL "turned_synced(int *x) { x[" T "] = 1; __syncthreads(); x[100 + " T "] = x[" T " ^ 63]; __syncthreads(); x[" T " ^ 63] = 2; }\n"
    KERNEL "turned_warp(int *x) { x[" T "] = 1; __syncwarp(); x[100 + " T "] = x[" T " ^ 1]; __syncwarp(); x[" T " ^ 1] = 2; }\n"
    KERNEL "turned_far(int *x) { x[" T "] = 1; __syncwarp(); x[100 + " T "] = x[" T " ^ 32]; }\n"
    KERNEL "turned_shuffle(int *x)\n"
    "{ x[" T "] = 1; int y = __shfl_sync(0xffffffffu, 5, 0); x[100 + " T "] = x[" T " ^ 1] + y; }\n"
    KERNEL "read_then_write(int *x) { x[10 + " T "] = x[0]; if (" T " == 40) x[0] = 7; }\n"
    KERNEL "read_then_write_late(int *x) { x[10 + " T "] = x[0]; __syncthreads(); if (" T " == 40) x[0] = 7; }\n"
    KERNEL "bytes(char *x) { x[" T "] = 1; }\n"
    KERNEL "halves(short *x) { x[" T "] = 1; ((char *)x)[2 * " T "] = 2; }\n"
    KERNEL "mixed(char *x) { if (" T " == 0) *(int *)x = 1; if (" T " == 33) x[3] = 1; }\n"
    KERNEL "mixed_apart(char *x) { if (" T " == 0) *(int *)x = 1; if (" T " == 33) x[4] = 1; }\n"
    KERNEL "adds(int *x) { atomicAdd(x, 1); }\n"
    KERNEL "adds_and_reads(int *x) { atomicAdd(x, 1); x[10 + " T "] = x[0]; }\n"
    KERNEL "adds_then_reads(int *x) { atomicAdd(x, 1); __syncthreads(); x[10 + " T "] = x[0]; }\n"
    /* reads pages 0 to 7, writes single bytes there, then pages 8 to 15 */
    KERNEL "pages(char *x)\n"
    "{\n"
    "    const int me = blockIdx.x * 256 + " T ";\n"
    "    int sum = 0;\n"
    "    for (int i = 0; i < 8; i++) sum += ((int *)x)[1024 * i + " T "];\n"
    "    __syncthreads();\n"
    "    if (" T " < 8) x[4096 * " T " + 2048 + blockIdx.x] = 1;\n"
    "    __syncthreads();\n"
    "    for (int i = 8; i < 16; i++) ((int *)x)[1024 * i + me] = sum;\n"
    "}\n"
    /* shared memory */
    KERNEL "share(int *x) { __shared__ int s[256]; s[" T "] = 1; __syncthreads(); x[blockIdx.x * blockDim.x + " T "] = s[" T " ^ 63]; }\n"
    KERNEL "share_early(int *x) { __shared__ int s[256]; s[" T "] = 1; x[blockIdx.x * blockDim.x + " T "] = s[" T " ^ 63]; }\n"
    KERNEL "share_again(int *x)\n"
    "{\n"
    "    __shared__ int s[256];\n"
    "    for (int i = 0; i < 2; i++) { s[" T "] = 1; __syncthreads(); x[blockIdx.x * blockDim.x + " T "] = s[" T " ^ 63]; }\n"
    "}\n"
    KERNEL "share_unwritten(int *x)\n"
    "{ __shared__ int s[256]; if (" T " > 0) s[" T "] = 1; __syncthreads(); x[blockIdx.x * blockDim.x + " T "] = s[" T "]; }\n";

static CUmodule module(const CudaDriver *d)
{
    static Text image;
    CUmodule m;
    Status st = {0};
    if (image.len == 0 && !d->build(d, source, "checks", &image, &st)) fail_msg("%s", st.text);
    assert_int_equal(d->ModuleLoadData(&m, image.at), 0);
    return m;
}

/* What comes of so many blocks of so many threads that work on BYTES bytes. */
static CUresult outcome(const CudaDriver *d, const char *kernel, unsigned grid, unsigned threads, uint64_t seed)
{
    CUfunction f;
    char zeros[BYTES] = {0};
    emu_reset(0, seed);
    emu_memory(d, 2048);
    CUdeviceptr x = emu_memory(d, BYTES);
    emu_memory(d, 2048);
    assert_int_equal(d->ModuleGetFunction(&f, module(d), kernel) + d->MemcpyHtoD(x, zeros, BYTES), 0);
    const CUresult r = emu_launch(d, f, grid, threads, NULL, (void *[]){&x}); /* it may run at once */
    return r != 0 ? r : d->CtxSynchronize();
}

static void comes_to(const char *kernel, unsigned grid, unsigned threads, CUresult want, const char *say)
{
    const CudaDriver *d = emu_use(0);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        const CUresult r = outcome(d, kernel, grid, threads, seed);
        if (r != want || !strstr(emu_fault(0), say))
            fail_msg("%s, seed %d: %d, not %d; it says '%s', not '%s'", kernel, (int)seed, r, want, emu_fault(0), say);
    }
}
#define GOOD(kernel, grid, threads) comes_to(kernel, grid, threads, 0, "")
#define RACE(kernel, grid, threads, say) comes_to(kernel, grid, threads, FAILED, say)

/* ---- bounds ------------------------------------------------------------------------------------------------------- */
static void accesses_stay_inside(void **state)
{
    (void)state;
    GOOD("inside", 1, 256);
    comes_to("behind", 1, 256, ILLEGAL, "behind: block 0, thread 250 writes 4 bytes at 0x");
    comes_to("behind", 1, 256, ILLEGAL, ", 0 bytes behind the 1000 bytes that were allocated at 0x");
    comes_to("before", 1, 1, ILLEGAL, "thread 0 reads 4 bytes at 0x");
    comes_to("before", 1, 1, ILLEGAL, ", 4 bytes before the 1000 bytes that were allocated at 0x");
    comes_to("across", 1, 8, ILLEGAL, ", byte 998 and on, of the 1000 bytes");
    comes_to("nowhere", 1, 1, ILLEGAL, "writes 4 bytes at (nil), which is no memory of this device");
}

static void accesses_are_aligned(void **state)
{
    (void)state;
    comes_to("odd", 1, 2, MISALIGNED, "odd: block 0, thread 1 writes 4 bytes at 0x");
    comes_to("odd", 1, 2, MISALIGNED, ", which is no multiple of 4");
    comes_to("wide", 1, 1, MISALIGNED, ", which is no multiple of 16");
}

/* Memory that was freed, that another device has, that the host has, and that its stream has not made yet. */
static void arrays_have_their_elements(void **state)
{
    (void)state;
    GOOD("own_inside", 1, 32);
    comes_to("own_outside", 1, 32, ILLEGAL, "is at element 4 of an array that is 'int [4]'");
    comes_to("shared_outside", 1, 9, ILLEGAL, "thread 8 is at element 8 of an array that is 'int [8]'");
}

static void memory_must_be_there(void **state)
{
    (void)state;
    int early = 0, host[256] = {0};
    const CudaDriver *d = emu_use(0);
    CUfunction f;
    for (int way = 0; way < 3; way++) {
        CUcontext c;
        emu_use(1);
        CUdeviceptr x = emu_memory(d, 1024), theirs = x;
        d = emu_use(0);
        x = emu_memory(d, 1024);
        if (way == 1) x = theirs;
        if (way == 2) x = (CUdeviceptr)(uintptr_t)host;
        assert_int_equal(d->ModuleGetFunction(&f, module(d), "inside"), 0);
        if (way == 0) assert_int_equal(d->MemFree(x), 0);
        emu_launch(d, f, 1, 1, NULL, (void *[]){&x});
        assert_int_equal(d->CtxSynchronize(), ILLEGAL);
        d->CtxPopCurrent(&c);
    }
    d = emu_use(0);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        emu_reset(0, seed);
        CUstream s = emu_stream(d), other = emu_stream(d);
        CUdeviceptr x;
        assert_int_equal(d->ModuleGetFunction(&f, module(d), "inside") + d->MemAllocAsync(&x, BYTES, s), 0);
        emu_launch(d, f, 1, 256, other, (void *[]){&x});
        if (d->StreamSynchronize(other) == 0) continue;
        if (!strstr(emu_fault(0), "before its stream made it")) fail_msg("%s", emu_fault(0));
        early++;
    }
    assert_in_range(early, 1, 19);
}

/* ---- order -------------------------------------------------------------------------------------------------------- */
static void threads_of_a_launch_must_be_ordered(void **state)
{
    (void)state;
    GOOD("both", 1, 1);
    RACE("both", 1, 2, " writes 4 bytes at 0x");
    RACE("both", 1, 64, " wrote there, and nothing orders the two: byte 0 of the 1000 that were allocated at 0x");
    RACE("both", 2, 1, "and another block wrote there");
    RACE("read_all", 1, 32, "");
    RACE("read_all", 1, 100, "");
    RACE("read_all", 2, 1, "");
    RACE("one_reads", 1, 32, ": byte 12 of the 1000");
    RACE("one_reads", 1, 70, ": byte 12 of the 1000");
    RACE("read_then_write", 1, 64, "");
    GOOD("read_then_write_late", 1, 64);
    RACE("read_then_write_late", 2, 64, "another block");
}

static void barriers_order(void **state)
{
    (void)state;
    RACE("turned", 1, 64, "");
    GOOD("turned_synced", 1, 64);
    GOOD("turned_warp", 1, 64);
    RACE("turned_far", 1, 64, "");
    RACE("turned_shuffle", 1, 64, ""); /* CUDA promises no order there */
    RACE("turned_synced", 2, 64, "another block");
}

static void bytes_are_told_apart(void **state)
{
    (void)state;
    GOOD("bytes", 1, 256);
    GOOD("halves", 1, 256);
    RACE("mixed", 1, 64, " of the 1000");
    GOOD("mixed_apart", 1, 64);
}

static void atomics_are_no_race_among_themselves(void **state)
{
    (void)state;
    int n = 0;
    const CudaDriver *d = emu_use(0);
    GOOD("adds", 3, 64);
    RACE("adds_and_reads", 1, 64, "");
    GOOD("adds_then_reads", 1, 64);
    RACE("adds_then_reads", 2, 64, "another block");
    CUfunction f;
    emu_reset(0, 1);
    CUdeviceptr x = emu_memory(d, 4);
    assert_int_equal(d->ModuleGetFunction(&f, module(d), "adds") + d->MemcpyHtoD(x, &n, 4), 0);
    assert_int_equal(emu_launch(d, f, 3, 64, NULL, (void *[]){&x}) + d->MemcpyDtoH(&n, x, 4), 0);
    assert_int_equal(n, 3 * 64);
}

/* What is known of one page does not come to be known of another. */
static void pages_are_told_apart(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(0);
    CUfunction f;
    CUdeviceptr x = emu_memory(d, 1 << 16);
    assert_int_equal(d->ModuleGetFunction(&f, module(d), "pages"), 0);
    emu_launch(d, f, 2, 256, NULL, (void *[]){&x});
    assert_int_equal(d->CtxSynchronize(), 0);
}

/* What one launch did is over for the next. */
static void launches_are_ordered(void **state)
{
    (void)state;
    const CudaDriver *d = emu_use(0);
    CUfunction f;
    CUdeviceptr x = emu_memory(d, BYTES);
    assert_int_equal(d->ModuleGetFunction(&f, module(d), "both"), 0);
    for (int i = 0; i < 5; i++) assert_int_equal(emu_launch(d, f, 1, 1, NULL, (void *[]){&x}), 0);
    assert_int_equal(d->CtxSynchronize(), 0);
}

static void shared_memory_is_watched(void **state)
{
    (void)state;
    GOOD("share", 3, 64);
    RACE("share_early", 1, 64, "shared memory");
    RACE("share_again", 1, 64, "shared memory");
    RACE("share_unwritten", 1, 64, "reads 4 bytes");
    RACE("share_unwritten", 1, 64, "which no thread of the block has written: byte ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accesses_stay_inside),
        cmocka_unit_test(accesses_are_aligned),
        cmocka_unit_test(arrays_have_their_elements),
        cmocka_unit_test(memory_must_be_there),
        cmocka_unit_test(threads_of_a_launch_must_be_ordered),
        cmocka_unit_test(barriers_order),
        cmocka_unit_test(bytes_are_told_apart),
        cmocka_unit_test(atomics_are_no_race_among_themselves),
        cmocka_unit_test(pages_are_told_apart),
        cmocka_unit_test(launches_are_ordered),
        cmocka_unit_test(shared_memory_is_watched),
    };
    EMU_TESTS(tests);
}
