/* fft: the transform along one axis, for the public operations (ops_fft.c). Private to the two. */
#ifndef KILN_FRONTEND_OPS_FFT_H
#define KILN_FRONTEND_OPS_FFT_H

#include "ops.h"

#define FFT_LENGTH_MOST ((int64_t)1 << 30)
/* x [count, n, 2], or [count, n] of real numbers, as its transform [count, n, 2], without a factor; f32 or f64. sign: of the
 * exponent. */
kiln_tensor *fft_lines(Thread *t, kiln_site at, kiln_tensor *x, int sign);
/* A tensor of f32 or f64 that lies where x does, of these doubles. */
kiln_tensor *fft_constant(Thread *t, kiln_site at, const kiln_tensor *x, kiln_shape shape, const double *v, int64_t n);

#endif
