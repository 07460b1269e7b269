/* emit_kernel: emits one kernel as one function. It loops over the parallel axes; the vector axis is innermost, with a main loop of
 * `unroll` whole vectors per step and then masked vectors. Bits depend on neither. Makes no decision that belongs to the schedule.
 * Relies on gen, emit_scalar, emit_stream, emit_reduce. */
#include "cpu.h"

#define MUCH_WORK 2 /* instructions for each buffer */

/* ---- instructions ---------------------------------------------------------------------------- */

/* Whether the instruction has a value for each u: a vector, or in squares a row. */
static bool differs(const KernelEmit *e, uint32_t i) { return e->in_square ? e->turned[i] : e->k->instr[i].lanes && e->width > 1; }

LLVMValueRef emit_operand(KernelEmit *e, int32_t instr, uint32_t u, bool lanes)
{
    bool has_lanes = e->k->instr[instr].lanes && e->width > 1;
    LLVMValueRef v = e->val[(size_t)instr * e->unroll_max + (differs(e, (uint32_t)instr) ? u : 0)];
    if (!lanes || e->width == 1 || has_lanes) return v;
    return e->splat[instr] && !e->in_square ? e->splat[instr] : gen_splat(e->g, v, e->width);
}

static LLVMValueRef axis_lanes(KernelEmit *e, LLVMValueRef index, uint32_t u)
{
    Gen *g = e->g;
    LLVMValueRef *lane = ARENA_ARRAY(g->arena, LLVMValueRef, e->width);
    for (uint32_t i = 0; i < e->width; i++) lane[i] = gen_i64(g, (int64_t)u * e->width + i);
    return LLVMBuildAdd(g->b, gen_splat(g, index, e->width), LLVMConstVector(lane, e->width), "");
}

static LLVMValueRef emit_instr(KernelEmit *e, const Instr *in, uint32_t u)
{
    Gen *g = e->g;
    const Instr *all = e->k->instr;
    bool lanes = in->lanes && e->width > 1;
    LLVMValueRef a = in->a >= 0 ? emit_operand(e, in->a, u, lanes) : NULL;
    LLVMValueRef b = in->b >= 0 ? emit_operand(e, in->b, u, lanes) : NULL;
    LLVMValueRef c = in->c >= 0 ? emit_operand(e, in->c, u, lanes) : NULL;
    switch ((InstrKind)in->kind) {
    case I_CONST: return gen_const(g, (DType)in->type, in->value);
    case I_RANDOM: return emit_random(e, in, u);
    case I_LOAD: return emit_stream_load(e, &e->k->stream[in->ref], u, lanes);
    case I_AXIS:
        if (lanes) return axis_lanes(e, e->index[in->ref], e->in_square ? 0 : u);
        return e->in_square && (int)in->ref == e->k->turn ? gen_add(g, e->index[in->ref], gen_i64(g, u)) : e->index[in->ref];
    case I_DIM: return gen_dim(g, g->p->dim.at[in->ref]);
    case I_REDUCED: return e->red[(size_t)in->ref * e->unroll_max + (lanes ? u : 0)];
    case I_FETCH: return emit_stream_fetch(e, in, u);
    case I_PRIM: break;
    }
    if (in->prim == P_div && lanes && in->sweeps && e->divisor[in->b].wanted) return divide_by(e, (uint32_t)in->b, a);
    DType t = (DType)all[in->prim == P_select ? in->b : in->a].type;
    return emit_prim(g, (Prim)in->prim, t, (DType)in->type, a, b, c);
}

static void define(KernelEmit *e, uint32_t i, uint32_t u)
{
    const Instr *in = &e->k->instr[i];
    bool lanes = in->lanes && e->width > 1;
    if (u > 0 && !differs(e, i)) return;
    if (e->in_square && in->kind == I_LOAD && stream_turned(e->k, &e->k->stream[in->ref], e->k->turn)) {
        if (u == 0) emit_turned_load(e, &e->k->stream[in->ref], &e->val[(size_t)i * e->unroll_max]);
        return;
    }
    LLVMValueRef v = emit_instr(e, in, u);
    if (lanes) v = gen_splat(e->g, v, e->width);
    e->val[(size_t)i * e->unroll_max + u] = v;
    if (!lanes) e->splat[i] = e->wants_splat[i] ? gen_splat(e->g, v, e->width) : NULL;
    if (e->divisor[i].wanted) divide_open(e, i, v);
}

