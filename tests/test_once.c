/* Composites of 16-bit floats compute wider and round once, and so do their gradients of first and second order: each is what f64 gives of
 * the same numbers, rounded. In f32 they hold as far out as f64 does. And the edges that are decided: empty windows, norms of zeros, rows
 * of minus infinities, rates of 1. Sweeps compare eager code, compiled code and the reference. */
#include "values.h"

#include <kiln/nn.h>
#include <stdio.h>
#include <stdlib.h>

#define S KILN_SHAPE
#define ROWS 3
#define COLUMNS 40

/* What is differentiated has other cotangents than ones, powers of two, so that nothing rounds here: 1/4, 1/2, 1, 2, 1/4 ... */
static kiln_tensor *weighted(kiln_tensor *y)
{
    if (kiln_rank(y) == 0) return kiln_mul(y, 0.5);
    kiln_tensor *i = kiln_mod(kiln_iota(k, KILN_F32, S(kiln_dim(y, -1)), 0), 4.0);
    return kiln_mul(y, kiln_cast(kiln_exp2(kiln_sub(i, 2.0)), kiln_dtype_of(y)));
}

static kiln_tensor *images(kiln_tensor *x) { return kiln_reshape(x, S(ROWS, 5, 4, 2)); }
static kiln_tensor *labels(void) { return kiln_i64(k, S(ROWS), 3, 0, 39); }
static kiln_tensor *ramp(kiln_tensor *x, double by)
{
    return kiln_cast(kiln_mul(kiln_sub(kiln_iota(k, KILN_F32, S(COLUMNS), 0), 7.0), by), kiln_dtype_of(x));
}
static kiln_tensor *probabilities(kiln_tensor *x)
{
    return kiln_cast(kiln_mul(kiln_mod(kiln_iota(k, KILN_F32, S(ROWS, COLUMNS), 1), 3.0), 1.0 / 64), kiln_dtype_of(x));
}
static kiln_tensor *gathered(kiln_tensor *x) /* each row many times over */
{
    return kiln_gather(x, kiln_cast(kiln_mod(kiln_iota(k, KILN_I32, S(90), 0), 3), KILN_I64), 0);
}

#define CASES(C)                                                                                                       \
    C(softmax, kiln_softmax(x, 1))                                                                                     \
    C(softmax_columns, kiln_softmax(x, 0))                                                                             \
    C(log_softmax, kiln_log_softmax(x, 1))                                                                             \
    C(logsumexp, kiln_logsumexp(x, 1))                                                                                 \
    C(layernorm, kiln_layernorm(x, NULL, NULL, 0))                                                                     \
    C(layernorm_scaled, kiln_layernorm(x, ramp(x, 0.125), ramp(x, 0.5), 1e-3))                                          \
    C(mse, kiln_mse(x, kiln_mul(kiln_zeros_like(x), 2.0)))                                                             \
    C(mse_number, kiln_mse(x, 0.3))                                                                                    \
    C(cross_entropy, kiln_cross_entropy(x, labels()))                                                                  \
    C(cross_entropy_soft, kiln_cross_entropy(x, probabilities(x)))                                                     \
    C(huber, kiln_huber(x, kiln_mul(kiln_zeros_like(x), 2.0), 0.7, KILN_LOSS_EACH))                                    \
    C(binary_entropy, kiln_binary_cross_entropy_with_logits(x, 0.3, NULL, KILN_LOSS_MEAN))                             \
    C(classes, kiln_softmax_cross_entropy(x, labels(), &(kiln_class_loss){.smoothing = 0.1}))                          \
    C(rmsnorm, kiln_rmsnorm(x, KILN_AXES(1), ramp(x, 0.125), 0))                                                       \
    C(batchnorm, kiln_batchnorm_training(x, NULL, ramp(x, 0.5), 1, 0, NULL, NULL))                                     \
    C(unit, kiln_normalize(x, 2, 1, 0))                                                                                \
    C(norm, kiln_norm(x))                                                                                              \
    C(mean, kiln_mean(x, KILN_AXES(1)))                                                                                \
    C(variance, kiln_variance(x, KILN_AXES(0)))                                                                        \
    C(avg_pool, kiln_avg_pool(images(x), &(kiln_window){.size = {2, 3}, .stride = {1, 1}}))                             \
    C(avg_pool_padded, kiln_avg_pool(images(x), &(kiln_window){.size = {3, 3}, .stride = {2, 1}, .same = true}))        \
    C(clip_by_norm, kiln_clip_by_norm(x, 0.75))                                                                        \
    C(rsqrt, kiln_rsqrt(kiln_abs(x)))                                                                                  \
    C(most, kiln_reduce_max(kiln_floor(x), KILN_AXES(1)))                                                           \
    C(gathered, gathered(x))                                                                                           \
    C(dropout, kiln_dropout(x, 0.3, kiln_generator(k, 3)))

