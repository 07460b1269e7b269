"""Cases of Fourier transforms (include/kiln/fft.h). Numbers: length, axis, norm; of several axes: norm, how many axes, axes, sizes."""
import numpy as np
from given import case, random

NORMS = ('backward', 'ortho', 'forward')


def pair(z):
    z = np.asarray(z)
    return np.stack([z.real, z.imag], -1)


def complex_of(x):
    return x[..., 0].astype(np.float64) + 1j * x[..., 1].astype(np.float64)


def drawn(dtype, *shape):
    return random.standard_normal(shape).astype(dtype)


for dtype in ('float64', 'float32'):
    for shape, n, axis, norm in (((5,), 0, 0, 0), ((3, 4), 0, -1, 0), ((3, 4), 0, 0, 1), ((8, 3), 5, 0, 2), ((2, 3), 7, -1, 1), ((1,), 0, 0, 0),
                                 ((2, 66), 0, 1, 0), ((67,), 0, 0, 0), ((90, 2), 0, 0, 2), ((134,), 0, 0, 1), ((2, 3, 4), 0, 1, 0)):
        if dtype == 'float32' and max(shape) > 60 and shape != (67,):
            continue
        z, x = drawn(dtype, *shape, 2), drawn(dtype, *shape)
        length = n or shape[axis]
        for name in ('fft', 'ifft'):
            case(name, [z], pair(getattr(np.fft, name)(complex_of(z), n or None, axis, NORMS[norm])).astype(dtype), n, axis, norm)
        for name in ('rfft', 'ihfft'):
            case(name, [x], pair(getattr(np.fft, name)(x.astype(np.float64), n or None, axis, NORMS[norm])).astype(dtype), n, axis, norm)
        for name in ('irfft', 'hfft'):
            if not n and shape[axis] == 1:
                continue
            case(name, [z], getattr(np.fft, name)(complex_of(z), n or None, axis, NORMS[norm]).astype(dtype), n, axis, norm)
    for shape, axes, sizes, norm in (((3, 4), (0, 1), (), 0), ((2, 3, 4), (0, -1), (3, 5), 1), ((4, 3, 2), (2, 0), (), 2), ((5,), (0,), (4,), 0)):
        z, x = drawn(dtype, *shape, 2), drawn(dtype, *shape)
        for name in ('fftn', 'ifftn'):
            y = getattr(np.fft, name)(complex_of(z), sizes or None, axes, NORMS[norm])
            case(name, [z], pair(y).astype(dtype), norm, len(axes), *axes, *sizes)
        case('rfftn', [x], pair(np.fft.rfftn(x.astype(np.float64), sizes or None, axes, NORMS[norm])).astype(dtype), norm, len(axes), *axes, *sizes)
        case('irfftn', [z], np.fft.irfftn(complex_of(z), sizes or None, axes, NORMS[norm]).astype(dtype), norm, len(axes), *axes, *sizes)
for shape in ((5,), (4, 3), (2, 5)):
    x = random.integers(0, 100, shape).astype(np.int32)
    for name in ('fftshift', 'ifftshift'):
        case(name, [x], getattr(np.fft, name)(x, 0), 0)
        case(name, [x], getattr(np.fft, name)(x, -1), -1)
for n in (1, 4, 5):
    case('fftfreq', [], np.fft.fftfreq(n, 0.5), n, 0.5)
    case('rfftfreq', [], np.fft.rfftfreq(n, 0.5), n, 0.5)
for shape, size, hop in (((20,), 8, 4), ((2, 19), 6, 2), ((9,), 9, 1)):
    x, w = drawn('float64', *shape), np.hanning(size + 1)[:size] + 0.1
    frames = np.stack([x[..., i:i + size] * w for i in range(0, shape[-1] - size + 1, hop)], -2)
    y = np.fft.rfft(frames)
    case('stft', [x, w], pair(y), hop)
    used = (frames.shape[-2] - 1) * hop + size
    case('istft', [pair(y), w], x[..., :used], hop)
# Powers of two go through stages: the innermost axis beyond 64 elements, others where at least 8 elements lie side by side.
for shape, axis, norm in (((128,), 0, 0), ((2, 9), 0, 0), ((4, 8), 0, 2), ((2, 8, 3, 3), 1, 0), ((16, 8), 0, 1)):
    z, x = drawn('float64', *shape, 2), drawn('float64', *shape)
    for name in ('fft', 'ifft'):
        case(name, [z], pair(getattr(np.fft, name)(complex_of(z), None, axis, NORMS[norm])), 0, axis, norm)
    for name in ('rfft', 'ihfft'):
        case(name, [x], pair(getattr(np.fft, name)(x, None, axis, NORMS[norm])), 0, axis, norm)
    case('irfft', [z], np.fft.irfft(complex_of(z), None, axis, NORMS[norm]), 0, axis, norm)
