/* test_called: an error bears the name of what the program called, whatever composite's inside it comes from: a table of wrong shapes,
 * dtypes and axes for every composite, eagerly and in a trace. */
#include "called.h"

#include <kiln/nn.h>

static void elementwise(Bad *x)
{
    BAD("square", DTYPE, kiln_square(x->b));
    BAD("reciprocal", DTYPE, kiln_reciprocal(x->i));
    BAD("rsqrt", DTYPE, kiln_rsqrt(x->i));
    BAD("relu", VALUE, kiln_relu(NULL));
    BAD("sigmoid", DTYPE, kiln_sigmoid(x->i));
    BAD("silu", DTYPE, kiln_silu(x->i));
    BAD("softplus", DTYPE, kiln_softplus(x->i));
    BAD("gelu", DTYPE, kiln_gelu(x->i));
    BAD("gelu_tanh", DTYPE, kiln_gelu_tanh(x->i));
    BAD("isnan", VALUE, kiln_isnan(NULL));
    BAD("isfinite", VALUE, kiln_isfinite(NULL));
    BAD("norm", DTYPE, kiln_norm(x->i));
    BAD("norm", VALUE, kiln_norm(NULL));
    BAD("zeros_like", VALUE, kiln_zeros_like(NULL));
    BAD("ones_like", VALUE, kiln_ones_like(2));
    BAD("stop_gradient", VALUE, kiln_stop_gradient(NULL));
    BAD("clip", SHAPE, kiln_clip(x->f, x->g, 1));
    BAD("clip", DTYPE, kiln_clip(x->f, 0, x->i));
    BAD("clip", DTYPE, kiln_clip(x->b, 0.5, 1));
    BAD("where", SHAPE, kiln_where(x->b, x->g, 0));
    BAD("where", DTYPE, kiln_where(x->i, x->f, 0));
    BAD("pow", DTYPE, kiln_pow(x->i, 2.5));
    BAD("add", SHAPE, kiln_add(x->f, x->g));
    BAD("cast", DTYPE, kiln_cast(x->f, (kiln_dtype)99));
    BAD("bitcast", DTYPE, kiln_bitcast(x->f, KILN_F64));
}

static void numeric(Bad *x)
{
    BAD("exp10", DTYPE, kiln_exp10(x->i));
    BAD("degrees", DTYPE, kiln_degrees(x->i));
    BAD("radians", DTYPE, kiln_radians(x->i));
    BAD("sinc", DTYPE, kiln_sinc(x->i));
    BAD("positive", DTYPE, kiln_positive(x->b));
    BAD("isinf", VALUE, kiln_isinf(NULL));
    BAD("isposinf", VALUE, kiln_isposinf(1));
    BAD("isneginf", VALUE, kiln_isneginf(NULL));
    BAD("signbit", DTYPE, kiln_signbit(x->b));
    BAD("popcount", DTYPE, kiln_popcount(x->f));
    BAD("fmax", DTYPE, kiln_fmax(x->f, x->i));
    BAD("fmin", SHAPE, kiln_fmin(x->f, x->g));
    BAD("fmin", VALUE, kiln_fmin(1, 2));
    BAD("xlogy", DTYPE, kiln_xlogy(x->i, x->f));
    BAD("trunc_div", DTYPE, kiln_trunc_div(x->i, 0.5));
    BAD("lerp", SHAPE, kiln_lerp(x->f, x->g, 0.5));
    BAD("nextafter", DTYPE, kiln_nextafter(x->i, 1));
    BAD("nextafter", SHAPE, kiln_nextafter(x->f, x->g));
    BAD("floor", DTYPE, kiln_floor(x->b));
}

