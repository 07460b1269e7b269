/* cuda_run: runs a program as a list of launches in one stream. The host runs the loops and puts their indices into the stream.
 * Programs that are recorded run otherwise (replay.c). Relies on run.h. Never loads, prints or compiles one. */
#include "../effect.h"
#include "../host_stack.h"
#include "blas.h"
#include "maps.h"
#include "run.h"
#include "timed.h"

#define ALIGN 256

int64_t cuda_grid_most = CUDA_GRID;

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct Run {
    const Compiled *c;
    const CudaDriver *d;
    CudaQueue *q;
    const CudaCall *call;
    Status *st;
    Arena arena;      /* holds the arrays below */
    CUdeviceptr *at;  /* the address of each buffer */
    size_t *room;     /* the bytes of each buffer that is a stack */
    CUdeviceptr base; /* memory of this run alone; 0 if none */
    int64_t *symbol;  /* the values of the program's symbols, then of those that steps count */
    int64_t *dim;     /* the values of Program.dim */
    CUdeviceptr dims; /* and where they lie, if a launch does not bring them along */
    Timed timed;      /* of code with marks */
    bool ok;
    int32_t code; /* what the entry of program.h would return, where the program itself ended; else st tells */
} Run;

static bool ended(Run *r, int32_t code)
{
    r->code = code;
    return false;
}

static int64_t size_of(const Run *r, Dim d) { return program_size(r->c->p, d, r->symbol); }
static size_t bytes_of(const Run *r, uint32_t buf) { return cuda_buffer_bytes(r->c->p, buf, r->symbol); }

/* At the most that it may be. */
static size_t room_of(const Run *r, uint32_t buf)
{
    const Type *t = buf_room(&r->c->p->buf.at[buf]);
    size_t n = dtype_bytes((DType)t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) n *= (size_t)size_of(r, t->dim[i]);
    return n;
}

bool cuda_take(const CudaQueue *q, size_t bytes, CUdeviceptr *at, Status *st)
{
    const CudaDriver *d = q->driver;
    CUresult e = d->MemAllocAsync(at, bytes, q->stream);
    if (e == CUDA_ERROR_OUT_OF_MEMORY && d->CtxSynchronize() == 0) e = d->MemAllocAsync(at, bytes, q->stream);
    if (e == CUDA_ERROR_OUT_OF_MEMORY) return status_fail(st, ST_MEMORY, "no memory for %zu bytes on %s", bytes, d->device);
    return cuda_ok(d, e, st, "taking %zu bytes", bytes);
}

CUresult cuda_give(const CudaQueue *q, CUdeviceptr at)
{
    const CUresult e = q->driver->MemFreeAsync(at, q->stream);
    return e == 0 ? 0 : q->driver->MemFreeAsync(at, q->stream);
}

static bool give(Run *r, CUdeviceptr at) { return cuda_ok(r->d, cuda_give(r->q, at), r->st, "freeing memory"); }
static bool wait(Run *r, const char *what) { return cuda_ok(r->d, r->d->StreamSynchronize(r->q->stream), r->st, "%s", what); }

/* Reads what was computed so far. */
static bool get(Run *r, void *to, CUdeviceptr from, size_t bytes, const char *what)
{
    return cuda_ok(r->d, r->d->MemcpyDtoHAsync(to, from, bytes, r->q->stream), r->st, "%s", what) && wait(r, what);
}

static bool launch_grid(Run *r, uint32_t f, const ShareGrid *g, uint32_t threads, void **args, Loc at)
{
    if (g->blocks <= 0) return true;
    const unsigned grid = (unsigned)MIN_OF(g->blocks, cuda_grid_most);
    const CUfunction is = r->c->function[f];
    const CUresult e = g->parts > 1
                           ? r->d->LaunchCooperativeKernel(is, grid, (unsigned)g->parts, 1, threads, 1, 1, 0, r->q->stream, args)
                           : r->d->LaunchKernel(is, grid, 1, 1, threads, 1, 1, r->c->shared[f], r->q->stream, args, NULL);
    if (!cuda_ok(r->d, e, r->st, "launching %s", r->c->text.name[f])) return false;
    if (r->q->launched) r->q->launched(r->q, r->c->text.name[f], r->c->p->name, at.file ? at : r->call->at);
    return true;
}

static bool launch(Run *r, uint32_t f, int64_t blocks, uint32_t threads, void **args, Loc at)
{
    return launch_grid(r, f, &(ShareGrid){.blocks = blocks, .parts = 1}, threads, args, at);
}

