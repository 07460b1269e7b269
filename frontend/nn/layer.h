/* layer: what the files of layers share: names, first values and messages of their variables. */
#ifndef KILN_FRONTEND_NN_LAYER_H
#define KILN_FRONTEND_NN_LAYER_H

#include <kiln/nn.h>

#include "../engine/engine.h"

/* "dense", "dense_1", ...: the first such name that no living variable's begins with, so that models built alike have
 * the same names and files of weights find them again. Returns to. */
const char *layer_name(kiln *k, const char *stem, char to[32]);
const char *layer_name_in(const char *layer, const char *what, char to[48]); /* "dense_1/w" */

/* Where a layer's first values come from: a generator, the engine's own (NULL), or zeros (KILN_ZEROS). Between the two what the
 * layer's variables need is drawn; without `made` the generator is as it was before. */
typedef struct LayerDraws {
    kiln_variable *generator;
    kiln_tensor *before;
    uint64_t own, drawn; /* from the engine's own: its count before, and how many of them were this layer's */
} LayerDraws;
LayerDraws layer_draws_begin(Thread *t, kiln_variable *generator);
void layer_draws_end(Thread *t, LayerDraws *d, bool made);

/* Glorot & Bengio 2010: uniform in +-sqrt(6 / (fan in + fan out)). NULL: recorded. */
kiln_variable *layer_glorot(kiln_site at, kiln *k, kiln_dtype dtype, const char *name, kiln_shape s, double fan_in,
    double fan_out, LayerDraws *from);
kiln_variable *layer_zeros(kiln_site at, kiln *k, kiln_dtype dtype, const char *name, int64_t n); /* [n] */
/* x or a layer's variable in the type that its dtype computes in, so that what the layer makes of it rounds once. */
kiln_operand layer_wide(kiln_site at, kiln_operand x);
/* The variables of a layer may be of this dtype: a float. False: recorded. */
bool layer_dtype_ok(kiln *k, kiln_site at, const char *what, kiln_dtype dtype);

bool layer_sizes_ok(
    kiln *k, kiln_site at, const char *what, int64_t a, int64_t b); /* positive; false: recorded */
kiln_tensor *layer_missing(
    kiln_site at, const char *what); /* records that the layer is NULL; poison */

#endif
