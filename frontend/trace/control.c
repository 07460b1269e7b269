/* control: loops and branches with functions for blocks. Eagerly they are plain loops; in a trace each body is a frame, with
 * parameters for what it is given, and all of them one node (region.c). Relies on public operations for slices and stacks. */
#include "../ops/effect.h"
#include "region.h"

#include <limits.h>

typedef struct Body { /* one of the user's, and whose it is for messages */
    kiln_body *run;
    void *user;
    const char *what; /* "kiln_scan" */
} Body;

static bool given(Thread *t, kiln_site at, const char *what, kiln_tensor *const *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (x && x[i] && x[i]->state == TENSOR_POISON) return false;
        if (x && tensor_ok(x[i]) && x[i]->k == t->k) continue;
        fail(t, at, KILN_ESTATE, "%s: tensor %d is NULL, closed or of another engine", what, i);
        return false;
    }
    return true;
}

/* A scalar operand of the kind; NULL: recorded. */
static kiln_tensor *scalar(Thread *t, kiln_site at, const char *what, kiln_operand o, const Type *like)
{
    kiln_tensor *x = operand_named(t, at, what, o, like);
    if (!tensor_ok(x)) return NULL;
    bool truth = like->dtype == DT_bool;
    if (!x->type.rank && (truth ? x->type.dtype == DT_bool : dtype_is_int(x->type.dtype))) return x;
    char text[96];
    fail(t, at, x->type.rank ? KILN_ESHAPE : KILN_EDTYPE, "%s: needs %s scalar, not %s", what, truth ? "a bool" : "an integer",
        tensor_text(x, text, sizeof text));
    return NULL;
}

/* ---- bodies ----------------------------------------------------------------------------------------------------- */
/* Runs the body in a scope of its own; out gets handles in the caller's scope, each a handle of its own. After an error the caller
 * gives the scratch back. */
static bool run_body(Thread *t, kiln_site at, Body b, kiln_tensor *const *given_in, int nin, kiln_tensor **out, int nout)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = SCRATCH(t, at, kiln_tensor *, (size_t)nin + BODY_ROOM);
    BodyRun run;
    kiln_scope s = in ? region_scope(t->k, at) : (kiln_scope){0};
    if (!s.id) return false;
    if (!body_enter(t, at, &run, b.what, nin)) {
        kiln_scope_close(&s);
        return false;
    }
    const uint32_t depth = t->scopes;
    body_inputs(t->k, in, given_in, nin);
    for (int i = 0; i < nout; i++) out[i] = NULL;
    b.run(t->k, in, out, b.user);
    bool ok = body_leave(t, at);
    for (int i = 0; i < nout && ok; i++) {
        ok = body_output(t, at, b.what, i, &out[i]);
        if (!ok) break;
        out[i] = trace_alias(t, at, out[i]);
        ok = tensor_ok(out[i]);
        if (ok && t->scopes == depth) scope_move_out(t, out[i]);
    }
    kiln_scope_close(&s);
    scratch_reset(&t->scratch, mark);
    return ok;
}

static bool keeps_type(Thread *t, kiln_site at, const char *what, int i, const Type *have, const Type *want)
{
    if (type_equal(have, want)) return true;
    char a[96], b[96];
    const DimTable *dims = module_of(t) ? &module_of(t)->dims : NULL;
    type_print(dims, want, a, sizeof a);
    type_print(dims, have, b, sizeof b);
    fail(t, at, have->dtype == want->dtype ? KILN_ESHAPE : KILN_EDTYPE,
        "%s: carry %d is %s, but its next value is %s; a carry must keep its dtype and shape", what, i, a, b);
    return false;
}

/* ---- frames with given parameters ----------------------------------------------------------------------------------- */
typedef struct Loop {
    kiln_site at;
    Body body, condition; /* condition.run is NULL in kiln_for and kiln_scan */
    kiln_tensor *const *carry, *const *x;
    int carries, xs, ys;
    kiln_tensor *count; /* of kiln_for and kiln_scan: i64[] */
    Dim steps;          /* of kiln_while: the bound; DIM_BAD: unknown */
    bool reverse;
    kiln_tensor **out, **y;
} Loop;

