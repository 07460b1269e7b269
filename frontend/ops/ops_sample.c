/* ops_sample: reading images between their elements, at places that tensors
 * name: grids, and regions (roi_align). Each axis of space gives a few elements
 * and their weights; what is read is gathered and added up. Composites; relies
 * on windows.h and effect.h. */
#include "effect.h"
#include "windows.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define NUMBER(v) kiln_of_f(v)

/* One element that is read along an axis: its index in the axis, as a float and
 * clamped; its weight, and whether it is there (kind 0: it is). */
typedef struct Tap {
    kiln_operand index, weight, inside;
} Tap;

static kiln_operand size_of(const Frame *f, int axis, DType d)
{
    return of(dim_tensor(f->t, f->at, f->x->type.dim[f->g.first + axis], d));
}

/* x's elements at flat indices into planes, [m, p], of images [m] (NULL: image
 * i for row i): [m, c, p], or of channels last [m, p, c]. */
static kiln_operand picked(const Frame *f, kiln_operand flat, kiln_tensor *image, Dim m, Dim p)
{
    Thread *t = f->t;
    kiln_site at = f->at;
    const Type *x = &f->x->type;
    const int last = x->rank - 1;
    Dim plane = 1, c = x->dim[f->channels_first ? 1 : last];
    for (int i = 0; i < f->g.space; i++) plane = extent(t, at, EXTENT_MUL, plane, x->dim[f->g.first + i]);
    kiln_operand rows = image ? of(image) : of(iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {m}}, 0, f->x));
    if (!tensor_ok(rows.as.tensor) || !tensor_ok(flat.as.tensor)) return of(&t->k->poison);
    rows = of(reshape_to(t, at, rows.as.tensor, (Dim[]){m, 1, 1}, f->channels_first ? 3 : 2));
    kiln_operand planes = of(dim_tensor(t, at, plane, DT_i64));
    if (!f->channels_first) {
        const Dim all[2] = {extent(t, at, EXTENT_MUL, x->dim[0], plane), c};
        flat = OP2(add, OP2(mul, rows, planes), flat);
        kiln_tensor *lines = reshape_to(t, at, (kiln_tensor *)(uintptr_t)f->x, all, 2);
        if (!tensor_ok(lines) || !tensor_ok(flat.as.tensor)) return of(&t->k->poison);
        return of(apply2(t, at, OP_gather, lines, flat.as.tensor, ATTRS_OF(gather, .axis = 0)));
    }
    kiln_operand channel = of(iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 3, .dim = {1, c, 1}}, 1, f->x));
    rows = OP2(add, OP2(mul, rows, of(dim_tensor(t, at, c, DT_i64))), channel);
    flat = of(reshape_to(t, at, flat.as.tensor, (Dim[]){m, 1, p}, 3));
    flat = OP2(add, OP2(mul, rows, planes), flat);
    const Dim all = extent_product(t, at, x->dim, x->rank);
    kiln_tensor *line = reshape_to(t, at, (kiln_tensor *)(uintptr_t)f->x, &all, 1);
    if (!tensor_ok(line) || !tensor_ok(flat.as.tensor)) return of(&t->k->poison);
    return of(apply2(t, at, OP_gather, line, flat.as.tensor, ATTRS_OF(gather, .axis = 0)));
}

/* [m, p] as what multiplies what `picked` gives. */
static kiln_operand spread(const Frame *f, kiln_operand w, Dim m, Dim p)
{
    if (!tensor_ok(w.as.tensor)) return w;
    return of(reshape_to(f->t, f->at, w.as.tensor, (Dim[]){m, f->channels_first ? 1 : p, f->channels_first ? p : 1}, 3));
}

/* The sum over all combinations of the axes' taps, `taps` of each axis, or the
 * largest product of an element and its weight. */
