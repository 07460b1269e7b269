/* op_loop: ONNX's Loop. Eagerly, and where its turns must be known, it is written out turn by turn; else it is a loop of the graph:
 * one that counts, or one that asks a condition before each turn. Relies on import.h. */
#include <kiln/sized.h>

#include "import.h"

enum { MOST_WRITTEN = 1 << 20 }; /* nodes */

typedef struct Loop {
    Call *c;
    const Plan *p;
    uint32_t carries, stacks;
    bool counted, count_known, go_known;
    int64_t count, go; /* how often at most, and whether at all, where that is known */
    Held yes;
    kiln_tensor *most; /* the count as a tensor */
    bool changed;      /* what is carried changes its dtype or sizes */
    bool measures;     /* a body that runs for its types alone */
    Type *stack;       /* a turn's values to be stacked: their types */
    /* of the body that runs */
    kiln_tensor *const *in;
    kiln_tensor **out;
} Loop;

/* ---- written out -------------------------------------------------------------------------------------- */

typedef struct Turns {
    Loop *l;
    Held *carry;                /* owned in eager code, where each turn is a scope */
    VEC(kiln_tensor *) * stack; /* per value: those of each turn, owned likewise */
    int64_t done;
    bool go, eager;
} Turns;

static bool turn(Run *r, void *arg)
{
    Turns *x = arg;
    const Loop *l = x->l;
    Call *c = l->c;
    Held *in = ARENA_ARRAY(r->arena, Held, l->carries + 2), *out = ARENA_ARRAY(r->arena, Held, l->p->outputs + 1);
    bool known;
    int64_t go = 0;
    in[0] = (Held){.size = arena_copy(r->arena, &x->done, sizeof x->done), .sizes = 1};
    in[1] = l->yes;
    memcpy(in + 2, x->carry, l->carries * sizeof *in);
    if (!inner_run(c, r, l->p, in, l->carries + 2, out)) return false;
    Call asks = *c;
    asks.arena = r->arena;
    asks.in = out;
    asks.nin = 1;
    if (!known_number(&asks, 0, &known, &go)) return false;
    if (!known) return unsupported(c, "a condition that is computed, in a loop whose turns must be known,");
    for (uint32_t i = 0; i < l->stacks; i++) {
        Held h = out[1 + l->carries + i];
        if (h.many || h.nothing) return unsupported(c, "stacking of what is no tensor");
        h = (Held){.t = held_tensor(c, &h)};
        if (!tensor_ok(h.t)) return false;
        *VEC_PUSH(c->arena, &x->stack[i]) = x->eager ? held_copy(c, &h, true).t : h.t;
    }
    for (uint32_t i = 0; x->eager && i < l->carries; i++) out[1 + i] = held_copy(c, &out[1 + i], true);
    for (uint32_t i = 0; i < l->carries; i++) { /* last: results may be what was carried */
        if (x->eager) held_release(&x->carry[i]);
        x->carry[i] = out[1 + i];
    }
    x->go = go != 0;
    x->done++;
    return true;
}

static bool more_turns(const Turns *x) { return x->go && (!x->l->counted || x->done < x->l->count); }

static bool turns(Turns *x)
{
    const Call *c = x->l->c;
    bool ok = true;
    while (ok && more_turns(x)) {
        if (c->t->trace && (*c->written += x->l->p->steps) > MOST_WRITTEN) {
            fail(c->t, c->at, KILN_EUNSUPPORTED,
                "onnx: a loop whose turns must be known has too many of them: more than %d nodes would be written out",
                MOST_WRITTEN);
            return false;
        }
        kiln_scope s = x->eager ? kiln_scope_open_at(c->at, c->t->k) : (kiln_scope){0};
        Run here = inner_here(c);
        ok = (x->eager ? inner_try(c, turn, x) : turn(&here, x)) && !kiln_failed(c->t->k);
        if (x->eager) kiln_scope_close(&s);
    }
    return ok;
}

static bool measure(Loop *l);

