/* kernel_make: see kernel_make.h. What differs along the vector axis, and what sweeps, follows
 * from the operands. */
#define _GNU_SOURCE
#include "kernel_make.h"

#include "codegen/host_stack.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

Make *make_new(void)
{
    Make *m = calloc(1, sizeof *m);
    assert_non_null(m);
    arena_init(&m->arena);
    m->arena.border = &m->border;
    m->module = ARENA_NEW(&m->arena, Module);
    m->module->arena = &m->arena;
    dim_table_init(&m->module->dims, &m->arena);
    m->p = ARENA_NEW(&m->arena, Program);
    m->p->name = "made";
    m->p->module = m->module;
    return m;
}

void make_free(Make *m)
{
    arena_free(&m->arena);
    free(m);
}

uint32_t make_length(Make *m, uint32_t buf, Dim n)
{
    m->p->buf.at[buf].type.rank = 1;
    m->p->buf.at[buf].type.dim[0] = n;
    return buf;
}

uint32_t make_buf(Make *m, Buf b)
{
    *VEC_PUSH(&m->arena, &m->p->buf) = b;
    return m->p->buf.len - 1;
}

uint32_t make_input(Make *m, DType t)
{
    return make_buf(
        m, (Buf){.kind = BUF_INPUT, .type = {.dtype = (uint8_t)t}, .index = m->p->ninput++});
}

uint32_t make_output(Make *m, DType t)
{
    return make_buf(
        m, (Buf){.kind = BUF_OUTPUT, .type = {.dtype = (uint8_t)t}, .index = m->p->noutput++});
}

Dim make_dim(Make *m, Dim d)
{
    if (dim_is_const(d)) return d;
    for (uint32_t i = 0; i < m->p->dim.len; i++)
        if (m->p->dim.at[i] == d) return d;
    *VEC_PUSH(&m->arena, &m->p->dim) = d;
    return d;
}

Dim make_symbol(Make *m, const char *name, int64_t lo, int64_t hi)
{
    Dim d = dim_symbol(&m->module->dims, name, lo, hi);
    *VEC_PUSH(&m->arena, &m->p->symbol) = d;
    return make_dim(m, d);
}

Dim make_minus_one(Make *m)
{
    *VEC_PUSH(&m->arena, &m->module->dims.expr) =
        (DimExpr){.kind = DIM_NEGATIVE, .size = 1, .lo = -1, .hi = -1};
    return -(Dim)m->module->dims.expr.len;
}

void make_kernel(Make *m, uint32_t n, const Dim *e, int sweep, int vector, int chunk,
    uint32_t unroll, uint32_t nbuf)
{
    m->k = (Kernel){.name = "made",
        .naxis = n,
        .sweep = (int8_t)sweep,
        .vector = (int8_t)vector,
        .turn = -1,
        .chunk = (int8_t)chunk,
        .unroll = (uint8_t)unroll,
        .nbuf = nbuf,
        .cost = 1};
    memcpy(m->k.extent, e, n * sizeof *e);
    m->k.writes = ARENA_ARRAY(&m->arena, bool, nbuf);
    m->k.row_type = ARENA_ARRAY(&m->arena, uint8_t, 8);
    m->instr.len = m->instr.cap = m->stream.len = m->stream.cap = m->reduction.len =
        m->reduction.cap = 0;
    m->store.len = m->store.cap = m->stage.len = m->stage.cap = 0;
}

uint32_t make_row(Make *m, DType t)
{
    m->k.row_type[m->k.nrow] = (uint8_t)t;
    return STREAM_ROW | m->k.nrow++;
}

uint32_t make_stream(
    Make *m, uint32_t buf, DType t, Dim base, const Dim *coef, int32_t dyn, int32_t guard)
{
    Stream s = {.buf = buf, .type = (uint8_t)t, .base = base, .dyn = dyn, .guard = guard};
    if (coef) memcpy(s.coef, coef, m->k.naxis * sizeof *coef);
    *VEC_PUSH(&m->arena, &m->stream) = s;
    return m->stream.len - 1;
}

void make_stage(Make *m, bool sweep)
{
    *VEC_PUSH(&m->arena, &m->stage) = (Stage){sweep, m->instr.len, m->instr.len, m->reduction.len,
        m->reduction.len, m->store.len, m->store.len};
}

static Stage *stage(Make *m) { return &m->stage.at[m->stage.len - 1]; }

static int32_t push(Make *m, Instr in)
{
    int32_t from[3] = {in.a, in.b, in.c};
    for (int i = 0; i < 3; i++) {
        if (from[i] < 0) continue;
        in.lanes |= m->instr.at[from[i]].lanes;
        in.sweeps |= m->instr.at[from[i]].sweeps && (uint32_t)from[i] >= stage(m)->first;
    }
    *VEC_PUSH(&m->arena, &m->instr) = in;
    stage(m)->last = m->instr.len;
    return (int32_t)m->instr.len - 1;
}

int32_t make_const(Make *m, DType t, Scalar v)
{
    return push(
        m, (Instr){.kind = I_CONST, .type = (uint8_t)t, .a = -1, .b = -1, .c = -1, .value = v});
}

int32_t make_prim(Make *m, Prim p, DType t, int32_t a, int32_t b, int32_t c)
{
    return push(
        m, (Instr){.kind = I_PRIM, .prim = (uint8_t)p, .type = (uint8_t)t, .a = a, .b = b, .c = c});
}

static bool moves_along(const Make *m, const Stream *s, int axis)
{
    if (axis < 0) return false;
    return s->buf & STREAM_ROW ? axis == m->k.sweep || m->k.vector != m->k.sweep
                               : s->coef[axis] != 0;
}

