/* nets: the networks of `kiln demo` and `kiln bench`. Each has one C body, which runs eagerly or traced. */
#ifndef KILN_FRONTEND_CLI_NETS_H
#define KILN_FRONTEND_CLI_NETS_H

#include "cli.h"

typedef enum NetKind {
    MLP,     /* two dense layers, with ReLU between them */
    CONVNET, /* conv 3x3x16 ReLU, conv 3x3x16 ReLU, global average pool, dense */
    POOLED   /* conv 3x3x16 ReLU, max-pool 2x2, conv 3x3x32 ReLU, max-pool 2x2, flatten, dense */
} NetKind;

typedef struct Net {
    kiln *k;
    NetKind kind;
    int64_t inputs, classes;
    kiln_dense *hidden, *out; /* hidden: only an MLP has it */
    kiln_conv *first, *second;
    kiln_optimizer *optimizer;
    kiln_function *step, *forward; /* (images, labels) -> mean loss; (images) -> logits */
    bool shapes_fit;               /* the logits had the shape [batch, classes] each time that the step's body ran */
} Net;

typedef struct NetOptions {
    NetKind kind;
    int64_t inputs, hidden, classes, batch;
    bool images; /* the images are [N, 28, 28, 1], not [N, inputs] */
    bool fixed;  /* N is always batch; else a run-time dim of 1 to batch */
    bool sgd;    /* the optimiser is plain gradient descent, not Adam */
    double rate;
    int64_t steps; /* the rate falls to 0 along half a cosine in this many steps; 0: it is constant */
    uint64_t seed; /* the same seed gives the same weights */
} NetOptions;
bool net_open(Net *n, kiln *k, const NetOptions *o); /* false: k has the error, and net_close is still needed */
void net_close(Net *n);

#endif
