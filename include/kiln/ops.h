/* ops.h: the operations on tensors: what they have in common, and here those that are elementwise; the others are in headers that
 * it includes, by kind. kiln.h includes it; it compiles alone as C11 and C++17.
 *
 * Every operand may be a tensor, a variable (which is read now) or a number. A number takes the other operand's dtype; a fraction
 * beside an integer tensor, or a number out of range, is an error. Dtypes promote within a kind as in the Python array API; mixing
 * kinds is an error that suggests kiln_cast. Shapes broadcast as in NumPy. A letter says which dtypes are allowed: A all, N
 * numbers, F floats, L integers and bool, I integers. The innermost scope owns the tensor that a call returns, which is poisoned
 * after an error. Gradients flow unless a line says otherwise. */
#ifndef KILN_OPS_H
#define KILN_OPS_H

#include "activation.h"
#include "contract.h"
#include "core.h"
#include "loss.h"
#include "make.h"
#include "move.h"
#include "quantise.h"
#include "random.h"
#include "recurrent.h"
#include "reduce.h"
#include "sized.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one operand: x may have any shape; the result has its dtype and shape --------------------------------------
 * Functions of f32 are within 2 ulp (docs/numerics.md). */
KILN_API kiln_tensor *kiln_neg_at(kiln_site at, kiln_operand x);   /* N -x */
KILN_API kiln_tensor *kiln_abs_at(kiln_site at, kiln_operand x);   /* N |x|; gradient sign(x) */
KILN_API kiln_tensor *kiln_sign_at(kiln_site at, kiln_operand x);  /* N -1, 0 or 1; no gradient */
KILN_API kiln_tensor *kiln_floor_at(kiln_site at, kiln_operand x); /* N toward minus infinity; no gradient */
KILN_API kiln_tensor *kiln_ceil_at(kiln_site at, kiln_operand x);  /* N toward plus infinity; no gradient */
KILN_API kiln_tensor *kiln_trunc_at(kiln_site at, kiln_operand x); /* N toward zero; no gradient */
KILN_API kiln_tensor *kiln_round_at(kiln_site at, kiln_operand x); /* N to nearest, ties to even; no gradient */
KILN_API kiln_tensor *kiln_sqrt_at(kiln_site at, kiln_operand x);  /* F square root, correctly rounded */
KILN_API kiln_tensor *kiln_exp_at(kiln_site at, kiln_operand x);   /* F e^x */
KILN_API kiln_tensor *kiln_exp2_at(kiln_site at, kiln_operand x);  /* F 2^x */
KILN_API kiln_tensor *kiln_expm1_at(kiln_site at, kiln_operand x); /* F e^x - 1 */
KILN_API kiln_tensor *kiln_log_at(kiln_site at, kiln_operand x);   /* F natural logarithm */
KILN_API kiln_tensor *kiln_log2_at(kiln_site at, kiln_operand x);  /* F base 2 */
KILN_API kiln_tensor *kiln_log10_at(kiln_site at, kiln_operand x); /* F base 10 */
KILN_API kiln_tensor *kiln_log1p_at(kiln_site at, kiln_operand x); /* F log(1 + x) */
KILN_API kiln_tensor *kiln_sin_at(kiln_site at, kiln_operand x);   /* F x in radians */
KILN_API kiln_tensor *kiln_cos_at(kiln_site at, kiln_operand x);   /* F x in radians */
KILN_API kiln_tensor *kiln_tan_at(kiln_site at, kiln_operand x);   /* F x in radians */
KILN_API kiln_tensor *kiln_asin_at(kiln_site at, kiln_operand x);  /* F result in radians */
KILN_API kiln_tensor *kiln_acos_at(kiln_site at, kiln_operand x);  /* F result in radians */
KILN_API kiln_tensor *kiln_atan_at(kiln_site at, kiln_operand x);  /* F result in radians */
KILN_API kiln_tensor *kiln_sinh_at(kiln_site at, kiln_operand x);  /* F hyperbolic */
KILN_API kiln_tensor *kiln_cosh_at(kiln_site at, kiln_operand x);  /* F hyperbolic */
KILN_API kiln_tensor *kiln_tanh_at(kiln_site at, kiln_operand x);  /* F hyperbolic */
KILN_API kiln_tensor *kiln_asinh_at(kiln_site at, kiln_operand x); /* F inverse of sinh */
KILN_API kiln_tensor *kiln_acosh_at(kiln_site at, kiln_operand x); /* F inverse of cosh, for x >= 1 */
KILN_API kiln_tensor *kiln_atanh_at(kiln_site at, kiln_operand x); /* F inverse of tanh, for |x| <= 1 */
KILN_API kiln_tensor *kiln_cbrt_at(kiln_site at, kiln_operand x);  /* F cube root, negative for negative x */
/* F error function: 2/sqrt(pi) integral of exp(-t^2), 0 to x; erfc is 1 less that, without the loss; erfinv the inverse of erf */
KILN_API kiln_tensor *kiln_erf_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_erfc_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_erfinv_at(kiln_site at, kiln_operand x);
/* F log |gamma(x)|, infinite at 0, -1, -2 ...; gradient digamma */
KILN_API kiln_tensor *kiln_lgamma_at(kiln_site at, kiln_operand x);
/* F the derivative of lgamma: NaN at -1, -2 ..., infinite at 0. Its first and second derivatives are known; in a third stands NaN. */
KILN_API kiln_tensor *kiln_digamma_at(kiln_site at, kiln_operand x);
/* F the modified Bessel functions of the first kind, of order 0 and 1 */
KILN_API kiln_tensor *kiln_i0_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_i1_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_logit_at(kiln_site at, kiln_operand x); /* F log(x / (1 - x)), the inverse of sigmoid */
/* L logical of bool, bitwise of integers; no gradient */
KILN_API kiln_tensor *kiln_not_at(kiln_site at, kiln_operand x);

