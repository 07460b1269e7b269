/* ops.h: the operations on tensors. Included by kiln.h; compiles alone as C11 and C++17. Every operand may be a tensor, a variable
 * (read now) or a number (takes the other operand's dtype; a fraction with an integer tensor, or a number out of range, is an
 * error). Dtypes promote within a kind as the Python array API says; mixing kinds is an error that suggests kiln_cast. Shapes
 * broadcast as in NumPy. Every call returns a tensor owned by the innermost scope, poisoned after an error. Unless a line says
 * otherwise gradients flow. */
#ifndef KILN_OPS_H
#define KILN_OPS_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one operand: x of any shape; the result has its dtype and shape --------------------------------------
 * The letter: A every dtype, N numbers, F floats, L integers and bool. f32 functions are within 2 ulp (docs/numerics.md). */
KILN_API kiln_tensor *kiln_neg_at(kiln_site at, kiln_operand x);              /* N -x */
KILN_API kiln_tensor *kiln_abs_at(kiln_site at, kiln_operand x);              /* N |x|; gradient sign(x) */
KILN_API kiln_tensor *kiln_sign_at(kiln_site at, kiln_operand x);             /* N -1, 0 or 1; no gradient */
KILN_API kiln_tensor *kiln_floor_at(kiln_site at, kiln_operand x);            /* F toward minus infinity; no gradient */
KILN_API kiln_tensor *kiln_ceil_at(kiln_site at, kiln_operand x);             /* F toward plus infinity; no gradient */
KILN_API kiln_tensor *kiln_trunc_at(kiln_site at, kiln_operand x);            /* F toward zero; no gradient */
KILN_API kiln_tensor *kiln_round_at(kiln_site at, kiln_operand x);            /* F to nearest, ties to even; no gradient */
KILN_API kiln_tensor *kiln_sqrt_at(kiln_site at, kiln_operand x);             /* F correctly rounded */
KILN_API kiln_tensor *kiln_exp_at(kiln_site at, kiln_operand x);              /* F e^x */
KILN_API kiln_tensor *kiln_exp2_at(kiln_site at, kiln_operand x);             /* F 2^x */
KILN_API kiln_tensor *kiln_expm1_at(kiln_site at, kiln_operand x);            /* F e^x - 1 */
KILN_API kiln_tensor *kiln_log_at(kiln_site at, kiln_operand x);              /* F natural logarithm */
KILN_API kiln_tensor *kiln_log2_at(kiln_site at, kiln_operand x);             /* F base 2 */
KILN_API kiln_tensor *kiln_log10_at(kiln_site at, kiln_operand x);            /* F base 10 */
KILN_API kiln_tensor *kiln_log1p_at(kiln_site at, kiln_operand x);            /* F log(1 + x) */
KILN_API kiln_tensor *kiln_sin_at(kiln_site at, kiln_operand x);              /* F radians */
KILN_API kiln_tensor *kiln_cos_at(kiln_site at, kiln_operand x);              /* F radians */
KILN_API kiln_tensor *kiln_tan_at(kiln_site at, kiln_operand x);              /* F radians */
KILN_API kiln_tensor *kiln_asin_at(kiln_site at, kiln_operand x);             /* F in radians */
KILN_API kiln_tensor *kiln_acos_at(kiln_site at, kiln_operand x);             /* F in radians */
KILN_API kiln_tensor *kiln_atan_at(kiln_site at, kiln_operand x);             /* F in radians */
KILN_API kiln_tensor *kiln_sinh_at(kiln_site at, kiln_operand x);             /* F */
KILN_API kiln_tensor *kiln_cosh_at(kiln_site at, kiln_operand x);             /* F */
KILN_API kiln_tensor *kiln_tanh_at(kiln_site at, kiln_operand x);             /* F */
KILN_API kiln_tensor *kiln_erf_at(kiln_site at, kiln_operand x);              /* F 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x */
KILN_API kiln_tensor *kiln_not_at(kiln_site at, kiln_operand x);              /* L logical for bool, bitwise for integers; no gradient */

