/* emit_scalar: emits the primitives of scalar.def as LLVM instructions, on scalars and vectors alike, with exactly the meaning that
 * scalar.def gives them and no fast-math flag. Relies on gen. Never knows kernels. */
#include "cpu.h"

#include <math.h>
#include <stdio.h>

static LLVMTypeRef like(LLVMValueRef v, LLVMTypeRef element) { return gen_lanes(element, gen_lanes_of(v)); }

static LLVMValueRef int_like(Gen *g, LLVMValueRef v, int64_t x)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
    LLVMValueRef one = LLVMConstInt(vector ? LLVMGetElementType(t) : t, (unsigned long long)x, true);
    return vector ? gen_splat(g, one, LLVMGetVectorSize(t)) : one;
}

static LLVMValueRef unary(Gen *g, const char *name, LLVMValueRef a)
{
    LLVMTypeRef t = LLVMTypeOf(a);
    return gen_intrinsic(g, name, &t, 1, &a, 1);
}

/* ---- calls into libm, lane by lane ----------------------------------------------------------- */

static LLVMValueRef call(Gen *g, const char *name, LLVMTypeRef t, LLVMValueRef *args, uint32_t nargs)
{
    LLVMTypeRef params[2] = {t, t}, type = LLVMFunctionType(t, params, nargs, false);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name);
    if (!fn) {
        fn = LLVMAddFunction(g->module, name, type);
        unsigned id = LLVMGetEnumAttributeKindForName("nounwind", 8);
        LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->ctx, id, 0));
    }
    return LLVMBuildCall2(g->b, type, fn, args, nargs, "");
}

static LLVMValueRef call_lanes(Gen *g, const char *name, LLVMTypeRef t, LLVMValueRef a, LLVMValueRef b)
{
    uint32_t lanes = gen_lanes_of(a);
    LLVMValueRef all = LLVMGetPoison(gen_lanes(t, lanes));
    for (uint32_t i = 0; i < lanes; i++) {
        LLVMValueRef args[2] = {gen_lane(g, a, i), b ? gen_lane(g, b, i) : NULL};
        LLVMValueRef r = call(g, name, t, args, b ? 2 : 1);
        if (lanes == 1) return r;
        all = gen_set_lane(g, all, r, i);
    }
    return all;
}

/* ---- floats ---------------------------------------------------------------------------------- */

static LLVMValueRef mad(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (!g->machine->fma) return LLVMBuildFAdd(g->b, LLVMBuildFMul(g->b, a, b, ""), c, "");
    LLVMTypeRef t = LLVMTypeOf(a);
    return gen_intrinsic(g, "llvm.fma", &t, 1, (LLVMValueRef[]){a, b, c}, 3);
}

/* As scalar_c.h has it. */
static LLVMValueRef scale_in_two(Gen *g, DType t, LLVMValueRef x, LLVMValueRef sum)
{
    LLVMTypeRef type = LLVMTypeOf(x), bits = like(x, t == DT_f64 ? g->i64 : g->i32);
    LLVMValueRef n = LLVMBuildBitCast(g->b, sum, bits, ""), by = int_like(g, n, t == DT_f64 ? 52 : 23);
    LLVMValueRef half = LLVMBuildLShr(g->b, n, int_like(g, n, 1), ""), low = LLVMBuildShl(g->b, half, by, "");
    LLVMValueRef high = LLVMBuildShl(g->b, LLVMBuildSub(g->b, n, half, ""), by, "");
    x = LLVMBuildFMul(g->b, x, LLVMBuildBitCast(g->b, low, type, ""), "");
    return LLVMBuildFMul(g->b, x, LLVMBuildBitCast(g->b, high, type, ""), "");
}

