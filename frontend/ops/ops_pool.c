/* ops_pool: pooling over windows: pad, window and a reduction. Relies on windows.h. Never has a kernel of its own. */
#include "windows.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

int64_t lowest_bits(DType d) { return dtype_is_float(d) ? attr_of_f64(-dtype_most(d)) : dtype_info[d].lo; }

/* ---- images as [outer, space..., inner] ------------------------------------------------------------------ */

kiln_pooling pooling_of(const kiln_pooling *options, size_t size)
{
    kiln_pooling w = {0};
    if (options) memcpy(&w, options, MIN_OF(size, sizeof w));
    return w;
}

kiln_tensor *frame_operand(Frame *f, kiln_operand o, bool floats)
{
    char text[160];
    kiln_tensor *x = operand_named(f->t, f->at, f->g.op, o, NULL);
    if (!tensor_ok(x)) return x;
    if (x->type.rank < 3 || x->type.rank > WINDOW_SPACE + 2)
        return fail(f->t, f->at, KILN_ESHAPE, "%s: needs images, channels %s, of one to three axes of space: %s", f->g.op,
            f->channels_first ? "first: [n, channels, space...]" : "last: [n, space..., channels]",
            tensor_text(x, text, sizeof text));
    if (floats && !dtype_is_float((DType)x->type.dtype))
        return fail(f->t, f->at, KILN_EDTYPE, "%s: needs floats, use kiln_cast: %s", f->g.op, tensor_text(x, text, sizeof text));
    f->x = x;
    f->g.space = x->type.rank - 2;
    f->g.first = 1 + f->channels_first;
    f->inner = f->channels_first ? 1 : x->type.dim[x->type.rank - 1];
    f->outer = f->channels_first ? extent(f->t, f->at, EXTENT_MUL, x->type.dim[0], x->type.dim[1]) : x->type.dim[0];
    if (f->outer != DIM_BAD) return x;
    return fail(
        f->t, f->at, KILN_EUNSUPPORTED, "%s: too long an expression for a size: %s", f->g.op, tensor_text(x, text, sizeof text));
}

bool frame_geometry(Frame *f, const kiln_pooling *w, kiln_tensor **x)
{
    kiln_convolution c = {.same = w->same, .same_lower = w->same_lower};
    memcpy(f->g.size, w->size, sizeof w->size);
    memcpy(c.stride, w->stride, sizeof w->stride);
    memcpy(c.dilation, w->dilation, sizeof w->dilation);
    memcpy(c.pad, w->pad, sizeof w->pad);
    f->g.ceil = w->ceil;
    if (!window_spares(f->t, f->at, f->g.op, "size", w->size, 1, f->g.space)) return false;
    if (x) f->x = *x = window_room(f->t, f->at, &f->g, &c, *x, true);
    return (!x || tensor_ok(*x)) && window_geometry(f->t, f->at, &f->g, &c, f->x, true);
}

kiln_tensor *frame_padded(const Frame *f, kiln_tensor *x, int64_t fill)
{
    struct pad_attrs *pad = ATTRS_ROOM(pad, 2 * MAX_RANK);
    if (!f->g.padded || !tensor_ok(x)) return x;
    pad->fill = fill;
    for (int i = 0; i < f->g.space; i++) {
        pad->axis[f->g.first + i].low = f->g.pad[i][0];
        pad->axis[f->g.first + i].high = extent(f->t, f->at, EXTENT_ADD, f->g.pad[i][1], f->g.beyond[i]);
    }
    return apply1(f->t, f->at, OP_pad, x, ATTRS_TO(pad, pad->axis + x->type.rank));
}

Dim frame_extent(const Frame *f, int axis)
{
    const Geometry *g = &f->g;
    Dim n = extent(f->t, f->at, EXTENT_ADD, f->x->type.dim[g->first + axis], g->beyond[axis]);
    for (int side = 0; side < 2; side++) n = extent(f->t, f->at, EXTENT_ADD, n, g->pad[axis][side]);
    return n;
}

kiln_tensor *frame_windows(Frame *f, kiln_tensor *x, int a, int b, Dim outer, Dim inner)
{
    const Geometry *g = &f->g;
    const bool two = a != b;
    const Dim image[4] = {outer, frame_extent(f, a), two ? frame_extent(f, b) : 1, inner};
    if (tensor_ok(x)) x = reshape_to(f->t, f->at, x, image, 4);
    if (!tensor_ok(x)) return x;
    x = apply1(f->t, f->at, OP_window, x,
        ATTRS_OF(window, .size = {g->size[a], two ? g->size[b] : 1}, .stride = {g->stride[a], two ? g->stride[b] : 1},
            .dilation = {g->dilation[a], two ? g->dilation[b] : 1}));
    if (!tensor_ok(x)) return x;
    f->g.out[a] = x->type.dim[1];
    if (two) f->g.out[b] = x->type.dim[2];
    return x;
}

