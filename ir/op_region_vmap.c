/* op_region_vmap: loops and branches of many examples at once, and custom gradients. Relies on family. Layouts: op_region.c.
 *
 * A loop that turns equally often for all examples is the loop of their bodies. If not, it turns as often as the last example
 * needs, and those that are done keep what they have: where a condition says when, a carry `active` of bool[n] remembers which go
 * on, and another counts the steps of each; else the index is compared with each example's trip count. Stacked results of steps
 * that an example does not take are 0.
 *
 * A branch whose selector differs runs each graph that some example takes, for all, and each example gets the results of its own.
 */
#include "family.h"
#include "loop.h"

/* Which values differ from example to example, where operands' doing so is all that is known. */
static void reach(const Graph *g, bool *many) { vmap_reach(g, size_needs(g, g->module->arena), NULL, many); }

static bool stack(const Module *m, const Type *t) { return t->rank != 0 && dim_is_made(&m->dims, t->dim[0]); }

/* With the examples' axis where it is not there, if it is wanted. */
static Value wide(const Vmap *v, GraphEmit *to, Value x, bool is, bool wanted)
{
    return !wanted || is || x == 0 ? x : vmap_spread(to, x, v->run->n, stack(v->run->m, graph_type(to->g, x)));
}

static Type example_type(const Vmap *v, const Type *t, bool many)
{
    if (!many) return *t;
    Type to = vmap_with_axis(v, t);
    if (stack(v->run->m, t) && t->rank < MAX_RANK) to.dim[0] = t->dim[0], to.dim[1] = v->run->n;
    return to;
}

static Value any_of(Emit *e, Value active) { return emit_reduce(e, OP_reduce_max, active, (int64_t[]){0}, 1); }

/* The largest trip count, 0 where there are no examples. */
static Value most_of(const Vmap *v, Value trips)
{
    const Dim n = v->run->n;
    if (!dim_is_const(n) || n == 0) trips = emit_pad(v->e, trips, 0, 1, 0, 0);
    return trips == 0 ? 0 : emit_reduce(v->e, OP_reduce_max, trips, (int64_t[]){0}, 1);
}

/* ---- loops --------------------------------------------------------------------------------------------- */

typedef struct Turns {
    Vmap *v;
    const struct loop_attrs *s;
    const Graph *body, *condition; /* condition NULL: it has none */
    uint32_t carries, xs, ys, nin;
    bool *many;   /* per parameter of the graphs; of a carry once it is so at some step */
    bool *result; /* per result of the body */
    bool ask;     /* examples end when their condition says so */
    bool count;   /* examples end after trip counts of their own */
    Type row, number;
    bool outer;                                    /* only some examples come here, and the loop does not ask which go on */
    Value at_active, at_count, at_trips, at_outer; /* parameters that the new graphs have besides */
} Turns;

/* Carries become many until nothing changes any more. */
static void settle(Turns *t)
{
    Arena *a = t->v->run->m->arena;
    for (bool changes = true; changes;) {
        bool *in = ARENA_ARRAY(a, bool, t->body->value.len);
        changes = false;
        for (uint32_t i = 1; i < t->nin; i++) in[t->body->param.at[i]] = t->many[i];
        reach(t->body, in);
        for (uint32_t i = 0; i < t->carries + t->ys; i++) t->result[i] = in[t->body->result.at[i]];
        if (t->condition) {
            bool *asked = ARENA_ARRAY(a, bool, t->condition->value.len);
            for (uint32_t i = 1; i < t->nin; i++) asked[t->condition->param.at[i]] = t->many[i];
            reach(t->condition, asked);
            t->ask = asked[t->condition->result.at[0]];
        }
        for (uint32_t i = 0; i < t->carries; i++) {
            if (t->many[1 + i] || !(t->result[i] || t->ask || t->count)) continue;
            t->many[1 + i] = changes = true;
        }
    }
    for (uint32_t i = 0; i < t->carries + t->ys; i++)
        t->result[i] = t->ask || t->count || (i < t->carries ? t->many[1 + i] : t->result[i]);
}

