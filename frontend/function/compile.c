/* compile: THE SPINE. A call with a new signature goes trace -> pipeline -> lowering -> backend -> row, cached by signature; later calls find
 * the row. Read this file first; run.c is the other half (running a row), trace.c how a body becomes a graph. */
#include "function.h"

#include <stdio.h>
#include <time.h>

#include "../../ir/text.h"
#include "../../ir/verify.h"
#include "../../passes/pass.h"

static atomic_uint_fast64_t trace_ids = 1;

static double seconds_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* ---- trace ---------------------------------------------------------------------------------------------------- */
typedef struct Start {
    Trace *tr;
    kiln_function *f;
    Row *row;
    kiln_tensor *const *in;
    int nin;
} Start;

/* A size as the trace sees it: declared or planned ones are symbols. */
static Dim size_traced(const Start *s, int arg, int axis)
{
    DimTable *dims = &s->tr->module->dims;
    Arena *a = s->tr->arena;
    uint32_t g = s->row->plan.groups ? s->row->plan.group[arg * MAX_RANK + axis] : 0;
    if (g) return dim_symbol(dims, arena_printf(a, "n%u", g), 1, s->row->plan.hi[g - 1]);
    if (!declared_symbol(s->f, arg, axis)) return s->in[arg]->type.dim[axis];
    const kiln_size *z = &s->f->spec[arg].size[axis];
    return dim_symbol(dims, arena_printf(a, "%s", z->name), z->lo, z->hi);
}

/* What the row was made for, copied: the caller's types, plan and texts go. */
static void signature_into(const Start *s)
{
    Row *row = s->row;
    Arena *a = s->tr->arena;
    row->narg = (uint32_t)s->nin;
    row->arg = ARENA_ARRAY(a, Type, s->nin + 1);
    row->made = ARENA_ARRAY(a, Type, s->nin + 1);
    row->fixed = ARENA_ARRAY(a, Fixed, s->nin + 1);
    for (int i = 0; i < s->nin; i++) {
        row->arg[i] = row->made[i] = s->in[i]->type;
        for (int d = 0; d < row->arg[i].rank; d++) {
            row->arg[i].dim[d] = size_traced(s, i, d);
            row->bounded = row->bounded || row->arg[i].dim[d] < 0;
        }
        Fixed v = row->fixed[i] = static_value(s->in[i]);
        if (v.text) row->fixed[i].text = arena_copy(a, v.text, (size_t)v.bits + 1);
    }
    if (row->plan.groups)
        row->plan.group = arena_copy(a, row->plan.group, (size_t)s->nin * MAX_RANK);
}

static void start_body(void *arg)
{
    Start *s = arg;
    Trace *tr = s->tr;
    Arena *a = tr->arena;
    tr->module = module_new(a);
    Frame *top = ARENA_NEW(a, Frame);
    top->trace = tr;
    top->g = graph_new(tr->module, arena_printf(a, "%s", s->f->name));
    top->captured.arena = top->watched.arena = top->slot_of.arena = a;
    top->loc = s->f->loc;
    tr->frame = top;
    signature_into(s);
    for (int i = 0; i < s->nin; i++) {
        if (s->row->fixed[i].kind) continue;
        const Type *type = &s->row->arg[i];
        graph_param(top->g, type, s->f->loc);
        *VEC_PUSH(a, &tr->source) =
            (Source){.kind = FROM_ARGUMENT, .argument = (uint32_t)i, .type = *type};
    }
}

typedef struct Finish {
    Trace *tr;
    Row *row;
    const Value *out;
    uint32_t nout;
    Text text;
} Finish;

