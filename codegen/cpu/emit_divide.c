/* emit_divide: quotients by what does not change along a sweep, as softmax's: one reciprocal for all, and four more products for
 * each, with the bits of a division. With y = 1 / b rounded once, q = a y, and q + (a - b q) y taken twice, the first is one of the
 * two floats beside a / b and the second is a / b rounded to nearest (Markstein's theorem), if no step leaves the normal range.
 * Vectors with an element for which that could happen are divided. A division of 64 bytes takes 10 to 16 cycles, this 4. Relies on
 * gen, emit_kernel. */
#include "cpu.h"

enum { SPAN32 = 60, SPAN64 = 400 }; /* |a| and |b| lie between 2^-SPAN and 2^SPAN: so do all steps' exponents, well inside */

typedef struct Float {
    LLVMTypeRef bits; /* an integer as wide */
    uint32_t mantissa;
    int64_t bias, span;
} Float;

static Float float_of(const Gen *g, DType t)
{
    return t == DT_f64 ? (Float){g->i64, 52, 1023, SPAN64} : (Float){g->i32, 23, 127, SPAN32};
}

/* Without its sign: the bits shifted left by one, minus those of 2^-SPAN: below `range` exactly where |v| is in the span. */
static LLVMValueRef above(Gen *g, const Float *f, LLVMValueRef v)
{
    const uint32_t lanes = gen_lanes_of(v);
    LLVMValueRef one = gen_splat(g, LLVMConstInt(f->bits, 1, false), lanes);
    LLVMValueRef low = LLVMConstInt(f->bits, (uint64_t)(f->bias - f->span) << (f->mantissa + 1), false);
    LLVMValueRef bits = LLVMBuildBitCast(g->b, v, gen_lanes(f->bits, lanes), "");
    return LLVMBuildSub(g->b, LLVMBuildShl(g->b, bits, one, ""), gen_splat(g, low, lanes), "");
}

void divide_plan(KernelEmit *e)
{
    const Kernel *k = e->k;
    e->divisor = ARENA_ARRAY(e->g->arena, Divisor, k->ninstr + 1);
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const Instr *in = &k->instr[i];
        if (in->kind != I_PRIM || in->prim != P_div || !dtype_is_float((DType)in->type)) continue;
        if (in->lanes && in->sweeps && !k->instr[in->b].lanes && !k->instr[in->b].sweeps)
            e->divisor[in->b].wanted = e->width > 1 && e->g->machine->fma;
    }
}

void divide_open(KernelEmit *e, uint32_t i, LLVMValueRef b)
{
    Gen *g = e->g;
    Divisor *d = &e->divisor[i];
    const DType t = (DType)e->k->instr[i].type;
    const Float f = float_of(g, t);
    LLVMValueRef range = LLVMConstInt(f.bits, (uint64_t)(2 * f.span) << (f.mantissa + 1), false);
    LLVMValueRef in = LLVMBuildICmp(g->b, LLVMIntULT, above(g, &f, b), range, "");
    d->b = gen_splat(g, b, e->width);
    d->y = gen_splat(g, LLVMBuildFDiv(g->b, gen_const(g, t, (Scalar){.f = 1}), b, ""), e->width);
    d->range = gen_splat(g, gen_select(g, in, range, LLVMConstInt(f.bits, 0, false)), e->width);
}

static LLVMValueRef mad(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    return emit_prim(g, P_mad, t, t, a, b, c);
}

LLVMValueRef divide_by(KernelEmit *e, uint32_t i, LLVMValueRef a)
{
    Gen *g = e->g;
    const Divisor *d = &e->divisor[i];
    const DType t = (DType)e->k->instr[i].type;
    const Float f = float_of(g, t);
    LLVMBasicBlockRef fast = gen_block(g, "fast"), divide = gen_block(g, "divide"), done = gen_block(g, "done");
    LLVMValueRef outside = LLVMBuildICmp(g->b, LLVMIntUGE, above(g, &f, a), d->range, "");
    LLVMTypeRef mask = LLVMIntTypeInContext(g->ctx, e->width);
    LLVMValueRef none = LLVMBuildICmp(g->b, LLVMIntEQ, LLVMBuildBitCast(g->b, outside, mask, ""), LLVMConstInt(mask, 0, false), "");
    LLVMBuildCondBr(g->b, none, fast, divide);
    gen_put(g, fast);
    LLVMValueRef minus = LLVMBuildFNeg(g->b, d->b, ""), q = LLVMBuildFMul(g->b, a, d->y, "");
    for (int step = 0; step < 2; step++) q = mad(g, t, mad(g, t, minus, q, a), d->y, q);
    LLVMBuildBr(g->b, done);
    gen_put(g, divide);
    LLVMValueRef v[2] = {q, LLVMBuildFDiv(g->b, a, d->b, "")};
    LLVMBuildBr(g->b, done);
    gen_put(g, done);
    LLVMValueRef result = LLVMBuildPhi(g->b, LLVMTypeOf(a), "");
    LLVMAddIncoming(result, v, (LLVMBasicBlockRef[]){fast, divide}, 2);
    return result;
}
