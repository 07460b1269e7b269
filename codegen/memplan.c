/* memplan: where temporaries lie in the workspace, from their live ranges; and values written over values that die. Relies on lower.h. */
#include "lower.h"

#define ALIGN 64

typedef struct Plan {
    Program *p;
    uint32_t *order;  /* buffers, largest first */
    uint32_t n;
} Plan;

static bool larger(const Buf *a, const Buf *b)
{
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->first < b->first;
}

static void sort(Plan *plan)
{
    for (uint32_t gap = plan->n / 2; gap > 0; gap /= 2)
        for (uint32_t i = gap; i < plan->n; i++) {
            uint32_t x = plan->order[i], j = i;
            for (; j >= gap && larger(&plan->p->buf.at[x], &plan->p->buf.at[plan->order[j - gap]]); j -= gap)
                plan->order[j] = plan->order[j - gap];
            plan->order[j] = x;
        }
}

/* The lowest offset that no placed buffer, alive at the same time, covers. */
static int64_t place(const Plan *plan, uint32_t placed, const Buf *b)
{
    int64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < placed; i++) {
            const Buf *o = &plan->p->buf.at[plan->order[i]];
            if (o->last < b->first || b->last < o->first) continue;
            if (at + b->bytes <= o->offset || o->offset + o->bytes <= at) continue;
            at = (o->offset + o->bytes + ALIGN - 1) / ALIGN * ALIGN;
            moved = true;
        }
    }
    return at;
}

void memory_plan(Lower *lw)
{
    Plan plan = {.p = lw->p, .order = ARENA_ARRAY(lw->scratch, uint32_t, lw->p->buf.len + 1)};
    for (uint32_t i = 0; i < lw->p->buf.len; i++)
        if (lw->p->buf.at[i].kind == BUF_TEMP) plan.order[plan.n++] = i;
    sort(&plan);
    for (uint32_t i = 0; i < plan.n; i++) {
        Buf *b = &lw->p->buf.at[plan.order[i]];
        b->offset = place(&plan, i, b);
        lw->p->workspace = MAX_OF(lw->p->workspace, (b->offset + b->bytes + ALIGN - 1) / ALIGN * ALIGN);
    }
}
