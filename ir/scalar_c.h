/* scalar_c: the primitives of the scalar algebra as C inline functions on float, double and the
 * integers; scalar_paste.h names them for expressions. Relies on the C library alone: included by
 * translation units that expand math.def or ops.def as C kernels. Never installed. */
#ifndef KILN_IR_SCALAR_C_H
#define KILN_IR_SCALAR_C_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float c_f32;
typedef double c_f64;
typedef int8_t c_i8;
typedef uint8_t c_u8;
typedef int16_t c_i16;
typedef uint16_t c_u16;
typedef int32_t c_i32;
typedef uint32_t c_u32;
typedef int64_t c_i64;
typedef uint64_t c_u64;
typedef _Bool c_bool;

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define MAD_F32(x, y, z) __builtin_fmaf((x), (y), (z))
#define MAD_F64(x, y, z) __builtin_fma((x), (y), (z))
#else
#define MAD_F32(x, y, z) ((x) * (y) + (z))
#define MAD_F64(x, y, z) ((x) * (y) + (z))
#endif

static inline float mad_f32(float x, float y, float z) { return MAD_F32(x, y, z); }
static inline double mad_f64(double x, double y, double z) { return MAD_F64(x, y, z); }

static inline uint32_t bits_f32(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
static inline uint64_t bits_f64(double x)
{
    uint64_t u;
    memcpy(&u, &x, 8);
    return u;
}
static inline float floatbits_f32(uint32_t u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}
static inline double floatbits_f64(uint64_t u)
{
    double x;
    memcpy(&x, &u, 8);
    return x;
}
static inline uint32_t mulhi_u32(uint32_t x, uint32_t y)
{
    return (uint32_t)(((uint64_t)x * y) >> 32);
}

/* Integers of one width, U the unsigned twin. What divides by -1 negates: MIN / -1 traps. */
#define SCALAR_SIGNED(T, U, bits)                                                     \
    static inline T idiv_##T(T x, T y)                                                \
    {                                                                                 \
        return y == 0 ? 0 : y == -1 ? (T)(0u - (U)x) : (T)(x / y);                    \
    }                                                                                 \
    static inline T irem_##T(T x, T y) { return y == 0 || y == -1 ? 0 : (T)(x % y); } \
    static inline T abs_##T(T x) { return x < 0 ? (T)(0u - (U)x) : x; }               \
    static inline T shl_##T(T x, T n)                                                 \
    {                                                                                 \
        return (U)n < (bits) ? (T)((U)x << ((U)n & ((bits)-1))) : 0;                  \
    }                                                                                 \
    static inline T shr_##T(T x, T n) { return (T)(x >> ((U)n < (bits) ? (U)n : (U)((bits)-1))); }
#define SCALAR_UNSIGNED(T, bits)                                                              \
    static inline T idiv_##T(T x, T y) { return y == 0 ? 0 : (T)(x / y); }                    \
    static inline T irem_##T(T x, T y) { return y == 0 ? 0 : (T)(x % y); }                    \
    static inline T abs_##T(T x) { return x; }                                                \
    static inline T shl_##T(T x, T n) { return n < (bits) ? (T)(x << (n & ((bits)-1))) : 0; } \
    static inline T shr_##T(T x, T n) { return n < (bits) ? (T)(x >> (n & ((bits)-1))) : 0; }
SCALAR_SIGNED(c_i8, c_u8, 8)
SCALAR_SIGNED(c_i16, c_u16, 16)
SCALAR_SIGNED(c_i32, c_u32, 32)
SCALAR_SIGNED(c_i64, c_u64, 64)
SCALAR_UNSIGNED(c_u8, 8)
SCALAR_UNSIGNED(c_u16, 16)
SCALAR_UNSIGNED(c_u32, 32)
SCALAR_UNSIGNED(c_u64, 64)
#undef SCALAR_SIGNED
#undef SCALAR_UNSIGNED

/* Conversions to integers: floats truncate, saturate and take NaN to 0; integers and bool wrap.
 * The bounds are doubles: `over` is the first value above the range. */
#define SCALAR_TO_INT(T, lo, hi, over)                                 \
    static inline T cvt_float_##T(double x)                            \
    {                                                                  \
        return !(x > (double)(lo)) ? (x <= (double)(lo) ? (T)(lo) : 0) \
               : x >= (over)       ? (T)(hi)                           \
                                   : (T)x;                                   \
    }                                                                  \
    static inline T cvt_int_##T(int64_t x) { return (T)x; }
SCALAR_TO_INT(c_i8, INT8_MIN, INT8_MAX, 0x1p7)
SCALAR_TO_INT(c_i16, INT16_MIN, INT16_MAX, 0x1p15)
SCALAR_TO_INT(c_i32, INT32_MIN, INT32_MAX, 0x1p31)
SCALAR_TO_INT(c_i64, INT64_MIN, INT64_MAX, 0x1p63)
SCALAR_TO_INT(c_u8, 0, UINT8_MAX, 0x1p8)
SCALAR_TO_INT(c_u16, 0, UINT16_MAX, 0x1p16)
SCALAR_TO_INT(c_u32, 0, UINT32_MAX, 0x1p32)
SCALAR_TO_INT(c_u64, 0, UINT64_MAX, 0x1p64)
#undef SCALAR_TO_INT

#endif
