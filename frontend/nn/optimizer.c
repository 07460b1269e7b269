/* optimizer: SGD with momentum and Adam. State is variables, so that steps trace, compile and checkpoint like everything else. */
#include <kiln/nn.h>

#include "optimizer.h"

typedef struct Moments { /* of one variable; made at its first step, or when asked for */
    kiln_variable *of, *first, *second;
} Moments;

struct kiln_optimizer {
    Object o;
    bool adam;
    kiln_variable *rate, *step; /* f32[]; step: Adam's count */
    kiln_variable *updates;     /* i64[]: of a scheduled one */
    double momentum, beta1, beta2, epsilon;
    bool stepped, scheduled, clipped;
    kiln_schedule schedule;
    kiln_clipping clipping;
    Moments *moments;
    int count, cap;
};

static void clean(Object *obj)
{
    kiln_optimizer *o = (kiln_optimizer *)obj;
    mem_free(o->moments, (size_t)o->cap * sizeof *o->moments);
}

static kiln_optimizer *optimizer_new(kiln_site at, kiln *k, double rate, bool adam)
{
    kiln_optimizer *o = object_new(at, k, sizeof *o, clean);
    if (!o) return NULL;
    o->adam = adam;
    o->rate = kiln_variable_of_at(at, k, "optimizer/rate", KILN_F32, kiln_of_f(rate));
    o->step = adam ? kiln_variable_of_at(at, k, "optimizer/step", KILN_F32, kiln_of_f(0)) : NULL;
    if (o->rate && (o->step || !adam)) return o;
    kiln_optimizer_free(o);
    return NULL;
}

kiln_optimizer *kiln_sgd_at(kiln_site at, kiln *k, double rate, double momentum)
{
    kiln_optimizer *o = optimizer_new(at, k, rate, false);
    if (o) o->momentum = momentum;
    return o;
}

kiln_optimizer *kiln_adam_at(
    kiln_site at, kiln *k, double rate, double beta1, double beta2, double epsilon)
{
    kiln_optimizer *o = optimizer_new(at, k, rate, true);
    if (o) {
        o->beta1 = beta1 != 0 ? beta1 : 0.9;
        o->beta2 = beta2 != 0 ? beta2 : 0.999;
        o->epsilon = epsilon != 0 ? epsilon : 1e-8;
    }
    return o;
}

kiln_variable *kiln_optimizer_rate(kiln_optimizer *o) { return o ? o->rate : NULL; }

void kiln_optimizer_free(kiln_optimizer *o)
{
    if (!o) return;
    for (int i = 0; i < o->count; i++) {
        kiln_variable_free(o->moments[i].first);
        kiln_variable_free(o->moments[i].second);
    }
    kiln_variable_free(o->rate);
    kiln_variable_free(o->step);
    kiln_variable_free(o->updates);
    object_free(&o->o);
}

#define OWN 3
int optimizer_state_count(const kiln_optimizer *o) { return OWN + 2 * o->count; }

OptimizerState optimizer_state(const kiln_optimizer *o, int i)
{
    const OptimizerState own[OWN] = {
        {"rate", NULL, o->rate}, {"step", NULL, o->step}, {"updates", NULL, o->updates}};
    if (i < OWN) return own[i];
    const Moments *m = &o->moments[(i - OWN) / 2];
    return (i - OWN) % 2 ? (OptimizerState){"second", m->of, m->second}
                         : (OptimizerState){"first", m->of, m->first};
}

int kiln_optimizer_variables(kiln_optimizer *o, kiln_variable **v, int cap)
{
    int n = 0;
    for (int i = 0; o && i < optimizer_state_count(o); i++) {
        kiln_variable *x = optimizer_state(o, i).state;
        if (!x) continue;
        if (n < cap) v[n] = x;
        n++;
    }
    return n;
}

/* ---- moments ------------------------------------------------------------------------------------------------ */
static kiln_variable *zeros_for(kiln_site at, kiln *k, const char *kind, const kiln_variable *like)
{
    Thread *t = thread_of(k);
    Text name = {0};
    text_printf(&name, "optimizer/%s/%s", kind, like->name);
    if (name.failed) {
        text_free(&name);
        fail(t, at, KILN_EMEMORY, "optimizer: no memory");
        return NULL;
    }
    Trace *running = t->trace; /* state begins now, even while a step is traced */
    uint32_t recording = t->recording;
    t->trace = NULL;
    t->recording = 0;
    kiln_tensor *zero = constant_of(t, at, &like->type, kiln_of_i(0));
    kiln_variable *v = kiln_variable_new_at(at, k, name.at, kiln_of_tensor(zero));
    text_free(&name);
    t->trace = running;
    t->recording = recording;
    return v;
}

