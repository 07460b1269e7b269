/* ops_window: the geometry of windows, and convolution, which is the op conv. Relies on windows.h and the public ops. Never has a
 * kernel of its own. */
#include "windows.h"

#define SPACE WINDOW_SPACE

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
    pad[g->lower] = extent(t, at, EXTENT_FLOORDIV, total, 2);
    pad[!g->lower] = extent(t, at, EXTENT_SUB, total, pad[g->lower]);
    if (pad[!g->lower] != DIM_BAD) return true;
    char why[64];
    fail(t, at, KILN_EUNSUPPORTED, "%s: the size that same padding gives axis %d %s", g->op, g->first + axis,
        extent_trouble(t, why, sizeof why));
    return false;
}

/* Rounded up, less the windows that begin behind the image and its low padding; `beyond` is what the last one needs behind all
 * padding. */
static Dim windows_up(Thread *t, kiln_site at, Geometry *g, int axis, Dim padded, Dim begins, int64_t covered)
{
    const int64_t stride = g->stride[axis];
    Dim most = extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_ADD, padded, stride - 1), covered);
    most = extent(t, at, EXTENT_ADD, extent(t, at, EXTENT_FLOORDIV, most, stride), 1);
    const Dim there = extent(t, at, EXTENT_FLOORDIV, extent(t, at, EXTENT_ADD, begins, stride - 1), stride);
    const Dim out = extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_ADD, most, there), extent(t, at, EXTENT_MAX, most, there));
    const Dim reach = extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_ADD, extent(t, at, EXTENT_MUL, out, stride), covered), stride);
    g->beyond[axis] = extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_MAX, reach, padded), padded);
    g->padded = g->padded || g->beyond[axis] != 0;
    return g->beyond[axis] == DIM_BAD ? DIM_BAD : out;
}

static Dim windows_down(Thread *t, kiln_site at, const Geometry *g, int axis, Dim padded, int64_t covered)
{
    const Dim out = extent(t, at, EXTENT_FLOORDIV, extent(t, at, EXTENT_SUB, padded, covered), g->stride[axis]);
    return extent(t, at, EXTENT_ADD, out, 1);
}

static bool axis_geometry(Thread *t, kiln_site at, Geometry *g, int axis, bool same, const kiln_tensor *x)
{
    char text[160], why[64];
    const Dim own = x->type.dim[g->first + axis];
    Dim n = own;
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
        fail(t, at, KILN_ESHAPE, "%s: axis %d with its padding %s: %s", g->op, g->first + axis, extent_trouble(t, why, sizeof why),
            tensor_text(x, text, sizeof text));
        return false;
    }
    const int64_t least = extent_lo(t, n);
    const bool up = g->ceil && !same && least >= 1;
    if (covered != DIM_BAD && (up ? least > covered - g->stride[axis] : least >= covered)) {
        g->out[axis] = up ? windows_up(t, at, g, axis, n, extent(t, at, EXTENT_ADD, own, g->pad[axis][0]), covered)
                          : windows_down(t, at, g, axis, n, covered);
        if (g->out[axis] != DIM_BAD) return true;
        fail(t, at, KILN_EUNSUPPORTED, "%s: the number of windows along axis %d %s: %s", g->op, g->first + axis,
            extent_trouble(t, why, sizeof why), tensor_text(x, text, sizeof text));
        return false;
    }
    fail(t, at, KILN_ESHAPE,
        "%s: a window of %lld elements (size %lld, dilation %lld) %s larger than axis %d with its "
        "padding: %s",
        g->op, (long long)covered, (long long)g->size[axis], (long long)g->dilation[axis], dim_is_const(n) ? "is" : "may be",
        g->first + axis, tensor_text(x, text, sizeof text));
    return false;
}

bool window_spares(Thread *t, kiln_site at, const char *op, const char *option, const int64_t *entry, int each, int space)
{
    for (int i = space * each; i < WINDOW_SPACE * each; i++) {
        if (entry[i] == 0) continue;
        fail(t, at, KILN_EVALUE, "%s: %s[%d] is given, but the data has %d %s of space: leave it 0", op, option, i / each, space,
            space == 1 ? "axis" : "axes");
        return false;
    }
    return true;
}

