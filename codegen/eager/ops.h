/* ops: what eager_run calls, one function per kind of op. Operands are of the types that infer has
 * checked. Relies on eager.h. */
#ifndef KILN_CODEGEN_EAGER_OPS_H
#define KILN_CODEGEN_EAGER_OPS_H

#include "../eager.h"
#include "kernels.h"
#include "reader.h"

/* One op about to run. */
typedef struct Run {
    ThreadPool *threads; /* NULL: none */
    Kept *kept;          /* NULL: none */
    bool blas;           /* contract_run */
    struct PanelCache *panels;
    Op op;
    const View *in;
    uint32_t nin;
    const int64_t *attr;
    uint32_t nattr;
    View *out;
    Status *st;
} Run;

bool run_elementwise(const Run *r); /* also cast */
bool run_reduce(const Run *r);      /* sum prod reduce_max reduce_min */
bool run_copy(const Run *r);        /* copies what a movement op makes of a view, or a reshape */
bool run_bitcast(const Run *r);
bool run_concat(const Run *r);
bool run_lowered(const Run *r); /* runs the kernels that the op is lowered to */
bool run_constant(const Run *r);

/* The axis along which the elements of a transpose lie side by side, if that is not the last axis; else -1. */
int reader_tall_axis(const Reader *r);

/* Runs fn over [0, n), on threads if there are some and n is at least two grains. */
static inline void run_chunks(ThreadPool *threads, ChunkFn fn, void *arg, int64_t n, int64_t grain)
{
    if (!threads || n < 2 * grain)
        fn(arg, 0, n);
    else
        threads_run(threads, fn, arg, n, grain);
}

/* How many elements take some 20 us to move. */
#define MOVE_GRAIN ((int64_t)1 << 16)

#endif
