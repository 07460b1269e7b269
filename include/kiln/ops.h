/* ops.h: the operations on tensors. kiln.h includes it; it compiles alone as C11 and C++17. Every operand may be a tensor, a
 * variable (which is read now) or a number. A number takes the other operand's dtype; a fraction beside an integer tensor, or a
 * number out of range, is an error. Dtypes promote within a kind as in the Python array API; mixing kinds is an error that suggests
 * kiln_cast. Shapes broadcast as in NumPy. The innermost scope owns the tensor that a call returns, which is poisoned after an
 * error. Gradients flow unless a line says otherwise. */
#ifndef KILN_OPS_H
#define KILN_OPS_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one operand: x may have any shape; the result has its dtype and shape --------------------------------------
 * The letter says which dtypes are allowed: A all, N numbers, F floats, L integers and bool, I integers. Functions of f32 are
 * within 2 ulp (docs/numerics.md). */
KILN_API kiln_tensor *kiln_neg_at(kiln_site at, kiln_operand x);              /* N -x */
KILN_API kiln_tensor *kiln_abs_at(kiln_site at, kiln_operand x);              /* N |x|; gradient sign(x) */
KILN_API kiln_tensor *kiln_sign_at(kiln_site at, kiln_operand x);             /* N -1, 0 or 1; no gradient */
KILN_API kiln_tensor *kiln_floor_at(kiln_site at, kiln_operand x);            /* F toward minus infinity; no gradient */
KILN_API kiln_tensor *kiln_ceil_at(kiln_site at, kiln_operand x);             /* F toward plus infinity; no gradient */
KILN_API kiln_tensor *kiln_trunc_at(kiln_site at, kiln_operand x);            /* F toward zero; no gradient */
KILN_API kiln_tensor *kiln_round_at(kiln_site at, kiln_operand x);            /* F to nearest, ties to even; no gradient */
KILN_API kiln_tensor *kiln_sqrt_at(kiln_site at, kiln_operand x);             /* F square root, correctly rounded */
KILN_API kiln_tensor *kiln_exp_at(kiln_site at, kiln_operand x);              /* F e^x */
KILN_API kiln_tensor *kiln_exp2_at(kiln_site at, kiln_operand x);             /* F 2^x */
KILN_API kiln_tensor *kiln_expm1_at(kiln_site at, kiln_operand x);            /* F e^x - 1 */
KILN_API kiln_tensor *kiln_log_at(kiln_site at, kiln_operand x);              /* F natural logarithm */
KILN_API kiln_tensor *kiln_log2_at(kiln_site at, kiln_operand x);             /* F base 2 */
KILN_API kiln_tensor *kiln_log10_at(kiln_site at, kiln_operand x);            /* F base 10 */
KILN_API kiln_tensor *kiln_log1p_at(kiln_site at, kiln_operand x);            /* F log(1 + x) */
KILN_API kiln_tensor *kiln_sin_at(kiln_site at, kiln_operand x);              /* F x in radians */
KILN_API kiln_tensor *kiln_cos_at(kiln_site at, kiln_operand x);              /* F x in radians */
KILN_API kiln_tensor *kiln_tan_at(kiln_site at, kiln_operand x);              /* F x in radians */
KILN_API kiln_tensor *kiln_asin_at(kiln_site at, kiln_operand x);             /* F result in radians */
KILN_API kiln_tensor *kiln_acos_at(kiln_site at, kiln_operand x);             /* F result in radians */
KILN_API kiln_tensor *kiln_atan_at(kiln_site at, kiln_operand x);             /* F result in radians */
KILN_API kiln_tensor *kiln_sinh_at(kiln_site at, kiln_operand x);             /* F hyperbolic */
KILN_API kiln_tensor *kiln_cosh_at(kiln_site at, kiln_operand x);             /* F hyperbolic */
KILN_API kiln_tensor *kiln_tanh_at(kiln_site at, kiln_operand x);             /* F hyperbolic */
/* F error function: 2/sqrt(pi) integral of exp(-t^2), 0 to x */
KILN_API kiln_tensor *kiln_erf_at(kiln_site at, kiln_operand x);
/* L logical of bool, bitwise of integers; no gradient */
KILN_API kiln_tensor *kiln_not_at(kiln_site at, kiln_operand x);

