/* compile_model: what `kiln compile` is told of an ONNX model. */
#ifndef KILN_FRONTEND_CLI_COMPILE_MODEL_H
#define KILN_FRONTEND_CLI_COMPILE_MODEL_H

#include <kiln/aot.h>

#include "value.h"

typedef struct CompileModel {
    ModelOptions model;
    kiln_aot_options aot;
    const char *folder;
    bool example;
} CompileModel;

int compile_model(const CompileModel *o); /* an Exit */

#endif
