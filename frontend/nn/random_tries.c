/* random_tries: draws by trial and error: gamma and its kin, poisson, truncated normal. Try i of a draw reads the words under the
 * key (seed, counter + i), in which each element has its own, so that neither the number of tries that other elements take nor
 * threads change an element. An element that is settled keeps its value while a loop goes on for the others. Relies on ops/random.h
 * and kiln_while, which is why it stands in this room. */
#include "../ops/random.h"

#include <kiln/nn.h>
#include <math.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))
#define WHERE(c, x, y) of(kiln_where_at(at, c, x, y))
#define TRIES 63
#define MOVES 64 /* the last key is for what a draw needs once */

typedef struct Tries Tries;
struct Tries {
    kiln_site at;
    Thread *t;
    kiln_tensor *key; /* of the first try */
    Type type;        /* f32 or f64 */
    int words;        /* that a try reads for each element */
    /* What try makes of its words: a value for each element, and whether it is settled. kept: two tensors of the elements, of which
     * the first is the value as it stands; what is unsettled gives its next ones. */
    kiln_operand (*draw)(const Tries *s, Words *w, kiln_operand kept[2]);
    kiln_operand p[5]; /* its parameters */
    double lo, hi;     /* of a truncated normal */
};

static kiln_tensor *key_after(Thread *t, kiln_site at, kiln_tensor *key, kiln_operand steps)
{
    kiln_operand unit = of(iota_of(t, at, &(Type){.dtype = DT_u64, .rank = 1, .dim = {2}}, 0, key)); /* (0, 1) */
    return kiln_add_at(at, of(key), OP2(mul, unit, steps));
}

static kiln_operand shaped(const Tries *s, kiln_operand flat)
{
    if (!tensor_ok(flat.as.tensor)) return flat;
    return of(reshape_to(s->t, s->at, flat.as.tensor, s->type.dim, s->type.rank));
}

static kiln_operand uniform(const Tries *s, Words *w) { return shaped(s, unit_next(s->t, s->at, w, (DType)s->type.dtype)); }

/* 1 - u, whose logarithm is finite. */
static kiln_operand above_0(const Tries *s, Words *w)
{
    kiln_site at = s->at;
    return OP2(sub, kiln_of_i(1), uniform(s, w));
}

static kiln_operand normal(const Tries *s, Words *w)
{
    kiln_site at = s->at;
    kiln_operand radius = OP1(sqrt, OP2(mul, OP1(log, above_0(s, w)), kiln_of_f(-2)));
    return OP2(mul, radius, OP1(cos, OP2(mul, uniform(s, w), kiln_of_f(6.28318530717958647693))));
}

/* ---- the loop ---------------------------------------------------------------------------------------- */
static void goes_on(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) /* (index, settled, ...) */
{
    (void)k;
    kiln_site at = ((const Tries *)user)->at;
    kiln_operand open = OP1(not, of(kiln_all_at(at, of(in[1]), KILN_ALL)));
    out[0] = kiln_and_at(at, open, OP2(lt, of(in[0]), kiln_of_i(TRIES)));
}

static void one_try(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user) /* (index, settled, kept[2]) */
{
    (void)k;
    const Tries *s = user;
    kiln_site at = s->at;
    kiln_operand kept[2] = {of(in[2]), of(in[3])};
    kiln_tensor *key = key_after(s->t, at, s->key, OP2(cast, of(in[0]), KILN_U64));
    Words w = {.count = extent_product(s->t, at, s->type.dim, s->type.rank)};
    w.bits = draw_words(s->t, at, key, w.count, s->words);
    kiln_operand settled = s->draw(s, &w, kept);
    out[0] = kiln_or_at(at, of(in[1]), settled);
    for (int i = 0; i < 2; i++) out[1 + i] = kiln_where_at(at, of(in[1]), of(in[2 + i]), kept[i]);
}

/* Elements whose value may be given beforehand: where invalid holds it is NaN, elsewhere the first one unless a try settles it. */
static kiln_tensor *tried(Tries *s, kiln_operand invalid, kiln_operand first, kiln_operand second)
{
    kiln_site at = s->at;
    kiln_operand value = WHERE(invalid, kiln_of_f(NAN), first);
    kiln_tensor *carry[3] = {invalid.as.tensor, value.as.tensor, second.as.tensor}, *out[3];
    for (int i = 0; i < 3; i++)
        if (!tensor_ok(carry[i])) return &s->t->k->poison;
    if (!kiln_while_at(at, s->t->k, 0, goes_on, one_try, carry, 3, out, s)) return &s->t->k->poison;
    return out[1];
}