int32_t make_load(Make *m, uint32_t stream)
{
    const Stream *s = &m->stream.at[stream];
    Instr in = {.kind = I_LOAD,
        .type = dtype_info[s->type].compute,
        .a = -1,
        .b = -1,
        .c = -1,
        .ref = stream};
    in.lanes = moves_along(m, s, m->k.vector);
    in.sweeps = m->k.sweep >= 0 && stage(m)->sweep && moves_along(m, s, m->k.sweep);
    int32_t from[2] = {s->dyn, s->guard};
    for (int i = 0; i < 2; i++) {
        if (from[i] < 0) continue;
        in.lanes |= m->instr.at[from[i]].lanes;
        in.sweeps |= m->instr.at[from[i]].sweeps;
    }
    return push(m, in);
}

int32_t make_axis(Make *m, uint32_t axis)
{
    Instr in = {.kind = I_AXIS, .type = DT_i64, .a = -1, .b = -1, .c = -1, .ref = axis};
    in.lanes = (int)axis == m->k.vector;
    in.sweeps = (int)axis == m->k.sweep;
    return push(m, in);
}

int32_t make_reduced(Make *m, uint32_t r)
{
    const Reduction *x = &m->reduction.at[r];
    bool arg = x->kind == R_ARGMAX || x->kind == R_ARGMIN;
    Instr in = {
        .kind = I_REDUCED, .type = arg ? DT_i64 : x->type, .a = -1, .b = -1, .c = -1, .ref = r};
    in.lanes = m->instr.at[x->value].lanes && m->k.vector != m->k.sweep;
    return push(m, in);
}

uint32_t make_reduce(Make *m, ReduceKind kind, ReduceOrder order, int32_t value)
{
    *VEC_PUSH(&m->arena, &m->reduction) =
        (Reduction){(uint8_t)kind, m->instr.at[value].type, (uint8_t)order, value};
    stage(m)->last_reduction = m->reduction.len;
    return m->reduction.len - 1;
}

void make_store(Make *m, uint32_t stream, int32_t value, uint8_t fold)
{
    *VEC_PUSH(&m->arena, &m->store) = (Store){.stream = stream, .value = value, .fold = fold};
    stage(m)->last_store = m->store.len;
    uint32_t buf = m->stream.at[stream].buf;
    if (!(buf & STREAM_ROW)) m->k.writes[buf] = true;
}

uint32_t make_kernel_end(Make *m)
{
    m->k.instr = m->instr.at, m->k.ninstr = m->instr.len;
    m->k.stream = m->stream.at, m->k.nstream = m->stream.len;
    m->k.reduction = m->reduction.at, m->k.nreduction = m->reduction.len;
    m->k.store = m->store.at, m->k.nstore = m->store.len;
    m->k.stage = m->stage.at, m->k.nstage = m->stage.len;
    *VEC_PUSH(&m->arena, &m->p->kernel) = m->k;
    return m->p->kernel.len - 1;
}

Step make_run(Make *m, uint32_t kernel, uint32_t nbuf, const uint32_t *buf)
{
    return (Step){.kind = STEP_KERNEL,
        .kernel = kernel,
        .buf = arena_copy(&m->arena, buf, nbuf * sizeof *buf)};
}

void make_step(Make *m, Step s) { *VEC_PUSH(&m->arena, &m->step) = s; }

const Program *make_program(Make *m)
{
    m->p->step = m->step.at;
    m->p->nstep = m->step.len;
    return m->p;
}

/* ---- running --------------------------------------------------------------------------------- */

const Backend *llvm_module(void)
{
    static const Backend *found;
    static bool tried;
    char path[4096];
    const char *dir = getenv("KILN_LIBDIR");
    if (tried) return found;
    tried = true;
    snprintf(path, sizeof path, "%s/libkiln-llvm.so", dir && *dir ? dir : "build");
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *fn = lib ? dlsym(lib, "kiln_llvm_backend") : NULL;
    if (!fn) {
        print_message("no LLVM backend: %s\n", dlerror());
        return NULL;
    }
    BackendExport *get;
    memcpy(&get, &fn, sizeof get);
    return found = get();
}

const Backend *llvm_backend(void)
{
    Status st = {0};
    return llvm_module() ? backend_get("cpu", &st) : NULL;
}

void run_program(const Program *p, void *const *buf, const int64_t *dim, const KilnHost *host)
{
    const Backend *b = llvm_backend();
    Status st = {0};
    Compiled *c = b->compile(p, &(CompileOptions){0}, &st);
    if (!c) fail_msg("%s", st.text);
    void *work = p->workspace ? aligned_alloc(64, (size_t)(p->workspace + 63) / 64 * 64) : NULL;
    HostStack stacks[8] = {0};
    KilnHost own = host != NULL ? *host : (KilnHost){.ctx = NULL};
    own.stack = host_stack_grow;
    own.stacks = stacks;
    assert_in_range(p->nstack, 0, 8);
    assert_int_equal(b->entry(c)(buf, dim, work, p->nstack != 0 ? &own : host), 0);
    host_stacks_free(stacks, p->nstack);
    free(work);
    b->release(c);
}

Guarded guarded_new(size_t bytes, bool at_end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    Guarded g = {.size = inner + 2 * page};
    g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    char *from = (char *)g.map + page;
    assert_int_equal(mprotect(g.map, page, PROT_NONE), 0);
    assert_int_equal(mprotect(from + inner, page, PROT_NONE), 0);
    g.at = at_end ? from + inner - bytes : from;
    return g;
}

void guarded_free(Guarded *g) { munmap(g->map, g->size); }
