/* emit_tile: the loops that do the work of a product: one chain of a tile in registers, or of a strip of a few rows. Every element
 * takes mad(a, b, chain) for k in order, from 0, and only then adds the chain's total (docs/numerics.md). Relies on gen,
 * emit_scalar. Never calls a library. */
#include "emit_contract.h"

enum { UNROLL = 8, MOST_ROWS = 12, MOST_VECTORS = 2, MOST_CELLS = MOST_ROWS * MOST_VECTORS };

/* Eight accumulators hide the latency of mad, and sixteen load little for each; more are longer code that is little faster. Known
 * rows are cut evenly, and into tiles of one height, if there is a fair one, because each height is emitted by itself. */
TileShape tile_shape(const Machine *machine, DType t, int64_t m, int64_t n)
{
    static const uint8_t heights[] = {8, 10, 12, 9, 11, 7, 6, 5, 4};
    uint32_t size = (uint32_t)dtype_bytes(t), bytes = machine->tile_bytes;
    while (n >= 0 && bytes > 16 && n * size <= bytes / 2) bytes /= 2;
    const uint32_t width = bytes / size, vectors = n >= 0 && n <= width ? 1 : MOST_VECTORS;
    const uint32_t fit = MIN_OF((machine->registers - 4) / vectors, (uint32_t)MOST_ROWS), rows = MIN_OF(fit, 8u);
    TileShape x = {width, vectors, rows, -1, -1};
    if (m < 0) return x;
    if (m > 0 && m <= fit) return (TileShape){width, vectors, (uint32_t)m, 1, 1};
    for (size_t i = 0; i < COUNT_OF(heights); i++)
        if (heights[i] <= fit && m % heights[i] == 0)
            return (TileShape){width, vectors, heights[i], m / heights[i], m / heights[i]};
    x.tiles = (m + rows - 1) / rows;
    x.rows = (uint32_t)((m + x.tiles - 1) / x.tiles);
    x.high = m - x.tiles * ((int64_t)x.rows - 1);
    return x;
}

LLVMValueRef tile_value(Gen *g, DType t, LLVMValueRef v)
{
    if (dtype_is_float(t) || t == tile_compute(t)) return emit_from_memory(g, t, v);
    return LLVMBuildIntCast2(g->b, v, gen_lanes(g->i32, gen_lanes_of(v)), dtype_info[t].kind == DK_INT, "");
}

LLVMValueRef tile_load(Gen *g, DType t, LLVMValueRef at, uint32_t width)
{
    LLVMTypeRef type = gen_lanes(gen_mem_type(g, t), width);
    return tile_value(g, t, gen_load(g, type, at, (uint32_t)dtype_bytes(t)));
}

LLVMValueRef tile_load_some(Gen *g, DType t, LLVMValueRef at, uint32_t width, LLVMValueRef mask)
{
    if (!mask) return tile_load(g, t, at, width);
    LLVMTypeRef types[2] = {gen_lanes(gen_type(g, t), width), g->ptr};
    LLVMValueRef align = LLVMConstInt(g->i32, dtype_bytes(t), false);
    return gen_intrinsic(g, "llvm.masked.load", types, 2, (LLVMValueRef[]){at, align, mask, LLVMConstNull(types[0])}, 4);
}

void tile_store_some(Gen *g, DType t, LLVMValueRef v, LLVMValueRef at, LLVMValueRef mask)
{
    if (!mask) {
        gen_store(g, v, at, (uint32_t)dtype_bytes(t));
        return;
    }
    LLVMTypeRef types[2] = {LLVMTypeOf(v), g->ptr};
    LLVMValueRef align = LLVMConstInt(g->i32, dtype_bytes(t), false);
    gen_intrinsic(g, "llvm.masked.store", types, 2, (LLVMValueRef[]){v, at, align, mask}, 4);
}

static LLVMValueRef add(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b) { return emit_prim(g, P_add, t, t, a, b, NULL); }

