/* export_scalar: what is elementwise as nodes of ONNX: an operator of the same name, or an expression (export_expression.c). Floats
 * of fewer bits than f32 that need several nodes are f32 on the way, as in Kiln. Relies on export.h. */
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

static Named operands(Export *x, const Node *n, Named *in)
{
    bool whole = false;
    for (uint32_t i = 0; i < n->nin; i++) in[i] = export_loose(x, n->in[i], &whole);
    if (!whole) in[n->nin - 1] = export_value(x, n->in[n->nin - 1]);
    for (uint32_t i = 0; i < n->nin; i++)
        if (!in[i]) return NULL;
    return in[0];
}

/* Of bools: 1 is the larger one. */
static Named of_bools(Export *x, Op op, const Named *in)
{
    switch (op) {
    case OP_max: return NODE(x, "Or", in[0], in[1]);
    case OP_min: return NODE(x, "And", in[0], in[1]);
    case OP_lt: return NODE(x, "And", NODE(x, "Not", in[0]), in[1]);
    case OP_le: return NODE(x, "Or", NODE(x, "Not", in[0]), in[1]);
    case OP_gt: return NODE(x, "And", in[0], NODE(x, "Not", in[1]));
    case OP_ge: return NODE(x, "Or", in[0], NODE(x, "Not", in[1]));
    case OP_relu: return in[0];
    case OP_where: return NODE(x, "Or", NODE(x, "And", in[0], in[1]), NODE(x, "And", NODE(x, "Not", in[0]), in[2]));
    default: return NULL;
    }
}

/* The second operand's integer, where all its elements are one that is known. */
static const int64_t *second(const Export *x, const Node *n)
{
    const Node *by = n->nin == 2 ? graph_maker(x->at->g, n->in[1]) : NULL;
    while (by && by->op == OP_broadcast) by = graph_maker(x->at->g, by->in[0]);
    return by && by->op == OP_constant ? &ATTRS(constant, by->attr->at)->value : NULL;
}

/* v to a power that is known, by squares, of which integers wrap as in Kiln. */
static Named raised(Export *x, Named v, int64_t to)
{
    Named y = NULL;
    for (; to > 0; to >>= 1) {
        if (to & 1) y = y ? NODE(x, "Mul", y, v) : v;
        if (to > 1) v = NODE(x, "Mul", v, v);
    }
    return y;
}

/* One node, which rounds once; NULL: there is none. */
static Named of_one_node(Export *x, const Node *node, DType t, const Named *in)
{
    const Op op = (Op)node->op;
    const uint32_t n = node->nin;
    const int64_t *by = second(x, node);
    if (t == DT_bool && op != OP_eq) return of_bools(x, op, in);
    if (op == OP_relu && dtype_info[t].kind == DK_UINT) return in[0];
    if (op == OP_relu && !dtype_is_float(t)) return NODE(x, "Max", in[0], export_scalar(x, t, (Scalar){.i = 0}));
    if (op == OP_pow && !dtype_is_float(t) && by && *by > 0) return raised(x, in[0], *by);
    if (op == OP_pow && !dtype_is_float(t) && t != DT_i32 && t != DT_i64)
        return export_wrong(x, "pow", "of integers to a power that is not known, ONNX has those of i32 and i64 alone");
    if (same[op]) return export_node(x, same[op], in, n, NULL, 0);
    if (of_floats[op] && dtype_is_float(t)) return export_node(x, of_floats[op], in, n, NULL, 0);
    const char *function = export_function(op);
    if (function && dtype_is_float(t)) return export_node(x, function, in, n, NULL, 0);
    if (op == OP_gelu_tanh) return export_node(x, "Gelu", in, 1, &(Given){.name = "approximate", .text = "tanh"}, 1);
    return NULL;
}

Named export_elementwise(Export *x, const Node *n)
{
    Named in[3];
    const DType to = (DType)type_of(x, n->out)->dtype;
    DType t = (DType)type_of(x, n->in[n->nin - 1])->dtype;
    const uint32_t wrong = x->wrong.len;
    if (!operands(x, n, in)) return NULL;
    const Named y = of_one_node(x, n, t, in);
    if (y || x->wrong.len != wrong) return y;
    const bool narrow = dtype_is_float(t) && dtype_bytes(t) < 4;
    for (uint32_t i = 0; narrow && i < n->nin; i++)
        if (export_dtype(x, in[i]) == t) in[i] = export_cast(x, in[i], DT_f32);
    if (narrow) t = DT_f32;
    const Named z = export_expression(x, n, t, in, second(x, n));
    return z && narrow && dtype_is_float(to) ? export_converted(x, z, DT_f32, to, false) : z;
}
