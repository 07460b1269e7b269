/* far_more: the rows of test_far_more.c, of which test_far.c asks the names. */
#ifndef KILN_TESTS_FAR_MORE_H
#define KILN_TESTS_FAR_MORE_H

#define NAME(name, ...) #name,
#define MORE_ROWS(R) \
    R(asinh, kiln_asinh(x), asinhl(v), 1 / hypotl(1, v), isinf(v) ? 0 : -v / hypotl(1, v) / hypotl(1, v) / hypotl(1, v), 0, 0) \
    R(acosh, kiln_acosh(x), acoshl(v), 1 / root1(v), -v / root1(v) / root1(v) / root1(v), 0, 0) \
    R(atanh, kiln_atanh(x), atanhl(v), 1 / CUT(v), 2 * v / CUT(v) / CUT(v), 0, 0) \
    R(cbrt, kiln_cbrt(x), cbrtl(v), 1 / cbrtl(v) / cbrtl(v) / 3, -2 / cbrtl(v) / cbrtl(v) / v / 9, 0, 0) \
    R(erfc, kiln_erfc(x), erfcl(v), -TWO_BY_ROOT_PI * expl(-v * v), isinf(v) ? 0 : 2 * v * TWO_BY_ROOT_PI * expl(-v * v), v *v, 0) \
    R(erfinv, kiln_erfinv(x), special_erfinv(v), erfinv1(v), 2 * special_erfinv(v) * erfinv1(v) * erfinv1(v), \
        4 * special_erfinv(v) * special_erfinv(v), 0) \
    R(lgamma, kiln_lgamma(x), lgammal(v), special_psi(0, v), special_psi(1, v), 0, 4) \
    R(digamma, kiln_digamma(x), special_psi(0, v), special_psi(1, v), special_psi(2, v), 0, 4) \
    R(i0, kiln_i0(x), special_i0(v), special_i1(v), special_i1_slope(v), 0, 0) \
    R(i1, kiln_i1(x), special_i1(v), special_i1_slope(v), i1_bend(v), 0, 0) \
    R(logit, kiln_logit(x), logl(v) - log1pl(-v), 1 / v / (1 - v), (2 * v - 1) / v / v / (1 - v) / (1 - v), 0, 16) \
    R(hypot_one, kiln_hypot(x, 1.5), hypotl(v, 1.5L), v / hypotl(v, 1.5L), isinf(v) ? 0 : 2.25L / hypotl(v, 1.5L) / hypotl(v, 1.5L) / hypotl(v, 1.5L), 0, 0) \
    R(logaddexp_one, kiln_logaddexp(x, 1.0), 1 + softplus(v - 1), sg(v - 1), isinf(v) ? 0 : slope(v - 1), v, 0) \
    R(copysign_of, kiln_copysign(x, -2.0), -fabsl(v), v > 0 ? -1 : v < 0 ? 1 : v, zero(v), 0, 0) \
    R(fmod, kiln_fmod(x, 4.0), fmodl(v, 4), 1 + zero(v), zero(v), 0, 0) \
    R(softsign, kiln_softsign(x), isinf(v) ? copysignl(1, v) : v / (1 + fabsl(v)), 1 / (1 + fabsl(v)) / (1 + fabsl(v)), \
        v == 0 || isinf(v) ? 0 : copysignl(2, -v) / (1 + fabsl(v)) / (1 + fabsl(v)) / (1 + fabsl(v)), 0, 0) \
    R(tanhshrink, kiln_tanhshrink(x), shrunk(v), tanhl(v) * tanhl(v), 8 * tanhl(v) * slope(2 * v), 0, 0) \
    R(logsigmoid, kiln_logsigmoid(x), -softplus(-v), sg(-v), -slope(v), 0, 0) \
    R(mish, kiln_mish(x), v < -3000 ? 0 : v * tanhl(softplus(v)), isinf(v) ? v > 0 : tanhl(softplus(v)) + v * gate(v), \
        isinf(v) ? 0 : gate(v) * (2 + v * (sg(-v) - 2 * tanhl(softplus(v)) * sg(v))), 0, 4) \
    R(elu, kiln_elu(x, 1.5), v > 0 ? v : 1.5L * expm1l(v), v > 0 ? 1 : 1.5L * expl(v), v > 0 ? 0 : 1.5L * expl(v), 0, 0) \
    R(selu, kiln_selu(x), v > 0 ? SELU * v : SELU * ALPHA * expm1l(v), v > 0 ? SELU : SELU * ALPHA * expl(v), v > 0 ? 0 : SELU * ALPHA * expl(v), 0, 0) \
    R(celu, kiln_celu(x, 2.0), v > 0 ? v : 2 * expm1l(v / 2), v > 0 ? 1 : expl(v / 2), v > 0 ? 0 : expl(v / 2) / 2, 0, 0) \
    R(leaky_relu, kiln_leaky_relu(x, 0.125), v > 0 ? v : v / 8, v > 0 ? 1 : 0.125L + zero(v), zero(v), 0, 0) \
    R(hardtanh, kiln_hardtanh(x, -2.75, 6.5), v <= -2.75L ? -2.75L : v >= 6.5L ? 6.5L : v, (v > -2.75L && v < 6.5L) + zero(v), zero(v), 0, 0) \
    R(hardsigmoid, kiln_hardsigmoid(x, 0.25, 0.5), v <= -2 ? 0 : v >= 2 ? 1 : v / 4 + 0.5L, (v > -2 && v < 2) * 0.25L + zero(v), zero(v), 0, 1) \
    R(hardswish, kiln_hardswish(x), v <= -3 ? 0 : v >= 3 ? v : v * (v + 3) / 6, v <= -3 ? 0 : v >= 3 ? 1 : (2 * v + 3) / 6, \
        fabsl(v) < 3 ? 1 / 3.0L : zero(v), 0, 1) \
    R(hardshrink, kiln_hardshrink(x, 0.75), fabsl(v) <= 0.75L ? 0 : v, (fabsl(v) > 0.75L) + zero(v), zero(v), 0, 0) \
    R(softshrink, kiln_softshrink(x, 0.75), fabsl(v) <= 0.75L ? 0 : v - copysignl(0.75L, v), (fabsl(v) > 0.75L) + zero(v), zero(v), 0, 1) \
    R(threshold, kiln_threshold(x, 0.75, -2), v <= 0.75L ? -2 : v, (v > 0.75L) + zero(v), zero(v), 0, 0) \
    R(sinc, kiln_sinc(x), sinc0(v), sinc1(v), sinc2(v), 0, 16) \
    R(exp10, kiln_exp10(x), powl(10, v), LN10 * powl(10, v), LN10 * LN10 * powl(10, v), 3 * v, 0) \
    R(xlogy_of, kiln_xlogy(x, 2.5), v * logl(2.5L), logl(2.5L) + zero(v), zero(v), 0, 0) \
    R(xlogy_by, kiln_xlogy(2.5, x), 2.5L * logl(v), 2.5L / v, -2.5L / v / v, 0, 0) \
    R(lerp, kiln_lerp(x, 3.0, 0.25), isinf(v) ? NAN : 0.75L * v + 0.75L, 0.75L + zero(v), zero(v), 0, 4) \
    R(fmax, kiln_fmax(x, 0.75), isnan(v) || v < 0.75L ? 0.75L : v, isnan(v) ? 0 : v > 0.75L, 0, 0, 0)

#endif
