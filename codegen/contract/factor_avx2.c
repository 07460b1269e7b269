/* factor_avx2: the steps of factors of matrices for x86 with AVX2. Relies on factor_each.h. */
#define BYTES 32
#define FACTOR_TIER factor_avx2
#include "factor_each.h"
