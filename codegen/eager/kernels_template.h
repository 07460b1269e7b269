/* kernels_template: all loops of one tier. Each kernels_TIER.c includes it once, is compiled for its instruction set and thereby
 * defines the table TIER. Relies on kernels.h, kernels_type.h,
 * kernels_attention.h, kernels_sort.h, ir/math_c.h. No include guard. */
#include "kernels.h"

#include "../kernel.h"
#include "../../ir/narrow_c.h"
#include "kernels_scalars.h"

#include <float.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#undef bool /* a name of dtype.def, pasted below */
/* The rows of ops.def compare unsigned values with 0, too. */
#pragma GCC diagnostic ignored "-Wtype-limits"
#ifdef __clang__ /* and combine bools by bit operations, which make no jumps */
#pragma GCC diagnostic ignored "-Wbitwise-instead-of-logical"
#endif

/* No iteration reads what another writes: an output may be an operand, but only with equal elements in equal places. */
#if defined(__clang__)
#define INDEPENDENT
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define JOIN3_(a, b, c) a##b##c
#define JOIN3(a, b, c) JOIN3_(a, b, c)
/* LONE(result, op) is YES for a primitive that is not an op's whole value. */
#define LONE_T_none ~, YES
#define LONE(result, op) SECOND(LONE_##result##_##op, NO, ~)
#define SECOND(...) SECOND_(__VA_ARGS__)
#define SECOND_(a, b, ...) b
#define VALUE_FLOAT(f, i) f
#define VALUE_INT(f, i) i
#define VALUE_BOOL(f, i) i
#define FIRST_NAN_FLOAT(x, y) (x != x && y == y)
#define FIRST_NAN_INT(x, y) 0
#define FIRST_NAN_BOOL(x, y) 0

/* Defines element_T and the identities of max and min, least_T and most_T. */
#define MOST_INT(c, hi) hi
#define MOST_BOOL(c, hi) hi
#define MOST_UINT(c, hi) (c) - 1
#define DTYPE_INT(t, tag, c, bits, kind, numpy, lo, hi) \
    typedef c element_##t;                              \
    static const c least_##t = lo, most_##t = MOST_##kind(c, hi);
#define DTYPE_FLOAT(t, tag, c, ...) \
    typedef c element_##t;          \
    static const c least_##t = -(c)INFINITY, most_##t = (c)INFINITY;
#include "../../runtime/dtype.def"

/* Ops that are functions with a rare condition: block by block, all of it or what is left where no element of the block has it. */
#define SELDOM_LOOP(fn)                                                                         \
    static void map_##fn##_f64(void *out, const void *const *in, int64_t n);                    \
    static void seldom_f64_##fn(void *out, const void *const *in, int64_t n)                    \
    {                                                                                           \
        const double *a = in[0];                                                                \
        double *o = out;                                                                        \
        for (int64_t some; n > 0; n -= some, a += some, o += some) {                            \
            int64_t rare = 0;                                                                   \
            const void *const from[1] = {a};                                                    \
            some = MIN_OF(n, 512);                                                              \
            for (int64_t at = 0; at < some; at++) rare |= rare_##fn##64(a[at], 0);              \
            if (UNLIKELY(rare))                                                                 \
                map_##fn##_f64(o, from, some);                                                  \
            else                                                                                \
                INDEPENDENT for (int64_t at = 0; at < some; at++) o[at] = near_##fn##64(a[at]); \
        }                                                                                       \
    }
#define SELDOM_f64_sin ~, seldom_f64_sin
#define SELDOM_f64_cos ~, seldom_f64_cos
#define SELDOM_f64_tan ~, seldom_f64_tan
SELDOM_LOOP(sin)
SELDOM_LOOP(cos)
SELDOM_LOOP(tan)

#define KIND_TYPE FLOAT
#define TYPE f32
#include "kernels_type.h"
#define TYPE f64
#include "kernels_type.h"
#undef KIND_TYPE
#define KIND_TYPE INT
#define TYPE i64
#include "kernels_type.h"
#define TYPE i32
#include "kernels_type.h"
#define TYPE i16
#include "kernels_type.h"
#define TYPE i8
#include "kernels_type.h"
#define TYPE u64
#include "kernels_type.h"
#define TYPE u32
#include "kernels_type.h"
#define TYPE u16
#include "kernels_type.h"
#define TYPE u8
#include "kernels_type.h"
#undef KIND_TYPE
#define KIND_TYPE BOOL
#define TYPE bool
#include "kernels_type.h"
#undef KIND_TYPE

#define TYPE f32
#include "kernels_attention.h"
#define TYPE f64
#include "kernels_attention.h"

#define WIDTH 8
#include "kernels_sort.h"
#define WIDTH 16
#include "kernels_sort.h"
#define WIDTH 32
#include "kernels_sort.h"
#define WIDTH 64
#include "kernels_sort.h"

/* ---- narrow floats ------------------------------------------------------------------------
 * Each returns how many of n elements the hardware has converted, with the bits of ir/narrow.def. */
