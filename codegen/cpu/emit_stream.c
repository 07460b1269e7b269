/* emit_stream: loads and stores of a kernel's streams. A vector along the vector axis is one move if its elements lie side by side
 * (in either direction), two if every other one is wanted, else one move per lane. Lanes that do not exist, or whose guard does not
 * hold, never touch memory outside the buffer: moves are masked, or use the address of a scratch slot instead. Relies on gen,
 * emit_scalar. */
#include "emit_reduce.h"

static bool is_row(const Stream *s) { return (s->buf & STREAM_ROW) != 0; }
static uint32_t align_of(const Stream *s) { return (uint32_t)dtype_bytes((DType)s->type); }

int64_t emit_stream_stride(const KernelEmit *e, const Stream *s)
{
    int64_t c;
    if (is_row(s)) return 1;
    if (e->k->vector < 0) return 0;
    return gen_dim_const(e->g, s->coef[e->k->vector], &c) ? c : STRIDE_OTHER;
}

static LLVMValueRef base_of(const KernelEmit *e, const Stream *s)
{
    return is_row(s) ? e->row[s->buf & ~STREAM_ROW] : e->buf[s->buf];
}

/* The address of lane 0's element in vector 0, without dyn. */
static LLVMValueRef offset_of(KernelEmit *e, const Stream *s)
{
    if (!is_row(s)) return e->offset[s - e->k->stream];
    return gen_mul(e->g, e->index[e->k->sweep], gen_i64(e->g, e->row_lanes));
}

/* The address of the given lane's element in vector u. */
static LLVMValueRef lane_offset(KernelEmit *e, const Stream *s, uint32_t u, uint32_t lane)
{
    Gen *g = e->g;
    int64_t at = e->in_square ? lane : (int64_t)u * e->width + lane;
    LLVMValueRef off = offset_of(e, s);
    if (is_row(s)) return gen_add(g, off, gen_i64(g, at));
    if (e->in_square && u > 0) off = gen_add(g, off, gen_mul(g, gen_dim(g, s->coef[e->k->turn]), gen_i64(g, u)));
    if (s->dyn >= 0) off = gen_add(g, off, gen_lane(g, emit_operand(e, s->dyn, u, false), lane));
    if (at == 0 || e->k->vector < 0) return off;
    return gen_add(g, off, gen_mul(g, gen_dim(g, s->coef[e->k->vector]), gen_i64(g, at)));
}

LLVMValueRef emit_stream_at(KernelEmit *e, const Stream *s, uint32_t u, uint32_t lane)
{
    return gen_at(e->g, gen_mem_type(e->g, (DType)s->type), base_of(e, s), lane_offset(e, s, u, lane));
}

static bool dyn_has_lanes(const KernelEmit *e, const Stream *s) { return s->dyn >= 0 && e->width > 1 && e->k->instr[s->dyn].lanes; }

/* ---- one element ----------------------------------------------------------------------------- */

static LLVMValueRef load_one(KernelEmit *e, const Stream *s, LLVMValueRef at, LLVMValueRef guard)
{
    if (guard) at = gen_select(e->g, guard, at, e->zero);
    return gen_load(e->g, gen_mem_type(e->g, (DType)s->type), at, align_of(s));
}

static void store_one(KernelEmit *e, const Stream *s, LLVMValueRef at, LLVMValueRef v, LLVMValueRef guard)
{
    if (guard) at = gen_select(e->g, guard, at, e->sink);
    gen_store(e->g, v, at, align_of(s));
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* A mask of the lanes that exist and whose guard holds; NULL: all. */
static LLVMValueRef lane_mask(KernelEmit *e, const Stream *s, uint32_t u)
{
    LLVMValueRef guard = s->guard >= 0 ? emit_operand(e, s->guard, u, true) : NULL;
    if (!guard || !e->mask) return guard ? guard : e->mask;
    return gen_and(e->g, e->mask, guard);
}

static LLVMValueRef reverse(Gen *g, LLVMValueRef v)
{
    uint32_t n = gen_lanes_of(v);
    LLVMValueRef *order = ARENA_ARRAY(g->arena, LLVMValueRef, n);
    for (uint32_t i = 0; i < n; i++) order[i] = LLVMConstInt(g->i32, n - 1 - i, false);
    return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(order, n), "");
}

