/* lower_effect: lowers print, assert and callback to steps; their operands are in memory, their results in buffers. Relies on
 * lower.h. Never knows what the front end's record says. */
#include "lower.h"

static void list_sizes(Lower *lw, const Type *t)
{
    for (uint32_t i = 0; i < t->rank; i++) lower_dim(lw, t->dim[i]);
}

static bool effect(Scope *s, const Node *n)
{
    Lower *lw = s->lw;
    uint32_t count = (uint32_t)n->nin + n->nout, *buf = ARENA_ARRAY(lw->arena, uint32_t, count + 1);
    Type *type = ARENA_ARRAY(lw->arena, Type, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        Value v = i < n->nin ? n->in[i] : n->out + (i - n->nin);
        buf[i] = i < n->nin ? s->buf[scope_root(s->g, v)] : scope_result(s, v);
        if (buf[i] == NO_BUF)
            return status_fail(
                lw->st, ST_INTERNAL, "lowering %s: %s reads a value that was never computed", s->g->name, op_def[n->op].name);
        type[i] = *graph_type(s->g, v);
        list_sizes(lw, &type[i]);
    }
    Step *step = scope_step(s, STEP_EFFECT);
    step->buf = buf;
    step->effect.op = n->op;
    step->effect.number = ATTRS(print, n->attr->at)->record; /* every effect begins with it */
    lw->p->calls_back |= n->op == OP_callback;
    lw->p->may_fail = true;
    step->effect.nin = n->nin;
    step->effect.nout = n->nout;
    step->effect.type = type;
    for (uint32_t i = 0; i < count; i++) lower_read(lw, buf[i]);
    return true;
}

bool lower_print(Scope *s, const Node *n) { return effect(s, n); }
bool lower_assert(Scope *s, const Node *n) { return effect(s, n); }
bool lower_callback(Scope *s, const Node *n) { return effect(s, n); }
