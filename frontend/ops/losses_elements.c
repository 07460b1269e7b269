/* losses_elements: losses that compare each element of a prediction with one of a target, or vectors with vectors: composites over
 * public ops. A composite of 16-bit floats is computed in f32 and rounded once. Relies on losses.h. */
#include "losses.h"

#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))

bool loss_how_ok(Thread *t, kiln_site at, const char *op, kiln_loss_how how)
{
    if ((unsigned)how <= KILN_LOSS_BATCH_MEAN) return true;
    fail(t, at, KILN_EVALUE, "%s: how is %d (allowed: KILN_LOSS_MEAN to KILN_LOSS_BATCH_MEAN, %d to %d)", op, (int)how,
        KILN_LOSS_MEAN, KILN_LOSS_BATCH_MEAN);
    return false;
}

kiln_tensor *loss_reduced(Thread *t, kiln_site at, const char *op, kiln_tensor *each, kiln_loss_how how)
{
    char text[160];
    if (!tensor_ok(each) || how == KILN_LOSS_EACH) return each;
    if (how == KILN_LOSS_MEAN) return kiln_mean_at(at, of(each), KILN_ALL);
    kiln_tensor *sum = kiln_sum_at(at, of(each), KILN_ALL);
    if (how == KILN_LOSS_SUM) return sum;
    if (each->type.rank < 1)
        return fail(t, at, KILN_ESHAPE, "%s: a mean per batch needs an axis: %s", op, tensor_text(each, text, sizeof text));
    return kiln_div_at(at, of(sum), of(dim_tensor(t, at, each->type.dim[0], (DType)each->type.dtype)));
}

/* ---- operands of equal shape --------------------------------------------------------------------------- */
typedef struct Pair { /* of a loss under way */
    Thread *t;
    Composite c;
    DType own;         /* of the result */
    kiln_operand x[3]; /* computed wide, or numbers */
} Pair;

static bool operands_ready(Pair *p, kiln_site at, const char *op, const kiln_operand *o, int n)
{
    char a[160], b[160];
    kiln_tensor *in[3], *first = NULL;
    p->own = DT_NONE;
    for (int i = 0; i < n; i++) {
        in[i] = NULL;
        if (operand_is_number(o[i]) && (first || i + 1 < n)) continue; /* a number alone is an error */
        in[i] = operand_float(p->t, at, op, o[i]);
        if (!tensor_ok(in[i])) return false;
        /* [n, 1] and [n] would broadcast to [n, n], and a network would learn the wrong thing. */
        if (first && !same_shape(first, in[i]))
            return fail(p->t, at, KILN_ESHAPE, "%s: the operands differ in shape: %s x %s", op, tensor_text(first, a, sizeof a),
                       tensor_text(in[i], b, sizeof b)),
                   false;
        first = first ? first : in[i];
        p->own = p->own ? dtype_promote(p->own, (DType)in[i]->type.dtype) : (DType)in[i]->type.dtype;
    }
    const DType d = (DType)dtype_info[p->own].compute;
    for (int i = 0; i < n; i++) p->x[i] = in[i] ? of(cast_to(p->t, at, in[i], d)) : o[i];
    /* Of a number beside a tensor, so that ops of one operand have one. */
    for (int i = 0; i < n; i++)
        if (!in[i]) p->x[i] = of(number_like(p->t, at, op, &(Type){.dtype = (uint8_t)d}, o[i]));
    return true;
}

/* False: *r is what to return. Else the composite is open. */
static bool pair_begin(Pair *p, kiln_site at, const char *op, const kiln_operand *o, int n, kiln_loss_how how, kiln_tensor **r)
{
    p->t = op_thread(o, n);
    *r = p->t ? &p->t->k->poison : NULL;
    if (!p->t || !loss_how_ok(p->t, at, op, how)) return false;
    p->c = composite_begin(p->t, op);
    if (operands_ready(p, at, op, o, n)) return true;
    composite_end(p->t, &p->c, NULL);
    return false;
}

static kiln_tensor *pair_end(Pair *p, kiln_site at, const char *op, kiln_operand each, kiln_loss_how how)
{
    kiln_tensor *r = loss_reduced(p->t, at, op, each.as.tensor, how);
    return composite_end(p->t, &p->c, tensor_ok(r) ? cast_to(p->t, at, r, p->own) : r);
}

