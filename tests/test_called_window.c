/* test_called_window: errors of pooling, windows, resizing and sampling (window.h) bear the name of what was called. */
#include "called.h"

#include <math.h>

#define S KILN_SHAPE
#define W(...) (&(kiln_pooling){__VA_ARGS__})
#define R(...) (&(kiln_resizing){__VA_ARGS__})

static void pools(Bad *x)
{
    const int64_t huge = INT64_C(1) << 60;
    kiln_tensor *i = NULL, *whole = kiln_cast(x->image, KILN_I32);
    BAD("pool", SHAPE, kiln_pool(x->f, KILN_POOL_MAX, W(.size = {2})));
    BAD("pool", SHAPE, kiln_pool(kiln_zeros(x->k, KILN_F32, S(1, 1, 1, 1, 1, 1)), KILN_POOL_MAX, W(.size = {2})));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_MAX, NULL));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {2})));
    BAD("pool", SHAPE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {5, 2})));
    BAD("pool", SHAPE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {2, 3}, .channels_first = true)));
    BAD("pool", SHAPE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {5, 2}, .stride = {1, 1}, .ceil = true)));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {2, 2}, .stride = {-1})));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {2, 2}, .dilation = {0, huge})));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_MAX, W(.size = {2, 2}, .pad = {{0, -1}})));
    BAD("pool", VALUE, kiln_pool(x->image, (kiln_pool_kind)3, W(.size = {2, 2})));
    BAD("pool", DTYPE, kiln_pool(whole, KILN_POOL_AVERAGE, W(.size = {2, 2})));
    BAD("pool", DTYPE, kiln_pool(whole, KILN_POOL_LP, W(.size = {2, 2})));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_AVERAGE, W(.size = {2, 2}, .divisor = -1)));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_LP, W(.size = {2, 2}, .p = -1)));
    BAD("pool", VALUE, kiln_pool(x->image, KILN_POOL_LP, W(.size = {2, 2}, .p = NAN)));
    BAD("pool_indices", VALUE, kiln_pool_indices(x->image, NULL, KILN_INDEX_PLANE, W(.size = {2, 2})));
    BAD("pool_indices", VALUE, kiln_pool_indices(x->image, &i, (kiln_plane_index)3, W(.size = {2, 2})));
    BAD("pool_indices", SHAPE, kiln_pool_indices(x->image, &i, KILN_INDEX_PLANE, W(.size = {2, 9})));
    BAD("pool_indices", SHAPE, kiln_pool_indices(x->s, &i, KILN_INDEX_PLANE, W(.size = {2, 2})));
    BAD("pool_adaptive", SHAPE, kiln_pool_adaptive(x->f, KILN_POOL_MAX, S(1), 0, false));
    BAD("pool_adaptive", VALUE, kiln_pool_adaptive(x->image, KILN_POOL_LP, S(1, 1), INFINITY, false));
    BAD("pool_adaptive", VALUE, kiln_pool_adaptive(x->image, (kiln_pool_kind)-1, S(1, 1), 0, false));
    BAD("unpool", SHAPE, kiln_unpool(x->f, x->i, KILN_INDEX_PLANE, S(8), false));
    assert_int_equal(kiln_dtype_of(i), KILN_NONE);
    BAD("pool_adaptive", SHAPE, kiln_pool_adaptive(x->image, KILN_POOL_MAX, S(1), 0, false));
    BAD("pool_adaptive", VALUE, kiln_pool_adaptive(x->image, KILN_POOL_MAX, S(1, -2), 0, false));
    BAD("pool_adaptive", VALUE, kiln_pool_adaptive(x->image, KILN_POOL_MAX, S(1, huge), 0, false));
    BAD("pool_adaptive", DTYPE, kiln_pool_adaptive(whole, KILN_POOL_AVERAGE, S(1, 1), 0, false));
    BAD("pool_adaptive", SHAPE, kiln_pool_adaptive(kiln_zeros(x->k, KILN_F32, S(1, 0, 4, 2)), KILN_POOL_MAX, S(1, 1), 0, false));
    BAD("pool_adaptive_indices", VALUE, kiln_pool_adaptive_indices(x->image, NULL, KILN_INDEX_PLANE, S(1, 1), false));
    BAD("pool_adaptive_indices", SHAPE, kiln_pool_adaptive_indices(x->image, &i, KILN_INDEX_PLANE, S(1, 1, 1), false));
    i = kiln_zeros(x->k, KILN_I64, S(1, 4, 4, 2));
    BAD("unpool", SHAPE, kiln_unpool(x->image, i, KILN_INDEX_PLANE, S(8), false));
    BAD("unpool", SHAPE, kiln_unpool(x->image, kiln_zeros(x->k, KILN_I64, S(1, 4, 4, 1)), KILN_INDEX_PLANE, S(8, 8), false));
    BAD("unpool", DTYPE, kiln_unpool(x->image, x->image, KILN_INDEX_PLANE, S(8, 8), false));
    BAD("unpool", VALUE, kiln_unpool(x->image, i, KILN_INDEX_COLUMNS, S(8, 8), false));
    BAD("unpool", VALUE, kiln_unpool(x->image, i, KILN_INDEX_PLANE, S(8, -1), false));
    BAD("unpool", SHAPE, kiln_unpool(x->image, i, KILN_INDEX_PLANE, S(1 << 24, 1 << 24), false));
}

