/* ops.h: the operations on tensors: what they have in common, and here those that are elementwise; the others are in headers that it
 * includes, by kind. kiln.h includes it; it compiles alone as C11 and C++17.
 *
 * Every operand may be a tensor, a variable (which is read now) or a number. A number takes the other operand's dtype; a fraction
 * beside an integer tensor, or a number out of range, is an error. Dtypes promote within a kind as in the Python array API; mixing
 * kinds is an error that suggests kiln_cast. Shapes broadcast as in NumPy. A letter says which dtypes are allowed: A all, N numbers,
 * F floats, L integers and bool, I integers. The innermost scope owns the tensor that a call returns, which is poisoned after an
 * error. Gradients flow unless a line says otherwise. */
#ifndef KILN_OPS_H
#define KILN_OPS_H

#include "contract.h"
#include "core.h"
#include "loss.h"
#include "make.h"
#include "move.h"
#include "random.h"
#include "reduce.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one operand: x may have any shape; the result has its dtype and shape --------------------------------------
 * Functions of f32 are within 2 ulp (docs/numerics.md). */
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

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
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

#endif
