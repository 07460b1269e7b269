/* emit_move: how operands lie, and moves of matrices, or parts of them, into contiguous rows in their compute type. Where the
 * columns, or rows, that lie side by side take several digits, a stretch moves at a time, which is one turn of the last digit.
 * Relies on gen, emit_scalar. */
#include "emit_contract.h"

enum { FEW = 4 }; /* vectors of a row that need no loop */

/* ---- how operands lie ------------------------------------------------------------------------ */

/* b lies in panels: as many of these columns, or more, side by side at each k, one k after the other. */
static bool in_panels(const Product *p)
{
    const Strides *row = p->b_is.row, *col = p->b_is.col;
    int64_t wide;
    return !p->through && p->type == p->compute && row->n == 1 && col->n == 2 && known(p, col->stride[1], 1) &&
           gen_dim_const(p->g, col->extent[1], &wide) && wide % p->wide == 0 && known(p, row->stride[0], wide);
}

MoveHow move_how(const Product *p, const Operand *x)
{
    const bool rows = known(p, strides_last(x->row), 1), columns = known(p, strides_last(x->col), 1);
    if (x == &p->b_is && in_panels(p)) return MOVE_NONE;
    int64_t down = INT64_MAX, along = INT64_MAX;
    if (x->row->n > 1) gen_dim_const(p->g, x->row->extent[x->row->n - 1], &down);
    if (x->col->n > 1) gen_dim_const(p->g, x->col->extent[x->col->n - 1], &along);
    return columns && !(rows && down > along) ? MOVE_COPY : rows ? MOVE_TURN : MOVE_GATHER;
}

/* ---- axes ------------------------------------------------------------------------------------ */

Axis axis_open(Gen *g, const Strides *s)
{
    Axis x = {.n = s->n};
    for (uint32_t i = 0; i < s->n; i++) {
        x.extent[i] = gen_dim(g, s->extent[i]);
        x.stride[i] = gen_dim(g, s->stride[i]);
    }
    return x;
}

