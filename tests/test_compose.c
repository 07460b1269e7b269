/* Convolution, pooling, composites, losses and random numbers, in eager code, against plain loops
 * and numbers from their formulas. */
#include "values.h"

#define S KILN_SHAPE

static void elementwise_composites(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(4), -2, 0, 0.5, 3);
    EXACTLY(kiln_relu(x), KILN_F32, S(4), 0, 0, 0.5, 3);
    EXACTLY(kiln_relu(kiln_f32(k, S(3), NAN, INFINITY, -INFINITY)), KILN_F32, S(3), NAN, INFINITY, 0);
    EXACTLY(kiln_div(1, kiln_relu(kiln_f32(k, S(2), -0.0, -1))), KILN_F32, S(2), INFINITY, INFINITY);
    EXACTLY(kiln_relu(kiln_i32(k, S(3), -5, 0, 5)), KILN_I32, S(3), 0, 0, 5);
    EXACTLY(kiln_relu(kiln_cast(kiln_i32(k, S(2), 7, 200), KILN_U8)), KILN_U8, S(2), 7, 200);
    EXACTLY(kiln_relu(kiln_less(x, 0)), KILN_BOOL, S(4), 1, 0, 0, 0);
    NEAR(kiln_sigmoid(x), KILN_F32, S(4), 1 / (1 + exp(2)), 0.5, 1 / (1 + exp(-0.5)),
        1 / (1 + exp(-3)));
    NEAR(kiln_silu(x), KILN_F32, S(4), -2 / (1 + exp(2)), 0, 0.5 / (1 + exp(-0.5)),
        3 / (1 + exp(-3)));
    NEAR(kiln_softplus(x), KILN_F32, S(4), log1p(exp(-2)), log(2), log1p(exp(0.5)), log1p(exp(3)));
    NEAR(kiln_softplus(kiln_f32(k, S(2), 1000, -1000)), KILN_F32, S(2), 1000, 0);
    NEAR(kiln_gelu(x), KILN_F32, S(4), -1 - erf(-sqrt(2)), 0, 0.25 * (1 + erf(0.5 / sqrt(2))),
        1.5 * (1 + erf(3 / sqrt(2))));
    NEAR(kiln_gelu_tanh(kiln_f32(k, S(1), 0.5)), KILN_F32, S(1),
        0.25 * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (0.5 + 0.044715 * 0.125))));
    EXACTLY(kiln_reciprocal(kiln_f32(k, S(2), 4, 0)), KILN_F32, S(2), 0.25, INFINITY);
    EXACTLY(kiln_rsqrt(kiln_f32(k, S(1), 4)), KILN_F32, S(1), 0.5);
    EXACTLY(kiln_clip(x, -1, 1), KILN_F32, S(4), -1, 0, 0.5, 1);
    EXACTLY(kiln_clip(kiln_i32(k, S(3), -5, 1, 5), 0, 3), KILN_I32, S(3), 0, 1, 3);
    EXACTLY(kiln_isnan(kiln_f32(k, S(3), 1, NAN, INFINITY)), KILN_BOOL, S(3), 0, 1, 0);
    EXACTLY(kiln_isfinite(kiln_f32(k, S(3), 1, NAN, -INFINITY)), KILN_BOOL, S(3), 1, 0, 0);
    EXACTLY(kiln_zeros_like(x), KILN_F32, S(4), 0, 0, 0, 0);
    EXACTLY(kiln_ones_like(kiln_less(x, 0)), KILN_BOOL, S(4), 1, 1, 1, 1);
    EXACTLY(kiln_stop_gradient(x), KILN_F32, S(4), -2, 0, 0.5, 3);
    EXACTLY(kiln_norm(kiln_f32(k, S(1, 2), 3, 4)), KILN_F32, S(), 5);
    FAILS(kiln_sigmoid(kiln_i32(k, S(1), 1)), KILN_EDTYPE,
        "sigmoid: needs floats, use kiln_cast: i32[1]");
}