static kiln_operand read_all(const Frame *f, Tap (*tap)[4], int taps, kiln_tensor *image, Dim m, Dim p, bool largest)
{
    kiln_site at = f->at;
    kiln_operand sum = {0};
    int many = 1;
    for (int a = 0; a < f->g.space; a++) many *= taps;
    for (int n = 0; n < many; n++) {
        kiln_operand flat = {0}, weight = {0}, inside = {0};
        for (int a = 0, rest = many; a < f->g.space; a++) {
            rest /= taps;
            const Tap *k = &tap[a][n / rest % taps];
            kiln_operand i = of(cast_to(f->t, at, k->index.as.tensor, DT_i64));
            flat = a == 0 ? i : OP2(add, OP2(mul, flat, size_of(f, a, DT_i64)), i);
            if (taps > 1) weight = a == 0 ? k->weight : OP2(mul, weight, k->weight);
            if (k->inside.kind != 0) inside = inside.kind == 0 ? k->inside : OP2(and, inside, k->inside);
        }
        kiln_operand v = picked(f, flat, image, m, p);
        if (taps > 1)
            v = OP2(mul, of(cast_to(f->t, at, v.as.tensor, (DType)weight.as.tensor->type.dtype)), spread(f, weight, m, p));
        if (inside.kind != 0) v = of(kiln_where_at(at, spread(f, inside, m, p), v, kiln_of_i(0)));
        if (!tensor_ok(v.as.tensor)) return v;
        sum = n == 0 ? v : largest ? OP2(max, sum, v) : OP2(add, sum, v);
    }
    return sum;
}

/* ---- grids
 * ---------------------------------------------------------------------------------------------
 */

/* A coordinate brought into x as the border asks; one beyond zeros stays where
 * it is. */
static kiln_operand brought_in(const Frame *f, const kiln_sampling *s, kiln_operand v, kiln_operand size)
{
    kiln_site at = f->at;
    kiln_operand last = OP2(sub, size, NUMBER(1));
    if (s->border == KILN_BORDER_REFLECT) { /* there and back between the outer
                                               elements, or their outer edges */
        kiln_operand low = NUMBER(s->align_corners ? 0 : -0.5), span = s->align_corners ? last : size;
        span = of(kiln_max_at(at, span, NUMBER(s->align_corners ? 0x1p-20 : 1)));
        v = OP1(abs, OP2(sub, v, low));
        kiln_operand extra = OP2(fmod, v, span), turns = OP1(floor, OP2(div, v, span));
        kiln_operand even = OP2(eq, OP2(fmod, turns, NUMBER(2)), kiln_of_i(0));
        v = OP2(add, of(kiln_where_at(at, even, extra, OP2(sub, span, extra))), low);
    }
    return s->border == KILN_BORDER_ZEROS ? v : of(kiln_clip_at(at, v, kiln_of_i(0), last));
}

/* The element whose index is v, a whole number. */
static Tap element(const Frame *f, const kiln_sampling *s, kiln_operand v, kiln_operand size)
{
    kiln_site at = f->at;
    Tap tap = {0};
    kiln_operand last = OP2(sub, size, NUMBER(1));
    if (s->border == KILN_BORDER_ZEROS) tap.inside = OP2(and, OP2(ge, v, kiln_of_i(0)), OP2(le, v, last));
    tap.index = of(kiln_clip_at(at, v, kiln_of_i(0), last));
    return tap;
}

/* Keys' cubic (1981) at a distance x that lies in [0, 1] or [1, 2]. */
static kiln_operand cubic(kiln_site at, kiln_operand x, double a, bool near)
{
    kiln_operand y = OP2(sub, OP2(mul, x, NUMBER(near ? a + 2 : a)), NUMBER(near ? a + 3 : 5 * a));
    if (near) return OP2(add, OP2(mul, OP2(mul, y, x), x), NUMBER(1));
    y = OP2(add, OP2(mul, y, x), NUMBER(8 * a));
    return OP2(sub, OP2(mul, y, x), NUMBER(4 * a));
}

