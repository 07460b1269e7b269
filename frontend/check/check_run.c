/* check_run: a traced graph node by node through the one door, as eager code would run it: loops step by step, branches as their
 * selector says. Relies on apply. Never records, never stores. */
#include "check.h"
#include "../trace/region.h"
#include "../../ir/loop.h"

typedef struct Steps { /* one loop; operand p goes to parameter p */
    CheckRun *run;
    Thread *t;
    kiln_site at;
    const Graph *condition, *body; /* condition NULL: it has none */
    uint32_t carries, xs, ys;
    bool reverse;
    int64_t trip;  /* the steps of a loop without a condition */
    int64_t bound; /* the slices of a stack of a loop with a condition; slices of steps that were not taken are 0 */
    kiln_tensor *const *in;
    kiln_tensor **carry;
    kiln_tensor **y; /* ys of each step */
    int64_t gone, room;
} Steps;

static bool more_room(Steps *s)
{
    if (s->gone < s->room || !s->ys) return true;
    int64_t room = s->room ? 2 * s->room : 64;
    kiln_tensor **y = mem_resize(s->y, (size_t)s->room * s->ys * sizeof *y, (size_t)room * s->ys * sizeof *y);
    if (!y) return fail(s->t, s->at, KILN_EMEMORY, "check: no memory"), false;
    s->y = y;
    s->room = room;
    return true;
}

static void give_params(const Steps *s, const Graph *g, int64_t index, kiln_tensor **value)
{
    const Type i64 = {.dtype = DT_i64};
    value[g->param.at[0]] = constant_of(s->t, s->at, &i64, kiln_of_i(index));
    for (uint32_t p = 1; p < g->param.len; p++) {
        kiln_tensor *x = p <= s->carries ? s->carry[p - 1] : s->in[p];
        if (p > s->carries && p <= s->carries + s->xs) {
            const Type *slice = graph_type(g, g->param.at[p]);
            x = kiln_slice_at(s->at, kiln_of_tensor(x), 0, index, index + 1, 1);
            x = reshape_to(s->t, s->at, x, x->type.dim + 1, slice->rank);
        }
        value[g->param.at[p]] = x;
    }
}

/* Whether there is another step; false too after an error. */
static bool asks(Steps *s)
{
    const Graph *g = s->condition;
    if (!g) return s->gone < s->trip;
    ScratchMark mark = scratch_mark(&s->t->scratch);
    kiln_tensor **value = SCRATCH(s->t, s->at, kiln_tensor *, g->value.len);
    if (value) give_params(s, g, s->gone, value);
    bool on = value && check_run(s->run, g, value) && kiln_item_i64_at(s->at, kiln_of_tensor(value[g->result.at[0]])) != 0;
    scratch_reset(&s->t->scratch, mark);
    return on;
}

/* value: room for the body's. */
static bool step(Steps *s, kiln_tensor **value)
{
    const Graph *g = s->body;
    const int64_t index = s->reverse ? s->trip - 1 - s->gone : s->gone;
    give_params(s, g, index, value);
    if (!more_room(s) || !check_run(s->run, g, value)) return false;
    for (uint32_t i = 0; i < s->carries; i++) s->carry[i] = value[g->result.at[i]];
    for (uint32_t i = 0; i < s->ys; i++) s->y[s->gone * s->ys + i] = value[g->result.at[s->carries + i]];
    s->gone++;
    return true;
}

/* Stacked output i of all steps. */
static kiln_tensor *stacked(const Steps *s, uint32_t i)
{
    Type type = *graph_type(s->body, s->body->result.at[s->carries + i]);
    memmove(type.dim + 1, type.dim, type.rank++ * sizeof *type.dim);
    type.dim[0] = MAX_OF(s->gone, s->bound);
    kiln_tensor *out = tensor_empty(s->t, s->at, &type);
    const size_t bytes = out && s->gone ? kiln_bytes(out) / (size_t)type.dim[0] : 0;
    if (out) memset(out->data, 0, kiln_bytes(out));
    for (int64_t k = 0; out && k < s->gone; k++) {
        kiln_tensor *y = tensor_host(s->t, s->at, s->y[k * s->ys + i]);
        if (!tensor_ok(y)) return NULL;
        memcpy(out->data + (size_t)(s->reverse ? s->gone - 1 - k : k) * bytes, y->data, bytes);
    }
    return tensor_place(s->t, s->at, out);
}