static int takes(const Loop *l) { return 1 + l->carries + l->xs; }

static Type slice_type(const Type *x)
{
    Type s = *x;
    memmove(s.dim, s.dim + 1, --s.rank * sizeof *s.dim);
    return s;
}

/* Opens the frame and fills in[] with its parameters. NULL: recorded. */
static Frame *open_with(Thread *t, const Loop *l, FrameKind kind, const Value *outer, kiln_tensor **in)
{
    Frame *f = frame_open(t, l->at, kind, l->body.what);
    const int n = kind == FRAME_CONDITION ? 1 + l->carries : takes(l);
    for (int i = 0; i < n && f; i++) {
        ColumnRole role = !i ? COLUMN_INDEX : i <= l->carries ? COLUMN_CARRY : COLUMN_SLICE;
        Type type = !i ? index_type : *graph_type(f->parent->g, outer[i]);
        if (role == COLUMN_SLICE) type = slice_type(&type);
        Value p = frame_param(t, l->at, f, &type, (Column){role, i ? outer[i] : 0, NULL});
        in[i] = p ? tensor_traced(t, l->at, f, p) : NULL;
        if (role == COLUMN_SLICE && tensor_ok(in[i])) /* cotangents meet here before the stack gets them, as at a slice */
            in[i] = apply1(t, l->at, OP_reshape, in[i], type.dim, type.rank);
        if (tensor_ok(in[i])) continue;
        frame_leave(t, f);
        return NULL;
    }
    return f;
}

/* Runs a body in its frame, which is left; value gets its outputs. */
static bool trace_body(Thread *t, kiln_site at, Frame *f, Body b, kiln_tensor **in, int nin, Value *value, int nout)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **out = SCRATCH(t, at, kiln_tensor *, nout);
    bool ok = out && run_body(t, at, b, in, nin, out, nout) && t->trace->frame == f;
    for (int i = 0; i < nout && ok; i++) ok = (value[i] = trace_value(t, at, out[i])) != 0;
    scratch_reset(&t->scratch, mark);
    frame_leave(t, f);
    return ok;
}

static bool trace_condition(Thread *t, const Loop *l, Frame *f, kiln_tensor **in, Value *predicate)
{
    if (!f || !trace_body(t, l->at, f, l->condition, in, 1 + l->carries, predicate, 1)) return false;
    if (type_equal(graph_type(f->g, *predicate), &truth_type)) return true;
    char text[96];
    type_print(&t->trace->module->dims, graph_type(f->g, *predicate), text, sizeof text);
    fail(t, l->at, KILN_EDTYPE, "kiln_while: the condition must give a bool scalar, not %s", text);
    return false;
}

/* With scratch that the caller gives back. */
static bool loop_traced(Thread *t, const Loop *l)
{
    const int nresult = l->carries + l->ys;
    Value *outer = SCRATCH(t, l->at, Value, takes(l)), *result = SCRATCH(t, l->at, Value, nresult), predicate = 0, trip = 0;
    kiln_tensor **in = SCRATCH(t, l->at, kiln_tensor *, takes(l) + 1), **out = SCRATCH(t, l->at, kiln_tensor *, nresult);
    if (!outer || !result || !in || !out) return false;
    Frame *frame[2] = {NULL, NULL};
    const Value *results[2] = {&predicate, result};
    const int first = l->condition.run ? 0 : 1;
    for (int i = 1; i < takes(l); i++)
        if (!(outer[i] = trace_value(t, l->at, i <= l->carries ? l->carry[i - 1] : l->x[i - 1 - l->carries]))) return false;
    if (first && !(trip = trace_value(t, l->at, l->count))) return false;
    if (!first) {
        frame[0] = open_with(t, l, FRAME_CONDITION, outer, in);
        if (!trace_condition(t, l, frame[0], in, &predicate)) return false;
    }
    frame[1] = open_with(t, l, FRAME_BODY, outer, in);
    if (!frame[1] || !trace_body(t, l->at, frame[1], l->body, in, takes(l), result, nresult)) return false;
    for (int i = 0; i < l->carries; i++)
        if (!keeps_type(
                t, l->at, l->body.what, i, graph_type(frame[1]->g, result[i]), graph_type(frame[1]->parent->g, outer[1 + i])))
            return false;
    const Region r = {.op = OP_loop,
        .frame = frame + first,
        .frames = 2u - (uint32_t)first,
        .selector = trip,
        .result = results + first,
        .carries = (uint32_t)l->carries,
        .stacked = (uint32_t)l->ys,
        .reverse = l->reverse,
        .n = l->steps};
    if (!region_close(t, l->at, &r, out)) return false;
    if (l->carries) memcpy(l->out, out, (size_t)l->carries * sizeof *out);
    if (l->ys) memcpy(l->y, out + l->carries, (size_t)l->ys * sizeof *out);
    return true;
}

