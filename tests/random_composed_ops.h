/* random_composed_ops: the public functions that random graphs draw whole, as traces make graphs of them: what they take, and a
 * call with drawn options. Only random_composed.c includes it. */
#ifndef KILN_TESTS_RANDOM_COMPOSED_OPS_H
#define KILN_TESTS_RANDOM_COMPOSED_OPS_H

#include <kiln/kiln.h>

#include "random_graph.h"

#define R(n) ((int)random_below(r, (n)))
#define COMPOSED(name) static void call_##name(kiln_tensor *const *x, kiln_tensor **out, Random *r)
#define ONE(name, value) \
    COMPOSED(name)       \
    {                    \
        (void)r;         \
        out[0] = value;  \
    }

/* ---- sizes that nodes count: of elements that are greater than 0, or differ */
ONE(nonzero, kiln_nonzero(kiln_greater(x[0], 0)))
ONE(nonzero_within, kiln_nonzero_within(x[0], R(9)))
ONE(compress, kiln_compress(x[0], x[1], R(2)))
ONE(compress_within, kiln_compress_within(x[0], x[1], 0, R(4)))
ONE(masked, kiln_masked(x[0], kiln_greater(x[0], 0)))
ONE(masked_rows, kiln_masked(x[0], x[1]))
ONE(unique_values, kiln_unique_values(x[0]))
COMPOSED(unique_counts) { (void)r, kiln_unique_counts(x[0], out); }
COMPOSED(unique_inverse) { (void)r, kiln_unique_inverse(x[0], out); }
COMPOSED(unique_all) { (void)r, kiln_unique_all(x[0], out); }
ONE(suppression, kiln_non_max_suppression(x[0], x[1], R(4) - 1, 0.4, 0, R(2)))

/* ---- windows */
static kiln_pooling pooling(Random *r, int kind)
{
    kiln_pooling w = {.size = {1 + R(3), 1 + R(3)},
        .stride = {R(3), R(3)},
        .dilation = {R(2), 1 + R(2)},
        .ceil = R(2),
        .p = kind == KILN_POOL_LP ? 1 + R(2) : 0};
    for (int i = 0; i < 4; i++) w.pad[i / 2][i % 2] = R((int)w.size[i / 2]);
    w.same = R(4) == 0, w.same_lower = !w.same && R(4) == 0;
    w.channels_first = R(3) == 0, w.count_pad = R(2);
    return w;
}
#define POOL(name, kind)                    \
    COMPOSED(name)                          \
    {                                       \
        kiln_pooling w = pooling(r, kind);  \
        out[0] = kiln_pool(x[0], kind, &w); \
    }
