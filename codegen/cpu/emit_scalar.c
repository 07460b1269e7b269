/* emit_scalar: the primitives of scalar.def as LLVM instructions, on scalars and vectors alike,
 * with exactly the meaning that scalar.def gives them and no fast-math flag. Relies on gen.
 * Never knows kernels. */
#include "cpu.h"

static LLVMTypeRef like(LLVMValueRef v, LLVMTypeRef element)
{
    return gen_lanes(element, gen_lanes_of(v));
}

static LLVMValueRef int_like(Gen *g, LLVMValueRef v, int64_t x)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
    LLVMValueRef one =
        LLVMConstInt(vector ? LLVMGetElementType(t) : t, (unsigned long long)x, true);
    return vector ? gen_splat(g, one, LLVMGetVectorSize(t)) : one;
}

static LLVMValueRef unary(Gen *g, const char *name, LLVMValueRef a)
{
    LLVMTypeRef t = LLVMTypeOf(a);
    return gen_intrinsic(g, name, &t, 1, &a, 1);
}

/* ---- calls into libm, lane by lane ----------------------------------------------------------- */

static LLVMValueRef call(
    Gen *g, const char *name, LLVMTypeRef t, LLVMValueRef *args, uint32_t nargs)
{
    LLVMTypeRef params[2] = {t, t}, type = LLVMFunctionType(t, params, nargs, false);
    LLVMValueRef fn = LLVMGetNamedFunction(g->module, name);
    if (!fn) {
        fn = LLVMAddFunction(g->module, name, type);
        unsigned id = LLVMGetEnumAttributeKindForName("nounwind", 8);
        LLVMAddAttributeAtIndex(
            fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->ctx, id, 0));
    }
    return LLVMBuildCall2(g->b, type, fn, args, nargs, "");
}

static LLVMValueRef call_lanes(
    Gen *g, const char *name, LLVMTypeRef t, LLVMValueRef a, LLVMValueRef b)
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

LLVMValueRef emit_math(Gen *g, MathFn fn, LLVMValueRef a, LLVMValueRef b)
{
    return call_lanes(g, math_info[fn].name, g->f64, a, math_info[fn].args == 2 ? b : NULL);
}

/* ---- floats ---------------------------------------------------------------------------------- */

static LLVMValueRef mad(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (!g->machine->fma) return LLVMBuildFAdd(g->b, LLVMBuildFMul(g->b, a, b, ""), c, "");
    LLVMTypeRef t = LLVMTypeOf(a);
    return gen_intrinsic(g, "llvm.fma", &t, 1, (LLVMValueRef[]){a, b, c}, 3);
}

