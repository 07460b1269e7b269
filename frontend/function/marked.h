/* marked: what is known of a compiled program with marks, and how long its steps took. It has copies of all that it tells, so that
 * it may outlast code, function and instance. Relies on function.h. Never prints. */
#ifndef KILN_FRONTEND_MARKED_H
#define KILN_FRONTEND_MARKED_H

#include "../../codegen/cost.h"
#include "../../codegen/host_marks.h"
#include "function.h"

typedef struct MarkedStop { /* an operand that another kernel makes (passes/stop.h) */
    const char *value;      /* the op that it is the result of */
    Loc loc;
    const char *why;
} MarkedStop;

typedef struct MarkedStep {
    const char *name; /* "step.relu_0", as KILN_PERF has it */
    const char *kind; /* "kernel", "product", ... */
    Loc loc;
    uint8_t type;         /* DType of its arithmetic; DT_NONE: none */
    uint32_t depth;       /* steps around it */
    uint32_t with;        /* so many of the next steps run as one with it: their cost is in here, and they never begin */
    VEC(const char *) op; /* that it computes, in order */
    VEC(MarkedStop) stop;
    Cost cost; /* of one run, with the sizes of the latest call */
    /* sums over calls */
    double seconds, times;
    Cost sum;
} MarkedStep;

struct Marked {
    struct Marked *next; /* of the engine */
    const char *function;
    Loc loc;
    uint8_t device; /* that it runs on */
    uint32_t nstep;
    MarkedStep *step;
    double calls, seconds;
    pthread_mutex_t lock; /* of what calls add */
    const Step **of;      /* the program's, while there is one */
    int64_t *symbol;      /* values of the latest call, by position in the dim table */
    bool known;           /* the costs are of these */
    uint32_t *room;       /* of step_cost */
    Arena arena;
};

Marked *marked_new(const kiln_function *f, const Program *p, uint8_t device, Status *st);
void marked_free(Marked *m); /* NULL allowed */
void marked_add(Marked *m, const Program *p, const int64_t *dim, const HostMark *at, double seconds);
void marked_keep(kiln *k, Marked *m); /* by the engine, which frees it */

#endif
