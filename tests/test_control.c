/* control: loops and branches whose one source runs eagerly and traces once. Both modes must agree bit for bit, in values, in variables and in
 * gradients; gradients agree with finite differences. */
#include <math.h>
#include <stdlib.h>

#include "front.h"

typedef struct Case {
    const char *name;
    kiln_body *body; /* one input f32[], one output f32[] */
    float at[3];     /* where it is tried */
    int exact; /* order of derivative up to which both modes give the same bits: the reverse of a loop recomputes its steps, whose own
                * second-order parts come in between */
} Case;

static kiln_function *function_of(kiln *k, kiln_body *body, const char *name)
{
    return kiln_function_new(k, body, NULL, &(kiln_function_options){.name = name, .inputs_count = 1});
}

/* ---- bodies ----------------------------------------------------------------------------------------------------- */
#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

BODY(absolute)
{
    kiln_variable *y = kiln_local(k, in[0]);
    KILN_IF(kiln_less(in[0], 0.0)) kiln_assign(y, kiln_neg(in[0]));
    out[0] = kiln_value(y);
}

BODY(two_ways)
{
    kiln_variable *y = kiln_local(k, in[0]);
    KILN_IF(kiln_less(in[0], 0.0)) kiln_assign(y, kiln_mul(in[0], kiln_mul(in[0], 3.0)));
    KILN_ELSE(k)
    {
        kiln_tensor *e = kiln_exp(in[0]);
        kiln_assign(y, kiln_mul(e, y));
    }
    out[0] = kiln_value(y);
}

BODY(chain)
{
    kiln_variable *y = kiln_local(k, KILN_F32, 0.0);
    KILN_IF(kiln_less(in[0], -0.5)) kiln_assign(y, kiln_sin(in[0]));
    KILN_ELSE(k)
    {
        KILN_IF(kiln_less(in[0], 0.5)) kiln_assign(y, kiln_mul(in[0], in[0]));
        KILN_ELSE(k) kiln_assign(y, kiln_sqrt(in[0]));
    }
    out[0] = kiln_value(y);
}

BODY(halving) /* how often is for the value to say */
{
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE(k, kiln_greater(kiln_square(x), 0.25)) kiln_assign(x, kiln_mul(x, kiln_mul(0.5, in[0])));
    out[0] = kiln_mul(x, x);
}

BODY(never) /* no turn at all */
{
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE(k, kiln_greater(x, 100.0)) kiln_assign(x, kiln_exp(x));
    KILN_FOR(k, i, 0) kiln_assign(x, kiln_exp(x));
    out[0] = kiln_mul(x, in[0]);
}

BODY(power)
{
    kiln_variable *y = kiln_local(k, KILN_F32, 1.0);
    KILN_FOR(k, i, 5) kiln_assign(y, kiln_mul(y, kiln_add(in[0], kiln_cast(i, KILN_F32))));
    out[0] = kiln_value(y);
}

BODY(nested) /* if in while in for */
{
    kiln_variable *sum = kiln_local(k, KILN_F32, 0.0), *odd = kiln_local(k, kiln_scalar(k, KILN_I32, 0));
    KILN_FOR(k, i, 3)
    {
        kiln_variable *n = kiln_local(k, i);
        KILN_WHILE(k, kiln_less(n, 6))
        {
            KILN_IF(kiln_equal(kiln_mod(n, 2), 1))
            {
                kiln_assign_add(odd, 1);
                kiln_assign_add(sum, kiln_sin(kiln_mul(in[0], kiln_cast(n, KILN_F32))));
            }
            KILN_ELSE(k)
            {
                KILN_FOR(k, j, n) kiln_assign_add(sum, kiln_mul(in[0], kiln_cast(j, KILN_F32)));
            }
            kiln_assign_add(n, kiln_add(1, i));
        }
    }
    out[0] = kiln_mul(sum, kiln_cast(odd, KILN_F32));
}

