/* cuda_long: rows that several blocks share. Block `part` of the `parts` of a row takes every so many-th of its `units`, pieces of
 * blocks of TREE_ROW elements that lie side by side, `deep` for each warp; a piece is a whole subtree of the row's (ir/tree.h) or
 * its end, and gives one total. The totals meet in memory, at `place`, from where each block takes all of them and folds the rest
 * of the tree. A block that has a row to itself waits for nobody. Relies on sweep.h. Never decides which rows are such. */
#include "sweep.h"

enum { WARPS = SHARE_WARPS };

static const char *length(Print *c) { return cuda_dim(c, c->k->extent[c->k->sweep]); }
static int64_t most_elements(const Print *c) { return dim_hi(&c->p->module->dims, c->k->extent[c->k->sweep]); }
static bool is_deep(const Print *c) { return share_deep(&c->shape.rows, most_elements(c)) > 1; }
static bool reduces(const Stage *s) { return s->first_reduction < s->last_reduction; }

/* Which of the lists at `place` is the reduction's; of an arg its bests, which its places follow. */
static uint32_t list_of(const Print *c, uint32_t reduction)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < reduction; i++) n += sweep_is_arg(&c->k->reduction[i]) ? 2 : 1;
    return n;
}

/* ---- around the stages --------------------------------------------------------------------------- */

void cuda_long_open(Print *c)
{
    const char *n = length(c);
    cuda_line(c, "const u32 part = blockIdx.y, parts = gridDim.y;");
    cuda_line(c, "const i64 blocks = (%s + %d) / %d;", n, TREE_ROW - 1, TREE_ROW);
    cuda_line(c, is_deep(c) ? "u32 deep = 1;" : "const u32 deep = 1;");
    if (is_deep(c)) cuda_line(c, "while ((blocks - 1) / (i64(deep) * %d) >= %u) deep *= 2;", WARPS, (uint32_t)c->shape.rows.units);
    cuda_line(c, "const u32 units = u32((blocks + i64(deep) * %d - 1) / (i64(deep) * %d));", WARPS, WARPS);
    cuda_line(c, "u32 number = 0;");
}

/* Two rows one after the other have places of their own: some blocks may still read the one. */
void cuda_long_point(Print *c)
{
    cuda_line(c, "u64 *const place = meet + gridDim.x + i64(number++ %% 2 * gridDim.x + blockIdx.x) * %u * units;",
        (uint32_t)c->shape.rows.lists);
    for (uint32_t i = 0; i < c->k->nstream && c->shape.rows.kept > 0; i++)
        if (cuda_is_kept(c->k, i))
            cuda_line(c, "%s kept%u[%u];", cuda_memory_type((DType)c->k->stream[i].type), i,
                (uint32_t)c->shape.rows.kept * TREE_ROW / TREE_LANES);
}

const char *cuda_long_load(Print *c, const Stream *s, const char *at)
{
    const uint32_t stream = (uint32_t)(s - c->k->stream);
    if (!cuda_is_kept(c->k, stream)) return at;
    const char *kept = arena_printf(c->arena, "kept%u[turn * 32u + step]", stream);
    for (const Stage *before = c->k->stage; before < c->stage; before++)
        for (uint32_t i = before->first; i < before->last && before->sweep; i++)
            if (c->k->instr[i].kind == I_LOAD && c->k->instr[i].ref == stream) return kept;
    return arena_printf(c->arena, "(%s = %s)", kept, at);
}

/* ---- a piece ------------------------------------------------------------------------------------- */

static void elements(Print *c, const Stage *s)
{
    cuda_line(c, "const i64 to = from + %d < %s ? from + %d : %s;", TREE_ROW, length(c), TREE_ROW, length(c));
    team_open_lanes(c, s, true);
    cuda_line(c, c->keeps ? "#pragma unroll" : "#pragma unroll 8");
    cuda_open(c, "for (u32 step = 0; step < %uu; step++)", TREE_ROW / TREE_LANES);
    cuda_line(c, "const i64 i%d = from + step * 32u + lane;", c->k->sweep);
    cuda_open(c, "if (i%d < to)", c->k->sweep);
    team_element(c, s);
    cuda_close(c);
    cuda_close(c);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (!sweep_is_arg(&c->k->reduction[i])) team_halves(c, i);
}

/* The counter of ir/tree.h: block b of those of this warp. */
static void push(Print *c, uint32_t i)
{
    const char *x = arena_printf(c->arena, "x%u", i), *level = arena_printf(c->arena, "level%u[threadIdx.x / 32u][at]", i);
    cuda_line(c, "u32 at = 0;");
    cuda_line(c, "for (; (b >> at & 1) != 0; at++) %s = %s;", x, cuda_folded(c, &c->k->reduction[i], level, x));
    cuda_line(c, "%s = %s;", level, x);
}

static void deep_blocks(Print *c, const Stage *s)
{
    cuda_open(c, "for (u32 b = 0; b < deep && first + b < blocks; b++)");
    cuda_line(c, "const i64 from = (first + b) * %d;", TREE_ROW);
    elements(c, s);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        if (sweep_is_arg(&c->k->reduction[i])) continue;
        cuda_open(c, "if (lane == 0)");
        push(c, i);
        cuda_close(c);
    }
    cuda_close(c);
}

