/* blas: large products by cuBLASLt, where an engine was opened with .blas. The library is opened at run time; no header of it is
 * needed. Relies on run.h. */
#ifndef KILN_CODEGEN_CUDA_BLAS_H
#define KILN_CODEGEN_CUDA_BLAS_H

#include "run.h"

typedef struct BlasProduct { /* c[batch..., m, n] = a[batch..., m, k] . b[batch..., k, n], contiguous; strides in elements */
    DType type;
    bool tf32; /* f32 may be rounded to tf32 before */
    int64_t m, n, k;
    uint32_t nbatch;
    int64_t batch[MAX_RANK], a_batch[MAX_RANK], b_batch[MAX_RANK];
    int64_t a_row, a_col, b_row, b_col;
    CUdeviceptr a, b, c;
} BlasProduct;
/* By type, extents and strides alone. */
bool blas_takes(const BlasProduct *x);
/* Puts it into the queue, all of it or in some matrices of a batch: *done tells whether the library knew a way for each; where it
 * did not, the caller's own product writes all of the result. False: st; ST_UNSUPPORTED where the library is not there. */
bool blas_product(CudaQueue *q, const BlasProduct *x, bool *done, Status *st);

#endif
