"""PyTorch as a side, in three modes: eager; `fused`, where one op or a memory layout for it exists (F.gelu, Adam(fused=True),
convolutions with channels last), other rows having no such cell; and `compile`, torch.compile of everything."""

import numpy as np
import torch
import torch.nn.functional as F

import torch_nets as nets
from draw import Draw
from rows import ADAM_EPSILON, ADAM_RATE, BETA1, BETA2, BLOCK_RATE, POWER, SGD_RATE, SQUARINGS, STEPS, TOP
from side import ADAMS, COMPLEX, NETS, Cell, moved

FUSED = ("gelu", "adam", "mlp_adam", *nets.IMAGES)


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def chain(x, y):
    return torch.maximum(((x * 1.5 + y) * x - y) / (1 + x * x), y)


def power(x):
    r = torch.eye(10)
    for _ in range(POWER):
        r = x @ r
    return r


def squares(x):
    for _ in range(SQUARINGS):
        x = x @ x
    return x


def parabola(x, a, b, c):
    return a * x * x + b * x + c


FUNCTIONS = {
    "add_one": lambda x: x + 1,
    "add_four": lambda a, b, c, d: a + b + c + d,
    "add": lambda a, b: a + b,
    "copy": lambda x: x * 1.0,
    "chain": chain,
    "gelu": gelu,
    "softmax": lambda x: torch.softmax(x, -1),
    "layernorm": lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b, 1e-5),
    "rmsnorm": lambda x, w: F.rms_norm(x, x.shape[-1:], w, 1e-6),
    "sum0": lambda x: x.sum(0),
    "sum1": lambda x: x.sum(1),
    "var0": lambda x: x.var(0, correction=0),
    "var1": lambda x: x.var(1, correction=0),
    "transpose": lambda x: x.t().contiguous(),
    "permute0213": lambda x: x.permute(0, 2, 1, 3).contiguous(),
    "permute210": lambda x: x.permute(2, 1, 0).contiguous(),
    "product": torch.matmul,
    "dot": torch.dot,
    "product_bf16": torch.matmul,
    "product_i8": torch._int_mm,
    "power": power,
    "squares": squares,
    "bert": nets.bert,
    "attention": nets.attention,
    "attention_causal": nets.attention_causal,
    "sort": lambda x: torch.sort(x, -1).values,
    "argsort": lambda x: torch.argsort(x, -1),
    "top_k": lambda x: tuple(torch.topk(x, TOP, -1)),
    "cumsum0": lambda x: x.cumsum(0),
    "cumsum1": lambda x: x.cumsum(1),
    "cummax1": lambda x: x.cummax(1).values,
    "median1": lambda x: torch.quantile(x, 0.5, dim=1),
    "bincount": lambda x: torch.bincount(x, minlength=1024),
    "scatter_add": lambda x, i, y: x.index_add(0, i, y),
    "gather_rows": lambda x, i: x[i],
    "fft": torch.fft.fft,
    "fft_plane": torch.fft.fft2,
    "cholesky": torch.linalg.cholesky,
    "solve": torch.linalg.solve,
    "exp": torch.exp,
    "sin": torch.sin,
}


def to_numpy(t):
    return t.detach().float().numpy() if t.dtype == torch.bfloat16 else t.detach().numpy()


def only(r):
    if isinstance(r, tuple):
        return [to_numpy(t) for t in r]
    return [to_numpy(torch.view_as_real(r) if r.is_complex() else r)]


