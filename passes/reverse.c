/* reverse: the one reverse-mode walk. It marks what depends on an x, then goes backwards from
 * the ys and asks each node on a path between them for its gradient. Relies on emit. Never knows
 * an op. */
#include "reverse.h"

#include "../ir/loop.h"

typedef struct Walk {
    Reverse *r;
    bool *active;     /* per value: it depends on an x by way of floats */
    Value *cotangent; /* per value; 0: none so far */
    Value *into;      /* per value: the value to whose cotangent its own is added */
    uint32_t values;  /* of the graph when the walk began */
    Value *dx;        /* room for one node's operands */
    bool *wanted;
} Walk;

static bool differentiable(const Graph *g, Value v) { return dtype_is_float(graph_type(g, v)->dtype); }

/* All reads of one variable share one sum, and a leaf that passes gradients on shares the sum of the value that it stands for.
 * Loops and branches, whose bodies are walked with the sums so far, then add in the same order as the same code without them. */
static void join_reads(Walk *w)
{
    const Reverse *r = w->r;
    bool *asked = ARENA_ARRAY(r->scratch, bool, w->values);
    for (uint32_t i = 0; i < r->nx; i++) asked[r->x[i]] = true;
    for (Value v = 0; v < w->values; v++) w->into[v] = v;
    for (uint32_t i = r->first; i < r->last; i++) {
        const Node *n = &r->g->node.at[i];
        if (n->op == OP_leaf && ATTRS(leaf, n->attr->at)->stops == 0 && !asked[n->out]) w->into[n->out] = w->into[n->in[0]];
    }
    for (uint32_t i = 1; r->group && i < r->nx; i++)
        if (r->group[i] == r->group[i - 1]) w->into[r->x[i]] = w->into[r->x[i - 1]];
}

static void mark_active(Walk *w)
{
    const Graph *g = w->r->g;
    for (uint32_t i = 0; i < w->r->nx; i++) w->active[w->r->x[i]] = differentiable(g, w->r->x[i]);
    for (uint32_t i = w->r->first, gap = 0; i < w->r->last; i++) {
        if (gap < w->r->ngap && i == w->r->gap[gap].first) i = w->r->gap[gap++].last;
        if (i >= w->r->last) break;
        const Node *n = &g->node.at[i];
        bool any = false;
        for (uint32_t k = 0; k < n->nin && !any; k++) any = w->active[n->in[k]];
        if (!any || (n->op == OP_leaf && ATTRS(leaf, n->attr->at)->stops != 0)) continue;
        for (uint32_t k = 0; k < n->nout; k++) w->active[n->out + k] |= differentiable(g, n->out + k);
    }
}

/* Adds two stacks whose height only the loop that made them knows, by a loop over their slices. */
static Value add_stacks(Walk *w, const Graph *g, Value a, Value b)
{
    Module *m = g->module;
    Type slice = *graph_type(g, a);
    const Dim n = slice.dim[0];
    const Type index = {.dtype = DT_i64};
    const Node *maker = graph_maker(g, a);
    if (maker->op != OP_loop || loop_condition(m, maker->attr)) {
        status_fail(w->r->st, ST_UNSUPPORTED, "%s: no gradient is available for the stack of a loop", op_def[maker->op].name);
        return 0;
    }
    memmove(slice.dim, slice.dim + 1, --slice.rank * sizeof *slice.dim);
    Graph *body = graph_new(m, arena_printf(m->arena, "add%u", m->graph.len));
    graph_param(body, &index, w->r->e->loc);
    const Value x[2] = {graph_param(body, &slice, w->r->e->loc), graph_param(body, &slice, w->r->e->loc)};
    graph_result(body, graph_append(body, OP_add, x, 2, NULL, 0, w->r->e->loc, w->r->st));
    const Value in[3] = {maker->in[0], a, b};
    return w->r->e->op(w->r->e, OP_loop, in, 3, ATTRS_OF(loop, .body = body->index, .xs = 2, .ys = 1, .steps = n));
}

static void accumulate(Walk *w, Value v, Value g)
{
    if (g == 0) return;
    Value *sum = &w->cotangent[w->into[v]];
    const Type *t = *sum != 0 && w->r->e->module ? w->r->e->type(w->r->e, g) : NULL;
    if (*sum == 0)
        *sum = g;
    else if (t && t->rank != 0 && dim_is_made(&w->r->e->module->dims, t->dim[0]))
        *sum = add_stacks(w, w->r->g, *sum, g);
    else
        *sum = emit2(w->r->e, OP_add, *sum, g);
}