/* Whether the vector is one move, masked if need be. */
static bool in_one_move(const KernelEmit *e, const Stream *s, int64_t coef, LLVMValueRef mask)
{
    if (dyn_has_lanes(e, s) || (coef != 1 && coef != -1)) return false;
    return !mask || (e->g->machine->masked && dtype_bytes((DType)s->type) >= 4);
}

static LLVMValueRef load_together(KernelEmit *e, const Stream *s, uint32_t u, int64_t coef, LLVMValueRef mask)
{
    Gen *g = e->g;
    LLVMTypeRef t = gen_lanes(gen_mem_type(g, (DType)s->type), e->width);
    LLVMValueRef at = emit_stream_at(e, s, u, coef < 0 ? e->width - 1 : 0), v;
    if (mask) {
        LLVMTypeRef types[2] = {t, g->ptr};
        if (coef < 0) mask = reverse(g, mask);
        LLVMValueRef align = LLVMConstInt(g->i32, align_of(s), false);
        v = gen_intrinsic(g, "llvm.masked.load", types, 2, (LLVMValueRef[]){at, align, mask, LLVMConstNull(t)}, 4);
    } else {
        v = gen_load(g, t, at, align_of(s));
    }
    return coef < 0 ? reverse(g, v) : v;
}

static void store_together(KernelEmit *e, const Stream *s, uint32_t u, int64_t coef, LLVMValueRef v, LLVMValueRef mask, bool past)
{
    Gen *g = e->g;
    LLVMValueRef at = emit_stream_at(e, s, u, coef < 0 ? e->width - 1 : 0);
    if (coef < 0) v = reverse(g, v);
    if (!mask && past) {
        gen_store_past(g, v, at, e->width * align_of(s));
        return;
    }
    if (!mask) {
        gen_store(g, v, at, align_of(s));
        return;
    }
    LLVMTypeRef types[2] = {LLVMTypeOf(v), g->ptr};
    if (coef < 0) mask = reverse(g, mask);
    LLVMValueRef align = LLVMConstInt(g->i32, align_of(s), false);
    gen_intrinsic(g, "llvm.masked.store", types, 2, (LLVMValueRef[]){v, at, align, mask}, 4);
}

static LLVMValueRef load_lane_by_lane(KernelEmit *e, const Stream *s, uint32_t u, LLVMValueRef mask)
{
    Gen *g = e->g;
    LLVMValueRef v = LLVMGetPoison(gen_lanes(gen_mem_type(g, (DType)s->type), e->width));
    for (uint32_t i = 0; i < e->width; i++) {
        LLVMValueRef x = load_one(e, s, emit_stream_at(e, s, u, i), mask ? gen_lane(g, mask, i) : NULL);
        v = gen_set_lane(g, v, x, i);
    }
    return v;
}

/* Every other element: two moves, the second of which ends with the last one, so that nothing behind it is read. */
static LLVMValueRef load_every_other(KernelEmit *e, const Stream *s, uint32_t u)
{
    Gen *g = e->g;
    const uint32_t n = e->width;
    LLVMTypeRef one = gen_mem_type(g, (DType)s->type), t = gen_lanes(one, n);
    LLVMValueRef at = emit_stream_at(e, s, u, 0), half[2], *order = ARENA_ARRAY(g->arena, LLVMValueRef, n);
    for (uint32_t i = 0; i < 2; i++) half[i] = gen_load(g, t, gen_at(g, one, at, gen_i64(g, i * (n - 1))), align_of(s));
    for (uint32_t i = 0; i < n; i++) order[i] = LLVMConstInt(g->i32, 2 * i < n ? 2 * i : 2 * i + 1, false);
    return LLVMBuildShuffleVector(g->b, half[0], half[1], LLVMConstVector(order, n), "");
}