/* What is read along an axis for coordinates in [-1, 1]. */
static void grid_taps(const Frame *f, const kiln_sampling *s, kiln_operand v, kiln_operand size, Tap tap[4])
{
    kiln_site at = f->at;
    if (s->align_corners) {
        v = OP2(mul, OP2(mul, OP2(add, v, NUMBER(1)), NUMBER(0.5)), OP2(sub, size, NUMBER(1)));
    } else {
        v = OP2(mul, OP2(sub, OP2(mul, OP2(add, v, NUMBER(1)), size), NUMBER(1)), NUMBER(0.5));
    }
    if (s->kind != KILN_RESIZE_CUBIC) v = brought_in(f, s, v, size);
    if (s->kind == KILN_RESIZE_NEAREST) {
        tap[0] = element(f, s, OP1(round, v), size);
        return;
    }
    kiln_operand first = OP1(floor, v), part = OP2(sub, v, first), rest = OP2(sub, NUMBER(1), part);
    if (s->kind == KILN_RESIZE_LINEAR) {
        tap[0] = element(f, s, first, size), tap[0].weight = rest;
        tap[1] = element(f, s, OP2(add, first, NUMBER(1)), size), tap[1].weight = part;
        return;
    }
    for (int i = 0; i < 4; i++) {
        kiln_operand index = OP2(add, first, NUMBER(i - 1)), away = i < 2 ? part : rest;
        if (s->border != KILN_BORDER_ZEROS) index = OP1(round, brought_in(f, s, index, size));
        tap[i] = element(f, s, index, size);
        if (i == 0 || i == 3) away = OP2(add, away, NUMBER(1));
        tap[i].weight = cubic(at, away, -0.75, i == 1 || i == 2);
    }
}

static bool grid_fits(const Frame *f, const kiln_tensor *grid, const kiln_sampling *s)
{
    char a[160], b[160];
    Thread *t = f->t;
    const Type *x = &f->x->type, *g = &grid->type;
    if ((unsigned)s->kind > KILN_RESIZE_CUBIC || (unsigned)s->border > KILN_BORDER_REFLECT)
        return fail(t, f->at, KILN_EVALUE,
                   "grid_sample: the kind is %d and the border %d (allowed: 0 to "
                   "%d, 0 to %d)",
                   (int)s->kind, (int)s->border, KILN_RESIZE_CUBIC, KILN_BORDER_REFLECT),
               false;
    if (g->rank != x->rank || g->dim[0] != x->dim[0] || g->dim[g->rank - 1] != f->g.space)
        return fail(t, f->at, KILN_ESHAPE,
                   "grid_sample: needs a grid [n, out..., %d] for images of %d "
                   "axes of space, as many as there are: %s x %s",
                   f->g.space, f->g.space, tensor_text(f->x, a, sizeof a), tensor_text(grid, b, sizeof b)),
               false;
    for (int i = 0; i < f->g.space; i++)
        if (!effect_least(t, f->at, "grid_sample", f->x, f->g.first + i, 1)) return false;
    return true;
}

/* [m, c, p] or [m, p, c] with p in its sizes. */
static kiln_tensor *placed(const Frame *f, kiln_tensor *y, Dim m, const Dim *sizes, int n)
{
    Dim dim[MAX_RANK] = {m};
    const Type *x = &f->x->type;
    if (f->channels_first) dim[1] = x->dim[1];
    memcpy(dim + 1 + f->channels_first, sizes, (size_t)n * sizeof *dim);
    if (!f->channels_first) dim[1 + n] = x->dim[x->rank - 1];
    return tensor_ok(y) ? reshape_to(f->t, f->at, y, dim, n + 2) : y;
}

