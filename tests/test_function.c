/* function: tracing, caching, captures, variables, loops, gradients of and through compiled functions. Skipped without the LLVM module. */
#include "front.h"

#include <kiln/nn.h>
#include <math.h>
#include <stdlib.h>

/* ---- bodies ------------------------------------------------------------------------------------------------- */
KILN_FUNCTION(func, k, w)
{
    return kiln_sqrt(kiln_add(kiln_exp(w), 1.0));
}

KILN_FUNCTION(two, k, a, b)
{
    return kiln_add(kiln_mul(func(k, a), 3.0), b);
}

static void polynomial(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)in;
    kiln_variable *x = user;
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_add(kiln_sub(kiln_pow(x, 2), kiln_mul(2.0, x)), 1.0);
    out[0] = kiln_gradient(tape, y, x);
    out[1] = y;
}

static void counter(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable *v = user;
    kiln_assign_add(v, in[0]);
    out[0] = kiln_mul(v, 2.0);
    kiln_assign_sub(v, 1.0);
}

static void training_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct { kiln_dense *hidden, *last; kiln_optimizer *o; } *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(net->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->last, h), in[1]);
    kiln_optimizer_minimize(net->o, tape, out[0]);
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */
static double eager_value(kiln *k, kiln_tensor *(*f)(kiln *, kiln_tensor *), kiln_tensor *x)
{
    kiln_eager(k, true);
    double v = kiln_item(f(k, x));
    kiln_eager(k, false);
    return v;
}

static void traced_equals_eager_and_is_cached(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *w = kiln_scalar(k, KILN_F32, 2);
    double eager = eager_value(k, func, w);
    for (int i = 0; i < 5; i++)
        assert_true(kiln_item(func(k, w)) == eager);
    kiln_function_statistics s;
    kiln_function_stats(KILN_FN(k, func), &s);
    assert_int_equal(s.traces, 1);
    assert_int_equal(s.hits, 4);
    assert_int_equal(s.kernels, 1);
    func(k, kiln_ones(k, KILN_F32, KILN_SHAPE(3)));
    func(k, kiln_ones(k, KILN_F32, KILN_SHAPE(4)));
    kiln_function_stats(KILN_FN(k, func), &s);
    assert_int_equal(s.traces, 3);
    assert_string_equal(s.last_miss, "arg 0 dim 0: 3 -> 4");
    assert_ok(k);
}

static void gradients_of_functions(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *w = kiln_scalar(k, KILN_F32, 2);
    assert_float_equal(kiln_item(kiln_call(kiln_grad(KILN_FN(k, func)), w)), 1.2755646, 1e-6);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_watch(tape, w);
    kiln_tensor *y = func(k, w); /* a compiled call is one node of the tape */
    assert_float_equal(kiln_item(kiln_gradient(tape, y, w)), 1.2755646, 1e-6);
    kiln_tensor *both[3];
    kiln_tensor *b = kiln_scalar(k, KILN_F32, 1);
    kiln_operand in[2] = {KILN_OPERAND(w), KILN_OPERAND(b)};
    assert_true(kiln_call_all(kiln_value_and_grad(KILN_FN(k, two)), in, 2, both, 3));
    assert_float_equal(kiln_item(both[0]), 3 * 2.8963869 + 1, 1e-5);
    assert_float_equal(kiln_item(both[1]), 3 * 1.2755646, 1e-5);
    assert_float_equal(kiln_item(both[2]), 1, 0);
    assert_ok(k);
}

static void second_order_through_a_compiled_call(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *w = kiln_scalar(k, KILN_F64, 2);
    double e = exp(2.0), want = e / (2 * sqrt(e + 1)) - e * e / (4 * pow(e + 1, 1.5));
    KILN_TAPE(k, outer);
    kiln_watch(outer, w);
    kiln_tensor *d;
    {
        KILN_TAPE(k, inner);
        kiln_watch(inner, w);
        d = kiln_gradient(inner, func(k, w), w);
    }
    assert_float_equal(kiln_item(kiln_gradient(outer, d, w)), want, 1e-12);
    assert_ok(k);
}

