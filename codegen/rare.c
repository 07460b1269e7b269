/* rare: see rare.h. */
#include "rare.h"

#define ALWAYS UINT32_MAX

static void need(uint32_t *under, int32_t instr, uint32_t by)
{
    if (instr < 0) return;
    if (under[instr] == 0)
        under[instr] = by;
    else if (under[instr] != by)
        under[instr] = ALWAYS;
}

static bool is_rare(const Kernel *k, int32_t i) { return i >= 0 && k->instr[i].kind == I_PRIM && k->instr[i].prim == P_rare; }

/* The P_rare instruction whose select this is, plus 1; 0: none. */
static uint32_t chooses(const Kernel *k, uint32_t i)
{
    const Instr *in = &k->instr[i];
    return in->kind == I_PRIM && in->prim == P_select && is_rare(k, in->a) ? 1 + (uint32_t)in->a : 0;
}

static void need_always(const Kernel *k, uint32_t *under)
{
    for (uint32_t i = 0; i < k->nstore; i++) need(under, k->store[i].value, ALWAYS);
    for (uint32_t i = 0; i < k->nreduction; i++) need(under, k->reduction[i].value, ALWAYS);
    for (uint32_t i = 0; i < k->nstream; i++) need(under, k->stream[i].dyn, ALWAYS), need(under, k->stream[i].guard, ALWAYS);
}

static bool fits(const Kernel *k, const Stage *s, uint32_t i, uint32_t r)
{
    const Instr *in = &k->instr[i], *c = &k->instr[r];
    return in->kind == I_PRIM && in->prim != P_rare && r >= s->first && r < s->last && in->sweeps == c->sweeps &&
           in->lanes == c->lanes;
}

static void find_in_stage(const Kernel *k, const Stage *s, uint32_t *under)
{
    for (uint32_t i = s->last; i-- > s->first;) {
        const Instr *in = &k->instr[i];
        const uint32_t by = under[i];
        if (by == 0 || (by != ALWAYS && !fits(k, s, i, by - 1))) under[i] = ALWAYS;
        const uint32_t arm = under[i] == ALWAYS && chooses(k, i) ? chooses(k, i) : under[i];
        need(under, in->a, under[i]);
        need(under, in->b, arm);
        need(under, in->c, under[i]);
    }
}

/* Takes back what is under a condition if one of it uses what comes after the first select. */
static void keep_order(const Kernel *k, Rare *r)
{
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const uint32_t by = chooses(k, i), arm = by ? r->under[k->instr[i].b] : 0;
        if (by && r->under[i] == 0 && arm == by && r->at[by - 1] == 0) r->at[by - 1] = i + 1;
    }
    for (uint32_t i = 0; i < k->ninstr; i++) {
        const int32_t from[3] = {k->instr[i].a, k->instr[i].b, k->instr[i].c};
        const uint32_t by = r->under[i], at = by ? r->at[by - 1] : 0;
        for (int j = 0; j < 3 && at; j++)
            if (from[j] >= 0 && r->under[from[j]] == 0 && (uint32_t)from[j] + 1 >= at && k->instr[from[j]].kind != I_CONST)
                r->at[by - 1] = 0;
    }
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (r->under[i] && r->at[r->under[i] - 1] == 0) r->under[i] = 0;
}

Rare rare_find(Arena *a, const Kernel *k)
{
    Rare r = {ARENA_ARRAY(a, uint32_t, k->ninstr + 1), ARENA_ARRAY(a, uint32_t, k->ninstr + 1)};
    bool any = false;
    for (uint32_t i = 0; i < k->ninstr; i++) any |= is_rare(k, (int32_t)i);
    if (!any) return r;
    need_always(k, r.under);
    for (uint32_t s = k->nstage; s-- > 0;) find_in_stage(k, &k->stage[s], r.under);
    for (uint32_t i = 0; i < k->ninstr; i++)
        if (r.under[i] == ALWAYS) r.under[i] = 0;
    keep_order(k, &r);
    return r;
}

bool rare_leaves(const Kernel *k, const Rare *r, uint32_t i)
{
    for (uint32_t x = i + 1; x < k->ninstr; x++) {
        const Instr *in = &k->instr[x];
        if (r->under[x] != r->under[i] && (in->a == (int32_t)i || in->b == (int32_t)i || in->c == (int32_t)i)) return true;
    }
    return false;
}
