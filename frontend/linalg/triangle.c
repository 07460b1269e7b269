/* triangle: systems with a triangular matrix, and Cholesky's factor. A matrix is halved until its diagonal blocks have MATRIX_LEAF
 * rows; those are inverted, factored, or solved for few columns, row by row in a loop, and the rest is products. The host has a
 * routine for each with the same bits (OP_triangular, OP_cholesky). Relies on matrix.h. */
#include "matrix.h"

static int64_t half(int64_t n) { return (n / 2 + MATRIX_LEAF - 1) / MATRIX_LEAF * MATRIX_LEAF; }

/* ---- the inverse of a small lower triangle -------------------------------------------------------------------------------------
 */
typedef struct Inverse {
    Linear c;
    kiln_tensor *a;
    int64_t n;
    bool unit;
} Inverse;

/* Row j of the inverse: (row j of the unit matrix - a's row before the diagonal times the rows so far) / a's diagonal. Beyond the
 * diagonal there are zeros even if that is one. */
static void inverse_row(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Inverse *v = user;
    const Linear *c = &v->c;
    const int rank = v->a->type.rank;
    kiln_tensor *j = in[0], *x = in[1], *i = matrix_places(c, v->n, v->a);
    (void)k;
    kiln_tensor *all = la_pick(c, v->a, j, rank - 2), *row = la_where(c, la_lt(c, i, j), all, KILN_OPERAND(0));
    kiln_tensor *sum = la_sum(c, la_mul(c, la_expand(c, row, -1), x), rank - 2);
    kiln_tensor *next = la_sub(c, cast_to(c->t, c->at, la_eq(c, i, j), (DType)v->a->type.dtype), sum);
    if (!v->unit) next = la_div(c, next, la_expand(c, la_pick(c, all, j, rank - 2), -1));
    if (!v->unit) next = la_where(c, la_le(c, i, j), next, KILN_OPERAND(0));
    out[0] = la_where(c, la_expand(c, la_eq(c, i, j), 1), la_expand(c, next, -2), of(x));
}

static kiln_tensor *lower_inverse(const Linear *c, kiln_tensor *a, bool unit)
{
    if (!tensor_ok(a)) return a;
    Inverse v = {*c, a, matrix_size(a, -1), unit};
    kiln_tensor *x = matrix_zeros(c, a, v.n, v.n), *out = NULL;
    matrix_turns(c, v.n, inverse_row, &x, 1, &out, &v);
    return out;
}

/* ---- few columns beside a small triangle ---------------------------------------------------------------------------------- */
typedef struct Few {
    Linear c;
    kiln_tensor *a;
    int64_t n;
    bool upper, unit;
} Few;

/* Row j of x, counted from the end of an upper triangle, is what is left of b's by the diagonal; the rows that come after it lose
 * its part. in: j, x and what is left */
static void substitute(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Few *v = user;
    const Linear *c = &v->c;
    kiln_tensor *j = v->upper ? kiln_sub_at(c->at, KILN_OPERAND(v->n - 1), of(in[0])) : in[0], *x = in[1];
    (void)k;
    if (!tensor_ok(x)) return;
    const int rank = x->type.rank;
    kiln_tensor *i = la_expand(c, matrix_places(c, v->n, x), 1), *column = la_pick(c, v->a, j, rank - 1);
    kiln_tensor *row = la_pick(c, x, j, rank - 2);
    if (!v->unit) row = la_div(c, row, la_expand(c, la_pick(c, column, j, rank - 2), -1));
    row = la_expand(c, row, -2);
    kiln_tensor *left = la_sub(c, x, la_mul(c, la_expand(c, column, -1), row));
    kiln_tensor *later = v->upper ? la_lt(c, i, j) : la_lt(c, j, i);
    out[0] = la_where(c, la_eq(c, i, j), row, of(la_where(c, later, left, of(x))));
}

static bool same_batches(const kiln_tensor *a, const kiln_tensor *b)
{
    bool same = a->type.rank == b->type.rank;
    for (int d = 0; d < a->type.rank - 2 && same; d++) same = a->type.dim[d] == b->type.dim[d];
    return same;
}

static bool is_few(const kiln_tensor *a, const kiln_tensor *b)
{
    return same_batches(a, b) && matrix_size(b, -1) <= matrix_size(a, -1);
}

/* ---- systems
 * --------------------------------------------------------------------------------------------------------------------- */
