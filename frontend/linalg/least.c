/* least: solutions of least squares, pseudo-inverses and ranks, by singular values, of which small ones count as none. Their
 * gradient is that of matrices which keep their rank (Golub and Pereyra 1973), by rule, so that equal singular values are no
 * trouble. Relies on matrix.h. */
#include "matrix.h"

#include <math.h>

typedef struct Parts { /* x = U diag(s) VT, of which nothing has a gradient */
    kiln_tensor *u, *vt, *s;
    kiln_tensor *by;   /* 1 / s, 0 where s counts as none */
    kiln_tensor *kept; /* bool: where it counts */
} Parts;

/* ---- which values count ------------------------------------------------------------------------------ */

static kiln_tensor *number(const Linear *c, kiln_tensor *like, double v)
{
    return constant_of(c->t, c->at, &(Type){.dtype = like->type.dtype}, kiln_of_f(v));
}

/* Up to which size singular values [..., k] count as none, [..., 1]; n: the longer side. */
static kiln_tensor *tolerance_of(const Linear *c, kiln_tensor *size, int64_t n, const kiln_rank_options *o)
{
    const kiln_axes last = {1, 1, {0, -1}};
    if (o->tolerance) return la_expand(c, cast_to(c->t, c->at, o->tolerance, (DType)size->type.dtype), -1);
    const double unit = size->type.dtype == DT_f64 ? 0x1p-52 : 0x1p-23;
    const double rtol = o->rtol != 0 ? o->rtol : o->atol != 0 ? 0 : (double)n * unit;
    kiln_tensor *most = kiln_reduce_max_at(c->at, of(size), last);
    if (!tensor_ok(most)) return most;
    return kiln_max_at(c->at, of(la_mul(c, most, number(c, size, rtol))), of(number(c, size, o->atol)));
}

static kiln_tensor *counted_of(const Linear *c, kiln_tensor *s, int64_t n, const kiln_rank_options *o)
{
    if (!tensor_ok(s)) return s;
    kiln_tensor *size = kiln_abs_at(c->at, of(s));
    if (matrix_size(s, -1) == 0) return la_lt(c, s, size);
    return kiln_not_at(c->at, of(la_le(c, size, tolerance_of(c, size, n, o)))); /* NaN counts, and is seen */
}

static bool options_ok(const Linear *c, const char *name, const kiln_rank_options *o)
{
    if (o->rtol >= 0 && o->atol >= 0 && isfinite(o->rtol) && isfinite(o->atol)) return true;
    fail(c->t, c->at, KILN_EVALUE, "%s: rtol is %g and atol %g; they must be finite, 0 or above", name, o->rtol, o->atol);
    return false;
}

static Parts parts_of(const Linear *c, kiln_tensor *x, const kiln_rank_options *o)
{
    Parts p = {x, x, x, x, x};
    kiln_tensor *out[3] = {x, x, x}, *still = tensor_ok(x) ? kiln_stop_gradient_at(c->at, of(x)) : x;
    if (!tensor_ok(still)) return p;
    if (o->symmetric)
        apply(c->t, c->at, OP_eigh, &still, 1, NULL, 0, out, 2);
    else
        apply(c->t, c->at, OP_svd, &still, 1, ATTRS_OF(svd, .full = 0), out, 3);
    p.s = out[!o->symmetric];
    p.u = out[o->symmetric];
    p.vt = o->symmetric ? matrix_turned(c, p.u) : out[2];
    p.kept = counted_of(c, p.s, MAX_OF(matrix_size(x, -2), matrix_size(x, -1)), o);
    if (!tensor_ok(p.kept)) return p;
    p.by = la_div(c, number(c, p.s, 1), la_where(c, p.kept, p.s, KILN_OPERAND(1)));
    p.by = la_where(c, p.kept, p.by, KILN_OPERAND(0));
    return p;
}

static kiln_tensor *rank_of(const Linear *c, kiln_tensor *kept)
{
    return kiln_count_nonzero_at(c->at, of(kept), (kiln_axes){0, 1, {0, -1}});
}

