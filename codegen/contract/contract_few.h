/* contract_few: few rows times a matrix that is read once and not packed: part of contract_kernel.h, whose macros it uses, and by
 * itself what there is for wide integers (contract_types.h). Each row of c takes chain after chain of mad(a[k], b[k][n], chain).
 * Operands may be of a narrow type, which is widened piece by piece. */

#define STRIP (2048 / (int)sizeof(T)) /* columns at a time, so that chains and lines stay in the first cache */
#define LINKS 16                      /* of a chain at a time */

/* k elements of a row of a or a column of b, from number `at` of the operand on, in groups: where they lie side by side, or in
 * `room`. */
static const T *NAME(chain_of_)(Kind kind, const void *operand, int64_t at, int64_t apart, int64_t k, T *room)
{
    if (kind.narrow)
        ALONG(kind.narrow, room, (const uint8_t *)operand + at * kind.bytes, apart, k);
    else if (apart == 1)
        return (const T *)operand + at;
    else
        for (int64_t i = 0; i < k; i++) room[i] = ((const T *)operand)[at + i * apart];
    return room;
}

/* n columns of b, of the group that begins at this k, as they lie side by side, or in `room`. */
static const T *NAME(line_of_b_)(const Block *g, int64_t k, int64_t n, T *room)
{
    const uint8_t *b = (const uint8_t *)g->b + k * g->b_row * g->b_kind.bytes;
    if (g->b_kind.narrow)
        ACROSS(g->b_kind.narrow, room, b, k + 1 < g->k ? b + g->b_row * g->b_kind.bytes : NULL, g->b_col, n);
    else
        return NAME(chain_of_)(g->b_kind, g->b, k * g->b_row, n == 1 ? 1 : g->b_col, n, room);
    return room;
}

/* `rows` rows of c[n], `apart` of each other, take LINKS more links of their chains; n is so many WIDE. The rows share what is read
 * of b, and a chain goes from register to register. */
