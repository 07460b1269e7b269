/* random_order: draws made of words by integer arithmetic alone: integers, bools, orders, choices; and generators made of others.
 * Relies on random.h. Uses logarithms only for choices with weights. */
#include "random.h"

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define LOW_BITS kiln_of_u(UINT32_MAX)

/* ---- integers -------------------------------------------------------------------------------------- */

/* floor(x n / 2^(32 words)) with x a random integer of so many words, the least first: long multiplication by n = high 2^32 + low,
 * of which only what is carried is kept. It is below n, and no step exceeds u64. high NULL: n <= 2^32 is low. */
static kiln_operand scaled(Thread *t, kiln_site at, Words *w, int words, kiln_operand low, const kiln_operand *high)
{
    kiln_operand carry = kiln_of_i(0);
    for (int i = 0; i < words; i++) {
        kiln_operand x = OP2(cast, of(word_next(t, at, w)), KILN_U64), a = OP2(mul, x, low);
        if (i > 0) a = OP2(add, a, high ? OP2(and, carry, LOW_BITS) : carry);
        a = OP2(shr, a, kiln_of_i(32));
        if (high) {
            a = OP2(add, a, OP2(mul, x, *high));
            if (i > 0) a = OP2(add, a, OP2(shr, carry, kiln_of_i(32)));
        }
        carry = a;
    }
    return carry;
}

/* Below n, from so many words: with 64 bits more than n has no value is likelier than another by more than 2^-64. */
static kiln_operand below_number(Thread *t, kiln_site at, kiln_tensor *key, Dim count, uint64_t n, int words)
{
    const bool one = n <= UINT64_C(1) << 32;
    const kiln_operand high = kiln_of_u(n >> 32);
    Words w = {.bits = draw_words(t, at, key, count, words), .count = count};
    return scaled(t, at, &w, words, kiln_of_u(one ? n : n & UINT32_MAX), one ? NULL : &high);
}

/* The words are as many whether or not the size is known, so that a trace of any size draws the same. */
static kiln_operand below_size(Thread *t, kiln_site at, kiln_tensor *key, Dim count, Dim n)
{
    if (dim_is_const(n)) return below_number(t, at, key, count, (uint64_t)n, 4);
    kiln_operand size = of(dim_tensor(t, at, n, DT_u64)), high = OP2(shr, size, kiln_of_i(32));
    Words w = {.bits = draw_words(t, at, key, count, 4), .count = count};
    return scaled(t, at, &w, 4, OP2(and, size, LOW_BITS), &high);
}

kiln_tensor *kiln_randint_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, int64_t lo, int64_t hi)
{
    Thread *t = generator_thread(g);
    Type type;
    if (!t) return NULL;
    if (!is_generator(t, at, "randint", g) || !type_from_shape(t, at, "randint", d, &shape, &type)) return &t->k->poison;
    if (!dtype_is_int((DType)d)) return fail(t, at, KILN_EDTYPE, "randint: needs an integer dtype, not %s", dtype_info[d].name);
    if (lo >= hi)
        return fail(
            t, at, KILN_EVALUE, "randint: the bounds are %lld and %lld; the lower must be smaller", (long long)lo, (long long)hi);
    if (lo < dtype_info[d].lo || hi - 1 > dtype_info[d].hi)
        return fail(t, at, KILN_EVALUE, "randint: %s does not hold all of %lld to %lld", dtype_info[d].name, (long long)lo,
            (long long)(hi - 1));
    const uint64_t range = (uint64_t)hi - (uint64_t)lo;
    Draw from = draw_begin(t, at, "randint", kiln_of_variable(g));
    kiln_operand r = below_number(t, at, from.key, type_count(&type), range, range <= UINT64_C(1) << 32 ? 3 : 4);
    r = OP2(cast, r, KILN_I64);
    if (lo != 0) r = OP2(add, r, kiln_of_i(lo));
    return draw_end(t, at, &from, draw_shaped(t, at, r, &type));
}

