/* gradient: taking gradients from a tape. The walk is passes/reverse.c; here are the two Emits it works through (running ops in
 * eager code, appending to the frame's graph in a trace), and what is asked for in terms of variables and tensors. */
#include "grad.h"

#include <stdio.h>

#include "../../passes/reverse.h"

typedef struct Walk {
    GraphEmit ge; /* ge.e first: rules see an Emit */
    Thread *t;
    kiln_tape *tape;
    Frame *frame; /* traced: the frame whose values the handles are, which is the tape's or that of a region's rule */
    kiln_site at;
    Arena *arena;
    Status st;
    uint32_t base;      /* eager: smaller values are the tape's; those from here on are in `made` */
    kiln_tensor **held; /* eager: handles of the tape's values, as they are needed */
    VEC(kiln_tensor *) made;
    /* the question */
    kiln_tensor *const *y, *const *seed;
    uint32_t ny;
    const kiln_operand *x;
    int count;
    kiln_tensor **dx;
    bool ok;
} Walk;

/* ---- values and tensors ------------------------------------------------------------------------------------ */
static kiln_tensor *tensor_for(Walk *w, Value v)
{
    if (w->frame) return tensor_traced(w->t, w->at, w->frame, v);
    if (v >= w->base) return w->made.at[v - w->base];
    if (!w->held[v]) w->held[v] = tensor_alias(w->t, w->at, &w->tape->entry.at[v].held);
    return w->held[v];
}

static Value value_for(Walk *w, kiln_tensor *x)
{
    if (!tensor_ok(x)) return 0;
    if (w->frame) return trace_value(w->t, w->at, x);
    *VEC_PUSH(w->arena, &w->made) = x;
    return w->base + w->made.len - 1;
}

static Value eager_op(Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    Walk *w = (Walk *)e;
    kiln_tensor **x = ARENA_ARRAY(w->arena, kiln_tensor *, nin + 1), *out[FEW_RESULTS];
    for (uint32_t i = 0; i < nin; i++) {
        if (!in[i]) return 0;
        x[i] = tensor_for(w, in[i]);
    }
    uint32_t nout = op_def[op].nout > 0 ? (uint32_t)op_def[op].nout : 1;
    apply(w->t, w->at, op, x, nin, attr, nattr, out, nout);
    Value first = 0;
    for (uint32_t i = 0; i < nout; i++) {
        Value v = value_for(w, out[i]);
        first = i ? first : v;
    }
    return first;
}

/* In eager code, what the rule makes of constants lies where the node ran: where its results lie, or for a copy from one device to
 * another, and whatever else has a gradient of its own, where its last operand does. */
static void node_begins(void *user, uint32_t node)
{
    Walk *w = user;
    const Node *n = &w->tape->g->node.at[node];
    const Value at = n->op == OP_custom && n->nin > 1 ? n->in[n->nin - 1] : n->out;
    const kiln_tensor *x = at < w->base ? &w->tape->entry.at[at].held : NULL;
    if (x && !tensor_joins(x)) w->t->device = x->device;
}

static const Type *eager_type(Emit *e, Value v)
{
    Walk *w = (Walk *)e;
    return v >= w->base ? &w->made.at[v - w->base]->type : &w->tape->entry.at[v].held.type;
}

