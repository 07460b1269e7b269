/* test_modes: what tapes know of tensors, locals and results, and what errors do, is the same whether a body runs eagerly or is traced. Each case
 * is a body that runs in both modes; results and what kiln_grad_why says must be equal, and what is written here. */
#include "front.h"

#include <kiln/aot.h>

typedef struct Seen { /* by a body: how it would explain its gradient, per mode */
    char why[2][256];
    int traced;
} Seen;

static void note_why(Seen *s, kiln_tape *tape, kiln_operand x) { snprintf(s->why[s->traced], sizeof s->why[0], "%s", kiln_grad_why(tape, x)); }

enum { MOST = 4 };

/* The outputs of body(3, 5) in both modes; false: an error, which stays. */
static bool both(kiln *k, kiln_body *body, Seen *seen, int outputs, double got[2][MOST])
{
    bool ok = true;
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_tensor *out[MOST];
        seen->traced = traced;
        kiln_function *f = kiln_function_new(k, body, seen, &(kiln_function_options){.inputs_count = 2, .outputs = outputs});
        kiln_eager(k, !traced);
        kiln_operand in[2] = {KILN_OPERAND(kiln_scalar(k, KILN_F32, 3)), KILN_OPERAND(kiln_scalar(k, KILN_F32, 5))};
        ok = kiln_call_all(f, in, 2, out, outputs) && ok;
        for (int i = 0; i < outputs && ok; i++) got[traced][i] = kiln_item(out[i]);
    }
    kiln_eager(k, false);
    return ok;
}

static void gives(kiln *k, kiln_body *body, Seen *seen, int outputs, const double *want)
{
    double got[2][MOST];
    if (!both(k, body, seen, outputs, got)) fail_msg("%s", kiln_error(k)->text);
    for (int traced = 0; traced < 2; traced++)
        for (int i = 0; i < outputs; i++)
            if (got[traced][i] != want[i])
                fail_msg("output %d is %g, not %g, %s", i, got[traced][i], want[i], traced ? "traced" : "eagerly");
    assert_string_equal(seen->why[0], seen->why[1]);
}
#define GIVES(body, seen, ...) \
    gives(*state, body, seen, (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__})

/* ---- what a tape knows -------------------------------------------------------------------------- */

static void asks_for_unwatched(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *before = kiln_mul(in[0], 2.0), *y = kiln_mul(kiln_square(in[0]), before);
    out[0] = kiln_gradient(tape, y, in[0]);
    out[1] = kiln_gradient(tape, y, before);
    note_why(user, tape, KILN_OPERAND(in[0]));
}

static void unwatched_tensors_have_no_gradient(void **state)
{
    Seen seen = {0};
    GIVES(asks_for_unwatched, &seen, 0, 0);
    assert_non_null(strstr(seen.why[0], "neither watched nor computed from what was"));
}

static void asks_for_computed(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *early = kiln_mul(in[0], 2.0);
    kiln_watch(tape, in[0]);
    kiln_tensor *mid = kiln_mul(in[0], 4.0), *other = kiln_mul(in[1], 2.0), *y = kiln_mul(kiln_mul(mid, other), early);
    out[0] = kiln_gradient(tape, y, mid);   /* other * early */
    out[1] = kiln_gradient(tape, y, other); /* of nothing watched */
    out[2] = kiln_gradient(tape, y, early); /* computed before the watch */
    kiln_tape_stop(tape);
    kiln_tensor *late = kiln_mul(in[0], 2.0);
    out[3] = kiln_gradient(tape, kiln_mul(y, late), late);
}

static void asks_in_between(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *y = kiln_square(in[0]);
    out[0] = kiln_gradient(tape, y, in[0]);
    kiln_tensor *mid = kiln_mul(y, in[1]);
    out[1] = kiln_gradient(tape, mid, y);
    out[2] = kiln_gradient(tape, kiln_square(mid), mid);
    out[3] = kiln_gradient(tape, kiln_square(mid), in[0]);
}

static void what_is_computed_from_watched_tensors_has_one(void **state)
{
    Seen seen = {0};
    GIVES(asks_for_computed, &seen, 60, 0, 0, 0);
    GIVES(asks_in_between, &seen, 6, 5, 90, 2700);
}

