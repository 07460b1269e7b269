/* op_reduce: ONNX's reductions, softmax, products and normalisations. Relies on import.h. */
#include <math.h>

#include "import.h"

/* Of no elements: the largest is the smallest number that there is, and the other way round. NULL: it is asked of some. */
static kiln_tensor *over_nothing(Call *c, kiln_tensor *x, kiln_axes axes)
{
    const char *name = c->node->op->name;
    const bool least = !strcmp(name, "ReduceMin"), most = !strcmp(name, "ReduceMax") || !strcmp(name, "ReduceLogSumExp");
    bool none = false;
    for (int i = 0; i < (axes.count < 0 ? x->type.rank : axes.count); i++) {
        const int a = axes.count < 0 ? i : axes.axis[1 + i] < 0 ? axes.axis[1 + i] + x->type.rank : axes.axis[1 + i];
        none |= a >= 0 && a < x->type.rank && x->type.dim[a] == 0;
    }
    if (!none || !(least || most)) return NULL;
    kiln_tensor *sum = kiln_sum_at(c->at, of(x), axes); /* of the result's shape */
    const DType d = (DType)x->type.dtype;
    if (!tensor_ok(sum)) return sum;
    if (d == DT_bool) return kiln_cast_at(c->at, of(kiln_full_like_at(c->at, of(sum), KILN_OPERAND((int)least))), KILN_BOOL);
    if (dtype_is_float(d)) return kiln_full_like_at(c->at, of(sum), KILN_OPERAND(least ? INFINITY : -INFINITY));
    const int bits = 8 * (int)dtype_bytes(d);
    const bool with_sign = d == DT_i8 || d == DT_i16 || d == DT_i32 || d == DT_i64;
    kiln_tensor *ones = kiln_not_at(c->at, of(cast_to(c->t, c->at, sum, d))); /* -1, or the largest without a sign */
    if (!with_sign) return least ? ones : kiln_zeros_like_at(c->at, of(ones));
    ones = kiln_shl_at(c->at, of(ones), KILN_OPERAND(bits - 1)); /* the smallest */
    return least ? kiln_not_at(c->at, of(ones)) : ones;
}

/* Of integers: the mean is cut off, and what takes a root or a logarithm is that of f64, cut off. NULL: it is none of these. */
static kiln_tensor *of_integers(Call *c, kiln_tensor *x, kiln_axes axes)
{
    const char *name = c->node->op->name;
    const DType d = (DType)x->type.dtype;
    if (!dtype_is_int(d)) return NULL;
    if (!strcmp(name, "ReduceMean")) {
        kiln_tensor *n = kiln_sum_at(c->at, of(kiln_ones_like_at(c->at, of(x))), axes);
        return kiln_trunc_div_at(c->at, of(kiln_sum_at(c->at, of(x), axes)), of(n));
    }
    if (strcmp(name, "ReduceL2") && strcmp(name, "ReduceLogSum") && strcmp(name, "ReduceLogSumExp")) return NULL;
    kiln_tensor *y = c->node->op->with.over(c->at, of(cast_to(c->t, c->at, x, DT_f64)), axes);
    return tensor_ok(y) ? cast_to(c->t, c->at, y, d) : y;
}

/* Axes are an attribute first, later an operand. Absent or empty: all of them, or if noop_with_empty_axes none. */
bool op_over(Call *c)
{
    int64_t at[MAX_RANK];
    int n = -1;
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x) || !attr_ints(c, "axes", at, MAX_RANK, &n) || (has(c, 1) && !numbers(c, 1, at, MAX_RANK, &n))) return false;
    kiln_axes axes = {.keep = attr_int(c, "keepdims", 1) != 0, .count = n};
    if (n <= 0) axes.count = attr_int(c, "noop_with_empty_axes", 0) ? 0 : -1;
    for (int i = 0; i < n; i++) axes.axis[1 + i] = (int)at[i];
    kiln_tensor *y = over_nothing(c, x, axes);
    if (!y) y = of_integers(c, x, axes);
    return give(c, 0, y ? y : c->node->op->with.over(c->at, of(x), axes));
}

bool op_arg(Call *c)
{
    const int how = attr_int(c, "select_last_index", 0) ? KILN_LAST : 0;
    kiln_axes axes = KILN_AXES((int)attr_int(c, "axis", 0));
    axes.keep = attr_int(c, "keepdims", 1) != 0;
    return give(c, 0, (c->node->op->with.number ? kiln_argmax_over_at : kiln_argmin_over_at)(c->at, operand(c, 0), axes, how));
}

