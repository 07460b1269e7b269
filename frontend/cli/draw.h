/* draw: values for a model's inputs of which a command line says nothing. */
#ifndef KILN_FRONTEND_CLI_DRAW_H
#define KILN_FRONTEND_CLI_DRAW_H

#include "value.h"

/* Gives each input without a value one that is drawn: floats from the normal distribution, whole numbers and bools 0 or 1, so that
 * they are indices into anything; sizes that are open are those of --dim, or 1. A sequence has as many tensors as --dim says of its
 * name; of an optional of which nothing is said there is nothing. The same seed draws the same. An Exit. */
int model_draw(kiln *k, const ModelOptions *o, Model *model, uint64_t seed);
/* The open sizes, each with the value that the inputs have: "NAME=SIZE, NAME=SIZE". */
void model_sizes_text(const Model *model, char *to, size_t cap);
/* The same as sizes for kiln_onnx_declared; returns how many, at most cap. Names lie in `name`, `bytes` of it. */
int model_sizes(const Model *model, kiln_onnx_size *to, int cap, char *name, size_t bytes);

/* A declaration of just these inputs, each tensor of a list by itself. It points into itself: it stays where it is. */
typedef struct JustThese {
    kiln_onnx_declaration d;
    kiln_onnx_fixed fixed[VALUES], example[VALUES];
    kiln_onnx_size count[VALUES];
    char name[VALUES][160];
    kiln_tensor *flat[VALUES]; /* the tensors, n of them */
    int n;
} JustThese;
bool model_just_these(const Model *model, const Parts *in, int nin, JustThese *to); /* false: more than VALUES tensors */

#endif
