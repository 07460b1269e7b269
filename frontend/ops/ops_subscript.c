/* ops_subscript: kiln_index and kiln_index_update: a list of subscripts, one for each axis in turn, as slices, gathers and one
 * reshape. A *plan* is the list with KILN_REST written out. Composites; relies on ops.h, effect.h. Never reads an index. */
#include "effect.h"

enum { KIND_AT, KIND_RANGE, KIND_FROM, KIND_ALL, KIND_NEW, KIND_REST, KIND_MASK, MOST = 2 * MAX_RANK + 10 };

typedef struct Entry {
    kiln_subscript s;
    int axis;          /* of x; KIND_NEW: none */
    kiln_tensor *many; /* KIND_AT: integers; NULL: the number s.index.as.i */
} Entry;
typedef struct Plan {
    Entry at[MOST];
    int n, tensors; /* entries, and how many have tensors of indices */
} Plan;

/* ---- the list ---------------------------------------------------------------------------------- */

static bool add_entry(Thread *t, kiln_site at, const char *op, const kiln_subscript *s, int axis, Plan *p)
{
    Entry *e = &p->at[p->n++];
    *e = (Entry){.s = *s, .axis = axis};
    if (s->kind != KIND_AT || s->index.kind == 4) return true;
    if (s->index.kind == 5 && s->index.as.u <= INT64_MAX) return true;
    if (operand_is_number(s->index)) {
        fail(t, at, KILN_EDTYPE, "%s: axis %d: KILN_AT takes integers", op, axis);
        return false;
    }
    p->tensors++;
    return tensor_ok(e->many = operand_index(t, at, op, s->index));
}

/* How many axes the subscript takes; -1: recorded, or poison. */
static int axes_taken(Thread *t, kiln_site at, const char *op, const kiln_subscript *s)
{
    char text[160];
    if (s->kind != KIND_MASK) return s->kind < KIND_NEW;
    kiln_tensor *m = operand_named(t, at, op, s->index, NULL);
    if (!tensor_ok(m)) return -1;
    if (m->type.dtype == DT_bool && m->type.rank > 0) return m->type.rank;
    fail(t, at, m->type.dtype == DT_bool ? KILN_ESHAPE : KILN_EDTYPE, "%s: KILN_MASK takes bools of at least one axis, not %s", op,
        tensor_text(m, text, sizeof text));
    return -1;
}

/* A mask is the coordinates of its true elements, as indices for each of its axes. */
static bool add_mask(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, const kiln_subscript *s, int axis, Plan *p)
{
    char a[160], b[160];
    kiln_tensor *m = operand_named(t, at, op, s->index, NULL);
    if (!tensor_ok(m)) return false;
    if (axis + m->type.rank > x->type.rank || memcmp(m->type.dim, x->type.dim + axis, m->type.rank * sizeof(Dim)) != 0) {
        fail(t, at, KILN_ESHAPE, "%s: the mask does not have the sizes of the axes from %d on: %s of %s", op, axis,
            tensor_text(m, a, sizeof a), tensor_text(x, b, sizeof b));
        return false;
    }
    const Dim all = extent_product(t, at, m->type.dim, m->type.rank);
    kiln_tensor *place = mask_places(t, at, op, reshape_to(t, at, m, &all, 1), -1);
    for (int i = 0; i < m->type.rank; i++) {
        const kiln_subscript along = {.kind = KIND_AT, .index = of(place_along(t, at, &m->type, place, i))};
        if (!add_entry(t, at, op, &along, axis + i, p)) return false;
    }
    return true;
}

