/* random_program: see random_program.h. */
#include "random_program.h"

#include <string.h>

#include "random_program_ops.h"

#define HERE KILN_HERE
enum { MOST_VALUES = 64, MOST_STATE = 12, MOST_ELEMENTS = 200, MOST_RANK = 4 };

typedef struct Run { /* of a body: its values and state by number */
    kiln *k;
    Program *p;
    kiln_tensor *value[MOST_VALUES];
    int values;
    kiln_variable *state[MOST_STATE];
    int states;
    kiln_tensor *close; /* the last gradient through a loop or branch */
    int depth;          /* of loops and branches */
} Run;

/* ---- values --------------------------------------------------------------------------------------------- */

static bool is_float(const kiln_tensor *t) { return kiln_dtype_of(t) >= KILN_F16; }
static bool is_bool(const kiln_tensor *t) { return kiln_dtype_of(t) == KILN_BOOL; }

static int pick(const Run *e, uint32_t r)
{
    int recent = e->values < 5 ? e->values : 5;
    return r >> 20 & 1 ? e->values - 1 - (int)(r % (uint32_t)recent) : (int)(r % (uint32_t)e->values);
}

/* The float nearest below; -1: none. */
static int pick_float(const Run *e, uint32_t r)
{
    for (int i = pick(e, r), n = 0; n < e->values; n++, i = i == 0 ? e->values - 1 : i - 1)
        if (is_float(e->value[i])) return i;
    return -1;
}

static void say(const Run *e, const char *what, int a, int b, const kiln_tensor *t)
{
    if (e->p->say == NULL) return;
    fprintf(e->p->say, "%*s%s", 2 * e->depth + 2, "", what);
    if (a >= 0) fprintf(e->p->say, " v%d", a);
    if (b >= 0) fprintf(e->p->say, " v%d", b);
    if (t != NULL) {
        fprintf(e->p->say, " -> v%d %s[", e->values, kiln_dtype_name(kiln_dtype_of(t)));
        for (int i = 0; i < kiln_rank(t); i++) fprintf(e->p->say, "%s%lld", i ? "," : "", (long long)kiln_dim(t, i));
        fputs("]", e->p->say);
    }
    fputs("\n", e->p->say);
}

static void put(Run *e, const char *what, int a, int b, kiln_tensor *t)
{
    say(e, what, a, b, t);
    if (e->values < MOST_VALUES) e->value[e->values++] = t;
}

static kiln_shape shape_of(const kiln_tensor *t)
{
    kiln_shape s = {.rank = kiln_rank(t)};
    for (int i = 0; i < s.rank; i++) s.size[i + 1] = kiln_dim(t, i);
    return s;
}

static bool same_shape(const kiln_tensor *x, const kiln_tensor *y)
{
    kiln_shape a = shape_of(x), b = shape_of(y);
    return memcmp(&a, &b, sizeof a) == 0;
}

static kiln_tensor *to_scalar(kiln_tensor *x)
{
    if (kiln_rank(x) == 0) return x;
    return is_bool(x) ? kiln_any(x, KILN_ALL) : kiln_sum(x, KILN_ALL);
}

static kiln_tensor *to_dtype(kiln_tensor *x, kiln_dtype t) { return kiln_dtype_of(x) == t ? x : kiln_cast(x, t); }

/* x with the dtype and shape of like. */
static kiln_tensor *fit(kiln_tensor *x, const kiln_tensor *like)
{
    x = to_dtype(x, kiln_dtype_of(like));
    return same_shape(x, like) ? x : kiln_broadcast(to_scalar(x), shape_of(like));
}

