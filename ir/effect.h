/* effect: copies of code whose effects have happened already. The gradient of a loop runs its body
 * again, but nothing may be shown, asserted or called twice. Relies on rebuild (node_has_effect). */
#ifndef KILN_IR_EFFECT_H
#define KILN_IR_EFFECT_H

#include "graph.h"

/* Appends node n (of a graph of the same module) to g on these operands, without its effects: an
 * effect itself is left out, a region runs a copy of its graph that has none. Returns the first
 * result (where one would be, if there is none); 0: st. A callback whose results are needed cannot
 * be left out: ST_UNSUPPORTED. */
Value effect_append_again(Graph *g, const Node *n, const Value *in, Status *st);

/* The graph itself if it has no effects, else a copy in its module that has none. NULL: st. */
const Graph *graph_without_effects(const Graph *g, Status *st);

#endif