static inline int64_t hardware_widen(DType t, float *to, const void *from, int64_t n)
{
    int64_t i = 0;
    if (t != DT_f16) return 0;
#ifdef __AVX512F__
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)((const uint16_t *)from + i))));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)((const uint16_t *)from + i))));
#else
    (void)to, (void)from, (void)n;
#endif
    return i;
}

static inline int64_t hardware_narrow(DType t, void *to, const float *from, int64_t n)
{
    int64_t i = 0;
    if (t != DT_f16) return 0;
#ifdef __AVX512F__
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((void *)((uint16_t *)to + i), _mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)((uint16_t *)to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#else
    (void)to, (void)from, (void)n;
#endif
    return i;
}

#define DTYPE_NARROW(t, tag, c, ...)                                                                                  \
    static void widen_all_##t(float *to, const void *from, int64_t n)                                                 \
    {                                                                                                                 \
        const c *a = from;                                                                                            \
        INDEPENDENT for (int64_t i = hardware_widen(DT_##t, to, from, n); i < n; i++) to[i] = widen_##t(a[i]);        \
    }                                                                                                                 \
    static void narrow_all_##t(void *to, const float *from, int64_t n)                                                \
    {                                                                                                                 \
        c *o = to;                                                                                                    \
        INDEPENDENT for (int64_t i = hardware_narrow(DT_##t, to, from, n); i < n; i++) o[i] = (c)narrow_##t(from[i]); \
    }
#include "../../runtime/dtype.def"

/* ---- random bits -----------------------------------------------------------------------------
 * The ten rounds of Philox4x32 on blocks side by side. */
#define PHILOX_M0 0xD2511F53
#define PHILOX_M1 0xCD9E8D57
#define PHILOX_W0 0x9E3779B9
#define PHILOX_W1 0xBB67AE85

#ifdef __AVX2__
/* Holds words in 64-bit lanes, as products need them; the high halves are whatever the last product left there. */
static void philox(uint32_t *out, uint64_t seed, uint64_t counter, uint64_t first)
{
    enum { N = PHILOX_BLOCKS / 4 };
    const __m256i m0 = _mm256_set1_epi64x(PHILOX_M0), m1 = _mm256_set1_epi64x(PHILOX_M1);
    __m256i c0[N], c1[N], c2[N], c3[N];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < N; i++) {
        c0[i] = _mm256_add_epi64(
            _mm256_set1_epi64x((int64_t)(first + 4 * (uint64_t)i)), _mm256_setr_epi64x(0, 1, 2, 3));
        c1[i] = _mm256_srli_epi64(c0[i], 32);
        c2[i] = _mm256_set1_epi64x((int64_t)counter);
        c3[i] = _mm256_srli_epi64(c2[i], 32);
    }
    for (int round = 0; round < 10; round++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        const __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
        for (int i = 0; i < N; i++) {
            const __m256i p = _mm256_mul_epu32(c0[i], m0), q = _mm256_mul_epu32(c2[i], m1);
            c0[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(q, 32), c1[i]), key0);
            c1[i] = q;
            c2[i] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p, 32), c3[i]), key1);
            c3[i] = p;
        }
    }
    for (int i = 0; i < N; i++) { /* pairs of words, then blocks in order */
        const __m256i low = _mm256_blend_epi32(c0[i], _mm256_slli_epi64(c1[i], 32), 0xaa);
        const __m256i high = _mm256_blend_epi32(c2[i], _mm256_slli_epi64(c3[i], 32), 0xaa);
        const __m256i even = _mm256_unpacklo_epi64(low, high),
                      odd = _mm256_unpackhi_epi64(low, high);
        _mm256_storeu_si256(
            (__m256i *)(void *)(out + 16 * i), _mm256_permute2x128_si256(even, odd, 0x20));
        _mm256_storeu_si256(
            (__m256i *)(void *)(out + 16 * i + 8), _mm256_permute2x128_si256(even, odd, 0x31));
    }
}
#else
static void philox(uint32_t *out, uint64_t seed, uint64_t counter, uint64_t first)
{
    for (int i = 0; i < PHILOX_BLOCKS; i++, out += 4) {
        uint64_t block = first + (uint64_t)i;
        uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = (uint32_t)counter,
                 c3 = (uint32_t)(counter >> 32);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        for (int round = 0; round < 10; round++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
            const uint64_t p = (uint64_t)PHILOX_M0 * c0, q = (uint64_t)PHILOX_M1 * c2;
            c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)q;
            c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)p;
        }
        out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
    }
}
#endif

const Kernels TIER = {
    .name = TIER_NAME,
    .type = {
#define DTYPE_INT(t, ...) [DT_##t] = &kernels_##t,
#define DTYPE_FLOAT(t, ...) [DT_##t] = &kernels_##t,
#include "../../runtime/dtype.def"
    },
    .widen = {
#define DTYPE_NARROW(t, ...) [DT_##t] = widen_all_##t,
#include "../../runtime/dtype.def"
    },
    .narrow = {
#define DTYPE_NARROW(t, ...) [DT_##t] = narrow_all_##t,
#include "../../runtime/dtype.def"
    },
    .philox = philox,
    .scores = {[DT_f32] = &scores_f32, [DT_f64] = &scores_f64},
    .sort = {&sort_8, &sort_16, &sort_32, &sort_64},
};
