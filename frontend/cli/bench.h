/* bench: what a workload of `kiln bench` is. */
#ifndef KILN_FRONTEND_CLI_BENCH_H
#define KILN_FRONTEND_CLI_BENCH_H

#include "nets.h"

enum { INPUTS_MAX = 3, OUTPUTS_MAX = 4 };

/* One copy of a workload, with state of its own: eager and traced runs each have one. */
typedef struct Job {
    kiln *k;
    const char *device;          /* where it is */
    kiln_function *f;            /* NULL: there is only `run`, which is eager */
    kiln_tensor *in[INPUTS_MAX]; /* they belong to the scope around the job */
    int inputs, outputs;
    bool small; /* of sizes for an emulated device, which `what` does not tell */
    bool taped; /* the outputs are f's one value and its gradients with respect to the inputs, from a tape around the call */
    Net net;
    bool has_net;
} Job;

typedef struct Workload {
    const char *name, *what;
    void (*make)(Job *j);
    bool eager_only; /* there is no traced form: only the time of the eager call is reported */
} Workload;

extern const Workload workloads[]; /* the last has a NULL name */

#endif
