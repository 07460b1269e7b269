/* cuda_run: runs a program as a list of launches. The host runs the loops; buffers and the workspace lie in one block of device
 * memory. Relies on run.h. Never prints or compiles. */
#include "../effect.h"
#include "run.h"

#define ALIGN 256

/* ---- loading --------------------------------------------------------------------------------- */

static void name_functions(void *arg)
{
    Compiled *c = arg;
    const Program *p = c->p;
    cuda_products(&c->arena, p->step, p->nstep, &c->products);
    uint32_t n = p->kernel.len + c->products.len;
    c->function = ARENA_ARRAY(&c->arena, CUfunction, n + 1);
    c->name = ARENA_ARRAY(&c->arena, const char *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        bool kernel = i < p->kernel.len;
        c->name[i] = kernel ? cuda_kernel_name(&c->arena, p, i) : arena_printf(&c->arena, "product%u", i - p->kernel.len);
    }
}

static bool resolve(Compiled *c, Status *st)
{
    const CudaDriver *d = c->driver;
    for (uint32_t i = 0; i < c->p->kernel.len + c->products.len; i++)
        if (!cuda_ok(d, d->ModuleGetFunction(&c->function[i], c->module, c->name[i]), st, "finding kernel %s", c->name[i]))
            return false;
    return true;
}

static bool load(Compiled *c, const void *image, Status *st)
{
    const CudaDriver *d = c->driver;
    CUcontext current;
    if (!arena_try(&c->arena, st, name_functions, c)) return false;
    if (!cuda_ok(d, d->CtxPushCurrent(d->context), st, "using %s", d->device)) return false;
    bool ok = cuda_ok(d, d->ModuleLoadData(&c->module, image), st, "loading the code of %s", c->p->name ? c->p->name : "a program");
    ok = ok && resolve(c, st);
    d->CtxPopCurrent(&current);
    return ok;
}

Compiled *cuda_load(const Program *p, const CudaDriver *d, const void *image, size_t bytes, Status *st)
{
    Compiled *c = mem_zeros(1, sizeof *c);
    if (!c) return status_fail(st, ST_MEMORY, "cuda: no memory for a program"), NULL;
    arena_init(&c->arena);
    c->p = p;
    c->driver = d;
    c->bytes = bytes;
    if (load(c, image, st)) return c;
    cuda_release(c);
    return NULL;
}

void cuda_release(Compiled *c)
{
    CUcontext current;
    if (!c) return;
    if (c->module && c->driver->CtxPushCurrent(c->driver->context) == 0) {
        c->driver->ModuleUnload(c->module);
        c->driver->CtxPopCurrent(&current);
    }
    arena_free(&c->arena);
    mem_free(c, sizeof *c);
}

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct Run {
    const Compiled *c;
    const CudaDriver *d;
    Status *st;
    void *const *host; /* buffers, as the caller gave them */
    const KilnHost *table;
    Arena arena;      /* holds the arrays below */
    int64_t *symbol;  /* the symbols' values, by their places in the table of dims */
    int64_t *dim;     /* the values of Program.dim */
    CUdeviceptr *at;  /* the address of each buffer */
    size_t *room;     /* the bytes of each buffer that is a stack */
    CUdeviceptr base; /* all device memory of this run; 0 if none */
    CUdeviceptr dims; /* Program.dim, in device memory */
    const int64_t *given;
    bool ok;
    int32_t code; /* what the entry of program.h would return, where the program itself ended; else st tells */
} Run;

static bool ended(Run *r, int32_t code)
{
    r->code = code;
    return false;
}

static int64_t size_of(const Run *r, Dim d) { return d >= 0 ? d : dim_eval(&r->c->p->module->dims, d, r->symbol); }

static size_t bytes_of(const Run *r, uint32_t buf)
{
    const Type *t = &r->c->p->buf.at[buf].type;
    size_t n = dtype_bytes((DType)t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)size_of(r, t->dim[i]);
    return n;
}

static bool launch(Run *r, uint32_t f, int64_t blocks, void **args)
{
    if (blocks <= 0) return true;
    unsigned grid = (unsigned)MIN_OF(blocks, (int64_t)CUDA_GRID);
    CUresult e = r->d->LaunchKernel(r->c->function[f], grid, 1, 1, CUDA_BLOCK, 1, 1, 0, NULL, args, NULL);
    return cuda_ok(r->d, e, r->st, "launching %s", r->c->name[f]);
}

