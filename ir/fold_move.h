/* fold_move: identities of the ops that only move elements, for fold.c; and what the two share.
 * Relies on rebuild. */
#ifndef KILN_IR_FOLD_MOVE_H
#define KILN_IR_FOLD_MOVE_H

#include "rebuild.h"

/* As fold_node, for an op with the flag MOVES. */
Value fold_move(Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr,
    uint32_t nattr, Loc loc);

Value fold_constant(Rebuild *rb, const Type *type, Scalar v, Loc loc);
/* The node that makes x (a value of rb->to) if it is an op, else NULL. */
const Node *fold_maker(const Rebuild *rb, Value x, Op op);

#endif
