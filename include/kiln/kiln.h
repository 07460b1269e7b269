/* kiln.h: what programs include (#include <kiln/kiln.h>). Tensors and scopes (core.h), devices (device.h), operations (ops.h),
 * tapes and traced functions (function.h), functions made of functions (transform.h), loops and branches (control.h), assertions, text and callbacks (effect.h). Layers and
 * optimisers, data, files and ahead-of-time compilation have headers of their own: nn.h, data.h, io.h, aot.h. */
#ifndef KILN_H
#define KILN_H

#include "control.h"
#include "core.h"
#include "device.h"
#include "effect.h"
#include "fft.h"
#include "function.h"
#include "linalg.h"
#include "ops.h"
#include "transform.h"

#endif
