/* contain: where a graph has two loops of which one computes all that the other does, keep only the longer one. The gradient of a
 * loop runs it again to keep what came into each step; this pass lets that one run also serve the users of the original loop. In:
 * any valid graph, its regions' bodies in canonical order. Out: the same results; of two loops with equal operands whose bodies are
 * equal, except that the longer one returns more at its end, only the longer one is left. */
#include "../ir/loop.h"
#include "../ir/rebuild.h"
#include "pass.h"

/* Attribute i is neither the body nor the number of stacked outputs, in which a loop and one that contains it may differ. */
static bool in_common(uint32_t i) { return i != ATTR_INDEX(loop, body) && i != ATTR_INDEX(loop, ys); }

static bool bodies_match(const Graph *a, const Graph *b)
{
    if (a == b) return true;
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

static bool contains(const Graph *g, const Node *big, const Node *small)
{
    if (big->attr->len != small->attr->len || big->nin != small->nin || memcmp(big->in, small->in, big->nin * sizeof *big->in) != 0)
        return false;
    for (uint32_t i = 0; i < big->attr->len; i++)
        if (in_common(i) && big->attr->at[i] != small->attr->at[i]) return false;
    return bodies_match(loop_body(g->module, small->attr), loop_body(g->module, big->attr)) && !node_has_effect(g->module, small);
}

/* The loops of the graph, found by a hash of what two matching loops have in common. */
typedef struct Loops {
    const Graph *g;
    Map first;      /* hash -> node + 1 */
    uint32_t *next; /* per node: the next node with the same hash, + 1 */
    uint64_t *body; /* per graph of the module: a hash of its nodes, 0: not yet */
} Loops;

static uint64_t body_hash(Loops *l, const Graph *body)
{
    uint64_t h = 1 + body->node.len;
    if (l->body[body->index] != 0) return l->body[body->index];
    for (uint32_t i = 0; i < body->node.len; i++) h = hash_mix(h, node_hash(body, &body->node.at[i]));
    return l->body[body->index] = h | 1;
}

static uint64_t loop_hash(Loops *l, const Node *n)
{
    uint64_t h = hash_bytes(hash_mix(n->op, body_hash(l, loop_body(l->g->module, n->attr))), n->in, n->nin * sizeof *n->in);
    for (uint32_t i = 0; i < n->attr->len; i++)
        if (in_common(i)) h = hash_mix(h, (uint64_t)n->attr->at[i]);
    return h;
}

static void list_loops(Loops *l)
{
    for (uint32_t i = l->g->node.len; i-- > 0;) {
        if (l->g->node.at[i].op != OP_loop) continue;
        uint64_t h = loop_hash(l, &l->g->node.at[i]), *first = map_get(&l->first, h);
        l->next[i] = first ? (uint32_t)*first : 0;
        map_put(&l->first, h, i + 1);
    }
}

/* The longest loop that contains node i; i itself if none is longer. */
static uint32_t container(Loops *l, uint32_t i)
{
    uint32_t best = i;
    const Node *node = l->g->node.at;
    for (uint64_t k = *map_get(&l->first, loop_hash(l, &node[i])); k != 0; k = l->next[k - 1])
        if (ATTRS(loop, node[k - 1].attr->at)->ys > ATTRS(loop, node[best].attr->at)->ys && contains(l->g, &node[k - 1], &node[i]))
            best = (uint32_t)k - 1;
    return best;
}

Graph *pass_contain(PassCtx *ctx, const Graph *in)
{
    Rebuild rb;
    bool any = false;
    for (uint32_t i = 0; i < in->node.len; i++) any |= in->node.at[i].op == OP_loop;
    if (!any) return (Graph *)(uintptr_t)in;
    Loops loops = {.g = in, .first = {.arena = ctx->scratch}};
    loops.next = ARENA_ARRAY(ctx->scratch, uint32_t, in->node.len + 1);
    loops.body = ARENA_ARRAY(ctx->scratch, uint64_t, in->module->graph.len);
    list_loops(&loops);
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++) {
        const Node *n = &in->node.at[i];
        uint32_t with = n->op == OP_loop ? container(&loops, i) : i;
        Value v = rebuild_copy(&rb, with); /* the two loops have the same operands, which are copied already */
        if (with == i || v == 0) continue;
        const bool counted = loop_condition(in->module, n->attr); /* the number of steps is the last result */
        for (uint32_t k = 0; k + counted < n->nout; k++) rebuild_set(&rb, n->out + k, v + k);
        if (counted) rebuild_set(&rb, n->out + n->nout - 1u, v + in->node.at[with].nout - 1u);
    }
    return rebuild_end(&rb);
}
