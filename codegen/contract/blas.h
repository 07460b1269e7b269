/* blas: the one file of Kiln that knows a BLAS: whether this OpenBLAS may be used (its product of one block is declared in
 * contract_tier.h). Never decides which products go to it (contract), never forces a core type. */
#ifndef KILN_CODEGEN_BLAS_H
#define KILN_CODEGEN_BLAS_H

#include "../../runtime/base.h"

void blas_init(bool foreign_threads); /* sets OpenBLAS to one thread unless told otherwise or it is not used; idempotent */
const char *blas_name(void);          /* OpenBLAS's own description */
/* Why products go to Kiln's own kernels instead, as the end of "OpenBLAS is not used: "; NULL where OpenBLAS is used. */
const char *blas_refused(void);
/* The same for any OpenBLAS on any machine: the name of its core, whether it is an OpenMP build, whether the CPU has AVX2. */
const char *blas_refusal(const char *core, bool openmp, bool avx2, char *buf, size_t cap);
#endif
