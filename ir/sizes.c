/* sizes: see sizes.h. Relies on graph. Never changes a graph. */
#include "sizes.h"

void size_names(const DimTable *t, Dim d, bool *named)
{
    if (!dim_is_counted(t, d)) return;
    const DimExpr *e = &t->expr.at[-1 - d];
    if (e->kind == DIM_SYMBOL) {
        named[-1 - d] = true;
        return;
    }
    size_names(t, e->a, named);
    if (e->kind != DIM_FLOORDIV) size_names(t, e->b, named);
}

static void name_type(const DimTable *t, const Type *type, bool *named)
{
    for (uint32_t i = 0; i < type->rank; i++) size_names(t, type->dim[i], named);
}

static void name_graph(const Graph *g, Arena *a, bool *named);

/* What the node names but for the size that it counts. */
static void name_node(const Graph *g, const Node *n, Arena *a, bool *named)
{
    const DimTable *t = &g->module->dims;
    const char *letter = op_def[n->op].attrs;
    if (n->op == OP_set_size) {
        size_names(t, t->expr.at[-1 - ATTRS(set_size, n->attr->at)->size].bound, named);
        return;
    }
    for (uint32_t i = 0; i < n->nin; i++) name_type(t, graph_type(g, n->in[i]), named);
    for (uint32_t i = 0; i < n->nout; i++) name_type(t, graph_type(g, n->out + i), named);
    for (uint32_t i = 0; i < n->attr->len; i++) {
        if (*letter == 'd' || *letter == 'D') size_names(t, n->attr->at[i], named);
        if (op_attr_is_graph((Op)n->op, i)) name_graph(g->module->graph.at[n->attr->at[i]], a, named);
        letter += *letter >= 'a'; /* a capital stands for all that follow */
    }
}

static Dim counted_by(const Node *n) { return n->op == OP_set_size ? ATTRS(set_size, n->attr->at)->size : 0; }

/* What a graph that runs inside names and does not count itself. */
static void name_graph(const Graph *g, Arena *a, bool *named)
{
    bool *own = ARENA_ARRAY(a, bool, g->module->dims.expr.len + 1);
    const uint32_t sizes = g->module->dims.expr.len;
    for (uint32_t i = 0; i < g->node.len; i++) name_node(g, &g->node.at[i], a, own);
    for (uint32_t i = 0; i < g->node.len; i++)
        if (counted_by(&g->node.at[i])) own[-1 - counted_by(&g->node.at[i])] = false;
    for (uint32_t i = 0; i < sizes; i++) named[i] |= own[i];
}

bool size_named(const DimTable *t, Dim d, Dim symbol)
{
    if (d == symbol || !dim_is_counted(t, d) || t->expr.at[-1 - d].kind == DIM_SYMBOL) return d == symbol;
    const DimExpr *e = &t->expr.at[-1 - d];
    return size_named(t, e->a, symbol) || (e->kind != DIM_FLOORDIV && size_named(t, e->b, symbol));
}

bool size_of_own(const Graph *g, const Type *type)
{
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t d = 0; d < type->rank && counted_by(&g->node.at[i]); d++)
            if (size_named(&g->module->dims, type->dim[d], counted_by(&g->node.at[i]))) return true;
    return false;
}

const SizeNeeds *size_needs(const Graph *g, Arena *arena)
{
    const uint32_t sizes = g->module->dims.expr.len;
    bool any = false;
    for (uint32_t i = 0; i < g->node.len && g->module->dims.counts; i++) any |= g->node.at[i].op == OP_set_size;
    if (!any) return NULL;
    SizeNeeds *needs = ARENA_NEW(arena, SizeNeeds);
    uint32_t *first = ARENA_ARRAY(arena, uint32_t, g->node.len + 2), *by = ARENA_ARRAY(arena, uint32_t, sizes + 1);
    bool *named = ARENA_ARRAY(arena, bool, sizes + 1);
    VEC(uint32_t) maker = {0};
    for (uint32_t i = 0; i < g->node.len; i++) {
        memset(named, 0, sizes);
        name_node(g, &g->node.at[i], arena, named);
        for (uint32_t s = 0; s < sizes; s++)
            if (named[s] && by[s]) *VEC_PUSH(arena, &maker) = by[s] - 1;
        if (counted_by(&g->node.at[i]) && !by[-1 - counted_by(&g->node.at[i])]) by[-1 - counted_by(&g->node.at[i])] = i + 1;
        first[i + 1] = maker.len;
    }
    *needs = (SizeNeeds){first, maker.at};
    return needs;
}

bool sizes_follow(const Graph *g, Arena *scratch, uint32_t *node)
{
    const uint32_t sizes = g->module->dims.expr.len;
    if (!g->module->dims.counts) return true;
    bool *there = ARENA_ARRAY(scratch, bool, sizes + 1), *named = ARENA_ARRAY(scratch, bool, sizes + 1);
    memset(there, g->index != 0, sizes);
    for (uint32_t i = 0; i < g->node.len; i++)
        if (counted_by(&g->node.at[i])) there[-1 - counted_by(&g->node.at[i])] = false;
    for (*node = 0; *node < g->node.len; ++*node) {
        memset(named, 0, sizes);
        name_node(g, &g->node.at[*node], scratch, named);
        for (uint32_t s = 0; s < sizes; s++)
            if (named[s] && !there[s]) return false;
        if (counted_by(&g->node.at[*node])) there[-1 - counted_by(&g->node.at[*node])] = true;
    }
    return true;
}

/* ---- what counts the same ------------------------------------------------------------------------------ */

#define LOOKED_AT 400 /* nodes */

static Value behind_leaves(const Graph *g, Value v)
{
    while (graph_maker(g, v)->op == OP_leaf) v = graph_maker(g, v)->in[0];
    return v;
}

static bool surely_same(const Graph *g, Value a, Value b, uint32_t *left)
{
    a = behind_leaves(g, a), b = behind_leaves(g, b);
    if (a == b) return true;
    const Node *x = graph_maker(g, a), *y = graph_maker(g, b);
    if (*left == 0 || x->op != y->op || x->nin != y->nin || x->attr->len != y->attr->len || a - x->out != b - y->out) return false;
    --*left;
    if (x->op == OP_param || op_def[x->op].flags & (OPF_REGION | OPF_EFFECT)) return false;
    if (memcmp(x->attr->at, y->attr->at, x->attr->len * sizeof *x->attr->at) != 0) return false;
    for (uint32_t i = 0; i < x->nin; i++)
        if (!surely_same(g, x->in[i], y->in[i], left)) return false;
    return true;
}

Dim size_counted_as(const Graph *g, Value n, Dim bound)
{
    const DimTable *t = &g->module->dims;
    for (uint32_t i = 0; i < g->node.len && t->counts; i++) {
        uint32_t left = LOOKED_AT;
        const Dim d = counted_by(&g->node.at[i]);
        if (d && t->expr.at[-1 - d].bound == bound && surely_same(g, g->node.at[i].in[0], n, &left)) return d;
    }
    return DIM_BAD;
}