/* AVX-512's instruction for one of its vectors, of 16, 32 or 64 bytes. */
static LLVMValueRef scale_vector(Gen *g, DType t, LLVMValueRef x, LLVMValueRef n)
{
    const uint32_t lanes = gen_lanes_of(x), bits = 8 * lanes * (uint32_t)dtype_bytes(t), nargs = bits == 512 ? 5 : 4;
    LLVMTypeRef v = LLVMTypeOf(x), mask = lanes > 8 ? g->i16 : g->i8, params[5] = {v, v, v, mask, g->i32};
    char name[40];
    snprintf(name, sizeof name, "llvm.x86.avx512.mask.scalef.p%c.%u", t == DT_f64 ? 'd' : 's', bits);
    LLVMTypeRef type = LLVMFunctionType(v, params, nargs, false);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name);
    if (!fn) fn = LLVMAddFunction(g->module, name, type);
    const unsigned as_set = 4; /* rounding as the thread's control register says */
    LLVMValueRef args[5] = {x, n, x, LLVMConstAllOnes(mask), LLVMConstInt(g->i32, as_set, false)};
    return LLVMBuildCall2(g->b, type, fn, args, nargs, "");
}

static LLVMValueRef scale(Gen *g, DType t, LLVMValueRef x, LLVMValueRef sum)
{
    const uint32_t lanes = gen_lanes_of(x), bytes = lanes * (uint32_t)dtype_bytes(t);
    if (!g->machine->scale || lanes == 1 || (bytes != 16 && bytes != 32 && bytes != 64)) return scale_in_two(g, t, x, sum);
    const Scalar bias = {.f = t == DT_f64 ? 0x1.80000000007fep+52 : 0x1.8001fcp+23};
    return scale_vector(g, t, x, LLVMBuildFSub(g->b, sum, gen_splat(g, gen_const(g, t, bias), lanes), ""));
}

static LLVMValueRef float_prim(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    switch (p) {
    case P_add: return LLVMBuildFAdd(g->b, a, b, "");
    case P_sub: return LLVMBuildFSub(g->b, a, b, "");
    case P_mul: return LLVMBuildFMul(g->b, a, b, "");
    case P_div: return LLVMBuildFDiv(g->b, a, b, "");
    case P_fmod: return call_lanes(g, t == DT_f64 ? "fmod" : "fmodf", gen_type(g, t), a, b);
    case P_mad: return mad(g, a, b, c);
    case P_scale: return scale(g, t, a, b);
    case P_neg: return LLVMBuildFNeg(g->b, a, "");
    case P_abs: return unary(g, "llvm.fabs", a);
    case P_sqrt: return unary(g, "llvm.sqrt", a);
    case P_floor: return unary(g, "llvm.floor", a);
    case P_ceil: return unary(g, "llvm.ceil", a);
    case P_trunc: return unary(g, "llvm.trunc", a);
    case P_rint: return unary(g, "llvm.rint", a);
    case P_copysign: return gen_intrinsic(g, "llvm.copysign", &type, 1, (LLVMValueRef[]){a, b}, 2);
    default: break;
    }
    status_fail(g->st, ST_UNSUPPORTED, "llvm: %s is not available for %s", prim_info[p].name, dtype_info[t].name);
    return LLVMGetPoison(type);
}

/* ---- integers -------------------------------------------------------------------------------- */

static LLVMValueRef is(Gen *g, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildICmp(g->b, LLVMIntEQ, a, b, ""); }

/* Divides by 1 where the division would trap: x/0, whose result 0 is chosen afterwards, and MIN/-1, which is MIN. */
static LLVMValueRef divide(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    bool is_signed = dtype_info[t].kind == DK_INT;
    LLVMValueRef zero = int_like(g, a, 0), one = int_like(g, a, 1), by_zero = is(g, b, zero), trap = by_zero;
    if (is_signed) {
        LLVMValueRef lowest = int_like(g, a, (int64_t)((uint64_t)1 << (dtype_info[t].bits - 1)));
        trap = gen_or(g, trap, gen_and(g, is(g, a, lowest), is(g, b, int_like(g, a, -1))));
    }
    LLVMValueRef d = gen_select(g, trap, one, b);
    if (p == P_irem) return is_signed ? LLVMBuildSRem(g->b, a, d, "") : LLVMBuildURem(g->b, a, d, "");
    LLVMValueRef q = is_signed ? LLVMBuildSDiv(g->b, a, d, "") : LLVMBuildUDiv(g->b, a, d, "");
    return gen_select(g, by_zero, zero, q);
}

