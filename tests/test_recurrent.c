/* recurrent: simple, LSTM and GRU layers against plain loops in double, the same bits eagerly and traced, gradients against finite differences,
 * sizes that are symbols, training, errors. */
#include "front.h"

#include <kiln/nn.h>
#include <math.h>

enum { MOST = 4096, STATE = 256 };

typedef struct Shape {
    int64_t steps, rows, inputs, units;
} Shape;

static const char *const kinds[] = {"rnn", "lstm", "gru"};
static const int64_t gates[] = {1, 4, 3};

static kiln_recurrent *layer_new(kiln *k, int kind, Shape s, kiln_variable *g)
{
    kiln_recurrent *l = kind == 0 ? kiln_rnn_new(k, s.inputs, s.units, g)
                      : kind == 1 ? kiln_lstm_new(k, s.inputs, s.units, g) : kiln_gru_new(k, s.inputs, s.units, g);
    kiln_variable *v[4];
    KILN_SCOPE(k);
    for (int i = 2; i < kiln_recurrent_variables(l, v, 4); i++) /* biases that show */
        kiln_assign_add(v[i], kiln_uniform(g, KILN_F32, KILN_SHAPE(gates[kind] * s.units), -0.5, 0.5));
    return l;
}

/* ---- the formulas, in double ---------------------------------------------------------------------------------------------------- */
enum { W, U, B, BU, X, H, C, PARTS }; /* variables as the layer lists them, and what it is given */

typedef struct Plain {
    int kind;
    bool reverse;
    Shape s;
    double in[PARTS][MOST], h[STATE], c[STATE], y[MOST];
} Plain;

static int64_t part_size(int kind, Shape s, int part)
{
    const int64_t n = gates[kind] * s.units, state = s.rows * s.units;
    const int64_t sizes[] = {s.inputs * n, s.units * n, n, kind == 2 ? n : 0, s.steps * s.rows * s.inputs, state, kind == 1 ? state : 0};
    return sizes[part];
}

static double squash(double a) { return 1 / (1 + exp(-a)); }

static double plain_unit(Plain *p, const double *a, const double *r, int64_t at, int64_t j)
{
    const int64_t u = p->s.units;
    if (p->kind == 0) return tanh(a[j] + r[j]);
    if (p->kind == 1) {
        double i = squash(a[j] + r[j]), f = squash(a[u + j] + r[u + j]);
        p->c[at + j] = f * p->c[at + j] + i * tanh(a[2 * u + j] + r[2 * u + j]);
        return squash(a[3 * u + j] + r[3 * u + j]) * tanh(p->c[at + j]);
    }
    double z = squash(a[u + j] + r[u + j]), n = tanh(a[2 * u + j] + squash(a[j] + r[j]) * r[2 * u + j]);
    return (1 - z) * n + z * p->h[at + j];
}

static void plain_step(Plain *p, int64_t step)
{
    const Shape s = p->s;
    const int64_t n = gates[p->kind] * s.units;
    double a[256], r[256], next[64];
    for (int64_t row = 0; row < s.rows; row++) {
        const int64_t at = step * s.rows + row, state = row * s.units;
        for (int64_t j = 0; j < n; j++) {
            a[j] = p->in[B][j];
            r[j] = p->kind == 2 ? p->in[BU][j] : 0;
            for (int64_t i = 0; i < s.inputs; i++) a[j] += p->in[X][at * s.inputs + i] * p->in[W][i * n + j];
            for (int64_t i = 0; i < s.units; i++) r[j] += p->h[state + i] * p->in[U][i * n + j];
        }
        for (int64_t j = 0; j < s.units; j++) next[j] = plain_unit(p, a, r, state, j);
        for (int64_t j = 0; j < s.units; j++) p->h[state + j] = p->y[at * s.units + j] = next[j];
    }
}

static void plain_run(Plain *p)
{
    memcpy(p->h, p->in[H], sizeof p->h);
    memcpy(p->c, p->in[C], sizeof p->c);
    for (int64_t i = 0; i < p->s.steps; i++) plain_step(p, p->reverse ? p->s.steps - 1 - i : i);
}

static void wide(kiln_operand from, double *to, int64_t count)
{
    static float v[MOST];
    assert_true(kiln_read_at(KILN_HERE, from, v, (size_t)count * sizeof *v));
    for (int64_t i = 0; i < count; i++) to[i] = (double)v[i];
}