/* Whether instruction i waits for its rare condition. One scalar beside vectors is not worth a branch. */
static bool waits(const KernelEmit *e, uint32_t i)
{
    return e->rare.under[i] != 0 && !e->in_square && (e->k->instr[i].lanes || e->width == 1);
}

static LLVMValueRef holds_somewhere(Gen *g, LLVMValueRef lanes)
{
    const uint32_t n = gen_lanes_of(lanes);
    if (n == 1) return lanes;
    LLVMTypeRef mask = LLVMIntTypeInContext(g->ctx, n);
    return LLVMBuildICmp(g->b, LLVMIntNE, LLVMBuildBitCast(g->b, lanes, mask, ""), LLVMConstInt(mask, 0, false), "");
}

/* All that is under rare condition r, behind a branch; where no lane has it, its values are zeros that nobody chooses. */
static void define_rare(KernelEmit *e, const Stage *s, uint32_t r, uint32_t u)
{
    Gen *g = e->g;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b), rare = gen_block(g, "rare"), next = gen_block(g, "next");
    LLVMBuildCondBr(g->b, holds_somewhere(g, e->val[(size_t)r * e->unroll_max + u]), rare, next);
    gen_put(g, rare);
    for (uint32_t i = s->first; i < s->last; i++)
        if (e->rare.under[i] == r + 1 || e->k->instr[i].kind == I_CONST) define(e, i, u);
    rare = LLVMGetInsertBlock(g->b);
    LLVMBuildBr(g->b, next);
    gen_put(g, next);
    for (uint32_t i = s->first; i < s->last; i++) {
        if (e->rare.under[i] != r + 1 || !rare_leaves(e->k, &e->rare, i)) continue;
        LLVMValueRef *v = &e->val[(size_t)i * e->unroll_max + u], phi = LLVMBuildPhi(g->b, LLVMTypeOf(*v), "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){*v, LLVMConstNull(LLVMTypeOf(*v))}, (LLVMBasicBlockRef[]){rare, before}, 2);
        *v = phi;
    }
}

void emit_body(KernelEmit *e, const Stage *s, bool sweeps, bool sinks)
{
    for (uint32_t u = 0; u < e->unroll; u++) {
        for (uint32_t i = s->first; i < s->last; i++) {
            if ((s->sweep && e->k->instr[i].sweeps != sweeps) || waits(e, i)) continue;
            const uint32_t r = (uint32_t)e->k->instr[i].a;
            if (e->k->instr[i].prim == P_select && e->rare.at[r] == i + 1 && waits(e, (uint32_t)e->k->instr[i].b))
                define_rare(e, s, r, u);
            define(e, i, u);
        }
        if (!sinks) continue;
        for (uint32_t r = s->first_reduction; r < s->last_reduction; r++) emit_accumulate(e, s, r, u);
        emit_stream_stores(e, s, u);
    }
}

/* ---- axes ------------------------------------------------------------------------------------ */

static bool stage_uses(const Kernel *k, const Stage *s, uint32_t stream)
{
    for (uint32_t i = s->first; i < s->last; i++)
        if ((k->instr[i].kind == I_LOAD || k->instr[i].kind == I_FETCH) && k->instr[i].ref == stream) return true;
    for (uint32_t i = s->first_store; i < s->last_store; i++)
        if (k->store[i].stream == stream) return true;
    return false;
}

