/* reach: which values of a graph depend on given ones, and whether by a way that gradients take. Relies on reverse.h. Never makes a
 * node. */
#ifndef KILN_PASSES_REACH_H
#define KILN_PASSES_REACH_H

#include "reverse.h"

typedef enum ReachHow { REACH_NOT, REACH_WITHOUT_GRADIENT, REACH_BY_GRADIENT } ReachHow;

typedef struct Reach {
    uint8_t how;      /* ReachHow; the best way there is */
    const Node *stop; /* REACH_WITHOUT_GRADIENT: the node of that way that passes no gradient */
} Reach;

/* Returns, per value of g, how `leaf` reaches it through the nodes [first, last) outside of the gaps (which ascend), loops and
 * branches included. Values that only decide how often a loop turns or which branch is taken do not count as a way. The answer lies
 * in the arena, whose border must be set. */
Reach *reach_from(Arena *arena, const Graph *g, uint32_t first, uint32_t last, const NodeRange *gap, uint32_t ngap,
    const Value *leaf, uint32_t leaves);

#endif
