"""Cases of recurrent networks (include/kiln/recurrent.h), with values by PyTorch (its order of gates) and ONNX Runtime (ONNX's)."""
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from given import case, random

GATES = {'rnn': 1, 'lstm': 4, 'gru': 3}


def floats(dtype, *shape, by=0.75):
    return (random.normal(size=shape) * by).astype(dtype)


def weights(kind, dtype, directions, inputs, units, peep=False):
    g = GATES[kind] * units
    w = [floats(dtype, directions, g, inputs), floats(dtype, directions, g, units), floats(dtype, directions, 2 * g)]
    return w + [floats(dtype, directions, 3 * units)] if peep else w


def by_torch(kind, x, w, u, b, h, c, lengths, batch_first, joined, relu=False):
    """All in f64. Results as torch has them, or with its directions as an axis of their own."""
    directions, units = w.shape[0], u.shape[2]
    how = dict(nonlinearity='relu' if relu else 'tanh') if kind == 'rnn' else {}
    net = getattr(torch.nn, kind.upper())(w.shape[2], units, batch_first=batch_first, bidirectional=directions == 2, dtype=torch.float64, **how)
    with torch.no_grad():
        for d in range(directions):
            end = '_l0' + ('_reverse' if d else '')
            half = b.shape[1] // 2
            for name, v in (('weight_ih', w[d]), ('weight_hh', u[d]), ('bias_ih', b[d, :half]), ('bias_hh', b[d, half:])):
                getattr(net, name + end).copy_(torch.from_numpy(v.astype(np.float64)))
        t = torch.from_numpy(x.astype(np.float64))
        if lengths is not None:
            t = torch.nn.utils.rnn.pack_padded_sequence(t, torch.from_numpy(lengths), batch_first=batch_first, enforce_sorted=False)
        first = [torch.from_numpy(np.swapaxes(v, 0, 1).copy() if batch_first else v).double() for v in ((h, c) if kind == 'lstm' else (h,))]
        y, last = net(t, tuple(first) if kind == 'lstm' else first[0])
        if lengths is not None:
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=batch_first, total_length=x.shape[1 if batch_first else 0])
        y = y.numpy()
        last = [v.numpy() for v in (last if kind == 'lstm' else (last,))]
        if batch_first:
            last = [np.swapaxes(v, 0, 1) for v in last]
        if not joined:
            y = np.moveaxis(y.reshape(*y.shape[:2], directions, units), 2, 2 if batch_first else 1)
        return (y, *last)


# kind, then numbers: direction, order, batch_first, joined, whether there are lengths
for kind in ('rnn', 'lstm', 'gru'):
    for dtype in ('float64', 'float32', 'float16'):
        for both, batch_first, joined, some in ((0, 0, 0, 0), (1, 0, 0, 1), (1, 1, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0), (1, 1, 1, 1)):
            # the first case of each is differentiated twice
            time, batch, inputs, units = (2, 1, 2, 1) if (both, some, batch_first) == (0, 0, 0) else (4, 3, 2, 3)
            w, u, b = weights(kind, dtype, 1 + both, inputs, units)
            x = floats(dtype, *((batch, time) if batch_first else (time, batch)), inputs)
            state = (batch, 1 + both, units) if batch_first else (1 + both, batch, units)
            h, c = floats(dtype, *state), floats(dtype, *state)
            lengths = np.array([3, 4, 1])[:batch] if some else None
            got = by_torch(kind, x, w, u, b, h, c, lengths, bool(batch_first), bool(joined))
            for i in range(batch if some else 0):  # what lies behind what counts is not looked at
                (x[i] if batch_first else x[:, i])[lengths[i]:] = np.nan
            case(kind, [x, w, u, b, h] + ([c] if kind == 'lstm' else []) + ([lengths.astype(np.int32)] if some else []),
                 tuple(v.astype(dtype) for v in got), 2 * both, 0, batch_first, joined, some)


def by_onnx(kind, x, w, u, b, lengths, h, c, p, layout, **attrs):
    names, values = [], {}
    for name, v in zip('XWRBSHCP', (x, w, u, b, lengths, h, c, p)):
        names.append(name if v is not None else '')
        if v is not None:
            values[name] = v
    names = names[:7] if kind == 'lstm' and p is None else names[:8] if kind == 'lstm' else names[:6]
    out = ['Y', 'Yh', 'Yc'] if kind == 'lstm' else ['Y', 'Yh']
    node = helper.make_node(kind.upper(), names, out, hidden_size=u.shape[2], **attrs)
    kinds = {'float32': TensorProto.FLOAT, 'int32': TensorProto.INT32}
    graph = helper.make_graph([node], 'g', [helper.make_tensor_value_info(n, kinds[v.dtype.name], v.shape) for n, v in values.items()],
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, ['abcd'[i] + n for i in range(4 if n == 'Y' else 3)]) for n in out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 14)], ir_version=8)
    onnx.checker.check_model(model)
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return tuple(run.run(None, values))