static LLVMValueRef load_vector(KernelEmit *e, const Stream *s, uint32_t u)
{
    Gen *g = e->g;
    int64_t coef = emit_stream_stride(e, s);
    LLVMValueRef mask = lane_mask(e, s, u);
    if (in_one_move(e, s, coef, mask)) return load_together(e, s, u, coef, mask);
    if (coef == 2 && !mask && !dyn_has_lanes(e, s)) return load_every_other(e, s, u);
    bool same = coef == 0 && !dyn_has_lanes(e, s) && (s->guard < 0 || !e->k->instr[s->guard].lanes);
    if (!same) return load_lane_by_lane(e, s, u, mask);
    LLVMValueRef guard = s->guard >= 0 ? emit_operand(e, s->guard, u, false) : NULL;
    return gen_splat(g, load_one(e, s, emit_stream_at(e, s, u, 0), guard), e->width);
}

LLVMValueRef emit_stream_load(KernelEmit *e, const Stream *s, uint32_t u, bool lanes)
{
    LLVMValueRef v;
    if (lanes && e->width > 1)
        v = load_vector(e, s, u);
    else
        v = load_one(e, s, emit_stream_at(e, s, u, 0), s->guard >= 0 ? emit_operand(e, s->guard, u, false) : NULL);
    return emit_from_memory(e->g, (DType)s->type, v);
}

/* ---- stores ---------------------------------------------------------------------------------- */

static LLVMValueRef folded(KernelEmit *e, const Stream *s, uint8_t fold, LLVMValueRef old, LLVMValueRef v)
{
    const Reduction r = {.kind = (uint8_t)(fold - 1), .type = dtype_info[s->type].compute};
    if (fold == STORE_SETS) return emit_to_memory(e->g, (DType)s->type, v);
    return emit_to_memory(e->g, (DType)s->type, reduce_op(e->g, &r, emit_from_memory(e->g, (DType)s->type, old), v));
}

/* Goes in order of the lanes, because two of them may fold into the same element. */
static void store_lane_by_lane(KernelEmit *e, const Stream *s, uint32_t u, LLVMValueRef v, LLVMValueRef mask, uint8_t fold)
{
    Gen *g = e->g;
    if (!fold) v = emit_to_memory(g, (DType)s->type, v);
    for (uint32_t i = 0; i < e->width; i++) {
        LLVMValueRef at = emit_stream_at(e, s, u, i), x = gen_lane(g, v, i), there = mask ? gen_lane(g, mask, i) : NULL;
        if (there) at = gen_select(g, there, at, e->sink);
        if (fold) x = folded(e, s, fold, gen_load(g, gen_mem_type(g, (DType)s->type), at, align_of(s)), x);
        gen_store(g, x, at, align_of(s));
    }
}

static void store_vector(KernelEmit *e, const Stream *s, uint8_t fold, LLVMValueRef v, uint32_t u, bool past)
{
    int64_t coef = emit_stream_stride(e, s);
    LLVMValueRef mask = lane_mask(e, s, u);
    if (!in_one_move(e, s, coef, mask)) {
        store_lane_by_lane(e, s, u, v, mask, fold);
        return;
    }
    if (fold)
        v = folded(e, s, fold, load_together(e, s, u, coef, mask), v);
    else
        v = emit_to_memory(e->g, (DType)s->type, v);
    store_together(e, s, u, coef, v, mask, past);
}

static bool stores_lanes(const KernelEmit *e, const Stage *stage)
{
    return e->width > 1 && (e->k->vector != e->k->sweep || stage->sweep);
}

static void store(KernelEmit *e, const Stage *stage, const Store *st, uint32_t u)
{
    const Stream *s = &e->k->stream[st->stream];
    bool lanes = stores_lanes(e, stage);
    if (e->in_square && e->k->turn == e->k->sweep && !st->fold && stream_turned(e->k, s, e->k->turn)) {
        if (u + 1 == e->square) emit_turned_store(e, s, st->value);
        return;
    }
    if (lanes) {
        store_vector(e, s, st->fold, emit_operand(e, st->value, u, true), u, e->past && st->past != 0);
        return;
    }
    LLVMValueRef guard = s->guard >= 0 ? emit_operand(e, s->guard, u, false) : NULL;
    LLVMValueRef at = emit_stream_at(e, s, u, 0), v = emit_operand(e, st->value, u, false);
    if (!st->fold) {
        store_one(e, s, at, emit_to_memory(e->g, (DType)s->type, v), guard);
        return;
    }
    if (guard) at = gen_select(e->g, guard, at, e->sink);
    v = folded(e, s, st->fold, gen_load(e->g, gen_mem_type(e->g, (DType)s->type), at, align_of(s)), v);
    gen_store(e->g, v, at, align_of(s));
}

