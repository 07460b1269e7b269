/* Every differentiable elementwise operation in every float type, near and far (far.h); those that test_far_more.c sweeps are named there. */
#include "far.h"
#include "far_more.h"

#include "ir/op.h"

#define ROWS(R)                                                                                                                       \
    R(neg, kiln_neg(x), -v, -1 + zero(v), zero(v), 0, 0)                                                                              \
    R(abs, kiln_abs(x), fabsl(v), v > 0 ? 1 : v < 0 ? -1 : v, zero(v), 0, 0)                                                          \
    R(sqrt, kiln_sqrt(x), sqrtl(v), 0.5L / sqrtl(v), -0.25L / (v * sqrtl(v)), 0, 0)                                                   \
    R(exp, kiln_exp(x), expl(v), expl(v), expl(v), 0, 0)                                                                              \
    R(exp2, kiln_exp2(x), exp2l(v), LN2 * exp2l(v), LN2 * LN2 * exp2l(v), 0, 0)                                                       \
    R(expm1, kiln_expm1(x), expm1l(v), expl(v), expl(v), 0, 0)                                                                        \
    R(log, kiln_log(x), logl(v), 1 / v, -1 / v / v, 0, 0)                                                                             \
    R(log2, kiln_log2(x), log2l(v), 1 / (v * LN2), -1 / v / v / LN2, 0, 0)                                                            \
    R(log10, kiln_log10(x), log10l(v), 1 / (v * LN10), -1 / v / v / LN10, 0, 0)                                                       \
    R(log1p, kiln_log1p(x), log1pl(v), 1 / (1 + v), -1 / (1 + v) / (1 + v), 0, 0)                                                     \
    R(sin, kiln_sin(x), sinl(v), cosl(v), -sinl(v), 0, 0)                                                                             \
    R(cos, kiln_cos(x), cosl(v), -sinl(v), -cosl(v), 0, 0)                                                                            \
    R(tan, kiln_tan(x), tanl(v), 1 + tanl(v) * tanl(v), 2 * tanl(v) * (1 + tanl(v) * tanl(v)), 0, 0)                                  \
    R(asin, kiln_asin(x), asinl(v), 1 / sqrtl(CUT(v)), v / (CUT(v) * sqrtl(CUT(v))), 0, 0)                                            \
    R(acos, kiln_acos(x), acosl(v), -1 / sqrtl(CUT(v)), -v / (CUT(v) * sqrtl(CUT(v))), 0, 0)                                          \
    R(atan, kiln_atan(x), atanl(v), 1 / (1 + v * v), isinf(v) ? 0 : -2 * v / (1 + v * v) / (1 + v * v), 0, 0)                                        \
    R(sinh, kiln_sinh(x), sinhl(v), coshl(v), sinhl(v), 0, 0)                                                                         \
    R(cosh, kiln_cosh(x), coshl(v), sinhl(v), coshl(v), 0, 0)                                                                         \
    R(tanh, kiln_tanh(x), tanhl(v), 4 * slope(2 * v), -8 * slope(2 * v) * tanhl(v), 0, 0)                                             \
    R(erf, kiln_erf(x), erfl(v), TWO_BY_ROOT_PI * expl(-v * v), isinf(v) ? 0 : -2 * v * TWO_BY_ROOT_PI * expl(-v * v), v *v, 0)                       \
    R(sigmoid, kiln_sigmoid(x), sg(v), slope(v), -slope(v) * tanhl(v / 2), 0, 0)                                                      \
    R(silu, kiln_silu(x), isinf(v) && v < 0 ? 0 : v * sg(v), isinf(v) ? v > 0 : sg(v) + v * slope(v),                                 \
        isinf(v) ? 0 : slope(v) * (2 - v * tanhl(v / 2)), 0, 4)                                                                       \
    R(softplus, kiln_softplus(x), softplus(v), sg(v), slope(v), 0, 0)                                                                 \
    R(gelu, kiln_gelu(x), isinf(v) && v < 0 ? 0 : v * share(v), isinf(v) ? v > 0 : share(v) + v * phi(v),                             \
        isinf(v) ? 0 : phi(v) * (2 - v * v), v *v, 4 + (fabsl(v) < 12 ? fabsl(v) : 0))                                                 \
    R(gelu_tanh, kiln_gelu_tanh(x), isinf(v) && v < 0 ? 0 : v * sg(u2(v)), isinf(v) ? v > 0 : sg(u2(v)) + v * slope(u2(v)) * du2(v),  \
        fabsl(v) > 1e4L ? 0 : slope(u2(v)) * (2 * du2(v) + v * ddu2(v) - v * du2(v) * du2(v) * tanhl(u2(v) / 2)), u2(v), 16)          \
    R(square, kiln_square(x), v *v, 2 * v, 2 + zero(v), 0, 0)                                                                         \
    R(reciprocal, kiln_reciprocal(x), 1 / v, -1 / v / v, 2 / v / v / v, 0, 0)                                                         \
    R(rsqrt, kiln_rsqrt(x), 1 / sqrtl(v), -0.5L / v / sqrtl(v), 0.75L / v / v / sqrtl(v), 0, 0)                                       \
    R(relu, kiln_relu(x), v <= 0 ? 0 : v, v <= 0 ? 0 : 1 + zero(v), zero(v), 0, 0)                                                    \
    R(clip, kiln_clip(x, -2.5, 7.5), v < -2.5L ? -2.5L : v > 7.5L ? 7.5L : v, (v > -2.5L && v < 7.5L) + zero(v), zero(v), 0, 0)       \
    R(pow0, kiln_pow(x, 0), 1, 0, 0, 0, 0)                                                                                            \
    R(pow1, kiln_pow(x, 1), v, 1 + zero(v), zero(v), 0, 0)                                                                            \
    R(pow2, kiln_pow(x, 2), v *v, 2 * v, 2 + zero(v), 0, 0)                                                                           \
    R(pow3, kiln_pow(x, 3), v *v *v, 3 * v * v, 6 * v, 0, 0)                                                                          \
    R(pow_root, kiln_pow(x, 2.5), powl(v, 2.5L), 2.5L * powl(v, 1.5L), 3.75L * powl(v, 0.5L), 0, 0)                                   \
    R(pow_little, kiln_pow(x, 0x1p-10), powl(v, 0x1p-10L), 0x1p-10L * powl(v, 0x1p-10L - 1), 0x1p-10L * (0x1p-10L - 1) * powl(v, 0x1p-10L - 2), 0, 0)   \
    R(pow_quarter, kiln_pow(x, -0.25), powl(v, -0.25L), -0.25L * powl(v, -1.25L), 0.3125L * powl(v, -2.25L), 0, 0)                     \
    R(pow_below, kiln_pow(x, -2), 1 / v / v, -2 / v / v / v, 6 / v / v / v / v, 0, 0)                                                 \
    R(pow_of, kiln_pow(3.0, x), powl(3, v), powl(3, v) * logl(3), powl(3, v) * logl(3) * logl(3), v, 0)                               \
    R(pow_zero, kiln_pow(kiln_zeros_like(x), x), powl(0, v), zero(v), zero(v), 0, 0)                                                  \
    R(div, kiln_div(x, 3.0), v / 3, 1 / 3.0L + zero(v), zero(v), 0, 0)                                                                \
    R(div_of, kiln_div(3.0, x), 3 / v, -3 / v / v, 6 / v / v / v, 0, 0)                                                               \
    R(atan2_one, kiln_atan2(x, 1.5), atan2l(v, 1.5L), 1.5L / (v * v + 2.25L), isinf(v) ? 0 : -3 * v / (v * v + 2.25L) / (v * v + 2.25L), 0, 0)        \
    R(atan2_of, kiln_atan2(0.75, x), atan2l(0.75L, v), -0.75L / (v * v + 0.5625L),                                                    \
        isinf(v) ? 0 : 1.5L * v / (v * v + 0.5625L) / (v * v + 0.5625L), 0, 0)                                                                       \
    R(atan2_far, kiln_atan2(x, 0x1p14), atan2l(v, 0x1p14L), 0x1p14L / (v * v + 0x1p28L), isinf(v) ? 0 : -0x1p15L * v / (v * v + 0x1p28L) / (v * v + 0x1p28L), 0, 0)        \
    R(atan2_y_inf, kiln_atan2(x, INFINITY), atan2l(v, INFINITY), zero(v), zero(v), 0, 0)                                              \
    R(atan2_x_inf, kiln_atan2(-INFINITY, x), atan2l(-INFINITY, v), zero(v), zero(v), 0, 0)                                            \
    R(atan2_y_zero, kiln_atan2(x, 0.0), atan2l(v, 0), zero(v), zero(v), 0, 0)                                                         \
    R(atan2_x_zero, kiln_atan2(0.0, x), atan2l(0, v), zero(v), zero(v), 0, 0)                                                         \
    R(mod, kiln_mod(x, 4.0), v - 4 * floorl(v / 4), 1 + zero(v), zero(v), 0, 0)                                                       \
    R(max, kiln_max(x, 0.75), v > 0.75L || isnan(v) ? v : 0.75L, (v > 0.75L) + zero(v), zero(v), 0, 0)                                \
    R(min, kiln_min(x, 0.75), v < 0.75L || isnan(v) ? v : 0.75L, (v < 0.75L) + zero(v), zero(v), 0, 0)                                \
    R(where, kiln_where(kiln_gt(x, 0.75), kiln_exp(kiln_neg(kiln_abs(x))), kiln_tanh(x)), v > 0.75L ? expl(-v) : tanhl(v),          \
        v > 0.75L ? -expl(-v) : 4 * slope(2 * v), v > 0.75L ? expl(-v) : -8 * slope(2 * v) * tanhl(v), 0, 0)

