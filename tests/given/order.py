"""Cases of running sums, order, places and counts (include/kiln/reduce.h)."""
import numpy as np
from given import case, distinct, drawn, odd

REVERSE, EXCLUSIVE, INITIAL, RIGHT = 1, 2, 8, 64


def along(x, axis, reverse):
    return np.flip(x, axis) if reverse else x


# ---- running
for x in (drawn('float32', 3, 5), drawn('int16', 4, 3, 2), drawn('bool', 2, 6), drawn('float64', 70), drawn('uint8', 2, 0)):
    for axis in (0, -1):
        for how in (INITIAL, REVERSE | INITIAL, EXCLUSIVE, REVERSE, 0):
            for name, sums in (('cumsum_how', np.cumsum), ('cumprod_how', np.cumprod)):
                dtype = np.int64 if x.dtype == bool else x.dtype
                y = x if name == 'cumsum_how' or x.dtype.kind != 'f' else np.clip(x, -2, 2)
                first = np.full([1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)], name == 'cumprod_how', dtype)
                with np.errstate(all='ignore'):
                    r = np.concatenate([first, sums(along(y, axis, how & REVERSE), axis, dtype=dtype)], axis)
                if not how & INITIAL:
                    n = x.shape[axis]
                    r = np.take(r, np.arange(n) + (0 if how & EXCLUSIVE else 1), axis)
                case(name, [y], along(r, axis, how & REVERSE), axis, how)


def running(x, axis, least):
    """The extreme so far and where it lies, of equals the last; a NaN stays."""
    x = np.moveaxis(x, axis, -1)
    best, at = x.copy(), np.zeros(x.shape, np.int64)
    for i in range(x.shape[-1]):
        at[..., i] = i
        if i:
            old = best[..., i - 1]
            with np.errstate(all='ignore'):
                earlier = (old < x[..., i] if least else old > x[..., i]) | (old != old)
            best[..., i] = np.where(earlier, old, x[..., i])
            at[..., i] = np.where(earlier, at[..., i - 1], i)
    return np.moveaxis(best, -1, axis), np.moveaxis(at, -1, axis)


for x in (distinct('float32', 4, 6), odd(drawn('float32', 2, 70), every=11), drawn('int8', 5, 3, 2), drawn('bool', 3, 5), drawn('uint64', 9),
          np.full((2, 3), -np.inf), drawn('float16', 2, 130), drawn('float32', 66, 2), drawn('int32', 3, 0)):
    for axis in (-1, 0):
        for how in (0, REVERSE):
            for name in ('cummax', 'cummin'):
                y, at = running(along(x, axis, how), axis, name == 'cummin')
                at = x.shape[axis] - 1 - at if how else at
                case(name, [x], (along(y, axis, how), along(at, axis, how)), axis, how)
                if x.size < 100:
                    case(name + '_of', [x], along(y, axis, how), axis, how)
ends = np.array([[-np.inf, -np.inf, -1000, 3, np.inf, 2, -np.inf], [-1000, 1000, -1000, 0, 0, np.nan, 1], [-np.inf, 0, -2000, 1e4, 1e4, 5, -np.inf]])
for x in (distinct('float32', 3, 5), ends, ends.astype('float32'), drawn('float64', 70), drawn('float16', 3, 9)):
    for axis in (-1, 0):
        for how in (0, REVERSE):
            with np.errstate(all='ignore'):
                y = np.logaddexp.accumulate(along(x, axis, how).astype(np.longdouble), axis)
            case('logcumsumexp', [x], along(y.astype(np.float64).astype(x.dtype), axis, how), axis, how)
for x in (drawn('float32', 4, 5), drawn('uint8', 3, 6), drawn('bool', 5, 3), drawn('int64', 7), drawn('float32', 3, 1)):
    for axis in (0, -1):
        for times in (1, 0, 2):
            case('diff', [x], np.diff(x, times, axis), axis, times)
        some = x[:, :1] if axis and x.ndim > 1 else x[:1]
        case('diff_joined', [x, some, x], np.diff(x, 1, axis, prepend=some, append=x), axis, 1)

# ---- the first few
for x in (distinct('float32', 3, 8), drawn('int16', 2, 9, lo=-2, hi=2), odd(drawn('float64', 3, 11)), odd(drawn('float32', 2, 300), every=3),
          drawn('bool', 2, 5)):
    for count in (3, 0, 1):
        for name in ('top_k', 'bottom_k'):
            key = x if x.dtype.kind == 'f' else x.astype(np.int64)
            key = np.where(np.isnan(key), np.inf, -key if name == 'top_k' else key) if x.dtype.kind == 'f' else -key if name == 'top_k' else key
            # NaN behind infinity
            at = np.lexsort((np.broadcast_to(np.arange(x.shape[-1]), x.shape), key, np.isnan(x.astype(np.float64))), -1)[..., :count]
            case(name, [x], (np.take_along_axis(x, at, -1), at.astype(np.int64)), count, -1)

