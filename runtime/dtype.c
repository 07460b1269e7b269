/* dtype: facts of the element types, promotion, and one element at a time to and from double and
 * int64; the 16-bit floats. Relies on dtype.h. Never loops over tensors: kernels convert in bulk by
 * themselves. */
#include "dtype.h"

const DTypeInfo dtype_info[DT_COUNT] = {
    [DT_NONE] = {"none", 0, DK_NONE, DT_NONE, 0, 0},
#define DTYPE(name, c, bytes, kind, compute, lo, hi) \
    [DT_##name] = {#name, bytes, DK_##kind, DT_##compute, lo, hi},
#include "dtype.def"
#undef DTYPE
};

static DType int_of_bytes(DTypeKind kind, size_t bytes)
{
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (dtype_info[t].kind == kind && dtype_info[t].bytes == bytes) return (DType)t;
    return DT_NONE;
}

DType dtype_promote(DType a, DType b)
{
    if (a == b) return a;
    size_t wa = dtype_bytes(a), wb = dtype_bytes(b);
    if (dtype_is_float(a) && dtype_is_float(b)) {
        if (wa == wb) return DT_f32; /* f16 with bf16: neither holds the other */
        return wa > wb ? a : b;
    }
    if (!dtype_is_int(a) || !dtype_is_int(b)) return DT_NONE;
    if (dtype_info[a].kind == dtype_info[b].kind) return wa > wb ? a : b;
    size_t wi = dtype_info[a].kind == DK_INT ? wa : wb, wu = dtype_info[a].kind == DK_INT ? wb : wa;
    return int_of_bytes(DK_INT, MAX_OF(wi, 2 * wu));
}

DType dtype_parse(const char *name, size_t len)
{
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (strlen(dtype_info[t].name) == len && memcmp(dtype_info[t].name, name, len) == 0)
            return (DType)t;
    return DT_NONE;
}

/* ---- the 16-bit floats ----------------------------------------------------------------------- */

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest > 0x7c00)
        return float_of(sign | 0x7fc00000 | rest << 13); /* quiet, as the hardware makes it */
    if (rest == 0x7c00) return float_of(sign | 0x7f800000);
    if (rest >= 0x0400) return float_of(sign | ((rest << 13) + (112u << 23)));
    return float_of(sign | bits_of((float)rest * 0x1p-24f));
}

uint16_t float_to_half(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x47800000) return (uint16_t)(sign | 0x7c00);
    if (rest >= 0x38800000) { /* normal halves; a carry into infinity is right, too */
        uint32_t odd = rest >> 13 & 1;
        return (uint16_t)(sign | (rest - (112u << 23) + 0xfff + odd) >> 13);
    }
    /* Adding 0.5 lets the float unit round at 2^-24, the last place of the subnormal halves. */
    return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)));
}

uint16_t float_to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- one element ----------------------------------------------------------------------------- */

/* Out of range there is no right answer, but none may be undefined: the nearest end, NaN gives 0.
 */
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

/* A macro in C11, which would expand in a row's name on its way through CASE_BOOL. */
#undef bool

/* One case for each integer row; the four floats are spelt out. */
#define CASE_FLOAT(name, c)
#define CASE_UINT(name, c) CASE_INT(name, c)
#define CASE_BOOL(name, c) CASE_INT(name, c)
#define DTYPE(name, c, bytes, kind, compute, lo, hi) CASE_##kind(name, c)

double dtype_load_f64(DType t, const void *at)
{
    switch (t) {
#define CASE_INT(name, c) \
    case DT_##name:       \
        return (double)AS(c, at);
#include "dtype.def"
#undef CASE_INT
    case DT_f16: return half_to_float(AS(uint16_t, at));
    case DT_bf16: return bf16_to_float(AS(uint16_t, at));
    case DT_f32: return AS(float, at);
    case DT_f64: return AS(double, at);
    default: return 0;
    }
}

int64_t dtype_load_i64(DType t, const void *at)
{
    switch (t) {
#define CASE_INT(name, c) \
    case DT_##name:       \
        return (int64_t)AS(c, at);
#include "dtype.def"
#undef CASE_INT
    default: return truncated(dtype_load_f64(t, at));
    }
}

void dtype_store_f64(DType t, void *at, double v)
{
    switch (t) {
    case DT_bool: PUT(uint8_t, at, v != 0); break;
    case DT_u64: PUT(uint64_t, at, truncated_u64(v)); break;
    case DT_f16: PUT(uint16_t, at, float_to_half(odd_f64(v))); break;
    case DT_bf16: PUT(uint16_t, at, float_to_bf16(odd_f64(v))); break;
    case DT_f32: PUT(float, at, v); break;
    case DT_f64: PUT(double, at, v); break;
    default: dtype_store_i64(t, at, truncated(v)); break;
    }
}

void dtype_store_i64(DType t, void *at, int64_t v)
{
    switch (t) {
#define CASE_INT(name, c) \
    case DT_##name:       \
        PUT(c, at, v);    \
        break;
#undef CASE_BOOL
#define CASE_BOOL(name, c)  \
    case DT_##name:         \
        PUT(c, at, v != 0); \
        break;
#include "dtype.def"
#undef CASE_INT
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