/* What no turn has given has the shape that a turn's would have. */
static bool stack_none(Loop *l, uint32_t i)
{
    Call *c = l->c;
    if (!l->stack && !measure(l)) return false;
    Type to = l->stack[i];
    memmove(to.dim + 1, to.dim, to.rank * sizeof *to.dim);
    if (to.rank == MAX_RANK) return unsupported(c, "a stack of so many axes");
    to.rank++;
    to.dim[0] = 0;
    kiln_tensor *zero = kiln_full_at(c->at, c->t->k, (kiln_dtype)to.dtype, KILN_SHAPE(), KILN_OPERAND(0));
    return give(c, l->carries + i, tensor_ok(zero) ? broadcast_to(c->t, c->at, zero, &to) : zero);
}

static bool give_turns(Turns *x)
{
    Loop *l = x->l;
    Call *c = l->c;
    for (uint32_t i = 0; i < l->carries; i++) c->out[i] = x->eager ? held_copy(c, &x->carry[i], false) : x->carry[i];
    for (uint32_t i = 0; i < l->stacks; i++) {
        if (x->done == 0) {
            if (!stack_none(l, i)) return false;
            continue;
        }
        if (!give(c, l->carries + i, kiln_stack_at(c->at, x->stack[i].at, (int)x->done, 0))) return false;
    }
    return true;
}

static bool written_out(Loop *l)
{
    Call *c = l->c;
    Turns x = {.l = l, .go = l->go != 0, .eager = !c->t->trace};
    x.carry = ARENA_ARRAY(c->arena, Held, l->carries + 1);
    x.stack = arena_zeros(c->arena, l->stacks + 1, sizeof *x.stack);
    for (uint32_t i = 0; i < l->carries; i++) x.carry[i] = x.eager ? held_copy(c, &c->in[2 + i], true) : c->in[2 + i];
    const bool ok = turns(&x) && give_turns(&x);
    for (uint32_t i = 0; x.eager && i < l->carries; i++) held_release(&x.carry[i]);
    for (uint32_t i = 0; x.eager && i < l->stacks; i++)
        for (uint32_t j = 0; j < x.stack[i].len; j++)
            if (tensor_ok(x.stack[i].at[j])) kiln_release(x.stack[i].at[j]);
    return ok;
}

/* ---- as loops of the graph ---------------------------------------------------------------------------- */

/* Runs the body on a loop's tensors: its carries, and what it stacks. What changes its type stays what it was, and is told. */
static bool body_run(Loop *l, Run *r, kiln_tensor *index, Held go, kiln_tensor *const *carry, Held *out)
{
    const Call *c = l->c;
    Held *in = ARENA_ARRAY(r->arena, Held, l->carries + 2);
    in[0].t = index;
    in[1] = go;
    for (uint32_t i = 0; i < l->carries; i++) in[2 + i].t = carry[i];
    if (!inner_run(c, r, l->p, in, l->carries + 2, out)) return false;
    Call inside = *c;
    inside.arena = r->arena;
    for (uint32_t i = 0; i < l->p->outputs; i++) {
        if (out[i].many || out[i].nothing)
            return unsupported(&inside, "a sequence or an optional in a loop that is not written out");
        out[i].t = held_tensor(&inside, &out[i]);
        if (!tensor_ok(out[i].t)) return false;
        if (i == 0 || i > l->carries || type_equal(&out[i].t->type, &carry[i - 1]->type)) continue;
        l->changed = true;
        out[i].t = carry[i - 1];
    }
    return true;
}

static bool counting(Run *r, void *arg)
{
    Loop *l = arg;
    Held *out = ARENA_ARRAY(r->arena, Held, l->p->outputs + 1);
    if (!body_run(l, r, l->in[0], l->yes, l->in + 1, out)) return false;
    for (uint32_t i = 1; i < l->p->outputs; i++) l->out[i - 1] = out[i].t;
    for (uint32_t i = 0; l->measures && i < l->stacks; i++) l->stack[i] = l->out[l->carries + i]->type;
    return true;
}