/* No option says anything of axes that are not there. */
static bool options_end(Thread *t, kiln_site at, const Geometry *g, const kiln_convolution *w)
{
    return window_spares(t, at, g->op, "stride", w->stride, 1, g->space) &&
           window_spares(t, at, g->op, "dilation", w->dilation, 1, g->space) &&
           window_spares(t, at, g->op, "pad", w->pad[0], 2, g->space) &&
           window_spares(t, at, g->op, "output_pad", w->output_pad, 1, g->space);
}

kiln_tensor *window_room(Thread *t, kiln_site at, const Geometry *g, const kiln_convolution *w, kiln_tensor *x, bool pooling)
{
    for (int i = 0; i < g->space && tensor_ok(x) && !w->same && !w->same_lower; i++) {
        const int64_t *pad = w->pad[i], apart = w->dilation[i] != 0 ? w->dilation[i] : 1,
                      most = extent_hi(t, x->type.dim[g->first + i]);
        const int64_t stride = w->stride[i] != 0 ? w->stride[i] : pooling ? g->size[i] : 1;
        if (g->size[i] < 1 || apart < 1 || stride < 1 || pad[0] < 0 || pad[1] < 0 || pad[0] > DIM_MAX || pad[1] > DIM_MAX) continue;
        Dim needs = dim_add(NULL, dim_mul(NULL, g->size[i] - 1, apart), 1);
        if (needs != DIM_BAD && g->ceil) needs = MAX_OF(needs - stride + 1, 1);
        if (needs != DIM_BAD && needs <= most + pad[0] + pad[1])
            x = axis_at_least(t, at, g->op, x, g->first + i, MAX_OF(needs - pad[0] - pad[1], 0));
    }
    return x;
}

bool window_geometry(Thread *t, kiln_site at, Geometry *g, const kiln_convolution *w, const kiln_tensor *x, bool pooling)
{
    g->lower = w->same_lower;
    if (!options_end(t, at, g, w)) return false;
    for (int i = 0; i < g->space; i++) {
        const bool same = w->same || w->same_lower;
        if (w->output_pad[i] != 0)
            return fail(t, at, KILN_EVALUE, "%s: output_pad[%d] is given, which is convolve_transposed's: leave it 0", g->op, i),
                   false;
        g->stride[i] = w->stride[i] != 0 ? w->stride[i] : pooling ? g->size[i] : 1;
        g->dilation[i] = w->dilation[i] != 0 ? w->dilation[i] : 1;
        for (int side = 0; side < 2; side++) g->pad[i][side] = same ? 0 : w->pad[i][side];
        if (!axis_geometry(t, at, g, i, same, x)) return false;
    }
    return true;
}

static kiln_window options_of(const kiln_window *window, size_t size)
{
    kiln_window w = {0};
    if (window) memcpy(&w, window, MIN_OF(size, sizeof w));
    return w;
}

static kiln_convolution as_convolution(const kiln_window *w)
{
    kiln_convolution c = {.same = w->same, .groups = w->groups};
    memcpy(c.stride, w->stride, sizeof w->stride);
    memcpy(c.dilation, w->dilation, sizeof w->dilation);
    memcpy(c.pad, w->pad, sizeof w->pad);
    return c;
}

/* ---- convolution ---------------------------------------------------------------------------- */

/* The product of all pixels and 1 x 1 filters. */
static kiln_tensor *pointwise(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f)
{
    char text[160], why[64];
    const int last = x->type.rank - 1;
    Type out = x->type;
    Dim rows[2] = {extent_product(t, at, x->type.dim, last), x->type.dim[last]}, columns[2] = {rows[1], f->type.dim[last]};
    if (rows[0] == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "conv2d: the number of pixels %s: %s", extent_trouble(t, why, sizeof why),
            tensor_text(x, text, sizeof text));
    out.dim[last] = columns[1];
    kiln_tensor *r = apply2(t, at, OP_matmul, reshape_to(t, at, x, rows, 2), reshape_to(t, at, f, columns, 2), NULL, 0);
    return tensor_ok(r) ? reshape_to(t, at, r, out.dim, last + 1) : r;
}

