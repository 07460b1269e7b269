/* pass: the one signature of a pass, and the runner. A pass takes a graph and returns a new one (or the same, if nothing changed),
 * in one file, with one row in pipeline.def. Relies on ir. Never knows a backend. */
#ifndef KILN_PASSES_PASS_H
#define KILN_PASSES_PASS_H

#include "../ir/graph.h"
#include "../ir/target.h"

typedef struct PassCtx {
    Arena *scratch; /* freed after the pass */
    const Target *target;
    bool host_products; /* the program will have the host's kernels, so that convolutions may stay what they are */
    Status *st;
    bool verify; /* after each pass that changed something */
    /* Called after each pass that changed something, and with pass "trace" at the start; NULL: not asked for. */
    void (*dump)(void *user, const char *pass, const Module *m);
    void *dump_user;
    double *seconds;  /* per pass of pipeline.def, added up; NULL: not timed */
    const char *only; /* a single pass to run (tests); NULL: the pipeline */
    int stop_after;   /* run only the first n rows; -1: all (bisection) */
} PassCtx;

typedef Graph *PassFn(PassCtx *ctx, const Graph *in); /* NULL after an error (ctx->st) */

typedef struct PassInfo {
    const char *name;
    PassFn *run;
    const char *what; /* one sentence */
} PassInfo;
extern const PassInfo pass_table[];
extern const int pass_count;

/* Runs the pipeline over every graph of the module, in place of its graph list. */
bool pipeline_run(PassCtx *ctx, Module *m);

#define PASS(name, what) PassFn pass_##name;
#include "pipeline.def"
#undef PASS

#endif
