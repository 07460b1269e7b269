/* vmap_each: what has no rule for many examples at once and runs in a loop over them: an op alone, or a size that each example
 * counts for itself together with all that has such a size. Relies on loop. Never knows which op it is.
 *
 * A loop of the second kind holds the node that counts, all that names its size in types or attributes, and what lies between:
 * needs some of these and is needed by others. So do further sizes that the examples count and that these nodes need. It runs where
 * the first of them stands; what it takes from outside and stands behind that is moved before it. Everything else stays outside and
 * works on all examples at once. Where only some examples come by, the others get zeros and run nothing. */
#include "loop.h"
#include "vmap.h"

static Value number(Emit *e, Dim d)
{
    return dim_is_const(d) ? e->op(e, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = DT_i64, .value = d))
                           : e->op(e, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = d));
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

typedef struct Loop {
    VmapRun *run;
    GraphEmit *to, ge; /* around it; its body */
    Graph *body;
    Value *operand;
    uint32_t nin, xs;
} Loop;

static void loop_begin(Loop *l, VmapRun *run, GraphEmit *to, Loc loc, uint32_t operands)
{
    *l = (Loop){.run = run, .to = to, .operand = ARENA_ARRAY(run->m->arena, Value, operands + 2)};
    l->body = graph_new(run->m, arena_printf(run->m->arena, "each%u", run->m->graph.len));
    graph_emit_init(&l->ge, l->body, run->st);
    l->ge.e.loc = loc;
    l->operand[l->nin++] = number(&to->e, run->n);
    graph_param(l->body, &(Type){.dtype = DT_i64}, loc);
}

/* x inside, where many says that each example has its own. Those come first. */
static Value loop_takes(Loop *l, Value x, bool many)
{
    Type t = *graph_type(l->to->g, x);
    if (many) memmove(t.dim, t.dim + 1, --t.rank * sizeof *t.dim);
    l->xs += many;
    l->operand[l->nin++] = x;
    return graph_param(l->body, &t, l->ge.e.loc);
}

static Value loop_end(Loop *l)
{
    const struct loop_attrs a = {.body = l->body->index, .xs = l->xs, .ys = l->body->result.len, .steps = l->run->n};
    if (l->operand[0] == 0 || l->run->st->code != ST_OK) return 0;
    return l->to->e.op(&l->to->e, OP_loop, l->operand, l->nin, ATTRS_TO(&a, a.condition));
}

void vmap_by_loop(Vmap *v)
{
    const Node *n = v->node;
    Loop l;
    Value *in = ARENA_ARRAY(v->run->m->arena, Value, n->nin + 1);
    v->run->looped[n->op] = true;
    loop_begin(&l, v->run, v->to, n->loc, n->nin);
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < n->nin; i++)
            if (v->many[i] == (pass == 0)) in[i] = loop_takes(&l, v->in[i], v->many[i]);
    const Value y = l.ge.e.op(&l.ge.e, (Op)n->op, in, n->nin, n->attr->at, n->attr->len);
    for (uint32_t i = 0; i < n->nout && y != 0; i++) graph_result(l.body, y + i);
    const Value first = y == 0 ? 0 : loop_end(&l);
    for (uint32_t i = 0; i < n->nout; i++) v->out[i] = first == 0 ? 0 : first + i;
}

Graph *vmap_zeros_like(const VmapRun *run, Loc loc, const Graph *of)
{
    GraphEmit to;
    Graph *g = graph_new(run->m, arena_printf(run->m->arena, "%s_not%u", of->name, run->m->graph.len));
    graph_emit_init(&to, g, run->st);
    to.e.loc = loc;
    for (uint32_t i = 0; i < of->param.len; i++) {
        const Type t = *graph_type(of, of->param.at[i]);
        graph_param(g, &t, loc);
    }
    for (uint32_t i = 0; i < of->result.len; i++) graph_result(g, emit_constant(&to.e, 0, graph_type(of, of->result.at[i])));
    return run->st->code == ST_OK ? g : NULL;
}

