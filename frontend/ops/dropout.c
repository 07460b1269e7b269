/* dropout: elements set to 0 at random, always or while a network is trained. Relies on random.h and effect.h. */
#include "effect.h"
#include "random.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

static bool rate_fits(Thread *t, kiln_site at, kiln_operand rate)
{
    double r = rate.kind == 3 ? rate.as.f : (double)rate.as.i;
    if (r >= 0 && r < 1) return true;
    fail(t, at, KILN_EVALUE, "dropout: the rate is %g; it must lie in [0, 1)", r);
    return false;
}

/* The value of a rate tensor is known only when the function runs. Like an index it is clamped, or an error in a checked engine. If
 * it is in range its gradient is unchanged. */
static kiln_tensor *rate_in_range(Thread *t, kiln_site at, kiln_tensor *r)
{
    char text[160];
    if (!tensor_ok(r)) return r;
    if (r->type.rank != 0 || !dtype_is_float((DType)r->type.dtype))
        return fail(t, at, KILN_ESHAPE, "dropout: the rate must be a float scalar, not %s", tensor_text(r, text, sizeof text));
    kiln_operand low = OP2(lt, of(r), kiln_of_i(0)), high = OP2(gt, of(r), kiln_of_i(1));
    if (t->k->checked && t->quiet == 0) {
        kiln_operand fits = OP2(and, OP2(ge, of(r), kiln_of_i(0)), OP2(le, of(r), kiln_of_i(1)));
        const char *called = t->called;
        t->called = NULL; /* worded as compiled code does */
        const bool holds = effect_holds(t, at, fits.as.tensor, "the rate of a dropout is not in [0, 1]");
        t->called = called;
        if (!holds) return &t->k->poison;
    }
    return kiln_where_at(at, low, kiln_of_i(0), of(kiln_where_at(at, high, kiln_of_i(1), of(r))));
}

kiln_tensor *kiln_dropout_at(kiln_site at, kiln_operand xo, kiln_operand rate, kiln_variable *g)
{
    kiln_operand o[2] = {xo, rate};
    Thread *t = op_thread(o, 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "dropout", xo);
    if (!tensor_ok(x)) return x;
    if (!is_generator(t, at, "dropout", g) || (operand_is_number(rate) && !rate_fits(t, at, rate))) return &t->k->poison;
    kiln_tensor *r = operand_named(t, at, "dropout", rate, &(Type){.dtype = DT_f32});
    Draw from = draw_begin(t, at, "dropout", kiln_of_variable(g));
    if (!operand_is_number(rate)) r = rate_in_range(t, at, r);
    kiln_tensor *bits = tensor_ok(r) ? draw_bits(t, at, &from, x->type.dim, x->type.rank) : r;
    if (!tensor_ok(bits)) return draw_end(t, at, &from, &t->k->poison);
    kiln_operand keep = OP2(ge, unit_f32(at, bits), of(r));
    /* If nothing is kept, dropped elements are not divided by 0 either, because their gradient would be 0 / 0. */
    DType own = (DType)x->type.dtype;
    kiln_operand share = OP2(sub, kiln_of_f(1), of(cast_to(t, at, r, wide_dtype(x))));
    share = of(kiln_where_at(at, OP2(le, share, kiln_of_i(0)), kiln_of_i(1), share));
    kiln_operand kept = OP2(div, of(cast_to(t, at, x, wide_dtype(x))), share);
    return draw_end(t, at, &from, cast_to(t, at, kiln_where_at(at, keep, kept, kiln_of_f(0)), own));
}

kiln_tensor *kiln_dropout_if_at(kiln_site at, kiln_operand xo, kiln_operand rate, kiln_operand training, kiln_variable *g)
{
    kiln_operand o[3] = {xo, rate, training};
    Thread *t = op_thread(o, 3);
    char text[160];
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "dropout", xo);
    if (!tensor_ok(x)) return x;
    if (training.kind == 6 || training.kind == 4) {
        if (training.as.i) return kiln_dropout_at(at, of(x), rate, g);
        if (!is_generator(t, at, "dropout", g) || (operand_is_number(rate) && !rate_fits(t, at, rate))) return &t->k->poison;
        return result_of(t, at, x, x);
    }
    kiln_tensor *on = operand_named(t, at, "dropout", training, NULL);
    if (!tensor_ok(on)) return on;
    if (on->type.rank != 0 || on->type.dtype != DT_bool)
        return fail(t, at, on->type.dtype != DT_bool ? KILN_EDTYPE : KILN_ESHAPE,
            "dropout: whether it is training must be a bool scalar, not %s", tensor_text(on, text, sizeof text));
    Composite s = composite_begin(t, "dropout");
    return composite_end(t, &s, kiln_where_at(at, of(on), of(kiln_dropout_at(at, of(x), rate, g)), of(x)));
}
