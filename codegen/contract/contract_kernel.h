/* contract_kernel: the matrix product of one instruction set and one type, for k of one run (ir/tree.h): c starts at 0 and takes
 * chains of TREE_PRODUCT in order, each the sum in order of mad(a, b, chain) from 0, whatever the tiles. Expanded by
 * contract_TIER.c with
 *   T, SUFFIX              float or double, and what names of functions end with
 *   V, LANES               a vector of T and its length
 *   LOAD STORE SPLAT MADD  on V; MADD has one rounding exactly where ir/scalar.c's has
 *   ROWS                   of a tile, 6 or 14
 * No include guard; undefines those macros but ROWS at the end. Relies on contract_tier.h. */

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(f) JOIN(f, SUFFIX)
#define LONG_ROWS 8    /* packed at a time across panels */
#define PANELS 4         /* packed at a time */
#define WIDE (2 * LANES) /* columns of a tile */
#define HIGH ((ROWS + LANES - 1) / LANES * LANES) /* rows of a packed tile, which are whole vectors */

enum { NAME(lanes_of_) = LANES, NAME(high_of_) = HIGH };

/* ---- tiles -----------------------------------------------------------------------------------
 * c[rows][1 or 2 vectors] (rows c_row apart), or 0 if there is nothing to carry, takes a[rows][k] times b[k][columns] (rows b_row
 * apart), chain after chain. a is a packed tile [k][HIGH], or lies at any strides (FREE): of those, only so many rows that all
 * their addresses have registers. */

#define EACH_1(f) f(0)
#define EACH_2(f) EACH_1(f) f(1)
#define EACH_3(f) EACH_2(f) f(2)
#define EACH_4(f) EACH_3(f) f(3)
#define EACH_5(f) EACH_4(f) f(4)
#define EACH_6(f) EACH_5(f) f(5)
#define EACH_7(f) EACH_6(f) f(6)
#define EACH_8(f) EACH_7(f) f(7)
#define EACH_9(f) EACH_8(f) f(8)
#define EACH_10(f) EACH_9(f) f(9)
#define EACH_11(f) EACH_10(f) f(10)
#define EACH_12(f) EACH_11(f) f(11)
#define EACH_13(f) EACH_12(f) f(12)
#define EACH_14(f) EACH_13(f) f(13)

#define FETCH_1(r)             \
    __builtin_prefetch(to, 1); \
    to += c_row;
