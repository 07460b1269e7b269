/* scratch: memory for calls that end in the reverse order of their start, such as the pointer arrays of a compiled call and of a
 * callback that it makes. It grows and is kept, so that a call that has run once allocates nothing later; memory that was handed
 * out never moves. Relies on base. It belongs to one thread and is never shared. */
#ifndef KILN_RUNTIME_SCRATCH_H
#define KILN_RUNTIME_SCRATCH_H

#include "base.h"

typedef struct ScratchBlock ScratchBlock;
struct ScratchBlock {
    ScratchBlock *below, *above;
    size_t room;
    _Alignas(16) char at[];
};

typedef struct Scratch {         /* all zeros: empty */
    ScratchBlock *first, *block; /* block: the one in use; NULL: none yet */
    size_t used;                 /* of it */
} Scratch;

typedef struct ScratchMark {
    ScratchBlock *block;
    size_t used;
} ScratchMark;

static inline ScratchMark scratch_mark(const Scratch *s) { return (ScratchMark){s->block, s->used}; }

/* Gives back all that was taken since the mark, later marks included. */
static inline void scratch_reset(Scratch *s, ScratchMark m)
{
    s->block = m.block;
    s->used = m.used;
}

void *scratch_grow(Scratch *s, size_t bytes);

/* 16-byte aligned, not zeroed; NULL only if memory ran out or the size overflows. */
static inline void *scratch_take(Scratch *s, size_t count, size_t size)
{
    size_t bytes;
    if (UNLIKELY(!size_mul(count, size, &bytes) || bytes > SIZE_MAX / 4)) return NULL;
    bytes = (bytes + 15) & ~(size_t)15;
    if (UNLIKELY(!s->block || bytes > s->block->room - s->used)) return scratch_grow(s, bytes);
    void *at = s->block->at + s->used;
    s->used += bytes;
    return at;
}

void scratch_free(Scratch *s);

#endif
