/* fuse_order: an order in which the units of a graph can run, kept while groups grow and merge. A unit is a group or a node outside
 * of groups. What comes earlier in the order needs nothing that comes later, so most questions about dependence are answered at
 * once, and the others by a search between the two alone: D. J. Pearce and P. H. J. Kelly, "A dynamic topological sort algorithm
 * for directed acyclic graphs" (2006). Relies on fuse.h. Decides nothing. */
#include "fuse.h"

static uint32_t slot_of_group(const Fuse *f, uint32_t group) { return fuse_group(f, group)->slot; }

static uint32_t slot_of(const Fuse *f, uint32_t node)
{
    return f->home[node] != NO_GROUP ? slot_of_group(f, f->home[node]) : f->slot[node];
}

void fuse_order_start(Fuse *f)
{
    Arena *a = f->ctx->scratch;
    uint32_t nodes = f->g->node.len + 1;
    f->slot = ARENA_ARRAY(a, uint32_t, nodes);
    f->in_slot = ARENA_ARRAY(a, uint32_t, nodes);
    f->mark = ARENA_ARRAY(a, uint32_t, nodes);
    f->goal = ARENA_ARRAY(a, uint32_t, nodes);
    f->found = ARENA_ARRAY(a, uint32_t, nodes);
    f->moved = ARENA_ARRAY(a, uint32_t, nodes);
    for (uint32_t i = 0; i < nodes; i++)
        f->slot[i] = f->in_slot[i] = i; /* graphs are in order, and fusing goes through them from their end */
}

/* ---- steps ---------------------------------------------------------------------------------------- */

static void reach(Fuse *f, uint32_t slot)
{
    if (slot < f->low || slot > f->high || f->mark[slot] == f->round) return;
    f->mark[slot] = f->round;
    f->found[f->nfound++] = slot;
}

/* Cheap nodes that every kernel computes for itself are no units: whoever needs one of them needs its operands instead. */
static void reach_node(Fuse *f, uint32_t node)
{
    if (f->home[node] != NO_GROUP || fuse_stays(f, node)) reach(f, slot_of(f, node));
}

static uint64_t sizes_of(const Fuse *f, uint32_t node, uint32_t group)
{
    return group != NO_GROUP ? f->group.at[group]->sizes : f->sizes[node];
}

static void reach_counters(Fuse *f, uint32_t node, uint32_t group)
{
    for (uint64_t all = sizes_of(f, node, group); all != 0; all &= all - 1) reach_node(f, f->counter[__builtin_ctzll(all)]);
}

/* Visits the units that need a size that the node counts. */
static void reach_sized(Fuse *f, uint32_t node)
{
    uint64_t bit = 0;
    for (uint32_t i = 0; i < f->ncounter; i++) bit |= f->counter[i] == node ? (uint64_t)1 << i : 0;
    for (uint32_t i = 0; i < f->group.len && bit; i++)
        if (f->group.at[i]->into == i && f->group.at[i]->sizes & bit) reach(f, f->group.at[i]->slot);
    for (uint32_t i = 0; i < f->g->node.len && bit; i++)
        if (f->sizes[i] & bit && f->home[i] == NO_GROUP && fuse_stays(f, i)) reach(f, f->slot[i]);
}

/* Visits the units that have to run before the one in this slot. A group runs as a whole: whoever needs one of its nodes has to
 * wait for all of them. */
static void reach_needed(Fuse *f, uint32_t slot)
{
    uint32_t node = f->in_slot[slot], group = fuse_find(f, f->home[node]);
    const Node *n = &f->g->node.at[node];
    for (uint32_t i = 0; group != NO_GROUP && i < f->group.at[group]->use.len; i++)
        reach_node(f, f->g->value.at[f->group.at[group]->use.at[i]->v].node);
    for (uint32_t k = 0; group == NO_GROUP && k < n->nin; k++) reach_node(f, f->g->value.at[n->in[k]].node);
    if (group == NO_GROUP && f->effect[node] != NO_EFFECT) reach_node(f, f->effect[node]); /* itself, if it is none */
    if (f->sizes) reach_counters(f, node, group);
}

static void reach_readers_of(Fuse *f, Value v)
{
    for (const Use *u = f->use[v]; u; u = u->next) reach(f, slot_of_group(f, u->group));
    for (uint32_t i = f->first_reader[v]; i < f->first_reader[v + 1]; i++)
        if (fuse_stays(f, f->reader[i])) reach(f, f->slot[f->reader[i]]);
}