static void seed(Walk *w)
{
    Reverse *r = w->r;
    for (uint32_t i = 0; i < r->ny; i++) {
        if (!w->active[r->y[i]]) continue;
        Value g = r->seed ? r->seed[i] : 0;
        accumulate(w, r->y[i], g != 0 ? g : emit_constant(r->e, 1, r->e->type(r->e, r->y[i])));
    }
}

/* The callback by which a region's rule asks for the reverse of its body. */
static bool walk_body(
    Vjp *v, Emit *e, const Graph *g, const Value *y, const Value *seeds, uint32_t ny, const Value *x, uint32_t nx, Value *dx)
{
    Arena *a = g->module->arena;
    Reverse r = {.e = e,
        .g = g,
        .last = g->node.len,
        .y = y,
        .seed = seeds,
        .ny = ny,
        .x = x,
        .nx = nx,
        .dx = dx,
        .scratch = a,
        .st = v->st,
        .user = v->user,
        .foreign = v->foreign};
    return reverse_walk(&r);
}

/* Tells the rule of a region what each operand has got so far; where several operands share one sum, only the last is told. */
static const Value *sums_of(const Walk *w, const Node *n)
{
    Value *sum = ARENA_ARRAY(w->r->scratch, Value, n->nin + 1);
    for (uint32_t k = 0; k < n->nin; k++) {
        bool later = !w->wanted[k];
        for (uint32_t j = k + 1; j < n->nin && !later; j++) later = w->wanted[j] && w->into[n->in[j]] == w->into[n->in[k]];
        sum[k] = later ? 0 : w->cotangent[w->into[n->in[k]]];
    }
    return sum;
}

static void take_cotangents(Walk *w, const Node *n, const bool *total)
{
    for (uint32_t k = 0; k < n->nin; k++)
        if (w->wanted[k] && total[k]) w->cotangent[w->into[n->in[k]]] = w->dx[k];
    for (uint32_t k = 0; k < n->nin; k++)
        if (w->wanted[k] && !total[k]) accumulate(w, n->in[k], w->dx[k]);
}

static bool reverse_node(Walk *w, uint32_t index)
{
    Reverse *r = w->r;
    /* A copy: the array moves when the graph is appended to. */
    const Node n = r->g->node.at[index];
    bool arrives = false, asked = false;
    for (uint32_t k = 0; k < n.nout; k++) arrives |= w->active[n.out + k] && w->cotangent[n.out + k] != 0;
    if (!arrives) return true;
    w->wanted = ARENA_ARRAY(r->scratch, bool, n.nin + 1);
    w->dx = ARENA_ARRAY(r->scratch, Value, n.nin + 1);
    Value *out = ARENA_ARRAY(r->scratch, Value, n.nout);
    const bool region = (op_def[n.op].flags & OPF_REGION) != 0;
    bool *total = ARENA_ARRAY(r->scratch, bool, region ? n.nin : 1);
    for (uint32_t k = 0; k < n.nin; k++) asked |= w->wanted[k] = w->active[n.in[k]];
    if (!asked) return true;
    for (uint32_t k = 0; k < n.nout; k++) out[k] = n.out + k;
    if (r->node) r->node(r->user, index);
    r->e->loc = n.loc;
    Vjp v = {.e = r->e,
        .node = &n,
        .graph = r->g,
        .in = n.in,
        .out = out,
        .g = w->cotangent + n.out,
        .wanted = w->wanted,
        .dx = w->dx,
        .sum = region ? sums_of(w, &n) : NULL,
        .total = total,
        .st = r->st,
        .user = r->user,
        .foreign = r->foreign,
        .walk = walk_body};
    if (!vjp_node(&v)) return false;
    if (region)
        take_cotangents(w, &n, total);
    else
        for (uint32_t k = 0; k < n.nin; k++)
            if (w->wanted[k]) accumulate(w, n.in[k], w->dx[k]);
    return r->st->code == ST_OK;
}

bool reverse_walk(Reverse *r)
{
    Walk w = {.r = r, .values = r->g->value.len};
    w.active = ARENA_ARRAY(r->scratch, bool, w.values);
    w.cotangent = ARENA_ARRAY(r->scratch, Value, w.values);
    w.into = ARENA_ARRAY(r->scratch, Value, w.values);
    const Loc loc = r->e->loc;
    join_reads(&w);
    mark_active(&w);
    seed(&w);
    bool ok = r->st->code == ST_OK;
    for (uint32_t i = r->last; ok && i > r->first; i--) ok = reverse_node(&w, i - 1);
    r->e->loc = loc;
    for (uint32_t i = 0; i < r->nx; i++) r->dx[i] = ok ? w.cotangent[w.into[r->x[i]]] : 0;
    return ok;
}
