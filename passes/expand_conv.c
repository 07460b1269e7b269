/* expand_conv: convolutions as moves and products, for targets that have no kernel for them. Each result is the sum of the same
 * products in the same order: a row of windows, whose elements lie as the taps and channels do, times the filters. Relies on
 * decompose.h, ir/emit.h. Never decides whether to expand. */
#include "../ir/emit.h"
#include "decompose.h"

#define SPACE 3          /* axes of space that everything here has; those that an image lacks have one element and one tap */
#define MOST_PHASES 4096 /* products that one convolution may become */

typedef struct Conv {
    Emit *e;
    DimTable *dims;
    int64_t groups, stride[SPACE], dilation[SPACE], low[SPACE], spread[SPACE];
    Dim out[SPACE];
} Conv;

static const Type *type_of(Emit *e, Value v) { return e->type(e, v); }

static Value shaped(const Conv *c, Value v, uint32_t rank, const Dim *dim)
{
    Type t = {.rank = (uint8_t)rank};
    memcpy(t.dim, dim, rank * sizeof *dim);
    for (uint32_t i = 0; i < rank; i++)
        if (dim[i] == DIM_BAD) {
            char why[64];
            status_fail(((RebuildEmit *)c->e)->rb->st, ST_UNSUPPORTED, "conv: the number of windows or taps %s",
                dim_trouble(c->dims, why, sizeof why));
            return 0;
        }
    return emit_reshape(c->e, v, &t);
}
#define SHAPED(c, v, ...) shaped(c, v, sizeof((Dim[]){__VA_ARGS__}) / sizeof(Dim), (Dim[]){__VA_ARGS__})

static Value turned(const Conv *c, Value v, const int64_t *from, uint32_t rank)
{
    return v == 0 ? 0 : emit_transpose(c->e, v, from, rank);
}

static Dim times(const Conv *c, Dim a, Dim b) { return dim_mul(c->dims, a, b); }

/* How many elements v lacks at the end of the axis so that `end` are there; where nobody can tell, surely enough. */
static Dim missing(const Conv *c, Dim whole, Dim end)
{
    if (dim_is_const(whole) && dim_is_const(end)) return MAX_OF(end - whole, 0);
    const Dim more = dim_sub(c->dims, end, whole), less = dim_sub(c->dims, whole, end);
    if (less != DIM_BAD && dim_lo(c->dims, less) >= 0) return 0;
    return more != DIM_BAD && dim_is_const(more) ? more : end;
}

/* The first `size` elements along the axis, followed by zeros if there are not as many. */
static Value cut(const Conv *c, Value v, uint32_t axis, Dim size)
{
    if (v == 0) return 0;
    const Dim more = missing(c, type_of(c->e, v)->dim[axis], size);
    return emit_slice(c->e, emit_pad(c->e, v, axis, 0, more, 0), axis, 0, size);
}

/* ---- windows ------------------------------------------------------------------------------------- */

/* Of x, along each axis, the positions that some tap of some place meets. */
static Value met(const Conv *c, Value x, const Dim *places, const int64_t *taps)
{
    const Type t = *type_of(c->e, x);
    struct pad_attrs *p = ATTRS_ROOM(pad, 2 * MAX_RANK);
    struct slice_attrs *s = slice_all(&t, ATTRS_ROOM(slice, 3 * MAX_RANK));
    for (uint32_t j = 0, i = 1; j < SPACE; j++, i++) {
        const Dim size =
            dim_add(c->dims, times(c, dim_sub(c->dims, places[j], 1), c->stride[j]), (taps[j] - 1) * c->dilation[j] + 1);
        p->axis[i].low = MAX_OF(c->low[j], 0);
        s->axis[i].first = MAX_OF(-c->low[j], 0);
        s->axis[i].size = size;
        p->axis[i].high = missing(c, dim_add(c->dims, t.dim[i], p->axis[i].low), dim_add(c->dims, size, s->axis[i].first));
    }
    x = emit_attr(c->e, OP_pad, x, ATTRS_TO(p, p->axis + t.rank));
    return emit_attr(c->e, OP_slice, x, ATTRS_TO(s, s->axis + t.rank));
}

