/* graph: what graph.c, which makes graphs, and graph_exec.c, which runs copies of them, share. Relies on emulated.h. */
#ifndef KILN_CODEGEN_EMU_GRAPH_H
#define KILN_CODEGEN_EMU_GRAPH_H

#include "emulated.h"

typedef struct Args { /* of a kernel; nodes and launches share them */
    uint32_t users;
    uint64_t word[];
} Args;

typedef struct Handle { /* of a condition */
    struct Handle *next;
    CUgraphConditionalHandle id;
    CUgraphNode node; /* whose condition it is */
    unsigned value;   /* at the start of each launch, if reset says so */
    bool reset;
} Handle;

struct CUgraphNode_st {
    CUgraphNode next;
    CUgraph graph;
    uint32_t number, nafter, *after; /* its place in the graph; the places of what comes before it */
    CUfunction f;                    /* NULL: a conditional node */
    CUmodule module;
    Grid grid;
    Args *args;
    Handle *handle;
    int type;
    CUgraph body;
};

struct CUgraph_st {
    CUgraph next;
    Emu *emu;
    CUgraphNode first, *last, owner; /* owner: whose body it is */
    Handle *handle;
    uint32_t n, copies; /* nodes; how many copies to be launched there are */
};

Args *args_take(const EmuKernel *k, void **params); /* NULL: no memory */
Args *args_share(Args *a);
void args_drop(Args *a);
bool graph_known(const Emu *e, CUgraph g);
CUresult graph_kernel_wrong(const Emu *e, const CUDA_KERNEL_NODE_PARAMS *p); /* 0: nothing is */
static inline Grid graph_grid(const CUDA_KERNEL_NODE_PARAMS *p)
{
    return (Grid){.grid = {p->gridDimX, p->gridDimY, p->gridDimZ},
        .block = {p->blockDimX, p->blockDimY, p->blockDimZ},
        .shared = p->sharedMemBytes};
}

/* graph_exec.c */
void execs_clear(Emu *e);
void execs_forget(Emu *e, CUgraph g); /* it is gone: its copies stay, but cannot be set any more */
void exec_calls(CudaDriver *d, bool graphs);

#endif
