/* op_control: ONNX's If and Scan. Relies on import.h. */
#include "import.h"

/* ---- If ---------------------------------------------------------------------------------------------- */

typedef struct Branches {
    Call *c;
    const Plan *then, *otherwise, *now;
    kiln_tensor **out;
} Branches;

static bool branch(Run *r, void *arg)
{
    Branches *b = arg;
    Held *out = ARENA_ARRAY(r->arena, Held, b->now->outputs + 1);
    Call inside = *b->c;
    inside.arena = r->arena;
    if (!inner_run(b->c, r, b->now, NULL, 0, out)) return false;
    for (uint32_t i = 0; i < b->c->nout; i++) {
        if (out[i].many || out[i].nothing)
            return unsupported(&inside, "a sequence or an optional that follows from a condition that is computed");
        b->out[i] = held_tensor(&inside, &out[i]);
    }
    return true;
}

static void then_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)in;
    Branches *b = user;
    b->now = b->then;
    b->out = out;
    inner_try(b->c, branch, b);
}

static void otherwise_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)in;
    Branches *b = user;
    b->now = b->otherwise;
    b->out = out;
    inner_try(b->c, branch, b);
}

bool op_if(Call *c)
{
    Branches b = {.c = c, .then = inner_plan(c, "then_branch")};
    bool known;
    int64_t go;
    if (b.then) b.otherwise = inner_plan(c, "else_branch");
    if (!b.otherwise) return false;
    if (!has(c, 0)) return unsupported(c, "a missing condition");
    if (b.then->outputs < c->nout || b.otherwise->outputs < c->nout) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: its branches have %u and %u outputs, but it has %u", b.then->outputs,
            b.otherwise->outputs, c->nout);
        return false;
    }
    if (!known_number(c, 0, &known, &go)) return false;
    if (known) {
        const Plan *p = go ? b.then : b.otherwise;
        Run r = inner_here(c);
        c->out = ARENA_ARRAY(c->arena, Held, p->outputs + 1);
        return inner_run(c, &r, p, NULL, 0, c->out);
    }
    kiln_tensor **out = ARENA_ARRAY(c->arena, kiln_tensor *, c->nout + 1), *condition = scalar_of(c, 0);
    if (!tensor_ok(condition) ||
        !kiln_cond_at(c->at, c->t->k, of(condition), then_body, otherwise_body, NULL, 0, out, (int)c->nout, &b))
        return false;
    for (uint32_t i = 0; i < c->nout; i++)
        if (!give(c, i, out[i])) return false;
    return true;
}

/* ---- Scan -------------------------------------------------------------------------------------------- */

typedef struct Scan {
    Call *c;
    const Plan *p;
    uint32_t first, states, xs, ys; /* the operand that is the first state */
    kiln_tensor *length;            /* version 8: of one example, or NULL */
    kiln_tensor *const *in;
    kiln_tensor **out;
} Scan;

/* The state where the step is one of the example's, else what it was; what is stacked is zero there. */
static kiln_tensor *only_within(const Scan *s, kiln_tensor *x, kiln_tensor *was)
{
    const Call *c = s->c;
    if (!s->length || !tensor_ok(x)) return x;
    const kiln_operand other = was ? of(was) : KILN_OPERAND(0);
    return kiln_where_at(c->at, of(kiln_lt_at(c->at, of(s->in[0]), of(s->length))), of(x), other);
}

static bool step(Run *r, void *arg)
{
    Scan *s = arg;
    Held *in = ARENA_ARRAY(r->arena, Held, s->states + s->xs + 1), *out = ARENA_ARRAY(r->arena, Held, s->p->outputs + 1);
    Call inside = *s->c;
    inside.arena = r->arena;
    for (uint32_t i = 0; i < s->states + s->xs; i++) in[i].t = s->in[1 + i];
    if (!inner_run(s->c, r, s->p, in, s->states + s->xs, out)) return false;
    for (uint32_t i = 0; i < s->states + s->ys; i++) {
        if (out[i].many || out[i].nothing) return unsupported(&inside, "a sequence or an optional");
        s->out[i] = only_within(s, held_tensor(&inside, &out[i]), i < s->states ? in[i].t : NULL);
    }
    return true;
}

static void step_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    Scan *s = user;
    s->in = in;
    s->out = out;
    inner_try(s->c, step, s);
}

static bool steps(Scan *s, kiln_tensor *const *states, kiln_tensor *const *xs, kiln_tensor **out)
{
    const kiln_scan_options o = {
        .carries = states, .carries_count = (int)s->states, .xs = xs, .xs_count = (int)s->xs, .ys_count = (int)s->ys};
    return kiln_scan_sized(s->c->at, s->c->t->k, step_body, &o, out, out + s->states, s, sizeof o);
}

