/* scalar: tables of the primitives and elementary functions, and the evaluator that the constant
 * fold, the reference and the tests use. Bit for bit what compiled code computes: f32 is rounded
 * after each primitive, integers wrap to their width. Relies on dtype, scalar_c and libm. Never
 * allocates. */
#include "scalar.h"

#include "scalar_c.h"

const PrimInfo prim_info[P_COUNT] = {
#define PRIM(name, args, result) [P_##name] = {#name, args, #result[0]},
#include "scalar.def"
#undef PRIM
};

#include "scalar_tok.h"
enum { SLOTS_MAX = 64 };
/* Slots are numbered from 0 on in each function. */
/* clang-format off */
#define MATH_BEGIN(fn, args) enum {
#define LET(fn, name, type, expr) SLOT_##fn##_##name,
#define MATH_END(fn, ...) SLOTS_##fn }; _Static_assert((int)SLOTS_##fn <= (int)SLOTS_MAX, "too many lets: raise SLOTS_MAX");
/* clang-format on */
#define NARROW_BEGIN(fn, from, to) MATH_BEGIN(fn, 1)
#define NARROW_END(fn, ...) MATH_END(fn, __VA_ARGS__)
#include "math.def"
#include "narrow.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#define MATH_BEGIN(fn, args) static const ScalarTok tok_##fn[] = {
#define LET(fn, name, type, expr) {P_LET, DT_##type, SLOT_##fn##_##name, 0}, expr,
#define MATH_END(fn, ...)                                         \
    {P_RET, DT_NONE, 0, 0}, __VA_ARGS__, { P_END, DT_NONE, 0, 0 } \
    }                                                             \
    ;
#include "math.def"
#include "narrow.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#undef NARROW_BEGIN
#undef NARROW_END
#include "scalar_undef.h"

#define F64_1(fn) fn, NULL
#define F64_2(fn) NULL, fn
const MathInfo math_info[FN_COUNT] = {
#define MATH_BEGIN(fn, args) [FN_##fn] = {#fn, args, tok_##fn, F64_##args(fn)},
#define LET(fn, name, type, expr)
#define MATH_END(fn, expr)
#include "math.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
};

const NarrowFns narrow_fns[DT_COUNT] = {
#define DTYPE_NARROW(t, ...) [DT_##t] = {tok_widen_##t, tok_narrow_##t, tok_round_##t},
#include "../runtime/dtype.def"
};

/* The x86 kernels come in two kinds, baseline and AVX2 with FMA; a CPU with only one of both runs
 * the baseline. */
bool cpu_has_fma(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return true;
#else
    return false;
#endif
}

/* ---- one primitive
 * --------------------------------------------------------------------------------- */

static double mad(bool single, double a, double b, double c)
{
    if (cpu_has_fma()) return single ? (double)fmaf((float)a, (float)b, (float)c) : fma(a, b, c);
    if (single) return (double)((float)(a * b) + (float)c);
    return a * b + c;
}

/* For f32 too: rounding the double result of one of these on f32 operands once more is exact
 * rounding (53 >= 2 * 24 + 2). */
static double eval_float(Prim p, bool single, double a, double b, double c)
{
    switch (p) {
    case P_add: return a + b;
    case P_sub: return a - b;
    case P_mul: return a * b;
    case P_div: return a / b;
    case P_fmod: return fmod(a, b);
    case P_mad: return mad(single, a, b, c);
    case P_neg: return -a;
    case P_abs: return fabs(a);
    case P_sqrt: return sqrt(a);
    case P_floor: return floor(a);
    case P_ceil: return ceil(a);
    case P_trunc: return trunc(a);
    case P_rint: return rint(a);
    case P_copysign: return copysign(a, b);
    default: CHECK(!"a primitive of floats"); return (double)NAN;
    }
}

static int64_t wrap(DType t, int64_t v)
{
    switch (t) {
    case DT_bool: return v != 0;
    case DT_u8: return (uint8_t)v;
    case DT_i8: return (int8_t)v;
    case DT_u16: return (uint16_t)v;
    case DT_i16: return (int16_t)v;
    case DT_u32: return (uint32_t)v;
    case DT_i32: return (int32_t)v;
    default: return v;
    }
}

/* Quotient and remainder; x/0 = 0 and x rem 0 = 0, and what divides by -1 negates instead (MIN /
 * -1 would trap). */
static int64_t eval_div(Prim p, bool is_signed, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    if (b == 0) return 0;
    if (!is_signed) return (int64_t)(p == P_idiv ? x / y : x % y);
    if (b == -1) return p == P_idiv ? (int64_t)(0 - x) : 0;
    return p == P_idiv ? a / b : a % b;
}