/* y so that an operation takes it beside x, and the result is small. */
static kiln_tensor *beside(const kiln_tensor *x, kiln_tensor *y)
{
    bool wide = (kiln_dtype_of(x) == KILN_F32 || kiln_dtype_of(x) == KILN_F64) && is_float(y);
    int rx = kiln_rank(x), ry = kiln_rank(y);
    int64_t n = 1;
    if (!wide) y = to_dtype(y, kiln_dtype_of(x));
    for (int i = 1; i <= rx || i <= ry; i++) {
        int64_t a = i <= rx ? kiln_dim(x, -i) : 1, b = i <= ry ? kiln_dim(y, -i) : 1;
        if (a != b && a != 1 && b != 1) return to_scalar(y);
        n *= a == 1 ? b : a;
    }
    return n > MOST_ELEMENTS ? to_scalar(y) : y;
}

/* ---- one instruction each ------------------------------------------------------------------------------- */

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* x, or made of it what such an operation takes. */
static kiln_tensor *taken(kiln_tensor *x, Takes t)
{
    if (t == TAKES_FLOATS && !is_float(x)) return kiln_cast(x, KILN_F32);
    if (t == TAKES_NUMBERS && is_bool(x)) return kiln_cast(x, KILN_I32);
    return t == TAKES_WHOLE && is_float(x) ? kiln_greater(x, 0) : x;
}

static void do_unary(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    size_t op = r[1] % COUNT(unary);
    put(e, unary[op].name, a, -1, unary[op].f(HERE, KILN_OPERAND(taken(e->value[a], unary[op].takes))));
}

static void do_binary(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]), b = pick(e, r[1]);
    size_t op = r[2] % COUNT(binary);
    kiln_tensor *x = taken(e->value[a], binary[op].takes);
    kiln_operand y = r[3] % 8 == 0 && !is_bool(x) ? KILN_OPERAND(2) : KILN_OPERAND(beside(x, e->value[b]));
    put(e, binary[op].name, a, y.kind == 1 ? b : -1, binary[op].f(HERE, KILN_OPERAND(x), y));
}

static void do_where(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]), b = pick(e, r[1]);
    kiln_tensor *x = e->value[a], *y = fit(e->value[b], x);
    if (r[2] % 2) put(e, "where", a, b, kiln_where(kiln_less(x, y), x, y));
    else if (!is_bool(x)) put(e, "clip", a, b, kiln_clip(x, y, 3));
}

static void do_cast(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    if (r[2] % 4 == 0 && dtype_at(r[1]) >= KILN_F16)
        put(e, "cast_saturated", a, -1, kiln_cast_saturated(e->value[a], dtype_at(r[1])));
    else
        put(e, "cast", a, -1, kiln_cast(e->value[a], dtype_at(r[1])));
}

static kiln_axes axes_of(const kiln_tensor *x, uint32_t r)
{
    kiln_axes axes = {.keep = (int)(r & 1)};
    if (r % 5 == 0) return r & 1 ? KILN_KEEP_ALL : KILN_ALL;
    for (int i = 0; i < kiln_rank(x); i++)
        if (r >> (4 + i) & 1) axes.axis[++axes.count] = r >> 12 & 1 ? i - kiln_rank(x) : i;
    return axes;
}

static void do_reduce(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    size_t op = r[1] % COUNT(reduce);
    kiln_tensor *x = taken(e->value[a], reduce[op].takes);
    kiln_axes axes = axes_of(x, r[2]);
    if (kiln_elements(x) != 0) put(e, reduce[op].name, a, -1, reduce[op].f(HERE, KILN_OPERAND(x), axes));
}

static void do_along(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    size_t op = r[1] % COUNT(along);
    kiln_tensor *x = taken(e->value[a], along[op].takes);
    if (kiln_rank(x) != 0 && kiln_elements(x) != 0)
        put(e, along[op].name, a, -1, along[op].f(HERE, KILN_OPERAND(x), (int)(r[2] % (uint32_t)kiln_rank(x))));
}