/* Up to version 12 all axes from `axis` on are one. */
bool op_softmax(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    static kiln_tensor *(*const all[])(kiln_site, kiln_operand, int) = {kiln_softmax_at, kiln_log_softmax_at, kiln_hardmax_at};
    kiln_tensor *(*fn)(kiln_site, kiln_operand, int) = all[c->node->op->with.number];
    const int64_t axis = attr_int(c, "axis", c->node->version >= 13 ? -1 : 1);
    if (c->node->version >= 13) return give(c, 0, fn(c->at, of(x), (int)axis));
    const int first = (int)(axis < 0 ? axis + x->type.rank : axis);
    if (first < 0 || first > x->type.rank) return unsupported(c, "axis %lld of %d", (long long)axis, x->type.rank);
    const Dim flat[2] = {
        extent_product(c->t, c->at, x->type.dim, first), extent_product(c->t, c->at, x->type.dim + first, x->type.rank - first)};
    kiln_tensor *y = reshape_to(c->t, c->at, x, flat, 2);
    if (tensor_ok(y)) y = fn(c->at, of(y), 1);
    return give(c, 0, tensor_ok(y) ? reshape_to(c->t, c->at, y, x->type.dim, x->type.rank) : y);
}

/* Of integers exact, modulo their width. */
static kiln_tensor *product(Call *c, kiln_tensor *a, kiln_tensor *b)
{
    if (!tensor_ok(a) || !dtype_is_int((DType)a->type.dtype)) return kiln_matmul_at(c->at, of(a), of(b));
    return kiln_matmul_to_at(c->at, of(a), of(b), (kiln_dtype)a->type.dtype);
}

bool op_matmul(Call *c) { return give(c, 0, product(c, tensor(c, 0), tensor(c, 1))); }

bool op_gemm(Call *c)
{
    kiln_tensor *a = tensor(c, 0), *b = tensor(c, 1);
    if (attr_int(c, "transA", 0)) a = kiln_matrix_transpose_at(c->at, of(a));
    if (attr_int(c, "transB", 0)) b = kiln_matrix_transpose_at(c->at, of(b));
    const double alpha = attr_float(c, "alpha", 1), beta = attr_float(c, "beta", 1);
    kiln_tensor *y = product(c, a, b);
    if (alpha != 1) y = kiln_mul_at(c->at, of(y), KILN_OPERAND(alpha));
    if (!has(c, 2)) return give(c, 0, y);
    kiln_tensor *add = tensor(c, 2);
    if (beta != 1) add = kiln_mul_at(c->at, of(add), KILN_OPERAND(beta));
    return give(c, 0, kiln_add_at(c->at, of(y), of(add)));
}

bool op_einsum(Call *c)
{
    const OnnxAttribute *a = attribute(c, "equation");
    if (!a || a->s.n == 0 || a->s.n > 255) return unsupported(c, "an equation of no or more than 255 letters");
    char text[256];
    memcpy(text, a->s.at, a->s.n);
    text[a->s.n] = 0;
    kiln_tensor *x[16];
    if (c->nin > COUNT_OF(x)) return unsupported(c, "more than 16 operands");
    for (uint32_t i = 0; i < c->nin; i++) x[i] = tensor(c, i);
    return give(c, 0, kiln_einsum_at(c->at, text, kiln_tensors(x, (int)c->nin)));
}

bool op_cumulate(Call *c)
{
    int64_t axis = 0;
    if (!number(c, 1, &axis)) return false;
    const int how = (attr_int(c, "exclusive", 0) ? KILN_EXCLUSIVE : 0) | (attr_int(c, "reverse", 0) ? KILN_REVERSE : 0);
    return give(c, 0, (c->node->op->with.number ? kiln_cumprod_at : kiln_cumsum_at)(c->at, operand(c, 0), (int)axis, how));
}

/* ---- normalisation ----------------------------------------------------------------------------------- */

