/* call_gradient: the gradient of a compiled call on a tape: a derived function of the call's inputs and its outputs' cotangents,
 * whose trace is the graph that the instance was traced to, under a tape, and what that tape gives. It is an ordinary function,
 * compiled on demand and kept with the instance, so that its own gradient (second order) comes about the same way. Never runs the
 * body again: it may be freed, with all that it used. */
#include "../../ir/transplant.h"

#include "function.h"

#include <stdio.h>

typedef struct InstanceGradient {
    kiln_function *f;
    Instance *inst;
} InstanceGradient;

static InstanceGradient *user_new(kiln_function *f, Instance *inst)
{
    InstanceGradient *rg = mem_zeros(1, sizeof *rg);
    if (rg) *rg = (InstanceGradient){f, inst};
    return rg;
}

static void free_user(void *user) { mem_free(user, sizeof(InstanceGradient)); }

static bool takes_gradient(const Type *type) { return dtype_is_float(type->dtype); }

/* Whether the body reads this variable inside a loop or branch, where no tape around it sees the read; to ask for its gradient is
 * then an error. */
static bool is_missed(const Instance *inst, const Source *s)
{
    for (uint32_t i = 0; i < inst->traced.nread && s->kind == FROM_VARIABLE; i++)
        if (inst->traced.read[i].variable == s->variable && !inst->traced.read[i].leaf) return true;
    return false;
}

/* Whether the gradient of this source can be asked for. Constants that the body spells out belong to nobody outside. */
static bool is_asked(const Instance *inst, const Source *s)
{
    return takes_gradient(&s->type) && s->kind != FROM_LITERAL && !is_missed(inst, s);
}

static const Source *source_of(const Instance *inst, const kiln_variable *v)
{
    for (uint32_t i = 0; i < inst->traced.nsource; i++)
        if (inst->traced.source[i].kind == FROM_VARIABLE && inst->traced.source[i].variable == v) return &inst->traced.source[i];
    return NULL;
}

/* Reads of values that the body had assigned itself do not count. */
static bool reads_own(const Instance *inst, const TapeRead *r)
{
    const Source *s = source_of(inst, r->variable);
    const Graph *g = inst->traced.graph[0];
    return r->leaf && (!s || graph_maker(g, r->leaf)->in[0] != g->param.at[s - inst->traced.source]);
}

/* No tape around the call holds such a value. If the variable is also a source, the call's gradient counts the read. Otherwise all
 * recording tapes miss the variable from the call on; and they miss sources, too, once a gradient is recorded itself, because its
 * own gradient could not count the read. */
bool note_own_reads(Thread *t, const Instance *inst, bool sources)
{
    for (kiln_tape *tape = t->tape; tape; tape = tape->outer)
        for (uint32_t i = 0; i < inst->traced.nread && tape->recording && !tape->frame; i++) {
            const TapeRead *r = &inst->traced.read[i];
            if (!r->variable || r->variable->local || sources == !source_of(inst, r->variable) || !reads_own(inst, r)) continue;
            if (!tape_note(tape, r->variable, 0, 0)) return false;
        }
    return true;
}

typedef struct Again { /* the instance's graph in the running trace */
    const Instance *inst;
    Graph *g;
    kiln_tensor *const *in;
    Value *given; /* per source: what stands for it */
    Value *map;   /* per value of the instance's graph */
    Status st;
    bool ok;
} Again;

static void again_body(void *arg)
{
    Again *a = arg;
    const Instance *inst = a->inst;
    const Graph *from = inst->traced.graph[0];
    Transplant t;
    transplant_begin(&t, inst->traced.graph, inst->traced.ngraph, &from->module->dims, a->g->module, &a->st);
    a->map = ARENA_ARRAY(a->g->module->arena, Value, from->value.len);
    for (uint32_t i = 0; i < inst->traced.nsource; i++) {
        const Type *type = graph_type(from, from->param.at[i]);
        for (int d = 0; d < type->rank; d++)
            if (type->dim[d] < 0) t.size[-1 - type->dim[d]] = a->in[i]->type.dim[d];
        a->map[from->param.at[i]] = a->given[i];
    }
    a->ok = transplant(&t, a->g, from, a->map);
}

