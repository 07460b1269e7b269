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
    kiln_tensor *x = tensor(c, 0);
    return give_as(c, 0, kiln_grid_sample_sized(c->at, of(x), operand(c, 1), &o, sizeof o), x);
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
    const kiln_dtype t = (kiln_dtype)at_least_f32(first);
    kiln_tensor *i = kiln_arange_at(c->at, c->t->k, t, KILN_OPERAND(0), KILN_OPERAND(count), KILN_OPERAND(1));
    i = kiln_expand_dims_at(c->at, of(i), KILN_AXES(-1));
    const Type along = {.dtype = (DType)t, .rank = 1, .dim = {size}};
    kiln_tensor *zero = kiln_full_at(c->at, c->t->k, t, KILN_SHAPE(), KILN_OPERAND(0));
    kiln_tensor *at = kiln_iota_along_at(c->at, of(broadcast_to(c->t, c->at, zero, &along)), 0, t);
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
    rois = cast_to(c->t, c->at, rois, at_least_f32(rois));
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

/* ---- deformable convolution: each tap reads at a place of its own --------------------------------------- */

typedef struct Deform {
    int64_t taps[2], stride[2], dilation[2], pad[2], groups, shifts; /* shifts: groups of channels that share offsets */
    Dim n, c, in[2], out[2];
    bool corners; /* both axes are longer than 1, so that -1 and 1 can be their outer elements */
} Deform;

static bool two(Call *c, const char *name, int64_t *to, int n, int64_t absent)
{
    int have;
    if (!attr_ints(c, name, to, n, &have)) return false;
    if (have >= 0 && have != n) return unsupported(c, "other than one number for each of two axes of space");
    for (int i = 0; have < 0 && i < n; i++) to[i] = absent;
    return true;
}

static bool deform_of(Call *c, const kiln_tensor *x, const kiln_tensor *w, const kiln_tensor *offset, Deform *d)
{
    int64_t pads[4];
    if (x->type.rank != 4 || w->type.rank != 4 || offset->type.rank != 4) return unsupported(c, "other than two axes of space");
    for (int i = 0; i < 4; i++)
        if (!dim_is_const(w->type.dim[i]) || (i != 0 && (!dim_is_const(x->type.dim[i]) || !dim_is_const(offset->type.dim[i]))))
            return unsupported(c, "a size that is a symbol");
    d->groups = attr_int(c, "group", 1), d->shifts = attr_int(c, "offset_group", 1);
    if (!two(c, "strides", d->stride, 2, 1) || !two(c, "dilations", d->dilation, 2, 1) || !two(c, "pads", pads, 4, 0)) return false;
    d->n = x->type.dim[0], d->c = x->type.dim[1];
    for (int i = 0; i < 2; i++)
        d->in[i] = x->type.dim[2 + i], d->out[i] = offset->type.dim[2 + i], d->taps[i] = w->type.dim[2 + i], d->pad[i] = pads[i];
    d->corners = d->in[0] > 1 && d->in[1] > 1;
    return (d->groups > 0 && d->shifts > 0 && d->c % d->groups == 0 && d->c % d->shifts == 0 &&
               offset->type.dim[1] == d->shifts * d->taps[0] * d->taps[1] * 2) ||
           unsupported(c, "channels and offsets that do not fit the groups");
}

/* Where tap t of axis a reads for each element of the result, less the offset: [taps0, taps1, out0, out1], in grid_sample's
 * coordinates. */
static kiln_tensor *places(Call *c, const Deform *d, int a, kiln_tensor *offset)
{
    const kiln_dtype type = (kiln_dtype)at_least_f32(offset);
    kiln_tensor *t = kiln_arange_at(c->at, c->t->k, type, KILN_OPERAND(0), KILN_OPERAND(d->taps[a]), KILN_OPERAND(1));
    kiln_tensor *i = kiln_arange_at(c->at, c->t->k, type, KILN_OPERAND(0), KILN_OPERAND(d->out[a]), KILN_OPERAND(1));
    t = kiln_mul_at(c->at, of(t), KILN_OPERAND((double)d->dilation[a]));
    i = kiln_sub_at(c->at, of(kiln_mul_at(c->at, of(i), KILN_OPERAND((double)d->stride[a]))), KILN_OPERAND((double)d->pad[a]));
    t = kiln_expand_dims_at(c->at, of(t), a == 0 ? KILN_AXES(1, 2, 3) : KILN_AXES(1, 2));
    i = a == 0 ? kiln_expand_dims_at(c->at, of(i), KILN_AXES(1)) : i;
    kiln_tensor *at = kiln_add_at(c->at, of(kiln_add_at(c->at, of(t), of(i))), of(offset));
    if (d->corners) {
        at = kiln_mul_at(c->at, of(kiln_div_at(c->at, of(at), KILN_OPERAND((double)(d->in[a] - 1)))), KILN_OPERAND(2));
        return kiln_sub_at(c->at, of(at), KILN_OPERAND(1));
    }
    at = kiln_add_at(c->at, of(kiln_mul_at(c->at, of(at), KILN_OPERAND(2))), KILN_OPERAND(1));
    return kiln_sub_at(c->at, of(kiln_div_at(c->at, of(at), KILN_OPERAND((double)d->in[a]))), KILN_OPERAND(1));
}

