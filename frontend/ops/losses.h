/* losses: what the files of losses and of normalisation share. Relies on ops.h. */
#ifndef KILN_FRONTEND_LOSSES_H
#define KILN_FRONTEND_LOSSES_H

#include "ops.h"

/* x in the type in which composites of it compute. */
static inline kiln_operand wide_of(Thread *t, kiln_site at, kiln_tensor *x) { return of(cast_to(t, at, x, wide_dtype(x))); }
static inline bool same_shape(const kiln_tensor *a, const kiln_tensor *b)
{
    return a->type.rank == b->type.rank && memcmp(a->type.dim, b->type.dim, a->type.rank * sizeof a->type.dim[0]) == 0;
}
static inline bool none_given(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }

/* Whether `how` is one of kiln_loss_how. False: recorded. */
bool loss_how_ok(Thread *t, kiln_site at, const char *op, kiln_loss_how how);
/* What `how` makes of the losses of elements. */
kiln_tensor *loss_reduced(Thread *t, kiln_site at, const char *op, kiln_tensor *each, kiln_loss_how how);

#endif
