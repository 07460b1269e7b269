/* export_scalar: what is elementwise as nodes of ONNX: an operator of the same name, or the scalar algebra's expression, primitive
 * by primitive. Relies on export.h. */
#include "export.h"

#include <math.h>

static const char *const same[OP_COUNT] = {[OP_neg] = "Neg",
    [OP_abs] = "Abs",
    [OP_sign] = "Sign",
    [OP_floor] = "Floor",
    [OP_ceil] = "Ceil",
    [OP_round] = "Round",
    [OP_sqrt] = "Sqrt",
    [OP_add] = "Add",
    [OP_sub] = "Sub",
    [OP_mul] = "Mul",
    [OP_div] = "Div",
    [OP_max] = "Max",
    [OP_min] = "Min",
    [OP_pow] = "Pow",
    [OP_eq] = "Equal",
    [OP_lt] = "Less",
    [OP_le] = "LessOrEqual",
    [OP_gt] = "Greater",
    [OP_ge] = "GreaterOrEqual",
    [OP_where] = "Where"};
/* These know floats alone. */
static const char *const of_floats[OP_COUNT] = {
    [OP_relu] = "Relu", [OP_sigmoid] = "Sigmoid", [OP_softplus] = "Softplus", [OP_softsign] = "Softsign", [OP_gelu] = "Gelu"};

static const char *const functions[FN_COUNT] = {[FN_exp] = "Exp",
    [FN_log] = "Log",
    [FN_sin] = "Sin",
    [FN_cos] = "Cos",
    [FN_tan] = "Tan",
    [FN_asin] = "Asin",
    [FN_acos] = "Acos",
    [FN_atan] = "Atan",
    [FN_sinh] = "Sinh",
    [FN_cosh] = "Cosh",
    [FN_tanh] = "Tanh",
    [FN_asinh] = "Asinh",
    [FN_acosh] = "Acosh",
    [FN_atanh] = "Atanh",
    [FN_erf] = "Erf",
    [FN_pow] = "Pow"};

static const char *const primitives[P_COUNT] = {[P_add] = "Add",
    [P_sub] = "Sub",
    [P_mul] = "Mul",
    [P_div] = "Div",
    [P_idiv] = "Div",
    [P_ipow] = "Pow",
    [P_neg] = "Neg",
    [P_abs] = "Abs",
    [P_sqrt] = "Sqrt",
    [P_floor] = "Floor",
    [P_ceil] = "Ceil",
    [P_rint] = "Round",
    [P_lt] = "Less",
    [P_le] = "LessOrEqual",
    [P_gt] = "Greater",
    [P_ge] = "GreaterOrEqual",
    [P_eq] = "Equal",
    [P_select] = "Where"};

typedef struct Walk {
    Export *x;
    const ScalarTok *at;
    const char *op; /* whose expression it is, for what cannot be written */
    const Named *arg;
    DType type, to; /* of the operands, of the result */
} Walk;

static Named number(const Walk *w, double v)
{
    return export_scalar(w->x, w->type, dtype_is_float(w->type) ? (Scalar){.f = v} : (Scalar){.i = (int64_t)v});
}

static Named function(const Walk *w, MathFn fn, const Named *in)
{
    Export *x = w->x;
    if (functions[fn]) return export_node(x, functions[fn], in, math_info[fn].args, NULL, 0);
    switch (fn) {
    case FN_exp2: return NODE(x, "Pow", number(w, 2), in[0]);
    case FN_expm1: return NODE(x, "Sub", NODE(x, "Exp", in[0]), number(w, 1));
    case FN_log1p: return NODE(x, "Log", NODE(x, "Add", in[0], number(w, 1)));
    case FN_log2: return NODE(x, "Div", NODE(x, "Log", in[0]), number(w, log(2)));
    case FN_log10: return NODE(x, "Div", NODE(x, "Log", in[0]), number(w, log(10)));
    case FN_hypot: return NODE(x, "Sqrt", NODE(x, "Add", NODE(x, "Mul", in[0], in[0]), NODE(x, "Mul", in[1], in[1])));
    default: return export_wrong(x, w->op, "ONNX has no such function");
    }
}

