/* The composite and structural operations under trace: the same body run eagerly, traced for known
 * sizes, and traced once with the first axis a bounded symbol, must give the same bits, and agree with the reference. */
#include "values.h"

#include <stdlib.h>

#define S KILN_SHAPE

typedef kiln_tensor *Op1(kiln_tensor *x);

/* ---- what is run: x is f32 [n, 6] ----------------------------------------------------------- */
#define EXPRESSION(name, value) \
    static kiln_tensor *name(kiln_tensor *x) { return value; }

EXPRESSION(sigmoid, kiln_sigmoid(x))
EXPRESSION(gelu, kiln_gelu(x))
EXPRESSION(gelu_tanh, kiln_gelu_tanh(x))
EXPRESSION(relu_chain, kiln_silu(kiln_relu(kiln_sub(x, 0.1))))
EXPRESSION(softplus, kiln_softplus(kiln_clip(x, -1, 1)))
EXPRESSION(sinc, kiln_sinc(x))
EXPRESSION(mish, kiln_mish(x))
EXPRESSION(elu, kiln_elu(kiln_logsigmoid(x), 1.25))
EXPRESSION(selu, kiln_selu(x))
EXPRESSION(celu, kiln_celu(x, kiln_sum(kiln_square(x), KILN_AXES(0))))
EXPRESSION(prelu, kiln_prelu(x, kiln_reduce_max(x, KILN_AXES(0))))
EXPRESSION(hard, kiln_hardswish(kiln_add(kiln_hardtanh(x, -1.9, 1.9), kiln_hardsigmoid(x, 0.3, 0.45))))
EXPRESSION(shrunk, kiln_shrink(kiln_softshrink(kiln_hardshrink(kiln_threshold(x, -1.6, 0.9), 0.3), 0.2), 0.1, 0.15))
EXPRESSION(interpolated, kiln_lerp(x, kiln_xlogy(x, kiln_exp(x)), kiln_sigmoid(x)))
EXPRESSION(apart, kiln_copysign(kiln_fmax(x, kiln_fmin(kiln_neg(x), 0.25)), kiln_trunc_div(x, 0.7)))
EXPRESSION(neighbour, kiln_cast(kiln_nextafter(x, 1), KILN_F32)) /* no gradient flows */
EXPRESSION(bits_set, kiln_popcount(kiln_cast(kiln_mul(x, 1000), KILN_I32)))
EXPRESSION(softmax_rows, kiln_softmax(x, 1))
EXPRESSION(softmax_columns, kiln_softmax(x, 0))
EXPRESSION(log_softmax, kiln_log_softmax(x, -1))
EXPRESSION(logsumexp, kiln_logsumexp(x, 1))
EXPRESSION(norm, kiln_norm(x))
EXPRESSION(layernorm, kiln_layernorm(x, NULL, NULL, 0))
EXPRESSION(mean_all, kiln_mean(x, KILN_ALL))
EXPRESSION(mean_batch, kiln_mean(x, KILN_KEEP(0)))
EXPRESSION(variance, kiln_variance(x, KILN_AXES(0)))
EXPRESSION(sum_keep, kiln_sum(x, KILN_KEEP(-1)))
EXPRESSION(product, kiln_prod(kiln_mul(x, 0.5), KILN_AXES(1)))
EXPRESSION(largest, kiln_sub(x, kiln_reduce_max(x, KILN_AXES(0))))
EXPRESSION(any_positive, kiln_any(kiln_greater(x, 0), KILN_AXES(1)))
EXPRESSION(where_is, kiln_argmax(x, 1))
EXPRESSION(mse, kiln_mse(x, kiln_zeros_like(x)))
EXPRESSION(entropy, kiln_cross_entropy(x, kiln_argmin(x, 1)))
EXPRESSION(entropy_of_probabilities, kiln_cross_entropy(x, kiln_softmax(kiln_neg(x), 1)))
EXPRESSION(huber, kiln_huber(x, kiln_cos(x), 0.5, KILN_LOSS_BATCH_MEAN))
EXPRESSION(classes, kiln_softmax_cross_entropy(x, kiln_argmin(x, 1), &(kiln_class_loss){.smoothing = 0.1, .ignores = true, .ignore = 2}))
EXPRESSION(classes_of_probabilities, kiln_softmax_cross_entropy(x, kiln_softmax(kiln_neg(x), 1), &(kiln_class_loss){.how = KILN_LOSS_EACH, .smoothing = 0.1}))
EXPRESSION(binary_entropy, kiln_binary_cross_entropy_with_logits(x, kiln_sigmoid(kiln_cos(x)), 3, KILN_LOSS_SUM))
EXPRESSION(divergence, kiln_kl_div(kiln_log_softmax(x, 1), kiln_softmax(kiln_neg(x), 1), false, KILN_LOSS_BATCH_MEAN))
EXPRESSION(cosine, kiln_cosine_similarity(x, kiln_cos(x), -1, 0))
EXPRESSION(layer_over_all, kiln_layernorm_axes(x, KILN_ALL, NULL, NULL, 0))
EXPRESSION(root_mean_square, kiln_rmsnorm(x, KILN_AXES(1), NULL, 0))
EXPRESSION(three_groups, kiln_groupnorm(x, 3, 1, kiln_iota(kiln_engine(x), KILN_F32, S(6), 0), NULL, 0))
EXPRESSION(instances, kiln_instancenorm(kiln_reshape(x, S(-1, 3, 2)), 1, NULL, NULL, 0))
EXPRESSION(batches, kiln_batchnorm_training(x, NULL, NULL, -1, 0, NULL, NULL))
EXPRESSION(unit_rows, kiln_normalize(x, 2, 1, 0))
EXPRESSION(local_response, kiln_local_response_norm(x, 3, 1, 0.5, 0.75, 1))
EXPRESSION(hardmax, kiln_hardmax(x, 0))
EXPRESSION(one_hot, kiln_one_hot(kiln_argmax(x, 1), 6, KILN_F32))
EXPRESSION(reshaped, kiln_reshape(x, S(-1, 2, 3)))
EXPRESSION(flat, kiln_flatten(kiln_reshape(x, S(-1, 2, 3))))
EXPRESSION(transposed, kiln_matmul(x, kiln_transpose(x, KILN_ALL)))
EXPRESSION(gram, kiln_matmul(kiln_transpose(x, KILN_AXES(1, 0)), x))
EXPRESSION(column, kiln_matmul(x, kiln_reduce_max(x, KILN_AXES(0))))
EXPRESSION(row, kiln_matmul(kiln_sum(x, KILN_AXES(1)), x))
EXPRESSION(batched, kiln_matmul(kiln_reshape(x, S(-1, 2, 3)), kiln_reshape(x, S(-1, 3, 2))))
EXPRESSION(first_columns, kiln_slice(x, 1, 1, -1, 2))
EXPRESSION(backwards, kiln_slice(x, 0, -1, KILN_END, -1))
EXPRESSION(all_but_first, kiln_slice(x, 0, 1, KILN_END, 1))
EXPRESSION(every_second, kiln_slice(x, 0, 0, KILN_END, 2))
EXPRESSION(all_but_last, kiln_slice(x, 0, 0, -1, 1))
EXPRESSION(padded, kiln_pad(x, S(1, 0), S(2, 3), -1))
EXPRESSION(joined, kiln_concat(((kiln_tensor *[]){x, kiln_neg(x)}), 2, 0))
EXPRESSION(stacked, kiln_stack(((kiln_tensor *[]){x, x}), 2, 1))
EXPRESSION(gathered, kiln_gather(x, kiln_argmax(x, 1), 1))
EXPRESSION(spread, kiln_broadcast(kiln_expand(x, 1), S(-1, 2, 6)))
EXPRESSION(squared_distance,
    kiln_sum(kiln_square(kiln_sub(kiln_expand(x, 0), kiln_expand(x, 1))), KILN_AXES(-1)))

