/* dtype: the element types of tensors, expanded from dtype.def. Relies on base. Never knows an op. */
#ifndef KILN_RUNTIME_DTYPE_H
#define KILN_RUNTIME_DTYPE_H

#include "base.h"

typedef enum DType {
    DT_NONE,
#define DTYPE(name, c, bytes, kind, compute, lo, hi) DT_##name,
#include "dtype.def"
#undef DTYPE
    DT_COUNT
} DType;

typedef enum DTypeKind { DK_NONE, DK_BOOL, DK_UINT, DK_INT, DK_FLOAT } DTypeKind;

typedef struct DTypeInfo {
    const char *name;
    uint8_t bytes;
    uint8_t kind;    /* DTypeKind */
    uint8_t compute; /* the type that arithmetic is done in: f32 for the 16-bit floats */
    int64_t lo, hi;  /* integers and bool; u64 stops at INT64_MAX */
} DTypeInfo;

extern const DTypeInfo dtype_info[DT_COUNT];

/* Whether a number from outside, of whatever enum or file, is a dtype: negative ones and those beyond the last are none. */
static inline bool dtype_known(int64_t t) { return t > DT_NONE && t < DT_COUNT; }
static inline size_t dtype_bytes(DType t) { return dtype_info[t].bytes; }
static inline bool dtype_is_float(DType t) { return dtype_info[t].kind == DK_FLOAT; }
static inline bool dtype_is_int(DType t) { return dtype_info[t].kind == DK_INT || dtype_info[t].kind == DK_UINT; }

/* Array-API promotion within a kind; DT_NONE where it is undefined (mixed kinds, i64 with u64; bool only with bool). */
DType dtype_promote(DType a, DType b);
DType dtype_parse(const char *name, size_t len); /* DT_NONE if unknown */

/* One element to and from double / int64 / uint64 (floats round once, to nearest even; integers must be in range: caller checks). */
double dtype_load_f64(DType t, const void *at);
int64_t dtype_load_i64(DType t, const void *at);
void dtype_store_f64(DType t, void *at, double v);
void dtype_store_i64(DType t, void *at, int64_t v);
void dtype_store_u64(DType t, void *at, uint64_t v);

float half_to_float(uint16_t h);
uint16_t float_to_half(float f); /* nearest even */
static inline float bf16_to_float(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
uint16_t float_to_bf16(float f); /* nearest even; NaN stays NaN */

/* As f32 or f64, rounded to odd: what f32 (f64) does not hold gets an odd last place, so that it lies on no midpoint between 16-bit floats (f32s)
 * and rounding it once more is as good as having rounded once. */
static inline float odd_f64(double v)
{
    float f = (float)v;
    uint32_t u;
    memcpy(&u, &f, 4);
    u -= __builtin_fabs((double)f) > __builtin_fabs(v);
    u |= (double)f != v; /* NaN stays NaN */
    memcpy(&f, &u, 4);
    return f;
}
/* 11 places that the others make up for become one; two's complement, so that it holds below 0 too. */
static inline double odd_wide_i64(int64_t v)
{
    bool large = v > (int64_t)1 << 53 || v < -((int64_t)1 << 53);
    return (double)(large && (v & 0x7ff) != 0 ? (v & ~(int64_t)0x7ff) | 0x800 : v);
}
static inline double odd_wide_u64(uint64_t v)
{
    return (double)(v >> 53 != 0 && (v & 0x7ff) != 0 ? (v & ~(uint64_t)0x7ff) | 0x800 : v);
}
static inline float odd_i64(int64_t v) { return odd_f64(odd_wide_i64(v)); }
static inline float odd_u64(uint64_t v) { return odd_f64(odd_wide_u64(v)); }

#endif
