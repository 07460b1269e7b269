/* vjp_region: gradients of nodes that run graphs or belong to the front end. Relies on emit; a
 * body is differentiated through Vjp.walk. Layout of scan: rules_region.c.
 *
 * The gradient of a scan or while is two loops: the forward one again, which also stacks the
 * carries that came into each step, and a scan in the opposite direction whose body is the body
 * followed by its own reverse. Cotangents of float carries are carried backwards, those of
 * invariants are summed in carries of their own, those of stacked inputs are stacked. The gradient
 * of a branch is a branch whose graphs are the old ones followed by their reverses. */
#include "effect.h"
#include "emit.h"

void vjp_scan(Vjp *v);
void vjp_while(Vjp *v);
void vjp_branch(Vjp *v);
void vjp_call(Vjp *v);
void vjp_custom(Vjp *v);

typedef struct Scan { /* or a while, seen as a scan without stacked inputs */
    const Graph *body, *condition; /* of a while, else NULL */
    uint32_t carries, xs, ys;
    bool reverse;
    Dim n;
} Scan;

typedef struct Picks { /* which of a group of operands or results take part */
    uint32_t *at, n;
} Picks;

typedef struct Back {
    Vjp *v;
    Module *m;
    Scan s;
    Graph *g; /* the body of the backward scan */
    Picks carry, x, y,
        fixed;  /* float carries; stacked inputs, outputs and invariants that a cotangent reaches */
    Value *map; /* value of the old body -> value of g */
    Value *dcarry, *dfixed, *dy; /* parameters of g */
    Value *in;                   /* operands of the backward scan */
    uint32_t nin;
} Back;

static bool is_float(const Graph *g, Value v) { return dtype_is_float(graph_type(g, v)->dtype); }

/* Appends the nodes of `from` to g; map has its parameters and gets the rest. */
static bool inline_nodes(Graph *g, const Graph *from, Value *map, Status *st)
{
    for (uint32_t i = 0; i < from->node.len; i++) {
        const Node *n = &from->node.at[i];
        if (n->op == OP_param) continue;
        Value *in = ARENA_ARRAY(g->module->arena, Value, n->nin + 1);
        for (uint32_t k = 0; k < n->nin; k++) in[k] = map[n->in[k]];
        Value out = effect_append_again(g, n, in, st); /* the forward pass had the effects */
        if (out == 0) return false;
        for (uint32_t k = 0; k < n->nout; k++) map[n->out + k] = out + k;
    }
    return true;
}

static Graph *new_body(Module *m, const Graph *of, const char *what)
{
    return graph_new(m, arena_printf(m->arena, "%s_%s%u", of->name, what, m->graph.len));
}

/* The forward loop again; returns the first of `carries` stacks of incoming carries, 0 after an
 * error. It gives all that the old one gives and then the stacks, so that the old one need not run
 * (passes/contain.c). A while also tells its trip count, which the backward scan asks for as
 * operand 0. */
static Value save_carries(Vjp *v, const Scan *s, Value *in)
{
    Module *m = v->e->module;
    const Graph *body = s->body;
    Graph *g = new_body(m, body, "saving");
    Value *map = ARENA_ARRAY(m->arena, Value, body->value.len);
    for (uint32_t i = 0; i < body->param.len; i++) {
        Value p = body->param.at[i];
        map[p] = graph_param(g, graph_type(body, p), graph_maker(body, p)->loc);
    }
    if (!inline_nodes(g, body, map, v->st)) return 0;
    for (uint32_t i = 0; i < s->carries + s->ys; i++) graph_result(g, map[body->result.at[i]]);
    for (uint32_t i = 0; i < s->carries; i++) graph_result(g, map[body->param.at[1 + i]]);
    const uint32_t ys = s->ys + s->carries;
    const Graph *condition = s->condition ? graph_without_effects(s->condition, v->st) : NULL;
    if (s->condition != NULL && condition == NULL) return 0;
    const int64_t scan[6] = {g->index, s->carries, s->xs, ys, s->reverse, s->n};
    const int64_t again[5] = {condition ? condition->index : 0, g->index, s->carries, ys, s->n};
    Value first = s->condition != NULL
        ? v->e->op(v->e, OP_while, in + 1, v->node->nin - 1u, again, 5)
        : v->e->op(v->e, OP_scan, in, v->node->nin, scan, 6);
    if (first == 0) return 0;
    if (s->condition != NULL) in[0] = first + s->carries + ys;
    return first + s->carries + s->ys;
}

static Picks new_picks(Module *m, uint32_t most)
{
    return (Picks){ARENA_ARRAY(m->arena, uint32_t, most + 1), 0};
}

