/* ops_window: convolution and pooling, channels last, made of pad, window, reshape, and a
 * contraction or a reduction. Relies on ops.h and the public ops. Never has a kernel of its
 * own. */
#include "ops.h"

#include <math.h>

typedef struct Geometry {
    const char *op;
    int64_t size[2], stride[2], dilation[2], groups;
    Dim pad[2][2];
    bool padded;
} Geometry;

static bool option_fits(Thread *t, kiln_site at, const char *op, const char *what, int64_t v)
{
    if (v >= 1 && v <= DIM_MAX) return true;
    fail(t, at, KILN_EVALUE, "%s: the %s is %lld (allowed: 1 to 2^48)", op, what, (long long)v);
    return false;
}

/* The padding of `same` along one axis of extent n. */
static bool same_padding(Thread *t, kiln_site at, const Geometry *g, int axis, int64_t covered, Dim n, Dim pad[2])
{
    int64_t stride = g->stride[axis];
    Dim total;
    if (dim_is_const(n)) {
        int64_t out = (n + stride - 1) / stride;
        total = n == 0 ? 0 : MAX_OF((out - 1) * stride + covered - n, 0);
    } else {
        Dim out = extent(t, at, EXTENT_FLOORDIV, extent(t, at, EXTENT_ADD, n, stride - 1), stride);
        Dim reach = extent(t, at, EXTENT_MUL, out, stride);
        reach = extent(t, at, EXTENT_MAX, n, extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_ADD, reach, covered), stride));
        total = extent(t, at, EXTENT_SUB, reach, n);
    }
    pad[0] = extent(t, at, EXTENT_FLOORDIV, total, 2);
    pad[1] = extent(t, at, EXTENT_SUB, total, pad[0]);
    if (pad[1] != DIM_BAD) return true;
    char why[64];
    fail(t, at, KILN_EUNSUPPORTED, "%s: the size that same padding gives axis %d %s", g->op, 1 + axis,
        extent_trouble(t, why, sizeof why));
    return false;
}

static bool axis_geometry(Thread *t, kiln_site at, Geometry *g, int axis, bool same, const kiln_tensor *x)
{
    char text[160], why[64];
    Dim n = x->type.dim[1 + axis];
    if (!option_fits(t, at, g->op, "window size", g->size[axis]) || !option_fits(t, at, g->op, "stride", g->stride[axis]) ||
        !option_fits(t, at, g->op, "dilation", g->dilation[axis]))
        return false;
    Dim covered = dim_add(NULL, dim_mul(NULL, g->size[axis] - 1, g->dilation[axis]), 1);
    if (covered != DIM_BAD && same && !same_padding(t, at, g, axis, covered, n, g->pad[axis])) return false;
    for (int side = 0; side < 2; side++) {
        Dim p = g->pad[axis][side];
        if (!same && (p < 0 || p > DIM_MAX)) {
            fail(t, at, KILN_EVALUE, "%s: the padding is %lld (allowed: 0 to 2^48)", g->op, (long long)p);
            return false;
        }
        g->padded = g->padded || p != 0;
        n = extent(t, at, EXTENT_ADD, n, p);
    }
    if (n == DIM_BAD) {
        fail(t, at, KILN_ESHAPE, "%s: axis %d with its padding %s: %s", g->op, 1 + axis, extent_trouble(t, why, sizeof why),
            tensor_text(x, text, sizeof text));
        return false;
    }
    if (covered != DIM_BAD && extent_lo(t, n) >= covered) return true;
    fail(t, at, KILN_ESHAPE,
        "%s: a window of %lld elements (size %lld, dilation %lld) %s larger than axis %d with its "
        "padding: %s",
        g->op, (long long)covered, (long long)g->size[axis], (long long)g->dilation[axis], dim_is_const(n) ? "is" : "may be",
        1 + axis, tensor_text(x, text, sizeof text));
    return false;
}

/* Fills in what the options leave out; size[] is known. */
static bool geometry(Thread *t, kiln_site at, Geometry *g, const kiln_window *w, const kiln_tensor *x, bool pooling)
{
    for (int i = 0; i < 2; i++) {
        g->stride[i] = w->stride[i] != 0 ? w->stride[i] : pooling ? g->size[i] : 1;
        g->dilation[i] = w->dilation[i] != 0 ? w->dilation[i] : 1;
        for (int side = 0; side < 2; side++) g->pad[i][side] = w->same ? 0 : w->pad[i][side];
        if (!axis_geometry(t, at, g, i, w->same, x)) return false;
    }
    return true;
}

static kiln_window options_of(const kiln_window *window, size_t size)
{
    kiln_window w = {0};
    if (window) memcpy(&w, window, MIN_OF(size, sizeof w));
    return w;
}

static kiln_tensor *image_operand(Thread *t, kiln_site at, const char *op, kiln_operand o)
{
    char text[160];
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x) || x->type.rank == 4) return x;
    return fail(t, at, KILN_ESHAPE, "%s: needs images, channels last: [n, height, width, channels]: %s", op,
        tensor_text(x, text, sizeof text));
}

