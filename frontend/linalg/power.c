/* power: matrices to integer powers, and their exponential. Relies on matrix.h. */
#include "matrix.h"

#include <math.h>

/* ---- powers --------------------------------------------------------------------------------------------------------------------
 */
static kiln_tensor *raised(const Linear *c, kiln_tensor *x, uint64_t power)
{
    kiln_tensor *y = NULL;
    for (; power != 0; power /= 2) {
        if (power % 2 != 0) y = y ? la_product(c, y, x) : x;
        if (power > 1) x = la_product(c, x, x);
    }
    return y;
}

kiln_tensor *kiln_matrix_power_at(kiln_site at, kiln_operand o, int64_t power)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t n = 0;
    Composite s = composite_begin(t, "matrix_power");
    kiln_tensor *given = operand_named(t, at, "matrix_power", o, NULL), *x = square_of(&c, "matrix_power", o, &n),
                *r = &t->k->poison;
    if (x && power < 0) x = kiln_inverse_at(at, of(x));
    if (x && power == 0) r = broadcast_to(t, at, matrix_unit(&c, x, n), &x->type);
    if (x && power != 0) r = raised(&c, x, power < 0 ? 0 - (uint64_t)power : (uint64_t)power);
    if (tensor_ok(r)) r = result_of(t, at, cast_to(t, at, r, (DType)given->type.dtype), given);
    return composite_end(t, &s, r);
}

/* ---- e^x: (q(x)^-1 p(x))^(2^s), p and q of degree 13 (f32: 7), x scaled by 2^-s until its norm is below what the degree bears
 * (Higham 2005, The Scaling and Squaring Method for the Matrix Exponential Revisited, tables 2.1 and 2.3). p = v + u, q = v - u,
 * where u has the odd powers. */
#define SQUARINGS 16

typedef struct Pade {
    double norm; /* up to here x needs no scaling */
    int degree;
    double b[14];
} Pade;

static const Pade pade7 = {3.925724783138660, 7, {17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1}};
static const Pade pade13 = {5.371920351148152, 13,
    {64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800,
        33522128640, 1323241920, 40840800, 960960, 16380, 182, 1}};

/* sum of b[i] x^i over even i, or over odd ones that many: of squares */
static kiln_tensor *series(const Linear *c, kiln_tensor *x2, const Pade *p, int first)
{
    kiln_tensor *unit = matrix_unit(c, x2, matrix_size(x2, -1)), *y = NULL;
    for (int i = p->degree - (p->degree - first) % 2; i >= first; i -= 2) { /* Horner's rule */
        kiln_tensor *term = kiln_mul_at(c->at, of(unit), KILN_OPERAND(p->b[i]));
        y = y ? la_add(c, la_product(c, y, x2), term) : term;
    }
    return y;
}

/* How often x is to be halved, [..., 1, 1]: 0 to SQUARINGS */
static kiln_tensor *halvings(const Linear *c, kiln_tensor *x, const Pade *p)
{
    kiln_tensor *sums = kiln_sum_at(c->at, of(kiln_abs_at(c->at, of(x))), (kiln_axes){1, 1, {0, -2}});
    kiln_tensor *norm = kiln_reduce_max_at(c->at, of(sums), (kiln_axes){1, 1, {0, -1}});
    kiln_tensor *s = kiln_ceil_at(c->at, of(kiln_log2_at(c->at, of(kiln_mul_at(c->at, of(norm), KILN_OPERAND(1 / p->norm))))));
    s = kiln_clip_at(c->at, of(s), KILN_OPERAND(0), KILN_OPERAND(SQUARINGS));
    return kiln_stop_gradient_at(c->at, of(s));
}

kiln_tensor *kiln_expm_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (!t) return NULL;
    const Linear c = {t, at};
    int64_t n = 0;
    Composite s = composite_begin(t, "expm");
    kiln_tensor *given = operand_named(t, at, "expm", o, NULL), *x = square_of(&c, "expm", o, &n), *r = &t->k->poison;
    if (x && n == 0) r = result_of(t, at, x, given);
    if (x && n != 0) {
        const Pade *p = x->type.dtype == DT_f64 ? &pade13 : &pade7;
        kiln_tensor *times = halvings(&c, x, p);
        x = la_mul(&c, x, kiln_exp2_at(at, of(la_neg(&c, times))));
        kiln_tensor *x2 = la_product(&c, x, x), *u = la_product(&c, x, series(&c, x2, p, 1)), *v = series(&c, x2, p, 0);
        r = kiln_solve_at(at, of(la_sub(&c, v, u)), of(la_add(&c, v, u)));
        for (int i = 0; i < SQUARINGS; i++)
            r = la_where(&c, kiln_gt_at(at, of(times), KILN_OPERAND(i)), la_product(&c, r, r), of(r));
        if (tensor_ok(r)) r = cast_to(t, at, r, (DType)given->type.dtype);
    }
    return composite_end(t, &s, r);
}
