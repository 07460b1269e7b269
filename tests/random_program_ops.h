/* random_program_ops: the operations that random programs draw from, by what they take. Only random_program.c includes it. */
#ifndef KILN_TESTS_RANDOM_PROGRAM_OPS_H
#define KILN_TESTS_RANDOM_PROGRAM_OPS_H

#include <kiln/kiln.h>

typedef kiln_tensor *Unary(kiln_site at, kiln_operand x);
typedef kiln_tensor *Binary(kiln_site at, kiln_operand x, kiln_operand y);
typedef kiln_tensor *Reduce(kiln_site at, kiln_operand x, kiln_axes axes);
typedef kiln_tensor *Along(kiln_site at, kiln_operand x, int axis);
typedef enum Takes { TAKES_ALL, TAKES_NUMBERS, TAKES_FLOATS, TAKES_WHOLE } Takes;

#define OP(t, name) {kiln_##name##_at, #name, TAKES_##t}
static const struct { Unary *f; const char *name; Takes takes; } unary[] = {
    OP(NUMBERS, neg), OP(NUMBERS, abs), OP(NUMBERS, sign), OP(NUMBERS, floor), OP(FLOATS, ceil), OP(FLOATS, trunc), OP(FLOATS, round),
    OP(FLOATS, sqrt), OP(FLOATS, exp), OP(FLOATS, exp2), OP(FLOATS, expm1), OP(FLOATS, log), OP(FLOATS, log2), OP(FLOATS, log10),
    OP(FLOATS, log1p), OP(FLOATS, sin), OP(FLOATS, cos), OP(FLOATS, tan), OP(FLOATS, asin), OP(FLOATS, acos), OP(FLOATS, atan),
    OP(FLOATS, sinh), OP(FLOATS, cosh), OP(FLOATS, tanh), OP(FLOATS, erf), OP(WHOLE, not), OP(NUMBERS, square), OP(FLOATS, reciprocal),
    OP(FLOATS, rsqrt), OP(ALL, relu), OP(FLOATS, sigmoid), OP(FLOATS, silu), OP(FLOATS, softplus), OP(FLOATS, gelu), OP(FLOATS, gelu_tanh),
    OP(FLOATS, asinh), OP(FLOATS, cbrt), OP(FLOATS, erfc), OP(FLOATS, lgamma), OP(FLOATS, mish), OP(FLOATS, selu), OP(FLOATS, hardswish),
    OP(FLOATS, sinc), OP(ALL, isnan), OP(ALL, isinf), OP(ALL, isfinite), OP(ALL, zeros_like), OP(ALL, ones_like), OP(ALL, stop_gradient), OP(FLOATS, norm),
};
static const struct { Binary *f; const char *name; Takes takes; } binary[] = {
    OP(NUMBERS, add), OP(NUMBERS, sub), OP(NUMBERS, mul), OP(FLOATS, div), OP(NUMBERS, floor_div), OP(NUMBERS, mod), OP(FLOATS, pow),
    OP(NUMBERS, fmod), OP(NUMBERS, fmax), OP(FLOATS, hypot), OP(FLOATS, logaddexp), OP(FLOATS, leaky_relu),
    OP(ALL, max), OP(ALL, min), OP(FLOATS, atan2), OP(ALL, eq), OP(ALL, ne), OP(ALL, lt), OP(ALL, le), OP(ALL, gt), OP(ALL, ge),
    OP(WHOLE, and), OP(WHOLE, or), OP(WHOLE, xor),
};
static kiln_tensor *any_argmax(kiln_site at, kiln_operand x, kiln_axes axes) { return kiln_argmax_over_at(at, x, axes, KILN_LAST); }
static kiln_tensor *norm_of_3(kiln_site at, kiln_operand x, kiln_axes axes) { return kiln_vector_norm_at(at, x, 3, axes); }
static kiln_tensor *std_of_1(kiln_site at, kiln_operand x, kiln_axes axes) { return kiln_std_at(at, x, axes, 1); }
static const struct { Reduce *f; const char *name; Takes takes; } reduce[] = {
    OP(NUMBERS, sum), OP(NUMBERS, prod), OP(FLOATS, mean), OP(ALL, reduce_max), OP(ALL, reduce_min), OP(FLOATS, variance),
    OP(ALL, count_nonzero), OP(ALL, any), OP(ALL, all), OP(NUMBERS, ptp), OP(FLOATS, reduce_logsumexp), OP(FLOATS, reduce_l2), OP(FLOATS, nanmean), OP(FLOATS, median),
    {any_argmax, "argmax_over", TAKES_ALL}, {norm_of_3, "vector_norm", TAKES_FLOATS}, {std_of_1, "std", TAKES_FLOATS},
};
static kiln_tensor *sum_before(kiln_site at, kiln_operand x, int axis) { return kiln_cumsum_at(at, x, axis, KILN_EXCLUSIVE); }
static kiln_tensor *product_behind(kiln_site at, kiln_operand x, int axis) { return kiln_cumprod_at(at, x, axis, KILN_REVERSE); }
static kiln_tensor *sort_down(kiln_site at, kiln_operand x, int axis) { return kiln_sort_at(at, x, axis, KILN_DESCENDING); }
static kiln_tensor *order(kiln_site at, kiln_operand x, int axis) { return kiln_argsort_at(at, x, axis, 0); }
static kiln_tensor *least(kiln_site at, kiln_operand x, int axis) { return kiln_bottom_k_at(at, x, 1, axis, NULL); }
static kiln_tensor *largest_so_far(kiln_site at, kiln_operand x, int axis) { return kiln_cummax_at(at, x, axis, 0, NULL); }
static kiln_tensor *sum_of_exp(kiln_site at, kiln_operand x, int axis) { return kiln_logcumsumexp_at(at, x, axis, KILN_REVERSE); }
static kiln_tensor *steps(kiln_site at, kiln_operand x, int axis) 
{
    return kiln_diff_at(at, x, axis, 1, kiln_of_tensor(kiln_slice_at(at, x, axis, 0, 1, 1)), KILN_OPERAND(NULL));
}
static kiln_tensor *ranks(kiln_site at, kiln_operand x, int axis)
{
    kiln_tensor *line = kiln_reshape_at(at, x, KILN_SHAPE(-1));
    (void)axis;
    return kiln_searchsorted_at(at, kiln_of_tensor(kiln_sort_at(at, kiln_of_tensor(line), 0, 0)), x, 0);
}
static kiln_tensor *by_segments(kiln_site at, kiln_operand x, int axis)
{
    kiln_tensor *rows = kiln_argmax_at(at, kiln_of_tensor(kiln_reshape_at(at, x, KILN_SHAPE(kiln_dim(x.as.tensor, 0), -1))), 1);
    (void)axis;
    return kiln_segment_max_at(at, x, kiln_of_tensor(rows), 2);
}
static kiln_tensor *positives(kiln_site at, kiln_operand x, int axis) /* a size that is counted, and goes again */
{
    kiln_tensor *some = kiln_masked_at(at, x, kiln_of_tensor(kiln_gt_at(at, x, kiln_of_i(0))));
    (void)axis;
    return kiln_add_at(at, x, kiln_of_tensor(kiln_sum_at(at, kiln_of_tensor(some), KILN_ALL)));
}
static kiln_tensor *gram(kiln_site at, kiln_operand x, int axis)
{
    kiln_tensor *in[2] = {kiln_reshape_at(at, x, KILN_SHAPE(kiln_dim(x.as.tensor, axis), -1)), NULL};
    in[1] = in[0];
    return kiln_einsum_at(at, "ij,ij->j", kiln_tensors(in, 2));
}
static kiln_tensor *best(kiln_site at, kiln_operand x, int axis) { return kiln_top_k_at(at, x, 1, axis, NULL); }
static kiln_tensor *unit(kiln_site at, kiln_operand x, int axis) { return kiln_normalize_at(at, x, 2, axis, 0); }
static kiln_tensor *largest_first(kiln_site at, kiln_operand x, int axis)
{
    return kiln_scatter_at(at, x, kiln_of_i(0), kiln_of_tensor(kiln_gather_at(at, x, kiln_of_i(1), axis)), axis, KILN_SCATTER_MAX);
}
static kiln_tensor *turned_end(kiln_site at, kiln_operand x, int axis) { return kiln_flip_at(at, x, KILN_AXES(axis)); }
static kiln_tensor *shifted(kiln_site at, kiln_operand x, int axis) { return kiln_roll_at(at, x, KILN_SHAPE(-2), KILN_AXES(axis)); }
static kiln_tensor *to_front(kiln_site at, kiln_operand x, int axis) { return kiln_moveaxis_at(at, x, KILN_AXES(axis), KILN_AXES(0)); }
static kiln_tensor *last_first(kiln_site at, kiln_operand x, int axis) /* the axis goes, and a new one comes */
{
    return kiln_index_at(at, kiln_of_tensor(kiln_moveaxis_at(at, x, KILN_AXES(axis), KILN_AXES(0))), KILN_SUBSCRIPTS(KILN_AT(-1), KILN_REST, KILN_NEW));
}
static kiln_tensor *pair_of(kiln_site at, kiln_operand x, int axis) /* by indices: the first and the last element */
{
    kiln_tensor *i = kiln_mul_at(at, kiln_of_tensor(kiln_iota_at(at, kiln_engine(x.as.tensor), KILN_I64, KILN_SHAPE(2), 0)), kiln_of_i(9));
    return kiln_index_at(at, kiln_of_tensor(kiln_moveaxis_at(at, x, KILN_AXES(axis), KILN_AXES(-1))), KILN_SUBSCRIPTS(KILN_REST, KILN_AT(i)));
}
static kiln_tensor *first_set(kiln_site at, kiln_operand x, int axis)
{
    kiln_operand y = kiln_of_tensor(kiln_swapaxes_at(at, x, axis, 0));
    return kiln_index_update_at(at, y, kiln_of_i(1), KILN_SCATTER_SET, KILN_SUBSCRIPTS(KILN_AT(0)));
}
static kiln_tensor *added_along(kiln_site at, kiln_operand x, int axis)
{
    kiln_operand i = kiln_of_tensor(kiln_argsort_at(at, x, axis, 0));
    return kiln_scatter_along_at(at, x, i, x, axis, KILN_SCATTER_ADD);
}
static kiln_tensor *longer(kiln_site at, kiln_operand x, int axis)
{
    const kiln_resizing r = {.scale = {1.5}, .kind = KILN_RESIZE_LINEAR};
    return kiln_resize_sized(at, x, KILN_AXES(axis), &r, sizeof r);
}
static kiln_tensor *pairs_pooled(kiln_site at, kiln_operand x, int axis) /* of neighbours in memory */
{
    const kiln_pooling w = {.size = {2}, .stride = {2}, .pad = {{1, 0}}, .ceil = true};
    (void)axis;
    return kiln_pool_sized(at, kiln_of_tensor(kiln_reshape_at(at, x, KILN_SHAPE(1, -1, 1))), KILN_POOL_MAX, &w, sizeof w);
}
static const struct { Along *f; const char *name; Takes takes; } along[] = {
    OP(NUMBERS, argmax), OP(NUMBERS, argmin), OP(FLOATS, softmax), OP(FLOATS, log_softmax), OP(FLOATS, logsumexp),
    {sum_before, "cumsum", TAKES_NUMBERS}, {product_behind, "cumprod", TAKES_NUMBERS}, {sort_down, "sort", TAKES_ALL}, {order, "argsort", TAKES_ALL},
    {largest_so_far, "cummax", TAKES_ALL}, {sum_of_exp, "logcumsumexp", TAKES_FLOATS}, {steps, "diff", TAKES_ALL}, {ranks, "searchsorted", TAKES_ALL},
    {by_segments, "segment_max", TAKES_NUMBERS}, {gram, "einsum", TAKES_NUMBERS}, {least, "bottom_k", TAKES_ALL},
    {best, "top_k", TAKES_ALL}, OP(NUMBERS, hardmax), {unit, "normalize", TAKES_FLOATS}, {largest_first, "scatter", TAKES_NUMBERS},
    {turned_end, "flip", TAKES_ALL}, {shifted, "roll", TAKES_ALL},
    {to_front, "moveaxis", TAKES_ALL}, {last_first, "index", TAKES_ALL}, {pair_of, "index by tensors", TAKES_ALL}, {first_set, "index_update", TAKES_NUMBERS},
    {added_along, "scatter_along", TAKES_NUMBERS}, {longer, "resize", TAKES_FLOATS}, {pairs_pooled, "pool", TAKES_NUMBERS},
    {positives, "masked", TAKES_NUMBERS},
};

#endif
