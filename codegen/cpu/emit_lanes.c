/* emit_lanes: sweeps whose lanes run along the sweep axis, and how lanes become one value. Relies on emit_reduce.h, emit_kernel. */
#include "emit_reduce.h"

#include <math.h>

/* ---- what a reduction is --------------------------------------------------------------------- */

DType reduce_type(const Reduction *r) { return r->type == DT_bool ? DT_u8 : (DType)dtype_info[r->type].compute; }
uint32_t reduce_align(const Reduction *r) { return (uint32_t)dtype_bytes(reduce_type(r)); }

static Scalar bound(DType t, bool highest)
{
    if (dtype_is_float(t)) return (Scalar){.f = highest ? HUGE_VAL : -HUGE_VAL};
    if (t == DT_u64) return (Scalar){.u = highest ? UINT64_MAX : 0};
    return (Scalar){.i = highest ? dtype_info[t].hi : dtype_info[t].lo};
}

LLVMValueRef reduce_identity(Gen *g, const Reduction *r)
{
    DType t = reduce_type(r);
    switch ((ReduceKind)r->kind) {
    case R_SUM: return LLVMConstNull(gen_type(g, t));
    case R_PROD: return gen_const(g, t, dtype_is_float(t) ? (Scalar){.f = 1} : (Scalar){.i = 1});
    case R_MAX:
    case R_ARGMAX: return gen_const(g, t, bound(t, false));
    default: return gen_const(g, t, bound(t, true));
    }
}

LLVMValueRef reduce_op(Gen *g, const Reduction *r, LLVMValueRef acc, LLVMValueRef v)
{
    DType t = reduce_type(r);
    if (r->kind == R_SUM || r->kind == R_PROD) return emit_prim(g, r->kind == R_SUM ? P_add : P_mul, t, t, acc, v, NULL);
    LLVMValueRef keep = emit_prim(g, r->kind == R_MAX ? P_gt : P_lt, t, DT_bool, acc, v, NULL);
    if (dtype_is_float(t)) keep = gen_or(g, keep, LLVMBuildFCmp(g->b, LLVMRealUNO, acc, acc, ""));
    return gen_select(g, keep, acc, v);
}

LLVMValueRef reduce_result(Gen *g, const Reduction *r, LLVMValueRef v)
{
    if (r->type != DT_bool || reduce_is_arg(r)) return v;
    return LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

LLVMValueRef reduce_iota(Gen *g, int64_t from, uint32_t lanes)
{
    LLVMValueRef *lane = ARENA_ARRAY(g->arena, LLVMValueRef, lanes);
    for (uint32_t i = 0; i < lanes; i++) lane[i] = gen_i64(g, from + i);
    return lanes == 1 ? lane[0] : LLVMConstVector(lane, lanes);
}

LLVMValueRef reduce_block_end(Gen *g, LLVMValueRef begin, LLVMValueRef end, int64_t block)
{
    LLVMValueRef full = gen_add(g, begin, gen_i64(g, block));
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, full, end, ""), full, end);
}

/* ---- lanes in memory ------------------------------------------------------------------------- */

LLVMValueRef reduce_lane(KernelEmit *e, const Accumulator *a, const Reduction *r, LLVMValueRef lane, uint32_t u)
{
    Gen *g = e->g;
    LLVMTypeRef t = LLVMTypeOf(a->value[0]);
    (void)r;
    LLVMValueRef at = gen_mul(g, lane, gen_i64(g, a->slots));
    return gen_at(g, t, a->memory, gen_add(g, at, gen_i64(g, u)));
}

static LLVMValueRef memory_load(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef lane, uint32_t u)
{
    return gen_load(e->g, LLVMTypeOf(a->value[0]), reduce_lane(e, a, r, lane, u), reduce_align(r));
}

