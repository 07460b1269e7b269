"""Cases of quantisation (include/kiln/quantise.h) by ONNX's reference and PyTorch, and of windows and mel weights (fft.h) by SciPy and ONNX."""
import numpy as np
import onnx
import torch
from given import case, random
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from scipy.signal import windows


def floats(dtype, *shape, by=1.0):
    return (random.normal(size=shape) * by).astype(dtype)


def run(op, values, version=21, **attrs):
    names = [f'i{i}' if v is not None else '' for i, v in enumerate(values)]
    node = helper.make_node(op, names, [f'o{i}' for i in range(3 if op.startswith('Dyn') else 1)], **attrs)
    graph = helper.make_graph([node], 'g', [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), None) for n, v in zip(names, values) if n],
                              [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in node.output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', version)])
    return ReferenceEvaluator(model).run(None, {n: v for n, v in zip(names, values) if n})


# ---- numbers: axis, block, and what gives the dtype where there is no zero point
INTEGERS = ('uint8', 'int8', 'uint16', 'int16')
for x_shape, s_shape, axis, block in (((3, 4), (3,), 0, 0), ((2, 3), (), 0, 0), ((2, 3, 4), (3,), 1, 0), ((3, 4), (4,), -1, 0), ((2, 6), (2, 2), 1, 3), ((5, 2), (3, 2), 0, 2), ((0, 2), (2,), 1, 0)):
    for to in INTEGERS:
        big = 40 if to[-1] == '8' else 9000
        x = floats('float32', *x_shape, by=big)
        s = np.abs(floats('float32', *s_shape)) + np.float32(0.25)
        info = np.iinfo(to)
        z = random.integers(max(info.min, -9), min(info.max, 99), s_shape).astype(to)
        pad = -x.shape[axis] % block if block else 0  # the reference wants whole blocks
        wide = np.pad(x, [(0, pad if i == axis % x.ndim else 0) for i in range(x.ndim)])
        how = dict(axis=axis, block_size=block)
        keep = tuple(slice(0, n) for n in x.shape)
        if x.size:
            y = run('QuantizeLinear', [wide, s, z], **how)[0][keep]
            back = run('DequantizeLinear', [np.pad(y, [(0, pad if i == axis % x.ndim else 0) for i in range(x.ndim)]), s, z], **how)[0][keep]
        else:
            y, back = x.astype(to), x
        case('quantise', [x, s, z], y, axis, block)
        case('dequantise', [y, s, z], back, axis, block)
        if to == 'uint8' and x.size:
            case('quantise_plain', [x, s], run('QuantizeLinear', [wide, s, None], **how)[0][keep], axis, block)
            case('dequantise_plain', [y, s], run('DequantizeLinear', [np.pad(y, [(0, pad if i == axis % x.ndim else 0) for i in range(x.ndim)]), s, None], **how)[0][keep], axis, block)
case('quantise', [np.array([np.inf, -np.inf, 1e30, 0.5, 1.5, -0.5], np.float32), np.float32(1), np.int8(3)], np.array([127, -128, 127, 3, 5, 3], np.int8), 0, 0)
case('quantise', [np.array([np.nan], np.float32), np.float32(1), np.uint8(3)], np.array([3], np.uint8), 0, 0)
case('quantise', [np.array([7, -9], np.int32), np.float32(2), np.int16(1)], np.array([5, -3], np.int16), 0, 0)
case('dequantise', [np.array([2**31 - 1, -2**31], np.int32), np.float32(0.5), np.int32(-1)], np.array([2.0**30, -2.0**30 + 0.5], np.float32), 0, 0)
case('dequantise', [np.array([7, -9], np.int8), np.float16(0.375), np.int8(1)], np.array([2.25, -3.75], np.float16), 0, 0)

# ---- by the range of what is quantised
for x in (floats('float32', 3, 4), np.abs(floats('float32', 5)), -np.abs(floats('float32', 2, 2)), floats('float32', 6, by=100)):
    y, s, z = run('DynamicQuantizeLinear', [x], 11)
    case('quantise_dynamic', [x], (y, np.float32(s), z))
case('quantise_dynamic', [np.zeros((2, 2), np.float32)], (np.zeros((2, 2), np.uint8), np.float32(1), np.uint8(0)))
case('quantise_dynamic', [np.zeros((0, 2), np.float32)], (np.zeros((0, 2), np.uint8), np.float32(1), np.uint8(0)))

# ---- there and back: numbers: lo, hi, axis
for dtype in ('float32', 'float64'):
    x = floats('float32', 2, 3, by=4).astype(dtype)
    for lo, hi in ((-8, 7), (0, 255)):
        t = torch.from_numpy(x.astype(np.float32))
        case('fake_quantise', [x, np.asarray(0.5, dtype), np.int32(2)], torch.fake_quantize_per_tensor_affine(t, 0.5, 2, lo, hi).numpy().astype(dtype), lo, hi, 0)
        s = np.array([0.25, 0.5, 1], np.float32)
        z = np.array([0, 3, 1], np.int32)
        y = torch.fake_quantize_per_channel_affine(t, torch.from_numpy(s), torch.from_numpy(z), 1, lo, hi)
        case('fake_quantise', [x, s.astype(dtype), z], y.numpy().astype(dtype), lo, hi, 1)

# ---- windows: numbers: n, periodic
for n in (0, 1, 2, 5, 8):
    for periodic in (0, 1):
        for name in ('hann', 'hamming', 'blackman'):
            case(name, [], getattr(windows, name)(n, sym=not periodic), n, periodic)
        case('cosine', [], windows.general_cosine(n, [0.3, 0.5, 0.2], sym=not periodic), n, periodic)
for bands, length, rate, lo, hi in ((8, 16, 8192, 0, 4096), (3, 15, 8000, 100, 3000), (20, 64, 16000, 0, 8000), (1, 4, 100, 0, 50)):
    y = run('MelWeightMatrix', [np.int64(bands), np.int64(length), np.int64(rate), np.float32(lo), np.float32(hi)], 17)[0]
    case('mel', [], y, bands, length, rate, lo, hi)
