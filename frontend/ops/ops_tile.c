/* ops_tile: the public operations that repeat a tensor or take it apart along an axis, and those that lay out windows and blocks of
 * it. Composites of reshape, broadcast, transpose, slice and gather; relies on ops.h. */
#include "ops.h"

/* ---- repeats ---------------------------------------------------------------------------------- */

/* x with the axis `times` times as long: the whole axis again, or each element so many times. */
static kiln_tensor *repeated(Thread *t, kiln_site at, const char *op, kiln_tensor *x, int axis, Dim times, bool each)
{
    char text[160], why[64];
    Type to = x->type;
    if (!tensor_ok(x) || times == 1) return x;
    to.dim[axis] = extent(t, at, EXTENT_MUL, to.dim[axis], times);
    Dim before = extent_product(t, at, x->type.dim, axis + each);
    Dim after = extent_product(t, at, x->type.dim + axis + each, x->type.rank - axis - each);
    if (extent_product(t, at, to.dim, to.rank) == DIM_BAD || before == DIM_BAD || after == DIM_BAD)
        return !dim_is_const(times) ? fail(t, at, KILN_EUNSUPPORTED, "%s: the size of axis %d %s: %s", op, axis,
                                          extent_trouble(t, why, sizeof why), tensor_text(x, text, sizeof text))
                                    : fail(t, at, KILN_ESHAPE, "%s: %lld times along axis %d is too large: %s", op,
                                          (long long)times, axis, tensor_text(x, text, sizeof text));
    Type wide = {.dtype = x->type.dtype, .rank = 3, .dim = {before, 1, after}};
    x = reshape_to(t, at, x, wide.dim, 3);
    wide.dim[1] = times;
    return reshape_to(t, at, broadcast_to(t, at, x, &wide), to.dim, to.rank);
}

kiln_tensor *tile_by(Thread *t, kiln_site at, kiln_tensor *x, const Dim *times, int n)
{
    Dim dim[MAX_RANK];
    const int rank = MAX_OF(n, x->type.rank), lead = rank - x->type.rank;
    for (int i = 0; i < rank; i++) dim[i] = i < lead ? 1 : x->type.dim[i - lead];
    Composite s = composite_begin(t, "tile");
    kiln_tensor *r = reshape_to(t, at, x, dim, rank);
    for (int i = rank - 1; i >= rank - n && tensor_ok(r); i--) r = repeated(t, at, "tile", r, i, times[i - rank + n], false);
    return composite_end(t, &s, result_of(t, at, r, x));
}

kiln_tensor *kiln_tile_at(kiln_site at, kiln_operand o, kiln_shape times)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "tile", o, &t);
    if (!tensor_ok(x)) return x;
    if (times.rank < 0 || times.rank > MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "tile: %lld counts given (allowed: 0 to %d)", (long long)times.rank, MAX_RANK);
    for (int i = 1; i <= times.rank; i++)
        if (times.size[i] < 0 || times.size[i] > DIM_MAX)
            return fail(t, at, KILN_EVALUE, "tile: a count is %lld (allowed: 0 to 2^48)", (long long)times.size[i]);
    return tile_by(t, at, x, times.size + 1, (int)times.rank);
}

/* The places of the elements that counts[0..n) repeat, as i64. */
static kiln_tensor *repeated_places(Thread *t, kiln_site at, const kiln_tensor *counts, const int64_t *count, int64_t n)
{
    char text[160];
    Type type = {.dtype = DT_i64, .rank = 1, .dim = {0}};
    for (int64_t i = 0; i < n; i++) {
        if (count[i] < 0 || count[i] > DIM_MAX)
            return fail(t, at, KILN_EVALUE, "repeat: count %lld is %lld (allowed: 0 to 2^48): %s", (long long)i,
                (long long)count[i], tensor_text(counts, text, sizeof text));
        type.dim[0] = dim_add(NULL, type.dim[0], count[i]);
        if (type.dim[0] == DIM_BAD || type.dim[0] > DIM_MAX / 8)
            return fail(t, at, KILN_ESHAPE, "repeat: the counts add up to more than a tensor can have: %s",
                tensor_text(counts, text, sizeof text));
    }
    kiln_tensor *places = tensor_empty(t, at, &type);
    if (!places) return &t->k->poison;
    int64_t *to = (int64_t *)places->data;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < count[i]; j++) *to++ = i;
    return tensor_place(t, at, places);
}

