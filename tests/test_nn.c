/* nn: layers, optimisers and metrics against their formulas in plain C, eager and traced. */
#include "front.h"

#include <kiln/nn.h>
#include <math.h>
#include <time.h>

/* ---- optimisers: loss = sum(a * a) / 2 + 3 sum(b), so that the gradients are a and 3 ------------ */
#define STEPS 5

struct fit { kiln_variable *a, *b; kiln_optimizer *o; };

static void fit_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct fit *f = user;
    (void)in;
    KILN_TAPE(k, tape);
    kiln_tensor *half = kiln_mul(kiln_sum(kiln_square(f->a), KILN_ALL), 0.5);
    out[0] = kiln_add(half, kiln_mul(kiln_sum(f->b, KILN_ALL), 3.0));
    kiln_optimizer_minimize(f->o, tape, out[0]);
}

/* Runs STEPS steps from a = (1, -2), b = (0.5) with the given optimiser, eagerly or traced. */
static void fit(kiln *k, kiln_optimizer *o, bool eager, float a[2], float b[1])
{
    KILN_SCOPE(k);
    kiln_eager(k, eager);
    struct fit f = {kiln_variable_new(k, "a", kiln_f32(k, KILN_SHAPE(2), 1, -2)), kiln_variable_new(k, "b", kiln_f32(k, KILN_SHAPE(1), 0.5)), o};
    kiln_function *step = kiln_function_new(k, fit_step, &f, &(kiln_function_options){.name = "fit"});
    for (int i = 0; i < STEPS; i++) {
        KILN_SCOPE(k);
        kiln_call(step);
    }
    kiln_read(f.a, a, 2 * sizeof *a);
    kiln_read(f.b, b, sizeof *b);
    kiln_eager(k, false);
    assert_ok(k);
}

static double sgd_want(double x, bool square, double rate, double momentum)
{
    double v = 0;
    for (int i = 0; i < STEPS; i++) {
        v = momentum * v + (square ? x : 3);
        x -= rate * v;
    }
    return x;
}

static double adam_want(double x, bool square, double rate, double beta1, double beta2, double epsilon)
{
    double m = 0, v = 0;
    for (int i = 1; i <= STEPS; i++) {
        double g = square ? x : 3;
        m = beta1 * m + (1 - beta1) * g;
        v = beta2 * v + (1 - beta2) * g * g;
        x -= rate * (m / (1 - pow(beta1, i))) / (sqrt(v / (1 - pow(beta2, i))) + epsilon);
    }
    return x;
}

static void optimisers_follow_their_formulas(void **state)
{
    kiln *k = *state;
    int modes = front_has_llvm() ? 2 : 1;
    for (int mode = 0; mode < modes; mode++) {
        float a[2], b[1];
        for (int momentum = 0; momentum < 2; momentum++) {
            fit(k, kiln_sgd(k, 0.1, 0.9 * momentum), mode == 0, a, b);
            assert_float_equal(a[0], sgd_want(1, true, 0.1, 0.9 * momentum), 1e-6);
            assert_float_equal(a[1], sgd_want(-2, true, 0.1, 0.9 * momentum), 1e-6);
            assert_float_equal(b[0], sgd_want(0.5, false, 0.1, 0.9 * momentum), 1e-6);
        }
        fit(k, kiln_adam(k, 0.05), mode == 0, a, b);
        assert_float_equal(a[0], adam_want(1, true, 0.05, 0.9, 0.999, 1e-8), 1e-5);
        assert_float_equal(a[1], adam_want(-2, true, 0.05, 0.9, 0.999, 1e-8), 1e-5);
        assert_float_equal(b[0], adam_want(0.5, false, 0.05, 0.9, 0.999, 1e-8), 1e-5);
        fit(k, kiln_adam_at(KILN_HERE, k, 0.05, 0.5, 0.75, 0.25), mode == 0, a, b);
        assert_float_equal(a[0], adam_want(1, true, 0.05, 0.5, 0.75, 0.25), 1e-5);
        assert_float_equal(b[0], adam_want(0.5, false, 0.05, 0.5, 0.75, 0.25), 1e-5);
    }
}

static void a_rate_changes_between_steps(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_eager(k, true);
    struct fit f = {kiln_variable_new(k, "a", KILN_F32, 1.0), kiln_variable_new(k, "b", KILN_F32, 1.0), kiln_sgd(k, 0.5, 0)};
    kiln_function *step = kiln_function_new(k, fit_step, &f, NULL);
    kiln_call(step);
    assert_float_equal(kiln_item(f.a), 0.5, 0);
    kiln_assign(kiln_optimizer_rate(f.o), 0.25);
    kiln_call(step);
    assert_float_equal(kiln_item(f.a), 0.375, 0);
    kiln_variable *all[8];
    assert_int_equal(kiln_optimizer_variables(f.o, all, 8), 1); /* without momentum, no moments */
    assert_ok(k);
}

