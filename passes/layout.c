/* layout: keeps values in the layout of what they are made from. In: any valid graph, best after simplify. Out: the same results.
 * Where elements are turned, computed with, joined, and turned back by all who ask for them, as between convolutions whose channels
 * are not last in the program, nothing is turned: elementwise nodes and concats move behind the transpose, which ends there. What
 * else they read is turned in its place. Takes time by the nodes. Never adds a transpose in front of what nobody turns back. */
#include "../ir/rebuild.h"
#include "pass.h"

typedef struct Layout {
    const Graph *in;
    Rebuild rb;
    const Node **want; /* per value: the transpose that all who ask for it are, or want of theirs; NULL: none */
    bool *asked;
    Value *turned; /* per value of `in`: it as it is wanted, of the new graph; 0: it is not there */
} Layout;

static bool same_turn(const Node *a, const Node *b)
{
    return a->attr->len == b->attr->len && memcmp(a->attr->at, b->attr->at, a->attr->len * sizeof *a->attr->at) == 0;
}

/* Its elements depend on those of its operands at the same place, or on one of them. */
static bool moves_along(const Node *n)
{
    const unsigned flags = op_def[n->op].flags;
    return n->nout == 1 && n->nin > 0 && ((flags & (OPF_ELEMENTWISE | OPF_CAST)) || n->op == OP_concat);
}

static void ask(Layout *l, Value v, const Node *turn)
{
    if (l->asked[v] && (!turn || !l->want[v] || !same_turn(turn, l->want[v]))) turn = NULL;
    l->asked[v] = true;
    l->want[v] = turn;
}

static void find_wishes(Layout *l)
{
    const Graph *g = l->in;
    for (uint32_t i = 0; i < g->result.len; i++) ask(l, g->result.at[i], NULL);
    for (uint32_t i = g->node.len; i-- > 0;) {
        const Node *n = &g->node.at[i];
        const Node *turn = n->op == OP_transpose ? n : moves_along(n) ? l->want[n->out] : NULL;
        for (uint32_t k = 0; k < n->nin; k++) ask(l, n->in[k], turn);
    }
}

/* Whether turning v again gives what it was made from. */
static bool turns_back(const Layout *l, Value v, const Node *turn)
{
    const Node *n = graph_maker(l->in, v);
    if (n->op != OP_transpose || n->attr->len != turn->attr->len) return false;
    const int64_t *from = ATTRS(transpose, n->attr->at)->from, *then = ATTRS(transpose, turn->attr->at)->from;
    for (uint32_t i = 0; i < turn->attr->len; i++)
        if (from[then[i]] != i) return false;
    return true;
}

static bool gains(const Layout *l, const Node *n)
{
    const Node *turn = moves_along(n) ? l->want[n->out] : NULL;
    for (uint32_t k = 0; turn && k < n->nin; k++)
        if (l->turned[n->in[k]] != 0 || turns_back(l, n->in[k], turn)) return true;
    return false;
}

/* The node, of turned operands; 0: an error. */
static Value turned_node(Layout *l, const Node *n, PassCtx *ctx)
{
    const Node *turn = l->want[n->out];
    const int64_t *from = ATTRS(transpose, turn->attr->at)->from, *attr = n->attr->at;
    Value *in = ARENA_ARRAY(ctx->scratch, Value, n->nin);
    int64_t axis = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        in[k] = l->turned[n->in[k]];
        if (in[k] == 0)
            in[k] = rebuild_op(&l->rb, OP_transpose, &l->rb.map[n->in[k]], 1, turn->attr->at, turn->attr->len, turn->loc);
        if (in[k] == 0) return 0;
    }
    if (n->op == OP_concat) {
        while (from[axis] != ATTRS(concat, attr)->axis) axis++;
        attr = &axis;
    }
    return rebuild_op(&l->rb, (Op)n->op, in, n->nin, attr, n->attr->len, n->loc);
}

Graph *pass_layout(PassCtx *ctx, const Graph *in)
{
    const uint32_t values = in->value.len;
    bool some = false;
    Layout l = {
        .in = in, .want = ARENA_ARRAY(ctx->scratch, const Node *, values), .asked = ARENA_ARRAY(ctx->scratch, bool, values)};
    l.turned = ARENA_ARRAY(ctx->scratch, Value, values);
    find_wishes(&l);
    rebuild_begin(&l.rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++) {
        const Node *n = &in->node.at[i];
        if (gains(&l, n)) {
            l.turned[n->out] = turned_node(&l, n, ctx);
            some = true;
        } else if (n->op == OP_transpose && l.turned[n->in[0]] != 0) {
            rebuild_set(&l.rb, n->out, l.turned[n->in[0]]);
        } else {
            rebuild_copy(&l.rb, i);
        }
    }
    return some ? rebuild_end(&l.rb) : (Graph *)(uintptr_t)in;
}