static bool run_kernel(Run *r, const Step *s)
{
    const Kernel *k = &r->c->p->kernel.at[s->kernel];
    int64_t points = 1, each = cuda_warp_per_point(k) ? CUDA_BLOCK / TREE_LANES : CUDA_BLOCK;
    void **args = ARENA_ARRAY(&r->arena, void *, k->nbuf + 1);
    for (uint32_t a = 0; a < k->naxis; a++)
        if ((int)a != k->sweep) points *= size_of(r, k->extent[a]);
    for (uint32_t i = 0; i < k->nbuf; i++) args[i] = &r->at[s->buf[i]];
    args[k->nbuf] = &r->dims;
    return launch(r, s->kernel, (points + each - 1) / each, args);
}

static bool run_product(Run *r, const Step *s)
{
    uint32_t f = r->c->p->kernel.len + cuda_product_of(&r->c->products, s);
    int64_t blocks =
        (size_of(r, s->contract.m) + CUDA_TILE - 1) / CUDA_TILE * ((size_of(r, s->contract.n) + CUDA_TILE - 1) / CUDA_TILE);
    for (uint32_t i = 0; i < s->contract.nbatch; i++) blocks *= size_of(r, s->contract.batch[i]);
    void *args[] = {&r->at[s->contract.a], &r->at[s->contract.b], &r->at[s->contract.c], &r->dims};
    return launch(r, f, blocks, args);
}

static bool run_copy(Run *r, const Step *s)
{
    size_t n = bytes_of(r, s->to);
    return n == 0 || cuda_ok(r->d, r->d->MemcpyDtoD(r->at[s->to], r->at[s->from], n), r->st, "copying %zu bytes", n);
}

/* Gives a stack room for `bytes` bytes and keeps what lies there. */
static bool open_stack(Run *r, uint32_t buf, size_t bytes)
{
    size_t n = MAX_OF(r->room[buf], (size_t)4096);
    CUdeviceptr at;
    while (n < bytes) n *= 2;
    if (n == r->room[buf]) return true;
    if (r->d->MemAlloc(&at, n) != 0) return status_fail(r->st, ST_MEMORY, "cuda: no memory for %zu bytes on %s", n, r->d->device);
    bool ok = r->room[buf] == 0 || (cuda_ok(r->d, r->d->MemcpyDtoD(at, r->at[buf], r->room[buf]), r->st, "copying a stack") &&
                                       cuda_ok(r->d, r->d->MemFree(r->at[buf]), r->st, "freeing memory"));
    r->at[buf] = at;
    r->room[buf] = n;
    return ok;
}

/* Finds the slices of this loop; a slice of a slice comes after what it slices. */
static bool open_slices(Run *r, uint32_t loop, int64_t index)
{
    for (uint32_t i = 0; i < r->c->p->buf.len; i++) {
        const Buf *b = &r->c->p->buf.at[i];
        if (b->kind != BUF_SLICE || b->loop != loop) continue;
        size_t stride = (size_t)size_of(r, b->stride) * dtype_bytes((DType)b->type.dtype);
        if (r->c->p->buf.at[b->of].kind == BUF_STACK && !open_stack(r, b->of, ((size_t)index + 1) * stride)) return false;
        r->at[i] = r->at[b->of] + (CUdeviceptr)((size_t)index * stride);
    }
    return true;
}

static bool free_stacks(Run *r)
{
    bool ok = true;
    for (uint32_t i = 0; r->room && i < r->c->p->buf.len; i++)
        if (r->room[i] != 0) ok = cuda_ok(r->d, r->d->MemFree(r->at[i]), r->st, "freeing memory") && ok;
    return ok;
}

