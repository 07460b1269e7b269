/* lower_loop: lowers loops to STEP_LOOP: the body's steps nested in it, carries in buffers of their own, stacked values as slices.
 * Relies on lower.h. ir/op_region.c says what the operands and results mean. */
#include "../../ir/loop.h"
#include "lower.h"

typedef struct Loop {
    const Node *n;
    const struct loop_attrs *is;
    const Graph *body, *condition; /* condition: NULL if it has none */
    uint32_t id;
    uint32_t index; /* its buffer; NO_BUF if nobody asks */
    uint32_t *to;   /* buffers of the carries, then the slices of the stacked outputs */
    uint32_t invariants;
    PanelsList panels;
} Loop;

static uint32_t slice(Scope *s, const Loop *l, uint32_t of, const Type *element)
{
    uint32_t b = lower_buf(s->lw, BUF_SLICE, element);
    if (b == NO_BUF) return b;
    Buf *buf = &s->lw->p->buf.at[b];
    buf->of = of;
    buf->loop = l->id;
    buf->stride = type_elements(s->lw->dims, element);
    lower_dim(s->lw, buf->stride);
    return b;
}

static bool is_read(const Graph *g, Value v)
{
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t k = 0; k < g->node.at[i].nin; k++)
            if (g->node.at[i].in[k] == v) return true;
    for (uint32_t i = 0; i < g->result.len; i++)
        if (g->result.at[i] == v) return true;
    return false;
}

static void make_index(Scope *s, Loop *l)
{
    const Graph *g = l->body;
    l->index = NO_BUF;
    if (!is_read(g, g->param.at[0]) && (!l->condition || !is_read(l->condition, l->condition->param.at[0]))) return;
    l->index = lower_buf(s->lw, BUF_TEMP, graph_type(g, g->param.at[0]));
    lower_read(s->lw, l->index);
}

/* The body's parameters: index, carries, slices, invariants. */
static bool bind_params(Scope *s, Scope *inner, const Loop *l)
{
    const Graph *g = inner->g;
    inner->buf[g->param.at[0]] = l->index;
    for (uint32_t i = 1; i < l->n->nin; i++) {
        uint32_t from = s->buf[scope_root(s->g, l->n->in[i])];
        Value p = g->param.at[i];
        if (i <= l->is->carries)
            inner->buf[p] = l->to[i - 1];
        else if (i <= l->is->carries + l->is->xs)
            inner->buf[p] = slice(s, l, from, graph_type(g, p));
        else
            inner->buf[p] = from;
    }
    return s->lw->st->code == ST_OK;
}

/* A result that the body computes is written directly to where it belongs, a stacked result to its slice; other results are copied
 * at the end of the step. */
static bool bind_results(Scope *s, Scope *inner, const Loop *l)
{
    const Graph *body = l->body;
    for (uint32_t i = 0; i < l->is->ys; i++) {
        Value y = body->result.at[l->is->carries + i], root = scope_root(body, y);
        uint32_t stacked = scope_result(s, l->n->out + l->is->carries + i);
        if (stacked == NO_BUF) return false;
        l->to[l->is->carries + i] = slice(s, l, stacked, graph_type(body, y));
        if (l->to[l->is->carries + i] == NO_BUF) return false;
        if (inner->buf[root] == NO_BUF) inner->buf[root] = l->to[l->is->carries + i];
    }
    return true;
}

static bool end_of_step(Scope *inner, const Loop *l)
{
    bool *late = ARENA_ARRAY(inner->lw->scratch, bool, l->is->carries + l->is->ys + 1);
    for (uint32_t i = 0; i < l->is->carries; i++) late[i] = true;
    return scope_results(inner, l->to, late);
}

/* Every buffer that a loop touches stays alive as long as the loop runs. */
void lower_lives(Lower *lw, uint32_t since, uint32_t first, uint32_t last)
{
    for (uint32_t i = since; i < lw->touched.len; i++) {
        Buf *b = &lw->p->buf.at[lw->touched.at[i]];
        b->last = MAX_OF(b->last, last);
        b->first = MIN_OF(b->first, first);
    }
}

bool loop_reads_trip(const Scope *s, const Node *n)
{
    return !loop_condition(s->lw->m, n->attr) && loop_trip(s->g, scope_root(s->g, n->in[0])) == DIM_BAD;
}

/* Lowers the condition's steps and finds the buffer in which they say whether to go on. */
static bool lower_condition(Scope *s, const Loop *l, Block *block, uint32_t *selector)
{
    Scope inner;
    scope_begin(s->lw, &inner, l->condition);
    if (!bind_params(s, &inner, l) || !scope_run(&inner)) return false;
    *selector = inner.buf[scope_root(l->condition, l->condition->result.at[0])];
    if (*selector == NO_BUF)
        return status_fail(s->lw->st, ST_INTERNAL, "lowering %s: the loop has no condition", l->condition->name);
    lower_read(s->lw, *selector);
    *block = scope_end(&inner);
    return true;
}

