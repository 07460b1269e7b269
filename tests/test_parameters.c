/* parameters: C numbers that cannot be meant, in every public call that takes some: an error that names the number, and nothing made. Counts of
 * lists and enums have tests of their own (test_enums.c). */
#include "front.h"

#include <kiln/data.h>
#include <kiln/io.h>
#include <kiln/nn.h>
#include <math.h>

#define BAD(code, text, ...)                                                                                          \
    do {                                                                                                              \
        KILN_SCOPE(k);                                                                                                \
        __VA_ARGS__;                                                                                                  \
        assert_error(k, KILN_E##code, text);                                                                          \
    } while (0)
#define W(...) (&(kiln_window){__VA_ARGS__})
#define RATE(...) kiln_schedule_rate((&(kiln_schedule){__VA_ARGS__}), step)

static void of_optimisers(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *step = kiln_scalar(k, KILN_F32, 3), *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2)), *out[1];
    kiln_optimizer *o = kiln_sgd(k, -0.1, 0); /* uphill may be meant */
    assert_ok(k);
    BAD(VALUE, "sgd: the rate is nan;", kiln_sgd(k, NAN, 0));
    BAD(VALUE, "sgd: the rate is inf;", kiln_sgd(k, INFINITY, 0));
    BAD(VALUE, "sgd: the momentum is -1;", kiln_sgd(k, 0.1, -1));
    BAD(VALUE, "sgd: the momentum is 1.5;", kiln_sgd(k, 0.1, 1.5));
    BAD(VALUE, "sgd: the momentum is nan;", kiln_sgd(k, 0.1, NAN));
    BAD(VALUE, "adam: the rate is nan;", kiln_adam(k, NAN));
    BAD(VALUE, "adam: beta1 is 1;", kiln_adam_at(KILN_HERE, k, 0.1, 1, 0.9, 0));
    BAD(VALUE, "adam: beta2 is 1;", kiln_adam_at(KILN_HERE, k, 0.1, 0.9, 1, 0));
    BAD(VALUE, "adam: beta2 is -0.5;", kiln_adam_at(KILN_HERE, k, 0.1, 0.9, -0.5, 0));
    BAD(VALUE, "adam: beta1 is nan;", kiln_adam_at(KILN_HERE, k, 0.1, NAN, 0.9, 0));
    BAD(VALUE, "adam: epsilon is -1;", kiln_adam_at(KILN_HERE, k, 0.1, 0, 0, -1));
    BAD(VALUE, "adam: epsilon is inf;", kiln_adam_at(KILN_HERE, k, 0.1, 0, 0, INFINITY));
    BAD(VALUE, "schedule: rate", RATE(.rate = NAN));
    BAD(VALUE, "schedule: rate", RATE(.rate = -1));
    BAD(VALUE, "schedule: steps", RATE(.kind = KILN_RATE_COSINE, .rate = 0.1));
    BAD(VALUE, "schedule: steps", RATE(.kind = KILN_RATE_LINEAR, .rate = 0.1, .steps = -4));
    BAD(VALUE, "schedule: decay", RATE(.kind = KILN_RATE_EXPONENTIAL, .rate = 0.1, .steps = 4));
    BAD(VALUE, "schedule: least", RATE(.kind = KILN_RATE_LINEAR, .rate = 0.1, .steps = 4, .least = NAN));
    BAD(VALUE, "schedule: warmup", RATE(.rate = 0.1, .warmup = -1));
    BAD(VALUE, "schedule: the boundaries", RATE(.kind = KILN_RATE_PIECEWISE, .rate = 1, .boundary = {-3}));
    BAD(VALUE, "schedule: the boundaries", RATE(.kind = KILN_RATE_PIECEWISE, .rate = 1, .boundary = {3, -3}));
    BAD(VALUE, "schedule: steps", kiln_optimizer_schedule(o, &(kiln_schedule){.kind = KILN_RATE_COSINE, .rate = 0.1}));
    BAD(VALUE, "clipping: the largest value is -1", kiln_optimizer_clip(o, &(kiln_clipping){.value = -1}));
    BAD(VALUE, "clipping: the largest norm", kiln_optimizer_clip(o, &(kiln_clipping){.norm = NAN}));
    BAD(VALUE, "clipping: the largest norm", kiln_optimizer_clip(o, &(kiln_clipping){.global_norm = -2}));
    BAD(VALUE, "clip_by_norm: the largest norm", kiln_clip_by_norm(x, -1));
    BAD(VALUE, "clip_by_global_norm: the largest norm", kiln_clip_by_global_norm(KILN_IN(x), NAN, out));
}

