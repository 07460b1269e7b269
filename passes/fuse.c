/* fuse: groups nodes into kernels. In: any valid graph, best after decompose. Out: the same results; every node that computes is in
 * the body graph of a `kernel` node, whose attributes say over which axes its results lie. Outside stay parameters, contractions,
 * loops, calls, scatters and other ops of role OUTSIDE, reshapes of values in memory, and what contractions read through strides.
 *
 * Nodes are visited from the last to the first, so all who ask for a value are placed before it. A value joins the kernel that asks
 * for it; one that several ask for joins them if they can be merged, is computed again in each where that is cheap, or is stored by
 * one of them. Values outside that several kernels over the same points read merge those kernels. */
#include "../ir/sizes.h"
#include "fuse.h"

static void need(Fuse *f, Value v, bool solid)
{
    f->outside[v] = true;
    f->solid[v] |= solid;
}

static void need_operands(Fuse *f, const Node *n, bool solid)
{
    for (uint32_t k = 0; k < fuse_operand_count(n); k++) need(f, n->in[k], solid);
}

/* ---- groups that read the same ------------------------------------------------------------------- */

static void merge_readers(Fuse *f, Value v)
{
    f->some.len = 0;
    for (const Use *u = f->use[v]; u; u = u->next)
        if (u->nmap != 0 && fuse_find(f, u->group) != fuse_find(f, f->home[f->g->value.at[v].node]))
            *VEC_PUSH(f->ctx->scratch, &f->some) = u->group;
    for (uint32_t i = 0; i < f->some.len; i++)
        for (uint32_t k = i + 1; k < f->some.len && k < i + FUSE_NEAR; k++) fuse_merge(f, v, f->some.at[i], f->some.at[k]);
}

/* ---- placing a node ------------------------------------------------------------------------------ */

/* Gives the node a kernel of its own; if even that is impossible, the node stays outside of kernels. */
static void stand_alone(Fuse *f, uint32_t node)
{
    const Node *n = &f->g->node.at[node];
    if (!node_reduces(n) || index_one_run(n)) {
        uint32_t group = fuse_new_group(f, n);
        if (fuse_join(f, n, group, false)) {
            fuse_order_place(f, node, group);
            f->result[n->out] = true;
            f->group.at[group]->nresult = 1;
            return;
        }
        fuse_drop_newest(f, n->out);
    }
    f->role[node] = ROLE_OUTSIDE;
    f->outside[n->out] = true;
    need_operands(f, n, true);
}

static void visit_move(Fuse *f, uint32_t node)
{
    const Node *n = &f->g->node.at[node];
    Value v = n->out;
    const uint8_t role = f->role[node];
    bool read = false;
    for (Use *u = f->use[v]; u; u = u->next) {
        if (!u->read && n->nin != 0 && !fuse_room(f, n, u->group)) fuse_reads(u, STOP_length);
        if (!u->read && !fuse_operands(f, n, u->group)) fuse_reads(u, STOP_moves);
        if (!u->read && n->nin != 0) fuse_count(f, n, u->group);
        read |= u->read;
    }
    if (!read && !f->outside[v]) return;
    bool alias = role <= ROLE_ALIAS;
    if (alias || (role <= ROLE_VIEW && !read && !f->solid[v])) {
        f->outside[v] = true;
        need_operands(f, n, alias && (f->solid[v] || read));
        return;
    }
    /* Groups that already fold this move into their index maps keep doing so; only the remaining users read the stored copy. */
    Use *first = f->use[v];
    bool *was = ARENA_ARRAY(f->ctx->scratch, bool, f->group.len + 1);
    for (Use *u = first; u; u = u->next) was[u->group] = u->read;
    stand_alone(f, node);
    for (Use *u = first; u; u = u->next) u->read = was[u->group];
}

/* Left in f->some. */
static uint32_t askers(Fuse *f, Value v)
{
    f->some.len = 0;
    for (const Use *u = f->use[v]; u; u = u->next)
        if (!u->read) *VEC_PUSH(f->ctx->scratch, &f->some) = fuse_find(f, u->group);
    return f->some.len;
}

/* Whether the value is cheaper to compute again than to store: that costs a few operations, and reads no more from memory than
 * reading the stored value would. */
static bool worth_copying(const Fuse *f, const Node *n)
{
    uint32_t large = 0;
    if (!(op_def[n->op].flags & (OPF_ELEMENTWISE | OPF_CAST)) || fuse_cost(n) > 4 || f->outside[n->out]) return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Node *from = graph_maker(f->g, n->in[k]);
        while (op_def[from->op].role == ROLE_ALIAS) from = graph_maker(f->g, from->in[0]);
        large += !op_is_source((Op)from->op) && op_def[from->op].role != ROLE_SPREAD;
    }
    return large <= 1;
}

