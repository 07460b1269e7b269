/* ops_search: places in what is sorted, membership, counts and segments: composites of gather and scatter. Relies on ops.h,
 * effect.h. Never reads an element. */
#include "effect.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))

static kiln_tensor *flat_of(Thread *t, kiln_site at, const char *op, kiln_tensor *x)
{
    char why[64];
    if (!tensor_ok(x) || x->type.rank == 1) return x;
    const Dim all = extent_product(t, at, x->type.dim, x->type.rank);
    if (all == DIM_BAD) return fail(t, at, KILN_ESHAPE, "%s: the number of elements %s", op, extent_trouble(t, why, sizeof why));
    return reshape_to(t, at, x, &all, 1);
}

/* ---- places in an order ----------------------------------------------------------------------- */

/* The place of each value in `sorted` [n], both of one dtype: before its equals, or after them; i64.
 * A binary search of all values at once: each step asks whether 2^k more elements go before the value. Behind the elements lie NaN,
 * which none goes behind, or of integers the largest, by which a place may come out too large. */
static kiln_tensor *place_in(Thread *t, kiln_site at, kiln_tensor *sorted, kiln_tensor *values, bool after)
{
    const Dim n = sorted->type.dim[0];
    const int64_t most = extent_hi(t, n);
    const DType d = most < INT32_MAX / 2 ? DT_i32 : DT_i64, own = (DType)sorted->type.dtype;
    const bool floats = dtype_is_float(own);
    const kiln_operand v = of(values), all = of(dim_tensor(t, at, n, d));
    Type shape = values->type;
    shape.dtype = (uint8_t)d;
    kiln_operand place = of(number_like(t, at, "searchsorted", &shape, kiln_of_i(0)));
    /* With one element before it, the element that a place ends with is at the place. */
    kiln_tensor *from = pad_axis(t, at, sorted, 0, 1, 1, floats ? kiln_of_f(NAN) : extreme_of(own, true));
    int64_t step = 1;
    while (step <= most / 2) step *= 2;
    for (; step > 0 && most > 0; step /= 2) {
        const kiln_operand next = OP2(add, place, kiln_of_i(step));
        if (!tensor_ok(next.as.tensor) || !tensor_ok(from)) return &t->k->poison;
        const kiln_operand met = of(apply2(t, at, OP_gather, from, next.as.tensor, ATTRS_OF(gather, .axis = 0)));
        place = WHERE(after ? OP2(le, met, v) : OP2(lt, met, v), next, place);
    }
    if (!floats) return cast_to(t, at, kiln_min_at(at, place, all), DT_i64);
    kiln_operand numbers = of(cast_to(t, at, kiln_eq_at(at, of(sorted), of(sorted)), d));
    numbers = after ? all : of(cast_to(t, at, kiln_sum_at(at, numbers, KILN_ALL), d));
    return cast_to(t, at, kiln_where_at(at, OP1(isnan, v), numbers, place), DT_i64);
}

kiln_tensor *kiln_searchsorted_at(kiln_site at, kiln_operand so, kiln_operand vo, int how)
{
    kiln_operand o[2] = {so, vo};
    char text[160];
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *x[2] = {operand_named(t, at, "searchsorted", so, NULL)};
    if (!tensor_ok(x[0])) return x[0];
    x[1] = operand_named(t, at, "searchsorted", vo, &(Type){.dtype = x[0]->type.dtype});
    if (x[0]->type.rank != 1)
        return fail(
            t, at, KILN_ESHAPE, "searchsorted: what is sorted must have one axis: %s", tensor_text(x[0], text, sizeof text));
    if (how != 0 && how != KILN_AFTER) return fail(t, at, KILN_EVALUE, "searchsorted: how is %d (allowed: 0, KILN_AFTER)", how);
    Composite s = composite_begin(t, "searchsorted");
    return composite_end(
        t, &s, operands_alike(t, at, "searchsorted", x) ? place_in(t, at, x[0], x[1], how == KILN_AFTER) : &t->k->poison);
}

