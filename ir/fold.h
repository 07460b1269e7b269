/* fold: what a node is worth without running it. Constants are evaluated by the scalar algebra itself; the algebra rules are exact
 * in bits (docs/numerics.md lists what that leaves). Each rule makes the graph smaller, so rebuilding terminates. Relies on graph.
 */
#ifndef KILN_IR_FOLD_H
#define KILN_IR_FOLD_H

#include "rebuild.h"

/* What a rule of folding, fold_NAME, sees: the node that is about to be made. Its answer is the value of rb->to that the node
 * equals, or 0. */
typedef struct Folding {
    Rebuild *rb;
    Op op;
    const Value *in;
    uint32_t nin;
    const int64_t *attr;
    uint32_t nattr;
    Loc loc;
} Folding;

/* The value of `to` that this node equals, or 0. May make nodes through rebuild_op (a constant, a reshape). */
Value fold_node(Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc);
/* True, and *v its element, if x is a constant (all elements equal). */
bool value_is_constant(const Graph *g, Value x, Scalar *v);

/* For rules. */
Value folded_constant(const Folding *f, const Type *type, Scalar v);
/* The node that makes x (a value of rb->to) if it is an op, else NULL. */
const Node *folded_maker(const Folding *f, Value x, Op op);
static inline const Type *folded_type(const Folding *f, Value x) { return graph_type(f->rb->to, x); }

#endif