/* A negative count is, in two's complement, a huge one. */
static int64_t eval_shift(Prim p, bool is_signed, uint64_t bits, int64_t a, int64_t b)
{
    uint64_t n = (uint64_t)b;
    if (p == P_shl) return n < bits ? (int64_t)((uint64_t)a << n) : 0;
    if (is_signed) return a >> (n < bits ? n : bits - 1);
    return n < bits ? (int64_t)((uint64_t)a >> n) : 0;
}

static int64_t eval_int(Prim p, DType t, int64_t a, int64_t b)
{
    bool is_signed = dtype_info[t].kind == DK_INT;
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (p) {
    case P_add: return (int64_t)(x + y);
    case P_sub: return (int64_t)(x - y);
    case P_mul: return (int64_t)(x * y);
    case P_idiv:
    case P_irem: return eval_div(p, is_signed, a, b);
    case P_mulhi: return (int64_t)((x * y) >> 32);
    case P_neg: return (int64_t)(0 - x);
    case P_abs: return is_signed && a < 0 ? (int64_t)(0 - x) : a;
    case P_floor:
    case P_ceil:
    case P_trunc:
    case P_rint: return a;
    case P_and: return a & b;
    case P_or: return a | b;
    case P_xor: return a ^ b;
    case P_not: return t == DT_bool ? !a : ~a;
    case P_shl:
    case P_shr: return eval_shift(p, is_signed, dtype_info[t].bits, a, b);
    default: CHECK(!"a primitive of integers"); return 0;
    }
}

#define COMPARE(a, b)            \
    (p == P_lt      ? (a) < (b)  \
        : p == P_le ? (a) <= (b) \
        : p == P_gt ? (a) > (b)  \
        : p == P_ge ? (a) >= (b) \
        : p == P_eq ? (a) == (b) \
                    : (a) != (b))
static bool compare(Prim p, DType t, Scalar a, Scalar b)
{
    if (dtype_is_float(t)) return COMPARE(a.f, b.f);
    return dtype_info[t].kind == DK_INT ? COMPARE(a.i, b.i) : COMPARE(a.u, b.u);
}
#undef COMPARE

static Scalar of_float(DType t, double v) { return (Scalar){.f = t == DT_f64 ? v : (double)(float)v}; }
static Scalar of_int(DType t, int64_t v) { return (Scalar){.i = wrap(t, v)}; }

static int64_t float_to_int(DType to, double v)
{
    switch (to) {
    case DT_bool: return v != 0;
    case DT_u8: return cvt_float_c_u8(v);
    case DT_i8: return cvt_float_c_i8(v);
    case DT_u16: return cvt_float_c_u16(v);
    case DT_i16: return cvt_float_c_i16(v);
    case DT_u32: return cvt_float_c_u32(v);
    case DT_i32: return cvt_float_c_i32(v);
    case DT_u64: return (int64_t)cvt_float_c_u64(v);
    default: return cvt_float_c_i64(v);
    }
}

static Scalar convert(DType t, DType to, Scalar a)
{
    if (dtype_is_float(t)) return dtype_is_float(to) ? of_float(to, a.f) : (Scalar){.i = float_to_int(to, a.f)};
    if (!dtype_is_float(to)) return of_int(to, a.i);
    if (t == DT_u64) return (Scalar){.f = to == DT_f64 ? (double)a.u : (double)(float)a.u};
    return (Scalar){.f = to == DT_f64 ? (double)a.i : (double)(float)a.i};
}

static Scalar reinterpret(Prim p, DType t, DType to, Scalar a)
{
    if (p == P_bits) return of_int(to, t == DT_f64 ? (int64_t)bits_f64(a.f) : (int64_t)bits_f32((float)a.f));
    return (Scalar){.f = to == DT_f64 ? floatbits_f64(a.u) : (double)floatbits_f32((uint32_t)a.u)};
}

Scalar prim_eval(Prim p, DType t, DType to, Scalar a, Scalar b, Scalar c)
{
    t = (DType)dtype_info[t].compute;
    to = (DType)dtype_info[to].compute;
    switch (p) {
    case P_lt:
    case P_le:
    case P_gt:
    case P_ge:
    case P_eq:
    case P_ne: return (Scalar){.i = compare(p, t, a, b)};
    case P_select: return a.i != 0 ? b : c;
    case P_bits:
    case P_floatbits: return reinterpret(p, t, to, a);
    case P_cvt: return convert(t, to, a);
    default:
        if (dtype_is_float(t)) return of_float(t, eval_float(p, t != DT_f64, a.f, b.f, c.f));
        return of_int(t, eval_int(p, t, a.i, b.i));
    }
}