/* ---- eager loops ------------------------------------------------------------------------------------------------------- */
typedef struct Run {
    const Loop *l;
    kiln_tensor **carry;     /* owned: they outlive the scopes of the steps */
    kiln_tensor **y;         /* owned: the ys of each step */
    kiln_tensor **in, **out; /* the inputs and outputs of the step that runs */
    int64_t steps, n;        /* the steps taken, and how many there are in all; n < 0: until the condition is false */
} Run;

static void drop(kiln_tensor **x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i]) kiln_release(x[i]);
}

static kiln_tensor *slice_of(Thread *t, kiln_site at, kiln_tensor *x, int64_t i)
{
    Type s = slice_type(&x->type);
    return reshape_to(t, at, kiln_slice_at(at, of(x), 0, i, i + 1, 1), s.dim, s.rank);
}

static bool asks(Thread *t, const Run *r, kiln_tensor **in)
{
    const Loop *l = r->l;
    kiln_tensor *go;
    char text[96];
    if (!run_body(t, l->at, l->condition, in, 1 + l->carries, &go, 1)) return false;
    if (type_equal(&go->type, &truth_type)) {
        if (!kiln_item_i64_at(l->at, of(go))) return false;
        if (l->steps == DIM_BAD || r->steps < l->steps) return true;
        fail(t, l->at, KILN_EVALUE, BEYOND_BOUND, (long long)l->steps);
        return false;
    }
    fail(t, l->at, KILN_EDTYPE, "kiln_while: the condition must give a bool scalar, not %s", tensor_text(go, text, sizeof text));
    return false;
}

/* One step, in a scope of the caller's: false: no more, or an error. */
static bool step(Thread *t, Run *r)
{
    const Loop *l = r->l;
    const int nout = l->carries + l->ys;
    kiln_tensor **in = r->in, **out = r->out;
    const int64_t index = l->reverse ? r->n - 1 - r->steps : r->steps;
    if (r->n >= 0 && r->steps == r->n) return false;
    in[0] = constant_of(t, l->at, &index_type, kiln_of_i(index));
    for (int i = 0; i < l->carries; i++) in[1 + i] = tensor_alias(t, l->at, r->carry[i]);
    if (r->n < 0 && !asks(t, r, in)) return false;
    for (int i = 0; i < l->xs; i++) in[1 + l->carries + i] = slice_of(t, l->at, l->x[i], index);
    if (!given(t, l->at, l->body.what, in, takes(l)) || !run_body(t, l->at, l->body, in, takes(l), out, nout)) return false;
    for (int i = 0; i < l->carries; i++)
        if (!keeps_type(t, l->at, l->body.what, i, &out[i]->type, &r->carry[i]->type)) return false;
    for (int i = 0; i < l->carries; i++) kiln_set(&r->carry[i], out[i]);
    for (int i = 0; i < l->ys; i++) kiln_set(&r->y[index * l->ys + i], out[l->carries + i]);
    r->steps++;
    return true;
}

