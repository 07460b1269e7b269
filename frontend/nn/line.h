/* line: see line.c. Private to update.c. */
#ifndef KILN_FRONTEND_NN_LINE_H
#define KILN_FRONTEND_NN_LINE_H

#include <stdatomic.h>

#include "update.h"

#define LINE_BLOCK ((int64_t)8192) /* elements */
#define LINE_WORKERS 64

typedef struct Line Line;

/* The rule for updates with the dtypes of u. NULL: it cannot be recorded, or *memory is false. */
Line *line_new(UpdateRule *rule, const void *user, const Update *u, bool *memory);
void line_free(Line *l);
bool line_fits(const Line *l, const Update *u); /* u has the dtypes for which the rule was recorded */
int line_slots(const Line *l);                  /* blocks that it needs at one time */
int line_steps(const Line *l);

typedef struct LineRoom { /* blocks for each worker */
    char *at;
    size_t bytes, slots, each; /* in all, of a worker, of a slot */
    int workers;
    atomic_flag taken[LINE_WORKERS];
} LineRoom;

static inline int64_t line_blocks(int64_t elements) { return (elements + LINE_BLOCK - 1) / LINE_BLOCK; }

/* blocks: of all jobs; most: elements of the largest. False: no memory. */
bool line_room(LineRoom *r, int64_t blocks, int64_t most, int slots, int threads);
void line_room_free(LineRoom *r);

typedef struct LineJob {
    const Line *line;
    const Update *u;
    const char *gradient;    /* contiguous */
    char *to[UPDATE_STATES]; /* where the new values go: the old ones' memory, or other */
    int64_t count;           /* elements */
    int64_t first;           /* line_run's own: its first block among those of all jobs */
} LineJob;

/* Runs the jobs, no two of which share a variable, on as many threads as there are and pay. */
void line_run(ThreadPool *threads, LineJob *job, int jobs, LineRoom *room);

#endif
