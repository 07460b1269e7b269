/* op_region: the ops that run graphs, kernel loop branch, and call and custom, whose gradients the front end owns. Gradients of
 * loops lie in op_loop_grad.c. Relies on family; a body is differentiated through Vjp.walk.
 *
 * loop runs its body n times, or as long as a condition holds, passing values from step to step.
 *
 *   attributes  g body, carries, xs (stacked inputs), ys (stacked outputs), reverse (0 or 1), steps (n), G condition: one or none
 *   operands    trip count (i64[]), the first carries, xs stacked inputs [n, ...], then any number of invariants
 *   graphs      parameters of both: index (i64[]), carries, one slice [...] of each stacked input, the invariants
 *               results of the body: the next carries (the carries' types), then ys values; of the condition: bool[]
 *   results     the last carries, then the ys values of all steps, stacked to [n, ...]; with a condition also the number of
 *               steps (i64[])
 *
 * n is the trip count as a size; a dim made by the loop (dim_made) if nothing tells it before. If it is 0, or the trip count
 * negative, the last carries are the first ones. Whoever makes the node sees to it that the trip count's value is n's; backwards
 * through a bounded loop with a condition it may be less, and slices of results beyond it are zeros. A loop with stacks of n slices
 * turns n times where the value is more. reverse: the index runs from
 * the trip count - 1 down to 0, and slices are read and written there.
 *
 * A condition is asked before each step. Such a loop has no stacked inputs and runs forwards. Its trip count is a constant: the
 * most steps, which n is, too (to go on after that many is an error of the running program); or the largest i64, where there is no
 * bound and n is a dim made by the loop.
 *
 * branch applies one of its graphs.
 *
 *   attributes  G graphs, all with the same parameters and results
 *   operands    selector (bool[]: false is graph 0, true graph 1; or an integer scalar, clamped to
 *               the graphs there are), then the graphs' parameters */
#include "op_region.h"

#include "effect.h"
#include "family.h"
#include "loop.h"
#include "sizes.h"

static bool body_takes(Infer *inf, const Graph *body, uint32_t param, const Type *type)
{
    const Type *wanted = graph_type(body, body->param.at[param]);
    if (type_equal(wanted, type)) return true;
    char a[128], b[128];
    type_print(rule_dims(inf), wanted, a, sizeof a);
    type_print(rule_dims(inf), type, b, sizeof b);
    return infer_fail(
        inf, type->dtype == wanted->dtype ? ST_SHAPE : ST_DTYPE, "parameter %u of %s is %s, not %s", param, body->name, a, b);
}

static bool counts_fit(Infer *inf, const Graph *body, uint32_t params, uint32_t results)
{
    if (body->param.len != params)
        return infer_fail(inf, ST_VALUE, "%s has %u parameters, not %u", body->name, body->param.len, params);
    if (body->result.len != results)
        return infer_fail(inf, ST_VALUE, "%s has %u results, not %u", body->name, body->result.len, results);
    return true;
}

/* What a graph counts is known inside it alone. */
static bool stays_inside(Infer *inf, const Graph *g, uint32_t result)
{
    const DimTable *t = rule_dims(inf);
    const Type *type = graph_type(g, g->result.at[result]);
    bool named = false;
    for (uint32_t i = 0; i < type->rank; i++) named |= dim_is_counted(t, type->dim[i]);
    if (!named || !size_of_own(g, type)) return true;
    char text[128];
    type_print(t, type, text, sizeof text);
    return infer_fail(inf, ST_UNSUPPORTED,
        "result %u of %s is %s, of a size that is counted inside (by compress, nonzero, unique or their like) and known there "
        "alone; "
        "give out what has a size from outside, as a sum",
        result, g->name, text);
}

