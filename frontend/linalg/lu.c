/* lu: factors with pivots, and what is made of them: systems, inverses, determinants. Columns are halved until there are
 * MATRIX_LEAF, which are eliminated one by one: rows stay where they are, and which was the pivot of which column is remembered.
 * The host has a routine that does the same, to the bit (OP_lu).
 * Relies on matrix.h. */
#include "matrix.h"

typedef struct Factors {
    kiln_tensor *lu, *order; /* kiln_lu's two results */
} Factors;

/* ---- elimination ---------------------------------------------------------------------------------------------------------------
 */
/* Column j. in: j, the matrix [..., m, n], places [..., m]: the column whose pivot the row was, or n and more */
static void eliminate(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const MatrixLeaf *v = user;
    const Linear *c = &v->c;
    kiln_tensor *j = in[0], *x = in[1], *place = in[2];
    (void)k;
    if (!tensor_ok(x)) return;
    const int rank = x->type.rank;
    kiln_tensor *column = la_pick(c, x, j, rank - 1), *free = kiln_ge_at(c->at, of(place), KILN_OPERAND(v->n));
    kiln_tensor *size = la_where(c, free, kiln_abs_at(c->at, of(column)), KILN_OPERAND(-1));
    kiln_tensor *row = kiln_argmax_at(c->at, of(size), -1);
    kiln_tensor *is = la_eq(c, matrix_places(c, v->m, x), la_expand(c, row, -1));
    kiln_tensor *pivots = matrix_ordered(c, x, la_expand(c, row, -1)), *i = matrix_places(c, v->n, x); /* [..., 1, n] */
    kiln_tensor *pivot = la_pick(c, pivots, j, rank - 1);                                              /* [..., 1] */
    kiln_tensor *below = kiln_and_at(c->at, of(free), of(kiln_not_at(c->at, of(is))));
    kiln_tensor *factor = la_where(c, kiln_eq_at(c->at, of(pivot), KILN_OPERAND(0)), column, of(la_div(c, column, pivot)));
    kiln_tensor *left = la_sub(c, x, la_mul(c, la_expand(c, factor, -1), pivots));
    left = la_where(c, la_eq(c, i, j), la_expand(c, factor, -1), of(left)); /* else the columns behind this one */
    out[0] = la_where(c, kiln_and_at(c->at, of(la_expand(c, below, -1)), of(la_le(c, j, i))), left, of(x));
    out[1] = kiln_where_at(c->at, of(is), of(j), of(place));
}

static Factors factored(const Linear *c, kiln_tensor *x);

static Factors leaf(const Linear *c, kiln_tensor *x)
{
    const int64_t m = matrix_size(x, -2), n = MIN_OF(m, matrix_size(x, -1));
    MatrixLeaf v = {*c, m, n};
    Type places = x->type;
    places.rank--;
    places.dtype = DT_i64;
    kiln_tensor *first = kiln_add_at(c->at, of(iota_of(c->t, c->at, &places, places.rank - 1, x)), KILN_OPERAND(n)), *out[2];
    matrix_turns(c, n, eliminate, (kiln_tensor *[]){x, first}, 2, out, &v);
    kiln_tensor *order = kiln_argsort_at(c->at, of(out[1]), -1, 0);
    return (Factors){matrix_ordered(c, out[0], order), order};
}

/* The order of an order. */
static kiln_tensor *reordered(const Linear *c, kiln_tensor *order, kiln_tensor *by)
{
    if (!tensor_ok(order) || !tensor_ok(by)) return &c->t->k->poison;
    return take_along(c->t, c->at, order, by, order->type.rank - 1);
}

/* Left columns first; the right ones are what they leave. */
static Factors halves(const Linear *c, kiln_tensor *x, int64_t h)
{
    const int64_t m = matrix_size(x, -2), rest = matrix_size(x, -1) - h;
    const Factors left = factored(c, matrix_columns(c, x, 0, h));
    kiln_tensor *right = matrix_ordered(c, matrix_columns(c, x, h, rest), left.order);
    kiln_tensor *above = triangle_solved(c, matrix_rows(c, left.lu, 0, h), matrix_rows(c, right, 0, h), KILN_UNIT);
    if (m == h) return (Factors){matrix_beside(c, left.lu, above), left.order};
    kiln_tensor *below = matrix_rows(c, left.lu, h, m - h);
    const Factors last = factored(c, la_sub(c, matrix_rows(c, right, h, m - h), la_product(c, below, above)));
    kiln_tensor *rank_order = left.order;
    if (!tensor_ok(rank_order)) return left;
    const int axis = rank_order->type.rank - 1;
    kiln_tensor *kept = slice_axis(c->t, c->at, rank_order, axis, 0, h),
                *moved = slice_axis(c->t, c->at, rank_order, axis, h, m - h);
    return (Factors){matrix_over(c, matrix_beside(c, matrix_rows(c, left.lu, 0, h), above),
                         matrix_beside(c, matrix_ordered(c, below, last.order), last.lu)),
        kiln_concat_of_at(c->at, KILN_IN(kept, reordered(c, moved, last.order)), -1)};
}