DIRECTION = ('forward', 'reverse', 'bidirectional')
ACTS = ['Relu', 'Tanh', 'Sigmoid', 'Affine', 'LeakyRelu', 'ThresholdedRelu', 'ScaledTanh', 'HardSigmoid', 'Elu', 'Softsign', 'Softplus']
CODE = {'Sigmoid': 1, 'Tanh': 2, 'Relu': 3, 'Softsign': 4, 'Softplus': 5, 'Affine': 6, 'LeakyRelu': 7, 'ThresholdedRelu': 8, 'ScaledTanh': 9,
        'HardSigmoid': 10, 'Elu': 11}


def onnx_case(kind, direction, some=False, peep=False, clip=0, coupled=0, reset=0, acts=(), alpha=(), beta=()):
    """numbers: direction, whether lengths and peepholes come, clip, input_forget, reset_first, then for each function its kind, alpha, beta."""
    time, batch, inputs, units, d = 4, 2, 3, 2, 2 if direction == 2 else 1
    w, u, b, *p = weights(kind, 'float32', d, inputs, units, peep)
    x, h, c = floats('float32', time, batch, inputs), floats('float32', d, batch, units), floats('float32', d, batch, units)
    lengths = np.array([2, 4], np.int32) if some else None
    attrs = dict(direction=DIRECTION[direction])
    if clip:
        attrs['clip'] = clip
    if coupled:
        attrs['input_forget'] = 1
    if kind == 'gru':
        attrs['linear_before_reset'] = 1 - reset
    if acts:
        attrs['activations'] = list(acts) * d
        if alpha:
            attrs['activation_alpha'] = [float(v) for v in alpha] * d
            if any(beta):
                attrs['activation_beta'] = [float(v) for v in beta] * d
    got = by_onnx(kind, x, w, u, b, lengths, h, c if kind == 'lstm' else None, p[0] if peep else None, 0, **attrs)
    each = [n for a, e, f in zip(acts, alpha or [0] * 9, beta or [0] * 9) for n in (CODE[a], e, f)]
    more = ([c] if kind == 'lstm' else []) + ([lengths] if some else []) + p
    case('onnx_' + kind, [x, w, u, b, h] + more, got, direction, int(some), int(peep), clip, coupled, reset, *each)


for direction in (0, 1, 2):
    onnx_case('rnn', direction, some=direction > 0)
    onnx_case('rnn', direction, clip=0.25)
    onnx_case('lstm', direction, some=direction > 0, peep=True)
    onnx_case('lstm', direction, peep=direction > 0, clip=0.25)
    onnx_case('lstm', direction, peep=direction > 0, coupled=1)
    for reset in (0, 1):
        onnx_case('gru', direction, some=direction > 0, reset=reset)
        onnx_case('gru', direction, clip=0.25, reset=reset)
for a in ACTS:  # of these ONNX Runtime has defaults of its own
    if a in ('Affine', 'ScaledTanh', 'ThresholdedRelu'):
        continue
    onnx_case('rnn', 2, acts=(a,))
    onnx_case('lstm', 0, acts=('Sigmoid', a, 'Tanh'))
    onnx_case('gru', 2, acts=('HardSigmoid', a), reset=1)
for a, alpha, beta in (('Affine', 0.75, -0.25), ('LeakyRelu', 0.25, 0), ('ThresholdedRelu', 0.125, 0), ('ScaledTanh', 1.5, 0.5), ('HardSigmoid', 0.3, 0.6), ('Elu', 0.5, 0)):
    onnx_case('rnn', 0, acts=(a,), alpha=(alpha,), beta=(beta,))
    onnx_case('rnn', 2, acts=(a,), alpha=(alpha,), beta=(beta,))

# ---- reversed sequences: time and batch axes
for shape, time, batch, lengths in (((4, 3), 0, 1, [1, 4, 2]), ((2, 3, 2), 1, 0, [3, 2]), ((3, 2, 2), -1, 0, [2, 0, 1]), ((2, 5), 1, 0, [5, 0]), ((0, 2), 0, 1, [0, 0])):
    x = floats('float64', *shape)
    y = np.moveaxis(x.copy(), (batch, time), (0, 1))
    for i, n in enumerate(lengths):
        y[i, :n] = y[i, :n][::-1].copy()
    case('reverse_sequence' if batch == 0 else 'reverse_first', [x, np.array(lengths, np.int64)], np.moveaxis(y, (0, 1), (batch, time)), time, batch)
