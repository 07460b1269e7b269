/* loops: what a C programmer writes by hand for a row of rows/row.h, on one thread: the yardstick of `make bench-check`. Plain
 * loops that a compiler can turn into vectors, and libm; no intrinsics, no library. */
#ifndef KILN_TESTS_BENCH_LOOPS_H
#define KILN_TESTS_BENCH_LOOPS_H

#include <stdint.h>

enum { HAND_MOST = 16 };

typedef struct Hand {
    const int64_t *n;            /* the row's sizes */
    const void *in[HAND_MOST];   /* its inputs */
    float *parameter[HAND_MOST]; /* a copy of its parameters, which a loop may change */
    float *out[HAND_MOST];       /* the results, zeros at first; they stay from call to call */
    float *scratch;              /* as many floats as the loop asked for */
    int calls;                   /* before this one */
} Hand;

typedef struct Loop {
    const char *row;
    void (*run)(Hand *h);
    int results;       /* the row's first ones, which are compared */
    double tolerance;  /* of each element, relative to the largest of the result */
    int64_t scratch;   /* floats */
} Loop;

extern const Loop memory_loops[], work_loops[]; /* end with a NULL row */

#endif