typedef struct Case {
    const char *name;
    kiln_body *body;
} Case;
#define BODY(name, of_x)                                                                            \
    static void body_##name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)         \
    {                                                                                               \
        kiln_tensor *x = in[0];                                                                     \
        (void)e, (void)user;                                                                        \
        out[0] = weighted(of_x);                                                                    \
    }
CASES(BODY)
#define ENTRY(name, of_x) {#name, body_##name},
static const Case cases[] = {CASES(ENTRY)};
#define NCASES ((int)(sizeof cases / sizeof *cases))

static kiln_function *derivative(const Case *c, int order)
{
    kiln_function *f = kiln_function_new(k, c->body, NULL, &(kiln_function_options){.inputs_count = 1, .outputs = 1});
    for (int i = 0; i < order; i++) f = kiln_grad(f);
    return f;
}

static kiln_tensor *eagerly(kiln_function *f, kiln_tensor *x)
{
    kiln_eager(k, true);
    kiln_tensor *y = kiln_call(f, x);
    kiln_eager(k, false);
    return y;
}

typedef struct Judge {
    kiln_dtype dtype;
    double unit, least, beside, largest; /* half an ulp of 1, the step at 0, what the arithmetic loses of the largest term */
    int checked, failed;
} Judge;

static double largest(kiln_tensor *x)
{
    const double *v = kiln_data(kiln_cast(x, KILN_F64));
    double top = 0;
    for (int64_t i = 0; i < kiln_elements(x); i++)
        if (isfinite(v[i])) top = fmax(top, fabs(v[i]));
    return top;
}

/* size: of the terms that are added on the way, which may cancel. */
static void compare(Judge *j, const char *what, kiln_tensor *have, kiln_tensor *want, double size)
{
    const double *h = kiln_data(kiln_cast(have, KILN_F64)), *w = kiln_data(want);
    const double top = fmax(size, largest(want));
    for (int64_t i = 0; i < kiln_elements(want); i++) {
        j->checked++;
        if (h[i] == w[i] || (isnan(h[i]) && isnan(w[i])) || fabs(w[i]) > j->largest) continue;
        if (fabs(h[i] - w[i]) <= 1.02 * j->unit * fabs(w[i]) + j->least + j->beside * top) continue;
        if (j->failed++ < 20) print_error("%s %s [%lld]: %.9g, not %.9g\n", what, kiln_dtype_name(j->dtype), (long long)i, w[i], h[i]);
    }
}

static void one(Judge *j, const Case *c, int order, kiln_tensor *x, double spread)
{
    char what[80];
    snprintf(what, sizeof what, "%s, order %d", c->name, order);
    kiln_function *f = derivative(c, order);
    kiln_tensor *want = eagerly(f, kiln_cast(x, KILN_F64)), *eager = eagerly(f, x), *compiled = kiln_call(f, x);
    if (kiln_failed(k)) fail_msg("%s: %s", what, kiln_error(k)->text);
    assert_int_equal(kiln_dtype_of(eager), j->dtype);
    double size = largest(eagerly(derivative(c, 0), kiln_cast(x, KILN_F64))) * pow(fmax(1, 1 / spread), order);
    compare(j, what, eager, want, size);
    kiln_tensor *same = kiln_or(kiln_eq(eager, compiled), kiln_and(kiln_isnan(eager), kiln_isnan(compiled)));
    if (kiln_item(kiln_all(same, KILN_ALL)) == 0) {
        j->failed++;
        print_error("%s %s: compiled code differs\n", what, kiln_dtype_name(j->dtype));
    }
    if (order == 2 && !kiln_check(NULL, f, &x, 1)) { /* its graph has what it is the derivative of, too */
        j->failed++;
        print_error("%s %s: eager code, compiled code and the reference disagree\n", what, kiln_dtype_name(j->dtype));
        kiln_check(stderr, f, &x, 1);
        if (kiln_failed(k)) fail_msg("%s: %s", what, kiln_error(k)->text);
    }
}

