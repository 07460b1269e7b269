/* cuda_contract: products as CUDA C. A block makes a tile of CUDA_TILE rows and columns, a thread 4 x 4 elements of it, each in the
 * order of docs/numerics.md, so that tiles change no bit. Relies on print.h, ir/tree.h. Never calls a library. */
#include "print.h"

/* M is the type in memory, C that in registers; Io converts between them (for narrow floats: cuda_scalar.c). Strides are in
 * elements. A warp's loads follow k (a_along, b_along) where a row of a, or a column of b, is contiguous there. */
/* clang-format off */
const char cuda_product_prelude[] =
    "template <typename M, typename C> struct Io {\n"
    "    static KILN_DEVICE C in(M x) { return x; }\n"
    "    static KILN_DEVICE C out(C x) { return x; }\n"
    "};\n"
    "KILN_DEVICE f32 mad(f32 x, f32 y, f32 z) { return __fmaf_rn(x, y, z); }\n"
    "KILN_DEVICE f64 mad(f64 x, f64 y, f64 z) { return __fma_rn(x, y, z); }\n"
    "#define KILN_MAD(T, W) KILN_DEVICE T mad(T x, T y, T z) { return T(W(x) * W(y) + W(z)); }\n"
    "KILN_MAD(i32, u32) KILN_MAD(i64, u64) KILN_MAD(u32, u32) KILN_MAD(u64, u64)\n"
    "\n"
    "#define KILN_TILE for (u32 i = 0; i < 4; i++) for (u32 j = 0; j < 4; j++)\n"
    "/* Few levels stay in registers: every index is a number. */\n"
    "#define KILN_LEVELS _Pragma(\"unroll (LEVELS * sizeof(C) <= 16 ? LEVELS + 1 : 1)\") for (u32 at = 0; at < LEVELS; at++)\n"
    "/* CHAIN and RUN: of k (ir/tree.h); LEVELS: of the counter of runs, 0: there is one run. Adding\n"
    "   is mad with 1, which wraps integers. a_row, a_col, b_row and b_col say where an index lies. Those of rows and columns are\n"
    "   asked once in a tile; those of k, if they have digits to be divided by (A, B), once in a step, for the whole block (PLACES). */\n"
    "#define KILN_PLACES(from)                                                                        \\\n"
    "    if (A && me < 16) place[0][me] = a_col((from) + me);                                          \\\n"
    "    if (B && me >= 32 && me < 48) place[1][me - 32] = b_row((from) + me - 32)\n"
    "template <typename C, typename Move, int CHAIN, int RUN, int LEVELS, bool A, bool B, typename M, typename R,\n"
    "          typename ARow, typename ACol, typename BRow, typename BCol>\n"
    "KILN_DEVICE void product(const M *a, const M *b, R *c, C (*left)[65], C (*right)[65], i64 (*place)[16],\n"
    "                         i64 row, i64 column, i64 m, i64 n, i64 k, bool a_along, bool b_along,\n"
    "                         ARow a_row, ACol a_col, BRow b_row, BCol b_col)\n"
    "{\n"
    "    const u32 me = threadIdx.x, x = me % 16u, y = me / 16u;\n"
    "    C chain[4][4], total[4][4], level[LEVELS > 0 ? LEVELS : 1][4][4];\n"
    "    i64 down[4], across[4];\n"
    "    KILN_TILE chain[i][j] = total[i][j] = C(0);\n"
    "    for (u32 e = 0; e < 4; e++) {\n"
    "        down[e] = a_row(row + (a_along ? me / 16u + 16u * e : me % 64u));\n"
    "        across[e] = b_col(column + (b_along ? me / 16u + 16u * e : me % 64u));\n"
    "    }\n"
    "    if ((A || B) && k > 0) {\n"
    "        KILN_PLACES(0);\n"
    "        __syncthreads();\n"
    "    }\n"
    "    for (i64 first = 0; first < k; first += 16) {\n"
    "        for (u32 e = 0; e < 4; e++) {\n"
    "            const u32 ka = a_along ? me % 16u : me / 64u + 4u * e;\n"
    "            const u32 ia = a_along ? me / 16u + 16u * e : me % 64u;\n"
    "            const u32 kb = b_along ? me % 16u : me / 64u + 4u * e;\n"
    "            const u32 jb = b_along ? me / 16u + 16u * e : me % 64u;\n"
    "            const M *from_a = a + down[e] + (A ? place[0][ka] : a_col(first + ka));\n"
    "            const M *from_b = b + across[e] + (B ? place[1][kb] : b_row(first + kb));\n"
    "            left[ka][ia] = row + ia < m && first + ka < k ? Move::in(*from_a) : C(0);\n"
    "            right[kb][jb] = column + jb < n && first + kb < k ? Move::in(*from_b) : C(0);\n"
    "        }\n"
    "        __syncthreads();\n"
    "        KILN_PLACES(first + 16);\n"
    "        const u32 count = k - first < 16 ? u32(k - first) : 16u;\n"
    "        for (u32 l = 0; l < count; l++) {\n"
    "            C p[4], q[4];\n"
    "            for (u32 i = 0; i < 4; i++) p[i] = left[l][y + 16 * i];\n"
    "            for (u32 j = 0; j < 4; j++) q[j] = right[l][x + 16 * j];\n"
    "            for (u32 i = 0; i < 4; i++)\n"
    "                for (u32 j = 0; j < 4; j++) chain[i][j] = mad(p[i], q[j], chain[i][j]);\n"
    "        }\n"
    "        __syncthreads();\n"
    "        const bool last = first + 16 >= k;\n"
    "        if (!last && (first + 16) % CHAIN != 0) continue;\n"
    "        KILN_TILE total[i][j] = mad(C(1), chain[i][j], total[i][j]), chain[i][j] = C(0);\n"
    "        if (LEVELS == 0 || (!last && (first + 16) % RUN != 0)) continue;\n"
    "        bool rises = true;\n"
    "        KILN_LEVELS {\n"
    "            const bool full = (first / RUN >> at) % 2 != 0;\n"
    "            if (rises && full) KILN_TILE total[i][j] = mad(C(1), total[i][j], level[at][i][j]);\n"
    "            if (rises && !full) KILN_TILE level[at][i][j] = total[i][j], total[i][j] = C(0);\n"
    "            rises = rises && full;\n"
    "        }\n"
    "    }\n"
    "    bool any = false;\n"
    "    const i64 runs = (k + RUN - 1) / RUN;\n"
    "    KILN_LEVELS {\n"
    "        if ((runs >> at) % 2 == 0) continue;\n"
    "        KILN_TILE total[i][j] = any ? mad(C(1), total[i][j], level[at][i][j]) : level[at][i][j];\n"
    "        any = true;\n"
    "    }\n"
    "    for (u32 i = 0; i < 4; i++)\n"
    "        for (u32 j = 0; j < 4; j++)\n"
    "            if (row + y + 16 * i < m && column + x + 16 * j < n)\n"
    "                c[(row + y + 16 * i) * n + column + x + 16 * j] = Move::out(total[i][j]);\n"
    "}\n\n";
