/* crew: the threads of a block: what fiber.c, which runs them, grid.c, which runs blocks, and bulk.c share. Relies on watch.h,
 * bulk.h. */
#ifndef KILN_CODEGEN_EMU_CREW_H
#define KILN_CODEGEN_EMU_CREW_H

#include "bulk.h"
#include "watch.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

enum { EMU_STACK = 1 << 18, EMU_COPIES = 64 };

typedef struct Barrier {
    uint32_t waiting, turn;
    const char *how;
} Barrier;

typedef struct Copy { /* into shared memory, on its way */
    char *to;
    const char *from; /* NULL: zeros */
    uint32_t bytes, group;
} Copy;

typedef struct Copies { /* of a thread, in order */
    uint32_t n, group;
    Copy at[EMU_COPIES];
} Copies;

struct Crew {
    Emu *emu;
    CUfunction f;
    void **params;
    EmuSide *side;
    char *stacks; /* EMU_THREADS of them */
    uint32_t threads, left, stack, self;
    uint32_t born[EMU_THREADS], nborn;   /* threads that have not begun */
    uint32_t ready[EMU_THREADS], nready; /* that may go on */
    const char *waits[EMU_THREADS];      /* for what; NULL: it does not */
    const void *full[EMU_THREADS];       /* the barrier of bulk.c, if it is one of those */
    Copies copies[EMU_THREADS];
    bool wrote[EMU_THREADS],
        stale[EMU_THREADS]; /* into shared memory, and not said so to tensor cores; the same, before a barrier */
    uint32_t nstale;
    bool loose[EMU_THREADS]; /* has written into the device's memory since its last fence, and waited for nobody since */
    uint32_t nloose;
    bool owes;                     /* what threads had written before a barrier, no fence has come after */
    uint64_t held[2][EMU_THREADS]; /* what a thread shows the others of its warp, at an even and an odd turn */
    Barrier block, warp[EMU_WARPS];
    Bulk bulk;
    EmuDim3 at;           /* the block's place in the grid */
    uint32_t meeter;      /* the thread that does */
    void *meets;          /* where it waits for the others of its column; NULL: it does not */
    bool begun, together; /* together: with other blocks */
    char *shared;         /* what its shared memory holds while another block runs */
    size_t shared_bytes;
    Watch watch;
    CUresult result;
#if defined(__x86_64__)
    void *scheduler, *place[EMU_THREADS + 1]; /* the last: of a stack that begins */
#else
    ucontext_t scheduler, place[EMU_THREADS + 1];
#endif
};

/* Begins the block that c->at names; runs its threads until all have ended or none can go on, or the launch has failed. */
void crew_begin(Crew *c);
CUresult crew_go(Crew *c);
static inline bool crew_can_go(const Crew *c) { return c->nready + c->nborn > 0; }
/* Its threads wait for others that never come: the error. */
CUresult crew_stuck(Crew *c);
/* The running thread goes on when another one, or another block, wakes it. */
void crew_wait(Crew *c, const char *how);
void crew_wake(Crew *c, uint32_t thread);
/* Ends the launch; the thread that calls it does not go on. */
void crew_fail(Crew *c, CUresult e);
/* Where the library reads and writes what a thread may: memory that waits for its next user, as a workspace that was given back
 * while a call runs, is still read by work that was asked for before, and only the handle is told to be nobody's
 * (runtime/poison.h). */
void *crew_real(const Crew *c, const void *at);
extern const EmuCalls crew_calls;

/* grid.c: the block's thread meets the other blocks of its column, which are so many. */
void grid_meet(Crew *c, void *at, unsigned blocks);

#endif
