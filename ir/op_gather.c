/* op_gather: gather and scatter, whose sum is its adjoint; a scatter that folds by 4 replaces, and the last update stays. Relies on
 * family. */
#include "family.h"

/* Out-of-range indices clamp, which needs somewhere to clamp to. Of an axis that may be empty, whoever traces it asks at run time.
 */
static bool can_index(Infer *inf, Dim axis, const Type *indices)
{
    DimTable *t = rule_dims(inf);
    if (dim_hi(t, axis) >= 1 || type_elements(t, indices) == 0) return true;
    return infer_fail(inf, ST_SHAPE, "the indexed axis is empty");
}

bool infer_gather(Infer *inf)
{
    const Type *x = inf->in[0], *indices = inf->in[1];
    const int64_t axis = ATTRS(gather, inf->attr)->axis;
    if (!rule_axis(inf, axis, x->rank)) return false;
    if (!dtype_is_int((DType)indices->dtype)) return infer_fail(inf, ST_DTYPE, "indices must be integers");
    if (x->rank - 1 + indices->rank > MAX_RANK)
        return infer_fail(inf, ST_SHAPE, "the result would have more than %d axes", MAX_RANK);
    if (!can_index(inf, x->dim[axis], indices)) return false;
    Type out = {.dtype = x->dtype};
    for (int64_t i = 0; i < axis; i++) shape_push(&out, x->dim[i]);
    for (uint32_t i = 0; i < indices->rank; i++) shape_push(&out, indices->dim[i]);
    for (int64_t i = axis + 1; i < x->rank; i++) shape_push(&out, x->dim[i]);
    return rule_result(inf, &out);
}

static Value gather(Emit *e, Value x, Value indices, int64_t axis)
{
    if (x == 0 || indices == 0) return 0;
    return e->op(e, OP_gather, (Value[]){x, indices}, 2, ATTRS_OF(gather, .axis = axis));
}

enum { FOLD_SUM, FOLD_PROD, FOLD_MAX, FOLD_MIN, FOLD_SET };
static Value scatter(Emit *e, Value x, Value indices, Value updates, int64_t axis, int64_t fold)
{
    if (x == 0 || indices == 0 || updates == 0) return 0;
    return e->op(e, OP_scatter, (Value[]){x, indices, updates}, 3, ATTRS_OF(scatter, .axis = axis, .fold = fold));
}

void vjp_gather(Vjp *v)
{
    if (!v->wanted[0] || v->g[0] == 0) return;
    const int64_t axis = ATTRS(gather, v->node->attr->at)->axis;
    const Type x = *v->e->type(v->e, v->in[0]);
    Value g = emit_wide(v->e, v->g[0]); /* sums of 16-bit floats round once */
    if (g == 0) return;
    Type zeros = x;
    zeros.dtype = v->e->type(v->e, g)->dtype;
    v->dx[0] = emit_cast(v->e, scatter(v->e, emit_constant(v->e, 0, &zeros), v->in[1], g, axis, FOLD_SUM), (DType)x.dtype);
}

bool infer_scatter(Infer *inf)
{
    const Type *x = inf->in[0], *indices = inf->in[1], *updates = inf->in[2];
    const struct scatter_attrs *to = ATTRS(scatter, inf->attr);
    if (!rule_axis(inf, to->axis, x->rank)) return false;
    if (to->fold < FOLD_SUM || to->fold > FOLD_SET)
        return infer_fail(inf, ST_VALUE, "fold is %lld (allowed: 0 to 4)", (long long)to->fold);
    if (!dtype_is_int((DType)indices->dtype)) return infer_fail(inf, ST_DTYPE, "indices must be integers");
    if (updates->dtype != x->dtype) return infer_fail(inf, ST_DTYPE, "the updates must have the dtype of x");
    if (to->fold != FOLD_SET && !rule_domain(inf, 0, 'N')) return false;
    if (to->fold == FOLD_PROD && dtype_info[x->dtype].compute != x->dtype)
        return infer_fail(inf, ST_DTYPE, "cast 16-bit and 8-bit floats to f32 before a product");
    const uint32_t axis = (uint32_t)to->axis, n = indices->rank;
    bool fits = updates->rank == x->rank - 1u + n && memcmp(updates->dim, x->dim, axis * sizeof *x->dim) == 0 &&
                memcmp(updates->dim + axis, indices->dim, n * sizeof *x->dim) == 0 &&
                memcmp(updates->dim + axis + n, x->dim + axis + 1, (x->rank - axis - 1) * sizeof *x->dim) == 0;
    if (!fits)
        return infer_fail(inf, ST_SHAPE, "the updates must have the shape of x, with the indices' axes in place of axis %u", axis);
    return can_index(inf, x->dim[axis], indices) && rule_result(inf, x);
}

