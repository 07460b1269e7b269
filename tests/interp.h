/* interp: programs run step by step, instruction by instruction, in exactly the order that kernel.h states: the oracle of the lowering
 * and of the backends. Slow and obvious. Relies on program. */
#ifndef KILN_TESTS_INTERP_H
#define KILN_TESTS_INTERP_H

#include "codegen/program.h"
#include "runtime/threads.h"

/* buf: inputs, then outputs; symbol: values of p->symbol in order. False: a load or store outside its buffer, in st. */
bool interp_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st);

/* The same with each kernel run by the block interpreter of eager code, if it takes it. */
typedef struct InterpBlocks {
    ThreadPool *threads;
    uint32_t ran, refused; /* kernels */
} InterpBlocks;
bool interp_blocks(const Program *p, void *const *buf, const int64_t *symbol, InterpBlocks *blocks, Status *st);

#endif
