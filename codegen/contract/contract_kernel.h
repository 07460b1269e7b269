/* contract_kernel: the matrix product of one instruction set and one type, for k of one run (ir/tree.h): c starts at 0 and takes
 * chains of TREE_PRODUCT in order, each the sum in order of mad(a, b, chain) from 0, whatever the tiles. Expanded by
 * contract_types.h with
 *   TYPE, SUFFIX           the type of c, and what names of functions end with; load_TYPE, store_TYPE, VTYPE: contract_types.h
 *   GROUP                  1; or 2: an element of a packed operand is two of k side by side (contract_tier.h, IN_PAIRS), and then
 *   ALONG ACROSS           make such elements of a narrow operand
 *   turn_ mad_ MADD_       of SUFFIX
 *   ROWS                   of a tile, 6 or 14
 *   PLAIN                  if defined: nothing is packed, and there are no tiles
 * No include guard; undefines TYPE to ACROSS at the end and keeps its own macros, which are alike in each expansion. Relies on
 * contract_tier.h. */

#if GROUP == 1
#define ALONG(narrow, to, from, apart, k) widen(narrow, to, from, apart, k)
#define ACROSS(narrow, to, from, second, line, lines) widen(narrow, to, from, line, lines)
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(f) JOIN(f, SUFFIX)
#define T JOIN(c_, TYPE)
#define V JOIN(V, TYPE)
#define LANES (BYTES / (int)sizeof(T))
#define LOAD(p) JOIN(load_, TYPE)(p)
#define STORE(p, v) JOIN(store_, TYPE)(p, v)
#define SPLAT(x) ((T)(x) - (V){0})
#define MADD(x, y, z) NAME(MADD_)(x, y, z)
#define TALL_ROWS 12                              /* of tiles of one vector that are not packed; */
#define FREE_ROWS (ROWS > 6 ? TALL_ROWS : 6)      /* and of two */
#define LONG_ROWS 16                              /* of b, packed at a time across panels */
#define PANELS 4                                  /* packed at a time */
#define OFTEN 8                                   /* panels for which rows of a are packed */
#define WIDE (2 * LANES)                          /* columns of a tile */
#define HIGH ((ROWS + LANES - 1) / LANES * LANES) /* rows of a packed tile, which are whole vectors */

enum { NAME(lanes_of_) = LANES, NAME(high_of_) = HIGH, NAME(group_of_) = GROUP };

#ifndef PLAIN
/* ---- tiles -----------------------------------------------------------------------------------
 * c[rows][1 or 2 vectors] (rows c_row apart), or 0 if there is nothing to carry, takes a[rows][k] times b[k][columns] (rows b_row
 * apart), chain after chain. a is a packed tile [k][HIGH], or lies at any strides (FREE) or wherever a table says for each k: of
 * those, only so many rows that all their addresses have registers. With each k what lies at `fetch` is fetched, which then moves
 * on: a whole run of lines at once would wait for the few that the processor fetches at a time. */

#define EACH_1(f, at) f(0, at)
#define EACH_2(f, at) EACH_1(f, at) f(1, at)
#define EACH_3(f, at) EACH_2(f, at) f(2, at)
#define EACH_4(f, at) EACH_3(f, at) f(3, at)
#define EACH_5(f, at) EACH_4(f, at) f(4, at)
#define EACH_6(f, at) EACH_5(f, at) f(5, at)
#define EACH_7(f, at) EACH_6(f, at) f(6, at)
#define EACH_8(f, at) EACH_7(f, at) f(7, at)
#define EACH_9(f, at) EACH_8(f, at) f(8, at)
#define EACH_10(f, at) EACH_9(f, at) f(9, at)
#define EACH_11(f, at) EACH_10(f, at) f(10, at)
#define EACH_12(f, at) EACH_11(f, at) f(11, at)
#define EACH_13(f, at) EACH_12(f, at) f(12, at)
#define EACH_14(f, at) EACH_13(f, at) f(13, at)

