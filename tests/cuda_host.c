/* cuda_host: see cuda_host.h. Device memory starts as bytes that are no number anyone expects. */
#define _GNU_SOURCE
#include "cuda_host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "codegen/cuda/run.h"

/* ---- a driver on the host -------------------------------------------------------------------- */

typedef void CallFn(void **params);
typedef int LaunchFn(CallFn *call, int together, unsigned grid, unsigned threads, void **params);
struct CUfunc_st {
    CallFn *call;
    LaunchFn *launch;
    int together;
    struct CUfunc_st *next;
};
struct CUmod_st {
    void *lib;
    struct CUfunc_st *functions;
};

static void *find(void *lib, const char *prefix, const char *name)
{
    char symbol[256];
    snprintf(symbol, sizeof symbol, "%s%s", prefix, name);
    return dlsym(lib, symbol);
}

static CUresult module_load(CUmodule *m, const void *path)
{
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 301;
    }
    *m = calloc(1, sizeof **m);
    (*m)->lib = lib;
    return 0;
}

static CUresult module_unload(CUmodule m)
{
    void (*close)(void);
    *(void **)&close = find(m->lib, "shim_", "close");
    close();
    for (struct CUfunc_st *f = m->functions, *next; f != NULL; f = next) {
        next = f->next;
        free(f);
    }
    dlclose(m->lib);
    free(m);
    return 0;
}

static CUresult get_function(CUfunction *f, CUmodule m, const char *name)
{
    const int *together = find(m->lib, "together_", name);
    *f = calloc(1, sizeof **f);
    *(void **)&(*f)->call = find(m->lib, "call_", name);
    *(void **)&(*f)->launch = find(m->lib, "shim_", "launch");
    if (together != NULL) (*f)->together = *together;
    (*f)->next = m->functions;
    m->functions = *f;
    return (*f)->call != NULL ? 0 : 500;
}

static CUresult launch(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
    unsigned by, unsigned bz, unsigned shared, CUstream s, void **params, void **extra)
{
    if (gy != 1 || gz != 1 || by != 1 || bz != 1 || shared != 0 || s != NULL || extra != NULL)
        return 1;
    return f->launch(f->call, f->together, gx, bx, params);
}

static CUresult allocate(CUdeviceptr *at, size_t bytes)
{
    void *p = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (p == NULL) return 2;
    memset(p, 0xcd, bytes);
    *at = (CUdeviceptr)(uintptr_t)p;
    return 0;
}
static void *host(CUdeviceptr at) { return (void *)(uintptr_t)at; }
static CUresult release(CUdeviceptr at) { return free(host(at)), 0; }
static CUresult to_device(CUdeviceptr to, const void *from, size_t n)
{
    return memcpy(host(to), from, n), 0;
}
static CUresult to_host(void *to, CUdeviceptr from, size_t n)
{
    return memcpy(to, host(from), n), 0;
}
static CUresult inside(CUdeviceptr to, CUdeviceptr from, size_t n)
{
    return memmove(host(to), host(from), n), 0;
}
static CUresult allocate_now(CUdeviceptr *at, size_t bytes, CUstream s) { return (void)s, allocate(at, bytes); }
static CUresult release_now(CUdeviceptr at, CUstream s) { return (void)s, release(at); }
static CUresult to_device_now(CUdeviceptr to, const void *from, size_t n, CUstream s) { return (void)s, to_device(to, from, n); }
static CUresult to_host_now(void *to, CUdeviceptr from, size_t n, CUstream s) { return (void)s, to_host(to, from, n); }
static CUresult inside_now(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) { return (void)s, inside(to, from, n); }
static CUresult done(CUstream s) { return (void)s, 0; }
static CUresult push(CUcontext c) { return (void)c, 0; }
static CUresult pop(CUcontext *c) { return *c = NULL, 0; }
static CUresult error_text(CUresult e, const char **text)
{
    *text =
        e == 719 ? "threads wait for others that never come" : "an error of the driver on the host";
    return 0;
}

static const CudaDriver driver = {
    .GetErrorName = error_text,
    .GetErrorString = error_text,
    .CtxPushCurrent = push,
    .CtxPopCurrent = pop,
    .ModuleLoadData = module_load,
    .ModuleUnload = module_unload,
    .ModuleGetFunction = get_function,
    .MemAlloc = allocate,
    .MemFree = release,
    .MemcpyHtoD = to_device,
    .MemcpyDtoH = to_host,
    .MemcpyDtoD = inside,
    .MemAllocAsync = allocate_now,
    .MemFreeAsync = release_now,
    .MemcpyHtoDAsync = to_device_now,
    .MemcpyDtoHAsync = to_host_now,
    .MemcpyDtoDAsync = inside_now,
    .StreamSynchronize = done,
    .LaunchKernel = launch,
    .device = "the host",
    .capability = 80,
};

/* ---- the compiler ---------------------------------------------------------------------------- */

static const char *compiler(void)
{
    const char *cxx = getenv("CXX");
    return cxx != NULL && *cxx != '\0' ? cxx : "c++";
}

bool cuda_host_compiles(void)
{
    char command[512];
    snprintf(command, sizeof command, "%s --version > /dev/null 2>&1", compiler());
    return system(command) == 0;
}

