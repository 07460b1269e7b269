/* traced: a body becomes a graph: its arguments' types, the trace, and what it read, gave and changed. Running the result is
 * call.c, compiling it build.c; trace/trace.c is how operations append to the graph. Never compiles. */
#include "function.h"

#include "../../ir/loop.h"
#include "../../ir/sizes.h"
#include "../../ir/text.h"

static atomic_uint_fast64_t trace_ids = 1;

typedef struct Start {
    Trace *tr;
    kiln_function *f;
    Traced *traced;
    kiln_tensor *const *in;
    int nin;
} Start;

/* The size as the trace sees it: a symbol if it was declared or planned as one. */
static Dim size_traced(const Start *s, int arg, int axis)
{
    DimTable *dims = &s->tr->module->dims;
    Arena *a = s->tr->arena;
    uint32_t g = s->traced->plan.groups ? s->traced->plan.group[arg * MAX_RANK + axis] : 0;
    if (g) return dim_symbol(dims, arena_printf(a, "n%u", g), 1, s->traced->plan.hi[g - 1]);
    if (s->traced->exact || !declared_symbol(s->f, arg, axis)) return s->in[arg]->type.dim[axis];
    const kiln_size *z = &s->f->spec[arg].size[axis];
    return dim_symbol(dims, arena_printf(a, "%s", z->name), z->lo, z->hi);
}

/* Copies what the instance was made for, because the caller's types, plan and texts go. */
static void signature_into(const Start *s)
{
    Traced *traced = s->traced;
    Arena *a = s->tr->arena;
    traced->narg = (uint32_t)s->nin;
    traced->arg = ARENA_ARRAY(a, Type, s->nin + 1);
    traced->made = ARENA_ARRAY(a, Type, s->nin + 1);
    traced->fixed = ARENA_ARRAY(a, Fixed, s->nin + 1);
    for (int i = 0; i < s->nin; i++) {
        traced->arg[i] = traced->made[i] = s->in[i]->type;
        for (int d = 0; d < traced->arg[i].rank; d++) {
            traced->arg[i].dim[d] = size_traced(s, i, d);
            traced->bounded = traced->bounded || traced->arg[i].dim[d] < 0;
        }
        Fixed v = traced->fixed[i] = static_value(s->in[i]);
        if (v.text) traced->fixed[i].text = arena_copy(a, v.text, (size_t)v.bits + 1);
    }
    if (traced->plan.groups) traced->plan.group = arena_copy(a, traced->plan.group, (size_t)s->nin * MAX_RANK);
}

static void start_body(void *arg)
{
    Start *s = arg;
    Trace *tr = s->tr;
    Arena *a = tr->arena;
    tr->module = module_new(a);
    tr->first.arena = a;
    Frame *top = ARENA_NEW(a, Frame);
    top->trace = tr;
    top->g = graph_new(tr->module, arena_printf(a, "%s", s->f->name));
    top->captured.arena = top->watched.arena = top->slot_of.arena = a;
    top->loc = s->f->loc;
    tr->frame = top;
    signature_into(s);
    for (int i = 0; i < s->nin; i++) {
        if (s->traced->fixed[i].kind) continue;
        const Type *type = &s->traced->arg[i];
        graph_param(top->g, type, s->f->loc);
        *VEC_PUSH(a, &tr->source) = (Source){.kind = FROM_ARGUMENT, .argument = (uint32_t)i, .type = *type};
    }
}

typedef struct Finish {
    Thread *t;
    const kiln_function *f;
    Trace *tr;
    Traced *traced;
    const Value *out;
    uint32_t nout;
    Text text;
} Finish;

void traced_add_counts(Traced *traced, Graph *g)
{
    const DimTable *dims = &g->module->dims;
    Arena *a = g->module->arena;
    Status st = {0};
    const uint32_t sizes = dims->expr.len, outputs = g->result.len;
    if (!dims->counts) return;
    bool *named = ARENA_ARRAY(a, bool, sizes + 1);
    for (uint32_t i = 0; i < outputs; i++) {
        const Type *type = graph_type(g, g->result.at[i]);
        for (uint32_t d = 0; d < type->rank; d++) size_names(dims, type->dim[d], named);
    }
    traced->count = ARENA_ARRAY(a, Dim, sizes + 1);
    for (uint32_t i = 0; i < sizes; i++) {
        if (!named[i]) continue;
        const Dim d = traced->count[traced->ncount++] = -1 - (Dim)i;
        const Loc loc = graph_maker(g, g->result.at[0])->loc;
        graph_result(g, graph_append(g, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = d), loc, &st));
    }
}

/* Results: the outputs, the sizes that they have and nodes count, then what the body left in variables. */
static void finish_body(void *arg)
{
    Finish *fin = arg;
    Trace *tr = fin->tr;
    Traced *traced = fin->traced;
    Frame *top = tr->frame;
    for (uint32_t i = 0; i < fin->nout; i++) graph_result(top->g, fin->out[i]);
    traced_add_counts(traced, top->g);
    traced->changed = ARENA_ARRAY(tr->arena, kiln_variable *, top->slot.len + 1);
    traced->changed_id = ARENA_ARRAY(tr->arena, uint32_t, top->slot.len + 1);
    for (uint32_t i = 0; i < top->slot.len; i++) {
        const Slot *s = &top->slot.at[i];
        if (s->assigned && !(s->variable->local && s->variable->trace_id == tr->id)) {
            graph_result(top->g, s->now);
            traced->changed_id[traced->nchanged] = s->variable->id;
            traced->changed[traced->nchanged++] = s->variable;
        }
    }
    traced->noutput = fin->nout;
    traced->nresult = top->g->result.len;
    traced->source = arena_copy(tr->arena, tr->source.at, tr->source.len * sizeof *tr->source.at);
    traced->nsource = tr->source.len;
    traced->ops = top->g->node.len;
    traced->label = tr->label.at;
    traced->nlabel = tr->label.len;
    traced->module = tr->module;
    traced->ngraph = tr->module->graph.len;
    traced->graph = arena_copy(tr->arena, tr->module->graph.at, traced->ngraph * sizeof *traced->graph);
    traced->nread = tr->read.len;
    traced->read = arena_copy(tr->arena, tr->read.at, traced->nread * sizeof *traced->read);
    const BodyTold *told = told_by(fin->t, fin->f);
    if (told) traced->told = arena_copy(tr->arena, told->at, told->n * sizeof *told->at), traced->ntold = told->n;
    module_print(&fin->text, tr->module);
    if (fin->text.at && !fin->text.failed) traced->text = arena_copy(tr->arena, fin->text.at, fin->text.len + 1);
}