static void memory_halves(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef *out)
{
    Gen *g = e->g;
    for (int64_t half = TREE_LANES / 2; half > 0; half /= 2) {
        Loop l;
        loop_begin(g, &l, gen_i64(g, 0), gen_i64(g, half), 1, NULL, 0);
        for (uint32_t u = 0; u < a->slots; u++) {
            LLVMValueRef low = memory_load(e, r, a, l.i, u), high = memory_load(e, r, a, gen_add(g, l.i, gen_i64(g, half)), u);
            gen_store(g, reduce_op(g, r, low, high), reduce_lane(e, a, r, l.i, u), reduce_align(r));
        }
        loop_end(g, &l);
    }
    for (uint32_t u = 0; u < a->slots; u++) out[u] = memory_load(e, r, a, gen_i64(g, 0), u);
}

static void memory_in_order(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef n, LLVMValueRef *out)
{
    Gen *g = e->g;
    Loop l;
    for (uint32_t u = 0; u < a->slots; u++) out[u] = gen_splat(g, reduce_identity(g, r), gen_lanes_of(a->value[0]));
    loop_begin(g, &l, gen_i64(g, 0), n, 1, out, a->slots);
    for (uint32_t u = 0; u < a->slots; u++) out[u] = reduce_op(g, r, out[u], memory_load(e, r, a, l.i, u));
    loop_end(g, &l);
}

typedef LLVMValueRef HalvesFn(KernelEmit *e, const Reduction *r, const LLVMValueRef *value);

/* Emits both orders under a branch; halves NULL: the lanes are in memory. */
static void by_extent(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef extent, HalvesFn *halves, LLVMValueRef *out)
{
    Gen *g = e->g;
    LLVMBasicBlockRef many = gen_block(g, "many"), few = gen_block(g, "few"), both = gen_block(g, "both");
    LLVMValueRef *x = ARENA_ARRAY(g->arena, LLVMValueRef, a->slots), *y = ARENA_ARRAY(g->arena, LLVMValueRef, a->slots);
    uint32_t n = halves ? 1 : a->slots;
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSGE, extent, gen_i64(g, TREE_LANES), ""), many, few);
    gen_put(g, many);
    if (halves)
        x[0] = halves(e, r, a->value);
    else
        memory_halves(e, r, a, x);
    many = LLVMGetInsertBlock(g->b);
    LLVMBuildBr(g->b, both);
    gen_put(g, few);
    Accumulator single = *a;
    LLVMValueRef element = reduce_identity(g, r);
    if (halves) single.slots = 1, single.value = &element;
    memory_in_order(e, r, &single, extent, y);
    few = LLVMGetInsertBlock(g->b);
    LLVMBuildBr(g->b, both);
    gen_put(g, both);
    for (uint32_t u = 0; u < n; u++) {
        out[u] = LLVMBuildPhi(g->b, LLVMTypeOf(x[u]), "");
        LLVMAddIncoming(out[u], (LLVMValueRef[]){x[u], y[u]}, (LLVMBasicBlockRef[]){many, few}, 2);
    }
}

void reduce_memory(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef extent)
{
    LLVMValueRef *out = ARENA_ARRAY(e->g->arena, LLVMValueRef, a->slots);
    int64_t n;
    if (r->order == ORDER_RUNTIME && !gen_is_int(extent, &n))
        by_extent(e, r, a, extent, NULL, out);
    else
        memory_halves(e, r, a, out);
    memcpy(a->value, out, a->slots * sizeof *out);
}

/* ---- lanes in vectors ------------------------------------------------------------------------ */

typedef struct Pair {
    LLVMValueRef value, index;
} Pair; /* index: of arg reductions, else NULL */

static Pair arg_better(Gen *g, const Reduction *r, Pair x, Pair y)
{
    DType t = reduce_type(r);
    LLVMValueRef better = emit_prim(g, r->kind == R_ARGMAX ? P_gt : P_lt, t, DT_bool, y.value, x.value, NULL);
    LLVMValueRef same = emit_prim(g, P_eq, t, DT_bool, y.value, x.value, NULL);
    if (dtype_is_float(t)) {
        LLVMValueRef xn = LLVMBuildFCmp(g->b, LLVMRealUNO, x.value, x.value, "");
        LLVMValueRef yn = LLVMBuildFCmp(g->b, LLVMRealUNO, y.value, y.value, "");
        better = gen_or(g, better, gen_and(g, yn, LLVMBuildNot(g->b, xn, "")));
        same = gen_or(g, same, gen_and(g, xn, yn));
    }
    LLVMValueRef earlier = LLVMBuildICmp(g->b, LLVMIntSLT, y.index, x.index, "");
    better = gen_or(g, better, gen_and(g, same, earlier));
    return (Pair){gen_select(g, better, y.value, x.value), gen_select(g, better, y.index, x.index)};
}

