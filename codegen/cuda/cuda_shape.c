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

#define TOTALS_BYTES 16384 /* of shared memory */

/* Whether the warps of a block may share a row out by its blocks (ir/tree.h): it has several, nothing but their totals passes from
 * one element to another, and these have room. Returns how many; 0: they may not. */
static int64_t blocks_of(const Program *p, const Kernel *k)
{
    const DimTable *t = &p->module->dims;
    const int64_t least = tree_blocks(dim_lo(t, k->extent[k->sweep]), TREE_ROW);
    const int64_t most = tree_blocks(dim_hi(t, k->extent[k->sweep]), TREE_ROW);
    for (uint32_t i = 0; i < k->nreduction; i++)
        if (k->reduction[i].kind < R_ARGMAX && k->reduction[i].order < ORDER_LANES) return 0;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_FETCH && k->instr[i].sweeps) return 0;
    return most > TOTALS_BYTES / 8 / MAX_OF(k->nreduction, 1u) ? 0 : least;
}

CudaShape cuda_shape(const Program *p, const Kernel *k)
{
    CudaShape s = {.block = CUDA_BLOCK, .team = 1, .wide = 1};
    if (!by_lanes(k)) return s;
    s.team = TREE_LANES;
    const int64_t blocks = blocks_of(p, k);
    if (blocks < 2) return s;
    while (s.team < CUDA_BLOCK && s.team / TREE_LANES < blocks) s.team *= 2;
    s.block = s.team;
    return s;
}
