/* block: kernels (codegen/kernel.h) run instruction by instruction, each over a block of some hundred lanes by a precompiled loop.
 * Relies on kernels.h, codegen/kernel.h. Private to codegen/eager/block*.c and kept.c. */
#ifndef KILN_CODEGEN_EAGER_BLOCK_H
#define KILN_CODEGEN_EAGER_BLOCK_H

#include "../kernel.h"
#include "ops.h"

#define LANES_MAX 1024   /* of a block; rows that are only copied may be longer */
#define BLOCK_INSTRS 256 /* of one kernel */

/* Integers are clamped by a comparison and a choice, which are one loop. */
typedef enum BlockClamp { CLAMP_NONE, CLAMP_MAX, CLAMP_MIN, CLAMP_COMPARES } BlockClamp;

/* A kernel with what interpreting it needs to know and no call changes. */
typedef struct BlockKernel {
    const Kernel *k;
    uint16_t *axes;    /* per instruction: the axes that it depends on */
    uint8_t *clamp;    /* per instruction: BlockClamp */
    uint16_t *store;   /* per store: the axes that the place or the value depends on */
    int vector;        /* the last axis that is no sweep; -1: none */
    /* All that depends on that axis is one load and one store of it, as in a gather of rows: their numbers; -1: there is more. */
    int copy_load, copy_store;
    struct BlockRun *run; /* the last run's */
} BlockKernel;

bool block_prepare(Arena *arena, const Kernel *k, BlockKernel *out, Status *st);

/* Runs b over buf; value: of each expression of the program's dim table; dim: the program's run-time dims. again: all values are
 * those of the last run. One run at a time. */
void block_run(ThreadPool *threads, const BlockKernel *b, char *const *buf, const int64_t *value, const Dim *dim, bool again);

/* ---- between block.c, block_layout.c and block_move.c ------------------------------------------------------- */

/* Some axes as one row-major sequence, and the part of it that is being worked on. */
typedef struct Span {
    uint32_t naxis;
    uint8_t axis[KERNEL_AXES]; /* outermost first */
    uint16_t mask;
    int64_t points;
    int64_t first, n;          /* the part */
} Span;

typedef struct BlockStream {
    char *base;
    int64_t first;             /* bytes between the buffer and base */
    int64_t coef[KERNEL_AXES];
    bool linear[2];            /* per span: one step between all neighbours, `step` elements */
    int64_t step[2];
} BlockStream;

/* What all tasks of one run share. Instructions are of four classes: bit 0 says that they differ along span 0, the rows, bit 1 that
 * they differ along span 1, the lanes. Of class 3, one row after the other is computed, as a block of lanes. Axes in neither span
 * are the task's. */
typedef struct BlockRun {
    const BlockKernel *b;
    const Kernel *k;
    int64_t extent[KERNEL_AXES];
    BlockStream *stream;
    const int64_t *value;
    const Dim *dim;
    Span span[2], outer;
    int64_t block[2];
    uint8_t size;              /* bytes of the largest instruction's type */
    uint32_t levels;           /* of each reduction's counter */
    uint8_t *class;            /* per instruction, then per store */
    int64_t tasks, grain;      /* tasks: 0 if there is nothing to do */
    bool copies;               /* rows are copied, or added, as they lie: block_rows */
    const Kernels *kernels;
} BlockRun;

#define CLASS_NEVER 7        /* of an instruction that is part of another */

void block_lay_out(BlockRun *run);                      /* all that follows from the values */
int64_t block_count(const BlockRun *run, uint32_t span); /* blocks that a span is cut into, each a task's */

typedef struct Task {
    const BlockRun *run;
    int64_t index[KERNEL_AXES]; /* of the outer axes */
    Span span[2];
    const char **at;            /* per instruction: its elements */
    char *room;                 /* per instruction: a block for them, and one for a scalar of it spread over lanes */
    int64_t room_bytes;         /* of one block */
    int64_t *spread;            /* per instruction: how many elements its second block holds; -1 - row: of that row */
    char *fold;                 /* reductions (block_fold.c) */
} Task;

static inline char *task_room(const Task *t, uint32_t instr) { return t->room + 2 * instr * t->room_bytes; }
static inline int64_t class_points(const Task *t, uint32_t class) { return class == 0 ? 1 : t->span[class != 1].n; }

/* The elements of instruction x as a block of class `class` (in row r). */
const char *task_operand(Task *t, int32_t x, uint32_t class, int64_t r);
void span_offsets(const BlockRun *run, const Span *s, const int64_t *coef, int64_t *to);
void block_load(Task *t, uint32_t instr, uint32_t class, int64_t r);
void block_fetch(Task *t, uint32_t instr, uint32_t class, int64_t r); /* I_FETCH */
void block_store(Task *t, const Store *s, uint32_t class, int64_t r);
void block_rows(Task *t); /* the one load and the one store of class 3, in all rows of the part */

#endif