/* False: recorded, or poison. */
static bool make_plan(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, kiln_subscripts l, Plan *p)
{
    char text[160];
    int named = 0, rests = 0, axis = 0;
    *p = (Plan){0};
    if (!list_there(t, at, op, l.at, l.count)) return false;
    for (int i = 0; i < l.count; i++) {
        const int64_t kind = l.at[i].kind;
        if (kind < KIND_AT || kind > KIND_MASK) {
            fail(t, at, KILN_EVALUE,
                "%s: subscript %d is none (KILN_AT, KILN_MASK, KILN_RANGE, KILN_FROM, KILN_ALL_OF, KILN_NEW, KILN_REST)", op, i);
            return false;
        }
        const int taken = axes_taken(t, at, op, &l.at[i]);
        if (taken < 0) return false;
        named += taken;
        rests += kind == KIND_REST;
    }
    if (named > x->type.rank || rests > 1 || l.count > MAX_RANK + 10) {
        fail(t, at, KILN_ESHAPE, "%s: %d subscripts for axes, and KILN_REST %d times (allowed: once): %s", op, named, rests,
            tensor_text(x, text, sizeof text));
        return false;
    }
    const kiln_subscript whole = KILN_ALL_OF;
    const int rest = x->type.rank - named;
    for (int i = 0; i <= l.count; i++) {
        const bool ended = i == l.count;
        if (ended ? rests == 0 : l.at[i].kind == KIND_REST) {
            /* Even of no axes it keeps tensors of indices apart; an entry of KIND_REST says so. */
            if (!ended) p->at[p->n++] = (Entry){.s = l.at[i], .axis = -1};
            for (int j = 0; j < rest; j++)
                if (!add_entry(t, at, op, &whole, axis++, p)) return false;
        } else if (!ended && l.at[i].kind == KIND_MASK) {
            if (!add_mask(t, at, op, x, &l.at[i], axis, p)) return false;
            axis += axes_taken(t, at, op, &l.at[i]);
        } else if (!ended && !add_entry(t, at, op, &l.at[i], l.at[i].kind == KIND_NEW ? -1 : axis, p)) {
            return false;
        } else if (!ended) {
            axis += l.at[i].kind != KIND_NEW;
        }
    }
    return true;
}

/* ---- one axis -------------------------------------------------------------------------------------- */

/* Element i, which may count from the end, as an axis of size 1. */
static kiln_tensor *one_of(Thread *t, kiln_site at, const char *op, kiln_tensor *x, const Entry *e)
{
    char text[160];
    const int64_t i = e->s.index.as.i, needs = i >= 0 ? i : -1 - i; /* the axis must be longer than this */
    if (needs >= extent_hi(t, x->type.dim[e->axis]))
        return fail(t, at, KILN_EVALUE, "%s: axis %d has no element %lld: %s", op, e->axis, (long long)i,
            tensor_text(x, text, sizeof text));
    x = axis_at_least(t, at, op, x, e->axis, needs + 1);
    if (!tensor_ok(x)) return x;
    return slice_axis(t, at, x, e->axis, i >= 0 ? i : extent(t, at, EXTENT_SUB, x->type.dim[e->axis], needs + 1), 1);
}

/* `size` elements from a start that is moved so that they are in range. */
static kiln_tensor *part_from(Thread *t, kiln_site at, const char *op, kiln_tensor *x, const Entry *e)
{
    char text[160];
    const int axis = e->axis;
    const Dim size = e->s.start;
    if (size < 0 || size > extent_hi(t, x->type.dim[axis]))
        return fail(t, at, KILN_ESHAPE, "%s: axis %d does not have %lld elements: %s", op, axis, (long long)size,
            tensor_text(x, text, sizeof text));
    x = axis_at_least(t, at, op, x, axis, size);
    if (!tensor_ok(x)) return x;
    const Dim n = x->type.dim[axis];
    kiln_tensor *s = operand_index(t, at, op, e->s.index);
    if (!tensor_ok(s)) return s;
    if (s->type.rank) return fail(t, at, KILN_ESHAPE, "%s: a start must be a scalar: %s", op, tensor_text(s, text, sizeof text));
    const Dim starts = extent(t, at, EXTENT_ADD, extent(t, at, EXTENT_SUB, n, size), 1);
    if (!effect_indices(t, at, op, s, starts)) return &t->k->poison;
    if (s->type.dtype == DT_u64) /* before i64 makes it negative */
        s = binary(at, OP_min, of(s), of(dim_tensor(t, at, extent(t, at, EXTENT_SUB, n, size), DT_u64)));
    kiln_tensor *i = iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {size}}, 0, x);
    i = index_sum(t, at, i, index_clamped(t, at, s, starts), 1);
    return tensor_ok(i) ? apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = axis)) : i;
}

