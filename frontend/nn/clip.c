/* clip: gradients within bounds: composites of public ops. Norms of 16-bit floats are taken in f32. Never reads an
 * element. */
#include "optimizer.h"

#include <float.h>
#include <math.h>

#include "../operand.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

static kiln_operand squares(kiln_site at, kiln_operand x, kiln_dtype wide)
{
    kiln_operand w = of(kiln_cast_at(at, x, wide));
    return of(kiln_sum_at(at, OP2(mul, w, w), KILN_ALL));
}

/* most / max(sqrt(sum), most): the root is taken of what is not 0, so that a gradient through it is finite. */
static kiln_operand scale(kiln_site at, kiln_operand sum, double most)
{
    double floor = fmax(most * most, FLT_MIN);
    return OP2(div, kiln_of_f(most), OP1(sqrt, OP2(max, sum, kiln_of_f(floor))));
}

static bool bound_ok(Thread *t, kiln_site at, const char *what, double most)
{
    if (most > 0 && most <= 1e19) return true; /* its square must be an f32 */
    fail(t, at, KILN_EVALUE, "%s: the largest norm must be positive and at most 1e19, not %g", what,
        most);
    return false;
}

kiln_tensor *kiln_clip_by_norm_at(kiln_site at, kiln_operand x, double most)
{
    Thread *t = op_thread(&x, 1);
    if (!t) return NULL;
    kiln_tensor *in = operand_float(t, at, "clip_by_norm", x);
    if (!tensor_ok(in) || !bound_ok(t, at, "clip_by_norm", most)) return &t->k->poison;
    kiln_scope s = kiln_scope_open(t->k);
    kiln_dtype own = kiln_dtype_of(in), wide = own == KILN_F64 ? KILN_F64 : KILN_F32;
    kiln_operand by = scale(at, squares(at, of(in), wide), most);
    return composite_end(t, &s, kiln_mul_at(at, of(in), of(kiln_cast_at(at, by, own))));
}

static bool list_ok(Thread *t, kiln_site at, kiln_tensor *const *x, int count, kiln_tensor **out)
{
    if (count <= 0 || !x || !out) {
        fail(
            t, at, KILN_EVALUE, "clip_by_global_norm: a list of %d tensors, or one is NULL", count);
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (tensor_ok(x[i]) && dtype_is_float((DType)x[i]->type.dtype)) continue;
        if (!x[i] || x[i]->state != TENSOR_POISON)
            fail(t, at, tensor_ok(x[i]) ? KILN_EDTYPE : KILN_ESTATE,
                "clip_by_global_norm: tensor %d is NULL, closed or not of floats", i);
        return false;
    }
    return true;
}

kiln_tensor *kiln_clip_by_global_norm_at(
    kiln_site at, kiln_tensor *const *x, int count, double most, kiln_tensor **out)
{
    Thread *t = count > 0 && x && x[0] ? thread_of(x[0]->k) : thread_last();
    if (!t) return NULL;
    if (!list_ok(t, at, x, count, out) || !bound_ok(t, at, "clip_by_global_norm", most)) {
        for (int i = 0; out && i < count; i++) out[i] = &t->k->poison;
        return &t->k->poison;
    }
    kiln_dtype wide = KILN_F32;
    for (int i = 0; i < count; i++)
        if (kiln_dtype_of(x[i]) == KILN_F64) wide = KILN_F64;
    kiln_scope s = kiln_scope_open(t->k);
    kiln_operand sum = squares(at, of(x[0]), wide);
    for (int i = 1; i < count; i++) sum = OP2(add, sum, squares(at, of(x[i]), wide));
    kiln_operand by = scale(at, sum, most);
    for (int i = 0; i < count; i++) {
        kiln_operand own = of(kiln_cast_at(at, by, kiln_dtype_of(x[i])));
        out[i] = kiln_keep(kiln_mul_at(at, of(x[i]), own));
    }
    return composite_end(t, &s, kiln_sqrt_at(at, sum));
}

/* ---- an optimiser's ------------------------------------------------------------------------------------ */
bool clipping_check(Thread *t, kiln_site at, const kiln_clipping *c)
{
    if (c->value < 0 || !isfinite(c->value)) {
        fail(t, at, KILN_EVALUE, "clipping: the largest value is %g", c->value);
        return false;
    }
    return (c->norm == 0 || bound_ok(t, at, "clipping", c->norm)) &&
           (c->global_norm == 0 || bound_ok(t, at, "clipping", c->global_norm));
}

bool clipping_apply(kiln_site at, const kiln_clipping *c, kiln_tensor **g, int count)
{
    for (int i = 0; i < count; i++) {
        if (c->value != 0)
            g[i] = kiln_clip_at(at, of(g[i]), kiln_of_f(-c->value), kiln_of_f(c->value));
        if (c->norm != 0) g[i] = kiln_clip_by_norm_at(at, of(g[i]), c->norm);
    }
    if (c->global_norm != 0 && count) kiln_clip_by_global_norm_at(at, g, count, c->global_norm, g);
    for (int i = 0; i < count; i++)
        if (!tensor_ok(g[i])) return false;
    return true;
}
