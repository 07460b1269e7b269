"""What the scripts beside this one print: cases of operations, with values that NumPy (or SciPy) computed. Each script prints the cases of one
kind: python3 tests/given/reduce.py > tests/given/reduce.txt; tests/given.h reads them. Tests need no Python."""
import numpy as np

NAMES = {'float16': 'f16', 'float32': 'f32', 'float64': 'f64', 'bool': 'bool', 'int8': 'i8', 'int16': 'i16', 'int32': 'i32', 'int64': 'i64',
         'uint8': 'u8', 'uint16': 'u16', 'uint32': 'u32', 'uint64': 'u64'}
random = np.random.default_rng(12)


def number(x):
    if x.dtype.kind == 'f':
        if not np.isfinite(x):
            return str(float(x))
        write = np.format_float_positional if 1e-4 <= abs(float(x)) < 1e6 or x == 0 else np.format_float_scientific
        return write(x, unique=True, trim='-')
    return str(int(x))


def tensor(what, x):
    x = np.asarray(x)
    shape = ','.join(str(n) for n in x.shape) or '-'
    print(what, NAMES[x.dtype.name], shape, *(number(v) for v in x.reshape(-1)))


def case(name, inputs, outputs, *numbers):
    """numbers: what the operation takes besides tensors. outputs: an array, or a tuple of them."""
    print('case', name, *numbers)
    for x in inputs:
        tensor('in', x)
    for y in outputs if isinstance(outputs, tuple) else (outputs,):
        tensor('out', y)


def lists(*values):
    """Numbers of a case that are lists: how many there are before each; None: -1."""
    flat = []
    for v in values:
        v = [v] if isinstance(v, (int, float, np.integer)) else v
        flat += [-1] if v is None else [len(v), *(int(n) if n == int(n) else n for n in v)]
    return flat


def drawn(dtype, *shape, lo=-4, hi=4):
    """Drawn elements; floats are multiples of 1/8, so that sums of them are exact."""
    dtype = np.dtype(dtype)
    if dtype.kind == 'f':
        return (random.integers(lo * 8, hi * 8, shape) / 8).astype(dtype)
    if dtype.kind == 'b':
        return random.integers(0, 2, shape).astype(bool)
    return random.integers(max(lo, 0) if dtype.kind == 'u' else lo, hi + 1, shape).astype(dtype)


def odd(x, *, every=5):
    """The same with NaN, infinities and -0 here and there."""
    x = np.array(x)
    flat = x.reshape(-1)
    flat[::every] = np.resize([np.nan, np.inf, -np.inf, -0.0], flat[::every].shape)
    return x


def distinct(dtype, *shape):
    """Elements of which no two are equal and none is 0: sixteenths that are no eighths, from about -n / 16 to n / 16."""
    n = int(np.prod(shape))
    return ((random.permutation(n) - n // 2) / 8 + 1 / 16).astype(dtype).reshape(shape)


def over(axes, keep=False):
    """Axes as numbers of a case, which given.h reads (OVER); None: all."""
    return (int(keep), -1) if axes is None else (int(keep), len(axes), *axes)