EXPRESSION(rolled, kiln_roll(x, S(3, -1), KILN_AXES(0, 1)))
EXPRESSION(rolled_flat, kiln_roll(x, S(-4), KILN_ALL))
EXPRESSION(upper, kiln_triu(kiln_matmul(x, kiln_transpose(x, KILN_ALL)), 1))
EXPRESSION(diagonal, kiln_concat(KILN_IN(kiln_diagonal(kiln_matmul(x, kiln_transpose(x, KILN_ALL)), 0, 0, 1), kiln_diagonal(x, 1, 0, 1)), 0))
EXPRESSION(few_rows, kiln_concat(KILN_IN(kiln_slice(x, 0, -9, KILN_END, 1), kiln_slice(kiln_where(true, x, 0), 0, 0, 9, 1)), 0))
EXPRESSION(diag, kiln_diag(kiln_sum(x, KILN_AXES(1)), -1))
EXPRESSION(mirrored, kiln_pad_with(x, S(4, 2), S(1, 9), KILN_PAD_REFLECT))
EXPRESSION(tiled, kiln_tile(x, S(2, 2)))
EXPRESSION(repeated, kiln_repeat(x, 2, 0))
EXPRESSION(windows, kiln_sliding_windows(x, KILN_AXES(1), S(3), S(2)))
EXPRESSION(subscripts, kiln_index(x, KILN_ALL_OF, KILN_RANGE(4, 1, -1), KILN_NEW))
EXPRESSION(pairs, kiln_index(x, KILN_AT(kiln_expand(kiln_argmax(x, 0), 1)), KILN_AT(kiln_argmin(x, 1)), KILN_NEW))
EXPRESSION(dynamic, kiln_index(x, KILN_AT(kiln_gather(kiln_argmax(x, 0), 2, 0)), KILN_FROM(kiln_gather(kiln_argmax(x, 1), 0, 0), 2)))
EXPRESSION(set_columns, kiln_index_update(x, kiln_neg(kiln_index(x, KILN_ALL_OF, KILN_AT(2))), KILN_SCATTER_ADD, KILN_ALL_OF, KILN_AT(kiln_reduce_max(kiln_argmax(x, 1), KILN_ALL))))
EXPRESSION(causal, kiln_where(kiln_ge(kiln_expand(kiln_iota_along(x, 0, KILN_I64), 1), kiln_iota_along(x, 0, KILN_I64)), kiln_matmul(x, kiln_transpose(x, KILN_ALL)), 0))
EXPRESSION(rows, kiln_gather_nd(x, kiln_expand(kiln_argmin(x, 1), 1), 1))
EXPRESSION(spread_along, kiln_scatter_along(x, kiln_argsort(x, 1, 0), x, 1, KILN_SCATTER_ADD))
EXPRESSION(einsum_gram, kiln_einsum("ni,nj->ij", KILN_IN(x, kiln_cos(x))))
EXPRESSION(einsum_rows, kiln_einsum("ni,mi->nm", KILN_IN(x, x)))
EXPRESSION(einsum_batch, kiln_einsum("nij,njk->ikn", KILN_IN(kiln_reshape(x, S(-1, 2, 3)), kiln_reshape(x, S(-1, 3, 2)))))
EXPRESSION(einsum_diagonal, kiln_einsum("nn->n", KILN_IN(kiln_matmul(x, kiln_transpose(x, KILN_ALL)))))
EXPRESSION(einsum_three, kiln_einsum("ni,nij,nj->n", KILN_IN(x, kiln_mul(kiln_expand(x, 1), kiln_expand(x, 2)), x)))
EXPRESSION(dots_of_axes, kiln_tensordot(x, kiln_sin(x), KILN_AXES(0), KILN_AXES(0)))
EXPRESSION(median_column, kiln_median(x, KILN_AXES(0)))
EXPRESSION(quantile_all, kiln_quantile(x, 0.3, KILN_ALL, KILN_HAZEN))
EXPRESSION(largest_so_far, kiln_cummax(x, 0, 0, NULL))
EXPRESSION(logarithms_so_far, kiln_logcumsumexp(x, 0, KILN_REVERSE))
EXPRESSION(differences, kiln_diff(x, 0, 1, NULL, x))
EXPRESSION(ranks, kiln_searchsorted(kiln_sort(kiln_slice(kiln_reshape(x, S(-1)), 0, 0, KILN_END, 6), 0, 0), x, KILN_AFTER))
EXPRESSION(counted, kiln_histogram_range(x, 7, -1, 2))
EXPRESSION(segments, kiln_segment_mean(x, kiln_argmax(x, 1), 4))
EXPRESSION(norm_column, kiln_vector_norm(x, 2, KILN_KEEP(0)))
EXPRESSION(place_of_most, kiln_argmax_over(kiln_round(x), KILN_ALL, KILN_LAST))