static void deep_total(Print *c, uint32_t i)
{
    const Reduction *r = &c->k->reduction[i];
    const char *level = arena_printf(c->arena, "level%u[threadIdx.x / 32u][at]", i);
    cuda_open(c, "if (lane == 0)");
    cuda_line(c, "const u32 done = blocks - first < deep ? (blocks > first ? u32(blocks - first) : 0u) : deep;");
    cuda_line(c, "%s sum = %s;", cuda_type(sweep_type(r)), sweep_identity(c, r));
    cuda_line(c, "bool any = false;");
    cuda_open(c, "for (u32 at = 0; done >> at != 0; at++)");
    cuda_line(c, "if ((done >> at & 1) == 0) continue;");
    cuda_line(c, "sum = any ? %s : %s;", cuda_folded(c, r, level, "sum"), level);
    cuda_line(c, "any = true;");
    cuda_close(c);
    cuda_line(c, "part%u[turn %% 2][threadIdx.x / 32u] = sum;", i);
    cuda_close(c);
}

/* The first of the list becomes the total of the first `count`: a level of the tree after the other. */
static void fold_list(Print *c, const Stage *s, const char *list, const char *which)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *low = arena_printf(c->arena, "%s%u%s[at]", list, i, which);
        const char *high = arena_printf(c->arena, "%s%u%s[at + half]", list, i, which);
        if (!sweep_is_arg(r)) cuda_line(c, "%s = %s;", low, cuda_folded(c, r, low, high));
    }
}

static bool has_totals(const Print *c, const Stage *s)
{
    bool any = false;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) any |= !sweep_is_arg(&c->k->reduction[i]);
    return any;
}

static void unit_total(Print *c, const Stage *s)
{
    cuda_line(c, "__syncthreads();");
    cuda_open(c, "if (threadIdx.x == 0)");
    cuda_line(c, "const i64 left = (blocks - i64(unit) * %d * deep + deep - 1) / deep;", WARPS);
    cuda_line(c, "const u32 count = left < %d ? u32(left) : %du;", WARPS, WARPS);
    cuda_line(c, "for (u32 half = 1; half < count; half *= 2)");
    cuda_open(c, "for (u32 at = 0; at + half < count; at += 2 * half)");
    fold_list(c, s, "part", "[turn % 2]");
    cuda_close(c);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (!sweep_is_arg(&c->k->reduction[i])) cuda_line(c, "to%u[unit] = part%u[turn %% 2][0];", i, i);
    cuda_close(c);
}

static void unit_body(Print *c, const Stage *s)
{
    cuda_line(c, "const i64 first = (i64(unit) * %d + threadIdx.x / 32u) * deep;", WARPS);
    if (is_deep(c)) {
        deep_blocks(c, s);
    } else {
        cuda_line(c, "const i64 from = first * %d;", TREE_ROW);
        elements(c, s);
    }
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        if (sweep_is_arg(&c->k->reduction[i])) continue;
        if (is_deep(c))
            deep_total(c, i);
        else
            cuda_line(c, "if (lane == 0) part%u[turn %% 2][threadIdx.x / 32u] = x%u;", i, i);
    }
    if (has_totals(c, s)) unit_total(c, s);
}

static void all_units(Print *c, const Stage *s)
{
    const uint32_t kept = (uint32_t)c->shape.rows.kept;
    if (kept > 0) {
        c->keeps = true;
        cuda_line(c, "#pragma unroll");
        cuda_open(c, "for (u32 turn = 0; turn < %uu; turn++)", kept);
        cuda_line(c, "const u32 unit = part + turn * parts;");
        cuda_open(c, "if (unit < units)");
        unit_body(c, s);
        cuda_close(c);
        cuda_close(c);
        c->keeps = false;
    }
    cuda_open(c, "for (u32 unit = part + %uu * parts, turn = %uu; unit < units; unit += parts, turn++)", kept, kept);
    unit_body(c, s);
    cuda_close(c);
}

/* ---- what is found ------------------------------------------------------------------------------- */

static void open_stage(Print *c, const Stage *s)
{
    const uint32_t levels = tree_levels(share_deep(&c->shape.rows, most_elements(c)));
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *t = cuda_type(sweep_type(r));
        const uint32_t list = list_of(c, i);
        if (sweep_is_arg(r)) {
            cuda_line(c, "__shared__ %s bests%u[%d]; __shared__ i64 places%u[%d];", t, i, WARPS, i, WARPS);
            cuda_line(c, "%s *const to%u = parts > 1 ? (%s *)(place + %uu * units) : bests%u;", t, i, t, list, i);
            cuda_line(c, "i64 *const at%u = parts > 1 ? (i64 *)(place + %uu * units) : places%u;", i, list + 1, i);
        } else {
            cuda_line(c, "__shared__ %s part%u[2][%d], totals%u[%u];", t, i, WARPS, i, (uint32_t)c->shape.rows.units);
            if (is_deep(c)) cuda_line(c, "__shared__ %s level%u[%d][%u];", t, i, WARPS, levels);
            cuda_line(c, "%s *const to%u = parts > 1 ? (%s *)(place + %uu * units) : totals%u;", t, i, t, list, i);
        }
    }
}

