/* simplify: algebra that is exact in every bit but does not make the graph smaller by itself
 * (what does is a fold rule in ir/op_*.c, and happens in every rebuild). In: any valid graph. Out: the same
 * results from cheaper nodes. Never reassociates, and never trades one rounding for another. */
#include "../ir/fold.h"
#include "../ir/rebuild.h"
#include "pass.h"

typedef struct Simplify {
    Rebuild *rb;
    const Node *n; /* of the old graph */
    Value in[3];   /* its operands in the new one */
} Simplify;

static Value make(const Simplify *s, Op op, const Value *in, uint32_t nin, const int64_t *attr, uint32_t nattr)
{
    return rebuild_op(s->rb, op, in, nin, attr, nattr, s->n->loc);
}

static Value constant(const Simplify *s, const Type *like, int64_t value)
{
    const struct constant_attrs *c = constant_typed(like, value, ATTRS_ROOM(constant, MAX_RANK));
    return make(s, OP_constant, NULL, 0, ATTRS_TO(c, c->shape + like->rank));
}

static const Node *made_by(const Simplify *s, Value v, Op op)
{
    const Node *n = graph_maker(s->rb->to, v);
    return n->op == op ? n : NULL;
}

/* x + -y is x - y, x - -y is x + y, -x * -y is x * y: IEEE signs are exact, and integers wrap. */
static Value signs(const Simplify *s)
{
    const Node *x = made_by(s, s->in[0], OP_neg), *y = made_by(s, s->in[1], OP_neg);
    switch (s->n->op) {
    case OP_add:
        if (y) return make(s, OP_sub, (Value[]){s->in[0], y->in[0]}, 2, NULL, 0);
        return x ? make(s, OP_sub, (Value[]){s->in[1], x->in[0]}, 2, NULL, 0) : 0;
    case OP_sub: return y ? make(s, OP_add, (Value[]){s->in[0], y->in[0]}, 2, NULL, 0) : 0;
    case OP_mul:
    case OP_div:
        if (!x || !y) return 0;
        return make(s, (Op)s->n->op, (Value[]){x->in[0], y->in[0]}, 2, NULL, 0);
    default: return 0;
    }
}

/* The reciprocal of a power of two, if both are normal numbers of t: then x / c and x * (1/c)
 * round the same exact value. */
static bool exact_reciprocal(DType t, double c, double *r)
{
    uint64_t bits = (uint64_t)attr_of_f64(c);
    int exponent = (int)(bits >> 52 & 2047) - 1023;
    int least = dtype_least_exponent(t);
    if ((bits & (((uint64_t)1 << 52) - 1)) != 0 || exponent < least || exponent > -least) return false;
    *r = 1 / c;
    return true;
}

static Value small_power(const Simplify *s, double n)
{
    if (n == 2) return make(s, OP_mul, (Value[]){s->in[0], s->in[0]}, 2, NULL, 0);
    return n == 1 ? s->in[0] : 0;
}

static Value constants(const Simplify *s)
{
    const Type type = *graph_type(s->rb->to, s->in[0]);
    Scalar c, one;
    if (!value_is_constant(s->rb->to, s->in[1], &c)) return 0;
    if (s->n->op == OP_pow) return small_power(s, dtype_is_float(type.dtype) ? c.f : (double)c.i);
    if (!dtype_is_float(type.dtype)) return 0;
    if (s->n->op == OP_mul && c.f == -1) return make(s, OP_neg, s->in, 1, NULL, 0);
    if (s->n->op != OP_div || !exact_reciprocal(type.dtype, c.f, &one.f)) return 0;
    return make(s, OP_mul, (Value[]){s->in[0], constant(s, &type, one.i)}, 2, NULL, 0);
}

/* where(not c, a, b) is where(c, b, a). */
static Value conditions(const Simplify *s)
{
    const Node *c = s->n->op == OP_where ? made_by(s, s->in[0], OP_not) : NULL;
    return c ? make(s, OP_where, (Value[]){c->in[0], s->in[2], s->in[1]}, 3, NULL, 0) : 0;
}

/* A transpose that only moves axes of extent 1 past others keeps the elements' order: a reshape. */
static Value moved_ones(const Simplify *s)
{
    if (s->n->op != OP_transpose) return 0;
    const Type *x = graph_type(s->rb->to, s->in[0]);
    int64_t last = -1;
    Dim shape[MAX_RANK];
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t from = ATTRS(transpose, s->n->attr->at)->from[i];
        shape[i] = x->dim[from];
        if (shape[i] == 1) continue;
        if (from < last) return 0;
        last = from;
    }
    return make(s, OP_reshape, s->in, 1, shape, x->rank);
}

/* f(broadcast(a), broadcast(b), constant) is broadcast(f(a, b, constant)): fewer elements to
 * compute. */
static Value before_broadcast(const Simplify *s)
{
    const Graph *to = s->rb->to;
    const unsigned flags = op_def[s->n->op].flags;
    const Type *small = NULL;
    Value in[3];
    Scalar c;
    if (!(flags & (OPF_ELEMENTWISE | OPF_CAST)) || s->n->nin == 0) return 0;
    for (uint32_t i = 0; i < s->n->nin; i++) {
        const Node *b = made_by(s, s->in[i], OP_broadcast);
        if (!b && value_is_constant(to, s->in[i], &c)) continue;
        if (!b) return 0;
        const Type *t = graph_type(to, b->in[0]);
        if (small && (t->rank != small->rank || memcmp(t->dim, small->dim, t->rank * sizeof *t->dim) != 0)) return 0;
        small = t;
        in[i] = b->in[0];
    }
    if (!small) return 0;
    const Type whole = *graph_type(to, s->in[0]);
    Type like = *small;
    for (uint32_t i = 0; i < s->n->nin; i++) {
        const Node *k = made_by(s, s->in[i], OP_constant);
        if (!k) continue;
        like.dtype = (uint8_t)ATTRS(constant, k->attr->at)->dtype;
        in[i] = constant(s, &like, ATTRS(constant, k->attr->at)->value);
    }
    Value v = make(s, (Op)s->n->op, in, s->n->nin, s->n->attr->at, s->n->attr->len);
    return v != 0 ? make(s, OP_broadcast, &v, 1, whole.dim, whole.rank) : 0;
}

static Value simpler(const Simplify *s)
{
    Value v = moved_ones(s);
    if (v == 0) v = conditions(s);
    if (v == 0 && s->n->nin == 2) v = signs(s);
    if (v == 0 && s->n->nin == 2) v = constants(s);
    if (v == 0) v = before_broadcast(s);
    return v;
}

Graph *pass_simplify(PassCtx *ctx, const Graph *in)
{
    Rebuild rb;
    rebuild_begin(&rb, in, ctx->scratch, ctx->st);
    for (uint32_t i = 0; i < in->node.len; i++) {
        Simplify s = {.rb = &rb, .n = &in->node.at[i]};
        bool whole = s.n->nin >= 1 && s.n->nin <= 3 && s.n->nout == 1;
        for (uint32_t k = 0; whole && k < s.n->nin; k++) whole = (s.in[k] = rb.map[s.n->in[k]]) != 0;
        Value v = whole ? simpler(&s) : 0;
        if (v != 0)
            rebuild_set(&rb, s.n->out, v);
        else
            rebuild_copy(&rb, i);
    }
    return rebuild_end(&rb);
}