/* ---- layers ------------------------------------------------------------------------------------- */
static void layers_compute_what_they_say(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 1);
    kiln_dense *dense = kiln_dense_new(k, 50, 30, g);
    float w[50 * 30];
    assert_true(kiln_read(kiln_dense_weight(dense), w, sizeof w));
    float bound = sqrtf(6.0f / 80), low = 0, high = 0;
    for (int i = 0; i < 50 * 30; i++) {
        low = fminf(low, w[i]);
        high = fmaxf(high, w[i]);
    }
    assert_true(low >= -bound && high <= bound && low < -0.95f * bound && high > 0.95f * bound);
    kiln_assign(kiln_dense_bias(dense), kiln_iota(k, KILN_F32, KILN_SHAPE(30), 0));
    kiln_tensor *y = kiln_dense_apply(dense, kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3, 50)));
    assert_int_equal(kiln_dim(y, 2), 30);
    double sum = 7; /* the bias of unit 7 */
    for (int i = 0; i < 50; i++)
        sum += w[i * 30 + 7];
    assert_float_equal(kiln_item(kiln_slice(kiln_reshape(y, KILN_SHAPE(180)), 0, 157, 158, 1)), sum, 1e-4);

    kiln_conv *conv = kiln_conv_new(k, 2, 3, (&(kiln_window){.size = {3, 3}, .stride = {2, 2}, .same = true}), g);
    kiln_assign(kiln_conv_filters(conv), kiln_ones(k, KILN_F32, KILN_SHAPE(3, 3, 2, 3)));
    kiln_assign(kiln_conv_bias(conv), kiln_f32(k, KILN_SHAPE(3), 0, 1, 2));
    kiln_tensor *c = kiln_conv_apply(conv, kiln_ones(k, KILN_F32, KILN_SHAPE(1, 5, 5, 2)));
    assert_int_equal(kiln_dim(c, 1), 3);
    float v[27];
    assert_true(kiln_read(c, v, sizeof v));
    assert_float_equal(v[0], 8, 0);       /* a corner sees 2 x 2 pixels of 2 channels */
    assert_float_equal(v[4 * 3 + 2], 20, 0); /* the middle all nine */
    kiln_tensor *mean = kiln_global_avg_pool(c);
    assert_int_equal(kiln_rank(mean), 2);
    assert_float_equal(kiln_item(kiln_slice(kiln_flatten(mean), 1, 0, 1, 1)), (4 * 8 + 4 * 12 + 18) / 9.0, 1e-5);
    kiln_dense_free(dense);
    kiln_conv_free(conv);
    assert_ok(k);
}

/* ---- metrics ------------------------------------------------------------------------------------- */
static void metrics_average_over_all_updates(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_metric *mean = kiln_mean_metric(k), *accuracy = kiln_accuracy_metric(k);
    assert_true(isnan(kiln_metric_result(mean)));
    kiln_metric_update(mean, kiln_f32(k, KILN_SHAPE(3), 1, 2, 6));
    kiln_metric_update(mean, 11.0);
    assert_float_equal(kiln_metric_result(mean), 5, 0);
    kiln_tensor *logits = kiln_f32(k, KILN_SHAPE(2, 3), 0, 3, 1, 2, 1, 0);
    kiln_metric_update_labels(accuracy, logits, kiln_i64(k, KILN_SHAPE(2), 1, 0));
    assert_float_equal(kiln_metric_result(accuracy), 1, 0);
    kiln_metric_update_labels(accuracy, logits, kiln_i64(k, KILN_SHAPE(2), 1, 2));
    assert_float_equal(kiln_metric_result(accuracy), 0.75, 0);
    kiln_metric_reset(accuracy);
    assert_true(isnan(kiln_metric_result(accuracy)));
    assert_ok(k);
}

