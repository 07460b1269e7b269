/* bench: what a workload of `kiln bench` is. */
#ifndef KILN_FRONTEND_CLI_BENCH_H
#define KILN_FRONTEND_CLI_BENCH_H

#include "nets.h"

enum { INPUTS_MAX = 3, OUTPUTS_MAX = 4 };

/* One copy of a workload, with state of its own: eager and traced runs each have one. */
typedef struct Job {
    kiln *k;
    kiln_function *f;            /* NULL: there is only `run`, which is eager */
    kiln_tensor *in[INPUTS_MAX]; /* of the scope around */
    int inputs, outputs;
    bool taped;                  /* f gives one value; after it come the gradients of that by the inputs, from a tape around the call */
    Net net;
    bool has_net;
} Job;

typedef struct Workload {
    const char *name, *what;
    void (*make)(Job *j);
    bool eager_only; /* one number: what the eager call costs */
} Workload;

extern const Workload workloads[]; /* the last has a NULL name */

#endif
