/* lower_loop: scan as STEP_LOOP: the body's steps in place, carries in buffers of their own, stacked values as slices.
 * Relies on lower.h. What scan's operands and results mean is written in ir/rules_region.c. */
#include "lower.h"

typedef struct Scan {
    const Node *n;
    const Graph *body;
    uint32_t carries, xs, ys;
    uint32_t id;
} Scan;

static uint32_t slice(Scope *s, const Scan *l, uint32_t of, const Type *element)
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

/* Parameters: index, carries, slices, invariants. carry: the buffers that hold the carries from step to step. */
static bool bind_params(Scope *s, Scope *inner, const Scan *l, const uint32_t *carry, uint32_t *index)
{
    const Graph *body = l->body;
    *index = NO_BUF;
    if (is_read(body, body->param.at[0])) {
        *index = lower_buf(s->lw, BUF_TEMP, graph_type(body, body->param.at[0]));
        lower_read(s->lw, *index);
    }
    inner->buf[body->param.at[0]] = *index;
    for (uint32_t i = 1; i < l->n->nin; i++) {
        Value p = body->param.at[i];
        uint32_t from = s->buf[scope_root(s->g, l->n->in[i])];
        if (i <= l->carries)
            inner->buf[p] = carry[i - 1];
        else if (i <= l->carries + l->xs)
            inner->buf[p] = slice(s, l, from, graph_type(body, p));
        else
            inner->buf[p] = from;
    }
    return s->lw->st->code == ST_OK;
}

/* Results that are made in the body are made where they belong: a stacked one in its slice. The rest is copied at the end. */
static bool bind_results(Scope *s, Scope *inner, const Scan *l, uint32_t *to)
{
    const Graph *body = l->body;
    for (uint32_t i = 0; i < l->ys; i++) {
        Value y = body->result.at[l->carries + i], root = scope_root(body, y);
        uint32_t stacked = scope_result(s, l->n->out + l->carries + i);
        if (stacked == NO_BUF) return false;
        to[l->carries + i] = slice(s, l, stacked, graph_type(body, y));
        if (to[l->carries + i] == NO_BUF) return false;
        if (inner->buf[root] == NO_BUF) inner->buf[root] = to[l->carries + i];
    }
    return true;
}

static bool is_carry(const uint32_t *to, uint32_t n, uint32_t buf)
{
    for (uint32_t i = 0; i < n; i++)
        if (to[i] == buf) return true;
    return false;
}

/* All carries change at once: one that is another's old value waits in a buffer of its own. */
static bool end_of_step(Scope *inner, const Scan *l, const uint32_t *to)
{
    const Graph *body = l->body;
    uint32_t *from = ARENA_ARRAY(inner->lw->scratch, uint32_t, l->carries + l->ys + 1);
    for (uint32_t i = 0; i < l->carries + l->ys; i++) {
        from[i] = inner->buf[scope_root(body, body->result.at[i])];
        if (from[i] == NO_BUF) return status_fail(inner->lw->st, ST_INTERNAL, "lowering %s: result %u was never made", body->name, i);
        if (i >= l->carries && from[i] != to[i]) scope_copy(inner, from[i], to[i]);
    }
    for (uint32_t i = 0; i < l->carries; i++) {
        if (from[i] == to[i] || !is_carry(to, l->carries, from[i])) continue;
        uint32_t wait = lower_buf(inner->lw, BUF_TEMP, graph_type(body, body->result.at[i]));
        if (wait == NO_BUF) return false;
        scope_copy(inner, from[i], wait);
        from[i] = wait;
    }
    uint32_t first_copy = inner->step.len;
    for (uint32_t i = 0; i < l->carries; i++)
        if (from[i] != to[i]) scope_copy(inner, from[i], to[i]);
    for (uint32_t i = 0; i < l->carries; i++)
        if (from[i] != to[i]) loop_in_place(inner, from[i], to[i], first_copy);
    return true;
}

/* What a loop touches lives as long as the loop. */
static void extend_lives(Lower *lw, uint32_t first, uint32_t last)
{
    for (uint32_t i = 0; i < lw->p->buf.len; i++) {
        Buf *b = &lw->p->buf.at[i];
        if (b->last < first || b->first > last) continue;
        if (b->last >= first) b->last = MAX_OF(b->last, last);
        if (b->first > first) b->first = first;
    }
}

static void set_trip(Scope *s, Step *loop, Value trip)
{
    const Node *n = graph_maker(s->g, scope_root(s->g, trip));
    loop->trip = UINT32_MAX;
    if (n->op == OP_constant && n->attr->at[1] <= DIM_MAX) {
        loop->trip_dim = MAX_OF(n->attr->at[1], 0);
    } else if (n->op == OP_dim_size) {
        loop->trip_dim = n->attr->at[0];
        lower_dim(s->lw, loop->trip_dim);
    } else {
        loop->trip = s->buf[scope_root(s->g, trip)];
        lower_read(s->lw, loop->trip);
    }
}

bool lower_scan(Scope *s, const Node *n)
{
    Lower *lw = s->lw;
    const int64_t *at = n->attr->at;
    Scan l = {n, lw->m->graph.at[at[0]], (uint32_t)at[1], (uint32_t)at[2], (uint32_t)at[3], lw->loops++};
    uint32_t *to = ARENA_ARRAY(lw->scratch, uint32_t, l.carries + l.ys + 1), index;
    for (uint32_t i = 0; i < l.carries; i++) {
        to[i] = scope_result(s, n->out + i);
        if (to[i] == NO_BUF) return false;
        scope_copy(s, s->buf[scope_root(s->g, n->in[1 + i])], to[i]);
    }
    Step *loop = scope_step(s, STEP_LOOP);
    uint32_t at_step = s->step.len - 1, first = lw->clock;
    set_trip(s, loop, n->in[0]);
    loop->id = l.id;
    loop->reverse = at[4] != 0;
    for (uint32_t i = 0; i < n->nin; i++)
        if (i > 0 && s->buf[scope_root(s->g, n->in[i])] != NO_BUF) lower_read(lw, s->buf[scope_root(s->g, n->in[i])]);
    Scope inner;
    scope_begin(lw, &inner, l.body);
    if (!bind_params(s, &inner, &l, to, &index) || !bind_results(s, &inner, &l, to)) return false;
    if (!scope_run(&inner) || !end_of_step(&inner, &l, to)) return false;
    loop = &s->step.at[at_step];
    loop->index = index;
    loop->body = inner.step.at;
    loop->nbody = inner.step.len;
    extend_lives(lw, first, lw->clock);
    lw->clock++;
    return true;
}
