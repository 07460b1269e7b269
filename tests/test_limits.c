/* limits: counts that a user may choose (variables, inputs, outputs, carries, operands, size expressions) have no bound but memory, eager and
 * traced give the same bits, and a call that has run once takes no memory from the system. Skipped without the LLVM module. */
#include "front.h"

#include <kiln/nn.h>
#include <stdlib.h>

enum { MOST = 4096 };

/* Row-major elements of f32 tensors, compared bit for bit. */
static void same_bits(kiln_tensor *a, kiln_tensor *b)
{
    size_t bytes = (size_t)kiln_bytes(a);
    assert_int_equal(bytes, kiln_bytes(b));
    void *x = malloc(bytes + 1), *y = malloc(bytes + 1);
    assert_true(kiln_read(a, x, bytes) && kiln_read(b, y, bytes));
    assert_memory_equal(x, y, bytes);
    free(x);
    free(y);
}

static bool call_all(kiln_function *f, kiln_tensor *const *in, int nin, kiln_tensor **out, int nout)
{
    kiln_operand *x = malloc((size_t)(nin + 1) * sizeof *x);
    for (int i = 0; i < nin; i++) x[i] = kiln_of_tensor(in[i]);
    bool ok = kiln_call_all_at(KILN_HERE, f, x, nin, out, nout);
    free(x);
    return ok;
}

static kiln_tensor *number(kiln *k, double v) { return kiln_scalar(k, KILN_F32, v); }

/* ---- variables -------------------------------------------------------------------------------------------------- */
struct training { kiln_variable **v; int n; kiln_optimizer *o; };

static void adam_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct training *tr = user;
    KILN_TAPE(k, tape);
    out[0] = kiln_sum(kiln_mul(in[0], kiln_square(tr->v[0])), KILN_ALL);
    for (int i = 1; i < tr->n; i++) out[0] = kiln_add(out[0], kiln_sum(kiln_square(tr->v[i]), KILN_ALL));
    kiln_optimizer_minimize(tr->o, tape, out[0]);
}

static void train(kiln *k, struct training *tr, bool eager, kiln_tensor **loss)
{
    for (int i = 0; i < tr->n; i++)
        tr->v[i] = kiln_variable_new(k, "p", kiln_full(k, KILN_F32, KILN_SHAPE(3), 1 + i % 7));
    tr->o = kiln_adam(k, 0.1);
    kiln_function *f = kiln_function_new(k, adam_step, tr, NULL);
    kiln_eager(k, eager);
    for (int i = 0; i < 3; i++) *loss = kiln_call(f, number(k, 2));
    kiln_eager(k, false);
    assert_ok(k);
}

static void a_step_trains_400_variables(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static kiln_variable *v[2][400];
    struct training eager = {v[0], 400, NULL}, traced = {v[1], 400, NULL};
    kiln_tensor *loss[2];
    train(k, &eager, true, &loss[0]);
    train(k, &traced, false, &loss[1]);
    same_bits(loss[0], loss[1]);
    for (int i = 0; i < 400; i++) same_bits(kiln_value(v[0][i]), kiln_value(v[1][i]));
}

static void loop_over(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_variable **v = user;
    KILN_FOR(k, i, in[0])
        for (int j = 0; j < 1000; j++) kiln_assign_add(v[j], kiln_mul(v[(j + 1) % 1000], 0.5));
    out[0] = kiln_value(v[0]);
}

static void a_loop_changes_1000_variables(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static kiln_variable *v[2][1000];
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < 1000; i++) v[which][i] = kiln_variable_new(k, "v", number(k, i % 5));
        kiln_eager(k, which == 0);
        kiln_call(kiln_function_new(k, loop_over, v[which], NULL), kiln_full(k, KILN_I64, ((kiln_shape){0}), 3));
        assert_ok(k);
    }
    kiln_eager(k, false);
    for (int i = 0; i < 1000; i++) same_bits(kiln_value(v[0][i]), kiln_value(v[1][i]));
}

/* ---- carries, cases --------------------------------------------------------------------------------------------- */
enum { CARRIES = 600 };

static void turn(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    for (int i = 0; i < CARRIES; i++) out[i] = kiln_add(in[1 + i], kiln_mul(in[1 + (i + 1) % CARRIES], 0.25));
}

static void turn_and_stack(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    turn(k, in, out, user);
    for (int i = 0; i < 300; i++) out[CARRIES + i] = kiln_mul(in[1 + CARRIES], (double)i);
}

