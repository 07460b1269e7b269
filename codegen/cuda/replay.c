/* replay: what was recorded of a program is kept, a recording for each vector of sizes, and replayed. One thread at a time sets the
 * addresses of a recording and launches it; the driver puts launches of one graph in order, whatever streams they are in. Relies on
 * record.c. */
#include <pthread.h>

#include "run.h"

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
