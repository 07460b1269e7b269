/* einsum: sums of products by labels, between what reads the labels (einsum_text.c) and what contracts (ops_einsum.c). Relies on
 * ops.h. */
#ifndef KILN_FRONTEND_EINSUM_H
#define KILN_FRONTEND_EINSUM_H

#include "ops.h"

enum { LETTERS = 52, LABELS = LETTERS + MAX_RANK }; /* a-z, A-Z; then the axes of "...", the last one last */

typedef struct Labelled { /* a tensor and its axes' labels */
    kiln_tensor *x;
    int n;
    uint8_t label[MAX_RANK];
} Labelled;

typedef struct Einsum {
    const char *op;
    Dim size[LABELS]; /* 0: not met yet */
    bool met[LABELS];
    int nout, count;
    uint8_t out[MAX_RANK]; /* the result's labels */
    Labelled *term;        /* count of them */
} Einsum;

static inline uint64_t labels_of(const Labelled *x)
{
    uint64_t all = 0;
    for (int i = 0; i < x->n; i++) all |= (uint64_t)1 << x->label[i];
    return all;
}

/* Gives the terms, whose tensors stand, their labels, and the result its own. False: recorded. */
bool einsum_read(Thread *t, kiln_site at, Einsum *e, const char *labels);
/* Notes the sizes of all labels; a size of 1 goes with any. False: recorded. */
bool einsum_sizes(Thread *t, kiln_site at, Einsum *e);
/* The result; the terms are used up. Poison: recorded. */
kiln_tensor *einsum_run(Thread *t, kiln_site at, Einsum *e);

#endif