/* Gives the axis that index from here on, for the streams of that stage only. */
void emit_open_axis(KernelEmit *e, int axis, LLVMValueRef index, const Stage *only)
{
    e->index[axis] = index;
    for (uint32_t i = 0; i < e->k->nstream; i++) {
        const Stream *s = &e->k->stream[i];
        if ((s->buf & STREAM_ROW) || (only && !stage_uses(e->k, only, i))) continue;
        LLVMValueRef step = gen_mul(e->g, index, gen_dim(e->g, s->coef[axis]));
        e->offset[i] = gen_add(e->g, e->offset[i], step);
    }
}

LLVMValueRef *emit_offsets(KernelEmit *e) { return arena_copy(e->g->arena, e->offset, (e->k->nstream + 1) * sizeof *e->offset); }

void emit_offsets_back(KernelEmit *e, const LLVMValueRef *saved)
{
    memcpy(e->offset, saved, (e->k->nstream + 1) * sizeof *e->offset);
}

void emit_point(KernelEmit *e)
{
    for (uint32_t i = 0; i < e->k->nstage; i++) {
        const Stage *s = &e->k->stage[i];
        if (s->sweep)
            emit_sweep(e, s);
        else
            emit_body(e, s, false, true);
    }
}

static void vector_steps(KernelEmit *e, LLVMValueRef from, LLVMValueRef to, LLVMValueRef end, uint32_t unroll, bool masked)
{
    int64_t step = (int64_t)unroll * e->width;
    if (loop_turns(from, to, step) == 0) return;
    LLVMValueRef *saved = emit_offsets(e);
    Loop l;
    loop_begin(e->g, &l, from, to, step, NULL, 0);
    e->unroll = unroll;
    e->mask = masked ? gen_lanes_left(e->g, e->width, l.i, end) : NULL;
    emit_open_axis(e, e->k->vector, l.i, NULL);
    emit_point(e);
    loop_end(e->g, &l);
    e->mask = NULL;
    emit_offsets_back(e, saved);
}

void emit_vector_axis(KernelEmit *e, LLVMValueRef from, LLVMValueRef end)
{
    int64_t a, b;
    uint32_t unroll = e->width > 1 ? MAX_OF(e->k->unroll, 1) : 1;
    if (gen_is_int(from, &a) && gen_is_int(end, &b))
        while (unroll > 1 && (int64_t)unroll * e->width > b - a) unroll--;
    LLVMValueRef whole = gen_whole_steps(e->g, from, end, (int64_t)unroll * e->width);
    vector_steps(e, from, whole, end, unroll, false);
    vector_steps(e, whole, end, end, 1, e->width > 1);
}

/* Axes in their order, the vector axis last: a stride of it is the shortest. */
static void parallel_axes(KernelEmit *e, uint32_t from)
{
    const Kernel *k = e->k;
    uint32_t axis = from;
    while (axis < k->naxis && ((int)axis == k->sweep || (int)axis == k->vector)) axis++;
    bool inner = axis >= k->naxis;
    if (inner && (k->vector < 0 || k->vector == k->sweep)) {
        emit_point(e);
        return;
    }
    if (inner) axis = (uint32_t)k->vector;
    bool chunk = (int)axis == k->chunk;
    LLVMValueRef start = chunk ? e->lo : gen_i64(e->g, 0), end = chunk ? e->hi : gen_dim(e->g, k->extent[axis]);
    if (inner) {
        emit_vector_axis(e, e->from ? e->from : start, e->end ? e->end : end);
        return;
    }
    if (loop_turns(start, end, 1) == 0) return;
    if ((int)axis == k->turn && e->square) {
        const bool cut = k->chunk == k->vector;
        emit_turned(e, start, end, cut ? e->lo : gen_i64(e->g, 0), cut ? e->hi : gen_dim(e->g, k->extent[k->vector]));
        return;
    }
    LLVMValueRef *saved = emit_offsets(e);
    Loop l;
    loop_begin(e->g, &l, start, end, 1, NULL, 0);
    emit_open_axis(e, (int)axis, l.i, NULL);
    parallel_axes(e, axis + 1);
    loop_end(e->g, &l);
    emit_offsets_back(e, saved);
}

/* ---- the function ---------------------------------------------------------------------------- */

