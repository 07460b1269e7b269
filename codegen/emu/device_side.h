/* device_side: what a module of an emulated device is made of besides the printed CUDA C. The library includes the first part,
 * which says what both sides know of each other; the whole file is embedded in the library (embed.c) and stands before the text of
 * each module, but for what no kernel of it can name (EMU_TENSOR, EMU_GROUPS: build.c). It includes no header, because each module
 * is compiled anew and headers take most of such a time. Threads, barriers and shuffles are the library's (fiber.c). */
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
    /* The thread is about to read or change so many bytes; comes back only if it may. */
    void (*access)(void *self, const void *at, unsigned bytes, unsigned how);
    /* Copies into shared memory that have not arrived before the thread waits for all but the last `left` groups. */
    void (*copy)(void *self, void *to, const void *from, unsigned bytes, unsigned there);
    void (*copies_group)(void *self);
    void (*copies_wait)(void *self, unsigned left);
    void (*set_condition)(void *self, unsigned long long handle, unsigned value); /* of a graph's conditional node */
    /* What the thread has written into shared memory may be read by tensor cores after the next barrier; and they read. */
    void (*shared_written)(void *self);
    void (*group_read)(void *self, const void *at, unsigned bytes);
    /* What the thread, and those it has waited for, have written into the device's memory may be read by other blocks after it
     * has met them; and it meets the other blocks of its column of the grid, which are so many. */
    void (*fence)(void *self);
    void (*meet)(void *self, void *at, unsigned blocks);
    void (*misuse)(void *self, const char *why); /* ends the launch */
    /* So does this: the thread is at an element that the array does not have. */
    void (*no_element)(void *self, unsigned long long index, const char *array);
    /* Barriers of bulk.h: one for so many arrivals; the thread's own may be used by copies; it arrives, and so many bytes will; it
     * waits until the phase of that parity is over. */
    void (*barrier_make)(void *self, void *at, unsigned count);
    void (*barriers_made)(void *self);
    void (*barrier_expect)(void *self, void *at, unsigned bytes);
    void (*barrier_wait)(void *self, void *at, unsigned parity);
    /* Copies a map's box, from those places on; it arrives at the barrier. A map in memory gets another address, which a fence
     * shows (map: to this thread's copies; NULL: what this thread has changed, to others). */
    void (*copy_box)(void *self, void *to, const void *map, void *barrier, const int *at, unsigned rank);
    void (*map_move)(void *self, void *map, unsigned long long address);
    void (*map_fence)(void *self, const void *map);
} EmuCalls;
enum { EMU_WRITE = 1, EMU_ATOMIC = 2, EMU_LATE = 4 /* a write; what lies there until it has arrived is nothing */ };

/* The library writes it before it runs a thread. */
typedef struct EmuSide {
    EmuDim3 thread, block, grid, threads;
    unsigned shared; /* bytes that the launch asked for */
    EmuCalls calls;
    void *self;
    const char *stacks; /* of all threads: what lies there is a thread's own */
    unsigned long stack_bytes;
} EmuSide;

typedef struct EmuKernel {
    const char *name;
    void (*call)(void **params);
    unsigned nparam;
    const unsigned short *bytes; /* of each parameter */
} EmuKernel;

/* What a module shows, under the name emu_module. */
typedef struct EmuModule {
    EmuSide *side;
    const EmuKernel *kernel;   /* up to one without a name */
    char *shared, *shared_end; /* where the memory of its blocks lies */
} EmuModule;

#ifdef KILN_DEVICE_SIDE

/* A thread sees it as const: what is const need not be announced. The compiler must not know that the two are one. */
extern "C" EmuSide emu_state;
EmuSide emu_state __attribute__((used));
extern "C" const EmuSide emu_side __attribute__((visibility("hidden")));
__asm__(".globl emu_side\n.hidden emu_side\n.set emu_side, emu_state");
#define threadIdx emu_side.thread
#define blockIdx emu_side.block
#define gridDim emu_side.grid
#define blockDim emu_side.threads

