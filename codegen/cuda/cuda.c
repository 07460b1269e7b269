/* cuda: the CUDA backend's row of the backend table. Relies on run.h. */
#include "object.h"
#include "parts.h"
#include "run.h"

#include <stdio.h>

/* Kept rows are in the registers of a team (cuda_shape.c): 32 of each lane's, or of each thread's of a block. */
void cuda_target(Target *t)
{
    *t = (Target){.name = "cuda",
        .vector_bytes = 4,
        .row_cache_bytes = 32 << 10,
        .many_results = 1024,
        .shared_row = cuda_long_row,
        .fma = true,
        .threads = false,
        .digits = true,
        .apart = true,
        .launches = true,
        .turns = true,
        .ends = true};
}

static bool target(const void *there, Target *t, Status *st)
{
    cuda_target(t);
    if (there && ((const CudaDriver *)there)->together == 0) t->shared_row = 0;
    return there || cuda_driver(0, st);
}

bool cuda_program_ptx(const Program *p, int sm, Text *cuda_c, Text *ptx, Status *st)
{
    size_t from = cuda_c->len;
    if (!cuda_program_text(p, sm, cuda_c, st)) return false;
    return !ptx || cuda_compile(cuda_c->at + from, p->name, sm, false, ptx, NULL, st);
}

#define OLDEST_SM 80

static bool wants(const CompileOptions *o, const char *stage)
{
    size_t n = strlen(stage);
    for (const char *at = o->dump ? o->want : NULL; at && *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (len == n && memcmp(at, stage, n) == 0) return true;
        at += len + (at[len] == ',');
    }
    return false;
}

/* Without a device, requested dumps are still made, for compute capability 8.0, before the error. */
static bool code_of(const Program *p, const CompileOptions *o, const CudaDriver *d, bool graph, Text *code, Status *st)
{
    Text source = {0}, ptx = {0};
    int sm = d ? cuda_sm(d) : OLDEST_SM;
    bool ok = graph ? cuda_graph_text(p, sm, &source, st) : cuda_program_text(p, sm, &source, st);
    if (ok && wants(o, "cuda")) o->dump(o->dump_user, "cuda", p->name, source.at, source.len);
    if (ok && wants(o, "ptx")) {
        const int arch = cuda_compile_arch(sm, st);
        ok = arch != 0 && cuda_compile(source.at, p->name, arch, false, &ptx, NULL, st);
        if (ok) o->dump(o->dump_user, "ptx", p->name, ptx.at, ptx.len);
    }
    ok = ok && d && cuda_images(d, o->store, o->threads, source.at, p->name, o->from_store, code, st);
    text_free(&source);
    text_free(&ptx);
    return ok;
}

static Compiled *compile(const Program *p, const CompileOptions *o, Status *st)
{
    Status absent = {0};
    Text code = {0};
    Compiled *c = NULL;
    const CudaDriver *d = o->there ? o->there : cuda_driver(0, &absent);
    const bool graph = !o->alone && !o->marks && cuda_records(p, d); /* steps of a graph are not timed */
    if (code_of(p, o, d, graph, &code, st))
        c = graph ? cuda_load_graph(p, d, code.at, code.len, st) : cuda_load(p, d, code.at, code.len, st);
    if (!d) status_fail(st, absent.code, "%s", absent.text);
    text_free(&code);
    return c;
}

static bool print(const char *stage, const Program *p, Text *out, Status *st)
{
    Text source = {0};
    const bool ptx = strcmp(stage, "ptx") == 0;
    const bool ok = cuda_program_ptx(p, OLDEST_SM, ptx ? &source : out, ptx ? out : NULL, st);
    text_free(&source);
    return ok;
}

static size_t code_bytes(const Compiled *c) { return c->bytes; }

static bool at_once(const Compiled *c) { return c->recordings; }

static void describe(char *buf, size_t cap)
{
    Status no_driver = {0}, no_nvrtc = {0};
    const CudaDriver *d = cuda_driver(0, &no_driver);
    const Nvrtc *n = cuda_nvrtc(&no_nvrtc);
    int major = 0, minor = 0;
    char compiler[32] = "no NVRTC";
    if (n && n->nvrtcVersion(&major, &minor) == 0) snprintf(compiler, sizeof compiler, "NVRTC %d.%d", major, minor);
    if (!d)
        snprintf(buf, cap, "%s, %s", compiler, no_driver.text);
    else
        snprintf(buf, cap, "%s, sm_%d, driver for CUDA %d.%d, %s", d->device, d->capability, d->version / 1000,
            d->version % 1000 / 10, compiler);
}

const Backend *cuda_backend(void)
{
    static const Backend backend = {
        .name = "cuda",
        .target = target,
        .compile = compile,
        .at_once = at_once,
        .code_bytes = code_bytes,
        .release = cuda_release,
        .device_object = cuda_object,
        .meeting = cuda_meeting,
        .assumed = cuda_target,
        .print = print,
        .describe = describe,
    };
    return &backend;
}
