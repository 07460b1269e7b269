/* run: a compiled program on a device. Relies on print.h, api.h. */
#ifndef KILN_CODEGEN_CUDA_RUN_H
#define KILN_CODEGEN_CUDA_RUN_H

#include "api.h"
#include "print.h"

struct Compiled {
    const Program *p; /* the caller's: it outlives this */
    const CudaDriver *driver;
    CUmodule module;
    Products products;
    CUfunction *function; /* kernels, then products */
    const char **name;
    CudaShape *shape; /* of each kernel */
    Arena arena;
    size_t bytes; /* of the image */
};

/* Loads a program whose text was compiled to that image (PTX ends in a zero byte). NULL after an error, which st tells. */
Compiled *cuda_load(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st);
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
    Loc at; /* of steps that do not say where the user wrote them */
} CudaCall;

/* Puts all that the program does into the queue, in order. Waits only where the host must know what was computed: which way a while
 * or a branch goes, how often a loop turns, and what an effect reads. The context is current. Returns 0, the code of program.h's
 * entry, or -1: st. */
int32_t cuda_run(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st);

#endif
