/* names: which names of values there are in a graph and in those around it. Relies on base.h. */
#ifndef KILN_FRONTEND_ONNX_NAMES_H
#define KILN_FRONTEND_ONNX_NAMES_H

#include "wire.h"

typedef struct Names {
    Arena *arena; /* needs a border */
    const struct Names *outer;
    Map at; /* from a hash, or where that is taken the next free number, to a name's number */
    VEC(Bytes) name;
} Names;

void names_room(Names *n, uint32_t names); /* of a graph that has none yet: so many take no more memory than they need */
bool names_add(Names *n, Bytes name);      /* false: this graph, or one around it, has it already */
bool names_have(const Names *n, Bytes name);
uint32_t names_number(const Names *n, Bytes name); /* in this graph, of one that is there */

#endif