ROWS(FUNCTIONS)
static const Row rows[] = {ROWS(ROW)};
#define NROWS ((int)(sizeof rows / sizeof *rows))
static const char *const more[] = {MORE_ROWS(NAME)};

/* What takes two, with both derivatives: at every pair of points. */
#define PAIRS(P)                                                                                                      \
    P(atan2, atan2l(x, y), x == 0 && y == 0 ? 0 : isinf(x) || isinf(y) ? zero(x + fabsl(y)) : y / (x * x + y * y),    \
        x == 0 && y == 0 ? 0 : isinf(x) || isinf(y) ? zero(x + fabsl(y)) : -x / (x * x + y * y))                      \
    P(hypot, hypotl(x, y), x == 0 && y == 0 ? 0 : x / hypotl(x, y), x == 0 && y == 0 ? 0 : y / hypotl(x, y))          \
    P(div, x / y, 1 / y, -x / y / y)                                                                                  \
    P(pow, powl(x, y), y == 0 ? 0 : x == 0 || isinf(x) ? y * powl(x, y - 1) : y * powl(x, y) / x,                     \
        x == 0 ? 0 : powl(x, y) * logl(x))

typedef struct Pair {
    const char *name;
    kiln_body *body;
    Real (*want[3])(Real x, Real y);
} Pair;
#define PAIR_FUNCTIONS(name, f, fx, fy)                                                         \
    static void pair_##name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)     \
    {                                                                                           \
        (void)e, (void)user;                                                                    \
        out[0] = kiln_##name(in[0], in[1]);                                                     \
    }                                                                                           \
    static Real pair0_##name(Real x, Real y) { return (void)x, (void)y, f; }                    \
    static Real pair1_##name(Real x, Real y) { return (void)x, (void)y, fx; }                   \
    static Real pair2_##name(Real x, Real y) { return (void)x, (void)y, fy; }
