"""Cases of movement: shapes, axes, pads, windows, diagonals, subscripts and indices (include/kiln/move.h)."""
import numpy as np
import torch
from given import case, drawn, lists, odd, random

ALL = ('float32', 'int32', 'bool', 'uint8', 'int64', 'float64', 'float16')


def arrays(*shapes, dtypes=ALL):
    """Two of f32, which run in all modes and have gradients, then other dtypes."""
    yield drawn('float32', *shapes[0])
    yield odd(drawn('float32', *shapes[-1]))
    for dtype in dtypes[1:]:
        yield drawn(dtype, *shapes[0])


# ---- axes
for x in arrays((3, 1, 4)):
    case('expand_dims', [x], np.expand_dims(x, (0, -1, 3)), *lists((0, -1, 3)))
    case('squeeze_dims', [x], np.squeeze(x, (1,)), *lists((-2,)))
    case('moveaxis', [x], np.moveaxis(x, (0, -1), (2, 0)), *lists((0, -1), (2, 0)))
    case('swapaxes', [x], np.swapaxes(x, 0, -1), *lists(0, -1))
    case('flip', [x], np.flip(x, (0, 2)), *lists((0, -1)))
x = drawn('float32')
case('expand_dims', [x], np.reshape(x, (1, 1)), *lists((1, 0)))
case('expand_dims', [drawn('int32', 0, 2)], np.zeros((0, 1, 2), 'int32'), *lists((1,)))
x = drawn('int32', 1, 3, 1)
case('squeeze_dims', [x], np.squeeze(x), *lists(None))
case('squeeze_dims', [x], x, *lists(()))
x = drawn('int8', 2, 3, 4, 5)
case('moveaxis', [x], np.moveaxis(x, (3, 1, 0), (-4, 2, -1)), *lists((3, 1, 0), (-4, 2, -1)))
case('moveaxis', [x], x, *lists((), ()))
case('flip', [x], np.flip(x), *lists(None))
case('flip', [drawn('bool', 0, 3)], np.zeros((0, 3), bool), *lists((0,)))
for turns in (1, 3, 2, 4, -1, -6):
    x = drawn('float32', 2, 3, 4)
    case('rot90', [x], np.rot90(x, turns, (0, 2)), *lists(turns, 0, -1))
    case('rot90', [x], np.rot90(x, turns, (2, 1)), *lists(turns, 2, 1))
for x in arrays((3, 4)):
    case('roll', [x], np.roll(x, (1, -2), (0, 1)), *lists((1, -2), (0, -1)))
    case('roll', [x], np.roll(x, 5), *lists(5, None))
for by, axes in ((7, (0,)), (-9, (1,)), ((0, 4), (0, 1)), (2, (0, 1)), (2**40 + 1, (0,)), (-2**62, (0,)), (0, None), (-13, None)):
    x = drawn('int32', 3, 4)
    a = (0, 1) if axes is None else axes
    case('roll', [x], np.roll(x, by if axes is None else tuple(np.resize(by, len(a))), axes), *lists(by, axes))
case('roll', [np.zeros((0, 3), 'float32')], np.zeros((0, 3), 'float32'), *lists(2, (0,)))
case('roll', [np.float32(4)], np.float32(4), *lists(3, None))
a, b = drawn('float32', 3, 1), drawn('float32', 2)
case('broadcast_like', [a, drawn('float32', 3, 5)], np.broadcast_to(a, (3, 5)))
case('broadcast_like', [b, drawn('bool', 4, 1, 2)], np.broadcast_to(b, (4, 1, 2)))
case('broadcast_arrays', [a, b], tuple(np.broadcast_arrays(a, b)))
i = drawn('int32', 2, 1, 3)
case('broadcast_arrays', [i, b[:1]], tuple(np.broadcast_arrays(i, b[:1])))

# ---- pads; negative amounts cut
MODES = ('edge', 'reflect', 'symmetric', 'wrap')


def padded(x, low, high, mode, **more):
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for a, b, n in zip(low, high, x.shape))
    return np.pad(x[cut], [(max(a, 0), max(b, 0)) for a, b in zip(low, high)], mode, **more)


