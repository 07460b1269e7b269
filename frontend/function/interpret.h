/* interpret: a traced graph run node by node, as eager code would run it and with the bits of compiled code. interpret.c runs
 * nodes, interpret_loop.c loops; a call of an instance without code comes here (interpret_call.c), and so does kiln_check. Relies
 * on ops. */
#ifndef KILN_FRONTEND_INTERPRET_H
#define KILN_FRONTEND_INTERPRET_H

#include "rest.h"

struct Interpreter {
    Thread *t;
    kiln_site at;
    const char *name; /* of the function, for messages */
    kiln_function *f; /* it and the instance that is interpreted; NULL: no loop goes on in compiled code */
    Instance *inst;
    uint32_t device;    /* on which everything lies but single elements, as one_device has it */
    const Lives *lives; /* per graph; NULL: no value is freed before the scope in which all this happens closes */
    int64_t *symbol;    /* values by position in the dim table; loops write there how often they turned */
    uint32_t recording; /* the thread's when the call began: what effects run records as it would without us */
    /* NULL, or: looks at what an op made of its operands, in a loop at each turn. False: it is wrong, and the run ends. Effects are
     * left out then, and C code is not called. */
    bool (*judge)(void *user, const Graph *g, uint32_t node, kiln_tensor *const *in, kiln_tensor *const *out);
    void *user;
    bool wrong; /* judge said so */
};

/* Runs g; value: per value of g; those of its parameters are given, the rest is filled in. Handles lie in the innermost scope.
 * False: wrong, or recorded. */
bool interpret(Interpreter *r, const Graph *g, kiln_tensor **value);
/* Runs g and gives its results, each a handle of its own in the innermost scope. False: wrong, or recorded. */
bool interpret_results(Interpreter *r, const Graph *g, kiln_tensor **value, kiln_tensor **out);
/* Runs a graph without regions, the first of its module, whose parameters are the instance's sources, of which it reads captured
 * tensors alone, as calls of the function compute; lives: its own. The results, in memory of their own, lie in the innermost scope.
 * False: recorded. */
bool graph_interpreted(
    Thread *t, kiln_site at, kiln_function *f, const Instance *inst, const Graph *g, const Lives *lives, kiln_tensor **result);
Lives graph_lives(Arena *a, const Graph *g);
bool interpret_loop(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out);
/* An integer scalar's value; a u64 that i64 does not hold is the largest i64. False: recorded. */
bool interpret_integer(Interpreter *r, kiln_tensor *x, int64_t *to);
Type interpret_type(const Interpreter *r, const Graph *g, Value v); /* with numbers for sizes */
kiln_tensor *interpret_alias(Interpreter *r, const kiln_tensor *x); /* NULL: recorded */
static inline void interpret_drop(kiln_tensor *x)
{
    scope_unlink(x);
    tensor_drop(x);
}

#endif