/* ---- the smallest solution --------------------------------------------------------------------------- */

static kiln_tensor *least(const Linear *c, kiln_tensor *a, kiln_tensor *b, const Parts *p, int turned);

/* x: a, b and the parts, to which nothing flows. With P the pseudo-inverse of a (or aT, if turned), P b varies by
 * -P da P b + P PT daT (b - a P b) + (1 - P a) daT PT P b. */
static void least_rule(const Linear *c, int turned, kiln_tensor *g, kiln_tensor *const *x, kiln_tensor **dx)
{
    const Parts p = {.u = x[2], .vt = x[3], .by = x[4]};
    kiln_tensor *a = turned ? matrix_turned(c, x[0]) : x[0], *b = x[1];
    kiln_tensor *db = least(c, x[0], g, &p, !turned), *y = least(c, x[0], b, &p, turned);
    kiln_tensor *rest = la_sub(c, b, la_product(c, a, y)), *missed = la_sub(c, g, la_product(c, matrix_turned(c, a), db));
    kiln_tensor *da = la_product(c, rest, matrix_turned(c, least(c, x[0], db, &p, turned)));
    da = la_add(c, da, la_product(c, least(c, x[0], y, &p, !turned), matrix_turned(c, missed)));
    da = la_sub(c, da, la_product(c, db, matrix_turned(c, y)));
    dx[0] = matrix_summed(c, turned ? matrix_turned(c, da) : da, x[0]);
    dx[1] = matrix_summed(c, db, b);
}

/* P b: V (by (UT b)); turned: PT b */
static kiln_tensor *least(const Linear *c, kiln_tensor *a, kiln_tensor *b, const Parts *p, int turned)
{
    static const MatrixRule rules[2] = {{least_rule, 0}, {least_rule, 1}};
    if (!tensor_ok(p->u) || !tensor_ok(p->by) || !tensor_ok(b)) return &c->t->k->poison;
    kiln_tensor *first = turned ? p->vt : matrix_turned(c, p->u), *last = turned ? p->u : matrix_turned(c, p->vt);
    kiln_tensor *x = la_product(c, last, la_mul(c, la_expand(c, p->by, -1), la_product(c, first, b)));
    if (!tensor_ok(x)) return x;
    return matrix_ruled(c, x, (kiln_tensor *[]){a, b, p->u, p->vt, p->by}, 5, &rules[turned]);
}

/* ---- public ------------------------------------------------------------------------------------------ */

static kiln_rank_options options_of(const kiln_rank_options *options, size_t size)
{
    kiln_rank_options o = {0};
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    return o;
}

/* What the options ask for beside the result. */
static void tell(const Linear *c, const Parts *p, const kiln_tensor *given, const kiln_rank_options *o)
{
    if (o->rank && tensor_ok(p->kept)) composite_keep(c->t, *o->rank = rank_of(c, p->kept));
    if (!o->values || !tensor_ok(p->s)) return;
    composite_keep(c->t, *o->values = cast_to(c->t, c->at, kiln_stop_gradient_at(c->at, of(p->s)), (DType)given->type.dtype));
}

static void tell_nothing(Thread *t, const kiln_rank_options *o)
{
    if (o->rank) *o->rank = t ? &t->k->poison : NULL;
    if (o->values) *o->values = t ? &t->k->poison : NULL;
}

/* x, of which the lower triangle stands for both, if that is asked. NULL: recorded, or poison. */
static kiln_tensor *ranked_of(const Linear *c, const char *name, kiln_operand o, const kiln_rank_options *options)
{
    int64_t m = 0, n = 0;
    if (!options_ok(c, name, options)) return NULL;
    if (!options->symmetric) return matrix_of(c, name, o, &m, &n);
    kiln_tensor *x = square_of(c, name, o, &n);
    return x ? la_add(c, matrix_lower(c, x, true), matrix_turned(c, matrix_lower(c, x, false))) : NULL;
}

