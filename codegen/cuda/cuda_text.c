/* cuda_text: prints a kernel as a CUDA C function, and a whole program as one source: points, stages, instructions, streams (sweeps
 * are in cuda_reduce.c). Relies on print.h. Makes no decision that belongs to the kernel; never runs or compiles anything. */
#include "control.h"
#include "maps.h"
#include "parts.h"

#include "../rare.h"

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

static bool is_row(const Stream *s) { return (s->buf & STREAM_ROW) != 0; }

static const char *joined(Print *c, const char *sum, const char *term)
{
    return sum ? arena_printf(c->arena, "%s + %s", sum, term) : term;
}

const char *cuda_offset(Print *c, const Stream *s)
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
const char *cuda_buffer_type(const Kernel *k, uint32_t buf)
{
    for (uint32_t i = 0; i < k->nstream; i++)
        if (k->stream[i].buf == buf) return cuda_memory_type((DType)k->stream[i].type);
    return "void";
}

const char *cuda_buffer(Print *c, const Stream *s)
{
    const char *t = cuda_memory_type((DType)s->type);
    const bool same = strcmp(t, cuda_buffer_type(c->k, s->buf)) == 0;
    return same ? arena_printf(c->arena, "b%u", s->buf) : arena_printf(c->arena, "((%s *)b%u)", t, s->buf);
}

static const char *element(Print *c, const Stream *s)
{
    if (is_row(s))
        return arena_printf(c->arena,
            cuda_is_block(c)    ? "row%u[turn * 32u + step]"
            : cuda_has_lanes(c) ? "row%u[i%d / 32]"
                                : "row%u[i%d]",
            s->buf & ~STREAM_ROW, c->k->sweep);
    if (cuda_is_turned(c->k, s, &c->shape)) return arena_printf(c->arena, "square%u[x][row]", (uint32_t)(s - c->k->stream));
    if (cuda_is_wide(c->p, c->k, s, c->shape.wide)) return arena_printf(c->arena, "w%u.at[l]", (uint32_t)(s - c->k->stream));
    return arena_printf(c->arena, "%s[%s]", cuda_buffer(c, s), cuda_offset(c, s));
}

static const char *load(Print *c, const Stream *s)
{
    const char *at = c->given == s->buf + 1 ? "x" : element(c, s);
    if (c->keeps) at = cuda_long_load(c, s, at);
    const char *x = cuda_from_memory(c->arena, (DType)s->type, at);
    if (s->guard < 0) return x;
    const char *zero = cuda_literal(c->arena, (DType)s->type, (Scalar){0});
    return arena_printf(c->arena, "%s ? %s : %s", cuda_operand(c, s->guard), x, zero);
}

static void store(Print *c, const Store *to)
{
    const Stream *s = &c->k->stream[to->stream];
    DType t = (DType)s->type;
    const char *at = element(c, s), *x = cuda_operand(c, to->value);
    if (to->fold && to->fold != STORE_SETS) {
        const Reduction r = {.kind = (uint8_t)(to->fold - 1), .type = dtype_info[t].compute};
        x = cuda_folded(c, &r, cuda_from_memory(c->arena, t, at), x);
    }
    const char *guard = s->guard < 0 ? "" : arena_printf(c->arena, "if (%s) ", cuda_operand(c, s->guard));
    cuda_line(c, "%s%s = %s;", guard, at, cuda_to_memory(c->arena, t, x));
}