/* Runs on the host: operands are copied there, results back. */
static bool run_effect(Run *r, const Step *s)
{
    uint32_t n = s->effect.nin + s->effect.nout;
    void **buf = ARENA_ARRAY(&r->arena, void *, n + 1);
    int64_t *type = ARENA_ARRAY(&r->arena, int64_t, n * (2 + MAX_RANK) + 1), *at = type;
    size_t total = 0, used = 0;
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        const Type *t = &s->effect.type[i];
        *at++ = t->dtype;
        *at++ = t->rank;
        for (uint32_t k = 0; k < t->rank; k++) *at++ = size_of(r, t->dim[k]);
        total += (bytes_of(r, s->buf[i]) + ALIGN - 1) / ALIGN * ALIGN;
    }
    char *memory = mem_alloc(total + 1);
    if (!memory) return status_fail(r->st, ST_MEMORY, "cuda: no memory for an effect");
    for (uint32_t i = 0; i < n && ok; i++) {
        size_t bytes = bytes_of(r, s->buf[i]);
        buf[i] = memory + used;
        used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
        if (i < s->effect.nin && bytes != 0)
            ok = cuda_ok(r->d, r->d->MemcpyDtoH(buf[i], r->at[s->buf[i]], bytes), r->st, "copying what an effect asks for");
    }
    int32_t code = ok ? effect_run(r->table, s, buf, type) : 0;
    if (code != 0) ok = ended(r, code);
    for (uint32_t i = s->effect.nin; i < n && ok; i++)
        if (bytes_of(r, s->buf[i]) != 0)
            ok = cuda_ok(
                r->d, r->d->MemcpyHtoD(r->at[s->buf[i]], buf[i], bytes_of(r, s->buf[i])), r->st, "copying what an effect made");
    mem_free(memory, total + 1);
    return ok;
}

static bool run_steps(Run *r, const Step *s, uint32_t n);
static bool write_count(Run *r, uint32_t buf, int64_t n);

static bool run_loop(Run *r, const Step *s)
{
    int64_t trip = s->trip == UINT32_MAX ? size_of(r, s->trip_dim) : 0;
    if (s->trip != UINT32_MAX &&
        !cuda_ok(r->d, r->d->MemcpyDtoH(&trip, r->at[s->trip], 8), r->st, "reading how often a loop turns"))
        return false;
    if (s->trip != UINT32_MAX && s->trip_dim != DIM_BAD) trip = MIN_OF(trip, size_of(r, s->trip_dim));
    for (int64_t turn = 0; turn < trip; turn++) {
        int64_t index = s->reverse ? trip - 1 - turn : turn;
        if (!open_slices(r, s->id, index) || !write_count(r, s->index, index)) return false;
        if (!run_steps(r, s->block[0].step, s->block[0].n)) return false;
    }
    return true;
}

/* Reads the selector of a while or a branch, which decides what the host launches next. */
static bool read_selector(Run *r, const Step *s, int64_t *v)
{
    const DType t = (DType)r->c->p->buf.at[s->selector].type.dtype;
    uint64_t bytes = 0;
    if (!cuda_ok(r->d, r->d->MemcpyDtoH(&bytes, r->at[s->selector], dtype_bytes(t)), r->st, "reading which way to go"))
        return false;
    *v = dtype_load_i64(t, &bytes);
    if (t == DT_u64 && *v < 0) *v = INT64_MAX;
    return true;
}

static bool write_count(Run *r, uint32_t buf, int64_t n)
{
    return buf == UINT32_MAX || cuda_ok(r->d, r->d->MemcpyHtoD(r->at[buf], &n, 8), r->st, "writing a loop's index");
}

static bool run_while(Run *r, const Step *s)
{
    int64_t index = 0, go_on = 0;
    for (;; index++) {
        if (!write_count(r, s->index, index) || !run_steps(r, s->block[1].step, s->block[1].n) || !read_selector(r, s, &go_on))
            return false;
        if (!go_on) return write_count(r, s->count, index);
        if (s->trip_dim != DIM_BAD && index >= s->trip_dim) return ended(r, (int32_t)(ST_VALUE + ENTRY_LOOP * (s->id + 1)));
        if (!open_slices(r, s->id, index) || !run_steps(r, s->block[0].step, s->block[0].n)) return false;
    }
}

static bool run_branch(Run *r, const Step *s)
{
    int64_t k;
    if (!read_selector(r, s, &k)) return false;
    const Block *b = &s->block[MIN_OF(MAX_OF(k, 0), (int64_t)s->nblock - 1)];
    return run_steps(r, b->step, b->n);
}

