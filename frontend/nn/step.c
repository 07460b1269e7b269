/* step: one step of an optimiser: the rules of SGD and Adam with schedule, clipping and counts. Computes in each variable's compute
 * type and rounds new values once. Relies on update.h: all variables are updated or none. */
#include <kiln/nn.h>
#include <math.h>

#include "../../ir/emit.h"
#include "../ops/ops.h"
#include "optimizer.h"
#include "update.h"

#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* ---- rules --------------------------------------------------------------------------------------------------- */
/* The scalars in the order in which a rule finds them; factor: clipping multiplies by it. */
enum { FACTOR, RATE, CORRECTION1, CORRECTION2 };

/* The number v in the type of `like`; 0 if `like` is 0, because memory ran out before. */
static Value num(const UpdateIn *in, double v, Value like) { return like ? emit_constant(in->e, v, in->e->type(in->e, like)) : 0; }

/* The gradient, clipped and in the type that the step uses. */
static Value gradient(const UpdateIn *in)
{
    const kiln_optimizer *o = in->user;
    Emit *e = in->e;
    Value g = emit_cast(e, in->gradient, (DType)e->type(e, in->scalar[RATE])->dtype);
    const double most = o->clipping.value;
    if (most != 0) g = emit2(e, OP_min, emit2(e, OP_max, g, num(in, -most, g)), num(in, most, g));
    return o->clipping.norm != 0 || o->clipping.global_norm != 0 ? emit2(e, OP_mul, g, in->scalar[FACTOR]) : g;
}

/* The variable in the wide type: its master copy, except where another value has been assigned since. */
static Value parameter(const UpdateIn *in, Value master)
{
    Emit *e = in->e;
    const Value own = in->state[0], wide = emit_wide(e, own);
    if (!master) return wide;
    Value same = emit2(e, OP_eq, emit_cast(e, master, (DType)e->type(e, own)->dtype), own);
    return emit3(e, OP_where, same, master, wide);
}

/* A new moment; 0 where x lies below the normal numbers of its type. Moments of gradients that went to 0 would decay to such
 * numbers and stay there, for 0.9 times the least of them rounds to itself; CPUs take a hundred times as long for arithmetic on
 * them. NaN stays NaN. */
static Value moment(const UpdateIn *in, Value x)
{
    Emit *e = in->e;
    if (!x) return 0;
    const double least = ldexp(1, dtype_least_exponent((DType)e->type(e, x)->dtype));
    Value small = emit2(e, OP_lt, emit1(e, OP_abs, x), num(in, least, x));
    return emit3(e, OP_where, small, num(in, 0, x), x);
}

/* x = beta x + (1 - beta) g */
static Value decay(const UpdateIn *in, Value x, double beta, Value g)
{
    Emit *e = in->e;
    return moment(in, emit2(e, OP_add, emit2(e, OP_mul, x, num(in, beta, x)), emit2(e, OP_mul, g, num(in, 1 - beta, g))));
}

/* Sets next of the variable and of its master, if there is one, at `states`. */
static void finish(const UpdateIn *in, Value now, int master, Value *next)
{
    next[0] = emit_cast(in->e, now, (DType)in->e->type(in->e, in->state[0])->dtype);
    if (master) next[master] = now;
}

static void sgd(const UpdateIn *in, Value *next)
{
    const kiln_optimizer *o = in->user;
    Emit *e = in->e;
    const int moments = o->momentum != 0, master = in->state[1 + moments] ? 1 + moments : 0;
    Value g = gradient(in);
    if (moments) next[1] = g = moment(in, emit2(e, OP_add, emit2(e, OP_mul, in->state[1], num(in, o->momentum, g)), g));
    Value p = parameter(in, master ? in->state[master] : 0);
    finish(in, emit2(e, OP_sub, p, emit2(e, OP_mul, in->scalar[RATE], g)), master, next);
}