kiln_tensor *frame_result(const Frame *f, kiln_tensor *x)
{
    Type to = f->x->type;
    memcpy(to.dim + f->g.first, f->g.out, (size_t)f->g.space * sizeof *to.dim);
    return tensor_ok(x) ? reshape_to(f->t, f->at, x, to.dim, to.rank) : x;
}

static const int64_t window_axes[2] = {3, 4};

/* Folds each window: of two axes together, of a third one by itself. */
static kiln_tensor *folded(Frame *f, kiln_tensor *x, Op op)
{
    Thread *t = f->t;
    const Geometry *g = &f->g;
    Dim outer = f->outer, wide = f->inner;
    if (g->space == 3) wide = extent(t, f->at, EXTENT_MUL, frame_extent(f, 2), f->inner);
    x = frame_windows(f, x, 0, g->space > 1, outer, wide);
    if (tensor_ok(x)) x = apply1(t, f->at, op, x, window_axes, 2);
    if (g->space == 3) {
        for (int i = 0; i < 2; i++) outer = extent(t, f->at, EXTENT_MUL, outer, g->out[i]);
        x = frame_windows(f, x, 2, 2, outer, f->inner);
        if (tensor_ok(x)) x = apply1(t, f->at, op, x, window_axes, 2);
    }
    return frame_result(f, x);
}

/* ---- kinds ------------------------------------------------------------------------------------------- */

static kiln_tensor *largest(Frame *f, kiln_tensor *x)
{
    return folded(f, frame_padded(f, x, lowest_bits((DType)x->type.dtype)), OP_reduce_max);
}

/* For each window along the axis, how many of its elements lie before `end`: ceil((end - start) / dilation), at least 0 and at most
 * all. */
static kiln_operand before(const Frame *f, kiln_operand start, int axis, kiln_operand end)
{
    kiln_site at = f->at;
    const int64_t by = f->g.dilation[axis];
    kiln_operand many = OP2(sub, end, start);
    if (by > 1) many = OP2(floor_div, OP2(add, many, kiln_of_i(by - 1)), kiln_of_i(by));
    return of(kiln_clip_at(at, many, kiln_of_i(0), kiln_of_i(f->g.size[axis])));
}

/* How many elements of x, or with `padding` of x and its padding, each window has along the axis, as the dtype, shaped to multiply
 * results. */
static kiln_tensor *counted(const Frame *f, int axis, bool padding, DType d)
{
    Thread *t = f->t;
    kiln_site at = f->at;
    const Geometry *g = &f->g;
    Dim dim[MAX_RANK];
    const Type each = {.dtype = DT_i64, .rank = 1, .dim = {g->out[axis]}};
    kiln_operand start = OP2(mul, of(iota_of(t, at, &each, 0, f->x)), kiln_of_i(g->stride[axis]));
    const Dim own = f->x->type.dim[g->first + axis], end = extent(t, at, EXTENT_ADD, own, g->pad[axis][0]);
    kiln_operand low = of(dim_tensor(t, at, g->pad[axis][0], DT_i64)), many;
    if (padding) {
        many = before(f, start, axis, of(dim_tensor(t, at, extent(t, at, EXTENT_ADD, end, g->pad[axis][1]), DT_i64)));
    } else {
        many = before(f, start, axis, of(dim_tensor(t, at, end, DT_i64)));
        many = OP2(sub, many, before(f, start, axis, low));
    }
    for (int i = 0; i < f->x->type.rank; i++) dim[i] = i == g->first + axis ? g->out[axis] : 1;
    kiln_tensor *r = many.as.tensor;
    return tensor_ok(r) ? cast_to(t, at, reshape_to(t, at, r, dim, f->x->type.rank), d) : r;
}

/* What an average divides by: a number where that is the same for all windows. */
static kiln_operand divisors(const Frame *f, const kiln_pooling *w, DType d)
{
    kiln_site at = f->at;
    const Geometry *g = &f->g;
    double number = 1;
    kiln_operand r = kiln_of_f(w->divisor != 0 ? (double)w->divisor : 1);
    bool any = false;
    for (int i = 0; i < g->space && w->divisor == 0; i++) {
        const bool all = g->beyond[i] == 0 && (w->count_pad || (g->pad[i][0] == 0 && g->pad[i][1] == 0));
        if (all) {
            number *= (double)g->size[i];
            continue;
        }
        kiln_operand many = of(counted(f, i, w->count_pad, d));
        r = any ? OP2(mul, r, many) : many;
        any = true;
    }
    if (!any) return w->divisor != 0 ? r : kiln_of_f(number);
    return number == 1 ? r : OP2(mul, r, kiln_of_f(number));
}

static kiln_tensor *average(Frame *f, const kiln_pooling *w, kiln_tensor *x)
{
    const DType own = (DType)x->type.dtype, wide = wide_dtype(x); /* the sum and the count may be beyond the dtype's range */
    kiln_tensor *sum = folded(f, frame_padded(f, cast_to(f->t, f->at, x, wide), 0), OP_sum);
    return cast_to(f->t, f->at, kiln_div_at(f->at, of(sum), divisors(f, w, wide)), own);
}

