/* contract_base: the plain matrix product for every CPU of the machine's family. Relies on
 * contract_kernel.h and the compiler's vector types. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef float V4f __attribute__((vector_size(16), may_alias));
typedef double V2d __attribute__((vector_size(16), may_alias));

static inline V4f load_f32(const float *p)
{
    V4f v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline V2d load_f64(const double *p)
{
    V2d v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_f32(float *p, V4f v) { memcpy(p, &v, sizeof v); }
static inline void store_f64(double *p, V2d v) { memcpy(p, &v, sizeof v); }

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
static inline V4f fused_f32(V4f x, V4f y, V4f z)
{
    for (int i = 0; i < 4; i++) z[i] = mad_f32(x[i], y[i], z[i]);
    return z;
}

static inline V2d fused_f64(V2d x, V2d y, V2d z)
{
    for (int i = 0; i < 2; i++) z[i] = mad_f64(x[i], y[i], z[i]);
    return z;
}
#else
#define fused_f32(x, y, z) ((x) * (y) + (z))
#define fused_f64(x, y, z) ((x) * (y) + (z))
#endif

/* to[l] = element at + l of as many rows as there are lanes. */
static inline void turn_f32(V4f *to, const float *const *row, int64_t at)
{
    const V4f a = load_f32(row[0] + at), b = load_f32(row[1] + at), c = load_f32(row[2] + at), d = load_f32(row[3] + at);
    for (int l = 0; l < 4; l++) to[l] = (V4f){a[l], b[l], c[l], d[l]};
}

static inline void turn_f64(V2d *to, const double *const *row, int64_t at)
{
    const V2d a = load_f64(row[0] + at), b = load_f64(row[1] + at);
    for (int l = 0; l < 2; l++) to[l] = (V2d){a[l], b[l]};
}

#define ROWS 6
#define T float
#define SUFFIX f32
#define GROUP 1
#define V V4f
#define LANES 4
#define LOAD(p) load_f32(p)
#define STORE(p, v) store_f32(p, v)
#define SPLAT(x) ((V4f){(x), (x), (x), (x)})
#define MADD(x, y, z) fused_f32(x, y, z)
#include "contract_kernel.h"
#define T double
#define SUFFIX f64
#define GROUP 1
#define V V2d
#define LANES 2
#define LOAD(p) load_f64(p)
#define STORE(p, v) store_f64(p, v)
#define SPLAT(x) ((V2d){(x), (x)})
#define MADD(x, y, z) fused_f64(x, y, z)
#include "contract_kernel.h"

#define BYTES 16
#ifdef __SSE2__
#define PAIR_MADD(x, y, z) ((Vi32)_mm_madd_epi16((__m128i)(x), (__m128i)(y)) + (z))
#else
#define PAIR_MADD(x, y, z) (((x) << 16 >> 16) * ((y) << 16 >> 16) + ((x) >> 16) * ((y) >> 16) + (z))
#endif
#define VECTOR_f32 V4f
#define VECTOR_f64 V2d
#include "contract_integers.h"

static const ContractType of_f32 = PACKED_TYPE(f32, each_f32), of_f64 = PACKED_TYPE(f64, each_f64);
const ContractTier contract_base = {widen, narrow, ROWS, {&of_f32, &of_f64, &of_i32, &of_i64, &of_pairs}};
