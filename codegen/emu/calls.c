/* calls: the functions of the driver that work: modules, memory, streams, events, launches. Relies on driver.c for which device,
 * and on memory.c, queue.c, module.c. */
#include "emulated.h"

/* ---- modules ------------------------------------------------------------------------------------------------------ */
static CUresult module_load(CUmodule *m, const void *image)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    return e ? emu_leave(e, image_load(e, image, m)) : r;
}

bool module_known(const Emu *e, CUmodule m)
{
    CUmodule known = e->module;
    while (known && known != m) known = known->next;
    return known;
}

static CUresult module_unload(CUmodule m)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!module_known(e, m)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    emu_drain(e);
    image_unload(m);
    return emu_leave(e, 0);
}

static CUresult module_function(CUfunction *f, CUmodule m, const char *name)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    r = module_known(e, m) ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_HANDLE;
    for (uint32_t i = 0; r == CUDA_ERROR_NOT_FOUND && i < m->n; i++)
        if (strcmp(m->is->kernel[i].name, name) == 0) *f = &m->function[i], r = 0;
    return emu_leave(e, r);
}

bool grid_fits(const Grid *g)
{
    const uint64_t blocks = (uint64_t)g->grid.x * g->grid.y * g->grid.z, threads = (uint64_t)g->block.x * g->block.y * g->block.z;
    return blocks != 0 && threads != 0 && threads <= 1024 && g->grid.y <= 65535 && g->grid.z <= 65535;
}

CUresult grid_together(const Emu *e, const Grid *g)
{
    const uint64_t most = (uint64_t)e->calls.together * emu_at_once(g->block.x * g->block.y * g->block.z);
    if (!g->together) return 0;
    if (most == 0) return CUDA_ERROR_NOT_SUPPORTED;
    return (uint64_t)g->grid.x * g->grid.y * g->grid.z > most ? CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE : 0;
}

static CUresult launch_grid(CUfunction f, const Grid *g, CUstream s, void **params)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!grid_fits(g))
        r = CUDA_ERROR_INVALID_VALUE;
    else if (!f || !module_known(e, f->module) || !stream_known(e, &s))
        r = CUDA_ERROR_INVALID_HANDLE;
    else
        r = shared_fits(g, f) ? grid_together(e, g) : CUDA_ERROR_INVALID_VALUE;
    return emu_leave(e, r != 0 ? r : ask_launch(s, f, g, params));
}

static CUresult launch(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    CUstream s, void **params, void **extra)
{
    const Grid g = {.grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared};
    return extra ? CUDA_ERROR_INVALID_VALUE : launch_grid(f, &g, s, params);
}

static CUresult launch_together(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned shared, CUstream s, void **params)
{
    const Grid g = {.grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared = shared, .together = true};
    return launch_grid(f, &g, s, params);
}

static CUresult occupancy(int *n, CUfunction f, int threads, size_t shared)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!f || !module_known(e, f->module)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    if (threads < 1 || threads > 1024 || shared > EMU_SHARED_MOST) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    *n = (int)emu_at_once((unsigned)threads);
    return emu_leave(e, 0);
}

static CUresult set_attribute(CUfunction f, int attribute, int value)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!f || !module_known(e, f->module))
        r = CUDA_ERROR_INVALID_HANDLE;
    else if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value > EMU_SHARED_MOST)
        r = CUDA_ERROR_INVALID_VALUE;
    else
        f->shared = (unsigned)value;
    return emu_leave(e, r);
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */
/* What streams have still to free may make room. */
static CUresult alloc(Emu *e, size_t bytes, bool born, CUdeviceptr *at)
{
    CUresult r = heap_alloc(e, bytes, born, at);
    if (r != CUDA_ERROR_OUT_OF_MEMORY || e->pending == 0) return r;
    emu_drain(e);
    return heap_alloc(e, bytes, born, at);
}

static CUresult mem_alloc_now(CUdeviceptr *at, size_t bytes)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    return e ? emu_leave(e, alloc(e, bytes, true, at)) : r;
}

static CUresult mem_alloc_late(CUdeviceptr *at, size_t bytes, CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    r = alloc(e, bytes, false, at);
    if (r == 0 && (r = ask_born(s, *at)) != 0) heap_free(e, *at);
    return emu_leave(e, r);
}

