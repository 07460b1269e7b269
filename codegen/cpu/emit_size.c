/* emit_size: sizes that steps find (STEP_SIZE). Their values stand behind those of the entry's symbols, in an array of the entry's
 * own; each step that finds one writes it there, and anew what of the program's dims depends on it. What follows is a part, which
 * loads dims when it begins. Relies on gen. */
#include "emit_entry.h"

void emit_open_sizes(Entry *e)
{
    Gen *g = e->g;
    const Program *p = entry_program(e);
    if (p->counted.len == 0) return;
    LLVMValueRef own = gen_alloca(g, g->i64, p->symbol.len + p->counted.len, 8);
    for (uint32_t i = 0; i < p->symbol.len; i++) {
        LLVMValueRef at = gen_i64(g, i);
        LLVMValueRef to = LLVMBuildGEP2(g->top, g->i64, own, &at, 1, "");
        LLVMSetAlignment(LLVMBuildStore(g->top, gen_load_once(g, g->i64, e->symbol, i, 8), to), 8);
    }
    for (uint32_t i = 0; i < p->counted.len; i++)
        gen_store(g, gen_i64(g, 0), gen_at(g, g->i64, own, gen_i64(g, p->symbol.len + i)), 8);
    e->symbol = own;
}

static LLVMValueRef slot_of(const Entry *e, Dim symbol)
{
    const Program *p = entry_program(e);
    uint32_t i = 0;
    while (i < p->symbol.len && p->symbol.at[i] != symbol) i++;
    if (i == p->symbol.len) i += program_counted(p, symbol);
    return gen_at(e->g, e->g->i64, e->symbol, gen_i64(e->g, i));
}

/* The size's value at this point. */
static LLVMValueRef now(const Entry *e, Dim d)
{
    Gen *g = e->g;
    int64_t v;
    if (gen_dim_const(g, d, &v)) return gen_i64(g, v);
    const DimExpr *x = &entry_program(e)->module->dims.expr.at[-1 - d];
    if (x->kind == DIM_SYMBOL) return gen_load(g, g->i64, slot_of(e, d), 8);
    LLVMValueRef l = now(e, x->a), r = now(e, x->b);
    return gen_combine(g->b, x, l, r);
}

static LLVMValueRef within(Gen *g, LLVMValueRef v, LLVMValueRef most)
{
    LLVMValueRef none = gen_i64(g, 0);
    v = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, v, most, ""), most, v, "");
    return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, v, none, ""), none, v, "");
}

void emit_size(Entry *e, const Step *s)
{
    Gen *g = e->g;
    const Program *p = entry_program(e);
    const DimTable *t = &p->module->dims;
    LLVMValueRef v = gen_load(g, g->i64, part_address(e, s->from), 8);
    gen_store(g, within(g, v, now(e, t->expr.at[-1 - s->size].bound)), slot_of(e, s->size), 8);
    for (uint32_t i = 0; i < p->dim.len; i++)
        if (dim_is_counted(t, p->dim.at[i])) gen_store(g, now(e, p->dim.at[i]), gen_at(g, g->i64, e->dim, gen_i64(g, i)), 8);
}