/* ---- differences ------------------------------------------------------------------------------------------- */
kiln_tensor *kiln_l1_at(kiln_site at, kiln_operand prediction, kiln_operand target, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, "l1", (kiln_operand[]){prediction, target}, 2, how, &r)) return r;
    return pair_end(&p, at, "l1", OP1(abs, OP2(sub, p.x[0], p.x[1])), how);
}

/* d^2 / 2 up to delta, then delta |d| - delta^2 / 2, times scale. The part that is not taken is computed of 0, since the square may
 * be infinite. */
static kiln_operand huber(kiln_site at, kiln_operand d, double delta, double scale)
{
    kiln_operand size = OP1(abs, d), near = OP2(le, size, kiln_of_f(delta)), small = WHERE(near, d, kiln_of_i(0));
    kiln_operand square = OP2(mul, OP2(mul, small, small), kiln_of_f(0.5 * scale));
    return WHERE(near, square, OP2(mul, OP2(sub, size, kiln_of_f(0.5 * delta)), kiln_of_f(delta * scale)));
}

static kiln_tensor *huber_loss(
    kiln_site at, const char *op, kiln_operand prediction, kiln_operand target, double delta, double scale, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, op, (kiln_operand[]){prediction, target}, 2, how, &r)) return r;
    if (delta > 0 && delta <= 1e30) return pair_end(&p, at, op, huber(at, OP2(sub, p.x[0], p.x[1]), delta, scale), how);
    fail(p.t, at, KILN_EVALUE, "%s: delta is %g; it must be above 0 and at most 1e30", op, delta);
    return composite_end(p.t, &p.c, &p.t->k->poison);
}

kiln_tensor *kiln_huber_at(kiln_site at, kiln_operand prediction, kiln_operand target, double delta, kiln_loss_how how)
{
    return huber_loss(at, "huber", prediction, target, delta, 1, how);
}

kiln_tensor *kiln_smooth_l1_at(kiln_site at, kiln_operand prediction, kiln_operand target, double beta, kiln_loss_how how)
{
    if (beta == 0) return kiln_l1_at(at, prediction, target, how);
    return huber_loss(at, "smooth_l1", prediction, target, beta, 1 / beta, how);
}

kiln_tensor *kiln_hinge_at(kiln_site at, kiln_operand prediction, kiln_operand target, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, "hinge", (kiln_operand[]){prediction, target}, 2, how, &r)) return r;
    return pair_end(&p, at, "hinge", OP1(relu, OP2(sub, kiln_of_i(1), OP2(mul, p.x[0], p.x[1]))), how);
}

kiln_tensor *kiln_margin_ranking_at(
    kiln_site at, kiln_operand x, kiln_operand y, kiln_operand target, double margin, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, "margin_ranking", (kiln_operand[]){x, y, target}, 3, how, &r)) return r;
    kiln_operand apart = OP2(mul, p.x[2], OP2(sub, p.x[0], p.x[1]));
    return pair_end(&p, at, "margin_ranking", OP1(relu, OP2(sub, kiln_of_f(margin), apart)), how);
}

/* ---- probabilities ------------------------------------------------------------------------------------------- */

/* log(x), or log(1 - x), but -100 where x is 0 (1), with slope 0 there. */
static kiln_operand log_at_least(kiln_site at, kiln_operand x, bool of_rest)
{
    kiln_operand none = OP2(le, of_rest ? OP2(sub, kiln_of_i(1), x) : x, kiln_of_i(0)), in = WHERE(none, kiln_of_f(0.5), x);
    kiln_operand log = of_rest ? OP1(log1p, OP1(neg, in)) : OP1(log, in);
    return WHERE(none, kiln_of_i(-100), OP2(max, log, kiln_of_i(-100)));
}

kiln_tensor *kiln_binary_cross_entropy_at(kiln_site at, kiln_operand prediction, kiln_operand target, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, "binary_cross_entropy", (kiln_operand[]){prediction, target}, 2, how, &r)) return r;
    kiln_operand yes = OP2(mul, p.x[1], log_at_least(at, p.x[0], false));
    kiln_operand no = OP2(mul, OP2(sub, kiln_of_i(1), p.x[1]), log_at_least(at, p.x[0], true));
    return pair_end(&p, at, "binary_cross_entropy", OP1(neg, OP2(add, yes, no)), how);
}

