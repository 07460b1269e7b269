/* ref: the slow, obvious interpreter of graphs: the oracle. Floats in double, rounded to each node's dtype; integers and bools in their own
 * type; with a running error bound per float element, so that other executions can be judged. Relies on ir. Never shares code with
 * kernels, lowering or eager. */
#ifndef KILN_CODEGEN_REF_H
#define KILN_CODEGEN_REF_H

#include "../ir/graph.h"

typedef struct RefTensor {
    Type type;          /* constant dims */
    int64_t count;
    double *f;          /* floats: values, already rounded to the dtype; else NULL */
    int64_t *i;         /* integers and bool (u64 as its bits); else NULL */
    double *bound;      /* floats: absolute error that an honest execution may have against f: 0 where IEEE leaves no choice */
    uint8_t *undecided; /* element may honestly differ (a comparison, floor, cast or argmax within its operands' bounds); not compared */
} RefTensor;

/* Runs g on inputs (bytes row-major in the parameters' dtypes, dims all constant or given by symbol values). All values of the graph are kept in
 * *all (g->value.len entries, arena) so that any can be compared. False: st. */
bool ref_run(Arena *arena, const Graph *g, const int64_t *symbol, const void *const *in, RefTensor **all, Status *st);
/* One node alone, on operands given as tensors; *out gets node->nout of them (arena). A param has no operands and cannot run. */
bool ref_run_node(Arena *arena, const Graph *g, uint32_t node, const int64_t *symbol, const RefTensor *const *in, RefTensor **out,
                  Status *st);
/* Bytes of memory as a tensor that is exact (bound 0), and back. The arena's border must be set. */
RefTensor ref_load(Arena *arena, const Type *type, const void *bytes);
void ref_store(const RefTensor *t, void *bytes);
/* Compares bytes of an execution with t: false and a sentence in `why` at the first element outside its bound; *worst_ulps and *undecided (share
 * of elements, 0..1) are filled either way. More than 5 % undecided is a failure too. */
bool ref_compare(const RefTensor *t, const void *bytes, double *worst_ulps, double *undecided, char *why, size_t cap);

#endif
