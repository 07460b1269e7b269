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
#undef UNARY
#undef BINARY
#undef TERNARY
#undef OP
    OP_COUNT
} Op;

enum {
    OPF_ELEMENTWISE = 1,
    OPF_COMM = 2,
    OPF_MOVES = 4,
    OPF_REDUCES = 8,
    OPF_CONTRACTS = 16,
    OPF_REGION = 32,
    OPF_EFFECT = 64,
    OPF_SOURCE = 128,
    OPF_CAST = 256,      /* elementwise, result dtype in the attributes */
    OPF_TO_BOOL = 512    /* elementwise with a bool result */
};

/* A gradient column: a flat prefix array. */
typedef enum GradKind { GK_NONE, GK_OP, GK_G, GK_R, GK_X, GK_Y, GK_Z, GK_CONST, GK_END } GradKind;
typedef struct GradTok {
    uint8_t kind;   /* GradKind */
    uint16_t op;    /* GK_OP: an elementwise Op (where for SELECT) */
    double value;   /* GK_CONST */
} GradTok;

struct Infer;
struct Vjp;

typedef struct OpDef {
    const char *name;
    int8_t nin, nout;         /* -1: any */
    uint16_t flags;
    char domain;              /* elementwise: letter of ops.def */
    const ScalarTok *value_f; /* elementwise: for floats; NULL: none */
    const ScalarTok *value_i; /* for integers and bool */
    const GradTok *grad[3];   /* elementwise: per operand */
    const char *attrs;        /* structured: schema letters */
    bool (*infer)(struct Infer *);
    void (*vjp)(struct Vjp *); /* NULL: no gradient flows */
} OpDef;

extern const OpDef op_def[OP_COUNT];

/* Attribute i of a structured op names a graph. */
static inline bool op_attr_is_graph(Op op, uint32_t i)
{
    const char *schema = op_def[op].attrs;
    for (; i > 0 && schema[0] >= 'a'; i--) schema++; /* a capital stands for all that follow */
    return schema[0] == 'g' || schema[0] == 'G';
}

Op op_parse(const char *name, size_t len); /* OP_none if unknown */
bool op_domain_has(Op op, DType t);

#endif
