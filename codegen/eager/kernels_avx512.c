/* kernels_avx512: the eager loops for x86 with AVX-512 F, VL, BW and DQ.
 * Relies on kernels_template.h. */
#define TIER kernels_avx512
#define TIER_NAME "avx512"
#include "kernels_template.h"