#define __global__ __attribute__((noinline))
#define __device__
#define __shared__ static __attribute__((section("emu_shared")))
#define __forceinline__ inline
#define __launch_bounds__(...)
#define EMU_OWN __attribute__((no_sanitize_thread)) /* announces nothing */
extern "C" char __start_emu_shared[] __attribute__((weak)), __stop_emu_shared[] __attribute__((weak));

/* ---- accesses ----------------------------------------------------------------------------------------------------- */
extern "C" EMU_OWN __attribute__((used, visibility("hidden"))) void emu_access(const void *at, unsigned bytes, unsigned how)
{
    if ((unsigned long)((const char *)at - emu_side.stacks) < emu_side.stack_bytes) return;
    if ((unsigned long)at - (unsigned long)&emu_side < sizeof emu_side) return; /* some compilers announce it all the same */
    emu_side.calls.access(emu_side.self, at, bytes, how);
}
extern "C" EMU_OWN void __tsan_read_range(void *at, unsigned long bytes) { emu_access(at, bytes, 0); }
extern "C" EMU_OWN void __tsan_write_range(void *at, unsigned long bytes) { emu_access(at, bytes, EMU_WRITE); }
#if defined(__x86_64__) /* as functions they would take longer to compile than most kernels */
__asm__(".pushsection .text\n"
        ".irp n, 1, 2, 4, 8, 16\n"
        "__tsan_read\\n: __tsan_unaligned_read\\n: movl $\\n, %esi; movl $0, %edx; jmp emu_access\n"
        "__tsan_write\\n: __tsan_unaligned_write\\n: movl $\\n, %esi; movl $1, %edx; jmp emu_access\n"
        ".endr\n"
        "__tsan_func_entry: __tsan_func_exit: __tsan_init: ret\n"
        ".popsection\n");
#else
#define EMU_ACCESS(bytes)                                                                        \
    extern "C" EMU_OWN void __tsan_read##bytes(void *at) { emu_access(at, bytes, 0); }           \
    extern "C" EMU_OWN void __tsan_write##bytes(void *at) { emu_access(at, bytes, EMU_WRITE); }  \
    extern "C" EMU_OWN void __tsan_unaligned_read##bytes(void *at) { emu_access(at, bytes, 0); } \
    extern "C" EMU_OWN void __tsan_unaligned_write##bytes(void *at) { emu_access(at, bytes, EMU_WRITE); }
EMU_ACCESS(1)
EMU_ACCESS(2)
EMU_ACCESS(4)
EMU_ACCESS(8)
EMU_ACCESS(16)
extern "C" EMU_OWN void __tsan_func_entry(void *) {}
extern "C" EMU_OWN void __tsan_func_exit() {}
extern "C" EMU_OWN void __tsan_init() {}
#endif

/* What the compiler calls where an index lies outside of an array whose size it knows, shared or a thread's own. data: a place in
 * the text, then the array's type, whose name stands behind four bytes of it. */
struct EmuIndexed {
    const char *file;
    unsigned line, column;
    const char *array, *index;
};
extern "C" EMU_OWN void __ubsan_handle_out_of_bounds(const EmuIndexed *data, unsigned long index)
{
    emu_side.calls.no_element(emu_side.self, index, data->array + 4);
}

/* Fibers take turns only where they wait, so that nothing comes between. */
template <typename T> EMU_OWN static T emu_atomic(T *at) { return emu_access(at, sizeof *at, EMU_WRITE | EMU_ATOMIC), *at; }
#define EMU_CHANGE(name, now)                                                      \
    template <typename T> EMU_OWN static inline T name(T *at, decltype(*at + 0) x) \
    {                                                                              \
        const T was = emu_atomic(at);                                              \
        *at = now;                                                                 \
        return was;                                                                \
    }