kiln_tensor *kiln_binary_cross_entropy_with_logits_at(
    kiln_site at, kiln_operand logits, kiln_operand target, kiln_operand weight, kiln_loss_how how)
{
    Pair p;
    Type whole;
    kiln_tensor *r;
    const char *op = "binary_cross_entropy_with_logits";
    if (!pair_begin(&p, at, op, (kiln_operand[]){logits, target}, 2, how, &r)) return r;
    kiln_operand yes = OP2(mul, p.x[1], OP1(softplus, OP1(neg, p.x[0])));
    kiln_operand no = OP2(mul, OP2(sub, kiln_of_i(1), p.x[1]), OP1(softplus, p.x[0]));
    if (operand_is_number(weight)) {
        yes = OP2(mul, yes, weight);
    } else if (!none_given(weight)) {
        kiln_tensor *w = operand_float(p.t, at, op, weight);
        if (!tensor_ok(w) || !tensor_ok(yes.as.tensor) || !shapes_broadcast(p.t, at, op, yes.as.tensor, w, &whole))
            return composite_end(p.t, &p.c, &p.t->k->poison);
        if (whole.rank != yes.as.tensor->type.rank ||
            memcmp(whole.dim, yes.as.tensor->type.dim, whole.rank * sizeof *whole.dim) != 0) {
            char a[160], b[160];
            fail(p.t, at, KILN_ESHAPE, "%s: the weights do not broadcast to the logits: %s x %s", op, tensor_text(w, a, sizeof a),
                tensor_text(yes.as.tensor, b, sizeof b));
            return composite_end(p.t, &p.c, &p.t->k->poison);
        }
        yes = OP2(mul, yes, of(cast_to(p.t, at, w, (DType)yes.as.tensor->type.dtype)));
    }
    return pair_end(&p, at, op, OP2(add, yes, no), how);
}

kiln_tensor *kiln_kl_div_at(kiln_site at, kiln_operand x, kiln_operand target, bool log_target, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, "kl_div", (kiln_operand[]){x, target}, 2, how, &r)) return r;
    kiln_operand y = p.x[1], none, weight, apart;
    if (log_target) {
        none = OP2(eq, y, kiln_of_f(-INFINITY));
        weight = OP1(exp, y);
        apart = OP2(sub, WHERE(none, kiln_of_i(0), y), p.x[0]);
    } else {
        none = OP2(eq, y, kiln_of_i(0));
        weight = y;
        apart = OP2(sub, OP1(log, WHERE(none, kiln_of_i(1), y)), p.x[0]);
    }
    return pair_end(&p, at, "kl_div", WHERE(none, kiln_of_i(0), OP2(mul, weight, apart)), how);
}

/* t log(t) - t + log(2 pi t) / 2 where t > 1, else 0 */
static kiln_operand stirling(kiln_site at, kiln_operand target)
{
    kiln_operand above = OP2(gt, target, kiln_of_i(1)), in = WHERE(above, target, kiln_of_i(1)), log = OP1(log, in);
    kiln_operand half = OP2(mul, OP2(add, log, kiln_of_f(1.8378770664093454836)), kiln_of_f(0.5));
    return WHERE(above, OP2(add, OP2(sub, OP2(mul, in, log), in), half), kiln_of_i(0));
}

kiln_tensor *kiln_poisson_nll_at(kiln_site at, kiln_operand x, kiln_operand target, bool log_input, bool full, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    if (!pair_begin(&p, at, "poisson_nll", (kiln_operand[]){x, target}, 2, how, &r)) return r;
    kiln_operand rate = log_input ? OP1(exp, p.x[0]) : p.x[0];
    kiln_operand log = log_input ? p.x[0] : OP1(log, OP2(add, p.x[0], kiln_of_f(1e-8)));
    kiln_operand each = OP2(sub, rate, OP2(mul, p.x[1], log));
    if (full) each = OP2(add, each, stirling(at, p.x[1]));
    return pair_end(&p, at, "poisson_nll", each, how);
}

/* ---- vectors --------------------------------------------------------------------------------------------------- */
static kiln_operand length_at_least(kiln_site at, kiln_operand x, kiln_axes axis, double epsilon)
{
    return OP1(sqrt, OP2(max, OP2(sum, OP2(mul, x, x), axis), kiln_of_f(epsilon * epsilon)));
}

