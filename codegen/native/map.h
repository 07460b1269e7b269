/* map: an image in memory, where its code runs. Relies on image.h. */
#ifndef KILN_CODEGEN_NATIVE_MAP_H
#define KILN_CODEGEN_NATIVE_MAP_H

#include "image.h"

typedef struct Mapped {
    char *at; /* NULL: none */
    size_t bytes;
} Mapped;

bool image_runs_here(void); /* whether this process' instruction set is one that images are made for */
bool image_map(const Image *m, Mapped *out, Status *st);
void image_unmap(Mapped *m); /* nothing may run there */

#endif