for how, mode in enumerate(MODES):
    for x in arrays((3, 4), dtypes=ALL[:4]):
        case('pad_with', [x], padded(x, (0, 2), (0, 1), mode), *lists((0, 2), (0, 1), how))
    for low, high in (((2, 1), (1, 3)), ((7, 0), (0, 11)), ((-1, 2), (1, -2)), ((0, 0), (0, 0)), ((-1, 9), (8, -1))):
        x = drawn('float32', 3, 4)
        case('pad_with', [x], padded(x, low, high, mode), *lists(low, high, how))
    x = drawn('int32', 1, 2)
    case('pad_with', [x], padded(x, (3, 0), (2, 0), mode), *lists((3, 0), (2, 0), how))
    x = drawn('float32', 2)
    case('pad_by_index', [x], padded(x, (5,), (3,), mode), *lists((5,), (3,), how))
for x in arrays((3, 4), dtypes=ALL[:3]):
    case('pad', [x], padded(x, (0, -1), (0, 2), 'constant'), *lists((0, -1), (0, 2)))
x = drawn('int32', 3, 4)
case('pad', [x], padded(x, (-3, 1), (0, 0), 'constant'), *lists((-3, 1), (0, 0)))
case('pad', [x], padded(x, (-1, -2), (-1, -2), 'constant'), *lists((-1, -2), (-1, -2)))

# ---- repeats, parts
for x in arrays((2, 3)):
    case('tile', [x], np.tile(x, (2, 3)), *lists((2, 3)))
    case('repeat', [x], np.repeat(x, 2, 1), *lists(2, -1))
    case('repeat', [x], np.repeat(x, 3, 0), *lists(3, 0))
    case('repeat_each', [x, np.array([2, 0, 3])], np.repeat(x, [2, 0, 3], 1), *lists(1))
x = drawn('int32', 2, 3)
for times in ((2,), (2, 1, 3), (), (0, 2), (1, 1)):
    case('tile', [x], np.tile(x, times), *lists(times))
case('tile', [np.int32(3)], np.tile(np.int32(3), (2, 2)), *lists((2, 2)))
case('repeat', [x], np.repeat(x, 0, 0), *lists(0, 0))
case('repeat_each', [x, np.array([2], 'int32')], np.repeat(x, 2, 1), *lists(1))
for x in arrays((4, 6), dtypes=ALL[:3]):
    case('split3', [x], tuple(np.split(x, 3, 1)), *lists(None, 1))
    case('split3', [x], tuple(np.split(x, [1, 3], -1)), *lists((1, 2, 3), -1))
    case('split3', [x], tuple(np.split(x, [0, 2], 1)), *lists((0, 2, -1), 1))
x = drawn('float32', 4, 3)
case('unstack3', [x], tuple(x[:, i] for i in range(3)), *lists(1))
case('unstack3', [x], tuple(x[:, i] for i in range(3)), *lists(-1))
a, b = drawn('float32', 2, 3), drawn('float32', 4)
case('concat_flat', [a, b], np.concatenate([a, b], None))
case('concat_flat', [np.float32(1), b], np.concatenate([np.float32(1), b], None))

# ---- windows, blocks
def windows(x, axes, sizes, steps):
    y = np.lib.stride_tricks.sliding_window_view(x, sizes, axes)
    at = [slice(None)] * y.ndim
    for a, s in zip(axes, steps):
        at[a % x.ndim] = slice(None, None, s)
    return y[tuple(at)]


for x in arrays((4, 7), dtypes=ALL[:4]):
    case('windows', [x], windows(x, (1,), (3,), (1,)), *lists((1,), (3,), ()))
    case('windows', [x], windows(x, (1,), (2,), (2,)), *lists((-1,), (2,), (2,)))
x = drawn('float32', 4, 5)
case('windows', [x], windows(x, (1, 0), (3, 2), (2, 1)), *lists((1, 0), (3, 2), (2, 1)))
case('windows', [x], windows(x, (0, 1), (4, 5), (1, 1)), *lists((0, 1), (4, 5), ()))
for order in (0, 1):
    for dtype in ('float32', 'float32', 'int32'):
        x = drawn(dtype, 2, 8, 2, 3)
        y = x.reshape(2, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2) if order == 0 else x.reshape(2, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3)
        y = np.ascontiguousarray(y).reshape(2, 2, 4, 6)
        case('depth_to_space', [x], y, *lists(2, 1, order))
        case('space_to_depth', [y], x, *lists(2, 1, order))
        x, y = np.moveaxis(x, 1, -1), np.moveaxis(y, 1, -1)
        case('depth_to_space', [x], y, *lists(2, -1, order))
        case('space_to_depth', [y], x, *lists(2, 3, order))
