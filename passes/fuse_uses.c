/* fuse_uses: which group asks for which value, how much a group holds, and what depends on what. Relies on fuse.h. Decides nothing. */
#include "fuse.h"

/* ---- uses ---------------------------------------------------------------------------------------- */

uint32_t fuse_find(const Fuse *f, uint32_t group)
{
    while (group != NO_GROUP && f->group.at[group]->into != group) group = f->group.at[group]->into;
    return group;
}

Group *fuse_group(const Fuse *f, uint32_t group) { return f->group.at[fuse_find(f, group)]; }

Use *fuse_use(const Fuse *f, Value v, uint32_t group)
{
    group = fuse_find(f, group);
    if (group == NO_GROUP) return NULL;
    /* The value's uses and the group's, side by side: whichever are fewer decide how long it takes. */
    const Group *g = f->group.at[group];
    Use *u = f->use[v];
    for (uint32_t i = g->use.len; u != NULL && i-- > 0; u = u->next) {
        if (g->use.at[i]->v == v) return g->use.at[i];
        if (fuse_find(f, u->group) == group) return u;
    }
    return NULL;
}

uint32_t fuse_operand_count(const Node *n) { return n->op == OP_custom ? 1 : n->nin; }

bool fuse_add_map(Fuse *f, Use *u, const IndexMap *m)
{
    for (uint32_t i = 0; i < u->nmap; i++)
        if (index_equal(u->map[i], m)) return true;
    if (u->nmap == FUSE_MAPS) {
        u->read = true;
        return false;
    }
    u->map[u->nmap++] = arena_copy(f->ctx->scratch, m, index_bytes(m)); /* most ranks are small */
    return true;
}

bool fuse_demand(Fuse *f, Value v, uint32_t group, const IndexMap *m)
{
    Use *u = fuse_use(f, v, group);
    if (u == NULL) {
        u = ARENA_NEW(f->ctx->scratch, Use);
        u->v = v;
        u->group = fuse_find(f, group);
        u->next = f->use[v];
        f->use[v] = u;
        *VEC_PUSH(f->ctx->scratch, &f->group.at[u->group]->use) = u;
    }
    return fuse_add_map(f, u, m);
}

/* ---- length --------------------------------------------------------------------------------------- */

bool fuse_room(const Fuse *f, const Node *n, uint32_t group)
{
    const Group *g = fuse_group(f, group);
    return fuse_is_move(n) ? g->nmove < FUSE_MOVES : g->nmember < FUSE_MEMBERS;
}

void fuse_count(const Fuse *f, const Node *n, uint32_t group)
{
    Group *g = fuse_group(f, group);
    *(fuse_is_move(n) ? &g->nmove : &g->nmember) += 1;
}

/* ---- where groups lie ------------------------------------------------------------------------------ */

/* Adds by to f->span from node `from` on. */
static void span_add(Fuse *f, uint32_t from, uint32_t by)
{
    for (uint32_t i = from + 1; i <= f->g->node.len; i += i & -i) f->span[i] += by;
}

/* How many groups have nodes on both sides of the gap before `node`. */
static uint32_t spanning(const Fuse *f, uint32_t node)
{
    uint32_t n = 0;
    for (uint32_t i = node + 1; i > 0; i -= i & -i) n += f->span[i];
    return n;
}

/* The group of these nodes covers lo + 1 up to hi; by: 1, or -1 to take it back. */
static void cover(Fuse *f, uint32_t lo, uint32_t hi, uint32_t by)
{
    if (lo >= hi) return;
    span_add(f, lo + 1, by);
    span_add(f, hi + 1, -by);
}

static void stretch(Fuse *f, Group *g, uint32_t lo, uint32_t hi)
{
    cover(f, g->lo, g->hi, UINT32_MAX);
    g->lo = MIN_OF(g->lo, lo);
    g->hi = MAX_OF(g->hi, hi);
    cover(f, g->lo, g->hi, 1);
}

void fuse_place(Fuse *f, uint32_t node, uint32_t group)
{
    f->home[node] = group;
    stretch(f, fuse_group(f, group), node, node);
}

void fuse_place_all(Fuse *f, uint32_t a, const Group *b)
{
    cover(f, b->lo, b->hi, UINT32_MAX);
    stretch(f, f->group.at[a], b->lo, b->hi);
}

/* ---- dependence ---------------------------------------------------------------------------------- */

static void push_node(Fuse *f, uint32_t node, uint32_t *top)
{
    if (node < f->bottom || f->mark[node] == f->round) return;
    f->mark[node] = f->round;
    f->stack[(*top)++] = node;
}

/* A group runs as a whole: whoever needs one of its nodes needs them all. */
static void push_group(Fuse *f, uint32_t group, uint32_t *top)
{
    const Group *g = f->group.at[group];
    for (uint32_t i = 0; i < g->use.len; i++) push_node(f, f->g->value.at[g->use.at[i]->v].node, top);
}

bool fuse_depends(Fuse *f, uint32_t group, uint32_t on_group, uint32_t on_node)
{
    uint32_t top = 0, first = on_group != NO_GROUP ? f->group.at[on_group]->lo : on_node;
    if (first >= f->g->node.len) return false; /* it computes nothing yet */
    /* Where no group lies across its first node, what is before that node needs nothing behind it. */
    f->bottom = spanning(f, first) == 0 ? MAX_OF(first, f->floor) : f->floor;
    f->round++;
    push_group(f, fuse_find(f, group), &top);
    while (top > 0) {
        uint32_t at = f->stack[--top], home = fuse_find(f, f->home[at]);
        if (at == on_node || (home != NO_GROUP && home == on_group)) return true;
        if (home != NO_GROUP) push_group(f, home, &top);
        const Node *n = &f->g->node.at[at];
        for (uint32_t k = 0; k < n->nin; k++) push_node(f, f->g->value.at[n->in[k]].node, &top);
        if (f->effect[at] != NO_EFFECT) push_node(f, f->effect[at], &top); /* itself, if it is none */
    }
    return false;
}
