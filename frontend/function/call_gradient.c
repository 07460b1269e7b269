/* call_gradient: the gradient of a compiled call on a tape: a derived function of the call's inputs and its outputs' cotangents, whose trace is
 * the graph that the row was traced to, under a tape, and what that tape gives. It is an ordinary function, compiled on demand and kept with
 * the row, so that its own gradient (second order) comes about the same way. Never runs the body again: it may be freed, with all that it
 * used. */
#include "../../ir/transplant.h"

#include "function.h"

#include <stdio.h>

typedef struct RowGradient {
    kiln_function *f;
    Row *row;
} RowGradient;

static RowGradient *user_new(kiln_function *f, Row *row)
{
    RowGradient *rg = mem_zeros(1, sizeof *rg);
    if (rg) *rg = (RowGradient){f, row};
    return rg;
}

static void free_user(void *user) { mem_free(user, sizeof(RowGradient)); }

static bool takes_gradient(const Type *type) { return dtype_is_float(type->dtype); }

/* A variable that the body's regions read where no tape around them sees it; an error for who asks. */
static bool is_missed(const Row *row, const Source *s)
{
    for (uint32_t i = 0; i < row->nread && s->kind == FROM_VARIABLE; i++)
        if (row->read[i].variable == s->variable && !row->read[i].leaf) return true;
    return false;
}

/* Whether somebody may ask for the gradient. What the body spells out is nobody's. */
static bool is_asked(const Row *row, const Source *s)
{
    return takes_gradient(&s->type) && s->kind != FROM_LITERAL && !is_missed(row, s);
}

static const Source *source_of(const Row *row, const kiln_variable *v)
{
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_VARIABLE && row->source[i].variable == v) return &row->source[i];
    return NULL;
}

/* What was read there the body had assigned itself. */
static bool reads_own(const Row *row, const TapeRead *r)
{
    const Source *s = source_of(row, r->variable);
    const Graph *g = row->traced[0];
    return r->leaf && (!s || graph_maker(g, r->leaf)->in[0] != g->param.at[s - row->source]);
}

/* Such a value no tape around the call has. The call's gradient counts the read if the variable is a source, too; else all recording tapes miss
 * the variable from the call on, and they miss sources once a gradient is asked for under them: its own gradient could not count the read. */
bool note_own_reads(Thread *t, const Row *row, bool sources)
{
    for (kiln_tape *tape = t->tape; tape; tape = tape->outer)
        for (uint32_t i = 0; i < row->nread && tape->recording && !tape->frame; i++) {
            const TapeRead *r = &row->read[i];
            if (!r->variable || r->variable->local || sources != (source_of(row, r->variable) != NULL) || !reads_own(row, r)) continue;
            if (!tape_note(tape, r->variable, 0, 0)) return false;
        }
    return true;
}

typedef struct Again { /* the row's graph in the running trace */
    const Row *row;
    Graph *g;
    kiln_tensor *const *in;
    Value *given; /* per source: what stands for it */
    Value *map;   /* per value of the row's graph */
    Status st;
    bool ok;
} Again;

static void again_body(void *arg)
{
    Again *a = arg;
    const Row *row = a->row;
    const Graph *from = row->traced[0];
    Transplant t;
    transplant_begin(&t, row->traced, row->ntraced, &from->module->dims, a->g->module, &a->st);
    a->map = ARENA_ARRAY(a->g->module->arena, Value, from->value.len);
    for (uint32_t i = 0; i < row->nsource; i++) {
        const Type *type = graph_type(from, from->param.at[i]);
        for (int d = 0; d < type->rank; d++)
            if (type->dim[d] < 0) t.size[-1 - type->dim[d]] = a->in[i]->type.dim[d];
        a->map[from->param.at[i]] = a->given[i];
    }
    a->ok = transplant(&t, a->g, from, a->map);
}

/* What stands for the sources: watched arguments, captures and locals, variables' values at entry; and those that are asked for, in x. False:
 * recorded. */
static bool give_sources(Thread *t, kiln_site at, const Row *row, kiln_tape *tape, kiln_tensor *const *in, Value *given,
    kiln_operand *x, int *nx)
{
    *nx = 0;
    for (uint32_t i = 0; i < row->nsource; i++) {
        const Source *s = &row->source[i];
        const bool variable = s->kind == FROM_VARIABLE && !s->variable->local, asked = is_asked(row, s);
        kiln_tensor *v = asked && !variable ? kiln_watch_at(at, tape, in[i]) : in[i];
        if (!tensor_ok(v) || !(given[i] = trace_value(t, at, v))) return false;
        if (asked) x[(*nx)++] = variable ? kiln_of_variable(s->variable) : kiln_of_tensor(v);
    }
    return true;
}