kiln_tensor *kiln_isin_at(kiln_site at, kiln_operand xo, kiln_operand so)
{
    kiln_operand o[2] = {xo, so};
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *x[2] = {operand_named(t, at, "isin", xo, NULL)};
    if (!tensor_ok(x[0])) return x[0];
    x[1] = operand_named(t, at, "isin", so, &(Type){.dtype = x[0]->type.dtype});
    Composite s = composite_begin(t, "isin");
    if (!operands_alike(t, at, "isin", x)) return composite_end(t, &s, &t->k->poison);
    kiln_tensor *set = flat_of(t, at, "isin", x[1]);
    if (!tensor_ok(set)) return composite_end(t, &s, set);
    if (set->type.dim[0] == 0) return composite_end(t, &s, kiln_ne_at(at, OP1(zeros_like, of(x[0])), OP1(zeros_like, of(x[0]))));
    set = kiln_sort_at(at, of(set), 0, 0);
    kiln_tensor *place = tensor_ok(set) ? place_in(t, at, set, x[0], false) : set;
    if (!tensor_ok(place)) return composite_end(t, &s, place);
    const Dim n = set->type.dim[0];
    const bool open = extent_lo(t, n) < 1; /* then one more stands behind the set, which is no part of it */
    if (open) set = pad_axis(t, at, set, 0, 0, 1, kiln_of_i(0));
    if (!tensor_ok(set)) return composite_end(t, &s, set);
    kiln_operand met = of(kiln_eq_at(at, of(apply2(t, at, OP_gather, set, place, ATTRS_OF(gather, .axis = 0))), of(x[0])));
    if (open) met = OP2(and, met, of(kiln_lt_at(at, of(place), of(dim_tensor(t, at, n, DT_i64)))));
    return composite_end(t, &s, met.as.tensor);
}

/* ---- what rows add up to ----------------------------------------------------------------------- */

/* `count` rows, into which x's rows along axis 0 are folded: each into the one that i [n] names, if there is one. how: no SET. */
static kiln_tensor *fold_rows(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *i, Dim count, kiln_scatter_how how)
{
    const DType d = (DType)x->type.dtype;
    Type to = x->type;
    const kiln_operand none = how == KILN_SCATTER_MAX   ? extreme_of(d, false)
                              : how == KILN_SCATTER_MIN ? extreme_of(d, true)
                                                        : kiln_of_i(how == KILN_SCATTER_MUL);
    to.dim[0] = extent(t, at, EXTENT_ADD, count, 1); /* the last one for rows that take no part */
    if (to.dim[0] == DIM_BAD) return fail(t, at, KILN_ESHAPE, "a tensor has at most 2^48 elements");
    kiln_tensor *r = number_like(t, at, NULL, &to, none);
    /* What is negative becomes very large. */
    kiln_tensor *row = kiln_min_at(at, of(cast_to(t, at, i, DT_u64)), of(dim_tensor(t, at, count, DT_u64)));
    if (!tensor_ok(row) || !tensor_ok(r)) return &t->k->poison;
    if (x->type.dim[0] != 0)
        r = apply(t, at, OP_scatter, (kiln_tensor *[]){r, row, x}, 3, ATTRS_OF(scatter, .axis = 0, .fold = (int)how - 1), NULL, 0);
    return tensor_ok(r) ? slice_axis(t, at, r, 0, 0, count) : r;
}

static bool count_fits(Thread *t, kiln_site at, const char *op, const char *what, int64_t count, int64_t least)
{
    if (count >= least && count < DIM_MAX) return true;
    fail(t, at, KILN_EVALUE, "%s: %s is %lld (allowed: %lld to 2^48 - 1)", op, what, (long long)count, (long long)least);
    return false;
}