/* New running statistics: momentum is the part of the old ones. */
static bool give_running(Call *c, kiln_tensor *const *now, double keep)
{
    for (uint32_t i = 1; i < c->nout && i < 3; i++) {
        if (c->node->out[i] == UINT32_MAX) continue;
        kiln_tensor *was = tensor(c, 2 + i),
                    *part = tensor_ok(was) ? cast_to(c->t, c->at, now[i - 1], (DType)was->type.dtype) : was;
        part = kiln_mul_at(c->at, of(part), KILN_OPERAND(1 - keep));
        if (!give(c, i, kiln_add_at(c->at, of(kiln_mul_at(c->at, of(was), KILN_OPERAND(keep))), of(part)))) return false;
    }
    for (uint32_t i = 3; i < c->nout && i < 5; i++) /* up to version 9 */
        if (c->node->out[i] != UINT32_MAX && !give(c, i, now[i - 3])) return false;
    return true;
}

/* In training mode with the statistics of x, and with new running ones. */
static bool train_batchnorm(Call *c, double epsilon)
{
    kiln_tensor *now[2],
        *y = kiln_batchnorm_training_at(c->at, operand(c, 0), operand(c, 1), operand(c, 2), 1, epsilon, &now[0], &now[1]);
    return give_as(c, 0, y, tensor(c, 0)) && give_running(c, now, attr_float(c, "momentum", 0.9f));
}

/* Up to version 8 statistics may be those of each element, over the images alone: of spatial=0. */
static bool batchnorm_of_elements(Call *c, double epsilon, bool training)
{
    kiln_tensor *x = tensor(c, 0), *now[2] = {NULL};
    if (training) {
        now[0] = kiln_mean_at(c->at, of(x), KILN_AXES(0));
        now[1] = kiln_variance_at(c->at, of(x), KILN_AXES(0));
    } else {
        now[0] = tensor(c, 3), now[1] = tensor(c, 4);
    }
    kiln_tensor *by = kiln_rsqrt_at(c->at, of(kiln_add_at(c->at, of(now[1]), KILN_OPERAND(epsilon))));
    kiln_tensor *y = kiln_mul_at(c->at, of(kiln_sub_at(c->at, of(x), of(now[0]))), of(by));
    y = kiln_add_at(c->at, of(kiln_mul_at(c->at, of(y), operand(c, 1))), operand(c, 2));
    return give(c, 0, y) && (!training || give_running(c, now, attr_float(c, "momentum", 0.9f)));
}

/* Up to version 6 it trains unless is_test says else; then, up to version 9, if it has further results. */
static bool batchnorm_trains(const Call *c)
{
    if (c->node->version >= 14) return attr_int(c, "training_mode", 0) != 0;
    return c->node->op->with.number ? !attr_int(c, "is_test", 0) : c->node->node->output.n > 1;
}

static bool batchnorm_spatial(const Call *c) { return c->node->version >= 9 || attr_int(c, "spatial", 1); }

bool batchnorm_is_known(const Call *c) { return !batchnorm_trains(c) && batchnorm_spatial(c); }

bool op_batchnorm(Call *c)
{
    const double epsilon = attr_float(c, "epsilon", 1e-5f);
    const bool training = batchnorm_trains(c);
    if (!batchnorm_spatial(c)) return batchnorm_of_elements(c, epsilon, training);
    if (training) return train_batchnorm(c, epsilon);
    return give_as(c, 0,
        kiln_batchnorm_at(c->at, operand(c, 0), operand(c, 3), operand(c, 4), operand(c, 1), operand(c, 2), 1, epsilon),
        tensor(c, 0));
}

bool op_lrn(Call *c)
{
    return give(c, 0,
        kiln_local_response_norm_at(c->at, operand(c, 0), attr_int(c, "size", 1), 1, attr_float(c, "alpha", 0.0001f),
            attr_float(c, "beta", 0.75f), attr_float(c, "bias", 1)));
}

/* (x - mean) / (deviation + 1e-9), as the operator's definition has it. */
bool op_mean_variance(Call *c)
{
    int64_t at[MAX_RANK];
    int n;
    if (!attr_ints(c, "axes", at, MAX_RANK, &n)) return false;
    kiln_axes axes = n < 0 ? KILN_KEEP(0, 2, 3) : (kiln_axes){.keep = 1, .count = n};
    for (int i = 0; i < n; i++) axes.axis[1 + i] = (int)at[i];
    kiln_tensor *x = tensor(c, 0), *middle = kiln_sub_at(c->at, of(x), of(kiln_mean_at(c->at, of(x), axes)));
    kiln_tensor *deviation = kiln_sqrt_at(c->at, of(kiln_variance_at(c->at, of(x), axes)));
    return give(c, 0, kiln_div_at(c->at, of(middle), of(kiln_add_at(c->at, of(deviation), KILN_OPERAND(1e-9)))));
}

