/* keep: where products keep what they packed, and how much of it there is: what callers of contract.h may know of panels.h. */
#ifndef KILN_CODEGEN_CONTRACT_KEEP_H
#define KILN_CODEGEN_CONTRACT_KEEP_H

#include "../../runtime/buffer.h"

typedef struct PanelCache {
    size_t most;                       /* bytes at a time; 0: nothing is kept */
    atomic_size_t bytes;               /* now */
    atomic_uint_fast64_t packed, used; /* how many operands were packed, and how many products found theirs */
} PanelCache;

typedef struct Panels Panels;

/* Bytes of all panels that are kept of the buffer; nobody writes it meanwhile. */
size_t panels_bytes(const Buffer *of);

/* Of one product: its right operand lies in buffer `of`, or somewhere else if that is NULL. */
typedef struct Keep {
    PanelCache *cache;
    Buffer *of;
    const Panels *panels; /* what contract.c found */
} Keep;

#endif
