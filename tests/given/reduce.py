"""Cases of reductions, running sums and order (include/kiln/reduce.h)."""
import warnings

import numpy as np
import scipy.special
from given import case, distinct, drawn, odd, over

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

# ---- over several axes
AXES = [((1,), False), ((0, 2), True), (None, False), ((-1, 0), False), (None, True), ((), False)]


def each(name, x, how, axes=AXES, numbers=()):
    """A case for each choice of axes; how takes x, the axes and keep."""
    for a, keep in axes:
        rank = x.ndim
        if a is not None and any(not -rank <= i < rank for i in a):
            continue
        case(name, [x], np.asarray(how(x, tuple(range(rank)) if a is None else a, keep)), *over(a, keep), *numbers)


def wide(f):
    """In f64, rounded to x's dtype once."""
    return lambda x, a, keep: np.asarray(f(x.astype(np.float64), a, keep)).astype(x.dtype)


f = distinct('float32', 2, 3, 4)
nans = odd(distinct('float32', 3, 3, 4))
for x in (drawn('bool', 2, 3, 4), drawn('int16', 2, 3, 4), drawn('bool', 0, 3, 2), drawn('uint8', 3, 40)):
    kept = np.int64 if x.dtype == bool else x.dtype
    each('sum_over', x, lambda x, a, k: np.sum(x, a, dtype=kept, keepdims=k))
    each('prod_over', x, lambda x, a, k: np.prod(x, a, dtype=kept, keepdims=k))
for x in (nans, drawn('int32', 2, 3, 4, lo=-1, hi=1), drawn('bool', 2, 3, 4), drawn('float64', 2, 0, 3)):
    each('any_over', x, lambda x, a, k: np.any(x, a, keepdims=k))
    each('all_over', x, lambda x, a, k: np.all(x, a, keepdims=k))
    each('count_nonzero', x, lambda x, a, k: np.asarray(np.count_nonzero(x, a, keepdims=k) if a else (x != 0)).astype(np.int64))
for x in (f, drawn('int8', 2, 3, 4), drawn('uint16', 5, 2)):
    each('ptp', x, lambda x, a, k: np.ptp(x, a, keepdims=k) if a else x - x)
    each('reduce_l1', x, lambda x, a, k: np.sum(np.abs(x), a, dtype=x.dtype, keepdims=k))
    each('reduce_sum_square', x, lambda x, a, k: np.sum(x * x, a, dtype=x.dtype, keepdims=k))
far = np.array([[1000, 1001, -5], [-np.inf, -np.inf, -np.inf], [np.inf, 1, 2], [np.nan, 0, 0]], 'float32')
for x in (f, far, drawn('float64', 3, 70)):
    with np.errstate(all='ignore'):
        each('reduce_logsumexp', x, wide(lambda x, a, k: scipy.special.logsumexp(x, a, keepdims=k) if a else x))
for x in (np.abs(f), drawn('float64', 3, 70, lo=1)):
    each('reduce_log_sum', x, wide(lambda x, a, k: np.log(np.sum(x, a, keepdims=k))))
for x in (f, drawn('float64', 4, 33), distinct('float16', 5, 4)):
    for correction in (1, 0, 2.5, 40) if x is f else (1,):
        with np.errstate(all='ignore'):
            var = lambda x, a, k: np.sum((x - x.mean(a, keepdims=True)) ** 2, a, keepdims=k) / max(
                np.prod([x.shape[i] for i in a]) - correction, 0)
            some = [(a, k) for a, k in AXES if a != ()]
            each('var', x, wide(var), some, (correction,))
            each('std', x, wide(lambda x, a, k: np.sqrt(var(x, a, k))), some, (correction,))
w = drawn('float32', 3, 1, lo=1)
for x, by in ((f, w), (distinct('float64', 3, 4), drawn('float64', 4, lo=1)), (f, np.float32(2))):
    for a, keep in AXES:
        if a is None or all(-x.ndim <= i < x.ndim for i in a):
            a = tuple(range(x.ndim)) if a is None else a
            full = np.broadcast_to(by, x.shape).astype(np.float64)
            case('average', [x, by], (np.sum(x * full, a, keepdims=keep) / np.sum(full, a, keepdims=keep)).astype(x.dtype), *over(a, keep))
with np.errstate(all='ignore'):
    warnings.simplefilter('ignore')
    for x in (distinct('float32', 3, 2, 3), nans, np.where(np.isinf(nans), np.nan, nans), np.full((2, 3), np.nan), np.full((2, 3), np.nan, 'float16')):
        for name in ('nansum', 'nanprod', 'nanmean', 'nanmax', 'nanmin'):
            each(name, x, wide(lambda x, a, k: getattr(np, name)(x, a, keepdims=k) if a else np.where(np.isnan(x), {'nansum': 0, 'nanprod': 1}.get(name, np.nan), x)))

