/* run: a compiled program on a device. Relies on print.h, api.h. */
#ifndef KILN_CODEGEN_CUDA_RUN_H
#define KILN_CODEGEN_CUDA_RUN_H

#include "api.h"
#include "print.h"

struct Compiled {
    const Program *p; /* the caller's: it outlives this */
    const CudaDriver *driver;
    CUmodule module;
    Products products;
    CUfunction *function; /* kernels, then products */
    const char **name;
    Arena arena;
    size_t bytes; /* of the image */
};

/* Loads a program whose text was compiled to that image (PTX ends in a zero byte). NULL after an error, which st tells. */
Compiled *cuda_load(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st);
void cuda_release(Compiled *c);

/* Copies inputs and run-time sizes in, goes through the program's steps and copies outputs out. buf, dim and table (for effects;
 * may be NULL) are as in program.h, all in host memory. Each call has one block of device memory, so calls may overlap. Waits for
 * the device. Returns 0, the code of program.h's entry, or -1 after ST_MEMORY or ST_DEVICE, which st tells. */
int32_t cuda_run(const Compiled *c, void *const *buf, const int64_t *dim, const KilnHost *table, Status *st);

#endif
