/* emit_turn: kernels that read what lies turned: side by side along the axis before that of the vectors (Kernel.turn). Vectors
 * would gather it element by element; a square loads a few elements of a row for each lane and turns them in registers. It is as
 * many rows of the turn axis as such elements take 16 bytes, and one vector of columns. Rows that are left at the end are done one
 * by one, and the last columns under a mask. The turn axis may be the sweep, too: then results that lie along it are turned back,
 * and emit_reduce.c has the loop. Relies on emit_kernel, emit_stream. Never changes what is computed at a point. */
#include "cpu.h"

enum { LINE = 4, BLOCK = 4 }; /* squares below one another, which read whole lines of a cache; vectors side by side */

LLVMValueRef turn_interleaved(Gen *g, LLVMValueRef x, LLVMValueRef y, uint32_t n, uint32_t high)
{
    const uint32_t lanes = gen_lanes_of(x);
    LLVMValueRef *order = ARENA_ARRAY(g->arena, LLVMValueRef, lanes);
    for (uint32_t i = 0; i < lanes; i++) {
        const uint32_t from = i - i % n + high * n / 2 + i % n / 2;
        order[i] = LLVMConstInt(g->i32, i % 2 ? lanes + from : from, false);
    }
    return LLVMBuildShuffleVector(g->b, x, y, LLVMConstVector(order, lanes), "");
}

void turn_blocks(Gen *g, LLVMValueRef *v, uint32_t n)
{
    LLVMValueRef *to = ARENA_ARRAY(g->arena, LLVMValueRef, n);
    for (uint32_t round = 1; round < n; round *= 2) {
        for (uint32_t r = 0; r < n; r++) to[r] = turn_interleaved(g, v[r / 2], v[r / 2 + n / 2], n, r % 2);
        memcpy(v, to, n * sizeof *v);
    }
}

/* ---- loads ----------------------------------------------------------------------------------- */

static LLVMValueRef side_by_side(Gen *g, LLVMValueRef *piece, uint32_t pieces)
{
    for (uint32_t n = gen_lanes_of(piece[0]); pieces > 1; pieces /= 2, n *= 2) {
        LLVMValueRef *order = ARENA_ARRAY(g->arena, LLVMValueRef, 2 * n);
        for (uint32_t i = 0; i < 2 * n; i++) order[i] = LLVMConstInt(g->i32, i, false);
        for (uint32_t i = 0; i < pieces / 2; i++)
            piece[i] = LLVMBuildShuffleVector(g->b, piece[2 * i], piece[2 * i + 1], LLVMConstVector(order, 2 * n), "");
    }
    return piece[0];
}

/* The elements of the square's rows at one lane; lanes that do not exist read what the last one does. */
static LLVMValueRef load_lane(KernelEmit *e, const Stream *s, uint32_t lane)
{
    Gen *g = e->g;
    const DType t = (DType)s->type;
    LLVMValueRef at = emit_stream_at(e, s, 0, lane);
    if (e->mask && lane > 0) {
        LLVMValueRef last = LLVMBuildSub(g->b, e->columns_left, gen_i64(g, 1), ""), number = gen_i64(g, lane);
        LLVMValueRef beyond = LLVMBuildICmp(g->b, LLVMIntSGT, number, last, "");
        LLVMValueRef off = gen_mul(g, gen_dim(g, s->coef[e->k->vector]), gen_select(g, beyond, last, number));
        at = gen_at(g, gen_mem_type(g, t), emit_stream_at(e, s, 0, 0), off);
    }
    return gen_load(g, gen_lanes(gen_mem_type(g, t), e->square), at, (uint32_t)dtype_bytes(t));
}

void emit_turned_load(KernelEmit *e, const Stream *s, LLVMValueRef *v)
{
    const uint32_t n = e->square, pieces = e->width / n;
    LLVMValueRef *piece = ARENA_ARRAY(e->g->arena, LLVMValueRef, pieces);
    for (uint32_t r = 0; r < n; r++) {
        for (uint32_t i = 0; i < pieces; i++) piece[i] = load_lane(e, s, i * n + r);
        v[r] = side_by_side(e->g, piece, pieces);
    }
    turn_blocks(e->g, v, n);
    for (uint32_t r = 0; r < n; r++) v[r] = emit_from_memory(e->g, (DType)s->type, v[r]);
}

void emit_turned_store(KernelEmit *e, const Stream *s, int32_t value)
{
    Gen *g = e->g;
    const DType t = (DType)s->type;
    const uint32_t n = e->square;
    LLVMValueRef *v = ARENA_ARRAY(g->arena, LLVMValueRef, n), *order = ARENA_ARRAY(g->arena, LLVMValueRef, n);
    for (uint32_t r = 0; r < n; r++) v[r] = emit_to_memory(g, t, emit_operand(e, value, r, true));
    turn_blocks(g, v, n);
    for (uint32_t lane = 0; lane < e->width; lane++) {
        for (uint32_t i = 0; i < n; i++) order[i] = LLVMConstInt(g->i32, lane - lane % n + i, false);
        LLVMValueRef piece = LLVMBuildShuffleVector(g->b, v[lane % n], v[lane % n], LLVMConstVector(order, n), "");
        gen_store(g, piece, emit_stream_at(e, s, 0, lane), (uint32_t)dtype_bytes(t));
    }
}

