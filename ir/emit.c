/* emit: the Emit that appends to a graph, the short forms that gradient rules are written in,
 * and the walk of an elementwise op's gradient column. Relies on graph, op. Never runs an op. */
#include "emit.h"

static Value append(Emit *e, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    GraphEmit *ge = (GraphEmit *)e;
    if (ge->st->code != ST_OK) return 0;
    for (uint32_t i = 0; i < nin; i++)
        if (in[i] == 0) return 0;
    return graph_append(ge->g, op, in, nin, attr, nattr, e->loc, ge->st);
}

static const Type *appended_type(Emit *e, Value v) { return graph_type(((GraphEmit *)e)->g, v); }

void graph_emit_init(GraphEmit *ge, Graph *g, Status *st)
{
    *ge = (GraphEmit){.e = {.op = append, .type = appended_type, .module = g->module}, .g = g, .st = st};
}

/* ---- short forms ---------------------------------------------------------------------------- */

Value emit1(Emit *e, Op op, Value a) { return a == 0 ? 0 : e->op(e, op, &a, 1, NULL, 0); }

Value emit2(Emit *e, Op op, Value a, Value b) { return a == 0 || b == 0 ? 0 : e->op(e, op, (Value[]){a, b}, 2, NULL, 0); }

Value emit3(Emit *e, Op op, Value a, Value b, Value c)
{
    return a == 0 || b == 0 || c == 0 ? 0 : e->op(e, op, (Value[]){a, b, c}, 3, NULL, 0);
}

Value emit_attr(Emit *e, Op op, Value a, const int64_t *attr, uint32_t nattr)
{
    return a == 0 ? 0 : e->op(e, op, &a, 1, attr, nattr);
}

/* The attribute bits of v as an element of t: rounded as a store would round it. */
static int64_t scalar_bits(DType t, double v)
{
    if (!dtype_is_float(t)) return (int64_t)v;
    uint64_t room = 0;
    dtype_store_f64(t, &room, v);
    return attr_of_f64(dtype_load_f64(t, &room));
}

Value emit_constant(Emit *e, double v, const Type *like)
{
    const struct constant_attrs *c = constant_typed(like, scalar_bits(like->dtype, v), ATTRS_ROOM(constant, MAX_RANK));
    return e->op(e, OP_constant, NULL, 0, ATTRS_TO(c, c->shape + like->rank));
}

Value emit_iota(Emit *e, const Type *like, int64_t axis)
{
    struct iota_attrs *a = ATTRS_ROOM(iota, MAX_RANK);
    a->dtype = DT_i64;
    a->axis = axis;
    memcpy(a->shape, like->dim, like->rank * sizeof *a->shape);
    return e->op(e, OP_iota, NULL, 0, ATTRS_TO(a, a->shape + like->rank));
}

Value emit_extent(Emit *e, Dim d)
{
    return dim_is_const(d) ? e->op(e, OP_constant, NULL, 0, ATTRS_OF(constant, .dtype = DT_i64, .value = d))
                           : e->op(e, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = d));
}

