/* emit_contract: products of programs that use no BLAS. A tile, which is some rows times vectors of columns, stays in registers
 * over the whole of k. The order is that of docs/numerics.md whatever the tile, so that tiles, tails and chunks change no bit.
 * Relies on gen, emit_scalar, emit_tree. Never calls a library. */
#include "emit_reduce.h"

enum { TILE_ROWS = 4, TILE_VECTORS = 2, ROW_VECTORS = 4 };

typedef struct Product {
    Gen *g;
    const Step *s;
    DType type, compute;
    uint32_t width;
    LLVMValueRef a, b, c, zero; /* buffers; a scratch slot that holds 0 */
    LLVMValueRef m, n, k, a_row, a_col, b_row, b_col;
    LLVMValueRef a_at, b_at, c_at; /* offsets of this tile's first row, and of the batch's b */
} Product;

static LLVMTypeRef memory_type(const Product *p) { return gen_mem_type(p->g, p->type); }
static uint32_t align_of(const Product *p) { return (uint32_t)dtype_bytes(p->type); }

static LLVMValueRef load(Product *p, LLVMValueRef base, LLVMValueRef offset, LLVMValueRef there)
{
    Gen *g = p->g;
    LLVMValueRef at = gen_at(g, memory_type(p), base, offset);
    if (there) at = gen_select(g, there, at, p->zero);
    return gen_load(g, memory_type(p), at, align_of(p));
}

/* Columns column .. column + width - 1 of row `row` of b. */
static LLVMValueRef load_b(Product *p, LLVMValueRef row, LLVMValueRef column, LLVMValueRef mask)
{
    Gen *g = p->g;
    LLVMTypeRef t = gen_lanes(memory_type(p), p->width);
    LLVMValueRef at = gen_add(g, p->b_at, gen_mul(g, row, p->b_row)), v;
    int64_t step;
    bool together = gen_is_int(p->b_col, &step) && step == 1 && p->width > 1;
    if (together && !mask) {
        v = gen_load(g, t, gen_at(g, memory_type(p), p->b, gen_add(g, at, column)), align_of(p));
    } else if (together && g->machine->masked && align_of(p) >= 4) {
        LLVMTypeRef types[2] = {t, g->ptr};
        LLVMValueRef from = gen_at(g, memory_type(p), p->b, gen_add(g, at, column));
        LLVMValueRef args[4] = {from, LLVMConstInt(g->i32, align_of(p), false), mask, LLVMConstNull(t)};
        v = gen_intrinsic(g, "llvm.masked.load", types, 2, args, 4);
    } else {
        v = LLVMGetPoison(t);
        for (uint32_t i = 0; i < p->width; i++) {
            LLVMValueRef j = gen_mul(g, gen_add(g, column, gen_i64(g, i)), p->b_col);
            LLVMValueRef x = load(p, p->b, gen_add(g, at, j), mask ? gen_lane(g, mask, i) : NULL);
            v = p->width == 1 ? x : gen_set_lane(g, v, x, i);
        }
    }
    return emit_from_memory(g, p->type, v);
}

static void store_c(Product *p, LLVMValueRef v, LLVMValueRef at, LLVMValueRef mask)
{
    Gen *g = p->g;
    v = emit_to_memory(g, p->type, v);
    if (!mask) {
        gen_store(g, v, gen_at(g, memory_type(p), p->c, at), align_of(p));
    } else if (g->machine->masked && align_of(p) >= 4) {
        LLVMTypeRef types[2] = {LLVMTypeOf(v), g->ptr};
        LLVMValueRef to = gen_at(g, memory_type(p), p->c, at);
        gen_intrinsic(g, "llvm.masked.store", types, 2, (LLVMValueRef[]){v, to, LLVMConstInt(g->i32, align_of(p), false), mask}, 4);
    } else {
        LLVMValueRef sink = gen_alloca(g, g->i64, 1, 8);
        for (uint32_t i = 0; i < p->width; i++) {
            LLVMValueRef to = gen_at(g, memory_type(p), p->c, gen_add(g, at, gen_i64(g, i)));
            gen_store(g, gen_lane(g, v, i), gen_select(g, gen_lane(g, mask, i), to, sink), align_of(p));
        }
    }
}