/* ---- one call -------------------------------------------------------------------------------------------------------------------- */
typedef struct Use { /* of a layer: in: x, then h and c if given; out: all steps, h, c */
    kiln_recurrent *layer;
    int kind;
    bool reverse, given;
} Use;

static void apply(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Use *use = user;
    (void)k;
    kiln_recurrent_options o = {.reverse = use->reverse, .last_h = &out[1]};
    if (use->given) o.h = in[1];
    if (use->kind == 1) o.last_c = &out[2];
    if (use->kind == 1 && use->given) o.c = in[2];
    out[0] = kiln_recurrent_apply(use->layer, in[0], &o);
}

static int outputs_of(const Use *use) { return use->kind == 1 ? 3 : 2; }
static int inputs_of(const Use *use) { return 1 + use->given * (use->kind == 1 ? 2 : 1); }

static void plain_load(Plain *p, const Use *use, Shape s, kiln_tensor *const *in)
{
    kiln_variable *v[4];
    const int count = kiln_recurrent_variables(use->layer, v, 4);
    assert_int_equal(count, use->kind == 2 ? 4 : 3);
    memset(p, 0, sizeof *p);
    p->kind = use->kind;
    p->reverse = use->reverse;
    p->s = s;
    for (int i = 0; i < count; i++) wide(KILN_OPERAND(v[i]), p->in[i], part_size(p->kind, s, i));
    for (int i = 0; i < inputs_of(use); i++) wide(KILN_OPERAND(in[i]), p->in[X + i], part_size(p->kind, s, X + i));
}

static kiln_function *function_of(kiln *k, Use *use, kiln_function_options o)
{
    o.name = kinds[use->kind];
    o.inputs[inputs_of(use)].dtype = KILN_NONE; /* ends the list */
    o.inputs_count = inputs_of(use);
    o.outputs = outputs_of(use);
    return kiln_function_new(k, apply, use, &o);
}

/* Calls on x, h, c and reads all outputs, one behind the other; returns how many floats. */
static size_t call(kiln *k, kiln_function *f, const Use *use, kiln_tensor *const *in, bool eager, float *to)
{
    KILN_SCOPE(k);
    kiln_eager(k, eager);
    kiln_operand o[3];
    kiln_tensor *out[3];
    size_t n = 0;
    for (int i = 0; i < inputs_of(use); i++) o[i] = KILN_OPERAND(in[i]);
    if (!kiln_call_all(f, o, inputs_of(use), out, outputs_of(use))) fail_msg("%s", kiln_error(k)->text);
    for (int i = 0; i < outputs_of(use); i++) {
        assert_true(kiln_read(out[i], to + n, kiln_bytes(out[i])));
        n += kiln_bytes(out[i]) / sizeof *to;
    }
    kiln_eager(k, false);
    return n;
}

static void inputs_new(kiln_variable *g, Shape s, kiln_tensor **in)
{
    in[0] = kiln_normal(g, KILN_F32, KILN_SHAPE(s.steps, s.rows, s.inputs), 0, 1);
    in[1] = kiln_uniform(g, KILN_F32, KILN_SHAPE(s.rows, s.units), -0.9, 0.9);
    in[2] = kiln_uniform(g, KILN_F32, KILN_SHAPE(s.rows, s.units), -2, 2);
}

static void near(const char *what, double got, double want, double within)
{
    if (!(fabs(got - want) <= within * (1 + fabs(want)))) fail_msg("%s: %.9g is not %.9g", what, got, want);
}

/* Eager and traced alike, and as the formulas say. */
static void checked(kiln *k, kiln_function *f, const Use *use, Shape s, kiln_tensor *const *in)
{
    static Plain p;
    static float eager[MOST], traced[MOST];
    const size_t ys = (size_t)(s.steps * s.rows * s.units), state = (size_t)(s.rows * s.units);
    const size_t n = call(k, f, use, in, true, eager);
    assert_int_equal(n, ys + state * (use->kind == 1 ? 2 : 1));
    assert_int_equal(call(k, f, use, in, false, traced), n);
    assert_memory_equal(eager, traced, n * sizeof *eager);
    plain_load(&p, use, s, in);
    plain_run(&p);
    for (size_t i = 0; i < ys; i++) near(kinds[use->kind], eager[i], p.y[i], 2e-6);
    for (size_t i = 0; i < state; i++) near(kinds[use->kind], eager[ys + i], p.h[i], 2e-6);
    for (size_t i = 0; i < state && use->kind == 1; i++) near(kinds[use->kind], eager[ys + state + i], p.c[i], 2e-6);
}

