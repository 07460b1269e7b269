/* memplan: places temporaries in the workspace by their live ranges. The largest come first, each at the lowest free offset, which
 * packs tightly but takes time quadratic in their number; thousands of them are placed in order of time instead (memplan_many.c).
 * Relies on lower.h. */
#include "memplan.h"

#define FEW 2048 /* temporaries */

static bool larger(const Buf *a, const Buf *b) { return a->bytes != b->bytes ? a->bytes > b->bytes : a->first < b->first; }

void plan_sort(const Plan *plan, uint32_t *order, PlanLess *less)
{
    for (uint32_t gap = plan->n / 2; gap > 0; gap /= 2)
        for (uint32_t i = gap; i < plan->n; i++) {
            uint32_t x = order[i], j = i;
            for (; j >= gap && less(&plan->p->buf.at[x], &plan->p->buf.at[order[j - gap]]); j -= gap) order[j] = order[j - gap];
            order[j] = x;
        }
}

/* The lowest offset that overlaps no placed buffer alive at the same time. */
static int64_t place(const Plan *plan, uint32_t placed, const Buf *b)
{
    int64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < placed; i++) {
            const Buf *o = &plan->p->buf.at[plan->order[i]];
            if (o->last < b->first || b->last < o->first) continue;
            if (at + b->bytes <= o->offset || o->offset + o->bytes <= at) continue;
            at = plan_aligned(o->offset + o->bytes);
            moved = true;
        }
    }
    return at;
}

/* In whole cache lines, as they are placed. */
static int64_t most_alive(const Plan *plan)
{
    uint32_t end = 0;
    int64_t now = 0, most = 0;
    for (uint32_t i = 0; i < plan->n; i++) end = MAX_OF(end, plan->p->buf.at[plan->order[i]].last);
    int64_t *change = ARENA_ARRAY(plan->scratch, int64_t, (size_t)end + 2);
    for (uint32_t i = 0; i < plan->n; i++) {
        const Buf *b = &plan->p->buf.at[plan->order[i]];
        if (b->first == UINT32_MAX) continue;
        change[b->first] += plan_aligned(b->bytes);
        change[b->last + 1] -= plan_aligned(b->bytes);
    }
    for (uint32_t t = 0; t <= end; t++) most = MAX_OF(most, now += change[t]);
    return most;
}

void memory_plan(Lower *lw)
{
    Plan plan = {.p = lw->p, .scratch = lw->scratch, .order = ARENA_ARRAY(lw->scratch, uint32_t, lw->p->buf.len + 1)};
    for (uint32_t i = 0; i < lw->p->buf.len; i++)
        if (lw->p->buf.at[i].kind == BUF_TEMP) plan.order[plan.n++] = i;
    if (plan.n > FEW) {
        plan_many(&plan);
    } else {
        plan_sort(&plan, plan.order, larger);
        for (uint32_t i = 0; i < plan.n; i++) {
            Buf *b = &lw->p->buf.at[plan.order[i]];
            b->offset = place(&plan, i, b);
        }
    }
    for (uint32_t i = 0; i < plan.n; i++) {
        const Buf *b = &lw->p->buf.at[plan.order[i]];
        lw->p->workspace = MAX_OF(lw->p->workspace, plan_aligned(b->offset + b->bytes));
    }
    lw->p->live = most_alive(&plan);
}