static bool same_shape(const Type *a, const Type *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

Value emit_reshape(Emit *e, Value a, const Type *shape)
{
    if (a == 0 || same_shape(e->type(e, a), shape)) return a;
    return emit_attr(e, OP_reshape, a, shape->dim, shape->rank);
}

Value emit_broadcast(Emit *e, Value a, const Type *shape)
{
    if (a == 0 || same_shape(e->type(e, a), shape)) return a;
    return emit_attr(e, OP_broadcast, a, shape->dim, shape->rank);
}

Value emit_sum_to(Emit *e, Value a, const Type *shape)
{
    if (a == 0) return 0;
    const Type *from = e->type(e, a);
    uint32_t extra = (uint32_t)from->rank - shape->rank, n = 0;
    int64_t axes[MAX_RANK];
    for (uint32_t i = 0; i < from->rank; i++)
        if (i < extra || (shape->dim[i - extra] == 1 && from->dim[i] != 1)) axes[n++] = i;
    return emit_reshape(e, emit_reduce(e, OP_sum, a, axes, n), shape);
}

Value emit_transpose(Emit *e, Value a, const int64_t *perm, uint32_t n)
{
    bool moves = false;
    for (uint32_t i = 0; i < n; i++) moves |= perm[i] != i;
    return moves ? emit_attr(e, OP_transpose, a, perm, n) : a;
}

Value emit_swap_last(Emit *e, Value a)
{
    if (a == 0) return 0;
    uint32_t rank = e->type(e, a)->rank;
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    return emit_transpose(e, a, perm, rank);
}

Value emit_cast(Emit *e, Value a, DType to)
{
    if (a == 0 || e->type(e, a)->dtype == to) return a;
    return emit_attr(e, OP_cast, a, ATTRS_OF(cast, .to = to));
}

Value emit_wide(Emit *e, Value a)
{
    if (a == 0) return 0;
    return emit_cast(e, a, (DType)dtype_info[e->type(e, a)->dtype].compute);
}

Value emit_reduce(Emit *e, Op op, Value a, const int64_t *axes, uint32_t n) { return n == 0 ? a : emit_attr(e, op, a, axes, n); }

Value emit_slice(Emit *e, Value a, uint32_t axis, Dim first, Dim size)
{
    if (a == 0) return 0;
    const Type *t = e->type(e, a);
    if (first == 0 && size == t->dim[axis]) return a;
    struct slice_attrs *s = slice_all(t, ATTRS_ROOM(slice, 3 * MAX_RANK));
    s->axis[axis].first = first;
    s->axis[axis].size = size;
    return emit_attr(e, OP_slice, a, ATTRS_TO(s, s->axis + t->rank));
}

Value emit_pad(Emit *e, Value a, uint32_t axis, Dim low, Dim high, double fill)
{
    if (a == 0 || (low == 0 && high == 0)) return a;
    const Type *t = e->type(e, a);
    struct pad_attrs *p = ATTRS_ROOM(pad, 2 * MAX_RANK);
    p->fill = scalar_bits(t->dtype, fill);
    p->axis[axis].low = low;
    p->axis[axis].high = high;
    return emit_attr(e, OP_pad, a, ATTRS_TO(p, p->axis + t->rank));
}

/* ---- gradients ------------------------------------------------------------------------------ */

/* One expression of a gradient column; *at ends behind it. */
static Value column(const Vjp *v, const GradTok **at)
{
    const GradTok *tok = (*at)++;
    switch (tok->kind) {
    case GK_G: return v->g[0];
    case GK_R: return v->out[0];
    case GK_X: return v->in[0];
    case GK_Y: return v->in[1];
    case GK_Z: return v->in[2];
    case GK_CONST: return emit_constant(v->e, tok->value, v->e->type(v->e, v->g[0]));
    case GK_OP: {
        Value arg[3];
        uint32_t n = (uint32_t)op_def[tok->op].nin;
        bool whole = true;
        for (uint32_t i = 0; i < n; i++) {
            arg[i] = column(v, at);
            whole &= arg[i] != 0;
        }
        return whole ? v->e->op(v->e, (Op)tok->op, arg, n, NULL, 0) : 0;
    }
    default: CHECK(!"a gradient column is a prefix expression"); return 0;
    }
}

static bool exact(uint16_t op)
{
    return op == OP_where || op == OP_neg || op == OP_abs || op == OP_sign || op_def[op].flags & OPF_TO_BOOL;
}

/* A gradient column of a 16-bit op that would round more than once is computed in f32 (the compute type), from the operands and
 * from an unrounded result, and rounded once at its end. */
typedef struct Wide {
    Vjp v;
    Value in[3], out, g;
} Wide;

static bool widens(const Vjp *v, const GradTok *column)
{
    int roundings = 0;
    DType own = (DType)v->e->type(v->e, v->g[0])->dtype;
    if (dtype_info[own].compute == own) return false;
    for (const GradTok *t = column; t->kind != GK_END; t++) roundings += t->kind == GK_OP && !exact(t->op);
    return roundings > 1;
}

static void widen(Wide *w, const Vjp *v)
{
    const uint32_t n = v->node->nin;
    *w = (Wide){.v = *v, .g = emit_wide(v->e, v->g[0])};
    for (uint32_t i = 0; i < n; i++) w->in[i] = emit_wide(v->e, v->in[i]);
    w->out = w->in[0] == 0 || w->in[n - 1] == 0 ? 0 : v->e->op(v->e, (Op)v->node->op, w->in, n, NULL, 0);
    w->v.in = w->in;
    w->v.out = &w->out;
    w->v.g = &w->g;
}

static void columns(Vjp *v)
{
    const DType own = (DType)v->e->type(v->e, v->g[0])->dtype;
    Wide w = {.g = 0};
    for (uint32_t i = 0; i < v->node->nin && i < 3; i++) {
        const GradTok *at = op_def[v->node->op].grad[i];
        if (!v->wanted[i] || !at || at->kind == GK_NONE) continue;
        if (!widens(v, at)) {
            v->dx[i] = column(v, &at);
            continue;
        }
        if (w.g == 0) widen(&w, v);
        v->dx[i] = emit_cast(v->e, column(&w.v, &at), own);
    }
}

bool vjp_node(Vjp *v)
{
    const OpDef *def = &op_def[v->node->op];
    if (def->vjp)
        def->vjp(v);
    else if (def->flags & OPF_ELEMENTWISE && v->g[0] != 0)
        columns(v);
    return v->st->code == ST_OK;
}