/* ---- elementwise, two operands, broadcast against each other ------------------------------------------------------------ */
KILN_API kiln_tensor *kiln_add_at(kiln_site at, kiln_operand x, kiln_operand y); /* N x + y */
KILN_API kiln_tensor *kiln_sub_at(kiln_site at, kiln_operand x, kiln_operand y); /* N x - y */
KILN_API kiln_tensor *kiln_mul_at(kiln_site at, kiln_operand x, kiln_operand y); /* N x * y */
KILN_API kiln_tensor *kiln_div_at(kiln_site at, kiln_operand x, kiln_operand y); /* F x / y */
/* N the largest integer not above x / y, rounded as in Python (f64 has CPython's bits). An integer x // 0 is 0; of floats it is x /
 * 0. No gradient. */
KILN_API kiln_tensor *kiln_floor_div_at(kiln_site at, kiln_operand x, kiln_operand y);
/* N the remainder of floor_div, x - y * floor_div(x, y): it has y's sign, as Python's and NumPy's (and the array API's remainder).
 * fmod is that of C, the remainder of the quotient cut off, and has x's sign. Both are exact; by 0 they are NaN, of integers 0. */
KILN_API kiln_tensor *kiln_mod_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_fmod_at(kiln_site at, kiln_operand x, kiln_operand y);
/* N the quotient that belongs to fmod: x / y cut off, as C's of integers; by 0 of integers 0, of floats x / 0. No gradient. */
KILN_API kiln_tensor *kiln_trunc_div_at(kiln_site at, kiln_operand x, kiln_operand y);
/* N x^y; x^0 has gradient 0. Of integers it wraps, and a negative y gives 1 / x^-y cut off: 1 for 1, 1 or -1 for -1, else 0. */
KILN_API kiln_tensor *kiln_pow_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_max_at(kiln_site at, kiln_operand x, kiln_operand y); /* A NaN wins; ties halve the gradient */
KILN_API kiln_tensor *kiln_min_at(kiln_site at, kiln_operand x, kiln_operand y); /* A NaN wins; ties halve the gradient */
/* N the other operand where one is NaN; else max, min */
KILN_API kiln_tensor *kiln_fmax_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_fmin_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F |x| with the sign of y, of a zero, too; no gradient to y */
KILN_API kiln_tensor *kiln_copysign_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F the next number of the dtype after x in the direction of y, as C's; y if they are equal. No gradient. */
KILN_API kiln_tensor *kiln_nextafter_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F sqrt(x^2 + y^2), without overflow on the way; infinite where an operand is, even beside NaN; gradient 0 at the origin */
KILN_API kiln_tensor *kiln_hypot_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F log(e^x + e^y), without overflow on the way */
KILN_API kiln_tensor *kiln_logaddexp_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F x log(y), and 0 where x is 0, unless y is NaN */
KILN_API kiln_tensor *kiln_xlogy_at(kiln_site at, kiln_operand x, kiln_operand y);
/* F x + weight (y - x), counted from the nearer end: x at weight 0, y at 1 */
KILN_API kiln_tensor *kiln_lerp_at(kiln_site at, kiln_operand x, kiln_operand y, kiln_operand weight);
/* F the angle of the point (y, x), in radians */
KILN_API kiln_tensor *kiln_atan2_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_eq_at(kiln_site at, kiln_operand x, kiln_operand y);  /* A bool */
KILN_API kiln_tensor *kiln_ne_at(kiln_site at, kiln_operand x, kiln_operand y);  /* A bool */
KILN_API kiln_tensor *kiln_lt_at(kiln_site at, kiln_operand x, kiln_operand y);  /* A bool */
KILN_API kiln_tensor *kiln_le_at(kiln_site at, kiln_operand x, kiln_operand y);  /* A bool */
KILN_API kiln_tensor *kiln_gt_at(kiln_site at, kiln_operand x, kiln_operand y);  /* A bool */
KILN_API kiln_tensor *kiln_ge_at(kiln_site at, kiln_operand x, kiln_operand y);  /* A bool */
KILN_API kiln_tensor *kiln_and_at(kiln_site at, kiln_operand x, kiln_operand y); /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_or_at(kiln_site at, kiln_operand x, kiln_operand y);  /* L logical for bool, bitwise for integers */
KILN_API kiln_tensor *kiln_xor_at(kiln_site at, kiln_operand x, kiln_operand y); /* L logical for bool, bitwise for integers */
/* I x * 2^y, and x / 2^y rounded down: for y from 0 to the width in bits less 1 what C's << (of the unsigned type) and >> give. C
 * leaves open what others do; here, as in NumPy, from the width on nothing is left: 0, or -1 of a negative number shifted right. A
 * negative y counts as one that is too large. For what x86 does, which takes y modulo the width, write kiln_and(y, 31) of 32 bits;
 * for a right shift that brings in zeros, cast to the unsigned type. */
