/* ops_move: the public operations that move elements. Relies on ops.h and apply. Touches no element: the ops make views and
 * copies. */
#include "effect.h"

#include <stdio.h>

/* ---- shapes --------------------------------------------------------------------------------- */

static const char *shape_text(const kiln_shape *s, char *buf, size_t cap)
{
    size_t n = 0;
    buf[0] = '\0';
    for (int i = 1; i <= s->rank && n < cap; i++)
        n += (size_t)snprintf(buf + n, cap - n, "%s%lld", i > 1 ? "," : "", (long long)s->size[i]);
    return buf;
}

/* minus_one: what a size of -1 stands for in this op. */
static bool shape_fits(Thread *t, kiln_site at, const char *op, const kiln_shape *s, const char *minus_one)
{
    int64_t n = 1;
    char text[200];
    if (s->rank < 0 || s->rank > KILN_MAX_RANK) {
        fail(t, at, KILN_ESHAPE, "%s: the shape has %lld axes (allowed: 0 to %d)", op, (long long)s->rank, KILN_MAX_RANK);
        return false;
    }
    for (int i = 1; i <= s->rank; i++) {
        if (s->size[i] < -1) {
            fail(t, at, KILN_ESHAPE, "%s: axis %d of [%s] has size %lld; it must be 0 or more, or -1 for %s", op, i - 1,
                shape_text(s, text, sizeof text), (long long)s->size[i], minus_one);
            return false;
        }
        if (s->size[i] > 0) n = dim_mul(NULL, n, MIN_OF(s->size[i], DIM_MAX + 1));
        if (n == DIM_BAD) {
            fail(t, at, KILN_ESHAPE, "%s: [%s] is too large: a tensor has at most 2^48 elements", op,
                shape_text(s, text, sizeof text));
            return false;
        }
    }
    return true;
}

/* The size that -1 stands for: what remains of x's elements. */
static bool fill_rest(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_shape *s, Type *to)
{
    Dim known = 1, all = extent_product(t, at, x->type.dim, x->type.rank);
    int rest = -1;
    for (int i = 0; i < to->rank; i++) {
        to->dim[i] = s->size[i + 1];
        if (to->dim[i] >= 0) {
            known = extent(t, at, EXTENT_MUL, known, to->dim[i]);
        } else if (rest >= 0) {
            fail(t, at, KILN_ESHAPE, "reshape: only one size may be -1");
            return false;
        } else {
            rest = i;
        }
    }
    if (rest >= 0) to->dim[rest] = extent(t, at, EXTENT_EXACT, all, known);
    return rest < 0 ? known == all : to->dim[rest] != DIM_BAD;
}

kiln_tensor *kiln_reshape_at(kiln_site at, kiln_operand o, kiln_shape s)
{
    Thread *t;
    char a[160], b[200];
    kiln_tensor *x = first_operand(at, "reshape", o, &t);
    if (!tensor_ok(x)) return x;
    if (!shape_fits(t, at, "reshape", &s, "what remains")) return &t->k->poison;
    Type to = {.dtype = x->type.dtype, .rank = (uint8_t)s.rank};
    if (!fill_rest(t, at, x, &s, &to))
        return fail(t, at, KILN_ESHAPE, "reshape: %s cannot become [%s]: the numbers of elements differ",
            tensor_text(x, a, sizeof a), shape_text(&s, b, sizeof b));
    return result_of(t, at, reshape_to(t, at, x, to.dim, to.rank), x);
}

/* Fills to->dim. False: recorded, with the first axis at fault. */
static bool broadcast_type(Thread *t, kiln_site at, const kiln_tensor *x, const kiln_shape *s, Type *to)
{
    char a[160], b[200], why[160];
    int new_axes = to->rank - x->type.rank;
    bool fits = new_axes >= 0;
    if (!fits) snprintf(why, sizeof why, "it has %d axes; a broadcast adds axes and never removes any", x->type.rank);
    for (int i = 0; i < to->rank && fits; i++) {
        Dim own = i >= new_axes ? x->type.dim[i - new_axes] : 1, want = s->size[i + 1];
        to->dim[i] = want == -1 && i >= new_axes ? own : want;
        fits = to->dim[i] >= 0 ? own == 1 || own == to->dim[i] : to->dim[i] == own;
        if (fits) continue;
        if (i < new_axes)
            snprintf(why, sizeof why, "axis %d is new, so its size cannot be -1", i);
        else
            snprintf(why, sizeof why, "axis %d becomes %lld only from that size or from 1", i, (long long)want);
    }
    if (!fits)
        fail(t, at, KILN_ESHAPE, "broadcast: %s cannot become [%s]: %s", tensor_text(x, a, sizeof a), shape_text(s, b, sizeof b),
            why);
    return fits;
}