/* Makes [n, oh, ow, kh, kw, c], with the border filled with a number of x's dtype, given as attribute bits. */
static kiln_tensor *windows(Thread *t, kiln_site at, kiln_tensor *x, const Geometry *g, int64_t fill)
{
    struct pad_attrs *pad = ATTRS_ROOM(pad, 2 * 4);
    pad->fill = fill;
    memcpy(pad->axis + 1, g->pad, sizeof g->pad); /* of height and width, low and high */
    if (g->padded) x = apply1(t, at, OP_pad, x, ATTRS_TO(pad, pad->axis + 4));
    return apply1(t, at, OP_window, x,
        ATTRS_OF(window, .size = {g->size[0], g->size[1]}, .stride = {g->stride[0], g->stride[1]},
            .dilation = {g->dilation[0], g->dilation[1]}));
}

/* ---- convolution ---------------------------------------------------------------------------- */

static kiln_tensor *too_many(Thread *t, kiln_site at, const kiln_tensor *windows_of)
{
    char text[160], why[64];
    return fail(t, at, KILN_ESHAPE, "conv2d: the number of windows %s: %s", extent_trouble(t, why, sizeof why),
        tensor_text(windows_of, text, sizeof text));
}

/* One contraction: [n oh ow, kh kw c] . [kh kw c, o]. */
static kiln_tensor *dense_convolution(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, const Geometry *g)
{
    bool pointwise = !g->padded && g->size[0] == 1 && g->size[1] == 1 && g->stride[0] == 1 && g->stride[1] == 1;
    kiln_tensor *w = pointwise ? x : windows(t, at, x, g, 0);
    if (!tensor_ok(w)) return w;
    Dim depth = extent_product(t, at, f->type.dim, 3), o = f->type.dim[3];
    Dim rows[2] = {extent_product(t, at, w->type.dim, 3), depth}, columns[2] = {depth, o};
    Dim out[4] = {w->type.dim[0], w->type.dim[1], w->type.dim[2], o};
    if (rows[0] == DIM_BAD || depth == DIM_BAD) return too_many(t, at, w);
    kiln_tensor *a = reshape_to(t, at, w, rows, 2), *b = reshape_to(t, at, f, columns, 2);
    kiln_tensor *r = apply2(t, at, OP_matmul, a, b, NULL, 0);
    return tensor_ok(r) ? reshape_to(t, at, r, out, 4) : r;
}

/* One contraction per group: [g, n oh ow, kh kw c/g] . [g, kh kw c/g, o/g]. */
static kiln_tensor *grouped_convolution(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, const Geometry *geo)
{
    kiln_tensor *w = windows(t, at, x, geo, 0);
    if (!tensor_ok(w)) return w;
    Dim g = geo->groups, kh = f->type.dim[0], kw = f->type.dim[1], c = f->type.dim[2], o = f->type.dim[3] / g;
    Dim n = w->type.dim[0], oh = w->type.dim[1], ow = w->type.dim[2];
    Dim rows = extent_product(t, at, w->type.dim, 3), depth = extent_product(t, at, f->type.dim, 3);
    if (rows == DIM_BAD || depth == DIM_BAD) return too_many(t, at, w);
    w = reshape_to(t, at, w, (Dim[]){n, oh, ow, kh, kw, g, c}, 7);
    w = transpose_to(t, at, w, (int[]){5, 0, 1, 2, 3, 4, 6});
    w = reshape_to(t, at, w, (Dim[]){g, rows, depth}, 3);
    f = reshape_to(t, at, f, (Dim[]){kh, kw, c, g, o}, 5);
    f = transpose_to(t, at, f, (int[]){3, 0, 1, 2, 4});
    f = reshape_to(t, at, f, (Dim[]){g, depth, o}, 3);
    kiln_tensor *r = apply2(t, at, OP_matmul, w, f, NULL, 0);
    r = transpose_to(t, at, r, (int[]){1, 0, 2});
    return reshape_to(t, at, r, (Dim[]){n, oh, ow, g * o}, 4);
}

static kiln_tensor *convolution(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, const kiln_window *w)
{
    char a[160], b[160];
    Geometry g = {.op = "conv2d", .groups = w->groups != 0 ? w->groups : 1};
    if (f->type.rank != 4)
        return fail(
            t, at, KILN_ESHAPE, "conv2d: needs filters [height, width, channels / groups, out]: %s", tensor_text(f, a, sizeof a));
    if (!option_fits(t, at, "conv2d", "number of groups", g.groups)) return &t->k->poison;
    for (int i = 0; i < 4; i++)
        if (!dim_is_const(f->type.dim[i]))
            return fail(t, at, KILN_EUNSUPPORTED, "conv2d: the filters' sizes must be known: %s", tensor_text(f, a, sizeof a));
    if (extent(t, at, EXTENT_MUL, f->type.dim[2], g.groups) != x->type.dim[3] || f->type.dim[3] % g.groups != 0)
        return fail(t, at, KILN_ESHAPE,
            "conv2d: channels do not fit: images are channels last, [n, height, width, channels], filters "
            "[height, width, channels / groups, out], with %lld group%s: %s x %s",
            (long long)g.groups, g.groups == 1 ? "" : "s", tensor_text(x, a, sizeof a), tensor_text(f, b, sizeof b));
    for (int i = 0; i < 2; i++) {
        g.size[i] = f->type.dim[i];
        if (w->size[i] != 0 && w->size[i] != g.size[i])
            return fail(t, at, KILN_EVALUE, "conv2d: the window size is %lld, but the filters have %lld; leave it 0",
                (long long)w->size[i], (long long)g.size[i]);
    }
    if (!geometry(t, at, &g, w, x, false)) return &t->k->poison;
    return g.groups == 1 ? dense_convolution(t, at, x, f, &g) : grouped_convolution(t, at, x, f, &g);
}

