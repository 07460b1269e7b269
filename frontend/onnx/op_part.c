/* op_part: ONNX's operators that take parts of a tensor, or add to it: slices, splits, the largest few, pads; by numbers that may
 * be symbols. What is cut must provably be there; that of a slice is, since its ends are clamped. Relies on import.h. */
#include "import.h"

static bool plain(const Known *v, int n)
{
    for (int i = 0; i < n; i++)
        if (known_symbol(v[i])) return false;
    return true;
}

/* Why there is no such size. Always false. */
static bool no_size(Call *c, const kiln_tensor *x, int axis)
{
    char text[160], why[64];
    fail(c->t, c->at, KILN_EUNSUPPORTED, "onnx: a size along axis %d of %s %s", axis, tensor_text(x, text, sizeof text),
        extent_trouble(c->t, why, sizeof why));
    return false;
}

/* Elements `first` up to `end`, which both lie within the axis, or none. NULL: there is no such size, recorded. */
static kiln_tensor *between(Call *c, kiln_tensor *x, int axis, Known first, Known end, int64_t step)
{
    const Known there = known_sub(c, end, first);
    Known size = known_max(c, there, 0);
    if (size == KNOWN_BAD || first == KNOWN_BAD || end == KNOWN_BAD) return no_size(c, x, axis), NULL;
    if (size == 0) return slice_axis(c->t, c->at, x, axis, 0, 0);
    if (known_lo(c, there) < 0) { /* then nothing is left of what lies before the end */
        x = slice_axis(c->t, c->at, x, axis, 0, known_dim(end));
        first = known_sub(c, end, size);
    }
    if (size == 1) step = 1;
    if (step > 1) size = known_floordiv(c, known_add(c, size, step - 1), step);
    if (size == KNOWN_BAD || first == KNOWN_BAD) return no_size(c, x, axis), NULL;
    return slice_steps(c->t, c->at, x, axis, known_dim(first), known_dim(size), step);
}

/* ---- Slice ------------------------------------------------------------------------------------------------ */

/* How many of n elements lie before that place, counted from the end if it is below 0, or, `back`, behind it; 0 to n. */
static Known place(const Call *c, Known n, Known v, bool back)
{
    if (!known_symbol(v) && v >= DIM_MAX) return back ? 0 : n;
    if (!known_symbol(v) && v <= -KNOWN_FAR) return back ? n : 0;
    Known p = known_add(c, v, known_mul(c, known_negative(c, v), n));
    if (back) p = known_sub(c, known_sub(c, n, 1), p);
    return known_max(c, known_min(c, p, n), 0);
}

static kiln_tensor *sliced(Call *c, kiln_tensor *x, int64_t axis, Known from, Known to, int64_t step)
{
    const bool back = step < 0;
    if (!known_symbol(from) && !known_symbol(to)) {
        const int64_t end = back && to < -INT32_MAX ? -KILN_END : to > INT32_MAX ? KILN_END : to;
        return kiln_slice_at(c->at, of(x), (int)axis, from, end, step);
    }
    if (!axis_within(c, &axis, x->type.rank)) return &c->t->k->poison;
    if (step == 0) return unsupported(c, "a step of 0"), &c->t->k->poison;
    const uint64_t stride = back ? 0 - (uint64_t)step : (uint64_t)step;
    const Known n = known_of(x->type.dim[axis]);
    if (back) x = flip_axis(c->t, c->at, x, (int)axis);
    if (!tensor_ok(x)) return x;
    x = between(c, x, (int)axis, place(c, n, from, back), place(c, n, to, back), (int64_t)MIN_OF(stride, (uint64_t)KNOWN_FAR));
    return x ? x : &c->t->k->poison;
}