/* Makes what stands for the sources: watched arguments, captures and locals, and variables' values at entry; x gets those that a
 * gradient is asked for. False: recorded. */
static bool give_sources(
    Thread *t, kiln_site at, const Instance *inst, kiln_tape *tape, kiln_tensor *const *in, Value *given, kiln_operand *x, int *nx)
{
    *nx = 0;
    for (uint32_t i = 0; i < inst->traced.nsource; i++) {
        const Source *s = &inst->traced.source[i];
        const bool variable = s->kind == FROM_VARIABLE && !s->variable->local, asked = is_asked(inst, s);
        kiln_tensor *v = asked && !variable ? kiln_watch_at(at, tape, in[i]) : in[i];
        if (!tensor_ok(v) || !(given[i] = trace_value(t, at, v))) return false;
        if (asked) x[(*nx)++] = variable ? kiln_of_variable(s->variable) : kiln_of_tensor(v);
    }
    return true;
}

Value *graph_again(Thread *t, kiln_site at, const Instance *inst, kiln_tensor *const *in, Value *given)
{
    Again a = {.inst = inst, .g = t->trace->frame->g, .in = in, .given = given};
    if (!arena_try(t->trace->arena, &a.st, again_body, &a) || !a.ok) return fail_status(t, at, &a.st), NULL;
    return a.map;
}

/* Copies the instance's graph into the running trace; the tape notes which variables it reads. False: recorded. */
static bool again(Thread *t, kiln_site at, kiln_tape *tape, Again *a)
{
    a->g = t->trace->frame->g;
    if (!(a->map = graph_again(t, at, a->inst, a->in, a->given))) return false;
    for (uint32_t i = 0; i < a->inst->traced.nread; i++) {
        const TapeRead *r = &a->inst->traced.read[i];
        if (!tape_note(tape, r->variable, 0, r->leaf ? a->map[r->leaf] : 0)) return false;
    }
    return true;
}

typedef struct Replace {
    Graph *g;
    Value *map; /* per value: what stands for it from now on, 0: itself */
} Replace;

static void replace_body(void *arg)
{
    const Replace *r = arg;
    Arena *a = r->g->module->arena;
    for (uint32_t i = 0; i < r->g->node.len; i++) {
        Node *n = &r->g->node.at[i];
        Value *in = NULL;
        for (uint32_t k = 0; k < n->nin; k++) {
            if (!r->map[n->in[k]]) continue;
            if (!in) n->in = in = arena_copy(a, n->in, n->nin * sizeof *in);
            in[k] = r->map[in[k]];
        }
    }
}

bool graph_reads(Thread *t, kiln_site at, Graph *g, Value *map)
{
    Replace r = {g, map};
    return bordered(t, at, t->trace->arena, replace_body, &r);
}

/* Each saved value comes in as an argument, and whatever would read the value that is computed again reads the argument instead, so
 * that nothing is computed for it. */
static bool read_saved(Thread *t, kiln_site at, const Again *a)
{
    const Traced *traced = &a->inst->traced;
    Value *map = SCRATCH(t, at, Value, a->g->value.len);
    if (!map) return false;
    memset(map, 0, a->g->value.len * sizeof *map);
    for (uint32_t i = 0; i < traced->nsaved; i++) {
        const Value made = a->map[traced->saved[i]], saved = trace_value(t, at, a->in[traced->nsource + i]);
        if (!saved) return false;
        if (type_equal(graph_type(a->g, made), graph_type(a->g, saved))) map[made] = saved;
    }
    return traced->nsaved == 0 || graph_reads(t, at, a->g, map);
}