/* False: recorded. */
static bool listed(Call *c, const char *name, int64_t *at, uint32_t n)
{
    int count;
    memset(at, 0, n * sizeof *at);
    if (!attr_ints(c, name, at, (int)n, &count)) return false;
    return count < 0 || count == (int)n || unsupported(c, "a list of another length than what it is about");
}

static kiln_tensor *turned(const Call *c, kiln_tensor *x, int from, int to, bool backwards)
{
    if (from != to) x = kiln_moveaxis_at(c->at, of(x), KILN_AXES(from), KILN_AXES(to));
    return backwards ? kiln_flip_at(c->at, of(x), KILN_AXES(to)) : x;
}

static bool scan_along(Scan *s)
{
    Call *c = s->c;
    int64_t *axis = ARENA_ARRAY(c->arena, int64_t, s->xs + 1), *back = ARENA_ARRAY(c->arena, int64_t, s->xs + 1),
            *out_axis = ARENA_ARRAY(c->arena, int64_t, s->ys + 1), *out_back = ARENA_ARRAY(c->arena, int64_t, s->ys + 1);
    kiln_tensor **x = ARENA_ARRAY(c->arena, kiln_tensor *, s->states + s->xs + 1),
                **out = ARENA_ARRAY(c->arena, kiln_tensor *, s->states + s->ys + 1);
    if (!listed(c, "scan_input_axes", axis, s->xs) || !listed(c, "scan_input_directions", back, s->xs) ||
        !listed(c, "scan_output_axes", out_axis, s->ys) || !listed(c, "scan_output_directions", out_back, s->ys))
        return false;
    for (uint32_t i = 0; i < s->states + s->xs; i++) {
        x[i] = tensor(c, i);
        if (i >= s->states) x[i] = turned(c, x[i], (int)axis[i - s->states], 0, back[i - s->states] != 0);
        if (!tensor_ok(x[i])) return false;
    }
    if (!steps(s, x, x + s->states, out)) return false;
    for (uint32_t i = 0; i < s->states; i++)
        if (!give(c, i, out[i])) return false;
    for (uint32_t i = 0; i < s->ys; i++) {
        kiln_tensor *y = out[s->states + i];
        if (out_back[i]) y = kiln_flip_at(c->at, of(y), KILN_AXES(0));
        if (!give(c, s->states + i, turned(c, y, 0, (int)out_axis[i], false))) return false;
    }
    return true;
}

/* ---- version 8: the first axis is that of examples, each of which has a length of its own ---- */

static void example_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    Scan *s = user;
    const bool lengths = has(s->c, 0);
    s->length = lengths ? in[1] : NULL;
    in += 1 + lengths;
    steps(s, in, in + s->states, out);
}

static bool scan_examples(Scan *s)
{
    Call *c = s->c;
    const uint32_t lengths = has(c, 0);
    int64_t *back = ARENA_ARRAY(c->arena, int64_t, s->xs + 1);
    kiln_tensor **x = ARENA_ARRAY(c->arena, kiln_tensor *, lengths + s->states + s->xs + 1),
                **out = ARENA_ARRAY(c->arena, kiln_tensor *, s->states + s->ys + 1);
    if (!listed(c, "directions", back, s->xs)) return false;
    if (lengths) x[0] = tensor(c, 0);
    for (uint32_t i = 0; i < s->states + s->xs; i++) {
        kiln_tensor *t = tensor(c, 1 + i);
        if (i >= s->states && back[i - s->states]) t = lengths ? NULL : kiln_flip_at(c->at, of(t), KILN_AXES(1));
        if (!t) return unsupported(c, "a direction beside lengths");
        if (!tensor_ok(x[lengths + i] = t)) return false;
    }
    const kiln_scan_options o = {.xs = x, .xs_count = (int)(lengths + s->states + s->xs), .ys_count = (int)(s->states + s->ys)};
    if (!kiln_scan_sized(c->at, c->t->k, example_body, &o, NULL, out, s, sizeof o)) return false;
    for (uint32_t i = 0; i < s->states + s->ys; i++)
        if (!give(c, i, out[i])) return false;
    return true;
}

bool op_scan(Call *c)
{
    const bool examples = c->node->op->with.number != 0;
    Scan s = {.c = c, .p = inner_plan(c, "body"), .first = examples, .xs = (uint32_t)attr_int(c, "num_scan_inputs", 0)};
    if (!s.p) return false;
    if (s.xs == 0 || c->nin < s.first + s.xs) return unsupported(c, "num_scan_inputs of other than it has");
    s.states = c->nin - s.first - s.xs;
    if (s.p->outputs < s.states) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: its graph has %u outputs for %u states", s.p->outputs, s.states);
        return false;
    }
    s.ys = s.p->outputs - s.states;
    if (s.p->outputs > c->nout) c->out = ARENA_ARRAY(c->arena, Held, s.p->outputs + 1);
    return examples ? scan_examples(&s) : scan_along(&s);
}