static LLVMValueRef shift(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    int64_t bits = dtype_info[t].bits;
    LLVMValueRef fits = LLVMBuildICmp(g->b, LLVMIntULT, b, int_like(g, b, bits), "");
    if (p == P_shr && dtype_info[t].kind == DK_INT)
        return LLVMBuildAShr(g->b, a, gen_select(g, fits, b, int_like(g, b, bits - 1)), "");
    /* The count is clamped too: the constant folder must not see a shift too far. */
    LLVMValueRef n = LLVMIsConstant(b) ? gen_select(g, fits, b, int_like(g, b, 0)) : b;
    LLVMValueRef v = p == P_shl ? LLVMBuildShl(g->b, a, n, "") : LLVMBuildLShr(g->b, a, n, "");
    return gen_select(g, fits, v, int_like(g, a, 0));
}

/* Squares, bit by bit of the exponent: what a constant exponent does not need LLVM drops. */
static LLVMValueRef power(Gen *g, DType t, LLVMValueRef x, LLVMValueRef n)
{
    const bool is_signed = dtype_info[t].kind == DK_INT;
    LLVMValueRef zero = int_like(g, x, 0), one = int_like(g, x, 1), minus = int_like(g, x, -1), r = one, square = x;
    for (int bit = 0; bit < dtype_info[t].bits - is_signed; bit++) {
        LLVMValueRef has = LLVMBuildAnd(g->b, n, int_like(g, n, (int64_t)((uint64_t)1 << bit)), "");
        r = gen_select(g, is(g, has, zero), r, LLVMBuildMul(g->b, r, square, ""));
        square = LLVMBuildMul(g->b, square, square, "");
    }
    if (!is_signed) return r;
    LLVMValueRef even = is(g, LLVMBuildAnd(g->b, n, one, ""), zero), of_minus = gen_select(g, even, one, minus);
    LLVMValueRef below = gen_select(g, is(g, x, one), one, gen_select(g, is(g, x, minus), of_minus, zero));
    return gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, n, zero, ""), below, r);
}

static LLVMValueRef high_half(Gen *g, LLVMValueRef a) { return LLVMBuildLShr(g->b, a, int_like(g, a, 32), ""); }

static LLVMValueRef low_half(Gen *g, LLVMValueRef a) { return gen_and(g, a, int_like(g, a, UINT32_MAX)); }

/* As scalar_c.h has it: there are no vectors of 128-bit products. */
static LLVMValueRef mulhi_halves(Gen *g, LLVMValueRef x, LLVMValueRef y)
{
    LLVMValueRef a = high_half(g, x), b = low_half(g, x), c = high_half(g, y), d = low_half(g, y);
    LLVMValueRef cross = gen_add(g, LLVMBuildMul(g->b, a, d, ""), high_half(g, LLVMBuildMul(g->b, b, d, "")));
    LLVMValueRef other = gen_add(g, LLVMBuildMul(g->b, b, c, ""), low_half(g, cross));
    return gen_add(g, gen_add(g, LLVMBuildMul(g->b, a, c, ""), high_half(g, cross)), high_half(g, other));
}

static LLVMValueRef mulhi(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b)
{
    if (t == DT_u64) return mulhi_halves(g, a, b);
    LLVMTypeRef wide = like(a, g->i64);
    LLVMValueRef p = LLVMBuildMul(g->b, LLVMBuildZExt(g->b, a, wide, ""), LLVMBuildZExt(g->b, b, wide, ""), "");
    return LLVMBuildTrunc(g->b, high_half(g, p), LLVMTypeOf(a), "");
}