/* a x = b, without a gradient */
static kiln_tensor *solved(const Linear *c, kiln_tensor *a, kiln_tensor *b, bool upper, bool unit)
{
    const int64_t n = matrix_size(a, -1), h = half(n), rest = n - h;
    if (!tensor_ok(a) || !tensor_ok(b)) return &c->t->k->poison;
    if (n <= MATRIX_LEAF && is_few(a, b)) {
        Few v = {*c, a, n, upper, unit};
        kiln_tensor *x = NULL;
        matrix_turns(c, n, substitute, &b, 1, &x, &v);
        return x;
    }
    if (n <= MATRIX_LEAF) {
        kiln_tensor *x = upper ? matrix_turned(c, lower_inverse(c, matrix_turned(c, a), unit)) : lower_inverse(c, a, unit);
        return la_product(c, x, b);
    }
    kiln_tensor *first = matrix_part(c, a, 0, h, 0, h), *last = matrix_part(c, a, h, rest, h, rest);
    kiln_tensor *above = matrix_rows(c, b, 0, h), *below = matrix_rows(c, b, h, rest);
    if (upper) {
        below = solved(c, last, below, true, unit);
        above = solved(c, first, la_sub(c, above, la_product(c, matrix_part(c, a, 0, h, h, rest), below)), true, unit);
    } else {
        above = solved(c, first, above, false, unit);
        below = solved(c, last, la_sub(c, below, la_product(c, matrix_part(c, a, h, rest, 0, h), above)), false, unit);
    }
    return matrix_over(c, above, below);
}

/* The same, by the host's routine where there is one. */
static kiln_tensor *solved_there(const Linear *c, kiln_tensor *a, kiln_tensor *b, bool upper, bool unit)
{
    kiln_tensor *x = NULL;
    if (!la_by_host(c, a) || !la_by_host(c, b) || !same_batches(a, b)) return solved(c, a, b, upper, unit);
    apply(c->t, c->at, OP_triangular, (kiln_tensor *[]){a, b}, 2, ATTRS_OF(triangular, .upper = upper, .unit = unit), &x, 1);
    return x;
}

/* With respect to b it is the system of the other side's transpose; to a, minus a product of its solution and x, in a's triangle.
 */
static void solve_rule(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    kiln_tensor *a = x[0], *b = x[1];
    kiln_tensor *db = triangle_solved(c, a, g, how ^ KILN_TRANSPOSED), *y = triangle_solved(c, a, b, how);
    const bool right = how & KILN_RIGHT, turned = how & KILN_TRANSPOSED, diagonal = !(how & KILN_UNIT);
    kiln_tensor *first = right == turned ? db : y, *second = right == turned ? y : db;
    kiln_tensor *da = right ? la_product(c, matrix_turned(c, first), second) : la_product(c, first, matrix_turned(c, second));
    da = how & KILN_UPPER ? matrix_upper(c, da, diagonal) : matrix_lower(c, da, diagonal);
    dx[0] = matrix_summed(c, la_neg(c, da), a);
    dx[1] = matrix_summed(c, db, b);
}

#define RULE(how)              \
    {                          \
        solve_rule, (how) << 4 \
    }
static const MatrixRule solve_rules[16] = {RULE(0), RULE(1), RULE(2), RULE(3), RULE(4), RULE(5), RULE(6), RULE(7), RULE(8), RULE(9),
    RULE(10), RULE(11), RULE(12), RULE(13), RULE(14), RULE(15)};
_Static_assert(KILN_UPPER == 1 << 4 && KILN_RIGHT == 8 << 4, "the rules' numbers");

kiln_tensor *triangle_solved(const Linear *c, kiln_tensor *a, kiln_tensor *b, int how)
{
    const bool right = how & KILN_RIGHT, turned = right != !!(how & KILN_TRANSPOSED);
    kiln_tensor *x = solved_there(
        c, turned ? matrix_turned(c, a) : a, right ? matrix_turned(c, b) : b, turned != !!(how & KILN_UPPER), how & KILN_UNIT);
    if (right) x = matrix_turned(c, x);
    return matrix_ruled(c, x, (kiln_tensor *[]){a, b}, 2, &solve_rules[how >> 4]);
}

kiln_tensor *kiln_triangular_solve_at(kiln_site at, kiln_operand a, kiln_operand b, int how)
{
    Thread *t = op_thread((const kiln_operand[]){a, b}, 2);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t n = 0, rows = 0, columns = 0;
    char one[96], other[96];
    Composite s = composite_begin(t, "triangular_solve");
    kiln_tensor *x = square_of(&c, "triangular_solve", a, &n),
                *y = x ? matrix_of(&c, "triangular_solve", b, &rows, &columns) : NULL, *r = NULL;
    const DType d = x && y ? (DType)MAX_OF(x->type.dtype, y->type.dtype) : DT_f32;
    if (!y)
        r = &t->k->poison;
    else if (how & ~(KILN_UPPER | KILN_TRANSPOSED | KILN_UNIT | KILN_RIGHT))
        r = fail(t, at, KILN_EVALUE,
            "triangular_solve: how is %d (allowed: a sum of KILN_UPPER, KILN_TRANSPOSED, KILN_UNIT, KILN_RIGHT)", how);
    else if ((how & KILN_RIGHT ? columns : rows) != n)
        r = fail(t, at, KILN_ESHAPE, "triangular_solve: the sizes of the matrix and of the other side differ: %s, %s",
            tensor_text(x, one, sizeof one), tensor_text(y, other, sizeof other));
    else
        r = matrix_narrowed(&c, triangle_solved(&c, cast_to(t, at, x, d), cast_to(t, at, y, d), how), a, b);
    return composite_end(t, &s, r);
}