static bool copy_everywhere(Fuse *f, uint32_t node)
{
    const Node *n = &f->g->node.at[node];
    for (Use *u = f->use[n->out]; u; u = u->next)
        if (u->read || u->copies >= FUSE_COPIES || !fuse_room(f, n, u->group)) return false;
    f->copied[node] = true;
    for (Use *u = f->use[n->out]; u; u = u->next) {
        f->copied[node] = f->copied[node] && fuse_operands(f, n, u->group);
        fuse_count(f, n, u->group);
    }
    return f->copied[node];
}

/* Value v is computed from a reduction that this kernel's sweep cannot include; v and that reduction then belong together in
 * another kernel. */
static bool wants_other_sweep(const Fuse *f, Value v, const Group *g, int depth)
{
    const Node *n = graph_maker(f->g, v);
    if (g->env.sweep < 0 || f->role[f->g->value.at[v].node] == ROLE_OUTSIDE || depth == 0) return false;
    if (node_reduces(n)) return index_reduced_extent(f->g, n) != g->env.extent[g->env.sweep];
    for (uint32_t k = 0; k < n->nin; k++)
        if (wants_other_sweep(f, n->in[k], g, depth - 1)) return true;
    return false;
}

/* A small reduction that a much larger kernel reads, and that would be computed together with other results. Inside that group the
 * large kernel would have to wait for all of them, and could not compute anything that they read. A kernel of its own costs next to
 * nothing. */
static bool holds_up(const Fuse *f, const Node *n, uint32_t group)
{
    if (!node_reduces(n)) return false;
    double few = 4 * fuse_elements(f, n->in[0]);
    for (const Use *u = f->use[n->out]; u; u = u->next)
        if (fuse_find(f, u->group) != group && fuse_points(f, u->group) >= few) return true;
    return false;
}

/* apart: why those that ask are not one kernel. */
static bool join(Fuse *f, uint32_t node, uint32_t group, bool as_result, uint8_t apart)
{
    const Node *n = &f->g->node.at[node];
    if (as_result && wants_other_sweep(f, n->out, fuse_group(f, group), 8)) return fuse_no(f, STOP_axis);
    if (!fuse_join(f, n, group, as_result)) return false;
    fuse_order_place(f, node, group);
    f->result[n->out] = as_result;
    for (Use *u = f->use[n->out]; u; u = u->next)
        if (fuse_find(f, u->group) != fuse_find(f, group)) fuse_reads(u, apart);
    return true;
}

/* Products alone read the cast of a value that lies in memory anyway: they read it as it is (lower_contract.c). */
static bool read_by_products(const Fuse *f, const Node *n)
{
    if (!f->ctx->host_products || f->solid[n->out] || f->use[n->out] || !node_widens(f->g, n)) return false;
    const Node *from = graph_maker(f->g, n->in[0]);
    while (op_def[from->op].role >= ROLE_SAME && op_def[from->op].role <= ROLE_VIEW) from = graph_maker(f->g, from->in[0]);
    return op_is_outside((Op)from->op);
}

static void visit_compute(Fuse *f, uint32_t node)
{
    const Node *n = &f->g->node.at[node];
    if (read_by_products(f, n)) {
        f->role[node] = ROLE_OUTSIDE;
        need_operands(f, n, false);
        return;
    }
    uint32_t count = askers(f, n->out);
    f->why = STOP_others;
    bool elsewhere = f->outside[n->out];
    for (Use *u = f->use[n->out]; u; u = u->next) elsewhere |= u->read;
    for (uint32_t i = 1; i < MIN_OF(count, FUSE_NEAR); i++) fuse_merge(f, n->out, f->some.at[0], f->some.at[i]);
    const uint8_t apart = f->why;
    count = askers(f, n->out);
    if (node_reduces(n) && !index_one_run(n)) count = 0, f->why = STOP_runs;
    if (count == 1 && join(f, node, f->some.at[0], elsewhere, apart)) return;
    if (count > 1 && !elsewhere && worth_copying(f, n) && copy_everywhere(f, node)) return;
    for (uint32_t i = 0; i < MIN_OF(count, FUSE_NEAR) && count > 1; i++)
        if (holds_up(f, n, f->some.at[i]))
            f->why = STOP_waits;
        else if (join(f, node, f->some.at[i], true, apart))
            return;
    if (count > 1 && f->why != STOP_waits) f->why = apart;
    stand_alone(f, node);
}

static void visit(Fuse *f, uint32_t node)
{
    const Node *n = &f->g->node.at[node];
    bool wanted = f->effect[node] != node || n->op == OP_set_size;
    for (uint32_t i = 0; i < n->nout; i++) wanted |= f->outside[n->out + i] || f->use[n->out + i];
    if (!wanted) {
        f->role[node] = ROLE_OUTSIDE;
        return;
    }
    if (f->role[node] == ROLE_OUTSIDE) {
        for (uint32_t i = 0; i < n->nout; i++) { /* of a product and its like nobody asks why it is in memory */
            f->outside[n->out + i] = true;
            for (Use *u = f->use[n->out + i]; u; u = u->next) u->read = true;
        }
        need_operands(f, n, !op_takes_strides((Op)n->op));
    } else if (fuse_in_all(f, node)) {
        visit_move(f, node);
    } else {
        visit_compute(f, node);
    }
    for (uint32_t i = 0; i < n->nout; i++)
        if (f->role[node] == ROLE_OUTSIDE || f->home[node] != NO_GROUP) merge_readers(f, n->out + i);
}

