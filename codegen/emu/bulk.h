/* bulk: barriers that count arrivals and bytes (mbarrier of PTX), and copies of boxes of a tensor into shared memory that such a
 * barrier waits for, by tensor maps in a form of our own. Relies on emulated.h. */
#ifndef KILN_CODEGEN_EMU_BULK_H
#define KILN_CODEGEN_EMU_BULK_H

#include "emulated.h"

enum { EMU_AXES = 5, EMU_BARRIERS = 16, EMU_BOXES = 64, EMU_MAPS = 64 };

/* A CUtensorMap, which is opaque on a card, too. */
typedef struct EmuMap {
    uint64_t magic, address;
    uint64_t stride[EMU_AXES - 1]; /* in bytes, of all axes but the first */
    uint64_t moved;                /* its address was replaced, and no fence has shown it to others */
    uint32_t last[EMU_AXES];       /* extents - 1 */
    uint8_t box[EMU_AXES];         /* - 1 */
    uint8_t rank, bytes, swizzle;  /* bytes: of an element; swizzle: 0, or 1 to 3 for lines of 32 to 128 bytes */
} EmuMap;

typedef struct EmuBarrier { /* in shared memory, and what is known of it */
    const char *at;
    uint32_t count, left, phase; /* arrivals of a phase, those that are missing, phases that are over */
    int64_t bytes;               /* that are missing */
    uint32_t thread;             /* who made it */
    bool told;                   /* and has said so to copies */
} EmuBarrier;

typedef struct EmuBox { /* a copy on its way */
    EmuMap map;
    int32_t at[EMU_AXES];
    char *to;
    uint32_t barrier;
} EmuBox;

typedef struct EmuMapUse {
    const void *map;
    uint32_t thread;
} EmuMapUse;

typedef struct Bulk { /* of a block */
    EmuBarrier barrier[EMU_BARRIERS];
    EmuBox box[EMU_BOXES]; /* in the order in which they were asked for */
    EmuMapUse taken[EMU_MAPS], moved[EMU_MAPS];
    uint32_t nbarrier, nbox, ntaken, nmoved;
} Bulk;

/* Those of EmuCalls; self is the Crew. */
void bulk_make(void *self, void *at, unsigned count);
void bulk_made(void *self);
void bulk_expect(void *self, void *at, unsigned bytes);
void bulk_wait(void *self, void *at, unsigned parity);
void bulk_box(void *self, void *to, const void *map, void *barrier, const int *at, unsigned rank);
void bulk_map(void *self, void *map, unsigned long long address);
void bulk_map_fence(void *self, const void *map);

/* When no thread of the block can go on: lets copies arrive that some wait for. True: threads may go on now, or the launch has
 * failed. */
bool bulk_arrives(Crew *c);
/* cuTensorMapEncodeTiled: refuses what a driver does, and what the emulator has no use for. */
TensorMapEncode emu_map_encode;

#endif
