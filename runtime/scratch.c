/* scratch: see scratch.h. Blocks double, and those above the one in use are kept for the next call. */
#include "scratch.h"

enum { FIRST_ROOM = 16 << 10 };

static ScratchBlock *block_new(ScratchBlock *below, ScratchBlock *above, size_t bytes)
{
    size_t room = below ? 2 * below->room : FIRST_ROOM;
    while (room < bytes) room *= 2;
    ScratchBlock *b = mem_alloc(sizeof *b + room);
    if (!b) return NULL;
    *b = (ScratchBlock){.below = below, .above = above, .room = room};
    if (below) below->above = b;
    if (above) above->below = b;
    return b;
}

void *scratch_grow(Scratch *s, size_t bytes)
{
    ScratchBlock *next = s->block ? s->block->above : s->first;
    if (!next || next->room < bytes) {
        next = block_new(s->block, next, bytes);
        if (!next) return NULL;
        if (!s->block) s->first = next;
    }
    s->block = next;
    s->used = bytes;
    return next->at;
}

void scratch_free(Scratch *s)
{
    for (ScratchBlock *b = s->first, *above; b; b = above) {
        above = b->above;
        mem_free(b, sizeof *b + b->room);
    }
    *s = (Scratch){0};
}