/* Every factor of an element but the one that asks: by division, and where zeros are among them by hand. y: the product. */
static Value other_factors(Vjp *v, Value updates)
{
    Emit *e = v->e;
    const struct scatter_attrs *a = ATTRS(scatter, v->node->attr->at);
    const Type x = *e->type(e, v->in[0]), u = *e->type(e, updates);
    Value zero = emit_constant(e, 0, &u), one = emit_constant(e, 1, &u), x0 = emit_constant(e, 0, &x), x1 = emit_constant(e, 1, &x);
    Value is_zero = emit2(e, OP_eq, updates, zero), x_zero = emit2(e, OP_eq, v->in[0], x0);
    Value zeros =
        scatter(e, emit3(e, OP_where, x_zero, x1, x0), v->in[1], emit3(e, OP_where, is_zero, one, zero), a->axis, FOLD_SUM);
    Value rest = scatter(e, emit3(e, OP_where, x_zero, x1, v->in[0]), v->in[1], emit3(e, OP_where, is_zero, one, updates), a->axis,
        FOLD_PROD); /* without the zeros */
    zeros = gather(e, zeros, v->in[1], a->axis);
    rest = gather(e, rest, v->in[1], a->axis);
    Value among = emit3(e, OP_where, emit2(e, OP_eq, zeros, zero), emit2(e, OP_div, rest, updates), zero);
    Value alone = emit3(e, OP_where, emit2(e, OP_eq, zeros, one), rest, zero);
    return emit3(e, OP_where, is_zero, alone, among);
}

/* Whoever equals the extreme gets an equal share. */
static void share_extreme(Vjp *v, const struct scatter_attrs *a)
{
    Emit *e = v->e;
    const Type x = *e->type(e, v->in[0]), u = *e->type(e, v->in[2]);
    Type wide = x, wide_u = u;
    wide.dtype = wide_u.dtype = dtype_info[x.dtype].compute; /* a count need not be of a 16-bit type's range */
    Value x_chosen = emit2(e, OP_eq, v->in[0], v->out[0]);
    Value u_chosen = emit2(e, OP_eq, v->in[2], gather(e, v->out[0], v->in[1], a->axis));
    Value x_ones = emit3(e, OP_where, x_chosen, emit_constant(e, 1, &wide), emit_constant(e, 0, &wide));
    Value u_ones = emit3(e, OP_where, u_chosen, emit_constant(e, 1, &wide_u), emit_constant(e, 0, &wide_u));
    Value share = emit2(e, OP_div, emit_wide(e, v->g[0]), scatter(e, x_ones, v->in[1], u_ones, a->axis, FOLD_SUM));
    share = emit_cast(e, share, (DType)x.dtype);
    if (v->wanted[0]) v->dx[0] = emit3(e, OP_where, x_chosen, share, emit_constant(e, 0, &x));
    if (v->wanted[2]) v->dx[2] = emit3(e, OP_where, u_chosen, gather(e, share, v->in[1], a->axis), emit_constant(e, 0, &u));
}

/* i64 in the indices' shape: 0, 1, 2 ... */
static Value numbers_of(Emit *e, const Type *indices)
{
    Dim many = 1;
    for (uint32_t i = 0; i < indices->rank; i++) many = dim_mul(emit_dims(e), many, indices->dim[i]);
    return emit_reshape(e, emit_iota(e, &(Type){.rank = 1, .dim = {many}}, 0), indices);
}

