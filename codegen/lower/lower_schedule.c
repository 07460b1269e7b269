/* lower_schedule: decides how a kernel runs: which axes it really has, along which of them vectors lie, how it is cut into chunks
 * and what it costs. Changes neither what a kernel computes nor any reduction's order. Relies on lower.h. */
#include "lower.h"

/* ---- axes ---------------------------------------------------------------------------------------- */

static uint16_t index_read(const Kernel *k) /* the axes whose index an instruction reads */
{
    uint16_t axes = 0;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_AXIS) axes |= (uint16_t)(1u << k->instr[i].ref);
    return axes;
}

/* Removes axis a; later axes move down. */
static void remove_axis(Kernel *k, uint16_t *axes, uint32_t a)
{
    uint16_t low = (uint16_t)((1u << a) - 1);
    for (uint32_t s = 0; s < k->nstream; s++) {
        Dim *c = k->stream[s].coef;
        memmove(c + a, c + a + 1, (KERNEL_AXES - a - 1) * sizeof *c);
        c[KERNEL_AXES - 1] = 0;
    }
    memmove(k->extent + a, k->extent + a + 1, (KERNEL_AXES - a - 1) * sizeof *k->extent);
    k->extent[KERNEL_AXES - 1] = 0;
    for (uint32_t i = 0; i < k->ninstr; i++) {
        axes[i] = (uint16_t)((axes[i] & low) | (axes[i] >> 1 & ~low));
        if (k->instr[i].kind == I_AXIS && k->instr[i].ref > a) k->instr[i].ref--;
    }
    if (k->sweep > (int)a) k->sweep--;
    k->naxis--;
}

/* Whether every stream walks the axes `outer` and `inner` as one axis would. */
static bool side_by_side(Lower *lw, const Kernel *k, uint32_t outer, uint32_t inner)
{
    for (uint32_t s = 0; s < k->nstream; s++) {
        if (k->stream[s].buf & STREAM_ROW) continue;
        const Dim *c = k->stream[s].coef;
        if (c[outer] != dim_mul(lw->dims, c[inner], k->extent[inner])) return false;
    }
    return true;
}

static bool collapse_once(Lower *lw, Kernel *k, uint16_t *axes)
{
    uint16_t fixed = index_read(k);
    if (k->sweep >= 0) fixed |= (uint16_t)(1u << k->sweep);
    for (uint32_t outer = 0; outer < k->naxis; outer++) {
        if (fixed >> outer & 1) continue;
        if (k->extent[outer] == 1) {
            remove_axis(k, axes, outer);
            return true;
        }
        for (uint32_t inner = 0; inner < k->naxis; inner++) {
            if (inner == outer || (fixed >> inner & 1) || !side_by_side(lw, k, outer, inner)) continue;
            Dim both = dim_mul(lw->dims, k->extent[outer], k->extent[inner]);
            if (both == DIM_BAD) continue;
            k->extent[inner] = both;
            for (uint32_t i = 0; i < k->ninstr; i++)
                if (axes[i] >> outer & 1) axes[i] |= (uint16_t)(1u << inner);
            remove_axis(k, axes, outer);
            return true;
        }
    }
    return false;
}

/* Moves axis `from` to place `to`. */
static void move_axis(Kernel *k, uint16_t *axes, uint32_t from, uint32_t to)
{
    uint8_t at[KERNEL_AXES], perm[KERNEL_AXES];
    uint32_t n = 0;
    for (uint32_t a = 0; a < k->naxis; a++)
        if (a != from) at[n++] = (uint8_t)a;
    memmove(at + to + 1, at + to, n - to);
    at[to] = (uint8_t)from;
    for (uint32_t a = 0; a < k->naxis; a++) perm[at[a]] = (uint8_t)a;
    Dim extent[KERNEL_AXES] = {0};
    for (uint32_t a = 0; a < k->naxis; a++) extent[perm[a]] = k->extent[a];
    memcpy(k->extent, extent, sizeof extent);
    for (uint32_t s = 0; s < k->nstream; s++) {
        Dim coef[KERNEL_AXES] = {0};
        for (uint32_t a = 0; a < k->naxis; a++) coef[perm[a]] = k->stream[s].coef[a];
        memcpy(k->stream[s].coef, coef, sizeof coef);
    }
    for (uint32_t i = 0; i < k->ninstr; i++) {
        uint16_t moved = 0;
        for (uint32_t a = 0; a < k->naxis; a++)
            if (axes[i] >> a & 1) moved |= (uint16_t)(1u << perm[a]);
        axes[i] = moved;
        if (k->instr[i].kind == I_AXIS) k->instr[i].ref = perm[k->instr[i].ref];
    }
    if (k->sweep >= 0) k->sweep = (int8_t)perm[k->sweep];
}