static void sweep(const Case *c, Judge *j, double scale, double offset)
{
    for (int order = 0; order < 3; order++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_normal(kiln_generator(k, 11), KILN_F32, S(ROWS, COLUMNS), offset, scale);
        one(j, c, order, kiln_cast(x, j->dtype), scale);
    }
}

static void rounds_once(void **state)
{
    (void)state;
    Judge f16 = {KILN_F16, 0x1p-11, 0x1p-25, 4e-6, 65504, 0, 0}, bf16 = {KILN_BF16, 0x1p-8, 0x1p-133, 4e-6, 3e38, 0, 0};
    for (int n = 0; n < NCASES; n++) {
        sweep(&cases[n], &f16, 1, 0);
        sweep(&cases[n], &f16, 2, 500);
        sweep(&cases[n], &bf16, 3, 1000);
        if (!getenv("KILN_TEST_FULL")) continue;
        sweep(&cases[n], &f16, 60, 0);
        sweep(&cases[n], &bf16, 1, 0);
        sweep(&cases[n], &bf16, 1e4, 0);
    }
    printf("    %d composites: %d elements compared, %d wrong\n", NCASES, f16.checked + bf16.checked, f16.failed + bf16.failed);
    assert_int_equal(f16.failed + bf16.failed, 0);
}

/* What f64 gives f32 gives as well, however large or small the elements. */
static void far_out(void **state)
{
    (void)state;
    Judge f32 = {KILN_F32, 0x1p-24, 1e-37, 1e-4, 3e38, 0, 0};
    const double scale[] = {1e-20, 0.1, 89, 9, 1e4};
    for (int n = 0; n < NCASES; n++)
        for (size_t i = 0; i < sizeof scale / sizeof *scale; i += getenv("KILN_TEST_FULL") ? 1 : 2) sweep(&cases[n], &f32, scale[i], 0);
    for (int n = 0; n < NCASES; n++)
        if (strcmp(cases[n].name, "norm") == 0 || strcmp(cases[n].name, "clip_by_norm") == 0) {
            sweep(&cases[n], &f32, 1e-30, 0);
            sweep(&cases[n], &f32, 1e25, 0);
        }
    printf("    %d elements compared, %d wrong\n", f32.checked, f32.failed);
    assert_int_equal(f32.failed, 0);
}

/* ---- edges ---------------------------------------------------------------------------------- */

static kiln_tensor *gradient_of(kiln_tensor *(*f)(kiln_tensor *x), kiln_tensor *x)
{
    KILN_TAPE(k, tape);
    kiln_watch(tape, x);
    return kiln_gradient(tape, f(x), x);
}

#define F(name, of_x) \
    static kiln_tensor *name(kiln_tensor *x) { return of_x; }
F(norm, kiln_norm(x))
F(clipped, kiln_clip_by_norm(x, 2))
F(logsumexp, kiln_logsumexp(x, 1))
F(relu, kiln_relu(x))
F(dropped, kiln_dropout(x, kiln_scalar(k, KILN_F32, 1), kiln_generator(k, 1)))
F(cross_entropy, kiln_cross_entropy(x, kiln_f32(k, S(1, 3), 0, 0.5, 0.5)))
F(averages, kiln_avg_pool(x, &(kiln_window){.size = {1, 2}, .stride = {1, 2}, .pad = {{0, 0}, {2, 2}}}))
F(maxima, kiln_max_pool(x, &(kiln_window){.size = {1, 2}, .stride = {1, 2}, .pad = {{0, 0}, {2, 2}}}))

static void norms(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *zero = kiln_zeros(k, KILN_F32, S(2));
    EXACTLY(norm(zero), KILN_F32, S(), 0);
    EXACTLY(gradient_of(norm, zero), KILN_F32, S(2), 0, 0);
    EXACTLY(gradient_of(clipped, zero), KILN_F32, S(2), 1, 1);
    EXACTLY(norm(kiln_zeros(k, KILN_F32, S(0))), KILN_F32, S(), 0);
    kiln_tensor *far = kiln_f32(k, S(2), 3e20, -4e20), *tiny = kiln_f32(k, S(2), 3e-30, 4e-30);
    NEAR(kiln_div(norm(far), 1e20), KILN_F32, S(), 5);
    NEAR(gradient_of(norm, far), KILN_F32, S(2), 0.6, -0.8);
    NEAR(kiln_mul(norm(tiny), 1e30), KILN_F32, S(), 5);
    NEAR(gradient_of(norm, tiny), KILN_F32, S(2), 0.6, 0.8);
    NEAR(clipped(far), KILN_F32, S(2), 1.2, -1.6);
    EXACTLY(norm(kiln_cast(kiln_f32(k, S(2), 0x3p+68, 0x4p+68), KILN_BF16)), KILN_BF16, S(), 0x5p+68);
}

