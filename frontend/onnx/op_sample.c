/* op_sample: ONNX's operators that read images at places: grids, regions, what pooling came from, boxes. Relies on import.h. */
#include <kiln/sized.h>
#include <math.h>

#include "import.h"

bool op_grid_sample(Call *c)
{
    kiln_sampling o = {.align_corners = attr_int(c, "align_corners", 0) != 0, .channels_first = true, .kind = KILN_RESIZE_LINEAR};
    if (attr_is(c, "mode", "nearest")) o.kind = KILN_RESIZE_NEAREST;
    if (attr_is(c, "mode", "cubic") || attr_is(c, "mode", "bicubic")) o.kind = KILN_RESIZE_CUBIC;
    if (attr_is(c, "padding_mode", "border")) o.border = KILN_BORDER_EDGE;
    if (attr_is(c, "padding_mode", "reflection")) o.border = KILN_BORDER_REFLECT;
    return give(c, 0, kiln_grid_sample_sized(c->at, operand(c, 0), operand(c, 1), &o, sizeof o));
}

/* The size is that of an image, [n, c, space...]. */
bool op_affine_grid(Call *c)
{
    int64_t size[5];
    int n;
    kiln_shape s = {.rank = 0};
    if (!numbers(c, 1, size, 5, &n)) return false;
    if (n < 4) return unsupported(c, "a size of less than four numbers");
    s.rank = n - 2;
    for (int i = 2; i < n; i++) s.size[i - 1] = size[i];
    return give(c, 0, kiln_affine_grid_at(c->at, operand(c, 0), s, attr_int(c, "align_corners", 0) != 0));
}

/* Before version 16 there is no shift by half an element. */
bool op_roi_align(Call *c)
{
    const kiln_region o = {.size = {attr_int(c, "output_height", 1), attr_int(c, "output_width", 1)},
        .scale = attr_float(c, "spatial_scale", 1),
        .samples = attr_int(c, "sampling_ratio", 0),
        .half_pixel = c->node->version >= 16 && !attr_is(c, "coordinate_transformation_mode", "output_half_pixel"),
        .largest = attr_is(c, "mode", "max"),
        .channels_first = true};
    return give(c, 0, kiln_roi_align_sized(c->at, operand(c, 0), operand(c, 1), operand(c, 2), &o, sizeof o));
}

/* Bins of a region along one axis, as a mask [regions, bins, size]: bin i has the elements floor(i length / bins) up to ceil((i +
 * 1) length / bins), from the region's first on. first, last: [regions, 1, 1]. */
static kiln_tensor *bins(Call *c, kiln_tensor *first, kiln_tensor *last, int64_t count, Dim size)
{
    kiln_tensor *i = kiln_arange_at(c->at, c->t->k, KILN_F32, KILN_OPERAND(0), KILN_OPERAND(count), KILN_OPERAND(1));
    i = kiln_expand_dims_at(c->at, of(i), KILN_AXES(-1));
    const Type along = {.dtype = DT_f32, .rank = 1, .dim = {size}};
    kiln_tensor *zero = kiln_full_at(c->at, c->t->k, KILN_F32, KILN_SHAPE(), KILN_OPERAND(0));
    kiln_tensor *at = kiln_iota_along_at(c->at, of(broadcast_to(c->t, c->at, zero, &along)), 0, KILN_F32);
    kiln_tensor *length =
        kiln_max_at(c->at, of(kiln_add_at(c->at, of(kiln_sub_at(c->at, of(last), of(first))), KILN_OPERAND(1))), KILN_OPERAND(1));
    kiln_tensor *bin = kiln_div_at(c->at, of(length), KILN_OPERAND((double)count));
    kiln_tensor *lo = kiln_add_at(c->at, of(kiln_floor_at(c->at, of(kiln_mul_at(c->at, of(bin), of(i))))), of(first));
    i = kiln_add_at(c->at, of(i), KILN_OPERAND(1));
    kiln_tensor *hi = kiln_add_at(c->at, of(kiln_ceil_at(c->at, of(kiln_mul_at(c->at, of(bin), of(i))))), of(first));
    return kiln_and_at(c->at, of(kiln_ge_at(c->at, of(at), of(lo))), of(kiln_lt_at(c->at, of(at), of(hi))));
}