/* ---- loops ----------------------------------------------------------------------------------- */

static LLVMValueRef least(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, a, b, ""), a, b);
}

/* The squares below one another at that column. */
static void squares(KernelEmit *e, LLVMValueRef row, LLVMValueRef row_end, LLVMValueRef column)
{
    LLVMValueRef *saved = emit_offsets(e);
    Loop l;
    loop_begin(e->g, &l, row, row_end, e->square, NULL, 0);
    emit_open_axis(e, e->k->turn, l.i, NULL);
    emit_open_axis(e, e->k->vector, column, NULL);
    e->unroll = e->square;
    e->in_square = true;
    emit_point(e);
    e->in_square = false;
    loop_end(e->g, &l);
    emit_offsets_back(e, saved);
}

/* Goes along the rows in blocks of a few vectors, so that what is written is whole lines, some of them side by side, and what is
 * read is walked along. */
static void whole_vectors(KernelEmit *e, LLVMValueRef row, LLVMValueRef row_end, LLVMValueRef column, LLVMValueRef column_end)
{
    Gen *g = e->g;
    Loop block, line, l;
    if (loop_turns(column, column_end, e->width) == 0) return;
    loop_begin(g, &block, column, column_end, BLOCK * (int64_t)e->width, NULL, 0);
    LLVMValueRef block_end = least(g, gen_add(g, block.i, gen_i64(g, BLOCK * (int64_t)e->width)), column_end);
    loop_begin(g, &line, row, row_end, LINE * (int64_t)e->square, NULL, 0);
    LLVMValueRef line_end = least(g, gen_add(g, line.i, gen_i64(g, LINE * (int64_t)e->square)), row_end);
    loop_begin(g, &l, block.i, block_end, e->width, NULL, 0);
    squares(e, line.i, line_end, l.i);
    loop_end(g, &l);
    loop_end(g, &line);
    loop_end(g, &block);
}

static void last_columns(KernelEmit *e, LLVMValueRef row, LLVMValueRef row_end, LLVMValueRef column, LLVMValueRef column_end)
{
    Gen *g = e->g;
    Loop l;
    if (loop_turns(column, column_end, e->width) == 0) return;
    loop_begin(g, &l, column, column_end, e->width, NULL, 0);
    e->mask = gen_lanes_left(g, e->width, l.i, column_end);
    e->columns_left = LLVMBuildSub(g->b, column_end, l.i, "");
    squares(e, row, row_end, l.i);
    e->mask = NULL;
    loop_end(g, &l);
}

void emit_turned(KernelEmit *e, LLVMValueRef row, LLVMValueRef row_end, LLVMValueRef column, LLVMValueRef column_end)
{
    Gen *g = e->g;
    LLVMValueRef rows = gen_whole_steps(g, row, row_end, e->square), columns = gen_whole_steps(g, column, column_end, e->width);
    if (loop_turns(row, rows, e->square) != 0) {
        whole_vectors(e, row, rows, column, columns);
        last_columns(e, row, rows, columns, column_end);
    }
    if (loop_turns(rows, row_end, 1) == 0) return;
    LLVMValueRef *saved = emit_offsets(e);
    Loop l;
    loop_begin(g, &l, rows, row_end, 1, NULL, 0);
    emit_open_axis(e, e->k->turn, l.i, NULL);
    emit_vector_axis(e, column, column_end);
    loop_end(g, &l);
    emit_offsets_back(e, saved);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static bool differs_by_row(const KernelEmit *e, const Instr *in)
{
    const int32_t of[3] = {in->a, in->b, in->c};
    if (in->kind == I_FETCH) return true; /* what lies there changes */
    if (in->kind == I_AXIS) return (int)in->ref == e->k->turn;
    for (int i = 0; i < 3; i++)
        if (of[i] >= 0 && e->turned[of[i]]) return true;
    if (in->kind != I_LOAD) return false;
    const Stream *s = &e->k->stream[in->ref];
    return s->coef[e->k->turn] != 0 || (s->dyn >= 0 && e->turned[s->dyn]) || (s->guard >= 0 && e->turned[s->guard]);
}

bool sweeps_in_squares(const KernelEmit *e) { return e->square != 0 && e->k->turn == e->k->sweep && !e->mask; }

void turn_plan(KernelEmit *e)
{
    const Kernel *k = e->k;
    uint32_t bytes = 1;
    e->square = 0;
    if (k->turn < 0 || e->width < 2) return;
    e->turned = ARENA_ARRAY(e->g->arena, bool, k->ninstr + 1);
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *in = &k->instr[i];
        e->turned[i] = differs_by_row(e, in);
        if (in->kind == I_LOAD && stream_turned(k, &k->stream[in->ref], k->turn))
            bytes = MAX_OF(bytes, (uint32_t)dtype_bytes((DType)k->stream[in->ref].type));
    }
    for (uint32_t i = 0; i < k->nstore && k->turn == k->sweep; i++)
        if (stream_turned(k, &k->stream[k->store[i].stream], k->turn))
            bytes = MAX_OF(bytes, (uint32_t)dtype_bytes((DType)k->stream[k->store[i].stream].type));
    e->square = MIN_OF(16 / bytes, e->width);
}
