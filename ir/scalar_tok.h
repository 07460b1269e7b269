/* scalar_tok: expressions of the scalar algebra as initialisers of ScalarTok, in prefix order: ADD(X, Y) is "{add}, {arg 0}, {arg 1}".
 * Included right before an expansion of ops.def or math.def and undone by scalar_undef.h right after it, for its names are short:
 * no include guard. Relies on scalar.h.
 *
 *   X Y Z        the operands          C(v)          a constant of the operands' type     K(type, v)  a constant of a named type
 *   CVT(type, x) to a named type       CAST(x)       to the op's result type              FN(fn, ...) an elementary function
 *   BITS(type, x) FLOATBITS(type, x)   V(fn, name)   a let-row of math.def */
#define TOK_(p) { P_##p, DT_NONE, 0, 0 }

#define X { P_ARG, DT_NONE, 0, 0 }
#define Y { P_ARG, DT_NONE, 1, 0 }
#define Z { P_ARG, DT_NONE, 2, 0 }
#define C(v) { P_CONST, DT_NONE, 0, v }
#define K(type, v) { P_CONST, DT_##type, 0, v }
#define V(fn, name) { P_SLOT, DT_NONE, SLOT_##fn##_##name, 0 }
#define FN(fn, ...) { P_FN, DT_NONE, FN_##fn, 0 }, __VA_ARGS__

#define ADD(a, b) TOK_(add), a, b
#define SUB(a, b) TOK_(sub), a, b
#define MUL(a, b) TOK_(mul), a, b
#define DIV(a, b) TOK_(div), a, b
#define IDIV(a, b) TOK_(idiv), a, b
#define IREM(a, b) TOK_(irem), a, b
#define FMOD(a, b) TOK_(fmod), a, b
#define MULHI(a, b) TOK_(mulhi), a, b
#define MAD(a, b, c) TOK_(mad), a, b, c
#define NEG(a) TOK_(neg), a
#define ABS(a) TOK_(abs), a
#define SQRT(a) TOK_(sqrt), a
#define FLOOR(a) TOK_(floor), a
#define CEIL(a) TOK_(ceil), a
#define TRUNC(a) TOK_(trunc), a
#define RINT(a) TOK_(rint), a
#define COPYSIGN(a, b) TOK_(copysign), a, b
#define LT(a, b) TOK_(lt), a, b
#define LE(a, b) TOK_(le), a, b
#define GT(a, b) TOK_(gt), a, b
#define GE(a, b) TOK_(ge), a, b
#define EQ(a, b) TOK_(eq), a, b
#define NE(a, b) TOK_(ne), a, b
#define SELECT(c, a, b) TOK_(select), c, a, b
#define AND(a, b) TOK_(and), a, b
#define OR(a, b) TOK_(or), a, b
#define XOR(a, b) TOK_(xor), a, b
#define NOT(a) TOK_(not), a
#define SHL(a, b) TOK_(shl), a, b
#define SHR(a, b) TOK_(shr), a, b
#define BITS(type, a) { P_bits, DT_##type, 0, 0 }, a
#define FLOATBITS(type, a) { P_floatbits, DT_##type, 0, 0 }, a
#define CVT(type, a) { P_cvt, DT_##type, 0, 0 }, a
#define CAST(a) { P_cvt, DT_NONE, 0, 0 }, a
