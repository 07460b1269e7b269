/* op_resize: ONNX's Resize and Upsample. Relies on import.h. */
#include "import.h"

static bool rule_of(Call *c, kiln_resizing *o)
{
    static const struct {
        const char *name;
        kiln_resize_rule rule;
    } all[] = {{"half_pixel", KILN_RESIZE_HALF_PIXEL}, {"half_pixel_symmetric", KILN_RESIZE_HALF_PIXEL_SYMMETRIC},
        {"pytorch_half_pixel", KILN_RESIZE_PYTORCH_HALF_PIXEL}, {"align_corners", KILN_RESIZE_ALIGN_CORNERS},
        {"asymmetric", KILN_RESIZE_ASYMMETRIC}, {"tf_crop_and_resize", KILN_RESIZE_CROP}};
    if (!attribute(c, "coordinate_transformation_mode")) return true;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (attr_is(c, "coordinate_transformation_mode", all[i].name)) return o->rule = all[i].rule, true;
    /* Of version 11 alone: half_pixel, without the half that is taken off. The nearest element below that is the nearest one. */
    if (attr_is(c, "coordinate_transformation_mode", "tf_half_pixel_for_nn") && o->kind == KILN_RESIZE_NEAREST)
        return o->rule = KILN_RESIZE_HALF_PIXEL, true;
    return unsupported_word(c, "coordinate_transformation_mode",
        "half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric and tf_crop_and_resize");
}

