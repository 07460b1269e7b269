/* transplant: see transplant.h. Relies on graph, dim. Never runs anything. */
#include "transplant.h"

void transplant_begin(Transplant *t, Graph *const *graph, uint32_t graphs, const DimTable *dims, Module *to, Status *st)
{
    *t = (Transplant){.graph = graph, .graphs = graphs, .dims = dims, .to = to, .st = st};
    t->size = ARENA_ARRAY(to->arena, Dim, dims->expr.len + 1);
    t->copy = ARENA_ARRAY(to->arena, Graph *, graphs + 1);
    for (uint32_t i = 0; i < dims->expr.len; i++) t->size[i] = DIM_BAD;
}

static Dim size_of(Transplant *t, Dim d);

/* Sizes that loops make are made anew here, because the loops are other loops; and so are those that nodes count. */
static void make_size(Transplant *t, const DimExpr *e, uint32_t expr)
{
    DimTable *to = &t->to->dims;
    const Dim bound = e->counted ? size_of(t, e->bound) : DIM_BAD;
    t->size[expr] = e->counted ? dim_counted(to, dim_fresh(to, t->to->arena, "count"), bound)
                               : dim_made(to, dim_fresh(to, t->to->arena, "steps"));
}

/* Every symbol in d has a size. */
static void make_sizes(Transplant *t, Dim d)
{
    if (d >= 0 || d == DIM_BAD) return;
    const DimExpr *e = &t->dims->expr.at[-1 - d];
    if (e->kind == DIM_SYMBOL && (e->made || e->counted) && t->size[-1 - d] == DIM_BAD) make_size(t, e, (uint32_t)(-1 - d));
    if (e->kind == DIM_SYMBOL || e->kind == DIM_NEGATIVE || !e->counted) return;
    make_sizes(t, e->a);
    if (e->kind != DIM_FLOORDIV) make_sizes(t, e->b);
}

static Dim size_of(Transplant *t, Dim d)
{
    if (d >= 0 || d == DIM_BAD) return d;
    make_sizes(t, d);
    return dim_replace(&t->to->dims, t->dims, d, t->size);
}

static Graph *graph_of(Transplant *t, uint32_t index)
{
    const Graph *from = t->graph[index];
    if (t->copy[index]) return t->copy[index];
    Graph *g = t->copy[index] = graph_new(t->to, arena_printf(t->to->arena, "%s_again%u", from->name, t->to->graph.len));
    Value *map = ARENA_ARRAY(t->to->arena, Value, from->value.len);
    for (uint32_t i = 0; i < from->param.len; i++) {
        const Value p = from->param.at[i];
        Type type = *graph_type(from, p);
        for (uint32_t d = 0; d < type.rank; d++) type.dim[d] = size_of(t, type.dim[d]);
        map[p] = graph_param(g, &type, graph_maker(from, p)->loc);
    }
    if (!transplant(t, g, from, map)) return NULL;
    for (uint32_t i = 0; i < from->result.len; i++) graph_result(g, map[from->result.at[i]]);
    return g;
}

/* False: a graph that could not be copied. */
static bool attributes(Transplant *t, const Node *n, int64_t *attr)
{
    const char *letter = op_def[n->op].attrs;
    for (uint32_t i = 0; i < n->attr->len; i++) {
        attr[i] = n->attr->at[i];
        if (*letter == 'g' || *letter == 'G') {
            const Graph *g = graph_of(t, (uint32_t)attr[i]);
            if (!g) return false;
            attr[i] = g->index;
        } else if (*letter == 'd' || *letter == 'D') {
            attr[i] = size_of(t, attr[i]);
        }
        letter += *letter >= 'a'; /* a capital stands for all that follow */
    }
    return true;
}

static bool append(Transplant *t, Graph *g, const Node *n, Value *map)
{
    if (op_def[n->op].flags & OPF_EFFECT)
        return status_fail(t->st, ST_UNSUPPORTED,
            "%s: the gradient of a compiled call computes its body again, but C code (%s:%d) is called once; open the tape inside "
            "the function",
            op_def[n->op].name, n->loc.file ? n->loc.file : "?", n->loc.line);
    Value *in = ARENA_ARRAY(t->to->arena, Value, n->nin + 1);
    int64_t *attr = ARENA_ARRAY(t->to->arena, int64_t, n->attr->len + 1);
    for (uint32_t k = 0; k < n->nin; k++) in[k] = map[n->in[k]];
    if (!attributes(t, n, attr)) return false;
    const Value out = graph_append(g, (Op)n->op, in, n->nin, attr, n->attr->len, n->loc, t->st);
    for (uint32_t k = 0; k < n->nout; k++) map[n->out + k] = out + k;
    return out != 0;
}

bool transplant(Transplant *t, Graph *g, const Graph *from, Value *map)
{
    for (uint32_t i = 0; i < from->node.len; i++) {
        const Node *n = &from->node.at[i];
        if (n->op != OP_param && n->nout != 0 && !append(t, g, n, map))
            return false; /* without results, all that it has is effects */
    }
    return true;
}
