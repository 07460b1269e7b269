/* scalar_c: the macros that paste expressions of the scalar algebra as C on float, double and 32/64-bit integers,
 * used to expand math.def (see docs/add-an-op.md). Include inside a translation unit, after <math.h>; never installed. */
#ifndef KILN_IR_SCALAR_C_H
#define KILN_IR_SCALAR_C_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float c_f32;
typedef double c_f64;
typedef int32_t c_i32;
typedef uint32_t c_u32;
typedef int64_t c_i64;
typedef uint64_t c_u64;
typedef _Bool c_bool;

#ifdef __FMA__
#define MAD_F32(x, y, z) __builtin_fmaf((x), (y), (z))
#define MAD_F64(x, y, z) __builtin_fma((x), (y), (z))
#else
#define MAD_F32(x, y, z) ((x) * (y) + (z))
#define MAD_F64(x, y, z) ((x) * (y) + (z))
#endif

static inline uint32_t bits_f32(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline uint64_t bits_f64(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
static inline float floatbits_f32(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
static inline double floatbits_f64(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

#endif