PAIRS(PAIR_FUNCTIONS)
#define PAIR(name, ...) {#name, pair_##name, {pair0_##name, pair1_##name, pair2_##name}},
static const Pair pairs[] = {PAIRS(PAIR)};
#define NPAIRS ((int)(sizeof pairs / sizeof *pairs))

static void sweep(void **state)
{
    (void)state;
    sweep_rows(rows, NROWS);
}

static void judge_pair(const Format *f, const Pair *p, int of, const double *x, const double *y, const double *have, int n, Count *c)
{
    for (int i = 0; i < n; i++) {
        Real value = p->want[0](x[i], y[i]), want = p->want[of](x[i], y[i]);
        if (!holds(f, value) || !holds(f, want)) {
            c->skipped++;
            continue;
        }
        c->checked++;
        Real error = 64 * (Real)f->unit * fabsl(want) + 4 * (Real)f->normal;
        if (fabsl(have[i] - want) <= error) continue;
        if (c->failed++ < 20)
            print_error("%s %s, derivative %d at %.9g, %.9g: wanted %.17Lg, got %.17g\n", p->name, kiln_dtype_name(f->dtype), of, x[i], y[i], want, have[i]);
    }
}

static void sweep_pairs(void **state)
{
    (void)state;
    Count c = {0};
    for (int i = 2; i < 4; i++)
        for (int n = 0; n < NPAIRS; n++) {
            KILN_SCOPE(k);
            const int all = NPOINTS * NPOINTS;
            kiln_tensor *one = all_points(&formats[i]), *in[2], *out[2][2];
            in[0] = kiln_reshape(kiln_broadcast(kiln_expand(one, 1), KILN_SHAPE(NPOINTS, NPOINTS)), KILN_SHAPE(all));
            in[1] = kiln_reshape(kiln_broadcast(one, KILN_SHAPE(NPOINTS, NPOINTS)), KILN_SHAPE(all));
            kiln_function *f = kiln_function_new(k, pairs[n].body, NULL, &(kiln_function_options){.inputs_count = 2, .outputs = 1});
            f = kiln_grad(f);
            for (int mode = 0; mode < 2; mode++) {
                kiln_eager(k, mode == 0);
                kiln_call_all(f, KILN_IN(in[0], in[1]), out[mode], 2);
            }
            if (kiln_failed(k)) fail_msg("%s: %s", pairs[n].name, kiln_error(k)->text);
            const double *x = kiln_data(kiln_cast(in[0], KILN_F64)), *y = kiln_data(kiln_cast(in[1], KILN_F64));
            for (int of = 0; of < 2; of++) {
                judge_pair(&formats[i], &pairs[n], 1 + of, x, y, kiln_data(kiln_cast(out[0][of], KILN_F64)), all, &c);
                kiln_tensor *a = out[0][of], *b = out[1][of];
                kiln_tensor *same = kiln_or(kiln_eq(a, b), kiln_and(kiln_isnan(a), kiln_isnan(b)));
                assert_true(kiln_item(kiln_all(same, KILN_ALL)) != 0);
            }
            check(pairs[n].name, formats[i].dtype, f, in, 2, &c);
        }
    printf("    %d operations of two: %d elements compared, %d beyond the type, %d wrong\n", NPAIRS, c.checked, c.skipped, c.failed);
    assert_int_equal(c.failed, 0);
}

