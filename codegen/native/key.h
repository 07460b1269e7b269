/* key: what compiled code of this CPU is kept under (store.h). Relies on backend. */
#ifndef KILN_CODEGEN_NATIVE_KEY_H
#define KILN_CODEGEN_NATIVE_KEY_H

#include "../backend.h"

/* All that decides what the program compiles to. out->failed: no memory. */
void key_of(Text *out, const Program *p, const CompileOptions *o);

#endif
