/* block_layout: decides which axes of a kernel are rows and which lanes in a run with these sizes and strides. Relies on block.h,
 * block_fold.h. Never touches elements. */
#include "block.h"

#include "block_fold.h"

/* A span's blocks, one per task. */
static int64_t block_count(const BlockRun *run, uint32_t s)
{
    const Span *span = &run->span[s];
    bool sweeps = run->k->sweep >= 0 && (span->mask >> run->k->sweep & 1);
    return sweeps || span->points <= run->block[s] ? 1 : tree_blocks(span->points, run->block[s]);
}

static void add_axis(BlockRun *run, Span *s, int a)
{
    if (s->naxis == 0) s->points = 1;
    s->axis[s->naxis++] = (uint8_t)a;
    s->mask |= (uint16_t)(1u << a);
    s->points *= run->extent[a];
}

static int64_t value_of(const BlockRun *run, Dim d) { return d >= 0 ? d : run->value[-1 - d]; }

#define LONG_LINE 32 /* lanes along one axis if it has so many points */
#define SHORT_LINE 2 /* the same if lines are copied */

/* The sweep's indices are lanes if a fold goes by lanes, if elements lie side by side along it, or if no other axis is left. */
static bool sweeps_lanes(const BlockRun *run, int vector, int64_t points)
{
    const Kernel *k = run->k;
    int64_t extent = run->extent[k->sweep];
    bool side_by_side = false;
    for (uint32_t i = 0; i < k->nreduction; i++)
        if (fold_by_lanes(&k->reduction[i], extent)) return true;
    for (uint32_t s = 0; s < k->nstream && vector >= 0; s++)
        side_by_side |= !k->writes[k->stream[s].buf] && run->stream[s].coef[vector] == 1 && run->extent[vector] >= LONG_LINE;
    if (run->copies) return false;
    return points < LONG_LINE / 2 ? extent >= points : extent >= LONG_LINE / 2 && !side_by_side;
}

static uint8_t class_of(const BlockRun *r, uint16_t axes)
{
    return (uint8_t)(((axes & r->span[0].mask) != 0) | ((axes & r->span[1].mask) != 0) << 1);
}

static void lay_out(BlockRun *run)
{
    const Kernel *k = run->k;
    const BlockKernel *b = run->b;
    int vector = b->vector;
    int64_t points = 1;
    run->copies = b->copy_load >= 0 && run->extent[vector] >= SHORT_LINE &&
                  run->stream[k->instr[b->copy_load].ref].coef[vector] == 1 &&
                  run->stream[k->store[b->copy_store].stream].coef[vector] == 1;
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->sweep) points *= run->extent[a];
    bool by_lanes = k->sweep >= 0 && sweeps_lanes(run, vector, points);
    bool line = run->copies || (vector >= 0 && run->extent[vector] >= LONG_LINE && !by_lanes);
    for (int a = 0; a < (int)k->naxis; a++) {
        bool lanes = a == k->sweep ? by_lanes : line ? a == vector : !by_lanes;
        bool rows = a == k->sweep ? !by_lanes : by_lanes || k->sweep < 0;
        add_axis(run, lanes ? &run->span[1] : rows ? &run->span[0] : &run->outer, a);
    }
    int64_t most = 512;
    while (most > 64 && most * k->ninstr * 16 > 1 << 18) most /= 2;
    for (uint32_t i = 0; i < k->nreduction; i++)
        if (fold_by_lanes(&k->reduction[i], run->extent[k->sweep])) most = TREE_ROW; /* the tree's blocks */
    run->block[1] = MIN_OF(run->copies && k->sweep < 0 ? MOVE_GRAIN : most, MAX_OF(run->span[1].points, 1));
    run->block[0] = MIN_OF(run->copies ? most : 128, MAX_OF(run->span[0].points, 1));
    for (uint32_t x = 0; x < k->ninstr; x++)
        run->class[x] = b->clamp[x] == CLAMP_COMPARES ? CLASS_NEVER : class_of(run, b->axes[x]);
    for (uint32_t i = 0; i < k->nstore; i++) run->class[k->ninstr + i] = class_of(run, b->store[i]);
}

static void place_streams(BlockRun *run)
{
    const Kernel *k = run->k;
    for (uint32_t s = 0; s < k->nstream; s++) {
        BlockStream *b = &run->stream[s];
        b->first = value_of(run, k->stream[s].base) * (int64_t)dtype_bytes((DType)k->stream[s].type);
        for (uint32_t a = 0; a < k->naxis; a++) b->coef[a] = value_of(run, k->stream[s].coef[a]);
    }
}

