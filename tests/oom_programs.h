/* oom_programs: the programs that test_oom.c starves: eager, differentiated, traced, compiled, written to files. Each gives one number for
 * all that it computed. Relies on the public interface alone. */
#ifndef KILN_TESTS_OOM_PROGRAMS_H
#define KILN_TESTS_OOM_PROGRAMS_H

#include <kiln/aot.h>
#include <kiln/data.h>
#include <kiln/kiln.h>
#include <kiln/nn.h>

typedef struct OomDigest { kiln *k; uint64_t hash; } OomDigest;

typedef struct OomProgram {
    const char *name;
    void (*body)(kiln *k, OomDigest *d);
    bool compiles;  /* so that running it again takes a while */
    uint64_t want;  /* the digest of a run with memory; set by the test */
} OomProgram;

/* oom_eager.c, oom_traced.c, oom_programs.c; after the last of each comes one without a name. */
extern OomProgram oom_eager[], oom_traced[], oom_training[];

extern void (*oom_between)(kiln *k); /* behind each oom_take; NULL: nothing */
void oom_take_bytes(OomDigest *d, const void *data, size_t bytes);
void oom_take(OomDigest *d, kiln_tensor *t);
void oom_take_variable(OomDigest *d, kiln_variable *v);

#define OOM_HALF_WRITTEN 1 /* a digest that says: a failed call left a file behind */
uint64_t oom_run(const OomProgram *p, kiln *k); /* in a scope of its own; looks at no error */

/* A traced training step and all its state. */
typedef struct OomTraining OomTraining;
OomTraining *oom_training_new(kiln *k);
void oom_training_step(OomTraining *train);
uint64_t oom_training_state(OomTraining *train, bool with_moments); /* digest of the weights, and of the optimiser's own */
void oom_training_free(OomTraining *train);

#endif