/* ---- elementwise, two operands, broadcast against each other ------------------------------------------------------------ */
KILN_API kiln_tensor *kiln_add_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x + y */
KILN_API kiln_tensor *kiln_sub_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x - y */
KILN_API kiln_tensor *kiln_mul_at(kiln_site at, kiln_operand x, kiln_operand y);      /* N x * y */
KILN_API kiln_tensor *kiln_div_at(kiln_site at, kiln_operand x, kiln_operand y);      /* F x / y */
/* N the largest integer not above x / y, rounded as in Python (f64 has CPython's bits). An integer x // 0 is 0; of floats it is x /
 * 0. No gradient. */
KILN_API kiln_tensor *kiln_floor_div_at(kiln_site at, kiln_operand x, kiln_operand y);
/* N x - y * floor_div(x, y), with y's sign, as Python */
KILN_API kiln_tensor *kiln_mod_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F x^y (of integers: kiln_square); x^0 has gradient 0 */
KILN_API kiln_tensor *kiln_pow_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_max_at(kiln_site at, kiln_operand x, kiln_operand y);      /* A NaN wins; ties halve the gradient */
KILN_API kiln_tensor *kiln_min_at(kiln_site at, kiln_operand x, kiln_operand y);      /* A NaN wins; ties halve the gradient */
/* F the angle of the point (y, x), in radians */
KILN_API kiln_tensor *kiln_atan2_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_eq_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_ne_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_lt_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_le_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_gt_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_ge_at(kiln_site at, kiln_operand x, kiln_operand y);       /* A bool */
KILN_API kiln_tensor *kiln_and_at(kiln_site at, kiln_operand x, kiln_operand y);      /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_or_at(kiln_site at, kiln_operand x, kiln_operand y);       /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_xor_at(kiln_site at, kiln_operand x, kiln_operand y);      /* L logical for bool, bitwise for integers */
/* I x * 2^y; 0 where y is at least the width in bits */
KILN_API kiln_tensor *kiln_shl_at(kiln_site at, kiln_operand x, kiln_operand y);
/* I x / 2^y rounded down; signed types keep their sign */
KILN_API kiln_tensor *kiln_shr_at(kiln_site at, kiln_operand x, kiln_operand y);

/* x where cond (bool) holds, else y. The three operands broadcast. Gradients flow to x and y. */
KILN_API kiln_tensor *kiln_where_at(kiln_site at, kiln_operand cond, kiln_operand x, kiln_operand y);
/* The same elements in another dtype. A float cast to an integer is truncated and clamped to the range (NaN gives 0); cast to bool
 * it is x != 0. Gradients flow between floats. */
KILN_API kiln_tensor *kiln_cast_at(kiln_site at, kiln_operand x, kiln_dtype to);
/* As kiln_cast to a float dtype (any other is KILN_EDTYPE), but a value beyond its largest number, infinity included, becomes that
 * number with the value's sign. NaN stays NaN. The gradient is 0 where |x| is beyond. */
KILN_API kiln_tensor *kiln_cast_saturated_at(kiln_site at, kiln_operand x, kiln_dtype to);

/* ---- composites and activations, elementwise ----------------------------------------------------------------------------------
 * The gradients, first and second order, of these and of all elementwise operations are finite and right wherever the value and the
 * true gradient are finite, however far out x lies. Composites of 16-bit floats, here and below, and their gradients compute in f32
 * and round once. */