kiln_tensor *kiln_pinv_sized(kiln_site at, kiln_operand x, const kiln_rank_options *options, size_t size)
{
    const kiln_rank_options o = options_of(options, size);
    Thread *t = op_thread(&x, 1);
    tell_nothing(t, &o);
    if (!t) return NULL;
    const Linear c = {t, at};
    Composite s = composite_begin(t, "pinv");
    kiln_tensor *given = operand_named(t, at, "pinv", x, NULL), *a = ranked_of(&c, "pinv", x, &o), *r = &t->k->poison;
    if (a) {
        const Parts p = parts_of(&c, a, &o);
        r = least(&c, a, matrix_unit(&c, a, matrix_size(a, -2)), &p, 0);
        if (tensor_ok(r)) r = cast_to(t, at, r, (DType)given->type.dtype);
        tell(&c, &p, given, &o);
    }
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_matrix_rank_sized(kiln_site at, kiln_operand x, const kiln_rank_options *options, size_t size)
{
    const kiln_rank_options o = options_of(options, size);
    Thread *t = op_thread(&x, 1);
    tell_nothing(t, &o);
    if (!t) return NULL;
    const Linear c = {t, at};
    Composite s = composite_begin(t, "matrix_rank");
    kiln_tensor *given = operand_named(t, at, "matrix_rank", x, NULL), *a = ranked_of(&c, "matrix_rank", x, &o);
    kiln_tensor *r = &t->k->poison, *still = a && tensor_ok(a) ? kiln_stop_gradient_at(at, of(a)) : NULL;
    if (tensor_ok(still)) {
        Parts p = {.s = still};
        apply(t, at, o.symmetric ? OP_eigvalsh : OP_svdvals, &still, 1, NULL, 0, &p.s, 1);
        p.kept = counted_of(&c, p.s, MAX_OF(matrix_size(a, -2), matrix_size(a, -1)), &o);
        r = tensor_ok(p.kept) ? rank_of(&c, p.kept) : p.kept;
        tell(&c, &p, given, &o);
    }
    return composite_end(t, &s, r);
}

static kiln_tensor *solved(const Linear *c, kiln_tensor *a, kiln_tensor *b, const kiln_rank_options *o, const kiln_tensor *given)
{
    const DType d = (DType)MAX_OF(a->type.dtype, b->type.dtype);
    a = cast_to(c->t, c->at, a, d);
    const Parts p = parts_of(c, a, o);
    tell(c, &p, given, o);
    return least(c, a, cast_to(c->t, c->at, b, d), &p, 0);
}

kiln_tensor *kiln_lstsq_sized(kiln_site at, kiln_operand a, kiln_operand b, const kiln_rank_options *options, size_t size)
{
    const kiln_rank_options o = options_of(options, size);
    Thread *t = op_thread((const kiln_operand[]){a, b}, 2);
    tell_nothing(t, &o);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t rows = 0, columns = 0;
    char one[96], other[96];
    Composite s = composite_begin(t, "lstsq");
    kiln_tensor *x = ranked_of(&c, "lstsq", a, &o), *y = x ? operand_float(t, at, "lstsq", b) : NULL, *r = &t->k->poison;
    const bool vector = tensor_ok(y) && y->type.rank == 1;
    if (vector) y = la_expand(&c, y, 1);
    kiln_tensor *z = tensor_ok(y) ? matrix_of(&c, "lstsq", of(y), &rows, &columns) : NULL;
    if (z && rows != matrix_size(x, -2)) {
        fail(t, at, KILN_ESHAPE, "lstsq: the rows of the matrix and of the other side differ: %s, %s",
            tensor_text(x, one, sizeof one), tensor_text(y, other, sizeof other));
    } else if (z) {
        r = solved(&c, x, z, &o, operand_named(t, at, "lstsq", a, NULL));
        if (vector && tensor_ok(r)) r = kiln_squeeze_at(at, of(r), -1);
        r = matrix_narrowed(&c, r, a, b);
    }
    return composite_end(t, &s, r);
}