/* ---- the front end's own rules -------------------------------------------------------------------------------- */
static void custom_rule(Vjp *v, Walk *w)
{
    const CustomGradient c = custom_get(w->t->k, ATTRS(custom, v->node->attr->at)->gradient);
    uint32_t n = v->node->nin - 1u;
    kiln_tensor **x = ARENA_ARRAY(w->arena, kiln_tensor *, n + BODY_ROOM),
                **dx = ARENA_ARRAY(w->arena, kiln_tensor *, n + SPARE_OUTPUTS);
    if (!v->g[0]) return;
    for (uint32_t i = 0; i < n; i++) x[i] = tensor_for(w, v->in[i + 1]);
    body_inputs(w->t->k, x, x, (int)n);
    const char *called = w->t->called;
    const uint64_t since = w->t->next_uid;
    w->t->called = NULL; /* the user's code: its errors bear the names of its own calls */
    c.backward(w->t->k, tensor_for(w, v->g[0]), x, dx, c.user);
    w->t->called = called;
    eagerly_ended(w->t, w->at, "custom gradient", since);
    for (uint32_t i = 0; i < n + SPARE_OUTPUTS; i++) {
        if (!dx[i]) continue;
        if (i >= n) {
            fail(w->t, w->at, KILN_EVALUE, "custom gradient: cotangent %u was set, but there are %u operands", i, n);
            break;
        }
        if (tensor_ok(dx[i]) && dx[i]->k != w->t->k)
            fail(w->t, w->at, KILN_ESTATE, "custom gradient: cotangent %u belongs to another engine", i);
        else if (tensor_ok(dx[i]) && !type_equal(&dx[i]->type, &x[i]->type))
            fail(w->t, w->at, KILN_ESHAPE, "custom gradient: cotangent %u has another dtype or shape than its operand", i);
        else
            v->dx[i + 1] = value_for(w, dx[i]);
    }
}

static void call_rule(Vjp *v, Walk *w)
{
    uint32_t nin = v->node->nin, nout = v->node->nout;
    kiln_tensor **in = ARENA_ARRAY(w->arena, kiln_tensor *, nin + 1), **dx = ARENA_ARRAY(w->arena, kiln_tensor *, nin + 1),
                **g = ARENA_ARRAY(w->arena, kiln_tensor *, nout + 1), **out = ARENA_ARRAY(w->arena, kiln_tensor *, nout + 1);
    for (uint32_t i = 0; i < nin; i++) in[i] = tensor_for(w, v->in[i]);
    for (uint32_t i = 0; i < nout; i++) g[i] = v->g[i] ? tensor_for(w, v->g[i]) : NULL;
    for (uint32_t i = 0; i < nout; i++) out[i] = tensor_for(w, v->out[i]);
    const char *called = w->t->called;
    w->t->called = NULL; /* its errors name the function */
    const bool ok = w->t->k->hooks->call_gradient(w->t, w->at, tape_call(w->tape, v->node), in, out, g, v->wanted, dx);
    w->t->called = called;
    if (!ok) return;
    for (uint32_t i = 0; i < nin; i++)
        if (dx[i] && v->wanted[i]) v->dx[i] = value_for(w, dx[i]);
}

/* The body of a region is reversed into a closed graph. There the user's function appends its ops, and nothing can come in from
 * outside any longer. */
static void custom_in_region(Vjp *v, Walk *w)
{
    Frame *tape_frame = w->frame, *running = w->t->trace->frame;
    w->frame = ARENA_NEW(w->arena, Frame);
    *w->frame = (Frame){.trace = w->t->trace,
        .g = ((GraphEmit *)v->e)->g,
        .captured.arena = w->arena,
        .watched.arena = w->arena,
        .slot_of.arena = w->arena,
        .kind = FRAME_RULE,
        .what = "loop or branch",
        .loc = loc_of(w->at)};
    w->t->trace->frame = w->frame;
    custom_rule(v, w);
    w->t->trace->frame = running;
    w->frame = tape_frame;
}

static void foreign(Vjp *v)
{
    Walk *w = v->user;
    if (v->node->op != OP_custom)
        call_rule(v, w);
    else if (w->frame && v->e != &w->ge.e)
        custom_in_region(v, w);
    else
        custom_rule(v, w);
}

/* ---- what is asked for -------------------------------------------------------------------------------------------- */
static kiln_tensor *gradient_of(Walk *w, Value sum, kiln_operand x)
{
    if (sum) return tensor_for(w, sum);
    return constant_of(w->t, w->at, tape_asked_type(x), kiln_of_i(0));
}

