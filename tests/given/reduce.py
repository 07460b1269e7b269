"""Cases of reductions, running sums and order (include/kiln/reduce.h)."""
import numpy as np
from given import case, drawn, odd

for dtype in ('float32', 'float64', 'int32', 'uint8', 'int64'):
    for shape in ((3, 4), (2, 3, 5), (7,)):
        x = drawn(dtype, *shape)
        last = len(shape) - 1
        case('sum_axis', [x], np.sum(x, last, dtype=dtype), last)
        case('max_axis', [x], np.max(x, 0), 0)
        case('min_axis', [x], np.min(x, last), last)
        case('argmax', [x], np.argmax(x, last).astype(np.int64), last)
        case('argmin', [x], np.argmin(x, 0).astype(np.int64), 0)
        case('sort', [x], np.sort(x, last), last, 0)
        case('argsort', [x], np.argsort(x, last, kind='stable'), last)
        case('cumsum', [x], np.cumsum(x, last, dtype=dtype), last)
for shape in ((3, 4), (2, 0), (5,)):
    x = drawn('float32', *shape)
    case('prod_all', [x], np.prod(x))
    case('sum_all', [x], np.sum(x))
for dtype in ('float32', 'float64'):
    x = drawn(dtype, 3, 8)
    case('mean_axis', [x], x.mean(1), 1)
    case('variance_axis', [x], x.var(1), 1)
    y = odd(drawn(dtype, 4, 6))
    case('max_axis', [y], y.max(1), 1)
    case('sort', [y], np.sort(y, 1), 1, 0)
