/* compose: elementwise composites: ordinary C over public ops, so eager code, tapes, traces and
 * every backend get them for nothing. Each records the user's site and keeps its temporaries in a
 * scope of its own. Relies on operand.h. Never has a gradient of its own. */
#include "operand.h"

#include <math.h>

typedef kiln_tensor *Body(Thread *t, kiln_site at, kiln_operand x);

/* floats: others are an error. */
static kiln_tensor *composite(kiln_site at, const char *op, kiln_operand o, Body *body, bool floats)
{
    Thread *t = op_thread(&o, 1);
    if (t == NULL) return NULL;
    kiln_tensor *x = floats ? operand_float(t, at, op, o) : operand_named(t, at, op, o, NULL);
    if (!tensor_ok(x)) return x;
    kiln_scope s = kiln_scope_open(t->k);
    return composite_end(t, &s, body(t, at, of(x)));
}

#define COMPOSITE(name, floats)                                 \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_operand x) \
    {                                                           \
        return composite(at, #name, x, name, floats);           \
    }

#define NUMBER(v) kiln_of_f(v)
#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

static kiln_tensor *square(Thread *t, kiln_site at, kiln_operand x)
{
    return apply2(t, at, OP_mul, x.as.tensor, x.as.tensor, NULL, 0);
}

static kiln_tensor *reciprocal(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_div_at(at, NUMBER(1), x);
}

static kiln_tensor *rsqrt(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_div_at(at, NUMBER(1), OP1(sqrt, x));
}

static kiln_tensor *relu(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_where_at(at, OP2(gt, x, kiln_of_i(0)), x, kiln_of_i(0));
}

static kiln_tensor *sigmoid(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_div_at(at, NUMBER(1), OP2(add, OP1(exp, OP1(neg, x)), NUMBER(1)));
}

static kiln_tensor *silu(Thread *t, kiln_site at, kiln_operand x)
{
    return kiln_mul_at(at, x, of(sigmoid(t, at, x)));
}

static kiln_tensor *softplus(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_add_at(at, OP2(max, x, NUMBER(0)), OP1(log1p, OP1(exp, OP1(neg, OP1(abs, x)))));
}

static kiln_tensor *gelu(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    kiln_operand tail = OP2(add, OP1(erf, OP2(mul, x, NUMBER(0.70710678118654752440))), NUMBER(1));
    return kiln_mul_at(at, OP2(mul, x, NUMBER(0.5)), tail);
}

static kiln_tensor *gelu_tanh(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    kiln_operand cube = OP2(mul, OP2(mul, x, x), x);
    kiln_operand inner = OP2(add, x, OP2(mul, cube, NUMBER(0.044715)));
    kiln_operand tail =
        OP2(add, OP1(tanh, OP2(mul, inner, NUMBER(0.79788456080286535588))), NUMBER(1));
    return kiln_mul_at(at, OP2(mul, x, NUMBER(0.5)), tail);
}

static kiln_tensor *isnan_(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_ne_at(at, x, x);
}

static kiln_tensor *isfinite_(Thread *t, kiln_site at, kiln_operand x)
{
    (void)t;
    return kiln_lt_at(at, OP1(abs, x), NUMBER(INFINITY));
}

COMPOSITE(square, false)
COMPOSITE(reciprocal, true)
COMPOSITE(rsqrt, true)
COMPOSITE(relu, false)
COMPOSITE(sigmoid, true)
COMPOSITE(silu, true)
COMPOSITE(softplus, true)
COMPOSITE(gelu, true)
COMPOSITE(gelu_tanh, true)

kiln_tensor *kiln_isnan_at(kiln_site at, kiln_operand x)
{
    return composite(at, "isnan", x, isnan_, true);
}

kiln_tensor *kiln_isfinite_at(kiln_site at, kiln_operand x)
{
    return composite(at, "isfinite", x, isfinite_, true);
}

kiln_tensor *kiln_clip_at(kiln_site at, kiln_operand x, kiln_operand lo, kiln_operand hi)
{
    kiln_operand o[3] = {x, lo, hi};
    Thread *t = op_thread(o, 3);
    if (t == NULL) return NULL;
    kiln_scope s = kiln_scope_open(t->k);
    return composite_end(t, &s, kiln_min_at(at, OP2(max, x, lo), hi));
}

/* ---- of the same shape ---------------------------------------------------------------------- */

static kiln_tensor *filled_like(kiln_site at, const char *op, kiln_operand o, int64_t v)
{
    Thread *t = op_thread(&o, 1);
    if (t == NULL) return NULL;
    kiln_tensor *x = operand_named(t, at, op, o, NULL);
    return tensor_ok(x) ? number_like(t, at, op, &x->type, kiln_of_i(v)) : x;
}

kiln_tensor *kiln_zeros_like_at(kiln_site at, kiln_operand x)
{
    return filled_like(at, "zeros_like", x, 0);
}

kiln_tensor *kiln_ones_like_at(kiln_site at, kiln_operand x)
{
    return filled_like(at, "ones_like", x, 1);
}

kiln_tensor *kiln_stop_gradient_at(kiln_site at, kiln_operand o)
{
    Thread *t = op_thread(&o, 1);
    if (t == NULL) return NULL;
    return apply1(t, at, OP_leaf, operand_named(t, at, "stop_gradient", o, NULL), &(int64_t){1}, 1);
}

static kiln_tensor *norm(Thread *t, kiln_site at, kiln_operand x)
{
    return kiln_sqrt_at(at, of(kiln_sum_at(at, of(square(t, at, x)), KILN_ALL)));
}

COMPOSITE(norm, true)
