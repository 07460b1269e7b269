/* expected: what graphs must compute, found on a machine with nothing but a CPU and kept in a file, so that who has a card need not
 * compute it again. For each result the CPU's bits, and what the reference allows. The file is for the program that wrote it, on
 * machines of its kind. Relies on codegen/ref.h. Never runs a graph. */
#ifndef KILN_TESTS_EXPECTED_H
#define KILN_TESTS_EXPECTED_H

#include <stdio.h>

#include "codegen/ref.h"

typedef struct Expected {
    uint32_t n;     /* results */
    void **bits;    /* of each */
    RefTensor *ref; /* of each */
} Expected;

bool expected_begin(FILE *f);
bool expected_write(FILE *f, const char *name, const Expected *e);
/* Finds the graph of that name, wherever it is in the file. False: it is not there, or the file is none or is damaged. */
bool expected_read(Arena *a, FILE *f, const char *name, Expected *e);

/* Whether results are as expected: bit for bit, any NaN being any other; or as the reference allows. False: why. */
bool expected_bits(const Expected *e, void *const *out, char *why, size_t cap);
bool expected_allowed(const Expected *e, void *const *out, char *why, size_t cap);

#endif