KILN_API kiln_tensor *kiln_square_at(kiln_site at, kiln_operand x);      /* x * x */
KILN_API kiln_tensor *kiln_reciprocal_at(kiln_site at, kiln_operand x);  /* 1 / x */
KILN_API kiln_tensor *kiln_rsqrt_at(kiln_site at, kiln_operand x);       /* F 1 / sqrt(x) */
KILN_API kiln_tensor *kiln_relu_at(kiln_site at, kiln_operand x);        /* x where x > 0, else 0; NaN stays; gradient 0 at 0 */
KILN_API kiln_tensor *kiln_sigmoid_at(kiln_site at, kiln_operand x);     /* F 1 / (1 + exp(-x)) */
KILN_API kiln_tensor *kiln_silu_at(kiln_site at, kiln_operand x);        /* F x * sigmoid(x); silu, gelu, gelu_tanh are 0 at -inf */
KILN_API kiln_tensor *kiln_softplus_at(kiln_site at, kiln_operand x);    /* F log(1 + exp(x)); gradient sigmoid(x) */
KILN_API kiln_tensor *kiln_gelu_at(kiln_site at, kiln_operand x);        /* F x/2 (1 + erf(x / sqrt 2)), Hendrycks & Gimpel */
KILN_API kiln_tensor *kiln_gelu_tanh_at(kiln_site at, kiln_operand x);   /* F x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
KILN_API kiln_tensor *kiln_clip_at(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi); /* min(max(x, lo), hi) */
KILN_API kiln_tensor *kiln_isnan_at(kiln_site at, kiln_operand x);       /* bool */
KILN_API kiln_tensor *kiln_isfinite_at(kiln_site at, kiln_operand x);    /* bool */
KILN_API kiln_tensor *kiln_zeros_like_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_ones_like_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_stop_gradient_at(kiln_site at, kiln_operand x); /* x; no gradient flows to x */

/* ---- reductions: over KILN_AXES(...), KILN_KEEP(...) or KILN_ALL ----------------------------------------------------------------
 * Negative axes count from the end; an axis named twice is an error. The order of additions is fixed (docs/numerics.md). "empty"
 * says what a reduction over no elements gives. */
KILN_API kiln_tensor *kiln_sum_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* N; integers wrap; empty: 0 */
KILN_API kiln_tensor *kiln_prod_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* N; empty: 1 */
KILN_API kiln_tensor *kiln_mean_at(kiln_site at, kiln_operand x, kiln_axes axes);  /* F; empty: NaN */
/* A; empty is an error; ties share the gradient */
KILN_API kiln_tensor *kiln_reduce_max_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_reduce_min_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_variance_at(kiln_site at, kiln_operand x, kiln_axes axes); /* F; mean of (x - mean)^2, divided by n */
KILN_API kiln_tensor *kiln_any_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* bool only; empty: false */
KILN_API kiln_tensor *kiln_all_at(kiln_site at, kiln_operand x, kiln_axes axes);   /* bool only; empty: true */
/* N; result i64: the first of equals, or the first NaN; no gradient */
KILN_API kiln_tensor *kiln_argmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_argmin_at(kiln_site at, kiln_operand x, int axis);

/* ---- contraction ---------------------------------------------------------------------------------------------------------- */
/* x [..., m, k] . y [..., k, n] -> [..., m, n] for floats. Leading axes broadcast. A rank-1 x is a row and a rank-1 y a column, and
 * the result lacks that axis. A transposed operand is read in place. The cost is 2 m k n flops per batch entry. */
KILN_API kiln_tensor *kiln_matmul_at(kiln_site at, kiln_operand x, kiln_operand y);
/* The same for integers of any dtypes, with products and sums in `to`: i32, u32, i64 or u64. They are exact modulo 2^32 or 2^64, as if x
 * and y were cast to `to` first, and never saturate; in i32, k products of i8 or u8 cannot wrap up to k = 2^15. i8, u8 and i16 in i32 are
 * twice as fast as f32 on a CPU with AVX-512 VNNI, and no slower on others; all else is several times slower. Other dtypes are
 * KILN_EDTYPE. No gradient flows. */
