/* op_elementwise: the ops that work element by element, whose rows of ops.def hold their values and gradients, and cast. Relies on
 * family. */
#include "family.h"

#include <math.h>

bool infer_elementwise(Infer *inf)
{
    const OpDef *def = &op_def[inf->op];
    const Type *last = inf->in[inf->nin - 1];
    uint32_t first = inf->nin == 3; /* of the operands that share the result's type */
    if (inf->nattr != 0) return infer_fail(inf, ST_VALUE, "takes no attributes");
    if (first == 1 && inf->in[0]->dtype != DT_bool) return infer_fail(inf, ST_DTYPE, "the condition must be bool");
    for (uint32_t i = first; i + 1 < inf->nin; i++)
        if (inf->in[i]->dtype != last->dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
    for (uint32_t i = 0; i + 1 < inf->nin; i++)
        if (inf->in[i]->rank != last->rank || memcmp(inf->in[i]->dim, last->dim, last->rank * sizeof *last->dim) != 0)
            return infer_fail(inf, ST_SHAPE, "shapes differ");
    if (!rule_domain(inf, inf->nin - 1, def->domain)) return false;
    rule_result(inf, last);
    if (def->flags & OPF_TO_BOOL) inf->out[0].dtype = DT_bool;
    return true;
}

bool infer_cast(Infer *inf)
{
    Type out = *inf->in[0];
    out.dtype = (uint8_t)ATTRS(cast, inf->attr)->to;
    if (inf->nattr > 1 && (inf->nattr > 2 || ATTRS(cast, inf->attr)->saturates[0] != 1 || !dtype_is_float(out.dtype)))
        return infer_fail(inf, ST_VALUE, "after the dtype only the attribute 1 (saturate) is allowed, and for floats only");
    return rule_result(inf, &out);
}

bool infer_bitcast(Infer *inf)
{
    Type out = *inf->in[0];
    const DType from = (DType)out.dtype, to = (DType)ATTRS(bitcast, inf->attr)->to;
    if (inf->nattr != 1) return infer_fail(inf, ST_VALUE, "takes a dtype and nothing else");
    if (dtype_bytes(from) != dtype_bytes(to)) return infer_fail(inf, ST_DTYPE, "the widths of the dtypes differ");
    if (to == DT_bool && from != to) return infer_fail(inf, ST_DTYPE, "not all bytes are bools");
    out.dtype = (uint8_t)to;
    return rule_result(inf, &out);
}

void vjp_cast(Vjp *v)
{
    const Type *to = v->e->type(v->e, v->in[0]);
    if (!dtype_is_float(to->dtype) || v->g[0] == 0) return;
    v->dx[0] = emit_cast(v->e, v->g[0], to->dtype);
    const DType own = (DType)ATTRS(cast, v->node->attr->at)->to;
    if (v->node->attr->len == 1 || dtype_holds(own, to->dtype)) return; /* what is saturated is infinite, if anything */
    Value within = emit2(v->e, OP_le, emit1(v->e, OP_abs, v->in[0]), emit_constant(v->e, dtype_info[own].largest, to));
    v->dx[0] = emit3(v->e, OP_where, within, v->dx[0], emit_constant(v->e, 0, to));
}

/* ---- folding: constants through the scalar algebra ------------------------------------------------------------------------------
 */

static Value fold_constants(const Folding *f)
{
    const OpDef *def = &op_def[f->op];
    Scalar arg[3], r;
    if (f->nin == 0 || f->nin > 3) return 0;
    for (uint32_t i = 0; i < f->nin; i++)
        if (!value_is_constant(f->rb->to, f->in[i], &arg[i])) return 0;
    Type type = *folded_type(f, f->in[f->nin - 1]);
    DType from = (DType)dtype_info[type.dtype].compute;
    if (f->op == OP_bitcast) {
        const DType own = (DType)type.dtype;
        type.dtype = (uint8_t)ATTRS(bitcast, f->attr)->to;
        r = scalar_bitcast(own, (DType)type.dtype, arg[0]);
        /* the bits of a NaN are not kept */
        if ((dtype_is_float(from) && isnan(arg[0].f)) || (dtype_is_float(type.dtype) && isnan(r.f))) return 0;
    } else if (def->flags & OPF_CAST) {
        type.dtype = (uint8_t)ATTRS(cast, f->attr)->to;
        r = scalar_cast(from, (DType)type.dtype, f->nattr > 1, arg[0]);
    } else {
        const ScalarTok *value = dtype_is_float(type.dtype) ? def->value_f : def->value_i;
        if (!value) return 0;
        if (def->flags & OPF_TO_BOOL) type.dtype = DT_bool;
        r = scalar_eval(value, from, (DType)dtype_info[type.dtype].compute, arg);
    }
    return folded_constant(f, &type, r);
}

/* ---- folding: identities that hold in every bit (docs/numerics.md)
 * ----------------------------------------------------------------------------- */

typedef struct Operand {
    Value v;
    bool is_constant, is_float;
    uint8_t dtype;
    Scalar c;
} Operand;

static Operand operand(const Folding *f, Value v)
{
    Operand o = {.v = v, .dtype = folded_type(f, v)->dtype};
    o.is_constant = value_is_constant(f->rb->to, v, &o.c);
    o.is_float = dtype_is_float(o.dtype);
    return o;
}

static bool is_number(const Operand *o, int64_t n)
{
    if (!o->is_constant) return false;
    return o->is_float ? o->c.f == (double)n && (n != 0 || !__builtin_signbit(o->c.f)) : o->c.i == n;
}

static bool is_minus_zero(const Operand *o) { return o->is_constant && o->is_float && o->c.f == 0 && __builtin_signbit(o->c.f); }

static bool is_zero_int(const Operand *o) { return !o->is_float && is_number(o, 0); }

/* All bits set: -1, true, or an unsigned type's largest value. */
static bool is_ones(const Operand *o)
{
    if (!o->is_constant || o->is_float) return false;
    if (o->dtype == DT_bool) return o->c.i != 0;
    size_t bits = 8 * dtype_bytes(o->dtype);
    return bits == 64 ? o->c.i == -1 : (~o->c.u & (((uint64_t)1 << bits) - 1)) == 0;
}

static Value integer(const Folding *f, Value like, int64_t n) { return folded_constant(f, folded_type(f, like), (Scalar){.i = n}); }

static Value fold_arithmetic(const Folding *f, const Operand *x, const Operand *y)
{
    switch (f->op) {
    case OP_add: /* x + 0 turns -0 into 0; x + -0 is x */
        if (is_minus_zero(y) || is_zero_int(y)) return x->v;
        if (is_minus_zero(x) || is_zero_int(x)) return y->v;
        return 0;
    case OP_sub:
        if (is_number(y, 0)) return x->v;
        return !x->is_float && x->v == y->v ? integer(f, x->v, 0) : 0;
    case OP_mul:
        if (is_number(y, 1)) return x->v;
        if (is_number(x, 1)) return y->v;
        if (is_zero_int(y)) return y->v;
        return is_zero_int(x) ? x->v : 0;
    case OP_div:
    case OP_floor_div: /* of floats, floor_div by 1 is a floor */
        if (f->op == OP_floor_div && x->is_float) return 0;
        return is_number(y, 1) ? x->v : 0;
    case OP_shl:
    case OP_shr: return is_zero_int(y) ? x->v : 0;
    case OP_max:
    case OP_min: return x->v == y->v ? x->v : 0;
    default: return 0;
    }
}

static Value fold_logic(const Folding *f, const Operand *x, const Operand *y)
{
    switch (f->op) {
    case OP_and:
        if (x->v == y->v || is_ones(y) || is_zero_int(x)) return x->v;
        return is_ones(x) || is_zero_int(y) ? y->v : 0;
    case OP_or:
        if (x->v == y->v || is_zero_int(y) || is_ones(x)) return x->v;
        return is_zero_int(x) || is_ones(y) ? y->v : 0;
    case OP_xor:
        if (x->v == y->v) return integer(f, x->v, 0);
        if (is_zero_int(y)) return x->v;
        return is_zero_int(x) ? y->v : 0;
    case OP_eq:
    case OP_le:
    case OP_ge:
    case OP_ne:
    case OP_lt:
    case OP_gt: {
        if (x->is_float || x->v != y->v) return 0;
        Type type = *folded_type(f, x->v);
        type.dtype = DT_bool;
        return folded_constant(f, &type, (Scalar){.i = f->op == OP_eq || f->op == OP_le || f->op == OP_ge});
    }
    default: return 0;
    }
}

static Value fold_unary(const Folding *f)
{
    const Value x = f->in[0];
    const Node *inner;
    switch (f->op) {
    case OP_neg:
    case OP_not: return (inner = folded_maker(f, x, f->op)) ? inner->in[0] : 0;
    case OP_abs:
    case OP_floor:
    case OP_ceil:
    case OP_trunc:
    case OP_round: /* once is enough */ return folded_maker(f, x, f->op) ? x : 0;
    default: return 0;
    }
}

static Value fold_where(const Folding *f)
{
    const Value *in = f->in;
    Scalar c, a, b;
    if (in[1] == in[2]) return in[1];
    if (value_is_constant(f->rb->to, in[0], &c)) return c.i != 0 ? in[1] : in[2];
    bool bools = folded_type(f, in[1])->dtype == DT_bool;
    if (bools && value_is_constant(f->rb->to, in[1], &a) && value_is_constant(f->rb->to, in[2], &b) && a.i != 0 && b.i == 0)
        return in[0];
    return 0;
}

/* True if every value of `from` comes back from `wide` unchanged. */
static bool lossless(DType from, DType wide)
{
    if (dtype_is_float(from)) return dtype_is_float(wide) && dtype_holds(wide, from);
    return dtype_is_int(wide) && (from == DT_bool || dtype_bytes(wide) >= dtype_bytes(from));
}

Value fold_cast(const Folding *f)
{
    const Value x = f->in[0];
    const DType to = (DType)ATTRS(cast, f->attr)->to, wide = (DType)folded_type(f, x)->dtype;
    if (f->nattr > 1) return 0;
    if (wide == to) return x;
    const Node *inner = folded_maker(f, x, OP_cast);
    if (!inner) return 0;
    DType from = (DType)folded_type(f, inner->in[0])->dtype;
    return from == to && inner->attr->len == 1 && lossless(from, wide) ? inner->in[0] : 0;
}

/* There and back: the bits of NaN of narrow floats are not kept on the way. */
Value fold_bitcast(const Folding *f)
{
    const DType to = (DType)ATTRS(bitcast, f->attr)->to, own = (DType)folded_type(f, f->in[0])->dtype;
    if (own == to) return f->in[0];
    const Node *inner = folded_maker(f, f->in[0], OP_bitcast);
    if (!inner || folded_type(f, inner->in[0])->dtype != to) return 0;
    return dtype_info[to].compute == to && dtype_info[own].compute == own ? inner->in[0] : 0;
}

Value fold_elementwise(const Folding *f)
{
    Value v = fold_constants(f);
    if (v != 0) return v;
    if (op_def[f->op].fold) return op_def[f->op].fold(f); /* the casts */
    if (f->nin == 1) return fold_unary(f);
    if (f->op == OP_where) return fold_where(f);
    const Operand x = operand(f, f->in[0]), y = operand(f, f->in[1]);
    v = fold_arithmetic(f, &x, &y);
    return v != 0 ? v : fold_logic(f, &x, &y);
}