kiln_tensor *kiln_grid_sample_sized(kiln_site at, kiln_operand o, kiln_operand places, const kiln_sampling *options, size_t size)
{
    kiln_operand operands[2] = {o, places};
    kiln_sampling s = {0};
    if (options) memcpy(&s, options, MIN_OF(size, sizeof s));
    Frame f = {.t = op_thread(operands, 2), .at = at, .g = {.op = "grid_sample"}, .channels_first = s.channels_first};
    Thread *t = f.t;
    char text[160];
    Tap tap[WINDOW_SPACE][4];
    if (!t) return NULL;
    kiln_tensor *x = frame_operand(&f, o, true), *grid = operand_float(t, at, f.g.op, places);
    if (!tensor_ok(x) || !tensor_ok(grid) || !grid_fits(&f, grid, &s)) return &t->k->poison;
    const DType own = dtype_promote((DType)x->type.dtype, (DType)grid->type.dtype), wide = (DType)dtype_info[own].compute;
    const Dim m = x->type.dim[0], p = extent_product(t, at, grid->type.dim + 1, f.g.space);
    if (p == DIM_BAD || extent(t, at, EXTENT_MUL, p, f.outer) == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "grid_sample: the places are too many: %s", tensor_text(grid, text, sizeof text));
    frame_begin(&f);
    kiln_tensor *lines = reshape_to(t, at, cast_to(t, at, grid, wide), (Dim[]){m, p, f.g.space}, 3);
    for (int a = 0; a < f.g.space && tensor_ok(lines); a++) { /* the grid has the last axis first */
        kiln_tensor *v = reshape_to(t, at, slice_axis(t, at, lines, 2, f.g.space - 1 - a, 1), (Dim[]){m, p}, 2);
        if (!tensor_ok(v)) return frame_end(&f, v);
        grid_taps(&f, &s, of(v), size_of(&f, a, wide), tap[a]);
    }
    const int taps = s.kind == KILN_RESIZE_NEAREST ? 1 : s.kind == KILN_RESIZE_LINEAR ? 2 : 4;
    kiln_tensor *y = tensor_ok(lines) ? read_all(&f, tap, taps, NULL, m, p, false).as.tensor : lines;
    y = placed(&f, y, m, grid->type.dim + 1, f.g.space);
    return frame_end(&f, tensor_ok(y) ? result_of(t, at, cast_to(t, at, y, own), x) : y);
}

/* ---- affine grids
 * ---------------------------------------------------------------------------------------
 */

/* Where the elements of an axis lie in [-1, 1], along that axis of `rank`. */
static kiln_tensor *axis_places(Thread *t, kiln_site at, int64_t n, bool corners, DType d, int axis, int rank)
{
    Dim dim[MAX_RANK];
    const Type type = {.dtype = (uint8_t)d, .rank = 1, .dim = {n}};
    kiln_tensor *r = tensor_empty(t, at, &type);
    if (!r) return &t->k->poison;
    for (int64_t i = 0; i < n; i++) {
        const double v = !corners ? (2 * (double)i + 1) / (double)n - 1 : n > 1 ? 2 * (double)i / (double)(n - 1) - 1 : 0;
        if (d == DT_f64) ((double *)r->data)[i] = v;
        if (d == DT_f32) ((float *)r->data)[i] = (float)v;
    }
    for (int i = 0; i < rank; i++) dim[i] = i == axis ? n : 1;
    return reshape_to(t, at, tensor_place(t, at, r), dim, rank);
}

kiln_tensor *kiln_affine_grid_at(kiln_site at, kiln_operand o, kiln_shape sizes, bool align_corners)
{
    Thread *t = op_thread(&o, 1);
    char text[160];
    if (!t) return NULL;
    kiln_tensor *theta = operand_float(t, at, "affine_grid", o);
    if (!tensor_ok(theta)) return theta;
    const int space = (int)sizes.rank;
    const Type *x = &theta->type;
    if (sizes.rank < 1 || sizes.rank > WINDOW_SPACE || x->rank != 3 || x->dim[1] != space || x->dim[2] != space + 1)
        return fail(t, at, KILN_ESHAPE,
            "affine_grid: needs [n, d, d + 1] and d sizes, 1 to %d; %lld "
            "are given: %s",
            WINDOW_SPACE, (long long)sizes.rank, tensor_text(theta, text, sizeof text));
    Dim all = x->dim[0];
    for (int i = 0; i < space; i++) {
        if (sizes.size[i + 1] < 0 || sizes.size[i + 1] > DIM_MAX)
            return fail(t, at, KILN_EVALUE, "affine_grid: a size is %lld (allowed: 0 to 2^48)", (long long)sizes.size[i + 1]);
        all = extent(t, at, EXTENT_MUL, all, sizes.size[i + 1]);
    }
    if (all == DIM_BAD || extent(t, at, EXTENT_MUL, all, space) == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "affine_grid: the grid is too large: %s", tensor_text(theta, text, sizeof text));
    Composite c = composite_begin(t, "affine_grid");
    composite_beside(t, theta);
    const DType wide = wide_dtype(theta);
    kiln_tensor *w = cast_to(t, at, theta, wide);
    kiln_operand sum = {0};
    for (int j = space; j >= 0 && tensor_ok(w); j--) { /* the shift, then the last axis first */
        const int from = j == space ? space : space - 1 - j;
        Dim dim[MAX_RANK] = {x->dim[0], 1, 1, 1, 1};
        dim[1 + space] = space;
        kiln_operand column = of(reshape_to(t, at, slice_axis(t, at, w, 2, from, 1), dim, space + 2));
        if (j < space) column = OP2(mul, column, of(axis_places(t, at, sizes.size[j + 1], align_corners, wide, 1 + j, space + 2)));
        sum = j == space ? column : OP2(add, sum, column);
    }
    return composite_end(t, &c, tensor_ok(w) ? cast_to(t, at, sum.as.tensor, (DType)x->dtype) : w);
}

