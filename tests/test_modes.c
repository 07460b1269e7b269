/* test_modes: what tapes know of tensors, locals and results, and what errors do, is the same whether a body runs eagerly or is traced. Each case
 * is a body that runs in both modes; results and what kiln_grad_why says must be equal, and what is written here. */
#include "front.h"

#include <math.h>

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

static void what_is_computed_from_watched_tensors_has_one(void **state)
{
    Seen seen = {0};
    GIVES(asks_for_computed, &seen, 60, 0, 0, 0);
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
    kiln_variable *local = kiln_local(k, in[0]);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    out[0] = kiln_gradient(tape, kiln_square(same), in[0]);
    out[1] = kiln_gradient(tape, kiln_square(local), in[0]);
    out[2] = kiln_gradient(tape, kiln_square(in[0]), same);
}

static void a_watched_tensor_is_watched_by_all_its_handles(void **state)
{
    Seen seen = {0};
    GIVES(watches_by_another_handle, &seen, 6, 6, 6);
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
    kiln_variable *v = kiln_variable_new(k, "v", 2.0), *seen[2] = {NULL, NULL};
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

static void rounds_on_the_way(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *whole = kiln_cast(kiln_mul(in[0], 2.0), KILN_I32), *y = kiln_mul(kiln_cast(whole, KILN_F32), in[1]);
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
    assert_non_null(strstr(seen.why[0], "only through cast ("));
    GIVES(floors_in_a_loop, &seen, 0);
    assert_non_null(strstr(seen.why[0], "only through floor ("));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(unwatched_tensors_have_no_gradient),
        FRONT_TEST(what_is_computed_from_watched_tensors_has_one),
        FRONT_TEST(a_loop_tells_its_carries_apart),
        FRONT_TEST(a_watched_tensor_is_watched_by_all_its_handles),
        FRONT_TEST(a_local_is_a_leaf_and_gradients_flow_through_it),
        FRONT_TEST(locals_are_no_variables_of_a_tape),
        FRONT_TEST(gradients_flow_through_a_local_that_a_call_uses),
        FRONT_TEST(a_local_of_many_values_is_refused_in_a_trace),
        FRONT_TEST(a_zero_gradient_is_explained_alike),
    };
    return cmocka_run_group_tests_name("modes", tests, front_needs_llvm, NULL);
}
