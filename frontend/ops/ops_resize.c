/* ops_resize: resizing along axes, one after the other: what each new element reads is computed here, on the host, and becomes
 * constants for gathers and weights; where a size is a symbol, ops_resize_open.c does it. Relies on resize.h. Never reads an
 * element. */
#include "resize.h"

#include <math.h>

#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* ---- where elements come from ---------------------------------------------------------------------------- */

/* The place in x of element i (ONNX Resize, coordinate_transformation_mode). */
static double source(const Along *a, kiln_resize_rule rule, int64_t i)
{
    const double n = (double)a->n, x = (double)i, half = (x + 0.5) / a->scale - 0.5;
    switch (rule) {
    case KILN_RESIZE_ALIGN_CORNERS: return a->wide == 1 ? 0 : x * (n - 1) / (a->wide - 1);
    case KILN_RESIZE_ASYMMETRIC: return x / a->scale;
    case KILN_RESIZE_HALF_PIXEL_SYMMETRIC: return n / 2 * (1 - (double)a->out / a->wide) + half;
    case KILN_RESIZE_PYTORCH_HALF_PIXEL: return a->wide == 1 ? -0.5 : half;
    case KILN_RESIZE_CROP: {
        const double part = a->roi[1] - a->roi[0], first = a->roi[0] * (n - 1);
        return first + (a->wide == 1 ? part * (n - 1) / 2 : x * part * (n - 1) / (a->wide - 1));
    }
    default: return half;
    }
}

static double nearest(double at, kiln_resize_nearest how)
{
    switch (how) {
    case KILN_RESIZE_PREFER_CEIL: return floor(at + 0.5);
    case KILN_RESIZE_FLOOR: return floor(at);
    case KILN_RESIZE_CEIL: return ceil(at);
    default: return ceil(at - 0.5);
    }
}

/* The weight of an element that lies x away: a triangle, or Keys' cubic (1981) with its parameter. */
static double kernel(kiln_resize_kind kind, double x, double a)
{
    x = fabs(x);
    if (kind == KILN_RESIZE_LINEAR) return x < 1 ? 1 - x : 0;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Element i's weights, of the elements from `first` on. Beyond the ends the last elements count again, or with exclude_outside
 * nothing. */
static void weigh(Along *a, const kiln_resizing *r, int64_t i, double from, int64_t first, double narrow)
{
    const double parameter = r->cubic != 0 ? r->cubic : -0.75;
    double sum = 0;
    for (int k = 0; k < a->taps; k++) {
        const int64_t at = first + k;
        const bool inside = at >= 0 && at < a->n;
        double w = kernel(r->kind, ((double)at - from) * narrow, parameter);
        if (!inside && r->exclude_outside) w = 0;
        a->at[i * a->taps + k] = MIN_OF(MAX_OF(at, 0), a->n - 1);
        a->weight[i * a->taps + k] = w;
        sum += w;
    }
    if (sum == 0) sum = 1;
    if (r->exclude_outside || narrow != 1)
        for (int k = 0; k < a->taps; k++) a->weight[i * a->taps + k] /= sum;
}

/* Fills the tables of an axis. */
static void plan(Along *a, const kiln_resizing *r)
{
    const double narrow = r->antialias && a->scale < 1 ? a->scale : 1; /* a wider filter where there are fewer elements */
    for (int64_t i = 0; i < a->out; i++) {
        const double far = 0x1p50, from = fmax(-far, fmin(far, source(a, r->rule, i)));
        if (a->outside) a->outside[i] = from < 0 || from > (double)(a->n - 1);
        if (r->kind == KILN_RESIZE_NEAREST)
            a->at[i] = MIN_OF(MAX_OF((int64_t)nearest(from, r->nearest), 0), a->n - 1);
        else
            weigh(a, r, i, from, (int64_t)floor(from) - a->taps / 2 + 1, narrow);
    }
}

/* How many elements each reads. */
static double taps_of(const Along *a, const kiln_resizing *r)
{
    const double radius = r->kind == KILN_RESIZE_CUBIC ? 2 : 1;
    if (r->kind == KILN_RESIZE_NEAREST) return 1;
    return r->antialias && a->scale < 1 ? 2 - 2 * (floor(-radius / a->scale) + 1) : 2 * radius;
}

/* ---- options ------------------------------------------------------------------------------------------ */

static bool enums_ok(Thread *t, kiln_site at, const kiln_resizing *r)
{
    const struct {
        const char *what;
        int is, most;
    } all[] = {{"kind", (int)r->kind, KILN_RESIZE_CUBIC}, {"rule", (int)r->rule, KILN_RESIZE_CROP},
        {"rounding", (int)r->nearest, KILN_RESIZE_CEIL}, {"aspect", (int)r->aspect, KILN_RESIZE_NOT_SMALLER}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].is < 0 || all[i].is > all[i].most)
            return fail(t, at, KILN_EVALUE, "resize: the %s is %d (allowed: 0 to %d)", all[i].what, all[i].is, all[i].most), false;
    if (r->antialias && r->kind == KILN_RESIZE_NEAREST)
        return fail(t, at, KILN_EVALUE, "resize: antialias is for KILN_RESIZE_LINEAR and KILN_RESIZE_CUBIC"), false;
    if (!isfinite(r->cubic))
        return fail(t, at, KILN_EVALUE, "resize: the cubic parameter is %g; it must be finite", r->cubic), false;
    return true;
}

