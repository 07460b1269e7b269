/* kernels_sort: what sorts keys of WIDTH bits: a network of comparisons on as many lines at once as fill 64 bytes, and the steps of
 * a sort by one byte of the keys after the other. Relies on kernels_template.h, which includes it once per width. No include guard.
 */
#define KEY JOIN3(uint, WIDTH, _t)
#define OF(name) JOIN(name, WIDTH)
#define ALL ((KEY) ~(KEY)0)
#define SIGN ((KEY)(ALL / 2 + 1))
enum { OF(LANES) = SORT_LANES_BYTES / sizeof(KEY) };

/* ---- keys, see KeyOrder ---------------------------------------------------------------------------- */

static void OF(sort_keys)(void *to, const void *from, int64_t n, const KeyOrder *o)
{
    KEY *k = to;
    const KEY *x = from, flip = (KEY)o->flip, turned = (KEY)o->turned, largest = (KEY)o->largest;
    if (!o->is_float)
        INDEPENDENT for (int64_t i = 0; i < n; i++) k[i] = x[i] ^ flip;
    else
        INDEPENDENT for (int64_t i = 0; i < n; i++)
        {
            const KEY b = x[i], key = (KEY)(b ^ (b >= SIGN ? turned : flip));
            k[i] = (KEY)(b & (KEY)~SIGN) > largest ? ALL : key;
        }
}

static void OF(sort_elements)(void *to, const void *from, int64_t n, const KeyOrder *o)
{
    KEY *x = to;
    const KEY *k = from, flip = (KEY)o->flip, turned = (KEY)o->turned;
    const KEY high = flip >= SIGN ? flip : turned, low = flip >= SIGN ? turned : flip;
    if (!o->is_float)
        INDEPENDENT for (int64_t i = 0; i < n; i++) x[i] = k[i] ^ flip;
    else
        INDEPENDENT for (int64_t i = 0; i < n; i++) x[i] = (KEY)(k[i] ^ (k[i] >= SIGN ? high : low));
}

/* ---- many lines at once ----------------------------------------------------------------------------- */

/* Element i of lane l is key[i * lanes + l]. Batcher's merge exchange: D. E. Knuth, The Art of Computer Programming 3, 5.2.2,
 * algorithm M. */
static void OF(sort_lanes)(void *keys, int64_t n)
{
    int64_t top = 1;
    while (2 * top < n) top *= 2;
    for (int64_t p = top; p > 0; p /= 2) {
        for (int64_t q = top, r = 0, d = p;; d = q - p, q /= 2, r = p) {
            for (int64_t first = r; first < n - d; first += 2 * p) {
                KEY *a = (KEY *)keys + first * OF(LANES), *b = a + d * OF(LANES);
                for (int64_t i = MIN_OF(p, n - d - first); i > 0; i--, a += OF(LANES), b += OF(LANES))
                    INDEPENDENT for (int l = 0; l < OF(LANES); l++)
                    {
                        const KEY x = a[l], y = b[l];
                        a[l] = x < y ? x : y;
                        b[l] = x < y ? y : x;
                    }
            }
            if (q == p) break;
        }
    }
}

/* Between lines, whose elements lie `step` apart and which begin at `at`, and lanes. */
#define TURNED 64 /* elements of each line, so that what is met again is still in the cache */
static void OF(sort_gather)(void *to, const void *from, int64_t n, const int64_t *at, int lanes, int64_t step)
{
    for (int64_t first = 0; first < n; first += TURNED)
        for (int l = 0; l < lanes; l++) {
            const KEY *x = (const KEY *)from + at[l];
            for (int64_t i = first; i < MIN_OF(first + TURNED, n); i++) ((KEY *)to)[i * OF(LANES) + l] = x[i * step];
        }
}

/* Lines as lanes of numbers of 64 bits: the element's key, in which both zeros are one, and behind it its place. */
static void OF(sort_pairs)(uint64_t *to, const void *from, int64_t n, const int64_t *at, int lanes, int64_t step, const KeyOrder *o)
{
    enum { ROW = SORT_LANES_BYTES / sizeof *to };
    const KEY flip = (KEY)o->flip, turned = (KEY)o->turned, largest = (KEY)o->largest;
    for (int l = 0; l < lanes; l++) {
        const KEY *x = (const KEY *)from + at[l];
        for (int64_t i = 0; i < n; i++) {
            const KEY b = x[i * step], size = (KEY)(b & (KEY)~SIGN);
            KEY key = (KEY)(b ^ flip);
            if (o->is_float) key = size > largest ? ALL : size == 0 ? flip : b >= SIGN ? (KEY)(b ^ turned) : key;
            to[i * ROW + l] = (uint64_t)key << 32 | (uint64_t)i;
        }
    }
}

static void OF(sort_scatter)(void *to, const void *from, int64_t n, const int64_t *at, int lanes, int64_t step)
{
    for (int64_t first = 0; first < n; first += TURNED)
        for (int l = 0; l < lanes; l++) {
            KEY *x = (KEY *)to + at[l];
            for (int64_t i = first; i < MIN_OF(first + TURNED, n); i++) x[i * step] = ((const KEY *)from)[i * OF(LANES) + l];
        }
}
#undef TURNED

/* ---- one line --------------------------------------------------------------------------------------- */

static int OF(sort_byte)(const void *key, int byte) { return (int)(*(const KEY *)key >> 8 * byte & 255); }

/* Adds to count[b] how often byte number `byte` is b. */
static void OF(sort_count)(const void *keys, int64_t n, int byte, int64_t *count)
{
    const KEY *k = keys;
    for (int64_t i = 0; i < n; i++) count[k[i] >> 8 * byte & 255]++;
}

/* The same for byte and the one above it, whose counts lie behind. */
static void OF(sort_count_two)(const void *keys, int64_t n, int byte, int64_t *count)
{
    const KEY *k = keys;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t two = (uint32_t)(k[i] >> 8 * byte);
        count[two & 255]++;
        count[256 + (two >> 8 & 255)]++;
    }
}

static void OF(sort_insert)(void *keys, int64_t n)
{
    KEY *k = keys;
    for (int64_t i = 1; i < n; i++) {
        const KEY x = k[i];
        int64_t at = i;
        for (; at > 0 && k[at - 1] > x; at--) k[at] = k[at - 1];
        k[at] = x;
    }
}

/* Puts each key, in order, at the next place of its byte. */
static void OF(sort_place)(void *to, const void *keys, int64_t n, int byte, int64_t *place)
{
    const KEY *k = keys;
    for (int64_t i = 0; i < n; i++) ((KEY *)to)[place[k[i] >> 8 * byte & 255]++] = k[i];
}

#if defined __AVX512F__ && WIDTH >= 32
#include "kernels_quick.h"
#define QUICK OF(QUICK_MOST), OF(quick_few), OF(quick_pivot), OF(quick_below), OF(quick_part)
#else
#define QUICK 0, NULL, NULL, NULL, NULL
#endif

static const SortFns OF(sort) = {OF(sort_keys), OF(sort_elements), OF(sort_lanes), OF(sort_gather), OF(sort_pairs),
    OF(sort_scatter), OF(sort_byte), OF(sort_count), OF(sort_count_two), OF(sort_place), OF(sort_insert), QUICK};

#undef QUICK
#undef KEY
#undef OF
#undef ALL
#undef SIGN
#undef WIDTH
