/* print: the graph as text (docs/ir.md). Values are numbered anew, parameters first, so that equal
 * graphs give equal text. Relies on text.h. Never fails halfway: a lost allocation is remembered
 * in the text. */
#include "text.h"

#include <inttypes.h>

typedef struct Printer {
    Text *out;
    const Module *m;
    uint32_t *number; /* per value of the graph at hand */
    bool *again;      /* per graph: an earlier one has its name */
} Printer;

static void put(Printer *p, const char *s) { text_add(p->out, s, strlen(s)); }

static void put_dim(Printer *p, Dim d)
{
    char few[128], *text = few;
    size_t n = dim_print(&p->m->dims, d, few, sizeof few);
    if (n >= sizeof few) text = mem_alloc(n + 1);
    if (!text) {
        p->out->failed = true;
        return;
    }
    if (text != few) dim_print(&p->m->dims, d, text, n + 1);
    text_add(p->out, text, n);
    if (text != few) mem_free(text, n + 1);
}

static void put_type(Printer *p, const Type *t)
{
    put(p, dtype_info[t->dtype].name);
    put(p, "[");
    for (uint32_t i = 0; i < t->rank; i++) {
        if (i != 0) put(p, ",");
        put_dim(p, t->dim[i]);
    }
    put(p, "]");
}

static void put_values(Printer *p, const Value *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) text_printf(p->out, "%s%%%u", i == 0 ? "" : ", ", p->number[v[i]]);
}

static bool is_bare(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$#-");
    return n != 0 && name[n] == '\0';
}

/* A name that an earlier graph has already gets its index appended. */
static void put_name(Printer *p, const Graph *g)
{
    bool bare = is_bare(g->name);
    put(p, bare ? "@" : "@\"");
    for (const char *c = g->name; *c != '\0'; c++) {
        if (bare || (*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\'))
            text_add(p->out, c, 1);
        else
            text_printf(p->out, "\\%02x", (unsigned char)*c);
    }
    if (g->index < p->m->graph.len && p->again[g->index]) text_printf(p->out, "#%u", g->index);
    if (!bare) put(p, "\"");
}

static void put_attr(Printer *p, const Graph *g, const Node *n, char letter, int64_t v)
{
    char text[40];
    switch (letter) {
    case 'd':
    case 'D': put_dim(p, v); break;
    case 't':
    case 'T': put(p, dtype_info[v].name); break;
    case 'g':
    case 'G': put_name(p, p->m->graph.at[v]); break;
    case 'v':
        scalar_print((DType)graph_type(g, n->out)->dtype, v, text, sizeof text);
        put(p, text);
        break;
    default: text_printf(p->out, "%" PRId64, v);
    }
}

static void put_attrs(Printer *p, const Graph *g, const Node *n)
{
    const char *schema = op_def[n->op].attrs;
    uint32_t i = 0;
    if (schema[0] == '\0' || (schema[0] == 'T' && n->attr->len == 0)) return;
    put(p, " {");
    for (; schema[i] >= 'a' && i < n->attr->len; i++) {
        if (i != 0) put(p, ", ");
        put_attr(p, g, n, schema[i], n->attr->at[i]);
    }
    char letter = schema[i];
    if (letter == '?' || letter == 'T') {
        if (i != 0 && i < n->attr->len) put(p, ", ");
        if (i < n->attr->len) put_attr(p, g, n, letter, n->attr->at[i]);
        letter = '\0';
    }
    if (letter != '\0') put(p, i != 0 ? ", [" : "[");
    for (uint32_t first = i; letter != '\0' && i < n->attr->len; i++) {
        if (i != first) put(p, ", ");
        put_attr(p, g, n, letter, n->attr->at[i]);
    }
    put(p, letter != '\0' ? "]}" : "}");
}

static void put_node(Printer *p, const Graph *g, const Node *n)
{
    put(p, "  ");
    for (uint32_t i = 0; i < n->nout; i++) put_values(p, &(Value){n->out + i}, 1), put(p, i + 1u < n->nout ? ", " : " = ");
    put(p, op_def[n->op].name);
    put(p, "(");
    put_values(p, n->in, n->nin);
    put(p, ")");
    put_attrs(p, g, n);
    for (uint32_t i = 0; i < n->nout; i++) {
        put(p, i == 0 ? " : " : ", ");
        put_type(p, graph_type(g, n->out + i));
    }
    put(p, "\n");
}

static void number_values(Printer *p, const Graph *g)
{
    uint32_t next = 1;
    for (uint32_t i = 0; i < g->param.len; i++) p->number[g->param.at[i]] = next++;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        for (uint32_t k = 0; k < n->nout && n->op != OP_param; k++) p->number[n->out + k] = next++;
    }
}

static void put_graph(Printer *p, const Graph *g)
{
    p->number = mem_zeros(g->value.len, sizeof *p->number);
    if (!p->number) {
        p->out->failed = true;
        return;
    }
    number_values(p, g);
    put(p, "graph ");
    put_name(p, g);
    put(p, "(");
    for (uint32_t i = 0; i < g->param.len; i++) {
        text_printf(p->out, "%s%%%u: ", i == 0 ? "" : ", ", i + 1);
        put_type(p, graph_type(g, g->param.at[i]));
    }
    put(p, ") -> (");
    put_values(p, g->result.at, g->result.len);
    put(p, ") {\n");
    for (uint32_t i = 0; i < g->node.len; i++)
        if (g->node.at[i].op != OP_param) put_node(p, g, &g->node.at[i]);
    put(p, "}\n");
    mem_free(p->number, g->value.len * sizeof *p->number);
}

/* False: no memory. */
static bool mark_again(bool *again, const Module *m)
{
    Map first = {0};
    bool ok = true;
    for (uint32_t i = 0; i < m->graph.len && ok; i++) {
        const char *name = m->graph.at[i]->name;
        uint64_t key = hash_key(hash_bytes(0, name, strlen(name)));
        const uint64_t *at;
        while ((at = map_get(&first, key)) && strcmp(m->graph.at[*at]->name, name) != 0) key++;
        again[i] = at;
        ok = at || map_put(&first, key, i);
    }
    map_free(&first);
    return ok;
}

static void put_graphs(Printer *p)
{
    uint32_t n = p->m->graph.len;
    p->again = mem_zeros(n + 1, sizeof *p->again);
    if (!p->again || !mark_again(p->again, p->m)) p->out->failed = true;
    for (uint32_t i = 0; i < n && !p->out->failed; i++) {
        put(p, "\n");
        put_graph(p, p->m->graph.at[i]);
    }
    if (p->again) mem_free(p->again, (n + 1) * sizeof *p->again);
}

void module_print(Text *out, const Module *m)
{
    Printer p = {.out = out, .m = m};
    bool any = false;
    put(&p, "module {");
    for (uint32_t i = 0; i < m->dims.expr.len; i++) {
        const DimExpr *e = &m->dims.expr.at[i];
        if (e->kind != DIM_SYMBOL) continue;
        text_printf(out, "%s%s in ", any ? ", " : "\n  dims ", e->name);
        if (e->made) {
            put(&p, "loop");
        } else if (e->counted) {
            put(&p, "node ");
            put_dim(&p, e->bound);
        } else {
            text_printf(out, "[%" PRId64 ",%" PRId64 "]", e->lo, e->hi);
        }
        any = true;
    }
    put(&p, any ? "\n}\n" : "}\n");
    put_graphs(&p);
}
