/* ops_pool_index: where windows have their largest elements, the way back (unpooling), and pooling to given sizes. Composites;
 * relies on windows.h, effect.h. */
#include "effect.h"
#include "windows.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* ---- indices ---------------------------------------------------------------------------------------- */

static bool index_how_ok(Thread *t, kiln_site at, const char *op, kiln_plane_index how, kiln_plane_index most)
{
    if ((unsigned)how <= (unsigned)most) return true;
    return fail(t, at, KILN_EVALUE, "%s: the indices are of kind %d (allowed: KILN_INDEX_PLANE to %s, %d to %d)", op, (int)how,
               most == KILN_INDEX_WHOLE ? "KILN_INDEX_WHOLE" : "KILN_INDEX_COLUMNS", KILN_INDEX_PLANE, (int)most),
           false;
}

kiln_tensor *frame_all(Frame *f, kiln_tensor *x)
{
    static const int order[MAX_RANK] = {0, 1, 2, 5, 3, 4, 6, 7};
    Thread *t = f->t;
    const Geometry *g = &f->g;
    Dim dim[MAX_RANK] = {f->outer}, outer = f->outer;
    const int space = g->space;
    if (space < 3) {
        x = frame_windows(f, x, 0, space - 1, outer, f->inner);
        for (int i = 0; i < space; i++) dim[1 + i] = g->out[i], dim[1 + space + i] = g->size[i];
        dim[1 + 2 * space] = f->inner;
        return tensor_ok(x) ? reshape_to(t, f->at, x, dim, 2 + 2 * space) : x;
    }
    x = frame_windows(f, x, 0, 1, outer, extent(t, f->at, EXTENT_MUL, frame_extent(f, 2), f->inner));
    for (int i = 0; i < 2; i++) {
        outer = extent(t, f->at, EXTENT_MUL, outer, extent(t, f->at, EXTENT_MUL, g->out[i], g->size[i]));
        dim[1 + i] = g->out[i], dim[3 + i] = g->size[i];
    }
    x = frame_windows(f, x, 2, 2, outer, f->inner);
    dim[5] = g->out[2], dim[6] = g->size[2], dim[7] = f->inner;
    if (tensor_ok(x)) x = reshape_to(t, f->at, x, dim, 8);
    return tensor_ok(x) ? transpose_to(t, f->at, x, order) : x;
}

/* i of [n] as what varies along one of `rank` axes alone. */
static kiln_operand along(const Frame *f, kiln_operand i, Dim n, int axis, int rank)
{
    Dim dim[MAX_RANK];
    for (int a = 0; a < rank; a++) dim[a] = a == axis ? n : 1;
    return tensor_ok(i.as.tensor) ? of(reshape_to(f->t, f->at, i.as.tensor, dim, rank)) : i;
}

static kiln_operand numbers(const Frame *f, Dim n)
{
    return of(iota_of(f->t, f->at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {n}}, 0, f->x));
}

static kiln_operand size_of(const Frame *f, Dim d) { return of(dim_tensor(f->t, f->at, d, DT_i64)); }

/* Indices in x for those in the planes, [outer, places..., inner], of which there are `plane`. */
static kiln_operand whole_index(const Frame *f, kiln_operand i, Dim plane, int rank)
{
    kiln_site at = f->at;
    i = OP2(add, OP2(mul, along(f, numbers(f, f->outer), f->outer, 0, rank), size_of(f, plane)), i);
    if (f->inner == 1) return i;
    return OP2(add, OP2(mul, i, size_of(f, f->inner)), along(f, numbers(f, f->inner), f->inner, rank - 1, rank));
}

/* From the number of the element in each window, [outer, windows..., inner]. start: of each axis, where its windows begin,
 * [windows]. */