bool infer_kernel(Infer *inf)
{
    const Graph *body = inf->module->graph.at[ATTRS(kernel, inf->attr)->body];
    if (!counts_fit(inf, body, inf->nin, body->result.len)) return false;
    if (body->result.len == 0) return infer_fail(inf, ST_VALUE, "%s has no results", body->name);
    for (uint32_t i = 0; i < inf->nin; i++)
        if (!body_takes(inf, body, i, inf->in[i])) return false;
    if (!rule_room(inf, body->result.len)) return false;
    for (uint32_t i = 0; i < inf->nout; i++) inf->out[i] = *graph_type(body, body->result.at[i]);
    return true;
}

/* ---- loop -------------------------------------------------------------------------------- */

#define COUNT_MOST (1 << 28) /* sums of a few counts stay numbers of 32 bits */

Dim loop_trip(const Graph *g, Value trip)
{
    const Node *n = graph_maker(g, trip);
    while (n->op == OP_leaf) n = graph_maker(g, n->in[0]);
    if (n->op == OP_dim_size) return ATTRS(dim_size, n->attr->at)->dim;
    if (n->op != OP_constant || ATTRS(constant, n->attr->at)->value > DIM_MAX) return DIM_BAD;
    return MAX_OF(ATTRS(constant, n->attr->at)->value, 0);
}

static bool steps_fit(Infer *inf, const struct loop_attrs *l)
{
    const Dim trip = inf->graph ? loop_trip(inf->graph, inf->value[0]) : DIM_BAD;
    if (trip == DIM_BAD || trip == l->steps || dim_is_made(rule_dims(inf), l->steps)) return true;
    char a[64], b[64];
    dim_print(rule_dims(inf), trip, a, sizeof a);
    dim_print(rule_dims(inf), l->steps, b, sizeof b);
    return infer_fail(inf, ST_VALUE, "the trip count is %s, but the attribute says %s steps", a, b);
}

/* Operand i is parameter i of the loop's graphs, but for the trip count: there they have the index. */
static bool operands_fit(Infer *inf, const struct loop_attrs *l, const Graph *g)
{
    char n[64];
    for (uint32_t i = 1; i < inf->nin; i++) {
        Type x = *inf->in[i];
        if (i > l->carries && i <= l->carries + l->xs) {
            const uint32_t k = i - (uint32_t)l->carries - 1;
            if (x.rank == 0) return infer_fail(inf, ST_SHAPE, "stacked input %u is a scalar, which has no axis to step along", k);
            dim_print(rule_dims(inf), l->steps, n, sizeof n);
            if (x.dim[0] != l->steps) return infer_fail(inf, ST_SHAPE, "the first axis of stacked input %u is not %s", k, n);
            memmove(x.dim, x.dim + 1, --x.rank * sizeof *x.dim);
        }
        if (!body_takes(inf, g, i, &x)) return false;
    }
    return body_takes(inf, g, 0, &(Type){.dtype = DT_i64});
}

static bool loop_results(Infer *inf, const struct loop_attrs *l, const Graph *body, bool counted)
{
    if (!rule_room(inf, (uint32_t)(l->carries + l->ys) + counted)) return false;
    for (uint32_t i = 0; i < l->carries; i++) {
        inf->out[i] = *inf->in[1 + i];
        if (!stays_inside(inf, body, i)) return false;
        if (!type_equal(graph_type(body, body->result.at[i]), &inf->out[i]))
            return infer_fail(inf, ST_SHAPE, "carry %u changes its dtype or shape in %s", i, body->name);
    }
    for (uint32_t i = (uint32_t)l->carries; i < l->carries + l->ys; i++) {
        Type y = *graph_type(body, body->result.at[i]);
        if (!stays_inside(inf, body, i)) return false;
        if (y.rank == MAX_RANK) return infer_fail(inf, ST_SHAPE, "a stacked result would have more than %d axes", MAX_RANK);
        if (y.rank != 0 && dim_is_made(rule_dims(inf), y.dim[0]))
            return infer_fail(inf, ST_UNSUPPORTED, "result %u is a stack of a loop in %s", i, body->name);
        memmove(y.dim + 1, y.dim, y.rank++ * sizeof *y.dim);
        y.dim[0] = l->steps;
        inf->out[i] = y;
    }
    if (counted) inf->out[inf->nout - 1] = (Type){.dtype = DT_i64};
    return true;
}

