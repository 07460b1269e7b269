/* text: the graph as text and back; printing what was parsed gives the same bytes. Relies on
 * graph. docs/ir.md shows the form. */
#ifndef KILN_IR_TEXT_H
#define KILN_IR_TEXT_H

#include "graph.h"

/* out->failed after an allocation failed. */
void module_print(Text *out, const Module *m);
/* Hostile input: sizes, ranks, nesting and counts are checked; the error names line and column.
 * NULL after an error. */
Module *module_parse(Arena *arena, const char *text, size_t len, Status *st);

/* One scalar attribute (letter v of ops.def): floats by the fewest digits that read back as the
 * same element of t, "nan", "inf". buf gets at most cap bytes, terminated; 40 are enough.
 * Independent of the locale. */
void scalar_print(DType t, int64_t v, char *buf, size_t cap);
bool scalar_parse(DType t, const char *text, size_t len, int64_t *v); /* false: malformed or out of range */

#endif
