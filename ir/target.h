/* target: plain facts that a backend states about what it compiles for, so that passes and lowering need not see it. */
#ifndef KILN_IR_TARGET_H
#define KILN_IR_TARGET_H

#include <stdbool.h>
#include <stdint.h>

/* How products of floats are added up where a target has units that add otherwise than chains of FMA (docs/numerics.md). */
typedef enum ProductSums {
    SUMS_USUAL,  /* those of 16 bits by such units */
    SUMS_CHAINS, /* as chains of FMA, all of them */
    SUMS_TF32    /* those of 16 bits and of f32 by such units, f32 rounded to the 11 bits of tf32 before */
} ProductSums;

typedef struct Target {
    const char *name;         /* "cpu", "cuda" */
    uint32_t vector_bytes;    /* of one register: 32 for AVX2, 16 for SSE/NEON, 4 for none */
    uint32_t row_cache_bytes; /* a row up to this size may be kept near the core between stages */
    uint32_t many_results;    /* long folds are cut until they have so many, which keep all of it busy; 0: a few dozen do */
    int64_t shared_row;       /* all of it shares folds of more elements of the innermost axis, which are not cut; 0: of none */
    bool fma;                 /* mad rounds once */
    bool dear_guards;         /* what stands behind a guard is better a kernel of its own */
    bool launches;            /* kernels side by side are one launch, however little they do */
    bool threads;             /* kernels may be split into chunks through the host table */
    bool digits;              /* emitted products read operands, as windows, whose rows and columns take several strides */
    bool apart;               /* they read operands in which neither rows nor columns have elements side by side as fast */
    uint8_t sums;             /* ProductSums */
    bool blas;                /* large products may go to a BLAS, which computes no kernel in their place */
    bool ends;                /* products compute the kernel that alone reads them, at each of their elements (Step.contract.end) */
    bool past;                /* kernels write large results past the caches (Store.past) */
    uint32_t panel_bytes;     /* emitted products read what a loop multiplies by best as panels of rows of so many; 0: as it lies */
    bool turns;               /* kernels turn squares of what lies along another axis than the vectors do (Kernel.turn) */
} Target;

#endif
