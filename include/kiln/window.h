/* window.h: convolution, pooling and windows of images. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
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
/* Convolution over one to three axes of space; entry i is that of the i-th of them, and those of axes that are not there must be 0. */
typedef struct kiln_convolution {
    int64_t stride[3];   /* 0 stands for 1 */
    int64_t dilation[3]; /* 0 stands for 1 */
    int64_t pad[3][2];   /* elements before and after */
    bool same;           /* pads so that out = ceil(in / stride), an odd element behind; pad and output_pad are ignored */
    int64_t groups;      /* 0 stands for 1 */
    /* x and the result are [n, channels, space...]; they are transposed on their ways in and out, which costs a copy of each, but
     * between two such calls in a compiled function */
    bool channels_first;
    int64_t output_pad[3]; /* of kiln_convolve_transposed alone: the result is so much longer, 0 to stride - 1 */
    bool same_lower;       /* as same, with the odd element before (ONNX's SAME_LOWER) */
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

/* Pooling over one to three axes of space; entry i is that of the i-th of them, and those of axes that are not there must be 0. */
typedef struct kiln_pooling {
    int64_t size[3];     /* of the window */
    int64_t stride[3];   /* 0 stands for the window's size */
    int64_t dilation[3]; /* 0 stands for 1 */
    int64_t pad[3][2];   /* elements before and after, which no maximum, average or norm sees */
    bool same;           /* pads so that out = ceil(in / stride), an odd element behind; pad is ignored */
    bool same_lower;     /* the same with the odd element before (ONNX's SAME_UPPER and SAME_LOWER) */
    /* Rounds the number of windows up: the last one may end beyond the padding, but must begin in x or in the padding before it (torch's
     * ceil_mode, ONNX's since opset 22). */
    bool ceil;
    bool count_pad;      /* an average divides by all elements of the window that lie in x or its padding, else by those of x alone */
    bool channels_first; /* x and the result are [n, channels, space...]; nothing is moved for that */
    int64_t divisor;     /* if not 0, an average divides by this number (torch's divisor_override) */
    double p;            /* of KILN_POOL_LP: above 0; 0 stands for 2 */
} kiln_pooling;
typedef enum kiln_pool_kind { KILN_POOL_MAX, KILN_POOL_AVERAGE, KILN_POOL_LP } kiln_pool_kind;
/* x [n, space..., c] gives [n, out..., c], with out = (in + pads - (size - 1) dilation - 1) / stride + 1: of each window the largest element
 * (numbers), the mean, or the p-norm (sum of |x|^p)^(1/p) (floats; 16-bit floats compute in f32 and round once). Windows that cover nothing
 * but padding give minus infinity (the smallest integer), NaN (0 with count_pad) and 0, and no gradient. Elements that are equal and the
 * largest share the gradient. Sizes may be symbols. */
KILN_API kiln_tensor *kiln_pool_sized(kiln_site at, kiln_operand x, kiln_pool_kind kind, const kiln_pooling *options, size_t size);
/* What indices of pooling count: elements of one plane, of an image and a channel, row-major (torch); elements of x as it is laid out (ONNX's
 * MaxPool); the same with each plane column by column (ONNX's storage_order 1). */
typedef enum kiln_plane_index { KILN_INDEX_PLANE, KILN_INDEX_WHOLE, KILN_INDEX_COLUMNS } kiln_plane_index;
/* KILN_POOL_MAX, and in *indices where each window has its largest element, as i64: the first of equals, or the first NaN, row by row. No
 * gradient flows to indices. */
KILN_API kiln_tensor *kiln_pool_indices_sized(kiln_site at, kiln_operand x, kiln_tensor **indices, kiln_plane_index how,
    const kiln_pooling *options, size_t size);
/* Puts x [n, space..., c] at such indices (PLANE or WHOLE) into zeros [n, sizes..., c], of which they count the elements (torch's
 * max_unpool; of ONNX's output_shape, sizes are those that the pooling saw, and kiln_pad does the rest). Of several elements at one index the
 * last in x stays. Indices out of range clamp, or are errors in a checked engine. Gradient to x. */
KILN_API kiln_tensor *kiln_unpool_at(kiln_site at, kiln_operand x, kiln_operand indices, kiln_plane_index how, kiln_shape sizes,
    bool channels_first);
/* Pooling to given sizes, one for each axis of space, or -1 for as many as there are: window i goes from floor(i in / out) to ceil((i + 1) in /
 * out) (torch's adaptive pooling), so that KILN_SHAPE(1, 1) is global pooling. p: of KILN_POOL_LP, else 0. An axis whose size is a symbol can
 * only go to 1 or -1. */
KILN_API kiln_tensor *kiln_pool_adaptive_at(kiln_site at, kiln_operand x, kiln_pool_kind kind, kiln_shape sizes, double p,
    bool channels_first);
/* KILN_POOL_MAX of these with *indices, as kiln_pool_indices. The sizes of space must be known. */
KILN_API kiln_tensor *kiln_pool_adaptive_indices_at(kiln_site at, kiln_operand x, kiln_tensor **indices, kiln_plane_index how,
    kiln_shape sizes, bool channels_first);
/* The windows of images as columns (im2col): x [n, c, space...] of channels first gives [n, c taps, windows] (torch's unfold), x [n, space...,
 * c] gives [n, windows, taps c], with zeros for padding; taps and windows row by row. size to channels_first of the options count. Any
 * dtype. */
KILN_API kiln_tensor *kiln_unfold_sized(kiln_site at, kiln_operand x, const kiln_pooling *options, size_t size);
/* The adjoint (col2im, torch's fold, ONNX's Col2Im): adds windows up to images of these sizes of space; what falls on padding is left out.
 * Numbers; 16-bit floats add up in f32 and round once. */
KILN_API kiln_tensor *kiln_fold_sized(kiln_site at, kiln_operand x, kiln_shape sizes, const kiln_pooling *options, size_t size);

/* ---- resizing (ONNX Resize and Upsample, torch's interpolate) ------------------------------------------------------------------------ */
typedef enum kiln_resize_kind { KILN_RESIZE_NEAREST, KILN_RESIZE_LINEAR, KILN_RESIZE_CUBIC } kiln_resize_kind;
/* The place in x, with n elements, of element i of a result of m (ONNX's coordinate_transformation_mode): (i + 0.5) / scale - 0.5; the same
 * about the middle of x where scale * n is not whole; -0.5 where m is 1; i (n - 1) / (m - 1); i / scale; and within a region of x, as
 * TensorFlow's crop_and_resize. torch's interpolate has HALF_PIXEL or ALIGN_CORNERS, its nearest ASYMMETRIC with FLOOR, its nearest-exact
 * HALF_PIXEL with PREFER_CEIL. */
typedef enum kiln_resize_rule {
    KILN_RESIZE_HALF_PIXEL,
    KILN_RESIZE_HALF_PIXEL_SYMMETRIC,
    KILN_RESIZE_PYTORCH_HALF_PIXEL,
    KILN_RESIZE_ALIGN_CORNERS,
    KILN_RESIZE_ASYMMETRIC,
    KILN_RESIZE_CROP
} kiln_resize_rule;
typedef enum kiln_resize_nearest { KILN_RESIZE_PREFER_FLOOR, KILN_RESIZE_PREFER_CEIL, KILN_RESIZE_FLOOR, KILN_RESIZE_CEIL } kiln_resize_nearest;
typedef enum kiln_resize_aspect { KILN_RESIZE_STRETCH, KILN_RESIZE_NOT_LARGER, KILN_RESIZE_NOT_SMALLER } kiln_resize_aspect;
/* Entry i is that of the i-th axis named; those behind must be 0. */
typedef struct kiln_resizing {
    int64_t size[KILN_MAX_RANK]; /* 0: floor(scale * n) */
    double scale[KILN_MAX_RANK]; /* 0: size / n; with both, the size stands and coordinates go by the scale */
    kiln_resize_kind kind;
    kiln_resize_rule rule;
    kiln_resize_nearest nearest; /* which element is nearest: of two equally near ones the lower or the higher, or always one of them */
    kiln_resize_aspect aspect;   /* of sizes: one scale for all axes, the smallest or the largest of theirs; sizes round half up */
    double cubic;                /* the cubic filter's parameter; 0 stands for -0.75 (torch's antialiased one has -0.5) */
    bool exclude_outside;        /* what lies beyond x weighs nothing, and the rest as much more; else x's last elements stand there */
    bool antialias;              /* a filter as much wider as there are fewer elements (torch's has exclude_outside, too) */
    double roi[KILN_MAX_RANK][2]; /* of CROP: where the region begins and ends, in parts of n - 1; both 0 stand for 0 and 1 */
    double extrapolation;        /* of CROP: what stands where the region leaves x */
} kiln_resizing;
/* x along the axes named: with the nearest elements (any dtype), or with weighed means of 2 or 4 elements, or more with antialias (floats;
 * 16-bit floats compute in f32 and round once), axis by axis. A size that is a symbol takes a size, or a scale that is a whole number over a
 * power of two, or any other if the symbol has no more than 2^16 values, and neither antialias nor an aspect. Gradient to x. */
KILN_API kiln_tensor *kiln_resize_sized(kiln_site at, kiln_operand x, kiln_axes axes, const kiln_resizing *options, size_t size);

/* ---- reading between elements ------------------------------------------------------------------------------------------------------ */
/* What stands beyond x: zeros; the nearest element; x again, backwards, from its outer elements (align_corners) or their outer edges. */
typedef enum kiln_border { KILN_BORDER_ZEROS, KILN_BORDER_EDGE, KILN_BORDER_REFLECT } kiln_border;
typedef struct kiln_sampling {
    kiln_resize_kind kind; /* the nearest element (of two the even one), 2, or 4 (Keys' cubic of -0.75) along each axis */
    kiln_border border;
    bool align_corners;  /* -1 and 1 are the first and the last element, else their outer edges */
    bool channels_first; /* x and the result are [n, channels, space...] */
} kiln_sampling;
/* x [n, space..., c] of one to three axes of space at the places grid [n, out..., axes of space] gives [n, out..., c]. Coordinates go from -1 to
 * 1, and a place has that of the last axis first (torch's and ONNX's grid_sample). Floats, promoted; 16-bit floats compute in f32 and round
 * once. Gradients to x and grid. options may be NULL. */
KILN_API kiln_tensor *kiln_grid_sample_sized(kiln_site at, kiln_operand x, kiln_operand grid, const kiln_sampling *options, size_t size);
/* The grid [n, sizes..., d] of affine maps theta [n, d, d + 1] of d axes of space: theta times each place of an image of these sizes and 1,
 * the last axis first in both (torch's affine_grid, ONNX's AffineGrid). Floats. Gradient to theta. */
KILN_API kiln_tensor *kiln_affine_grid_at(kiln_site at, kiln_operand theta, kiln_shape sizes, bool align_corners);
typedef struct kiln_region {
    int64_t size[2];     /* bins along height and width */
    double scale;        /* of the regions' coordinates to elements; 0 stands for 1 */
    int64_t samples;     /* of a bin along each axis; 0: ceil(the bin's size in elements) */
    int64_t most;        /* how many that may be; 0 stands for those of a region as large as x. Beyond it is an error when the call runs */
    bool half_pixel;     /* regions begin half an element earlier, and may be smaller than one (torchvision's aligned) */
    bool largest;        /* of each bin the largest product of an element and its weight (ONNX's mode max), else the mean of the samples */
    bool channels_first; /* x and the result are [n, channels, space...] */
} kiln_region;
/* Of x [n, height, width, c] the regions rois [r, 4] (left, top, right, bottom), each of the image that images [r] names, as [r, size..., c]:
 * samples lie evenly in bins and are read between 4 elements, as 0 where they lie more than one element beyond x (ONNX RoiAlign,
 * torchvision's roi_align; He et al. 2017). Images out of range clamp, or are errors in a checked engine. Floats of x's dtype; 16-bit floats
 * compute in f32. Gradient to x, and to the regions where they place samples. Time and, eagerly, memory go with `most` squared. */
KILN_API kiln_tensor *kiln_roi_align_sized(kiln_site at, kiln_operand x, kiln_operand rois, kiln_operand images, const kiln_region *options,
    size_t size);

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
/* options: &(kiln_pooling){...} */
#define kiln_pool(x, kind, ...) kiln_pool_sized(KILN_HERE, KILN_OPERAND(x), (kind), __VA_ARGS__, sizeof(kiln_pooling))
#define kiln_pool_indices(x, indices, how, ...) \
    kiln_pool_indices_sized(KILN_HERE, KILN_OPERAND(x), (indices), (how), __VA_ARGS__, sizeof(kiln_pooling))
#define kiln_unfold(x, ...) kiln_unfold_sized(KILN_HERE, KILN_OPERAND(x), __VA_ARGS__, sizeof(kiln_pooling))
#define kiln_fold(x, sizes, ...) kiln_fold_sized(KILN_HERE, KILN_OPERAND(x), sizes, __VA_ARGS__, sizeof(kiln_pooling))
/* options: &(kiln_resizing){...} */
#define kiln_resize(x, axes, ...) kiln_resize_sized(KILN_HERE, KILN_OPERAND(x), axes, __VA_ARGS__, sizeof(kiln_resizing))
/* options: &(kiln_sampling){...} or NULL */
#define kiln_grid_sample(x, grid, ...) \
    kiln_grid_sample_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(grid), __VA_ARGS__, sizeof(kiln_sampling))
/* options: &(kiln_region){...} */
#define kiln_roi_align(x, rois, images, ...) \
    kiln_roi_align_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(rois), KILN_OPERAND(images), __VA_ARGS__, sizeof(kiln_region))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_unpool(x, indices, how, sizes, channels_first) kiln_unpool_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(indices), (how), sizes, (channels_first))
#define kiln_pool_adaptive(x, kind, sizes, p, channels_first) kiln_pool_adaptive_at(KILN_HERE, KILN_OPERAND(x), (kind), sizes, (p), (channels_first))
#define kiln_pool_adaptive_indices(x, indices, how, sizes, channels_first) kiln_pool_adaptive_indices_at(KILN_HERE, KILN_OPERAND(x), (indices), (how), sizes, (channels_first))
#define kiln_affine_grid(theta, sizes, align_corners) kiln_affine_grid_at(KILN_HERE, KILN_OPERAND(theta), sizes, (align_corners))

#endif
