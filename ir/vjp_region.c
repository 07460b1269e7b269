/* vjp_region: gradients of branches and of nodes that belong to the front end; what they share with loops (vjp_loop.c). Relies on emit; a
 * body is differentiated through Vjp.walk. Layout of branch: rules_region.c.
 *
 * The gradient of a branch is a branch whose graphs are the old ones followed by their reverses. */
#include "vjp_region.h"

#include "effect.h"

void vjp_branch(Vjp *v);
void vjp_call(Vjp *v);
void vjp_custom(Vjp *v);

Picks picks_new(Module *m, uint32_t most)
{
    return (Picks){ARENA_ARRAY(m->arena, uint32_t, most + 1), 0};
}

bool region_inline(Graph *g, const Graph *from, Value *map, const Value *saved, Status *st)
{
    for (uint32_t i = 0; i < from->node.len; i++) {
        const Node *n = &from->node.at[i];
        if (n->op == OP_param) continue;
        Value *in = ARENA_ARRAY(g->module->arena, Value, n->nin + 1);
        for (uint32_t k = 0; k < n->nin; k++) in[k] = map[n->in[k]];
        Value out = effect_append_again(g, n, in, st); /* the forward pass had the effects */
        if (out == 0) return false;
        for (uint32_t k = 0; k < n->nout; k++) {
            map[n->out + k] = out + k;
            if (saved == NULL || saved[n->out + k] == 0) continue;
            const Value both[2] = {out + k, saved[n->out + k]};
            map[n->out + k] = graph_append(g, OP_saved, both, 2, NULL, 0, n->loc, st);
            if (map[n->out + k] == 0) return false;
        }
    }
    return true;
}

Graph *region_body(Module *m, const Graph *of, const char *what)
{
    return graph_new(m, arena_printf(m->arena, "%s_%s%u", of->name, what, m->graph.len));
}

/* ---- branch ---------------------------------------------------------------------------------- */

typedef struct Fork {
    Vjp *v;
    Picks y, x; /* results whose cotangent is known, inputs whose cotangent is asked for */
    Picks sum;  /* of x, by place in it: those that have got something already */
} Fork;

/* Graph number k followed by its reverse: parameters are the old ones, the cotangents of y, and what is to be added to those of x that
 * have got something; results are the cotangents of x. */
static Graph *reverse_case(Fork *f, uint32_t k)
{
    Vjp *v = f->v;
    Module *m = v->e->module;
    Arena *a = m->arena;
    const Graph *old = m->graph.at[v->node->attr->at[k]];
    Graph *g = region_body(m, old, "reverse");
    Value *map = ARENA_ARRAY(a, Value, old->value.len), *dx = ARENA_ARRAY(a, Value, f->x.n + 1);
    const uint32_t ny = f->y.n + f->sum.n;
    Value *x = ARENA_ARRAY(a, Value, f->x.n + 1), *y = ARENA_ARRAY(a, Value, ny + 1),
          *seed = ARENA_ARRAY(a, Value, ny + 1);
    for (uint32_t i = 0; i < old->param.len; i++)
        map[old->param.at[i]] = graph_param(g, graph_type(old, old->param.at[i]), v->e->loc);
    for (uint32_t i = 0; i < f->y.n; i++)
        seed[i] = graph_param(g, graph_type(old, old->result.at[f->y.at[i]]), v->e->loc);
    for (uint32_t i = 0; i < f->sum.n; i++)
        seed[f->y.n + i] = graph_param(g, graph_type(old, old->param.at[f->x.at[f->sum.at[i]]]), v->e->loc);
    if (!region_inline(g, old, map, NULL, v->st)) return NULL;
    for (uint32_t i = 0; i < f->y.n; i++) y[i] = map[old->result.at[f->y.at[i]]];
    for (uint32_t i = 0; i < f->x.n; i++) x[i] = map[old->param.at[f->x.at[i]]];
    for (uint32_t i = 0; i < f->sum.n; i++) y[f->y.n + i] = x[f->sum.at[i]];
    GraphEmit ge;
    graph_emit_init(&ge, g, v->st);
    ge.e.loc = v->e->loc;
    if (!v->walk(v, &ge.e, g, y, seed, ny, x, f->x.n, dx)) return NULL;
    for (uint32_t i = 0; i < f->x.n; i++) {
        Value d = dx[i] != 0 ? dx[i] : emit_constant(&ge.e, 0, graph_type(g, x[i]));
        if (d == 0) return NULL;
        graph_result(g, d);
    }
    return g;
}

void vjp_branch(Vjp *v)
{
    Module *m = v->e->module;
    const Node *n = v->node;
    Fork f = {v, picks_new(m, n->nout), picks_new(m, n->nin), picks_new(m, n->nin)};
    for (uint32_t i = 0; i < n->nout; i++)
        if (v->g[i] != 0) f.y.at[f.y.n++] = i;
    for (uint32_t i = 1; i < n->nin; i++) {
        if (!v->wanted[i]) continue;
        if (v->sum[i] != 0) f.sum.at[f.sum.n++] = f.x.n;
        f.x.at[f.x.n++] = i - 1;
    }
    Value *in = ARENA_ARRAY(m->arena, Value, n->nin + f.y.n + f.sum.n);
    int64_t *cases = ARENA_ARRAY(m->arena, int64_t, n->attr->len);
    uint32_t nin = n->nin;
    memcpy(in, v->in, nin * sizeof *in);
    for (uint32_t i = 0; i < f.y.n; i++) in[nin++] = v->g[f.y.at[i]];
    for (uint32_t i = 0; i < f.sum.n; i++) in[nin++] = v->sum[1 + f.x.at[f.sum.at[i]]];
    for (uint32_t k = 0; k < n->attr->len; k++) {
        const Graph *g = reverse_case(&f, k);
        if (g == NULL) return;
        cases[k] = g->index;
    }
    Value first = v->e->op(v->e, OP_branch, in, nin, cases, n->attr->len);
    for (uint32_t i = 0; i < f.x.n && first != 0; i++) v->dx[1 + f.x.at[i]] = first + i;
    for (uint32_t i = 0; i < f.sum.n && first != 0; i++) v->total[1 + f.x.at[f.sum.at[i]]] = true;
}

/* ---- the front end's -------------------------------------------------------------------------- */

static void ask_front_end(Vjp *v)
{
    if (v->foreign != NULL)
        v->foreign(v);
    else
        status_fail(v->st, ST_UNSUPPORTED, "%s: no gradient outside the front end",
            op_def[v->node->op].name);
}

void vjp_call(Vjp *v) { ask_front_end(v); }

void vjp_custom(Vjp *v) { ask_front_end(v); }
