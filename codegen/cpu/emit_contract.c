/* emit_contract: products that compiled code computes by itself: which rows, columns and k emit_panel.c and emit_tile.c take, and
 * when. Rows are cut into tiles, columns into panels, k into chains; where that pays, a panel of b and the rows of a are first
 * moved to memory where they lie close. The order is that of docs/numerics.md whatever the tile, so that tiles, tails and chunks
 * change no bit. Relies on gen, emit_panel, emit_tree. Never calls a library. */
#include "emit_contract.h"

#include "emit_reduce.h"

enum {
    REGION_TILES = 16,        /* most tiles of a region */
    MOVED_BYTES = 32 << 10,   /* of a, moved at a time ... */
    TURNED_BYTES = 128 << 10, /* ... and where windows are turned, so that most of each line of cache that they meet is taken */
    NEAR_COLUMN = 4096,       /* bytes between elements of a row of a, from which on a is moved */
    NEAR_CHAIN = 256 << 10,   /* bytes between the first and the last row of a chain of b, up to which b is read where it lies */
    PIECE_PANELS = 32,        /* most panels of a piece */
    MADS = 8,                 /* multiplications that cost as much as one unit of Kernel.cost */
    FAR_BYTES = 1 << 20,      /* b is so large that it comes from memory ... */
    STRIP_ROWS = 32           /* ... and for up to so many rows is then read in strips */
};

/* Lanes of the vectors in which runs are counted. */
static uint32_t count_lanes(const Product *p) { return p->g->machine->vector_bytes / (uint32_t)dtype_bytes(p->compute); }

/* Elements of a region's sums where they have memory of their own: whole vectors, as count_runs takes them, though a panel may be
 * narrower. */
static int64_t cells_of(const Product *p)
{
    const int64_t lanes = count_lanes(p);
    return p->strip ? STRIP : tree_blocks((int64_t)p->region * p->tile.rows * p->wide, lanes) * lanes;
}

/* ---- decisions ------------------------------------------------------------------------------- */

static bool turns_windows(const Product *p) { return has_digits(&p->a_is) && move_how(p, &p->a_is) == MOVE_TURN; }

static int64_t highest(const Product *p, Dim d) { return dim_hi(&p->g->p->module->dims, d); }

/* Operands move where their elements are converted, where vectors could not be read otherwise, where one stride does not say where
 * they lie, and where rows or columns that are used again lie so far apart that caches lose them. Rows of b that meet turned
 * windows lose the cache to those. */
static void decide_moves(Product *p)
{
    const int64_t size = (int64_t)dtype_bytes(p->compute), k = MIN_OF(highest(p, p->s->contract.k), TREE_PRODUCT);
    const bool narrow = p->type != p->compute;
    int64_t step;
    MoveHow a = move_how(p, &p->a_is), b = move_how(p, &p->b_is);
    bool far = a == MOVE_TURN && (!gen_dim_const(p->g, p->a_is.col->stride[0], &step) || step * size >= NEAR_COLUMN);
    p->move_a = narrow || has_digits(&p->a_is) || (far && highest(p, p->columns) > 2 * p->wide) ? a : MOVE_NONE;
    bool near = gen_dim_const(p->g, p->b_is.row->stride[0], &step) && step * k * size <= NEAR_CHAIN && !turns_windows(p);
    p->if_many = !narrow && !p->through && b == MOVE_COPY && !has_digits(&p->b_is);
    p->move_b = p->if_many && (near || highest(p, p->rows) <= 3 * p->tile.rows) ? MOVE_NONE : b;
    /* Rows lie in odd numbers of cache lines, so that they do not meet in few sets of the cache. */
    p->moved_row = TREE_PRODUCT + 64 / size;
    const int64_t bytes = turns_windows(p) ? TURNED_BYTES : MOVED_BYTES, tile = MAX_OF(p->tile.rows, 1u) * p->moved_row * size;
    p->moved_tiles = (uint32_t)MIN_OF(MAX_OF(bytes / tile, 1), p->region);
}

/* Rows of a strip: as many as divide all rows. 0: tiles are better, or there are as yet no strips for it. */
static uint32_t strip_rows(const Product *p, int64_t m, int64_t runs)
{
    const int64_t n = highest(p, p->columns), bytes = highest(p, p->s->contract.k) * (int64_t)dtype_bytes(p->compute);
    if (m < 1 || !known(p, strides_last(p->b_is.col), 1) || n <= p->wide || has_digits(&p->b_is)) return 0;
    if (m == 1) return 1;
    if (runs > 1 || p->type != p->compute || m > STRIP_ROWS || bytes <= FAR_BYTES / n) return 0;
    uint32_t rows = MOST_STRIP;
    while (m % rows != 0) rows--;
    return rows;
}

