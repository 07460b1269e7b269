/* fiber: runs the blocks of a launch one after the other, and the threads of a block on stacks of their own: one runs until it
 * waits for others, and then another goes on, in an order drawn from the device's seed. A stack whose thread has ended runs the
 * next one, so that kernels that never wait take one. Relies on mmap, and on assembly for x86-64 where others have ucontext. */
#define _GNU_SOURCE
#include "watch.h"

#include <stdio.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

enum { MOST = EMU_THREADS, LANES = EMU_LANES, STACK = 1 << 18, EMU_COPIES = 64 };

typedef struct Barrier {
    uint32_t waiting, turn;
    const char *how;
} Barrier;

typedef struct Copy { /* into shared memory, on its way */
    char *to;
    const char *from; /* NULL: zeros */
    uint32_t bytes, group;
} Copy;

typedef struct Copies { /* of a thread, in order */
    uint32_t n, group;
    Copy at[EMU_COPIES];
} Copies;

struct Crew {
    Emu *emu;
    CUfunction f;
    void **params;
    EmuSide *side;
    char *stacks; /* MOST of them */
    uint32_t threads, left, stack, self;
    uint32_t born[MOST], nborn;   /* threads that have not begun */
    uint32_t ready[MOST], nready; /* that may go on */
    const char *waits[MOST];      /* for what; NULL: it does not */
    Copies copies[MOST];
    bool wrote[MOST], stale[MOST]; /* into shared memory, and not said so to tensor cores; the same, before a barrier */
    uint32_t nstale;
    uint64_t held[2][MOST]; /* what a thread shows the others of its warp, at an even and an odd turn */
    Barrier block, warp[EMU_WARPS];
    Watch watch;
    CUresult result;
#if defined(__x86_64__)
    void *scheduler, *place[MOST + 1]; /* the last: of a stack that begins */
#else
    ucontext_t scheduler, place[MOST + 1];
#endif
};

/* ---- changing stacks ---------------------------------------------------------------------------------------------- */
static void work(Crew *c);

#if defined(__x86_64__)
/* Keeps what a function must keep, and where it was, in *from; goes on at `to`. */
__attribute__((visibility("hidden"))) void emu_switch(void **from, void *to);
__attribute__((visibility("hidden"))) void emu_begin(void);
/* clang-format off */
__asm__(".pushsection .text\n"
        ".type emu_switch, @function\n"
        "emu_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\n"
        "ret\n.size emu_switch, .-emu_switch\n"
        ".type emu_begin, @function\n"
        "emu_begin:\n" /* rbx: the crew; rbp: the function */
        "movq %rbx, %rdi\ncall *%rbp\nud2\n.size emu_begin, .-emu_begin\n"
        ".popsection\n");
/* clang-format on */

static void leave(Crew *c, uint32_t thread) { emu_switch(&c->place[thread], c->scheduler); }
static void resume(Crew *c, uint32_t thread) { emu_switch(&c->scheduler, c->place[thread]); }

static void begin(Crew *c, uint32_t thread, char *stack)
{
    void **at = (void **)(void *)(stack + STACK) - 9; /* six registers, where to begin, and nothing above it */
    memset(at, 0, 9 * sizeof *at);
    at[4] = c;
    at[5] = (void *)(uintptr_t)work;
    at[6] = (void *)(uintptr_t)emu_begin;
    c->place[thread] = at;
    resume(c, thread);
}
#else
static void leave(Crew *c, uint32_t thread) { swapcontext(&c->place[thread], &c->scheduler); }
static void resume(Crew *c, uint32_t thread) { swapcontext(&c->scheduler, &c->place[thread]); }

static void enter(unsigned high, unsigned low) { work((Crew *)(uintptr_t)((uint64_t)high << 32 | low)); }

static void begin(Crew *c, uint32_t thread, char *stack)
{
    const uint64_t me = (uint64_t)(uintptr_t)c;
    getcontext(&c->place[thread]);
    c->place[thread].uc_stack.ss_sp = stack;
    c->place[thread].uc_stack.ss_size = STACK;
    makecontext(&c->place[thread], (void (*)(void))enter, 2, (unsigned)(me >> 32), (unsigned)me);
    resume(c, thread);
}
#endif

/* ---- threads of a block ------------------------------------------------------------------------------------------- */
static void set_thread(Crew *c, uint32_t t)
{
    const EmuDim3 n = c->side->threads;
    c->self = t;
    c->side->thread = (EmuDim3){t % n.x, t / n.x % n.y, t / n.x / n.y};
}

static uint32_t take(Crew *c, uint32_t *from, uint32_t *n)
{
    const uint32_t i = (uint32_t)emu_draw(c->emu, *n), t = from[i];
    from[i] = from[--*n];
    return t;
}

/* One stack's life: whole threads, one after the other. */
static void work(Crew *c)
{
    do {
        set_thread(c, take(c, c->born, &c->nborn));
        c->f->kernel->call(c->params);
        c->left--;
    } while (c->nborn > 0);
    leave(c, c->self);
}

