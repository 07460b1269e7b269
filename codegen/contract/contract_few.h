/* contract_few: few rows times a matrix that is read once and not packed: part of contract_kernel.h, whose macros it uses, and by
 * itself what there is for wide integers (contract_types.h). Each row of c takes chain after chain of mad(a[k], b[k][n], chain).
 * Operands may be of a narrow type, which is widened piece by piece. */

#define STRIP (4096 / (int)sizeof(T)) /* columns at a time */

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

/* c[n] takes four more links of its chain. */
static void NAME(four_)(const T *a, const T *const *b, int64_t n, T *c)
{
    const T *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
    const V x0 = SPLAT(a[0]), x1 = SPLAT(a[1]), x2 = SPLAT(a[2]), x3 = SPLAT(a[3]);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        STORE(c + j, MADD(x3, LOAD(b3 + j), MADD(x2, LOAD(b2 + j), MADD(x1, LOAD(b1 + j), MADD(x0, LOAD(b0 + j), LOAD(c + j))))));
    for (; j < n; j++)
        c[j] = NAME(mad_)(a[3], b3[j], NAME(mad_)(a[2], b2[j], NAME(mad_)(a[1], b1[j], NAME(mad_)(a[0], b0[j], c[j]))));
}

/* At most STRIP columns. */
static void NAME(strip_)(const Block *g)
{
    _Alignas(64) T a_room[FEW_ROWS * TREE_PRODUCT], chain[FEW_ROWS * STRIP], room[4 * STRIP];
    const T *a[FEW_ROWS], *b[4];
    int64_t apart = (g->n + LANES - 1) / LANES * LANES; /* rows of the chain */
    for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT) {
        int64_t length = MIN_OF(g->k - k0, TREE_PRODUCT), end = (length + GROUP - 1) / GROUP, k = 0;
        for (int64_t r = 0; r < g->m; r++)
            a[r] = NAME(chain_of_)(g->a_kind, g->a, r * g->a_row + k0 * g->a_col, g->a_col, length, a_room + r * TREE_PRODUCT);
        memset(chain, 0, (size_t)(g->m * apart) * sizeof(T));
        for (; k + 4 <= end; k += 4) {
            for (int l = 0; l < 4; l++) b[l] = NAME(line_of_b_)(g, k0 + (k + l) * GROUP, g->n, room + l * STRIP);
            for (int64_t r = 0; r < g->m; r++) NAME(four_)(a[r] + k, b, g->n, chain + r * apart);
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
        for (int64_t j = 0; j < g->n; j += STRIP) {
            strip.b = (const char *)g->b + j * g->b_col * size;
            strip.c = (T *)g->c + j;
            strip.n = MIN_OF(g->n - j, STRIP);
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
