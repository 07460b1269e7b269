/* contain: a loop that another one contains is that one. The gradient of a loop runs it again to keep what came into each step; where both
 * are there, one run serves both. In: any valid graph, its regions' bodies in canonical order. Out: the same results; of two scans or
 * whiles with equal operands whose bodies are equal but for results that the longer one adds at the end, only the longer one is left. */
#include "../ir/rebuild.h"
#include "pass.h"

static bool is_loop(const Node *n) { return n->op == OP_scan || n->op == OP_while; }

static const Graph *body_of(const Graph *g, const Node *n)
{
    return g->module->graph.at[n->attr->at[n->op == OP_while ? 1 : 0]];
}

static uint32_t stacked(const Node *n) { return (uint32_t)n->attr->at[3]; }

static bool bodies_match(const Graph *a, const Graph *b)
{
    if (a->node.len != b->node.len || a->param.len != b->param.len || a->result.len > b->result.len) return false;
    for (uint32_t i = 0; i < a->node.len; i++) {
        const Node *x = &a->node.at[i], *y = &b->node.at[i];
        if (x->op != y->op || x->nin != y->nin || x->nout != y->nout || x->out != y->out || x->attr->len != y->attr->len ||
            memcmp(x->in, y->in, x->nin * sizeof *x->in) != 0 ||
            memcmp(x->attr->at, y->attr->at, x->attr->len * sizeof *x->attr->at) != 0)
            return false;
    }
    return memcmp(a->result.at, b->result.at, a->result.len * sizeof *a->result.at) == 0;
}

/* All attributes but the body and the number of stacked outputs, which is attribute 3 of both. */
static bool contains(const Graph *g, const Node *big, const Node *small)
{
    if (big->op != small->op || big->nin != small->nin || memcmp(big->in, small->in, big->nin * sizeof *big->in) != 0) return false;
    for (uint32_t i = 0; i < big->attr->len; i++)
        if (i != 3 && i != (big->op == OP_while) && big->attr->at[i] != small->attr->at[i]) return false;
    return bodies_match(body_of(g, small), body_of(g, big)) && !node_has_effect(g->module, small);
}

/* The longest loop that contains node i; i itself if none is longer. */
static uint32_t container(const Graph *g, uint32_t i)
{
    uint32_t best = i;
    for (uint32_t k = 0; k < g->node.len; k++)
        if (is_loop(&g->node.at[k]) && stacked(&g->node.at[k]) > stacked(&g->node.at[best]) &&
            contains(g, &g->node.at[k], &g->node.at[i]))
            best = k;
    return best;
}

Graph *pass_contain(PassCtx *ctx, const Graph *in)
{
    Rebuild rb;
    bool any = false;
    for (uint32_t i = 0; i < in->node.len; i++) any |= is_loop(&in->node.at[i]);
    if (!any) return (Graph *)(uintptr_t)in;
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++) {
        const Node *n = &in->node.at[i];
        uint32_t with = is_loop(n) ? container(in, i) : i;
        Value v = rebuild_copy(&rb, with); /* its operands are this one's: they are there already */
        if (with == i || v == 0) continue;
        const uint32_t same = n->op == OP_while ? n->nout - 1u : n->nout;
        for (uint32_t k = 0; k < same; k++) rebuild_set(&rb, n->out + k, v + k);
        if (n->op == OP_while) rebuild_set(&rb, n->out + same, v + in->node.at[with].nout - 1u);
    }
    return rebuild_end(&rb);
}