static void carries_two(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *a = kiln_local(k, in[0]), *b = kiln_local(k, in[1]);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    KILN_FOR(k, i, 3)
    {
        kiln_assign(a, kiln_mul(a, in[0]));
        kiln_assign(b, kiln_mul(b, 2.0));
    }
    kiln_tensor *last_a = kiln_value(a), *last_b = kiln_value(b), *y = kiln_mul(last_a, in[1]);
    out[0] = kiln_gradient(tape, y, in[0]);
    out[1] = kiln_gradient(tape, y, last_a);
    kiln_tensor *z = kiln_mul(y, last_b);
    out[2] = kiln_gradient(tape, z, last_a); /* y's 5, times b's 40 */
    out[3] = kiln_gradient(tape, kiln_square(in[1]), in[1]);
}

static void a_loop_tells_its_carries_apart(void **state)
{
    Seen seen = {0};
    GIVES(carries_two, &seen, 4 * 27 * 5, 5, 200, 10); /* the last: a local that was read holds it */
}

static void watches_by_another_handle(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *same = kiln_cast(in[0], KILN_F32);
    kiln_variable *local = kiln_local(k, in[0]), *sum = kiln_local(k, KILN_F32, 0.0);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    KILN_FOR(k, i, 2) kiln_assign_add(sum, kiln_square(local));
    out[0] = kiln_gradient(tape, kiln_square(same), in[0]);
    out[1] = kiln_gradient(tape, kiln_square(local), in[0]);
    out[2] = kiln_gradient(tape, kiln_square(in[0]), same);
    out[3] = kiln_gradient(tape, kiln_value(sum), in[0]);
}

static void a_watched_tensor_is_watched_by_all_its_handles(void **state)
{
    Seen seen = {0};
    GIVES(watches_by_another_handle, &seen, 6, 6, 6, 12);
}

/* ---- locals ---------------------------------------------------------------------------------------- */

static void asks_for_locals(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Seen *seen = user;
    kiln_variable *x = kiln_local(k, in[0]), *unread = kiln_local(k, in[1]);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *y = kiln_mul(x, x);
    out[0] = kiln_gradient(tape, y, x);
    kiln_assign(x, kiln_mul(y, 2.0));
    kiln_tensor *z = kiln_mul(x, 7.0);
    out[1] = kiln_gradient(tape, z, x);     /* its two values: 7, and 7 * 4 * 3 by way of the first */
    out[2] = kiln_gradient(tape, z, unread);
    note_why(seen, tape, KILN_OPERAND(unread));
    out[3] = kiln_gradient(tape, z, y);
}

static void a_local_is_a_leaf_and_gradients_flow_through_it(void **state)
{
    Seen seen = {0};
    GIVES(asks_for_locals, &seen, 6, 91, 0, 14);
    assert_string_equal(seen.why[0], "the variable was not read while the tape recorded");
}

static void locals_are_no_variables_of_a_tape(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 2)), *seen[2] = {NULL, NULL};
    kiln_variable *x = kiln_local(k, kiln_scalar(k, KILN_F32, 3));
    KILN_TAPE(k, tape);
    kiln_mul(x, v);
    assert_int_equal(kiln_tape_variables(tape, seen, 2), 1);
    assert_ptr_equal(seen[0], v);
}

static kiln_variable *shared;
static void uses_a_local_from_outside(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    kiln_assign(shared, kiln_mul(shared, 2.0));
    out[0] = kiln_mul(kiln_mul(shared, shared), in[0]);
}

/* y = (2 (w w))^2 * 5, dy/dw = 5 * 4 * 4 w^3. */
static void gradients_flow_through_a_local_that_a_call_uses(void **state)
{
    kiln *k = *state;
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_eager(k, !traced);
        kiln_tensor *w = kiln_scalar(k, KILN_F32, 3);
        KILN_TAPE(k, tape);
        kiln_watch(tape, w);
        shared = kiln_local(k, kiln_square(w));
        kiln_function *f = kiln_function_new(k, uses_a_local_from_outside, NULL, &(kiln_function_options){.inputs_count = 1});
        double d = kiln_item(kiln_gradient(tape, kiln_call(f, kiln_scalar(k, KILN_F32, 5)), w));
        assert_ok(k);
        assert_true(d == 5 * 16 * 27);
    }
    kiln_eager(k, false);
}

static void assigns_in_a_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_TAPE(k, tape);
    KILN_FOR(k, i, 3) kiln_assign(x, kiln_mul(x, in[1]));
    out[0] = kiln_gradient(tape, kiln_square(x), x);
}

static void a_local_of_many_values_is_refused_in_a_trace(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, assigns_in_a_loop, NULL, &(kiln_function_options){.inputs_count = 2});
    kiln_call(f, kiln_scalar(k, KILN_F32, 3), kiln_scalar(k, KILN_F32, 5));
    assert_error(k, KILN_EUNSUPPORTED, "is assigned in a loop");
}