# ---- norms
for x in (distinct('float32', 2, 3, 4), distinct('float64', 3, 5), odd(distinct('float32', 3, 4)), np.zeros((2, 3)),
          distinct('float32', 3, 4) * np.float32(1e30), distinct('float64', 2, 3) * 1e-300, distinct('float16', 3, 4)):
    for p in (2, 1, 3, 0.5, -1, np.inf, -np.inf, 0):
        def norm(x, a, k):
            v = np.abs(x)
            if p == 0:
                return np.sum(v != 0, a, keepdims=k).astype(float)
            if np.isinf(p):
                return v.max(a, keepdims=k) if p > 0 else v.min(a, keepdims=k)
            m = np.max(np.where(np.isfinite(v), v, 1), a, keepdims=True) if a else np.where(np.isfinite(v), v, 1)
            m[m == 0] = 1
            r = np.sum((v / m) ** p, a, keepdims=True) ** (1 / p) * m
            return r if k else r.reshape(np.sum(v, a).shape)
        with np.errstate(all='ignore'):
            name = {2: 'norm_2', 3: 'norm_3'}.get(p, 'norm')
            each(name, x, wide(norm), AXES[:4], (p,))
for x in (distinct('float32', 2, 3, 4), odd(distinct('float64', 3, 4))):
    for p in (0, 1, -1, np.inf, -np.inf):
        for a, keep in (((-2, -1), False), ((0, 1), True), ((1, 0), False)):
            with np.errstate(all='ignore'):
                case('matrix_norm', [x], np.asarray(np.linalg.norm(x.astype(np.float64), p or 'fro', a, keepdims=keep)).astype(x.dtype), *over(a, keep), p)

# ---- quantiles
METHODS = ['linear', 'lower', 'higher', 'nearest', 'midpoint', 'inverted_cdf', 'averaged_inverted_cdf', 'hazen', 'weibull', 'median_unbiased',
           'normal_unbiased']
for x in (distinct('float32', 3, 4, 2), drawn('float64', 3, 7), distinct('float16', 3, 5), np.where(drawn('bool', 3, 4), np.nan, 1.5)):
    some = [(a, k) for a, k in AXES if a != ()]
    each('median', x, wide(lambda x, a, k: np.median(x, a, keepdims=k)), some)
    for number, method in enumerate(METHODS):
        for q in (0.3, 0, 1, 0.5, 0.75) if number in (0, 5, 6) and x.ndim == 3 else (0.3,):
            each('quantile', x, wide(lambda x, a, k: np.quantile(x, q, a, method=method, keepdims=k)), some[:3], (q, number))
        for a, keep in some[:1 + (number < 2)]:
            q = np.array([0.27, 0.61, 0.9, 0.1] if x.ndim == 3 else [0.25, 0.6, 1, 0])
            if all(-x.ndim <= i < x.ndim for i in a):
                case('quantile_many', [x, q], np.quantile(x.astype(np.float64), q, a, method=method, keepdims=keep).astype(x.dtype),
                     *over(a, keep), number)
infinite = np.array([1, np.inf, np.inf, -np.inf])
case('median', [infinite], np.array(np.inf), *over(None))
case('quantile', [infinite], np.array(-np.inf), *over(None), 0.1, 0)

# ---- places of extremes
for x in (drawn('float32', 3, 4, 5, lo=-1, hi=1), odd(drawn('float32', 3, 4)), drawn('uint8', 2, 3, 4, hi=2), drawn('bool', 4, 5), drawn('float64', 3)):
    for name, find in (('argmax_over', np.argmax), ('argmin_over', np.argmin)):
        for last in (0, 32):
            for a, keep in [(0,), False], [(-1,), True], [None, False], [None, True], [(1, 0), False], [(0, 1), True]:
                if a is not None and any(not -x.ndim <= i < x.ndim for i in a):
                    continue
                if last and x.dtype.kind == 'f' and np.isnan(x).any():
                    continue
                b = tuple(range(x.ndim)) if a is None else tuple(sorted(i % x.ndim for i in a))
                line = np.moveaxis(x, b, range(x.ndim - len(b), x.ndim))
                line = line.reshape(*line.shape[:x.ndim - len(b)], -1)
                at = line.shape[-1] - 1 - find(line[..., ::-1], -1) if last else find(line, -1)
                at = np.asarray(at, np.int64)
                case(name, [x], at.reshape([1 if i in b else n for i, n in enumerate(x.shape)]) if keep else at, *over(a, keep), last)
for x in (drawn('bool', 3, 4), drawn('bool', 5)):
    case('argmax', [x], np.argmax(x, 0).astype(np.int64), 0)
