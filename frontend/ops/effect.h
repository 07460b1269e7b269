/* effect: what an effect is to the front end: a record, named by number in graphs and compiled
 * code, that says what to show, assert or call. Equal records share one number, so that a body
 * traced twice spells the same graph. effect.c has the public calls, effect_record.c the records
 * and what happens when they come up. Relies on ops.h. */
#ifndef KILN_FRONTEND_EFFECT_H
#define KILN_FRONTEND_EFFECT_H

#include "ops.h"

typedef enum EffectKind {
    SHOW_TENSOR,
    SHOW_TEXT,
    ASSERT_HOLDS,
    ASSERT_SHAPE,
    ASSERT_CLOSE,
    ASSERT_FINITE,
    ASSERT_INDEX, /* text: the op that the index belongs to */
    CALL_BACK
} EffectKind;

typedef struct Effect {
    uint8_t kind;
    uint8_t dtype; /* ASSERT_SHAPE: the tensor's dtype */
    kiln_site at;
    FILE *to;             /* SHOW_* */
    char *text;           /* SHOW_TEXT, ASSERT_HOLDS */
    double tolerance;     /* ASSERT_CLOSE */
    kiln_shape shape;     /* ASSERT_SHAPE */
    kiln_callback_fn *fn; /* CALL_BACK */
    void *user;
} Effect;

/* The record's number in k, which keeps a copy if it has no equal one. -1: no memory (not recorded as an error). */
int64_t effect_number(kiln *k, const Effect *e);
/* Runs the record's effect with these tensors (eager headers), in the order of its op's operands and results. If the code is not 0,
 * an error was recorded. */
int32_t effect_now(Thread *t, const Effect *e, kiln_tensor *const *x, uint32_t nin, uint32_t nout);
/* In a checked engine checks that every integer lies in [0, size); the error names the op, the first integer that does not, and its
 * place. True in any other engine and where effects are silent. False: recorded. */
bool effect_indices(Thread *t, kiln_site at, const char *op, kiln_tensor *indices, Dim size);
/* kiln_assert of one bool, made by the library itself. False: recorded. */
bool effect_holds(Thread *t, kiln_site at, kiln_tensor *holds, const char *text);
/* Whether the axis of x has so many elements: an error now if it has fewer, an assertion of the running trace if it may have fewer.
 */
bool effect_least(Thread *t, kiln_site at, const char *op, const kiln_tensor *x, int axis, Dim least);
/* KilnHost.effect. */
int32_t effect_happens(const KilnHost *h, int64_t number, int64_t nin, int64_t nout, void *const *buf, const int64_t *type);
void effects_free(kiln *k);

#define BEYOND_BOUND "while: the loop goes on after its bound of %lld steps" /* of a loop, eager and compiled */

#endif
