/* run: a plan's nodes in order, eagerly or as the body of a traced function; functions of the model's own are run where they are
 * called. Relies on import.h. */
#include "import.h"

#include <stdio.h>

#include "../trace/trace.h"

/* ---- one node ----------------------------------------------------------------------------------------- */

static bool few(const Held *h)
{
    bool so = h->nothing || h->size || (h->constant && kiln_elements(h->t) <= 1024);
    for (int j = 0; so && h->size && j < h->sizes; j++) so = !known_symbol(h->size[j]);
    for (uint32_t j = 0; h->many && j < h->many->n; j++)
        if (!few(&h->many->at[j])) return false;
    return so || h->many;
}

/* In a trace a few constants, and sizes that are plain numbers, give a constant, so that sizes may follow from it. */
static bool folds(const Call *c)
{
    if (!c->t->trace || c->node->op->draws) return false;
    for (uint32_t i = 0; i < c->nin; i++)
        if (has(c, i) && !few(&c->in[i])) return false;
    for (uint32_t j = 0; c->node->inner && j < c->node->node->attribute.n; j++) {
        const Plan *q = c->node->inner[j];
        for (uint32_t i = 0; q && i < q->takes; i++)
            if (!few(&c->env->value[q->from[i]])) return false;
    }
    return true;
}

/* What was made in the innermost scope moves out of it; operands that are passed on stay where they are. */
static void keep(const Thread *t, Held *h)
{
    for (uint32_t i = 0; h->many && i < h->many->n; i++) keep(t, (Held *)(uintptr_t)&h->many->at[i]);
    if (!h->t) return; /* sizes */
    if (h->t->in_scope && h->t->home == t && h->t->scope == t->scopes - 1) kiln_keep(h->t);
    h->constant = true;
}

/* A result that shows what an operand or a weight holds is that one, which outlives the node's own handles: a trace takes in what
 * was there before it by the handle that it saw. */
static void pass_on(const Call *c, Held *h)
{
    const Plan *p = c->env->plan;
    if (!tensor_ok(h->t)) return;
    for (uint32_t i = 0; i < p->names + c->m->initializers; i++) {
        kiln_tensor *x = i < p->names ? c->env->value[i].t : c->m->weight[i - p->names];
        if (x && tensor_ok(x) && x->uid == h->t->uid && type_equal(&x->type, &h->t->type)) {
            h->t = x;
            return;
        }
    }
}

static bool run_now(Call *c)
{
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    const bool ok = c->node->op->fn(c);
    for (uint32_t i = 0; ok && i < c->nout; i++) pass_on(c, &c->out[i]), keep(c->t, &c->out[i]);
    kiln_eagerly_close(&now);
    return ok;
}

static bool call_function(Run *r, Call *c)
{
    const Plan *p = c->node->function;
    Env e = env_of(r, p);
    e.caller = c->env;
    e.call = c->node;
    for (uint32_t i = 0; i < p->inputs && i < c->nin; i++)
        if (p->input[i] != UINT32_MAX) e.value[p->input[i]] = c->in[i];
    if (!env_run(r, &e)) return false;
    for (uint32_t i = 0; i < p->outputs && i < c->nout; i++)
        if (p->output[i] != UINT32_MAX) c->out[i] = e.value[p->output[i]];
    return true;
}

/* "Conv 'conv1'", or by what it gives if it has no name. */
static const char *node_text(const Run *r, const PlanNode *n)
{
    const OnnxNode *x = n->node;
    const bool named = x->name.n != 0 || x->output.n == 0;
    return arena_printf(
        r->arena, named ? "%s '%s'" : "%s that gives '%s'", shown(x->op).text, shown(named ? x->name : x->output.at[0]).text);
}

static bool run_operator(const Run *r, Call *c)
{
    if (c->node->fold && !fold_operands(c)) return false;
    if (sizes_run(c)) return true;
    return !kiln_failed(r->t->k) && (folds(c) ? run_now(c) : c->node->op->fn(c));
}

void node_place(const Run *r, const Env *e, const PlanNode *n, char *to, size_t cap)
{
    const OnnxNode *x = n->node;
    const bool within = e->plan->function, named = x->name.n != 0;
    snprintf(to, cap, "onnx: %.200s: node %u%s%s%s, %s%s%s%s (%s %lld)", r->m->path ? r->m->path : "a model in memory",
        (unsigned)(n - e->plan->node), within ? " of function '" : "", within ? shown(e->plan->function->name).text : "",
        within ? "'" : "", shown(x->op).text, named ? " '" : "", named ? shown(x->name).text : "", named ? "'" : "",
        x->domain.n ? shown(x->domain).text : "ai.onnx", (long long)n->version);
}

typedef struct NodeName {
    LateName late;
    const Run *r;
    const Env *e;
    const PlanNode *n;
} NodeName;

static void write_name(const LateName *late, char *to, size_t cap)
{
    const NodeName *x = (const void *)late;
    node_place(x->r, x->e, x->n, to, cap);
}