/* ---- why --------------------------------------------------------------------------------------------- */

static int cast_line;
static void rounds_on_the_way(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *whole = kiln_cast(kiln_mul(in[0], 2.0), KILN_I32);
    cast_line = __LINE__ - 1;
    kiln_tensor *y = kiln_mul(kiln_cast(whole, KILN_F32), in[1]);
    kiln_floor(in[0]); /* another stop, on no way to y */
    out[0] = kiln_gradient(tape, y, in[0]);
    note_why(user, tape, KILN_OPERAND(in[0]));
}

static void floors_in_a_loop(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable *x = kiln_local(k, in[1]);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    KILN_FOR(k, i, 3) kiln_assign(x, kiln_add(x, kiln_floor(in[0])));
    out[0] = kiln_gradient(tape, kiln_value(x), in[0]);
    note_why(user, tape, KILN_OPERAND(in[0]));
}

static void a_zero_gradient_is_explained_alike(void **state)
{
    Seen seen = {0};
    GIVES(rounds_on_the_way, &seen, 0);
    char place[40];
    snprintf(place, sizeof place, "test_modes.c:%d)", cast_line);
    assert_non_null(strstr(seen.why[0], "only through cast ("));
    assert_non_null(strstr(seen.why[0], place));
    GIVES(floors_in_a_loop, &seen, 0);
    assert_non_null(strstr(seen.why[0], "only through floor ("));
}

/* ---- bodies that fail ---------------------------------------------------------------------------------- */

#define BODY(name) static void name(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
#define UNUSED (void)k, (void)in, (void)out, (void)user

BODY(fails_and_goes_on)
{
    UNUSED;
    kiln_variable *v = kiln_local(k, kiln_zeros(k, KILN_F32, KILN_SHAPE(3)));
    kiln_assign_slice(v, KILN_STARTS(0), kiln_f32(k, KILN_SHAPE(2, 2), 1, 2, 3, 4));
    out[0] = kiln_add(in[0], 1.0);
}
BODY(clears_its_error)
{
    UNUSED;
    kiln_add(in[0], kiln_f32(k, KILN_SHAPE(2), 1, 2));
    kiln_add(kiln_f32(k, KILN_SHAPE(3), 1, 2, 3), kiln_f32(k, KILN_SHAPE(2), 1, 2));
    kiln_clear(k);
    out[0] = kiln_add(in[0], 1.0);
}
BODY(calls_what_fails)
{
    UNUSED;
    kiln_function *f = kiln_function_new(k, fails_and_goes_on, NULL, NULL);
    kiln_call(f, in[0]);
    out[0] = kiln_add(in[0], 1.0);
}
BODY(sets_nothing) { UNUSED; }
BODY(sets_too_much)
{
    UNUSED;
    out[0] = out[1] = kiln_add(in[0], 1.0);
}
BODY(reads_the_end) { UNUSED; out[0] = kiln_add(in[0], in[1]); }
BODY(reads_past_the_end) { UNUSED; out[0] = kiln_square(in[7]); }
BODY(gives_what_is_missing) { UNUSED; out[0] = in[5]; }
BODY(keeps_what_is_missing) { UNUSED; out[0] = kiln_keep(in[3]); }
BODY(watches_what_is_missing)
{
    UNUSED;
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[2]);
    out[0] = in[0];
}
BODY(passes_on_what_is_missing)
{
    UNUSED;
    out[0] = kiln_call(kiln_function_new(k, reads_the_end, NULL, NULL), in[0], in[4]);
}
BODY(concatenates_what_is_missing) { UNUSED; out[0] = kiln_concat(in, 3, 0); }
BODY(step_reads_past_its_carries) { UNUSED; out[0] = kiln_mul(in[1], in[3]); }
BODY(loops_past_its_carries)
{
    UNUSED;
    kiln_for(k, 3, step_reads_past_its_carries, in, 1, out, NULL);
}
BODY(case_gives_a_missing_one) { UNUSED; out[0] = in[2]; }
BODY(branches_to_a_missing_one)
{
    UNUSED;
    kiln_cond(k, kiln_greater(in[0], 0.0), case_gives_a_missing_one, case_gives_a_missing_one, in, 1, out, 1, NULL);
}
BODY(turns_too_often)
{
    UNUSED;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 3, kiln_less(x, 100.0)) kiln_assign(x, kiln_mul(x, 2.0));
    out[0] = kiln_value(x);
}
BODY(turns_too_often_unseen)
{
    UNUSED;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 3, kiln_less(x, 100.0)) kiln_assign(x, kiln_mul(x, 2.0));
    out[0] = kiln_mul(in[0], 2.0);
}
BODY(is_below) { UNUSED; out[0] = kiln_less(in[1], 100.0); }
BODY(doubles) { UNUSED; out[0] = kiln_mul(in[1], 2.0); }
BODY(turns_a_function_too_often_unseen)
{
    UNUSED;
    kiln_tensor *last;
    kiln_while_at_most(k, 3, is_below, doubles, in, 1, &last, NULL);
    out[0] = kiln_mul(in[0], 2.0);
}
BODY(turns_too_often_in_a_loop)
{
    UNUSED;
    KILN_FOR(k, i, 2)
    {
        kiln_variable *x = kiln_local(k, in[0]);
        KILN_WHILE_AT_MOST(k, 3, kiln_less(x, 100.0)) kiln_assign(x, kiln_mul(x, 2.0));
    }
    out[0] = kiln_mul(in[0], 2.0);
}
BODY(bounds_at_nothing)
{
    UNUSED;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 0, kiln_less(x, 100.0)) kiln_assign(x, kiln_mul(x, 2.0));
    out[0] = kiln_value(x);
}