x = drawn('float32', 1, 6, 2)
case('depth_to_space', [x], x.reshape(1, 3, 2, 2).transpose(0, 2, 3, 1).reshape(1, 2, 6), *lists(3, 1, 0))

# ---- diagonals
for x in arrays((3, 4)):
    for k in (0, -2, 1):
        case('triu', [x], np.triu(x, k), *lists(k))
        case('tril', [x], np.tril(x, k), *lists(k))
        case('diagonal', [x], np.diagonal(x, k), *lists(k, 0, 1))
x = drawn('float32', 2, 3, 3)
case('tril', [odd(x)], np.tril(odd(x)), *lists(0))
for k in (0, 1, -1, 5, -9, 2**40):
    case('triu', [x], np.triu(x, k), *lists(k))
    case('tril', [x], np.tril(x, k), *lists(k))
    case('diagonal', [x], np.diagonal(x, min(k, 99), 2, 0), *lists(k, 2, 0))
    case('trace', [x], np.trace(x, min(k, 99), 1, 2), *lists(k, -2, -1))
for x in (drawn('float32', 3, 3), drawn('float32', 4, 2), drawn('int32', 3, 5)):
    case('trace', [x], np.trace(x, dtype=x.dtype), *lists(0, 0, 1))
for x in arrays((3,)):
    for k in (0, 1, -2):
        case('diag', [x], np.diag(x, k), *lists(k))
x = drawn('float32', 2, 2)
case('diag', [x], np.stack([np.diag(r, -1) for r in x]), *lists(-1))
case('diag', [np.zeros(0, 'float32')], np.zeros((2, 2), 'float32'), *lists(2))

# ---- subscripts: what NumPy takes, and as numbers
END = 2**62


def spelled(index, first):
    """The numbers of a subscript list; arrays are the inputs from `first` on."""
    inputs, numbers = [], []
    for i in index:
        if i is Ellipsis:
            numbers.append((5,))
        elif i is None:
            numbers.append((4,))
        elif isinstance(i, slice) and i == slice(None):
            numbers.append((3,))
        elif isinstance(i, slice):
            step = i.step or 1
            start = (0 if step > 0 else -1) if i.start is None else i.start
            numbers.append((1, start, END if i.stop is None else i.stop, step))
        elif isinstance(i, np.ndarray):
            numbers.append((6, first + len(inputs)))
            inputs.append(i)
        else:
            numbers.append((0, i))
    return inputs, lists(*numbers)


def index(x, *at, name='index'):
    inputs, numbers = spelled(at, 1)
    case(name, [x, *inputs], x[at], *numbers)


def update(x, v, how, *at, name='update'):
    inputs, numbers = spelled(at, 2)
    y = x.copy()
    if how == 0:
        y[at] = v
    else:
        (np.add, np.multiply, np.maximum, np.minimum)[how - 1].at(y, at, v)
    case(name, [x, v, *inputs], y, *lists(how), *numbers)


s, e = slice, Ellipsis
I = np.array([0, 2, 1, 2])
J = np.array([[1], [2]], 'int32')
for x in arrays((3, 4, 5), dtypes=ALL[:5]):
    index(x, s(None), 1, s(1, -1))
    index(x, e, np.array([4, 0, 4]))
    index(x, 0, s(None, None, -1), None, s(4, 0, -2))
    index(x, s(None), np.array(2), s(0, 2))
x = drawn('int32', 3, 4, 5)
for at in ((), (e,), (2,), (-1, -1, -1), (e, -2), (1, e, 0), (None,), (s(5, 1),), (s(-2, None), s(None, None, 3)), (None, e, None, 1, None),
           (I,), (s(None), J), (I, I), (I, J), (J, s(1, 3), I), (I, s(None), J), (s(None), I, J), (s(None), J, 2), (J, 2), (2, e, J),
           (1, s(None), I), (np.array(1), s(None), I), (np.array(2), np.array(0)), (None, I, None, J), (J, None, I), (I, e, J), (I, I, e, I),
           (s(None), I[:0]), (np.zeros((2, 0), 'int64'), J[:, 0][:, None] * 0), (-1, I), (s(1, None), 3, J), (I.astype('uint8'), s(None, None, -2))):
    index(x, *at)
index(np.int32(7))
index(np.int32(7), None, e, None)
x = drawn('float32', 4, 6)
for start, size in ((2, 3), (-1, 2), (5, 3), (0, 6)):
    a = min(max(start, 0), 6 - size)
    case('index_from', [x, np.array(start)], x[:, a:a + size], *lists(size))
    case('index_from_number', [x], x[:, a:a + size], *lists(start, size))