BODY(continues)
{
    kiln_variable *y = kiln_local(k, kiln_mul(in[0], 0.5));
    KILN_FOR(k, i, 4)
    {
        KILN_IF(kiln_less(y, 2.0))
        {
            kiln_assign(y, kiln_mul(y, kiln_add(in[0], 1.0)));
            continue; /* of the branch */
        }
        kiln_assign_add(y, kiln_square(in[0]));
        continue;
    }
    out[0] = kiln_value(y);
}

BODY(tape_in_loop) /* Newton's method for cos(x) = x + in, derivatives by tape */
{
    kiln_variable *x = kiln_local(k, KILN_F32, 0.5);
    KILN_WHILE(k, kiln_greater(kiln_abs(kiln_sub(kiln_sub(kiln_cos(x), x), in[0])), 1e-6))
    {
        KILN_TAPE(k, tape);
        kiln_tensor *now = kiln_watch(tape, kiln_value(x));
        kiln_tensor *f = kiln_sub(kiln_sub(kiln_cos(now), now), in[0]);
        kiln_assign_sub(x, kiln_div(f, kiln_gradient(tape, f, now)));
    }
    out[0] = kiln_value(x);
}

BODY(tape_in_branch)
{
    kiln_variable *y = kiln_local(k, KILN_F32, 0.0);
    KILN_IF(kiln_greater(in[0], 0.0))
    {
        KILN_TAPE(k, tape);
        kiln_tensor *x = kiln_watch(tape, in[0]);
        kiln_assign(y, kiln_gradient(tape, kiln_mul(kiln_square(x), kiln_exp(x)), x));
    }
    out[0] = kiln_add(y, in[0]);
}

BODY(tape_around) /* the gradient of a while and of a branch inside a body */
{
    KILN_TAPE(k, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]), *y[1];
    halving(k, (kiln_tensor *[]){x}, y, NULL);
    kiln_tensor *z[1];
    two_ways(k, (kiln_tensor *[]){kiln_add(y[0], x)}, z, NULL);
    out[0] = kiln_gradient(tape, z[0], x);
}

BODY(vectors) /* carried tensors, captured ones, sizes */
{
    kiln_tensor *w = kiln_f32(k, KILN_SHAPE(3), 0.5f, -1, 2);
    kiln_variable *v = kiln_local(k, kiln_mul(w, in[0]));
    KILN_WHILE(k, kiln_less(kiln_sum(kiln_abs(v), KILN_ALL), 20.0))
    {
        KILN_IF(kiln_any(kiln_less(v, -1.0), KILN_ALL)) kiln_assign(v, kiln_add(kiln_mul(v, 1.5), kiln_mul(w, in[0])));
        KILN_ELSE(k) kiln_assign(v, kiln_add(kiln_mul(v, 2.0), kiln_mul(w, 0.25)));
    }
    out[0] = kiln_sum(kiln_square(v), KILN_ALL);
}

BODY(from_data) /* locals that begin with concrete data */
{
    kiln_variable *v = kiln_local(k, kiln_f32(k, KILN_SHAPE(2), 1, -2)), *odd = kiln_local(k, kiln_bool(k, KILN_SHAPE(), false));
    KILN_FOR(k, i, 3)
    {
        KILN_IF(odd) kiln_assign(v, kiln_mul(v, in[0]));
        kiln_assign(odd, kiln_not(odd));
    }
    out[0] = kiln_sum(kiln_add(kiln_square(v), in[0]), KILN_ALL);
}

BODY(asks_twice) /* a persistent tape does not see its own gradients, nor what comes after its stop */
{
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *x = kiln_watch(tape, in[0]), *y[1];
    power(k, (kiln_tensor *[]){x}, y, NULL);
    kiln_tensor *dy = kiln_gradient(tape, y[0], x);
    kiln_tensor *none = kiln_gradient(tape, dy, x), *part = kiln_gradient(tape, kiln_mul(dy, x), x);
    kiln_tape_stop(tape);
    kiln_tensor *late = kiln_mul(kiln_mul(y[0], x), dy);
    out[0] = kiln_add(kiln_add(none, part), kiln_add(kiln_gradient(tape, late, x), kiln_gradient(tape, y[0], x)));
}

