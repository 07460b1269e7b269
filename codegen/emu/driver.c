/* driver: the table of functions of emulated devices, and which device a thread works on. Each call takes the device's lock; one
 * that was told to fail, or that comes after an error which killed the context, does nothing else. Relies on memory.c, queue.c,
 * module.c. */
#include "bulk.h"
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static Emu device[EMU_DEVICES];
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static bool apart;      /* no launch is cooperative */
static int version_now; /* of the driver; 0: nobody has asked yet */

/* ---- which device, and whether it answers ------------------------------------------------------------------------- */
#define NESTED 32
static _Thread_local struct {
    Emu *at[NESTED];
    uint32_t n;
} current;

static bool kills(CUresult e) { return e >= 700 && e < 720; }

/* Takes the device's lock, or is NULL and *r says why. A child that fork made has no device, as with CUDA: memory and lock would be
 * its parent's. */
static Emu *enter_on(Emu *e, CUresult *r)
{
    *r = CUDA_ERROR_NOT_INITIALIZED;
    if (e->owner != getpid()) return NULL;
    pthread_mutex_lock(&e->lock);
    *r = e->dead;
    if (++e->called == e->fail_at && *r == 0) {
        *r = e->fail_with;
        if (kills(*r)) e->dead = *r;
        e->about = *r;
        snprintf(e->fault, sizeof e->fault, "call %llu was told to fail", (unsigned long long)e->called);
    }
    if (*r == 0) return e;
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

Emu *emu_enter(CUresult *r)
{
    *r = CUDA_ERROR_INVALID_CONTEXT;
    return current.n > 0 ? enter_on(current.at[current.n - 1], r) : NULL;
}

/* What ran meanwhile may have ended the device. */
CUresult emu_leave(Emu *e, CUresult r)
{
    heap_close(&e->heap);
    if (e->dead != 0) r = e->dead;
    pthread_mutex_unlock(&e->lock);
    return r;
}

static CUresult ctx_push(CUcontext c)
{
    CUresult r = CUDA_ERROR_INVALID_CONTEXT;
    if (!c || current.n == NESTED) return r;
    Emu *e = enter_on(c, &r);
    if (!e) return r;
    current.at[current.n++] = e;
    return emu_leave(e, 0);
}

static CUresult ctx_pop(CUcontext *c)
{
    if (current.n == 0) return CUDA_ERROR_INVALID_CONTEXT;
    *c = current.at[--current.n];
    return 0;
}

static CUresult ctx_retain(CUcontext *c, CUdevice d)
{
    if (d < 0 || d >= EMU_DEVICES) return CUDA_ERROR_INVALID_DEVICE;
    *c = &device[d];
    return 0;
}

static CUresult ctx_release(CUdevice d) { return d < 0 || d >= EMU_DEVICES ? CUDA_ERROR_INVALID_DEVICE : 0; }

/* ---- what it is --------------------------------------------------------------------------------------------------- */
static CUresult init(unsigned flags) { return flags == 0 ? 0 : CUDA_ERROR_INVALID_VALUE; }
static CUresult get_version(int *version) { return *version = version_now, 0; }
static CUresult count(int *n) { return *n = EMU_DEVICES, 0; }

static CUresult get(CUdevice *d, int ordinal)
{
    if (ordinal < 0 || ordinal >= EMU_DEVICES) return CUDA_ERROR_INVALID_DEVICE;
    *d = ordinal;
    return 0;
}

static CUresult get_name(char *name, int cap, CUdevice d)
{
    if (d < 0 || d >= EMU_DEVICES) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)cap, "an emulated device, %d of %d", d, EMU_DEVICES);
    return 0;
}

/* 0: what the environment says is none. */
static int architecture(void)
{
    const char *sm = getenv("KILN_EMU_SM");
    if (!sm || !*sm) return EMU_SM;
    const size_t digits = strspn(sm, "0123456789");
    return sm[digits] || digits < 2 || digits > 3 ? 0 : atoi(sm);
}

