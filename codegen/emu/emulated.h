/* emulated: what the files of codegen/emu share. driver.c and calls.c are the table of functions and the contexts, memory.c the
 * heap, queue.c streams and events, graph.c graphs, module.c what is loaded, fiber.c how a launch runs, shadow.c whether its
 * threads may do what they do, build.c the compiler. A device has one lock, which everything below but build.c is called under.
 * What a driver notes of its own lies in the C library's memory, as any driver's does: the library neither counts it nor lets it
 * run out. */
#ifndef KILN_CODEGEN_EMU_EMULATED_H
#define KILN_CODEGEN_EMU_EMULATED_H

#include "../cuda/api.h"
#include "../emu.h"
#include "device_side.h"
#include "image.h"

#include <pthread.h>
#include <sys/types.h>

enum {
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_OPERATING_SYSTEM = 304,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_MISALIGNED_ADDRESS = 716,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    CUDA_ERROR_NOT_SUPPORTED = 801
};

typedef struct CUctx_st Emu; /* a device is its one context */

/* ---- memory ------------------------------------------------------------------------------------------------------- */
typedef struct Block { /* what somebody has allocated */
    size_t at, bytes;  /* from the heap's beginning */
    bool born, going;  /* by a stream that has come so far; a stream will free it */
} Block;

typedef struct Heap {
    char *handle, *real; /* the same memory twice: what users know, out of reach but while a kernel runs; and for copies */
    size_t space, total, used;
    size_t cursor; /* where the last block ended: addresses are used again late */
    Block *block;  /* in order */
    uint32_t n, cap;
    uint8_t *open;             /* of each EMU_PART bytes: kernels reach them */
    uint32_t *opened, nopened; /* the numbers of those */
} Heap;
#define EMU_PART ((size_t)1 << 20)

typedef struct Pinned {
    struct Pinned *next;
    char *at;
    size_t bytes;
} Pinned;

CUresult heap_alloc(Emu *e, size_t bytes, bool born, CUdeviceptr *at);
CUresult heap_free(Emu *e, CUdeviceptr at);
void heap_clear(Emu *e);                      /* and pinned memory */
uint32_t heap_from(const Heap *h, size_t at); /* the number of the first block that begins there or later */
/* The block that begins there, or that holds all these bytes; NULL: there is none. */
Block *heap_block(const Emu *e, CUdeviceptr at);
Block *heap_around(const Emu *e, CUdeviceptr at, size_t bytes);
/* Where the host reaches these bytes; NULL if they do not lie in one block that is there already. */
char *heap_real(const Emu *e, CUdeviceptr at, size_t bytes);
/* Lets kernels reach the parts with these bytes; nobody any. A change of the whole range would cost the more, the more is in use.
 */
bool heap_open(Heap *h, size_t at, size_t bytes);
void heap_close(Heap *h);
CUresult pinned_alloc(Emu *e, size_t bytes, void **at);
CUresult pinned_free(Emu *e, void *at);
bool is_pinned(const Emu *e, const void *at, size_t bytes);

/* ---- modules ------------------------------------------------------------------------------------------------------ */
struct CUfunc_st {
    const EmuKernel *kernel;
    CUmodule module;
    unsigned shared; /* bytes that a launch may ask for, if that is more than 48 KB */
};
struct CUmod_st {
    Emu *emu;
    void *lib;
    const EmuModule *is;
    char *shared; /* memory of its blocks */
    size_t shared_bytes;
    struct CUfunc_st *function;
    uint32_t n;
    CUmodule next;
};

bool module_known(const Emu *e, CUmodule m);
CUresult image_load(Emu *e, const void *image, CUmodule *m);
void image_unload(CUmodule m);

/* ---- launches ----------------------------------------------------------------------------------------------------- */
typedef struct Grid {
    EmuDim3 grid, block;
    unsigned shared; /* bytes that the launch asks for */
    bool together;   /* a cooperative launch, whose blocks run all at once */
} Grid;
enum { EMU_SHARED = 48 << 10, EMU_SHARED_MOST = 227 << 10 };
enum { EMU_PROCESSORS = 4, EMU_RESIDENT = 2 * EMU_PROCESSORS }; /* blocks that run at once, at most */
/* Blocks of so many threads, at most, that a multiprocessor runs at once. */
static inline unsigned emu_at_once(unsigned threads) { return threads <= 512 ? EMU_RESIDENT / EMU_PROCESSORS : 1; }
typedef struct Crew Crew; /* the threads of a block */

bool grid_fits(const Grid *g); /* that is, a launch of that size may be asked for */
/* 0, or what the driver says of a cooperative launch that it cannot run. */
CUresult grid_together(const Emu *e, const Grid *g);
static inline bool shared_fits(const Grid *g, CUfunction f) { return g->shared <= MAX_OF((unsigned)EMU_SHARED, f->shared); }
/* Runs all blocks. Anything but 0: e->fault says why. */
CUresult grid_run(Emu *e, CUfunction f, const Grid *g, void **params);
void crews_free(Emu *e);