/* x with what numbers choose; its rank stays, where one element is chosen with size 1. */
static kiln_tensor *chosen(Thread *t, kiln_site at, const char *op, kiln_tensor *x, const Plan *p)
{
    for (int i = 0; i < p->n && tensor_ok(x); i++) {
        const Entry *e = &p->at[i];
        if (e->s.kind == KIND_AT && !e->many) {
            x = one_of(t, at, op, x, e);
        } else if (e->s.kind == KIND_RANGE) {
            x = kiln_slice_at(at, of(x), e->axis, e->s.start, e->s.stop, e->s.step);
        } else if (e->s.kind == KIND_FROM) {
            x = part_from(t, at, op, x, e);
        }
    }
    return x;
}

/* ---- indices in tensors ------------------------------------------------------------------------------- */

/* Where in the list the axes of the indices stand: at the first one's if all are side by side, else at its start. */
static int indices_stand(const Plan *p)
{
    int first = -1, last = -1, count = 0;
    for (int i = 0; i < p->n; i++) {
        if (p->at[i].s.kind != KIND_AT) continue;
        if (first < 0) first = i;
        last = i;
        count++;
    }
    return last - first + 1 == count ? first : 0;
}

/* One index for the axes that tensors choose from, in the shape in which these meet. x has size 1 where a number has chosen. */
static kiln_tensor *joint_index(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, const Plan *p)
{
    kiln_tensor *sum = NULL;
    Dim stride = 1;
    for (int i = p->n - 1; i >= 0; i--) {
        const Entry *e = &p->at[i];
        if (!e->many) continue;
        const Dim n = x->type.dim[e->axis];
        if (!effect_indices(t, at, op, e->many, n)) return &t->k->poison;
        sum = index_sum(t, at, sum, index_clamped(t, at, e->many, n), stride);
        stride = extent(t, at, EXTENT_MUL, stride, n);
    }
    return sum;
}

/* The axes that tensors choose from brought together, as one; returns its place in *axis. */
static kiln_tensor *brought_together(Thread *t, kiln_site at, kiln_tensor *x, const Plan *p, int *axis)
{
    int perm[MAX_RANK], n = 0, first = -1;
    bool many[MAX_RANK] = {false}, in_order = true;
    Dim dim[MAX_RANK], joint = 1;
    for (int i = 0; i < p->n; i++)
        if (p->at[i].many) {
            many[p->at[i].axis] = true;
            joint = extent(t, at, EXTENT_MUL, joint, x->type.dim[p->at[i].axis]);
            if (first < 0) first = p->at[i].axis;
        }
    for (int a = 0; a < x->type.rank; a++) {
        if (a == first)
            for (int b = a; b < x->type.rank; b++)
                if (many[b]) perm[n++] = b;
        if (!many[a]) perm[n++] = a;
    }
    for (int a = 0; a < n; a++) in_order = in_order && perm[a] == a;
    if (!in_order) x = transpose_to(t, at, x, perm);
    if (!tensor_ok(x)) return x;
    n = 0;
    for (int a = 0; a < x->type.rank; a++) {
        if (a < first || a >= first + p->tensors) dim[n++] = x->type.dim[a];
        if (a == first) dim[n++] = joint;
    }
    *axis = first;
    return reshape_to(t, at, x, dim, n);
}

/* The sizes that entries give the result, of x as `chosen` made it; the indices' own axes are put in at `stand`. -1: too many. */
static int result_dims(const Type *x, const Plan *p, const Type *indices, int stand, Dim *dim)
{
    int n = 0;
    for (int i = 0; i <= p->n; i++) {
        if (indices && i == stand)
            for (int a = 0; a < indices->rank; a++, n++) {
                if (n < MAX_RANK) dim[n] = indices->dim[a];
            }
        if (i == p->n || p->at[i].s.kind == KIND_AT || p->at[i].s.kind == KIND_REST) continue;
        if (n < MAX_RANK) dim[n] = p->at[i].s.kind == KIND_NEW ? 1 : x->dim[p->at[i].axis];
        n++;
    }
    return n <= MAX_RANK ? n : -1;
}