static void activations(Bad *x)
{
    BAD("logsigmoid", DTYPE, kiln_logsigmoid(x->i));
    BAD("mish", DTYPE, kiln_mish(x->i));
    BAD("elu", DTYPE, kiln_elu(x->i, 1.0));
    BAD("elu", SHAPE, kiln_elu(x->f, x->g));
    BAD("selu", DTYPE, kiln_selu(x->i));
    BAD("celu", VALUE, kiln_celu(NULL, 1.0));
    BAD("leaky_relu", DTYPE, kiln_leaky_relu(x->f, x->i));
    BAD("leaky_relu", SHAPE, kiln_prelu(x->f, x->g));
    BAD("hardtanh", DTYPE, kiln_hardtanh(x->b, 0, 1));
    BAD("hardtanh", DTYPE, kiln_hardtanh(x->i, 0.5, 1));
    BAD("relu6", DTYPE, kiln_relu6(x->b));
    BAD("hardsigmoid", DTYPE, kiln_hardsigmoid(x->i, 1.0, 0.5));
    BAD("hardswish", DTYPE, kiln_hardswish(x->i));
    BAD("hardshrink", DTYPE, kiln_hardshrink(x->i, 0.5));
    BAD("softshrink", DTYPE, kiln_softshrink(x->i, 0.5));
    BAD("threshold", DTYPE, kiln_threshold(x->b, 0, 1));
}

static void reductions(Bad *x)
{
    BAD("sum", SHAPE, kiln_sum(x->f, KILN_AXES(2)));
    BAD("mean", SHAPE, kiln_mean(x->f, KILN_AXES(-3)));
    BAD("mean", DTYPE, kiln_mean(x->i, KILN_ALL));
    BAD("variance", SHAPE, kiln_variance(x->f, KILN_AXES(0, 0)));
    BAD("variance", DTYPE, kiln_variance(x->i, KILN_ALL));
    BAD("any", SHAPE, kiln_any(x->b, KILN_AXES(5)));
    BAD("all", SHAPE, kiln_all(x->b, KILN_AXES(5)));
    BAD("argmax", SHAPE, kiln_argmax(x->f, 2));
    BAD("softmax", SHAPE, kiln_softmax(x->f, 2));
    BAD("softmax", DTYPE, kiln_softmax(x->i, 0));
    BAD("log_softmax", SHAPE, kiln_log_softmax(x->s, 0));
    BAD("log_softmax", DTYPE, kiln_log_softmax(x->b, 0));
    BAD("logsumexp", SHAPE, kiln_logsumexp(x->f, -3));
    BAD("logsumexp", DTYPE, kiln_logsumexp(x->i, 0));
}

static void moves(Bad *x)
{
    BAD("stack", SHAPE, kiln_stack(KILN_IN(x->f, x->g), 0));
    BAD("stack", DTYPE, kiln_stack(KILN_IN(x->f, x->i), 0));
    BAD("stack", SHAPE, kiln_stack(KILN_IN(x->f, x->f), 4));
    BAD("concat", SHAPE, kiln_concat(KILN_IN(x->f, x->g), 0));
    BAD("concat", SHAPE, kiln_concat(KILN_IN(x->f, x->f), 2));
    BAD("flatten", SHAPE, kiln_flatten(x->s));
    BAD("squeeze", SHAPE, kiln_squeeze(x->f, 0));
    BAD("one_hot", DTYPE, kiln_one_hot(x->f, 3, KILN_F32));
    BAD("one_hot", VALUE, kiln_one_hot(x->i, -1, KILN_F32));
    BAD("one_hot", DTYPE, kiln_one_hot(x->i, 3, (kiln_dtype)-3));
    BAD("gather", DTYPE, kiln_gather(x->f, x->f, 0));
    BAD("assign_add", SHAPE, kiln_assign_add(x->v, x->g));
    BAD("assign_sub", DTYPE, kiln_assign_sub(x->v, x->i));
    BAD("assign_add", SHAPE, kiln_assign_add(x->v, kiln_zeros(x->k, KILN_F32, KILN_SHAPE(7, 2, 3))));
    BAD("assign", SHAPE, kiln_assign(x->v, x->g));
    BAD("assign_slice", SHAPE, kiln_assign_slice(x->v, KILN_STARTS(0), x->f));
    BAD("assign_slice", SHAPE, kiln_assign_slice(x->v, KILN_STARTS(0, 0), x->g));
    BAD("assign_slice", DTYPE, kiln_assign_slice(x->v, KILN_STARTS(0, 0), x->i));
    BAD("assign_slice", DTYPE, kiln_assign_slice(x->v, KILN_STARTS(0, x->s), 0.5));
    BAD("assign_add_slice", DTYPE, kiln_assign_add_slice(x->v, KILN_STARTS(x->s, 0), 0.5));
    BAD("matmul", SHAPE, kiln_matmul(x->f, x->g));
    BAD("matmul", SHAPE, kiln_matmul(x->s, x->g));
    BAD("matmul", DTYPE, kiln_matmul(x->f, x->i));
    BAD("matmul_to", SHAPE, kiln_matmul_to(x->i, kiln_zeros(x->k, KILN_I8, KILN_SHAPE(77, 2)), KILN_I32));
    BAD("matmul_to", DTYPE, kiln_matmul_to(x->i, x->f, KILN_I32));
}

