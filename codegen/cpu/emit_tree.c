/* emit_tree: combines the totals of blocks pairwise, by the counter of ir/tree.h, whose levels lie on the stack. Relies on
 * emit_reduce.h. */
#include "emit_reduce.h"

static LLVMValueRef level_at(const Counter *c, LLVMValueRef level, uint32_t slot)
{
    Gen *g = c->g;
    LLVMValueRef at = gen_add(g, gen_mul(g, level, gen_i64(g, c->slots)), gen_i64(g, slot));
    return gen_at(g, LLVMTypeOf(c->value[0]), c->level, at);
}

static LLVMValueRef level_load(const Counter *c, LLVMValueRef level, uint32_t slot)
{
    return gen_load(c->g, LLVMTypeOf(c->value[0]), level_at(c, level, slot), reduce_align(c->r));
}

/* The number of zeros below the lowest bit that is set; 64 if none is. */
static LLVMValueRef trailing_zeros(Gen *g, LLVMValueRef bits)
{
    return gen_intrinsic(g, "llvm.cttz", &g->i64, 1, (LLVMValueRef[]){bits, LLVMConstNull(g->i1)}, 2);
}

LLVMValueRef tree_levels_open(Gen *g, LLVMTypeRef t, uint32_t slots, Dim extent, int64_t block)
{
    int64_t most = dim_hi(&g->p->module->dims, extent);
    return gen_alloca(g, t, (uint64_t)tree_levels(tree_blocks(most, block)) * slots, 64);
}

void tree_push(const Counter *c, LLVMValueRef begin, int64_t block)
{
    Gen *g = c->g;
    LLVMValueRef done = LLVMBuildUDiv(g->b, begin, gen_i64(g, block), "");
    LLVMValueRef full = trailing_zeros(g, LLVMBuildNot(g->b, done, ""));
    Loop l;
    loop_begin(g, &l, gen_i64(g, 0), full, 1, c->value, c->slots);
    for (uint32_t u = 0; u < c->slots; u++) c->value[u] = reduce_op(g, c->r, level_load(c, l.i, u), c->value[u]);
    loop_end(g, &l);
    for (uint32_t u = 0; u < c->slots; u++) gen_store(g, c->value[u], level_at(c, full, u), reduce_align(c->r));
}

/* The number of blocks is known, and so are the levels that hold something. */
static void close_known(const Counter *c, uint64_t blocks)
{
    bool any = false;
    for (uint32_t level = 0; level < 64; level++) {
        if (!(blocks >> level & 1)) continue;
        for (uint32_t u = 0; u < c->slots; u++) {
            LLVMValueRef v = level_load(c, gen_i64(c->g, level), u);
            c->value[u] = any ? reduce_op(c->g, c->r, v, c->value[u]) : v;
        }
        any = true;
    }
}

void tree_close(const Counter *c, LLVMValueRef extent, int64_t block)
{
    Gen *g = c->g;
    int64_t n;
    if (gen_is_int(extent, &n)) {
        close_known(c, (uint64_t)tree_blocks(n, block));
        return;
    }
    LLVMValueRef blocks = LLVMBuildUDiv(g->b, gen_add(g, extent, gen_i64(g, block - 1)), gen_i64(g, block), "");
    LLVMValueRef top = gen_intrinsic(g, "llvm.ctlz", &g->i64, 1, (LLVMValueRef[]){blocks, LLVMConstNull(g->i1)}, 2);
    LLVMValueRef lowest = trailing_zeros(g, blocks);
    for (uint32_t u = 0; u < c->slots; u++) c->value[u] = gen_splat(g, reduce_identity(g, c->r), gen_lanes_of(c->value[u]));
    Loop l; /* a level without a total is loaded, but its value is not used */
    loop_begin(g, &l, lowest, LLVMBuildSub(g->b, gen_i64(g, 64), top, ""), 1, c->value, c->slots);
    LLVMValueRef bit = LLVMBuildAnd(g->b, LLVMBuildLShr(g->b, blocks, l.i, ""), gen_i64(g, 1), "");
    LLVMValueRef there = LLVMBuildICmp(g->b, LLVMIntNE, bit, gen_i64(g, 0), ""),
                 first = LLVMBuildICmp(g->b, LLVMIntEQ, l.i, lowest, "");
    for (uint32_t u = 0; u < c->slots; u++) {
        LLVMValueRef v = level_load(c, l.i, u), both = reduce_op(g, c->r, v, c->value[u]);
        c->value[u] = gen_select(g, there, gen_select(g, first, v, both), c->value[u]);
    }
    loop_end(g, &l);
}