static kiln_tensor *integers(Thread *t, kiln_site at, const char *op, const char *what, kiln_operand o)
{
    char text[160];
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x) || dtype_is_int((DType)x->type.dtype)) return x;
    return fail(t, at, KILN_EDTYPE, "%s: %s must be integers, not %s", op, what, tensor_text(x, text, sizeof text));
}

kiln_tensor *kiln_bincount_at(kiln_site at, kiln_operand o, int64_t length, kiln_operand weights)
{
    kiln_operand both[2] = {o, weights};
    const bool counts = weights.kind == 1 && !weights.as.tensor;
    char a[160], b[160];
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = integers(t, at, "bincount", "x", o);
    if (!tensor_ok(x) || !count_fits(t, at, "bincount", "length", length, 0)) return &t->k->poison;
    kiln_tensor *w = counts ? NULL : operand_named(t, at, "bincount", weights, NULL);
    if (!counts && !tensor_ok(w)) return w;
    if (w && w->type.dtype == DT_bool)
        return fail(t, at, KILN_EDTYPE, "bincount: needs numbers, not bool, use kiln_cast: %s", tensor_text(w, a, sizeof a));
    if (w && (w->type.rank != x->type.rank || memcmp(w->type.dim, x->type.dim, x->type.rank * sizeof *x->type.dim) != 0))
        return fail(t, at, KILN_ESHAPE, "bincount: the weights must have the shape of x: %s x %s", tensor_text(x, a, sizeof a),
            tensor_text(w, b, sizeof b));
    Composite s = composite_begin(t, "bincount");
    x = flat_of(t, at, "bincount", x);
    if (!tensor_ok(x)) return composite_end(t, &s, x);
    if (w) {
        kiln_tensor *flat = flat_of(t, at, "bincount", cast_to(t, at, w, wide_dtype(w)));
        kiln_tensor *r = tensor_ok(flat) ? fold_rows(t, at, flat, x, length, KILN_SCATTER_ADD) : flat;
        return composite_end(t, &s, cast_to(t, at, r, (DType)w->type.dtype));
    }
    Type ones = x->type;
    ones.dtype = DT_i64;
    kiln_tensor *one = number_like(t, at, "bincount", &ones, kiln_of_i(1));
    return composite_end(t, &s, tensor_ok(one) ? fold_rows(t, at, one, x, length, KILN_SCATTER_ADD) : one);
}

/* x [n] and edges, of one dtype; place: of the last edge that is not above x, -1 and the last one's for what lies outside. */
static kiln_tensor *histogram(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *edges, kiln_operand place)
{
    const Dim bins = extent(t, at, EXTENT_SUB, edges->type.dim[0], 1);
    kiln_tensor *last = slice_axis(t, at, edges, 0, bins, 1);
    if (!tensor_ok(place.as.tensor) || !tensor_ok(last)) return &t->k->poison;
    const DType d = (DType)place.as.tensor->type.dtype;
    const kiln_operand inside = of(dim_tensor(t, at, extent(t, at, EXTENT_SUB, bins, 1), d));
    kiln_tensor *bin = kiln_where_at(at, OP2(eq, of(x), of(last)), inside, place);
    Type ones = x->type;
    ones.dtype = DT_i64;
    kiln_tensor *one = number_like(t, at, "histogram", &ones, kiln_of_i(1));
    return tensor_ok(bin) && tensor_ok(one) ? fold_rows(t, at, one, bin, bins, KILN_SCATTER_ADD) : &t->k->poison;
}

static kiln_operand edge_before(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *edges)
{
    const kiln_operand place = of(place_in(t, at, edges, x, true));
    return tensor_ok(place.as.tensor) ? OP2(sub, place, kiln_of_i(1)) : place;
}

/* The same for edges of equal width from low to high, where rounding moves none of them, nor the quotient that tells the bin, by as
 * much as a bin: that bin, or the one beside it if x does not lie between its edges. */
