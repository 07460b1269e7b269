/* factor_avx512: the steps of factors of matrices for x86 with AVX-512. Relies on factor_kernel.h and the compiler's vector types.
 */
#include "factor_tier.h"

#include <string.h>

#define BYTES 64

#define T float
#define I int32_t
#define NAMED(name) name##_f32
#define LARGEST_KEY 0x7f800001
#include "factor_kernel.h"

#define T double
#define I int64_t
#define NAMED(name) name##_f64
#define LARGEST_KEY 0x7ff0000000000001
#include "factor_kernel.h"

extern const FactorType *const factor_avx512[2];
const FactorType *const factor_avx512[2] = {&factor_f32, &factor_f64};
