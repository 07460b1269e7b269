/* attributes: which attributes an operator has in a version, and which words those of text may be. Relies on import.h. */
#include "import.h"

static const struct {
    const char *op;
    int64_t since;
    const char *names;
} defined[] = {
#define ATTRIBUTES(op, since, names) {#op, since, names},
#include "attributes.def"
};

static bool listed(const char *names, Bytes name)
{
    for (size_t n; *names; names += n + (names[n] != 0)) {
        n = strcspn(names, " ");
        if (bytes_equal(name, (Bytes){(const uint8_t *)names, n})) return true;
    }
    return false;
}

const OnnxAttribute *attribute_undefined(const OnnxNode *n, int64_t version)
{
    const char *names = NULL;
    for (size_t i = 0; i < COUNT_OF(defined); i++)
        if (defined[i].since <= version && bytes_equal(n->op, (Bytes){(const uint8_t *)defined[i].op, strlen(defined[i].op)}))
            names = defined[i].names;
    for (uint32_t i = 0; names && i < n->attribute.n; i++)
        if (!listed(names, n->attribute.at[i].name)) return &n->attribute.at[i];
    return NULL;
}

/* What Kiln knows of each: any other word would be taken for the first. No operator: of all. */
static const struct {
    const char *op, *name, *words;
} worded[] = {
    {NULL, "auto_pad", "NOTSET SAME_UPPER SAME_LOWER VALID"},
    {NULL, "padding_mode", "zeros border reflection"},
    {NULL, "keep_aspect_ratio_policy", "stretch not_larger not_smaller"},
    {NULL, "nearest_mode", "round_prefer_floor round_prefer_ceil floor ceil"},
    {NULL, "approximate", "none tanh"},
    {NULL, "update_rule", "linear gated delta gated_delta"},
    {"BitShift", "direction", "LEFT RIGHT"},
    {"RNN", "direction", "forward reverse bidirectional"},
    {"LSTM", "direction", "forward reverse bidirectional"},
    {"GRU", "direction", "forward reverse bidirectional"},
    {"ScatterND", "reduction", "none add mul max min"},
    {"ScatterElements", "reduction", "none add mul max min"},
    {"SoftmaxCrossEntropyLoss", "reduction", "none mean sum"},
    {"NegativeLogLikelihoodLoss", "reduction", "none mean sum"},
    {"RoiAlign", "coordinate_transformation_mode", "half_pixel output_half_pixel"},
    {"RoiAlign", "mode", "avg max"},
    {"Pad", "mode", "constant edge reflect wrap"},
    {"DepthToSpace", "mode", "DCR CRD"},
    {"Resize", "mode", "nearest linear cubic"},
    {"Upsample", "mode", "nearest linear bilinear"},
    {"GridSample", "mode", "linear nearest cubic bilinear bicubic"},
    {"TfIdfVectorizer", "mode", "TF IDF TFIDF"},
    {"TensorScatter", "mode", "linear circular"},
    {"Momentum", "mode", "standard nesterov"},
};

static bool is(Bytes b, const char *text) { return bytes_equal(b, (Bytes){(const uint8_t *)text, strlen(text)}); }

const OnnxAttribute *attribute_unworded(const OnnxNode *n)
{
    for (uint32_t i = 0; i < n->attribute.n; i++) {
        const OnnxAttribute *a = &n->attribute.at[i];
        if (a->reference.n != 0 || (a->type != 3 && (a->type != 0 || a->s.n == 0)))
            continue; /* those of no text are told when it runs */
        for (size_t j = 0; j < COUNT_OF(worded); j++)
            if (is(a->name, worded[j].name) && (!worded[j].op || is(n->op, worded[j].op)) && !listed(worded[j].words, a->s))
                return a;
    }
    return NULL;
}