void emit_stream_stores(KernelEmit *e, const Stage *stage, uint32_t u)
{
    for (const Store *st = e->k->store + stage->first_store; st < e->k->store + stage->last_store; st++)
        if (!stores_lanes(e, stage) || !emit_zipped(e, stage, st, u)) store(e, stage, st, u);
}

LLVMValueRef emit_stream_fetch(KernelEmit *e, const Instr *in, uint32_t u)
{
    const Stream *s = &e->k->stream[in->ref];
    const bool lanes = in->lanes && e->width > 1;
    const DType t = (DType)in->type;
    LLVMValueRef old = emit_stream_load(e, s, u, lanes), v = old;
    if (in->b >= 0) v = emit_prim(e->g, P_mul, t, t, v, emit_operand(e, in->b, u, lanes), NULL);
    if (in->a >= 0) v = emit_prim(e->g, P_add, t, t, v, emit_operand(e, in->a, u, lanes), NULL);
    if (lanes)
        store_vector(e, s, 0, v, u, false);
    else
        store_one(e, s, emit_stream_at(e, s, u, 0), emit_to_memory(e->g, (DType)s->type, v),
            s->guard >= 0 ? emit_operand(e, s->guard, u, false) : NULL);
    return old;
}

/* ---- past the caches ------------------------------------------------------------------------- */

static LLVMValueRef holds_none(Gen *g, LLVMValueRef bits) { return LLVMBuildICmp(g->b, LLVMIntEQ, bits, gen_i64(g, 0), ""); }

/* Whether all whole vectors of the store lie at multiples of their bytes; folds what is known. */
static LLVMValueRef aligned(KernelEmit *e, const Stream *s)
{
    Gen *g = e->g;
    const Kernel *k = e->k;
    const int64_t below = (int64_t)e->width * align_of(s) - 1;
    LLVMValueRef elements = gen_dim(g, s->base), all = LLVMBuildPtrToInt(g->b, e->buf[s->buf], g->i64, "");
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->vector && s->coef[a] != 0) elements = LLVMBuildOr(g->b, elements, gen_dim(g, s->coef[a]), "");
    if (k->chunk == k->vector) elements = LLVMBuildOr(g->b, elements, e->lo, "");
    LLVMValueRef rest = LLVMBuildAnd(g->b, gen_mul(g, elements, gen_i64(g, align_of(s))), gen_i64(g, below), "");
    int64_t known;
    if (gen_is_int(rest, &known))
        return known != 0 ? LLVMConstNull(g->i1) : holds_none(g, LLVMBuildAnd(g->b, all, gen_i64(g, below), ""));
    return holds_none(g, LLVMBuildOr(g->b, rest, LLVMBuildAnd(g->b, all, gen_i64(g, below), ""), ""));
}

static LLVMValueRef large(KernelEmit *e, const Stream *s, int64_t bytes)
{
    Gen *g = e->g;
    LLVMValueRef n = gen_i64(g, align_of(s));
    for (uint32_t a = 0; a < e->k->naxis; a++)
        if (s->coef[a] != 0) n = gen_mul(g, n, gen_dim(g, e->k->extent[a]));
    return LLVMBuildICmp(g->b, LLVMIntSGE, n, gen_i64(g, bytes), "");
}

LLVMValueRef emit_stream_past(KernelEmit *e)
{
    Gen *g = e->g;
    LLVMValueRef all = NULL;
    for (uint32_t i = 0; i < e->k->nstore; i++) {
        const Store *st = &e->k->store[i];
        const Stream *s = &e->k->stream[st->stream];
        if (st->past == 0 || !g->machine->past || e->width * align_of(s) < 16) continue;
        LLVMValueRef one = gen_and(g, large(e, s, st->past), aligned(e, s));
        all = all ? gen_and(g, all, one) : one;
    }
    return all && !(LLVMIsConstant(all) && LLVMIsNull(all)) ? all : NULL;
}
