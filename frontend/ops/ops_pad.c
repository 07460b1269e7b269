/* ops_pad: the public operations that lengthen axes, or cut them: by one number, or by elements of the tensor itself. Composites of
 * slice, pad, flip, concat and gather; relies on ops.h. */
#include "ops.h"

/* DIM_BAD: more than an axis can have. */
static int64_t padded_size(int64_t n, int64_t before, int64_t after)
{
    if (before > DIM_MAX || after > DIM_MAX) return DIM_BAD;
    return dim_add(NULL, dim_add(NULL, n, MAX_OF(before, 0)), MAX_OF(after, 0));
}

/* Whether there is an amount for each side of each axis, and a tensor may be as large. False: recorded. */
static bool amounts_fit(
    Thread *t, kiln_site at, const char *op, const kiln_tensor *x, const kiln_shape *low, const kiln_shape *high)
{
    char text[160];
    const int rank = x->type.rank;
    int64_t elements = 1;
    if (low->rank != rank || high->rank != rank) {
        fail(t, at, KILN_ESHAPE, "%s: %lld amounts before and %lld after given for rank %d: %s", op, (long long)low->rank,
            (long long)high->rank, rank, tensor_text(x, text, sizeof text));
        return false;
    }
    for (int i = 0; i < rank; i++) {
        const int64_t before = low->size[i + 1], after = high->size[i + 1];
        const int64_t n = padded_size(extent_hi(t, x->type.dim[i]), before, after);
        if (n > 0) elements = dim_mul(NULL, elements, n);
        if (n == DIM_BAD || elements == DIM_BAD) {
            fail(t, at, KILN_ESHAPE,
                "%s: %s with axis %d padded by %lld and %lld is too large: a tensor has at most "
                "2^48 elements",
                op, tensor_text(x, text, sizeof text), i, (long long)before, (long long)after);
            return false;
        }
    }
    return true;
}

/* x without the elements that negative amounts cut off. */
static kiln_tensor *cut(Thread *t, kiln_site at, const char *op, kiln_tensor *x, const kiln_shape *low, const kiln_shape *high)
{
    char text[160];
    kiln_tensor *r = x;
    for (int i = 0; i < x->type.rank && tensor_ok(r); i++) {
        const int64_t before = low->size[i + 1], after = high->size[i + 1], n = extent_hi(t, x->type.dim[i]);
        if (before >= 0 && after >= 0) continue;
        const int64_t first = MIN_OF(before, 0), last = MIN_OF(after, 0); /* 0 or less; a size is at most 2^48 */
        if (first < -n || last < -n || first + last < -n)
            return fail(t, at, KILN_ESHAPE, "%s: axis %d cannot be cut by %lld and %lld: %s", op, i, (long long)before,
                (long long)after, tensor_text(x, text, sizeof text));
        r = axis_at_least(t, at, op, r, i, -(first + last));
        if (tensor_ok(r)) r = slice_axis(t, at, r, i, -first, extent(t, at, EXTENT_SUB, r->type.dim[i], -(first + last)));
    }
    return r;
}

kiln_tensor *kiln_pad_at(kiln_site at, kiln_operand o, kiln_shape low, kiln_shape high, kiln_operand fill)
{
    Thread *t;
    struct pad_attrs *padding = ATTRS_ROOM(pad, 2 * MAX_RANK);
    kiln_tensor *x = first_operand(at, "pad", o, &t);
    if (!tensor_ok(x)) return x;
    if (!operand_is_number(fill)) return fail(t, at, KILN_EVALUE, "pad: the fill must be a number");
    if (!number_bits(t, at, "pad", (DType)x->type.dtype, fill, &padding->fill)) return &t->k->poison;
    if (!amounts_fit(t, at, "pad", x, &low, &high)) return &t->k->poison;
    bool grows = false, shrinks = false;
    for (int i = 0; i < x->type.rank; i++) {
        padding->axis[i].low = MAX_OF(low.size[i + 1], 0);
        padding->axis[i].high = MAX_OF(high.size[i + 1], 0);
        grows = grows || low.size[i + 1] > 0 || high.size[i + 1] > 0;
        shrinks = shrinks || low.size[i + 1] < 0 || high.size[i + 1] < 0;
    }
    Composite s = composite_begin(t, "pad");
    kiln_tensor *r = shrinks ? cut(t, at, "pad", x, &low, &high) : x;
    if (tensor_ok(r) && (grows || !shrinks)) r = apply1(t, at, OP_pad, r, ATTRS_TO(padding, padding->axis + x->type.rank));
    return composite_end(t, &s, r);
}

/* ---- with elements of the tensor --------------------------------------------------------------- */

