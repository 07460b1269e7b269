/* cuda_load: loads programs that were compiled, and lets them go. Relies on run.h, parts.h, maps.h. Never prints, compiles or
 * runs one.
 */
#include "maps.h"
#include "parts.h"
#include "run.h"

static void name_functions(void *arg)
{
    Compiled *c = arg;
    const Program *p = c->p;
    cuda_functions(&c->arena, p, &c->text);
    c->function = ARENA_ARRAY(&c->arena, CUfunction, c->text.n + 1);
    c->shared = ARENA_ARRAY(&c->arena, uint32_t, c->text.n + 1);
    for (uint32_t i = 0; i < c->text.products.len; i++)
        c->shared[p->kernel.len + i] = product_shared(product_plan(p, c->text.products.at[i], cuda_sm(c->driver)));
    c->maps = products_maps(p, &c->text.products, cuda_sm(c->driver));
    c->shape = ARENA_ARRAY(&c->arena, CudaShape, p->kernel.len + 1);
    c->at_once = ARENA_ARRAY(&c->arena, int64_t, p->kernel.len + 1);
    c->module = ARENA_ARRAY(&c->arena, CUmodule, CUDA_PARTS);
    for (uint32_t i = 0; i < p->kernel.len; i++) c->shape[i] = cuda_shape(p, &p->kernel.at[i]);
}

/* It is looked for first in module *at, where the last one was. */
static CUresult find_function(const Compiled *c, const char *name, uint32_t *at, CUfunction *f)
{
    CUresult e = CUDA_ERROR_NOT_FOUND;
    for (uint32_t i = 0; i < c->nmodule && e == CUDA_ERROR_NOT_FOUND; i++) {
        const uint32_t m = (*at + i) % c->nmodule;
        e = c->driver->ModuleGetFunction(f, c->module[m], name);
        if (e == 0) *at = m;
    }
    return e;
}

static bool find(Compiled *c, uint32_t i, uint32_t *at, Status *st)
{
    const CudaDriver *d = c->driver;
    const char *name = c->text.name[i];
    if (!cuda_ok(d, find_function(c, name, at, &c->function[i]), st, "finding kernel %s", name)) return false;
    if (c->shared[i] == 0) return true;
    const CUresult e = d->FuncSetAttribute(c->function[i], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)c->shared[i]);
    return cuda_ok(d, e, st, "letting %s have %u bytes of shared memory", name, c->shared[i]);
}

/* How many blocks of a kernel that shares rows out the device runs at once. */
static bool count(Compiled *c, uint32_t kernel, Status *st)
{
    const CudaDriver *d = c->driver;
    int n = 0;
    if (kernel >= c->p->kernel.len || !c->shape[kernel].several || d->together == 0) return true;
    const CUresult e = d->OccupancyMaxActiveBlocks(&n, c->function[kernel], (int)c->shape[kernel].block, 0);
    c->at_once[kernel] = (int64_t)n * d->together;
    return cuda_ok(d, e, st, "asking how many blocks of %s run at once", c->text.name[kernel]);
}

static bool resolve(Compiled *c, Status *st)
{
    const CudaDriver *d = c->driver;
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->text.n; i++)
        if (*c->text.name[i] && (!find(c, i, &at, st) || !count(c, i, st))) return false;
    bool needs[CONTROLS] = {false};
    if (c->recordings) control_needs(c->p, needs);
    for (int i = 0; i < CONTROLS; i++)
        if (needs[i] && !cuda_ok(d, find_function(c, control_name[i], &at, &c->control[i]), st, "finding %s", control_name[i]))
            return false;
    return true;
}

static bool load_modules(Compiled *c, const void *image, Status *st)
{
    const char *name = c->p->name ? c->p->name : "a program";
    uint32_t n = 1;
    for (uint32_t i = 0; i < n; i++) {
        const void *part = parts_image(image, c->bytes, i, &n);
        if (!part) return status_fail(st, ST_INTERNAL, "cuda: the code of %s is cut short", name);
        if (!cuda_ok(c->driver, c->driver->ModuleLoadData(&c->module[i], part), st, "loading the code of %s", name)) return false;
        c->nmodule++;
    }
    return true;
}

static bool load(Compiled *c, const void *image, Status *st)
{
    const CudaDriver *d = c->driver;
    CUcontext current;
    if (!arena_try(&c->arena, st, name_functions, c)) return false;
    if (!cuda_ok(d, d->CtxPushCurrent(d->context), st, "using %s", d->device)) return false;
    const bool ok = load_modules(c, image, st) && resolve(c, st);
    d->CtxPopCurrent(&current);
    return ok;
}

static Compiled *load_program(const Program *p, const CudaDriver *d, const void *image, size_t bytes, bool graph, Status *st)
{
    Compiled *c = mem_zeros(1, sizeof *c);
    if (!c) return status_fail(st, ST_MEMORY, "cuda: no memory for a program"), NULL;
    arena_init(&c->arena);
    c->p = p;
    c->driver = d;
    c->bytes = bytes;
    if (graph && !(c->recordings = cuda_recordings())) status_fail(st, ST_MEMORY, "cuda: no memory for a program");
    if ((!graph || c->recordings) && load(c, image, st)) return c;
    cuda_release(c);
    return NULL;
}

Compiled *cuda_load(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st)
{
    return load_program(p, d, image, bytes, false, st);
}

Compiled *cuda_load_graph(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st)
{
    return load_program(p, d, image, bytes, true, st);
}

void cuda_release(Compiled *c)
{
    CUcontext current;
    if (!c) return;
    const CudaDriver *d = c->driver;
    /* Asked again where it is refused once, since what is not given back now is lost. */
    const bool entered =
        (c->nmodule || c->recordings) && (d->CtxPushCurrent(d->context) == 0 || d->CtxPushCurrent(d->context) == 0);
    cuda_recordings_free(c);
    if (entered) {
        for (uint32_t i = 0; i < c->nmodule; i++)
            if (d->ModuleUnload(c->module[i]) != 0) d->ModuleUnload(c->module[i]);
        d->CtxPopCurrent(&current);
    }
    arena_free(&c->arena);
    mem_free(c, sizeof *c);
}