/* Regions [regions, 5]: an image's number, left, top, right, bottom, scaled and rounded half away from 0. */
static kiln_tensor *edge(Call *c, kiln_tensor *rois, int i, double scale)
{
    kiln_tensor *x = kiln_mul_at(c->at, of(slice_axis(c->t, c->at, rois, 1, i, 1)), KILN_OPERAND(scale));
    x = kiln_floor_at(c->at, of(kiln_add_at(c->at, of(x), KILN_OPERAND(0.5))));
    return kiln_expand_dims_at(c->at, of(x), KILN_AXES(-1));
}

static kiln_tensor *largest(Call *c, kiln_tensor *x, kiln_tensor *mask, int axis)
{
    x = kiln_where_at(c->at, of(mask), of(x), KILN_OPERAND(-INFINITY));
    return kiln_reduce_max_at(c->at, of(x), KILN_AXES(axis));
}

bool op_max_roi_pool(Call *c)
{
    int64_t bin[2];
    int n;
    kiln_tensor *x = tensor(c, 0), *rois = tensor(c, 1);
    const double scale = attr_float(c, "spatial_scale", 1);
    if (!tensor_ok(x) || !tensor_ok(rois) || !attr_ints(c, "pooled_shape", bin, 2, &n)) return false;
    if (n != 2 || bin[0] < 1 || bin[1] < 1 || x->type.rank != 4 || rois->type.rank != 2 || rois->type.dim[1] != 5)
        return unsupported(c, "other than images [n, c, height, width] and regions [r, 5]");
    rois = cast_to(c->t, c->at, rois, DT_f32);
    kiln_tensor *image = kiln_squeeze_at(c->at, of(slice_axis(c->t, c->at, rois, 1, 0, 1)), 1);
    kiln_tensor *columns = bins(c, edge(c, rois, 1, scale), edge(c, rois, 3, scale), bin[1], x->type.dim[3]);
    kiln_tensor *rows = bins(c, edge(c, rois, 2, scale), edge(c, rois, 4, scale), bin[0], x->type.dim[2]);
    x = kiln_gather_at(c->at, of(x), of(kiln_cast_at(c->at, of(image), KILN_I64)), 0);
    /* [r, c, h, 1, w] and [r, 1, 1, bins, w]; then [r, c, 1, h, bins] and [r, 1, bins, h, 1] */
    x = largest(c, kiln_expand_dims_at(c->at, of(x), KILN_AXES(3)), kiln_expand_dims_at(c->at, of(columns), KILN_AXES(1, 2)), 4);
    x = largest(c, kiln_expand_dims_at(c->at, of(x), KILN_AXES(2)), kiln_expand_dims_at(c->at, of(rows), KILN_AXES(1, 4)), 3);
    kiln_tensor *none = kiln_isneginf_at(c->at, of(x));
    return give(c, 0, kiln_where_at(c->at, of(none), KILN_OPERAND(0), of(x)));
}

/* ---- what pooling came from --------------------------------------------------------------------------- */