static kiln_tensor *stack(Thread *t, kiln_site at, kiln_tensor *const *y, int64_t n, int64_t stride)
{
    kiln_tensor **part = n <= INT_MAX ? SCRATCH(t, at, kiln_tensor *, n) : NULL, *all = &t->k->poison;
    for (int64_t i = 0; part && i < n; i++) part[i] = y[i * stride];
    return part ? kiln_stack_at(at, part, (int)n, 0) : all;
}

static bool finish(Thread *t, const Run *r)
{
    const Loop *l = r->l;
    bool ok = true;
    for (int i = 0; i < l->carries; i++) {
        l->out[i] = tensor_alias(t, l->at, r->carry[i]);
        ok = ok && tensor_ok(l->out[i]);
    }
    for (int i = 0; i < l->ys && ok; i++) {
        l->y[i] = stack(t, l->at, r->y + i, r->steps, l->ys);
        ok = tensor_ok(l->y[i]);
    }
    return ok;
}

/* With scratch that the caller gives back. */
static bool loop_eager(Thread *t, const Loop *l)
{
    Run r = {.l = l, .n = l->condition.run ? -1 : MAX_OF(kiln_item_i64_at(l->at, of(l->count)), 0)};
    const size_t slots = (size_t)l->carries + (size_t)(l->ys ? r.n : 0) * (size_t)l->ys;
    uint64_t failures = t->failures;
    r.carry = mem_zeros(slots + 1, sizeof *r.carry);
    if (!r.carry) return fail(t, l->at, KILN_EMEMORY, "%s: no memory", l->body.what), false;
    r.y = r.carry + l->carries;
    for (int i = 0; i < l->carries; i++) kiln_set(&r.carry[i], tensor_alias(t, l->at, l->carry[i]));
    r.in = SCRATCH(t, l->at, kiln_tensor *, takes(l) + 1);
    r.out = SCRATCH(t, l->at, kiln_tensor *, l->carries + l->ys);
    for (bool on = r.in && r.out; on;) {
        kiln_scope s = region_scope(t->k, l->at);
        on = s.id && step(t, &r);
        kiln_scope_close(&s);
    }
    bool ok = t->failures == failures && finish(t, &r);
    drop(r.carry, (int64_t)slots);
    mem_free(r.carry, (slots + 1) * sizeof *r.carry);
    return ok;
}

static bool loop_run(Thread *t, const Loop *l)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = l->carries >= 0 && l->xs >= 0 && l->ys >= 0 && l->body.run;
    if (!ok)
        fail(t, l->at, KILN_EVALUE, "%s: %s", l->body.what,
            l->body.run ? "a count is negative" : "the body or the condition is NULL");
    ok = ok && list_there(t, l->at, l->body.what, l->out, l->carries) && list_there(t, l->at, l->body.what, l->y, l->ys) &&
         given(t, l->at, l->body.what, l->carry, l->carries) && (t->trace ? loop_traced(t, l) : loop_eager(t, l));
    scratch_reset(&t->scratch, mark);
    if (!ok) {
        results_poison(t, l->out, l->carries);
        results_poison(t, l->y, l->ys);
    }
    return ok;
}

/* ---- the public loops ----------------------------------------------------------------------------------------------------- */
bool kiln_for_at(
    kiln_site at, kiln *k, kiln_operand count, kiln_body *body, kiln_tensor *const *carries, int n, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    kiln_tensor *trip = t ? scalar(t, at, "kiln_for", count, &index_type) : NULL;
    if (trip) trip = cast_to(t, at, trip, DT_i64);
    if (!tensor_ok(trip)) return t ? results_poison(t, out, n) : false;
    const Loop l = {
        .at = at, .body = {body, user, "kiln_for"}, .carry = carries, .carries = n, .count = trip, .steps = DIM_BAD, .out = out};
    return loop_run(t, &l);
}

