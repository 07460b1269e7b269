/* survey_count: how many multiplications the products and convolutions of a part of a graph make. A tap of a convolution that lies
 * on padding counts as any other, as is the custom. Relies on survey.h. */
#include "survey.h"

#include "../../ir/loop.h"

typedef struct Count {
    uint64_t n;
    bool partly;
} Count;

static void times(Count *c, Dim size)
{
    if (size < 0 || __builtin_mul_overflow(c->n, (uint64_t)size, &c->n)) c->partly = true;
}

static void times_elements(Count *c, const Type *t)
{
    for (uint32_t i = 0; i < t->rank; i++) times(c, t->dim[i]);
}

static Count count_conv(const Graph *g, const Node *n)
{
    const Type *x = graph_type(g, n->in[0]), *w = graph_type(g, n->in[1]), *y = graph_type(g, n->out);
    int64_t spread = 1;
    for (int i = 0; i < 3; i++) spread *= ATTRS(conv, n->attr->at)->spread[i];
    Count c = {1, false};
    if (spread == 1) { /* each result meets each tap */
        times_elements(&c, y);
        for (uint32_t i = 0; i + 1 < w->rank; i++) times(&c, w->dim[i]);
        return c;
    }
    times_elements(&c, x); /* each element meets each tap, for each channel of its group */
    for (uint32_t i = 0; i + 2 < w->rank; i++) times(&c, w->dim[i]);
    times(&c, w->dim[w->rank - 1] < 0 ? -1 : w->dim[w->rank - 1] / ATTRS(conv, n->attr->at)->groups);
    return c;
}

static Count count_filter(const Graph *g, const Node *n)
{
    const Type *y = graph_type(g, n->in[1]), *w = graph_type(g, n->out);
    Count c = {1, false};
    times_elements(&c, w);
    for (uint32_t i = 0; i + 1 < y->rank; i++) times(&c, y->dim[i]);
    return c;
}

static Count count_attention(const Graph *g, const Node *n)
{
    const Type *q = graph_type(g, n->in[0]), *k = graph_type(g, n->in[1]), *v = graph_type(g, n->in[2]);
    Count c = {1, false};
    for (int i = 0; i < 2; i++) times(&c, q->dim[i]);
    times(&c, k->dim[1]);
    times(&c, q->dim[2] < 0 || v->dim[2] < 0 ? -1 : q->dim[2] + v->dim[2]);
    return c;
}

static Count count_part(const Graph *g, uint32_t from, uint32_t to);

static void add(Count *to, Count more)
{
    to->partly |= more.partly || __builtin_add_overflow(to->n, more.partly ? 0 : more.n, &to->n);
}

static Count count_whole(const Graph *g) { return count_part(g, 0, g->node.len); }

/* A loop whose turns are known only when it runs counts for one. */
static Count count_loop(const Graph *g, const Node *n)
{
    Count c = count_whole(loop_body(g->module, n->attr));
    const Dim turns = n->nin != 0 ? loop_trip(g, n->in[0]) : DIM_BAD;
    if (turns >= 0)
        times(&c, turns);
    else
        c.partly |= c.n != 0;
    return c;
}

static Count count_branch(const Graph *g, const Node *n)
{
    Count most = {0, false};
    for (uint32_t i = 0; i < n->attr->len; i++) {
        const Count c = count_whole(g->module->graph.at[ATTRS(branch, n->attr->at)->cases[i]]);
        if (c.n > most.n) most.n = c.n;
        most.partly |= c.partly || i > 0;
    }
    most.partly &= most.n != 0;
    return most;
}

static Count count_node(const Graph *g, const Node *n)
{
    Count c = {1, false};
    switch (n->op) {
    case OP_matmul:
        times_elements(&c, graph_type(g, n->out));
        times(&c, graph_type(g, n->in[0])->dim[graph_type(g, n->in[0])->rank - 1]);
        return c;
    case OP_conv: return count_conv(g, n);
    case OP_conv_filter: return count_filter(g, n);
    case OP_attention: return count_attention(g, n);
    case OP_loop: return count_loop(g, n);
    case OP_branch: return count_branch(g, n);
    default: return (Count){0, false};
    }
}

static Count count_part(const Graph *g, uint32_t from, uint32_t to)
{
    Count all = {0, false};
    for (uint32_t i = from; i < to; i++) add(&all, count_node(g, &g->node.at[i]));
    return all;
}

void survey_count(Survey *s, Bytes op, const Graph *g, uint32_t from, uint32_t to)
{
    const Count c = count_part(g, from, to);
    uint32_t i = 0;
    s->partly |= c.partly || __builtin_add_overflow(s->multiplies, c.n, &s->multiplies);
    if (c.n == 0) return;
    while (i < s->kinds && !bytes_equal(s->kind[i].op, op)) i++;
    if (i == SURVEY_KINDS) return;
    if (i == s->kinds) s->kind[s->kinds++] = (SurveyKind){op, 0};
    s->kind[i].count += c.n;
}
