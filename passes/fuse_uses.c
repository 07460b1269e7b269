/* fuse_uses: which group asks for which value, and how much a group holds. Relies on fuse.h. Decides nothing. */
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
    /* Looks through the uses of the value or through those of the group, whichever are fewer, so that the smaller of the two lists
     * decides how long this takes. */
    const Group *g = f->group.at[group];
    Use *u = f->use[v];
    for (uint32_t i = g->use.len; u && i-- > 0; u = u->next) {
        if (g->use.at[i]->v == v) return g->use.at[i];
        if (fuse_find(f, u->group) == group) return u;
    }
    return NULL;
}

uint32_t fuse_operand_count(const Node *n) { return op_def[n->op].role == ROLE_SAME ? 1 : n->nin; }

uint32_t fuse_maps(const Fuse *f, Value v)
{
    const OpRole role = (OpRole)op_def[graph_maker(f->g, v)->op].role;
    return role == ROLE_ALIAS || role == ROLE_VIEW ? FUSE_MAPS : FUSE_PLACES;
}

bool fuse_add_map(Fuse *f, Use *u, const IndexMap *m)
{
    for (uint32_t i = 0; i < u->nmap; i++)
        if (index_equal(u->map[i], m)) return true;
    if (u->nmap == fuse_maps(f, u->v)) {
        fuse_reads(u, STOP_places);
        return false;
    }
    u->map[u->nmap++] = arena_copy(f->ctx->scratch, m, index_bytes(m)); /* most ranks are small */
    return true;
}

bool fuse_demand(Fuse *f, Value v, uint32_t group, const IndexMap *m)
{
    Use *u = fuse_use(f, v, group);
    if (!u) {
        u = ARENA_NEW(f->ctx->scratch, Use);
        u->v = v;
        u->group = fuse_find(f, group);
        u->next = f->use[v];
        f->use[v] = u;
        *VEC_PUSH(f->ctx->scratch, &f->group.at[u->group]->use) = u;
        if (f->sizes) f->group.at[u->group]->sizes |= f->sizes[f->g->value.at[v].node];
    }
    return fuse_add_map(f, u, m);
}

void fuse_drop_newest(Fuse *f, Value root)
{
    f->use[root] = f->use[root]->next;
    f->group.len--;
}

/* ---- length --------------------------------------------------------------------------------------- */

/* In FUSE_MEMBERS. */
static uint32_t weight(const Node *n)
{
    const ScalarTok *tok = op_def[n->op].value_f;
    return tok && tok[0].prim < P_COUNT && tok[prim_info[tok[0].prim].args + 1].prim == P_END ? 1 : 2;
}

bool fuse_room(const Fuse *f, const Node *n, uint32_t group)
{
    const Group *g = fuse_group(f, group);
    return fuse_is_move(n) ? g->nmove < FUSE_MOVES : g->nmember + weight(n) <= FUSE_MEMBERS;
}

void fuse_count(const Fuse *f, const Node *n, uint32_t group)
{
    Group *g = fuse_group(f, group);
    if (fuse_is_move(n))
        g->nmove++;
    else
        g->nmember += weight(n);
}
