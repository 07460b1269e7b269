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
    if (n < 1 || n > 3) return unsupported(c, "other than one to three axes of space");
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

bool op_conv(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *w = tensor(c, 1);
    Window v;
    int64_t more[3] = {0};
    const bool transposed = c->node->op->with.number != 0;
    int shape;
    int64_t given[3];
    if (!tensor_ok(x) || !tensor_ok(w) || !window_of(c, x->type.rank - 2, &v)) return false;
    if (!attr_ints(c, "output_shape", given, 3, &shape) || !three(c, "output_padding", v.n, more, 0)) return false;
    if (transposed && (shape >= 0 || v.same || v.same_lower)) return unsupported(c, "padding that follows from the result's size");
    kiln_convolution o = {.groups = attr_int(c, "group", 1), .channels_first = true, .same = v.same, .same_lower = v.same_lower};
    if (v.same_lower) o.same = false;
    for (int i = 0; i < v.n; i++) {
        o.stride[i] = v.stride[i], o.dilation[i] = v.dilation[i], o.output_pad[i] = more[i];
        o.pad[i][0] = v.pads[i], o.pad[i][1] = v.pads[v.n + i];
    }
    w = filters(c, w);
    if (!tensor_ok(w)) return false;
    kiln_tensor *y = transposed ? kiln_convolve_transposed_sized(c->at, of(x), of(w), &o, sizeof o)
                                : kiln_convolve_sized(c->at, of(x), of(w), &o, sizeof o);
    if (!has(c, 2)) return give(c, 0, y);
    kiln_axes behind = {.count = v.n};
    for (int i = 0; i < v.n; i++) behind.axis[1 + i] = 1 + i;
    return give(c, 0, kiln_add_at(c->at, of(y), of(kiln_expand_dims_at(c->at, operand(c, 2), behind))));
}

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
        .p = (double)attr_int(c, "p", 2)};
    if (v.same_lower) o.same = false;
    for (int i = 0; i < v.n; i++) {
        o.size[i] = v.size[i], o.stride[i] = v.stride[i], o.dilation[i] = v.dilation[i];
        o.pad[i][0] = v.pads[i], o.pad[i][1] = v.pads[v.n + i];
    }
    if (c->nout < 2) return give(c, 0, kiln_pool_sized(c->at, of(x), kind, &o, sizeof o));
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
    return give(
        c, 0, kiln_pool_adaptive_at(c->at, operand(c, 0), kind, one, kind == KILN_POOL_LP ? (double)attr_int(c, "p", 2) : 0, true));
}
