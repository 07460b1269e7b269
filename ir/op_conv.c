/* op_conv: conv and conv_filter, convolution over one to three axes of space. They are closed under differentiation: each gradient
 * is one of the two again. Relies on family. */
#include "family.h"

#define SPACE 3 /* axes that the attributes have numbers for; those of the tensors are the last of them */

/* ---- result types ------------------------------------------------------------------------------------ */

/* One number for each axis of space; axes that the tensors do not have must hold `absent`. */
static bool numbers_ok(Infer *inf, const char *what, const int64_t v[SPACE], uint32_t space, int64_t lowest, int64_t absent)
{
    for (uint32_t j = 0; j < SPACE; j++) {
        if (v[j] < lowest || v[j] > DIM_MAX)
            return infer_fail(
                inf, ST_VALUE, "the %s is %lld (allowed: %s to 2^48)", what, (long long)v[j], lowest == 1 ? "1" : "-2^48");
        if (j + space < SPACE && v[j] != absent)
            return infer_fail(
                inf, ST_VALUE, "the %s of an axis that is not there is %lld, not %lld", what, (long long)v[j], (long long)absent);
    }
    return true;
}

/* What conv and conv_filter begin with alike. */
static bool geometry_ok(Infer *inf, uint32_t space)
{
    const struct conv_filter_attrs *a = ATTRS(conv_filter, inf->attr);
    if (a->groups < 1 || a->groups > DIM_MAX)
        return infer_fail(inf, ST_VALUE, "the number of groups is %lld (allowed: 1 to 2^48)", (long long)a->groups);
    return numbers_ok(inf, "stride", a->stride, space, 1, 1) && numbers_ok(inf, "dilation", a->dilation, space, 1, 1) &&
           numbers_ok(inf, "low padding", a->low, space, -DIM_MAX, 0);
}