static void small(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_less(in[1], 20.0);
}

static void then(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) { turn(k, in - 1, out, user); }
static void otherwise(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    for (int i = 0; i < CARRIES; i++) out[i] = kiln_mul(in[i], 2.0);
}

static void flow(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *x[CARRIES], *y[CARRIES];
    for (int i = 0; i < CARRIES; i++) x[i] = kiln_add(in[0], (double)i / 64);
    kiln_for(k, 2, turn, x, CARRIES, y, NULL);
    kiln_while(k, small, turn, y, CARRIES, x, NULL);
    kiln_cond(k, kiln_less(x[1], 100.0), then, otherwise, x, CARRIES, y, CARRIES, NULL);
    kiln_tensor *xs[1] = {kiln_iota(k, KILN_F32, KILN_SHAPE(4), 0)};
    kiln_scan(k, turn_and_stack, &(kiln_scan_options){.carries = y, .carries_count = CARRIES, .xs = xs, .xs_count = 1, .ys_count = 300}, out, out + CARRIES, NULL);
}

static void loops_and_branches_carry_600_values(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static kiln_tensor *out[2][CARRIES + 300];
    kiln_tensor *x = number(k, 1);
    kiln_function *f = kiln_function_new(k, flow, NULL, &(kiln_function_options){.outputs = CARRIES + 300});
    for (int which = 0; which < 2; which++) {
        kiln_eager(k, which == 0);
        assert_true(call_all(f, &x, 1, out[which], CARRIES + 300));
    }
    assert_ok(k);
    for (int i = 0; i < CARRIES + 300; i++) same_bits(out[0][i], out[1][i]);
}

static kiln_tensor *chosen(kiln *k, kiln_tensor *which, int cases);
static void one_case(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    out[0] = kiln_mul(in[0], (double)(++*(int *)user));
}

static void pick(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    out[0] = chosen(k, in[0], 100);
}

static kiln_tensor *chosen(kiln *k, kiln_tensor *which, int cases)
{
    kiln_body *body[MOST];
    int made = 0;
    kiln_tensor *out, *x = number(k, 1);
    for (int i = 0; i < cases; i++) body[i] = one_case;
    kiln_switch(k, which, body, cases, &x, 1, &out, 1, &made);
    return out;
}

static void a_switch_has_100_cases(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_function *f = kiln_function_new(k, pick, NULL, NULL);
    for (int i = 0; i < 100; i += 33)
        assert_true(kiln_item(kiln_call(f, kiln_full(k, KILN_I64, ((kiln_shape){0}), i))) == i + 1);
    assert_ok(k);
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------------- */
static void outputs(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    for (int i = 0; i < 2000; i++) out[i] = i == 1999 ? out[0] : kiln_mul(in[0], (double)i + 1);
}

static void a_function_has_2000_outputs(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = number(k, 3), *out[2000];
    kiln_function *f = kiln_function_new(k, outputs, NULL, &(kiln_function_options){.outputs = 2000});
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    assert_true(call_all(f, &x, 1, out, 2000));
    for (int i = 0; i < 2000; i++) assert_true(kiln_item(out[i]) == (i == 1999 ? 3 : 3 * (i + 1)));
    kiln_tensor *sum = out[0];
    for (int i = 1; i < 2000; i++) sum = kiln_add(sum, out[i]);
    assert_true(kiln_item(kiln_gradient(tape, sum, x)) == 1999 * 2000 / 2 + 1);
    assert_ok(k);
}

static void tables(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    for (int i = 0; i < 500; i++) out[i] = kiln_mul(kiln_expand(in[0], 1), kiln_iota(k, KILN_F32, KILN_SHAPE(i % 7 + 1), 0));
    for (int i = 0; i < 500; i += 10) out[i] = kiln_sum(kiln_softmax(out[i], 0), KILN_AXES(1)); /* by temporaries */
}

static void results_of_500_sizes_that_are_known_at_the_call(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *out[2][500];
    kiln_function *f = kiln_function_new(k, tables, NULL, &(kiln_function_options){.outputs = 500, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 50))}});
    for (int n = 2; n < 50; n += 40) {
        kiln_tensor *x = kiln_div(kiln_iota(k, KILN_F32, KILN_SHAPE(n), 0), 8.0);
        for (int eager = 0; eager < 2; eager++) {
            kiln_eager(k, eager);
            assert_true(call_all(f, &x, 1, out[eager], 500));
        }
        for (int i = 0; i < 500; i++) {
            assert_int_equal(kiln_rank(out[0][i]), kiln_rank(out[1][i]));
            assert_int_equal(kiln_dim(out[0][i], 0), n);
            same_bits(out[0][i], out[1][i]);
        }
    }
    kiln_eager(k, false);
    kiln_function_statistics counts;
    kiln_function_stats(f, &counts);
    assert_int_equal(counts.traces, 1);
    assert_ok(k);
}