/* What the taps read, times the mask: [n, channels, taps, out0 out1]. */
static kiln_tensor *taps_read(Call *c, const Deform *d, kiln_tensor *x, kiln_tensor *offset)
{
    const int64_t taps = d->taps[0] * d->taps[1], per = d->c / d->shifts;
    const Dim all = extent(c->t, c->at, EXTENT_MUL, d->n, d->shifts), plane = d->out[0] * d->out[1];
    if (all == DIM_BAD) return &c->t->k->poison;
    const Dim shape[6] = {all, d->taps[0], d->taps[1], 2, d->out[0], d->out[1]}, flat[4] = {all, taps, plane, 2};
    const Dim images[4] = {all, per, d->in[0], d->in[1]}, read[4] = {d->n, d->c, taps, plane};
    const DType type = at_least_f32(offset);
    offset = cast_to(c->t, c->at, reshape_to(c->t, c->at, offset, shape, 6), type);
    kiln_tensor *xy[2];
    for (int a = 0; a < 2; a++) {
        kiln_tensor *part = kiln_squeeze_at(c->at, of(slice_axis(c->t, c->at, offset, 3, a, 1)), 3);
        xy[1 - a] = places(c, d, a, part); /* the last axis first */
    }
    kiln_tensor *grid = kiln_stack_at(c->at, xy, 2, -1);
    if (!tensor_ok(grid)) return grid;
    const kiln_sampling o = {.kind = KILN_RESIZE_LINEAR, .align_corners = d->corners, .channels_first = true};
    x = reshape_to(c->t, c->at, x, images, 4);
    x = kiln_grid_sample_sized(c->at, of(x), of(reshape_to(c->t, c->at, grid, flat, 4)), &o, sizeof o);
    if (has(c, 4) && tensor_ok(x)) {
        const Dim mask[4] = {all, 1, taps, plane};
        x = kiln_mul_at(c->at, of(x), of(reshape_to(c->t, c->at, tensor(c, 4), mask, 4)));
    }
    return tensor_ok(x) ? reshape_to(c->t, c->at, x, read, 4) : x;
}

bool op_deform_conv(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *w = tensor(c, 1), *offset = tensor(c, 2);
    Deform d;
    if (!tensor_ok(x) || !tensor_ok(w) || !tensor_ok(offset) || !deform_of(c, x, w, offset, &d)) return false;
    if (w->type.dim[0] % d.groups != 0 || w->type.dim[1] * d.groups != d.c)
        return unsupported(c, "filters that do not fit the groups");
    const DType type = (DType)x->type.dtype;
    const Dim out = w->type.dim[0], sums = w->type.dim[1] * d.taps[0] * d.taps[1], plane = d.out[0] * d.out[1];
    const Dim columns[4] = {d.n, d.groups, sums, plane}, rows[3] = {d.groups, out / d.groups, sums};
    const Dim result[4] = {d.n, out, d.out[0], d.out[1]};
    x = taps_read(c, &d, x, offset);
    if (!tensor_ok(x)) return false;
    kiln_tensor *y = kiln_matmul_at(c->at, of(reshape_to(c->t, c->at, w, rows, 3)), of(reshape_to(c->t, c->at, x, columns, 4)));
    if (!tensor_ok(y)) return false;
    y = reshape_to(c->t, c->at, y, result, 4);
    if (has(c, 3)) y = kiln_add_at(c->at, of(y), of(kiln_expand_dims_at(c->at, operand(c, 3), KILN_AXES(1, 2))));
    return give(c, 0, tensor_ok(y) ? cast_to(c->t, c->at, y, type) : y);
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
