/* model: the order of sums that docs/numerics.md states, in its own words and numbers, slowly: what eager code, compiled code, object
 * files and CUDA text are compared with. Relies on ir/scalar only; shares nothing with what it judges. */
#ifndef KILN_TESTS_MODEL_H
#define KILN_TESTS_MODEL_H

#include "ir/scalar.h"

typedef struct ModelFold {
    Scalar identity;
    Scalar (*step)(const void *of, Scalar total, Scalar element);
    const void *of;
} ModelFold;

Scalar model_chains(const ModelFold *f, const Scalar *x, int64_t n);
Scalar model_lanes(const ModelFold *f, const Scalar *x, int64_t n);
Scalar model_row(const ModelFold *f, const Scalar *x, int64_t n); /* by lanes, but fewer than 32 elements by chains */
Scalar model_index(const ModelFold *f, const Scalar *x, int64_t n); /* strictly in order */

/* Products of two vectors in a compute type: mad for floats, which is what x * y + total is for integers. */
Scalar model_product(DType t, const Scalar *x, const Scalar *y, int64_t n);

/* Sums in a float type, from plain arrays: x[i * stride]. */
double model_sum(DType t, const void *x, int64_t n, int64_t stride, bool row);

#endif
