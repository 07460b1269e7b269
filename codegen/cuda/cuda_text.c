/* cuda_text: prints a kernel as a CUDA C function, and a whole program as one source: points, stages, instructions, streams (sweeps
 * are in cuda_reduce.c). Relies on print.h. Makes no decision that belongs to the kernel; never runs or compiles anything. */
#include "print.h"

#include <stdio.h>

/* ---- lines ----------------------------------------------------------------------------------- */

static void line(Print *c, const char *end, const char *format, va_list args)
{
    char text[512], *at = text;
    va_list again;
    va_copy(again, args);
    size_t n = (size_t)vsnprintf(text, sizeof text, format, args);
    if (n >= sizeof text) vsnprintf(at = arena_alloc(c->arena, n + 1), n + 1, format, again);
    va_end(again);
    text_printf(c->out, "%*s%s%s\n", (int)(4 * c->depth), "", at, end);
}

void cuda_line(Print *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(c, "", format, args);
    va_end(args);
}

void cuda_open(Print *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(c, " {", format, args);
    va_end(args);
    c->depth++;
}

void cuda_close(Print *c)
{
    c->depth--;
    cuda_line(c, "}");
}

/* ---- sizes ----------------------------------------------------------------------------------- */

bool cuda_dim_const(const Program *p, Dim d, int64_t *out)
{
    if (d == DIM_BAD) return false;
    *out = dim_lo(&p->module->dims, d);
    return dim_is_const(d) || *out == dim_hi(&p->module->dims, d);
}

const char *cuda_dim(Print *c, Dim d)
{
    int64_t v;
    if (cuda_dim_const(c->p, d, &v)) return cuda_literal(c->arena, DT_i64, (Scalar){.i = v});
    for (uint32_t i = 0; i < c->p->dim.len; i++) {
        if (c->p->dim.at[i] != d) continue;
        c->dim_used[i] = true;
        return arena_printf(c->arena, "d%u", i);
    }
    const DimExpr *x = d == DIM_BAD ? NULL : &c->p->module->dims.expr.at[-1 - d];
    if (!x || x->kind == DIM_SYMBOL || x->kind == DIM_NEGATIVE) {
        status_fail(c->st, ST_INTERNAL, "cuda: a kernel reads a size that the program does not list");
        return "0ll";
    }
    const char *a = cuda_dim(c, x->a), *b = cuda_dim(c, x->b);
    switch ((DimKind)x->kind) {
    case DIM_ADD: return arena_printf(c->arena, "(%s + %s)", a, b);
    case DIM_MUL: return arena_printf(c->arena, "(%s * %s)", a, b);
    case DIM_FLOORDIV: return arena_printf(c->arena, "(%s / %s)", a, b);
    default: return arena_printf(c->arena, "(%s > %s ? %s : %s)", a, b, a, b);
    }
}

/* ---- streams --------------------------------------------------------------------------------- */

static bool has_lanes(const Print *c) { return c->shape.team > 1; }
static bool is_block(const Print *c) { return c->shape.team > TREE_LANES; }
static bool is_row(const Stream *s) { return (s->buf & STREAM_ROW) != 0; }

static const char *joined(Print *c, const char *sum, const char *term)
{
    return sum ? arena_printf(c->arena, "%s + %s", sum, term) : term;
}

static const char *offset(Print *c, const Stream *s)
{
    const char *sum = NULL;
    for (uint32_t a = 0; a < c->k->naxis; a++) {
        if (s->coef[a] == 0) continue;
        const char *i = arena_printf(c->arena, "i%u", a);
        sum = joined(c, sum, s->coef[a] == 1 ? i : arena_printf(c->arena, "%s * %s", cuda_dim(c, s->coef[a]), i));
    }
    if (s->dyn >= 0) sum = joined(c, sum, cuda_operand(c, s->dyn));
    if (s->base != 0 || !sum) sum = joined(c, sum, cuda_dim(c, s->base));
    return sum;
}

/* A buffer is declared with the type of its first stream. */
static const char *buffer_type(const Kernel *k, uint32_t buf)
{
    for (uint32_t i = 0; i < k->nstream; i++)
        if (k->stream[i].buf == buf) return cuda_memory_type((DType)k->stream[i].type);
    return "void";
}

static const char *element(Print *c, const Stream *s)
{
    if (is_row(s))
        return arena_printf(c->arena, has_lanes(c) ? "row%u[i%d / 32]" : "row%u[i%d]", s->buf & ~STREAM_ROW, c->k->sweep);
    const char *t = cuda_memory_type((DType)s->type), *declared = buffer_type(c->k, s->buf);
    if (strcmp(t, declared) == 0) return arena_printf(c->arena, "b%u[%s]", s->buf, offset(c, s));
    return arena_printf(c->arena, "((%s *)b%u)[%s]", t, s->buf, offset(c, s));
}