static LLVMValueRef least(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, a, b, ""), a, b);
}

static LLVMValueRef most(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSGT, a, b, ""), a, b);
}

typedef struct Tile {
    uint32_t rows, vectors, count; /* count: number of accumulators */
    LLVMValueRef a_at, column, mask;
} Tile;

/* Adds the products for k from .. to - 1 to acc, in order. */
static void chain(Product *p, const Tile *t, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *acc)
{
    Gen *g = p->g;
    LLVMValueRef b[ROW_VECTORS];
    Loop l;
    for (uint32_t i = 0; i < t->count; i++) acc[i] = LLVMConstNull(gen_lanes(gen_type(g, p->compute), p->width));
    loop_begin(g, &l, from, to, 1, acc, t->count);
    for (uint32_t v = 0; v < t->vectors; v++)
        b[v] = load_b(p, l.i, gen_add(g, t->column, gen_i64(g, (int64_t)v * p->width)), t->mask);
    for (uint32_t r = 0; r < t->rows; r++) {
        LLVMValueRef at = gen_add(g, t->a_at, gen_add(g, gen_mul(g, gen_i64(g, r), p->a_row), gen_mul(g, l.i, p->a_col)));
        LLVMValueRef a = gen_splat(g, emit_from_memory(g, p->type, load(p, p->a, at, NULL)), p->width);
        for (uint32_t v = 0; v < t->vectors; v++)
            acc[r * t->vectors + v] = emit_prim(g, P_mad, p->compute, p->compute, a, b[v], acc[r * t->vectors + v]);
    }
    loop_end(g, &l);
}

static void add_all(Product *p, const Tile *t, LLVMValueRef *sum, const LLVMValueRef *x)
{
    for (uint32_t i = 0; i < t->count; i++) sum[i] = emit_prim(p->g, P_add, p->compute, p->compute, sum[i], x[i], NULL);
}

/* Makes sum the total of one run: 0, then its chains in order. */
static void run(Product *p, const Tile *t, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *sum)
{
    Gen *g = p->g;
    LLVMValueRef acc[TILE_ROWS * ROW_VECTORS];
    Loop l;
    for (uint32_t i = 0; i < t->count; i++) sum[i] = LLVMConstNull(gen_lanes(gen_type(g, p->compute), p->width));
    if (loop_turns(from, to, TREE_PRODUCT) == 0) return;
    loop_begin(g, &l, from, to, TREE_PRODUCT, sum, t->count);
    chain(p, t, l.i, least(g, gen_add(g, l.i, gen_i64(g, TREE_PRODUCT)), to), acc);
    add_all(p, t, sum, acc);
    loop_end(g, &l);
}

/* Makes sum the total over all of k: of the only run, or of all runs by the counter of ir/tree.h. */
static void runs(Product *p, const Tile *t, LLVMValueRef *sum)
{
    Gen *g = p->g;
    LLVMValueRef zero = gen_i64(g, 0);
    int64_t most = dim_hi(&g->p->module->dims, p->s->contract.k);
    if (most <= TREE_RUN) {
        run(p, t, zero, p->k, sum);
        return;
    }
    const Reduction r = {.kind = R_SUM, .type = (uint8_t)p->compute};
    LLVMTypeRef vector = gen_lanes(gen_type(g, p->compute), p->width);
    const Counter c = {g, &r, t->count, sum, tree_levels_open(g, vector, t->count, p->s->contract.k, TREE_RUN)};
    Loop l;
    loop_begin(g, &l, zero, p->k, TREE_RUN, NULL, 0);
    run(p, t, l.i, least(g, gen_add(g, l.i, gen_i64(g, TREE_RUN)), p->k), sum);
    tree_push(&c, l.i, TREE_RUN);
    loop_end(g, &l);
    tree_close(&c, p->k, TREE_RUN);
}

