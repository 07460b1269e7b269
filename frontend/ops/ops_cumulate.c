/* ops_cumulate: the public operations whose elements depend on those before them along an axis. Relies on ops.h. */
#include "ops.h"

#include <math.h>

static bool cumulates(Thread *t, kiln_site at, const char *name, const kiln_tensor *x, int how, int allowed, int *axis)
{
    if (!tensor_ok(x) || !axis_of(t, at, name, *axis, x->type.rank, axis)) return false;
    if ((how & ~allowed) == 0 && (how & (KILN_EXCLUSIVE | KILN_INITIAL)) != (KILN_EXCLUSIVE | KILN_INITIAL)) return true;
    fail(t, at, KILN_EVALUE, "%s: how is %d (allowed: 0, KILN_REVERSE%s)", name, how,
        allowed & KILN_EXCLUSIVE ? ", and one of KILN_EXCLUSIVE and KILN_INITIAL" : "");
    return false;
}

/* 16-bit floats go through f32 and are rounded once; bools count. */
static kiln_tensor *cumulate(kiln_site at, Op op, kiln_operand o, int axis, int how)
{
    const char *name = op_def[op].name;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!cumulates(t, at, name, x, how, KILN_REVERSE | KILN_EXCLUSIVE | KILN_INITIAL, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, name);
    const bool reverse = how & KILN_REVERSE, exclusive = how & KILN_EXCLUSIVE, initial = how & KILN_INITIAL,
               bools = x->type.dtype == DT_bool;
    kiln_tensor *wide = cast_to(t, at, x, bools ? DT_i64 : wide_dtype(x));
    kiln_tensor *r = apply1(t, at, op, wide, ATTRS_OF(cumsum, .axis = axis, .reverse = reverse, .exclusive = exclusive));
    if (initial) r = pad_axis(t, at, r, axis, reverse ? 0 : 1, reverse ? 1 : 0, kiln_of_i(op == OP_cumprod));
    return composite_end(t, &s, bools ? r : cast_to(t, at, r, (DType)x->type.dtype));
}

kiln_tensor *kiln_cumsum_at(kiln_site at, kiln_operand x, int axis, int how) { return cumulate(at, OP_cumsum, x, axis, how); }

kiln_tensor *kiln_cumprod_at(kiln_site at, kiln_operand x, int axis, int how) { return cumulate(at, OP_cumprod, x, axis, how); }