static kiln_tensor *repeat_by(Thread *t, kiln_site at, kiln_tensor *x, kiln_operand times, int axis)
{
    char a[160], b[160];
    kiln_tensor *counts = operand_index(t, at, "repeat", times);
    if (!tensor_ok(counts)) return counts;
    if (counts->state != TENSOR_EAGER)
        return fail(t, at, KILN_EUNSUPPORTED, "repeat: the counts, %s, are known only when the function runs, and so is the size",
            tensor_text(counts, a, sizeof a));
    const int64_t n = kiln_elements(counts);
    if (counts->type.rank > 1 || (n != 1 && n != x->type.dim[axis]))
        return fail(t, at, KILN_ESHAPE, "repeat: the counts must be one, or one for each element of axis %d: %s x %s", axis,
            tensor_text(x, a, sizeof a), tensor_text(counts, b, sizeof b));
    ScratchMark mark = scratch_mark(&t->scratch);
    int64_t *count = SCRATCH(t, at, int64_t, (size_t)n + 1);
    kiln_tensor *r = &t->k->poison;
    if (count && tensor_read(t, at, counts, count)) {
        const DType d = (DType)counts->type.dtype; /* no wider than i64, so that they widen in place from the end */
        for (int64_t i = n - 1; i >= 0; i--) count[i] = dtype_load_i64(d, (const char *)count + (size_t)i * dtype_bytes(d));
        if (n == 1) {
            const bool fits = count[0] >= 0 && count[0] <= DIM_MAX;
            r = fits ? repeated(t, at, "repeat", x, axis, count[0], true)
                     : fail(t, at, KILN_EVALUE, "repeat: the count is %lld (allowed: 0 to 2^48)", (long long)count[0]);
        } else {
            kiln_tensor *places = repeated_places(t, at, counts, count, n);
            if (tensor_ok(places)) r = apply2(t, at, OP_gather, x, places, ATTRS_OF(gather, .axis = axis));
        }
    }
    scratch_reset(&t->scratch, mark);
    return r;
}

kiln_tensor *kiln_repeat_at(kiln_site at, kiln_operand o, kiln_operand times, int axis)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "repeat", o, &t);
    if (!tensor_ok(x)) return x;
    if (!axis_of(t, at, "repeat", axis, x->type.rank, &axis)) return &t->k->poison;
    Composite s = composite_begin(t, "repeat");
    composite_beside(t, x);
    kiln_tensor *r;
    if (times.kind == 4 || times.kind == 5) {
        if (times.kind == 4 ? times.as.i < 0 || times.as.i > DIM_MAX : times.as.u > (uint64_t)DIM_MAX)
            r = fail(t, at, KILN_EVALUE, "repeat: the count is %lld (allowed: 0 to 2^48)", (long long)times.as.i);
        else
            r = repeated(t, at, "repeat", x, axis, times.as.i, true);
    } else {
        r = repeat_by(t, at, x, times, axis);
    }
    return composite_end(t, &s, result_of(t, at, r, x));
}

/* ---- parts --------------------------------------------------------------------------------------- */

/* The size of part i; sizes NULL: equal parts. DIM_BAD: recorded. */
static Dim part_size(Thread *t, kiln_site at, const kiln_tensor *x, int axis, const int64_t *sizes, int count, int i)
{
    char text[160];
    Dim n = x->type.dim[axis];
    if (!sizes) {
        n = extent(t, at, EXTENT_EXACT, n, count);
        if (n == DIM_BAD)
            fail(t, at, KILN_ESHAPE, "split: axis %d cannot be cut into %d equal parts: %s", axis, count,
                tensor_text(x, text, sizeof text));
        return n;
    }
    if (sizes[i] >= 0) return sizes[i];
    for (int j = 0; j < count; j++)
        if (j != i) n = extent(t, at, EXTENT_SUB, n, sizes[j]);
    return n;
}