static const char *load(Print *c, const Stream *s)
{
    const char *x = cuda_from_memory(c->arena, (DType)s->type, element(c, s));
    if (s->guard < 0) return x;
    const char *zero = cuda_literal(c->arena, (DType)s->type, (Scalar){0});
    return arena_printf(c->arena, "%s ? %s : %s", cuda_operand(c, s->guard), x, zero);
}

static void store(Print *c, const Store *to)
{
    const Stream *s = &c->k->stream[to->stream];
    DType t = (DType)s->type;
    const char *at = element(c, s), *x = cuda_operand(c, to->value);
    if (to->fold) {
        const Reduction r = {.kind = (uint8_t)(to->fold - 1), .type = dtype_info[t].compute};
        x = cuda_folded(c, &r, cuda_from_memory(c->arena, t, at), x);
    }
    const char *guard = s->guard < 0 ? "" : arena_printf(c->arena, "if (%s) ", cuda_operand(c, s->guard));
    cuda_line(c, "%s%s = %s;", guard, at, cuda_to_memory(c->arena, t, x));
}

void cuda_stores(Print *c, const Stage *s)
{
    if (s->first_store == s->last_store) return;
    bool once = has_lanes(c) && !s->sweep;
    if (once) {
        /* Other lanes may still read what lane 0 writes in place. */
        cuda_line(c, is_block(c) ? "__syncthreads();" : "__syncwarp();");
        cuda_open(c, is_block(c) ? "if (threadIdx.x == 0)" : "if (lane == 0)");
    }
    for (uint32_t i = s->first_store; i < s->last_store; i++) store(c, &c->k->store[i]);
    if (once) cuda_close(c);
}

/* ---- instructions ---------------------------------------------------------------------------- */

static bool is_inline(const Instr *i)
{
    return i->kind == I_CONST || i->kind == I_AXIS || i->kind == I_DIM || i->kind == I_REDUCED;
}

const char *cuda_operand(Print *c, int32_t instr)
{
    const Instr *i = &c->k->instr[instr];
    switch ((InstrKind)i->kind) {
    case I_CONST: return cuda_literal(c->arena, (DType)i->type, i->value);
    case I_AXIS: return arena_printf(c->arena, "i%u", i->ref);
    case I_DIM: return cuda_dim(c, c->p->dim.at[i->ref]);
    case I_REDUCED: return cuda_reduced(c, i->ref);
    default: return arena_printf(c->arena, "v%d", instr);
    }
}

static const char *expression(Print *c, const Instr *i)
{
    if (i->kind == I_LOAD) return load(c, &c->k->stream[i->ref]);
    const char *x = cuda_operand(c, i->a);
    const char *y = i->b >= 0 ? cuda_operand(c, i->b) : "", *z = i->c >= 0 ? cuda_operand(c, i->c) : "";
    if (i->kind == I_CALL) {
        const MathInfo *m = &math_info[i->ref];
        return arena_printf(c->arena, m->args == 2 ? "%s(%s, %s)" : "%s(%s)", m->name, x, y);
    }
    if (i->kind == I_RANDOM) return arena_printf(c->arena, "random_word(%s, %s, %s)", x, y, z);
    DType t = (DType)c->k->instr[i->prim == P_select ? i->b : i->a].type;
    const char *text = cuda_prim(c->arena, (Prim)i->prim, t, (DType)i->type, x, y, z);
    if (!text) status_fail(c->st, ST_UNSUPPORTED, "cuda: %s is not available for %s", prim_info[i->prim].name, dtype_info[t].name);
    return text ? text : "0";
}

static void fetch(Print *c, uint32_t instr)
{
    const Instr *i = &c->k->instr[instr];
    const Stream *s = &c->k->stream[i->ref];
    const DType t = (DType)i->type;
    const char *x = cuda_operand(c, (int32_t)instr);
    cuda_line(c, "const %s %s = %s;", cuda_type(t), x, load(c, s));
    if (i->b >= 0) x = cuda_prim(c->arena, P_mul, t, t, x, cuda_operand(c, i->b), NULL);
    if (i->a >= 0) x = cuda_prim(c->arena, P_add, t, t, x, cuda_operand(c, i->a), NULL);
    const char *guard = s->guard < 0 ? "" : arena_printf(c->arena, "if (%s) ", cuda_operand(c, s->guard));
    cuda_line(c, "%s%s = %s;", guard, element(c, s), cuda_to_memory(c->arena, (DType)s->type, x));
}

void cuda_instrs(Print *c, const Stage *s, bool sweeps)
{
    for (uint32_t i = s->first; i < s->last; i++) {
        const Instr *in = &c->k->instr[i];
        if (is_inline(in) || (s->sweep && in->sweeps != sweeps)) continue;
        if (in->kind == I_FETCH)
            fetch(c, i);
        else
            cuda_line(c, "const %s v%u = %s;", cuda_type((DType)in->type), i, expression(c, in));
    }
}

