/* operators: the table of operators.def, and what an operator of a version means. Relies on import.h. */
#include "import.h"

#define NEWEST 28 /* of ai.onnx, to which all definitions are known */

#define ONE(name, since, f)
#define TWO(name, since, f)
#define ALONG(name, since, f)
#define OVER(name, since, f)
#define ROW(name, since, f, n, known) OperatorFn f;
#define DRAW(name, since, f, known) OperatorFn f;
#define UNKNOWN(name, since)
#include "operators.def"
OperatorFn op_one, op_two, op_along, op_over;

static const Operator operators[] = {
#define ONE(name, since, f) {#name, since, op_one, false, 0, {.one = f}},
#define TWO(name, since, f) {#name, since, op_two, false, 0, {.two = f}},
#define ALONG(name, since, f) {#name, since, op_along, false, 0, {.two = f}},
#define OVER(name, since, f) {#name, since, op_over, false, 2, {.over = f}},
#define ROW(name, since, f, n, known) {#name, since, f, false, known, {.number = n}},
#define DRAW(name, since, f, known) {#name, since, f, true, known, {.number = 0}},
#define UNKNOWN(name, since) {#name, since, NULL, false, 0, {.number = 0}},
#include "operators.def"
};

OperatorFn op_adagrad, op_adam, op_array_features, op_binarizer, op_feature_vectorizer, op_flex_attention, op_gradient, op_imputer,
    op_label_encoder, op_linear_classifier, op_linear_regressor, op_momentum, op_normalizer, op_one_hot_encoder, op_scaler,
    op_svm_classifier, op_svm_regressor, op_tree_classifier, op_tree_ensemble, op_tree_regressor;

/* Of other domains, each in all versions up to `newest`. */
static const struct {
    const char *domain;
    int64_t newest;
    Operator op;
} others[] = {{"ai.onnx.preview.training", 1, {"Adagrad", 1, op_adagrad, false, 0, {.number = 0}}},
    {"ai.onnx.preview.training", 1, {"Adam", 1, op_adam, false, 0, {.number = 0}}},
    {"ai.onnx.preview.training", 1, {"Gradient", 1, op_gradient, false, 0, {.number = 0}}},
    {"ai.onnx.preview.training", 1, {"Momentum", 1, op_momentum, false, 0, {.number = 0}}},
    {"ai.onnx.preview", 1, {"FlexAttention", 1, op_flex_attention, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"ArrayFeatureExtractor", 1, op_array_features, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"Binarizer", 1, op_binarizer, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"FeatureVectorizer", 1, op_feature_vectorizer, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"Imputer", 1, op_imputer, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"LabelEncoder", 2, op_label_encoder, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"LinearClassifier", 1, op_linear_classifier, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"LinearRegressor", 1, op_linear_regressor, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"Normalizer", 1, op_normalizer, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"OneHotEncoder", 1, op_one_hot_encoder, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"SVMClassifier", 1, op_svm_classifier, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"SVMRegressor", 1, op_svm_regressor, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"Scaler", 1, op_scaler, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"TreeEnsemble", 5, op_tree_ensemble, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"TreeEnsembleClassifier", 1, op_tree_classifier, false, 0, {.number = 0}}},
    {"ai.onnx.ml", 5, {"TreeEnsembleRegressor", 1, op_tree_regressor, false, 0, {.number = 0}}}};

static bool is_named(Bytes b, const char *name) { return bytes_equal(b, (Bytes){(const uint8_t *)name, strlen(name)}); }

static const Operator *other_of(Bytes domain, Bytes op, int64_t version)
{
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (is_named(domain, others[i].domain) && is_named(op, others[i].op.name) && version >= others[i].op.since &&
            version <= others[i].newest)
            return &others[i].op;
    return NULL;
}

static bool is_standard(Bytes domain)
{
    static const char name[] = "ai.onnx";
    return domain.n == 0 || bytes_equal(domain, (Bytes){(const uint8_t *)name, sizeof name - 1});
}

/* Rows stand in the order of their names, and of each name in that of versions. */
const Operator *operator_of(Bytes domain, Bytes op, int64_t version)
{
    const Operator *found = NULL;
    if (!is_standard(domain)) return other_of(domain, op, version);
    if (version > NEWEST) return NULL;
    for (size_t i = 0; i < COUNT_OF(operators); i++)
        if (operators[i].since <= version &&
            bytes_equal(op, (Bytes){(const uint8_t *)operators[i].name, strlen(operators[i].name)}))
            found = &operators[i];
    return found && found->fn ? found : NULL;
}
