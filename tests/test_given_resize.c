/* test_given_resize: resizing and sampling (window.h) against ONNX's reference evaluator and torch (tests/given/resize.py). */
#include "given.h"

static kiln_tensor *resized(const Given *g)
{
    const int n = I(0), rest = 1 + 3 * n;
    kiln_resizing r = {.kind = (kiln_resize_kind)I(rest), .rule = (kiln_resize_rule)I(rest + 1), .nearest = (kiln_resize_nearest)I(rest + 2)};
    kiln_axes axes = {.count = n};
    r.aspect = (kiln_resize_aspect)I(rest + 3);
    r.cubic = N(rest + 4), r.exclude_outside = I(rest + 5), r.antialias = I(rest + 6), r.extrapolation = N(rest + 7);
    for (int i = 0; i < n; i++) {
        axes.axis[i + 1] = I(1 + i), r.size[i] = I(1 + n + i), r.scale[i] = N(1 + 2 * n + i);
        if (r.rule == KILN_RESIZE_CROP) r.roi[i][0] = N(rest + 8 + 2 * i), r.roi[i][1] = N(rest + 9 + 2 * i);
    }
    return kiln_resize(X(0), axes, &r);
}

GIVEN(resize, resized(g))
GIVEN(resize_smooth, resized(g))
GIVEN(resize_known, resized(g))
GIVEN(resize_smooth_known, resized(g))

/* axis 0, so that its size may be a symbol: the kind, rule, rounding, exclude_outside, scale, size */
static void resize_tall(const Given *g, kiln_tensor **out)
{
    kiln_resizing r = {.kind = (kiln_resize_kind)I(0), .rule = (kiln_resize_rule)I(1), .nearest = (kiln_resize_nearest)I(2), .exclude_outside = I(3)};
    r.scale[0] = N(4), r.size[0] = I(5);
    if (r.rule == KILN_RESIZE_CROP) r.roi[0][0] = 0.125, r.roi[0][1] = 1.25;
    out[0] = kiln_resize(X(0), KILN_AXES(0), &r);
}

#define BY(i) (&(kiln_sampling){.kind = (kiln_resize_kind)I(i), .border = (kiln_border)I(i + 1), .align_corners = I(i + 2), .channels_first = I(i + 3)})
GIVEN(sample, kiln_grid_sample(X(0), X(1), BY(0)))
GIVEN(sample_nearest, kiln_grid_sample(X(0), X(1), BY(0)))
GIVEN(sample_cubic, kiln_grid_sample(X(0), X(1), BY(0)))
static void affine(const Given *g, kiln_tensor **out)
{
    const kiln_shape s = {.rank = I(1), .size = {0, I(2), I(3), I(4)}};
    out[0] = kiln_affine_grid(X(0), s, I(0));
}

static void regions(const Given *g, kiln_tensor **out)
{
    const kiln_region r = {.size = {I(0), I(1)}, .scale = N(2), .samples = I(3), .most = I(4), .half_pixel = I(5), .channels_first = I(6)};
    out[0] = kiln_roi_align(X(0), X(1), X(2), &r);
}

static void regions_largest(const Given *g, kiln_tensor **out)
{
    const kiln_region r = {.size = {I(0), I(1)}, .scale = N(2), .samples = I(3), .most = I(4), .half_pixel = I(5), .largest = true, .channels_first = I(6)};
    out[0] = kiln_roi_align(X(0), X(1), X(2), &r);
}

static const GivenRow rows[] = {ROW(resize, 0, GIVEN_GRAD), ROW(resize_smooth, 32, GIVEN_GRAD), ROW(resize_known, 0, GIVEN_GRAD | GIVEN_SIZED), ROW(resize_smooth_known, 32, GIVEN_GRAD | GIVEN_SIZED), ROW(sample, 32, GIVEN_GRAD | GIVEN_BATCH), ROW(sample_nearest, 0, GIVEN_BATCH),
    ROW(sample_cubic, 64, GIVEN_GRAD | GIVEN_BATCH), ROW(affine, 4, GIVEN_GRAD), ROW(regions, 16, GIVEN_GRAD), ROW(regions_largest, 16, GIVEN_GRAD)};

/* Every rule with a symbol for the size gives the bits that known sizes give. */
static void symbols_resize_alike(void **state)
{
    (void)state;
    for (int n = 0; n < 3 * 6 * 4 * 2; n++) {
        KILN_SCOPE(k);
        Given g = {.name = "resize_tall", .nin = 1, .nout = 1, .nn = 6, .n = {n % 3, n / 3 % 6, n / 18 % 4, n / 72, n / 18 % 2 ? 2.5 : 0.75, 0}};
        if (g.n[0] == 0 && n / 72) g.n[4] = 0, g.n[5] = 7;
        if (g.n[0] != 0 && n / 36 % 2) g.n[4] = 0, g.n[5] = n / 18 % 2 ? 7 : 6; /* 6 is what x has */
        g.in[0] = kiln_sin(kiln_add(kiln_iota(k, KILN_F32, KILN_SHAPE(6, 3), 0), kiln_mul(0.3, kiln_iota(k, KILN_F32, KILN_SHAPE(6, 3), 1))));
        const GivenRow row = {"resize_tall", resize_tall, 0, 0};
        resize_tall(&g, g.want);
        assert_true(kiln_rank(g.want[0]) == 2);
        given_traced(&row, &g, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(given_agree), ENGINE_TEST(symbols_resize_alike)};
    given_rows = rows, given_count = (int)(sizeof rows / sizeof *rows);
    given_file = "resize";
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