/* The elements before (or behind) those of the axis, `count` of them, where one turn of the pattern has them all. */
static kiln_tensor *side(Thread *t, kiln_site at, kiln_tensor *x, int axis, int64_t count, kiln_padding how, bool behind)
{
    const Dim n = x->type.dim[axis];
    const int64_t skip = how == KILN_PAD_REFLECT, back = how == KILN_PAD_EDGE ? 1 : count + skip;
    Type wide = x->type;
    Dim first = skip; /* behind what REFLECT leaves out */
    if (how == KILN_PAD_EDGE) first = behind ? extent(t, at, EXTENT_SUB, n, 1) : 0;
    if (how == KILN_PAD_WRAP) first = behind ? 0 : extent(t, at, EXTENT_SUB, n, count);
    if (how != KILN_PAD_EDGE && how != KILN_PAD_WRAP && behind) first = extent(t, at, EXTENT_SUB, n, back);
    kiln_tensor *part = slice_axis(t, at, x, axis, first, how == KILN_PAD_EDGE ? 1 : count);
    if (how == KILN_PAD_WRAP) return part;
    wide.dim[axis] = count;
    return how == KILN_PAD_EDGE ? broadcast_to(t, at, part, &wide) : flip_axis(t, at, part, axis);
}

/* The same by indices, for any amount: element i of the result is that at i - low, folded into the axis. */
static kiln_tensor *by_index(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim low, Dim high, kiln_padding how)
{
    char text[160], why[64];
    const Dim n = x->type.dim[axis], size = extent(t, at, EXTENT_ADD, n, extent(t, at, EXTENT_ADD, low, high));
    if (size == DIM_BAD)
        return fail(t, at, KILN_EUNSUPPORTED, "pad_with: the size of axis %d %s: %s", axis, extent_trouble(t, why, sizeof why),
            tensor_text(x, text, sizeof text));
    kiln_operand last = of(dim_tensor(t, at, extent(t, at, EXTENT_SUB, n, 1), DT_i64));
    kiln_operand i = of(iota_of(t, at, &(Type){.dtype = DT_i64, .rank = 1, .dim = {size}}, 0, x));
    i = of(kiln_sub_at(at, i, of(dim_tensor(t, at, low, DT_i64))));
    kiln_operand all = of(kiln_add_at(at, last, kiln_of_i(1)));
    if (how == KILN_PAD_EDGE) {
        i = of(kiln_clip_at(at, i, kiln_of_i(0), last));
    } else if (how == KILN_PAD_WRAP) {
        i = of(kiln_mod_at(at, i, all));
    } else { /* there and back: 2 n, or without the ends 2 n - 2, but at least 1 */
        kiln_operand turn = of(kiln_mul_at(at, how == KILN_PAD_REFLECT ? last : all, kiln_of_i(2)));
        i = of(kiln_mod_at(at, i, of(kiln_max_at(at, turn, kiln_of_i(1)))));
        kiln_operand back = of(kiln_sub_at(at, turn, i));
        if (how == KILN_PAD_SYMMETRIC) back = of(kiln_sub_at(at, back, kiln_of_i(1)));
        i = of(kiln_where_at(at, of(kiln_gt_at(at, i, last)), back, i));
    }
    return tensor_ok(i.as.tensor) ? apply2(t, at, OP_gather, x, i.as.tensor, ATTRS_OF(gather, .axis = axis)) : &t->k->poison;
}

kiln_tensor *pad_with_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim low, Dim high, kiln_padding how)
{
    char text[160];
    if (extent_hi(t, x->type.dim[axis]) < 1)
        return fail(t, at, KILN_EVALUE, "pad_with: axis %d has no element to repeat: %s", axis, tensor_text(x, text, sizeof text));
    x = axis_at_least(t, at, "pad_with", x, axis, 1);
    if (!tensor_ok(x)) return x;
    const int64_t n = extent_lo(t, x->type.dim[axis]), most = MAX_OF(low, high);
    if (!dim_is_const(low) || !dim_is_const(high)) return by_index(t, at, x, axis, low, high, how);
    if (how != KILN_PAD_EDGE && most > n - (how == KILN_PAD_REFLECT)) return by_index(t, at, x, axis, low, high, how);
    kiln_tensor *part[3] = {x};
    int count = 1;
    if (low > 0) {
        part[0] = side(t, at, x, axis, low, how, false);
        part[count++] = x;
    }
    if (high > 0) part[count++] = side(t, at, x, axis, high, how, true);
    return kiln_concat_at(at, part, count, axis);
}

kiln_tensor *kiln_pad_with_at(kiln_site at, kiln_operand o, kiln_shape low, kiln_shape high, kiln_padding how)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "pad_with", o, &t);
    if (!tensor_ok(x)) return x;
    if ((unsigned)how > KILN_PAD_WRAP)
        return fail(t, at, KILN_EVALUE, "pad_with: how is %d (allowed: KILN_PAD_EDGE to KILN_PAD_WRAP, %d to %d)", (int)how,
            KILN_PAD_EDGE, KILN_PAD_WRAP);
    if (!amounts_fit(t, at, "pad_with", x, &low, &high)) return &t->k->poison;
    Composite s = composite_begin(t, "pad_with");
    composite_beside(t, x);
    kiln_tensor *r = cut(t, at, "pad_with", x, &low, &high);
    for (int i = 0; i < x->type.rank && tensor_ok(r); i++)
        if (low.size[i + 1] > 0 || high.size[i + 1] > 0)
            r = pad_with_axis(t, at, r, i, MAX_OF(low.size[i + 1], 0), MAX_OF(high.size[i + 1], 0), how);
    return composite_end(t, &s, result_of(t, at, r, x));
}