/* ---- regions
 * --------------------------------------------------------------------------------------------
 */

typedef struct Regions {
    Frame f;
    kiln_region w;
    kiln_tensor *rois; /* [r, 4] */
    DType wide;
    Dim r;
    int64_t most[2];       /* samples of a bin along each axis */
    kiln_operand count[2]; /* of them, [r, 1], or a number */
    kiln_operand there[2]; /* whether a sample is one of them, [r, 1, most]; kind
                              0: all are */
} Regions;

/* Column i of the regions, in elements of x: [r, 1]. */
static kiln_operand corner(const Regions *g, int i)
{
    kiln_site at = g->f.at;
    kiln_operand v = of(slice_axis(g->f.t, at, g->rois, 1, i, 1));
    v = OP2(mul, v, NUMBER(g->w.scale != 0 ? g->w.scale : 1));
    return g->w.half_pixel ? OP2(sub, v, NUMBER(0.5)) : v;
}

static kiln_operand shaped(const Regions *g, kiln_operand v, const Dim *dim, int rank)
{
    return tensor_ok(v.as.tensor) ? of(reshape_to(g->f.t, g->f.at, v.as.tensor, dim, rank)) : v;
}

/* How many samples a bin has along the axis, of a size in elements of x. False:
 * recorded. */
static bool sample_count(Regions *g, int axis, kiln_operand bin)
{
    Thread *t = g->f.t;
    kiln_site at = g->f.at;
    const double most = (double)g->most[axis];
    g->count[axis] = NUMBER(most);
    if (g->w.samples != 0) return true;
    kiln_operand n = OP2(max, OP1(ceil, bin), NUMBER(0));
    kiln_tensor *few = kiln_all_at(at, OP2(le, n, NUMBER(most)), (kiln_axes){.count = -1});
    if (!tensor_ok(few) || !effect_holds(t, at, few, "a region of roi_align has more samples than .most allows")) return false;
    g->count[axis] = OP2(min, n, NUMBER(most));
    const Type all = {.dtype = (uint8_t)g->wide, .rank = 3, .dim = {1, 1, g->most[axis]}};
    g->there[axis] = OP2(lt, of(iota_of(t, at, &all, 2, g->f.x)), shaped(g, g->count[axis], (Dim[]){g->r, 1, 1}, 3));
    return true;
}

/* The samples along an axis, 0 for rows: the two elements of each, [r, bins *
 * samples], and their weights. False: recorded. */
