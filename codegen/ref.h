/* ref: the slow, obvious interpreter of graphs: the oracle. Floats in double, rounded to each node's dtype; integers and bools in
 * their own type; with a running error bound per float element, so that other executions can be judged. Relies on ir. Never shares
 * code with kernels, lowering or eager. */
#ifndef KILN_CODEGEN_REF_H
#define KILN_CODEGEN_REF_H

#include "../ir/graph.h"

typedef enum RefDoubt {
    DOUBT_STEP = 1,     /* a comparison, floor, cast or argmax within its operands' bounds */
    DOUBT_OVERFLOW = 2, /* may or may not overflow, or leave the normal range, on some way of computing it */
    DOUBT_EDGE = 4,     /* an operand's bounds hold a pole, a branch cut or a zero whose sign counts */
    DOUBT_CHOICE = 8    /* an undecided selector, index, condition or trip count */
} RefDoubt;

typedef struct RefTensor {
    Type type; /* constant dims */
    int64_t count;
    double *f;          /* floats: values, already rounded to the dtype; else NULL */
    int64_t *i;         /* integers and bool (u64 as its bits); else NULL */
    double *bound;      /* floats: absolute error that an honest execution may have against f: 0 where IEEE leaves no choice */
    uint8_t *undecided; /* RefDoubt bits: why the element may honestly differ; it is not compared. 0: decided */
} RefTensor;

/* Runs g on inputs (bytes row-major in the parameters' dtypes, dims all constant or given by symbol values). All values of the
 * graph are kept in *all (g->value.len entries, arena) so that any can be compared. False: st. */
bool ref_run(Arena *arena, const Graph *g, const int64_t *symbol, const void *const *in, RefTensor **all, Status *st);
/* One node alone, on operands given as tensors; *out gets node->nout of them (arena). A param has no operands and cannot run. tf32:
 * the operands of products of f32 may be rounded to tf32. */
bool ref_run_node(Arena *arena, const Graph *g, uint32_t node, const int64_t *symbol, bool tf32, const RefTensor *const *in,
    RefTensor **out, Status *st);
/* Bytes of memory as a tensor that is exact (bound 0), and back. The arena's border must be set. */
RefTensor ref_load(Arena *arena, const Type *type, const void *bytes);
void ref_store(const RefTensor *t, void *bytes);
typedef struct RefVerdict {
    int64_t compared, undecided; /* elements */
    uint8_t doubt;               /* RefDoubt bits of those undecided */
    double worst_ulps;           /* of those compared */
    char why[240];               /* the first that lies outside its bound, in a sentence; "" if none does */
} RefVerdict;
/* Compares bytes of an execution with t. False: a decided element lies outside its bound. */
bool ref_compare(const RefTensor *t, const void *bytes, RefVerdict *v);
const char *ref_doubt_text(uint8_t doubt); /* in words, of the lowest bit */

#endif