static void softmax_and_kin(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2, 2), 0, 1, 1000, 1000);
    double a = 1 / (1 + exp(1));
    NEAR(kiln_softmax(x, 1), KILN_F32, S(2, 2), a, 1 - a, 0.5, 0.5);
    NEAR(kiln_softmax(x, -2), KILN_F32, S(2, 2), 0, 0, 1, 1);
    NEAR(kiln_log_softmax(x, 1), KILN_F32, S(2, 2), log(a), log(1 - a), log(0.5), log(0.5));
    NEAR(kiln_logsumexp(x, 1), KILN_F32, S(2), log(1 + exp(1)), 1000 + log(2));
    EXACTLY(kiln_logsumexp(kiln_f32(k, S(2, 2), -INFINITY, -INFINITY, INFINITY, 1), 1), KILN_F32,
        S(2), -INFINITY, INFINITY);
    FAILS(kiln_softmax(x, 2), KILN_ESHAPE, "softmax: axis 2 is out of range for rank 2 (allowed: -2 to 1)");
    FAILS(kiln_log_softmax(kiln_i32(k, S(1), 1), 0), KILN_EDTYPE,
        "log_softmax: needs floats, use kiln_cast: i32[1]");
}

static void layer_normalisation(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2, 2), 1, 3, -4, 4), *scale = kiln_f32(k, S(2), 1, 2),
                *shift = kiln_f32(k, S(2), 0, 10);
    double a = 1 / sqrt(1 + 1e-5), b = 4 / sqrt(16 + 1e-5);
    NEAR(kiln_layernorm(x, NULL, NULL, 0), KILN_F32, S(2, 2), -a, a, -b, b);
    NEAR(kiln_layernorm(x, scale, shift, 0), KILN_F32, S(2, 2), -a, 10 + 2 * a, -b, 10 + 2 * b);
    NEAR(kiln_layernorm(x, NULL, shift, 3.0), KILN_F32, S(2, 2), -0.5, 10.5, -4 / sqrt(19),
        10 + 4 / sqrt(19));
    FAILS(kiln_layernorm(x, kiln_f32(k, S(1), 1), NULL, 0), KILN_ESHAPE,
        "layernorm: scale and shift must have the size of the last axis: f32[2,2] x f32[1]");
}

static void losses(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_f32(k, S(2, 3), 1, 2, 3, 0, 0, 1000), *y = kiln_i64(k, S(2), 2, 0);
    double first = log(1 + exp(-1) + exp(-2));
    NEAR(kiln_mse(x, 0), KILN_F32, S(), (1 + 4 + 9 + 1e6) / 6);
    EXACTLY(kiln_mse(kiln_f32(k, S(2), 1, 2), kiln_f32(k, S(2), 3, 5)), KILN_F32, S(), 6.5);
    NEAR(kiln_cross_entropy(x, y), KILN_F32, S(), (first + 1000) / 2);
    NEAR(kiln_cross_entropy(x, kiln_one_hot(y, 3, KILN_F32)), KILN_F32, S(), (first + 1000) / 2);
    FAILS(kiln_cross_entropy(x, kiln_i64(k, S(3), 0, 1, 2)), KILN_ESHAPE,
        "cross_entropy: needs logits [n, classes] and labels, integers [n] or probabilities [n, "
        "classes]: f32[2,3] x i64[3]");
    FAILS(
        kiln_mse(kiln_i32(k, S(1), 1), 0), KILN_EDTYPE, "mse: needs floats, use kiln_cast: i32[1]");
}

/* ---- windows -------------------------------------------------------------------------------- */

typedef struct Image {
    int n, h, w, c;
    float *at;
} Image;

static float pixel(const Image *x, int n, int i, int j, int c)
{
    if (i < 0 || j < 0 || i >= x->h || j >= x->w) return 0;
    return x->at[((n * x->h + i) * x->w + j) * x->c + c];
}

/* Small integers: sums are exact in any order. */
static void fill(float *at, int n, int seed)
{
    for (int i = 0; i < n; i++) at[i] = (float)((i * 7 + seed * 13 + i * i % 5) % 9 - 4);
}

static void convolve(const Image *x, const float *f, int kh, int kw, int o, const kiln_window *w,
    int oh, int ow, float *out)
{
    int groups = w->groups ? (int)w->groups : 1, cg = x->c / groups, og = o / groups;
    int sh = w->stride[0] ? (int)w->stride[0] : 1, sw = w->stride[1] ? (int)w->stride[1] : 1;
    int dh = w->dilation[0] ? (int)w->dilation[0] : 1,
        dw = w->dilation[1] ? (int)w->dilation[1] : 1;
    for (int at = 0; at < x->n * oh * ow * o; at++) {
        int q = at % o, j = at / o % ow, i = at / o / ow % oh, n = at / o / ow / oh;
        float sum = 0;
        for (int a = 0; a < kh; a++)
            for (int b = 0; b < kw; b++)
                for (int c = 0; c < cg; c++)
                    sum += f[((a * kw + b) * cg + c) * o + q] *
                           pixel(x, n, i * sh + a * dh - (int)w->pad[0][0],
                               j * sw + b * dw - (int)w->pad[1][0], q / og * cg + c);
        out[at] = sum;
    }
}

