/* body: what the user's bodies are given, what they gave, and that an error in one is an error of its call. Relies on internal.h. */
#ifndef KILN_FRONTEND_BODY_H
#define KILN_FRONTEND_BODY_H

#include "internal.h"

typedef struct BodyRun {     /* one of the user's bodies, running */
    struct BodyRun *outer;
    const char *name;
    int nin;
    uint64_t failures;       /* the thread's when it began */
    uint64_t since;          /* its next_uid then: scopes opened in it have larger ids */
    const char *called;      /* the thread's: errors in the user's code bear the names of its own calls */
} BodyRun;

/* What a body is given: nin inputs, a NULL, then tensors that say that they were not given when they are used. `to` has room for
 * nin + BODY_ROOM and may be `in`. */
#define BODY_ROOM 32
void body_inputs(kiln *k, kiln_tensor **to, kiln_tensor *const *in, int nin);
void missing_inputs_init(kiln *k);
int missing_input(const kiln_tensor *x);
/* Around every body; false, and recorded: nested too deep; something failed in it. Frames count by themselves: C code recurses through KILN_IF
 * too. */
bool body_enter(Thread *t, kiln_site at, BodyRun *b, const char *name, int nin);
bool body_leave(Thread *t, kiln_site at);
/* Output i as it was set: live, else recorded, unless it is poison, and *out poison. What bodies set has SPARE_OUTPUTS to spare, so that one more
 * than there are is an error. */
#define SPARE_OUTPUTS 16
bool body_output(Thread *t, kiln_site at, const char *name, int i, kiln_tensor **out);
bool frame_may_nest(Thread *t, kiln_site at, const char *name); /* another region in the running trace */

#endif
