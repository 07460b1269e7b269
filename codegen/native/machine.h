/* machine: the CPU that this process runs on. Relies on target. */
#ifndef KILN_CODEGEN_NATIVE_MACHINE_H
#define KILN_CODEGEN_NATIVE_MACHINE_H

#include "../backend.h"

bool native_target(Target *t, Status *st); /* never fails */
/* All that the compiler asks a CPU about: code that is kept is used on CPUs with the same text only. */
void machine_text(Text *out);

#endif