/* ---- elementwise, two operands, broadcast against each other ------------------------------------------------------------ */
KILN_API kiln_tensor *kiln_add_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x + y */
KILN_API kiln_tensor *kiln_sub_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x - y */
KILN_API kiln_tensor *kiln_mul_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x * y */
KILN_API kiln_tensor *kiln_div_at(kiln_site at, kiln_operand x, kiln_operand y);      /* F x / y */
KILN_API kiln_tensor *kiln_floor_div_at(kiln_site at, kiln_operand x, kiln_operand y);/* N largest integer not above x / y, as Python (f64 has CPython's bits); integer x // 0 is 0, of floats x / 0; no gradient */
KILN_API kiln_tensor *kiln_mod_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x - y * floor_div(x, y), sign of y, as Python */
KILN_API kiln_tensor *kiln_pow_at(kiln_site at, kiln_operand x, kiln_operand y);      /* F x^y; integers: see kiln_square; the gradient of x^0 is 0 */
KILN_API kiln_tensor *kiln_max_at(kiln_site at, kiln_operand x, kiln_operand y);      /* A NaN wins; gradient halves at ties */
KILN_API kiln_tensor *kiln_min_at(kiln_site at, kiln_operand x, kiln_operand y);      /* A NaN wins; gradient halves at ties */
KILN_API kiln_tensor *kiln_atan2_at(kiln_site at, kiln_operand x, kiln_operand y);    /* F angle of (y = x operand, x = y operand), radians */
KILN_API kiln_tensor *kiln_eq_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_ne_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_lt_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_le_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_gt_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_ge_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_and_at(kiln_site at, kiln_operand x, kiln_operand y);      /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_or_at(kiln_site at, kiln_operand x, kiln_operand y);       /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_xor_at(kiln_site at, kiln_operand x, kiln_operand y);      /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_shl_at(kiln_site at, kiln_operand x, kiln_operand y);      /* I x * 2^y, 0 beyond the width */
KILN_API kiln_tensor *kiln_shr_at(kiln_site at, kiln_operand x, kiln_operand y);      /* I arithmetic for signed types */

/* x where cond (bool) holds, else y; the three broadcast. Gradient: to x and y. */
KILN_API kiln_tensor *kiln_where_at(kiln_site at, kiln_operand cond, kiln_operand x, kiln_operand y);
/* The same elements as another dtype: float to integer truncates and saturates (NaN gives 0), to bool is x != 0. Gradient between
 * floats. */
KILN_API kiln_tensor *kiln_cast_at(kiln_site at, kiln_operand x, kiln_dtype to);
/* As kiln_cast, to a float dtype (KILN_EDTYPE: another); what lies beyond its largest number, infinity too, becomes +-that number.
 * NaN stays NaN. Gradient: 0 where |x| is beyond. */
KILN_API kiln_tensor *kiln_cast_saturated_at(kiln_site at, kiln_operand x, kiln_dtype to);

/* ---- composites and activations, elementwise ----------------------------------------------------------------------------------
 * Gradients of these and of all elementwise operations are finite and right wherever value and true gradient are finite, first and
 * second order, however far out x lies. Composites of 16-bit floats, here and below, compute in f32 and round once, and so do their
 * gradients. */
KILN_API kiln_tensor *kiln_square_at(kiln_site at, kiln_operand x);      /* x * x */
KILN_API kiln_tensor *kiln_reciprocal_at(kiln_site at, kiln_operand x);  /* 1 / x */
KILN_API kiln_tensor *kiln_rsqrt_at(kiln_site at, kiln_operand x);       /* F 1 / sqrt(x) */
KILN_API kiln_tensor *kiln_relu_at(kiln_site at, kiln_operand x);        /* x where x > 0, else 0; NaN stays NaN; gradient 0 at 0 */
KILN_API kiln_tensor *kiln_sigmoid_at(kiln_site at, kiln_operand x);     /* F 1 / (1 + exp(-x)) */
KILN_API kiln_tensor *kiln_silu_at(kiln_site at, kiln_operand x);        /* F x * sigmoid(x); 0 at minus infinity, as gelu and gelu_tanh */
KILN_API kiln_tensor *kiln_softplus_at(kiln_site at, kiln_operand x);    /* F log(1 + exp(x)); gradient sigmoid(x) */
KILN_API kiln_tensor *kiln_gelu_at(kiln_site at, kiln_operand x);        /* F x/2 (1 + erf(x / sqrt 2)), Hendrycks & Gimpel 2016 */
KILN_API kiln_tensor *kiln_gelu_tanh_at(kiln_site at, kiln_operand x);   /* F x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), same source */
KILN_API kiln_tensor *kiln_clip_at(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi); /* min(max(x, lo), hi) */
KILN_API kiln_tensor *kiln_isnan_at(kiln_site at, kiln_operand x);       /* bool */
KILN_API kiln_tensor *kiln_isfinite_at(kiln_site at, kiln_operand x);    /* bool */
KILN_API kiln_tensor *kiln_zeros_like_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_ones_like_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_stop_gradient_at(kiln_site at, kiln_operand x); /* x; nothing flows back */

