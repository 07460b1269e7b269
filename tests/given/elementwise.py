"""Cases of the array API's elementwise functions (include/kiln/ops.h): drawn elements, and values that are special."""
import warnings
import numpy as np
from given import case, random

warnings.filterwarnings('ignore')
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -1])
FLOATS = ('float32', 'float64')
INTEGERS = ('int32', 'uint8', 'int64')


def drawn(dtype, lo, hi, *shape):
    if np.dtype(dtype).kind == 'f':
        return (lo + (hi - lo) * random.random(shape)).astype(dtype)
    return random.integers(int(max(lo, np.iinfo(dtype).min)), int(min(hi, np.iinfo(dtype).max)), shape, endpoint=True).astype(dtype)


def exact(f, *x):
    """In f64 where the operands are floats, rounded once."""
    dtype = x[0].dtype
    y = f(*(v.astype(np.float64) if dtype.kind == 'f' else v for v in x))
    return y.astype(dtype) if y.dtype == np.float64 and dtype.kind == 'f' else y


def one(name, f, lo=-4, hi=4, kinds=FLOATS, special=True):
    for dtype in kinds:
        for shape in ((5,), (2, 3)):
            x = drawn(dtype, lo, hi, *shape)
            case(name, [x], exact(f, x))
        if special and np.dtype(dtype).kind == 'f':
            case(name, [SPECIAL.astype(dtype)], exact(f, SPECIAL.astype(dtype)))


def two(name, f, lo=-4, hi=4, kinds=FLOATS, special=True, lo2=None, hi2=None):
    lo2, hi2 = lo if lo2 is None else lo2, hi if hi2 is None else hi2
    for dtype in kinds:
        for s, t in (((4,), (4,)), ((2, 3), (3,)), ((2, 1), ())):
            x, y = drawn(dtype, lo, hi, *s), drawn(dtype, lo2, hi2, *t)
            case(name, [x, y], exact(f, x, y))
        if special and np.dtype(dtype).kind == 'f':
            x, y = np.meshgrid(SPECIAL.astype(dtype), SPECIAL.astype(dtype))
            case(name, [x, y], exact(f, x, y))


ALL = FLOATS + INTEGERS
one('abs', np.abs, kinds=ALL)
one('acos', np.arccos, -1, 1)
one('acosh', np.arccosh, 1, 20)
one('asin', np.arcsin, -1, 1)
one('asinh', np.arcsinh)
one('atan', np.arctan)
one('atanh', np.arctanh, -1, 1)
one('ceil', np.ceil)
one('cos', np.cos)
one('cosh', np.cosh)
one('exp', np.exp)
one('expm1', np.expm1)
one('floor', np.floor)
one('isfinite', np.isfinite)
one('isinf', np.isinf)
one('isnan', np.isnan)
one('log', np.log, 0.1, 9)
one('log1p', np.log1p, -0.9, 9)
one('log2', np.log2, 0.1, 9)
one('log10', np.log10, 0.1, 9)
one('negative', np.negative, kinds=FLOATS + ('int32', 'int64'))
one('positive', np.positive, kinds=ALL)
one('reciprocal', np.reciprocal, 0.1, 4)
one('round', np.round)
one('sign', np.sign, kinds=ALL, special=False)
one('signbit', np.signbit)
one('sin', np.sin)
one('sinh', np.sinh)
one('square', np.square, kinds=ALL)
one('sqrt', np.sqrt, 0, 9)
one('tan', np.tan, -1, 1)
one('tanh', np.tanh)
one('trunc', np.trunc)
one('bitwise_invert', np.invert, kinds=INTEGERS)
two('add', np.add, kinds=ALL)
two('subtract', np.subtract, kinds=ALL)
two('multiply', np.multiply, kinds=ALL)
two('divide', np.divide, 1, 4)
two('atan2', np.arctan2)
two('copysign', np.copysign)
two('hypot', np.hypot)
two('logaddexp', np.logaddexp)
two('maximum', np.maximum, kinds=ALL, special=False)
two('minimum', np.minimum, kinds=ALL, special=False)
two('pow', np.power, 0.5, 3, special=False)
two('floor_divide', np.floor_divide, kinds=ALL, special=False, lo2=1, hi2=3)
two('remainder', np.remainder, kinds=ALL, special=False, lo2=1, hi2=3)
for dtype in FLOATS:  # neighbours are of the dtype itself
    x, y = drawn(dtype, -4, 4, 6), drawn(dtype, -4, 4, 6)
    case('nextafter', [x, y], np.nextafter(x, y))
    x, y = np.meshgrid(SPECIAL.astype(dtype), SPECIAL.astype(dtype))
    case('nextafter', [x, y], np.nextafter(x, y))
for name, f in (('equal', np.equal), ('not_equal', np.not_equal), ('less', np.less), ('less_equal', np.less_equal), ('greater', np.greater),
                ('greater_equal', np.greater_equal)):
    two(name, f, kinds=ALL)
for name, f in (('bitwise_and', np.bitwise_and), ('bitwise_or', np.bitwise_or), ('bitwise_xor', np.bitwise_xor)):
    two(name, f, 0, 100, kinds=INTEGERS)
    x, y = random.integers(0, 2, (2, 5)).astype(bool)
    case(name, [x, y], f(x, y))
two('bitwise_left_shift', np.left_shift, 0, 7, kinds=INTEGERS, lo2=0, hi2=4)
two('bitwise_right_shift', np.right_shift, 0, 100, kinds=INTEGERS, lo2=0, hi2=6)
case('logical_not', [np.array([True, False])], np.array([False, True]))
for dtype in ALL:
    x = drawn(dtype, -4, 9, 2, 4)
    case('clip', [x], np.clip(x, 1, 3))