/* Computes c's rows row .. row + rows - 1, columns column .. */
static void tile(Product *p, uint32_t rows, uint32_t vectors, LLVMValueRef row, LLVMValueRef column, LLVMValueRef mask)
{
    Gen *g = p->g;
    LLVMValueRef sum[TILE_ROWS * ROW_VECTORS], c_at = gen_add(g, p->c_at, gen_mul(g, row, p->n));
    const Tile t = {rows, vectors, rows * vectors, gen_add(g, p->a_at, gen_mul(g, row, p->a_row)), column, mask};
    runs(p, &t, sum);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t v = 0; v < vectors; v++) {
            LLVMValueRef at = gen_add(g, c_at, gen_mul(g, gen_i64(g, r), p->n));
            at = gen_add(g, at, gen_add(g, column, gen_i64(g, (int64_t)v * p->width)));
            store_c(p, sum[r * vectors + v], at, mask);
        }
}

typedef struct Rows {
    LLVMValueRef from, to;
    uint32_t step;
} Rows;

/* Loops over rows inside columns, so that a few columns of b stay in the nearest cache for all rows. */
static void columns(Product *p, const Rows *rows, LLVMValueRef from, LLVMValueRef to, uint32_t vectors, bool masked)
{
    Gen *g = p->g;
    int64_t step = (int64_t)vectors * p->width;
    if (loop_turns(from, to, step) == 0) return;
    Loop column, row;
    loop_begin(g, &column, from, to, step, NULL, 0);
    LLVMValueRef mask = masked ? gen_lanes_left(g, p->width, column.i, p->n) : NULL;
    loop_begin(g, &row, rows->from, rows->to, rows->step, NULL, 0);
    tile(p, rows->step, vectors, row.i, column.i, mask);
    loop_end(g, &row);
    loop_end(g, &column);
}

static void panel(Product *p, const Rows *rows)
{
    Gen *g = p->g;
    uint32_t vectors = rows->step == 1 ? ROW_VECTORS : TILE_VECTORS;
    if (loop_turns(rows->from, rows->to, rows->step) == 0) return;
    LLVMValueRef zero = gen_i64(g, 0), whole = gen_whole_steps(g, zero, p->n, (int64_t)vectors * p->width);
    columns(p, rows, zero, whole, vectors, false);
    LLVMValueRef singles = gen_whole_steps(g, zero, p->n, p->width);
    columns(p, rows, whole, singles, 1, false);
    columns(p, rows, singles, p->n, 1, p->width > 1);
}

/* Computes tiles from .. to - 1 of one batch: whole ones, then the last rows one by one. */
static void tiles_of_batch(Product *p, LLVMValueRef from, LLVMValueRef to)
{
    Gen *g = p->g;
    LLVMValueRef rows = gen_i64(g, TILE_ROWS), whole = gen_whole_steps(g, gen_i64(g, 0), p->m, TILE_ROWS);
    LLVMValueRef first = gen_mul(g, from, rows), end = gen_mul(g, to, rows);
    panel(p, &(Rows){first, least(g, end, whole), TILE_ROWS});
    if (whole != p->m) panel(p, &(Rows){most(g, first, whole), least(g, end, p->m), 1});
}

static LLVMValueRef row_tiles(Gen *g, const Step *s)
{
    LLVMValueRef m = gen_add(g, gen_dim(g, s->contract.m), gen_i64(g, TILE_ROWS - 1));
    return LLVMBuildSDiv(g->b, m, gen_i64(g, TILE_ROWS), "");
}

LLVMValueRef emit_contract_rows(Gen *g, const Step *s)
{
    LLVMValueRef n = row_tiles(g, s);
    for (uint32_t i = 0; i < s->contract.nbatch; i++) n = gen_mul(g, n, gen_dim(g, s->contract.batch[i]));
    return n;
}

/* Offsets of batch number `batch`; the last batch axis runs fastest. */
static void open_batch(Product *p, LLVMValueRef batch)
{
    Gen *g = p->g;
    p->a_at = gen_dim(g, p->s->contract.a_base);
    p->b_at = gen_dim(g, p->s->contract.b_base);
    p->c_at = gen_mul(g, batch, gen_mul(g, p->m, p->n));
    for (uint32_t i = p->s->contract.nbatch; i-- > 0;) {
        LLVMValueRef n = gen_dim(g, p->s->contract.batch[i]), at = LLVMBuildSRem(g->b, batch, n, "");
        batch = LLVMBuildSDiv(g->b, batch, n, "");
        p->a_at = gen_add(g, p->a_at, gen_mul(g, at, gen_dim(g, p->s->contract.a_batch[i])));
        p->b_at = gen_add(g, p->b_at, gen_mul(g, at, gen_dim(g, p->s->contract.b_batch[i])));
    }
}

