/* cuda: what the rest of the library sees of the CUDA backend. Relies on backend. No CUDA header,
 * type or library is needed to build this or what lies behind it: libcuda and NVRTC are opened at
 * run time. */
#ifndef KILN_CODEGEN_CUDA_H
#define KILN_CODEGEN_CUDA_H

#include "backend.h"

/* The row named "cuda", which compiles for a CudaDriver (CompileOptions.there), or without one for the first device that the real
 * driver has: then target and compile fail with ST_DEVICE where there is none. entry and sizes are NULL. */
const Backend *cuda_backend(void);

/* What the backend assumes of a device: facts for passes and lowering, known without one. */
void cuda_target(Target *t);

/* The program (lowered without BLAS) as CUDA C, and, unless ptx is NULL, as PTX for compute
 * capability sm (80, 90 ...). Needs NVRTC for PTX only, never a device. What is appended to either
 * text is complete unless false came back. ST_DEVICE: no NVRTC, naming what was looked for;
 * ST_UNSUPPORTED: a kernel that CUDA C cannot express; ST_INTERNAL: NVRTC's log. */
bool cuda_program_ptx(const Program *p, int sm, Text *cuda_c, Text *ptx, Status *st);

#endif