/* The windows of an image along two axes, of numbers first and second. */
static Value windows(const Conv *c, Value image, const int64_t *taps, const int64_t *stride, const int64_t *dilation)
{
    if (taps[0] == 1 && taps[1] == 1 && stride[0] == 1 && stride[1] == 1) return image;
    return emit_attr(c->e, OP_window, image,
        ATTRS_OF(window, .size = {taps[0], taps[1]}, .stride = {stride[0], stride[1]}, .dilation = {dilation[0], dilation[1]}));
}

/* A row for each place of each image: [n * places, taps, channels]. */
static Value rows(const Conv *c, Value x, const Dim *p, const int64_t *taps)
{
    const Type t = *type_of(c->e, x);
    const Dim n = t.dim[0], channels = t.dim[4], plane = times(c, p[1], p[2]), inner = times(c, taps[1] * taps[2], channels);
    x = met(c, x, p, taps);
    if (x == 0) return 0;
    const Dim *d = type_of(c->e, x)->dim;
    const Dim depth = d[1];
    x = windows(c, SHAPED(c, x, times(c, n, depth), d[2], d[3], channels), taps + 1, c->stride + 1, c->dilation + 1);
    if (taps[0] != 1 || c->stride[0] != 1) {
        x = SHAPED(c, x, n, depth, 1, times(c, plane, inner));
        x = windows(c, x, (int64_t[]){taps[0], 1}, (int64_t[]){c->stride[0], 1}, (int64_t[]){c->dilation[0], 1});
        x = SHAPED(c, x, times(c, n, p[0]), taps[0], plane, inner);
        x = turned(c, x, (int64_t[]){0, 2, 1, 3}, 4);
    }
    return SHAPED(c, x, times(c, times(c, n, p[0]), plane), taps[0] * taps[1] * taps[2], channels);
}

/* ---- products ------------------------------------------------------------------------------------ */

/* [rows, taps, groups * c] as the matrix, or one for each group, [groups, rows, taps * c]. */
static Value matrices(const Conv *c, Value v)
{
    if (v == 0) return 0;
    const Type t = *type_of(c->e, v);
    if (c->groups == 1) return SHAPED(c, v, t.dim[0], t.dim[1] * t.dim[2]);
    const Dim each = t.dim[2] / c->groups;
    v = turned(c, SHAPED(c, v, t.dim[0], t.dim[1], c->groups, each), (int64_t[]){2, 0, 1, 3}, 4);
    return SHAPED(c, v, c->groups, t.dim[0], t.dim[1] * each);
}

/* [groups, m, o], or if there is one group [m, o], as [m, groups * o]. */
static Value joined(const Conv *c, Value v)
{
    if (v == 0 || c->groups == 1) return v;
    const Type t = *type_of(c->e, v);
    return SHAPED(c, turned(c, v, (int64_t[]){1, 0, 2}, 3), t.dim[1], t.dim[2] * c->groups);
}

/* Spread is 1 along all axes. x [n, in, channels], w [taps, c, results]; the result is [n, out, results]. */
static Value plain(const Conv *c, Value x, Value w)
{
    if (x == 0 || w == 0) return 0;
    const Type xt = *type_of(c->e, x), t = *type_of(c->e, w);
    Dim p[SPACE];
    for (uint32_t j = 0; j < SPACE; j++) p[j] = dim_lo(c->dims, c->out[j]) > 0 ? c->out[j] : dim_add(c->dims, c->out[j], 1);
    const Dim k = times(c, times(c, times(c, t.dim[0], t.dim[1]), t.dim[2]), t.dim[3]);
    Value a = matrices(c, rows(c, x, p, t.dim)), b = matrices(c, SHAPED(c, w, k, 1, t.dim[4]));
    Value y = joined(c, emit2(c->e, OP_matmul, a, b));
    y = SHAPED(c, y, xt.dim[0], p[0], p[1], p[2], t.dim[4]);
    for (uint32_t j = 0; j < SPACE; j++) y = cut(c, y, 1 + j, c->out[j]);
    return y;
}

/* ---- spread -------------------------------------------------------------------------------------- */

