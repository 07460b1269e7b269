/* element: one element of a tensor to and from C's numbers. Relies on dtype. Never loops over tensors but for the two bulk
 * conversions. */
#ifndef KILN_IR_ELEMENT_H
#define KILN_IR_ELEMENT_H

#include "../runtime/dtype.h"

/* Floats round once, to nearest even; integers must be in range: the caller checks. */
double dtype_load_f64(DType t, const void *at);
int64_t dtype_load_i64(DType t, const void *at);
void dtype_store_f64(DType t, void *at, double v);
void dtype_store_i64(DType t, void *at, int64_t v);
void dtype_store_u64(DType t, void *at, uint64_t v);

/* n elements of a narrow float, `stride` elements apart, to f32; and f32s rounded to n elements side by side. */
void dtype_widen(DType t, float *to, const void *from, int64_t stride, int64_t n);
void dtype_narrow(DType t, void *to, const float *from, int64_t n);

/* As f32 or f64, rounded to odd: what f32 (f64) does not hold gets an odd last place, so that it lies on no midpoint between narrow
 * floats (f32s) and rounding it once more is as good as having rounded once. */
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
/* The 11 lowest places, of which only whether any is set matters, become one. That is right below 0, too, in two's complement. */
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
