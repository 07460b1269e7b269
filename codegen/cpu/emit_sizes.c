/* emit_sizes: the function beside the entry that tells what a call with given symbols needs (program.h). Relies on gen. */
#include "cpu.h"

#include <stdio.h>

/* Most buffers that one function looks at. */
enum { PART = 128 };

static LLVMValueRef larger(Gen *g, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(g->top, LLVMBuildICmp(g->top, LLVMIntSGT, a, b, ""), a, b, "");
}

/* Where a temporary ends, in whole cache lines, as memplan.c counts. */
static LLVMValueRef end_of(Gen *g, const Buf *b, LLVMValueRef symbol)
{
    LLVMValueRef bytes = gen_i64(g, (int64_t)dtype_bytes((DType)b->type.dtype)), line = gen_i64(g, 64);
    for (uint32_t i = 0; i < b->type.rank; i++)
        bytes = LLVMBuildMul(g->top, bytes, gen_dim_of_symbols(g, buf_room(b)->dim[i], symbol), "");
    LLVMValueRef end = LLVMBuildAdd(g->top, bytes, gen_i64(g, b->offset + 63), "");
    return LLVMBuildMul(g->top, LLVMBuildUDiv(g->top, end, line, ""), line, "");
}

/* Emits what a call needs for the buffers from `first` on; the results' sizes begin at that word, and the first word after them is
 * returned. Offsets are those of the bounds; only memory beyond the last temporary's end is not needed. A part of the whole
 * continues from what earlier parts found. */
static uint32_t sizes(Gen *g, const char *symbol, bool part, uint32_t first, uint32_t n, uint32_t word)
{
    LLVMTypeRef two[2] = {g->ptr, g->ptr};
    gen_function_begin(g, symbol, LLVMFunctionType(g->nothing, two, 2, false), part);
    LLVMValueRef symbols = LLVMGetParam(g->fn, 0), out = LLVMGetParam(g->fn, 1), most = gen_i64(g, 0);
    for (uint32_t i = first; i < first + n; i++) {
        const Buf *b = &g->p->buf.at[i];
        /* 0 bytes at the bounds: another buffer took this one's place */
        if (b->kind == BUF_TEMP && b->bytes != 0) most = larger(g, end_of(g, b, symbols), most);
        for (uint32_t k = 0; b->kind == BUF_OUTPUT && k < b->type.rank; k++)
            gen_store(g, gen_dim_of_symbols(g, buf_room(b)->dim[k], symbols), gen_at(g, g->i64, out, gen_i64(g, word++)), 8);
    }
    if (part) most = larger(g, gen_load_once(g, g->i64, out, 0, 8), most);
    gen_store(g, most, out, 8);
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return word;
}

/* Splits many buffers into parts, called one after the other: code generation takes time quadratic in a function's length. */
bool emit_sizes(Gen *g, const char *symbol)
{
    const uint32_t first = g->p->ninput, n = g->p->buf.len - first, parts = (n + PART - 1) / PART;
    LLVMValueRef *fn = ARENA_ARRAY(g->arena, LLVMValueRef, parts + 1);
    LLVMTypeRef two[2] = {g->ptr, g->ptr};
    if (parts < 2) return sizes(g, symbol, false, first, n, 1) != 0 && g->st->code == ST_OK;
    for (uint32_t i = 0, word = 1; i < parts; i++) {
        char name[32];
        snprintf(name, sizeof name, "sizes%u", i);
        word = sizes(g, name, true, first + i * PART, MIN_OF(PART, n - i * PART), word);
        fn[i] = g->fn;
    }
    LLVMTypeRef type = LLVMFunctionType(g->nothing, two, 2, false);
    gen_function_begin(g, symbol, type, false);
    LLVMValueRef args[2] = {LLVMGetParam(g->fn, 0), LLVMGetParam(g->fn, 1)};
    gen_store(g, gen_i64(g, 0), args[1], 8);
    for (uint32_t i = 0; i < parts; i++) LLVMBuildCall2(g->b, type, fn[i], args, 2, "");
    LLVMBuildRetVoid(g->b);
    gen_function_end(g);
    return g->st->code == ST_OK;
}