static void losses(Bad *x)
{
    BAD("mse", SHAPE, kiln_mse(x->f, x->g));
    BAD("mse", DTYPE, kiln_mse(x->f, x->i));
    BAD("mse", VALUE, kiln_mse(x->h, 1e300));
    BAD("cross_entropy", SHAPE, kiln_cross_entropy(x->f, x->i));
    BAD("cross_entropy", SHAPE, kiln_cross_entropy(x->f, x->g));
    BAD("cross_entropy", DTYPE, kiln_cross_entropy(x->i, x->i));
    BAD("attention", SHAPE, kiln_attention(x->f, x->g, x->f, NULL));
    BAD("attention", DTYPE, kiln_attention(x->i, x->i, x->i, NULL));
    BAD("attention", VALUE, kiln_attention(x->f, x->f, x->f, &(kiln_attention_options){.cap = -1}));
    BAD("layernorm", SHAPE, kiln_layernorm(x->f, x->g, NULL, 0));
    BAD("layernorm", SHAPE, kiln_layernorm(x->s, NULL, NULL, 0));
    BAD("layernorm", DTYPE, kiln_layernorm(x->i, NULL, NULL, 0));
    BAD("layernorm", DTYPE, kiln_layernorm(x->f, NULL, kiln_zeros(x->k, KILN_I32, KILN_SHAPE(3)), 0));
    BAD("layernorm", VALUE, kiln_layernorm(x->f, NULL, NULL, -1));
    BAD("layernorm", VALUE, kiln_layernorm(x->h, 2, NULL, 0));
}

