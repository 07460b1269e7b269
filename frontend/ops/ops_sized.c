/* ops_sized: the public operations whose results have a size that the elements tell: places of elements, masks; ops_unique.c has
 * different elements. All of it is computed at the bound, and the results are the first so many elements, which one count tells.
 * Relies on counted.h. Never reads an element but that count, and that only in eager code. */
#include "counted.h"

#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

Dim size_counted(Thread *t, kiln_site at, kiln_tensor *n, Dim bound)
{
    int64_t count = 0;
    if (!tensor_ok(n) || bound == DIM_BAD) return DIM_BAD;
    if (t->trace) return t->k->hooks->count(t, at, n, bound);
    if (!tensor_read(t, at, n, &count)) return DIM_BAD;
    return MAX_OF(MIN_OF(count, bound), 0);
}

/* ---- places --------------------------------------------------------------------------------------------- */

/* Each true element puts its own index where as many true ones come before it; places behind `room` are one, which is cut off. */
static kiln_tensor *places_at_bound(Thread *t, kiln_site at, kiln_tensor *mask, Dim bound, Dim room)
{
    const Type index = {.dtype = DT_i64, .rank = 1, .dim = {mask->type.dim[0]}}, all = {.dtype = DT_i64, .rank = 1, .dim = {room}};
    kiln_operand before = of(apply1(t, at, OP_cumsum, cast_to(t, at, mask, DT_i64), ATTRS_OF(cumsum, .axis = 0, .exclusive = 1)));
    kiln_operand own = of(kiln_where_at(at, of(mask), of(iota_of(t, at, &index, 0, mask)), kiln_of_i(0)));
    kiln_operand to = bound == room ? before : OP2(min, before, of(dim_tensor(t, at, bound, DT_i64)));
    if (!tensor_ok(to.as.tensor) || !tensor_ok(own.as.tensor)) return &t->k->poison;
    kiln_tensor *in[3] = {number_like(t, at, NULL, &all, kiln_of_i(0)), to.as.tensor, own.as.tensor};
    return apply(t, at, OP_scatter, in, 3, ATTRS_OF(scatter, .axis = 0, .fold = KILN_SCATTER_MAX - 1), NULL, 0);
}

kiln_tensor *mask_places(Thread *t, kiln_site at, const char *op, kiln_tensor *mask, int64_t most)
{
    if (!tensor_ok(mask)) return mask;
    const Dim n = mask->type.dim[0];
    const Dim bound = most < 0 || extent_hi(t, n) <= most ? n : most, room = bound == n ? n : extent(t, at, EXTENT_ADD, bound, 1);
    if (room == DIM_BAD) return fail(t, at, KILN_EVALUE, "%s: most is %lld (allowed: 0 to 2^48 - 1)", op, (long long)most);
    if (n == 0 || bound == 0) {
        const Type none = {.dtype = DT_i64, .rank = 1};
        return iota_of(t, at, &none, 0, mask);
    }
    kiln_tensor *found = places_at_bound(t, at, mask, bound, room);
    kiln_tensor *count = apply1(t, at, OP_sum, cast_to(t, at, mask, DT_i64), (const int64_t[]){0}, 1);
    if (!tensor_ok(found) || !tensor_ok(count)) return &t->k->poison;
    if (bound != n) count = kiln_min_at(at, of(count), kiln_of_i(bound));
    const Dim size = size_counted(t, at, count, bound);
    return size == DIM_BAD ? &t->k->poison : slice_axis(t, at, found, 0, 0, size);
}

static kiln_tensor *seen_flat(Thread *t, kiln_site at, const char *op, kiln_tensor *x)
{
    char why[64];
    if (!tensor_ok(x)) return x;
    const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
    if (all == DIM_BAD) return fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", op, extent_trouble(t, why, sizeof why));
    return reshape_to(t, at, x, &all, 1);
}

static bool most_fits(Thread *t, kiln_site at, const char *op, int64_t most)
{
    if (most >= 0 && most < DIM_MAX) return true;
    fail(t, at, KILN_EVALUE, "%s: most is %lld (allowed: 0 to 2^48 - 1)", op, (long long)most);
    return false;
}

/* ---- nonzero -------------------------------------------------------------------------------------------- */

kiln_tensor *place_along(Thread *t, kiln_site at, const Type *x, kiln_tensor *place, int axis)
{
    const Dim stride = extent_product(t, at, x->dim + axis + 1, x->rank - axis - 1);
    if (!tensor_ok(place) || stride == DIM_BAD) return &t->k->poison;
    kiln_operand c = of(place);
    if (stride != 1) c = OP2(floor_div, c, of(dim_tensor(t, at, stride, DT_i64)));
    if (axis != 0) c = OP2(mod, c, of(dim_tensor(t, at, x->dim[axis], DT_i64)));
    return c.as.tensor;
}

static kiln_tensor *coordinates(Thread *t, kiln_site at, const Type *x, kiln_tensor *place)
{
    kiln_tensor *along[MAX_RANK];
    for (int i = 0; i < x->rank; i++)
        if (!tensor_ok(along[i] = place_along(t, at, x, place, i))) return &t->k->poison;
    return kiln_stack_at(at, along, x->rank, 0);
}

static kiln_tensor *nonzero(kiln_site at, kiln_operand o, const char *op, int64_t most)
{
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x)) return x;
    if (x->type.rank == 0)
        return fail(t, at, KILN_ESHAPE, "%s: a scalar has no axes along which its place could be told: %s", op,
            tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, op);
    kiln_tensor *flat = seen_flat(t, at, op, cast_to(t, at, x, DT_bool));
    return composite_end(t, &s, coordinates(t, at, &x->type, mask_places(t, at, op, flat, most)));
}