/* Labels that would broadcast against the rows, or be cut to integers, give a number that means nothing. */
static void accuracy_takes_the_labels_of_its_rows_alone(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_metric *accuracy = kiln_accuracy_metric(k), *mean = kiln_mean_metric(k);
    kiln_tensor *logits = kiln_f32(k, KILN_SHAPE(3, 2), 1, 0, 0, 1, 1, 0);
    const kiln_shape wrong[] = {KILN_SHAPE(3, 1), KILN_SHAPE(1, 3), KILN_SHAPE(1), KILN_SHAPE(), KILN_SHAPE(2), KILN_SHAPE(3, 2)};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kiln_metric_update_labels(accuracy, logits, kiln_zeros(k, KILN_I64, wrong[i]));
        assert_error(k, KILN_ESHAPE, "metric: needs logits [..., classes] and labels [...]: f32[3,2] x i64[");
    }
    kiln_metric_update_labels(accuracy, logits, kiln_f32(k, KILN_SHAPE(3), 0, 1, 0));
    assert_error(k, KILN_EDTYPE, "metric: the labels must be integers");
    kiln_metric_update_labels(accuracy, logits, kiln_bool(k, KILN_SHAPE(3), 0, 1, 0));
    assert_error(k, KILN_EDTYPE, "metric: the labels must be integers");
    kiln_metric_update(accuracy, logits);
    assert_error(k, KILN_EVALUE, "metric: accuracy needs a tensor of labels");
    kiln_metric_update_labels(mean, logits, logits);
    assert_error(k, KILN_EVALUE, "metric: a mean takes no labels");
    assert_true(isnan(kiln_metric_result(accuracy)) && isnan(kiln_metric_result(mean))); /* nothing of these was counted */
    kiln_metric_update_labels(accuracy, logits, kiln_u8(k, KILN_SHAPE(3), 0, 1, 1));
    kiln_metric_update_labels(accuracy, kiln_reshape(logits, KILN_SHAPE(1, 3, 2)), kiln_i64(k, KILN_SHAPE(1, 3), 0, 1, -1));
    kiln_metric_update_labels(accuracy, kiln_reshape(logits, KILN_SHAPE(6)), kiln_scalar(k, KILN_I32, 0));
    assert_float_equal(kiln_metric_result(accuracy), 5. / 7, 1e-15);
    assert_ok(k);
}

static void wrong_label(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)out;
    kiln_metric_update_labels((kiln_metric *)user, in[0], in[1]);
}

static void a_checked_engine_refuses_labels_that_are_no_class(void **state)
{
    (void)state;
    kiln *k = kiln_open(&(kiln_options){.checked = true});
    {
        KILN_SCOPE(k);
        kiln_metric *accuracy = kiln_accuracy_metric(k);
        kiln_function *f = kiln_function_new(k, wrong_label, accuracy, &(kiln_function_options){.outputs = KILN_NO_OUTPUTS});
        kiln_tensor *logits = kiln_f32(k, KILN_SHAPE(3, 2), 1, 0, 0, 1, 1, 0);
        for (int eager = 1; eager >= !front_has_llvm(); eager--) {
            kiln_eager(k, eager);
            kiln_call(f, logits, kiln_i64(k, KILN_SHAPE(3), 0, 2, 0));
            assert_error(k, KILN_EVALUE, "metric: an index is out of range: element [1] is 2, of a size of 2");
            assert_true(isnan(kiln_metric_result(accuracy)));
            kiln_call(f, logits, kiln_i64(k, KILN_SHAPE(3), 0, 1, 1));
            assert_float_equal(kiln_metric_result(accuracy), 2. / 3, 1e-15);
            kiln_metric_reset(accuracy);
        }
        assert_ok(k);
    }
    assert_int_equal(kiln_close(k), 0);
}

/* The first weights of each kind of layer, made without a generator; how many numbers. */
static int first_weights(kiln *k, float *w)
{
    KILN_SCOPE(k);
    kiln_variable *v[8] = {kiln_dense_weight(kiln_dense_new(k, 3, 4, NULL)), kiln_dense_weight(kiln_dense_new(k, 3, 4, NULL)),
        kiln_conv_filters(kiln_conv_new(k, 1, 2, (&(kiln_window){.size = {2, 3}}), NULL))};
    int n = 0, layers = 5;
    kiln_recurrent_variables(kiln_lstm_new(k, 1, 3, NULL), &v[3], 1);
    kiln_recurrent_variables(kiln_gru_new(k, 1, 4, NULL), &v[4], 1);
    for (int i = 0; i < layers; i++) {
        kiln_tensor *x = kiln_value(v[i]);
        kiln_read(x, w + n, kiln_bytes(x));
        n += (int)kiln_elements(x);
    }
    return n;
}

