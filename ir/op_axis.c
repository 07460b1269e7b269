/* op_axis: the ops that move elements along single axes: slice flip pad concat. Relies on family. */
#include "family.h"

/* ---- index maps along single axes -------------------------------------------------------------------- */

/* Merges the axes of a shape into runs, so that the index maps stay as simple as the op allows. */
typedef struct Runs {
    uint32_t n;
    Dim size[MAX_RANK + 1];
    int of[MAX_RANK]; /* axis -> run; -1: an axis of size 1 that the op leaves alone */
} Runs;

/* Axes in `alone` get a run each; axes between them share one. */
static void make_runs(DimTable *dims, const Dim *shape, uint32_t rank, uint32_t alone, Runs *r)
{
    bool open = false;
    *r = (Runs){0};
    for (uint32_t i = 0; i < rank; i++) {
        bool single = alone >> i & 1;
        if (single || !open) r->size[r->n++] = 1;
        r->of[i] = (int)r->n - 1;
        r->size[r->n - 1] = dim_mul(dims, r->size[r->n - 1], shape[i]);
        open = !single;
    }
}

/* The axes in the mask `axes` are changed, each by `change`; those between them do not matter. */
typedef bool ChangeAxis(const Mapping *p, uint32_t axis, IndexExpr *e);
static bool map_axes(const Mapping *p, uint32_t axes, ChangeAxis *change)
{
    const Type *t = mapped_result(p), *x = mapped_operand(p, p->k);
    Runs r;
    make_runs(p->env->dims, t->dim, t->rank, axes, &r);
    if (!index_regroup(p->env, p->m, r.size, r.n, &p->out->map)) return false;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!(axes >> i & 1)) continue;
        if (!change(p, i, &p->out->map.at[r.of[i]])) return false;
        p->out->map.dim[r.of[i]] = x->dim[i];
    }
    return true;
}

/* The operand lies behind `before` other elements, and may end before the result does. */
static bool lies_behind(const Mapping *p, uint32_t axis, Dim before, IndexExpr *e)
{
    IndexExpr shift = index_const(0);
    shift.minus = before;
    return index_add(p->env, e, &shift) && map_guard(p, e, mapped_operand(p, p->k)->dim[axis]);
}

/* ---- slice ------------------------------------------------------------------------------------------- */

/* first + (size - 1) * step < whole, provably: size is at most what fits, (whole - first + step - 1) / step. */
static bool slice_fits(DimTable *t, Dim whole, Dim first, Dim size, Dim step)
{
    if (size == 0) return dim_lo(t, dim_sub(t, whole, first)) >= 0;
    Dim most = dim_floordiv(t, dim_sub(t, dim_add(t, whole, step - 1), first), step);
    return dim_lo(t, dim_sub(t, most, size)) >= 0;
}

bool infer_slice(Infer *inf)
{
    const Type *x = inf->in[0];
    const struct slice_attrs *s = ATTRS(slice, inf->attr);
    DimTable *t = rule_dims(inf);
    if (inf->nattr != 3u * x->rank)
        return infer_fail(inf, ST_VALUE, "%u attributes given; 3 per axis are needed (start, size, step)", inf->nattr);
    Type out = *x;
    for (uint32_t i = 0; i < x->rank; i++) {
        const Dim first = s->axis[i].first, size = s->axis[i].size, step = s->axis[i].step;
        if (step < 1) return infer_fail(inf, ST_VALUE, "the step of axis %u must be a number of at least 1", i);
        if (dim_lo(t, first) < 0 || !slice_fits(t, x->dim[i], first, size, step)) {
            char a[64], b[64];
            dim_print(t, first, a, sizeof a);
            dim_print(t, size, b, sizeof b);
            return infer_fail(
                inf, ST_VALUE, "%s from %s in steps of %lld does not provably lie within axis %u", b, a, (long long)step, i);
        }
        out.dim[i] = size;
    }
    return rule_result(inf, &out);
}

/* Puts step - 1 zeros behind each element along the axis: n becomes n * step. Works on [outer,
 * 1, inner], so that operands of the largest rank need no axis more. */
