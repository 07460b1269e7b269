/* copy: bytes on their way between the host and the device, and how fast a device copies. What goes there is read at once, into
 * pinned memory of the queue, since a driver copies from anywhere else when it likes or makes the caller wait. What comes back goes
 * through pinned memory where it is little, as losses are; much of it the driver copies where it belongs, and the caller waits
 * anyway. Relies on parts.h. */
#include "parts.h"

/* Opens the next stage, which is free once all that lies in it was copied. */
static bool turn_stage(Queue *q, Status *st)
{
    Gpu *g = q->gpu;
    const CudaDriver *d = q->cuda.driver;
    Staging *was = &q->staging[q->now], *next = &q->staging[(q->now + 1) % STAGINGS];
    if (was->at && !gpu_ok(g, d->EventRecord(was->done, q->cuda.stream), st, "recording an event")) return false;
    was->used = was->at;
    if (!next->done && !gpu_ok(g, d->EventCreate(&next->done, CU_EVENT_DISABLE_TIMING), st, "an event")) return false;
    if (!next->at && !gpu_ok(g, d->MemHostAlloc(&next->at, STAGING, 0), st, "copies to it")) return next->at = NULL, false;
    if (next->used && !gpu_ok(g, d->EventSynchronize(next->done), st, "waiting for a copy")) return false;
    q->now = (q->now + 1) % STAGINGS;
    q->staged = 0;
    return true;
}

/* Pinned memory, to be copied from before anything else is asked for. NULL: st. */
static char *staged(Queue *q, size_t bytes, Status *st)
{
    if (!q->staging[q->now].at || STAGING - q->staged < bytes) {
        if (!turn_stage(q, st)) return NULL;
    }
    char *at = (char *)q->staging[q->now].at + q->staged;
    q->staged = MIN_OF((q->staged + bytes + 63) & ~(size_t)63, STAGING);
    return at;
}

bool gpu_put(CudaQueue *c, CUdeviceptr to, const void *from, size_t bytes, Status *st)
{
    Queue *q = (Queue *)c;
    for (size_t done = 0; done < bytes;) {
        const size_t n = MIN_OF(bytes - done, STAGING);
        char *at = staged(q, n, st);
        if (!at) return false;
        memcpy(at, (const char *)from + done, n);
        if (!gpu_ok(q->gpu, c->driver->MemcpyHtoDAsync(to + done, at, n, c->stream), st, "copying to it")) return false;
        done += n;
    }
    return true;
}

void gpu_arrived(Queue *q, uint64_t asked)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < q->outs; i++)
        if (q->out[i].asked <= asked)
            memcpy(q->out[i].to, q->out[i].from, q->out[i].bytes);
        else
            q->out[left++] = q->out[i];
    q->outs = left;
}

/* Room for what is to wait; NULL: none. Under the lock. */
static char *way(Queue *q, size_t bytes)
{
    const OnTheWay *last = q->outs != 0 ? &q->out[q->outs - 1] : NULL;
    const size_t used = last ? (size_t)(last->from + last->bytes - q->way + 63) & ~(size_t)63 : 0;
    if (q->outs == ON_THE_WAY_PIECES || bytes > ON_THE_WAY || used > ON_THE_WAY - bytes) return NULL;
    void *room = q->way;
    if (!room && q->cuda.driver->MemHostAlloc(&room, ON_THE_WAY, 0) != 0) return NULL;
    q->way = room;
    return q->way + used;
}

static bool get(Queue *q, void *to, const void *from, size_t bytes, Status *st)
{
    Gpu *g = q->gpu;
    pthread_mutex_lock(&g->lock);
    char *at = way(q, bytes);
    if (at) q->out[q->outs++] = (OnTheWay){to, at, bytes, UINT64_MAX};
    pthread_mutex_unlock(&g->lock);
    const CUresult e = q->cuda.driver->MemcpyDtoHAsync(at ? at : to, (CUdeviceptr)(uintptr_t)from, bytes, q->cuda.stream);
    const bool ok = gpu_ok(g, e, st, "copying from it");
    pthread_mutex_lock(&g->lock);
    if (at && ok) q->out[q->outs - 1].asked = atomic_load(&q->asked) + 1; /* nobody else adds to them */
    if (at && !ok) q->outs--;
    pthread_mutex_unlock(&g->lock);
    return ok;
}

bool gpu_copy(Queue *q, CopyWay way, void *to, const void *from, size_t bytes, Status *st)
{
    Gpu *g = q->gpu;
    if (!gpu_enter(g, st)) return false;
    const bool ok = bytes == 0       ? true
                    : way == COPY_IN ? gpu_put(&q->cuda, (CUdeviceptr)(uintptr_t)to, from, bytes, st)
                                     : get(q, to, from, bytes, st);
    if (ok) atomic_fetch_add(&q->asked, 1);
    gpu_leave(g);
    return ok;
}

/* ---- how fast --------------------------------------------------------------------------------------------- */

typedef struct Moves {
    Gpu *g;
    CUdeviceptr from, to;
    CUevent begin, end;
    size_t bytes, times;
    Status *st;
} Moves;

static bool open_moves(Moves *m)
{
    Gpu *g = m->g;
    const CudaDriver *d = g->own.driver;
    return cuda_take(&g->own, m->bytes, &m->from, m->st) && cuda_take(&g->own, m->bytes, &m->to, m->st) &&
           gpu_ok(g, d->EventCreate(&m->begin, 0), m->st, "an event") && gpu_ok(g, d->EventCreate(&m->end, 0), m->st, "an event");
}

static bool move_once(const Moves *m, double *rate)
{
    Gpu *g = m->g;
    const CudaDriver *d = g->own.driver;
    float ms = 0;
    bool ok = gpu_ok(g, d->EventRecord(m->begin, g->own.stream), m->st, "timing copies");
    for (size_t i = 0; i < m->times && ok; i++)
        ok = gpu_ok(g, d->MemcpyDtoDAsync(m->to, m->from, m->bytes, g->own.stream), m->st, "copying");
    ok = ok && gpu_ok(g, d->EventRecord(m->end, g->own.stream), m->st, "timing copies") &&
         gpu_ok(g, d->EventSynchronize(m->end), m->st, "timing copies") &&
         gpu_ok(g, d->EventElapsedTime(&ms, m->begin, m->end), m->st, "timing copies");
    if (ok) *rate = MAX_OF(*rate, 2.0 * (double)(m->bytes * m->times) / MAX_OF(1e-3 * (double)ms, 1e-9));
    return ok;
}

/* The best of some rounds, since others only ever take time away. */
bool gpu_moves(const Device *device, size_t bytes, double *rate, Status *st)
{
    enum { ROUNDS = 5, AT_ONCE = 4 << 20 };
    Gpu *g = (Gpu *)(uintptr_t)device;
    const CudaDriver *d = g->own.driver;
    Moves m = {.g = g, .bytes = bytes, .times = MAX_OF((size_t)AT_ONCE / bytes, (size_t)1), .st = st};
    *rate = 0;
    if (!gpu_enter(g, st)) return false;
    bool ok = open_moves(&m);
    for (int i = 0; i < ROUNDS && ok; i++) ok = move_once(&m, rate);
    if (m.begin) d->EventDestroy(m.begin);
    if (m.end) d->EventDestroy(m.end);
    if (m.from) gpu_late(g, cuda_give(&g->own, m.from));
    if (m.to) gpu_late(g, cuda_give(&g->own, m.to));
    gpu_leave(g);
    return ok;
}
