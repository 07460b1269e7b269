/* layers: dense and convolution layers: variables, and composites of public ops over them. Never touches elements itself. */
#include "layer.h"

#include "../ops/ops.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

struct kiln_dense {
    Object o;
    kiln_variable *w, *b;
    int64_t inputs;
};

struct kiln_conv {
    Object o;
    kiln_variable *w, *b;
    kiln_window window;
};

LayerDraws layer_draws_begin(Thread *t, kiln_variable *generator)
{
    return (LayerDraws){.generator = generator, .before = variable_remember(t, generator), .own = t->k->own_draws};
}

void layer_draws_end(Thread *t, LayerDraws *d, bool made)
{
    uint64_t now = d->own + d->drawn; /* if another thread has drawn meanwhile, the draws cannot be undone */
    variable_recall(d->generator, d->before, !made);
    if (!made) atomic_compare_exchange_strong(&t->k->own_draws, &now, d->own);
}

kiln_variable *layer_glorot(
    kiln_site at, kiln *k, kiln_dtype dtype, const char *name, kiln_shape s, double fan_in, double fan_out, LayerDraws *from)
{
    kiln_scope scope = kiln_scope_open(k);
    double limit = sqrt(6 / (fan_in + fan_out));
    kiln_tensor *init;
    if (from->generator == KILN_ZEROS)
        init = kiln_full_at(at, k, dtype, s, kiln_of_i(0));
    else if (from->generator)
        init = kiln_uniform_at(at, from->generator, dtype, s, -limit, limit);
    else
        init = uniform_own(thread_of(k), at, dtype, s, -limit, limit), from->drawn++;
    kiln_variable *w = kiln_variable_new_at(at, k, name, kiln_of_tensor(init));
    kiln_scope_close(&scope);
    return w;
}

kiln_variable *layer_zeros(kiln_site at, kiln *k, kiln_dtype dtype, const char *name, int64_t n)
{
    kiln_scope scope = kiln_scope_open(k);
    kiln_tensor *init = kiln_full_at(at, k, dtype, KILN_SHAPE(n), kiln_of_i(0));
    kiln_variable *b = kiln_variable_new_at(at, k, name, kiln_of_tensor(init));
    kiln_scope_close(&scope);
    return b;
}

bool layer_sizes_ok(kiln *k, kiln_site at, const char *what, int64_t a, int64_t b)
{
    if (a > 0 && b > 0) return true;
    fail(thread_of(k), at, KILN_EVALUE, "%s: the sizes are %lld and %lld; they must be at least 1", what, (long long)a,
        (long long)b);
    return false;
}

bool layer_dtype_ok(kiln *k, kiln_site at, const char *what, kiln_dtype dtype)
{
    if (dtype_known((int)dtype) && dtype_is_float((DType)dtype)) return true;
    fail(thread_of(k), at, KILN_EDTYPE, "%s: the dtype is %s; it must be a float", what, kiln_dtype_name(dtype));
    return false;
}

kiln_operand layer_wide(kiln_site at, kiln_operand x)
{
    Thread *t = op_thread(&x, 1);
    kiln_tensor *v = t ? operand_named(t, at, "layer", x, NULL) : NULL;
    return of(tensor_ok(v) ? cast_to(t, at, v, wide_dtype(v)) : v);
}

/* y + b, computed wide, then cast to the dtype that x and w promote to. */
static kiln_tensor *with_bias(
    Thread *t, kiln_site at, Composite *c, kiln_tensor *y, kiln_tensor *x, const kiln_variable *w, kiln_variable *b)
{
    y = kiln_add_at(at, of(y), layer_wide(at, kiln_of_variable(b)));
    const DType d = tensor_ok(x) ? dtype_promote((DType)x->type.dtype, (DType)w->type.dtype) : DT_NONE;
    return composite_end(t, c, d ? cast_to(t, at, y, d) : y);
}

kiln_tensor *layer_missing(kiln_site at, const char *what)
{
    return fail(thread_last(), at, KILN_ESTATE, "%s: the layer is NULL", what);
}

/* ---- dense ------------------------------------------------------------------------------------------------ */
kiln_dense *kiln_dense_new_at(kiln_site at, kiln *k, int64_t inputs, int64_t units, kiln_variable *generator)
{
    return kiln_dense_of_at(at, k, KILN_F32, inputs, units, generator);
}

kiln_dense *kiln_dense_of_at(kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t units, kiln_variable *generator)
{
    if (!layer_sizes_ok(k, at, "dense", inputs, units) || !layer_dtype_ok(k, at, "dense", dtype)) return NULL;
    kiln_dense *layer = object_new(at, k, sizeof *layer, NULL);
    if (!layer) return NULL;
    layer->inputs = inputs;
    char stem[32], name[48];
    layer_name(k, "dense", stem);
    Thread *t = thread_of(k);
    Composite c = composite_begin(t, "dense");
    LayerDraws from = layer_draws_begin(t, generator);
    layer->w =
        layer_glorot(at, k, dtype, layer_name_in(stem, "w", name), KILN_SHAPE(inputs, units), (double)inputs, (double)units, &from);
    layer->b = layer_zeros(at, k, dtype, layer_name_in(stem, "b", name), units);
    const bool made = layer->w && layer->b && composite_well(t, &c);
    layer_draws_end(t, &from, made);
    composite_end(t, &c, NULL);
    if (made) return layer;
    kiln_dense_free(layer);
    return NULL;
}