static Pair pair_op(Gen *g, const Reduction *r, Pair x, Pair y)
{
    if (reduce_is_arg(r)) return arg_better(g, r, x, y);
    return (Pair){reduce_op(g, r, x.value, y.value), NULL};
}

static LLVMValueRef upper_half(Gen *g, LLVMValueRef v, uint32_t from, uint32_t count)
{
    LLVMValueRef *order = ARENA_ARRAY(g->arena, LLVMValueRef, count);
    for (uint32_t i = 0; i < count; i++) order[i] = LLVMConstInt(g->i32, from + i, false);
    if (count == 1) return gen_lane(g, v, from);
    return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(order, count), "");
}

static Pair pair_part(Gen *g, Pair p, uint32_t from, uint32_t count)
{
    return (Pair){upper_half(g, p.value, from, count), p.index ? upper_half(g, p.index, from, count) : NULL};
}

static Pair vector_halves(KernelEmit *e, const Reduction *r, const LLVMValueRef *value, const LLVMValueRef *index)
{
    Gen *g = e->g;
    uint32_t n = TREE_LANES / e->width;
    Pair p[TREE_LANES];
    for (uint32_t i = 0; i < n; i++) p[i] = (Pair){value[i], index ? index[i] : NULL};
    for (n /= 2; n > 0; n /= 2)
        for (uint32_t i = 0; i < n; i++) p[i] = pair_op(g, r, p[i], p[i + n]);
    for (uint32_t half = e->width / 2; half > 0; half /= 2)
        p[0] = pair_op(g, r, pair_part(g, p[0], 0, half), pair_part(g, p[0], half, half));
    return p[0];
}

static LLVMValueRef value_halves(KernelEmit *e, const Reduction *r, const LLVMValueRef *value)
{
    return vector_halves(e, r, value, NULL).value;
}

static LLVMValueRef vector_in_order(KernelEmit *e, const Reduction *r, const LLVMValueRef *value, int64_t n)
{
    LLVMValueRef sum = reduce_identity(e->g, r);
    for (uint32_t i = 0; i < n; i++) sum = reduce_op(e->g, r, sum, gen_lane(e->g, value[i / e->width], i % e->width));
    return sum;
}

/* ---- the sweep ------------------------------------------------------------------------------- */

enum { LINE = 64, SHORT_ROW = 32 << 10 }; /* bytes */

typedef struct Sweep {
    const Stage *s;
    LLVMValueRef extent;
    uint32_t nflat;
    LLVMValueRef *flat;  /* lanes of one block */
    LLVMValueRef *total; /* per reduction of the stage: its value and, for arg reductions, its index */
    bool tree;           /* whether there are several blocks, whose totals go into counters */
} Sweep;