/* Ends the launch; the thread that calls it does not go on. */
static void fail(Crew *c, CUresult e)
{
    c->result = e;
    leave(c, c->self);
}

static uint32_t lanes_of(const Crew *c, uint32_t warp) { return MIN_OF((uint32_t)LANES, c->threads - warp * LANES); }

/* What orders memory; a shuffle does not. */
static const char BLOCK[] = "__syncthreads", WARP[] = "__syncwarp";

static void wait(Crew *c, Barrier *b, uint32_t first, uint32_t n, const char *how)
{
    if (b->waiting > 0 && b->how != how) {
        snprintf(c->emu->fault, sizeof c->emu->fault, "%s: threads of a warp wait for each other in %s and in %s",
            c->f->kernel->name, b->how, how);
        fail(c, CUDA_ERROR_LAUNCH_FAILED);
    }
    b->how = how;
    if (++b->waiting < n) {
        c->waits[c->self] = how;
        leave(c, c->self);
        return;
    }
    b->waiting = 0;
    b->turn++;
    if (how == BLOCK || how == WARP) watch_synced(&c->watch, first / LANES, how == BLOCK);
    for (uint32_t t = first; t < first + n; t++) {
        if (t == c->self) continue;
        c->waits[t] = NULL;
        c->ready[c->nready++] = t;
    }
}

static void sync_block(void *self)
{
    Crew *c = self;
    if (c->wrote[c->self] && !c->stale[c->self]) c->stale[c->self] = true, c->nstale++;
    wait(c, &c->block, 0, c->threads, BLOCK);
}

static void wait_warp(Crew *c, const char *how)
{
    const uint32_t w = c->self / LANES;
    wait(c, &c->warp[w], w * LANES, lanes_of(c, w), how);
}

static void sync_warp(void *self) { wait_warp(self, WARP); }

/* A lane reads before it comes to the next turn, so that two places for each are enough. */
static unsigned long long shuffle(void *self, unsigned long long bits, unsigned lane)
{
    Crew *c = self;
    const uint32_t w = c->self / LANES, turn = c->warp[w].turn % 2;
    c->held[turn][c->self] = bits;
    wait_warp(c, "a shuffle");
    return c->held[turn][w * LANES + MIN_OF(lane, lanes_of(c, w) - 1)];
}

static void access(void *self, const void *at, unsigned bytes, unsigned how)
{
    Crew *c = self;
    const CUresult wrong = watch_access(c->emu, &c->watch, c->f, c->self, at, bytes, how);
    if (wrong != 0) fail(c, wrong);
    if ((how & EMU_WRITE) && !(how & EMU_LATE) && (size_t)((const char *)at - c->f->module->shared) < c->f->module->shared_bytes)
        c->wrote[c->self] = true;
}

