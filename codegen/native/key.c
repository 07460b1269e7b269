/* key: what code is kept under: all that decides what a program compiles to, as bytes. That is the graph as the passes left it,
 * word for word, with its table of sizes (lowering and emission are functions of it), the choices that the passes and lowering were
 * given, this build, and the CPU. Left out are names and places in sources, which are not in the code. Relies on graph. */
#include "key.h"

#include "machine.h"

#include "kiln_config.h"

static void put(Text *out, int64_t x) { text_add(out, (const char *)&x, sizeof x); }

static void put_type(Text *out, const Type *t)
{
    put(out, (int64_t)t->dtype << 8 | t->rank);
    text_add(out, (const char *)t->dim, t->rank * sizeof *t->dim);
}

static void put_values(Text *out, const Value *v, uint32_t n)
{
    put(out, n);
    text_add(out, (const char *)v, n * sizeof *v);
}

static void put_node(Text *out, const Graph *g, const Node *n)
{
    put(out, (int64_t)n->op << 32 | n->nout);
    put(out, n->out);
    put_values(out, n->in, n->nin);
    put(out, n->attr->len);
    text_add(out, (const char *)n->attr->at, n->attr->len * sizeof *n->attr->at);
    for (uint32_t i = 0; i < n->nout; i++) put_type(out, graph_type(g, n->out + i));
}

static void put_graph(Text *out, const Graph *g)
{
    put(out, (int64_t)g->kernel << 32 | g->node.len);
    put_values(out, g->param.at, g->param.len);
    put_values(out, g->result.at, g->result.len);
    for (uint32_t i = 0; i < g->node.len; i++) put_node(out, g, &g->node.at[i]);
}

/* In the order of the table, which is that of the entry's symbols. */
static void put_dims(Text *out, const DimTable *t)
{
    put(out, t->expr.len);
    for (uint32_t i = 0; i < t->expr.len; i++) {
        const DimExpr *e = &t->expr.at[i];
        put(out, (int64_t)e->kind << 2 | e->counted << 1 | e->made);
        const int64_t all[] = {e->a, e->b, e->lo, e->hi, e->bound};
        text_add(out, (const char *)all, sizeof all);
    }
}

void key_of(Text *out, const Program *p, const CompileOptions *o)
{
    const Module *m = p->module;
    text_printf(out, "kiln %s\n", KILN_CONFIG_MARK);
    machine_text(out);
    put(out, o->host_products | o->marks << 1);
    put_dims(out, &m->dims);
    put(out, m->graph.len);
    for (uint32_t i = 0; i < m->graph.len; i++) put_graph(out, m->graph.at[i]);
}
