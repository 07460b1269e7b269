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

#define SQUARES_BYTES 32768 /* of shared memory */
#define TOTALS_BYTES 16384  /* of shared memory */

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

/* ---- points side by side ------------------------------------------------------------------------ */

static bool lies_along(const Kernel *k, const Stream *s)
{
    return !(s->buf & STREAM_ROW) && s->dyn < 0 && s->guard < 0 && s->coef[k->vector] == 1;
}

bool cuda_is_wide(const Program *p, const Kernel *k, const Stream *s, uint32_t wide)
{
    int64_t n;
    if (wide == 1 || !lies_along(k, s)) return false;
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->vector && s->coef[a] != 0 && (!cuda_dim_const(p, s->coef[a], &n) || n % wide != 0)) return false;
    return true;
}

/* Whether groups of points never reach over the end of their axis, but for the last of all. */
static bool groups_fit(const Program *p, const Kernel *k, uint32_t wide)
{
    int64_t n;
    return k->naxis == 1 || (cuda_dim_const(p, k->extent[k->vector], &n) && n % wide == 0);
}

#define MOST_BYTES 16u     /* that one access moves */
#define MOST_ELEMENTS 64u  /* that a thread holds of all streams */
#define MOST_UNROLLED 1024 /* instructions */

static uint32_t wide_of(const Program *p, const Kernel *k)
{
    uint32_t along = 0, bytes = 1, stores = 0, wide = 8;
    if (k->sweep >= 0 || k->vector < 0 || k->nreduction != 0) return 1;
    for (uint32_t i = 0; i < k->nstore; i++) {
        if (k->store[i].fold) return 1;
        stores += lies_along(k, &k->stream[k->store[i].stream]);
    }
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        if (!lies_along(k, s)) continue;
        along++;
        bytes = MAX_OF(bytes, (uint32_t)dtype_bytes((DType)s->type));
    }
    if (stores == 0) return 1;
    while (wide > 1 && (wide * bytes > MOST_BYTES || wide * along > MOST_ELEMENTS || wide * k->ninstr > MOST_UNROLLED)) wide /= 2;
    for (uint32_t i = 0; i < k->nstream && wide > 1; i++)
        while (wide > 1 && lies_along(k, &k->stream[i]) && !cuda_is_wide(p, k, &k->stream[i], wide)) wide /= 2;
    while (wide > 1 && !groups_fit(p, k, wide)) wide /= 2;
    return wide;
}

/* ---- squares ------------------------------------------------------------------------------------- */

/* Nothing that is stored to: it goes where it belongs. */
static bool is_only_read(const Kernel *k, const Stream *s)
{
    for (uint32_t i = 0; i < k->nstore; i++)
        if (&k->stream[k->store[i].stream] == s) return false;
    return true;
}

bool cuda_is_turned(const Kernel *k, const Stream *s, const CudaShape *shape)
{
    return shape->square && stream_turned(k, s, k->turn) && is_only_read(k, s);
}

/* Elements that lie along one axis and go along another: a warp that reads them where they lie uses four bytes of each piece of
 * memory that it gets. */
static bool by_squares(const Kernel *k)
{
    const CudaShape square = {.square = true};
    uint32_t turned = 0, bytes = 0;
    if (k->sweep >= 0 || k->turn < 0 || k->vector < 0) return false;
    for (uint32_t i = 0; i < k->nstream; i++) {
        if (!cuda_is_turned(k, &k->stream[i], &square)) continue;
        turned++;
        bytes += CUDA_SQUARE * (CUDA_SQUARE + 1) * (uint32_t)dtype_bytes((DType)k->stream[i].type);
    }
    return turned > 0 && bytes <= SQUARES_BYTES;
}

/* ---- all ---------------------------------------------------------------------------------------- */

CudaShape cuda_shape(const Program *p, const Kernel *k)
{
    CudaShape s = {.block = CUDA_BLOCK, .team = 1, .wide = 1};
    if (!by_lanes(k)) {
        s.square = by_squares(k);
        if (!s.square) s.wide = wide_of(p, k);
        return s;
    }
    s.team = TREE_LANES;
    const int64_t blocks = blocks_of(p, k);
    if (blocks < 2) return s;
    while (s.team < CUDA_BLOCK && s.team / TREE_LANES < blocks) s.team *= 2;
    s.block = s.team;
    return s;
}