static bool is_local(kiln_operand x) { return x.kind == 2 && x.as.variable->local; }

/* The walk has put the sum of all reads of a variable first. The values of a local, of which one may be computed from another, have
 * a cotangent each, and these are added here. */
static Value sum_of(Walk *w, const Value *d, uint32_t n, kiln_operand x)
{
    Value sum = n ? d[0] : 0;
    for (uint32_t k = 1; k < n && is_local(x); k++)
        if (d[k]) sum = sum ? emit2(&w->ge.e, OP_add, sum, d[k]) : d[k];
    return sum;
}

static Value y_value(Walk *w, kiln_tensor *y)
{
    if (w->tape->frame) return trace_value(w->t, w->at, y);
    const uint64_t *v = map_get(&w->tape->by_uid, y->uid);
    return v ? (Value)*v : 0;
}

static void start_emit(Walk *w)
{
    if (w->tape->frame) {
        graph_emit_init(&w->ge, w->tape->frame->g, &w->st);
    } else {
        w->base = w->tape->entry.len;
        w->held = ARENA_ARRAY(w->arena, kiln_tensor *, w->base);
        w->ge.e = (Emit){eager_op, eager_type, NULL, {0}};
    }
    w->ge.e.loc = loc_of(w->at);
}

/* Runs one reverse sweep for all operands, inside the arena's border. */
static void walk_body(void *arg)
{
    Walk *w = arg;
    kiln_tape *tape = w->tape;
    start_emit(w);
    uint32_t *first = ARENA_ARRAY(w->arena, uint32_t, w->count + 1), total = 0;
    const Reach *known = tape_reach_asked(tape, w->arena, w->x, w->count);
    for (int i = 0; i < w->count; i++) {
        first[i] = total;
        total += tape_leaves(tape, w->x[i], known, NULL, 0);
    }
    first[w->count] = total;
    Value *leaf = ARENA_ARRAY(w->arena, Value, total + 1), *d = ARENA_ARRAY(w->arena, Value, total + 1);
    uint32_t *group = ARENA_ARRAY(w->arena, uint32_t, total + 1);
    for (int i = 0; i < w->count; i++)
        for (uint32_t k = first[i]; k < first[i + 1]; k++) group[k] = is_local(w->x[i]) ? (uint32_t)w->count + k : (uint32_t)i;
    Value *y = ARENA_ARRAY(w->arena, Value, w->ny), *seed = ARENA_ARRAY(w->arena, Value, w->ny);
    for (int i = 0; i < w->count; i++) tape_leaves(tape, w->x[i], known, leaf + first[i], total - first[i]);
    uint32_t ny = 0;
    for (uint32_t i = 0; i < w->ny; i++) {
        Value v = tensor_ok(w->y[i]) ? y_value(w, w->y[i]) : 0;
        if (!v) continue;
        y[ny] = tape->last_y = v;
        seed[ny++] = w->seed && w->seed[i] ? value_for(w, w->seed[i]) : 0;
    }
    const Graph *g = tape->frame ? tape->frame->g : tape->g;
    Reverse r = {.e = &w->ge.e,
        .g = g,
        .first = tape->first,
        .last = tape->frame ? tape->stopped : g->node.len,
        .gap = tape->gap.at,
        .ngap = tape->gap.len,
        .y = y,
        .seed = seed,
        .ny = ny,
        .x = leaf,
        .group = group,
        .nx = total,
        .dx = d,
        .scratch = w->arena,
        .st = &w->st,
        .user = w,
        .foreign = foreign,
        .node = tape->frame ? NULL : node_begins};
    if (ny && total && !reverse_walk(&r)) return;
    for (int i = 0; i < w->count; i++)
        w->dx[i] = gradient_of(w, sum_of(w, d + first[i], first[i + 1] - first[i], w->x[i]), w->x[i]);
    w->ok = true;
}

