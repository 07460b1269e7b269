/* interpret_loop: loops, turn by turn, as ir/op_region.c says what they mean. A carry is freed as soon as the next one is there;
 * stacked results are written in their places, in memory that grows where nobody knows beforehand how often the loop turns. */
#include "../../ir/loop.h"

#include "../ops/effect.h"
#include "interpret.h"

typedef struct Stack {
    kiln_tensor *x; /* all slices, perhaps more than there will be */
    int64_t room;   /* of it, in slices */
    Type slice;
} Stack;

typedef struct Loop {
    Interpreter *r;
    const Graph *g; /* in which the loop is */
    const Node *n;
    const Graph *body, *condition; /* condition NULL: it has none */
    uint32_t carries, xs, ys;
    kiln_tensor *const *in; /* the node's operands, of which operand p is parameter p of the graphs */
    kiln_tensor **carry, **next, **slice;
    Stack *stack;
    kiln_tensor **value; /* room for the values of the body or the condition */
    int64_t trip;        /* how often it turns, without a condition */
    int64_t index, done;
    double since;        /* when it began */
    Rest *rest;          /* what is compiled of it; NULL: nothing yet */
    bool may_rest;       /* it may go on in compiled code */
    bool reverse, grows; /* grows: the stacks' height is what the loop makes it */
} Loop;

/* ---- stacks ------------------------------------------------------------------------------------------------------- */
static bool stack_open(Loop *l, uint32_t i, int64_t room)
{
    Interpreter *r = l->r;
    Stack *s = &l->stack[i];
    Type type = s->slice;
    memmove(type.dim + 1, type.dim, type.rank++ * sizeof *type.dim);
    type.dim[0] = room;
    size_t bytes;
    const bool fits = size_mul((size_t)type_count(&s->slice) * dtype_bytes((DType)type.dtype), (size_t)room, &bytes);
    Buffer *b = !fits ? NULL : r->device == HOST ? buffer_new(r->t->pool, bytes) : buffer_there(r->t, r->device, bytes);
    if (!b) {
        const Loc *loc = &l->n->loc;
        fail(r->t, r->at, KILN_EMEMORY, "%s: no memory for %zu bytes that the loop at %s:%d keeps of its steps%s", r->name, bytes,
            loc->file ? loc->file : "?", loc->line, l->grows ? " for a gradient" : "");
        return false;
    }
    r->t->live_bytes += (int64_t)b->bytes;
    r->t->peak_bytes = MAX_OF(r->t->peak_bytes, r->t->live_bytes);
    s->room = room;
    return (s->x = tensor_of_buffer(r->t, r->at, &type, b));
}

/* x into the slices from `first` on: all of x has one more axis, or is one slice. */
static bool stack_put(Loop *l, Stack *s, int64_t first, kiln_tensor *x)
{
    Interpreter *r = l->r;
    Status st = {0};
    kiln_tensor to = *s->x, *there = x;
    to.type = x->type;
    for (int64_t i = x->type.rank, stride = 1; i-- > 0; stride *= x->type.dim[i]) to.stride[i] = stride;
    to.data += (size_t)(first * type_count(&s->slice)) * dtype_bytes((DType)s->slice.dtype);
    if (x->device != r->device) {
        there = tensor_contiguous(r->t, r->at, x);
        if (!tensor_ok(there) || !tensor_ok(there = tensor_to(r->t, r->at, there, r->device))) return false;
    }
    tensor_pack(r->t, there, &to, &st);
    if (there != x) interpret_drop(there);
    if (st.code) fail_status(r->t, r->at, &st);
    return !st.code;
}

static bool stack_grow(Loop *l, uint32_t i)
{
    Stack *s = &l->stack[i];
    kiln_tensor *old = s->x;
    if (!stack_open(l, i, MAX_OF(2 * s->room, 64))) return false;
    old->type.dim[0] = l->done; /* its strides stay what they are */
    if (!stack_put(l, s, 0, old)) return false;
    interpret_drop(old);
    return true;
}

/* Slices of turns that were not taken are zeros. */
static bool stack_fill(Loop *l, Stack *s)
{
    Interpreter *r = l->r;
    if (l->grows) {
        s->x->type.dim[0] = l->done;
        return true;
    }
    Type type = s->x->type;
    type.dim[0] -= l->done;
    if (type_count(&type) <= 0) return true;
    struct constant_attrs *c = constant_typed(&type, 0, ATTRS_ROOM(constant, MAX_RANK));
    kiln_tensor *zeros = apply(r->t, r->at, OP_constant, NULL, 0, ATTRS_TO(c, c->shape + type.rank), NULL, 0);
    if (!tensor_ok(zeros) || !stack_put(l, s, l->done, zeros)) return false;
    interpret_drop(zeros);
    return true;
}

