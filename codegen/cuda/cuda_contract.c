/* cuda_contract: products as CUDA C: a function for each distinct one, which goes through tiles as its plan says and calls what
 * product_text.c has. Relies on print.h, schedule.h, ir/tree.h. Never calls a library, never decides how a product runs. */
#include "maps.h"

/* ---- which products a program has ------------------------------------------------------------ */

uint32_t cuda_product_of(const Products *all, const Step *step)
{
    uint32_t i = 0;
    while (i < all->len && !step_same_product(all->at[i], step)) i++;
    return i;
}

void cuda_products(Arena *a, const Step *step, uint32_t n, Products *out)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < step[i].nblock; k++) cuda_products(a, step[i].block[k].step, step[i].block[k].n, out);
        if (step[i].kind == STEP_CONTRACT && cuda_product_of(out, &step[i]) == out->len) *VEC_PUSH(a, out) = &step[i];
    }
}

uint32_t cuda_product_operands(const Program *p, const Step *s, uint32_t *buf)
{
    const Step *end = step_end(s);
    const uint32_t n = end ? p->kernel.at[end->kernel].nbuf : 1;
    buf[0] = s->contract.a, buf[1] = s->contract.b, buf[2] = s->contract.c;
    for (uint32_t i = 0; end && i < n; i++) buf[2 + i] = end->buf[i];
    return 2 + n;
}

/* ---- one product ----------------------------------------------------------------------------- */

/* The type in which tiles are counted: dividing 64 bits is a call, around which registers are saved. */
static const char *tile_type(const Print *c, const Step *s, const ProductPlan *plan)
{
    const DimTable *t = &c->p->module->dims;
    int64_t tiles = dim_hi(t, s->contract.m) / plan->rows + 1, across = dim_hi(t, s->contract.n) / plan->columns + 1;
    bool fits = !__builtin_mul_overflow(tiles, across, &tiles);
    for (uint32_t i = 0; i < s->contract.nbatch; i++)
        fits = fits && !__builtin_mul_overflow(tiles, MAX_OF(dim_hi(t, s->contract.batch[i]), 1), &tiles);
    return fits && tiles <= INT32_MAX ? "u32" : "i64"; /* and adding a grid to a tile does not wrap */
}

/* The place along an axis of the batch, for the maps that have it. */
static void print_map_place(Print *c, const OperandMap *map, uint32_t axis, const char *place)
{
    for (uint32_t i = 0; map && i < 2; i++)
        for (uint32_t a = 2; a < map[i].rank; a++)
            if (map[i].batch[a] == axis) cuda_line(c, "bulk.%s_batch[%u] = i32(%s);", i ? "b" : "a", a - 2, place);
}

/* map: NULL, or the maps of both operands. */
static void open_batch(Print *c, const Step *s, const char *t, const OperandMap *map)
{
    cuda_line(c, "i64 left = %s, right = %s;", cuda_dim(c, s->contract.a_base), cuda_dim(c, s->contract.b_base));
    cuda_line(c, "%s batch = tile / (down * across);", t);
    if (s->contract.ended)
        cuda_line(c, "const i64 above = i64(batch) * m;");
    else
        cuda_line(c, "%s *to = c + i64(batch) * m * n;", cuda_memory_type((DType)s->contract.to));
    for (uint32_t i = s->contract.nbatch; i-- > 0;) {
        const char *n = cuda_dim(c, s->contract.batch[i]);
        cuda_line(c, "left += batch %% %s(%s) * %s;", t, n, cuda_dim(c, s->contract.a_batch[i]));
        cuda_line(c, "right += batch %% %s(%s) * %s;", t, n, cuda_dim(c, s->contract.b_batch[i]));
        print_map_place(c, map, i, arena_printf(c->arena, "batch %% %s(%s)", t, n));
        cuda_line(c, "batch /= %s(%s);", t, n);
    }
}

static bool is_empty(const Print *c, const Step *s)
{
    int64_t n;
    bool empty = cuda_dim_const(c->p, s->contract.m, &n) && n == 0;
    empty |= cuda_dim_const(c->p, s->contract.n, &n) && n == 0;
    for (uint32_t i = 0; i < s->contract.nbatch; i++) empty |= cuda_dim_const(c->p, s->contract.batch[i], &n) && n == 0;
    return empty;
}

