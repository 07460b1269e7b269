/* contract_places: windows of a convolution that keeps channels apart, at places that lie side by side: lanes run along the
 * channels, and a list says where each position's channels lie, be that in x or in a row of zeros. Part of contract_kernel.h, whose
 * macros it uses. */

#define PLACES 8 /* chains enough to hide how long one link takes */

/* A line of taps, in order. Of three or five that lie side by side each position is loaded once, or for two places that meet there
 * once; `at` is where the first place begins. */
#define EACH_TAP(rows, taps, stride)                                  \
    {                                                                 \
        V x[taps];                                                    \
        UNROLL                                                        \
        for (int w = 0; w < (taps); w++) x[w] = LOAD(b + w * b_row);  \
        UNROLL                                                        \
        for (int q = 0; q < ((rows)-1) * (stride) + (taps); q++) {    \
            const V y = LOAD((const T *)at[q] + column);              \
            UNROLL                                                    \
            for (int r = 0; r < (rows); r++)                          \
                if (q >= r * (stride) && q < r * (stride) + (taps)) { \
                    const int w = q - r * (stride);                   \
                    chain[r] = MADD(y, x[w], chain[r]);               \
                }                                                     \
        }                                                             \
    }

/* So many places, a vector of channels after the other, the last of which overlaps the one before. */
#define PLACES_FN(name, rows, TAPS)                                                                   \
    static void NAME(name##rows##_)(const Places *g, const void *const *first, T *to)                 \
    {                                                                                                 \
        const int64_t b_row = g->b_row, stride = g->stride, dilation = g->dilation;                   \
        (void)stride, (void)dilation;                                                                 \
        for (int64_t j = 0; j < g->n; j += LANES) {                                                   \
            const int64_t column = MIN_OF(j, g->n - LANES);                                           \
            const T *b = (const T *)g->b + column;                                                    \
            const void *const *at = first;                                                            \
            V chain[rows];                                                                            \
            UNROLL                                                                                    \
            for (int r = 0; r < (rows); r++) chain[r] = SPLAT(0);                                     \
            for (int64_t i = 0; i < g->lines; i++, at += g->wide, b += g->taps * b_row) TAPS(rows)    \
            UNROLL                                                                                    \
            for (int r = 0; r < (rows); r++) STORE(to + r * g->to_row + column, SPLAT(0) + chain[r]); \
        }                                                                                             \
    }
#define THREE(rows) EACH_TAP(rows, 3, 1)
#define THREE_BY_TWO(rows) EACH_TAP(rows, 3, 2)
#define FIVE(rows) EACH_TAP(rows, 5, 1)
#define ANY(rows)                                                                                                               \
    for (int64_t w = 0; w < g->taps; w++) {                                                                                     \
        const V x = LOAD(b + w * b_row);                                                                                        \
        UNROLL                                                                                                                  \
        for (int r = 0; r < (rows); r++) chain[r] = MADD(LOAD((const T *)at[r * stride + w * dilation] + column), x, chain[r]); \
    }
#define PLACES_FNS(rows) \
    PLACES_FN(three, rows, THREE) PLACES_FN(skip, rows, THREE_BY_TWO) PLACES_FN(five, rows, FIVE) PLACES_FN(any, rows, ANY)
/* clang-format off */
PLACES_FNS(1) PLACES_FNS(2) PLACES_FNS(3) PLACES_FNS(4) PLACES_FNS(5) PLACES_FNS(6) PLACES_FNS(7) PLACES_FNS(8)

typedef void (*NAME(PlacesFn_))(const Places *, const void *const *, T *);
/* clang-format on */

/* Fewer channels than a vector has. */
static void NAME(places_rest_)(const Places *g, const void *const *at, T *to, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++, at += g->stride, to += g->to_row) {
        T chain[LANES] = {0};
        const T *b = g->b;
        for (int64_t i = 0; i < g->lines; i++)
            for (int64_t w = 0; w < g->taps; w++, b += g->b_row) {
                const T *x = at[i * g->wide + w * g->dilation];
                for (int64_t j = 0; j < g->n; j++) chain[j] = NAME(mad_)(x[j], b[j], chain[j]);
            }
        for (int64_t j = 0; j < g->n; j++) to[j] = 0 + chain[j];
    }
}

/* Tile after tile of places, of all runs before the next: what their windows share stays in the first cache. */
static void NAME(places_)(const Places *g)
{
#define OF(name)                                                                                                              \
    {                                                                                                                         \
        NULL, NAME(name##1_), NAME(name##2_), NAME(name##3_), NAME(name##4_), NAME(name##5_), NAME(name##6_), NAME(name##7_), \
            NAME(name##8_)                                                                                                    \
    }
    static const NAME(PlacesFn_) three[] = OF(three), skip[] = OF(skip), five[] = OF(five), any[] = OF(any);
#undef OF
    const bool near = g->dilation == 1 || g->taps == 1;
    const NAME(PlacesFn_) *tile = near && g->taps == 3 && g->stride == 1   ? three
                                  : near && g->taps == 3 && g->stride == 2 ? skip
                                  : near && g->taps == 5 && g->stride == 1 ? five
                                                                           : any;
    const int64_t tiles = tile_count(PLACES, g->m);
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t r = tile_first(PLACES, g->m, t), rows = tile_first(PLACES, g->m, t + 1) - r;
        for (int64_t i = 0; i < g->runs; i++) {
            const void *const *at = g->at + i * g->lines * g->wide + r * g->stride;
            T *to = (T *)g->to + g->run_to[i] + r * g->to_row;
            if (g->n < LANES)
                NAME(places_rest_)(g, at, to, rows);
            else
                tile[rows](g, at, to);
        }
    }
}

#undef PLACES
#undef EACH_TAP
#undef PLACES_FN
#undef PLACES_FNS
#undef THREE
#undef THREE_BY_TWO
#undef FIVE
#undef ANY
