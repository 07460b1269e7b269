/* fold: what a node is worth without running it: elementwise ops of constants through the scalar
 * algebra, identities that hold in every bit (docs/numerics.md). Relies on rebuild, infer;
 * movement's identities lie in fold_move.c. Never approximates. */
#include "fold.h"

#include "fold_move.h"
#include "infer.h"

bool value_is_constant(const Graph *g, Value x, Scalar *v)
{
    const Node *n = graph_maker(g, x);
    if (x == 0 || n->op != OP_constant) return false;
    if (dtype_is_float((DType)n->attr->at[0]))
        v->f = attr_f64(n->attr->at[1]);
    else
        v->i = n->attr->at[1];
    return true;
}

Value fold_constant(Rebuild *rb, const Type *type, Scalar v, Loc loc)
{
    int64_t attr[2 + MAX_RANK] = {type->dtype, v.i};
    if (dtype_is_float(type->dtype)) { /* held rounded, and NaN in one form */
        uint64_t room = 0;
        dtype_store_f64(type->dtype, &room, v.f);
        v.f = dtype_load_f64(type->dtype, &room);
        attr[1] = attr_of_f64(v.f != v.f ? (double)__builtin_nan("") : v.f);
    }
    memcpy(attr + 2, type->dim, type->rank * sizeof *attr);
    return rebuild_op(rb, OP_constant, NULL, 0, attr, 2u + type->rank, loc);
}

const Node *fold_maker(const Rebuild *rb, Value x, Op op)
{
    const Node *n = graph_maker(rb->to, x);
    return x != 0 && n->op == op ? n : NULL;
}

/* ---- constants ------------------------------------------------------------------------------ */

static Value constant_elementwise(
    Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    const OpDef *def = &op_def[op];
    Scalar arg[3], r;
    if (nin == 0 || nin > 3) return 0;
    for (uint32_t i = 0; i < nin; i++)
        if (!value_is_constant(rb->to, in[i], &arg[i])) return 0;
    Type type = *graph_type(rb->to, in[nin - 1]);
    DType from = (DType)dtype_info[type.dtype].compute;
    if (def->flags & OPF_CAST) {
        type.dtype = (uint8_t)attr[0];
        r = scalar_cast(from, (DType)type.dtype, nattr > 1, arg[0]);
    } else {
        const ScalarTok *value = dtype_is_float(type.dtype) ? def->value_f : def->value_i;
        if (value == NULL) return 0;
        if (def->flags & OPF_TO_BOOL) type.dtype = DT_bool;
        r = scalar_eval(value, from, (DType)dtype_info[type.dtype].compute, arg);
    }
    return fold_constant(rb, &type, r, loc);
}

/* ---- identities ----------------------------------------------------------------------------- */

typedef struct Operand {
    Value v;
    bool is_constant, is_float;
    uint8_t dtype;
    Scalar c;
} Operand;

static Operand operand(const Rebuild *rb, Value v)
{
    Operand o = {.v = v, .dtype = graph_type(rb->to, v)->dtype};
    o.is_constant = value_is_constant(rb->to, v, &o.c);
    o.is_float = dtype_is_float(o.dtype);
    return o;
}

static bool is_number(const Operand *o, int64_t n)
{
    if (!o->is_constant) return false;
    return o->is_float ? o->c.f == (double)n && (n != 0 || !__builtin_signbit(o->c.f))
                       : o->c.i == n;
}

static bool is_minus_zero(const Operand *o)
{
    return o->is_constant && o->is_float && o->c.f == 0 && __builtin_signbit(o->c.f);
}

static bool is_zero_int(const Operand *o) { return !o->is_float && is_number(o, 0); }

/* All bits set: -1, true, or an unsigned type's largest value. */
static bool is_ones(const Operand *o)
{
    if (!o->is_constant || o->is_float) return false;
    if (o->dtype == DT_bool) return o->c.i != 0;
    size_t bits = 8 * dtype_bytes(o->dtype);
    return bits == 64 ? o->c.i == -1 : (~o->c.u & (((uint64_t)1 << bits) - 1)) == 0;
}

static Value integer(Rebuild *rb, Value like, int64_t n, Loc loc)
{
    return fold_constant(rb, graph_type(rb->to, like), (Scalar){.i = n}, loc);
}

static Value fold_arithmetic(Rebuild *rb, Op op, const Operand *x, const Operand *y, Loc loc)
{
    switch (op) {
    case OP_add: /* x + 0 turns -0 into 0; x + -0 is x */
        if (is_minus_zero(y) || is_zero_int(y)) return x->v;
        if (is_minus_zero(x) || is_zero_int(x)) return y->v;
        return 0;
    case OP_sub:
        if (is_number(y, 0)) return x->v;
        return !x->is_float && x->v == y->v ? integer(rb, x->v, 0, loc) : 0;
    case OP_mul:
        if (is_number(y, 1)) return x->v;
        if (is_number(x, 1)) return y->v;
        if (is_zero_int(y)) return y->v;
        return is_zero_int(x) ? x->v : 0;
    case OP_div:
    case OP_floor_div: /* of floats, floor_div by 1 is a floor */
        if (op == OP_floor_div && x->is_float) return 0;
        return is_number(y, 1) ? x->v : 0;
    case OP_shl:
    case OP_shr: return is_zero_int(y) ? x->v : 0;
    case OP_max:
    case OP_min: return x->v == y->v ? x->v : 0;
    default: return 0;
    }
}