static CUresult mem_free_now(CUdeviceptr at)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    const Block *b = heap_block(e, at);
    if (!b || b->going) return emu_leave(e, at == 0 ? 0 : CUDA_ERROR_INVALID_VALUE);
    emu_drain(e);
    return emu_leave(e, e->dead ? 0 : heap_free(e, at));
}

static CUresult mem_free_late(CUdeviceptr at, CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    Block *b = heap_block(e, at);
    if (!b || b->going) return emu_leave(e, at == 0 ? 0 : CUDA_ERROR_INVALID_VALUE);
    if (!stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    b->going = true;
    r = ask_free(s, at);
    if (r != 0) b->going = false; /* nothing was noted, so the block is where it was */
    return emu_leave(e, r);
}

static CUresult mem_info(size_t *free_bytes, size_t *total)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    *total = e->heap.total;
    *free_bytes = e->heap.total - e->heap.used;
    return emu_leave(e, 0);
}

static CUresult host_alloc(void **at, size_t bytes, unsigned flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    (void)flags; /* which other devices see it, and how: all of them do */
    return emu_leave(e, pinned_alloc(e, bytes, at));
}

static CUresult host_free(void *at)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    emu_drain(e);
    return emu_leave(e, pinned_free(e, at));
}

/* ---- copies ------------------------------------------------------------------------------------------------------- */
/* What the three kinds of copies share: NULL is no device memory. A copy that is not late is one of the stream without a name that
 * is waited for. */
typedef struct Copy {
    CUdeviceptr to, from;
    void *host_to;
    const void *host_from;
    size_t bytes;
} Copy;

static CUresult copy(const Copy *c, CUstream s, bool now)
{
    CUresult r = 0;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    if ((!c->host_to && !heap_around(e, c->to, c->bytes)) || (!c->host_from && !heap_around(e, c->from, c->bytes)))
        return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    if (c->bytes == 0)
        r = 0;
    else if (c->host_to)
        r = ask_copy_out(s, c->host_to, c->from, c->bytes);
    else if (c->host_from)
        r = ask_copy_in(s, c->to, c->host_from, c->bytes);
    else
        r = ask_copy(s, c->to, c->from, c->bytes);
    if (now) stream_drain(s, s->asked);
    return emu_leave(e, r);
}

static CUresult copy_in(CUdeviceptr to, const void *from, size_t n)
{
    return copy(&(Copy){.to = to, .host_from = from, .bytes = n}, NULL, true);
}
static CUresult copy_out(void *to, CUdeviceptr from, size_t n)
{
    return copy(&(Copy){.host_to = to, .from = from, .bytes = n}, NULL, true);
}
static CUresult copy_inside(CUdeviceptr to, CUdeviceptr from, size_t n)
{
    return copy(&(Copy){.to = to, .from = from, .bytes = n}, NULL, false);
}
static CUresult copy_in_late(CUdeviceptr to, const void *from, size_t n, CUstream s)
{
    return copy(&(Copy){.to = to, .host_from = from, .bytes = n}, s, false);
}
static CUresult copy_out_late(void *to, CUdeviceptr from, size_t n, CUstream s)
{
    return copy(&(Copy){.host_to = to, .from = from, .bytes = n}, s, false);
}
static CUresult copy_inside_late(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s)
{
    return copy(&(Copy){.to = to, .from = from, .bytes = n}, s, false);
}

static CUresult fill_late(CUdeviceptr to, unsigned word, size_t n, CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    if (to % sizeof word != 0 || !heap_around(e, to, n * sizeof word)) return emu_leave(e, CUDA_ERROR_INVALID_VALUE);
    return emu_leave(e, n == 0 ? 0 : ask_fill(s, to, word, n));
}

/* ---- streams and events ------------------------------------------------------------------------------------------- */
/* Streams of the other kind wait for the stream without a name, which Kiln has no use for. */
static CUresult stream_create(CUstream *s, unsigned flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (flags != CU_STREAM_NON_BLOCKING) return emu_leave(e, CUDA_ERROR_NOT_SUPPORTED);
    CUstream made = stream_take(e);
    if (made) *s = made;
    return emu_leave(e, made ? 0 : CUDA_ERROR_OUT_OF_MEMORY);
}