static void counting_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    Loop *l = user;
    l->in = in;
    l->out = out;
    inner_try(l->c, counting, l);
}

static kiln_tensor **carried(Loop *l, uint32_t more)
{
    Call *c = l->c;
    kiln_tensor **x = ARENA_ARRAY(c->arena, kiln_tensor *, l->carries + more + 1);
    for (uint32_t i = 0; i < l->carries; i++)
        if (!tensor_ok(x[more + i] = tensor(c, 2 + i))) return NULL;
    return x;
}

/* over: what has as many elements as there are turns, where their number is no plain one; else NULL. */
static bool scan(Loop *l, int64_t steps, kiln_tensor *over, kiln_tensor **out)
{
    Call *c = l->c;
    kiln_tensor **carry = carried(l, 0);
    const kiln_scan_options o = {.carries = carry,
        .carries_count = (int)l->carries,
        .xs = &over,
        .xs_count = over ? 1 : 0,
        .ys_count = (int)l->stacks,
        .steps = steps};
    return carry && kiln_scan_sized(c->at, c->t->k, counting_body, &o, out, out + l->carries, l, sizeof o);
}

/* One turn for the types of what it stacks; nothing uses its results. */
static bool measure(Loop *l)
{
    kiln_tensor **out = ARENA_ARRAY(l->c->arena, kiln_tensor *, l->carries + l->stacks + 1);
    l->stack = ARENA_ARRAY(l->c->arena, Type, l->stacks + 1);
    l->measures = true;
    const bool ok = scan(l, 1, NULL, out);
    l->measures = false;
    return ok;
}

static bool give_all(Loop *l, kiln_tensor **out)
{
    for (uint32_t i = 0; i < l->carries + l->stacks; i++)
        if (!give(l->c, i, out[i])) return false;
    return true;
}

/* As often as a size that is a symbol says. */
static bool stacking(Loop *l, kiln_tensor **out)
{
    Call *c = l->c;
    const Held *h = &c->in[0];
    const Known n = h->size && h->sizes == 1 && h->over <= 1 ? known_max(c, h->size[0], 0) : KNOWN_BAD;
    if (n == KNOWN_BAD) return unsupported(c, "stacking as often as is computed");
    kiln_tensor *over = iota_of(c->t, c->at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {known_dim(n)}}, 0, l->most);
    if (!tensor_ok(over) || !scan(l, 0, over, out)) return false;
    if (l->changed) return unsupported(c, "a value whose sizes change in a loop that turns as often as a symbol says");
    return give_all(l, out);
}

/* As often as the count says. */
static bool counted_loop(Loop *l)
{
    Call *c = l->c;
    kiln_tensor **out = ARENA_ARRAY(c->arena, kiln_tensor *, l->carries + l->stacks + 1);
    if (l->count_known && l->count > 0) {
        if (!scan(l, l->count, NULL, out)) return false;
        if (l->changed) return written_out(l);
        return give_all(l, out);
    }
    if (l->count_known) return written_out(l);
    if (l->stacks != 0) return stacking(l, out);
    kiln_tensor **carry = carried(l, 0);
    if (!carry || !kiln_for_at(c->at, c->t->k, of(l->most), counting_body, carry, (int)l->carries, out, l)) return false;
    if (l->changed) return unsupported(c, "a value whose sizes change in a loop that turns as often as is computed");
    return give_all(l, out);
}

/* ---- with a condition: carries are whether to go on, how many turns were made, what is stacked, the loop's own ---- */

