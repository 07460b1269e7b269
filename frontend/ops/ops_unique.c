/* ops_unique: different elements, and different slices along an axis, which are numbered first so that equal ones have equal
 * numbers in their order. Their sizes are counted (ops_sized.c). Relies on ops.h. Never reads an element. */
#include "ops.h"

#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

enum { VALUES, INDICES, INVERSE, COUNTS, PARTS };

/* n elements and their different values. Indices are i64. */
typedef struct Unique {
    kiln_tensor *x, *flat; /* what is compared, [n]: x seen as one axis, or numbers of its slices along `axis` */
    kiln_tensor *apart;    /* bool[n]: which elements of flat equal none; NULL: NaN alone */
    int axis, how;         /* KILN_FLAT or one of x's; 0 or KILN_FIRST_MET */
    kiln_tensor *order;    /* sorts flat, stably */
    kiln_tensor *first;    /* bool[n]: which of the elements in order begins a value; NULL: there are no elements */
    kiln_tensor *index;    /* of each value the first occurrence in flat, [m] */
    kiln_tensor *which;    /* the value of each element, in order or, if first met, as they lie in flat; made once it is needed */
} Unique;

static kiln_tensor *at_index(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *i)
{
    if (!tensor_ok(x) || !tensor_ok(i)) return &t->k->poison;
    return apply2(t, at, OP_gather, x, i, ATTRS_OF(gather, .axis = x->type.rank - 1));
}

/* Zeros with numbers, 1 for each of them if there are none, added at these indices. */
static kiln_tensor *added_at(Thread *t, kiln_site at, kiln_tensor *i, kiln_tensor *numbers)
{
    if (!tensor_ok(i) || (numbers && !tensor_ok(numbers))) return &t->k->poison;
    Type all = i->type;
    kiln_tensor *one = numbers ? numbers : number_like(t, at, NULL, &all, kiln_of_i(1));
    kiln_tensor *in[3] = {number_like(t, at, NULL, &all, kiln_of_i(0)), i, one};
    return apply(t, at, OP_scatter, in, 3, ATTRS_OF(scatter, .axis = 0, .fold = KILN_SCATTER_ADD - 1), NULL, 0);
}

static kiln_operand iota_last(Thread *t, kiln_site at, kiln_tensor *x)
{
    const Type index = {.dtype = DT_i64, .rank = 1, .dim = {x->type.dim[x->type.rank - 1]}};
    return of(iota_of(t, at, &index, 0, x));
}

/* Of elements in order along the last axis, whether each differs from the one before it, as the first does. nan_alike: NaN do not.
 */
static kiln_tensor *begins(Thread *t, kiln_site at, kiln_tensor *sorted, bool nan_alike)
{
    if (!tensor_ok(sorted)) return sorted;
    kiln_operand i = iota_last(t, at, sorted), x = of(sorted);
    kiln_operand before = of(at_index(t, at, sorted, kiln_max_at(at, OP2(sub, i, kiln_of_i(1)), kiln_of_i(0))));
    kiln_operand other = OP2(ne, x, before);
    if (nan_alike) other = OP2(and, other, OP2(or, OP2(eq, x, x), OP2(eq, before, before)));
    return kiln_or_at(at, other, OP2(eq, i, kiln_of_i(0)));
}

/* 0 for the first, 1 for the second that begins ... along the last axis */
static kiln_tensor *numbered(Thread *t, kiln_site at, kiln_tensor *begin)
{
    if (!tensor_ok(begin)) return begin;
    kiln_tensor *many = apply1(t, at, OP_cumsum, cast_to(t, at, begin, DT_i64), ATTRS_OF(cumsum, .axis = begin->type.rank - 1));
    return kiln_sub_at(at, of(many), kiln_of_i(1));
}

/* ---- slices as numbers ------------------------------------------------------------------------------------- */

/* The rank of each element of x [lines, n] among the values of its line, NaN one of them. */
static kiln_tensor *ranks(Thread *t, kiln_site at, kiln_tensor *x)
{
    kiln_tensor *order = kiln_argsort_at(at, of(x), 1, 0);
    if (!tensor_ok(order)) return order;
    kiln_tensor *begin = begins(t, at, take_along(t, at, x, order, 1), dtype_is_float((DType)x->type.dtype));
    kiln_tensor *which = numbered(t, at, begin);
    if (!tensor_ok(which)) return which;
    return kiln_scatter_along_at(
        at, of(number_like(t, at, NULL, &which->type, kiln_of_i(0))), of(order), of(which), 1, KILN_SCATTER_SET);
}

/* x [lines, 2, n] -> [lines, n] */
static kiln_tensor *line_of(Thread *t, kiln_site at, kiln_tensor *x, Dim i)
{
    kiln_tensor *line = slice_axis(t, at, x, 1, i, 1);
    return tensor_ok(line) ? reshape_to(t, at, line, (const Dim[]){x->type.dim[0], x->type.dim[2]}, 2) : line;
}

/* Ranks [lines, n] as numbers [n] in the order of the columns, of which the first line decides most: two lines become one, as rank
 * n + rank, and these are ranked anew, until one is left. */