/* ---- reductions: over KILN_AXES(...), KILN_KEEP(...) or KILN_ALL ----------------------------------------------------------------
 * Negative axes count from the end; an axis named twice is an error. The order of additions is fixed (docs/numerics.md). */
KILN_API kiln_tensor *kiln_sum_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* N; integers wrap; empty: 0 */
KILN_API kiln_tensor *kiln_prod_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* N; empty: 1 */
KILN_API kiln_tensor *kiln_mean_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* F; empty: NaN */
KILN_API kiln_tensor *kiln_reduce_max_at(kiln_site at, kiln_operand x, kiln_axes axes); /* A; empty is an error; gradient shared by ties */
KILN_API kiln_tensor *kiln_reduce_min_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_variance_at(kiln_site at, kiln_operand x, kiln_axes axes); /* F; mean of squared distance from the mean (divides by n) */
KILN_API kiln_tensor *kiln_any_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* bool only; empty: false */
KILN_API kiln_tensor *kiln_all_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* bool only; empty: true */
KILN_API kiln_tensor *kiln_argmax_at(kiln_site at, kiln_operand x, int axis);      /* N; i64; first of equals, first NaN wins; no gradient */
KILN_API kiln_tensor *kiln_argmin_at(kiln_site at, kiln_operand x, int axis);

/* ---- contraction
 * ------------------------------------------------------------------------------------------------------------------ */
/* x [..., m, k] . y [..., k, n] -> [..., m, n]; leading axes broadcast; a rank-1 x is a row, a rank-1 y a column, and that axis
 * goes from the result. Floats. A transposed operand is read in place. Cost 2 m k n flops per batch entry. */
KILN_API kiln_tensor *kiln_matmul_at(kiln_site at, kiln_operand x, kiln_operand y);

/* ---- movement
 * ------------------------------------------------------------------------------------------------------------------------ */
KILN_API kiln_tensor *kiln_reshape_at(kiln_site at, kiln_operand x, kiln_shape s); /* one size may be -1: what remains */
KILN_API kiln_tensor *kiln_transpose_at(kiln_site at, kiln_operand x, kiln_axes perm); /* KILN_AXES(1, 0); KILN_ALL: reversed */
KILN_API kiln_tensor *kiln_broadcast_at(kiln_site at, kiln_operand x, kiln_shape s); /* -1: the operand's own size */
KILN_API kiln_tensor *kiln_expand_at(kiln_site at, kiln_operand x, int axis);      /* inserts an axis of size 1 */
KILN_API kiln_tensor *kiln_squeeze_at(kiln_site at, kiln_operand x, int axis);     /* removes an axis of size 1 */
KILN_API kiln_tensor *kiln_flatten_at(kiln_site at, kiln_operand x);               /* [n, ...] -> [n, rest] */
/* x[start : stop : step] along one axis, as Python: negative start and stop count from the end, both are clamped; step may be
 * negative, not 0. KILN_END as stop: to the end in the step's direction (x[::-1] is -1, KILN_END, -1). In a trace of a bounded
 * size, bounds whose place depends on that size are KILN_EUNSUPPORTED. */
#define KILN_END INT64_MAX
KILN_API kiln_tensor *kiln_slice_at(kiln_site at, kiln_operand x, int axis, int64_t start, int64_t stop, int64_t step);
KILN_API kiln_tensor *kiln_pad_at(kiln_site at, kiln_operand x, kiln_shape low, kiln_shape high, kiln_operand fill); /* a size per axis */
/* Tensors and variables along an axis, of kinds that promote: kiln_concat(KILN_IN(a, v), 0) joins, the other sizes equal;
 * kiln_stack puts equal shapes side by side along a new axis. (A list and its count as two arguments is the older way.) */
