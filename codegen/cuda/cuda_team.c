/* cuda_team: sweeps that the lanes of a warp, or the warps of a block, make together. Relies on sweep.h. */
#include "sweep.h"

/* ---- the lanes of a warp ------------------------------------------------------------------------ */

static bool in_order(const Print *c, const Reduction *r) { return !sweep_is_arg(r) && !sweep_by_lanes(c, r); }

void team_element(Print *c, const Stage *s)
{
    cuda_instrs(c, s, true);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *mine = arena_printf(c->arena, "x%u", i);
        if (sweep_is_arg(r))
            sweep_arg_step(c, i);
        else if (in_order(c, r))
            cuda_line(c, "%s = %s;", mine, sweep_value(c, r));
        else
            cuda_line(c, "%s = %s;", mine, cuda_folded(c, r, mine, sweep_value(c, r)));
    }
    cuda_stores(c, s);
}

void team_halves(Print *c, uint32_t i)
{
    const char *x = arena_printf(c->arena, "x%u", i), *other = arena_printf(c->arena, "from_below(x%u, half)", i);
    cuda_line(c, "for (u32 half = 16; half > 0; half /= 2) %s = %s;", x, cuda_folded(c, &c->k->reduction[i], x, other));
}

static void warp_in_order(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    cuda_line(c, "%s sum = %s;", cuda_type(sweep_type(r)), sweep_identity(c, r));
    cuda_line(
        c, "for (u32 l = 0; l < to; l++) sum = %s;", cuda_folded(c, r, "sum", arena_printf(c->arena, "from_lane(x%u, l)", i)));
    cuda_line(c, "x%u = sum;", i);
}

void team_better(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    const char *better = r->kind == R_ARGMAX ? "above" : "below", *t = cuda_type(sweep_type(r));
    cuda_line(c, "if (%s<%s>(other, best%u) || (same<%s>(other, best%u) && at < r%u)) best%u = other, r%u = at;", better, t, i, t,
        i, i, i, i);
}

void team_arg(Print *c, uint32_t i)
{
    cuda_open(c, "for (u32 half = 16; half > 0; half /= 2)");
    cuda_line(c, "const %s other = from_below(best%u, half);", cuda_type(sweep_type(&c->k->reduction[i])), i);
    cuda_line(c, "const i64 at = from_below(r%u, half);", i);
    team_better(c, i);
    cuda_close(c);
    cuda_line(c, "r%u = from_lane(r%u, 0);", i, i);
}

/* What the lanes hold between elements: their part of the block, or an element that waits for its turn. */
void team_open_lanes(Print *c, const Stage *s, bool lanes)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        if (sweep_is_arg(r) || in_order(c, r) == lanes) continue;
        cuda_line(c, "%s x%u = %s;", cuda_type(sweep_type(r)), i, sweep_identity(c, r));
    }
}

static void warp_turns(Print *c, const Stage *s)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        if (!in_order(c, r)) continue;
        const char *total = arena_printf(c->arena, "r%u", i), *next = arena_printf(c->arena, "from_lane(x%u, l)", i);
        cuda_line(c, "for (u32 l = 0; l < 32 && first + l < to; l++) %s = %s;", total, cuda_folded(c, r, total, next));
    }
}

static void warp_sweep(Print *c, const Stage *s)
{
    int64_t block = sweep_block(c, s);
    sweep_open_blocks(c, s, block);
    team_open_lanes(c, s, true);
    sweep_unroll_rows(c);
    cuda_open(c, "for (i64 first = from; first < to; first += 32)");
    team_open_lanes(c, s, false);
    cuda_line(c, "const i64 i%d = first + lane;", c->k->sweep);
    cuda_open(c, "if (i%d < to)", c->k->sweep);
    team_element(c, s);
    cuda_close(c);
    warp_turns(c, s);
    cuda_close(c);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        if (sweep_by_lanes(c, r)) {
            sweep_close_lanes(c, i, team_halves, warp_in_order);
            cuda_line(c, "r%u = from_lane(x%u, 0);", i, i);
        }
        if (sweep_in_blocks(r)) sweep_push_total(c, i, block);
    }
    if (block != 0) cuda_close(c);
    sweep_close_totals(c, s, block);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (sweep_is_arg(&c->k->reduction[i])) team_arg(c, i);
}

/* ---- the warps of a block ---------------------------------------------------------------------- */

/* Each warp makes the totals of every so many-th block of the row, which meet in shared memory. */
static uint32_t warps_of(const Print *c) { return c->shape.team / TREE_LANES; }

/* At most: each warp has a place in each turn. */
static int64_t totals_of(const Print *c)
{
    const int64_t blocks = tree_blocks(dim_hi(&c->p->module->dims, c->k->extent[c->k->sweep]), TREE_ROW), warps = warps_of(c);
    return (blocks + warps - 1) / warps * warps;
}