static Value fold_logic(Rebuild *rb, Op op, const Operand *x, const Operand *y, Loc loc)
{
    switch (op) {
    case OP_and:
        if (x->v == y->v || is_ones(y) || is_zero_int(x)) return x->v;
        return is_ones(x) || is_zero_int(y) ? y->v : 0;
    case OP_or:
        if (x->v == y->v || is_zero_int(y) || is_ones(x)) return x->v;
        return is_zero_int(x) || is_ones(y) ? y->v : 0;
    case OP_xor:
        if (x->v == y->v) return integer(rb, x->v, 0, loc);
        if (is_zero_int(y)) return x->v;
        return is_zero_int(x) ? y->v : 0;
    case OP_eq:
    case OP_le:
    case OP_ge:
    case OP_ne:
    case OP_lt:
    case OP_gt: {
        if (x->is_float || x->v != y->v) return 0;
        Type type = *graph_type(rb->to, x->v);
        type.dtype = DT_bool;
        return fold_constant(
            rb, &type, (Scalar){.i = op == OP_eq || op == OP_le || op == OP_ge}, loc);
    }
    default: return 0;
    }
}

static Value fold_unary(Rebuild *rb, Op op, Value x)
{
    const Node *inner;
    switch (op) {
    case OP_neg:
    case OP_not: return (inner = fold_maker(rb, x, op)) != NULL ? inner->in[0] : 0;
    case OP_abs:
    case OP_floor:
    case OP_ceil:
    case OP_trunc:
    case OP_round: /* once is enough */ return fold_maker(rb, x, op) != NULL ? x : 0;
    default: return 0;
    }
}

static Value fold_where(Rebuild *rb, const Value *in)
{
    Scalar c, a, b;
    if (in[1] == in[2]) return in[1];
    if (value_is_constant(rb->to, in[0], &c)) return c.i != 0 ? in[1] : in[2];
    bool bools = graph_type(rb->to, in[1])->dtype == DT_bool;
    if (bools && value_is_constant(rb->to, in[1], &a) && value_is_constant(rb->to, in[2], &b) &&
        a.i != 0 && b.i == 0)
        return in[0];
    return 0;
}

/* True if every value of `from` comes back from `wide` unchanged. */
static bool lossless(DType from, DType wide)
{
    if (dtype_is_float(from)) return dtype_is_float(wide) && dtype_holds(wide, from);
    return dtype_is_int(wide) && (from == DT_bool || dtype_bytes(wide) >= dtype_bytes(from));
}

static Value fold_cast(Rebuild *rb, Value x, DType to)
{
    if (graph_type(rb->to, x)->dtype == to) return x;
    const Node *inner = fold_maker(rb, x, OP_cast);
    if (inner == NULL) return 0;
    DType from = (DType)graph_type(rb->to, inner->in[0])->dtype;
    return from == to && inner->attr->len == 1 && lossless(from, (DType)graph_type(rb->to, x)->dtype) ? inner->in[0] : 0;
}

static Value fold_elementwise(
    Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    Value v = constant_elementwise(rb, op, in, nin, attr, nattr, loc);
    if (v != 0) return v;
    if (op_def[op].flags & OPF_CAST) return nattr > 1 ? 0 : fold_cast(rb, in[0], (DType)attr[0]);
    if (nin == 1) return fold_unary(rb, op, in[0]);
    if (op == OP_where) return fold_where(rb, in);
    if (nin != 2) return 0;
    const Operand x = operand(rb, in[0]), y = operand(rb, in[1]);
    v = fold_arithmetic(rb, op, &x, &y, loc);
    return v != 0 ? v : fold_logic(rb, op, &x, &y, loc);
}

Value fold_node(
    Rebuild *rb, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr, Loc loc)
{
    const unsigned flags = op_def[op].flags;
    if (op == OP_leaf) return in[0];
    if (op == OP_saved) return in[1];
    if (flags & (OPF_ELEMENTWISE | OPF_CAST)) return fold_elementwise(rb, op, in, nin, attr, nattr, loc);
    if (flags & OPF_MOVES) return fold_move(rb, op, in, nin, attr, nattr, loc);
    if (flags & OPF_REDUCES && nattr == 0) return in[0];
    if (op == OP_dim_size && dim_is_const(attr[0])) {
        const Type type = {.dtype = DT_i64};
        return fold_constant(rb, &type, (Scalar){.i = attr[0]}, loc);
    }
    return 0;
}