/* ---- turns -------------------------------------------------------------------------------------------------------- */
/* One slice of a stacked input. NULL: recorded. */
static kiln_tensor *slice_of(const Loop *l, const kiln_tensor *x)
{
    kiln_tensor *y = interpret_alias(l->r, x);
    if (!y) return NULL;
    y->data += l->index * x->stride[0] * (int64_t)dtype_bytes((DType)x->type.dtype);
    y->uid = ++l->r->t->next_uid;
    y->signature = 0;
    y->type.rank--;
    memmove(y->type.dim, y->type.dim + 1, y->type.rank * sizeof *y->type.dim);
    memmove(y->stride, y->stride + 1, y->type.rank * sizeof *y->stride);
    View v;
    tensor_view(y, &v);
    y->contiguous = view_contiguous(&v);
    return y;
}

/* What the body or the condition gets, in l->value. */
static bool give_params(Loop *l, const Graph *g)
{
    Interpreter *r = l->r;
    const Type i64 = {.dtype = DT_i64};
    kiln_tensor **value = l->value;
    if (!(value[g->param.at[0]] = l->slice[0] = number_like(r->t, r->at, r->name, &i64, kiln_of_i(l->index)))) return false;
    if (!tensor_ok(l->slice[0])) return false;
    for (uint32_t p = 1; p < g->param.len; p++) {
        kiln_tensor *x = p <= l->carries ? l->carry[p - 1] : l->in[p];
        if (p > l->carries && p <= l->carries + l->xs && !(x = l->slice[p - l->carries] = slice_of(l, x))) return false;
        value[g->param.at[p]] = x;
    }
    return true;
}

static void drop_params(Loop *l)
{
    for (uint32_t i = 0; i <= l->xs; i++) interpret_drop(l->slice[i]);
}

/* Whether there is another turn: 1, 0, or -1: recorded. */
static int asks(Loop *l)
{
    Interpreter *r = l->r;
    const Graph *g = l->condition;
    const struct loop_attrs *a = ATTRS(loop, l->n->attr->at);
    kiln_tensor *answer;
    int64_t yes;
    if (!g) return l->done < l->trip;
    l->index = l->done;
    if (!give_params(l, g) || !interpret_results(r, g, l->value, &answer) || !interpret_integer(r, answer, &yes)) return -1;
    interpret_drop(answer);
    drop_params(l);
    if (yes && dim_is_const(a->steps) && l->done == a->steps) {
        fail(r->t, (kiln_site){l->n->loc.file, l->n->loc.line}, KILN_EVALUE, BEYOND_BOUND, (long long)a->steps);
        return -1;
    }
    return yes != 0;
}

