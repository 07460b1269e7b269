/* cuda_shape: how many threads work on a point of a kernel, how many points a thread takes, how large blocks are. What prints a
 * kernel and what launches it ask here. Changes no result. Relies on print.h. */
#include "print.h"

/* Lanes of a warp that fold a row as docs/numerics.md says, unless elements are folded into memory in order of the sweep. */
static bool by_lanes(const Kernel *k)
{
    if (k->sweep < 0 || k->vector != k->sweep) return false;
    for (uint32_t s = 0; s < k->nstage; s++)
        for (uint32_t i = k->stage[s].first_store; i < k->stage[s].last_store && k->stage[s].sweep; i++)
            if (k->store[i].fold) return false;
    return true;
}

CudaShape cuda_shape(const Program *p, const Kernel *k)
{
    (void)p;
    CudaShape s = {.block = CUDA_BLOCK, .team = 1, .wide = 1};
    if (by_lanes(k)) s.team = TREE_LANES;
    return s;
}
