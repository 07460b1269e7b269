/* run: a compiled program on a device. Relies on print.h, api.h. */
#ifndef KILN_CODEGEN_CUDA_RUN_H
#define KILN_CODEGEN_CUDA_RUN_H

#include "api.h"
#include "control.h"
#include "print.h"

struct Compiled {
    const Program *p; /* the caller's: it outlives this */
    const CudaDriver *driver;
    CUmodule *module; /* a text that was compiled in parts is several */
    uint32_t nmodule;
    CudaFunctions text;
    CUfunction *function; /* of each of its functions */
    uint32_t *shared;     /* bytes that a launch of each asks for */
    CudaShape *shape;     /* of each kernel */
    int64_t *at_once;     /* blocks of each kernel that may wait for each other; 0: none may */
    Arena arena;
    size_t bytes; /* of the image */
    CUfunction control[CONTROLS];
    bool maps;                     /* some products take maps of their operands */
    struct Recordings *recordings; /* of a program that is recorded (replay.c); NULL: it is launched kernel by kernel */
};

/* Loads a program whose text was compiled to that image (PTX ends in a zero byte). NULL after an error, which st tells. */
Compiled *cuda_load(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st);
/* The same of text that is to be recorded (cuda_graph_text). */
Compiled *cuda_load_graph(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st);
void cuda_release(Compiled *c); /* nothing of it may still run */

/* Where work goes: a stream, and what its owner does for it. */
typedef struct CudaQueue {
    const CudaDriver *driver;
    CUstream stream;
    /* Copies to the device in the stream's order; `from` has been read when it returns. */
    bool (*put)(struct CudaQueue *q, CUdeviceptr to, const void *from, size_t bytes, Status *st);
    /* This kernel of the program is in the stream now. The names live as long as the code. */
    void (*launched)(struct CudaQueue *q, const char *kernel, const char *program, Loc at);
} CudaQueue;

/* Memory for work in the stream, freed by MemFreeAsync. Where there is none it waits for the device once, which may free some.
 * False: st. */
bool cuda_take(const CudaQueue *q, size_t bytes, CUdeviceptr *at, Status *st);
/* Frees it in the stream's order; asks again where that is refused once. 0, or what the driver says. */
CUresult cuda_give(const CudaQueue *q, CUdeviceptr at);

typedef struct CudaCall {
    void *const *buf; /* as program.h's entry takes them, but addresses on the device */
    const int64_t *dim;
    void *work; /* of program_measure's size there; NULL: temporaries get memory for this call alone, as large as they are in it */
    const KilnHost *host;
    LaunchCounts *counts; /* NULL, or whose recordings and replays they are */
    Loc at;               /* of steps that do not say where the user wrote them */
} CudaCall;

/* Puts all that the program does into the queue, in order. Waits only where the host must know what was computed: which way a while
 * or a branch goes, how often a loop turns, and what an effect reads. The context is current. Returns 0, the code of program.h's
 * entry, or -1: st. */
int32_t cuda_run(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st);

/* The blocks of a launch that computes all of a step; dims as program_size takes them. 0: there is nothing to compute. alone: a
 * kernel's blocks may not wait for each other. */
ShareGrid cuda_grid(const Compiled *c, uint32_t kernel, const int64_t *dim, bool alone);
int64_t cuda_product_blocks(const Compiled *c, const Step *s, const int64_t *dim);
size_t cuda_buffer_bytes(const Program *p, uint32_t buf, const int64_t *dim);
/* A step of the host that factors matrices; at: of each buffer of the program. It waits for what comes before it. False: st. */
bool cuda_factor(const Program *p, CudaQueue *q, const Step *s, const CUdeviceptr *at, const int64_t *dim, Status *st);

/* ---- graphs ---------------------------------------------------------------------------------- */

/* By rule a program is recorded once for each vector of sizes and then replayed, unless the driver has no graphs, or none with the
 * conditional nodes that its loops, branches and assertions are; or the host takes part (prints, callbacks, stacks that grow); or
 * there are fewer launches than a replay is worth. */
bool cuda_records(const Program *p, const CudaDriver *d);
extern uint32_t record_least; /* launches, each counted once; tests take less */

typedef struct Recording { /* one vector of sizes, as a graph */
    int64_t *symbol;       /* the sizes, as an entry's dim */
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode *place; /* the nodes that write the table: the first ones */
    uint32_t nplace, nodes;
    CUdeviceptr memory; /* the table and all else that the graph's kernels read and write beside buffers */
    size_t bytes;
    CUdeviceptr table, offset, failed; /* in it; failed: the code that the program ended with */
    CUdeviceptr maps;                  /* and nmap MapWords of what changes with a call's addresses */
    uint32_t nmap;
    uint64_t used;
} Recording;

/* Records the program for call->dim, and puts what the graph needs into its memory, in the queue's order. False: st, and nothing
 * stays. */
bool cuda_record(const Compiled *c, CudaQueue *q, const int64_t *dim, Recording *r, Status *st);
void cuda_record_free(const Compiled *c, Recording *r); /* it does not run any more */
/* The arguments of the number-th node of Recording.place for these addresses. */
typedef struct PlaceArgs {
    uint32_t from, n, to;
    uint64_t at[CONTROL_PLACES];
    void *arg[9];
} PlaceArgs;
CUDA_KERNEL_NODE_PARAMS cuda_place(const Compiled *c, Recording *r, uint32_t number, const CudaCall *call, PlaceArgs *a);

/* Tells the host of the assertion that ended a replay with that code. What the program ends with, or -1: st. */
int32_t cuda_asserted(const Compiled *c, CudaQueue *q, const CudaCall *call, const Recording *r, int64_t code, Status *st);

/* As cuda_run, of a program that is recorded. */
int32_t cuda_replay(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st);
struct Recordings *cuda_recordings(void); /* NULL: no memory */
void cuda_recordings_free(Compiled *c);

#endif
