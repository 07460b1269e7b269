/* scalar_c: the primitives of the scalar algebra in C. First inline functions on float, double and the integers; then what each
 * primitive of scalar.def is as an expression of them, for the dialect in scalar_paste.h. Relies on the C library alone:
 * included by translation units that expand math.def or ops.def as C kernels. Never installed. */
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
/* Beyond one float's exponent a power of two is two factors 2^(n>>1) 2^(n-(n>>1)): only the last product rounds. Half of what t
 * holds beside n biases each. */
static inline float scale_f32(float x, float t)
{
    const uint32_t n = bits_f32(t), half = n >> 1;
    return x * floatbits_f32(half << 23) * floatbits_f32((n - half) << 23);
}
static inline double scale_f64(double x, double t)
{
    const uint64_t n = bits_f64(t), half = n >> 1;
    return x * floatbits_f64(half << 52) * floatbits_f64((n - half) << 52);
}
static inline uint32_t mulhi_u32(uint32_t x, uint32_t y) { return (uint32_t)(((uint64_t)x * y) >> 32); }
/* In halves, of which compilers make vectors. */
static inline uint64_t mulhi_u64(uint64_t x, uint64_t y)
{
    const uint64_t half = UINT32_MAX, a = x >> 32, b = x & half, c = y >> 32, d = y & half;
    const uint64_t cross = a * d + ((b * d) >> 32), other = b * c + (cross & half);
    return a * c + (cross >> 32) + (other >> 32);
}

#define SCALAR_FLOAT(t, suffix)                                                                     \
    static inline c_##t abs_##t(c_##t x) { return __builtin_fabs##suffix(x); }                      \
    static inline c_##t sqrt_##t(c_##t x) { return __builtin_sqrt##suffix(x); }                     \
    static inline c_##t floor_##t(c_##t x) { return __builtin_floor##suffix(x); }                   \
    static inline c_##t ceil_##t(c_##t x) { return __builtin_ceil##suffix(x); }                     \
    static inline c_##t trunc_##t(c_##t x) { return __builtin_trunc##suffix(x); }                   \
    static inline c_##t rint_##t(c_##t x) { return __builtin_rint##suffix(x); }                     \
    static inline c_##t copysign_##t(c_##t x, c_##t y) { return __builtin_copysign##suffix(x, y); } \
    /* const: rows of ops.def spell one remainder several times */                                  \
    __attribute__((const, noinline, unused)) static c_##t fmod_##t(c_##t x, c_##t y) { return fmod##suffix(x, y); }
SCALAR_FLOAT(f32, f)
SCALAR_FLOAT(f64, )
#undef SCALAR_FLOAT

/* x to the power n, n being the bits of an exponent that is not negative; the caller cuts it to its width. */
static inline uint64_t power_bits(uint64_t x, uint64_t n)
{
    uint64_t r = 1;
    for (; n != 0; n >>= 1, x *= x)
        if (n & 1) r *= x;
    return r;
}

