/* library: the maker's libraries, opened at run time where they usually lie. Relies on base. */
#ifndef KILN_CODEGEN_CUDA_LIBRARY_H
#define KILN_CODEGEN_CUDA_LIBRARY_H

#include "../../runtime/base.h"

/* The first of n names that opens: the file that the environment's variable names; on the library path; in the usual folders. It
 * stays open. NULL: st says what was looked for. title: as messages say it. */
void *library_find(const char *title, const char *variable, const char *const *name, size_t n, Status *st);
/* Stores a function's address in *slot. False: st. */
bool library_symbol(void *lib, const char *name, void *slot, const char *from, Status *st);

#endif
