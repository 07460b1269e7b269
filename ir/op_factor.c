/* op_factor: eigenvalues and singular values with their vectors, and what systems are solved by, to which the front end gives
 * gradients. Those of the others are made of these results and plain ops, so they have
 * gradients themselves; where values are equal they are NaN or infinite, as the vectors then turn at will. Relies on family. */
#include "family.h"

/* ---- result types ------------------------------------------------------------------------------------ */

static bool matrices_ok(Infer *inf, bool square)
{
    const Type *x = inf->in[0];
    if (x->dtype != DT_f32 && x->dtype != DT_f64) return infer_fail(inf, ST_DTYPE, "computes in f32 or f64");
    if (x->rank < 2) return infer_fail(inf, ST_SHAPE, "needs matrices, the last two axes");
    if (!dim_is_const(x->dim[x->rank - 2]) || !dim_is_const(x->dim[x->rank - 1]))
        return infer_fail(inf, ST_UNSUPPORTED, "a matrix's sizes must be known");
    return !square || x->dim[x->rank - 2] == x->dim[x->rank - 1] ? true : infer_fail(inf, ST_SHAPE, "needs square matrices");
}

/* x with its last two axes as these; columns < 0: only the first of them. */
static Type shaped(const Type *x, Dim rows, Dim columns)
{
    Type t = *x;
    t.dim[t.rank - 2] = rows;
    t.dim[t.rank - 1] = columns < 0 ? 0 : columns;
    if (columns < 0) t.rank--;
    return t;
}

bool infer_eigh(Infer *inf)
{
    if (!matrices_ok(inf, true) || !rule_room(inf, 2)) return false;
    const Type *x = inf->in[0];
    inf->out[0] = shaped(x, x->dim[x->rank - 1], -1);
    inf->out[1] = *x;
    inf->nout = 2;
    return true;
}

bool infer_eigvalsh(Infer *inf)
{
    if (!matrices_ok(inf, true)) return false;
    const Type t = shaped(inf->in[0], inf->in[0]->dim[inf->in[0]->rank - 1], -1);
    return rule_result(inf, &t);
}

bool infer_svd(Infer *inf)
{
    const int64_t full = ATTRS(svd, inf->attr)->full;
    if (full != 0 && full != 1) return infer_fail(inf, ST_VALUE, "full is %lld (allowed: 0 and 1)", (long long)full);
    if (!matrices_ok(inf, false) || !rule_room(inf, 3)) return false;
    const Type *x = inf->in[0];
    const Dim m = x->dim[x->rank - 2], n = x->dim[x->rank - 1], k = MIN_OF(m, n);
    inf->out[0] = shaped(x, m, full ? m : k);
    inf->out[1] = shaped(x, k, -1);
    inf->out[2] = shaped(x, full ? n : k, n);
    inf->nout = 3;
    return true;
}

bool infer_svdvals(Infer *inf)
{
    if (!matrices_ok(inf, false)) return false;
    const Type *x = inf->in[0], t = shaped(x, MIN_OF(x->dim[x->rank - 2], x->dim[x->rank - 1]), -1);
    return rule_result(inf, &t);
}

bool infer_lu(Infer *inf)
{
    if (!matrices_ok(inf, false) || !rule_room(inf, 2)) return false;
    const Type *x = inf->in[0];
    inf->out[0] = *x;
    inf->out[1] = shaped(x, x->dim[x->rank - 2], -1);
    inf->out[1].dtype = DT_i64;
    inf->nout = 2;
    return true;
}

bool infer_triangular(Infer *inf)
{
    const struct triangular_attrs *attr = ATTRS(triangular, inf->attr);
    const Type *a = inf->in[0], *x = inf->in[1];
    const int64_t upper = attr->upper, unit = attr->unit;
    if (upper < 0 || upper > 1 || unit < 0 || unit > 1)
        return infer_fail(inf, ST_VALUE, "upper is %lld, unit %lld (allowed: 0 and 1)", (long long)upper, (long long)unit);
    if (!matrices_ok(inf, true)) return false;
    if (x->dtype != a->dtype || x->rank != a->rank) return infer_fail(inf, ST_SHAPE, "both sides have one dtype and rank");
    for (int i = 0; i + 1 < a->rank; i++)
        if (x->dim[i] != a->dim[i]) return infer_fail(inf, ST_SHAPE, "both sides have the same batches and rows");
    if (!dim_is_const(x->dim[x->rank - 1])) return infer_fail(inf, ST_UNSUPPORTED, "a matrix's sizes must be known");
    return rule_result(inf, x);
}

