/* op_attention: attention and the two ops that its gradients are. Their own gradients are made of plain ops, with a matrix of rows
 * times keys. Relies on family. */
#include "family.h"
#include "tree.h"

#include <math.h>

/* ---- result types ------------------------------------------------------------------------------------ */

static bool numbers_ok(Infer *inf, DType t)
{
    const struct attention_attrs *a = ATTRS(attention, inf->attr);
    if (!rule_scalar(inf, t, a->scale) || !rule_scalar(inf, t, a->cap)) return false;
    if (!(attr_f64(a->cap) >= 0)) return infer_fail(inf, ST_VALUE, "the cap is %g (allowed: 0 and above)", attr_f64(a->cap));
    if (a->causal != 0 && a->causal != 1)
        return infer_fail(inf, ST_VALUE, "causal is %lld (allowed: 0 and 1)", (long long)a->causal);
    DimTable *dims = rule_dims(inf);
    if (dim_lo(dims, a->period) < 1) return infer_fail(inf, ST_VALUE, "the period may be 0");
    return dim_lo(dims, a->before) >= 0 && dim_lo(dims, a->after) >= 0 ? true
                                                                       : infer_fail(inf, ST_VALUE, "before or after is below 0");
}

/* The first four operands, which all three ops have. */
static bool operands_ok(Infer *inf)
{
    const Type *q = inf->in[0], *k = inf->in[1], *v = inf->in[2], *mask = inf->in[3];
    for (uint32_t i = 0; i < inf->nin; i++)
        if (inf->in[i]->dtype != q->dtype) return infer_fail(inf, ST_DTYPE, "dtypes differ");
    if (q->dtype != DT_f32 && q->dtype != DT_f64) return infer_fail(inf, ST_DTYPE, "computes in f32 or f64");
    for (uint32_t i = 0; i < 4; i++)
        if (inf->in[i]->rank != 3) return infer_fail(inf, ST_SHAPE, "operand %u does not have 3 axes", i);
    if (k->dim[0] != q->dim[0] || v->dim[0] != q->dim[0]) return infer_fail(inf, ST_SHAPE, "numbers of heads differ");
    if (k->dim[2] != q->dim[2]) return infer_fail(inf, ST_SHAPE, "queries and keys differ in length");
    if (k->dim[1] != v->dim[1]) return infer_fail(inf, ST_SHAPE, "there are not as many values as keys");
    const int64_t most = MAX_OF(dim_hi(rule_dims(inf), q->dim[2]), dim_hi(rule_dims(inf), v->dim[2]));
    if (most > TREE_RUN)
        return infer_fail(inf, ST_UNSUPPORTED, "a vector has up to %lld elements (allowed: %d)", (long long)most, TREE_RUN);
    bool ok = mask->dim[0] == 1 || mask->dim[0] == q->dim[0];
    ok = ok && (mask->dim[1] == 1 || mask->dim[1] == q->dim[1]);
    ok = ok && (mask->dim[2] == 1 || mask->dim[2] == k->dim[1]);
    return ok ? numbers_ok(inf, (DType)q->dtype) : infer_fail(inf, ST_SHAPE, "the mask does not fit");
}

static Type shape_of(const Type *like, uint32_t rank, Dim rows, Dim length)
{
    Type t = *like;
    t.rank = (uint8_t)rank;
    t.dim[1] = rows;
    t.dim[2] = length;
    return t;
}

bool infer_attention(Infer *inf)
{
    if (!operands_ok(inf) || !rule_room(inf, 2)) return false;
    const Type *q = inf->in[0], *v = inf->in[2];
    inf->out[0] = shape_of(q, 3, q->dim[1], v->dim[2]);
    inf->out[1] = shape_of(q, 2, q->dim[1], 0);
    inf->nout = 2;
    return true;
}

static bool cotangents_ok(Infer *inf)
{
    if (!operands_ok(inf)) return false;
    const Type *q = inf->in[0], *v = inf->in[2], *g = inf->in[4];
    bool ok = g->rank == 3 && g->dim[0] == q->dim[0] && g->dim[1] == q->dim[1] && g->dim[2] == v->dim[2];
    for (uint32_t i = 5; i < 7; i++)
        ok = ok && inf->in[i]->rank == 2 && inf->in[i]->dim[0] == q->dim[0] && inf->in[i]->dim[1] == q->dim[1];
    return ok ? true : infer_fail(inf, ST_SHAPE, "the cotangents do not fit");
}

bool infer_attention_query(Infer *inf) { return cotangents_ok(inf) && rule_result(inf, inf->in[0]); }

bool infer_attention_keys(Infer *inf)
{
    if (!cotangents_ok(inf)) return false;
    const Type *k = inf->in[1], *v = inf->in[2];
    const Dim both = dim_add(rule_dims(inf), k->dim[2], v->dim[2]);
    if (both == DIM_BAD) return infer_fail(inf, ST_SHAPE, "the vectors' lengths cannot be added");
    const Type t = shape_of(k, 3, k->dim[1], both);
    return rule_result(inf, &t);
}