static bool condition_fits(Infer *inf, const struct loop_attrs *l, const Graph *condition)
{
    const Node *trip = inf->graph ? graph_maker(inf->graph, inf->value[0]) : NULL;
    const int64_t most = dim_is_const(l->steps) ? l->steps : INT64_MAX;
    if (l->xs != 0 || l->reverse != 0)
        return infer_fail(inf, ST_VALUE, "a loop with a condition takes no stacked inputs and does not run in reverse");
    if (!dim_is_const(l->steps) && !dim_is_made(rule_dims(inf), l->steps))
        return infer_fail(inf, ST_VALUE, "the steps of a loop with a condition are a size that it makes, or a constant bound");
    while (trip && trip->op == OP_leaf) trip = graph_maker(inf->graph, trip->in[0]);
    if (trip && (trip->op != OP_constant || ATTRS(constant, trip->attr->at)->value != most))
        return infer_fail(inf, ST_VALUE, "the trip count of a loop with a condition must be the constant %lld", (long long)most);
    if (!counts_fit(inf, condition, inf->nin, 1)) return false;
    if (!type_equal(graph_type(condition, condition->result.at[0]), &(Type){.dtype = DT_bool}))
        return infer_fail(inf, ST_DTYPE, "the condition %s is not bool[]", condition->name);
    return operands_fit(inf, l, condition);
}

bool infer_loop(Infer *inf)
{
    const struct loop_attrs *l = ATTRS(loop, inf->attr);
    const bool asks = inf->nattr > ATTR_INDEX(loop, condition);
    if (inf->nattr > ATTR_INDEX(loop, condition) + 1) return infer_fail(inf, ST_VALUE, "takes at most one condition");
    for (uint32_t i = ATTR_INDEX(loop, carries); i <= ATTR_INDEX(loop, ys); i++)
        if (inf->attr[i] < 0 || inf->attr[i] > COUNT_MOST) return infer_fail(inf, ST_VALUE, "attribute %u is out of range", i + 1);
    if (l->reverse != 0 && l->reverse != 1) return infer_fail(inf, ST_VALUE, "reverse must be 0 or 1");
    const uint32_t least = 1 + (uint32_t)(l->carries + l->xs);
    if (inf->nin < least) return infer_fail(inf, ST_VALUE, "%u operands given, at least %u needed", inf->nin, least);
    if (!type_equal(inf->in[0], &(Type){.dtype = DT_i64})) return infer_fail(inf, ST_DTYPE, "the trip count must be i64[]");
    const Graph *body = inf->module->graph.at[l->body];
    return (!asks || condition_fits(inf, l, inf->module->graph.at[l->condition[0]])) &&
           counts_fit(inf, body, inf->nin, (uint32_t)(l->carries + l->ys)) && steps_fit(inf, l) && operands_fit(inf, l, body) &&
           loop_results(inf, l, body, asks);
}

/* ---- branch ------------------------------------------------------------------------------ */

static bool case_fits(Infer *inf, const Graph *g, const Graph *first)
{
    char a[128], b[128];
    if (!counts_fit(inf, g, inf->nin - 1, first->result.len)) return false;
    for (uint32_t i = 1; i < inf->nin; i++)
        if (!body_takes(inf, g, i - 1, inf->in[i])) return false;
    for (uint32_t i = 0; i < g->result.len; i++) {
        if (!stays_inside(inf, g, i)) return false;
        const Type *x = graph_type(first, first->result.at[i]), *y = graph_type(g, g->result.at[i]);
        if (type_equal(x, y)) continue;
        type_print(rule_dims(inf), x, a, sizeof a);
        type_print(rule_dims(inf), y, b, sizeof b);
        return infer_fail(
            inf, x->dtype == y->dtype ? ST_SHAPE : ST_DTYPE, "result %u is %s in %s and %s in %s", i, a, first->name, b, g->name);
    }
    return true;
}

