/* decompose: what the files of the pass share. Private to them. */
#ifndef KILN_PASSES_DECOMPOSE_H
#define KILN_PASSES_DECOMPOSE_H

#include "../ir/emit.h"
#include "../ir/rebuild.h"

/* An emitter that appends to the graph in the making. */
typedef struct RebuildEmit {
    Emit e;
    Rebuild *rb;
} RebuildEmit;
void rebuild_emit_init(RebuildEmit *re, Rebuild *rb, Loc loc);

/* The concat of n operands, of a few at a time. */
Value concat_in_rounds(Rebuild *rb, Value *in, uint32_t n, int64_t axis, Loc loc);
/* Node n of rb->from, a conv or conv_filter, as moves and products; 0 after an error. */
Value expand_conv(Rebuild *rb, const Node *n);
/* Node n of rb->from, one of the ops of attention, as loops over blocks; sets its results. */
void expand_attention(Rebuild *rb, const Node *n);

#endif
