/* lifetime: functions freed while something still needs them, outputs whose scope has ended, declarations that mean nothing, and what a
 * retrace must notice. Skipped without the LLVM module. */
#include "front.h"

#include <stdlib.h>

KILN_FUNCTION(bump, k, x)
{
    return kiln_mul(x, kiln_exp(x));
}

static void square(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    out[0] = kiln_mul(in[0], in[0]);
}

static kiln_function *make_square(kiln *k)
{
    return kiln_function_new(k, square, NULL, &(kiln_function_options){.name = "square", .inputs_count = 1});
}

static void a_tape_keeps_the_functions_of_its_calls(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 3, 5);
    float g[2];
    for (int derived = 0; derived < 2; derived++) {
        kiln_function *f = make_square(k), *called = derived ? kiln_grad(f) : f;
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = kiln_call(called, x);
        kiln_function_free(f);
        kiln_function_free(make_square(k)); /* would take the same memory */
        kiln_read(kiln_gradient(tape, y, x), g, sizeof g);
        assert_float_equal(g[0], derived ? 2 : 6, 0);
        assert_float_equal(g[1], derived ? 2 : 10, 0);
        assert_ok(k);
    }
}

static void freed_functions_are_forgotten(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 0);
    bump(k, x);
    kiln_function_free(KILN_FN(k, bump));
    assert_float_equal(kiln_item(bump(k, x)), 0, 0); /* made anew */
    kiln_function *f = make_square(k);
    kiln_call(kiln_grad(f), kiln_scalar(k, KILN_F32, 3));
    kiln_function_free(kiln_grad(f));
    assert_float_equal(kiln_item(kiln_call(kiln_grad(f), kiln_scalar(k, KILN_F32, 3))), 6, 0);
    kiln_function_free(kiln_value_and_grad(f));
    kiln_function_free(f);
    assert_ok(k);
}

static void closing_with_a_tape_open(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3);
    kiln_tape *tape = kiln_tape_open_at(KILN_HERE, k, true);
    kiln_watch(tape, x);
    kiln_gradient(tape, bump(k, x), x);
    assert_ok(k);
    assert_int_equal(kiln_close(k), 0);
}

static kiln_variable *state_variable;
KILN_FUNCTION(of_state, k, x)
{
    return kiln_mul(kiln_mul(state_variable, state_variable), x);
}

/* d2(v v x)/dv2 = 2 x, with tapes around the compiled call. */
static void second_order_of_a_variable(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    state_variable = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 3));
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 5);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        KILN_TAPE(k, outer);
        KILN_TAPE(k, inner);
        kiln_tensor *first = kiln_gradient(inner, of_state(k, x), state_variable);
        assert_float_equal(kiln_item(first), 30, 0);
        assert_float_equal(kiln_item(kiln_gradient(outer, first, state_variable)), 10, 0);
    }
    assert_ok(k);
}

static kiln_variable *local;
KILN_FUNCTION(of_a_local, k, x)
{
    return kiln_mul(x, local);
}

static void locals_may_end_before_what_was_compiled(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3);
    {
        KILN_SCOPE(k);
        local = kiln_local(k, kiln_scalar(k, KILN_F32, 2));
        assert_float_equal(kiln_item(of_a_local(k, x)), 6, 0);
    }
    of_a_local(k, x);
    assert_error(k, KILN_ESTATE, "was freed");
    kiln_variable_new(k, "v", KILN_F32, 1.0);
    kiln_local(k, x); /* still there when the engine closes */
    assert_int_equal(kiln_close(k), 0);
}

static void why_looks_at_every_read(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 3));
    KILN_TAPE(k, tape);
    kiln_assign_add(v, 1); /* reads it too, and nothing comes of that read */
    assert_float_equal(kiln_item(kiln_gradient(tape, kiln_square(v), v)), 8, 0);
    assert_string_equal(kiln_grad_why(tape, KILN_OPERAND(v)), "a gradient flows");
}

KILN_FUNCTION(from_a_scope, k, x)
{
    KILN_SCOPE(k);
    return kiln_exp(x);
}

KILN_FUNCTION(from_a_loop, k, x)
{
    kiln_tensor *y = x;
    KILN_FOR(k, i, 1) y = kiln_add(x, 1.0);
    return y;
}

static void outputs_of_ended_scopes_are_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        from_a_scope(k, x);
        assert_error(k, KILN_ESTATE, "has ended");
        from_a_loop(k, x);
        assert_error(k, KILN_ESTATE, "has ended");
    }
}

static kiln_function *declared(kiln *k, kiln_spec a, kiln_spec b)
{
    return kiln_function_new(k, square, NULL, &(kiln_function_options){.name = "square", .inputs = {a, b}});
}