/* ---- what is in it ------------------------------------------------------------------------------------------------ */

typedef struct Each {
    VmapWalk *w;
    const Graph *g;
    uint32_t first;
    bool *in, *after, *before; /* per node: in the loop; needs it; it needs them */
    bool *likely;              /* per value: it may differ from example to example */
} Each;

static bool settled(const Each *e, uint32_t node) { return e->w->done[node] || e->g->node.at[node].op == OP_param; }

static uint32_t maker(const Each *e, Value v) { return e->g->value.at[v].node; }

void vmap_reach(const Graph *g, const SizeNeeds *needs, const bool *done, bool *many)
{
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        bool any = false;
        if (n->op == OP_param || (done && done[i])) continue;
        for (uint32_t k = 0; k < n->nin; k++) any |= many[n->in[k]];
        for (uint32_t k = needs ? needs->first[i] : 0; needs && k < needs->first[i + 1]; k++)
            any |= many[g->node.at[needs->maker[k]].out];
        for (uint32_t k = 0; k < n->nout; k++) many[n->out + k] = any;
    }
}

/* Forwards: what needs the loop, and what names a size that it counts. True: it has grown. */
static bool look_behind(Each *e)
{
    const SizeNeeds *needs = e->w->needs;
    bool effect = false, grown = false;
    for (uint32_t i = e->first; i < e->g->node.len; i++) {
        const Node *n = &e->g->node.at[i];
        if (settled(e, i)) continue;
        const bool orders = node_has_effect(e->w->run->m, n);
        bool after = orders && effect, names = e->in[i];
        for (uint32_t k = 0; k < n->nin; k++) after |= e->in[maker(e, n->in[k])] || e->after[maker(e, n->in[k])];
        for (uint32_t k = needs->first[i]; k < needs->first[i + 1]; k++) {
            after |= e->in[needs->maker[k]] || e->after[needs->maker[k]];
            names |= e->in[needs->maker[k]];
        }
        grown |= names != e->in[i];
        e->after[i] = after, e->in[i] = names;
        effect |= orders && (after || names);
    }
    return grown;
}

/* Backwards: what it needs; what lies between, further sizes of each example, and assertions of what it makes that stand before
 * others of its nodes, are in it. True: it has grown. */
static bool look_ahead(Each *e)
{
    const SizeNeeds *needs = e->w->needs;
    bool effect = false, grown = false, behind = false;
    memset(e->before, 0, e->g->node.len * sizeof *e->before);
    for (uint32_t i = e->g->node.len; i-- > e->first;) {
        const Node *n = &e->g->node.at[i];
        if (settled(e, i)) continue;
        const bool orders = node_has_effect(e->w->run->m, n);
        e->before[i] |= orders && effect;
        const bool counts = n->op == OP_set_size && e->likely[n->in[0]];
        if (!e->in[i] && ((e->before[i] && (e->after[i] || counts)) || (orders && e->after[i] && behind))) e->in[i] = grown = true;
        behind |= e->in[i];
        if (!e->in[i] && !e->before[i]) continue;
        for (uint32_t k = 0; k < n->nin; k++) e->before[maker(e, n->in[k])] = true;
        for (uint32_t k = needs->first[i]; k < needs->first[i + 1]; k++) e->before[needs->maker[k]] = true;
        effect |= orders;
    }
    return grown;
}

/* ---- its body --------------------------------------------------------------------------------------------------------- */

/* Graphs that run inside are not walked through. */
static bool graph_allowed(const VmapRun *run, const Graph *g)
{
    bool ok = true, *none = ARENA_ARRAY(run->m->arena, bool, g->value.len + 1);
    for (uint32_t i = 0; i < g->node.len && ok; i++) {
        const Node *n = &g->node.at[i];
        ok = vmap_allows(run, g, n, none);
        for (uint32_t k = 0; k < n->attr->len && ok && node_has_effect(run->m, n); k++)
            if (op_attr_is_graph((Op)n->op, k)) ok = graph_allowed(run, run->m->graph.at[n->attr->at[k]]);
    }
    return ok;
}