static void layers_follow_their_formulas(void **state)
{
    kiln *k = *state;
    const Shape shapes[] = {{5, 3, 4, 6}, {1, 3, 4, 6}, {7, 1, 1, 1}, {1, 1, 2, 3}, {16, 8, 5, 17}};
    for (int kind = 0; kind < 3; kind++)
        for (size_t i = 0; i < 4 * sizeof shapes / sizeof *shapes; i++) {
            KILN_SCOPE(k);
            const Shape s = shapes[i / 4];
            kiln_variable *g = kiln_generator(k, 11);
            kiln_tensor *in[3];
            inputs_new(g, s, in);
            Use use = {layer_new(k, kind, s, g), kind, i & 1, i & 2};
            kiln_function *f = function_of(k, &use, (kiln_function_options){0});
            checked(k, f, &use, s, in);
            kiln_function_free(f);
            kiln_recurrent_free(use.layer);
        }
}

static void bounded_sizes_trace_once(void **state)
{
    kiln *k = *state;
    for (int kind = 0; kind < 3; kind++)
        for (int given = 0; given < 2; given++) {
            KILN_SCOPE(k);
            const Shape shapes[] = {{5, 3, 4, 6}, {1, 1, 4, 6}, {9, 8, 4, 6}, {2, 5, 4, 6}};
            kiln_variable *g = kiln_generator(k, 12);
            Use use = {layer_new(k, kind, shapes[0], g), kind, given, given};
            const kiln_size t = KILN_DIM("T", 1, 12), n = KILN_DIM("N", 1, 8);
            kiln_function *f = function_of(k, &use,
                (kiln_function_options){.inputs = {KILN_SPEC(KILN_F32, t, n, 4), KILN_SPEC(KILN_F32, n, 6), KILN_SPEC(KILN_F32, n, 6)}});
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                kiln_tensor *in[3];
                inputs_new(g, shapes[i], in);
                checked(k, f, &use, shapes[i], in);
            }
            kiln_function_statistics st;
            kiln_function_stats(f, &st);
            assert_int_equal(st.traces, 1);
            kiln_function_free(f);
        }
}

/* ---- gradients --------------------------------------------------------------------------------------------------------------------- */
typedef struct Slopes { /* parts as variables; the loss is a weighted sum of all outputs */
    Use use;
    kiln_variable *of[PARTS]; /* NULL: the layer has none */
    kiln_tensor *weight[3];
} Slopes;

/* The loss, then every gradient, flat. */
static void slopes_body(kiln *k, kiln_tensor *const *none, kiln_tensor **out, void *user)
{
    Slopes *s = user;
    kiln_operand x[PARTS];
    kiln_tensor *in[3] = {NULL}, *y[3], *loss = kiln_scalar(k, KILN_F32, 0), *g[PARTS];
    int count = 0;
    (void)none;
    KILN_TAPE(k, tape);
    for (int i = 0; i < 3 && s->of[X + i]; i++) in[i] = kiln_value(s->of[X + i]);
    apply(k, in, y, &s->use);
    for (int i = 0; i < outputs_of(&s->use); i++) loss = kiln_add(loss, kiln_sum(kiln_mul(y[i], s->weight[i]), KILN_ALL));
    for (int i = 0; i < PARTS; i++)
        if (s->of[i]) x[count++] = KILN_OPERAND(s->of[i]);
    kiln_gradients(tape, loss, x, count, g);
    for (int i = 0; i < count; i++) g[i] = kiln_reshape(g[i], KILN_SHAPE(-1));
    out[0] = loss;
    out[1] = kiln_concat(g, count, 0);
}

static double plain_loss(Plain *p, double weight[3][MOST])
{
    const int64_t state = p->s.rows * p->s.units;
    double sum = 0;
    plain_run(p);
    for (int64_t i = 0; i < p->s.steps * state; i++) sum += p->y[i] * weight[0][i];
    for (int64_t i = 0; i < state; i++) sum += p->h[i] * weight[1][i];
    for (int64_t i = 0; i < state; i++) sum += p->c[i] * weight[2][i];
    return sum;
}