static void layers_without_a_generator_are_not_alike(void **state)
{
    kiln *k = *state;
    float w[3][64];
    assert_int_equal(first_weights(k, w[0]), 60);
    for (int i = 0; i < 60; i++)
        for (int j = 0; j < i; j++) assert_true(w[0][i] != 0 && w[0][i] != w[0][j]);
    kiln *same = kiln_open(NULL), *other = kiln_open(&(kiln_options){.seed = 1});
    first_weights(same, w[1]);
    first_weights(other, w[2]);
    assert_memory_equal(w[0], w[1], 60 * sizeof(float));
    for (int i = 0; i < 60; i++) assert_true(w[0][i] != w[2][i]);
    assert_int_equal(kiln_close(same), 0);
    assert_int_equal(kiln_close(other), 0);
    KILN_SCOPE(k);
    float own[12];
    kiln_variable *g = kiln_generator(k, 0);
    kiln_read(kiln_uniform(g, KILN_F32, KILN_SHAPE(3, 4), -sqrtf(6.f / 7), sqrtf(6.f / 7)), own, sizeof own);
    assert_true(own[0] != w[0][0]); /* a stream apart from any of the user's */
    assert_float_equal(kiln_item(kiln_norm(kiln_dense_weight(kiln_dense_new(k, 3, 4, KILN_ZEROS)))), 0, 0);
    assert_ok(k);
    kiln_uniform(KILN_ZEROS, KILN_F32, KILN_SHAPE(2), 0, 1);
    assert_error(k, KILN_EVALUE, "uniform: the generator is KILN_ZEROS");
    kiln_dropout(kiln_ones(k, KILN_F32, KILN_SHAPE(2)), 0.5, KILN_ZEROS);
    assert_error(k, KILN_EVALUE, "dropout: the generator is KILN_ZEROS");
}

/* Names are the first that no living variable has, and finding one takes a pass over the variables: trying them in turn took cubic time. */
static void layers_are_named_in_a_pass(void **state)
{
    kiln *k = *state;
    enum { LAYERS = 1500 };
    static kiln_dense *layer[LAYERS];
    char want[32];
    kiln_variable *others[] = {kiln_variable_new(k, "dense_3/mine", 1), kiln_variable_new(k, "dense_01/w", 1), kiln_variable_new(k, "dense_5", 1),
        kiln_variable_new(k, "densest/w", 1), kiln_variable_new(k, "dense_18446744073709551616/w", 1), kiln_variable_new(k, "dense_7/", 1)};
    const clock_t began = clock();
    for (int i = 0; i < LAYERS; i++) layer[i] = kiln_dense_new(k, 1, 1, KILN_ZEROS);
    assert_true((double)(clock() - began) / CLOCKS_PER_SEC < 3); /* it took 10 s */
    for (int i = 0, n = 0; i < LAYERS; i++, n++) {
        n += n == 3 || n == 7; /* taken */
        snprintf(want, sizeof want, n ? "dense_%d/w" : "dense/w", n);
        assert_string_equal(kiln_variable_name(kiln_dense_weight(layer[i])), want);
    }
    kiln_dense_free(layer[900]);
    kiln_dense_free(layer[2]);
    kiln_variable_free(others[0]);
    const char *const freed[] = {"dense_2/b", "dense_3/b", "dense_902/b", "dense_1502/b"};
    for (size_t i = 0; i < sizeof freed / sizeof *freed; i++)
        assert_string_equal(kiln_variable_name(kiln_dense_bias(kiln_dense_new(k, 1, 1, KILN_ZEROS))), freed[i]);
    kiln_variable_new(k, "conv/x", 1);
    for (int i = 1; i < 9000; i++) {
        snprintf(want, sizeof want, "conv_%d/x", i);
        kiln_variable_new(k, want, i);
    }
    kiln_conv *conv = kiln_conv_new(k, 1, 1, (&(kiln_window){.size = {1, 1}}), KILN_ZEROS);
    assert_string_equal(kiln_variable_name(kiln_conv_bias(conv)), "conv_9000/b");
    assert_ok(k);
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_dense *dense = kiln_dense_new(k, 4, 2, NULL);
    kiln_dense_apply(dense, kiln_ones(k, KILN_F32, KILN_SHAPE(3, 5)));
    assert_error(k, KILN_ESHAPE, "test_nn.c");
    kiln_dense_apply(NULL, kiln_ones(k, KILN_F32, KILN_SHAPE(3, 5)));
    assert_error(k, KILN_ESTATE, "NULL");
    KILN_TAPE(k, tape);
    kiln_optimizer_minimize(NULL, tape, kiln_ones(k, KILN_F32, KILN_SHAPE()));
    assert_error(k, KILN_ESTATE, "NULL");
    kiln_metric_update(NULL, 1);
    assert_error(k, KILN_ESTATE, "NULL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(optimisers_follow_their_formulas), FRONT_TEST(a_rate_changes_between_steps), FRONT_TEST(layers_compute_what_they_say),
        FRONT_TEST(metrics_average_over_all_updates), FRONT_TEST(accuracy_takes_the_labels_of_its_rows_alone),
        cmocka_unit_test(a_checked_engine_refuses_labels_that_are_no_class), FRONT_TEST(layers_without_a_generator_are_not_alike),
        FRONT_TEST(layers_are_named_in_a_pass), FRONT_TEST(misuse_is_named),
    };
    return cmocka_run_group_tests_name("nn", tests, NULL, NULL);
}
