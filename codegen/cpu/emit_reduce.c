/* emit_reduce: stages that sweep, and the reductions they make, in exactly the orders of kernel.h. If lanes run along the sweep,
 * TREE_LANES / width vectors sum a block of TREE_ROW elements; otherwise lanes in memory do, or each vector takes one value as a
 * chain. With fewer elements than lanes, each element stays in its own lane, so that summing in order of the index can happen
 * afterwards. (Combining with the identity changes no bits, except of -0 + 0, and a sum that starts at 0 is never -0.) Relies on
 * gen, emit_scalar, emit_kernel, emit_tree. */
#include "emit_reduce.h"

static LLVMValueRef emit_axis_index(KernelEmit *e, uint32_t u)
{
    Gen *g = e->g;
    LLVMValueRef i = e->index[e->k->sweep];
    if (e->k->vector != e->k->sweep || e->width == 1) return i;
    LLVMValueRef v = gen_splat(g, i, e->width);
    return LLVMBuildAdd(g->b, v, reduce_iota(g, (int64_t)u * e->width, e->width), "");
}

/* ---- one step -------------------------------------------------------------------------------- */

static LLVMValueRef value_of(KernelEmit *e, const Reduction *r, uint32_t u, bool lanes)
{
    LLVMValueRef v = emit_operand(e, r->value, u, lanes);
    if (r->type != DT_bool) return v;
    return LLVMBuildZExt(e->g->b, v, gen_lanes(e->g->i8, gen_lanes_of(v)), "");
}

static void arg_step(KernelEmit *e, const Reduction *r, Accumulator *a, uint32_t slot, LLVMValueRef v, uint32_t u)
{
    Gen *g = e->g;
    DType t = reduce_type(r);
    LLVMValueRef *best = &a->value[slot], *at = &a->value[a->slots + slot];
    LLVMValueRef better = emit_prim(g, r->kind == R_ARGMAX ? P_gt : P_lt, t, DT_bool, v, *best, NULL);
    if (dtype_is_float(t)) {
        LLVMValueRef nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, ""), was = LLVMBuildFCmp(g->b, LLVMRealORD, *best, *best, "");
        better = gen_or(g, better, gen_and(g, nan, was));
    }
    if (e->mask && e->k->vector == e->k->sweep) better = gen_and(g, better, e->mask);
    *best = gen_select(g, better, v, *best);
    *at = gen_select(g, better, gen_splat(g, emit_axis_index(e, u), gen_lanes_of(v)), *at);
}

static void memory_step(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef v, uint32_t u)
{
    Gen *g = e->g;
    LLVMValueRef lane = LLVMBuildAnd(g->b, e->index[e->k->sweep], gen_i64(g, TREE_LANES - 1), "");
    LLVMValueRef at = reduce_lane(e, a, r, lane, u);
    gen_store(g, reduce_op(g, r, gen_load(g, LLVMTypeOf(v), at, reduce_align(r)), v), at, reduce_align(r));
}

/* A maximum that forgets a NaN when the next element comes is one instruction, and its NaN are found beside it, two vectors at a
 * time: half the time of a chain of maxima that keep it. */
static void extreme_step(KernelEmit *e, const Reduction *r, Accumulator *a, uint32_t u, LLVMValueRef v)
{
    Gen *g = e->g;
    const DType t = reduce_type(r);
    LLVMValueRef keep = emit_prim(g, r->kind == R_MAX ? P_gt : P_lt, t, DT_bool, a->value[u], v, NULL);
    a->value[u] = gen_select(g, keep, a->value[u], v);
    if (a->unseen) *a->nan = gen_or(g, *a->nan, LLVMBuildFCmp(g->b, LLVMRealUNO, a->unseen, v, ""));
    a->unseen = a->unseen ? NULL : v;
}

void emit_accumulate(KernelEmit *e, const Stage *s, uint32_t index, uint32_t u)
{
    Gen *g = e->g;
    const Reduction *r = &e->k->reduction[index];
    Accumulator *a = &e->acc[index];
    bool along = e->k->vector == e->k->sweep && e->width > 1;
    bool lanes = along || e->k->instr[r->value].lanes;
    if (!lanes && u > 0) return;
    (void)s;
    LLVMValueRef v = value_of(e, r, u, lanes);
    if (r->kind == R_ARGMAX || r->kind == R_ARGMIN) {
        arg_step(e, r, a, u, v, u);
    } else if (a->nan) {
        extreme_step(e, r, a, u, v);
    } else if (along) {
        LLVMValueRef sum = reduce_op(g, r, a->value[u], v);
        a->value[u] = e->mask ? gen_select(g, e->mask, sum, a->value[u]) : sum;
    } else if (a->lanes) {
        memory_step(e, r, a, v, u);
    } else {
        a->value[u] = reduce_op(g, r, a->value[u], v);
    }
}

