/* lives: how long the values of an eager run are held: from the node that makes them to the last that reads them, so that a model
 * takes the memory of its widest place and not of all its nodes. In a trace, and while a tape records, all of them stay. Relies on
 * import.h. */
#include "import.h"

OperatorFn op_gradient;

#define ALWAYS UINT32_MAX

struct Lives {
    Call c; /* what values are copied with */
    const Env *e;
    uint32_t *last; /* per name: the last node that reads it, or else that makes it; ALWAYS: an output, or made by no node */
    bool *held;     /* per name: with handles of its own, in the scope around the node's */
};

static void reads(Lives *l, uint32_t name, uint32_t node)
{
    if (name != UINT32_MAX && l->last[name] != ALWAYS) l->last[name] = node;
}

/* A gradient may ask for any value of the graph once more. */
static bool asks_for_all(const Plan *p)
{
    for (uint32_t i = 0; i < p->nodes; i++)
        if (p->node[i].op && p->node[i].op->fn == op_gradient) return true;
    return false;
}

Lives *lives_begin(Run *r, const Env *e)
{
    const Plan *p = e->plan;
    if (r->t->trace || r->t->recording || r->survey || asks_for_all(p)) return NULL;
    Lives *l = ARENA_NEW(r->arena, Lives);
    *l = (Lives){{.t = r->t, .m = r->m, .arena = r->arena, .env = e}, e, ARENA_ARRAY(r->arena, uint32_t, p->names + 1),
        arena_zeros(r->arena, p->names + 1, sizeof *l->held)};
    for (uint32_t i = 0; i < p->names; i++) l->last[i] = ALWAYS;
    for (uint32_t i = 0; i < p->nodes; i++) {
        const PlanNode *n = &p->node[i];
        for (uint32_t k = 0; k < n->node->input.n; k++) reads(l, n->in[k], i);
        for (uint32_t k = 0; n->inner && k < n->node->attribute.n; k++)
            for (uint32_t j = 0; n->inner[k] && j < n->inner[k]->takes; j++) reads(l, n->inner[k]->from[j], i);
        for (uint32_t k = 0; k < n->node->output.n; k++)
            if (n->out[k] != UINT32_MAX) l->last[n->out[k]] = i;
    }
    for (uint32_t i = 0; i < p->outputs; i++)
        if (p->output[i] != UINT32_MAX) l->last[p->output[i]] = ALWAYS;
    return l;
}

static void keep(const Call *c, const Held *h)
{
    if (tensor_ok(h->t)) scope_move_out(c->t, h->t);
    for (uint32_t i = 0; h->many && i < h->many->n; i++) keep(c, &h->many->at[i]);
}

static void drop(const Call *c, const Held *h)
{
    if (tensor_ok(h->t)) scope_drop(h->t);
    for (uint32_t i = 0; h->many && i < h->many->n; i++) drop(c, &h->many->at[i]);
}

static void let_go_after(Lives *l, uint32_t name, uint32_t node)
{
    if (name == UINT32_MAX || l->last[name] != node || !l->held[name]) return;
    l->held[name] = false;
    drop(&l->c, &l->e->value[name]);
    l->e->value[name] = (Held){.nothing = true};
}

void lives_node(Lives *l, uint32_t i)
{
    const PlanNode *n = &l->e->plan->node[i];
    for (uint32_t k = 0; k < n->node->output.n; k++) {
        const uint32_t name = n->out[k];
        if (name == UINT32_MAX || l->held[name]) continue;
        l->e->value[name] = held_copy(&l->c, &l->e->value[name], false);
        keep(&l->c, &l->e->value[name]);
        l->held[name] = true;
    }
    for (uint32_t k = 0; k < n->node->input.n; k++) let_go_after(l, n->in[k], i);
    for (uint32_t k = 0; n->inner && k < n->node->attribute.n; k++)
        for (uint32_t j = 0; n->inner[k] && j < n->inner[k]->takes; j++) let_go_after(l, n->inner[k]->from[j], i);
    for (uint32_t k = 0; k < n->node->output.n; k++) let_go_after(l, n->out[k], i);
}
