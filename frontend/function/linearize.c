/* linearize: a function at one place as its value and a linear function of tangents. The graph of kiln_jvp is cut in two: what
 * depends on no tangent runs once, interpreted, and gives the values that the rest reads; the function of tangents has them as
 * captured tensors. Both are traces into which that graph is copied (call_gradient.c). Relies on jvp.c. */
#include "function.h"

#include <stdio.h>

typedef struct Linear {
    kiln *k;
    Instance *inst; /* of the jvp; held */
    int nin, nout;
    uint32_t n, params; /* values of its graph that are kept; the first ones are parameters */
    Value *value;
    kiln_tensor **kept; /* owned */
    Type *type;         /* of the sources, as they came */
} Linear;

static uint32_t room(const Instance *inst) { return inst->traced.graph[0]->value.len; }

static void linear_free(void *user)
{
    Linear *l = user;
    const uint32_t sources = l->inst->traced.nsource;
    for (uint32_t i = 0; l->kept && i < l->n; i++)
        if (l->kept[i]) kiln_release(l->kept[i]);
    mem_free(l->value, room(l->inst) * sizeof *l->value);
    mem_free(l->kept, room(l->inst) * sizeof(kiln_tensor *));
    mem_free(l->type, (sources + 1) * sizeof *l->type);
    instance_drop(l->inst, l->k);
    mem_free(l, sizeof *l);
}

static bool is_tangent(const Linear *l, uint32_t source)
{
    const Source *s = &l->inst->traced.source[source];
    return s->kind == FROM_ARGUMENT && s->argument >= (uint32_t)l->nin;
}

/* ---- the cut --------------------------------------------------------------------------------------------------------------- */
/* Costs nothing to make again, and may be larger than what it is made of. */
static bool is_cheap(const Node *n)
{
    return n->nin == 0 || n->op == OP_broadcast || n->op == OP_reshape || n->op == OP_transpose || n->op == OP_leaf;
}

static bool any(const bool *is, const Value *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (is[v[i]]) return true;
    return false;
}

static void keep(Linear *l, Value v) { l->value[l->n++] = v; }

/* linear: per value, whether it depends on a tangent; need: whether such a value reads it. */
static void cut(Linear *l, bool *linear, bool *need)
{
    const Graph *g = l->inst->traced.graph[0];
    for (uint32_t i = 0; i < g->param.len; i++) linear[g->param.at[i]] = is_tangent(l, i);
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        const bool is = any(linear, n->in, n->nin);
        for (uint32_t o = 0; o < n->nout && is; o++) linear[n->out + o] = true;
    }
    for (int i = l->nout; i < 2 * l->nout; i++) need[g->result.at[i]] = !linear[g->result.at[i]];
    for (uint32_t i = g->node.len; i-- > 0;) {
        const Node *n = &g->node.at[i];
        bool is = false, asked = false;
        for (uint32_t o = 0; o < n->nout; o++) is |= linear[n->out + o], asked |= need[n->out + o];
        if (n->op == OP_param || !(is || (asked && is_cheap(n)))) continue;
        for (uint32_t k = 0; k < n->nin; k++) need[n->in[k]] |= !linear[n->in[k]];
        for (uint32_t o = 0; o < n->nout; o++) need[n->out + o] = false;
    }
    for (uint32_t i = 0; i < g->param.len; i++)
        if (need[g->param.at[i]]) keep(l, g->param.at[i]);
    l->params = l->n;
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t o = 0; o < g->node.at[i].nout && g->node.at[i].op != OP_param; o++)
            if (need[g->node.at[i].out + o]) keep(l, g->node.at[i].out + o);
}

/* Takes the instance, to be dropped by linear_free. NULL: recorded. */
static Linear *linear_new(Thread *t, kiln_site at, Instance *inst, int nin, int nout)
{
    if (inst->traced.graph[0]->module->dims.counts) { /* what is left would have to count it again, without what it counts by */
        fail(t, at, KILN_EUNSUPPORTED,
            "linearize: the body counts a size (by compress, nonzero, unique or their like); kiln_jvp and kiln_grad take such");
        return NULL;
    }
    Linear *l = mem_zeros(1, sizeof *l);
    if (!l) {
        fail(t, at, KILN_EMEMORY, "linearize: no memory");
        return NULL;
    }
    *l = (Linear){.k = t->k, .inst = inst, .nin = nin, .nout = nout};
    instance_hold(inst, t->k);
    l->value = mem_zeros(room(inst), sizeof *l->value);
    l->kept = mem_zeros(room(inst), sizeof(kiln_tensor *));
    l->type = mem_zeros(inst->traced.nsource + 1, sizeof *l->type);
    bool *linear = SCRATCH(t, at, bool, room(inst)), *need = SCRATCH(t, at, bool, room(inst));
    if (l->value && l->kept && l->type && linear && need) {
        memset(linear, 0, room(inst) * sizeof *linear);
        memset(need, 0, room(inst) * sizeof *need);
        cut(l, linear, need);
        return l;
    }
    fail(t, at, KILN_EMEMORY, "linearize: no memory");
    linear_free(l);
    return NULL;
}

