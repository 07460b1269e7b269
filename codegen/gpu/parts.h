/* parts: what the files of this room share: a device, its queues and the code of its single ops. Relies on gpu.h, cuda/run.h. */
#ifndef KILN_CODEGEN_GPU_PARTS_H
#define KILN_CODEGEN_GPU_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "../cuda/run.h"
#include "../gpu.h"
#include "../lower_op.h"

/* ---- single ops (code.c) ----------------------------------------------------------------------- */

#define CODE_SETS 256

/* An op's code, shared by all threads. Held while somebody is about to run it. */
typedef struct OpCode {
    struct OpCode *next;
    uint64_t hash, used; /* used: the table's clock when it was last asked for */
    uint32_t held, words;
    bool made;  /* else some thread is at it */
    bool exact; /* no code: the key of such calls must contain the sizes themselves */
    Arena arena;
    const Program *program;
    Compiled *compiled;
    uint32_t *value; /* for each symbol of the program: which value of the key it is */
    size_t bytes;
    int64_t word[];
} OpCode;

extern size_t code_most; /* bytes of all code of one device's ops; tests take less */
typedef struct Codes {
    pthread_mutex_t lock;
    pthread_cond_t made;
    OpCode *set[CODE_SETS];
    uint64_t clock;
    size_t bytes;
} Codes;

/* ---- a device ---------------------------------------------------------------------------------- */

#define KEPT_LAUNCHES 8               /* that a fault may name */
#define STAGINGS 8                    /* parts of a queue's staging memory, */
#define STAGING ((size_t)1 << 20)     /* and the bytes of one */
#define ON_THE_WAY ((size_t)64 << 10) /* bytes that wait, on their way to the host, until somebody waits for the queue */
#define ON_THE_WAY_PIECES 32

#define LOSSES 16

typedef struct Lost { /* work of a queue that failed, as far as anybody knows */
    uint32_t queue;
    uint64_t after, to; /* by Queue.asked */
    Status why;
} Lost;

typedef struct Gpu {
    Device row;
    BufferMemory memory;
    char name[16];
    CudaQueue own; /* of memory that no queue had yet */
    pthread_mutex_t lock;
    Queue *queues; /* all that ever were; under the lock when it grows or one is taken */
    atomic_bool dead;
    Status death, fault; /* why nothing works any more; the last failure that showed late and was not told. Under the lock */
    atomic_uint losses;  /* those that are known, under the lock when they change; beyond LOSSES the oldest give way */
    Lost lost[LOSSES];
    Codes codes;
} Gpu;

typedef struct Launched { /* all of it lives as long as the code */
    const char *kernel, *program;
    Loc at;
} Launched;

typedef struct Staging { /* pinned memory, from which the driver copies in its own time */
    void *at;
    CUevent done; /* when all that lies there was copied */
    bool used;
} Staging;

typedef struct OnTheWay {
    void *to;
    const char *from; /* pinned */
    size_t bytes;
    uint64_t asked; /* it is there when so much of the queue is done; UINT64_MAX: it was not asked for yet */
} OnTheWay;

struct Queue {
    CudaQueue cuda; /* first: what cuda/run.h calls with it is the queue */
    Gpu *gpu;
    Queue *next;
    bool taken;
    uint32_t number;                  /* from 1 on */
    atomic_uint_fast64_t asked, done; /* done: of these, known to be well */
    /* of whoever waits for this queue; under the device's lock */
    CUevent passed; /* recorded last when `recorded` was asked for */
    uint64_t recorded;
    Event waited[4]; /* what this queue waits for already */
    /* of the queue's thread */
    Staging staging[STAGINGS];
    uint32_t now; /* which of them is in use */
    size_t staged;
    /* under the device's lock */
    char *way;
    OnTheWay out[ON_THE_WAY_PIECES];
    uint32_t outs;
    /* launches, of which all before `finished` are done */
    Launched launch[KEPT_LAUNCHES];
    atomic_uint_fast64_t launches, finished;
};

/* ---- failures (fault.c) ------------------------------------------------------------------------ */

/* Makes the context current. False: st, as every use answers once the context is dead. */
bool gpu_enter(Gpu *g, Status *st);
void gpu_leave(Gpu *g);
/* What the driver said at once: true if e is success. Else st, which is why the context died if it has, whatever was being done. */
bool gpu_ok(Gpu *g, CUresult e, Status *st, const char *doing);
/* The same of a status that somebody else made of it. Always false. */
bool gpu_failed(Gpu *g, Status *st);
/* Keeps why there is no memory, unless that is all, for whoever asks for the fault next. */
void gpu_keep(Gpu *g, const Status *st);
void gpu_late(Gpu *g, CUresult e); /* what the driver said of work that was asked for before */
bool gpu_fault(const Device *d, Status *st);
/* The driver said e of a queue that somebody waited for: whatever is not known to be done is lost. */
void gpu_lose(Gpu *g, CUresult e);
uint64_t gpu_mark(Queue *q);
bool gpu_lost(const Device *d, uint64_t mark, Status *st);
void gpu_launched(CudaQueue *q, const char *kernel, const char *program, Loc at);

/* ---- copies (copy.c), ops (op.c, code.c) ------------------------------------------------------- */
bool gpu_put(CudaQueue *q, CUdeviceptr to, const void *from, size_t bytes, Status *st);
bool gpu_copy(Queue *q, CopyWay way, void *to, const void *from, size_t bytes, Status *st);
bool gpu_moves(const Device *d, size_t bytes, double *rate, Status *st);
void gpu_arrived(Queue *q, uint64_t asked); /* so much of the queue is done: to the host with what is there. Under the lock */

void *gpu_ready(const Device *d, const OpCall *c, Status *st);
bool gpu_op(Queue *q, const OpCall *c, void *ready, Status *st);
void gpu_unready(const Device *d, const OpCall *c, void *ready);

/* The code of the op, held; NULL: st. symbol, with op_key_room, gets the values of its program's symbols; scratch has twice that.
 * passes: they run first. exact: the key has the sizes themselves. */
OpCode *code_of(Gpu *g, const OpCall *c, bool passes, bool exact, int64_t *scratch, int64_t *symbol, Status *st);
void code_release(Gpu *g, OpCode *code);

#endif