/* The axes of the indices, which gather left at `from`, to where they stand among the axes of x that are kept. */
static kiln_tensor *moved_to(Thread *t, kiln_site at, kiln_tensor *x, const Plan *p, int count, int from, int stand)
{
    int to = 0, perm[MAX_RANK], n = 0;
    for (int i = 0; i < stand; i++) to += p->at[i].axis >= 0; /* none of them KIND_AT */
    if (to == from || count == 0) return x;
    for (int a = 0; a < to; a++) perm[n++] = a < from ? a : a + count;
    for (int a = 0; a < count; a++) perm[n++] = from + a;
    for (int a = to; n < x->type.rank; a++) perm[n++] = a < from ? a : a + count;
    return transpose_to(t, at, x, perm);
}

static kiln_tensor *subscripted(Thread *t, kiln_site at, const char *op, kiln_tensor *x, const Plan *p)
{
    char text[160];
    Dim dim[MAX_RANK];
    kiln_tensor *y = chosen(t, at, op, x, p), *i = NULL;
    if (!tensor_ok(y)) return y;
    const Type before = y->type;
    const int stand = p->tensors ? indices_stand(p) : 0;
    if (p->tensors && !tensor_ok(i = joint_index(t, at, op, y, p))) return &t->k->poison;
    const int rank = result_dims(&before, p, i ? &i->type : NULL, stand, dim);
    if (rank < 0)
        return fail(
            t, at, KILN_ESHAPE, "%s: the result would have more than %d axes: %s", op, MAX_RANK, tensor_text(x, text, sizeof text));
    if (i) {
        int axis, numbers = 0;
        y = brought_together(t, at, y, p, &axis);
        if (!tensor_ok(y)) return y;
        /* Axes of size 1 where numbers chose go now: they might be too many beside those of the indices. */
        Dim kept[MAX_RANK];
        int n = 0, place = 0;
        bool one[MAX_RANK] = {false}, seen = false;
        for (int e = 0; e < p->n; e++)
            if (p->at[e].s.kind == KIND_AT && !p->at[e].many) one[p->at[e].axis] = true;
        for (int a = 0, b = 0; a < before.rank; a++) {
            bool many = false;
            for (int e = 0; e < p->n; e++) many = many || (p->at[e].many && p->at[e].axis == a);
            if (many && seen) continue;
            if (many) place = n, seen = true;
            if (one[a])
                numbers++, b++;
            else
                kept[n++] = y->type.dim[b++];
        }
        if (numbers) y = reshape_to(t, at, y, kept, n);
        if (!tensor_ok(y)) return y;
        y = apply2(t, at, OP_gather, y, i, ATTRS_OF(gather, .axis = place));
        if (tensor_ok(y)) y = moved_to(t, at, y, p, i->type.rank, place, stand);
    }
    return reshape_to(t, at, y, dim, rank);
}

kiln_tensor *kiln_index_at(kiln_site at, kiln_operand o, kiln_subscripts s)
{
    Thread *t;
    Plan p;
    kiln_tensor *x = first_operand(at, "index", o, &t);
    if (!tensor_ok(x)) return x;
    Composite c = composite_begin(t, "index");
    composite_beside(t, x);
    const bool planned = make_plan(t, at, "index", x, s, &p);
    kiln_tensor *r = planned ? result_of(t, at, subscripted(t, at, "index", x, &p), x) : &t->k->poison;
    return composite_end(t, &c, r);
}

/* ---- putting elements there -------------------------------------------------------------------------------- */

/* The elements that an axis' entry chooses, if C numbers tell: `size` from `first` on, so far apart, or these backwards. */
typedef struct Run {
    int64_t first, size, step;
    bool back;
} Run;

