/* export_expression: the scalar algebra's expressions as nodes of ONNX, primitive by primitive; elementary functions that ONNX does
 * not have by formulas, or by Kiln's own rows. Relies on export.h. */
#include "export.h"

#include <math.h>

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

enum { SLOTS = 256 };

typedef struct Walk {
    Export *x;
    const ScalarTok *at;
    const char *op; /* whose expression it is, for what cannot be written */
    const Term *arg;
    DType type, to;        /* of constants, of the result */
    const int64_t *second; /* the second operand, if it is an integer that is known */
    Term *slot;
} Walk;

static Term walk(Walk *w);
static Term term_of(DType t, Named v) { return (Term){.type = t, .as.text = v}; }

static Named number(Export *x, DType t, double v)
{
    const int64_t whole = v >= 0x1p63 ? (int64_t)(uint64_t)v : (int64_t)v; /* beyond i64: a u64 */
    return export_scalar(x, t, dtype_is_float(t) ? (Scalar){.f = v} : (Scalar){.i = whole});
}

/* The bit, of zeros too. */
static Named has_sign(Export *x, DType t, Named v)
{
    const Named zero = number(x, t, 0);
    return NODE(x, "Or", NODE(x, "Less", v, zero), NODE(x, "Less", NODE(x, "Div", number(x, t, 1), v), zero));
}

/* ---- elementary functions ------------------------------------------------------------------------------------------------- */

/* 2 tanh(x / 2) / (1 - tanh(x / 2)), which does not cancel, up to 1 */
static Named exp_less_1(Export *x, DType t, Named v)
{
    const Named h = NODE(x, "Tanh", NODE(x, "Mul", v, number(x, t, 0.5))), one = number(x, t, 1);
    const Named near = NODE(x, "Div", NODE(x, "Add", h, h), NODE(x, "Sub", one, h));
    return NODE(x, "Where", NODE(x, "Less", NODE(x, "Abs", v), one), near, NODE(x, "Sub", NODE(x, "Exp", v), one));
}

/* x log(w) / (w - 1) with w = 1 + x as it was rounded, which gives back what that lost (Kahan); x where w is 1. */
static Named log_of_1_more(Export *x, DType t, Named v)
{
    const Named one = number(x, t, 1), w = NODE(x, "Add", v, one), log_w = NODE(x, "Log", w), less = NODE(x, "Sub", w, one);
    const Named near = NODE(x, "Mul", log_w, NODE(x, "Div", v, less)), far = NODE(x, "Greater", v, number(x, t, 1e9));
    return NODE(x, "Where", NODE(x, "Equal", less, number(x, t, 0)), v, NODE(x, "Where", far, log_w, near));
}

/* The third power's root in f64; a step of Newton's where that is the dtype. */
static Named cube_root(Export *x, DType t, Named v)
{
    const Named a = NODE(x, "Abs", t == DT_f64 ? v : export_cast(x, v, DT_f64)), zero = number(x, DT_f64, 0);
    Named y = NODE(x, "Pow", a, number(x, DT_f64, 1.0 / 3));
    if (t == DT_f64) {
        const Named yy = NODE(x, "Mul", y, y), off = NODE(x, "Sub", NODE(x, "Mul", yy, y), a);
        const Named better = NODE(x, "Sub", y, NODE(x, "Div", off, NODE(x, "Mul", yy, number(x, DT_f64, 3))));
        const Named inner = NODE(x, "And", NODE(x, "Greater", a, zero), NODE(x, "Less", a, number(x, DT_f64, INFINITY)));
        y = NODE(x, "Where", inner, better, y);
    } else {
        y = export_cast(x, y, t);
    }
    return NODE(x, "Where", has_sign(x, t, v), NODE(x, "Neg", y), y);
}

/* ---- rows that look at bits ------------------------------------------------------------------------------------------------- */

static bool is_const(const ScalarTok *tok, Prim p, double v)
{
    return tok[0].prim == p && (tok[1].prim == P_ARG || tok[1].prim == P_SLOT) && tok[2].prim == P_CONST && tok[2].value == v;
}

