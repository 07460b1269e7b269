/* contract_vnni_avx512: the products of integers for x86 with AVX-512 and its instructions for neural networks, which make two
 * products and two sums at once; those of floats are AVX-512's. Relies on contract_types.h and its intrinsics. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

#include <immintrin.h>

#include "contract_turn_avx512.h"

#define ROWS 14
#define BYTES 64
#define MADD_pairs(x, y, z) ((Vi32)_mm512_dpwssd_epi32((__m512i)(z), (__m512i)(x), (__m512i)(y)))
#include "contract_types.h"

const ContractTier contract_vnni = {
    widen, narrow, ROWS, {&contract_avx512_f32, &contract_avx512_f64, &of_i32, &of_i64, &of_pairs}, factor_avx512};