bool infer_cholesky(Infer *inf) { return matrices_ok(inf, true) && rule_result(inf, inf->in[0]); }

/* ---- what it costs ----------------------------------------------------------------------------------- */

/* Golub and Van Loan's counts of what such algorithms do. */
double op_factor_flops(Op op, double many, double rows, double columns)
{
    const double m = MAX_OF(rows, columns), k = MIN_OF(rows, columns);
    switch (op) {
    case OP_eigh: return many * 9 * k * k * k;
    case OP_eigvalsh: return many * 4 / 3 * k * k * k;
    case OP_svd: return many * (14 * m * k * k + 8 * k * k * k);
    case OP_lu: return many * (m * k * k - k * k * k / 3) * (columns > rows ? columns / k : 1);
    case OP_triangular: return many * rows * rows * columns;
    case OP_cholesky: return many * k * k * k / 3;
    default: return many * (4 * m * k * k - 4 * k * k * k / 3);
    }
}

/* ---- parts of gradients ------------------------------------------------------------------------------ */

static Value product(Emit *e, Value a, Value b) { return emit2(e, OP_matmul, a, b); }
static Value turned(Emit *e, Value a) { return a == 0 ? 0 : emit_swap_last(e, a); }
static Value plus(Emit *e, Value a, Value b) { return a == 0 ? b : b == 0 ? a : emit2(e, OP_add, a, b); }

static Value in_place(Emit *e, Op compare, const Type *x) /* of row and column, bool of x's shape */
{
    return emit2(e, compare, emit_iota(e, x, x->rank - 2), emit_iota(e, x, x->rank - 1));
}

/* v [..., n] as `to` has it: along its columns, or its rows. */
static Value spread(Emit *e, Value v, const Type *to, bool rows)
{
    if (v == 0) return 0;
    Type t = *to;
    t.dim[t.rank - (rows ? 1 : 2)] = 1;
    return emit_broadcast(e, emit_reshape(e, v, &t), to);
}

/* Columns (rows) of a times v. */
static Value scaled(Emit *e, Value a, Value v, bool rows)
{
    return a == 0 || v == 0 ? 0 : emit2(e, OP_mul, a, spread(e, v, e->type(e, a), rows));
}

/* a, of which the diagonal is 0, divided by v_j - v_i, times v_j + v_i if `squares`. */
static Value apart(Emit *e, Value a, Value v, bool squares)
{
    if (a == 0 || v == 0) return 0;
    const Type t = *e->type(e, a);
    const Value column = spread(e, v, &t, false), row = spread(e, v, &t, true), is = in_place(e, OP_eq, &t);
    const Value one = emit_constant(e, 1, &t), none = emit_constant(e, 0, &t);
    Value by = emit3(e, OP_where, is, one, emit2(e, OP_sub, column, row));
    a = emit2(e, OP_div, a, by);
    if (squares) a = emit2(e, OP_div, a, emit3(e, OP_where, is, one, emit2(e, OP_add, column, row)));
    return emit3(e, OP_where, is, none, a);
}

static Value skew(Emit *e, Value a) { return a == 0 ? 0 : emit2(e, OP_sub, a, turned(e, a)); }

/* ---- eigenvalues ------------------------------------------------------------------------------------- */

/* What a symmetric cotangent is for the lower triangle, which stands for both. */
static Value for_lower(Emit *e, Value a)
{
    if (a == 0) return 0;
    const Type t = *e->type(e, a);
    const Value both = emit2(e, OP_add, a, turned(e, a));
    return emit3(e, OP_where, in_place(e, OP_gt, &t), both, emit3(e, OP_where, in_place(e, OP_eq, &t), a, emit_constant(e, 0, &t)));
}