static void declarations_are_checked(void **state)
{
    kiln *k = *state;
    kiln_spec ok = KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 8));
    kiln_spec swapped = KILN_SPEC(KILN_F32, KILN_DIM("N", 8, 1)), below = KILN_SPEC(KILN_F32, KILN_DIM("N", -1, 8));
    kiln_spec name = KILN_SPEC(KILN_F32, KILN_DIM("batch size", 1, 8)), other = KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 9));
    kiln_spec huge = KILN_SPEC(KILN_F32, KILN_DIM("N", 1, INT64_MAX)), rank = {KILN_F32, 20, {{0, 0, NULL}}};
    assert_non_null(declared(k, ok, ok));
    assert_null(declared(k, swapped, swapped));
    assert_error(k, KILN_EVALUE, "the lowest size of a KILN_DIM at most the highest");
    assert_null(declared(k, below, below));
    assert_error(k, KILN_EVALUE, "0 or more");
    assert_null(declared(k, name, name));
    assert_error(k, KILN_EVALUE, "letters, digits and _");
    assert_null(declared(k, huge, huge));
    assert_error(k, KILN_EVALUE, "at most 2^48");
    assert_null(declared(k, ok, other));
    assert_error(k, KILN_EVALUE, "the same bounds");
    assert_null(declared(k, rank, ok));
    assert_error(k, KILN_EVALUE, "rank is above 8");
    kiln_function *many = kiln_function_new(k, square, NULL, &(kiln_function_options){.inputs_count = 40});
    assert_non_null(kiln_grad(many));
}

static int from_host;
KILN_FUNCTION(spelled, k, x)
{
    return kiln_mul(x, kiln_f32(k, KILN_SHAPE(2), 1, from_host));
}

static void a_retrace_compares_literals_and_keeps_none(void **state)
{
    (void)state;
    setenv("KILN_RETRACE", "1", 1);
    kiln *k = kiln_open(NULL);
    unsetenv("KILN_RETRACE");
    {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
        from_host = 1;
        spelled(k, x);
        spelled(k, x);
        assert_ok(k);
        from_host = 2;
        spelled(k, x);
        assert_error(k, KILN_ESTATE, "the elements that its body spells out");
    }
    assert_int_equal(kiln_close(k), 0);
}

KILN_FUNCTION(eight, k, a, b, c, d, e, f, g, h)
{
    kiln_tensor *all = kiln_stack((kiln_tensor *[]){a, b, c, d, e, f, g, h}, 8, 0);
    return kiln_sum(all, KILN_ALL);
}

static void eight_of_everything(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_from(k, KILN_F32, KILN_SHAPE(2), (float[]){1, 2}, 2);
    assert_float_equal(kiln_item(eight(k, x, x, x, x, x, x, x, x)), 24, 0);
    assert_float_equal(kiln_item(kiln_call(KILN_FN(k, eight), x, x, x, x, x, x, x, 1 ? x : NULL)), 24, 0);
    kiln_spec s = KILN_SPEC(KILN_F32, 1, 2, 3, 4, 5, 6, 7, KILN_DIM("N", 1, 2));
    assert_int_equal(s.rank, 8);
    kiln_tensor *y = NULL;
    assert_true(kiln_call_all(KILN_FN(k, bump), (kiln_operand[]){KILN_OPERAND(x)}, 1, &y, 1));
    assert_ok(k);
}

static void assigns_and_reads(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable **v = user;
    kiln_assign(v[1], kiln_mul(in[0], v[0]));
    out[0] = kiln_value(v[0]);
}

/* Their memory is used again, and what was compiled for them does not take new ones for them. */
static void freed_variables_come_again(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v[2];
    int64_t before = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) v[i] = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 2));
        kiln_function *f = kiln_function_new(k, assigns_and_reads, v, NULL);
        kiln_call(f, kiln_scalar(k, KILN_F32, 3));
        assert_ok(k);
        kiln_variable_free(v[round]);
        kiln_variable *other[2000];
        for (int i = 0; i < 2000; i++) other[i] = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 7));
        for (int i = 0; i < 2000; i++) kiln_variable_free(other[i]);
        bool again = false; /* the last freed wait; one of these, which stay, stands where v[round] did */
        for (int i = 0; i < 1900; i++) again |= (other[i] = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 7))) == v[round];
#ifdef KILN_DEBUG
        (void)again;
#else
        assert_true(again);
#endif
        kiln_call(f, kiln_scalar(k, KILN_F32, 3));
        assert_error(k, KILN_ESTATE, round ? "a variable that its body assigns was freed" : "a variable that its body uses");
        for (int i = 0; i < 1900; i++) kiln_variable_free(other[i]);
        kiln_variable_free(v[1 - round]);
        kiln_function_free(f);
    }
    for (int i = 0; i < 4000; i++) {
        KILN_SCOPE(k);
        if (i == 2000) before = kiln_memory_count().live_bytes;
        kiln_variable_free(kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 7)));
    }