static bool run_steps(Run *r, const Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool ok = true;
        switch ((StepKind)s[i].kind) {
        case STEP_KERNEL: ok = run_kernel(r, &s[i]); break;
        case STEP_CONTRACT: ok = run_product(r, &s[i]); break;
        case STEP_HOST: ok = status_fail(r->st, ST_INTERNAL, "cuda: %s was not expanded", op_def[s[i].host.op].name); break;
        case STEP_COPY: ok = run_copy(r, &s[i]); break;
        case STEP_LOOP: ok = s[i].selector != UINT32_MAX ? run_while(r, &s[i]) : run_loop(r, &s[i]); break;
        case STEP_BRANCH: ok = run_branch(r, &s[i]); break;
        case STEP_EFFECT: ok = run_effect(r, &s[i]); break;
        }
        if (!ok) return false;
    }
    return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void open_dims(Run *r)
{
    const Program *p = r->c->p;
    const DimTable *t = &p->module->dims;
    r->symbol = ARENA_ARRAY(&r->arena, int64_t, t->expr.len + 1);
    r->dim = ARENA_ARRAY(&r->arena, int64_t, p->dim.len + 1);
    for (uint32_t i = 0; i < p->symbol.len; i++) r->symbol[-1 - p->symbol.at[i]] = r->given[i];
    for (uint32_t i = 0; i < p->dim.len; i++) r->dim[i] = size_of(r, p->dim.at[i]);
}

/* Places buffers from `base` on; returns the bytes that all of them take. */
static size_t place(Run *r, CUdeviceptr base)
{
    const Program *p = r->c->p;
    size_t at = 0;
    r->dims = base;
    at += ((p->dim.len + 1) * sizeof *r->dim + ALIGN - 1) / ALIGN * ALIGN;
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *b = &p->buf.at[i];
        if (b->kind != BUF_INPUT && b->kind != BUF_OUTPUT) continue;
        r->at[i] = base + at;
        at += (bytes_of(r, i) + ALIGN - 1) / ALIGN * ALIGN;
    }
    for (uint32_t i = 0; i < p->buf.len; i++)
        if (p->buf.at[i].kind == BUF_TEMP) r->at[i] = base + at + (CUdeviceptr)p->buf.at[i].offset;
    return at + (size_t)p->workspace;
}

static bool copy(Run *r, BufKind kind)
{
    const Program *p = r->c->p;
    bool ok = true;
    for (uint32_t i = 0; i < p->buf.len && ok; i++) {
        const Buf *b = &p->buf.at[i];
        size_t n = b->kind == kind ? bytes_of(r, i) : 0;
        if (n == 0) continue;
        if (kind == BUF_INPUT)
            ok = cuda_ok(r->d, r->d->MemcpyHtoD(r->at[i], r->host[b->index], n), r->st, "copying input %u in", b->index);
        else
            ok = cuda_ok(
                r->d, r->d->MemcpyDtoH(r->host[p->ninput + b->index], r->at[i], n), r->st, "copying output %u out", b->index);
    }
    return ok;
}

static void run(void *arg)
{
    Run *r = arg;
    const Program *p = r->c->p;
    open_dims(r);
    r->at = ARENA_ARRAY(&r->arena, CUdeviceptr, p->buf.len + 1);
    r->room = ARENA_ARRAY(&r->arena, size_t, p->buf.len + 1);
    size_t bytes = place(r, 0);
    if (r->d->MemAlloc(&r->base, bytes) != 0) {
        r->base = 0;
        status_fail(r->st, ST_MEMORY, "cuda: no memory for %zu bytes on %s", bytes, r->d->device);
        return;
    }
    place(r, r->base);
    r->ok =
        p->dim.len == 0 || cuda_ok(r->d, r->d->MemcpyHtoD(r->dims, r->dim, p->dim.len * sizeof *r->dim), r->st, "copying sizes in");
    r->ok = r->ok && copy(r, BUF_INPUT) && run_steps(r, p->step, p->nstep) && copy(r, BUF_OUTPUT);
}

int32_t cuda_run(const Compiled *c, void *const *buf, const int64_t *dim, const KilnHost *table, Status *st)
{
    Run r = {.c = c, .d = c->driver, .st = st, .host = buf, .table = table, .given = dim};
    CUcontext current;
    if (!cuda_ok(r.d, r.d->CtxPushCurrent(r.d->context), st, "using %s", r.d->device)) return -1;
    arena_init(&r.arena);
    bool ok = arena_try(&r.arena, st, run, &r) && r.ok;
    ok = free_stacks(&r) && ok;
    arena_free(&r.arena);
    if (r.base != 0) ok = cuda_ok(r.d, r.d->MemFree(r.base), st, "freeing memory") && ok;
    r.d->CtxPopCurrent(&current);
    return ok ? 0 : r.code ? r.code : -1;
}
