/* math_c: math.def and math64.def as C: static inline float math_exp(float x), double math_exp64(double x) and their kin,
 * straight-line code that compilers turn into vector loops. MATH_NAME(fn) renames them, so that a test may expand the
 * table twice. Relies on scalar_c.h. Bits depend on -ffp-contract=off and on whether the
 * translation unit is compiled for FMA; never include it under fast-math. */
#include "scalar_c.h"

#ifndef MATH_NAME
#define MATH_NAME(fn) math_##fn
#endif

#include "scalar_paste.h"
#define MATH_ARGS_1 float x
#define MATH_ARGS_2 float x, float y
#define MATH_BEGIN(fn, args)                            \
    static inline float MATH_NAME(fn)(MATH_ARGS_##args) \
    {
#define LET(fn, name, type, expr) const c_##type v_##name = expr;
#define MATH_END(fn, expr) \
    return expr;           \
    }
#include "math.def"
#undef MATH_BEGIN
#undef MATH_ARGS_1
#undef MATH_ARGS_2
#define MATH_ARGS_1 double x
#define MATH_ARGS_2 double x, double y
#define MATH_BEGIN(fn, args)                             \
    static inline double MATH_NAME(fn)(MATH_ARGS_##args) \
    {
#include "math64.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#undef MATH_ARGS_1
#undef MATH_ARGS_2
#include "scalar_undef.h"
#undef MATH_NAME
