/* verify: the invariants of a module, each with its own words. Relies on infer. Never changes a
 * graph; the module's dim table may gain expressions, since re-inferring a type may need some. */
#include "verify.h"

#include "sizes.h"

typedef struct Verify {
    const Module *m;
    Status *st;
    uint8_t *state; /* per graph: 0 not seen, 1 being walked, 2 done */
    bool ok;
} Verify;

static bool broken(Verify *v, const Graph *g, uint32_t node, const char *what)
{
    const char *op = node < g->node.len && g->node.at[node].op < OP_COUNT ? op_def[g->node.at[node].op].name : "?";
    return status_fail(v->st, ST_INTERNAL, "graph %s, node %u (%s): %s", g->name, node, op, what);
}

static bool type_valid(const Module *m, const Type *t)
{
    if (t->dtype == DT_NONE || t->dtype >= DT_COUNT || t->rank > MAX_RANK) return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (!dim_valid(&m->dims, t->dim[i])) return false;
    return true;
}

/* Operands come before, results are numbered on without a gap. */
static bool numbering_holds(Verify *v, const Graph *g, uint32_t i, Value next)
{
    const Node *n = &g->node.at[i];
    if (n->op <= OP_none || n->op >= OP_COUNT) return broken(v, g, i, "no such op");
    if (!n->attr) return broken(v, g, i, "no attributes");
    if (n->out != next) return broken(v, g, i, "its results are not numbered on from the node before");
    if (n->nout > g->value.len - next) return broken(v, g, i, "wrong count of results");
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k] == 0 || n->in[k] >= n->out) return broken(v, g, i, "an operand is not defined before its use");
    for (uint32_t k = 0; k < n->nout; k++) {
        const ValueDef *d = &g->value.at[n->out + k];
        if (d->node != i || d->result != k) return broken(v, g, i, "a result names another maker");
        if (!type_valid(v->m, &d->type)) return broken(v, g, i, "a result's type is malformed");
    }
    return true;
}

static bool types_hold(Verify *v, const Graph *g, uint32_t i)
{
    const Node *n = &g->node.at[i];
    if (n->op == OP_param) {
        if (n->nin != 0 || n->attr->len != 1 || n->nout != 1) return broken(v, g, i, "malformed");
        uint64_t at = (uint64_t)ATTRS(param, n->attr->at)->number;
        return (at < g->param.len && g->param.at[at] == n->out) || broken(v, g, i, "not where its number says in the parameters");
    }
    if (n->op == OP_call) return (n->attr->len == strlen(op_def[OP_call].attrs) && n->nout != 0) || broken(v, g, i, "malformed");
    Infer inf;
    Status why = {0};
    if (!infer_node(&inf, g, (Op)n->op, n->in, n->nin, n->attr->at, n->attr->len, &why)) return broken(v, g, i, why.text);
    if (inf.nout != n->nout) return broken(v, g, i, "wrong count of results");
    for (uint32_t k = 0; k < inf.nout; k++)
        if (!type_equal(&inf.out[k], graph_type(g, n->out + k)))
            return broken(v, g, i, "a result's type is not what inference says");
    return true;
}

static bool graph_holds(Verify *v, uint32_t index);

/* The graphs that a node runs must be sound, too, and must not run themselves. */
static bool regions_hold(Verify *v, const Graph *g, uint32_t i)
{
    const Node *n = &g->node.at[i];
    if (!(op_def[n->op].flags & OPF_REGION)) return true;
    for (uint32_t k = 0; k < n->attr->len; k++) {
        if (!op_attr_is_graph((Op)n->op, k)) continue;
        uint64_t body = (uint64_t)n->attr->at[k];
        if (body >= v->m->graph.len) return broken(v, g, i, "no such graph");
        if (v->state[body] == 1) return broken(v, g, i, "a graph runs itself");
        if (!graph_holds(v, (uint32_t)body)) return false;
    }
    return true;
}

static bool ends_hold(Verify *v, const Graph *g)
{
    for (uint32_t i = 0; i < g->param.len; i++)
        if (g->param.at[i] == 0 || g->param.at[i] >= g->value.len || graph_maker(g, g->param.at[i])->op != OP_param)
            return status_fail(v->st, ST_INTERNAL, "graph %s: parameter %u is not a parameter node", g->name, i);
    for (uint32_t i = 0; i < g->result.len; i++)
        if (g->result.at[i] == 0 || g->result.at[i] >= g->value.len)
            return status_fail(v->st, ST_INTERNAL, "graph %s: result %u is not a value", g->name, i);
    return true;
}

static bool sizes_hold(Verify *v, const Graph *g)
{
    uint32_t node;
    return sizes_follow(g, v->m->arena, &node) || broken(v, g, node, "it names a size that no node before it counts");
}

static bool graph_holds(Verify *v, uint32_t index)
{
    const Graph *g = v->m->graph.at[index];
    if (v->state[index] == 2) return true;
    v->state[index] = 1;
    if (g->module != v->m || g->index != index)
        return status_fail(v->st, ST_INTERNAL, "graph %s is not number %u of this module", g->name, index);
    Value next = 1;
    for (uint32_t i = 0; i < g->node.len; i++) {
        if (!numbering_holds(v, g, i, next) || !regions_hold(v, g, i) || !types_hold(v, g, i)) return false;
        next += g->node.at[i].nout;
    }
    if (next != g->value.len) return status_fail(v->st, ST_INTERNAL, "graph %s: values that no node makes", g->name);
    v->state[index] = 2;
    return ends_hold(v, g) && sizes_hold(v, g);
}

static void verify(void *arg)
{
    Verify *v = arg;
    v->ok = true;
    for (uint32_t i = 0; i < v->m->graph.len && v->ok; i++) v->ok = graph_holds(v, i);
}

bool module_verify(const Module *m, Status *st)
{
    Verify v = {.m = m, .st = st, .state = mem_zeros((size_t)m->graph.len + 1, 1)};
    if (!v.state) return status_fail(st, ST_MEMORY, "out of memory");
    bool whole = arena_try(m->arena, st, verify, &v);
    mem_free(v.state, (size_t)m->graph.len + 1);
    return whole && v.ok;
}
