/* op_loop_grad: gradients of loops. Relies on family; the body is differentiated through Vjp.walk. Layout: op_region.c.
 *
 * The gradient of a loop is two loops: the forward one again, which also stacks what the backward one needs of each step, and one
 * without a condition in the opposite direction, whose body is the body followed by its own reverse. Cotangents of float carries
 * are carried backwards, those of invariants are summed in carries of their own, those of stacked inputs are stacked. Of a step are
 * kept the carries that came into it and the results of products and of loops and branches inside it; the rest is cheap and is
 * computed again. What the backward body turns out not to read is not kept. */
#include "effect.h"
#include "family.h"
#include "loop.h"
#include "op_region.h"
#include "rebuild.h"
#include "sizes.h"

typedef enum Role { ROLE_CARRY, ROLE_SLICE, ROLE_FIXED } Role;

typedef struct Taken { /* one operand of the backward loop and its body's parameter */
    Value operand;     /* 0: not known yet, as it is the stack of `kept` */
    uint8_t role;      /* Role */
    Value kept;        /* the value of the old body whose stack it is; 0: it is no such stack */
} Taken;

typedef struct Back {
    Vjp *v;
    Module *m;
    const struct loop_attrs *s;
    const Graph *body, *condition; /* condition NULL: it has none */
    Graph *g;                      /* the body of the backward loop */
    Picks carry, x, y, fixed;      /* float carries; stacked inputs, outputs and invariants that a cotangent reaches */
    uint32_t *next; /* per y: from 1, the place in `carry` of the carry that is the same value at the step's end, and gets what the
                     * next step gives it on top of what the stack does; 0: none */
    Value *map;     /* value of the old body -> value of g */
    Value *saved; /* per value of the old body that is not a parameter: the parameter of g that holds it; 0: it is computed again */
    Value *dcarry, *dfixed, *dy, *dx; /* parameters of g; dx: what the stacked inputs have got so far, 0: nothing */
    VEC(Taken) taken;
    Value trip;
} Back;

static bool is_float(const Graph *g, Value v) { return dtype_is_float(graph_type(g, v)->dtype); }

/* ---- what is kept ---------------------------------------------------------------------------- */

/* A size that the body counts differs from turn to turn. */
static bool can_stack(const Module *m, const Graph *body, const Type *t)
{
    if (m->dims.counts && size_of_own(body, t)) return false;
    return t->rank < MAX_RANK && (t->rank == 0 || !dim_is_made(&m->dims, t->dim[0]));
}

/* Dear enough to be kept rather than computed again. */
static bool is_dear(const Module *m, const Node *n)
{
    return op_def[n->op].flags & (OPF_CONTRACTS | OPF_REGION) && !node_has_effect(m, n);
}

/* The forward loop again, which also stacks the old body's values `kept`; the first of those stacks, 0 after an error. It gives all
 * that the old one gives before them, so that the old one need not run (passes/contain.c). trip: how often it turned, where it has
 * a condition. */
static Value run_again(const Back *b, const Value *kept, uint32_t n, Value *trip)
{
    Module *m = b->m;
    Graph *g = region_body(m, b->body, "saving");
    Value *map = ARENA_ARRAY(m->arena, Value, b->body->value.len);
    for (uint32_t i = 0; i < b->body->param.len; i++) {
        Value p = b->body->param.at[i];
        map[p] = graph_param(g, graph_type(b->body, p), graph_maker(b->body, p)->loc);
    }
    if (!region_inline(g, b->body, map, NULL, b->v->st)) return 0;
    for (uint32_t i = 0; i < b->body->result.len; i++) graph_result(g, map[b->body->result.at[i]]);
    for (uint32_t i = 0; i < n; i++) graph_result(g, map[kept[i]]);
    const Graph *condition = b->condition ? graph_without_effects(b->condition, b->v->st) : NULL;
    if (b->condition && !condition) return 0;
    struct loop_attrs *again = ATTRS_ROOM(loop, 1);
    *again = *b->s;
    again->body = g->index;
    again->ys += n;
    if (condition) again->condition[0] = condition->index;
    Value first = b->v->e->op(b->v->e, OP_loop, b->v->in, b->v->node->nin, ATTRS_TO(again, again->condition + (condition ? 1 : 0)));
    if (first == 0) return 0;
    const Value stacks = first + b->body->result.len;
    if (condition) *trip = stacks + n;
    return stacks;
}

