/* assign_slice: assigns to part of a variable. Variables hold immutable tensors, so the whole value is made anew: a gather per axis
 * shifts the part to its place, and a where chooses it there. Composites of public operations; never writes elements in place. */
#include "effect.h"

typedef struct Place {   /* one axis */
    kiln_tensor *inside; /* bool[size]: whether the index is in the part */
    kiln_tensor *from;   /* i64[size]: which index of the part, clamped into it */
} Place;

static kiln_tensor *along(Thread *t, kiln_site at, kiln_tensor *x, int axis, int rank)
{
    Dim dim[MAX_RANK];
    for (int i = 0; i < rank; i++) dim[i] = i == axis ? x->type.dim[0] : 1;
    return reshape_to(t, at, x, dim, rank);
}

/* start: an integer scalar, clamped so that [start, start + n) lies in [0, size). */
static bool place(Thread *t, kiln_site at, const char *op, kiln_operand start, Dim size, Dim n, Place *p)
{
    const Type index = {.dtype = DT_i64};
    char text[96];
    kiln_tensor *s = operand_named(t, at, op, start, &index);
    if (!tensor_ok(s)) return false;
    if (s->type.rank || !dtype_is_int(s->type.dtype)) {
        fail(t, at, KILN_EDTYPE, "%s: a start must be an integer scalar, not %s", op, tensor_text(s, text, sizeof text));
        return false;
    }
    const Dim starts = extent(t, at, EXTENT_ADD, extent(t, at, EXTENT_SUB, size, n), 1);
    if (starts != DIM_BAD && !effect_indices(t, at, op, s, starts)) return false;
    kiln_tensor *width = dim_tensor(t, at, n, DT_i64);
    kiln_tensor *last = binary(at, OP_sub, of(dim_tensor(t, at, size, DT_i64)), of(width));
    if (s->type.dtype == DT_u64) s = binary(at, OP_min, of(s), of(cast_to(t, at, last, DT_u64))); /* before i64 makes it negative */
    s = binary(at, OP_max, of(binary(at, OP_min, of(cast_to(t, at, s, DT_i64)), of(last))), kiln_of_i(0));
    kiln_tensor *i = iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {size}}, 0, NULL);
    kiln_tensor *offset = binary(at, OP_sub, of(i), of(s));
    p->inside = binary(at, OP_and, of(binary(at, OP_ge, of(offset), kiln_of_i(0))), of(binary(at, OP_lt, of(offset), of(width))));
    p->from = offset; /* gather clamps */
    return tensor_ok(p->inside);
}

static bool part_fits(Thread *t, kiln_site at, const char *op, const kiln_variable *v, const kiln_tensor *x, int starts)
{
    const DimTable *dims = module_of(t) ? &module_of(t)->dims : NULL;
    const Type *whole = &v->type;
    char a[96], b[96];
    type_print(dims, whole, a, sizeof a);
    type_print(dims, &x->type, b, sizeof b);
    if (starts != whole->rank) {
        fail(t, at, KILN_ESHAPE, "%s: %d starts given for %s; one per axis is needed", op, starts, a);
        return false;
    }
    const int lead = whole->rank - x->type.rank; /* axes that the part lacks count as size 1 */
    bool fits = lead >= 0 && x->type.dtype == whole->dtype;
    for (int i = 0; i < whole->rank && fits; i++) {
        Dim n = i < lead ? 1 : x->type.dim[i - lead];
        fits = n == whole->dim[i] || extent_hi(t, n) <= extent_lo(t, whole->dim[i]);
    }
    if (!fits)
        fail(t, at, x->type.dtype == whole->dtype ? KILN_ESHAPE : KILN_EDTYPE,
            "%s: the variable is %s, the part %s; the part must have the same dtype, no more axes, and none longer", op, a, b);
    return fits;
}

static kiln_tensor *with_leading_ones(Thread *t, kiln_site at, kiln_tensor *x, int rank)
{
    Dim dim[MAX_RANK];
    const int lead = rank - x->type.rank;
    for (int i = 0; i < rank; i++) dim[i] = i < lead ? 1 : x->type.dim[i - lead];
    return lead ? reshape_to(t, at, x, dim, rank) : x;
}

static void assign(
    kiln_site at, const char *op, kiln_variable *v, int count, const kiln_operand *start, kiln_operand value, bool add)
{
    Thread *t = v ? thread_of(v->k) : thread_last();
    if (!t) return;
    if (!v || !v->alive) {
        fail(t, at, KILN_ESTATE, "%s: %s", op, v ? "the variable was freed" : "the variable is NULL");
        return;
    }
    if (!list_there(t, at, op, start, count)) return;
    Composite c = composite_begin(t, op);
    const Type ones = {.dtype = v->type.dtype, .rank = v->type.rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
    kiln_tensor *x = operand_named(t, at, op, value, &ones);
    bool ok = tensor_ok(x) && part_fits(t, at, op, v, x, count);
    if (ok) x = with_leading_ones(t, at, x, v->type.rank);
    kiln_tensor *old = ok ? kiln_value_at(at, kiln_of_variable(v)) : NULL, *inside = NULL;
    const int rank = ok ? x->type.rank : 0;
    composite_beside(t, old);
    for (int i = 0; i < rank && ok; i++) {
        Place p;
        if (x->type.dim[i] == v->type.dim[i]) continue; /* the only place */
        if (!(ok = place(t, at, op, start[i], v->type.dim[i], x->type.dim[i], &p))) break;
        x = apply2(t, at, OP_gather, x, p.from, ATTRS_OF(gather, .axis = i)); /* out of range only where the value is not used */
        p.inside = along(t, at, p.inside, i, rank);
        inside = inside ? binary(at, OP_and, of(inside), of(p.inside)) : p.inside;
    }
    if (ok) {
        if (add) x = binary(at, OP_add, of(old), of(x));
        if (inside) x = kiln_where_at(at, of(inside), of(x), of(old));
        if (composite_well(t, &c)) kiln_assign_at(at, v, of(x));
    }
    composite_end(t, &c, NULL);
}

void kiln_assign_slice_at(kiln_site at, kiln_variable *v, int count, const kiln_operand *start, kiln_operand x)
{
    assign(at, "assign_slice", v, count, start, x, false);
}

void kiln_assign_add_slice_at(kiln_site at, kiln_variable *v, int count, const kiln_operand *start, kiln_operand x)
{
    assign(at, "assign_add_slice", v, count, start, x, true);
}