kiln_tensor *kiln_bernoulli_at(kiln_site at, kiln_variable *g, kiln_operand po, kiln_shape shape)
{
    kiln_operand o[2] = {po, kiln_of_variable(g)};
    Thread *t = op_thread(o, g ? 2 : 1);
    if (!t) return NULL;
    if (!is_generator(t, at, "bernoulli", g)) return &t->k->poison;
    const double number = po.kind == 3 ? po.as.f : (double)po.as.i;
    if (operand_is_number(po) && !(number >= 0 && number <= 1))
        return fail(t, at, KILN_EVALUE, "bernoulli: the probability is %g; it must lie in [0, 1]", number);
    kiln_tensor *given = operand_is_number(po) ? NULL : operand_named(t, at, "bernoulli", po, NULL);
    if (given && !tensor_ok(given)) return given;
    Draw from = draw_begin(t, at, "bernoulli", kiln_of_variable(g));
    kiln_tensor *p = draw_parameter(t, at, "bernoulli", given ? of(given) : po, DT_f64, shape);
    if (!tensor_ok(p) || !tensor_ok(from.key)) return draw_end(t, at, &from, &t->k->poison);
    const bool fine = given && given->type.dtype == DT_f64;
    Words w = {.count = extent_product(t, at, p->type.dim, p->type.rank)};
    w.bits = draw_words(t, at, from.key, w.count, fine ? 2 : 1);
    kiln_operand u =
        fine ? unit_next(t, at, &w, DT_f64) : OP2(mul, OP2(cast, of(word_next(t, at, &w)), KILN_F64), kiln_of_f(0x1p-32));
    if (!tensor_ok(u.as.tensor)) return draw_end(t, at, &from, u.as.tensor);
    kiln_tensor *r = kiln_lt_at(at, of(reshape_to(t, at, u.as.tensor, p->type.dim, p->type.rank)), of(p));
    return draw_end(t, at, &from, r);
}

/* ---- orders ---------------------------------------------------------------------------------------- */

/* The numbers below n in random order: the places of 64-bit keys in ascending order, of which two are hardly ever equal. */
static kiln_tensor *order(Thread *t, kiln_site at, kiln_tensor *key, Dim n)
{
    Words w = {.bits = draw_words(t, at, key, n, 2), .count = n};
    kiln_operand high = OP2(cast, of(word_next(t, at, &w)), KILN_U64), low = OP2(cast, of(word_next(t, at, &w)), KILN_U64);
    return kiln_argsort_at(at, OP2(or, OP2(shl, high, kiln_of_i(32)), low), 0, 0);
}

static kiln_tensor *taken(Thread *t, kiln_site at, kiln_tensor *x, kiln_tensor *places, int axis)
{
    if (!tensor_ok(places)) return places;
    return apply2(t, at, OP_gather, x, places, ATTRS_OF(gather, .axis = axis));
}

kiln_tensor *kiln_permutation_at(kiln_site at, kiln_variable *g, int64_t n)
{
    Thread *t = generator_thread(g);
    kiln_shape shape = {1, {0, n}};
    Type type;
    if (!t) return NULL;
    if (!is_generator(t, at, "permutation", g) || !type_from_shape(t, at, "permutation", KILN_I64, &shape, &type))
        return &t->k->poison;
    Draw from = draw_begin(t, at, "permutation", kiln_of_variable(g));
    return draw_end(t, at, &from, order(t, at, from.key, n));
}

kiln_tensor *kiln_shuffle_at(kiln_site at, kiln_variable *g, kiln_operand o, int axis)
{
    kiln_operand both[2] = {o, kiln_of_variable(g)};
    Thread *t = op_thread(both, g ? 2 : 1);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "shuffle", o, NULL);
    if (!tensor_ok(x)) return x;
    if (!is_generator(t, at, "shuffle", g) || !axis_of(t, at, "shuffle", axis, x->type.rank, &axis)) return &t->k->poison;
    Draw from = draw_begin(t, at, "shuffle", kiln_of_variable(g));
    return draw_end(t, at, &from, taken(t, at, x, order(t, at, from.key, x->type.dim[axis]), axis));
}

static bool none_given(kiln_operand o) { return o.kind == 1 && !o.as.tensor; }

/* The places that choice takes of the n there are. */
static kiln_tensor *chosen(Thread *t, kiln_site at, const Draw *from, Dim n, int64_t count, kiln_tensor *weights, bool distinct)
{
    if (weights) {
        kiln_operand wide = of(cast_to(t, at, weights, wide_dtype(weights)));
        return draw_classes(t, at, from, kiln_log_at(at, wide), count, distinct);
    }
    if (!distinct) return kiln_cast_at(at, below_size(t, at, from->key, count, n), KILN_I64);
    kiln_tensor *all = order(t, at, from->key, n);
    return tensor_ok(all) ? slice_axis(t, at, all, 0, 0, count) : all;
}