/* The parameters of a new graph, in the op's order: index, carries, active and count, slices, invariants, trip counts, who comes
 * here. map: of the old graph's values. */
static void take_params(Turns *t, GraphEmit *to, const Graph *old, Value *map, bool *many)
{
    for (uint32_t i = 0; i < t->nin; i++) {
        const Value p = old->param.at[i];
        if (i == 1 + t->carries && t->ask) {
            t->at_active = graph_param(to->g, &t->row, to->e.loc);
            t->at_count = graph_param(to->g, &t->number, to->e.loc);
        }
        const Type type = example_type(t->v, graph_type(old, p), t->many[i]);
        map[p] = graph_param(to->g, &type, to->e.loc);
        many[p] = t->many[i];
    }
    if (t->nin == 1 + t->carries && t->ask) {
        t->at_active = graph_param(to->g, &t->row, to->e.loc);
        t->at_count = graph_param(to->g, &t->number, to->e.loc);
    }
    if (t->count) t->at_trips = graph_param(to->g, &t->number, to->e.loc);
    if (t->outer) t->at_outer = graph_param(to->g, &t->row, to->e.loc);
}

static Graph *new_graph(Turns *t, const Graph *old, GraphEmit *to)
{
    Module *m = t->v->run->m;
    Graph *g = graph_new(m, arena_printf(m->arena, "%s_vmap%u", old->name, m->graph.len));
    graph_emit_init(to, g, t->v->run->st);
    to->e.loc = t->v->node->loc;
    return g;
}

/* The condition's value in `to`, bool[n], for these values of its parameters. */
static Value condition_in(Turns *t, GraphEmit *to, const Value *param, const bool *is)
{
    Arena *a = t->v->run->m->arena;
    const Graph *c = t->condition;
    Value *map = ARENA_ARRAY(a, Value, c->value.len);
    bool *many = ARENA_ARRAY(a, bool, c->value.len);
    for (uint32_t i = 0; i < t->nin; i++) {
        map[c->param.at[i]] = param[i];
        many[c->param.at[i]] = is[i];
    }
    if (!vmap_graph(t->v->run, to, c, map, many)) return 0;
    const Value r = c->result.at[0];
    return wide(t->v, to, map[r], many[r], true);
}

/* Which examples take this step; 0: all. */
static Value active_here(Turns *t, GraphEmit *to, Value index)
{
    if (t->ask) return t->at_active;
    if (!t->count) return t->at_outer;
    const Value on = emit2(&to->e, OP_lt, emit_broadcast(&to->e, index, &t->number), t->at_trips);
    return t->outer ? emit2(&to->e, OP_and, on, t->at_outer) : on;
}

static Value one(GraphEmit *to) { return to->e.op(&to->e, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = DT_i64, .value = 1)); }

/* Appends the results of a step: carries, active and count, stacks. */
static bool finish_body(Turns *t, GraphEmit *to, const Value *map, const bool *many)
{
    Arena *a = t->v->run->m->arena;
    Emit *e = &to->e;
    const Graph *old = t->body;
    const Value active = t->ask || t->count ? t->v->run->active : 0;
    Value *next = ARENA_ARRAY(a, Value, t->nin + 1);
    for (uint32_t i = 0; i < t->nin; i++) next[i] = map[old->param.at[i]];
    for (uint32_t i = 0; i < t->carries; i++) {
        const Value r = old->result.at[i];
        Value x = wide(t->v, to, map[r], many[r], t->many[1 + i]);
        if (active) x = vmap_where(e, active, x, next[1 + i]);
        next[1 + i] = x;
        if (x == 0) return false;
        graph_result(to->g, x);
    }
    if (t->ask) {
        next[0] = emit2(e, OP_add, next[0], one(to));
        const Value go_on = emit2(e, OP_and, active, condition_in(t, to, next, t->many));
        const Value steps = emit2(e, OP_add, t->at_count, emit_cast(e, active, DT_i64));
        if (go_on == 0 || steps == 0) return false;
        graph_result(to->g, go_on);
        graph_result(to->g, steps);
    }
    for (uint32_t i = t->carries; i < t->carries + t->ys; i++) {
        const Value r = old->result.at[i];
        Value y = wide(t->v, to, map[r], many[r], t->result[i]);
        if (active && y != 0) y = vmap_where(e, active, y, emit_constant(e, 0, graph_type(to->g, y)));
        if (y == 0) return false;
        graph_result(to->g, y);
    }
    return true;
}

