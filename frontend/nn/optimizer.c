/* optimizer: SGD with momentum and Adam: what they hold and what is set before the first step (step.c makes steps). State is kept
 * in variables, so that steps trace, compile and checkpoint like everything else: moments in their variable's compute type, counts
 * and rates in f64. */
#include <kiln/nn.h>

#include <math.h>

#include "../ops/ops.h"
#include "optimizer.h"

static void clean(Object *obj)
{
    kiln_optimizer *o = (kiln_optimizer *)obj;
    for (int i = 0; i < o->count; i++) variable_unpin(o->moments[i].of);
    mem_free(o->moments, (size_t)o->cap * sizeof *o->moments);
}

/* State is made now, even while a step is traced, and no tape sees it. */
typedef struct Aside {
    Trace *trace;
    uint32_t recording;
    uint8_t device;
    kiln_scope scope;
} Aside;

/* On the device of v. */
static Aside aside(Thread *t, const kiln_variable *v)
{
    Aside a = {t->trace, t->recording, t->device, {0}};
    t->trace = NULL;
    t->recording = 0;
    t->device = v->value->device;
    a.scope = kiln_scope_open(t->k);
    return a;
}

static void aside_end(Thread *t, Aside *a)
{
    kiln_scope_close(&a->scope);
    t->trace = a->trace;
    t->recording = a->recording;
    t->device = a->device;
}

/* The variable KIND/NAME, named after v, starting as x. NULL: recorded. */
static kiln_variable *state_new(kiln_site at, Thread *t, const char *kind, const kiln_variable *v, kiln_tensor *x)
{
    Text text = {0};
    text_printf(&text, "%s/%s", kind, v->name);
    kiln_variable *r = NULL;
    if (text.failed)
        fail(t, at, KILN_EMEMORY, "optimizer: no memory");
    else if (tensor_ok(x))
        r = kiln_variable_new_at(at, t->k, text.at, of(x));
    text_free(&text);
    return r;
}

/* A count or rate, which every variable's update uses: in the host's memory, so that it goes along to any device. */
static kiln_variable *shared_new(kiln_site at, kiln *k, const char *name, kiln_dtype d, kiln_operand x)
{
    Thread *t = thread_of(k);
    const uint8_t own = t->device;
    t->device = HOST;
    kiln_variable *v = kiln_variable_of_at(at, k, name, d, x);
    t->device = own;
    return v;
}

static kiln_optimizer *optimizer_new(kiln_site at, kiln *k, double rate, bool adam)
{
    kiln_optimizer *o = object_new(at, k, sizeof *o, clean);
    if (!o) return NULL;
    o->adam = adam;
    o->rate = shared_new(at, k, "optimizer/rate", KILN_F64, kiln_of_f(rate));
    o->step = adam ? shared_new(at, k, "optimizer/step", KILN_F64, kiln_of_f(0)) : NULL;
    if (o->rate && (o->step || !adam)) return o;
    kiln_optimizer_free(o);
    return NULL;
}

/* range: the condition `ok` in words. False: recorded. */
static bool number_ok(kiln_site at, kiln *k, const char *what, double v, bool ok, const char *range)
{
    if (ok && isfinite(v)) return true;
    fail(thread_of(k), at, KILN_EVALUE, "%s is %g; it must be %s", what, v, range);
    return false;
}

kiln_optimizer *kiln_sgd_at(kiln_site at, kiln *k, double rate, double momentum)
{
    if (!number_ok(at, k, "sgd: the rate", rate, true, "a finite number") ||
        !number_ok(at, k, "sgd: the momentum", momentum, momentum >= 0 && momentum <= 1, "in [0, 1]"))
        return NULL;
    kiln_optimizer *o = optimizer_new(at, k, rate, false);
    if (o) o->momentum = momentum;
    return o;
}

kiln_optimizer *kiln_adam_at(kiln_site at, kiln *k, double rate, double beta1, double beta2, double epsilon)
{
    if (!number_ok(at, k, "adam: the rate", rate, true, "a finite number") ||
        !number_ok(at, k, "adam: beta1", beta1, beta1 >= 0 && beta1 < 1, "in [0, 1)") ||
        !number_ok(at, k, "adam: beta2", beta2, beta2 >= 0 && beta2 < 1, "in [0, 1)") ||
        !number_ok(at, k, "adam: epsilon", epsilon, epsilon >= 0, "a finite number, 0 or more"))
        return NULL;
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
        kiln_variable_free(o->moments[i].master);
    }
    kiln_variable_free(o->rate);
    kiln_variable_free(o->step);
    kiln_variable_free(o->updates);
    object_free(&o->o);
}

#define OWN 3
#define EACH 3
int optimizer_state_count(const kiln_optimizer *o) { return OWN + EACH * o->count; }

