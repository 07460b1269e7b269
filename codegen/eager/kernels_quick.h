/* kernels_quick: what sorts keys of WIDTH bits by parting them about a pivot, 64 bytes at a time, until so few are left that a
 * network of comparisons sorts them in registers. Relies on kernels_sort.h, which includes it where vectors of such keys can be
 * compressed. No include guard. */
#define OP(name, kind) JOIN3(_mm512_##name##_##kind, WIDTH, )
#define MASK(name, kind) JOIN3(_mm512_##name##_##kind, WIDTH, _mask)
enum { OF(QUICK_MOST) = SORT_QUICK_ROWS * OF(LANES), OF(QUICK_BITS) = sizeof(KEY) == 4 ? 4 : 3 };

static inline __mmask16 OF(quick_there)(int64_t n)
{
    return (__mmask16)(n >= OF(LANES) ? (1 << OF(LANES)) - 1 : n > 0 ? (1 << n) - 1 : 0);
}

/* Of the lanes' a and b the larger one where `high` says so, else the smaller one. */
static inline __m512i OF(quick_chosen)(__m512i a, __m512i b, __mmask16 high)
{
    return OP(mask_max, epu)
    (OP(min, epu)(a, b), high, a, b);
}

/* Each lane's `rows` keys in order: of two sorted parts, a key of one and the mirrored one of the other change places, and each
 * half then has what belongs there. K. E. Batcher, Sorting networks and their applications, 1968. */
static inline __attribute__((always_inline)) void OF(quick_columns)(__m512i *v, int rows, int sorted)
{
    for (int d = sorted, flip = 2 * sorted - 1; d > 0; d /= 2, flip = d)
        for (int i = 0; i < rows; i++) {
            const int j = i ^ flip;
            if (j < i) continue;
            const __m512i a = v[i], b = v[j];
            v[i] = OP(min, epu)
            (a, b);
            v[j] = OP(max, epu)
            (a, b);
        }
}

/* Lines of `lanes` lanes, whose key number i is in lane i / rows, become lines of twice as many, in the same way. */
static inline __attribute__((always_inline)) void OF(quick_join)(__m512i *v, int rows, int lanes, __m512i lane)
{
    const __m512i mirrored = _mm512_xor_si512(lane, OP(set1, epi)(2 * lanes - 1));
    const __mmask16 upper = MASK(test, epi)(lane, OP(set1, epi)(lanes));
    for (int i = 0; i < (rows + 1) / 2; i++) {
        const __m512i a = v[i], b = v[rows - 1 - i];
        v[i] = OF(quick_chosen)(a, OP(permutexvar, epi)(mirrored, b), upper);
        if (rows > 1) v[rows - 1 - i] = OF(quick_chosen)(b, OP(permutexvar, epi)(mirrored, a), upper);
    }
    for (int d = lanes / 2; d > 0; d /= 2) {
        const __m512i other = _mm512_xor_si512(lane, OP(set1, epi)(d));
        const __mmask16 high = MASK(test, epi)(lane, OP(set1, epi)(d));
        for (int i = 0; i < rows; i++) v[i] = OF(quick_chosen)(v[i], OP(permutexvar, epi)(other, v[i]), high);
    }
    for (int d = rows / 2; d > 0; d /= 2)
        for (int i = 0; i < rows; i++)
            if (!(i & d)) {
                const __m512i a = v[i], b = v[i + d];
                v[i] = OP(min, epu)
                (a, b);
                v[i + d] = OP(max, epu)
                (a, b);
            }
}

/* Rows and lanes change their roles: key i of the line comes to lane i % LANES. Each turn puts the first half of the rows and the
 * second one together, a key of either in turn. */