static void even_power(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)e, (void)user;
    out[0] = kiln_pow(in[0], 33554432.0);
}

/* *first: by which of the two first. */
static void mixed(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *first)
{
    const int i = *(int *)first;
    kiln_tensor *once;
    KILN_TAPE(e, outer);
    kiln_watch(outer, in[1 - i]);
    {
        KILN_TAPE(e, inner);
        kiln_watch(inner, in[i]);
        once = kiln_gradient(inner, kiln_pow(in[0], in[1]), in[i]);
    }
    out[0] = kiln_gradient(outer, once, in[1 - i]);
}

/* Of x^y by one of them and then by the other, in either order: x^(y - 1) (1 + y log x), also where x^y is too small for its type and where y - 1 rounds. */
static void mixed_derivatives_of_powers(void **state)
{
    (void)state;
    static const double x[] = {1e-18, 3e-31, 1e-30, 4e-36, 2e-38, 0.01, 0.5, 1.5, 30, 1e10, 1e30}, y[] = {2.5, 2, 1.5, 1.25, 1, 0.75, 0.5, 1e-3, 1e-6, 0, -1e-6, -0.3, -2, 7};
    enum { NX = sizeof x / sizeof *x, NY = sizeof y / sizeof *y, ALL = NX * NY };
    int failed = 0;
    for (int i = 2; i < 4; i++)
        for (int mode = 0; mode < 4; mode++) {
            KILN_SCOPE(k);
            const Format *f = &formats[i];
            kiln_tensor *in[2] = {kiln_reshape(kiln_broadcast(kiln_expand(kiln_from_doubles(k, f->dtype, KILN_SHAPE(NX), x, NX), 1), KILN_SHAPE(NX, NY)), KILN_SHAPE(ALL)),
                kiln_reshape(kiln_broadcast(kiln_from_doubles(k, f->dtype, KILN_SHAPE(NY), y, NY), KILN_SHAPE(NX, NY)), KILN_SHAPE(ALL))};
            kiln_eager(k, mode & 1);
            int first = mode >> 1;
            kiln_tensor *got = kiln_call(kiln_function_new(k, mixed, &first, &(kiln_function_options){.inputs_count = 2}), in[0], in[1]);
            if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
            const double *at = kiln_data(kiln_cast(in[0], KILN_F64)), *by = kiln_data(kiln_cast(in[1], KILN_F64)), *have = kiln_data(kiln_cast(got, KILN_F64));
            for (int n = 0; n < ALL; n++) {
                Real once = powl(at[n], (Real)by[n] - 1), grows = by[n] * logl(at[n]), want = once * (1 + grows);
                if (!holds(f, want) || !holds(f, powl(at[n], by[n])) || fabsl(have[n] - want) <= 64 * (Real)f->unit * once * (1 + fabsl(grows)) + 4 * (Real)f->normal) continue;
                if (failed++ < 20)
                    print_error("%s, d%s of d%s at %.9g, %.9g: wanted %.17Lg, got %.17g\n", kiln_dtype_name(f->dtype), first ? "x" : "y", first ? "y" : "x", at[n], by[n], want, have[n]);
            }
        }
    kiln_eager(k, false);
    assert_int_equal(failed, 0);
}

