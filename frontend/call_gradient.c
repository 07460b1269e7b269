/* call_gradient: the gradient of a compiled call on a tape: a derived function of the call's inputs and its outputs' cotangents, which traces
 * the body again under a tape. It is an ordinary function, compiled on demand and kept with the row, so that its own gradient (second
 * order) comes about the same way. */
#include "function.h"
#include "scope.h"

#include <stdio.h>

typedef struct RowGradient {
    kiln_function *f;
    Row *row;
    uint32_t sources;
    bool missed[]; /* per source: a variable that the body's regions read where no tape around them sees it; an error for who asks */
} RowGradient;

static RowGradient *user_new(kiln_function *f, Row *row)
{
    RowGradient *rg = mem_zeros(1, sizeof *rg + row->nsource);
    if (rg) *rg = (RowGradient){.f = f, .row = row, .sources = row->nsource};
    return rg;
}

static void free_user(void *user)
{
    mem_free(user, sizeof(RowGradient) + ((RowGradient *)user)->sources);
}

static bool takes_gradient(const Type *type) { return dtype_is_float(type->dtype); }

typedef struct Asked {
    kiln_tensor *const *y, *const *seed;
    uint32_t ny;
    kiln_operand *x;
    int nx;
} Asked;

/* out: the gradients of all x; zeros for variables that have none. */
static void give_gradients(Thread *t, kiln_site at, RowGradient *rg, kiln_tape *tape, Asked a,
    kiln_tensor **out)
{
    kiln_operand *x = SCRATCH(t, at, kiln_operand, a.nx);
    kiln_tensor **d = SCRATCH(t, at, kiln_tensor *, a.nx);
    int n = 0, xs = 0;
    if (!x || !d) return;
    for (uint32_t i = 0; i < rg->sources; i++) {
        const Source *s = &rg->row->source[i];
        if (!takes_gradient(&s->type)) continue;
        bool missed = s->kind == FROM_VARIABLE && !s->variable->local && tape_misses(tape, s->variable);
        __atomic_store_n(&rg->missed[i], missed, __ATOMIC_RELAXED); /* each trace finds the same */
        if (!missed) x[n++] = a.x[xs];
        xs++;
    }
    gradients(t, at, tape, a.y, a.seed, a.ny, x, n, d);
    n = xs = 0;
    for (uint32_t i = 0; i < rg->sources; i++) {
        const Type *type = &rg->row->source[i].type;
        if (takes_gradient(type))
            out[xs++] = rg->missed[i] ? constant_of(t, at, type, kiln_of_i(0)) : d[n++];
    }
}

/* What the body takes from outside, as it is given here: watched arguments and captures, variables' values at entry. *nx of them, those
 * of floats, in x. False: recorded. */
static bool give_sources(Thread *t, kiln_site at, const Row *row, kiln_tape *tape, kiln_tensor *const *in,
    kiln_tensor **args, kiln_operand *x, int *nx)
{
    Frame *top = t->trace->frame;
    *nx = 0;
    for (uint32_t i = 0; i < row->narg; i++)
        if (row->fixed[i].kind &&
            !(args[i] = static_argument(t, at, fixed_operand(&row->fixed[i]))))
            return false;
    for (uint32_t i = 0; i < row->nsource; i++) {
        const Source *s = &row->source[i];
        bool flows = takes_gradient(&s->type);
        if (s->kind == FROM_VARIABLE && !s->variable->local) {
            Slot *slot = frame_slot(top, s->variable, true);
            if (slot) slot->now = slot->entry = in[i]->value;
            x[*nx] = kiln_of_variable(s->variable);
        } else {
            kiln_tensor *v = flows ? kiln_watch_at(at, tape, in[i]) : in[i];
            if (!tensor_ok(v) ||
                (s->kind == FROM_CAPTURE && !trace_repoint(t, at, s->tensor, v->value)))
                return false;
            if (s->kind == FROM_ARGUMENT) args[s->argument] = v;
            Slot *slot = s->kind == FROM_VARIABLE ? frame_slot(top, s->variable, true) : NULL;
            if (slot) slot->now = slot->entry = v->value; /* a local: gradients flow through it */
            x[*nx] = kiln_of_tensor(v);
        }
        *nx += flows;
    }
    return true;
}

