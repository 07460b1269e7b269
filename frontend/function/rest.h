/* rest: the rest of a loop as code of its own (rest.c); interpret_loop.c goes on in it. */
#ifndef KILN_FRONTEND_REST_H
#define KILN_FRONTEND_REST_H

#include "background.h"

typedef struct Interpreter Interpreter;

struct Rest {
    CodeJob job;
    Code *_Atomic code;
    Rest *next;         /* of the same instance */
    const Graph *graph; /* where the loop is */
    const Node *node;
    /* The module, whose entry takes: how many turns are left (counts), the index to go on with (indexed), then the loop's operands
     * but for the trip count; of stacked inputs what is left. It gives the next index (indexed), the carries, what is left of the
     * stacked results. */
    Traced traced;
    Dim left; /* the symbol of the turns that are left, with stacks; else DIM_BAD */
    bool counts, indexed;
    bool counted; /* the instance's bytes count the code */
};

bool rest_possible(const Graph *g, const Node *n);                              /* of a loop; an instance's graphs only */
Rest *rest_of(kiln_function *f, Instance *inst, const Graph *g, const Node *n); /* made if it is not there. NULL: it cannot be */
Rest *rest_known(Instance *inst, const Node *n);                                /* NULL: not made yet */
const Code *rest_now(Rest *rest);                                               /* compiled here and now. NULL: it cannot be */
void rests_free(Instance *inst);
size_t rests_bytes(Instance *inst); /* what has come since this was asked last; under `compiling` */

/* A run of it to the loop's end. */
typedef struct RestCall {
    int64_t left;  /* turns */
    int64_t index; /* of the next turn; of an indexed rest afterwards the one behind the last */
    int64_t skip;  /* so many slices of stacked inputs are not for it */
    uint32_t nin, carries, xs, ys;
    kiln_tensor *const *in; /* the node's operands */
    kiln_tensor **carry;    /* as they are; afterwards the last ones */
    void **y;               /* where what is left of each stacked result goes */
} RestCall;
bool rest_run(Interpreter *r, const Rest *rest, const Code *code, RestCall *c); /* false: recorded */

#endif