static void do_matmul(Run *e, const uint32_t *r)
{
    int a = pick_float(e, r[0]), b = pick_float(e, r[1]);
    if (a < 0 || b < 0 || kiln_rank(e->value[a]) == 0) return;
    kiln_tensor *x = e->value[a], *y = to_dtype(e->value[b], kiln_dtype_of(x));
    bool meets = kiln_rank(y) == 1 ? kiln_dim(y, 0) == kiln_dim(x, -1) : kiln_rank(y) == 2 && kiln_dim(y, 0) == kiln_dim(x, -1);
    if (!meets && kiln_rank(x) > 2) return;
    if (!meets) y = kiln_transpose(x, KILN_ALL), b = a;
    put(e, r[2] % 4 ? "matmul" : "matmul_to", a, b, r[2] % 4 ? kiln_matmul(x, y) : kiln_matmul_to(kiln_cast(x, KILN_I8), kiln_cast(y, KILN_I8), KILN_I32));
}

static void do_move(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    kiln_tensor *x = e->value[a];
    kiln_shape s = shape_of(x);
    if (r[1] % 5 == 0) put(e, "transpose", a, -1, kiln_transpose(x, KILN_ALL));
    else if (r[1] % 5 == 1 && s.rank < MOST_RANK) put(e, "expand", a, -1, kiln_expand(x, (int)(r[2] % (uint32_t)(s.rank + 1))));
    else if (r[1] % 5 == 2 && s.rank >= 2) put(e, "flatten", a, -1, kiln_flatten(x));
    else if (r[1] % 5 == 3) put(e, "reshape", a, -1, kiln_reshape(x, KILN_SHAPE(kiln_elements(x))));
    else if (s.rank < MOST_RANK && kiln_elements(x) * 2 <= MOST_ELEMENTS) {
        for (int64_t i = s.rank++; i > 0; i--) s.size[i + 1] = -1;
        s.size[1] = 2;
        put(e, "broadcast", a, -1, kiln_broadcast(x, s));
    }
}

static void do_slice(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    kiln_tensor *x = e->value[a];
    if (kiln_rank(x) == 0) return;
    int64_t start = (int64_t)(r[2] % 5) - 2, step = (int64_t)(r[3] % 5) - 2;
    int axis = (int)(r[1] % (uint32_t)kiln_rank(x));
    if (step == 0 || r[3] >> 8 & 1) put(e, "slice", a, -1, kiln_slice(x, axis, r[3] >> 9 & 1, KILN_END, 1));
    else put(e, "slice", a, -1, kiln_slice(x, axis, start, r[3] >> 10 & 1 ? KILN_END : start + 2, step));
}

static void do_join(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]), b = pick(e, r[1]);
    kiln_tensor *x = e->value[a], *y = fit(e->value[b], x);
    int rank = kiln_rank(x);
    if (kiln_elements(x) * 2 > MOST_ELEMENTS) return;
    if (r[2] % 2 && rank != 0) put(e, "concat", a, b, kiln_concat(KILN_IN(x, y), (int)(r[3] % (uint32_t)rank)));
    else if (rank < MOST_RANK) put(e, "stack", a, b, kiln_stack(KILN_IN(x, y), (int)(r[3] % (uint32_t)(rank + 1))));
}

static void do_pad(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    kiln_tensor *x = e->value[a];
    kiln_shape low = {.rank = kiln_rank(x)}, high = low;
    if (low.rank == 0 || kiln_elements(x) > 40) return;
    low.size[1] = r[1] % 3;
    high.size[low.rank] = r[2] % 2;
    put(e, "pad", a, -1, kiln_pad(x, low, high, 1));
}

static void do_gather(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]), b = pick(e, r[1]);
    kiln_tensor *x = e->value[a], *i = to_dtype(e->value[b], KILN_I32);
    if (kiln_elements(i) * 3 > MOST_ELEMENTS || kiln_rank(i) >= MOST_RANK) return;
    if (r[2] % 3 == 0) put(e, "one_hot", b, -1, kiln_one_hot(i, 3, dtype_at(r[3])));
    else if (kiln_rank(x) != 0 && kiln_elements(x) != 0 && kiln_rank(x) + kiln_rank(i) <= MOST_RANK + 1 &&
             kiln_elements(x) * kiln_elements(i) <= MOST_ELEMENTS)
        put(e, "gather", a, b, kiln_gather(x, i, (int)(r[3] % (uint32_t)kiln_rank(x))));
}

