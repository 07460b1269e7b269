/* Calls that take several operands take them in one way: KILN_IN lists tensors, variables and numbers, kiln_tensors and kiln_variables
 * are arrays; the older form, an array and its count, goes on working. */
#include "front.h"

static void weighted(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(kiln_add(in[0], in[1]), in[2]);
    out[1] = kiln_sum(out[0], KILN_ALL);
}

static void powered(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[0];
    for (int64_t i = 1; i < kiln_static_i64(in[1]); i++) out[0] = kiln_mul(out[0], in[0]);
}

static void calls_take_any_mixture(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2), *out[2], *list[3] = {x, x, x};
    kiln_variable *v = kiln_variable_new(k, "v", kiln_f32(k, KILN_SHAPE(2), 10, 20)), *both[2] = {v, v};
    kiln_function *f = kiln_function_new(k, weighted, NULL, &(kiln_function_options){.name = "weighted", .outputs = 2});
    assert_true(kiln_call_all(f, KILN_IN(x, v, 0.5), out, 2));
    assert_true(kiln_item(out[1]) == 16.5);
    assert_true(kiln_call_all(f, kiln_tensors(list, 3), out, 2));
    assert_true(kiln_item(out[1]) == 10);
    assert_true(kiln_call_all(f, ((kiln_operand[]){KILN_OPERAND(x), KILN_OPERAND(v), KILN_OPERAND(2)}), 3, out, 2));
    assert_true(kiln_item(out[1]) == 66);
    assert_true(kiln_item(kiln_sum(kiln_concat(KILN_IN(x, v), 0), KILN_ALL)) == 33);
    assert_int_equal(kiln_rank(kiln_stack(kiln_variables(both, 2), 1)), 2);
    assert_int_equal(kiln_dim(kiln_concat(((kiln_tensor *[]){x, x, x, x, x, x, x, x, x, x, x, x, x}), 13, 0), 0), 26);
    assert_int_equal(kiln_dim(kiln_concat((kiln_tensor *[]){x}, 1, 0), 0), 2);
    assert_int_equal(kiln_dim(kiln_stack(KILN_IN(x, x, x, x, x, x, x, x, x, x), 0), 0), 10);
    assert_ok(k);
    kiln_concat(KILN_IN(x, 1.0), 0);
    assert_error(k, KILN_EVALUE, "concat: at least one operand must be a tensor");
    kiln_concat(kiln_tensors(NULL, 2), 0);
    assert_error(k, KILN_EVALUE, "concat: no tensors are given");
    assert_false(kiln_call_all(f, kiln_variables(NULL, 2), out, 2));
    assert_error(k, KILN_EVALUE, "call: the list of operands is NULL");
    assert_false(kiln_call_all(f, kiln_tensors(list, -1), out, 2));
    assert_error(k, KILN_EVALUE, "its count below 0");
}

static void gradients_of_and_for_variables(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 3), *d[2];
    kiln_variable *w = kiln_variable_new(k, "w", KILN_F32, 2), *pair[2] = {w, w};
    {
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_variable *loss = kiln_local(k, kiln_mul(kiln_mul(x, x), w));
        assert_true(kiln_gradients(tape, loss, KILN_IN(x, w), d)); /* 2 x w, x x */
    }
    assert_true(kiln_item(d[0]) == 12 && kiln_item(d[1]) == 9);
    {
        KILN_TAPE(k, tape);
        kiln_tensor *y = kiln_mul(w, w);
        assert_true(kiln_gradients(tape, y, kiln_variables(pair, 2), d));
    }
    assert_true(kiln_item(d[0]) == 4 && kiln_item(d[1]) == 4);
    {
        KILN_TAPE(k, tape);
        kiln_variable *loss = kiln_local(k, kiln_mul(w, 5));
        assert_true(kiln_item(kiln_gradient(tape, loss, w)) == 5);
    }
    assert_ok(k);
}

static void checks_and_comparisons_take_what_calls_take(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_f32(k, KILN_SHAPE(2), 10, 20));
    kiln_function *f = kiln_function_new(k, weighted, NULL, &(kiln_function_options){.name = "weighted", .outputs = 2});
    kiln_function *g = kiln_function_new(k, powered, NULL, &(kiln_function_options){.name = "powered"});
    FILE *to = tmpfile();
    assert_true(kiln_check(to, f, KILN_IN(x, v, 0.5)));
    assert_true(kiln_check(to, g, KILN_IN(v, KILN_STATIC(3))));
    assert_true(kiln_check(to, f, ((kiln_tensor *[]){x, x, x}), 3));
    assert_true(kiln_compare(to, f, KILN_IN(x, v, 0.5), &(kiln_compare_options){.seconds = 0.01}));
    assert_true(kiln_compare(to, g, KILN_IN(x, KILN_STATIC(3)), (&(kiln_compare_options){.seconds = 0.01, .json = true})));
    assert_true(kiln_compare(to, f, ((kiln_tensor *[]){x, x, x}), 3, &(kiln_compare_options){.seconds = 0.01}));
    fclose(to);
    assert_ok(k);
    assert_false(kiln_check(NULL, f, KILN_IN(x, v, KILN_STATIC("no"))));
    kiln_clear(k);
    assert_false(kiln_check(NULL, NULL, KILN_IN(x)));
    assert_error(k, KILN_ESTATE, "check: the function is NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(calls_take_any_mixture),
        FRONT_TEST(gradients_of_and_for_variables),
        FRONT_TEST(checks_and_comparisons_take_what_calls_take),
    };
    return cmocka_run_group_tests_name("lists", tests, front_needs_llvm, NULL);
}
