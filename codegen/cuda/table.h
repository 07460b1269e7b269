/* table: a program as what an object for a device carries. Relies on walk.h, print.h. */
#ifndef KILN_CODEGEN_CUDA_TABLE_H
#define KILN_CODEGEN_CUDA_TABLE_H

#include "../walk.h"
#include "print.h"

/* Appends it, for devices of that compute capability. False: st. */
bool cuda_table(const Program *p, int sm, const CudaFunctions *text, int64_t constants, Text *out, Status *st);

#endif
