/* kernels_scalars: functions named after types, for kernels_type.h, beside the primitives of ir/scalar_c.h: conversions rounded to
 * odd, and elementary functions (those of ir/math_c.h, and in f64 for the rest the C library's). */
#ifndef KILN_CODEGEN_EAGER_KERNELS_SCALARS_H
#define KILN_CODEGEN_EAGER_KERNELS_SCALARS_H

/* near_ and the name of a function: as if no rare condition held; rare_ and the name: whether one does. */
#define MATH_NAME(fn) near_##fn
#define SCALAR_RARE(v) ((_Bool)0 & (v))
#include "../../ir/math_c.h"
#include "../../ir/math_c.h"

#define SCALAR_RARE(v) (rare |= (v))
#include "../../ir/scalar_paste.h"
#define MATH_BEGIN(fn, args)                          \
    static inline _Bool rare_##fn(double x, double y) \
    {                                                 \
        _Bool rare = 0;                               \
        (void)y;
#define LET(fn, name, type, expr) const c_##type v_##name = expr;
#define MATH_END(fn, expr) \
    (void)(expr);          \
    return rare;           \
    }
#include "../../ir/math64.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#include "../../ir/scalar_undef.h"

/* Conversions to f32 on the way to a narrow float, rounded to odd where f32 does not hold the value. Those of f64, i64 and u64 are
 * in ir/element.h. */
static inline float odd_f32(float x) { return x; }
static inline float odd_i32(int32_t x) { return odd_f64((double)x); }
static inline float odd_u32(uint32_t x) { return odd_f64((double)x); }
static inline float odd_i16(int16_t x) { return (float)x; }
static inline float odd_u16(uint16_t x) { return (float)x; }
static inline float odd_i8(int8_t x) { return (float)x; }
static inline float odd_u8(uint8_t x) { return (float)x; }
static inline float odd_bool(uint8_t x) { return (float)x; }

#define ARGS_1(c) (c x)
#define ARGS_2(c) (c x, c y)
#define CALL_1 (x)
#define CALL_2 (x, y)
#define MATH_BEGIN(fn, args) \
    static inline float math_##fn##_f32 ARGS_##args(float) { return math_##fn CALL_##args; }
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "../../ir/math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#define MATH_F64(fn, args) \
    static inline double math_##fn##_f64 ARGS_##args(double) { return math_##fn##64 CALL_##args; }
#define MATH_OWN(fn) MATH_F64(fn, 1)
#include "../../ir/math64.def"
#undef MATH_F64
#undef MATH_OWN
#undef ARGS_1
#undef ARGS_2
#undef CALL_1
#undef CALL_2

#endif
