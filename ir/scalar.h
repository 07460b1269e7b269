/* scalar: the scalar algebra as data. Expressions of ops.def and math.def become flat prefix arrays of ScalarTok
 * (a macro such as ADD(a, b) expands to "{add}, a, b"), which the fold, the lowering and tests walk; C kernels paste the same
 * expressions as C (scalar_paste.h). Relies on dtype. Never knows tensors, graphs or targets. */
#ifndef KILN_IR_SCALAR_H
#define KILN_IR_SCALAR_H

#include "element.h"

typedef enum Prim {
    P_NONE,
#define PRIM(name, ...) P_##name,
#include "scalar.def"
#undef PRIM
    P_COUNT,
    /* tokens that are no primitives */
    P_ARG,   /* ref: operand 0, 1, 2 */
    P_CONST, /* value; type DT_NONE: the type of the op's operands */
    P_FN,    /* ref: MathFn, followed by its arguments: an elementary function */
    P_LET,   /* ref: slot, from 0 on in each function; type; followed by the expression that fills it */
    P_SLOT,  /* ref: slot, read */
    P_RET,   /* followed by the expression that is the function's value */
    P_END
} Prim;

typedef struct ScalarTok {
    uint8_t prim; /* Prim */
    uint8_t type; /* DType of cvt, bits, floatbits, const and let; DT_NONE: the op's own type */
    uint16_t ref;
    double value;
} ScalarTok;

typedef struct PrimInfo {
    const char *name;
    uint8_t args;
    char result; /* 'T', 'B' or 'O' */
    char domain; /* as in ops.def */
} PrimInfo;
extern const PrimInfo prim_info[P_COUNT];

/* Elementary functions of math.def. In f32 (and 16-bit floats, through f32) they are their let-rows; in f64 those of
 * math64.def. */
typedef enum MathFn {
#define MATH_BEGIN(fn, args) FN_##fn,
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
    FN_COUNT
} MathFn;

typedef struct MathInfo {
    const char *name; /* as in libm, if it is there; with an f appended: the float version */
    uint8_t args;
    const ScalarTok *tok; /* the f32 let-rows: P_LET ..., P_RET ..., P_END */
    double (*f64)(
        double); /* the C library's, of one argument, by which tests judge; NULL of functions that it need not have (MATH_OWN) */
    double (*f64_2)(double, double);
} MathInfo;
extern const MathInfo math_info[FN_COUNT];
extern const ScalarTok *const math_f64_rows[FN_COUNT];

/* The functions of narrow.def; NULL of types that are no narrow floats. */
typedef struct NarrowFns {
    const ScalarTok *widen, *narrow, *round;
} NarrowFns;
extern const NarrowFns narrow_fns[DT_COUNT];

/* One scalar value of any type, for the interpreter. Floats in f (an f32 value is held rounded), the rest in i (u64 as its bits).
 */
typedef union Scalar {
    double f;
    int64_t i;
    uint64_t u;
} Scalar;

/* One primitive on scalars of type t (cvt/bits/floatbits: from t to `to`): exactly what every backend computes.
 * mad rounds once if this CPU has FMA and twice otherwise. */
Scalar prim_eval(Prim p, DType t, DType to, Scalar a, Scalar b, Scalar c);
/* A cast from one dtype to another, held in the compute type of `to` and rounded once to `to` itself. */
Scalar scalar_cast(DType from, DType to, bool saturate, Scalar a);
Scalar scalar_bitcast(DType from, DType to, Scalar a); /* of one width; NaN of any bits */
/* An op's expression (arguments and result in compute types; result type `to` only matters to P_cvt with type DT_NONE). */
Scalar scalar_eval(const ScalarTok *expr, DType t, DType to, const Scalar *args);

/* What an expression is expanded into: values, instructions, text. */
typedef struct Term {
    DType type;
    union {
        Scalar scalar;
        int32_t at;
        void *value;
        const char *text;
    } as;
} Term;
typedef struct ScalarSink {
    void *to;
    Term (*constant)(void *to, DType t, Scalar v);
    Term (*prim)(void *to, Prim p, DType result, const Term *in);
} ScalarSink;
/* An expression, or a function with its lets, on arguments of compute type t; `to` as in scalar_eval. */
Term scalar_expand(const ScalarSink *sink, const ScalarTok *tok, DType t, DType to, const Term *args);
bool cpu_has_fma(void);

#endif