static void slopes_read(kiln *k, Slopes *s, bool eager, double *loss, double *to, int64_t count)
{
    KILN_SCOPE(k);
    kiln_tensor *out[2];
    kiln_eager(k, eager);
    kiln_function *f = kiln_function_new(k, slopes_body, s, &(kiln_function_options){.outputs = 2});
    assert_true(kiln_call_all(f, NULL, 0, out, 2));
    *loss = kiln_item(out[0]);
    assert_int_equal(kiln_elements(out[1]), count);
    wide(KILN_OPERAND(out[1]), to, count);
    kiln_eager(k, false);
    kiln_function_free(f);
}

static void slopes_checked(kiln *k, int kind, Shape s, bool reverse)
{
    static Plain p;
    static double weight[3][MOST], got[2][MOST];
    KILN_SCOPE(k);
    kiln_variable *g = kiln_generator(k, 13);
    kiln_tensor *in[3], *value[3];
    inputs_new(g, s, in);
    Slopes all = {.use = {layer_new(k, kind, s, g), kind, reverse, true}};
    kiln_recurrent_variables(all.use.layer, all.of, 4);
    for (int i = 0; i < inputs_of(&all.use); i++) all.of[X + i] = kiln_variable_new(k, "given", in[i]);
    inputs_new(g, (Shape){s.steps, s.rows, s.units, s.units}, value);
    memset(weight, 0, sizeof weight);
    for (int i = 0; i < outputs_of(&all.use); i++) wide(KILN_OPERAND(all.weight[i] = value[i]), weight[i], kiln_elements(value[i]));
    plain_load(&p, &all.use, s, in);
    int64_t count = 0, at = 0;
    double loss[2];
    for (int part = 0; part < PARTS; part++) count += part_size(kind, s, part);
    for (int mode = 0; mode < 2; mode++) slopes_read(k, &all, mode == 0, loss + mode, got[mode], count);
    assert_true(loss[0] == loss[1]);
    near(kinds[kind], loss[0], plain_loss(&p, weight), 1e-5);
    for (int part = 0; part < PARTS; part++)
        for (int64_t i = 0; i < part_size(kind, s, part); i++, at++) {
            const double here = p.in[part][i], h = 1e-4;
            p.in[part][i] = here + h;
            const double above = plain_loss(&p, weight);
            p.in[part][i] = here - h;
            const double want = (above - plain_loss(&p, weight)) / (2 * h);
            p.in[part][i] = here;
            for (int mode = 0; mode < 2; mode++) near(kinds[kind], got[mode][at], want, 2e-5);
        }
    for (int i = 0; i < inputs_of(&all.use); i++) kiln_variable_free(all.of[X + i]);
    kiln_recurrent_free(all.use.layer);
}

static void gradients_match_finite_differences(void **state)
{
    const Shape shapes[] = {{4, 2, 3, 4}, {1, 2, 3, 4}};
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 4; i++) slopes_checked(*state, kind, shapes[i / 2], i & 1);
}

/* Gradients of all variables and of x, flat, for x of any length and rows. */
static void bounded_body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Use *use = user;
    kiln_variable *v[4];
    kiln_operand of[5];
    kiln_tensor *g[5];
    const int n = kiln_recurrent_variables(use->layer, v, 4);
    KILN_TAPE(k, tape);
    kiln_watch(tape, in[0]);
    kiln_tensor *y = kiln_recurrent_apply(use->layer, in[0], &(kiln_recurrent_options){.reverse = use->reverse});
    for (int i = 0; i < n; i++) of[i] = KILN_OPERAND(v[i]);
    of[n] = KILN_OPERAND(in[0]);
    kiln_gradients(tape, kiln_sum(kiln_square(y), KILN_ALL), of, n + 1, g);
    for (int i = 0; i < n; i++) g[i] = kiln_reshape(g[i], KILN_SHAPE(-1));
    out[0] = kiln_concat(g, n, 0);
    out[1] = g[n];
}