kiln_tensor *kiln_recurrence_at(kiln_site at, kiln_operand a, kiln_operand b, int axis, int how)
{
    kiln_operand both[2] = {a, b};
    Thread *t = op_thread(both, 2);
    kiln_tensor *in[2];
    if (!t) return NULL;
    if (!operand_pair(t, at, "recurrence", a, b, in)) return &t->k->poison;
    if (!cumulates(t, at, "recurrence", in[0], how, KILN_REVERSE, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, "recurrence");
    const DType own = (DType)in[0]->type.dtype, wide = wide_dtype(in[0]);
    kiln_tensor *r = apply2(t, at, OP_recurrence, cast_to(t, at, in[0], wide), cast_to(t, at, in[1], wide),
        ATTRS_OF(recurrence, .axis = axis, .reverse = how & KILN_REVERSE));
    return composite_end(t, &s, cast_to(t, at, r, own));
}

/* ---- the largest so far ----------------------------------------------------------------------- */

enum { BLOCK = 64 };

/* Elements [before, n, after], and where they lie, or NULL. `least`: the smallest so far is looked for. */
typedef struct Most {
    kiln_tensor *x, *from;
    bool least, elements; /* elements: they alone are wanted, and no gradient to one of equals */
} Most;

/* Of what was met earlier and what later: of equals the later one, a NaN before all. */
static Most later_most(kiln_site at, Most a, Most b)
{
    const kiln_operand x = of(a.x), y = of(b.x);
    if (b.elements) {
        b.x = b.least ? kiln_min_at(at, x, y) : kiln_max_at(at, x, y);
        return b;
    }
    kiln_operand earlier = of(a.least ? kiln_lt_at(at, x, y) : kiln_gt_at(at, x, y));
    if (tensor_ok(a.x) && dtype_is_float((DType)a.x->type.dtype)) earlier = of(kiln_or_at(at, earlier, of(kiln_ne_at(at, x, x))));
    b.x = kiln_where_at(at, earlier, x, y);
    if (b.from) b.from = kiln_where_at(at, earlier, of(a.from), of(b.from));
    return b;
}

/* The elements `by` places earlier, the first `by` of them such that anything goes before them. */
static Most earlier(Thread *t, kiln_site at, Most m, Dim n, int64_t by)
{
    const kiln_operand none = tensor_ok(m.x) ? extreme_of((DType)m.x->type.dtype, m.least) : kiln_of_i(0);
    m.x = slice_axis(t, at, pad_axis(t, at, m.x, 1, by, 0, none), 1, 0, n);
    if (m.from) m.from = slice_axis(t, at, pad_axis(t, at, m.from, 1, by, 0, kiln_of_i(0)), 1, 0, n);
    return m;
}

static Most reshaped(Thread *t, kiln_site at, Most m, const Dim *dim, int rank)
{
    m.x = tensor_ok(m.x) ? reshape_to(t, at, m.x, dim, rank) : m.x;
    if (m.from) m.from = tensor_ok(m.from) ? reshape_to(t, at, m.from, dim, rank) : m.from;
    return m;
}

/* Each step looks twice as far back. */
static Most by_doubling(Thread *t, kiln_site at, Most m, Dim n)
{
    const int64_t most = extent_hi(t, n);
    for (int64_t by = 1; by < most && tensor_ok(m.x); by *= 2) m = later_most(at, earlier(t, at, m, n, by), m);
    return m;
}

enum { STEPPED = 256 }; /* lines side by side from which on it pays to take one element of each after the other */

static bool goes_by_steps(Thread *t, const kiln_tensor *x, Dim n, Dim lines)
{
    return !t->trace && t->recording == 0 && x->device == HOST && n > 1 && lines >= STEPPED;
}

/* The elements of all lines by their places, [n, before after], so that neighbours lie side by side. */
static kiln_tensor *turned(Thread *t, kiln_site at, kiln_tensor *x)
{
    if (!tensor_ok(x)) return x;
    const Dim n = x->type.dim[1], lines = x->type.dim[0] * x->type.dim[2];
    kiln_tensor *r = kiln_transpose_at(at, of(x), KILN_AXES(1, 0, 2));
    r = tensor_ok(r) ? reshape_to(t, at, r, (Dim[]){n * lines}, 1) : r; /* copied, where it was not yet so */
    return tensor_ok(r) ? reshape_to(t, at, r, (Dim[]){n, lines}, 2) : r;
}

static Most turned_back(Thread *t, kiln_site at, Most m, const Type *shape)
{
    m = reshaped(t, at, m, (Dim[]){shape->dim[1], shape->dim[0], shape->dim[2]}, 3);
    if (tensor_ok(m.x)) m.x = kiln_transpose_at(at, of(m.x), KILN_AXES(1, 0, 2));
    if (m.from && tensor_ok(m.from)) m.from = kiln_transpose_at(at, of(m.from), KILN_AXES(1, 0, 2));
    return m;
}

/* Eagerly, where nothing is recorded: one element of each line after the other, of up to BLOCK, as [n, lines]. A pass over all
 * elements for each doubling takes several times as long. */
static Most by_steps(Thread *t, kiln_site at, Most m)
{
    const int64_t n = m.x->type.dim[1];
    kiln_tensor *x[BLOCK], *from[BLOCK], *all = turned(t, at, m.x), *places = m.from ? turned(t, at, m.from) : NULL;
    Most so_far = m;
    if (!tensor_ok(all) || (places && !tensor_ok(places)))
        return (Most){&t->k->poison, m.from ? &t->k->poison : NULL, false, false};
    for (int64_t i = 0; i < n; i++) {
        Most here = m;
        here.x = slice_axis(t, at, all, 0, i, 1);
        if (places) here.from = slice_axis(t, at, places, 0, i, 1);
        so_far = i == 0 ? here : later_most(at, so_far, here);
        x[i] = so_far.x, from[i] = so_far.from;
    }
    m.x = kiln_concat_at(at, x, (int)n, 0);
    if (places) m.from = kiln_concat_at(at, from, (int)n, 0);
    return m;
}

/* m of [before, n, after], by its blocks, then their last elements in the same way, and then each element with what lies before its
 * block. */
static Most running_most(Thread *t, kiln_site at, Most m)
{
    if (!tensor_ok(m.x) || (m.from && !tensor_ok(m.from))) return m;
    Type shape = m.x->type;
    const Dim before = shape.dim[0], n = shape.dim[1], after = shape.dim[2];
    if (extent_hi(t, n) <= BLOCK)
        return goes_by_steps(t, m.x, n, before * after) ? turned_back(t, at, by_steps(t, at, m), &shape) : by_doubling(t, at, m, n);
    const Dim blocks = extent(t, at, EXTENT_FLOORDIV, extent(t, at, EXTENT_ADD, n, BLOCK - 1), BLOCK);
    const Dim whole = extent(t, at, EXTENT_MUL, blocks, BLOCK), rest = extent(t, at, EXTENT_SUB, whole, n);
    const kiln_operand none = extreme_of((DType)shape.dtype, m.least);
    if (rest != 0) m.x = pad_axis(t, at, m.x, 1, 0, rest, none);
    if (rest != 0 && m.from) m.from = pad_axis(t, at, m.from, 1, 0, rest, kiln_of_i(0));
    shape.dim[0] = extent(t, at, EXTENT_MUL, before, blocks), shape.dim[1] = BLOCK;
    m = reshaped(t, at, m, shape.dim, 3);
    if (!tensor_ok(m.x)) return m;
    const bool steps = goes_by_steps(t, m.x, BLOCK, shape.dim[0] * after);
    m = steps ? by_steps(t, at, m) : by_doubling(t, at, m, BLOCK);
    Most last = m;
    last.x = slice_axis(t, at, m.x, !steps, BLOCK - 1, 1);
    if (m.from) last.from = slice_axis(t, at, m.from, !steps, BLOCK - 1, 1);
    last = running_most(t, at, reshaped(t, at, last, (Dim[]){before, blocks, after}, 3));
    last = earlier(t, at, last, blocks, 1);
    last = steps ? reshaped(t, at, last, (Dim[]){1, shape.dim[0] * after}, 2)
                 : reshaped(t, at, last, (Dim[]){shape.dim[0], 1, after}, 3);
    m = later_most(at, last, m);
    if (steps) m = turned_back(t, at, m, &shape);
    m = reshaped(t, at, m, (Dim[]){before, whole, after}, 3);
    m.x = slice_axis(t, at, m.x, 1, 0, n);
    if (m.from) m.from = slice_axis(t, at, m.from, 1, 0, n);
    return m;
}

static kiln_tensor *flipped(Thread *t, kiln_site at, kiln_tensor *x, int axis)
{
    return tensor_ok(x) ? apply1(t, at, OP_flip, x, &(int64_t){axis}, 1) : x;
}

/* from: whether the places are wanted. */
static Most most_along(Thread *t, kiln_site at, kiln_tensor *x, int axis, bool reverse, bool least, bool from)
{
    const Type shape = x->type;
    const Dim line[3] = {extent_product(t, at, shape.dim, axis), shape.dim[axis],
        extent_product(t, at, shape.dim + axis + 1, shape.rank - axis - 1)};
    Type places = shape;
    places.dtype = DT_i64;
    Most m = {.x = x, .least = least, .elements = !from && !t->trace && t->recording == 0};
    if (from) m.from = iota_of(t, at, &places, axis, x);
    if (reverse) m.x = flipped(t, at, m.x, axis);
    if (reverse && from) m.from = flipped(t, at, m.from, axis);
    m = running_most(t, at, reshaped(t, at, m, line, 3));
    m = reshaped(t, at, m, shape.dim, shape.rank);
    if (reverse) m.x = flipped(t, at, m.x, axis);
    if (reverse && from) m.from = flipped(t, at, m.from, axis);
    return m;
}

static kiln_tensor *cumulate_most(
    kiln_site at, const char *name, kiln_operand o, int axis, int how, bool least, kiln_tensor **indices)
{
    Thread *t = op_thread(&o, 1);
    if (indices) *indices = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, name, o, NULL);
    if (!cumulates(t, at, name, x, how, KILN_REVERSE, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, name);
    const Most m = most_along(t, at, x, axis, how & KILN_REVERSE, least, indices);
    if (indices) composite_keep(t, *indices = m.from);
    return composite_end(t, &s, result_of(t, at, m.x, x));
}

kiln_tensor *kiln_cummax_at(kiln_site at, kiln_operand x, int axis, int how, kiln_tensor **indices)
{
    return cumulate_most(at, "cummax", x, axis, how, false, indices);
}

kiln_tensor *kiln_cummin_at(kiln_site at, kiln_operand x, int axis, int how, kiln_tensor **indices)
{
    return cumulate_most(at, "cummin", x, axis, how, true, indices);
}

/* With m the largest so far, the sum of exp(x - m) so far is a recurrence: what came before shrinks by exp(m before - m). */
kiln_tensor *kiln_logcumsumexp_at(kiln_site at, kiln_operand o, int axis, int how)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "logcumsumexp", o);
    if (!cumulates(t, at, "logcumsumexp", x, how, KILN_REVERSE, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, "logcumsumexp");
    const bool reverse = how & KILN_REVERSE;
    const Dim n = x->type.dim[axis];
    kiln_tensor *in = cast_to(t, at, x, wide_dtype(x)), *still = kiln_stop_gradient_at(at, of(in));
    if (!tensor_ok(still)) return composite_end(t, &s, still);
    kiln_operand most = of(most_along(t, at, still, axis, reverse, false, false).x);
    /* An infinite one is not subtracted: inf - inf is NaN. */
    most = of(kiln_where_at(at, of(kiln_isfinite_at(at, most)), most, kiln_of_f(0)));
    kiln_tensor *before = pad_axis(t, at, most.as.tensor, axis, reverse ? 0 : 1, reverse ? 1 : 0, kiln_of_i(0));
    if (tensor_ok(before)) before = slice_axis(t, at, before, axis, reverse ? 1 : 0, n);
    const kiln_operand shrinks = of(kiln_exp_at(at, of(kiln_min_at(at, of(kiln_sub_at(at, of(before), most)), kiln_of_i(0)))));
    const kiln_operand adds = of(kiln_exp_at(at, of(kiln_sub_at(at, of(in), most))));
    kiln_operand sum = of(kiln_recurrence_at(at, shrinks, adds, axis, reverse ? KILN_REVERSE : 0));
    const kiln_operand none = of(kiln_eq_at(at, sum, kiln_of_i(0)));
    kiln_operand log = of(kiln_log_at(at, of(kiln_where_at(at, none, kiln_of_i(1), sum))));
    log = of(kiln_where_at(at, none, kiln_of_f(-INFINITY), log));
    return composite_end(t, &s, cast_to(t, at, kiln_add_at(at, log, most), (DType)x->type.dtype));
}