kiln_tensor *kiln_conv2d_sized(kiln_site at, kiln_operand xo, kiln_operand fo, const kiln_window *window, size_t size)
{
    kiln_operand both[2] = {xo, fo};
    char a[160], b[160];
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_window w = options_of(window, size);
    kiln_tensor *x = image_operand(t, at, "conv2d", xo), *f = operand_named(t, at, "conv2d", fo, NULL);
    if (!tensor_ok(x) || !tensor_ok(f)) return &t->k->poison;
    DType d = dtype_promote((DType)x->type.dtype, (DType)f->type.dtype);
    if (!dtype_is_float(d))
        return fail(t, at, KILN_EDTYPE, "conv2d: needs floats, use kiln_cast: %s x %s", tensor_text(x, a, sizeof a),
            tensor_text(f, b, sizeof b));
    Composite s = composite_begin(t, "conv2d");
    x = cast_to(t, at, x, d);
    f = cast_to(t, at, f, d);
    return composite_end(t, &s, tensor_ok(x) && tensor_ok(f) ? convolution(t, at, x, f, &w) : &t->k->poison);
}

/* ---- pooling -------------------------------------------------------------------------------- */

static int64_t lowest_bits(DType d) { return dtype_is_float(d) ? attr_of_f64(-dtype_most(d)) : dtype_info[d].lo; }

static const int64_t window_axes[2] = {3, 4};

static kiln_tensor *largest(Thread *t, kiln_site at, kiln_tensor *x, const Geometry *g)
{
    kiln_tensor *w = windows(t, at, x, g, lowest_bits((DType)x->type.dtype));
    return apply1(t, at, OP_reduce_max, w, window_axes, 2);
}

/* How many elements of the image, without its padding, each window covers: [1, oh, ow, 1]. */
static kiln_tensor *covered(Thread *t, kiln_site at, const kiln_tensor *x, const Geometry *g)
{
    Type plane = {.dtype = x->type.dtype, .rank = 4, .dim = {1, x->type.dim[1], x->type.dim[2], 1}};
    kiln_tensor *ones = number_like(t, at, g->op, &plane, kiln_of_i(1));
    return apply1(t, at, OP_sum, windows(t, at, ones, g, 0), window_axes, 2);
}

/* 16-bit floats go through f32: the sum and the count may be beyond the dtype's range. */
static kiln_tensor *average(Thread *t, kiln_site at, kiln_tensor *x, const Geometry *g)
{
    DType own = (DType)x->type.dtype;
    x = cast_to(t, at, x, wide_dtype(x));
    if (!tensor_ok(x)) return x;
    kiln_tensor *sum = apply1(t, at, OP_sum, windows(t, at, x, g, 0), window_axes, 2);
    kiln_operand count = g->padded ? of(covered(t, at, x, g)) : kiln_of_f((double)(g->size[0] * g->size[1]));
    return cast_to(t, at, kiln_div_at(at, of(sum), count), own);
}

typedef kiln_tensor *Pool(Thread *t, kiln_site at, kiln_tensor *x, const Geometry *g);

static kiln_tensor *pool(
    kiln_site at, const char *op, Pool *body, kiln_operand o, const kiln_window *window, size_t size, bool floats)
{
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_window w = options_of(window, size);
    kiln_tensor *x = image_operand(t, at, op, o);
    if (!tensor_ok(x)) return x;
    if (floats && !dtype_is_float((DType)x->type.dtype))
        return fail(t, at, KILN_EDTYPE, "%s: needs floats, use kiln_cast: %s", op, tensor_text(x, text, sizeof text));
    if (w.groups != 0 && w.groups != 1)
        return fail(t, at, KILN_EVALUE, "%s: groups is %lld, but only convolutions have groups", op, (long long)w.groups);
    Geometry g = {.op = op, .size = {w.size[0], w.size[1]}};
    if (!geometry(t, at, &g, &w, x, true)) return &t->k->poison;
    Composite s = composite_begin(t, op);
    return composite_end(t, &s, body(t, at, x, &g));
}

kiln_tensor *kiln_max_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size)
{
    return pool(at, "max_pool", largest, x, window, size, false);
}

kiln_tensor *kiln_avg_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size)
{
    return pool(at, "avg_pool", average, x, window, size, true);
}
