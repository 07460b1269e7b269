/* block: runs kernels (codegen/kernel.h) one instruction at a time, each as a precompiled loop over a block of some hundred lanes.
 * Relies on kernels.h, codegen/kernel.h. Private to codegen/eager/block*.c and kept.c. */
#ifndef KILN_CODEGEN_EAGER_BLOCK_H
#define KILN_CODEGEN_EAGER_BLOCK_H

#include "../kernel.h"
#include "ops.h"

#define LANES_MAX 1024   /* lanes in a block; rows that are only copied may be longer */
#define BLOCK_INSTRS 256 /* instructions in one kernel */

/* Kernels clamp integers by a comparison and a choice, which run as one loop. */
typedef enum BlockClamp { CLAMP_NONE, CLAMP_MAX, CLAMP_MIN, CLAMP_COMPARES } BlockClamp;

/* A kernel, and what the interpreter knows of it before any call. */
typedef struct BlockKernel {
    const Kernel *k;
    uint16_t *axes;    /* per instruction: the axes that it depends on */
    uint8_t *clamp;    /* per instruction: BlockClamp */
    uint16_t *store;   /* per store: the axes that the place or the value depends on */
    int vector;        /* the last axis that is no sweep; -1: none */
    /* If only one load and one store of its value depend on that axis, as in a gather of rows: their numbers; else -1. */
    int copy_load, copy_store;
    struct BlockRun *run; /* kept from the last run */
} BlockKernel;

bool block_prepare(Arena *arena, const Kernel *k, BlockKernel *out, Status *st);

/* Runs b over buf. value: the value of each expression of the program's dim table; dim: the program's run-time dims. again: all
 * values are those of the last run. Only one run at a time. */
void block_run(ThreadPool *threads, const BlockKernel *b, char *const *buf, const int64_t *value, const Dim *dim, bool again);

/* ---- between block.c, block_layout.c and block_move.c ------------------------------------------------------- */

/* Some axes as one row-major sequence, of which [first, first + n) is being worked on. */
typedef struct Span {
    uint32_t naxis;
    uint8_t axis[KERNEL_AXES]; /* outermost first */
    uint16_t mask;
    int64_t points;
    int64_t first, n;
} Span;

typedef struct BlockStream {
    char *base;
    int64_t first;             /* bytes from the buffer to base */
    int64_t coef[KERNEL_AXES];
    bool linear[2];            /* per span: neighbours lie `step` elements apart, all of them */
    int64_t step[2];
} BlockStream;

/* What all tasks of one run share. An instruction's class has bit 0 set if it differs along span 0, the rows, and bit 1 if it
 * differs along span 1, the lanes. Instructions of class 3 are computed one row at a time, each as a block of lanes. A task fixes
 * the axes in neither span. */
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
    uint32_t levels;           /* levels of each reduction's counter */
    uint8_t *class;            /* the class of each instruction, then of each store */
    int64_t tasks, grain;      /* no tasks: nothing to do */
    bool copies;               /* block_rows copies, or adds, rows as they lie */
    const Kernels *kernels;
} BlockRun;

#define CLASS_NEVER 7        /* the class of an instruction that runs as part of */

void block_lay_out(BlockRun *run);                      /* sets what follows from the values */
int64_t block_count(const BlockRun *run, uint32_t span); /* a span's blocks, one per task */

typedef struct Task {
    const BlockRun *run;
    int64_t index[KERNEL_AXES]; /* the indices of the outer axes */
    Span span[2];
    const char **at;            /* where the elements of each instruction are */
    char *room;                 /* two blocks per instruction: its elements, and a scalar spread over lanes */
    int64_t room_bytes;         /* bytes of one block */
    int64_t *spread;            /* how many elements each second block holds; -1 - row: those of that row */
    char *fold;                 /* the reductions (block_fold.c) */
} Task;

static inline char *task_room(const Task *t, uint32_t instr) { return t->room + 2 * instr * t->room_bytes; }
static inline int64_t class_points(const Task *t, uint32_t class) { return class == 0 ? 1 : t->span[class != 1].n; }

/* The elements of instruction x as a block of this class (in row r). */
const char *task_operand(Task *t, int32_t x, uint32_t class, int64_t r);
void span_offsets(const BlockRun *run, const Span *s, const int64_t *coef, int64_t *to);
void block_load(Task *t, uint32_t instr, uint32_t class, int64_t r);
void block_fetch(Task *t, uint32_t instr, uint32_t class, int64_t r); /* I_FETCH */
void block_store(Task *t, const Store *s, uint32_t class, int64_t r);
void block_rows(Task *t); /* runs the one load and the one store of class 3 in all rows */

#endif
