/* ops_fold: windows of images as columns, and columns added up to images (im2col, col2im): window and window_add between reshapes.
 * Relies on windows.h. */
#include "windows.h"

/* Axes between [n, c, sizes..., windows...] and [n, c, windows..., sizes...], or without c. */
static kiln_tensor *turned(const Frame *f, kiln_tensor *x, int lead)
{
    int order[MAX_RANK];
    const int space = f->g.space;
    for (int i = 0; i < lead; i++) order[i] = i;
    for (int i = 0; i < space; i++) order[lead + i] = lead + space + i, order[lead + space + i] = lead + i;
    return tensor_ok(x) ? transpose_to(f->t, f->at, x, order) : x;
}

/* How many windows there are, and elements in each. DIM_BAD: recorded. */
static bool counts(const Frame *f, Dim *windows, Dim *taps)
{
    char text[160];
    *windows = extent_product(f->t, f->at, f->g.out, f->g.space);
    *taps = 1;
    for (int i = 0; i < f->g.space; i++) *taps = extent(f->t, f->at, EXTENT_MUL, *taps, f->g.size[i]);
    if (*windows != DIM_BAD && *taps != DIM_BAD) return true;
    return fail(f->t, f->at, KILN_EUNSUPPORTED, "%s: too long an expression for a size: %s", f->g.op,
               tensor_text(f->x, text, sizeof text)),
           false;
}

kiln_tensor *kiln_unfold_sized(kiln_site at, kiln_operand o, const kiln_pooling *options, size_t size)
{
    const kiln_pooling w = pooling_of(options, size);
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = "unfold"}, .channels_first = w.channels_first};
    Thread *t = f.t;
    Dim windows, taps, dim[MAX_RANK];
    char text[160];
    if (!t) return NULL;
    kiln_tensor *x = frame_operand(&f, o, false);
    if (!tensor_ok(x) || !frame_geometry(&f, &w, &x) || !counts(&f, &windows, &taps)) return &t->k->poison;
    const int space = f.g.space;
    const Dim channels = x->type.dim[w.channels_first ? 1 : space + 1], columns = extent(t, at, EXTENT_MUL, taps, channels);
    if (columns == DIM_BAD || extent(t, at, EXTENT_MUL, columns, windows) == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "unfold: the windows' elements are too many: %s", tensor_text(x, text, sizeof text));
    frame_begin(&f);
    kiln_tensor *r = frame_all(&f, frame_padded(&f, x, 0)); /* [outer, windows..., sizes..., inner] */
    windows = extent_product(t, at, f.g.out, space);
    if (w.channels_first && tensor_ok(r)) {
        dim[0] = f.outer;
        for (int i = 0; i < space; i++) dim[1 + i] = f.g.out[i], dim[1 + space + i] = f.g.size[i];
        r = turned(&f, reshape_to(t, at, r, dim, 1 + 2 * space), 1);
    }
    const Dim rows[3] = {x->type.dim[0], w.channels_first ? columns : windows, w.channels_first ? windows : columns};
    return frame_end(&f, tensor_ok(r) ? result_of(t, at, reshape_to(t, at, r, rows, 3), x) : r);
}

/* Windows [outer, oa, ob, ka, kb, inner], or of a alone, as the image that they are of. */
static kiln_tensor *added(const Frame *f, kiln_tensor *x, int a, int b, Dim outer, Dim inner)
{
    const Geometry *g = &f->g;
    const bool two = a != b;
    const Dim dim[6] = {outer, g->out[a], two ? g->out[b] : 1, g->size[a], two ? g->size[b] : 1, inner};
    struct window_add_attrs *w = ATTRS_ROOM(window_add, 2);
    for (int i = 0; i < 2; i++) {
        const int axis = i == 0 ? a : b;
        const bool there = i == 0 || two;
        w->size[i] = there ? g->size[axis] : 1, w->stride[i] = there ? g->stride[axis] : 1;
        w->dilation[i] = there ? g->dilation[axis] : 1;
        w->image[i] = there ? frame_extent(f, axis) : 1;
    }
    if (tensor_ok(x)) x = reshape_to(f->t, f->at, x, dim, 6);
    return tensor_ok(x) ? apply1(f->t, f->at, OP_window_add, x, ATTRS_TO(w, w->image + 2)) : x;
}