static Named logical(const Walk *w, const char *of_bools, const char *of_bits, const Named *in, uint32_t n)
{
    return export_node(w->x, w->type == DT_bool ? of_bools : of_bits, in, n, NULL, 0);
}

static Named shifted(const Walk *w, const char *direction, const Named *in)
{
    if (dtype_info[w->type].kind != DK_UINT) return export_wrong(w->x, w->op, "ONNX shifts unsigned integers alone");
    return export_node(w->x, "BitShift", in, 2, &(Given){.name = "direction", .text = direction}, 1);
}

/* A float as an integer: cut off, the nearest where it is beyond all, 0 of NaN. ONNX's Cast leaves the last two open. */
static Named cut_off(Export *x, Named v, DType to)
{
    const int bits = 8 * (int)dtype_bytes(to);
    const bool with_sign = dtype_info[to].kind == DK_INT, all = bits == 64;
    const double hi = ldexp(1, with_sign ? bits - 1 : bits), lo = with_sign ? -hi : 0;
    const Named wide = export_cast(x, v, DT_f64);
    Named in = NODE(x, "Where", NODE(x, "IsNaN", wide), export_scalar(x, DT_f64, (Scalar){.f = 0}), wide);
    in = NODE(x, "Clip", in, export_scalar(x, DT_f64, (Scalar){.f = lo}),
        export_scalar(x, DT_f64, (Scalar){.f = all ? nextafter(hi, 0) : hi - 1}));
    in = export_cast(x, in, to);
    if (!all) return in;
    const Named most = export_scalar(x, to, (Scalar){.i = with_sign ? INT64_MAX : -1}); /* -1: all bits */
    return NODE(x, "Where", NODE(x, "GreaterOrEqual", wide, export_scalar(x, DT_f64, (Scalar){.f = hi})), most, in);
}

Named export_converted(Export *x, Named v, DType from, DType to, bool saturates)
{
    if (to == DT_f8_e4m3 || to == DT_f8_e5m2)
        return export_node(
            x, "Cast", &v, 1, (const Given[]){{.name = "to", .i = export_number(to)}, {.name = "saturate", .i = saturates}}, 2);
    if (saturates) return export_wrong(x, "cast", "that saturates, ONNX has it for floats of 8 bits alone");
    return dtype_is_float(from) && dtype_is_int(to) ? cut_off(x, v, to) : export_cast(x, v, to);
}

/* with: the dtype of a token; bools: what the operands of a logical primitive are. */
static Named primitive(const Walk *w, Prim p, DType with, const Named *in)
{
    Export *x = w->x;
    if (primitives[p]) return export_node(x, primitives[p], in, prim_info[p].args, NULL, 0);
    switch (p) {
    case P_ne: return NODE(x, "Not", NODE(x, "Equal", in[0], in[1]));
    case P_mad: return NODE(x, "Add", NODE(x, "Mul", in[0], in[1]), in[2]);
    case P_rare: return in[0];
    case P_trunc: return NODE(x, "Mul", NODE(x, "Sign", in[0]), NODE(x, "Floor", NODE(x, "Abs", in[0])));
    case P_copysign:
        return NODE(x, "Where", NODE(x, "Less", in[1], number(w, 0)), NODE(x, "Neg", NODE(x, "Abs", in[0])), NODE(x, "Abs", in[0]));
    case P_fmod:
    case P_irem: return export_node(x, "Mod", in, 2, &(Given){.name = "fmod", .i = 1}, 1);
    case P_and: return logical(w, "And", "BitwiseAnd", in, 2);
    case P_or: return logical(w, "Or", "BitwiseOr", in, 2);
    case P_xor: return logical(w, "Xor", "BitwiseXor", in, 2);
    case P_not: return logical(w, "Not", "BitwiseNot", in, 1);
    case P_shl: return shifted(w, "LEFT", in);
    case P_shr: return shifted(w, "RIGHT", in);
    case P_cvt: return export_converted(x, in[0], w->type, with == DT_NONE ? w->to : with, false);
    default: return export_wrong(x, w->op, "ONNX cannot look at the bits of numbers");
    }
}

