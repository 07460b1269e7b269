/* op_ml_linear: linear models and support vectors of ONNX's domain ai.onnx.ml. Relies on ml.h. */
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

/* ---- support vectors ---------------------------------------------------------------------------------- */

typedef struct KernelNumbers { /* gamma, coef0 and degree */
    double gamma, plus, degree;
} KernelNumbers;

static bool kernel_numbers(Call *c, KernelNumbers *k)
{
    double v[3] = {0, 0, 3};
    int n;
    if (!attr_floats(c, "kernel_params", v, 3, &n)) return false;
    if (n > 0 && !ml_length(c, "kernel_params", n, 3)) return false;
    *k = (KernelNumbers){v[0], v[1], v[2]};
    return true;
}

/* Of each row of x and each of y, [n, rows of y]. */
static kiln_tensor *kernel_of(Call *c, kiln_tensor *x, kiln_tensor *y)
{
    KernelNumbers k;
    if (!kernel_numbers(c, &k)) return NULL;
    if (attr_is(c, "kernel_type", "RBF")) {
        kiln_tensor *d = kiln_sub_at(c->at, of(kiln_expand_at(c->at, of(x), 1)), of(kiln_expand_at(c->at, of(y), 0)));
        d = kiln_sum_at(c->at, of(kiln_square_at(c->at, of(d))), KILN_AXES(2));
        return kiln_exp_at(c->at, of(kiln_mul_at(c->at, of(d), KILN_OPERAND(-k.gamma))));
    }
    kiln_tensor *p = kiln_matmul_at(c->at, of(x), of(kiln_matrix_transpose_at(c->at, of(y))));
    if (!attribute(c, "kernel_type") || attr_is(c, "kernel_type", "LINEAR")) return p;
    p = kiln_add_at(c->at, of(kiln_mul_at(c->at, of(p), KILN_OPERAND(k.gamma))), KILN_OPERAND(k.plus));
    if (attr_is(c, "kernel_type", "POLY")) return kiln_pow_at(c->at, of(p), KILN_OPERAND(k.degree));
    if (attr_is(c, "kernel_type", "SIGMOID")) return kiln_tanh_at(c->at, of(p));
    unsupported_word(c, "kernel_type", "LINEAR, POLY, RBF and SIGMOID");
    return NULL;
}

/* Without support vectors the coefficients are weights of features. */
bool op_svm_regressor(Call *c)
{
    Reals vector, by, rho;
    Transform how;
    int64_t features, n = attr_int(c, "n_supports", 0);
    kiln_tensor *x = ml_rows(c, 0, &features);
    if (!tensor_ok(x) || !ml_transform_of(c, &how) || !ml_reals(c, "support_vectors", &vector)) return false;
    if (!ml_reals(c, "coefficients", &by) || !ml_reals(c, "rho", &rho) || !ml_length(c, "rho", rho.n, 1)) return false;
    if (n < 0 || n > INT32_MAX) return unsupported(c, "n_supports=%lld", (long long)n);
    if (!ml_length(c, "coefficients", by.n, n ? n : features) || !ml_length(c, "support_vectors", vector.n, n * features))
        return false;
    const DType d = (DType)x->type.dtype;
    kiln_tensor *k = n ? kernel_of(c, x, ml_table(c, d, n, features, vector.at)) : x;
    if (!tensor_ok(k)) return false;
    kiln_tensor *y =
        kiln_add_at(c->at, of(kiln_matmul_at(c->at, of(k), of(ml_table(c, d, by.n, 1, by.at)))), KILN_OPERAND(rho.at[0]));
    if (attr_int(c, "one_class", 0))
        y = kiln_where_at(c->at, of(kiln_gt_at(c->at, of(y), KILN_OPERAND(0))), of(kiln_ones_like_at(c->at, of(y))),
            of(kiln_neg_at(c->at, of(kiln_ones_like_at(c->at, of(y))))));
    else
        y = ml_transform(c, y, how);
    return tensor_ok(y) && give(c, 0, cast_to(c->t, c->at, y, DT_f32));
}