static bool run_of(const Entry *e, Dim n, Run *r)
{
    *r = (Run){0, n, 1, false};
    if (!dim_is_const(n) || e->many || e->s.kind == KIND_FROM) return false;
    if (e->s.kind == KIND_ALL) return true;
    if (e->s.kind == KIND_AT) {
        *r = (Run){e->s.index.as.i < 0 ? e->s.index.as.i + n : e->s.index.as.i, 1, 1, false};
        return r->first >= 0 && r->first < n;
    }
    const bool back = e->s.step < 0;
    const int64_t least = back ? -1 : 0, most = back ? n - 1 : n;
    int64_t a = e->s.start < 0 ? e->s.start + n : e->s.start, b = e->s.stop < 0 ? e->s.stop + n : e->s.stop;
    if (e->s.stop == KILN_END) b = back ? -1 : n;
    a = MAX_OF(least, MIN_OF(a, most));
    b = MAX_OF(least, MIN_OF(b, most));
    const int64_t span = MAX_OF(back ? a - b : b - a, 0),
                  step = back ? MAX_OF(e->s.step, -DIM_MAX) * -1 : MIN_OF(e->s.step, DIM_MAX);
    r->size = span ? (span - 1) / step + 1 : 0;
    r->step = r->size > 1 ? step : 1;
    r->back = back;
    if (r->size) r->first = back ? a - (r->size - 1) * r->step : a;
    return true;
}

/* The elements along the axis so far apart, with zeros between them. */
static kiln_tensor *spread(Thread *t, kiln_site at, kiln_tensor *v, int axis, int64_t step)
{
    if (step == 1 || !tensor_ok(v)) return v;
    const int64_t n = v->type.dim[axis];
    Type apart = v->type;
    const Dim dim[4] = {
        extent_product(t, at, apart.dim, axis), n, 1, extent_product(t, at, apart.dim + axis + 1, apart.rank - axis - 1)};
    struct pad_attrs *padding = ATTRS_ROOM(pad, 2 * 4);
    memset(padding->axis, 0, 4 * sizeof *padding->axis);
    padding->fill = 0;
    padding->axis[2].high = step - 1;
    v = reshape_to(t, at, v, dim, 4);
    if (tensor_ok(v)) v = apply1(t, at, OP_pad, v, ATTRS_TO(padding, padding->axis + 4));
    apart.dim[axis] = n * step;
    v = reshape_to(t, at, v, apart.dim, apart.rank);
    return slice_axis(t, at, v, axis, 0, (n - 1) * step + 1);
}

static kiln_tensor *combined(kiln_site at, kiln_tensor *x, kiln_tensor *v, kiln_scatter_how how)
{
    switch (how) {
    case KILN_SCATTER_ADD: return kiln_add_at(at, of(x), of(v));
    case KILN_SCATTER_MUL: return kiln_mul_at(at, of(x), of(v));
    case KILN_SCATTER_MAX: return kiln_max_at(at, of(x), of(v));
    case KILN_SCATTER_MIN: return kiln_min_at(at, of(x), of(v));
    default: return v;
    }
}

/* False: not all numbers tell. */
static bool runs_of(const kiln_tensor *x, const Plan *p, Run run[MAX_RANK])
{
    for (int i = 0; i < p->n; i++) {
        const int a = p->at[i].axis;
        if (a >= 0 && !run_of(&p->at[i], x->type.dim[a], &run[a])) return false;
    }
    return true;
}

/* v, in the shape of the part, at its place in x's shape, with zeros around. */
static kiln_tensor *placed(Thread *t, kiln_site at, kiln_tensor *v, const Type *x, const Run *run)
{
    struct pad_attrs *padding = ATTRS_ROOM(pad, 2 * MAX_RANK);
    for (int a = 0; a < x->rank; a++) {
        if (run[a].back && run[a].size > 1) v = flip_axis(t, at, v, a);
        v = spread(t, at, v, a, run[a].step);
        if (!tensor_ok(v)) return v;
        padding->axis[a].low = run[a].first;
        padding->axis[a].high = x->dim[a] - run[a].first - v->type.dim[a];
    }
    padding->fill = 0;
    return apply1(t, at, OP_pad, v, ATTRS_TO(padding, padding->axis + x->rank));
}

