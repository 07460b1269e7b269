/* fuse_groups: groups and their axes: who may join, who may be merged, and the maps at which operands are then demanded.
 * Relies on fuse.h. Never makes nodes. */
#include "fuse.h"

/* ---- values that are not affine, as numbers --------------------------------------------------------- */

static bool same_dyn(const DynValue *x, const DynValue *y)
{
    return x->what == y->what && x->a == y->a && x->b == y->b && (!x->at || index_equal(x->at, y->at));
}

static int32_t intern(Fuse *f, DynValue x)
{
    uint64_t h = hash_mix(hash_mix(x.what, (uint64_t)x.a), x.at ? index_hash(x.at) : (uint64_t)x.b), key = hash_key(h);
    for (const uint64_t *at; (at = map_get(&f->dyn_by_hash, key)); key++)
        if (same_dyn(&f->dyn.at[*at], &x)) return (int32_t)*at;
    map_put(&f->dyn_by_hash, key, f->dyn.len);
    if (x.at) x.at = arena_copy(f->ctx->scratch, x.at, index_bytes(x.at));
    *VEC_PUSH(f->ctx->scratch, &f->dyn) = x;
    return (int32_t)f->dyn.len - 1;
}

static int32_t env_prim(void *user, Prim p, int32_t a, int32_t b) { return intern(user, (DynValue){p, a, b, NULL}); }
static int32_t env_dim(void *user, Dim d) { return intern(user, (DynValue){DYN_DIM, d, 0, NULL}); }
static int32_t env_axis(void *user, uint32_t axis) { return intern(user, (DynValue){DYN_AXIS, axis, 0, NULL}); }
static int32_t env_clamped(void *user, Value v, const IndexMap *at, Dim size)
{
    return intern(user, (DynValue){DYN_GATHERED, v, (int64_t)size, at});
}

/* ---- axes ---------------------------------------------------------------------------------------- */

static bool split_axis(Fuse *f, Group *g, uint32_t axis, Dim inner)
{
    if (g->env.naxis >= FUSE_AXES || (int)axis == g->env.sweep) return false;
    if (!index_env_split(&g->env, axis, inner)) return false;
    for (uint32_t i = 0; i < g->use.len; i++)
        for (uint32_t k = 0; k < g->use.at[i]->nmap; k++) {
            IndexMap m;
            index_copy(&m, g->use.at[i]->map[k]);
            index_split(&g->env, &m, axis, inner);
            g->use.at[i]->map[k] = arena_copy(f->ctx->scratch, &m, index_bytes(&m));
        }
    return true;
}

static double number(const Fuse *f, Dim d) { return dim_is_const(d) ? (double)d : (double)MIN_OF(dim_hi(f->dims, d), 1 << 20); }

static double points(const Fuse *f, const Group *g, uint32_t axes)
{
    double n = 1;
    for (uint32_t a = 0; a < g->env.naxis; a++)
        if (axes >> a & 1) n *= number(f, g->env.extent[a]);
    return n;
}

double fuse_elements(const Fuse *f, Value v)
{
    const Type *t = graph_type(f->g, v);
    double n = 1;
    for (uint32_t i = 0; i < t->rank; i++) n *= number(f, t->dim[i]);
    return n;
}

static uint32_t all_axes(const Group *g) { return (1u << g->env.naxis) - 1; }

double fuse_points(const Fuse *f, uint32_t group)
{
    const Group *g = fuse_group(f, group);
    return points(f, g, all_axes(g));
}

static uint32_t sweep_bit(const Group *g) { return g->env.sweep >= 0 ? 1u << g->env.sweep : 0; }

/* Whether all of the target shares folds of so many elements. */
static bool shares(const Fuse *f, Dim extent)
{
    return dim_is_const(extent) && f->ctx->target->shared_row != 0 && extent > f->ctx->target->shared_row;
}

/* One thread walks a sweep from end to end, so enough points must remain for the other threads, unless the whole is too small to
 * share anyway, or the target shares the sweep. */
