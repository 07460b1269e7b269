/* op_training: ONNX's domain ai.onnx.preview.training: gradients of a part of the graph, and optimisers' steps. Relies on import.h.
 */
#include "import.h"

/* ---- optimisers: a rate, how many steps were made, then n tensors of each kind ------------------------- */

typedef struct Update {
    Call *c;
    uint32_t n, i; /* tensors of each kind, and which one */
    kiln_tensor *rate, *done;
    double alpha, beta, epsilon, norm;
} Update;

static kiln_tensor *plus(const Call *c, kiln_tensor *a, kiln_tensor *b) { return kiln_add_at(c->at, of(a), of(b)); }
static kiln_tensor *times(const Call *c, double a, kiln_tensor *b) { return kiln_mul_at(c->at, of(b), KILN_OPERAND(a)); }
static kiln_tensor *square(const Call *c, kiln_tensor *x) { return kiln_mul_at(c->at, of(x), of(x)); }

static kiln_tensor *kind(const Update *s, uint32_t which) { return tensor(s->c, 2 + which * s->n + s->i); }

/* The gradient, with that of norm / 2 |x|^2. */
static kiln_tensor *slope(const Update *s)
{
    kiln_tensor *g = kind(s, 1);
    return s->norm != 0 ? plus(s->c, g, times(s->c, s->norm, kind(s, 0))) : g;
}

/* x - rate * by */
static kiln_tensor *moved(const Update *s, kiln_tensor *rate, kiln_tensor *by)
{
    const Call *c = s->c;
    return kiln_sub_at(c->at, of(kind(s, 0)), of(kiln_mul_at(c->at, of(rate), of(by))));
}

static bool gives(const Update *s, uint32_t which, kiln_tensor *x) { return give(s->c, which * s->n + s->i, x); }

/* The rate, and the number of steps, in the dtype of what moves. */
static bool begin(Update *s, uint32_t kinds)
{
    Call *c = s->c;
    if (c->nin < 2 + kinds || (c->nin - 2) % kinds != 0) return unsupported(c, "so many inputs");
    s->n = (c->nin - 2) / kinds;
    if (c->nout != s->n * (kinds - 1)) return unsupported(c, "other than as many outputs as it changes");
    kiln_tensor *x = tensor(c, 2), *rate = scalar_of(c, 0), *done = scalar_of(c, 1);
    if (!tensor_ok(x) || !tensor_ok(rate) || !tensor_ok(done)) return false;
    s->rate = cast_to(c->t, c->at, rate, (DType)x->type.dtype);
    s->done = cast_to(c->t, c->at, done, (DType)x->type.dtype);
    s->norm = attr_float(c, "norm_coefficient", 0);
    return tensor_ok(s->rate) && tensor_ok(s->done);
}

bool op_adagrad(Call *c)
{
    Update s = {.c = c, .epsilon = attr_float(c, "epsilon", 1e-6f)};
    if (!begin(&s, 3)) return false;
    kiln_tensor *slower = kiln_add_at(c->at, of(times(c, attr_float(c, "decay_factor", 0), s.done)), KILN_OPERAND(1)),
                *rate = kiln_div_at(c->at, of(s.rate), of(slower));
    for (; s.i < s.n; s.i++) {
        kiln_tensor *g = slope(&s), *h = plus(c, kind(&s, 2), square(c, g)),
                    *size = kiln_add_at(c->at, of(kiln_sqrt_at(c->at, of(h))), KILN_OPERAND(s.epsilon));
        if (!gives(&s, 0, moved(&s, rate, kiln_div_at(c->at, of(g), of(size)))) || !gives(&s, 1, h)) return false;
    }
    return true;
}

static kiln_tensor *one_less_power(const Call *c, double base, kiln_tensor *exponent)
{
    kiln_tensor *b = kiln_add_at(c->at, of(kiln_mul_at(c->at, of(exponent), KILN_OPERAND(0))), KILN_OPERAND(base));
    return kiln_sub_at(c->at, KILN_OPERAND(1), of(kiln_pow_at(c->at, of(b), of(exponent))));
}

