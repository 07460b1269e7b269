/* factor_base: the steps of factors of matrices for any CPU. Relies on factor_each.h. */
#define BYTES 16
#define FACTOR_TIER factor_base
#include "factor_each.h"