/* Up to version 9 all is said by attributes. */
bool op_slice(Call *c)
{
    int64_t own[2][MAX_RANK], axis[MAX_RANK], step[MAX_RANK];
    const Known *from = own[0], *to = own[1];
    int n, m, axes = -1, steps = -1;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    if (c->node->version < 10) {
        if (!attr_ints(c, "starts", own[0], MAX_RANK, &n) || !attr_ints(c, "ends", own[1], MAX_RANK, &m) ||
            !attr_ints(c, "axes", axis, MAX_RANK, &axes))
            return false;
    } else if (!sizes(c, 1, &from, &n) || !sizes(c, 2, &to, &m) || (has(c, 3) && !numbers(c, 3, axis, MAX_RANK, &axes)) ||
               (has(c, 4) && !numbers(c, 4, step, MAX_RANK, &steps))) {
        return false;
    }
    if (n < 0 || n > MAX_RANK || n != m || (axes >= 0 && axes != n) || (steps >= 0 && steps != n))
        return unsupported(c, "starts, ends, axes and steps that are not as many");
    for (int i = 0; i < n && tensor_ok(x); i++) x = sliced(c, x, axes < 0 ? i : axis[i], from[i], to[i], steps < 0 ? 1 : step[i]);
    return give(c, 0, x);
}

/* ---- Split -------------------------------------------------------------------------------------------------- */

bool split_by(Call *c, kiln_tensor *x, int axis, const Known *size, uint32_t n, kiln_tensor **out)
{
    Known first = 0;
    for (uint32_t i = 0; i < n; i++) {
        Dim d;
        if (!known_size(c, size[i], &d)) return false;
        if (known_lo(c, size[i]) < 0) return unsupported(c, "part %u, whose size may be below 0,", i);
        first = known_add(c, first, size[i]);
    }
    if (known_sub(c, first, known_of(x->type.dim[axis])) != 0)
        return unsupported(c, "parts that do not make up axis %d whatever the symbols are", axis);
    first = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[i] = slice_axis(c->t, c->at, x, axis, known_dim(first), known_dim(size[i]));
        first = known_add(c, first, size[i]);
        if (!tensor_ok(out[i])) return false;
    }
    return true;
}

/* The last may be smaller, or nothing. */
static bool split_evenly(Call *c, kiln_tensor *x, int axis)
{
    const Known n = known_of(x->type.dim[axis]), parts = (Known)c->nout,
                each = known_floordiv(c, known_add(c, n, parts - 1), parts);
    for (Known i = 0; i < parts; i++) {
        const Known first = known_min(c, known_mul(c, each, i), n), end = known_min(c, known_mul(c, each, i + 1), n);
        kiln_tensor *part = between(c, x, axis, first, end, 1);
        if (!part || !give(c, (uint32_t)i, part)) return false;
    }
    return true;
}

bool op_split(Call *c)
{
    enum { MOST = 256 };
    int64_t own[MOST], axis = attr_int(c, "axis", 0);
    const Known *size = own;
    int n = -1;
    kiln_tensor *out[MOST], *x = tensor(c, 0);
    if (!tensor_ok(x) || (has(c, 1) ? !sizes(c, 1, &size, &n) : !attr_ints(c, "split", own, MOST, &n))) return false;
    if (c->nout == 0 || c->nout > MOST || (n >= 0 && n != (int)c->nout)) return unsupported(c, "other parts than it has results");
    if (!axis_within(c, &axis, x->type.rank)) return false;
    const Dim all = x->type.dim[axis];
    if (n < 0 && (dim_is_const(all) || (c->node->version >= 18 && extent(c->t, c->at, EXTENT_EXACT, all, c->nout) == DIM_BAD)))
        return split_evenly(c, x, (int)axis);
    const bool ok = n >= 0 && !plain(size, n) ? split_by(c, x, (int)axis, size, c->nout, out)
                                              : kiln_split_at(c->at, of(x), (int)axis, n >= 0 ? size : NULL, (int)c->nout, out);
    if (!ok) return false;
    for (uint32_t i = 0; i < c->nout; i++)
        if (!give(c, i, out[i])) return false;
    return true;
}

/* ---- TopK ---------------------------------------------------------------------------------------------------- */

bool op_top_k(Call *c)
{
    const int64_t own = attr_int(c, "k", 0);
    const Known *k = &own;
    int n = 1;
    Dim count;
    kiln_tensor *i;
    if (c->node->version >= 10 && !sizes(c, 1, &k, &n)) return false;
    if (n != 1) return unsupported(c, "other than one k");
    if (!known_size(c, *k, &count)) return false;
    const bool most = attr_int(c, "largest", 1) != 0;
    kiln_tensor *v = first_few(
        c->at, most ? "top_k" : "bottom_k", operand(c, 0), count, (int)attr_int(c, "axis", -1), most ? KILN_DESCENDING : 0, &i);
    return give(c, 0, v) && (c->nout < 2 || give(c, 1, i));
}

