/* random_floats: draws that are functions of uniform numbers: exponential and the like, classes. Relies on random.h. Has no loop:
 * what is drawn by trial and error stands in nn/random_tries.c. */
#include "random.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

kiln_tensor *draw_words(Thread *t, kiln_site at, kiln_tensor *key, Dim count, int words)
{
    char why[64];
    const Dim all = extent(t, at, EXTENT_MUL, count, words);
    if (!tensor_ok(key)) return key;
    if (all != DIM_BAD) return apply1(t, at, OP_random_bits, key, &all, 1);
    return fail(t, at, KILN_ESHAPE, "random: the number of words %s", extent_trouble(t, why, sizeof why));
}

kiln_tensor *word_next(Thread *t, kiln_site at, Words *w)
{
    if (!tensor_ok(w->bits)) return w->bits;
    const Dim first = extent(t, at, EXTENT_MUL, w->count, w->next++);
    return slice_axis(t, at, w->bits, 0, first, w->count);
}

static kiln_operand top_bits(kiln_site at, kiln_tensor *words, int shift)
{
    return OP2(cast, OP2(shr, of(words), kiln_of_i(shift)), KILN_F64);
}

kiln_operand unit_next(Thread *t, kiln_site at, Words *w, DType d)
{
    if (d != DT_f64) return unit_f32(at, word_next(t, at, w));
    kiln_operand high = top_bits(at, word_next(t, at, w), 5), low = top_bits(at, word_next(t, at, w), 6);
    return OP2(mul, OP2(add, OP2(mul, high, kiln_of_f(0x1p26)), low), kiln_of_f(0x1p-53));
}

/* -log(1 - u), where small u keep their digits: in f32 all 32 bits of a word, since it is the small draws whose logarithm
 * kiln_gumbel takes. u is neither 0 nor 1. */
kiln_operand exponential_next(Thread *t, kiln_site at, Words *w, DType d)
{
    kiln_operand u;
    if (d == DT_f64) {
        u = OP2(add, unit_next(t, at, w, d), kiln_of_f(0x1p-54));
    } else {
        kiln_operand word = of(cast_to(t, at, word_next(t, at, w), DT_f32));
        u = OP2(mul, OP2(add, word, kiln_of_f(0.5)), kiln_of_f(0x1p-32));
    }
    u = OP2(min, u, kiln_of_f(d == DT_f64 ? 1 - 0x1p-53 : 1 - 0x1p-24));
    return OP1(neg, OP1(log1p, OP1(neg, u)));
}

kiln_tensor *draw_parameter(Thread *t, kiln_site at, const char *op, kiln_operand o, DType d, kiln_shape s)
{
    char text[160];
    kiln_tensor *p = operand_named(t, at, op, o, &(Type){.dtype = (uint8_t)d});
    if (!tensor_ok(p)) return p;
    if (!dtype_is_float((DType)p->type.dtype))
        return fail(
            t, at, KILN_EDTYPE, "%s: the parameter must be floats, use kiln_cast: %s", op, tensor_text(p, text, sizeof text));
    return kiln_broadcast_at(at, of(cast_to(t, at, p, d)), s);
}

/* ---- location and scale ---------------------------------------------------------------------------- */
typedef kiln_operand Standard(Thread *t, kiln_site at, Words *w, DType d); /* location 0, scale 1 */

static kiln_operand gumbel(Thread *t, kiln_site at, Words *w, DType d) { return OP1(neg, OP1(log, exponential_next(t, at, w, d))); }

static kiln_operand laplace(Thread *t, kiln_site at, Words *w, DType d)
{
    kiln_operand e = exponential_next(t, at, w, d), sign = OP2(shr, of(word_next(t, at, w)), kiln_of_i(31));
    return of(kiln_where_at(at, OP2(eq, sign, kiln_of_i(0)), e, OP1(neg, e)));
}

static kiln_operand logistic(Thread *t, kiln_site at, Words *w, DType d)
{
    kiln_operand a = OP1(log, exponential_next(t, at, w, d)), b = OP1(log, exponential_next(t, at, w, d));
    return OP2(sub, a, b);
}

static kiln_operand cauchy(Thread *t, kiln_site at, Words *w, DType d)
{
    kiln_operand centred = OP2(sub, unit_next(t, at, w, d), kiln_of_f(0.5));
    return OP1(tan, OP2(mul, centred, kiln_of_f(3.14159265358979323846)));
}

static kiln_tensor *located(kiln_site at, const char *op, Standard *standard, int words, kiln_variable *g, kiln_dtype d,
    kiln_shape shape, double location, double scale)
{
    Thread *t = generator_thread(g);
    Type type;
    if (!t) return NULL;
    if (!is_generator(t, at, op, g) || !draw_floats(t, at, op, d, &shape, &type)) return &t->k->poison;
    if (!draw_within(t, at, op, "the location", d, location) || !draw_within(t, at, op, "the scale", d, scale))
        return &t->k->poison;
    if (scale < 0) return fail(t, at, KILN_EVALUE, "%s: the scale is %g; it must be 0 or more", op, scale);
    const DType wide = (DType)dtype_info[d].compute;
    Draw from = draw_begin(t, at, op, kiln_of_variable(g));
    Words w = {.count = type_count(&type)};
    w.bits = draw_words(t, at, from.key, w.count, words * unit_words(wide) + (standard == laplace));
    kiln_operand z = standard(t, at, &w, wide);
    if (scale != 1) z = OP2(mul, z, kiln_of_f(scale));
    if (location != 0) z = OP2(add, z, kiln_of_f(location));
    return draw_end(t, at, &from, draw_shaped(t, at, z, &type));
}