static kiln_operand edge_near(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *edges, int64_t bins, double low, double high)
{
    const kiln_operand in = of(cast_to(t, at, x, wide_dtype(x))), least = kiln_of_i(0), most = kiln_of_i(bins - 1);
    const kiln_operand quotient = OP2(mul, OP2(sub, in, kiln_of_f(low)), kiln_of_f((double)bins / (high - low)));
    kiln_tensor *guess = cast_to(t, at, kiln_clip_at(at, quotient, least, most), DT_i32);
    kiln_tensor *from = slice_axis(t, at, edges, 0, 0, bins), *to = slice_axis(t, at, edges, 0, 1, bins);
    if (!tensor_ok(guess) || !tensor_ok(from) || !tensor_ok(to)) return of(&t->k->poison);
    const kiln_operand lower = of(apply2(t, at, OP_gather, from, guess, ATTRS_OF(gather, .axis = 0)));
    const kiln_operand upper = of(apply2(t, at, OP_gather, to, guess, ATTRS_OF(gather, .axis = 0)));
    const kiln_operand place = WHERE(OP2(ge, of(x), lower), of(guess), OP2(sub, of(guess), kiln_of_i(1))); /* NaN: before all */
    return WHERE(OP2(ge, of(x), upper), OP2(add, of(guess), kiln_of_i(1)), place);
}

static kiln_tensor *numbers_of(Thread *t, kiln_site at, const char *op, kiln_operand o)
{
    char text[160];
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x) || x->type.dtype != DT_bool) return x;
    return fail(t, at, KILN_EDTYPE, "%s: needs numbers, not bool, use kiln_cast: %s", op, tensor_text(x, text, sizeof text));
}

kiln_tensor *kiln_histogram_at(kiln_site at, kiln_operand o, kiln_operand edges)
{
    kiln_operand both[2] = {o, edges};
    char text[160];
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x[2] = {numbers_of(t, at, "histogram", o), numbers_of(t, at, "histogram", edges)};
    if (!tensor_ok(x[0]) || !tensor_ok(x[1])) return &t->k->poison;
    if (x[1]->type.rank != 1 || extent_hi(t, x[1]->type.dim[0]) < 2)
        return fail(
            t, at, KILN_ESHAPE, "histogram: the edges must have one axis of at least 2: %s", tensor_text(x[1], text, sizeof text));
    Composite s = composite_begin(t, "histogram");
    x[1] = axis_at_least(t, at, "histogram", x[1], 0, 2);
    if (!tensor_ok(x[1])) return composite_end(t, &s, x[1]);
    if (dtype_is_int((DType)x[0]->type.dtype) && dtype_is_float((DType)x[1]->type.dtype))
        for (int i = 0; i < 2; i++) x[i] = cast_to(t, at, x[i], DT_f64);
    bool ok = operands_alike(t, at, "histogram", x);
    if (ok) x[0] = flat_of(t, at, "histogram", x[0]);
    return composite_end(
        t, &s, ok && tensor_ok(x[0]) ? histogram(t, at, x[0], x[1], edge_before(t, at, x[0], x[1])) : &t->k->poison);
}

