/* reach: see reach.h. A loop's body is followed again until its carries reach no more values than before. */
#include "reach.h"

#include "../ir/loop.h"

static bool is_float(const Graph *g, Value v) { return dtype_is_float((DType)graph_type(g, v)->dtype); }

static bool passes_gradient(const Graph *g, const Node *n, uint32_t operand)
{
    const OpDef *d = &op_def[n->op];
    if (n->nout == 0 || !is_float(g, n->in[operand]) || (n->nout == 1 && !is_float(g, n->out))) return false;
    if (d->flags & OPF_ELEMENTWISE && !(d->flags & OPF_CAST))
        return d->grad[operand] && d->grad[operand][0].kind != GK_NONE && d->grad[operand][0].kind != GK_END;
    return d->vjp && !(n->op == OP_leaf && ATTRS(leaf, n->attr->at)->stops == 1);
}

/* True if that made *to more. */
static bool join(Reach *to, Reach from)
{
    if (from.how <= to->how) return false;
    *to = from;
    return true;
}

static void follow(Arena *a, const Graph *g, uint32_t first, uint32_t last, Reach *r);

static bool follow_operands(Reach *to, const Value *param, const Reach *outer, const Value *in, uint32_t n)
{
    bool more = false;
    for (uint32_t i = 0; i < n; i++) more |= join(&to[param[i]], outer[in[i]]);
    return more;
}

static void follow_loop(Arena *a, const Graph *g, const Node *n, Reach *r)
{
    const struct loop_attrs *l = ATTRS(loop, n->attr->at);
    const Graph *body = loop_body(g->module, n->attr);
    Reach *inner = arena_zeros(a, body->value.len, sizeof *inner);
    follow_operands(inner, body->param.at + 1, r, n->in + 1, n->nin - 1u);
    for (bool more = true; more;) {
        follow(a, body, 0, body->node.len, inner);
        more = follow_operands(inner, body->param.at + 1, inner, body->result.at, (uint32_t)l->carries);
    }
    for (uint32_t i = 0; i < body->result.len; i++) join(&r[n->out + i], inner[body->result.at[i]]);
    const bool turns = !loop_condition(g->module, n->attr) && dim_is_const(l->steps) && l->steps > 0;
    for (uint32_t i = 0; i < l->carries && !turns; i++) join(&r[n->out + i], r[n->in[1 + i]]);
}

static void follow_branch(Arena *a, const Graph *g, const Node *n, Reach *r)
{
    for (uint32_t k = 0; k < n->attr->len; k++) {
        const Graph *body = g->module->graph.at[ATTRS(branch, n->attr->at)->cases[k]];
        Reach *inner = arena_zeros(a, body->value.len, sizeof *inner);
        follow_operands(inner, body->param.at, r, n->in + 1, n->nin - 1u);
        follow(a, body, 0, body->node.len, inner);
        for (uint32_t i = 0; i < body->result.len; i++) join(&r[n->out + i], inner[body->result.at[i]]);
    }
}

static void follow_node(Arena *a, const Graph *g, const Node *n, Reach *r)
{
    if (n->op == OP_loop) {
        follow_loop(a, g, n, r);
    } else if (n->op == OP_branch) {
        follow_branch(a, g, n, r);
    } else {
        Reach all = {0};
        for (uint32_t i = 0; i < n->nin; i++) {
            Reach from = r[n->in[i]];
            if (from.how == REACH_BY_GRADIENT && !passes_gradient(g, n, i)) from = (Reach){REACH_WITHOUT_GRADIENT, n};
            join(&all, from);
        }
        for (uint32_t i = 0; i < n->nout; i++) join(&r[n->out + i], all);
    }
}

static void follow(Arena *a, const Graph *g, uint32_t first, uint32_t last, Reach *r)
{
    for (uint32_t i = first; i < last; i++) follow_node(a, g, &g->node.at[i], r);
}

Reach *reach_from(Arena *arena, const Graph *g, uint32_t first, uint32_t last, const NodeRange *gap, uint32_t ngap,
    const Value *leaf, uint32_t leaves)
{
    Reach *r = arena_zeros(arena, g->value.len, sizeof *r);
    for (uint32_t i = 0; i < leaves; i++) r[leaf[i]] = (Reach){REACH_BY_GRADIENT, NULL};
    for (uint32_t i = 0; i < ngap; i++) {
        follow(arena, g, first, MIN_OF(gap[i].first, last), r);
        first = MAX_OF(first, gap[i].last);
    }
    follow(arena, g, first, last, r);
    return r;
}