/* A function that says where an index of this axis lies; name: what it is called. */
static void print_place(Print *c, const char *name, const Strides *d, Dim extent)
{
    const char *t = dim_hi(&c->p->module->dims, extent) < INT32_MAX - 1024 /* and what a tile has beyond it */ ? "u32" : "i64";
    cuda_open(c, "const auto %s = [=](i64 index) -> i64", name);
    if (d->n == 1) {
        cuda_line(c, "return index * %s;", cuda_dim(c, d->stride[0]));
    } else {
        cuda_line(c, "%s rest = %s(index);", t, t);
        cuda_line(c, "i64 at = 0;");
        for (uint32_t i = d->n - 1; i > 0; i--) {
            cuda_line(c, "at += i64(rest %% %s(%s)) * %s;", t, cuda_dim(c, d->extent[i]), cuda_dim(c, d->stride[i]));
            cuda_line(c, "rest /= %s(%s);", t, cuda_dim(c, d->extent[i]));
        }
        cuda_line(c, "return at + i64(rest) * %s;", cuda_dim(c, d->stride[0]));
    }
    c->depth--;
    cuda_line(c, "};");
}

static void print_places(Print *c, const Step *s)
{
    print_place(c, "a_row", &s->contract.a_row, s->contract.m);
    print_place(c, "a_col", &s->contract.a_col, s->contract.k);
    print_place(c, "b_row", &s->contract.b_row, s->contract.k);
    print_place(c, "b_col", &s->contract.b_col, s->contract.n);
}

/* Whether pieces of so many rows (columns) lie side by side, at multiples of their size from where the operand begins. */
static bool has_pieces(const Print *c, const Strides *outer, const Strides *inner, Dim extent, int64_t piece)
{
    int64_t n;
    if (!cuda_dim_const(c->p, extent, &n) || n % piece != 0) return false;
    if (!cuda_dim_const(c->p, strides_last(outer), &n) || n != 1) return false;
    for (uint32_t i = 0; i < outer->n; i++) {
        if (i > 0 && (!cuda_dim_const(c->p, outer->extent[i], &n) || n % piece != 0)) return false;
        if (i + 1 < outer->n && (!cuda_dim_const(c->p, outer->stride[i], &n) || n % piece != 0)) return false;
    }
    for (uint32_t i = 0; i < inner->n; i++)
        if (!cuda_dim_const(c->p, inner->stride[i], &n) || n % piece != 0) return false;
    return true;
}

static const char *is_wide(Print *c, bool pieces, const char *at, size_t bytes)
{
    return pieces ? arena_printf(c->arena, "u64(%s) %% %zu == 0", at, bytes) : "false";
}

/* A function of the place of an element of the product in its matrix, and the element: the kernel in the product's place. */
static void print_end(Print *c, const Step *s)
{
    const Step *end = step_end(s);
    const char *type = cuda_memory_type((DType)s->contract.to);
    if (!end) {
        cuda_line(c, "const auto end = [](i64, i64, %s) {};", type);
        return;
    }
    const Kernel *k = c->k = &c->p->kernel.at[end->kernel];
    const uint32_t last = k->naxis - 1;
    c->shape = (CudaShape){.block = CUDA_BLOCK, .team = 1, .wide = 1};
    c->given = s->contract.product + 1;
    cuda_open(c, "const auto end = [=](i64 row, i64 column, %s x)", type);
    if (last > 1) cuda_line(c, "i64 rest = above + row;");
    for (uint32_t a = last; a > 1; a--) {
        const char *extent = cuda_dim(c, k->extent[a - 1]);
        if (cuda_uses_axis(k, a - 1)) cuda_line(c, "const i64 i%u = rest %% %s;", a - 1, extent);
        cuda_line(c, "rest /= %s;", extent);
    }
    if (last == 0)
        cuda_line(c, "const i64 i0 = (above + row) * n + column;");
    else if (cuda_uses_axis(k, 0))
        cuda_line(c, last > 1 ? "const i64 i0 = rest;" : "const i64 i0 = above + row;");
    if (last > 0 && cuda_uses_axis(k, last)) cuda_line(c, "const i64 i%u = column;", last);
    cuda_instrs(c, &k->stage[0], false);
    cuda_stores(c, &k->stage[0]);
    c->given = 0;
    c->depth--;
    cuda_line(c, "};");
}

static const char *move_of(Print *c, const Step *s)
{
    const DType t = (DType)s->contract.type;
    return narrow_fns[t].widen ? arena_printf(c->arena, "Io_%s", dtype_info[t].name)
                               : arena_printf(c->arena, "Io<%s, %s>", cuda_memory_type(t), cuda_type((DType)s->contract.to));
}

/* Where the result goes; a product that a kernel ends has none of its own. */
static const char *to_of(Print *c, const Step *s)
{
    return s->contract.ended ? arena_printf(c->arena, "(%s *)0", cuda_memory_type((DType)s->contract.to)) : "to";
}

/* Whether the result's rows are stored in pieces of so many elements. */
static const char *stores_wide(Print *c, const Step *s, int64_t piece)
{
    const Strides side_by_side = strides_one(1), rows = strides_one(0);
    const size_t bytes = (size_t)piece * dtype_bytes((DType)s->contract.to);
    if (s->contract.ended) return "false";
    return is_wide(c, has_pieces(c, &side_by_side, &rows, s->contract.n, piece), "to", bytes);
}