/* Records why nothing can be taken of x, unless it is poison, which was reported where it was made. Returns false. */
static bool is_failed(Thread *t, kiln_site at, const kiln_tensor *x)
{
    char text[96];
    if (x->state != TENSOR_POISON) fail(t, at, KILN_EVALUE, "gradient: y or an x is %s", tensor_text(x, text, sizeof text));
    return false;
}

static bool is_gone(Thread *t, kiln_site at)
{
    fail(t, at, KILN_ESTATE, "gradient: an x is NULL, freed or closed");
    return false;
}

static bool operand_fits(Thread *t, kiln_site at, const kiln_tape *tape, kiln_operand x)
{
    if (x.kind != 1 && x.kind != 2) {
        fail(t, at, KILN_EVALUE, "gradient: an x is a number; it must be a tensor or a variable");
        return false;
    }
    if (x.kind == 2 ? !x.as.variable : !x.as.tensor || x.as.tensor->state == TENSOR_FREE) return is_gone(t, at);
    if (x.kind == 1 && !tensor_ok(x.as.tensor)) return is_failed(t, at, x.as.tensor);
    if (x.kind != 2 || !tape_misses(tape, x.as.variable)) return true;
    if (x.as.variable->local)
        fail(t, at, KILN_EUNSUPPORTED,
            "gradient: the kiln_local made at %s:%d is assigned in a loop, or assigned and then read in a branch, that "
            "this tape spans, and so had several values; ask for the tensor that it began with",
            x.as.variable->made.file ? x.as.variable->made.file : "?", x.as.variable->made.line);
    else
        fail(t, at, KILN_EUNSUPPORTED,
            "gradient: variable %s is assigned in a loop, or assigned and then read in a branch or a compiled call, that this "
            "tape spans; carry it in a kiln_local",
            x.as.variable->name);
    return false;
}

static bool question_fits(
    Thread *t, kiln_site at, kiln_tape *tape, kiln_tensor *const *y, uint32_t ny, const kiln_operand *x, int count)
{
    if (tape->closed) {
        fail(t, at, KILN_ESTATE, "gradient: the tape's scope closed; the tape was opened at %s:%d",
            tape->loc.file ? tape->loc.file : "?", tape->loc.line);
        return false;
    }
    if (tape->used && !tape->persistent) {
        fail(t, at, KILN_ESTATE,
            "gradient: the tape gave its gradient already; open it with KILN_TAPE_PERSISTENT to "
            "ask again");
        return false;
    }
    if (!tape->frame && t->trace) {
        fail(t, at, KILN_ESTATE,
            "gradient: the tape was opened outside the function (%s:%d); open it in the block where it "
            "is asked",
            tape->loc.file ? tape->loc.file : "?", tape->loc.line);
        return false;
    }
    if (tape->frame && (!t->trace || t->trace->id != tape->trace_id || t->trace->frame != tape->frame)) {
        fail(t, at, KILN_ESTATE,
            "gradient: the tape was opened in another loop, branch or trace (%s:%d); open it in the "
            "block where it is asked",
            tape->loc.file ? tape->loc.file : "?", tape->loc.line);
        return false;
    }
    for (uint32_t i = 0; i < ny; i++) {
        if (!y[i] || y[i]->state == TENSOR_FREE) {
            fail(t, at, KILN_ESTATE, "gradient: y is %s", y[i] ? "closed" : "NULL");
            return false;
        }
        if (!tensor_ok(y[i])) return is_failed(t, at, y[i]);
        if (!dtype_is_float(y[i]->type.dtype)) {
            fail(t, at, KILN_EDTYPE, "gradient: y is %s; only floats have gradients", dtype_info[y[i]->type.dtype].name);
            return false;
        }
    }
    for (int i = 0; i < count; i++)
        if (!operand_fits(t, at, tape, x[i])) return false;
    return true;
}

