/* test_batchnorm: the layer of batch normalisation: its running statistics, a flag for training, what tapes and optimisers see of its
 * variables. The values of the operations are test_given_loss's. */
#include "values.h"

#include <kiln/nn.h>

#define S KILN_SHAPE

static kiln_batchnorm *layer;

static kiln_tensor *batch(int64_t n) /* [n, 3] */
{
    return kiln_mul(kiln_sin(kiln_reshape(kiln_iota(k, KILN_F32, S(3 * n), 0), S(n, 3))), kiln_f32(k, S(3), 1, 2, 4));
}

static void statistics(double *mean, double *variance)
{
    kiln_variable *v[4];
    assert_int_equal(kiln_batchnorm_variables(layer, v, 4), 4);
    assert_true(kiln_read_doubles(v[2], mean, 3) && kiln_read_doubles(v[3], variance, 3));
}

static void running_statistics(void **state)
{
    (void)state;
    const double x[4][3] = {{1, 2, 3}, {3, 2, 1}, {5, 2, -1}, {7, 2, -3}}; /* means 4 2 0, variances 5 0 5 */
    kiln_tensor *in = kiln_from_doubles(k, KILN_F32, S(4, 3), x[0], 12);
    for (int biased = 0; biased < 2; biased++) {
        double mean[3], variance[3];
        layer = kiln_batchnorm_new(k, 3, &(kiln_batchnorm_options){.momentum = 0.5, .biased = biased});
        kiln_tensor *y = kiln_batchnorm_apply(layer, in, true);
        const double r = 1 / sqrt(5 + 1e-5), want[] = {-3 * r, 0, 3 * r, -r, 0, r, r, 0, -r, 3 * r, 0, -3 * r};
        equals(y, KILN_F32, S(4, 3), want, 12, 1e-6);
        statistics(mean, variance);
        const double v = biased ? 5 : 5 * 4 / 3.0, means[] = {2, 1, 0}, variances[] = {0.5 + v / 2, 0.5, 0.5 + v / 2};
        for (int i = 0; i < 3; i++) {
            assert_float_equal(mean[i], means[i], 1e-6);
            assert_float_equal(variance[i], variances[i], 1e-6);
        }
        kiln_tensor *use = kiln_batchnorm_apply(layer, in, false); /* moves nothing */
        const double u = 1 / sqrt(variances[0] + 1e-5);
        equals(kiln_slice(use, 0, 0, 1, 1), KILN_F32, S(1, 3), (double[]){-u, 1 / sqrt(0.5 + 1e-5), 3 * u}, 3, 1e-6);
        statistics(mean, variance);
        assert_float_equal(mean[0], 2, 1e-6);
        kiln_batchnorm_free(layer);
    }
    layer = kiln_batchnorm_new(k, 3, NULL); /* one element a channel: its variance says nothing */
    (void)kiln_batchnorm_apply(layer, kiln_f32(k, S(1, 3), 1, 2, 3), true);
    double mean[3], variance[3];
    statistics(mean, variance);
    assert_float_equal(mean[2], 0.3, 1e-6);
    assert_float_equal(variance[2], 1, 0);
    kiln_variable *v[4];
    kiln_batchnorm_variables(layer, v, 4);
    assert_string_equal(kiln_variable_name(v[0]), "batchnorm/scale");
    assert_string_equal(kiln_variable_name(v[3]), "batchnorm/variance");
    kiln_batchnorm *first = kiln_batchnorm_new(k, 2, &(kiln_batchnorm_options){.axis = 1, .dtype = KILN_F16});
    has_shape(kiln_batchnorm_apply(first, kiln_ones(k, KILN_F16, S(3, 2, 4, 5)), true), KILN_F16, S(3, 2, 4, 5));
    FAILS(kiln_batchnorm_apply(NULL, in, true), KILN_ESTATE, "batchnorm: the layer is NULL");
}

static void normed(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e;
    (void)user;
    out[0] = kiln_batchnorm_apply(layer, in[0], in[1]);
}

/* One trace of any size serves training and use, with the bits that a C bool gives. */
static void a_flag(void **state)
{
    (void)state;
    kiln_function_options o = {.name = "normed", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 3), KILN_SPEC(KILN_BOOL)}};
    kiln_function *f = kiln_function_new(k, normed, NULL, &o);
    layer = kiln_batchnorm_new(k, 3, NULL);
    kiln_batchnorm *other = kiln_batchnorm_new(k, 3, NULL), *traced = layer;
    for (int step = 0; step < 6; step++) {
        KILN_SCOPE(k);
        const bool training = step % 3 != 2;
        kiln_tensor *x = batch(5 + step), *have = kiln_call(f, x, kiln_bool(k, S(), training));
        kiln_tensor *eager = kiln_batchnorm_apply(other, x, training);
        if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
        assert_memory_equal(kiln_data(have), kiln_data(eager), kiln_bytes(eager));
        kiln_variable *a[4], *b[4];
        kiln_batchnorm_variables(traced, a, 4);
        kiln_batchnorm_variables(other, b, 4);
        for (int i = 0; i < 4; i++) assert_memory_equal(kiln_data(kiln_value(a[i])), kiln_data(kiln_value(b[i])), 12);
    }
    kiln_function_statistics stats;
    kiln_function_stats(f, &stats);
    assert_int_equal(stats.traces, 1);
    kiln_function_free(f);
}

static kiln_optimizer *adam;

static void step(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    KILN_TAPE(e, tape);
    kiln_tensor *y = kiln_batchnorm_apply(layer, in[0], true);
    out[0] = kiln_mse(y, kiln_cos(in[0]));
    kiln_optimizer_minimize(adam, tape, out[0]);
}

/* Optimisers train scale and shift, and take no notice of the statistics. */
static void training(void **state)
{
    (void)state;
    double loss[2][5], mean[2][3];
    for (int traced = 0; traced < 2; traced++) {
        layer = kiln_batchnorm_new(k, 3, NULL);
        adam = kiln_adam(k, 0.1);
        kiln_function *f = kiln_function_new(k, step, NULL, NULL);
        kiln_eager(k, !traced);
        for (int i = 0; i < 5; i++) {
            KILN_SCOPE(k);
            loss[traced][i] = kiln_item(kiln_call(f, batch(8)));
        }
        if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
        assert_true(loss[traced][4] < loss[traced][0]);
        double variance[3];
        statistics(mean[traced], variance);
        assert_true(mean[traced][0] != 0);
        kiln_variable *v[32];
        const int n = kiln_optimizer_variables(adam, v, 32);
        for (int i = 0; i < n; i++) assert_null(strstr(kiln_variable_name(v[i]), "batchnorm/mean"));
        for (int i = 0; i < n; i++) assert_null(strstr(kiln_variable_name(v[i]), "batchnorm/variance"));
        int moments = 0;
        for (int i = 0; i < n; i++) moments += strstr(kiln_variable_name(v[i]), "batchnorm/s") != NULL;
        assert_int_equal(moments, 4);
        kiln_eager(k, false);
        kiln_function_free(f);
        kiln_optimizer_free(adam);
        kiln_batchnorm_free(layer);
    }
    assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
    assert_memory_equal(mean[0], mean[1], sizeof mean[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(running_statistics),
        ENGINE_TEST(a_flag),
        ENGINE_TEST(training),
    };
    return cmocka_run_group_tests_name("batchnorm", tests, NULL, NULL);
}
