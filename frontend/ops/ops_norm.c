/* ops_norm: norms of vectors and matrices over any axes: composites. Relies on ops.h and the public reductions. Never has a
 * gradient of its own. What is scaled by, to stay in range, carries no gradient, because results do not depend on it. */
#include "ops.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))

/* The power of two that brings x, not negative, near 1; 1 for infinity and NaN. */
static kiln_operand near_one(kiln_site at, kiln_operand x, DType d)
{
    kiln_operand power = OP1(exp2, OP2(min, OP1(neg, OP1(floor, OP1(log2, x))), kiln_of_i(d == DT_f64 ? 1022 : 126)));
    return WHERE(OP1(isfinite, power), WHERE(OP2(gt, power, kiln_of_i(0)), power, kiln_of_i(1)), kiln_of_i(1));
}

/* x, whose root is wanted, and the root, which has no slope at 0. */
static kiln_operand root_of(kiln_site at, kiln_operand x, double p)
{
    const kiln_operand none = OP2(le, x, kiln_of_i(0)), some = WHERE(none, kiln_of_i(1), x);
    return WHERE(none, x, p == 2 ? OP1(sqrt, some) : OP2(pow, some, kiln_of_f(1 / p)));
}

/* The root of the sum of squares, scaled where the squares leave the range. */
static kiln_operand square_norm(Thread *t, kiln_site at, kiln_operand x, kiln_axes axes)
{
    kiln_axes keep = axes;
    keep.keep = 1;
    if (!tensor_ok(x.as.tensor)) return x;
    const kiln_operand first = OP1(stop_gradient, OP2(sum, OP1(square, x), keep));
    const kiln_operand by = norm_scale(at, first, (DType)x.as.tensor->type.dtype);
    if (!tensor_ok(by.as.tensor)) return by;
    /* Where all factors are 1, a second pass is needed only for a gradient. */
    const bool known = !t->trace && t->recording == 0;
    kiln_operand r = first;
    if (known && kiln_item_at(at, OP2(all, OP2(eq, by, kiln_of_i(1)), KILN_ALL)) == 1)
        r = OP1(sqrt, first);
    else
        r = OP2(div, root_of(at, OP2(sum, OP1(square, OP2(mul, x, by)), keep), 2), by);
    return axes.keep ? r : OP2(sum, r, axes);
}

/* (sum |x|^p)^(1/p), with the largest |x| (the smallest, if p < 0) brought near 1 first. */
static kiln_operand power_norm(Thread *t, kiln_site at, kiln_operand x, double p, kiln_axes axes)
{
    kiln_axes keep = axes;
    keep.keep = 1;
    const kiln_operand size = OP1(abs, x), still = OP1(stop_gradient, size);
    if (!tensor_ok(still.as.tensor)) return still;
    const DType d = (DType)still.as.tensor->type.dtype;
    const kiln_operand by = near_one(at, extreme_or(t, at, still, keep, p > 0 ? 0 : INFINITY, p < 0), d);
    /* The slope of 0^p, infinite or none, is kept from what is 0. */
    kiln_operand r = OP2(mul, size, by);
    const kiln_operand none = OP2(eq, r, kiln_of_i(0));
    r = WHERE(none, kiln_of_f(p > 0 ? 0 : INFINITY), OP2(pow, WHERE(none, kiln_of_i(1), r), kiln_of_f(p)));
    r = OP2(div, root_of(at, OP2(sum, r, keep), p), by);
    return axes.keep ? r : OP2(sum, r, axes);
}

/* The norm of floats that are wide enough. */
static kiln_operand norm(Thread *t, kiln_site at, kiln_operand x, double p, kiln_axes axes, bool empty)
{
    if (p == 0) return of(cast_to(t, at, kiln_count_nonzero_at(at, x, axes), (DType)x.as.tensor->type.dtype));
    if (p == 1) return OP2(sum, OP1(abs, x), axes);
    if (isinf(p)) return p > 0 ? OP2(reduce_max, OP1(abs, x), axes) : OP2(reduce_min, OP1(abs, x), axes);
    if (empty) return OP2(sum, x, axes);
    return p == 2 ? square_norm(t, at, x, axes) : power_norm(t, at, x, p, axes);
}

