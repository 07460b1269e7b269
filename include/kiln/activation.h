/* activation.h: what neurons do to sums, elementwise. ops.h includes it and says what operands and letters are; it compiles alone
 * as C11 and C++17. Gradients, first and second order, are finite and right wherever value and true gradient are finite, however
 * far out x lies. 16-bit floats compute in f32 and round once. x * silu(gate), which is called swiglu, is kiln_mul(x,
 * kiln_silu(gate)). */
#ifndef KILN_ACTIVATION_H
#define KILN_ACTIVATION_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

KILN_API kiln_tensor *kiln_relu_at(kiln_site at, kiln_operand x);       /* A x where x > 0, else 0; NaN stays; gradient 0 at 0 */
KILN_API kiln_tensor *kiln_sigmoid_at(kiln_site at, kiln_operand x);    /* F 1 / (1 + exp(-x)) */
KILN_API kiln_tensor *kiln_silu_at(kiln_site at, kiln_operand x);       /* F x * sigmoid(x); silu, gelu, gelu_tanh are 0 at -inf */
KILN_API kiln_tensor *kiln_softplus_at(kiln_site at, kiln_operand x);   /* F log(1 + exp(x)); gradient sigmoid(x) */
KILN_API kiln_tensor *kiln_logsigmoid_at(kiln_site at, kiln_operand x); /* F log(sigmoid(x)) = -softplus(-x) */
KILN_API kiln_tensor *kiln_gelu_at(kiln_site at, kiln_operand x);       /* F x/2 (1 + erf(x / sqrt 2)), Hendrycks & Gimpel */
KILN_API kiln_tensor *kiln_gelu_tanh_at(kiln_site at, kiln_operand x);  /* F x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
KILN_API kiln_tensor *kiln_mish_at(kiln_site at, kiln_operand x);       /* F x tanh(softplus(x)), 0 at -inf; Misra 2019 */
KILN_API kiln_tensor *kiln_softsign_at(kiln_site at, kiln_operand x);   /* F x / (1 + |x|) */
KILN_API kiln_tensor *kiln_tanhshrink_at(kiln_site at, kiln_operand x); /* F x - tanh(x), good to its last places about 0, too */
/* F x where x > 0, else alpha (exp(x) - 1), whose gradient stands at 0; Clevert et al. 2016. selu is 1.0507 times elu with
 * alpha 1.6733 (Klambauer et al. 2017, to f64), celu alpha (exp(x / alpha) - 1) below 0. Gradients flow to a tensor alpha, too. */
KILN_API kiln_tensor *kiln_elu_at(kiln_site at, kiln_operand x, kiln_operand alpha);
KILN_API kiln_tensor *kiln_selu_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_celu_at(kiln_site at, kiln_operand x, kiln_operand alpha);
/* F x where x > 0, else slope * x; gradient slope at 0. With a tensor that is learned as slope it is called prelu. */
KILN_API kiln_tensor *kiln_leaky_relu_at(kiln_site at, kiln_operand x, kiln_operand slope);
/* N lo where x <= lo, hi where x >= hi, else x; gradient 0 at both. hardtanh of 0 and 6 is relu6. */
KILN_API kiln_tensor *kiln_hardtanh_at(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi);
KILN_API kiln_tensor *kiln_relu6_at(kiln_site at, kiln_operand x);
/* F slope * x + offset between 0 and 1 (slope 1/6, offset 1/2 in torch, 0.2 and 1/2 in ONNX), gradient 0 at both. hardswish is x
 * times that of 1/6 and 1/2, 0 at -inf; Howard et al. 2019. */
KILN_API kiln_tensor *kiln_hardsigmoid_at(kiln_site at, kiln_operand x, kiln_operand slope, kiln_operand offset);
KILN_API kiln_tensor *kiln_hardswish_at(kiln_site at, kiln_operand x);
/* F 0 where |x| <= width, else x (hardshrink), or x brought nearer to 0 by width (softshrink) */
KILN_API kiln_tensor *kiln_hardshrink_at(kiln_site at, kiln_operand x, kiln_operand width);
KILN_API kiln_tensor *kiln_softshrink_at(kiln_site at, kiln_operand x, kiln_operand width);
/* F x + bias where x < -width, x - bias where x > width, else 0 (ONNX's Shrink); NaN stays */
KILN_API kiln_tensor *kiln_shrink_at(kiln_site at, kiln_operand x, kiln_operand width, kiln_operand bias);
/* N x where x > level, else value (of value 0: the thresholded relu); NaN stays */
KILN_API kiln_tensor *kiln_threshold_at(kiln_site at, kiln_operand x, kiln_operand level, kiln_operand value);

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
#define kiln_prelu(x, slope) kiln_leaky_relu(x, slope)
/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_relu(x) kiln_relu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sigmoid(x) kiln_sigmoid_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_silu(x) kiln_silu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_softplus(x) kiln_softplus_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_logsigmoid(x) kiln_logsigmoid_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_gelu(x) kiln_gelu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_gelu_tanh(x) kiln_gelu_tanh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_mish(x) kiln_mish_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_softsign(x) kiln_softsign_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_tanhshrink(x) kiln_tanhshrink_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_elu(x, alpha) kiln_elu_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(alpha))
#define kiln_selu(x) kiln_selu_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_celu(x, alpha) kiln_celu_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(alpha))
#define kiln_leaky_relu(x, slope) kiln_leaky_relu_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(slope))
#define kiln_hardtanh(x, lo, hi) kiln_hardtanh_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(lo), KILN_OPERAND(hi))
#define kiln_relu6(x) kiln_relu6_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_hardsigmoid(x, slope, offset) kiln_hardsigmoid_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(slope), KILN_OPERAND(offset))
#define kiln_hardswish(x) kiln_hardswish_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_hardshrink(x, width) kiln_hardshrink_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(width))
#define kiln_softshrink(x, width) kiln_softshrink_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(width))
#define kiln_shrink(x, width, bias) kiln_shrink_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(width), KILN_OPERAND(bias))
#define kiln_threshold(x, level, value) kiln_threshold_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(level), KILN_OPERAND(value))

#endif
