/* lower_branch: lowers a branch to STEP_BRANCH: the steps of every case, which all leave their results in the same buffers. A case
 * may return one of its inputs unchanged, for example where state changes only sometimes. If that input is not needed afterwards,
 * the result lies in its buffer, and the case does nothing. Relies on lower.h. ir/op_region.c says what the operands and results
 * mean. */
#include "lower.h"

/* ---- results in place -------------------------------------------------------------------------- */

/* Whether the buffer of the value that `root` names is this scope's own: made here, or a carry. */
static bool is_own(const Scope *s, Value root)
{
    const Node *n = graph_maker(s->g, root);
    const uint8_t kind = s->lw->p->buf.at[s->buf[root]].kind;
    if (n->op != OP_param) return kind == BUF_TEMP || kind == BUF_OUTPUT;
    const int64_t number = ATTRS(param, n->attr->at)->number;
    return number >= 1 && number <= (int64_t)s->carries;
}

static void find_last_readers(Scope *s)
{
    const Graph *g = s->g;
    s->last = ARENA_ARRAY(s->lw->scratch, uint32_t, g->value.len);
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t k = 0; k < g->node.at[i].nin; k++) s->last[scope_root(g, g->node.at[i].in[k])] = i;
    for (uint32_t i = 0; i < g->result.len; i++) s->last[scope_root(g, g->result.at[i])] = UINT32_MAX;
}

/* Whether operand number `operand` of n is the last read of the value, and the scope does not return it. */
static bool dies_here(Scope *s, const Node *n, uint32_t operand, Value root)
{
    if (!s->last) find_last_readers(s);
    if (s->last[root] != (uint32_t)(n - s->g->node.at)) return false;
    for (uint32_t k = 0; k < n->nin; k++)
        if (k != operand && scope_root(s->g, n->in[k]) == root) return false;
    return true;
}

/* The operand that some case returns as result i; 0 if none does. */
static uint32_t handed_on(const Scope *s, const Node *n, uint32_t i)
{
    for (uint32_t k = 0; k < n->attr->len; k++) {
        const Graph *g = s->lw->m->graph.at[ATTRS(branch, n->attr->at)->cases[k]];
        const Node *root = graph_maker(g, scope_root(g, g->result.at[i]));
        if (root->op == OP_param) return 1 + (uint32_t)ATTRS(param, root->attr->at)->number;
    }
    return 0;
}

static uint32_t result_buffer(Scope *s, const Node *n, uint32_t i, bool *taken)
{
    uint32_t operand = s->buf[n->out + i] == NO_BUF ? handed_on(s, n, i) : 0;
    if (operand != 0 && !taken[operand]) {
        Value root = scope_root(s->g, n->in[operand]);
        if (s->buf[root] != NO_BUF && is_own(s, root) && dies_here(s, n, operand, root)) {
            taken[operand] = true;
            return s->buf[n->out + i] = s->buf[root];
        }
    }
    return scope_result(s, n->out + i);
}

/* ---- cases --------------------------------------------------------------------------------------- */

static bool lower_case(Scope *s, const Node *n, const Graph *g, const bool *in_place, Block *block)
{
    Scope inner;
    scope_begin(s->lw, &inner, g);
    for (uint32_t i = 1; i < n->nin; i++) {
        uint32_t from = s->buf[scope_root(s->g, n->in[i])];
        if (from != NO_BUF) lower_read(s->lw, from);
        inner.buf[g->param.at[i - 1]] = from;
    }
    const uint32_t *to = s->buf + n->out;
    /* The result is computed where it belongs, unless it already has a buffer or something may still read there. */
    for (uint32_t i = 0; i < n->nout; i++) {
        uint32_t *at = &inner.buf[scope_root(g, g->result.at[i])];
        if (*at == NO_BUF && !in_place[i]) *at = to[i];
    }
    if (!scope_run(&inner) || !scope_results(&inner, to, in_place)) return false;
    *block = scope_end(&inner);
    return true;
}

bool lower_branch(Scope *s, const Node *n)
{
    Lower *lw = s->lw;
    uint32_t selector = s->buf[scope_root(s->g, n->in[0])];
    bool *taken = ARENA_ARRAY(lw->scratch, bool, n->nin + 1u), *in_place = ARENA_ARRAY(lw->scratch, bool, n->nout + 1u);
    for (uint32_t i = 0; i < n->nout; i++) {
        const uint32_t before = lw->p->buf.len;
        const bool had = s->buf[n->out + i] != NO_BUF;
        if (result_buffer(s, n, i, taken) == NO_BUF) return false;
        in_place[i] = !had && lw->p->buf.len == before;
    }
    Step *branch = scope_step(s, STEP_BRANCH);
    Block *block = ARENA_ARRAY(lw->arena, Block, n->attr->len);
    branch->selector = selector;
    branch->block = block;
    branch->nblock = n->attr->len;
    lower_read(lw, selector);
    for (uint32_t k = 0; k < n->attr->len; k++)
        if (!lower_case(s, n, lw->m->graph.at[ATTRS(branch, n->attr->at)->cases[k]], in_place, &block[k])) return false;
    for (uint32_t i = 0; i < n->nout; i++) lower_read(lw, s->buf[n->out + i]);
    lw->clock++;
    return true;
}