OptimizerState optimizer_state(const kiln_optimizer *o, int i)
{
    const OptimizerState own[OWN] = {{"rate", NULL, o->rate}, {"step", NULL, o->step}, {"updates", NULL, o->updates}};
    if (i < OWN) return own[i];
    const Moments *m = &o->moments[(i - OWN) / EACH];
    switch ((i - OWN) % EACH) {
    case 0: return (OptimizerState){"first", m->of, m->first};
    case 1: return (OptimizerState){"second", m->of, m->second};
    default: return (OptimizerState){"master", m->of, m->master};
    }
}

int kiln_optimizer_variables(kiln_optimizer *o, kiln_variable **v, int cap)
{
    int n = 0;
    if (!v && cap > 0) cap = list_there(o ? thread_of(o->o.k) : thread_last(), (kiln_site){NULL, 0}, "optimizer_variables", v, cap);
    for (int i = 0; o && i < optimizer_state_count(o); i++) {
        kiln_variable *x = optimizer_state(o, i).state;
        if (!x) continue;
        if (n < cap) v[n] = x;
        n++;
    }
    return n;
}

/* ---- moments ------------------------------------------------------------------------------------------------ */
/* Makes all of them or none. */
static bool moments_make(kiln_site at, kiln_optimizer *o, kiln_variable *v, Moments *m)
{
    Thread *t = thread_of(o->o.k);
    const bool first = o->adam || o->momentum != 0, master = o->master && dtype_info[v->type.dtype].compute != v->type.dtype;
    Type wide = v->type;
    wide.dtype = dtype_info[v->type.dtype].compute;
    *m = (Moments){.of = v};
    Aside a = aside(t, v);
    kiln_tensor *zero = number_like(t, at, "optimizer", &wide, kiln_of_i(0));
    if (first) m->first = state_new(at, t, "optimizer/first", v, zero);
    if (o->adam && m->first) m->second = state_new(at, t, "optimizer/second", v, zero);
    if (master) m->master = state_new(at, t, "optimizer/master", v, kiln_cast_at(at, kiln_of_variable(v), (kiln_dtype)wide.dtype));
    aside_end(t, &a);
    if ((m->first || !first) && (m->second || !o->adam) && (m->master || !master)) return true;
    kiln_variable_free(m->first);
    kiln_variable_free(m->second);
    kiln_variable_free(m->master);
    return false;
}

Moments *moments_for(kiln_site at, kiln_optimizer *o, kiln_variable *v)
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
    if (!moments_make(at, o, v, &o->moments[o->count])) return NULL;
    variable_pin(v);
    return &o->moments[o->count++];
}

bool optimizer_count_ok(Thread *t, kiln_site at, int count)
{
    if (count >= 0) return true;
    fail(t, at, KILN_EVALUE, "optimizer: the count is %d; it must be 0 or more", count);
    return false;
}

bool kiln_optimizer_prepare_at(kiln_site at, kiln_optimizer *o, kiln_variable *const *v, int count)
{
    if (!o) {
        fail(thread_last(), at, KILN_ESTATE, "optimizer: the optimizer is NULL");
        return false;
    }
    if (!optimizer_count_ok(thread_of(o->o.k), at, count)) return false;
    if (!list_there(thread_of(o->o.k), at, "optimizer", v, count)) return false;
    for (int i = 0; i < count; i++) {
        if (v[i] && v[i]->alive && dtype_is_float(v[i]->type.dtype)) {
            if (!moments_for(at, o, v[i])) return false;
            continue;
        }
        fail(thread_of(o->o.k), at, KILN_ESTATE, "optimizer: variable %d is NULL, freed or not of floats", i);
        return false;
    }
    return true;
}

/* ---- options ------------------------------------------------------------------------------------ */
/* A traced step contains its options, which therefore cannot change later. */
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

bool kiln_optimizer_schedule_sized(kiln_site at, kiln_optimizer *o, const kiln_schedule *schedule, size_t size)
{
    if (!may_set(at, o, schedule, "schedule")) return false;
    kiln_schedule s = {.rate = 0};
    memcpy(&s, schedule, MIN_OF(size, sizeof s));
    Thread *t = thread_of(o->o.k);
    if (!t || !schedule_check(t, at, &s)) return false;
    if (!o->updates) o->updates = shared_new(at, o->o.k, "optimizer/updates", KILN_I64, kiln_of_i(0));
    if (!o->updates) return false;
    o->schedule = s;
    o->scheduled = true;
    return true;
}

bool kiln_optimizer_clip_sized(kiln_site at, kiln_optimizer *o, const kiln_clipping *clipping, size_t size)
{
    if (!may_set(at, o, clipping, "clipping")) return false;
    kiln_clipping c = {.value = 0};
    memcpy(&c, clipping, MIN_OF(size, sizeof c));
    Thread *t = thread_of(o->o.k);
    if (!t || !clipping_check(t, at, &c)) return false;
    o->clipping = c;
    return true;
}

bool kiln_optimizer_master_at(kiln_site at, kiln_optimizer *o, bool on)
{
    if (!may_set(at, o, &on, "master")) return false;
    if (o->count && o->master != on) {
        fail(thread_of(o->o.k), at, KILN_ESTATE, "master: the optimizer has state already; set it before kiln_optimizer_prepare");
        return false;
    }
    o->master = on;
    return true;
}
