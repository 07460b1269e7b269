/* layer: what the files of layers share: their variables' names, first values and messages. */
#ifndef KILN_FRONTEND_NN_LAYER_H
#define KILN_FRONTEND_NN_LAYER_H

#include <kiln/nn.h>

#include "../engine/engine.h"

/* Stores in `to`, and returns, the first of "dense", "dense_1", ... with which no living variable's name begins. So models built
 * alike have the same names, and files of weights find them again. */
const char *layer_name(kiln *k, const char *stem, char to[32]);
const char *layer_name_in(const char *layer, const char *what, char to[48]); /* "dense_1/w" */

/* The source of a layer's first values: a generator, the engine's own (NULL), or zeros (KILN_ZEROS). The layer's variables are
 * drawn between the two calls; if the second has no `made`, the generator is as it was before. */
typedef struct LayerDraws {
    kiln_variable *generator;
    kiln_tensor *before;
    uint64_t own, drawn; /* the count of the engine's own generator before, and how many draws this layer made */
} LayerDraws;
LayerDraws layer_draws_begin(Thread *t, kiln_variable *generator);
void layer_draws_end(Thread *t, LayerDraws *d, bool made);

/* Glorot & Bengio 2010: uniform in +-sqrt(6 / (fan in + fan out)). NULL: recorded. */
kiln_variable *layer_glorot(
    kiln_site at, kiln *k, kiln_dtype dtype, const char *name, kiln_shape s, double fan_in, double fan_out, LayerDraws *from);
kiln_variable *layer_zeros(kiln_site at, kiln *k, kiln_dtype dtype, const char *name, int64_t n); /* [n] */
/* x or a layer's variable in its compute type, so that what the layer makes of it rounds once. */
kiln_operand layer_wide(kiln_site at, kiln_operand x);
/* Whether a layer's variables may have this dtype, which must be a float. False: recorded. */
bool layer_dtype_ok(kiln *k, kiln_site at, const char *what, kiln_dtype dtype);

bool layer_sizes_ok(kiln *k, kiln_site at, const char *what, int64_t a, int64_t b); /* positive; false: recorded */
kiln_tensor *layer_missing(kiln_site at, const char *what);                         /* records that the layer is NULL; poison */

#endif
