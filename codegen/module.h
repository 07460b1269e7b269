/* module: opening the parts of Kiln that are shared libraries of their own. Relies on base, dlopen. Never knows what a module
 * offers. */
#ifndef KILN_CODEGEN_MODULE_H
#define KILN_CODEGEN_MODULE_H

#include "../runtime/base.h"

/* The handle of `file`, kept until the process ends, found in this order: the folder that the environment's KILN_LIBDIR names, the
 * folder of the library or program that holds this code, for a program also its lib folder as installed, and the library folder of
 * the build; in each first in kiln/VERSION/. NULL and st if it is nowhere, or if the first one found belongs to another build
 * (its symbol `mark` is not KILN_CONFIG_MARK), which names both files. */
void *module_open(const char *file, const char *mark, Status *st);

/* False and st in a program without a dynamic loader, where dlopen would bring in a second C library and crash. */
bool module_possible(const char *what, Status *st);

#endif
