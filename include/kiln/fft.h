/* fft.h: discrete Fourier transforms. kiln.h includes it; it compiles alone as C11 and C++17.
 *
 * There is no complex dtype: complex numbers are a last axis of 2, real and imaginary parts, as in ONNX's DFT. An `axis` counts the axes
 * without that one; negative axes count from the end. n is the length of the transform: 0 stands for the axis's own; a longer axis is cut,
 * a shorter one padded with zeros. Lengths must be known when a function is traced. Any length is O(n log n) (Cooley and Tukey 1965:
 * powers of two by Stockham's stages, others by products with small matrices; Bluestein 1970 for large primes). Floats; 16-bit floats
 * compute in f32 and round once. Gradients flow. */
#ifndef KILN_FFT_H
#define KILN_FFT_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the factor 1/n stands: in the inverse, as its root in both directions, or in the forward transform. */
typedef enum kiln_fft_norm { KILN_FFT_BACKWARD, KILN_FFT_ORTHO, KILN_FFT_FORWARD } kiln_fft_norm;
/* Complex to complex: sum over j of x[j] exp(-2 pi i j k / n); the inverse has a plus. */
KILN_API kiln_tensor *kiln_fft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm);
KILN_API kiln_tensor *kiln_ifft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm);
/* Real to complex: the first n / 2 + 1 elements, of which the others are the conjugates; and back, where n = 0 stands for twice the size
 * less 2 (1 for a size of 1), and the imaginary parts of the first and, of even n, the last element count as 0. */
KILN_API kiln_tensor *kiln_rfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm);
KILN_API kiln_tensor *kiln_irfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm);
/* The transform of a signal whose second half is the conjugate of its first, which is real; and back: the conjugate of rfft, over n. */
KILN_API kiln_tensor *kiln_hfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm);
KILN_API kiln_tensor *kiln_ihfft_at(kiln_site at, kiln_operand x, int64_t n, int axis, kiln_fft_norm norm);
/* Over several axes, or KILN_ALL: one after the other, the last one first, which in rfftn and irfftn is the one that is halved. sizes: a
 * length per axis as n is, or KILN_SHAPE() for their own. */
KILN_API kiln_tensor *kiln_fftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm);
KILN_API kiln_tensor *kiln_ifftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm);
KILN_API kiln_tensor *kiln_rfftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm);
KILN_API kiln_tensor *kiln_irfftn_at(kiln_site at, kiln_operand x, kiln_shape sizes, kiln_axes axes, kiln_fft_norm norm);
/* The frequencies of the elements of a transform of n samples that lie `spacing` apart, in cycles per unit: [n], and of rfft
 * [n / 2 + 1]. */
KILN_API kiln_tensor *kiln_fftfreq_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, double spacing);
KILN_API kiln_tensor *kiln_rfftfreq_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, double spacing);
/* Puts frequency 0 in the middle of each of these axes (of a complex tensor: not the last), and back. Any dtype. */
KILN_API kiln_tensor *kiln_fftshift_at(kiln_site at, kiln_operand x, kiln_axes axes);
KILN_API kiln_tensor *kiln_ifftshift_at(kiln_site at, kiln_operand x, kiln_axes axes);
/* The transforms of frames of a real signal x [..., samples]: frame i is the window [size] times samples i hop to i hop + size - 1;
 * [..., frames, size / 2 + 1, 2] with frames = (samples - size) / hop + 1. */
KILN_API kiln_tensor *kiln_stft_at(kiln_site at, kiln_operand x, kiln_operand window, int64_t hop);
/* The signal that has these transforms of frames, [..., (frames - 1) hop + size]: frames times the window, added up, divided by the sum of
 * the windows' squares there (0 where that is 0; Griffin and Lim 1984). */
KILN_API kiln_tensor *kiln_istft_at(kiln_site at, kiln_operand x, kiln_operand window, int64_t hop);

/* Windows of n elements, floats [n]. Periodic ones are the first n of n + 1, as transforms of frames want them; the others are symmetric. Of
 * one element they are 1. cosine: a - b cos(2 pi i / m) + c cos(4 pi i / m), m = n or n - 1; hann has 0.5, 0.5, 0; hamming 0.54, 0.46, 0 (ONNX's has
 * 25/46, 21/46, 0); blackman 0.42, 0.5, 0.08. Computed in f64 and rounded once. */