/* Of comparisons the results are bools, and so are operands of what joins them. */
static bool is_condition(Prim p) { return p >= P_lt && p <= P_ne; }

static Named walk(Walk *w, bool *condition)
{
    const ScalarTok *tok = w->at++;
    Named in[3] = {NULL};
    bool of_conditions = false;
    *condition = false;
    if (tok->prim == P_ARG) return w->arg[tok->ref];
    if (tok->prim == P_CONST) return number(w, tok->value);
    const bool fn = tok->prim == P_FN;
    if (!fn && tok->prim >= P_COUNT) return export_wrong(w->x, w->op, "its expression has lets");
    const uint32_t n = fn ? math_info[tok->ref].args : prim_info[tok->prim].args;
    for (uint32_t i = 0; i < n; i++) in[i] = walk(w, &of_conditions);
    for (uint32_t i = 0; i < n; i++)
        if (!in[i]) return NULL;
    if (fn) return function(w, (MathFn)tok->ref, in);
    *condition =
        is_condition((Prim)tok->prim) || (of_conditions && tok->prim >= P_and && tok->prim <= P_not) || tok->prim == P_rare;
    if (!of_conditions || tok->prim < P_and || tok->prim > P_not) return primitive(w, (Prim)tok->prim, (DType)tok->type, in);
    Walk bools = *w;
    bools.type = DT_bool;
    return primitive(&bools, (Prim)tok->prim, DT_NONE, in);
}

static Named operands(Export *x, const Node *n, Named *in)
{
    bool whole = false;
    for (uint32_t i = 0; i < n->nin; i++) in[i] = export_loose(x, n->in[i], &whole);
    if (!whole) in[n->nin - 1] = export_value(x, n->in[n->nin - 1]);
    for (uint32_t i = 0; i < n->nin; i++)
        if (!in[i]) return NULL;
    return in[0];
}

Named export_elementwise(Export *x, const Node *n)
{
    Named in[3];
    const Op op = (Op)n->op;
    const DType t = (DType)type_of(x, n->in[n->nin - 1])->dtype;
    const bool floats = dtype_is_float(t);
    if (!operands(x, n, in)) return NULL;
    if (op == OP_pow && !floats && t != DT_i32 && t != DT_i64)
        return export_wrong(x, "pow", "of integers, ONNX has those of i32 and i64 alone");
    if (same[op] && t != DT_bool) return export_node(x, same[op], in, n->nin, NULL, 0);
    if (t == DT_bool && (op == OP_where || op == OP_eq)) return export_node(x, same[op], in, n->nin, NULL, 0);
    if (t == DT_bool && (op == OP_max || op == OP_min)) return export_node(x, op == OP_max ? "Or" : "And", in, 2, NULL, 0);
    if (t == DT_bool && same[op]) return export_wrong(x, op_def[op].name, "ONNX does not order bools");
    if (of_floats[op] && floats) return export_node(x, of_floats[op], in, n->nin, NULL, 0);
    if (op == OP_gelu_tanh) return export_node(x, "Gelu", in, 1, &(Given){.name = "approximate", .text = "tanh"}, 1);
    if (op == OP_silu) return NODE(x, "Mul", in[0], NODE(x, "Sigmoid", in[0]));
    const ScalarTok *value = floats ? op_def[op].value_f : op_def[op].value_i;
    if (!value) return export_wrong(x, op_def[op].name, "ONNX has no such operator");
    bool condition;
    Walk w = {x, value, op_def[op].name, in, t, (DType)type_of(x, n->out)->dtype};
    return walk(&w, &condition);
}
