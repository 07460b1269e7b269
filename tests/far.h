/* far: how operations are swept over points near and far, in every float type: value, first and second gradient against functions in long
 * double, written so that nothing overflows or cancels there. Whatever is finite there must be finite and right here, 16-bit floats to one
 * rounding; NaN comes from NaN; compiled code gives the bits of eager code, and the reference says the same of both. */
#ifndef KILN_TESTS_FAR_H
#define KILN_TESTS_FAR_H

#include "values.h"

#include <float.h>
#include <stdio.h>

typedef long double Real;

static inline Real sg(Real v) { return 1 / (1 + expl(-v)); }
static inline Real slope(Real v) { return 1 / (2 + 2 * coshl(v)); }
static inline Real phi(Real v) { return 0.398942280401432677939946059934381868L * expl(-v * v / 2); }
static inline Real share(Real v) { return erfcl(-v * 0.707106781186547524400844362104849039L) / 2; }
static inline Real softplus(Real v) { return v > 0 ? v + log1pl(expl(-v)) : log1pl(expl(v)); }
static inline Real u2(Real v) { return 1.59576912160573071175978423973751715L * (v + 0.044715L * v * v * v); }
static inline Real du2(Real v) { return 1.59576912160573071175978423973751715L * (1 + 0.134145L * v * v); }
static inline Real ddu2(Real v) { return 1.59576912160573071175978423973751715L * 0.26829L * v; }
static inline Real zero(Real v) { return isnan(v) ? v : 0; }

#define LN2 0.693147180559945309417232121458176568L
#define LN10 2.30258509299404568401799145468436421L
#define TWO_BY_ROOT_PI 1.12837916709551257389615890312154517L
#define CUT(v) ((1 - (v)) * (1 + (v)))

/* R(name, of x, value, derivative, second derivative, ulps by which the argument of an exponential grows an error, error beside the
 * relative one where terms of that size are added): in v. */
typedef struct Row {
    const char *name;
    kiln_body *body;
    Real (*want[3])(Real v);
    Real (*grows)(Real v), (*beside)(Real v);
} Row;

#define FUNCTIONS(name, of_x, f, f1, f2, ulps, absolute)                                        \
    static void body_##name(kiln *e, kiln_tensor *const *in, kiln_tensor **out, void *user)     \
    {                                                                                           \
        kiln_tensor *x = in[0];                                                                 \
        (void)e, (void)user;                                                                    \
        out[0] = of_x;                                                                          \
    }                                                                                           \
    static Real want0_##name(Real v) { return (void)v, f; }                                     \
    static Real want1_##name(Real v) { return (void)v, f1; }                                    \
    static Real want2_##name(Real v) { return (void)v, f2; }                                    \
    static Real grows_##name(Real v) { return (void)v, ulps; }                                  \
    static Real beside_##name(Real v) { return (void)v, absolute; }