/* ---- what the calls have in common ------------------------------------------------------------------- */
/* No gradient flows, so tapes need not record the tries. */
typedef struct Began {
    Draw from;
    uint32_t recording;
} Began;

static Began begin(Thread *t, kiln_site at, const char *op, kiln_variable *g, uint32_t moves)
{
    Began b = {.from = draw_begin(t, at, op, kiln_of_variable(g)), .recording = t->recording};
    b.from.moves = moves;
    if (!t->trace) t->recording = 0;
    return b;
}

static kiln_tensor *end(Thread *t, kiln_site at, Began *b, kiln_tensor *r)
{
    if (tensor_ok(r)) r = kiln_stop_gradient_at(at, of(r));
    t->recording = b->recording;
    return draw_end(t, at, &b->from, r);
}

static kiln_tensor *parameter(Thread *t, kiln_site at, const char *op, kiln_operand o, DType d, kiln_shape s)
{
    kiln_tensor *p = draw_parameter(t, at, op, o, d, s);
    return tensor_ok(p) ? kiln_stop_gradient_at(at, of(p)) : p;
}

static bool number_fits(Thread *t, kiln_site at, const char *op, kiln_operand p, bool zero)
{
    const double v = p.kind == 3 ? p.as.f : (double)p.as.i;
    if (!operand_is_number(p) || (isfinite(v) && (v > 0 || (zero && v == 0)))) return true;
    return fail(t, at, KILN_EVALUE, "%s: the parameter is %g; it must be a finite number%s", op, v,
               zero ? ", 0 or more" : " above 0"),
           false;
}

/* What draws with a parameter check first. floats: the result must be of floats, and the parameter above 0. NULL: stop and return
 * *r. */
static Thread *checked(kiln_site at, const char *op, kiln_variable *g, kiln_operand p, kiln_dtype d, bool floats, kiln_tensor **r)
{
    kiln_operand o[2] = {p, kiln_of_variable(g)};
    Thread *t = op_thread(o, g ? 2 : 1);
    *r = t ? &t->k->poison : NULL;
    if (!t || !is_generator(t, at, op, g)) return NULL;
    if (!dtype_known((int)d)) {
        fail(t, at, KILN_EDTYPE, "%s: %d is not a dtype", op, (int)d);
    } else if (!dtype_is_float((DType)d) && (floats || !dtype_is_int((DType)d))) {
        fail(t, at, KILN_EDTYPE, "%s: needs a float%s dtype, not %s", op, floats ? "" : " or integer", dtype_info[d].name);
    } else {
        return number_fits(t, at, op, p, !floats) ? t : NULL;
    }
    return NULL;
}

/* ---- gamma --------------------------------------------------------------------------------------------- */
/* Marsaglia and Tsang 2000: p[0] is d = a - 1/3, p[1] c = 1 / sqrt(9 d), of an a that is 1 or more. */
static kiln_operand try_gamma(const Tries *s, Words *w, kiln_operand kept[2])
{
    kiln_site at = s->at;
    const kiln_operand d = s->p[0], x = normal(s, w), cx = OP2(mul, s->p[1], x), v = OP2(add, cx, kiln_of_i(1));
    kiln_operand cube = OP2(mul, OP2(mul, v, v), v);
    /* x^2 / 2 + d - d v^3 + d log v^3; the logarithm of 1 + c x keeps its digits where d is large. */
    kiln_operand more = OP2(sub, OP2(mul, OP1(log1p, cx), kiln_of_i(3)), OP2(sub, cube, kiln_of_i(1)));
    kiln_operand most = OP2(add, OP2(mul, OP2(mul, x, x), kiln_of_f(0.5)), OP2(mul, d, more));
    kiln_operand ok = OP2(and, OP2(gt, v, kiln_of_i(0)), OP2(lt, OP1(log, above_0(s, w)), most));
    kept[0] = WHERE(ok, OP2(mul, d, cube), kept[0]);
    return ok;
}

