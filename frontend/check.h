/* check: what check.c and check_run.c share. */
#ifndef KILN_FRONTEND_CHECK_H
#define KILN_FRONTEND_CHECK_H

#include "internal.h"

/* value: per value of g; its parameters are given, the rest is filled in. False: recorded. */
bool check_run(Thread *t, kiln_site at, const Graph *g, kiln_tensor **value);

#endif