static void *dims_of(Run *r) { return cuda_dims_by_value(r->c->p) ? (void *)r->dim : &r->dims; }

/* Memory for one launch, in which the blocks of a row meet. */
static bool take_meeting(Run *r, const ShareGrid *g, CUdeviceptr *at)
{
    if (!cuda_take(r->q, (size_t)g->words * sizeof(uint64_t), at, r->st)) return false;
    if (cuda_ok(r->d, r->d->MemsetD32Async(*at, 0, 2 * (size_t)g->blocks, r->q->stream), r->st, "clearing memory")) return true;
    cuda_give(r->q, *at);
    return false;
}

static bool run_kernel(Run *r, const Step *s)
{
    const Kernel *k = &r->c->p->kernel.at[s->kernel];
    const CudaShape *shape = &r->c->shape[s->kernel];
    const ShareGrid g = cuda_grid(r->c, s->kernel, r->symbol, false);
    CUdeviceptr meeting = 0;
    void *args[k->nbuf + 2], **end = args + k->nbuf;
    for (uint32_t i = 0; i < k->nbuf; i++) args[i] = &r->at[s->buf[i]];
    if (shape->several) *end++ = &meeting;
    *end = dims_of(r);
    if (g.parts > 1 && !take_meeting(r, &g, &meeting)) return false;
    const bool ok = launch_grid(r, s->kernel, &g, shape->block, args, k->loc);
    return meeting == 0 ? ok : give(r, meeting) && ok;
}

static int64_t stride_of(const Run *r, const Strides *d) { return size_of(r, strides_last(d)); }

/* The product as numbers; whether it goes to the BLAS. */
static bool goes_to_blas(const Run *r, const Step *s, BlasProduct *x)
{
    const int64_t bytes = (int64_t)dtype_bytes((DType)s->contract.type);
    if (!s->contract.blas) return false;
    *x = (BlasProduct){.type = (DType)s->contract.type,
        .tf32 = s->contract.sums == SUMS_TF32,
        .m = size_of(r, s->contract.m),
        .n = size_of(r, s->contract.n),
        .k = size_of(r, s->contract.k),
        .nbatch = s->contract.nbatch,
        .a_row = stride_of(r, &s->contract.a_row),
        .a_col = stride_of(r, &s->contract.a_col),
        .b_row = stride_of(r, &s->contract.b_row),
        .b_col = stride_of(r, &s->contract.b_col),
        .a = r->at[s->contract.a] + (CUdeviceptr)(size_of(r, s->contract.a_base) * bytes),
        .b = r->at[s->contract.b] + (CUdeviceptr)(size_of(r, s->contract.b_base) * bytes),
        .c = r->at[s->contract.c]};
    for (uint32_t i = 0; i < x->nbatch; i++) {
        x->batch[i] = size_of(r, s->contract.batch[i]);
        x->a_batch[i] = size_of(r, s->contract.a_batch[i]);
        x->b_batch[i] = size_of(r, s->contract.b_batch[i]);
        if (x->batch[i] == 0) return false;
    }
    return blas_takes(x);
}

static bool run_blas(Run *r, const Step *s, const BlasProduct *x, bool *done)
{
    if (!blas_product(r->q, x, done, r->st)) return false;
    if (*done && r->q->launched) r->q->launched(r->q, "cublasLtMatmul", r->c->p->name, s->loc.file ? s->loc : r->call->at);
    return true;
}

static bool run_product(Run *r, const Step *s)
{
    BlasProduct x;
    if (goes_to_blas(r, s, &x)) {
        bool done = false;
        const bool ok = run_blas(r, s, &x, &done);
        if (!ok || done) return ok;
    }
    uint32_t f = r->c->p->kernel.len + cuda_product_of(&r->c->text.products, s);
    uint32_t buf[CUDA_OPERANDS];
    const uint32_t n = cuda_product_operands(r->c->p, s, buf);
    void *args[CUDA_OPERANDS + 2];
    for (uint32_t i = 0; i < n; i++) args[i] = &r->at[buf[i]];
    OperandMap map[2];
    ProductMaps maps;
    const bool bulk = product_maps(r->c->p, s, product_plan(r->c->p, s, cuda_sm(r->d)), map);
    const CUdeviceptr at[] = {r->at[s->contract.a], r->at[s->contract.b]};
    if (bulk && !cuda_maps(r->d, r->c->p, map, r->symbol, at, &maps, r->st)) return false;
    args[n] = &maps;
    args[n + bulk] = dims_of(r);
    return launch(r, f, cuda_product_blocks(r->c, s, r->symbol), CUDA_BLOCK, args, s->loc);
}

