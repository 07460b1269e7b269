/* test_onnx_ml: the operators of ai.onnx.ml, eagerly and compiled, with the values that ONNX Runtime has, and what is refused of them. */
#include "onnx_load.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static Message with_reals(Message n, const char *name, const float *v, int count)
{
    Message a = attribute_of(name, 6);
    bytes(&a, 7, v, sizeof *v * (size_t)count), message(&n, 5, &a);
    return n;
}

static Message with_wholes(Message n, const char *name, const int64_t *v, int count)
{
    Message a = attribute_of(name, 7);
    for (int i = 0; i < count; i++) integer(&a, 8, v[i]);
    message(&n, 5, &a);
    return n;
}

static Message with_text(Message n, const char *name, const char *s)
{
    Message a = attribute_of(name, 3);
    text(&a, 4, s), message(&n, 5, &a);
    return n;
}

static Message with_texts(Message n, const char *name, const char *words)
{
    Message a = attribute_of(name, 8);
    texts(&a, 9, words), message(&n, 5, &a);
    return n;
}

static Message with_real(Message n, const char *name, float v)
{
    Message a = attribute_of(name, 1);
    uint8_t raw[4];
    memcpy(raw, &v, sizeof raw);
    varint(&a, 2 << 3 | 5);
    memcpy(a.at + a.n, raw, sizeof raw), a.n += sizeof raw;
    message(&n, 5, &a);
    return n;
}

