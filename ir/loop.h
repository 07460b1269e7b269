/* loop: the graphs of a loop node and what is known of its trip count, for all who type, differentiate or lower loops. What its
 * operands and results mean is written in op_region.c. Relies on graph. */
#ifndef KILN_IR_LOOP_H
#define KILN_IR_LOOP_H

#include "graph.h"

static inline const Graph *loop_body(const Module *m, const Attr *attr) { return m->graph.at[ATTRS(loop, attr->at)->body]; }
static inline const Graph *loop_condition(const Module *m, const Attr *attr) /* NULL: it has none */
{
    return attr->len > ATTR_INDEX(loop, condition) ? m->graph.at[ATTRS(loop, attr->at)->condition[0]] : NULL;
}
Dim loop_trip(const Graph *g, Value trip); /* the value of a trip count as a size, if the graph says it; DIM_BAD */

#endif
