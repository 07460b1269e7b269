/* lower_panels: what a loop multiplies by at every turn is laid out once before it, as panels of columns that lie close, which the
 * target's products read as they are. Which products read panels lower_contract.c decides. Relies on lower.h. Computes nothing:
 * elements only move. */
#include "lower.h"

const Panels *panels_find(const Scope *s, const Panels *like)
{
    for (uint32_t i = 0; s->panels && i < s->panels->len; i++) {
        const Panels *p = &s->panels->at[i];
        if (p->from == like->from && p->type == like->type && memcmp(p->place, like->place, sizeof p->place) == 0) return p;
    }
    return NULL;
}

typedef struct Laying {
    const Panels *p;
    int64_t first; /* column of the first panel that the kernel lays out */
} Laying;

/* Axes (panel, row, column of the panel). */
static bool draft(Build *b, const void *with)
{
    const Laying *l = with;
    const Panels *p = l->p;
    const Dim row = p->place[PANEL_ROW], column = p->place[PANEL_COLUMN], k = p->place[PANEL_K], wide = p->wide;
    const IndexExpr from = {.base = p->place[PANEL_BASE] + l->first * column, .coef = {wide * column, row, column}, .dyn = -1};
    const IndexExpr to = {.base = l->first * k, .coef = {wide * k, wide, 1}, .dyn = -1};
    const IndexMap read = {.rank = 1, .dim = {DIM_MAX}, .at = {from}}, write = {.rank = 1, .dim = {DIM_MAX}, .at = {to}};
    const int32_t x = build_load(b, build_stream(b, 0, p->type, &read));
    return x >= 0 && build_store(b, build_stream(b, 1, p->type, &write), x, 0);
}

/* A kernel over panels of so many columns from column `first` on. */
static bool lay(
    Scope *s, const Scope *look, const Node *n, const Panels *p, const uint32_t *buf, int64_t first, int64_t columns, int64_t each)
{
    Lower *lw = s->lw;
    if (columns == 0) return true;
    const Laying l = {p, first};
    const Group group = {.g = look->g,
        .naxis = 3,
        .extent = {columns / each, p->place[PANEL_K], each},
        .sweep = -1,
        .input = look->input,
        .nin = 1,
        .nout = 1,
        .draft = draft,
        .with = &l,
        .node = n};
    if (!scope_kernel(s, &group, buf)) return false;
    lw->p->kernel.at[s->step.at[s->step.len - 1].kernel].name = "panels";
    return true;
}

/* look: the loop's body, with the product in it. */
static bool make(Scope *s, const Scope *look, const Node *product, Panels *p)
{
    const int64_t n = p->place[PANEL_N], whole = n / p->wide * p->wide;
    const Type t = {.dtype = (uint8_t)p->type, .rank = 1, .dim = {(n + p->wide - 1) / p->wide * p->wide * p->place[PANEL_K]}};
    p->buf = lower_buf(s->lw, BUF_TEMP, &t);
    const uint32_t buf[2] = {look->buf[p->from], p->buf};
    return p->buf != NO_BUF && lay(s, look, product, p, buf, 0, whole, p->wide) &&
           lay(s, look, product, p, buf, whole, n - whole, n - whole);
}

bool lower_panels(Scope *s, const Node *n, const Graph *body, uint32_t invariants, PanelsList *list)
{
    Scope look;
    if (s->lw->o->target.panel_bytes == 0) return true;
    scope_begin(s->lw, &look, body);
    look.invariants = invariants;
    for (uint32_t i = invariants; i < n->nin; i++) look.buf[body->param.at[i]] = s->buf[scope_root(s->g, n->in[i])];
    look.panels = list;
    for (uint32_t i = 0; i < body->node.len; i++) {
        const Node *product = &body->node.at[i];
        Panels p;
        if (product->op != OP_matmul || !contract_panels(&look, product, &p) || panels_find(&look, &p)) continue;
        if (!make(s, &look, product, &p)) return false;
        *VEC_PUSH(s->lw->scratch, list) = p;
    }
    return true;
}