/* The size and scale of one axis; a size that is given beside the options may be a symbol, or 0. False: recorded. */
static bool sized(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_resizing *r, const Dim *given, int i, Along *a)
{
    char text[160];
    const Dim n = x->type.dim[a->axis], size = given ? given[i] : r->size[i];
    const double scale = r->scale[i];
    if ((!given && (size < 0 || size > DIM_MAX || (size == 0 && scale == 0))) || !(scale >= 0) || scale > 0x1p48)
        return fail(t, at, KILN_EVALUE,
                   "resize: axis %d has the size %lld and the scale %g; one of them must be above 0, and at most 2^48", a->axis,
                   (long long)size, scale),
               false;
    const double wide = scale * (double)n;
    a->n = n;
    a->given = scale;
    a->out = size != 0 || given ? size : (int64_t)wide;
    a->scale = scale != 0 ? scale : (double)size / (double)n;
    a->wide = scale != 0 ? wide : (double)size;
    a->roi[0] = r->roi[i][0], a->roi[1] = r->roi[i][1];
    if (a->roi[0] == 0 && a->roi[1] == 0) a->roi[1] = 1;
    if (!isfinite(a->roi[0]) || !isfinite(a->roi[1]))
        return fail(t, at, KILN_EVALUE, "resize: the region along axis %d is %g to %g; both must be finite", a->axis, a->roi[0],
                   a->roi[1]),
               false;
    if (!dim_is_const(n) || !dim_is_const(a->out)) return resize_open_fits(t, at, x, r, size != 0 || given, a);
    if (a->out <= DIM_MAX && (n > 0 || a->out == 0)) return true;
    return fail(t, at, KILN_ESHAPE, n > 0 ? "resize: axis %d would be too large: %s" : "resize: axis %d has no element: %s",
               a->axis, tensor_text(x, text, sizeof text)),
           false;
}

/* One scale for all axes, the smallest or the largest of those that the sizes ask for. */
static bool keep_aspect(Thread *t, kiln_site at, const kiln_resizing *r, const Dim *size, Along *a, int count)
{
    double scale = 0;
    if (r->aspect == KILN_RESIZE_STRETCH) return true;
    for (int i = 0; i < count; i++) {
        if (r->scale[i] != 0 || (size ? size[i] : r->size[i]) == 0)
            return fail(t, at, KILN_EVALUE, "resize: an aspect is kept of sizes alone, not of scales"), false;
        const bool better = r->aspect == KILN_RESIZE_NOT_LARGER ? a[i].scale < scale : a[i].scale > scale;
        if (i == 0 || better) scale = a[i].scale;
    }
    for (int i = 0; i < count; i++) {
        a[i].scale = scale;
        a[i].wide = scale * (double)a[i].n;
        a[i].out = (int64_t)(a[i].wide + 0.5);
    }
    return true;
}

/* ---- elements ----------------------------------------------------------------------------------------- */