static bool node_allowed(const Each *e, const Node *n)
{
    const VmapRun *run = e->w->run;
    bool ok = vmap_allows(run, e->g, n, e->w->many);
    for (uint32_t k = 0; k < n->attr->len && ok && node_has_effect(run->m, n); k++)
        if (op_attr_is_graph((Op)n->op, k)) ok = graph_allowed(run, run->m->graph.at[n->attr->at[k]]);
    for (uint32_t i = 0; i < n->nin && ok; i++)
        if (!e->in[maker(e, n->in[i])] && e->w->many[n->in[i]] && vmap_is_stack(e->g, n->in[i]))
            ok = status_fail(run->st, ST_UNSUPPORTED,
                "vmap: %s (%s:%d) of what a loop keeps of a number of steps that it finds itself", op_def[n->op].name,
                n->loc.file ? n->loc.file : "?", n->loc.line);
    return ok;
}

static void takes(Each *e, Loop *l, Value *inside)
{
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t i = e->first; i < e->g->node.len; i++)
            for (uint32_t k = 0; k < e->g->node.at[i].nin && e->in[i]; k++) {
                const Value x = e->g->node.at[i].in[k];
                if (!e->in[maker(e, x)] && !inside[x] && e->w->many[x] == (pass == 0))
                    inside[x] = loop_takes(l, e->w->map[x], pass == 0);
            }
}

/* The nodes, appended to the graph of `to`. */
static bool append(const Each *e, GraphEmit *to, Value *inside)
{
    for (uint32_t i = e->first; i < e->g->node.len; i++) {
        const Node n = e->g->node.at[i]; /* a copy: graphs may be appended to */
        if (!e->in[i]) continue;
        Value *in = ARENA_ARRAY(e->w->run->m->arena, Value, n.nin + 1);
        for (uint32_t k = 0; k < n.nin; k++) in[k] = inside[n.in[k]];
        to->e.loc = n.loc;
        if (!node_allowed(e, &n)) return false;
        const Value first = to->e.op(&to->e, (Op)n.op, in, n.nin, n.attr->at, n.attr->len);
        for (uint32_t k = 0; k < n.nout; k++) inside[n.out + k] = first + k;
        if (e->w->run->st->code != ST_OK) return false;
    }
    return true;
}

/* Results of the loop: what others use, or the graph gives, and has a size from outside. Returns how many; given: their values. */
static uint32_t gives(const Each *e, const Graph *inner, const Value *inside, Value *given)
{
    bool *used = ARENA_ARRAY(e->w->run->m->arena, bool, e->g->value.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->g->node.len; i++)
        for (uint32_t k = 0; k < e->g->node.at[i].nin && !e->in[i]; k++) used[e->g->node.at[i].in[k]] = true;
    for (uint32_t i = 0; i < e->g->result.len; i++) used[e->g->result.at[i]] = true;
    for (Value x = 1; x < e->g->value.len; x++)
        if (used[x] && e->in[maker(e, x)] && !size_of_own(inner, graph_type(inner, inside[x]))) given[n++] = x;
    return n;
}

/* The body where only some examples come by: `inner` for these, whose parameters follow what says so. */
static bool choose(Loop *l, const Graph *inner, Value active, const Value *in, uint32_t nin)
{
    const Graph *others = vmap_zeros_like(l->run, l->ge.e.loc, inner);
    Value *operand = ARENA_ARRAY(l->run->m->arena, Value, nin + 1);
    if (!others) return false;
    operand[0] = active;
    memcpy(operand + 1, in, nin * sizeof *in);
    const int64_t cases[2] = {others->index, inner->index};
    const Value first = l->ge.e.op(&l->ge.e, OP_branch, operand, nin + 1, cases, 2);
    for (uint32_t i = 0; i < inner->result.len && first != 0; i++) graph_result(l->body, first + i);
    return first != 0;
}

