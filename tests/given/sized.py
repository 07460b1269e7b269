"""ONNX Runtime computes what is left of boxes.
Cases of operations whose results have a size that the elements tell (include/kiln/sized.h)."""
import numpy as np
import onnx
import onnxruntime
from given import case, distinct, drawn, random

DTYPES = ('float32', 'float32', 'int32', 'bool', 'uint8', 'int64', 'float64', 'float16', 'int8', 'uint16', 'uint32', 'uint64', 'int16')


def some(dtype, *shape, share=0.4):
    """Elements of which about that share is not 0."""
    x = drawn(dtype, *shape)
    x = np.where(random.random(shape) < share, x, np.zeros_like(x))
    return np.asarray(x, dtype)


def whole(dtype, *shape):
    """Few different elements."""
    return random.integers(0, 2 if dtype == 'bool' else 5, shape).astype(dtype)


# ---- places and masks
for dtype in DTYPES:
    x = some(dtype, 4, 5)
    case('nonzero', [x], np.array(np.nonzero(x), 'int64'))
for share in (0, 1):
    x = some('float32', 3, 2, 4, share=share)
    case('nonzero', [x], np.array(np.nonzero(x), 'int64').reshape(3, -1))
x = some('int32', 300)
case('nonzero', [x], np.array(np.nonzero(x), 'int64'))
x = np.array([0.0, -0.0, np.nan, np.inf, 1e-45, 0], 'float32')
case('nonzero', [x], np.array(np.nonzero(x), 'int64'))
case('nonzero', [np.zeros((0, 3), 'float32')], np.zeros((2, 0), 'int64'))
for most in (0, 3, 9, 50):
    x = some('float32', 4, 5)
    case('nonzero_within', [x], np.array(np.nonzero(x), 'int64')[:, :most], most)
for dtype in DTYPES:
    x = drawn(dtype, 4, 3, 2)
    for axis, n in ((0, 4), (1, 3), (-1, 2), (0, 3), (1, 1)):
        m = random.random(n) < 0.5
        case('compress', [x, m], np.compress(m, x, axis), axis)
x = drawn('float32', 3, 2)
case('compress', [x, np.zeros(3, bool)], np.zeros((0, 2), 'float32'), 0)
case('compress', [x, np.ones(3, bool)], x, 0)
case('compress', [np.zeros((0, 2), 'float32'), np.zeros(0, bool)], np.zeros((0, 2), 'float32'), 0)
for most in (0, 1, 2, 8):
    m = np.array([1, 0, 1, 1], bool)
    x = drawn('float32', 4, 2)
    case('compress_within', [x, m], x[m][:most], 0, most)
for dtype in DTYPES:
    x = drawn(dtype, 4, 3, 2)
    for shape in ((4,), (4, 3), (4, 3, 2)):
        m = random.random(shape) < 0.5
        case('masked', [x, m], x[m])
x = drawn('float32', 5, 3)
case('masked_within', [x, x > 0], x[x > 0][:4], 4)
for dtype in ('float32', 'float32', 'float64', 'float16', 'int32'):
    x = distinct(dtype, 4, 3) if dtype != 'int32' else drawn(dtype, 4, 3)
    case('positive', [x], x[x > 0])
    case('positive_sum', [x], np.asarray(x[x > 0].sum(dtype='float64').astype(dtype)))
    rows = x[:, 0] > 0
    case('positive_rows', [x], x[rows])
x = -np.abs(drawn('float32', 4, 3))
case('positive', [x], np.zeros(0, 'float32'))
case('positive_sum', [x], np.zeros((), 'float32'))

# ---- different elements
for dtype in DTYPES:
    for x in (distinct('float32', 3, 3), whole(dtype, 3, 4), whole(dtype, 40), drawn(dtype, 7)):
        values, first, inverse, counts = np.unique(x, True, True, True)
        case('unique_values', [x], values)
        case('unique_counts', [x], (values, counts))
        case('unique_inverse', [x], (values, inverse.reshape(x.shape)))
        case('unique_all', [x], (values, first, inverse.reshape(x.shape), counts))