/* V (diag(gw) + (VT gV) / (w_j - w_i)) VT */
static Value eigh_gradient(Emit *e, Value w, Value vectors, Value gw, Value gv)
{
    Value a = scaled(e, vectors, gw, false);
    if (gv) a = plus(e, a, product(e, vectors, apart(e, product(e, turned(e, vectors), gv), w, false)));
    return for_lower(e, product(e, a, turned(e, vectors)));
}

void vjp_eigh(Vjp *v)
{
    if (v->g[0] || v->g[1]) v->dx[0] = eigh_gradient(v->e, v->out[0], v->out[1], v->g[0], v->g[1]);
}

void vjp_eigvalsh(Vjp *v)
{
    const Value w = emit1(v->e, OP_eigh, v->in[0]);
    if (w && v->g[0]) v->dx[0] = eigh_gradient(v->e, w, w + 1, v->g[0], 0);
}

/* ---- singular values --------------------------------------------------------------------------------- */

typedef struct Factors {
    Value u, s, vt; /* thin */
    Value gu, gs, gvt;
} Factors;

/* The part of gu / s that lies beside U: (I - U UT) gu / s */
static Value beside(Emit *e, Value u, Value s, Value gu)
{
    const Type t = *e->type(e, gu);
    const Value a = emit2(e, OP_div, gu, spread(e, s, &t, false));
    return emit2(e, OP_sub, a, product(e, u, product(e, turned(e, u), a)));
}

/* U (skew(UT gU) s_j + s_i skew(VT gV)) / (s_j^2 - s_i^2) + diag(gs)) VT, and what lies beside U and V (Townsend 2016) */
static Value svd_gradient(Emit *e, const Factors *f)
{
    const Type *u = e->type(e, f->u), *vt = e->type(e, f->vt);
    const bool tall = u->dim[u->rank - 2] != u->dim[u->rank - 1], wide = vt->dim[vt->rank - 2] != vt->dim[vt->rank - 1];
    Value inner = 0, a = scaled(e, f->u, f->gs, false);
    if (f->gu) inner = scaled(e, skew(e, product(e, turned(e, f->u), f->gu)), f->s, false);
    if (f->gvt) inner = plus(e, inner, scaled(e, skew(e, product(e, f->vt, turned(e, f->gvt))), f->s, true));
    if (inner) a = plus(e, a, product(e, f->u, apart(e, inner, f->s, true)));
    if (f->gu && tall) a = plus(e, a, beside(e, f->u, f->s, f->gu));
    a = a ? product(e, a, f->vt) : 0;
    if (f->gvt && wide) a = plus(e, a, product(e, f->u, turned(e, beside(e, turned(e, f->vt), f->s, turned(e, f->gvt)))));
    return a;
}

static Value first_of(Emit *e, Value a, uint32_t axis_from_end, Dim k)
{
    if (a == 0) return 0;
    const Type *t = e->type(e, a);
    const uint32_t axis = t->rank - axis_from_end;
    return t->dim[axis] == k ? a : emit_slice(e, a, axis, 0, k);
}

/* What arrives at vectors that belong to no value is lost: they may turn at will. */
void vjp_svd(Vjp *v)
{
    Emit *e = v->e;
    const Type *s = e->type(e, v->out[1]);
    const Dim k = s->dim[s->rank - 1];
    const Factors f = {first_of(e, v->out[0], 1, k), v->out[1], first_of(e, v->out[2], 2, k), first_of(e, v->g[0], 1, k), v->g[1],
        first_of(e, v->g[2], 2, k)};
    if (f.gu || f.gs || f.gvt) v->dx[0] = svd_gradient(e, &f);
}

void vjp_svdvals(Vjp *v)
{
    Emit *e = v->e;
    const Value in[1] = {v->in[0]};
    const Value u = e->op(e, OP_svd, in, 1, ATTRS_OF(svd, .full = 0));
    if (u && v->g[0]) v->dx[0] = product(e, scaled(e, u, v->g[0], false), u + 2);
}
