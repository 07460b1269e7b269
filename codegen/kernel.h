/* kernel: the form between graph and machine. A kernel says *what* is computed over *axes*, from *streams*, in *stages*; the few
 * fields called schedule say *how*. Emitters (cpu, cuda) print it and decide nothing. Relies on ir. Never knows LLVM or CUDA.
 *
 * For every point of the parallel axes (all but `sweep`), the stages run one after the other. A stage either runs once for that
 * point, or sweeps the one sweep axis. Its instructions form a straight line; it ends in stores and reductions; what it reduced,
 * later stages read with I_REDUCED. Softmax is three stages (max; sum of exp; store), a loop nest is one, a column sum two (sweep;
 * store).
 *
 * ABI of the compiled kernel:  void k(void *const *buf, const int64_t *dim, int64_t lo, int64_t hi)
 * buf: the kernel's own buffers (Kernel.nbuf of them); dim: the program's run-time dims; [lo, hi): part of the chunk axis. */
#ifndef KILN_CODEGEN_KERNEL_H
#define KILN_CODEGEN_KERNEL_H

#include "../ir/graph.h"
#include "../ir/tree.h"

#define KERNEL_AXES 12

typedef enum InstrKind {
    I_CONST, /* value */
    I_PRIM,  /* prim over a, b, c; for cvt/bits/floatbits `type` is the result's */
    I_LOAD,  /* ref = stream; narrow floats arrive as f32 */
    I_AXIS,  /* ref = axis: its index, i64 */
    I_DIM,   /* ref = index into Program.dim: its run-time value, i64 */
    /* element a (i64) of the stream of random bits of the key (b, c), u32: word a % 4 of block a / 4 (docs/numerics.md) */
    I_RANDOM,
    I_REDUCED, /* ref = reduction of an earlier stage */
    /* What lies at stream `ref`, which then becomes b times that (b -1: that itself) plus a (a -1: nothing). In order of the
     * sweep, in whose stage it stands; no two points reach one place. Depends on every axis. */
    I_FETCH
} InstrKind;

typedef struct Instr {
    uint8_t kind;    /* InstrKind */
    uint8_t prim;    /* Prim */
    uint8_t type;    /* DType of the result: a compute type (never a narrow float) */
    bool sweeps;     /* depends on the sweep axis: inside its loop; else once per point, before the loop */
    bool lanes;      /* differs along the vector axis: a vector; else a scalar */
    int32_t a, b, c; /* earlier instructions, -1 none */
    uint32_t ref;
    Scalar value;
} Instr;

/* Where elements lie: offset(element) = base + sum over axes of coef[axis] * index + (dyn >= 0: the value of that i64 instruction).
 */
typedef struct Stream {
    uint32_t buf; /* kernel buffer; or STREAM_ROW | r: row cache r, indexed by the sweep axis */
    uint8_t type; /* DType in memory */
    Dim base, coef[KERNEL_AXES];
    int32_t dyn;   /* -1 none */
    int32_t guard; /* bool instruction: access only where it holds (a load elsewhere gives 0); -1: always */
} Stream;
#define STREAM_ROW 0x80000000u

typedef enum ReduceKind { R_SUM, R_PROD, R_MAX, R_MIN, R_ARGMAX, R_ARGMIN } ReduceKind;
typedef enum ReduceOrder {
    ORDER_INDEX,  /* in order of the index, however many: sums that keep their source's order */
    ORDER_CHAINS, /* blocks of TREE_CHAIN in order, totals pairwise (ir/tree.h, docs/numerics.md) */
    ORDER_LANES,  /* blocks of TREE_ROW by lanes, which fold in halves; totals pairwise */
    ORDER_RUNTIME /* LANES if the sweep extent is >= TREE_LANES when it runs, else CHAINS, of which it is one */
} ReduceOrder;

typedef struct Reduction {
    uint8_t kind;  /* ReduceKind; identity: 0, 1, lowest (-inf), highest (+inf); max and min let NaN win, as ops max and min */
    uint8_t type;  /* DType of what is reduced; ARG*: the result is i64 */
    uint8_t order; /* ReduceOrder */
    int32_t value; /* instruction of its stage */
} Reduction;

#define STORE_SETS 15
typedef struct Store {
    uint32_t stream;
    int32_t value; /* instruction; narrow floats are rounded on the way out */
    /* 0: replaces what lies there; STORE_SETS: the same in order of the sweep, which may come to a place again; else 1 +
     * ReduceKind: is folded into it (scatter), in order of the sweep */
    uint8_t fold;
    /* schedule: a result of so many bytes is written past the caches, which could not keep it; 0: never. Nothing that the kernel
     * reads lies there. */
    int64_t past;
} Store;

typedef struct Stage {
    bool sweep;           /* runs over the sweep axis; else once per point */
    uint32_t first, last; /* instructions [first, last); operands may be of earlier stages only if those do not sweep */
    uint32_t first_reduction, last_reduction;
    uint32_t first_store, last_store;
} Stage;

typedef struct Kernel {
    const char *name;
    Loc loc; /* where the user wrote what it is named after; not part of what it is */
    uint32_t naxis;
    Dim extent[KERNEL_AXES];
    int8_t sweep; /* axis, -1 none */
    uint32_t nbuf, ninstr, nstream, nreduction, nstore, nstage, nrow;
    bool *writes; /* per buffer */
    Instr *instr;
    Stream *stream;
    Reduction *reduction;
    Store *store;
    Stage *stage;
    uint8_t *row_type; /* per row cache: DType; its length is the sweep extent (constant) */
    /* schedule */
    int8_t vector;  /* axis that lanes run along: the sweep axis or a parallel one, -1: scalar code */
    int8_t turn;    /* along which some streams lie (stream_turned): parallel, before the vector axis, or the sweep; -1: none */
    int8_t chunk;   /* parallel axis that [lo, hi) is part of; -1: a single point, called with [0, 1) */
    uint8_t unroll; /* vectors per step of the vector axis */
    int64_t cost;   /* per index of the chunk axis, about: scalar operations and 8-byte moves; for grains */
} Kernel;

/* Whether the stream's elements lie side by side along axis `turn`, and apart along the vector axis. */
static inline bool stream_turned(const Kernel *of, const Stream *s, int turn)
{
    return !(s->buf & STREAM_ROW) && s->dyn < 0 && s->guard < 0 && s->coef[turn] == 1 && s->coef[of->vector] != 0 &&
           s->coef[of->vector] != 1;
}

#endif
