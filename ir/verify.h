/* verify: every invariant of a module, re-inferring each node's types; run between passes in tests. Relies on infer. */
#ifndef KILN_IR_VERIFY_H
#define KILN_IR_VERIFY_H

#include "infer.h"

bool module_verify(const Module *m, Status *st); /* false: st names graph, node and what is broken */

#endif