/* ---- points ---------------------------------------------------------------------------------- */

static bool uses_axis(const Kernel *k, uint32_t axis)
{
    for (uint32_t i = 0; i < k->nstream; i++)
        if (!is_row(&k->stream[i]) && k->stream[i].coef[axis] != 0) return true;
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (k->instr[i].kind == I_AXIS && k->instr[i].ref == axis) return true;
    return false;
}

/* Orders the parallel axes, the fastest first: the vector axis, so that neighbouring threads touch neighbouring elements, then the
 * last axis and so on. */
static uint32_t parallel_axes(const Kernel *k, uint32_t *axis)
{
    uint32_t n = 0;
    if (k->vector >= 0 && k->vector != k->sweep) axis[n++] = (uint32_t)k->vector;
    for (uint32_t a = k->naxis; a-- > 0;)
        if ((int)a != k->sweep && (int)a != k->vector) axis[n++] = a;
    return n;
}

static bool fits_32(const Print *c, const uint32_t *axis, uint32_t n)
{
    int64_t points = 1;
    for (uint32_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(points, dim_hi(&c->p->module->dims, c->k->extent[axis[i]]), &points) || points > INT32_MAX)
            return false;
    return true;
}

static void open_indices(Print *c, const uint32_t *axis, uint32_t n, const char *t)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < n; i++)
        if (uses_axis(c->k, axis[i])) last = i;
    if (last > 0) cuda_line(c, "%s rest = point;", t);
    for (uint32_t i = 0; i <= last && n > 0; i++) {
        const char *from = last > 0 ? "rest" : "point", *extent = cuda_dim(c, c->k->extent[axis[i]]);
        if (uses_axis(c->k, axis[i])) {
            if (i + 1 == n)
                cuda_line(c, "const i64 i%u = %s;", axis[i], from);
            else
                cuda_line(c, "const i64 i%u = %s %% %s(%s);", axis[i], from, t, extent);
        }
        if (i < last) cuda_line(c, "rest /= %s(%s);", t, extent);
    }
}

static void open_rows(Print *c)
{
    int64_t n = 0;
    for (uint32_t r = 0; r < c->k->nrow; r++) {
        if (!cuda_dim_const(c->p, c->k->extent[c->k->sweep], &n))
            status_fail(c->st, ST_INTERNAL, "cuda: kernel %s keeps a row of unknown length", c->k->name ? c->k->name : "?");
        cuda_line(
            c, "%s row%u[%lld];", cuda_memory_type((DType)c->k->row_type[r]), r, (long long)MAX_OF(cuda_kept(&c->shape, n), 1));
    }
}

static bool is_empty(const Print *c, const uint32_t *axis, uint32_t n)
{
    int64_t extent;
    for (uint32_t i = 0; i < n; i++)
        if (cuda_dim_const(c->p, c->k->extent[axis[i]], &extent) && extent == 0) return true;
    return false;
}

/* Whether the next point's totals would come where this one's are still read: no other stage has its threads wait. */
static bool waits_nowhere_else(const Kernel *k)
{
    uint32_t reducing = 0, others = 0;
    for (uint32_t i = 0; i < k->nstage; i++) {
        const Stage *s = &k->stage[i];
        reducing += s->first_reduction < s->last_reduction;
        others += !s->sweep && s->first_store < s->last_store;
    }
    return reducing == 1 && others == 0;
}

static void body(Print *c)
{
    const Kernel *k = c->k;
    uint32_t axis[KERNEL_AXES], n = parallel_axes(k, axis);
    if (is_empty(c, axis, n)) return;
    const char *t = fits_32(c, axis, n) ? "u32" : "i64", *points = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const char *e = cuda_dim(c, k->extent[axis[i]]);
        points = points ? arena_printf(c->arena, "%s * %s", points, e) : e;
    }
    const unsigned each = cuda_points(&c->shape);
    if (has_lanes(c)) cuda_line(c, "const u32 lane = threadIdx.x %% 32u;");
    cuda_line(c, "const %s points = %s(%s);", t, t, points ? points : "1");
    const char *mine = is_block(c) ? "0u" : has_lanes(c) ? "threadIdx.x / 32u" : "threadIdx.x";
    cuda_open(
        c, "for (%s point = %s(blockIdx.x) * %uu + %s; point < points; point += %s(gridDim.x) * %uu)", t, t, each, mine, t, each);
    open_indices(c, axis, n, t);
    open_rows(c);
    for (uint32_t i = 0; i < k->nstage; i++) {
        const Stage *s = &k->stage[i];
        if (s->sweep) {
            cuda_sweep(c, s);
            continue;
        }
        cuda_instrs(c, s, false);
        cuda_stores(c, s);
    }
    if (is_block(c) && waits_nowhere_else(k)) cuda_line(c, "__syncthreads();");
    cuda_close(c);
}