static kiln_tensor *images(kiln_tensor *x) /* [n, 6, 6, 2] */
{
    kiln_tensor *plane = kiln_mul(kiln_reshape(x, S(-1, 6, 1, 1)), kiln_reshape(x, S(-1, 1, 6, 1)));
    return kiln_concat(((kiln_tensor *[]){plane, kiln_sub(plane, 1)}), 2, 3);
}

static kiln_tensor *filters(kiln_tensor *x, kiln_shape s)
{
    kiln_dtype d = kiln_dtype_of(x);
    return kiln_mul(
        kiln_cos(kiln_iota(kiln_engine(x), d, s, 0)), kiln_sin(kiln_iota(kiln_engine(x), d, s, 3)));
}

EXPRESSION(convolution, kiln_conv2d(images(x), filters(x, S(3, 3, 2, 4)),
                            &(kiln_window){.same = true, .stride = {2, 1}}))
EXPRESSION(pointwise, kiln_conv2d(images(x), filters(x, S(1, 1, 2, 3)), NULL))
EXPRESSION(groups, kiln_conv2d(images(x), filters(x, S(2, 2, 1, 4)), &(kiln_window){.groups = 2}))
EXPRESSION(attended, kiln_attention(x, kiln_cos(x), x, &(kiln_attention_options){.causal = true, .cap = 2}))
EXPRESSION(max_pool,
    kiln_max_pool(images(x), &(kiln_window){.size = {3, 3}, .stride = {2, 2}, .same = true}))
