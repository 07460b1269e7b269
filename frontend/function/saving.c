/* saving: the form in which an instance runs while a tape records. Beside its results it gives what its gradient would otherwise
 * have to compute again: the results of contractions, which cost more than all that is elementwise around them and lie in memory
 * anyhow. The tape keeps them with the call (call.c), and the gradient's graph reads them in their places (call_gradient.c). Never
 * differentiates. */
#include "function.h"

/* Only products of the body itself are saved, not those inside its loops and branches. Sizes that are expressions would keep the
 * gradient from being bounded by the same symbols, and a value that is a result already is not given twice. */
static bool worth_saving(const Graph *g, const Node *n)
{
    const Type *type = graph_type(g, n->out);
    if (!(op_def[n->op].flags & OPF_CONTRACTS) || !dtype_is_float(type->dtype)) return false;
    for (uint32_t i = 0; i < type->rank; i++)
        if (type->dim[i] < 0 && dim_is_counted(&g->module->dims, type->dim[i])) return false;
    for (uint32_t i = 0; i < type->rank; i++)
        if (type->dim[i] < 0 && g->module->dims.expr.at[-1 - type->dim[i]].kind != DIM_SYMBOL) return false;
    for (uint32_t i = 0; i < g->result.len; i++)
        if (g->result.at[i] == n->out) return false;
    return true;
}

typedef struct Copy {
    const Instance *inst;
    Traced *traced;
} Copy;

/* Per node: whether a result depends on it. The passes drop the others, which a gradient has no use for either. */
static const bool *needed_nodes(Arena *a, const Graph *g)
{
    bool *needed = ARENA_ARRAY(a, bool, g->node.len + 1);
    for (uint32_t i = 0; i < g->result.len; i++) needed[g->value.at[g->result.at[i]].node] = true;
    for (uint32_t i = g->node.len; i-- > 0;)
        for (uint32_t k = 0; k < g->node.at[i].nin && needed[i]; k++) needed[g->value.at[g->node.at[i].in[k]].node] = true;
    return needed;
}

static void copy_body(void *arg)
{
    const Copy *c = arg;
    Traced *to = c->traced;
    const Traced *from = &c->inst->traced;
    const Graph *g = from->graph[0];
    to->module = module_copy(&to->arena, from->graph, from->ngraph, &g->module->dims);
    const bool *needed = needed_nodes(&to->arena, g);
    to->saved = ARENA_ARRAY(&to->arena, Value, g->node.len + 1);
    for (uint32_t i = 0; i < g->node.len; i++)
        if (needed[i] && worth_saving(g, &g->node.at[i])) to->saved[to->nsaved++] = g->node.at[i].out;
    for (uint32_t i = 0; i < to->nsaved; i++) graph_result(to->module->graph.at[0], to->saved[i]);
    to->nresult += to->nsaved;
}

/* Under `compiling`. Returns the instance itself if nothing is worth saving. NULL: recorded. */
static Instance *make_saving(Thread *t, kiln_site at, kiln_function *f, Instance *inst)
{
    Instance *form = instance_zeros(t, at, f->name, inst->key);
    if (!form) return NULL;
    Arena own = form->traced.arena;
    form->traced = inst->traced;
    form->traced.arena = own;
    form->traced.text = NULL;
    form->of = inst;
    Copy c = {inst, &form->traced};
    bool ok = bordered(t, at, &form->traced.arena, copy_body, &c);
    const bool none = ok && form->traced.nsaved == 0;
    if (ok && !none && instance_begin(t, at, f, form)) {
        form->bytes = instance_bytes(form);
        cache_grow(f, inst, form->bytes);
        return form;
    }
    instance_free(form);
    return none ? inst : NULL;
}

Instance *instance_saving(Thread *t, kiln_site at, kiln_function *f, Instance *inst)
{
    Instance *form = atomic_load_explicit(&inst->saving, memory_order_acquire);
    if (LIKELY(form)) return form;
    pthread_mutex_lock(&f->compiling);
    form = atomic_load(&inst->saving);
    if (!form && (form = make_saving(t, at, f, inst))) atomic_store_explicit(&inst->saving, form, memory_order_release);
    pthread_mutex_unlock(&f->compiling);
    return form;
}