static Factors factored(const Linear *c, kiln_tensor *x)
{
    const int64_t m = matrix_size(x, -2), n = matrix_size(x, -1), k = MIN_OF(m, n);
    if (!tensor_ok(x)) return (Factors){x, x};
    if (n > k) return halves(c, x, k);
    return n <= MATRIX_LEAF ? leaf(c, x) : halves(c, x, (n / 2 + MATRIX_LEAF - 1) / MATRIX_LEAF * MATRIX_LEAF);
}

static Factors without_gradient(const Linear *c, kiln_tensor *x)
{
    kiln_tensor *out[2];
    if (tensor_ok(x)) x = kiln_stop_gradient_at(c->at, of(x));
    if (!la_by_host(c, x)) return factored(c, x);
    apply(c->t, c->at, OP_lu, &x, 1, NULL, 0, out, 2);
    return (Factors){out[0], out[1]};
}

/* ---- the factors, with their gradient ------------------------------------------------------------------------------------------
 */
static Factors lu_of(const Linear *c, kiln_tensor *x);

/* Of the square part: L-T (tril(LT gl) below, triu(gu UT)) U-T; its triangles of gl and gu count. */
static kiln_tensor *square_gradient(const Linear *c, kiln_tensor *lu, kiln_tensor *gl, kiln_tensor *gu)
{
    kiln_tensor *l = la_add(c, matrix_lower(c, lu, false), matrix_unit(c, lu, matrix_size(lu, -1))), *u = matrix_upper(c, lu, true);
    kiln_tensor *of_l = la_product(c, matrix_turned(c, l), matrix_lower(c, gl, false));
    kiln_tensor *of_u = la_product(c, matrix_upper(c, gu, true), matrix_turned(c, u));
    kiln_tensor *s = la_add(c, matrix_lower(c, of_l, false), matrix_upper(c, of_u, true));
    s = triangle_solved(c, lu, s, KILN_UNIT | KILN_TRANSPOSED);
    return triangle_solved(c, lu, s, KILN_UPPER | KILN_TRANSPOSED | KILN_RIGHT);
}

/* The rows are in order: beside a square part [L U1] lies L-1 A2 of what x has there, and below it A2 U-1. Their gradients are L-T
 * g and g U-T, which L and U get with another sign, times the transpose of what lies there. */
static void lu_rule(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    (void)how;
    const Factors f = lu_of(c, x[0]);
    if (!tensor_ok(f.lu)) return;
    const int64_t m = matrix_size(f.lu, -2), n = matrix_size(f.lu, -1), k = MIN_OF(m, n);
    kiln_tensor *lu = matrix_part(c, f.lu, 0, k, 0, k), *first = matrix_part(c, g, 0, k, 0, k), *s = NULL;
    if (m == n) s = square_gradient(c, lu, first, first);
    if (n > k) {
        kiln_tensor *rest = triangle_solved(c, lu, matrix_columns(c, g, k, n - k), KILN_UNIT | KILN_TRANSPOSED);
        kiln_tensor *gl = la_sub(c, first, la_product(c, rest, matrix_turned(c, matrix_columns(c, f.lu, k, n - k))));
        s = matrix_beside(c, square_gradient(c, lu, gl, first), rest);
    }
    if (m > k) {
        kiln_tensor *rest = triangle_solved(c, lu, matrix_rows(c, g, k, m - k), KILN_UPPER | KILN_TRANSPOSED | KILN_RIGHT);
        kiln_tensor *gu = la_sub(c, first, la_product(c, matrix_turned(c, matrix_rows(c, f.lu, k, m - k)), rest));
        s = matrix_over(c, square_gradient(c, lu, first, gu), rest);
    }
    dx[0] = matrix_ordered(c, s, kiln_argsort_at(c->at, of(f.order), -1, 0));
}

static Factors lu_of(const Linear *c, kiln_tensor *x)
{
    static const MatrixRule rule = {lu_rule, 0};
    Factors f = without_gradient(c, x);
    if (tensor_ok(f.lu)) f.lu = matrix_ruled(c, f.lu, &x, 1, &rule);
    return f;
}

