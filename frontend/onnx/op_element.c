/* op_element: ONNX's operators on elements. Relies on import.h. */
#include "import.h"

bool op_one(Call *c) { return give(c, 0, c->node->op->with.one(c->at, of(tensor(c, 0)))); }
bool op_two(Call *c) { return give(c, 0, c->node->op->with.two(c->at, of(tensor(c, 0)), of(tensor(c, 1)))); }
bool op_identity(Call *c) /* of sequences, too */
{
    c->out[0] = c->in[0];
    return has(c, 0) || unsupported(c, "a missing input 0");
}

bool op_div(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    const bool whole = tensor_ok(x) && dtype_is_int((DType)x->type.dtype);
    return give(c, 0, (whole ? kiln_trunc_div_at : kiln_div_at)(c->at, of(x), operand(c, 1)));
}

bool op_mod(Call *c)
{
    return give(c, 0, (attr_int(c, "fmod", 0) ? kiln_fmod_at : kiln_mod_at)(c->at, operand(c, 0), operand(c, 1)));
}

/* The result has the dtype of the base. */
bool op_pow(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *y = tensor(c, 1);
    if (!tensor_ok(x) || !tensor_ok(y)) return false;
    const DType d = (DType)x->type.dtype;
    if (dtype_is_float(d) || x->type.dtype == y->type.dtype)
        return give(c, 0, kiln_pow_at(c->at, of(x), of(cast_to(c->t, c->at, y, d))));
    kiln_tensor *wide = kiln_pow_at(c->at, of(cast_to(c->t, c->at, x, DT_f64)), of(cast_to(c->t, c->at, y, DT_f64)));
    return give(c, 0, tensor_ok(wide) ? cast_to(c->t, c->at, wide, d) : wide);
}

static bool fold(Call *c, kiln_tensor *(*two)(kiln_site, kiln_operand, kiln_operand))
{
    kiln_tensor *sum = tensor(c, 0);
    for (uint32_t i = 1; i < c->nin && tensor_ok(sum); i++) sum = two(c->at, of(sum), operand(c, i));
    return give(c, 0, sum);
}

bool op_fold_sum(Call *c) { return fold(c, kiln_add_at); }
bool op_fold_max(Call *c) { return fold(c, kiln_max_at); }
bool op_fold_min(Call *c) { return fold(c, kiln_min_at); }
bool op_fold_mean(Call *c)
{
    return fold(c, kiln_add_at) && give(c, 0, kiln_div_at(c->at, of(c->out[0].t), KILN_OPERAND((double)c->nin)));
}

/* Up to version 6 bounds are attributes. */
bool op_clip(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    if (has(c, 1)) x = kiln_max_at(c->at, of(x), operand(c, 1));
    if (has(c, 2)) x = kiln_min_at(c->at, of(x), operand(c, 2));
    const OnnxAttribute *lo = attribute(c, "min"), *hi = attribute(c, "max");
    if (lo) x = kiln_max_at(c->at, of(x), KILN_OPERAND((double)lo->f));
    if (hi) x = kiln_min_at(c->at, of(x), KILN_OPERAND((double)hi->f));
    return give(c, 0, x);
}

bool op_where(Call *c) { return give(c, 0, kiln_where_at(c->at, operand(c, 0), operand(c, 1), operand(c, 2))); }

bool op_isinf(Call *c)
{
    const bool up = attr_int(c, "detect_positive", 1), down = attr_int(c, "detect_negative", 1);
    if (up && down) return give(c, 0, kiln_isinf_at(c->at, operand(c, 0)));
    if (!up && !down) return give(c, 0, kiln_and_at(c->at, of(kiln_isinf_at(c->at, operand(c, 0))), KILN_OPERAND(false)));
    return give(c, 0, (up ? kiln_isposinf_at : kiln_isneginf_at)(c->at, operand(c, 0)));
}

/* ---- activations ------------------------------------------------------------------------------------- */

bool op_leaky_relu(Call *c)
{
    return give(c, 0, kiln_leaky_relu_at(c->at, operand(c, 0), KILN_OPERAND(attr_float(c, "alpha", 0.01f))));
}

/* ---- the first versions of arithmetic: the second operand lies along the axes from `axis` on, or along the last ones */

/* A row of numbers as it is to be broadcast, from axis `first` on. */
static kiln_tensor *along(Call *c, kiln_tensor *x, kiln_tensor *y, int64_t first)
{
    if (!tensor_ok(x) || !tensor_ok(y) || first < 0 || first + y->type.rank > x->type.rank) return y;
    kiln_axes behind = {.count = x->type.rank - (int)first - y->type.rank};
    for (int i = 0; i < behind.count; i++) behind.axis[1 + i] = y->type.rank + i;
    return kiln_expand_dims_at(c->at, of(y), behind);
}