static kiln_tensor *indices_of(const Frame *f, kiln_tensor *element, const kiln_operand *start, kiln_plane_index how)
{
    Thread *t = f->t;
    kiln_site at = f->at;
    const Geometry *g = &f->g;
    kiln_operand tap = of(element), sum = {0};
    const int rank = g->space + 2;
    Dim stride = 1;
    for (int n = 0; n < g->space; n++) { /* the axis whose neighbours are neighbours in the index comes first */
        const int a = how == KILN_INDEX_COLUMNS ? n : g->space - 1 - n;
        int64_t behind = 1;
        for (int i = a + 1; i < g->space; i++) behind *= g->size[i];
        const Dim size = f->x->type.dim[g->first + a];
        kiln_operand i = behind > 1 ? OP2(floor_div, tap, kiln_of_i(behind)) : tap;
        if (a > 0) i = OP2(mod, i, kiln_of_i(g->size[a]));
        if (g->dilation[a] > 1) i = OP2(mul, i, kiln_of_i(g->dilation[a]));
        i = OP2(add, i, along(f, start[a], g->out[a], 1 + a, rank));
        kiln_tensor *inside = tensor_ok(i.as.tensor) ? index_clamped(t, at, i.as.tensor, size) : i.as.tensor;
        sum = of(index_sum(t, at, sum.as.tensor, inside, stride));
        stride = extent(t, at, EXTENT_MUL, stride, size);
    }
    return how == KILN_INDEX_PLANE ? sum.as.tensor : whole_index(f, sum, stride, rank).as.tensor;
}

/* The number of each window's largest element, of windows as frame_all gives them. */
static kiln_tensor *largest_of(const Frame *f, kiln_tensor *windows)
{
    kiln_axes axes = {.count = f->g.space};
    for (int i = 1; i <= f->g.space; i++) axes.axis[i] = f->g.space + i;
    return tensor_ok(windows) ? kiln_argmax_over_at(f->at, of(windows), axes, 0) : windows;
}

static kiln_tensor *with_indices(Frame *f, kiln_tensor *r, kiln_tensor *i, kiln_tensor **indices)
{
    const bool well = tensor_ok(r) && tensor_ok(i);
    composite_keep(f->t, *indices = well ? i : &f->t->k->poison);
    return frame_end(f, well ? r : &f->t->k->poison);
}

kiln_tensor *kiln_pool_indices_sized(
    kiln_site at, kiln_operand o, kiln_tensor **indices, kiln_plane_index how, const kiln_pooling *options, size_t size)
{
    const kiln_pooling w = pooling_of(options, size);
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = "pool_indices"}, .channels_first = w.channels_first};
    kiln_operand start[WINDOW_SPACE];
    Thread *t = f.t;
    if (indices) *indices = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    if (!indices) return fail(t, at, KILN_EVALUE, "pool_indices: there is no place for the indices; use kiln_pool");
    kiln_tensor *x = frame_operand(&f, o, false);
    if (!tensor_ok(x)) return x;
    if (!index_how_ok(t, at, f.g.op, how, KILN_INDEX_COLUMNS) || !frame_geometry(&f, &w, &x)) return &t->k->poison;
    frame_begin(&f);
    kiln_tensor *windows = frame_all(&f, frame_padded(&f, x, lowest_bits((DType)x->type.dtype)));
    kiln_tensor *element = largest_of(&f, windows);
    if (!tensor_ok(element)) return with_indices(&f, element, element, indices);
    for (int a = 0; a < f.g.space; a++) {
        start[a] = OP2(mul, numbers(&f, f.g.out[a]), kiln_of_i(f.g.stride[a]));
        start[a] = OP2(sub, start[a], size_of(&f, f.g.pad[a][0]));
    }
    kiln_tensor *i = indices_of(&f, element, start, how);
    return with_indices(&f, kiln_pool_sized(at, of(x), KILN_POOL_MAX, &w, sizeof w), frame_result(&f, i), indices);
}

/* ---- unpooling --------------------------------------------------------------------------------------- */