static bool run_body(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Value *value, uint32_t *nout)
{
    Trace *tr = t->trace;
    kiln_tensor **args = SCRATCH(t, at, kiln_tensor *, nin + 1), **out = SCRATCH(t, at, kiln_tensor *, f->options.outputs);
    if (!args || !out) return false;
    for (int i = 0, p = 0; i < nin; i++)
        args[i] = in[i]->state == TENSOR_STATIC ? in[i] : tensor_traced(t, at, tr->frame, tr->frame->g->param.at[p++]);
    args[nin] = NULL;
    if (!function_inline(t, at, f, args, nin, out)) return false;
    for (*nout = 0; *nout < (uint32_t)f->options.outputs && (!f->open || out[*nout]); ++*nout)
        if (!(value[*nout] = trace_value(t, at, out[*nout]))) return false;
    return true;
}

static void drop_literals(Traced *traced)
{
    for (uint32_t i = 0; i < traced->nsource; i++)
        if (traced->source[i].kind == FROM_LITERAL) kiln_release(traced->source[i].tensor);
    traced->nsource = 0;
}

static bool trace_into(
    Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Traced *traced, Trace *tr, Value *value)
{
    Start start = {tr, f, traced, in, nin};
    uint32_t device, nout = 0;
    if (!one_device(t, at, f->name, in, (uint32_t)nin, &device)) return false;
    traced->device = (uint8_t)device;
    if (!bordered(t, at, &traced->arena, start_body, &start)) return false;
    if (!scope_push(t)) return fail(t, at, KILN_EMEMORY, "%s: no memory for a scope", f->name), false;
    uint64_t failures = t->failures;
    Frame *top = tr->frame;
    const uint8_t own = t->device;
    t->trace = tr;
    t->device = traced->device;
    bool ok = run_body(t, at, f, in, nin, value, &nout) && t->failures == failures && tr->frame == top;
    t->device = own;
    if (!ok && t->failures == failures)
        fail(t, at, KILN_ESTATE, "%s: could not be traced", f->name);
    else if (!ok && t->failure.code == KILN_OK)
        fail(t, at, KILN_ESTATE,
            "%s: its body cleared an error; a trace cannot go on after one, so kiln_clear after the "
            "call",
            f->name);
    Finish fin = {t, f, tr, traced, value, nout, {0}};
    ok = ok && bordered(t, at, &traced->arena, finish_body, &fin);
    text_free(&fin.text);
    t->trace = tr->outer;
    scope_pop(t);
    if (!ok) {
        traced->source = tr->source.at;
        traced->nsource = tr->source.len;
        drop_literals(traced);
    }
    return ok;
}

bool function_trace(Thread *t, kiln_site at, kiln_function *f, kiln_tensor *const *in, int nin, Traced *traced)
{
    Trace tr = {.outer = t->trace,
        .t = t,
        .id = atomic_fetch_add(&trace_ids, 1),
        .first_uid = t->next_uid + 1,
        .automatic = traced->plan.groups && !traced->plan.declared,
        .arena = &traced->arena};
    ScratchMark mark = scratch_mark(&t->scratch);
    Value *value = SCRATCH(t, at, Value, f->options.outputs);
    bool ok = value && trace_into(t, at, f, in, nin, traced, &tr, value);
    scratch_reset(&t->scratch, mark);
    return ok;
}

typedef struct Extra {
    Traced *traced;
    Value from, to;
} Extra;
static void extra_body(void *arg)
{
    const Extra *e = arg;
    Graph *g = e->traced->module->graph.at[0];
    for (Value v = e->from; v < e->to; v++) {
        const Type *type = graph_type(g, v);
        const Node *n = graph_maker(g, v);
        const bool stack = n->op == OP_loop && loop_condition(g->module, n->attr) &&
                           v - n->out >= ATTRS(loop, n->attr->at)->carries && v - n->out < n->nout - 1u;
        bool counted = false;
        for (uint32_t d = 0; d < type->rank; d++) counted |= dim_is_counted(&g->module->dims, type->dim[d]);
        if (!stack && !counted && (!type->rank || !dim_is_made(&g->module->dims, type->dim[0]))) graph_result(g, v);
    }
    e->traced->nresult = e->traced->module->graph.at[0]->result.len;
}

bool traced_add_results(Thread *t, kiln_site at, Traced *traced, Value from, Value to)
{
    Extra e = {traced, from, to};
    return bordered(t, at, &traced->arena, extra_body, &e);
}

void traced_init(Traced *traced) { arena_init(&traced->arena); }

void traced_free(Traced *traced)
{
    drop_literals(traced);
    arena_free(&traced->arena);
}
