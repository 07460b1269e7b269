/* watch: what fiber.c tells shadow.c of the threads of a launch, so that it can judge their accesses. Relies on emulated.h. */
#ifndef KILN_CODEGEN_EMU_WATCH_H
#define KILN_CODEGEN_EMU_WATCH_H

#include "emulated.h"

enum { EMU_THREADS = 1024, EMU_LANES = 32, EMU_WARPS = EMU_THREADS / EMU_LANES };

/* Time within a block is a count of its barriers. What a thread did before `all` comes before what any does now; what one did
 * before warp[w], before what the threads of warp w do now. */
typedef struct WatchTime { /* of a serial number of a cooperative launch */
    uint32_t column, met;  /* whose block it is, and how often that had met the others of its column */
} WatchTime;

typedef struct Watch {
    uint32_t *last;                /* serial number that there ever was */
    uint32_t serial, first, block; /* of now; from where on nothing is over, the launch's first; of this block's beginning */
    uint32_t now, all, warp[EMU_WARPS];
    uint32_t slot;       /* whose shared memory it is */
    WatchTime *time, at; /* of a cooperative launch: of the last numbers, and of now; NULL: of another */
    struct {
        size_t from, to; /* of a block of memory that holds one of these bytes */
    } recent[16];
} Watch;

/* At the start of a launch of so many blocks (0: w is one more of the same launch), of a block (column: 0, or its own of a
 * cooperative launch), when threads have waited for each other, and when blocks have, of each. */
CUresult watch_launch(Emu *e, Watch *w, CUmodule m, uint32_t slot, uint64_t blocks, bool together);
void watch_block(Watch *w, uint32_t column);
void watch_met(Watch *w);
void watch_synced(Watch *w, uint32_t warp, bool all);
/* Whether this thread of the block that side->block names may do that; else the error, and e->fault says what it is. */
CUresult watch_access(Emu *e, Watch *w, CUfunction f, uint32_t thread, const void *at, uint32_t bytes, unsigned how);

#endif