bool kiln_while_at(kiln_site at, kiln *k, int64_t at_most, kiln_body *condition, kiln_body *body, kiln_tensor *const *carries,
    int n, kiln_tensor **out, void *user)
{
    Thread *t = thread_of(k);
    if (!t) return false;
    if (at_most < 0) {
        fail(t, at, KILN_EVALUE, "kiln_while: the bound must be at least 1 step");
        return results_poison(t, out, n);
    }
    const Loop l = {.at = at,
        .body = {condition ? body : NULL, user, "kiln_while"},
        .condition = {condition, user, "kiln_while"},
        .carry = carries,
        .carries = n,
        .steps = at_most > 0 ? at_most : DIM_BAD,
        .out = out};
    return loop_run(t, &l);
}

/* The length that all xs share. False: recorded. */
static bool length_of(Thread *t, kiln_site at, const kiln_scan_options *o, Dim *n)
{
    char text[96];
    if (!given(t, at, "kiln_scan", o->xs, o->xs_count)) return false;
    *n = o->steps;
    if (o->steps < 0) {
        fail(t, at, KILN_EVALUE, "kiln_scan: steps is %lld; it must be 0 or more", (long long)o->steps);
        return false;
    }
    for (int i = 0; i < o->xs_count; i++) {
        const Type *x = &o->xs[i]->type;
        if (!i && x->rank) *n = x->dim[0];
        if (x->rank && x->dim[0] == *n) continue;
        fail(t, at, KILN_ESHAPE,
            x->rank ? "kiln_scan: %s does not have the length of the first of the xs" : "kiln_scan: %s has no axis to step along",
            tensor_text(o->xs[i], text, sizeof text));
        return false;
    }
    if (!o->ys_count || *n != 0) return true;
    fail(t, at, KILN_EVALUE, "kiln_scan: with no steps the shapes of its stacked outputs are unknown");
    return false;
}

bool kiln_scan_sized(kiln_site at, kiln *k, kiln_body *body, const kiln_scan_options *options, kiln_tensor **out, kiln_tensor **ys,
    void *user, size_t size)
{
    Thread *t = thread_of(k);
    kiln_scan_options o = {0};
    Dim n = DIM_BAD;
    if (!t) return false;
    if (options)
        memcpy(&o, options, MIN_OF(size, sizeof o));
    else
        return fail(t, at, KILN_EVALUE, "kiln_scan: the options are NULL"), false;
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = list_scan(t, at, &o) && length_of(t, at, &o, &n);
    Loop l = {.at = at,
        .body = {body, user, "kiln_scan"},
        .carry = o.carries,
        .carries = o.carries_count,
        .x = o.xs,
        .xs = o.xs_count,
        .ys = o.ys_count,
        .reverse = o.reverse,
        .out = out,
        .y = ys};
    if (ok) {
        l.steps = n;
        l.count = dim_tensor(t, at, n, DT_i64);
        ok = tensor_ok(l.count) && loop_run(t, &l);
    }
    scratch_reset(&t->scratch, mark);
    if (ok) return true;
    results_poison(t, out, o.carries_count);
    return results_poison(t, ys, o.ys_count);
}

/* ---- branches -------------------------------------------------------------------------------------------------------------- */
typedef struct Cases {
    kiln_site at;
    const char *what;
    kiln_body *const *body;
    void *user;
    int count;
    kiln_tensor *const *in;
    int nin;
    kiln_tensor **out;
    int nout;
} Cases;

static bool cases_agree(Thread *t, const Cases *c, Frame *const *frame, const Value *const *result)
{
    char a[96], b[96];
    for (int k = 1; k < c->count; k++)
        for (int i = 0; i < c->nout; i++) {
            const Type *x = graph_type(frame[0]->g, result[0][i]), *y = graph_type(frame[k]->g, result[k][i]);
            if (type_equal(x, y)) continue;
            type_print(&t->trace->module->dims, x, a, sizeof a);
            type_print(&t->trace->module->dims, y, b, sizeof b);
            fail(t, c->at, x->dtype == y->dtype ? KILN_ESHAPE : KILN_EDTYPE,
                "%s: output %d is %s in case 0 and %s in case %d; all cases must give the same dtype and shape "
                "(kiln_cast, kiln_broadcast)",
                c->what, i, a, b, k);
            return false;
        }
    return true;
}