static kiln_tensor *vector_norm(kiln_site at, const char *name, kiln_operand o, double p, kiln_axes axes)
{
    Axes a;
    bool empty = false;
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, name, o);
    if (!tensor_ok(x)) return x;
    if (isnan(p)) return fail(t, at, KILN_EVALUE, "%s: p is NaN; it must be a number or infinite", name);
    if (!reduced_axes(t, at, name, &axes, x->type.rank, &a)) return &t->k->poison;
    for (uint32_t i = 0; i < a.n; i++) empty |= x->type.dim[a.at[i]] == 0;
    Composite s = composite_begin(t, name);
    kiln_tensor *wide = cast_to(t, at, x, wide_dtype(x));
    kiln_tensor *r = tensor_ok(wide) ? norm(t, at, of(wide), p, axes, empty).as.tensor : wide;
    return composite_end(t, &s, cast_to(t, at, result_of(t, at, r, x), (DType)x->type.dtype));
}

kiln_tensor *kiln_vector_norm_at(kiln_site at, kiln_operand x, double p, kiln_axes axes)
{
    return vector_norm(at, "vector_norm", x, p, axes);
}

kiln_tensor *kiln_reduce_l2_at(kiln_site at, kiln_operand x, kiln_axes axes) { return vector_norm(at, "reduce_l2", x, 2, axes); }

/* Of singular values. */
static kiln_tensor *value_norm(Thread *t, kiln_site at, kiln_tensor *x, double p, int row, int column, kiln_axes axes)
{
    const kiln_axes from = {0, 2, {0, row, column}}, to = {0, 2, {0, -2, -1}}, last = {0, 1, {0, -1}};
    Composite s = composite_begin(t, "matrix_norm");
    kiln_tensor *matrices = kiln_moveaxis_at(at, of(cast_to(t, at, x, wide_dtype(x))), from, to), *values = matrices;
    if (tensor_ok(matrices)) apply(t, at, OP_svdvals, &matrices, 1, NULL, 0, &values, 1);
    kiln_operand r = p == KILN_NUCLEAR ? OP2(sum, of(values), last)
                     : p > 0           ? OP2(reduce_max, of(values), last)
                                       : OP2(reduce_min, of(values), last);
    if (axes.keep && tensor_ok(r.as.tensor)) {
        Type t1 = x->type;
        t1.dim[row < 0 ? row + x->type.rank : row] = t1.dim[column < 0 ? column + x->type.rank : column] = 1;
        r = of(reshape_to(t, at, r.as.tensor, t1.dim, t1.rank));
    }
    return composite_end(t, &s, tensor_ok(r.as.tensor) ? cast_to(t, at, r.as.tensor, (DType)x->type.dtype) : r.as.tensor);
}

kiln_tensor *kiln_matrix_norm_at(kiln_site at, kiln_operand o, double p, kiln_axes axes)
{
    Axes a;
    char text[160];
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "matrix_norm", o);
    if (!tensor_ok(x)) return x;
    if (axes.count != 2 && !(axes.count == -1 && x->type.rank == 2))
        return fail(
            t, at, KILN_ESHAPE, "matrix_norm: two axes must be named, the rows' first: %s", tensor_text(x, text, sizeof text));
    if (!reduced_axes(t, at, "matrix_norm", &axes, x->type.rank, &a)) return &t->k->poison;
    const bool by_values = p == 2 || p == -2 || p == KILN_NUCLEAR;
    if (!by_values && p != KILN_FROBENIUS && p != 1 && p != -1 && !isinf(p))
        return fail(t, at, KILN_EVALUE,
            "matrix_norm: p is %g (allowed: KILN_FROBENIUS, KILN_NUCLEAR, 1, -1, 2, -2, INFINITY, -INFINITY)", p);
    if (p == KILN_FROBENIUS) return vector_norm(at, "matrix_norm", o, 2, axes);
    const int rank = x->type.rank, row = axes.count < 0 ? 0 : axes.axis[1], column = axes.count < 0 ? 1 : axes.axis[2];
    if (by_values) return value_norm(t, at, x, p, row, column, axes);
    const int along = isinf(p) ? column : row, from = isinf(p) ? row : column;
    const kiln_axes sums = {1, 1, {0, along < 0 ? along + rank : along}}, most = {1, 1, {0, from < 0 ? from + rank : from}};
    Composite s = composite_begin(t, "matrix_norm");
    kiln_operand r = OP2(sum, OP1(abs, of(cast_to(t, at, x, wide_dtype(x)))), sums);
    r = p > 0 ? OP2(reduce_max, r, most) : OP2(reduce_min, r, most);
    if (!axes.keep) r = OP2(sum, r, axes); /* of one element each */
    return composite_end(t, &s, cast_to(t, at, r.as.tensor, (DType)x->type.dtype));
}
