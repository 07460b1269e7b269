/* draw: values for a model's inputs of which a command line says nothing. */
#ifndef KILN_FRONTEND_CLI_DRAW_H
#define KILN_FRONTEND_CLI_DRAW_H

#include "value.h"

/* Gives each input without a value one that is drawn: floats from the normal distribution, whole numbers and bools 0 or 1, so that
 * they are indices into anything; sizes that are open are those of --dim, or 1. The same seed draws the same. An Exit. */
int model_draw(kiln *k, const ModelOptions *o, Model *model, uint64_t seed);
/* The open sizes, each with the value that the inputs have: "NAME=SIZE, NAME=SIZE". */
void model_sizes_text(const Model *model, char *to, size_t cap);
/* The same as sizes for kiln_onnx_declared; returns how many, at most cap. Names lie in `name`, `bytes` of it. */
int model_sizes(const Model *model, kiln_onnx_size *to, int cap, char *name, size_t bytes);

#endif