/* ---- state -------------------------------------------------------------------------------------------------- */

/* What a local holds and what is read of it is a value of its own: if a loop that assigns the local runs no step, eager code alone knows the old one
 * again, as a tape's y or as what it watches. */
static kiln_tensor *own_value(kiln_tensor *x) { return is_float(x) ? kiln_neg(x) : x; }

static int pick_state(const Run *e, uint32_t r) { return r >> 20 & 1 ? e->states - 1 : (int)(r % (uint32_t)e->states); }

static void do_read(Run *e, const uint32_t *r)
{
    int s = pick_state(e, r[0]);
    put(e, "read", -1, -1, own_value(kiln_value(e->state[s])));
    if (e->p->say != NULL) fprintf(e->p->say, "%*s  (of s%d)\n", 2 * e->depth + 2, "", s);
}

static void do_local(Run *e, const uint32_t *r)
{
    if (e->states == MOST_STATE) return;
    int a = pick(e, r[0]);
    say(e, "local", a, -1, NULL);
    e->state[e->states++] = kiln_local(e->k, own_value(e->value[a]));
}

static void do_assign(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]), s = pick_state(e, r[1]);
    kiln_variable *v = e->state[s];
    kiln_tensor *now = kiln_value(v), *x = fit(e->value[a], now);
    if (e->p->say != NULL) fprintf(e->p->say, "%*sassign%u s%d = v%d\n", 2 * e->depth + 2, "", r[2] % 3, s, a);
    if (r[2] % 3 == 0 || is_bool(now)) kiln_assign(v, own_value(x));
    else if (r[2] % 3 == 1) kiln_assign_add(v, x);
    else kiln_assign_sub(v, is_float(x) ? kiln_tanh(x) : x);
}

static void do_assign_slice(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]), b = pick(e, r[1]), s = pick_state(e, r[2]);
    kiln_variable *v = e->state[s];
    kiln_tensor *now = kiln_value(v), *i = to_scalar(to_dtype(e->value[b], KILN_I32)), *x = to_scalar(to_dtype(e->value[a], kiln_dtype_of(now)));
    int rank = kiln_rank(now);
    kiln_operand start[MOST_RANK + 4];
    if (rank == 0 || kiln_elements(now) == 0) return;
    for (int d = 0; d < rank; d++) start[d] = d == 0 ? KILN_OPERAND(i) : KILN_OPERAND((int64_t)(r[3] >> d & 1));
    if (e->p->say != NULL) fprintf(e->p->say, "%*sassign_slice%u s%d at v%d = v%d\n", 2 * e->depth + 2, "", r[3] % 2, s, b, a);
    if (r[3] % 2 || is_bool(now)) kiln_assign_slice_at(HERE, v, rank, start, KILN_OPERAND(x));
    else kiln_assign_add_slice_at(HERE, v, rank, start, KILN_OPERAND(x));
}

/* ---- blocks --------------------------------------------------------------------------------------------------- */

static void run(Run *e, int at, int end);

/* What a block makes stays in it. */
static void run_inside(Run *e, int at, int end)
{
    int values = e->values, states = e->states;
    e->depth++;
    run(e, at, end);
    e->depth--;
    e->values = values;
    e->states = states;
}

static kiln_tensor *count_of(Run *e, uint32_t r)
{
    if (r % 3 == 0) return kiln_scalar(e->k, KILN_I64, (int64_t)(r >> 4 & 3));
    return kiln_mod(to_dtype(to_scalar(e->value[pick(e, r)]), KILN_I64), 4);
}

