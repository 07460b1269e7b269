/* op_quantise: ONNX's quantisation, and casts, which are the other way to integers of less than 8 bits and to floats of 8. Relies
 * on import.h. */
#include "import.h"

/* ---- integers of 4 and 2 bits, which are held as i8 and u8 ---------------------------------------------- */

static kiln_tensor *cast_narrow(Call *c, kiln_tensor *x, const OnnxDType *d)
{
    if (d->dtype == DT_u8) {
        x = kiln_cast_at(c->at, of(cast_to(c->t, c->at, x, DT_i32)), KILN_U8);
        return kiln_and_at(c->at, of(x), KILN_OPERAND((1 << d->bits) - 1));
    }
    x = cast_to(c->t, c->at, cast_to(c->t, c->at, x, DT_i32), DT_i8);
    return kiln_shr_at(c->at, of(kiln_shl_at(c->at, of(x), KILN_OPERAND(8 - d->bits))), KILN_OPERAND(8 - d->bits));
}

static bool cast(Call *c, const OnnxDType *d)
{
    kiln_tensor *x = tensor(c, 0);
    if (!d || !tensor_ok(x)) return false;
    if (d->bits < 8) {
        c->out[0].narrow = d->bits;
        return give(c, 0, cast_narrow(c, x, d));
    }
    const bool saturates = (d->dtype == DT_f8_e4m3 || d->dtype == DT_f8_e5m2) && attr_int(c, "saturate", 1);
    return give(c, 0, (saturates ? kiln_cast_saturated_at : kiln_cast_at)(c->at, of(x), (kiln_dtype)d->dtype));
}

/* Up to version 5 a dtype is named by a text. */
bool op_cast(Call *c)
{
    const OnnxAttribute *to = attribute(c, "to");
    if (c->node->version >= 6) return cast(c, attr_dtype(c, "to", 0));
    for (int64_t i = 1; to && onnx_dtype(i); i++) {
        const char *name = onnx_dtype(i)->name;
        bool same = to->s.n == strlen(name);
        for (size_t j = 0; same && j < to->s.n; j++) same = (to->s.at[j] | 32) == (name[j] | 32);
        if (same && onnx_dtype(i)->dtype != DT_NONE) return cast(c, onnx_dtype(i));
    }
    return unsupported(c, "to='%s'", to ? shown(to->s).text : "");
}

bool op_cast_like(Call *c)
{
    const kiln_tensor *like = tensor(c, 1);
    if (!tensor_ok(like)) return false;
    const OnnxDType d = {.dtype = like->type.dtype, .bits = c->in[1].narrow ? c->in[1].narrow : 64};
    return cast(c, &d);
}

/* ---- quantisation ---------------------------------------------------------------------------------------- */

static bool is_f8(int dtype) { return dtype == DT_f8_e4m3 || dtype == DT_f8_e5m2; }

/* A scale for each element of x: it is one, one for each index along the axis, or one for each block along it. */
static kiln_tensor *spread(Call *c, kiln_tensor *x, kiln_tensor *scale, const kiln_quantisation *o)
{
    int64_t axis = o->axis;
    if (!tensor_ok(scale) || scale->type.rank == 0) return scale;
    if (!axis_within(c, &axis, x->type.rank)) return &c->t->k->poison;
    if (o->block > 0) {
        scale = kiln_repeat_at(c->at, of(scale), KILN_OPERAND(o->block), axis);
        return tensor_ok(scale) ? slice_axis(c->t, c->at, scale, axis, 0, x->type.dim[axis]) : scale;
    }
    kiln_axes behind = {.count = x->type.rank - 1 - axis};
    for (int i = 0; i < behind.count; i++) behind.axis[1 + i] = 1 + i;
    return scale->type.rank == 1 && scale->type.dim[0] != 1 ? kiln_expand_dims_at(c->at, of(scale), behind) : scale;
}

/* One number in a row is a number. */
static kiln_tensor *level(Call *c, uint32_t i)
{
    kiln_tensor *x = has(c, i) ? tensor(c, i) : NULL;
    return x && tensor_ok(x) && x->type.rank == 1 && x->type.dim[0] == 1 ? reshape_to(c->t, c->at, x, NULL, 0) : x;
}

static kiln_quantisation quantisation_of(Call *c)
{
    return (kiln_quantisation){.axis = (int)attr_int(c, "axis", 1), .block = attr_int(c, "block_size", 0)};
}

/* The dtype of the result: the zero point's, else that which is named, else u8. NULL: recorded. */
static const OnnxDType *quantised_dtype(Call *c, const kiln_tensor *zero, OnnxDType *own)
{
    if (zero) {
        *own = (OnnxDType){.dtype = zero->type.dtype, .bits = c->in[2].narrow ? c->in[2].narrow : 64};
        return own;
    }
    return attr_int(c, "output_dtype", 0) != 0 ? attr_dtype(c, "output_dtype", 0) : onnx_dtype(2 /* uint8 */);
}