KILN_API kiln_tensor *kiln_matmul_to_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_dtype to);

/* ---- movement ------------------------------------------------------------------------------------------------------------- */
KILN_API kiln_tensor *kiln_reshape_at(kiln_site at, kiln_operand x, kiln_shape s); /* one size may be -1: the rest */
KILN_API kiln_tensor *kiln_transpose_at(kiln_site at, kiln_operand x, kiln_axes perm); /* KILN_ALL reverses the order */
KILN_API kiln_tensor *kiln_broadcast_at(kiln_site at, kiln_operand x, kiln_shape s); /* size -1: as it is */
KILN_API kiln_tensor *kiln_expand_at(kiln_site at, kiln_operand x, int axis);      /* inserts an axis of size 1 */
KILN_API kiln_tensor *kiln_squeeze_at(kiln_site at, kiln_operand x, int axis);     /* removes an axis of size 1 */
KILN_API kiln_tensor *kiln_flatten_at(kiln_site at, kiln_operand x);               /* [n, ...] -> [n, rest] */
/* x[start : stop : step] along one axis, as in Python: a negative start or stop counts from the end, and both are clamped. step may
 * be negative but not 0. KILN_END as stop means to the end in the step's direction (x[::-1] is -1, KILN_END, -1). In a trace of a
 * bounded size, bounds whose place depends on that size are KILN_EUNSUPPORTED. */
#define KILN_END INT64_MAX
KILN_API kiln_tensor *kiln_slice_at(kiln_site at, kiln_operand x, int axis, int64_t start, int64_t stop, int64_t step);
/* low, high: elements per axis */
KILN_API kiln_tensor *kiln_pad_at(kiln_site at, kiln_operand x, kiln_shape low, kiln_shape high, kiln_operand fill);
/* kiln_concat(KILN_IN(a, v), 0) joins tensors and variables along an axis; their other sizes must be equal and their dtypes
 * promote. kiln_stack puts tensors of equal shape side by side along a new axis. (Passing an array and its count as two arguments
 * is the older way.) */
KILN_API kiln_tensor *kiln_concat_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_stack_of_at(kiln_site at, kiln_operands x, int axis);
KILN_API kiln_tensor *kiln_concat_at(kiln_site at, kiln_tensor *const *x, int count, int axis);
KILN_API kiln_tensor *kiln_stack_at(kiln_site at, kiln_tensor *const *x, int count, int axis);
/* Running sums and products (N): each element combined with all before it along the axis; the result has x's shape
 * (docs/numerics.md tells the order). how is 0 or a sum of KILN_REVERSE (start at the end) and KILN_EXCLUSIVE (leave out the
 * element itself, so that 0, or 1 for products, comes first). 16-bit floats compute in f32 and round once. Gradients are right
 * where factors are 0. */
#define KILN_REVERSE 1
#define KILN_EXCLUSIVE 2
KILN_API kiln_tensor *kiln_cumsum_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_cumprod_at(kiln_site at, kiln_operand x, int axis, int how);
/* h[i] = a[i] * h[i - 1] + b[i] along the axis (N), computed in the order of the index; h is 0 before the first step. how is 0 or
 * KILN_REVERSE. It serves moving averages, discounted returns and linear state spaces. a and b broadcast and promote. */
KILN_API kiln_tensor *kiln_recurrence_at(kiln_site at, kiln_operand a, kiln_operand b, int axis, int how);
/* Sorting along an axis (A): the smallest element comes first, or the largest if how is KILN_DESCENDING (else 0). NaN is last
 * either way, -0 equals 0, and equal elements keep their order (stable). kiln_sort returns the elements (gradient to x),
 * kiln_argsort their indices as i64. kiln_top_k returns the `count` largest elements, the largest first and equal ones by lower
 * index; it stores their indices in *indices unless that is NULL. */
