/* contract_each: many small products side by side, as of a convolution that keeps channels apart: lanes run along them. Part of
 * contract_kernel.h, whose macros it uses. */

#define EACH_ROWS 8 /* chains enough to hide how long one link takes */

/* So many rows, a vector of columns after the other, the last of which overlaps the one before: chain after chain. Where three
 * links reach what the first of them reaches one and two rows further, as taps side by side do, each element is loaded once for all
 * of them. */
#define EACH_FN(rows)                                                                                              \
    static void NAME(each##rows##_)(const Block *g, const T *first_a, T *first_c, int64_t n)                       \
    {                                                                                                              \
        const int64_t a_row = g->a_row, c_row = g->c_row, b_row = g->b_row;                                        \
        for (int64_t j = 0; j < n; j += LANES) {                                                                   \
            const int64_t *at = g->runs->k, *end = at + g->k, column = MIN_OF(j, n - LANES);                       \
            const T *a = first_a + column, *b = (const T *)g->b + column;                                          \
            T *c = first_c + column;                                                                               \
            V sum[rows];                                                                                           \
            UNROLL                                                                                                 \
            for (int r = 0; r < (rows); r++) sum[r] = g->carry ? LOAD(c + r * c_row) : SPLAT(0);                   \
            while (at < end) {                                                                                     \
                const int64_t *stop = at + MIN_OF(end - at, TREE_PRODUCT);                                         \
                V chain[rows];                                                                                     \
                UNROLL                                                                                             \
                for (int r = 0; r < (rows); r++) chain[r] = SPLAT(0);                                              \
                while (at < stop) {                                                                                \
                    const T *from = a + *at;                                                                       \
                    const V x0 = LOAD(b);                                                                          \
                    if (stop - at >= 3 && at[1] - at[0] == a_row && at[2] - at[1] == a_row) {                      \
                        const V x1 = LOAD(b + b_row), x2 = LOAD(b + 2 * b_row);                                    \
                        UNROLL                                                                                     \
                        for (int r = 0; r < (rows) + 2; r++, from += a_row) {                                      \
                            const V y = LOAD(from);                                                                \
                            if (r < (rows)) chain[r] = MADD(y, x0, chain[r]);                                      \
                            if (r >= 1 && r <= (rows)) chain[r - 1] = MADD(y, x1, chain[r - 1]);                   \
                            if (r >= 2) chain[r - 2] = MADD(y, x2, chain[r - 2]);                                  \
                        }                                                                                          \
                        at += 3, b += 3 * b_row;                                                                   \
                    } else {                                                                                       \
                        UNROLL                                                                                     \
                        for (int r = 0; r < (rows); r++, from += a_row) chain[r] = MADD(LOAD(from), x0, chain[r]); \
                        at++, b += b_row;                                                                          \
                    }                                                                                              \
                }                                                                                                  \
                UNROLL                                                                                             \
                for (int r = 0; r < (rows); r++) sum[r] = sum[r] + chain[r];                                       \
            }                                                                                                      \
            UNROLL                                                                                                 \
            for (int r = 0; r < (rows); r++) STORE(c + r * c_row, sum[r]);                                         \
        }                                                                                                          \
    }
EACH_FN(1)
EACH_FN(2)
EACH_FN(3)
EACH_FN(4)
EACH_FN(5)
EACH_FN(6)
EACH_FN(7)
EACH_FN(8)

/* One row of the columns that fill no vector. */
static void NAME(each_rest_)(const Block *g, const T *a, const T *b, T *c, int64_t n)
{
    bool carry = g->carry;
    for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT, carry = true) {
        T chain[LANES] = {0};
        for (int64_t k = k0; k < MIN_OF(g->k, k0 + TREE_PRODUCT); k++) {
            const T *x = a + g->runs->k[k], *y = b + k * g->b_row;
            for (int64_t j = 0; j < n; j++) chain[j] = NAME(mad_)(x[j], y[j], chain[j]);
        }
        for (int64_t j = 0; j < n; j++) c[j] = (carry ? c[j] : 0) + chain[j];
    }
}

/* Tile after tile of rows, of all runs before the next: what their windows share stays in the first cache. */
static void NAME(each_)(const Block *g)
{
    static void (*const tile[])(const Block *, const T *, T *, int64_t) = {
        NULL, NAME(each1_), NAME(each2_), NAME(each3_), NAME(each4_), NAME(each5_), NAME(each6_), NAME(each7_), NAME(each8_)};
    const bool overlap = g->n >= LANES && !g->carry;
    const int64_t n = overlap ? g->n : g->n / LANES * LANES, tiles = tile_count(EACH_ROWS, g->m);
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t i = 0; i < g->runs->count; i++) {
            int64_t r = tile_first(EACH_ROWS, g->m, t), end = tile_first(EACH_ROWS, g->m, t + 1);
            const T *a = (const T *)g->a + g->runs->a[i] + r * g->a_row, *b = g->b;
            T *c = (T *)g->c + g->runs->c[i] + r * g->c_row;
            tile[end - r](g, a, c, n);
            for (; r < end && n < g->n; r++, a += g->a_row, c += g->c_row) NAME(each_rest_)(g, a + n, b + n, c + n, g->n - n);
        }
}

#undef EACH_ROWS
#undef EACH_FN