static bool sweep_pays(const Fuse *f, const Group *g, int sweep, int form)
{
    if (form == FORM_ROW && shares(f, g->env.extent[sweep])) return true;
    return points(f, g, all_axes(g) & ~(1u << sweep)) >= 16 || points(f, g, all_axes(g)) <= 32768;
}

/* ---- operands ------------------------------------------------------------------------------------ */

static bool operand_map(Fuse *f, const Node *n, uint32_t k, Group *g, const IndexMap *m, IndexMap *out)
{
    IndexStep step;
    if (!op_def[n->op].map) {
        index_copy(out, m);
        return true;
    }
    if (!index_operand(&g->env, f->g, n, k, m, &step)) return false;
    index_copy(out, &step.map);
    return true;
}

/* Finds the maps at which one use of a value demands its operands; axes are split until those maps can be expressed. */
static bool use_maps(Fuse *f, const Node *n, Group *g, const Use *u, IndexMap *out)
{
    for (uint32_t i = 0; i < u->nmap; i++) {
        for (uint32_t k = 0; k < fuse_operand_count(n); k++) {
            if (operand_map(f, n, k, g, u->map[i], &out[i * n->nin + k])) continue;
            if (g->env.split_axis < 0 || !split_axis(f, g, (uint32_t)g->env.split_axis, g->env.split_inner)) return false;
            return use_maps(f, n, g, u, out);
        }
    }
    return true;
}

bool fuse_operands(Fuse *f, const Node *n, uint32_t group)
{
    Group *g = fuse_group(f, group);
    const Use *u = fuse_use(f, n->out, group);
    uint32_t most = u->nmap * n->nin + 1;
    if (most > f->nmaps) {
        f->maps = ARENA_ARRAY(f->ctx->scratch, IndexMap, most);
        f->nmaps = most;
    }
    IndexMap *maps = f->maps;
    if (!use_maps(f, n, g, u, maps)) return false;
    uint16_t level = (uint16_t)(u->level + node_reduces(n));
    uint32_t node = f->g->value.at[n->out].node;
    uint8_t copies = f->copied[node] ? u->copies + 1 : fuse_in_all(f, node) ? u->copies : 0;
    for (uint32_t k = 0; k < fuse_operand_count(n); k++) {
        for (uint32_t i = 0; i < u->nmap; i++) fuse_demand(f, n->in[k], group, &maps[i * n->nin + k]);
        Use *of = fuse_use(f, n->in[k], group);
        if (!of) continue;
        of->level = MAX_OF(of->level, level);
        of->copies = MAX_OF(of->copies, copies);
    }
    return true;
}

/* ---- joining ------------------------------------------------------------------------------------- */

static int token_cost(const ScalarTok **t)
{
    const ScalarTok *at = (*t)++;
    int args, cost = 1;
    switch (at->prim) {
    case P_ARG:
    case P_CONST: return 0;
    case P_FN:
        args = math_info[at->ref].args;
        cost = 20;
        break;
    default:
        args = prim_info[at->prim].args;
        if (at->prim == P_div || at->prim == P_sqrt || at->prim == P_fmod) cost = 5;
    }
    while (args-- > 0) cost += token_cost(t);
    return cost;
}

int fuse_cost(const Node *n)
{
    const OpDef *d = &op_def[n->op];
    const ScalarTok *t = d->value_f ? d->value_f : d->value_i;
    if (d->flags & OPF_ELEMENTWISE) return token_cost(&t);
    if (op_joins((Op)n->op)) return (int)n->nin;                        /* selects among them */
    return d->role == ROLE_COMPUTE && !(d->flags & OPF_CAST) ? 100 : 1; /* by instructions of its own */
}

/* A reduction over `extent` that v is computed from by a few elementwise steps. */
static bool comes_from_reduction(const Fuse *f, Value v, Dim extent, int depth)
{
    const Node *n = graph_maker(f->g, v);
    if (node_reduces(n)) return index_reduced_extent(f->g, n) == extent;
    if (depth == 0 || f->role[f->g->value.at[v].node] == ROLE_OUTSIDE) return false;
    for (uint32_t k = 0; k < n->nin; k++)
        if (comes_from_reduction(f, n->in[k], extent, depth - 1)) return true;
    return false;
}