static void of_draws(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(4));
    kiln_variable *g = kiln_generator(k, 1);
#define U(t, lo, hi) kiln_uniform(g, KILN_##t, KILN_SHAPE(4), lo, hi)
#define N(t, mean, deviation) kiln_normal(g, KILN_##t, KILN_SHAPE(4), mean, deviation)
    BAD(VALUE, "uniform: the upper bound is 1e+06, beyond the largest", U(F16, 0, 1e6));
    BAD(VALUE, "uniform: the lower bound is -1e+06, beyond the largest", U(F16, -1e6, 0));
    BAD(VALUE, "uniform: the upper bound is 1e+300,", U(F32, 0, 1e300));
    BAD(VALUE, "uniform: the lower bound is nan,", U(F32, NAN, 1));
    BAD(VALUE, "uniform: the bounds are 1 and 1;", U(F32, 1, 1));
    BAD(VALUE, "uniform: the bounds are 2 and 1;", U(F32, 2, 1));
    BAD(VALUE, "uniform: there is no f32 from 1.000000000001", U(F32, 1 + 1e-12, 1 + 2e-12));
    BAD(VALUE, "uniform: there is no f16 from 2049", U(F16, 2049, 2049.5));
    BAD(VALUE, "and their difference finite", U(F64, -1e308, 1e308));
    BAD(VALUE, "normal: the mean is 1e+06, beyond the largest", N(F16, 1e6, 1));
    BAD(VALUE, "normal: the deviation is 1e+06, beyond the largest", N(F16, 0, 1e6));
    BAD(VALUE, "normal: the mean is nan,", N(F32, NAN, 1));
    BAD(VALUE, "normal: the deviation is inf, which is not a finite", N(F32, 0, INFINITY));
    BAD(VALUE, "normal: the deviation is -1;", N(F32, 0, -1));
    BAD(VALUE, "dropout: the rate is 1.5;", kiln_dropout(x, 1.5, g));
    BAD(VALUE, "dropout: the rate is nan;", kiln_dropout(x, NAN, g));
    BAD(VALUE, "dropout: the rate is -1;", kiln_dropout(x, -1, g));
    uint64_t now[2];
    kiln_read(g, now, sizeof now);
    assert_int_equal(now[1], 0); /* none of them drew */
    double v[4];
    kiln_read_doubles(U(F16, 65472, 65504), v, 4); /* one number */
    for (int i = 0; i < 4; i++) assert_float_equal(v[i], 65472, 0);
    assert_ok(k);
}

static kiln_variable *generator;
KILN_FUNCTION(dropped, k, x, rate) { return kiln_dropout(x, rate, generator); }

/* Its number is seen when the function runs only: clamped, and an error in a checked engine, both eagerly and compiled. */
static kiln_variable *generator;
static const struct Interval { kiln_dtype d; double lo, hi; } intervals[] = {
    {KILN_BF16, -65504, 65504}, {KILN_BF16, 0.7, 1}, {KILN_BF16, -0.1, 0.1}, {KILN_BF16, 0, 1}, {KILN_F16, -0.7, -0.3}, {KILN_F16, 0.1, 0.2},
    {KILN_F16, 0, 6e-8}, {KILN_F16, 0, 1}, {KILN_F32, 0, 1e-45}, {KILN_F32, 0, 4e-45}, {KILN_F32, 0, 0x1p-126}, {KILN_F32, 0.7, 0.70001},
    {KILN_F64, 0, 5e-324}, {KILN_F64, 0, 0x1p-1022}, {KILN_F64, -5e-324, 5e-324}, {KILN_F64, 0.1, 0.1 + 4e-17}};

