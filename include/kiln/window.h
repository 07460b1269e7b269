/* window.h: convolution and pooling. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_WINDOW_H
#define KILN_WINDOW_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

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
/* kiln_convolve of bytes (i8, u8), less their zero points, in i32 and exact (ONNX ConvInteger): x_zero is NULL (0), a number or a scalar,
 * filters_zero also one for each filter, [o]; each has its operand's dtype. Padding counts as x_zero. It is computed in floats: f32 where a
 * sum has at most 258 products, which it holds exactly, else f64. No gradient. */
KILN_API kiln_tensor *kiln_convolve_integer_sized(kiln_site at, kiln_operand x, kiln_operand filters, kiln_operand x_zero,
    kiln_operand filters_zero, const kiln_convolution *options, size_t size);
/* Pooling ignores padding; kiln_avg_pool takes floats. For a window that covers nothing but padding, the maximum is minus infinity
 * (or the smallest integer), the average is NaN as kiln_mean of nothing is, and no gradient flows. */
KILN_API kiln_tensor *kiln_max_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size);
KILN_API kiln_tensor *kiln_avg_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* window: &(kiln_window){...} or NULL */
#define kiln_conv2d(x, filters, ...) \
    kiln_conv2d_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_window))
/* options: &(kiln_convolution){...} or NULL */
#define kiln_convolve(x, filters, ...) \
    kiln_convolve_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_convolution))
#define kiln_convolve_transposed(x, filters, ...) \
    kiln_convolve_transposed_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), __VA_ARGS__, sizeof(kiln_convolution))
#define kiln_convolve_integer(x, filters, x_zero, filters_zero, ...)                                                                \
    kiln_convolve_integer_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(filters), KILN_OPERAND(x_zero), KILN_OPERAND(filters_zero), \
        __VA_ARGS__, sizeof(kiln_convolution))
#define kiln_max_pool(x, ...) kiln_max_pool_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_window))
#define kiln_avg_pool(x, ...) kiln_avg_pool_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_window))
/* Made of the prototypes above by frontend/ops/calls.sh. */

#endif