#ifndef KILN_DEBUG
    if (!late_keeps()) assert_int_equal(kiln_memory_count().live_bytes, before);
#else
    (void)before;
#endif
}

static kiln_tensor *elsewhere;
static void gives_input(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)k, (void)user, out[0] = in[0]; }
static void gives_elsewhere(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { (void)k, (void)in, (void)user, out[0] = elsewhere; }

/* A result is a handle of its own, eagerly as in compiled code: who releases it leaves the input, or the tensor outside, alone. */
static void results_are_handles_of_their_own(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
    elsewhere = kiln_full(k, KILN_F32, KILN_SHAPE(2), 3);
    for (int eager = 1; eager >= !front_has_llvm(); eager--) {
        kiln_eager(k, eager);
        kiln_tensor *y = kiln_own(kiln_call(kiln_function_new(k, gives_input, NULL, NULL), x));
        kiln_tensor *z = kiln_own(kiln_call(kiln_function_new(k, gives_elsewhere, NULL, NULL), x));
        assert_true(y != x && z != elsewhere);
        kiln_release(y);
        kiln_release(z);
        assert_float_equal(kiln_item(kiln_sum(kiln_add(x, elsewhere), KILN_ALL)), 8, 0);
    }
    kiln_eager(k, false);
    if (front_has_llvm()) {
        FILE *to = tmpfile();
        kiln_compare(to, kiln_function_new(k, gives_input, NULL, NULL), KILN_IN(x), (&(kiln_compare_options){.seconds = 1e-6}));
        fclose(to);
        assert_float_equal(kiln_item(kiln_sum(x, KILN_ALL)), 2, 0);
    }
    assert_ok(k);
}

static void gives_two(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_cond(k, true, gives_elsewhere, gives_elsewhere, KILN_IN(in[0]), out, 1, NULL);
}
static void backward_elsewhere(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user) { (void)k, (void)g, (void)x, (void)user, dx[0] = elsewhere; }

static void outputs_are_of_their_engine(void **state)
{
    kiln *k = *state, *other = kiln_open(NULL);
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2));
    elsewhere = kiln_own(kiln_full(other, KILN_F32, KILN_SHAPE(2), 7));
    for (int eager = 1; eager >= !front_has_llvm(); eager--) {
        kiln_eager(k, eager);
        assert_int_equal(kiln_dtype_of(kiln_call(kiln_function_new(k, gives_elsewhere, NULL, NULL), x)), KILN_NONE);
        assert_error(k, KILN_ESTATE, "function: output 0 belongs to another engine");
        kiln_call(kiln_function_new(k, gives_two, NULL, NULL), x);
        assert_error(k, KILN_ESTATE, "kiln_cond: output 0 belongs to another engine");
    }
    kiln_eager(k, false);
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    kiln_tensor *y = kiln_custom_gradient(kiln_mul(x, 2), KILN_IN(x), backward_elsewhere, NULL);
    kiln_gradient(tape, y, x);
    assert_error(k, KILN_ESTATE, "custom gradient: cotangent 0 belongs to another engine");
    kiln_release(elsewhere);
    assert_int_equal(kiln_close(other), 0);
}

static void counts_of_a_closed_engine_are_zeros(void **state)
{
    (void)state;
    kiln *k = kiln_open(NULL);
    kiln_cache_statistics kept = {.hits = 7};
    assert_int_equal(kiln_close(k), 0);
    assert_false(kiln_cache_stats(k, &kept));
    assert_true(kept.hits == 0 && kiln_panels_count(k).bytes == 0 && kiln_panels_count(NULL).most == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(a_tape_keeps_the_functions_of_its_calls), FRONT_TEST(freed_functions_are_forgotten), cmocka_unit_test(closing_with_a_tape_open),
        FRONT_TEST(second_order_of_a_variable), cmocka_unit_test(locals_may_end_before_what_was_compiled), FRONT_TEST(why_looks_at_every_read), FRONT_TEST(outputs_of_ended_scopes_are_named),
        FRONT_TEST(declarations_are_checked), cmocka_unit_test(a_retrace_compares_literals_and_keeps_none), FRONT_TEST(eight_of_everything),
        FRONT_TEST(freed_variables_come_again), cmocka_unit_test(counts_of_a_closed_engine_are_zeros),
        FRONT_TEST(results_are_handles_of_their_own), FRONT_TEST(outputs_are_of_their_engine),
    };
    return cmocka_run_group_tests_name("lifetime", tests, front_needs_llvm, NULL);
}