/* The op's numbers of low padding are constants: what is none becomes a pad of its own. */
static kiln_tensor *pad_by_symbols(Thread *t, kiln_site at, kiln_tensor *x, Geometry *g)
{
    struct pad_attrs *pad = ATTRS_ROOM(pad, 2 * MAX_RANK);
    bool any = false;
    for (int i = 0; i < g->space; i++) {
        if (dim_is_const(g->pad[i][0])) continue;
        memcpy(pad->axis + 1 + i, g->pad[i], sizeof g->pad[i]);
        g->pad[i][0] = 0;
        any = true;
    }
    return any ? apply1(t, at, OP_pad, x, ATTRS_TO(pad, pad->axis + x->type.rank)) : x;
}

static kiln_tensor *conv_of(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, const Geometry *g, bool transposed)
{
    struct conv_attrs *a = ATTRS_ROOM(conv, SPACE);
    for (int j = 0; j < SPACE; j++) a->stride[j] = a->dilation[j] = a->spread[j] = 1;
    a->groups = g->groups;
    for (int i = 0; i < g->space; i++) {
        const int j = SPACE - g->space + i;
        (transposed ? a->spread : a->stride)[j] = g->stride[i];
        a->dilation[j] = g->dilation[i];
        a->low[j] = transposed ? (g->size[i] - 1) * g->dilation[i] - g->pad[i][0] : g->pad[i][0];
        a->out[i] = g->out[i];
    }
    return apply2(t, at, OP_conv, x, f, ATTRS_TO(a, a->out + g->space));
}

static kiln_tensor *convolution(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, Geometry *g, const kiln_convolution *w)
{
    bool moves = false;
    x = window_room(t, at, g, w, x, false);
    if (!tensor_ok(x) || !window_geometry(t, at, g, w, x, false)) return &t->k->poison;
    for (int i = 0; i < g->space; i++) moves |= g->size[i] != 1 || g->stride[i] != 1;
    if (!moves && !g->padded && g->groups == 1) return pointwise(t, at, x, f);
    x = pad_by_symbols(t, at, x, g);
    return tensor_ok(x) ? conv_of(t, at, x, f, g, false) : x;
}

/* Sizes of the result of the convolution whose input gradient this is, the other way round. */
static bool transposed_geometry(Thread *t, kiln_site at, Geometry *g, const kiln_convolution *w, const kiln_tensor *x)
{
    char text[160];
    if (!options_end(t, at, g, w)) return false;
    for (int i = 0; i < g->space; i++) {
        const bool same = w->same || w->same_lower;
        const int64_t more = same ? 0 : w->output_pad[i];
        g->stride[i] = w->stride[i] != 0 ? w->stride[i] : 1;
        g->dilation[i] = w->dilation[i] != 0 ? w->dilation[i] : 1;
        if (!option_fits(t, at, g->op, "stride", g->stride[i]) || !option_fits(t, at, g->op, "dilation", g->dilation[i]))
            return false;
        if (more < 0 || more >= g->stride[i])
            return fail(t, at, KILN_EVALUE, "%s: the output padding is %lld (allowed: 0 to stride - 1)", g->op, (long long)more),
                   false;
        const Dim covered = dim_add(NULL, dim_mul(NULL, g->size[i] - 1, g->dilation[i]), 1), n = x->type.dim[1 + i];
        Dim out = extent(t, at, EXTENT_MUL, n, g->stride[i]);
        for (int side = 0; side < 2; side++) {
            const int64_t total = covered == DIM_BAD ? 0 : MAX_OF(covered - g->stride[i], 0), p = !same ? w->pad[i][side]
                                                                                                  : side == w->same_lower
                                                                                                      ? total / 2
                                                                                                      : total - total / 2;
            if (p < 0 || p > DIM_MAX)
                return fail(t, at, KILN_EVALUE, "%s: the padding is %lld (allowed: 0 to 2^48)", g->op, (long long)p), false;
            g->pad[i][side] = p;
        }
        if (!same) { /* n stride - stride + covered + more - low - high */
            out = extent(t, at, EXTENT_ADD, out, extent(t, at, EXTENT_ADD, covered, more));
            out = extent(t, at, EXTENT_SUB, out, dim_add(NULL, dim_add(NULL, g->pad[i][0], g->pad[i][1]), g->stride[i]));
        }
        g->out[i] = out;
        if (out != DIM_BAD && covered != DIM_BAD && extent_lo(t, out) >= 0) continue;
        fail(t, at, KILN_ESHAPE, "%s: the result's axis %d has no size that is certain to lie in 0 to 2^48: %s", g->op, 1 + i,
            tensor_text(x, text, sizeof text));
        return false;
    }
    return true;
}