/* The row's graph in the running trace; the tape notes what it reads of variables. False: recorded. */
static bool again(Thread *t, kiln_site at, kiln_tape *tape, Again *a)
{
    a->g = t->trace->frame->g;
    if (!arena_try(t->trace->arena, &a->st, again_body, a) || !a->ok) return fail_status(t, at, &a->st), false;
    for (uint32_t i = 0; i < a->row->nread; i++) {
        const TapeRead *r = &a->row->read[i];
        if (!tape_note(tape, r->variable, 0, r->leaf ? a->map[r->leaf] : 0)) return false;
    }
    return true;
}

/* out: the gradients of all float sources; zeros for those that are not asked for. */
static void give_gradients(Thread *t, kiln_site at, const Again *a, kiln_tape *tape, const kiln_operand *x, int nx, kiln_tensor **out)
{
    const Row *row = a->row;
    const Graph *from = row->traced[0];
    kiln_tensor **y = SCRATCH(t, at, kiln_tensor *, 2 * row->noutput), **seed = y + row->noutput, **d = SCRATCH(t, at, kiln_tensor *, nx);
    uint32_t ny = 0, n = 0, outs = 0;
    if (!y || !d) return;
    for (uint32_t i = 0; i < row->noutput; i++)
        if (takes_gradient(&row->result[i])) {
            seed[ny] = a->in[row->nsource + ny];
            y[ny++] = tensor_traced(t, at, t->trace->frame, a->map[from->result.at[i]]);
        }
    if (!gradients(t, at, tape, y, seed, ny, x, nx, d)) return;
    for (uint32_t i = 0; i < row->nsource; i++) {
        const Source *s = &row->source[i];
        if (takes_gradient(&s->type)) out[outs++] = is_asked(row, s) ? d[n++] : constant_of(t, at, &a->in[i]->type, kiln_of_i(0));
    }
}

/* With scratch that the caller gives back. */
static void gradient_into(Thread *t, const RowGradient *rg, kiln_tensor *const *in, kiln_tensor **out)
{
    const Row *row = rg->row;
    kiln_site at = {rg->f->loc.file, rg->f->loc.line};
    const Frame *top = t->trace->frame;
    Again a = {.row = row, .in = in, .given = SCRATCH(t, at, Value, row->nsource)};
    kiln_operand *x = SCRATCH(t, at, kiln_operand, row->nsource + 1);
    kiln_tape *tape = a.given && x ? kiln_tape_open_at(at, t->k, false) : NULL;
    int nx;
    if (!tape || !give_sources(t, at, row, tape, in, a.given, x, &nx) || !again(t, at, tape, &a)) return;
    give_gradients(t, at, &a, tape, x, nx, out);
    kiln_tape_close(&tape);
    /* A variable's value at entry is an argument here: whoever asks for the gradient of that asks through the reads. */
    for (uint32_t i = 0; i < row->nsource; i++)
        if (row->source[i].kind == FROM_VARIABLE) frame_pass_reads(top, a.given[i]);
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

static bool none_missed(Thread *t, kiln_site at, const kiln_function *f, const Row *row, const bool *wanted)
{
    for (uint32_t i = 0; i < row->nsource; i++) {
        if (!wanted[i] || !is_missed(row, &row->source[i])) continue;
        fail(t, at, KILN_EUNSUPPORTED,
            "gradient: variable %s is assigned in a loop of %s, or assigned and then read in a branch of "
            "it; carry it in a kiln_local",
            row->source[i].variable->name, f->name);
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
    if (!arg || !out || !none_missed(t, at, f, row, wanted) || !cotangents(t, at, f, row, in, nin, g, ng, arg, &n)) return false;
    kiln_function *vjp = row_gradient(t, at, f, row);
    if (!vjp || (t->recording && !note_own_reads(t, row, true))) return false;
    Row *r = function_row(t, at, vjp, arg, (int)n);
    bool ok = r && row_run(t, at, vjp, r, arg, out);
    if (f->freed) kiln_function_free(vjp); /* whoever freed f did not know of it */
    call_leave(t);
    if (!ok) return false;
    for (uint32_t i = 0, j = 0; i < nin; i++)
        if (takes_gradient(&row->source[i].type)) dx[i] = out[j++];
    return true;
}

static kiln_function *function_of(const int64_t *call) { return (kiln_function *)(intptr_t)call[0]; }
static Row *row_of(const int64_t *call) { return (Row *)(intptr_t)call[1]; }

void recorded_call_hold(kiln *k, const int64_t *call)
{
    function_hold(function_of(call));
    row_hold(row_of(call), k);
}

void recorded_call_drop(kiln *k, const int64_t *call)
{
    row_drop(row_of(call), k);
    function_drop(function_of(call));
}

bool recorded_call_gradient(Thread *t, kiln_site at, const int64_t *call, kiln_tensor *const *in, uint32_t nin, kiln_tensor *const *g, uint32_t ng,
    const bool *wanted, kiln_tensor **dx)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = ask_gradient(t, at, function_of(call), row_of(call), in, nin, g, ng, wanted, dx);
    scratch_reset(&t->scratch, mark);
    return ok;
}