EXPRESSION(avg_pool,
    kiln_avg_pool(images(x), &(kiln_window){.size = {3, 3}, .stride = {2, 2}, .same = true}))
/* The symbol as an image's height. */
EXPRESSION(tall, kiln_avg_pool(kiln_reshape(x, S(1, -1, 6, 1)),
                     &(kiln_window){.size = {3, 3}, .stride = {1, 1}, .same = true}))
EXPRESSION(tall_strided,
    kiln_max_pool(kiln_reshape(x, S(1, -1, 6, 1)), &(kiln_window){.size = {2, 2}, .pad = {{1, 0}}}))

static const struct {
    const char *name;
    Op1 *run;
} cases[] = {
#define CASE(f) \
    {           \
#f, f   \
    }
    CASE(rolled), CASE(rolled_flat), CASE(upper), CASE(diagonal), CASE(few_rows), CASE(diag), CASE(mirrored), CASE(tiled), CASE(repeated), CASE(windows),
    CASE(subscripts), CASE(pairs), CASE(dynamic), CASE(set_columns), CASE(causal), CASE(rows), CASE(spread_along),
    CASE(sigmoid),
    CASE(gelu),
    CASE(gelu_tanh),
    CASE(relu_chain),
    CASE(softplus),
    CASE(sinc),
    CASE(mish),
    CASE(elu),
    CASE(selu),
    CASE(celu),
    CASE(prelu),
    CASE(hard),
    CASE(shrunk),
    CASE(interpolated),
    CASE(apart),
    CASE(neighbour),
    CASE(bits_set),
    CASE(softmax_rows),
    CASE(softmax_columns),
    CASE(log_softmax),
    CASE(logsumexp),
    CASE(norm),
    CASE(layernorm),
    CASE(mean_all),
    CASE(mean_batch),
    CASE(variance),
    CASE(sum_keep),
    CASE(product),
    CASE(largest),
    CASE(any_positive),
    CASE(where_is),
    CASE(mse),
    CASE(entropy),
    CASE(entropy_of_probabilities),
    CASE(huber),
    CASE(classes),
    CASE(classes_of_probabilities),
    CASE(binary_entropy),
    CASE(divergence),
    CASE(cosine),
    CASE(layer_over_all),
    CASE(root_mean_square),
    CASE(three_groups),
    CASE(instances),
    CASE(batches),
    CASE(unit_rows),
    CASE(local_response),
    CASE(hardmax),
    CASE(one_hot),
    CASE(reshaped),
    CASE(flat),
    CASE(transposed),
    CASE(gram),
    CASE(column),
    CASE(row),
    CASE(batched),
    CASE(first_columns),
    CASE(backwards),
    CASE(all_but_first),
    CASE(every_second),
    CASE(all_but_last),
    CASE(padded),
    CASE(joined),
    CASE(stacked),
    CASE(gathered),
    CASE(spread),
    CASE(squared_distance),
    CASE(einsum_gram),
    CASE(einsum_rows),
    CASE(einsum_batch),
    CASE(einsum_diagonal),
    CASE(einsum_three),
    CASE(dots_of_axes),
    CASE(median_column),
    CASE(quantile_all),
    CASE(largest_so_far),
    CASE(logarithms_so_far),
    CASE(differences),
    CASE(ranks),
    CASE(counted),
    CASE(segments),
    CASE(norm_column),
    CASE(place_of_most),
    CASE(convolution),
    CASE(pointwise),
    CASE(groups),
    CASE(attended),
    CASE(max_pool),
    CASE(avg_pool),
    CASE(tall),
    CASE(tall_strided),
};
#define CASES (int)(sizeof cases / sizeof *cases)