/* ---- Pad, CenterCropPad --------------------------------------------------------------------------------------- */

enum { WITH_NUMBER = -1 };

/* With a number, at one end of an axis. What may be either way, more and less, is added as far as it is more, and then cut off, so
 * that the axis has its plain size. */
static kiln_tensor *end_padded(Call *c, kiln_tensor *x, int axis, Known by, bool front, kiln_operand fill)
{
    const Known n = known_of(x->type.dim[axis]), whole = known_add(c, n, by), more = known_max(c, by, 0);
    if (whole == KNOWN_BAD || more == KNOWN_BAD) return no_size(c, x, axis), NULL;
    if (more != 0) x = pad_axis(c->t, c->at, x, axis, front ? known_dim(more) : 0, front ? 0 : known_dim(more), fill);
    if (!tensor_ok(x) || more == by) return x;
    const Known first = front ? known_sub(c, known_of(x->type.dim[axis]), whole) : 0;
    if (first == KNOWN_BAD) return no_size(c, x, axis), NULL;
    return slice_axis(c->t, c->at, x, axis, known_dim(first), known_dim(whole));
}

/* Along one axis; how: a kiln_padding, or WITH_NUMBER. Negative amounts cut off. NULL: recorded. */
static kiln_tensor *padded(Call *c, kiln_tensor *x, int axis, Known low, Known high, int how, kiln_operand fill)
{
    const Known n = known_of(x->type.dim[axis]), before = known_max(c, known_sub(c, 0, low), 0),
                behind = known_max(c, known_sub(c, 0, high), 0), left = known_sub(c, known_sub(c, n, before), behind),
                more[2] = {known_max(c, low, 0), known_max(c, high, 0)};
    if (left == KNOWN_BAD || more[0] == KNOWN_BAD || more[1] == KNOWN_BAD) return no_size(c, x, axis), NULL;
    if (known_lo(c, left) < 0) return unsupported(c, "pads that may cut off more than axis %d has", axis), NULL;
    if (how == WITH_NUMBER && known_lo(c, known_add(c, n, low)) >= 0) {
        x = end_padded(c, x, axis, low, true, fill);
        return x && tensor_ok(x) ? end_padded(c, x, axis, high, false, fill) : x;
    }
    if (before != 0 || behind != 0) x = slice_axis(c->t, c->at, x, axis, known_dim(before), known_dim(left));
    if (!tensor_ok(x) || (more[0] == 0 && more[1] == 0)) return x;
    const Dim first = known_dim(more[0]), last = known_dim(more[1]);
    return how == WITH_NUMBER ? pad_axis(c->t, c->at, x, axis, first, last, fill)
                              : pad_with_axis(c->t, c->at, x, axis, first, last, (kiln_padding)how);
}

static kiln_tensor *padded_axes(Call *c, kiln_tensor *x, const Known *low, const Known *high, int how, kiln_operand fill)
{
    const int rank = x->type.rank;
    if (plain(low, rank) && plain(high, rank)) {
        kiln_shape before = {.rank = rank}, behind = before;
        for (int i = 0; i < rank; i++) before.size[1 + i] = low[i], behind.size[1 + i] = high[i];
        return how == WITH_NUMBER ? kiln_pad_at(c->at, of(x), before, behind, fill)
                                  : kiln_pad_with_at(c->at, of(x), before, behind, (kiln_padding)how);
    }
    for (int i = 0; i < rank && x && tensor_ok(x); i++)
        if (low[i] != 0 || high[i] != 0) x = padded(c, x, i, low[i], high[i], how, fill);
    return x ? x : &c->t->k->poison;
}

static int padding_of(const Call *c)
{
    static const char *const name[] = {"edge", "reflect", "wrap"};
    static const kiln_padding how[] = {KILN_PAD_EDGE, KILN_PAD_REFLECT, KILN_PAD_WRAP};
    for (int i = 0; i < 3; i++)
        if (attr_is(c, "mode", name[i])) return (int)how[i];
    return WITH_NUMBER;
}