static bool run_launch(Run *r, uint32_t number)
{
    const CudaLaunch *l = &r->c->text.launches.at[number];
    void *args[l->nbuf + 1];
    for (uint32_t i = 0; i < l->nbuf; i++) args[i] = &r->at[l->buf[i]];
    args[l->nbuf] = dims_of(r);
    const Loc at = r->c->p->kernel.at[l->first->kernel].loc;
    return launch(r, r->c->text.first_launch + number, l->blocks, CUDA_BLOCK, args, at);
}

static bool run_copy(Run *r, const Step *s)
{
    size_t n = bytes_of(r, s->to);
    return n == 0 ||
           cuda_ok(r->d, r->d->MemcpyDtoDAsync(r->at[s->to], r->at[s->from], n, r->q->stream), r->st, "copying %zu bytes", n);
}

/* ---- stacks ---------------------------------------------------------------------------------- */

/* Where the host keeps a record of what the call's stacks were refused, it says so itself. */
static bool no_stack(Run *r, uint32_t number, size_t bytes)
{
    const KilnHost *h = r->call->host;
    if (r->st->code != ST_MEMORY || !h || !h->stacks) return false;
    status_clear(r->st);
    h->stacks[number].refused = (int64_t)bytes;
    return ended(r, ST_MEMORY);
}

