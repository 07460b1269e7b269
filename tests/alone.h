/* alone: what is traced, and what composites are made of, as for an object file, which has no host table. */
#ifndef KILN_TESTS_ALONE_H
#define KILN_TESTS_ALONE_H

#include <kiln/kiln.h>
#include <stdbool.h>

void set_alone(kiln *k, bool alone);

#endif