/* Numbers of the dtype, i64 or a float, for each new element, column `k` of `columns`, or all of them. */
static kiln_tensor *table(Thread *t, kiln_site at, const Along *a, const void *from, DType d, int k, int columns)
{
    const bool all = k < 0;
    const Type type = {.dtype = (uint8_t)d, .rank = (uint8_t)(1 + all), .dim = {a->out, columns}};
    kiln_tensor *r = tensor_empty(t, at, &type);
    if (!r) return &t->k->poison;
    char *to = r->data;
    for (int64_t i = 0; i < a->out; i++)
        for (int j = all ? 0 : k; j < (all ? columns : k + 1); j++, to += dtype_bytes(d)) {
            const int64_t e = i * columns + j;
            if (d == DT_i64) *(int64_t *)to = ((const int64_t *)from)[e];
            if (d == DT_bool) *to = ((const bool *)from)[e];
            if (d == DT_f32) *(float *)to = (float)((const double *)from)[e];
            if (d == DT_f64) *(double *)to = ((const double *)from)[e];
        }
    return tensor_place(t, at, r);
}

/* A table as what varies along the axis, and its second axis along the next. */
static kiln_operand along(Thread *t, kiln_site at, kiln_tensor *x, int axis, int rank)
{
    Dim dim[MAX_RANK];
    if (!tensor_ok(x)) return of(x);
    for (int i = 0; i < rank; i++) dim[i] = i >= axis && i < axis + x->type.rank ? x->type.dim[i - axis] : 1;
    return of(reshape_to(t, at, x, dim, rank));
}

/* Where the places are those of whole elements `step` times, or of every `step`-th element, there is nothing to look up. */
static kiln_tensor *regular(kiln_site at, kiln_tensor *x, const Along *a)
{
    const int64_t each = a->n > 0 ? a->out / a->n : 0, step = a->out > 0 ? (a->n - a->at[0] + a->out - 1) / a->out : 0;
    bool repeats = each > 1 && a->out == each * a->n, strides = step > 0 && !repeats;
    for (int64_t i = 0; i < a->out && (repeats || strides); i++) {
        repeats = repeats && a->at[i] == i / each;
        strides = strides && a->at[i] == a->at[0] + i * step;
    }
    if (repeats) return kiln_repeat_at(at, of(x), kiln_of_i(each), a->axis);
    if (strides) return kiln_slice_at(at, of(x), a->axis, a->at[0], a->at[0] + (a->out - 1) * step + 1, step);
    return NULL;
}

#define FEW 4 /* elements that are read one by one; more are a sum over an axis of their own */

static kiln_tensor *weighed(Thread *t, kiln_site at, kiln_tensor *x, const Along *a)
{
    const int rank = x->type.rank;
    const DType d = (DType)x->type.dtype;
    kiln_operand sum = {0};
    if (a->taps > FEW && rank < MAX_RANK) {
        const int64_t axis = a->axis + 1;
        kiln_tensor *i = table(t, at, a, a->at, DT_i64, -1, a->taps), *w = table(t, at, a, a->weight, d, -1, a->taps);
        if (!tensor_ok(i) || !tensor_ok(w)) return &t->k->poison;
        kiln_tensor *read = apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = a->axis));
        read = kiln_mul_at(at, of(read), along(t, at, w, a->axis, rank + 1));
        return tensor_ok(read) ? apply1(t, at, OP_sum, read, &axis, 1) : read;
    }
    for (int k = 0; k < a->taps; k++) {
        kiln_tensor *i = table(t, at, a, a->at, DT_i64, k, a->taps), *w = table(t, at, a, a->weight, d, k, a->taps);
        if (!tensor_ok(i) || !tensor_ok(w)) return &t->k->poison;
        kiln_operand read = of(apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = a->axis)));
        read = OP2(mul, read, along(t, at, w, a->axis, rank));
        sum = k == 0 ? read : OP2(add, sum, read);
    }
    return sum.as.tensor;
}

