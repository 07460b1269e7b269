/* perf: names of compiled functions for `perf`. Relies on image.h, program.h. */
#ifndef KILN_CODEGEN_NATIVE_PERF_H
#define KILN_CODEGEN_NATIVE_PERF_H

#include "../native.h"
#include "image.h"

/* The code of the program lies at `at` now. Does nothing unless perf_open was called. */
void perf_note(const Program *p, const Image *m, const char *at);

#endif