#define KILN_DESCENDING 4
KILN_API kiln_tensor *kiln_sort_at(kiln_site at, kiln_operand x, int axis, int how);
KILN_API kiln_tensor *kiln_argsort_at(kiln_site at, kiln_operand x, int axis, int how); /* no gradient */
KILN_API kiln_tensor *kiln_top_k_at(kiln_site at, kiln_operand x, int64_t count, int axis, kiln_tensor **indices);
/* Indices out of range, which include negative ones (they do not count from the end): kiln_gather takes the nearest element in
 * range, kiln_one_hot makes a row of zeros, kiln_cross_entropy leaves the row out, kiln_assign_slice (control.h) and kiln_switch
 * clamp. In a checked engine (.checked of kiln_options, or KILN_CHECKED=1) each of these is a KILN_EVALUE instead, eagerly and
 * compiled, such as "gather: an index is out of range: element [1,0] is 7, of a size of 5: i64[2,2]  a.c:12". The check costs one
 * pass over the indices.
 * kiln_gather replaces x's axis by the axes of the indices; gradient to x. */
KILN_API kiln_tensor *kiln_gather_at(kiln_site at, kiln_operand x, kiln_operand indices, int axis);
/* NumPy's take_along_axis: each index names the element along the axis; the other coordinates are the index's own. The indices have
 * x's shape except along the axis. Indices out of range clamp; gradient to x. */
KILN_API kiln_tensor *kiln_take_along_at(kiln_site at, kiln_operand x, kiln_operand indices, int axis);
/* x with the updates put at the indices along the axis. The updates are one number, or have x's shape with the indices' axes in
 * place of that axis. With SET the last of several updates of one element wins. ADD, MUL, MAX and MIN (N) combine each update with
 * what lies there, in the order of the indices; 16-bit floats add and multiply in f32 and round once. Indices out of range clamp.
 * Gradients flow to x and to the updates: SET gives them to what is left of x and to the winners, MAX and MIN in equal shares to
 * all that tie; MUL's are right where factors are 0. */
typedef enum kiln_scatter_how { KILN_SCATTER_SET, KILN_SCATTER_ADD, KILN_SCATTER_MUL, KILN_SCATTER_MAX, KILN_SCATTER_MIN }
    kiln_scatter_how;
KILN_API kiln_tensor *kiln_scatter_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_operand updates, int axis,
    kiln_scatter_how how);
/* Adds a last axis of size `classes`, all 0 for an index out of range. No gradient. */
KILN_API kiln_tensor *kiln_one_hot_at(kiln_site at, kiln_operand indices, int64_t classes, kiln_dtype t);

/* ---- convolution and pooling: the channels are the last axis ----------------------------------------------------------------- */
typedef struct kiln_window {
    int64_t size[2];     /* of the pooling window: height, width */
    int64_t stride[2];   /* 0 stands for 1 in a convolution, for the window's size in pooling */
    int64_t dilation[2]; /* 0 stands for 1 */
    int64_t pad[2][2];   /* elements per axis, before and after */
    bool same;           /* pads so that out = ceil(in / stride), an odd element behind; pad is ignored */
    int64_t groups;      /* of a convolution; 0 stands for 1 */
} kiln_window;
/* x [n, h, w, c] with filters [kh, kw, c / groups, o] gives [n, oh, ow, o]; floats. window may be NULL. */
KILN_API kiln_tensor *kiln_conv2d_sized(kiln_site at, kiln_operand x, kiln_operand filters, const kiln_window *window, size_t size);
/* Convolution over one to three axes of space; entry i is that of the i-th of them. */
typedef struct kiln_convolution {
    int64_t stride[3];   /* 0 stands for 1 */
    int64_t dilation[3]; /* 0 stands for 1 */
    int64_t pad[3][2];   /* elements before and after */
    bool same;           /* pads so that out = ceil(in / stride), an odd element behind; pad and output_pad are ignored */
    int64_t groups;      /* 0 stands for 1 */
    /* x and the result are [n, channels, space...]; they are transposed on their ways in and out, which costs a copy of each, but
     * between two such calls in a compiled function */
    bool channels_first;
    int64_t output_pad[3]; /* of kiln_convolve_transposed: the result is so much longer, 0 to stride - 1 */
} kiln_convolution;
/* x [n, space..., c] with filters [taps..., c / groups, o] gives [n, out..., o], with out = (in + pads - (taps - 1) dilation - 1) /
 * stride + 1; floats, promoted to one dtype; 16-bit floats are added up in f32 and rounded once. Padding counts as zeros. The filters'
 * sizes must be known when a function is traced. Gradients flow to x and filters. options may be NULL. */
