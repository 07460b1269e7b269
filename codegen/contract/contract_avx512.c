/* contract_avx512: the plain matrix product for x86 with AVX-512. Relies on contract_types.h and
 * its intrinsics. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

#include <immintrin.h>

#include "contract_turn_avx512.h"

#define ROWS 14
#define BYTES 64
#define MADD_f32(x, y, z) _mm512_fmadd_ps(x, y, z)
#define MADD_f64(x, y, z) _mm512_fmadd_pd(x, y, z)
#define MADD_pairs(x, y, z) ((Vi32)_mm512_madd_epi16((__m512i)(x), (__m512i)(y)) + (z))
#include "contract_types.h"

const ContractType contract_avx512_f32 = PACKED_TYPE(f32, each_f32, places_f32),
                   contract_avx512_f64 = PACKED_TYPE(f64, each_f64, places_f64);
const ContractTier contract_avx512 = {
    widen, narrow, ROWS, {&contract_avx512_f32, &contract_avx512_f64, &of_i32, &of_i64, &of_pairs}, factor_avx512};