#define LINKS_FN(rows)                                                                                                    \
    static void NAME(links##rows##_)(const T *const *a, int64_t k, const T *const *b, int64_t n, T *c, int64_t apart)     \
    {                                                                                                                     \
        for (int64_t j = 0; j < n; j += WIDE) {                                                                           \
            V left[rows], right[rows];                                                                                    \
            UNROLL                                                                                                        \
            for (int r = 0; r < rows; r++) left[r] = LOAD(c + r * apart + j), right[r] = LOAD(c + r * apart + j + LANES); \
            UNROLL                                                                                                        \
            for (int l = 0; l < LINKS; l++) {                                                                             \
                const V bl = LOAD(b[l] + j), br = LOAD(b[l] + j + LANES);                                                 \
                UNROLL                                                                                                    \
                for (int r = 0; r < rows; r++) {                                                                          \
                    const V x = SPLAT(a[r][k + l]);                                                                       \
                    left[r] = MADD(x, bl, left[r]), right[r] = MADD(x, br, right[r]);                                     \
                }                                                                                                         \
            }                                                                                                             \
            UNROLL                                                                                                        \
            for (int r = 0; r < rows; r++) STORE(c + r * apart + j, left[r]), STORE(c + r * apart + j + LANES, right[r]); \
        }                                                                                                                 \
    }
LINKS_FN(1)
LINKS_FN(2)
LINKS_FN(3)
LINKS_FN(4)
#if ROWS > 6 && GROUP == 1 && !defined PLAIN
LINKS_FN(5)
LINKS_FN(6)
LINKS_FN(7)
LINKS_FN(8)
#define MOST_LINKED 8 /* rows, whose chains have registers */
#else
#define MOST_LINKED 4
#endif

static void NAME(links_)(const T *const *a, int64_t k, const T *const *b, int64_t n, T *c, int64_t rows, int64_t apart)
{
    static void (*const run[])(const T *const *, int64_t, const T *const *, int64_t, T *, int64_t) = {
        NAME(links1_),
        NAME(links2_),
        NAME(links3_),
        NAME(links4_),
#if MOST_LINKED == 8
        NAME(links5_),
        NAME(links6_),
        NAME(links7_),
        NAME(links8_),
#endif
    };
    for (int64_t r = 0, some; r < rows; r += some) {
        some = MIN_OF(rows - r, MOST_LINKED);
        run[some - 1](a + r, k, b, n, c + r * apart, apart);
    }
}
#undef MOST_LINKED

/* The links of all columns: those behind the last whole WIDE are read from a copy with zeros behind them,
 * whose products nobody reads. */
static void NAME(all_links_)(const Block *g, const T *const *a, int64_t k, const T *const *b, T *c, int64_t apart)
{
    T room[LINKS * WIDE];
    const T *end[LINKS];
    const int64_t whole = g->n / WIDE * WIDE;
    NAME(links_)(a, k, b, whole, c, g->m, apart);
    if (whole == g->n) return;
    memset(room, 0, sizeof room);
    for (int l = 0; l < LINKS; l++) {
        memcpy(room + l * WIDE, b[l] + whole, (size_t)(g->n - whole) * sizeof(T));
        end[l] = room + l * WIDE;
    }
    NAME(links_)(a, k, end, WIDE, c + whole, g->m, apart);
}

/* At most STRIP columns of FEW_ROWS rows, more of fewer. */
static void NAME(strip_)(const Block *g)
{
    _Alignas(64) T a_room[FEW_ROWS * TREE_PRODUCT], chain[FEW_ROWS * STRIP], room[LINKS * STRIP];
    const T *a[FEW_ROWS], *b[LINKS];
    const int64_t apart = (g->n + WIDE - 1) / WIDE * WIDE; /* rows of the chain */
    for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT) {
        int64_t length = MIN_OF(g->k - k0, TREE_PRODUCT), end = (length + GROUP - 1) / GROUP, k = 0;
        for (int64_t r = 0; r < g->m; r++)
            a[r] = NAME(chain_of_)(g->a_kind, g->a, r * g->a_row + k0 * g->a_col, g->a_col, length, a_room + r * TREE_PRODUCT);
        memset(chain, 0, (size_t)(g->m * apart) * sizeof(T));
        for (; k + LINKS <= end; k += LINKS) {
            for (int l = 0; l < LINKS; l++) b[l] = NAME(line_of_b_)(g, k0 + (k + l) * GROUP, g->n, room + l * STRIP);
            NAME(all_links_)(g, a, k, b, chain, apart);
        }
        for (; k < end; k++) {
            const T *line = NAME(line_of_b_)(g, k0 + k * GROUP, g->n, room);
            for (int64_t r = 0; r < g->m; r++)
                for (int64_t j = 0; j < g->n; j++) chain[r * apart + j] = NAME(mad_)(a[r][k], line[j], chain[r * apart + j]);
        }
        for (int64_t r = 0; r < g->m; r++) {
            T *c = (T *)g->c + r * g->c_row;
            for (int64_t j = 0; j < g->n; j++) c[j] = (k0 > 0 ? c[j] : 0) + chain[r * apart + j];
        }
    }
}

/* Columns `first` and on, as many as fill two vectors, or fewer at the end of a row; each lies side by side in b. Small squares are
 * turned in registers, so that each element still adds in order of k. */