/* What it was asked for is done first, which it need not be, but may. */
static CUresult stream_destroy(CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!s || s == e->null || !stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    stream_drain(s, s->asked);
    s->taken = false;
    return emu_leave(e, 0);
}

static CUresult stream_sync(CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    stream_drain(s, s->asked);
    return emu_leave(e, 0);
}

static CUresult stream_wait(CUstream s, CUevent v, unsigned flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!event_known(e, v) || !stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    return emu_leave(e, flags != 0 ? CUDA_ERROR_INVALID_VALUE : ask_wait(s, v));
}

static CUresult ctx_sync(void)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    emu_drain(e);
    return emu_leave(e, 0);
}

static CUresult event_create(CUevent *v, unsigned flags)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    CUevent made = event_take(e);
    if (made) made->timed = !(flags & CU_EVENT_DISABLE_TIMING), *v = made;
    return emu_leave(e, made ? 0 : CUDA_ERROR_OUT_OF_MEMORY);
}

static CUresult event_destroy(CUevent v)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!event_known(e, v)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    v->taken = false;
    return emu_leave(e, 0);
}

static CUresult event_record(CUevent v, CUstream s)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!event_known(e, v) || !stream_known(e, &s)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    v->stream = s;
    v->at = s->asked;
    v->when = s->busy;
    return emu_leave(e, 0);
}

/* Something goes on meanwhile, so that who asks again and again comes to an end. */
static CUresult event_query(CUevent v)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!event_known(e, v)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    r = event_happened(v) ? 0 : CUDA_ERROR_NOT_READY;
    if (r != 0) emu_some(e, 2);
    return emu_leave(e, r);
}

static CUresult event_sync(CUevent v)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!event_known(e, v)) return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    if (v->stream) stream_drain(v->stream, v->at);
    return emu_leave(e, 0);
}

/* What the streams' work took in between. */
static CUresult event_elapsed(float *ms, CUevent from, CUevent to)
{
    CUresult r;
    Emu *e = emu_enter(&r);
    if (!e) return r;
    if (!event_known(e, from) || !event_known(e, to) || !from->timed || !to->timed || !from->stream || !to->stream)
        return emu_leave(e, CUDA_ERROR_INVALID_HANDLE);
    if (!event_happened(from) || !event_happened(to)) return emu_leave(e, CUDA_ERROR_NOT_READY);
    *ms = (float)(1e3 * (to->when - from->when));
    return emu_leave(e, 0);
}

void emu_calls(CudaDriver *d)
{
    d->ModuleLoadData = module_load;
    d->ModuleUnload = module_unload;
    d->ModuleGetFunction = module_function;
    d->FuncSetAttribute = set_attribute;
    d->LaunchKernel = launch;
    d->LaunchCooperativeKernel = launch_together;
    d->OccupancyMaxActiveBlocks = occupancy;
    d->MemsetD32Async = fill_late;
    d->MemAlloc = mem_alloc_now;
    d->MemFree = mem_free_now;
    d->MemAllocAsync = mem_alloc_late;
    d->MemFreeAsync = mem_free_late;
    d->MemGetInfo = mem_info;
    d->MemHostAlloc = host_alloc;
    d->MemFreeHost = host_free;
    d->MemcpyHtoD = copy_in;
    d->MemcpyDtoH = copy_out;
    d->MemcpyDtoD = copy_inside;
    d->MemcpyHtoDAsync = copy_in_late;
    d->MemcpyDtoHAsync = copy_out_late;
    d->MemcpyDtoDAsync = copy_inside_late;
    d->StreamCreate = stream_create;
    d->StreamDestroy = stream_destroy;
    d->StreamSynchronize = stream_sync;
    d->StreamWaitEvent = stream_wait;
    d->CtxSynchronize = ctx_sync;
    d->EventCreate = event_create;
    d->EventDestroy = event_destroy;
    d->EventRecord = event_record;
    d->EventQuery = event_query;
    d->EventSynchronize = event_sync;
    d->EventElapsedTime = event_elapsed;
}
