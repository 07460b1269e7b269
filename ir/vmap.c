/* vmap: see vmap.h: the walk, and what rules share; vmap_each.c has what runs in a loop over the examples. Relies on sizes. Never
 * knows a structured op. */
#include "vmap.h"

/* ---- axes ---------------------------------------------------------------------------------------- */

Value vmap_front(Emit *e, Value x, uint32_t axis)
{
    if (x == 0) return 0;
    const uint32_t rank = e->type(e, x)->rank;
    int64_t from[MAX_RANK] = {axis};
    for (uint32_t i = 1; i < rank; i++) from[i] = i <= axis ? i - 1 : i;
    return emit_transpose(e, x, from, rank);
}

Value vmap_back(Emit *e, Value x, uint32_t axis)
{
    if (x == 0) return 0;
    const uint32_t rank = e->type(e, x)->rank;
    int64_t from[MAX_RANK] = {0};
    for (uint32_t i = 0; i < rank; i++) from[i] = i < axis ? i + 1 : i == axis ? 0 : i;
    return emit_transpose(e, x, from, rank);
}

static Type with_axis(Status *st, const Type *t, Dim n, uint32_t at)
{
    Type to = *t;
    if (t->rank == MAX_RANK) {
        status_fail(st, ST_SHAPE, "vmap: a value of an example has %d axes already, and one more is not allowed", MAX_RANK);
        return to;
    }
    memmove(to.dim + at + 1, to.dim + at, (to.rank - at) * sizeof *to.dim);
    to.dim[at] = n;
    to.rank++;
    return to;
}

Type vmap_with_axis(const Vmap *v, const Type *t) { return with_axis(v->run->st, t, v->run->n, 0); }

Type vmap_type(const Vmap *v, uint32_t i)
{
    Type t = *v->e->type(v->e, v->in[i]);
    if (v->many[i]) memmove(t.dim, t.dim + 1, --t.rank * sizeof *t.dim);
    return t;
}

Value vmap_spread(GraphEmit *to, Value x, Dim n, bool stack)
{
    if (x == 0) return 0;
    const Type t = *graph_type(to->g, x), wide = with_axis(to->st, &t, n, stack), thin = with_axis(to->st, &t, 1, stack);
    return emit_broadcast(&to->e, stack ? emit_reshape(&to->e, x, &thin) : x, &wide);
}

Value vmap_all(const Vmap *v, uint32_t i) { return v->many[i] ? v->in[i] : vmap_spread(v->to, v->in[i], v->run->n, false); }

Value vmap_merge(const Vmap *v, Value x)
{
    if (x == 0) return 0;
    Type t = *v->e->type(v->e, x);
    t.dim[1] = dim_mul(emit_dims(v->e), t.dim[0], t.dim[1]);
    memmove(t.dim, t.dim + 1, --t.rank * sizeof *t.dim);
    return emit_reshape(v->e, x, &t);
}

Value vmap_split(const Vmap *v, Value x, Dim each)
{
    if (x == 0) return 0;
    Type t = *v->e->type(v->e, x);
    if (t.rank == MAX_RANK) {
        status_fail(v->run->st, ST_SHAPE, "vmap: %s: the result has no room for the examples' axis", op_def[v->node->op].name);
        return 0;
    }
    memmove(t.dim + 1, t.dim, t.rank++ * sizeof *t.dim);
    t.dim[0] = v->run->n;
    t.dim[1] = each;
    return emit_reshape(v->e, x, &t);
}

Dim vmap_first(const Vmap *v, uint32_t result) { return graph_type(v->graph, v->node->out + result)->dim[0]; }

Value vmap_where(Emit *e, Value active, Value x, Value y)
{
    if (active == 0 || x == 0 || y == 0) return 0;
    Type shape = *e->type(e, x), thin = shape;
    for (uint32_t i = 1; i < thin.rank; i++) thin.dim[i] = 1;
    return emit3(e, OP_where, emit_broadcast(e, emit_reshape(e, active, &thin), &shape), x, y);
}

/* ---- rules ------------------------------------------------------------------------------------------- */

void vmap_as(Vmap *v, const Value *in, const int64_t *attr, uint32_t nattr)
{
    for (uint32_t i = 0; i < v->node->nin; i++)
        if (in[i] == 0) return;
    const Value first = v->e->op(v->e, (Op)v->node->op, in, v->node->nin, attr, nattr);
    for (uint32_t i = 0; i < v->node->nout; i++) v->out[i] = first == 0 ? 0 : first + i;
}

static void all_many(Vmap *v, const int64_t *attr, uint32_t nattr)
{
    Value *in = ARENA_ARRAY(v->run->m->arena, Value, v->node->nin + 1);
    for (uint32_t i = 0; i < v->node->nin; i++) in[i] = vmap_all(v, i);
    vmap_as(v, in, attr, nattr);
}