static void do_if(Run *e, const Instruction *i, int at)
{
    int a = pick(e, i->r[0]), half = i->r[1] % 2 ? i->length : i->length / 2;
    kiln_tensor *c = to_scalar(e->value[a]);
    for (int j = 0; j < i->length; j++)
        if (e->p->at[at + j].length != 0) half = i->length; /* never between a block and its body */
    say(e, "if", a, -1, NULL);
    KILN_IF(is_bool(c) ? c : kiln_greater(c, 0)) run_inside(e, at, at + half);
    say(e, "else", -1, -1, NULL);
    KILN_ELSE(e->k) run_inside(e, at + half, at + i->length);
}

static void do_for(Run *e, const Instruction *i, int at)
{
    kiln_tensor *n = count_of(e, i->r[0]);
    int values = e->values;
    say(e, "for", -1, -1, NULL);
    KILN_FOR(e->k, step, n)
    {
        put(e, "step", -1, -1, step);
        run_inside(e, at, at + i->length);
        e->values = values;
    }
}

static void do_while(Run *e, const Instruction *i, int at)
{
    kiln_tensor *n = count_of(e, i->r[0]);
    kiln_variable *c = kiln_local(e->k, kiln_scalar(e->k, KILN_I64, 0));
    say(e, "while", -1, -1, NULL);
    KILN_WHILE_AT_MOST(e->k, 4, kiln_less(c, n))
    {
        run_inside(e, at, at + i->length);
        kiln_assign_add(c, 1);
    }
}

/* A scalar that depends on y and on all state, where what loops compute ends up. */
static kiln_tensor *with_state(const Run *e, kiln_tensor *y)
{
    y = to_scalar(to_dtype(y, KILN_F64));
    for (int s = 0; s < e->states; s++)
        if (is_float(kiln_value(e->state[s]))) y = kiln_add(y, to_scalar(kiln_cast(e->state[s], KILN_F64)));
    return y;
}

static void do_tape(Run *e, const Instruction *i, int at)
{
    int w = pick_float(e, i->r[0]);
    if (w < 0 || e->values == MOST_VALUES) return;
    put(e, "half", w, -1, kiln_mul(e->value[w], 0.5));
    w = e->values - 1;
    kiln_tensor *dx[2] = {NULL, NULL};
    KILN_TAPE_PERSISTENT(e->k, tape);
    kiln_watch(tape, e->value[w]);
    say(e, "tape, watches", w, -1, NULL);
    if (i->turns && e->states < MOST_STATE) e->state[e->states++] = kiln_local(e->k, own_value(e->value[w]));
    run(e, at, at + i->length);
    int y = pick_float(e, i->r[1] | 1u << 20);
    /* With respect to what a loop assigns in the tape's span is refused in a trace alone. */
    kiln_variable *v = e->state[i->r[2] % (uint32_t)e->states];
    bool by_variable = is_float(kiln_value(v)) && !(i->turns && i->assigns);
    kiln_operand x[2] = {KILN_OPERAND(e->value[w]), KILN_OPERAND(v)};
    if (!kiln_gradients_at(HERE, tape, i->turns ? with_state(e, e->value[y]) : e->value[y], NULL, x, by_variable ? 2 : 1, dx)) return;
    if (!i->turns) {
        put(e, "gradient", y, w, dx[0]);
        if (by_variable) put(e, "gradient by a variable", y, -1, dx[1]);
    } else if (e->depth == 0)
        e->close = dx[by_variable && i->r[3] % 2];
    say(e, "end of tape", y, w, NULL);
}

static void callee_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Callee *c = user;
    Program *p = c->program;
    Run e = {.k = k, .p = p, .value = {in[0], in[1]}, .values = 2, .states = VARIABLES};
    memcpy(e.state, p->variable, sizeof p->variable);
    put(&e, "static", -1, -1, kiln_add(taken(in[0], TAKES_NUMBERS), kiln_static_i64(in[2])));
    run(&e, c->at, c->at + p->at[c->at - 1].length);
    out[0] = e.value[e.values - 1];
    out[1] = e.value[e.values - 2];
}

