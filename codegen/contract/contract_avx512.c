/* contract_avx512: the plain matrix product for x86 with AVX-512. Relies on contract_kernel.h and
 * its intrinsics. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"

#include <immintrin.h>

/* to[l] = the l-th elements of as many rows as there are lanes. */
static inline void turn_f32(__m512 *to, const float *from, int64_t row)
{
    _Alignas(64) float turned[16][16];
    for (int r = 0; r < 16; r++)
        for (int l = 0; l < 16; l++) turned[l][r] = from[r * row + l];
    for (int l = 0; l < 16; l++) to[l] = _mm512_load_ps(turned[l]);
}

static inline void turn_f64(__m512d *to, const double *from, int64_t row)
{
    _Alignas(64) double turned[8][8];
    for (int r = 0; r < 8; r++)
        for (int l = 0; l < 8; l++) turned[l][r] = from[r * row + l];
    for (int l = 0; l < 8; l++) to[l] = _mm512_load_pd(turned[l]);
}

#define T float
#define SUFFIX f32
#define V __m512
#define LANES 16
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SPLAT(x) _mm512_set1_ps(x)
#define MAD(x, y, z) _mm512_fmadd_ps(x, y, z)
#include "contract_kernel.h"
#define T double
#define SUFFIX f64
#define V __m512d
#define LANES 8
#define LOAD(p) _mm512_loadu_pd(p)
#define STORE(p, v) _mm512_storeu_pd(p, v)
#define SPLAT(x) _mm512_set1_pd(x)
#define MAD(x, y, z) _mm512_fmadd_pd(x, y, z)
#include "contract_kernel.h"

const ContractTier contract_avx512 = {block_f32, block_f64, vector_f32, vector_f64};
