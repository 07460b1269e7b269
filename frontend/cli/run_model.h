/* run_model: `kiln run` of an ONNX model. */
#ifndef KILN_FRONTEND_CLI_RUN_MODEL_H
#define KILN_FRONTEND_CLI_RUN_MODEL_H

#include "../../runtime/base.h"
#include "value.h"

/* Runs it as the engine does. False: the engine has the error, or it was said. */
bool call_model(const Model *model, int nin, const Parts *in, Parts *out);
/* Results go to the files of `output`, or into the folder that is the only one of them; others are printed. An Exit. */
int run_model(kiln *k, const ModelOptions *o, const char *const *output, int outputs);

#endif
