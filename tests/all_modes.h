/* all_modes: one graph in every way that Kiln computes it: eager code (each tier that this CPU runs), ref, LLVM and CUDA text on the host.
 * Relies on graph_run, cuda_host. */
#ifndef KILN_TESTS_ALL_MODES_H
#define KILN_TESTS_ALL_MODES_H

#include "ir/graph.h"

/* make builds the module, a graph without symbols, anew each time; judge gets the bytes of its results. What is not at hand, LLVM or a C++
 * compiler, is left out, which is said. The arena's border must be set. */
void all_modes(Arena *a, Module *(*make)(Arena *a), const void *const *in, void (*judge)(void *user, const char *mode, void *const *result),
               void *user);

#endif