kiln_tensor *kiln_broadcast_at(kiln_site at, kiln_operand o, kiln_shape s)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "broadcast", o, &t);
    if (!tensor_ok(x)) return x;
    if (!shape_fits(t, at, "broadcast", &s, "the size as it is")) return &t->k->poison;
    Type to = {.dtype = x->type.dtype, .rank = (uint8_t)s.rank};
    if (!broadcast_type(t, at, x, &s, &to)) return &t->k->poison;
    return result_of(t, at, broadcast_to(t, at, x, &to), x);
}

kiln_tensor *kiln_expand_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    char text[160];
    kiln_tensor *x = first_operand(at, "expand", o, &t);
    if (!tensor_ok(x)) return x;
    int rank = x->type.rank;
    if (!axis_of(t, at, "expand", axis, rank + 1, &axis)) return &t->k->poison;
    if (rank == MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "expand: a tensor has at most %d axes: %s", MAX_RANK, tensor_text(x, text, sizeof text));
    Dim dim[MAX_RANK];
    for (int i = 0; i <= rank; i++) dim[i] = i == axis ? 1 : x->type.dim[i - (i > axis)];
    return reshape_to(t, at, x, dim, rank + 1);
}

kiln_tensor *kiln_squeeze_at(kiln_site at, kiln_operand o, int axis)
{
    Thread *t;
    char text[160];
    kiln_tensor *x = first_operand(at, "squeeze", o, &t);
    if (!tensor_ok(x)) return x;
    int rank = x->type.rank;
    if (!axis_of(t, at, "squeeze", axis, rank, &axis)) return &t->k->poison;
    if (x->type.dim[axis] != 1)
        return fail(t, at, KILN_ESHAPE, "squeeze: axis %d does not have size 1: %s", axis, tensor_text(x, text, sizeof text));
    Dim dim[MAX_RANK];
    for (int i = 0; i < rank - 1; i++) dim[i] = x->type.dim[i + (i >= axis)];
    return reshape_to(t, at, x, dim, rank - 1);
}

kiln_tensor *kiln_flatten_at(kiln_site at, kiln_operand o)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "flatten", o, &t);
    if (!tensor_ok(x)) return x;
    if (x->type.rank == 0) return fail(t, at, KILN_ESHAPE, "flatten: a scalar has no axes");
    Dim dim[2] = {x->type.dim[0], extent_product(t, at, x->type.dim + 1, x->type.rank - 1)};
    char why[64];
    if (dim[1] == DIM_BAD)
        return fail(t, at, KILN_ESHAPE, "flatten: the product of the sizes %s", extent_trouble(t, why, sizeof why));
    return result_of(t, at, reshape_to(t, at, x, dim, 2), x);
}

/* ---- transposition -------------------------------------------------------------------------- */

kiln_tensor *transpose_to(Thread *t, kiln_site at, kiln_tensor *x, const int *perm)
{
    int64_t attr[MAX_RANK];
    if (!tensor_ok(x)) return &t->k->poison;
    for (int i = 0; i < x->type.rank; i++) attr[i] = perm[i];
    return apply1(t, at, OP_transpose, x, attr, x->type.rank);
}

kiln_tensor *kiln_transpose_at(kiln_site at, kiln_operand o, kiln_axes perm)
{
    Thread *t;
    char text[160];
    int axis[MAX_RANK], seen = 0;
    kiln_tensor *x = first_operand(at, "transpose", o, &t);
    if (!tensor_ok(x)) return x;
    int rank = x->type.rank;
    if (perm.count != -1 && perm.count != rank)
        return fail(
            t, at, KILN_ESHAPE, "transpose: %d axes named for rank %d: %s", perm.count, rank, tensor_text(x, text, sizeof text));
    for (int i = 0; i < rank; i++) {
        int from = perm.count < 0 ? rank - 1 - i : perm.axis[i + 1];
        if (!axis_of(t, at, "transpose", from, rank, &axis[i])) return &t->k->poison;
        if (seen >> axis[i] & 1) return fail(t, at, KILN_ESHAPE, "transpose: axis %d is named twice", axis[i]);
        seen |= 1 << axis[i];
    }
    return transpose_to(t, at, x, axis);
}

/* ---- slices --------------------------------------------------------------------------------- */

kiln_tensor *slice_steps(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim first, Dim size, int64_t step)
{
    if (!tensor_ok(x)) return &t->k->poison;
    struct slice_attrs *s = slice_all(&x->type, ATTRS_ROOM(slice, 3 * MAX_RANK));
    s->axis[axis].first = first;
    s->axis[axis].size = size;
    s->axis[axis].step = step;
    return apply1(t, at, OP_slice, x, ATTRS_TO(s, s->axis + x->type.rank));
}

kiln_tensor *slice_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim first, Dim size)
{
    return slice_steps(t, at, x, axis, first, size, 1);
}