static Value spread(Emit *e, Value g, uint32_t axis, int64_t step)
{
    if (g == 0) return 0;
    Type wide = *e->type(e, g), flat = {.dtype = wide.dtype, .rank = 3, .dim = {1, 1, 1}};
    DimTable *t = emit_dims(e);
    for (uint32_t i = 0; i < wide.rank; i++) {
        Dim *part = &flat.dim[i <= axis ? 0 : 2];
        *part = dim_mul(t, *part, wide.dim[i]);
    }
    wide.dim[axis] = dim_mul(t, wide.dim[axis], step);
    return emit_reshape(e, emit_pad(e, emit_reshape(e, g, &flat), 1, 0, step - 1, 0), &wide);
}

/* The adjoint along one axis of extent `whole`: elements of g go to first, first + step, ... */
static Value unslice(Emit *e, Value g, uint32_t axis, Dim whole, const struct slice_attrs *slice)
{
    DimTable *t = emit_dims(e);
    const Dim first = slice->axis[axis].first, size = slice->axis[axis].size;
    const int64_t step = slice->axis[axis].step;
    Dim high;
    if (step == 1) return emit_pad(e, g, axis, first, dim_sub(t, dim_sub(t, whole, first), size), 0);
    Dim spread_size = dim_mul(t, size, step);
    Value r = spread(e, g, axis, step);
    if (dim_is_const(whole) && dim_is_const(first) && dim_is_const(spread_size))
        high = MAX_OF(whole - first - spread_size, 0);
    else
        high = whole; /* more than enough; the slice below cuts it */
    return emit_slice(e, emit_pad(e, r, axis, first, high, 0), axis, 0, whole);
}

void vjp_slice(Vjp *v)
{
    Value g = v->g[0];
    const Type x = *v->e->type(v->e, v->in[0]);
    for (uint32_t i = 0; i < x.rank; i++) g = unslice(v->e, g, i, x.dim[i], ATTRS(slice, v->node->attr->at));
    v->dx[0] = g;
}

Value fold_slice(const Folding *f)
{
    const Value x = f->in[0];
    const Type *t = folded_type(f, x);
    const struct slice_attrs *s = ATTRS(slice, f->attr);
    bool whole = true;
    for (uint32_t i = 0; i < t->rank; i++) whole &= s->axis[i].first == 0 && s->axis[i].size == t->dim[i] && s->axis[i].step == 1;
    if (whole) return x;
    const Node *inner = folded_maker(f, x, OP_slice);
    if (!inner) return 0;
    DimTable *dims = &f->rb->to->module->dims;
    const struct slice_attrs *of = ATTRS(slice, inner->attr->at);
    struct slice_attrs *to = ATTRS_ROOM(slice, 3 * MAX_RANK);
    for (uint32_t i = 0; i < t->rank; i++) {
        to->axis[i].first = dim_add(dims, of->axis[i].first, dim_mul(dims, s->axis[i].first, of->axis[i].step));
        to->axis[i].size = s->axis[i].size;
        to->axis[i].step = dim_mul(dims, s->axis[i].step, of->axis[i].step);
        if (to->axis[i].first == DIM_BAD || to->axis[i].step == DIM_BAD) return 0;
    }
    return rebuild_op(f->rb, OP_slice, inner->in, 1, ATTRS_TO(to, to->axis + t->rank), f->loc);
}

static bool slice_axis(const Mapping *p, uint32_t axis, IndexExpr *e)
{
    const struct slice_attrs *s = ATTRS(slice, p->n->attr->at);
    const IndexExpr shift = index_const(s->axis[axis].first);
    return index_scale(p->env, e, s->axis[axis].step) && index_add(p->env, e, &shift);
}

bool map_slice(const Mapping *p)
{
    const struct slice_attrs *s = ATTRS(slice, p->n->attr->at);
    const Type *x = mapped_operand(p, 0);
    uint32_t axes = 0;
    for (uint32_t i = 0; i < x->rank; i++)
        if (s->axis[i].first != 0 || s->axis[i].size != x->dim[i] || s->axis[i].step != 1) axes |= 1u << i;
    return map_axes(p, axes, slice_axis);
}

