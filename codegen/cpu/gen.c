/* gen: the builder that the emitters share: types, constants, memory, functions. It folds whatever is known at once, because no
 * optimiser runs later. Relies on LLVM-C. Never knows kernels. */
#include "cpu.h"

LLVMTypeRef gen_mem_type(const Gen *g, DType t)
{
    switch (t) {
    case DT_f32: return g->f32;
    case DT_f64: return g->f64;
    default: break;
    }
    switch (dtype_bytes(t)) {
    case 1: return g->i8;
    case 2: return g->i16;
    case 4: return g->i32;
    default: return g->i64;
    }
}

LLVMTypeRef gen_type(const Gen *g, DType t) { return t == DT_bool ? g->i1 : gen_mem_type(g, (DType)dtype_info[t].compute); }

LLVMTypeRef gen_lanes(LLVMTypeRef t, uint32_t lanes) { return lanes == 1 ? t : LLVMVectorType(t, lanes); }

uint32_t gen_lanes_of(LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetVectorSize(t) : 1;
}

LLVMValueRef gen_i64(const Gen *g, int64_t v) { return LLVMConstInt(g->i64, (unsigned long long)v, true); }

LLVMValueRef gen_const(Gen *g, DType t, Scalar v)
{
    LLVMTypeRef type = gen_type(g, t);
    if (dtype_is_float(t)) return LLVMConstReal(type, v.f);
    return LLVMConstInt(type, t == DT_bool ? v.u != 0 : v.u, dtype_info[t].kind == DK_INT);
}

LLVMValueRef gen_splat(Gen *g, LLVMValueRef v, uint32_t lanes)
{
    if (lanes == 1 || gen_lanes_of(v) > 1) return v;
    if (LLVMIsConstant(v)) {
        LLVMValueRef *all = ARENA_ARRAY(g->arena, LLVMValueRef, lanes);
        for (uint32_t i = 0; i < lanes; i++) all[i] = v;
        return LLVMConstVector(all, lanes);
    }
    LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(v), lanes);
    LLVMValueRef one = LLVMBuildInsertElement(g->b, LLVMGetPoison(t), v, gen_i64(g, 0), "");
    return LLVMBuildShuffleVector(g->b, one, LLVMGetPoison(t), LLVMConstNull(LLVMVectorType(g->i32, lanes)), "");
}

LLVMValueRef gen_lane(Gen *g, LLVMValueRef v, uint32_t lane)
{
    return gen_lanes_of(v) == 1 ? v : LLVMBuildExtractElement(g->b, v, gen_i64(g, lane), "");
}

LLVMValueRef gen_set_lane(Gen *g, LLVMValueRef v, LLVMValueRef x, uint32_t lane)
{
    return LLVMBuildInsertElement(g->b, v, x, gen_i64(g, lane), "");
}

static bool is_ones(LLVMValueRef v) { return LLVMIsConstant(v) && v == LLVMConstAllOnes(LLVMTypeOf(v)); }
static bool is_zero(LLVMValueRef v) { return LLVMIsConstant(v) && LLVMIsNull(v); }

LLVMValueRef gen_select(Gen *g, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    if (a == b || is_ones(c)) return a;
    if (is_zero(c)) return b;
    return LLVMBuildSelect(g->b, c, a, b, "");
}

LLVMValueRef gen_and(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    if (is_ones(a) || is_zero(b)) return b;
    if (is_ones(b) || is_zero(a)) return a;
    return LLVMBuildAnd(g->b, a, b, "");
}

LLVMValueRef gen_or(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    if (is_zero(a) || is_ones(b)) return b;
    if (is_zero(b) || is_ones(a)) return a;
    return LLVMBuildOr(g->b, a, b, "");
}

bool gen_is_int(LLVMValueRef v, int64_t *out)
{
    if (!LLVMIsAConstantInt(v)) return false;
    *out = LLVMConstIntGetSExtValue(v);
    return true;
}

LLVMValueRef gen_add(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return is_zero(a) ? b : is_zero(b) ? a : LLVMBuildAdd(g->b, a, b, "");
}

LLVMValueRef gen_mul(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    int64_t v;
    if (is_zero(a) || (gen_is_int(b, &v) && v == 1)) return a;
    if (is_zero(b) || (gen_is_int(a, &v) && v == 1)) return b;
    return LLVMBuildMul(g->b, a, b, "");
}

LLVMValueRef gen_intrinsic(Gen *g, const char *name, LLVMTypeRef *types, uint32_t ntype, LLVMValueRef *args, uint32_t nargs)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, types, ntype);
    return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->ctx, id, types, ntype), fn, args, nargs, "");
}

/* ---- memory ---------------------------------------------------------------------------------- */

LLVMValueRef gen_alloca(Gen *g, LLVMTypeRef t, uint64_t count, uint32_t align)
{
    LLVMValueRef v = LLVMBuildAlloca(g->top, LLVMArrayType2(t, count), "");
    LLVMSetAlignment(v, align);
    return v;
}