static kiln_operand cosine(kiln_site at, kiln_operand x, kiln_operand y, kiln_axes axis, double epsilon)
{
    kiln_operand lengths = OP2(mul, length_at_least(at, x, axis, epsilon), length_at_least(at, y, axis, epsilon));
    return OP2(div, OP2(sum, OP2(mul, x, y), axis), lengths);
}

kiln_tensor *kiln_cosine_similarity_at(kiln_site at, kiln_operand x, kiln_operand y, int axis, double epsilon)
{
    Pair p;
    kiln_tensor *r;
    const char *op = "cosine_similarity";
    if (!pair_begin(&p, at, op, (kiln_operand[]){x, y}, 2, KILN_LOSS_EACH, &r)) return r;
    if (!(epsilon >= 0) || epsilon > 1e18 || (epsilon > 0 && epsilon < 1e-18)) {
        fail(p.t, at, KILN_EVALUE, "%s: epsilon is %g; it must be 0 or lie in [1e-18, 1e18]", op, epsilon);
        return composite_end(p.t, &p.c, &p.t->k->poison);
    }
    return pair_end(&p, at, op, cosine(at, p.x[0], p.x[1], KILN_AXES(axis), epsilon == 0 ? 1e-8 : epsilon), KILN_LOSS_EACH);
}

/* The target of vectors: floats or a number of x's shape without the last axis. Poison: recorded. */
static kiln_operand target_of(Pair *p, kiln_site at, const char *op, kiln_operand target, kiln_operand like)
{
    char a[160], b[160];
    if (operand_is_number(target) || !tensor_ok(like.as.tensor)) return target;
    kiln_tensor *y = operand_float(p->t, at, op, target);
    if (tensor_ok(y) && !same_shape(y, like.as.tensor))
        y = fail(p->t, at, KILN_ESHAPE, "%s: needs a target for each vector: %s x %s", op, tensor_text(like.as.tensor, a, sizeof a),
            tensor_text(y, b, sizeof b));
    return of(tensor_ok(y) ? cast_to(p->t, at, y, (DType)like.as.tensor->type.dtype) : y);
}

kiln_tensor *kiln_cosine_embedding_at(
    kiln_site at, kiln_operand x, kiln_operand y, kiln_operand target, double margin, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    const char *op = "cosine_embedding";
    if (!pair_begin(&p, at, op, (kiln_operand[]){x, y}, 2, how, &r)) return r;
    kiln_operand c = cosine(at, p.x[0], p.x[1], KILN_AXES(-1), 1e-8), t = target_of(&p, at, op, target, c);
    if (operand_is_number(t) && tensor_ok(c.as.tensor)) t = of(number_like(p.t, at, op, &c.as.tensor->type, t));
    kiln_operand alike = OP2(sub, kiln_of_i(1), c), apart = OP1(relu, OP2(sub, c, kiln_of_f(margin)));
    return pair_end(&p, at, op, WHERE(OP2(gt, t, kiln_of_i(0)), alike, apart), how);
}

static kiln_operand distance(kiln_site at, kiln_operand x, kiln_operand y)
{
    kiln_operand d = OP2(add, OP2(sub, x, y), kiln_of_f(1e-6));
    kiln_operand sum = OP2(sum, OP2(mul, d, d), KILN_AXES(-1)), none = OP2(eq, sum, kiln_of_i(0));
    return WHERE(none, kiln_of_i(0), OP1(sqrt, WHERE(none, kiln_of_i(1), sum)));
}

kiln_tensor *kiln_triplet_margin_at(
    kiln_site at, kiln_operand anchor, kiln_operand positive, kiln_operand negative, double margin, kiln_loss_how how)
{
    Pair p;
    kiln_tensor *r;
    const char *op = "triplet_margin";
    if (!pair_begin(&p, at, op, (kiln_operand[]){anchor, positive, negative}, 3, how, &r)) return r;
    kiln_operand apart = OP2(sub, distance(at, p.x[0], p.x[1]), distance(at, p.x[0], p.x[2]));
    return pair_end(&p, at, op, OP1(relu, OP2(add, apart, kiln_of_f(margin))), how);
}