KILN_API kiln_tensor *kiln_concat_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_stack_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_concat_at(kiln_site at, kiln_tensor *const *x, int count, int axis);
KILN_API kiln_tensor *kiln_stack_at(kiln_site at, kiln_tensor *const *x, int count, int axis);
/* Along an axis each element with all before it, of x's shape: N sums and products (docs/numerics.md has their order). how: 0, or a sum of
 * KILN_REVERSE (from the end) and KILN_EXCLUSIVE (without the element itself: 0, or 1, comes first). 16-bit floats compute in f32 and round
 * once. Gradients are right where factors are 0. */
#define KILN_REVERSE 1
#define KILN_EXCLUSIVE 2
KILN_API kiln_tensor *kiln_cumsum_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_cumprod_at(kiln_site at, kiln_operand x, int axis, int how);
/* h[i] = a[i] * h[i - 1] + b[i] along the axis, h being 0 before the first (N; in order of the index; how: 0 or KILN_REVERSE): moving averages,
 * discounted returns, linear state spaces. a and b broadcast and promote. */
KILN_API kiln_tensor *kiln_recurrence_at(kiln_site at, kiln_operand a, kiln_operand b, int axis, int how);
/* The elements along an axis in order, A: the smallest first, or with KILN_DESCENDING as `how` (else 0) the largest; NaN is last in both, -0
 * equals 0, and equals stay as they lie (stable). kiln_sort gives the elements (gradient to x), kiln_argsort their places, i64. kiln_top_k gives
 * the `count` largest, the largest first, of equals the first; their places go to *indices, NULL if nobody wants them. */
#define KILN_DESCENDING 4
KILN_API kiln_tensor *kiln_sort_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_argsort_at(kiln_site at, kiln_operand x, int axis, int how); /* no gradient */
KILN_API kiln_tensor *kiln_top_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices);
/* Indices out of range, negative ones included (they do not count from the end): kiln_gather takes the nearest that is in range,
 * kiln_one_hot makes a row of zeros, kiln_cross_entropy leaves the row out, kiln_assign_slice (control.h) and kiln_switch clamp. In
 * a checked engine (.checked of kiln_options, or KILN_CHECKED=1) each is an error instead, eagerly and compiled, KILN_EVALUE:
 * "gather: an index is out of range: element [1,0] is 7, of a size of 5: i64[2,2]  a.c:12"; the cost is a pass over the indices. */
KILN_API kiln_tensor *kiln_gather_at(kiln_site at, kiln_operand x, kiln_operand indices, int axis); /* axis of x becomes the indices' axes; out of range clamps; gradient to x */
/* The element of x along the axis that each index names, elsewhere at the index's own place (NumPy's take_along_axis): indices have x's
 * shape but for that axis. Out of range clamps; gradient to x. */
KILN_API kiln_tensor *kiln_take_along_at(kiln_site at, kiln_operand x, kiln_operand indices, int axis);
/* x with updates put where the indices say along the axis; the updates' shape is x's with the indices' axes in place of that axis, or they are
 * one number. SET: the last of several wins. ADD, MUL, MAX, MIN (N): each is combined with what lies there, in order of the indices;
 * floats of 16 bits add and multiply in f32 and round once. Out of range clamps. Gradients: to x and updates; of SET to what is left of x and
 * to the winners; of MAX and MIN in equal shares to all that tie; of MUL right where factors are 0. */
typedef enum kiln_scatter_how { KILN_SCATTER_SET, KILN_SCATTER_ADD, KILN_SCATTER_MUL, KILN_SCATTER_MAX, KILN_SCATTER_MIN } kiln_scatter_how;
KILN_API kiln_tensor *kiln_scatter_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_operand updates, int axis, kiln_scatter_how how);
KILN_API kiln_tensor *kiln_one_hot_at(kiln_site at, kiln_operand indices, int64_t classes, kiln_dtype t); /* a last axis of that size; out of range: all 0; no gradient */

/* ---- convolution and pooling: channels last
 * ------------------------------------------------------------------------------------------- */
