/* rebuild: the copy through which every pass makes its graph: fold, share, append; and the
 * canonical order of a graph. Relies on graph, fold. Never knows a pass. */
#include "rebuild.h"

#include "fold.h"
#include "sizes.h"

static Graph *sibling(const Graph *from)
{
    Graph *g = ARENA_NEW(from->module->arena, Graph);
    g->module = from->module;
    g->name = from->name;
    g->index = from->index;
    g->kernel = from->kernel;
    *VEC_PUSH(g->module->arena, &g->value) = (ValueDef){0};
    return g;
}

void rebuild_begin(Rebuild *rb, const Graph *from, Arena *scratch, Status *st)
{
    *rb = (Rebuild){.from = from, .to = sibling(from), .shared = {.arena = scratch}, .scratch = scratch, .st = st};
    rb->map = ARENA_ARRAY(scratch, Value, from->value.len);
    for (uint32_t i = 0; i < from->param.len; i++) {
        Value p = from->param.at[i];
        rb->map[p] = graph_param(rb->to, graph_type(from, p), graph_maker(from, p)->loc);
    }
}

void rebuild_set(Rebuild *rb, Value old, Value now) { rb->map[old] = now; }

Value rebuild_copy(Rebuild *rb, uint32_t node)
{
    const Node *n = &rb->from->node.at[node];
    if (n->nout != 0 && rb->map[n->out] != 0) return rb->map[n->out];
    Value *in = ARENA_ARRAY(rb->scratch, Value, n->nin + 1);
    for (uint32_t i = 0; i < n->nin; i++) in[i] = rb->map[n->in[i]];
    Value v = rebuild_op(rb, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, n->loc);
    for (uint32_t i = 0; i < n->nout && v != 0; i++) rb->map[n->out + i] = v + i;
    return v;
}

/* ---- sharing -------------------------------------------------------------------------------- */

/* That an op commutes (COMM) does not make an exchange exact: max(0, -0) is its second operand. An op whose value is one symmetric
 * primitive may be exchanged. */
static bool exchangeable(Op op)
{
    const OpDef *def = &op_def[op];
    const ScalarTok *x = def->value_f ? def->value_f : def->value_i;
    return def->flags & OPF_COMM && x[0].prim < P_COUNT && x[1].prim == P_ARG && x[2].prim == P_ARG;
}

static bool nodes_equal(const Node *a, const Node *b)
{
    if (a->op != b->op || a->nin != b->nin || a->attr->len != b->attr->len) return false;
    bool same = true;
    for (uint32_t i = 0; i < a->nin; i++) same &= a->in[i] == b->in[i];
    if (!same && a->nin == 2 && exchangeable((Op)a->op)) same = a->in[0] == b->in[1] && a->in[1] == b->in[0];
    if (!same) return false;
    return memcmp(a->attr->at, b->attr->at, a->attr->len * sizeof *a->attr->at) == 0;
}

/* The first result of an equal node, 0 if there is none; then *key is where the new node
 * belongs. */
static Value find_shared(Rebuild *rb, const Node *n, uint64_t *key)
{
    Node sorted = *n;
    Value exchanged[2];
    if (n->nin == 2 && n->in[0] > n->in[1] && exchangeable((Op)n->op)) {
        exchanged[0] = n->in[1];
        exchanged[1] = n->in[0];
        sorted.in = exchanged;
    }
    for (*key = hash_key(node_hash(rb->to, &sorted));; *key = hash_mix(*key, 1)) {
        const uint64_t *at = map_get(&rb->shared, *key);
        if (!at) return 0;
        const Node *other = &rb->to->node.at[*at - 1];
        if (nodes_equal(other, n)) return other->out;
    }
}

static bool sharable(const Module *m, const Node *n) { return n->op != OP_param && !node_has_effect(m, n); }

Value rebuild_op(Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    if (rb->st->code != ST_OK) return 0;
    for (uint32_t i = 0; i < nin; i++)
        if (in[i] == 0) return 0;
    Value v = fold_node(rb, op, in, nin, attr, nattr, loc);
    if (v != 0 || rb->st->code != ST_OK) return v;
    Attr *a = arena_alloc(rb->scratch, sizeof *a + (nattr + 1) * sizeof *attr);
    a->len = nattr;
    if (nattr != 0) memcpy(a->at, attr, nattr * sizeof *attr);
    const Node n = {.op = (uint16_t)op, .nin = nin, .in = in, .attr = a, .loc = loc};
    uint64_t key = 0;
    bool shares = sharable(rb->to->module, &n);
    if (shares && (v = find_shared(rb, &n, &key)) != 0) return v;
    v = graph_append(rb->to, op, in, nin, attr, nattr, loc, rb->st);
    if (v != 0 && shares) map_put(&rb->shared, key, rb->to->node.len);
    return v;
}

Graph *rebuild_end(Rebuild *rb)
{
    for (uint32_t i = 0; i < rb->from->result.len && rb->st->code == ST_OK; i++) {
        Value v = rb->map[rb->from->result.at[i]];
        if (v == 0)
            status_fail(rb->st, ST_INTERNAL, "rebuild of graph %s: result %u was not copied", rb->from->name, i);
        else
            graph_result(rb->to, v);
    }
    return rb->st->code == ST_OK ? rb->to : NULL;
}

/* ---- order ---------------------------------------------------------------------------------- */

typedef struct Order {
    const Graph *g;
    bool *placed;
    uint32_t *order, count;
    uint32_t *stack, *operand; /* nodes being visited, and which operand of each comes next */
    const SizeNeeds *needs;    /* NULL: none; what it says of a node comes behind its operands */
} Order;

/* The maker of what the node needs as its `which`-th; false: it needs no more. */
static bool needed(const Order *o, uint32_t node, uint32_t which, uint32_t *maker)
{
    const Node *n = &o->g->node.at[node];
    if (which < n->nin) {
        *maker = o->g->value.at[n->in[which]].node;
        return true;
    }
    if (!o->needs || which - n->nin >= o->needs->first[node + 1] - o->needs->first[node]) return false;
    *maker = o->needs->maker[o->needs->first[node] + which - n->nin];
    return true;
}

static void visit(Order *o, uint32_t root)
{
    uint32_t depth = 0;
    if (o->placed[root]) return;
    o->stack[depth] = root;
    o->operand[depth++] = 0;
    while (depth > 0) {
        uint32_t at = o->stack[depth - 1];
        uint32_t maker;
        if (needed(o, at, o->operand[depth - 1], &maker)) {
            o->operand[depth - 1]++;
            if (o->placed[maker]) continue;
            o->stack[depth] = maker;
            o->operand[depth++] = 0;
        } else {
            depth--;
            if (!o->placed[at]) o->order[o->count++] = at;
            o->placed[at] = true;
        }
    }
}

uint32_t graph_canonical_order(const Graph *g, uint32_t *order, Arena *scratch)
{
    Order o = {.g = g, .order = order, .needs = size_needs(g, scratch)};
    o.placed = ARENA_ARRAY(scratch, bool, g->node.len + 1);
    o.stack = ARENA_ARRAY(scratch, uint32_t, g->node.len + 1);
    o.operand = ARENA_ARRAY(scratch, uint32_t, g->node.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) visit(&o, g->value.at[g->param.at[i]].node);
    for (uint32_t i = 0; i < g->node.len; i++)
        if (node_has_effect(g->module, &g->node.at[i])) visit(&o, i);
    for (uint32_t i = 0; i < g->result.len; i++) visit(&o, g->value.at[g->result.at[i]].node);
    return o.count;
}