/* A way to call each kernel on an array of pointers to its arguments. */
static void add_calls(Text *t)
{
    static const char mark[] = "__launch_bounds__(256) ";
    Text calls = {0};
    for (const char *at = strstr(t->at, mark), *next; at != NULL; at = next) {
        at += sizeof mark - 1;
        next = strstr(at, mark);
        const char *end = next ? next : t->at + t->len, *lane = strstr(at, "u32 lane = "),
                   *product = strstr(at, "product<");
        bool together = (lane && lane < end) || (product && product < end);
        int n = (int)strcspn(at, "(");
        text_printf(&calls, "extern \"C\" void call_%.*s(void **p) { shim::call(%.*s, p); }\n", n,
            at, n, at);
        text_printf(&calls, "extern \"C\" int together_%.*s;\nint together_%.*s = %d;\n", n, at, n,
            at, together);
    }
    if (calls.len > 0) text_add(t, calls.at, calls.len);
    text_free(&calls);
}

static bool write_file(const char *path, const Text *t)
{
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL && fwrite(t->at, 1, t->len, f) == t->len;
    return f != NULL && fclose(f) == 0 && ok;
}

static bool compile(const char *folder, const Program *p, Status *st)
{
    char path[128], command[1024];
    Text t = {0};
    bool ok = cuda_program_ptx(p, 0, &t, NULL, st);
    if (ok) add_calls(&t);
    snprintf(path, sizeof path, "%s/program.cu", folder);
    ok = ok && (write_file(path, &t) ||
                   status_fail(st, ST_IO, "%s does not take %zu bytes", path, t.len));
    snprintf(command, sizeof command,
        "%s -std=c++17 -O0 -w -ffp-contract=off -shared -fPIC -include tests/cuda_shim.h -x c++ %s "
        "-o %s/program.so",
        compiler(), path, folder);
    if (ok && system(command) != 0) ok = status_fail(st, ST_INTERNAL, "%s failed", command);
    text_free(&t);
    return ok;
}

static void remove_files(const char *folder)
{
    static const char *const all[] = {"program.cu", "program.so"};
    char path[128];
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, all[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* ---- a run, on memory of the host --------------------------------------------------------------- */

static bool put(CudaQueue *q, CUdeviceptr to, const void *from, size_t bytes, Status *st)
{
    return cuda_ok(q->driver, q->driver->MemcpyHtoD(to, from, bytes), st, "copying in");
}

static size_t buffer_bytes(const Program *p, uint32_t i, const int64_t *symbol)
{
    const Type *t = &p->buf.at[i].type;
    size_t n = dtype_bytes((DType)t->dtype);
    for (uint32_t k = 0; k < t->rank; k++) n *= (size_t)program_size(p, t->dim[k], symbol);
    return n;
}

static int32_t run_copies(const Compiled *c, void *const *buf, const int64_t *symbol, Status *st)
{
    const Program *p = c->p;
    const CudaDriver *d = c->driver;
    const uint32_t n = p->ninput + p->noutput;
    CUdeviceptr *at = calloc(n + 1, sizeof *at);
    CudaQueue q = {.driver = d, .put = put};
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        const size_t bytes = buffer_bytes(p, i, symbol);
        ok = cuda_ok(d, d->MemAlloc(&at[i], bytes + 1), st, "taking memory");
        if (i < p->ninput && bytes != 0) ok = ok && put(&q, at[i], buf[i], bytes, st);
    }
    const CudaCall call = {.buf = (void *const *)(uintptr_t)at, .dim = symbol};
    int32_t code = ok ? cuda_run(c, &q, &call, st) : -1;
    ok = cuda_ok(d, d->StreamSynchronize(NULL), st, "waiting");
    for (uint32_t i = p->ninput; i < n && code == 0 && ok; i++) {
        const size_t bytes = buffer_bytes(p, i, symbol);
        ok = bytes == 0 || cuda_ok(d, d->MemcpyDtoH(buf[i], at[i], bytes), st, "copying out");
    }
    for (uint32_t i = 0; i < n; i++)
        if (at[i] != 0) d->MemFree(at[i]);
    free(at);
    return ok ? code : -1;
}

int32_t cuda_copies_run(const Compiled *c, void *const *buf, const int64_t *symbol, Status *st)
{
    CUcontext current;
    if (!cuda_ok(c->driver, c->driver->CtxPushCurrent(c->driver->context), st, "using %s", c->driver->device)) return -1;
    const int32_t code = run_copies(c, buf, symbol, st);
    c->driver->CtxPopCurrent(&current);
    return code;
}

bool cuda_host_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st)
{
    char folder[] = "/tmp/kiln-cuda-XXXXXX", path[64];
    if (mkdtemp(folder) == NULL) return status_fail(st, ST_IO, "no folder under /tmp");
    Compiled *c = NULL;
    snprintf(path, sizeof path, "%s/program.so", folder);
    if (compile(folder, p, st)) c = cuda_load(p, &driver, path, sizeof path, st);
    int32_t code = c ? cuda_copies_run(c, buf, symbol, st) : -1;
    cuda_release(c);
    if (getenv("KILN_KEEP") == NULL) remove_files(folder);
    if (code > 0) status_fail(st, (StatusCode)(code % ENTRY_LOOP), "the program returned %d", code);
    return code == 0;
}