/* x with v, which has the elements of the part, chosen where the part is. */
static kiln_tensor *updated_part(Thread *t, kiln_site at, kiln_tensor *x, const Run *run, kiln_tensor *v, kiln_scatter_how how)
{
    Type part = x->type;
    for (int a = 0; a < part.rank; a++) part.dim[a] = run[a].size;
    v = reshape_to(t, at, v, part.dim, part.rank);
    part.dtype = DT_bool;
    kiln_tensor *inside = number_like(t, at, "index_update", &part, kiln_of_bool(true));
    if (tensor_ok(inside)) inside = placed(t, at, inside, &x->type, run);
    if (tensor_ok(v)) v = placed(t, at, v, &x->type, run);
    if (!tensor_ok(inside) || !tensor_ok(v)) return &t->k->poison;
    return kiln_where_at(at, of(inside), of(combined(at, x, v, how)), of(x));
}

/* The values in the shape of the part. Poison: recorded. */
static kiln_tensor *values_of(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_tensor *part, kiln_operand o)
{
    char a[160], b[160];
    Type joint;
    kiln_tensor *v = operand_named(t, at, "index_update", o, &(Type){.dtype = x->type.dtype});
    if (!tensor_ok(v)) return v;
    if (v->type.dtype != x->type.dtype)
        return fail(t, at, KILN_EDTYPE, "index_update: the values are %s, x is %s; the dtypes must be equal",
            dtype_info[v->type.dtype].name, tensor_text(x, a, sizeof a));
    if (!shapes_broadcast(t, at, "index_update", v, part, &joint)) return &t->k->poison;
    Type to = part->type;
    to.dtype = v->type.dtype;
    if (joint.rank != to.rank || memcmp(joint.dim, to.dim, to.rank * sizeof *to.dim) != 0)
        return fail(t, at, KILN_ESHAPE, "index_update: the values are %s; they must broadcast to the part, %s",
            tensor_text(v, a, sizeof a), tensor_text(part, b, sizeof b));
    return broadcast_to(t, at, v, &to);
}

static kiln_tensor *updated(Thread *t, kiln_site at, kiln_tensor *x, const Plan *p, kiln_operand values, kiln_scatter_how how)
{
    char why[64];
    Run run[MAX_RANK];
    const bool told = runs_of(x, p, run);
    const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
    if (all == DIM_BAD)
        return fail(t, at, KILN_EUNSUPPORTED, "index_update: the product of the sizes %s", extent_trouble(t, why, sizeof why));
    kiln_tensor *part = x;
    if (!told) { /* each element's number in x; where the subscripts find it is its place */
        part = iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {all}}, 0, x);
        part = reshape_to(t, at, part, x->type.dim, x->type.rank);
    }
    if (tensor_ok(part)) part = subscripted(t, at, "index_update", part, p);
    kiln_tensor *v = tensor_ok(part) ? values_of(t, at, x, part, values) : part;
    if (!tensor_ok(v)) return v;
    if (extent_product(t, at, part->type.dim, part->type.rank) == 0) return x;
    return told ? updated_part(t, at, x, run, v, how) : scatter_flat(t, at, x, part, of(v), how);
}

kiln_tensor *kiln_index_update_at(kiln_site at, kiln_operand o, kiln_operand values, kiln_scatter_how how, kiln_subscripts s)
{
    Thread *t;
    Plan p;
    char text[160];
    kiln_tensor *x = first_operand(at, "index_update", o, &t);
    if (!tensor_ok(x)) return x;
    if ((unsigned)how > KILN_SCATTER_MIN)
        return fail(t, at, KILN_EVALUE, "index_update: how is %d (allowed: KILN_SCATTER_SET to KILN_SCATTER_MIN, %d to %d)",
            (int)how, KILN_SCATTER_SET, KILN_SCATTER_MIN);
    if (how != KILN_SCATTER_SET && x->type.dtype == DT_bool)
        return fail(t, at, KILN_EDTYPE, "index_update: bool can only be set, not combined: %s", tensor_text(x, text, sizeof text));
    Composite c = composite_begin(t, "index_update");
    composite_beside(t, x);
    const bool planned = make_plan(t, at, "index_update", x, s, &p);
    kiln_tensor *r = planned ? result_of(t, at, updated(t, at, x, &p, values, how), x) : &t->k->poison;
    return composite_end(t, &c, r);
}
