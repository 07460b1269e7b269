/* replay: which programs are recorded. What was recorded of one is kept, a recording for each vector of sizes, and replayed. One
 * thread at a time sets the addresses of a recording and launches it; the driver puts launches of one graph in order, whatever
 * streams they are in. Relies on record.c. */
#include <pthread.h>

#include "run.h"

uint32_t record_least = 4;

/* ---- which programs -------------------------------------------------------------------------- */

static uint32_t launches(const Step *s, uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += (s[i].kind == STEP_KERNEL && !s[i].ends) || s[i].kind == STEP_CONTRACT || s[i].kind == STEP_COPY;
        for (uint32_t k = 0; k < s[i].nblock; k++) sum += launches(s[i].block[k].step, s[i].block[k].n);
    }
    return sum;
}

/* Whether the host takes part in none of the steps, but for looking at an assertion that did not hold. It does where a product may
 * go to a BLAS, which takes addresses, not places of addresses. */
static bool runs_alone(const Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if ((s[i].kind == STEP_EFFECT && s[i].effect.op != OP_assert) || s[i].kind == STEP_HOST || s[i].kind == STEP_SIZE)
            return false;
        if (s[i].kind == STEP_CONTRACT && s[i].contract.blas) return false;
        for (uint32_t k = 0; k < s[i].nblock; k++)
            if (!runs_alone(s[i].block[k].step, s[i].block[k].n)) return false;
    }
    return true;
}

bool cuda_records(const Program *p, const CudaDriver *d)
{
    bool needs[CONTROLS];
    if (!d || !cuda_has_graphs(d) || p->nstack != 0 || !runs_alone(p->step, p->nstep)) return false;
    control_needs(p, needs);
    return control_turns(needs) ? cuda_has_conditionals(d) : launches(p->step, p->nstep) >= record_least;
}

/* ---- a call's addresses ---------------------------------------------------------------------- */

CUDA_KERNEL_NODE_PARAMS cuda_place(const Compiled *c, Recording *r, uint32_t number, const CudaCall *call, PlaceArgs *a)
{
    const Program *p = c->p;
    const uint32_t all = p->ninput + p->noutput, most = control_places(p), left = all - number * most;
    a->from = number * most;
    a->n = MIN_OF(left, most);
    a->to = left < most ? p->buf.len : 0;
    for (uint32_t i = 0; i < a->n; i++) a->at[i] = (uint64_t)(uintptr_t)call->buf[a->from + i];
    if (left < most) a->at[a->n] = (uint64_t)(uintptr_t)call->work;
    uint32_t n = 0;
    void *const arg[] = {&r->table, &r->offset, &r->failed, &a->from, &a->n, &a->to};
    for (; n < COUNT_OF(arg); n++) a->arg[n] = arg[n];
    if (c->maps) a->arg[n++] = &r->maps, a->arg[n++] = &r->nmap;
    a->arg[n] = a->at;
    return (CUDA_KERNEL_NODE_PARAMS){.func = c->control[C_PLACE],
        .gridDimX = 1,
        .gridDimY = 1,
        .gridDimZ = 1,
        .blockDimX = CUDA_BLOCK,
        .blockDimY = 1,
        .blockDimZ = 1,
        .kernelParams = a->arg,
        .ctx = c->driver->context};
}

/* ---- what is kept ---------------------------------------------------------------------------- */

#define KEPT 8 /* recordings of a program; the one that was not used for longest gives way */

typedef struct Recordings {
    pthread_mutex_t lock;
    Recording at[KEPT];
    uint32_t n;
    uint64_t clock;
} Recordings;

Recordings *cuda_recordings(void)
{
    Recordings *all = mem_zeros(1, sizeof *all);
    if (all) pthread_mutex_init(&all->lock, NULL);
    return all;
}

void cuda_recordings_free(Compiled *c)
{
    Recordings *all = c->recordings;
    if (!all) return;
    while (all->n > 0) cuda_record_free(c, &all->at[--all->n]);
    pthread_mutex_destroy(&all->lock);
    mem_free(all, sizeof *all);
    c->recordings = NULL;
}