static kiln_tensor *joined(Thread *t, kiln_site at, kiln_tensor *rank, int64_t lines)
{
    const Dim n = tensor_ok(rank) ? rank->type.dim[1] : 0;
    while (lines > 1 && tensor_ok(rank)) {
        if (lines & 1) rank = pad_axis(t, at, rank, 0, 0, 1, kiln_of_i(0));
        lines = (lines + 1) / 2;
        kiln_tensor *two = tensor_ok(rank) ? reshape_to(t, at, rank, (const Dim[]){lines, 2, n}, 3) : rank;
        kiln_operand high = of(line_of(t, at, two, 0)), low = of(line_of(t, at, two, 1));
        rank = kiln_add_at(at, OP2(mul, high, of(dim_tensor(t, at, n, DT_i64))), low);
        if (lines > 1 && tensor_ok(rank)) rank = ranks(t, at, rank);
    }
    return tensor_ok(rank) ? reshape_to(t, at, rank, &n, 1) : rank;
}

/* The slices of x along the axis as [lines, n], an element of a slice in each line, the first one first; bools as u8. */
static kiln_tensor *lines_of(Thread *t, kiln_site at, const char *op, kiln_tensor *x, int axis)
{
    int perm[MAX_RANK];
    char why[64];
    const int rank = x->type.rank;
    for (int i = 0; i < rank; i++) perm[i] = i == rank - 1 ? axis : i + (i >= axis);
    x = transpose_to(t, at, x->type.dtype == DT_bool ? cast_to(t, at, x, DT_u8) : x, perm);
    if (!tensor_ok(x)) return x;
    const Dim shape[2] = {extent_product(t, at, x->type.dim, rank - 1), x->type.dim[rank - 1]};
    if (shape[0] == DIM_BAD) return fail(t, at, KILN_ESHAPE, "%s: the size of a slice %s", op, extent_trouble(t, why, sizeof why));
    return reshape_to(t, at, x, shape, 2);
}

static bool slices_numbered(Thread *t, kiln_site at, const char *op, Unique *u)
{
    char text[160];
    kiln_tensor *x = lines_of(t, at, op, u->x, u->axis);
    if (!tensor_ok(x)) return false;
    const Dim lines = x->type.dim[0], n = x->type.dim[1];
    const int64_t most = extent_hi(t, lines);
    const Type all = {.dtype = DT_i64, .rank = 1, .dim = {n}};
    if (lines == 1) return tensor_ok(u->flat = reshape_to(t, at, x, &n, 1));
    if (most == 0 || n == 0) return tensor_ok(u->flat = number_like(t, at, NULL, &all, kiln_of_i(0)));
    if (extent_hi(t, n) > INT64_C(3037000499)) /* whose square is an i64 */
        return fail(t, at, KILN_EUNSUPPORTED, "%s: more than 3037000499 slices: %s", op, tensor_text(u->x, text, sizeof text)),
               false;
    if (dtype_is_float((DType)x->type.dtype)) {
        u->apart = kiln_any_at(at, OP2(ne, of(x), of(x)), KILN_AXES(0));
        if (!tensor_ok(u->apart)) return false;
    }
    kiln_tensor *rank = ranks(t, at, x);
    if (lines != most) rank = pad_axis(t, at, rank, 0, 0, extent(t, at, EXTENT_SUB, most, lines), kiln_of_i(0));
    return tensor_ok(u->flat = joined(t, at, rank, most));
}