static void NAME(columns_)(const Block *g, int64_t first)
{
    _Alignas(64) T a_room[FEW_ROWS * TREE_PRODUCT], room[WIDE * TREE_PRODUCT], sum[FEW_ROWS * WIDE];
    const T *a[FEW_ROWS], *b[WIDE];
    int64_t n = MIN_OF(g->n - first, WIDE), vectors = n > LANES ? 2 : 1;
    memset(sum, 0, sizeof sum);
    for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT) {
        int64_t length = MIN_OF(g->k - k0, TREE_PRODUCT), end = (length + GROUP - 1) / GROUP, k = 0;
        V chain[FEW_ROWS][2];
        for (int64_t r = 0; r < g->m; r++)
            a[r] = NAME(chain_of_)(g->a_kind, g->a, r * g->a_row + k0 * g->a_col, g->a_col, length, a_room + r * TREE_PRODUCT);
        for (int64_t j = 0; j < vectors * LANES; j++)
            b[j] = j < n ? NAME(chain_of_)(g->b_kind, g->b, (first + j) * g->b_col + k0, 1, length, room + j * TREE_PRODUCT)
                         : b[n - 1];
        for (int64_t r = 0; r < g->m; r++) chain[r][0] = chain[r][1] = SPLAT(0);
        for (; k + LANES <= end; k += LANES)
            for (int v = 0; v < vectors; v++) {
                V square[LANES];
                NAME(turn_)(square, b + v * LANES, k);
                for (int64_t r = 0; r < g->m; r++) {
                    V x = chain[r][v];
                    UNROLL
                    for (int l = 0; l < LANES; l++) x = MADD(SPLAT(a[r][k + l]), square[l], x);
                    chain[r][v] = x;
                }
            }
        for (; k < end; k++)
            for (int v = 0; v < vectors; v++) {
                T column[LANES];
                for (int l = 0; l < LANES; l++) column[l] = b[v * LANES + l][k];
                for (int64_t r = 0; r < g->m; r++) chain[r][v] = MADD(SPLAT(a[r][k]), LOAD(column), chain[r][v]);
            }
        for (int64_t r = 0; r < g->m; r++)
            for (int v = 0; v < vectors; v++) STORE(sum + r * WIDE + v * LANES, LOAD(sum + r * WIDE + v * LANES) + chain[r][v]);
    }
    for (int64_t r = 0; r < g->m; r++) memcpy((T *)g->c + r * g->c_row + first, sum + r * WIDE, (size_t)n * sizeof(T));
}

/* Columns `first` and on of one row, as many as fill the vectors, of a b that is near: chain and sum stay in registers. */
#define NEAR_FN(vectors)                                                                                  \
    static void NAME(near##vectors##_)(const Block *g, int64_t first)                                     \
    {                                                                                                     \
        const T *a = g->a, *b = (const T *)g->b + first;                                                  \
        V sum[vectors];                                                                                   \
        UNROLL                                                                                            \
        for (int v = 0; v < vectors; v++) sum[v] = SPLAT(0);                                              \
        for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT) {                                             \
            V chain[vectors];                                                                             \
            UNROLL                                                                                        \
            for (int v = 0; v < vectors; v++) chain[v] = SPLAT(0);                                        \
            for (int64_t k = MIN_OF(g->k - k0, TREE_PRODUCT); k > 0; k--, a += g->a_col, b += g->b_row) { \
                const V x = SPLAT(*a);                                                                    \
                UNROLL                                                                                    \
                for (int v = 0; v < vectors; v++) chain[v] = MADD(x, LOAD(b + v * LANES), chain[v]);      \
            }                                                                                             \
            UNROLL                                                                                        \
            for (int v = 0; v < vectors; v++) sum[v] = sum[v] + chain[v];                                 \
        }                                                                                                 \
        UNROLL                                                                                            \
        for (int v = 0; v < vectors; v++) STORE((T *)g->c + first + v * LANES, sum[v]);                   \
    }
NEAR_FN(1)
NEAR_FN(4)
#if ROWS > 6
NEAR_FN(8)
#endif

/* The last columns overlap the ones before, which get the same sums. */
static void NAME(near_)(const Block *g)
{
    void (*run)(const Block *, int64_t) = NAME(near1_);
    int64_t step = LANES;
    if (g->n >= 4 * LANES) run = NAME(near4_), step = 4 * LANES;
#if ROWS > 6
    if (g->n >= 8 * LANES) run = NAME(near8_), step = 8 * LANES;
#endif
    for (int64_t j = 0; j < g->n; j += step) run(g, MIN_OF(j, g->n - step));
}

