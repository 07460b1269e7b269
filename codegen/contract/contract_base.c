/* contract_base: the plain matrix product for every CPU of the machine's family. Relies on
 * contract_kernel.h and the compiler's vector types. */
#include "contract_tier.h"

#include "../../ir/scalar_c.h"
#include "contract_widen.h"

typedef float V4f __attribute__((vector_size(16)));
typedef double V2d __attribute__((vector_size(16)));

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
    for (int l = 0; l < 4; l++) to[l] = (V4f){row[0][at + l], row[1][at + l], row[2][at + l], row[3][at + l]};
}

static inline void turn_f64(V2d *to, const double *const *row, int64_t at)
{
    for (int l = 0; l < 2; l++) to[l] = (V2d){row[0][at + l], row[1][at + l]};
}

#define ROWS 6
#define T float
#define SUFFIX f32
#define V V4f
#define LANES 4
#define LOAD(p) load_f32(p)
#define STORE(p, v) store_f32(p, v)
#define SPLAT(x) ((V4f){(x), (x), (x), (x)})
#define MADD(x, y, z) fused_f32(x, y, z)
#include "contract_kernel.h"
#define T double
#define SUFFIX f64
#define V V2d
#define LANES 2
#define LOAD(p) load_f64(p)
#define STORE(p, v) store_f64(p, v)
#define SPLAT(x) ((V2d){(x), (x)})
#define MADD(x, y, z) fused_f64(x, y, z)
#include "contract_kernel.h"

const ContractTier contract_base = {widen, narrow, ROWS, {TIER_OF(f32), TIER_OF(f64)}};