x = drawn('float32', 3, 4)
v = drawn('float32', 3, 2)
update(x, v, 0, s(None), s(1, 3))
update(x, v, 1, e, s(2, 0, -1))
for how in range(5):
    x, v = drawn('float32', 3, 4), drawn('float32', 2, 1, lo=1)
    update(x, v, how, s(1, None), s(None, None, -1))
    update(x, v[:, 0], how, np.array([1, 0]), np.array([3, 2]), name='update_at')
    update(x, drawn('float32', 3, 3), how, e, np.array([3, 0, 2]), name='update_at')
    x = drawn('int32', 3, 4)
    update(x, np.int32(2), how, 2, s(None, None, 2))
    update(x, drawn('int32', 4, 4), how, I)
    update(x, drawn('int32', 2), how, 1, np.array([2, 2]))
for at in ((s(None, None, 2), s(1, None, 2)), (s(-1, None, -2), s(0, None, 5)), (e, s(-2, 0, -2)), (1, s(3, None, -3)), (s(0, 1, 9), s(None, None, 3))):
    x = drawn('float32', 3, 4)
    v = drawn('float32', *x[at].shape)
    for how in (0, 1, 3):
        update(x, v, how, *at)
update(drawn('bool', 3, 4), np.bool_(True), 0, s(None), 1)
update(drawn('bool', 3, 4), np.array([True, False]), 0, s(None), np.array([1, 3]))
update(drawn('int32', 3, 4), drawn('int32', 0, 4), 0, s(3, None))

# ---- rows of coordinates, indices along an axis
for x in arrays((3, 4, 2), dtypes=ALL[:4]):
    i = np.array([[0, 1], [2, 3], [0, 1]])
    case('gather_nd', [x, i], x[tuple(i.T)], *lists(0))
    case('gather_nd', [x, np.array([[[1], [3]], [[0], [0]], [[2], [1]]])],
         np.stack([x[b][np.array(r)] for b, r in enumerate(([1, 3], [0, 0], [2, 1]))]), *lists(1))
x = drawn('int32', 2, 3, 4)
case('gather_nd', [x, np.array([1, 2, 3], 'int32')], x[1, 2, 3], *lists(0))
case('gather_nd', [x, np.array([[[1, 2]], [[0, 3]]], 'uint8')], np.array([[x[0, 1, 2]], [x[1, 0, 3]]]), *lists(1))
case('gather_nd', [x, np.array([[[1], [2], [0]], [[3], [3], [3]]])], np.take_along_axis(x, np.array([[[1], [2], [0]], [[3], [3], [3]]]), 2)[..., 0],
     *lists(2))
case('gather_nd', [x, np.zeros((0, 2), 'int64')], np.zeros((0, 4), 'int32'), *lists(0))
for how in range(5):
    for dtype in ('float32', 'int32'):
        x = drawn(dtype, 3, 4, 2)
        for i in (np.array([[0, 1], [2, 3], [1, 1]]), np.array([[[2], [0]]])):
            v = drawn(dtype, *i.shape[:-1], *x.shape[i.shape[-1]:])
            y = x.copy()
            at = tuple(np.moveaxis(i, -1, 0))
            if how == 0:
                y[at] = v
            else:
                (np.add, np.multiply, np.maximum, np.minimum)[how - 1].at(y, at, v)
            case('scatter_nd', [x, i, v], y, *lists(how))
        x, i = drawn(dtype, 3, 4), np.array([[1, 0, 3], [2, 2, 0]])
        if how == 0:
            i = np.array([[1, 0, 3], [2, 3, 0]])
        v = drawn(dtype, 2, 3)
        t = torch.from_numpy(x.copy())
        for axis in (1, -2):
            j = i if axis == 1 else np.minimum(i, 2) if how else np.array([[1, 0, 2], [2, 1, 0]])
            args = axis, torch.from_numpy(j), torch.from_numpy(v)
            y = t.scatter(*args) if how == 0 else t.scatter_reduce(*args, ('sum', 'prod', 'amax', 'amin')[how - 1])
            case('scatter_along', [x, j, v], y.numpy(), *lists(axis, how))
x = drawn('float32', 2, 3)
y = x.copy()
np.put(y, [5, 0, 2], [1, 2, 3])
case('put', [x, np.array([5, 0, 2]), np.array([1, 2, 3], 'float32')], y)