#define LOCATED(name, words)                                                                                                 \
    kiln_tensor *kiln_##name##_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape s, double location, double scale) \
    {                                                                                                                        \
        return located(at, #name, name, words, g, d, s, location, scale);                                                    \
    }
LOCATED(gumbel, 1)
LOCATED(laplace, 1)
LOCATED(logistic, 2)
LOCATED(cauchy, 1)

kiln_tensor *kiln_exponential_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, double rate)
{
    Thread *t = generator_thread(g);
    Type type;
    if (!t) return NULL;
    if (!is_generator(t, at, "exponential", g) || !draw_floats(t, at, "exponential", d, &shape, &type)) return &t->k->poison;
    if (!draw_within(t, at, "exponential", "the rate", d, rate)) return &t->k->poison;
    if (!(rate > 0)) return fail(t, at, KILN_EVALUE, "exponential: the rate is %g; it must be above 0", rate);
    const DType wide = (DType)dtype_info[d].compute;
    Draw from = draw_begin(t, at, "exponential", kiln_of_variable(g));
    Words w = {.count = type_count(&type)};
    w.bits = draw_words(t, at, from.key, w.count, unit_words(wide));
    kiln_operand e = exponential_next(t, at, &w, wide);
    if (rate != 1) e = OP2(div, e, kiln_of_f(rate));
    return draw_end(t, at, &from, draw_shaped(t, at, e, &type));
}

/* ---- classes --------------------------------------------------------------------------------------- */

/* The logits plus Gumbel noise of their own, or of shape [..., count, classes]. */
static kiln_operand perturbed(Thread *t, kiln_site at, const Draw *from, kiln_tensor *logits, const Type *noise)
{
    const DType d = wide_dtype(logits);
    Words w = {.count = extent_product(t, at, noise->dim, noise->rank)};
    w.bits = draw_words(t, at, from->key, w.count, unit_words(d));
    kiln_operand g = gumbel(t, at, &w, d);
    if (!tensor_ok(g.as.tensor)) return g;
    return OP2(add, of(cast_to(t, at, logits, d)), of(reshape_to(t, at, g.as.tensor, noise->dim, noise->rank)));
}

kiln_tensor *draw_classes(Thread *t, kiln_site at, const Draw *from, kiln_tensor *logits, Dim count, bool distinct)
{
    kiln_tensor *places = NULL;
    logits = kiln_stop_gradient_at(at, of(logits));
    if (tensor_ok(logits) && !distinct) logits = kiln_expand_at(at, of(logits), -2);
    if (!tensor_ok(logits) || !tensor_ok(from->key)) return &t->k->poison;
    Type noise = logits->type;
    if (!distinct) noise.dim[noise.rank - 2] = count;
    kiln_operand score = perturbed(t, at, from, logits, &noise);
    if (!distinct) return kiln_argmax_at(at, score, -1);
    kiln_top_k_at(at, score, count, -1, &places);
    return places;
}

kiln_tensor *kiln_categorical_at(kiln_site at, kiln_variable *g, kiln_operand logits, int64_t count, int how)
{
    kiln_operand o[2] = {logits, kiln_of_variable(g)};
    Thread *t = op_thread(o, g ? 2 : 1);
    char text[160];
    if (!t) return NULL;
    kiln_tensor *x = operand_float(t, at, "categorical", logits);
    if (!tensor_ok(x)) return x;
    if (!is_generator(t, at, "categorical", g)) return &t->k->poison;
    if (how != 0 && how != KILN_DISTINCT)
        return fail(t, at, KILN_EVALUE, "categorical: how is %d (allowed: 0, KILN_DISTINCT)", how);
    if (x->type.rank < 1)
        return fail(t, at, KILN_ESHAPE, "categorical: needs logits [..., classes]: %s", tensor_text(x, text, sizeof text));
    const Dim classes = x->type.dim[x->type.rank - 1];
    if (count < 0 || count > DIM_MAX)
        return fail(t, at, KILN_EVALUE, "categorical: count is %lld (allowed: 0 to 2^48)", (long long)count);
    if (extent_hi(t, classes) < (how ? count : count > 0))
        return fail(t, at, KILN_ESHAPE, "categorical: there are fewer than %lld classes: %s", how ? (long long)count : 1LL,
            tensor_text(x, text, sizeof text));
    Draw from = draw_begin(t, at, "categorical", kiln_of_variable(g));
    x = axis_at_least(t, at, "categorical", x, x->type.rank - 1, how ? count : count > 0);
    return draw_end(t, at, &from, tensor_ok(x) ? draw_classes(t, at, &from, x, count, how != 0) : x);
}
