/* check: what check.c and check_run.c share. */
#ifndef KILN_FRONTEND_CHECK_H
#define KILN_FRONTEND_CHECK_H

#include "internal.h"

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

#endif