/* Visits the units that have to run after it. */
static void reach_readers(Fuse *f, uint32_t slot)
{
    uint32_t node = f->in_slot[slot], group = fuse_find(f, f->home[node]);
    const Node *n = &f->g->node.at[node];
    for (uint32_t i = 0; group != NO_GROUP && i < f->group.at[group]->use.len; i++) {
        Value v = f->group.at[group]->use.at[i]->v;
        if (fuse_find(f, f->home[f->g->value.at[v].node]) == group) reach_readers_of(f, v);
    }
    for (uint32_t k = 0; group == NO_GROUP && k < n->nout; k++) reach_readers_of(f, n->out + k);
    if (group == NO_GROUP && f->next_effect[node] != NO_EFFECT) reach_node(f, f->next_effect[node]);
    if (f->sizes && group == NO_GROUP) reach_sized(f, node);
}

/* ---- changes -------------------------------------------------------------------------------------- */

void fuse_sort(uint32_t *at, uint32_t n)
{
    for (uint32_t gap = n / 2; gap > 0; gap /= 2)
        for (uint32_t i = gap; i < n; i++) {
            uint32_t x = at[i], j = i;
            for (; j >= gap && at[j - gap] > x; j -= gap) at[j] = at[j - gap];
            at[j] = x;
        }
}

static void put(Fuse *f, uint32_t node, uint32_t slot)
{
    f->in_slot[slot] = node;
    *(f->home[node] != NO_GROUP ? &fuse_group(f, f->home[node])->slot : &f->slot[node]) = slot;
}

/* Reorders units so that the one in slot `first`, with all that it needs, comes before the one in slot `second`, with all that
 * needs that one. Only these units change places, and only among themselves. */
static void put_before(Fuse *f, uint32_t first, uint32_t second)
{
    if (first <= second) return;
    f->round++;
    f->low = second;
    f->high = first;
    f->nfound = 0;
    reach(f, first);
    for (uint32_t i = 0; i < f->nfound; i++) reach_needed(f, f->found[i]);
    uint32_t before = f->nfound;
    reach(f, second);
    for (uint32_t i = before; i < f->nfound; i++) reach_readers(f, f->found[i]);
    fuse_sort(f->found, before);
    fuse_sort(f->found + before, f->nfound - before);
    for (uint32_t i = 0; i < f->nfound; i++) f->moved[i] = f->in_slot[f->found[i]];
    fuse_sort(f->found, f->nfound);
    for (uint32_t i = 0; i < f->nfound; i++) put(f, f->moved[i], f->found[i]);
}

void fuse_order_place(Fuse *f, uint32_t node, uint32_t group)
{
    Value v = f->g->node.at[node].out;
    f->home[node] = group;
    for (const Use *u = f->use[v]; u; u = u->next)
        if (fuse_find(f, u->group) != fuse_find(f, group)) put_before(f, slot_of_group(f, group), slot_of_group(f, u->group));
    for (uint32_t i = f->first_reader[v]; i < f->first_reader[v + 1]; i++)
        if (fuse_stays(f, f->reader[i])) put_before(f, slot_of_group(f, group), f->slot[f->reader[i]]);
}

void fuse_order_merge(Fuse *f, const Group *a, const Group *b)
{
    /* Afterwards every unit that needs one of them comes after both, and every unit that one of them needs comes before both. */
    put_before(f, MAX_OF(a->slot, b->slot), MIN_OF(a->slot, b->slot));
}

/* ---- questions ------------------------------------------------------------------------------------- */

bool fuse_needs(Fuse *f, uint32_t group, const uint32_t *slot, uint32_t n)
{
    f->round++;
    f->low = f->high = slot_of_group(f, group);
    for (uint32_t i = 0; i < n; i++) {
        f->goal[slot[i]] = f->round;
        f->low = MIN_OF(f->low, slot[i]);
    }
    f->nfound = 0;
    if (f->low < f->high) reach(f, f->high);
    for (uint32_t i = 0; i < f->nfound; i++) {
        if (f->goal[f->found[i]] == f->round) return true;
        reach_needed(f, f->found[i]);
    }
    return false;
}