static void do_call(Run *e, const Instruction *i, int at)
{
    int a = pick(e, i->r[0]), b = pick(e, i->r[1]);
    Callee *c = &e->p->callee[at - 1];
    if (c->function == NULL) {
        *c = (Callee){e->p, at, NULL};
        c->function = kiln_function_new(e->k, callee_body, c, &(kiln_function_options){.name = "callee", .inputs_count = 3, .outputs = 2});
    }
    kiln_tensor *out[2];
    kiln_operand in[3] = {KILN_OPERAND(e->value[a]), KILN_OPERAND(e->value[b]), KILN_STATIC(1 + (int)(i->r[2] % 3))};
    say(e, "call", a, b, NULL);
    kiln_call_all(c->function, in, 3, out, 2);
    put(e, "result", -1, -1, out[0]);
    put(e, "result", -1, -1, out[1]);
}

static void do_wrong(Run *e, const uint32_t *r)
{
    int a = pick(e, r[0]);
    kiln_tensor *x = e->value[a];
    say(e, "wrong", a, -1, NULL);
    switch (r[1] % 6) {
    case 0: put(e, "matmul", a, -1, kiln_matmul(kiln_ones(e->k, KILN_F32, KILN_SHAPE(2, 3)), kiln_ones(e->k, KILN_F32, KILN_SHAPE(2, 3)))); break;
    case 1: put(e, "sum", a, -1, kiln_sum(to_dtype(x, KILN_F32), KILN_AXES(7))); break;
    case 2: put(e, "reshape", a, -1, kiln_reshape(x, KILN_SHAPE(kiln_elements(x) + 1))); break;
    case 3: kiln_assign(e->state[0], kiln_stack(KILN_IN(e->state[0], e->state[0]), 0)); break;
    case 4: kiln_assert(kiln_less(to_dtype(to_scalar(x), KILN_I64), INT64_MIN + 1), "wrong"); kiln_assert(kiln_ne(to_scalar(x), to_scalar(x)), "differs"); break;
    default: {
        kiln_variable *c = kiln_local(e->k, kiln_scalar(e->k, KILN_I64, 0));
        KILN_WHILE_AT_MOST(e->k, 2, kiln_less(c, 3)) kiln_assign_add(c, 1);
    }
    }
}

static void run(Run *e, int at, int end)
{
    static void (*const simple[])(Run *, const uint32_t *) = {
        do_unary, do_binary, do_where, do_cast, do_reduce, do_along, do_matmul, do_move, do_slice, do_join, do_pad, do_gather, do_read, do_local,
        do_assign, do_assign_slice,
    };
    static void (*const block[])(Run *, const Instruction *, int) = {do_if, do_for, do_while, do_tape, do_call};
    while (at < end && !kiln_failed(e->k)) {
        const Instruction *i = &e->p->at[at++];
        e->p->did[i->does]++;
        if (i->does == DOES_WRONG) do_wrong(e, i->r);
        else if (is_block(i->does)) block[i->does - DOES_IF](e, i, at);
        else simple[i->does](e, i->r);
        at += i->length;
    }
}

void program_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Program *p = user;
    Run e = {.k = k, .p = p, .value = {in[0], in[1], in[2]}, .values = INPUTS, .states = VARIABLES};
    memcpy(e.state, p->variable, sizeof p->variable);
    run(&e, 0, p->length);
    for (int i = 0; i < CLOSE_OUTPUT; i++) out[i] = e.value[e.values - 1 - i];
    out[CLOSE_OUTPUT] = e.close != NULL ? e.close : kiln_scalar(k, KILN_F32, 0);
}

void program_free_functions(Program *p)
{
    for (int i = 0; i < MOST_INSTRUCTIONS; i++) kiln_function_free(p->callee[i].function);
}