static LLVMValueRef int_prim(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    switch (p) {
    case P_add: return LLVMBuildAdd(g->b, a, b, "");
    case P_sub: return LLVMBuildSub(g->b, a, b, "");
    case P_mul: return LLVMBuildMul(g->b, a, b, "");
    case P_idiv:
    case P_irem: return divide(g, p, t, a, b);
    case P_ipow: return power(g, t, a, b);
    case P_mulhi: return mulhi(g, t, a, b);
    case P_neg: return LLVMBuildNeg(g->b, a, "");
    case P_abs:
        if (dtype_info[t].kind != DK_INT) return a;
        return gen_intrinsic(g, "llvm.abs", &type, 1, (LLVMValueRef[]){a, LLVMConstNull(g->i1)}, 2);
    case P_and: return gen_and(g, a, b);
    case P_or: return gen_or(g, a, b);
    case P_xor: return LLVMBuildXor(g->b, a, b, "");
    case P_not: return LLVMBuildNot(g->b, a, "");
    case P_shl:
    case P_shr: return shift(g, p, t, a, b);
    default: break;
    }
    status_fail(g->st, ST_UNSUPPORTED, "llvm: %s is not available for %s", prim_info[p].name, dtype_info[t].name);
    return LLVMGetPoison(type);
}

/* ---- comparison and conversion --------------------------------------------------------------- */

static LLVMValueRef compare(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    static const LLVMRealPredicate real[] = {LLVMRealOLT, LLVMRealOLE, LLVMRealOGT, LLVMRealOGE, LLVMRealOEQ, LLVMRealUNE};
    static const LLVMIntPredicate sint[] = {LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE, LLVMIntEQ, LLVMIntNE};
    static const LLVMIntPredicate uint[] = {LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE, LLVMIntEQ, LLVMIntNE};
    if (dtype_is_float(t)) return LLVMBuildFCmp(g->b, real[p - P_lt], a, b, "");
    return LLVMBuildICmp(g->b, (dtype_info[t].kind == DK_INT ? sint : uint)[p - P_lt], a, b, "");
}

/* A vector of floats to integers: truncated, the nearest end where that is out of range, NaN to 0. LLVM's own saturating
 * conversion takes vectors apart. */
static LLVMValueRef to_integers(Gen *g, DType from, DType to, LLVMValueRef a, LLVMTypeRef out)
{
    const bool is_signed = dtype_info[to].kind == DK_INT;
    const int bits = dtype_info[to].bits - is_signed;
    const int64_t most = (int64_t)(UINT64_MAX >> (64 - bits)), least = is_signed ? -most - 1 : 0;
    const Scalar over = {.f = ldexp(1, bits)}, low = {.f = (double)least};
    LLVMValueRef end = gen_splat(g, gen_const(g, from, over), gen_lanes_of(a)),
                 start = gen_splat(g, gen_const(g, from, low), gen_lanes_of(a));
    LLVMValueRef v = is_signed ? LLVMBuildFPToSI(g->b, a, out, "") : LLVMBuildFPToUI(g->b, a, out, "");
    v = gen_select(g, LLVMBuildFCmp(g->b, LLVMRealOGT, a, start, ""), v, int_like(g, v, least));
    v = gen_select(g, LLVMBuildFCmp(g->b, LLVMRealOGE, a, end, ""), int_like(g, v, most), v);
    return gen_select(g, LLVMBuildFCmp(g->b, LLVMRealUNO, a, a, ""), int_like(g, v, 0), v);
}

static LLVMValueRef convert_float(Gen *g, DType t, DType to, LLVMValueRef a, LLVMTypeRef out)
{
    if (to == DT_bool) return LLVMBuildFCmp(g->b, LLVMRealUNE, a, LLVMConstNull(LLVMTypeOf(a)), "");
    if (dtype_is_float(to)) return to == DT_f64 ? LLVMBuildFPExt(g->b, a, out, "") : LLVMBuildFPTrunc(g->b, a, out, "");
    if (gen_lanes_of(a) > 1) return to_integers(g, t, to, a, out);
    LLVMTypeRef types[2] = {out, LLVMTypeOf(a)};
    return gen_intrinsic(g, dtype_info[to].kind == DK_INT ? "llvm.fptosi.sat" : "llvm.fptoui.sat", types, 2, &a, 1);
}