/* Indices count the elements of what the pooling saw; a larger output_shape has zeros behind. */
bool op_max_unpool(Call *c)
{
    int64_t size[3], stride[3], pads[6] = {0}, want[MAX_RANK];
    int n, m, p, wanted = 0;
    const kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !attr_ints(c, "kernel_shape", size, 3, &n) || !attr_ints(c, "strides", stride, 3, &m) ||
        !attr_ints(c, "pads", pads, 6, &p) || (has(c, 2) && !numbers(c, 2, want, MAX_RANK, &wanted)))
        return false;
    const int rank = x->type.rank;
    if (n != rank - 2 || n < 1 || (m >= 0 && m != n) || (p >= 0 && p != 2 * n) || (wanted && wanted != rank))
        return unsupported(c, "other than one number for each axis of space");
    kiln_shape sizes = {.rank = n}, low = {.rank = rank}, high = low;
    bool larger = false;
    for (int i = 0; i < n; i++) {
        const Dim in = x->type.dim[2 + i];
        if (!dim_is_const(in)) return unsupported(c, "an axis of space whose size is a symbol");
        sizes.size[1 + i] = (in - 1) * (m < 0 ? 1 : stride[i]) + size[i] - pads[i] - pads[n + i];
        high.size[3 + i] = wanted ? want[2 + i] - sizes.size[1 + i] : 0;
        larger |= high.size[3 + i] != 0;
    }
    kiln_tensor *y = kiln_unpool_at(c->at, operand(c, 0), operand(c, 1), KILN_INDEX_WHOLE, sizes, true);
    return give(c, 0, larger ? kiln_pad_at(c->at, of(y), low, high, KILN_OPERAND(0)) : y);
}

bool op_col2im(Call *c)
{
    int64_t image[3], block[3], stride[3], dilation[3], pads[6] = {0};
    int n, m, s, d, p;
    kiln_shape sizes = {.rank = 0};
    if (!numbers(c, 1, image, 3, &n) || !numbers(c, 2, block, 3, &m) || !attr_ints(c, "strides", stride, 3, &s) ||
        !attr_ints(c, "dilations", dilation, 3, &d) || !attr_ints(c, "pads", pads, 6, &p))
        return false;
    if (n != m || (s >= 0 && s != n) || (d >= 0 && d != n) || (p >= 0 && p != 2 * n))
        return unsupported(c, "other than one number for each axis of space");
    kiln_pooling o = {.channels_first = true};
    sizes.rank = n;
    for (int i = 0; i < n; i++) {
        sizes.size[1 + i] = image[i];
        o.size[i] = block[i], o.stride[i] = s < 0 ? 1 : stride[i], o.dilation[i] = d < 0 ? 1 : dilation[i];
        o.pad[i][0] = pads[i], o.pad[i][1] = pads[n + i];
    }
    return give(c, 0, kiln_fold_sized(c->at, operand(c, 0), sizes, &o, sizeof o));
}

/* ---- boxes, different elements ------------------------------------------------------------------------ */

bool op_non_max_suppression(Call *c)
{
    int64_t most = 0;
    double iou = 0, score = -INFINITY;
    return number(c, 2, &most) && real(c, 3, &iou) && real(c, 4, &score) &&
           give(c, 0,
               kiln_non_max_suppression_at(
                   c->at, operand(c, 0), operand(c, 1), most < 0 ? 0 : most, iou, score, attr_int(c, "center_point_box", 0) != 0));
}

bool op_unique(Call *c)
{
    kiln_tensor *indices = NULL, *inverse = NULL, *counts = NULL;
    const bool flat = !attribute(c, "axis");
    const int axis = flat ? KILN_FLAT : (int)attr_int(c, "axis", 0);
    kiln_tensor *y = kiln_unique_at(c->at, operand(c, 0), axis, attr_int(c, "sorted", 1) ? 0 : KILN_FIRST_MET,
        c->nout > 1 ? &indices : NULL, c->nout > 2 ? &inverse : NULL, c->nout > 3 ? &counts : NULL);
    if (!give(c, 0, y) || (c->nout > 1 && !give(c, 1, indices)) || (c->nout > 3 && !give(c, 3, counts))) return false;
    if (c->nout < 3) return true;
    if (!flat || !tensor_ok(inverse)) return give(c, 2, inverse);
    const Dim n = extent_product(c->t, c->at, inverse->type.dim, inverse->type.rank);
    return n != DIM_BAD && give(c, 2, reshape_to(c->t, c->at, inverse, &n, 1));
}