static void draws_of(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const struct Interval *v = user;
    (void)k, (void)in;
    out[0] = kiln_cast(kiln_uniform(generator, v->d, KILN_SHAPE(4000), v->lo, v->hi), KILN_F64);
}

/* Also where rounding would lead out of the interval: its ends are not numbers of the dtype, or so small that few numbers lie within. */
static void draws_lie_in_their_interval(void **state)
{
    kiln *k = *state;
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        KILN_SCOPE(k);
        struct Interval v = intervals[i];
        kiln_tensor *x[2];
        for (int mode = 0; mode < 2; mode++) {
            generator = kiln_generator(k, 7);
            kiln_eager(k, mode == 0);
            x[mode] = kiln_call(kiln_function_new(k, draws_of, &v, &(kiln_function_options){.inputs_count = 0}));
        }
        assert_ok(k);
        const double *eager = kiln_data(x[0]), *traced = kiln_data(x[1]);
        for (int n = 0; n < 4000; n++)
            if (!(eager[n] >= v.lo && eager[n] < v.hi) || memcmp(&eager[n], &traced[n], sizeof *eager) != 0)
                fail_msg("%s from %.17g to %.17g: %.17g, traced %.17g", kiln_dtype_name(v.d), v.lo, v.hi, eager[n], traced[n]);
    }
    kiln_eager(k, false);
}

static void a_rate_that_is_a_tensor(void **state)
{
    (void)state;
    for (int checked = 0; checked < 2; checked++) {
        kiln *k = kiln_open(&(kiln_options){.checked = checked});
        {
            KILN_SCOPE(k);
            generator = kiln_generator(k, 1);
            for (int eager = 1; eager >= !front_has_llvm(); eager--) {
                const double rate[] = {0, 1, 1.5, -1, INFINITY}, want[] = {4, 0, 0, 4, 0};
                kiln_eager(k, eager);
                for (int i = 0; i < 5; i++) {
                    kiln_tensor *y = dropped(k, kiln_ones(k, KILN_F32, KILN_SHAPE(4)), kiln_scalar(k, KILN_F32, rate[i]));
                    if (checked && i > 1)
                        assert_error(k, KILN_EVALUE, "assert: the rate of a dropout is not in [0, 1]");
                    else
                        assert_float_equal(kiln_item(kiln_sum(y, KILN_ALL)), want[i], 0);
                }
            }
            assert_ok(k);
        }
        assert_int_equal(kiln_close(k), 0);
    }
}

KILN_FUNCTION(regions, k, x, rois, images) { return (void)k, kiln_roi_align(x, rois, images, &(kiln_region){.size = {2, 2}}); }

/* Bins of a region twice as large as x have four samples along each axis, where those of x itself would have two. */
static void a_region_that_is_too_large(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(1, 4, 4, 2)), *images = kiln_i64(k, KILN_SHAPE(1), 0);
    kiln_tensor *fits = kiln_f32(k, KILN_SHAPE(1, 4), 0, 0, 4, 4), *large = kiln_f32(k, KILN_SHAPE(1, 4), -4, -4, 4, 4);
    for (int eager = 1; eager >= !front_has_llvm(); eager--) {
        kiln_eager(k, eager);
        assert_float_equal(kiln_item(kiln_sum(regions(k, x, fits, images), KILN_ALL)), 8, 0);
        regions(k, x, large, images);
        assert_error(k, KILN_EVALUE, eager ? "roi_align: a region of roi_align has more samples" : "assert: a region of roi_align has more samples");
        assert_float_equal(kiln_item(kiln_sum(kiln_roi_align(x, large, images, &(kiln_region){.size = {2, 2}, .most = 4}), KILN_ALL)), 2 * 1.5625, 0);
    }
    kiln_eager(k, false);
    assert_ok(k);
}