/* The nodes in `inner`, which is the body or a graph that it runs. */
static bool fill(Each *e, Graph *inner, GraphEmit *to, Value *inside, Value *given, uint32_t *n)
{
    if (!append(e, to, inside)) return false;
    *n = gives(e, inner, inside, given);
    for (uint32_t i = 0; i < *n; i++) graph_result(inner, inside[given[i]]);
    return true;
}

/* The same for a graph of its own, with parameters like those of the body. */
static bool fill_apart(Each *e, Loop *l, Value active, Value *inside, Value *given, uint32_t *n)
{
    Arena *a = l->run->m->arena;
    GraphEmit to;
    Graph *inner = graph_new(l->run->m, arena_printf(a, "each%u", l->run->m->graph.len));
    Value *own = ARENA_ARRAY(a, Value, e->g->value.len + 1), *in = ARENA_ARRAY(a, Value, l->nin + 1);
    uint32_t nin = 0;
    graph_emit_init(&to, inner, l->run->st);
    for (Value x = 1; x < e->g->value.len; x++) {
        if (inside[x] == 0) continue;
        const Type t = *graph_type(l->body, inside[x]);
        own[x] = graph_param(inner, &t, l->ge.e.loc);
        in[nin++] = inside[x];
    }
    return fill(e, inner, &to, own, given, n) && choose(l, inner, active, in, nin);
}

static bool in_a_loop(Each *e, Loc loc)
{
    Arena *a = e->w->run->m->arena;
    Value *inside = ARENA_ARRAY(a, Value, e->g->value.len + 1), *given = ARENA_ARRAY(a, Value, e->g->value.len + 1), active = 0;
    uint32_t operands = 1, n = 0;
    Loop l;
    for (uint32_t i = e->first; i < e->g->node.len; i++) operands += e->in[i] ? e->g->node.at[i].nin : 0;
    loop_begin(&l, e->w->run, e->w->to, loc, operands);
    if (e->w->run->active != 0) active = loop_takes(&l, e->w->run->active, true);
    takes(e, &l, inside);
    if (active ? !fill_apart(e, &l, active, inside, given, &n) : !fill(e, l.body, &l.ge, inside, given, &n)) return false;
    e->w->to->e.loc = loc;
    const Value first = n != 0 || l.body->effect ? loop_end(&l) : 0;
    for (uint32_t i = 0; i < n; i++) e->w->map[given[i]] = first == 0 ? 0 : first + i;
    return e->w->run->st->code == ST_OK;
}

/* ---- the rule ------------------------------------------------------------------------------------------------------------- */

void vmap_each(Vmap *v)
{
    VmapWalk *w = v->walk;
    Arena *a = v->run->m->arena;
    const Graph *g = v->graph;
    const uint32_t nodes = g->node.len + 1;
    Each e = {.w = w, .g = g, .first = g->value.at[v->node->out].node};
    e.in = ARENA_ARRAY(a, bool, nodes), e.after = ARENA_ARRAY(a, bool, nodes), e.before = ARENA_ARRAY(a, bool, nodes);
    e.likely = arena_copy(a, w->many, g->value.len * sizeof *w->many);
    vmap_reach(g, w->needs, w->done, e.likely);
    w->done[e.first] = false;
    e.in[e.first] = true;
    for (bool grows = true; grows;) {
        grows = look_behind(&e);
        grows |= look_ahead(&e);
    }
    for (uint32_t i = e.first; i < g->node.len; i++)
        if (!settled(&e, i) && e.before[i] && !e.in[i] && !vmap_one(w, i)) return;
    for (uint32_t i = e.first; i < g->node.len; i++)
        for (uint32_t k = 0; k < g->node.at[i].nout && e.in[i]; k++)
            w->map[g->node.at[i].out + k] = 0, w->many[g->node.at[i].out + k] = true;
    v->run->looped[v->node->op] = true;
    if (!v->run->counted.file) v->run->counted = v->node->loc;
    v->within = in_a_loop(&e, v->node->loc);
    for (uint32_t i = e.first; i < g->node.len; i++) w->done[i] |= e.in[i];
}
