"""Cases of pooling and windows (include/kiln/window.h): torch's and ONNX Runtime's values. Options of windows are numbers in the order of `windows`."""
import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from given import case, distinct, drawn, odd, random

SAME = {'NOTSET': 0, 'SAME_UPPER': 1, 'SAME_LOWER': 2}
PLANE, WHOLE, COLUMNS = 0, 1, 2
MAX, AVERAGE, LP = 0, 1, 2


def onnx(op, inputs, outputs=1, version=22, **attributes):
    names = ['x%d' % i if x is not None else '' for i, x in enumerate(inputs)]
    given = {n: x for n, x in zip(names, inputs) if x is not None}
    results = ['y%d' % i for i in range(outputs)]
    node = helper.make_node(op, names, results, **attributes)
    graph = helper.make_graph([node], 'g', [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
                                            for n, x in given.items()],
                              [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in results])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', version)], ir_version=10)
    for v in model.graph.output:
        v.ClearField('type')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    got = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, given)
    return got[0] if outputs == 1 else tuple(got)


def t(x):
    return torch.from_numpy(np.ascontiguousarray(x))


def last(x):
    """Channels first to channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def windows(size, *, stride=None, dilation=None, pad=None, same='NOTSET', ceil=False, count_pad=False, first=True, divisor=0, p=0):
    n = len(size)
    pad = pad or [0] * (2 * n)
    return (n, *size, *(stride or [0] * n), *(dilation or [0] * n), *pad, SAME[same], int(ceil), int(count_pad), int(first), divisor, p)


def attributes(size, *, stride=None, dilation=None, pad=None, same='NOTSET', ceil=False, **_):
    a = {'kernel_shape': size, 'strides': stride or size, 'auto_pad': same}
    if ceil:
        a['ceil_mode'] = 1
    if dilation:
        a['dilations'] = dilation
    if pad:
        a['pads'] = pad
    return a


def both(name, inputs, outputs, *numbers, **options):
    """Channels first and channels last."""
    case(name, inputs, outputs, *numbers, *windows(**options))
    many = outputs if isinstance(outputs, tuple) else (outputs,)
    case(name, [last(x) for x in inputs], tuple(last(y) for y in many), *numbers, *windows(**options, first=False))


def lp(x, p, **options):
    """ONNX Runtime's average with a divisor of one's own."""
    a = attributes(**options)
    a.pop('ceil_mode', 0)
    power = np.abs(x.astype('float64')) ** p
    size, pad, n = options['size'], options.get('pad') or [0] * (2 * len(options['size'])), len(options['size'])
    power = np.pad(power, [(0, 0), (0, 0)] + [(pad[i], pad[n + i]) for i in range(n)])
    view = np.lib.stride_tricks.sliding_window_view(power, size, tuple(range(2, 2 + n)))
    steps = options.get('stride') or size
    view = view[(slice(None), slice(None), *(slice(None, None, s) for s in steps))]
    return (view.sum(tuple(range(2 + n, 2 + 2 * n))) ** (1 / p)).astype(x.dtype)


SHAPES = {1: (2, 2, 9), 2: (2, 2, 6, 5), 3: (1, 2, 4, 3, 5)}
OPTIONS = [
    dict(size=[3, 2], stride=[2, 1]), dict(size=[2, 2]), dict(size=[3, 3], stride=[2, 2], pad=[1, 1, 1, 1]),
    dict(size=[3, 3], stride=[2, 2], pad=[1, 1, 1, 1], ceil=True), dict(size=[2, 3], stride=[3, 4], ceil=True), dict(size=[2, 2], stride=[3, 3], pad=[1, 0, 0, 1], ceil=True),
    dict(size=[3, 2], stride=[1, 2], dilation=[2, 3], pad=[2, 1, 0, 1]), dict(size=[3, 2], stride=[2, 2], same='SAME_UPPER'), dict(size=[4, 3], stride=[2, 2], same='SAME_LOWER'),
    dict(size=[3], stride=[2]), dict(size=[4], stride=[3], pad=[2, 1], ceil=True), dict(size=[2], stride=[1], dilation=[3]), dict(size=[3], stride=[2], same='SAME_LOWER'),
    dict(size=[2, 3, 2], stride=[2, 1, 3]), dict(size=[3, 2, 3], stride=[2, 2, 2], pad=[1, 0, 1, 1, 1, 1], ceil=True), dict(size=[3, 3, 3], stride=[2, 2, 2], same='SAME_UPPER'),
    dict(size=[2, 2, 2], stride=[1, 1, 2], dilation=[2, 1, 3], pad=[1, 0, 0, 0, 1, 1])]

# ---- kinds
for o in OPTIONS:
    x = distinct('float32', *SHAPES[len(o['size'])])
    both('pool', [x], onnx('MaxPool', [x], **attributes(**o)), MAX, **o)
    y = onnx('MaxPool', [x], 2, **attributes(**o))
    case('pool_indices', [x], y, WHOLE, *windows(**o))
    y = onnx('MaxPool', [x], 2, storage_order=1, **attributes(**o))
    case('pool_indices', [x], y, COLUMNS, *windows(**o))
    x = drawn('float32', *SHAPES[len(o['size'])])
    both('pool_smooth', [x], onnx('AveragePool', [x], **attributes(**o)), AVERAGE, **o)
    if not o.get('ceil'):
        c = dict(o, count_pad=True)
        both('pool_smooth', [x], onnx('AveragePool', [x], count_include_pad=1, **attributes(**o)), AVERAGE, **c)
    if not o.get('ceil') and not o.get('dilation') and 'same' not in o:
        both('pool_lp', [x], lp(x, 2, **o), LP, **o)
        both('pool_lp', [x], lp(x, 3, **o), LP, **o, p=3)
        both('pool_lp', [x], lp(x, 1, **o), LP, **o, p=1)
x = drawn('float32', 2, 3, 7, 6)
for size, stride, pad, ceil, count, divisor in (((3, 3), (2, 2), 1, True, True, 0), ((2, 3), (3, 4), 1, True, True, 0), ((2, 2), (2, 2), 0, True, False, 0),
                                               ((3, 2), (2, 1), 1, False, True, 5), ((3, 2), (2, 3), 0, True, False, 7), ((2, 2), (3, 3), 1, True, False, 0)):
    y = F.avg_pool2d(t(x), size, stride, pad, ceil, count, divisor or None).numpy()
    both('pool_smooth', [x], y, AVERAGE, size=[*size], stride=[*stride], pad=[pad] * 4, ceil=ceil, count_pad=count, divisor=divisor)
x = drawn('float32', 1, 2, 4, 5, 3)
y = F.avg_pool3d(t(x), 3, 2, 1, True, True).numpy()
both('pool_smooth', [x], y, AVERAGE, size=[3] * 3, stride=[2] * 3, pad=[1] * 6, ceil=True, count_pad=True)
for dtype in ('float64', 'float16', 'int32', 'uint8', 'int64'):
    x = drawn(dtype, 2, 3, 5, 4)
    y = F.max_pool2d(t(x.astype('float64')), 2, 1).numpy().astype(dtype)
    both('pool', [x], y, MAX, size=[2, 2], stride=[1, 1])
for dtype in ('float64', 'float16'):
    x = drawn(dtype, 2, 3, 5, 4)
    y = F.avg_pool2d(t(x.astype('float64')), 2, 2, 1, False, False).numpy().astype(dtype)
    both('pool_smooth', [x], y, AVERAGE, size=[2, 2], pad=[1, 1, 1, 1])
x = odd(drawn('float32', 2, 3, 5, 4), every=11)
both('pool', [x], F.max_pool2d(t(x), 2, 1).numpy(), MAX, size=[2, 2], stride=[1, 1])
x = np.zeros((0, 3, 5, 4), 'float32')
both('pool', [x], np.zeros((0, 3, 2, 2), 'float32'), MAX, size=[2, 2])
both('pool_smooth', [x], np.zeros((0, 3, 3, 2), 'float32'), AVERAGE, size=[2, 2], ceil=True)

# ---- indices, there and back
for n, size, stride, pad, dilation, ceil in ((2, 3, 2, 1, 1, False), (2, 2, 2, 0, 1, False), (2, 3, 2, 0, 2, True), (1, 3, 2, 1, 1, True), (3, 2, 2, 0, 1, False), (3, 3, 2, 1, 1, True)):
    x = distinct('float32', *SHAPES[n])
    y, i = getattr(F, 'max_pool%dd' % n)(t(x), size, stride, pad, dilation, ceil, return_indices=True)
    o = dict(size=[size] * n, stride=[stride] * n, pad=[pad] * (2 * n), dilation=[dilation] * n, ceil=ceil)
    both('pool_indices', [x], (y.numpy(), i.numpy()), PLANE, **o)
    if size == stride and not ceil:
        back = getattr(F, 'max_unpool%dd' % n)(y, i, size, stride, 0, x.shape[2:]).numpy()
        case('unpool', [y.numpy(), i.numpy()], back, PLANE, 1, n, *x.shape[2:])
        case('unpool', [last(y.numpy()), last(i.numpy())], last(back), PLANE, 0, n, *x.shape[2:])
x = distinct('float32', 1, 1, 4, 4)
y, i = onnx('MaxPool', [x], 2, kernel_shape=[2, 2], strides=[2, 2])
case('unpool', [y, i], onnx('MaxUnpool', [y, i], kernel_shape=[2, 2], strides=[2, 2]), WHOLE, 1, 2, 4, 4)
x = np.array([[[[1, 2], [3, 4]]]], 'float32')
case('unpool', [x, np.array([[[[3, 3], [0, 0]]]], 'int64')], np.array([[[[4, 0, 0], [2, 0, 0]]]], 'float32'), PLANE, 1, 2, 2, 3)
x = np.full((1, 1, 4), -np.inf, 'float32')
both('pool_indices', [x], (x[..., :2], np.array([[[0, 1]]])), PLANE, size=[3], stride=[2], pad=[1, 0])

# ---- to given sizes
for n, sizes in ((2, (3, 4)), (2, (1, 1)), (2, (7, 3)), (2, (-1, 2)), (2, (9, 4)), (1, (4,)), (1, (3,)), (3, (2, 3, 4)), (3, (1, 1, 1)), (3, (-1, 2, 5))):
    x = distinct('float32', *SHAPES[n])
    to = [None if s == -1 else s for s in sizes]
    y, i = getattr(F, 'adaptive_max_pool%dd' % n)(t(x), to, return_indices=True)
    for first in (1, 0):
        turn = (lambda v: v) if first else last
        case('pool_adaptive', [turn(x)], turn(y.numpy()), MAX, 0, first, n, *sizes)
        case('pool_adaptive_indices', [turn(x)], (turn(y.numpy()), turn(i.numpy())), PLANE, first, n, *sizes)
    x = drawn('float32', *SHAPES[n])
    y = getattr(F, 'adaptive_avg_pool%dd' % n)(t(x), to).numpy()
    for first in (1, 0):
        turn = (lambda v: v) if first else last
        case('pool_adaptive_smooth', [turn(x)], turn(y), AVERAGE, 0, first, n, *sizes)
for p in (0, 1, 3):
    x = drawn('float32', 2, 3, 4, 5)
    y = (np.abs(x.astype('float64')) ** (p or 2)).sum((2, 3), keepdims=True) ** (1 / (p or 2))
    case('pool_adaptive_smooth', [x], y.astype('float32'), LP, p, 1, 2, 1, 1)
x = drawn('float16', 2, 3, 4, 5)
case('pool_adaptive_smooth', [x], F.adaptive_avg_pool2d(t(x.astype('float64')), (3, 2)).numpy().astype('float16'), AVERAGE, 0, 1, 2, 3, 2)
x = drawn('int32', 2, 3, 4, 5)
case('pool_adaptive', [x], x.max((2, 3), keepdims=True), MAX, 0, 1, 2, 1, 1)
case('pool_adaptive', [x], np.zeros((2, 3, 0, 2), 'int32'), MAX, 0, 1, 2, 0, 2)

# ---- columns
for o in (dict(size=[2, 3], stride=[1, 1]), dict(size=[3, 2], stride=[2, 1], pad=[1, 2, 1, 2]), dict(size=[2, 2], stride=[2, 3], dilation=[2, 3], pad=[1, 0, 1, 0]), dict(size=[2, 2])):
    x = drawn('float32', 2, 3, 7, 6)
    pad = o.get('pad') or [0] * 4
    args = (o['size'], o.get('dilation') or 1, pad[:2], o.get('stride') or o['size'])
    y = F.unfold(t(x), *args)
    case('unfold', [x], y.numpy(), *windows(**o))
    windowed = y.numpy().reshape(2, 3, -1, y.shape[-1]).transpose(0, 3, 2, 1)
    case('unfold', [last(x)], windowed.reshape(2, y.shape[-1], -1), *windows(**o, first=False))
    back = F.fold(y, (7, 6), *args).numpy()
    case('fold', [y.numpy()], back, 7, 6, 0, *windows(**o))
    case('fold', [windowed.reshape(2, y.shape[-1], -1)], last(back), 7, 6, 0, *windows(**o, first=False))
x = drawn('float32', 2, 3, 9)
y = F.unfold(t(x[:, :, None]), (1, 3), 1, (0, 1), (1, 2)).numpy()
case('unfold', [x], y, *windows([3], stride=[2], pad=[1, 1]))
case('fold', [y], F.fold(t(y), (1, 9), (1, 3), 1, (0, 1), (1, 2)).numpy()[:, :, 0], 9, 0, 0, *windows([3], stride=[2], pad=[1, 1]))
for block, dilation, pad, stride in (([2, 2, 2], [1, 1, 1], [0] * 6, [1, 1, 1]), ([2, 1, 3], [2, 1, 1], [1, 0, 1, 0, 0, 1], [1, 2, 2])):
    space = (4, 5, 6)
    out = [(n + pad[i] + pad[3 + i] - (block[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i, n in enumerate(space)]
    y = drawn('float32', 2, 3 * int(np.prod(block)), int(np.prod(out)))
    from onnx.reference.ops.op_col2im import col2im_naive_implementation as col2im
    x = np.stack([np.stack([col2im(c, np.array(space), np.array(block), dilation, np.array(pad), stride) for c in image.reshape(3, -1, y.shape[-1])]) for image in y])
    case('fold', [y], x.astype('float32'), *space, *windows(block, dilation=dilation, pad=pad, stride=stride))
case('fold', [np.ones((1, 4, 6), 'float16')], F.fold(t(np.ones((1, 4, 6), 'float32')), (3, 4), (2, 2)).numpy().astype('float16'), 3, 4, 0, *windows([2, 2], stride=[1, 1]))
x = drawn('int32', 1, 2, 3, 3)
case('unfold', [x], F.unfold(t(x.astype('float32')), 2).numpy().astype('int32'), *windows([2, 2], stride=[1, 1]))

# ---- a height that may be a symbol: x is [height, width]
for o in (dict(size=[2, 2], stride=[3, 1], ceil=True), dict(size=[3, 2], stride=[2, 2], same='SAME_LOWER'), dict(size=[3, 2], stride=[2, 1], pad=[1, 0, 1, 1], ceil=True)):
    x = distinct('float32', 7, 5)
    images = x[None, None]
    case('tall', [x], onnx('MaxPool', [images], **attributes(**o)), MAX, *windows(**o))
    case('tall_smooth', [x], onnx('AveragePool', [images], **attributes(**o)), AVERAGE, *windows(**o))
    case('tall_indices', [x], onnx('MaxPool', [images], 2, **attributes(**o)), WHOLE, *windows(**o))
case('tall_smooth', [x], F.avg_pool2d(t(images), (3, 2), (2, 2), 1, True, True).numpy(), AVERAGE, *windows(size=[3, 2], stride=[2, 2], pad=[1] * 4, ceil=True, count_pad=True))
y = F.unfold(t(images), (3, 2), 1, 1, (2, 1)).numpy()
case('tall_unfold', [x], y, *windows(size=[3, 2], stride=[2, 1], pad=[1] * 4))
x = drawn('float32', 7, 5)
case('tall_global', [x], x.mean().reshape(1, 1, 1, 1))

# ---- convolution whose same padding has its odd element before
for size, stride, dilation in (((2, 3), (1, 2), (1, 1)), ((4, 2), (2, 1), (1, 1)), ((3, 4), (2, 3), (1, 1))):
    x, w = drawn('float32', 2, 2, 5, 6), drawn('float32', 3, 2, *size)
    y = onnx('Conv', [x, w], auto_pad='SAME_LOWER', strides=stride, dilations=dilation)
    case('same_lower', [x, np.transpose(w, (2, 3, 1, 0))], y, *stride, *dilation)
    x, w = drawn('float32', 1, 3, 4, 3), drawn('float32', 3, 2, *size)
    if all((k - 1) * d + 1 >= s for k, s, d in zip(size, stride, dilation)):
        y = onnx('ConvTranspose', [x, w], auto_pad='SAME_LOWER', strides=stride, dilations=dilation)
        case('same_lower_transposed', [x, np.transpose(w, (2, 3, 1, 0))], y, *stride, *dilation)
