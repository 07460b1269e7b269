/* qr: orthogonal factors by Householder's reflections, I - V T VT for many at once (Schreiber and Van Loan 1989). Columns are
 * halved until there are MATRIX_LEAF, which are reflected one by one. Relies on matrix.h. */
#include "matrix.h"

/* ---- reflections
 * ----------------------------------------------------------------------------------------------------------------- */
typedef struct Reflected { /* x = (I - V T VT) R: v [..., m, k], T upper [..., k, k], r [..., m, n], of which the upper triangle
                              counts */
    kiln_tensor *v, *t, *r;
} Reflected;

/* Column j becomes beta e_j. in: j, r [..., m, n], V [..., m, n], tau [..., n] */
static void reflect(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const MatrixLeaf *leaf = user;
    const Linear *c = &leaf->c;
    kiln_tensor *j = in[0], *r = in[1];
    (void)k;
    if (!tensor_ok(r)) return;
    const int rank = r->type.rank;
    kiln_tensor *i = matrix_places(c, leaf->m, r), *columns = matrix_places(c, leaf->n, r);
    kiln_tensor *x = la_where(c, la_le(c, j, i), la_pick(c, r, j, rank - 1), KILN_OPERAND(0));
    /* the norm, of numbers near 1 */
    kiln_tensor *most = kiln_reduce_max_at(c->at, of(kiln_abs_at(c->at, of(x))), (kiln_axes){1, 1, {0, -1}});
    kiln_tensor *none = kiln_eq_at(c->at, of(most), KILN_OPERAND(0)),
                *by = kiln_where_at(c->at, of(none), KILN_OPERAND(1), of(most));
    kiln_tensor *near = la_div(c, x, by), *alpha = la_expand(c, la_pick(c, x, j, rank - 2), -1);
    kiln_tensor *norm = la_mul(c, by, kiln_sqrt_at(c->at, of(la_expand(c, la_sum(c, la_mul(c, near, near), -1), -1))));
    kiln_tensor *beta = kiln_where_at(c->at, of(kiln_lt_at(c->at, of(alpha), KILN_OPERAND(0))), of(norm), of(la_neg(c, norm)));
    /* v = (x - beta e_j) / (alpha - beta), which is 1 at j; tau = (beta - alpha) / beta; nothing is reflected where x is 0 below j
     */
    kiln_tensor *below = la_where(c, la_lt(c, j, i), x, KILN_OPERAND(0));
    kiln_tensor *rest = kiln_reduce_max_at(c->at, of(kiln_abs_at(c->at, of(below))), (kiln_axes){1, 1, {0, -1}});
    kiln_tensor *still = kiln_eq_at(c->at, of(rest), KILN_OPERAND(0)), *here = la_eq(c, i, j);
    beta = la_where(c, still, alpha, of(beta));
    kiln_tensor *span = la_sub(c, alpha, beta),
                *v = la_div(c, below, la_where(c, kiln_not_at(c->at, of(still)), span, KILN_OPERAND(1)));
    v = kiln_where_at(c->at, of(here), KILN_OPERAND(1), of(v));
    kiln_tensor *tau = kiln_where_at(c->at, of(still), KILN_OPERAND(0), of(la_neg(c, la_div(c, span, beta))));
    kiln_tensor *w = la_mul(c, tau, la_sum(c, la_mul(c, la_expand(c, v, -1), r), rank - 2)); /* tau vT r: [..., n] */
    kiln_tensor *now =
        la_sub(c, r, la_mul(c, la_expand(c, v, -1), la_expand(c, la_where(c, la_lt(c, j, columns), w, KILN_OPERAND(0)), -2)));
    kiln_tensor *own =
        la_where(c, la_lt(c, i, j), la_pick(c, r, j, rank - 1), of(kiln_where_at(c->at, of(here), of(beta), KILN_OPERAND(0))));
    kiln_tensor *is = la_eq(c, columns, j);
    out[0] = la_where(c, is, la_expand(c, own, -1), of(now));
    out[1] = la_where(c, is, la_expand(c, v, -1), of(in[2]));
    out[2] = kiln_where_at(c->at, of(is), of(tau), of(in[3]));
}

typedef struct Join {
    Linear c;
    int64_t n;
    kiln_tensor *gram, *tau;
} Join;

/* Column j of T: tau_j (e_j - T VT v_j). in: j, T */
static void join(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Join *v = user;
    const Linear *c = &v->c;
    kiln_tensor *j = in[0], *t = in[1], *i = matrix_places(c, v->n, t);
    (void)k;
    if (!tensor_ok(t)) return;
    const int rank = t->type.rank;
    kiln_tensor *with = la_where(c, la_lt(c, i, j), la_pick(c, v->gram, j, rank - 2), KILN_OPERAND(0));
    kiln_tensor *sum = la_sum(c, la_mul(c, t, la_expand(c, with, -2)), -1),
                *tau = la_expand(c, la_pick(c, v->tau, j, rank - 2), -1);
    kiln_tensor *column = la_mul(c, tau, la_sub(c, cast_to(c->t, c->at, la_eq(c, i, j), (DType)t->type.dtype), sum));
    out[0] = la_where(c, la_eq(c, i, j), la_expand(c, column, -1), of(t));
}

