/* kernels_scalars: the primitives that are no single C operator, by type, for kernels_prims.h.
 * Elementary functions are those of ir/math_c.h in f32 and the C library's in f64. Relies on
 * ir/scalar_c.h. */
#ifndef KILN_CODEGEN_EAGER_KERNELS_SCALARS_H
#define KILN_CODEGEN_EAGER_KERNELS_SCALARS_H

#include "../../ir/math_c.h"

#define FLOATS(t, c, suffix)                                                                                          \
    static inline c abs_c_##t(c x) { return __builtin_fabs##suffix(x); }                                              \
    /* const: rows of ops.def spell one remainder several times */                                                    \
    __attribute__((const, noinline)) static c fmod_##t(c x, c y) { return fmod##suffix(x, y); }                       \
    static inline c floor_##t(c x) { return __builtin_floor##suffix(x); }                                             \
    static inline c ceil_##t(c x) { return __builtin_ceil##suffix(x); }                                               \
    static inline c trunc_##t(c x) { return __builtin_trunc##suffix(x); }                                             \
    static inline c rint_##t(c x) { return __builtin_rint##suffix(x); }                                               \
    static inline c sqrt_##t(c x) { return __builtin_sqrt##suffix(x); }                                               \
    static inline c copysign_##t(c x, c y) { return __builtin_copysign##suffix(x, y); }
FLOATS(f32, float, f)
FLOATS(f64, double, )
#undef FLOATS

/* As f32 on the way to a narrow float: rounded to odd where f32 does not hold the value. Those of f64, i64 and u64: ir/element.h.
 */
static inline float odd_f32(float x) { return x; }
static inline float odd_i32(int32_t x) { return odd_f64((double)x); }
static inline float odd_u32(uint32_t x) { return odd_f64((double)x); }
static inline float odd_i16(int16_t x) { return (float)x; }
static inline float odd_u16(uint16_t x) { return (float)x; }
static inline float odd_i8(int8_t x) { return (float)x; }
static inline float odd_u8(uint8_t x) { return (float)x; }
static inline float odd_bool(uint8_t x) { return (float)x; }

#define NOT_OF(t, c) static inline c not_##t(c x) { return (c)~x; }
NOT_OF(i8, int8_t)
NOT_OF(i16, int16_t)
NOT_OF(i32, int32_t)
NOT_OF(i64, int64_t)
NOT_OF(u8, uint8_t)
NOT_OF(u16, uint16_t)
NOT_OF(u32, uint32_t)
NOT_OF(u64, uint64_t)
#undef NOT_OF
static inline uint8_t not_bool(uint8_t x) { return x == 0; }

#define ARGS_1(c) (c x)
#define ARGS_2(c) (c x, c y)
#define CALL_1 (x)
#define CALL_2 (x, y)
#define MATH_BEGIN(fn, args)                                                                                          \
    static inline float math_##fn##_f32 ARGS_##args(float) { return math_##fn CALL_##args; }                          \
    static inline double math_##fn##_f64 ARGS_##args(double) { return fn CALL_##args; }
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "../../ir/math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#undef ARGS_1
#undef ARGS_2
#undef CALL_1
#undef CALL_2

/* cvt from each float to each integer in that float's own arithmetic, so that f32 -> i32 fills
 * whole vectors: every bound is exact in f32. `over` is the first value above the range. */
#define FLOAT_TO_INT(from, f, t, c, least, most, over)                                                                \
    static inline c cvt_##from##_##t(f x)                                                                             \
    {                                                                                                                 \
        return x >= (f)(over) ? (c)(most) : x < (f)(least) ? (c)(least) : x == x ? (c)x : (c)0;                       \
    }
#define TO_INT(t, c, least, most, over)                                                                               \
    FLOAT_TO_INT(f32, float, t, c, least, most, over)                                                                 \
    FLOAT_TO_INT(f64, double, t, c, least, most, over)
TO_INT(i8, int8_t, INT8_MIN, INT8_MAX, 0x1p7)
TO_INT(i16, int16_t, INT16_MIN, INT16_MAX, 0x1p15)
TO_INT(i32, int32_t, INT32_MIN, INT32_MAX, 0x1p31)
TO_INT(i64, int64_t, INT64_MIN, INT64_MAX, 0x1p63)
TO_INT(u8, uint8_t, 0, UINT8_MAX, 0x1p8)
TO_INT(u16, uint16_t, 0, UINT16_MAX, 0x1p16)
TO_INT(u32, uint32_t, 0, UINT32_MAX, 0x1p32)
TO_INT(u64, uint64_t, 0, UINT64_MAX, 0x1p64)
#undef TO_INT
#undef FLOAT_TO_INT

#endif
