/* check: what the files of this room share: running a graph op by op, keeping variables as they were, telling results apart. */
#ifndef KILN_FRONTEND_CHECK_H
#define KILN_FRONTEND_CHECK_H

#include "../function/function.h"

typedef struct CheckRun {
    Thread *t;
    kiln_site at;
    /* What an op made of its operands, in a loop at each step. False: it is wrong, and the run ends. */
    bool (*judge)(void *user, const Graph *g, uint32_t node, kiln_tensor *const *in, kiln_tensor *const *out);
    void *user;
    bool wrong; /* judge said so */
} CheckRun;

/* value: per value of g; its parameters are given, the rest is filled in. False: wrong, or recorded. */
bool check_run(CheckRun *run, const Graph *g, kiln_tensor **value);

/* How many elements differ in bits (NaN is one value); *largest grows to the largest absolute difference. */
int64_t tensors_differ(Thread *t, kiln_site at, kiln_tensor *a, kiln_tensor *b, double *largest);

#endif