static void open_accumulators(KernelEmit *e, Sweep *w)
{
    Gen *g = e->g;
    const Stage *s = w->s;
    uint32_t count = s->last_reduction - s->first_reduction, n = TREE_LANES / e->width;
    w->flat = ARENA_ARRAY(g->arena, LLVMValueRef, (size_t)count * (2 * n + 1) + 1);
    w->total = ARENA_ARRAY(g->arena, LLVMValueRef, (size_t)count * 2 + 1);
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        bool arg = reduce_is_arg(r);
        Accumulator *a = &e->acc[i];
        LLVMValueRef *total = &w->total[2 * (i - s->first_reduction)];
        if (!arg && r->order < ORDER_LANES)
            status_fail(
                g->st, ST_INTERNAL, "llvm: kernel %s reduces in order along the axis of its lanes", e->k->name ? e->k->name : "?");
        *a = (Accumulator){.slots = n, .value = w->flat + w->nflat, .lanes = true};
        w->nflat += arg ? 2 * n : n;
        total[0] = reduce_identity(g, r);
        total[1] = gen_i64(g, 0);
        a->memory = gen_alloca(g, gen_type(g, reduce_type(r)), TREE_LANES, 64);
        if (arg) a->memory_index = gen_alloca(g, g->i64, TREE_LANES, 64);
        if (!arg && w->tree) a->level = tree_levels_open(g, LLVMTypeOf(total[0]), 1, e->k->extent[e->k->sweep], TREE_ROW);
    }
}

/* Lanes start with the identity, and arg reductions with the indices of the lanes' first elements. */
static void block_begin(KernelEmit *e, Sweep *w, LLVMValueRef begin)
{
    Gen *g = e->g;
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        for (uint32_t u = 0; u < a->slots; u++) {
            a->value[u] = gen_splat(g, reduce_identity(g, r), e->width);
            if (!reduce_is_arg(r)) continue;
            LLVMValueRef first = reduce_iota(g, (int64_t)u * e->width, e->width);
            a->value[a->slots + u] = LLVMBuildAdd(g->b, gen_splat(g, begin, e->width), first, "");
        }
    }
}

static void move_lanes(KernelEmit *e, const Sweep *w, bool out)
{
    Gen *g = e->g;
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        for (uint32_t u = 0; u < a->slots * (a->memory_index ? 2 : 1); u++) {
            bool index = u >= a->slots;
            LLVMTypeRef t = index ? g->i64 : gen_type(g, reduce_type(r));
            LLVMValueRef at = gen_at(g, t, index ? a->memory_index : a->memory, gen_i64(g, (int64_t)(u % a->slots) * e->width));
            if (out)
                gen_store(g, a->value[u], at, index ? 8 : reduce_align(r));
            else
                a->value[u] = gen_load(g, gen_lanes(t, e->width), at, index ? 8 : reduce_align(r));
        }
    }
}

/* Takes in one masked vector, with accumulators in memory from lane `lane` on. */
static void tail_body(KernelEmit *e, const Sweep *w, LLVMValueRef lane)
{
    Gen *g = e->g;
    uint32_t count = e->k->nreduction;
    Accumulator *whole = arena_copy(g->arena, e->acc, (count + 1) * sizeof *whole);
    LLVMValueRef *value = ARENA_ARRAY(g->arena, LLVMValueRef, 2 * count + 1),
                 *at = ARENA_ARRAY(g->arena, LLVMValueRef, 2 * count + 1);
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        LLVMTypeRef t = gen_type(g, reduce_type(r));
        at[2 * i] = gen_at(g, t, a->memory, lane);
        value[2 * i] = gen_load(g, gen_lanes(t, e->width), at[2 * i], reduce_align(r));
        if (a->memory_index) {
            at[2 * i + 1] = gen_at(g, g->i64, a->memory_index, lane);
            value[2 * i + 1] = gen_load(g, gen_lanes(g->i64, e->width), at[2 * i + 1], 8);
        }
        a->slots = 1;
        a->value = &value[2 * i];
    }
    emit_body(e, w->s, true, true);
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        gen_store(g, value[2 * i], at[2 * i], reduce_align(&e->k->reduction[i]));
        if (at[2 * i + 1]) gen_store(g, value[2 * i + 1], at[2 * i + 1], 8);
    }
    memcpy(e->acc, whole, (count + 1) * sizeof *whole);
}

static void tail(KernelEmit *e, Sweep *w, LLVMValueRef from, LLVMValueRef end)
{
    Gen *g = e->g;
    if (loop_turns(from, end, e->width) == 0) return;
    LLVMValueRef *saved = emit_offsets(e);
    move_lanes(e, w, true);
    Loop l;
    loop_begin(g, &l, from, end, e->width, NULL, 0);
    e->unroll = 1;
    e->mask = gen_lanes_left(g, e->width, l.i, end);
    emit_open_axis(e, e->k->sweep, l.i, w->s);
    tail_body(e, w, LLVMBuildSub(g->b, l.i, from, ""));
    loop_end(g, &l);
    e->mask = NULL;
    move_lanes(e, w, false);
    emit_offsets_back(e, saved);
}

