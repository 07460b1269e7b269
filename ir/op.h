/* op: the Op enum and the table of what each op is, expanded from ops.def. Relies on scalar. Never knows graphs' insides. */
#ifndef KILN_IR_OP_H
#define KILN_IR_OP_H

#include "scalar.h"

typedef enum Op {
    OP_none,
#define UNARY(name, ...) OP_##name,
#define BINARY(name, ...) OP_##name,
#define TERNARY(name, ...) OP_##name,
#define OP(name, ...) OP_##name,
#include "ops.def"
#include "ops_undef.h"
    OP_COUNT
} Op;

enum {
    OPF_ELEMENTWISE = 1,
    OPF_COMM = 2,
    OPF_MOVES = 4,
    OPF_CONTRACTS = 8,
    OPF_REGION = 16,
    OPF_EFFECT = 32,
    OPF_CAST = 64,     /* elementwise, result dtype in the attributes */
    OPF_TO_BOOL = 128, /* elementwise with a bool result */
    OPF_LAPACK = OPF_CONTRACTS | 256
};

typedef enum OpRole { /* what an op is to kernels, as ops.def says */
    ROLE_OUTSIDE,
    ROLE_CONVOLVE,
    ROLE_ATTEND,
    ROLE_FACTOR,
    ROLE_SORT,
    ROLE_SOURCE,
    ROLE_SAME,
    ROLE_ALIAS,
    ROLE_SPREAD,
    ROLE_VIEW,
    ROLE_MOVE,
    ROLE_COMPUTE,
    ROLE_SUM,
    ROLE_PROD,
    ROLE_MAX,
    ROLE_MIN,
    ROLE_ARGMAX,
    ROLE_ARGMIN
} OpRole;

/* A gradient column: a flat prefix array. */
typedef enum GradKind { GK_NONE, GK_OP, GK_G, GK_R, GK_X, GK_Y, GK_Z, GK_CONST, GK_END } GradKind;
typedef struct GradTok {
    uint8_t kind; /* GradKind */
    uint16_t op;  /* GK_OP: an elementwise Op (where for SELECT) */
    double value; /* GK_CONST */
} GradTok;

typedef uint32_t Value; /* of a graph (graph.h) */
struct Infer;
struct Vjp;
struct Vmap;
struct Folding;
struct Mapping;

typedef struct OpDef {
    const char *name;
    int8_t nin, nout; /* -1: any */
    uint16_t flags;
    uint8_t role;             /* OpRole */
    char domain;              /* elementwise: letter of ops.def */
    const ScalarTok *value_f; /* elementwise: for floats; NULL: none */
    const ScalarTok *value_i; /* for integers and bool */
    const GradTok *grad[3];   /* elementwise: per operand */
    const char *attrs;        /* structured: a letter per attribute, i d v t g; last perhaps I D G for all that follow, or ? T */
    bool (*infer)(struct Infer *);
    void (*vjp)(struct Vjp *);             /* NULL: no gradient flows */
    void (*vmap)(struct Vmap *);           /* structured: NULL: a loop over the examples */
    Value (*fold)(const struct Folding *); /* NULL: nothing is known */
    bool (*map)(const struct Mapping *);   /* NULL: at the same place */
} OpDef;

extern const OpDef op_def[OP_COUNT];

/* It is never in a kernel. */
static inline bool op_is_outside(Op op) { return op_def[op].role <= ROLE_SORT; }
static inline bool op_reduces(Op op) { return op_def[op].role >= ROLE_SUM; }
static inline bool op_is_source(Op op) { return op_def[op].role == ROLE_SOURCE; }
static inline bool op_joins(Op op) { return op_def[op].flags & OPF_MOVES && op_def[op].nin < 0; } /* any number of operands */
/* It has its first operand's elements in their order, perhaps several times. */
static inline bool op_in_order(Op op) { return op_def[op].role >= ROLE_SAME && op_def[op].role <= ROLE_SPREAD; }
/* Its elements lie in its first operand's buffer. */
static inline bool op_is_alias(Op op) { return op_def[op].role == ROLE_SAME || op_def[op].role == ROLE_ALIAS; }

/* It reads its operands through strides, so that moves which strides can express need not be made. */
static inline bool op_takes_strides(Op op) { return op == OP_matmul; }
static inline bool op_convolves(Op op) { return op_def[op].role == ROLE_CONVOLVE; }
static inline bool op_attends(Op op) { return op_def[op].role == ROLE_ATTEND; }
static inline bool op_factors(Op op) { return op_def[op].role == ROLE_FACTOR; }
static inline bool op_by_lapack(Op op) { return (op_def[op].flags & OPF_LAPACK) == OPF_LAPACK; }
/* What it does to that many matrices, in multiplications and additions of floats (op_factor.c). */
double op_factor_flops(Op op, double many, double rows, double columns);

/* Attribute i of a structured op names a graph. */
static inline bool op_attr_is_graph(Op op, uint32_t i)
{
    const char *schema = op_def[op].attrs;
    for (; i > 0 && schema[0] >= 'a'; i--) schema++; /* a capital stands for all that follow */
    return schema[0] == 'g' || schema[0] == 'G';
}

Op op_parse(const char *name, size_t len); /* OP_none if unknown */
bool domain_has(char domain, DType t);     /* a letter of ops.def */
static inline bool op_domain_has(Op op, DType t) { return domain_has(op_def[op].domain, t); }

#endif