/* The quotient in the precision that the attribute names; x itself where there is none. */
static bool divided(Call *c, kiln_tensor **x, kiln_tensor **scale, const kiln_quantisation *o)
{
    if (attr_int(c, "precision", 0) == 0) return true;
    const OnnxDType *d = attr_float_dtype(c, "precision", 0);
    if (!d) return false;
    kiln_tensor *by = cast_to(c->t, c->at, spread(c, *x, *scale, o), (DType)d->dtype);
    *x = kiln_div_at(c->at, of(cast_to(c->t, c->at, *x, (DType)d->dtype)), of(by));
    *scale = kiln_ones_like_at(c->at, of(cast_to(c->t, c->at, *scale, DT_f32)));
    return tensor_ok(*x) && tensor_ok(*scale);
}

bool op_quantise(Call *c)
{
    kiln_quantisation o = quantisation_of(c);
    kiln_tensor *x = tensor(c, 0), *scale = level(c, 1), *zero = level(c, 2);
    OnnxDType own;
    if (!tensor_ok(x) || !scale || !tensor_ok(scale) || (zero && !tensor_ok(zero))) return false;
    const OnnxDType *d = quantised_dtype(c, zero, &own);
    if (!d || !divided(c, &x, &scale, &o)) return false;
    if (is_f8(d->dtype)) {
        if (!dtype_is_float((DType)x->type.dtype)) x = cast_to(c->t, c->at, x, DT_f32);
        x = kiln_div_at(c->at, of(x), of(spread(c, x, scale, &o)));
        return give(c, 0, (attr_int(c, "saturate", 1) ? kiln_cast_saturated_at : kiln_cast_at)(c->at, of(x), (kiln_dtype)d->dtype));
    }
    o.dtype = (kiln_dtype)d->dtype;
    kiln_tensor *y = kiln_quantise_sized(c->at, of(x), of(scale), of(zero), &o, sizeof o);
    if (d->bits < 8) {
        const int lo = d->dtype == DT_i8 ? -(1 << (d->bits - 1)) : 0;
        y = kiln_clip_at(c->at, of(y), KILN_OPERAND(lo), KILN_OPERAND(lo + (1 << d->bits) - 1));
        c->out[0].narrow = d->bits;
    }
    return give(c, 0, y);
}

bool op_dequantise(Call *c)
{
    const kiln_quantisation o = quantisation_of(c);
    kiln_tensor *x = tensor(c, 0), *scale = level(c, 1), *zero = level(c, 2);
    const int64_t named = attr_int(c, "output_dtype", 0);
    if (!tensor_ok(x) || !scale || !tensor_ok(scale)) return false;
    const OnnxDType *d = named != 0 ? attr_dtype(c, "output_dtype", 0) : NULL;
    if (named != 0 && !d) return false;
    const DType to = (DType)(named ? d->dtype : scale->type.dtype), wide = (DType)dtype_info[to].compute;
    if (is_f8(x->type.dtype)) {
        kiln_tensor *by = cast_to(c->t, c->at, spread(c, x, scale, &o), wide);
        x = kiln_mul_at(c->at, of(cast_to(c->t, c->at, x, wide)), of(by));
        return give(c, 0, tensor_ok(x) ? cast_to(c->t, c->at, x, to) : x);
    }
    if (named) scale = cast_to(c->t, c->at, scale, wide);
    x = kiln_dequantise_sized(c->at, of(x), of(scale), of(zero), &o, sizeof o);
    return give(c, 0, tensor_ok(x) ? cast_to(c->t, c->at, x, to) : x);
}

bool op_quantise_dynamic(Call *c)
{
    kiln_tensor *scale, *zero, *y = kiln_quantise_dynamic_at(c->at, operand(c, 0), &scale, &zero);
    return give(c, 0, y) && (c->nout < 2 || give(c, 1, scale)) && (c->nout < 3 || give(c, 2, zero));
}

bool op_matmul_integer(Call *c)
{
    return give(c, 0, kiln_matmul_integer_at(c->at, operand(c, 0), operand(c, 1), operand(c, 2), operand(c, 3)));
}

/* Scales may be 16-bit floats, since version 21. */
static kiln_operand scale_of(Call *c, uint32_t i)
{
    kiln_tensor *x = level(c, i);
    return of(x && tensor_ok(x) ? cast_to(c->t, c->at, x, DT_f32) : x);
}

bool op_matmul_quantised(Call *c)
{
    return give(c, 0,
        kiln_matmul_quantised_at(c->at, operand(c, 0), scale_of(c, 1), of(level(c, 2)), operand(c, 3), scale_of(c, 4),
            of(level(c, 5)), scale_of(c, 6), of(level(c, 7))));
}