/* Results: the outputs, then what the body left in variables. */
static void finish_body(void *arg)
{
    Finish *fin = arg;
    Trace *tr = fin->tr;
    Row *row = fin->row;
    Frame *top = tr->frame;
    for (uint32_t i = 0; i < fin->nout; i++) graph_result(top->g, fin->out[i]);
    row->changed = ARENA_ARRAY(tr->arena, kiln_variable *, top->slot.len + 1);
    row->changed_id = ARENA_ARRAY(tr->arena, uint32_t, top->slot.len + 1);
    for (uint32_t i = 0; i < top->slot.len; i++) {
        const Slot *s = &top->slot.at[i];
        if (s->assigned && !(s->variable->local && s->variable->trace_id == tr->id)) {
            graph_result(top->g, s->now);
            row->changed_id[row->nchanged] = s->variable->id;
            row->changed[row->nchanged++] = s->variable;
        }
    }
    row->noutput = fin->nout;
    row->nresult = top->g->result.len;
    row->source = arena_copy(tr->arena, tr->source.at, tr->source.len * sizeof *tr->source.at);
    row->nsource = tr->source.len;
    row->ops = top->g->node.len;
    row->module = tr->module;
    row->ntraced = tr->module->graph.len;
    row->traced = arena_copy(tr->arena, tr->module->graph.at, row->ntraced * sizeof *row->traced);
    row->nread = tr->read.len;
    row->read = arena_copy(tr->arena, tr->read.at, row->nread * sizeof *row->read);
    module_print(&fin->text, tr->module);
    if (fin->text.at && !fin->text.failed)
        row->trace_text = arena_copy(tr->arena, fin->text.at, fin->text.len + 1);
}

static bool run_body(
    Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Value *value)
{
    Trace *tr = t->trace;
    kiln_tensor **args = SCRATCH(t, at, kiln_tensor *, nin + 1),
                **out = SCRATCH(t, at, kiln_tensor *, f->options.outputs);
    if (!args || !out) return false;
    for (int i = 0, p = 0; i < nin; i++)
        args[i] = in[i]->state == TENSOR_STATIC
                      ? in[i]
                      : tensor_traced(t, at, tr->frame, tr->frame->g->param.at[p++]);
    args[nin] = NULL;
    if (!function_inline(t, at, f, args, nin, out)) return false;
    for (int i = 0; i < f->options.outputs; i++)
        if (!(value[i] = trace_value(t, at, out[i]))) return false;
    return true;
}

static void drop_literals(Row *row)
{
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_LITERAL) kiln_release(row->source[i].tensor);
}

static bool trace_into(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Row *row,
    Trace *tr, Value *value)
{
    Status st = {0};
    Start start = {tr, f, row, in, nin};
    if (!arena_try(&row->arena, &st, start_body, &start)) return fail_status(t, at, &st), false;
    if (!scope_push(t))
        return fail(t, at, KILN_EMEMORY, "%s: no memory for a scope", f->name), false;
    uint64_t failures = t->failures;
    Frame *top = tr->frame;
    t->trace = tr;
    bool ok = run_body(t, at, f, in, nin, value) && t->failures == failures && tr->frame == top;
    if (!ok && t->failures == failures)
        fail(t, at, KILN_ESTATE, "%s: could not be traced", f->name);
    else if (!ok && t->failure.code == KILN_OK)
        fail(t, at, KILN_ESTATE,
            "%s: an error in its body was cleared there; a trace cannot go on after one: kiln_clear after the "
            "call",
            f->name);
    Finish fin = {tr, row, value, (uint32_t)f->options.outputs, {0}};
    if (ok && !(ok = arena_try(&row->arena, &st, finish_body, &fin))) fail_status(t, at, &st);
    text_free(&fin.text);
    row->source = ok ? row->source : tr->source.at;
    row->nsource = ok ? row->nsource : tr->source.len;
    t->trace = tr->outer;
    scope_pop(t);
    if (!ok) drop_literals(row);
    return ok;
}

bool function_trace(
    Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Row *row)
{
    Trace tr = {.outer = t->trace,
        .t = t,
        .id = atomic_fetch_add(&trace_ids, 1),
        .first_uid = t->next_uid + 1,
        .automatic = row->plan.groups && !row->plan.declared,
        .arena = &row->arena};
    ScratchMark mark = scratch_mark(&t->scratch);
    Value *value = SCRATCH(t, at, Value, f->options.outputs);
    bool ok = value && trace_into(t, at, f, in, nin, row, &tr, value);
    scratch_reset(&t->scratch, mark);
    return ok;
}

/* ---- compile ---------------------------------------------------------------------------------------------------- */
typedef struct Build {
    kiln_function *f;
    Row *row;
    int stop_after;
    Arena scratch;
    Status st;
} Build;