/* ---- lanes along the parallel axis, or none: index after index ------------------------------- */

static bool short_extent(const Gen *g, Dim extent, int64_t limit)
{
    int64_t n;
    return gen_dim_const(g, extent, &n) && n <= limit;
}

/* Whether the sum needs lanes; it does not if its extent, known now, calls for the order of the index. */
static bool wants_lanes(const KernelEmit *e, const Reduction *r)
{
    if (reduce_is_arg(r) || r->order < ORDER_LANES) return false;
    return r->order == ORDER_LANES || !short_extent(e->g, e->k->extent[e->k->sweep], TREE_LANES - 1);
}

static LLVMValueRef *serial_open(KernelEmit *e, const Stage *s, uint32_t *count)
{
    Gen *g = e->g;
    uint32_t n = 0, all = s->last_reduction - s->first_reduction;
    LLVMValueRef *flat = ARENA_ARRAY(g->arena, LLVMValueRef, (size_t)all * 2 * e->unroll + 1);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        uint32_t width = e->k->instr[r->value].lanes ? e->width : 1, slots = width > 1 ? e->unroll : 1;
        Accumulator *a = &e->acc[i];
        *a = (Accumulator){.slots = slots, .value = flat + n, .lanes = wants_lanes(e, r)};
        for (uint32_t u = 0; u < slots; u++) {
            flat[n + u] = gen_splat(g, reduce_identity(g, r), width);
            if (reduce_is_arg(r)) flat[n + slots + u] = gen_splat(g, gen_i64(g, 0), width);
        }
        n += reduce_is_arg(r) ? 2 * slots : slots;
        LLVMTypeRef t = LLVMTypeOf(a->value[0]);
        if (a->lanes) a->memory = gen_alloca(g, t, (uint64_t)TREE_LANES * slots, 64);
    }
    *count = n;
    return flat;
}

static void clear_memory(KernelEmit *e, const Stage *s)
{
    Gen *g = e->g;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        if (!a->lanes) continue;
        Loop l;
        loop_begin(g, &l, gen_i64(g, 0), gen_i64(g, TREE_LANES), 1, NULL, 0);
        LLVMValueRef v = gen_splat(g, reduce_identity(g, r), gen_lanes_of(a->value[0]));
        for (uint32_t u = 0; u < a->slots; u++) gen_store(g, v, reduce_lane(e, a, r, l.i, u), reduce_align(r));
        loop_end(g, &l);
    }
}

/* Lanes that lie apart are read one by one, which is much code. */
static bool reads_apart(const KernelEmit *e, const Instr *i)
{
    return i->kind == I_LOAD && i->lanes && e->width > 1 && e->k->stream[i->ref].coef[e->k->vector] != 1;
}

/* How many turns from..to has if they are worth writing out one by one, without a loop: what the index decides, as the row and
 * column of a window's element, is then known, and nothing is divided. 0 if they are not. What has no lanes becomes little code,
 * being mostly such rows and columns. */
static int64_t written_out(const KernelEmit *e, const Stage *s, LLVMValueRef from, LLVMValueRef to)
{
    int64_t a, b, code = 0;
    if (!gen_is_int(from, &a) || !gen_is_int(to, &b)) return 0;
    for (uint32_t i = s->first; i < s->last; i++) {
        const Instr *in = &e->k->instr[i];
        if (reads_apart(e, in)) return 0;
        if (in->sweeps && in->lanes) code += e->unroll;
    }
    return b - a <= 16 && (b - a) * code <= 256 ? b - a : 0;
}

static void serial_turn(KernelEmit *e, const Stage *s, LLVMValueRef index)
{
    LLVMValueRef *saved = emit_offsets(e);
    emit_open_axis(e, e->k->sweep, index, s);
    emit_body(e, s, true, true);
    emit_offsets_back(e, saved);
}

/* Whole squares, after which what is left is swept turn by turn. Returns where. */
static LLVMValueRef serial_squares(
    KernelEmit *e, const Stage *s, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *flat, uint32_t n)
{
    LLVMValueRef end = gen_whole_steps(e->g, from, to, e->square);
    Loop l;
    if (loop_turns(from, end, e->square) == 0) return end;
    loop_begin(e->g, &l, from, end, e->square, flat, n);
    e->unroll = e->square;
    e->in_square = true;
    serial_turn(e, s, l.i);
    e->in_square = false;
    e->unroll = 1;
    loop_end(e->g, &l);
    return end;
}