/* ---- the backward body ----------------------------------------------------------------------- */

/* In how many parts the cotangent of carry number k arrives between two steps; what a loop or branch gives it counts as several. */
static uint32_t parts_of(const Back *b, uint32_t k)
{
    const Graph *g = b->body;
    const Value *result = g->result.at, *y = result + b->s->carries, own = result[b->carry.at[k]];
    uint32_t n = 0;
    bool *same = ARENA_ARRAY(b->m->arena, bool, g->value.len);
    same[g->param.at[1 + b->carry.at[k]]] = true;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *node = &g->node.at[i];
        const bool passes = node->op == OP_leaf && ATTRS(leaf, node->attr->at)->stops == 0;
        for (uint32_t j = 0; j < node->nin; j++) {
            if (!same[node->in[j]]) continue;
            if (passes)
                same[node->out] = true;
            else
                n += op_def[node->op].flags & OPF_REGION ? 2 : 1;
        }
    }
    for (uint32_t i = 0; i < b->s->carries; i++) n += same[result[i]];
    for (uint32_t i = 0; i < b->y.n; i++) n += same[y[b->y.at[i]]] || y[b->y.at[i]] == own;
    return n;
}

/* Whether the loop is known to turn as often as its stacks are high. */
static bool turns_all(const Back *b)
{
    return !b->condition && !dim_is_made(&b->m->dims, b->s->steps) && loop_trip(b->v->graph, b->v->node->in[0]) == b->s->steps;
}

/* Eager code stacks after the last step, so that going backwards a carry gets the stack's part before those of the next step. With
 * no more than two parts the order does not matter. */
static void join_stacks(Back *b)
{
    const Value *result = b->body->result.at;
    b->next = ARENA_ARRAY(b->m->arena, uint32_t, b->y.n + 1);
    if (!turns_all(b)) return;
    for (uint32_t i = 0; i < b->y.n; i++) {
        const Value y = result[b->s->carries + b->y.at[i]];
        const bool computed = graph_maker(b->body, y)->op != OP_param;
        for (uint32_t k = 0; k < b->carry.n && computed && b->next[i] == 0; k++)
            if (result[b->carry.at[k]] == y && parts_of(b, k) > 2) b->next[i] = k + 1;
    }
}

static void pick(Back *b)
{
    const struct loop_attrs *s = b->s;
    const uint32_t first_fixed = 1 + s->carries + s->xs;
    b->carry = picks_new(b->m, s->carries);
    b->x = picks_new(b->m, s->xs);
    b->y = picks_new(b->m, s->ys);
    b->fixed = picks_new(b->m, b->v->node->nin);
    for (uint32_t i = 0; i < s->carries; i++)
        if (is_float(b->body, b->body->result.at[i])) b->carry.at[b->carry.n++] = i;
    for (uint32_t i = 0; i < s->xs; i++)
        if (b->v->wanted[1 + s->carries + i]) b->x.at[b->x.n++] = i;
    for (uint32_t i = 0; i < s->ys; i++)
        if (b->v->g[s->carries + i] != 0) b->y.at[b->y.n++] = i;
    for (uint32_t i = first_fixed; i < b->v->node->nin; i++)
        if (b->v->wanted[i]) b->fixed.at[b->fixed.n++] = i - first_fixed;
    join_stacks(b);
}

/* One more operand of the backward loop, and the parameter of g for it, of the type of the old body's value like. */
static Value take(Back *b, Role role, Value operand, Value kept, Value like)
{
    *VEC_PUSH(b->m->arena, &b->taken) = (Taken){operand, (uint8_t)role, kept};
    return graph_param(b->g, graph_type(b->body, like), b->v->e->loc);
}

static Value zeros(Back *b, Value like) { return emit_constant(b->v->e, 0, graph_type(b->body, like)); }

/* The cotangents of stacked output i of y, with one more slice before that of the first step. That slice is -0, which changes
 * nothing that it is added to. */
