/* prim_cases: which primitives exist for which types, and operands worth trying on them. Relies on
 * op. */
#ifndef KILN_TESTS_PRIM_CASES_H
#define KILN_TESTS_PRIM_CASES_H

#include "ir/op.h"

bool prim_takes(Prim p, DType t);           /* operands of type t */
bool prim_gives(Prim p, DType t, DType to); /* of them, a result of type `to`; both compute types */

enum { EDGES = 40 };
void prim_edges(DType t, void *to); /* EDGES elements of any dtype */

#endif