kiln_tensor *kiln_lu_at(kiln_site at, kiln_operand o, kiln_tensor **order)
{
    Thread *t = op_thread(&o, 1);
    if (order) *order = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t m = 0, n = 0;
    Composite s = composite_begin(t, "lu");
    kiln_tensor *given = operand_named(t, at, "lu", o, NULL), *x = matrix_of(&c, "lu", o, &m, &n), *r = &t->k->poison;
    if (x) {
        const Factors f = lu_of(&c, x);
        r = tensor_ok(f.lu) ? cast_to(t, at, f.lu, (DType)given->type.dtype) : f.lu;
        if (order) composite_keep(t, *order = f.order);
    }
    return composite_end(t, &s, r);
}

/* ---- systems
 * --------------------------------------------------------------------------------------------------------------------- */
static kiln_tensor *solved_by(const Linear *c, kiln_tensor *a, kiln_tensor *b, const Factors *f, int turned);

/* x: a, b and the factors, to which nothing flows */
static void solve_rule(const Linear *c, int turned, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    const Factors f = {x[2], x[3]};
    kiln_tensor *db = solved_by(c, x[0], g, &f, !turned), *y = solved_by(c, x[0], x[1], &f, turned);
    kiln_tensor *da = turned ? la_product(c, y, matrix_turned(c, db)) : la_product(c, db, matrix_turned(c, y));
    dx[0] = matrix_summed(c, la_neg(c, da), x[0]);
    dx[1] = matrix_summed(c, db, x[1]);
}

/* a x = b, or aT x = b: a with its rows in order is L U. */
static kiln_tensor *solved_by(const Linear *c, kiln_tensor *a, kiln_tensor *b, const Factors *f, int turned)
{
    static const MatrixRule rules[2] = {{solve_rule, 0}, {solve_rule, 1}};
    kiln_tensor *x = b;
    if (!tensor_ok(f->order) || !tensor_ok(b)) return &c->t->k->poison;
    if (!turned) {
        x = matrix_ordered(c, matrix_batched(c, x, f->order), f->order);
        x = triangle_solved(c, f->lu, x, KILN_UNIT);
        x = triangle_solved(c, f->lu, x, KILN_UPPER);
    } else {
        x = triangle_solved(c, f->lu, x, KILN_UPPER | KILN_TRANSPOSED);
        x = triangle_solved(c, f->lu, x, KILN_UNIT | KILN_TRANSPOSED);
        x = matrix_ordered(c, x, kiln_argsort_at(c->at, of(f->order), -1, 0));
    }
    return matrix_ruled(c, x, (kiln_tensor *[]){a, b, f->lu, f->order}, 4, &rules[turned]);
}

kiln_tensor *kiln_solve_at(kiln_site at, kiln_operand a, kiln_operand b)
{
    Thread *t = op_thread((const kiln_operand[]){a, b}, 2);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t n = 0, rows = 0, columns = 0;
    char one[96], other[96];
    Composite s = composite_begin(t, "solve");
    kiln_tensor *x = square_of(&c, "solve", a, &n), *y = x ? operand_float(t, at, "solve", b) : NULL, *r = &t->k->poison;
    const bool vector = tensor_ok(y) && y->type.rank == 1;
    if (vector) y = la_expand(&c, y, 1);
    kiln_tensor *z = tensor_ok(y) ? matrix_of(&c, "solve", of(y), &rows, &columns) : NULL;
    if (z && rows != n) {
        fail(t, at, KILN_ESHAPE, "solve: the sizes of the matrix and of the other side differ: %s, %s",
            tensor_text(x, one, sizeof one), tensor_text(y, other, sizeof other));
    } else if (z) {
        const DType d = (DType)MAX_OF(x->type.dtype, z->type.dtype);
        x = cast_to(t, at, x, d);
        const Factors f = without_gradient(&c, x);
        r = solved_by(&c, x, cast_to(t, at, z, d), &f, 0);
        if (vector && tensor_ok(r)) r = kiln_squeeze_at(at, of(r), -1);
        if (tensor_ok(r)) r = matrix_narrowed(&c, r, a, b);
    }
    return composite_end(t, &s, r);
}

/* ---- inverses, determinants
 * ---------------------------------------------------------------------------------------------------------- */
static kiln_tensor *inverse_by(const Linear *c, kiln_tensor *a, const Factors *f, int turned)
{
    return tensor_ok(a) ? solved_by(c, a, matrix_unit(c, a, matrix_size(a, -1)), f, turned) : a;
}