/* The draw for concentration a, or its logarithm; of a below 1 it is that of a + 1 times u^(1 / a). key: of the first try. */
static kiln_tensor *gamma_draw(Thread *t, kiln_site at, kiln_tensor *key, kiln_tensor *a, bool logarithm)
{
    if (!tensor_ok(a) || !tensor_ok(key)) return &t->k->poison;
    const DType dtype = (DType)a->type.dtype;
    Tries s = {.at = at, .t = t, .key = key, .type = a->type, .words = 3 * unit_words(dtype), .draw = try_gamma};
    kiln_operand small = OP2(lt, of(a), kiln_of_i(1)), whole = WHERE(small, OP2(add, of(a), kiln_of_i(1)), of(a));
    kiln_operand invalid = OP1(not, OP2(and, OP2(gt, of(a), kiln_of_i(0)), OP1(isfinite, of(a))));
    s.p[0] = OP2(sub, WHERE(invalid, kiln_of_i(1), whole), kiln_of_f(1.0 / 3));
    s.p[1] = OP2(div, kiln_of_i(1), OP1(sqrt, OP2(mul, s.p[0], kiln_of_i(9))));
    kiln_operand g = of(tried(&s, invalid, s.p[0], OP1(zeros_like, invalid)));
    Words w = {.count = extent_product(t, at, a->type.dim, a->type.rank)};
    w.bits = draw_words(t, at, key_after(t, at, key, kiln_of_u(TRIES)), w.count, unit_words(dtype));
    kiln_operand power = OP2(div, OP1(log, above_0(&s, &w)), of(a)), log = OP1(log, g);
    kiln_operand moved = OP2(add, log, power);
    return logarithm ? kiln_where_at(at, small, moved, log) : kiln_where_at(at, small, OP1(exp, moved), g);
}

kiln_tensor *kiln_gamma_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, kiln_operand concentration)
{
    kiln_tensor *r;
    Thread *t = checked(at, "gamma", g, concentration, d, true, &r);
    if (!t) return r;
    Began b = begin(t, at, "gamma", g, MOVES);
    kiln_tensor *a = parameter(t, at, "gamma", concentration, (DType)dtype_info[d].compute, shape);
    r = gamma_draw(t, at, b.from.key, a, false);
    return end(t, at, &b, tensor_ok(r) ? cast_to(t, at, r, (DType)d) : r);
}

kiln_tensor *kiln_beta_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, kiln_operand ao, kiln_operand bo)
{
    char ta[160], tb[160];
    kiln_tensor *r, *x = NULL, *y = NULL;
    Thread *t = checked(at, "beta", g, ao, d, true, &r);
    if (!t || !number_fits(t, at, "beta", bo, false)) return r;
    Began s = begin(t, at, "beta", g, 2 * MOVES);
    const DType wide = (DType)dtype_info[d].compute;
    kiln_tensor *a = parameter(t, at, "beta", ao, wide, shape), *b = parameter(t, at, "beta", bo, wide, shape);
    r = &t->k->poison;
    if (tensor_ok(a) && tensor_ok(b)) {
        if (type_equal(&a->type, &b->type)) {
            x = gamma_draw(t, at, s.from.key, a, true);
            y = gamma_draw(t, at, key_after(t, at, s.from.key, kiln_of_u(MOVES)), b, true);
        } else {
            fail(t, at, KILN_ESHAPE, "beta: the parameters have other shapes: %s x %s", tensor_text(a, ta, sizeof ta),
                tensor_text(b, tb, sizeof tb));
        }
    }
    if (tensor_ok(x) && tensor_ok(y)) r = kiln_sigmoid_at(at, OP2(sub, of(x), of(y)));
    return end(t, at, &s, tensor_ok(r) ? cast_to(t, at, r, (DType)d) : r);
}

kiln_tensor *kiln_dirichlet_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, kiln_operand concentration)
{
    kiln_tensor *r;
    Thread *t = checked(at, "dirichlet", g, concentration, d, true, &r);
    if (!t) return r;
    Began b = begin(t, at, "dirichlet", g, MOVES);
    kiln_tensor *a = parameter(t, at, "dirichlet", concentration, (DType)dtype_info[d].compute, shape);
    r = gamma_draw(t, at, b.from.key, a, true);
    if (tensor_ok(r)) r = kiln_softmax_at(at, of(r), -1);
    return end(t, at, &b, tensor_ok(r) ? cast_to(t, at, r, (DType)d) : r);
}

/* ---- poisson --------------------------------------------------------------------------------------------- */
/* Knuth: how many uniform factors keep the product above e^-rate. kept: the count and the product; p[0] is e^-rate. */
static kiln_operand try_few(const Tries *s, Words *w, kiln_operand kept[2])
{
    kiln_site at = s->at;
    kept[1] = OP2(mul, kept[1], above_0(s, w));
    kiln_operand ok = OP2(le, kept[1], s->p[0]);
    kept[0] = WHERE(ok, kept[0], OP2(add, kept[0], kiln_of_i(1)));
    return ok;
}