static void three_times(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)user;
    kiln_variable *d = kiln_local(k, g); /* loops and branches in a rule inside loops and branches */
    KILN_FOR(k, i, 2) kiln_assign_add(d, g);
    KILN_IF(kiln_less(g, -1000.0)) kiln_assign(d, 0.0);
    dx[0] = kiln_mul(d, x[0]);
}

BODY(own_rule)
{
    kiln_variable *y = kiln_local(k, kiln_mul(in[0], 0.5));
    KILN_FOR(k, i, 3)
    {
        kiln_tensor *now = kiln_value(y);
        KILN_IF(kiln_greater(now, 0.0))
        {
            kiln_tensor *half = kiln_mul(kiln_square(now), 1.5);
            kiln_assign(y, kiln_custom_gradient(half, &now, 1, three_times, NULL));
        }
        KILN_ELSE(k) kiln_assign_add(y, kiln_square(in[0]));
    }
    out[0] = kiln_value(y);
}

static const Case cases[] = {
    {"absolute", absolute, {-1.5f, 0.25f, 2}, 2},
    {"two_ways", two_ways, {-1.5f, 0.25f, 2}, 2},
    {"chain", chain, {-1.5f, 0.25f, 2}, 2},
    {"halving", halving, {0.75f, 1.25f, -1.5f}, 2},
    {"never", never, {-1.5f, 0.25f, 2}, 2},
    {"power", power, {-1.5f, 0.25f, 2}, 2},
    {"nested", nested, {-1.5f, 0.25f, 2}, 1},
    {"continues", continues, {0.4f, 0.25f, 1.2f}, 1},
    {"tape_in_loop", tape_in_loop, {-0.25f, 0.125f, 0.5f}, 1},
    {"tape_in_branch", tape_in_branch, {-1.5f, 0.25f, 1}, 2},
    {"tape_around", tape_around, {0.75f, 1.25f, -1.5f}, 0},
    {"own_rule", own_rule, {-0.75f, 0.5f, 1}, 1},
    {"from_data", from_data, {-1.5f, 0.25f, 2}, 2},
    {"asks_twice", asks_twice, {-1.5f, 0.75f, 2}, 0},
    {"vectors", vectors, {-1.5f, 0.75f, 2}, 2},
};

/* ---- eager == traced, gradients of first and second order ------------------------------------------------------------- */
typedef struct Result {
    float y, dy, d2y;
} Result;

static Result taped(kiln *k, kiln_function *f, float at, bool second)
{
    KILN_SCOPE(k);
    Result r = {0};
    kiln_tensor *x = kiln_scalar(k, KILN_F32, at);
    KILN_TAPE(k, outer);
    KILN_TAPE(k, inner);
    kiln_watch(inner, x);
    kiln_watch(outer, x);
    kiln_tensor *y = kiln_call(f, x), *dy = kiln_gradient(inner, y, x);
    r.y = (float)kiln_item(y);
    r.dy = (float)kiln_item(dy);
    if (second) r.d2y = (float)kiln_item(kiln_gradient(outer, dy, x));
    return r;
}

static float plain(kiln *k, kiln_function *f, float at)
{
    KILN_SCOPE(k);
    return (float)kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, at)));
}

static void same_bits(const char *name, const char *what, float a, float b)
{
    if (memcmp(&a, &b, sizeof a)) fail_msg("%s: %s: %.9g is not %.9g", name, what, (double)a, (double)b);
}

static void near_difference(const char *name, double got, double lo, double hi, double h)
{
    double want = (hi - lo) / (2 * h);
    if (fabs(got - want) > 2e-2 * (1 + fabs(want))) fail_msg("%s: %g is not %g", name, got, want);
}