POOL(pool_max, KILN_POOL_MAX)
POOL(pool_average, KILN_POOL_AVERAGE)
POOL(pool_lp, KILN_POOL_LP)
COMPOSED(pool_indices)
{
    kiln_pooling w = pooling(r, KILN_POOL_MAX);
    out[0] = kiln_pool_indices(x[0], &out[1], (kiln_plane_index)R(3), &w);
}
COMPOSED(unpool)
{
    const kiln_pooling w = {.size = {2, 2}};
    (void)r;
    kiln_tensor *i, *y = kiln_pool_indices(x[0], &i, KILN_INDEX_PLANE, &w);
    out[0] = kiln_unpool(y, i, KILN_INDEX_PLANE, KILN_SHAPE(7, 9), false);
}
ONE(pool_adaptive, kiln_pool_adaptive(x[0], (kiln_pool_kind)R(2), KILN_SHAPE(1 + R(3), 1 + R(3)), 0, false))
COMPOSED(unfold)
{
    kiln_pooling w = pooling(r, KILN_POOL_MAX);
    w.ceil = w.same = w.same_lower = false;
    out[0] = kiln_unfold(x[0], &w);
}
COMPOSED(fold)
{
    const kiln_pooling w = {.size = {2, 2}, .stride = {1, 2}};
    (void)r;
    out[0] = kiln_fold(x[0], KILN_SHAPE(4, 6), &w); /* 3 times 3 windows of 4 taps */
}
COMPOSED(resize)
{
    kiln_resizing o = {.kind = (kiln_resize_kind)R(3),
        .rule = (kiln_resize_rule)R(5),
        .nearest = (kiln_resize_nearest)R(4),
        .antialias = R(4) == 0};
    for (int i = 0; i < 2; i++) o.scale[i] = 0.5 + 0.25 * R(7);
    out[0] = kiln_resize(x[0], KILN_AXES(1, 2), &o);
}
COMPOSED(grid_sample)
{
    const kiln_sampling o = {.kind = (kiln_resize_kind)R(3), .border = (kiln_border)R(3), .align_corners = R(2)};
    out[0] = kiln_grid_sample(x[0], kiln_tanh(x[1]), &o);
}
COMPOSED(affine_sample)
{
    const kiln_sampling o = {.kind = KILN_RESIZE_LINEAR, .border = (kiln_border)R(3), .align_corners = R(2)};
    out[0] = kiln_grid_sample(x[0], kiln_affine_grid(x[1], KILN_SHAPE(3, 4), o.align_corners), &o);
}
COMPOSED(roi_align)
{
    const kiln_region o = {.size = {2, 2}, .samples = 1 + R(2), .half_pixel = R(2), .largest = R(2)};
    out[0] = kiln_roi_align(x[0], kiln_abs(x[1]), x[2], &o);
}
COMPOSED(convolve_transposed)
{
    const kiln_convolution o = {
        .stride = {1 + R(2), 1 + R(2)},
        .pad = {{R(2), R(2)}, {R(2), 0}},
    };
    out[0] = kiln_convolve_transposed(x[0], x[1], &o);
}
ONE(convolve_integer, kiln_convolve_integer(x[0], x[1], x[2], x[3], NULL))

/* ---- small integers */
ONE(quantise, kiln_quantise(x[0], kiln_add(kiln_abs(x[1]), 0.125), x[2], &(kiln_quantisation){.axis = -1}))
ONE(quantise_blocks,
    kiln_quantise(x[0], kiln_add(kiln_abs(x[1]), 0.125), NULL, &((kiln_quantisation){.axis = -1, .block = 2, .dtype = KILN_I8})))
ONE(dequantise, kiln_dequantise(x[0], x[1], x[2], &(kiln_quantisation){.axis = -1}))
COMPOSED(quantise_dynamic) { (void)r, out[0] = kiln_quantise_dynamic(x[0], &out[1], &out[2]); }
ONE(fake_quantise, kiln_fake_quantise(x[0], kiln_add(kiln_abs(x[1]), 0.125), NULL, -8, 7, NULL))

/* ---- recurrent networks */
static kiln_recurrence recurrence(Random *r, kiln_tensor *lengths)
{
    kiln_recurrence o = {.direction = (kiln_direction)R(2),
        .order = (kiln_gate_order)R(2),
        .lengths = R(2) ? lengths : NULL,
        .clip = R(3),
        .joined = R(2)};
    if (R(3) == 0) o.gate[0][0].kind = (kiln_gate_kind)(1 + R(11));
    return o;
}
#define RECURRENT(name, option)                           \
    COMPOSED(name)                                        \
    {                                                     \
        kiln_recurrence o = recurrence(r, x[4]);          \
        option;                                           \
        out[0] = kiln_##name(x[0], x[1], x[2], x[3], &o); \
    }
RECURRENT(rnn, (void)0)
RECURRENT(lstm, o.input_forget = R(3) == 0)
RECURRENT(gru, o.reset_first = R(2))
ONE(reverse_sequence, kiln_reverse_sequence(x[0], x[1], 0, 1))