static bool turn(Loop *l)
{
    Interpreter *r = l->r;
    l->index = l->reverse ? l->trip - 1 - l->done : l->done;
    if (!give_params(l, l->body) || !interpret_results(r, l->body, l->value, l->next)) return false;
    drop_params(l);
    for (uint32_t i = 0; i < l->carries; i++) {
        interpret_drop(l->carry[i]);
        l->carry[i] = l->next[i];
    }
    for (uint32_t i = 0; i < l->ys; i++) {
        kiln_tensor *y = l->next[l->carries + i];
        if (l->grows && l->done == l->stack[i].room && !stack_grow(l, i)) return false;
        if (!stack_put(l, &l->stack[i], l->index, y)) return false;
        interpret_drop(y);
    }
    l->done++;
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */
/* With scratch that the caller gives back. */
static bool loop_room(Loop *l)
{
    Interpreter *r = l->r;
    const uint32_t values = MAX_OF(l->body->value.len, l->condition ? l->condition->value.len : 0);
    l->value = SCRATCH(r->t, r->at, kiln_tensor *, values);
    l->carry = SCRATCH(r->t, r->at, kiln_tensor *, l->carries);
    l->next = SCRATCH(r->t, r->at, kiln_tensor *, l->carries + l->ys);
    l->slice = SCRATCH(r->t, r->at, kiln_tensor *, l->xs + 1);
    l->stack = SCRATCH(r->t, r->at, Stack, l->ys);
    return l->value && l->carry && l->next && l->slice && l->stack;
}

/* How often it may turn: there are no more slices, whatever the trip count says. room: of its stacked results. */
static int64_t slices(const Loop *l, int64_t room)
{
    int64_t most = l->ys && !l->grows ? room : INT64_MAX;
    for (uint32_t i = 0; i < l->xs; i++) most = MIN_OF(most, l->in[1 + l->carries + i]->type.dim[0]);
    return most;
}

static bool loop_begin(Loop *l)
{
    Interpreter *r = l->r;
    const struct loop_attrs *a = ATTRS(loop, l->n->attr->at);
    const DimTable *dims = &l->g->module->dims;
    l->grows = dim_is_made(dims, a->steps);
    if (!l->condition) {
        if (!interpret_integer(r, l->in[0], &l->trip)) return false;
        l->trip = MAX_OF(l->trip, 0);
    }
    const int64_t room = !l->grows ? dim_eval(dims, a->steps, r->symbol) : l->condition ? 64 : l->trip;
    if (!l->condition) l->trip = MIN_OF(l->trip, slices(l, room));
    for (uint32_t i = 0; i < l->carries; i++)
        if (!(l->carry[i] = interpret_alias(r, l->in[1 + i]))) return false;
    for (uint32_t i = 0; i < l->ys; i++) {
        l->stack[i].slice = interpret_type(r, l->body, l->body->result.at[l->carries + i]);
        if (!stack_open(l, i, room)) return false;
    }
    return true;
}

static bool loop_end(Loop *l, kiln_tensor **out)
{
    Interpreter *r = l->r;
    const Type i64 = {.dtype = DT_i64};
    const Dim steps = ATTRS(loop, l->n->attr->at)->steps;
    if (l->grows) r->symbol[-1 - steps] = l->done;
    memcpy(out, l->carry, l->carries * sizeof *out);
    for (uint32_t i = 0; i < l->ys; i++) {
        if (!stack_fill(l, &l->stack[i])) return false;
        out[l->carries + i] = l->stack[i].x;
    }
    if (!l->condition) return true;
    return tensor_ok(out[l->n->nout - 1] = number_like(r->t, r->at, r->name, &i64, kiln_of_i(l->done)));
}

/* ---- going on in compiled code ------------------------------------------------------------------------------------------- */
#define REST_AFTER 0.001 /* seconds that a loop has run, or a fourth of those that it will, before it asks for code of its own */
#define REST_TURNS 8     /* that tell how long it will */
#define REST_WAIT 0.02   /* seconds: a loop that will run longer waits for its code; most of that takes less to compile */

/* Seconds of the turns to come, as far as those behind tell; 0: they do not. */
static double ahead(const Loop *l)
{
    if (l->condition || l->done < REST_TURNS) return 0;
    return (clock_seconds() - l->since) / (double)l->done * (double)(l->trip - l->done);
}

static bool is_long(const Loop *l) { return clock_seconds() - l->since >= REST_AFTER || ahead(l) >= 4 * REST_AFTER; }

/* Interpreting would only take the memory and perhaps the core of the thread that compiles. It waits no longer than it would have
 * taken itself. */
static bool ask_for_rest(Loop *l)
{
    kiln *k = l->r->t->k;
    if (!background_ask(k, &l->rest->job)) return false;
    const double left = ahead(l);
    if (left > REST_WAIT) background_wait(k, &l->rest->job, left);
    return true;
}

/* Code for the rest of the loop, if there is any by now. */
static const Code *rest_code(Loop *l)
{
    const Interpreter *r = l->r;
    const bool swap = r->f->compile == COMPILE_SWAP;
    if (swap ? !swap_draw(r->t->k, 3) : !l->rest && !is_long(l)) return NULL;
    if (!l->rest) {
        l->may_rest = (l->rest = rest_of(r->f, r->inst, l->g, l->n)) && (swap || ask_for_rest(l));
        if (!l->may_rest) return NULL;
    }
    const Code *code = swap ? rest_now(l->rest) : atomic_load_explicit(&l->rest->code, memory_order_acquire);
    if (!code && (swap || atomic_load(&l->rest->job.state) == JOB_FAILED)) l->may_rest = false;
    return code;
}

/* Behind a turn: all turns that are left, in compiled code, if there is any. False: recorded. */
static bool go_on(Loop *l)
{
    const Code *code = l->condition || l->done < l->trip ? rest_code(l) : NULL;
    if (!code) return true;
    Interpreter *r = l->r;
    RestCall c = {.left = l->trip - l->done,
        .index = l->done,
        .skip = l->reverse ? 0 : l->done,
        .nin = l->n->nin,
        .carries = l->carries,
        .xs = l->xs,
        .ys = l->ys,
        .in = l->in,
        .carry = l->carry,
        .y = SCRATCH(r->t, r->at, void *, l->ys)};
    if (!c.y) return false;
    for (uint32_t i = 0; i < l->ys; i++) {
        const Stack *s = &l->stack[i];
        c.y[i] = s->x->data + (size_t)(c.skip * type_count(&s->slice)) * dtype_bytes((DType)s->slice.dtype);
    }
    if (!rest_run(r, l->rest, code, &c)) return false;
    l->done = l->condition ? c.index : l->trip;
    l->may_rest = false;
    atomic_fetch_add_explicit(&r->f->rests, 1, memory_order_relaxed);
    return true;
}

bool interpret_loop(Interpreter *r, const Graph *g, const Node *n, kiln_tensor *const *in, kiln_tensor **out)
{
    const struct loop_attrs *a = ATTRS(loop, n->attr->at);
    Loop l = {.r = r,
        .g = g,
        .n = n,
        .body = loop_body(g->module, n->attr),
        .condition = loop_condition(g->module, n->attr),
        .carries = (uint32_t)a->carries,
        .xs = (uint32_t)a->xs,
        .ys = (uint32_t)a->ys,
        .in = in,
        .reverse = a->reverse != 0,
        .may_rest = r->f && r->device == HOST && r->f->compile != KILN_NEVER && rest_possible(g, n)};
    if (l.may_rest) {
        l.since = clock_seconds();
        l.rest = rest_known(r->inst, n);
    }
    int more;
    if (!loop_room(&l) || !loop_begin(&l)) return false;
    while ((more = asks(&l)) > 0)
        if (!turn(&l) || (l.may_rest && !go_on(&l))) return false;
    return more == 0 && loop_end(&l, out);
}