static void dump_module(void *user, const char *pass, const Module *m)
{
    Text text = {0};
    module_print(&text, m);
    if (text.at) dump_write(user, pass, text.at, text.len);
    text_free(&text);
}

static void dump_stage(
    void *user, const char *stage, const char *name, const char *text, size_t len)
{
    char both[128];
    snprintf(both, sizeof both, "%s%s%s", stage, name ? "." : "", name ? name : "");
    dump_write(user, both, text, len);
}

/* Which sizes of which arguments tell the symbols; one that can have a single value needs none. */
static void bind_symbols(Row *row)
{
    uint32_t n = 0;
    const Program *p = row->program;
    row->binding = ARENA_ARRAY(&row->arena, Binding, row->sizes ? row->narg * MAX_RANK + 1 : 1);
    for (uint32_t i = 0; i < row->narg && row->sizes; i++)
        for (uint32_t d = 0; d < row->arg[i].rank; d++)
            for (uint32_t s = 0; s < p->symbol.len && row->arg[i].dim[d] < 0; s++)
                if (p->symbol.at[s] == row->arg[i].dim[d]) row->binding[n++] = (Binding){i, d, s};
    row->nbinding = n;
    row->known = ARENA_ARRAY(&row->arena, int64_t, p->symbol.len + 1);
    for (uint32_t s = 0; s < p->symbol.len; s++) {
        const DimExpr *e = &p->module->dims.expr.at[-1 - p->symbol.at[s]];
        row->known[s] = e->lo == e->hi ? e->lo : -1;
    }
}

static void build_body(void *arg)
{
    Build *b = arg;
    Row *row = b->row;
    Target target = {0};
    row->backend = backend_get("cpu", &b->st);
    if (!row->backend || !row->backend->target(&target, &b->st)) return;
    target.blas = !b->f->options.no_blas;
    PassCtx ctx = {
        .scratch = &b->scratch, .target = &target, .st = &b->st, .stop_after = b->stop_after};
    ctx.verify = getenv("KILN_VERIFY") != NULL;
    if (dump_wants("ir")) dump_module(b->f->name, "ir", row->module);
    if (dump_wants("passes")) ctx.dump = dump_module, ctx.dump_user = b->f->name;
    if (!pipeline_run(&ctx, row->module)) return;
    LowerOptions lower = {target, target.blas};
    row->program = program_lower(&row->arena, row->module, &lower, &b->st);
    if (!row->program) return;
    if (dump_wants("program")) {
        Text text = {0};
        program_print(&text, row->program);
        dump_write(b->f->name, "program", text.at ? text.at : "", text.len);
        text_free(&text);
    }
    dump_cuda(b->f->name, &b->row->arena, row->module);
    CompileOptions o = {.dump = dump_stage, .dump_user = b->f->name, .want = getenv("KILN_DUMP")};
    row->compiled = row->backend->compile(row->program, &o, &b->st);
    if (!row->compiled) return;
    row->entry = row->backend->entry(row->compiled);
    row->sizes = row->backend->sizes(row->compiled);
    row->nsize = program_sizes(row->program);
    bind_symbols(row);
    uint32_t nresult = row->module->graph.at[0]->result.len;
    row->result = ARENA_ARRAY(&row->arena, Type, nresult);
    for (uint32_t i = 0; i < nresult; i++)
        row->result[i] =
            *graph_type(row->module->graph.at[0], row->module->graph.at[0]->result.at[i]);
}

static void build_outer(void *arg) /* two arenas, two borders */
{
    Build *b = arg;
    arena_try(&b->row->arena, &b->st, build_body, b);
}

bool row_build(Thread *t, kiln_site at, kiln_function *f, Row *row, int stop_after)
{
    if (f->k->options.no_compile) return fail(t, at, KILN_ESTATE, "%s: the engine compiles nothing (.no_compile)", f->name), false;
    Build b = {.f = f, .row = row, .stop_after = stop_after};
    arena_init(&b.scratch);
    double start = seconds_now();
    bool ok = arena_try(&b.scratch, &b.st, build_outer, &b) && !b.st.code && row->entry;
    row->compile_seconds = seconds_now() - start;
    arena_free(&b.scratch);
    if (!ok) {
        if (!b.st.code)
            status_fail(&b.st, ST_INTERNAL, "%s: compiling failed without a reason", f->name);
        fail_status(t, at, &b.st);
    }
    return ok;
}