kiln_tensor *kiln_nonzero_at(kiln_site at, kiln_operand x) { return nonzero(at, x, "nonzero", -1); }

kiln_tensor *kiln_nonzero_within_at(kiln_site at, kiln_operand x, int64_t most)
{
    Thread *t = op_thread(&x, 1);
    if (!t) return NULL;
    return most_fits(t, at, "nonzero_within", most) ? nonzero(at, x, "nonzero_within", most) : &t->k->poison;
}

/* ---- masks ---------------------------------------------------------------------------------------------- */

/* Both as tensors, the mask of bools. False: poison, or recorded. */
static bool mask_of(Thread *t, kiln_site at, const char *op, kiln_operand o, kiln_operand m, kiln_tensor **x, kiln_tensor **mask)
{
    char text[160];
    *x = operand_named(t, at, op, o, NULL);
    *mask = operand_named(t, at, op, m, NULL);
    if (!tensor_ok(*x) || !tensor_ok(*mask)) return false;
    if ((*mask)->type.dtype == DT_bool) return true;
    fail(t, at, KILN_EDTYPE, "%s: the mask must be bool, not %s", op, tensor_text(*mask, text, sizeof text));
    return false;
}

static bool unlike(Thread *t, kiln_site at, const char *op, const char *what, const kiln_tensor *mask, const kiln_tensor *x)
{
    char a[160], b[160];
    fail(t, at, KILN_ESHAPE, "%s: %s: %s of %s", op, what, tensor_text(mask, a, sizeof a), tensor_text(x, b, sizeof b));
    return false;
}

static kiln_tensor *compress(kiln_site at, kiln_operand o, kiln_operand m, int axis, const char *op, int64_t most)
{
    kiln_operand both[2] = {o, m};
    Thread *t = op_thread(both, 2);
    kiln_tensor *x, *mask;
    if (!t) return NULL;
    if (!mask_of(t, at, op, o, m, &x, &mask) || !axis_of(t, at, op, axis, x->type.rank, &axis)) return &t->k->poison;
    const Dim n = mask->type.rank == 1 ? mask->type.dim[0] : 0, whole = x->type.dim[axis];
    if (mask->type.rank != 1) return unlike(t, at, op, "the mask must have one axis", mask, x), &t->k->poison;
    if (n != whole && extent_hi(t, n) > extent_lo(t, whole))
        return unlike(t, at, op, "the mask is longer than the axis, or may be", mask, x), &t->k->poison;
    Composite s = composite_begin(t, op);
    kiln_tensor *place = mask_places(t, at, op, mask, most);
    if (!tensor_ok(place)) return composite_end(t, &s, place);
    return composite_end(t, &s, apply2(t, at, OP_gather, x, place, ATTRS_OF(gather, .axis = axis)));
}

kiln_tensor *kiln_compress_at(kiln_site at, kiln_operand x, kiln_operand mask, int axis)
{
    return compress(at, x, mask, axis, "compress", -1);
}

kiln_tensor *kiln_compress_within_at(kiln_site at, kiln_operand x, kiln_operand mask, int axis, int64_t most)
{
    kiln_operand both[2] = {x, mask};
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    return most_fits(t, at, "compress_within", most) ? compress(at, x, mask, axis, "compress_within", most) : &t->k->poison;
}

static kiln_tensor *masked(kiln_site at, kiln_operand o, kiln_operand m, const char *op, int64_t most)
{
    kiln_operand both[2] = {o, m};
    Thread *t = op_thread(both, 2);
    kiln_tensor *x, *mask;
    if (!t) return NULL;
    if (!mask_of(t, at, op, o, m, &x, &mask)) return &t->k->poison;
    const int n = mask->type.rank, rest = x->type.rank - n;
    if (n == 0) return unlike(t, at, op, "the mask has no axes", mask, x), &t->k->poison;
    if (rest < 0 || memcmp(mask->type.dim, x->type.dim, (size_t)n * sizeof(Dim)) != 0)
        return unlike(t, at, op, "the mask does not have the shape of the first axes", mask, x), &t->k->poison;
    Composite s = composite_begin(t, op);
    kiln_tensor *flat = seen_flat(t, at, op, mask);
    if (!tensor_ok(flat)) return composite_end(t, &s, flat);
    Dim shape[MAX_RANK] = {flat->type.dim[0]};
    memcpy(shape + 1, x->type.dim + n, (size_t)rest * sizeof *shape);
    kiln_tensor *rows = reshape_to(t, at, x, shape, 1 + rest), *place = mask_places(t, at, op, flat, most);
    if (!tensor_ok(rows) || !tensor_ok(place)) return composite_end(t, &s, &t->k->poison);
    return composite_end(t, &s, apply2(t, at, OP_gather, rows, place, ATTRS_OF(gather, .axis = 0)));
}

kiln_tensor *kiln_masked_at(kiln_site at, kiln_operand x, kiln_operand mask) { return masked(at, x, mask, "masked", -1); }

kiln_tensor *kiln_masked_within_at(kiln_site at, kiln_operand x, kiln_operand mask, int64_t most)
{
    kiln_operand both[2] = {x, mask};
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    return most_fits(t, at, "masked_within", most) ? masked(at, x, mask, "masked_within", most) : &t->k->poison;
}