kiln_tensor *pool_powers(kiln_site at, kiln_tensor *x, double p)
{
    return p == 2 ? kiln_square_at(at, of(x)) : p == 1 ? kiln_abs_at(at, of(x)) : kiln_pow_at(at, OP1(abs, of(x)), kiln_of_f(p));
}

kiln_tensor *pool_root(kiln_site at, kiln_tensor *sum, double p)
{
    if (p == 1 || !tensor_ok(sum)) return sum;
    kiln_operand some = OP2(gt, of(sum), kiln_of_i(0)), safe = of(kiln_where_at(at, some, of(sum), kiln_of_i(1)));
    kiln_operand root = p == 2 ? OP1(sqrt, safe) : OP2(pow, safe, kiln_of_f(1 / p));
    return kiln_where_at(at, some, root, OP2(mul, of(sum), kiln_of_i(0))); /* 0, or NaN */
}

static kiln_tensor *norm(Frame *f, double p, kiln_tensor *x)
{
    const DType own = (DType)x->type.dtype;
    x = pool_powers(f->at, cast_to(f->t, f->at, x, wide_dtype(x)), p);
    if (!tensor_ok(x)) return x;
    return cast_to(f->t, f->at, pool_root(f->at, folded(f, frame_padded(f, x, 0), OP_sum), p), own);
}

static kiln_tensor *pooled(Frame *f, kiln_tensor *x, kiln_pool_kind kind, const kiln_pooling *w)
{
    if (!frame_geometry(f, w, &x)) return &f->t->k->poison;
    frame_begin(f);
    kiln_tensor *r = kind == KILN_POOL_MAX       ? largest(f, x)
                     : kind == KILN_POOL_AVERAGE ? average(f, w, x)
                                                 : norm(f, w->p != 0 ? w->p : 2, x);
    return frame_end(f, result_of(f->t, f->at, r, x));
}

bool pool_kind_ok(Thread *t, kiln_site at, const char *op, kiln_pool_kind kind, double p)
{
    if ((unsigned)kind > KILN_POOL_LP)
        return fail(t, at, KILN_EVALUE, "%s: the kind is %d (allowed: KILN_POOL_MAX to KILN_POOL_LP, %d to %d)", op, (int)kind,
                   KILN_POOL_MAX, KILN_POOL_LP),
               false;
    if (p >= 0 && !isinf(p)) return true;
    return fail(t, at, KILN_EVALUE, "%s: p is %g; it must be a finite number above 0, or 0 for 2", op, p), false;
}

kiln_tensor *kiln_pool_sized(kiln_site at, kiln_operand o, kiln_pool_kind kind, const kiln_pooling *options, size_t size)
{
    const kiln_pooling w = pooling_of(options, size);
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = "pool"}, .channels_first = w.channels_first};
    if (!f.t) return NULL;
    kiln_tensor *x = frame_operand(&f, o, kind != KILN_POOL_MAX);
    if (!tensor_ok(x)) return x;
    if (!pool_kind_ok(f.t, at, "pool", kind, w.p)) return &f.t->k->poison;
    if (w.divisor < 0 || w.divisor > DIM_MAX)
        return fail(f.t, at, KILN_EVALUE, "pool: the divisor is %lld (allowed: 1 to 2^48, or 0 for the number of elements)",
            (long long)w.divisor);
    return pooled(&f, x, kind, &w);
}

/* ---- of kiln_window ------------------------------------------------------------------------------------ */

static kiln_tensor *of_images(
    kiln_site at, const char *op, kiln_operand o, kiln_pool_kind kind, const kiln_window *window, size_t size)
{
    char text[160];
    kiln_window w = {0};
    kiln_pooling p = {0};
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = op}};
    if (!f.t) return NULL;
    if (window) memcpy(&w, window, MIN_OF(size, sizeof w));
    kiln_tensor *x = operand_named(f.t, at, op, o, NULL);
    if (!tensor_ok(x)) return x;
    if (x->type.rank != 4)
        return fail(f.t, at, KILN_ESHAPE, "%s: needs images, channels last: [n, height, width, channels]: %s", op,
            tensor_text(x, text, sizeof text));
    x = frame_operand(&f, of(x), kind != KILN_POOL_MAX);
    if (!tensor_ok(x)) return x;
    if (w.groups != 0 && w.groups != 1)
        return fail(f.t, at, KILN_EVALUE, "%s: groups is %lld, but only convolutions have groups", op, (long long)w.groups);
    p.same = w.same;
    memcpy(p.size, w.size, sizeof w.size);
    memcpy(p.stride, w.stride, sizeof w.stride);
    memcpy(p.dilation, w.dilation, sizeof w.dilation);
    memcpy(p.pad, w.pad, sizeof w.pad);
    return pooled(&f, x, kind, &p);
}

kiln_tensor *kiln_max_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size)
{
    return of_images(at, "max_pool", x, KILN_POOL_MAX, window, size);
}

kiln_tensor *kiln_avg_pool_sized(kiln_site at, kiln_operand x, const kiln_window *window, size_t size)
{
    return of_images(at, "avg_pool", x, KILN_POOL_AVERAGE, window, size);
}