static void of_the_rest(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 3)), *image = kiln_ones(k, KILN_F32, KILN_SHAPE(1, 4, 4, 2)),
                *filters = kiln_ones(k, KILN_F32, KILN_SHAPE(2, 2, 2, 2)), *images, *labels;
    kiln_axes fewer = {0, -2, {0}};
    BAD(SHAPE, "kiln_dim: axis 2 is out of range for rank 2 (allowed: -2 to 1)", kiln_dim(x, 2));
    BAD(SHAPE, "kiln_dim: axis -3 is out of range for rank 2 (allowed: -2 to 1)", kiln_dim(x, -3));
    BAD(SHAPE, "transpose: -2 axes", kiln_transpose(x, fewer));
    BAD(SHAPE, "sum: -2 axes", kiln_sum(x, fewer));
    BAD(VALUE, "layernorm: epsilon is inf", kiln_layernorm(x, NULL, NULL, INFINITY));
    BAD(VALUE, "layernorm: epsilon is -1", kiln_layernorm(x, NULL, NULL, -1));
    BAD(VALUE, "layernorm: epsilon is nan", kiln_layernorm(x, NULL, NULL, NAN));
    BAD(VALUE, "lstm: forget_bias is nan;", kiln_lstm_new_at(KILN_HERE, k, 2, 2, NULL, NAN));
    BAD(VALUE, "conv2d: the window size is 3, but the filters have 2", kiln_conv2d(image, filters, W(.size = {3, 2})));
    BAD(VALUE, "conv2d: the stride is -1", kiln_conv2d(image, filters, W(.stride = {-1, 1})));
    BAD(VALUE, "conv2d: the padding is -1", kiln_conv2d(image, filters, W(.pad = {{0, -1}})));
    BAD(VALUE, "conv2d: the number of groups is -1", kiln_conv2d(image, filters, W(.groups = -1)));
    BAD(VALUE, "max_pool: groups is 2", kiln_max_pool(image, W(.size = {2, 2}, .groups = 2)));
    BAD(VALUE, "avg_pool: groups is -4", kiln_avg_pool(image, W(.size = {2, 2}, .groups = -4)));
    BAD(VALUE, "max_pool: the window size is 0", kiln_max_pool(image, W(.size = {0, 2})));
    BAD(VALUE, "one_hot: classes is -1 (allowed: 0 to 2^48)", kiln_one_hot(kiln_i64(k, KILN_SHAPE(1), 0), -1, KILN_F32));
    BAD(VALUE, "assert_shape: the size asked for axis 0 is -2", kiln_assert_shape(x, KILN_SHAPE(-2, 3)));
    BAD(VALUE, "assert_close: the tolerance is -1", kiln_assert_close(x, x, -1));
    BAD(VALUE, "compare: seconds is -1;", kiln_compare(stdout, kiln_function_new(k, front_doubles, NULL, NULL), KILN_IN(x), (&(kiln_compare_options){.seconds = -1})));
    BAD(VALUE, "compare: seconds is nan;", kiln_compare(stdout, kiln_function_new(k, front_doubles, NULL, NULL), KILN_IN(x), (&(kiln_compare_options){.seconds = NAN})));
    BAD(SHAPE, "digits: axis 0 has size -1", kiln_digits(k, -1, 1, &images, &labels));
    BAD(VALUE, "batches: the batch size is 0;", kiln_batches(kiln_dataset_new(k, x, x), 0, 1));
    BAD(VALUE, "checkpoint: keep is -1", kiln_checkpoint_new(k, "/tmp/kiln-none", -1));
    kiln *other = kiln_open(&(kiln_options){.threads = -3});
    assert_error(other, KILN_EVALUE, "kiln_open: threads is -3;");
    assert_int_equal(kiln_close(other), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(of_optimisers), FRONT_TEST(of_draws), FRONT_TEST(draws_lie_in_their_interval), FRONT_TEST(a_rate_that_is_a_tensor),
        FRONT_TEST(a_region_that_is_too_large), FRONT_TEST(of_the_rest),
    };
    return cmocka_run_group_tests_name("parameters", tests, NULL, NULL);
}
