/* recurrent: simple, LSTM and GRU layers: variables, one product for all inputs, and a scan over time. Relies on public operations
 * and kiln_scan. Never touches elements itself. */
#include "layer.h"

#include <math.h>

#include "../ops/ops.h"

#include <stdio.h>

typedef struct Kind Kind;
typedef struct Cell { /* what one step of the scan captures */
    kiln_site at;
    const Kind *kind;
    int64_t units;
    kiln_tensor *u, *bu;
} Cell;

struct Kind {
    const char *name;
    int64_t gates;
    int states;                                                             /* 1: h; 2: h and c */
    bool second_bias;                                                       /* the recurrent product has a bias of its own */
    void (*step)(const Cell *s, kiln_tensor *const *in, kiln_tensor **out); /* (index, h, [c], inputs' product) -> (h, [c], h) */
};

struct kiln_recurrent {
    Object o;
    const Kind *kind;
    int64_t inputs, units;
    kiln_dtype dtype;
    kiln_variable *w, *u, *b, *bu; /* bu: NULL without a second bias */
    char name[32];
};

/* ---- steps ---------------------------------------------------------------------------------- */
static kiln_operand product(const Cell *s, kiln_tensor *h) { return of(kiln_matmul_at(s->at, of(h), of(s->u))); }

static kiln_operand add(const Cell *s, kiln_operand x, kiln_operand y) { return of(kiln_add_at(s->at, x, y)); }

static kiln_operand mul(const Cell *s, kiln_operand x, kiln_operand y) { return of(kiln_mul_at(s->at, x, y)); }

static kiln_operand sigmoid(const Cell *s, kiln_operand x) { return of(kiln_sigmoid_at(s->at, x)); }

static kiln_operand gate(const Cell *s, kiln_operand x, int64_t i)
{
    return of(kiln_slice_at(s->at, x, 1, i * s->units, (i + 1) * s->units, 1));
}

static void simple_step(const Cell *s, kiln_tensor *const *in, kiln_tensor **out)
{
    out[0] = out[1] = kiln_tanh_at(s->at, add(s, of(in[2]), product(s, in[1])));
}

static void lstm_step(const Cell *s, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_operand a = add(s, of(in[3]), product(s, in[1]));
    kiln_operand i = sigmoid(s, gate(s, a, 0)), f = sigmoid(s, gate(s, a, 1));
    kiln_operand g = of(kiln_tanh_at(s->at, gate(s, a, 2))), o = sigmoid(s, gate(s, a, 3));
    kiln_operand c = add(s, mul(s, f, of(in[2])), mul(s, i, g));
    out[1] = c.as.tensor;
    out[0] = out[2] = mul(s, o, of(kiln_tanh_at(s->at, c))).as.tensor;
}

static void gru_step(const Cell *s, kiln_tensor *const *in, kiln_tensor **out)
{
    kiln_operand x = of(in[2]), p = add(s, product(s, in[1]), of(s->bu));
    kiln_operand r = sigmoid(s, add(s, gate(s, x, 0), gate(s, p, 0)));
    kiln_operand z = sigmoid(s, add(s, gate(s, x, 1), gate(s, p, 1)));
    kiln_operand n = of(kiln_tanh_at(s->at, add(s, gate(s, x, 2), mul(s, r, gate(s, p, 2)))));
    kiln_operand apart = of(kiln_sub_at(s->at, of(in[1]), n));
    out[0] = out[1] = add(s, n, mul(s, z, apart)).as.tensor;
}

static const Kind simple = {"rnn", 1, 1, false, simple_step}, lstm = {"lstm", 4, 2, false, lstm_step},
                  gru = {"gru", 3, 1, true, gru_step};

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Cell *s = user;
    Thread *t = thread_of(k);
    const char *outer = t->called;
    t->called = s->kind->name;
    s->kind->step(s, in, out);
    t->called = outer;
}

/* ---- layers --------------------------------------------------------------------------------- */
static kiln_variable *weights(kiln_site at, kiln_recurrent *l, const char *what, int64_t rows, LayerDraws *from)
{
    char name[48];
    return layer_glorot(at, l->o.k, l->dtype, layer_name_in(l->name, what, name), KILN_SHAPE(rows, l->kind->gates * l->units),
        (double)rows, (double)l->units, from);
}

static kiln_variable *bias(kiln_site at, kiln_recurrent *l, const char *what)
{
    char name[48];
    return layer_zeros(at, l->o.k, l->dtype, layer_name_in(l->name, what, name), l->kind->gates * l->units);
}

