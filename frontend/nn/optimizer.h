/* optimizer: what an optimiser holds, for the files of optimisers and of checkpoints. Never knows files. */
#ifndef KILN_FRONTEND_NN_OPTIMIZER_H
#define KILN_FRONTEND_NN_OPTIMIZER_H

#include <kiln/nn.h>

#include "../engine/engine.h"

typedef struct Moments { /* the state of one variable; made at its first step, or when asked for */
    kiln_variable *of;
    kiln_variable *first, *second, *master; /* in the compute type of `of`; NULL: not wanted */
} Moments;

struct kiln_optimizer {
    Object o;
    bool adam;
    kiln_variable *rate, *step; /* f64[]; step: Adam's count */
    kiln_variable *updates;     /* i64[]: the count of steps, if the rate follows a schedule */
    double momentum, beta1, beta2, epsilon;
    bool stepped, scheduled, master;
    kiln_schedule schedule;
    kiln_clipping clipping;
    Moments *moments;
    int count, cap;
};

/* The state of variable v, made if needed; the pointer is valid until the next call. NULL: recorded. */
Moments *moments_for(kiln_site at, kiln_optimizer *o, kiln_variable *v);
bool optimizer_count_ok(Thread *t, kiln_site at, int count);

typedef struct OptimizerState {
    const char *kind;        /* rate, step, updates, first, second, master */
    const kiln_variable *of; /* whose moment it is; NULL: the optimiser's own */
    kiln_variable *state;    /* NULL: it has none of this kind */
} OptimizerState;

int optimizer_state_count(const kiln_optimizer *o);
OptimizerState optimizer_state(const kiln_optimizer *o, int i); /* i below the count */

bool schedule_check(Thread *t, kiln_site at, const kiln_schedule *s); /* false: recorded */
bool clipping_check(Thread *t, kiln_site at, const kiln_clipping *c); /* false: recorded */
/* The factor of each gradient, f64 scalars in the caller's scope; NULL if nothing is scaled. Norms are those of clipped values, but
 * g itself is not clipped. False: recorded. */
bool clipping_factors(Thread *t, kiln_site at, const kiln_clipping *c, kiln_tensor *const *g, int count, kiln_tensor **factor);

#endif
