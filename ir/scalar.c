/* scalar: tables of the primitives and elementary functions, and the evaluator that the constant
 * fold, the reference and the tests use. Bit for bit what compiled code computes: f32 is rounded
 * after each primitive, integers wrap to their width. Relies on dtype, scalar_c and libm. Never
 * allocates. */
#include "scalar.h"

#include "scalar_c.h"

const PrimInfo prim_info[P_COUNT] = {
#define PRIM(name, args, result, domain, op) [P_##name] = {#name, args, #result[0], #domain[0]},
#include "scalar.def"
#undef PRIM
};

#include "scalar_tok.h"
enum { SLOTS_MAX = 128 };
/* Slots are numbered from 0 on in each function. */
/* clang-format off */
#define MATH_BEGIN(fn, args) enum {
#define LET(fn, name, type, expr) SLOT_##fn##_##name,
#define MATH_END(fn, ...) SLOTS_##fn }; _Static_assert((int)SLOTS_##fn <= (int)SLOTS_MAX, "too many lets: raise SLOTS_MAX");
/* clang-format on */
#define NARROW_BEGIN(fn, from, to) MATH_BEGIN(fn, 1)
#define NARROW_END(fn, ...) MATH_END(fn, __VA_ARGS__)
#include "math.def"
#include "math64.def"
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
#include "math64.def"
#include "narrow.def"
#undef MATH_BEGIN
#undef LET
#undef MATH_END
#undef NARROW_BEGIN
#undef NARROW_END
#include "scalar_undef.h"

const ScalarTok *const math_f64_rows[FN_COUNT] = {
#define MATH_F64(fn, args) [FN_##fn] = tok_##fn##64,
#define MATH_OWN(fn) MATH_F64(fn, 1)
#include "math64.def"
#undef MATH_F64
#undef MATH_OWN
};
#define F64_1(fn) fn, NULL
#define F64_2(fn) NULL, fn
const MathInfo math_info[FN_COUNT] = {
#define MATH_F64(fn, args) [FN_##fn] = {#fn, args, tok_##fn, F64_##args(fn)},
#define MATH_OWN(fn) [FN_##fn] = {#fn, 1, tok_##fn, NULL, NULL},
#include "math64.def"
#undef MATH_F64
#undef MATH_OWN
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

/* ---- one primitive: the C that its row means, on C's own types --------------------------------- */

static inline float own_mad_f32(float x, float y, float z) { return cpu_has_fma() ? fmaf(x, y, z) : x * y + z; }
static inline double own_mad_f64(double x, double y, double z) { return cpu_has_fma() ? fma(x, y, z) : x * y + z; }

#define SCALAR_MAD own_mad
#include "scalar_paste.h"
#define GIVES_T(member, v)           \
    {                                \
        .member = (__typeof__(x))(v) \
    }
#define GIVES_B(member, v) \
    {                      \
        .i = (v)           \
    }
#define MADE_T YES
#define MADE_B YES
#define MADE_O NO /* these are prim_eval's own */
/* clang-format off */
#define CASE(t, member, name, args, result) \
    case DT_##t: { \
        const c_##t x = (c_##t)a.member, y = (c_##t)b.member, z = (c_##t)c.member; \
        (void)x, (void)y, (void)z; \
        return (Scalar)GIVES_##result(member, C_CALL(name, args)); \
    }
#define FLOATS(...) CASE(f32, f, __VA_ARGS__) CASE(f64, f, __VA_ARGS__)
#define INTS(...) \
    CASE(i8, i, __VA_ARGS__) CASE(i16, i, __VA_ARGS__) CASE(i32, i, __VA_ARGS__) CASE(i64, i, __VA_ARGS__) \
    CASE(u8, u, __VA_ARGS__) CASE(u16, u, __VA_ARGS__) CASE(u32, u, __VA_ARGS__) CASE(u64, u, __VA_ARGS__)
#define PRIM(name, args, result, domain, op) \
    MADE_##result(static Scalar eval_##name(DType t, Scalar a, Scalar b, Scalar c) { \
        switch (t) { \
            IN(domain, FLOAT)(FLOATS(name, args, result)) \
            IN(domain, INT)(INTS(name, args, result)) \
            IN(domain, BOOL)(CASE(bool, u, name, args, result)) \
        default: CHECK(!"a type that " #name " takes"); return a; \
        } \
    })