void vmap_elements(Vmap *v) { all_many(v, v->node->attr->at, v->node->attr->len); }

static void axes_moved(Vmap *v, uint32_t n)
{
    const Attr *old = v->node->attr;
    int64_t *attr = arena_copy(v->run->m->arena, old->at, old->len * sizeof *attr);
    for (uint32_t i = 0; i < n; i++) attr[i]++;
    all_many(v, attr, old->len);
}

void vmap_axis(Vmap *v) { axes_moved(v, 1); }

void vmap_axes(Vmap *v) { axes_moved(v, v->node->attr->len); }

/* ---- the walk ----------------------------------------------------------------------------------------- */

bool vmap_is_stack(const Graph *g, Value x)
{
    const Type *t = graph_type(g, x);
    return t->rank != 0 && dim_is_made(&g->module->dims, t->dim[0]);
}

bool vmap_allows(const VmapRun *run, const Graph *g, const Node *n, const bool *many)
{
    const char *file = n->loc.file ? n->loc.file : "?";
    if (op_def[n->op].flags & OPF_EFFECT && n->op != OP_assert)
        return status_fail(run->st, ST_UNSUPPORTED, "vmap: %s (%s:%d) would happen once for all examples, not once for each",
            op_def[n->op].name, file, n->loc.line);
    for (uint32_t i = 0; i < n->nin && n->op != OP_loop && n->op != OP_leaf && n->op != OP_saved; i++)
        if (many[n->in[i]] && vmap_is_stack(g, n->in[i]))
            return status_fail(run->st, ST_UNSUPPORTED,
                "vmap: %s (%s:%d) of what a loop keeps of a number of steps that it finds itself", op_def[n->op].name, file,
                n->loc.line);
    return true;
}

/* An assertion that holds for examples that do not come here. */
static Value holds(VmapRun *run, GraphEmit *to, Value x, bool many)
{
    Emit *e = &to->e;
    if (!many) x = vmap_spread(to, x, run->n, false);
    if (x == 0) return 0;
    const Value yes = emit_constant(e, 1, graph_type(to->g, x));
    return vmap_where(e, run->active, x, yes);
}

bool vmap_one(VmapWalk *w, uint32_t node)
{
    VmapRun *run = w->run;
    const Node n = w->from->node.at[node]; /* a copy: graphs may be appended to */
    Value *in = ARENA_ARRAY(run->m->arena, Value, n.nin + 1);
    bool *of = ARENA_ARRAY(run->m->arena, bool, n.nin + 1), any = false;
    for (uint32_t i = 0; i < n.nin; i++) {
        in[i] = w->map[n.in[i]];
        any |= of[i] = w->many[n.in[i]];
    }
    if (!vmap_allows(run, w->from, &n, w->many)) return false;
    w->to->e.loc = n.loc;
    if (n.op == OP_assert && run->active != 0) in[0] = holds(run, w->to, in[0], of[0]);
    for (uint32_t i = 0; i < n.nout; i++) w->many[n.out + i] = any;
    Vmap v = {.run = run,
        .to = w->to,
        .e = &w->to->e,
        .node = &n,
        .graph = w->from,
        .walk = w,
        .in = in,
        .many = of,
        .out = w->map + n.out,
        .out_many = w->many + n.out};
    w->done[node] = true;
    if (!any || (n.nout == 0 && op_def[n.op].flags & OPF_EFFECT))
        vmap_as(&v, in, n.attr->at, n.attr->len);
    else if (op_def[n.op].flags & OPF_ELEMENTWISE)
        vmap_elements(&v);
    else if (op_def[n.op].vmap)
        op_def[n.op].vmap(&v);
    else
        vmap_by_loop(&v);
    for (uint32_t i = 0; i < n.nout && !v.within && run->st->code == ST_OK; i++)
        if (v.out[i] == 0) status_fail(run->st, ST_INTERNAL, "vmap: the rule of %s gave nothing", op_def[n.op].name);
    return run->st->code == ST_OK;
}

bool vmap_graph(VmapRun *run, GraphEmit *to, const Graph *from, Value *map, bool *many)
{
    Arena *a = run->m->arena;
    VmapWalk w = {.run = run, .to = to, .from = from, .needs = size_needs(from, a), .map = map, .many = many};
    w.done = ARENA_ARRAY(a, bool, from->node.len + 1);
    for (uint32_t i = 0; i < from->node.len; i++)
        if (from->node.at[i].op != OP_param && !w.done[i] && !vmap_one(&w, i)) return false;
    return true;
}