/* Whether elements of the value would be computed more than once, as the kernel walks axes that the map does not use. */
static bool repeats(const Fuse *f, const Group *g, const Node *n, const IndexMap *m)
{
    uint32_t used = index_axes(m), idle = all_axes(g) & ~used;
    if (index_has_dyn(m)) return points(f, g, all_axes(g)) > fuse_elements(f, n->out);
    if (idle == sweep_bit(g)) idle = 0; /* once per point, before the sweep */
    if (idle != 0 && g->env.sweep < 0 && (idle & (idle - 1)) == 0 &&
        comes_from_reduction(f, n->out, g->env.extent[__builtin_ctz(idle)], 8))
        idle = 0; /* that axis is about to become the sweep */
    return points(f, g, used | idle) > 1.01 * fuse_elements(f, n->out);
}

/* Whether v is computed by a few elementwise steps from a product of as many elements. */
static bool ends_product(const Fuse *f, Value v, double elements, int depth)
{
    const Node *n = graph_maker(f->g, v);
    const bool moves = op_def[n->op].flags & OPF_MOVES && n->nin == 1;
    if (fuse_elements(f, v) != elements || depth == 0) return false;
    if (n->op == OP_matmul || n->op == OP_conv) return true;
    if (!moves && !(op_def[n->op].flags & OPF_ELEMENTWISE)) return false;
    for (uint32_t k = 0; k < n->nin; k++)
        if (ends_product(f, n->in[k], elements, depth - 1)) return true;
    return false;
}

/* The sweep axis for n, chosen or made. */
static bool take_sweep(Fuse *f, Group *g, const Node *n, const IndexMap *m)
{
    uint32_t used, idle;
    Dim extent = index_reduced_extent(f->g, n);
    int form = op_def[n->op].role >= ROLE_ARGMAX ? g->form : (int)index_fold_form(f->g, n);
    if (!index_bijective(&g->env, m, &used)) return fuse_no(f, STOP_places);
    idle = all_axes(g) & ~used;
    if (g->env.sweep >= 0 && (idle != sweep_bit(g) || g->env.extent[g->env.sweep] != extent)) return fuse_no(f, STOP_axis);
    if (g->form >= 0 && form >= 0 && g->form != form) return fuse_no(f, STOP_sums);
    if (g->env.sweep < 0 && idle == 0) {
        if (g->env.naxis >= FUSE_AXES) return fuse_no(f, STOP_axis);
        g->env.sweep = (int)g->env.naxis;
        g->env.extent[g->env.naxis++] = extent;
    } else if (g->env.sweep < 0) {
        int a = __builtin_ctz(idle);
        if ((idle & (idle - 1)) != 0 || g->env.extent[a] != extent) return fuse_no(f, STOP_axis);
        if (!sweep_pays(f, g, a, form)) return fuse_no(f, STOP_threads);
        g->env.sweep = a;
    }
    if (form >= 0) g->form = form;
    return true;
}

/* Undoes take_sweep; axes split since then stay split. */
static void drop_sweep(Group *g, int old_sweep, int old_form, bool made)
{
    if (made && g->env.sweep == (int)g->env.naxis - 1) g->env.naxis--;
    if (old_sweep < 0) g->env.sweep = -1;
    g->form = old_form;
}

/* Each stage computes again what earlier stages did, except for the rows that it finds kept. That makes long chains expensive to
 * run and to compile. */
static bool too_deep(const Fuse *f, const Node *n, const Use *u)
{
    Dim extent = index_reduced_extent(f->g, n);
    int64_t row = dim_is_const(extent) ? MAX_OF(extent, 1) * (int64_t)sizeof(float) : INT64_MAX;
    /* All that share a row keep it together. */
    if (shares(f, extent)) return u->level >= FUSE_LEVELS + 1;
    return u->level >= FUSE_LEVELS + MIN_OF((int64_t)f->ctx->target->row_cache_bytes / row, FUSE_ROWS);
}