/* clang-format on */
#include "scalar.def"
#undef PRIM
#include "scalar_undef.h"

static Scalar (*const prim_fn[P_COUNT])(DType, Scalar, Scalar, Scalar) = {
#define PRIM(name, args, result, ...) MADE_##result([P_##name] = eval_##name, )
#include "scalar.def"
#undef PRIM
};

static Scalar of_float(DType t, double v) { return (Scalar){.f = t == DT_f64 ? v : (double)(float)v}; }

/* An integer of type t: of the float f, or of the integer i. */
static Scalar to_int(DType t, bool from_float, double f, int64_t i)
{
#define CASE_INT(t) \
    case DT_##t: return (Scalar){.i = from_float ? (int64_t)cvt_f64_##t(f) : (int64_t)(c_##t)i};
    switch (t) {
    case DT_bool:
        return (Scalar){.i = from_float ? f != 0 : i != 0};
        CASE_INT(i8)
        CASE_INT(i16)
        CASE_INT(i32)
        CASE_INT(u8)
        CASE_INT(u16)
        CASE_INT(u32)
        CASE_INT(u64)
    default: return (Scalar){.i = from_float ? cvt_f64_i64(f) : i};
    }
}
static Scalar of_int(DType t, int64_t v) { return to_int(t, false, 0, v); }

static Scalar convert(DType t, DType to, Scalar a)
{
    if (!dtype_is_float(to)) return to_int(to, dtype_is_float(t), a.f, a.i);
    if (dtype_is_float(t)) return of_float(to, a.f);
    if (t == DT_u64) return (Scalar){.f = to == DT_f64 ? (double)a.u : (double)(float)a.u};
    return (Scalar){.f = to == DT_f64 ? (double)a.i : (double)(float)a.i};
}

Scalar prim_eval(Prim p, DType t, DType to, Scalar a, Scalar b, Scalar c)
{
    t = (DType)dtype_info[t].compute;
    to = (DType)dtype_info[to].compute;
    switch (p) {
    case P_select: return a.i != 0 ? b : c;
    case P_bits: return of_int(to, t == DT_f64 ? (int64_t)bits_f64(a.f) : (int64_t)bits_f32((float)a.f));
    case P_floatbits: return (Scalar){.f = to == DT_f64 ? floatbits_f64(a.u) : (double)floatbits_f32((uint32_t)a.u)};
    case P_cvt: return convert(t, to, a);
    default: return prim_fn[p](t, a, b, c);
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

Scalar scalar_bitcast(DType from, DType to, Scalar a)
{
    uint64_t room = 0;
    if (dtype_is_float(from))
        dtype_store_f64(from, &room, a.f);
    else
        dtype_store_i64(from, &room, a.i);
    if (dtype_is_float(to)) return (Scalar){.f = dtype_load_f64(to, &room)};
    return (Scalar){.i = dtype_load_i64(to, &room)};
}

/* ---- expressions -------------------------------------------------------------------------------- */

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
    if (fn) {
        const ScalarTok *rows = in[0].type == DT_f32 ? math_info[tok->ref].tok : math_f64_rows[tok->ref];
        return scalar_expand(w->sink, rows, in[0].type, in[0].type, in);
    }
    char result = prim_info[tok->prim].result;
    DType to = result == 'B' ? DT_bool : result == 'O' ? (tok->type ? (DType)tok->type : w->to) : in[tok->prim == P_select].type;
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

Scalar scalar_eval(const ScalarTok *expr, DType t, DType to, const Scalar *args)
{
    const ScalarSink sink = {NULL, eval_constant, eval_prim};
    t = (DType)dtype_info[t].compute;
    Term in[3] = {{t, {{0}}}, {t, {{0}}}, {t, {{0}}}};
    const ScalarTok *at = expr;
    for (int left = 1; left > 0; left += arity(at++) - 1)
        if (at->prim == P_ARG) in[at->ref].as.scalar = args[at->ref];
    return scalar_expand(&sink, expr, t, (DType)dtype_info[to].compute, in).as.scalar;
}