/* ---- vectors ------------------------------------------------------------------------------------- */

/* Vectors lie along the sweep if lanes fold the reductions. */
bool kernel_sweeps_lanes(const Kernel *k, const uint16_t *axes)
{
    (void)axes;
    for (uint32_t i = 0; i < k->nreduction; i++)
        if (k->reduction[i].order >= ORDER_LANES) return true;
    return false;
}

static int64_t axis_score(const Lower *lw, const Kernel *k, const uint16_t *axes, uint32_t a)
{
    int64_t score = 0;
    for (uint32_t s = 0; s < k->nstream; s++) {
        const Stream *t = &k->stream[s];
        if (t->buf & STREAM_ROW) continue;
        bool written = k->writes[t->buf];
        if (t->dyn >= 0 && (axes[t->dyn] >> a & 1))
            score -= written ? 16 : 8;
        else if (t->coef[a] == 1)
            score += written ? 8 : 4;
        else if (t->coef[a] != 0)
            score -= written ? 8 : 4;
        else
            score += 1;
    }
    int64_t extent = dim_hi(lw->dims, k->extent[a]);
    return extent < 8 ? score - 16 : score;
}

/* Fetched places must not be looked up lane by lane. */
static bool fetches_apart(const Kernel *k, const uint16_t *axes, uint32_t a)
{
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const int32_t dyn = k->instr[i].kind == I_FETCH ? k->stream[k->instr[i].ref].dyn : -1;
        if (dyn >= 0 && (axes[dyn] >> a & 1)) return true;
    }
    return false;
}

/* Picks the best parallel axis for vectors, the innermost if several are equal; -1 if none is worth it. */
static int parallel_vector(const Lower *lw, const Kernel *k, const uint16_t *axes)
{
    int best = -1;
    int64_t best_score = 0;
    for (uint32_t a = 0; a < k->naxis; a++) {
        if ((int)a == k->sweep || (dim_is_const(k->extent[a]) && k->extent[a] < 2) || fetches_apart(k, axes, a)) continue;
        int64_t score = axis_score(lw, k, axes, a);
        if (best < 0 || score >= best_score) {
            best = (int)a;
            best_score = score;
        }
    }
    return best;
}

/* The axis along which most of those loads lie that vectors would gather; -1 if there are none. A square of both axes is turned in
 * registers. */
static int turn_axis(const Lower *lw, const Kernel *k)
{
    int best = -1;
    uint32_t most = 0;
    if (!lw->o->target.turns || k->vector < 0 || k->nreduction != 0) return -1;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_RANDOM) return -1;
    for (int a = 0; a < (int)k->naxis; a++) {
        uint32_t loads = 0;
        if (a == k->vector || (k->sweep >= 0 && a != k->sweep) || dim_hi(lw->dims, k->extent[a]) < 4) continue;
        for (uint32_t i = 0; i < k->ninstr; i++)
            loads += k->instr[i].kind == I_LOAD && stream_turned(k, &k->stream[k->instr[i].ref], a);
        if (loads > most) most = loads, best = a;
    }
    return best;
}

/* ---- chunks and cost ----------------------------------------------------------------------------- */

#define MANY_CHUNKS 32 /* have work for many threads, */
#define SOME_CHUNKS 12 /* and for some */

/* The outermost axis that has work for many threads, or else for some: neighbours along it lie together, and vectors stay whole. */
static int chunk_axis(const Lower *lw, const Kernel *k)
{
    int best = -1, some = -1;
    for (int a = 0; a < (int)k->naxis; a++) {
        if (a == k->sweep) continue;
        int64_t extent = dim_hi(lw->dims, k->extent[a]);
        if (a != k->vector && a != k->turn && extent >= MANY_CHUNKS) return a;
        if (a != k->vector && a != k->turn && extent >= SOME_CHUNKS && some < 0) some = a;
        if (best < 0 || extent > dim_hi(lw->dims, k->extent[best])) best = a;
    }
    return some >= 0 ? some : best;
}

#define COST_EXTENT 100000 /* beyond this a symbol's upper bound says little */

