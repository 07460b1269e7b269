/* interpret_call: a call of an instance that has no code (yet): its inputs are gathered as call.c does for compiled code, its graph
 * is interpreted, and what comes out is row-major memory of the call's own, as compiled code's results are. */
#include "background.h"
#include "interpret.h"

/* ---- what an instance needs to be run, by whichever way ------------------------------------------------------------- */
Lives graph_lives(Arena *a, const Graph *g)
{
    uint32_t *last = ARENA_ARRAY(a, uint32_t, g->value.len);
    bool *own = ARENA_ARRAY(a, bool, g->result.len + 1);
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        for (uint32_t k = 0; k < n->nin; k++) last[n->in[k]] = i;
        for (uint32_t k = 0; k < n->nout; k++) last[n->out + k] = i;
    }
    for (uint32_t i = 0; i < g->param.len; i++) last[g->param.at[i]] = LIVES_ON;
    for (uint32_t i = 0; i < g->result.len; i++) {
        own[i] = last[g->result.at[i]] != LIVES_ON;
        last[g->result.at[i]] = LIVES_ON;
    }
    return (Lives){last, own};
}

static void ready_body(void *arg)
{
    Instance *inst = arg;
    Arena *a = &inst->traced.arena;
    const Module *m = inst->traced.module;
    const Graph *g = m->graph.at[0];
    Lives *lives = ARENA_ARRAY(a, Lives, m->graph.len);
    for (uint32_t i = 0; i < m->graph.len; i++) {
        const Graph *of = m->graph.at[i];
        lives[i] = graph_lives(a, of);
        for (uint32_t n = 0; n < of->node.len; n++) inst->loops = inst->loops || of->node.at[n].op == OP_loop;
    }
    inst->lives = lives;
    inst->result = ARENA_ARRAY(a, Type, g->result.len + 1);
    for (uint32_t i = 0; i < g->result.len; i++) inst->result[i] = *graph_type(g, g->result.at[i]);
}

bool instance_ready(Thread *t, kiln_site at, Instance *inst) { return bordered(t, at, &inst->traced.arena, ready_body, inst); }

/* ---- one call --------------------------------------------------------------------------------------------------------- */
/* The values of the symbols that arguments' sizes are. False, and recorded: two sizes disagree about one. */
static bool bind(const Interpreter *r, const kiln_function *f, const Instance *inst, kiln_tensor *const *in)
{
    const DimTable *dims = &inst->traced.module->dims;
    for (uint32_t i = 0; i < dims->expr.len; i++) {
        const DimExpr *e = &dims->expr.at[i];
        r->symbol[i] = e->lo == e->hi ? e->lo : -1;
    }
    for (uint32_t i = 0; i < inst->traced.narg; i++)
        for (uint32_t d = 0; d < inst->traced.arg[i].rank; d++) {
            const Dim symbol = inst->traced.arg[i].dim[d];
            if (symbol >= 0 || dims->expr.at[-1 - symbol].kind != DIM_SYMBOL) continue;
            int64_t *slot = &r->symbol[-1 - symbol], have = in[i]->type.dim[d];
            if (*slot >= 0 && *slot != have) return sizes_disagree(r->t, r->at, f, dims, symbol, *slot, have, i, d);
            *slot = have;
        }
    return true;
}

/* Row-major memory of the result's own on the call's device, in the innermost scope. NULL: recorded. */
static kiln_tensor *settled(Interpreter *r, kiln_tensor *x)
{
    if (x->device == r->device && x->contiguous && x->buffer->pool && buffer_unshared(x->buffer)) return x;
    if (x->device != r->device) {
        x = tensor_contiguous(r->t, r->at, x);
        x = tensor_ok(x) ? tensor_to(r->t, r->at, x, r->device) : x;
        return tensor_ok(x) ? x : NULL;
    }
    kiln_tensor *own = tensor_result(r->t, r->at, &x->type, r->name, r->device);
    Status st = {0};
    if (own) tensor_pack(r->t, x, own, &st);
    if (st.code) fail_status(r->t, r->at, &st);
    return st.code ? NULL : own;
}