#define ROW(name, ...)                                                                          \
    {#name, body_##name, {want0_##name, want1_##name, want2_##name}, grows_##name, beside_##name},

/* ---- types ---------------------------------------------------------------------------------- */
typedef struct Format {
    kiln_dtype dtype;
    double largest, normal, unit; /* smallest normal number; half an ulp of 1 */
} Format;
static const Format formats[] = {
    {KILN_F16, 65504, 0x1p-14, 0x1p-11},
    {KILN_BF16, 0x1.fep127, 0x1p-126, 0x1p-8},
    {KILN_F32, FLT_MAX, 0x1p-126, 0x1p-24},
    {KILN_F64, DBL_MAX, 0x1p-1022, 0x1p-53},
};

static const double points[] = {0, 4.94065645841246544e-324, 1e-310, 1.4e-45, 1e-40, 6e-8, 1e-5, 1e-3, 0.1, 0.25, 0.5, 0.7, 0.9, 0.999, 0.9999999, 1,
    1.25, 1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17.5, 20, 30, 45, 60, 75, 88, 89, 95, 103, 110, 128, 200, 300, 700, 740, 1e3, 1e4, 6e4,
    1e6, 1e10, 1e15, 1e18, 1e20, 1e30, 1e38, 1e150, 1e300, INFINITY, NAN};
#define NPOINTS ((int)(2 * sizeof points / sizeof *points))

static kiln_tensor *all_points(const Format *f)
{
    kiln_tensor *x = kiln_full(k, KILN_F64, KILN_SHAPE(NPOINTS), 0);
    double v[NPOINTS];
    for (int i = 0; i < NPOINTS; i++) v[i] = i % 2 ? -points[i / 2] : points[i / 2];
    x = kiln_from(k, KILN_F64, KILN_SHAPE(NPOINTS), v, NPOINTS);
    return kiln_cast(x, f->dtype);
}

/* ---- judging -------------------------------------------------------------------------------- */
typedef struct Count {
    int checked, skipped, failed;
} Count;

static bool holds(const Format *f, Real v) { return fabsl(v) <= f->largest; } /* false: NaN, too */

static bool near(const Format *f, const Row *r, Real v, Real want, double have)
{
    if (isnan(want)) return isnan(have);
    const bool narrow = f->dtype == KILN_F16 || f->dtype == KILN_BF16;
    const Real unit = narrow ? 0x1p-24L : f->unit; /* of the arithmetic */
    Real grows = fabsl(r->grows(v));
    if (!(grows < 1e6L)) grows = 0;
    Real error = (64 + 8 * grows) * unit * fabsl(want) + 16 * unit * r->beside(v);
    /* 16-bit floats round once at the end; what lies below the normal numbers is as good as 0. */
    if (narrow) error += (fabsl(want) > f->normal ? fabsl(want) : (Real)f->normal) * f->unit * 1.01L;
    return fabsl(have - want) <= error + (f->dtype == KILN_F16 ? 0 : 4 * f->normal);
}

static void judge(const Format *f, const Row *r, int order, kiln_tensor *x, kiln_tensor *y, Count *c)
{
    const double *at = kiln_data(kiln_cast(x, KILN_F64)), *have = kiln_data(kiln_cast(y, KILN_F64));
    for (int i = 0; i < NPOINTS; i++) {
        bool decided = true;
        Real want = r->want[order](at[i]);
        /* A gradient counts where all that it is the gradient of is finite, and where it is finite itself. */
        for (int o = 0; o <= order; o++) decided &= order == 0 || holds(f, r->want[o](at[i]));
        if (order == 0 && !holds(f, want)) {
            decided = isnan(want) && isnan(at[i]);
            if (isinf(want)) decided = true;
        }
        if (!decided) {
            c->skipped++;
            continue;
        }
        c->checked++;
        if (isinf(want) ? have[i] == (double)want : near(f, r, at[i], want, have[i])) continue;
        if (c->failed++ < 20)
            print_error("%s %s order %d at %.9g: wanted %.17Lg, got %.17g\n", r->name, kiln_dtype_name(f->dtype), order, at[i], want, have[i]);
    }
}

static kiln_function *derivative(const Row *r, int order)
{
    kiln_function *f = kiln_function_new(k, r->body, NULL, &(kiln_function_options){.inputs_count = 1, .outputs = 1});
    for (int i = 0; i < order; i++) f = kiln_grad(f);
    return f;
}

/* Eager code, compiled code and the reference. A derivative's graph has the values and derivatives that it is made of, too. */
static void check(const char *name, kiln_dtype d, kiln_function *f, kiln_tensor *const *in, int nin, Count *c)
{
    if (kiln_check(NULL, f, in, nin)) return;
    c->failed++;
    print_error("%s %s: eager code, compiled code and the reference disagree\n", name, kiln_dtype_name(d));
    kiln_check(stderr, f, in, nin);
    if (kiln_failed(k)) fail_msg("%s", kiln_error(k)->text);
}

static void sweep_rows(const Row *rows, int count)
{
    Count c = {0};
    for (int i = 0; i < (int)(sizeof formats / sizeof *formats); i++)
        for (int n = 0; n < count; n++)
            for (int order = 0; order < 3; order++) {
                KILN_SCOPE(k);
                kiln_tensor *x = all_points(&formats[i]);
                kiln_function *f = derivative(&rows[n], order);
                kiln_eager(k, true);
                kiln_tensor *eager = kiln_call(f, x);
                kiln_eager(k, false);
                kiln_tensor *compiled = kiln_call(f, x);
                if (kiln_failed(k)) fail_msg("%s: %s", rows[n].name, kiln_error(k)->text);
                judge(&formats[i], &rows[n], order, x, eager, &c);
                kiln_tensor *same = kiln_or(kiln_eq(eager, compiled), kiln_and(kiln_isnan(eager), kiln_isnan(compiled)));
                if (kiln_item(kiln_all(same, KILN_ALL)) == 0) {
                    c.failed++;
                    print_error("%s %s order %d: compiled code differs\n", rows[n].name, kiln_dtype_name(formats[i].dtype), order);
                }
                if (order == 2) check(rows[n].name, formats[i].dtype, f, &x, 1, &c);
            }
    printf("    %d operations: %d elements compared, %d beyond the type, %d wrong\n", count, c.checked, c.skipped, c.failed);
    assert_int_equal(c.failed, 0);
}

#endif