x = np.array([np.nan, 1, np.nan, -np.inf, 1, np.inf], 'float32')
case('unique_values', [x], np.unique(x, equal_nan=False))
case('unique_counts', [x], np.unique(x, return_counts=True, equal_nan=False))
x = np.zeros((0, 2), 'float32')
case('unique_all', [x], (np.zeros(0, "float32"), np.zeros(0, "int64"), np.zeros((0, 2), "int64"), np.zeros(0, "int64")))
case('unique_values', [np.asarray(np.float32(3))], np.array([3], 'float32'))

# ---- boxes


def suppressed(boxes, scores, most, iou, score, centers):
    """Without a score, -inf."""
    node = onnx.helper.make_node('NonMaxSuppression', ['b', 's', 'm', 'i'] + ([] if np.isinf(score) else ['t']), ['y'], center_point_box=int(centers))
    inputs = {'b': boxes, 's': scores, 'm': np.array([most], 'int64'), 'i': np.array([iou], 'float32'), 't': np.array([score], 'float32')}
    if np.isinf(score):
        del inputs['t']
    info = [onnx.helper.make_tensor_value_info(k, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs.items()]
    graph = onnx.helper.make_graph([node], 'g', info, [onnx.helper.make_tensor_value_info('y', onnx.TensorProto.INT64, [None, 3])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 11)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider']).run(None, inputs)[0].reshape(-1, 3)


for b, c, n, most, iou, score, centers in ((1, 1, 6, 3, 0.5, -np.inf, 0), (2, 3, 8, 2, 0.3, 0.0, 0), (2, 2, 10, 10, 0.5, 0.25, 1), (1, 2, 12, 100, 0.0, -np.inf, 1),
                                           (1, 1, 5, 5, 1.0, -2.0, 0), (1, 1, 4, 2, 0.5, 100.0, 0), (1, 1, 4, 0, 0.5, 0.0, 0)):
    at = drawn('float32', b, n, 2)
    size = np.abs(drawn('float32', b, n, 2)) + 0.5
    boxes = np.concatenate([at, size if centers else at + size], 2)
    if not centers:
        boxes[:, ::3] = boxes[:, ::3, [2, 3, 0, 1]]
        boxes[:, 1] = boxes[:, 0]
    scores = distinct('float32', b, c, n)
    case('non_max_suppression', [boxes, scores], suppressed(boxes, scores, most, iou, score, centers), most, iou, score if not np.isinf(score) else -1e30, centers)

# ---- different slices


def different(x, axis, met):
    """axis None: elements."""
    values, first, inverse, counts = np.unique(x, True, True, True, axis=axis, equal_nan=False)
    inverse = inverse.reshape(x.shape if axis is None else -1)
    if met:
        order = np.argsort(first)
        values, first, counts = np.take(values, order, axis or 0), first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return values, first, inverse, counts


def unique(x):
    for axis in (None, *range(x.ndim)):
        for met in (0, 1):
            case('unique', [x], different(x, axis, met), -9 if axis is None else axis, met)


for dtype in DTYPES:
    for x in (distinct('float32', 3, 3), random.integers(0, 2, (4, 3)).astype(dtype), random.integers(0, 2, (3, 7, 2)).astype(dtype), whole(dtype, 30)):
        unique(x)
unique(random.integers(0, 2, (33, 5)).astype('float32'))
unique(random.integers(0, 3, (5, 1)).astype('float32'))
x = np.array([[1, np.nan, 2], [1, 0, 2], [1, np.nan, 1], [-np.inf, 0, np.inf], [1, 0, 2], [1, np.nan, 1]], 'float32')
for met in (0, 1):
    case('unique', [x], different(x, 0, met), 0, met)
case('unique', [np.array([[0, 1], [-0.0, 1]], 'float32')], (np.array([[0, 1]], 'float32'), np.zeros(1, 'int64'), np.zeros(2, 'int64'), np.array([2])), 0, 0)
for shape, axis, size in (((0, 2), 0, 0), ((0, 2), 1, 1), ((3, 0), 0, 1), ((3, 0), 1, 0)):
    n, x = shape[axis], np.zeros(shape, 'float32')
    y = np.zeros((size, shape[1]) if axis == 0 else (shape[0], size), 'float32')
    for met in (0, 1):
        case('unique', [x], (y, np.zeros(size, 'int64'), np.zeros(n, 'int64'), np.full(size, n)), axis, met)