class Side:
    def __init__(self, mode):
        self.fused = mode == "fused"
        self.compiled = mode == "compile"
        self.compile = torch.compile if self.compiled else lambda f: f

    def into(self, row, inputs):
        o, t, f = torch.zeros_like(inputs[0]), torch.zeros_like(inputs[0]), FUNCTIONS[row.op]

        def whole(o, *a):
            o.copy_(f(*a))

        def chain_by_steps(o, x, y):
            torch.mul(x, 1.5, out=o)
            o.add_(y).mul_(x).sub_(y)
            torch.mul(x, x, out=t)
            t.add_(1)
            o.div_(t)
            torch.maximum(o, y, out=o)

        eager = {"chain": chain_by_steps, "copy": lambda o, x: o.copy_(x)}
        if not self.compiled and row.op not in eager:
            return None
        g = torch.compile(whole) if self.compiled else eager[row.op]

        def run():
            g(o, *inputs)
            return o

        return Cell(run, only)

    def adam(self, arrays, inputs):
        p, g = torch.nn.Parameter(arrays[0].clone()), arrays[1]
        results = lambda r: [*map(to_numpy, r), *moved([to_numpy(p)], inputs[:1], ADAM_RATE)]
        if self.compiled:
            torch.set_grad_enabled(False)
            m, v, t = torch.zeros_like(g), torch.zeros_like(g), torch.zeros(())

            @torch.compile
            def step(p, g, m, v, t):
                t += 1
                m.mul_(BETA1).add_(g, alpha=1 - BETA1)
                v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
                p.sub_(ADAM_RATE * (m / (1 - BETA1**t)) / (torch.sqrt(v / (1 - BETA2**t)) + ADAM_EPSILON))

            def run():
                step(p.data, g, m, v, t)
                return m, v

        else:
            p.grad = g
            optimizer = torch.optim.Adam([p], lr=ADAM_RATE, eps=ADAM_EPSILON, fused=True if self.fused else None)

            def run():
                optimizer.step()
                return optimizer.state[p]["exp_avg"], optimizer.state[p]["exp_avg_sq"]

        return Cell(run, results, steps=3)

    def network(self, op, inputs):
        net, x = nets.network(NETS[op], inputs, self.fused)
        if op in ("mlp", "convnet"):
            torch.set_grad_enabled(False)
            f = self.compile(net.eval())
            return Cell(lambda: f(x), only)
        rate = ADAM_RATE if op in ADAMS else SGD_RATE
        parameters, y = list(net.parameters()), torch.from_numpy(inputs[1])
        if op in ADAMS:
            optimizer = torch.optim.Adam(parameters, lr=rate, eps=ADAM_EPSILON, fused=True if self.fused else None)
        else:
            optimizer = torch.optim.SGD(parameters, lr=rate)
        return self.training(lambda x, y: F.cross_entropy(net(x), y), (x, y), parameters, optimizer, rate)

    def training(self, loss, fixed, parameters, optimizer, rate):
        start = [to_numpy(p).copy() for p in parameters]
        f, step = self.compile(loss), self.compile(optimizer.step)

        def run():
            optimizer.zero_grad(set_to_none=True)
            found = f(*fixed)
            found.backward()
            step()
            return found

        return Cell(run, lambda r: only(r) + moved(map(to_numpy, parameters), start, rate), steps=3)

    def images(self, op, inputs):
        f, x, parameters = nets.images(op, inputs, self.fused)
        if op == "resnet_step":
            parameters = [torch.nn.Parameter(p) for p in parameters]
            loss = lambda x: (nets.residual(x, parameters) ** 2).mean()
            return self.training(loss, (x,), parameters, torch.optim.SGD(parameters, lr=BLOCK_RATE), BLOCK_RATE)
        torch.set_grad_enabled(False)
        g = self.compile(f)
        return Cell(lambda: g(x, *parameters), lambda r: [to_numpy(r.permute(0, 2, 3, 1))])

    def recurrent(self, op, inputs):
        net, gradients = nets.recurrent(op.partition("_")[0], inputs)
        x = torch.from_numpy(inputs[0])
        if not op.endswith("back"):
            torch.set_grad_enabled(False)
            f = self.compile(lambda x: net(x)[0])
            return Cell(lambda: f(x), only)
        f = self.compile(lambda x: net(x)[0].mean())

        def run():
            net.zero_grad(set_to_none=True)
            found = f(x)
            found.backward()
            return found

        return Cell(run, lambda r: only(r) + [to_numpy(g) for g in gradients()])

    def back(self, f, arrays, count):
        """A loss and its gradients by the first `count` arrays."""
        watched = [a.requires_grad_() for a in arrays[:count]]
        g = self.compile(f)

        def run():
            for a in watched:
                a.grad = None
            found = g(*arrays)
            found.backward()
            return found

        return Cell(run, lambda r: only(r) + [to_numpy(a.grad) for a in watched])

    def descent(self, arrays):
        a, b, c = arrays
        if self.compiled:
            return Cell(nets.compiled_descent(parabola, arrays), only)

        def run():
            x = torch.zeros((), requires_grad=True)
            for _ in range(STEPS):
                (slope,) = torch.autograd.grad(parabola(x, a, b, c), x)
                with torch.no_grad():
                    x -= 0.01 * slope
            return x

        return Cell(run, only)

    def special(self, row, arrays, inputs):
        op = row.op
        if op == "adam":
            return self.adam(arrays, inputs)
        if op == "cross_entropy":
            return self.back(F.cross_entropy, arrays, 1)
        if op in ("attention_back", "attention_causal_back"):
            f = FUNCTIONS[op[:-5]]
            return self.back(lambda *a: f(*a).mean(), arrays, 3)
        if op in NETS:
            return self.network(op, inputs)
        if op in nets.IMAGES:
            return self.images(op, inputs)
        if op.startswith(("lstm", "gru")):
            return self.recurrent(op, inputs)
        return self.descent(arrays) if op == "descent" else None

    def make(self, row):
        if (
            self.fused
            and row.op not in FUSED
            or not self.compiled
            and row.how == "first"
            or row.how == "eager"
            and self.compiled
        ):
            return None
        torch.set_grad_enabled(True)
        inputs = row.inputs(Draw())
        arrays = [torch.from_numpy(np.array(a)) if np.ndim(a) else torch.tensor(a) for a in inputs]
        if row.op not in FUNCTIONS or row.op == "adam":
            return self.special(row, arrays, inputs)
        torch.set_grad_enabled(False)
        if row.how == "into":
            return None if self.fused else self.into(row, arrays)
        if row.op == "product_bf16":
            arrays = [a.bfloat16() for a in arrays]
        if row.op in COMPLEX:
            arrays = [torch.view_as_complex(arrays[0])]
        if row.op == "bert":
            arrays = [arrays[0]] + [a.T.contiguous() if a.ndim == 2 else a for a in arrays[1:]]
        f = (lambda x: F.gelu(x, approximate="tanh")) if self.fused else self.compile(FUNCTIONS[row.op])
        return Cell(lambda: f(*arrays), only)


def side(mode, threads):
    torch.set_num_threads(threads)
    return Side(mode).make