/* ---- what runs once ---------------------------------------------------------------------------------------------------------- */
/* Inputs: the sources. Outputs: those of f, then the kept values that are no parameters. With scratch that the caller gives back.
 */
static void forward_into(Thread *t, const Linear *l, kiln_tensor *const *in, kiln_tensor **out)
{
    const Graph *g = l->inst->traced.graph[0];
    const kiln_site at = {NULL, 0};
    Value *given = SCRATCH(t, at, Value, l->inst->traced.nsource + 1), *map;
    if (!given) return;
    for (uint32_t i = 0; i < l->inst->traced.nsource; i++)
        if (!(given[i] = trace_value(t, at, in[i]))) return;
    if (!(map = graph_again(t, at, l->inst, in, given))) return;
    for (int i = 0; i < l->nout; i++) out[i] = tensor_traced(t, at, t->trace->frame, map[g->result.at[i]]);
    for (uint32_t i = l->params; i < l->n; i++)
        out[(uint32_t)l->nout + i - l->params] = tensor_traced(t, at, t->trace->frame, map[l->value[i]]);
}

static void forward_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    forward_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* Gives f's outputs and fills in what is kept. With scratch that the caller gives back. False: recorded. */
static bool forward(Thread *t, kiln_site at, kiln_function *j, Linear *l, kiln_tensor *const *in, kiln_tensor **out)
{
    const Traced *traced = &l->inst->traced;
    const uint32_t more = l->n - l->params, nout = (uint32_t)l->nout + more;
    kiln_operand *x = SCRATCH(t, at, kiln_operand, traced->nsource + 1);
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, nout);
    if (!x || !y) return false;
    for (uint32_t i = 0; i < traced->nsource; i++) {
        kiln_tensor *s = source_tensor(t, at, j, &traced->source[i], in);
        if (!s) return false;
        l->type[i] = s->type;
        x[i] = kiln_of_tensor(s);
        for (uint32_t n = 0; n < l->params; n++)
            if (l->value[n] == traced->graph[0]->param.at[i]) l->kept[n] = kiln_own(s);
    }
    const kiln_function_options o = {.name = "linearize",
        .inputs_count = (int)traced->nsource,
        .outputs = (int)nout,
        .fixed_sizes = true,
        .compile = KILN_NEVER};
    kiln_function *once = kiln_function_new_sized(at, t->k, forward_body, l, &o, sizeof o);
    if (!once) return false;
    once->maps = true;
    const bool ok = kiln_call_all_at(at, once, x, (int)traced->nsource, y, (int)nout);
    kiln_function_free(once);
    for (int i = 0; i < l->nout && ok; i++) out[i] = y[i];
    for (uint32_t i = 0; i < more && ok; i++) l->kept[l->params + i] = kiln_own(y[(uint32_t)l->nout + i]);
    return ok;
}

/* ---- the function of tangents ---------------------------------------------------------------------------------------------- */
/* What stands for a source: a tangent, what was kept, or, where nothing that is left reads it, zeros. NULL: recorded. */
static kiln_tensor *standing_for(Thread *t, kiln_site at, const Linear *l, uint32_t source, kiln_tensor *const *in)
{
    char a[96], b[96];
    const Type *type = &l->type[source];
    const Value v = l->inst->traced.graph[0]->param.at[source];
    for (uint32_t n = 0; n < l->params; n++)
        if (l->value[n] == v) return l->kept[n];
    if (!is_tangent(l, source) || !dtype_is_float(type->dtype)) return constant_of(t, at, type, kiln_of_i(0));
    kiln_tensor *x = in[l->inst->traced.source[source].argument - (uint32_t)l->nin];
    if (type_equal(&x->type, type)) return x;
    type_print(NULL, type, b, sizeof b);
    fail(t, at, x->type.dtype == type->dtype ? KILN_ESHAPE : KILN_EDTYPE, "linearize: a tangent is %s; it must be %s, as its input",
        tensor_text(x, a, sizeof a), b);
    return NULL;
}

