"""NumPy as a side: whole arrays, one operation after the other; gradients written by hand."""

import numpy as np

from draw import Draw
from rows import ADAM_EPSILON, ADAM_RATE, BETA1, BETA2, POWER, SQUARINGS, STEPS, TOP
from side import COMPLEX, Cell, moved

C = np.float32


def gelu(x):
    return C(0.5) * x * (C(1) + np.tanh(C(0.7978845608) * (x + C(0.044715) * x * x * x)))


def chain(x, y):
    return np.maximum(((x * x.dtype.type(1.5) + y) * x - y) / (x.dtype.type(1) + x * x), y)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layernorm(x, g, b):
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + C(1e-5)) * g + b


def rmsnorm(x, g):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + C(1e-6)) * g


def cross_entropy(x, y):
    m = x - x.max(-1, keepdims=True)
    e = np.exp(m)
    s = e.sum(-1, keepdims=True)
    rows = np.arange(len(y))
    loss = (np.log(s[:, 0]) - m[rows, y]).mean()
    e /= s
    e[rows, y] -= C(1)
    e *= C(1 / len(y))
    return loss, e


def power(x):
    r = np.eye(10, dtype=C)
    for _ in range(POWER):
        r = x @ r
    return r


def squares(x):
    for _ in range(SQUARINGS):
        x = x @ x
    return x


def descent(a, b, c):
    x = C(0)
    for _ in range(STEPS):
        x = x - C(0.01) * (C(2) * a * x + b)
    return x


def attention(q, k, v):
    return softmax(q @ k.transpose(0, 2, 1) * C(0.125)) @ v


def top_k(x):
    largest = np.argpartition(x, -TOP, -1)[:, -TOP:]
    order = np.argsort(-np.take_along_axis(x, largest, -1), -1)
    largest = np.take_along_axis(largest, order, -1)
    return np.take_along_axis(x, largest, -1), largest


def scatter_add(x, i, y):
    r = x.copy()
    np.add.at(r, i, y)
    return r


FUNCTIONS = {
    "sort": lambda x: np.sort(x, -1),
    "argsort": lambda x: np.argsort(x, -1),
    "top_k": top_k,
    "cumsum0": lambda x: x.cumsum(0),
    "cumsum1": lambda x: x.cumsum(1),
    "cummax1": lambda x: np.maximum.accumulate(x, 1),
    "median1": lambda x: np.median(x, 1),
    "bincount": lambda x: np.bincount(x, minlength=1024),
    "scatter_add": scatter_add,
    "gather_rows": lambda x, i: x[i],
    "fft": np.fft.fft,
    "fft_plane": np.fft.fft2,
    "cholesky": np.linalg.cholesky,
    "solve": np.linalg.solve,
    "exp": np.exp,
    "sin": np.sin,
    "add_one": lambda x: x + C(1),
    "add_four": lambda a, b, c, d: a + b + c + d,
    "add": lambda a, b: a + b,
    "chain": chain,
    "gelu": gelu,
    "softmax": softmax,
    "layernorm": layernorm,
    "rmsnorm": rmsnorm,
    "cross_entropy": cross_entropy,
    "sum0": lambda x: x.sum(0),
    "sum1": lambda x: x.sum(1),
    "var0": lambda x: x.var(0),
    "var1": lambda x: x.var(1),
    "transpose": lambda x: np.ascontiguousarray(x.T),
    "permute0213": lambda x: np.ascontiguousarray(x.transpose(0, 2, 1, 3)),
    "permute210": lambda x: np.ascontiguousarray(x.transpose(2, 1, 0)),
    "product": lambda a, b: a @ b,
    "dot": lambda a, b: a @ b,
    "power": power,
    "squares": squares,
    "descent": descent,
    "attention": attention,
    "mlp": lambda x, y, w1, b1, w2, b2: np.maximum(x @ w1 + b1, 0) @ w2 + b2,
}


def into(op, inputs):
    """The result goes into an array that exists."""
    o, t = np.empty_like(inputs[0]), np.empty_like(inputs[0])

    def run_copy():
        np.copyto(o, inputs[0])
        return o

    def run_chain():
        x, y = inputs
        np.multiply(x, C(1.5), out=o)
        np.add(o, y, out=o)
        np.multiply(o, x, out=o)
        np.subtract(o, y, out=o)
        np.multiply(x, x, out=t)
        np.add(t, C(1), out=t)
        np.divide(o, t, out=o)
        return np.maximum(o, y, out=o)

    run = {"copy": run_copy, "chain": run_chain}.get(op)
    return run and Cell(run, lambda r: [r])


def adam(inputs):
    p, g = inputs
    start, m, v, t, u = p.copy(), np.zeros_like(p), np.zeros_like(p), np.empty_like(p), np.empty_like(p)
    n = [0]

    def run():
        n[0] += 1
        np.multiply(g, C(1 - BETA1), out=t)
        np.multiply(m, C(BETA1), out=m)
        np.add(m, t, out=m)
        np.multiply(g, g, out=t)
        np.multiply(t, C(1 - BETA2), out=t)
        np.multiply(v, C(BETA2), out=v)
        np.add(v, t, out=v)
        np.divide(v, C(1 - BETA2 ** n[0]), out=t)
        np.sqrt(t, out=t)
        np.add(t, C(ADAM_EPSILON), out=t)
        np.divide(m, C(1 - BETA1 ** n[0]), out=u)
        np.divide(u, t, out=u)
        np.multiply(u, C(ADAM_RATE), out=u)
        np.subtract(p, u, out=p)

    return Cell(run, lambda _: [m, v, *moved([p], [start], ADAM_RATE)], steps=3)


def side(_, threads):
    def make(row):
        f = FUNCTIONS.get(row.op)
        if row.how == "first":
            return None
        inputs = row.inputs(Draw())
        if row.how == "into":
            return into(row.op, inputs)
        if row.op == "adam":
            return adam(inputs)
        if row.op in COMPLEX:
            z = inputs[0].view(np.complex64)[..., 0]
            return Cell(lambda: f(z), lambda r: [r.astype(np.complex64).view(C)])
        return f and Cell(lambda: f(*inputs), lambda r: r if isinstance(r, tuple) else [r])

    return make