static int64_t common(int64_t a, int64_t b) { return b == 0 ? a : common(b, a % b); }

/* How many of the places' remainders by spread have taps at all. */
static int64_t phase_count(const Conv *c, uint32_t j, const Type *w)
{
    return MIN_OF(w->dim[j], c->spread[j] / common(c->spread[j], c->dilation[j]));
}

static Value phases(const Conv *c, uint32_t j, Value x, Value w);

/* The places whose remainder is that which tap `first` and every step-th tap after it meet: a convolution that meets no gap. */
static Value phase(const Conv *c, uint32_t j, Value x, Value w, int64_t first, int64_t remainder)
{
    const Type t = *type_of(c->e, w);
    const int64_t divisor = common(c->spread[j], c->dilation[j]), step = c->spread[j] / divisor;
    struct slice_attrs *s = slice_all(&t, ATTRS_ROOM(slice, 3 * MAX_RANK));
    Conv one = *c;
    s->axis[j].first = first;
    s->axis[j].size = (t.dim[j] - 1 - first) / step + 1;
    s->axis[j].step = s->axis[j].size > 1 ? step : 1;
    one.spread[j] = 1;
    one.dilation[j] = c->dilation[j] / divisor;
    one.low[j] = (c->low[j] - remainder - first * c->dilation[j]) / c->spread[j];
    one.out[j] = dim_floordiv(c->dims, dim_add(c->dims, c->out[j], c->spread[j] - 1), c->spread[j]);
    Value y = phases(&one, j + 1, x, emit_attr(c->e, OP_slice, w, ATTRS_TO(s, s->axis + t.rank)));
    if (y == 0) return 0;
    Type apart = *type_of(c->e, y);
    memmove(apart.dim + j + 3, apart.dim + j + 2, (apart.rank - j - 2) * sizeof *apart.dim);
    apart.dim[j + 2] = 1;
    apart.rank++;
    return emit_reshape(c->e, y, &apart);
}

/* Parts lie along an axis behind that of the places; remainders without taps are zeros, and those beyond the places left out. */
static Value interleaved(const Conv *c, uint32_t j, Value x, Value w)
{
    Rebuild *rb = ((RebuildEmit *)c->e)->rb;
    const int64_t spread = c->spread[j], count = phase_count(c, j, type_of(c->e, w));
    const int64_t end = MIN_OF(spread, MAX_OF(dim_hi(c->dims, c->out[j]), 1));
    Value *part = ARENA_ARRAY(rb->scratch, Value, 2 * count + 1);
    uint32_t n = 0;
    int64_t next = 0;
    while (next < end) {
        int64_t first = -1, best = end;
        for (int64_t t = 0; t < count; t++) {
            const int64_t r = ((c->low[j] - t * c->dilation[j]) % spread + spread) % spread;
            if (r >= next && r < best) best = r, first = t;
        }
        if (best > next) {
            /* the zeros' shape is that of a part, but for how many there are */
            Type like = {.dtype = type_of(c->e, x)->dtype, .rank = SPACE + 3, .dim = {type_of(c->e, x)->dim[0]}};
            for (uint32_t i = 0, k = 1; i < SPACE; i++) {
                like.dim[k++] = i == j ? dim_floordiv(c->dims, dim_add(c->dims, c->out[i], spread - 1), spread) : c->out[i];
                if (i == j) like.dim[k++] = best - next;
            }
            like.dim[SPACE + 2] = type_of(c->e, w)->dim[SPACE + 1];
            part[n++] = emit_constant(c->e, 0, &like);
        }
        if (first >= 0) part[n++] = phase(c, j, x, w, first, best);
        if (part[n - 1] == 0) return 0;
        next = best + 1;
    }
    return concat_in_rounds(rb, part, n, j + 2, c->e->loc);
}

/* The convolution along the axes from j on, in as many parts as spread asks for. */
static Value phases(const Conv *c, uint32_t j, Value x, Value w)
{
    while (j < SPACE && c->spread[j] == 1) j++;
    if (j == SPACE) return plain(c, x, w);
    if (x == 0 || w == 0) return 0;
    Value y = interleaved(c, j, x, w);
    if (y == 0) return 0;
    Type t = *type_of(c->e, y);
    t.dim[j + 1] = times(c, t.dim[j + 1], t.dim[j + 2]);
    memmove(t.dim + j + 2, t.dim + j + 3, (t.rank - j - 3) * sizeof *t.dim);
    t.rank--;
    return cut(c, emit_reshape(c->e, y, &t), 1 + j, c->out[j]);
}