static void pick(Back *b)
{
    const Scan *s = &b->s;
    const uint32_t first_fixed = 1 + s->carries + s->xs;
    b->carry = new_picks(b->m, s->carries);
    b->x = new_picks(b->m, s->xs);
    b->y = new_picks(b->m, s->ys);
    b->fixed = new_picks(b->m, b->v->node->nin);
    for (uint32_t i = 0; i < s->carries; i++)
        if (is_float(s->body, s->body->result.at[i])) b->carry.at[b->carry.n++] = i;
    for (uint32_t i = 0; i < s->xs; i++)
        if (b->v->wanted[1 + s->carries + i]) b->x.at[b->x.n++] = i;
    for (uint32_t i = 0; i < s->ys; i++)
        if (b->v->g[s->carries + i] != 0) b->y.at[b->y.n++] = i;
    for (uint32_t i = first_fixed; i < b->v->node->nin; i++)
        if (b->v->wanted[i]) b->fixed.at[b->fixed.n++] = i - first_fixed;
}

/* One more operand of the backward scan, and the parameter of g for it, of the type of the old
 * body's value like. */
static Value take(Back *b, Value operand, Value like)
{
    b->in[b->nin++] = operand;
    return graph_param(b->g, graph_type(b->s.body, like), b->v->e->loc);
}

static Value zeros(Back *b, Value like)
{
    return emit_constant(b->v->e, 0, graph_type(b->s.body, like));
}

/* Parameters: index; cotangents of carries and invariants; slices of saved carries, of stacked
 * inputs and of the cotangents of stacked outputs; the invariants. */
static void take_all(Back *b, Value saved)
{
    const Vjp *v = b->v;
    const Scan *s = &b->s;
    const Value *param = s->body->param.at, *result = s->body->result.at;
    const uint32_t first_fixed = 1 + s->carries + s->xs;
    b->map[param[0]] = take(b, v->in[0], param[0]);
    for (uint32_t i = 0; i < b->carry.n; i++) {
        uint32_t c = b->carry.at[i];
        b->dcarry[i] = take(b, v->g[c] != 0 ? v->g[c] : zeros(b, result[c]), result[c]);
    }
    for (uint32_t i = 0; i < b->fixed.n; i++) {
        Value like = param[first_fixed + b->fixed.at[i]], sum = v->sum[first_fixed + b->fixed.at[i]];
        b->dfixed[i] = take(b, sum != 0 ? sum : zeros(b, like), like);
    }
    for (uint32_t i = 0; i < s->carries; i++)
        b->map[param[1 + i]] = take(b, saved + i, param[1 + i]);
    for (uint32_t i = 1 + s->carries; i < first_fixed; i++)
        b->map[param[i]] = take(b, v->in[i], param[i]);
    for (uint32_t i = 0; i < b->y.n; i++) {
        uint32_t y = s->carries + b->y.at[i];
        b->dy[i] = take(b, v->g[y], result[y]);
    }
    for (uint32_t i = first_fixed; i < v->node->nin; i++)
        b->map[param[i]] = take(b, v->in[i], param[i]);
}

/* The old body and its reverse, in g; sets g's results. */
static bool fill_body(Back *b)
{
    const Scan *s = &b->s;
    const Graph *body = s->body;
    const uint32_t ny = b->carry.n + b->y.n + b->fixed.n, nx = b->carry.n + b->fixed.n + b->x.n;
    Arena *a = b->m->arena;
    Value *y = ARENA_ARRAY(a, Value, ny + 1), *seed = ARENA_ARRAY(a, Value, ny + 1);
    Value *x = ARENA_ARRAY(a, Value, nx + 1), *dx = ARENA_ARRAY(a, Value, nx + 1);
    uint32_t n = 0, k = 0;
    if (!inline_nodes(b->g, body, b->map, b->v->st)) return false;
    for (uint32_t i = 0; i < b->carry.n; i++, n++) {
        y[n] = b->map[body->result.at[b->carry.at[i]]];
        seed[n] = b->dcarry[i];
    }
    for (uint32_t i = 0; i < b->y.n; i++, n++) {
        y[n] = b->map[body->result.at[s->carries + b->y.at[i]]];
        seed[n] = b->dy[i];
    }
    for (uint32_t i = 0; i < b->fixed.n; i++, n++) { /* the step adds to what the steps after it gave */
        y[n] = b->map[body->param.at[1 + s->carries + s->xs + b->fixed.at[i]]];
        seed[n] = b->dfixed[i];
    }
    for (uint32_t i = 0; i < b->carry.n; i++) x[k++] = b->map[body->param.at[1 + b->carry.at[i]]];
    for (uint32_t i = 0; i < b->fixed.n; i++)
        x[k++] = b->map[body->param.at[1 + s->carries + s->xs + b->fixed.at[i]]];
    for (uint32_t i = 0; i < b->x.n; i++)
        x[k++] = b->map[body->param.at[1 + s->carries + b->x.at[i]]];

    GraphEmit ge;
    graph_emit_init(&ge, b->g, b->v->st);
    ge.e.loc = b->v->e->loc;
    if (!b->v->walk(b->v, &ge.e, b->g, y, seed, ny, x, nx, dx)) return false;
    for (uint32_t i = 0; i < nx; i++) {
        Value d = dx[i] != 0 ? dx[i] : emit_constant(&ge.e, 0, graph_type(b->g, x[i]));
        if (d == 0) return false;
        graph_result(b->g, d);
    }
    return true;
}

