/* batchnorm: the layer of batch normalisation: what kiln_batchnorm computes, and variables for its running statistics. Relies on
 * public operations. Never touches elements itself. */
#include "layer.h"

#include "../ops/ops.h"

#include <math.h>
#include <stdio.h>

#define OP1(name, x) of(kiln_##name##_at(at, x))
#define OP2(name, x, y) of(kiln_##name##_at(at, x, y))

struct kiln_batchnorm {
    Object o;
    kiln_variable *v[4]; /* scale, shift, mean, variance */
    kiln_batchnorm_options options;
};
enum { SCALE, SHIFT, MEAN, VARIANCE };

static kiln_variable *filled(kiln_site at, kiln *k, kiln_dtype dtype, const char *name, int64_t n, int64_t value)
{
    kiln_scope scope = kiln_scope_open(k);
    kiln_tensor *init = kiln_full_at(at, k, dtype, KILN_SHAPE(n), kiln_of_i(value));
    kiln_variable *v = kiln_variable_new_at(at, k, name, of(init));
    kiln_scope_close(&scope);
    return v;
}

static bool options_fit(kiln *k, kiln_site at, kiln_batchnorm_options *o)
{
    Thread *t = thread_of(k);
    if (o->dtype == KILN_NONE) o->dtype = KILN_F32;
    if (o->momentum == 0) o->momentum = 0.1;
    if (!layer_dtype_ok(k, at, "batchnorm", o->dtype)) return false;
    if (!(o->momentum > 0 && o->momentum <= 1))
        return fail(t, at, KILN_EVALUE, "batchnorm: the momentum is %g; it must lie in (0, 1]", o->momentum), false;
    if (o->epsilon >= 0 && isfinite(o->epsilon)) return true;
    return fail(t, at, KILN_EVALUE, "batchnorm: epsilon is %g; it must be a finite number, 0 or more", o->epsilon), false;
}

kiln_batchnorm *kiln_batchnorm_new_sized(
    kiln_site at, kiln *k, int64_t channels, const kiln_batchnorm_options *options, size_t size)
{
    static const char *const what[4] = {"scale", "shift", "mean", "variance"};
    kiln_batchnorm_options o = {0};
    char stem[32], name[48];
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    if (!layer_sizes_ok(k, at, "batchnorm", channels, 1) || !options_fit(k, at, &o)) return NULL;
    kiln_batchnorm *layer = object_new(at, k, sizeof *layer, NULL);
    if (!layer) return NULL;
    layer->options = o;
    layer_name(k, "batchnorm", stem);
    Thread *t = thread_of(k);
    Composite c = composite_begin(t, "batchnorm");
    bool made = true;
    for (int i = 0; i < 4; i++) {
        layer->v[i] = filled(at, k, o.dtype, layer_name_in(stem, what[i], name), channels, i == SCALE || i == VARIANCE);
        made = made && layer->v[i];
        if (layer->v[i] && i >= MEAN) layer->v[i]->unwatched = true;
    }
    made = made && composite_well(t, &c);
    composite_end(t, &c, NULL);
    if (made) return layer;
    kiln_batchnorm_free(layer);
    return NULL;
}

/* How many elements a channel has, as a scalar of d. */
static kiln_operand count_of(Thread *t, kiln_site at, const kiln_tensor *x, int axis, DType d)
{
    Dim n = 1;
    char why[64];
    for (int i = 0; i < x->type.rank; i++)
        if (i != axis) n = extent(t, at, EXTENT_MUL, n, x->type.dim[i]);
    if (n != DIM_BAD) return of(dim_tensor(t, at, n, d));
    return of(fail(t, at, KILN_ESHAPE, "batchnorm: the number of elements %s", extent_trouble(t, why, sizeof why)));
}

/* The running statistics after this batch's, in the type that is computed in. No gradient flows through them. */
static kiln_operand running(Thread *t, kiln_site at, const kiln_batchnorm *l, kiln_variable *v, kiln_tensor *batch, kiln_operand n)
{
    kiln_operand old = layer_wide(at, kiln_of_variable(v)), now = OP1(stop_gradient, of(batch));
    if (v == l->v[VARIANCE] && !l->options.biased) {
        kiln_operand many = OP2(gt, n, kiln_of_i(1)), less = OP2(max, OP2(sub, n, kiln_of_i(1)), kiln_of_i(1));
        now = of(kiln_where_at(at, many, OP2(div, OP2(mul, now, n), less), old));
    }
    now = OP2(add, old, OP2(mul, OP2(sub, now, old), kiln_of_f(l->options.momentum)));
    return of(tensor_ok(now.as.tensor) ? cast_to(t, at, now.as.tensor, (DType)v->type.dtype) : now.as.tensor);
}