/* ---- differences ------------------------------------------------------------------------------ */

static bool is_none(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }

kiln_tensor *kiln_diff_at(kiln_site at, kiln_operand o, int axis, int64_t times, kiln_operand before, kiln_operand after)
{
    kiln_operand all[3] = {before, o, after}, given[3];
    int n = 0;
    Thread *t = op_thread(all, 3);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "diff", o, NULL);
    if (!tensor_ok(x) || !axis_of(t, at, "diff", axis, x->type.rank, &axis)) return &t->k->poison;
    if (times < 0 || times > DIM_MAX) return fail(t, at, KILN_EVALUE, "diff: times is %lld (allowed: 0 to 2^48)", (long long)times);
    for (int i = 0; i < 3; i++)
        if (!is_none(all[i])) given[n++] = all[i];
    Composite s = composite_begin(t, "diff");
    kiln_tensor *r = n == 1 ? x : kiln_concat_of_at(at, (kiln_operands){.at = given, .count = n, .kind = 0}, axis);
    for (int64_t i = 0; i < times && tensor_ok(r) && r->type.dim[axis] != 0; i++) {
        const Dim size = r->type.dim[axis], rest = extent(t, at, EXTENT_MAX, extent(t, at, EXTENT_SUB, size, 1), 0);
        const kiln_operand next = of(slice_axis(t, at, r, axis, extent(t, at, EXTENT_SUB, size, rest), rest)),
                           this = of(slice_axis(t, at, r, axis, 0, rest));
        r = r->type.dtype == DT_bool ? kiln_xor_at(at, next, this) : kiln_sub_at(at, next, this);
    }
    return composite_end(t, &s, result_of(t, at, r, x));
}
