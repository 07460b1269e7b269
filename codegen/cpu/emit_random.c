/* emit_random: words of random bits (I_RANDOM), which come in blocks of four. If the lanes of a step want consecutive words, each
 * block is computed once: the blocks side by side, then their words in order, through memory, since the first word wanted may be
 * any of its block's. Otherwise each lane computes its block. Philox4x32-10: Salmon, Moraes, Dror, Shaw, SC'11. Relies on gen,
 * emit_scalar. */
#include "cpu.h"

static LLVMValueRef low(Gen *g, LLVMValueRef v) { return emit_prim(g, P_cvt, DT_u64, DT_u32, v, NULL, NULL); }

static LLVMValueRef shifted(Gen *g, LLVMValueRef v, int64_t by)
{
    return emit_prim(g, P_shr, DT_u64, DT_u64, v, gen_splat(g, gen_i64(g, by), gen_lanes_of(v)), NULL);
}

static LLVMValueRef u32_like(Gen *g, LLVMValueRef v, uint32_t x)
{
    return gen_splat(g, LLVMConstInt(g->i32, x, false), gen_lanes_of(v));
}

/* Computes block `block` (a u64, or lanes of u64) of the keys' stream into word[4]. */
static void blocks(Gen *g, LLVMValueRef block, LLVMValueRef key0, LLVMValueRef key1, LLVMValueRef *word)
{
    static const uint32_t factor[2] = {0xD2511F53, 0xCD9E8D57}, bump[2] = {0x9E3779B9, 0xBB67AE85};
    const uint32_t lanes = gen_lanes_of(block);
    key0 = gen_splat(g, key0, lanes), key1 = gen_splat(g, key1, lanes);
    LLVMValueRef c[4] = {low(g, block), low(g, shifted(g, block, 32)), low(g, key1), low(g, shifted(g, key1, 32))};
    LLVMValueRef k[2] = {low(g, key0), low(g, shifted(g, key0, 32))};
    for (int round = 0; round < 10; round++) {
        LLVMValueRef high[2], next[2];
        for (int i = 0; i < 2; i++) {
            LLVMValueRef m = u32_like(g, block, factor[i]);
            high[i] = emit_prim(g, P_mulhi, DT_u32, DT_u32, c[2 * i], m, NULL);
            next[i] = emit_prim(g, P_mul, DT_u32, DT_u32, c[2 * i], m, NULL);
        }
        for (int i = 0; i < 2; i++) {
            LLVMValueRef x = emit_prim(g, P_xor, DT_u32, DT_u32, high[1 - i], c[2 * i + 1], NULL);
            c[2 * i] = emit_prim(g, P_xor, DT_u32, DT_u32, x, k[i], NULL);
            c[2 * i + 1] = next[1 - i];
            k[i] = emit_prim(g, P_add, DT_u32, DT_u32, k[i], u32_like(g, block, bump[i]), NULL);
        }
    }
    memcpy(word, c, sizeof c);
}

/* Each lane computes its own block. */
static LLVMValueRef word_of(Gen *g, LLVMValueRef element, LLVMValueRef key0, LLVMValueRef key1)
{
    LLVMValueRef word[4], at = low(g, element), r;
    blocks(g, shifted(g, element, 2), key0, key1, word);
    at = gen_and(g, at, u32_like(g, element, 3));
    r = word[3];
    for (uint32_t i = 3; i-- > 0;)
        r = gen_select(g, emit_prim(g, P_eq, DT_u32, DT_bool, at, u32_like(g, element, i), NULL), word[i], r);
    return r;
}

/* Interleaves x[0] y[0] x[1] y[1] ...; with `pairs`, pairs in place of elements. */
static LLVMValueRef interleaved(Gen *g, LLVMValueRef x, LLVMValueRef y, uint32_t of)
{
    const uint32_t n = gen_lanes_of(x);
    LLVMValueRef *order = ARENA_ARRAY(g->arena, LLVMValueRef, 2 * n);
    for (uint32_t i = 0; i < 2 * n; i++) {
        uint32_t pair = i / (2 * of), rest = i % (2 * of);
        order[i] = LLVMConstInt(g->i32, (rest < of ? 0 : n) + pair * of + rest % of, false);
    }
    return LLVMBuildShuffleVector(g->b, x, y, LLVMConstVector(order, 2 * n), "");
}

/* Puts elements [first, first + n) of the stream in memory; returns a pointer to the first. */
static LLVMValueRef words_from(Gen *g, LLVMValueRef first, uint32_t n, LLVMValueRef key0, LLVMValueRef key1)
{
    const uint32_t count = (n + 3) / 4; /* one more block, in case the first word is not the first of its block */
    LLVMValueRef word[4], more[4], at = gen_alloca(g, g->i32, 4 * count + 4, 64), block = shifted(g, first, 2);
    LLVMValueRef *lane = ARENA_ARRAY(g->arena, LLVMValueRef, count);
    for (uint32_t i = 0; i < count; i++) lane[i] = gen_i64(g, i);
    if (count == 1)
        blocks(g, block, key0, key1, word);
    else
        blocks(g, LLVMBuildAdd(g->b, gen_splat(g, block, count), LLVMConstVector(lane, count), ""), key0, key1, word);
    if (count == 1)
        for (uint32_t i = 0; i < 4; i++) gen_store(g, word[i], gen_at(g, g->i32, at, gen_i64(g, i)), 4);
    else
        gen_store(g, interleaved(g, interleaved(g, word[0], word[1], 1), interleaved(g, word[2], word[3], 1), 2), at, 64);
    LLVMValueRef skip = gen_and(g, first, gen_i64(g, 3));
    LLVMBasicBlockRef odd = gen_block(g, "odd"), all = gen_block(g, "all");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntNE, skip, gen_i64(g, 0), ""), odd, all);
    gen_put(g, odd);
    blocks(g, gen_add(g, block, gen_i64(g, count)), key0, key1, more);
    for (uint32_t i = 0; i < 4; i++) gen_store(g, more[i], gen_at(g, g->i32, at, gen_i64(g, 4 * count + i)), 4);
    LLVMBuildBr(g->b, all);
    gen_put(g, all);
    return gen_at(g, g->i32, at, skip);
}

/* How much x grows from each lane to the next; -1 if that varies or is not known. */
static int lane_step(const KernelEmit *e, int32_t x)
{
    const Instr *i = &e->k->instr[x];
    if (!i->lanes) return 0;
    if (i->kind == I_AXIS) return 1;
    if (i->kind != I_PRIM || (i->prim != P_add && i->prim != P_sub)) return -1;
    const int a = lane_step(e, i->a), b = lane_step(e, i->b);
    return a < 0 || b < 0 || (i->prim == P_sub && b != 0) ? -1 : a + b;
}

LLVMValueRef emit_random(KernelEmit *e, const Instr *in, uint32_t u)
{
    Gen *g = e->g;
    const bool lanes = in->lanes && e->width > 1;
    LLVMValueRef key0 = emit_operand(e, in->b, u, false), key1 = emit_operand(e, in->c, u, false);
    LLVMValueRef *at = &e->random[in - e->k->instr];
    if (!lanes || lane_step(e, in->a) != 1) return word_of(g, emit_operand(e, in->a, u, lanes), key0, key1);
    if (u == 0) *at = words_from(g, gen_lane(g, emit_operand(e, in->a, 0, true), 0), e->unroll * e->width, key0, key1);
    return gen_load(g, gen_lanes(g->i32, e->width), gen_at(g, g->i32, *at, gen_i64(g, (int64_t)u * e->width)), 4);
}