typedef struct kiln_window {
    int64_t size[2];     /* pooling: height, width of the window */
    int64_t stride[2];   /* 0: 1 for convolution, the size for pooling */
    int64_t dilation[2]; /* 0: 1 */
    int64_t pad[2][2];   /* per axis: before, after; in elements */
    bool same;           /* pads so that out = ceil(in / stride), the odd element after; pad is ignored */
    int64_t groups;      /* convolution; 0: 1 */
} kiln_window;
/* x [n, h, w, c], filters [kh, kw, c / groups, o] -> [n, oh, ow, o]; floats. window may be NULL. */
KILN_API kiln_tensor *kiln_conv2d_sized(kiln_site at, kiln_operand x, kiln_operand filters, const kiln_window *window, size_t size);
KILN_API kiln_tensor *kiln_max_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size);
KILN_API kiln_tensor *kiln_avg_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size); /* floats; padding is not counted */
/* Of a window that covers nothing but padding: max is minus infinity (the smallest integer), avg is NaN, as kiln_mean of nothing;
 * its cotangent goes nowhere. */

/* ---- normalisation and losses
 * ------------------------------------------------------------------------------------------------------------ */
KILN_API kiln_tensor *kiln_softmax_at(kiln_site at, kiln_operand x, int axis);      /* exp(x - max) / sum; NaN along a row of minus infinities alone */
KILN_API kiln_tensor *kiln_log_softmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_logsumexp_at(kiln_site at, kiln_operand x, int axis);    /* the axis is removed; of minus infinities alone it is that, with gradient 0 */
/* (x - mean) / sqrt(variance + epsilon) over the last axis, times scale, plus shift (each NULL or [last]); Ba et al. 2016. epsilon
 * 0: 1e-5. Where the square of x - mean is beyond the type that it is computed in (|x - mean| > 1.8e19 in f32) the result is 0. */
KILN_API kiln_tensor *kiln_layernorm_at(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand shift, double epsilon);
KILN_API kiln_tensor *kiln_mse_at(kiln_site at, kiln_operand prediction, kiln_operand target); /* mean of squared differences over everything; equal shapes, or a number */
/* Mean over the batch of -log softmax(logits)[label]; logits [n, classes], labels [n] integers, or probabilities [n, classes] of
 * the logits' dtype. A row whose label lies outside [0, classes) takes no part: the mean is over the others, and no gradient flows
 * to it (an error in a checked engine, see kiln_gather); without any row that counts the loss is 0. A class of probability 0 and
 * logit minus infinity adds nothing. */
KILN_API kiln_tensor *kiln_cross_entropy_at(kiln_site at, kiln_operand logits, kiln_operand labels);
KILN_API kiln_tensor *kiln_norm_at(kiln_site at, kiln_operand x);                   /* sqrt(sum(x * x)) over everything, where squares leave the range, too; gradient 0 at 0. Cost: two passes where compiled or recorded */

/* ---- random: a generator is a u64[2] variable (key, counter) that each draw advances
 * -------------------------------------------------------- */
KILN_API kiln_variable *kiln_generator_at(kiln_site at, kiln *k, uint64_t seed);
/* In place of a generator where a layer is made (nn.h): weights that start at 0. Two such layers in a row never learn. */
#define KILN_ZEROS kiln_zero_start()
KILN_API kiln_variable *kiln_zero_start(void);
KILN_API kiln_tensor *kiln_random_bits_at(kiln_site at, kiln_operand key, kiln_shape s); /* u64[2] -> u32; Philox4x32-10, Salmon et al. 2011: element i is word i mod 4 of block i/4 */
KILN_API kiln_tensor *kiln_uniform_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double lo, double hi); /* [lo, hi), which holds a number of the dtype: the top 24 (f32) bits; floats */
KILN_API kiln_tensor *kiln_normal_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double mean, double deviation); /* Box and Muller 1958 */
/* x with each element zeroed with probability rate (a number in [0, 1) or a float scalar in [0, 1]), the rest divided by 1 - rate.
 * A tensor outside [0, 1] counts as the nearest rate that is in it; in a checked engine (kiln_gather) it is an error. */
