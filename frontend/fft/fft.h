/* fft: the transform along one axis, for the public operations (transforms.c). Private to this room. */
#ifndef KILN_FRONTEND_FFT_H
#define KILN_FRONTEND_FFT_H

#include "../grad/grad.h"

#define FFT_LENGTH_MOST ((int64_t)1 << 30)
#define FFT_DIRECT 64 /* lengths up to here are one product */

/* ---- tables.c */
typedef enum TableKind {
    TABLE_MATRIX, /* [2 n, 2 n]: a line of n complex numbers times it is its transform */
    TABLE_REAL,   /* [n, 2 n]: of n real numbers */
    TABLE_TURNS,  /* [2, n / m, m, 2]: what j, k is turned by, exp(sign 2 pi i j k / n): real parts twice, then imaginary ones, -, +
                   */
    TABLE_CHIRP,  /* [2, n, 2]: exp(sign pi i j j / n), as turns */
    TABLE_ANSWER, /* [2, m, 2]: the transform of the chirp's conjugate, wrapped to length m, over m, as turns */
    TABLE_STEPS   /* [m - 1, 2, n / m]: exp(sign 2 pi i j k / n), k from 1: real parts, imaginary parts */
} TableKind;

/* In x's dtype, where x lies, of this shape. */
kiln_tensor *fft_table(
    Thread *t, kiln_site at, const kiln_tensor *x, TableKind kind, int sign, int64_t n, int64_t m, kiln_shape shape);
/* A tensor of f32 or f64 that lies where x does, of these doubles. */
kiln_tensor *fft_constant(Thread *t, kiln_site at, const kiln_tensor *x, kiln_shape shape, const double *v, int64_t n);

/* ---- lines.c */
/* x [count, n, 2], or [count, n] of real numbers, as its transform [count, n, 2], without a factor; f32 or f64. sign: of the
 * exponent. */
kiln_tensor *fft_lines(Thread *t, kiln_site at, kiln_tensor *x, int sign);

/* ---- stages.c */
/* The same of the middle axis of x [count, n, inner, 2], or of real numbers [count, n, inner], n a power of two. */
kiln_tensor *fft_stages(Thread *t, kiln_site at, kiln_tensor *x, bool is_complex, int sign);

#endif