static void inputs(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_square(in[0]);
    for (int i = 1; in[i]; i++) out[0] = kiln_add(out[0], kiln_mul(kiln_square(in[i]), (double)(i % 3)));
}

static void derivatives_of_1000_inputs(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static kiln_tensor *x[2000], *dx[1001];
    static kiln_spec spec[1000];
    for (int i = 0; i < 2000; i++) x[i] = number(k, i < 1000 ? i % 11 : 1);
    for (int i = 0; i < 1000; i++) spec[i] = (kiln_spec){.dtype = KILN_F32, .rank = 0};
    kiln_function *f = kiln_function_new(k, inputs, NULL, &(kiln_function_options){.inputs_count = 1000});
    assert_true(call_all(kiln_grad(f), x, 1000, dx, 1000));
    for (int i = 0; i < 1000; i++) assert_true(kiln_item(dx[i]) == 2.0 * (i % 11) * (i ? i % 3 : 1));
    kiln_function *g = kiln_function_new(k, inputs, NULL, &(kiln_function_options){.inputs_count = 1000, .input_list = spec});
    assert_true(call_all(kiln_value_and_grad(g), x, 1000, dx, 1001));
    kiln_tensor *jvp[2], *sum = dx[1];
    for (int i = 1; i < 1000; i++) sum = kiln_add(sum, dx[1 + i]);
    assert_true(call_all(kiln_jvp(g), x, 2000, jvp, 2));
    assert_true(kiln_item(jvp[1]) == kiln_item(sum));
    assert_ok(k);
    x[999] = kiln_zeros(k, KILN_F32, KILN_SHAPE(1));
    assert_false(call_all(g, x, 1000, dx, 1));
    assert_error(k, KILN_ESHAPE, "argument 999");
}

static void reads(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    kiln_variable **v = user;
    out[0] = in[0];
    for (int i = 0; i < 700; i++) out[0] = kiln_add(out[0], kiln_mul(kiln_square(v[i]), in[0]));
}

static void a_tape_outside_asks_for_700_variables_of_a_call(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static kiln_variable *v[700];
    for (int i = 0; i < 700; i++) v[i] = kiln_variable_new(k, "v", number(k, i % 13));
    kiln_function *f = kiln_function_new(k, reads, v, NULL);
    KILN_TAPE_PERSISTENT(k, tape);
    kiln_tensor *y = kiln_call(f, number(k, 2));
    for (int i = 0; i < 700; i += 50) assert_true(kiln_item(kiln_gradient(tape, y, v[i])) == 4 * (i % 13));
    assert_ok(k);
}

/* ---- operands of one op ------------------------------------------------------------------------------------------- */
static int add_all(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)user;
    for (int i = 0; i < nout; i++) *(float *)out[i].data = 0;
    for (int i = 0; i < nin; i++) *(float *)out[i % nout].data += *(const float *)in[i].data;
    return 0;
}

static void calls_back(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *x[90], *y[70];
    kiln_spec type[70];
    (void)user;
    for (int i = 0; i < 90; i++) x[i] = kiln_mul(in[0], (double)i);
    for (int i = 0; i < 70; i++) type[i] = (kiln_spec){.dtype = KILN_F32, .rank = 1, .size = {{1, 1, NULL}}};
    for (int i = 0; i < 90; i++) x[i] = kiln_reshape(x[i], KILN_SHAPE(1));
    kiln_callback(k, add_all, NULL, x, 90, type, y, 70);
    out[0] = kiln_concat(y, 70, 0);
}

static void ops_take_many_operands(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    enum { N = 70000 };
    kiln_tensor **x = malloc(N * sizeof *x), *one = kiln_ones(k, KILN_F32, KILN_SHAPE(1)), *in = number(k, 2);
    for (int i = 0; i < N; i++) x[i] = one;
    kiln_tensor *all = kiln_concat(x, N, 0);
    assert_true(kiln_dim(all, 0) == N);
    assert_true(kiln_item(kiln_sum(all, KILN_ALL)) == N);
    free(x);
    kiln_function *f = kiln_function_new(k, calls_back, NULL, NULL);
    kiln_tensor *traced = kiln_call(f, in);
    kiln_eager(k, true);
    same_bits(kiln_call(f, in), traced);
    kiln_eager(k, false);
    assert_ok(k);
}