static Scalar cast_once(DType from, DType to, Scalar a)
{
    uint64_t room = 0;
    if (dtype_info[to].compute == to) return prim_eval(P_cvt, from, to, a, a, a);
    if (dtype_is_float(from))
        dtype_store_f64(to, &room, a.f);
    else if (from == DT_u64)
        dtype_store_u64(to, &room, a.u);
    else
        dtype_store_i64(to, &room, a.i);
    return (Scalar){.f = dtype_load_f64(to, &room)};
}

Scalar scalar_cast(DType from, DType to, bool saturate, Scalar a)
{
    const double most = dtype_info[to].largest;
    Scalar r = cast_once(from, to, a);
    if (!saturate || fabs(r.f) <= most || (dtype_is_float(from) && isnan(a.f))) return r;
    return (Scalar){.f = (dtype_is_float(from) ? a.f < 0 : dtype_info[from].kind == DK_INT && a.i < 0) ? -most : most};
}

/* ---- expressions
 * ------------------------------------------------------------------------------------ */

typedef struct Walk {
    const ScalarSink *sink;
    const ScalarTok *at;
    DType t, to;
    const Term *args;
    Term slot[SLOTS_MAX];
} Walk;

static Scalar constant(DType t, double v)
{
    if (dtype_is_float(t)) return of_float(t, v);
    return of_int(t, v >= 0x1p63 ? (int64_t)(uint64_t)v : (int64_t)v); /* beyond i64: a u64 */
}

/* How many expressions follow a token. */
static int arity(const ScalarTok *tok)
{
    if (tok->prim == P_FN) return math_info[tok->ref].args;
    return tok->prim < P_COUNT ? prim_info[tok->prim].args : 0;
}

static Term expand(Walk *w)
{
    const ScalarTok *tok = w->at++;
    const DType own = tok->type ? (DType)tok->type : w->t;
    if (tok->prim == P_ARG) return w->args[tok->ref];
    if (tok->prim == P_SLOT) return w->slot[tok->ref];
    if (tok->prim == P_CONST) return w->sink->constant(w->sink->to, own, constant(own, tok->value));
    bool fn = tok->prim == P_FN;
    Term in[3] = {0};
    for (int i = 0; i < arity(tok); i++) in[i] = expand(w);
    if (fn && in[0].type != DT_f32) return w->sink->call(w->sink->to, (MathFn)tok->ref, in);
    if (fn) return scalar_expand(w->sink, math_info[tok->ref].tok, DT_f32, DT_f32, in);
    char result = prim_info[tok->prim].result;
    DType to = result == 'B' ? DT_bool : result == '*' ? (tok->type ? (DType)tok->type : w->to) : in[tok->prim == P_select].type;
    return w->sink->prim(w->sink->to, (Prim)tok->prim, to, in);
}

Term scalar_expand(const ScalarSink *sink, const ScalarTok *tok, DType t, DType to, const Term *args)
{
    Walk w;
    w.sink = sink, w.at = tok, w.t = t, w.to = to, w.args = args;
    while (w.at->prim == P_LET) {
        uint16_t ref = (w.at++)->ref;
        w.slot[ref] = expand(&w);
    }
    w.at += w.at->prim == P_RET;
    return expand(&w);
}

static Term eval_constant(void *to, DType t, Scalar v)
{
    (void)to;
    return (Term){t, {v}};
}

static Term eval_prim(void *to, Prim p, DType result, const Term *in)
{
    (void)to;
    return (Term){result, {prim_eval(p, in[0].type, result, in[0].as.scalar, in[1].as.scalar, in[2].as.scalar)}};
}

static Term eval_call(void *to, MathFn fn, const Term *in)
{
    const MathInfo *m = &math_info[fn];
    (void)to;
    return (Term){DT_f64, {{.f = m->args == 1 ? m->f64(in[0].as.scalar.f) : m->f64_2(in[0].as.scalar.f, in[1].as.scalar.f)}}};
}

Scalar scalar_eval(const ScalarTok *expr, DType t, DType to, const Scalar *args)
{
    const ScalarSink sink = {NULL, eval_constant, eval_prim, eval_call};
    t = (DType)dtype_info[t].compute;
    Term in[3] = {{t, {{0}}}, {t, {{0}}}, {t, {{0}}}};
    const ScalarTok *at = expr;
    for (int left = 1; left > 0; left += arity(at++) - 1)
        if (at->prim == P_ARG) in[at->ref].as.scalar = args[at->ref];
    return scalar_expand(&sink, expr, t, (DType)dtype_info[to].compute, in).as.scalar;
}