/* Whether vectors read some operand element by element, which is code for each. */
static bool gathers(const Kernel *k)
{
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *in = &k->instr[i];
        if (in->kind != I_LOAD || !in->lanes || (k->stream[in->ref].buf & STREAM_ROW)) continue;
        const Stream *s = &k->stream[in->ref];
        if (s->dyn >= 0 || s->coef[k->vector] != 1) return true;
    }
    return false;
}

/* How many buffers vectors move elements of. Several places of one are about as dear as one: caches have the rest. */
static uint32_t moved_buffers(const Kernel *k)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->nstream; i++) {
        const Stream *s = &k->stream[i];
        bool first = k->vector >= 0 && !(s->buf & STREAM_ROW) && (s->coef[k->vector] != 0 || s->dyn >= 0);
        for (uint32_t j = 0; j < i && first; j++) first = k->stream[j].buf != s->buf;
        n += first;
    }
    return n;
}

/* Bytes of a vector, by class of kernel as measured on a Sapphire Rapids. As wide as there are where a kernel computes much for
 * what it moves (functions like exp; 1.2 to 1.5 times faster; bilinear resizing 1.5), sweeps (layer normalisation 1.1, sums of
 * columns 1.25 times), turns squares or writes past the caches, both of which are done by lines. In other kernels memory is the
 * limit, and half as wide ones have shorter tails. */
static uint32_t vector_bytes(const Gen *g, const Kernel *k)
{
    uint32_t work = 0;
    bool wide = k->turn >= 0 || (k->sweep >= 0 && !gathers(k));
    for (uint32_t i = 0; i < k->nstore; i++) wide |= k->store[i].past != 0;
    for (uint32_t i = 0; i < k->ninstr; i++) work += k->instr[i].lanes && k->instr[i].kind == I_PRIM;
    return k->vector >= 0 && (wide || work >= MUCH_WORK * moved_buffers(k)) ? g->machine->tile_bytes : g->machine->vector_bytes;
}

/* Elements per vector: as many as a register holds of the widest type that computes along it, floats before integers (an i64 index
 * may take two registers). */
static uint32_t vector_width(const Gen *g, const Kernel *k)
{
    uint32_t widest_float = 0, widest = 0;
    if (k->vector < 0) return 1;
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *in = &k->instr[i];
        uint32_t bytes = (uint32_t)dtype_bytes((DType)in->type);
        if (!in->lanes) continue;
        widest = MAX_OF(widest, bytes);
        if (dtype_is_float((DType)in->type)) widest_float = MAX_OF(widest_float, bytes);
    }
    uint32_t bytes = widest_float ? widest_float : widest ? widest : 4;
    uint32_t width = MAX_OF(vector_bytes(g, k) / bytes, 1u);
    return MIN_OF(width, (uint32_t)TREE_LANES);
}

static void find_splats(KernelEmit *e)
{
    const Kernel *k = e->k;
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *in = &k->instr[i];
        if (!in->lanes || e->width == 1) continue;
        for (int j = 0; j < 3; j++) {
            int32_t o = j == 0 ? in->a : j == 1 ? in->b : in->c;
            if (o >= 0 && !k->instr[o].lanes && k->instr[o].kind != I_CONST) e->wants_splat[o] = true;
        }
    }
}

static void open_memory(KernelEmit *e)
{
    Gen *g = e->g;
    const Kernel *k = e->k;
    for (uint32_t i = 0; i < k->nbuf; i++) e->buf[i] = gen_load_once(g, g->ptr, LLVMGetParam(g->fn, 0), i, 8);
    e->row_lanes = k->vector == k->sweep ? 1 : e->unroll_max * e->width;
    for (uint32_t i = 0; i < k->nrow; i++) {
        int64_t n = 0;
        if (!gen_dim_const(g, k->extent[k->sweep], &n))
            status_fail(g->st, ST_INTERNAL, "llvm: kernel %s keeps a row of unknown length", k->name ? k->name : "?");
        e->row[i] = gen_alloca(g, gen_mem_type(g, (DType)k->row_type[i]), (uint64_t)n * e->row_lanes, 64);
    }
    for (uint32_t i = 0; i < k->nstream; i++)
        e->offset[i] = k->stream[i].buf & STREAM_ROW ? gen_i64(g, 0) : gen_dim(g, k->stream[i].base);
    e->zero = gen_alloca(g, g->i64, 1, 8);
    LLVMBuildStore(g->top, gen_i64(g, 0), e->zero);
    e->sink = gen_alloca(g, g->i64, 1, 8);
}

