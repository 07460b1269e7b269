/* factor_kernel: the steps of factor_tier.h of one type and instruction set. Products and sums are rounded one by one, in the order
 * of the loops of frontend/linalg, which objects and devices run. Expanded by factor_TIER.c with
 *   BYTES  of a vector
 *   T, I   a float, and the signed integer of its size
 *   NAMED  of a name: that with the type
 *   ROOT   the square root
 *   LARGEST_KEY  the bits of infinity, and one more: what all NaN count as
 * Undefines T, I, NAMED, ROOT, LARGEST_KEY. No include guard. */

#define V NAMED(FV)
#define K NAMED(FK)
typedef T V __attribute__((vector_size(BYTES)));
typedef I K __attribute__((vector_size(BYTES)));
#define LANES ((int64_t)(BYTES / sizeof(T)))
#define ABREAST 8 /* columns whose parts the columns behind them get at once */

static inline V NAMED(fload)(const T *p)
{
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void NAMED(fstore)(T *p, V v) { memcpy(p, &v, sizeof v); }
static inline K NAMED(kload)(const void *p)
{
    K v;
    memcpy(&v, p, sizeof v);
    return v;
}
#define LOAD NAMED(fload)
#define STORE NAMED(fstore)
#define KEYS NAMED(kload)

/* ---- a panel --------------------------------------------------------------------------------------------------------------- */
/* Numbers in the order of what pivots are chosen by: the size, NaN above all; 0 where the row is not free. */
static inline K NAMED(keys)(const T *column, const I *is_free)
{
    const I all = ~((I)1 << (8 * sizeof(I) - 1)), most = LARGEST_KEY;
    const K x = KEYS(column) & all, larger = x > most;
    return (((x & ~larger) | (most & larger)) + 1) & KEYS(is_free);
}

/* The first of the free rows that have the largest element. */
static inline int64_t NAMED(pivot_row)(const T *column, const I *is_free, int64_t line)
{
    K best = {0}, at = {0};
    I most = 0;
    int64_t row = INT64_MAX;
    for (int64_t i = 0; i < line; i += LANES) {
        const K here = NAMED(keys)(column + i, is_free + i), larger = here > best;
        best = (here & larger) | (best & ~larger);
        at = ((I)(i / LANES) & larger) | (at & ~larger);
    }
    for (int64_t l = 0; l < LANES; l++) most = best[l] > most ? best[l] : most;
    for (int64_t l = 0; l < LANES; l++)
        if (best[l] == most && at[l] * LANES + l < row) row = at[l] * LANES + l;
    return row;
}

/* The column becomes that of L; 0 where the row is not free. */
static inline void NAMED(divide)(T *column, const I *is_free, int64_t line, T pivot)
{
    if (pivot == 0)
        for (int64_t i = 0; i < line; i += LANES) STORE(column + i, (V)(KEYS(column + i) & KEYS(is_free + i)));
    else
        for (int64_t i = 0; i < line; i += LANES) STORE(column + i, (V)((K)(LOAD(column + i) / pivot) & KEYS(is_free + i)));
}

static inline void NAMED(lose)(T *to, const T *column, T x, int64_t line)
{
    for (int64_t i = 0; i < line; i += LANES) STORE(to + i, LOAD(to + i) - LOAD(column + i) * x);
}

/* The same of several columns, one after the other. */
static inline void NAMED(lose_several)(T *to, const T *column, const T *x, int64_t line)
{
    for (int64_t i = 0; i < line; i += LANES) {
        V v = LOAD(to + i);
#pragma GCC unroll 8
        for (int64_t j = 0; j < ABREAST; j++) v -= LOAD(column + j * line + i) * x[j];
        STORE(to + i, v);
    }
}

/* Column c gets what the pivots of columns `from` to `end` - 1 leave: first their own rows do, in `row`. */
static inline void NAMED(follow)(const FactorPanel *p, int64_t from, int64_t end, int64_t c)
{
    T *to = (T *)p->column + c * p->line, *row = p->row, u[ABREAST];
    for (int64_t j = from; j < end; j++) {
        T x = to[p->pivot[j]];
        for (int64_t i = from; i < j; i++) x -= row[j * FACTOR_LEAF + i] * u[i - from];
        row[j * FACTOR_LEAF + c] = u[j - from] = x;
    }
    const T *column = (const T *)p->column + from * p->line;
    if (end - from == ABREAST)
        NAMED(lose_several)(to, column, u, p->line);
    else
        for (int64_t j = from; j < end; j++) NAMED(lose)(to, column + (j - from) * p->line, u[j - from], p->line);
}

static void NAMED(panel)(const FactorPanel *p)
{
    T *column = p->column, *row = p->row;
    I *is_free = p->free;
    for (int64_t from = 0; from < p->n; from += ABREAST) {
        const int64_t end = from + ABREAST < p->n ? from + ABREAST : p->n;
        for (int64_t j = from; j < end; j++) {
            T *here = column + j * p->line, *u = row + j * FACTOR_LEAF;
            const int64_t r = NAMED(pivot_row)(here, is_free, p->line);
            p->pivot[j] = r;
            is_free[r] = 0;
            for (int64_t c = 0; c < end; c++) u[c] = column[c * p->line + r];
            NAMED(divide)(here, is_free, p->line, u[j]);
            for (int64_t c = j + 1; c < end; c++) NAMED(lose)(column + c * p->line, here, u[c], p->line);
        }
        for (int64_t c = end; c < p->n; c++) NAMED(follow)(p, from, end, c);
    }
}

/* ---- roots ----------------------------------------------------------------------------------------------------------------- */
static void NAMED(cholesky)(void *a, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        T *u = (T *)a + j * FACTOR_LEAF;
        const T pivot = ROOT(u[j]);
        for (int64_t k = j / LANES * LANES; k < n; k += LANES) STORE(u + k, LOAD(u + k) / pivot);
        for (int64_t i = j + 1; i < n; i++) {
            T *row = (T *)a + i * FACTOR_LEAF;
            for (int64_t k = i / LANES * LANES; k < n; k += LANES) STORE(row + k, LOAD(row + k) - u[i] * LOAD(u + k));
        }
        memset(u, 0, sizeof(T) * (size_t)j); /* a division by zero leaves none */
    }
}

