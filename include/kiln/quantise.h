/* quantise.h: numbers as small integers: scale times (integer minus zero point). Products and convolutions of such integers are in
 * contract.h and window.h. ops.h includes it and says what operands are; it compiles alone as C11 and C++17. */
#ifndef KILN_QUANTISE_H
#define KILN_QUANTISE_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which elements of x have which scale and zero point. A scale of rank 0 is for all. One of rank 1 has an element for each index along
 * `axis`. One of x's rank, whose size along `axis` is that of x divided by `block`, rounded up, and else x's, is for `block` neighbours along
 * that axis. */
typedef struct kiln_quantisation {
    int axis;         /* negative: from the end */
    int64_t block;    /* 0: no blocks */
    kiln_dtype dtype; /* of kiln_quantise's result where there is no zero point; KILN_NONE: u8 */
} kiln_quantisation;
/* x / scale rounded to even, plus zero, brought into the range of zero's dtype, i8, u8, i16 or u16 (ONNX's QuantizeLinear). x and scale are
 * floats or, x only, i32; they divide in f32, or f64 if x is. zero is NULL (0) or shaped as the scale. A NaN gives the zero point. No gradient:
 * for one see kiln_fake_quantise. options may be NULL. */
KILN_API kiln_tensor *kiln_quantise_sized(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand zero,
    const kiln_quantisation *options, size_t size);
/* (x - zero) scale in the scale's dtype, for x of i8, u8, i16, u16 or i32 (ONNX's DequantizeLinear). zero is NULL (0) or has x's dtype. 16-bit
 * scales compute in f32 and round once. Gradient to the scale. i4, u4 and f8 exist in files only, and are wider when they are read. */
KILN_API kiln_tensor *kiln_dequantise_sized(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand zero,
    const kiln_quantisation *options, size_t size);
/* x as u8 by a scale and zero point of its own range (ONNX's DynamicQuantizeLinear): from lo = min(x, 0) to hi = max(x, 0), scale = (hi - lo) /
 * 255, or 1 if that is 0, and zero = -lo / scale, rounded to even, which *scale (f32) and *zero (u8), scalars, receive. F; 16-bit floats
 * compute in f32, f64 too. No gradient. Nothing in x: lo = hi = 0. After an error all three are poison. */
KILN_API kiln_tensor *kiln_quantise_dynamic_at(kiln_site at, kiln_operand x, kiln_tensor **scale, kiln_tensor **zero);
/* What is left of the floats x when they are quantised to integers from lo to hi and back, in x's dtype: (clip(round(x / scale) + zero, lo,
 * hi) - zero) scale; scale and zero (NULL: 0; numbers) as above. Gradient 1 to x where the integer lies in [lo, hi] before it is clipped,
 * else 0 (the straight-through estimator of Bengio et al. 2013, as torch.fake_quantize_per_tensor_affine); none to scale and zero. */
KILN_API kiln_tensor *kiln_fake_quantise_sized(kiln_site at, kiln_operand x, kiln_operand scale, kiln_operand zero, double lo, double hi,
    const kiln_quantisation *options, size_t size);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
/* options: &(kiln_quantisation){...} or NULL */
#define kiln_quantise(x, scale, zero, ...) \
    kiln_quantise_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(zero), __VA_ARGS__, sizeof(kiln_quantisation))
#define kiln_dequantise(x, scale, zero, ...) \
    kiln_dequantise_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(zero), __VA_ARGS__, sizeof(kiln_quantisation))
#define kiln_fake_quantise(x, scale, zero, lo, hi, ...)                                                                               \
    kiln_fake_quantise_sized(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(scale), KILN_OPERAND(zero), (lo), (hi), __VA_ARGS__, \
        sizeof(kiln_quantisation))
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_quantise_dynamic(x, scale, zero) kiln_quantise_dynamic_at(KILN_HERE, KILN_OPERAND(x), (scale), (zero))

#endif