/* Asks for a float's sign: its bits, as an integer with a sign, are below 0, or without one at least half of all. */
static bool asks_sign(const ScalarTok *tok)
{
    if (tok[1].prim != P_bits || (tok[2].prim != P_ARG && tok[2].prim != P_SLOT) || tok[3].prim != P_CONST) return false;
    const bool with_sign = dtype_info[tok[1].type].kind == DK_INT;
    return with_sign ? tok[0].prim == P_lt && tok[3].value == 0 : tok[0].prim == P_ge && tok[3].value >= 0x1p63;
}

/* Takes the upper bits of an f64, so that products of them are exact. */
static bool takes_upper(const ScalarTok *tok)
{
    return tok[0].prim == P_floatbits && tok[1].prim == P_and && tok[2].prim == P_bits && tok[2].type == DT_u64 &&
           tok[3].prim == P_SLOT && tok[4].prim == P_CONST;
}

static Named upper(Export *x, Named v)
{
    const Named c = NODE(x, "Mul", v, number(x, DT_f64, 0x1p27 + 1));
    return NODE(x, "Sub", c, NODE(x, "Sub", c, v));
}

enum { LOG_ROWS = 13 }; /* math_rows.def */

/* The first of those rows, of the logarithm of a slot. */
static bool begins_log(const ScalarTok *tok)
{
    return tok[0].prim == P_LET && tok[0].type == DT_bool && is_const(tok + 1, P_lt, 0x1p-1022) && tok[4].prim == P_LET &&
           tok[4].type == DT_u64;
}

static const ScalarTok *behind(const ScalarTok *tok)
{
    int open = 1;
    for (; open > 0; tok++)
        open += (tok->prim == P_FN ? math_info[tok->ref].args : prim_info[tok->prim < P_COUNT ? tok->prim : 0].args) - 1;
    return tok;
}

/* Minus infinity up to 0. */
static void log_by_node(Walk *w)
{
    Export *x = w->x;
    const Named of = w->slot[w->at[2].ref].as.text, zero = number(x, DT_f64, 0);
    const Named y = NODE(x, "Where", NODE(x, "LessOrEqual", of, zero), number(x, DT_f64, -INFINITY), NODE(x, "Log", of));
    uint16_t last = 0;
    for (int i = 0; i < LOG_ROWS; i++) last = w->at->ref, w->at = behind(w->at + 1);
    w->slot[last] = term_of(DT_f64, y);
}

/* Kiln's own. */
static Named by_rows(const Walk *w, MathFn fn, DType t, const Term *in)
{
    const ScalarTok *rows = t == DT_f64 ? math_f64_rows[fn] : math_info[fn].tok;
    if (!rows) return export_wrong(w->x, w->op, "ONNX has no such function");
    Walk r = {w->x, rows, w->op, in, t, t, NULL, ARENA_ARRAY(w->x->arena, Term, SLOTS)};
    while (r.at->prim == P_LET) {
        CHECK(r.at->ref < SLOTS);
        if (begins_log(r.at)) {
            log_by_node(&r);
            continue;
        }
        const uint16_t slot = (r.at++)->ref;
        r.slot[slot] = walk(&r);
    }
    r.at += r.at->prim == P_RET;
    return walk(&r).as.text;
}

static Named function(const Walk *w, MathFn fn, DType t, const Term *in)
{
    Export *x = w->x;
    const Named v = in[0].as.text;
    if (functions[fn]) return export_node(x, functions[fn], (const Named[]){v, in[1].as.text}, math_info[fn].args, NULL, 0);
    switch (fn) {
    case FN_exp2: return NODE(x, "Pow", number(x, t, 2), v);
    case FN_expm1: return exp_less_1(x, t, v);
    case FN_log1p: return log_of_1_more(x, t, v);
    case FN_log2: return NODE(x, "Div", NODE(x, "Log", v), number(x, t, log(2)));
    case FN_log10: return NODE(x, "Div", NODE(x, "Log", v), number(x, t, log(10)));
    case FN_cbrt: return cube_root(x, t, v);
    default: return by_rows(w, fn, t, in);
    }
}

