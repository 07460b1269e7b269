/* known: of which names the numbers must be known while a function is traced, since sizes, or how graphs within nodes run, follow
 * from them. Found backwards, from what is asked to the inputs. Relies on import.h. */
#include "import.h"

typedef struct Walk {
    bool more;
} Walk;

static void know(Walk *w, const Plan *p, uint32_t name)
{
    if (name == UINT32_MAX || p->known[name]) return;
    p->known[name] = w->more = true;
}

static bool asked(const Plan *p, uint32_t name) { return name != UINT32_MAX && p->known[name]; }

static bool is(const PlanNode *n, const char *op) { return n->op && strcmp(n->op->name, op) == 0; }

static bool is_list(const OnnxValue *v) { return v->type && (v->type->sequence || v->type->optional); }

static const OnnxArray *array_of(const OnnxValue *v) { return v->type ? v->type->tensor : NULL; }

/* Both are declared, and differently. */
static bool differ(const OnnxValue *a, const OnnxValue *b)
{
    const OnnxArray *x = array_of(a), *y = array_of(b);
    if (!x || !y || !x->shape || !y->shape) return false;
    if (x->shape->dim.n != y->shape->dim.n) return true;
    for (uint32_t i = 0; i < x->shape->dim.n; i++) {
        const OnnxDim *u = &x->shape->dim.at[i], *v = &y->shape->dim.at[i];
        if (u->name.n == 0 && v->name.n == 0 && u->value > 0 && v->value > 0 && u->value != v->value) return true;
    }
    return false;
}

/* ---- graphs within nodes ------------------------------------------------------------------------------ */

static void know_nodes(Walk *w, Plan *p);

static void know_taken(Walk *w, const Plan *p, Plan *q)
{
    know_nodes(w, q);
    for (uint32_t i = 0; i < q->takes; i++)
        if (q->known[q->taken[i]]) know(w, p, q->from[i]);
}

/* Branches whose results are not alike cannot be one operation. */
static void know_if(Walk *w, const Plan *p, const PlanNode *n)
{
    const Plan *first = NULL;
    bool choose = false;
    for (uint32_t j = 0; j < n->node->attribute.n; j++) {
        Plan *q = n->inner[j];
        if (!q) continue;
        for (uint32_t i = 0; i < q->outputs && i < n->node->output.n; i++) {
            const OnnxValue *v = &q->graph->output.at[i];
            choose |= is_list(v) || asked(p, n->out[i]);
            if (first && i < first->outputs) choose |= differ(v, &first->graph->output.at[i]);
            if (asked(p, n->out[i])) know(w, q, q->output[i]);
        }
        first = q;
        know_taken(w, p, q);
    }
    if (choose && n->node->input.n != 0) know(w, p, n->in[0]);
}

/* A loop of whose turns' number, or of what is carried, sizes follow, or that carries a sequence, is written out. */
static void know_loop(Walk *w, const Plan *p, const PlanNode *n, Plan *q)
{
    const uint32_t nin = n->node->input.n, nout = n->node->output.n, carries = nin > 2 ? nin - 2 : 0;
    if (q->outputs != nout + 1 || q->inputs != carries + 2 || nout < carries) return; /* told when it runs */
    bool out = asked(q, q->input[0]) || asked(q, q->input[1]);
    for (uint32_t i = 0; i < nout; i++) {
        out |= is_list(&q->graph->output.at[1 + i]) || asked(p, n->out[i]);
        if (asked(p, n->out[i])) know(w, q, q->output[1 + i]);
    }
    for (uint32_t i = 0; i < carries; i++) {
        if (asked(q, q->output[1 + i])) know(w, q, q->input[2 + i]);
        if (!asked(q, q->input[2 + i])) continue;
        out = true;
        know(w, q, q->output[1 + i]);
        know(w, p, n->in[2 + i]);
    }
    if (out) know(w, q, q->output[0]);
    if (out && nin > 1) know(w, p, n->in[1]);
    if (out || nout > carries) know(w, p, n->in[0]);
    know_taken(w, p, q);
}

static void know_inner(Walk *w, const Plan *p, const PlanNode *n, bool all)
{
    if (is(n, "If")) {
        know_if(w, p, n);
        return;
    }
    for (uint32_t j = 0; j < n->node->attribute.n; j++) {
        Plan *q = n->inner[j];
        if (q && is(n, "Loop")) know_loop(w, p, n, q);
        if (!q || is(n, "Loop")) continue;
        know_taken(w, p, q);
        for (uint32_t i = 0; all && i < q->takes; i++) know(w, p, q->from[i]);
    }
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

/* What these give follows from sizes and counts alone. */
static bool is_known(const PlanNode *n)
{
    return is(n, "Shape") || is(n, "Size") || is(n, "SequenceLength") || is(n, "OptionalHasElement");
}

static void know_node(Walk *w, const Plan *p, const PlanNode *n)
{
    const bool inner = is(n, "If") || is(n, "Loop");
    bool all = false;
    for (uint32_t j = 0; j < n->node->output.n; j++) all |= !inner && asked(p, n->out[j]);
    for (uint32_t j = 0; j < n->node->input.n; j++) {
        const Plan *f = n->function;
        const bool own = n->op ? j < 8 && n->op->known >> j & 1 : f && j < f->inputs && asked(f, f->input[j]);
        if (all || own) know(w, p, n->in[j]);
    }
    if (n->inner) know_inner(w, p, n, all);
}

static void know_nodes(Walk *w, Plan *p)
{
    for (uint32_t i = p->nodes; i-- > 0;)
        if (!is_known(&p->node[i])) know_node(w, p, &p->node[i]);
}

/* Until nothing changes: functions are called by others, and loops go round. */
void know_numbers(kiln_onnx *m, Plan *graph)
{
    enum { MOST = 200 };
    Walk w = {.more = true};
    for (Plan *p = m->plans; p; p = p->next) p->known = arena_zeros(&m->arena, p->names + 1, sizeof *p->known);
    for (int round = 0; w.more && round < MOST; round++) {
        w.more = false;
        for (Plan *p = m->plans; p; p = p->next)
            if (p == graph || p->function) know_nodes(&w, p);
    }
}