static void check_convolution(
    int c, int o, int kh, int kw, const kiln_window *w, int oh, int ow, const kiln_window *plain)
{
    KILN_SCOPE(k);
    float x[2 * 7 * 6 * 4], f[256], want[2 * 7 * 6 * 8];
    Image image = {2, 7, 6, c, x};
    int groups = w != NULL && w->groups ? (int)w->groups : 1;
    fill(x, 2 * 7 * 6 * c, 1);
    fill(f, kh * kw * c / groups * o, 2);
    convolve(&image, f, kh, kw, o, plain, oh, ow, want);
    kiln_tensor *xt = kiln_from(k, KILN_F32, S(2, 7, 6, c), x, 2 * 7 * 6 * c);
    kiln_tensor *ft = kiln_from(k, KILN_F32, S(kh, kw, c / groups, o), f, kh * kw * c / groups * o);
    kiln_tensor *y = kiln_conv2d(xt, ft, w);
    has_shape(y, KILN_F32, S(2, oh, ow, o));
    assert_memory_equal(kiln_data(y), want, (size_t)(2 * oh * ow * o) * sizeof *want);
}

static void convolutions(void **state)
{
    (void)state;
    kiln_window none = {0}, w = {.stride = {2, 1}, .pad = {{1, 2}, {0, 1}}},
                d = {.dilation = {2, 2}};
    check_convolution(3, 4, 3, 2, NULL, 5, 5, &none);
    check_convolution(3, 4, 1, 1, NULL, 7, 6, &none);
    check_convolution(3, 2, 3, 3, &w, 4, 5, &w);
    check_convolution(2, 2, 2, 2, &d, 5, 4, &d);
    /* same, stride 2: 7 -> 4 needs 2 rows more (1 each side), 6 -> 3 one column more, after. */
    check_convolution(1, 2, 3, 3, &(kiln_window){.same = true, .stride = {2, 2}}, 4, 3,
        &(kiln_window){.stride = {2, 2}, .pad = {{1, 1}, {0, 1}}});
    check_convolution(
        4, 4, 3, 3, &(kiln_window){.same = true}, 7, 6, &(kiln_window){.pad = {{1, 1}, {1, 1}}});
    kiln_window g = {.groups = 2}, depthwise = {.groups = 4, .pad = {{1, 1}, {1, 1}}};
    check_convolution(4, 6, 3, 2, &g, 5, 5, &g);
    check_convolution(4, 8, 3, 3, &depthwise, 7, 6, &depthwise);
}

static void pooling(void **state)
{
    (void)state;
    kiln_tensor *x =
        kiln_reshape(kiln_f32(k, S(9), -1, -2, -3, -4, -5, -6, -7, -8, -9), S(1, 3, 3, 1));
    EXACTLY(kiln_max_pool(x, &(kiln_window){.size = {2, 2}}), KILN_F32, S(1, 1, 1, 1), -1);
    EXACTLY(kiln_max_pool(x, &(kiln_window){.size = {2, 2}, .stride = {1, 1}}), KILN_F32,
        S(1, 2, 2, 1), -1, -2, -4, -5);
    EXACTLY(kiln_max_pool(x, &(kiln_window){.size = {2, 2}, .same = true}), KILN_F32, S(1, 2, 2, 1),
        -1, -3, -7, -9);
    EXACTLY(kiln_avg_pool(x, &(kiln_window){.size = {2, 2}, .stride = {1, 1}}), KILN_F32,
        S(1, 2, 2, 1), -3, -4, -6, -7);
    EXACTLY(kiln_avg_pool(x, &(kiln_window){.size = {2, 2}, .same = true}), KILN_F32, S(1, 2, 2, 1),
        -3, -4.5, -7.5, -9);
    EXACTLY(kiln_avg_pool(x, &(kiln_window){.size = {3, 3}}), KILN_F32, S(1, 1, 1, 1), -5);
    EXACTLY(kiln_max_pool(kiln_cast(x, KILN_I32), &(kiln_window){.size = {2, 2}, .same = true}),
        KILN_I32, S(1, 2, 2, 1), -1, -3, -7, -9);
}

