/* cuda_reduce: stages that sweep, and the reductions they make, in exactly the orders of kernel.h. A warp's lanes are the 32 lanes
 * of docs/numerics.md, halved by shuffles; a single thread keeps them in an array. If a warp folds in order of the index, its lanes
 * pass their elements round, and every lane folds all of them. Relies on sweep.h. */
#include "sweep.h"

#include <math.h>

const char *cuda_reduced(Print *c, uint32_t reduction)
{
    const Reduction *r = &c->k->reduction[reduction];
    return arena_printf(c->arena, r->type == DT_bool && !sweep_is_arg(r) ? "(r%u != 0)" : "r%u", reduction);
}

static Scalar bound(DType t, bool highest)
{
    if (dtype_is_float(t)) return (Scalar){.f = highest ? HUGE_VAL : -HUGE_VAL};
    if (t == DT_u64) return (Scalar){.u = highest ? UINT64_MAX : 0};
    return (Scalar){.i = highest ? dtype_info[t].hi : dtype_info[t].lo};
}

const char *sweep_identity(Print *c, const Reduction *r)
{
    DType t = sweep_type(r);
    Scalar one = dtype_is_float(t) ? (Scalar){.f = 1} : (Scalar){.i = 1};
    switch ((ReduceKind)r->kind) {
    case R_SUM: return cuda_literal(c->arena, t, (Scalar){0});
    case R_PROD: return cuda_literal(c->arena, t, one);
    case R_MAX:
    case R_ARGMAX: return cuda_literal(c->arena, t, bound(t, false));
    default: return cuda_literal(c->arena, t, bound(t, true));
    }
}

/* total, then x */
const char *cuda_folded(Print *c, const Reduction *r, const char *total, const char *x)
{
    DType t = sweep_type(r);
    switch ((ReduceKind)r->kind) {
    case R_SUM: return cuda_prim(c->arena, P_add, t, t, total, x, NULL);
    case R_PROD: return cuda_prim(c->arena, P_mul, t, t, total, x, NULL);
    case R_MAX: return arena_printf(c->arena, "max_of<%s>(%s, %s)", cuda_type(t), total, x);
    default: return arena_printf(c->arena, "min_of<%s>(%s, %s)", cuda_type(t), total, x);
    }
}

const char *sweep_value(Print *c, const Reduction *r)
{
    return arena_printf(c->arena, r->type == DT_bool ? "u8(%s)" : "%s", cuda_operand(c, r->value));
}

static bool known_extent(const Print *c, int64_t *n) { return cuda_dim_const(c->p, c->k->extent[c->k->sweep], n); }

bool sweep_by_lanes(const Print *c, const Reduction *r)
{
    int64_t n;
    if (sweep_is_arg(r) || r->order < ORDER_LANES) return false;
    return r->order == ORDER_LANES || !known_extent(c, &n) || n >= TREE_LANES;
}

/* Whether that depends on the extent at run time. */
static bool by_extent(const Print *c, const Reduction *r)
{
    int64_t n;
    return r->order == ORDER_RUNTIME && !known_extent(c, &n);
}

/* Elements in a block of the stage, whose reductions all have one form; 0 if nothing in it is cut into blocks. */
int64_t sweep_block(Print *c, const Stage *s)
{
    int64_t block = 0;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        int64_t n = sweep_by_lanes(c, r) ? TREE_ROW : TREE_CHAIN;
        if (!sweep_in_blocks(r)) continue;
        if (block != 0 && block != n)
            status_fail(c->st, ST_INTERNAL, "cuda: kernel %s reduces in two orders in one sweep", c->k->name ? c->k->name : "?");
        block = n;
    }
    return block;
}

/* The counter of ir/tree.h, where there may be more than one block. */
static uint32_t levels_of(const Print *c, int64_t block)
{
    int64_t most = dim_hi(&c->p->module->dims, c->k->extent[c->k->sweep]);
    return block == 0 || most <= block ? 0 : tree_levels(tree_blocks(most, block));
}