static const struct {
    kiln_body *body;
    kiln_code code;
    const char *text;
} failing[] = {
    {fails_and_goes_on, KILN_ESHAPE, "assign_slice"},
    {clears_its_error, KILN_ESTATE, "its body cleared an error"},
    {calls_what_fails, KILN_ESHAPE, "assign_slice"},
    {sets_nothing, KILN_ESTATE, "did not set output 0"},
    {sets_too_much, KILN_EVALUE, "its body set output 1, but it has 1 outputs"},
    {reads_the_end, KILN_EVALUE, "add: a tensor is NULL; so is input 1 of f, which was called with 1"},
    {reads_past_the_end, KILN_EVALUE, "square: input 7 was not given: f was called with 1"},
    {gives_what_is_missing, KILN_EVALUE, "f: output 0 is input 5, which was not given"},
    {keeps_what_is_missing, KILN_EVALUE, "keep: input 3 was not given"},
    {watches_what_is_missing, KILN_EVALUE, "watch: it is given input 2, which was not given"},
    {passes_on_what_is_missing, KILN_ESTATE, "argument 1 is input 4, which was not given"},
    {concatenates_what_is_missing, KILN_EVALUE, "concat: a tensor is NULL"},
    {step_reads_past_its_carries, KILN_EVALUE, "NULL"},
    {loops_past_its_carries, KILN_EVALUE, "mul: input 3 was not given: kiln_for was called with 2"},
    {branches_to_a_missing_one, KILN_EVALUE, "kiln_cond: output 0 is input 2, which was not given"},
    {turns_too_often, KILN_EVALUE, "goes on after its bound of 3 steps"},
    {turns_too_often_unseen, KILN_EVALUE, "goes on after its bound of 3 steps"},
    {turns_a_function_too_often_unseen, KILN_EVALUE, "goes on after its bound of 3 steps"},
    {turns_too_often_in_a_loop, KILN_EVALUE, "goes on after its bound of 3 steps"},
    {bounds_at_nothing, KILN_EVALUE, "KILN_WHILE_AT_MOST: the bound must be at least 1 step"},
};

static void a_call_fails_with_its_body(void **state)
{
    kiln *k = *state;
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++)
        for (int traced = 0; traced < 2; traced++) {
            KILN_SCOPE(k);
            kiln_tensor *out = NULL;
            kiln_function *f = kiln_function_new(k, failing[i].body, NULL, &(kiln_function_options){.name = "f"});
            kiln_eager(k, !traced);
            kiln_operand in = KILN_OPERAND(kiln_f32(k, KILN_SHAPE(), 1));
            bool ok = kiln_call_all(f, &in, 1, &out, 1);
            const kiln_failure *e = kiln_error(k);
            if (ok || kiln_dtype_of(out) != KILN_NONE || e->code != failing[i].code || !strstr(e->text, failing[i].text))
                fail_msg("case %zu, %s: returned %d and %s, with error %d: %s", i, traced ? "traced" : "eagerly", ok,
                         kiln_dtype_name(kiln_dtype_of(out)), (int)e->code, e->text);
            kiln_clear(k);
            kiln_function_free(f);
        }
    kiln_eager(k, false);
}

BODY(gives_its_static_argument) { UNUSED; out[0] = in[1]; }

