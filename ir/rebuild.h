/* rebuild: how a pass makes its new graph. Every node that goes through here is folded and
 * shared (hash-consed), so constant folding and CSE are no passes; leaves vanish. Relies on
 * graph, fold. A pass that keeps everything is `for each node: rebuild_copy`. */
#ifndef KILN_IR_REBUILD_H
#define KILN_IR_REBUILD_H

#include "graph.h"

typedef struct Rebuild {
    const Graph *from;
    Graph *to;  /* new, same module and name, not yet in the module's list */
    Value *map; /* per value of `from`: its value in `to`, 0 while not copied */
    Map shared; /* node_hash -> node of `to` + 1 */
    Arena *scratch;
    Status *st;
} Rebuild;

/* Parameters are copied at once (same numbers, same order). */
void rebuild_begin(Rebuild *rb, const Graph *from, Arena *scratch, Status *st);
Value rebuild_copy(Rebuild *rb, uint32_t node); /* of `from`, operands mapped; first result; sets map for all results */
/* A node that `from` does not have (operands are values of `to`): folded, shared, appended. */
Value rebuild_op(Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc);
void rebuild_set(Rebuild *rb, Value old, Value now); /* `old` is `now` from here on */
Graph *rebuild_end(Rebuild *rb);                     /* results mapped; NULL after an error (st) */

/* A graph's nodes in the canonical order: pure nodes depth-first from effects and results. Used
 * by the first rebuild, so that text, hashes and objects do not depend on the order in which the
 * C compiler evaluated nested calls. order gets node numbers, returns how many. */
uint32_t graph_canonical_order(const Graph *g, uint32_t *order, Arena *scratch);

#endif