static void more_losses(Bad *x)
{
    const kiln_class_loss rough = {.smoothing = 1}, weighed = {.weight = x->g}, counted = {.weight = kiln_zeros(x->k, KILN_I32, KILN_SHAPE(3))};
    kiln_tensor *labels = kiln_zeros(x->k, KILN_I32, KILN_SHAPE(2));
    BAD("softmax_cross_entropy", SHAPE, kiln_softmax_cross_entropy(x->f, x->i, NULL));
    BAD("softmax_cross_entropy", SHAPE, kiln_softmax_cross_entropy(x->f, x->g, NULL));
    BAD("softmax_cross_entropy", SHAPE, kiln_softmax_cross_entropy(x->s, x->s, NULL));
    BAD("softmax_cross_entropy", SHAPE, kiln_softmax_cross_entropy(x->f, labels, &weighed));
    BAD("softmax_cross_entropy", SHAPE, kiln_softmax_cross_entropy(x->f, labels, &(kiln_class_loss){.axis = 2}));
    BAD("softmax_cross_entropy", DTYPE, kiln_softmax_cross_entropy(x->f, labels, &counted));
    BAD("softmax_cross_entropy", VALUE, kiln_softmax_cross_entropy(x->f, labels, &rough));
    BAD("nll", DTYPE, kiln_nll(x->i, labels, NULL));
    BAD("nll", VALUE, kiln_nll(x->f, labels, &(kiln_class_loss){.how = (kiln_loss_how)9}));
    BAD("l1", SHAPE, kiln_l1(x->f, x->g, KILN_LOSS_MEAN));
    BAD("l1", VALUE, kiln_l1(x->f, x->f, (kiln_loss_how)-1));
    BAD("l1", SHAPE, kiln_l1(x->s, 1, KILN_LOSS_BATCH_MEAN));
    BAD("huber", VALUE, kiln_huber(x->f, x->f, 0, KILN_LOSS_MEAN));
    BAD("smooth_l1", VALUE, kiln_smooth_l1(x->f, x->f, -1, KILN_LOSS_MEAN));
    BAD("hinge", DTYPE, kiln_hinge(x->f, x->i, KILN_LOSS_MEAN));
    BAD("binary_cross_entropy", SHAPE, kiln_binary_cross_entropy(x->f, x->s, KILN_LOSS_MEAN));
    BAD("binary_cross_entropy_with_logits", SHAPE, kiln_binary_cross_entropy_with_logits(x->f, x->f, x->g, KILN_LOSS_MEAN));
    BAD("binary_cross_entropy_with_logits", SHAPE, kiln_binary_cross_entropy_with_logits(x->s, x->s, x->f, KILN_LOSS_MEAN));
    BAD("binary_cross_entropy_with_logits", DTYPE, kiln_binary_cross_entropy_with_logits(x->f, x->f, x->i, KILN_LOSS_MEAN));
    BAD("kl_div", SHAPE, kiln_kl_div(x->f, x->g, false, KILN_LOSS_MEAN));
    BAD("poisson_nll", DTYPE, kiln_poisson_nll(x->i, x->i, false, false, KILN_LOSS_MEAN));
    BAD("cosine_similarity", SHAPE, kiln_cosine_similarity(x->f, x->f, 2, 0));
    BAD("cosine_similarity", VALUE, kiln_cosine_similarity(x->f, x->f, 1, -1));
    BAD("cosine_embedding", SHAPE, kiln_cosine_embedding(x->f, x->f, x->f, 0, KILN_LOSS_MEAN));
    BAD("triplet_margin", SHAPE, kiln_triplet_margin(x->f, x->f, x->g, 1, KILN_LOSS_MEAN));
    BAD("margin_ranking", DTYPE, kiln_margin_ranking(x->f, x->f, x->b, 0, KILN_LOSS_MEAN));
}

static void norms(Bad *x)
{
    kiln_tensor *three = kiln_zeros(x->k, KILN_F32, KILN_SHAPE(3)), *mean, *variance;
    BAD("layernorm_axes", SHAPE, kiln_layernorm_axes(x->f, KILN_AXES(2), NULL, NULL, 0));
    BAD("layernorm_axes", SHAPE, kiln_layernorm_axes(x->f, KILN_AXES(1), x->g, NULL, 0));
    BAD("layernorm_axes", SHAPE, kiln_layernorm_axes(three, KILN_AXES(0), x->f, NULL, 0));
    BAD("layernorm_axes", VALUE, kiln_layernorm_axes(x->f, KILN_AXES(1), NULL, NULL, -1));
    BAD("rmsnorm", DTYPE, kiln_rmsnorm(x->i, KILN_AXES(1), NULL, 0));
    BAD("rmsnorm", DTYPE, kiln_rmsnorm(x->f, KILN_AXES(1), kiln_cast(three, KILN_I32), 0));
    BAD("groupnorm", SHAPE, kiln_groupnorm(x->f, 2, 1, NULL, NULL, 0));
    BAD("groupnorm", SHAPE, kiln_groupnorm(x->f, 0, 1, NULL, NULL, 0));
    BAD("groupnorm", SHAPE, kiln_groupnorm(x->f, 2, 0, NULL, NULL, 0));
    BAD("groupnorm", SHAPE, kiln_groupnorm(x->image, 2, -1, three, NULL, 0));
    BAD("instancenorm", SHAPE, kiln_instancenorm(x->s, 1, NULL, NULL, 0));
    BAD("instancenorm", SHAPE, kiln_instancenorm(x->f, 1, NULL, x->g, 0));
    BAD("batchnorm", SHAPE, kiln_batchnorm(x->f, three, x->g, NULL, NULL, 1, 0));
    BAD("batchnorm", VALUE, kiln_batchnorm(x->f, three, NULL, NULL, NULL, 1, 0));
    BAD("batchnorm", VALUE, kiln_batchnorm(x->f, three, three, NULL, NULL, 1, -1));
    BAD("batchnorm_training", SHAPE, kiln_batchnorm_training(x->f, NULL, NULL, 2, 0, &mean, &variance));
    BAD("batchnorm_training", DTYPE, kiln_batchnorm_training(x->b, NULL, NULL, 1, 0, NULL, NULL));
    BAD("normalize", VALUE, kiln_normalize(x->f, 3, 1, 0));
    BAD("normalize", SHAPE, kiln_normalize(x->f, 2, 2, 0));
    BAD("local_response_norm", VALUE, kiln_local_response_norm(x->f, 0, 1, 1, 1, 1));
    BAD("local_response_norm", SHAPE, kiln_local_response_norm(x->f, 3, 2, 1, 1, 1));
    BAD("local_response_norm", DTYPE, kiln_local_response_norm(x->i, 3, 1, 1, 1, 1));
    BAD("hardmax", SHAPE, kiln_hardmax(x->s, 0));
}

