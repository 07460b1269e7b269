/* op_ml_svm: support vectors of ONNX's domain ai.onnx.ml. Relies on ml.h. */
#include "ml.h"

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

/* ---- classes ------------------------------------------------------------------------------------------ */

typedef struct Classes {
    Wholes label, count; /* count: support vectors of each class */
    Reals vector, by, rho, a, b;
    int64_t n, pairs, vectors, features;
} Classes;

static bool classes_of(Call *c, Classes *s)
{
    if (!ml_labels(c, "classlabels_ints", &s->label) || !ml_wholes(c, "vectors_per_class", &s->count)) return false;
    if (!ml_reals(c, "support_vectors", &s->vector) || !ml_reals(c, "coefficients", &s->by) || !ml_reals(c, "rho", &s->rho))
        return false;
    if (!ml_reals(c, "prob_a", &s->a) || !ml_reals(c, "prob_b", &s->b)) return false;
    s->n = s->label.n;
    if (s->n < 2 || s->n > 1024) return unsupported(c, "%lld classes", (long long)s->n);
    s->pairs = s->n * (s->n - 1) / 2;
    s->vectors = 0;
    for (int64_t i = 0; i < s->count.n; i++) {
        if (s->count.at[i] < 0 || s->count.at[i] > INT32_MAX - s->vectors)
            return unsupported(c, "vectors_per_class of %lld", (long long)s->count.at[i]);
        s->vectors += s->count.at[i];
    }
    if (s->vectors == 0) return unsupported(c, "a classifier without support vectors");
    if (s->vectors > ((int64_t)1 << 26) / s->pairs)
        return unsupported(c, "%lld support vectors of %lld classes", (long long)s->vectors, (long long)s->n);
    if (s->a.n != 0 && s->n > 2) return unsupported(c, "prob_a, probabilities of more than two classes");
    return ml_length(c, "vectors_per_class", s->count.n, s->n) &&
           ml_length(c, "support_vectors", s->vector.n, s->vectors * s->features) &&
           ml_length(c, "coefficients", s->by.n, (s->n - 1) * s->vectors) && ml_length(c, "rho", s->rho.n, s->pairs) &&
           ml_length(c, "prob_b", s->b.n, s->a.n) && (s->a.n == 0 || ml_length(c, "prob_a", s->a.n, s->pairs));
}

/* What each vector counts for each pair of classes, of which a positive score is a vote for the first: [vectors, pairs]. And the
 * votes of a pair for classes, by a score above 0 and by another: [pairs, classes]. */
static void pairs_of(const Classes *s, double *weight, double *above, double *below)
{
    int64_t p = 0, first_i = 0;
    for (int64_t i = 0; i < s->n; first_i += s->count.at[i++]) {
        int64_t first_j = first_i + s->count.at[i];
        for (int64_t j = i + 1; j < s->n; first_j += s->count.at[j++], p++) {
            for (int64_t v = first_i; v < first_i + s->count.at[i]; v++)
                weight[v * s->pairs + p] = s->by.at[(j - 1) * s->vectors + v];
            for (int64_t v = first_j; v < first_j + s->count.at[j]; v++) weight[v * s->pairs + p] = s->by.at[i * s->vectors + v];
            above[p * s->n + i] = below[p * s->n + j] = 1;
        }
    }
}

/* Of two classes, by Platt's sigmoid of the score of their pair. */
static kiln_tensor *chances(Call *c, const Classes *s, kiln_tensor *score)
{
    kiln_tensor *u = kiln_add_at(c->at, of(kiln_mul_at(c->at, of(score), KILN_OPERAND(s->a.at[0]))), KILN_OPERAND(s->b.at[0]));
    kiln_tensor *p = kiln_sigmoid_at(c->at, of(kiln_neg_at(c->at, of(u))));
    p = kiln_clip_at(c->at, of(p), KILN_OPERAND(1e-7), KILN_OPERAND(1 - 1e-7));
    kiln_tensor *const both[2] = {p, kiln_sub_at(c->at, KILN_OPERAND(1.0), of(p))};
    return kiln_concat_at(c->at, both, 2, 1);
}

/* Scores: of two classes by chances, or the negative of the pair's score and itself; of more one for each pair. */
static kiln_tensor *class_scores(Call *c, const Classes *s, kiln_tensor *score, Transform how)
{
    if (s->a.n != 0) return ml_transform(c, chances(c, s, score), how);
    if (s->n > 2 || how == TO_PROBIT) return ml_transform(c, score, how);
    if (how != TO_NONE && how != TO_LOGISTIC) return unsupported(c, "post_transform of a score of two classes"), NULL;
    kiln_tensor *const both[2] = {kiln_neg_at(c->at, of(score)), score};
    return ml_transform(c, kiln_concat_at(c->at, both, 2, 1), how);
}

bool op_svm_classifier(Call *c)
{
    Classes s;
    Transform how;
    kiln_tensor *x = ml_rows(c, 0, &s.features);
    if (!tensor_ok(x) || !ml_transform_of(c, &how) || !classes_of(c, &s)) return false;
    x = cast_to(c->t, c->at, x, DT_f32);
    double *w = arena_zeros(c->arena, (size_t)(s.vectors * s.pairs), sizeof *w);
    double *above = arena_zeros(c->arena, (size_t)(s.pairs * s.n), sizeof *above),
           *below = arena_zeros(c->arena, (size_t)(s.pairs * s.n), sizeof *below);
    pairs_of(&s, w, above, below);
    kiln_tensor *k = kernel_of(c, x, ml_table(c, DT_f32, s.vectors, s.features, s.vector.at));
    if (!tensor_ok(k)) return false;
    kiln_tensor *score = kiln_matmul_at(c->at, of(k), of(ml_table(c, DT_f32, s.vectors, s.pairs, w)));
    score = kiln_add_at(c->at, of(score), of(ml_table(c, DT_f32, 1, s.pairs, s.rho.at)));
    kiln_tensor *is = kiln_cast_at(c->at, of(kiln_gt_at(c->at, of(score), KILN_OPERAND(0))), KILN_F32);
    kiln_tensor *votes = kiln_matmul_at(c->at, of(is), of(ml_table(c, DT_f32, s.pairs, s.n, above)));
    is = kiln_sub_at(c->at, KILN_OPERAND(1.0), of(is));
    votes = kiln_add_at(c->at, of(votes), of(kiln_matmul_at(c->at, of(is), of(ml_table(c, DT_f32, s.pairs, s.n, below)))));
    return ml_give_classes(c, &s.label, kiln_argmax_at(c->at, of(votes), 1), class_scores(c, &s, score, how));
}