#define REALS(n, name, ...) with_reals(n, name, (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float)))
#define WHOLES(n, name, ...) \
    with_wholes(n, name, (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

static Message ml(const char *op, const char *in, const char *out)
{
    Message n = node(op, in, out);
    text(&n, 7, "ai.onnx.ml");
    return n;
}

static kiln_onnx *model(Message n, const char *in, const char *out, int64_t version)
{
    const Message g = graph_of(in, out, &n, 1);
    Message m = model_of(&g, 17), opset = {.n = 0};
    text(&opset, 1, "ai.onnx.ml"), integer(&opset, 2, version), message(&m, 8, &opset);
    kiln_onnx *x = kiln_onnx_load_memory(k, m.at, m.n);
    if (!x) fail_msg("%s", kiln_error(k)->text);
    return x;
}

/* What the node, whose operand is x and whose results are y and z, gives. */
static void gives(Message n, kiln_tensor *x, int outputs, kiln_tensor *const *want)
{
    BOTH(eager) {
        kiln_tensor *y[2] = {NULL, NULL};
        kiln_onnx *m = model(n, "x", outputs == 2 ? "y z" : "y", 3);
        if (!kiln_onnx_call(m, KILN_IN(x), y, outputs)) fail_msg("%s", kiln_error(k)->text);
        for (int i = 0; i < outputs; i++) {
            assert_int_equal(kiln_dtype_of(y[i]), kiln_dtype_of(want[i]));
            assert_int_equal(kiln_rank(y[i]), kiln_rank(want[i]));
            for (int d = 0; d < kiln_rank(y[i]); d++) assert_int_equal(kiln_dim(y[i], d), kiln_dim(want[i], d));
            kiln_tensor *a = kiln_cast(y[i], KILN_F64), *b = kiln_cast(want[i], KILN_F64);
            kiln_tensor *near = kiln_le(kiln_abs(kiln_sub(a, b)), kiln_mul(kiln_add(kiln_abs(b), 1.0), 1e-6));
            near = kiln_or(near, kiln_and(kiln_isnan(a), kiln_isnan(b)));
            if (kiln_item(kiln_cast(kiln_all(near, KILN_ALL), KILN_F64)) == 1) continue;
            kiln_print(stderr, y[i]);
            fail_msg("output %d is not that", i);
        }
        kiln_onnx_free(m);
    }
    kiln_eager(k, false);
}
#define GIVES(n, x, want) gives(n, x, 1, (kiln_tensor *const[]){want})
#define GIVES2(n, x, first, second) gives(n, x, 2, (kiln_tensor *const[]){first, second})

static void refuses(Message n, kiln_tensor *x, int64_t version, const char *why)
{
    BOTH(eager) {
        kiln_tensor *y[2];
        kiln_onnx *m = model(n, "x", "y", version);
        assert_false(kiln_onnx_call(m, KILN_IN(x), y, 1));
        if (!strstr(kiln_error(k)->text, why)) fail_msg("%s\ninstead of %s", kiln_error(k)->text, why);
        kiln_clear(k);
        kiln_onnx_free(m);
    }
    kiln_eager(k, false);
}

/* ---- features ------------------------------------------------------------------------------------------------- */

static kiln_tensor *rows(void) { return kiln_f32(k, KILN_SHAPE(3, 2), 1, -2, 0, 0, 3, 4); }

static void features(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = rows();
    GIVES(REALS(REALS(ml("Scaler", "x", "y"), "offset", 1, 2), "scale", 2, 0.5f), x, kiln_f32(k, KILN_SHAPE(3, 2), 0, -2, -2, -1, 4, 1));
    GIVES(REALS(REALS(ml("Scaler", "x", "y"), "offset", 1), "scale", 2), kiln_cast(x, KILN_I64),
        kiln_f32(k, KILN_SHAPE(3, 2), 0, -6, -2, -2, 4, 6));
    GIVES(with_text(ml("Normalizer", "x", "y"), "norm", "L1"), x, kiln_f32(k, KILN_SHAPE(3, 2), 1 / 3.0, -2 / 3.0, 0, 0, 3 / 7.0, 4 / 7.0));
    GIVES(with_text(ml("Normalizer", "x", "y"), "norm", "L2"), x,
        kiln_f32(k, KILN_SHAPE(3, 2), 1 / sqrt(5), -2 / sqrt(5), 0, 0, 0.6, 0.8));
    GIVES(with_text(ml("Normalizer", "x", "y"), "norm", "MAX"), x, kiln_f32(k, KILN_SHAPE(3, 2), 1, -2, 0, 0, 0.75, 1));
    GIVES(with_real(REALS(ml("Imputer", "x", "y"), "imputed_value_floats", 5, 6), "replaced_value_float", 0), x,
        kiln_f32(k, KILN_SHAPE(3, 2), 1, -2, 5, 6, 3, 4));
    GIVES(with_real(REALS(ml("Imputer", "x", "y"), "imputed_value_floats", 5), "replaced_value_float", NAN),
        kiln_f32(k, KILN_SHAPE(2), NAN, 1), kiln_f32(k, KILN_SHAPE(2), 5, 1));
    GIVES(WHOLES(ml("Imputer", "x", "y"), "imputed_value_int64s", 7), kiln_i64(k, KILN_SHAPE(1, 2), 0, 3), kiln_i64(k, KILN_SHAPE(1, 2), 7, 3));
    GIVES(WHOLES(ml("FeatureVectorizer", "x x", "y"), "inputdimensions", 1, 3), x,
        kiln_f32(k, KILN_SHAPE(3, 4), 1, 1, -2, 0, 0, 0, 0, 0, 3, 3, 4, 0));
    refuses(REALS(REALS(ml("Scaler", "x", "y"), "offset", 1, 2, 3), "scale", 1), x, 3, "offset lists 3 numbers, where one or as many");
    refuses(REALS(ml("Scaler", "x", "y"), "offset", 1), x, 3, "scale lists 0 numbers");
    refuses(with_text(ml("Normalizer", "x", "y"), "norm", "L3"), x, 3, "L3");
    refuses(ml("Imputer", "x", "y"), x, 3, "imputed_value_floats lists 0 numbers");
    refuses(WHOLES(ml("FeatureVectorizer", "x x", "y"), "inputdimensions", 1), x, 3, "inputdimensions lists 1 numbers, not 2");
    refuses(WHOLES(ml("FeatureVectorizer", "x", "y"), "inputdimensions", -1), x, 3, "inputdimensions of -1");
    refuses(WHOLES(ml("ZipMap", "x", "y"), "classlabels_int64s", 1, 2), x, 3, "ai.onnx.ml.ZipMap 3");
}

static void encoders(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_i64(k, KILN_SHAPE(2, 2), 1, 2, 5, 9);
    Message n = WHOLES(WHOLES(ml("LabelEncoder", "x", "y"), "keys_int64s", 5, 1, 9), "values_int64s", 50, 10, 90);
    GIVES(n, x, kiln_i64(k, KILN_SHAPE(2, 2), 10, -1, 50, 90));
    GIVES(with_integer(n, "default_int64", -7), x, kiln_i64(k, KILN_SHAPE(2, 2), 10, -7, 50, 90));
    n = REALS(REALS(ml("LabelEncoder", "x", "y"), "keys_floats", 2, NAN), "values_floats", 20, 30);
    GIVES(n, kiln_f32(k, KILN_SHAPE(3), 2, NAN, 7), kiln_f32(k, KILN_SHAPE(3), 20, 30, 0));
    GIVES(WHOLES(ml("OneHotEncoder", "x", "y"), "cats_int64s", 1, 5, 9), x,
        kiln_f32(k, KILN_SHAPE(2, 2, 3), 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1));
    refuses(with_integer(WHOLES(ml("OneHotEncoder", "x", "y"), "cats_int64s", 1, 5), "zeros", 0), x, 3, "is none of the categories");
    refuses(with_texts(ml("OneHotEncoder", "x", "y"), "cats_strings", "a b"), x, 3, "cats_strings: Kiln has no dtype string");
    refuses(WHOLES(WHOLES(ml("LabelEncoder", "x", "y"), "keys_int64s", 5, 1), "values_int64s", 5), x, 3, "values lists 1 numbers, not 2");
    refuses(WHOLES(ml("LabelEncoder", "x", "y"), "keys_int64s", 5), x, 3, "it has no values_int64s");
    refuses(WHOLES(with_texts(ml("LabelEncoder", "x", "y"), "keys_strings", "a"), "values_int64s", 5), x, 3, "keys_strings");
    refuses(WHOLES(REALS(ml("LabelEncoder", "x", "y"), "keys_floats", 5), "values_int64s", 5), x, 3, "keys of another dtype");
}

/* ---- linear ones ------------------------------------------------------------------------------------------------ */

static void linear_models(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = rows();
    Message n = with_integer(REALS(REALS(ml("LinearRegressor", "x", "y"), "coefficients", 1, 2, 3, 4), "intercepts", 10, 20), "targets", 2);
    GIVES(n, x, kiln_f32(k, KILN_SHAPE(3, 2), 7, 15, 10, 20, 21, 45));
    n = WHOLES(REALS(REALS(ml("LinearClassifier", "x", "y z"), "coefficients", 1, 0, 0, 1), "intercepts", 0, 0.5f), "classlabels_ints", 5, 7);
    GIVES2(n, x, kiln_i64(k, KILN_SHAPE(3), 5, 7, 7), kiln_f32(k, KILN_SHAPE(3, 2), 1, -1.5, 0, 0.5, 3, 4.5));
    n = WHOLES(REALS(REALS(ml("LinearClassifier", "x", "y z"), "coefficients", 1, 1), "intercepts", 0), "classlabels_ints", 5, 7);
    GIVES2(n, x, kiln_i64(k, KILN_SHAPE(3), 5, 5, 7), kiln_f32(k, KILN_SHAPE(3, 2), 2, -1, 1, 0, -6, 7));
    const double p = 1 / (1 + exp(1)), q = 1 / (1 + exp(-7));
    GIVES2(with_text(n, "post_transform", "LOGISTIC"), x, kiln_i64(k, KILN_SHAPE(3), 5, 5, 7),
        kiln_f32(k, KILN_SHAPE(3, 2), 1 - p, p, 0.5, 0.5, 1 - q, q));
    const Message svm = with_integer(REALS(REALS(REALS(with_text(ml("SVMRegressor", "x", "y"), "kernel_type", "RBF"), "kernel_params", 0.5f, 0, 3),
                                               "support_vectors", 1, -2, 0, 0), "coefficients", 2, -1), "n_supports", 2);
    GIVES(REALS(svm, "rho", 0.25f), x, kiln_f32(k, KILN_SHAPE(3, 1), 2 - exp(-2.5) + 0.25, 2 * exp(-2.5) - 1 + 0.25, 2 * exp(-20) - exp(-12.5) + 0.25));
    GIVES(REALS(REALS(ml("SVMRegressor", "x", "y"), "coefficients", 1, 2), "rho", 1), x, kiln_f32(k, KILN_SHAPE(3, 1), -2, 1, 12));
    refuses(svm, x, 3, "rho lists 0 numbers, not 1");
    refuses(with_integer(n, "x", 1), x, 3, "attribute x");
    refuses(REALS(ml("LinearRegressor", "x", "y"), "coefficients", 1, 2, 3), x, 3, "coefficients lists 3 numbers, not 2");
    refuses(with_integer(ml("LinearRegressor", "x", "y"), "targets", (int64_t)1 << 62), x, 3, "coefficients lists 0 numbers for 2 features");
    refuses(WHOLES(REALS(ml("LinearClassifier", "x", "y"), "coefficients", 1, 2), "classlabels_ints", 1, 2, 3), x, 3,
        "classlabels_ints lists 3 numbers, not 1");
    refuses(with_texts(REALS(ml("LinearClassifier", "x", "y"), "coefficients", 1, 2), "classlabels_strings", "a b"), x, 3, "classlabels_strings");
    refuses(with_text(REALS(ml("LinearRegressor", "x", "y"), "coefficients", 1, 2), "post_transform", "CUBE"), x, 3, "CUBE");
}

/* A vector of each class, and one feature. */
static Message vectors(int classes, const float *vector, const float *by, const float *rho)
{
    static const int64_t one[3] = {1, 1, 1}, label[3] = {5, 7, 9};
    Message n = with_wholes(with_wholes(ml("SVMClassifier", "x", "y z"), "vectors_per_class", one, classes), "classlabels_ints", label, classes);
    n = with_reals(with_reals(n, "support_vectors", vector, classes), "coefficients", by, (classes - 1) * classes);
    return with_reals(n, "rho", rho, classes * (classes - 1) / 2);
}

static void support_vectors(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    const float two_vectors[] = {1, -1}, two_by[] = {0.5f, -0.25f}, two_rho[] = {0.125f}, three_vectors[] = {1, 2, 3};
    const float three_by[] = {1, -1, 0, 0, 1, -1}, three_rho[] = {0, -0.5f, 0};
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(2, 1), 2, -1), *labels = kiln_i64(k, KILN_SHAPE(2), 5, 7);
    const Message n = vectors(2, two_vectors, two_by, two_rho);
    GIVES2(n, x, labels, kiln_f32(k, KILN_SHAPE(2, 2), -1.625, 1.625, 0.625, -0.625));
    const double p = 1 / (1 + exp(-1.625)), q = 1 / (1 + exp(0.625));
    GIVES2(with_text(n, "post_transform", "LOGISTIC"), x, labels, kiln_f32(k, KILN_SHAPE(2, 2), 1 - p, p, 1 - q, q));
    GIVES2(REALS(REALS(n, "prob_a", -1), "prob_b", 0), x, labels, kiln_f32(k, KILN_SHAPE(2, 2), p, 1 - p, q, 1 - q));
    GIVES2(vectors(3, three_vectors, three_by, three_rho), kiln_f32(k, KILN_SHAPE(2, 1), 1, -1), kiln_i64(k, KILN_SHAPE(2), 9, 5),
        kiln_f32(k, KILN_SHAPE(2, 3), -1, -0.5, -1, 1, -0.5, 1));
    refuses(REALS(n, "prob_a", -1), x, 1, "prob_b lists 0 numbers, not 1");
    refuses(REALS(vectors(3, three_vectors, three_by, three_rho), "prob_a", -1, 0, 0), x, 1, "probabilities of more than two classes");
    refuses(n, kiln_f32(k, KILN_SHAPE(1, 2), 2, -1), 1, "support_vectors lists 2 numbers, not 4");
    refuses(WHOLES(WHOLES(ml("SVMClassifier", "x", "y"), "vectors_per_class", -1, 3), "classlabels_ints", 1, 2), x, 1, "vectors_per_class of -1");
    refuses(WHOLES(WHOLES(ml("SVMClassifier", "x", "y"), "vectors_per_class", 1 << 27, 1 << 27), "classlabels_ints", 1, 2), x, 1,
        "support vectors of 2 classes");
    refuses(WHOLES(ml("SVMClassifier", "x", "y"), "classlabels_ints", 1, 2), x, 1, "a classifier without support vectors");
}

/* ---- trees ------------------------------------------------------------------------------------------------------ */

/* Two trees: 0 is x0 <= 1 ? (x1 < 0 ? 1 : 2) : 3, with weights 10, 20, 30 for target 0, and 1 is one leaf, 5 for target 1. */
typedef struct Trees {
    int64_t tree[6], node[6], feature[6], yes[6], no[6], leaf_tree[4], leaf[4], target[4];
    const char *modes;
} Trees;
static const Trees two = {{0, 0, 0, 0, 0, 1}, {0, 1, 2, 3, 4, 0}, {0, 1, 0, 0, 0, 0}, {1, 3, 0, 0, 0, 0}, {2, 4, 0, 0, 0, 0}, {0, 0, 0, 1},
    {3, 4, 2, 0}, {0, 0, 0, 1}, "BRANCH_LEQ BRANCH_LT LEAF LEAF LEAF LEAF"};

static Message nodes_of(Message n, const Trees *t)
{
    n = with_wholes(with_wholes(n, "nodes_treeids", t->tree, 6), "nodes_nodeids", t->node, 6);
    n = with_wholes(with_wholes(n, "nodes_featureids", t->feature, 6), "nodes_truenodeids", t->yes, 6);
    n = with_texts(with_wholes(n, "nodes_falsenodeids", t->no, 6), "nodes_modes", t->modes);
    return REALS(n, "nodes_values", 1, 0, 0, 0, 0, 0);
}

static Message regressor(const Trees *t)
{
    Message n = nodes_of(ml("TreeEnsembleRegressor", "x", "y"), t);
    n = with_wholes(with_wholes(n, "target_treeids", t->leaf_tree, 4), "target_nodeids", t->leaf, 4);
    n = REALS(with_wholes(n, "target_ids", t->target, 4), "target_weights", 10, 20, 30, 5);
    return with_integer(n, "n_targets", 2);
}

static void trees(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = kiln_f32(k, KILN_SHAPE(4, 2), 1, -2, 0, 0, 3, 4, NAN, -1);
    const Message n = regressor(&two);
    GIVES(n, x, kiln_f32(k, KILN_SHAPE(4, 2), 10, 5, 20, 5, 30, 5, 30, 5));
    GIVES(WHOLES(n, "nodes_missing_value_tracks_true", 1, 0, 0, 0, 0, 0), x, kiln_f32(k, KILN_SHAPE(4, 2), 10, 5, 20, 5, 30, 5, 10, 5));
    GIVES(with_text(REALS(n, "base_values", 1, 2), "aggregate_function", "AVERAGE"), x,
        kiln_f32(k, KILN_SHAPE(4, 2), 6, 4.5, 11, 4.5, 16, 4.5, 16, 4.5));
    GIVES(with_text(n, "aggregate_function", "MIN"), x, kiln_f32(k, KILN_SHAPE(4, 2), 10, 5, 20, 5, 30, 5, 30, 5));
    GIVES(with_text(n, "aggregate_function", "MAX"), kiln_cast(x, KILN_F64), kiln_f32(k, KILN_SHAPE(4, 2), 10, 5, 20, 5, 30, 5, 30, 5));
    Message c = nodes_of(ml("TreeEnsembleClassifier", "x", "y z"), &two);
    c = with_wholes(with_wholes(c, "class_treeids", two.leaf_tree, 4), "class_nodeids", two.leaf, 4);
    c = WHOLES(c, "classlabels_int64s", 7, 9);
    GIVES2(REALS(with_wholes(c, "class_ids", two.target, 4), "class_weights", 1, 6, 2, 5), x, kiln_i64(k, KILN_SHAPE(4), 9, 7, 9, 9),
        kiln_f32(k, KILN_SHAPE(4, 2), 1, 5, 6, 5, 2, 5, 2, 5));
    /* one class alone has scores */
    c = WHOLES(c, "class_ids", 1, 1, 1, 1);
    GIVES2(REALS(c, "class_weights", 0.25f, 0.5f, 0, 0.125f), x, kiln_i64(k, KILN_SHAPE(4), 7, 9, 7, 7),
        kiln_f32(k, KILN_SHAPE(4, 2), 0.625, 0.375, 0.375, 0.625, 0.875, 0.125, 0.875, 0.125));
    GIVES2(REALS(c, "class_weights", -1, 2, 1, -1.5f), x, kiln_i64(k, KILN_SHAPE(4), 7, 9, 7, 7),
        kiln_f32(k, KILN_SHAPE(4, 2), 2.5, -2.5, -0.5, 0.5, 0.5, -0.5, 0.5, -0.5));
}

static void hostile_trees(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = rows();
    Trees t = two;
    t.yes[1] = 0, t.no[1] = 3; /* 0 and 1 are each other's children, 4 nobody's */
    refuses(regressor(&t), x, 3, "node 0 of its trees is reached by no root");
    t = two, t.yes[1] = 1, t.no[1] = 3;
    refuses(regressor(&t), x, 3, "its 2 trees have 3 roots");
    t = two, t.no[0] = 1, t.yes[1] = 2;
    refuses(regressor(&t), x, 3, "its 2 trees have 3 roots");
    t = two, t.no[1] = 77;
    refuses(regressor(&t), x, 3, "node 1 of its trees has a child that its tree has not");
    t = two, t.node[4] = 3;
    refuses(regressor(&t), x, 3, "node 4 of its trees is there twice");
    t = two, t.feature[1] = 2;
    refuses(regressor(&t), x, 3, "node 1 of its trees asks feature 2 of 2");
    t = two, t.feature[0] = -1;
    refuses(regressor(&t), x, 3, "node 0 of its trees asks feature -1 of 2");
    t = two, t.target[1] = 2;
    refuses(regressor(&t), x, 3, "a leaf of its trees is for target 2 of 2");
    t = two, t.leaf[1] = 1;
    refuses(regressor(&t), x, 3, "target_weights 1 is of node 1 of tree 0, which is no leaf");
    t = two, t.leaf_tree[1] = 9;
    refuses(regressor(&t), x, 3, "target_weights 1 is of node 4 of tree 9, which is no leaf");
    t = two, t.modes = "BRANCH_LEQ BRANCH_MEMBER LEAF LEAF LEAF LEAF";
    refuses(regressor(&t), x, 3, "the mode 'BRANCH_MEMBER' of a tree's node");
    t = two, t.modes = "BRANCH_LEQ BRANCH_LT LEAF LEAF LEAF";
    refuses(regressor(&t), x, 3, "nodes_modes lists 5 numbers, not 6");
    refuses(with_integer(ml("TreeEnsembleRegressor", "x", "y"), "n_targets", 1), x, 3, "nodes_treeids lists 0 numbers");
    refuses(with_integer(nodes_of(ml("TreeEnsembleRegressor", "x", "y"), &two), "n_targets", (int64_t)1 << 60), x, 3, "6 nodes of trees for");
    refuses(with_text(regressor(&two), "aggregate_function", "MEDIAN"), x, 3, "MEDIAN");
    refuses(regressor(&two), kiln_f32(k, KILN_SHAPE(), 1), 3, "its operand has 0 axes, not rows of features");
}

/* Of version 5: x0 > 1 ? leaf 1 : (x1 == 0 ? leaf 2 : leaf 0). */
static Message numbers_tensor(const char *name, int type, const void *at, int64_t n, size_t size)
{
    Message a = attribute_of(name, 4), t = {.n = 0};
    integer(&t, 1, n), integer(&t, 2, type), bytes(&t, 9, at, size), message(&a, 5, &t);
    return a;
}

static Message ensemble(int64_t root, int64_t yes, int64_t no, uint8_t mode)
{
    static const float split[2] = {1, 0}, weight[3] = {10, 20, 30};
    const uint8_t modes[2] = {3, mode};
    const Message a = numbers_tensor("nodes_splits", 1, split, 2, sizeof split), b = numbers_tensor("nodes_modes", 2, modes, 2, sizeof modes),
                  c = numbers_tensor("leaf_weights", 1, weight, 3, sizeof weight);
    Message n = ml("TreeEnsemble", "x", "y");
    message(&n, 5, &a), message(&n, 5, &b), message(&n, 5, &c);
    n = WHOLES(WHOLES(n, "nodes_featureids", 0, 1), "leaf_targetids", 0, 0, 0);
    n = WHOLES(WHOLES(WHOLES(n, "tree_roots", root), "nodes_truenodeids", 1, yes), "nodes_falsenodeids", 1, no);
    return WHOLES(WHOLES(n, "nodes_trueleafs", 1, 1), "nodes_falseleafs", 0, 1);
}

static void ensembles(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_tensor *x = rows();
    BOTH(eager) {
        kiln_onnx *m = model(ensemble(0, 2, 0, 4), "x", "y", 5);
        EXACTLY(call(m, KILN_IN(x)), KILN_F32, KILN_SHAPE(3, 1), 10, 30, 20);
        kiln_onnx_free(m);
    }
    kiln_eager(k, false);
    refuses(ensemble(2, 2, 0, 4), x, 5, "node 2 of its trees is a root, and there is none");
    refuses(ensemble(1, 2, 0, 4), x, 5, "node 0 of its trees is reached by no root");
    refuses(ensemble(0, 3, 0, 4), x, 5, "node 1 of its trees has a leaf that there is not");
    refuses(ensemble(0, -1, 0, 4), x, 5, "node 1 of its trees has a leaf that there is not");
    refuses(ensemble(0, 2, 0, 6), x, 5, "membership_values lists 0 sets for 1 nodes of trees");
    static const float set[] = {-2, 4, NAN};
    const Message members = numbers_tensor("membership_values", 1, set, 3, sizeof set);
    Message either = ensemble(0, 2, 0, 6), more = either;
    message(&either, 5, &members); /* x1 is -2 or 4, but where x0 > 1 that is not asked */
    BOTH(eager) {
        kiln_onnx *m = model(either, "x", "y", 5);
        EXACTLY(call(m, KILN_IN(x)), KILN_F32, KILN_SHAPE(3, 1), 30, 10, 20);
        kiln_onnx_free(m);
    }
    kiln_eager(k, false);
    static const float sets[] = {-2, NAN, 4, NAN};
    const Message two_sets = numbers_tensor("membership_values", 1, sets, 4, sizeof sets);
    message(&more, 5, &two_sets);
    refuses(more, x, 5, "membership_values lists 2 sets for 1 nodes of trees");
    refuses(ensemble(0, 2, 0, 7), x, 5, "node 1 of its trees has a mode that there is not");
    /* node 1 is its own child */
    Message n = ensemble(0, 1, 0, 4);
    for (size_t i = 0; i + 15 < n.n; i++)
        if (memcmp(n.at + i, "nodes_trueleafs", 15) == 0)
            for (size_t j = i; j < n.n && j < i + 30; j++)
                if (n.at[j] == (8 << 3) && n.at[j + 1] == 1 && n.at[j + 2] == (8 << 3)) n.at[j + 3] = 0;
    refuses(n, x, 5, "node 1 of its trees is reached twice: its trees are none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {ENGINE_TEST(features), ENGINE_TEST(encoders), ENGINE_TEST(linear_models), ENGINE_TEST(support_vectors),
        ENGINE_TEST(trees),
        ENGINE_TEST(hostile_trees), ENGINE_TEST(ensembles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
