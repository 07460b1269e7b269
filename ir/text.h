/* text: the graph as text and back; printing what was parsed gives the same bytes. Relies on graph. docs/ir.md shows the form. */
#ifndef KILN_IR_TEXT_H
#define KILN_IR_TEXT_H

#include "graph.h"

void module_print(Text *out, const Module *m);
void graph_print(Text *out, const Graph *g);
/* Hostile input: sizes, ranks, nesting and counts are checked; the error names line and column. NULL after an error. */
Module *module_parse(Arena *arena, const char *text, size_t len, Status *st);

#endif