static uint32_t levels_of(const Print *c, const Step *s)
{
    const int64_t most = dim_hi(&c->p->module->dims, s->contract.k);
    return most <= TREE_RUN ? 0 : tree_levels(tree_blocks(most, TREE_RUN));
}

static void print_fma(Print *c, const Step *s, const ProductPlan *plan)
{
    const DType to = (DType)s->contract.to;
    const int64_t piece = 16 / (int64_t)dtype_bytes((DType)dtype_info[to].compute);
    const bool as_is = s->contract.type == dtype_info[to].compute; /* what is converted comes one by one */
    cuda_line(c, "product<%s, %s, %u, %u, %u, %u, %u, %u, %d, %d, %u, %d, %d, %d>(", cuda_type(to), move_of(c, s), plan->rows,
        plan->columns, plan->down, plan->across, plan->deep, plan->stages, TREE_PRODUCT, TREE_RUN, levels_of(c, s),
        s->contract.a_col.n > 1, s->contract.b_row.n > 1, s->contract.ended);
    cuda_line(c, "    tile_a[0].at, tile_b[0].at, inner, a + left, b + right, %s, row, column, m, n, k,", to_of(c, s));
    cuda_line(c, "    %s == 1, %s == 1, %s, %s, %s,", cuda_dim(c, strides_last(&s->contract.a_col)),
        cuda_dim(c, strides_last(&s->contract.b_row)),
        is_wide(c, as_is && has_pieces(c, &s->contract.a_row, &s->contract.a_col, s->contract.m, piece), "a + left", 16),
        is_wide(c, as_is && has_pieces(c, &s->contract.b_col, &s->contract.b_row, s->contract.n, piece), "b + right", 16),
        stores_wide(c, s, MIN_OF(piece, (int64_t)plan->across)));
    cuda_line(c, "    a_row, a_col, b_row, b_col, end);");
}

static const char *lines_wide(
    Print *c, const Strides *outer, const Strides *inner, Dim extent, Dim k, int64_t piece, const char *at)
{
    const bool along = product_along_k(c->p, outer, inner);
    return is_wide(c, along ? has_pieces(c, inner, outer, k, piece) : has_pieces(c, outer, inner, extent, piece), at, 16);
}

static const char *lines_of(
    Print *c, const Step *s, const ProductPlan *plan, uint32_t width, const Strides *outer, const Strides *inner)
{
    return arena_printf(c->arena, "Lines<%s, %u, %u, %d, %d>", cuda_memory_type((DType)s->contract.to), width, plan->deep,
        product_along_k(c->p, outer, inner), inner->n > 1);
}

/* What adds a step to a warp's sums. */
static const char *unit_of(Print *c, const Step *s, const ProductPlan *plan)
{
    const DType t = (DType)s->contract.to;
    if (plan->kind == PRODUCT_WGMMA) return arena_printf(c->arena, "Group<%u, %s>", plan->columns, t == DT_bf16 ? "true" : "false");
    return t == DT_f32 ? "ByWarp<MmaTf32>" : t == DT_bf16 ? "ByWarp<MmaBf16>" : "ByWarp<MmaF16>";
}

static void print_mma(Print *c, const Step *s, const ProductPlan *plan, bool bulk)
{
    const Strides *const a[] = {&s->contract.a_row, &s->contract.a_col}, *const b[] = {&s->contract.b_col, &s->contract.b_row};
    cuda_line(c, bulk ? "bulk.row = i32(row), bulk.column = i32(column);" : "NoBulk bulk;");
    const int64_t piece = 16 / (int64_t)dtype_bytes((DType)s->contract.to);
    cuda_line(c, "product_mma<%d, %s, %s, %u, %u, %u, %u, %u, %u, %d, %d, %u,", s->contract.ended, unit_of(c, s, plan),
        move_of(c, s), plan->rows, plan->columns, plan->down, plan->across, plan->deep, plan->stages, TREE_PRODUCT, TREE_RUN,
        levels_of(c, s));
    cuda_line(c, "    %s, %s>(", lines_of(c, s, plan, plan->rows, a[0], a[1]), lines_of(c, s, plan, plan->columns, b[0], b[1]));
    cuda_line(c, "    tile_a[0].at, tile_b[0].at, a + left, b + right, %s, row, column, m, n, k,", to_of(c, s));
    cuda_line(c, "    %s, %s, %s,", lines_wide(c, a[0], a[1], s->contract.m, s->contract.k, piece, "a + left"),
        lines_wide(c, b[0], b[1], s->contract.n, s->contract.k, piece, "b + right"), stores_wide(c, s, 2));
    cuda_line(c, "    a_row, a_col, b_row, b_col, end, bulk);");
}

