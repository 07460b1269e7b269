/* contract_base: the plain matrix product for every CPU of the machine's family. Relies on
 * contract_types.h and the compiler's vector types. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef float V4f __attribute__((vector_size(16), may_alias));
typedef double V2d __attribute__((vector_size(16), may_alias));

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
static inline V4f MADD_f32(V4f x, V4f y, V4f z)
{
    for (int i = 0; i < 4; i++) z[i] = mad_f32(x[i], y[i], z[i]);
    return z;
}

static inline V2d MADD_f64(V2d x, V2d y, V2d z)
{
    for (int i = 0; i < 2; i++) z[i] = mad_f64(x[i], y[i], z[i]);
    return z;
}
#else
#define MADD_f32(x, y, z) ((x) * (y) + (z))
#define MADD_f64(x, y, z) ((x) * (y) + (z))
#endif

#ifdef __SSE2__
#define MADD_pairs(x, y, z) ((Vi32)_mm_madd_epi16((__m128i)(x), (__m128i)(y)) + (z))
#else
#define MADD_pairs(x, y, z) (((x) << 16 >> 16) * ((y) << 16 >> 16) + ((x) >> 16) * ((y) >> 16) + (z))
#endif

static inline void turn_f32(V4f *to, const float *const *row, int64_t at)
{
    V4f r[4];
    for (int l = 0; l < 4; l++) memcpy(&r[l], row[l] + at, sizeof r[l]);
    for (int l = 0; l < 4; l++) to[l] = (V4f){r[0][l], r[1][l], r[2][l], r[3][l]};
}

static inline void turn_f64(V2d *to, const double *const *row, int64_t at)
{
    V2d r[2];
    for (int l = 0; l < 2; l++) memcpy(&r[l], row[l] + at, sizeof r[l]);
    for (int l = 0; l < 2; l++) to[l] = (V2d){r[0][l], r[1][l]};
}

#define ROWS 6
#define BYTES 16
#include "contract_types.h"

static const ContractType of_f32 = PACKED_TYPE(f32, each_f32, places_f32), of_f64 = PACKED_TYPE(f64, each_f64, places_f64);
const ContractTier contract_base = {widen, narrow, ROWS, {&of_f32, &of_f64, &of_i32, &of_i64, &of_pairs}, factor_base};
