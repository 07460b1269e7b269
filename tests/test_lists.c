/* Calls that take several operands take them in one way: KILN_IN lists tensors, variables and numbers, kiln_tensors and kiln_variables
 * are arrays; the older form, an array and its count, goes on working. */
#include "front.h"

#include <kiln/aot.h>
#include <kiln/nn.h>
#include <math.h>

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
    assert_error(k, KILN_EVALUE, "concat: an operand is a number; it must be a tensor");
    kiln_concat(kiln_tensors(NULL, 2), 0);
    assert_error(k, KILN_EVALUE, "concat: no tensors given");
    assert_false(kiln_call_all(f, kiln_variables(NULL, 2), out, 2));
    assert_error(k, KILN_EVALUE, "call: the list of operands is NULL");
    assert_false(kiln_call_all(f, kiln_tensors(list, -1), out, 2));
    assert_error(k, KILN_EVALUE, "its count is negative");
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

/* ---- control flow, custom gradients, callbacks, layers: eagerly and in a trace ----------------------------------------- */
static void sum_of(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_add(in[0], in[1]);
}

static void difference_of(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_sub(in[0], in[1]);
}

static void grow(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) /* index, x, n */
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[1], 2);
    out[1] = kiln_add(in[2], 1);
}

static void below(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_less(in[2], 5);
}

static void running(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) /* index, sum, slice */
{
    (void)k, (void)user;
    out[0] = out[1] = kiln_add(in[1], in[2]);
}

static void tripled(kiln *k, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)x, (void)user;
    dx[0] = kiln_mul(g, 3);
}

static int added(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)user, (void)nout;
    for (int i = 0; i < 2; i++) {
        ((float *)out->data)[i] = ((const float *)in[0].data)[i];
        if (nin > 1) ((float *)out->data)[i] += (float)*(const int64_t *)in[1].data;
    }
    return 0;
}

typedef struct State {
    kiln_variable *v, *s;
    kiln_dense *dense;
    kiln_recurrent *rnn;
} State;

#define RESULTS 11
static void variables_everywhere(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    State *s = user;
    kiln_tensor *r[2], *ys[1];
    kiln_cond(k, true, sum_of, difference_of, KILN_IN(in[0], s->v), out, 1, NULL);
    kiln_switch(k, 1, ((kiln_body *[]){sum_of, difference_of}), 2, KILN_IN(s->v, in[0]), out + 1, 1, NULL);
    kiln_for(k, 3, grow, KILN_IN(s->v, 0), r, NULL);
    out[2] = r[0];
    kiln_for_every(k, 4, 2, grow, KILN_IN(s->v, 0), r, NULL);
    out[3] = r[0];
    kiln_while(k, below, grow, KILN_IN(s->v, 1), r, NULL);
    out[4] = r[0];
    kiln_while_at_most(k, 9, below, grow, KILN_IN(s->v, 2), r, NULL);
    out[5] = kiln_add(r[0], kiln_cast(r[1], KILN_F32));
    kiln_operand first[] = {KILN_OPERAND(s->s)}, slices[] = {KILN_OPERAND(s->v)};
    const kiln_scan_options o = {.carries_in = kiln_operand_list(first, 1), .xs_in = kiln_operand_list(slices, 1), .ys_count = 1};
    kiln_scan(k, running, &o, r, ys, NULL);
    out[6] = kiln_add(ys[0], r[0]);
    kiln_callback(k, added, NULL, KILN_IN(s->v, 7), ((kiln_spec[]){KILN_SPEC(KILN_F32, 2)}), out + 7, 1);
    KILN_TAPE(k, tape);
    kiln_tensor *y = kiln_custom_gradient(kiln_square(s->v), KILN_IN(s->v), tripled, NULL);
    out[8] = kiln_gradient(tape, kiln_mul(y, 2), s->v);
    out[9] = kiln_dense_apply(s->dense, s->v);
    out[10] = kiln_reshape(kiln_recurrent_apply(s->rnn, kiln_local(k, kiln_reshape(in[0], KILN_SHAPE(1, 1, 2))), NULL), KILN_SHAPE(2));
}

static void variables_and_numbers_are_welcome_everywhere(void **state)
{
    static const float want[RESULTS][2] = {{11, 22}, {9, 18}, {80, 160}, {160, 320}, {160, 320}, {85, 165}, {40, 60}, {17, 27}, {6, 6}, {0, 0}, {0, 0}};
    kiln *k = *state;
    KILN_SCOPE(k);
    State s = {.v = kiln_variable_new(k, "v", kiln_f32(k, KILN_SHAPE(2), 10, 20)), .s = kiln_variable_new(k, "s", KILN_F32, 0.5),
        .dense = kiln_dense_new(k, 2, 2, KILN_ZEROS), .rnn = kiln_rnn_new(k, 2, 2, KILN_ZEROS)};
    kiln_assign(s.s, 0);
    kiln_function *f = kiln_function_new(k, variables_everywhere, &s, &(kiln_function_options){.name = "f", .outputs = RESULTS});
    for (int traced = 0; traced < 2; traced++) {
        kiln_tensor *out[RESULTS];
        kiln_eager(k, !traced);
        assert_true(kiln_call_all(f, KILN_IN(kiln_f32(k, KILN_SHAPE(2), 1, 2)), out, RESULTS) || !printf("%s\n", kiln_error(k)->text));
        for (int i = 0; i < RESULTS; i++) {
            double v[2];
            assert_true(kiln_read_doubles(out[i], v, 2));
            if (v[0] != want[i][0] || v[1] != want[i][1]) fail_msg("output %d: %g %g", i, v[0], v[1]);
        }
    }
    kiln_eager(k, false);
    assert_ok(k);
}