/* With scratch that the caller gives back. */
static bool cases_traced(Thread *t, const Cases *c, kiln_tensor *selector)
{
    Frame **frame = SCRATCH(t, c->at, Frame *, c->count);
    Value *value = SCRATCH(t, c->at, Value, (size_t)c->count * (size_t)c->nout);
    const Value **result = SCRATCH(t, c->at, const Value *, c->count);
    kiln_tensor **in = SCRATCH(t, c->at, kiln_tensor *, c->nin + 1);
    Value s = trace_value(t, c->at, selector);
    if (!s || !frame || !value || !result || !in) return false;
    for (int k = 0; k < c->count; k++) {
        if (c->nin) memcpy(in, c->in, (size_t)c->nin * sizeof *in);
        result[k] = value + k * c->nout;
        if (!(frame[k] = frame_open(t, c->at, FRAME_CASE, c->what)) ||
            !trace_body(t, c->at, frame[k], (Body){c->body[k], c->user, c->what}, in, c->nin, value + k * c->nout, c->nout))
            return false;
    }
    const Region r = {.op = OP_branch,
        .frame = frame,
        .frames = (uint32_t)c->count,
        .selector = s,
        .result = result,
        .carries = (uint32_t)c->nout};
    return cases_agree(t, c, frame, result) && region_close(t, c->at, &r, c->out);
}

static bool cases_run(Thread *t, const Cases *c, kiln_tensor *selector)
{
    ScratchMark mark = scratch_mark(&t->scratch);
    bool ok = c->nin >= 0 && c->nout >= 0 && c->count > 0 && c->body;
    for (int k = 0; k < c->count && ok; k++) ok = c->body[k];
    if (!ok) fail(t, c->at, KILN_EVALUE, "%s: a body is NULL, there is none, or a count is negative", c->what);
    ok = ok && list_there(t, c->at, c->what, c->out, c->nout) && given(t, c->at, c->what, c->in, c->nin);
    if (ok && t->trace) {
        ok = cases_traced(t, c, selector);
    } else if (ok) {
        kiln_tensor **in = SCRATCH(t, c->at, kiln_tensor *, c->nin + 1);
        if (in && c->nin) memcpy(in, c->in, (size_t)c->nin * sizeof *in);
        int64_t k = branch_taken(c->at, selector, c->count);
        ok = in && run_body(t, c->at, (Body){c->body[k], c->user, c->what}, in, c->nin, c->out, c->nout);
    }
    scratch_reset(&t->scratch, mark);
    return ok || results_poison(t, c->out, c->nout);
}

bool kiln_cond_at(kiln_site at, kiln *k, kiln_operand condition, kiln_body *then, kiln_body *otherwise, kiln_tensor *const *in,
    int nin, kiln_tensor **out, int nout, void *user)
{
    Thread *t = thread_of(k);
    kiln_tensor *s = t ? scalar(t, at, "kiln_cond", condition, &truth_type) : NULL;
    kiln_body *const body[2] = {otherwise, then};
    if (!s) return t ? results_poison(t, out, nout) : false;
    return cases_run(t, &(Cases){at, "kiln_cond", body, user, 2, in, nin, out, nout}, s);
}

bool kiln_switch_at(kiln_site at, kiln *k, kiln_operand selector, kiln_body *const *bodies, int count, kiln_tensor *const *in,
    int nin, kiln_tensor **out, int nout, void *user)
{
    Thread *t = thread_of(k);
    kiln_tensor *s = t ? scalar(t, at, "kiln_switch", selector, &index_type) : NULL;
    if (!s || (count > 0 && !effect_indices(t, at, "kiln_switch", s, count))) return t ? results_poison(t, out, nout) : false;
    return cases_run(t, &(Cases){at, "kiln_switch", bodies, user, count, in, nin, out, nout}, s);
}