/* Whether the sizes add up to the axis, or may with one of -1. False: recorded. */
static bool sizes_fit(Thread *t, kiln_site at, const kiln_tensor *x, int axis, const int64_t *sizes, int count)
{
    char text[160];
    Dim sum = 0;
    int rest = 0;
    for (int i = 0; sizes && i < count; i++) {
        if (sizes[i] < -1 || sizes[i] > DIM_MAX || (rest += sizes[i] == -1) > 1) {
            fail(t, at, KILN_EVALUE, "split: size %d is %lld; it must be 0 or more, or one of them -1 for the rest", i,
                (long long)sizes[i]);
            return false;
        }
        if (sizes[i] > 0) sum = dim_add(NULL, sum, sizes[i]);
    }
    const Dim n = x->type.dim[axis];
    if (!sizes || (rest ? sum != DIM_BAD && sum <= extent_lo(t, n) : sum == n)) return true;
    fail(t, at, KILN_ESHAPE, "split: the sizes add up to %lld, axis %d is another size: %s", (long long)sum, axis,
        tensor_text(x, text, sizeof text));
    return false;
}

bool kiln_split_at(kiln_site at, kiln_operand o, int axis, const int64_t *sizes, int count, kiln_tensor **out)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "split", o, &t);
    if (!t || !list_there(t, at, "split", out, count)) return false;
    if (!tensor_ok(x) || !axis_of(t, at, "split", axis, x->type.rank, &axis)) return results_poison(t, out, count);
    if (!sizes && count == 0) {
        fail(t, at, KILN_EVALUE, "split: there are no parts");
        return false;
    }
    if (!sizes_fit(t, at, x, axis, sizes, count)) return results_poison(t, out, count);
    Composite s = composite_begin(t, "split");
    Dim first = 0;
    for (int i = 0; i < count; i++) {
        const Dim n = part_size(t, at, x, axis, sizes, count, i);
        out[i] = n == DIM_BAD || first == DIM_BAD ? &t->k->poison : slice_axis(t, at, x, axis, first, n);
        first = extent(t, at, EXTENT_ADD, first, n);
        composite_keep(t, out[i]);
    }
    const bool well = composite_well(t, &s);
    composite_end(t, &s, NULL);
    return well || results_poison(t, out, count);
}

bool kiln_unstack_at(kiln_site at, kiln_operand o, int axis, int count, kiln_tensor **out)
{
    Thread *t;
    char text[160];
    Dim dim[MAX_RANK];
    kiln_tensor *x = first_operand(at, "unstack", o, &t);
    if (!t || !list_there(t, at, "unstack", out, count)) return false;
    if (!tensor_ok(x) || !axis_of(t, at, "unstack", axis, x->type.rank, &axis)) return results_poison(t, out, count);
    if (x->type.dim[axis] != count) {
        fail(t, at, KILN_ESHAPE, "unstack: axis %d does not have %d elements: %s", axis, count, tensor_text(x, text, sizeof text));
        return results_poison(t, out, count);
    }
    for (int i = 0; i < x->type.rank - 1; i++) dim[i] = x->type.dim[i + (i >= axis)];
    Composite s = composite_begin(t, "unstack");
    for (int i = 0; i < count; i++) {
        out[i] = reshape_to(t, at, slice_axis(t, at, x, axis, i, 1), dim, x->type.rank - 1);
        composite_keep(t, out[i]);
    }
    const bool well = composite_well(t, &s);
    composite_end(t, &s, NULL);
    return well || results_poison(t, out, count);
}

/* ---- windows -------------------------------------------------------------------------------------- */