static void give(Back *b, Value first)
{
    const Scan *s = &b->s;
    for (uint32_t i = 0; i < b->carry.n; i++, first++)
        if (b->v->wanted[1 + b->carry.at[i]]) b->v->dx[1 + b->carry.at[i]] = first;
    for (uint32_t i = 0; i < b->fixed.n; i++, first++) {
        uint32_t operand = 1 + s->carries + s->xs + b->fixed.at[i];
        b->v->dx[operand] = first;
        b->v->total[operand] = b->v->sum[operand] != 0;
    }
    for (uint32_t i = 0; i < b->x.n; i++, first++) b->v->dx[1 + s->carries + b->x.at[i]] = first;
}

/* v->in is `in`. */
static void loop_gradient(Vjp *v, const Scan *s, Value *in)
{
    Module *m = v->e->module;
    Back b = {.v = v, .m = m, .s = *s};
    const bool saves = s->carries != 0 || s->condition != NULL;
    Value saved = saves ? save_carries(v, s, in) : 0;
    if (saves && saved == 0) return;
    pick(&b);
    b.g = new_body(m, b.s.body, "reverse");
    b.map = ARENA_ARRAY(m->arena, Value, b.s.body->value.len);
    b.dcarry = ARENA_ARRAY(m->arena, Value, b.carry.n + 1);
    b.dfixed = ARENA_ARRAY(m->arena, Value, b.fixed.n + 1);
    b.dy = ARENA_ARRAY(m->arena, Value, b.y.n + 1);
    b.in = ARENA_ARRAY(m->arena, Value, v->node->nin + b.carry.n + b.fixed.n + b.y.n + 1);
    take_all(&b, saved);
    if (!fill_body(&b)) return;
    const int64_t back[6] = {b.g->index, b.carry.n + b.fixed.n, b.s.carries + b.s.xs + b.y.n,
        b.x.n, !b.s.reverse, s->n};
    Value first = v->e->op(v->e, OP_scan, b.in, b.nin, back, 6);
    if (first != 0) give(&b, first);
}

void vjp_scan(Vjp *v)
{
    const int64_t *at = v->node->attr->at;
    const Scan s = {v->e->module->graph.at[at[0]], NULL, (uint32_t)at[1], (uint32_t)at[2], (uint32_t)at[3],
        at[4] != 0, at[5]};
    Value *in = arena_copy(v->e->module->arena, v->in, v->node->nin * sizeof *in);
    Vjp own = *v;
    own.in = in;
    loop_gradient(&own, &s, in);
}

/* Seen with a trip count for operand 0, as a scan is. */
void vjp_while(Vjp *v)
{
    Module *m = v->e->module;
    const int64_t *at = v->node->attr->at;
    const Scan s = {m->graph.at[at[1]], m->graph.at[at[0]], (uint32_t)at[2], 0, (uint32_t)at[3], false, at[4]};
    const uint32_t nin = v->node->nin;
    Value *in = ARENA_ARRAY(m->arena, Value, nin + 1), *dx = ARENA_ARRAY(m->arena, Value, nin + 1);
    Value *sum = ARENA_ARRAY(m->arena, Value, nin + 1);
    bool *wanted = ARENA_ARRAY(m->arena, bool, nin + 1), *total = ARENA_ARRAY(m->arena, bool, nin + 1);
    for (uint32_t i = 0; i < nin; i++) {
        in[1 + i] = v->in[i];
        sum[1 + i] = v->sum[i];
        wanted[1 + i] = v->wanted[i];
    }
    Node shifted = *v->node;
    shifted.nin = (uint16_t)(nin + 1);
    Vjp own = *v;
    own.node = &shifted;
    own.in = in;
    own.wanted = wanted;
    own.dx = dx;
    own.sum = sum;
    own.total = total;
    loop_gradient(&own, &s, in);
    for (uint32_t i = 0; i < nin; i++) {
        v->dx[i] = dx[1 + i];
        v->total[i] = total[1 + i];
    }
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
    Graph *g = new_body(m, old, "reverse");
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
    if (!inline_nodes(g, old, map, v->st)) return NULL;
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
    Fork f = {v, new_picks(m, n->nout), new_picks(m, n->nin), new_picks(m, n->nin)};
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