/* Asks for the stream's elements of this turn of the main loop, from `at` on. */
static void fetch(KernelEmit *e, const Stream *s, LLVMValueRef at, bool writes)
{
    Gen *g = e->g;
    LLVMValueRef from = gen_at(g, gen_mem_type(g, (DType)s->type), e->buf[s->buf], at);
    for (int64_t i = 0; i < (int64_t)dtype_bytes((DType)s->type) * TREE_LANES; i += LINE) {
        LLVMValueRef in_place = LLVMConstInt(g->i32, 3, false), data = LLVMConstInt(g->i32, 1, false);
        LLVMValueRef args[4] = {gen_at(g, g->i8, from, gen_i64(g, i)), LLVMConstInt(g->i32, writes, false), in_place, data};
        gen_intrinsic(g, "llvm.prefetch", &g->ptr, 1, args, 4);
    }
}

static bool stores_to(const Kernel *k, const Stage *s, uint32_t stream)
{
    for (uint32_t i = s->first_store; i < s->last_store; i++)
        if (k->store[i].stream == stream) return true;
    return false;
}

/* A row is too short for the CPU to see that memory is walked along, and sweeps that compute leave memory idle. So the second sweep
 * asks for what the first one will read of the next row, and each sweep for what the next one will write. */
static void fetch_ahead(KernelEmit *e, const Stage *stage, LLVMValueRef index, LLVMValueRef const *offset)
{
    Gen *g = e->g;
    const Kernel *k = e->k;
    const Stage *next = stage + 1, *end = k->stage + k->nstage;
    uint32_t before = 0;
    int row = (int)k->naxis - 1; /* the axis of rows */
    while (row >= 0 && row == k->sweep) row--;
    while (next < end && !next->sweep) next++;
    for (const Stage *s = k->stage; s < stage; s++) before += s->sweep;
    for (uint32_t i = 0; i < k->nstream && row >= 0; i++) {
        const Stream *s = &k->stream[i];
        const int64_t bytes = (int64_t)dtype_bytes((DType)s->type);
        if ((s->buf & STREAM_ROW) || s->dyn >= 0 || s->coef[k->sweep] != 1 || s->coef[row] == 0) continue;
        if (dim_hi(&g->p->module->dims, k->extent[k->sweep]) > SHORT_ROW / bytes) continue;
        LLVMValueRef at = gen_add(g, offset[i], index);
        if (next < end && !e->past && stores_to(k, next, i)) fetch(e, s, at, true);
        if (before == 1 && !k->writes[s->buf]) fetch(e, s, gen_add(g, at, gen_dim(g, s->coef[row])), false);
    }
}

/* From here on extremes of floats keep NaN apart, one mask each behind the accumulators; returns how many there are. */
static uint32_t nan_apart(KernelEmit *e, Sweep *w)
{
    Gen *g = e->g;
    uint32_t n = 0;
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        if ((r->kind != R_MAX && r->kind != R_MIN) || !dtype_is_float(reduce_type(r)) || a->slots % 2 != 0) continue;
        a->nan = &w->flat[w->nflat + n++];
        *a->nan = LLVMConstNull(gen_lanes(g->i1, e->width));
    }
    return n;
}

/* They are extremes of their lanes again. */
static void nan_back(KernelEmit *e, const Sweep *w)
{
    Gen *g = e->g;
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        Accumulator *a = &e->acc[i];
        if (!a->nan) continue;
        LLVMValueRef nan = gen_const(g, reduce_type(&e->k->reduction[i]), (Scalar){.f = (double)NAN});
        a->value[0] = gen_select(g, *a->nan, gen_splat(g, nan, e->width), a->value[0]);
        a->nan = NULL;
    }
}