static void open_totals(Print *c, const Stage *s)
{
    const char *first = arena_printf(c->arena, "threadIdx.x / 32u * %du + lane", TREE_ROW);
    const bool alone = c->shape.team <= TREE_LANES; /* else the totals of blocks meet in shared memory */
    uint32_t levels = alone ? levels_of(c, sweep_block(c, s)) : 0;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *t = cuda_type(sweep_type(r));
        if (sweep_is_arg(r)) {
            cuda_line(c, "%s best%u = %s;", t, i, sweep_identity(c, r));
            cuda_line(c, "i64 r%u = %s;", i, alone ? c->shape.team > 1 ? "lane" : "0" : first);
        } else {
            cuda_line(c, "%s r%u = %s;", t, i, sweep_identity(c, r));
            if (sweep_in_blocks(r) && levels > 0) cuda_line(c, "%s level%u[%u];", t, i, levels);
        }
    }
}

/* Levels that a loop over them keeps in registers: then it is unrolled, so that every index is a number. */
#define LEVELS_UNROLLED 16
#define KEPT_UNROLLED 64 /* as are elements of a row */

static void open_levels(Print *c, uint32_t levels)
{
    if (levels <= LEVELS_UNROLLED) cuda_line(c, "#pragma unroll");
    cuda_open(c, "for (u32 at = 0; at < %u; at++)", levels);
}

/* r holds the total of the block that begins at `from`. */
void sweep_push_total(Print *c, uint32_t i, int64_t block)
{
    const char *r = arena_printf(c->arena, "r%u", i), *level = arena_printf(c->arena, "level%u[at]", i);
    const uint32_t levels = levels_of(c, block);
    if (levels == 0) return;
    cuda_line(c, "bool rises%u = true;", i);
    open_levels(c, levels);
    cuda_line(c, "const bool full = (from / %lld >> at) %% 2 != 0;", (long long)block);
    cuda_line(c, "if (rises%u && full) %s = %s;", i, r, cuda_folded(c, &c->k->reduction[i], level, r));
    cuda_line(c, "if (rises%u && !full) %s = %s;", i, level, r);
    cuda_line(c, "rises%u = rises%u && full;", i, i);
    cuda_close(c);
}

void sweep_close_totals(Print *c, const Stage *s, int64_t block)
{
    const char *n = cuda_dim(c, c->k->extent[c->k->sweep]);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *red = &c->k->reduction[i];
        const char *r = arena_printf(c->arena, "r%u", i), *level = arena_printf(c->arena, "level%u[at]", i);
        if (!sweep_in_blocks(red) || levels_of(c, block) == 0) continue;
        text_printf(c->out, "%*s{\n", (int)(4 * c->depth++), "");
        cuda_line(c, "const i64 blocks = (%s + %lld) / %lld;", n, (long long)block - 1, (long long)block);
        cuda_line(c, "bool first = true;");
        open_levels(c, levels_of(c, block));
        cuda_line(c, "if ((blocks >> at) %% 2 == 0) continue;");
        cuda_line(c, "%s = first ? %s : %s;", r, level, cuda_folded(c, red, level, r));
        cuda_line(c, "first = false;");
        cuda_close(c);
        cuda_close(c);
    }
}

void sweep_arg_step(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    const char *better = r->kind == R_ARGMAX ? "above" : "below", *t = cuda_type(sweep_type(r));
    cuda_open(c, "if (%s<%s>(%s, best%u))", better, t, sweep_value(c, r), i);
    cuda_line(c, "best%u = %s;", i, sweep_value(c, r));
    cuda_line(c, "r%u = i%d;", i, c->k->sweep);
    cuda_close(c);
}

void sweep_unroll_rows(Print *c)
{
    int64_t n;
    if (c->shape.team > 1 && c->k->nrow > 0 && known_extent(c, &n) && cuda_kept(&c->shape, n) <= KEPT_UNROLLED)
        cuda_line(c, "#pragma unroll");
}

