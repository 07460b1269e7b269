/* effect: one effect step by whoever walks a program: the ABI's rules of what happens with a host
 * and without. Relies on program. */
#ifndef KILN_CODEGEN_EFFECT_H
#define KILN_CODEGEN_EFFECT_H

#include "program.h"

/* The step's buffers in this process's memory; type as KilnHost.effect takes it. Returns 0, or a
 * StatusCode that ends the call. */
int32_t effect_run(const KilnHost *host, const Step *s, void *const *buf, const int64_t *type);

#endif