#if GROUP == 1
/* Of one column that lies side by side, as the rows do: lanes run along chains, LANES of them at a time, whose elements are turned
 * in registers. The last chain, which may be shorter, goes alone. */
static void NAME(dots_)(const Block *g)
{
    _Alignas(64) T room[2][LANES * TREE_PRODUCT], total[LANES];
    for (int64_t r = 0; r < g->m; r++) {
        T sum = 0, last = 0;
        int64_t k = 0;
        for (int64_t chains; (chains = MIN_OF((g->k - k) / TREE_PRODUCT, LANES)) > 0; k += chains * TREE_PRODUCT) {
            const T *x = NAME(chain_of_)(g->a_kind, g->a, r * g->a_row + k, 1, chains * TREE_PRODUCT, room[0]), *a[LANES],
                    *b[LANES];
            const T *y = NAME(chain_of_)(g->b_kind, g->b, k, 1, chains * TREE_PRODUCT, room[1]);
            for (int64_t l = 0; l < LANES; l++) {
                a[l] = x + MIN_OF(l, chains - 1) * TREE_PRODUCT;
                b[l] = y + MIN_OF(l, chains - 1) * TREE_PRODUCT;
            }
            V chain = SPLAT(0);
            for (int64_t p = 0; p < TREE_PRODUCT; p += LANES) {
                V left[LANES], right[LANES];
                NAME(turn_)(left, a, p);
                NAME(turn_)(right, b, p);
                UNROLL
                for (int l = 0; l < LANES; l++) chain = MADD(left[l], right[l], chain);
            }
            STORE(total, chain);
            for (int64_t l = 0; l < chains; l++) sum += total[l];
        }
        const T *x = NAME(chain_of_)(g->a_kind, g->a, r * g->a_row + k, 1, g->k - k, room[0]),
                *y = NAME(chain_of_)(g->b_kind, g->b, k, 1, g->k - k, room[1]);
        for (int64_t p = 0; p < g->k - k; p++) last = NAME(mad_)(x[p], y[p], last);
        ((T *)g->c)[r * g->c_row] = k < g->k ? sum + last : sum;
    }
}
#endif

static void NAME(few_)(const Block *g)
{
    if (g->b_col == 1 && g->m == 1 && !g->a_kind.narrow && !g->b_kind.narrow && g->n >= LANES &&
        g->k * g->b_row * (int64_t)sizeof(T) <= NEAR_BYTES) {
        NAME(near_)(g);
#if GROUP == 1
    } else if (g->n == 1 && g->b_row == 1 && g->a_col == 1) {
        NAME(dots_)(g);
#endif
    } else if (g->b_col == 1 || g->n == 1 || g->b_row != 1) {
        int64_t size = g->b_kind.bytes;
        Block strip = *g;
        /* The chains of fewer rows leave room for longer lines, where these are read as they lie. */
        const int64_t most = !g->b_kind.narrow && g->b_col == 1 ? STRIP * (FEW_ROWS / g->m) : STRIP;
        for (int64_t j = 0; j < g->n; j += most) {
            strip.b = (const char *)g->b + j * g->b_col * size;
            strip.c = (T *)g->c + j;
            strip.n = MIN_OF(g->n - j, most);
            NAME(strip_)(&strip);
        }
    } else {
        for (int64_t j = 0; j < g->n; j += WIDE) NAME(columns_)(g, j);
    }
}

/* c[m][n] += x[m][n], rows c_row and n apart. */
static void NAME(add_)(void *c, int64_t c_row, const void *x, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) ((T *)c)[i * c_row + j] += ((const T *)x)[i * n + j];
}