/* An exponent so large that one less is the same number is even all the same. */
static void parity_of_large_exponents(void **state)
{
    (void)state;
    const double want[] = {-33554432, 33554432.0 * 33554431};
    for (int mode = 0; mode < 2; mode++) {
        KILN_SCOPE(k);
        kiln_function *f = kiln_function_new(k, even_power, NULL, &(kiln_function_options){.inputs_count = 1});
        kiln_eager(k, mode == 0);
        for (int i = 0; i < 2; i++) {
            f = kiln_grad(f);
            assert_true(fabs(kiln_item(kiln_call(f, kiln_scalar(k, KILN_F32, -1))) / want[i] - 1) < 1e-6);
        }
    }
    kiln_eager(k, false);
}

/* Ops for gradient columns alone (sigmoid_slope ...) are swept with the rows that name them. */
static void every_gradient_is_swept(void **state)
{
    (void)state;
    for (int op = OP_none + 1; op < OP_COUNT; op++) {
        const OpDef *d = &op_def[op];
        const size_t n = strlen(d->name);
        const bool plain = op == OP_neg || op == OP_add || op == OP_sub || op == OP_mul; /* whose gradients are what they are */
        bool there = plain || !(d->flags & OPF_ELEMENTWISE) || !d->grad[0] || d->nin == 3 || strstr(d->name, "_slope") || strstr(d->name, "_rise");
        for (int r = 0; r < NROWS && !there; r++) there = strncmp(rows[r].name, d->name, n) == 0;
        for (size_t m = 0; m < sizeof more / sizeof *more && !there; m++) there = strncmp(more[m], d->name, n) == 0;
        for (int p = 0; p < NPAIRS && !there; p++) there = strcmp(pairs[p].name, d->name) == 0;
        if (!there) fail_msg("%s has a gradient and no row in tests/test_far.c", d->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(every_gradient_is_swept), ENGINE_TEST(sweep), ENGINE_TEST(sweep_pairs), ENGINE_TEST(mixed_derivatives_of_powers), ENGINE_TEST(parity_of_large_exponents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