/* What is known of accesses to memory (shadow.c): nobody has any of these bytes from now on; all of it goes. */
typedef struct Shadow Shadow;
void shadow_free(Emu *e, size_t from, size_t to);
void shadow_clear(Emu *e);

/* ---- streams ------------------------------------------------------------------------------------------------------ */
typedef struct Task Task;
struct CUstream_st { /* a list of what was asked for and has not run; used again, so that old events stay right */
    CUstream next;
    Emu *emu;
    Task *first, **last;
    uint64_t asked, done;
    double busy; /* seconds for which its work ran */
    bool taken;
};
struct CUevent_st { /* it has happened when its stream has done so much; without a stream: it has */
    CUevent next;
    Emu *emu;
    CUstream stream;
    uint64_t at;
    bool taken, timed;
    double when; /* of one that is timed: how busy its stream had been */
};

CUstream stream_take(Emu *e);           /* NULL: no memory */
bool stream_known(Emu *e, CUstream *s); /* also finds the one that NULL stands for */
CUevent event_take(Emu *e);
bool event_known(const Emu *e, CUevent v);
bool event_happened(CUevent v);
void stream_drain(CUstream s, uint64_t until); /* until it has done so much */
void emu_drain(Emu *e);                        /* all streams */
void emu_some(Emu *e, uint64_t most);          /* up to so many tasks */

void streams_clear(Emu *e); /* and events; what was asked for does not run */

/* Note work. Pageable memory is used before they return, as CUDA has it. */
CUresult ask_wait(CUstream s, CUevent v);
CUresult ask_copy(CUstream s, CUdeviceptr to, CUdeviceptr from, size_t bytes);
CUresult ask_copy_in(CUstream s, CUdeviceptr to, const void *from, size_t bytes);
CUresult ask_copy_out(CUstream s, void *to, CUdeviceptr from, size_t bytes);
CUresult ask_born(CUstream s, CUdeviceptr at);
CUresult ask_free(CUstream s, CUdeviceptr at);
CUresult ask_fill(CUstream s, CUdeviceptr to, unsigned word, size_t n);
CUresult ask_launch(CUstream s, CUfunction f, const Grid *g, void **params);

/* ---- graphs ------------------------------------------------------------------------------------------------------- */
typedef struct GraphLaunch GraphLaunch; /* of a copy of a graph, with the arguments that it had then */
CUresult graph_play(Emu *e, GraphLaunch *l);
void graph_drop(GraphLaunch *l);
/* A kernel sets a condition of the graph that runs. Anything but 0: e->fault says why. */
CUresult graph_set(Emu *e, const char *kernel, CUgraphConditionalHandle id, unsigned value);
void graphs_clear(Emu *e);
/* In stream s, and after the other one has done so much (NULL: there is none). */
CUresult ask_graph(CUstream s, GraphLaunch *l, CUstream other, uint64_t at);

struct CUctx_st {
    CudaDriver calls;
    bool there;
    Status st; /* why it is not */
    pthread_mutex_t lock;
    pid_t owner; /* the process that opened it */
    Heap heap;
    Pinned *pinned;
    CUmodule module;
    Crew *crew[EMU_RESIDENT]; /* the first runs all blocks of a launch that is not cooperative */
    uint32_t serial;          /* of blocks, through all launches (shadow.c) */
    Shadow *shadow;
    CUstream stream; /* all */
    CUstream null;   /* the one that is used where none is named */
    CUevent event;
    CUgraph graph;    /* all, bodies of conditional nodes among them */
    CUgraphExec exec; /* all */
    CUgraphExec running;
    uint64_t handles; /* of conditions, that there ever were */
    uint32_t pending; /* tasks in all streams */
    uint64_t seed;
    uint64_t boxes;           /* that kernels copied by maps */
    uint64_t called, fail_at; /* calls so far; the one that fails */
    CUresult fail_with, dead; /* dead: what every call gives from now on */
    CUresult about;           /* the error that the text tells of */
    char fault[512];
};

/* driver.c: takes the lock of the device that this thread works on, or is NULL and *r says why; gives it back, with the result that
 * the caller gets. calls.c and graph.c: the functions that work. */
Emu *emu_enter(CUresult *r);
CUresult emu_leave(Emu *e, CUresult r);
void emu_calls(CudaDriver *d);
void graph_calls(CudaDriver *d, bool graphs, bool conditionals); /* or NULL where there are none */

/* A number below n, which is not 0, as the seed has it. */
static inline uint64_t emu_draw(Emu *e, uint64_t n)
{
    e->seed ^= e->seed << 13;
    e->seed ^= e->seed >> 7;
    e->seed ^= e->seed << 17;
    return (e->seed >> 11) % n;
}

#endif