static void infinities(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *none = kiln_full(k, KILN_F32, S(1, 3), -INFINITY), *some = kiln_f32(k, S(1, 3), -INFINITY, 0, 0);
    EXACTLY(logsumexp(none), KILN_F32, S(1), -INFINITY);
    EXACTLY(gradient_of(logsumexp, none), KILN_F32, S(1, 3), 0, 0, 0);
    NEAR(gradient_of(logsumexp, some), KILN_F32, S(1, 3), 0, 0.5, 0.5);
    EXACTLY(kiln_softmax(none, 1), KILN_F32, S(1, 3), NAN, NAN, NAN);
    EXACTLY(kiln_softmax(some, 1), KILN_F32, S(1, 3), 0, 0.5, 0.5);
    NEAR(cross_entropy(some), KILN_F32, S(), log(2)); /* a class that is impossible and does not happen */
    NEAR(gradient_of(cross_entropy, some), KILN_F32, S(1, 3), 0, 0, 0);
    kiln_tensor *odd = kiln_f32(k, S(4), NAN, INFINITY, -INFINITY, -0.0);
    EXACTLY(relu(odd), KILN_F32, S(4), NAN, INFINITY, 0, 0);
    EXACTLY(gradient_of(relu, odd), KILN_F32, S(4), 1, 1, 0, 0);
}

/* Windows that cover nothing but padding: the first and the last. */
static void empty_windows(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, S(1, 1, 4, 1), 1, 3, 5, 9);
    EXACTLY(averages(x), KILN_F32, S(1, 1, 4, 1), NAN, 2, 7, NAN);
    EXACTLY(gradient_of(averages, x), KILN_F32, S(1, 1, 4, 1), 0.5, 0.5, 0.5, 0.5);
    EXACTLY(maxima(x), KILN_F32, S(1, 1, 4, 1), -INFINITY, 3, 9, -INFINITY);
    EXACTLY(gradient_of(maxima, x), KILN_F32, S(1, 1, 4, 1), 0, 1, 0, 1);
    EXACTLY(maxima(kiln_cast(x, KILN_I8)), KILN_I8, S(1, 1, 4, 1), -128, 3, 9, -128);
}

static void nothing_kept(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, S(3), 1, -2, 3), *rate = kiln_scalar(k, KILN_F32, 1);
    EXACTLY(dropped(x), KILN_F32, S(3), 0, 0, 0);
    EXACTLY(gradient_of(dropped, x), KILN_F32, S(3), 0, 0, 0);
    KILN_TAPE(k, tape);
    kiln_watch(tape, rate);
    kiln_tensor *y = kiln_dropout(x, rate, kiln_generator(k, 1));
    EXACTLY(kiln_gradient(tape, y, rate), KILN_F32, S(), 0);
}

/* Gates far out: all gradients are finite, of both layers. */
static void saturated_gates(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_variable *random = kiln_generator(k, 5), *v[4];
    kiln_recurrent *layer[] = {kiln_gru_new(k, 3, 4, random), kiln_lstm_new(k, 3, 4, random), kiln_rnn_new(k, 3, 4, random)};
    const double sizes[] = {9, 89, 500, 1e4, 1e20};
    for (int l = 0; l < 3; l++)
        for (int i = 0; i < 5; i++) {
            KILN_SCOPE(k);
            KILN_TAPE_PERSISTENT(k, tape);
            kiln_tensor *x = kiln_mul(kiln_normal(random, KILN_F32, S(3, 2, 3), 0, 1), sizes[i]);
            kiln_watch(tape, x);
            kiln_tensor *y = kiln_recurrent_apply(layer[l], x, NULL);
            assert_true(kiln_item(kiln_all(kiln_isfinite(kiln_gradient(tape, y, x)), KILN_ALL)) != 0);
            for (int n = kiln_recurrent_variables(layer[l], v, 4); n-- > 0;)
                assert_true(kiln_item(kiln_all(kiln_isfinite(kiln_gradient(tape, y, v[n])), KILN_ALL)) != 0);
        }
    for (int l = 0; l < 3; l++) kiln_recurrent_free(layer[l]);
}