/* ---- transforms */
ONE(fft, kiln_fft(x[0], R(2) ? 0 : 1 + R(12), 0, (kiln_fft_norm)R(3)))
ONE(ifft, kiln_ifft(x[0], R(2) ? 0 : 1 + R(12), 0, (kiln_fft_norm)R(3)))
ONE(rfft, kiln_rfft(x[0], R(2) ? 0 : 2 + R(20), -1, (kiln_fft_norm)R(3)))
ONE(irfft, kiln_irfft(x[0], R(2) ? 0 : 2 + R(20), 0, (kiln_fft_norm)R(3)))
ONE(hfft, kiln_hfft(x[0], 0, 0, (kiln_fft_norm)R(3)))
ONE(fftn, kiln_fftn(x[0], KILN_SHAPE(), KILN_AXES(0, 1), (kiln_fft_norm)R(3)))
ONE(stft, kiln_stft(x[0], x[1], 1 + R(4)))
ONE(istft, kiln_istft(x[0], x[1], 1 + R(4)))

/* ---- order and places */
ONE(sort, kiln_sort(x[0], R(2), R(2) ? KILN_DESCENDING : 0))
COMPOSED(top_k) { out[0] = kiln_top_k(x[0], 1 + R(2), 1, &out[1]); }
ONE(quantile, kiln_quantile(x[0], kiln_sigmoid(x[1]), KILN_AXES(0), (kiln_quantile_method)R(3)))
COMPOSED(cummax) { out[0] = kiln_cummax(x[0], R(2), R(2) ? KILN_REVERSE : 0, &out[1]); }
ONE(logcumsumexp, kiln_logcumsumexp(x[0], R(2), R(2) ? KILN_REVERSE : 0))
ONE(searchsorted, kiln_searchsorted(kiln_sort(x[0], 0, 0), x[1], 0))
ONE(histogram, kiln_histogram(x[0], kiln_sort(x[1], 0, 0)))
ONE(segment_sum, kiln_segment_sum(x[0], kiln_clip(x[1], 0, 3), 4))
ONE(take_along, kiln_take_along(x[0], kiln_argsort(x[0], 1, 0), 1))
ONE(scatter_along, kiln_scatter_along(x[0], kiln_argsort(x[0], 1, 0), x[0], 1, R(2) ? KILN_SCATTER_SET : KILN_SCATTER_ADD))

/* ---- matrices */
#define GRAM kiln_add(kiln_matmul(x[0], kiln_transpose(x[0], KILN_ALL)), kiln_eye(kiln_engine(x[0]), kiln_dtype_of(x[0]), 3, 3, 0))
ONE(cholesky, kiln_cholesky(GRAM))
ONE(solve, kiln_solve(GRAM, x[0]))
ONE(triangular_solve, kiln_triangular_solve(GRAM, x[0], 0))
ONE(det, kiln_det(x[0]))
COMPOSED(qr) { (void)r, out[0] = kiln_qr(x[0], &out[1]); }
COMPOSED(lu) { (void)r, out[0] = kiln_lu(x[0], &out[1]); }
ONE(matrix_power, kiln_matrix_power(x[0], R(4)))

/* ---- models */
ONE(layernorm, kiln_layernorm(x[0], x[1], x[2], 1e-3))
ONE(cross_entropy, kiln_cross_entropy(x[0], kiln_clip(x[1], 0, 2)))
COMPOSED(rotary)
{
    kiln_tensor *cosines, *sines;
    (void)r;
    kiln_rotary_tables(kiln_engine(x[0]), kiln_dtype_of(x[0]), 9, 2, 100, &cosines, &sines);
    out[0] = kiln_rotary(x[0], cosines, sines, kiln_iota(kiln_engine(x[0]), KILN_I64, KILN_SHAPE(7), 0), NULL);
}

/* What they take: per input a letter, a dtype of the call's own, and sizes, of which numbers are themselves and letters drawn: a
 * small one (4u: four times u), or for capitals 3 to 9 or N. A: any, N: numbers, F: floats, W: f32 or f64, I: indices, B: bools, Q:
 * i8 or u8, q: the same as Q. */
#define ROW(name, takes, outputs)          \
    {                                      \
#name, takes, call_##name, outputs \
    }