static LLVMValueRef mad(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (dtype_is_float(t)) return emit_prim(g, P_mad, t, t, a, b, c);
    return add(g, t, LLVMBuildMul(g->b, a, b, ""), c);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

void tile_chain(Gen *g, const Tile *x)
{
    const LLVMTypeRef vector = gen_lanes(gen_type(g, x->t), x->width);
    const uint32_t w = x->width, cells = x->rows * x->vectors, last = x->vectors - 1;
    LLVMValueRef acc[MOST_CELLS + 2], b[MOST_VECTORS], row = x->c;
    LLVMValueRef mask[MOST_VECTORS] = {NULL};
    for (uint32_t v = x->vectors - x->parts; v < x->vectors; v++) mask[v] = gen_lanes_left(g, w, gen_i64(g, (int64_t)v * w), x->n);
    Loop l;
    for (uint32_t i = 0; i < cells; i++) acc[i] = LLVMConstNull(vector);
    acc[cells] = x->a;
    acc[cells + 1] = x->b;
    loop_begin(g, &l, gen_i64(g, 0), x->k, 1, acc, cells + 2);
    for (uint32_t v = 0; v <= last; v++)
        b[v] = tile_load_some(g, x->t, element_at(g, x->t, acc[cells + 1], gen_i64(g, (int64_t)v * w)), w, mask[v]);
    for (uint32_t r = 0; r < x->rows; r++) {
        LLVMValueRef at = element_at(g, x->t, acc[cells], gen_mul(g, gen_i64(g, r), x->a_row)),
                     a = gen_splat(g, tile_load(g, x->t, at, 1), w);
        for (uint32_t v = 0; v <= last; v++) acc[r * x->vectors + v] = mad(g, x->t, a, b[v], acc[r * x->vectors + v]);
    }
    acc[cells] = element_at(g, x->t, acc[cells], x->a_col);
    acc[cells + 1] = element_at(g, x->t, acc[cells + 1], x->b_row);
    loop_end(g, &l);
    for (uint32_t r = 0; r < x->rows; r++) {
        for (uint32_t v = 0; v <= last; v++) {
            LLVMValueRef at = element_at(g, x->t, row, gen_i64(g, (int64_t)v * w));
            LLVMValueRef sum = x->adds ? tile_load_some(g, x->t, at, w, mask[v]) : LLVMConstNull(vector);
            tile_store_some(g, x->t, add(g, x->t, sum, acc[r * x->vectors + v]), at, mask[v]);
        }
        row = element_at(g, x->t, row, x->c_row);
    }
}

/* ---- strips ---------------------------------------------------------------------------------- */

typedef struct Slice { /* some rows of b, and what they are multiplied with */
    LLVMValueRef a[MOST_STRIP][UNROLL], splat[MOST_STRIP][UNROLL], b[UNROLL];
    uint32_t count;
} Slice;

static LLVMValueRef strip_room(Gen *g, const Strip *x, uint32_t row, LLVMValueRef column)
{
    return element_at(g, tile_compute(x->t), x->room, gen_add(g, gen_i64(g, (int64_t)row * STRIP), column));
}

/* The chains of columns from .. to - 1, so many at a time. */
static void strip_columns(Gen *g, const Strip *x, const Slice *s, LLVMValueRef from, LLVMValueRef to, uint32_t width, bool part)
{
    const DType compute = tile_compute(x->t);
    LLVMValueRef b[UNROLL];
    Loop l;
    if (loop_turns(from, to, width) == 0) return;
    loop_begin(g, &l, from, to, width, NULL, 0);
    LLVMValueRef mask = part ? gen_lanes_left(g, width, l.i, to) : NULL;
    for (uint32_t u = 0; u < s->count; u++) b[u] = tile_load_some(g, x->t, element_at(g, x->t, s->b[u], l.i), width, mask);
    for (uint32_t r = 0; r < x->rows; r++) {
        LLVMValueRef v = tile_load(g, compute, strip_room(g, x, r, l.i), width);
        for (uint32_t u = 0; u < s->count; u++) v = mad(g, compute, width == 1 ? s->a[r][u] : s->splat[r][u], b[u], v);
        gen_store(g, v, strip_room(g, x, r, l.i), (uint32_t)dtype_bytes(compute));
    }
    loop_end(g, &l);
}

/* The chains take rows from .. to - 1 of b, so many at a time. */
static void strip_slices(Gen *g, const Strip *x, LLVMValueRef from, LLVMValueRef to, uint32_t count)
{
    const LLVMValueRef zero = gen_i64(g, 0), whole = gen_whole_steps(g, zero, x->n, x->width);
    const bool part = g->machine->masked && dtype_bytes(x->t) >= 4;
    Slice s = {.count = count};
    Loop l;
    if (loop_turns(from, to, count) == 0) return;
    loop_begin(g, &l, from, to, count, NULL, 0);
    for (uint32_t u = 0; u < count; u++) {
        LLVMValueRef k = gen_add(g, l.i, gen_i64(g, u));
        for (uint32_t r = 0; r < x->rows; r++) {
            LLVMValueRef row = gen_add(g, x->row_at, gen_i64(g, r)),
                         at = cell_at(g, &x->a_row, row, &x->a_col, gen_add(g, x->k_at, k));
            s.a[r][u] = tile_load(g, x->t, element_at(g, x->t, x->a, at), 1);
            s.splat[r][u] = gen_splat(g, s.a[r][u], x->width);
        }
        s.b[u] = element_at(g, x->t, x->b, gen_mul(g, k, x->b_row));
    }
    strip_columns(g, x, &s, zero, whole, x->width, false);
    strip_columns(g, x, &s, whole, x->n, part ? x->width : 1, part);
    loop_end(g, &l);
}

static void strip_add(Gen *g, const Strip *x, LLVMValueRef from, LLVMValueRef to, uint32_t width)
{
    const DType compute = tile_compute(x->t);
    Loop l;
    if (loop_turns(from, to, width) == 0) return;
    loop_begin(g, &l, from, to, width, NULL, 0);
    for (uint32_t r = 0; r < x->rows; r++) {
        LLVMValueRef at = element_at(g, compute, x->c, gen_add(g, gen_mul(g, gen_i64(g, r), x->c_row), l.i));
        LLVMValueRef total = tile_load(g, compute, strip_room(g, x, r, l.i), width);
        gen_store(g, add(g, compute, tile_load(g, compute, at, width), total), at, (uint32_t)dtype_bytes(compute));
    }
    loop_end(g, &l);
}

void strip_chain(Gen *g, const Strip *x)
{
    const LLVMValueRef zero = gen_i64(g, 0), columns = gen_whole_steps(g, zero, x->n, x->width);
    uint32_t count = UNROLL; /* so that the elements of a stay in registers */
    while (count > 1 && x->rows > 1 && (x->rows + 1) * count + x->rows > g->machine->registers - 2) count /= 2;
    const LLVMValueRef slices = gen_whole_steps(g, zero, x->k, count);
    const int64_t bytes = (int64_t)x->rows * STRIP * (int64_t)dtype_bytes(tile_compute(x->t));
    LLVMBuildMemSet(g->b, x->room, LLVMConstNull(g->i8), gen_i64(g, bytes), 64);
    strip_slices(g, x, zero, slices, count);
    strip_slices(g, x, slices, x->k, 1);
    strip_add(g, x, zero, columns, x->width);
    strip_add(g, x, columns, x->n, 1);
}
