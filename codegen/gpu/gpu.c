/* gpu: a device's row: its queues, which are streams, the order between them, its memory, and programs. Relies on parts.h. */
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>

static Gpu *of(const Device *d) { return (Gpu *)(uintptr_t)d; }
static Gpu *of_memory(const BufferMemory *m) { return (Gpu *)(uintptr_t)((const char *)m - offsetof(Gpu, memory)); }

/* ---- queues ------------------------------------------------------------------------------------ */

/* One that was given back. Whoever comes when nobody has a queue has nothing to do with what went wrong before. Under the lock. */
static Queue *idle(Gpu *g)
{
    Queue *found = NULL;
    bool alone = true;
    for (Queue *q = g->queues; q; q = q->next)
        if (q->taken)
            alone = false;
        else
            found = q;
    if (alone) status_clear(&g->fault), atomic_store(&g->losses, 0);
    if (found) found->taken = true;
    return found;
}

static bool open_stream(Queue *q, Status *st)
{
    const CudaDriver *d = q->cuda.driver;
    return gpu_ok(q->gpu, d->StreamCreate(&q->cuda.stream, CU_STREAM_NON_BLOCKING), st, "a stream") &&
           gpu_ok(q->gpu, d->EventCreate(&q->passed, CU_EVENT_DISABLE_TIMING), st, "an event");
}

static Queue *queue_make(Gpu *g)
{
    Status st = {0};
    Queue *q = mem_zeros(1, sizeof *q);
    if (!q) return NULL;
    q->cuda = (CudaQueue){.driver = g->own.driver, .put = gpu_put, .launched = gpu_launched};
    q->gpu = g;
    q->taken = true;
    q->now = STAGINGS - 1;
    if (open_stream(q, &st)) return q;
    gpu_keep(g, &st);
    if (q->cuda.stream) g->own.driver->StreamDestroy(q->cuda.stream);
    mem_free(q, sizeof *q);
    return NULL;
}

static Queue *queue_take(const Device *d)
{
    Gpu *g = of(d);
    pthread_mutex_lock(&g->lock);
    Queue *q = idle(g);
    pthread_mutex_unlock(&g->lock);
    if (q || !gpu_enter(g, &(Status){0})) return q;
    q = queue_make(g);
    gpu_leave(g);
    if (!q) return NULL;
    pthread_mutex_lock(&g->lock);
    q->next = g->queues;
    q->number = g->queues ? g->queues->number + 1 : 1;
    g->queues = q;
    pthread_mutex_unlock(&g->lock);
    return q;
}

static void sync_queue(Queue *q)
{
    Gpu *g = q->gpu;
    const uint64_t asked = atomic_load(&q->asked), launches = atomic_load(&q->launches);
    const CUresult e = q->cuda.driver->StreamSynchronize(q->cuda.stream);
    gpu_lose(g, e);
    pthread_mutex_lock(&g->lock);
    gpu_arrived(q, asked);
    if (e == 0 && atomic_load(&q->done) < asked) atomic_store(&q->done, asked);
    if (e == 0 && atomic_load(&q->finished) < launches) atomic_store(&q->finished, launches);
    pthread_mutex_unlock(&g->lock);
}

static void sync_with(const Device *d, Queue *q)
{
    Gpu *g = of(d);
    if (!gpu_enter(g, &(Status){0})) return;
    pthread_mutex_lock(&g->lock);
    Queue *all = g->queues; /* new ones come before the first */
    pthread_mutex_unlock(&g->lock);
    if (q)
        sync_queue(q);
    else
        for (; all; all = all->next) sync_queue(all);
    gpu_leave(g);
}

static void queue_done(Queue *q)
{
    Gpu *g = q->gpu;
    sync_with(&g->row, q);
    pthread_mutex_lock(&g->lock);
    q->taken = false;
    pthread_mutex_unlock(&g->lock);
}

/* ---- the order between queues ------------------------------------------------------------------ */

static Event record(Queue *q) { return (Event){q, atomic_load(&q->asked)}; }

/* Where q notes how far it waits for the other; an older note gives way. */
static Event *waited_for(Queue *q, const Queue *other)
{
    Event *least = &q->waited[0];
    for (size_t i = 0; i < COUNT_OF(q->waited); i++) {
        if (q->waited[i].queue == other) return &q->waited[i];
        if (q->waited[i].at < least->at) least = &q->waited[i];
    }
    return least;
}

/* One event of a queue serves all who wait for it, since a wait is for what was recorded when it was asked for. */
static CUresult wait_now(Queue *q, Event e)
{
    const CudaDriver *d = q->cuda.driver;
    Queue *other = e.queue;
    Event *waited = waited_for(q, other);
    if (waited->queue == other && waited->at >= e.at) return 0;
    if (other->recorded < e.at) {
        const uint64_t asked = atomic_load(&other->asked);
        const CUresult failed = d->EventRecord(other->passed, other->cuda.stream);
        if (failed) return failed;
        other->recorded = asked;
    }
    const CUresult failed = d->StreamWaitEvent(q->cuda.stream, other->passed, 0);
    if (!failed) *waited = (Event){other, other->recorded};
    return failed;
}

