/* factor_avx512: the steps of factors of matrices for x86 with AVX-512. Relies on factor_each.h. */
#define BYTES 64
#define FACTOR_TIER factor_avx512
#include "factor_each.h"