#define LOAD_1 const V bl = LOAD(b);
#define BEGIN_1(r) V left##r = SPLAT(0);
#define STEP_1(r) left##r = MADD(SPLAT(a[r * a_row]), bl, left##r);
#define END_1(r)                                                      \
    STORE(to, (carry ? LOAD(to) : SPLAT(0)) + left##r); \
    to += c_row;
#define FETCH_2(r)                     \
    __builtin_prefetch(to, 1);         \
    __builtin_prefetch(to + LANES, 1); \
    to += c_row;
#define LOAD_2 const V bl = LOAD(b), br = LOAD(b + LANES);
#define BEGIN_2(r) V left##r = SPLAT(0), right##r = SPLAT(0);
#define STEP_2(r)                        \
    {                                    \
        const V x = SPLAT(a[r * a_row]); \
        left##r = MADD(x, bl, left##r);   \
        right##r = MADD(x, br, right##r); \
    }
#define END_2(r)                                                            \
    STORE(to, (carry ? LOAD(to) : SPLAT(0)) + left##r);                    \
    STORE(to + LANES, (carry ? LOAD(to + LANES) : SPLAT(0)) + right##r);   \
    to += c_row;

#define TILE_FN(kind, rows, vectors, A_ROW, A_COL)                                                                                \
    static void NAME(kind##rows##x##vectors##_)(int64_t k, const T *a, int64_t row, int64_t col, const T *b, int64_t b_row,       \
        T *c, int64_t c_row, bool carry)                                                                                          \
    {                                                                                                                             \
        const int64_t a_row = A_ROW, a_col = A_COL;                                                                               \
        (void)row, (void)col;                                                                                                     \
        for (; k > 0; k -= TREE_PRODUCT, carry = true) {                                                                          \
            T *to = c;                                                                                                            \
            EACH_##rows(FETCH_##vectors)                                                                                          \
            to = c;                                                                                                               \
            EACH_##rows(BEGIN_##vectors)                                                                                          \
            for (int64_t i = MIN_OF(k, TREE_PRODUCT); i > 0; i--, a += a_col, b += b_row) {                                       \
                LOAD_##vectors EACH_##rows(STEP_##vectors)                                                                        \
            }                                                                                                                     \
            EACH_##rows(END_##vectors)                                                                                            \
        }                                                                                                                         \
    }
#define TILES(rows) TILE_FN(tile, rows, 1, 1, HIGH) TILE_FN(tile, rows, 2, 1, HIGH)
#define FREE_TILES(rows) TILE_FN(free, rows, 1, row, col) TILE_FN(free, rows, 2, row, col)
#define FREE_ROWS 6
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
FREE_TILES(1) FREE_TILES(2) FREE_TILES(3) FREE_TILES(4) FREE_TILES(5) FREE_TILES(6)
#if ROWS > 6
TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12) TILES(13) TILES(14)
#endif

typedef void NAME(Tile_)(int64_t k, const T *a, int64_t row, int64_t col, const T *b, int64_t b_row, T *c, int64_t c_row,
    bool carry);
#define PAIR(kind, rows) {NAME(kind##rows##x1_), NAME(kind##rows##x2_)}
static NAME(Tile_) *const NAME(tile_)[ROWS + 1][2] = {
    {NULL, NULL}, PAIR(tile, 1), PAIR(tile, 2), PAIR(tile, 3), PAIR(tile, 4), PAIR(tile, 5), PAIR(tile, 6),
#if ROWS > 6
    PAIR(tile, 7), PAIR(tile, 8), PAIR(tile, 9), PAIR(tile, 10), PAIR(tile, 11), PAIR(tile, 12), PAIR(tile, 13), PAIR(tile, 14),
#endif
};
static NAME(Tile_) *const NAME(free_)[FREE_ROWS + 1][2] = {
    {NULL, NULL}, PAIR(free, 1), PAIR(free, 2), PAIR(free, 3), PAIR(free, 4), PAIR(free, 5), PAIR(free, 6)};

/* ---- packing ------------------------------------------------------------------------------ */

/* to[k][step], LANES of its columns, of as many rows of k contiguous elements each: small squares turned in registers. */
static void NAME(pack_turned_)(T *to, int64_t step, const T *const *row, int64_t k)
{
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        V square[LANES];
        NAME(turn_)(square, row, p);
        UNROLL
        for (int l = 0; l < LANES; l++) STORE(to + (p + l) * step, square[l]);
    }
    for (; p < k; p++)
        for (int l = 0; l < LANES; l++) to[p * step + l] = row[l][p];
}

/* to[k][WIDE] = b[k][n], n <= WIDE; behind them stand zeros, or b again. From LANES columns on, the last LANES overlap others. */
static void NAME(pack_b_)(void *into, const void *from, int64_t b_row, int64_t b_col, int64_t k, int64_t n)
{
    T *to = into;
    const T *b = from;
    if (b_row == 1 && b_col != 1) {
        for (int64_t j = 0; j < n; j += LANES) {
            const T *row[LANES];
            for (int64_t l = 0; l < LANES; l++) row[l] = b + MIN_OF(j + l, n - 1) * b_col;
            NAME(pack_turned_)(to + j, WIDE, row, k);
        }
    } else if (b_col == 1 && n >= LANES) {
        for (int64_t p = 0; p < k; p++, to += WIDE, b += b_row) {
            const V left = LOAD(b), right = LOAD(b + n - LANES);
            STORE(to + LANES, SPLAT(0));
            STORE(to + n - LANES, right);
            STORE(to, left);
        }
    } else {
        memset(to, 0, (size_t)(k * WIDE) * sizeof(T));
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++) to[p * WIDE + j] = b[p * b_row + j * b_col];
    }
}