KILN_API kiln_tensor *kiln_dropout_at(kiln_site at, kiln_operand x, kiln_operand rate, kiln_variable *generator);

#ifdef __cplusplus
}
#endif

/* ---- the calls as written in programs --------------------------------------------------------------------------------- */
#define kiln_concat(...) KILN_CAT(KILN_CONCAT_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_CONCAT_2(x, axis) kiln_concat_of_at(KILN_HERE, x, (axis))
#define KILN_CONCAT_3(...) KILN_CONCAT_M(__VA_ARGS__)
#define KILN_CONCAT_4(...) KILN_CONCAT_M(__VA_ARGS__)
#define KILN_CONCAT_M(...) kiln_concat_at(KILN_HERE, __VA_ARGS__)
#define kiln_stack(...) KILN_CAT(KILN_STACK_, KILN_FEW(__VA_ARGS__))(__VA_ARGS__)
#define KILN_STACK_2(x, axis) kiln_stack_of_at(KILN_HERE, x, (axis))
#define KILN_STACK_3(...) KILN_STACK_M(__VA_ARGS__)
#define KILN_STACK_4(...) KILN_STACK_M(__VA_ARGS__)
#define KILN_STACK_M(...) kiln_stack_at(KILN_HERE, __VA_ARGS__)
/* window: &(kiln_window){...} or NULL */
#define kiln_conv2d(x, filters, ...) kiln_conv2d_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_window))
#define kiln_max_pool(x, ...) kiln_max_pool_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_window))
#define kiln_avg_pool(x, ...) kiln_avg_pool_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_window))
#define kiln_equal(x, y) kiln_eq(x, y)
#define kiln_not_equal(x, y) kiln_ne(x, y)
#define kiln_less(x, y) kiln_lt(x, y)
#define kiln_less_equal(x, y) kiln_le(x, y)
#define kiln_greater(x, y) kiln_gt(x, y)
#define kiln_greater_equal(x, y) kiln_ge(x, y)
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_neg(x) kiln_neg_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_abs(x) kiln_abs_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sign(x) kiln_sign_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_floor(x) kiln_floor_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_ceil(x) kiln_ceil_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_trunc(x) kiln_trunc_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_round(x) kiln_round_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sqrt(x) kiln_sqrt_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_exp(x) kiln_exp_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_exp2(x) kiln_exp2_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_expm1(x) kiln_expm1_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_log(x) kiln_log_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_log2(x) kiln_log2_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_log10(x) kiln_log10_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_log1p(x) kiln_log1p_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sin(x) kiln_sin_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_cos(x) kiln_cos_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_tan(x) kiln_tan_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_asin(x) kiln_asin_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_acos(x) kiln_acos_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_atan(x) kiln_atan_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sinh(x) kiln_sinh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_cosh(x) kiln_cosh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_tanh(x) kiln_tanh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_erf(x) kiln_erf_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_not(x) kiln_not_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_add(x, y) kiln_add_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_sub(x, y) kiln_sub_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_mul(x, y) kiln_mul_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_div(x, y) kiln_div_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_floor_div(x, y) kiln_floor_div_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_mod(x, y) kiln_mod_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_pow(x, y) kiln_pow_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_max(x, y) kiln_max_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_min(x, y) kiln_min_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_atan2(x, y) kiln_atan2_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_eq(x, y) kiln_eq_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_ne(x, y) kiln_ne_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_lt(x, y) kiln_lt_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_le(x, y) kiln_le_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_gt(x, y) kiln_gt_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_ge(x, y) kiln_ge_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_and(x, y) kiln_and_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_or(x, y) kiln_or_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_xor(x, y) kiln_xor_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_shl(x, y) kiln_shl_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_shr(x, y) kiln_shr_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_where(cond, x, y) kiln_where_at(KILN_HERE, KILN_OPERAND(cond), KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_cast(x, to) kiln_cast_at(KILN_HERE, KILN_OPERAND(x), (to))
#define kiln_cast_saturated(x, to) kiln_cast_saturated_at(KILN_HERE, KILN_OPERAND(x), (to))
#define kiln_square(x) kiln_square_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_reciprocal(x) kiln_reciprocal_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_rsqrt(x) kiln_rsqrt_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_relu(x) kiln_relu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sigmoid(x) kiln_sigmoid_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_silu(x) kiln_silu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_softplus(x) kiln_softplus_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_gelu(x) kiln_gelu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_gelu_tanh(x) kiln_gelu_tanh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_clip(x, lo, hi) kiln_clip_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(lo), KILN_OPERAND(hi))
#define kiln_isnan(x) kiln_isnan_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_isfinite(x) kiln_isfinite_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_zeros_like(x) kiln_zeros_like_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_ones_like(x) kiln_ones_like_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_stop_gradient(x) kiln_stop_gradient_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sum(x, axes) kiln_sum_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_prod(x, axes) kiln_prod_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_mean(x, axes) kiln_mean_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_max(x, axes) kiln_reduce_max_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_reduce_min(x, axes) kiln_reduce_min_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_variance(x, axes) kiln_variance_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_any(x, axes) kiln_any_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_all(x, axes) kiln_all_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_argmax(x, axis) kiln_argmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_argmin(x, axis) kiln_argmin_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_matmul(x, y) kiln_matmul_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_reshape(x, s) kiln_reshape_at(KILN_HERE, KILN_OPERAND(x), s)
#define kiln_transpose(x, perm) kiln_transpose_at(KILN_HERE, KILN_OPERAND(x), perm)
#define kiln_broadcast(x, s) kiln_broadcast_at(KILN_HERE, KILN_OPERAND(x), s)
#define kiln_expand(x, axis) kiln_expand_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_squeeze(x, axis) kiln_squeeze_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_flatten(x) kiln_flatten_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_slice(x, axis, start, stop, step) kiln_slice_at(KILN_HERE, KILN_OPERAND(x), (axis), (start), (stop), (step))
#define kiln_pad(x, low, high, fill) kiln_pad_at(KILN_HERE, KILN_OPERAND(x), low, high, KILN_OPERAND(fill))
#define kiln_cumsum(x, axis, how) kiln_cumsum_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_cumprod(x, axis, how) kiln_cumprod_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_recurrence(a, b, axis, how) kiln_recurrence_at(KILN_HERE, KILN_OPERAND(a), KILN_OPERAND(b), (axis), (how))
#define kiln_sort(x, axis, how) kiln_sort_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_argsort(x, axis, how) kiln_argsort_at(KILN_HERE, KILN_OPERAND(x), (axis), (how))
#define kiln_top_k(x, count, axis, indices) kiln_top_k_at(KILN_HERE, KILN_OPERAND(x), (count), (axis), (indices))
#define kiln_gather(x, indices, axis) kiln_gather_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (axis))
#define kiln_take_along(x, indices, axis) kiln_take_along_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (axis))
#define kiln_scatter(x, indices, updates, axis, how) kiln_scatter_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), KILN_OPERAND(updates), (axis), (how))
#define kiln_one_hot(indices, classes, t) kiln_one_hot_at(KILN_HERE, KILN_OPERAND(indices), (classes), (t))
#define kiln_softmax(x, axis) kiln_softmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_log_softmax(x, axis) kiln_log_softmax_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_logsumexp(x, axis) kiln_logsumexp_at(KILN_HERE, KILN_OPERAND(x), (axis))
#define kiln_layernorm(x, scale, shift, epsilon) kiln_layernorm_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(shift), (epsilon))
#define kiln_mse(prediction, target) kiln_mse_at(KILN_HERE, KILN_OPERAND(prediction), KILN_OPERAND(target))
#define kiln_cross_entropy(logits, labels) kiln_cross_entropy_at(KILN_HERE, KILN_OPERAND(logits), KILN_OPERAND(labels))
#define kiln_norm(x) kiln_norm_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_generator(k, seed) kiln_generator_at(KILN_HERE, (k), (seed))
#define kiln_random_bits(key, s) kiln_random_bits_at(KILN_HERE, KILN_OPERAND(key), s)
#define kiln_uniform(generator, t, s, lo, hi) kiln_uniform_at(KILN_HERE, (generator), (t), s, (lo), (hi))
#define kiln_normal(generator, t, s, mean, deviation) kiln_normal_at(KILN_HERE, (generator), (t), s, (mean), (deviation))
#define kiln_dropout(x, rate, generator) kiln_dropout_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(rate), (generator))

#endif