static void one_source_two_modes(void **state)
{
    kiln *k = *state;
    const float h = 1.0f / 512;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const Case *s = &cases[c];
        kiln_function *f = function_of(k, s->body, s->name);
        for (int i = 0; i < 3; i++) {
            kiln_eager(k, true);
            float y = plain(k, f, s->at[i]);
            Result e = taped(k, f, s->at[i], true);
            Result lo = taped(k, f, s->at[i] - h, false), hi = taped(k, f, s->at[i] + h, false);
            assert_ok(k);
            kiln_eager(k, false);
            float yt = plain(k, f, s->at[i]);
            Result t = taped(k, f, s->at[i], true);
            assert_ok(k);
            same_bits(s->name, "value", y, yt);
            same_bits(s->name, "value under tapes", e.y, t.y);
            if (s->exact >= 1) same_bits(s->name, "gradient", e.dy, t.dy);
            if (s->exact >= 2) same_bits(s->name, "second order", e.d2y, t.d2y);
            near_difference(s->name, e.dy, lo.y, hi.y, h);
            near_difference(s->name, e.d2y, lo.dy, hi.dy, h);
            KILN_SCOPE(k);
            kiln_tensor *x = kiln_scalar(k, KILN_F32, s->at[i]);
            same_bits(s->name, "kiln_grad", (float)kiln_item(kiln_call(kiln_grad(f), x)), t.dy);
            same_bits(s->name, "kiln_grad twice", (float)kiln_item(kiln_call(kiln_grad(kiln_grad(f)), x)), t.d2y);
            assert_ok(k);
        }
        kiln_function_statistics stats;
        kiln_function_stats(f, &stats);
        assert_int_equal(stats.traces, 1);
        kiln_function_free(f);
    }
}

/* ---- variables --------------------------------------------------------------------------------------------------------- */
typedef struct State {
    kiln_variable *x, *hits, *seen;
} State;

static void wished(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    State *s = user;
    KILN_FOR(k, i, in[0])
    {
        KILN_TAPE(k, tape);
        kiln_tensor *y = kiln_add(kiln_sub(kiln_square(s->x), kiln_mul(2.0, s->x)), 1.0);
        kiln_assign_sub(s->x, kiln_mul(0.01, kiln_gradient(tape, y, s->x)));
    }
    KILN_IF(kiln_less(s->x, 0.0)) kiln_assign(s->x, 0.0);
    KILN_ELSE(k) kiln_assign_add(s->hits, 1);
    KILN_WHILE(k, kiln_less(s->seen, s->hits)) kiln_assign_add(s->seen, 1);
    out[0] = kiln_value(s->x);
}

static void scaled(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *steps = kiln_scalar(k, KILN_I32, 5), *y;
    wished(k, &steps, &y, user);
    out[0] = kiln_mul(y, in[0]);
}

