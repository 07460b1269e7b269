/* op_signal: ONNX's Fourier transforms and what goes with them. Relies on import.h. */
#include <kiln/fft.h>

#include "import.h"

/* x with a last axis of real parts alone, or of real and imaginary parts, as the latter. */
static kiln_tensor *complex_of(Call *c, kiln_tensor *x)
{
    if (!tensor_ok(x) || x->type.dim[x->type.rank - 1] == 2) return x;
    kiln_tensor *both[2] = {x, kiln_zeros_like_at(c->at, of(x))};
    return kiln_concat_at(c->at, both, 2, -1);
}

static kiln_tensor *real_of(Call *c, kiln_tensor *x)
{
    const int last = x->type.rank - 1;
    return reshape_to(c->t, c->at, slice_axis(c->t, c->at, x, last, 0, 1), x->type.dim, last);
}

static bool is_signal(Call *c, const kiln_tensor *x)
{
    if (!tensor_ok(x)) return false;
    const Dim parts = x->type.rank ? x->type.dim[x->type.rank - 1] : 0;
    return (x->type.rank >= 2 && (parts == 1 || parts == 2)) || unsupported(c, "a last axis of other than 1 or 2");
}

/* The axis is an attribute up to version 19, then an operand; it counts all axes, the last one too. */
bool op_dft(Call *c)
{
    kiln_tensor *x = tensor(c, 0), *y;
    int64_t n = 0, axis = c->node->version < 20 ? attr_int(c, "axis", 1) : -2;
    if (!is_signal(c, x) || !number(c, 1, &n) || (c->node->version >= 20 && !number(c, 2, &axis))) return false;
    const int64_t given = axis;
    if (axis < 0) axis += x->type.rank;
    if (axis < 0 || axis >= x->type.rank - 1)
        return unsupported(c, "axis %lld of a signal of rank %d", (long long)given, x->type.rank);
    const bool inverse = attr_int(c, "inverse", 0) != 0, half = attr_int(c, "onesided", 0) != 0;
    const bool is_real = x->type.dim[x->type.rank - 1] == 1;
    if (half && inverse) {
        y = kiln_irfft_at(c->at, of(complex_of(c, x)), n, (int)axis, KILN_FFT_BACKWARD);
        return give(c, 0, tensor_ok(y) ? kiln_expand_dims_at(c->at, of(y), KILN_AXES(-1)) : y);
    }
    if (half && !is_real) return unsupported(c, "half of the transform of a complex signal");
    if (half) return give(c, 0, kiln_rfft_at(c->at, of(real_of(c, x)), n, (int)axis, KILN_FFT_BACKWARD));
    return give(c, 0, (inverse ? kiln_ifft_at : kiln_fft_at)(c->at, of(complex_of(c, x)), n, (int)axis, KILN_FFT_BACKWARD));
}

/* Frames [batch, frames, size, 2] of a signal [batch, samples, 2], times the window. */
static kiln_tensor *frames(Call *c, kiln_tensor *x, kiln_tensor *window, int64_t size, int64_t hop)
{
    kiln_tensor *y = kiln_sliding_windows_at(c->at, of(x), KILN_AXES(1), KILN_SHAPE(size), KILN_SHAPE(hop));
    y = kiln_moveaxis_at(c->at, of(y), KILN_AXES(-1), KILN_AXES(2));
    return kiln_mul_at(c->at, of(y), of(kiln_expand_dims_at(c->at, of(window), KILN_AXES(-1))));
}

bool op_stft(Call *c)
{
    kiln_tensor *x = tensor(c, 0);
    int64_t hop = 0, size = 0;
    if (!tensor_ok(x)) return false;
    if (x->type.rank == 2) x = kiln_expand_dims_at(c->at, of(x), KILN_AXES(-1));
    if (!is_signal(c, x) || !number(c, 1, &hop) || !number(c, 3, &size)) return false;
    kiln_tensor *window = has(c, 2) ? tensor(c, 2) : NULL;
    if (window && !tensor_ok(window)) return false;
    if (window && (window->type.rank != 1 || !dim_is_const(window->type.dim[0]) || (size && window->type.dim[0] != size)))
        return unsupported(c, "a window of another length than a frame's");
    if (window) size = window->type.dim[0];
    if (size == 0 && dim_is_const(x->type.dim[1])) size = x->type.dim[1];
    if (size < 1 || hop < 1) return unsupported(c, "neither a window nor a frame_length, or a step below 1");
    if (!window) window = kiln_full_at(c->at, c->t->k, (kiln_dtype)x->type.dtype, KILN_SHAPE(size), KILN_OPERAND(1));
    const bool half = attr_int(c, "onesided", 1) != 0, is_real = x->type.dim[x->type.rank - 1] == 1;
    if (half && is_real) return give(c, 0, kiln_stft_at(c->at, of(real_of(c, x)), of(window), hop));
    kiln_tensor *y = kiln_fft_at(c->at, of(frames(c, complex_of(c, x), window, size, hop)), 0, 2, KILN_FFT_BACKWARD);
    return give(c, 0, half && tensor_ok(y) ? slice_axis(c->t, c->at, y, 2, 0, size / 2 + 1) : y);
}

bool op_mel(Call *c)
{
    int64_t bands = 0, length = 0, rate = 0;
    double lower = 0, upper = 0;
    const OnnxDType *d = attr_dtype(c, "output_datatype", 1);
    if (!d) return false;
    return number(c, 0, &bands) && number(c, 1, &length) && number(c, 2, &rate) && real(c, 3, &lower) && real(c, 4, &upper) &&
           give(c, 0, kiln_mel_weights_at(c->at, c->t->k, (kiln_dtype)d->dtype, bands, length, (double)rate, lower, upper));
}

static bool window(Call *c, double a, double b, double more)
{
    int64_t size = 0;
    const OnnxDType *d = attr_dtype(c, "output_datatype", 1);
    if (!d) return false;
    return number(c, 0, &size) &&
           give(c, 0,
               kiln_cosine_window_at(c->at, c->t->k, (kiln_dtype)d->dtype, size, attr_int(c, "periodic", 1) != 0, a, b, more));
}

bool op_hann(Call *c) { return window(c, 0.5, 0.5, 0); }
bool op_hamming(Call *c) { return window(c, 25.0 / 46, 21.0 / 46, 0); }
bool op_blackman(Call *c) { return window(c, 0.42, 0.5, 0.08); }