/* log(rate^k e^-rate / k!), k >= 1: of Stirling's series, with what nearly cancels put together (Loader 2000). */
static kiln_operand log_mass(kiln_site at, kiln_operand k, kiln_operand rate)
{
    kiln_operand e = OP2(div, OP2(sub, k, rate), rate), one = OP2(add, e, kiln_of_i(1));
    kiln_operand off = OP2(mul, rate, OP2(sub, OP2(mul, one, OP1(log1p, e)), e));
    kiln_operand over = OP2(div, kiln_of_i(1), k), square = OP2(mul, over, over);
    kiln_operand rest = OP2(sub, kiln_of_f(1.0 / 360), OP2(mul, square, kiln_of_f(1.0 / 1260)));
    rest = OP2(mul, over, OP2(sub, kiln_of_f(1.0 / 12), OP2(mul, square, rest)));
    kiln_operand half = OP2(mul, OP1(log, OP2(mul, k, kiln_of_f(6.28318530717958647693))), kiln_of_f(0.5));
    return OP1(neg, OP2(add, OP2(add, off, rest), half));
}

/* Hormann 1993, PTRS. p: the rate (10 or more), a, b, log(1 / alpha), v_r. */
static kiln_operand try_many(const Tries *s, Words *w, kiln_operand kept[2])
{
    kiln_site at = s->at;
    const kiln_operand rate = s->p[0], a = s->p[1], b = s->p[2];
    kiln_operand u = OP2(sub, uniform(s, w), kiln_of_f(0.5)), v = above_0(s, w);
    kiln_operand us = OP2(sub, kiln_of_f(0.5), OP1(abs, u));
    kiln_operand slope = OP2(add, OP2(div, OP2(mul, a, kiln_of_i(2)), us), b);
    kiln_operand k = OP1(floor, OP2(add, OP2(add, OP2(mul, slope, u), rate), kiln_of_f(0.43)));
    kiln_operand quick = OP2(and, OP2(ge, us, kiln_of_f(0.07)), OP2(le, v, s->p[4]));
    kiln_operand outside = OP2(or, OP2(lt, k, kiln_of_i(0)), OP2(and, OP2(lt, us, kiln_of_f(0.013)), OP2(gt, v, us)));
    kiln_operand height = OP1(log, OP2(add, OP2(div, a, OP2(mul, us, us)), b));
    kiln_operand have = OP2(sub, OP2(add, OP1(log, v), s->p[3]), height);
    kiln_operand mass = log_mass(at, OP2(max, k, kiln_of_i(1)), rate);
    mass = WHERE(OP2(lt, k, kiln_of_i(1)), OP1(neg, rate), mass);
    kiln_operand ok = OP2(and, OP1(not, outside), OP2(or, quick, OP2(le, have, mass)));
    kept[0] = WHERE(ok, k, kept[0]);
    return ok;
}

static kiln_tensor *few(Tries s, kiln_operand rate, kiln_operand invalid)
{
    kiln_site at = s.at;
    s.draw = try_few, s.words = unit_words((DType)s.type.dtype);
    s.p[0] = OP1(exp, OP1(neg, rate));
    return tried(&s, invalid, OP1(zeros_like, rate), OP1(ones_like, rate));
}

static kiln_tensor *many(Tries s, kiln_operand rate, kiln_operand invalid)
{
    kiln_site at = s.at;
    s.draw = try_many, s.words = 2 * unit_words((DType)s.type.dtype);
    rate = WHERE(invalid, kiln_of_i(10), rate);
    s.p[0] = rate;
    s.p[2] = OP2(add, OP2(mul, OP1(sqrt, rate), kiln_of_f(2.53)), kiln_of_f(0.931));
    s.p[1] = OP2(sub, OP2(mul, s.p[2], kiln_of_f(0.02483)), kiln_of_f(0.059));
    kiln_operand alpha = OP2(div, kiln_of_f(1.1328), OP2(sub, s.p[2], kiln_of_f(3.4)));
    s.p[3] = OP1(log, OP2(add, alpha, kiln_of_f(1.1239)));
    s.p[4] = OP2(sub, kiln_of_f(0.9277), OP2(div, kiln_of_f(3.6224), OP2(sub, s.p[2], kiln_of_i(2))));
    return tried(&s, invalid, OP1(floor, rate), OP1(zeros_like, invalid));
}

