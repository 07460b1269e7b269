/* emit_tree: totals of blocks combined pairwise, by the counter of ir/tree.h; its levels lie on the
 * stack. Relies on emit_reduce.h. */
#include "emit_reduce.h"

static LLVMValueRef level_at(
    KernelEmit *e, const Accumulator *a, LLVMValueRef level, uint32_t slot)
{
    Gen *g = e->g;
    LLVMValueRef at = gen_add(g, gen_mul(g, level, gen_i64(g, a->slots)), gen_i64(g, slot));
    return gen_at(g, LLVMTypeOf(a->value[0]), a->level, at);
}

static LLVMValueRef level_load(
    KernelEmit *e, const Reduction *r, const Accumulator *a, LLVMValueRef level, uint32_t slot)
{
    return gen_load(
        e->g, LLVMTypeOf(a->value[0]), level_at(e, a, level, slot), reduce_align(r));
}

/* The number of zeros below the lowest bit that is set; 64 if none is. */
static LLVMValueRef trailing_zeros(Gen *g, LLVMValueRef bits)
{
    return gen_intrinsic(
        g, "llvm.cttz", &g->i64, 1, (LLVMValueRef[]){bits, LLVMConstNull(g->i1)}, 2);
}

void tree_open(KernelEmit *e, Accumulator *a, int64_t block)
{
    Gen *g = e->g;
    int64_t most = dim_hi(&g->p->module->dims, e->k->extent[e->k->sweep]);
    uint32_t levels = tree_levels(tree_blocks(most, block));
    a->level = gen_alloca(g, LLVMTypeOf(a->value[0]), (uint64_t)levels * a->slots, 64);
}

void tree_push(KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef begin, int64_t block)
{
    Gen *g = e->g;
    LLVMValueRef done = LLVMBuildUDiv(g->b, begin, gen_i64(g, block), "");
    LLVMValueRef full = trailing_zeros(g, LLVMBuildNot(g->b, done, ""));
    Loop l;
    loop_begin(g, &l, gen_i64(g, 0), full, 1, a->value, a->slots);
    for (uint32_t u = 0; u < a->slots; u++)
        a->value[u] = reduce_op(g, r, level_load(e, r, a, l.i, u), a->value[u]);
    loop_end(g, &l);
    for (uint32_t u = 0; u < a->slots; u++)
        gen_store(g, a->value[u], level_at(e, a, full, u), reduce_align(r));
}

/* The number of blocks is known: which levels hold something is, too. */
static void close_known(KernelEmit *e, const Reduction *r, Accumulator *a, uint64_t blocks)
{
    bool any = false;
    for (uint32_t level = 0; level < 64; level++) {
        if (!(blocks >> level & 1)) continue;
        for (uint32_t u = 0; u < a->slots; u++) {
            LLVMValueRef v = level_load(e, r, a, gen_i64(e->g, level), u);
            a->value[u] = any ? reduce_op(e->g, r, v, a->value[u]) : v;
        }
        any = true;
    }
}

void tree_close(
    KernelEmit *e, const Reduction *r, Accumulator *a, LLVMValueRef extent, int64_t block)
{
    Gen *g = e->g;
    int64_t n;
    if (gen_is_int(extent, &n)) {
        close_known(e, r, a, (uint64_t)tree_blocks(n, block));
        return;
    }
    LLVMValueRef blocks = LLVMBuildUDiv(
        g->b, gen_add(g, extent, gen_i64(g, block - 1)), gen_i64(g, block), "");
    LLVMValueRef top = gen_intrinsic(
        g, "llvm.ctlz", &g->i64, 1, (LLVMValueRef[]){blocks, LLVMConstNull(g->i1)}, 2);
    LLVMValueRef lowest = trailing_zeros(g, blocks);
    for (uint32_t u = 0; u < a->slots; u++)
        a->value[u] = gen_splat(g, reduce_identity(g, r), gen_lanes_of(a->value[u]));
    Loop l; /* what levels without a total hold is loaded, and not taken */
    loop_begin(g, &l, lowest, LLVMBuildSub(g->b, gen_i64(g, 64), top, ""), 1, a->value, a->slots);
    LLVMValueRef bit = LLVMBuildAnd(g->b, LLVMBuildLShr(g->b, blocks, l.i, ""), gen_i64(g, 1), "");
    LLVMValueRef there = LLVMBuildICmp(g->b, LLVMIntNE, bit, gen_i64(g, 0), ""),
                 first = LLVMBuildICmp(g->b, LLVMIntEQ, l.i, lowest, "");
    for (uint32_t u = 0; u < a->slots; u++) {
        LLVMValueRef v = level_load(e, r, a, l.i, u),
                     both = reduce_op(g, r, v, a->value[u]);
        a->value[u] = gen_select(g, there, gen_select(g, first, v, both), a->value[u]);
    }
    loop_end(g, &l);
}