/* to[k][HIGH] = a[rows][k], rows <= ROWS; behind them stands nothing that is read. */
static void NAME(pack_a_)(void *into, const void *from, int64_t a_row, int64_t a_col, int64_t rows, int64_t k)
{
    T *to = into;
    const T *a = from;
    if (a_col == 1) {
        for (int64_t i = 0; i < rows; i += LANES) {
            const T *row[LANES];
            for (int64_t l = 0; l < LANES; l++) row[l] = a + MIN_OF(i + l, rows - 1) * a_row;
            NAME(pack_turned_)(to + i, HIGH, row, k);
        }
    } else {
        for (int64_t p = 0; p < k; p++)
            for (int64_t r = 0; r < rows; r++) to[p * HIGH + r] = a[r * a_row + p * a_col];
    }
}

/* ---- panels: rows of c, of at most WIDE columns ----------------------------------------------- */

typedef struct NAME(Panel_) {
    const T *a; /* packed: tile after tile [k][HIGH], of the tile `from` first; else of row 0 */
    int64_t a_row, a_col;
    bool packed;
    const T *b;
    int64_t b_row, k;
    T *c;
    int64_t c_row, m, n;
    int64_t from, to; /* which of the tiles that m rows make */
    bool carry;
} NAME(Panel_);

static void NAME(run_panel_)(const NAME(Panel_) * p)
{
    int64_t most = p->packed ? ROWS : FREE_ROWS, first = tile_first(most, p->m, p->from);
    bool wide = p->n > LANES, whole = p->n == WIDE || p->n == LANES;
    for (int64_t i = p->from; i < p->to; i++) {
        int64_t next = tile_first(most, p->m, i + 1), rows = next - first;
        NAME(Tile_) *tile = (p->packed ? NAME(tile_) : NAME(free_))[rows][wide];
        const T *a = p->packed ? p->a + (i - p->from) * p->k * HIGH : p->a + first * p->a_row;
        T *c = p->c + first * p->c_row;
        first = next;
        if (whole) {
            tile(p->k, a, p->a_row, p->a_col, p->b, p->b_row, c, p->c_row, p->carry);
            continue;
        }
        T part[ROWS * WIDE];
        for (int64_t r = 0; r < rows && p->carry; r++) {
            memset(part + r * WIDE, 0, sizeof(T) * WIDE);
            memcpy(part + r * WIDE, c + r * p->c_row, (size_t)p->n * sizeof(T));
        }
        tile(p->k, a, p->a_row, p->a_col, p->b, p->b_row, part, WIDE, p->carry);
        for (int64_t r = 0; r < rows; r++) memcpy(c + r * p->c_row, part + r * WIDE, (size_t)p->n * sizeof(T));
    }
}

/* Columns of c from packed operands: slab after slab of k. */
static void NAME(cell_)(const Cell *g)
{
    int64_t tiles = tile_count(ROWS, g->m), panels = (g->n + WIDE - 1) / WIDE;
    for (int64_t k0 = 0; k0 < g->k; k0 += SLAB) {
        int64_t k = MIN_OF(g->k - k0, SLAB);
        NAME(Panel_)
        p = {.a = (const T *)g->a + k0 * tiles * HIGH + g->tile * k * HIGH,
            .packed = true,
            .b_row = WIDE,
            .k = k,
            .c_row = g->c_row,
            .m = g->m,
            .from = g->tile,
            .to = g->tile_end,
            .carry = g->carry || k0 > 0};
        for (int64_t j = g->panel; j < g->panel_end; j++) {
            p.b = (const T *)g->b + k0 * panels * WIDE + j * k * WIDE;
            p.c = (T *)g->c + j * WIDE;
            p.n = MIN_OF(g->n - j * WIDE, WIDE);
            NAME(run_panel_)(&p);
        }
    }
}

/* ---- blocks, packed on the way where that pays ------------------------------------------------- */