static bool join_reduction(Fuse *f, const Node *n, uint32_t group, const Use *u)
{
    Group *g = fuse_group(f, group);
    int sweep = g->env.sweep, form = g->form;
    uint32_t naxis = g->env.naxis;
    if (u->nmap != 1) return fuse_no(f, STOP_places);
    if (too_deep(f, n, u)) return fuse_no(f, STOP_sweeps);
    if (!take_sweep(f, g, n, u->map[0])) return false;
    bool made = g->env.naxis > naxis;
    if (fuse_operands(f, n, group)) return true;
    drop_sweep(g, sweep, form, made);
    return fuse_no(f, STOP_moves);
}

static bool can_store(const Group *g, const Use *u)
{
    uint32_t axes;
    if (g->nresult >= FUSE_RESULTS || u->nmap != 1 || !index_bijective(&g->env, u->map[0], &axes)) return false;
    return (all_axes(g) & ~axes & ~sweep_bit(g)) == 0;
}

bool fuse_stays(const Fuse *f, uint32_t node)
{
    if (f->home[node] != NO_GROUP || f->copied[node]) return false;
    return f->role[node] == ROLE_OUTSIDE || f->outside[f->g->node.at[node].out];
}

/* Whether the group may store v: nothing that reads v from memory may be something that the group itself needs. */
static bool stays_acyclic(Fuse *f, Value v, uint32_t group)
{
    group = fuse_find(f, group);
    f->readers.len = 0;
    for (const Use *u = f->use[v]; u; u = u->next)
        if (fuse_find(f, u->group) != group) *VEC_PUSH(f->ctx->scratch, &f->readers) = fuse_group(f, u->group)->slot;
    for (uint32_t i = f->first_reader[v]; f->outside[v] && i < f->first_reader[v + 1]; i++)
        if (fuse_stays(f, f->reader[i])) *VEC_PUSH(f->ctx->scratch, &f->readers) = f->slot[f->reader[i]];
    return !fuse_needs(f, group, f->readers.at, f->readers.len);
}

bool fuse_join(Fuse *f, const Node *n, uint32_t group, bool as_result)
{
    Group *g = fuse_group(f, group);
    Use *u = fuse_use(f, n->out, group);
    int cost = fuse_cost(n);
    if (!u || u->read) return false;
    if (!fuse_room(f, n, group)) return fuse_no(f, STOP_length);
    if (as_result && !can_store(g, u)) return fuse_no(f, g->nresult >= FUSE_RESULTS ? STOP_results : STOP_places);
    if (as_result && !stays_acyclic(f, n->out, group)) return fuse_no(f, STOP_between);
    /* One division or square root per row is cheaper to compute again for each row than to put into a kernel of its own. */
    int cheap = !as_result && fuse_elements(f, n->out) == 1 ? 8 : 4;
    if (u->nmap > 1 && (cost > cheap || as_result)) return fuse_no(f, STOP_places);
    /* At the end of a product, whose rows are still in a cache, even a little is cheaper than in each of several windows. */
    const bool ends = op_def[n->op].flags & OPF_ELEMENTWISE && g->env.sweep >= 0 &&
                      ends_product(f, n->out, fuse_elements(f, n->out), PRODUCT_STEPS);
    for (uint32_t i = 0; i < u->nmap && (cost > cheap || ends); i++)
        if (repeats(f, g, n, u->map[i])) return fuse_no(f, STOP_again);
    if (node_reduces(n) && !join_reduction(f, n, group, u)) return false;
    if (!node_reduces(n) && !fuse_operands(f, n, group)) return fuse_no(f, STOP_moves);
    fuse_count(f, n, group);
    g->nresult += as_result;
    return true;
}

