/* device_side: what a module of an emulated device is made of besides the printed CUDA C. The library includes the first part,
 * which says what both sides know of each other; the whole file is embedded in the library (embed.c) and stands before the text of
 * each module. It includes no header, because each module is compiled anew and headers take most of such a time. Threads, barriers
 * and shuffles are the library's (fiber.c). */
#ifndef KILN_CODEGEN_EMU_DEVICE_SIDE_H
#define KILN_CODEGEN_EMU_DEVICE_SIDE_H

typedef struct EmuDim3 {
    unsigned x, y, z;
} EmuDim3;

typedef struct EmuCalls {
    void (*sync_block)(void *self);
    void (*sync_warp)(void *self);
    /* Another lane's bits; all lanes of the warp take part. */
    unsigned long long (*shuffle)(void *self, unsigned long long bits, unsigned lane);
} EmuCalls;

/* The library writes it before it runs a thread. */
typedef struct EmuSide {
    EmuDim3 thread, block, grid, threads;
    const EmuCalls *calls;
    void *self;
} EmuSide;

typedef struct EmuKernel {
    const char *name;
    void (*call)(void **params);
    unsigned nparam;
    const unsigned char *bytes; /* of each parameter */
} EmuKernel;

/* What a module shows, under the name emu_module. */
typedef struct EmuModule {
    EmuSide *side;
    const EmuKernel *kernel; /* up to one without a name */
} EmuModule;

#ifdef KILN_DEVICE_SIDE

static EmuSide emu_side;
#define threadIdx emu_side.thread
#define blockIdx emu_side.block
#define gridDim emu_side.grid
#define blockDim emu_side.threads

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

/* ---- kernels ----------------------------------------------------------------------------------------------------- */
struct EmuParam {
    void *at;
    template <typename T> operator T() const { return *(T *)at; }
};
template <typename... A> struct EmuSizes {
    static constexpr unsigned char at[] = {sizeof(A)...};
};
template <typename... A> constexpr EmuKernel emu_kernel(const char *name, void (*)(A...), void (*call)(void **))
{
    return {name, call, sizeof...(A), EmuSizes<A...>::at};
}

/* ---- threads that wait for each other ----------------------------------------------------------------------------- */
static inline void __syncthreads() { emu_side.calls->sync_block(emu_side.self); }
static inline void __syncwarp(unsigned = 0xffffffffu) { emu_side.calls->sync_warp(emu_side.self); }
template <typename T> static T emu_shuffle(T x, unsigned lane)
{
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &x, sizeof x);
    bits = emu_side.calls->shuffle(emu_side.self, bits, lane);
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
template <typename T> static inline T __shfl_sync(unsigned, T x, unsigned lane) { return emu_shuffle(x, lane % 32); }
template <typename T> static inline T __shfl_down_sync(unsigned, T x, unsigned by)
{
    const unsigned lane = threadIdx.x % 32;
    return emu_shuffle(x, lane + by < 32 ? lane + by : lane);
}

/* ---- scalars ------------------------------------------------------------------------------------------------------ */
template <typename To, typename From> static inline To emu_bits(From x)
{
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
static inline float __int_as_float(int x) { return emu_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
static inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
static inline float __fmaf_rn(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double __fma_rn(double x, double y, double z) { return __builtin_fma(x, y, z); }
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
static inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((unsigned long long)x * y >> 32); }

#define EMU_FN(name)                \
    extern "C" double name(double); \
    extern "C" float name##f(float);
#define EMU_FN_2(name)                      \
    extern "C" double name(double, double); \
    extern "C" float name##f(float, float);
EMU_FN(fabs)
EMU_FN(floor)
EMU_FN(ceil)
EMU_FN(trunc)
EMU_FN(rint)
EMU_FN(exp)
EMU_FN(exp2)
EMU_FN(expm1)
EMU_FN(log)
EMU_FN(log2)
EMU_FN(log10)
EMU_FN(log1p)
EMU_FN(sin)
EMU_FN(cos)
EMU_FN(tan)
EMU_FN(asin)
EMU_FN(acos)
EMU_FN(atan)
EMU_FN(sinh)
EMU_FN(cosh)
EMU_FN(tanh)
EMU_FN(erf)
EMU_FN_2(fmod)
EMU_FN_2(copysign)
EMU_FN_2(pow)
EMU_FN_2(atan2)

#endif
#endif