void row_free(Row *row)
{
    if (!row) return;
    if (row->compiled) row->backend->release(row->compiled);
    drop_literals(row);
    arena_free(&row->arena);
    mem_free(row, sizeof *row);
}

typedef struct Extra {
    Row *row;
    Value from, to;
} Extra;
static void extra_body(void *arg)
{
    const Extra *e = arg;
    Graph *g = e->row->module->graph.at[0];
    for (Value v = e->from; v < e->to; v++) {
        const Type *type = graph_type(g, v);
        const Node *n = graph_maker(g, v);
        const bool stack = n->op == OP_while && v - n->out >= n->attr->at[2] && v - n->out < n->nout - 1u;
        if (!stack && (!type->rank || !dim_is_made(&g->module->dims, type->dim[0]))) graph_result(g, v);
    }
    e->row->nresult = e->row->module->graph.at[0]->result.len;
}

bool row_add_results(Thread *t, kiln_site at, Row *row, Value from, Value to)
{
    Status st = {0};
    Extra e = {row, from, to};
    if (arena_try(&row->arena, &st, extra_body, &e)) return true;
    fail_status(t, at, &st);
    return false;
}

static Row *row_new(Thread *t, kiln_site at, const kiln_function *f, uint64_t key)
{
    Row *row = mem_zeros(1, sizeof *row);
    if (!row) return fail(t, at, KILN_EMEMORY, "%s: no memory", f->name), NULL;
    row->key = key;
    arena_init(&row->arena);
    return row;
}

static size_t row_bytes(const Row *row)
{
    size_t bytes = sizeof *row + row->arena.used + row->backend->code_bytes(row->compiled);
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_LITERAL) bytes += kiln_bytes(row->source[i].tensor);
    return bytes;
}

static Row *make_row(Thread *t, kiln_site at, kiln_function *f, uint64_t key, const Plan *plan,
    kiln_tensor *const *in, int nin, const Miss *miss)
{
    Row *row = row_new(t, at, f, key);
    if (!row) return NULL;
    if (plan) row->plan = *plan;
    double start = seconds_now();
    bool ok = function_trace(t, at, f, in, nin, row);
    row->trace_seconds = seconds_now() - start;
    stats_trace(t, f, row->trace_seconds, miss);
    if (!ok) row->nsource = 0; /* its literals were dropped with the trace */
    if (!ok || !row_build(t, at, f, row, -1)) {
        row_free(row);
        return NULL;
    }
    row->bytes = row_bytes(row);
    return row;
}

/* A bounded row reserves workspace for its bound: beyond this, sizes rather stay constants. */
#define GENERAL_WORKSPACE ((int64_t)256 << 20)

/* The sizes of the plan as symbols. NULL if that cannot be: then it is known why, and no error is left behind. */
static Row *make_general(Thread *t, kiln_site at, kiln_function *f, uint64_t key, const Plan *plan,
    kiln_tensor *const *in, int nin, const Miss *miss)
{
    kiln_failure before = t->failure;
    uint64_t failures = t->failures;
    char text[sizeof t->text], why[sizeof t->text];
    memcpy(text, t->text, sizeof text);
    t->failure.code = KILN_OK;
    Row *row = make_row(t, at, f, key, plan, in, nin, miss);
    snprintf(why, sizeof why, "%s", row ? "" : t->text);
    bool starved = !row && t->failure.code == KILN_EMEMORY;
    t->failure = before;
    t->failures = failures;
    memcpy(t->text, text, sizeof text);
    if (row && row->program->workspace > GENERAL_WORKSPACE) {
        snprintf(why, sizeof why, "the bound would take %lld bytes of workspace",
            (long long)row->program->workspace);
        row_free(row);
        row = NULL;
    }
    if (!row && !starved) signature_rigid(f, plan, nin);
    stats_general(t, f, plan, nin, row ? NULL : why, row);
    return row;
}