/* With scratch that the caller gives back. */
static void gradient_into(Thread *t, RowGradient *rg, kiln_tensor *const *in, kiln_tensor **out)
{
    const Row *row = rg->row;
    kiln_site at = {rg->f->loc.file, rg->f->loc.line};
    Frame *top = t->trace->frame;
    kiln_tensor **args = SCRATCH(t, at, kiln_tensor *, row->narg), **y = SCRATCH(t, at, kiln_tensor *, 3 * row->noutput),
                **seed = y + row->noutput, **ys = seed + row->noutput;
    kiln_operand *x = SCRATCH(t, at, kiln_operand, row->nsource + 1);
    kiln_tape *tape = args && y && x ? kiln_tape_open_at(at, t->k, false) : NULL;
    int nx;
    if (!tape || !give_sources(t, at, row, tape, in, args, x, &nx)) return;
    t->quiet++; /* the forward call had the effects */
    bool again = function_inline(t, at, rg->f, args, (int)row->narg, y);
    t->quiet--;
    if (!again) return;
    for (uint32_t i = 0; i < top->slot.len; i++)
        top->slot.at[i].assigned = false; /* the forward call has stored what it changed */
    uint32_t ny = 0;
    for (uint32_t i = 0; i < row->noutput; i++)
        if (takes_gradient(&row->result[i])) {
            seed[ny] = in[row->nsource + ny];
            ys[ny++] = y[i];
        }
    give_gradients(t, at, rg, tape, (Asked){ys, seed, ny, x, nx}, out);
    kiln_tape_close(&tape);
    /* A variable's value at entry is an argument here: whoever asks for the gradient of that asks through the reads. */
    for (uint32_t i = 0; i < top->slot.len; i++) frame_pass_reads(top, &top->slot.at[i]);
}

/* Inputs: the row's sources in order, then a cotangent per float output. Outputs: the cotangent of every float source. */
static void row_gradient_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    ScratchMark mark = scratch_mark(&t->scratch);
    gradient_into(t, user, in, out);
    scratch_reset(&t->scratch, mark);
}

/* The symbols of one type as groups of the plan. False: a size that is an expression, or too many symbols. */
static bool plan_type(Plan *p, Dim *symbol, const Row *row, const Type *type, uint8_t *group)
{
    for (int d = 0; d < type->rank; d++) {
        if (type->dim[d] >= 0) continue;
        const DimExpr *e = &row->module->dims.expr.at[-1 - type->dim[d]];
        uint32_t g = 0;
        while (g < p->groups && symbol[g] != type->dim[d]) g++;
        if (e->kind != DIM_SYMBOL || g == PLAN_GROUPS) return false;
        symbol[g] = type->dim[d];
        p->hi[g] = e->hi;
        p->groups = MAX_OF(p->groups, g + 1);
        group[d] = (uint8_t)(g + 1);
    }
    return true;
}

/* A bounded row's gradient is bounded from its first call on. */
static void preset_plan(kiln_function *vjp, const Row *row, uint32_t nin)
{
    uint8_t *group = row->bounded ? mem_zeros(nin, MAX_RANK) : NULL;
    if (!group) return;
    Plan p = {.group = group, .declared = true};
    Dim symbol[PLAN_GROUPS];
    uint32_t at = 0;
    bool ok = true;
    for (uint32_t i = 0; i < row->nsource; i++, at++) {
        const Source *s = &row->source[i];
        const Type *type = s->kind == FROM_ARGUMENT ? &row->arg[s->argument] : &s->type;
        ok = ok && plan_type(&p, symbol, row, type, group + (size_t)at * MAX_RANK);
    }
    for (uint32_t i = 0; i < row->noutput; i++)
        if (takes_gradient(&row->result[i]))
            ok = ok && plan_type(&p, symbol, row, &row->result[i], group + (size_t)at++ * MAX_RANK);
    if (!ok || !p.groups) {
        mem_free(group, (size_t)nin * MAX_RANK);
        return;
    }
    vjp->preset = p;
    vjp->preset_args = nin;
}

static void own_vjp(Row *row, uint32_t nin)
{
    kiln_function *vjp = row->vjp;
    pthread_mutex_lock(&vjp->k->lock);
    vjp->nspec = 0;
    preset_plan(vjp, row, nin);
    vjp->row = row;
    row->derived = true;
    pthread_mutex_unlock(&vjp->k->lock);
}

