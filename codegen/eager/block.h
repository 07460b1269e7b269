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
    uint16_t *axes;  /* per instruction: the axes that it depends on */
    bool *fixed;     /* per instruction: it is computed from numbers, dims and indices alone */
    uint8_t *clamp;  /* per instruction: BlockClamp */
    uint16_t *store; /* per store: the axes that the place or the value depends on */
    int vector;      /* the last axis that is no sweep; -1: none */
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
    int64_t first; /* bytes from the buffer to base */
    int64_t coef[KERNEL_AXES];
    bool linear[2]; /* per span: neighbours lie `step` elements apart, all of them */
    int64_t step[2];
    int32_t ready; /* the load of CLASS_READY that reads the stream; -1: none */
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
    int64_t block[2];     /* per span: at most so many points are one task's */
    int64_t blocks[2];    /* per span: the number of parts that this makes */
    int64_t room_bytes;   /* bytes of an instruction's block in a task */
    int64_t fold_bytes;   /* bytes of a reduction in Task.fold */
    uint8_t size;         /* bytes of the largest instruction's type */
    uint32_t levels;      /* levels of each reduction's counter */
    uint8_t *class;       /* the class of each instruction, then of each store */
    int64_t tasks, grain; /* no tasks: nothing to do */
    bool copies;          /* block_rows copies, or adds, rows as they lie */
    bool ready;           /* some instruction is of CLASS_READY */
    bool small;           /* the run is one task, and its blocks fit into `task` */
    bool direct;          /* a small run does no more than store what is ready */
    struct Task *task;    /* stays from run to run: it holds the values of fixed instructions */
    const Kernels *kernels;
} BlockRun;

/* In a run of a few elements the set-up would take longer than the rest. So instructions that do not change from task to task, or
 * in a small run from run to run, are evaluated with the layout, and a small run's loads point into the buffer where they need no
 * copy. */
#define CLASS_READY 4   /* flag: the instruction has been evaluated before the task begins */
#define CLASS_SPREAD 8  /* flag: Task.at has the scalar side by side, as often as a block of any class has points */
#define CLASS_NEVER 7   /* the class of an instruction that runs as part of another */
#define SMALL_BYTES 128 /* bytes of a block in BlockRun.task */
#define SMALL_FOLD 512  /* bytes of a reduction in its Task.fold */

void block_lay_out(BlockRun *run); /* sets what follows from the values */

typedef struct Task {
    const BlockRun *run;
    int64_t index[KERNEL_AXES]; /* the indices of the outer axes */
    Span span[2];
    const char **at;    /* where the elements of each instruction are */
    char *room;         /* two blocks per instruction: its elements, and a scalar spread over lanes */
    int64_t room_bytes; /* bytes of one block: the run's, or SMALL_BYTES in BlockRun.task */
    int64_t *spread;    /* how many elements each second block holds; -1 - row: those of that row */
    char *fold;         /* the reductions (block_fold.c) */
} Task;

static inline char *task_room(const Task *t, uint32_t instr) { return t->room + 2 * instr * t->room_bytes; }
static inline uint32_t class_of_operand(const BlockRun *run, int32_t x) { return run->class[x] & 3; }
static inline int64_t class_points(const Task *t, uint32_t class) { return class == 0 ? 1 : t->span[class != 1].n; }

const char *task_spread(Task *t, int32_t x, uint32_t class, int64_t r);

/* The elements of instruction x as a block of this class (in row r). */
static inline const char *task_operand(Task *t, int32_t x, uint32_t class, int64_t r)
{
    const uint32_t c = class_of_operand(t->run, x);
    return c == class || c == 2 || (t->run->class[x] & CLASS_SPREAD) ? t->at[x] : task_spread(t, x, class, r);
}

void span_offsets(const BlockRun *run, const Span *s, const int64_t *coef, int64_t *to);
void block_load(Task *t, uint32_t instr, uint32_t class, int64_t r);
void block_fetch(Task *t, uint32_t instr, uint32_t class, int64_t r); /* I_FETCH */
void block_store(Task *t, const Store *s, uint32_t class, int64_t r);
void block_rows(Task *t); /* runs the one load and the one store of class 3 in all rows */

#endif