static void main_loop(KernelEmit *e, Sweep *w, LLVMValueRef from, LLVMValueRef whole)
{
    if (loop_turns(from, whole, TREE_LANES) == 0) return;
    LLVMValueRef *saved = emit_offsets(e);
    Loop l;
    const uint32_t masks = nan_apart(e, w);
    loop_begin(e->g, &l, from, whole, TREE_LANES, w->flat, w->nflat + masks);
    e->unroll = TREE_LANES / e->width;
    emit_open_axis(e, e->k->sweep, l.i, w->s);
    emit_body(e, w->s, true, true);
    fetch_ahead(e, w->s, l.i, saved);
    loop_end(e->g, &l);
    nan_back(e, w);
    emit_offsets_back(e, saved);
}

static LLVMValueRef block_total(KernelEmit *e, const Sweep *w, const Reduction *r, Accumulator *a)
{
    int64_t n;
    bool known = gen_is_int(w->extent, &n);
    LLVMValueRef total;
    if (r->order == ORDER_RUNTIME && known && n < TREE_LANES) return vector_in_order(e, r, a->value, n);
    if (r->order == ORDER_LANES || known) return value_halves(e, r, a->value);
    by_extent(e, r, a, w->extent, value_halves, &total);
    return total;
}

static void block_end(KernelEmit *e, Sweep *w, LLVMValueRef begin)
{
    Gen *g = e->g;
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        Accumulator *a = &e->acc[i];
        LLVMValueRef *total = &w->total[2 * (i - w->s->first_reduction)];
        if (reduce_is_arg(r)) {
            Pair sum = pair_op(g, r, (Pair){total[0], total[1]}, vector_halves(e, r, a->value, a->value + a->slots));
            total[0] = sum.value;
            total[1] = sum.index;
            continue;
        }
        total[0] = block_total(e, w, r, a);
        const Counter c = {g, r, 1, total, a->level};
        if (w->tree) tree_push(&c, begin, TREE_ROW);
    }
}

static void block(KernelEmit *e, Sweep *w, LLVMValueRef begin, LLVMValueRef end)
{
    block_begin(e, w, begin);
    LLVMValueRef whole = gen_whole_steps(e->g, begin, end, TREE_LANES);
    main_loop(e, w, begin, whole);
    tail(e, w, whole, end);
    block_end(e, w, begin);
}

static void blocks(KernelEmit *e, Sweep *w)
{
    Gen *g = e->g;
    Loop l;
    loop_begin(g, &l, gen_i64(g, 0), w->extent, TREE_ROW, w->total, 2 * (w->s->last_reduction - w->s->first_reduction));
    block(e, w, l.i, reduce_block_end(g, l.i, w->extent, TREE_ROW));
    loop_end(g, &l);
    for (uint32_t i = w->s->first_reduction; i < w->s->last_reduction; i++) {
        const Counter c = {g, &e->k->reduction[i], 1, &w->total[2 * (i - w->s->first_reduction)], e->acc[i].level};
        if (c.level) tree_close(&c, w->extent, TREE_ROW);
    }
}

void reduce_sweep_lanes(KernelEmit *e, const Stage *s)
{
    Gen *g = e->g;
    Sweep w = {.s = s, .extent = gen_dim(g, e->k->extent[e->k->sweep])};
    int turns = loop_turns(gen_i64(g, 0), w.extent, TREE_ROW);
    w.tree = turns < 0;
    open_accumulators(e, &w);
    if (w.tree)
        blocks(e, &w);
    else if (turns == 1)
        block(e, &w, gen_i64(g, 0), w.extent);
    e->unroll = 1;
    for (uint32_t i = s->first_reduction; i < s->last_reduction; i++) {
        const Reduction *r = &e->k->reduction[i];
        LLVMValueRef *total = &w.total[2 * (i - s->first_reduction)];
        e->red[(size_t)i * e->unroll_max] = reduce_is_arg(r) ? total[1] : reduce_result(g, r, total[0]);
    }
}