/* A cotangent comes with the size that the call counted; here it is counted again, and is the same number. */
static kiln_tensor *in_counted_size(Thread *t, kiln_site at, kiln_tensor *g, const Type *y)
{
    for (int a = 0; a < y->rank; a++) {
        const Type index = {.dtype = DT_i64, .rank = 1, .dim = {y->dim[a]}};
        if (!tensor_ok(g) || g->type.dim[a] == y->dim[a] || !extent_counted(t, y->dim[a])) continue;
        if (g->type.dim[a] == 0) return constant_of(t, at, y, kiln_of_i(0));
        g = apply2(t, at, OP_gather, g, iota_of(t, at, &index, 0, g), ATTRS_OF(gather, .axis = a));
    }
    return g;
}

/* Gives out the gradients of all float sources, and zeros for those that nobody asks for. */
static void give_gradients(
    Thread *t, kiln_site at, const Again *a, kiln_tape *tape, const kiln_operand *x, int nx, kiln_tensor **out)
{
    const Instance *inst = a->inst;
    const Graph *from = inst->traced.graph[0];
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, 2 * inst->traced.noutput), **seed = y + inst->traced.noutput,
                **d = SCRATCH(t, at, kiln_tensor *, nx);
    kiln_tensor *const *cotangent = a->in + inst->traced.nsource + inst->traced.nsaved;
    uint32_t ny = 0, n = 0, outs = 0;
    if (!y || !d) return;
    for (uint32_t i = 0; i < inst->traced.noutput; i++) {
        if (!takes_gradient(&inst->result[i])) continue;
        seed[ny] = *cotangent++;
        if (seed[ny]->state == TENSOR_STATIC) continue;
        y[ny] = tensor_traced(t, at, t->trace->frame, a->map[from->result.at[i]]);
        if (tensor_ok(y[ny])) seed[ny] = in_counted_size(t, at, seed[ny], &y[ny]->type);
        ny++;
    }
    if (!gradients(t, at, tape, y, seed, ny, x, nx, d)) return;
    for (uint32_t i = 0; i < inst->traced.nsource; i++) {
        const Source *s = &inst->traced.source[i];
        if (takes_gradient(&s->type)) out[outs++] = is_asked(inst, s) ? d[n++] : constant_of(t, at, &a->in[i]->type, kiln_of_i(0));
    }
}

/* With scratch that the caller gives back. */
static void gradient_into(Thread *t, const InstanceGradient *rg, kiln_tensor *const *in, kiln_tensor **out)
{
    const Instance *inst = rg->inst;
    kiln_site at = {rg->f->loc.file, rg->f->loc.line};
    const Frame *top = t->trace->frame;
    Again a = {.inst = inst, .in = in, .given = SCRATCH(t, at, Value, inst->traced.nsource)};
    kiln_operand *x = SCRATCH(t, at, kiln_operand, inst->traced.nsource + 1);
    kiln_tape *tape = a.given && x ? kiln_tape_open_at(at, t->k, false) : NULL;
    int nx;
    if (!tape || !give_sources(t, at, inst, tape, in, a.given, x, &nx) || !again(t, at, tape, &a)) return;
    give_gradients(t, at, &a, tape, x, nx, out);
    kiln_tape_close(&tape);
    if (!read_saved(t, at, &a)) return;
    /* A variable's value at entry is an argument here, so gradients with respect to it flow through the variable's reads. */
    for (uint32_t i = 0; i < inst->traced.nsource; i++)
        if (inst->traced.source[i].kind == FROM_VARIABLE) frame_pass_reads(top, a.given[i]);
}

/* Inputs: the instance's sources in order, what it saved, then a cotangent per float output, or a static argument where there is
 * none. Outputs: the cotangent of every float source. */