/* The windows along one axis, whose own axis becomes the last one. */
static kiln_tensor *windows_along(Thread *t, kiln_site at, kiln_tensor *x, int axis, int64_t size, int64_t step)
{
    char text[160];
    if (size < 1 || step < 1 || step > DIM_MAX)
        return fail(t, at, KILN_EVALUE, "sliding_windows: size %lld, step %lld along axis %d; both must be 1 or more",
            (long long)size, (long long)step, axis);
    if (size > extent_hi(t, x->type.dim[axis]))
        return fail(t, at, KILN_ESHAPE, "sliding_windows: a window of %lld is larger than axis %d: %s", (long long)size, axis,
            tensor_text(x, text, sizeof text));
    x = axis_at_least(t, at, "sliding_windows", x, axis, size);
    if (!tensor_ok(x)) return x;
    const Dim n = x->type.dim[axis];
    const Dim many = extent(t, at, EXTENT_ADD, extent(t, at, EXTENT_FLOORDIV, extent(t, at, EXTENT_SUB, n, size), step), 1);
    /* An image of which the axis is the height, what lies before it the batch, and what lies behind it the channels. */
    const int rank = x->type.rank;
    const Dim image[4] = {
        extent_product(t, at, x->type.dim, axis), n, 1, extent_product(t, at, x->type.dim + axis + 1, rank - axis - 1)};
    Dim dim[MAX_RANK];
    int perm[MAX_RANK];
    for (int i = 0; i <= rank; i++) {
        dim[i] = i == axis ? many : i == axis + 1 ? size : x->type.dim[i - (i > axis)];
        perm[i] = i == rank ? axis + 1 : i + (i > axis);
    }
    if (many == DIM_BAD || image[0] == DIM_BAD || image[3] == DIM_BAD)
        return fail(
            t, at, KILN_EUNSUPPORTED, "sliding_windows: too long an expression for a size: %s", tensor_text(x, text, sizeof text));
    x = reshape_to(t, at, x, image, 4);
    if (tensor_ok(x)) x = apply1(t, at, OP_window, x, ATTRS_OF(window, .size = {size, 1}, .stride = {step, 1}, .dilation = {1, 1}));
    return transpose_to(t, at, reshape_to(t, at, x, dim, rank + 1), perm);
}

kiln_tensor *kiln_sliding_windows_at(kiln_site at, kiln_operand o, kiln_axes axes, kiln_shape sizes, kiln_shape steps)
{
    Thread *t;
    char text[160];
    int axis[MAX_RANK];
    kiln_tensor *x = first_operand(at, "sliding_windows", o, &t);
    if (!tensor_ok(x)) return x;
    const int count = axes_listed(t, at, "sliding_windows", &axes, x->type.rank, axis);
    if (count < 0) return &t->k->poison;
    if (sizes.rank != count || (steps.rank != 0 && steps.rank != count))
        return fail(t, at, KILN_ESHAPE, "sliding_windows: %lld sizes and %lld steps given for %d axes: %s", (long long)sizes.rank,
            (long long)steps.rank, count, tensor_text(x, text, sizeof text));
    if (x->type.rank + count > MAX_RANK)
        return fail(t, at, KILN_ESHAPE, "sliding_windows: the result would have %d axes (allowed: 0 to %d): %s",
            x->type.rank + count, MAX_RANK, tensor_text(x, text, sizeof text));
    Composite s = composite_begin(t, "sliding_windows");
    kiln_tensor *r = x;
    for (int i = 0; i < count && tensor_ok(r); i++)
        r = windows_along(t, at, r, axis[i], sizes.size[i + 1], steps.rank ? steps.size[i + 1] : 1);
    return composite_end(t, &s, result_of(t, at, r, x));
}

/* ---- blocks: between channels and space --------------------------------------------------------------- */

/* channels becomes the place of the channels. False: recorded. */
static bool blocks_fit(
    Thread *t, kiln_site at, const char *op, const kiln_tensor *x, int64_t block, int *channels, kiln_depth_order order)
{
    char text[160];
    if (!axis_of(t, at, op, *channels, x->type.rank, channels)) return false;
    if (x->type.rank < 3 || x->type.rank > 5 || *channels == 0) {
        fail(t, at, KILN_ESHAPE, "%s: needs a batch, channels behind it, and one to three axes of space: %s", op,
            tensor_text(x, text, sizeof text));
        return false;
    }
    if (block < 1 || block > DIM_MAX || (unsigned)order > KILN_CRD) {
        fail(t, at, KILN_EVALUE, "%s: the block is %lld (allowed: 1 to 2^48), the order %d (allowed: KILN_DCR, KILN_CRD)", op,
            (long long)block, (int)order);
        return false;
    }
    return true;
}

/* n / by, exactly. DIM_BAD: recorded. */
static Dim divided(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, int axis, Dim by)
{
    char text[160];
    const Dim n = extent(t, at, EXTENT_EXACT, x->type.dim[axis], by);
    if (n == DIM_BAD)
        fail(t, at, KILN_ESHAPE, "%s: axis %d is no multiple of %lld: %s", op, axis, (long long)by,
            tensor_text(x, text, sizeof text));
    return n;
}

