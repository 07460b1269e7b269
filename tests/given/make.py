"""Cases of creation (include/kiln/make.h)."""
import numpy as np
from given import case, drawn, lists

for name, dtype in (('arange_f32', 'float32'), ('arange_f64', 'float64')):
    for a, b, c in ((0, 5, 1), (1.5, 4, 0.25), (3, -2, -0.75), (2, 2, 1), (0, -1, 1), (0, 1, 0.1), (0, 3, float('inf'))):
        n = max(0, int(np.ceil((b - a) / c)))
        case(name, [], (a + np.arange(n) * np.float64(c if n > 1 else 0)).astype(dtype), a, b, c if np.isfinite(c) else 'inf')
for name, dtype in (('arange_i32', 'int32'), ('arange_u8', 'uint8'), ('arange_i64', 'int64')):
    for a, b, c in ((0, 5, 1), (3, 20, 7), (9, 2, -3), (2, 2, 1), (5, 0, 2), (250, 256, 2)):
        case(name, [], np.arange(a, b, c).astype(dtype), a, b, c)
case('arange_i64', [], np.arange(-2**40, 2**40, 2**39), -2**40, 2**40, 2**39)
for a, b, n, end in ((0, 1, 5, 1), (0, 1, 5, 0), (-2, 3, 1, 1), (2, 7, 1, 0), (1, 2, 0, 1), (0.1, 0.7, 7, 1), (3, 3, 4, 1), (5, -5, 11, 1), (0, 5e-324, 3, 1)):
    case('linspace_f64', [], np.linspace(a, b, n, bool(end)), a, b, n, end)
    if b > 1e-300:
        case('linspace_f32', [], np.linspace(a, b, n, bool(end), dtype='float32'), a, b, n, end)
for a, b, n, base in ((0, 3, 4, 10), (-1, 1, 5, 2), (0, 1, 0, 10)):
    case('logspace', [], np.logspace(a, b, n, base=base, dtype='float32'), a, b, n, base)
for rows, columns, k in ((3, 3, 0), (2, 4, 1), (4, 2, -1), (3, 3, 7), (0, 2, 0)):
    case('eye_f32', [], np.eye(rows, columns, k, dtype='float32'), rows, columns, k)
    case('eye_bool', [], np.eye(rows, columns, k, dtype=bool), rows, columns, k)
for x in (drawn('float32', 3, 2), drawn('float32', 2), drawn('int32', 0, 2), drawn('uint8'), drawn('float16', 4)):
    case('full_like', [x], np.full_like(x, 3))
for dtype in ('float32', 'float32', 'bool'):
    x = drawn(dtype, 4, 3)
    case('iota_along', [x], np.arange(3, dtype=np.int32), 1)
    case('iota_along', [x], np.arange(4, dtype=np.int32), -2)
x = drawn('float32', 4)
case('causal', [x], np.tri(4, dtype=bool))
a, b, c = drawn('float32', 3), drawn('float32', 2), drawn('float32', 4)
for xy in (0, 1):
    how = 'xy' if xy else 'ij'
    case('meshgrid', [a, b], tuple(np.meshgrid(a, b, indexing=how)), xy)
    case('meshgrid', [a, b, c], tuple(np.meshgrid(a, b, c, indexing=how)), xy)
    case('meshgrid', [a], tuple(np.meshgrid(a, indexing=how)), xy)
    i = drawn('int32', 2)
    case('meshgrid', [i, a[0]], tuple(np.meshgrid(i, a[0], indexing=how)), xy)