/* b of an LSTM's second gate. */
static void forget_from(kiln_site at, kiln_recurrent *l, double forget_bias)
{
    kiln_tensor *f = kiln_full_at(at, l->o.k, l->dtype, KILN_SHAPE(l->units), kiln_of_f(forget_bias));
    kiln_assign_at(at, l->b, of(kiln_pad_at(at, of(f), KILN_SHAPE(l->units), KILN_SHAPE(2 * l->units), kiln_of_i(0))));
}

static kiln_recurrent *make(kiln_site at, kiln *k, kiln_dtype dtype, const Kind *kind, int64_t inputs, int64_t units,
    kiln_variable *generator, double forget_bias)
{
    if (!layer_sizes_ok(k, at, kind->name, inputs, units) || !layer_dtype_ok(k, at, kind->name, dtype)) return NULL;
    kiln_recurrent *l = object_new(at, k, sizeof *l, NULL);
    if (!l) return NULL;
    l->kind = kind;
    l->dtype = dtype;
    l->inputs = inputs;
    l->units = units;
    layer_name(k, kind->name, l->name);
    Thread *t = thread_of(k);
    Composite c = composite_begin(t, kind->name);
    LayerDraws from = layer_draws_begin(t, generator);
    l->w = weights(at, l, "w", inputs, &from);
    l->u = weights(at, l, "u", units, &from);
    l->b = bias(at, l, "b");
    if (kind->second_bias) l->bu = bias(at, l, "bu");
    if (l->b && forget_bias != 0) forget_from(at, l, forget_bias);
    const bool made = l->w && l->u && l->b && (l->bu || !kind->second_bias) && composite_well(t, &c);
    layer_draws_end(t, &from, made);
    composite_end(t, &c, NULL);
    if (made) return l;
    kiln_recurrent_free(l);
    return NULL;
}

kiln_recurrent *kiln_rnn_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator)
{
    return kiln_rnn_of_at(at, k, KILN_F32, inputs, units, generator);
}

kiln_recurrent *kiln_rnn_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units, kiln_variable *generator)
{
    return make(at, k, dtype, &simple, inputs, units, generator, 0);
}

kiln_recurrent *kiln_gru_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator)
{
    return kiln_gru_of_at(at, k, KILN_F32, inputs, units, generator);
}

kiln_recurrent *kiln_gru_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units, kiln_variable *generator)
{
    return make(at, k, dtype, &gru, inputs, units, generator, 0);
}

kiln_recurrent *kiln_lstm_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator, double forget_bias)
{
    return kiln_lstm_of_at(at, k, KILN_F32, inputs, units, generator, forget_bias);
}

kiln_recurrent *kiln_lstm_of_at(
    kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units, kiln_variable *generator, double forget_bias)
{
    if (!isfinite(forget_bias))
        return fail(thread_of(k), at, KILN_EVALUE, "lstm: forget_bias is %g; it must be a finite number", forget_bias), NULL;
    return make(at, k, dtype, &lstm, inputs, units, generator, forget_bias);
}

int kiln_recurrent_variables(kiln_recurrent *layer, kiln_variable **v, int cap)
{
    if (!layer) return 0;
    kiln_variable *const all[] = {layer->w, layer->u, layer->b, layer->bu};
    const int n = layer->bu ? 4 : 3;
    if (!v && cap > 0) cap = list_there(thread_of(layer->o.k), (kiln_site){NULL, 0}, "recurrent_variables", v, cap);
    for (int i = 0; i < n && i < cap; i++) v[i] = all[i];
    return n;
}

void kiln_recurrent_free(kiln_recurrent *layer)
{
    if (!layer) return;
    kiln_variable *v[4];
    const int n = kiln_recurrent_variables(layer, v, 4);
    for (int i = 0; i < n; i++) kiln_variable_free(v[i]);
    object_free(&layer->o);
}

/* ---- application ---------------------------------------------------------------------------- */
static bool usable(Thread *t, kiln_site at, const kiln_recurrent *l, const char *what, const kiln_tensor *x)
{
    if (tensor_ok(x) && x->k == t->k) return true;
    if (!x || x->state != TENSOR_POISON)
        fail(t, at, KILN_ESTATE, "%s: %s is NULL, closed or of another engine", l->kind->name, what);
    return false;
}