KILN_API kiln_tensor *kiln_convolve_sized(kiln_site at, kiln_operand x, kiln_operand filters, const kiln_convolution *options, size_t size);
/* What a cotangent x of kiln_convolve's result gives its images: x [n, space..., c] with that convolution's filters, [taps..., o /
 * groups, c], gives [n, out..., o], with out = (in - 1) stride - pads + (taps - 1) dilation + 1 + output_pad, or in * stride if same.
 * It is jax.lax.conv_transpose with transpose_kernel; torch.nn.ConvTranspose has these filters as [c, o / groups, taps...]. */
KILN_API kiln_tensor *kiln_convolve_transposed_sized(kiln_site at, kiln_operand x, kiln_operand filters, const kiln_convolution *options,
    size_t size);
/* Attention: each query's mean of the values, weighed by the softmax of score = cap tanh(scale q.k / cap) + mask (without a cap:
 * scale q.k + mask) over the keys that it sees. A query that sees nothing, or only scores of minus infinity, gives 0. */
typedef struct kiln_attention_options {
    kiln_tensor *mask; /* broadcasts to [..., heads, queries, keys]: bools, true where a key is seen, or floats that are added; NULL: none */
    bool causal;       /* query i sees keys 0 to i + keys - queries: the last one sees all */
    double scale;      /* 0 stands for 1 / sqrt(d) */
    double cap;        /* 0: none */
} kiln_attention_options;
/* q [..., heads, queries, d], k [..., groups, keys, d], v [..., groups, keys, e] give [..., heads, queries, e]; of rank 2 there is one
 * head. heads is a multiple of groups; query head i uses key head i / (heads / groups). Floats, promoted to one dtype, computed in
 * f32 (f64) and rounded once; d and e up to 8192. It takes no memory for queries times keys, and neither does its gradient, which
 * flows to q, k, v and a mask of floats (for the mask, and at second order, it does take that memory). The order of its sums is its
 * own (docs/numerics.md, Order; Dao et al. 2022, FlashAttention). options may be NULL. */
KILN_API kiln_tensor *kiln_attention_sized(kiln_site at, kiln_operand q, kiln_operand k, kiln_operand v,
    const kiln_attention_options *options, size_t size);

/* Pooling ignores padding; kiln_avg_pool takes floats. For a window that covers nothing but padding, the maximum is minus infinity
 * (or the smallest integer), the average is NaN as kiln_mean of nothing is, and no gradient flows. */
KILN_API kiln_tensor *kiln_max_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size);
KILN_API kiln_tensor *kiln_avg_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size);

/* ---- normalisation and losses ------------------------------------------------------------------------------------------------ */
/* Softmax is exp(x - max) / sum, and NaN in a row of minus infinities alone. kiln_logsumexp removes the axis; such a row then gives
 * minus infinity, with gradient 0. */