/* x as [dim], n of them, transposed, as [to], of x's rank. */
static kiln_tensor *regrouped(
    Thread *t, kiln_site at, const char *op, kiln_tensor *x, const Dim *dim, int n, const int *perm, const Dim *to)
{
    char text[160];
    if (extent_product(t, at, to, x->type.rank) == DIM_BAD)
        return fail(t, at, KILN_EUNSUPPORTED, "%s: too long an expression for a size: %s", op, tensor_text(x, text, sizeof text));
    kiln_tensor *r = transpose_to(t, at, reshape_to(t, at, x, dim, n), perm);
    return reshape_to(t, at, r, to, x->type.rank);
}

kiln_tensor *kiln_depth_to_space_at(kiln_site at, kiln_operand o, int64_t block, int channels, kiln_depth_order order)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "depth_to_space", o, &t);
    if (!tensor_ok(x)) return x;
    if (!blocks_fit(t, at, "depth_to_space", x, block, &channels, order)) return &t->k->poison;
    const int rank = x->type.rank, space = rank - 2;
    Dim all = 1, dim[MAX_RANK], to[MAX_RANK];
    for (int i = 0; i < space; i++) all = extent(t, at, EXTENT_MUL, all, block);
    const Dim depth = all == DIM_BAD ? DIM_BAD : divided(t, at, "depth_to_space", x, channels, all);
    if (depth == DIM_BAD) return &t->k->poison;
    /* The channels in their factors: the blocks' axes, and before or behind them what is left. */
    int n = 0, perm[MAX_RANK], p = 0;
    for (int i = 0; i < rank; i++) {
        if (i != channels) {
            dim[n++] = x->type.dim[i];
            continue;
        }
        if (order == KILN_CRD) dim[n++] = depth;
        for (int j = 0; j < space; j++) dim[n++] = block;
        if (order == KILN_DCR) dim[n++] = depth;
    }
    for (int i = 0, nth = 0; i < rank; i++) {
        to[i] = i == 0 ? x->type.dim[0] : i == channels ? depth : extent(t, at, EXTENT_MUL, x->type.dim[i], block);
        perm[p++] = i <= channels ? i : i + space;
        if (i == channels) perm[p - 1] = order == KILN_CRD ? i : i + space;
        if (i != 0 && i != channels) perm[p++] = channels + (order == KILN_CRD) + nth++;
    }
    Composite s = composite_begin(t, "depth_to_space");
    return composite_end(t, &s, result_of(t, at, regrouped(t, at, "depth_to_space", x, dim, n, perm, to), x));
}

kiln_tensor *kiln_space_to_depth_at(kiln_site at, kiln_operand o, int64_t block, int channels, kiln_depth_order order)
{
    Thread *t;
    kiln_tensor *x = first_operand(at, "space_to_depth", o, &t);
    if (!tensor_ok(x)) return x;
    if (!blocks_fit(t, at, "space_to_depth", x, block, &channels, order)) return &t->k->poison;
    const int rank = x->type.rank;
    Dim dim[MAX_RANK], to[MAX_RANK];
    int n = 0, place[MAX_RANK] = {0}, within[MAX_RANK], perm[MAX_RANK], p = 0, blocks = 0;
    for (int i = 0; i < rank; i++) to[i] = x->type.dim[i];
    for (int i = 0; i < rank; i++) {
        place[i] = n;
        dim[n++] = x->type.dim[i];
        if (i == 0 || i == channels) continue;
        if ((dim[n - 1] = to[i] = divided(t, at, "space_to_depth", x, i, block)) == DIM_BAD) return &t->k->poison;
        within[blocks++] = n;
        dim[n++] = block;
        to[channels] = extent(t, at, EXTENT_MUL, to[channels], block);
    }
    for (int i = 0; i < rank; i++) {
        if (i != channels || order == KILN_CRD) perm[p++] = place[i];
        for (int j = 0; j < blocks && i == channels; j++) perm[p++] = within[j];
        if (i == channels && order == KILN_DCR) perm[p++] = place[i];
    }
    Composite s = composite_begin(t, "space_to_depth");
    return composite_end(t, &s, result_of(t, at, regrouped(t, at, "space_to_depth", x, dim, n, perm, to), x));
}