/* The place in 0..n of a bound as in Python, counted from the front, or for a negative step from the back of the axis; n for "to
 * the end". DIM_BAD if a symbol leaves it open. */
static Dim bound(Thread *t, kiln_site at, Dim n, int64_t i, bool back)
{
    /* From the back, x[i] is element n - 1 - i; a negative i is n + i from the front, and so -1 - i from the back. */
    bool from_end = back ? i >= 0 : i < 0;
    if (i == INT64_MIN) i++;
    int64_t distance = back ? (i >= 0 ? i : -1 - i) : (i >= 0 ? i : -i);
    if (back && from_end) distance = distance == INT64_MAX ? distance : distance + 1;
    if (dim_is_const(n)) return from_end ? (distance > n ? 0 : n - distance) : MIN_OF(distance, n);
    if (distance <= extent_lo(t, n)) return from_end ? extent(t, at, EXTENT_SUB, n, distance) : distance;
    if (distance >= extent_hi(t, n)) return from_end ? 0 : n;
    const Dim rest = extent(t, at, EXTENT_MAX, extent(t, at, EXTENT_SUB, n, distance), 0); /* what is left behind so many */
    return from_end ? rest : extent(t, at, EXTENT_SUB, n, rest);
}

kiln_tensor *kiln_slice_at(kiln_site at, kiln_operand o, int axis, int64_t start, int64_t stop, int64_t step)
{
    Thread *t;
    char text[160];
    kiln_tensor *x = first_operand(at, "slice", o, &t);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, "slice", axis, x->type.rank, &axis)) return &t->k->poison;
    if (step == 0) return fail(t, at, KILN_EVALUE, "slice: the step must not be 0");
    bool back = step < 0;
    Dim n = x->type.dim[axis];
    uint64_t stride = back ? 0 - (uint64_t)step : (uint64_t)step;
    if (stride > (uint64_t)DIM_MAX) stride = (uint64_t)DIM_MAX;
    Dim first = bound(t, at, n, start, back), end = stop == KILN_END ? n : bound(t, at, n, stop, back);
    Dim size = DIM_BAD;
    if (dim_is_const(first) && dim_is_const(end))
        size = end > first ? (end - first + (int64_t)stride - 1) / (int64_t)stride : 0;
    else
        size = extent(t, at, EXTENT_SUB, end, first);
    if (back) x = apply1(t, at, OP_flip, x, &(int64_t){axis}, 1);
    if (size != DIM_BAD && !dim_is_const(size)) {
        /* The end may lie before the start: then nothing is left of what lies before the end. */
        if (extent_lo(t, size) < 0) {
            x = slice_axis(t, at, x, axis, 0, end);
            size = extent(t, at, EXTENT_MAX, size, 0);
            first = extent(t, at, EXTENT_SUB, end, size);
        }
        size = extent(t, at, EXTENT_FLOORDIV, extent(t, at, EXTENT_ADD, size, (int64_t)stride - 1), (int64_t)stride);
    }
    if (size == DIM_BAD)
        return fail(t, at, KILN_EUNSUPPORTED, "slice: elements %lld to %lld of axis %d: too long an expression for a size: %s",
            (long long)start, (long long)stop, axis, tensor_text(x, text, sizeof text));
    if (size == 0) first = 0;
    if (size == 0 || size == 1) stride = 1; /* with at most one element any step will do, and a huge one may overflow */
    return slice_steps(t, at, x, axis, first, size, (int64_t)stride);
}

/* ---- joins ---------------------------------------------------------------------------------- */

kiln_tensor *pad_axis(Thread *t, kiln_site at, kiln_tensor *x, int axis, Dim low, Dim high, kiln_operand fill)
{
    struct pad_attrs *p = ATTRS_ROOM(pad, 2 * MAX_RANK);
    if (!tensor_ok(x) || low == DIM_BAD || high == DIM_BAD || !number_bits(t, at, "pad", (DType)x->type.dtype, fill, &p->fill))
        return &t->k->poison;
    for (int i = 0; i < x->type.rank; i++) p->axis[i].low = p->axis[i].high = 0;
    p->axis[axis].low = low;
    p->axis[axis].high = high;
    return apply1(t, at, OP_pad, x, ATTRS_TO(p, p->axis + x->type.rank));
}

kiln_tensor *axis_at_least(Thread *t, kiln_site at, const char *op, kiln_tensor *x, int axis, Dim least)
{
    if (!tensor_ok(x) || extent_reaches(t, at, x->type.dim[axis], least)) return x;
    if (!effect_least(t, at, op, x, axis, least)) return &t->k->poison;
    const Dim n = x->type.dim[axis];
    return pad_axis(t, at, x, axis, 0, extent(t, at, EXTENT_SUB, extent(t, at, EXTENT_MAX, n, least), n), kiln_of_i(0));
}