static LLVMValueRef convert(Gen *g, DType t, DType to, LLVMValueRef a)
{
    LLVMTypeRef out = like(a, gen_type(g, to));
    bool is_signed = dtype_info[t].kind == DK_INT;
    if (gen_type(g, t) == gen_type(g, to)) return a;
    if (dtype_is_float(t)) return convert_float(g, t, to, a, out);
    if (to == DT_bool) return LLVMBuildICmp(g->b, LLVMIntNE, a, LLVMConstNull(LLVMTypeOf(a)), "");
    if (dtype_is_float(to)) return is_signed ? LLVMBuildSIToFP(g->b, a, out, "") : LLVMBuildUIToFP(g->b, a, out, "");
    if (dtype_info[to].bits < dtype_info[t].bits) return LLVMBuildTrunc(g->b, a, out, "");
    return is_signed ? LLVMBuildSExt(g->b, a, out, "") : LLVMBuildZExt(g->b, a, out, "");
}

LLVMValueRef emit_prim(Gen *g, Prim p, DType t, DType to, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    switch (p) {
    case P_lt:
    case P_le:
    case P_gt:
    case P_ge:
    case P_eq:
    case P_ne: return compare(g, p, t, a, b);
    case P_select: return gen_select(g, a, b, c);
    case P_rare: return a;
    case P_bits:
    case P_floatbits: return LLVMBuildBitCast(g->b, a, like(a, gen_type(g, to)), "");
    case P_cvt: return convert(g, t, to, a);
    default: return dtype_is_float(t) ? float_prim(g, p, t, a, b, c) : int_prim(g, p, t, a, b);
    }
}

/* ---- narrow floats and bools in memory ------------------------------------------------------- */

typedef struct Lanes {
    Gen *g;
    uint32_t count;
} Lanes;

static Term lanes_const(void *to, DType t, Scalar v)
{
    const Lanes *l = to;
    return (Term){t, {.value = gen_splat(l->g, gen_const(l->g, t, v), l->count)}};
}

static Term lanes_prim(void *to, Prim p, DType result, const Term *in)
{
    const Lanes *l = to;
    return (Term){result, {.value = emit_prim(l->g, p, in[0].type, result, in[0].as.value, in[1].as.value, in[2].as.value)}};
}

/* Calls a function of narrow.def for each lane. */
static LLVMValueRef converted(Gen *g, const ScalarTok *fn, DType from, LLVMValueRef v)
{
    Lanes lanes = {g, gen_lanes_of(v)};
    const ScalarSink sink = {&lanes, lanes_const, lanes_prim};
    return scalar_expand(&sink, fn, from, DT_f32, &(Term){from, {.value = v}}).as.value;
}

LLVMValueRef emit_from_memory(Gen *g, DType t, LLVMValueRef v)
{
    if (t == DT_bool) return LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    if (t == DT_f16 && g->machine->f16c)
        return LLVMBuildFPExt(g->b, LLVMBuildBitCast(g->b, v, like(v, g->half), ""), like(v, g->f32), "");
    if (!narrow_fns[t].widen) return v;
    return converted(g, narrow_fns[t].widen, DT_u32, LLVMBuildZExt(g->b, v, like(v, g->i32), ""));
}

LLVMValueRef emit_to_memory(Gen *g, DType t, LLVMValueRef v)
{
    LLVMTypeRef type = like(v, gen_mem_type(g, t));
    if (t == DT_bool) return LLVMBuildZExt(g->b, v, type, "");
    if (t == DT_f16 && g->machine->f16c) return LLVMBuildBitCast(g->b, LLVMBuildFPTrunc(g->b, v, like(v, g->half), ""), type, "");
    if (!narrow_fns[t].narrow) return v;
    return LLVMBuildTrunc(g->b, converted(g, narrow_fns[t].narrow, DT_f32, v), type, "");
}