static void adam(const UpdateIn *in, Value *next)
{
    const kiln_optimizer *o = in->user;
    Emit *e = in->e;
    const int master = in->state[3] ? 3 : 0;
    Value g = gradient(in);
    next[1] = decay(in, in->state[1], o->beta1, g);
    next[2] = decay(in, in->state[2], o->beta2, emit2(e, OP_mul, g, g));
    Value first = emit2(e, OP_div, next[1], in->scalar[CORRECTION1]);
    Value second = emit2(e, OP_div, next[2], in->scalar[CORRECTION2]);
    Value below = emit1(e, OP_sqrt, second);
    below = emit2(e, OP_add, below, num(in, o->epsilon, below));
    Value change = emit2(e, OP_div, emit2(e, OP_mul, in->scalar[RATE], first), below);
    finish(in, emit2(e, OP_sub, parameter(in, master ? in->state[3] : 0), change), master, next);
}

/* ---- scalars of a step, in f64 ------------------------------------------------------------------------------- */
typedef struct Scalars {
    kiln_tensor *value[UPDATE_SCALARS];
    Assignment also[3]; /* rate, updates, step */
    int nalso;
} Scalars;

/* 1 - beta^step */
static kiln_tensor *correction(kiln_site at, double beta, kiln_operand step)
{
    return kiln_sub_at(at, kiln_of_f(1), OP2(pow, kiln_of_f(beta), step));
}

static bool scalars(kiln_site at, kiln_optimizer *o, Scalars *s)
{
    *s = (Scalars){.nalso = 0};
    s->value[RATE] = kiln_value_at(at, kiln_of_variable(o->rate));
    if (o->scheduled) {
        kiln_operand done = kiln_of_variable(o->updates);
        kiln_operand n = of(kiln_cast_at(at, done, KILN_F64));
        s->value[RATE] = kiln_schedule_rate_sized(at, &o->schedule, sizeof o->schedule, n);
        s->also[s->nalso++] = (Assignment){o->rate, s->value[RATE]};
        s->also[s->nalso++] = (Assignment){o->updates, kiln_add_at(at, done, kiln_of_i(1))};
    }
    if (o->adam) {
        kiln_operand step = OP2(add, kiln_of_variable(o->step), kiln_of_i(1));
        s->value[CORRECTION1] = correction(at, o->beta1, step);
        s->value[CORRECTION2] = correction(at, o->beta2, step);
        s->also[s->nalso++] = (Assignment){o->step, step.as.tensor};
    }
    for (int i = 0; i < s->nalso; i++)
        if (!tensor_ok(s->also[i].value)) return false;
    return tensor_ok(s->value[RATE]);
}

/* ---- steps ---------------------------------------------------------------------------------------------------- */
/* factor: NULL where nothing is scaled. */
static bool update_for(
    Thread *t, kiln_site at, kiln_optimizer *o, kiln_variable *v, kiln_tensor *g, const Scalars *s, kiln_tensor *factor, Update *u)
{
    const Moments *m = moments_for(at, o, v);
    if (!m) return false;
    kiln_variable *const state[] = {v, m->first, m->second, m->master};
    const DType wide = dtype_info[v->type.dtype].compute;
    *u = (Update){.gradient = broadcast_to(t, at, g, &v->type), .scalars = UPDATE_SCALARS};
    for (int i = 0; i < 4; i++)
        if (state[i]) u->state[u->states++] = state[i];
    for (int i = 0; i < UPDATE_SCALARS; i++) {
        kiln_tensor *x = i == FACTOR && factor ? factor : s->value[i] ? s->value[i] : s->value[RATE];
        u->scalar[i] = cast_to(t, at, x, wide);
        if (!tensor_ok(u->scalar[i])) return false;
    }
    return tensor_ok(u->gradient);
}

static void apply_all(Thread *t, kiln_site at, kiln_optimizer *o, kiln_variable *const *v, kiln_tensor *const *g, int count,
    Update *u, kiln_tensor **factor)
{
    Scalars s;
    if (!scalars(at, o, &s) || !clipping_factors(t, at, &o->clipping, g, count, factor)) return;
    for (int i = 0; i < count; i++)
        if (!update_for(t, at, o, v[i], g[i], &s, factor[i], &u[i])) return;
    update_run(t, at, o->adam ? adam : sgd, o, u, count, s.also, s.nalso);
}

