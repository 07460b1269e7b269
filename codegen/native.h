/* native: what the rest of the library sees of the CPU's backend: code that runs in this process, compiled by the LLVM module at
 * need, or found in a folder of code that was compiled before (store.h), for which LLVM is not loaded. Relies on backend. */
#ifndef KILN_CODEGEN_NATIVE_H
#define KILN_CODEGEN_NATIVE_H

#include "backend.h"

/* The row named "cpu". compile, object and describe load the module. */
const Backend *native_backend(void);

/* From now on each compiled function of this process is named in /tmp/perf-PID.map, for `perf`. False: why, a buffer that was
 * empty. */
bool perf_open(char *why, size_t cap);

#endif