static Value with_a_first(Back *b, uint32_t i)
{
    const bool reverse = b->s->reverse;
    return emit_pad(b->v->e, b->v->g[b->s->carries + b->y.at[i]], 0, !reverse, reverse, -0.0);
}

/* The same cotangents moved by one step: each step gets that of the step before it. */
static Value of_the_step_before(Back *b, uint32_t i)
{
    return emit_slice(b->v->e, with_a_first(b, i), 0, b->s->reverse, b->s->steps);
}

/* The cotangent that carry number i has got when the last step has been left. */
static Value carry_so_far(Back *b, uint32_t i)
{
    Emit *e = b->v->e;
    const Value result = b->body->result.at[b->carry.at[i]];
    Value sum = b->v->g[b->carry.at[i]];
    for (uint32_t k = b->y.n; k-- > 0;) { /* the stack made last comes first */
        if (b->next[k] != i + 1) continue;
        Value last = emit_slice(e, with_a_first(b, k), 0, b->s->reverse ? 0 : b->s->steps, 1);
        last = emit_reshape(e, last, graph_type(b->body, result));
        sum = sum != 0 ? emit2(e, OP_add, sum, last) : last;
    }
    return sum != 0 ? sum : zeros(b, result);
}

static void take_kept(Back *b)
{
    const Graph *body = b->body;
    for (uint32_t i = 0; i < b->s->carries; i++) {
        Value p = body->param.at[1 + i];
        b->map[p] = take(b, ROLE_SLICE, 0, p, p);
    }
    for (uint32_t i = 0; i < body->node.len; i++) {
        const Node *n = &body->node.at[i];
        if (!is_dear(b->m, n)) continue;
        for (Value out = n->out; out < n->out + n->nout; out++)
            if (can_stack(b->m, body, graph_type(body, out))) b->saved[out] = take(b, ROLE_SLICE, 0, out, out);
    }
}

/* Parameters: index; cotangents of carries and invariants; slices of what was kept, of stacked inputs and of the cotangents of
 * stacked outputs; the invariants. */
static void take_all(Back *b, const Value *in)
{
    const Vjp *v = b->v;
    const struct loop_attrs *s = b->s;
    const Value *param = b->body->param.at, *result = b->body->result.at;
    const uint32_t first_fixed = 1 + s->carries + s->xs;
    b->map[param[0]] = take(b, ROLE_CARRY, in[0], 0, param[0]);
    for (uint32_t i = 0; i < b->carry.n; i++) {
        uint32_t c = b->carry.at[i];
        b->dcarry[i] = take(b, ROLE_CARRY, carry_so_far(b, i), 0, result[c]);
    }
    for (uint32_t i = 0; i < b->fixed.n; i++) {
        Value like = param[first_fixed + b->fixed.at[i]], sum = v->sum[first_fixed + b->fixed.at[i]];
        b->dfixed[i] = take(b, ROLE_CARRY, sum != 0 ? sum : zeros(b, like), 0, like);
    }
    take_kept(b);
    for (uint32_t i = 1 + s->carries; i < first_fixed; i++) b->map[param[i]] = take(b, ROLE_SLICE, in[i], 0, param[i]);
    for (uint32_t i = 0; i < b->y.n; i++) {
        uint32_t y = s->carries + b->y.at[i];
        b->dy[i] = take(b, ROLE_SLICE, b->next[i] != 0 ? of_the_step_before(b, i) : v->g[y], 0, result[y]);
    }
    for (uint32_t i = 0; i < b->x.n; i++) {
        uint32_t x = 1 + s->carries + b->x.at[i];
        b->dx[i] = v->sum[x] != 0 ? take(b, ROLE_SLICE, v->sum[x], 0, param[x]) : 0;
    }
    for (uint32_t i = first_fixed; i < v->node->nin; i++) b->map[param[i]] = take(b, ROLE_FIXED, in[i], 0, param[i]);
}

