/* export_opset: which version of ONNX's operators a model needs: the lowest that has each node with its dtype. Nodes themselves are
 * written in export.c and the files beside it, never here. */
#include "export.h"

#include "model.h"

typedef enum Class {
    OF_BF16 = 1,
    OF_F8 = 2,
    OF_BOOL = 4,
    OF_BYTES = 8,     /* i8, u8 */
    OF_SHORTS = 16,   /* i16, u16 */
    OF_UNSIGNED = 32, /* whatever their bits */
    OF_U64 = 64,
    OF_ALL = 128
} Class;

static bool is_of(DType t, uint32_t classes)
{
    if (classes & OF_ALL) return true;
    if (t == DT_bf16) return classes & OF_BF16;
    if (t == DT_f8_e4m3 || t == DT_f8_e5m2) return classes & OF_F8;
    if (t == DT_bool) return classes & OF_BOOL;
    if (dtype_info[t].kind == DK_UINT && classes & OF_UNSIGNED) return true;
    if (t == DT_u64) return classes & OF_U64;
    return dtype_is_int(t) && ((dtype_bytes(t) == 1 && classes & OF_BYTES) || (dtype_bytes(t) == 2 && classes & OF_SHORTS));
}

static bool is_op(const char *op, const char *name)
{
    const size_t length = strcspn(op, ".");
    return strlen(name) == length && strncmp(name, op, length) == 0;
}

/* What opset 20 does not have yet. */
static const struct {
    const char *op;
    uint32_t of;
    uint32_t since;
} later[] = {{"Pad", OF_F8, 21}, {"Transpose", OF_F8, 21}, {"Unsqueeze", OF_F8, 21}, {"Acos", OF_BF16, 22}, {"Acosh", OF_BF16, 22},
    {"Asin", OF_BF16, 22}, {"Asinh", OF_BF16, 22}, {"Atan", OF_BF16, 22}, {"Atanh", OF_BF16, 22}, {"Conv", OF_BF16, 22},
    {"ConvTranspose", OF_BF16, 22}, {"Cos", OF_BF16, 22}, {"Cosh", OF_BF16, 22}, {"Round", OF_BF16, 22}, {"Sin", OF_BF16, 22},
    {"Sinh", OF_BF16, 22}, {"Softplus", OF_BF16, 22}, {"Softsign", OF_BF16, 22}, {"Tan", OF_BF16, 22}, {"TopK", OF_BF16, 24},
    {"BitCast", OF_ALL, 26}};

/* What no opset has, and of integers what ONNX Runtime does not compute; of operators that are not here, floats of 8 bits. */
static const struct {
    const char *op;
    uint32_t of;
} lacking[] = {{"BitCast", 0}, {"Cast", 0}, {"Identity", 0}, {"IsNaN", 0}, {"Pad", 0}, {"Reshape", 0}, {"Shape", 0}, {"Squeeze", 0},
    {"Transpose", 0}, {"Unsqueeze", 0}, {"ArgMax", OF_F8 | OF_BOOL}, {"ArgMin", OF_F8 | OF_BOOL}, {"TopK", OF_F8 | OF_BOOL},
    {"CumSum", OF_F8 | OF_BOOL | OF_BYTES | OF_SHORTS}, {"MatMul", OF_F8 | OF_BOOL | OF_BYTES | OF_SHORTS},
    {"ReduceSum", OF_F8 | OF_BOOL | OF_BYTES | OF_SHORTS}, {"ReduceProd", OF_F8 | OF_BOOL | OF_BYTES | OF_SHORTS},
    {"ReduceMax", OF_F8 | OF_SHORTS}, {"ReduceMin", OF_F8 | OF_SHORTS}, {"Neg", OF_F8 | OF_UNSIGNED}, {"Max", OF_F8 | OF_SHORTS},
    {"Min", OF_F8 | OF_SHORTS}, {"Where", OF_F8 | OF_SHORTS | OF_U64}};

/* A wider dtype has all numbers of the narrower one, and of sums and products of integers the same low bits; i64 has those of u64.
 */
DType export_has(const char *op, DType t)
{
    uint32_t lacks = OF_F8;
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++)
        if (is_op(op, lacking[i].op)) lacks = lacking[i].of;
    if (t == DT_NONE || !is_of(t, lacks)) return t;
    return dtype_is_float(t) ? DT_f32 : dtype_bytes(t) < 4 ? DT_i32 : DT_i64;
}

/* Operators whose result has a dtype of its own. */
static const struct {
    const char *op;
    DType result;
} other[] = {{"Equal", DT_bool}, {"Less", DT_bool}, {"LessOrEqual", DT_bool}, {"Greater", DT_bool}, {"GreaterOrEqual", DT_bool},
    {"IsNaN", DT_bool}, {"Shape", DT_i64}, {"ArgMax", DT_i64}, {"ArgMin", DT_i64}, {"TopK.1", DT_i64}, {"MatMulInteger", DT_i32}};

void export_is(Export *x, Named v, DType t) { map_put(&x->dtype, (uint64_t)(uintptr_t)v, (uint64_t)t); }

DType export_dtype(const Export *x, Named v)
{
    const uint64_t *known = map_get(&x->dtype, (uint64_t)(uintptr_t)v);
    return known ? (DType)*known : DT_NONE;
}

DType export_meets(Export *x, const char *op, const Named *in, const Given *attr)
{
    const DType t = export_dtype(x, in[is_op(op, "Where")]);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (is_op(op, later[i].op) && is_of(t, later[i].of)) x->opset = MAX_OF(x->opset, later[i].since);
    if (is_op(op, "Cast") || is_op(op, "BitCast")) return onnx_dtype((int)attr[0].i)->dtype;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strcmp(other[i].op, op) == 0) return other[i].result;
    return t;
}

/* The format of the file that came with the opset. */
uint32_t export_format(uint32_t opset)
{
    static const uint32_t format[] = {9, 10, 10, 11, 12, 13, 13}; /* of 20 and up */
    return format[opset - EXPORT_OPSET];
}
