/* ops_index: the public operations whose operands are indices: gather and take_along, scatter, one_hot. Relies on ops.h, effect.h.
 * Never reads an index: ops clamp them, and checked engines check them by an effect. */
#include "effect.h"

kiln_tensor *operand_index(Thread *t, kiln_site at, const char *op, kiln_operand o)
{
    char text[160];
    kiln_tensor *i = operand_named(t, at, op, o, &(Type){.dtype = DT_i64});
    if (!tensor_ok(i) || dtype_is_int((DType)i->type.dtype)) return i;
    return fail(t, at, KILN_EDTYPE, "%s: the indices must be integers, not %s", op, tensor_text(i, text, sizeof text));
}

kiln_tensor *kiln_gather_at(kiln_site at, kiln_operand o, kiln_operand indices, int axis)
{
    kiln_operand both[2] = {o, indices};
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "gather", o, NULL), *i = operand_index(t, at, "gather", indices);
    if (!tensor_ok(x) || !tensor_ok(i)) return &t->k->poison;
    if (!axis_of(t, at, "gather", axis, x->type.rank, &axis)) return &t->k->poison;
    if (!effect_indices(t, at, "gather", i, x->type.dim[axis])) return &t->k->poison;
    return apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = axis));
}

kiln_tensor *is_index(Thread *t, kiln_site at, kiln_tensor *i, Dim size)
{
    kiln_operand wide = of(cast_to(t, at, i, DT_i64)); /* of u64, what i64 does not hold becomes negative */
    kiln_operand below = of(kiln_lt_at(at, wide, of(dim_tensor(t, at, size, DT_i64))));
    return kiln_and_at(at, of(kiln_ge_at(at, wide, kiln_of_i(0))), below);
}

kiln_tensor *iota_of(Thread *t, kiln_site at, const Type *type, int axis, const kiln_tensor *beside)
{
    struct iota_attrs *a = ATTRS_ROOM(iota, MAX_RANK);
    a->dtype = type->dtype;
    a->axis = axis;
    memcpy(a->shape, type->dim, type->rank * sizeof *a->shape);
    const uint8_t own = device_beside(t, beside);
    kiln_tensor *r = apply(t, at, OP_iota, NULL, 0, ATTRS_TO(a, a->shape + type->rank), NULL, 0);
    t->device = own;
    return r;
}

kiln_tensor *is_class(Thread *t, kiln_site at, kiln_tensor *i, Dim classes)
{
    DType d = (DType)i->type.dtype;
    if (extent_hi(t, classes) - 1 > dtype_info[d].hi) i = cast_to(t, at, i, d = DT_i64); /* otherwise the iota would wrap */
    i = kiln_expand_at(at, of(i), -1);
    if (!tensor_ok(i)) return i;
    return kiln_eq_at(at, of(i), of(iota_of(t, at, &(Type){.dtype = (uint8_t)d, .rank = 1, .dim = {classes}}, 0, i)));
}

kiln_tensor *kiln_one_hot_at(kiln_site at, kiln_operand indices, int64_t classes, kiln_dtype d)
{
    Thread *t = op_thread(&indices, 1);
    if (!t) return NULL;
    kiln_tensor *i =
        operand_is_number(indices) ? operand_named(t, at, "one_hot", indices, NULL) : operand_index(t, at, "one_hot", indices);
    if (!tensor_ok(i)) return i;
    if (classes < 0 || classes > DIM_MAX)
        return fail(t, at, KILN_EVALUE, "one_hot: classes is %lld (allowed: 0 to 2^48)", (long long)classes);
    if (!effect_indices(t, at, "one_hot", i, classes)) return &t->k->poison;
    Composite s = composite_begin(t, "one_hot");
    return composite_end(t, &s, kiln_cast_at(at, of(is_class(t, at, i, classes)), d));
}

/* ---- take_along ------------------------------------------------------------------------------ */

static kiln_operand times(Thread *t, kiln_site at, kiln_tensor *i, Dim by)
{
    return by == 1 ? of(i) : of(kiln_mul_at(at, of(i), of(dim_tensor(t, at, by, DT_i64))));
}

kiln_tensor *index_sum(Thread *t, kiln_site at, kiln_tensor *sum, kiln_tensor *i, Dim by)
{
    if (!tensor_ok(i) || (sum && !tensor_ok(sum))) return &t->k->poison;
    kiln_operand more = times(t, at, i, by);
    return sum ? kiln_add_at(at, of(sum), more) : more.as.tensor;
}

kiln_tensor *index_clamped(Thread *t, kiln_site at, kiln_tensor *i, Dim size)
{
    const Dim end = size == 0 ? 0 : extent(t, at, EXTENT_SUB, size, 1); /* where there is nothing, gather and scatter say so */
    kiln_operand last = of(dim_tensor(t, at, end, DT_i64));
    return kiln_clip_at(at, of(cast_to(t, at, i, DT_i64)), kiln_of_i(0), last);
}

kiln_tensor *flat_index(Thread *t, kiln_site at, const Type *x, kiln_tensor *i, int axis)
{
    Dim stride[MAX_RANK], all = 1;
    for (int a = x->rank - 1; a >= 0; a--) {
        stride[a] = all;
        all = extent(t, at, EXTENT_MUL, all, x->dim[a]);
    }
    kiln_operand sum = times(t, at, i, stride[axis]);
    for (int a = 0; a < x->rank; a++) {
        Type own = {.dtype = DT_i64, .rank = x->rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}}; /* the sum broadcasts it */
        own.dim[a] = i->type.dim[a];
        if (a != axis && x->dim[a] != 1) sum = of(kiln_add_at(at, sum, times(t, at, iota_of(t, at, &own, a, i), stride[a])));
    }
    return sum.as.tensor;
}

