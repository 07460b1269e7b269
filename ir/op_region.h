/* op_region: what the gradients of loops (op_loop_grad.c) and of branches (op_region.c) share. Relies on emit. Private to those
 * two. */
#ifndef KILN_IR_OP_REGION_H
#define KILN_IR_OP_REGION_H

#include "emit.h"

typedef struct Picks { /* which of a group of operands or results take part */
    uint32_t *at, n;
} Picks;

Picks picks_new(Module *m, uint32_t most);

/* Appends the nodes of `from` to g; map has its parameters and gets the rest. saved, if not NULL: per value of `from`, what an
 * earlier run left of it in g (0: nothing), which stands for it from there on. */
bool region_inline(Graph *g, const Graph *from, Value *map, const Value *saved, Status *st);
Graph *region_body(Module *m, const Graph *of, const char *what); /* a new graph, named after another one */

#endif