/* ---- flip -------------------------------------------------------------------------------------------- */

bool infer_flip(Infer *inf) { return rule_axes(inf, inf->in[0]->rank) && rule_result(inf, inf->in[0]); }

void vjp_flip(Vjp *v) { v->dx[0] = emit_attr(v->e, OP_flip, v->g[0], v->node->attr->at, v->node->attr->len); }

Value fold_flip(const Folding *f)
{
    const Value x = f->in[0];
    if (f->nattr == 0) return x;
    const Node *inner = folded_maker(f, x, OP_flip);
    bool same = inner && inner->attr->len == f->nattr;
    return same && memcmp(inner->attr->at, f->attr, f->nattr * sizeof *f->attr) == 0 ? inner->in[0] : 0;
}

static bool flip_axis(const Mapping *p, uint32_t axis, IndexExpr *e)
{
    const Dim size = mapped_operand(p, 0)->dim[axis];
    /* An empty axis has no last index, but nobody reads it either. */
    const IndexExpr last = index_const(size == 0 ? 0 : dim_sub(p->env->dims, size, 1));
    return index_negate(p->env, e) && index_add(p->env, e, &last);
}

bool map_flip(const Mapping *p)
{
    uint32_t axes = 0;
    for (uint32_t i = 0; i < p->n->attr->len; i++) axes |= 1u << ATTRS(flip, p->n->attr->at)->axes[i];
    return map_axes(p, axes, flip_axis);
}

/* ---- pad --------------------------------------------------------------------------------------------- */

bool infer_pad(Infer *inf)
{
    const Type *x = inf->in[0];
    const struct pad_attrs *p = ATTRS(pad, inf->attr);
    DimTable *t = rule_dims(inf);
    if (inf->nattr != 1 + 2u * x->rank)
        return infer_fail(inf, ST_VALUE, "%u amounts given; 2 per axis are needed (before, after)", inf->nattr - 1);
    if (!rule_scalar(inf, (DType)x->dtype, p->fill)) return false;
    Type out = *x;
    for (uint32_t i = 0; i < x->rank; i++) {
        const Dim low = p->axis[i].low, high = p->axis[i].high;
        if (dim_lo(t, low) < 0 || dim_lo(t, high) < 0)
            return infer_fail(inf, ST_VALUE, "the padding of axis %u may be negative", i);
        out.dim[i] = dim_add(t, out.dim[i], dim_add(t, low, high));
    }
    return rule_result(inf, &out);
}

void vjp_pad(Vjp *v)
{
    const Type *x = v->e->type(v->e, v->in[0]);
    struct slice_attrs *kept = slice_all(x, ATTRS_ROOM(slice, 3 * MAX_RANK));
    for (uint32_t i = 0; i < x->rank; i++) kept->axis[i].first = ATTRS(pad, v->node->attr->at)->axis[i].low;
    v->dx[0] = emit_attr(v->e, OP_slice, v->g[0], ATTRS_TO(kept, kept->axis + x->rank));
}

Value fold_pad(const Folding *f)
{
    for (uint32_t i = ATTR_INDEX(pad, axis); i < f->nattr; i++)
        if (f->attr[i] != 0) return 0;
    return f->in[0];
}

static bool pad_axis(const Mapping *p, uint32_t axis, IndexExpr *e)
{
    return lies_behind(p, axis, ATTRS(pad, p->n->attr->at)->axis[axis].low, e);
}

bool map_pad(const Mapping *p)
{
    const struct pad_attrs *pad = ATTRS(pad, p->n->attr->at);
    uint32_t axes = 0;
    for (uint32_t i = 0; i < mapped_result(p)->rank; i++)
        if (pad->axis[i].low != 0 || pad->axis[i].high != 0) axes |= 1u << i;
    p->out->fills = true;
    p->out->fill = pad->fill;
    return map_axes(p, axes, pad_axis);
}

/* ---- concat ------------------------------------------------------------------------------------------ */