static void instance_gradient_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    gradient_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* Writes the symbols of one type as groups of the plan. False: one size is an expression, or there are too many symbols. */
static bool plan_type(Plan *p, Dim *symbol, const Instance *inst, const Type *type, uint8_t *group)
{
    for (int d = 0; d < type->rank; d++) {
        if (type->dim[d] >= 0) continue;
        const DimExpr *e = &inst->traced.module->dims.expr.at[-1 - type->dim[d]];
        uint32_t g = 0;
        while (g < p->groups && symbol[g] != type->dim[d]) g++;
        if (e->kind != DIM_SYMBOL || g == PLAN_GROUPS) return false;
        symbol[g] = type->dim[d];
        p->hi[g] = e->hi;
        p->groups = MAX_OF(p->groups, g + 1);
        group[d] = (uint8_t)(g + 1);
    }
    return true;
}

/* The gradient of a bounded instance is bounded from its first call on. */
static void preset_plan(kiln_function *vjp, const Instance *inst, uint32_t nin)
{
    uint8_t *group = inst->traced.bounded || inst->traced.ncount ? mem_zeros(nin, MAX_RANK) : NULL;
    if (!group) return;
    Plan p = {.group = group, .declared = true};
    Dim symbol[PLAN_GROUPS];
    uint32_t at = 0;
    bool ok = true;
    for (uint32_t i = 0; i < inst->traced.nsource; i++, at++) {
        const Source *s = &inst->traced.source[i];
        const Type *type = s->kind == FROM_ARGUMENT ? &inst->traced.arg[s->argument] : &s->type;
        ok = ok && plan_type(&p, symbol, inst, type, group + (size_t)at * MAX_RANK);
    }
    for (uint32_t i = 0; i < inst->traced.nsaved; i++)
        ok = ok &&
             plan_type(&p, symbol, inst, graph_type(inst->traced.graph[0], inst->traced.saved[i]), group + (size_t)at++ * MAX_RANK);
    for (uint32_t i = 0; i < inst->traced.noutput; i++)
        if (takes_gradient(&inst->result[i]))
            ok = ok && plan_type(&p, symbol, inst, &inst->result[i], group + (size_t)at++ * MAX_RANK);
    if (!ok || !p.groups) {
        mem_free(group, (size_t)nin * MAX_RANK);
        return;
    }
    vjp->preset = p;
    vjp->preset_args = nin;
}

static void own_vjp(Instance *inst, uint32_t nin)
{
    kiln_function *vjp = inst->vjp;
    pthread_mutex_lock(&vjp->k->lock);
    vjp->nspec = 0;
    preset_plan(vjp, inst, nin);
    vjp->inst = inst;
    inst->derived = true;
    pthread_mutex_unlock(&vjp->k->lock);
}

/* Returns with the call entered; the caller leaves it. NULL: recorded. */
static kiln_function *instance_gradient(Thread *t, kiln_site at, kiln_function *f, Instance *inst)
{
    pthread_mutex_lock(&f->deriving);
    if (!inst->vjp) {
        int nx = 0, ny = 0;
        for (uint32_t i = 0; i < inst->traced.nsource; i++) nx += takes_gradient(&inst->traced.source[i].type);
        for (uint32_t i = 0; i < inst->traced.noutput; i++) ny += takes_gradient(&inst->result[i]);
        InstanceGradient *rg = user_new(f, inst);
        char name[128];
        snprintf(name, sizeof name, "%s_vjp", f->name);
        if (!rg) {
            fail(t, at, KILN_EMEMORY, "%s: no memory", name);
        } else {
            function_derived(at, f->k, name, instance_gradient_body, rg, free_user,
                (int)(inst->traced.nsource + inst->traced.nsaved) + ny, nx ? nx : 1, f, false, &inst->vjp);
            if (inst->vjp)
                own_vjp(inst, inst->traced.nsource + inst->traced.nsaved + (uint32_t)ny);
            else
                free_user(rg);
        }
    }
    kiln_function *vjp = inst->vjp && call_enter(t, at, inst->vjp) ? inst->vjp : NULL;
    pthread_mutex_unlock(&f->deriving);
    return vjp;
}

