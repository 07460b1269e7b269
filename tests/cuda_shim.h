/* cuda_shim: enough of CUDA C to run printed kernels as host C++. The threads of a block run one
 * after the other, or, in a kernel that synchronises, are fibers that change there. Included
 * before a program by tests/cuda_host.c. Blocks run one after the other. */
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(n)

struct Dim3 {
    unsigned x, y, z;
};
static Dim3 threadIdx, blockIdx, gridDim, blockDim;

/* ---- fibers ---------------------------------------------------------------------------------- */

namespace shim {
enum { MOST = 256, STACK = 1 << 18, LANES = 32 };
struct Barrier {
    unsigned waiting, turn;
};
static jmp_buf scheduler,
    fiber
        [MOST]; /* _setjmp and _longjmp: swapcontext would ask the system about signals each time */
static ucontext_t born, parent;
static bool done[MOST];
static char *stack[MOST];
static Barrier block, warp[MOST / LANES];
static unsigned long long held[MOST];
static bool progress;
static void (*kernel)(void **);
static void **params;

static void leave(unsigned thread)
{
    if (!_setjmp(fiber[thread])) _longjmp(scheduler, 1);
}

static void body(int thread)
{
    leave(thread);
    kernel(params);
    done[thread] = progress = true;
    leave(thread);
}

static void wait(Barrier &b, unsigned all)
{
    unsigned me = threadIdx.x, turn = b.turn;
    if (++b.waiting == all) {
        b.waiting = 0;
        b.turn++;
        progress = true;
    } else {
        while (b.turn == turn) leave(me);
    }
}
static Barrier &mine() { return warp[threadIdx.x / LANES]; }

template <typename T> T exchange(T x, unsigned lane)
{
    T other;
    held[threadIdx.x] = 0;
    memcpy(&held[threadIdx.x], &x, sizeof x);
    wait(mine(), LANES);
    memcpy(&other, &held[threadIdx.x / LANES * LANES + lane % LANES], sizeof other);
    wait(mine(), LANES);
    return other;
}

/* False: threads wait for others that never come. */
static bool run_block(unsigned threads)
{
    volatile unsigned left = threads;
    memset(done, 0, sizeof done);
    memset(warp, 0, sizeof warp);
    block = Barrier();
    for (volatile unsigned t = 0; t < threads; t = t + 1) {
        if (!stack[t]) stack[t] = (char *)malloc(STACK);
        getcontext(&born);
        born.uc_stack.ss_sp = stack[t];
        born.uc_stack.ss_size = STACK;
        makecontext(&born, (void (*)())body, 1, (int)t);
        if (!_setjmp(scheduler)) swapcontext(&parent, &born);
    }
    for (progress = true; progress && left;) {
        progress = false;
        for (volatile unsigned t = 0; t < threads; t = t + 1) {
            if (done[t]) continue;
            threadIdx.x = t;
            if (!_setjmp(scheduler)) _longjmp(fiber[t], 1);
            if (done[t]) left = left - 1;
        }
    }
    return left == 0;
}

template <typename... A, size_t... I>
void spread(void (*f)(A...), void **p, std::index_sequence<I...>)
{
    f(*(A *)p[I]...);
}
template <typename... A> void call(void (*f)(A...), void **p)
{
    spread(f, p, std::index_sequence_for<A...>());
}
} // namespace shim

/* together: threads wait for each other. */
extern "C" int shim_launch(
    void (*call)(void **), int together, unsigned grid, unsigned threads, void **params)
{
    gridDim.x = grid;
    blockDim.x = threads;
    shim::kernel = call;
    shim::params = params;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) {
        for (threadIdx.x = 0; threadIdx.x < threads && !together; threadIdx.x++) call(params);
        if (together && !shim::run_block(threads)) return 719;
    }
    return 0;
}
extern "C" void shim_close()
{
    for (char *s : shim::stack) free(s);
}

/* ---- intrinsics ------------------------------------------------------------------------------ */

static inline void __syncthreads() { shim::wait(shim::block, blockDim.x); }
static inline void __syncwarp() { shim::wait(shim::mine(), shim::LANES); }
template <typename T> T __shfl_sync(unsigned, T x, unsigned lane)
{
    return shim::exchange(x, lane);
}
template <typename T> T __shfl_down_sync(unsigned, T x, unsigned by)
{
    unsigned lane = threadIdx.x % shim::LANES;
    return shim::exchange(x, lane + by < shim::LANES ? lane + by : lane);
}

template <typename To, typename From> static inline To shim_bits(From x)
{
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline float __int_as_float(int x) { return shim_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return shim_bits<float>(x); }
static inline int __float_as_int(float x) { return shim_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return shim_bits<unsigned>(x); }
static inline double __longlong_as_double(long long x) { return shim_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return shim_bits<long long>(x); }
static inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double __fma_rn(double x, double y, double z) { return __builtin_fma(x, y, z); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline unsigned __umulhi(unsigned x, unsigned y)
{
    return (unsigned)((unsigned long long)x * y >> 32);
}