static bool choice_fits(Thread *t, kiln_site at, const kiln_tensor *x, Dim n, int64_t count, const kiln_tensor *weights, int how)
{
    char a[160], b[160];
    if (how != 0 && how != KILN_DISTINCT)
        return fail(t, at, KILN_EVALUE, "choice: how is %d (allowed: 0, KILN_DISTINCT)", how), false;
    if (count < 0 || count > DIM_MAX)
        return fail(t, at, KILN_EVALUE, "choice: count is %lld (allowed: 0 to 2^48)", (long long)count), false;
    if (weights && !dtype_is_float((DType)weights->type.dtype))
        return fail(t, at, KILN_EDTYPE, "choice: the weights must be floats: %s", tensor_text(weights, b, sizeof b)), false;
    if (weights && (weights->type.rank != 1 || weights->type.dim[0] != n))
        return fail(t, at, KILN_ESHAPE, "choice: the weights must be as many as the slices of x: %s x %s",
                   tensor_text(x, a, sizeof a), tensor_text(weights, b, sizeof b)),
               false;
    if (extent_hi(t, n) >= (how ? count : count > 0)) return true;
    return fail(t, at, KILN_ESHAPE, "choice: there are fewer than %lld slices: %s", how ? (long long)count : 1LL,
               tensor_text(x, a, sizeof a)),
           false;
}

kiln_tensor *kiln_choice_at(kiln_site at, kiln_variable *g, kiln_operand o, int64_t count, int axis, kiln_operand weights, int how)
{
    kiln_operand all[3] = {o, weights, kiln_of_variable(g)};
    Thread *t = op_thread(all, g ? 3 : 2);
    if (!t) return NULL;
    kiln_tensor *x = operand_named(t, at, "choice", o, NULL), *w = NULL;
    if (!tensor_ok(x)) return x;
    if (!is_generator(t, at, "choice", g) || !axis_of(t, at, "choice", axis, x->type.rank, &axis)) return &t->k->poison;
    if (!none_given(weights) && !tensor_ok(w = operand_named(t, at, "choice", weights, NULL))) return &t->k->poison;
    if (!choice_fits(t, at, x, x->type.dim[axis], count, w, how)) return &t->k->poison;
    Draw from = draw_begin(t, at, "choice", kiln_of_variable(g));
    const int64_t least = how ? count : count > 0;
    x = axis_at_least(t, at, "choice", x, axis, least);
    if (w) w = axis_at_least(t, at, "choice", w, 0, least);
    const bool there = tensor_ok(x) && (!w || tensor_ok(w));
    return draw_end(
        t, at, &from, there ? taken(t, at, x, chosen(t, at, &from, x->type.dim[axis], count, w, how != 0), axis) : &t->k->poison);
}

/* ---- generators of generators ---------------------------------------------------------------------- */

/* Its seed is the first two words under the key (seed xor 0x6b696c6e, number), a key with which no generator of that seed draws. */
kiln_variable *kiln_generator_fold_at(kiln_site at, kiln_variable *g, uint64_t number)
{
    Thread *t = generator_thread(g);
    if (!t || !is_generator(t, at, "generator_fold", g)) return NULL;
    if (t->trace) return fail(t, at, KILN_ESTATE, "generator_fold: make generators outside of traced functions"), NULL;
    uint64_t state[2], key[2];
    uint32_t word[2];
    kiln_variable *made = NULL;
    Composite c = composite_begin(t, "generator_fold");
    if (kiln_read_at(at, kiln_of_variable(g), state, sizeof state)) {
        key[0] = state[0] ^ UINT64_C(0x6b696c6e), key[1] = number;
        kiln_tensor *from = kiln_from_at(at, t->k, KILN_U64, KILN_SHAPE(2), key, 2);
        kiln_tensor *bits = tensor_ok(from) ? draw_words(t, at, from, 2, 1) : from;
        if (tensor_ok(bits) && kiln_read_at(at, of(bits), word, sizeof word))
            made = kiln_generator_at(at, t->k, (uint64_t)word[1] << 32 | word[0]);
    }
    composite_end(t, &c, NULL);
    return made;
}
