/* emu: emulated CUDA devices, which everybody has: the driver's side as a library of our own behind the table of
 * codegen/cuda/api.h. Kernels are the printed CUDA C, which the host's C++ compiler ($CXX, else c++) turns into a module at run
 * time; their threads are fibers. Relies on codegen/cuda/api.h. */
#ifndef KILN_CODEGEN_EMU_H
#define KILN_CODEGEN_EMU_H

#include "../runtime/base.h"

typedef struct CudaDriver CudaDriver; /* codegen/cuda/api.h */

#define EMU_DEVICES 4

/* The driver as it serves the emulated device `ordinal`. Each has memory and a context of its own: KILN_EMU_MEMORY bytes (1 GiB; a
 * K, M or G may follow). Nothing of one is taken before it is asked for; it stays until the process ends; safe from any thread.
 * NULL: ST_DEVICE, where there is no such device or no compiler. */
const CudaDriver *emu_driver(int ordinal, Status *st);

#endif
