/* optimizer: what an optimiser holds, for those who save it. Never knows files. */
#ifndef KILN_FRONTEND_NN_OPTIMIZER_H
#define KILN_FRONTEND_NN_OPTIMIZER_H

#include <kiln/nn.h>

#include "../object.h"

typedef struct OptimizerState {
    const char *kind;        /* rate, step, first, second */
    const kiln_variable *of; /* whose moment it is; NULL: the optimiser's own */
    kiln_variable *state;    /* NULL: it has none of this kind */
} OptimizerState;

int optimizer_state_count(const kiln_optimizer *o);
OptimizerState optimizer_state(const kiln_optimizer *o, int i); /* i below the count */

#endif
