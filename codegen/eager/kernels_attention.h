/* kernels_attention: what attention does to rows of scores, for one compute type, and its table attention_TYPE. kernels_template.h
 * expands it with TYPE, f32 or f64, after the loops of that type. Each step rounds as the op of its name does. No include guard;
 * undefines TYPE at the end. */
#define NAME(f) JOIN(f, TYPE)
#define C_TYPE NAME(element)

static inline void NAME(score_map)(MapFn *fn, C_TYPE *to, const C_TYPE *from) { fn(to, (const void *const[]){from}, SCORE_KEYS); }

/* Takes no care of NaN: the weight that such a score has makes all of its row NaN, whatever the largest score is. */
static inline C_TYPE NAME(larger)(C_TYPE x, C_TYPE y) { return x > y ? x : y; }

/* to[r] = the fold of row r, in the order of a sum in row form. Its last steps, in which a row alone would leave most of a vector
 * empty, are made for all rows side by side. */
#define FOLD_ROWS(step, n)        \
    for (int l = 0; l < (n); l++) \
        for (int64_t r = 0; r < rows; r++) across[l][r] = NAME(step)(across[l][r], across[l + (n)][r]);
#define SCORE_FOLD(name, step)                                                                                  \
    static void NAME(name)(C_TYPE * to, const C_TYPE *s, int64_t rows)                                          \
    {                                                                                                           \
        C_TYPE few[SCORE_ROWS][8], across[8][SCORE_ROWS];                                                       \
        for (int64_t r = 0; r < rows; r++, s += SCORE_KEYS) {                                                   \
            C_TYPE lane[TREE_LANES], half[16];                                                                  \
            for (int l = 0; l < TREE_LANES; l++) lane[l] = NAME(step)(s[l], s[l + TREE_LANES]);                 \
            for (int l = 0; l < 16; l++) half[l] = NAME(step)(lane[l], lane[l + 16]);                           \
            for (int l = 0; l < 8; l++) few[r][l] = NAME(step)(half[l], half[l + 8]);                           \
        }                                                                                                       \
        for (int64_t r = 0; r < rows; r++)                                                                      \
            for (int l = 0; l < 8; l++) across[l][r] = few[r][l];                                               \
        FOLD_ROWS(step, 4) FOLD_ROWS(step, 2) FOLD_ROWS(step, 1) memcpy(to, across, (size_t)rows * sizeof *to); \
    }
SCORE_FOLD(score_sums, step_sum)
SCORE_FOLD(score_largest, larger)
#undef FOLD_ROWS
#undef SCORE_FOLD
_Static_assert(SCORE_KEYS == 2 * TREE_LANES && TREE_LANES == 32, "what they fold");

/* s = s * scale + mask, which is the same for all keys or not. */
static inline void NAME(score_plain)(C_TYPE *s, C_TYPE scale, const C_TYPE *mask, int64_t mask_key, int64_t n)
{
    if (mask_key == 0) {
        const C_TYPE m = mask[0];
        for (int j = 0; j < SCORE_KEYS; j++) s[j] = s[j] * scale + m;
        return;
    }
    for (int64_t j = 0; j < n; j++) s[j] = s[j] * scale + mask[j];
}

/* One row: from products of q and k to scores; what is not seen is minus infinity. */
static inline void NAME(score_row)(const Scores *x, int64_t row, int64_t seen, C_TYPE *s, C_TYPE *slope)
{
    const C_TYPE cap = (C_TYPE)x->cap, scale = (C_TYPE)x->scale, *mask = (const C_TYPE *)x->mask + row * x->mask_row;
    for (int64_t j = x->keys; j < SCORE_KEYS; j++) s[j] = 0;
    for (int j = 0; slope && j < SCORE_KEYS; j++) slope[j] = scale;
    if (cap == 0) {
        NAME(score_plain)(s, scale, mask, x->mask_key, seen);
    } else {
        for (int j = 0; j < SCORE_KEYS; j++) s[j] = s[j] * scale / cap;
        NAME(score_map)(NAME(map_tanh), s, s);
        for (int j = 0; slope && j < SCORE_KEYS; j++) slope[j] = scale * (1 - s[j] * s[j]);
        NAME(score_plain)(s, cap, mask, x->mask_key, seen);
    }
    for (int64_t j = seen; j < SCORE_KEYS; j++) s[j] = -(C_TYPE)INFINITY;
}