/* A function of a square matrix by its factors. */
typedef kiln_tensor *ByFactors(const Linear *c, kiln_tensor *a, const Factors *f);
static kiln_tensor *by_factors(kiln_site at, const char *name, kiln_operand o, ByFactors *make)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t n = 0;
    Composite s = composite_begin(t, name);
    kiln_tensor *given = operand_named(t, at, name, o, NULL), *x = square_of(&c, name, o, &n), *r = &t->k->poison;
    if (x) {
        const Factors f = without_gradient(&c, x);
        r = make(&c, x, &f);
        r = tensor_ok(r) ? cast_to(t, at, r, (DType)given->type.dtype) : r;
    }
    return composite_end(t, &s, r);
}

static kiln_tensor *inverse(const Linear *c, kiln_tensor *a, const Factors *f) { return inverse_by(c, a, f, 0); }

kiln_tensor *kiln_inverse_at(kiln_site at, kiln_operand x) { return by_factors(at, "inverse", x, inverse); }

/* 1 or -1: whether an even number of pairs stands in the wrong order */
static kiln_tensor *sign_of(const Linear *c, const Factors *f)
{
    if (!tensor_ok(f->order)) return f->order;
    kiln_tensor *wrong = kiln_gt_at(c->at, of(la_expand(c, f->order, -1)), of(la_expand(c, f->order, -2)));
    kiln_tensor *pairs = matrix_upper(c, cast_to(c->t, c->at, wrong, DT_i64), false);
    kiln_tensor *odd = kiln_and_at(c->at, of(la_sum(c, la_sum(c, pairs, -1), -1)), KILN_OPERAND(1));
    kiln_tensor *sign = kiln_sub_at(c->at, KILN_OPERAND(1), of(kiln_mul_at(c->at, of(odd), KILN_OPERAND(2))));
    return tensor_ok(sign) ? cast_to(c->t, c->at, sign, (DType)f->lu->type.dtype) : sign;
}

static kiln_tensor *product_of(const Linear *c, kiln_tensor *x) { return kiln_prod_at(c->at, of(x), (kiln_axes){0, 1, {0, -1}}); }

static kiln_tensor *spread(const Linear *c, kiln_tensor *number) { return la_expand(c, la_expand(c, number, -1), -1); }

static void det_rule(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    const Factors f = {x[1], x[2]};
    (void)how;
    dx[0] = la_mul(c, spread(c, la_mul(c, g, kiln_det_at(c->at, of(x[0])))), inverse_by(c, x[0], &f, 1));
}

static kiln_tensor *det(const Linear *c, kiln_tensor *a, const Factors *f)
{
    static const MatrixRule rule = {det_rule, 0};
    kiln_tensor *y = la_mul(c, sign_of(c, f), product_of(c, matrix_diagonal(c, f->lu)));
    return tensor_ok(y) ? matrix_ruled(c, y, (kiln_tensor *[]){a, f->lu, f->order}, 3, &rule) : y;
}

kiln_tensor *kiln_det_at(kiln_site at, kiln_operand x) { return by_factors(at, "det", x, det); }

static void logarithm_rule(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    const Factors f = {x[1], x[2]};
    (void)how;
    dx[0] = la_mul(c, spread(c, g), inverse_by(c, x[0], &f, 1));
}

/* Sign and logarithm side by side, as one result: [2, ...] */
static kiln_tensor *both(const Linear *c, kiln_tensor *a, const Factors *f)
{
    static const MatrixRule rule = {logarithm_rule, 0};
    kiln_tensor *pivots = matrix_diagonal(c, f->lu);
    kiln_tensor *sign = la_mul(c, sign_of(c, f), product_of(c, kiln_sign_at(c->at, of(pivots))));
    kiln_tensor *y = la_sum(c, kiln_log_at(c->at, of(kiln_abs_at(c->at, of(pivots)))), -1);
    if (!tensor_ok(y) || !tensor_ok(sign)) return &c->t->k->poison;
    y = matrix_ruled(c, y, (kiln_tensor *[]){a, f->lu, f->order}, 3, &rule);
    return kiln_stack_of_at(c->at, KILN_IN(sign, y), 0);
}

kiln_tensor *kiln_slogdet_at(kiln_site at, kiln_operand x, kiln_tensor **logarithm)
{
    kiln_tensor *y = by_factors(at, "slogdet", x, both);
    Thread *t = y ? thread_of(y->k) : NULL;
    if (logarithm) *logarithm = y;
    if (!t || !tensor_ok(y)) return y;
    if (logarithm) *logarithm = kiln_gather_at(at, of(y), of(dim_tensor(t, at, 1, DT_i64)), 0);
    return kiln_gather_at(at, of(y), of(dim_tensor(t, at, 0, DT_i64)), 0);
}
