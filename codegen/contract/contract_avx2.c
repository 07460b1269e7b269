/* contract_avx2: the plain matrix product for x86 with AVX2 and FMA. Relies on contract_types.h
 * and its intrinsics. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

#include <immintrin.h>

/* to[l] = element at + l of as many rows as there are lanes. */
static inline void turn_f32(__m256 *to, const float *const *row, int64_t at)
{
    __m256 r[8], p[8];
    /* Rows i and i + 4 are the halves of one vector: all that follows stays within halves. */
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        const float *low = row[i] + at, *high = row[i + 4] + at;
        r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
        r[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 4) {
        p[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        p[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        p[i + 2] = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
        p[i + 3] = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        to[i] = _mm256_shuffle_ps(p[i], p[i + 2], 0x44);
        to[i + 1] = _mm256_shuffle_ps(p[i], p[i + 2], 0xee);
        to[i + 2] = _mm256_shuffle_ps(p[i + 1], p[i + 3], 0x44);
        to[i + 3] = _mm256_shuffle_ps(p[i + 1], p[i + 3], 0xee);
    }
}

static inline void turn_f64(__m256d *to, const double *const *row, int64_t at)
{
    __m256d r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 2; i++) {
        const double *low = row[i] + at, *high = row[i + 2] + at;
        r[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low)), _mm_loadu_pd(high), 1);
        r[i + 2] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(low + 2)), _mm_loadu_pd(high + 2), 1);
    }
    to[0] = _mm256_unpacklo_pd(r[0], r[1]);
    to[1] = _mm256_unpackhi_pd(r[0], r[1]);
    to[2] = _mm256_unpacklo_pd(r[2], r[3]);
    to[3] = _mm256_unpackhi_pd(r[2], r[3]);
}

#define ROWS 6
#define BYTES 32
#define MADD_f32(x, y, z) _mm256_fmadd_ps(x, y, z)
#define MADD_f64(x, y, z) _mm256_fmadd_pd(x, y, z)
#define MADD_pairs(x, y, z) ((Vi32)_mm256_madd_epi16((__m256i)(x), (__m256i)(y)) + (z))
#include "contract_types.h"

static const ContractType of_f32 = PACKED_TYPE(f32, each_f32, places_f32), of_f64 = PACKED_TYPE(f64, each_f64, places_f64);
const ContractTier contract_avx2 = {widen, narrow, ROWS, {&of_f32, &of_f64, &of_i32, &of_i64, &of_pairs}, factor_avx2};
