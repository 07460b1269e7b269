/* emit_effect: print, assert and callback within the entry. An assertion is tested in place; all else goes through the host table
 * (codegen/effect.c does the same in plain C). Relies on gen. */
#include "cpu.h"

#include <stddef.h>

/* Are all elements true? */
static LLVMValueRef all_hold(Gen *g, const Type *t, LLVMValueRef at)
{
    LLVMValueRef n = gen_i64(g, 1), one = LLVMConstInt(g->i8, 1, false), all = one;
    Loop l;
    for (uint32_t i = 0; i < t->rank; i++) n = gen_mul(g, n, gen_dim(g, t->dim[i]));
    if (loop_turns(gen_i64(g, 0), n, 1) != 0) {
        loop_begin(g, &l, gen_i64(g, 0), n, 1, &all, 1);
        all = LLVMBuildAnd(g->b, all, gen_load(g, g->i8, gen_at(g, g->i8, at, l.i), 1), "");
        loop_end(g, &l);
    }
    return LLVMBuildICmp(g->b, LLVMIntEQ, all, one, "");
}

static LLVMValueRef call(Gen *g, const Step *s, LLVMValueRef const *at, LLVMValueRef host, LLVMValueRef fn)
{
    uint32_t n = s->effect.nin + s->effect.nout, words = 0;
    for (uint32_t i = 0; i < n; i++) words += 2u + s->effect.type[i].rank;
    LLVMValueRef buf = gen_alloca(g, g->ptr, MAX_OF(n, 1), 8);
    LLVMValueRef type = gen_alloca(g, g->i64, MAX_OF(words, 1), 8);
    words = 0;
    for (uint32_t i = 0; i < n; i++) {
        const Type *t = &s->effect.type[i];
        gen_store(g, at[i], gen_at(g, g->ptr, buf, gen_i64(g, i)), 8);
        gen_store(g, gen_i64(g, t->dtype), gen_at(g, g->i64, type, gen_i64(g, words++)), 8);
        gen_store(g, gen_i64(g, t->rank), gen_at(g, g->i64, type, gen_i64(g, words++)), 8);
        for (uint32_t k = 0; k < t->rank; k++) gen_store(g, gen_dim(g, t->dim[k]), gen_at(g, g->i64, type, gen_i64(g, words++)), 8);
    }
    LLVMTypeRef params[6] = {g->ptr, g->i64, g->i64, g->i64, g->ptr, g->ptr};
    LLVMValueRef args[6] = {host, gen_i64(g, s->effect.number), gen_i64(g, s->effect.nin), gen_i64(g, s->effect.nout), buf, type};
    return LLVMBuildCall2(g->b, LLVMFunctionType(g->i32, params, 6, false), fn, args, 6, "");
}

/* The host's answer; `without` if there is no host. */
static LLVMValueRef ask_host(Gen *g, const Step *s, LLVMValueRef const *at, LLVMValueRef host, StatusCode without)
{
    LLVMBasicBlockRef there = gen_block(g, "there"), asked = gen_block(g, "asked"), none = gen_block(g, "none"),
                      done = gen_block(g, "done");
    LLVMValueRef null = LLVMConstNull(g->ptr);
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntNE, host, null, ""), there, none);
    gen_put(g, there);
    LLVMValueRef slot = gen_at(g, g->i8, host, gen_i64(g, offsetof(KilnHost, effect)));
    LLVMValueRef fn = gen_load(g, g->ptr, slot, 8);
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntNE, fn, null, ""), asked, none);
    gen_put(g, asked);
    LLVMValueRef code[2] = {call(g, s, at, host, fn), LLVMConstInt(g->i32, (unsigned)without, false)};
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(g->b), none};
    LLVMBuildBr(g->b, done);
    gen_put(g, none);
    LLVMBuildBr(g->b, done);
    gen_put(g, done);
    LLVMValueRef answer = LLVMBuildPhi(g->b, g->i32, "");
    LLVMAddIncoming(answer, code, from, 2);
    return answer;
}

void emit_effect(Gen *g, const Step *s, LLVMValueRef const *at, LLVMValueRef host)
{
    LLVMBasicBlockRef next = gen_block(g, "next"), stop = gen_block(g, "stop");
    StatusCode without = s->effect.op == OP_assert ? ST_VALUE : s->effect.op == OP_callback ? ST_STATE : ST_OK;
    if (s->effect.op == OP_assert) {
        LLVMBasicBlockRef fails = gen_block(g, "fails");
        LLVMBuildCondBr(g->b, all_hold(g, &s->effect.type[0], at[0]), next, fails);
        gen_put(g, fails);
    }
    LLVMValueRef code = ask_host(g, s, at, host, without);
    LLVMValueRef bad = LLVMBuildICmp(g->b, LLVMIntNE, code, LLVMConstNull(g->i32), "");
    LLVMBuildCondBr(g->b, bad, stop, next);
    gen_put(g, stop);
    LLVMBuildRet(g->b, code);
    gen_put(g, next);
}