/* clang-format on */

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

/* ---- one product ----------------------------------------------------------------------------- */

/* The type in which tiles are counted: dividing 64 bits is a call, around which registers are saved. */
static const char *tile_type(const Print *c, const Step *s)
{
    const DimTable *t = &c->p->module->dims;
    int64_t tiles = (dim_hi(t, s->contract.m) / CUDA_TILE + 1), across = dim_hi(t, s->contract.n) / CUDA_TILE + 1;
    bool fits = !__builtin_mul_overflow(tiles, across, &tiles);
    for (uint32_t i = 0; i < s->contract.nbatch; i++)
        fits = fits && !__builtin_mul_overflow(tiles, MAX_OF(dim_hi(t, s->contract.batch[i]), 1), &tiles);
    return fits && tiles <= INT32_MAX ? "u32" : "i64"; /* and adding a grid to a tile does not wrap */
}

static void open_batch(Print *c, const Step *s, const char *t)
{
    cuda_line(c, "i64 left = %s, right = %s;", cuda_dim(c, s->contract.a_base), cuda_dim(c, s->contract.b_base));
    cuda_line(c, "%s batch = tile / (down * across);", t);
    cuda_line(c, "%s *to = c + i64(batch) * m * n;", cuda_memory_type((DType)s->contract.to));
    for (uint32_t i = s->contract.nbatch; i-- > 0;) {
        const char *n = cuda_dim(c, s->contract.batch[i]);
        cuda_line(c, "left += batch %% %s(%s) * %s;", t, n, cuda_dim(c, s->contract.a_batch[i]));
        cuda_line(c, "right += batch %% %s(%s) * %s;", t, n, cuda_dim(c, s->contract.b_batch[i]));
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
    const char *t = dim_hi(&c->p->module->dims, extent) < INT32_MAX - 2 * CUDA_TILE ? "u32" : "i64";
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

void cuda_product_body(Print *c, const Step *s)
{
    if (is_empty(c, s)) return;
    DType t = (DType)s->contract.type;
    const char *memory = cuda_memory_type(t), *compute = cuda_type((DType)s->contract.to), *batches = "1ll";
    const char *move = narrow_fns[t].widen ? arena_printf(c->arena, "Io_%s", dtype_info[t].name)
                                           : arena_printf(c->arena, "Io<%s, %s>", memory, compute);
    for (uint32_t i = 0; i < s->contract.nbatch; i++)
        batches = arena_printf(c->arena, "%s * %s", batches, cuda_dim(c, s->contract.batch[i]));
    const bool a_digits = s->contract.a_col.n > 1, b_digits = s->contract.b_row.n > 1;
    cuda_line(c, "__shared__ %s tile_a[16][65], tile_b[16][65];", compute);
    cuda_line(c, "__shared__ i64 place[2][16];");
    cuda_line(
        c, "const i64 m = %s, n = %s, k = %s;", cuda_dim(c, s->contract.m), cuda_dim(c, s->contract.n), cuda_dim(c, s->contract.k));
    const char *tile = tile_type(c, s);
    cuda_line(c, "const %s down = %s((m + %d) / %d), across = %s((n + %d) / %d), tiles = %s(%s) * down * across;", tile, tile,
        CUDA_TILE - 1, CUDA_TILE, tile, CUDA_TILE - 1, CUDA_TILE, tile, batches);
    cuda_open(c, "for (%s tile = blockIdx.x; tile < tiles; tile += gridDim.x)", tile);
    open_batch(c, s, tile);
    cuda_line(c, "const i64 row = i64(tile / across %% down) * %d, column = i64(tile %% across) * %d;", CUDA_TILE, CUDA_TILE);
    int64_t most = dim_hi(&c->p->module->dims, s->contract.k);
    uint32_t levels = most <= TREE_RUN ? 0 : tree_levels(tree_blocks(most, TREE_RUN));
    print_places(c, s);
    cuda_line(c, "product<%s, %s, %d, %d, %u, %d, %d>(a + left, b + right, to, tile_a, tile_b, place,", compute, move, TREE_PRODUCT,
        TREE_RUN, levels, a_digits, b_digits);
    cuda_line(c, "    row, column, m, n, k, %s == 1, %s == 1, a_row, a_col, b_row, b_col);",
        cuda_dim(c, strides_last(&s->contract.a_col)), cuda_dim(c, strides_last(&s->contract.b_row)));
    cuda_close(c);
}
