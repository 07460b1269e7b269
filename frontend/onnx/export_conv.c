/* export_conv: convolutions, transposed ones and those that give filters as nodes of ONNX, whose channels come first. Relies on
 * export.h. Values' axes of space lie behind the first one in the graph, and behind the channels in the model. */
#include "export.h"

/* A convolution by filters of `taps`, over axes of space that are numbered from 0 here. */
typedef struct Space {
    uint32_t n;
    const int64_t *stride, *dilation, *low;
    Dim in[3], taps[3], out[3];
    int64_t groups;
} Space;

/* ---- layouts -------------------------------------------------------------------------------------------------------------- */

/* [n, space..., c] as [n, c, space...], or back. */
static Named channels_moved(Export *x, Named v, uint32_t space, bool first)
{
    int64_t from[MAX_RANK] = {0};
    for (uint32_t i = 0; i <= space; i++) from[1 + i] = first ? (i == 0 ? space + 1 : i) : (i == space ? 1 : i + 2);
    return export_transpose(x, v, from, space + 2);
}

/* [taps..., a, b] as [b, a, taps...] */
static Named filters_first(Export *x, Named v, uint32_t space)
{
    int64_t from[MAX_RANK] = {space + 1, space};
    for (uint32_t i = 0; i < space; i++) from[2 + i] = i;
    return export_transpose(x, v, from, space + 2);
}

/* ---- sizes ------------------------------------------------------------------------------------------------------------------ */

/* Sizes are never below 0, so what is subtracted stands on the other side until the end. */
static Dim sum(DimTable *dims, Dim a, Dim b, int64_t c) { return dim_add(dims, dim_add(dims, a, b), MAX_OF(c, 0)); }
static Dim excess(DimTable *dims, Dim a, Dim b) { return dim_sub(dims, dim_max(dims, a, b), b); }

/* a - b, where that is a number whatever the symbols are. */
static bool difference(DimTable *dims, Dim a, Dim b, int64_t *n)
{
    enum { APART = 1 << 30 };
    const Dim d = dim_sub(dims, dim_add(dims, a, APART), b);
    *n = d - APART;
    return dim_is_const(d);
}

static Named cut(Export *x, Named v, const Dim *first, const Dim *end, uint32_t space)
{
    int64_t axis[3];
    for (uint32_t i = 0; i < space; i++) axis[i] = 2 + i;
    return NODE(x, "Slice", v, export_sizes(x, first, space), export_sizes(x, end, space), export_numbers(x, axis, space));
}

static Named with_zeros(Export *x, Named v, DType t, const Dim *before, const Dim *behind, uint32_t space)
{
    Dim pads[2 * (3 + 2)] = {0};
    for (uint32_t i = 0; i < space; i++) pads[2 + i] = before[i], pads[space + 4 + i] = behind[i];
    return NODE(x, "Pad", v, export_sizes(x, pads, 2 * (space + 2)), export_scalar(x, t, (Scalar){.f = 0}));
}

static bool any(const Dim *d, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (d[i] != 0) return true;
    return false;
}

/* v, whose axes of space have `have` elements, with as many as `want` says: cut off, or with zeros behind. */
static Named fitted(Export *x, Named v, DType t, const Dim *have, const Dim *want, uint32_t space)
{
    DimTable *dims = &x->at->g->module->dims;
    Dim none[3] = {0}, more[3];
    bool fits = true;
    for (uint32_t i = 0; i < space; i++) {
        more[i] = excess(dims, want[i], have[i]);
        fits = fits && want[i] == have[i];
    }
    if (fits) return v;
    if (any(more, space)) v = with_zeros(x, v, t, none, more, space);
    return cut(x, v, none, want, space);
}

/* The result's size with so many elements behind the axis. */
static Dim reached(DimTable *dims, const Space *s, uint32_t i, Dim more)
{
    const Dim from = sum(dims, s->in[i], more, s->stride[i] + s->dilation[i] + MAX_OF(s->low[i], 0));
    const Dim taken = sum(dims, dim_mul(dims, s->taps[i], s->dilation[i]), 1, -s->low[i]);
    return dim_floordiv(dims, dim_sub(dims, from, taken), s->stride[i]);
}

/* How many elements lie behind an axis so that the last place of the result has all its taps: those that are missing, or, of an
 * open size, a number that gives the same result if there is one. */
static Dim behind(DimTable *dims, const Space *s, uint32_t i)
{
    enum { TRIED = 4096 };
    const Dim reach = dim_mul(dims, s->taps[i], s->dilation[i]);
    const Dim needed = sum(dims, dim_add(dims, dim_mul(dims, s->out[i], s->stride[i]), reach), 1, -s->low[i]);
    const Dim have = sum(dims, s->in[i], s->stride[i] + s->dilation[i], s->low[i]);
    int64_t number;
    if (difference(dims, needed, have, &number)) return MAX_OF(number, 0);
    for (int64_t more = 0; dim_is_const(reach) && more <= MIN_OF(reach + s->stride[i], TRIED); more++)
        if (reached(dims, s, i, more) == s->out[i]) return more;
    return excess(dims, needed, have);
}

