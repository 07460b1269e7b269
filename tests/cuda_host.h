/* cuda_host: programs as CUDA C, executed without a GPU: by the backend's own walker over an emulated
 * device. Relies on codegen/cuda, codegen/emu.h and a C++ compiler. */
#ifndef KILN_TESTS_CUDA_HOST_H
#define KILN_TESTS_CUDA_HOST_H

#include "codegen/cuda.h"

bool cuda_host_compiles(void); /* there is a C++ compiler */
/* buf, symbol as the entry takes them. False: st. */
bool cuda_host_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st);
/* The same of the program as a graph, which runs it twice; false, with st as it was: by rule it is not recorded. */
bool cuda_graph_run(const Program *p, void *const *buf, const int64_t *symbol, Status *st);
/* Compiles them as one text, for starting the compiler takes longer than most programs do: until the next call of this, or till the
 * programs go, their runs of that kind take what it made. */
enum { HOST_TOGETHER = 32 };
bool cuda_host_together(const Program *const *p, uint32_t n, bool graph, Status *st);
/* Their texts as one: each in a namespace of its own, and with names of kernels of its own. */
bool cuda_texts_together(const Program *const *p, uint32_t n, int sm, bool graph, Text *out, Status *st);
/* A compiled program on its own device as an entry is called: copies in, runs, copies out. What the entry would return, or -1: st. */
int32_t cuda_copies_run(const Compiled *c, void *const *buf, const int64_t *symbol, Status *st);

#endif