/* With scratch that the caller gives back. */
static void linear_into(Thread *t, const Linear *l, kiln_tensor *const *in, kiln_tensor **out)
{
    const Graph *g = l->inst->traced.graph[0];
    const kiln_site at = {NULL, 0};
    const uint32_t sources = l->inst->traced.nsource;
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, sources + 1);
    Value *given = SCRATCH(t, at, Value, sources + 1), *kept = SCRATCH(t, at, Value, l->n + 1), *map, *reads;
    if (!x || !given || !kept) return;
    for (uint32_t i = 0; i < sources; i++)
        if (!tensor_ok(x[i] = standing_for(t, at, l, i, in)) || !(given[i] = trace_value(t, at, x[i]))) return;
    for (uint32_t i = l->params; i < l->n; i++)
        if (!(kept[i] = trace_value(t, at, l->kept[i]))) return;
    Graph *to = t->trace->frame->g;
    if (!(map = graph_again(t, at, l->inst, x, given)) || !(reads = SCRATCH(t, at, Value, to->value.len))) return;
    memset(reads, 0, to->value.len * sizeof *reads);
    for (uint32_t i = l->params; i < l->n; i++) reads[map[l->value[i]]] = kept[i];
    if (!graph_reads(t, at, to, reads)) return;
    for (int i = 0; i < l->nout; i++) {
        const Value v = map[g->result.at[l->nout + i]];
        out[i] = tensor_traced(t, at, t->trace->frame, reads[v] ? reads[v] : v);
    }
}

static void linear_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    linear_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* ---- all -------------------------------------------------------------------------------------------------------------------- */
/* Tangents for the jvp's trace, whose values nothing depends on. False: recorded. */
static bool arguments(Thread *t, kiln_site at, const kiln_function *f, kiln_tensor **x, int nin)
{
    for (int i = 0; i < nin; i++) {
        if (x[i]->state == TENSOR_STATIC) {
            fail(t, at, KILN_EUNSUPPORTED, "linearize of %s: argument %d is static", f->name, i);
            return false;
        }
        x[nin + i] = dtype_is_float(x[i]->type.dtype) ? constant_of(t, at, &x[i]->type, kiln_of_i(0)) : x[i];
        if (!tensor_ok(x[nin + i])) return false;
    }
    return true;
}

/* With scratch that the caller gives back. NULL: recorded. */
static kiln_function *linearize(
    Thread *t, kiln_site at, kiln_function *f, kiln_function *j, const kiln_operand *in, int nin, kiln_tensor **out)
{
    char name[128];
    kiln_tensor **x = SCRATCH(t, at, kiln_tensor *, 2 * (size_t)nin + 1);
    const int nout = f->options.outputs;
    if (!x || !function_arguments(t, at, f, in, nin, x) || !arguments(t, at, f, x, nin)) return NULL;
    Instance *inst = function_instance(t, at, j, x, 2 * nin);
    if (!inst) return NULL;
    if (inst->traced.nchanged) {
        fail(t, at, KILN_EUNSUPPORTED, "linearize of %s: it assigns variable %s", f->name, inst->traced.changed[0]->name);
        return NULL;
    }
    Linear *l = linear_new(t, at, inst, nin, nout);
    if (!l) return NULL;
    snprintf(name, sizeof name, "%s_linear", f->name);
    kiln_function *made = NULL;
    if (forward(t, at, j, l, x, out)) {
        pthread_mutex_lock(&j->deriving);
        made = function_derived(at, t->k, name, linear_body, l, linear_free, nin, nout, j, false, NULL);
        if (made) made->maps = true;
        pthread_mutex_unlock(&j->deriving);
    }
    if (!made) linear_free(l);
    return made;
}

kiln_function *kiln_linearize_at(kiln_site at, kiln_function *f, kiln_operands in, kiln_tensor **out, int nout)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    OperandArray a;
    kiln_function *made = NULL;
    results_poison(t, out, nout);
    if (!f || !t) return fail(t, at, KILN_ESTATE, "linearize: the function is NULL"), NULL;
    if (!function_alive(t, at, f)) return NULL;
    const int have = f->options.outputs;
    if (nout < 0 || nout > have || (nout && !out))
        return fail(t, at, KILN_EVALUE, "linearize of %s: %d outputs asked for, but it has %d", f->name, nout, have), NULL;
    if (t->trace) return fail(t, at, KILN_EUNSUPPORTED, "linearize of %s: in a trace; use kiln_jvp", f->name), NULL;
    kiln_function *j = kiln_jvp(f);
    if (!j || !operand_array_open(t, at, "linearize", in, &a)) return NULL;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, (size_t)have);
    if (y && call_enter(t, at, j)) {
        made = linearize(t, at, f, j, a.at, in.count, y);
        call_leave(t);
    }
    for (int i = 0; i < nout && made; i++) out[i] = y[i];
    scratch_reset(&t->scratch, mark);
    operand_array_close(&a, in);
    return made;
}
