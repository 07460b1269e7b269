/* cuda_prelude: the beginning of every printed program: names of types, and the primitives for which CUDA C has no operator, with
 * the meaning of ir/scalar.def; of those with many functions only what the program names, for compilers read all of it each time.
 * It includes no header and is plain C++11 except for the intrinsics. Relies on print.h. */
#include "print.h"

/* clang-format off */
static const char always[] =
    /* Folded code may compare an unsigned value with 0, and an empty axis has 0 points. */
    "#pragma nv_diag_suppress 186\n"
    "typedef signed char i8;\ntypedef short i16;\ntypedef int i32;\ntypedef long long i64;\n"
    "typedef unsigned char u8;\ntypedef unsigned short u16;\n"
    "typedef unsigned int u32;\ntypedef unsigned long long u64;\n"
    "typedef float f32;\ntypedef double f64;\n"
    "#define KILN_DEVICE __device__ __forceinline__\n"
    "#define KILN_WARP 0xffffffffu\n"
    "\n"
    "/* x times 2^n, rounded once: two factors, each within one float's exponent. */\n"
    "KILN_DEVICE f32 scale(f32 x, f32 t)\n"
    "{\n"
    "    const u32 n = __float_as_uint(t), half = n >> 1;\n"
    "    return x * __uint_as_float(half << 23) * __uint_as_float((n - half) << 23);\n"
    "}\n"
    "KILN_DEVICE f64 scale(f64 x, f64 t)\n"
    "{\n"
    "    const u64 n = u64(__double_as_longlong(t)), half = n >> 1;\n"
    "    return x * __longlong_as_double(i64(half << 52)) * __longlong_as_double(i64((n - half) << 52));\n"
    "}\n"
    "\n"
    "/* Steps of reductions: the total first. NaN wins; of equals, the element. */\n"
    "template <typename T> KILN_DEVICE T max_of(T total, T x)\n"
    "{ return total > x || total != total ? total : x; }\n"
    "template <typename T> KILN_DEVICE T min_of(T total, T x)\n"
    "{ return total < x || total != total ? total : x; }\n"
    "template <typename T> KILN_DEVICE bool above(T x, T best)\n"
    "{ return x > best || (x != x && best == best); }\n"
    "template <typename T> KILN_DEVICE bool below(T x, T best)\n"
    "{ return x < best || (x != x && best == best); }\n"
    "template <typename T> KILN_DEVICE bool same(T x, T y)\n"
    "{ return x == y || (x != x && y != y); }\n"
    "template <typename T> KILN_DEVICE T from_lane(T x, u32 lane)\n"
    "{ return T(__shfl_sync(KILN_WARP, x, lane)); }\n"
    "template <typename T> KILN_DEVICE T from_below(T x, u32 by)\n"
    "{ return T(__shfl_down_sync(KILN_WARP, x, by)); }\n"
    "\n/* Elements side by side, moved at once where they lie at a multiple of their size; else so many, one by one. */\n"
    "template <typename T, int N> struct alignas(sizeof(T) * N) Wide {\n"
    "    T at[N];\n"
    "};\n"
    "template <typename T, int N> KILN_DEVICE void take(Wide<T, N> &to, const T *from, bool whole, u32 count)\n"
    "{\n"
    "    if (whole) to = *(const Wide<T, N> *)from;\n"
    "    else for (u32 l = 0; l < N; l++) if (l < count) to.at[l] = from[l];\n"
    "}\n"
    "template <typename T, int N> KILN_DEVICE void give(const Wide<T, N> &from, T *to, bool whole, u32 count)\n"
    "{\n"
    "    if (whole) *(Wide<T, N> *)to = from;\n"
    "    else for (u32 l = 0; l < N; l++) if (l < count) to[l] = from.at[l];\n"
    "}\n"
    "\n";

static const char integers[] =
    "KILN_DEVICE u64 power_bits(u64 x, u64 n)\n"
    "{\n    u64 r = 1;\n    for (; n != 0; n >>= 1, x *= x)\n        if (n & 1) r *= x;\n    return r;\n}\n"
    "/* W: the unsigned type that is wide enough to shift T in */\n"
    "#define KILN_SIGNED(T, U, W, bits) \\\n"
    "    KILN_DEVICE T idiv(T a, T b) \\\n"
    "    { return b == 0 ? T(0) : b == T(-1) ? T(W(0) - W(a)) : T(a / b); } \\\n"
    "    KILN_DEVICE T irem(T a, T b) { return b == 0 || b == T(-1) ? T(0) : T(a % b); } \\\n"
    "    KILN_DEVICE T ipow(T a, T n) \\\n"
    "    { \\\n"
    "        if (n < 0) return T(a == T(1) || (a == T(-1) && !(n & 1)) ? 1 : a == T(-1) ? -1 : 0); \\\n"
    "        return T(power_bits(U(a), U(n))); \\\n"
    "    } \\\n"
    "    KILN_DEVICE T iabs(T a) { return a < 0 ? T(W(0) - W(a)) : a; } \\\n"
    "    KILN_DEVICE T shl(T a, T n) { return U(n) < bits ? T(W(a) << U(n)) : T(0); } \\\n"
    "    KILN_DEVICE T shr(T a, T n) { return T(a >> (U(n) < bits ? U(n) : U(bits - 1))); }\n"
    "#define KILN_UNSIGNED(T, W, bits) \\\n"
    "    KILN_DEVICE T ipow(T a, T n) { return T(power_bits(a, n)); } \\\n"
    "    KILN_DEVICE T idiv(T a, T b) { return b == 0 ? T(0) : T(a / b); } \\\n"
    "    KILN_DEVICE T irem(T a, T b) { return b == 0 ? T(0) : T(a % b); } \\\n"
    "    KILN_DEVICE T shl(T a, T n) { return n < bits ? T(W(a) << n) : T(0); } \\\n"
    "    KILN_DEVICE T shr(T a, T n) { return n < bits ? T(a >> n) : T(0); }\n"
    "KILN_SIGNED(i8, u8, u32, 8)\nKILN_SIGNED(i16, u16, u32, 16)\n"
    "KILN_SIGNED(i32, u32, u32, 32)\nKILN_SIGNED(i64, u64, u64, 64)\n"
    "KILN_UNSIGNED(u8, u32, 8)\nKILN_UNSIGNED(u16, u32, 16)\n"
    "KILN_UNSIGNED(u32, u32, 32)\nKILN_UNSIGNED(u64, u64, 64)\n"
    "\n";