static void window_errors(void **state)
{
    (void)state;
    kiln_tensor *x = kiln_ones(k, KILN_F32, S(1, 3, 3, 2)),
                *f = kiln_ones(k, KILN_F32, S(4, 3, 2, 1));
    FAILS(kiln_conv2d(x, f, NULL), KILN_ESHAPE,
        "conv2d: a window of 4 elements (size 4, dilation 1) is larger than axis 1 with its "
        "padding: f32[1,3,3,2]");
    FAILS(kiln_conv2d(x, kiln_ones(k, KILN_F32, S(2, 2, 3, 1)), NULL), KILN_ESHAPE,
        "conv2d: channels do not fit: images are channels last, [n, height, width, channels], filters [height, width, channels / groups, out], with 1 group: f32[1,3,3,2] x f32[2,2,3,1]");
    FAILS(kiln_conv2d(x, f, &(kiln_window){.stride = {-1, 1}, .pad = {{1, 0}}}), KILN_EVALUE,
        "conv2d: the stride is -1 (allowed: 1 to 2^48)");
    FAILS(kiln_conv2d(x, f, &(kiln_window){.dilation = {1, -3}, .pad = {{1, 0}}}), KILN_EVALUE,
        "conv2d: the dilation is -3 (allowed: 1 to 2^48)");
    FAILS(
        kiln_conv2d(x, f, &(kiln_window){.pad = {{-1, 0}}}), KILN_EVALUE, "conv2d: the padding is -1 (allowed: 0 to 2^48)");
    FAILS(kiln_conv2d(x, f, &(kiln_window){.groups = -2}), KILN_EVALUE,
        "conv2d: the number of groups is -2 (allowed: 1 to 2^48)");
    FAILS(kiln_conv2d(kiln_ones(k, KILN_F32, S(3, 3)), f, NULL), KILN_ESHAPE,
        "conv2d: needs images, channels last: [n, height, width, channels]: f32[3,3]");
    FAILS(kiln_conv2d(kiln_ones(k, KILN_I32, S(1, 3, 3, 1)), f, NULL), KILN_EDTYPE,
        "conv2d: needs floats, use kiln_cast: i32[1,3,3,1] x f32[4,3,2,1]");
    FAILS(kiln_max_pool(x, NULL), KILN_EVALUE,
        "max_pool: the window size is 0 (allowed: 1 to 2^48)");
    FAILS(kiln_avg_pool(kiln_ones(k, KILN_I32, S(1, 3, 3, 1)), &(kiln_window){.size = {1, 1}}),
        KILN_EDTYPE, "avg_pool: needs floats, use kiln_cast: i32[1,3,3,1]");
}

/* ---- random --------------------------------------------------------------------------------- */

/* Known answer of Philox4x32-10: counter 0, key 0 (Salmon et al., Random123's kat_vectors). */
static void philox_known_answer(void **state)
{
    (void)state;
    const uint32_t want[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    kiln_tensor *bits = kiln_random_bits(kiln_zeros(k, KILN_U64, S(2)), S(4));
    has_shape(bits, KILN_U32, S(4));
    assert_memory_equal(kiln_data(bits), want, sizeof want);
    (void)kiln_random_bits(kiln_zeros(k, KILN_U64, S(3)), S(4));
    assert_int_equal(kiln_error(k)->code, KILN_ESHAPE);
    kiln_clear(k);
}

static void draws_advance_the_generator(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 7), *h = kiln_generator(k, 7);
    kiln_tensor *a = kiln_uniform(g, KILN_F32, S(1000), 0, 1),
                *b = kiln_uniform(g, KILN_F32, S(1000), 0, 1);
    kiln_tensor *c = kiln_uniform(h, KILN_F32, S(1000), 0, 1);
    EXACTLY(kiln_value(g), KILN_U64, S(2), 7, 2);
    EXACTLY(kiln_all(kiln_equal(a, c), KILN_ALL), KILN_BOOL, S(), 1);
    EXACTLY(
        kiln_less(kiln_sum(kiln_cast(kiln_equal(a, b), KILN_I32), KILN_ALL), 5), KILN_BOOL, S(), 1);
    EXACTLY(
        kiln_all(kiln_and(kiln_greater_equal(a, 0), kiln_less(a, 1)), KILN_ALL), KILN_BOOL, S(), 1);
}