/* The weights of the keys in place of their products, beside the row's largest score and the sum of weights so far; `fade` is what
 * earlier weights are worth now. */
static void NAME(score_weights)(const Scores *x, void *products, void *largest, void *sums, void *fade)
{
    C_TYPE *s = products, *most = largest, *sum = sums, *left = fade, now[SCORE_ROWS];
    for (int64_t r = 0; r < x->rows; r++) NAME(score_row)(x, r, scores_seen(x, r), s + r * SCORE_KEYS, NULL);
    NAME(score_largest)(now, s, x->rows);
    for (int64_t r = 0; r < x->rows; r++) {
        const C_TYPE high = NAME(larger)(most[r], now[r]), from = high == -(C_TYPE)INFINITY ? 0 : high;
        left[r] = most[r] - from;
        most[r] = high;
        now[r] = from;
    }
    NAME(map_exp)(left, (const void *const[]){left}, x->rows);
    for (int64_t r = 0; r < x->rows; r++)
        for (int j = 0; j < SCORE_KEYS; j++) s[r * SCORE_KEYS + j] = s[r * SCORE_KEYS + j] - now[r];
    NAME(map_exp)(s, (const void *const[]){s}, x->rows * SCORE_KEYS);
    NAME(score_sums)(now, s, x->rows);
    for (int64_t r = 0; r < x->rows; r++) sum[r] = sum[r] * left[r] + now[r];
}

/* to = to * fade + more, or without fade to + more. Where `more` lacks elements of a block (whole is false), each of them would
 * have added +0, which changes -0. */
static void NAME(score_add)(void *to, int64_t to_row, const void *more, const void *fade, int64_t rows, int64_t n, _Bool whole)
{
    C_TYPE *o = to;
    const C_TYPE *a = more, *left = fade;
    for (int64_t r = 0; r < rows; r++, o += to_row, a += n) {
        const C_TYPE f = left ? left[r] : 1;
        if (whole)
            INDEPENDENT for (int64_t i = 0; i < n; i++) o[i] = o[i] * f + a[i];
        else
            INDEPENDENT for (int64_t i = 0; i < n; i++) o[i] = o[i] * f + (a[i] + 0);
    }
}

static void NAME(score_end)(int64_t rows, void *values, void *largest, const void *sums, int64_t n)
{
    C_TYPE *o = values, *most = largest;
    const C_TYPE *sum = sums;
    for (int64_t r = 0; r < rows; r++, o += n) {
        for (int64_t i = 0; i < n; i++) o[i] = sum[r] == 0 ? 0 : o[i] / sum[r];
        most[r] = sum[r] == 0 ? -(C_TYPE)INFINITY : most[r] + NAME(math_log)(sum[r]);
    }
}

/* The weights in place of the products of q and k, and in place of those of g and v the cotangents of the former. A row that sees
 * nothing of the block has zeros. */
static void NAME(score_slopes)(const Scores *x, void *products, void *cotangents, const void *sums, const void *rests)
{
    C_TYPE *s = products, *d = cotangents, slope[SCORE_KEYS];
    const C_TYPE *sum = sums, *rest = rests;
    for (int64_t r = 0; r < x->rows; r++, s += SCORE_KEYS, d += SCORE_KEYS) {
        const int64_t seen = scores_seen(x, r);
        if (seen <= 0) {
            memset(s, 0, SCORE_KEYS * sizeof *s);
            memset(d, 0, SCORE_KEYS * sizeof *d);
            continue;
        }
        NAME(score_row)(x, r, seen, s, slope);
        const C_TYPE from = sum[r] == -(C_TYPE)INFINITY ? 0 : sum[r];
        for (int j = 0; j < SCORE_KEYS; j++) s[j] = s[j] - from;
        NAME(score_map)(NAME(map_exp), s, s);
        for (int64_t j = x->keys; j < SCORE_KEYS; j++) d[j] = 0;
        for (int j = 0; j < SCORE_KEYS; j++) d[j] = s[j] * (d[j] - rest[r]) * slope[j];
    }
}

static const ScoreFns NAME(scores) = {NAME(score_weights), NAME(score_add), NAME(score_end), NAME(score_slopes)};
#undef NAME
#undef C_TYPE
#undef TYPE
