/* calls: bytes as public calls, sensible or not: what the targets share that make calls of them. */
#ifndef KILN_TESTS_FUZZ_CALLS_H
#define KILN_TESTS_FUZZ_CALLS_H

#include "fuzz.h"

#define HERE KILN_HERE
#define COUNT(x) (sizeof(x) / sizeof *(x))

typedef struct Input { const uint8_t *at; size_t left; } Input;

static uint8_t byte(Input *in)
{
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

/* Mostly small, sometimes far out. */
static int64_t number(Input *in)
{
    static const int64_t odd[] = {-1, 0, INT64_MAX, INT64_MIN, (int64_t)1 << 48, -7, 255, 65536};
    uint8_t b = byte(in);
    return b < 232 ? b % 5 : odd[b % 8];
}

static kiln_dtype dtype(Input *in) { return (kiln_dtype)(byte(in) % 20 - 3); }

static kiln_shape shape(Input *in)
{
    kiln_shape s = {.rank = byte(in) % 10};
    if (s.rank == 9) s.rank = number(in);
    for (int i = 1; i <= KILN_MAX_RANK; i++) s.size[i] = number(in);
    return s;
}

static kiln_axes axes(Input *in)
{
    kiln_axes a = {0};
    uint8_t b = byte(in);
    a.count = b % 4;
    a.keep = b >> 2 & 1;
    for (int i = 1; i <= a.count; i++) a.axis[i] = (int)number(in);
    return b >> 3 & 1 ? KILN_ALL : a;
}

/* ---- one call ---------------------------------------------------------------------------------------------------- */
typedef kiln_tensor *Unary(kiln_site at, kiln_operand x);
typedef kiln_tensor *Binary(kiln_site at, kiln_operand x, kiln_operand y);
typedef kiln_tensor *Reduce(kiln_site at, kiln_operand x, kiln_axes axes);
typedef kiln_tensor *Along(kiln_site at, kiln_operand x, int axis);
static Unary *const unary[] = {kiln_neg_at, kiln_abs_at, kiln_sign_at, kiln_floor_at, kiln_round_at, kiln_sqrt_at, kiln_exp_at, kiln_expm1_at, kiln_log_at,
    kiln_sin_at, kiln_tan_at, kiln_atan_at, kiln_sinh_at, kiln_tanh_at, kiln_erf_at, kiln_not_at, kiln_square_at, kiln_reciprocal_at, kiln_relu_at,
    kiln_sigmoid_at, kiln_softplus_at, kiln_gelu_at, kiln_isnan_at, kiln_zeros_like_at, kiln_stop_gradient_at, kiln_flatten_at, kiln_norm_at,
    kiln_asinh_at, kiln_acosh_at, kiln_cbrt_at, kiln_erfc_at, kiln_erfinv_at, kiln_lgamma_at, kiln_digamma_at, kiln_i0_at, kiln_logit_at, kiln_mish_at, kiln_selu_at,
    kiln_sinc_at, kiln_popcount_at, kiln_isinf_at, kiln_signbit_at, kiln_relu6_at, kiln_positive_at};
static kiln_tensor *in_i32(kiln_site at, kiln_operand x, kiln_operand y) { return kiln_matmul_to_at(at, x, y, KILN_I32); }
static Binary *const binary[] = {kiln_add_at, kiln_sub_at, kiln_mul_at, kiln_div_at, kiln_floor_div_at, kiln_mod_at, kiln_pow_at, kiln_max_at, kiln_atan2_at,
    kiln_eq_at, kiln_lt_at, kiln_and_at, kiln_shl_at, kiln_shr_at, kiln_matmul_at, in_i32, kiln_mse_at, kiln_cross_entropy_at,
    kiln_fmod_at, kiln_trunc_div_at, kiln_copysign_at, kiln_nextafter_at, kiln_hypot_at, kiln_logaddexp_at, kiln_xlogy_at, kiln_fmax_at, kiln_elu_at, kiln_leaky_relu_at,
    kiln_inner_at, kiln_outer_at, kiln_kron_at, kiln_isin_at, kiln_histogram_at};
static Reduce *const reduce[] = {kiln_sum_at, kiln_prod_at, kiln_mean_at, kiln_reduce_max_at, kiln_variance_at, kiln_any_at, kiln_all_at, kiln_transpose_at,
    kiln_count_nonzero_at, kiln_ptp_at, kiln_reduce_logsumexp_at, kiln_reduce_l2_at, kiln_nanmean_at, kiln_nanmax_at, kiln_median_at};
static Along *const along[] = {
    kiln_argmax_at, kiln_argmin_at, kiln_expand_at, kiln_squeeze_at, kiln_softmax_at, kiln_log_softmax_at, kiln_logsumexp_at};

static kiln_window window(Input *in)
{
    kiln_window w = {0};
    w.size[0] = number(in), w.size[1] = number(in);
    w.stride[0] = number(in), w.stride[1] = number(in);
    w.dilation[0] = number(in), w.pad[1][0] = number(in), w.groups = number(in);
    w.same = byte(in) & 1;
    return w;
}

static kiln_tensor *compared(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    const kiln_loss_how how = (kiln_loss_how)(byte(in) % 5);
    const int axis = (int)number(in);
    const double v = (double)number(in) / 4;
    switch (byte(in) % 16) {
    case 0: return kiln_softmax_cross_entropy(a, b, &(kiln_class_loss){.how = how, .axis = axis, .smoothing = v, .ignores = v > 0, .ignore = axis});
    case 1: return kiln_nll(a, kiln_cast(b, KILN_U8), &(kiln_class_loss){.how = how, .axis = axis, .weight = v > 0 ? b : NULL});
    case 2: return kiln_huber(a, b, v, how);
    case 3: return kiln_smooth_l1(a, b, v, how);
    case 4: return kiln_binary_cross_entropy(a, b, how);
    case 5: return kiln_binary_cross_entropy_with_logits(a, a, b, how);
    case 6: return kiln_kl_div(a, b, axis & 1, how);
    case 7: return kiln_poisson_nll(a, b, axis & 1, v > 0, how);
    case 8: return kiln_cosine_embedding(a, b, v, v, how);
    case 9: return kiln_triplet_margin(a, b, a, v, how);
    case 10: return kiln_layernorm_axes(a, KILN_AXES(axis), b, b, v);
    case 11: return kiln_rmsnorm(a, KILN_AXES(axis), b, v);
    case 12: return kiln_groupnorm(a, (int64_t)how, axis, b, NULL, v);
    case 13: return kiln_batchnorm_training(a, b, b, axis, v, NULL, NULL);
    case 14: return kiln_normalize(a, how == KILN_LOSS_EACH ? 2 : (double)how, axis, v);
    default: return byte(in) & 1 ? kiln_local_response_norm(a, (int64_t)how + 1, axis, v, 0.5, 1) : kiln_hardmax(a, axis);
    }
}

static kiln_subscript subscript(Input *in, kiln_tensor *t)
{
    switch (byte(in) % 8) {
    case 0: return KILN_AT(number(in));
    case 1: return KILN_AT(t);
    case 2: {
        int64_t start = number(in), stop = number(in), step = number(in);
        return KILN_RANGE(start, stop, step);
    }
    case 3: return KILN_FROM(t, number(in));
    case 4: return KILN_FROM(number(in), number(in));
    case 5: return KILN_NEW;
    case 6: return KILN_REST;
    default: return KILN_ALL_OF;
    }
}

/* Pooling, columns, resizing and sampling. */
static kiln_tensor *imaged(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    const int which = byte(in), how = byte(in);
    const bool first = which & 64;
    kiln_tensor *i = NULL;
    const kiln_pooling w = {.size = {1 + which % 3, 1 + how % 3, 2}, .stride = {number(in), 1, 1}, .dilation = {0, number(in)}, .pad = {{how & 1, number(in)}, {1, 0}},
        .ceil = how & 2, .same_lower = how & 4, .count_pad = how & 8, .channels_first = first, .divisor = number(in)};
    switch (which % 8) {
    case 0: return kiln_pool(a, (kiln_pool_kind)(how % 4), &w);
    case 1: return kiln_pool_indices(a, &i, (kiln_plane_index)(how % 4), &w);
    case 2: return kiln_unpool(a, b, (kiln_plane_index)(how % 3), shape(in), first);
    case 3: return how & 1 ? kiln_pool_adaptive(a, (kiln_pool_kind)(how % 4), shape(in), 0, first) : kiln_pool_adaptive_indices(a, &i, KILN_INDEX_WHOLE, shape(in), first);
    case 4: return how & 1 ? kiln_unfold(a, &w) : kiln_fold(a, shape(in), &w);
    case 5: return kiln_grid_sample(a, b, &(kiln_sampling){.kind = (kiln_resize_kind)(how % 4), .border = (kiln_border)(how / 4 % 4), .align_corners = how & 64, .channels_first = first});
    case 6: return how & 1 ? kiln_affine_grid(a, shape(in), how & 2) : kiln_roi_align(a, b, b, &(kiln_region){.size = {2, 1}, .samples = how % 3, .channels_first = first});
    default: {
        kiln_resizing r = {.size = {number(in)}, .scale = {0.5 * (double)number(in), 1.5}, .kind = (kiln_resize_kind)(how % 4), .rule = (kiln_resize_rule)(how / 4 % 7)};
        r.nearest = (kiln_resize_nearest)(byte(in) % 5), r.exclude_outside = how & 64, r.antialias = byte(in) & 1;
        return kiln_resize(a, axes(in), &r);
    }
    }
}

/* Several axes at once, diagonals, windows, indices of several axes. */
static kiln_tensor *moved_far(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    kiln_tensor *out[4] = {a, a, a, a};
    const kiln_axes named = axes(in);
    const int64_t n = number(in);
    switch (byte(in) % 17) {
    case 0: return kiln_expand_dims(a, named);
    case 1: return kiln_squeeze_dims(a, named);
    case 2: return kiln_moveaxis(a, named, axes(in));
    case 3: return kiln_flip(a, named);
    case 4: return kiln_roll(a, shape(in), named);
    case 5: return kiln_broadcast_arrays(KILN_IN(a, b), out) ? out[0] : kiln_broadcast_like(a, b);
    case 6: {
        kiln_shape low = shape(in), high = shape(in);
        return kiln_pad_with(a, low, high, (kiln_padding)(byte(in) % 5));
    }
    case 7: return kiln_tile(a, shape(in));
    case 8: return kiln_repeat(a, n, (int)number(in)); /* counts in tensors are read, which a trace cannot */
    case 9: return kiln_split(a, (int)n, byte(in) & 1 ? (int64_t[]){number(in), number(in), -1} : NULL, 3, out) ? out[2] : a;
    case 10: {
        kiln_shape sizes = shape(in);
        return kiln_sliding_windows(a, named, sizes, shape(in));
    }
    case 11: {
        kiln_depth_order order = (kiln_depth_order)(byte(in) % 3);
        return byte(in) & 1 ? kiln_depth_to_space(a, n, (int)number(in), order) : kiln_space_to_depth(a, n, (int)number(in), order);
    }
    case 12: return byte(in) & 1 ? kiln_triu(a, n) : kiln_diag(a, n);
    case 13: return byte(in) & 1 ? kiln_diagonal(a, n, (int)number(in), (int)number(in)) : kiln_trace(a, n, 0, (int)number(in));
    case 14: {
        kiln_subscript s[4] = {subscript(in, b), subscript(in, a), subscript(in, b), subscript(in, b)};
        kiln_subscripts l = kiln_subscript_list(s, byte(in) % 5);
        return byte(in) & 1 ? kiln_index_at(HERE, KILN_OPERAND(a), l)
                            : kiln_index_update_at(HERE, KILN_OPERAND(a), KILN_OPERAND(1), (kiln_scatter_how)(byte(in) % 6), l);
    }
    case 15: return byte(in) & 1 ? kiln_gather_nd(a, b, (int)n) : kiln_scatter_nd(a, b, 1, (kiln_scatter_how)(byte(in) % 6));
    default: return byte(in) & 1 ? kiln_put(a, b, 1) : kiln_scatter_along(a, b, 1, (int)n, (kiln_scatter_how)(byte(in) % 6));
    }
}

/* Labels of any kind, sensible ones most often. */
static kiln_tensor *summed(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    static const char *const some[] = {"ij,jk->ik", "ij,ij", "...i,...i->...", "ii->i", "i...,j...", "ij,jk,kl"};
    char text[24] = {0};
    const uint8_t which = byte(in);
    if (which < 128) return kiln_einsum(some[which % 6], which % 6 == 3 ? KILN_IN(a) : which % 6 == 5 ? KILN_IN(a, b, a) : KILN_IN(a, b));
    for (int i = 0; i < which % 23; i++) text[i] = "abij,->. "[byte(in) % 9];
    return kiln_einsum(text, KILN_IN(a, b));
}

static kiln_tensor *counted(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    kiln_tensor *places = NULL;
    const uint8_t which = byte(in);
    const int64_t n = number(in);
    switch (which % 16) {
    case 0: return kiln_cummax(a, (int)n, byte(in) & 1, &places);
    case 1: return kiln_cummin(a, (int)n, 0, NULL);
    case 2: return kiln_logcumsumexp(a, (int)n, byte(in) & 1);
    case 3: return kiln_diff(a, (int)n, number(in), byte(in) & 1 ? b : NULL, NULL);
    case 4: return kiln_searchsorted(a, b, which & 64);
    case 5: return kiln_histogram_range(a, n, -1, (double)number(in));
    case 6: return kiln_bincount(a, n, which & 64 ? b : NULL);
    case 7: return kiln_segment_sum(a, b, n);
    case 8: return kiln_segment_max(a, b, n);
    case 9: return kiln_segment_mean(a, b, n);
    case 10: return kiln_quantile(a, which & 64 ? 0.3 : 1, axes(in), (kiln_quantile_method)(byte(in) % 12));
    case 11: return kiln_vector_norm(a, (double)n, axes(in));
    case 12: return kiln_argmax_over(a, axes(in), byte(in));
    case 13: return kiln_tensordot(a, b, axes(in), axes(in));
    case 14: return which & 64 ? kiln_vecdot(a, b, (int)n) : kiln_cross(a, b, (int)n);
    default: return which & 64 ? kiln_matmul_integer(a, b, NULL, number(in)) : summed(in, a, b);
    }
}

static kiln_tensor *moved(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    switch (byte(in) % 22) {
    case 18: return compared(in, a, b);
    case 0: return kiln_reshape(a, shape(in));
    case 1: return kiln_broadcast(a, shape(in));
    case 2: {
        int axis = (int)number(in);
        int64_t start = number(in), stop = number(in), step = number(in);
        return kiln_slice(a, axis, start, stop, step);
    }
    case 3: {
        kiln_shape low = shape(in), high = shape(in);
        return kiln_pad(a, low, high, 1);
    }
    case 4: {
        int count = byte(in) % 4, axis = (int)number(in);
        return kiln_concat_at(HERE, (kiln_tensor *[]){a, b, a}, count, axis);
    }
    case 5: return kiln_stack_at(HERE, (kiln_tensor *[]){a, b, a}, 2, (int)number(in));
    case 6: return kiln_gather(a, b, (int)number(in));
    case 7: {
        int64_t classes = number(in);
        return kiln_one_hot(a, classes, dtype(in));
    }
    case 8: return kiln_max_pool(a, &(kiln_window){.size = {2, 2}, .stride = {number(in)}});
    case 9: {
        kiln_window w = window(in);
        if (byte(in) & 1) return byte(in) & 1 ? kiln_avg_pool(a, &w) : kiln_conv2d(a, b, &w);
        kiln_convolution c = {.same = w.same, .groups = w.groups, .channels_first = byte(in) & 1, .output_pad = {w.pad[1][1], 0, w.pad[0][0]}};
        memcpy(c.stride, w.stride, sizeof w.stride);
        memcpy(c.dilation, w.dilation, sizeof w.dilation);
        memcpy(c.pad, w.pad, sizeof w.pad);
        return byte(in) & 1 ? kiln_convolve(a, b, &c) : kiln_convolve_transposed(a, b, &c);
    }
    case 10:
        if (byte(in) & 1) return kiln_attention(a, b, a, &(kiln_attention_options){.mask = byte(in) & 1 ? b : NULL, .causal = byte(in) & 1, .cap = (double)number(in), .first = byte(in) & 1, .lengths = byte(in) & 1 ? b : NULL});
        if (byte(in) & 1) return kiln_rotary(a, b, b, byte(in) & 1 ? a : NULL, &(kiln_rotary_options){.interleaved = byte(in) & 1, .heads_last = byte(in) & 1});
        if (byte(in) & 1) {
            const kiln_recurrence o = {.direction = (kiln_direction)(byte(in) % 4), .batch_first = byte(in) & 1, .joined = byte(in) & 1, .lengths = byte(in) & 1 ? b : NULL, .h = byte(in) & 1 ? a : NULL};
            return byte(in) & 1 ? kiln_lstm(a, b, b, NULL, &o) : kiln_gru(a, b, b, NULL, &o);
        }
        if (byte(in) & 1) {
            const kiln_quantisation o = {.axis = (int)number(in), .block = number(in), .dtype = dtype(in)};
            return byte(in) & 1 ? kiln_quantise(a, b, NULL, &o) : kiln_dequantise(a, b, NULL, &o);
        }
        if (byte(in) & 1) return kiln_reverse_sequence(a, b, (int)number(in), (int)number(in));
        return kiln_layernorm(a, b, b, 1e-5);
    case 11: return kiln_take_along(a, b, (int)number(in));
    case 12: {
        int axis = (int)number(in);
        return kiln_scatter(a, b, byte(in) & 1 ? a : kiln_gather(a, b, axis), axis, (kiln_scatter_how)(byte(in) % 7));
    }
    case 13: {
        int axis = (int)number(in), how = (int)number(in);
        return byte(in) & 1 ? kiln_cumsum(a, axis, how) : kiln_cumprod(a, axis, how);
    }
    case 14: return kiln_recurrence(a, b, (int)number(in), byte(in) % 3);
    case 15: {
        kiln_tensor *places;
        int64_t count = number(in);
        kiln_tensor *best = kiln_top_k(a, count, (int)number(in), &places);
        return byte(in) & 1 ? best : places;
    }
    case 16: return byte(in) & 1 ? kiln_sort(a, (int)number(in), byte(in) & 4) : kiln_argsort(a, (int)number(in), byte(in));
    case 17: return kiln_where(kiln_lt(a, b), a, b);
    case 19: return counted(in, a, b);
    case 21: return imaged(in, a, b);
    default: return moved_far(in, a, b);
    }
}

static kiln_tensor *applied(Input *in, kiln_tensor *a, kiln_tensor *b)
{
    const kiln_operand x = KILN_OPERAND(a), y = KILN_OPERAND(b);
    uint8_t kind = byte(in);
    switch (kind % 8) {
    case 0: return unary[byte(in) % COUNT(unary)](HERE, x);
    case 1: return binary[byte(in) % COUNT(binary)](HERE, x, y);
    case 2: return binary[byte(in) % COUNT(binary)](HERE, x, kiln_of_i(number(in)));
    case 3: {
        Reduce *f = reduce[byte(in) % COUNT(reduce)];
        return f(HERE, x, axes(in));
    }
    case 4: {
        Along *f = along[byte(in) % COUNT(along)];
        return f(HERE, x, (int)number(in));
    }
    case 5: return kiln_cast(a, dtype(in));
    default: return moved(in, a, b);
    }
}

/* The engine has no generator yet: each draw is the first of one. */
static kiln_tensor *drawn(kiln *k, Input *in, kiln_dtype t, kiln_shape s)
{
    kiln_variable *g = kiln_generator(k, 7);
    const int64_t n = number(in), m = number(in);
    const double a = (double)n, b = (double)m;
    const bool whole = byte(in) & 1, distinct = byte(in) & 1;
    kiln_tensor *x = kiln_full(k, KILN_F32, KILN_SHAPE(2, 3), (float)byte(in) / 4), *r;
    const kiln_operand p = whole ? kiln_of_f(a) : kiln_of_tensor(x);
    switch (byte(in) % 16) {
    case 0: r = kiln_randint(g, t, s, n, m); break;
    case 1: r = kiln_bernoulli(g, p, s); break;
    case 2: r = kiln_permutation(g, n); break;
    case 3: r = kiln_shuffle(g, x, (int)n); break;
    case 4: r = kiln_choice(g, x, n, (int)m, whole ? kiln_mean(x, KILN_AXES(0)) : NULL, distinct * KILN_DISTINCT); break;
    case 5: r = kiln_categorical(g, x, n, distinct * KILN_DISTINCT); break;
    case 6: r = kiln_exponential(g, t, s, a); break;
    case 7: r = kiln_gumbel(g, t, s, a, b); break;
    case 8: r = kiln_laplace(g, t, s, a, b); break;
    case 9: r = kiln_logistic(g, t, s, a, b); break;
    case 10: r = kiln_cauchy(g, t, s, a, b); break;
    case 11: r = kiln_truncated_normal(g, t, s, 0.5, b, a - 1, a + b); break;
    case 12: r = kiln_gamma(g, t, s, p); break;
    case 13: r = kiln_beta(g, t, s, p, b); break;
    case 14: r = kiln_dirichlet(g, t, s, p); break;
    default: r = kiln_poisson(g, t, s, p); break;
    }
    kiln_variable_free(g);
    return r;
}

static inline kiln_tensor *made(kiln *k, Input *in)
{
    kiln_dtype t = dtype(in);
    uint8_t kind = byte(in);
    kiln_shape s = shape(in);
    switch (kind % 7) {
    case 6: return drawn(k, in, t, s);
    case 0: return kiln_full(k, t, s, number(in));
    case 1: return kiln_iota(k, t, s, (int)number(in));
    case 2: return kiln_random_bits(kiln_full(k, KILN_U64, KILN_SHAPE(2), 7), s);
    case 3: return kiln_scalar(k, KILN_F32, number(in));
    case 4: {
        int64_t start = number(in), stop = number(in);
        return byte(in) & 1 ? kiln_arange(k, t, start, stop, number(in)) : kiln_linspace(k, t, (double)start, (double)stop, number(in), byte(in) & 1);
    }
    default: return kiln_eye(k, t, s.size[1], s.size[2], number(in));
    }
}

/* Results too large to fill are not worth a fuzzer's time. */
static inline bool small(const kiln_tensor *t) { return kiln_bytes(t) <= 1 << 16; }

#endif