static inline __attribute__((always_inline)) void OF(quick_turn)(__m512i *v, int rows, __m512i lane)
{
    const __m512i half = OP(srli, epi)
    (lane, 1), odd = OP(slli, epi)
    (_mm512_and_si512(lane, OP(set1, epi)(1)), OF(QUICK_BITS));
    const __m512i low = OP(add, epi)
    (half, odd), high = OP(add, epi)
    (low, OP(set1, epi)(OF(LANES) / 2));
    for (int turn = 1; turn < rows; turn *= 2) {
        __m512i to[SORT_QUICK_ROWS];
        for (int i = 0; i < rows / 2; i++) {
            to[2 * i] = OP(permutex2var, epi)
            (v[i], low, v[i + rows / 2]);
            to[2 * i + 1] = OP(permutex2var, epi)
            (v[i], high, v[i + rows / 2]);
        }
        for (int i = 0; i < rows; i++) v[i] = to[i];
    }
}

static inline __attribute__((always_inline)) void OF(quick_rows)(KEY *keys, int64_t n, int rows)
{
    KEY number[OF(LANES)];
    __mmask16 there[SORT_QUICK_ROWS];
    __m512i v[SORT_QUICK_ROWS], lane;
    for (int i = 0; i < OF(LANES); i++) number[i] = (KEY)i;
    lane = _mm512_loadu_si512(number);
    for (int i = 0; i < rows; i++) {
        there[i] = OF(quick_there)(n - i * OF(LANES));
        v[i] = OP(mask_loadu, epi)
        (OP(set1, epi)(-1), there[i], keys + i * OF(LANES));
    }
    for (int sorted = 1; sorted < rows; sorted *= 2) OF(quick_columns)(v, rows, sorted);
    for (int lanes = 1; lanes < OF(LANES); lanes *= 2) OF(quick_join)(v, rows, lanes, lane);
    OF(quick_turn)(v, rows, lane);
    for (int i = 0; i < rows; i++) OP(mask_storeu, epi)
    (keys + i * OF(LANES), there[i], v[i]);
}

static void OF(quick_few)(void *keys, int64_t n)
{
    const int64_t rows = (n - 1) / OF(LANES) + 1;
    if (rows <= 1)
        OF(quick_rows)(keys, n, 1);
    else if (rows <= 2)
        OF(quick_rows)(keys, n, 2);
    else if (rows <= 4)
        OF(quick_rows)(keys, n, 4);
    else if (rows <= 8)
        OF(quick_rows)(keys, n, 8);
    else
        OF(quick_rows)(keys, n, SORT_QUICK_ROWS);
}

/* The middle one of some keys, of more if there are many, so that halves are alike. */
static uint64_t OF(quick_pivot)(const void *keys, int64_t n)
{
    KEY some[OF(QUICK_MOST)];
    const int64_t count = n > 16 * OF(QUICK_MOST) ? OF(QUICK_MOST) : OF(LANES);
    for (int64_t i = 0; i < count; i++) some[i] = ((const KEY *)keys)[i * (n / count)];
    OF(quick_few)(some, count);
    return some[count / 2];
}

static int64_t OF(quick_below)(const void *keys, int64_t n, uint64_t pivot)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += ((const KEY *)keys)[i] <= (KEY)pivot;
    return count;
}

/* Keys up to the pivot go to `low` and on, others before `high`; how many there are of the former. */
static int64_t OF(quick_part)(void *low, void *high, const void *keys, int64_t n, uint64_t pivot)
{
    KEY *l = low, *h = high;
    const __m512i p = OP(set1, epi)
    ((KEY)pivot);
    for (int64_t i = 0; i < n; i += OF(LANES)) {
        const __mmask16 there = OF(quick_there)(n - i);
        const __m512i v = OP(maskz_loadu, epi)
        (there, (const KEY *)keys + i);
        const __mmask16 above = there & MASK(cmpgt, epu)(v, p), below = there & (__mmask16)~above;
        h -= __builtin_popcount(above);
        OP(mask_compressstoreu, epi)
        (h, above, v);
        OP(mask_compressstoreu, epi)
        (l, below, v);
        l += __builtin_popcount(below);
    }
    return l - (KEY *)low;
}

#undef OP
#undef MASK