/* Filters [..., c, groups * o] as [..., o, groups * c], taps backwards. */
static kiln_tensor *turned(Thread *t, kiln_site at, kiln_tensor *f, const Geometry *g)
{
    const int space = g->space;
    int64_t axes[SPACE];
    int order[SPACE + 3];
    Dim split[SPACE + 3], joined[SPACE + 2];
    for (int i = 0; i < space; i++) {
        axes[i] = order[i] = i;
        split[i] = joined[i] = f->type.dim[i];
    }
    order[space] = space + 2, order[space + 1] = space + 1, order[space + 2] = space;
    split[space] = f->type.dim[space], split[space + 1] = g->groups, split[space + 2] = f->type.dim[space + 1] / g->groups;
    joined[space] = split[space + 2], joined[space + 1] = split[space] * g->groups;
    f = reshape_to(t, at, apply1(t, at, OP_flip, f, axes, (uint32_t)space), split, space + 3);
    return reshape_to(t, at, transpose_to(t, at, f, order), joined, space + 2);
}

static kiln_tensor *transposed(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, Geometry *g, const kiln_convolution *w)
{
    if (!transposed_geometry(t, at, g, w, x)) return &t->k->poison;
    f = turned(t, at, f, g);
    return tensor_ok(f) ? conv_of(t, at, x, f, g, true) : f;
}

typedef kiln_tensor *Convolve(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, Geometry *g, const kiln_convolution *w);

/* How a function's operands are laid out, for messages. */
typedef struct Layout {
    const char *op, *images, *filters;
    int space;       /* 0: one to three */
    bool transposed; /* the images have the filters' last channels */
} Layout;

static kiln_tensor *checked(
    Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *f, const Layout *l, const kiln_convolution *w, Convolve *body)
{
    char a[160], b[160];
    const int last = x->type.rank - 1;
    Geometry g = {.op = l->op, .space = last - 1, .first = 1, .groups = w->groups != 0 ? w->groups : 1};
    if (f->type.rank != x->type.rank)
        return fail(t, at, KILN_ESHAPE, "%s: needs filters %s: %s", l->op, l->filters, tensor_text(f, a, sizeof a));
    if (!option_fits(t, at, l->op, "number of groups", g.groups)) return &t->k->poison;
    for (int i = 0; i <= last; i++)
        if (!dim_is_const(f->type.dim[i]))
            return fail(t, at, KILN_EUNSUPPORTED, "%s: the filters' sizes must be known: %s", l->op, tensor_text(f, a, sizeof a));
    const Dim all = f->type.dim[last], channels = l->transposed ? all : extent(t, at, EXTENT_MUL, f->type.dim[last - 1], g.groups);
    if (channels != x->type.dim[last] || all % g.groups != 0)
        return fail(t, at, KILN_ESHAPE,
            "%s: channels do not fit: images are channels last, %s, filters %s, with %lld group%s: %s x %s", l->op, l->images,
            l->filters, (long long)g.groups, g.groups == 1 ? "" : "s", tensor_text(x, a, sizeof a), tensor_text(f, b, sizeof b));
    for (int i = 0; i < g.space; i++) {
        g.size[i] = f->type.dim[i];
        if (!option_fits(t, at, l->op, "window size", g.size[i])) return &t->k->poison;
    }
    return body(t, at, x, f, &g, w);
}

