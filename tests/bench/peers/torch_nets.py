"""Layers and networks for PyTorch. Its convolutions have their channels second; `last` lays them out last in memory."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from rows import RECURRENT_UNITS, STEPS

IMAGES = ("convnet", "convnet_adam", "pooled_adam", "depthwise", "pointwise", "conv_transposed", "resnet", "resnet_step", "resize_linear", "resize_nearest")


def contiguous(a):
    return torch.from_numpy(np.ascontiguousarray(a))


def channels(x, last):
    x = contiguous(x.transpose(0, 3, 1, 2))
    return x.to(memory_format=torch.channels_last) if last else x


def network(kind, inputs, last):
    """The module with its weights, and its input."""
    a, x = inputs, torch.from_numpy(inputs[0])
    if kind == "mlp":
        net, weights = nn.Sequential(nn.Linear(784, a[2].shape[1]), nn.ReLU(), nn.Linear(a[2].shape[1], 10)), [
            a[2].T,
            a[3],
            a[4].T,
            a[5],
        ]
    else:
        filters = lambda w: w.transpose(3, 2, 0, 1)
        first, second, dense = a[2].shape[3], a[4].shape[3], a[6]
        pool = kind == "pooled"
        half = [nn.MaxPool2d(2)] if pool else []
        end = [] if pool else [nn.AdaptiveAvgPool2d(1)]
        net = nn.Sequential(
            nn.Conv2d(1, first, 3),
            nn.ReLU(),
            *half,
            nn.Conv2d(first, second, 3),
            nn.ReLU(),
            *half,
            *end,
            nn.Flatten(),
            nn.Linear(dense.shape[0], 10)
        )
        if pool:  # flattened channels first
            dense = dense.reshape(5, 5, second, 10).transpose(2, 0, 1, 3).reshape(-1, 10)
        weights, x = [filters(a[2]), a[3], filters(a[4]), a[5], dense.T, a[7]], channels(a[0], last)
        if last:
            net = net.to(memory_format=torch.channels_last)
    with torch.no_grad():
        for p, w in zip(net.parameters(), weights):
            p.copy_(contiguous(w))
    return net, x


def residual(x, p):
    h = F.relu(F.conv2d(x, p[0], p[1]))
    h = F.relu(F.conv2d(h, p[2], p[3], padding=1))
    return F.relu(x + F.conv2d(h, p[4], p[5]))


def images(op, inputs, last):
    """The function, its image and its parameters."""
    x = channels(inputs[0], last)
    if op.startswith("resnet"):
        filters = [contiguous(p.transpose(3, 2, 0, 1)) if p.ndim == 4 else torch.from_numpy(p) for p in inputs[1:]]
        return lambda x, *p: residual(x, p), x, filters
    if op.startswith("resize"):
        mode = "bilinear" if op == "resize_linear" else "nearest"
        return lambda x: F.interpolate(x, scale_factor=2, mode=mode), x, []
    if op == "conv_transposed":
        return lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1), x, [contiguous(inputs[1].transpose(3, 2, 0, 1))]
    groups = 144 if op == "depthwise" else 1
    padding = 1 if op == "depthwise" else 0
    return lambda x, w: F.conv2d(x, w, padding=padding, groups=groups), x, [contiguous(inputs[1].transpose(3, 2, 0, 1))]


def recurrent(kind, inputs):
    """The module, and what gives the gradients of Kiln's variables."""
    net = (nn.LSTM if kind == "lstm" else nn.GRU)(RECURRENT_UNITS, RECURRENT_UNITS)
    with torch.no_grad():
        net.weight_ih_l0.copy_(contiguous(inputs[1].T))
        net.weight_hh_l0.copy_(contiguous(inputs[2].T))
        net.bias_ih_l0.copy_(contiguous(inputs[3]))
        net.bias_hh_l0.copy_(contiguous(inputs[4]) if kind == "gru" else torch.zeros_like(net.bias_hh_l0))

    def gradients():
        weights = [net.weight_ih_l0.grad.T, net.weight_hh_l0.grad.T, net.bias_ih_l0.grad]
        return weights + ([net.bias_hh_l0.grad] if kind == "gru" else [])

    return net, gradients


def attention(q, k, v, causal=False):
    """Of rank 4, where the fused op is known to take part."""
    return F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]


def attention_causal(q, k, v):
    return attention(q, k, v, True)


def bert(x, wq, bq, wo, bo, g1, h1, w1, b1, w2, b2, g2, h2):
    split = lambda t: t.view(1, 128, 12, 64).transpose(1, 2)
    q, k, v = F.linear(x, wq, bq).chunk(3, -1)
    o = F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).reshape(1, 128, 768)
    x = F.layer_norm(x + F.linear(o, wo, bo), (768,), g1, h1)
    return F.layer_norm(x + F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2), (768,), g2, h2)


def compiled_descent(parabola, arrays):
    from torch._higher_order_ops.while_loop import while_loop

    def loop(a, b, c):
        def body(i, x):
            return i + 1, x - 0.01 * torch.func.grad(parabola)(x, a, b, c)

        return while_loop(lambda i, x: i < STEPS, body, (torch.zeros((), dtype=torch.int64), torch.zeros(())))[1]

    torch.set_grad_enabled(False)
    f = torch.compile(loop, fullgraph=True)
    return lambda: f(*arrays)