/* Under `compiling`. */
static Row *new_row(
    Thread *t, kiln_site at, kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin)
{
    Miss miss;
    Plan plan;
    Row *grown, *row = NULL;
    signature_miss(f, in, nin, &miss);
    stats_miss(f, &miss);
    if (signature_generalise(f, in, nin, &plan, &grown)) {
        row = make_general(t, at, f, key, &plan, in, nin, &miss);
        mem_free((void *)(uintptr_t)plan.group, (size_t)nin * MAX_RANK);
    }
    if (!row) {
        grown = NULL;
        row = make_row(t, at, f, key, NULL, in, nin, &miss);
    }
    if (!row) return NULL;
    stats_row(f, row);
    cache_add(f, row, grown);
    return row;
}

static bool literal_agrees(Thread *t, kiln_site at, const Source *s, const Source *now)
{
    kiln_tensor *a = tensor_contiguous(t, at, s->tensor),
                *b = tensor_contiguous(t, at, now->tensor);
    return tensor_ok(a) && tensor_ok(b) && memcmp(a->data, b->data, kiln_bytes(a)) == 0;
}

/* What the body takes from outside: the same tensors and variables, the same elements spelled out. */
static bool sources_agree(
    Thread *t, kiln_site at, const kiln_function *f, const Row *row, const Row *again)
{
    for (uint32_t i = 0; i < row->nsource && i < again->nsource; i++) {
        const Source *s = &row->source[i], *now = &again->source[i];
        const char *what = s->kind != now->kind       ? "what its body uses"
                           : s->kind == FROM_CAPTURE  ? "the tensor that its body uses"
                           : s->kind == FROM_VARIABLE ? "the variable that its body uses"
                                                      : "the elements that its body spells out";
        bool same =
            s->kind == now->kind && (s->kind == FROM_CAPTURE       ? s->uid == now->uid
                                        : s->kind == FROM_VARIABLE ? s->variable == now->variable
                                        : s->kind == FROM_LITERAL  ? literal_agrees(t, at, s, now)
                                                                   : true);
        if (same) continue;
        fail(t, at, KILN_ESTATE,
            "%s: traced again, %s at %s:%d differs; something that it reads from the host changed",
            f->name, what, now->loc.file ? now->loc.file : "?", now->loc.line);
        return false;
    }
    return true;
}

/* KILN_RETRACE: a new trace must spell the same graph; what differs was frozen from the host. */
static bool retrace_agrees(
    Thread *t, kiln_site at, kiln_function *f, const Row *row, kiln_tensor *const *in, int nin)
{
    Row again = {.plan = row->plan};
    arena_init(&again.arena);
    bool traced = function_trace(t, at, f, in, nin, &again), ok = traced;
    if (ok && row->trace_text && again.trace_text && strcmp(row->trace_text, again.trace_text)) {
        const char *a = row->trace_text, *b = again.trace_text, *la = a, *lb = b;
        for (; *a && *a == *b; a++, b++)
            if (*a == '\n') la = a + 1, lb = b + 1;
        fail(t, at, KILN_ESTATE,
            "%s: traced again, it differs: `%.*s` was `%.*s`; something that the body reads from "
            "the host changed",
            f->name, (int)strcspn(lb, "\n"), lb, (int)strcspn(la, "\n"), la);
        ok = false;
    }
    ok = ok && sources_agree(t, at, f, row, &again);
    if (traced) drop_literals(&again);
    arena_free(&again.arena);
    return ok;
}

Row *function_row(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin)
{
    uint64_t key = signature_key(in, nin);
    latest_note(f, key, in, nin);
    Row *row = cache_find(f, key, in, nin);
    if (UNLIKELY(!row)) {
        pthread_mutex_lock(&f->compiling); /* one compile per signature, whoever comes first */
        row = cache_find(f, key, in, nin);
        if (!row) {
            row = new_row(t, at, f, key, in, nin);
            if (row) call_uses(t, row);
            pthread_mutex_unlock(&f->compiling);
            return row;
        }
        pthread_mutex_unlock(&f->compiling);
    }
    call_uses(t, row);
    atomic_fetch_add_explicit(&f->hits, 1, memory_order_relaxed);
    if (UNLIKELY(f->k->retrace) && !retrace_agrees(t, at, f, row, in, nin)) return NULL;
    return row;
}
