/* cuda_host: see cuda_host.h. */
#include "cuda_host.h"

#include "codegen/cuda/print.h"
#include "codegen/cuda/run.h"
#include "codegen/emu.h"

#include <stdio.h>

bool cuda_host_compiles(void) { return emu_driver(0, &(Status){0}) != NULL; }

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
        ok = cuda_ok(d, d->MemAlloc(&at[i], MAX_OF(bytes, (size_t)1)), st, "taking memory");
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

/* ---- several programs in one text ----------------------------------------------------------------------------------- */
static struct {
    const Program *p[HOST_TOGETHER];
    uint32_t n, now; /* the one that runs */
    bool graph;
    Text image;
    CudaDriver driver;
} together;

/* What graphs' texts declare is no function of theirs. */
static const char declared[] = "extern \"C\" __device__ void cudaGraphSetConditional(unsigned long long handle, unsigned int value);\n";

static void add_named(Text *out, const char *source, uint32_t number)
{
    static const char head[] = CUDA_HEAD;
    const char *declares = strstr(source, declared);
    text_printf(out, "namespace program%u {\n", number);
    for (const char *at; (at = strstr(source, head));) {
        at += sizeof head - 1;
        at += strcspn(at, "(");
        if (declares && declares < at) {
            text_add(out, source, (size_t)(declares - source));
            source = declares + sizeof declared - 1;
            declares = NULL;
        }
        text_add(out, source, (size_t)(at - source));
        text_printf(out, "_of%u", number);
        source = at;
    }
    text_printf(out, "%s\n}\nusing namespace program%u;\n", source, number);
}

bool cuda_texts_together(const Program *const *p, uint32_t n, int sm, bool graph, Text *out, Status *st)
{
    bool ok = true;
    if (graph) text_printf(out, "%s", declared);
    for (uint32_t i = 0; i < n && ok; i++) {
        Text source = {0};
        ok = (graph ? cuda_graph_text : cuda_program_text)(p[i], sm, &source, st);
        if (ok) add_named(out, source.at, i);
        text_free(&source);
    }
    return ok;
}

static CUresult function_of(CUfunction *f, CUmodule m, const char *name)
{
    char its[256];
    snprintf(its, sizeof its, "%s_of%u", name, together.now);
    return emu_driver(0, &(Status){0})->ModuleGetFunction(f, m, its);
}

bool cuda_host_together(const Program *const *p, uint32_t n, bool graph, Status *st)
{
    const CudaDriver *d = emu_driver(0, st);
    Text source = {0};
    text_free(&together.image);
    together.n = 0;
    bool ok = d && cuda_texts_together(p, n, cuda_sm(d), graph, &source, st);
    ok = ok && (n == 0 || d->build(d, source.at, "programs", &together.image, st));
    text_free(&source);
    if (!ok) return false;
    memcpy(together.p, p, n * sizeof *p);
    together.n = n;
    together.graph = graph;
    together.driver = *d;
    together.driver.ModuleGetFunction = function_of;
    return true;
}

static bool is_together(const Program *p, bool graph)
{
    for (together.now = 0; together.now < together.n; together.now++)
        if (together.p[together.now] == p) return together.graph == graph;
    return false;
}

static Compiled *load(const Program *p, const CudaDriver *d, bool graph, Status *st)
{
    if (is_together(p, graph))
        return (graph ? cuda_load_graph : cuda_load)(p, &together.driver, together.image.at, together.image.len, st);
    Text source = {0}, image = {0};
    Compiled *c = NULL;
    if ((graph ? cuda_graph_text : cuda_program_text)(p, cuda_sm(d), &source, st) && d->build(d, source.at, p->name, &image, st))
        c = (graph ? cuda_load_graph : cuda_load)(p, d, image.at, image.len, st);
    text_free(&source);
    text_free(&image);
    return c;
}

static bool host_run(const Program *p, void *const *buf, const int64_t *symbol, bool graph, Status *st)
{
    const CudaDriver *d = emu_driver(0, st);
    Compiled *c = d ? load(p, d, graph, st) : NULL;
    int32_t code = c ? cuda_copies_run(c, buf, symbol, st) : -1;
    if (code == 0 && graph) code = cuda_copies_run(c, buf, symbol, st);
    cuda_release(c);
    if (code > 0) status_fail(st, (StatusCode)(code % ENTRY_LOOP), "the program returned %d", code);
    return code == 0;
}

bool cuda_host_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st)
{
    return host_run(p, buf, symbol, false, st);
}

bool cuda_graph_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st)
{
    const CudaDriver *d = emu_driver(0, st);
    return d && cuda_records(p, d) && host_run(p, buf, symbol, true, st);
}