static bool all_fit(Thread *t, kiln_site at, kiln_variable *const *v, kiln_tensor *const *g, int count)
{
    if (!optimizer_count_ok(t, at, count) || !list_there(t, at, "optimizer", v, count) || !list_there(t, at, "optimizer", g, count))
        return false;
    for (int i = 0; i < count; i++) {
        const bool there = v[i] && v[i]->alive && tensor_ok(g[i]);
        if (there && dtype_is_float((DType)v[i]->type.dtype) && dtype_is_float((DType)g[i]->type.dtype)) continue;
        fail(t, at, there ? KILN_EDTYPE : KILN_ESTATE, "optimizer: variable or gradient %d is %s", i,
            there ? "not of floats" : "NULL, closed or failed");
        return false;
    }
    return true;
}

void kiln_optimizer_apply_at(kiln_site at, kiln_optimizer *o, kiln_variable *const *v, kiln_tensor *const *gradient, int count)
{
    Thread *t = o ? thread_of(o->o.k) : thread_last();
    if (!o) {
        fail(t, at, KILN_ESTATE, "optimizer: the optimizer is NULL");
        return;
    }
    if (!all_fit(t, at, v, gradient, count)) return;
    o->stepped = true;
    const size_t n = (size_t)count + 1;
    Update *u = mem_zeros(n, sizeof *u);
    kiln_tensor **factor = mem_zeros(n, sizeof *factor);
    const uint32_t recording = t->recording;
    if (!t->trace) t->recording = 0; /* no gradient flows through an assignment to a variable */
    Composite c = composite_begin(t, "optimizer");
    if (u && factor && c.scope.id)
        apply_all(t, at, o, v, gradient, count, u, factor);
    else
        fail(t, at, KILN_EMEMORY, "optimizer: no memory");
    composite_end(t, &c, NULL);
    t->recording = recording;
    mem_free(u, u ? n * sizeof *u : 0);
    mem_free(factor, factor ? n * sizeof *factor : 0);
}

/* Uses scratch that the caller gives back: takes the float variables that the tape saw, their gradients, and one step. */
static void minimize(kiln_site at, Thread *t, kiln_optimizer *o, kiln_tape *tape, kiln_tensor *loss)
{
    int n = kiln_tape_variables(tape, NULL, 0), count = 0;
    kiln_variable **v = SCRATCH(t, at, kiln_variable *, n);
    kiln_tensor **g = SCRATCH(t, at, kiln_tensor *, n);
    kiln_operand *x = SCRATCH(t, at, kiln_operand, n);
    if (!v || !g || !x) return;
    kiln_tape_variables(tape, v, n);
    for (int i = 0; i < n; i++)
        if (dtype_is_float(v[i]->type.dtype)) {
            x[count] = kiln_of_variable(v[i]);
            v[count++] = v[i];
        }
    if (kiln_gradients_at(at, tape, loss, NULL, x, count, g)) kiln_optimizer_apply_at(at, o, v, g, count);
}

void kiln_optimizer_minimize_at(kiln_site at, kiln_optimizer *o, kiln_tape *tape, kiln_operand loss)
{
    if (!o || !tape) {
        fail(thread_last(), at, KILN_ESTATE, "minimize: the %s is NULL", o ? "tape" : "optimizer");
        return;
    }
    Thread *t = thread_of(o->o.k);
    ScratchMark mark = scratch_mark(&t->scratch);
    Composite c = composite_begin(t, "minimize");
    kiln_tensor *y = operand_named(t, at, "minimize", loss, NULL);
    if (tensor_ok(y)) minimize(at, t, o, tape, y);
    composite_end(t, &c, NULL);
    scratch_reset(&t->scratch, mark);
}