static void windows(Bad *x)
{
    const kiln_window two = {.size = {2, 2}}, nine = {.size = {9, 9}}, filters = {.groups = 3};
    kiln_tensor *filter = kiln_zeros(x->k, KILN_F32, KILN_SHAPE(2, 2, 2, 1));
    BAD("conv2d", SHAPE, kiln_conv2d(x->poor, filter, NULL));
    BAD("conv2d", SHAPE, kiln_conv2d(x->image, x->f, NULL));
    BAD("conv2d", SHAPE, kiln_conv2d(x->image, filter, &filters));
    BAD("conv2d", DTYPE, kiln_conv2d(x->image, kiln_cast(filter, KILN_I32), NULL));
    BAD("convolve", SHAPE, kiln_convolve(x->poor, filter, NULL));
    BAD("convolve", DTYPE, kiln_convolve(kiln_cast(x->image, KILN_I32), kiln_cast(filter, KILN_I32), NULL));
    BAD("convolve_transposed", SHAPE, kiln_convolve_transposed(x->image, filter, NULL));
    BAD("convolve_transposed", SHAPE, kiln_convolve_transposed(x->poor, filter, NULL));
    BAD("max_pool", SHAPE, kiln_max_pool(x->poor, &two));
    BAD("max_pool", SHAPE, kiln_max_pool(x->image, &nine));
    BAD("max_pool", VALUE, kiln_max_pool(x->image, NULL));
    BAD("avg_pool", SHAPE, kiln_avg_pool(x->image, &nine));
    BAD("avg_pool", DTYPE, kiln_avg_pool(kiln_cast(x->image, KILN_I32), &two));
    BAD("global_avg_pool", SHAPE, kiln_global_avg_pool(x->s));
    BAD("global_avg_pool", DTYPE, kiln_global_avg_pool(kiln_cast(x->image, KILN_I32)));
}