static bool lower_body(Scope *s, const Loop *l, Block *block)
{
    Scope inner;
    scope_begin(s->lw, &inner, l->body);
    inner.carries = l->is->carries;
    inner.invariants = l->invariants;
    inner.panels = &l->panels;
    if (!bind_params(s, &inner, l) || !bind_results(s, &inner, l)) return false;
    if (!scope_run(&inner) || !end_of_step(&inner, l)) return false;
    *block = scope_end(&inner);
    return true;
}

/* Fills stacks of a known height with zeros if the loop may end before it has written all their slices. */
static bool zero_stacks(Scope *s, const Loop *l)
{
    if (!dim_is_const(l->is->steps) || (!l->condition && !loop_reads_trip(s, l->n))) return true;
    for (uint32_t i = l->is->carries; i < l->is->carries + l->is->ys; i++) {
        uint32_t stacked = scope_result(s, l->n->out + i);
        if (stacked == NO_BUF || !scope_fill(s, graph_type(s->g, l->n->out + i), 0, l->n->loc, stacked)) return false;
    }
    return true;
}

enum { FEW_TURNS = 4 }; /* for which no panels are laid out */

static bool turns_often(const Scope *s, const Loop *l)
{
    const Dim trip = l->condition ? DIM_BAD : loop_trip(s->g, scope_root(s->g, l->n->in[0]));
    return trip == DIM_BAD || dim_hi(s->lw->dims, trip) > FEW_TURNS;
}

bool lower_loop(Scope *s, const Node *n)
{
    Lower *lw = s->lw;
    Loop l = {
        .n = n, .is = ATTRS(loop, n->attr->at), .body = loop_body(lw->m, n->attr), .condition = loop_condition(lw->m, n->attr)};
    l.id = lw->loops++;
    l.to = ARENA_ARRAY(lw->scratch, uint32_t, l.is->carries + l.is->ys + 1);
    for (uint32_t i = 0; i < l.is->carries; i++) {
        l.to[i] = scope_result(s, n->out + i);
        if (l.to[i] == NO_BUF) return false;
        scope_copy(s, s->buf[scope_root(s->g, n->in[1 + i])], l.to[i]);
    }
    if (turns_often(s, &l)) l.invariants = 1 + l.is->carries + l.is->xs;
    if (!zero_stacks(s, &l) || !lower_panels(s, n, l.body, l.invariants, &l.panels)) return false;
    Step *loop = scope_step(s, STEP_LOOP);
    const uint32_t at_step = s->step.len - 1, first = lw->clock, since = lw->touched.len;
    loop->trip = loop->count = loop->selector = UINT32_MAX;
    loop->id = l.id;
    loop->reverse = l.is->reverse;
    loop->nblock = l.condition ? 2 : 1;
    Block *block = loop->block = ARENA_ARRAY(lw->arena, Block, 2);
    if (loop_reads_trip(s, n)) {
        const bool stacks = l.is->xs + l.is->ys > 0 && !dim_is_made(lw->dims, l.is->steps);
        loop->trip = s->buf[scope_root(s->g, n->in[0])];
        loop->trip_dim = stacks ? l.is->steps : DIM_BAD;
        if (stacks) lower_dim(lw, loop->trip_dim);
        lower_read(lw, loop->trip);
    } else if (!l.condition) {
        loop->trip_dim = loop_trip(s->g, scope_root(s->g, n->in[0]));
        lower_dim(lw, loop->trip_dim);
    }
    for (uint32_t i = 1; i < n->nin; i++)
        if (s->buf[scope_root(s->g, n->in[i])] != NO_BUF) lower_read(lw, s->buf[scope_root(s->g, n->in[i])]);
    make_index(s, &l);
    uint32_t selector = UINT32_MAX, count = UINT32_MAX;
    if (l.condition) {
        loop->loc = n->loc;
        loop->trip_dim = dim_is_const(l.is->steps) ? l.is->steps : DIM_BAD;
        lw->p->may_fail |= loop->trip_dim != DIM_BAD;
        count = scope_result(s, n->out + l.is->carries + l.is->ys);
        if (count == NO_BUF || !lower_condition(s, &l, &block[1], &selector)) return false;
        lower_read(lw, count);
    }
    if (!lower_body(s, &l, &block[0])) return false;
    loop = &s->step.at[at_step]; /* the steps may have moved */
    loop->index = l.index;
    loop->selector = selector;
    loop->count = count;
    lower_lives(lw, since, first, lw->clock);
    lw->clock++;
    return true;
}
