/* clip: limits gradients, by composites of public ops. Norms are computed in f32 or wider. Never reads an element. */
#include "optimizer.h"

#include <math.h>

#include "../ops/ops.h"

#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

/* most / max(norm, most) */
static kiln_operand share(kiln_site at, kiln_operand norm, double most)
{
    return OP2(div, kiln_of_f(most), OP2(max, norm, kiln_of_f(most)));
}

/* x most / max(norm, most), in x's dtype. The gradient sums x times the cotangent. For very large x both sides are scaled by a
 * power of two, which changes no bit of the result, so that this sum stays in range. */
static kiln_tensor *scaled(Thread *t, kiln_site at, kiln_tensor *x, kiln_operand norm, double most)
{
    const DType d = (DType)x->type.dtype;
    if (!tensor_ok(norm.as.tensor)) return norm.as.tensor;
    kiln_operand far = OP2(gt, norm, kiln_of_f(d == DT_f64 ? 0x1p959 : 0x1p95));
    kiln_operand one = of(number_like(t, at, "clip", &(Type){.dtype = norm.as.tensor->type.dtype}, kiln_of_i(1)));
    kiln_operand by = of(kiln_where_at(at, far, kiln_of_f(d == DT_f64 ? 0x1p-64 : 0x1p-32), one));
    kiln_operand rest = OP2(div, kiln_of_f(most), OP2(mul, OP2(max, norm, kiln_of_f(most)), by));
    return kiln_mul_at(at, OP2(mul, of(x), of(cast_to(t, at, by.as.tensor, d))), of(cast_to(t, at, rest.as.tensor, d)));
}

static bool bound_ok(Thread *t, kiln_site at, const char *what, double most)
{
    if (most > 0 && most <= 1e19) return true;
    fail(t, at, KILN_EVALUE, "%s: the largest norm is %g; it must be positive and at most 1e19", what, most);
    return false;
}

kiln_tensor *kiln_clip_by_norm_at(kiln_site at, kiln_operand x, double most)
{
    Thread *t = op_thread(&x, 1);
    if (!t) return NULL;
    kiln_tensor *in = operand_float(t, at, "clip_by_norm", x);
    if (!tensor_ok(in) || !bound_ok(t, at, "clip_by_norm", most)) return &t->k->poison;
    Composite s = composite_begin(t, "clip_by_norm");
    DType own = (DType)in->type.dtype;
    in = cast_to(t, at, in, wide_dtype(in)); /* 16-bit floats round only at the end, and so do their gradients */
    in = scaled(t, at, in, of(norm_of(t, at, &in, 1)), most);
    return composite_end(t, &s, cast_to(t, at, in, own));
}

static bool list_ok(Thread *t, kiln_site at, kiln_tensor *const *x, int count, kiln_tensor **out)
{
    if (count <= 0 || !x || !out) {
        fail(t, at, KILN_EVALUE, "clip_by_global_norm: count is %d, x or out NULL; at least 1 tensor is needed", count);
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

kiln_tensor *kiln_clip_by_global_norm_at(kiln_site at, kiln_tensor *const *x, int count, double most, kiln_tensor **out)
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
    Composite s = composite_begin(t, "clip_by_global_norm");
    kiln_operand norm = of(norm_of(t, at, x, count));
    for (int i = 0; i < count; i++) {
        DType own = (DType)x[i]->type.dtype;
        kiln_tensor *each = cast_to(t, at, x[i], wide_dtype(x[i]));
        out[i] = kiln_keep(kiln_cast_at(at, of(scaled(t, at, each, norm, most)), (kiln_dtype)own));
    }
    return composite_end(t, &s, kiln_cast_at(at, norm, wide));
}

/* ---- an optimiser's ------------------------------------------------------------------------------------ */
bool clipping_check(Thread *t, kiln_site at, const kiln_clipping *c)
{
    if (c->value < 0 || !isfinite(c->value)) {
        fail(t, at, KILN_EVALUE, "clipping: the largest value is %g; it must be a finite number, 0 or more", c->value);
        return false;
    }
    return (c->norm == 0 || bound_ok(t, at, "clipping", c->norm)) &&
           (c->global_norm == 0 || bound_ok(t, at, "clipping", c->global_norm));
}

/* The norm of g after its values are clipped. */
static kiln_tensor *norm_after(Thread *t, kiln_site at, const kiln_clipping *c, kiln_tensor *g)
{
    Composite s = composite_begin(t, "clipping");
    g = cast_to(t, at, g, wide_dtype(g));
    if (c->value != 0) g = kiln_clip_at(at, of(g), kiln_of_f(-c->value), kiln_of_f(c->value));
    return composite_end(t, &s, kiln_cast_at(at, of(norm_of(t, at, &g, 1)), KILN_F64)); /* to be squared */
}

bool clipping_factors(Thread *t, kiln_site at, const kiln_clipping *c, kiln_tensor *const *g, int count, kiln_tensor **factor)
{
    kiln_operand squares = kiln_of_f(0);
    for (int i = 0; i < count; i++) factor[i] = NULL;
    for (int i = 0; i < count && (c->norm != 0 || c->global_norm != 0); i++) {
        kiln_operand norm = of(norm_after(t, at, c, g[i])), square;
        if (c->norm != 0) {
            factor[i] = share(at, norm, c->norm).as.tensor;
            norm = OP2(mul, norm, of(factor[i]));
        }
        square = OP2(mul, norm, norm);
        squares = i == 0 ? square : OP2(add, squares, square);
    }
    if (c->global_norm != 0 && count) {
        kiln_operand all = share(at, of(kiln_sqrt_at(at, squares)), c->global_norm);
        for (int i = 0; i < count; i++) factor[i] = factor[i] ? kiln_mul_at(at, of(factor[i]), all) : all.as.tensor;
    }
    for (int i = 0; i < count; i++)
        if (factor[i] && !tensor_ok(factor[i])) return false;
    return true;
}

kiln_tensor *kiln_clip_by_global_norm_of_at(kiln_site at, kiln_operands x, double most, kiln_tensor **out)
{
    Thread *t = operands_of_thread(x);
    if (!t) return NULL;
    ScratchMark mark = scratch_mark(&t->scratch);
    kiln_tensor **in = list_tensors(t, at, "clip_by_global_norm", x, false), *norm = &t->k->poison;
    if (in)
        norm = kiln_clip_by_global_norm_at(at, in, x.count, most, out);
    else if (out)
        results_poison(t, out, x.count);
    scratch_reset(&t->scratch, mark);
    return norm;
}