/* A number needs one of the two ways. Of a tensor each way takes the elements that are its own, and finds the others settled. */
static kiln_tensor *poisson_draw(Tries *s, kiln_operand number, kiln_tensor *rate)
{
    kiln_site at = s->at;
    const double r = number.kind == 3 ? number.as.f : (double)number.as.i;
    kiln_operand x = of(rate), small = OP2(lt, x, kiln_of_i(10));
    kiln_operand invalid = OP1(not, OP2(and, OP2(ge, x, kiln_of_i(0)), OP1(isfinite, x)));
    if (operand_is_number(number)) return r < 10 ? few(*s, x, invalid) : many(*s, x, invalid);
    kiln_tensor *a = few(*s, WHERE(small, x, kiln_of_i(0)), OP2(or, invalid, OP1(not, small)));
    kiln_tensor *b = many(*s, x, OP2(or, invalid, small));
    return tensor_ok(a) && tensor_ok(b) ? kiln_where_at(at, small, of(a), of(b)) : &s->t->k->poison;
}

kiln_tensor *kiln_poisson_at(kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, kiln_operand rate)
{
    kiln_tensor *r, *own = NULL;
    Thread *t = checked(at, "poisson", g, rate, d, false, &r);
    if (!t) return r;
    Began b = begin(t, at, "poisson", g, MOVES);
    const double number = rate.kind == 3 ? rate.as.f : (double)rate.as.i;
    if (!operand_is_number(rate)) own = operand_named(t, at, "poisson", rate, NULL);
    const bool fine = own ? tensor_ok(own) && own->type.dtype == DT_f64 : d == KILN_F64 || fabs(number) > 65536;
    kiln_tensor *x = parameter(t, at, "poisson", own ? of(own) : rate, fine ? DT_f64 : DT_f32, shape);
    r = &t->k->poison;
    if (tensor_ok(x) && tensor_ok(b.from.key)) {
        Tries s = {.at = at, .t = t, .key = b.from.key, .type = x->type};
        r = poisson_draw(&s, rate, x);
    }
    return end(t, at, &b, tensor_ok(r) ? cast_to(t, at, r, (DType)d) : r);
}

/* ---- truncated normal -------------------------------------------------------------------------------------- */
/* Robert 1995, with bounds lo and hi in deviations from the mean. Normal numbers where the interval has much of them; */
static kiln_operand try_inside(const Tries *s, Words *w, kiln_operand kept[2])
{
    kiln_site at = s->at;
    kiln_operand z = normal(s, w), ok = OP2(and, OP2(ge, z, kiln_of_f(s->lo)), OP2(le, z, kiln_of_f(s->hi)));
    kept[0] = WHERE(ok, z, kept[0]);
    return ok;
}

/* uniform ones where it is short, which are kept as the density asks; */
static kiln_operand try_short(const Tries *s, Words *w, kiln_operand kept[2])
{
    kiln_site at = s->at;
    const double top = s->lo > 0 ? s->lo : s->hi < 0 ? s->hi : 0; /* where the density is largest */
    kiln_operand z = OP2(add, OP2(mul, uniform(s, w), kiln_of_f(s->hi - s->lo)), kiln_of_f(s->lo));
    kiln_operand off = OP2(sub, z, kiln_of_f(top)), sum = OP2(add, z, kiln_of_f(top));
    kiln_operand ok = OP2(le, OP1(log, above_0(s, w)), OP2(mul, OP2(mul, off, sum), kiln_of_f(-0.5)));
    kept[0] = WHERE(ok, z, kept[0]);
    return ok;
}

/* and exponential ones in a tail. lo is above 0: the other tail is turned round. */
static kiln_operand try_tail(const Tries *s, Words *w, kiln_operand kept[2])
{
    kiln_site at = s->at;
    const double rate = (s->lo + sqrt(s->lo * s->lo + 4)) / 2, short_of = rate - s->lo;
    kiln_operand e = OP2(div, shaped(s, exponential_next(s->t, at, w, (DType)s->type.dtype)), kiln_of_f(rate));
    kiln_operand off = OP2(sub, e, kiln_of_f(short_of)), z = OP2(add, e, kiln_of_f(s->lo));
    kiln_operand ok = OP2(le, OP1(log, above_0(s, w)), OP2(mul, OP2(mul, off, off), kiln_of_f(-0.5)));
    ok = OP2(and, ok, OP2(le, z, kiln_of_f(s->hi)));
    kept[0] = WHERE(ok, z, kept[0]);
    return ok;
}