static bool region_taps(Regions *g, int axis, Tap tap[4])
{
    Thread *t = g->f.t;
    kiln_site at = g->f.at;
    const Dim three[3] = {g->r, 1, 1}, flat[2] = {g->r, g->w.size[axis] * g->most[axis]};
    kiln_operand start = corner(g, 1 - axis), length = OP2(sub, corner(g, 3 - axis), start), size = size_of(&g->f, axis, g->wide);
    if (!g->w.half_pixel) length = OP2(max, length, NUMBER(1));
    kiln_operand bin = OP2(div, length, NUMBER((double)g->w.size[axis]));
    if (!tensor_ok(bin.as.tensor) || !sample_count(g, axis, bin)) return false;
    const Type all = {.dtype = (uint8_t)g->wide, .rank = 3, .dim = {1, g->w.size[axis], g->most[axis]}};
    kiln_operand b = of(iota_of(t, at, &all, 1, g->f.x)), i = OP2(add, of(iota_of(t, at, &all, 2, g->f.x)), NUMBER(0.5));
    kiln_operand samples = g->count[axis];
    if (g->w.samples == 0) samples = shaped(g, OP2(max, samples, NUMBER(1)), three, 3);
    bin = shaped(g, bin, three, 3);
    kiln_operand v = OP2(add, shaped(g, start, three, 3), OP2(mul, b, bin));
    v = OP2(add, v, OP2(div, OP2(mul, i, bin), samples));
    kiln_operand inside = OP2(and, OP2(ge, v, NUMBER(-1)), OP2(le, v, size)), last = OP2(sub, size, NUMBER(1));
    if (g->w.samples == 0 && !g->w.largest) inside = OP2(and, inside, g->there[axis]);
    inside = shaped(g, inside, flat, 2);
    v = of(kiln_clip_at(at, shaped(g, v, flat, 2), NUMBER(0), last));
    kiln_operand low = OP1(floor, v), part = OP2(sub, v, low);
    tap[0] = (Tap){.index = low, .weight = OP2(sub, NUMBER(1), part), .inside = inside};
    tap[1] = (Tap){.index = OP2(min, OP2(add, low, NUMBER(1)), last), .weight = part, .inside = inside};
    return tensor_ok(inside.as.tensor) && tensor_ok(part.as.tensor);
}

/* Folds the samples of bins, [r, c, rows * samples * columns * samples] or with
 * c behind them. */
static kiln_tensor *bins_of(Regions *g, kiln_operand y)
{
    Thread *t = g->f.t;
    kiln_site at = g->f.at;
    const int first = g->f.channels_first;
    const Dim c = g->f.x->type.dim[first ? 1 : 3];
    Dim dim[6] = {g->r, c, g->w.size[0], g->most[0], g->w.size[1], g->most[1]};
    if (!first) memmove(dim + 1, dim + 2, 4 * sizeof *dim), dim[5] = c;
    const int64_t axes[2] = {2 + first, 4 + first};
    y = shaped(g, y, dim, 6);
    for (int i = 0; i < 2 && g->w.largest && g->w.samples == 0; i++) {
        Dim own[6] = {g->r, 1, 1, 1, 1, 1};
        own[axes[i]] = g->most[i];
        y = of(kiln_where_at(at, shaped(g, g->there[i], own, 6), y, NUMBER(-INFINITY)));
    }
    if (!tensor_ok(y.as.tensor)) return y.as.tensor;
    kiln_operand r = of(apply1(t, at, g->w.largest ? OP_reduce_max : OP_sum, y.as.tensor, axes, 2));
    if (g->w.samples != 0) return g->w.largest ? r.as.tensor : kiln_div_at(at, r, NUMBER((double)(g->most[0] * g->most[1])));
    kiln_operand count = shaped(g, OP2(mul, g->count[0], g->count[1]), (Dim[]){g->r, 1, 1, 1}, 4);
    if (!g->w.largest) return kiln_div_at(at, r, OP2(max, count, NUMBER(1)));
    return kiln_where_at(at, OP2(gt, count, NUMBER(0)), r, NUMBER(0));
}