static void columns(Bad *x)
{
    kiln_tensor *y = kiln_zeros(x->k, KILN_F32, S(1, 8, 9));
    BAD("unfold", SHAPE, kiln_unfold(x->f, W(.size = {2, 2})));
    BAD("unfold", SHAPE, kiln_unfold(x->image, W(.size = {5, 2})));
    BAD("unfold", VALUE, kiln_unfold(x->image, NULL));
    BAD("unfold", VALUE, kiln_unfold(x->image, W(.size = {2, 2}, .pad = {{1, -1}})));
    BAD("unfold", VALUE, kiln_unfold(x->image, W(.size = {2, 2}, .stride = {1, -1})));
    BAD("fold", VALUE, kiln_fold(y, S(4, 4), NULL));
    BAD("fold", SHAPE, kiln_fold(y, S(1, 1, 1, 1), W(.size = {2, 2})));
    BAD("fold", SHAPE, kiln_fold(x->image, S(4, 4), W(.size = {2, 2})));
    BAD("fold", SHAPE, kiln_fold(y, S(), W(.size = {2, 2})));
    BAD("fold", VALUE, kiln_fold(y, S(4, -4), W(.size = {2, 2})));
    BAD("fold", SHAPE, kiln_fold(y, S(4, 4), W(.size = {2, 2}, .channels_first = true)));
    BAD("fold", SHAPE, kiln_fold(y, S(4, 4), W(.size = {3, 3}, .stride = {1, 1}, .channels_first = true)));
    BAD("fold", SHAPE, kiln_fold(y, S(1, 4), W(.size = {2, 2}, .channels_first = true)));
    BAD("fold", DTYPE, kiln_fold(kiln_cast(y, KILN_BOOL), S(4, 4), W(.size = {2, 2}, .stride = {1, 1}, .channels_first = true)));
}

static void sizes(Bad *x)
{
    const kiln_axes space = KILN_AXES(1, 2);
    BAD("resize", VALUE, kiln_resize(x->image, space, NULL));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.size = {4})));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.size = {4, -4})));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, NAN})));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, INFINITY})));
    BAD("resize", SHAPE, kiln_resize(x->image, space, R(.scale = {2, 0x1p48})));
    BAD("resize", SHAPE, kiln_resize(x->image, KILN_AXES(4), R(.scale = {2})));
    BAD("resize", SHAPE, kiln_resize(x->image, KILN_AXES(1, 1), R(.scale = {2, 2})));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, 2}, .kind = (kiln_resize_kind)3)));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, 2}, .rule = (kiln_resize_rule)-1)));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, 2}, .nearest = (kiln_resize_nearest)4)));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, 2}, .aspect = KILN_RESIZE_NOT_LARGER)));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {.5, 2}, .antialias = true)));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, 2}, .cubic = NAN)));
    BAD("resize", VALUE, kiln_resize(x->image, space, R(.scale = {2, 2}, .rule = KILN_RESIZE_CROP, .roi = {{0, INFINITY}})));
    BAD("resize", DTYPE, kiln_resize(x->i, KILN_AXES(0), R(.size = {4}, .kind = KILN_RESIZE_LINEAR)));
    BAD("resize", SHAPE, kiln_resize(kiln_zeros(x->k, KILN_F32, S(0, 2)), KILN_AXES(0), R(.size = {4})));
}