KILN_API kiln_tensor *kiln_hann_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic);
KILN_API kiln_tensor *kiln_hamming_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic);
KILN_API kiln_tensor *kiln_blackman_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic);
KILN_API kiln_tensor *kiln_cosine_window_at(kiln_site at, kiln *k, kiln_dtype t, int64_t n, bool periodic, double a, double b, double c);
/* The weights that make `bands` bands, equally far apart on the mel scale 2595 log10(1 + f / 700), of the first length / 2 + 1 elements of
 * transforms of real frames of `length` samples: [length / 2 + 1, bands], of floats (ONNX's MelWeightMatrix). A band is a triangle over the
 * elements between its neighbours' centres; lower and upper are the frequencies at the outer edges of the first and the last band, in the
 * unit of sample_rate. At least one band; 0 <= lower <= upper <= sample_rate / 2. */
KILN_API kiln_tensor *kiln_mel_weights_at(kiln_site at, kiln *k, kiln_dtype t, int64_t bands, int64_t length, double sample_rate, double lower,
    double upper);

#ifdef __cplusplus
}
#endif

/* Made of the prototypes above by frontend/ops/calls.sh. */
#define kiln_fft(x, n, axis, norm) kiln_fft_at(KILN_HERE, KILN_OPERAND(x), (n), (axis), (norm))
#define kiln_ifft(x, n, axis, norm) kiln_ifft_at(KILN_HERE, KILN_OPERAND(x), (n), (axis), (norm))
#define kiln_rfft(x, n, axis, norm) kiln_rfft_at(KILN_HERE, KILN_OPERAND(x), (n), (axis), (norm))
#define kiln_irfft(x, n, axis, norm) kiln_irfft_at(KILN_HERE, KILN_OPERAND(x), (n), (axis), (norm))
#define kiln_hfft(x, n, axis, norm) kiln_hfft_at(KILN_HERE, KILN_OPERAND(x), (n), (axis), (norm))
#define kiln_ihfft(x, n, axis, norm) kiln_ihfft_at(KILN_HERE, KILN_OPERAND(x), (n), (axis), (norm))
#define kiln_fftn(x, sizes, axes, norm) kiln_fftn_at(KILN_HERE, KILN_OPERAND(x), sizes, axes, (norm))
#define kiln_ifftn(x, sizes, axes, norm) kiln_ifftn_at(KILN_HERE, KILN_OPERAND(x), sizes, axes, (norm))
#define kiln_rfftn(x, sizes, axes, norm) kiln_rfftn_at(KILN_HERE, KILN_OPERAND(x), sizes, axes, (norm))
#define kiln_irfftn(x, sizes, axes, norm) kiln_irfftn_at(KILN_HERE, KILN_OPERAND(x), sizes, axes, (norm))
#define kiln_fftfreq(k, t, n, spacing) kiln_fftfreq_at(KILN_HERE, (k), (t), (n), (spacing))
#define kiln_rfftfreq(k, t, n, spacing) kiln_rfftfreq_at(KILN_HERE, (k), (t), (n), (spacing))
#define kiln_fftshift(x, axes) kiln_fftshift_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_ifftshift(x, axes) kiln_ifftshift_at(KILN_HERE, KILN_OPERAND(x), axes)
#define kiln_stft(x, window, hop) kiln_stft_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(window), (hop))
#define kiln_istft(x, window, hop) kiln_istft_at(KILN_HERE, KILN_OPERAND(x), KILN_OPERAND(window), (hop))
#define kiln_hann_window(k, t, n, periodic) kiln_hann_window_at(KILN_HERE, (k), (t), (n), (periodic))
#define kiln_hamming_window(k, t, n, periodic) kiln_hamming_window_at(KILN_HERE, (k), (t), (n), (periodic))
#define kiln_blackman_window(k, t, n, periodic) kiln_blackman_window_at(KILN_HERE, (k), (t), (n), (periodic))
#define kiln_cosine_window(k, t, n, periodic, a, b, c) kiln_cosine_window_at(KILN_HERE, (k), (t), (n), (periodic), (a), (b), (c))
#define kiln_mel_weights(k, t, bands, length, sample_rate, lower, upper) kiln_mel_weights_at(KILN_HERE, (k), (t), (bands), (length), (sample_rate), (lower), (upper))

#endif