static void arrays(KernelEmit *e)
{
    const Kernel *k = e->k;
    Arena *a = e->g->arena;
    e->unroll_max = MAX_OF(k->unroll, 1);
    if (e->width == 1) e->unroll_max = 1;
    if (e->width > 1 && k->vector == k->sweep) e->unroll_max = MAX_OF(e->unroll_max, TREE_LANES / e->width);
    turn_plan(e);
    divide_plan(e);
    e->unroll_max = MAX_OF(e->unroll_max, e->square);
    e->buf = ARENA_ARRAY(a, LLVMValueRef, k->nbuf + 1);
    e->row = ARENA_ARRAY(a, LLVMValueRef, k->nrow + 1);
    e->offset = ARENA_ARRAY(a, LLVMValueRef, k->nstream + 1);
    e->val = ARENA_ARRAY(a, LLVMValueRef, (size_t)k->ninstr * e->unroll_max + 1);
    e->random = ARENA_ARRAY(a, LLVMValueRef, k->ninstr + 1);
    e->splat = ARENA_ARRAY(a, LLVMValueRef, k->ninstr + 1);
    e->wants_splat = ARENA_ARRAY(a, bool, k->ninstr + 1);
    e->red = ARENA_ARRAY(a, LLVMValueRef, (size_t)k->nreduction * e->unroll_max + 1);
    e->acc = ARENA_ARRAY(a, Accumulator, k->nreduction + 1);
    e->rare = rare_find(a, k);
}

/* A second copy of the loops for calls whose results go past the caches. */
static void emit_past(KernelEmit *e)
{
    Gen *g = e->g;
    LLVMValueRef past = emit_stream_past(e);
    if (!past) return;
    LLVMBasicBlockRef go = gen_block(g, "past"), other = gen_block(g, "other");
    LLVMBuildCondBr(g->b, past, go, other);
    gen_put(g, go);
    e->past = true;
    parallel_axes(e, 0);
    e->past = false;
    gen_fence(g);
    LLVMBuildRetVoid(g->b);
    gen_put(g, other);
}

static LLVMValueRef emit(Gen *g, const Kernel *k, LLVMTypeRef type, bool whole, bool some_columns)
{
    KernelEmit e = {.g = g, .k = k, .width = vector_width(g, k), .unroll = 1};
    arrays(&e);
    find_splats(&e);
    gen_function_begin(g, arena_printf(g->arena, "k%u_%s", (unsigned)(k - g->p->kernel.at), k->name ? k->name : ""), type, true);
    gen_prefer_vectors(g, vector_bytes(g, k));
    g->dim_arg = LLVMGetParam(g->fn, 1);
    e.lo = whole ? gen_i64(g, 0) : LLVMGetParam(g->fn, 2);
    e.hi = whole && k->chunk >= 0 ? gen_dim(g, k->extent[k->chunk]) : LLVMGetParam(g->fn, 3);
    e.from = some_columns ? LLVMGetParam(g->fn, 4) : NULL;
    e.end = some_columns ? LLVMGetParam(g->fn, 5) : NULL;
    open_memory(&e);
    emit_past(&e);
    parallel_axes(&e, 0);
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return g->fn;
}

LLVMValueRef emit_kernel(Gen *g, const Kernel *k, bool whole) { return emit(g, k, g->kernel_type, whole, false); }

LLVMValueRef emit_rows(Gen *g, const Kernel *k, int64_t columns)
{
    return emit(g, k, g->rows_type, false, columns != 0 && k->naxis > 1);
}