KILN_API kiln_tensor *kiln_softmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_log_softmax_at(kiln_site at, kiln_operand x, int axis);
KILN_API kiln_tensor *kiln_logsumexp_at(kiln_site at, kiln_operand x, int axis);
/* (x - mean) / sqrt(variance + epsilon) over the last axis, times scale, plus shift (each is NULL or [last]); Ba et al. 2016.
 * epsilon 0 stands for 1e-5. The result is 0 where (x - mean)^2 exceeds the type that it is computed in (|x - mean| > 1.8e19 in
 * f32). */
KILN_API kiln_tensor *kiln_layernorm_at(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand shift, double epsilon);
/* The mean of the squared differences of all elements; the shapes are equal, or one operand is a number. */
KILN_API kiln_tensor *kiln_mse_at(kiln_site at, kiln_operand prediction, kiln_operand target);
/* The mean over the batch of -log softmax(logits)[label]. logits are [n, classes]; labels are integers [n], or probabilities [n,
 * classes] of the logits' dtype. A row whose label lies outside [0, classes) takes no part: the mean is over the other rows, and no
 * gradient flows to it (a checked engine gives an error, see kiln_gather). If no row counts, the loss is 0. A class of probability
 * 0 whose logit is minus infinity adds nothing. */
KILN_API kiln_tensor *kiln_cross_entropy_at(kiln_site at, kiln_operand logits, kiln_operand labels);
/* sqrt(sum(x * x)) over all elements, right even where squares leave the range; the gradient at 0 is 0. Compiled or recorded code
 * passes over x twice. */
KILN_API kiln_tensor *kiln_norm_at(kiln_site at, kiln_operand x);

/* ---- random: a generator is a u64[2] variable (key, counter) that each draw advances
 * ------------------------------------------ */
KILN_API kiln_variable *kiln_generator_at(kiln_site at, kiln *k, uint64_t seed);
/* KILN_ZEROS takes the place of a generator where a layer is made (nn.h): its weights start at 0. Two such layers in a row never
 * learn. */
#define KILN_ZEROS kiln_zero_start()
KILN_API kiln_variable *kiln_zero_start(void);
/* Key u64[2] to u32[s] by Philox4x32-10 (Salmon et al. 2011): element i is word i mod 4 of block i / 4. */
KILN_API kiln_tensor *kiln_random_bits_at(kiln_site at, kiln_operand key, kiln_shape s);
/* Floats in [lo, hi), from 24 random bits each (f64: 53); the interval must hold a number of the dtype. */
KILN_API kiln_tensor *kiln_uniform_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double lo, double hi);
/* Normally distributed floats (Box and Muller 1958). */
KILN_API kiln_tensor *kiln_normal_at(kiln_site at, kiln_variable *generator, kiln_dtype t, kiln_shape s, double mean,
    double deviation);
/* x with each element set to 0 with probability rate and the others divided by 1 - rate. rate is a number in [0, 1) or a float
 * scalar in [0, 1]. A tensor outside [0, 1] counts as the nearest rate in it; a checked engine (kiln_gather) gives an error. */
KILN_API kiln_tensor *kiln_dropout_at(kiln_site at, kiln_operand x, kiln_operand rate, kiln_variable *generator);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
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
#define kiln_conv2d(x, filters, ...) \
    kiln_conv2d_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_window))
/* options: &(kiln_convolution){...} or NULL */
#define kiln_convolve(x, filters, ...) \
    kiln_convolve_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_convolution))
#define kiln_convolve_transposed(x, filters, ...) \
    kiln_convolve_transposed_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_convolution))
/* options: &(kiln_attention_options){...} or NULL */
#define kiln_attention(q, k, v, ...) \
    kiln_attention_sized(KILN_HERE, KILN_OPERAND(q), KILN_OPERAND(k), KILN_OPERAND(v), __VA_ARGS__, sizeof(kiln_attention_options))
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
#define kiln_matmul_to(x, y, to) kiln_matmul_to_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), (to))
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