/* Packs panels of one chain, side by side: of rows that lie far apart some at a time, so that each is read in a long line. */
static void NAME(pack_panels_)(T *to, const T *b, const Block *g, int64_t k, int64_t n)
{
    int64_t step = g->b_col == 1 ? LONG_ROWS : k;
    for (int64_t p = 0; p < k; p += step)
        for (int64_t j = 0; j < n; j += WIDE)
            NAME(pack_b_)(to + j * TREE_PRODUCT + p * WIDE, b + p * g->b_row + j * g->b_col, g->b_row, g->b_col,
                MIN_OF(k - p, step), MIN_OF(n - j, WIDE));
}

/* Rows of c from a chain of a, packed or not, and all of b's columns. */
static void NAME(chain_)(const Block *g, NAME(Panel_) * p, const T *b, T *packed)
{
    bool far = p->k * g->b_row * (int64_t)sizeof(T) > FAR_BYTES;
    for (int64_t j = 0; j < g->n; j += PANELS * WIDE) {
        int64_t n = MIN_OF(g->n - j, PANELS * WIDE), whole = g->b_col != 1 || far ? 0 : n / WIDE * WIDE;
        if (n > whole) NAME(pack_panels_)(packed + whole * TREE_PRODUCT, b + (j + whole) * g->b_col, g, p->k, n - whole);
        for (int64_t i = 0; i < n; i += WIDE) {
            p->n = MIN_OF(n - i, WIDE);
            p->c = (T *)g->c + j + i;
            p->b = i < whole ? b + j + i : packed + i * TREE_PRODUCT;
            p->b_row = i < whole ? g->b_row : WIDE;
            NAME(run_panel_)(p);
        }
    }
}

static void NAME(block_)(const Block *g)
{
    _Alignas(64) T packed_a[BLOCK_ROWS / ROWS * HIGH * TREE_PRODUCT], packed_b[PANELS * WIDE * TREE_PRODUCT];
    bool packed = g->n > 2 * WIDE;
    int64_t most = packed ? ROWS : FREE_ROWS, tiles = tile_count(most, g->m);
    for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT) {
        int64_t k = MIN_OF(g->k - k0, TREE_PRODUCT);
        const T *a = (const T *)g->a + k0 * g->a_col;
        for (int64_t i = 0; i < tiles && packed; i++) {
            int64_t first = tile_first(most, g->m, i), rows = tile_first(most, g->m, i + 1) - first;
            NAME(pack_a_)(packed_a + i * k * HIGH, a + first * g->a_row, g->a_row, g->a_col, rows, k);
        }
        NAME(Panel_)
        p = {.a = packed ? packed_a : a,
            .a_row = g->a_row,
            .a_col = g->a_col,
            .packed = packed,
            .k = k,
            .m = g->m,
            .c_row = g->c_row,
            .to = tiles,
            .carry = k0 > 0};
        NAME(chain_)(g, &p, (const T *)g->b + k0 * g->b_row, packed_b);
    }
}

#include "contract_few.h"

#undef JOIN_
#undef JOIN
#undef NAME
#undef LONG_ROWS
#undef PANELS
#undef WIDE
#undef HIGH
#undef EACH_1
#undef EACH_2
#undef EACH_3
#undef EACH_4
#undef EACH_5
#undef EACH_6
#undef EACH_7
#undef EACH_8
#undef EACH_9
#undef EACH_10
#undef EACH_11
#undef EACH_12
#undef EACH_13
#undef EACH_14
#undef FETCH_1
#undef FETCH_2
#undef LOAD_1
#undef BEGIN_1
#undef STEP_1
#undef END_1
#undef LOAD_2
#undef BEGIN_2
#undef STEP_2
#undef END_2
#undef TILE_FN
#undef TILES
#undef FREE_TILES
#undef FREE_ROWS
#undef PAIR
#undef T
#undef SUFFIX
#undef V
#undef LANES
#undef LOAD
#undef STORE
#undef SPLAT
#undef MADD