static Graph *body_of(Turns *t)
{
    Arena *a = t->v->run->m->arena;
    GraphEmit to;
    Graph *g = new_graph(t, t->body, &to);
    Value *map = ARENA_ARRAY(a, Value, t->body->value.len);
    bool *many = ARENA_ARRAY(a, bool, t->body->value.len);
    take_params(t, &to, t->body, map, many);
    const Value around = t->v->run->active;
    t->v->run->active = active_here(t, &to, map[t->body->param.at[0]]);
    const bool ok = vmap_graph(t->v->run, &to, t->body, map, many) && finish_body(t, &to, map, many);
    t->v->run->active = around;
    return ok ? g : NULL;
}

static Graph *condition_of(Turns *t)
{
    Arena *a = t->v->run->m->arena;
    GraphEmit to;
    Graph *g = new_graph(t, t->condition, &to);
    Value *map = ARENA_ARRAY(a, Value, t->condition->value.len);
    bool *many = ARENA_ARRAY(a, bool, t->condition->value.len);
    take_params(t, &to, t->condition, map, many);
    const Value around = t->v->run->active;
    t->v->run->active = t->at_outer;
    Value r = t->ask ? any_of(&to.e, t->at_active) : 0;
    if (!t->ask && vmap_graph(t->v->run, &to, t->condition, map, many)) r = map[t->condition->result.at[0]];
    t->v->run->active = around;
    if (r != 0) graph_result(g, r);
    return r != 0 ? g : NULL;
}

/* The operands of the new loop; returns how many, 0 after a failure. */
static uint32_t operands_of(Turns *t, Value *operand)
{
    Vmap *v = t->v;
    Emit *e = v->e;
    const bool known = dim_is_const(t->s->steps) || !dim_is_made(&v->run->m->dims, t->s->steps);
    uint32_t n = 0;
    Value *param = ARENA_ARRAY(v->run->m->arena, Value, t->nin + 1);
    operand[n++] = t->count ? most_of(v, v->in[0]) : v->in[0];
    for (uint32_t i = 1; i <= t->carries; i++) operand[n++] = param[i] = wide(v, v->to, v->in[i], v->many[i], t->many[i]);
    for (uint32_t i = 1 + t->carries; i < t->nin; i++) param[i] = v->in[i];
    if (t->ask) {
        param[0] = emit_constant(e, 0, &(Type){.dtype = DT_i64});
        operand[n] = condition_in(t, v->to, param, t->many);
        if (v->run->active != 0) operand[n] = emit2(e, OP_and, operand[n], v->run->active);
        n++;
        operand[n++] = emit_constant(e, 0, &t->number);
    }
    for (uint32_t i = 1 + t->carries; i < t->nin; i++) {
        const bool slices = i <= t->carries + t->xs;
        operand[n++] = slices && known && v->many[i] ? vmap_back(e, v->in[i], 1) : v->in[i];
    }
    if (t->count) operand[n++] = v->in[0];
    if (t->outer) operand[n++] = v->run->active;
    for (uint32_t i = 0; i < n; i++)
        if (operand[i] == 0) return 0;
    return n;
}