/* The number, of integers exactly. */
static kiln_operand fill_of(Call *c, uint32_t i)
{
    kiln_tensor *x = tensor(c, i);
    const DType d = tensor_ok(x) ? (DType)x->type.dtype : DT_f32;
    uint64_t bits = 0;
    if (dtype_is_float(d)) return KILN_OPERAND(kiln_item_at(c->at, of(x)));
    const DType wide = d == DT_u64 ? DT_u64 : DT_i64;
    kiln_eagerly now = kiln_eagerly_open(c->t->k);
    kiln_read_at(c->at, of(cast_to(c->t, c->at, x, wide)), &bits, sizeof bits);
    kiln_eagerly_close(&now);
    if (d == DT_bool) return kiln_of_bool(bits != 0);
    return d == DT_u64 ? kiln_of_u(bits) : kiln_of_i((int64_t)bits);
}

bool op_pad(Call *c)
{
    int64_t own[2 * MAX_RANK], axis[MAX_RANK];
    const Known *pads = own;
    Known low[MAX_RANK] = {0}, high[MAX_RANK] = {0};
    int n = -1, axes = -1;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const char *name_of = c->node->version < 2 ? "paddings" : "pads";
    if (c->node->version < 11 ? !attr_ints(c, name_of, own, 2 * MAX_RANK, &n) : !sizes(c, 1, &pads, &n)) return false;
    if (has(c, 3) && !numbers(c, 3, axis, MAX_RANK, &axes)) return false;
    const int count = axes < 0 ? x->type.rank : axes;
    if (n != 2 * count) return unsupported(c, "other than two numbers for each axis");
    for (int i = 0; i < count; i++) {
        int64_t a = axes < 0 ? i : axis[i];
        if (!axis_within(c, &a, x->type.rank)) return false;
        low[a] = pads[i], high[a] = pads[count + i];
    }
    kiln_operand fill = KILN_OPERAND(0);
    const int how = padding_of(c);
    if (c->node->version < 11)
        fill = KILN_OPERAND(attr_float(c, "value", 0));
    else if (how == WITH_NUMBER && has(c, 2))
        fill = fill_of(c, 2);
    return give(c, 0, padded_axes(c, x, low, high, how, fill));
}

/* The axis by its plainest name: not as what was cut off of it and then added. */
static kiln_tensor *plainly(Call *c, kiln_tensor *x, int axis, Known size)
{
    if (known_lo(c, size) < 0 || x->type.dim[axis] == known_dim(size)) return x;
    if (!extent_reaches(c->t, c->at, x->type.dim[axis], known_dim(size))) return x;
    return slice_axis(c->t, c->at, x, axis, 0, known_dim(size));
}

/* Cut, and then padded, of which one is nothing. */
static kiln_tensor *centred(Call *c, kiln_tensor *x, int axis, Known want)
{
    const Known n = known_of(x->type.dim[axis]), cut = known_max(c, known_sub(c, n, want), 0),
                add = known_max(c, known_sub(c, want, n), 0), before = known_floordiv(c, cut, 2), front = known_floordiv(c, add, 2);
    x = padded(c, x, axis, known_sub(c, 0, before), known_sub(c, before, cut), WITH_NUMBER, KILN_OPERAND(0));
    if (x && tensor_ok(x)) x = padded(c, x, axis, front, known_sub(c, add, front), WITH_NUMBER, KILN_OPERAND(0));
    return x && tensor_ok(x) ? plainly(c, x, axis, want) : x;
}

/* What is cut off or added is halved; an odd element is cut off behind, and added there. */
bool op_centre(Call *c)
{
    const Known *want;
    int64_t axis[MAX_RANK];
    int n, axes;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !sizes(c, 1, &want, &n) || !attr_ints(c, "axes", axis, MAX_RANK, &axes)) return false;
    if (n != (axes < 0 ? x->type.rank : axes)) return unsupported(c, "other than one size for each axis");
    for (int i = 0; i < n && x && tensor_ok(x); i++) {
        int64_t a = axes < 0 ? i : axis[i];
        Dim d;
        if (!axis_within(c, &a, x->type.rank) || !known_size(c, want[i], &d)) return false;
        if (d != x->type.dim[a]) x = centred(c, x, (int)a, want[i]);
    }
    return x && give(c, 0, x);
}