/* Makes each effect depend on the one before it, which keeps them in order. */
static void chain_effects(Fuse *f)
{
    uint32_t before = NO_EFFECT;
    f->effect = ARENA_ARRAY(f->ctx->scratch, uint32_t, f->g->node.len + 1);
    f->next_effect = ARENA_ARRAY(f->ctx->scratch, uint32_t, f->g->node.len + 1);
    for (uint32_t i = 0; i < f->g->node.len; i++) {
        bool effect = node_has_effect(f->g->module, &f->g->node.at[i]);
        f->effect[i] = effect ? before : i;
        f->next_effect[i] = NO_EFFECT;
        if (effect && before != NO_EFFECT) f->next_effect[before] = i;
        if (effect) before = i;
    }
}

/* False: more sizes than there are bits. */
static bool list_sizes(Fuse *f)
{
    const SizeNeeds *needs = size_needs(f->g, f->ctx->scratch);
    uint32_t *bit = ARENA_ARRAY(f->ctx->scratch, uint32_t, f->g->node.len + 1);
    if (!needs) return true;
    f->sizes = ARENA_ARRAY(f->ctx->scratch, uint64_t, f->g->node.len + 1);
    for (uint32_t i = 0; i < f->g->node.len; i++) {
        for (uint32_t k = needs->first[i]; k < needs->first[i + 1]; k++) f->sizes[i] |= (uint64_t)1 << bit[needs->maker[k]];
        if (f->g->node.at[i].op != OP_set_size) continue;
        if (f->ncounter == COUNT_OF(f->counter))
            return status_fail(f->ctx->st, ST_UNSUPPORTED, "%s: more than %u sizes are counted (by compress, nonzero, unique ...)",
                f->g->name, (unsigned)COUNT_OF(f->counter));
        bit[i] = f->ncounter;
        f->counter[f->ncounter++] = i;
    }
    return true;
}

static void list_readers(Fuse *f)
{
    const Graph *g = f->g;
    uint32_t n = 0;
    f->first_reader = ARENA_ARRAY(f->ctx->scratch, uint32_t, g->value.len + 2); /* one ahead while they are filled */
    for (uint32_t i = 0; i < g->node.len; i++) n += g->node.at[i].nin;
    f->reader = ARENA_ARRAY(f->ctx->scratch, uint32_t, n + 1);
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t k = 0; k < g->node.at[i].nin; k++) f->first_reader[g->node.at[i].in[k] + 2]++;
    for (uint32_t v = 2; v < g->value.len + 2; v++) f->first_reader[v] += f->first_reader[v - 1];
    for (uint32_t i = 0; i < g->node.len; i++)
        for (uint32_t k = 0; k < g->node.at[i].nin; k++) f->reader[f->first_reader[g->node.at[i].in[k] + 1]++] = i;
}

Graph *pass_fuse(PassCtx *ctx, const Graph *in)
{
    Arena *a = ctx->scratch;
    Fuse f = {.ctx = ctx, .g = in, .dims = &in->module->dims};
    uint32_t nodes = in->node.len + 1, values = in->value.len;
    if (in->kernel) return (Graph *)in;
    for (uint32_t i = 0; i < in->node.len; i++)
        if (in->node.at[i].op == OP_kernel) return (Graph *)in; /* done already */
    f.dyn_by_hash.arena = a;
    f.role = ARENA_ARRAY(a, uint8_t, nodes);
    f.home = ARENA_ARRAY(a, uint32_t, nodes);
    f.copied = ARENA_ARRAY(a, bool, nodes);
    f.outside = ARENA_ARRAY(a, bool, values);
    f.solid = ARENA_ARRAY(a, bool, values);
    f.result = ARENA_ARRAY(a, bool, values);
    f.use = ARENA_ARRAY(a, Use *, values);
    memset(f.home, 0xff, nodes * sizeof *f.home);
    fuse_order_start(&f);
    chain_effects(&f);
    if (!list_sizes(&f)) return NULL;
    list_readers(&f);
    /* Products that read windows where they lie want none of them made. */
    const bool reads_windows = ctx->target->digits && !ctx->host_products;
    for (uint32_t i = 0; i < in->node.len; i++) {
        const Op op = (Op)in->node.at[i].op;
        f.role[i] = op_is_outside(op) ? ROLE_OUTSIDE : op == OP_window && reads_windows ? ROLE_VIEW : op_def[op].role;
    }
    for (uint32_t i = 0; i < in->result.len; i++) need(&f, in->result.at[i], true);
    for (uint32_t i = in->node.len; i-- > 0;) visit(&f, i);
    return fuse_build(&f);
}