kiln_tensor *kiln_unpool_at(
    kiln_site at, kiln_operand o, kiln_operand indices, kiln_plane_index how, kiln_shape sizes, bool channels_first)
{
    kiln_operand both[2] = {o, indices};
    char a[160], b[160];
    Frame f = {.t = op_thread(both, 2), .at = at, .g = {.op = "unpool"}, .channels_first = channels_first};
    Thread *t = f.t;
    if (!t) return NULL;
    kiln_tensor *x = frame_operand(&f, o, false), *i = operand_index(t, at, f.g.op, indices);
    if (!tensor_ok(x) || !tensor_ok(i) || !index_how_ok(t, at, f.g.op, how, KILN_INDEX_WHOLE)) return &t->k->poison;
    const int rank = f.g.space + 2;
    if (i->type.rank != rank || memcmp(i->type.dim, x->type.dim, (size_t)rank * sizeof *i->type.dim) != 0)
        return fail(t, at, KILN_ESHAPE, "unpool: the indices must have x's shape: %s x %s", tensor_text(x, a, sizeof a),
            tensor_text(i, b, sizeof b));
    if (sizes.rank != f.g.space)
        return fail(t, at, KILN_ESHAPE, "unpool: %lld sizes given for %d axes of space: %s", (long long)sizes.rank, f.g.space,
            tensor_text(x, a, sizeof a));
    Dim plane = 1, places = 1;
    Type to = x->type;
    for (int n = 0; n < f.g.space; n++) {
        if (sizes.size[n + 1] < 0 || sizes.size[n + 1] > DIM_MAX)
            return fail(t, at, KILN_EVALUE, "unpool: a size is %lld (allowed: 0 to 2^48)", (long long)sizes.size[n + 1]);
        to.dim[f.g.first + n] = sizes.size[n + 1];
        plane = extent(t, at, EXTENT_MUL, plane, sizes.size[n + 1]);
        places = extent(t, at, EXTENT_MUL, places, x->type.dim[f.g.first + n]);
    }
    const Dim all = plane == DIM_BAD ? DIM_BAD : extent_product(t, at, to.dim, rank);
    if (all == DIM_BAD || places == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "unpool: the result is too large: %s", tensor_text(x, a, sizeof a));
    const Dim limit = how == KILN_INDEX_PLANE ? plane : all;
    if (!effect_indices(t, at, f.g.op, i, limit)) return &t->k->poison;
    frame_begin(&f);
    i = index_clamped(t, at, i, limit);
    if (how == KILN_INDEX_PLANE && tensor_ok(i)) {
        i = reshape_to(t, at, i, (Dim[]){f.outer, places, f.inner}, 3);
        i = whole_index(&f, of(i), plane, 3).as.tensor;
    }
    kiln_tensor *zeros = number_like(t, at, f.g.op, &to, kiln_of_i(0));
    if (tensor_ok(i)) i = reshape_to(t, at, i, x->type.dim, rank);
    return frame_end(&f, tensor_ok(zeros) ? result_of(t, at, scatter_flat(t, at, zeros, i, of(x), KILN_SCATTER_SET), x) : zeros);
}

/* ---- pooling to given sizes ------------------------------------------------------------------------------ */

/* How the windows of one axis lie: of `out` of them, each at most `size` long. */
typedef struct Split {
    Dim n, out, size;
    bool even; /* side by side, all of them `size` long */
} Split;

static int64_t split_start(const Split *s, int64_t i) { return (int64_t)((__int128)i * s->n / s->out); }
static int64_t split_end(const Split *s, int64_t i) { return (int64_t)(((__int128)(i + 1) * s->n + s->out - 1) / s->out); }

/* False: recorded. */
static bool split_axis(const Frame *f, int axis, int64_t to, Split *s)
{
    char text[160];
    const Dim n = f->x->type.dim[f->g.first + axis];
    *s = (Split){.n = n, .out = to == -1 ? n : to, .even = true};
    if (to < -1 || to > DIM_MAX)
        return fail(f->t, f->at, KILN_EVALUE, "%s: a size is %lld (allowed: 0 to 2^48, or -1 for x's own)", f->g.op, (long long)to),
               false;
    if (s->out != 0 && !effect_least(f->t, f->at, f->g.op, f->x, f->g.first + axis, 1)) return false;
    if (s->out == n || s->out == 0) return s->size = 1, true;
    if (s->out == 1) return s->size = n, true;
    if (!dim_is_const(n))
        return fail(f->t, f->at, KILN_EUNSUPPORTED, "%s: the size of axis %d must be known: %s", f->g.op, f->g.first + axis,
                   tensor_text(f->x, text, sizeof text)),
               false;
    s->even = n % s->out == 0;
    for (int64_t i = 0; i < s->out; i++) s->size = MAX_OF(s->size, split_end(s, i) - split_start(s, i));
    return true;
}

/* A table of i64 of each window and place in it, or of each window alone. Poison: recorded. */
typedef int64_t SplitValue(const Split *s, int64_t window, int64_t place);
static kiln_tensor *split_table(const Frame *f, const Split *s, bool places, SplitValue *value)
{
    const Type type = {.dtype = DT_i64, .rank = (uint8_t)(1 + places), .dim = {s->out, s->size}};
    kiln_tensor *r = tensor_empty(f->t, f->at, &type);
    if (!r) return &f->t->k->poison;
    int64_t *to = (int64_t *)r->data;
    for (int64_t i = 0; i < s->out; i++)
        for (int64_t j = 0; j < (places ? s->size : 1); j++) *to++ = value(s, i, j);
    return tensor_place(f->t, f->at, r);
}

