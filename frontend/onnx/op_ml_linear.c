/* op_ml_linear: linear models of ONNX's domain ai.onnx.ml. Relies on ml.h. */
#include "ml.h"

/* rows of weights, of as many numbers as there are features, and what is added: [n, rows]. NULL: recorded. */
static kiln_tensor *linear(Call *c, int64_t rows, Transform *how)
{
    Reals by, plus;
    int64_t features;
    kiln_tensor *x = ml_rows(c, 0, &features);
    if (!tensor_ok(x) || !ml_transform_of(c, how)) return NULL;
    if (!ml_reals(c, "coefficients", &by) || !ml_reals(c, "intercepts", &plus)) return NULL;
    if (rows < 0) rows = features > 0 && by.n % features == 0 ? by.n / features : -1; /* as many as there are */
    if (rows < 1 || rows > INT32_MAX) {
        fail(c->t, c->at, KILN_EFORMAT, "onnx: coefficients lists %lld numbers for %lld features", (long long)by.n,
            (long long)features);
        return NULL;
    }
    if (!ml_length(c, "coefficients", by.n, rows * features)) return NULL;
    if (plus.n != 0 && !ml_length(c, "intercepts", plus.n, rows)) return NULL;
    const DType d = (DType)x->type.dtype;
    kiln_tensor *w = kiln_matrix_transpose_at(c->at, of(ml_table(c, d, rows, features, by.at)));
    kiln_tensor *y = kiln_matmul_at(c->at, of(x), of(w));
    return plus.n == 0 ? y : kiln_add_at(c->at, of(y), of(ml_table(c, d, 1, rows, plus.at)));
}

bool op_linear_regressor(Call *c)
{
    Transform how;
    kiln_tensor *y = linear(c, attr_int(c, "targets", 1), &how);
    if (!tensor_ok(y) || !tensor_ok(y = ml_transform(c, y, how))) return false;
    return give(c, 0, cast_to(c->t, c->at, y, DT_f32));
}

bool op_linear_classifier(Call *c)
{
    Wholes labels;
    Transform how;
    kiln_tensor *s = ml_labels(c, "classlabels_ints", &labels) ? linear(c, -1, &how) : NULL;
    if (!tensor_ok(s)) return false;
    const int64_t rows = s->type.dim[1];
    if (rows == 1 && labels.n == 2) return ml_give_binary(c, &labels, s, how, 0, true);
    if (!ml_length(c, "classlabels_ints", labels.n, rows)) return false;
    return ml_give_classes(c, &labels, kiln_argmax_at(c->at, of(s), 1), ml_transform(c, s, how));
}
