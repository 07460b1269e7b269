/* compare: what compare.c and check.c share: keeping variables as they were, and telling results apart. */
#ifndef KILN_FRONTEND_COMPARE_H
#define KILN_FRONTEND_COMPARE_H

#include "internal.h"

typedef struct Snapshot { /* the values of the variables that a function touches */
    uint32_t n, room;
    kiln_variable **variable;
    kiln_tensor **value; /* owned */
} Snapshot;

bool snapshot_take(Snapshot *s, const Row *row); /* false: no memory */
void snapshot_restore(const Snapshot *s);
void snapshot_free(Snapshot *s);

/* How many elements differ in bits (NaN is one value); *largest grows to the largest absolute difference. */
int64_t tensors_differ(Thread *t, kiln_site at, kiln_tensor *a, kiln_tensor *b, double *largest);

#endif
