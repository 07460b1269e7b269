/* fold: what a node is worth without running it: moves of constants here, all else through the rules of each op's family.
 * Relies on family, rebuild. Never approximates. */
#include "fold.h"

#include "family.h"

bool value_is_constant(const Graph *g, Value x, Scalar *v)
{
    const Node *n = graph_maker(g, x);
    if (x == 0 || n->op != OP_constant) return false;
    const struct constant_attrs *c = ATTRS(constant, n->attr->at);
    if (dtype_is_float((DType)c->dtype))
        v->f = attr_f64(c->value);
    else
        v->i = c->value;
    return true;
}

Value folded_constant(const Folding *f, const Type *type, Scalar v)
{
    if (dtype_is_float(type->dtype)) { /* held rounded, and NaN in one form */
        uint64_t room = 0;
        dtype_store_f64(type->dtype, &room, v.f);
        v.f = dtype_load_f64(type->dtype, &room);
        if (v.f != v.f) v.f = (double)__builtin_nan("");
    }
    const struct constant_attrs *c = constant_typed(type, v.i, ATTRS_ROOM(constant, MAX_RANK));
    return rebuild_op(f->rb, OP_constant, NULL, 0, ATTRS_TO(c, c->shape + type->rank), f->loc);
}

const Node *folded_maker(const Folding *f, Value x, Op op)
{
    const Node *n = graph_maker(f->rb->to, x);
    return x != 0 && n->op == op ? n : NULL;
}

/* Moving equal elements gives equal elements: the constant in the result's shape. Of an op with a fixed number of operands all but
 * the first only say how to move; an op with any number of operands joins them. */
static Value move_of_constant(const Folding *f)
{
    Scalar first, c;
    const OpDef *def = &op_def[f->op];
    if (f->nin == 0 || !value_is_constant(f->rb->to, f->in[0], &first)) return 0;
    for (uint32_t i = 1; i < f->nin && def->nin < 0; i++)
        if (!value_is_constant(f->rb->to, f->in[i], &c) || c.i != first.i) return 0;
    if (def->attrs[0] == 'v' && f->attr[0] != first.i) return 0; /* what comes in is another */
    Infer inf;
    if (!infer_node(&inf, f->rb->to, f->op, f->in, f->nin, f->attr, f->nattr, f->rb->st)) return 0;
    return folded_constant(f, &inf.out[0], first);
}

Value fold_node(Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    const OpDef *def = &op_def[op];
    const Folding f = {rb, op, in, nin, attr, nattr, loc};
    if (def->flags & (OPF_ELEMENTWISE | OPF_CAST)) return fold_elementwise(&f);
    Value v = def->flags & OPF_MOVES ? move_of_constant(&f) : 0;
    return v != 0 || rb->st->code != ST_OK || !def->fold ? v : def->fold(&f);
}
