/* load: opens libcuda and NVRTC at run time. Relies on api.h, library.h, libdl. Never links or includes anything of CUDA. */
#include "../module.h"
#include "api.h"
#include "library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

/* ---- the driver ------------------------------------------------------------------------------ */

#define MOST_DEVICES 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool tried;
    int devices;
    CudaDriver calls;
    Status st;
} driver;
static struct {
    bool tried;
    CudaDriver calls;
    Status st;
} opened[MOST_DEVICES];
static struct {
    bool tried;
    Nvrtc calls;
    Status st;
} compiler;

bool cuda_ok(const CudaDriver *d, CUresult e, Status *st, const char *format, ...)
{
    char what[256];
    const char *name = NULL, *text = NULL;
    va_list args;
    if (e == 0) return true;
    va_start(args, format);
    plain_vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (d->GetErrorName(e, &name) != 0) name = NULL;
    if (d->GetErrorString(e, &text) != 0) text = NULL;
    return status_fail(st, e == CUDA_ERROR_OUT_OF_MEMORY ? ST_MEMORY : ST_DEVICE, "cuda: %s: %s (%s)", what,
        name ? name : "an unknown error", text ? text : "no text");
}

/* Bytes of memory freed by streams that the driver keeps when somebody waits, so that temporaries of the next call need no new
 * ones. A driver that has none of this keeps nothing. */
#define KEPT_FREE ((uint64_t)256 << 20)

static void keep_freed(const CudaDriver *d, CUdevice device)
{
    CUmemoryPool pool;
    uint64_t most = KEPT_FREE;
    if (d->DeviceGetDefaultMemPool(&pool, device) == 0) d->MemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &most);
}

static bool open_device(CudaDriver *d, int ordinal, Status *st)
{
    int major = 0, minor = 0, together = 0, shared = 1;
    CUdevice device;
    CUcontext current;
    d->ordinal = ordinal;
    snprintf(d->device, sizeof d->device, "device %d", ordinal);
    bool ok = cuda_ok(d, d->DeviceGet(&device, ordinal), st, "opening device %d", ordinal) &&
              cuda_ok(d, d->DeviceGetName(d->device, sizeof d->device, device), st, "naming device %d", ordinal) &&
              cuda_ok(d, d->DeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device), st, "asking %s",
                  d->device) &&
              cuda_ok(d, d->DeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device), st, "asking %s",
                  d->device) &&
              cuda_ok(d, d->DevicePrimaryCtxRetain(&d->context, device), st, "using %s", d->device) &&
              cuda_ok(d, d->CtxPushCurrent(d->context), st, "using %s", d->device) &&
              cuda_ok(d, d->CtxPopCurrent(&current), st, "using %s", d->device);
    d->capability = 10 * major + minor;
    d->own = d->capability + CUDA_OWN == CUDA_SM_90A;
    if (ok) keep_freed(d, device);
    d->together = 0;
    if (ok && d->DeviceGetAttribute(&together, CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, device) == 0 && together)
        d->DeviceGetAttribute(&d->together, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
    d->bodies = d->DeviceGetAttribute(&shared, CU_DEVICE_ATTRIBUTE_MPS_ENABLED, device) == 0 && !shared;
    return ok;
}