/* The values of g's parameters, which are the instance's sources. */
static bool take_sources(
    Interpreter *r, const kiln_function *f, const Instance *inst, const Graph *g, kiln_tensor *const *in, kiln_tensor **value)
{
    for (uint32_t i = 0; i < inst->traced.nsource; i++) {
        const Source *s = &inst->traced.source[i];
        if (!in && s->kind != FROM_CAPTURE && s->kind != FROM_LITERAL) continue;
        kiln_tensor *x = source_tensor(r->t, r->at, f, s, in);
        if (x && x->device != r->device) x = input_there(r->t, r->at, f, inst, s, x);
        /* a handle of our own, since a callback may assign or release what it is called with */
        if (!x || !(value[g->param.at[i]] = interpret_alias(r, x))) return false;
    }
    return true;
}

/* With scratch that the caller gives back, in a scope of its own. in: NULL, of a graph that reads no argument and has no symbol. */
static bool run(
    Interpreter *r, const kiln_function *f, const Instance *inst, const Graph *g, kiln_tensor *const *in, kiln_tensor **result)
{
    kiln_tensor **value = SCRATCH(r->t, r->at, kiln_tensor *, g->value.len);
    r->symbol = SCRATCH(r->t, r->at, int64_t, g->module->dims.expr.len);
    if (!value || !r->symbol || (in && !bind(r, f, inst, in)) || !take_sources(r, f, inst, g, in, value)) return false;
    if (!interpret_results(r, g, value, result)) return false;
    for (uint32_t i = 0; i < g->result.len; i++) {
        kiln_tensor *own = settled(r, result[i]);
        if (!own) return false;
        if (own != result[i]) interpret_drop(result[i]); /* and with it, perhaps, the memory of which it was a view */
        result[i] = own;
    }
    return true;
}

/* As the function's calls compute, on the device of the instance. */
static bool run_alone(
    Interpreter *r, const kiln_function *f, const Instance *inst, const Graph *g, kiln_tensor *const *in, kiln_tensor **result)
{
    Thread *t = r->t;
    const uint8_t device = t->device, sums = t->sums;
    const bool own_products = t->own_products;
    ScratchMark mark = scratch_mark(&t->scratch);
    t->recording = 0;
    t->device = (uint8_t)r->device;
    t->own_products = f->options.no_blas;
    t->sums = function_sums(f);
    const bool ok = run(r, f, inst, g, in, result);
    t->device = device;
    t->own_products = own_products;
    t->sums = sums;
    t->recording = r->recording;
    scratch_reset(&t->scratch, mark);
    return ok;
}

bool graph_interpreted(
    Thread *t, kiln_site at, kiln_function *f, const Instance *inst, const Graph *g, const Lives *lives, kiln_tensor **result)
{
    Interpreter r = {.t = t, .at = at, .name = f->name, .device = inst->traced.device, .lives = lives, .recording = t->recording};
    return run_alone(&r, f, inst, g, NULL, result);
}

bool instance_interpreted(Thread *t, kiln_site at, kiln_function *f, Instance *inst, kiln_tensor *const *in, kiln_tensor **result)
{
    Interpreter r = {.t = t,
        .at = at,
        .name = f->name,
        .f = f,
        .inst = inst,
        .device = inst->traced.device,
        .lives = inst->lives,
        .recording = t->recording};
    if (!scope_push(t)) return fail(t, at, KILN_EMEMORY, "%s: no memory for a scope", f->name), false;
    /* A loop that takes long asks for code of its own first, so the whole waits for the end of the call. */
    if (f->compile == KILN_BACKGROUND && !inst->loops) background_ask(t->k, &inst->job);
    const bool ok = run_alone(&r, f, inst, inst->traced.module->graph.at[0], in, result);
    for (uint32_t i = 0; ok && i < inst->traced.nresult; i++) scope_move_out(t, result[i]);
    scope_pop(t);
    if (f->compile == KILN_BACKGROUND && inst->loops) background_ask(t->k, &inst->job);
    atomic_fetch_add_explicit(&f->interpreted, 1, memory_order_relaxed);
    return ok;
}