static void draws(Bad *x)
{
    BAD("uniform", DTYPE, kiln_uniform(x->draw, KILN_I32, KILN_SHAPE(2), 0, 1));
    BAD("uniform", VALUE, kiln_uniform(x->count, KILN_F32, KILN_SHAPE(2), 0, 1));
    BAD("uniform", VALUE, kiln_uniform(x->draw, KILN_F32, KILN_SHAPE(2), 1, 0));
    BAD("uniform", SHAPE, kiln_uniform(x->draw, KILN_F32, KILN_SHAPE(-2), 0, 1));
    BAD("normal", DTYPE, kiln_normal(x->draw, KILN_I32, KILN_SHAPE(2), 0, 1));
    BAD("normal", SHAPE, kiln_normal(x->draw, KILN_F32, KILN_SHAPE(-2), 0, 1));
    BAD("random_bits", DTYPE, kiln_random_bits(x->i, KILN_SHAPE(2)));
    BAD("random_bits", SHAPE, kiln_random_bits(x->draw, KILN_SHAPE(-1)));
    BAD("dropout", DTYPE, kiln_dropout(x->i, 0.5, x->draw));
    BAD("dropout", SHAPE, kiln_dropout(x->f, x->f, x->draw));
    BAD("dropout", VALUE, kiln_dropout(x->f, 2, x->draw));
    BAD("dropout", VALUE, kiln_dropout(x->f, 0.5, x->v));
    BAD("dropout", DTYPE, kiln_dropout_if(x->i, 0.5, true, x->draw));
    BAD("dropout", SHAPE, kiln_dropout_if(x->f, 0.5, x->b, x->draw));
    BAD("randint", DTYPE, kiln_randint(x->draw, KILN_F32, KILN_SHAPE(2), 0, 1));
    BAD("randint", VALUE, kiln_randint(x->draw, KILN_I8, KILN_SHAPE(2), 0, 129));
    BAD("bernoulli", SHAPE, kiln_bernoulli(x->draw, x->f, KILN_SHAPE(2)));
    BAD("bernoulli", DTYPE, kiln_bernoulli(x->draw, x->i, KILN_SHAPE(2, 3)));
    BAD("permutation", SHAPE, kiln_permutation(x->draw, -1));
    BAD("shuffle", SHAPE, kiln_shuffle(x->draw, x->f, 2));
    BAD("shuffle", VALUE, kiln_shuffle(x->v, x->f, 0));
    BAD("choice", SHAPE, kiln_choice(x->draw, x->f, 3, 0, NULL, KILN_DISTINCT));
    BAD("choice", SHAPE, kiln_choice(x->draw, x->f, 3, 0, x->g, 0));
    BAD("choice", DTYPE, kiln_choice(x->draw, x->f, 3, 0, x->i, 0));
    BAD("categorical", DTYPE, kiln_categorical(x->draw, x->i, 1, 0));
    BAD("categorical", SHAPE, kiln_categorical(x->draw, x->s, 1, 0));
    BAD("categorical", SHAPE, kiln_categorical(x->draw, kiln_zeros(x->k, KILN_F32, KILN_SHAPE(1, 1, 1, 1, 1, 1, 1, 2)), 1, 0));
    BAD("exponential", VALUE, kiln_exponential(x->draw, KILN_F32, KILN_SHAPE(2), -1));
    BAD("gumbel", DTYPE, kiln_gumbel(x->draw, KILN_BOOL, KILN_SHAPE(2), 0, 1));
    BAD("laplace", VALUE, kiln_laplace(x->draw, KILN_F16, KILN_SHAPE(2), 1e6, 1));
    BAD("logistic", SHAPE, kiln_logistic(x->draw, KILN_F32, KILN_SHAPE(-3), 0, 1));
    BAD("cauchy", VALUE, kiln_cauchy(NULL, KILN_F32, KILN_SHAPE(2), 0, 1));
    BAD("truncated_normal", VALUE, kiln_truncated_normal(x->draw, KILN_F32, KILN_SHAPE(2), 0, 1, 2, 1));
    BAD("gamma", SHAPE, kiln_gamma(x->draw, KILN_F32, KILN_SHAPE(2), x->f));
    BAD("gamma", DTYPE, kiln_gamma(x->draw, KILN_F32, KILN_SHAPE(2, 3), x->i));
    BAD("beta", SHAPE, kiln_beta(x->draw, KILN_F32, KILN_SHAPE(-1, -1), x->f, x->g));
    BAD("dirichlet", SHAPE, kiln_dirichlet(x->draw, KILN_F32, KILN_SHAPE(), 1));
    BAD("poisson", DTYPE, kiln_poisson(x->draw, KILN_BOOL, KILN_SHAPE(2), 1));
    BAD("poisson", VALUE, kiln_poisson(x->draw, KILN_I32, KILN_SHAPE(2), -1));
    BAD("clip_by_norm", DTYPE, kiln_clip_by_norm(x->i, 1));
    BAD("clip_by_norm", VALUE, kiln_clip_by_norm(x->f, -1));
    kiln_tensor *two[2] = {x->f, x->i}, *to[2];
    BAD("clip_by_global_norm", DTYPE, kiln_clip_by_global_norm(two, 2, 1, to));
    BAD("clip_by_global_norm", VALUE, kiln_clip_by_global_norm(two, 1, 0, to));
    const kiln_schedule wrong = {.kind = KILN_RATE_COSINE, .rate = 1}, fine = {.rate = 1};
    BAD("schedule", VALUE, kiln_schedule_rate(&wrong, x->s));
    BAD("schedule", VALUE, kiln_schedule_rate(&fine, NULL));
}