static bool asking(Run *r, void *arg)
{
    Loop *l = arg;
    const uint32_t first = 2 + l->stacks;
    kiln_tensor *const *in = l->in + 1;
    Held *out = ARENA_ARRAY(r->arena, Held, l->p->outputs + 1);
    const Call *c = l->c;
    if (!body_run(l, r, l->in[0], (Held){.t = in[0]}, in + first, out)) return false;
    l->out[0] = out[0].t->type.rank ? reshape_to(c->t, c->at, out[0].t, NULL, 0) : out[0].t;
    l->out[1] = kiln_add_at(c->at, of(in[1]), KILN_OPERAND(1));
    for (uint32_t i = 0; i < l->stacks; i++) {
        const kiln_tensor *y = out[1 + l->carries + i].t;
        const Dim one = 1;
        if (!type_equal(&y->type, &l->stack[i])) return unsupported((Call *)(uintptr_t)c, "stacking of what changes its sizes");
        kiln_tensor *at = reshape_to(c->t, c->at, in[1], &one, 1),
                    *row = kiln_expand_dims_at(c->at, of((kiln_tensor *)(uintptr_t)y), KILN_AXES(0));
        l->out[2 + i] = kiln_scatter_at(c->at, of(in[2 + i]), of(at), of(row), 0, KILN_SCATTER_SET);
    }
    for (uint32_t i = 0; i < l->carries; i++) l->out[first + i] = out[1 + i].t;
    return true;
}

static void asking_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    Loop *l = user;
    l->in = in;
    l->out = out;
    inner_try(l->c, asking, l);
}

static void condition_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    const Loop *l = user;
    const Call *c = l->c;
    out[0] = in[1];
    if (l->counted) out[0] = kiln_and_at(c->at, of(in[1]), of(kiln_lt_at(c->at, of(in[2]), of(l->most))));
}

static kiln_tensor *room_for(Loop *l, uint32_t i)
{
    const Call *c = l->c;
    Type to = l->stack[i];
    kiln_tensor *zero = kiln_full_at(c->at, c->t->k, (kiln_dtype)to.dtype, KILN_SHAPE(), KILN_OPERAND(0));
    if (!tensor_ok(zero) || to.rank == MAX_RANK) return &c->t->k->poison;
    memmove(to.dim + 1, to.dim, to.rank * sizeof *to.dim);
    to.rank++;
    to.dim[0] = l->count;
    return broadcast_to(c->t, c->at, zero, &to);
}

static bool asking_loop(Loop *l)
{
    Call *c = l->c;
    const uint32_t first = 2 + l->stacks;
    if (l->stacks != 0 && (!l->count_known || l->count > INT32_MAX))
        return unsupported(c, "stacking until a condition that is computed, without a count that is known,");
    if (l->count_known && l->count <= 0) return written_out(l);
    if (l->stacks != 0 && !measure(l)) return false;
    kiln_tensor **x = carried(l, first), **out = ARENA_ARRAY(c->arena, kiln_tensor *, first + l->carries + 1);
    if (!x) return false;
    x[0] = has(c, 1) ? scalar_of(c, 1) : l->yes.t;
    x[1] = kiln_full_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(), KILN_OPERAND(0));
    for (uint32_t i = 0; i < l->stacks; i++)
        if (!tensor_ok(x[2 + i] = room_for(l, i))) return unsupported(c, "a stack of so many axes");
    if (!kiln_while_at(c->at, c->t->k, 0, condition_body, asking_body, x, (int)(first + l->carries), out, l)) return false;
    if (l->changed) return unsupported(c, "a value whose sizes change in a loop that ends by a condition that is computed");
    for (uint32_t i = 0; i < l->carries; i++)
        if (!give(c, i, out[first + i])) return false;
    if (l->stacks == 0) return true;
    kiln_tensor *made = kiln_lt_at(c->at, of(kiln_iota_at(c->at, c->t->k, KILN_I64, KILN_SHAPE(l->count), 0)), of(out[1]));
    for (uint32_t i = 0; i < l->stacks; i++)
        if (!give(c, l->carries + i, kiln_compress_at(c->at, of(out[2 + i]), of(made), 0))) return false;
    return true;
}

/* ---- which ------------------------------------------------------------------------------------------- */

static const PlanNode *maker(const Plan *p, uint32_t name)
{
    for (uint32_t i = p->nodes; i-- > 0;)
        for (uint32_t j = 0; j < p->node[i].node->output.n; j++)
            if (p->node[i].out[j] == name) return &p->node[i];
    return NULL;
}

