/* kernels_avx2: the eager loops for x86 with AVX2, FMA and F16C. Relies on kernels_template.h. */
#define TIER kernels_avx2
#define TIER_NAME "avx2"
#include "kernels_template.h"
