/* graph_run: graphs run node by node through the eager kernels, regions included; and graphs compiled and run whole. Relies on
 * codegen/eager.h, backend.h, passes. */
#ifndef KILN_TESTS_GRAPH_RUN_H
#define KILN_TESTS_GRAPH_RUN_H

#include "codegen/backend.h"
#include "codegen/eager.h"
#include "codegen/program.h"
#include "ir/graph.h"

typedef struct GraphRun {
    Arena *arena;          /* of all results; its border must be set */
    Kept *kept;                /* of the thread that runs; NULL: nothing is kept */
    ThreadPool *threads;   /* NULL: this thread alone */
    int64_t *symbol;       /* values by position in the dim table; loops write there how often they turned */
    bool host_products;    /* LowerOptions; eager products are the same either way */
    uint64_t odd;          /* not 0: operands come in odd layouts, chosen by this seed */
    Status *st;
} GraphRun;

/* Bytes of every value into *all (per value of g). */
bool graph_run(const GraphRun *r, const Graph *g, const void *const *in, void ***all);
/* One node on operands given as bytes; out: bytes per result, allocated here. */
bool graph_run_node(const GraphRun *r, const Graph *g, uint32_t node, void *const *in, void **out);
int64_t graph_bytes(const GraphRun *r, const Graph *g, Value v);
size_t graph_room(const Program *p, uint32_t result, const int64_t *symbol); /* bytes of a result as large as it may be */

/* Equal bits, any NaN equal to any. Returns the first element that differs, -1: none. */
int64_t bytes_differ(DType t, const void *a, const void *b, int64_t elements);

/* A copy of the module by way of its text; checks that printing it again gives the same bytes. NULL: st. */
Module *module_again(Arena *arena, const Module *m, Status *st);

bool graph_has_lapack(void); /* else ops that factor matrices fail */
/* The pipeline with the verifier on after every pass; host_products and stop_after as PassCtx has them. */
bool graph_passes(Module *m, const Target *target, bool host_products, int stop_after, Status *st);
bool graph_can_compile(void); /* the LLVM module is there */
/* Pipeline, lowering, LLVM, one call: bytes per result of the entry. The module is used up. ST_VALUE: the workspace for the symbols'
 * bounds is more than GRAPH_WORKSPACE bytes, where functions would keep the sizes constant. */
#define GRAPH_WORKSPACE ((int64_t)256 << 20)
bool graph_compiled(const GraphRun *r, Module *m, const void *const *in, void **result);
/* The same as an object, linked by the C compiler. ST_VALUE also where an object cannot be: host routines, memory that grows. */
bool graph_as_object(const GraphRun *r, Module *m, const void *const *in, void **result);
/* One call of code, within borders; host NULL: an object's. */
bool graph_call(const GraphRun *r, const Program *p, EntryFn *entry, SizesFn *sizes, const KilnHost *host, const void *const *in, void **result);

#endif