KILN_API kiln_tensor *kiln_shl_at(kiln_site at, kiln_operand x, kiln_operand y);
KILN_API kiln_tensor *kiln_shr_at(kiln_site at, kiln_operand x, kiln_operand y);
/* I the number of bits that are set, in x's dtype */
KILN_API kiln_tensor *kiln_popcount_at(kiln_site at, kiln_operand x);

/* x where cond (bool, or a C bool) holds, else y. The three operands broadcast. Gradients flow to x and y. */
KILN_API kiln_tensor *kiln_where_at(kiln_site at, kiln_operand cond, kiln_operand x, kiln_operand y);
/* The same elements in another dtype. A float cast to an integer is truncated and clamped to the range (NaN gives 0); cast to bool
 * it is x != 0. Gradients flow between floats. */
KILN_API kiln_tensor *kiln_cast_at(kiln_site at, kiln_operand x, kiln_dtype to);
/* As kiln_cast to a float dtype (any other is KILN_EDTYPE), but a value beyond its largest number, infinity included, becomes that
 * number with the value's sign. NaN stays NaN. The gradient is 0 where |x| is beyond. */
KILN_API kiln_tensor *kiln_cast_saturated_at(kiln_site at, kiln_operand x, kiln_dtype to);
/* The bits of x's elements as elements of another dtype of the same width (else KILN_EDTYPE): a float's sign, exponent and fraction
 * as an integer, that integer as the float, an unsigned integer as a signed one. A bool gives 0 or 1; nothing but bools gives bool.
 * A NaN keeps its bits, but which ones a computed NaN has is the machine's; a signalling one of 16 or 8 bits comes quiet. No
 * gradient flows. Costs a pass over x. As jax.lax.bitcast_convert_type and NumPy's view, of one width. */
KILN_API kiln_tensor *kiln_bitcast_at(kiln_site at, kiln_operand x, kiln_dtype to);

/* ---- composites, elementwise ----------------------------------------------------------------------------------
 * The gradients, first and second order, of these and of all elementwise operations are finite and right wherever the value and the
 * true gradient are finite, however far out x lies. Composites of 16-bit floats, here and below, and their gradients compute in f32
 * and round once. */