bool gradients(Thread *t, kiln_site at, kiln_tape *tape, kiln_tensor *const *y, kiln_tensor *const *seed, uint32_t ny,
    const kiln_operand *x, int count, kiln_tensor **dx)
{
    for (int i = 0; i < count; i++) dx[i] = &t->k->poison;
    if (!question_fits(t, at, tape, y, ny, x, count)) return false;
    const uint64_t failures = t->failures;
    bool recorded = tape->recording;
    kiln_tape_stop(tape); /* the walk itself is not this tape's to record */
    tape->used = true;
    Arena scratch;
    arena_init(&scratch);
    Walk w = {
        .t = t, .tape = tape, .frame = tape->frame, .at = at, .y = y, .seed = seed, .ny = ny, .x = x, .count = count, .dx = dx};
    w.arena = tape->frame ? t->trace->arena : &scratch;
    if (!scope_push(t)) {
        fail(t, at, KILN_EMEMORY, "gradient: no memory");
        return false;
    }
    const uint8_t own = t->device;
    bool ok = arena_try(w.arena, &w.st, walk_body, &w) && w.ok &&
              t->failures == failures; /* of a rule that failed nothing is left to use */
    t->device = own;
    if (!ok && w.st.code) fail_status(t, at, &w.st);
    for (int i = 0; i < count; i++) {
        if (!ok)
            dx[i] = &t->k->poison;
        else if (tensor_ok(dx[i]))
            scope_move_out(t, dx[i]);
        ok = ok && tensor_ok(dx[i]);
    }
    scope_pop(t);
    arena_free(&scratch);
    if (tape->persistent && recorded) tape_resume(tape);
    return ok;
}

bool kiln_gradients_at(
    kiln_site at, kiln_tape *tape, kiln_tensor *y, kiln_tensor *seed, const kiln_operand *x, int count, kiln_tensor **dx)
{
    Thread *t = tape ? tape->t : thread_last();
    if (!tape || count < 0) {
        fail(t, at, KILN_ESTATE, tape ? "gradients: the count is negative" : "gradient: the tape is NULL");
        return results_poison(t, dx, count);
    }
    if (!list_there(t, at, "gradients", dx, count) || !list_there(t, at, "gradients", x, count))
        return results_poison(t, dx, count);
    if (seed && tensor_ok(seed) && tensor_ok(y) && !type_equal(&seed->type, &y->type)) {
        fail(t, at, KILN_ESHAPE, "gradients: the seed must have the dtype and shape of y");
        return false;
    }
    /* Gradients of recorded calls ask for whatever the bodies read, even if it was freed since; so this check belongs to the public
     * call and not to gradients(). */
    for (int i = 0; i < count; i++)
        if (x[i].kind == 2 && x[i].as.variable && !x[i].as.variable->alive) {
            for (int k = 0; k < count; k++) dx[k] = &t->k->poison;
            return is_gone(t, at);
        }
    return gradients(t, at, tape, &y, seed ? &seed : NULL, 1, x, count, dx);
}

kiln_tensor *kiln_gradient_at(kiln_site at, kiln_tape *tape, kiln_operand y, kiln_operand x)
{
    kiln_tensor *dx = NULL;
    kiln_gradients_of_at(at, tape, y, kiln_operand_list(&x, 1), &dx);
    return dx;
}

bool kiln_gradients_of_at(kiln_site at, kiln_tape *tape, kiln_operand y, kiln_operands x, kiln_tensor **dx)
{
    Thread *t = tape ? tape->t : thread_last();
    OperandArray a;
    if (!operand_array_open(t, at, "gradients", x, &a)) return results_poison(t, dx, x.count);
    kiln_tensor *of_y = y.kind == 1 || !t ? y.as.tensor : operand_named(t, at, "gradient", y, NULL);
    bool ok = kiln_gradients_at(at, tape, of_y, NULL, a.at, x.count, dx);
    operand_array_close(&a, x);
    return ok;
}
