/* loop: scan and while seen alike, by all who type, differentiate or lower loops. What their operands and results mean is written
 * in op_region.c. Relies on graph. */
#ifndef KILN_IR_LOOP_H
#define KILN_IR_LOOP_H

#include "graph.h"

typedef struct LoopParts {
    const Graph *body, *condition; /* condition: of a while, else NULL */
    uint32_t first;                /* operand that is the first carry */
    uint32_t carries, xs, ys;      /* stacked inputs and outputs */
    bool reverse;
    Dim n;                         /* how high stacks are; of a while it may also be a bound */
} LoopParts;

static inline bool op_loops(Op op) { return op == OP_scan || op == OP_while; }
LoopParts loop_parts(const Module *m, Op op, const int64_t *attr);
Dim loop_trip(const Graph *g, Value trip); /* the value of a scan's trip count as a size, if the graph says it; DIM_BAD */

#endif
