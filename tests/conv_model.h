/* conv_model: convolutions by the loops that ir/ops.def and docs/numerics.md state, slowly: each result's products in their order, then
 * their sum by model.h. Relies on codegen/host.h for how a convolution is asked for; shares nothing with what it judges. */
#ifndef KILN_TESTS_CONV_MODEL_H
#define KILN_TESTS_CONV_MODEL_H

#include "codegen/host.h"

void conv_model(const HostConv *c); /* fills c->to */

#endif
