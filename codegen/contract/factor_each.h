/* factor_each: the steps of factors of matrices for both types of floats, as the table FACTOR_TIER. Each factor_TIER.c includes it
 * once, with BYTES, those of a vector. Relies on factor_kernel.h and the compiler's vector types. No include guard. */
#include "factor_tier.h"

#include <string.h>

#define T float
#define I int32_t
#define NAMED(name) name##_f32
#define ROOT __builtin_sqrtf
#define LARGEST_KEY 0x7f800001
#include "factor_kernel.h"

#define T double
#define I int64_t
#define NAMED(name) name##_f64
#define ROOT __builtin_sqrt
#define LARGEST_KEY 0x7ff0000000000001
#include "factor_kernel.h"

extern const FactorType *const FACTOR_TIER[2];
const FactorType *const FACTOR_TIER[2] = {&factor_f32, &factor_f64};
