/* contract: the one matrix product that eager and JIT-compiled code call, so that both have the same bits. By extents
 * alone (never by threads or strides) it decides between the BLAS, where blas.h finds it fit, on a fixed grid of slices, each one
 * single-threaded call, and the plain kernel: c = sum over k in order of mad(a, b, c), from 0. Never calls gemm with m or n = 1. */
#ifndef KILN_CODEGEN_CONTRACT_H
#define KILN_CODEGEN_CONTRACT_H

#include "../../runtime/base.h"
#include "../../runtime/threads.h"
#include "../host.h"

/* True if contractions of these extents go to the BLAS: never where it is refused. */
bool contract_uses_blas(int type, int64_t m, int64_t n, int64_t k);
/* threads NULL: this thread alone (same bits). False: ST_MEMORY for a packing buffer. */
bool contract_run(ThreadPool *threads, const HostContract *c, bool blas, Status *st);

#endif