/* ---- layers --------------------------------------------------------------------------------- */

/* Layers of every type; those of 16 bits give what f64 ones with the same weights do, rounded once. */
static void assign_cast(kiln_variable *to, kiln_variable *from, kiln_dtype d)
{
    kiln_assign(to, kiln_cast(kiln_cast(kiln_value(from), d), kiln_dtype_of(kiln_value(to))));
}

static void same_layer(Judge *j, const char *what, kiln_tensor *have, kiln_tensor *want)
{
    if (kiln_failed(k)) fail_msg("%s: %s", what, kiln_error(k)->text);
    assert_int_equal(kiln_dtype_of(have), j->dtype);
    compare(j, what, have, want, 1);
}

static void one_type(Judge *j)
{
    KILN_SCOPE(k);
    const kiln_dtype d = j->dtype;
    kiln_variable *g = kiln_generator(k, 4), *a[4], *b[4];
    kiln_tensor *x = kiln_cast(kiln_normal(g, KILN_F32, S(3, 2, 5), 0, 1), d), *wide = kiln_cast(x, KILN_F64);
    kiln_dense *dense = kiln_dense_new(k, d, 5, 4, g), *dense64 = kiln_dense_new(k, KILN_F64, 5, 4, g);
    kiln_assign(kiln_dense_bias(dense), 0.25);
    assign_cast(kiln_dense_weight(dense64), kiln_dense_weight(dense), d);
    assign_cast(kiln_dense_bias(dense64), kiln_dense_bias(dense), d);
    same_layer(j, "dense", kiln_dense_apply(dense, x), kiln_dense_apply(dense64, wide));
    kiln_window w = {.size = {2, 2}};
    kiln_conv *conv = kiln_conv_new(k, d, 5, 3, &w, g), *conv64 = kiln_conv_new(k, KILN_F64, 5, 3, &w, g);
    kiln_assign(kiln_conv_bias(conv), -0.5);
    assign_cast(kiln_conv_filters(conv64), kiln_conv_filters(conv), d);
    assign_cast(kiln_conv_bias(conv64), kiln_conv_bias(conv), d);
    same_layer(j, "conv", kiln_conv_apply(conv, kiln_expand(x, 0)), kiln_conv_apply(conv64, kiln_expand(wide, 0)));
    kiln_recurrent *l[] = {kiln_rnn_new(k, d, 5, 4, g), kiln_lstm_new(k, d, 5, 4, g), kiln_gru_new(k, d, 5, 4, g)},
                   *m[] = {kiln_rnn_new(k, KILN_F64, 5, 4, g), kiln_lstm_new(k, KILN_F64, 5, 4, g), kiln_gru_new(k, KILN_F64, 5, 4, g)};
    for (int i = 0; i < 3; i++) {
        int n = kiln_recurrent_variables(l[i], a, 4);
        kiln_recurrent_variables(m[i], b, 4);
        while (n-- > 0) assign_cast(b[n], a[n], d);
        same_layer(j, "recurrent", kiln_recurrent_apply(l[i], x, NULL), kiln_recurrent_apply(m[i], wide, NULL));
    }
    FAILS(kiln_dense_new(k, KILN_I32, 5, 4, g), KILN_EDTYPE, "dense: the dtype is i32; it must be a float");
}

static void layers_of_every_type(void **state)
{
    (void)state;
    Judge types[] = {{KILN_F16, 0x1p-11, 0x1p-25, 4e-6, 65504, 0, 0}, {KILN_BF16, 0x1p-8, 0x1p-133, 4e-6, 3e38, 0, 0},
        {KILN_F32, 0x1p-24, 0, 4e-6, 3e38, 0, 0}, {KILN_F64, 0x1p-53, 0, 1e-14, 1e308, 0, 0}};
    for (int i = 0; i < 4; i++) {
        one_type(&types[i]);
        assert_int_equal(types[i].failed, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(rounds_once), ENGINE_TEST(far_out), ENGINE_TEST(norms), ENGINE_TEST(infinities),
        ENGINE_TEST(empty_windows), ENGINE_TEST(nothing_kept), ENGINE_TEST(saturated_gates), ENGINE_TEST(layers_of_every_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