/* ---- gradients --------------------------------------------------------------------------------------- */

/* The same values as plain ops have them, over [n, rows, keys]. */
typedef struct Plain {
    Emit *e;
    const struct attention_attrs *a;
    Type scores;
    Value q, k, v, g, p, tanh; /* tanh: of the capped scores, 0 if there is no cap */
    Value slope;               /* of the scores with respect to q.k */
    Value excess, dz;          /* g.v - rest; p times that */
} Plain;

static Value number(const Plain *w, double v) { return emit_constant(w->e, v, &w->scores); }
static Value times(const Plain *w, Value a, Value b) { return emit2(w->e, OP_mul, a, b); }
static Value product(const Plain *w, Value a, Value b) { return emit2(w->e, OP_matmul, a, b); }
static Value product_nt(const Plain *w, Value a, Value b) { return product(w, a, emit_swap_last(w->e, b)); }
static Value product_tn(const Plain *w, Value a, Value b) { return product(w, emit_swap_last(w->e, a), b); }
static Value scaled(const Plain *w, Value a)
{
    return a == 0 ? 0 : emit2(w->e, OP_mul, a, emit_constant(w->e, attr_f64(w->a->scale), w->e->type(w->e, a)));
}
static Value sum_rows(const Plain *w, Value a) { return emit_reduce(w->e, OP_sum, a, (int64_t[]){2}, 1); }

/* Both may be 0 for nothing. */
static Value plus(Emit *e, Value a, Value b) { return a == 0 ? b : b == 0 ? a : emit2(e, OP_add, a, b); }

static Value over_keys(const Plain *w, Value rows) /* [n, rows] as [n, rows, keys] */
{
    Type t = w->scores;
    t.dim[2] = 1;
    return emit_broadcast(w->e, emit_reshape(w->e, rows, &t), &w->scores);
}

static Value whole(const Plain *w, Dim d, const Type *like) /* a size, as integers */
{
    const Type one = {.dtype = DT_i64};
    if (dim_is_const(d)) return emit_constant(w->e, (double)d, like);
    return emit_broadcast(w->e, emit_reshape(w->e, w->e->op(w->e, OP_dim_size, NULL, 0, ATTRS_OF(dim_size, .dim = d)), &one), like);
}

/* Scores that are not seen become minus infinity. */
static Value seen(const Plain *w, Value scores)
{
    Type t = w->scores;
    t.dtype = DT_i64;
    if (!w->a->causal) return scores;
    Value row = emit2(w->e, OP_mod, emit_iota(w->e, &t, 1), whole(w, w->a->period, &t)), key = emit_iota(w->e, &t, 2);
    row = emit2(w->e, OP_add, row, whole(w, w->a->after, &t));
    key = emit2(w->e, OP_add, key, whole(w, w->a->before, &t));
    return emit3(w->e, OP_where, emit2(w->e, OP_ge, row, key), scores, number(w, -INFINITY));
}

/* in: the operands of attention_query. False after a failure. */
static bool plain(Plain *w, Emit *e, const Node *n, const Value in[7])
{
    *w = (Plain){
        .e = e, .a = ATTRS(attention, n->attr->at), .scores = *e->type(e, in[0]), .q = in[0], .k = in[1], .v = in[2], .g = in[4]};
    const double cap = attr_f64(w->a->cap);
    w->scores.dim[2] = e->type(e, in[1])->dim[1];
    Value s = scaled(w, product_nt(w, w->q, w->k));
    w->slope = number(w, attr_f64(w->a->scale));
    if (cap != 0) {
        w->tanh = emit1(e, OP_tanh, emit2(e, OP_div, s, number(w, cap)));
        s = times(w, w->tanh, number(w, cap));
        w->slope = times(w, w->slope, emit2(e, OP_sub, number(w, 1), times(w, w->tanh, w->tanh)));
    }
    s = seen(w, emit2(e, OP_add, s, emit_broadcast(e, in[3], &w->scores)));
    Value sums = over_keys(w, in[5]);
    sums = emit3(e, OP_where, emit2(e, OP_eq, sums, number(w, -INFINITY)), number(w, 0), sums);
    w->p = emit1(e, OP_exp, emit2(e, OP_sub, s, sums));
    w->excess = emit2(e, OP_sub, product_nt(w, w->g, w->v), over_keys(w, in[6]));
    w->dz = times(w, w->p, w->excess);
    return w->slope != 0 && w->dz != 0;
}