static bool input_ok(Thread *t, kiln_site at, const kiln_recurrent *l, const kiln_tensor *x)
{
    char text[96];
    if (!usable(t, at, l, "x", x)) return false;
    bool shape = x->type.rank == 3 && x->type.dim[2] == l->inputs && x->type.dim[0] != 0;
    if (shape && x->type.dtype == (uint8_t)l->dtype) return true;
    fail(t, at, shape ? KILN_EDTYPE : KILN_ESHAPE, "%s: x is %s; it must be %s[time, batch, %lld] of at least one step",
        l->kind->name, tensor_text(x, text, sizeof text), kiln_dtype_name(l->dtype), (long long)l->inputs);
    return false;
}

/* The first state: the given one, checked, or zeros. NULL: recorded. */
static kiln_tensor *state(Thread *t, kiln_site at, const kiln_recurrent *l, const char *what, kiln_tensor *given, const Type *type)
{
    char a[96], b[96];
    if (!given) return number_like(t, at, l->kind->name, type, kiln_of_i(0));
    if (!usable(t, at, l, what, given)) return NULL;
    if (type_equal(&given->type, type)) return given;
    type_print(module_of(t) ? &module_of(t)->dims : NULL, type, b, sizeof b);
    fail(t, at, given->type.dtype == type->dtype ? KILN_ESHAPE : KILN_EDTYPE, "%s: %s is %s; it must be %s, [batch, units]",
        l->kind->name, what, tensor_text(given, a, sizeof a), b);
    return NULL;
}

static bool first_states(
    Thread *t, kiln_site at, const kiln_recurrent *l, const kiln_recurrent_options *o, const Type *x, kiln_tensor **first)
{
    const Type type = {.dtype = (uint8_t)l->dtype, .rank = 2, .dim = {x->dim[1], l->units}};
    if (l->kind->states == 1 && (o->c || o->last_c)) {
        fail(t, at, KILN_EVALUE, "%s: this layer has a state h, but no c", l->kind->name);
        return false;
    }
    first[0] = state(t, at, l, "h", o->h, &type);
    if (l->kind->states > 1) first[1] = state(t, at, l, "c", o->c, &type);
    return tensor_ok(first[0]) && (l->kind->states == 1 || tensor_ok(first[1]));
}

static kiln_tensor *run(
    Thread *t, kiln_site at, kiln_recurrent *l, kiln_tensor *x, const kiln_recurrent_options *o, kiln_tensor **last)
{
    kiln_tensor *first[2], *ys;
    if (!input_ok(t, at, l, x) || !first_states(t, at, l, o, &x->type, first)) return &t->k->poison;
    for (int i = 0; i < l->kind->states; i++) first[i] = layer_wide(at, of(first[i])).as.tensor;
    kiln_tensor *xs = kiln_matmul_at(at, layer_wide(at, of(x)), layer_wide(at, kiln_of_variable(l->w)));
    xs = kiln_add_at(at, of(xs), layer_wide(at, kiln_of_variable(l->b)));
    Cell s = {.at = at, .kind = l->kind, .units = l->units, .u = layer_wide(at, kiln_of_variable(l->u)).as.tensor};
    if (l->bu) s.bu = layer_wide(at, kiln_of_variable(l->bu)).as.tensor;
    const kiln_scan_options scan = {
        .carries = first, .carries_count = l->kind->states, .xs = &xs, .xs_count = 1, .ys_count = 1, .reverse = o->reverse};
    if (!kiln_scan_sized(at, t->k, step, &scan, last, &ys, &s, sizeof scan)) return &t->k->poison;
    for (int i = 0; i < l->kind->states; i++) last[i] = cast_to(t, at, last[i], (DType)l->dtype);
    return cast_to(t, at, ys, (DType)l->dtype);
}

kiln_tensor *kiln_recurrent_apply_sized(
    kiln_site at, kiln_recurrent *layer, kiln_operand x, const kiln_recurrent_options *options, size_t size)
{
    kiln_recurrent_options o = {0};
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    Thread *t = layer ? thread_of(layer->o.k) : thread_last();
    if (!t) return NULL;
    kiln_tensor *last[2] = {&t->k->poison, &t->k->poison}, **to[2] = {o.last_h, o.last_c};
    kiln_tensor *ys = &t->k->poison;
    Composite c = composite_begin(t, layer ? layer->kind->name : "recurrent");
    if (layer)
        ys = run(t, at, layer, operand_named(t, at, layer->kind->name, x, NULL), &o, last);
    else
        layer_missing(at, "recurrent");
    for (int i = 0; i < 2; i++) {
        if (!to[i]) continue;
        if (tensor_ok(last[i])) kiln_keep(last[i]);
        *to[i] = last[i];
    }
    return composite_end(t, &c, ys);
}