static bool same_product(const Step *x, const Step *y)
{
    uint32_t n = x->contract.nbatch;
    if (x->contract.type != y->contract.type || n != y->contract.nbatch) return false;
    if (memcmp(x->contract.batch, y->contract.batch, n * sizeof(Dim)) != 0) return false;
    if (memcmp(x->contract.a_batch, y->contract.a_batch, n * sizeof(Dim)) != 0) return false;
    if (memcmp(x->contract.b_batch, y->contract.b_batch, n * sizeof(Dim)) != 0) return false;
    const Dim a[] = {x->contract.m, x->contract.n, x->contract.k, x->contract.a_base, x->contract.b_base, x->contract.a_row,
        x->contract.a_col, x->contract.b_row, x->contract.b_col};
    const Dim b[] = {y->contract.m, y->contract.n, y->contract.k, y->contract.a_base, y->contract.b_base, y->contract.a_row,
        y->contract.a_col, y->contract.b_row, y->contract.b_col};
    return memcmp(a, b, sizeof a) == 0;
}

struct ContractFn {
    const Step *step;
    LLVMValueRef fn;
    ContractFn *next;
};

static void body(Product *p)
{
    Gen *g = p->g;
    const Step *s = p->s;
    LLVMValueRef *buf[] = {&p->a, &p->b, &p->c};
    for (int i = 0; i < 3; i++) *buf[i] = gen_load_once(g, g->ptr, LLVMGetParam(g->fn, 0), i, 8);
    p->zero = gen_alloca(g, g->i64, 1, 8);
    LLVMBuildStore(g->top, gen_i64(g, 0), p->zero);
    p->m = gen_dim(g, s->contract.m);
    p->n = gen_dim(g, s->contract.n);
    p->k = gen_dim(g, s->contract.k);
    p->a_row = gen_dim(g, s->contract.a_row);
    p->a_col = gen_dim(g, s->contract.a_col);
    p->b_row = gen_dim(g, s->contract.b_row);
    p->b_col = gen_dim(g, s->contract.b_col);
    LLVMValueRef tiles = row_tiles(g, s), lo = LLVMGetParam(g->fn, 2), hi = LLVMGetParam(g->fn, 3);
    if (s->contract.nbatch == 0) {
        open_batch(p, gen_i64(g, 0));
        tiles_of_batch(p, lo, hi);
        return;
    }
    /* Without rows there is nothing to divide by, and nothing to do. */
    LLVMValueRef per = most(g, tiles, gen_i64(g, 1));
    LLVMValueRef end = LLVMBuildSDiv(g->b, gen_add(g, hi, LLVMBuildSub(g->b, per, gen_i64(g, 1), "")), per, "");
    Loop l;
    loop_begin(g, &l, LLVMBuildSDiv(g->b, lo, per, ""), end, 1, NULL, 0);
    open_batch(p, l.i);
    LLVMValueRef first = gen_mul(g, l.i, per);
    LLVMValueRef from = LLVMBuildSub(g->b, most(g, lo, first), first, ""), to = LLVMBuildSub(g->b, hi, first, "");
    tiles_of_batch(p, from, least(g, to, per));
    loop_end(g, &l);
}

LLVMValueRef emit_contract(Gen *g, const Step *s)
{
    uint32_t count = 0;
    for (ContractFn *c = g->contracts; c; c = c->next, count++)
        if (same_product(c->step, s)) return c->fn;
    DType t = (DType)s->contract.type, compute = (DType)dtype_info[t].compute;
    Product p = {.g = g, .s = s, .type = t, .compute = compute};
    p.width = MAX_OF(g->machine->vector_bytes / (uint32_t)dtype_bytes(compute), 1);
    gen_function_begin(g, arena_printf(g->arena, "product%u", count), g->kernel_type, true);
    g->dim_arg = LLVMGetParam(g->fn, 1);
    body(&p);
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    ContractFn *c = ARENA_NEW(g->arena, ContractFn);
    *c = (ContractFn){s, g->fn, g->contracts};
    g->contracts = c;
    return g->fn;
}