/* False: recorded. */
static bool regions_fit(Regions *g, const kiln_tensor *rois, const kiln_tensor *images)
{
    char a[160], b[160];
    Thread *t = g->f.t;
    const kiln_tensor *x = g->f.x;
    if (x->type.rank != 4 || rois->type.rank != 2 || rois->type.dim[1] != 4 || images->type.rank != 1 ||
        images->type.dim[0] != rois->type.dim[0])
        return fail(t, g->f.at, KILN_ESHAPE,
                   "roi_align: needs images of two axes of space, regions [r, 4] "
                   "and [r] images: %s x %s",
                   tensor_text(x, a, sizeof a), tensor_text(rois, b, sizeof b)),
               false;
    if (g->w.samples < 0 || g->w.samples > 1 << 20 || g->w.most < 0 || g->w.most > 1 << 20 || !isfinite(g->w.scale))
        return fail(t, g->f.at, KILN_EVALUE,
                   "roi_align: .samples is %lld, .most %lld (allowed: 0 to 2^20), "
                   ".scale %g (allowed: finite numbers)",
                   (long long)g->w.samples, (long long)g->w.most, g->w.scale),
               false;
    for (int i = 0; i < 2; i++) {
        const Dim n = x->type.dim[g->f.g.first + i];
        if (g->w.size[i] < 1 || g->w.size[i] > 1 << 20)
            return fail(t, g->f.at, KILN_EVALUE, "roi_align: a size is %lld (allowed: 1 to 2^20)", (long long)g->w.size[i]), false;
        if (!effect_least(t, g->f.at, "roi_align", x, g->f.g.first + i, 1)) return false;
        g->most[i] = g->w.samples != 0 ? g->w.samples : g->w.most;
        if (g->most[i] == 0) g->most[i] = (extent_hi(t, n) + g->w.size[i] - 1) / g->w.size[i];
    }
    return true;
}

kiln_tensor *kiln_roi_align_sized(
    kiln_site at, kiln_operand o, kiln_operand rois, kiln_operand images, const kiln_region *options, size_t size)
{
    kiln_operand all[3] = {o, rois, images};
    Regions g = {.f = {.t = op_thread(all, 3), .at = at, .g = {.op = "roi_align"}}};
    Thread *t = g.f.t;
    char text[160];
    Tap tap[WINDOW_SPACE][4];
    if (!t) return NULL;
    if (options) memcpy(&g.w, options, MIN_OF(size, sizeof g.w));
    g.f.channels_first = g.w.channels_first;
    kiln_tensor *x = frame_operand(&g.f, o, true), *r = operand_float(t, at, "roi_align", rois);
    kiln_tensor *image = operand_index(t, at, "roi_align", images);
    if (!tensor_ok(x) || !tensor_ok(r) || !tensor_ok(image) || !regions_fit(&g, r, image)) return &t->k->poison;
    const DType own = (DType)x->type.dtype;
    g.r = r->type.dim[0];
    g.wide = (DType)dtype_info[dtype_promote(own, (DType)r->type.dtype)].compute;
    const Dim p = dim_mul(NULL, dim_mul(NULL, g.w.size[0], g.most[0]), dim_mul(NULL, g.w.size[1], g.most[1]));
    if (p == DIM_BAD || extent(t, at, EXTENT_MUL, extent(t, at, EXTENT_MUL, p, g.r), g.f.outer) == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "roi_align: the samples are too many: %s", tensor_text(r, text, sizeof text));
    if (!effect_indices(t, at, "roi_align", image, x->type.dim[0])) return &t->k->poison;
    frame_begin(&g.f);
    g.rois = cast_to(t, at, r, g.wide);
    image = index_clamped(t, at, image, x->type.dim[0]);
    const Dim flat[2][3] = {{g.r, g.w.size[0] * g.most[0], 1}, {g.r, 1, g.w.size[1] * g.most[1]}};
    kiln_tensor *y = &t->k->poison;
    bool well = tensor_ok(g.rois) && tensor_ok(image);
    for (int a = 0; a < 2 && well; a++) {
        well = region_taps(&g, a, tap[a]);
        for (int k = 0; k < 2 && well; k++) { /* every row of samples with every column */
            Type whole = {.dtype = (uint8_t)g.wide, .rank = 3, .dim = {g.r, flat[0][1], flat[1][2]}};
            kiln_operand *part[3] = {&tap[a][k].index, &tap[a][k].weight, &tap[a][k].inside};
            for (int i = 0; i < 3; i++) {
                kiln_tensor *v = shaped(&g, *part[i], flat[a], 3).as.tensor;
                if (tensor_ok(v)) v = reshape_to(t, at, broadcast_to(t, at, v, &whole), (Dim[]){g.r, p}, 2);
                *part[i] = of(v);
                well = well && tensor_ok(v);
            }
        }
    }
    if (well) y = bins_of(&g, read_all(&g.f, tap, 2, image, g.r, p, g.w.largest));
    return frame_end(&g.f, tensor_ok(y) ? result_of(t, at, cast_to(t, at, y, own), x) : y);
}