/* Fills g with the old body and its reverse, and sets g's results. */
static bool fill_body(Back *b)
{
    const struct loop_attrs *s = b->s;
    const Graph *body = b->body;
    const uint32_t ny = b->carry.n + b->y.n + b->fixed.n + b->x.n, nx = b->carry.n + b->fixed.n + b->x.n;
    Arena *a = b->m->arena;
    Value *y = ARENA_ARRAY(a, Value, ny + 1), *seed = ARENA_ARRAY(a, Value, ny + 1);
    Value *x = ARENA_ARRAY(a, Value, nx + 1), *dx = ARENA_ARRAY(a, Value, nx + 1);
    uint32_t n = 0, k = 0;
    if (!region_inline(b->g, body, b->map, b->saved, b->v->st)) return false;
    for (uint32_t i = 0; i < b->carry.n; i++, n++) {
        y[n] = b->map[body->result.at[b->carry.at[i]]];
        seed[n] = b->dcarry[i];
    }
    for (uint32_t i = b->y.n; i-- > 0; n++) { /* the stack made last comes first */
        y[n] = b->map[b->next[i] != 0 ? body->param.at[1 + b->carry.at[b->next[i] - 1]] : body->result.at[s->carries + b->y.at[i]]];
        seed[n] = b->dy[i];
    }
    for (uint32_t i = 0; i < b->fixed.n; i++, n++) { /* each step adds to what the later steps gave */
        y[n] = b->map[body->param.at[1 + s->carries + s->xs + b->fixed.at[i]]];
        seed[n] = b->dfixed[i];
    }
    for (uint32_t i = 0; i < b->x.n; i++) {
        if (b->dx[i] == 0) continue;
        y[n] = b->map[body->param.at[1 + s->carries + b->x.at[i]]];
        seed[n++] = b->dx[i];
    }
    for (uint32_t i = 0; i < b->carry.n; i++) x[k++] = b->map[body->param.at[1 + b->carry.at[i]]];
    for (uint32_t i = 0; i < b->fixed.n; i++) x[k++] = b->map[body->param.at[1 + s->carries + s->xs + b->fixed.at[i]]];
    for (uint32_t i = 0; i < b->x.n; i++) x[k++] = b->map[body->param.at[1 + s->carries + b->x.at[i]]];

    GraphEmit ge;
    graph_emit_init(&ge, b->g, b->v->st);
    ge.e.loc = b->v->e->loc;
    if (!b->v->walk(b->v, &ge.e, b->g, y, seed, n, x, nx, dx)) return false;
    for (uint32_t i = 0; i < nx; i++) {
        Value d = dx[i] != 0 ? dx[i] : emit_constant(&ge.e, 0, graph_type(b->g, x[i]));
        if (d == 0) return false;
        graph_result(b->g, d);
    }
    return true;
}

/* ---- without what it does not read ----------------------------------------------------------- */

static bool *live_values(const Graph *g)
{
    bool *live = ARENA_ARRAY(g->module->arena, bool, g->value.len);
    const SizeNeeds *sizes = size_needs(g, g->module->arena);
    for (uint32_t i = 0; i < g->result.len; i++) live[g->result.at[i]] = true;
    for (uint32_t i = g->node.len; i-- > 0;) {
        const Node *n = &g->node.at[i];
        bool any = node_has_effect(g->module, n);
        for (uint32_t k = 0; k < n->nout; k++) any |= live[n->out + k];
        for (uint32_t k = n->op == OP_saved; k < n->nin && any; k++) live[n->in[k]] = true;
        for (uint32_t k = 0; k < n->nout && any; k++) live[n->out + k] = true;
        for (uint32_t k = sizes ? sizes->first[i] : 0; sizes && any && k < sizes->first[i + 1]; k++)
            live[g->node.at[sizes->maker[k]].out] = true;
    }
    return live;
}