/* ---- the node ------------------------------------------------------------------------------------------------------------- */

static Named node(Export *x, const char *op, Named v, Named w, const Space *s, const int64_t *pads, const int64_t *more)
{
    const Given attr[] = {{.name = "strides", .ints = s->stride, .n = s->n}, {.name = "dilations", .ints = s->dilation, .n = s->n},
        {.name = "pads", .ints = pads, .n = 2 * s->n}, {.name = "group", .i = s->groups},
        {.name = "output_padding", .ints = more, .n = s->n}};
    return export_node(x, op, OPERANDS(v, w), attr, more && any(more, s->n) ? 5 : 4);
}

/* v [n, c, in...], w [o, c / groups, taps...] -> [n, o, out...] */
static Named plain(Export *x, Named v, Named w, DType t, const Space *s)
{
    DimTable *dims = &x->at->g->module->dims;
    int64_t pads[6] = {0};
    Dim before[3] = {0}, after[3] = {0}, first[3] = {0}, end[3], have[3];
    for (uint32_t i = 0; i < s->n; i++) {
        const Dim more = behind(dims, s, i);
        pads[i] = MAX_OF(s->low[i], 0);
        first[i] = MAX_OF(-s->low[i], 0);
        end[i] = s->in[i];
        if (dim_is_const(more))
            pads[s->n + i] = more;
        else
            after[i] = more;
        have[i] = reached(dims, s, i, more);
    }
    if (any(first, s->n)) v = cut(x, v, first, end, s->n);
    if (any(after, s->n)) v = with_zeros(x, v, t, before, after, s->n);
    const Named y = node(x, "Conv", v, w, s, pads, NULL);
    for (uint32_t i = 0; i < s->n; i++)
        if (have[i] != s->out[i]) return cut(x, y, before, s->out, s->n);
    return y;
}

/* v [n, c, in...], w [c, o / groups, taps...] -> [n, o, out...]. s: of the convolution whose elements lie `stride` apart. The
 * node's filters run the other way, so what it leaves out in front is what low leaves of the taps. */
static Named transposed(Export *x, Named v, Named w, DType t, const Space *s)
{
    DimTable *dims = &x->at->g->module->dims;
    int64_t pads[6] = {0}, more[3] = {0};
    Dim before[3] = {0}, none[3] = {0}, have[3];
    for (uint32_t i = 0; i < s->n; i++) {
        const int64_t reach = (s->taps[i] - 1) * s->dilation[i], lead = reach - s->low[i];
        const Dim whole = sum(dims, dim_mul(dims, s->in[i], s->stride[i]), reach + 1, -lead); /* and a stride */
        int64_t trail;
        pads[i] = MAX_OF(lead, 0), before[i] = MAX_OF(-lead, 0);
        if (difference(dims, whole, sum(dims, s->out[i], s->stride[i], lead), &trail)) {
            pads[s->n + i] = MAX_OF(trail, 0);
            if (trail < 0 && -trail < s->stride[i]) more[i] = -trail;
        }
        have[i] = dim_sub(dims, dim_add(dims, whole, more[i]), s->stride[i] + pads[i] + pads[s->n + i]);
    }
    Named y = node(x, "ConvTranspose", v, w, s, pads, more);
    if (any(before, s->n)) y = with_zeros(x, y, t, before, none, s->n);
    return fitted(x, y, t, have, s->out, s->n);
}

/* ---- filters of transposed convolutions ---------------------------------------------------------------------------------------
 */

/* Filters that the graph made of others, turned as a convolution's gradient needs them (op_conv.c): those others; 0: it did not. */
static Value unturned(const Export *x, Value w, uint32_t space, int64_t groups)
{
    static const Op chain[] = {OP_reshape, OP_transpose, OP_reshape, OP_flip};
    const Node *n[4];
    for (uint32_t i = 0; i < 4; i++, w = n[i - 1]->in[0]) {
        n[i] = graph_maker(x->at->g, w);
        if (n[i]->op != chain[i]) return 0;
    }
    const int64_t *from = n[1]->attr->at, *axis = n[3]->attr->at;
    const Type *t = type_of(x, w), *split = type_of(x, n[2]->out);
    bool is = n[3]->attr->len == space && split->rank == space + 3 && split->dim[space + 1] == groups && t->rank == space + 2 &&
              split->dim[space] == t->dim[space];
    for (uint32_t i = 0; is && i < space; i++) is = from[i] == i && axis[i] == i && split->dim[i] == t->dim[i];
    return is && from[space] == space + 2 && from[space + 1] == space + 1 && from[space + 2] == space ? w : 0;
}