LLVMValueRef gen_at(Gen *g, LLVMTypeRef t, LLVMValueRef base, LLVMValueRef index)
{
    return is_zero(index) ? base : LLVMBuildGEP2(g->b, t, base, &index, 1, "");
}

LLVMValueRef gen_load(Gen *g, LLVMTypeRef t, LLVMValueRef at, uint32_t align)
{
    LLVMValueRef v = LLVMBuildLoad2(g->b, t, at, "");
    LLVMSetAlignment(v, align);
    return v;
}

void gen_store(Gen *g, LLVMValueRef v, LLVMValueRef at, uint32_t align) { LLVMSetAlignment(LLVMBuildStore(g->b, v, at), align); }

void gen_store_past(Gen *g, LLVMValueRef v, LLVMValueRef at, uint32_t align)
{
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(g->i32, 1, false));
    LLVMValueRef store = LLVMBuildStore(g->b, v, at);
    LLVMSetAlignment(store, align);
    LLVMSetMetadata(store, LLVMGetMDKindIDInContext(g->ctx, "nontemporal", 11),
        LLVMMetadataAsValue(g->ctx, LLVMMDNodeInContext2(g->ctx, &one, 1)));
}

void gen_fence(Gen *g) { gen_intrinsic(g, "llvm.x86.sse.sfence", NULL, 0, NULL, 0); }

LLVMValueRef gen_load_once(Gen *g, LLVMTypeRef t, LLVMValueRef base, int64_t index, uint32_t align)
{
    LLVMValueRef i = gen_i64(g, index);
    LLVMValueRef v = LLVMBuildLoad2(g->top, t, LLVMBuildGEP2(g->top, t, base, &i, 1, ""), "");
    LLVMSetAlignment(v, align);
    return v;
}

/* ---- functions and blocks -------------------------------------------------------------------- */

LLVMBasicBlockRef gen_block(Gen *g, const char *name) { return LLVMAppendBasicBlockInContext(g->ctx, g->fn, name); }
void gen_put(Gen *g, LLVMBasicBlockRef b) { LLVMPositionBuilderAtEnd(g->b, b); }

static void attribute(Gen *g, const char *key, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(g->ctx, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(g->fn, LLVMAttributeFunctionIndex, a);
}

void gen_prefer_vectors(Gen *g, uint32_t bytes) { attribute(g, "prefer-vector-width", bytes == 64 ? "512" : "256"); }

void gen_function_begin(Gen *g, const char *name, LLVMTypeRef type, bool internal)
{
    g->fn = LLVMAddFunction(g->module, name, type);
    LLVMSetLinkage(g->fn, internal ? LLVMInternalLinkage : LLVMExternalLinkage);
    unsigned id = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(g->fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->ctx, id, 0));
    gen_prefer_vectors(g, g->machine->vector_bytes);
    g->first = gen_block(g, "first");
    g->start = gen_block(g, "start");
    LLVMPositionBuilderAtEnd(g->top, g->first);
    gen_put(g, g->start);
    g->dim_value = ARENA_ARRAY(g->arena, LLVMValueRef, g->p->dim.len + 1);
    g->of_symbols = NULL;
}

void gen_function_end(Gen *g) { LLVMBuildBr(g->top, g->start); }

/* ---- dims ------------------------------------------------------------------------------------ */

static const DimExpr *expr_of(const Gen *g, Dim d) { return &g->p->module->dims.expr.at[-1 - d]; }

bool gen_dim_const(const Gen *g, Dim d, int64_t *out)
{
    if (d == DIM_BAD) return false;
    if (dim_is_const(d)) return *out = d, true;
    const DimExpr *x = expr_of(g, d);
    *out = x->lo;
    return x->lo == x->hi;
}

/* Both ways of reading a dim differ in their leaves only. */
LLVMValueRef gen_combine(LLVMBuilderRef b, const DimExpr *x, LLVMValueRef l, LLVMValueRef r)
{
    switch ((DimKind)x->kind) {
    case DIM_ADD: return LLVMBuildAdd(b, l, r, "");
    case DIM_MUL: return LLVMBuildMul(b, l, r, "");
    case DIM_FLOORDIV: return LLVMBuildSDiv(b, l, r, "");
    default: return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSGT, l, r, ""), l, r, "");
    }
}

LLVMValueRef gen_dim(Gen *g, Dim d)
{
    int64_t v;
    if (gen_dim_const(g, d, &v)) return gen_i64(g, v);
    for (uint32_t i = 0; i < g->p->dim.len; i++) {
        if (g->p->dim.at[i] != d) continue;
        if (!g->dim_value[i]) g->dim_value[i] = gen_load_once(g, g->i64, g->dim_arg, i, 8);
        return g->dim_value[i];
    }
    if (d == DIM_BAD || expr_of(g, d)->kind == DIM_SYMBOL) {
        status_fail(g->st, ST_INTERNAL, "llvm: a kernel reads a size that the program does not list");
        return gen_i64(g, 0);
    }
    LLVMValueRef l = gen_dim(g, expr_of(g, d)->a), r = gen_dim(g, expr_of(g, d)->b);
    return gen_combine(g->top, expr_of(g, d), l, r);
}

