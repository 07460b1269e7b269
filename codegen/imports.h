/* imports: what compiled code may call outside of itself, by number, in an order that only changes from build to build. Stateless:
 * the module that compiles has a copy. Relies on base. */
#ifndef KILN_CODEGEN_IMPORTS_H
#define KILN_CODEGEN_IMPORTS_H

#include "../runtime/base.h"

#define IMPORT_NONE UINT32_MAX

uint32_t import_find(const char *name); /* IMPORT_NONE: it is not offered */
uint32_t import_count(void);
const char *import_name(uint32_t which);
void *import_address(uint32_t which);

#endif