EMU_CHANGE(atomicAdd, was + x)
EMU_CHANGE(atomicExch, x)
EMU_CHANGE(atomicMax, was > x ? was : x)
EMU_CHANGE(atomicMin, was < x ? was : x)
EMU_CHANGE(atomicAnd, was &x)
EMU_CHANGE(atomicOr, was | x)
template <typename T> EMU_OWN static inline T atomicCAS(T *at, decltype(*at + 0) old, decltype(*at + 0) x)
{
    const T was = emu_atomic(at);
    if (was == old) *at = x;
    return was;
}
static inline void __threadfence() { emu_side.calls.fence(emu_side.self); }

/* ---- functions of the prelude that are instructions of PTX -------------------------------------------------------- */
template <int BYTES> static inline void copy_late(void *to, const void *from, bool there)
{
    emu_side.calls.copy(emu_side.self, to, from, BYTES, there);
}
static inline void copies_group() { emu_side.calls.copies_group(emu_side.self); }
template <int N> static inline void copies_wait() { emu_side.calls.copies_wait(emu_side.self, N); }
extern "C" EMU_OWN inline void cudaGraphSetConditional(unsigned long long handle, unsigned value)
{
    emu_side.calls.set_condition(emu_side.self, handle, value);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */
struct EmuParam {
    void *at;
    template <typename T> EMU_OWN operator T() const
    {
        T x;
        __builtin_memcpy(&x, at, sizeof x); /* it may want to lie at multiples of more bytes */
        return x;
    }
};
template <typename... A> struct EmuSizes {
    static constexpr unsigned short at[] = {sizeof(A)...};
};
template <typename... A> constexpr EmuKernel emu_kernel(const char *name, void (*)(A...), void (*call)(void **))
{
    return {name, call, sizeof...(A), EmuSizes<A...>::at};
}

/* ---- threads that wait for each other ----------------------------------------------------------------------------- */
static unsigned char emu_flying[1024]; /* of each thread: products that were asked for and not waited for */
EMU_OWN static void emu_intact();
EMU_OWN static inline void __syncthreads()
{
    if (emu_flying[threadIdx.x]) emu_intact();
    emu_side.calls.sync_block(emu_side.self);
}
static inline void __syncwarp(unsigned = 0xffffffffu) { emu_side.calls.sync_warp(emu_side.self); }
template <typename T> static T emu_shuffle(T x, unsigned lane)
{
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &x, sizeof x);
    bits = emu_side.calls.shuffle(emu_side.self, bits, lane);
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
template <typename T> static inline T __shfl_sync(unsigned, T x, unsigned lane) { return emu_shuffle(x, lane % 32); }
template <typename T> static inline T __shfl_down_sync(unsigned, T x, unsigned by)
{
    const unsigned lane = threadIdx.x % 32;
    return emu_shuffle(x, lane + by < 32 ? lane + by : lane);
}

/* codegen/cuda/cuda_prelude.c */
static inline void blocks_meet(unsigned long long *at, unsigned blocks)
{
    __syncthreads();
    if (threadIdx.x == 0) emu_side.calls.meet(emu_side.self, at, blocks);
    __syncthreads();
}

/* ---- bits --------------------------------------------------------------------------------------------------------- */
template <typename To, typename From> static inline To emu_bits(From x)
{
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}

/* ---- tensor cores ------------------------------------------------------------------------------------------------- */
#ifdef EMU_TENSOR
/* What each thread shows the others of its warp, at its even and odd turns: a lane reads before it comes to the next turn. */
struct EmuShown {
    const void *line;
    unsigned a[4], b[2];
};
static EmuShown emu_shown[2][1024];
static unsigned char emu_turn[1024];

EMU_OWN static inline const EmuShown *emu_show(const EmuShown &mine)
{
    const unsigned t = threadIdx.x, turn = emu_turn[t] ^= 1;
    emu_shown[turn][t] = mine;
    emu_side.calls.shuffle(emu_side.self, 0, 0);
    return &emu_shown[turn][t / 32 * 32];
}

EMU_OWN static inline const unsigned short *emu_line(const EmuShown *all, unsigned i)
{
    return (const unsigned short *)all[i].line;
}

static inline void fragments(unsigned *r, const void *line)
{
    const EmuShown *all = emu_show({line, {}, {}});
    for (unsigned j = 0; j < 4; j++) r[j] = ((const unsigned *)emu_line(all, 8 * j + threadIdx.x % 32 / 4))[threadIdx.x % 4];
}

static inline void fragments_turned(unsigned *r, const void *line)
{
    const EmuShown *all = emu_show({line, {}, {}});
    for (unsigned j = 0; j < 4; j++) {
        const unsigned n = 8 * j + threadIdx.x % 4 * 2, at = threadIdx.x % 32 / 4;
        r[j] = emu_line(all, n)[at] | (unsigned)emu_line(all, n + 1)[at] << 16;
    }
}

EMU_OWN static inline double emu_half(unsigned pair, unsigned which, bool brain)
{
    const unsigned h = pair >> 16 * which & 0xffff, e = h >> 10 & 31, m = h & 1023;
    if (brain) return emu_bits<float>(h << 16);
    const double size = e == 31 ? (m ? __builtin_nan("") : __builtin_inf())
                        : e     ? __builtin_ldexp(1024 + m, (int)e - 25)
                                : __builtin_ldexp(m, -24);
    return h >> 15 ? -size : size;
}

/* All products and c are added in f64, in order, and cut off to f32 towards 0; what tensor cores lose, and where, is their own. */
EMU_OWN static inline float emu_cut(double sum)
{
    const float f = (float)sum;
    return f - f == 0 && __builtin_fabs((double)f) > __builtin_fabs(sum) ? emu_bits<float>(emu_bits<unsigned>(f) - 1) : f;
}

EMU_OWN static inline void emu_mma(float *c, const unsigned *a, const unsigned *b, bool brain)
{
    const EmuShown *all = emu_show({nullptr, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
    const unsigned lane = threadIdx.x % 32;
    for (unsigned g = 0; g < 4; g++) {
        double sum = c[g];
        const unsigned row = lane / 4 * 4, column = (lane % 4 * 2 + g % 2) * 4;
        for (unsigned k = 0; k < 16; k++)
            sum += emu_half(all[row + k % 8 / 2].a[g / 2 + k / 8 * 2], k % 2, brain) *
                   emu_half(all[column + k % 8 / 2].b[k / 8], k % 2, brain);
        c[g] = emu_cut(sum);
    }
}
static inline void mma_f16(float *c, const unsigned *a, const unsigned *b) { emu_mma(c, a, b, false); }
static inline void mma_bf16(float *c, const unsigned *a, const unsigned *b) { emu_mma(c, a, b, true); }

/* What is below the 11 bits is no part of an operand, as if to_tf32 had been forgotten. */
EMU_OWN static inline double emu_tf32(unsigned x) { return emu_bits<float>(x & 0xffffe000); }

EMU_OWN static inline void mma_tf32(float *c, const unsigned *a, const unsigned *b)
{
    const EmuShown *all = emu_show({nullptr, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
    const unsigned lane = threadIdx.x % 32;
    for (unsigned g = 0; g < 4; g++) {
        double sum = c[g];
        for (unsigned k = 0; k < 8; k++)
            sum += emu_tf32(all[lane / 4 * 4 + k % 4].a[g / 2 + k / 4 * 2]) *
                   emu_tf32(all[(lane % 4 * 2 + g % 2) * 4 + k % 4].b[k / 4]);
        c[g] = emu_cut(sum);
    }
}

/* Of two equally near ones the one further from 0. */
EMU_OWN static inline unsigned to_tf32(unsigned x)
{
    const bool finite = (x & 0x7f800000) != 0x7f800000;
    return finite ? (x + 0x1000) & 0xffffe000 : x & 0x7fffff ? 0x7fffffff : x;
}

#endif

/* ---- products of four warps (codegen/cuda/product_wgmma.c) --------------------------------------------------------- */
#ifdef EMU_GROUPS
/* They are made when the thread waits for them; until then its sums are a pattern that nobody may change. */
struct EmuGroup {
    float *sum, held[64]; /* what the first product found */
    unsigned columns, n, committed;
    bool begun;
    struct {
        unsigned long long a, b;
        bool brain, turned[2];
    } product[8];
};
static EmuGroup emu_group[1024];
enum { EMU_FLYING = 0x7fabcdef };

EMU_OWN static inline void emu_misuse(const char *why) { emu_side.calls.misuse(emu_side.self, why); }

EMU_OWN static void emu_intact()
{
    const EmuGroup &g = emu_group[threadIdx.x];
    for (unsigned i = 0; g.n > 0 && i < g.columns / 2; i++)
        if (emu_bits<unsigned>(g.sum[i]) != EMU_FLYING) emu_misuse("uses sums of a wgmma that it has not waited for");
}

#define KILN_SHARED(bytes)                                     \
    alignas(1024) __shared__ unsigned char kiln_shared[bytes]; \
    if (emu_side.shared < bytes) emu_misuse("has less shared memory than it uses")
static inline unsigned shared_at(const void *x) { return (unsigned)((const char *)x - __start_emu_shared); }
static inline void shared_written() { emu_side.calls.shared_written(emu_side.self); }

template <int N> EMU_OWN static inline void group_begin(float *)
{
    emu_intact();
    emu_group[threadIdx.x].begun = true;
}

template <int N, bool BRAIN, int A_TURNED, int B_TURNED>
EMU_OWN static inline void wgmma(float *c, unsigned long long a, unsigned long long b)
{
    EmuGroup &g = emu_group[threadIdx.x];
    emu_intact();
    if (!g.begun) emu_misuse("asks for a wgmma with no wgmma.fence before it");
    if (g.n == 8 || (g.n > 0 && (g.sum != c || g.columns != N)))
        emu_misuse("asks for more wgmma, or others, than an emulated device does");
    for (unsigned i = 0; g.n == 0 && i < N / 2; i++) g.held[i] = c[i], c[i] = emu_bits<float>((unsigned)EMU_FLYING);
    g.sum = c, g.columns = N;
    g.product[g.n++] = {a, b, BRAIN, {A_TURNED != 0, B_TURNED != 0}};
    emu_flying[threadIdx.x] = 1;
}

EMU_OWN static inline void group_commit() { emu_group[threadIdx.x].committed = emu_group[threadIdx.x].n; }

/* Where a descriptor says that element l of k of row (column) i lies in shared memory. */
EMU_OWN static inline const char *emu_cell(unsigned long long d, bool turned, unsigned i, unsigned l)
{
    const unsigned mode = (unsigned)(d >> 62), line = mode == 1 ? 128 : mode == 2 ? 64 : 32;
    const unsigned first = (unsigned)(d >> 16 & 0x3fff) << 4, second = (unsigned)(d >> 32 & 0x3fff) << 4;
    unsigned at = (unsigned)(d & 0x3fff) << 4;
    if (mode == 0 || (d >> 49 & 7) != 0) emu_misuse("gives a descriptor that an emulated device does not know");
    if (turned)
        at += i % (line / 2) * 2 + i / (line / 2) * first + l % 8 * line + l / 8 * second;
    else
        at += i % 8 * line + i / 8 * second + l * 2;
    return __start_emu_shared + (at ^ (at >> 7 & (line / 16 - 1)) << 4);
}

/* A thread announces its part of what all four warps read, in pieces. */
EMU_OWN static inline void emu_operand(unsigned long long d, bool turned, unsigned rows)
{
    for (unsigned e = threadIdx.x % 128; e < 2 * rows; e += 128) {
        const unsigned i = turned ? e % (rows / 8) * 8 : e / 2, l = turned ? e / (rows / 8) : e % 2 * 8;
        emu_side.calls.group_read(emu_side.self, emu_cell(d, turned, i, l), 16);
    }
}

EMU_OWN static inline double emu_element(unsigned long long d, bool turned, unsigned i, unsigned l, bool brain)
{
    return emu_half(*(const unsigned short *)emu_cell(d, turned, i, l), 0, brain);
}

/* As emu_mma adds. */
EMU_OWN static void emu_wgmma(EmuGroup &g, unsigned q)
{
    const auto &p = g.product[q];
    const unsigned lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
    double a[2][16], b[2][16];
    emu_operand(p.a, p.turned[0], 64);
    emu_operand(p.b, p.turned[1], g.columns);
    for (unsigned h = 0; h < 2; h++)
        for (unsigned k = 0; k < 16; k++) a[h][k] = emu_element(p.a, p.turned[0], row + 8 * h, k, p.brain);
    for (unsigned j = 0; j < g.columns / 8; j++) {
        for (unsigned h = 0; h < 2; h++)
            for (unsigned k = 0; k < 16; k++) b[h][k] = emu_element(p.b, p.turned[1], 8 * j + lane % 4 * 2 + h, k, p.brain);
        for (unsigned i = 0; i < 4; i++) {
            double sum = g.held[4 * j + i];
            for (unsigned k = 0; k < 16; k++) sum += a[i / 2][k] * b[i % 2][k];
            g.held[4 * j + i] = emu_cut(sum);
        }
    }
}

/* What was not committed goes on. */
template <int N> EMU_OWN static inline void group_wait(float *)
{
    EmuGroup &g = emu_group[threadIdx.x];
    emu_intact();
    for (unsigned q = 0; q < g.committed; q++) emu_wgmma(g, q);
    for (unsigned q = g.committed; q < g.n; q++) g.product[q - g.committed] = g.product[q];
    g.n -= g.committed;
    for (unsigned i = 0; g.committed > 0 && g.n == 0 && i < g.columns / 2; i++) g.sum[i] = g.held[i];
    g.committed = 0;
    g.begun = false;
    emu_flying[threadIdx.x] = g.n > 0;
}

#else
EMU_OWN static void emu_intact() {}
#endif

/* ---- bulk copies (codegen/cuda/product_bulk.c) ---------------------------------------------------------------------- */
#define __grid_constant__
#define KILN_MAPS_MOVE true
static inline void barrier_make(void *at, unsigned n) { emu_side.calls.barrier_make(emu_side.self, at, n); }
static inline void barriers_made() { emu_side.calls.barriers_made(emu_side.self); }
static inline void barrier_expect(void *at, unsigned bytes) { emu_side.calls.barrier_expect(emu_side.self, at, bytes); }
static inline void barrier_wait(void *at, unsigned parity) { emu_side.calls.barrier_wait(emu_side.self, at, parity); }
template <int RANK> static inline void copy_box(void *to, const void *map, void *barrier, const int *at)
{
    emu_side.calls.copy_box(emu_side.self, to, map, barrier, at, RANK);
}
static inline void map_move(void *map, unsigned long long to) { emu_side.calls.map_move(emu_side.self, map, to); }
static inline void maps_moved() { emu_side.calls.map_fence(emu_side.self, nullptr); }
static inline void map_taken(const void *map) { emu_side.calls.map_fence(emu_side.self, map); }

/* ---- scalars ------------------------------------------------------------------------------------------------------ */
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
static inline unsigned long __umul64hi(unsigned long x, unsigned long y) { return (unsigned long)((__uint128_t)x * y >> 64); }

#define EMU_FN(name)                \
    extern "C" double name(double); \
    extern "C" float name##f(float);
#define EMU_FNS(a, b, c) EMU_FN(a) EMU_FN(b) EMU_FN(c)
#define EMU_FN_2(name)                      \
    extern "C" double name(double, double); \
    extern "C" float name##f(float, float);
EMU_FNS(fabs, floor, ceil)
EMU_FNS(trunc, rint, log1p)
EMU_FNS(exp, exp2, expm1)
EMU_FNS(log, log2, log10)
EMU_FNS(sin, cos, tan)
EMU_FNS(asin, acos, atan)
EMU_FNS(sinh, cosh, tanh)
EMU_FNS(asinh, acosh, atanh)
EMU_FNS(cbrt, erfc, erf)
EMU_FN_2(fmod)
EMU_FN_2(copysign)
EMU_FN_2(pow)
EMU_FN_2(atan2)
EMU_FN_2(hypot)

#endif
#endif
