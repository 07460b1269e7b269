"""The rows of tests/bench/gpu/gpu.c by torch (eager and compiled) and JAX on one device, beside Kiln's figures. TF32 is off.
peers.py JSON DEVICE [--small] [--seconds S]"""
import argparse
import importlib.util
import json
import statistics
import time


def measure(call, wait, seconds):
    for _ in range(3):
        call()
    wait()
    calls, took = 1, 0.0
    while took < 0.02 and calls < 4096:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        took = time.perf_counter() - start
        calls *= 2
    found, until = [], time.perf_counter() + seconds
    while len(found) < 25 and (len(found) < 3 or time.perf_counter() < until):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        found.append((time.perf_counter() - start) / calls)
    return statistics.median(found)


def sizes(small):
    """rows and columns of memory rows, the two products, operations of a tiny row."""
    return (16, 64, 32, 48, 10) if small else (1 << 16, 1024, 4096, 8192, 1000)


class Torch:
    def __init__(self, device, small, compiled):
        import torch
        import torch.nn.functional as F
        self.torch, self.device, self.small = torch, device, small
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        if device == 'cuda' and not torch.cuda.is_available():
            raise RuntimeError('torch sees no card')
        self.wrap = torch.compile if compiled else (lambda f: f)
        self.F = F

    def wait(self):
        if self.device == 'cuda':
            self.torch.cuda.synchronize()

    def rows(self):
        torch, F = self.torch, self.F
        m, n, p, q, tiny = sizes(self.small)
        new = lambda *s: torch.rand(*s, device=self.device)

        def chain(x):
            y = torch.relu(x * 1.5 + 0.5)
            for _ in range(4):
                y = torch.clamp_min(y * 0.75 - x, -1)
            return y

        def many(x, w):
            for _ in range(tiny):
                x = x @ w
            return x
        yield 'copy', lambda: self.copy(m, n), 1
        yield 'chain', lambda: (chain, (new(m, n),)), 1
        yield 'axpy', lambda: (lambda x, y: x * 1.5 + y, (new(m, n), new(m, n))), 1
        yield 'softmax', lambda: (lambda x: torch.softmax(x, 1), (new(m, n),)), 1
        yield 'layernorm', lambda: (lambda x, s, b: F.layer_norm(x, (n,), s, b), (new(m, n), new(n), new(n))), 1
        for name, k in (('bf16_4096', p), ('bf16_8192', q)):
            yield name, lambda k=k: (lambda x, y: x @ y, (new(k, k).bfloat16(), new(k, k).bfloat16())), 1
        yield 'tiny_op', lambda: (many, (new(16, 16), new(16, 16) / 16)), tiny
        if not self.small:
            yield 'conv_adam', lambda: self.training(self.averaged(), 32), 1
            yield 'keras_conv', lambda: self.training(self.pooled(), 64), 1
            yield 'lstm_back', self.lstm, 1

    def copy(self, m, n):
        x = self.torch.rand(m, n, device=self.device)
        y = self.torch.empty_like(x)
        return (lambda x, y: y.copy_(x), (x, y))

    def averaged(self):
        nn = self.torch.nn
        return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                             nn.Linear(16, 10))

    def pooled(self):
        nn = self.torch.nn
        return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(1600, 10))

    def training(self, net, batch):
        torch, F = self.torch, self.F
        x, label = torch.rand(batch, 1, 28, 28, device=self.device), torch.randint(0, 10, (batch,), device=self.device)
        net = net.to(self.device)
        adam = torch.optim.Adam(net.parameters(), 1e-6, fused=self.device == 'cuda')
        model = self.wrap(lambda x, y: F.cross_entropy(net(x), y))

        def step():
            adam.zero_grad()
            model(x, label).backward()
            adam.step()
        return step

    def lstm(self):
        lstm = self.torch.nn.LSTM(128, 128).to(self.device)
        x = self.torch.rand(64, 32, 128, device=self.device)
        model = self.wrap(lambda x: lstm(x)[0].mean())

        def step():
            lstm.zero_grad()
            model(x).backward()
        return step

    def call(self, made):
        if callable(made):
            return made
        f, x = self.wrap(made[0]), made[1]
        return lambda: f(*x)


class Jax:
    def __init__(self, device, small):
        import jax
        self.jax, self.small, self.last = jax, small, None
        jax.config.update('jax_default_matmul_precision', 'highest')
        kind = {'cuda': 'gpu', 'cpu': 'cpu'}[device]
        self.on = jax.devices(kind)[0]

    def wait(self):
        self.jax.block_until_ready(self.last)

    def rows(self):
        jnp, jax = self.jax.numpy, self.jax
        m, n, p, q, tiny = sizes(self.small)
        new = lambda *s: jax.device_put(jax.random.uniform(jax.random.PRNGKey(1), s), self.on)

        def chain(x):
            y = jax.nn.relu(x * 1.5 + 0.5)
            for _ in range(4):
                y = jnp.maximum(y * 0.75 - x, -1)
            return y

        def norm(x, s, b):
            d = x - x.mean(1, keepdims=True)
            return d / jnp.sqrt((d * d).mean(1, keepdims=True) + 1e-5) * s + b

        def many(x, w):
            for _ in range(tiny):
                x = x @ w
            return x
        yield 'copy', lambda: (jnp.copy, (new(m, n),)), 1
        yield 'chain', lambda: (chain, (new(m, n),)), 1
        yield 'axpy', lambda: (lambda x, y: x * 1.5 + y, (new(m, n), new(m, n))), 1
        yield 'softmax', lambda: (lambda x: jax.nn.softmax(x, 1), (new(m, n),)), 1
        yield 'layernorm', lambda: (norm, (new(m, n), new(n), new(n))), 1
        for name, k in (('bf16_4096', p), ('bf16_8192', q)):
            yield name, lambda k=k: (lambda x, y: x @ y, (new(k, k).astype(jnp.bfloat16), new(k, k).astype(jnp.bfloat16))), 1
        yield 'tiny_op', lambda: (many, (new(16, 16), new(16, 16) / 16)), tiny

    def call(self, made):
        f, x = self.jax.jit(made[0]), made[1]

        def run():
            self.last = f(*x)
        return run


def main():
    a = argparse.ArgumentParser()
    a.add_argument('json')
    a.add_argument('device', choices=('cuda', 'cpu'))
    a.add_argument('--small', action='store_true')
    a.add_argument('--seconds', type=float, default=1)
    a = a.parse_args()
    kiln = {}
    for line in open(a.json, encoding='utf-8'):
        row = json.loads(line)
        kiln[row['row']] = row['seconds']
    sides = [('torch', lambda: Torch(a.device, a.small, False)), ('torch.compile', lambda: Torch(a.device, a.small, True)),
             ('jax', lambda: Jax(a.device, a.small))]
    for name, make in sides:
        if importlib.util.find_spec(name.split('.')[0]) is None:
            print(f'{name}: not installed')
            continue
        try:
            side = make()
        except Exception as e:  # no card, no such backend
            print(f'{name}: not measured: {e}')
            continue
        for row, made, parts in side.rows():
            if row not in kiln:
                continue
            try:
                took = measure(side.call(made()), side.wait, a.seconds) / parts
            except Exception as e:
                print(f'{name:14} {row:12} failed: {str(e).splitlines()[0] if str(e) else type(e).__name__}')
                continue
            print(f'{name:14} {row:12} {1e6 * took:12.1f} us   Kiln {1e6 * kiln[row]:12.1f} us, {took / kiln[row]:6.2f} x', flush=True)


main()