kiln_tensor *kiln_dense_apply_at(kiln_site at, kiln_dense *layer, kiln_operand o)
{
    if (!layer) return layer_missing(at, "dense");
    Thread *t = thread_of(layer->o.k);
    Composite c = composite_begin(t, "dense");
    kiln_tensor *x = operand_named(t, at, "dense", o, NULL);
    kiln_tensor *y = kiln_matmul_at(at, layer_wide(at, of(x)), layer_wide(at, kiln_of_variable(layer->w)));
    return with_bias(t, at, &c, y, x, layer->w, layer->b);
}

kiln_variable *kiln_dense_weight(kiln_dense *layer) { return layer ? layer->w : NULL; }

kiln_variable *kiln_dense_bias(kiln_dense *layer) { return layer ? layer->b : NULL; }

void kiln_dense_free(kiln_dense *layer)
{
    if (!layer) return;
    kiln_variable_free(layer->w);
    kiln_variable_free(layer->b);
    object_free(&layer->o);
}

/* ---- convolution -------------------------------------------------------------------------------------------- */
kiln_conv *kiln_conv_new_at(
    kiln_site at, kiln *k, int64_t inputs, int64_t filters, const kiln_window *window, kiln_variable *generator)
{
    return kiln_conv_of_at(at, k, KILN_F32, inputs, filters, window, generator);
}

kiln_conv *kiln_conv_of_at(
    kiln_site at, kiln *k, kiln_dtype dtype, int64_t inputs, int64_t filters, const kiln_window *window, kiln_variable *generator)
{
    if (!window) {
        fail(thread_of(k), at, KILN_EVALUE, "conv: the window (filter size) is NULL");
        return NULL;
    }
    int64_t kh = window->size[0], kw = window->size[1], groups = window->groups ? window->groups : 1;
    if (!layer_sizes_ok(k, at, "conv", inputs, filters) || !layer_sizes_ok(k, at, "conv", kh, kw) ||
        !layer_sizes_ok(k, at, "conv", groups, inputs / groups) || !layer_dtype_ok(k, at, "conv", dtype))
        return NULL;
    kiln_conv *layer = object_new(at, k, sizeof *layer, NULL);
    if (!layer) return NULL;
    layer->window = *window;
    double area = (double)kh * (double)kw;
    char stem[32], name[48];
    layer_name(k, "conv", stem);
    Thread *t = thread_of(k);
    Composite c = composite_begin(t, "conv");
    LayerDraws from = layer_draws_begin(t, generator);
    layer->w = layer_glorot(at, k, dtype, layer_name_in(stem, "filters", name), KILN_SHAPE(kh, kw, inputs / groups, filters),
        area * (double)(inputs / groups), area * (double)filters, &from);
    layer->b = layer_zeros(at, k, dtype, layer_name_in(stem, "b", name), filters);
    const bool made = layer->w && layer->b && composite_well(t, &c);
    layer_draws_end(t, &from, made);
    composite_end(t, &c, NULL);
    if (made) return layer;
    kiln_conv_free(layer);
    return NULL;
}

kiln_tensor *kiln_conv_apply_at(kiln_site at, kiln_conv *layer, kiln_operand o)
{
    if (!layer) return layer_missing(at, "conv");
    Thread *t = thread_of(layer->o.k);
    Composite c = composite_begin(t, "conv");
    kiln_tensor *x = operand_named(t, at, "conv", o, NULL);
    kiln_tensor *y = kiln_conv2d_sized(
        at, layer_wide(at, of(x)), layer_wide(at, kiln_of_variable(layer->w)), &layer->window, sizeof layer->window);
    return with_bias(t, at, &c, y, x, layer->w, layer->b);
}

kiln_variable *kiln_conv_filters(kiln_conv *layer) { return layer ? layer->w : NULL; }

kiln_variable *kiln_conv_bias(kiln_conv *layer) { return layer ? layer->b : NULL; }

void kiln_conv_free(kiln_conv *layer)
{
    if (!layer) return;
    kiln_variable_free(layer->w);
    kiln_variable_free(layer->b);
    object_free(&layer->o);
}

kiln_tensor *kiln_global_avg_pool_at(kiln_site at, kiln_operand x)
{
    Thread *t = op_thread(&x, 1);
    if (!t) return NULL;
    Composite c = composite_begin(t, "global_avg_pool");
    return composite_end(t, &c, kiln_mean_at(at, x, KILN_AXES(1, 2)));
}