/* ---- primitives ------------------------------------------------------------------------------------------------------------- */

/* ONNX shifts unsigned integers alone, by less than their width; here what is beyond it is all shifted out. */
static Named shifted(const Walk *w, DType t, bool left, Named v, Named by)
{
    Export *x = w->x;
    static const DType as_unsigned[DT_COUNT] = {[DT_i8] = DT_u8, [DT_i16] = DT_u16, [DT_i32] = DT_u32, [DT_i64] = DT_u64};
    const DType u = as_unsigned[t] ? as_unsigned[t] : t;
    const double most = 8.0 * (double)dtype_bytes(t) - 1;
    const Given way = {.name = "direction", .text = left ? "LEFT" : "RIGHT"};
    const Named low = u != t && !left ? NODE(x, "Less", v, number(x, t, 0)) : NULL;
    if (low) v = NODE(x, "Where", low, NODE(x, "BitwiseNot", v), v);
    if (u != t) v = export_cast(x, v, u), by = export_cast(x, by, u);
    const bool within = w->second && *w->second >= 0 && (double)*w->second <= most;
    const Named beyond = within ? NULL : NODE(x, "Greater", by, number(x, u, most));
    if (beyond) by = NODE(x, "Min", by, number(x, u, most));
    Named y = export_node(x, "BitShift", OPERANDS(v, by), &way, 1);
    if (u != t) y = export_cast(x, y, t);
    if (beyond && !low) y = NODE(x, "Where", beyond, number(x, t, 0), y);
    return low ? NODE(x, "Where", low, NODE(x, "BitwiseNot", y), y) : y;
}

/* Of integers, cut off, and by 0 it is 0; ONNX leaves that open, and what the lowest number by -1 is. */
static Named divided(const Walk *w, DType t, bool rest, Named v, Named by)
{
    Export *x = w->x;
    const Given c = {.name = "fmod", .i = 1};
    if (w->second && *w->second != 0 && *w->second != -1)
        return rest ? export_node(x, "Mod", OPERANDS(v, by), &c, 1) : NODE(x, "Div", v, by);
    const Named zero = number(x, t, 0), one = number(x, t, 1), none = NODE(x, "Equal", by, zero);
    const Named minus = dtype_info[t].kind == DK_INT ? NODE(x, "Equal", by, number(x, t, -1)) : NULL;
    const Named to = NODE(x, "Where", minus ? NODE(x, "Or", none, minus) : none, one, by);
    Named y = rest ? export_node(x, "Mod", OPERANDS(v, to), &c, 1) : NODE(x, "Div", v, to);
    if (minus && !rest) y = NODE(x, "Where", minus, NODE(x, "Neg", v), y);
    return NODE(x, "Where", none, zero, y);
}

/* v times 2 to a power that t holds (scalar.def), in two halves, each of which is a float. */
static Named scaled(Export *x, DType t, Named v, Named held)
{
    const double bias = t == DT_f64 ? 0x1.8p52 + 2 * 1023 : 0x1.8p23 + 2 * 127;
    const Named n = NODE(x, "Sub", held, number(x, t, bias)), two = number(x, t, 2);
    const Named half = NODE(x, "Floor", NODE(x, "Mul", n, number(x, t, 0.5)));
    return NODE(x, "Mul", NODE(x, "Mul", v, NODE(x, "Pow", two, half)), NODE(x, "Pow", two, NODE(x, "Sub", n, half)));
}

