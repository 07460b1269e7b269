/* emit_sizes: the function beside the entry that says what a call with given symbols needs (program.h). Relies on gen. */
#include "cpu.h"

static LLVMValueRef larger(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(g->top, LLVMBuildICmp(g->top, LLVMIntSGT, a, b, ""), a, b, "");
}

/* Where a temporary ends, in whole cache lines, as memplan.c counts. */
static LLVMValueRef end_of(Gen *g, const Buf *b, LLVMValueRef symbol)
{
    LLVMValueRef bytes = gen_i64(g, (int64_t)dtype_bytes((DType)b->type.dtype)), line = gen_i64(g, 64);
    for (uint32_t i = 0; i < b->type.rank; i++)
        bytes = LLVMBuildMul(g->top, bytes, gen_dim_of_symbols(g, b->type.dim[i], symbol), "");
    LLVMValueRef end = LLVMBuildAdd(g->top, bytes, gen_i64(g, b->offset + 63), "");
    return LLVMBuildMul(g->top, LLVMBuildUDiv(g->top, end, line, ""), line, "");
}

/* Offsets are those of the bounds; only what lies beyond the last temporary's end is not needed. */
static LLVMValueRef workspace(Gen *g, LLVMValueRef symbol)
{
    LLVMValueRef most = gen_i64(g, 0);
    for (uint32_t i = 0; i < g->p->buf.len; i++)
        if (g->p->buf.at[i].kind == BUF_TEMP) most = larger(g, end_of(g, &g->p->buf.at[i], symbol), most);
    return most;
}

bool emit_sizes(Gen *g, const char *symbol)
{
    LLVMTypeRef two[2] = {g->ptr, g->ptr};
    uint32_t n = 0;
    gen_function_begin(g, symbol, LLVMFunctionType(g->nothing, two, 2, false), false);
    LLVMValueRef symbols = LLVMGetParam(g->fn, 0), out = LLVMGetParam(g->fn, 1);
    gen_store(g, workspace(g, symbols), gen_at(g, g->i64, out, gen_i64(g, n++)), 8);
    for (uint32_t i = 0; i < g->p->noutput; i++) {
        const Type *t = &g->p->buf.at[g->p->ninput + i].type;
        for (uint32_t k = 0; k < t->rank; k++)
            gen_store(g, gen_dim_of_symbols(g, t->dim[k], symbols), gen_at(g, g->i64, out, gen_i64(g, n++)), 8);
    }
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return g->st->code == ST_OK;
}
