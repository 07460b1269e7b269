/* check: what the files of this room share: telling results apart. */
#ifndef KILN_FRONTEND_CHECK_H
#define KILN_FRONTEND_CHECK_H

#include "../function/interpret.h"

/* How many elements differ in bits (NaN is one value); *largest grows to the largest absolute difference. */
int64_t tensors_differ(Thread *t, kiln_site at, kiln_tensor *a, kiln_tensor *b, double *largest);

#endif