static Reflected leaf(const Linear *c, kiln_tensor *x)
{
    MatrixLeaf l = {*c, matrix_size(x, -2), matrix_size(x, -1)};
    kiln_tensor *out[3], *t = NULL, *zeros = matrix_zeros(c, x, l.m, l.n);
    if (!tensor_ok(zeros)) return (Reflected){zeros, zeros, zeros};
    Type taus = x->type;
    taus.dim[--taus.rank - 1] = l.n;
    kiln_tensor *tau = constant_of(c->t, c->at, &taus, kiln_of_i(0));
    matrix_turns(c, l.n, reflect, (kiln_tensor *[]){x, zeros, tau}, 3, out, &l);
    Join j = {*c, l.n, la_product(c, matrix_turned(c, out[1]), out[1]), out[2]};
    kiln_tensor *first = matrix_zeros(c, x, l.n, l.n);
    matrix_turns(c, l.n, join, &first, 1, &t, &j);
    return (Reflected){out[1], t, out[0]};
}

/* (I - V T VT)T x */
static kiln_tensor *reflected(const Linear *c, const Reflected *q, kiln_tensor *x)
{
    kiln_tensor *w = la_product(c, matrix_turned(c, q->t), la_product(c, matrix_turned(c, q->v), x));
    return la_sub(c, x, la_product(c, q->v, w));
}

/* Of no more columns than rows. */
static Reflected factored(const Linear *c, kiln_tensor *x)
{
    const int64_t m = matrix_size(x, -2), n = matrix_size(x, -1);
    if (!tensor_ok(x)) return (Reflected){x, x, x};
    if (n <= MATRIX_LEAF) return leaf(c, x);
    const int64_t h = (n / 2 + MATRIX_LEAF - 1) / MATRIX_LEAF * MATRIX_LEAF, rest = n - h;
    const Reflected left = factored(c, matrix_columns(c, x, 0, h));
    kiln_tensor *right = reflected(c, &left, matrix_columns(c, x, h, rest));
    Reflected last = factored(c, matrix_rows(c, right, h, m - h));
    kiln_tensor *v = matrix_over(c, matrix_zeros(c, x, h, rest), last.v);
    kiln_tensor *t = la_neg(c, la_product(c, left.t, la_product(c, la_product(c, matrix_turned(c, left.v), v), last.t)));
    return (Reflected){matrix_beside(c, left.v, v),
        matrix_over(c, matrix_beside(c, left.t, t), matrix_beside(c, matrix_zeros(c, x, rest, h), last.t)),
        matrix_beside(c, left.r, matrix_over(c, matrix_rows(c, right, 0, h), last.r))};
}

/* ---- Q over R, with their gradient
 * ------------------------------------------------------------------------------------------------- */
/* Q [..., m, n] over R [..., n, n], of no more columns than rows */
static kiln_tensor *both_of(const Linear *c, kiln_tensor *x);

/* (Q' + Q S) R-T, where S is M = R R'T - Q'T Q with its lower triangle also above the diagonal; ' marks cotangents. */
static void qr_rule(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    const int64_t m = matrix_size(x[0], -2), n = matrix_size(x[0], -1);
    kiln_tensor *y = both_of(c, x[0]), *q = matrix_rows(c, y, 0, m), *r = matrix_rows(c, y, m, n);
    kiln_tensor *dq = matrix_rows(c, g, 0, m), *dr = matrix_upper(c, matrix_rows(c, g, m, n), true);
    (void)how;
    kiln_tensor *s = la_sub(c, la_product(c, r, matrix_turned(c, dr)), la_product(c, matrix_turned(c, dq), q));
    s = la_add(c, matrix_lower(c, s, true), matrix_turned(c, matrix_lower(c, s, false)));
    dx[0] = triangle_solved(c, r, la_add(c, dq, la_product(c, q, s)), KILN_UPPER | KILN_TRANSPOSED | KILN_RIGHT);
}

static kiln_tensor *both_of(const Linear *c, kiln_tensor *x)
{
    static const MatrixRule rule = {qr_rule, 0};
    const int64_t m = matrix_size(x, -2), n = matrix_size(x, -1);
    if (!tensor_ok(x)) return x;
    const Reflected f = factored(c, kiln_stop_gradient_at(c->at, of(x)));
    kiln_tensor *first = la_product(c, f.v, la_product(c, f.t, matrix_turned(c, matrix_rows(c, f.v, 0, n))));
    kiln_tensor *unit = m == n ? matrix_unit(c, x, n) : matrix_columns(c, matrix_unit(c, x, m), 0, n);
    kiln_tensor *y = matrix_over(c, la_sub(c, unit, first), matrix_upper(c, matrix_rows(c, f.r, 0, n), true));
    return tensor_ok(y) ? matrix_ruled(c, y, &x, 1, &rule) : y;
}

kiln_tensor *kiln_qr_at(kiln_site at, kiln_operand o, kiln_tensor **r)
{
    Thread *t = op_thread(&o, 1);
    if (r) *r = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t m = 0, n = 0;
    Composite s = composite_begin(t, "qr");
    kiln_tensor *given = operand_named(t, at, "qr", o, NULL), *x = matrix_of(&c, "qr", o, &m, &n), *q = &t->k->poison;
    if (x) {
        const int64_t k = MIN_OF(m, n);
        kiln_tensor *y = both_of(&c, matrix_columns(&c, x, 0, k)), *upper = matrix_rows(&c, y, m, k);
        q = matrix_rows(&c, y, 0, m);
        if (n > k) upper = matrix_beside(&c, upper, la_product(&c, matrix_turned(&c, q), matrix_columns(&c, x, k, n - k)));
        if (tensor_ok(q) && tensor_ok(upper)) {
            q = cast_to(t, at, q, (DType)given->type.dtype);
            if (r) composite_keep(t, *r = cast_to(t, at, upper, (DType)given->type.dtype));
        }
    }
    return composite_end(t, &s, q);
}