static void open_shared(Print *c, const Stage *s)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *t = cuda_type(sweep_type(r));
        if (sweep_is_arg(r))
            cuda_line(c, "__shared__ %s bests%u[%u]; __shared__ i64 places%u[%u];", t, i, warps_of(c), i, warps_of(c));
        else
            cuda_line(c, "__shared__ %s totals%u[%lld];", t, i, (long long)totals_of(c));
    }
}

static void block_turns(Print *c, const Stage *s)
{
    const char *n = cuda_dim(c, c->k->extent[c->k->sweep]);
    const uint32_t warps = warps_of(c);
    sweep_unroll_rows(c);
    cuda_open(c, "for (u32 turn = 0; i64(turn) * %u < %s; turn++)", warps * TREE_ROW, n);
    cuda_line(c, "const i64 from = i64(turn * %uu + threadIdx.x / 32u) * %d;", warps, TREE_ROW);
    cuda_line(c, "const i64 to = from + %d < %s ? from + %d : %s;", TREE_ROW, n, TREE_ROW, n);
    team_open_lanes(c, s, true);
    sweep_unroll_rows(c);
    cuda_open(c, "for (u32 step = 0; step < %uu; step++)", TREE_ROW / TREE_LANES);
    cuda_line(c, "const i64 i%d = from + step * 32u + lane;", c->k->sweep);
    cuda_open(c, "if (i%d < to)", c->k->sweep);
    team_element(c, s);
    cuda_close(c);
    cuda_close(c);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        if (sweep_is_arg(&c->k->reduction[i])) continue;
        team_halves(c, i);
        cuda_line(c, "if (lane == 0) totals%u[turn * %uu + threadIdx.x / 32u] = x%u;", i, warps, i);
    }
    cuda_close(c);
}

static void give_bests(Print *c, const Stage *s)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        if (!sweep_is_arg(&c->k->reduction[i])) continue;
        team_arg(c, i);
        cuda_line(c, "if (lane == 0) bests%u[threadIdx.x / 32u] = best%u, places%u[threadIdx.x / 32u] = r%u;", i, i, i, i);
    }
}

static void take_bests(Print *c, uint32_t i)
{
    cuda_line(c, "best%u = bests%u[0], r%u = places%u[0];", i, i, i, i);
    cuda_open(c, "for (u32 warp = 1; warp < %uu; warp++)", warps_of(c));
    cuda_line(c, "const %s other = bests%u[warp];", cuda_type(sweep_type(&c->k->reduction[i])), i);
    cuda_line(c, "const i64 at = places%u[warp];", i);
    team_better(c, i);
    cuda_close(c);
}

/* The totals of whole subtrees take the place of their first, one level of all subtrees after the other. */
static void fold_subtrees(Print *c, const Stage *s)
{
    bool any = false;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) any |= !sweep_is_arg(&c->k->reduction[i]);
    if (!any) return;
    cuda_line(c, "const u32 count = u32((%s + %d) / %d);", cuda_dim(c, c->k->extent[c->k->sweep]), TREE_ROW - 1, TREE_ROW);
    cuda_open(c, "for (u32 half = 1; 2 * half <= count; half *= 2)");
    cuda_open(c, "for (u32 at = threadIdx.x * 2 * half; at + 2 * half <= count; at += %uu * half)", 2 * c->shape.team);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *low = arena_printf(c->arena, "totals%u[at]", i), *high = arena_printf(c->arena, "totals%u[at + half]", i);
        if (!sweep_is_arg(r)) cuda_line(c, "%s = %s;", low, cuda_folded(c, r, low, high));
    }
    cuda_close(c);
    cuda_line(c, "__syncthreads();");
    cuda_close(c);
}

/* What is left of the tree: a subtree for each bit of the number of totals, the last of which is the smallest. */
static void fold_rest(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    const char *total = arena_printf(c->arena, "r%u", i), *sum = arena_printf(c->arena, "sum%u", i);
    cuda_line(c, "bool first%u = true;", i);
    cuda_open(c, "for (u32 bit = 1; bit <= count; bit *= 2)");
    cuda_line(c, "if ((count & bit) == 0) continue;");
    cuda_line(c, "const %s %s = totals%u[count & ~(2 * bit - 1)];", cuda_type(sweep_type(r)), sum, i);
    cuda_line(c, "%s = first%u ? %s : %s;", total, i, sum, cuda_folded(c, r, sum, total));
    cuda_line(c, "first%u = false;", i);
    cuda_close(c);
}

static void block_sweep(Print *c, const Stage *s)
{
    open_shared(c, s);
    block_turns(c, s);
    give_bests(c, s);
    if (s->first_reduction == s->last_reduction) return;
    cuda_line(c, "__syncthreads();");
    fold_subtrees(c, s);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (sweep_is_arg(&c->k->reduction[i]))
            take_bests(c, i);
        else
            fold_rest(c, i);
}

void team_sweep(Print *c, const Stage *s)
{
    if (warps_of(c) > 1)
        block_sweep(c, s);
    else
        warp_sweep(c, s);
}