static void take_results(Turns *t, Value first)
{
    Vmap *v = t->v;
    const bool known = dim_is_const(t->s->steps) || !dim_is_made(&v->run->m->dims, t->s->steps);
    const uint32_t more = t->ask ? 2 : 0;
    for (uint32_t i = 0; i < t->carries + t->ys; i++) {
        const Value x = first + i + (i < t->carries ? 0 : more);
        v->out_many[i] = t->result[i];
        v->out[i] = i >= t->carries && known && t->result[i] ? vmap_front(v->e, x, 1) : x;
    }
    if (!t->condition) return;
    v->out_many[t->carries + t->ys] = t->ask;
    v->out[t->carries + t->ys] = t->ask ? first + t->carries + 1 : first + t->carries + t->ys;
}

void vmap_loop(Vmap *v)
{
    Module *m = v->run->m;
    const Node *n = v->node;
    Turns t = {.v = v,
        .s = ATTRS(loop, n->attr->at),
        .body = loop_body(m, n->attr),
        .condition = loop_condition(m, n->attr),
        .nin = n->nin,
        .row = {.dtype = DT_bool, .rank = 1, .dim = {v->run->n}},
        .number = {.dtype = DT_i64, .rank = 1, .dim = {v->run->n}}};
    t.carries = (uint32_t)t.s->carries, t.xs = (uint32_t)t.s->xs, t.ys = (uint32_t)t.s->ys;
    t.many = arena_copy(m->arena, v->many, n->nin * sizeof *t.many);
    t.result = ARENA_ARRAY(m->arena, bool, t.carries + t.ys + 1);
    t.count = v->many[0];
    t.many[0] = false;
    settle(&t);
    t.outer = v->run->active != 0 && !t.ask;
    Value *operand = ARENA_ARRAY(m->arena, Value, n->nin + 4);
    const uint32_t nin = operands_of(&t, operand);
    const Graph *body = nin == 0 ? NULL : body_of(&t), *condition = body && t.condition ? condition_of(&t) : NULL;
    if (!body || (t.condition && !condition)) return;
    struct loop_attrs *s = ATTRS_ROOM(loop, 1);
    *s = *t.s;
    s->body = body->index;
    s->carries += t.ask ? 2 : 0;
    if (condition) s->condition[0] = condition->index;
    v->e->loc = n->loc;
    const Value first = v->e->op(v->e, OP_loop, operand, nin, ATTRS_TO(s, s->condition + (condition ? 1 : 0)));
    if (first != 0) take_results(&t, first);
}

/* ---- branches --------------------------------------------------------------------------------------------- */

/* Case k for all examples, with results as said; parted: a last parameter says which examples come here. NULL: st. */
static Graph *case_of(Vmap *v, uint32_t k, const bool *result, bool parted)
{
    Module *m = v->run->m;
    const Graph *old = m->graph.at[ATTRS(branch, v->node->attr->at)->cases[k]];
    GraphEmit to;
    Graph *g = graph_new(m, arena_printf(m->arena, "%s_vmap%u", old->name, m->graph.len));
    Value *map = ARENA_ARRAY(m->arena, Value, old->value.len);
    bool *many = ARENA_ARRAY(m->arena, bool, old->value.len);
    graph_emit_init(&to, g, v->run->st);
    to.e.loc = v->node->loc;
    for (uint32_t i = 0; i < old->param.len; i++) {
        const Type t = example_type(v, graph_type(old, old->param.at[i]), v->many[1 + i]);
        map[old->param.at[i]] = graph_param(g, &t, v->node->loc);
        many[old->param.at[i]] = v->many[1 + i];
    }
    const Value around = v->run->active;
    const Type row = {.dtype = DT_bool, .rank = 1, .dim = {v->run->n}};
    v->run->active = parted ? graph_param(g, &row, v->node->loc) : 0;
    const bool ok = vmap_graph(v->run, &to, old, map, many);
    v->run->active = around;
    for (uint32_t i = 0; i < old->result.len; i++) {
        const Value r = old->result.at[i], x = !ok ? 0 : wide(v, &to, map[r], many[r], result[i]);
        if (x == 0) return NULL;
        graph_result(g, x);
    }
    return g;
}