static kiln_tensor *resized(Thread *t, kiln_site at, kiln_tensor *x, const kiln_resizing *r, Along *a)
{
    if (!dim_is_const(a->n) || !dim_is_const(a->out)) return resize_open(t, at, x, r, a);
    if (a->out == 0) return slice_axis(t, at, x, a->axis, 0, 0);
    const double taps = taps_of(a, r);
    if (taps * (double)a->out > 0x1p40)
        return fail(t, at, KILN_ESHAPE, "resize: axis %d would be too large, with %g elements to be read for each of its %lld",
            a->axis, taps, (long long)a->out);
    ScratchMark mark = scratch_mark(&t->scratch);
    a->taps = (int)taps;
    a->at = SCRATCH(t, at, int64_t, (size_t)a->out * (size_t)a->taps);
    a->weight = a->at ? SCRATCH(t, at, double, (size_t)a->out *(size_t)a->taps) : NULL;
    const bool crops = r->rule == KILN_RESIZE_CROP;
    a->outside = a->weight && crops ? SCRATCH(t, at, bool, (size_t)a->out) : NULL;
    kiln_tensor *y = &t->k->poison;
    if (a->weight && (!crops || a->outside)) {
        plan(a, r);
        y = r->kind == KILN_RESIZE_NEAREST ? regular(at, x, a) : weighed(t, at, x, a);
        if (!y) {
            kiln_tensor *i = table(t, at, a, a->at, DT_i64, 0, 1);
            y = tensor_ok(i) ? apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = a->axis)) : i;
        }
        bool any = false;
        for (int64_t i = 0; crops && i < a->out; i++) any |= a->outside[i];
        if (any && tensor_ok(y)) {
            kiln_operand no = along(t, at, table(t, at, a, a->outside, DT_bool, 0, 1), a->axis, x->type.rank);
            y = kiln_where_at(at, no, kiln_of_f(r->extrapolation), of(y));
        }
    }
    scratch_reset(&t->scratch, mark);
    return y;
}

static bool stays(const Along *a, const kiln_resizing *r)
{
    if (!dim_is_const(a->n)) return a->out == a->n && (a->given == 1 || a->given == 0) && r->rule != KILN_RESIZE_CROP;
    return a->out == a->n && a->wide == (double)a->n && (r->rule != KILN_RESIZE_CROP || (a->roi[0] == 0 && a->roi[1] == 1));
}

/* No option says anything of axes that are not named. False: recorded. */
static bool options_end(Thread *t, kiln_site at, const kiln_resizing *r, int count)
{
    for (int i = count; i < MAX_RANK; i++) {
        const char *option = r->size[i] != 0                          ? "size"
                             : r->scale[i] != 0                       ? "scale"
                             : r->roi[i][0] != 0 || r->roi[i][1] != 0 ? "roi"
                                                                      : NULL;
        if (!option) continue;
        fail(t, at, KILN_EVALUE, "resize: %s[%d] is given, but %d %s: leave it 0", option, i, count,
            count == 1 ? "axis is named" : "axes are named");
        return false;
    }
    return true;
}

kiln_tensor *resize_to(kiln_site at, kiln_operand o, kiln_axes axes, const kiln_resizing *r, const Dim *size)
{
    Thread *t;
    char text[160];
    int axis[MAX_RANK];
    Along a[MAX_RANK] = {0};
    kiln_tensor *x = first_operand(at, "resize", o, &t);
    if (!tensor_ok(x)) return x;
    const int count = axes_listed(t, at, "resize", &axes, x->type.rank, axis);
    if (count < 0 || !enums_ok(t, at, r) || !options_end(t, at, r, count)) return &t->k->poison;
    if (r->kind != KILN_RESIZE_NEAREST && !dtype_is_float((DType)x->type.dtype))
        return fail(t, at, KILN_EDTYPE, "resize: needs floats but for KILN_RESIZE_NEAREST, use kiln_cast: %s",
            tensor_text(x, text, sizeof text));
    for (int i = 0; i < count; i++) {
        a[i].axis = axis[i];
        if (!sized(t, at, x, r, size, i, &a[i])) return &t->k->poison;
    }
    if (!keep_aspect(t, at, r, size, a, count)) return &t->k->poison;
    Composite s = composite_begin(t, "resize");
    composite_beside(t, x);
    const DType d = (DType)x->type.dtype;
    kiln_tensor *y = r->kind == KILN_RESIZE_NEAREST ? x : cast_to(t, at, x, wide_dtype(x));
    for (bool done[MAX_RANK] = {0}; tensor_ok(y);) { /* by scales, those that shrink most first; sizes may be symbols */
        int next = -1;
        for (int i = 0; i < count; i++)
            if (!done[i] && (next < 0 || (a[i].given != 0 && a[i].given < a[next].given))) next = i;
        if (next < 0) break;
        done[next] = true;
        if (!stays(&a[next], r)) y = resized(t, at, y, r, &a[next]);
    }
    return composite_end(t, &s, tensor_ok(y) ? result_of(t, at, cast_to(t, at, y, d), x) : y);
}

kiln_tensor *kiln_resize_sized(kiln_site at, kiln_operand o, kiln_axes axes, const kiln_resizing *options, size_t size)
{
    kiln_resizing r = {0};
    if (options) memcpy(&r, options, MIN_OF(size, sizeof r));
    return resize_to(at, o, axes, &r, NULL);
}