/* Room for one more. What gives way may still run, so the device is waited for. */
static Recording *room(const Compiled *c, Status *st)
{
    Recordings *all = c->recordings;
    if (all->n < KEPT) return &all->at[all->n];
    if (!cuda_ok(c->driver, c->driver->CtxSynchronize(), st, "waiting for an older recording")) return NULL;
    Recording *oldest = all->at;
    for (Recording *r = all->at; r < all->at + KEPT; r++)
        if (r->used < oldest->used) oldest = r;
    cuda_record_free(c, oldest);
    *oldest = all->at[--all->n];
    return &all->at[all->n];
}

/* Under the lock. NULL: st. */
static Recording *find_or_record(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st)
{
    Recordings *all = c->recordings;
    const int64_t *dim = call->dim;
    const size_t bytes = c->p->symbol.len * sizeof *dim;
    for (uint32_t i = 0; i < all->n; i++)
        if (bytes == 0 || memcmp(all->at[i].symbol, dim, bytes) == 0) return &all->at[i];
    Recording *r = room(c, st);
    if (!r || !cuda_record(c, q, dim, r, st)) return NULL;
    all->n++;
    if (call->counts) atomic_fetch_add(&call->counts->recorded, 1);
    return r;
}

static bool launch(const Compiled *c, CudaQueue *q, Recording *r, const CudaCall *call, Status *st)
{
    const CudaDriver *d = c->driver;
    PlaceArgs a;
    for (uint32_t i = 0; i < r->nplace; i++) {
        const CUDA_KERNEL_NODE_PARAMS p = cuda_place(c, r, i, call, &a);
        if (!cuda_ok(d, d->GraphExecKernelNodeSetParams(r->exec, r->place[i], &p), st, "setting the addresses of a call"))
            return false;
    }
    return cuda_ok(d, d->GraphLaunch(r->exec, q->stream), st, "launching a graph of %u nodes", r->nodes);
}

/* What the program ended with, before another launch writes there. */
static int32_t ended(const Compiled *c, CudaQueue *q, const CudaCall *call, const Recording *r, Status *st)
{
    const CudaDriver *d = c->driver;
    int64_t code = 0;
    const bool ok = cuda_ok(d, d->MemcpyDtoHAsync(&code, r->failed, sizeof code, q->stream), st, "reading how a program ended") &&
                    cuda_ok(d, d->StreamSynchronize(q->stream), st, "reading how a program ended");
    if (!ok || code < CONTROL_ASSERTED) return ok ? (int32_t)code : -1;
    return cuda_asserted(c, q, call, r, code, st);
}

static int32_t replay(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st)
{
    Recordings *all = c->recordings;
    pthread_mutex_lock(&all->lock);
    Recording *r = find_or_record(c, q, call, st);
    const bool ok = r && launch(c, q, r, call, st);
    if (ok) {
        r->used = ++all->clock;
        if (call->counts) atomic_fetch_add(&call->counts->replayed, 1);
        if (q->launched) q->launched(q, "the graph", c->p->name, call->at);
    }
    const int32_t code = !ok ? -1 : c->p->may_fail ? ended(c, q, call, r, st) : 0;
    pthread_mutex_unlock(&all->lock);
    return code;
}

int32_t cuda_replay(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st)
{
    CudaCall now = *call;
    CUdeviceptr work = 0;
    if (call->work || c->p->workspace == 0) return replay(c, q, call, st);
    int64_t size[program_sizes(c->p) + 1];
    program_measure(c->p, call->dim, size);
    if (size[0] == 0) return replay(c, q, call, st);
    if (!cuda_take(q, (size_t)size[0], &work, st)) return -1;
    now.work = (void *)(uintptr_t)work;
    const int32_t code = replay(c, q, &now, st);
    return cuda_ok(c->driver, cuda_give(q, work), st, "freeing memory") ? code : -1;
}