static const struct Composed {
    const char *name, *takes;
    void (*call)(kiln_tensor *const *x, kiln_tensor **out, Random *r);
    int outputs;
} composed[] = {ROW(nonzero, "N:A,b", 1), ROW(nonzero_within, "A:A,b", 1), ROW(compress, "A:A,A B:A", 1),
    ROW(compress_within, "A:A,b B:A", 1), ROW(masked, "N:A,b", 1), ROW(masked_rows, "A:A,b B:A", 1), ROW(unique_values, "A:A,b", 1),
    ROW(unique_counts, "A:A", 2), ROW(unique_inverse, "A:A", 2), ROW(unique_all, "A:A", 4), ROW(suppression, "W:1,b,4 W:1,2,b", 1),
    ROW(pool_max, "N:a,H,W,c", 1), ROW(pool_average, "F:a,H,W,c", 1), ROW(pool_lp, "F:a,H,W,c", 1),
    ROW(pool_indices, "N:a,H,W,c", 2), ROW(unpool, "N:a,7,9,c", 1), ROW(pool_adaptive, "F:a,7,8,c", 1), ROW(unfold, "N:a,H,W,c", 1),
    ROW(fold, "N:a,9,4c", 1), ROW(resize, "F:a,H,W,c", 1), ROW(grid_sample, "F:a,H,W,c F:a,3,b,2", 1),
    ROW(affine_sample, "F:a,H,W,c F:a,2,3", 1), ROW(roi_align, "F:a,7,8,c F:b,4 I:b", 1),
    ROW(convolve_transposed, "F:a,5,4,3 F:2,3,c,3", 1), ROW(convolve_integer, "Q:a,5,4,c q:2,2,c,d Q: q:", 1),
    ROW(quantise, "F:H,c W:c Q:c", 1), ROW(quantise_blocks, "F:H,2c W:H,c", 1), ROW(dequantise, "Q:H,c W:c Q:c", 1),
    ROW(quantise_dynamic, "F:H,c", 3), ROW(fake_quantise, "F:H,c F:", 1), ROW(rnn, "F:T,b,i F:1,u,i F:1,u,u F:1,2u I:b", 1),
    ROW(lstm, "F:T,b,i F:1,4u,i F:1,4u,u F:1,8u I:b", 1), ROW(gru, "F:T,b,i F:1,3u,i F:1,3u,u F:1,6u I:b", 1),
    ROW(reverse_sequence, "A:T,b,c I:b", 1), ROW(fft, "W:9,b,2", 1), ROW(ifft, "W:8,2", 1), ROW(rfft, "W:b,16", 1),
    ROW(irfft, "W:5,b,2", 1), ROW(hfft, "W:5,2", 1), ROW(fftn, "W:4,6,2", 1), ROW(stft, "W:b,17 W:8", 1),
    ROW(istft, "W:b,3,5,2 W:8", 1), ROW(sort, "A:A,B", 1), ROW(top_k, "A:A,5", 2), ROW(quantile, "F:A,b F:", 1),
    ROW(cummax, "A:A,b", 2), ROW(logcumsumexp, "F:A,b", 1), ROW(searchsorted, "N:A N:b,c", 1), ROW(histogram, "W:A,b W:4", 1),
    ROW(segment_sum, "N:A,b I:A", 1), ROW(take_along, "A:a,B", 1), ROW(scatter_along, "N:a,B", 1), ROW(cholesky, "W:3,3", 1),
    ROW(solve, "W:3,3", 1), ROW(triangular_solve, "W:3,3", 1), ROW(det, "W:3,3", 1), ROW(qr, "W:4,3", 2), ROW(lu, "W:b,3,3", 2),
    ROW(matrix_power, "F:3,3", 1), ROW(layernorm, "F:A,B F:B F:B", 1), ROW(cross_entropy, "F:A,3 I:A", 1),
    ROW(rotary, "F:b,7,4", 1)};
#undef ROW
#define COMPOSED_COUNT (sizeof composed / sizeof *composed)
#define COMPOSED_SIZED 10 /* the first ones count sizes by exact comparisons of what they take */

#endif