void cuda_stores(Print *c, const Stage *s)
{
    if (s->first_store == s->last_store) return;
    bool once = cuda_has_lanes(c) && !s->sweep;
    if (once) {
        /* Other lanes may still read what lane 0 writes in place. */
        cuda_line(c, cuda_is_block(c) ? "__syncthreads();" : "__syncwarp();");
        cuda_open(c, cuda_is_block(c) ? "if (threadIdx.x == 0)" : "if (lane == 0)");
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

/* What is under rare condition r, behind a branch. */
static void rare_instrs(Print *c, const Stage *s, const Rare *rare, uint32_t r)
{
    for (uint32_t i = s->first; i < s->last; i++)
        if (rare->under[i] == r + 1 && rare_leaves(c->k, rare, i))
            cuda_line(c, "%s v%u = 0;", cuda_type((DType)c->k->instr[i].type), i);
    cuda_line(c, "if (%s) {", cuda_operand(c, (int32_t)r));
    for (uint32_t i = s->first; i < s->last; i++) {
        const Instr *in = &c->k->instr[i];
        if (rare->under[i] != r + 1 || is_inline(in)) continue;
        const char *type = rare_leaves(c->k, rare, i) ? "" : arena_printf(c->arena, "const %s ", cuda_type((DType)in->type));
        cuda_line(c, "    %sv%u = %s;", type, i, expression(c, in));
    }
    cuda_line(c, "}");
}

void cuda_instrs(Print *c, const Stage *s, bool sweeps)
{
    const Rare rare = rare_find(c->arena, c->k);
    for (uint32_t i = s->first; i < s->last; i++) {
        const Instr *in = &c->k->instr[i];
        if (is_inline(in) || rare.under[i] || (s->sweep && in->sweeps != sweeps)) continue;
        if (in->kind == I_PRIM && in->prim == P_select && rare.at[in->a] == i + 1) rare_instrs(c, s, &rare, (uint32_t)in->a);
        if (in->kind == I_FETCH)
            fetch(c, i);
        else
            cuda_line(c, "const %s v%u = %s;", cuda_type((DType)in->type), i, expression(c, in));
    }
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

void cuda_functions(Arena *a, const Program *p, CudaFunctions *out)
{
    *out = (CudaFunctions){0};
    cuda_products(a, p->step, p->nstep, &out->products);
    cuda_launches(a, p, p->step, p->nstep, &out->launches);
    out->first_launch = p->kernel.len + out->products.len;
    out->n = out->first_launch + out->launches.len;
    out->name = ARENA_ARRAY(a, const char *, out->n + 1);
    bool *alone = ARENA_ARRAY(a, bool, p->kernel.len + 1);
    cuda_launched_alone(&out->launches, p->step, p->nstep, alone);
    for (uint32_t i = 0; i < out->n; i++)
        if (i >= p->kernel.len)
            out->name[i] = i < out->first_launch ? arena_printf(a, "product%u", i - p->kernel.len)
                                                 : arena_printf(a, "launch%u", i - out->first_launch);
        else
            out->name[i] = alone[i] ? cuda_kernel_name(a, p, i) : "";
}

/* One more buffer of the function that is to be printed; void: nobody uses it. */
static void parameter(Print *c, const char *type, const char *name)
{
    c->params = arena_printf(c->arena, c->table ? "%s%s *const *at_%s, " : "%s%s *%s, ", c->params, type, name);
    if (c->table && strcmp(type, "void") != 0)
        c->loads = arena_printf(c->arena, "%s    %s *%s = *at_%s;\n", c->loads, type, name, name);
}

/* Prints the function around a body, which was printed before because that tells which sizes it reads. */
static void function(Print *c, Text *out, const char *name, const Text *text)
{
    text_printf(out, CUDA_HEAD "%s(%sconst %s)\n{\n%s", name, c->params, cuda_dims_by_value(c->p) ? "Dims dim" : "i64 *dim",
        text->len != 0 ? c->loads : "");
    for (uint32_t i = 0; i < c->p->dim.len; i++)
        if (c->dim_used[i]) text_printf(out, "    const i64 d%u = dim%s[%u];\n", i, cuda_dims_by_value(c->p) ? ".at" : "", i);
    text_add(out, text->at ? text->at : "", text->len);
    text_printf(out, "}\n\n");
}

typedef void BodyFn(Print *c, const Step *step);

static void print_function(Print *c, const char *name, BodyFn *print, const Step *step)
{
    Text *out = c->out, text = {0};
    memset(c->dim_used, 0, c->p->dim.len * sizeof *c->dim_used);
    c->out = &text;
    c->depth = 1;
    print(c, step);
    c->out = out;
    function(c, out, name, &text);
    out->failed |= text.failed;
    text_free(&text);
}

/* Short rows are a warp's, long ones several blocks', where only the call knows. */
static void either_body(Print *c)
{
    const CudaShape shape = c->shape;
    cuda_open(c, "if (%s < %lld)", cuda_dim(c, c->k->extent[c->k->sweep]), (long long)shape.rows.from);
    c->shape = (CudaShape){.block = shape.block, .team = TREE_LANES, .wide = 1};
    cuda_points_body(c);
    c->depth--;
    cuda_open(c, "} else");
    c->shape = shape;
    cuda_points_body(c);
    cuda_close(c);
}

static void kernel_body(Print *c, const Step *step)
{
    (void)step;
    if (c->shape.several && c->shape.rows.from > 0)
        either_body(c);
    else if (c->shape.square)
        cuda_square_body(c);
    else
        cuda_points_body(c);
}

static void cuda_kernel(Print *c, uint32_t kernel, const char *name)
{
    const Kernel *k = c->k = &c->p->kernel.at[kernel];
    c->shape = cuda_shape(c->p, k);
    c->params = c->loads = "";
    for (uint32_t i = 0; i < k->nbuf; i++) parameter(c, cuda_buffer_type(k, i), arena_printf(c->arena, "b%u", i));
    if (c->shape.several) c->params = arena_printf(c->arena, "%su64 *meet, ", c->params);
    if (k->nbuf > CUDA_BUFFERS)
        status_fail(c->st, ST_UNSUPPORTED, "cuda: a kernel uses %u buffers; a launch takes at most %d", k->nbuf, CUDA_BUFFERS);
    print_function(c, name, kernel_body, NULL);
}

static void cuda_product(Print *c, const Step *step, uint32_t number)
{
    const char *t = cuda_memory_type((DType)step->contract.type), *to = cuda_memory_type((DType)step->contract.to);
    c->k = NULL;
    c->params = c->loads = "";
    parameter(c, arena_printf(c->arena, "const %s", t), "a");
    parameter(c, arena_printf(c->arena, "const %s", t), "b");
    if (step_end(step)) {
        c->k = &c->p->kernel.at[step_end(step)->kernel];
        for (uint32_t i = 0; i < c->k->nbuf; i++) parameter(c, cuda_buffer_type(c->k, i), arena_printf(c->arena, "b%u", i));
    } else {
        parameter(c, to, "c");
    }
    OperandMap map[2];
    if (product_maps(c->p, step, product_plan(c->p, step, c->sm), map))
        c->params =
            arena_printf(c->arena, "%s%s, ", c->params, c->table ? "const Maps *maps" : "const __grid_constant__ Maps maps");
    print_function(c, arena_printf(c->arena, "product%u", number), cuda_product_body, step);
}

static void launch_body(Print *c, const Step *step)
{
    uint32_t i = 0;
    while (c->text->launches.at[i].first != step) i++;
    cuda_launch_body(c, &c->text->launches.at[i]);
}

/* Each instance loads the addresses of its own buffers. */
static void cuda_launch(Print *c, const CudaLaunch *l, const char *name)
{
    c->params = c->loads = "";
    for (uint32_t i = 0, at = 0; i < l->n; i++)
        for (uint32_t b = 0; b < step_buffers(c->p, l->step[i]); b++, at++) {
            const char *t = cuda_buffer_type(&c->p->kernel.at[l->step[i]->kernel], b);
            c->params = arena_printf(c->arena, c->table ? "%s%s *const *a%u, " : "%s%s *a%u, ", c->params, t, at);
        }
    print_function(c, name, launch_body, l->first);
    c->block = "blockIdx.x";
    c->blocks = "gridDim.x";
}

typedef struct Job {
    Print print;
    Arena arena;
    Text rest; /* all but the prelude, which has what the rest names */
} Job;

static bool shares_rows(const Program *p)
{
    bool some = false;
    for (uint32_t i = 0; i < p->kernel.len && !some; i++) some = cuda_shape(p, &p->kernel.at[i]).several;
    return some;
}

static void print_program(void *arg)
{
    Job *job = arg;
    Print *c = &job->print;
    CudaFunctions text;
    cuda_functions(c->arena, c->p, &text);
    c->text = &text;
    c->block = "blockIdx.x";
    c->blocks = "gridDim.x";
    c->dim_used = ARENA_ARRAY(c->arena, bool, c->p->dim.len + 1);
    if (shares_rows(c->p)) text_printf(c->out, "%s", cuda_meet_prelude);
    if (c->table) text_printf(c->out, "#pragma nv_diag_suppress 177\n"); /* a product may make what its kernel would load */
    if (cuda_dims_by_value(c->p)) text_printf(c->out, "struct Dims {\n    i64 at[%u];\n};\n\n", c->p->dim.len);
    bool used[DT_COUNT] = {false};
    for (uint32_t i = 0; i < c->p->buf.len; i++) used[c->p->buf.at[i].type.dtype] = true;
    for (int t = 0; t < DT_COUNT; t++)
        if (used[t] && narrow_fns[t].widen) cuda_narrow(c->arena, c->out, (DType)t);
    cuda_products_prelude(c, &text.products);
    uint32_t parts;
    const uint8_t *part = cuda_share_out(c->arena, c->p, &text, &parts);
    for (uint32_t i = 0; i < text.n; i++) {
        if (!*text.name[i]) continue;
        if (parts > 1) text_printf(c->out, CUDA_PART_LINE, part[i]);
        if (i < c->p->kernel.len)
            cuda_kernel(c, i, text.name[i]);
        else if (i < text.first_launch)
            cuda_product(c, text.products.at[i - c->p->kernel.len], i - c->p->kernel.len);
        else
            cuda_launch(c, &text.launches.at[i - text.first_launch], text.name[i]);
    }
    if (c->table && parts > 1) text_printf(c->out, CUDA_PART_LINE, parts - 1);
    if (c->table) control_text(c->p, products_maps(c->p, &text.products, c->sm), c->out);
}

static bool program_text(const Program *p, int sm, bool table, Text *out, Status *st)
{
    Job job = {.print = {.p = p, .out = &job.rest, .st = st, .sm = sm, .arena = &job.arena, .table = table}};
    arena_init(&job.arena);
    bool ok = arena_try(&job.arena, st, print_program, &job);
    arena_free(&job.arena);
    const char *rest = job.rest.at ? job.rest.at : ""; /* of a program without a kernel, whose text is one all the same */
    if (ok) {
        cuda_prelude(rest, out);
        text_add(out, rest, job.rest.len);
    }
    out->failed |= job.rest.failed;
    text_free(&job.rest);
    if (out->failed) status_fail(st, ST_MEMORY, "cuda: no memory for the text of %s", p->name ? p->name : "a program");
    return ok && st->code == ST_OK;
}

bool cuda_program_text(const Program *p, int sm, Text *out, Status *st) { return program_text(p, sm, false, out, st); }
bool cuda_graph_text(const Program *p, int sm, Text *out, Status *st) { return program_text(p, sm, true, out, st); }
