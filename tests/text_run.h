/* text_run: a module by way of its text through the public door, kiln_run_text: with an engine of .compile = KILN_NEVER its graph is
 * interpreted. Relies on graph_run.h, kiln/aot.h. */
#ifndef KILN_TESTS_TEXT_RUN_H
#define KILN_TESTS_TEXT_RUN_H

#include <kiln/aot.h>

#include "graph_run.h"

/* Bytes of the entry's results, in the arena; the dim N has the value of r->symbol. False: st. */
bool text_run(const GraphRun *r, kiln *k, const Module *m, const void *const *in, void **result);

#endif