static int64_t cost_of(const Lower *lw, const Kernel *k)
{
    double points = 1, per_point = 0, sweep = 1;
    for (int a = 0; a < (int)k->naxis; a++) {
        int64_t extent = dim_is_const(k->extent[a]) ? k->extent[a] : MIN_OF(dim_hi(lw->dims, k->extent[a]), COST_EXTENT);
        if (a == k->sweep)
            sweep = (double)extent;
        else if (a != k->chunk)
            points *= (double)extent;
    }
    for (uint32_t s = 0; s < k->nstage; s++) {
        const Stage *st = &k->stage[s];
        double each = st->last_store - st->first_store + (double)(st->last_reduction - st->first_reduction), once = 0;
        for (uint32_t i = st->first; i < st->last; i++) {
            double c = k->instr[i].kind == I_RANDOM ? 40 : k->instr[i].kind == I_CONST ? 0 : 1;
            *(k->instr[i].sweeps || !st->sweep ? &each : &once) += c;
        }
        per_point += st->sweep ? once + sweep * each : each;
    }
    double cost = points * per_point;
    return cost < 1 ? 1 : cost > 1e15 ? (int64_t)1e15 : (int64_t)cost;
}

/* Whether a result may be as large as that. */
static bool may_have(const Lower *lw, const Kernel *k, const Stream *s, int64_t bytes)
{
    double most = (double)dtype_bytes((DType)s->type);
    for (uint32_t a = 0; a < k->naxis; a++)
        if (s->coef[a] != 0) most *= (double)dim_hi(lw->dims, k->extent[a]);
    return most >= (double)bytes;
}

/* A line that is written past the caches need not be read first. Where stores walk along memory, that gained nothing below some
 * 32 MB, and whoever reads the result next may find it in the last cache; squares write lines in many pages, and gained from 4 MB.
 * Kernels that compute more than that for each stream are not bound by memory: on a Sapphire Rapids exp gained a tenth, and sigmoid
 * and tanh, which wait for such a store longer than for a cache, lost a tenth and a third. */
#define MUCH_FOR_STREAM 12

static void write_past(const Lower *lw, Kernel *k)
{
    const int64_t bytes = (int64_t)(k->turn >= 0 ? 4 : 32) << 20;
    uint32_t work = 0;
    for (uint32_t i = 0; i < k->ninstr; i++)
        work += k->instr[i].lanes && (k->instr[i].kind == I_PRIM || k->instr[i].kind == I_RANDOM);
    if (!lw->o->target.past || k->vector < 0 || work > MUCH_FOR_STREAM * k->nstream) return;
    for (uint32_t i = 0; i < k->nstore; i++) {
        const Stream *s = &k->stream[k->store[i].stream];
        const bool plain = !(s->buf & STREAM_ROW) && s->dyn < 0 && s->guard < 0 && s->coef[k->vector] == 1 && k->store[i].fold == 0;
        if (plain && may_have(lw, k, s, bytes)) k->store[i].past = bytes;
    }
}

static uint8_t unroll_of(const Kernel *k)
{
    uint32_t work = 0;
    for (uint32_t i = 0; i < k->ninstr; i++) work += k->instr[i].kind != I_CONST && k->instr[i].kind != I_DIM;
    return work <= 12 ? 4 : work <= 48 ? 2 : 1;
}

void kernel_schedule(Lower *lw, Kernel *k, uint16_t *axes)
{
    while (collapse_once(lw, k, axes)) continue;
    if (k->sweep >= 0) move_axis(k, axes, (uint32_t)k->sweep, k->naxis - 1);
    k->turn = -1;
    if (kernel_sweeps_lanes(k, axes)) {
        k->vector = k->sweep;
    } else {
        int v = parallel_vector(lw, k, axes);
        uint32_t last = k->naxis - 1u - (k->sweep >= 0);
        if (v >= 0) move_axis(k, axes, (uint32_t)v, last);
        k->vector = (int8_t)(v >= 0 ? (int)last : -1);
        v = turn_axis(lw, k);
        if (v >= 0 && v != k->sweep) move_axis(k, axes, (uint32_t)v, last - 1);
        k->turn = (int8_t)(v >= 0 && v != k->sweep ? (int)last - 1 : v);
    }
    for (uint32_t i = 0; i < k->ninstr; i++) k->instr[i].lanes = k->vector >= 0 && (axes[i] >> k->vector & 1);
    k->chunk = (int8_t)chunk_axis(lw, k);
    k->unroll = k->turn >= 0 && k->turn == k->sweep ? 1 : unroll_of(k);
    k->cost = cost_of(lw, k);
    write_past(lw, k);
}
