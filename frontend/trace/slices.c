/* slices: where the body of a loop reads an outside value only at the loop's own index, the value becomes a stacked input, of which
 * each step sees one slice. The loop computes the same, but its gradient is stacked, too, instead of being added into a whole value
 * at each step. Relies on region.c. Never changes what a body computes. */
#include "region.h"

/* gather(param, index) along axis 0, index being the loop's own. */
static bool reads_slice(const Graph *g, const Node *n, Value param, Value index)
{
    if (n->op != OP_gather || n->in[0] != param || ATTRS(gather, n->attr->at)->axis != 0) return false;
    Value at = n->in[1];
    while (graph_maker(g, at)->op == OP_leaf) at = graph_maker(g, at)->in[0];
    return at == index;
}

static bool only_slices(const Graph *g, Value param, Value index)
{
    bool any = false;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        bool uses = false;
        for (uint32_t k = 0; k < n->nin; k++) uses |= n->in[k] == param;
        if (uses && !reads_slice(g, n, param, index)) return false;
        any |= uses;
    }
    return any;
}

/* Whether the body hands the whole value on. */
static bool leaves(const Region *r, const Frame *f, Value param)
{
    for (uint32_t i = 0; i < r->carries + r->stacked; i++)
        if (r->result[0][i] == param) return true;
    for (uint32_t i = 0; i < f->slot.len; i++)
        if (f->slot.at[i].now == param) return true;
    return false;
}

/* The parameter becomes a slice, and each read of one slice becomes that parameter, through a node of its own, so that cotangents
 * add up in the order in which those of the reads do in eager code. */
static void take_slice(Frame *f, uint32_t column, Arena *a)
{
    Graph *g = f->g;
    Value param = g->param.at[column];
    Type *t = &g->value.at[param].type;
    memmove(t->dim, t->dim + 1, --t->rank * sizeof *t->dim);
    f->column.at[column].role = COLUMN_SLICE;
    for (uint32_t i = 0; i < g->node.len; i++) {
        Node *n = &g->node.at[i];
        if (n->op != OP_gather || n->in[0] != param) continue;
        Attr *shape = arena_alloc(a, sizeof(Attr) + (t->rank + 1u) * sizeof(int64_t));
        *shape = (Attr){.len = t->rank};
        memcpy(shape->at, t->dim, t->rank * sizeof *shape->at);
        n->op = OP_reshape;
        n->nin = 1;
        n->attr = shape;
    }
}

void region_slices(const Region *r, Dim n, Arena *a)
{
    Frame *f = r->frame[0];
    if (r->op != OP_loop || r->frames != 1 || r->reverse || n == DIM_BAD || dim_is_made(&f->g->module->dims, n)) return;
    for (uint32_t i = 0; i < f->column.len; i++) {
        const Type *t = graph_type(f->g, f->g->param.at[i]);
        if (f->column.at[i].role != COLUMN_FREE || f->column.at[i].variable || t->rank == 0 || t->dim[0] != n) continue;
        Value param = f->g->param.at[i];
        if (only_slices(f->g, param, f->g->param.at[0]) && !leaves(r, f, param)) take_slice(f, i, a);
    }
}