kiln_tensor *take_along(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *i, int axis)
{
    const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
    kiln_tensor *flat = reshape_to(t, at, x, &all, 1), *from = flat_index(t, at, &x->type, i, axis);
    return tensor_ok(flat) && tensor_ok(from) ? apply2(t, at, OP_gather, flat, from, ATTRS_OF(gather, .axis = 0)) : &t->k->poison;
}

kiln_tensor *kiln_take_along_at(kiln_site at, kiln_operand o, kiln_operand indices, int axis)
{
    kiln_operand both[2] = {o, indices};
    Thread *t = op_thread(both, 2);
    char text[160], other[160];
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "take_along", o, NULL), *i = operand_index(t, at, "take_along", indices);
    if (!tensor_ok(x) || !tensor_ok(i)) return &t->k->poison;
    if (!axis_of(t, at, "take_along", axis, x->type.rank, &axis)) return &t->k->poison;
    bool fits = i->type.rank == x->type.rank;
    for (int a = 0; fits && a < x->type.rank; a++) fits = a == axis || i->type.dim[a] == x->type.dim[a];
    if (!fits)
        return fail(t, at, KILN_ESHAPE, "take_along: the indices must have the shape of x on all axes but %d: %s x %s", axis,
            tensor_text(x, text, sizeof text), tensor_text(i, other, sizeof other));
    if (!effect_indices(t, at, "take_along", i, x->type.dim[axis])) return &t->k->poison;
    Composite s = composite_begin(t, "take_along");
    i = index_clamped(t, at, i, x->type.dim[axis]);
    return composite_end(t, &s, tensor_ok(i) ? take_along(t, at, x, i, axis) : &t->k->poison);
}

/* ---- scatter --------------------------------------------------------------------------------- */

static const char *type_text(Thread *t, const Type *type, char *buf, size_t cap)
{
    type_print(module_of(t) ? &module_of(t)->dims : NULL, type, buf, cap);
    return buf;
}

/* x's shape with the indices' axes in place of that axis. False: recorded. */
static bool updates_type(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_tensor *i, int axis, Type *out)
{
    *out = (Type){.dtype = x->type.dtype};
    if (x->type.rank - 1 + i->type.rank > MAX_RANK) {
        fail(t, at, KILN_ESHAPE, "scatter: the updates would have %d axes (allowed: 0 to %d)", x->type.rank - 1 + i->type.rank,
            MAX_RANK);
        return false;
    }
    for (int a = 0; a < axis; a++) out->dim[out->rank++] = x->type.dim[a];
    for (int a = 0; a < i->type.rank; a++) out->dim[out->rank++] = i->type.dim[a];
    for (int a = axis + 1; a < x->type.rank; a++) out->dim[out->rank++] = x->type.dim[a];
    return true;
}

kiln_tensor *kiln_scatter_at(
    kiln_site at, kiln_operand o, kiln_operand indices, kiln_operand updates, int axis, kiln_scatter_how how)
{
    kiln_operand all[3] = {o, indices, updates};
    Thread *t = op_thread(all, 3);
    char text[160], want[160];
    Type type;
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "scatter", o, NULL), *i = operand_index(t, at, "scatter", indices);
    if (!tensor_ok(x) || !tensor_ok(i)) return &t->k->poison;
    kiln_tensor *u = operand_named(t, at, "scatter", updates, &(Type){.dtype = x->type.dtype});
    if (!tensor_ok(u) || !axis_of(t, at, "scatter", axis, x->type.rank, &axis)) return &t->k->poison;
    if (!updates_type(t, at, x, i, axis, &type)) return &t->k->poison;
    if ((unsigned)how > KILN_SCATTER_MIN)
        return fail(t, at, KILN_EVALUE, "scatter: how is %d (allowed: KILN_SCATTER_SET to KILN_SCATTER_MIN, %d to %d)", (int)how,
            KILN_SCATTER_SET, KILN_SCATTER_MIN);
    if (u->type.dtype != x->type.dtype)
        return fail(t, at, KILN_EDTYPE, "scatter: the updates are %s, x is %s; the dtypes must be equal",
            dtype_info[u->type.dtype].name, tensor_text(x, text, sizeof text));
    if (operand_is_number(updates)) u = broadcast_to(t, at, u, &type);
    if (!tensor_ok(u)) return u;
    if (u->type.rank != type.rank || memcmp(u->type.dim, type.dim, type.rank * sizeof *type.dim) != 0)
        return fail(t, at, KILN_ESHAPE, "scatter: the updates are %s; they must be %s", tensor_text(u, text, sizeof text),
            type_text(t, &type, want, sizeof want));
    if (!effect_indices(t, at, "scatter", i, x->type.dim[axis])) return &t->k->poison;
    if (extent_product(t, at, i->type.dim, i->type.rank) == 0) return result_of(t, at, x, x);
    Composite s = composite_begin(t, "scatter");
    const bool sums = how == KILN_SCATTER_ADD || how == KILN_SCATTER_MUL;
    const DType own = (DType)x->type.dtype, wide = sums ? wide_dtype(x) : own;
    kiln_tensor *in[3] = {cast_to(t, at, x, wide), i, cast_to(t, at, u, wide)};
    const int fold = how == KILN_SCATTER_SET ? KILN_SCATTER_MIN : (int)how - 1; /* as in op_gather.c: replacing is the last kind */
    kiln_tensor *r = apply(t, at, OP_scatter, in, 3, ATTRS_OF(scatter, .axis = axis, .fold = fold), NULL, 0);
    return composite_end(t, &s, cast_to(t, at, r, own));
}