static LLVMValueRef dim_of_symbols(Gen *g, Dim d, LLVMValueRef symbol)
{
    for (uint32_t i = 0; i < g->p->symbol.len; i++)
        if (g->p->symbol.at[i] == d) return gen_load_once(g, g->i64, symbol, i, 8);
    if (d == DIM_BAD || expr_of(g, d)->kind == DIM_SYMBOL) {
        status_fail(g->st, ST_INTERNAL, "llvm: a size depends on a symbol that the entry is not given");
        return gen_i64(g, 0);
    }
    LLVMValueRef l = gen_dim_of_symbols(g, expr_of(g, d)->a, symbol), r = gen_dim_of_symbols(g, expr_of(g, d)->b, symbol);
    return gen_combine(g->top, expr_of(g, d), l, r);
}

LLVMValueRef gen_dim_of_symbols(Gen *g, Dim d, LLVMValueRef symbol)
{
    int64_t v;
    if (gen_dim_const(g, d, &v)) return gen_i64(g, v);
    if (d == DIM_BAD) return dim_of_symbols(g, d, symbol);
    if (!g->of_symbols) g->of_symbols = ARENA_ARRAY(g->arena, LLVMValueRef, g->p->module->dims.expr.len + 1);
    LLVMValueRef *known = &g->of_symbols[-1 - d];
    if (!*known) *known = dim_of_symbols(g, d, symbol);
    return *known;
}

/* ---- loops ----------------------------------------------------------------------------------- */

int loop_turns(LLVMValueRef start, LLVMValueRef end, int64_t step)
{
    int64_t from, to;
    if (start == end) return 0;
    if (!gen_is_int(start, &from) || !gen_is_int(end, &to)) return -1;
    return from >= to ? 0 : to - from <= step ? 1 : -1;
}

void loop_begin(Gen *g, Loop *l, LLVMValueRef start, LLVMValueRef end, int64_t step, LLVMValueRef *carry, uint32_t ncarry)
{
    *l = (Loop){.once = loop_turns(start, end, step) == 1, .i = start, .carry = carry, .ncarry = ncarry};
    if (l->once) return;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b), body = gen_block(g, "body");
    l->head = gen_block(g, "head");
    l->exit = gen_block(g, "exit");
    l->phi = ARENA_ARRAY(g->arena, LLVMValueRef, ncarry + 1);
    LLVMBuildBr(g->b, l->head);
    gen_put(g, l->head);
    l->i = LLVMBuildPhi(g->b, g->i64, "");
    LLVMAddIncoming(l->i, &start, &before, 1);
    for (uint32_t j = 0; j < ncarry; j++) {
        l->phi[j] = LLVMBuildPhi(g->b, LLVMTypeOf(carry[j]), "");
        LLVMAddIncoming(l->phi[j], &carry[j], &before, 1);
        carry[j] = l->phi[j];
    }
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, l->i, end, ""), body, l->exit);
    gen_put(g, body);
    l->next = gen_i64(g, step);
}

void loop_end(Gen *g, Loop *l)
{
    if (l->once) return;
    LLVMValueRef next = LLVMBuildNSWAdd(g->b, l->i, l->next, "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(g->b);
    LLVMAddIncoming(l->i, &next, &last, 1);
    for (uint32_t j = 0; j < l->ncarry; j++) {
        LLVMAddIncoming(l->phi[j], &l->carry[j], &last, 1);
        l->carry[j] = l->phi[j];
    }
    LLVMBuildBr(g->b, l->head);
    gen_put(g, l->exit);
}

LLVMValueRef gen_whole_steps(Gen *g, LLVMValueRef from, LLVMValueRef end, int64_t step)
{
    LLVMValueRef n = LLVMBuildSub(g->b, end, from, ""), by = gen_i64(g, step);
    if (step == 1) return end;
    return gen_add(g, from, LLVMBuildMul(g->b, LLVMBuildUDiv(g->b, n, by, ""), by, ""));
}

LLVMValueRef gen_lanes_left(Gen *g, uint32_t width, LLVMValueRef index, LLVMValueRef end)
{
    LLVMTypeRef t = width > 16 ? g->i8 : width > 8 ? g->i16 : g->i32;
    LLVMValueRef *lane = ARENA_ARRAY(g->arena, LLVMValueRef, width), full = gen_i64(g, width);
    for (uint32_t i = 0; i < width; i++) lane[i] = LLVMConstInt(t, i, false);
    LLVMValueRef left = LLVMBuildSub(g->b, end, index, "");
    left = gen_select(g, LLVMBuildICmp(g->b, LLVMIntSLT, left, full, ""), left, full);
    left = gen_splat(g, LLVMBuildTrunc(g->b, left, t, ""), width);
    return LLVMBuildICmp(g->b, LLVMIntSLT, LLVMConstVector(lane, width), left, "");
}
