/* fiber: runs the threads of a block on stacks of their own: one runs until it waits for others, and then another goes on, in an
 * order drawn from the device's seed. A stack whose thread has ended runs the next one, so that kernels that never wait take one.
 * Which block runs is grid.c's. Relies on crew.h, and on assembly for x86-64 where others have ucontext. */
#include "crew.h"

#include <stdio.h>

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
    void **at = (void **)(void *)(stack + EMU_STACK) - 9; /* six registers, where to begin, and nothing above it */
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
    c->place[thread].uc_stack.ss_size = EMU_STACK;
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

void crew_fail(Crew *c, CUresult e)
{
    c->result = e;
    leave(c, c->self);
}

static uint32_t lanes_of(const Crew *c, uint32_t warp) { return MIN_OF((uint32_t)EMU_LANES, c->threads - warp * EMU_LANES); }

/* What orders memory; a shuffle does not. */
static const char BLOCK[] = "__syncthreads", WARP[] = "__syncwarp";

void crew_wait(Crew *c, const char *how)
{
    c->waits[c->self] = how;
    leave(c, c->self);
}

void crew_wake(Crew *c, uint32_t thread)
{
    c->waits[thread] = NULL;
    c->ready[c->nready++] = thread;
}

/* What threads have written before a barrier is fenced with what any of them does next. */
static void gather(Crew *c)
{
    if (c->nloose == 0) return;
    memset(c->loose, 0, sizeof c->loose);
    c->nloose = 0;
    c->owes = true;
}

static void fence(void *self)
{
    Crew *c = self;
    c->nloose -= c->loose[c->self];
    c->loose[c->self] = c->owes = false;
}

static void wait(Crew *c, Barrier *b, uint32_t first, uint32_t n, const char *how)
{
    if (b->waiting > 0 && b->how != how) {
        snprintf(c->emu->fault, sizeof c->emu->fault, "%s: threads of a warp wait for each other in %s and in %s",
            c->f->kernel->name, b->how, how);
        crew_fail(c, CUDA_ERROR_LAUNCH_FAILED);
    }
    b->how = how;
    if (++b->waiting < n) {
        crew_wait(c, how);
        return;
    }
    b->waiting = 0;
    b->turn++;
    if (how == BLOCK || how == WARP) watch_synced(&c->watch, first / EMU_LANES, how == BLOCK);
    if (how == BLOCK) gather(c);
    for (uint32_t t = first; t < first + n; t++)
        if (t != c->self) crew_wake(c, t);
}

static void sync_block(void *self)
{
    Crew *c = self;
    if (c->wrote[c->self] && !c->stale[c->self]) c->stale[c->self] = true, c->nstale++;
    wait(c, &c->block, 0, c->threads, BLOCK);
}

static void wait_warp(Crew *c, const char *how)
{
    const uint32_t w = c->self / EMU_LANES;
    wait(c, &c->warp[w], w * EMU_LANES, lanes_of(c, w), how);
}

static void sync_warp(void *self) { wait_warp(self, WARP); }

/* A lane reads before it comes to the next turn, so that two places for each are enough. */
static unsigned long long shuffle(void *self, unsigned long long bits, unsigned lane)
{
    Crew *c = self;
    const uint32_t w = c->self / EMU_LANES, turn = c->warp[w].turn % 2;
    c->held[turn][c->self] = bits;
    wait_warp(c, "a shuffle");
    return c->held[turn][w * EMU_LANES + MIN_OF(lane, lanes_of(c, w) - 1)];
}

static void access(void *self, const void *at, unsigned bytes, unsigned how)
{
    Crew *c = self;
    const CUresult wrong = watch_access(c->emu, &c->watch, c->f, c->self, at, bytes, how);
    if (wrong != 0) crew_fail(c, wrong);
    if (!(how & EMU_WRITE) || (how & EMU_LATE)) return;
    if ((size_t)((const char *)at - c->f->module->shared) < c->f->module->shared_bytes)
        c->wrote[c->self] = true;
    else if (c->together && !c->loose[c->self])
        c->loose[c->self] = true, c->nloose++;
}

