/* graph: building the SSA graph, and facts about types. Relies on graph.h, infer. Only appends: an
 * operand that exists already is never returned in place of a new node, since a tensor handle is
 * an identity. */
#include "infer.h"

static const Attr no_attr = {0};

Module *module_new(Arena *arena)
{
    Module *m = ARENA_NEW(arena, Module);
    m->arena = arena;
    dim_table_init(&m->dims, arena);
    return m;
}

Graph *graph_new(Module *m, const char *name)
{
    Graph *g = ARENA_NEW(m->arena, Graph);
    g->module = m;
    g->name = arena_copy(m->arena, name, strlen(name) + 1);
    g->index = m->graph.len;
    *VEC_PUSH(m->arena, &g->value) = (ValueDef){0};
    *VEC_PUSH(m->arena, &m->graph) = g;
    return g;
}

Module *module_copy(Arena *arena, Graph *const *graph, uint32_t n, const DimTable *dims)
{
    Module *m = module_new(arena);
    dim_table_copy(&m->dims, dims, arena);
    for (uint32_t i = 0; i < n; i++) {
        Graph *g = arena_copy(arena, graph[i], sizeof *g);
        g->module = m;
        VEC_COPY(arena, &g->node);
        VEC_COPY(arena, &g->value);
        VEC_COPY(arena, &g->param);
        VEC_COPY(arena, &g->result);
        *VEC_PUSH(arena, &m->graph) = g;
    }
    return m;
}

static const Attr *copy_attr(Arena *a, const int64_t *attr, uint32_t n)
{
    if (n == 0) return &no_attr;
    Attr *copy = arena_alloc(a, sizeof *copy + n * sizeof *attr);
    copy->len = n;
    memcpy(copy->at, attr, n * sizeof *attr);
    return copy;
}

Value graph_append_typed(
    Graph *g, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, const Type *out, uint32_t nout, Loc loc)
{
    Arena *a = g->module->arena;
    Value first = g->value.len;
    const Node n = {.op = (uint16_t)op,
        .nin = nin,
        .nout = nout,
        .loc = loc,
        .out = first,
        .in = arena_copy(a, in, nin * sizeof *in),
        .attr = copy_attr(a, attr, nattr)};
    for (uint32_t i = 0; i < nout; i++) *VEC_PUSH(a, &g->value) = (ValueDef){.type = out[i], .node = g->node.len, .result = i};
    *VEC_PUSH(a, &g->node) = n;
    if (op == OP_kernel) g->module->graph.at[ATTRS(kernel, attr)->body]->kernel = true;
    g->effect = g->effect || node_has_effect(g->module, &n);
    return first;
}

Value graph_append(Graph *g, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc, Status *st)
{
    Infer inf;
    if (!infer_node(&inf, g, op, in, nin, attr, nattr, st)) return 0;
    return graph_append_typed(g, op, in, nin, attr, nattr, inf.out, inf.nout, loc);
}

Value graph_param(Graph *g, const Type *type, Loc loc)
{
    Value v = graph_append_typed(g, OP_param, NULL, 0, ATTRS_OF(param, .number = g->param.len), type, 1, loc);
    *VEC_PUSH(g->module->arena, &g->param) = v;
    return v;
}

void graph_result(Graph *g, Value v) { *VEC_PUSH(g->module->arena, &g->result) = v; }

/* ---- types ------------------------------------------------------------------------------- */

bool type_equal(const Type *a, const Type *b)
{
    return a->dtype == b->dtype && a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

Dim type_elements(DimTable *t, const Type *type)
{
    Dim n = 1;
    for (uint32_t i = 0; i < type->rank; i++)
        if (!t || !dim_is_made(t, type->dim[i])) n = dim_mul(t, n, type->dim[i]);
    return n;
}

/* Text into what is left of buf; the running length may pass cap. */
static void put(char *buf, size_t cap, size_t *len, const char *s)
{
    size_t n = strlen(s);
    if (*len < cap) {
        size_t room = MIN_OF(n, cap - 1 - *len);
        memcpy(buf + *len, s, room);
        buf[*len + room] = '\0';
    }
    *len += n;
}

size_t type_print(const DimTable *t, const Type *type, char *buf, size_t cap)
{
    size_t len = 0;
    if (cap != 0) buf[0] = '\0';
    put(buf, cap, &len, dtype_info[type->dtype].name);
    put(buf, cap, &len, "[");
    for (uint32_t i = 0; i < type->rank; i++) {
        if (i != 0) put(buf, cap, &len, ",");
        len += dim_print(t, type->dim[i], len < cap ? buf + len : NULL, len < cap ? cap - len : 0);
    }
    put(buf, cap, &len, "]");
    return len;
}

uint64_t node_hash(const Graph *g, const Node *n)
{
    (void)g;
    uint64_t h = hash_mix(n->op, n->nin);
    for (uint32_t i = 0; i < n->nin; i++) h = hash_mix(h, n->in[i]);
    return !n->attr ? h : hash_bytes(h, n->attr->at, n->attr->len * sizeof *n->attr->at);
}

/* ---- graphs that run graphs ---------------------------------------------------------------- */

bool node_has_effect(const Module *m, const Node *n)
{
    const OpDef *def = &op_def[n->op];
    if (def->flags & OPF_EFFECT) return true;
    if (!(def->flags & OPF_REGION)) return false;
    for (uint32_t i = 0; i < n->attr->len; i++)
        if (op_attr_is_graph((Op)n->op, i) && m->graph.at[n->attr->at[i]]->effect) return true;
    return false;
}

#define EXPANSION 64         /* operations that each of a module's own may stand for on average, */
#define EXPANSION_FREE 32768 /* beyond this many */

typedef struct Expansion {
    const Module *m;
    uint64_t *size, most; /* per graph; 0: not yet */
    uint32_t worst;
} Expansion;

/* Graphs do not run themselves, and name one another only so deep (the parser and the verifier see to that). */
static uint64_t expanded(Expansion *x, uint32_t graph)
{
    const Graph *g = x->m->graph.at[graph];
    uint64_t size = 1;
    if (x->size[graph] != 0) return x->size[graph];
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        size += n->op != OP_param;
        for (uint32_t k = 0; k < n->attr->len && op_def[n->op].flags & OPF_REGION; k++)
            if (op_attr_is_graph((Op)n->op, k)) size += expanded(x, (uint32_t)n->attr->at[k]);
        size = MIN_OF(size, x->most + 1);
    }
    if (size > x->most && x->worst == UINT32_MAX) x->worst = graph;
    return x->size[graph] = size;
}

bool module_expands_fairly(const Module *m, uint32_t *graph, Status *st)
{
    Expansion x = {.m = m, .most = EXPANSION_FREE, .worst = UINT32_MAX, .size = ARENA_ARRAY(m->arena, uint64_t, m->graph.len + 1)};
    for (uint32_t i = 0; i < m->graph.len; i++) x.most += EXPANSION * (uint64_t)m->graph.at[i]->node.len;
    for (uint32_t i = 0; i < m->graph.len; i++) expanded(&x, i);
    if (x.worst == UINT32_MAX) return true;
    *graph = x.worst;
    return status_fail(st, ST_VALUE,
        "graph @%.100s stands for more than %llu operations, counting each graph as often as it is named: too many for so short a "
        "module",
        m->graph.at[x.worst]->name, (unsigned long long)x.most);
}
