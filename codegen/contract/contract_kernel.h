/* contract_kernel: the plain matrix product of one instruction set and one type, for k of one run
 * (ir/tree.h): c starts at 0 and takes chains of TREE_PRODUCT in order, each the sum in order of
 * mad(a, b, chain) from 0, whatever the tiles. Expanded by contract_TIER.c with
 *   T, SUFFIX              float or double, and what names of functions end with
 *   V, LANES               a vector of T and its length
 *   LOAD STORE SPLAT MAD   on V; MAD has one rounding exactly where ir/scalar.c's has
 * No include guard; undefines those macros at the end. Relies on contract_tier.h. */

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(f) JOIN(f, SUFFIX)
#define AHEAD 16         /* lines fetched before their turn */
#define WIDE (2 * LANES) /* columns of a tile */
#define STRIP (PANEL_BYTES / 2 / (int)sizeof(T)) /* of a row */
#define DEEP TREE_PRODUCT /* k of one panel of b, which stays in the first cache: one chain */

/* ---- tiles -----------------------------------------------------------------------------------
 * c[mr][WIDE] (rows c_row apart), or 0 if there is nothing to carry, takes one chain of a[mr][k]
 * (any strides) and b[k][WIDE] (rows b_row apart). */

#define EACH_1(f) f(0)
#define EACH_2(f) EACH_1(f) f(1)
#define EACH_3(f) EACH_2(f) f(2)
#define EACH_4(f) EACH_3(f) f(3)
#define EACH_5(f) EACH_4(f) f(4)
#define EACH_6(f) EACH_5(f) f(5)
#define BEGIN_ROW(r) V left##r = SPLAT(0), right##r = SPLAT(0);
#define STEP_ROW(r)                      \
    {                                    \
        const V x = SPLAT(a[r * a_row]); \
        left##r = MAD(x, bl, left##r);   \
        right##r = MAD(x, br, right##r); \
    }