static void body(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)engine;
    out[0] = cases[*(const int *)user].run(in[0]);
}

static kiln_tensor *input(int n)
{
    float x[64 * 6];
    for (int i = 0; i < n * 6; i++) x[i] = (float)((i * 2654435761u >> 8) % 2001) / 500 - 2;
    return kiln_from(k, KILN_F32, S(n, 6), x, n * 6);
}

static bool same(const char *name, const char *how, int n, kiln_tensor *eager, kiln_tensor *traced)
{
    bool equal = !kiln_failed(k) && kiln_rank(eager) == kiln_rank(traced) &&
                 kiln_bytes(eager) == kiln_bytes(traced);
    for (int i = 0; equal && i < kiln_rank(eager); i++)
        equal = kiln_dim(eager, i) == kiln_dim(traced, i);
    equal = equal && memcmp(kiln_data(eager), kiln_data(traced), kiln_bytes(eager)) == 0;
    if (!equal) {
        print_error("%s, %d rows, %s: %s\n", name, n, how,
            kiln_failed(k) ? kiln_error(k)->text : "differs from eager");
        if (!kiln_failed(k) && kiln_elements(eager) < 100)
            kiln_print(stderr, eager), kiln_print(stderr, traced);
    }
    kiln_clear(k);
    return equal;
}

static int failures(bool symbolic)
{
    const int sizes[] = {3, 8, 33};
    int failed = 0;
    for (int c = 0; c < CASES; c++) {
        kiln_function_options o = {.name = cases[c].name};
        if (symbolic) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("N", 2, 64), 6);
        kiln_function *f = kiln_function_new(k, body, &c, &o);
        for (int i = 0; i < 3; i++) {
            KILN_SCOPE(k);
            kiln_tensor *x = input(sizes[i]);
            failed += !same(cases[c].name, symbolic ? "bounded" : "traced", sizes[i],
                cases[c].run(x), kiln_call(f, x));
            if (!symbolic && !kiln_check(stderr, f, &x, 1)) print_error("%s: the reference disagrees\n", cases[c].name), failed++;
        }
        kiln_function_statistics stats;
        kiln_function_stats(f, &stats);
        if (symbolic && stats.traces != 1)
            print_error("%s: traced %d times\n", cases[c].name, (int)stats.traces), failed++;
        kiln_function_free(f);
    }
    return failed;
}