/* [outer, windows..., sizes..., inner], padding included, as images without it. */
static kiln_tensor *images(const Frame *f, kiln_tensor *x)
{
    static const int order[MAX_RANK] = {0, 1, 2, 4, 5, 3, 6, 7};
    Thread *t = f->t;
    const Geometry *g = &f->g;
    Dim outer = f->outer, inner = f->inner, dim[MAX_RANK];
    if (g->space == 3) {
        for (int i = 0; i < 2; i++)
            outer = extent(t, f->at, EXTENT_MUL, outer, extent(t, f->at, EXTENT_MUL, g->out[i], g->size[i]));
        x = tensor_ok(x) ? added(f, transpose_to(t, f->at, x, order), 2, 2, outer, inner) : x;
        inner = extent(t, f->at, EXTENT_MUL, inner, frame_extent(f, 2));
    }
    x = added(f, x, 0, g->space > 1, f->outer, inner);
    memcpy(dim, f->x->type.dim, sizeof dim);
    for (int i = 0; i < g->space; i++) dim[g->first + i] = frame_extent(f, i);
    if (tensor_ok(x)) x = reshape_to(t, f->at, x, dim, g->space + 2);
    for (int i = 0; i < g->space && tensor_ok(x); i++)
        x = slice_axis(t, f->at, x, g->first + i, g->pad[i][0], f->x->type.dim[g->first + i]);
    return x;
}

/* Whether columns x are windows of images [n, channels, sizes...]; image gets their type. False: recorded. */
static bool columns_fit(Frame *f, kiln_tensor *x, const kiln_shape *sizes, const kiln_pooling *w, kiln_tensor *image, Dim dim[6])
{
    char text[160];
    Dim windows, taps;
    const bool first = f->channels_first;
    if (x->type.rank != 3 || sizes->rank < 1 || sizes->rank > WINDOW_SPACE)
        return fail(f->t, f->at, KILN_ESHAPE, "fold: needs columns, %s, and sizes of one to three axes of space (%lld given): %s",
                   first ? "[n, channels * taps, windows]" : "[n, windows, taps * channels]", (long long)sizes->rank,
                   tensor_text(x, text, sizeof text)),
               false;
    f->g.space = (int)sizes->rank;
    f->g.first = 1 + first;
    image->type = (Type){.dtype = x->type.dtype, .rank = (uint8_t)(f->g.space + 2), .dim = {x->type.dim[0]}};
    for (int i = 0; i < f->g.space; i++) {
        const int64_t n = sizes->size[i + 1];
        if (n < 0 || n > DIM_MAX)
            return fail(f->t, f->at, KILN_EVALUE, "fold: a size is %lld (allowed: 0 to 2^48)", (long long)n), false;
        image->type.dim[f->g.first + i] = n;
    }
    f->x = image;
    if (!frame_geometry(f, w, NULL) || !counts(f, &windows, &taps)) return false;
    const Dim channels = extent(f->t, f->at, EXTENT_EXACT, x->type.dim[first ? 1 : 2], taps);
    if (channels == DIM_BAD || x->type.dim[first ? 2 : 1] != windows)
        return fail(f->t, f->at, KILN_ESHAPE, "fold: these are no columns of %lld windows of %lld elements each: %s",
                   (long long)windows, (long long)taps, tensor_text(x, text, sizeof text)),
               false;
    image->type.dim[first ? 1 : f->g.space + 1] = channels;
    f->inner = first ? 1 : channels;
    f->outer = first ? extent(f->t, f->at, EXTENT_MUL, x->type.dim[0], channels) : x->type.dim[0];
    dim[0] = f->outer;
    return true;
}

kiln_tensor *kiln_fold_sized(kiln_site at, kiln_operand o, kiln_shape sizes, const kiln_pooling *options, size_t size)
{
    const kiln_pooling w = pooling_of(options, size);
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = "fold"}, .channels_first = w.channels_first};
    Thread *t = f.t;
    Dim dim[MAX_RANK];
    char text[160];
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, f.g.op, o, NULL);
    if (!tensor_ok(x)) return x;
    kiln_tensor image = *x;
    if (x->type.dtype == DT_bool)
        return fail(t, at, KILN_EDTYPE, "fold: needs numbers, use kiln_cast: %s", tensor_text(x, text, sizeof text));
    if (!columns_fit(&f, x, &sizes, &w, &image, dim)) return &t->k->poison;
    const int space = f.g.space;
    frame_begin(&f);
    kiln_tensor *r = cast_to(t, at, x, wide_dtype(x));
    if (w.channels_first && tensor_ok(r)) { /* [outer, sizes..., windows...] */
        for (int i = 0; i < space; i++) dim[1 + i] = f.g.size[i], dim[1 + space + i] = f.g.out[i];
        r = turned(&f, reshape_to(t, at, r, dim, 1 + 2 * space), 1);
    }
    for (int i = 0; i < space; i++) dim[1 + i] = f.g.out[i], dim[1 + space + i] = f.g.size[i];
    dim[1 + 2 * space] = f.inner;
    if (tensor_ok(r)) r = reshape_to(t, at, r, dim, 2 + 2 * space);
    r = images(&f, r);
    return frame_end(&f, tensor_ok(r) ? result_of(t, at, cast_to(t, at, r, (DType)x->type.dtype), x) : r);
}