/* Whether one step leads from each point of the span to the next. */
static void find_steps(BlockRun *run)
{
    for (uint32_t s = 0; s < run->k->nstream; s++)
        for (int i = 0; i < 2; i++) {
            const Span *span = &run->span[i];
            BlockStream *b = &run->stream[s];
            int last = -1;
            b->linear[i] = true;
            b->step[i] = 0;
            for (uint32_t n = span->naxis; n-- > 0;) {
                int a = span->axis[n];
                if (run->extent[a] == 1) continue;
                if (last < 0)
                    b->step[i] = b->coef[a];
                else if (b->coef[a] != b->coef[last] * run->extent[last])
                    b->linear[i] = false;
                last = a;
            }
        }
}

/* Finds the instructions that no task changes. In a loop nest that is one small task these include blocks of indices, and loads
 * whose elements lie side by side. */
static void find_ready(BlockRun *run)
{
    const Kernel *k = run->k;
    run->ready = false;
    run->direct = run->small && k->sweep < 0 && k->nstage == 1 && k->nstore == 1 && (run->copies || run->class[k->ninstr] != 3);
    for (uint32_t s = 0; s < k->nstream; s++) run->stream[s].ready = -1;
    for (uint32_t x = 0; x < k->ninstr; x++) {
        const Instr *i = &k->instr[x];
        const Stream *s = i->kind == I_LOAD ? &k->stream[i->ref] : NULL;
        const uint8_t class = run->class[x];
        const bool whole = class < 3 && run->small && k->sweep < 0;
        bool ready = run->b->fixed[x] && class != CLASS_NEVER && (whole || run->b->axes[x] == 0);
        if (s && whole && s->guard < 0 && s->dyn < 0 && s->type == i->type && !k->writes[s->buf]) {
            BlockStream *b = &run->stream[i->ref];
            ready = b->ready < 0 &&
                    (class == 0 || (b->linear[class - 1] && (b->step[class - 1] == 1 || run->span[class - 1].points == 1)));
            if (ready) b->ready = (int32_t)x;
        }
        if (ready) run->class[x] |= CLASS_READY;
        if (ready && run->b->fixed[x] && run->b->axes[x] == 0 && run->small) run->class[x] |= CLASS_SPREAD;
        run->ready |= ready;
        run->direct &= ready || class == CLASS_NEVER || (run->copies && (int)x == run->b->copy_load);
    }
}

/* Sets all of a run that follows from the values. */
void block_lay_out(BlockRun *run)
{
    const Kernel *k = run->k;
    run->tasks = 0;
    run->small = run->direct = false;
    for (int i = 0; i < 2; i++) run->span[i] = (Span){.points = 1};
    run->outer = (Span){.points = 1};
    for (uint32_t a = 0; a < k->naxis; a++) {
        run->extent[a] = value_of(run, k->extent[a]);
        if (run->extent[a] == 0 && (int)a != k->sweep) return;
    }
    place_streams(run);
    lay_out(run);
    find_steps(run);
    run->levels = k->sweep >= 0 ? tree_levels(tree_blocks(run->extent[k->sweep], TREE_CHAIN)) : 0;
    for (uint32_t i = 0; i < 2; i++) run->blocks[i] = block_count(run, i);
    run->tasks = run->outer.points * run->blocks[0] * run->blocks[1];
    run->room_bytes = (MAX_OF(run->block[0], MIN_OF(run->block[1], LANES_MAX)) * run->size + 63) & ~(int64_t)63;
    run->fold_bytes = fold_bytes(run);
    run->small = run->tasks == 1 && run->room_bytes <= SMALL_BYTES && run->fold_bytes <= SMALL_FOLD;
    for (int i = 0; i < 2; i++) {
        run->task->span[i] = run->span[i];
        run->task->span[i].n = run->span[i].points;
    }
    find_ready(run);
    int64_t each = run->block[1] * (k->sweep < 0 ? run->block[0] : run->extent[k->sweep]);
    if (k->sweep >= 0 && (run->span[1].mask >> k->sweep & 1)) each = run->block[0] * run->extent[k->sweep];
    run->grain = MAX_OF(MOVE_GRAIN / 4 / MAX_OF(each, 1), 1);
}