static void serial_body(KernelEmit *e, const Stage *s, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *flat, uint32_t n)
{
    if (sweeps_in_squares(e)) from = serial_squares(e, s, from, to, flat, n);
    const int64_t turns = written_out(e, s, from, to);
    Loop l;
    if (loop_turns(from, to, 1) == 0) return;
    for (int64_t i = 0; i < turns; i++) serial_turn(e, s, gen_add(e->g, from, gen_i64(e->g, i)));
    if (turns > 0) return;
    loop_begin(e->g, &l, from, to, 1, flat, n);
    serial_turn(e, s, l.i);
    loop_end(e->g, &l);
}

static bool in_blocks(const KernelEmit *e, uint32_t reduction)
{
    const Reduction *r = &e->k->reduction[reduction];
    return !reduce_is_arg(r) && r->order != ORDER_INDEX;
}

/* Elements in a block of the stage, whose reductions all have one form; 0 if nothing in it is cut into blocks. */
static int64_t block_of(const KernelEmit *e, const Stage *s)
{
    int64_t block = 0;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        int64_t n = e->acc[i].lanes ? TREE_ROW : TREE_CHAIN;
        if (!in_blocks(e, i)) continue;
        if (block != 0 && block != n)
            status_fail(e->g->st, ST_INTERNAL, "llvm: kernel %s reduces in two orders in one sweep", e->k->name ? e->k->name : "?");
        block = n;
    }
    return block;
}

/* Sweeps one block and leaves its totals in the accumulators. */
static void serial_block(KernelEmit *e, const Stage *s, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *flat, uint32_t n)
{
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        for (uint32_t u = 0; in_blocks(e, i) && u < a->slots; u++)
            a->value[u] = gen_splat(e->g, reduce_identity(e->g, r), gen_lanes_of(a->value[u]));
    }
    clear_memory(e, s);
    serial_body(e, s, from, to, flat, n);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        if (e->acc[i].lanes) reduce_memory(e, &e->k->reduction[i], &e->acc[i], gen_dim(e->g, e->k->extent[e->k->sweep]));
}

static Counter counter_of(const KernelEmit *e, uint32_t i)
{
    const Accumulator *a = &e->acc[i];
    return (Counter){e->g, &e->k->reduction[i], a->slots, a->value, a->level};
}

static void serial_blocks(KernelEmit *e, const Stage *s, int64_t block, LLVMValueRef *flat, uint32_t n)
{
    Gen *g = e->g;
    LLVMValueRef zero = gen_i64(g, 0), extent = gen_dim(g, e->k->extent[e->k->sweep]);
    int turns = loop_turns(zero, extent, block);
    if (turns == 0) return;
    if (turns == 1) {
        serial_block(e, s, zero, extent, flat, n);
        return;
    }
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        Accumulator *a = &e->acc[i];
        if (!in_blocks(e, i)) continue;
        LLVMTypeRef t = LLVMTypeOf(a->value[0]);
        a->level = tree_levels_open(g, t, a->slots, e->k->extent[e->k->sweep], block);
    }
    Loop l;
    loop_begin(g, &l, zero, extent, block, flat, n);
    serial_block(e, s, l.i, reduce_block_end(g, l.i, extent, block), flat, n);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Counter c = counter_of(e, i);
        if (in_blocks(e, i)) tree_push(&c, l.i, block);
    }
    loop_end(g, &l);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Counter c = counter_of(e, i);
        if (in_blocks(e, i)) tree_close(&c, extent, block);
    }
}

static void sweep_serially(KernelEmit *e, const Stage *s)
{
    Gen *g = e->g;
    uint32_t n;
    LLVMValueRef *flat = serial_open(e, s, &n);
    int64_t block = block_of(e, s);
    if (block == 0)
        serial_body(e, s, gen_i64(g, 0), gen_dim(g, e->k->extent[e->k->sweep]), flat, n);
    else
        serial_blocks(e, s, block, flat, n);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++)
        for (uint32_t u = 0; u < e->unroll; u++) {
            const Reduction *r = &e->k->reduction[i];
            uint32_t slots = e->acc[i].slots, slot = (slots > 1 ? u : 0) + (reduce_is_arg(r) ? slots : 0);
            e->red[(size_t)i * e->unroll_max + u] = reduce_result(g, r, e->acc[i].value[slot]);
        }
}

void emit_sweep(KernelEmit *e, const Stage *s)
{
    bool along = e->k->vector == e->k->sweep && e->width > 1;
    if (along) e->unroll = 1;
    emit_body(e, s, false, false);
    if (along)
        reduce_sweep_lanes(e, s);
    else
        sweep_serially(e, s);
}
