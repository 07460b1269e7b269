/* native: what the rest of the library sees of the CPU's backend: code that runs in this process, compiled by the LLVM module,
 * which is loaded at the first compile. Relies on backend. */
#ifndef KILN_CODEGEN_NATIVE_H
#define KILN_CODEGEN_NATIVE_H

#include "backend.h"

/* The row named "cpu". compile, object and describe load the module. */
const Backend *native_backend(void);

#endif
