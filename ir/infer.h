/* infer: what type an op's results have, given its operands' types and attributes: the one place
 * where shapes are checked, used by eager ops, tracing, passes and the verifier alike. Relies on
 * graph. Rules: op_*.c. */
#ifndef KILN_IR_INFER_H
#define KILN_IR_INFER_H

#include "graph.h"

#define FEW_RESULTS 3 /* of every op that is no region and no callback */

typedef struct Infer {
    Module *module; /* NULL in eager code: all dims constant, no regions */
    Op op;
    const Type *const *in;
    uint32_t nin;
    const int64_t *attr;
    uint32_t nattr;
    Type *out;     /* the result types: `few`, or of the module's arena (rule_room) */
    uint32_t nout; /* set by the rule */
    Type few[FEW_RESULTS];
    Status *st;
    const Graph *graph; /* where the operands live, so that a loop can look at its trip count; NULL: unknown */
    const Value *value;
} Infer;

/* The question, outside of any graph; `few` is not cleared. */
static inline void infer_begin(
    Infer *inf, Op op, const Type *const *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Status *st)
{
    inf->module = NULL;
    inf->op = op;
    inf->in = in;
    inf->nin = nin;
    inf->attr = attr;
    inf->nattr = nattr;
    inf->out = inf->few;
    inf->nout = 0;
    inf->st = st;
    inf->graph = NULL;
    inf->value = NULL;
}

/* False, and st names the op, its operand types and the reason, if the operands do not fit. */
bool infer_types(Infer *inf);

/* The same for a node of g, operands given as values of g; *inf is made here, and its out and nout are the answer. */
bool infer_node(Infer *inf, const Graph *g, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Status *st);

/* For rules: records "op: reason: f32[2,3] x i32[4]" and returns false. */
bool infer_fail(Infer *inf, StatusCode code, const char *format, ...) PRINTF_LIKE(3, 4);

/* NumPy broadcasting of shapes only; false if they do not fit. */
bool shape_broadcast(DimTable *t, const Type *a, const Type *b, Type *out);

#endif