bool infer_concat(Infer *inf)
{
    if (inf->nin == 0) return infer_fail(inf, ST_VALUE, "no operands to join");
    const int64_t axis = ATTRS(concat, inf->attr)->axis;
    if (!rule_axis(inf, axis, inf->in[0]->rank)) return false;
    Type out = *inf->in[0];
    for (uint32_t i = 1; i < inf->nin; i++) {
        const Type *x = inf->in[i];
        if (x->dtype != out.dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
        if (x->rank != out.rank) return infer_fail(inf, ST_SHAPE, "ranks differ");
        for (uint32_t k = 0; k < out.rank; k++)
            if (k != axis && x->dim[k] != out.dim[k]) return infer_fail(inf, ST_SHAPE, "sizes of axis %u differ", k);
        out.dim[axis] = dim_add(rule_dims(inf), out.dim[axis], x->dim[axis]);
    }
    return rule_result(inf, &out);
}

void vjp_concat(Vjp *v)
{
    uint32_t axis = (uint32_t)ATTRS(concat, v->node->attr->at)->axis;
    Dim first = 0;
    for (uint32_t i = 0; i < v->node->nin; i++) {
        Dim size = v->e->type(v->e, v->in[i])->dim[axis];
        if (v->wanted[i]) v->dx[i] = emit_slice(v->e, v->g[0], axis, first, size);
        first = dim_add(emit_dims(v->e), first, size);
    }
}

Value fold_concat(const Folding *f) { return f->nin == 1 ? f->in[0] : 0; }

static bool concat_axis(const Mapping *p, uint32_t axis, IndexExpr *e)
{
    Dim before = 0;
    for (uint32_t i = 0; i < p->k; i++) before = dim_add(p->env->dims, before, mapped_operand(p, i)->dim[axis]);
    return lies_behind(p, axis, before, e);
}

bool map_concat(const Mapping *p) { return map_axes(p, 1u << ATTRS(concat, p->n->attr->at)->axis, concat_axis); }

static bool same_axis(const Mapping *p, uint32_t axis, IndexExpr *e)
{
    (void)p, (void)axis, (void)e;
    return true;
}

uint32_t index_joined(IndexEnv *env, const Graph *g, const Node *n, const IndexMap *m, uint32_t *past)
{
    IndexStep step;
    const Mapping p = {env, g, n, 0, m, &step};
    const uint32_t axis = (uint32_t)ATTRS(concat, n->attr->at)->axis;
    uint32_t first = 0;
    Dim end = 0;
    *past = n->nin;
    if (!map_axes(&p, 1u << axis, same_axis)) return 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        end = dim_add(env->dims, end, mapped_operand(&p, k)->dim[axis]);
        IndexWithin within = index_within(env, &step.map.at[axis != 0], end);
        if (within == WITHIN_NEVER) first = k + 1;
        if (within == WITHIN_ALWAYS) *past = MIN_OF(*past, k + 1);
    }
    return first;
}

/* ---- many examples ----------------------------------------------------------------------------------- */

void vmap_slice(Vmap *v)
{
    const struct slice_attrs *old = ATTRS(slice, v->node->attr->at);
    struct slice_attrs *s = ATTRS_ROOM(slice, 3 * (MAX_RANK + 1));
    const uint32_t rank = vmap_type(v, 0).rank;
    s->axis[0].size = v->run->n;
    s->axis[0].step = 1;
    memcpy(s->axis + 1, old->axis, rank * sizeof *s->axis);
    vmap_as(v, v->in, ATTRS_TO(s, s->axis + rank + 1));
}

void vmap_pad(Vmap *v)
{
    const struct pad_attrs *old = ATTRS(pad, v->node->attr->at);
    struct pad_attrs *p = ATTRS_ROOM(pad, 2 * (MAX_RANK + 1));
    const uint32_t rank = vmap_type(v, 0).rank;
    p->fill = old->fill;
    memcpy(p->axis + 1, old->axis, rank * sizeof *p->axis);
    vmap_as(v, v->in, ATTRS_TO(p, p->axis + rank + 1));
}
