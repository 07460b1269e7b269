/* scalar_tok: expressions of the scalar algebra as initialisers of ScalarTok, in prefix order: ADD(X, Y) is "{add}, {arg 0},
 * {arg 1}". Included right before an expansion of ops.def or math.def and undone by scalar_undef.h right after it, for its names
 * are short: no include guard. Relies on scalar.h.
 *
 *   X Y Z        the operands          C(v)          a constant of the operands' type     K(type, v)  a constant of a named type
 *   CVT(type, x) to a named type       CAST(x)       to the op's result type              FN(fn, ...) an elementary function
 *   BITS(type, x) FLOATBITS(type, x)   V(fn, name)   a let-row of math.def                ADD, ...    the primitives of
 *   scalar.def */
#define SPELL(p, ...) {P_##p, DT_NONE, 0, 0}, __VA_ARGS__
#include "scalar.def"

#define X                    \
    {                        \
        P_ARG, DT_NONE, 0, 0 \
    }
#define Y                    \
    {                        \
        P_ARG, DT_NONE, 1, 0 \
    }
#define Z                    \
    {                        \
        P_ARG, DT_NONE, 2, 0 \
    }
#define C(v)                   \
    {                          \
        P_CONST, DT_NONE, 0, v \
    }
#define K(type, v)               \
    {                            \
        P_CONST, DT_##type, 0, v \
    }
#define V(fn, name)                            \
    {                                          \
        P_SLOT, DT_NONE, SLOT_##fn##_##name, 0 \
    }
#define FN(fn, ...) {P_FN, DT_NONE, FN_##fn, 0}, __VA_ARGS__
#define BITS(type, a) {P_bits, DT_##type, 0, 0}, a
#define FLOATBITS(type, a) {P_floatbits, DT_##type, 0, 0}, a
#define CVT(type, a) {P_cvt, DT_##type, 0, 0}, a
#define CAST(a) {P_cvt, DT_NONE, 0, 0}, a