KILN_API kiln_tensor *kiln_square_at(kiln_site at, kiln_operand x);                                 /* N x * x; integers wrap */
KILN_API kiln_tensor *kiln_reciprocal_at(kiln_site at, kiln_operand x);                             /* 1 / x */
KILN_API kiln_tensor *kiln_rsqrt_at(kiln_site at, kiln_operand x);                                  /* F 1 / sqrt(x) */
KILN_API kiln_tensor *kiln_clip_at(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi); /* min(max(x, lo), hi) */
KILN_API kiln_tensor *kiln_exp10_at(kiln_site at, kiln_operand x);                                  /* F 10^x */
KILN_API kiln_tensor *kiln_degrees_at(kiln_site at, kiln_operand x);                                /* F x radians in degrees */
KILN_API kiln_tensor *kiln_radians_at(kiln_site at, kiln_operand x);                                /* F x degrees in radians */
KILN_API kiln_tensor *kiln_positive_at(kiln_site at, kiln_operand x);                               /* N x */
/* F sin(pi x) / (pi x), 1 at 0, exactly 0 at other whole numbers */
KILN_API kiln_tensor *kiln_sinc_at(kiln_site at, kiln_operand x);
/* A bool; of integers, too. signbit (N): whether x is negative, or a zero with that sign */
KILN_API kiln_tensor *kiln_isinf_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_isposinf_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_isneginf_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_signbit_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_isnan_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_isfinite_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_zeros_like_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_ones_like_at(kiln_site at, kiln_operand x);
KILN_API kiln_tensor *kiln_stop_gradient_at(kiln_site at, kiln_operand x); /* x; no gradient flows to x */

#ifdef __cplusplus
}
#endif

/* ---- the calls as programs write them ---------------------------------------------------------------------------------- */
#define kiln_remainder(x, y) kiln_mod(x, y)
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
#define kiln_asinh(x) kiln_asinh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_acosh(x) kiln_acosh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_atanh(x) kiln_atanh_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_cbrt(x) kiln_cbrt_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_erf(x) kiln_erf_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_erfc(x) kiln_erfc_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_erfinv(x) kiln_erfinv_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_lgamma(x) kiln_lgamma_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_digamma(x) kiln_digamma_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_i0(x) kiln_i0_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_i1(x) kiln_i1_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_logit(x) kiln_logit_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_not(x) kiln_not_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_add(x, y) kiln_add_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_sub(x, y) kiln_sub_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_mul(x, y) kiln_mul_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_div(x, y) kiln_div_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_floor_div(x, y) kiln_floor_div_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_mod(x, y) kiln_mod_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_fmod(x, y) kiln_fmod_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_trunc_div(x, y) kiln_trunc_div_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_pow(x, y) kiln_pow_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_max(x, y) kiln_max_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_min(x, y) kiln_min_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_fmax(x, y) kiln_fmax_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_fmin(x, y) kiln_fmin_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_copysign(x, y) kiln_copysign_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_nextafter(x, y) kiln_nextafter_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_hypot(x, y) kiln_hypot_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_logaddexp(x, y) kiln_logaddexp_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_xlogy(x, y) kiln_xlogy_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_lerp(x, y, weight) kiln_lerp_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(y), KILN_OPERAND(weight))
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
#define kiln_popcount(x) kiln_popcount_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_where(cond, x, y) kiln_where_at(KILN_HERE, KILN_OPERAND(cond), KILN_OPERAND(x), KILN_OPERAND(y))
#define kiln_cast(x, to) kiln_cast_at(KILN_HERE, KILN_OPERAND(x), (to))
#define kiln_cast_saturated(x, to) kiln_cast_saturated_at(KILN_HERE, KILN_OPERAND(x), (to))
#define kiln_bitcast(x, to) kiln_bitcast_at(KILN_HERE, KILN_OPERAND(x), (to))
#define kiln_square(x) kiln_square_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_reciprocal(x) kiln_reciprocal_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_rsqrt(x) kiln_rsqrt_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_clip(x, lo, hi) kiln_clip_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(lo), KILN_OPERAND(hi))
#define kiln_exp10(x) kiln_exp10_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_degrees(x) kiln_degrees_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_radians(x) kiln_radians_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_positive(x) kiln_positive_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_sinc(x) kiln_sinc_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_isinf(x) kiln_isinf_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_isposinf(x) kiln_isposinf_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_isneginf(x) kiln_isneginf_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_signbit(x) kiln_signbit_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_isnan(x) kiln_isnan_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_isfinite(x) kiln_isfinite_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_zeros_like(x) kiln_zeros_like_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_ones_like(x) kiln_ones_like_at(KILN_HERE, KILN_OPERAND(x))
#define kiln_stop_gradient(x) kiln_stop_gradient_at(KILN_HERE, KILN_OPERAND(x))

#endif