/* The best of the block. */
static void give_bests(Print *c, const Stage *s)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        if (!sweep_is_arg(&c->k->reduction[i])) continue;
        team_arg(c, i);
        if (!has_totals(c, s)) cuda_line(c, "__syncthreads();"); /* the row before may be read still */
        cuda_line(c, "if (lane == 0) bests%u[threadIdx.x / 32u] = best%u, places%u[threadIdx.x / 32u] = r%u;", i, i, i, i);
        cuda_line(c, "__syncthreads();");
        cuda_open(c, "if (threadIdx.x == 0)");
        cuda_open(c, "for (u32 warp = 1; warp < %du; warp++)", WARPS);
        cuda_line(c, "const %s other = bests%u[warp];", cuda_type(sweep_type(&c->k->reduction[i])), i);
        cuda_line(c, "const i64 at = places%u[warp];", i);
        team_better(c, i);
        cuda_close(c);
        cuda_line(c, "to%u[part] = best%u, at%u[part] = r%u;", i, i, i, i);
        cuda_close(c);
    }
}

static void meet(Print *c)
{
    cuda_open(c, "if (parts > 1)");
    cuda_line(c, "__threadfence();");
    cuda_line(c, "blocks_meet(meet + blockIdx.x, parts);");
    cuda_close(c);
}

static void take_totals(Print *c, const Stage *s)
{
    cuda_open(c, "for (u32 at = threadIdx.x; at < units && parts > 1; at += %du)", CUDA_BLOCK);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (!sweep_is_arg(&c->k->reduction[i])) cuda_line(c, "totals%u[at] = to%u[at];", i, i);
    cuda_close(c);
    cuda_line(c, "__syncthreads();");
    cuda_open(c, "for (u32 half = 1; half < units; half *= 2)");
    cuda_open(c, "for (u32 at = threadIdx.x * 2 * half; at + half < units; at += %du * half)", 2 * CUDA_BLOCK);
    fold_list(c, s, "totals", "");
    cuda_close(c);
    cuda_line(c, "__syncthreads();");
    cuda_close(c);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (!sweep_is_arg(&c->k->reduction[i])) cuda_line(c, "r%u = totals%u[0];", i, i);
}

/* Each warp for itself. */
static void take_bests(Print *c, const Stage *s)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        if (!sweep_is_arg(&c->k->reduction[i])) continue;
        if (!has_totals(c, s)) cuda_line(c, "__syncthreads();");
        cuda_line(c, "best%u = to%u[0], r%u = at%u[0];", i, i, i, i);
        cuda_open(c, "for (u32 other_part = lane; other_part < parts; other_part += 32)");
        cuda_line(c, "const %s other = to%u[other_part];", cuda_type(sweep_type(&c->k->reduction[i])), i);
        cuda_line(c, "const i64 at = at%u[other_part];", i);
        team_better(c, i);
        cuda_close(c);
        team_arg(c, i);
    }
}

static void sweep(Print *c, const Stage *s)
{
    cuda_instrs(c, s, false);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &c->k->reduction[i];
        const char *t = cuda_type(sweep_type(r));
        cuda_line(c, "%s %s%u = %s;", t, sweep_is_arg(r) ? "best" : "r", i, sweep_identity(c, r));
        if (sweep_is_arg(r)) cuda_line(c, "i64 r%u = (i64(part) * %d + threadIdx.x / 32u) * deep * %d + lane;", i, WARPS, TREE_ROW);
    }
    text_printf(c->out, "%*s{\n", (int)(4 * c->depth++), "");
    open_stage(c, s);
    all_units(c, s);
    if (reduces(s)) {
        give_bests(c, s);
        meet(c);
        if (has_totals(c, s)) take_totals(c, s);
        take_bests(c, s);
    }
    cuda_close(c);
}

/* ---- stages -------------------------------------------------------------------------------------- */

static bool loads(const Kernel *k, const Stage *s)
{
    for (uint32_t i = s->first; i < s->last; i++)
        if (k->instr[i].kind == I_LOAD && !(k->stream[k->instr[i].ref].buf & STREAM_ROW)) return true;
    return false;
}

/* What is stored once is the first block's, when no other may still read what it is written over. */
void cuda_long_stages(Print *c)
{
    bool read = false; /* since blocks met last */
    for (uint32_t i = 0; i < c->k->nstage; i++) {
        const Stage *s = c->stage = &c->k->stage[i];
        read = (read || loads(c->k, s)) && !(s->sweep && reduces(s));
        if (s->sweep) {
            sweep(c, s);
            continue;
        }
        cuda_instrs(c, s, false);
        if (s->first_store == s->last_store) continue;
        if (read) meet(c);
        read = false;
        cuda_open(c, "if (part == 0)");
        cuda_stores(c, s);
        cuda_close(c);
    }
    c->stage = NULL;
}