static bool nearest_of(Call *c, kiln_resizing *o)
{
    static const char *const name[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    o->nearest = KILN_RESIZE_PREFER_FLOOR;
    const bool tf = attr_is(c, "coordinate_transformation_mode", "tf_half_pixel_for_nn");
    for (int i = 0; i < 4; i++)
        if (attr_is(c, "nearest_mode", name[i])) o->nearest = (kiln_resize_nearest)i;
    if (!tf) return true;
    if (o->nearest != KILN_RESIZE_FLOOR && attribute(c, "nearest_mode") && o->nearest != KILN_RESIZE_PREFER_FLOOR)
        return unsupported_word(c, "nearest_mode", "round_prefer_floor and floor, with tf_half_pixel_for_nn,");
    /* (i + 0.5) / scale, of which the floor is meant, is half an element further on */
    o->nearest = o->nearest == KILN_RESIZE_FLOOR ? KILN_RESIZE_PREFER_CEIL : KILN_RESIZE_CEIL;
    return true;
}

static bool kind_of(Call *c, kiln_resizing *o)
{
    if (!attribute(c, "mode") || attr_is(c, "mode", "nearest")) return o->kind = KILN_RESIZE_NEAREST, true;
    if (attr_is(c, "mode", "linear") || attr_is(c, "mode", "bilinear")) return o->kind = KILN_RESIZE_LINEAR, true;
    if (attr_is(c, "mode", "cubic")) return o->kind = KILN_RESIZE_CUBIC, true;
    return unsupported_word(c, "mode", "nearest, linear and cubic");
}

/* Integers between others are cut off, as the reference has it. */
static kiln_tensor *resized(Call *c, kiln_tensor *x, kiln_axes axes, const kiln_resizing *o, const Dim *size)
{
    const DType d = (DType)x->type.dtype;
    if (o->kind == KILN_RESIZE_NEAREST || dtype_is_float(d)) return resize_to(c->at, of(x), axes, o, size);
    kiln_tensor *y = resize_to(c->at, of(cast_to(c->t, c->at, x, DT_f32)), axes, o, size);
    return tensor_ok(y) ? cast_to(c->t, c->at, y, d) : y;
}

/* By scales alone, as before version 11: element i is that at i / scale, of which the nearest is the one before it, or, along an
 * axis of Resize that gets shorter, the one behind it. */
static bool scaled(Call *c, const double *scale, int n)
{
    kiln_tensor *x = tensor(c, 0);
    kiln_resizing o = {.rule = KILN_RESIZE_ASYMMETRIC, .nearest = KILN_RESIZE_FLOOR}, shorter = o;
    if (!tensor_ok(x) || !kind_of(c, &o)) return false;
    if (n != x->type.rank) return unsupported(c, "other than one scale for each axis");
    shorter.kind = o.kind;
    shorter.nearest = KILN_RESIZE_CEIL;
    kiln_axes axes = {.count = 0}, shortened = axes;
    for (int i = 0; i < n; i++) {
        const bool less = scale[i] < 1 && o.kind == KILN_RESIZE_NEAREST && c->node->version == 10;
        if (scale[i] == 1) continue;
        if (less)
            shorter.scale[shortened.count] = scale[i], shortened.axis[1 + shortened.count++] = i;
        else
            o.scale[axes.count] = scale[i], axes.axis[1 + axes.count++] = i;
    }
    if (axes.count) x = resized(c, x, axes, &o, NULL);
    if (shortened.count && tensor_ok(x)) x = resized(c, x, shortened, &shorter, NULL);
    return give(c, 0, x);
}

bool op_upsample(Call *c)
{
    double scale[MAX_RANK] = {1, 1};
    int n = 4;
    if (c->node->version < 7) {
        scale[2] = attr_float(c, "height_scale", 0), scale[3] = attr_float(c, "width_scale", 0);
        if (!(scale[2] > 0) || !(scale[3] > 0)) return unsupported(c, "a scale that is missing");
        return scaled(c, scale, n);
    }
    if (c->node->version < 9 ? !attr_floats(c, "scales", scale, MAX_RANK, &n) : !reals(c, 1, scale, MAX_RANK, &n)) return false;
    return scaled(c, scale, n);
}

/* The region of an axis; of the whole x, (0, 1). */
static bool regions(Call *c, kiln_resizing *o, int n)
{
    double roi[2 * MAX_RANK];
    int have;
    if (o->rule != KILN_RESIZE_CROP) return true;
    if (!reals(c, 1, roi, 2 * MAX_RANK, &have)) return false;
    if (have != 2 * n) return unsupported(c, "a roi of other than two numbers for each axis");
    for (int i = 0; i < n; i++) o->roi[i][0] = roi[i], o->roi[i][1] = roi[n + i];
    return true;
}

/* What stays as it is need not be resized, whatever its size. */
static void leave_out(kiln_resizing *o, kiln_axes *axes, Dim *size, const bool *stays)
{
    int n = 0;
    if (o->rule == KILN_RESIZE_CROP || o->aspect != KILN_RESIZE_STRETCH) return;
    for (int i = 0; i < axes->count; i++) {
        if (stays[i]) continue;
        axes->axis[1 + n] = axes->axis[1 + i];
        o->size[n] = o->size[i], o->scale[n] = o->scale[i], size[n] = size[i];
        n++;
    }
    for (int i = n; i < axes->count; i++) o->size[i] = 0, o->scale[i] = 0;
    axes->count = n;
}

static bool sizes_given(Call *c, const kiln_tensor *x, const kiln_axes *axes, Dim *size, bool *stays)
{
    const Known *want;
    int n;
    if (!sizes(c, 3, &want, &n)) return false;
    if (n != axes->count) return unsupported(c, "other than one size for each axis");
    for (int i = 0; i < n; i++) {
        if (!known_size(c, want[i], &size[i])) return false;
        stays[i] = size[i] == x->type.dim[axes->axis[1 + i]];
    }
    return true;
}

static bool scales_given(Call *c, const kiln_tensor *x, kiln_resizing *o, const kiln_axes *axes, bool *stays)
{
    int n;
    if (!reals(c, 2, o->scale, MAX_RANK, &n)) return false;
    if (n != axes->count) return unsupported(c, "other than one scale for each axis");
    for (int i = 0; i < n; i++) {
        const Dim size = x->type.dim[axes->axis[1 + i]];
        stays[i] = o->scale[i] == 1;
        if (o->rule == KILN_RESIZE_CROP && dim_is_const(size))
            o->size[i] = (int64_t)((double)size * (o->roi[i][1] - o->roi[i][0]) * o->scale[i]);
    }
    return true;
}

static bool resize_axes(Call *c, const kiln_tensor *x, kiln_axes *axes)
{
    int64_t at[MAX_RANK];
    int n;
    if (!attr_ints(c, "axes", at, MAX_RANK, &n)) return false;
    *axes = (kiln_axes){.count = n < 0 ? x->type.rank : n};
    for (int i = 0; i < axes->count; i++) {
        if (n < 0) at[i] = i;
        if (!axis_within(c, &at[i], x->type.rank)) return false;
        axes->axis[1 + i] = (int)at[i];
    }
    return true;
}

bool op_resize(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    kiln_resizing o = {.cubic = attr_float(c, "cubic_coeff_a", -0.75),
        .exclude_outside = attr_int(c, "exclude_outside", 0) != 0,
        .antialias = attr_int(c, "antialias", 0) != 0,
        .extrapolation = attr_float(c, "extrapolation_value", 0),
        .aspect = attr_is(c, "keep_aspect_ratio_policy", "not_larger")    ? KILN_RESIZE_NOT_LARGER
                  : attr_is(c, "keep_aspect_ratio_policy", "not_smaller") ? KILN_RESIZE_NOT_SMALLER
                                                                          : KILN_RESIZE_STRETCH};
    if (!tensor_ok(x)) return false;
    if (c->node->version < 11) {
        double scale[MAX_RANK];
        int n;
        return reals(c, 1, scale, MAX_RANK, &n) && scaled(c, scale, n);
    }
    kiln_axes axes;
    bool stays[MAX_RANK] = {false};
    Dim size[MAX_RANK] = {0};
    if (!kind_of(c, &o) || !rule_of(c, &o) || !nearest_of(c, &o) || !resize_axes(c, x, &axes)) return false;
    if (o.cubic == 0) return unsupported(c, "a cubic_coeff_a of 0");
    if (!regions(c, &o, axes.count)) return false;
    if (has(c, 3) ? !sizes_given(c, x, &axes, size, stays) : !scales_given(c, x, &o, &axes, stays)) return false;
    leave_out(&o, &axes, size, stays);
    return give(c, 0, axes.count ? resized(c, x, axes, &o, has(c, 3) ? size : NULL) : x);
}
