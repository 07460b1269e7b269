/* export_opset: which version of ONNX's operators a model needs: the lowest that has each node with its dtype. Nodes themselves are
 * written in export.c and the files beside it, never here. */
#include "export.h"

#include "model.h"

typedef enum Class { OF_BF16 = 1, OF_F8 } Class;

/* What opset 20 does not have yet. */
static const struct {
    const char *op;
    Class of;
    uint32_t since;
} later[] = {{"Pad", OF_F8, 21}, {"Transpose", OF_F8, 21}, {"Unsqueeze", OF_F8, 21}, {"Acos", OF_BF16, 22}, {"Acosh", OF_BF16, 22},
    {"Asin", OF_BF16, 22}, {"Asinh", OF_BF16, 22}, {"Atan", OF_BF16, 22}, {"Atanh", OF_BF16, 22}, {"Conv", OF_BF16, 22},
    {"Cos", OF_BF16, 22}, {"Cosh", OF_BF16, 22}, {"Round", OF_BF16, 22}, {"Sin", OF_BF16, 22}, {"Sinh", OF_BF16, 22},
    {"Softplus", OF_BF16, 22}, {"Softsign", OF_BF16, 22}, {"Tan", OF_BF16, 22}, {"TopK", OF_BF16, 24}};

static Class class_of(DType t)
{
    if (t == DT_bf16) return OF_BF16;
    return t == DT_f8_e4m3 || t == DT_f8_e5m2 ? OF_F8 : (Class)0;
}

/* Operators whose result has a dtype of its own. */
static const struct {
    const char *op;
    DType result;
} other[] = {{"Equal", DT_bool}, {"Less", DT_bool}, {"LessOrEqual", DT_bool}, {"Greater", DT_bool}, {"GreaterOrEqual", DT_bool},
    {"IsNaN", DT_bool}, {"Shape", DT_i64}, {"ArgMax", DT_i64}, {"ArgMin", DT_i64}, {"TopK.1", DT_i64}, {"MatMulInteger", DT_i32}};

void export_is(Export *x, Named v, DType t) { map_put(&x->dtype, (uint64_t)(uintptr_t)v, (uint64_t)t); }

DType export_meets(Export *x, const char *op, const Named *in, const Given *attr)
{
    const uint64_t *known = map_get(&x->dtype, (uint64_t)(uintptr_t)in[strcmp(op, "Where") == 0]);
    const DType t = known ? (DType)*known : DT_NONE;
    const size_t length = strcspn(op, ".");
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        const bool is = strlen(later[i].op) == length && strncmp(later[i].op, op, length) == 0 && later[i].of == class_of(t);
        if (is && later[i].since > x->opset) x->opset = later[i].since;
    }
    if (strcmp(op, "Cast") == 0) return onnx_dtype((int)attr[0].i)->dtype;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(other[i].op, op) == 0) return other[i].result;
    return t;
}

/* The format of the file that came with the opset. */
uint32_t export_format(uint32_t opset)
{
    static const uint32_t format[] = {9, 10, 10, 11, 12}; /* of 20 and up */
    return format[opset - EXPORT_OPSET];
}