static void samples(Bad *x)
{
    kiln_tensor *grid = kiln_zeros(x->k, KILN_F32, S(1, 3, 3, 2)), *rois = kiln_zeros(x->k, KILN_F32, S(2, 4));
    kiln_tensor *which = kiln_zeros(x->k, KILN_I64, S(2));
    const kiln_region fit = {.size = {2, 2}}, none = {0}, many = {.size = {2, 2}, .samples = -1};
    BAD("grid_sample", SHAPE, kiln_grid_sample(x->image, x->f, NULL));
    BAD("grid_sample", SHAPE, kiln_grid_sample(x->image, kiln_zeros(x->k, KILN_F32, S(2, 3, 3, 2)), NULL));
    BAD("grid_sample", SHAPE, kiln_grid_sample(x->poor, grid, NULL));
    BAD("grid_sample", SHAPE, kiln_grid_sample(x->f, grid, NULL));
    BAD("grid_sample", SHAPE, kiln_grid_sample(kiln_zeros(x->k, KILN_F32, S(1, 0, 4, 2)), grid, NULL));
    BAD("grid_sample", DTYPE, kiln_grid_sample(kiln_cast(x->image, KILN_I32), grid, NULL));
    BAD("grid_sample", DTYPE, kiln_grid_sample(x->image, kiln_cast(grid, KILN_I32), NULL));
    BAD("grid_sample", VALUE, kiln_grid_sample(x->image, grid, &(kiln_sampling){.kind = (kiln_resize_kind)3}));
    BAD("grid_sample", VALUE, kiln_grid_sample(x->image, grid, &(kiln_sampling){.border = (kiln_border)3}));
    BAD("affine_grid", SHAPE, kiln_affine_grid(x->f, S(2, 2), false));
    BAD("affine_grid", SHAPE, kiln_affine_grid(kiln_zeros(x->k, KILN_F32, S(1, 2, 3)), S(2, 2, 2), false));
    BAD("affine_grid", VALUE, kiln_affine_grid(kiln_zeros(x->k, KILN_F32, S(1, 2, 3)), S(2, -2), false));
    BAD("affine_grid", SHAPE, kiln_affine_grid(kiln_zeros(x->k, KILN_F32, S(1, 2, 3)), S(1 << 24, 1 << 24), false));
    BAD("affine_grid", DTYPE, kiln_affine_grid(x->i, S(2, 2), false));
    BAD("roi_align", SHAPE, kiln_roi_align(x->poor, rois, which, &fit));
    BAD("roi_align", SHAPE, kiln_roi_align(x->image, x->f, which, &fit));
    BAD("roi_align", SHAPE, kiln_roi_align(x->image, rois, kiln_zeros(x->k, KILN_I64, S(3)), &fit));
    BAD("roi_align", DTYPE, kiln_roi_align(x->image, rois, kiln_zeros(x->k, KILN_F32, S(2)), &fit));
    BAD("roi_align", DTYPE, kiln_roi_align(kiln_cast(x->image, KILN_I32), rois, which, &fit));
    BAD("roi_align", VALUE, kiln_roi_align(x->image, rois, which, &none));
    BAD("roi_align", VALUE, kiln_roi_align(x->image, rois, which, &many));
    BAD("roi_align", VALUE, kiln_roi_align(x->image, rois, which, &(kiln_region){.size = {2, 2}, .most = -1}));
    BAD("roi_align", VALUE, kiln_roi_align(x->image, rois, which, &(kiln_region){.size = {2, 2}, .scale = INFINITY}));
    BAD("roi_align", VALUE, kiln_roi_align(x->image, rois, which, &(kiln_region){.size = {2, INT64_MIN}}));
    BAD("roi_align", SHAPE, kiln_roi_align(kiln_zeros(x->k, KILN_F32, S(1, 4, 0, 2)), rois, which, &fit));
    BAD("roi_align", DTYPE, kiln_roi_align(x->image, kiln_cast(rois, KILN_I32), which, &fit));
}

void everything(Bad *x)
{
    samples(x);
    pools(x);
    columns(x);
    sizes(x);
}

CALLED_MAIN