/* ---- the two ops --------------------------------------------------------------------------------- */

/* v with the axes of space that it lacks, in front of those it has, which begin at axis `at`. */
static Value all_axes(const Conv *c, Value v, uint32_t at)
{
    Type t = *type_of(c->e, v);
    const uint32_t more = SPACE + 2u - t.rank;
    memmove(t.dim + at + more, t.dim + at, (t.rank - at) * sizeof *t.dim);
    for (uint32_t i = 0; i < more; i++) t.dim[at + i] = 1;
    t.rank = SPACE + 2;
    return emit_reshape(c->e, v, &t);
}

static Value filters(const Conv *c, Value x, Value y, const Type *w)
{
    const Type t = *type_of(c->e, y);
    int64_t taps[SPACE] = {1, 1, 1};
    const uint32_t space = w->rank - 2u;
    memcpy(taps + SPACE - space, w->dim, space * sizeof *taps);
    Value a = matrices(c, rows(c, x, t.dim + 1, taps));
    const Dim n = times(c, times(c, times(c, t.dim[0], t.dim[1]), t.dim[2]), t.dim[3]);
    return joined(c, emit2(c->e, OP_matmul, emit_swap_last(c->e, a), matrices(c, SHAPED(c, y, n, 1, t.dim[4]))));
}

static bool is_empty(const Type *t)
{
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] == 0) return true;
    return false;
}

/* What moves are refused for is the convolution's: nobody wrote them. */
static Value named(Rebuild *rb, Value v)
{
    if (v != 0 || (rb->st->code != ST_VALUE && rb->st->code != ST_SHAPE)) return v;
    status_clear(rb->st);
    status_fail(rb->st, ST_UNSUPPORTED, "conv: without the host's kernels, its windows would reach beyond 2^48");
    return 0;
}

Value expand_conv(Rebuild *rb, const Node *n)
{
    RebuildEmit re;
    rebuild_emit_init(&re, rb, n->loc);
    const struct conv_attrs *a = ATTRS(conv, n->attr->at); /* conv_filter's begin in the same way, without spread */
    const bool makes_filters = n->op == OP_conv_filter;
    Conv c = {.e = &re.e, .dims = &rb->to->module->dims, .groups = a->groups, .out = {1, 1, 1}, .spread = {1, 1, 1}};
    const Type to = *graph_type(rb->from, n->out), y = *graph_type(rb->from, makes_filters ? n->in[1] : n->out);
    const uint32_t space = to.rank - 2u;
    memcpy(c.stride, a->stride, sizeof c.stride);
    memcpy(c.dilation, a->dilation, sizeof c.dilation);
    memcpy(c.low, a->low, sizeof c.low);
    memcpy(c.out + SPACE - space, y.dim + 1, space * sizeof *c.out);
    if (!makes_filters) memcpy(c.spread, a->spread, sizeof c.spread);
    /* sums of nothing: the taps of filters without channels may be as many as they like */
    if (is_empty(&to) || is_empty(graph_type(rb->from, n->in[1]))) return emit_constant(c.e, 0, &to);
    Value x = all_axes(&c, rb->map[n->in[0]], 1), with = all_axes(&c, rb->map[n->in[1]], makes_filters);
    if (x == 0 || with == 0) return 0;
    int64_t count = 1;
    for (uint32_t j = 0; j < SPACE && !makes_filters && count <= MOST_PHASES; j++) count *= phase_count(&c, j, type_of(c.e, with));
    if (count > MOST_PHASES)
        return status_fail(rb->st, ST_UNSUPPORTED, "conv: without the host's kernels, its spread would take more than %d products",
                   MOST_PHASES),
               0;
    return named(rb, emit_reshape(c.e, makes_filters ? filters(&c, x, with, &to) : phases(&c, 0, x, with), &to));
}
