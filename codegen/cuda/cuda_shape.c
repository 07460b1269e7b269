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

/* Whether a row may be shared out by its blocks (ir/tree.h): nothing but their totals passes from one element to another. */
static bool by_blocks(const Kernel *k)
{
    for (uint32_t i = 0; i < k->nreduction; i++)
        if (k->reduction[i].kind < R_ARGMAX && k->reduction[i].order < ORDER_LANES) return false;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_FETCH && k->instr[i].sweeps) return false;
    return true;
}

/* How many blocks the warps of a block share out whose totals have room; 0: they do not. */
static int64_t blocks_of(const Program *p, const Kernel *k)
{
    const DimTable *t = &p->module->dims;
    const int64_t least = tree_blocks(dim_lo(t, k->extent[k->sweep]), TREE_ROW);
    const int64_t most = tree_blocks(dim_hi(t, k->extent[k->sweep]), TREE_ROW);
    return !by_blocks(k) || most > TOTALS_BYTES / 8 / MAX_OF(k->nreduction, 1u) ? 0 : least;
}

/* ---- several blocks to a row ---------------------------------------------------------------------- */

int64_t cuda_long_row = CUDA_LONG_ROW, cuda_least_units = 4, cuda_most_units = 1024;

#define MANY_ROWS 1024 /* as many blocks are busy with a row each */
#define KEPT_BYTES 256 /* of the elements of a row that a thread keeps in registers */
#define KEPT_INSTRS 64 /* sweeps of more are not unrolled */
#define SHORT_ROW 4096 /* that a warp takes where others may be long */

static int64_t least_rows(const Program *p, const Kernel *k)
{
    int64_t rows = 1;
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->sweep && __builtin_mul_overflow(rows, dim_lo(&p->module->dims, k->extent[a]), &rows)) return INT64_MAX;
    return rows;
}

static bool sweeps_load(const Kernel *k, const Stage *s, uint32_t stream)
{
    for (uint32_t i = s->first; i < s->last && s->sweep; i++)
        if (k->instr[i].kind == I_LOAD && k->instr[i].ref == stream) return true;
    return false;
}

bool cuda_is_kept(const Kernel *k, uint32_t stream)
{
    const Stream *s = &k->stream[stream];
    uint32_t sweeps = 0;
    if ((s->buf & STREAM_ROW) || s->dyn >= 0 || s->guard >= 0 || s->coef[k->sweep] == 0) return false;
    for (uint32_t i = 0; i < k->nstore; i++)
        if (k->store[i].stream == stream) return false;
    for (uint32_t i = 0; i < k->nstage; i++) sweeps += sweeps_load(k, &k->stage[i], stream);
    return sweeps > 1;
}

/* Pieces of a row of at most n elements whose elements have room in registers. */
static uint32_t kept_of(const Program *p, const Kernel *k, const CudaShape *s)
{
    uint32_t bytes = 0;
    int64_t n;
    if (!cuda_dim_const(p, k->extent[k->sweep], &n) || share_deep(&s->rows, n) > 1 || k->ninstr > KEPT_INSTRS) return 0;
    for (uint32_t i = 0; i < k->nstream; i++)
        if (cuda_is_kept(k, i)) bytes += MAX_OF((uint32_t)dtype_bytes((DType)k->stream[i].type), 4u) * TREE_ROW / TREE_LANES;
    return bytes == 0 ? 0 : KEPT_BYTES / bytes;
}

/* False: rows are not long, or so many that a block to each is enough, which blocks_of says of it whether that can be. */
static bool by_several(const Program *p, const Kernel *k, int64_t blocks, CudaShape *s)
{
    const DimTable *t = &p->module->dims;
    const int64_t least = dim_lo(t, k->extent[k->sweep]), most = dim_hi(t, k->extent[k->sweep]);
    uint32_t reduced = 1;
    if (!by_blocks(k) || k->nrow > 0 || most <= cuda_long_row || (blocks > 1 && least_rows(p, k) >= MANY_ROWS)) return false;
    *s = (CudaShape){.block = CUDA_BLOCK, .team = CUDA_BLOCK, .wide = 1, .several = true};
    s->rows = (ShareRows){.units = cuda_most_units, .least = cuda_least_units};
    s->rows.from = least > MIN_OF(SHORT_ROW, cuda_long_row) ? 0 : cuda_long_row + 1;
    for (uint32_t i = 0; i < k->nreduction; i++) s->rows.lists += k->reduction[i].kind < R_ARGMAX ? 1 : 2;
    for (uint32_t i = 0; i < k->nstage; i++) reduced = MAX_OF(reduced, k->stage[i].last_reduction - k->stage[i].first_reduction);
    while (s->rows.units > 1 && s->rows.units * reduced * 8 > TOTALS_BYTES) s->rows.units /= 2;
    s->rows.kept = kept_of(p, k, s);
    return true;
}

int64_t cuda_meeting(const Program *p)
{
    const DimTable *t = &p->module->dims;
    int64_t most = 0;
    for (uint32_t i = 0; i < p->kernel.len; i++) {
        const Kernel *k = &p->kernel.at[i];
        const CudaShape s = cuda_shape(p, k);
        int64_t rows = 1;
        for (uint32_t a = 0; a < k->naxis && s.several; a++)
            if ((int)a != k->sweep) rows = MIN_OF(rows * MIN_OF(dim_hi(t, k->extent[a]), (int64_t)SHARE_ROWS), (int64_t)SHARE_ROWS);
        if (s.several) most = MAX_OF(most, share_words_most(&s.rows, rows, dim_hi(t, k->extent[k->sweep])));
    }
    return (most * (int64_t)sizeof(uint64_t) + 63) / 64 * 64;
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
    if (by_several(p, k, blocks, &s)) return s;
    if (blocks < 2) return s;
    while (s.team < CUDA_BLOCK && s.team / TREE_LANES < blocks) s.team *= 2;
    s.block = s.team;
    return s;
}