static bool flattened(Thread *t, kiln_site at, const char *op, Unique *u)
{
    char why[64];
    const Dim all = extent_product(t, at, u->x->type.dim, u->x->type.rank);
    if (all == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", op, extent_trouble(t, why, sizeof why)), false;
    kiln_tensor *x = u->x->type.dtype == DT_bool ? cast_to(t, at, u->x, DT_u8) : u->x;
    return tensor_ok(x) && tensor_ok(u->flat = reshape_to(t, at, x, &all, 1));
}

/* ---- values ------------------------------------------------------------------------------------------------ */

/* Values as x has them: the first of equals leads them, which the stable order puts first, too. */
static bool first_met(Thread *t, kiln_site at, const char *op, Unique *u)
{
    kiln_tensor *place = kiln_where_at(at, of(u->first), iota_last(t, at, u->flat), kiln_of_i(0));
    kiln_tensor *leader = added_at(t, at, u->order, at_index(t, at, u->order, kiln_cummax_at(at, of(place), 0, 0, NULL)));
    kiln_tensor *leads = tensor_ok(leader) ? kiln_eq_at(at, of(leader), iota_last(t, at, u->flat)) : leader;
    u->which = at_index(t, at, numbered(t, at, leads), leader);
    return tensor_ok(u->which) && tensor_ok(u->index = mask_places(t, at, op, leads, -1));
}

static bool unique_begin(Thread *t, kiln_site at, const char *op, Unique *u)
{
    if (!(u->axis == KILN_FLAT ? flattened(t, at, op, u) : slices_numbered(t, at, op, u))) return false;
    u->order = kiln_argsort_at(at, of(u->flat), 0, 0);
    if (!tensor_ok(u->order)) return false;
    if (u->flat->type.dim[0] == 0) return tensor_ok(u->index = u->order);
    u->first = begins(t, at, at_index(t, at, u->flat, u->order), false);
    if (u->apart) u->first = kiln_or_at(at, of(u->first), of(at_index(t, at, u->apart, u->order)));
    if (!tensor_ok(u->first)) return false;
    if (u->how == KILN_FIRST_MET) return first_met(t, at, op, u);
    kiln_tensor *start = mask_places(t, at, op, u->first, -1);
    return tensor_ok(u->index = at_index(t, at, u->order, start));
}

static kiln_tensor *unique_part(Thread *t, kiln_site at, Unique *u, int part)
{
    const Type *x = &u->x->type;
    if (part == INDICES) return u->index;
    if (part == VALUES && u->axis != KILN_FLAT) return apply2(t, at, OP_gather, u->x, u->index, ATTRS_OF(gather, .axis = u->axis));
    if (part == VALUES) return cast_to(t, at, at_index(t, at, u->flat, u->index), (DType)x->dtype);
    if (!u->which) u->which = u->first ? numbered(t, at, u->first) : u->index;
    const bool met = !u->first || u->how == KILN_FIRST_MET; /* which is in flat's order */
    if (part == INVERSE) {
        kiln_tensor *inverse = met ? u->which : added_at(t, at, u->order, u->which);
        return tensor_ok(inverse) && u->axis == KILN_FLAT ? reshape_to(t, at, inverse, x->dim, x->rank) : inverse;
    }
    kiln_tensor *counts = added_at(t, at, u->which, NULL);
    return tensor_ok(counts) ? slice_axis(t, at, counts, 0, 0, u->index->type.dim[0]) : counts;
}

/* out: the parts that are asked for. */
static bool unique(Thread *t, kiln_site at, const char *op, Unique *u, const int *part, int parts, kiln_tensor **out)
{
    Composite s = composite_begin(t, op);
    bool ok = unique_begin(t, at, op, u);
    for (int i = 0; i < parts && ok; i++) ok = tensor_ok(out[i] = unique_part(t, at, u, part[i]));
    for (int i = 0; i < parts && ok; i++) {
        for (int j = 0; j < i; j++)
            if (out[j] == out[i]) out[i] = tensor_alias(t, at, out[i]);
        composite_keep(t, out[i]);
    }
    composite_end(t, &s, NULL);
    return ok || results_poison(t, out, parts);
}

static bool unique_flat(kiln_site at, kiln_operand o, const char *op, const int *part, int parts, kiln_tensor **out)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return false;
    Unique u = {.x = operand_named(t, at, op, o, NULL), .axis = KILN_FLAT};
    return tensor_ok(u.x) ? unique(t, at, op, &u, part, parts, out) : results_poison(t, out, parts);
}

kiln_tensor *kiln_unique_values_at(kiln_site at, kiln_operand x)
{
    kiln_tensor *values = NULL;
    unique_flat(at, x, "unique_values", (const int[]){VALUES}, 1, &values);
    return values;
}

bool kiln_unique_counts_at(kiln_site at, kiln_operand x, kiln_tensor **out)
{
    return unique_flat(at, x, "unique_counts", (const int[]){VALUES, COUNTS}, 2, out);
}

bool kiln_unique_inverse_at(kiln_site at, kiln_operand x, kiln_tensor **out)
{
    return unique_flat(at, x, "unique_inverse", (const int[]){VALUES, INVERSE}, 2, out);
}

bool kiln_unique_all_at(kiln_site at, kiln_operand x, kiln_tensor **out)
{
    return unique_flat(at, x, "unique_all", (const int[]){VALUES, INDICES, INVERSE, COUNTS}, PARTS, out);
}

kiln_tensor *kiln_unique_at(
    kiln_site at, kiln_operand o, int axis, int how, kiln_tensor **indices, kiln_tensor **inverse, kiln_tensor **counts)
{
    kiln_tensor **to[PARTS] = {NULL, indices, inverse, counts}, *out[PARTS];
    int part[PARTS], parts = 0;
    Thread *t = op_thread(&o, 1);
    for (int i = 0; i < PARTS; i++)
        if (i == VALUES || to[i]) part[parts++] = i;
    results_poison(t, out, parts);
    Unique u = {.x = t ? operand_named(t, at, "unique", o, NULL) : NULL, .axis = axis, .how = how};
    if (t && how != 0 && how != KILN_FIRST_MET)
        fail(t, at, KILN_EVALUE, "unique: how is %d (allowed: 0, KILN_FIRST_MET)", how);
    else if (t && tensor_ok(u.x) && (axis == KILN_FLAT || axis_of(t, at, "unique", axis, u.x->type.rank, &u.axis)))
        unique(t, at, "unique", &u, part, parts, out);
    for (int i = 1; i < parts; i++) *to[part[i]] = out[i];
    return out[0];
}