/* What cotangents of ds and p give the operands; p's may be 0. dx has what came on other ways. */
static void backwards(Vjp *v, const Plain *w, Value of_ds, Value of_p)
{
    Emit *e = w->e;
    Value of_dz = times(w, of_ds, w->slope);
    of_p = plus(e, of_p, times(w, of_dz, w->excess));
    const Value of_excess = times(w, of_dz, w->p), of_z = times(w, of_p, w->p);
    Value of_s = of_z;
    if (w->tanh) {
        const double cap = attr_f64(w->a->cap);
        Value turn = times(w, times(w, of_ds, w->dz), times(w, w->tanh, number(w, -2 * attr_f64(w->a->scale))));
        Value rise = emit2(e, OP_sub, number(w, 1), times(w, w->tanh, w->tanh));
        of_s = times(w, emit2(e, OP_add, of_z, emit2(e, OP_div, turn, number(w, cap))), rise);
    }
    if (v->wanted[0]) v->dx[0] = plus(e, v->dx[0], scaled(w, product(w, of_s, w->k)));
    if (v->wanted[1]) v->dx[1] = plus(e, v->dx[1], scaled(w, product_tn(w, of_s, w->q)));
    if (v->wanted[2]) v->dx[2] = plus(e, v->dx[2], product_tn(w, of_excess, w->g));
    if (v->wanted[3]) v->dx[3] = emit_sum_to(e, of_z, e->type(e, v->in[3]));
    if (v->wanted[4]) v->dx[4] = plus(e, v->dx[4], product(w, of_excess, w->v));
    if (v->wanted[5]) v->dx[5] = emit1(e, OP_neg, sum_rows(w, of_z));
    if (v->wanted[6]) v->dx[6] = emit1(e, OP_neg, sum_rows(w, of_excess));
}

void vjp_attention(Vjp *v)
{
    Emit *e = v->e;
    const Type o = *e->type(e, v->out[0]), k = *e->type(e, v->in[1]), value = *e->type(e, v->in[2]);
    const int64_t *attr = v->node->attr->at;
    const uint32_t nattr = v->node->attr->len;
    Value in[7] = {v->in[0], v->in[1], v->in[2], v->in[3], v->g[0] ? v->g[0] : emit_constant(e, 0, &o), v->out[1]};
    in[6] = emit_reduce(e, OP_sum, emit2(e, OP_mul, in[4], v->out[0]), (int64_t[]){2}, 1);
    if (v->g[1]) in[6] = emit2(e, OP_sub, in[6], v->g[1]);
    if (in[6] == 0) return;
    if (v->wanted[0]) v->dx[0] = e->op(e, OP_attention_query, in, 7, attr, nattr);
    if (v->wanted[1] || v->wanted[2]) {
        const Value both = e->op(e, OP_attention_keys, in, 7, attr, nattr);
        v->dx[1] = emit_slice(e, both, 2, 0, k.dim[2]);
        v->dx[2] = emit_slice(e, both, 2, k.dim[2], value.dim[2]);
    }
    Plain w;
    if (v->wanted[3] && plain(&w, e, v->node, in)) v->dx[3] = emit_sum_to(e, w.dz, e->type(e, v->in[3]));
}

void vjp_attention_query(Vjp *v)
{
    Plain w;
    if (!plain(&w, v->e, v->node, v->in)) return;
    if (v->wanted[1]) v->dx[1] = product_tn(&w, times(&w, w.dz, w.slope), v->g[0]);
    backwards(v, &w, product_nt(&w, v->g[0], w.k), 0);
}

void vjp_attention_keys(Vjp *v)
{
    Plain w;
    if (!plain(&w, v->e, v->node, v->in)) return;
    const Dim d = v->e->type(v->e, w.k)->dim[2], length = v->e->type(v->e, w.v)->dim[2];
    const Value key = emit_slice(v->e, v->g[0], 2, 0, d), value = emit_slice(v->e, v->g[0], 2, d, length);
    if (v->wanted[0]) v->dx[0] = product(&w, times(&w, w.dz, w.slope), key);
    if (v->wanted[4]) v->dx[4] = product(&w, w.p, value);
    backwards(v, &w, product_nt(&w, w.q, key), product_nt(&w, w.g, value));
}

/* ---- many examples: more heads ------------------------------------------------------------------------------ */

/* A mask may be one for all heads: then it is one for all heads of each example, or of all. */
static Value mask_of(const Vmap *v)
{
    const Type mask = vmap_type(v, 3), q = vmap_type(v, 0);
    if (mask.dim[0] == 1 && q.dim[0] == 1 && v->many[3]) return vmap_merge(v, v->in[3]);
    if (mask.dim[0] == 1 && !v->many[3]) return v->in[3];
    Type each = mask;
    each.dim[0] = q.dim[0];
    each = vmap_with_axis(v, &each);
    return vmap_merge(v, emit_broadcast(v->e, v->in[3], &each));
}

void vmap_attention(Vmap *v)
{
    Value in[7];
    for (uint32_t i = 0; i < v->node->nin; i++) in[i] = i == 3 ? mask_of(v) : vmap_merge(v, vmap_all(v, i));
    vmap_as(v, in, v->node->attr->at, v->node->attr->len);
    for (uint32_t i = 0; i < v->node->nout; i++) v->out[i] = vmap_split(v, v->out[i], vmap_first(v, i));
}