/* ---- sizes -------------------------------------------------------------------------------------------------------- */
struct convnet { kiln_conv *conv[12]; kiln_dense *last; };

static void convnet(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k;
    struct convnet *net = user;
    kiln_tensor *x = in[0];
    for (int i = 0; i < 12; i++) {
        x = kiln_relu(kiln_conv_apply(net->conv[i], x));
        if (i % 4 == 3) x = kiln_max_pool(x, &(kiln_window){.size = {2, 2}});
    }
    out[0] = kiln_dense_apply(net->last, kiln_mean(x, KILN_AXES(1, 2)));
    out[1] = x;
}

static void batches_of_a_convnet_become_a_symbol(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 3);
    struct convnet net;
    for (int i = 0; i < 12; i++)
        net.conv[i] = kiln_conv_new(k, i ? 4 : 1, 4, (&(kiln_window){.size = {3, 3}, .same = true}), g);
    net.last = kiln_dense_new(k, 4, 10, g);
    kiln_function *f = kiln_function_new(k, convnet, &net, &(kiln_function_options){.outputs = 2});
    kiln_function_statistics s;
    for (int n = 1; n < 9; n++) {
        kiln_tensor *x = kiln_normal(g, KILN_F32, KILN_SHAPE(n, 16, 16, 1), 0, 1), *out[2][2];
        for (int which = 0; which < 2; which++) {
            kiln_eager(k, which == 0);
            assert_true(call_all(f, &x, 1, out[which], 2));
        }
        assert_ok(k);
        for (int i = 0; i < 2; i++) same_bits(out[0][i], out[1][i]);
    }
    kiln_function_stats(f, &s);
    assert_int_equal(s.traces, 4);
    assert_int_equal(s.hits, 4);
}

/* ---- what a hit costs ------------------------------------------------------------------------------------------------ */
struct again { kiln *k; kiln_function *f; };

static int calls_again(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    const struct again *a = user;
    (void)nin, (void)nout;
    KILN_SCOPE(a->k);
    *(float *)out[0].data = (float)kiln_item(kiln_call(a->f, number(a->k, *(const float *)in[0].data)));
    return 0;
}

static void nested(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *many[200];
    kiln_spec scalar = {.dtype = KILN_F32, .rank = 0};
    for (int i = 0; i < 200; i++) many[i] = kiln_mul(in[0], (double)i);
    kiln_callback(k, calls_again, user, in, 1, &scalar, out, 1);
    for (int i = 0; i < 200; i++) {
        out[0] = kiln_add(out[0], many[i]);
        out[1 + i] = many[i];
    }
}

static void a_hit_takes_no_memory(void **state)
{
    kiln *k = *state;
#ifdef KILN_DEBUG
    print_message("skip: debug builds never use a tensor's handle again\n");
    skip();
#endif
    KILN_SCOPE(k);
    kiln_function *inner = kiln_function_new(k, inputs, NULL, NULL);
    struct again again = {k, inner};
    kiln_function *f = kiln_function_new(k, nested, &again, &(kiln_function_options){.outputs = 201});
    uint64_t before = 0;
    for (int i = 0; i < 20; i++) {
        KILN_SCOPE(k);
        kiln_tensor *out[201], *x = number(k, 3);
        if (i == 5) before = kiln_memory_count().allocations;
        assert_true(call_all(f, &x, 1, out, 201));
        assert_true(kiln_item(out[0]) == 9 + 3 * 19900);
    }
    assert_ok(k);
    assert_int_equal(kiln_memory_count().allocations, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(a_step_trains_400_variables), FRONT_TEST(a_loop_changes_1000_variables), FRONT_TEST(loops_and_branches_carry_600_values),
        FRONT_TEST(a_switch_has_100_cases), FRONT_TEST(a_function_has_2000_outputs),
        FRONT_TEST(results_of_500_sizes_that_are_known_at_the_call), FRONT_TEST(derivatives_of_1000_inputs),
        FRONT_TEST(a_tape_outside_asks_for_700_variables_of_a_call), FRONT_TEST(ops_take_many_operands),
        FRONT_TEST(batches_of_a_convnet_become_a_symbol), FRONT_TEST(a_hit_takes_no_memory),
    };
    return cmocka_run_group_tests_name("limits", tests, front_needs_llvm, NULL);
}