static bool holds(Call *c, Held h)
{
    bool known = false;
    int64_t v = 0;
    Call asks = *c;
    asks.in = &h;
    asks.nin = 1;
    return (h.constant || h.size) && known_number(&asks, 0, &known, &v) && known && v != 0;
}

/* The condition that a turn gives is the one that it was given, or true. */
static bool always(Loop *l)
{
    const Plan *p = l->p;
    uint32_t x = p->output[0];
    for (uint32_t round = 0; round <= p->nodes; round++) {
        if (x == p->input[1]) return true;
        for (uint32_t i = 0; i < p->initializers; i++)
            if (x == p->initializer[i]) return holds(l->c, (Held){.t = l->c->m->weight[p->weight + i], .constant = true});
        for (uint32_t i = 0; i < p->takes; i++)
            if (x == p->taken[i]) return holds(l->c, l->c->env->value[p->from[i]]);
        const PlanNode *n = maker(p, x);
        if (!n || !n->op) return false;
        if (strcmp(n->op->name, "Identity") == 0 && n->node->input.n == 1) {
            x = n->in[0];
            continue;
        }
        if (strcmp(n->op->name, "Constant") != 0) return false;
        const OnnxAttribute *a = n->node->attribute.n == 1 ? &n->node->attribute.at[0] : NULL;
        if (!a || !a->t) return false;
        kiln_eagerly now = kiln_eagerly_open(l->c->t->k);
        const bool yes = holds(l->c, (Held){.t = tensor_value(l->c->t, l->c->at, l->c->m, a->t), .constant = true});
        kiln_eagerly_close(&now);
        return yes;
    }
    return false;
}

/* Sizes follow from what changes from turn to turn, or what is carried is no tensor. */
static bool must_write(const Loop *l)
{
    const Plan *p = l->p;
    const Call *c = l->c;
    bool must = p->known[p->input[0]] || p->known[p->input[1]] || (l->go_known && !l->go);
    for (uint32_t i = 0; i < l->carries; i++) must |= p->known[p->input[2 + i]] || c->in[2 + i].many || c->in[2 + i].nothing;
    for (uint32_t i = 1; i < p->outputs; i++) {
        const OnnxType *type = p->graph->output.at[i].type;
        must |= p->known[p->output[i]] || (type && (type->sequence || type->optional));
    }
    return must;
}

static bool run_loop(Loop *l)
{
    Call *c = l->c;
    const bool endless = !l->counted && always(l) && l->go_known && l->go;
    if (endless) return unsupported(c, "a loop without an end");
    if (!c->t->trace || must_write(l)) {
        if (l->counted && !l->count_known) return unsupported(c, "a number of turns that is computed, where turns must be known,");
        if (!l->go_known) return unsupported(c, "a condition that is computed, where turns must be known,");
        return written_out(l);
    }
    l->most = l->counted ? scalar_of(c, 0) : NULL;
    if (l->counted && !tensor_ok(l->most)) return false;
    return l->go_known && always(l) ? counted_loop(l) : asking_loop(l);
}

bool op_loop(Call *c)
{
    Loop l = {.c = c, .p = inner_plan(c, "body"), .carries = c->nin > 2 ? c->nin - 2 : 0, .counted = has(c, 0), .go = 1};
    if (!l.p) return false;
    if (l.p->inputs != l.carries + 2 || l.p->outputs < l.carries + 1) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: its graph has %u inputs and %u outputs for %u values that are carried", l.p->inputs,
            l.p->outputs, l.carries);
        return false;
    }
    l.stacks = l.p->outputs - 1 - l.carries;
    if (l.p->outputs - 1 > c->nout) c->out = ARENA_ARRAY(c->arena, Held, l.p->outputs);
    l.go_known = !has(c, 1);
    l.yes = held_bool(c, true);
    if (l.counted && !known_number(c, 0, &l.count_known, &l.count)) return false;
    return (!has(c, 1) || known_number(c, 1, &l.go_known, &l.go)) && run_loop(&l);
}