/* The place of what fails in it is the node, which its name tells, not a line of Kiln's. */
bool env_node_run(Run *r, const Env *e, const PlanNode *n)
{
    Call c = {.t = r->t,
        .m = r->m,
        .node = n,
        .nin = n->node->input.n,
        .nout = n->node->output.n,
        .arena = r->arena,
        .written = r->written,
        .env = e};
    c.in = ARENA_ARRAY(r->arena, Held, c.nin + 1);
    c.out = ARENA_ARRAY(r->arena, Held, c.nout + 1);
    for (uint32_t i = 0; i < c.nin; i++)
        if (n->in[i] != UINT32_MAX) {
            c.in[i] = e->value[n->in[i]];
            Held *h = &c.in[i];
            if (h->constant && !h->size && !dtype_is_float((DType)h->t->type.dtype) && kiln_elements(h->t) <= 64 &&
                !read_sizes(&c, h))
                return false;
        }
    if (!n->op && !n->function) { /* in a graph within a node, of a survey */
        unsupported(&c, "%s", shown(n->node->op).text);
        return false;
    }
    const char *outer = r->t->called; /* errors of what it is made of bear the node's name */
    const NodeName name = {{.write = write_name}, r, e, n};
    r->t->called = &name.late.empty;
    if (r->t->trace) trace_label(r->t, c.at, node_text(r, n));
    const bool ok = n->function ? call_function(r, &c) : run_operator(r, &c);
    if (!ok && !kiln_failed(r->t->k)) /* arithmetic of sizes tells nobody */
        fail(r->t, c.at, KILN_ESHAPE, "onnx: the sizes of its operands do not fit each other, or what it computes of them");
    r->t->called = outer;
    if (!ok) return false;
    for (uint32_t i = 0; i < c.nout; i++)
        if (n->out[i] != UINT32_MAX) e->value[n->out[i]] = c.out[i];
    return true;
}

bool env_node(Run *r, const Env *e, const PlanNode *n) { return r->survey ? survey_node(r, e, n) : env_node_run(r, e, n); }

/* ---- all of them -------------------------------------------------------------------------------------- */

Env env_of(Run *r, const Plan *p)
{
    Env e = {.plan = p, .value = ARENA_ARRAY(r->arena, Held, p->names + 1)};
    for (uint32_t i = 0; i < p->initializers; i++) {
        kiln_variable *v = r->m->variable ? r->m->variable[p->weight + i] : NULL;
        kiln_tensor *x = v ? kiln_value_at((kiln_site){0}, kiln_of_variable(v)) : r->m->weight[p->weight + i];
        if (v && p->use[p->initializer[i]] == USE_STATISTIC) x = kiln_stop_gradient_at((kiln_site){0}, of(x));
        e.value[p->initializer[i]] =
            (Held){.t = x, .constant = !v, .unseen = !v && !r->m->weight[p->weight + i], .narrow = narrow_bits(p->value[i]->type)};
    }
    return e;
}

/* False: recorded. */
static bool watch_node(Run *r, const Env *e, uint32_t at)
{
    const PlanNode *n = &e->plan->node[at];
    const OnnxNode *x = n->node;
    kiln_onnx_seen seen = {.node = at,
        .name = arena_printf(r->arena, "%.*s", (int)x->name.n, (const char *)x->name.at),
        .op = arena_printf(r->arena, "%.*s", (int)x->op.n, (const char *)x->op.at)};
    kiln_eagerly now = kiln_eagerly_open(r->t->k);
    for (uint32_t i = 0; i < x->output.n && !kiln_failed(r->t->k); i++) {
        Held h = n->out[i] == UINT32_MAX ? (Held){.nothing = true} : e->value[n->out[i]];
        if (h.many || h.nothing || (!h.t && !h.size)) continue;
        const PlanNode none = {.in = &n->out[i]};
        Call c = {.t = r->t, .m = r->m, .node = &none, .in = &h, .nin = 1, .arena = r->arena, .env = e};
        seen.output = arena_printf(r->arena, "%.*s", (int)x->output.at[i].n, (const char *)x->output.at[i].at);
        seen.x = tensor(&c, 0);
        if (tensor_ok(seen.x)) r->m->see(&seen, r->m->see_user);
    }
    kiln_eagerly_close(&now);
    return !kiln_failed(r->t->k);
}

bool env_run(Run *r, const Env *e)
{
    const bool watched = r->m->see && e->plan == r->m->plan && !r->t->trace;
    Lives *lives = lives_begin(r, e);
    bool ok = true;
    for (uint32_t i = 0; ok && i < e->plan->nodes; i++) {
        kiln_scope s = lives ? kiln_scope_open(r->t->k) : (kiln_scope){0};
        ok = env_node(r, e, &e->plan->node[i]) && (!watched || watch_node(r, e, i));
        if (lives && ok) lives_node(lives, i);
        kiln_scope_close(&s);
    }
    return ok && !kiln_failed(r->t->k);
}

void kiln_onnx_watch(kiln_onnx *m, kiln_onnx_see *see, void *user)
{
    if (m) m->see = see, m->see_user = user;
}

kiln_tensor *env_tensor(Run *r, const Env *e, uint32_t i, Held *h)
{
    const PlanNode none = {.in = &e->plan->output[i]};
    Call c = {.t = r->t, .m = r->m, .node = &none, .in = h, .nin = 1, .arena = r->arena, .written = r->written, .env = e};
    return tensor(&c, 0);
}