static void traced_like_eager(void **state)
{
    (void)state;
    assert_int_equal(failures(false), 0);
}

static void bounded_like_eager(void **state)
{
    (void)state;
    assert_int_equal(failures(true), 0);
}

/* ---- gradients ------------------------------------------------------------------------------ */

/* A weighted sum of all results, so that every one of them matters. */
static kiln_tensor *weighed(Op1 *run, kiln_tensor *x)
{
    kiln_tensor *y = run(x);
    if (kiln_dtype_of(y) != KILN_F64) return NULL;
    y = kiln_reshape(y, S(-1));
    return kiln_sum(kiln_mul(y, kiln_cos(kiln_iota(k, KILN_F64, S(kiln_dim(y, 0)), 0))), KILN_ALL);
}

static double weighed_at(Op1 *run, const double *x)
{
    KILN_SCOPE(k);
    return kiln_item(weighed(run, kiln_from(k, KILN_F64, S(4, 6), x, 24)));
}

static void gradients_like_differences(void **state)
{
    (void)state;
    const double h = 1e-6;
    double at[24];
    for (int i = 0; i < 24; i++) at[i] = sin(i * i + 1.0) * 0.9 + 0.013 * i;
    for (int c = 0; c < CASES; c++) {
        KILN_SCOPE(k);
        kiln_tensor *x = kiln_from(k, KILN_F64, S(4, 6), at, 24);
        KILN_TAPE(k, tape);
        kiln_watch(tape, x);
        kiln_tensor *y = weighed(cases[c].run, x);
        if (y == NULL) continue;
        const double *g = kiln_data(kiln_gradient(tape, y, x));
        if (kiln_failed(k)) fail_msg("%s: %s", cases[c].name, kiln_error(k)->text);
        for (int i = 0; i < 24; i++) {
            double x0 = at[i];
            at[i] = x0 + h;
            double high = weighed_at(cases[c].run, at);
            at[i] = x0 - h;
            double want = (high - weighed_at(cases[c].run, at)) / (2 * h);
            at[i] = x0;
            if (fabs(g[i] - want) > 1e-6 * fmax(1, fabs(want)))
                fail_msg("%s: d/dx[%d] %g instead of %g", cases[c].name, i, g[i], want);
        }
    }
}

/* ---- random state --------------------------------------------------------------------------- */

static void draw(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)engine;
    kiln_variable *g = *(kiln_variable **)user;
    kiln_tensor *noise = kiln_mul(
        kiln_normal(g, KILN_F32, S(6), 0, 1), kiln_uniform(g, KILN_F64, S(), 1, 2) != NULL ? 1 : 0);
    out[0] = kiln_dropout(kiln_add(in[0], noise), 0.5, g);
}

static void draws_in_a_trace(void **state)
{
    (void)state;
    kiln_variable *g = kiln_generator(k, 5), *h = kiln_generator(k, 5);
    kiln_function *f = kiln_function_new(k, draw, &g, NULL);
    for (int i = 0; i < 3; i++) {
        KILN_SCOPE(k);
        kiln_tensor *x = input(4), *eager;
        draw(k, &x, &eager, &h);
        assert_true(same("draw", "traced", 4, eager, kiln_call(f, x)));
        EXACTLY(kiln_value(g), KILN_U64, S(2), 5, 3 * (i + 1));
    }
}

/* ---- what a symbol leaves open -------------------------------------------------------------- */

EXPRESSION(open_slice, kiln_slice(x, 0, 2, -2, 1))
EXPRESSION(open_reshape, kiln_reshape(x, S(5, -1)))
EXPRESSION(open_window, kiln_max_pool(kiln_reshape(x, S(1, -1, 6, 1)), &(kiln_window){.size = {4, 1}}))