/* to: the result's dtype */
static Named primitive(const Walk *w, Prim p, DType to, const Term *in)
{
    Export *x = w->x;
    const DType t = in[0].type;
    const Named a = in[0].as.text, b = in[1].as.text;
    const bool bools = t == DT_bool;
    if (primitives[p]) return export_node(x, primitives[p], (const Named[]){a, b, in[2].as.text}, prim_info[p].args, NULL, 0);
    switch (p) {
    case P_ne: return NODE(x, "Not", NODE(x, "Equal", a, b));
    case P_mad: return NODE(x, "Add", NODE(x, "Mul", a, b), in[2].as.text);
    case P_rare: return a;
    case P_trunc: return NODE(x, "Mul", NODE(x, "Sign", a), NODE(x, "Floor", NODE(x, "Abs", a)));
    case P_copysign: return NODE(x, "Where", has_sign(x, t, b), NODE(x, "Neg", NODE(x, "Abs", a)), NODE(x, "Abs", a));
    case P_fmod: return export_node(x, "Mod", OPERANDS(a, b), &(Given){.name = "fmod", .i = 1}, 1);
    case P_idiv: return divided(w, t, false, a, b);
    case P_irem: return divided(w, t, true, a, b);
    case P_and: return NODE(x, bools ? "And" : "BitwiseAnd", a, b);
    case P_or: return NODE(x, bools ? "Or" : "BitwiseOr", a, b);
    case P_xor: return NODE(x, bools ? "Xor" : "BitwiseXor", a, b);
    case P_not: return NODE(x, bools ? "Not" : "BitwiseNot", a);
    case P_shl: return shifted(w, t, true, a, b);
    case P_shr: return shifted(w, t, false, a, b);
    case P_scale: return scaled(x, t, a, b);
    case P_cvt: return export_converted(x, a, t, to, false);
    default: return export_wrong(x, w->op, "no operator of ONNX takes the bits of numbers so");
    }
}

static Term walk(Walk *w)
{
    const ScalarTok *tok = w->at++;
    const DType own = tok->type ? (DType)tok->type : w->type;
    if (tok->prim == P_ARG) return w->arg[tok->ref];
    if (tok->prim == P_SLOT) return w->slot[tok->ref];
    if (tok->prim == P_CONST) return term_of(own, number(w->x, own, tok->value));
    const bool fn = tok->prim == P_FN, sign = asks_sign(tok), high = takes_upper(tok);
    const int n = fn ? math_info[tok->ref].args : prim_info[tok->prim].args;
    Term in[3] = {{0}};
    if (sign) w->at++;
    if (high) {
        w->at += 4;
        return term_of(DT_f64, upper(w->x, w->slot[tok[3].ref].as.text));
    }
    for (int i = 0; i < n; i++) in[i] = walk(w);
    for (int i = 0; i < n; i++)
        if (!in[i].as.text) return term_of(DT_NONE, NULL);
    if (sign) return term_of(DT_bool, has_sign(w->x, in[0].type, in[0].as.text));
    if (fn) return term_of(in[0].type, function(w, (MathFn)tok->ref, in[0].type, in));
    const char result = prim_info[tok->prim].result;
    const DType to = result == 'B'   ? DT_bool
                     : result == 'O' ? (tok->type ? (DType)tok->type : w->to)
                                     : in[tok->prim == P_select].type;
    return term_of(to, primitive(w, (Prim)tok->prim, to, in));
}

const char *export_function(Op op)
{
    const ScalarTok *tok = op_def[op].value_f;
    if (!tok || tok[0].prim != P_FN || !functions[tok[0].ref]) return NULL;
    for (int i = 0; i < math_info[tok[0].ref].args; i++)
        if (tok[1 + i].prim != P_ARG || tok[1 + i].ref != i) return NULL;
    return functions[tok[0].ref];
}

Named export_expression(Export *x, const Node *n, DType t, const Named *in, const int64_t *second)
{
    const char *op = op_def[n->op].name;
    if (n->op == OP_silu) return NODE(x, "Mul", in[0], NODE(x, "Sigmoid", in[0]));
    const ScalarTok *value = dtype_is_float(t) ? op_def[n->op].value_f : op_def[n->op].value_i;
    if (!value) return export_wrong(x, op, "ONNX has no such operator");
    const DType to = (DType)type_of(x, n->out)->dtype;
    Term arg[3];
    for (uint32_t i = 0; i < n->nin; i++) arg[i] = term_of(export_dtype(x, in[i]), in[i]);
    Walk w = {x, value, op, arg, t, dtype_is_float(to) ? t : to, second, NULL};
    return walk(&w).as.text;
}