/* ---- Cholesky
 * ---------------------------------------------------------------------------------------------------------------------- */
/* Column j of L, and what is left of the matrix without it. in: j, the rest, L */
static void cholesky_column(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const MatrixLeaf *v = user;
    const Linear *c = &v->c;
    kiln_tensor *j = in[0], *rest = in[1], *i = matrix_places(c, v->n, rest);
    (void)k;
    if (!tensor_ok(rest)) return;
    const int rank = rest->type.rank;
    kiln_tensor *column = la_pick(c, rest, j, rank - 1), *pivot = kiln_sqrt_at(c->at, of(la_pick(c, column, j, rank - 2)));
    column = la_where(c, la_le(c, j, i), la_div(c, column, la_expand(c, pivot, -1)), KILN_OPERAND(0));
    out[0] = la_sub(c, rest, la_mul(c, la_expand(c, column, -1), la_expand(c, column, -2)));
    out[1] = la_where(c, la_eq(c, i, j), la_expand(c, column, -1), of(in[2]));
}

/* Of a matrix whose two triangles are there. */
static kiln_tensor *factored(const Linear *c, kiln_tensor *a)
{
    const int64_t n = matrix_size(a, -1), h = half(n), rest = n - h;
    kiln_tensor *out[2];
    if (!tensor_ok(a)) return a;
    if (n <= MATRIX_LEAF) {
        MatrixLeaf v = {*c, n, n};
        matrix_turns(c, n, cholesky_column, (kiln_tensor *[]){a, matrix_zeros(c, a, n, n)}, 2, out, &v);
        return out[1];
    }
    kiln_tensor *first = factored(c, matrix_part(c, a, 0, h, 0, h)), *below = matrix_part(c, a, h, rest, 0, h);
    below = matrix_turned(c, solved(c, first, matrix_turned(c, below), false, false)); /* below L'-T */
    kiln_tensor *last = la_sub(c, matrix_part(c, a, h, rest, h, rest), la_product(c, below, matrix_turned(c, below)));
    return matrix_over(c, matrix_beside(c, first, matrix_zeros(c, a, h, rest)), matrix_beside(c, below, factored(c, last)));
}

/* The same, by the host's routine where there is one. */
static kiln_tensor *factored_there(const Linear *c, kiln_tensor *a)
{
    if (!la_by_host(c, a)) return factored(c, a);
    return apply1(c->t, c->at, OP_cholesky, a, NULL, 0);
}

/* Of a symmetric matrix: L-T P(LT g) L-1, made symmetric, where P takes the lower triangle with half of the diagonal. */
static void cholesky_rule(const Linear *c, int how, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    (void)how;
    kiln_tensor *l = kiln_cholesky_at(c->at, of(x[0])), *s = la_product(c, matrix_turned(c, l), matrix_lower(c, g, true));
    if (!tensor_ok(s)) return;
    s = la_mul(c, la_add(c, matrix_lower(c, s, true), matrix_lower(c, s, false)),
        constant_of(c->t, c->at, &(Type){.dtype = s->type.dtype}, KILN_OPERAND(0.5)));
    s = triangle_solved(c, l, s, KILN_TRANSPOSED);
    s = triangle_solved(c, l, s, KILN_RIGHT);
    dx[0] = kiln_mul_at(c->at, of(la_add(c, s, matrix_turned(c, s))), KILN_OPERAND(0.5));
}

kiln_tensor *kiln_cholesky_at(kiln_site at, kiln_operand o)
{
    static const MatrixRule rule = {cholesky_rule, 0};
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t n = 0;
    Composite s = composite_begin(t, "cholesky");
    kiln_tensor *given = operand_named(t, at, "cholesky", o, NULL), *x = square_of(&c, "cholesky", o, &n), *r = x;
    if (x) {
        kiln_tensor *both = la_add(&c, matrix_lower(&c, x, true), matrix_turned(&c, matrix_lower(&c, x, false)));
        if (tensor_ok(both)) r = matrix_ruled(&c, factored_there(&c, kiln_stop_gradient_at(at, of(both))), &both, 1, &rule);
        r = tensor_ok(r) ? cast_to(t, at, r, (DType)given->type.dtype) : r;
    }
    return composite_end(t, &s, r ? r : &t->k->poison);
}