static void made(Bad *x)
{
    const float two[2] = {1, 2};
    BAD("from", SHAPE, kiln_from(x->k, KILN_F32, KILN_SHAPE(3), two, 2));
    BAD("from", DTYPE, kiln_from(x->k, (kiln_dtype)-1, KILN_SHAPE(2), two, 2));
    BAD("borrow", SHAPE, kiln_borrow(x->k, KILN_F32, KILN_SHAPE(-3), two, NULL, NULL));
    BAD("from_doubles", SHAPE, kiln_from_doubles(x->k, KILN_F32, KILN_SHAPE(-3), NULL, 0));
    BAD("full", SHAPE, kiln_full(x->k, KILN_F32, KILN_SHAPE(-3), 1));
    BAD("full", VALUE, kiln_full(x->k, KILN_U8, KILN_SHAPE(3), 256));
    BAD("iota", SHAPE, kiln_iota(x->k, KILN_I64, KILN_SHAPE(3), 1));
    BAD("KILN_IF", SHAPE, ({ KILN_IF(x->b); }));
    BAD("KILN_FOR", DTYPE, ({ KILN_FOR(x->k, i, x->s); }));
    BAD("KILN_FOR", VALUE, ({ KILN_FOR(x->k, i, NULL); }));
    BAD("KILN_WHILE", DTYPE, ({ KILN_WHILE(x->k, x->s); }));
    BAD("KILN_WHILE", VALUE, ({ KILN_WHILE(x->k, NULL); }));
}

void everything(Bad *x)
{
    made(x);
    elementwise(x);
    numeric(x);
    activations(x);
    reductions(x);
    moves(x);
    losses(x);
    more_losses(x);
    norms(x);
    windows(x);
    draws(x);
}