static void lists_that_do_not_fit_are_refused(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *out[2], *x = kiln_f32(k, KILN_SHAPE(2), 3, 4);
    kiln_variable *v = kiln_variable_new(k, "v", x);
    assert_false(kiln_for(k, 2, grow, KILN_IN(v, 0.5), out, NULL));
    assert_error(k, KILN_EDTYPE, "kiln_for: 0.5 is a C double, which could be f32 or f64 here: kiln_scalar(k, KILN_F32, 0.5)");
    assert_false(kiln_cond(k, true, sum_of, sum_of, kiln_tensors(NULL, 2), out, 1, NULL));
    assert_error(k, KILN_EVALUE, "kiln_cond: the list of operands is NULL");
    kiln_custom_gradient(v, KILN_IN(2), tripled, NULL);
    assert_error(k, KILN_EVALUE, "custom_gradient: an operand is a number; it must be a tensor");
    assert_null(kiln_dtype_of(out[0]) ? out[0] : NULL);
    kiln_variable *pair[2] = {v, v};
    assert_true(kiln_item(kiln_clip_by_global_norm(kiln_variables(pair, 2), 1, out)) == sqrtf(50));
    kiln_clip_by_global_norm(KILN_IN(v, 1), 1, out);
    assert_error(k, KILN_EVALUE, "clip_by_global_norm: an operand is a number");
    kiln_optimizer *sgd = kiln_sgd(k, 1, 0);
    {
        KILN_TAPE(k, tape);
        kiln_variable *loss = kiln_local(k, kiln_sum(v, KILN_ALL));
        kiln_optimizer_minimize(sgd, tape, loss);
    }
    double now[2];
    assert_true(kiln_read_doubles(v, now, 2) && now[0] == 2 && now[1] == 3);
    assert_ok(k);
}

static void counts_runs(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)in;
    ++*(int *)user;
    out[0] = kiln_scalar(k, KILN_F32, 1);
}

static void counts_below_zero_are_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    int runs = 0;
    kiln_tensor *x = kiln_scalar(k, KILN_F32, 2), *out[2], *ys[2];
    kiln_variable *v = kiln_variable_new(k, "v", x);
    kiln_optimizer *o = kiln_sgd(k, 0.1, 0);
    kiln_optimizer_apply(o, &v, &x, -3);
    assert_error(k, KILN_EVALUE, "optimizer: the count is -3;");
    assert_false(kiln_optimizer_prepare(o, &v, -3));
    assert_error(k, KILN_EVALUE, "optimizer: the count is -3;");
    assert_null(kiln_function_new(k, counts_runs, &runs, &(kiln_function_options){.name = "few", .inputs_count = -3}));
    assert_error(k, KILN_EVALUE, "few: inputs_count is -3;");
    assert_null(kiln_function_new(k, counts_runs, &runs, &(kiln_function_options){.name = "few", .outputs = -3}));
    assert_error(k, KILN_EVALUE, "few: outputs is -3; it must be 0 (meaning 1) or more, or KILN_NO_OUTPUTS");
    assert_false(kiln_scan(k, sum_of, &((kiln_scan_options){.carries = &x, .carries_count = 1, .steps = -3}), out, ys, NULL));
    assert_error(k, KILN_EVALUE, "kiln_scan: steps is -3");
    kiln_iota(k, KILN_F32, KILN_SHAPE(2), -3);
    assert_error(k, KILN_ESHAPE, "iota: axis -3 is out of range for rank 1 (allowed: -1 to 0)");
    kiln_function *f = kiln_function_new(k, counts_runs, &runs, NULL);
    for (int eager = 0; eager < 2; eager++) {
        kiln_eager(k, eager);
        assert_false(kiln_call_all(f, KILN_IN(x), out, -3));
        assert_error(k, KILN_EVALUE, "function: -3 outputs asked for, but it has 1");
        assert_false(kiln_call_all(f, KILN_IN(x), out, 2));
        assert_error(k, KILN_EVALUE, "function: 2 outputs asked for, but it has 1");
    }
    kiln_eager(k, false);
    assert_int_equal(runs, 0);
    static const char text[] = "module {}\ngraph @f() -> (%1) {\n  %1 = constant() {f32, 1, []}\n}\n";
    assert_int_equal(kiln_run_text(k, text, sizeof text - 1, (kiln_operands){0}, out, -3), -1);
    assert_error(k, KILN_EVALUE, "run: the number of results is -3");
    assert_int_equal(kiln_run_text_with(k, text, sizeof text - 1, (kiln_operands){0}, out, 1, &((kiln_run_options){.dims_count = -3})), -1);
    assert_error(k, KILN_EVALUE, "run: the number of dims is -3;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(calls_take_any_mixture),
        FRONT_TEST(gradients_of_and_for_variables),
        FRONT_TEST(checks_and_comparisons_take_what_calls_take),
        FRONT_TEST(variables_and_numbers_are_welcome_everywhere),
        FRONT_TEST(lists_that_do_not_fit_are_refused), FRONT_TEST(counts_below_zero_are_named),
    };
    return cmocka_run_group_tests_name("lists", tests, front_needs_llvm, NULL);
}