/* What not every driver has; its first members say whether it is there. */
static void open_newer(void *lib, CudaDriver *d)
{
    CudaDriver found = {0};
    bool graphs = d->version >= 12000, conditionals = d->version >= 12040;
#define CUDA_CALL(member, symbol, params) \
    if (d->version >= 12000) library_symbol(lib, #symbol, &d->member, "libcuda.so.1", &(Status){0});
    CUDA_MAP_CALLS
#undef CUDA_CALL
#define CUDA_CALL(member, symbol, params) \
    graphs = graphs && library_symbol(lib, #symbol, &found.member, "libcuda.so.1", &(Status){0});
    CUDA_GRAPH_CALLS
#undef CUDA_CALL
#define CUDA_CALL(member, symbol, params) \
    conditionals = conditionals && library_symbol(lib, #symbol, &found.member, "libcuda.so.1", &(Status){0});
    CUDA_CONDITIONAL_CALLS
#undef CUDA_CALL
#define CUDA_CALL(member, symbol, params) \
    if (graphs) d->member = found.member;
    CUDA_GRAPH_CALLS
#undef CUDA_CALL
#define CUDA_CALL(member, symbol, params) \
    if (graphs && conditionals) d->member = found.member;
    CUDA_CONDITIONAL_CALLS
#undef CUDA_CALL
}

static bool open_driver(CudaDriver *d, int *devices, Status *st)
{
    if (!module_possible("cuda: libcuda.so.1", st)) return false;
    void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!lib) return status_fail(st, ST_DEVICE, "cuda: no NVIDIA driver on this machine (looked for libcuda.so.1: %s)", dlerror());
#define CUDA_CALL(member, symbol, params) \
    if (!library_symbol(lib, #symbol, &d->member, "libcuda.so.1", st)) return false;
    CUDA_CALLS
#undef CUDA_CALL
    d->build = nvrtc_build;
    d->compiler = nvrtc_compiler;
    d->parts = true;
    const bool ok = cuda_ok(d, d->Init(0), st, "starting the driver") &&
                    cuda_ok(d, d->DriverGetVersion(&d->version), st, "asking for the driver's version");
    if (ok) open_newer(lib, d);
    return ok && cuda_ok(d, d->DeviceGetCount(devices), st, "counting devices") &&
           (*devices > 0 || status_fail(st, ST_DEVICE, "cuda: the driver is installed, but it sees no device"));
}

/* Under the lock. */
static bool driver_there(Status *st)
{
    if (!driver.tried) open_driver(&driver.calls, &driver.devices, &driver.st);
    driver.tried = true;
    return driver.st.code == ST_OK || status_fail(st, driver.st.code, "%s", driver.st.text);
}

int cuda_devices(Status *st)
{
    pthread_mutex_lock(&lock);
    const bool there = driver_there(st);
    pthread_mutex_unlock(&lock);
    return there ? MIN_OF(driver.devices, MOST_DEVICES) : 0;
}

void cuda_device_text(int ordinal, char *text, size_t cap)
{
    const CudaDriver *d = &driver.calls; /* not written any more once devices were counted */
    char name[128] = "a device";
    int major = 0, minor = 0;
    size_t bytes = 0;
    CUdevice device;
    if (cuda_devices(&(Status){0}) > ordinal && d->DeviceGet(&device, ordinal) == 0) {
        d->DeviceGetName(name, sizeof name, device);
        d->DeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
        d->DeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
        d->DeviceTotalMem(&bytes, device);
    }
    snprintf(text, cap, "%s, sm_%d%d, %zu MiB", name, major, minor, bytes >> 20);
}

const CudaDriver *cuda_driver(int ordinal, Status *st)
{
    const int n = cuda_devices(st);
    if (n == 0) return NULL;
    if (ordinal < 0 || ordinal >= n) {
        status_fail(st, ST_DEVICE, "cuda: there is no device %d: the driver sees %d", ordinal, n);
        return NULL;
    }
    pthread_mutex_lock(&lock);
    if (!opened[ordinal].tried) {
        opened[ordinal].calls = driver.calls;
        open_device(&opened[ordinal].calls, ordinal, &opened[ordinal].st);
    }
    opened[ordinal].tried = true;
    pthread_mutex_unlock(&lock);
    if (opened[ordinal].st.code == ST_OK) return &opened[ordinal].calls;
    status_fail(st, opened[ordinal].st.code, "%s", opened[ordinal].st.text);
    return NULL;
}

/* ---- NVRTC ----------------------------------------------------------------------------------- */

static void *find_nvrtc(Status *st)
{
    static const char *const name[] = {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"};
    return library_find("NVRTC", "KILN_NVRTC", name, COUNT_OF(name), st);
}

static bool open_nvrtc(Nvrtc *n, Status *st)
{
    void *lib = find_nvrtc(st);
    if (!lib) return false;
#define NVRTC_CALL(result, name, params) \
    if (!library_symbol(lib, #name, &n->name, "the NVRTC found", st)) return false;
    NVRTC_CALLS
#undef NVRTC_CALL
    return true;
}

const Nvrtc *cuda_nvrtc(Status *st)
{
    pthread_mutex_lock(&lock);
    if (!compiler.tried) open_nvrtc(&compiler.calls, &compiler.st);
    compiler.tried = true;
    pthread_mutex_unlock(&lock);
    if (compiler.st.code == ST_OK) return &compiler.calls;
    status_fail(st, compiler.st.code, "%s", compiler.st.text);
    return NULL;
}