/* array: its type in quotes, as the compiler writes it. */
static void no_element(void *self, unsigned long long index, const char *array)
{
    Crew *c = self;
    snprintf(c->emu->fault, sizeof c->emu->fault, "%s: block %u, thread %u is at element %llu of an array that is %s",
        c->f->kernel->name, c->side->block.x, c->self, index, array);
    fail(c, CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void misuse(void *self, const char *why)
{
    Crew *c = self;
    snprintf(c->emu->fault, sizeof c->emu->fault, "%s: block %u, thread %u %s", c->f->kernel->name, c->side->block.x, c->self, why);
    fail(c, CUDA_ERROR_LAUNCH_FAILED);
}

/* Tensor cores see what was written before a barrier if each who wrote said so before it. */
static void shared_written(void *self)
{
    Crew *c = self;
    c->nstale -= c->stale[c->self];
    c->wrote[c->self] = c->stale[c->self] = false;
}

static void group_read(void *self, const void *at, unsigned bytes)
{
    Crew *c = self;
    if (c->nstale > 0) misuse(c, "reads by tensor cores what was written with no fence.proxy.async before the barrier");
    access(c, at, bytes, 0);
}

static void no_copy(Crew *c, const char *why, const void *at)
{
    snprintf(c->emu->fault, sizeof c->emu->fault, "%s: block %u, thread %u copies to %p, %s", c->f->kernel->name, c->side->block.x,
        c->self, at, why);
    fail(c, CUDA_ERROR_LAUNCH_FAILED);
}

/* Bounds and races are judged at once: from now on nobody may use what lies there. */
/* Where the library reads what a thread may: memory that waits for its next user, as a workspace that was given back while a call
 * runs, is still read by work that was asked for before, and only the handle is told to be nobody's (runtime/poison.h). */
static const void *real_of(const Crew *c, const void *at)
{
    const size_t from = (size_t)((const char *)at - c->emu->heap.handle);
    return from < c->emu->heap.space ? c->emu->heap.real + from : at;
}

static void copy(void *self, void *to, const void *from, unsigned bytes, unsigned there)
{
    Crew *c = self;
    Copies *all = &c->copies[c->self];
    if (((uintptr_t)to | (there ? (uintptr_t)from : 0)) % bytes != 0)
        no_copy(c, "which, or what it copies, lies at no multiple of its size", to);
    if (all->n == EMU_COPIES) no_copy(c, "and has too many copies under way", to);
    if (there) access(c, from, bytes, 0);
    access(c, to, bytes, EMU_WRITE | EMU_LATE);
    memset(to, 0xa5, bytes);
    all->at[all->n++] = (Copy){to, there ? real_of(c, from) : NULL, bytes, all->group};
}

static void copies_group(void *self)
{
    Crew *c = self;
    c->copies[c->self].group++;
}

static void copies_wait(void *self, unsigned left)
{
    Crew *c = self;
    Copies *all = &c->copies[c->self];
    uint32_t n = 0;
    for (; n < all->n && all->at[n].group + left < all->group; n++) {
        const Copy *one = &all->at[n];
        access(c, one->to, one->bytes, EMU_WRITE);
        if (one->from)
            memcpy(one->to, one->from, one->bytes);
        else
            memset(one->to, 0, one->bytes);
    }
    memmove(all->at, all->at + n, (all->n - n) * sizeof *all->at);
    all->n -= n;
}

static void set_condition(void *self, unsigned long long handle, unsigned value)
{
    Crew *c = self;
    const CUresult wrong = graph_set(c->emu, c->f->kernel->name, handle, value);
    if (wrong != 0) fail(c, wrong);
}

static CUresult stuck(Crew *c)
{
    uint32_t t = 0, n = 0;
    for (uint32_t i = c->threads; i-- > 0;)
        if (c->waits[i]) t = i, n++;
    snprintf(c->emu->fault, sizeof c->emu->fault,
        "%s: in block %u, %u of %u threads wait, thread %u in %s, for others that never come", c->f->kernel->name, c->side->block.x,
        n, c->threads, t, c->waits[t]);
    return CUDA_ERROR_LAUNCH_FAILED;
}

static CUresult block_run(Crew *c)
{
    memset(c->waits, 0, sizeof c->waits);
    memset(c->warp, 0, sizeof c->warp);
    c->block = (Barrier){0};
    watch_block(&c->watch);
    c->nready = c->stack = c->nstale = 0;
    memset(c->wrote, 0, sizeof c->wrote);
    memset(c->stale, 0, sizeof c->stale);
    for (uint32_t t = 0; t < c->threads; t++) c->copies[t].n = c->copies[t].group = 0;
    c->left = c->nborn = c->threads;
    for (uint32_t t = 0; t < c->threads; t++) c->born[t] = t;
    while (c->left > 0) {
        if (c->nready + c->nborn == 0) return stuck(c);
        if (emu_draw(c->emu, c->nready + c->nborn) < c->nready) {
            set_thread(c, take(c, c->ready, &c->nready));
            resume(c, c->self);
        } else {
            begin(c, MOST, c->stacks + (size_t)STACK * c->stack++);
        }
        if (c->result != 0) return c->result;
    }
    return 0;
}

/* ---- launches ----------------------------------------------------------------------------------------------------- */
static bool crew_make(Emu *e)
{
    if (e->crew) return true;
    /* Not of the allocator, whose end would be a launch's that was taken. The stacks come first. */
    char *stacks =
        mmap(NULL, (size_t)STACK * MOST + sizeof(Crew), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return false;
    Crew *c = (Crew *)(void *)(stacks + (size_t)STACK * MOST);
    c->emu = e;
    c->stacks = stacks;
    e->crew = c;
    return true;
}

void crew_free(Emu *e)
{
    if (!e->crew) return;
    munmap(e->crew->stacks, (size_t)STACK * MOST + sizeof(Crew));
    e->crew = NULL;
}

static uint64_t without_common(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

CUresult grid_run(Emu *e, CUfunction f, const Grid *g, void **params)
{
    static const EmuCalls calls = {sync_block, sync_warp, shuffle, access, copy, copies_group, copies_wait, set_condition,
        shared_written, group_read, misuse, no_element};
    const uint64_t n = (uint64_t)g->grid.x * g->grid.y * g->grid.z;
    if (!crew_make(e)) return CUDA_ERROR_OUT_OF_MEMORY;
    Crew *c = e->crew;
    c->f = f;
    c->params = params;
    c->side = f->module->is->side;
    *c->side = (EmuSide){.grid = g->grid,
        .threads = g->block,
        .shared = g->shared,
        .calls = calls,
        .self = c,
        .stacks = c->stacks,
        .stack_bytes = (size_t)STACK * MOST};
    c->threads = g->block.x * g->block.y * g->block.z;
    c->result = watch_launch(e, &c->watch, f->module, n);
    uint64_t at = emu_draw(e, n), step = 1 + emu_draw(e, n); /* goes through all blocks if it shares no factor with n */
    while (without_common(step, n) != 1) step++;
    for (uint64_t i = 0; i < n && c->result == 0; i++, at = (at + step) % n) {
        c->side->block =
            (EmuDim3){(unsigned)(at % g->grid.x), (unsigned)(at / g->grid.x % g->grid.y), (unsigned)(at / g->grid.x / g->grid.y)};
        c->result = block_run(c);
    }
    return c->result;
}