/* x as what varies along this axis and those behind it, in the shape `to`. */
static Value along(Emit *e, Value x, uint32_t axis, const Type *to)
{
    if (x == 0) return 0;
    const Type t = *e->type(e, x);
    Type wide = {.dtype = t.dtype, .rank = to->rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
    memcpy(wide.dim + axis, t.dim, t.rank * sizeof *t.dim);
    return emit_broadcast(e, emit_reshape(e, x, &wide), to);
}

/* The last update of each element gets the cotangent, and where none came, x does. */
static void last_takes(Vjp *v, const struct scatter_attrs *a)
{
    Emit *e = v->e;
    const Type x = *e->type(e, v->in[0]), indices = *e->type(e, v->in[1]), updates = *e->type(e, v->in[2]);
    const uint32_t axis = (uint32_t)a->axis;
    Type places = {.dtype = DT_i64, .rank = 1, .dim = {x.dim[axis]}};
    const Value order = numbers_of(e, &indices);
    const Value last = scatter(e, emit_constant(e, -1, &places), v->in[1], order, 0, FOLD_MAX);
    if (v->wanted[0]) {
        const Value met = emit2(e, OP_ge, last, emit_constant(e, 0, &places));
        v->dx[0] = emit3(e, OP_where, along(e, met, axis, &x), emit_constant(e, 0, &x), v->g[0]);
    }
    if (!v->wanted[2]) return;
    const Value stays = along(e, emit2(e, OP_eq, gather(e, last, v->in[1], 0), order), axis, &updates);
    v->dx[2] = emit3(e, OP_where, stays, gather(e, v->g[0], v->in[1], axis), emit_constant(e, 0, &updates));
}

void vjp_scatter(Vjp *v)
{
    const struct scatter_attrs *a = ATTRS(scatter, v->node->attr->at);
    if (v->g[0] == 0) return;
    if (a->fold == FOLD_SET) {
        last_takes(v, a);
        return;
    }
    if (a->fold >= FOLD_MAX) {
        share_extreme(v, a);
        return;
    }
    if (v->wanted[0]) v->dx[0] = a->fold == FOLD_SUM ? v->g[0] : scatter(v->e, v->g[0], v->in[1], v->in[2], a->axis, FOLD_PROD);
    if (!v->wanted[2]) return;
    v->dx[2] = gather(v->e, v->g[0], v->in[1], a->axis);
    if (a->fold == FOLD_PROD) v->dx[2] = emit2(v->e, OP_mul, v->dx[2], other_factors(v, v->in[2]));
}

/* The result's axes are (before, indices, after): the indices lie along those in the middle; x along the others and where its index
 * says. */
bool map_gather(const Mapping *p)
{
    const Type *t = mapped_result(p), *x = mapped_operand(p, 0), *indices = mapped_operand(p, 1);
    const uint32_t axis = (uint32_t)ATTRS(gather, p->n->attr->at)->axis;
    IndexMap seen, *out = &p->out->map;
    Dim size[3] = {1, 1, 1};
    for (uint32_t i = 0; i < t->rank; i++) {
        uint32_t part = i < axis ? 0 : i < axis + indices->rank ? 1 : 2;
        size[part] = dim_mul(p->env->dims, size[part], t->dim[i]);
    }
    if (!index_regroup(p->env, p->m, size, 3, &seen)) return false;
    map_push(out, seen.dim[1], &seen.at[1]);
    if (p->k == 1) return true;
    IndexExpr e = index_const(0);
    /* Of an axis that is empty nothing is read; where its size is counted, there is memory for more. */
    if (!dim_is_counted(p->env->dims, x->dim[axis]) && !map_guard(p, &e, x->dim[axis])) return false;
    index_normalise(p->env, out);
    e.dyn = p->env->clamped ? p->env->clamped(p->env->user, p->n->in[1], out, x->dim[axis]) : -1;
    if (e.dyn < 0) return false;
    out->rank = 0;
    map_push(out, seen.dim[0], &seen.at[0]);
    map_push(out, x->dim[axis], &e);
    map_push(out, seen.dim[2], &seen.at[2]);
    return true;
}

/* ---- many examples: where their indices differ, rows of one table, example after example ------------------------------- */

/* Indices of all examples, [n, ...], as those of rows of a table in which each example has `size` of them. */
static Value rows_of(const Vmap *v, Value indices, Dim size)
{
    Emit *e = v->e;
    Type t = *e->type(e, indices);
    const DType own = (DType)t.dtype == DT_u64 ? DT_u64 : DT_i64; /* clamped before what i64 does not hold is lost */
    Value last = emit2(e, OP_sub, emit_cast(e, emit_extent(e, size), own), emit_cast(e, emit_extent(e, 1), own));
    Value i = emit2(e, OP_min, emit_cast(e, indices, own), emit_broadcast(e, last, &t));
    i = emit_cast(e, i, DT_i64);
    t.dtype = DT_i64;
    i = emit2(e, OP_max, i, emit_constant(e, 0, &t));
    return emit2(e, OP_add, i, emit2(e, OP_mul, emit_iota(e, &t, 0), emit_broadcast(e, emit_extent(e, size), &t)));
}

/* x [n, before, size, after] as a table [n size, before, after]. */
static Value table_of(const Vmap *v, Value x, uint32_t axis)
{
    if (x == 0) return 0;
    const uint32_t rank = v->e->type(v->e, x)->rank;
    int64_t from[MAX_RANK] = {0, axis + 1};
    for (uint32_t i = 2; i < rank; i++) from[i] = i <= axis + 1 ? i - 1 : i;
    return vmap_merge(v, emit_transpose(v->e, x, from, rank));
}

/* [n, moved..., before..., after...] as [n, before..., moved..., after...], or back. */
static Value moved(const Vmap *v, Value x, uint32_t moving, uint32_t before, bool back)
{
    if (x == 0) return 0;
    const uint32_t rank = v->e->type(v->e, x)->rank, first = back ? before : moving, second = back ? moving : before;
    int64_t from[MAX_RANK] = {0};
    for (uint32_t i = 1; i < rank; i++) from[i] = i <= second ? i + first : i <= first + second ? i - second : i;
    return emit_transpose(v->e, x, from, rank);
}

void vmap_gather(Vmap *v)
{
    const int64_t axis = ATTRS(gather, v->node->attr->at)->axis;
    const uint32_t indices = vmap_type(v, 1).rank;
    const Dim size = vmap_type(v, 0).dim[axis];
    if (!v->many[1]) {
        v->out[0] = gather(v->e, v->in[0], v->in[1], axis + 1);
    } else if (!v->many[0]) {
        v->out[0] = vmap_front(v->e, gather(v->e, v->in[0], v->in[1], axis), (uint32_t)axis);
    } else {
        const Value rows = gather(v->e, table_of(v, v->in[0], (uint32_t)axis), rows_of(v, v->in[1], size), 0);
        v->out[0] = moved(v, rows, indices, (uint32_t)axis, false);
    }
}

void vmap_scatter(Vmap *v)
{
    const struct scatter_attrs *a = ATTRS(scatter, v->node->attr->at);
    const uint32_t axis = (uint32_t)a->axis, indices = vmap_type(v, 1).rank;
    const Value x = vmap_all(v, 0), updates = vmap_all(v, 2);
    if (x == 0 || updates == 0) return;
    if (!v->many[1]) {
        v->out[0] = scatter(v->e, x, v->in[1], updates, axis + 1, a->fold);
        return;
    }
    const Dim size = vmap_type(v, 0).dim[axis];
    const Value table =
        scatter(v->e, table_of(v, x, axis), rows_of(v, v->in[1], size), moved(v, updates, indices, axis, true), 0, a->fold);
    v->out[0] = moved(v, vmap_split(v, table, size), 1, axis, false);
}
