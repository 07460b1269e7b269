/* kernels_type: all loops of one compute type, and their table kernels_TYPE. kernels_template.h expands it with
 *   TYPE        a type of dtype.def, for which element_TYPE, least_TYPE and most_TYPE exist
 *   KIND_TYPE   FLOAT, INT or BOOL: which domains of ops.def contain it
 * No include guard; undefines TYPE at the end. */

#define C_TYPE NAME(element)
#define NAME(f) JOIN(f, TYPE)
#define HAS(domain) IN(domain, KIND_TYPE)
#define VALUE(f, i) JOIN(VALUE, KIND_TYPE)(f, i)
#define RESULT_T C_TYPE
#define RESULT_B uint8_t

/* ---- elementwise -------------------------------------------------------------------------- */
#define SCALAR_OWN(fn) NAME(fn)
#define SCALAR_FN(fn) NAME(math_##fn)
#include "../../ir/scalar_paste.h"
#define UNARY(name, domain, result, f, i, gx)                                                                         \
    HAS(domain)(static void NAME(map_##name)(void *out, const void *const *in, int64_t n) {                            \
        const C_TYPE *a = in[0];                                                                                      \
        RESULT_##result *o = out;                                                                                     \
        INDEPENDENT for (int64_t at = 0; at < n; at++) {                                                              \
            const C_TYPE x = a[at];                                                                                   \
            o[at] = (RESULT_##result)(VALUE(f, i));                                                                   \
        }                                                                                                             \
    })
#define BINARY(name, flags, domain, result, f, i, gx, gy)                                                             \
    HAS(domain)(static void NAME(map_##name)(void *out, const void *const *in, int64_t n) {                            \
        const C_TYPE *a = in[0], *b = in[1];                                                                          \
        RESULT_##result *o = out;                                                                                     \
        INDEPENDENT for (int64_t at = 0; at < n; at++) {                                                              \
            const C_TYPE x = a[at], y = b[at];                                                                        \
            o[at] = (RESULT_##result)(VALUE(f, i));                                                                   \
        }                                                                                                             \
    })
#define TERNARY(name, domain, value, gx, gy, gz)                                                                      \
    static void NAME(map_##name)(void *out, const void *const *in, int64_t n)                                         \
    {                                                                                                                 \
        const uint8_t *a = in[0];                                                                                     \
        const C_TYPE *b = in[1], *c = in[2];                                                                          \
        C_TYPE *o = out;                                                                                              \
        INDEPENDENT for (int64_t at = 0; at < n; at++) {                                                              \
            const C_TYPE y = b[at], z = c[at];                                                                        \
            const uint8_t x = a[at];                                                                                  \
            o[at] = value;                                                                                            \
        }                                                                                                             \
    }
#define OP(...)
#include "../../ir/ops.def"
#include "../../ir/ops_undef.h"

/* ---- primitives that are no op by themselves ------------------------------------------------ */
#define PRIM(name, args, result, domain, op) \
    LONE(result, op)(HAS(domain)(static void NAME(prim_##name)(void *out, const void *const *in, int64_t n) { \
        const C_TYPE *a = in[0], *b = in[1], *c = in[args - 1]; \
        C_TYPE *o = out; \
        INDEPENDENT for (int64_t at = 0; at < n; at++) { \
            const C_TYPE x = a[at], y = b[at], z = c[at]; \
            (void)y, (void)z; \
            o[at] = (C_TYPE)C_CALL(name, args); \
        } \
    }))
#include "../../ir/scalar.def"
#undef PRIM

/* ---- folds -----------------------------------------------------------------------------------
 * combined is an expression of x, the value so far, and y, the element. lanes: the counter of ir/tree.h. */
#define NARROW 16
#define FOLD(name, identity, combined)                                                                                \
    static inline C_TYPE NAME(step_##name)(C_TYPE x, C_TYPE y) { return combined; }                                   \
    static void NAME(start_##name)(void *acc, int64_t n)                                                              \
    {                                                                                                                 \
        C_TYPE *a = acc;                                                                                              \
        for (int64_t i = 0; i < n; i++) a[i] = identity;                                                              \
    }                                                                                                                 \
    static inline C_TYPE NAME(block_##name)(const C_TYPE *a, int64_t n)                                               \
    {                                                                                                                 \
        C_TYPE lane[TREE_LANES];                                                                                  \
        for (int l = 0; l < TREE_LANES; l++) lane[l] = identity;                                                       \
        int64_t i = 0;                                                                                                \
        for (; i + 4 * TREE_LANES <= n; i += 4 * TREE_LANES)                                                          \
            for (int u = 0; u < 4 * TREE_LANES; u += TREE_LANES)                                                      \
                for (int l = 0; l < TREE_LANES; l++) lane[l] = NAME(step_##name)(lane[l], a[i + u + l]);                \
        for (; i + TREE_LANES <= n; i += TREE_LANES)                                                                  \
            for (int l = 0; l < TREE_LANES; l++) lane[l] = NAME(step_##name)(lane[l], a[i + l]);                        \
        for (int l = 0; i + l < n; l++) lane[l] = NAME(step_##name)(lane[l], a[i + l]);                               \
        for (int half = TREE_LANES / 2; half > 0; half /= 2)                                                          \
            for (int l = 0; l < half; l++) lane[l] = NAME(step_##name)(lane[l], lane[l + half]);                      \
        return lane[0];                                                                                               \
    }                                                                                                                 \
    static void NAME(lanes_##name)(void *out, const void *from, int64_t n)                                            \
    {                                                                                                                 \
        const C_TYPE *a = from;                                                                                       \
        C_TYPE level[TREE_LEVELS], total = identity;                                                                  \
        int64_t blocks = 0;                                                                                           \
        int l = 0;                                                                                                    \
        for (int64_t at = 0; at < n; at += TREE_ROW, blocks++) {                                                      \
            total = NAME(block_##name)(a + at, MIN_OF(n - at, TREE_ROW));                                             \
            l = 0;                                                                                                    \
            for (int64_t done = blocks; done & 1; done >>= 1) total = NAME(step_##name)(level[l++], total);           \
            level[l] = total;                                                                                         \
        }                                                                                                             \
        for (l++; blocks >> l != 0; l++)                                                                              \
            if (blocks >> l & 1) total = NAME(step_##name)(level[l], total);                                          \
        *(C_TYPE *)out = total;                                                                                       \
    }                                                                                                                 \
    static void NAME(rows_##name)(void *out, const void *from, int64_t rows, int64_t n)                               \
    {                                                                                                                 \
        const C_TYPE *a = from;                                                                                       \
        C_TYPE *o = out;                                                                                              \
        for (int64_t r = 0; r < rows; r++, a += n) {                                                                  \
            C_TYPE acc = identity;                                                                                    \
            for (int64_t i = 0; i < n; i++) acc = NAME(step_##name)(acc, a[i]);                                       \
            o[r] = acc;                                                                                               \
        }                                                                                                             \
    }                                                                                                                 \
    static void NAME(columns_##name)(void *acc, const void *from, int64_t stride, int64_t rows, int64_t n)            \
    {                                                                                                                 \
        const C_TYPE *a = from;                                                                                       \
        C_TYPE *restrict o = acc;                                                                                     \
        if (n <= 2 * NARROW && rows > 4) /* short rows: their totals stay in registers */                        \
            for (; n >= NARROW; n -= NARROW, a += NARROW, o += NARROW) {                                              \
                C_TYPE total[NARROW];                                                                                 \
                for (int i = 0; i < NARROW; i++) total[i] = o[i];                                                     \
                for (int64_t r = 0; r < rows; r++)                                                                    \
                    for (int i = 0; i < NARROW; i++) total[i] = NAME(step_##name)(total[i], a[r * stride + i]);       \
                for (int i = 0; i < NARROW; i++) o[i] = total[i];                                                     \
            }                                                                                                         \
        for (int64_t r = 0; r < rows; r++, a += stride)                                                               \
            for (int64_t i = 0; i < n; i++) o[i] = NAME(step_##name)(o[i], a[i]);                                     \
    }
HAS(N)(FOLD(sum, C(0), ADD(x, y)))
HAS(N)(FOLD(prod, C(1), MUL(x, y)))
FOLD(max, NAME(least), VALUE(SELECT(OR(GT(x, y), NE(x, x)), x, y), SELECT(GT(x, y), x, y)))
FOLD(min, NAME(most), VALUE(SELECT(OR(LT(x, y), NE(x, x)), x, y), SELECT(LT(x, y), x, y)))

/* ---- argmax, argmin: the first of equals, the first NaN ----------------------------------- */
#define ARG(name, better)                                                                                             \
    static void NAME(name)(int64_t *index, void *best, const void *from, int64_t stride, int64_t first,               \
                           int64_t rows, int64_t n)                                                                   \
    {                                                                                                                 \
        const C_TYPE *a = from;                                                                                       \
        C_TYPE *b = best;                                                                                             \
        int64_t r = first, last = first + rows;                                                                       \
        if (n == 1 && rows > 0) { /* a new best is rare: a branch, not a select */                           \
            int64_t at = index[0] < 0 ? first : index[0];                                                             \
            C_TYPE y = index[0] < 0 ? a[0] : b[0];                                                                    \
            for (; r < last; r++, a += stride) {                                                                      \
                const C_TYPE x = a[0];                                                                                \
                if (UNLIKELY((better) || JOIN(FIRST_NAN, KIND_TYPE)(x, y))) y = x, at = r;                            \
            }                                                                                                         \
            index[0] = at;                                                                                            \
            b[0] = y;                                                                                                 \
        }                                                                                                             \
        for (; r < last; r++, a += stride)                                                                            \
            for (int64_t i = 0; i < n; i++) {                                                                         \
                const C_TYPE x = a[i], y = b[i];                                                                      \
                const _Bool take = index[i] < 0 || (better) || JOIN(FIRST_NAN, KIND_TYPE)(x, y);                      \
                b[i] = take ? x : y;                                                                                  \
                index[i] = take ? r : index[i];                                                                       \
            }                                                                                                         \
    }
ARG(arg_max, x > y)
ARG(arg_min, x < y)
#undef ARG

/* ---- conversions -------------------------------------------------------------------------- */
#define CAST_TO(to, c, convert)                                                                                       \
    static void NAME(cast_##to)(void *out, const void *const *in, int64_t n)                                          \
    {                                                                                                                 \
        const C_TYPE *a = in[0];                                                                                      \
        c *o = out;                                                                                                   \
        INDEPENDENT for (int64_t at = 0; at < n; at++) {                                                              \
            const C_TYPE x = a[at];                                                                                   \
            o[at] = convert;                                                                                          \
        }                                                                                                             \
    }
#define CAST_INT(to, c) CAST_TO(to, c, JOIN(TO_INT, KIND_TYPE)(to, c))
#define CAST_UINT(to, c) CAST_INT(to, c)
#define CAST_BOOL(to, c) CAST_TO(to, c, x != 0)
#define TO_INT_FLOAT(to, c) JOIN(JOIN(cvt, TYPE), to)(x)
#define TO_INT_INT(to, c) (c)x
#define TO_INT_BOOL(to, c) (c)x
#define DTYPE_INT(t, tag, c, bits, kind, ...) CAST_##kind(t, c)
#define DTYPE_FLOAT(t, tag, c, ...) CAST_TO(t, c, (c)x)
#include "../../runtime/dtype.def"
CAST_TO(odd, float, NAME(odd)(x))

/* ---- the table ---------------------------------------------------------------------------- */
/* MAP(name) is seldom_f64_NAME where kernels_template.h has that. */
#define MAP(name) MAP_(JOIN(SELDOM, TYPE), name)
#define MAP_(type, name) MAP__(type, name)
#define MAP__(type, name) SECOND(type##_##name, NAME(map_##name), ~)
#define UNARY(name, domain, ...) HAS(domain)([OP_##name] = MAP(name), )
#define BINARY(name, flags, domain, ...) HAS(domain)([OP_##name] = NAME(map_##name), )
#define TERNARY(name, ...) [OP_##name] = NAME(map_##name),
#define OP(...)
#define FOLD_ROW(name, kind) [kind] = {NAME(start_##name), NAME(lanes_##name), NAME(rows_##name), NAME(columns_##name)},
static const TypeKernels NAME(kernels) = {
    .map = {
#include "../../ir/ops.def"
    },
    .prim = {
#define PRIM(name, args, result, domain, op) LONE(result, op)(HAS(domain)([P_##name] = NAME(prim_##name), ))
#include "../../ir/scalar.def"
#undef PRIM
    },
    .cast = {
#define DTYPE_INT(t, ...) [DT_##t] = NAME(cast_##t),
#define DTYPE_FLOAT(t, ...) [DT_##t] = NAME(cast_##t),
#define DTYPE_NARROW(t, ...) [DT_##t] = NAME(cast_odd),
#include "../../runtime/dtype.def"
    },
    .fold = {HAS(N)(FOLD_ROW(sum, FOLD_SUM) FOLD_ROW(prod, FOLD_PROD)) FOLD_ROW(max, FOLD_MAX) FOLD_ROW(min, FOLD_MIN)},
    .arg_max = NAME(arg_max),
    .arg_min = NAME(arg_min),
};
#include "../../ir/ops_undef.h"
#undef MAP
#undef MAP_
#undef MAP__
#undef FOLD_ROW
#undef FOLD
#undef NARROW
#undef CAST_TO
#undef CAST_INT
#undef CAST_UINT
#undef CAST_BOOL
#undef TO_INT_FLOAT
#undef TO_INT_INT
#undef TO_INT_BOOL
#undef NAME
#undef HAS
#undef VALUE
#undef RESULT_T
#undef RESULT_B
#include "../../ir/scalar_undef.h"
#undef TYPE
#undef C_TYPE