/* Of a window that is shorter, the last element again. */
static int64_t element_at(const Split *s, int64_t i, int64_t j) { return MIN_OF(split_start(s, i) + j, split_end(s, i) - 1); }
static int64_t starts_at(const Split *s, int64_t i, int64_t j) { return (void)j, split_start(s, i); }
static int64_t length_of(const Split *s, int64_t i, int64_t j) { return (void)j, split_end(s, i) - split_start(s, i); }
static int64_t is_there(const Split *s, int64_t i, int64_t j) { return split_start(s, i) + j < split_end(s, i); }

/* [outer, n, inner] as [outer, windows, places, inner]. What is no place of its own is 0 with `zeros`. */
static kiln_tensor *split_windows(const Frame *f, kiln_tensor *x, const Split *s, Dim outer, Dim inner, bool zeros)
{
    Thread *t = f->t;
    kiln_site at = f->at;
    if (!tensor_ok(x)) return x;
    if (s->even && s->out != 0) return reshape_to(t, at, x, (Dim[]){outer, s->out, s->size, inner}, 4);
    x = reshape_to(t, at, x, (Dim[]){outer, s->n, inner}, 3);
    if (s->out == 0) {
        x = slice_axis(t, at, x, 1, 0, 0);
        return tensor_ok(x) ? reshape_to(t, at, x, (Dim[]){outer, 0, 1, inner}, 4) : x;
    }
    kiln_tensor *i = split_table(f, s, true, element_at);
    if (!tensor_ok(i) || !tensor_ok(x)) return &t->k->poison;
    x = apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = 1));
    if (!zeros) return x;
    kiln_tensor *there = split_table(f, s, true, is_there);
    if (!tensor_ok(there)) return there;
    there = reshape_to(t, at, cast_to(t, at, there, DT_bool), (Dim[]){1, s->out, s->size, 1}, 4);
    return kiln_where_at(at, of(there), of(x), kiln_of_i(0));
}

/* The Frame's operand and splits, whose sizes g.out and g.size then are. False: recorded. */
static bool splits(Frame *f, const kiln_shape *sizes, Split *s)
{
    char text[160];
    if (sizes->rank != f->g.space)
        return fail(f->t, f->at, KILN_ESHAPE, "%s: %lld sizes given for %d axes of space: %s", f->g.op, (long long)sizes->rank,
                   f->g.space, tensor_text(f->x, text, sizeof text)),
               false;
    for (int i = 0; i < f->g.space; i++) {
        if (!split_axis(f, i, sizes->size[i + 1], &s[i])) return false;
        f->g.out[i] = s[i].out, f->g.size[i] = s[i].size, f->g.dilation[i] = 1;
    }
    return true;
}

/* The product of the windows' lengths, shaped to divide results. */
static kiln_operand lengths(const Frame *f, const Split *s, DType d)
{
    kiln_site at = f->at;
    kiln_operand r = {0};
    for (int i = 0; i < f->g.space; i++) {
        kiln_operand n = s[i].even ? of(dim_tensor(f->t, at, s[i].size, d)) : of(split_table(f, &s[i], false, length_of));
        if (!s[i].even && tensor_ok(n.as.tensor))
            n = along(f, of(cast_to(f->t, at, n.as.tensor, d)), s[i].out, f->g.first + i, f->g.space + 2);
        r = i == 0 ? n : OP2(mul, r, n);
    }
    return r;
}

static kiln_tensor *split_folded(const Frame *f, kiln_tensor *x, const Split *s, Op op)
{
    static const int64_t places = 2;
    Thread *t = f->t;
    Dim outer = f->outer;
    for (int i = 0; i < f->g.space && tensor_ok(x); i++) {
        Dim inner = f->inner;
        for (int j = i + 1; j < f->g.space; j++) inner = extent(t, f->at, EXTENT_MUL, inner, s[j].n);
        if (s[i].out != s[i].n) {
            x = split_windows(f, x, &s[i], outer, inner, op == OP_sum);
            if (tensor_ok(x)) x = apply1(t, f->at, op, x, &places, 1);
        }
        outer = extent(t, f->at, EXTENT_MUL, outer, s[i].out);
    }
    return frame_result(f, x);
}