/* Integers of one width, u the unsigned twin. What divides by -1 negates: MIN / -1 traps. */
#define SCALAR_SIGNED(t, u, bits)                                                                                                  \
    static inline c_##t idiv_##t(c_##t x, c_##t y) { return y == 0 ? 0 : y == -1 ? (c_##t)(0u - (c_##u)x) : (c_##t)(x / y); }      \
    static inline c_##t irem_##t(c_##t x, c_##t y) { return y == 0 || y == -1 ? 0 : (c_##t)(x % y); }                              \
    static inline c_##t ipow_##t(c_##t x, c_##t n)                                                                                 \
    {                                                                                                                              \
        if (n < 0) return x == 1 || (x == -1 && !(n & 1)) ? 1 : x == -1 ? -1 : 0;                                                  \
        return (c_##t)power_bits((c_##u)x, (c_##u)n);                                                                              \
    }                                                                                                                              \
    static inline c_##t abs_##t(c_##t x) { return x < 0 ? (c_##t)(0u - (c_##u)x) : x; }                                            \
    static inline c_##t shl_##t(c_##t x, c_##t n) { return (c_##u)n < (bits) ? (c_##t)((c_##u)x << ((c_##u)n & ((bits)-1))) : 0; } \
    static inline c_##t shr_##t(c_##t x, c_##t n) { return (c_##t)(x >> ((c_##u)n < (bits) ? (c_##u)n : (c_##u)((bits)-1))); }
#define SCALAR_UNSIGNED(t, bits)                                                                              \
    static inline c_##t idiv_##t(c_##t x, c_##t y) { return y == 0 ? 0 : (c_##t)(x / y); }                    \
    static inline c_##t irem_##t(c_##t x, c_##t y) { return y == 0 ? 0 : (c_##t)(x % y); }                    \
    static inline c_##t ipow_##t(c_##t x, c_##t n) { return (c_##t)power_bits(x, n); }                        \
    static inline c_##t abs_##t(c_##t x) { return x; }                                                        \
    static inline c_##t shl_##t(c_##t x, c_##t n) { return n < (bits) ? (c_##t)(x << (n & ((bits)-1))) : 0; } \
    static inline c_##t shr_##t(c_##t x, c_##t n) { return n < (bits) ? (c_##t)(x >> (n & ((bits)-1))) : 0; }
SCALAR_SIGNED(i8, u8, 8)
SCALAR_SIGNED(i16, u16, 16)
SCALAR_SIGNED(i32, u32, 32)
SCALAR_SIGNED(i64, u64, 64)
SCALAR_UNSIGNED(u8, 8)
SCALAR_UNSIGNED(u16, 16)
SCALAR_UNSIGNED(u32, 32)
SCALAR_UNSIGNED(u64, 64)
#undef SCALAR_SIGNED
#undef SCALAR_UNSIGNED

/* Each float to each integer in that float's own arithmetic, so that f32 -> i32 fills whole vectors: truncated, the nearest end
 * where that is out of range, NaN to 0. Every bound is exact in f32; `over` is the first value above the range. */
#define SCALAR_CVT(from, t, least, most, over)                                                                                \
    static inline c_##t cvt_##from##_##t(c_##from x)                                                                          \
    {                                                                                                                         \
        return x >= (c_##from)(over) ? (c_##t)(most) : x < (c_##from)(least) ? (c_##t)(least) : x == x ? (c_##t)x : (c_##t)0; \
    }
#define SCALAR_TO_INT(t, least, most, over)                     \
    static inline c_##t not_##t(c_##t x) { return (c_##t) ~x; } \
    SCALAR_CVT(f32, t, least, most, over)                       \
    SCALAR_CVT(f64, t, least, most, over)
SCALAR_TO_INT(i8, INT8_MIN, INT8_MAX, 0x1p7)
SCALAR_TO_INT(i16, INT16_MIN, INT16_MAX, 0x1p15)
SCALAR_TO_INT(i32, INT32_MIN, INT32_MAX, 0x1p31)
SCALAR_TO_INT(i64, INT64_MIN, INT64_MAX, 0x1p63)
SCALAR_TO_INT(u8, 0, UINT8_MAX, 0x1p8)
SCALAR_TO_INT(u16, 0, UINT16_MAX, 0x1p16)
SCALAR_TO_INT(u32, 0, UINT32_MAX, 0x1p32)
SCALAR_TO_INT(u64, 0, UINT64_MAX, 0x1p64)
#undef SCALAR_TO_INT
#undef SCALAR_CVT
static inline int32_t cvt_int_i32(int64_t x) { return (int32_t)x; }
static inline _Bool not_bool(_Bool x) { return !x; }

/* ---- the meanings, in the dialect's words (scalar_paste.h): WRAP_ cuts to the values' type, and
 * OF_..._(fn, v) is the function fn for v's type, which is a float, an integer, either, or an integer or bool ---------------- */
#define C_add(a, b) WRAP_((a) + (b))
#define C_sub(a, b) WRAP_((a) - (b))
#define C_mul(a, b) WRAP_((a) * (b))
#define C_div(a, b) ((a) / (b))
#define C_idiv(a, b) OF_INT_(idiv, a)(a, b)
#define C_irem(a, b) OF_INT_(irem, a)(a, b)
#define C_fmod(a, b) OF_FLOAT_(fmod, b)(a, b)
#define C_ipow(a, b) OF_INT_(ipow, a)(a, b)
#define C_mulhi(a, b) \
    (_Generic((a), uint64_t : mulhi_u64((uint64_t)(a), (uint64_t)(b)), default : mulhi_u32((uint32_t)(a), (uint32_t)(b))))
#define C_mad(a, b, c) OF_FLOAT_(SCALAR_MAD, c)(a, b, c)
#define C_scale(a, b) OF_FLOAT_(scale, a)(a, b)
#define C_neg(a) WRAP_(-(a))
#define C_abs(a) OF_NUMBER_(abs, a)(a)
#define C_sqrt(a) OF_FLOAT_(sqrt, a)(a)
#define C_floor(a) OF_FLOAT_(floor, a)(a)
#define C_ceil(a) OF_FLOAT_(ceil, a)(a)
#define C_trunc(a) OF_FLOAT_(trunc, a)(a)
#define C_rint(a) OF_FLOAT_(rint, a)(a)
#define C_copysign(a, b) OF_FLOAT_(copysign, b)(a, b)
#define C_lt(a, b) ((_Bool)((a) < (b)))
#define C_le(a, b) ((_Bool)((a) <= (b)))
#define C_gt(a, b) ((_Bool)((a) > (b)))
#define C_ge(a, b) ((_Bool)((a) >= (b)))
#define C_eq(a, b) ((_Bool)((a) == (b)))
#define C_ne(a, b) ((_Bool)((a) != (b)))
#define C_select(c, a, b) ((c) ? (a) : (b))
#define C_and(a, b) ((a) & (b))
#define C_or(a, b) ((a) | (b))
#define C_xor(a, b) ((a) ^ (b))
#define C_not(a) OF_BITS_(not, a)(a)
#define C_shl(a, b) OF_INT_(shl, a)(a, b)
#define C_shr(a, b) OF_INT_(shr, a)(a, b)
#define C_rare(a) SCALAR_RARE(a)

/* For _Generic: fn of each type. */
#define FLOATS_(fn) float : fn##_f32, double : fn##_f64
#define INTS_(fn)                                                                    \
    int8_t:                                                                          \
    fn##_i8, int16_t : fn##_i16,                                                     \
                       int32_t : fn##_i32,                                           \
                                 int64_t : fn##_i64,                                 \
                                           uint8_t : fn##_u8,                        \
                                                     uint16_t : fn##_u16,            \
                                                                uint32_t : fn##_u32, \
                                                                           uint64_t : fn##_u64
/* What math.def converts to. */
#define CVT_f32(v) ((float)(v))
#define CVT_f64(v) ((double)(v))
#define CVT_i32(v) _Generic((v), float : cvt_f32_i32, double : cvt_f64_i32, default : cvt_int_i32)(v)

/* A primitive of so many operands on variables x, y and z. */
#define C_CALL(name, args) C_CALL_(C_##name, OPERANDS_##args)
#define C_CALL_(meaning, operands) meaning operands
#define OPERANDS_1 (x)
#define OPERANDS_2 (x, y)
#define OPERANDS_3 (x, y, z)

/* IN(domain, kind)(text) is the text if a domain of ops.def has dtypes of that kind. */
#define IN(domain, kind) IN_(domain, kind)
#define IN_(domain, kind) IN_##domain##_##kind
#define YES(...) __VA_ARGS__
#define NO(...)
#define IN_A_FLOAT YES
#define IN_N_FLOAT YES
#define IN_F_FLOAT YES
#define IN_I_FLOAT NO
#define IN_L_FLOAT NO
#define IN_B_FLOAT NO
#define IN_A_INT YES
#define IN_N_INT YES
#define IN_F_INT NO
#define IN_I_INT YES
#define IN_L_INT YES
#define IN_B_INT NO
#define IN_A_BOOL YES
#define IN_N_BOOL NO
#define IN_F_BOOL NO
#define IN_I_BOOL NO
#define IN_L_BOOL YES
#define IN_B_BOOL YES

#endif