bool op_instancenorm(Call *c)
{
    return give(c, 0, kiln_instancenorm_at(c->at, operand(c, 0), 1, operand(c, 1), operand(c, 2), attr_float(c, "epsilon", 1e-5f)));
}

/* Up to version 20 scale and bias are those of groups, then those of channels. */
bool op_groupnorm(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    kiln_tensor *scale = tensor(c, 1), *shift = tensor(c, 2);
    const int64_t groups = attr_int(c, "num_groups", 0);
    if (!tensor_ok(x) || !tensor_ok(scale) || !tensor_ok(shift)) return false;
    if (c->node->version < 21) {
        if (x->type.rank < 2 || !dim_is_const(x->type.dim[1]) || groups < 1 || x->type.dim[1] % groups != 0)
            return unsupported(c, "channels that are no multiple of num_groups");
        scale = kiln_repeat_at(c->at, of(scale), KILN_OPERAND(x->type.dim[1] / groups), 0);
        shift = kiln_repeat_at(c->at, of(shift), KILN_OPERAND(x->type.dim[1] / groups), 0);
    }
    return give(c, 0, kiln_groupnorm_at(c->at, operand(c, 0), groups, 1, of(scale), of(shift), attr_float(c, "epsilon", 1e-5f)));
}

/* All axes from one on. False: recorded. */
static bool axes_from(Call *c, const kiln_tensor *x, kiln_axes *axes)
{
    int64_t axis = attr_int(c, "axis", -1);
    if (!axis_within(c, &axis, x->type.rank)) return false;
    *axes = (kiln_axes){.count = x->type.rank - (int)axis};
    for (int i = 0; i < axes->count; i++) axes->axis[1 + i] = (int)axis + i;
    return true;
}

bool op_rmsnorm(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    kiln_axes axes;
    if (!tensor_ok(x) || !axes_from(c, x, &axes)) return false;
    kiln_tensor *y = kiln_rmsnorm_at(c->at, of(x), axes, of(NULL), attr_float(c, "epsilon", 1e-5f));
    return has(c, 1) ? give_as(c, 0, kiln_mul_at(c->at, of(y), operand(c, 1)), tensor(c, 1)) : give(c, 0, y);
}

/* x / its norm along the axis; 0 where that is 0. */
bool op_lpnorm(Call *c)
{
    kiln_axes axis = KILN_KEEP((int)attr_int(c, "axis", -1));
    kiln_tensor *x = tensor(c, 0), *norm = kiln_vector_norm_at(c->at, of(x), (double)attr_int(c, "p", 2), axis);
    kiln_tensor *y = kiln_div_at(c->at, of(x), of(norm));
    return give(c, 0, kiln_where_at(c->at, of(kiln_eq_at(c->at, of(norm), KILN_OPERAND(0))), KILN_OPERAND(0), of(y)));
}

bool op_layernorm(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    kiln_axes axes;
    if (!tensor_ok(x) || !axes_from(c, x, &axes)) return false;
    const double epsilon = attr_float(c, "epsilon", 1e-5f);
    if (!give(c, 0, kiln_layernorm_axes_at(c->at, of(x), axes, operand(c, 1), operand(c, 2), epsilon))) return false;
    axes.keep = 1;
    if (c->nout < 2) return true;
    const OnnxDType *stash = attr_float_dtype(c, "stash_type", 1); /* the mean, and 1 over the deviation, are of it */
    if (!stash) return false;
    x = cast_to(c->t, c->at, x, wide_dtype(x));
    kiln_tensor *mean = kiln_mean_at(c->at, of(x), axes);
    if (!tensor_ok(mean) || !give(c, 1, cast_to(c->t, c->at, mean, (DType)stash->dtype))) return false;
    kiln_tensor *spread = kiln_add_at(c->at, of(kiln_variance_at(c->at, of(x), axes)), KILN_OPERAND(epsilon));
    spread = kiln_rsqrt_at(c->at, of(spread));
    return c->nout < 3 || (tensor_ok(spread) && give(c, 2, cast_to(c->t, c->at, spread, (DType)stash->dtype)));
}