static void variables_are_carried(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float x[2][4], first[4] = {-5, 0, 3, -0.5f};
    int64_t hits[2], seen[2];
    State s = {kiln_variable_new(k, "x", KILN_F32, 0.0), kiln_variable_new(k, "hits", kiln_scalar(k, KILN_I64, 0)),
        kiln_variable_new(k, "seen", kiln_scalar(k, KILN_I64, 0))};
    kiln_function *f = kiln_function_new(k, wished, &s, &(kiln_function_options){.name = "wished", .inputs_count = 1});
    for (int mode = 0; mode < 2; mode++) {
        kiln_eager(k, mode == 0);
        kiln_assign(s.hits, 0);
        kiln_assign(s.seen, 0);
        for (int i = 0; i < 4; i++) {
            kiln_assign(s.x, first[i]);
            kiln_tensor *y = kiln_call(f, kiln_scalar(k, KILN_I32, 10 * i));
            x[mode][i] = (float)kiln_item(s.x);
            assert_float_equal(kiln_item(y), x[mode][i], 0);
        }
        hits[mode] = kiln_item_i64(s.hits);
        seen[mode] = kiln_item_i64(s.seen);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
    assert_int_equal(hits[0], hits[1]);
    assert_int_equal(seen[0], hits[0]);
    assert_int_equal(seen[1], hits[1]);
    assert_ok(k);
}

/* A variable that a loop assigns has no gradient from outside; all else has. */
static void a_call_with_a_training_loop(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    State s = {kiln_variable_new(k, "x", KILN_F32, 3.0), kiln_variable_new(k, "hits", kiln_scalar(k, KILN_I64, 0)),
        kiln_variable_new(k, "seen", kiln_scalar(k, KILN_I64, 0))};
    kiln_function *f = kiln_function_new(k, scaled, &s, &(kiln_function_options){.name = "scaled", .inputs_count = 1});
    kiln_tensor *a = kiln_scalar(k, KILN_F32, 2);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *y = kiln_call(f, kiln_watch(tape, a));
    assert_float_equal(kiln_item(kiln_gradient(tape, y, a)), kiln_item(s.x), 0);
    assert_ok(k);
    kiln_gradient(tape, y, s.x);
    assert_error(k, KILN_EUNSUPPORTED, "variable x is assigned in a loop of scaled");
}

/* Reads in a branch are reads of the variable, for a tape around it. */
static void reads_in_branch(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    State *s = user;
    KILN_TAPE(k, tape);
    kiln_variable *y = kiln_local(k, KILN_F32, 0.0);
    KILN_IF(kiln_greater(in[0], 0.0))
    {
        kiln_assign(y, kiln_mul(kiln_square(s->x), in[0]));
        kiln_assign(s->x, kiln_add(s->x, 1.0)); /* after its reads */
    }
    KILN_ELSE(k) kiln_assign(y, kiln_mul(s->x, 3.0));
    KILN_WHILE(k, kiln_less(kiln_mul(y, s->x), 50.0)) kiln_assign(y, kiln_mul(y, kiln_add(s->x, 1.0)));
    out[0] = kiln_gradient(tape, kiln_value(y), s->x);
}

static void branches_let_reads_through(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    State s = {.x = kiln_variable_new(k, "x", KILN_F32, 2.0)};
    float d[2][2];
    kiln_function *f = kiln_function_new(k, reads_in_branch, &s, &(kiln_function_options){.name = "reads", .inputs_count = 1});
    for (int mode = 0; mode < 2; mode++)
        for (int i = 0; i < 2; i++) {
            kiln_eager(k, mode == 0);
            kiln_assign(s.x, 2.0);
            d[mode][i] = (float)kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, i ? 5 : -5)));
        }
    assert_ok(k);
    same_bits("reads", "not taken", d[0][0], d[1][0]);
    same_bits("reads", "taken", d[0][1], d[1][1]);
    assert_true(d[0][0] != 0 && d[0][1] != 0);
}

static void checks_itself(void **state)
{
    kiln *k = *state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (cases[c].body == tape_in_loop) continue; /* it ends where rounding decides */
        KILN_SCOPE(k);
        kiln_function *f = function_of(k, cases[c].body, cases[c].name);
        kiln_tensor *x = kiln_scalar(k, KILN_F32, cases[c].at[1]);
        if (!kiln_check(stdout, f, &x, 1) || !kiln_check(stdout, kiln_grad(f), &x, 1))
            fail_msg("%s: %s", cases[c].name, kiln_error(k)->text);
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(one_source_two_modes),
        FRONT_TEST(checks_itself),
        FRONT_TEST(variables_are_carried),
        FRONT_TEST(a_call_with_a_training_loop),
        FRONT_TEST(branches_let_reads_through),
    };
    return cmocka_run_group_tests_name("control", tests, front_needs_llvm, NULL);
}
