/* decompose: what the two files of the pass share. Private to them. */
#ifndef KILN_PASSES_DECOMPOSE_H
#define KILN_PASSES_DECOMPOSE_H

#include "../ir/rebuild.h"

/* The concat of n operands, of a few at a time. */
Value concat_in_rounds(Rebuild *rb, Value *in, uint32_t n, int64_t axis, Loc loc);
/* Node n of rb->from, a conv or conv_filter, as moves and products; 0 after an error. */
Value expand_conv(Rebuild *rb, const Node *n);

#endif