/* Fills in the arguments behind the inputs: what was saved, then per float output its cotangent, or a static argument that says
 * that there is none. False: recorded. */
static bool arguments(Thread *t, kiln_site at, const Instance *inst, kiln_tensor *const *in, kiln_tensor *const *saved,
    kiln_tensor *const *g, kiln_tensor **arg, uint32_t *n)
{
    memcpy(arg, in, inst->traced.nsource * sizeof *arg);
    *n = inst->traced.nsource;
    for (uint32_t i = 0; i < inst->traced.nsaved; i++) arg[(*n)++] = saved[i];
    for (uint32_t i = 0; i < inst->traced.noutput; i++)
        if (takes_gradient(&inst->result[i]) && !(arg[(*n)++] = g[i] ? g[i] : static_argument(t, at, (kiln_operand){.kind = 7})))
            return false;
    return true;
}

static bool none_missed(Thread *t, kiln_site at, const kiln_function *f, const Instance *inst, const bool *wanted)
{
    for (uint32_t i = 0; i < inst->traced.nsource; i++) {
        if (!wanted[i] || !is_missed(inst, &inst->traced.source[i])) continue;
        fail(t, at, KILN_EUNSUPPORTED,
            "gradient: variable %s is assigned in a loop of %s, or assigned and then read in a branch of "
            "it; carry it in a kiln_local",
            inst->traced.source[i].variable->name, f->name);
        return false;
    }
    return true;
}

/* The form of the instance that ran. While an outer tape records the gradient itself, the plain form is taken, since the gradient
 * must then depend on the inputs alone. */
static Instance *form_of(const Thread *t, Instance *inst)
{
    Instance *saving = inst->saving;
    return saving && !t->recording ? saving : inst;
}

/* With scratch that the caller gives back. */
static bool ask_gradient(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor *const *out,
    kiln_tensor *const *g, const bool *wanted, kiln_tensor **dx)
{
    const Traced *traced = &inst->traced;
    kiln_tensor **arg = SCRATCH(t, at, kiln_tensor *, traced->nsource + traced->nsaved + traced->noutput),
                **got = SCRATCH(t, at, kiln_tensor *, traced->nsource + 1);
    uint32_t n;
    if (!arg || !got || !none_missed(t, at, f, inst, wanted) || !arguments(t, at, inst, in, out + traced->noutput, g, arg, &n))
        return false;
    kiln_function *vjp = instance_gradient(t, at, f, inst);
    if (!vjp || (t->recording && !note_own_reads(t, inst, true))) return false;
    Instance *r = function_instance(t, at, vjp, arg, (int)n);
    bool ok = r && instance_run(t, at, vjp, r, arg, got);
    if (f->freed) kiln_function_free(vjp); /* whoever freed f did not know of it */
    call_leave(t);
    if (!ok) return false;
    for (uint32_t i = 0, j = 0; i < traced->nsource; i++)
        if (takes_gradient(&traced->source[i].type)) dx[i] = got[j++];
    return true;
}

void recorded_call_hold(kiln *k, const RecordedCall *call)
{
    function_hold(call->f);
    instance_hold(call->inst, k);
}

void recorded_call_drop(kiln *k, const RecordedCall *call)
{
    instance_drop(call->inst, k);
    function_drop(call->f);
}

bool recorded_call_gradient(Thread *t, kiln_site at, const RecordedCall *call, kiln_tensor *const *in, kiln_tensor *const *out,
    kiln_tensor *const *g, const bool *wanted, kiln_tensor **dx)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = ask_gradient(t, at, call->f, form_of(t, call->inst), in, out, g, wanted, dx);
    scratch_reset(&t->scratch, mark);
    return ok;
}
