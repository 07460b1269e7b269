/* update: an elementwise rule that gives variables new values, all of them or none. The rule is written once, in ops made through
 * an Emit; a trace appends them, eager code runs them in place, block by block. Never knows what the variables mean. */
#ifndef KILN_FRONTEND_NN_UPDATE_H
#define KILN_FRONTEND_NN_UPDATE_H

#include "../../ir/emit.h"
#include "../ops/ops.h"

#define UPDATE_STATES 4
#define UPDATE_SCALARS 4

typedef struct Update {                  /* of one parameter */
    kiln_variable *state[UPDATE_STATES]; /* floats of one shape, read and written */
    int states;
    kiln_tensor *gradient;               /* of that shape */
    kiln_tensor *scalar[UPDATE_SCALARS]; /* rank 0 */
    int scalars;
} Update;

/* A rule is given the variables' values, the gradient, and the scalars repeated to their shape; it fills next, in the variables'
 * dtypes. */
typedef struct UpdateIn {
    Emit *e;
    Value state[UPDATE_STATES], gradient, scalar[UPDATE_SCALARS];
    const void *user;
} UpdateIn;
typedef void UpdateRule(const UpdateIn *in, Value *next);

/* also: assignments made together with the updates. In eager code everything that can fail comes before the first write: if this
 * returns false (recorded), every variable is as it was. Memory beside the variables: a few blocks, a new value for each variable
 * whose old one is still held, and a copy of each gradient that is not contiguous. */
bool update_run(
    Thread *t, kiln_site at, UpdateRule *rule, const void *user, const Update *u, int count, const Assignment *also, int nalso);

#endif