/* ---- layers and what else has state -------------------------------------------------------------------------------- */
static void layer_errors_name_the_layer(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Bad all = bad_operands(k), *x = &all;
    kiln_dense *dense = kiln_dense_new(k, 3, 4, NULL);
    kiln_conv *conv = kiln_conv_new(k, 2, 3, (&(kiln_window){.size = {2, 2}}), NULL);
    kiln_recurrent *lstm = kiln_lstm_new(k, 3, 4, NULL), *gru = kiln_gru_new(k, 3, 4, NULL), *rnn = kiln_rnn_new(k, 3, 4, NULL);
    kiln_tensor *steps = kiln_zeros(k, KILN_F32, KILN_SHAPE(2, 1, 3));
    BAD("dense", SHAPE, kiln_dense_apply(dense, x->g));
    BAD("dense", DTYPE, kiln_dense_apply(dense, x->i));
    BAD("dense", VALUE, kiln_dense_apply(dense, NULL));
    BAD("dense", VALUE, kiln_dense_apply(dense, 2));
    BAD("dense", VALUE, kiln_dense_new(k, 3, 4, x->v));
    BAD("dense", VALUE, kiln_dense_new(k, 3, 0, NULL));
    BAD("dense", DTYPE, kiln_dense_new(k, KILN_I32, 3, 4, NULL));
    BAD("conv", SHAPE, kiln_conv_apply(conv, x->f));
    BAD("conv", SHAPE, kiln_conv_apply(conv, kiln_zeros(k, KILN_F32, KILN_SHAPE(1, 4, 4, 7))));
    BAD("conv", DTYPE, kiln_conv_apply(conv, kiln_cast(x->image, KILN_I32)));
    BAD("conv", VALUE, kiln_conv_new(k, 2, 3, (&(kiln_window){.size = {2, 2}}), x->v));
    BAD("lstm", SHAPE, kiln_recurrent_apply(lstm, x->f, NULL));
    BAD("lstm", DTYPE, kiln_recurrent_apply(lstm, kiln_cast(steps, KILN_F64), NULL));
    BAD("lstm", VALUE, kiln_recurrent_apply(lstm, NULL, NULL));
    BAD("lstm", VALUE, kiln_lstm_new(k, 3, 4, x->v));
    BAD("gru", SHAPE, kiln_recurrent_apply(gru, steps, &(kiln_recurrent_options){.h = x->f}));
    BAD("gru", VALUE, kiln_gru_new(k, 3, 4, x->v));
    BAD("rnn", VALUE, kiln_recurrent_apply(rnn, steps, &(kiln_recurrent_options){.c = x->f}));
    BAD("rnn", VALUE, kiln_rnn_new(k, 3, 4, x->v));
    kiln_batchnorm *norm = kiln_batchnorm_new(k, 3, NULL);
    BAD("batchnorm", SHAPE, kiln_batchnorm_apply(norm, x->g, true));
    BAD("batchnorm", SHAPE, kiln_batchnorm_apply(norm, x->f, x->b));
    BAD("batchnorm", DTYPE, kiln_batchnorm_apply(norm, x->i, false));
    BAD("batchnorm", DTYPE, kiln_batchnorm_apply(norm, x->f, x->s));
    BAD("batchnorm", VALUE, kiln_batchnorm_new(k, 0, NULL));
    BAD("batchnorm", VALUE, kiln_batchnorm_new(k, 3, &(kiln_batchnorm_options){.momentum = 2}));
    BAD("batchnorm", DTYPE, kiln_batchnorm_new(k, 3, &(kiln_batchnorm_options){.dtype = KILN_I32}));
    kiln_metric *mean = kiln_mean_metric(k), *accuracy = kiln_accuracy_metric(k);
    BAD("metric", VALUE, kiln_metric_update(mean, NULL));
    BAD("metric", SHAPE, kiln_metric_update_labels(accuracy, x->f, x->g));
    BAD("metric", SHAPE, kiln_metric_update_labels(accuracy, x->s, x->s));
    kiln_optimizer *adam = kiln_adam(k, 0.1);
    BAD("optimizer", DTYPE, kiln_optimizer_apply(adam, &x->v, &x->i, 1));
    BAD("optimizer", SHAPE, kiln_optimizer_apply(adam, &x->v, &x->g, 1));
    KILN_TAPE(k, tape);
    kiln_tensor *whole = kiln_sum(kiln_cast(kiln_value(x->v), KILN_I32), KILN_ALL);
    BAD("minimize", DTYPE, kiln_optimizer_minimize(adam, tape, whole));
    assert_ok(k);
}

static void fails(kiln *k, kiln_tensor *dy, kiln_tensor *const *x, kiln_tensor **dx, void *user)
{
    (void)k, (void)dy, (void)user;
    dx[0] = kiln_matmul(x[0], x[0]);
}

/* What runs inside of what is the program's own, and has its own names. */
static void the_programs_own_code_names_its_own_calls(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    Bad all = bad_operands(k), *x = &all;
    kiln_optimizer *sgd = kiln_sgd(k, 0.1, 0);
    KILN_TAPE(k, tape);
    kiln_tensor *v = kiln_value(x->v);
    kiln_tensor *y = kiln_custom_gradient(kiln_square(v), &v, 1, fails, NULL);
    BAD("matmul", SHAPE, kiln_optimizer_minimize(sgd, tape, kiln_sum(y, KILN_ALL)));
    BAD("mse", SHAPE, kiln_mse(x->f, x->g)); /* and nothing is left behind */
    BAD("sub", SHAPE, kiln_sub(x->f, x->g));
    assert_ok(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CALLED_TESTS,
        FRONT_TEST(layer_errors_name_the_layer), FRONT_TEST(the_programs_own_code_names_its_own_calls)};
    return cmocka_run_group_tests_name("called", tests, front_needs_llvm, NULL);
}