/* Element r of this k: packed, and of rows a_row apart, which three share a pointer to. */
#define PACKED(r) a0[r]
#define FREE(r) FREE_##r
#define FREE_0 a0[0]
#define FREE_1 a0[a_row]
#define FREE_2 a0[2 * a_row]
#define FREE_3 a3[0]
#define FREE_4 a3[a_row]
#define FREE_5 a3[2 * a_row]
#define FREE_6 a6[0]
#define FREE_7 a6[a_row]
#define FREE_8 a6[2 * a_row]
#define FREE_9 a9[0]
#define FREE_10 a9[a_row]
#define FREE_11 a9[2 * a_row]

/* clang-format off */
#define FETCH_1(r, at)         \
    __builtin_prefetch(to, 1); \
    to += c_row;
#define LOAD_1 const V bl = LOAD(b);
#define BEGIN_1(r, at) V left##r = SPLAT(0);
#define STEP_1(r, at) left##r = MADD(SPLAT(at(r)), bl, left##r);
#define END_1(r, at)                                    \
    STORE(to, (carry ? LOAD(to) : SPLAT(0)) + left##r); \
    to += c_row;
#define FETCH_2(r, at)                 \
    __builtin_prefetch(to, 1);         \
    __builtin_prefetch(to + LANES, 1); \
    to += c_row;
#define LOAD_2 const V bl = LOAD(b), br = LOAD(b + LANES);
#define BEGIN_2(r, at) V left##r = SPLAT(0), right##r = SPLAT(0);
#define STEP_2(r, at)                     \
    {                                     \
        const V x = SPLAT(at(r));         \
        left##r = MADD(x, bl, left##r);   \
        right##r = MADD(x, br, right##r); \
    }
#define END_2(r, at)                                                     \
    STORE(to, (carry ? LOAD(to) : SPLAT(0)) + left##r);                  \
    STORE(to + LANES, (carry ? LOAD(to + LANES) : SPLAT(0)) + right##r); \
    to += c_row;

/* Where a is at the next k. */
#define STEP(by) (a0 += by, a3 += by, a6 += by, a9 += by)
#define LOOK_UP(by) (a0 = a + *at++, a3 = a0 + 3 * a_row, a6 = a0 + 6 * a_row, a9 = a0 + 9 * a_row)

#define TILE_FN(kind, rows, vectors, AT, BEFORE, AFTER)                                                                           \
    static void NAME(kind##rows##x##vectors##_)(int64_t k, const T *a, int64_t a_row, int64_t a_col, const int64_t *at,           \
        const T *b, int64_t b_row, T *c, int64_t c_row, bool carry, const char *fetch, int64_t fetch_step)                        \
    {                                                                                                                             \
        const T *a0 = a, *a3 = a0 + 3 * a_row, *a6 = a0 + 6 * a_row, *a9 = a0 + 9 * a_row;                                        \
        (void)a3, (void)a6, (void)a9, (void)a_col, (void)at;                                                                      \
        for (; k > 0; k -= TREE_PRODUCT, carry = true) {                                                                          \
            T *to = c;                                                                                                            \
            EACH_##rows(FETCH_##vectors, AT)                                                                                      \
            to = c;                                                                                                               \
            EACH_##rows(BEGIN_##vectors, AT)                                                                                      \
            _Pragma("GCC unroll 2") for (int64_t i = MIN_OF(k, TREE_PRODUCT); i > 0; i--, b += b_row) {                           \
                BEFORE;                                                                                                           \
                __builtin_prefetch(fetch, 0, 2);                                                                                  \
                fetch += fetch_step;                                                                                              \
                LOAD_##vectors EACH_##rows(STEP_##vectors, AT)                                                                    \
                AFTER;                                                                                                            \
            }                                                                                                                     \
            EACH_##rows(END_##vectors, AT)                                                                                        \
        }                                                                                                                         \
    }
#define NOTHING (void)0
#define TILES(rows) TILE_FN(tile, rows, 1, PACKED, NOTHING, STEP(HIGH)) TILE_FN(tile, rows, 2, PACKED, NOTHING, STEP(HIGH))
#define TALL_TILE(rows) \
    TILE_FN(free, rows, 1, FREE, NOTHING, STEP(a_col)) TILE_FN(table, rows, 1, FREE, LOOK_UP(), NOTHING)
#define FREE_TILES(rows) \
    TALL_TILE(rows) TILE_FN(free, rows, 2, FREE, NOTHING, STEP(a_col)) TILE_FN(table, rows, 2, FREE, LOOK_UP(), NOTHING)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
FREE_TILES(1) FREE_TILES(2) FREE_TILES(3) FREE_TILES(4) FREE_TILES(5) FREE_TILES(6)
#if ROWS > 6
FREE_TILES(7) FREE_TILES(8) FREE_TILES(9) FREE_TILES(10) FREE_TILES(11) FREE_TILES(12)
TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12) TILES(13) TILES(14)
#else
TALL_TILE(7) TALL_TILE(8) TALL_TILE(9) TALL_TILE(10) TALL_TILE(11) TALL_TILE(12)
#endif

typedef void NAME(Tile_)(int64_t k, const T *a, int64_t a_row, int64_t a_col, const int64_t *at, const T *b, int64_t b_row, T *c,
    int64_t c_row, bool carry, const char *fetch, int64_t fetch_step);
#define ONE(kind, rows, vectors) NAME(kind##rows##x##vectors##_)
#define UP_TO_6(kind, vectors) \
    NULL, ONE(kind, 1, vectors), ONE(kind, 2, vectors), ONE(kind, 3, vectors), ONE(kind, 4, vectors), ONE(kind, 5, vectors),      \
        ONE(kind, 6, vectors)
#define UP_TO_12(kind, vectors) \
    UP_TO_6(kind, vectors), ONE(kind, 7, vectors), ONE(kind, 8, vectors), ONE(kind, 9, vectors), ONE(kind, 10, vectors),          \
        ONE(kind, 11, vectors), ONE(kind, 12, vectors)
#if ROWS > 6
#define UP_TO_ROWS(vectors) UP_TO_12(tile, vectors), ONE(tile, 13, vectors), ONE(tile, 14, vectors)
#define UP_TO_FREE(kind) UP_TO_12(kind, 2)
#else
#define UP_TO_ROWS(vectors) UP_TO_6(tile, vectors)
#define UP_TO_FREE(kind) UP_TO_6(kind, 2)
#endif
/* By rows and vectors - 1. */
static NAME(Tile_) *const NAME(packed_tile_)[2][ROWS + 1] = {{UP_TO_ROWS(1)}, {UP_TO_ROWS(2)}};
static NAME(Tile_) *const NAME(free_tile_)[2][TALL_ROWS + 1] = {{UP_TO_12(free, 1)}, {UP_TO_FREE(free)}};
static NAME(Tile_) *const NAME(table_tile_)[2][TALL_ROWS + 1] = {{UP_TO_12(table, 1)}, {UP_TO_FREE(table)}};

/* clang-format on */

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

/* x's elements of `lines` times k, in groups, as T: where they lie or, if they are narrow, in `room`, of which x then tells. */
static const T *NAME(widened_)(Part *x, int64_t lines, int64_t k, T *room)
{
    if (!x->kind.narrow) return x->at;
    const char *from = x->at;
    const int64_t groups = (k + GROUP - 1) / GROUP, step = x->deep * x->kind.bytes;
    T *to = room;
    if (x->deep == 1) {
        for (int64_t i = 0; i < lines; i++, to += groups, from += x->line * x->kind.bytes) ALONG(x->kind.narrow, to, from, 1, k);
        x->line = groups;
    } else {
        for (int64_t p = 0; p < k; p += GROUP, to += lines, from += GROUP * step)
            ACROSS(x->kind.narrow, to, from, p + 1 < k ? from + step : NULL, x->line, lines);
        x->line = 1, x->deep = lines;
    }
    return room;
}

/* to[k][WIDE] = b[k][n], n <= WIDE; behind them stand zeros, or b again. From LANES columns on, the last LANES overlap others. */
static void NAME(pack_b_)(void *into, Part from, int64_t k, int64_t n)
{
    T *to = into, room[SLAB * WIDE];
    const bool whole = from.kind.narrow && from.deep != 1 && n == WIDE; /* it becomes what is wanted */
    const T *b = NAME(widened_)(&from, n, k, whole ? to : room);
    if (whole) return;
    const int64_t b_row = from.deep, b_col = from.line;
    k = (k + GROUP - 1) / GROUP;
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
static void NAME(pack_a_)(void *into, Part from, int64_t rows, int64_t k)
{
    T *to = into, room[ROWS * SLAB];
    const T *a = NAME(widened_)(&from, rows, k, room);
    const int64_t a_row = from.line, a_col = from.deep;
    k = (k + GROUP - 1) / GROUP;
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
    const int64_t *at; /* in place of a_col; or NULL */
    const T *b;
    int64_t b_row, k;
    T *c;
    int64_t c_row, m, n;
    int64_t from, to;    /* which of the tiles that m rows make: of packed ones; else all, INT64_MAX */
    const T *fetch;      /* b of the panel that follows, as long; NULL: it is near, or there is none */
    int64_t part, parts; /* which of so many runs of rows this is, each of which fetches some of it; parts 0: the only one */
    bool carry;
} NAME(Panel_);

/* n < WIDE elements, by moves of sizes that the compiler knows: there are as many as rows. */
static inline void NAME(copy_some_)(T *to, const T *from, int64_t n)
{
    _Static_assert(WIDE <= 32, "");
#define SOME(some) \
    if (n & some) memcpy(to, from, some * sizeof(T)), to += some, from += some;
    SOME(16) SOME(8) SOME(4) SOME(2) SOME(1)
#undef SOME
}

/* The tiles share the next panel's lines, each of which they fetch as they go. */
static void NAME(run_panel_)(const NAME(Panel_) * p)
{
    bool wide = p->n > LANES, whole = p->n == WIDE || p->n == LANES;
    int64_t most = p->packed ? ROWS : wide ? FREE_ROWS : TALL_ROWS, tiles = tile_count(most, p->m);
    int64_t each = p->m / tiles, more = p->m - tiles * each, first = p->from * each + MIN_OF(p->from, more);
    const T *a = p->a + (p->packed ? 0 : first * p->a_row);
    const int64_t count = MIN_OF(p->to, tiles) - p->from, parts = MAX_OF(p->parts, 1) * count;
    const int64_t row_bytes = WIDE * (int64_t)sizeof(T), bytes = p->k * row_bytes, step = p->fetch ? row_bytes / parts : 0;
    for (int64_t i = p->from; i < MIN_OF(p->to, tiles); i++) {
        int64_t rows = each + (i < more);
        const int64_t number = p->part * count + i - p->from;
        const char *fetch = p->fetch ? (const char *)p->fetch + bytes * number / parts : (const char *)p->b;
        NAME(Tile_) *tile = (p->at ? NAME(table_tile_) : NAME(free_tile_))[wide][p->packed ? 0 : rows];
        if (p->packed) tile = NAME(packed_tile_)[wide][rows];
        T *c = p->c + first * p->c_row, part[TALL_ROWS > ROWS ? TALL_ROWS * WIDE : ROWS * WIDE];
        if (whole) {
            tile(p->k, a, p->a_row, p->a_col, p->at, p->b, p->b_row, c, p->c_row, p->carry, fetch, step);
        } else {
            for (int64_t r = 0; r < rows && p->carry; r++) {
                memset(part + r * WIDE, 0, sizeof(T) * WIDE);
                NAME(copy_some_)(part + r * WIDE, c + r * p->c_row, p->n);
            }
            tile(p->k, a, p->a_row, p->a_col, p->at, p->b, p->b_row, part, WIDE, p->carry, fetch, step);
            for (int64_t r = 0; r < rows; r++) NAME(copy_some_)(c + r * p->c_row, part + r * WIDE, p->n);
        }
        first += rows;
        a += p->packed ? p->k * HIGH : rows * p->a_row;
    }
}

static void NAME(run_panels_)(const Block *g, const NAME(Panel_) * p)
{
    NAME(Panel_) q = *p;
    for (int64_t i = 0; i < (p->at ? g->runs->count : 1); i++) {
        if (p->at) {
            q.a = p->a + g->runs->a[i];
            q.c = p->c + g->runs->c[i];
            q.part = i;
            q.parts = g->runs->count;
        }
        NAME(run_panel_)(&q);
    }
}

/* Columns of c from packed operands, slab after slab of k. */
static void NAME(cell_)(const Cell *g)
{
    int64_t tiles = tile_count(ROWS, g->m);
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
            p.b = (const T *)g->b + (j * g->b_panel + k0) * WIDE;
            p.c = (T *)g->c + j * WIDE;
            p.n = MIN_OF(g->n - j * WIDE, WIDE);
            p.fetch = j + 1 < g->panel_end ? p.b + g->b_panel * WIDE : NULL;
            NAME(run_panel_)(&p);
        }
    }
}

/* ---- blocks, packed on the way where that pays ------------------------------------------------- */

/* Some of an operand: from number `first` on. */
static Part NAME(part_)(const void *operand, Kind kind, int64_t first, int64_t line, int64_t deep)
{
    return (Part){(const char *)operand + first * kind.bytes, line, deep, kind};
}

/* Whether all panels of b are packed: where its columns lie apart or are narrow, or its rows lie far apart and serve often. */
static bool NAME(far_)(const Block *g)
{
    if (g->runs) return g->n > 2 * WIDE;
    if (g->b_col != 1 || g->b_kind.narrow) return true;
    return g->m > SELDOM_ROWS && MIN_OF(g->k, TREE_PRODUCT) * g->b_row * (int64_t)sizeof(T) > FAR_BYTES;
}

/* Whether rows of a are packed: they are narrow, or serve so many panels that it costs little beside them. Rows that lie side by
 * side are about as fast where they lie. */
static bool NAME(packs_rows_)(const Block *g)
{
    if (g->runs) return g->together;
    return g->n > (g->a_col == 1 ? OFTEN : 2) * WIDE || g->a_kind.narrow;
}

static bool NAME(packs_)(const Block *g) { return NAME(packs_rows_)(g) || (!g->panels && NAME(far_)(g)); }

/* Packs panels of one chain, side by side, from number `first` of b on: of rows that lie far apart some at a time, so that each is
 * read in a long line. */
static void NAME(pack_panels_)(T *to, const Block *g, int64_t first, int64_t k, int64_t n)
{
    int64_t step = g->b_col == 1 ? GROUP * LONG_ROWS : k;
    for (int64_t p = 0; p < k; p += step) {
        for (int64_t j = 0; j < n; j += WIDE) {
            Part from = NAME(part_)(g->b, g->b_kind, first + p * g->b_row + j * g->b_col, g->b_col, g->b_row);
            NAME(pack_b_)(to + j * TREE_PRODUCT + p / GROUP * WIDE, from, MIN_OF(k - p, step), MIN_OF(n - j, WIDE));
        }
    }
}

/* Rows of c from a chain of a, packed or not, and all of b's columns; b's rows begin at number k0. `packed` has room for some
 * panels, or for the last one where the others stay as they lie. */
static void NAME(chain_)(const Block *g, NAME(Panel_) * p, int64_t k0, int64_t k, T *packed)
{
    const T *panels = g->panels;
    const int64_t most = PANELS * WIDE, first = k0 * g->b_row;
    for (int64_t j = 0; j < g->n; j += most) {
        int64_t n = MIN_OF(g->n - j, most), whole = g->room && NAME(far_)(g) ? 0 : n / WIDE * WIDE;
        if (n > whole && !panels) NAME(pack_panels_)(packed, g, first + (j + whole) * g->b_col, k, n - whole);
        for (int64_t i = 0; i < n; i += WIDE) {
            p->n = MIN_OF(n - i, WIDE);
            p->c = (T *)g->c + (g->together ? g->runs->c[0] : 0) + j + i;
            p->b = i < whole ? (const T *)g->b + first + j + i : packed + (i - whole) * TREE_PRODUCT;
            p->b_row = i < whole && !panels ? g->b_row : WIDE;
            if (panels) p->b = panels + (j + i) * g->panel + k0 / GROUP * WIDE;
            const T *next =
                k0 + k < g->k ? panels + (k0 + k) / GROUP * WIDE : NULL; /* the first panel's, of the chain that follows */
            p->fetch = !panels ? NULL : j + i + WIDE < g->n ? p->b + WIDE * g->panel : next;
            NAME(run_panels_)(g, p);
        }
    }
}

/* Where the rows of all runs begin, one after the other; as many again as a vector has follow the last. */
static void NAME(find_rows_)(const T **begin, const Block *g)
{
    int64_t n = 0;
    for (int64_t run = 0; run < g->runs->count; run++)
        for (int64_t r = 0; r < g->m; r++) begin[n++] = (const T *)g->a + g->runs->a[run] + r * g->a_row;
    for (int64_t l = 0; l < LANES; l++) begin[n + l] = begin[n - 1];
}

/* A tile from a table: links that lie side by side in each row are turned in registers. */
static void NAME(pack_runs_)(T *to, const T *const *begin, int64_t rows, const int64_t *at, int64_t k)
{
    for (int64_t i = 0; i < rows; i += LANES, begin += LANES) {
        const T *row[LANES];
        for (int64_t p = 0, n; p < k; p += n) {
            for (n = 1; p + n < k && at[p + n] == at[p] + n;) n++;
            for (int64_t l = 0; l < LANES; l++) row[l] = begin[l] + at[p];
            NAME(pack_turned_)(to + p * HIGH + i, HIGH, row, n);
        }
    }
}

static void NAME(block_)(const Block *g)
{
    enum { OF_A = (BLOCK_ROWS + ROWS - 1) / ROWS * HIGH * TREE_PRODUCT };
    _Static_assert((OF_A + PANELS * WIDE * TREE_PRODUCT) * sizeof(T) <= ROOM_BYTES, "");
    _Alignas(64) T last[WIDE * TREE_PRODUCT];
    const T *begin[BLOCK_ROWS + LANES];
    T *packed_a = g->room, *packed_b = g->room ? packed_a + OF_A : last;
    bool packed = g->room && NAME(packs_rows_)(g);
    int64_t m = g->together ? g->runs->count * g->m : g->m, tiles = packed ? tile_count(ROWS, m) : 0;
    if (packed && g->runs) NAME(find_rows_)(begin, g);
    for (int64_t k0 = 0; k0 < g->k; k0 += GROUP * TREE_PRODUCT) {
        int64_t k = MIN_OF(g->k - k0, GROUP * TREE_PRODUCT), groups = (k + GROUP - 1) / GROUP;
        for (int64_t i = 0; i < tiles; i++) {
            int64_t first = tile_first(ROWS, m, i), rows = tile_first(ROWS, m, i + 1) - first;
            Part from = NAME(part_)(g->a, g->a_kind, first * g->a_row + k0 * g->a_col, g->a_row, g->a_col);
            if (g->runs)
                NAME(pack_runs_)(packed_a + i * k * HIGH, begin + first, rows, g->runs->k + k0, k);
            else
                NAME(pack_a_)(packed_a + i * groups * HIGH, from, rows, k);
        }
        NAME(Panel_)
        p = {.a = packed ? packed_a : (const T *)g->a + (g->runs ? 0 : k0 * g->a_col),
            .a_row = g->a_row,
            .a_col = g->a_col,
            .packed = packed,
            .at = g->runs && !packed ? g->runs->k + k0 : NULL,
            .k = groups,
            .m = m,
            .c_row = g->c_row,
            .to = packed ? tiles : INT64_MAX,
            .carry = k0 > 0 || g->carry};
        NAME(chain_)(g, &p, k0, k, packed_b);
    }
}

#if GROUP == 1
#include "contract_each.h"
#include "contract_places.h"
#endif
#endif
#include "contract_few.h"

#ifdef PLAIN
static bool NAME(packs_)(const Block *g)
{
    (void)g;
    return false;
}

static void NAME(block_)(const Block *g)
{
    Block rows = *g;
    for (int64_t i = 0; i < g->m; i += FEW_ROWS) {
        rows.a = (const char *)g->a + i * g->a_row * g->a_kind.bytes;
        rows.c = (T *)g->c + i * g->c_row;
        rows.m = MIN_OF(g->m - i, FEW_ROWS);
        NAME(few_)(&rows);
    }
}
#undef PLAIN
#endif

#undef TYPE
#undef SUFFIX
#undef GROUP
#undef ALONG
#undef ACROSS