static void tape_inside_a_trace(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *x = kiln_variable_new(k, "x", kiln_scalar(k, KILN_F32, 0));
    kiln_function *f = kiln_function_new(k, polynomial, x, &(kiln_function_options){.name = "polynomial", .outputs = 2});
    kiln_tensor *out[2];
    assert_true(kiln_call_all(f, NULL, 0, out, 2));
    assert_float_equal(kiln_item(out[0]), -2, 0);
    assert_float_equal(kiln_item(out[1]), 1, 0);
    kiln_assign(x, 1.0);
    assert_true(kiln_call_all(f, NULL, 0, out, 2));
    assert_float_equal(kiln_item(out[0]), 0, 0);
    assert_float_equal(kiln_item(out[1]), 0, 0);
    assert_ok(k);
}

static void variables_are_read_and_written(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *v = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 2));
    kiln_function *f = kiln_function_new(k, counter, v, &(kiln_function_options){.name = "counter", .inputs_count = 1});
    assert_float_equal(kiln_item(kiln_call(f, 3.0)), 10, 0);
    assert_float_equal(kiln_item(v), 4, 0);
    kiln_assign(v, 10.0);
    assert_float_equal(kiln_item(kiln_call(f, 1.0)), 22, 0);
    assert_float_equal(kiln_item(v), 10, 0);
    assert_ok(k);
}

struct captured { kiln_tensor *c; };
static void uses_capture(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_add(in[0], ((struct captured *)user)->c);
}

static void captures_are_inputs_and_weak(void **state)
{
    LATE_SKIP(LATE_BORROWS);
    kiln *k = *state;
    struct captured u = {0};
    kiln_function *f = kiln_function_new(k, uses_capture, &u, &(kiln_function_options){.name = "capture", .inputs_count = 1});
    kiln_tensor *one = kiln_ones(k, KILN_F32, KILN_SHAPE(1));
    {
        KILN_SCOPE(k);
        float data[1] = {5};
        u.c = kiln_borrow(k, KILN_F32, KILN_SHAPE(1), data, NULL, NULL);
        assert_float_equal(kiln_item(kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(1)))), 6, 0);
        data[0] = 7; /* borrowed memory is read at each call */
        assert_float_equal(kiln_item(kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(1)))), 8, 0);
    }
    KILN_SCOPE(k);
    kiln_call(f, one); /* the capture is gone */
    assert_error(k, KILN_ESTATE, "capture: the tensor that its body uses");
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(1))); /* another tensor may be where it was */
    assert_error(k, KILN_ESTATE, "capture: the tensor that its body uses");
}

static void adds_rows(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    out[0] = kiln_add(kiln_sum(in[0], KILN_AXES(1)), in[1]);
}

static void one_symbol_is_one_size(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, adds_rows, NULL, &(kiln_function_options){.name = "rows",
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 9), 2), KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 9))}});
    for (int n = 1; n <= 9; n += 4)
        assert_float_equal(kiln_item(kiln_sum(kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n, 2)), kiln_ones(k, KILN_F32, KILN_SHAPE(n))), KILN_ALL)), 3 * n, 0);
    assert_ok(k);
    kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(3, 2)), kiln_ones(k, KILN_F32, KILN_SHAPE(4)));
    assert_error(k, KILN_ESHAPE, "rows: dim N is 3 in one argument, but 4 in argument 1, axis");
}