uint32_t fuse_new_group(Fuse *f, const Node *n)
{
    Arena *a = f->ctx->scratch;
    Group *g = ARENA_NEW(a, Group);
    uint32_t at = f->group.len;
    IndexMap root;
    index_env_init(&g->env, f->dims);
    g->env.affine = true;
    g->env.user = f;
    g->env.prim = env_prim;
    g->env.dim = env_dim;
    g->env.axis = env_axis;
    g->env.clamped = env_clamped;
    g->env.extent[0] = type_elements(f->dims, graph_type(f->g, n->out));
    g->env.naxis = g->env.extent[0] == 1 ? 0 : 1; /* axes are split as maps ask for it */
    g->form = -1;
    g->slot = f->g->value.at[n->out].node;
    g->into = at;
    *VEC_PUSH(a, &f->group) = g;
    index_root(&g->env, g->env.naxis, &root);
    for (Use *u = f->use[n->out]; u; u = u->next) fuse_reads(u, f->why);
    fuse_demand(f, n->out, at, &root);
    return at;
}

/* ---- merging ------------------------------------------------------------------------------------- */

/* Splits axes of both groups until both see the shared value through the same sizes. */
static bool align(Fuse *f, Group *a, Group *b, const Use *ua, const Use *ub)
{
    for (int tries = 0; tries < 2 * FUSE_AXES; tries++) {
        const IndexMap *x = ua->map[0], *y = ub->map[0];
        uint32_t i = 0;
        while (i < x->rank && i < y->rank && x->dim[x->rank - 1 - i] == y->dim[y->rank - 1 - i]) i++;
        if (i == x->rank && i == y->rank) return true;
        if (i == x->rank || i == y->rank) return false;
        Dim dx = x->dim[x->rank - 1 - i], dy = y->dim[y->rank - 1 - i], q;
        const IndexExpr *ex = &x->at[x->rank - 1 - i], *ey = &y->at[y->rank - 1 - i];
        bool coarse_x = dim_divides(f->dims, dx, dy, &q);
        const IndexExpr *e = coarse_x ? ex : ey;
        uint32_t axis = 0;
        while (axis < INDEX_AXES && e->coef[axis] == 0) axis++;
        if (!coarse_x && !dim_divides(f->dims, dy, dx, &q)) return false;
        if (axis == INDEX_AXES || !split_axis(f, coarse_x ? a : b, axis, coarse_x ? dy : dx)) return false;
    }
    return false;
}

static int axis_of(const IndexExpr *e)
{
    for (int a = 0; a < INDEX_AXES; a++)
        if (e->coef[a] != 0) return a;
    return -1;
}

/* Finds which axis of group a each axis of group b is; axes that the shared value does not use are matched by their extents. */
static bool match_axes(const Group *a, const Group *b, const IndexMap *x, const IndexMap *y, uint8_t *perm)
{
    uint32_t taken = 0, known = 0;
    if (a->env.naxis < b->env.naxis) return false;
    for (uint32_t i = 0; i < x->rank; i++) {
        int ax = axis_of(&x->at[i]), by = axis_of(&y->at[i]);
        perm[by] = (uint8_t)ax;
        taken |= 1u << ax;
        known |= 1u << by;
    }
    for (uint32_t by = 0; by < b->env.naxis; by++) {
        if (known >> by & 1) continue;
        uint32_t ax = 0;
        while (ax < a->env.naxis && ((taken >> ax & 1) || a->env.extent[ax] != b->env.extent[by])) ax++;
        if (ax == a->env.naxis) return false;
        perm[by] = (uint8_t)ax;
        taken |= 1u << ax;
    }
    for (uint32_t by = 0; by < b->env.naxis; by++)
        if (a->env.extent[perm[by]] != b->env.extent[by]) return false;
    return (all_axes(a) & ~taken & ~sweep_bit(a)) == 0; /* what b does not walk, it may do once per point */
}

static bool compatible(Fuse *f, const Group *a, const Group *b, const uint8_t *perm, int *sweep)
{
    int sb = b->env.sweep >= 0 ? perm[b->env.sweep] : -1;
    *sweep = a->env.sweep >= 0 ? a->env.sweep : sb;
    if (a->env.sweep >= 0 && sb >= 0 && a->env.sweep != sb) return fuse_no(f, STOP_axis);
    if (a->form >= 0 && b->form >= 0 && a->form != b->form) return fuse_no(f, STOP_sums);
    return *sweep < 0 || (a->env.sweep >= 0 && sb >= 0) || sweep_pays(f, a, *sweep, MAX_OF(a->form, b->form)) ||
           fuse_no(f, STOP_threads);
}

