/* scalar_paste: the spelled expressions of the scalar algebra as C expressions, the twin of scalar_tok.h. Included right before an
 * expansion of math.def or ops.def inside a C kernel and undone by scalar_undef.h; no include guard. Relies on scalar_c.h.
 *
 * X, Y, Z are the variables x, y, z. C(v) is a constant of SCALAR_T and CAST(x) converts to SCALAR_TO, types as scalar_c.h spells
 * them after c_ (f32, i64 ...), which the including file defines if it uses them. FN(fn, ...) calls SCALAR_FN(fn), math_fn unless
 * defined. Mad is SCALAR_MAD_F32 / _F64, by default FMA where the translation unit is compiled for it. Integers narrower than int
 * compute in int, as C does: the value is right once stored in its type, provided the expression does not compare, divide or
 * shift an intermediate that wrapped. */
#ifndef SCALAR_MAD_F32
#define SCALAR_MAD_F32 mad_f32
#define SCALAR_MAD_F64 mad_f64
#endif
#ifndef SCALAR_FN
#define SCALAR_FN(fn) math_##fn
#endif

/* Selects by a value's type; only the controlling operand is pasted twice. */
#define PASTE_FLOAT_(v, f32, f64) _Generic((v), float: f32, double: f64)
#define PASTE_INT_(v, fn)                                                                                             \
    _Generic((v), int8_t: fn##_c_i8, int16_t: fn##_c_i16, int32_t: fn##_c_i32, int64_t: fn##_c_i64,                   \
             uint8_t: fn##_c_u8, uint16_t: fn##_c_u16, uint32_t: fn##_c_u32, uint64_t: fn##_c_u64)
#define PASTE_CVT_(T, v) _Generic((v), float: cvt_float_##T, double: cvt_float_##T, default: cvt_int_##T)
#define PASTE_TO_(T, v) PASTE_TO_##T(v)
#define PASTE_TO_f32(v) ((float)(v))
#define PASTE_TO_f64(v) ((double)(v))
#define PASTE_TO_bool(v) ((_Bool)((v) != 0))
#define PASTE_TO__Bool(v) PASTE_TO_bool(v) /* bool is a macro, expanded where it went through another one */
#define PASTE_TO_i8(v) PASTE_CVT_(c_i8, v)(v)
#define PASTE_TO_i16(v) PASTE_CVT_(c_i16, v)(v)
#define PASTE_TO_i32(v) PASTE_CVT_(c_i32, v)(v)
#define PASTE_TO_i64(v) PASTE_CVT_(c_i64, v)(v)
#define PASTE_TO_u8(v) PASTE_CVT_(c_u8, v)(v)
#define PASTE_TO_u16(v) PASTE_CVT_(c_u16, v)(v)
#define PASTE_TO_u32(v) PASTE_CVT_(c_u32, v)(v)
#define PASTE_TO_u64(v) PASTE_CVT_(c_u64, v)(v)
#define PASTE_CONST_(T, v) ((c_##T)(v))

#define X x
#define Y y
#define Z z
#define C(v) PASTE_CONST_(SCALAR_T, v)
#define K(type, v) ((c_##type)(v))
#define V(fn, name) v_##name
#define FN(fn, ...) SCALAR_FN(fn)(__VA_ARGS__)

#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define DIV(a, b) ((a) / (b))
#define IDIV(a, b) PASTE_INT_(a, idiv)(a, b)
#define IREM(a, b) PASTE_INT_(a, irem)(a, b)
#define FMOD(a, b) PASTE_FLOAT_(b, fmodf, fmod)(a, b)
#define MULHI(a, b) mulhi_u32(a, b)
#define MAD(a, b, c) PASTE_FLOAT_(c, SCALAR_MAD_F32, SCALAR_MAD_F64)(a, b, c)
#define NEG(a) (-(a))
#define ABS(a)                                                                                                        \
    _Generic((a), float: __builtin_fabsf, double: __builtin_fabs, int8_t: abs_c_i8, int16_t: abs_c_i16,               \
             int32_t: abs_c_i32, int64_t: abs_c_i64, uint8_t: abs_c_u8, uint16_t: abs_c_u16, uint32_t: abs_c_u32,     \
             uint64_t: abs_c_u64)(a)
#define SQRT(a) PASTE_FLOAT_(a, sqrtf, sqrt)(a)
#define FLOOR(a) PASTE_FLOAT_(a, floorf, floor)(a)
#define CEIL(a) PASTE_FLOAT_(a, ceilf, ceil)(a)
#define TRUNC(a) PASTE_FLOAT_(a, truncf, trunc)(a)
#define RINT(a) PASTE_FLOAT_(a, rintf, rint)(a)
#define COPYSIGN(a, b) PASTE_FLOAT_(b, copysignf, copysign)(a, b)
#define LT(a, b) ((_Bool)((a) < (b)))
#define LE(a, b) ((_Bool)((a) <= (b)))
#define GT(a, b) ((_Bool)((a) > (b)))
#define GE(a, b) ((_Bool)((a) >= (b)))
#define EQ(a, b) ((_Bool)((a) == (b)))
#define NE(a, b) ((_Bool)((a) != (b)))
#define SELECT(c, a, b) ((c) ? (a) : (b))
#define AND(a, b) ((a) & (b))
#define OR(a, b) ((a) | (b))
#define XOR(a, b) ((a) ^ (b))
#define NOT(a) _Generic((a), _Bool: (_Bool)((a) == 0), default: (a) ^ -1)
#define SHL(a, b) PASTE_INT_(a, shl)(a, b)
#define SHR(a, b) PASTE_INT_(a, shr)(a, b)
#define BITS(type, a) ((c_##type)PASTE_FLOAT_(a, bits_f32, bits_f64)(a))
#define FLOATBITS(type, a) floatbits_##type(a)
#define CVT(type, a) PASTE_TO_##type(a)
#define CAST(a) PASTE_TO_(SCALAR_TO, a)
