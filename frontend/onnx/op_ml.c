/* op_ml: what there is of ONNX's domain ai.onnx.ml. Relies on import.h. */
#include <math.h>

#include "import.h"

/* The elements of the last axis at the places that the second operand lists; one row of them where x is a row. */
bool op_array_features(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *i = kiln_reshape_at(c->at, operand(c, 1), KILN_SHAPE(-1));
    if (!tensor_ok(x) || !tensor_ok(i)) return false;
    if (x->type.rank == 0) return unsupported(c, "no axis");
    kiln_tensor *y = kiln_gather_at(c->at, of(x), of(i), x->type.rank - 1);
    return give(c, 0, x->type.rank == 1 ? kiln_expand_dims_at(c->at, of(y), KILN_AXES(0)) : y);
}

/* 1 above the threshold, else 0. A whole number is above a threshold if it is above the whole number below that. */
bool op_binarizer(Call *c)
{
    const kiln_tensor *x = tensor(c, 0);
    const double threshold = attr_float(c, "threshold", 0);
    if (!tensor_ok(x)) return false;
    const kiln_operand limit = KILN_OPERAND(dtype_is_float((DType)x->type.dtype) ? threshold : floor(threshold));
    return give(c, 0, kiln_cast_at(c->at, of(kiln_gt_at(c->at, operand(c, 0), limit)), (kiln_dtype)x->type.dtype));
}
