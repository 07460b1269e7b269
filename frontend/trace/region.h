/* region: opening and closing the graphs of loops and branches while a function is traced; loop.c, branch.c and control.c share it.
 */
#ifndef KILN_FRONTEND_REGION_H
#define KILN_FRONTEND_REGION_H

#include "trace.h"

extern const Type index_type; /* i64[] */
extern const Type truth_type; /* bool[] */

/* A scope of a body, condition or case: errors about what it closes on say so. Its id is 0 if it could not be opened (recorded). */
kiln_scope region_scope(kiln *k, kiln_site at);

/* Opens a frame inside the running trace's innermost one and makes it the innermost; what: "KILN_FOR". NULL: recorded. */
Frame *frame_open(Thread *t, kiln_site at, FrameKind kind, const char *what);
/* Ends the frame, closed or given up: its parent is the innermost again. No effect on a frame that is not open any longer. */
void frame_leave(Thread *t, const Frame *f);

bool frame_assigns(const Frame *f, const Slot *s); /* a variable that is not its own */
/* Tapes around the frame learn that they cannot see all its reads of v. False: no memory, recorded. */
bool frame_block(Thread *t, kiln_site at, const Frame *f, kiln_variable *v);

/* A region about to become a node of its frames' parent. Frames: a loop's body, before it the condition if there is one; a
 * branch's cases. */
typedef struct Region {
    Op op; /* OP_loop, OP_branch */
    Frame *const *frame;
    uint32_t frames;
    Value selector; /* a value of the parent: a loop's trip count, unless it has a condition, or a branch's selector */
    /* per frame, in it: carries and stacked (a loop's body), the predicate (a condition), a case's results */
    const Value *const *result;
    /* the number of those that the user gave to a body, without variables; a case has `carries` results */
    uint32_t carries, stacked;
    bool reverse;
    Dim n; /* a loop's steps, or their bound; DIM_BAD: the trip count says how many, or it is not known */
} Region;

/* Leaves the frames, appends the node, gives the variables that the frames assigned their new values. out: handles of carries, then
 * stacked. False: recorded. */
bool region_close(Thread *t, kiln_site at, const Region *r, kiln_tensor **out);

/* slices.c: outside values that a loop's body reads at its index alone become stacked inputs; n: its steps. */
void region_slices(const Region *r, Dim n, Arena *a);

bool list_scan(Thread *t, kiln_site at, kiln_scan_options *o); /* control_of.c: its lists as carries and xs. False: recorded */

/* branch.c: the case that a concrete selector takes: what is below is the first, what is above the last. */
int64_t branch_taken(kiln_site at, kiln_tensor *selector, int64_t count);

#endif
