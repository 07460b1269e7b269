/* math_twice: the elementary functions of math.def and math64.def as C twice, as they are where mad rounds once (fused_exp,
 * fused_exp64 ...) and where it rounds twice (split_exp ...), whatever this CPU has. */
#ifndef KILN_TESTS_MATH_TWICE_H
#define KILN_TESTS_MATH_TWICE_H

#include "../ir/scalar_c.h"

static inline float fused_f32(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double fused_f64(double x, double y, double z) { return __builtin_fma(x, y, z); }
static inline float split_f32(float x, float y, float z) { return x * y + z; }
static inline double split_f64(double x, double y, double z) { return x * y + z; }

#define MATH_NAME(fn) fused_##fn
#define SCALAR_MAD fused
#include "../ir/math_c.h"
#define MATH_NAME(fn) split_##fn
#define SCALAR_MAD split
#include "../ir/math_c.h"

#endif