bool op_adam(Call *c)
{
    const double after = 1 - attr_float(c, "norm_coefficient_post", 0);
    Update s = {.c = c,
        .alpha = attr_float(c, "alpha", 0.9f),
        .beta = attr_float(c, "beta", 0.999f),
        .epsilon = attr_float(c, "epsilon", 1e-6f)};
    if (!begin(&s, 4)) return false;
    kiln_tensor *later = kiln_mul_at(c->at, of(s.rate),
        of(kiln_div_at(
            c->at, of(kiln_sqrt_at(c->at, of(one_less_power(c, s.beta, s.done)))), of(one_less_power(c, s.alpha, s.done)))));
    kiln_tensor *rate = kiln_where_at(c->at, of(kiln_gt_at(c->at, of(s.done), KILN_OPERAND(0))), of(later), of(s.rate));
    for (; s.i < s.n; s.i++) {
        kiln_tensor *g = slope(&s), *v = plus(c, times(c, s.alpha, kind(&s, 2)), times(c, 1 - s.alpha, g)),
                    *h = plus(c, times(c, s.beta, kind(&s, 3)), times(c, 1 - s.beta, square(c, g))),
                    *size = kiln_add_at(c->at, of(kiln_sqrt_at(c->at, of(h))), KILN_OPERAND(s.epsilon));
        kiln_tensor *x = moved(&s, rate, kiln_div_at(c->at, of(v), of(size)));
        if (!gives(&s, 0, after != 1 ? times(c, after, x) : x) || !gives(&s, 1, v) || !gives(&s, 2, h)) return false;
    }
    return true;
}

bool op_momentum(Call *c)
{
    const bool ahead = attr_is(c, "mode", "nesterov");
    Update s = {.c = c, .alpha = attr_float(c, "alpha", 0), .beta = attr_float(c, "beta", 0)};
    if (!ahead && !attr_is(c, "mode", "standard")) return unsupported_word(c, "mode", "standard and nesterov");
    if (!begin(&s, 3)) return false;
    kiln_tensor *one = kiln_add_at(c->at, of(times(c, 0, s.done)), KILN_OPERAND(1)),
                *part =
                    kiln_where_at(c->at, of(kiln_gt_at(c->at, of(s.done), KILN_OPERAND(0))), of(times(c, s.beta, one)), of(one));
    for (; s.i < s.n; s.i++) {
        kiln_tensor *g = slope(&s), *v = plus(c, times(c, s.alpha, kind(&s, 2)), kiln_mul_at(c->at, of(part), of(g)));
        if (!gives(&s, 0, moved(&s, s.rate, ahead ? plus(c, g, times(c, s.alpha, v)) : v)) || !gives(&s, 1, v)) return false;
    }
    return true;
}

/* ---- gradients: the part of the graph that leads from xs and zs to y runs again, under a tape ---- */

enum { MOST_AGAIN = 1 << 20 };

static uint32_t number_named(const Plan *p, Bytes name)
{
    for (uint32_t i = 0; i < p->nodes; i++) {
        const PlanNode *n = &p->node[i];
        for (uint32_t j = 0; j < n->node->input.n; j++)
            if (bytes_equal(n->node->input.at[j], name)) return n->in[j];
        for (uint32_t j = 0; j < n->node->output.n; j++)
            if (bytes_equal(n->node->output.at[j], name)) return n->out[j];
    }
    return UINT32_MAX;
}

static bool marked(const bool *mark, const uint32_t *name, uint32_t n)
{
    bool some = false;
    for (uint32_t i = 0; i < n; i++) some |= name[i] != UINT32_MAX && mark[name[i]];
    return some;
}

static void mark_all(bool *mark, const uint32_t *name, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (name[i] != UINT32_MAX) mark[name[i]] = true;
}

static bool reads_marked(const PlanNode *n, const bool *mark)
{
    bool some = marked(mark, n->in, n->node->input.n);
    for (uint32_t j = 0; n->inner && j < n->node->attribute.n; j++)
        if (n->inner[j]) some |= marked(mark, n->inner[j]->from, n->inner[j]->takes);
    return some || (n->op && strcmp(n->op->name, "Gradient") == 0); /* which reads more than it says */
}