/* Steps of both operands. Of FMA, lines end in a piece of nothing, so that a warp's accesses meet all banks. */
static void print_shared(Print *c, const Step *s, const ProductPlan *plan)
{
    const bool mma = plan->kind != PRODUCT_FMA;
    const DType t = (DType)(mma ? s->contract.to : dtype_info[s->contract.to].compute);
    const char *type = mma ? cuda_memory_type(t) : cuda_type(t);
    const uint32_t piece = 16 / (uint32_t)dtype_bytes(t);
    const uint32_t lines = plan->stages * plan->deep, more = mma ? 0 : 1;
    if (product_shared(plan) != 0) { /* no padding between lines */
        cuda_line(c, "KILN_SHARED(%u);", product_shared(plan));
        cuda_line(c, "Pack<u16, 8> *const tile_a = (Pack<u16, 8> *)kiln_shared, *const tile_b = tile_a + %u;",
            lines * (plan->rows / piece));
        return;
    }
    cuda_line(c, "%s__shared__ Pack<%s, %u> tile_a[%u], tile_b[%u];", plan->kind == PRODUCT_WGMMA ? "alignas(1024) " : "", type,
        piece, lines * (plan->rows / piece + more), lines * (plan->columns / piece + more));
    if (!mma) cuda_line(c, "__shared__ i64 inner[%d][%d];", 2 * plan->stages, plan->deep);
}

/* Barriers of bulk copies, and what they know of the operands. */
static void print_bulk(Print *c, const ProductPlan *plan, const OperandMap map[2])
{
    if (product_shared(plan) != 0) /* no shared memory of another kind, which could move the steps from where lines may begin */
        cuda_line(c, "u64 *const full = (u64 *)(kiln_shared + %u);", product_steps(plan));
    else
        cuda_line(c, "__shared__ u64 full[%u];", plan->stages);
    cuda_line(c, "Bulk<%u, %u> bulk = {};", map[0].rank, map[1].rank);
    cuda_line(c, "bulk.template open<%u, %d>(%s, full);", plan->stages, c->table, c->table ? "maps" : "&maps");
}

void cuda_product_body(Print *c, const Step *s)
{
    if (is_empty(c, s)) return;
    const ProductPlan *plan = product_plan(c->p, s, c->sm);
    OperandMap map[2];
    const bool bulk = product_maps(c->p, s, plan, map);
    const char *batches = "1ll", *tile = tile_type(c, s, plan);
    for (uint32_t i = 0; i < s->contract.nbatch; i++)
        batches = arena_printf(c->arena, "%s * %s", batches, cuda_dim(c, s->contract.batch[i]));
    print_shared(c, s, plan);
    if (bulk) print_bulk(c, plan, map);
    cuda_line(
        c, "const i64 m = %s, n = %s, k = %s;", cuda_dim(c, s->contract.m), cuda_dim(c, s->contract.n), cuda_dim(c, s->contract.k));
    cuda_line(c, "const %s down = %s((m + %d) / %d), across = %s((n + %d) / %d), tiles = %s(%s) * down * across;", tile, tile,
        plan->rows - 1, plan->rows, tile, plan->columns - 1, plan->columns, tile, batches);
    cuda_open(c, "for (%s tile = blockIdx.x; tile < tiles; tile += gridDim.x)", tile);
    open_batch(c, s, tile, bulk ? map : NULL);
    cuda_line(c, "const %s band = tile %% (down * across) / (%d * across) * %d, high = down - band < %d ? down - band : %d;", tile,
        PRODUCT_BAND, PRODUCT_BAND, PRODUCT_BAND, PRODUCT_BAND);
    cuda_line(c, "const %s at = tile %% (down * across) - band * across;", tile);
    cuda_line(c, "const i64 row = i64(band + at %% high) * %d, column = i64(at / high) * %d;", plan->rows, plan->columns);
    print_places(c, s);
    print_end(c, s);
    if (plan->kind == PRODUCT_FMA)
        print_fma(c, s, plan);
    else
        print_mma(c, s, plan, bulk);
    cuda_close(c);
}

void cuda_products_prelude(const Print *c, const Products *all)
{
    bool mma = false, group = false, used[2][CUDA_GROUP_COLUMNS + 1] = {0};
    for (uint32_t i = 0; i < all->len; i++) {
        const ProductPlan *plan = product_plan(c->p, all->at[i], c->sm);
        mma |= plan->kind != PRODUCT_FMA;
        if (plan->kind != PRODUCT_WGMMA) continue;
        group = used[all->at[i]->contract.to == DT_bf16][plan->columns] = true;
    }
    if (all->len > 0) text_printf(c->out, "%s%s", cuda_product_prelude, mma ? cuda_mma_prelude : "");
    if (group) cuda_wgmma_prelude(c->out, used, products_maps(c->p, all, c->sm));
}