bool op_along(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *y = tensor(c, 1);
    if (attribute(c, "axis")) y = along(c, x, y, attr_int(c, "axis", 0));
    return give(c, 0, c->node->op->with.two(c->at, of(x), of(y)));
}

/* Up to version 6 a slope is that of a channel. */
bool op_prelu(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *slope = tensor(c, 1);
    if (!tensor_ok(x) || !tensor_ok(slope)) return false;
    const bool channel = c->node->op->with.number == 0 && slope->type.rank == 1 && x->type.rank > 2 && slope->type.dim[0] != 1;
    if (channel) slope = along(c, x, slope, 1);
    if (dtype_is_float((DType)x->type.dtype)) return give(c, 0, kiln_leaky_relu_at(c->at, of(x), of(slope)));
    kiln_tensor *below = kiln_mul_at(c->at, of(x), of(slope));
    return give(c, 0, kiln_where_at(c->at, of(kiln_lt_at(c->at, of(x), KILN_OPERAND(0))), of(below), of(x)));
}

bool op_bit_shift(Call *c)
{
    return give(c, 0, (attr_is(c, "direction", "LEFT") ? kiln_shl_at : kiln_shr_at)(c->at, operand(c, 0), operand(c, 1)));
}

/* Integers of one width alone: Kiln looks at no float's bits. */
bool op_bit_cast(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    const OnnxDType *d = onnx_dtype(attr_int(c, "to", 0));
    if (!tensor_ok(x)) return false;
    const DType own = (DType)x->type.dtype;
    if (!d || d->dtype == DT_NONE || c->in[0].narrow || d->bits != 8 * dtype_bytes(own) || (d->dtype == DT_bool && own != DT_bool))
        return unsupported(c, "from %s of %u bits to %s", dtype_info[own].name,
            c->in[0].narrow ? c->in[0].narrow : 8 * (unsigned)dtype_bytes(own), d ? d->name : "no dtype");
    return give(c, 0, kiln_bitcast_at(c->at, operand(c, 0), (kiln_dtype)d->dtype));
}

bool op_swiglu(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    kiln_tensor *gate = kiln_sigmoid_at(c->at, of(kiln_mul_at(c->at, of(x), KILN_OPERAND(attr_float(c, "alpha", 1)))));
    return give(c, 0, kiln_mul_at(c->at, of(kiln_mul_at(c->at, of(x), of(gate))), operand(c, 1)));
}

bool op_elu(Call *c) { return give(c, 0, kiln_elu_at(c->at, operand(c, 0), KILN_OPERAND(attr_float(c, "alpha", 1)))); }
bool op_celu(Call *c) { return give(c, 0, kiln_celu_at(c->at, operand(c, 0), KILN_OPERAND(attr_float(c, "alpha", 1)))); }
bool op_gelu(Call *c)
{
    return give(c, 0, (attr_is(c, "approximate", "tanh") ? kiln_gelu_tanh_at : kiln_gelu_at)(c->at, operand(c, 0)));
}

bool op_selu(Call *c)
{
    const double alpha = attr_float(c, "alpha", 1.67326319217681884765625),
                 gamma = attr_float(c, "gamma", 1.05070102214813232421875);
    return give(c, 0, kiln_mul_at(c->at, of(kiln_elu_at(c->at, operand(c, 0), KILN_OPERAND(alpha))), KILN_OPERAND(gamma)));
}

bool op_hardsigmoid(Call *c)
{
    const double alpha = attr_float(c, "alpha", 0.2f), beta = attr_float(c, "beta", 0.5f);
    return give(c, 0, kiln_hardsigmoid_at(c->at, operand(c, 0), KILN_OPERAND(alpha), KILN_OPERAND(beta)));
}

bool op_thresholded(Call *c)
{
    return give(c, 0, kiln_threshold_at(c->at, operand(c, 0), KILN_OPERAND(attr_float(c, "alpha", 1)), KILN_OPERAND(0)));
}

bool op_shrink(Call *c)
{
    const double lambd = attr_float(c, "lambd", 0.5), bias = attr_float(c, "bias", 0);
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    const bool whole = dtype_is_int((DType)x->type.dtype); /* what is left of them is cut off */
    kiln_tensor *y = whole ? cast_to(c->t, c->at, x, DT_f64) : x;
    return give_as(c, 0, kiln_shrink_at(c->at, of(y), KILN_OPERAND(lambd), KILN_OPERAND(bias)), x);
}

bool op_swish(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    if (!tensor_ok(x)) return false;
    kiln_tensor *gate = kiln_sigmoid_at(c->at, of(kiln_mul_at(c->at, of(x), KILN_OPERAND(attr_float(c, "alpha", 1)))));
    return give(c, 0, kiln_mul_at(c->at, of(x), of(gate)));
}