/* [taps..., c, groups * o] as [groups * c, o, taps...], the taps backwards */
static Named turned(Export *x, Value v, uint32_t space, int64_t groups)
{
    const Type *t = type_of(x, v);
    int64_t from[MAX_RANK] = {space + 1, space, space + 2}, back[3], end[3], axis[3];
    Dim split[MAX_RANK], to[MAX_RANK];
    memcpy(split, t->dim, space * sizeof *split);
    split[space] = t->dim[space], split[space + 1] = groups, split[space + 2] = t->dim[space + 1] / groups;
    to[0] = t->dim[space] * groups, to[1] = split[space + 2];
    for (uint32_t i = 0; i < space; i++) {
        from[3 + i] = i, to[2 + i] = t->dim[i];
        back[i] = -1, end[i] = INT64_MIN + 1, axis[i] = 2 + i;
    }
    Named y = export_transpose(x, export_reshape(x, export_value(x, v), split, space + 3), from, space + 3);
    y = export_reshape(x, y, to, space + 2);
    return NODE(x, "Slice", y, export_numbers(x, back, space), export_numbers(x, end, space), export_numbers(x, axis, space),
        export_numbers(x, back, space));
}

/* ---- from the graph -------------------------------------------------------------------------------------------------------------
 */

/* Whether some place sees an element, as ONNX wants it of each axis. */
static bool of_nothing(Export *x, const Space *s, bool transposed, const char *op)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const Dim in = s->in[i], taps = s->taps[i];
        const bool known = dim_is_const(in) && dim_is_const(taps) && dim_is_const(s->out[i]);
        const int64_t whole = known ? (in - 1) * s->stride[i] + 1 : 0;
        const int64_t before =
            transposed && known ? s->low[i] - (taps - 1) * s->dilation[i] : 0; /* places before the first that does */
        if (known && (in == 0 || taps == 0 || (transposed && before >= s->out[i]) ||
                         (transposed ? whole + s->low[i] <= 0 : in + s->low[i] <= 0)))
            return export_wrong(x, op, "of images of which no place sees an element"), true;
    }
    return false;
}

Named export_conv(Export *x, const Node *n)
{
    const struct conv_attrs *a = ATTRS(conv, n->attr->at);
    const Type *t = type_of(x, n->in[0]), *w = type_of(x, n->in[1]);
    const uint32_t space = t->rank - 2u, off = 3 - space; /* axes that are not there come first */
    const bool spreads = a->spread[0] > 1 || a->spread[1] > 1 || a->spread[2] > 1;
    Space s = {space, (spreads ? a->spread : a->stride) + off, a->dilation + off, a->low + off, .groups = a->groups};
    memcpy(s.in, t->dim + 1, space * sizeof *s.in);
    memcpy(s.taps, w->dim, space * sizeof *s.taps);
    memcpy(s.out, a->out, space * sizeof *s.out);
    if (of_nothing(x, &s, spreads, "conv")) return NULL;
    const Named v = channels_moved(x, export_value(x, n->in[0]), space, true);
    if (!spreads)
        return channels_moved(
            x, plain(x, v, filters_first(x, export_value(x, n->in[1]), space), (DType)t->dtype, &s), space, false);
    const Value before = unturned(x, n->in[1], space, a->groups);
    const Named f = before ? filters_first(x, export_value(x, before), space) : turned(x, n->in[1], space, a->groups);
    return channels_moved(x, transposed(x, v, f, (DType)t->dtype, &s), space, false);
}

/* Channels are its images and images its channels; what was a stride between places is one between taps, and the other way round.
 * x [n, in..., groups * c], y [n, out..., groups * o] -> [taps..., c, groups * o] */
Named export_conv_filter(Export *x, const Node *n)
{
    const struct conv_filter_attrs *a = ATTRS(conv_filter, n->attr->at);
    const Type *t = type_of(x, n->in[0]), *g = type_of(x, n->in[1]);
    const uint32_t space = t->rank - 2u, off = 3 - space;
    Space s = {space, a->dilation + off, a->stride + off, a->low + off, .groups = a->groups};
    Dim split[MAX_RANK], merged[MAX_RANK];
    int64_t from[MAX_RANK] = {space + 2, space + 1, 0}, filters[MAX_RANK] = {space + 1, 0}, last[MAX_RANK];
    memcpy(s.in, t->dim + 1, space * sizeof *s.in);
    memcpy(s.taps, g->dim + 1, space * sizeof *s.taps);
    memcpy(s.out, a->taps, space * sizeof *s.out);
    if (of_nothing(x, &s, false, "conv_filter")) return NULL;
    memcpy(split, t->dim, (space + 1) * sizeof *split);
    split[space + 1] = a->groups, split[space + 2] = t->dim[space + 1] / a->groups;
    merged[0] = split[space + 2], merged[1] = dim_mul(&x->at->g->module->dims, t->dim[0], a->groups);
    for (uint32_t i = 0; i < space; i++) {
        merged[2 + i] = t->dim[1 + i];
        from[3 + i] = filters[2 + i] = 1 + i;
        last[i] = 2 + i;
    }
    last[space] = 0, last[space + 1] = 1;
    Named v = export_transpose(x, export_reshape(x, export_value(x, n->in[0]), split, space + 3), from, space + 3);
    v = export_reshape(x, v, merged, space + 2);
    const Named w = export_transpose(x, export_value(x, n->in[1]), filters, space + 2);
    return export_transpose(x, plain(x, v, w, (DType)t->dtype, &s), last, space + 2);
}