/* from .. to is the block that is being swept; 0 means all. */
void sweep_open_blocks(Print *c, const Stage *s, int64_t block)
{
    const char *n = cuda_dim(c, c->k->extent[c->k->sweep]);
    const long long b = (long long)block;
    if (block == 0) {
        cuda_line(c, "const i64 from = 0, to = %s;", n);
        return;
    }
    sweep_unroll_rows(c);
    cuda_open(c, "for (i64 from = 0; from < %s; from += %lld)", n, b);
    cuda_line(c, "const i64 to = from + %lld < %s ? from + %lld : %s;", b, n, b, n);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (sweep_in_blocks(&c->k->reduction[i])) cuda_line(c, "r%u = %s;", i, sweep_identity(c, &c->k->reduction[i]));
}

/* ---- a thread per point ---------------------------------------------------------------------- */

static void thread_element(Print *c, const Stage *s)
{
    cuda_instrs(c, s, true);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        if (sweep_is_arg(r)) {
            sweep_arg_step(c, i);
            continue;
        }
        const char *total =
            sweep_by_lanes(c, r) ? arena_printf(c->arena, "lane%u[i%d %% 32]", i, c->k->sweep) : arena_printf(c->arena, "r%u", i);
        cuda_line(c, "%s = %s;", total, cuda_folded(c, r, total, sweep_value(c, r)));
    }
    cuda_stores(c, s);
}

static void thread_halves(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    const char *low = arena_printf(c->arena, "lane%u[l]", i), *high = arena_printf(c->arena, "lane%u[l + half]", i);
    cuda_line(c, "for (u32 half = 16; half > 0; half /= 2)");
    cuda_line(c, "    for (u32 l = 0; l < half; l++) %s = %s;", low, cuda_folded(c, r, low, high));
}

static void thread_in_order(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    cuda_line(c, "%s sum = %s;", cuda_type(sweep_type(r)), sweep_identity(c, r));
    cuda_line(c, "for (u32 l = 0; l < to; l++) sum = %s;", cuda_folded(c, r, "sum", arena_printf(c->arena, "lane%u[l]", i)));
    cuda_line(c, "lane%u[0] = sum;", i);
}

/* Combines a block's lanes into one value. With fewer elements than lanes, each element stays in its own lane. (Combining with the
 * identity changes no bits, except of -0 + 0, and a sum that starts at 0 is never -0.) */
void sweep_close_lanes(Print *c, uint32_t i, void (*halves)(Print *, uint32_t), void (*in_order)(Print *, uint32_t))
{
    const Reduction *r = &c->k->reduction[i];
    if (by_extent(c, r)) {
        cuda_open(c, "if (%s >= 32)", cuda_dim(c, c->k->extent[c->k->sweep]));
        halves(c, i);
        c->depth--;
        cuda_open(c, "} else");
        in_order(c, i);
        cuda_close(c);
    } else {
        halves(c, i);
    }
}

static void thread_sweep(Print *c, const Stage *s)
{
    int64_t block = sweep_block(c, s);
    sweep_open_blocks(c, s, block);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        if (!sweep_by_lanes(c, r)) continue;
        cuda_line(c, "%s lane%u[32];", cuda_type(sweep_type(r)), i);
        cuda_line(c, "for (u32 l = 0; l < 32; l++) lane%u[l] = %s;", i, sweep_identity(c, r));
    }
    cuda_open(c, "for (i64 i%d = from; i%d < to; i%d++)", c->k->sweep, c->k->sweep, c->k->sweep);
    thread_element(c, s);
    cuda_close(c);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        if (sweep_by_lanes(c, r)) {
            sweep_close_lanes(c, i, thread_halves, thread_in_order);
            cuda_line(c, "r%u = lane%u[0];", i, i);
        }
        if (sweep_in_blocks(r)) sweep_push_total(c, i, block);
    }
    if (block != 0) cuda_close(c);
    sweep_close_totals(c, s, block);
}

/* ---- either ---------------------------------------------------------------------------------- */

void cuda_sweep(Print *c, const Stage *s)
{
    cuda_instrs(c, s, false);
    open_totals(c, s);
    text_printf(c->out, "%*s{\n", (int)(4 * c->depth++), "");
    if (c->shape.team > 1)
        team_sweep(c, s);
    else
        thread_sweep(c, s);
    cuda_close(c);
}
