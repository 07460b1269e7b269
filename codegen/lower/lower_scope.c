/* lower_scope: goes through the nodes of one graph in order, finds which are needed and calls what lowers each. Relies on lower.h.
 * Makes no step itself. */
#include "lower.h"

static bool (*const lower_op[OP_COUNT])(Scope *s, const Node *n) = {
#define OUTSIDE(name) [OP_##name] = lower_##name,
#define ROUTINE(name, role) [OP_##name] = lower_##role,
#include "../../ir/outside.h"
};

static bool lower_node(Scope *s, const Node *n)
{
    if (op_is_alias((Op)n->op)) return true; /* the root's buffer */
    return lower_op[n->op] ? lower_op[n->op](s, n) : lower_single(s, n);
}

static void need(Scope *s, Value v) { s->needed[scope_root(s->g, v)] = true; }

/* Goes through the nodes from the end and marks the values that a needed node or an effect reads. */
static void mark_needed(Scope *s)
{
    for (uint32_t i = 0; i < s->g->result.len; i++) need(s, s->g->result.at[i]);
    for (uint32_t i = s->g->node.len; i-- > 0;) {
        const Node *n = &s->g->node.at[i];
        bool wanted = node_has_effect(s->lw->m, n) || n->op == OP_set_size,
             single = !(op_def[n->op].flags & (OPF_REGION | OPF_EFFECT | OPF_CONTRACTS));
        for (uint32_t k = 0; k < n->nout; k++) wanted |= s->needed[n->out + k];
        if (!wanted || op_is_alias((Op)n->op)) continue;
        for (uint32_t k = 0; k < n->nout && n->op != OP_set_size; k++) s->needed[n->out + k] = true;
        if (op_takes_strides((Op)n->op)) {
            contract_needs(s, n);
            continue;
        }
        for (uint32_t k = 0; k < n->nin; k++) {
            if (single && op_is_source((Op)graph_maker(s->g, n->in[k])->op)) continue;
            if (n->op != OP_loop || k != 0 || loop_reads_trip(s, n)) need(s, n->in[k]);
        }
    }
}

bool scope_run(Scope *s)
{
    const StepOrigin *outer = s->lw->origin;
    mark_needed(s);
    for (uint32_t i = 0; i < s->g->node.len; i++) {
        const Node *n = &s->g->node.at[i];
        if (!(n->nout != 0 && s->needed[n->out]) && !node_has_effect(s->lw->m, n) && n->op != OP_set_size) continue;
        StepOrigin *origin = ARENA_NEW(s->lw->arena, StepOrigin);
        *origin = (StepOrigin){.g = s->g, .node = i};
        s->lw->origin = origin;
        if (!lower_node(s, n) || s->lw->st->code != ST_OK) return false;
    }
    s->lw->origin = outer;
    return true;
}