static bool wait_for(Queue *q, Event e, Status *st)
{
    Gpu *g = q->gpu;
    if (e.queue == q || e.at == 0) return true;
    if (!gpu_enter(g, st)) return false;
    const bool ok = gpu_ok(g, wait_now(q, e), st, "waiting for another queue");
    gpu_leave(g);
    return ok;
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* It is there for any queue when this returns. */
static void *alloc(const BufferMemory *m, size_t bytes, size_t align)
{
    Gpu *g = of_memory(m);
    const CudaDriver *d = g->own.driver;
    CUdeviceptr at = 0;
    Status st = {0};
    (void)align; /* the driver's blocks are aligned for all that a kernel loads at once */
    if (!gpu_enter(g, &st)) return NULL;
    bool ok = cuda_take(&g->own, bytes, &at, &st) || gpu_failed(g, &st);
    if (ok && !gpu_ok(g, d->StreamSynchronize(g->own.stream), &st, "waiting for memory")) {
        gpu_late(g, cuda_give(&g->own, at));
        ok = false;
    }
    if (!ok) gpu_keep(g, &st);
    gpu_leave(g);
    return ok ? (void *)(uintptr_t)at : NULL;
}

/* With a context that died all its memory is gone. */
static void release(const BufferMemory *m, void *data, size_t bytes, size_t align, Queue *last)
{
    Gpu *g = of_memory(m);
    (void)bytes, (void)align;
    if (!gpu_enter(g, &(Status){0})) return;
    gpu_late(g, cuda_give(last ? &last->cuda : &g->own, (CUdeviceptr)(uintptr_t)data));
    if (last) atomic_fetch_add(&last->asked, 1);
    gpu_leave(g);
}

/* ---- programs ---------------------------------------------------------------------------------- */

static int32_t launch(Queue *q, const Launch *l, Status *st)
{
    Gpu *g = q->gpu;
    const CudaCall call = {.buf = l->buf, .dim = l->dim, .work = l->work, .host = l->host, .counts = l->counts, .at = l->at};
    if (!gpu_enter(g, st)) return -1;
    int32_t rc = cuda_run(l->compiled, &q->cuda, &call, st);
    atomic_fetch_add(&q->asked, 1);
    if (rc < 0) gpu_failed(g, st);
    if (l->now && rc == 0) {
        const uint64_t mark = gpu_mark(q);
        sync_queue(q);
        if (gpu_lost(&g->row, mark, st)) rc = -1;
    }
    gpu_leave(g);
    return rc;
}

/* ---- cards ------------------------------------------------------------------------------------- */

uint32_t gpu_cards(Status *st) { return (uint32_t)cuda_devices(st); }
void gpu_card_text(uint32_t ordinal, char *text, size_t cap) { cuda_device_text((int)ordinal, text, cap); }
const CudaDriver *gpu_card(uint32_t ordinal, Status *st) { return cuda_driver((int)ordinal, st); }

const CudaDriver *gpu_architecture(const char *name, Arena *arena, Status *st)
{
    const size_t n = strncmp(name, "sm_", 3) == 0 ? strspn(name + 3, "0123456789") : 0;
    const int sm = n == 2 || n == 3 ? (int)strtol(name + 3, NULL, 10) : 0;
    const bool own = strcmp(name, "sm_90a") == 0;
    if (sm == 0 || (name[3 + n] && !own))
        return status_fail(st, ST_VALUE, "\"%.40s\" is no architecture, such as sm_90 or sm_90a", name), NULL;
    if (!cuda_architecture(sm, st)) return NULL;
    CudaDriver *d = ARENA_ARRAY(arena, CudaDriver, 1);
    d->build = nvrtc_build;
    d->compiler = nvrtc_compiler;
    d->capability = sm;
    d->own = own;
    d->together = 1; /* a card; how many processors it has is asked where the code runs */
    snprintf(d->device, sizeof d->device, "%s", name);
    return d;
}

/* ---- a device ---------------------------------------------------------------------------------- */

const Device *gpu_open(const CudaDriver *d, const char *name, uint8_t number, Status *st)
{
    Gpu *g = mem_zeros(1, sizeof *g);
    if (!g) return status_fail(st, ST_MEMORY, "no memory for %s", name), NULL;
    snprintf(g->name, sizeof g->name, "%s", name);
    g->own = (CudaQueue){.driver = d, .put = gpu_put};
    g->memory = (BufferMemory){.device = number, .alloc = alloc, .free = release};
    g->row = (Device){.memory = &g->memory,
        .name = g->name,
        .backend = "cuda",
        .there = d,
        .queue = queue_take,
        .queue_done = queue_done,
        .copy = gpu_copy,
        .ready = gpu_ready,
        .op = gpu_op,
        .unready = gpu_unready,
        .launch = launch,
        .record = record,
        .wait = wait_for,
        .sync = sync_with,
        .moves = gpu_moves,
        .fault = gpu_fault,
        .mark = gpu_mark,
        .lost = gpu_lost};
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->codes.lock, NULL);
    pthread_cond_init(&g->codes.made, NULL);
    if (gpu_enter(g, st)) {
        const bool ok = gpu_ok(g, d->StreamCreate(&g->own.stream, CU_STREAM_NON_BLOCKING), st, "a stream");
        gpu_leave(g);
        if (ok) return &g->row;
    }
    mem_free(g, sizeof *g);
    return NULL;
}
