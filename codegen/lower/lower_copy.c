/* lower_copy: makes kernels of copies that may be large, so that threads share them, launches take them in, and what no cache could
 * keep is written past the caches. Relies on lower.h. Runs when the copies are known that nothing could spare (lower_inplace.c);
 * never adds or removes one. */
#include "lower.h"

#define SMALL ((int64_t)1 << 18) /* bytes, which one thread may as well move */

/* Elements are moved as whole numbers of their size: a NaN stays the very one that it is. */
static DType bits_of(DType t)
{
    static const DType of[] = {[1] = DT_u8, [2] = DT_u16, [4] = DT_u32, [8] = DT_u64};
    return of[dtype_bytes(t)];
}

/* Of one line, where the size is known. */
static Type as_bits(const Type *t)
{
    Type to = *t;
    int64_t n = 1;
    to.dtype = (uint8_t)bits_of((DType)t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!dim_is_const(t->dim[i])) return to;
        n *= t->dim[i];
    }
    to.rank = 1;
    to.dim[0] = n;
    return to;
}

static bool is_small(const Type *t)
{
    return t->rank == 1 && dim_is_const(t->dim[0]) && t->dim[0] < SMALL / (int64_t)dtype_bytes((DType)t->dtype);
}

static bool spread(Lower *lw, Step *s)
{
    const Type t = as_bits(&lw->p->buf.at[s->to].type);
    if (is_small(&t)) return true;
    Graph *g = ARENA_NEW(lw->scratch, Graph);
    g->module = (Module *)(uintptr_t)lw->m;
    g->name = "copy";
    *VEC_PUSH(g->module->arena, &g->value) = (ValueDef){0};
    const Value x = graph_param(g, &t, (Loc){0});
    const uint32_t input[2] = {NO_BUF, 0};
    int64_t layout = 0;
    Group group = {.g = g, .sweep = -1, .input = input, .nin = 1, .nout = 1, .out = &x, .layout = &layout};
    Pieces pieces = {0};
    group_axes(&t, &group, &layout);
    if (x == 0 || !lower_group(lw, &group, &pieces)) return false;
    uint32_t *buf = ARENA_ARRAY(lw->arena, uint32_t, 2);
    const Piece *p = &pieces.at[0];
    lw->p->kernel.at[p->kernel].name = "copy";
    for (uint32_t i = 0; i < p->nbuf; i++) buf[i] = p->buf[i] == 0 ? s->from : s->to;
    s->kind = STEP_KERNEL;
    s->kernel = p->kernel;
    s->buf = buf;
    return true;
}

static bool spread_all(Lower *lw, Step *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_COPY && !spread(lw, &s[i])) return false;
        for (uint32_t b = 0; b < s[i].nblock; b++)
            if (!spread_all(lw, s[i].block[b].step, s[i].block[b].n)) return false;
    }
    return true;
}

bool spread_copies(Lower *lw) { return spread_all(lw, lw->p->step, lw->p->nstep); }