static LLVMValueRef float_prim(
    Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    switch (p) {
    case P_add: return LLVMBuildFAdd(g->b, a, b, "");
    case P_sub: return LLVMBuildFSub(g->b, a, b, "");
    case P_mul: return LLVMBuildFMul(g->b, a, b, "");
    case P_div: return LLVMBuildFDiv(g->b, a, b, "");
    case P_fmod: return call_lanes(g, t == DT_f64 ? "fmod" : "fmodf", gen_type(g, t), a, b);
    case P_mad: return mad(g, a, b, c);
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
    status_fail(g->st, ST_UNSUPPORTED, "llvm: %s of %s", prim_info[p].name, dtype_info[t].name);
    return LLVMGetPoison(type);
}

/* ---- integers -------------------------------------------------------------------------------- */

static LLVMValueRef is(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(g->b, LLVMIntEQ, a, b, "");
}

/* By 1 instead of what would trap: x/0 (whose result 0 is chosen afterwards) and MIN/-1 (which
 * is MIN). */
static LLVMValueRef divide(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    bool is_signed = dtype_info[t].kind == DK_INT;
    LLVMValueRef zero = int_like(g, a, 0), one = int_like(g, a, 1), by_zero = is(g, b, zero),
                 trap = by_zero;
    if (is_signed) {
        LLVMValueRef lowest =
            int_like(g, a, (int64_t)((uint64_t)1 << (8 * dtype_info[t].bytes - 1)));
        trap = gen_or(g, trap, gen_and(g, is(g, a, lowest), is(g, b, int_like(g, a, -1))));
    }
    LLVMValueRef d = gen_select(g, trap, one, b);
    if (p == P_irem)
        return is_signed ? LLVMBuildSRem(g->b, a, d, "") : LLVMBuildURem(g->b, a, d, "");
    LLVMValueRef q = is_signed ? LLVMBuildSDiv(g->b, a, d, "") : LLVMBuildUDiv(g->b, a, d, "");
    return gen_select(g, by_zero, zero, q);
}

static LLVMValueRef shift(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    int64_t bits = 8 * dtype_info[t].bytes;
    LLVMValueRef fits = LLVMBuildICmp(g->b, LLVMIntULT, b, int_like(g, b, bits), "");
    if (p == P_shr && dtype_info[t].kind == DK_INT)
        return LLVMBuildAShr(g->b, a, gen_select(g, fits, b, int_like(g, b, bits - 1)), "");
    /* The count is clamped too: the constant folder must not see a shift too far. */
    LLVMValueRef n = LLVMIsConstant(b) ? gen_select(g, fits, b, int_like(g, b, 0)) : b;
    LLVMValueRef v = p == P_shl ? LLVMBuildShl(g->b, a, n, "") : LLVMBuildLShr(g->b, a, n, "");
    return gen_select(g, fits, v, int_like(g, a, 0));
}

static LLVMValueRef mulhi(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef wide = like(a, g->i64);
    LLVMValueRef p =
        LLVMBuildMul(g->b, LLVMBuildZExt(g->b, a, wide, ""), LLVMBuildZExt(g->b, b, wide, ""), "");
    return LLVMBuildTrunc(g->b, LLVMBuildLShr(g->b, p, int_like(g, p, 32), ""), LLVMTypeOf(a), "");
}

static LLVMValueRef int_prim(
    Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    switch (p) {
    case P_add: return LLVMBuildAdd(g->b, a, b, "");
    case P_sub: return LLVMBuildSub(g->b, a, b, "");
    case P_mul: return LLVMBuildMul(g->b, a, b, "");
    case P_mad: return LLVMBuildAdd(g->b, LLVMBuildMul(g->b, a, b, ""), c, "");
    case P_idiv:
    case P_irem: return divide(g, p, t, a, b);
    case P_mulhi: return mulhi(g, a, b);
    case P_neg: return LLVMBuildNeg(g->b, a, "");
    case P_abs:
        if (dtype_info[t].kind != DK_INT) return a;
        return gen_intrinsic(g, "llvm.abs", &type, 1, (LLVMValueRef[]){a, LLVMConstNull(g->i1)}, 2);
    case P_floor:
    case P_ceil:
    case P_trunc:
    case P_rint: return a;
    case P_and: return gen_and(g, a, b);
    case P_or: return gen_or(g, a, b);
    case P_xor: return LLVMBuildXor(g->b, a, b, "");
    case P_not: return LLVMBuildNot(g->b, a, "");
    case P_shl:
    case P_shr: return shift(g, p, t, a, b);
    default: break;
    }
    status_fail(g->st, ST_UNSUPPORTED, "llvm: %s of %s", prim_info[p].name, dtype_info[t].name);
    return LLVMGetPoison(type);
}

/* ---- comparison and conversion --------------------------------------------------------------- */

static LLVMValueRef compare(Gen *g, Prim p, DType t, LLVMValueRef a, LLVMValueRef b)
{
    static const LLVMRealPredicate real[] = {
        LLVMRealOLT, LLVMRealOLE, LLVMRealOGT, LLVMRealOGE, LLVMRealOEQ, LLVMRealUNE};
    static const LLVMIntPredicate sint[] = {
        LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE, LLVMIntEQ, LLVMIntNE};
    static const LLVMIntPredicate uint[] = {
        LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE, LLVMIntEQ, LLVMIntNE};
    if (dtype_is_float(t)) return LLVMBuildFCmp(g->b, real[p - P_lt], a, b, "");
    return LLVMBuildICmp(g->b, (dtype_info[t].kind == DK_INT ? sint : uint)[p - P_lt], a, b, "");
}

static LLVMValueRef convert_float(Gen *g, DType t, DType to, LLVMValueRef a, LLVMTypeRef out)
{
    if (to == DT_bool) return LLVMBuildFCmp(g->b, LLVMRealUNE, a, LLVMConstNull(LLVMTypeOf(a)), "");
    if (dtype_is_float(to))
        return to == DT_f64 ? LLVMBuildFPExt(g->b, a, out, "") : LLVMBuildFPTrunc(g->b, a, out, "");
    LLVMTypeRef types[2] = {out, LLVMTypeOf(a)};
    (void)t;
    return gen_intrinsic(
        g, dtype_info[to].kind == DK_INT ? "llvm.fptosi.sat" : "llvm.fptoui.sat", types, 2, &a, 1);
}

static LLVMValueRef convert(Gen *g, DType t, DType to, LLVMValueRef a)
{
    LLVMTypeRef out = like(a, gen_type(g, to));
    bool is_signed = dtype_info[t].kind == DK_INT;
    if (gen_type(g, t) == gen_type(g, to)) return a;
    if (dtype_is_float(t)) return convert_float(g, t, to, a, out);
    if (to == DT_bool) return LLVMBuildICmp(g->b, LLVMIntNE, a, LLVMConstNull(LLVMTypeOf(a)), "");
    if (dtype_is_float(to))
        return is_signed ? LLVMBuildSIToFP(g->b, a, out, "") : LLVMBuildUIToFP(g->b, a, out, "");
    if (dtype_info[to].bytes < dtype_info[t].bytes) return LLVMBuildTrunc(g->b, a, out, "");
    return is_signed ? LLVMBuildSExt(g->b, a, out, "") : LLVMBuildZExt(g->b, a, out, "");
}

LLVMValueRef emit_prim(
    Gen *g, Prim p, DType t, DType to, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    switch (p) {
    case P_lt:
    case P_le:
    case P_gt:
    case P_ge:
    case P_eq:
    case P_ne: return compare(g, p, t, a, b);
    case P_select: return gen_select(g, a, b, c);
    case P_bits:
    case P_floatbits: return LLVMBuildBitCast(g->b, a, like(a, gen_type(g, to)), "");
    case P_cvt: return convert(g, t, to, a);
    default: return dtype_is_float(t) ? float_prim(g, p, t, a, b, c) : int_prim(g, p, t, a, b, c);
    }
}

/* ---- 16-bit floats and bools in memory ------------------------------------------------------- */

static LLVMValueRef bits_of(Gen *g, LLVMValueRef f)
{
    return LLVMBuildBitCast(g->b, f, like(f, g->i32), "");
}
static LLVMValueRef shl(Gen *g, LLVMValueRef a, int64_t n)
{
    return LLVMBuildShl(g->b, a, int_like(g, a, n), "");
}
static LLVMValueRef lshr(Gen *g, LLVMValueRef a, int64_t n)
{
    return LLVMBuildLShr(g->b, a, int_like(g, a, n), "");
}
static LLVMValueRef and_bits(Gen *g, LLVMValueRef a, int64_t m)
{
    return LLVMBuildAnd(g->b, a, int_like(g, a, m), "");
}

/* The exponent is rebiased by an exact product with 2^112, which also normalises denormals;
 * infinity and NaN get exponent 255. */
static LLVMValueRef widen_half(Gen *g, LLVMValueRef h)
{
    LLVMValueRef w = LLVMBuildZExt(g->b, h, like(h, g->i32), "");
    LLVMValueRef sign = shl(g, and_bits(g, w, 0x8000), 16), rest = and_bits(g, w, 0x7fff);
    LLVMTypeRef f = like(h, g->f32);
    LLVMValueRef small = LLVMBuildBitCast(g->b, shl(g, rest, 13), f, "");
    LLVMValueRef scale = gen_splat(g, LLVMConstReal(g->f32, 0x1p112), gen_lanes_of(h));
    LLVMValueRef bits = bits_of(g, LLVMBuildFMul(g->b, small, scale, ""));
    LLVMValueRef special = LLVMBuildICmp(g->b, LLVMIntUGE, rest, int_like(g, rest, 0x7c00), "");
    bits = gen_select(g, special, LLVMBuildOr(g->b, bits, int_like(g, bits, 0x7f800000), ""), bits);
    return LLVMBuildBitCast(g->b, LLVMBuildOr(g->b, bits, sign, ""), f, "");
}

/* Normal halves round by adding just under half a unit plus the last kept bit; denormal ones by
 * adding 0.5, whose last place is theirs. */
static LLVMValueRef narrow_to_half(Gen *g, LLVMValueRef v)
{
    LLVMValueRef w = bits_of(g, v), sign = lshr(g, and_bits(g, w, 0x80000000), 16),
                 rest = and_bits(g, w, 0x7fffffff);
    LLVMValueRef odd = and_bits(g, lshr(g, rest, 13), 1);
    LLVMValueRef normal = LLVMBuildAdd(
        g->b, LLVMBuildAdd(g->b, rest, int_like(g, w, -0x38000000 + 0xfff), ""), odd, "");
    normal = lshr(g, normal, 13);
    LLVMValueRef half = gen_splat(g, LLVMConstReal(g->f32, 0.5), gen_lanes_of(v));
    LLVMValueRef tiny =
        LLVMBuildFAdd(g->b, LLVMBuildBitCast(g->b, rest, LLVMTypeOf(v), ""), half, "");
    tiny = LLVMBuildSub(g->b, bits_of(g, tiny), int_like(g, w, 0x3f000000), "");
    LLVMValueRef is_tiny = LLVMBuildICmp(g->b, LLVMIntULT, rest, int_like(g, w, 0x38800000), "");
    LLVMValueRef is_huge = LLVMBuildICmp(g->b, LLVMIntUGE, rest, int_like(g, w, 0x477ff000), "");
    LLVMValueRef is_nan = LLVMBuildICmp(g->b, LLVMIntUGT, rest, int_like(g, w, 0x7f800000), "");
    LLVMValueRef r = gen_select(g, is_tiny, tiny, normal);
    r = gen_select(
        g, is_huge, gen_select(g, is_nan, int_like(g, w, 0x7e00), int_like(g, w, 0x7c00)), r);
    return LLVMBuildTrunc(g->b, LLVMBuildOr(g->b, r, sign, ""), like(v, g->i16), "");
}

static LLVMValueRef narrow_to_bf16(Gen *g, LLVMValueRef v)
{
    LLVMValueRef w = bits_of(g, v), odd = and_bits(g, lshr(g, w, 16), 1);
    LLVMValueRef round =
        LLVMBuildAdd(g->b, LLVMBuildAdd(g->b, w, int_like(g, w, 0x7fff), ""), odd, "");
    LLVMValueRef quiet = LLVMBuildOr(g->b, w, int_like(g, w, 0x400000), "");
    LLVMValueRef nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, "");
    return LLVMBuildTrunc(g->b, lshr(g, gen_select(g, nan, quiet, round), 16), like(v, g->i16), "");
}

LLVMValueRef emit_from_memory(Gen *g, DType t, LLVMValueRef v)
{
    LLVMTypeRef f = like(v, g->f32);
    switch (t) {
    case DT_bool: return LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    case DT_bf16:
        return LLVMBuildBitCast(
            g->b, shl(g, LLVMBuildZExt(g->b, v, like(v, g->i32), ""), 16), f, "");
    case DT_f16:
        if (!g->machine->f16c) return widen_half(g, v);
        return LLVMBuildFPExt(g->b, LLVMBuildBitCast(g->b, v, like(v, g->half), ""), f, "");
    default: return v;
    }
}

LLVMValueRef emit_to_memory(Gen *g, DType t, LLVMValueRef v)
{
    switch (t) {
    case DT_bool: return LLVMBuildZExt(g->b, v, like(v, g->i8), "");
    case DT_bf16: return narrow_to_bf16(g, v);
    case DT_f16:
        if (!g->machine->f16c) return narrow_to_half(g, v);
        return LLVMBuildBitCast(
            g->b, LLVMBuildFPTrunc(g->b, v, like(v, g->half), ""), like(v, g->i16), "");
    default: return v;
    }
}
