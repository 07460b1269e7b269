/* vjp_region: gradients of nodes that run graphs or belong to the front end. Relies on emit; a
 * body is differentiated through Vjp.walk. Layout of scan: rules_region.c.
 *
 * The gradient of a scan is two scans: the forward one again, which also stacks the carries that
 * came into each step, and one in the opposite direction whose body is the body followed by its
 * own reverse. Cotangents of float carries are carried backwards, those of invariants are summed
 * in carries of their own, those of stacked inputs are stacked. */
#include "emit.h"

void vjp_scan(Vjp *v);
void vjp_call(Vjp *v);
void vjp_custom(Vjp *v);

typedef struct Scan {
    const Graph *body;
    uint32_t carries, xs, ys;
    bool reverse;
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
        Value out = graph_append(g, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, n->loc, st);
        if (out == 0) return false;
        for (uint32_t k = 0; k < n->nout; k++) map[n->out + k] = out + k;
    }
    return true;
}

static Graph *new_body(Module *m, const Graph *of, const char *what)
{
    return graph_new(m, arena_printf(m->arena, "%s_%s%u", of->name, what, m->graph.len));
}

/* The forward scan again; returns the first of `carries` stacks of incoming carries, 0 after an
 * error. */
static Value save_carries(Vjp *v, const Scan *s)
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
    for (uint32_t i = 0; i < s->carries; i++) graph_result(g, map[body->result.at[i]]);
    for (uint32_t i = 0; i < s->carries; i++) graph_result(g, map[body->param.at[1 + i]]);
    const int64_t attr[5] = {g->index, s->carries, s->xs, s->carries, s->reverse};
    Value first = v->e->op(v->e, OP_scan, v->in, v->node->nin, attr, 5);
    return first == 0 ? 0 : first + s->carries;
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
        Value like = param[first_fixed + b->fixed.at[i]];
        b->dfixed[i] = take(b, zeros(b, like), like);
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
    const uint32_t ny = b->carry.n + b->y.n, nx = b->carry.n + b->fixed.n + b->x.n;
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
        bool fixed = i >= b->carry.n && i < b->carry.n + b->fixed.n;
        Value sum = fixed ? b->dfixed[i - b->carry.n] : 0, d = dx[i];
        if (d == 0)
            d = fixed ? sum : emit_constant(&ge.e, 0, graph_type(b->g, x[i]));
        else if (fixed)
            d = emit2(&ge.e, OP_add, sum, d);
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
    for (uint32_t i = 0; i < b->fixed.n; i++, first++)
        b->v->dx[1 + s->carries + s->xs + b->fixed.at[i]] = first;
    for (uint32_t i = 0; i < b->x.n; i++, first++) b->v->dx[1 + s->carries + b->x.at[i]] = first;
}

void vjp_scan(Vjp *v)
{
    Module *m = v->e->module;
    const int64_t *attr = v->node->attr->at;
    Back b = {.v = v, .m = m};
    b.s = (Scan){m->graph.at[attr[0]], (uint32_t)attr[1], (uint32_t)attr[2], (uint32_t)attr[3],
        attr[4] != 0};
    Value saved = b.s.carries != 0 ? save_carries(v, &b.s) : 0;
    if (b.s.carries != 0 && saved == 0) return;
    pick(&b);
    b.g = new_body(m, b.s.body, "reverse");
    b.map = ARENA_ARRAY(m->arena, Value, b.s.body->value.len);
    b.dcarry = ARENA_ARRAY(m->arena, Value, b.carry.n + 1);
    b.dfixed = ARENA_ARRAY(m->arena, Value, b.fixed.n + 1);
    b.dy = ARENA_ARRAY(m->arena, Value, b.y.n + 1);
    b.in = ARENA_ARRAY(m->arena, Value, v->node->nin + b.carry.n + b.fixed.n + b.y.n + 1);
    take_all(&b, saved);
    if (!fill_body(&b)) return;
    const int64_t back[5] = {
        b.g->index, b.carry.n + b.fixed.n, b.s.carries + b.s.xs + b.y.n, b.x.n, !b.s.reverse};
    Value first = v->e->op(v->e, OP_scan, b.in, b.nin, back, 5);
    if (first != 0) give(&b, first);
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