static bool run_steps(Steps *s, kiln_tensor **out)
{
    uint64_t failures = s->t->failures;
    s->carry = out;
    for (uint32_t i = 0; i < s->carries; i++) out[i] = s->in[1 + i];
    ScratchMark mark = scratch_mark(&s->t->scratch);
    kiln_tensor **value = SCRATCH(s->t, s->at, kiln_tensor *, s->body->value.len);
    while (value && asks(s))
        if (!step(s, value)) break;
    scratch_reset(&s->t->scratch, mark);
    bool ok = s->t->failures == failures && !s->run->wrong;
    for (uint32_t i = 0; i < s->ys && ok; i++) ok = (out[s->carries + i] = stacked(s, i));
    mem_free(s->y, (size_t)s->room * s->ys * sizeof *s->y);
    return ok;
}

static bool run_loop(CheckRun *run, const Module *m, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    const struct loop_attrs *a = ATTRS(loop, n->attr->at);
    const Type i64 = {.dtype = DT_i64};
    Steps s = {.run = run,
        .t = run->t,
        .at = run->at,
        .condition = loop_condition(m, n->attr),
        .body = loop_body(m, n->attr),
        .carries = (uint32_t)a->carries,
        .xs = (uint32_t)a->xs,
        .ys = (uint32_t)a->ys,
        .reverse = a->reverse != 0,
        .in = in};
    if (s.condition)
        s.bound = MAX_OF(a->steps, 0);
    else
        s.trip = MAX_OF(kiln_item_i64_at(run->at, kiln_of_tensor(in[0])), 0);
    if (!run_steps(&s, out)) return false;
    if (s.condition) out[n->nout - 1] = constant_of(run->t, run->at, &i64, kiln_of_i(s.gone));
    return true;
}

static bool run_branch(CheckRun *run, const Module *m, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    const Graph *g = m->graph.at[ATTRS(branch, n->attr->at)->cases[branch_taken(run->at, in[0], n->attr->len)]];
    kiln_tensor **value = SCRATCH(run->t, run->at, kiln_tensor *, g->value.len);
    if (!value) return false;
    for (uint32_t p = 0; p < g->param.len; p++) value[g->param.at[p]] = in[1 + p];
    if (!check_run(run, g, value)) return false;
    for (uint32_t i = 0; i < n->nout; i++) out[i] = value[g->result.at[i]];
    return true;
}

/* With scratch that the caller gives back. */
static bool run_node(CheckRun *run, const Module *m, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    switch (n->op) {
    case OP_loop: return run_loop(run, m, n, in, out);
    case OP_branch: return run_branch(run, m, n, in, out);
    case OP_custom: out[0] = in[0]; return true; /* the first operand itself; its gradient is in the graph already */
    case OP_callback:
        fail(run->t, run->at, KILN_EUNSUPPORTED, "check: the body calls C code (%s:%d), which cannot be checked",
            n->loc.file ? n->loc.file : "?", n->loc.line);
        return false;
    default:
        if (op_def[n->op].flags & OPF_EFFECT && n->nout == 0) return true; /* it would happen at every comparison */
        return tensor_ok(apply(run->t, run->at, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, out, n->nout));
    }
}

static bool is_op(const Node *n)
{
    return !(op_def[n->op].flags & (OPF_REGION | OPF_EFFECT)) && n->op != OP_param && n->op != OP_custom;
}

bool check_run(CheckRun *run, const Graph *g, kiln_tensor **value)
{
    for (uint32_t i = 0; i < g->node.len; i++) {
        const Node *n = &g->node.at[i];
        if (n->op == OP_param) continue;
        ScratchMark mark = scratch_mark(&run->t->scratch);
        kiln_tensor **in = SCRATCH(run->t, run->at, kiln_tensor *, n->nin);
        for (uint32_t k = 0; in && k < n->nin; k++) in[k] = value[n->in[k]];
        bool ok = in && run_node(run, g->module, n, in, &value[n->out]);
        run->wrong = ok && is_op(n) && !run->judge(run->user, g, i, in, &value[n->out]);
        scratch_reset(&run->t->scratch, mark);
        if (!ok || run->wrong) return false;
    }
    return true;
}