bool infer_branch(Infer *inf)
{
    if (inf->nin == 0 || inf->nattr == 0) return infer_fail(inf, ST_VALUE, "needs a selector and graphs");
    const Type *s = inf->in[0];
    const int64_t *cases = ATTRS(branch, inf->attr)->cases;
    const Graph *first = inf->module->graph.at[cases[0]];
    if (s->rank != 0 || (s->dtype != DT_bool && !dtype_is_int(s->dtype)))
        return infer_fail(inf, ST_DTYPE, "the selector must be bool[] or an integer scalar");
    if (s->dtype == DT_bool && inf->nattr != 2)
        return infer_fail(inf, ST_VALUE, "a bool selector chooses between 2 graphs, not %u", inf->nattr);
    for (uint32_t i = 0; i < inf->nattr; i++)
        if (!case_fits(inf, inf->module->graph.at[cases[i]], first)) return false;
    if (!rule_room(inf, first->result.len)) return false;
    for (uint32_t i = 0; i < inf->nout; i++) inf->out[i] = *graph_type(first, first->result.at[i]);
    return true;
}

/* ---- the front end's --------------------------------------------------------------------- */

bool infer_call(Infer *inf) { return infer_fail(inf, ST_INTERNAL, "its result types are given when it is made"); }

bool infer_custom(Infer *inf)
{
    if (inf->nin == 0) return infer_fail(inf, ST_VALUE, "needs an operand");
    return rule_result(inf, inf->in[0]);
}

/* ---- gradients: copies of bodies --------------------------------------------------------------------- */

Picks picks_new(Module *m, uint32_t most) { return (Picks){ARENA_ARRAY(m->arena, uint32_t, most + 1), 0}; }

bool region_inline(Graph *g, const Graph *from, Value *map, const Value *saved, Status *st)
{
    for (uint32_t i = 0; i < from->node.len; i++) {
        const Node *n = &from->node.at[i];
        if (n->op == OP_param) continue;
        Value *in = ARENA_ARRAY(g->module->arena, Value, n->nin + 1);
        for (uint32_t k = 0; k < n->nin; k++) in[k] = map[n->in[k]];
        Value out = effect_append_again(g, n, in, st); /* the forward pass had the effects */
        if (out == 0) return false;
        for (uint32_t k = 0; k < n->nout; k++) {
            map[n->out + k] = out + k;
            if (!saved || saved[n->out + k] == 0) continue;
            const Value both[2] = {out + k, saved[n->out + k]};
            map[n->out + k] = graph_append(g, OP_saved, both, 2, NULL, 0, n->loc, st);
            if (map[n->out + k] == 0) return false;
        }
    }
    return true;
}

Graph *region_body(Module *m, const Graph *of, const char *what)
{
    return graph_new(m, arena_printf(m->arena, "%s_%s%u", of->name, what, m->graph.len));
}

/* ---- the gradient of a branch: a branch whose graphs are the old ones followed by their reverses
 * ---------------------------------------------------------------------------------- */

typedef struct Fork {
    Vjp *v;
    Picks y, x; /* results whose cotangent is known, inputs whose cotangent is asked for */
    Picks sum;  /* the places in x of those inputs that have a cotangent already */
} Fork;

/* Graph number k followed by its reverse: parameters are the old ones, the cotangents of y, and what is to be added to those of x
 * that have got something; results are the cotangents of x. */
