/* contract: the one product of matrices that eager and JIT-compiled code call. The order of its sums is that of docs/numerics.md,
 * whatever the extents of rows and columns, strides, threads and instruction set. Where an engine asks for OpenBLAS, large products
 * are OpenBLAS's: which ones, and in what calls, depends on dtype and extents alone. */
#ifndef KILN_CODEGEN_CONTRACT_H
#define KILN_CODEGEN_CONTRACT_H

#include "../../runtime/buffer.h"
#include "../../runtime/dtype.h"
#include "../../runtime/threads.h"
#include "../host.h"
#include "keep.h"

/* threads: their memory is used for operands that are packed, and they themselves where that pays. False: ST_MEMORY; with blas also
 * ST_UNSUPPORTED. */
bool contract_run(ThreadPool *threads, const HostContract *c, bool blas, Status *st);
/* A convolution: the product of the matrix of windows and the filters, in the same order of sums; k runs over the taps that meet an
 * element of x or its padding, and in each over the channels; of the filters' gradient over the images and in each the elements of
 * y. */
bool contract_convolve(ThreadPool *threads, const HostConv *c, Status *st);
/* Factors of matrices, each of which has the same bits whatever the threads. Eigenvalues and singular values are LAPACK's, a thread
 * per matrix. False: ST_MEMORY; ST_UNSUPPORTED: there is no LAPACK; ST_VALUE: it found no solution. */
bool factor_run(ThreadPool *threads, const HostFactor *f, Status *st);
/* Memory for a while: of the threads' pool, if there are threads. NULL: ST_MEMORY. */
Buffer *contract_memory(ThreadPool *threads, size_t bytes, Status *st);
/* Whether products of these extents go to OpenBLAS in an engine that asks for it, and whether this process has such an engine. */
bool contract_by_blas(DType type, int64_t m, int64_t n, int64_t k);
bool contract_blas_opened(void);

#endif