/* Channels first: the axis of channels goes to the end, and of the result back. */
static kiln_tensor *with_channels(Thread *t, kiln_site at, kiln_tensor *x, bool last)
{
    int from[SPACE + 2] = {0};
    if (!tensor_ok(x)) return x;
    const int rank = x->type.rank;
    for (int i = 1; i < rank; i++) from[i] = last ? (i == rank - 1 ? 1 : i + 1) : (i == 1 ? rank - 1 : i - 1);
    return transpose_to(t, at, x, from);
}

static kiln_tensor *convolve(
    kiln_site at, kiln_operand xo, kiln_operand fo, const Layout *l, const kiln_convolution *w, const int64_t *size, Convolve *body)
{
    kiln_operand both[2] = {xo, fo};
    char a[160], b[160];
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, l->op, xo, NULL);
    if (tensor_ok(x) && (l->space ? x->type.rank != l->space + 2 : x->type.rank < 3 || x->type.rank > SPACE + 2))
        x = fail(t, at, KILN_ESHAPE, "%s: needs images, channels %s: %s: %s", l->op, w->channels_first ? "first" : "last",
            w->channels_first ? "[n, channels, space...], of one to three axes of space" : l->images, tensor_text(x, a, sizeof a));
    kiln_tensor *f = operand_named(t, at, l->op, fo, NULL);
    if (!tensor_ok(x) || !tensor_ok(f)) return &t->k->poison;
    DType d = dtype_promote((DType)x->type.dtype, (DType)f->type.dtype);
    if (!dtype_is_float(d))
        return fail(t, at, KILN_EDTYPE, "%s: needs floats, use kiln_cast: %s x %s", l->op, tensor_text(x, a, sizeof a),
            tensor_text(f, b, sizeof b));
    for (int i = 0; size && f->type.rank == 4 && i < 2; i++)
        if (size[i] != 0 && size[i] != f->type.dim[i] && dim_is_const(f->type.dim[i]))
            return fail(t, at, KILN_EVALUE, "%s: the window size is %lld, but the filters have %lld; leave it 0", l->op,
                (long long)size[i], (long long)f->type.dim[i]);
    Composite s = composite_begin(t, l->op);
    x = cast_to(t, at, x, d);
    f = cast_to(t, at, f, d);
    if (w->channels_first && tensor_ok(x)) x = with_channels(t, at, x, true);
    kiln_tensor *r = tensor_ok(x) && tensor_ok(f) ? checked(t, at, x, f, l, w, body) : &t->k->poison;
    return composite_end(t, &s, w->channels_first ? with_channels(t, at, r, false) : r);
}

kiln_tensor *kiln_conv2d_sized(kiln_site at, kiln_operand x, kiln_operand f, const kiln_window *window, size_t size)
{
    static const Layout layout = {"conv2d", "[n, height, width, channels]", "[height, width, channels / groups, out]", 2, false};
    const kiln_window w = options_of(window, size);
    const kiln_convolution c = as_convolution(&w);
    return convolve(at, x, f, &layout, &c, w.size, convolution);
}

#define IMAGES "[n, space..., channels], of one to three axes of space"

kiln_tensor *kiln_convolve_sized(kiln_site at, kiln_operand x, kiln_operand f, const kiln_convolution *options, size_t size)
{
    static const Layout layout = {"convolve", IMAGES, "[taps..., channels / groups, out]", 0, false};
    kiln_convolution c = {0};
    if (options) memcpy(&c, options, MIN_OF(size, sizeof c));
    return convolve(at, x, f, &layout, &c, NULL, convolution);
}

kiln_tensor *kiln_convolve_transposed_sized(
    kiln_site at, kiln_operand x, kiln_operand f, const kiln_convolution *options, size_t size)
{
    static const Layout layout = {"convolve_transposed", IMAGES, "[taps..., out / groups, channels]", 0, true};
    kiln_convolution c = {0};
    if (options) memcpy(&c, options, MIN_OF(size, sizeof c));
    return convolve(at, x, f, &layout, &c, NULL, transposed);
}