static Graph *reverse_case(Fork *f, uint32_t k)
{
    Vjp *v = f->v;
    Module *m = v->e->module;
    Arena *a = m->arena;
    const Graph *old = m->graph.at[ATTRS(branch, v->node->attr->at)->cases[k]];
    Graph *g = region_body(m, old, "reverse");
    Value *map = ARENA_ARRAY(a, Value, old->value.len), *dx = ARENA_ARRAY(a, Value, f->x.n + 1);
    const uint32_t ny = f->y.n + f->sum.n;
    Value *x = ARENA_ARRAY(a, Value, f->x.n + 1), *y = ARENA_ARRAY(a, Value, ny + 1), *seed = ARENA_ARRAY(a, Value, ny + 1);
    for (uint32_t i = 0; i < old->param.len; i++)
        map[old->param.at[i]] = graph_param(g, graph_type(old, old->param.at[i]), v->e->loc);
    for (uint32_t i = 0; i < f->y.n; i++) seed[i] = graph_param(g, graph_type(old, old->result.at[f->y.at[i]]), v->e->loc);
    for (uint32_t i = 0; i < f->sum.n; i++)
        seed[f->y.n + i] = graph_param(g, graph_type(old, old->param.at[f->x.at[f->sum.at[i]]]), v->e->loc);
    if (!region_inline(g, old, map, NULL, v->st)) return NULL;
    for (uint32_t i = 0; i < f->y.n; i++) y[i] = map[old->result.at[f->y.at[i]]];
    for (uint32_t i = 0; i < f->x.n; i++) x[i] = map[old->param.at[f->x.at[i]]];
    for (uint32_t i = 0; i < f->sum.n; i++) y[f->y.n + i] = x[f->sum.at[i]];
    GraphEmit ge;
    graph_emit_init(&ge, g, v->st);
    ge.e.loc = v->e->loc;
    if (!v->walk(v, &ge.e, g, y, seed, ny, x, f->x.n, dx)) return NULL;
    for (uint32_t i = 0; i < f->x.n; i++) {
        Value d = dx[i] != 0 ? dx[i] : emit_constant(&ge.e, 0, graph_type(g, x[i]));
        if (d == 0) return NULL;
        graph_result(g, d);
    }
    return g;
}

void vjp_branch(Vjp *v)
{
    Module *m = v->e->module;
    const Node *n = v->node;
    Fork f = {v, picks_new(m, n->nout), picks_new(m, n->nin), picks_new(m, n->nin)};
    for (uint32_t i = 0; i < n->nout; i++)
        if (v->g[i] != 0) f.y.at[f.y.n++] = i;
    for (uint32_t i = 1; i < n->nin; i++) {
        if (!v->wanted[i]) continue;
        if (v->sum[i] != 0) f.sum.at[f.sum.n++] = f.x.n;
        f.x.at[f.x.n++] = i - 1;
    }
    Value *in = ARENA_ARRAY(m->arena, Value, n->nin + f.y.n + f.sum.n);
    int64_t *cases = ARENA_ARRAY(m->arena, int64_t, n->attr->len);
    uint32_t nin = n->nin;
    memcpy(in, v->in, nin * sizeof *in);
    for (uint32_t i = 0; i < f.y.n; i++) in[nin++] = v->g[f.y.at[i]];
    for (uint32_t i = 0; i < f.sum.n; i++) in[nin++] = v->sum[1 + f.x.at[f.sum.at[i]]];
    for (uint32_t k = 0; k < n->attr->len; k++) {
        const Graph *g = reverse_case(&f, k);
        if (!g) return;
        cases[k] = g->index;
    }
    Value first = v->e->op(v->e, OP_branch, in, nin, cases, n->attr->len);
    for (uint32_t i = 0; i < f.x.n && first != 0; i++) v->dx[1 + f.x.at[i]] = first + i;
    for (uint32_t i = 0; i < f.sum.n && first != 0; i++) v->total[1 + f.x.at[f.sum.at[i]]] = true;
}

/* ---- the front end's gradients -------------------------------------------------------------------------- */

static void ask_front_end(Vjp *v)
{
    if (v->foreign)
        v->foreign(v);
    else
        status_fail(v->st, ST_UNSUPPORTED, "%s: its gradient is known to the front end only", op_def[v->node->op].name);
}

void vjp_call(Vjp *v) { ask_front_end(v); }

void vjp_custom(Vjp *v) { ask_front_end(v); }