/* bool[n]: which examples take case k of n; what is below is the first, what is above the last. */
static Value takes(const Vmap *v, Value selector, uint32_t k, uint32_t n)
{
    Emit *e = v->e;
    const Type t = *e->type(e, selector);
    if (t.dtype == DT_bool) return k == 1 ? selector : emit1(e, OP_not, selector);
    const Value number = emit_constant(e, k, &t);
    return emit2(e, k == 0 && n > 1 ? OP_le : k == n - 1 ? OP_ge : OP_eq, selector, number);
}

static void each_its_own(Vmap *v, const bool *result)
{
    Emit *e = v->e;
    const uint32_t n = v->node->attr->len;
    Value *in = ARENA_ARRAY(v->run->m->arena, Value, v->node->nin + 1);
    for (uint32_t k = 0; k < n; k++) {
        Value mine = takes(v, v->in[0], k, n);
        if (v->run->active != 0) mine = emit2(e, OP_and, mine, v->run->active);
        const Graph *g = case_of(v, k, result, true), *others = g ? vmap_zeros_like(v->run, v->node->loc, g) : NULL;
        if (!others || mine == 0) return;
        e->loc = v->node->loc;
        memcpy(in, v->in, v->node->nin * sizeof *in);
        in[0] = any_of(e, mine);
        in[v->node->nin] = mine;
        if (in[0] == 0) return;
        const Value first = e->op(e, OP_branch, in, v->node->nin + 1, (int64_t[]){others->index, g->index}, 2);
        for (uint32_t i = 0; i < v->node->nout; i++)
            v->out[i] = first == 0 ? 0 : k == 0 ? first + i : vmap_where(e, mine, first + i, v->out[i]);
        if (first == 0) return;
    }
}

void vmap_branch(Vmap *v)
{
    Module *m = v->run->m;
    const Node *n = v->node;
    bool *result = ARENA_ARRAY(m->arena, bool, n->nout + 1);
    int64_t *cases = ARENA_ARRAY(m->arena, int64_t, n->attr->len);
    for (uint32_t i = 0; i < n->nout; i++) result[i] = v->many[0];
    for (uint32_t k = 0; k < n->attr->len; k++) {
        const Graph *old = m->graph.at[n->attr->at[k]];
        bool *many = ARENA_ARRAY(m->arena, bool, old->value.len);
        for (uint32_t i = 0; i < old->param.len; i++) many[old->param.at[i]] = v->many[1 + i];
        reach(old, many);
        for (uint32_t i = 0; i < n->nout; i++) result[i] |= many[old->result.at[i]];
    }
    if (v->many[0]) {
        each_its_own(v, result);
        return;
    }
    Value *in = ARENA_ARRAY(m->arena, Value, n->nin + 1);
    const bool parted = v->run->active != 0;
    memcpy(in, v->in, n->nin * sizeof *in);
    in[n->nin] = v->run->active;
    for (uint32_t k = 0; k < n->attr->len; k++) {
        const Graph *g = case_of(v, k, result, parted);
        if (!g) return;
        cases[k] = g->index;
    }
    v->e->loc = n->loc;
    const Value first = v->e->op(v->e, OP_branch, in, n->nin + parted, cases, n->attr->len);
    for (uint32_t i = 0; i < n->nout; i++) v->out[i] = first == 0 ? 0 : first + i;
    memcpy(v->out_many, result, n->nout * sizeof *result);
}

/* ---- the front end's ---------------------------------------------------------------------------------------- */

void vmap_custom(Vmap *v)
{
    if (v->run->custom)
        v->run->custom(v);
    else
        status_fail(v->run->st, ST_UNSUPPORTED, "custom: its gradient is known to the front end only");
}