static void bounded_gradients_trace_once(void **state)
{
    kiln *k = *state;
    static double got[2][2][MOST];
    static const Shape shapes[] = {{5, 3, 4, 6}, {1, 1, 4, 6}, {9, 8, 4, 6}};
    for (int kind = 0; kind < 3; kind++) {
        KILN_SCOPE(k);
        kiln_variable *random = kiln_generator(k, 14);
        Use use = {layer_new(k, kind, shapes[0], random), kind, kind == 1, false};
        kiln_function *f = kiln_function_new(k, bounded_body, &use,
            &(kiln_function_options){.outputs = 2, .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("T", 1, 12), KILN_DIM("N", 1, 8), 4)}});
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            kiln_tensor *in[3], *out[2];
            inputs_new(random, shapes[i], in);
            for (int mode = 0; mode < 2; mode++) {
                kiln_eager(k, mode == 0);
                kiln_call_all(f, (kiln_operand[]){KILN_OPERAND(in[0])}, 1, out, 2);
                assert_ok(k);
                for (int j = 0; j < 2; j++) wide(KILN_OPERAND(out[j]), got[mode][j], kiln_elements(out[j]));
            }
            for (int j = 0; j < 2; j++)
                for (int64_t e = 0; e < kiln_elements(out[j]); e++) near(kinds[kind], got[1][j][e], got[0][j][e], 2e-5);
        }
        kiln_function_statistics st;
        kiln_function_stats(f, &st);
        assert_int_equal(st.traces, 1);
        kiln_function_free(f);
    }
}

/* ---- training: which symbol came first ------------------------------------------------------------------------------------------------ */
enum { SYMBOLS = 4, LENGTH = 8, BATCH = 32, TRAINED = 200 };

typedef struct Model {
    kiln_recurrent *layer;
    kiln_dense *top;
    kiln_optimizer *adam;
    kiln_variable *random;
} Model;

static void train_step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Model *m = user;
    (void)in;
    KILN_TAPE(k, tape);
    kiln_tensor *symbols = kiln_cast(kiln_uniform(m->random, KILN_F32, KILN_SHAPE(LENGTH, BATCH), 0, SYMBOLS), KILN_I32), *last;
    kiln_recurrent_apply(m->layer, kiln_one_hot(symbols, SYMBOLS, KILN_F32), &(kiln_recurrent_options){.last_h = &last});
    kiln_tensor *first = kiln_reshape(kiln_slice(symbols, 0, 0, 1, 1), KILN_SHAPE(BATCH));
    out[0] = kiln_cross_entropy(kiln_dense_apply(m->top, last), first);
    kiln_optimizer_minimize(m->adam, tape, out[0]);
}

static void train(kiln *k, bool eager, int kind, int steps, float *loss)
{
    kiln_eager(k, eager);
    KILN_SCOPE(k);
    Model m = {.random = kiln_generator(k, 3), .adam = kiln_adam(k, 0.01)};
    m.layer = layer_new(k, kind, (Shape){0, 0, SYMBOLS, 16}, m.random);
    m.top = kiln_dense_new(k, 16, SYMBOLS, m.random);
    kiln_function *f = kiln_function_new(k, train_step, &m, NULL);
    for (int i = 0; i < steps; i++) {
        KILN_SCOPE(k);
        loss[i] = (float)kiln_item(kiln_call(f));
    }
    assert_ok(k);
    kiln_function_free(f);
    kiln_recurrent_free(m.layer);
    kiln_dense_free(m.top);
    kiln_optimizer_free(m.adam);
}

static void lstm_learns_to_remember(void **state)
{
    kiln *k = *state;
    static float eager[TRAINED], traced[TRAINED];
    for (int kind = 0; kind < 3; kind++) {
        train(k, true, kind, 20, eager);
        train(k, false, kind, kind == 1 ? TRAINED : 20, traced);
        for (int i = 0; i < 20; i++)
            if (memcmp(eager + i, traced + i, sizeof *eager))
                fail_msg("%s: loss %d is %.9g eagerly and %.9g traced", kinds[kind], i, (double)eager[i], (double)traced[i]);
    }
    assert_float_equal(traced[0], log(SYMBOLS), 0.5);
    assert_true(traced[TRAINED - 1] < traced[0] / 20);
}

/* ---- names, first values, errors ------------------------------------------------------------------------------------------------------- */
static float largest(kiln_variable *w, int64_t n)
{
    static double v[MOST];
    double most = 0;
    wide(KILN_OPERAND(w), v, n);
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(v[i]));
    return (float)most;
}

