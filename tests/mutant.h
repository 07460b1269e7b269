/* mutant: programs as CUDA C whose text is changed before an emulated device runs it: a barrier or a guard that is taken away must be
 * missed. What fails fails the test. Relies on emu_use.h, kernel_make.h. */
#ifndef KILN_TESTS_MUTANT_H
#define KILN_TESTS_MUTANT_H

#include "codegen/cuda/run.h"
#include "emu_use.h"
#include "kernel_make.h"

typedef struct Case {
    Make *m; /* becomes the case's own */
    const Program *p;
    void **buf;       /* inputs, then outputs: zeros, unless the test sets them */
    Text source;
    const char *from; /* what stands before all that is looked for; NULL: it may be anywhere */
    bool graph;       /* it is recorded, and replayed twice */
    struct Planted *planted; /* mutants that are not run yet */
    int nplanted;
    Text planted_in; /* their text */
} Case;

void case_open(Case *c);  /* the program of all of m's steps, with room for its buffers, which have one axis at most */
void case_runs(Case *c); /* its text, which is printed once, runs */
void case_missed(Case *c); /* runs its mutants */
void case_free(Case *c);   /* when they have run */
CUresult case_run(const Case *c, const char *source, const char *what); /* what the context says afterwards */
/* With the n-th (from 1) of what is found replaced, a run fails: by a race, or an address that is out of bounds or not aligned. That
 * run comes when the case is freed, or there are many, with the cuda_grid_most of now: one text has several mutants then, each of
 * which a number in the test's memory switches on, for compiling takes longest. */
void needed(Case *c, const char *find, const char *replace, int nth);
void replace(Text *text, const char *find, const char *by); /* the first */

#endif
