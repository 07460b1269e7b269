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

/* A function of the driver by its name in libcuda, for who works on all of them as libcuda has it. NULL: there is none. */
void *emu_symbol(const char *name);

/* ---- for tests ---------------------------------------------------------------------------------------------------- */
/* What the driver says of its version from now on, 1000 * major + 10 * minor, and what it has: no conditional nodes before 12040,
 * no graphs and no tensor maps before 12000. Code that is recorded and was compiled before must not run any more. KILN_EMU_DRIVER
 * says it for a process; else it is the newest. */
#define EMU_NEWEST 12040
void emu_version(int version);
/* Whether the driver knows no cooperative launches from now on; KILN_EMU_APART=1 says so for a process. */
void emu_apart(bool yes);
/* What an open device is from now on: 10 * major + minor of its compute capability; code that was made before must not run any
 * more. KILN_EMU_SM says it of all devices. One of 90 takes code for that architecture alone (sm_90a). */
#define EMU_SM 80
void emu_architecture(int ordinal, int sm);
/* As in a new process, with that seed: memory, modules, streams, events and graphs are gone, and every handle to one is a mistake.
 */
void emu_reset(int ordinal, uint64_t seed);
/* The n-th call from now on that works on the device does nothing but give that error; n = 0: none does. */
void emu_fail(int ordinal, uint64_t n, int error);
uint64_t emu_called(int ordinal); /* such calls since it was opened or reset */
uint64_t emu_boxes(int ordinal);  /* that its kernels have copied by tensor maps */
/* What ended the device's context; an empty text: nothing did. */
const char *emu_fault(int ordinal);

#endif