static void names_and_first_values(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    float v[24];
    kiln_variable *all[4], *g = kiln_generator(k, 1);
    kiln_recurrent *a = kiln_lstm_new(k, 10, 6, g), *b = kiln_lstm_new_at(KILN_HERE, k, 10, 6, NULL, -0.5), *c = kiln_gru_new(k, 1, 2, g);
    assert_int_equal(kiln_recurrent_variables(a, all, 2), 3);
    assert_string_equal(kiln_variable_name(all[0]), "lstm/w");
    assert_string_equal(kiln_variable_name(all[1]), "lstm/u");
    for (int i = 0; i < 2; i++) {
        const float bound = sqrtf(6.0f / (i ? 12 : 16)), most = largest(all[i], i ? 6 * 24 : 10 * 24);
        assert_true(most <= bound && most > 0.9f * bound);
    }
    for (int layer = 0; layer < 2; layer++) {
        kiln_recurrent_variables(layer ? b : a, all, 4);
        assert_string_equal(kiln_variable_name(all[2]), layer ? "lstm_1/b" : "lstm/b");
        assert_true(kiln_read(all[2], v, sizeof v));
        for (int i = 0; i < 24; i++) assert_float_equal(v[i], (i / 6 != 1 ? 0 : layer ? -0.5 : 1), 0);
    }
    assert_int_equal(kiln_recurrent_variables(c, all, 4), 4);
    assert_string_equal(kiln_variable_name(all[3]), "gru/bu");
    kiln_recurrent_free(a);
    kiln_recurrent_free(NULL);
    assert_ok(k); /* b and c go with the engine */
}

static void misuse_is_named(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    kiln_recurrent *l = kiln_lstm_new(k, 4, 6, KILN_ZEROS), *g = kiln_gru_new(k, 4, 6, KILN_ZEROS);
    kiln_tensor *x = kiln_ones(k, KILN_F32, KILN_SHAPE(5, 3, 4)), *wrong = kiln_ones(k, KILN_F32, KILN_SHAPE(3, 5)), *last;
    kiln_recurrent_apply(l, wrong, NULL);
    assert_error(k, KILN_ESHAPE, "lstm: x is f32[3,5]; it must be f32[time, batch, 4]");
    kiln_recurrent_apply(l, kiln_ones(k, KILN_F32, KILN_SHAPE(5, 3, 5)), NULL);
    assert_error(k, KILN_ESHAPE, "test_recurrent.c");
    kiln_recurrent_apply(g, kiln_ones(k, KILN_F32, KILN_SHAPE(0, 3, 4)), NULL);
    assert_error(k, KILN_ESHAPE, "gru: x is f32[0,3,4]");
    kiln_recurrent_apply(l, kiln_ones(k, KILN_F64, KILN_SHAPE(5, 3, 4)), NULL);
    assert_error(k, KILN_EDTYPE, "lstm: x is f64[5,3,4]");
    kiln_recurrent_apply(l, NULL, NULL);
    assert_error(k, KILN_EVALUE, "lstm: a tensor is NULL");
    kiln_tensor *y = kiln_recurrent_apply(l, x, &(kiln_recurrent_options){.h = wrong, .last_h = &last});
    assert_error(k, KILN_ESHAPE, "lstm: h is f32[3,5]; it must be f32[3,6]");
    assert_int_equal(kiln_dtype_of(y), KILN_NONE);
    assert_int_equal(kiln_dtype_of(last), KILN_NONE);
    kiln_recurrent_apply(l, x, &(kiln_recurrent_options){.c = kiln_ones(k, KILN_F64, KILN_SHAPE(3, 6))});
    assert_error(k, KILN_EDTYPE, "lstm: c is f64[3,6]");
    kiln_recurrent_apply(g, x, &(kiln_recurrent_options){.last_c = &last});
    assert_error(k, KILN_EVALUE, "gru: this layer has a state h");
    kiln_recurrent_apply(NULL, x, NULL);
    assert_error(k, KILN_ESTATE, "the layer is NULL");
    assert_null(kiln_rnn_new(k, 0, 3, NULL));
    assert_error(k, KILN_EVALUE, "rnn: the sizes are");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(layers_follow_their_formulas), FRONT_TEST(bounded_sizes_trace_once), FRONT_TEST(gradients_match_finite_differences),
        FRONT_TEST(bounded_gradients_trace_once),
        FRONT_TEST(lstm_learns_to_remember), FRONT_TEST(names_and_first_values), FRONT_TEST(misuse_is_named),
    };
    return cmocka_run_group_tests_name("recurrent", tests, front_needs_llvm, NULL);
}
