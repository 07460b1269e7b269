/* contract_avx512: the plain matrix product for x86 with AVX-512. Relies on contract_kernel.h and
 * its intrinsics. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

#include <immintrin.h>

#include "contract_turn_avx512.h"

#define ROWS 14
#define T float
#define SUFFIX f32
#define GROUP 1
#define V __m512
#define LANES 16
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define SPLAT(x) _mm512_set1_ps(x)
#define MADD(x, y, z) _mm512_fmadd_ps(x, y, z)
#include "contract_kernel.h"
#define T double
#define SUFFIX f64
#define GROUP 1
#define V __m512d
#define LANES 8
#define LOAD(p) _mm512_loadu_pd(p)
#define STORE(p, v) _mm512_storeu_pd(p, v)
#define SPLAT(x) _mm512_set1_pd(x)
#define MADD(x, y, z) _mm512_fmadd_pd(x, y, z)
#include "contract_kernel.h"

#define BYTES 64
#define PAIR_MADD(x, y, z) ((Vi32)_mm512_madd_epi16((__m512i)(x), (__m512i)(y)) + (z))
#define VECTOR_f32 __m512
#define VECTOR_f64 __m512d
#include "contract_integers.h"

const ContractType contract_avx512_f32 = PACKED_TYPE(f32, each_f32), contract_avx512_f64 = PACKED_TYPE(f64, each_f64);
const ContractTier contract_avx512 = {
    widen, narrow, ROWS, {&contract_avx512_f32, &contract_avx512_f64, &of_i32, &of_i64, &of_pairs}};
