/* nets: the networks of `kiln demo` and `kiln bench`, each made of one C body that runs eagerly or
 * traced. */
#ifndef KILN_FRONTEND_CLI_NETS_H
#define KILN_FRONTEND_CLI_NETS_H

#include "cli.h"

typedef enum NetKind {
    MLP,     /* inputs-hidden-classes with ReLU */
    CONVNET, /* conv 3x3x16 ReLU, conv 3x3x16 ReLU, global average pool, dense */
    POOLED   /* conv 3x3x16 ReLU, max-pool 2x2, conv 3x3x32 ReLU, max-pool 2x2, flatten, dense */
} NetKind;

typedef struct Net {
    kiln *k;
    NetKind kind;
    int64_t inputs, classes;
    kiln_dense *hidden, *out; /* hidden: MLP alone */
    kiln_conv *first, *second;
    kiln_optimizer *optimizer;
    kiln_function *step, *forward; /* (images, labels) -> mean loss; (images) -> logits */
    bool shapes_fit;               /* the assertion inside the body held, whenever it ran */
} Net;

/* The same seed gives the same weights. */
typedef struct NetOptions {
    NetKind kind;
    int64_t inputs, hidden, classes, batch;
    bool images; /* x is [N, 28, 28, 1], not [N, inputs] */
    bool fixed;  /* N is batch; else 1 ... batch */
    bool sgd;    /* else Adam */
    double rate;
    int64_t steps; /* the rate falls to 0 as half a cosine over so many; 0: it stays */
    uint64_t seed;
} NetOptions;
bool net_open(
    Net *n, kiln *k, const NetOptions *o); /* false: k has the error; close it all the same */
void net_close(Net *n);

#endif
