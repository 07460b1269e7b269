/* control: the kernels of a graph that compute nothing but what the host would do between launches: they write the table of
 * addresses, turn loops, choose blocks, copy. control.c has their text; what they work on is laid out here. All of it consists of
 * 8-byte words in device memory. Relies on program.h. */
#ifndef KILN_CODEGEN_CUDA_CONTROL_H
#define KILN_CODEGEN_CUDA_CONTROL_H

#include "../program.h"

typedef enum Control { C_PLACE, C_COPY, C_TURN, C_NEXT, C_DECIDE, C_CHOOSE, C_ASSERT, C_CHECK, CONTROLS } Control;
extern const char *const control_name[CONTROLS];
enum { CONTROL_LANES = 32 }; /* threads of all but C_PLACE and C_COPY, which have CUDA_BLOCK */

/* Places in the table are numbers of buffers; -1: there is none. */
typedef struct LoopWords {
    int64_t turn, trip;     /* written as it turns: the turn of now, and how many there are */
    int64_t most;           /* how many there are at most, or -1; of a while, its bound */
    int64_t trip_at;        /* of a counted loop: where the number of turns is computed */
    int64_t index, count;   /* where the index goes, and of a while how often it turned */
    int64_t selector, kind; /* of a while: where it is said whether to go on, and what lies there: bytes, negative if signed */
    int64_t back;           /* it counts down */
    int64_t code;           /* what the program ends with when a while goes on after its bound */
    int64_t slices, maps;   /* SliceWords of this loop, and the MapWords of its slices, which follow them */
} LoopWords;

typedef struct SliceWords {
    int64_t at, of, stride; /* bytes for each turn. No slice is of another one of the same loop */
} SliceWords;

/* The map of a product's operand, which changes with the addresses of a call, or with the turns of a loop. */
typedef struct MapWords {
    int64_t map, use;         /* where it lies, and where it is said whether it may be used */
    int64_t of, stride, base; /* the place of what the operand is part of; bytes for each turn, and from where it begins */
} MapWords;

/* What a program ends with when the assertion that is step `number` does not hold, until its operands are looked at. */
#define CONTROL_ASSERTED ((int64_t)1 << 32)
static inline int64_t control_asserted(const Step *s) { return CONTROL_ASSERTED + s->number; }

/* Most addresses that one C_PLACE takes; a program with more has several. */
#define CONTROL_PLACES 480
static inline uint32_t control_places(const Program *p) /* inputs, outputs, workspace */
{
    return MIN_OF(p->ninput + p->noutput + 1, (uint32_t)CONTROL_PLACES);
}

/* Which kernels the program's graph has: C_PLACE always. */
void control_needs(const Program *p, bool needs[CONTROLS]);
/* Some of them are about conditional nodes. */
static inline bool control_turns(const bool needs[CONTROLS])
{
    return needs[C_TURN] || needs[C_DECIDE] || needs[C_CHOOSE] || needs[C_CHECK];
}
void control_text(const Program *p, bool maps, Text *out); /* those; maps: of a program that has some (maps.h) */

#endif