/* Entered: the caller leaves it. NULL: recorded. */
static kiln_function *row_gradient(Thread *t, kiln_site at, kiln_function *f, Row *row)
{
    pthread_mutex_lock(&f->deriving);
    if (!row->vjp) {
        int nx = 0, ny = 0;
        for (uint32_t i = 0; i < row->nsource; i++) nx += takes_gradient(&row->source[i].type);
        for (uint32_t i = 0; i < row->noutput; i++) ny += takes_gradient(&row->result[i]);
        RowGradient *rg = user_new(f, row);
        char name[128];
        snprintf(name, sizeof name, "%s_vjp", f->name);
        if (!rg) {
            fail(t, at, KILN_EMEMORY, "%s: no memory", name);
        } else {
            function_derived(at, f->k, name, row_gradient_body, rg, free_user,
                (int)row->nsource + ny, nx ? nx : 1, f, &row->vjp);
            if (row->vjp)
                own_vjp(row, row->nsource + (uint32_t)ny);
            else
                free_user(rg);
        }
    }
    kiln_function *vjp = row->vjp && call_enter(t, at, row->vjp) ? row->vjp : NULL;
    pthread_mutex_unlock(&f->deriving);
    return vjp;
}

/* The types of the row's outputs in this call, with scratch that the caller gives back. NULL: recorded. */
static Type *output_types(
    Thread *t, kiln_site at, const kiln_function *f, const Row *row, kiln_tensor *const *in)
{
    Type *type = SCRATCH(t, at, Type, row->noutput);
    if (!row->sizes) return type ? memcpy(type, row->result, row->noutput * sizeof *type) : NULL;
    kiln_tensor **args = SCRATCH(t, at, kiln_tensor *, row->narg);
    int64_t *dim = SCRATCH(t, at, int64_t, row->program->symbol.len), *size = SCRATCH(t, at, int64_t, row->nsize);
    if (!type || !args || !dim || !size) return NULL;
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_ARGUMENT) args[row->source[i].argument] = in[i];
    if (!row_bind(t, at, f, row, args, dim)) return NULL;
    row->sizes(dim, size);
    const int64_t *next = size + 1;
    for (uint32_t i = 0; i < row->noutput; i++) row_result_type(row, i, &next, &type[i]);
    return type;
}

/* The inputs, then a cotangent per float output: zeros where there is none. False: recorded. */
static bool cotangents(Thread *t, kiln_site at, const kiln_function *f, const Row *row, kiln_tensor *const *in,
    uint32_t nin, kiln_tensor *const *g, uint32_t ng, kiln_tensor **arg, uint32_t *n)
{
    Type *type = NULL;
    memcpy(arg, in, nin * sizeof *arg);
    *n = nin;
    for (uint32_t i = 0; i < ng; i++) {
        if (!takes_gradient(&row->result[i])) continue;
        if (!g[i] && !type && !(type = output_types(t, at, f, row, in))) return false;
        arg[*n] = g[i] ? g[i] : constant_of(t, at, &type[i], kiln_of_i(0));
        if (!tensor_ok(arg[(*n)++])) return false;
    }
    return true;
}

static bool none_missed(Thread *t, kiln_site at, const RowGradient *rg, const bool *wanted)
{
    for (uint32_t i = 0; i < rg->sources; i++) {
        if (!wanted[i] || !__atomic_load_n(&rg->missed[i], __ATOMIC_RELAXED)) continue;
        fail(t, at, KILN_EUNSUPPORTED,
            "gradient: variable %s is assigned in a loop of %s, or assigned and then read in a branch of "
            "it; carry it in a kiln_local",
            rg->row->source[i].variable->name, rg->f->name);
        return false;
    }
    return true;
}

/* With scratch that the caller gives back. */
static bool ask_gradient(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in,
    uint32_t nin, kiln_tensor *const *g, uint32_t ng, const bool *wanted, kiln_tensor **dx)
{
    kiln_tensor **arg = SCRATCH(t, at, kiln_tensor *, nin + ng), **out = SCRATCH(t, at, kiln_tensor *, nin + 1);
    uint32_t n;
    if (!arg || !out || !cotangents(t, at, f, row, in, nin, g, ng, arg, &n)) return false;
    kiln_function *vjp = row_gradient(t, at, f, row);
    if (!vjp) return false;
    Row *r = function_row(t, at, vjp, arg, (int)n);
    bool ok = r && none_missed(t, at, vjp->user, wanted) && row_run(t, at, vjp, r, arg, out);
    if (f->freed) kiln_function_free(vjp); /* whoever freed f did not know of it */
    call_leave(t);
    if (!ok) return false;
    for (uint32_t i = 0, j = 0; i < nin; i++)
        if (takes_gradient(&row->source[i].type)) dx[i] = out[j++];
    return true;
}

bool call_gradient(Thread *t, kiln_site at, kiln_function *f, Row *row, kiln_tensor *const *in,
    uint32_t nin, kiln_tensor *const *g, uint32_t ng, const bool *wanted, kiln_tensor **dx)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = ask_gradient(t, at, f, row, in, nin, g, ng, wanted, dx);
    scratch_reset(&t->scratch, mark);
    return ok;
}
