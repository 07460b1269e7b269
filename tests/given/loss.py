"""Cases of losses and normalisation (include/kiln/loss.h), with values by PyTorch in f64."""
import numpy as np
import torch
import torch.nn.functional as F
from given import case, random

HOW = ('mean', 'sum', 'none', 'batchmean')


def floats(dtype, *shape, by=1.0, plus=0.0):
    return (random.normal(size=shape) * by + plus).astype(dtype)


def wide(*x):
    return [torch.from_numpy(np.asarray(v).astype(np.float64)) for v in x]


def result(x, like):
    return x.detach().numpy().astype(np.asarray(like).dtype)


def reduced(each, how):
    return (each.mean(), each.sum(), each, each.sum() / each.shape[0])[how] if how != 3 or each.ndim else each


# ---- labels
for dtype in ('float64', 'float32'):
    for shape, axis in (((4, 3), 0), ((2, 5, 3), 0), ((2, 3, 4), -1), ((2, 3, 2, 2), 1), ((5,), 0)):
        at = axis if axis else min(1, len(shape) - 1)
        x = floats(dtype, *shape, by=2)
        rest = tuple(np.delete(shape, at))
        y = random.integers(0, shape[at], rest).astype(np.int32)
        p = np.exp(floats(dtype, *shape))
        p = (p / p.sum(at, keepdims=True)).astype(dtype)
        w = np.abs(floats(dtype, shape[at])) + np.asarray(0.25, dtype)
        if dtype == 'float32' and len(shape) != 3:
            continue
        logits, probabilities, weight = (torch.movedim(wide(v)[0], at, 1) if v.ndim > 1 else wide(v)[0] for v in (x, p, w))
        labels = torch.from_numpy(y.astype(np.int64))
        for how in range(3):
            for smoothing in (0, 0.1):
                kind = dict(reduction=HOW[how], label_smoothing=smoothing)
                case('class_loss', [x, y], result(F.cross_entropy(logits, labels, **kind), x), how, 0, 0, smoothing, axis)
                case('class_loss_weighed', [x, y, w], result(F.cross_entropy(logits, labels, weight, **kind), x), how, 0, 0, smoothing, axis)
                case('class_loss_soft', [x, p, w], result(F.cross_entropy(logits, probabilities, weight, **kind), x), how, smoothing, axis)
            ignored = 1 if y.size and (y != 1).any() else 0
            kind = dict(reduction=HOW[how], ignore_index=ignored)
            if (y != ignored).any():
                case('class_loss', [x, y], result(F.cross_entropy(logits, labels, **kind), x), how, 1, ignored, 0, axis)
                case('class_loss_weighed', [x, y, w], result(F.cross_entropy(logits, labels, weight, label_smoothing=0.2, **kind), x), how, 1, ignored, 0.2, axis)
                case('nll', [x, y, w], result(F.nll_loss(logits, labels, weight, **kind), x), how, 1, ignored, 0, axis)
            case('nll', [x, y, w], result(F.nll_loss(logits, labels, weight, reduction=HOW[how]), x), how, 0, 0, 0, axis)
for how in range(3):  # labels that are no classes, or do not count
    x = floats('float32', 3, 4)
    y = np.array([-100, 2, 9 if how else -100], np.int64)
    value = F.cross_entropy(wide(x)[0], torch.tensor([-100, 2, -100]), reduction=HOW[how])
    case('class_loss', [x, y], result(value, x), how, how % 2, -100, 0, 0)
case('class_loss', [floats('float32', 2, 3), np.array([7, 7], np.uint8)], np.float32(0), 0, 1, 7, 0, 0)

# ---- elements
ELEMENTS = {
    'l1': lambda x, y: (x - y).abs(),
    'huber': lambda x, y: F.huber_loss(x, y, reduction='none', delta=0.75),
    'smooth_l1': lambda x, y: F.smooth_l1_loss(x, y, reduction='none', beta=0.75),
    'hinge': lambda x, y: torch.clamp(1 - x * torch.sign(y), min=0),
    'binary': lambda x, y: F.binary_cross_entropy(x, y, reduction='none'),
    'binary_logits': lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction='none'),
    'kl': lambda x, y: F.kl_div(x, y, reduction='none'),
    'kl_log': lambda x, y: F.kl_div(x, y, reduction='none', log_target=True),
    'poisson_log': lambda x, y: F.poisson_nll_loss(x, y, log_input=True, full=False, reduction='none'),
    'poisson_full': lambda x, y: F.poisson_nll_loss(x, y, log_input=False, full=True, reduction='none'),
}
for name, value in ELEMENTS.items():
    for dtype in ('float64', 'float32'):
        for shape in ((3, 4), (5,)) if dtype == 'float64' else ((2, 1, 3),):
            x, y = floats(dtype, *shape, by=1.5), floats(dtype, *shape, by=1.5)
            if name == 'hinge':
                y = np.sign(y)
            if name in ('binary', 'binary_logits', 'kl'):
                y = (1 / (1 + np.exp(-y))).astype(dtype)
            if name in ('binary', 'kl'):
                x = (1 / (1 + np.exp(-x))).astype(dtype)
            if name == 'kl':
                x = np.log(x)
            if name == 'poisson_full':
                x = np.exp(x)
            if name.startswith('poisson'):
                y = np.abs(y) + np.asarray(0.1, dtype)
            each = value(*wide(x, y))
            for how in range(4):
                case(name, [x, y], result(reduced(each, how), x), how)
