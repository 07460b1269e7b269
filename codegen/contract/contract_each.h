/* contract_each: many small products side by side, as of a convolution that keeps channels apart: lanes run along them. Part of
 * contract_kernel.h, whose macros it uses. */

#define EACH_ROWS 4

/* Some rows, not more than EACH_ROWS, of LANES columns: chain after chain. */
static void NAME(each_tile_)(const Block *g, const T *a, const T *b, T *c, int64_t rows)
{
    const T *row[EACH_ROWS];
    bool carry = g->carry;
    for (int64_t r = 0; r < EACH_ROWS; r++) row[r] = a + MIN_OF(r, rows - 1) * g->a_row;
    for (int64_t k0 = 0; k0 < g->k; k0 += TREE_PRODUCT, carry = true) {
        V chain[EACH_ROWS];
        UNROLL
        for (int r = 0; r < EACH_ROWS; r++) chain[r] = SPLAT(0);
        for (int64_t k = k0; k < MIN_OF(g->k, k0 + TREE_PRODUCT); k++) {
            const V x = LOAD(b + k * g->b_row);
            int64_t at = g->runs->k[k];
            UNROLL
            for (int r = 0; r < EACH_ROWS; r++) chain[r] = MADD(LOAD(row[r] + at), x, chain[r]);
        }
        for (int64_t r = 0; r < rows; r++) {
            T *to = c + r * g->c_row;
            STORE(to, (carry ? LOAD(to) : SPLAT(0)) + chain[r]);
        }
    }
}

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

static void NAME(each_)(const Block *g)
{
    int64_t whole = g->n / LANES * LANES;
    for (int64_t i = 0; i < g->runs->count; i++) {
        const T *a = (const T *)g->a + g->runs->a[i], *b = g->b;
        T *c = (T *)g->c + g->runs->c[i];
        for (int64_t r = 0; r < g->m; r += EACH_ROWS)
            for (int64_t j = 0; j < whole; j += LANES)
                NAME(each_tile_)(g, a + r * g->a_row + j, b + j, c + r * g->c_row + j, MIN_OF(g->m - r, EACH_ROWS));
        for (int64_t r = 0; r < g->m && whole < g->n; r++)
            NAME(each_rest_)(g, a + r * g->a_row + whole, b + whole, c + r * g->c_row + whole, g->n - whole);
    }
}

#undef EACH_ROWS
