/* reverse: the one reverse-mode walk. Relies on ir/emit.h. It serves a tape in eager code, a
 * tape inside a trace and the bodies of regions alike; what differs is the Emit. */
#ifndef KILN_PASSES_REVERSE_H
#define KILN_PASSES_REVERSE_H

#include "../ir/emit.h"

typedef struct NodeRange {
    uint32_t first, last;
} NodeRange; /* [first, last) */

typedef struct Reverse {
    Emit *e;
    const Graph *g;       /* may be appended to by e while the walk runs */
    uint32_t first, last; /* nodes [first, last) are walked, backwards */
    const NodeRange *gap; /* but for these, ascending: nothing flows through them */
    uint32_t ngap;
    const Value *y, *seed; /* outputs and their cotangents (0: ones) */
    uint32_t ny;
    const Value *x; /* what is asked for; a value may stand twice */
    /* ascending; the x of one group are the reads of one thing: dx of the first is the sum for all, in the order of the walk; NULL:
     * each x is its own group */
    const uint32_t *group;
    uint32_t nx;
    Value *dx; /* out: cotangents; 0 where unconnected */
    Arena *scratch;
    Status *st;
    void *user;                              /* to Vjp.user */
    void (*foreign)(Vjp *v);                 /* to Vjp.foreign: gradients of `call` and `custom` */
    void (*node)(void *user, uint32_t node); /* called before each node that is differentiated; may be NULL */
} Reverse;

/* Adds up cotangents in the order of the walk, and asks a rule only for operands that depend on an x. */
bool reverse_walk(Reverse *r);

#endif