static void a_static_argument_is_no_output(void **state)
{
    kiln *k = *state;
    for (int traced = 0; traced < 2; traced++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, gives_its_static_argument, NULL, &(kiln_function_options){.name = "f"});
        kiln_eager(k, !traced);
        assert_int_equal(kiln_dtype_of(kiln_call(f, kiln_scalar(k, KILN_F32, 1), KILN_STATIC(3))), KILN_NONE);
        assert_error(k, KILN_EVALUE, "f: output 0 is a static argument");
    }
    kiln_eager(k, false);
}

static void an_object_of_a_body_without_its_inputs_is_refused(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, reads_past_the_end, NULL, &(kiln_function_options){.name = "f"});
    assert_false(kiln_aot(f, "/tmp/kiln-never-written", NULL));
    assert_error(k, KILN_EVALUE, "square: input 7 was not given: f was called with 0");
    f = kiln_function_new(k, reads_the_end, NULL, &(kiln_function_options){.name = "f"});
    assert_false(kiln_aot(f, "/tmp/kiln-never-written", NULL));
    assert_error(k, KILN_EVALUE, "add: a tensor is NULL; so is input 0 of f");
}

/* ---- loops with a bound ----------------------------------------------------------------------------------- */

static void a_bound_that_is_met_is_no_error(void **state)
{
    kiln *k = *state;
    static kiln_body *const body[] = {turns_too_often, turns_too_often_unseen, turns_a_function_too_often_unseen, turns_too_often_in_a_loop};
    for (int i = 0; i < 4; i++)
        for (int traced = 0; traced < 2; traced++) {
            KILN_SCOPE(k);
            kiln_function *f = kiln_function_new(k, body[i], NULL, NULL);
            kiln_eager(k, !traced);
            assert_true(kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, 12.5))) == (i == 0 ? 100 : 25));
            assert_ok(k);
        }
    kiln_eager(k, false);
}

BODY(turns_too_often_after_another)
{
    UNUSED;
    kiln_variable *x = kiln_local(k, in[0]), *y = kiln_local(k, in[0]);
    KILN_WHILE_AT_MOST(k, 40, kiln_less(x, 100.0)) kiln_assign(x, kiln_mul(x, 2.0));
    KILN_WHILE_AT_MOST(k, 3, kiln_less(y, 100.0)) kiln_assign(y, kiln_mul(y, 2.0));
    out[0] = kiln_add(x, y);
}

/* Compiled code names the loop that went on, of several, as eager code does: the same words, the same line. */
static void the_loop_beyond_its_bound_is_named(void **state)
{
    static kiln_body *const body[] = {turns_too_often_after_another, turns_too_often, turns_a_function_too_often_unseen, turns_too_often_in_a_loop};
    kiln *k = *state;
    KILN_SCOPE(k);
    for (int i = 0; i < 4; i++) {
        char text[2][200];
        kiln_function *f = kiln_function_new(k, body[i], NULL, &(kiln_function_options){.name = "f"});
        for (int traced = 0; traced < 2; traced++) {
            kiln_eager(k, !traced);
            kiln_call(f, kiln_scalar(k, KILN_F32, 1));
            snprintf(text[traced], sizeof text[traced], "%s", kiln_error(k)->text);
            assert_error(k, KILN_EVALUE, "while: the loop goes on after its bound of 3 steps  tests/test_modes.c:");
        }
        assert_string_equal(text[0], text[1]);
    }
    kiln_eager(k, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(unwatched_tensors_have_no_gradient), FRONT_TEST(what_is_computed_from_watched_tensors_has_one),
        FRONT_TEST(a_loop_tells_its_carries_apart),
        FRONT_TEST(a_watched_tensor_is_watched_by_all_its_handles), FRONT_TEST(a_local_is_a_leaf_and_gradients_flow_through_it),
        FRONT_TEST(locals_are_no_variables_of_a_tape), FRONT_TEST(gradients_flow_through_a_local_that_a_call_uses),
        FRONT_TEST(a_local_of_many_values_is_refused_in_a_trace), FRONT_TEST(a_zero_gradient_is_explained_alike),
        FRONT_TEST(a_call_fails_with_its_body), FRONT_TEST(a_static_argument_is_no_output),
        FRONT_TEST(an_object_of_a_body_without_its_inputs_is_refused), FRONT_TEST(a_bound_that_is_met_is_no_error),
        FRONT_TEST(the_loop_beyond_its_bound_is_named),
    };
    return cmocka_run_group_tests_name("modes", tests, front_needs_llvm, NULL);
}
