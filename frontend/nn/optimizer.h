/* optimizer: what an optimiser holds, for those who save it. Never knows files. */
#ifndef KILN_FRONTEND_NN_OPTIMIZER_H
#define KILN_FRONTEND_NN_OPTIMIZER_H

#include <kiln/nn.h>

#include "../object.h"

typedef struct OptimizerState {
    const char *kind;        /* rate, step, updates, first, second */
    const kiln_variable *of; /* whose moment it is; NULL: the optimiser's own */
    kiln_variable *state;    /* NULL: it has none of this kind */
} OptimizerState;

int optimizer_state_count(const kiln_optimizer *o);
OptimizerState optimizer_state(const kiln_optimizer *o, int i); /* i below the count */

bool schedule_check(Thread *t, kiln_site at, const kiln_schedule *s); /* false: recorded */
bool clipping_check(Thread *t, kiln_site at, const kiln_clipping *c); /* false: recorded */
bool clipping_apply(kiln_site at, const kiln_clipping *c, kiln_tensor **g, int count); /* in place; false: recorded */

#endif
