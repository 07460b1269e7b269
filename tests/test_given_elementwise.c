/* test_given_elementwise: the array API's elementwise functions (ops.h) against NumPy's (tests/given/elementwise.py). */
#include "given.h"

#define ONE(name, call) GIVEN(name, kiln_##call(X(0)))
#define TWO(name, call) GIVEN(name, kiln_##call(X(0), X(1)))
/* name, what Kiln calls it, units of the last place, flags */
#define ROWS(ONE, TWO)                                                                                                                          \
    ONE(abs, abs, 0, 0) ONE(acos, acos, 2, 0) ONE(acosh, acosh, 2, GIVEN_GRAD) ONE(asin, asin, 2, GIVEN_GRAD) ONE(asinh, asinh, 2, GIVEN_GRAD)  \
    ONE(atan, atan, 2, GIVEN_GRAD) ONE(atanh, atanh, 2, GIVEN_GRAD) ONE(ceil, ceil, 0, 0) ONE(cos, cos, 2, GIVEN_GRAD)                          \
    ONE(cosh, cosh, 2, GIVEN_GRAD) ONE(exp, exp, 2, GIVEN_GRAD) ONE(expm1, expm1, 2, GIVEN_GRAD) ONE(floor, floor, 0, 0)                        \
    ONE(isfinite, isfinite, 0, 0) ONE(isinf, isinf, 0, 0) ONE(isnan, isnan, 0, 0) ONE(log, log, 2, GIVEN_GRAD) ONE(log1p, log1p, 2, GIVEN_GRAD) \
    ONE(log2, log2, 2, GIVEN_GRAD) ONE(log10, log10, 2, GIVEN_GRAD) ONE(negative, neg, 0, GIVEN_GRAD) ONE(positive, positive, 0, GIVEN_GRAD)    \
    ONE(reciprocal, reciprocal, 1, GIVEN_GRAD) ONE(round, round, 0, 0) ONE(sign, sign, 0, 0) ONE(signbit, signbit, 0, 0)                        \
    ONE(sin, sin, 2, GIVEN_GRAD) ONE(sinh, sinh, 2, GIVEN_GRAD) ONE(square, square, 0, GIVEN_GRAD) ONE(sqrt, sqrt, 1, GIVEN_GRAD)               \
    ONE(tan, tan, 2, GIVEN_GRAD) ONE(tanh, tanh, 2, GIVEN_GRAD) ONE(trunc, trunc, 0, 0) ONE(bitwise_invert, not, 0, 0)                          \
    ONE(logical_not, not, 0, 0) TWO(add, add, 0, GIVEN_GRAD) TWO(subtract, sub, 0, GIVEN_GRAD) TWO(multiply, mul, 1, GIVEN_GRAD)                \
    TWO(divide, div, 1, GIVEN_GRAD) TWO(atan2, atan2, 2, GIVEN_GRAD) TWO(copysign, copysign, 0, 0) TWO(hypot, hypot, 2, GIVEN_GRAD)             \
    TWO(logaddexp, logaddexp, 2, GIVEN_GRAD) TWO(maximum, max, 0, 0) TWO(minimum, min, 0, 0) TWO(pow, pow, 2, GIVEN_GRAD)                       \
    TWO(floor_divide, floor_div, 0, 0) TWO(remainder, mod, 1, 0) TWO(nextafter, nextafter, 0, 0) TWO(equal, equal, 0, 0)                        \
    TWO(not_equal, not_equal, 0, 0) TWO(less, less, 0, 0) TWO(less_equal, less_equal, 0, 0) TWO(greater, greater, 0, 0)                         \
    TWO(greater_equal, greater_equal, 0, 0) TWO(bitwise_and, and, 0, 0) TWO(bitwise_or, or, 0, 0) TWO(bitwise_xor, xor, 0, 0)                   \
    TWO(bitwise_left_shift, shl, 0, 0) TWO(bitwise_right_shift, shr, 0, 0)
#define MAKE_ONE(name, call, near, flags) ONE(np_##name, call)
#define MAKE_TWO(name, call, near, flags) TWO(np_##name, call)
ROWS(MAKE_ONE, MAKE_TWO)
GIVEN(np_clip, kiln_clip(X(0), 1, 3))

#define LIST_ONE(name, call, near, flags) {#name, np_##name, near, flags},
#define LIST_TWO(name, call, near, flags) {#name, np_##name, near, (flags) | GIVEN_SIZED},
static const GivenRow rows[] = {ROWS(LIST_ONE, LIST_TWO){"clip", np_clip, 0, 0}};

GIVEN_MAIN("elementwise", rows)