/* Makes g again, in its place in the module, without dead nodes and without parameters for slices and invariants that are dead. */
static Graph *trimmed(Back *b, const bool *live)
{
    const Graph *g = b->g;
    Arena *a = b->m->arena;
    Graph *to = region_body(b->m, b->body, "back");
    Value *map = ARENA_ARRAY(a, Value, g->value.len);
    b->m->graph.len--;
    to->index = g->index;
    b->m->graph.at[g->index] = to;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->param.len; i++) {
        if (b->taken.at[i].role != ROLE_CARRY && !live[g->param.at[i]]) continue;
        map[g->param.at[i]] = graph_param(to, graph_type(g, g->param.at[i]), b->v->e->loc);
        b->taken.at[kept++] = b->taken.at[i];
    }
    b->taken.len = kept;
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        bool any = node_has_effect(b->m, n);
        for (uint32_t k = 0; k < n->nout; k++) any |= live[n->out + k];
        if (n->op == OP_param || !any) continue;
        if (n->op == OP_saved) {
            map[n->out] = map[n->in[1]];
            continue;
        }
        Value *in = ARENA_ARRAY(a, Value, n->nin + 1);
        for (uint32_t k = 0; k < n->nin; k++) in[k] = map[n->in[k]];
        Value out = graph_append(to, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, n->loc, b->v->st);
        if (out == 0) return NULL;
        for (uint32_t k = 0; k < n->nout; k++) map[n->out + k] = out + k;
    }
    for (uint32_t i = 0; i < g->result.len; i++) graph_result(to, map[g->result.at[i]]);
    return to;
}

/* Stacks for what is left to be kept. */
static bool fill_stacks(Back *b)
{
    Value *kept = ARENA_ARRAY(b->m->arena, Value, b->taken.len + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->taken.len; i++)
        if (b->taken.at[i].kept != 0) kept[n++] = b->taken.at[i].kept;
    if (n == 0 && !b->condition) return true;
    Value stack = run_again(b, kept, n, &b->taken.at[0].operand);
    for (uint32_t i = 0; i < b->taken.len && stack != 0; i++)
        if (b->taken.at[i].kept != 0) b->taken.at[i].operand = stack++;
    return stack != 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void give(Back *b, Value first)
{
    const struct loop_attrs *s = b->s;
    for (uint32_t i = 0; i < b->carry.n; i++, first++)
        if (b->v->wanted[1 + b->carry.at[i]]) b->v->dx[1 + b->carry.at[i]] = first;
    for (uint32_t i = 0; i < b->fixed.n; i++, first++) {
        uint32_t operand = 1 + s->carries + s->xs + b->fixed.at[i];
        b->v->dx[operand] = first;
        b->v->total[operand] = b->v->sum[operand] != 0;
    }
    for (uint32_t i = 0; i < b->x.n; i++, first++) {
        uint32_t operand = 1 + s->carries + b->x.at[i];
        b->v->dx[operand] = first;
        b->v->total[operand] = b->v->sum[operand] != 0;
    }
}

void vjp_loop(Vjp *v)
{
    Module *m = v->e->module;
    Back b = {.v = v,
        .m = m,
        .s = ATTRS(loop, v->node->attr->at),
        .body = loop_body(m, v->node->attr),
        .condition = loop_condition(m, v->node->attr)};
    uint32_t slices = 0;
    pick(&b);
    b.g = region_body(m, b.body, "reverse");
    b.map = ARENA_ARRAY(m->arena, Value, b.body->value.len);
    b.saved = ARENA_ARRAY(m->arena, Value, b.body->value.len);
    b.dcarry = ARENA_ARRAY(m->arena, Value, b.carry.n + 1);
    b.dfixed = ARENA_ARRAY(m->arena, Value, b.fixed.n + 1);
    b.dy = ARENA_ARRAY(m->arena, Value, b.y.n + 1);
    b.dx = ARENA_ARRAY(m->arena, Value, b.x.n + 1);
    take_all(&b, v->in);
    if (!fill_body(&b)) return;
    const Graph *body = trimmed(&b, live_values(b.g));
    if (!body || !fill_stacks(&b)) return;
    Value *operand = ARENA_ARRAY(m->arena, Value, b.taken.len);
    for (uint32_t i = 0; i < b.taken.len; i++) {
        operand[i] = b.taken.at[i].operand;
        slices += b.taken.at[i].role == ROLE_SLICE;
    }
    Value first = v->e->op(v->e, OP_loop, operand, b.taken.len,
        ATTRS_OF(loop, .body = body->index, .carries = b.carry.n + b.fixed.n, .xs = slices, .ys = b.x.n, .reverse = !b.s->reverse,
            .steps = b.s->steps));
    if (first != 0) give(&b, first);
}