/* on: a bool scalar, or NULL for true. */
static void update(Thread *t, kiln_site at, kiln_batchnorm *l, const Composite *c, kiln_tensor *x, int axis,
    kiln_tensor *const batch[2], kiln_tensor *on)
{
    Assignment both[2];
    const uint32_t recording = t->recording;
    if (!composite_well(t, c)) return;
    if (!t->trace) t->recording = 0;
    kiln_operand n = count_of(t, at, x, axis, (DType)batch[0]->type.dtype);
    for (int i = 0; i < 2; i++) {
        kiln_variable *v = l->v[MEAN + i];
        kiln_operand now = running(t, at, l, v, batch[i], n);
        if (on) now = of(kiln_where_at(at, of(on), now, kiln_of_variable(v)));
        both[i] = (Assignment){v, now.as.tensor};
    }
    if (composite_well(t, c)) assign_all(t, at, both, 2);
    t->recording = recording;
}

static kiln_tensor *apply_layer(
    Thread *t, kiln_site at, kiln_batchnorm *l, const Composite *c, kiln_tensor *x, kiln_operand training)
{
    char text[160];
    const double epsilon = l->options.epsilon;
    const kiln_operand scale = kiln_of_variable(l->v[SCALE]), shift = kiln_of_variable(l->v[SHIFT]);
    kiln_operand old[2] = {kiln_of_variable(l->v[MEAN]), kiln_of_variable(l->v[VARIANCE])};
    kiln_tensor *batch[2], *on = NULL;
    int axis;
    if (!axis_of(t, at, "batchnorm", l->options.axis ? l->options.axis : -1, x->type.rank, &axis)) return &t->k->poison;
    const bool known = training.kind == 6 || training.kind == 4;
    if (known && !training.as.i) return kiln_batchnorm_at(at, of(x), old[0], old[1], scale, shift, axis, epsilon);
    if (!known) {
        on = operand_named(t, at, "batchnorm", training, NULL);
        if (!tensor_ok(on)) return on;
        if (on->type.rank != 0 || on->type.dtype != DT_bool)
            return fail(t, at, on->type.dtype != DT_bool ? KILN_EDTYPE : KILN_ESHAPE,
                "batchnorm: whether it is training must be a bool scalar, not %s", tensor_text(on, text, sizeof text));
    }
    kiln_tensor *y = kiln_batchnorm_training_at(at, of(x), scale, shift, axis, epsilon, &batch[0], &batch[1]);
    if (!tensor_ok(y) || !tensor_ok(batch[0]) || !tensor_ok(batch[1])) return &t->k->poison;
    if (on) { /* the statistics that it asks for; the bits are those of either way */
        for (int i = 0; i < 2; i++)
            old[i] = of(kiln_where_at(at, of(on), of(batch[i]), layer_wide(at, kiln_of_variable(l->v[MEAN + i]))));
        y = kiln_batchnorm_at(at, of(x), old[0], old[1], scale, shift, axis, epsilon);
    }
    update(t, at, l, c, x, axis, batch, on);
    return y;
}

kiln_tensor *kiln_batchnorm_apply_at(kiln_site at, kiln_batchnorm *layer, kiln_operand o, kiln_operand training)
{
    if (!layer) return layer_missing(at, "batchnorm");
    Thread *t = thread_of(layer->o.k);
    Composite c = composite_begin(t, "batchnorm");
    kiln_tensor *x = operand_float(t, at, "batchnorm", o);
    kiln_tensor *y = tensor_ok(x) ? apply_layer(t, at, layer, &c, x, training) : x;
    return composite_end(t, &c, composite_well(t, &c) ? y : &t->k->poison);
}

int kiln_batchnorm_variables(kiln_batchnorm *layer, kiln_variable **v, int cap)
{
    for (int i = 0; layer && v && i < 4 && i < cap; i++) v[i] = layer->v[i];
    return layer ? 4 : 0;
}

void kiln_batchnorm_free(kiln_batchnorm *layer)
{
    if (!layer) return;
    for (int i = 0; i < 4; i++) kiln_variable_free(layer->v[i]);
    object_free(&layer->o);
}