static CUresult get_attribute(int *value, int attribute, CUdevice d)
{
    static const struct {
        int attribute, value;
        /* threads of a block, its shared bytes, lanes */
    } known[] = {{1, 1024}, {8, 48 << 10}, {10, 32}, {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, EMU_PROCESSORS}};
    if (d < 0 || d >= EMU_DEVICES) return CUDA_ERROR_INVALID_DEVICE;
    const int sm = device[d].there ? device[d].calls.capability : architecture();
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) return *value = sm / 10, 0;
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) return *value = sm % 10, 0;
    if (attribute == CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH) return *value = !apart, 0;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].attribute == attribute) return *value = known[i].value, 0;
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult total_memory(size_t *bytes, CUdevice d)
{
    if (d < 0 || d >= EMU_DEVICES) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = device[d].heap.total;
    return 0;
}

static const struct {
    CUresult error;
    const char *name, *text;
} errors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_OPERATING_SYSTEM, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

static CUresult error_name(CUresult e, const char **text)
{
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (errors[i].error == e) return *text = errors[i].name, 0;
    return CUDA_ERROR_INVALID_VALUE;
}

/* Where the thread's device knows more, that. */
static CUresult error_text(CUresult e, const char **text)
{
    Emu *on = current.n > 0 ? current.at[current.n - 1] : NULL;
    if (e != 0 && on && on->owner == getpid()) {
        pthread_mutex_lock(&on->lock);
        const bool known = on->about == e;
        pthread_mutex_unlock(&on->lock);
        if (known) return *text = on->fault, 0;
    }
    for (size_t i = 0; i < COUNT_OF(errors); i++)
        if (errors[i].error == e) return *text = errors[i].text, 0;
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */
/* A number of bytes; K, M or G may follow. 0: it is none. */
static size_t bytes_of(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    const char *unit = *end ? strchr("KMG", *end) : NULL;
    const unsigned shift = !unit ? 0 : 10 * (unsigned)(1 + strcspn("KMG", unit));
    if (end == text || (*end && (!unit || end[1])) || n > (uint64_t)1 << (44 - shift)) return 0;
    return (size_t)n << shift;
}

static void set_seed(Emu *e, uint64_t seed) { e->seed = seed * 0x9e3779b97f4a7c15u + (uint64_t)(e - device) + 1; }

/* What such a driver has. */
static void set_version(Emu *e)
{
    e->calls.version = version_now;
    graph_calls(&e->calls, version_now >= 12000, version_now >= 12040);
    e->calls.TensorMapEncodeTiled = version_now >= 12000 ? emu_map_encode : NULL;
}

static void set_architecture(Emu *e, int sm)
{
    e->calls.capability = sm;
    e->calls.own = sm + CUDA_OWN == CUDA_SM_90A;
}

static bool open_device(Emu *e, int ordinal, Status *st)
{
    const char *version = getenv("KILN_EMU_DRIVER");
    const char *memory = getenv("KILN_EMU_MEMORY"), *seed = getenv("KILN_EMU_SEED");
    if (!emu_compiles(st)) return false;
    e->heap.total = memory && *memory ? bytes_of(memory) : (size_t)1 << 30;
    if (e->heap.total == 0) return status_fail(st, ST_VALUE, "KILN_EMU_MEMORY=%.40s is no number of bytes (64M, 2G)", memory);
    if (architecture() < 30)
        return status_fail(st, ST_VALUE, "KILN_EMU_SM=%.40s is no compute capability (80, 90)", getenv("KILN_EMU_SM"));
    const char *alone = getenv("KILN_EMU_APART");
    apart |= alone && *alone && strcmp(alone, "0") != 0;
    if (version_now == 0) version_now = version && *version ? atoi(version) : EMU_NEWEST;
    set_seed(e, seed ? strtoull(seed, NULL, 10) : 1);
    pthread_mutex_init(&e->lock, NULL);
    e->owner = getpid();
    CudaDriver *d = &e->calls;
    *d = (CudaDriver){.Init = init,
        .DriverGetVersion = get_version,
        .GetErrorName = error_name,
        .GetErrorString = error_text,
        .DeviceGetCount = count,
        .DeviceGet = get,
        .DeviceGetName = get_name,
        .DeviceGetAttribute = get_attribute,
        .DeviceTotalMem = total_memory,
        .DevicePrimaryCtxRetain = ctx_retain,
        .DevicePrimaryCtxRelease = ctx_release,
        .CtxPushCurrent = ctx_push,
        .CtxPopCurrent = ctx_pop,
        .build = emu_build,
        .compiler = emu_compiler,
        .store = emu_store,
        .no_blas = "an emulated device has no cuBLASLt (KILN_CUBLASLT=FILE names one that knows its memory)",
        .ordinal = ordinal,
        .together = apart ? 0 : EMU_PROCESSORS,
        .bodies = true,
        .context = e};
    emu_calls(d);
    set_version(e);
    set_architecture(e, architecture());
    emu_store();
    get_name(d->device, sizeof d->device, ordinal);
    return true;
}

const CudaDriver *emu_driver(int ordinal, Status *st)
{
    if (ordinal < 0 || ordinal >= EMU_DEVICES) {
        status_fail(st, ST_DEVICE, "emu: there is no device %d: there are %d", ordinal, EMU_DEVICES);
        return NULL;
    }
    Emu *e = &device[ordinal];
    pthread_mutex_lock(&opening);
    e->there = e->there || open_device(e, ordinal, st);
    pthread_mutex_unlock(&opening);
    return e->there ? &e->calls : NULL;
}

void *emu_symbol(const char *name)
{
    const CudaDriver *d = emu_driver(0, &(Status){0});
    void *at = NULL;
#define CUDA_CALL(member, symbol, params) \
    if (d && strcmp(name, #symbol) == 0) memcpy(&at, &d->member, sizeof at);
    CUDA_CALLS
    CUDA_MAP_CALLS
#undef CUDA_CALL
    return at;
}

/* ---- for tests ---------------------------------------------------------------------------------------------------- */
void emu_version(int version)
{
    pthread_mutex_lock(&opening);
    version_now = version;
    for (int i = 0; i < EMU_DEVICES; i++)
        if (device[i].there) set_version(&device[i]);
    pthread_mutex_unlock(&opening);
}

void emu_apart(bool yes)
{
    pthread_mutex_lock(&opening);
    apart = yes;
    for (int i = 0; i < EMU_DEVICES; i++) device[i].calls.together = apart ? 0 : EMU_PROCESSORS;
    pthread_mutex_unlock(&opening);
}

void emu_architecture(int ordinal, int sm)
{
    pthread_mutex_lock(&opening);
    set_architecture(&device[ordinal], sm);
    pthread_mutex_unlock(&opening);
}

void emu_reset(int ordinal, uint64_t seed)
{
    Emu *e = &device[ordinal];
    pthread_mutex_lock(&e->lock);
    streams_clear(e);
    graphs_clear(e);
    while (e->module) image_unload(e->module);
    crews_free(e);
    shadow_clear(e);
    heap_clear(e);
    e->running = NULL;
    e->called = e->fail_at = 0;
    e->dead = e->about = 0;
    *e->fault = '\0';
    set_seed(e, seed);
    pthread_mutex_unlock(&e->lock);
}

void emu_fail(int ordinal, uint64_t n, int error)
{
    Emu *e = &device[ordinal];
    pthread_mutex_lock(&e->lock);
    e->fail_at = n == 0 ? 0 : e->called + n;
    e->fail_with = error;
    pthread_mutex_unlock(&e->lock);
}

uint64_t emu_called(int ordinal)
{
    Emu *e = &device[ordinal];
    pthread_mutex_lock(&e->lock);
    const uint64_t n = e->called;
    pthread_mutex_unlock(&e->lock);
    return n;
}

uint64_t emu_boxes(int ordinal)
{
    Emu *e = &device[ordinal];
    pthread_mutex_lock(&e->lock);
    const uint64_t n = e->boxes;
    pthread_mutex_unlock(&e->lock);
    return n;
}

const char *emu_fault(int ordinal) { return device[ordinal].dead ? device[ordinal].fault : ""; }