/* array: its type in quotes, as the compiler writes it. */
static void no_element(void *self, unsigned long long index, const char *array)
{
    Crew *c = self;
    snprintf(c->emu->fault, sizeof c->emu->fault, "%s: block %u, thread %u is at element %llu of an array that is %s",
        c->f->kernel->name, c->side->block.x, c->self, index, array);
    crew_fail(c, CUDA_ERROR_ILLEGAL_ADDRESS);
}

static void misuse(void *self, const char *why)
{
    Crew *c = self;
    snprintf(c->emu->fault, sizeof c->emu->fault, "%s: block %u, thread %u %s", c->f->kernel->name, c->side->block.x, c->self, why);
    crew_fail(c, CUDA_ERROR_LAUNCH_FAILED);
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
    crew_fail(c, CUDA_ERROR_LAUNCH_FAILED);
}

void *crew_real(const Crew *c, const void *at)
{
    const Heap *h = &c->emu->heap;
    const size_t from = (size_t)((const char *)at - h->handle);
    return from < h->space ? h->real + from : (void *)(uintptr_t)at;
}

/* Bounds and races are judged at once: from now on nobody may use what lies there. */
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
    all->at[all->n++] = (Copy){to, there ? crew_real(c, from) : NULL, bytes, all->group};
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

static void meet(void *self, void *at, unsigned blocks)
{
    Crew *c = self;
    if (c->together && (c->owes || c->nloose > 0)) misuse(c, "meets other blocks after writes that no __threadfence orders");
    access(c, at, 8, EMU_WRITE | EMU_ATOMIC);
    grid_meet(c, at, blocks);
}

static void set_condition(void *self, unsigned long long handle, unsigned value)
{
    Crew *c = self;
    const CUresult wrong = graph_set(c->emu, c->f->kernel->name, handle, value);
    if (wrong != 0) crew_fail(c, wrong);
}

CUresult crew_stuck(Crew *c)
{
    uint32_t t = 0, n = 0;
    for (uint32_t i = c->threads; i-- > 0;)
        if (c->waits[i]) t = i, n++;
    snprintf(c->emu->fault, sizeof c->emu->fault,
        "%s: in block %u, %u of %u threads wait, thread %u in %s, for others that never come", c->f->kernel->name, c->at.x, n,
        c->threads, t, c->waits[t]);
    return CUDA_ERROR_LAUNCH_FAILED;
}

/* Shared memory is another block's by the time they arrive. */
static CUresult unfinished(const Crew *c)
{
    snprintf(
        c->emu->fault, sizeof c->emu->fault, "%s: block %u ends while bulk copies are on their way", c->f->kernel->name, c->at.x);
    return CUDA_ERROR_LAUNCH_FAILED;
}

/* ---- a block ------------------------------------------------------------------------------------------------------ */
const EmuCalls crew_calls = {sync_block, sync_warp, shuffle, access, copy, copies_group, copies_wait, set_condition, shared_written,
    group_read, fence, meet, misuse, no_element, bulk_make, bulk_made, bulk_expect, bulk_wait, bulk_box, bulk_map, bulk_map_fence};

void crew_begin(Crew *c)
{
    memset(c->waits, 0, sizeof c->waits);
    memset(c->warp, 0, sizeof c->warp);
    c->block = (Barrier){0};
    c->nready = c->stack = c->nstale = c->nloose = 0;
    c->owes = false;
    c->meets = NULL;
    c->bulk.nbarrier = c->bulk.nbox = c->bulk.ntaken = c->bulk.nmoved = 0;
    memset(c->wrote, 0, sizeof c->wrote);
    memset(c->stale, 0, sizeof c->stale);
    memset(c->loose, 0, sizeof c->loose);
    for (uint32_t t = 0; t < c->threads; t++) c->copies[t].n = c->copies[t].group = 0;
    c->left = c->nborn = c->threads;
    for (uint32_t t = 0; t < c->threads; t++) c->born[t] = t;
}

CUresult crew_go(Crew *c)
{
    while (c->left > 0 && (crew_can_go(c) || bulk_arrives(c)) && c->result == 0) {
        if (emu_draw(c->emu, c->nready + c->nborn) < c->nready) {
            set_thread(c, take(c, c->ready, &c->nready));
            resume(c, c->self);
        } else {
            begin(c, EMU_THREADS, c->stacks + (size_t)EMU_STACK * c->stack++);
        }
    }
    return c->result == 0 && c->left == 0 && c->bulk.nbox > 0 ? unfinished(c) : c->result;
}
