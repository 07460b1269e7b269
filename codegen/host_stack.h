/* host_stack: the growing memory of one running call, where loops keep what their gradients need when nobody knows beforehand how
 * often they turn. Relies on host.h. Never shared between calls. */
#ifndef KILN_CODEGEN_HOST_STACK_H
#define KILN_CODEGEN_HOST_STACK_H

#include "host.h"

typedef struct HostStack {
    void *at;
    int64_t bytes;
    int64_t refused; /* bytes that were asked for and not there; 0: none */
} HostStack;

void *host_stack_grow(const KilnHost *h, int64_t number, int64_t bytes, int64_t *capacity); /* KilnHost.stack */
void host_stacks_free(HostStack *s, uint32_t n);                                            /* the memory, not the array */

#endif