static Moments *moments_for(kiln_site at, kiln_optimizer *o, kiln_variable *v)
{
    for (int i = 0; i < o->count; i++)
        if (o->moments[i].of == v) return &o->moments[i];
    if (o->count == o->cap) {
        int cap = o->cap ? 2 * o->cap : 8;
        Moments *m = mem_resize(o->moments, (size_t)o->cap * sizeof *m, (size_t)cap * sizeof *m);
        if (!m) {
            fail(thread_of(o->o.k), at, KILN_EMEMORY, "optimizer: no memory");
            return NULL;
        }
        o->moments = m;
        o->cap = cap;
    }
    Moments m = {.of = v};
    bool wanted = o->adam || o->momentum != 0;
    m.first = wanted ? zeros_for(at, o->o.k, "first", v) : NULL;
    m.second = o->adam ? zeros_for(at, o->o.k, "second", v) : NULL;
    if ((wanted && !m.first) || (o->adam && !m.second)) {
        kiln_variable_free(m.first);
        return NULL;
    }
    o->moments[o->count] = m;
    return &o->moments[o->count++];
}

bool kiln_optimizer_prepare_at(kiln_site at, kiln_optimizer *o, kiln_variable *const *v, int count)
{
    if (!o) {
        fail(thread_last(), at, KILN_ESTATE, "optimizer: it is NULL");
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (v[i] && v[i]->alive && dtype_is_float(v[i]->type.dtype)) {
            if (!moments_for(at, o, v[i])) return false;
            continue;
        }
        fail(thread_of(o->o.k), at, KILN_ESTATE,
            "optimizer: variable %d is NULL, freed or not of floats", i);
        return false;
    }
    return true;
}

/* ---- options ------------------------------------------------------------------------------------ */
/* A traced step has its options inside: they cannot change under it. */
static bool may_set(kiln_site at, const kiln_optimizer *o, const void *options, const char *what)
{
    Thread *t = o ? thread_of(o->o.k) : thread_last();
    if (o && options && !o->stepped) return true;
    fail(t, at, o && !options ? KILN_EVALUE : KILN_ESTATE, "%s: %s", what,
        !o         ? "the optimizer is NULL"
        : !options ? "the options are NULL"
                   : "the optimizer has made steps already; set it before the first");
    return false;
}

bool kiln_optimizer_schedule_sized(
    kiln_site at, kiln_optimizer *o, const kiln_schedule *schedule, size_t size)
{
    if (!may_set(at, o, schedule, "schedule")) return false;
    kiln_schedule s = {.rate = 0};
    memcpy(&s, schedule, MIN_OF(size, sizeof s));
    Thread *t = thread_of(o->o.k);
    if (!t || !schedule_check(t, at, &s)) return false;
    if (!o->updates) {
        Type count = {.dtype = DT_i64};
        kiln_scope scope = kiln_scope_open(o->o.k);
        kiln_tensor *zero = constant_of(t, at, &count, kiln_of_i(0));
        if (tensor_ok(zero))
            o->updates =
                kiln_variable_new_at(at, o->o.k, "optimizer/updates", kiln_of_tensor(zero));
        kiln_scope_close(&scope);
    }
    if (!o->updates) return false;
    o->schedule = s;
    o->scheduled = true;
    return true;
}

