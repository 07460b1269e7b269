/* op_window: ONNX's convolutions and pools, whose channels come first. Relies on import.h. */
#include "import.h"

typedef struct Window {
    int n; /* axes of space */
    int64_t size[3], stride[3], dilation[3], pads[6];
    bool same, same_lower;
} Window;

static bool three(Call *c, const char *name, int n, int64_t *to, int64_t absent)
{
    int have;
    int64_t at[6];
    if (!attr_ints(c, name, at, 6, &have)) return false;
    if (have >= 0 && have != n) return unsupported(c, "other than one number for each axis of space");
    for (int i = 0; i < n; i++) to[i] = have < 0 ? absent : at[i];
    return true;
}

static bool window_of(Call *c, int n, Window *w)
{
    *w = (Window){.n = n, .same = attr_is(c, "auto_pad", "SAME_UPPER"), .same_lower = attr_is(c, "auto_pad", "SAME_LOWER")};
    if (n < 1 || n > 3) return unsupported(c, "%d axes of space, where 1 to 3 are allowed,", n);
    return three(c, "kernel_shape", n, w->size, 0) && three(c, "strides", n, w->stride, 1) &&
           three(c, "dilations", n, w->dilation, 1) && three(c, "pads", 2 * n, w->pads, 0);
}

/* Filters [o, c, taps...] as [taps..., c, o]; those of a transposed one, [c, o, taps...], are of the convolution of which it is the
 * adjoint, and turn in the same way. */
static kiln_tensor *filters(Call *c, kiln_tensor *w)
{
    const int n = w->type.rank - 2;
    kiln_axes perm = {.count = w->type.rank};
    for (int i = 0; i < n; i++) perm.axis[1 + i] = 2 + i;
    perm.axis[1 + n] = 1, perm.axis[2 + n] = 0;
    return kiln_transpose_at(c->at, of(w), perm);
}

/* Of a transposed convolution: padding that follows from the result's sizes, which are given, or are those of x times the strides.
 * What is missing to a larger result is added behind. */
static bool pads_of_result(Call *c, const kiln_tensor *x, const kiln_tensor *w, Window *v, int64_t *more)
{
    int64_t want[3];
    int n;
    if (!attr_ints(c, "output_shape", want, 3, &n)) return false;
    if (n < 0 && !v->same && !v->same_lower) return true;
    if (n >= 0 && n != v->n) return unsupported(c, "an output_shape of other than one number for each axis of space");
    for (int i = 0; i < v->n; i++) {
        const Dim in = x->type.dim[2 + i], taps = w->type.dim[2 + i];
        if (!dim_is_const(taps) || (n >= 0 && !dim_is_const(in))) return unsupported(c, "an output_shape where a size is a symbol");
        const int64_t all = (taps - 1) * v->dilation[i] + 1 + more[i] - v->stride[i];
        const int64_t pad = all + (n >= 0 ? in * v->stride[i] - want[i] : 0), half = pad / 2;
        v->pads[i] = pad <= 0 ? 0 : v->same ? half : pad - half;
        v->pads[v->n + i] = pad <= 0 ? 0 : pad - v->pads[i];
        if (pad < 0) more[i] -= pad;
    }
    v->same = v->same_lower = false;
    return true;
}

static kiln_convolution convolution_of(Call *c, const Window *v, const int64_t *more)
{
    kiln_convolution o = {.groups = attr_int(c, "group", 1), .channels_first = true, .same = v->same, .same_lower = v->same_lower};
    if (v->same_lower) o.same = false;
    for (int i = 0; i < v->n; i++) {
        o.stride[i] = v->stride[i], o.dilation[i] = v->dilation[i], o.output_pad[i] = more[i];
        o.pad[i][0] = v->pads[i], o.pad[i][1] = v->pads[v->n + i];
    }
    return o;
}

/* A number for each channel, [o], as it is to be broadcast over the axes of space. */
static kiln_tensor *of_channel(Call *c, kiln_tensor *x, int space)
{
    kiln_axes behind = {.count = space};
    for (int i = 0; i < space; i++) behind.axis[1 + i] = 1 + i;
    return tensor_ok(x) && x->type.rank == 1 ? kiln_expand_dims_at(c->at, of(x), behind) : x;
}

bool op_conv(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *w = tensor(c, 1);
    Window v;
    int64_t more[3] = {0};
    const bool transposed = c->node->op->with.number != 0;
    if (!tensor_ok(x) || !tensor_ok(w) || !window_of(c, x->type.rank - 2, &v)) return false;
    if (w->type.rank != x->type.rank) return unsupported(c, "filters of another rank than the images");
    if (transposed && (!three(c, "output_padding", v.n, more, 0) || !pads_of_result(c, x, w, &v, more))) return false;
    const kiln_convolution o = convolution_of(c, &v, more);
    w = filters(c, w);
    if (!tensor_ok(w)) return false;
    kiln_tensor *y = transposed ? kiln_convolve_transposed_sized(c->at, of(x), of(w), &o, sizeof o)
                                : kiln_convolve_sized(c->at, of(x), of(w), &o, sizeof o);
    if (!has(c, 2)) return give(c, 0, y);
    return give(c, 0, kiln_add_at(c->at, of(y), of(of_channel(c, tensor(c, 2), v.n))));
}