/* Gives a stack room for `bytes` bytes and keeps what lies there. */
static bool open_stack(Run *r, uint32_t buf, size_t bytes)
{
    size_t n = MAX_OF(r->room[buf], (size_t)4096);
    CUdeviceptr at;
    while (n < bytes) n *= 2;
    if (n == r->room[buf]) return true;
    if (!cuda_take(r->q, n, &at, r->st)) return no_stack(r, r->c->p->buf.at[buf].index, n);
    const CUdeviceptr was = r->at[buf];
    const size_t had = r->room[buf];
    r->at[buf] = at;
    r->room[buf] = n;
    return had == 0 || (cuda_ok(r->d, r->d->MemcpyDtoDAsync(at, was, had, r->q->stream), r->st, "copying a stack") && give(r, was));
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

/* After whatever the run put into the stream. */
static bool free_all(Run *r)
{
    bool ok = true;
    for (uint32_t i = 0; r->room && i < r->c->p->buf.len; i++)
        if (r->room[i] != 0) ok = give(r, r->at[i]) && ok;
    return r->base == 0 ? ok : give(r, r->base) && ok;
}

/* ---- effects --------------------------------------------------------------------------------- */

static size_t aligned(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* The step's types as KilnHost.effect takes them; returns the bytes that its buffers take on the host. */
static size_t effect_types(const Run *r, const Step *s, int64_t *at)
{
    size_t total = 0;
    for (uint32_t i = 0; i < s->effect.nin + s->effect.nout; i++) {
        const Type *t = &s->effect.type[i];
        *at++ = t->dtype;
        *at++ = t->rank;
        for (uint32_t k = 0; k < t->rank; k++) *at++ = size_of(r, t->dim[k]);
        total += aligned(bytes_of(r, s->buf[i]));
    }
    return total;
}

/* What the host does may be anything, so it has the context that it would have without us. */
static bool happens(Run *r, const Step *s, void **buf, const int64_t *type)
{
    CUcontext ours;
    if (!cuda_ok(r->d, r->d->CtxPopCurrent(&ours), r->st, "leaving %s", r->d->device)) return false;
    const int32_t code = effect_run(r->call->host, s, buf, type);
    const bool back = cuda_ok(r->d, r->d->CtxPushCurrent(r->d->context), r->st, "using %s", r->d->device);
    return code != 0 ? ended(r, code) : back;
}

static bool effect_at(Run *r, const Step *s, char *memory, void **buf, const int64_t *type)
{
    const uint32_t nin = s->effect.nin, n = nin + s->effect.nout;
    bool ok = true;
    for (uint32_t i = 0; i < n && ok; i++) {
        const size_t bytes = bytes_of(r, s->buf[i]);
        buf[i] = memory;
        memory += aligned(bytes);
        if (i < nin && bytes != 0) ok = get(r, buf[i], r->at[s->buf[i]], bytes, "copying what an effect asks for");
    }
    if (!ok || !happens(r, s, buf, type)) return false;
    for (uint32_t i = nin; i < n && ok; i++) {
        const size_t bytes = bytes_of(r, s->buf[i]);
        ok = bytes == 0 || r->q->put(r->q, r->at[s->buf[i]], buf[i], bytes, r->st);
    }
    return ok;
}

/* Runs on the host: operands are copied there, results back. */
static bool run_effect(Run *r, const Step *s)
{
    const uint32_t n = s->effect.nin + s->effect.nout;
    void **buf = ARENA_ARRAY(&r->arena, void *, n + 1);
    int64_t *type = ARENA_ARRAY(&r->arena, int64_t, n * (2 + MAX_RANK) + 1);
    const size_t total = effect_types(r, s, type) + 1;
    char *memory = mem_alloc(total);
    if (!memory) return status_fail(r->st, ST_MEMORY, "no memory for what an effect reads");
    const bool ok = effect_at(r, s, memory, buf, type);
    mem_free(memory, total);
    return ok;
}

/* ---- loops and branches ---------------------------------------------------------------------- */

static bool run_steps(Run *r, const Step *s, uint32_t n);

static bool write_count(Run *r, uint32_t buf, int64_t n)
{
    return buf == UINT32_MAX || r->q->put(r->q, r->at[buf], &n, sizeof n, r->st);
}

static bool run_loop(Run *r, const Step *s)
{
    int64_t trip = s->trip == UINT32_MAX ? size_of(r, s->trip_dim) : 0;
    if (s->trip != UINT32_MAX && !get(r, &trip, r->at[s->trip], 8, "reading how often a loop turns")) return false;
    if (s->trip != UINT32_MAX && s->trip_dim != DIM_BAD) trip = MIN_OF(trip, size_of(r, s->trip_dim));
    for (int64_t turn = 0; turn < trip; turn++) {
        int64_t index = s->reverse ? trip - 1 - turn : turn;
        if (!open_slices(r, s->id, index) || !write_count(r, s->index, index)) return false;
        if (!run_steps(r, s->block[0].step, s->block[0].n) || !timed_mark(&r->timed, r->q, -1 - (int64_t)s->number, r->st))
            return false;
    }
    return true;
}

/* Reads the selector of a while or a branch, which decides what the host launches next. */
static bool read_selector(Run *r, const Step *s, int64_t *v)
{
    const DType t = (DType)r->c->p->buf.at[s->selector].type.dtype;
    uint64_t bytes = 0;
    if (!get(r, &bytes, r->at[s->selector], dtype_bytes(t), "reading which way to go")) return false;
    *v = dtype_load_i64(t, &bytes);
    if (t == DT_u64 && *v < 0) *v = INT64_MAX;
    return true;
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

static bool open_dims(Run *r);

/* Reads the size, and goes on with it. */
static bool run_size(Run *r, const Step *s)
{
    int64_t n = 0;
    const Program *p = r->c->p;
    if (!get(r, &n, r->at[s->from], sizeof n, "reading a size")) return false;
    n = MIN_OF(n, size_of(r, p->module->dims.expr.at[-1 - s->size].bound));
    r->symbol[p->symbol.len + program_counted(p, s->size)] = MAX_OF(n, 0);
    return open_dims(r) && run_steps(r, s->block[0].step, s->block[0].n);
}

static bool run_steps(Run *r, const Step *s, uint32_t n)
{
    const CudaLaunches *launches = &r->c->text.launches;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t number = cuda_launch_at(launches, &s[i]);
        if (!s[i].ends && !timed_mark(&r->timed, r->q, s[i].number, r->st)) return false;
        if (number < launches->len) {
            if (!run_launch(r, number)) return false;
            i += launches->at[number].n - 1;
            continue;
        }
        bool ok = true;
        switch ((StepKind)s[i].kind) {
        case STEP_KERNEL: ok = s[i].ends || run_kernel(r, &s[i]); break;
        case STEP_CONTRACT: ok = run_product(r, &s[i]); break;
        case STEP_HOST: ok = cuda_factor(r->c->p, r->q, &s[i], r->at, r->call->dim, r->st); break;
        case STEP_COPY: ok = run_copy(r, &s[i]); break;
        case STEP_LOOP: ok = s[i].selector != UINT32_MAX ? run_while(r, &s[i]) : run_loop(r, &s[i]); break;
        case STEP_BRANCH: ok = run_branch(r, &s[i]); break;
        case STEP_EFFECT: ok = run_effect(r, &s[i]); break;
        case STEP_SIZE: ok = run_size(r, &s[i]); break;
        }
        if (!ok) return false;
    }
    return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Places the program's run-time dims, and temporaries that have no workspace side by side, from `base` on; returns the bytes that
 * all of them take. */
static size_t place(Run *r, CUdeviceptr base)
{
    const Program *p = r->c->p;
    size_t at = cuda_dims_by_value(p) ? 0 : aligned(p->dim.len * sizeof(int64_t));
    r->dims = base;
    for (uint32_t i = 0; i < p->buf.len; i++) {
        const Buf *b = &p->buf.at[i];
        if (b->kind == BUF_INPUT) r->at[i] = (CUdeviceptr)(uintptr_t)r->call->buf[b->index];
        if (b->kind == BUF_OUTPUT) r->at[i] = (CUdeviceptr)(uintptr_t)r->call->buf[p->ninput + b->index];
        if (b->kind != BUF_TEMP) continue;
        r->at[i] = r->call->work ? (CUdeviceptr)(uintptr_t)r->call->work + (CUdeviceptr)b->offset : base + at;
        if (!r->call->work && b->bytes != 0) at += aligned(room_of(r, i));
    }
    return at;
}

static bool open_dims(Run *r)
{
    const Program *p = r->c->p;
    if (!r->dim) r->dim = ARENA_ARRAY(&r->arena, int64_t, p->dim.len + 1);
    for (uint32_t i = 0; i < p->dim.len; i++) r->dim[i] = size_of(r, p->dim.at[i]);
    return p->dim.len <= CUDA_DIMS || r->q->put(r->q, r->dims, r->dim, p->dim.len * sizeof *r->dim, r->st);
}

static void run(void *arg)
{
    Run *r = arg;
    const Program *p = r->c->p;
    r->symbol = ARENA_ARRAY(&r->arena, int64_t, p->symbol.len + p->counted.len + 1);
    if (p->symbol.len) memcpy(r->symbol, r->call->dim, p->symbol.len * sizeof *r->symbol);
    r->at = ARENA_ARRAY(&r->arena, CUdeviceptr, p->buf.len + 1);
    if (p->nstack != 0) r->room = ARENA_ARRAY(&r->arena, size_t, p->buf.len + 1);
    const size_t bytes = place(r, 0);
    if (bytes != 0 && !cuda_take(r->q, bytes, &r->base, r->st)) {
        r->base = 0;
        return;
    }
    place(r, r->base);
    r->ok = open_dims(r) && run_steps(r, p->step, p->nstep) && timed_end(&r->timed, r->q, r->st);
}

int32_t cuda_run(const Compiled *c, CudaQueue *q, const CudaCall *call, Status *st)
{
    if (c->recordings) return cuda_replay(c, q, call, st);
    Run r = {.c = c, .d = c->driver, .q = q, .call = call, .st = st};
    r.timed.marks = call->host ? call->host->marks : NULL;
    arena_init(&r.arena);
    bool ok = arena_try(&r.arena, st, run, &r) && r.ok;
    timed_free(&r.timed, c->driver);
    ok = free_all(&r) && ok;
    arena_free(&r.arena);
    return ok ? 0 : r.code ? r.code : -1;
}

static const Step *find_step(const Step *s, uint32_t n, int64_t code)
{
    const Step *found = NULL;
    for (uint32_t i = 0; i < n && !found; i++) {
        if (s[i].kind == STEP_EFFECT && control_asserted(&s[i]) == code) return &s[i];
        for (uint32_t k = 0; k < s[i].nblock && !found; k++) found = find_step(s[i].block[k].step, s[i].block[k].n, code);
    }
    return found;
}

typedef struct Asserted {
    Run run;
    CUdeviceptr table;
    int64_t code;
} Asserted;

/* Its operands lie where the table says, and nothing has run since. */
static void look_at(void *arg)
{
    Asserted *a = arg;
    Run *r = &a->run;
    const Program *p = r->c->p;
    const Step *s = find_step(p->step, p->nstep, a->code);
    r->at = ARENA_ARRAY(&r->arena, CUdeviceptr, p->buf.len + 1);
    r->symbol = (int64_t *)(uintptr_t)r->call->dim; /* nothing is counted where a program is recorded */
    if (!s) status_fail(r->st, ST_INTERNAL, "cuda: %s ended with %lld", p->name, (long long)a->code);
    r->ok = s && get(r, r->at, a->table, p->buf.len * sizeof *r->at, "reading where buffers lie") && run_effect(r, s);
}

int32_t cuda_asserted(const Compiled *c, CudaQueue *q, const CudaCall *call, const Recording *rec, int64_t code, Status *st)
{
    Asserted a = {.run = {.c = c, .d = c->driver, .q = q, .call = call, .st = st}, .table = rec->table, .code = code};
    arena_init(&a.run.arena);
    const bool ok = arena_try(&a.run.arena, st, look_at, &a) && a.run.ok;
    arena_free(&a.run.arena);
    return ok || a.run.code ? a.run.code : -1;
}