static void bounded_sizes_share_one_row(void **state)
{
    kiln *k = *state;
    kiln_function *f = NULL;
    kiln_function_options o = {.name = "bounded", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 100), 3)}};
    struct captured u = {0};
    KILN_SCOPE(k);
    u.c = kiln_f32(k, KILN_SHAPE(3), 1, 2, 3);
    f = kiln_function_new(k, uses_capture, &u, &o);
    for (int n = 1; n <= 100; n += 11) {
        KILN_SCOPE(k);
        kiln_tensor *y = kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(n, 3), n));
        assert_int_equal(kiln_dim(y, 0), n);
        assert_float_equal(kiln_item(kiln_sum(y, KILN_ALL)), 3.0 * n * n + 6 * n, 0);
    }
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    assert_int_equal(s.traces, 1);
    kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(101, 3), 0));
    assert_error(k, KILN_ESHAPE, "bounded: argument 0 is f32[101,3], but axis 0 is declared 1 to 100");
    kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(100, 4), 0));
    assert_error(k, KILN_ESHAPE, "bounded: argument 0 is f32[100,4], but axis 1 is declared 3 ");
    kiln_call(f, kiln_full(k, KILN_F32, KILN_SHAPE(100), 0));
    assert_error(k, KILN_ESHAPE, "bounded: argument 0 is f32[100], but is declared f32 of rank 2 ");
    f = kiln_function_new(k, uses_capture, &u, &(kiln_function_options){.name = "any", .inputs = {{.dtype = KILN_F32, .rank = -1}}});
    kiln_call(f, kiln_full(k, KILN_F64, KILN_SHAPE(3), 0));
    assert_error(k, KILN_EDTYPE, "any: argument 0 is f64[3], but is declared f32 ");
}

KILN_FUNCTION(power_sum, k, x)
{
    kiln_variable *acc = kiln_local(k, kiln_ones_like(x)), *sum = kiln_local(k, kiln_zeros_like(x));
    KILN_FOR(k, i, 5) {
        kiln_assign(acc, kiln_mul(acc, x));
        kiln_assign_add(sum, kiln_mul(acc, kiln_cast(i, kiln_dtype_of(x))));
    }
    return kiln_value(sum);
}

static void loops_trace_once(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f64(k, KILN_SHAPE(3), 1.5, -2, 0.25);
    kiln_eager(k, true);
    kiln_tensor *eager = power_sum(k, x);
    kiln_eager(k, false);
    kiln_tensor *traced = power_sum(k, x);
    assert_ok(k);
    assert_memory_equal(kiln_data(eager), kiln_data(traced), 24);
    kiln_tensor *g = kiln_call(kiln_grad(KILN_FN(k, power_sum)), x);
    assert_ok(k);
    const double *p = kiln_data(x), *d = kiln_data(g);
    for (int i = 0; i < 3; i++) /* sum of i (i + 1) x^i */
        assert_float_equal(d[i], 2 * p[i] + 6 * pow(p[i], 2) + 12 * pow(p[i], 3) + 20 * pow(p[i], 4), 1e-10);
}

static void training_is_the_same_in_both_modes(void **state)
{
    kiln *k = *state;
    float loss[2][60];
    for (int mode = 0; mode < 2; mode++) {
        KILN_SCOPE(k);
        kiln_eager(k, mode == 0);
        kiln_variable *g = kiln_generator(k, 3);
        struct { kiln_dense *hidden, *last; kiln_optimizer *o; } net = {
            kiln_dense_new(k, 20, 33, g), kiln_dense_new(k, 33, 7, g), kiln_adam(k, 0.01)};
        kiln_function *f = kiln_function_new(k, training_step, &net, &(kiln_function_options){.name = "step", .inputs_count = 2});
        kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(50, 20), 0, 1);
        kiln_tensor *y = kiln_argmax(kiln_slice(x, 1, 0, 7, 1), 1);
        for (int i = 0; i < 60; i++) {
            KILN_SCOPE(k);
            loss[mode][i] = (float)kiln_item(kiln_call(f, x, y));
        }
        assert_ok(k);
    }
    kiln_eager(k, false);
    assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
    assert_true(loss[0][59] < loss[0][0] / 2);
}

static void reads_host(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    if (kiln_item(in[0]) > 0)
        out[0] = in[0];
}