/* One element in a row is a scalar, too; and zero points may be missing. */
static kiln_tensor *zero_point(Call *c, uint32_t i)
{
    kiln_tensor *x = has(c, i) ? tensor(c, i) : NULL;
    return x && tensor_ok(x) && x->type.rank == 1 && x->type.dim[0] == 1 ? reshape_to(c->t, c->at, x, NULL, 0) : x;
}

/* The sums of products of integers of images x and filters w, operands of the node, in i32. */
static kiln_tensor *convolved(Call *c, uint32_t x_at, uint32_t w_at, uint32_t x_zero, uint32_t w_zero)
{
    kiln_tensor *x = tensor(c, x_at), *w = tensor(c, w_at), *none = &c->t->k->poison;
    Window v;
    const int64_t more[3] = {0};
    if (!tensor_ok(x) || !tensor_ok(w) || !window_of(c, x->type.rank - 2, &v)) return none;
    if (w->type.rank != x->type.rank) return unsupported(c, "filters of another rank than the images"), none;
    const kiln_convolution o = convolution_of(c, &v, more);
    w = filters(c, w);
    if (!tensor_ok(w)) return none;
    return kiln_convolve_integer_sized(c->at, of(x), of(w), of(zero_point(c, x_zero)), of(zero_point(c, w_zero)), &o, sizeof o);
}

bool op_conv_integer(Call *c) { return give(c, 0, convolved(c, 0, 1, 2, 3)); }

/* round(sums x_scale w_scale / y_scale) + y_zero */
bool op_conv_quantised(Call *c)
{
    kiln_tensor *y = convolved(c, 0, 3, 2, 5);
    if (!tensor_ok(y)) return false;
    const int space = y->type.rank - 2;
    if (has(c, 8)) y = kiln_add_at(c->at, of(y), of(of_channel(c, tensor(c, 8), space)));
    kiln_tensor *scale = kiln_mul_at(c->at, of(zero_point(c, 1)), of(zero_point(c, 4)));
    y = kiln_mul_at(c->at, of(kiln_cast_at(c->at, of(y), KILN_F32)), of(of_channel(c, scale, space)));
    return give(
        c, 0, kiln_quantise_sized(c->at, of(y), of(zero_point(c, 6)), of(zero_point(c, 7)), NULL, sizeof(kiln_quantisation)));
}

static kiln_tensor *channels_moved(Call *c, kiln_tensor *x, int from, int to)
{
    return kiln_moveaxis_at(c->at, of(x), KILN_AXES(from), KILN_AXES(to));
}

/* A float in version 1. */
static double pool_norm(Call *c) { return c->node->version < 2 ? attr_float(c, "p", 2) : (double)attr_int(c, "p", 2); }

bool op_pool(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    Window v;
    const kiln_pool_kind kind = (kiln_pool_kind)c->node->op->with.number;
    if (!tensor_ok(x) || !window_of(c, x->type.rank - 2, &v)) return false;
    kiln_pooling o = {.channels_first = true,
        .same = v.same,
        .same_lower = v.same_lower,
        .ceil = attr_int(c, "ceil_mode", 0) != 0,
        .count_pad = attr_int(c, "count_include_pad", 0) != 0,
        .p = pool_norm(c)};
    if (v.same_lower) o.same = false;
    for (int i = 0; i < v.n; i++) {
        o.size[i] = v.size[i], o.stride[i] = v.stride[i], o.dilation[i] = v.dilation[i];
        o.pad[i][0] = v.pads[i], o.pad[i][1] = v.pads[v.n + i];
    }
    if (c->nout < 2) {
        /* channels last, as convolutions compute, so that between them nothing is moved */
        o.channels_first = false;
        x = kiln_pool_sized(c->at, of(channels_moved(c, x, 1, -1)), kind, &o, sizeof o);
        return give(c, 0, channels_moved(c, x, -1, 1));
    }
    kiln_tensor *at;
    const kiln_plane_index how = attr_int(c, "storage_order", 0) ? KILN_INDEX_COLUMNS : KILN_INDEX_WHOLE;
    kiln_tensor *y = kiln_pool_indices_sized(c->at, of(x), &at, how, &o, sizeof o);
    return give(c, 0, y) && give(c, 1, at);
}

bool op_global_pool(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    kiln_shape one = {.rank = x->type.rank - 2};
    for (int i = 0; i < one.rank; i++) one.size[1 + i] = 1;
    const kiln_pool_kind kind = (kiln_pool_kind)c->node->op->with.number;
    return give(c, 0, kiln_pool_adaptive_at(c->at, operand(c, 0), kind, one, kind == KILN_POOL_LP ? pool_norm(c) : 0, true));
}
