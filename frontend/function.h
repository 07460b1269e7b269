/* function: what engine.c needs of function.c. */
#ifndef KILN_FRONTEND_FUNCTION_H
#define KILN_FRONTEND_FUNCTION_H

#include "internal.h"

void functions_free_all(kiln *k);
/* A function of ours whose body is ordinary internal code; free_user may be NULL. NULL: recorded. */
kiln_function *function_derived(kiln_site at, kiln *k, const char *name, kiln_body *body, void *user, void (*free_user)(void *),
                                int inputs, int outputs, kiln_function *like, kiln_function **slot);
/* What KILN_DUMP asks for: writes one file per stage into the folder KILN_DUMP_DIR (default: the current one). */
bool dump_wants(const char *stage);
void dump_write(const char *function, const char *stage, const char *text, size_t len);
/* Stages cuda and ptx of a module that the passes are done with: what the CUDA backend would make of it, whether or not there is a device.
 * What goes wrong is what the file says. */
void dump_cuda(const char *function, Arena *arena, const Module *m);

#endif