# ---- places
for dtype in ('float32', 'int32', 'uint8', 'float16'):
    for n in (7, 1, 64, 0):
        s = np.sort(drawn(dtype, n))
        v = drawn(dtype, 3, 5, lo=-5, hi=5)
        for how in (0, RIGHT):
            case('searchsorted', [v, s], np.searchsorted(s, v, 'right' if how else 'left').astype(np.int64), how)
s = np.sort(odd(drawn('float64', 12)))
for how in (0, RIGHT):
    v = odd(drawn('float64', 9), every=2)
    case('searchsorted', [v, s], np.searchsorted(s, v, 'right' if how else 'left').astype(np.int64), how)
for dtype in ('float32', 'int16', 'bool', 'uint64'):
    for set_ in (drawn(dtype, 3, 4), drawn(dtype, 1), drawn(dtype, 0)):
        x = drawn(dtype, 4, 6)
        case('isin', [x, set_], np.isin(x, set_))
x = odd(drawn('float64', 12), every=2)
case('isin', [x, x[:5]], np.isin(x, x[:5]))

# ---- counts
for x in (drawn('float32', 5, 9), odd(drawn('float64', 40)), drawn('int32', 30), drawn('float32', 0)):
    edges = np.sort(distinct(x.dtype if x.dtype.kind == 'f' else 'float64', 6)) * 8
    for e in (edges, np.array([-1, 1], edges.dtype), np.array([-2, 0, 0, 2.5], edges.dtype)):
        y = x[~np.isnan(x)]
        case('histogram', [x, e], np.histogram(y, e)[0].astype(np.int64))
    for bins, lo, hi in ((5, -4, 4), (1, -1, 0.5), (7, -2, 3)):
        edges = np.linspace(lo, hi, bins + 1).astype(x.dtype if x.dtype.kind == 'f' else 'float64')
        case('histogram_range', [x], np.histogram(y, edges)[0].astype(np.int64), bins, lo, hi)
for x in (drawn('int32', 4, 9), drawn('uint8', 12), drawn('int64', 0)):
    y = x.reshape(-1)[(x.reshape(-1) >= 0) & (x.reshape(-1) < 4)]
    case('bincount', [x], np.bincount(y, minlength=4).astype(np.int64), 4)
    for dtype in ('float32', 'int16'):
        w = drawn(dtype, *x.shape)
        z = w.reshape(-1)[(x.reshape(-1) >= 0) & (x.reshape(-1) < 4)]
        case('bincount_weights', [w, x], np.bincount(y, z, minlength=4).astype(dtype), 4)

LEAST = {'i': lambda d: np.iinfo(d).min, 'u': lambda d: 0, 'f': lambda d: -np.inf}
MOST = {'i': lambda d: np.iinfo(d).max, 'u': lambda d: np.iinfo(d).max, 'f': lambda d: np.inf}
for x in (distinct('float32', 6, 2), drawn('int16', 8), drawn('uint8', 5, 3, 2), drawn('float16', 9, 2), drawn('float64', 0, 3), odd(drawn('float32', 12, 2))):
    i = drawn('int32' if x.ndim < 3 else 'uint8', x.shape[0], lo=-1, hi=4)
    if x.shape == (6, 2):
        i = np.array([0, 3, 1, 2, 0, -1], i.dtype)  # a row for each, so that differences are finite
    for name, first, fold in (('sum', lambda d: 0, np.add), ('prod', lambda d: 1, np.multiply), ('max', LEAST[x.dtype.kind], np.maximum), ('min', MOST[x.dtype.kind], np.minimum)):
        r = np.full((4, *x.shape[1:]), first(x.dtype), np.float32 if x.dtype == np.float16 else x.dtype)
        with np.errstate(all='ignore'):
            for row, to in enumerate(i):
                if 0 <= to < 4:
                    r[to] = fold(r[to], x[row])
        case('segment_' + name, [x, i], r.astype(x.dtype), 4)
        if name == 'sum' and x.dtype.kind == 'f':
            n = np.bincount(i[(i >= 0) & (i < 4)], minlength=4).reshape(4, *[1] * (x.ndim - 1))
            with np.errstate(all='ignore'):
                case('segment_mean', [x, i], (r / n.astype(r.dtype)).astype(x.dtype), 4)