/* A piece is a tile where b is read as it lies and there are some. Else it has all rows of a region, so that what moves of b serves
 * all of them, and as many panels as still leave some pieces. */
static void decide_pieces(Product *p, int64_t m, int64_t n)
{
    int64_t most = n < 0 ? 2 : n / p->wide / 4;
    if (p->strip || m == 0 || n == 0 || (p->move_b == MOVE_NONE && (m < 0 || p->tile.tiles > 2))) return;
    p->columns_each = p->wide * (uint32_t)MIN_OF(MAX_OF(most, p->move_a == MOVE_NONE ? 1 : 2), PIECE_PANELS);
}

/* The largest power of two, up to TREE_PRODUCT, that divides the lengths of all chains. */
static uint32_t chain_even(const Product *p)
{
    int64_t k;
    return gen_dim_const(p->g, p->s->contract.k, &k) ? (uint32_t)((k | TREE_PRODUCT) & -(k | TREE_PRODUCT)) : 1;
}

static Product decided(Gen *g, const Step *s)
{
    const DType type = (DType)s->contract.type, to = (DType)s->contract.to;
    Product all = {.g = g, .s = s, .type = type, .compute = tile_compute(type), .to = to}, *p = &all;
    int64_t m, n;
    p->a_is = (Operand){0, s->contract.a_base, &s->contract.a_row, &s->contract.a_col, s->contract.a_batch};
    p->b_is = (Operand){1, s->contract.b_base, &s->contract.b_row, &s->contract.b_col, s->contract.b_batch};
    p->rows = s->contract.m;
    p->columns = s->contract.n;
    if (known(p, p->columns, 1) && !known(p, p->rows, 1)) { /* a matrix times a column: a row times the matrix turned */
        p->a_is = (Operand){1, s->contract.b_base, &s->contract.b_col, &s->contract.b_row, s->contract.b_batch};
        p->b_is = (Operand){0, s->contract.a_base, &s->contract.a_col, &s->contract.a_row, s->contract.a_batch};
        p->rows = s->contract.n;
        p->columns = s->contract.m;
    }
    if (!gen_dim_const(p->g, p->rows, &m)) m = -1;
    if (!gen_dim_const(p->g, p->columns, &n)) n = -1;
    p->tile = tile_shape(p->g->machine, p->compute, m, n);
    p->wide = p->tile.vectors * p->tile.width;
    const int64_t runs = tree_blocks(highest(p, s->contract.k), TREE_RUN);
    p->strip = strip_rows(p, m, runs);
    p->through = p->to != p->compute || runs > 1;
    p->adds = p->through || p->strip || highest(p, s->contract.k) > TREE_PRODUCT;
    p->region = !p->through || turns_windows(p) ? REGION_TILES
                : runs > 1                      ? MAX_OF(REGION_TILES / (tree_levels(runs) + 1), 1u)
                                                : REGION_TILES / 2;
    p->k_even = chain_even(p);
    decide_moves(p);
    decide_pieces(p, m, n);
    return all;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Rows that lie side by side are cleared at once. */
static void clear(Product *p, const Region *q)
{
    Gen *g = p->g;
    const uint32_t size = (uint32_t)dtype_bytes(p->compute);
    LLVMValueRef together = p->strip ? LLVMConstNull(g->i1) : LLVMBuildICmp(g->b, LLVMIntEQ, q->columns, p->n, "");
    if (p->through && !p->strip) together = LLVMConstAllOnes(g->i1);
    LLVMValueRef rows = gen_select(g, together, gen_i64(g, 1), q->rows);
    LLVMValueRef cells = gen_select(g, together, gen_mul(g, q->rows, q->sums_row), q->columns);
    Loop l;
    loop_begin(g, &l, gen_i64(g, 0), rows, 1, NULL, 0);
    LLVMValueRef at = element_at(g, p->compute, q->sums, gen_mul(g, l.i, q->sums_row));
    LLVMBuildMemSet(g->b, at, LLVMConstNull(g->i8), times(g, cells, size), size);
    loop_end(g, &l);
}

/* Makes the sums the totals of one run: 0, then its chains in order. */
static void run(Product *p, const Region *q, LLVMValueRef from, LLVMValueRef to)
{
    Gen *g = p->g;
    Loop l;
    if (!p->adds) {
        contract_chain(p, q, from, to);
        return;
    }
    clear(p, q);
    if (loop_turns(from, to, TREE_PRODUCT) == 0) return;
    loop_begin(g, &l, from, to, TREE_PRODUCT, NULL, 0);
    int64_t all;
    bool even = gen_is_int(p->k, &all) && all % TREE_PRODUCT == 0;
    contract_chain(p, q, l.i, even ? gen_i64(g, TREE_PRODUCT) : least(g, gen_i64(g, TREE_PRODUCT), less(g, to, l.i)));
    loop_end(g, &l);
}

/* Takes the sums into the counter of ir/tree.h, vector by vector; last: makes them the totals of all runs. */
static void count_runs(Product *p, const Region *q, LLVMValueRef begin, bool last)
{
    Gen *g = p->g;
    const uint32_t width = count_lanes(p);
    const LLVMTypeRef vector = gen_lanes(gen_type(g, p->compute), width);
    const Reduction r = {.kind = R_SUM, .type = (uint8_t)p->compute};
    const int64_t levels = tree_levels(tree_blocks(highest(p, p->s->contract.k), TREE_RUN));
    Loop l;
    LLVMValueRef cells = p->strip ? q->columns : gen_mul(g, q->rows, q->sums_row);
    loop_begin(g, &l, gen_i64(g, 0), pieces(g, cells, width), 1, NULL, 0);
    LLVMValueRef at = gen_at(g, vector, p->sums, l.i), v = gen_load(g, vector, at, reduce_align(&r));
    const Counter c = {g, &r, 1, &v, gen_at(g, vector, p->levels, times(g, l.i, levels))};
    if (last) {
        tree_close(&c, p->k, TREE_RUN);
        gen_store(g, v, at, reduce_align(&r));
    } else {
        tree_push(&c, begin, TREE_RUN);
    }
    loop_end(g, &l);
}

/* Makes the sums the totals over all of k. */
static void runs(Product *p, const Region *q)
{
    Gen *g = p->g;
    LLVMValueRef zero = gen_i64(g, 0);
    if (highest(p, p->s->contract.k) <= TREE_RUN) {
        run(p, q, zero, p->k);
        return;
    }
    Loop l;
    loop_begin(g, &l, zero, p->k, TREE_RUN, NULL, 0);
    run(p, q, l.i, least(g, gen_add(g, l.i, gen_i64(g, TREE_RUN)), p->k));
    count_runs(p, q, l.i, false);
    loop_end(g, &l);
    count_runs(p, q, NULL, true);
}

/* Gives c the columns from .. to - 1 of the region's sums, so many at a time, the last of `last` columns at the latest. */
static void give(Product *p, const Region *q, LLVMValueRef from, LLVMValueRef to, uint32_t width, LLVMValueRef last)
{
    Gen *g = p->g;
    Loop row, l;
    if (loop_turns(from, to, width) == 0) return;
    loop_begin(g, &row, gen_i64(g, 0), q->rows, 1, NULL, 0);
    loop_begin(g, &l, from, to, width, NULL, 0);
    const LLVMValueRef column = last ? least(g, l.i, last) : l.i;
    LLVMValueRef at = element_at(g, p->compute, q->sums, gen_add(g, gen_mul(g, row.i, q->sums_row), column));
    LLVMValueRef v = gen_load(g, gen_lanes(gen_type(g, p->compute), width), at, (uint32_t)dtype_bytes(p->compute));
    LLVMValueRef to_row = gen_mul(g, gen_add(g, q->row, row.i), p->n), to_at = gen_add(g, gen_add(g, to_row, q->column), column);
    gen_store(g, emit_to_memory(g, p->to, v), element_at(g, p->to, p->c, gen_add(g, p->c_at, to_at)), (uint32_t)dtype_bytes(p->to));
    loop_end(g, &l);
    loop_end(g, &row);
}

/* Where their number is known, the last vector of a row may overlap the one before it. */
static void give_all(Product *p, const Region *q)
{
    Gen *g = p->g;
    uint32_t width = count_lanes(p);
    const LLVMValueRef zero = gen_i64(g, 0);
    int64_t n;
    if (gen_is_int(q->columns, &n) && n > 0) {
        while (width > n) width /= 2;
        give(p, q, zero, q->columns, width, n % width == 0 ? NULL : gen_i64(g, n - width));
        return;
    }
    LLVMValueRef whole = gen_whole_steps(g, zero, q->columns, width);
    give(p, q, zero, whole, width, NULL);
    give(p, q, whole, q->columns, 1, NULL);
}

/* ---- regions --------------------------------------------------------------------------------- */

/* Computes the region's columns column .. column + columns - 1. */
static void region(Product *p, Region q, LLVMValueRef column, LLVMValueRef columns)
{
    Gen *g = p->g;
    q.column = column;
    q.columns = columns;
    q.sums = p->sums;
    q.sums_row = p->strip ? gen_i64(g, STRIP) : gen_i64(g, p->wide);
    if (!p->through) {
        q.sums_row = p->n;
        q.sums = element_at(g, p->to, p->c, gen_add(g, p->c_at, gen_add(g, gen_mul(g, q.row, p->n), column)));
    }
    runs(p, &q);
    if (p->through) give_all(p, &q);
}

static LLVMValueRef tiles_of(Product *p)
{
    return p->tile.tiles >= 0 ? gen_i64(p->g, p->tile.tiles) : pieces(p->g, p->m, p->tile.rows);
}

/* How many of n columns a part has that begins at this one and has at most `each`. */
static LLVMValueRef part_of(Product *p, LLVMValueRef n, LLVMValueRef column, int64_t each)
{
    int64_t all;
    if (gen_is_int(n, &all) && all % each == 0) return gen_i64(p->g, each);
    return least(p->g, less(p->g, n, column), gen_i64(p->g, each));
}

/* Whether each piece has a whole panel's columns, or more. */
static bool full_panels(const Product *p)
{
    int64_t n;
    return gen_is_int(p->n, &n) && n >= p->wide &&
           (p->columns_each == 0 || n % p->columns_each == 0 || n % p->columns_each >= p->wide);
}

/* Computes some columns of tiles first .. end - 1: panel by panel where only one panel's sums have room, or where the rows are so
 * few that b is better read column by column. */
static void columns_of(Product *p, LLVMValueRef first, LLVMValueRef end, LLVMValueRef column, LLVMValueRef columns)
{
    Gen *g = p->g;
    Region q = {.first = first, .end = end, .row = contract_row(p, first)};
    Loop l;
    q.rows = less(g, contract_row(p, end), q.row);
    if (!p->through && !(p->tile.tiles == 1 && p->move_b == MOVE_TURN)) {
        region(p, q, column, columns);
    } else if (loop_turns(gen_i64(g, 0), columns, p->wide) != 0) {
        const bool full = p->through && full_panels(p);
        loop_begin(g, &l, gen_i64(g, 0), columns, p->wide, NULL, 0);
        if (full) /* the last panel may overlap the one before it */
            region(p, q, gen_add(g, column, least(g, l.i, less(g, columns, gen_i64(g, p->wide)))), gen_i64(g, p->wide));
        else
            region(p, q, gen_add(g, column, l.i), part_of(p, columns, l.i, p->wide));
        loop_end(g, &l);
    }
}

/* Computes pieces from .. to - 1 of one batch. */
static void pieces_of_batch(Product *p, LLVMValueRef from, LLVMValueRef to)
{
    Gen *g = p->g;
    const LLVMValueRef zero = gen_i64(g, 0), one = gen_i64(g, 1);
    Loop l;
    if (p->strip) {
        loop_begin(g, &l, from, to, 1, NULL, 0);
        LLVMValueRef column = times(g, l.i, STRIP);
        region(p, (Region){.row = zero, .rows = p->m}, column, part_of(p, p->n, column, STRIP));
        loop_end(g, &l);
        return;
    }
    if (p->columns_each != 0) {
        loop_begin(g, &l, from, to, 1, NULL, 0);
        LLVMValueRef parts = pieces(g, p->n, p->columns_each), row = LLVMBuildUDiv(g->b, l.i, parts, "");
        LLVMValueRef column = times(g, less(g, l.i, gen_mul(g, row, parts)), p->columns_each), first = times(g, row, p->region);
        columns_of(p, first, least(g, gen_add(g, first, gen_i64(g, p->region)), tiles_of(p)), column,
            part_of(p, p->n, column, p->columns_each));
        loop_end(g, &l);
        return;
    }
    bool one_region = p->tile.tiles >= 0 && p->tile.tiles <= p->region;
    loop_begin(g, &l, one_region ? zero : from, one_region ? one : to, one_region ? 1 : p->region, NULL, 0);
    LLVMValueRef end = least(g, gen_add(g, l.i, gen_i64(g, p->region)), to);
    columns_of(p, one_region ? from : l.i, one_region ? to : end, zero, p->n);
    loop_end(g, &l);
}

/* Pieces of one batch: strips, or tiles, or some columns of some tiles. */
static LLVMValueRef pieces_each(Product *p)
{
    if (p->strip) return pieces(p->g, p->n, STRIP);
    if (p->columns_each == 0) return tiles_of(p);
    return gen_mul(p->g, pieces(p->g, tiles_of(p), p->region), pieces(p->g, p->n, p->columns_each));
}

static LLVMValueRef batches(Product *p)
{
    LLVMValueRef n = gen_i64(p->g, 1);
    for (uint32_t i = 0; i < p->s->contract.nbatch; i++) n = gen_mul(p->g, n, gen_dim(p->g, p->s->contract.batch[i]));
    return n;
}

static void open_sizes(Product *p)
{
    Gen *g = p->g;
    p->m = gen_dim(g, p->rows);
    p->n = gen_dim(g, p->columns);
    p->k = gen_dim(g, p->s->contract.k);
}

void emit_contract_pieces(Gen *g, const Step *s, LLVMValueRef *count, LLVMValueRef *cost)
{
    Product p = decided(g, s);
    open_sizes(&p);
    *count = gen_mul(g, pieces_each(&p), batches(&p));
    const int64_t rows = p.strip ? STRIP_ROWS : (int64_t)p.tile.rows * (p.columns_each ? p.region : 1),
                  columns = p.strip ? STRIP : p.columns_each;
    *cost = gen_mul(g, least(g, p.m, gen_i64(g, rows)), columns == 0 ? p.n : least(g, p.n, gen_i64(g, columns)));
    *cost = most(g, LLVMBuildSDiv(g->b, gen_mul(g, *cost, p.k), gen_i64(g, MADS), ""), gen_i64(g, 1));
}

/* Offsets of batch number `batch`; the last batch axis runs fastest. */
static void open_batch(Product *p, LLVMValueRef batch)
{
    Gen *g = p->g;
    p->a_at = gen_dim(g, p->a_is.base);
    p->b_at = gen_dim(g, p->b_is.base);
    p->c_at = gen_mul(g, batch, gen_mul(g, p->m, p->n));
    for (uint32_t i = p->s->contract.nbatch; i-- > 0;) {
        LLVMValueRef n = gen_dim(g, p->s->contract.batch[i]), at = LLVMBuildSRem(g->b, batch, n, "");
        batch = LLVMBuildSDiv(g->b, batch, n, "");
        p->a_at = gen_add(g, p->a_at, gen_mul(g, at, gen_dim(g, p->a_is.batch[i])));
        p->b_at = gen_add(g, p->b_at, gen_mul(g, at, gen_dim(g, p->b_is.batch[i])));
    }
}

/* ---- the function ---------------------------------------------------------------------------- */

struct ContractFn {
    const Step *step;
    bool joined; /* with the kernel of the next step */
    LLVMValueRef fn;
    ContractFn *next;
};

/* The function that was made last. */
static LLVMValueRef know(Gen *g, const Step *s, bool joined)
{
    ContractFn *c = ARENA_NEW(g->arena, ContractFn);
    *c = (ContractFn){s, joined, g->fn, g->contracts};
    g->contracts = c;
    return g->fn;
}

static void open_scratch(Product *p)
{
    Gen *g = p->g;
    const LLVMTypeRef e = gen_type(g, p->compute);
    const int64_t runs = tree_blocks(highest(p, p->s->contract.k), TREE_RUN), wide = p->wide;
    if (p->strip) p->a_room = gen_alloca(g, e, (uint64_t)p->strip * STRIP, 64);
    if (p->move_a != MOVE_NONE && !p->strip)
        p->a_room = gen_alloca(g, e, (uint64_t)(p->moved_tiles * p->tile.rows * p->moved_row), 64);
    if (p->move_b != MOVE_NONE && !p->strip) {
        p->b_room = gen_alloca(g, e, (uint64_t)(wide * TREE_PRODUCT), 64);
        /* What lies behind the last columns counts for nothing, but should be no denormal numbers. */
        const int64_t k = MIN_OF(highest(p, p->s->contract.k), TREE_PRODUCT);
        if (p->through && !full_panels(p))
            LLVMBuildMemSet(g->b, p->b_room, LLVMConstNull(g->i8), gen_i64(g, wide * k * (int64_t)dtype_bytes(p->compute)), 64);
    }
    if (p->through) p->sums = gen_alloca(g, e, (uint64_t)cells_of(p), 64);
    if (runs > 1) p->levels = gen_alloca(g, e, (uint64_t)(cells_of(p) * tree_levels(runs)), 64);
}

static void body(Product *p, bool whole)
{
    Gen *g = p->g;
    const Step *s = p->s;
    p->a = gen_load_once(g, g->ptr, LLVMGetParam(g->fn, 0), p->a_is.param, 8);
    p->b = gen_load_once(g, g->ptr, LLVMGetParam(g->fn, 0), p->b_is.param, 8);
    p->c = gen_load_once(g, g->ptr, LLVMGetParam(g->fn, 0), 2, 8);
    open_sizes(p);
    p->a_row = axis_open(g, p->a_is.row);
    p->a_col = axis_open(g, p->a_is.col);
    p->b_row = axis_open(g, p->b_is.row);
    p->b_col = axis_open(g, p->b_is.col);
    open_scratch(p);
    LLVMValueRef each = pieces_each(p), lo = LLVMGetParam(g->fn, 2), hi = LLVMGetParam(g->fn, 3), none = gen_i64(g, 0);
    int64_t n;
    if (gen_is_int(each, &n) && n == 0) return;
    bool all = whole || (gen_is_int(each, &n) && n == 1);
    if (s->contract.nbatch == 0) {
        open_batch(p, none);
        pieces_of_batch(p, all ? none : lo, all ? each : hi);
        return;
    }
    /* Without rows there is nothing to divide by, and nothing to do. */
    LLVMValueRef per = most(g, each, gen_i64(g, 1)), first = LLVMBuildSDiv(g->b, lo, per, "");
    LLVMValueRef end = LLVMBuildSDiv(g->b, gen_add(g, hi, less(g, per, gen_i64(g, 1))), per, "");
    if (whole) first = none, end = batches(p);
    Loop l;
    loop_begin(g, &l, first, end, 1, NULL, 0);
    open_batch(p, l.i);
    LLVMValueRef piece = gen_mul(g, l.i, per), from = less(g, most(g, lo, piece), piece), to = least(g, less(g, hi, piece), per);
    pieces_of_batch(p, all ? none : from, all ? each : to);
    loop_end(g, &l);
}

LLVMValueRef emit_contract(Gen *g, const Step *s, bool whole)
{
    uint32_t count = 0;
    for (ContractFn *c = g->contracts; c; c = c->next, count++)
        if (!c->joined && step_same_product(c->step, s)) return c->fn;
    Product p = decided(g, s);
    if (whole) p.columns_each = 0;
    gen_function_begin(g, arena_printf(g->arena, "product%u", count), g->kernel_type, true);
    gen_prefer_vectors(g, g->machine->tile_bytes);
    g->dim_arg = LLVMGetParam(g->fn, 1);
    body(&p, whole);
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return know(g, s, false);
}

int64_t emit_contract_tiles(Gen *g, const Step *s)
{
    const Product p = decided(g, s);
    return s->contract.nbatch == 0 && !p.strip && p.columns_each == 0 && p.a_is.param == 0 ? p.tile.tiles : -1;
}

LLVMValueRef emit_contract_joined(Gen *g, const Step *s, LLVMValueRef kernel, int64_t each)
{
    for (ContractFn *c = g->contracts; c; c = c->next)
        if (c->joined && c->step == s) return c->fn;
    const LLVMValueRef product = emit_contract(g, s, false);
    Product p = decided(g, s);
    gen_function_begin(g, "joined", g->kernel_type, true);
    g->dim_arg = LLVMGetParam(g->fn, 1);
    open_sizes(&p);
    LLVMValueRef args[4];
    for (unsigned i = 0; i < 4; i++) args[i] = LLVMGetParam(g->fn, i);
    LLVMBuildCall2(g->b, g->kernel_type, product, args, 4, "");
    args[0] = gen_at(g, g->ptr, args[0], gen_i64(g, 3));
    for (unsigned i = 2; i < 4; i++) args[i] = times(g, contract_row(&p, args[i]), each);
    LLVMBuildCall2(g->b, g->kernel_type, kernel, args, 4, "");
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return know(g, s, true);
}