static const char conversions[] =
    "/* Floats to integers truncate, saturate and take NaN to 0; `over` is the first above. */\n"
    "#define KILN_TO_INT(T, F, least, over, lowest, highest) \\\n"
    "    KILN_DEVICE T to_##T(F x) \\\n"
    "    { \\\n"
    "        if (x > F(least)) return x < F(over) ? T(x) : T(highest); \\\n"
    "        return x <= F(least) ? T(lowest) : T(0); \\\n"
    "    }\n"
    "#define KILN_TO_INTS(F) \\\n"
    "    KILN_TO_INT(i8, F, -128.0, 128.0, -128, 127) \\\n"
    "    KILN_TO_INT(i16, F, -32768.0, 32768.0, -32768, 32767) \\\n"
    "    KILN_TO_INT(i32, F, -2147483648.0, 2147483648.0, -2147483647 - 1, 2147483647) \\\n"
    "    KILN_TO_INT(i64, F, -9223372036854775808.0, 9223372036854775808.0, \\\n"
    "                -9223372036854775807ll - 1, 9223372036854775807ll) \\\n"
    "    KILN_TO_INT(u8, F, 0.0, 256.0, 0, 255) \\\n"
    "    KILN_TO_INT(u16, F, 0.0, 65536.0, 0, 65535) \\\n"
    "    KILN_TO_INT(u32, F, 0.0, 4294967296.0, 0, 4294967295u) \\\n"
    "    KILN_TO_INT(u64, F, 0.0, 18446744073709551616.0, 0, 18446744073709551615ull)\n"
    "KILN_TO_INTS(f32)\nKILN_TO_INTS(f64)\n"
    "\n";

static const char random_bits[] =
    "/* Element i of a stream of random bits: word i % 4 of block i / 4 of Philox4x32-10. */\n"
    "KILN_DEVICE u32 random_word(i64 i, u64 key0, u64 key1)\n"
    "{\n"
    "    const u64 block = u64(i) >> 2;\n"
    "    u32 a = u32(block), b = u32(block >> 32), c = u32(key1), d = u32(key1 >> 32), k = u32(key0), l = u32(key0 >> 32);\n"
    "    for (int round = 0; round < 10; round++, k += 0x9E3779B9u, l += 0xBB67AE85u) {\n"
    "        const u64 p = u64(a) * 0xD2511F53u, q = u64(c) * 0xCD9E8D57u;\n"
    "        a = u32(q >> 32) ^ b ^ k, b = u32(q), c = u32(p >> 32) ^ d ^ l, d = u32(p);\n"
    "    }\n"
    "    return i % 4 == 0 ? a : i % 4 == 1 ? b : i % 4 == 2 ? c : d;\n"
    "}\n"
    "\n";

/* What the blocks of a row have written before they met, and fenced, each of them reads afterwards. at: zero at first, and between
 * two meetings in its lower half, which counts who has come; the upper one counts the meetings. */
const char cuda_meet_prelude[] =
    "#ifndef KILN_DEVICE_SIDE\n"
    "KILN_DEVICE void blocks_meet(u64 *at, u32 blocks)\n"
    "{\n"
    "    __syncthreads();\n"
    "    if (threadIdx.x == 0) {\n"
    "        volatile u32 *come = (volatile u32 *)at, *turn = come + 1;\n"
    "        const u32 now = *turn;\n"
    "        __threadfence();\n"
    "        if (atomicAdd((u32 *)at, 1u) == blocks - 1u) {\n"
    "            *come = 0u;\n"
    "            __threadfence();\n"
    "            *turn = now + 1u;\n"
    "        } else {\n"
    "            while (*turn == now) __nanosleep(32);\n"
    "        }\n"
    "        __threadfence();\n"
    "    }\n"
    "    __syncthreads();\n"
    "}\n"
    "#endif\n"
    "\n";
/* clang-format on */

static bool names_any(const char *text, const char *const *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strstr(text, name[i])) return true;
    return false;
}

void cuda_prelude(const char *text, Text *out)
{
    static const char *const of_integers[] = {"power_bits(", "idiv(", "irem(", "ipow(", "iabs(", "shl(", "shr("};
    static const char *const conversion[] = {"to_i8(", "to_i16(", "to_i32(", "to_i64(", "to_u8(", "to_u16(", "to_u32(", "to_u64("};
    text_printf(out, "%s", always);
    if (names_any(text, of_integers, COUNT_OF(of_integers))) text_printf(out, "%s", integers);
    if (names_any(text, conversion, COUNT_OF(conversion))) text_printf(out, "%s", conversions);
    if (strstr(text, "random_word(")) text_printf(out, "%s", random_bits);
}
