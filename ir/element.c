/* element: one element of a tensor to and from C's numbers, of every row of dtype.def. Relies on element.h, narrow_c.h. Knows no
 * tensor. */
#include "element.h"

#include "narrow_c.h"

/* Out of range there is no right answer, but none may be undefined: the nearest end, NaN gives 0. */
static int64_t truncated(double v)
{
    if (v >= 0x1p63) return INT64_MAX;
    if (v < -0x1p63) return INT64_MIN;
    return v == v ? (int64_t)v : 0;
}

static uint64_t truncated_u64(double v)
{
    if (v < 0x1p63) return (uint64_t)truncated(v);
    return v < 0x1p64 ? (uint64_t)v : UINT64_MAX;
}

#define AS(c, at) (*(const c *)memcpy(&(c){0}, (at), sizeof(c)))
#define PUT(c, at, v) memcpy((at), &(c){(c)(v)}, sizeof(c))

/* clang-format off */
double dtype_load_f64(DType t, const void *at)
{
    switch (t) {
#define DTYPE_INT(t, tag, c, ...) case DT_##t: return (double)AS(c, at);
#define DTYPE_FLOAT(t, tag, c, ...) case DT_##t: return AS(c, at);
#define DTYPE_NARROW(t, tag, c, ...) case DT_##t: return widen_##t(AS(c, at));
#include "../runtime/dtype.def"
    default: return 0;
    }
}

int64_t dtype_load_i64(DType t, const void *at)
{
    switch (t) {
#define DTYPE_INT(t, tag, c, ...) case DT_##t: return (int64_t)AS(c, at);
#include "../runtime/dtype.def"
    default: return truncated(dtype_load_f64(t, at));
    }
}

void dtype_store_f64(DType t, void *at, double v)
{
    switch (t) {
    case DT_bool: PUT(uint8_t, at, v != 0); break;
    case DT_u64: PUT(uint64_t, at, truncated_u64(v)); break;
#define DTYPE_FLOAT(t, tag, c, ...) case DT_##t: PUT(c, at, v); break;
#define DTYPE_NARROW(t, tag, c, ...) case DT_##t: PUT(c, at, narrow_##t(odd_f64(v))); break;
/* clang-format on */
#include "../runtime/dtype.def"
    default: dtype_store_i64(t, at, truncated(v)); break;
    }
}

void dtype_store_i64(DType t, void *at, int64_t v)
{
    switch (t) {
#define DTYPE_INT(t, tag, c, bits, kind, ...)          \
    case DT_##t:                                       \
        PUT(c, at, DK_##kind == DK_BOOL ? v != 0 : v); \
        break;
#include "../runtime/dtype.def"
    case DT_f64: PUT(double, at, v); break;
    default: dtype_store_f64(t, at, odd_wide_i64(v)); break;
    }
}

void dtype_store_u64(DType t, void *at, uint64_t v)
{
    if (!dtype_is_float(t))
        dtype_store_i64(t, at, (int64_t)v);
    else if (t == DT_f64)
        PUT(double, at, v);
    else
        dtype_store_f64(t, at, odd_wide_u64(v));
}

void dtype_widen(DType t, float *to, const void *from, int64_t stride, int64_t n)
{
    switch (t) {
#define DTYPE_NARROW(t, tag, c, ...)                                                      \
    case DT_##t:                                                                          \
        for (int64_t i = 0; i < n; i++) to[i] = widen_##t(((const c *)from)[i * stride]); \
        break;
#include "../runtime/dtype.def"
    default: CHECK(!"a narrow float");
    }
}

void dtype_narrow(DType t, void *to, const float *from, int64_t n)
{
    switch (t) {
#define DTYPE_NARROW(t, tag, c, ...)                                           \
    case DT_##t:                                                               \
        for (int64_t i = 0; i < n; i++) ((c *)to)[i] = (c)narrow_##t(from[i]); \
        break;
#include "../runtime/dtype.def"
    default: CHECK(!"a narrow float");
    }
}