/* Puts the operands, in one dtype, into `in`; stack gives each a new axis. False: poison or recorded. */
static bool parts(Thread *t, kiln_site at, const char *op, kiln_operands x, int *axis, bool stack, kiln_tensor **in)
{
    char a[160], b[160];
    const int count = x.count;
    DType d = DT_NONE;
    for (int i = 0; i < count; i++) {
        in[i] = operand_named(t, at, op, operands_get(x, i), NULL);
        if (!tensor_ok(in[i])) return false;
        DType joint = i == 0 ? (DType)in[0]->type.dtype : dtype_promote(d, (DType)in[i]->type.dtype);
        if (joint == DT_NONE) {
            fail(t, at, KILN_EDTYPE, "%s: dtypes of different kinds, use kiln_cast: %s x %s", op, tensor_text(in[0], a, sizeof a),
                tensor_text(in[i], b, sizeof b));
            return false;
        }
        d = joint;
    }
    if (!axis_of(t, at, op, *axis, in[0]->type.rank + stack, axis)) return false;
    for (int i = 0; i < count; i++) {
        bool same = in[i]->type.rank == in[0]->type.rank;
        for (int j = 0; j < in[0]->type.rank && same; j++)
            same = (!stack && j == *axis) || in[i]->type.dim[j] == in[0]->type.dim[j];
        if (!same) {
            tensor_text(in[0], a, sizeof a);
            tensor_text(in[i], b, sizeof b);
            if (stack)
                fail(t, at, KILN_ESHAPE, "%s: the shapes must be equal: %s x %s", op, a, b);
            else
                fail(t, at, KILN_ESHAPE, "%s: the shapes must be equal but for axis %d: %s x %s", op, *axis, a, b);
            return false;
        }
    }
    for (int i = 0; i < count; i++) {
        in[i] = cast_to(t, at, in[i], d);
        if (stack) in[i] = kiln_expand_at(at, of(in[i]), *axis);
        if (!tensor_ok(in[i])) return false;
    }
    return true;
}

/* The operands, each as one axis. False: poison or recorded. */
static bool flattened(Thread *t, kiln_site at, const char *op, kiln_operands x, kiln_operand *flat)
{
    char why[64];
    for (int i = 0; i < x.count; i++) {
        kiln_tensor *part = operand_named(t, at, op, operands_get(x, i), NULL);
        if (!tensor_ok(part)) return false;
        const Dim all = extent_product(t, at, part->type.dim, part->type.rank);
        if (all == DIM_BAD)
            fail(t, at, KILN_EUNSUPPORTED, "%s: the product of the sizes %s", op, extent_trouble(t, why, sizeof why));
        if (all == DIM_BAD) return false;
        flat[i] = of(reshape_to(t, at, part, &all, 1));
    }
    return true;
}

static kiln_tensor *join(kiln_site at, const char *op, kiln_operands x, int axis, bool stack)
{
    const int count = x.count;
    kiln_tensor *few[16], **in = few;
    Thread *t = operands_of_thread(x);
    if (!t) return NULL;
    if (!x.at || count <= 0) return fail(t, at, KILN_EVALUE, "%s: no tensors given", op);
    size_t bytes = (size_t)count * sizeof *in;
    if (count > (int)COUNT_OF(few) && !(in = mem_alloc(bytes)))
        return fail(t, at, KILN_EMEMORY, "%s: no memory for %d operands", op, count);
    Composite s = composite_begin(t, op);
    kiln_tensor *r = &t->k->poison;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_operand *flat = axis == KILN_FLAT && !stack ? SCRATCH(t, at, kiln_operand, (size_t)count) : NULL;
    bool ok = axis != KILN_FLAT || stack || (flat && flattened(t, at, op, x, flat));
    if (flat) x = kiln_operand_list(flat, count);
    if (flat) axis = 0;
    ok = ok && parts(t, at, op, x, &axis, stack, in);
    scratch_reset(&t->scratch, mark);
    if (ok) r = apply(t, at, OP_concat, in, (uint32_t)count, ATTRS_OF(concat, .axis = axis), NULL, 0);
    if (in != few) mem_free(in, bytes);
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_concat_at(kiln_site at, kiln_tensor *const *x, int count, int axis)
{
    return join(at, "concat", kiln_tensors(x, count), axis, false);
}

kiln_tensor *kiln_concat_of_at(kiln_site at, kiln_operands x, int axis) { return join(at, "concat", x, axis, false); }

kiln_tensor *kiln_stack_at(kiln_site at, kiln_tensor *const *x, int count, int axis)
{
    return join(at, "stack", kiln_tensors(x, count), axis, true);
}

kiln_tensor *kiln_stack_of_at(kiln_site at, kiln_operands x, int axis) { return join(at, "stack", x, axis, true); }