static void moments(kiln_tensor *x, double mean, double variance)
{
    assert_false(kiln_failed(k));
    assert_float_equal(kiln_item(kiln_mean(kiln_cast(x, KILN_F64), KILN_ALL)), mean, 0.03);
    assert_float_equal(kiln_item(kiln_variance(kiln_cast(x, KILN_F64), KILN_ALL)), variance, 0.05);
}

static void distributions(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 1);
    const kiln_dtype types[] = {KILN_F32, KILN_F64, KILN_F16};
    for (int i = 0; i < 3; i++) {
        kiln_tensor *u = kiln_uniform(g, types[i], S(50, 400), 1, 2),
                    *z = kiln_normal(g, types[i], S(20001), 1, 0.5);
        has_shape(u, types[i], S(50, 400));
        has_shape(z, types[i], S(20001));
        moments(u, 1.5, 1.0 / 12);
        moments(z, 1, 0.25);
        assert_true(kiln_item(kiln_reduce_max(u, KILN_ALL)) < 2 &&
                    kiln_item(kiln_reduce_min(u, KILN_ALL)) >= 1);
        assert_true(kiln_item(kiln_all(kiln_isfinite(z), KILN_ALL)));
    }
    has_shape(kiln_normal(g, KILN_F32, S(0, 3), 0, 1), KILN_F32, S(0, 3));
    has_shape(kiln_normal(g, KILN_F32, S(), 0, 1), KILN_F32, S());
    FAILS(kiln_uniform(g, KILN_I32, S(1), 0, 1), KILN_EDTYPE,
        "uniform: needs a float dtype, not i32");
    FAILS(kiln_uniform(g, KILN_F32, S(1), 2, 1), KILN_EVALUE, "uniform: the bounds are 2 and 1; the lower must be smaller, and their difference finite");
    FAILS(kiln_normal(g, KILN_F32, S(1), 0, -1), KILN_EVALUE, "normal: the deviation is -1; it must be 0 or more");
    FAILS(kiln_normal(NULL, KILN_F32, S(1), 0, 1), KILN_EVALUE, "normal: the generator is NULL");
    kiln_variable *wrong = kiln_variable_new(k, "wrong", KILN_F32, 1.0);
    FAILS(kiln_uniform(wrong, KILN_F32, S(1), 0, 1), KILN_EVALUE,
        "uniform: the generator must be a u64[2] variable (kiln_generator)");
}

static void dropout(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 3), *rate = kiln_variable_new(k, "rate", KILN_F32, 0.25);
    kiln_tensor *x = kiln_full(k, KILN_F64, S(100, 100), 3);
    kiln_tensor *y = kiln_dropout(x, 0.25, g), *z = kiln_dropout(x, rate, g);
    has_shape(z, KILN_F64, S(100, 100));
    kiln_tensor *kept = kiln_equal(y, 4), *gone = kiln_equal(y, 0);
    EXACTLY(kiln_all(kiln_or(kept, gone), KILN_ALL), KILN_BOOL, S(), 1);
    assert_float_equal(kiln_item(kiln_mean(kiln_cast(gone, KILN_F32), KILN_ALL)), 0.25, 0.02);
    assert_float_equal(kiln_item(kiln_mean(z, KILN_ALL)), 3, 0.06);
    EXACTLY(kiln_all(kiln_equal(kiln_dropout(x, 0, g), x), KILN_ALL), KILN_BOOL, S(), 1);
    FAILS(kiln_dropout(x, 1, g), KILN_EVALUE, "dropout: the rate is 1; it must lie in [0, 1)");
    FAILS(kiln_dropout(x, kiln_f32(k, S(1), 0.5), g), KILN_ESHAPE,
        "dropout: the rate must be a float scalar, not f32[1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(elementwise_composites),
        ENGINE_TEST(softmax_and_kin),
        ENGINE_TEST(layer_normalisation),
        ENGINE_TEST(losses),
        ENGINE_TEST(convolutions),
        ENGINE_TEST(pooling),
        ENGINE_TEST(window_errors),
        ENGINE_TEST(philox_known_answer),
        ENGINE_TEST(draws_advance_the_generator),
        ENGINE_TEST(distributions),
        ENGINE_TEST(dropout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