static void absorb(Fuse *f, uint32_t a, uint32_t b, const uint8_t *perm)
{
    Group *ga = f->group.at[a], *gb = f->group.at[b];
    fuse_order_merge(f, ga, gb);
    for (uint32_t i = 0; i < gb->use.len; i++) {
        Use *u = gb->use.at[i], *same = fuse_use(f, u->v, a);
        for (uint32_t k = 0; k < u->nmap; k++) index_rename(u->map[k], perm);
        if (!same) {
            u->group = a;
            *VEC_PUSH(f->ctx->scratch, &ga->use) = u;
            continue;
        }
        same->read |= u->read;
        if (same->why == STOP_none) same->why = u->why;
        same->level = MAX_OF(same->level, u->level);
        same->copies = MAX_OF(same->copies, u->copies);
        for (uint32_t k = 0; k < u->nmap; k++) fuse_add_map(f, same, u->map[k]);
        u->nmap = 0;
        Use **link = &f->use[u->v];
        while (*link != u) link = &(*link)->next;
        *link = u->next;
    }
    ga->sizes |= gb->sizes;
    ga->nmember += gb->nmember;
    ga->nmove += gb->nmove;
    ga->nresult += gb->nresult;
    if (gb->form >= 0) ga->form = gb->form;
    gb->into = a;
    gb->use.len = 0;
}

/* Whether the merged group can keep all maps of both, which has to be known before anything is changed. */
static bool maps_fit(const Fuse *f, uint32_t a, const Group *b)
{
    for (uint32_t i = 0; i < b->use.len; i++) {
        const Use *same = fuse_use(f, b->use.at[i]->v, a);
        if (same && same->nmap + b->use.at[i]->nmap > fuse_maps(f, same->v)) return false;
    }
    return true;
}

bool fuse_merge(Fuse *f, Value shared, uint32_t a, uint32_t b)
{
    a = fuse_find(f, a);
    b = fuse_find(f, b);
    Group *ga = f->group.at[a], *gb = f->group.at[b];
    const Use *ua = fuse_use(f, shared, a), *ub = fuse_use(f, shared, b);
    uint32_t axes;
    uint8_t perm[INDEX_AXES] = {0};
    int sweep;
    if (a == b) return true;
    if (!ua || !ub || ua->nmap != 1 || ub->nmap != 1) return fuse_no(f, STOP_places);
    if (ua->map[0]->rank == 0) return fuse_no(f, STOP_others); /* a number says nothing about points */
    if (ga->nmember + gb->nmember > FUSE_MEMBERS || ga->nmove + gb->nmove > FUSE_MOVES) return fuse_no(f, STOP_length);
    if (ga->nresult + gb->nresult > FUSE_RESULTS) return fuse_no(f, STOP_results);
    if (!index_bijective(&ga->env, ua->map[0], &axes) || !index_bijective(&gb->env, ub->map[0], &axes))
        return fuse_no(f, STOP_places);
    if (!maps_fit(f, a, gb)) return fuse_no(f, STOP_places);
    if (fuse_needs(f, a, &gb->slot, 1) || fuse_needs(f, b, &ga->slot, 1)) return fuse_no(f, STOP_between);
    if (!align(f, ga, gb, ua, ub)) return fuse_no(f, STOP_points);
    if (gb->env.naxis > ga->env.naxis) return fuse_merge(f, shared, b, a);
    if (!match_axes(ga, gb, ua->map[0], ub->map[0], perm)) return fuse_no(f, STOP_points);
    if (!compatible(f, ga, gb, perm, &sweep)) return false;
    ga->env.sweep = sweep;
    absorb(f, a, b, perm);
    return true;
}
