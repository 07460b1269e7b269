/* eager: every op as a precompiled C kernel, expanded from the tables, chosen for this CPU at run time. Needs no LLVM.
 * Strided and broadcast (stride 0) inputs are read in place; outputs are contiguous. Relies on view, ir, runtime, codegen/contract.
 */
#ifndef KILN_CODEGEN_EAGER_H
#define KILN_CODEGEN_EAGER_H

#include "../runtime/threads.h"
#include "host.h"
#include "view.h"

/* What single ops were lowered to, kept for their next calls: by one thread, in a bounded number of bytes. */
typedef struct Kept Kept;
Kept *kept_new(void); /* NULL: no memory */
void kept_free(Kept *k);

typedef struct EagerCtx {
    ThreadPool *threads;       /* NULL: this thread alone */
    Kept *kept;                /* NULL: each call lowers its op anew */
    bool blas;                 /* contract_run */
    uint8_t sums;              /* Target.sums, where a device looks */
    struct PanelCache *panels; /* where products keep what they packed; NULL: nowhere */
} EagerCtx;

/* Runs one op; out's views are contiguous, allocated, and of the inferred types. False: st (memory, or an op that only exists in
 * graphs). */
bool eager_run(const EagerCtx *c, Op op, const View *in, uint32_t nin, const int64_t *attr, uint32_t nattr, View *out,
    uint32_t nout, Status *st);
/* A movement op as a view of its operand: fills dim, stride, data; false if it needs a copy (eager_run then makes it). */
bool eager_view(Op op, const View *in, const int64_t *attr, uint32_t nattr, const Type *type, View *out);
/* Any strided view to contiguous memory of the same dtype. */
void eager_copy(const EagerCtx *c, const View *from, void *to);
/* Attention for eager and compiled code, in the order of docs/numerics.md whatever the threads and the CPU. False: ST_MEMORY. */
bool attention_run(ThreadPool *threads, const HostAttention *a, Status *st);
/* Sorted lines for eager and compiled code. False: ST_MEMORY. */
bool sort_run(ThreadPool *threads, const HostSort *s, Status *st);
const char *eager_tier(void); /* "baseline", "avx2", "avx512": what this CPU runs */

#endif
