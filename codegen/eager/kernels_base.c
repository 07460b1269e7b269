/* kernels_base: the eager loops for every CPU of the machine's family.
 * Relies on kernels_template.h. */
#define TIER kernels_base
#define TIER_NAME "baseline"
#include "kernels_template.h"