edges = np.array([0, 1, 0.5, 0, 1], np.float32), np.array([1, 0, 0.5, 0, 1], np.float32)
case('binary', edges, result(ELEMENTS['binary'](*wide(*edges)), edges[0]), 2)
far = np.array([1000, -1000, 90, 0], np.float32), np.array([1, 1, 0, 0.25], np.float32)
case('binary_logits', far, result(ELEMENTS['binary_logits'](*wide(*far)), far[0]), 2)
none = np.array([-np.inf, -2, 0], np.float32), np.array([0, 0.5, 0], np.float32)
case('kl', none, np.array([0, 0.5 * (np.log(0.5) + 2), 0], np.float32), 2)
for how in range(3):
    x, y, w = floats('float64', 3, 4, by=2), random.uniform(size=(3, 4)), random.uniform(0.5, 3, 4)
    a, b, c = wide(x, y, w)
    case('binary_weighed', [x, y, w], result(F.binary_cross_entropy_with_logits(a, b, pos_weight=c, reduction=HOW[how]), x), how)

# ---- vectors
for dtype in ('float64', 'float32'):
    for axis in (1, 0, -1):
        x, y = floats(dtype, 3, 4), floats(dtype, 3, 4)
        case('cosine', [x, y], result(F.cosine_similarity(*wide(x, y), dim=axis), x), axis)
    zero = np.zeros((2, 3), dtype)
    case('cosine', [zero, floats(dtype, 2, 3)], np.zeros(2, dtype), 1)
    for how in range(3):
        x, y, z = floats(dtype, 4, 5), floats(dtype, 4, 5), floats(dtype, 4, 5)
        sign = np.array([1, -1, -1, 1], dtype)
        a, b, c, s = wide(x, y, z, sign)
        case('embedding', [x, y, sign], result(reduced(torch.where(s > 0, 1 - F.cosine_similarity(a, b), torch.clamp(F.cosine_similarity(a, b) + 0.5, min=0)), how), x), how, -0.5)
        case('triplet', [x, y, z], result(F.triplet_margin_loss(a, b, c, margin=1.5, reduction=HOW[how]), x), how, 1.5)
        case('ranking', [x[0], y[0], np.sign(z[0])], result(F.margin_ranking_loss(a[0], b[0], torch.sign(c[0]), margin=0.3, reduction=HOW[how]), x), how, 0.3)

# ---- normalisation
for dtype in ('float64', 'float32'):
    x = floats(dtype, 2, 3, 4, by=2, plus=1)
    a, = wide(x)
    w, b = floats(dtype, 3, 4), floats(dtype, 3, 4)
    case('layer', [x, w, b], result(F.layer_norm(a, (3, 4), *wide(w, b), eps=1e-3), x), 1, 2, 1e-3)
    case('layer_plain', [x], result((a - a.mean(0)) / torch.sqrt(a.var(0, unbiased=False) + 1e-5), x), 0, 0)
    case('rms', [x, w[0]], result(F.rms_norm(a, (4,), *wide(w[0]), eps=1e-3), x), -1, 1e-3)
    for shape in ((2, 6, 3), (3, 4), (2, 4, 3, 2)):
        x = floats(dtype, *shape, by=2, plus=1)
        c = shape[1]
        w, b, m, v = floats(dtype, c), floats(dtype, c), floats(dtype, c), np.abs(floats(dtype, c)) + np.asarray(0.25, dtype)
        a, scale, shift, mean, variance = wide(x, w, b, m, v)
        last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        for groups in (1, 2, c):
            value = result(F.group_norm(a, groups, scale, shift, eps=1e-3), x)
            case('group', [x, w, b], value, groups, 1, 1e-3)
            case('group', [last, w, b], np.moveaxis(value, 1, -1), groups, -1, 1e-3)
        if len(shape) > 2:
            case('instance', [x, w, b], result(F.instance_norm(a, weight=scale, bias=shift, eps=1e-3), x), 1, 1e-3)
        case('batch', [x, m, v, w, b], result(F.batch_norm(a, mean, variance, scale, shift, eps=1e-3), x), 1, 1e-3)
        value = result(F.batch_norm(a, None, None, scale, shift, training=True, eps=1e-3), x)
        other = tuple(i for i in range(len(shape)) if i != 1)
        statistics = result(a.mean(other), x), result(a.var(other, unbiased=False), x)
        case('batch_training', [x, w, b], (value, *statistics), 1, 1e-3)
        case('batch_training', [last, w, b], (np.moveaxis(value, 1, -1), *statistics), -1, 1e-3)
    x = floats(dtype, 3, 4)
    x[1] = 0
    for p in (2, 1, np.inf):
        rows = x[::2] if dtype == 'float64' else x  # the first cases are differentiated
        case('unit', [rows], result(F.normalize(wide(rows)[0], p, 1), x), p, 1)
for dtype, size in (('float64', 3), ('float64', 5), ('float32', 3), ('float32', 4), ('float32', 1), ('float32', 9)):
    x = floats(dtype, 2, 5, 3, by=2)
    a, = wide(x)
    square = F.pad((a * a).movedim(1, -1), ((size - 1) // 2, size // 2)).unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    value = a / (1.5 + 0.25 * square / size) ** 0.75
    if size % 2:
        assert torch.allclose(value, F.local_response_norm(a, size, 0.25, 0.75, 1.5))
    case('local_response', [x], result(value, x), size, 1)
    case('local_response', [np.ascontiguousarray(np.moveaxis(x, 1, -1))], np.moveaxis(result(value, x), 1, -1), size, -1)
x = np.array([[1, 3, 3], [-2, -5, -2]], np.float32)
case('hardmax', [x], np.array([[0, 1, 0], [1, 0, 0]], np.float32), 1)
case('hardmax', [x], np.array([[1, 1, 1], [0, 0, 0]], np.float32), 0)
case('hardmax', [x.astype(np.int32)], np.array([[0, 1, 0], [1, 0, 0]], np.int32), -1)