bool kiln_optimizer_clip_sized(
    kiln_site at, kiln_optimizer *o, const kiln_clipping *clipping, size_t size)
{
    if (!may_set(at, o, clipping, "clipping")) return false;
    kiln_clipping c = {.value = 0};
    memcpy(&c, clipping, MIN_OF(size, sizeof c));
    Thread *t = thread_of(o->o.k);
    if (!t || !clipping_check(t, at, &c)) return false;
    o->clipping = c;
    o->clipped = c.value != 0 || c.norm != 0 || c.global_norm != 0;
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */
static kiln_tensor *rate_as(kiln_site at, kiln_optimizer *o, const kiln_variable *v)
{
    return kiln_cast_at(at, kiln_of_variable(o->rate), (kiln_dtype)v->type.dtype);
}

static void step_sgd(kiln_site at, kiln_optimizer *o, Moments m, kiln_tensor *g)
{
    if (m.first) {
        kiln_tensor *scaled = kiln_mul_at(at, kiln_of_variable(m.first), kiln_of_f(o->momentum));
        g = kiln_add_at(at, kiln_of_tensor(scaled), kiln_of_tensor(g));
        kiln_assign_at(at, m.first, kiln_of_tensor(g));
    }
    kiln_assign_sub_at(at, m.of,
        kiln_of_tensor(kiln_mul_at(at, kiln_of_tensor(rate_as(at, o, m.of)), kiln_of_tensor(g))));
}

/* x = beta x + (1 - beta) g */
static kiln_tensor *decay(kiln_site at, kiln_variable *x, double beta, kiln_tensor *g)
{
    kiln_tensor *old = kiln_mul_at(at, kiln_of_variable(x), kiln_of_f(beta));
    kiln_tensor *now = kiln_add_at(at, kiln_of_tensor(old),
        kiln_of_tensor(kiln_mul_at(at, kiln_of_tensor(g), kiln_of_f(1 - beta))));
    kiln_assign_at(at, x, kiln_of_tensor(now));
    return now;
}

/* 1 - beta^step, in v's dtype */
static kiln_tensor *correction(kiln_site at, const kiln_variable *v, double beta, kiln_tensor *step)
{
    kiln_tensor *power = kiln_pow_at(at, kiln_of_f(beta), kiln_of_tensor(step));
    kiln_tensor *c = kiln_sub_at(at, kiln_of_f(1), kiln_of_tensor(power));
    return kiln_cast_at(at, kiln_of_tensor(c), (kiln_dtype)v->type.dtype);
}

static void step_adam(
    kiln_site at, kiln_optimizer *o, Moments moments, kiln_tensor *g, kiln_tensor *step)
{
    kiln_variable *v = moments.of;
    kiln_tensor *m = decay(at, moments.first, o->beta1, g);
    kiln_tensor *s =
        decay(at, moments.second, o->beta2, kiln_mul_at(at, kiln_of_tensor(g), kiln_of_tensor(g)));
    kiln_tensor *m_hat =
        kiln_div_at(at, kiln_of_tensor(m), kiln_of_tensor(correction(at, v, o->beta1, step)));
    kiln_tensor *s_hat =
        kiln_div_at(at, kiln_of_tensor(s), kiln_of_tensor(correction(at, v, o->beta2, step)));
    kiln_tensor *below = kiln_add_at(
        at, kiln_of_tensor(kiln_sqrt_at(at, kiln_of_tensor(s_hat))), kiln_of_f(o->epsilon));
    kiln_tensor *up = kiln_mul_at(at, kiln_of_tensor(rate_as(at, o, v)), kiln_of_tensor(m_hat));
    kiln_assign_sub_at(
        at, v, kiln_of_tensor(kiln_div_at(at, kiln_of_tensor(up), kiln_of_tensor(below))));
}

static void advance(kiln_site at, kiln_optimizer *o)
{
    kiln_tensor *rate = kiln_schedule_rate_sized(
        at, &o->schedule, sizeof o->schedule, kiln_of_variable(o->updates));
    kiln_assign_at(at, o->rate, kiln_of_tensor(rate));
    kiln_assign_add_at(at, o->updates, kiln_of_i(1));
}

static void apply_all(kiln_site at, kiln_optimizer *o, kiln_variable *const *v,
    kiln_tensor *const *gradient, int count)
{
    kiln_tensor *step = NULL;
    if (o->scheduled) advance(at, o);
    if (o->adam) {
        kiln_assign_add_at(at, o->step, kiln_of_i(1));
        step = kiln_value_at(at, kiln_of_variable(o->step));
    }
    for (int i = 0; i < count; i++) {
        const Moments *m = moments_for(at, o, v[i]);
        if (!m) return;
        if (o->adam)
            step_adam(at, o, *m, gradient[i], step);
        else
            step_sgd(at, o, *m, gradient[i]);
    }
}

void kiln_optimizer_apply_at(kiln_site at, kiln_optimizer *o, kiln_variable *const *v,
    kiln_tensor *const *gradient, int count)
{
    Thread *t = o ? thread_of(o->o.k) : thread_last();
    if (!o) {
        fail(t, at, KILN_ESTATE, "optimizer: it is NULL");
        return;
    }
    for (int i = 0; i < count; i++)
        if (!v[i] || !tensor_ok(gradient[i])) {
            fail(t, at, KILN_ESTATE, "optimizer: variable or gradient %d is NULL, closed or failed",
                i);
            return;
        }
    o->stepped = true;
    if (!o->clipped) {
        apply_all(at, o, v, gradient, count);
        return;
    }
    size_t bytes = ((size_t)MAX_OF(count, 0) + 1) * sizeof(kiln_tensor *);
    kiln_tensor **g = mem_alloc(bytes);
    if (!g) {
        fail(t, at, KILN_EMEMORY, "optimizer: no memory");
        return;
    }
    if (count > 0) memcpy(g, gradient, (size_t)count * sizeof *g);
    if (clipping_apply(at, &o->clipping, g, count)) apply_all(at, o, v, g, count);
    mem_free(g, bytes);
}

#define VARIABLES_MAX 1024
void kiln_optimizer_minimize_at(kiln_site at, kiln_optimizer *o, kiln_tape *tape, kiln_tensor *loss)
{
    if (!o || !tape) {
        fail(thread_last(), at, KILN_ESTATE, "minimize: the %s is NULL", o ? "tape" : "optimizer");
        return;
    }
    kiln_variable *seen[VARIABLES_MAX], *v[VARIABLES_MAX];
    kiln_tensor *g[VARIABLES_MAX];
    kiln_operand x[VARIABLES_MAX];
    int n = kiln_tape_variables(tape, seen, VARIABLES_MAX), count = 0;
    if (n > VARIABLES_MAX) {
        fail(thread_of(o->o.k), at, KILN_EUNSUPPORTED,
            "minimize: the tape saw %d variables; at most %d", n, VARIABLES_MAX);
        return;
    }
    for (int i = 0; i < n; i++)
        if (dtype_is_float(seen[i]->type.dtype)) {
            v[count] = seen[i];
            x[count++] = kiln_of_variable(seen[i]);
        }
    if (kiln_gradients_at(at, tape, loss, NULL, x, count, g))
        kiln_optimizer_apply_at(at, o, v, g, count);
}