static kiln_tensor *truncated(Tries *s, double lo, double hi)
{
    kiln_site at = s->at;
    const int words = unit_words((DType)s->type.dtype);
    const bool turned = hi < 0;
    s->lo = turned ? -hi : lo, s->hi = turned ? -lo : hi;
    if (s->lo < -1e15) s->lo = -INFINITY; /* numbers that f32 holds */
    if (s->hi > 1e15) s->hi = INFINITY;
    /* How long an interval of the tail must be for exponential numbers to be kept more often than uniform ones (Robert, 2.2). */
    const double root = sqrt(s->lo * s->lo + 4),
                 tail = s->lo > 0 ? 2 * sqrt(M_E) / (s->lo + root) * exp((s->lo * s->lo - s->lo * root) / 4) : 0;
    if (s->lo > 0)
        s->draw = s->hi > s->lo + tail ? try_tail : try_short, s->words = 2 * words;
    else
        s->draw = s->hi - s->lo > 2.5 ? try_inside : try_short, s->words = 2 * words;
    const double first = s->lo > 0 ? s->lo : 0;
    kiln_tensor *none = number_like(s->t, at, "truncated_normal", &s->type, kiln_of_f(first));
    Type bools = s->type;
    bools.dtype = DT_bool;
    kiln_tensor *open = number_like(s->t, at, "truncated_normal", &bools, kiln_of_bool(false));
    if (!tensor_ok(none) || !tensor_ok(open)) return &s->t->k->poison;
    kiln_tensor *r = tried(s, of(open), of(none), of(open));
    return turned && tensor_ok(r) ? kiln_neg_at(at, of(r)) : r;
}

static bool bounds_fit(Thread *t, kiln_site at, kiln_dtype d, double lo, double hi)
{
    if (!(lo < hi))
        return fail(t, at, KILN_EVALUE, "truncated_normal: the bounds are %g and %g; the lower must be smaller", lo, hi), false;
    if (draw_least((DType)d, lo) <= -draw_least((DType)d, -hi)) return true;
    return fail(t, at, KILN_EVALUE, "truncated_normal: there is no %s from %.17g to %.17g", dtype_info[d].name, lo, hi), false;
}

kiln_tensor *kiln_truncated_normal_at(
    kiln_site at, kiln_variable *g, kiln_dtype d, kiln_shape shape, double mean, double deviation, double lo, double hi)
{
    Thread *t = generator_thread(g);
    Type type;
    if (!t) return NULL;
    if (!is_generator(t, at, "truncated_normal", g) || !draw_floats(t, at, "truncated_normal", d, &shape, &type))
        return &t->k->poison;
    if (!draw_within(t, at, "truncated_normal", "the mean", d, mean) ||
        !draw_within(t, at, "truncated_normal", "the deviation", d, deviation) || !bounds_fit(t, at, d, lo, hi))
        return &t->k->poison;
    if (!(deviation > 0)) return fail(t, at, KILN_EVALUE, "truncated_normal: the deviation is %g; it must be above 0", deviation);
    const double z[2] = {(lo - mean) / deviation, (hi - mean) / deviation};
    if (z[0] > 1e15 || z[1] < -1e15 || !(z[0] < z[1]))
        return fail(t, at, KILN_EVALUE,
            "truncated_normal: the interval lies %g to %g deviations from the mean (allowed: -1e15 to 1e15)", z[0], z[1]);
    Began b = begin(t, at, "truncated_normal", g, MOVES);
    type.dtype = dtype_info[d].compute;
    Tries s = {.at = at, .t = t, .key = b.from.key, .type = type};
    kiln_tensor *r = tensor_ok(b.from.key) ? truncated(&s, z[0], z[1]) : b.from.key;
    if (deviation != 1) r = kiln_mul_at(at, of(r), kiln_of_f(deviation));
    if (mean != 0) r = kiln_add_at(at, of(r), kiln_of_f(mean));
    if (tensor_ok(r)) r = cast_to(t, at, r, (DType)d);
    if (isfinite(lo)) r = kiln_max_at(at, of(r), kiln_of_f(draw_least((DType)d, lo)));
    if (isfinite(hi)) r = kiln_min_at(at, of(r), kiln_of_f(-draw_least((DType)d, -hi)));
    return end(t, at, &b, r);
}