kiln_tensor *kiln_histogram_range_at(kiln_site at, kiln_operand o, int64_t bins, double low, double high)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = numbers_of(t, at, "histogram_range", o);
    if (!tensor_ok(x) || !count_fits(t, at, "histogram_range", "bins", bins, 1)) return &t->k->poison;
    if (!(low < high) || !isfinite(low) || !isfinite(high))
        return fail(t, at, KILN_EVALUE, "histogram_range: the range is %g to %g; it must be finite and ascend", low, high);
    Composite s = composite_begin(t, "histogram_range");
    const DType d = dtype_is_float((DType)x->type.dtype) ? (DType)x->type.dtype : DT_f64;
    const kiln_operand i = of(iota_of(t, at, &(Type){.dtype = DT_f64, .rank = 1, .dim = {bins + 1}}, 0, x));
    const kiln_operand edge = OP2(add, OP2(mul, i, kiln_of_f((high - low) / (double)bins)), kiln_of_f(low));
    kiln_tensor *edges = cast_to(t, at, kiln_where_at(at, OP2(eq, i, kiln_of_i(bins)), kiln_of_f(high), edge), d);
    x = flat_of(t, at, "histogram_range", cast_to(t, at, x, d));
    if (!tensor_ok(x) || !tensor_ok(edges)) return composite_end(t, &s, &t->k->poison);
    const double part = (high - low) / fmax(fabs(low), fabs(high)), far = fmax(high - low, 1 / (high - low));
    const bool near = far < 0x1p100 && bins < INT32_MAX / 2 && ldexp((double)bins, -dtype_info[d].mantissa) < part / 16;
    const kiln_operand place = near ? edge_near(t, at, x, edges, bins, low, high) : edge_before(t, at, x, edges);
    return composite_end(t, &s, histogram(t, at, x, edges, place));
}

/* ---- segments ---------------------------------------------------------------------------------- */

static kiln_tensor *means(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *i, int64_t count)
{
    Type one = {.dtype = x->type.dtype, .rank = x->type.rank, .dim = {x->type.dim[0]}};
    for (int a = 1; a < one.rank; a++) one.dim[a] = 1;
    kiln_tensor *ones = number_like(t, at, "segment_mean", &one, kiln_of_i(1));
    if (!tensor_ok(ones)) return ones;
    return kiln_div_at(
        at, of(fold_rows(t, at, x, i, count, KILN_SCATTER_ADD)), of(fold_rows(t, at, ones, i, count, KILN_SCATTER_ADD)));
}

/* how: SET stands for the mean. */
static kiln_tensor *segment(kiln_site at, const char *name, kiln_operand o, kiln_operand so, int64_t count, kiln_scatter_how how)
{
    kiln_operand both[2] = {o, so};
    char a[160], b[160];
    Thread *t = op_thread(both, 2);
    if (!t) return NULL;
    kiln_tensor *x = how == KILN_SCATTER_SET ? operand_float(t, at, name, o) : numbers_of(t, at, name, o);
    kiln_tensor *i = tensor_ok(x) ? integers(t, at, name, "the segments", so) : NULL;
    if (!tensor_ok(i) || !count_fits(t, at, name, "count", count, 0)) return &t->k->poison;
    if (x->type.rank < 1 || i->type.rank != 1 || i->type.dim[0] != x->type.dim[0])
        return fail(t, at, KILN_ESHAPE, "%s: x is [n, ...] and the segments are [n]: %s x %s", name, tensor_text(x, a, sizeof a),
            tensor_text(i, b, sizeof b));
    if (!effect_indices(t, at, name, i, count)) return &t->k->poison;
    Composite s = composite_begin(t, name);
    const DType own = (DType)x->type.dtype;
    x = cast_to(t, at, x, how >= KILN_SCATTER_MAX ? own : wide_dtype(x));
    if (!tensor_ok(x)) return composite_end(t, &s, x);
    kiln_tensor *r = how == KILN_SCATTER_SET ? means(t, at, x, i, count) : fold_rows(t, at, x, i, count, how);
    return composite_end(t, &s, cast_to(t, at, r, own));
}

#define SEGMENT(name, how)                                                                            \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x, kiln_operand segments, int64_t count) \
    {                                                                                                 \
        return segment(at, #name, x, segments, count, how);                                           \
    }
SEGMENT(segment_sum, KILN_SCATTER_ADD)
SEGMENT(segment_prod, KILN_SCATTER_MUL)
SEGMENT(segment_max, KILN_SCATTER_MAX)
SEGMENT(segment_min, KILN_SCATTER_MIN)
SEGMENT(segment_mean, KILN_SCATTER_SET)