static bool operands_ok(Infer *inf)
{
    const Type *x = inf->in[0], *y = inf->in[1];
    if (x->rank < 3 || x->rank > SPACE + 2u) return infer_fail(inf, ST_SHAPE, "images must have 1 to 3 axes of space");
    if (x->rank != y->rank) return infer_fail(inf, ST_SHAPE, "ranks differ");
    if (x->dtype != y->dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
    return rule_domain(inf, 0, 'F');
}

/* steps - 1 of them of `size` each stay in range, whatever a symbol is. */
static bool reach_ok(const Infer *inf, Dim steps, int64_t size)
{
    int64_t most = dim_hi(rule_dims(inf), steps), reach;
    return most <= 1 || (!__builtin_mul_overflow(most - 1, size, &reach) && reach <= DIM_MAX);
}

/* in, taps, out: sizes of space. All positions are in range, those that the gradients ask for as well. */
static bool reaches_ok(Infer *inf, const Dim *in, const int64_t *taps, const Dim *out, const int64_t *spread, uint32_t space)
{
    const struct conv_filter_attrs *a = ATTRS(conv_filter, inf->attr);
    for (uint32_t i = 0; i < space; i++) {
        const uint32_t j = SPACE - space + i;
        if (taps[i] < 1 || taps[i] > DIM_MAX)
            return infer_fail(inf, ST_VALUE, "the number of taps is %lld (allowed: 1 to 2^48)", (long long)taps[i]);
        bool ok = reach_ok(inf, out[i], a->stride[j]) && reach_ok(inf, in[i], spread ? spread[j] : 1);
        ok = ok && reach_ok(inf, taps[i], a->dilation[j]) && (taps[i] - 1) * a->dilation[j] - a->low[j] <= DIM_MAX;
        if (!ok) return infer_fail(inf, ST_VALUE, "a position along axis %u is out of range (allowed: -2^48 to 2^48)", 1 + i);
    }
    return true;
}

bool infer_conv(Infer *inf)
{
    const Type *x = inf->in[0], *w = inf->in[1];
    const struct conv_attrs *a = ATTRS(conv, inf->attr);
    if (!operands_ok(inf)) return false;
    const uint32_t space = x->rank - 2u, last = x->rank - 1u;
    bool strides = false, spreads = false;
    if (!geometry_ok(inf, space) || !numbers_ok(inf, "spread", a->spread, space, 1, 1)) return false;
    for (uint32_t j = 0; j < SPACE; j++) {
        strides |= a->stride[j] > 1;
        spreads |= a->spread[j] > 1;
    }
    if (strides && spreads) return infer_fail(inf, ST_VALUE, "stride and spread are both above 1");
    if (inf->nattr != ATTR_INDEX(conv, out) + space)
        return infer_fail(inf, ST_VALUE, "needs the sizes of the result's %u axes of space", space);
    for (uint32_t i = 0; i <= last; i++)
        if (!dim_is_const(w->dim[i])) return infer_fail(inf, ST_UNSUPPORTED, "the filters' sizes must be known");
    if (x->dim[last] != dim_mul(NULL, w->dim[last - 1], a->groups) || w->dim[last] % a->groups != 0)
        return infer_fail(inf, ST_SHAPE, "channels do not fit %lld groups", (long long)a->groups);
    if (!reaches_ok(inf, x->dim + 1, w->dim, a->out, a->spread, space)) return false;
    Type y = *x;
    memcpy(y.dim + 1, a->out, space * sizeof *y.dim);
    y.dim[last] = w->dim[last];
    return rule_result(inf, &y);
}

bool infer_conv_filter(Infer *inf)
{
    const Type *x = inf->in[0], *y = inf->in[1];
    const struct conv_filter_attrs *a = ATTRS(conv_filter, inf->attr);
    if (!operands_ok(inf)) return false;
    const uint32_t space = x->rank - 2u, last = x->rank - 1u;
    if (!geometry_ok(inf, space)) return false;
    if (inf->nattr != ATTR_INDEX(conv_filter, taps) + space)
        return infer_fail(inf, ST_VALUE, "needs the numbers of taps of %u axes", space);
    if (x->dim[0] != y->dim[0]) return infer_fail(inf, ST_SHAPE, "numbers of images differ");
    if (!dim_is_const(x->dim[last]) || !dim_is_const(y->dim[last]))
        return infer_fail(inf, ST_UNSUPPORTED, "the numbers of channels must be known");
    if (x->dim[last] % a->groups != 0 || y->dim[last] % a->groups != 0)
        return infer_fail(inf, ST_SHAPE, "channels do not fit %lld groups", (long long)a->groups);
    if (!reaches_ok(inf, x->dim + 1, a->taps, y->dim + 1, NULL, space)) return false;
    Type w = *x;
    memcpy(w.dim, a->taps, space * sizeof *w.dim);
    w.dim[space] = x->dim[last] / a->groups;
    w.dim[last] = y->dim[last];
    return rule_result(inf, &w);
}

/* ---- gradients --------------------------------------------------------------------------------------- */

/* Filters in the order in which the gradient meets them, and from each group's results to its channels: [taps..., c, groups * o] to
 * [taps..., o, groups * c], the taps backwards. Twice, it is nothing. */
static Value turned(Emit *e, Value w, int64_t groups)
{
    if (w == 0) return 0;
    Type t = *e->type(e, w), split = t;
    const uint32_t space = t.rank - 2u;
    int64_t axes[SPACE], order[SPACE + 3];
    for (uint32_t i = 0; i < space; i++) axes[i] = order[i] = i;
    order[space] = space + 2, order[space + 1] = space + 1, order[space + 2] = space;
    split.rank++;
    split.dim[space + 1] = groups;
    split.dim[space + 2] = t.dim[space + 1] / groups;
    t.dim[space + 1] = t.dim[space] * groups;
    t.dim[space] = split.dim[space + 2];
    w = emit_reshape(e, emit_attr(e, OP_flip, w, axes, space), &split);
    return emit_reshape(e, w == 0 ? 0 : emit_transpose(e, w, order, t.rank + 1u), &t);
}

/* conv_filter's attributes are conv's first ones. */
static struct conv_attrs whole(const int64_t *attr, bool spreads)
{
    struct conv_attrs a = {.spread = {1, 1, 1}};
    memcpy(&a, attr, (spreads ? ATTR_INDEX(conv, out) : ATTR_INDEX(conv_filter, taps)) * sizeof *attr);
    return a;
}

/* The convolution by turned filters that takes what `a` gives back to what it took. What strode over elements strides over gaps,
 * and the other way round. taps: of the filters. */
static struct conv_attrs back(const struct conv_attrs *a, const int64_t *taps, uint32_t space)
{
    struct conv_attrs b = *a;
    memcpy(b.stride, a->spread, sizeof b.stride);
    memcpy(b.spread, a->stride, sizeof b.spread);
    for (uint32_t i = 0, j = SPACE - space; i < space; i++, j++) b.low[j] = (taps[i] - 1) * a->dilation[j] - a->low[j];
    return b;
}

/* like: has the result's sizes of space. */
static Value convolved(Emit *e, Value x, Value w, const struct conv_attrs *a, const Type *like)
{
    struct conv_attrs *all = ATTRS_ROOM(conv, SPACE);
    if (x == 0 || w == 0) return 0;
    *all = *a;
    memcpy(all->out, like->dim + 1, (like->rank - 2u) * sizeof *all->out);
    return e->op(e, OP_conv, (Value[]){x, w}, 2, ATTRS_TO(all, all->out + like->rank - 2));
}

/* like: has as many taps. */
static Value filters_of(Emit *e, Value x, Value y, const struct conv_attrs *a, const Type *like)
{
    struct conv_filter_attrs *all = ATTRS_ROOM(conv_filter, SPACE);
    if (x == 0 || y == 0) return 0;
    memcpy(all, a, sizeof *all);
    memcpy(all->taps, like->dim, (like->rank - 2u) * sizeof *all->taps);
    return e->op(e, OP_conv_filter, (Value[]){x, y}, 2, ATTRS_TO(all, all->taps + like->rank - 2));
}

void vjp_conv(Vjp *v)
{
    Emit *e = v->e;
    const Type x = *e->type(e, v->in[0]), w = *e->type(e, v->in[1]);
    const struct conv_attrs a = whole(v->node->attr->at, true), b = back(&a, w.dim, x.rank - 2u);
    const bool spreads = a.spread[0] > 1 || a.spread[1] > 1 || a.spread[2] > 1;
    if (v->wanted[0]) v->dx[0] = convolved(e, v->g[0], turned(e, v->in[1], a.groups), &b, &x);
    if (v->wanted[1] && !spreads) v->dx[1] = filters_of(e, v->in[0], v->g[0], &a, &w);
    if (v->wanted[1] && spreads) v->dx[1] = turned(e, filters_of(e, v->g[0], v->in[0], &b, &w), a.groups);
}

void vjp_conv_filter(Vjp *v)
{
    Emit *e = v->e;
    const Type x = *e->type(e, v->in[0]), y = *e->type(e, v->in[1]);
    const struct conv_attrs a = whole(v->node->attr->at, false),
                            b = back(&a, v->node->attr->at + ATTR_INDEX(conv_filter, taps), x.rank - 2u);
    if (v->wanted[0]) v->dx[0] = convolved(e, v->in[1], turned(e, v->g[0], a.groups), &b, &x);
    if (v->wanted[1]) v->dx[1] = convolved(e, v->in[0], v->g[0], &a, &y);
}

/* ---- many examples: more images where the other operand is the same for all, else more groups ------------------------------ */

/* [n, ..., c] as [..., n c] */
static Value into_channels(const Vmap *v, Value x)
{
    if (x == 0) return 0;
    const uint32_t rank = v->e->type(v->e, x)->rank;
    x = vmap_back(v->e, x, rank - 2);
    if (x == 0) return 0;
    Type t = *v->e->type(v->e, x);
    t.dim[rank - 2] = dim_mul(emit_dims(v->e), t.dim[rank - 2], t.dim[rank - 1]);
    t.rank--;
    return emit_reshape(v->e, x, &t);
}

/* [..., n c] as [n, ..., c] */
static Value out_of_channels(const Vmap *v, Value x)
{
    if (x == 0) return 0;
    Type t = *v->e->type(v->e, x);
    Dim each = 0;
    if (!dim_divides(emit_dims(v->e), t.dim[t.rank - 1], v->run->n, &each)) return 0;
    t.dim[t.rank - 1] = v->run->n;
    t.dim[t.rank++] = each;
    return vmap_front(v->e, emit_reshape(v->e, x, &t), t.rank - 2u);
}

static void by_groups(Vmap *v, int64_t *attr, int64_t *groups)
{
    if (!dim_is_const(v->run->n) || v->run->n < 1 || *groups > DIM_MAX / v->run->n) {
        vmap_by_loop(v);
        return;
    }
    *groups *= v->run->n;
    vmap_as(v, (Value[]){into_channels(v, vmap_all(v, 0)), into_channels(v, vmap_all(v, 1))}, attr, v->node->attr->len);
    v->out[0] = out_of_channels(v, v->out[0]);
}

void vmap_conv(Vmap *v)
{
    int64_t *attr = arena_copy(v->run->m->arena, v->node->attr->at, v->node->attr->len * sizeof *attr);
    if (v->many[1]) {
        by_groups(v, attr, &((struct conv_attrs *)attr)->groups);
        return;
    }
    vmap_as(v, (Value[]){vmap_merge(v, v->in[0]), v->in[1]}, attr, v->node->attr->len);
    v->out[0] = vmap_split(v, v->out[0], vmap_first(v, 0));
}

void vmap_conv_filter(Vmap *v)
{
    int64_t *attr = arena_copy(v->run->m->arena, v->node->attr->at, v->node->attr->len * sizeof *attr);
    by_groups(v, attr, &((struct conv_filter_attrs *)attr)->groups);
}
