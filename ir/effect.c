/* effect: see effect.h. Relies on rebuild. Never runs anything. */
#include "effect.h"

#include "rebuild.h"

const Graph *graph_without_effects(const Graph *from, Status *st)
{
    Module *m = from->module;
    bool any = false;
    for (uint32_t i = 0; i < from->node.len; i++) any |= node_has_effect(m, &from->node.at[i]);
    if (!any) return from;
    Graph *g = graph_new(m, arena_printf(m->arena, "%s_again%u", from->name, m->graph.len));
    Value *map = ARENA_ARRAY(m->arena, Value, from->value.len);
    for (uint32_t i = 0; i < from->node.len; i++) {
        const Node *n = &from->node.at[i];
        if (n->op == OP_param) {
            map[n->out] = graph_param(g, graph_type(from, n->out), n->loc);
            continue;
        }
        Value *in = ARENA_ARRAY(m->arena, Value, n->nin + 1);
        for (uint32_t k = 0; k < n->nin; k++) in[k] = map[n->in[k]];
        Value out = effect_append_again(g, n, in, st);
        if (out == 0) return NULL;
        for (uint32_t k = 0; k < n->nout; k++) map[n->out + k] = out + k;
    }
    for (uint32_t i = 0; i < from->result.len; i++) graph_result(g, map[from->result.at[i]]);
    return g;
}

Value effect_append_again(Graph *g, const Node *n, const Value *in, Status *st)
{
    const OpDef *def = &op_def[n->op];
    if (!node_has_effect(g->module, n)) return graph_append(g, (Op)n->op, in, n->nin, n->attr->at, n->attr->len, n->loc, st);
    if (n->nout == 0) return g->value.len;
    if (def->flags & OPF_EFFECT) {
        status_fail(st, ST_UNSUPPORTED,
            "%s: the gradient of a loop runs its body again, but a call into C (%s:%d) is made "
            "once; call before the loop, or after it",
            def->name, n->loc.file ? n->loc.file : "?", n->loc.line);
        return 0;
    }
    int64_t *attr = arena_copy(g->module->arena, n->attr->at, n->attr->len * sizeof *attr);
    for (uint32_t i = 0; i < n->attr->len; i++) {
        if (!op_attr_is_graph((Op)n->op, i)) continue;
        const Graph *body = graph_without_effects(g->module->graph.at[attr[i]], st);
        if (!body) return 0;
        attr[i] = body->index;
    }
    return graph_append(g, (Op)n->op, in, n->nin, attr, n->attr->len, n->loc, st);
}
