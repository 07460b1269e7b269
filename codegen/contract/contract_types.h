/* contract_types: the products of one instruction set, of every type. Integers wrap, so that their order is free: those that i16
 * holds lie in packed operands as pairs, of which one instruction makes two products and a sum; wide ones are read as they lie.
 * Expanded by contract_TIER.c with
 *   BYTES               of a vector
 *   ROWS                of a tile, 6 or 14
 *   turn_f32 turn_f64   to[l] = element at + l of as many rows as there are lanes; they only move bits
 *   MADD_f32 MADD_f64   of x, y, z: one rounding exactly where ir/scalar.c's mad has one; where they are not, there are no floats
 *   MADD_pairs          of x, y, z: z[i] + x[2i] y[2i] + x[2i + 1] y[2i + 1], x and y as i16
 * No include guard. Relies on contract_kernel.h and the compiler's vector types. */

#define VECTOR(t)                                           \
    typedef c_##t V##t __attribute__((vector_size(BYTES))); \
    static inline V##t load_##t(const c_##t *p)             \
    {                                                       \
        V##t v;                                             \
        memcpy(&v, p, sizeof v);                            \
        return v;                                           \
    }                                                       \
    static inline void store_##t(c_##t *p, V##t v) { memcpy(p, &v, sizeof v); }
VECTOR(f32)
VECTOR(f64)
VECTOR(i32)
VECTOR(i64)
#undef VECTOR

/* ---- integers --------------------------------------------------------------------------------- */

#define INTEGER(t, f)                                                                                     \
    static inline c_##t mad_##t(c_##t x, c_##t y, c_##t z) { return x * y + z; }                          \
    static inline void turn_##t(V##t *to, const c_##t *const *row, int64_t at)                            \
    {                                                                                                     \
        const c_##f *from[BYTES / sizeof(c_##t)];                                                         \
        for (size_t l = 0; l < BYTES / sizeof(c_##t); l++) from[l] = (const c_##f *)(const void *)row[l]; \
        turn_##f((void *)to, from, at);                                                                   \
    }
INTEGER(i32, f32)
INTEGER(i64, f64)
#undef INTEGER
#define MADD_i32(x, y, z) ((x) * (y) + (z))
#define MADD_i64(x, y, z) ((x) * (y) + (z))

typedef int16_t __attribute__((may_alias)) Half;

/* MADD_pairs of one. */
static inline int32_t mad_pairs(int32_t x, int32_t y, int32_t z) { return (int16_t)x * (int16_t)y + (x >> 16) * (y >> 16) + z; }

/* to[n]: pairs of the elements x[i * apart] and y[i * apart], y being NULL of x and 0. */
static void pairs_across(int type, int32_t *to, const void *x, const void *y, int64_t apart, int64_t n)
{
    const uint32_t mask = y ? UINT32_MAX : UINT16_MAX;
    if (!y) y = x;
    switch (type) {
#define FOR(t, step)                                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                                   \
        const uint32_t low = (uint16_t)((const c_##t *)x)[i * (step)], high = (uint16_t)((const c_##t *)y)[i * (step)]; \
        to[i] = (int32_t)((low | high << 16) & mask);                                                                   \
    }
#define CASE(t)           \
    case DT_##t:          \
        if (apart == 1)   \
            FOR(t, 1)     \
        else              \
            FOR(t, apart) \
        break;
        CASE(i8)
        CASE(u8)
        CASE(i16)
#undef CASE
#undef FOR
    default: break;
    }
}

/* to[k / 2]: pairs of k elements so far apart; behind the last of an odd number stands 0. The low half is the first, as in memory.
 */
static void pairs_along(int type, int32_t *to, const void *from, int64_t apart, int64_t k)
{
    const int64_t size = apart * (int64_t)dtype_bytes((DType)type);
    Half *half = (Half *)to;
    if (apart != 1) {
        pairs_across(type, to, from, (const char *)from + size, 2 * apart, k / 2);
        if (k % 2 != 0) pairs_across(type, to + k / 2, (const char *)from + (k - 1) * size, NULL, 1, 1);
        return;
    }
    switch (type) {
#define CASE(t)                                                             \
    case DT_##t:                                                            \
        for (int64_t i = 0; i < k; i++) half[i] = ((const c_##t *)from)[i]; \
        break;
        CASE(i8)
        CASE(u8)
        CASE(i16)
#undef CASE
    default: break;
    }
    if (k % 2 != 0) half[k] = 0;
}

/* ---- expansions ------------------------------------------------------------------------------- */

#ifdef MADD_f32
#define TYPE f32
#define SUFFIX f32
#define GROUP 1
#include "contract_kernel.h"
#define TYPE f64
#define SUFFIX f64
#define GROUP 1
#include "contract_kernel.h"
#endif
#define TYPE i64
#define SUFFIX i64
#define GROUP 1
#define PLAIN
#include "contract_kernel.h"
#define TYPE i32
#define SUFFIX i32
#define GROUP 1
#define PLAIN
#include "contract_kernel.h"
#define turn_pairs turn_i32
#define ALONG(type, to, from, apart, k) pairs_along(type, to, from, apart, k)
#define ACROSS(type, to, from, second, line, lines) pairs_across(type, to, from, second, line, lines)
#define TYPE i32
#define SUFFIX pairs
#define GROUP 2
#include "contract_kernel.h"

static const ContractType of_i32 = PLAIN_TYPE(i32), of_i64 = PLAIN_TYPE(i64), of_pairs = PACKED_TYPE(pairs, NULL, NULL);