#define END_ROW(r)                                                        \
    STORE(c + r * c_row, (carry ? LOAD(c + r * c_row) : SPLAT(0)) + left##r); \
    STORE(c + r * c_row + LANES, (carry ? LOAD(c + r * c_row + LANES) : SPLAT(0)) + right##r);
#define TILE_FN(mr)                                                                                \
    static void NAME(tile##mr##_)(int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b, \
        int64_t b_row, T *c, int64_t c_row, bool carry)                                            \
    {                                                                                              \
        EACH_##mr(BEGIN_ROW)                                                                       \
        for (; k > 0; k--, a += a_col, b += b_row) {                                               \
            const V bl = LOAD(b), br = LOAD(b + LANES);                                            \
            EACH_##mr(STEP_ROW)                                                                    \
        }                                                                                          \
        EACH_##mr(END_ROW)                                                                         \
    }
TILE_FN(1)
TILE_FN(2)
TILE_FN(3)
TILE_FN(4)
TILE_FN(5)
TILE_FN(6)

typedef void NAME(Tile_)(int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b,
    int64_t b_row, T *c, int64_t c_row, bool carry);
static NAME(Tile_) *const NAME(tile_)[TILE_ROWS + 1] = {
    NULL, NAME(tile1_), NAME(tile2_), NAME(tile3_), NAME(tile4_), NAME(tile5_), NAME(tile6_)};

/* ---- packing ------------------------------------------------------------------------------ */

/* to[k][WIDE], its first LANES columns, of b whose columns lie contiguous: small squares turned in
 * registers. */
static void NAME(pack_turned_)(T *to, const T *b, int64_t b_col, int64_t k)
{
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        V square[LANES];
        NAME(turn_)(square, b + p, b_col);
        UNROLL
        for (int l = 0; l < LANES; l++) STORE(to + (p + l) * WIDE, square[l]);
    }
    for (; p < k; p++)
        for (int l = 0; l < LANES; l++) to[p * WIDE + l] = b[l * b_col + p];
}

/* to[k][WIDE] = b[k][n], n <= WIDE, zeros behind. From LANES columns on, the last LANES overlap the
 * first. */
static void NAME(pack_b_)(T *to, const T *b, int64_t b_row, int64_t b_col, int64_t k, int64_t n)
{
    int64_t last = n - LANES;
    if (n < WIDE && (b_col != 1 || n < LANES)) memset(to, 0, (size_t)(k * WIDE) * sizeof(T));
    if (n < LANES || (b_row != 1 && b_col != 1)) {
        for (int64_t j = 0; j < n; j++, b += b_col)
            for (int64_t p = 0; p < k; p++) to[p * WIDE + j] = b[p * b_row];
    } else if (b_col == 1) {
        for (int64_t p = 0; p < k; p++, to += WIDE, b += b_row) {
            const V left = LOAD(b), right = LOAD(b + last);
            STORE(to + LANES, SPLAT(0));
            STORE(to + last, right);
            STORE(to, left);
        }
    } else {
        NAME(pack_turned_)(to, b, b_col, k);
        NAME(pack_turned_)(to + last, b + last * b_col, b_col, k);
    }
}

/* to[k][m] = a[m][k]: the rows of a tile side by side. */
static void NAME(pack_a_)(T *to, const T *a, int64_t a_row, int64_t a_col, int64_t m, int64_t k)
{
    int64_t whole = a_row == 1 ? m / TILE_ROWS * TILE_ROWS : 0;
    for (int64_t p = 0; p < k; p++, a += a_col) {
        for (int64_t i = 0; i < whole && p + AHEAD < k; i += 64 / (int64_t)sizeof(T))
            __builtin_prefetch(a + AHEAD * a_col + i);
        for (int64_t i = 0; i < whole; i += TILE_ROWS)
            memcpy(to + i * k + p * TILE_ROWS, a + i, TILE_ROWS * sizeof(T));
    }
    a -= k * a_col;
    for (int64_t i = whole; i < m; i += TILE_ROWS) {
        int64_t rows = MIN_OF(m - i, TILE_ROWS);
        for (int64_t p = 0; p < k; p++)
            for (int64_t r = 0; r < rows; r++)
                to[i * k + p * rows + r] = a[(i + r) * a_row + p * a_col];
    }
}

/* ---- blocks ------------------------------------------------------------------------------- */

typedef struct NAME(Panel_) {
    const T *a; /* rows of a, from the panel's first k on */
    int64_t a_row, a_col;
    bool packed; /* a is what pack_a made */
    const T *b;
    int64_t b_row, k;
    T *c;
    int64_t c_row, m, n; /* n <= WIDE */
    bool carry;
} NAME(Panel_);

static void NAME(run_panel_)(const NAME(Panel_) * p)
{
    for (int64_t i = 0; i < p->m; i += TILE_ROWS) {
        int64_t rows = MIN_OF(p->m - i, TILE_ROWS);
        const T *a = p->packed ? p->a + i * p->k : p->a + i * p->a_row;
        int64_t a_row = p->packed ? 1 : p->a_row, a_col = p->packed ? rows : p->a_col;
        T *c = p->c + i * p->c_row;
        if (p->n == WIDE) {
            NAME(tile_)[rows](p->k, a, a_row, a_col, p->b, p->b_row, c, p->c_row, p->carry);
            continue;
        }
        T part[TILE_ROWS * WIDE];
        for (int64_t r = 0; r < rows && p->carry; r++) {
            memset(part + r * WIDE, 0, sizeof(T) * WIDE);
            memcpy(part + r * WIDE, c + r * p->c_row, (size_t)p->n * sizeof(T));
        }
        NAME(tile_)[rows](p->k, a, a_row, a_col, p->b, p->b_row, part, WIDE, p->carry);
        for (int64_t r = 0; r < rows; r++)
            memcpy(c + r * p->c_row, part + r * WIDE, (size_t)p->n * sizeof(T));
    }
}

static void NAME(block_)(const Block *g)
{
    const T *a = g->a, *b = g->b;
    _Alignas(64) T packed_a[BLOCK_ROWS * DEEP], packed_b[WIDE * DEEP];
    for (int64_t k0 = 0; k0 < g->k; k0 += DEEP) {
        NAME(Panel_)
        p = {.a = a + k0 * g->a_col,
            .a_row = g->a_row,
            .a_col = g->a_col,
            .k = MIN_OF(g->k - k0, DEEP),
            .m = g->m,
            .c_row = g->c_row,
            .carry = k0 > 0};
        /* Rows of a that lie side by side serve as they are, unless each k meets the same few sets
         * of the caches. */
        bool near = g->a_col == 1 || (g->a_row == 1 && g->a_col * (int64_t)sizeof(T) < 2048);
        p.packed = !near && g->n > 2 * WIDE;
        if (p.packed) {
            NAME(pack_a_)(packed_a, p.a, g->a_row, g->a_col, g->m, p.k);
            p.a = packed_a;
        }
        for (int64_t j = 0; j < g->n; j += WIDE) {
            p.n = MIN_OF(g->n - j, WIDE);
            p.c = (T *)g->c + j;
            p.b = b + k0 * g->b_row + j * g->b_col;
            p.b_row = g->b_row;
            if (g->b_col != 1 || p.n < WIDE ||
                (g->m > 3 * TILE_ROWS && p.k * g->b_row * (int64_t)sizeof(T) > PANEL_BYTES)) {
                NAME(pack_b_)(packed_b, p.b, g->b_row, g->b_col, p.k, p.n);
                p.b = packed_b;
                p.b_row = WIDE;
            }
            NAME(run_panel_)(&p);
        }
    }
}

/* ---- one row times a matrix ------------------------------------------------------------------
 * c[n] takes chain after chain of mad(a[k], b[k][n], chain). */

/* One chain, k long. */
static void NAME(chain_)(const Block *g, const T *a, const T *b, int64_t end, T *restrict c)
{
    int64_t k = 0, ac = g->a_col, row = g->b_row;
    for (int64_t j = 0; j < g->n; j++) c[j] = 0;
    for (; k + 4 <= end; k += 4) {
        const T *b0 = b + k * row, *b1 = b0 + row, *b2 = b1 + row, *b3 = b2 + row;
        const T s0 = a[k * ac], s1 = a[(k + 1) * ac], s2 = a[(k + 2) * ac], s3 = a[(k + 3) * ac];
        const V x0 = SPLAT(s0), x1 = SPLAT(s1), x2 = SPLAT(s2), x3 = SPLAT(s3);
        int64_t j = 0;
        for (; j + LANES <= g->n; j += LANES)
            STORE(c + j, MAD(x3, LOAD(b3 + j),
                             MAD(x2, LOAD(b2 + j),
                                 MAD(x1, LOAD(b1 + j), MAD(x0, LOAD(b0 + j), LOAD(c + j))))));
        for (; j < g->n; j++)
            c[j] = NAME(mad_)(s3, b3[j],
                NAME(mad_)(s2, b2[j], NAME(mad_)(s1, b1[j], NAME(mad_)(s0, b0[j], c[j]))));
    }
    for (; k < end; k++)
        for (int64_t j = 0; j < g->n; j++) c[j] = NAME(mad_)(a[k * ac], b[k * row + j], c[j]);
}

static void NAME(columns_)(const Block *g)
{
    _Alignas(64) T chain[STRIP];
    T *restrict c = g->c;
    for (int64_t j = 0; j < g->n; j++) c[j] = 0;
    for (int64_t k = 0; k < g->k; k += TREE_PRODUCT) {
        NAME(chain_)(g, (const T *)g->a + k * g->a_col, (const T *)g->b + k * g->b_row,
            MIN_OF(g->k - k, TREE_PRODUCT), chain);
        for (int64_t j = 0; j < g->n; j++) c[j] += chain[j];
    }
}

/* c[0..LANES) and d[0..LANES), two groups so that the additions of one hide behind the other's,
 * where the columns of b, f lie contiguous: small squares turned in registers, so that each element
 * still adds in order of k. */
static void NAME(lanes_)(const Block *g, const T *b, T *c, const T *f, T *d)
{
    V left = SPLAT(0), right = SPLAT(0);
    for (int64_t from = 0, k = 0; from < g->k; from = k) {
        const int64_t end = MIN_OF(from + TREE_PRODUCT, g->k);
        const T *a = (const T *)g->a + from * g->a_col;
        V x = SPLAT(0), y = SPLAT(0);
        for (; k + LANES <= end; k += LANES, a += LANES * g->a_col) {
            V square[LANES];
            NAME(turn_)(square, b + k, g->b_col);
            UNROLL
            for (int l = 0; l < LANES; l++) x = MAD(SPLAT(a[l * g->a_col]), square[l], x);
            NAME(turn_)(square, f + k, g->b_col);
            UNROLL
            for (int l = 0; l < LANES; l++) y = MAD(SPLAT(a[l * g->a_col]), square[l], y);
        }
        for (; k < end; k++, a += g->a_col) { /* of the last chain */
            T column[2][LANES];
            for (int l = 0; l < LANES; l++) {
                column[0][l] = b[l * g->b_col + k];
                column[1][l] = f[l * g->b_col + k];
            }
            x = MAD(SPLAT(*a), LOAD(column[0]), x);
            y = MAD(SPLAT(*a), LOAD(column[1]), y);
        }
        left = left + x;
        right = right + y;
    }
    STORE(c, left); /* the groups may overlap: both hold the same sums there */
    STORE(d, right);
}

static void NAME(few_)(const Block *g)
{
    const T *a = g->a, *b = g->b;
    T sum[LANES] = {0};
    for (int64_t from = 0; from < g->k; from += TREE_PRODUCT) {
        T chain[LANES] = {0};
        for (int64_t k = from; k < MIN_OF(from + TREE_PRODUCT, g->k); k++)
            for (int64_t j = 0; j < g->n; j++)
                chain[j] = NAME(mad_)(a[k * g->a_col], b[k * g->b_row + j * g->b_col], chain[j]);
        for (int64_t j = 0; j < g->n; j++) sum[j] += chain[j];
    }
    memcpy(g->c, sum, (size_t)g->n * sizeof(T));
}

static void NAME(rows_)(const Block *g)
{
    const T *b = g->b;
    T *c = g->c;
    if (g->n < LANES) {
        NAME(few_)(g);
        return;
    }
    /* The last groups may overlap the ones before: the same sums. */
    for (int64_t j = 0; j < g->n; j += WIDE) {
        int64_t first = MIN_OF(j, g->n - LANES), second = MIN_OF(j + LANES, g->n - LANES);
        NAME(lanes_)(g, b + first * g->b_col, c + first, b + second * g->b_col, c + second);
    }
}

/* Here m == 1. Narrow strips keep c and its chain in the first cache while b streams by. */
static void NAME(vector_)(const Block *g)
{
    if (g->b_row == 1 && g->b_col != 1) {
        NAME(rows_)(g);
        return;
    }
    if (g->b_col != 1 && g->n > 1) {
        NAME(block_)(g);
        return;
    }
    Block strip = *g;
    for (int64_t j = 0; j < g->n; j += STRIP) {
        strip.b = (const T *)g->b + j;
        strip.c = (T *)g->c + j;
        strip.n = MIN_OF(g->n - j, STRIP);
        NAME(columns_)(&strip);
    }
}

#undef JOIN_
#undef JOIN
#undef AHEAD
#undef WIDE
#undef STRIP
#undef DEEP
#undef EACH_1
#undef EACH_2
#undef EACH_3
#undef EACH_4
#undef EACH_5
#undef EACH_6
#undef BEGIN_ROW
#undef STEP_ROW
#undef END_ROW
#undef TILE_FN
#undef NAME
#undef T
#undef SUFFIX
#undef V
#undef LANES
#undef LOAD
#undef STORE
#undef SPLAT
#undef MAD