/* Nodes before this one that y follows from. */
static bool *leads_to(Call *c, uint32_t y)
{
    const Plan *p = c->env->plan;
    bool *need = arena_zeros(c->arena, p->names + 1, sizeof *need), *node = arena_zeros(c->arena, p->nodes + 1, sizeof *node);
    need[y] = true;
    for (uint32_t i = (uint32_t)(c->node - p->node); i-- > 0;) {
        const PlanNode *n = &p->node[i];
        node[i] = marked(need, n->out, n->node->output.n);
        if (!node[i]) continue;
        mark_all(need, n->in, n->node->input.n);
        for (uint32_t j = 0; n->inner && j < n->node->attribute.n; j++)
            if (n->inner[j]) mark_all(need, n->inner[j]->from, n->inner[j]->takes);
    }
    return node;
}

static bool run_again(Call *c, Env *e, bool *mark, uint32_t y)
{
    const Plan *p = e->plan;
    const bool *leads = leads_to(c, y);
    Run r = inner_here(c);
    for (uint32_t i = 0; i < p->nodes && &p->node[i] != c->node; i++) {
        if (!leads[i] || !reads_marked(&p->node[i], mark)) continue;
        mark_all(mark, p->node[i].out, p->node[i].node->output.n);
        if ((*c->written += p->node[i].node->input.n + 1) > MOST_AGAIN) return unsupported(c, "a gradient of so many nodes");
        if (!env_node(&r, e, &p->node[i])) return false;
    }
    return true;
}

static bool differentiate(Call *c, kiln_tape *tape, Env *e, bool *mark, uint32_t y, uint32_t nx)
{
    kiln_tensor **x = ARENA_ARRAY(c->arena, kiln_tensor *, c->nin + 1), **dx = ARENA_ARRAY(c->arena, kiln_tensor *, nx + 1);
    kiln_operand *of_x = ARENA_ARRAY(c->arena, kiln_operand, nx + 1);
    const OnnxAttribute *xs = attribute(c, "xs"), *zs = attribute(c, "zs");
    for (uint32_t i = 0; i < c->nin; i++) {
        const Bytes name = i < nx ? xs->strings.at[i] : zs->strings.at[i - nx];
        const uint32_t at = number_named(e->plan, name);
        x[i] = tensor(c, i);
        if (i < nx && tensor_ok(x[i])) x[i] = kiln_watch_at(c->at, tape, x[i]);
        if (!tensor_ok(x[i])) return false;
        if (i < nx) of_x[i] = of(x[i]);
        if (at == UINT32_MAX) {
            fail(c->t, c->at, KILN_EFORMAT, "onnx: xs or zs name '%s', which the graph has not", shown(name).text);
            return false;
        }
        e->value[at] = (Held){.t = x[i]};
        mark[at] = true;
    }
    if (!run_again(c, e, mark, y)) return false;
    Call asks = *c;
    asks.in = &e->value[y];
    kiln_tensor *to = held_tensor(&asks, asks.in);
    if (!tensor_ok(to) || !kiln_gradients_at(c->at, tape, to, NULL, of_x, (int)nx, dx)) return false;
    for (uint32_t i = 0; i < nx; i++)
        if (!give(c, i, dx[i])) return false;
    return true;
}

bool op_gradient(Call *c)
{
    const OnnxAttribute *xs = attribute(c, "xs"), *zs = attribute(c, "zs"), *a = attribute(c, "y");
    const Plan *p = c->env->plan;
    const uint32_t nx = xs ? xs->strings.n : 0, nz = zs ? zs->strings.n : 0, y = a ? number_named(p, a->s) : UINT32_MAX;
    if (nx == 0 || y == UINT32_MAX || nx + nz != c->nin || c->nout > nx)
        return unsupported(c, "a gradient without xs, or without a y that the graph has, or of other inputs than xs and zs");
    if (c->nout < nx) c->out = ARENA_ARRAY(c->arena, Held, nx + 1);
    Env e = *c->env;
    e.value = arena_copy(c->arena, c->env->value, (p->names + 1) * sizeof *e.value);
    kiln_tape *tape = kiln_tape_open_at(c->at, c->t->k, false);
    const bool ok = tape && differentiate(c, tape, &e, arena_zeros(c->arena, p->names + 1, sizeof(bool)), y, nx);
    if (tape) kiln_tape_close(&tape);
    return ok;
}
