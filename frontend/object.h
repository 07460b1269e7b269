/* object: things that an engine frees at close unless the user freed them before: layers, optimisers, metrics, data sets. */
#ifndef KILN_FRONTEND_OBJECT_H
#define KILN_FRONTEND_OBJECT_H

#include "internal.h"

typedef struct Object { /* first member of such a thing */
    kiln *k;
    struct Object *prev, *next;
    size_t bytes;
    void (*clean)(struct Object *o); /* what it holds beyond its own bytes and variables; may be NULL */
} Object;

void *object_new(kiln_site at, kiln *k, size_t bytes, void (*clean)(Object *)); /* zeroed; NULL: recorded */
void object_free(Object *o); /* NULL allowed */
void objects_free_all(kiln *k);

#endif
