/* svd: eigenvalues and singular values as a program states them, and what follows from the values alone: the condition. The ops
 * themselves have the gradients. Relies on matrix.h. */
#include "matrix.h"

#include <math.h>

/* The op on x; out: its results. */
static kiln_tensor *one_op(
    const Linear *c, Op op, kiln_tensor *x, const int64_t *attr, uint32_t nattr, kiln_tensor **out, uint32_t n)
{
    apply(c->t, c->at, op, &x, 1, attr, nattr, out, n);
    return out[0];
}

/* Result r of the composite, in the dtype of what was given; to: NULL: nobody asks. */
static void hand_over(const Linear *c, kiln_tensor *r, const kiln_tensor *given, kiln_tensor **to)
{
    if (to && tensor_ok(r)) composite_keep(c->t, *to = cast_to(c->t, c->at, r, (DType)given->type.dtype));
}

/* ---- eigenvalues ------------------------------------------------------------------------------------- */

/* The lower triangle of what comes out is that which is to be read. NULL: recorded, or poison. */
static kiln_tensor *symmetric_of(const Linear *c, const char *name, kiln_operand o, int how)
{
    int64_t n = 0;
    kiln_tensor *x = square_of(c, name, o, &n);
    if (x && how != 0 && how != KILN_UPPER) {
        fail(c->t, c->at, KILN_EVALUE, "%s: how is %d (allowed: 0, KILN_UPPER)", name, how);
        return NULL;
    }
    return x && how ? matrix_turned(c, x) : x;
}

kiln_tensor *kiln_eigh_at(kiln_site at, kiln_operand o, int how, kiln_tensor **vectors)
{
    Thread *t = op_thread(&o, 1);
    if (vectors) *vectors = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    const Linear c = {t, at};
    Composite s = composite_begin(t, "eigh");
    kiln_tensor *given = operand_named(t, at, "eigh", o, NULL), *x = symmetric_of(&c, "eigh", o, how), *out[2], *r = &t->k->poison;
    if (x && tensor_ok(one_op(&c, OP_eigh, x, NULL, 0, out, 2))) {
        r = cast_to(t, at, out[0], (DType)given->type.dtype);
        hand_over(&c, out[1], given, vectors);
    }
    return composite_end(t, &s, r);
}

kiln_tensor *kiln_eigvalsh_at(kiln_site at, kiln_operand o, int how)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    Composite s = composite_begin(t, "eigvalsh");
    kiln_tensor *given = operand_named(t, at, "eigvalsh", o, NULL), *x = symmetric_of(&c, "eigvalsh", o, how), *r = &t->k->poison;
    if (x && tensor_ok(one_op(&c, OP_eigvalsh, x, NULL, 0, &r, 1))) r = cast_to(t, at, r, (DType)given->type.dtype);
    return composite_end(t, &s, r);
}

/* ---- singular values --------------------------------------------------------------------------------- */

kiln_tensor *kiln_svd_at(kiln_site at, kiln_operand o, int how, kiln_tensor **values, kiln_tensor **vt)
{
    Thread *t = op_thread(&o, 1);
    if (values) *values = t ? &t->k->poison : NULL;
    if (vt) *vt = t ? &t->k->poison : NULL;
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t m = 0, n = 0;
    Composite s = composite_begin(t, "svd");
    kiln_tensor *given = operand_named(t, at, "svd", o, NULL), *x = matrix_of(&c, "svd", o, &m, &n), *out[3], *r = &t->k->poison;
    if (x && how != 0 && how != KILN_FULL)
        fail(t, at, KILN_EVALUE, "svd: how is %d (allowed: 0, KILN_FULL)", how);
    else if (x && tensor_ok(one_op(&c, OP_svd, x, ATTRS_OF(svd, .full = how == KILN_FULL), out, 3))) {
        r = cast_to(t, at, out[0], (DType)given->type.dtype);
        hand_over(&c, out[1], given, values);
        hand_over(&c, out[2], given, vt);
    }
    return composite_end(t, &s, r);
}

static kiln_tensor *values_of(const Linear *c, kiln_tensor *x)
{
    kiln_tensor *s = &c->t->k->poison;
    return x ? one_op(c, OP_svdvals, x, NULL, 0, &s, 1) : s;
}

kiln_tensor *kiln_svdvals_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t m = 0, n = 0;
    Composite s = composite_begin(t, "svdvals");
    kiln_tensor *given = operand_named(t, at, "svdvals", o, NULL), *r = values_of(&c, matrix_of(&c, "svdvals", o, &m, &n));
    if (tensor_ok(r)) r = cast_to(t, at, r, (DType)given->type.dtype);
    return composite_end(t, &s, r);
}

/* ---- the condition ----------------------------------------------------------------------------------- */

static kiln_tensor *condition(const Linear *c, kiln_tensor *x, double p)
{
    const kiln_axes last = {0, 1, {0, -1}}, both = {0, 2, {0, -2, -1}};
    if (p == 2 || p == -2) {
        kiln_tensor *s = values_of(c, x), *most = kiln_reduce_max_at(c->at, of(s), last),
                    *least = kiln_reduce_min_at(c->at, of(s), last);
        return p == 2 ? la_div(c, most, least) : la_div(c, least, most);
    }
    return la_mul(
        c, kiln_matrix_norm_at(c->at, of(x), p, both), kiln_matrix_norm_at(c->at, of(kiln_inverse_at(c->at, of(x))), p, both));
}

kiln_tensor *kiln_condition_at(kiln_site at, kiln_operand o, double p)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    char text[96];
    int64_t m = 0, n = 0;
    Composite s = composite_begin(t, "condition");
    const bool by_values = p == 2 || p == -2;
    kiln_tensor *given = operand_named(t, at, "condition", o, NULL);
    kiln_tensor *x = by_values ? matrix_of(&c, "condition", o, &m, &n) : square_of(&c, "condition", o, &n), *r = &t->k->poison;
    if (x && n * (by_values ? m : n) == 0)
        fail(t, at, KILN_ESHAPE, "condition: a matrix without elements has no condition: %s", tensor_text(x, text, sizeof text));
    else if (x)
        r = condition(&c, x, p);
    if (tensor_ok(r)) r = cast_to(t, at, r, (DType)given->type.dtype);
    return composite_end(t, &s, r);
}