/* ---- functions ------------------------------------------------------------------------------- */

/* Only ASCII characters, whatever the locale. */
static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

const char *cuda_kernel_name(Arena *a, const Program *p, uint32_t kernel)
{
    const char *name = p->kernel.at[kernel].name;
    char *text = arena_printf(a, "k%u_%s", kernel, name ? name : "");
    for (char *at = text; *at; at++)
        if (!is_word(*at)) *at = '_';
    return text;
}

/* Prints the function around a body, which was printed before because that tells which sizes it reads. */
static void function(Print *c, Text *out, const char *name, const char *params, const Text *text)
{
    text_printf(out, CUDA_HEAD "%s(%sconst %s)\n{\n", name, params, cuda_dims_by_value(c->p) ? "Dims dim" : "i64 *dim");
    for (uint32_t i = 0; i < c->p->dim.len; i++)
        if (c->dim_used[i]) text_printf(out, "    const i64 d%u = dim%s[%u];\n", i, cuda_dims_by_value(c->p) ? ".at" : "", i);
    text_add(out, text->at ? text->at : "", text->len);
    text_printf(out, "}\n\n");
}

typedef void BodyFn(Print *c, const Step *step);

static void print_function(Print *c, const char *name, const char *params, BodyFn *print, const Step *step)
{
    Text *out = c->out, text = {0};
    memset(c->dim_used, 0, c->p->dim.len * sizeof *c->dim_used);
    c->out = &text;
    c->depth = 1;
    print(c, step);
    c->out = out;
    function(c, out, name, params, &text);
    out->failed |= text.failed;
    text_free(&text);
}

static void kernel_body(Print *c, const Step *step)
{
    (void)step;
    body(c);
}

static void cuda_kernel(Print *c, uint32_t kernel)
{
    const Kernel *k = c->k = &c->p->kernel.at[kernel];
    const char *params = "";
    c->shape = cuda_shape(c->p, k);
    for (uint32_t i = 0; i < k->nbuf; i++) params = arena_printf(c->arena, "%s%s *b%u, ", params, buffer_type(k, i), i);
    if (k->nbuf > CUDA_BUFFERS)
        status_fail(c->st, ST_UNSUPPORTED, "cuda: a kernel uses %u buffers; a launch takes at most %d", k->nbuf, CUDA_BUFFERS);
    print_function(c, cuda_kernel_name(c->arena, c->p, kernel), params, kernel_body, NULL);
}

static void cuda_product(Print *c, const Step *step, uint32_t number)
{
    const char *t = cuda_memory_type((DType)step->contract.type), *to = cuda_memory_type((DType)step->contract.to);
    const char *params = arena_printf(c->arena, "const %s *a, const %s *b, %s *c, ", t, t, to);
    c->k = NULL;
    print_function(c, arena_printf(c->arena, "product%u", number), params, cuda_product_body, step);
}

typedef struct Job {
    Print print;
    Arena arena;
} Job;

static void print_program(void *arg)
{
    Job *job = arg;
    Print *c = &job->print;
    Products products = {0};
    c->dim_used = ARENA_ARRAY(c->arena, bool, c->p->dim.len + 1);
    cuda_products(c->arena, c->p->step, c->p->nstep, &products);
    text_printf(c->out, "%s", cuda_prelude);
    if (cuda_dims_by_value(c->p)) text_printf(c->out, "struct Dims {\n    i64 at[%u];\n};\n\n", c->p->dim.len);
    bool used[DT_COUNT] = {false};
    for (uint32_t i = 0; i < c->p->buf.len; i++) used[c->p->buf.at[i].type.dtype] = true;
    for (int t = 0; t < DT_COUNT; t++)
        if (used[t] && narrow_fns[t].widen) cuda_narrow(c->arena, c->out, (DType)t);
    if (products.len > 0) text_printf(c->out, "%s", cuda_product_prelude);
    for (uint32_t i = 0; i < c->p->kernel.len; i++) cuda_kernel(c, i);
    for (uint32_t i = 0; i < products.len; i++) cuda_product(c, products.at[i], i);
}

bool cuda_program_text(const Program *p, int sm, Text *out, Status *st)
{
    Job job = {.print = {.p = p, .out = out, .st = st, .sm = sm, .arena = &job.arena}};
    arena_init(&job.arena);
    bool ok = arena_try(&job.arena, st, print_program, &job);
    arena_free(&job.arena);
    if (out->failed) status_fail(st, ST_MEMORY, "cuda: no memory for the text of %s", p->name ? p->name : "a program");
    return ok && st->code == ST_OK;
}