LLVMValueRef axis_at(Gen *g, const Axis *x, LLVMValueRef at)
{
    LLVMValueRef sum = gen_i64(g, 0);
    for (uint32_t i = x->n; i-- > 1;) {
        const LLVMValueRef digit = LLVMBuildURem(g->b, at, x->extent[i], "");
        sum = gen_add(g, sum, gen_mul(g, digit, x->stride[i]));
        at = LLVMBuildUDiv(g->b, at, x->extent[i], "");
    }
    return gen_add(g, sum, gen_mul(g, at, x->stride[0]));
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Rows may have room for less than a vector. */
static uint32_t move_width(const Gen *g, const Move *x)
{
    const uint32_t size = (uint32_t)dtype_bytes(tile_compute(x->t));
    uint32_t w = (x->how == MOVE_COPY ? g->machine->tile_bytes : g->machine->vector_bytes) / size;
    while (w > x->most) w /= 2;
    return w;
}

static LLVMValueRef moved_to(Gen *g, const Move *x, LLVMValueRef row, LLVMValueRef column)
{
    LLVMValueRef at = gen_add(g, gen_mul(g, row, gen_i64(g, x->to_row)), column);
    return element_at(g, tile_compute(x->t), x->to, at);
}

static LLVMValueRef moved_from(Gen *g, const Move *x, LLVMValueRef row, LLVMValueRef column)
{
    row = gen_add(g, x->row_at, row);
    column = gen_add(g, x->column_at, column);
    return element_at(g, x->t, x->from, cell_at(g, &x->row, row, &x->column, column));
}

/* Moves rows i0 .. i1 - 1 of columns j0 .. j1 - 1, so many at a time. */
static void move_vectors(Gen *g, const Move *x, LLVMValueRef i0, LLVMValueRef i1, LLVMValueRef j0, LLVMValueRef j1, uint32_t width)
{
    const uint32_t size = (uint32_t)dtype_bytes(tile_compute(x->t));
    Loop i, j;
    if (loop_turns(i0, i1, 1) == 0 || loop_turns(j0, j1, width) == 0) return;
    loop_begin(g, &i, i0, i1, 1, NULL, 0);
    loop_begin(g, &j, j0, j1, width, NULL, 0);
    gen_store(g, tile_load(g, x->t, moved_from(g, x, i.i, j.i), width), moved_to(g, x, i.i, j.i), size);
    loop_end(g, &j);
    loop_end(g, &i);
}

/* Rows of a known number of columns: the last vector may overlap the one before it. */
static void move_rows(Gen *g, const Move *x, int64_t n)
{
    const uint32_t size = (uint32_t)dtype_bytes(tile_compute(x->t));
    uint32_t w = move_width(g, x);
    Loop i, j;
    while (w > n) w /= 2;
    loop_begin(g, &i, gen_i64(g, 0), x->rows, 1, NULL, 0);
    const bool few = n <= FEW * (int64_t)w;
    for (int64_t at = 0; at < (few ? n : w); at += w) {
        LLVMValueRef column = gen_i64(g, MIN_OF(at, n - w));
        if (!few) loop_begin(g, &j, gen_i64(g, 0), gen_i64(g, n), w, NULL, 0);
        if (!few) column = n % w == 0 ? j.i : least(g, j.i, gen_i64(g, n - w));
        gen_store(g, tile_load(g, x->t, moved_from(g, x, i.i, column), w), moved_to(g, x, i.i, column), size);
        if (!few) loop_end(g, &j);
    }
    loop_end(g, &i);
}

/* Moves the columns from `from` on, fewer than a vector has lanes, and leaves what lies behind them as it is. */
static void move_rest(Gen *g, const Move *x, LLVMValueRef from, uint32_t width)
{
    if (loop_turns(from, x->columns, 1) == 0) return;
    const LLVMValueRef mask = gen_lanes_left(g, width, from, x->columns);
    Loop i;
    loop_begin(g, &i, gen_i64(g, 0), x->rows, 1, NULL, 0);
    LLVMValueRef v = tile_load_some(g, x->t, moved_from(g, x, i.i, from), width, mask);
    tile_store_some(g, x->t, v, moved_to(g, x, i.i, from), mask);
    loop_end(g, &i);
}

static void move_copy(Gen *g, const Move *x)
{
    const uint32_t w = move_width(g, x), size = (uint32_t)dtype_bytes(tile_compute(x->t));
    const LLVMValueRef zero = gen_i64(g, 0), end = x->columns_even % w == 0 ? x->columns : gen_whole_steps(g, zero, x->columns, w);
    LLVMValueRef mask[FEW];
    int64_t n;
    Loop i;
    if (gen_is_int(x->columns, &n) && n > 0) {
        move_rows(g, x, n);
        return;
    }
    if (x->t != tile_compute(x->t) || x->most > FEW * w || !g->machine->masked) {
        move_vectors(g, x, zero, x->rows, zero, end, w);
        if (g->machine->masked && dtype_bytes(x->t) >= 4)
            move_rest(g, x, end, w);
        else
            move_vectors(g, x, zero, x->rows, end, x->columns, 1);
        return;
    }
    for (int64_t j = 0; j < x->most; j += w) mask[j / w] = gen_lanes_left(g, w, gen_i64(g, j), x->columns);
    loop_begin(g, &i, zero, x->rows, 1, NULL, 0);
    for (int64_t j = 0; j < x->most; j += w) {
        LLVMValueRef v = tile_load_some(g, x->t, moved_from(g, x, i.i, gen_i64(g, j)), w, mask[j / w]);
        gen_store(g, v, moved_to(g, x, i.i, gen_i64(g, j)), size);
    }
    loop_end(g, &i);
}

/* A square at row i and column j: as many rows as elements in 16 bytes, as many columns as lanes. */
static void turn_square(Gen *g, const Move *x, LLVMValueRef i, LLVMValueRef j)
{
    const uint32_t size = (uint32_t)dtype_bytes(tile_compute(x->t)), n = 16 / size, w = move_width(g, x);
    LLVMTypeRef part = gen_lanes(gen_mem_type(g, x->t), n);
    LLVMValueRef v[4], order[TREE_LANES];
    for (uint32_t c = 0; c < w; c++) order[c] = LLVMConstInt(g->i32, c, false);
    for (uint32_t r = 0; r < n; r++) {
        for (uint32_t c = r; c < w; c += n) {
            LLVMValueRef at = moved_from(g, x, i, gen_add(g, j, gen_i64(g, c)));
            LLVMValueRef piece = gen_load(g, part, at, (uint32_t)dtype_bytes(x->t));
            v[r] = c == r ? piece : LLVMBuildShuffleVector(g->b, v[r], piece, LLVMConstVector(order, w), "");
        }
        v[r] = tile_value(g, x->t, v[r]);
    }
    turn_blocks(g, v, n);
    for (uint32_t r = 0; r < n; r++) gen_store(g, v[r], moved_to(g, x, gen_add(g, i, gen_i64(g, r)), j), size);
}

static void move_turned(Gen *g, const Move *x)
{
    const uint32_t w = move_width(g, x), n = 16 / (uint32_t)dtype_bytes(tile_compute(x->t));
    const LLVMValueRef zero = gen_i64(g, 0), i_end = x->rows_even % n == 0 ? x->rows : gen_whole_steps(g, zero, x->rows, n),
                       j_end = x->columns_even % w == 0 ? x->columns : gen_whole_steps(g, zero, x->columns, w);
    Loop i, j;
    if (loop_turns(zero, i_end, n) != 0 && loop_turns(zero, j_end, w) != 0) {
        loop_begin(g, &j, zero, j_end, w, NULL, 0);
        loop_begin(g, &i, zero, i_end, n, NULL, 0);
        turn_square(g, x, i.i, j.i);
        loop_end(g, &i);
        loop_end(g, &j);
    }
    move_vectors(g, x, i_end, x->rows, zero, j_end, 1);
    move_vectors(g, x, zero, x->rows, j_end, x->columns, 1);
}

/* ---- stretches ------------------------------------------------------------------------------- */

typedef struct Stretch { /* indices at .. at + count - 1, within one turn of an axis' last digit */
    Loop l;
    LLVMValueRef at, count;
    uint32_t even; /* divides both */
} Stretch;

static int64_t common(int64_t a, int64_t b) { return b == 0 ? a : common(b, a % b); }

/* Goes through the stretches of n indices from `at` on; even divides both. */
static void stretch_begin(Gen *g, Stretch *s, const Axis *x, LLVMValueRef at, LLVMValueRef n, int64_t even)
{
    const LLVMValueRef size = x->extent[x->n - 1], end = gen_add(g, at, n), last = less(g, gen_add(g, end, size), gen_i64(g, 1));
    int64_t first, all, each = 1;
    loop_begin(g, &s->l, LLVMBuildUDiv(g->b, at, size, ""), LLVMBuildUDiv(g->b, last, size, ""), 1, NULL, 0);
    s->at = gen_mul(g, s->l.i, size);
    s->count = size;
    if (gen_is_int(at, &first) && gen_is_int(n, &all)) even = common(first, all);
    if (gen_is_int(size, &each) && even % each == 0) {
        s->even = (uint32_t)each;
        return;
    }
    const LLVMValueRef to = least(g, gen_add(g, s->at, size), end);
    s->at = most(g, s->at, at);
    s->count = less(g, to, s->at);
    s->even = (uint32_t)common(even, each);
}

static void move_stretches(Gen *g, const Move *x)
{
    const bool copies = x->how == MOVE_COPY;
    const Axis *axis = copies ? &x->column : &x->row;
    const LLVMValueRef at = copies ? x->column_at : x->row_at;
    Move m = *x;
    Stretch s;
    stretch_begin(g, &s, axis, at, copies ? x->columns : x->rows, copies ? x->columns_even : x->rows_even);
    const LLVMValueRef before = less(g, s.at, at);
    m.from = element_at(g, x->t, x->from, axis_at(g, axis, s.at));
    m.to = element_at(g, tile_compute(x->t), x->to, copies ? before : times(g, before, x->to_row));
    *(copies ? &m.column : &m.row) = (Axis){.n = 1, .stride = {gen_i64(g, 1)}};
    *(copies ? &m.column_at : &m.row_at) = gen_i64(g, 0);
    *(copies ? &m.columns : &m.rows) = s.count;
    *(copies ? &m.columns_even : &m.rows_even) = s.even;
    if (copies) m.most = TREE_PRODUCT; /* what lies behind a stretch stays what it is */
    move_matrix(g, &m);
    loop_end(g, &s.l);
}

void move_matrix(Gen *g, const Move *x)
{
    const LLVMValueRef zero = gen_i64(g, 0), one = gen_i64(g, 1);
    Move m = *x;
    if (x->how == MOVE_GATHER) {
        move_vectors(g, x, zero, x->rows, zero, x->columns, 1);
    } else if ((x->how == MOVE_COPY ? x->column.n : x->row.n) > 1) {
        move_stretches(g, x);
    } else if (x->how == MOVE_COPY) {
        m.column.stride[0] = one;
        move_copy(g, &m);
    } else {
        m.row.stride[0] = one;
        move_turned(g, &m);
    }
}
