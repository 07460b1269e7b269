/* lower_branch: branch as STEP_BRANCH: the steps of every case, each leaving its results in the same buffers. Relies on lower.h. What the
 * operands and results mean is written in ir/rules_region.c. */
#include "lower.h"

static bool lower_case(Scope *s, const Node *n, const Graph *g, Block *block)
{
    Scope inner;
    scope_begin(s->lw, &inner, g);
    for (uint32_t i = 1; i < n->nin; i++) {
        uint32_t from = s->buf[scope_root(s->g, n->in[i])];
        if (from != NO_BUF) lower_read(s->lw, from);
        inner.buf[g->param.at[i - 1]] = from;
    }
    for (uint32_t i = 0; i < n->nout; i++) { /* made in place where nothing else says where */
        uint32_t *at = &inner.buf[scope_root(g, g->result.at[i])];
        if (*at == NO_BUF) *at = s->buf[n->out + i];
    }
    if (!scope_run(&inner)) return false;
    for (uint32_t i = 0; i < n->nout; i++) {
        uint32_t from = inner.buf[scope_root(g, g->result.at[i])];
        if (from != s->buf[n->out + i]) scope_copy(&inner, from, s->buf[n->out + i]);
    }
    *block = (Block){inner.step.at, inner.step.len};
    return true;
}

bool lower_branch(Scope *s, const Node *n)
{
    Lower *lw = s->lw;
    uint32_t selector = s->buf[scope_root(s->g, n->in[0])];
    for (uint32_t i = 0; i < n->nout; i++)
        if (scope_result(s, n->out + i) == NO_BUF) return false;
    Step *branch = scope_step(s, STEP_BRANCH);
    Block *block = ARENA_ARRAY(lw->arena, Block, n->attr->len);
    branch->selector = selector;
    branch->block = block;
    branch->nblock = n->attr->len;
    lower_read(lw, selector);
    for (uint32_t k = 0; k < n->attr->len; k++)
        if (!lower_case(s, n, lw->m->graph.at[n->attr->at[k]], &block[k])) return false;
    for (uint32_t i = 0; i < n->nout; i++) lower_read(lw, s->buf[n->out + i]);
    lw->clock++;
    return true;
}