static void run_open(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)engine;
    out[0] = (*(Op1 **)user)(in[0]);
}

/* Whether an axis is long enough is asked when the function runs. */
static void open_questions_are_settled_by_calls_or_errors(void **state)
{
    (void)state;
    Op1 *run[3] = {open_slice, open_window, open_reshape};
    for (int i = 0; i < 3; i++) {
        kiln_function *f = kiln_function_new(k, run_open, &run[i],
            &(kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 2, 64), 6)}});
        for (int n = 3; n < 9; n++) {
            KILN_SCOPE(k);
            kiln_tensor *y = kiln_call(f, input(n));
            if (i == 2)
                fails_with(KILN_ESHAPE, "reshape: f32[N,6] cannot become [5,-1]: the numbers of elements differ", __FILE__);
            else if (i == 1 && n == 3)
                fails_with(KILN_EVALUE, "assert: max_pool: axis 1 has fewer than 4 elements: f32[1,N,6,1]", __FILE__);
            else
                assert_true(same("open", "traced", n, run[i](input(n)), y));
        }
        kiln_function_free(f);
    }
}

/* ---- a tensor from outside, as an operation gives it that has nothing to do ------------------ */

static void gives(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = out[1] = in[0];
}

static kiln_tensor *given(kiln_tensor *x)
{
    kiln_tensor *out[2];
    kiln_cond(k, kiln_greater(kiln_sum(x, KILN_ALL), 0), gives, gives, KILN_IN(x), out, 2, NULL);
    return out[1];
}

static kiln_tensor *called(kiln_tensor *x)
{
    kiln_tensor *out[2];
    kiln_call_all(kiln_function_new(k, gives, NULL, &(kiln_function_options){.outputs = 2}), KILN_IN(x), out, 2);
    return out[1];
}

static kiln_tensor *kept(kiln_tensor *x)
{
    KILN_SCOPE(k);
    return kiln_keep(kiln_cast(kiln_cast(x, KILN_F32), KILN_F32));
}

EXPRESSION(cast_to_itself, kiln_cast(x, KILN_F32))
EXPRESSION(same_shape, kiln_reshape(x, S(2, 6)))
EXPRESSION(as_wide, kiln_broadcast(x, S(2, 6)))
EXPRESSION(flat_before, kiln_flatten(x))
EXPRESSION(over_no_axes, kiln_sum(x, KILN_AXES()))

typedef struct Outside {
    Op1 *op;
    kiln_tensor *x;
} Outside;

static void adds_outside(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Outside *o = user;
    kiln_variable *sum = kiln_local(e, in[0]);
    KILN_FOR(e, i, 2) kiln_assign(sum, kiln_add(sum, o->op(o->x)));
    out[0] = kiln_add(sum, o->op(o->x));
}

/* A body's handle of it goes with the body; the tensor outside does not. */
static void second_handles_of_what_is_outside(void **state)
{
    Op1 *const ops[] = {cast_to_itself, same_shape, as_wide, flat_before, over_no_axes, given, called, kept};
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        KILN_SCOPE(k);
        Outside o = {ops[i], kiln_own(input(2))};
        kiln_function *f = kiln_function_new(k, adds_outside, &o, NULL);
        kiln_tensor *eager;
        adds_outside(k, &o.x, &eager, &o);
        for (int call = 0; call < 2; call++) assert_true(same("outside", "traced", (int)i, eager, kiln_call(f, o.x)));
        kiln_release(o.x);
        (void)kiln_call(f, input(2));
        assert_int_equal(kiln_error(k)->code, KILN_ESTATE); /* it was released */
        kiln_clear(k);
        kiln_function_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(traced_like_eager), ENGINE_TEST(bounded_like_eager),
        ENGINE_TEST(gradients_like_differences),
        ENGINE_TEST(draws_in_a_trace),
        ENGINE_TEST(open_questions_are_settled_by_calls_or_errors),
        ENGINE_TEST(second_handles_of_what_is_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