static kiln_tensor *escaped;
static void lets_escape(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    (void)user;
    escaped = kiln_own(kiln_exp(in[0]));
    out[0] = escaped;
}

static void breaks_out(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_variable *v = kiln_local(k, in[0]);
    KILN_FOR(k, i, 3) {
        kiln_assign_add(v, 1.0);
        break;
    }
    out[0] = kiln_value(v);
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 1);
    kiln_call(kiln_function_new(k, reads_host, NULL, NULL), x);
    assert_error(k, KILN_ESTATE, "traced");
    kiln_call(kiln_function_new(k, lets_escape, NULL, NULL), x);
    kiln_clear(k);
    kiln_add(escaped, x);
    assert_error(k, KILN_ESTATE, "outside its function");
    kiln_call(kiln_function_new(k, breaks_out, NULL, NULL), x);
    assert_error(k, KILN_ESTATE, "break out of a traced KILN_FOR");
    kiln_call((kiln_function *)NULL, x);
    assert_error(k, KILN_ESTATE, "NULL");
    kiln_call(KILN_FN(k, func), x, x);
    assert_error(k, KILN_EVALUE, "2 arguments");
}

static void compare_and_check_agree(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4), 0, 1, 2, 3);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_true(kiln_compare(to, KILN_FN(k, func), &x, 1, &(kiln_compare_options){.seconds = 0.01}));
    fclose(to);
    assert_non_null(strstr(text, "equal bit for bit"));
    free(text);
    assert_ok(k);
    assert_true(kiln_check(NULL, KILN_FN(k, func), &x, 1));
    assert_true(kiln_check(NULL, KILN_FN(k, power_sum), &x, 1));
    kiln_variable *v = kiln_variable_new(k, "v", kiln_scalar(k, KILN_F32, 2));
    kiln_function *f = kiln_function_new(k, counter, v, &(kiln_function_options){.name = "counter", .inputs_count = 1});
    kiln_tensor *three = kiln_scalar(k, KILN_F32, 3);
    assert_true(kiln_check(NULL, f, &three, 1));
    assert_float_equal(kiln_item(v), 2, 0); /* variables stay */
    assert_ok(k);
}

static void from_host(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    int *calls = user;
    (void)k;
    out[0] = kiln_add(in[0], (*calls)++);
}

static void from_host_elements(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    int *calls = user;
    out[0] = kiln_add(in[0], kiln_f32(k, KILN_SHAPE(2), 1, (float)(*calls)++));
}

static void check_tells_what_comes_from_the_host(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_body *const body[] = {from_host, from_host_elements};
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2), 1, 2);
    for (int i = 0; i < 2; i++) {
        char *text = NULL;
        size_t len = 0;
        int calls = 0;
        FILE *to = open_memstream(&text, &len);
        kiln_function *f = kiln_function_new(k, body[i], &calls, &(kiln_function_options){.name = "f", .inputs_count = 1});
        assert_false(kiln_check(to, f, &x, 1));
        fclose(to);
        assert_non_null(strstr(text, "reads something from the host"));
        assert_non_null(strstr(text, "KILN_RETRACE=1"));
        free(text);
        assert_ok(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(traced_equals_eager_and_is_cached), FRONT_TEST(gradients_of_functions), FRONT_TEST(second_order_through_a_compiled_call),
        FRONT_TEST(tape_inside_a_trace), FRONT_TEST(variables_are_read_and_written), FRONT_TEST(captures_are_inputs_and_weak),
        FRONT_TEST(bounded_sizes_share_one_row), FRONT_TEST(one_symbol_is_one_size), FRONT_TEST(loops_trace_once), FRONT_TEST(training_is_the_same_in_both_modes),
        FRONT_TEST(misuse_is_named), FRONT_TEST(compare_and_check_agree),
        WAIT_TEST(check_tells_what_comes_from_the_host),
    };
    return cmocka_run_group_tests_name("function", tests, front_needs_llvm, NULL);
}