/* ---- triangles ------------------------------------------------------------------------------------------------------------- */
#define WIDE (FACTOR_LEAF / LANES)
static void NAMED(inverse)(void *to, const void *of, int64_t n, bool unit)
{
    T *x = to;
    const T *a = of;
    memset(x, 0, sizeof(T) * FACTOR_LEAF * FACTOR_LEAF);
    for (int64_t j = 0; j < n; j++) {
        V sum[WIDE];
        for (int64_t l = 0; l < WIDE; l++) sum[l] = (V){0};
        for (int64_t k = 0; k < j; k++)
#pragma GCC unroll 16
            for (int64_t l = 0; l < WIDE; l++) sum[l] += a[j * FACTOR_LEAF + k] * LOAD(x + k * FACTOR_LEAF + l * LANES);
        x[j * FACTOR_LEAF + j] = 1;
        for (int64_t l = 0; l < WIDE; l++) {
            V v = LOAD(x + j * FACTOR_LEAF + l * LANES) - sum[l];
            STORE(x + j * FACTOR_LEAF + l * LANES, unit ? v : v / a[j * FACTOR_LEAF + j]);
        }
        memset(x + j * FACTOR_LEAF + j + 1, 0, sizeof(T) * (size_t)(FACTOR_LEAF - j - 1)); /* zeros even by a zero */
    }
}

static void NAMED(few)(void *to, int64_t x_row, const void *of, int64_t a_row, int64_t n, int64_t c, bool upper, bool unit)
{
    const T *a = of;
    for (int64_t turn = 0; turn < n && c == 1; turn++) { /* the same, without a loop in it */
        const int64_t j = upper ? n - 1 - turn : turn, first = upper ? 0 : j + 1, end = upper ? j : n;
        T *x = to, v = x[j * x_row];
        if (!unit) x[j * x_row] = v = v / a[j * a_row + j];
        for (int64_t k = first; k < end; k++) x[k * x_row] -= a[k * a_row + j] * v;
    }
    for (int64_t turn = 0; turn < n && c != 1; turn++) {
        const int64_t j = upper ? n - 1 - turn : turn, first = upper ? 0 : j + 1, end = upper ? j : n;
        T *row = (T *)to + j * x_row;
        for (int64_t i = 0; i < c && !unit; i++) row[i] = row[i] / a[j * a_row + j];
        for (int64_t k = first; k < end; k++) {
            T *x = (T *)to + k * x_row;
            for (int64_t i = 0; i < c; i++) x[i] -= a[k * a_row + j] * row[i];
        }
    }
}

/* ---- moves ----------------------------------------------------------------------------------------------------------------- */
static void NAMED(less)(void *to, int64_t x_row, const void *of, int64_t m, int64_t n)
{
    const T *y = of;
    for (int64_t i = 0; i < m; i++, y += n) {
        T *x = (T *)to + i * x_row;
        int64_t j = 0;
        for (; j + LANES <= n; j += LANES) STORE(x + j, LOAD(x + j) - LOAD(y + j));
        for (; j < n; j++) x[j] -= y[j];
    }
}

/* A few rows at a time, for they may lie apart by a power of two, so that a cache has no room for many. */
#define ROWS 8
static void NAMED(turn)(void *to, int64_t line, const void *of, int64_t row, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i += ROWS) {
        const T *from = (const T *)of + i * row;
        T *p = (T *)to + i;
        for (int64_t c = 0; c < n && i + ROWS <= m; c++)
#pragma GCC unroll 8
            for (int64_t l = 0; l < ROWS; l++) p[c * line + l] = from[l * row + c];
        for (int64_t c = 0; c < n && i + ROWS > m; c++)
            for (int64_t l = 0; l < m - i; l++) p[c * line + l] = from[l * row + c];
    }
}

static void NAMED(back)(void *to, int64_t row, const void *of, int64_t line, const int64_t *which, int64_t m, int64_t n)
{
    const T *from = of;
    for (int64_t i = 0; i < m; i += ROWS, which += ROWS) {
        T *p = (T *)to + i * row;
        for (int64_t c = 0; c < n && i + ROWS <= m; c++)
#pragma GCC unroll 8
            for (int64_t l = 0; l < ROWS; l++) p[l * row + c] = from[c * line + which[l]];
        for (int64_t c = 0; c < n && i + ROWS > m; c++)
            for (int64_t l = 0; l < m - i; l++) p[l * row + c] = from[c * line + which[l]];
    }
}
#undef ROWS

static const FactorType NAMED(factor) = {
    NAMED(panel), NAMED(inverse), NAMED(few), NAMED(cholesky), NAMED(less), NAMED(turn), NAMED(back)};

#undef V
#undef K
#undef LANES
#undef ABREAST
#undef LOAD
#undef STORE
#undef KEYS
#undef WIDE
#undef T
#undef I
#undef NAMED
#undef ROOT
#undef LARGEST_KEY