kiln_tensor *kiln_pool_adaptive_at(
    kiln_site at, kiln_operand o, kiln_pool_kind kind, kiln_shape sizes, double p, bool channels_first)
{
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = "pool_adaptive"}, .channels_first = channels_first};
    Thread *t = f.t;
    Split s[WINDOW_SPACE];
    if (!t) return NULL;
    kiln_tensor *x = frame_operand(&f, o, kind != KILN_POOL_MAX), *r;
    if (!tensor_ok(x)) return x;
    if (!pool_kind_ok(t, at, f.g.op, kind, p) || !splits(&f, &sizes, s)) return &t->k->poison;
    const DType own = (DType)x->type.dtype, wide = wide_dtype(x);
    frame_begin(&f);
    if (kind == KILN_POOL_MAX) {
        r = split_folded(&f, x, s, OP_reduce_max);
    } else if (kind == KILN_POOL_AVERAGE) {
        r = split_folded(&f, cast_to(t, at, x, wide), s, OP_sum);
        r = cast_to(t, at, kiln_div_at(at, of(r), lengths(&f, s, wide)), own);
    } else {
        p = p != 0 ? p : 2;
        r = split_folded(&f, pool_powers(at, cast_to(t, at, x, wide), p), s, OP_sum);
        r = cast_to(t, at, pool_root(at, r, p), own);
    }
    return frame_end(&f, result_of(t, at, r, x));
}

kiln_tensor *kiln_pool_adaptive_indices_at(
    kiln_site at, kiln_operand o, kiln_tensor **indices, kiln_plane_index how, kiln_shape sizes, bool channels_first)
{
    static const int order[3][MAX_RANK] = {{0, 1, 2, 3}, {0, 1, 3, 2, 4, 5}, {0, 1, 3, 5, 2, 4, 6, 7}};
    Frame f = {.t = op_thread(&o, 1), .at = at, .g = {.op = "pool_adaptive_indices"}, .channels_first = channels_first};
    Thread *t = f.t;
    Split s[WINDOW_SPACE];
    kiln_operand start[WINDOW_SPACE];
    if (indices) *indices = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    if (!indices) return fail(t, at, KILN_EVALUE, "%s: there is no place for the indices; use kiln_pool_adaptive", f.g.op);
    kiln_tensor *x = frame_operand(&f, o, false);
    if (!tensor_ok(x)) return x;
    if (!index_how_ok(t, at, f.g.op, how, KILN_INDEX_COLUMNS) || !splits(&f, &sizes, s)) return &t->k->poison;
    char text[160];
    for (int i = 0; i < f.g.space; i++)
        if (!dim_is_const(s[i].n))
            return fail(t, at, KILN_EUNSUPPORTED, "%s: the size of axis %d must be known: %s", f.g.op, f.g.first + i,
                tensor_text(x, text, sizeof text));
    frame_begin(&f);
    kiln_tensor *windows = x;
    Dim outer = f.outer, dim[MAX_RANK] = {f.outer};
    for (int i = 0; i < f.g.space; i++) {
        Dim inner = f.inner;
        for (int j = i + 1; j < f.g.space; j++) inner = extent(t, at, EXTENT_MUL, inner, s[j].n);
        windows = split_windows(&f, windows, &s[i], outer, inner, false);
        outer = extent(t, at, EXTENT_MUL, outer, extent(t, at, EXTENT_MUL, s[i].out, s[i].size));
        dim[1 + 2 * i] = s[i].out, dim[2 + 2 * i] = s[i].size;
        start[i] = of(split_table(&f, &s[i], false, starts_at));
    }
    dim[1 + 2 * f.g.space] = f.inner;
    if (tensor_ok(windows)) windows = reshape_to(t, at, windows, dim, 2 + 2 * f.g.space);
    if (tensor_ok(windows)) windows = transpose_to(t, at, windows, order[f.g.space - 1]);
    kiln_tensor *element = largest_of(&f, windows);
    kiln_tensor *i = tensor_ok(element) ? frame_result(&f, indices_of(&f, element, start, how)) : element;
    return with_indices(&f, split_folded(&f, x, s, OP_reduce_max), i, indices);
}
