"""JAX as a side: jit of everything but the eager rows; parameters and buffers that are written are donated."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jax_nets as nets
from draw import Draw
from rows import ADAM_RATE, BLOCK_RATE, LONG_STEPS, POWER, SGD_RATE, SQUARINGS, STEPS, TOP
from side import ADAMS, COMPLEX, NETS, Cell, moved


def gelu(x):
    return 0.5 * x * (1 + jnp.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def chain(x, y):
    return jnp.maximum(((x * 1.5 + y) * x - y) / (1 + x * x), y)


def power(x):
    r = jnp.eye(10)
    for _ in range(POWER):
        r = x @ r
    return r


def parabola(x, a, b, c):
    return a * x * x + b * x + c


def descent(a, b, c):
    return lax.fori_loop(0, STEPS, lambda i, x: x - 0.01 * jax.grad(parabola)(x, a, b, c), jnp.float32(0))


def long_loop(x):
    return lax.fori_loop(0, LONG_STEPS, lambda i, y: y * 0.5 + jnp.sin(i.astype(jnp.float32)), x)


FUNCTIONS = {
    "add_one": lambda x: x + 1,
    "add_four": lambda a, b, c, d: a + b + c + d,
    "add": lambda a, b: a + b,
    "copy": lambda x: x * 1.0,
    "chain": chain,
    "gelu": gelu,
    "softmax": lambda x: jax.nn.softmax(x, -1),
    "layernorm": nets.layernorm,
    "rmsnorm": lambda x, w: x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w,
    "cross_entropy": jax.value_and_grad(nets.cross_entropy),
    "sum0": lambda x: x.sum(0),
    "sum1": lambda x: x.sum(1),
    "var0": lambda x: x.var(0),
    "var1": lambda x: x.var(1),
    "transpose": lambda x: x.T,
    "permute0213": lambda x: x.transpose(0, 2, 1, 3),
    "permute210": lambda x: x.transpose(2, 1, 0),
    "product": jnp.matmul,
    "dot": jnp.dot,
    "product_bf16": jnp.matmul,
    "product_i8": lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.int32),
    "power": power,
    "squares": lambda x: lax.fori_loop(0, SQUARINGS, lambda i, y: y @ y, x),
    "descent": descent,
    "long_loop": long_loop,
    "depthwise": lambda x, w: nets.conv(x, w, "SAME", groups=144),
    "pointwise": lambda x, w: nets.conv(x, w, "VALID"),
    "conv_transposed": nets.conv_transposed,
    "resize_linear": lambda x: jax.image.resize(x, (8, 112, 112, 64), "linear"),
    "resize_nearest": lambda x: jax.image.resize(x, (8, 112, 112, 64), "nearest"),
    "resnet": lambda x, *p: nets.residual(x, p),
    "lstm": nets.lstm,
    "gru": nets.gru,
    "lstm_back": jax.value_and_grad(lambda *a: nets.lstm(*a).mean(), argnums=(1, 2, 3)),
    "gru_back": jax.value_and_grad(lambda *a: nets.gru(*a).mean(), argnums=(1, 2, 3, 4)),
    "bert": nets.bert,
    "attention": nets.attention,
    "attention_causal": nets.attention_causal,
    "attention_back": jax.value_and_grad(lambda *a: nets.attention(*a).mean(), argnums=(0, 1, 2)),
    "sort": lambda x: jnp.sort(x, -1),
    "argsort": lambda x: jnp.argsort(x, -1, stable=False),
    "top_k": lambda x: lax.top_k(x, TOP),
    "cumsum0": lambda x: jnp.cumsum(x, 0),
    "cumsum1": lambda x: jnp.cumsum(x, 1),
    "cummax1": lambda x: jax.lax.cummax(x, axis=1),
    "median1": lambda x: jnp.median(x, 1),
    "bincount": lambda x: jnp.bincount(x, length=1024),
    "scatter_add": lambda x, i, y: x.at[i].add(y),
    "gather_rows": lambda x, i: x[i],
    "fft": jnp.fft.fft,
    "fft_plane": jnp.fft.fft2,
    "cholesky": jnp.linalg.cholesky,
    "solve": jnp.linalg.solve,
    "exp": jnp.exp,
    "sin": jnp.sin,
    "attention_causal_back": jax.value_and_grad(lambda *a: nets.attention_causal(*a).mean(), argnums=(0, 1, 2)),
}


def flat(r):
    arrays = [np.asarray(t) for t in jax.tree.leaves(r)]
    return [a.view(np.float32) if a.dtype == np.complex64 else a for a in arrays]


def stepping(step, state, fixed, results):
    """step(*state, *fixed) gives the next state, whose memory is donated; the last value of the state is the loss."""
    f = jax.jit(step, donate_argnums=tuple(range(len(state))))
    held = [state]

    def run():
        held[0] = f(*held[0], *fixed)
        return jax.block_until_ready(held[0])

    return Cell(run, results, steps=3)


def adam(inputs):
    p, g = inputs

    def step(p, m, v, t, g):
        t = t + 1.0
        return (*nets.adam(p, g, m, v, t), t)

    state = (jnp.array(p), jnp.zeros_like(p), jnp.zeros_like(p), jnp.float32(0))
    return stepping(
        step, state, (jnp.asarray(g),), lambda r: [np.asarray(r[1]), np.asarray(r[2]), *moved(r[:1], [p], ADAM_RATE)]
    )


def training(op, inputs):
    net = getattr(nets, NETS[op])
    x, y, start = jnp.asarray(inputs[0]), jnp.asarray(inputs[1]), inputs[2:]

    def loss(p, x, y):
        return nets.cross_entropy(net(x, p), y)

    def sgd_step(p, _, x, y):
        found, slope = jax.value_and_grad(loss)(p, x, y)
        return [a - SGD_RATE * g for a, g in zip(p, slope)], found

    def adam_step(p, m, v, t, _, x, y):
        found, slope = jax.value_and_grad(loss)(p, x, y)
        t = t + 1.0
        new = [nets.adam(*z, t) for z in zip(p, slope, m, v)]
        return [n[0] for n in new], [n[1] for n in new], [n[2] for n in new], t, found

    p, rate = [jnp.array(a) for a in start], ADAM_RATE if op in ADAMS else SGD_RATE
    zeros = lambda: [jnp.zeros_like(a) for a in p]
    state = (p, zeros(), zeros(), jnp.float32(0), jnp.float32(0)) if op in ADAMS else (p, jnp.float32(0))
    return stepping(
        adam_step if op in ADAMS else sgd_step, state, (x, y), lambda r: [np.asarray(r[-1]), *moved(r[0], start, rate)]
    )


def residual_step(inputs):
    start = inputs[1:]

    def step(p, _, x):
        found, slope = jax.value_and_grad(lambda p: (nets.residual(x, p) ** 2).mean())(p)
        return [a - BLOCK_RATE * g for a, g in zip(p, slope)], found

    state = ([jnp.array(a) for a in start], jnp.float32(0))
    return stepping(step, state, (jnp.asarray(inputs[0]),), lambda r: [np.asarray(r[1]), *moved(r[0], start, BLOCK_RATE)])


def into(f, inputs):
    """The result goes into a donated buffer."""
    g = jax.jit(lambda o, *a: f(*a), donate_argnums=0, keep_unused=True)
    held = [jnp.zeros_like(inputs[0])]

    def run():
        held[0] = g(held[0], *inputs)
        return held[0].block_until_ready()

    return Cell(run, flat)


def make(row):
    inputs = row.inputs(Draw())
    if row.op == "adam":
        return adam(inputs)
    if row.op == "resnet_step":
        return residual_step(inputs)
    if row.op in NETS and row.op not in ("mlp", "convnet"):
        return training(row.op, inputs)
    if row.op in NETS:
        f, x, p = jax.jit(getattr(nets, row.op)), jnp.asarray(inputs[0]), [jnp.asarray(a) for a in inputs[2:]]
        return Cell(lambda: f(x, p).block_until_ready(), flat)
    jax.config.update("jax_enable_x64", inputs[0].dtype == np.float64)
    arrays = [jnp.asarray(a, jnp.bfloat16 if row.op == "product_bf16" else None) for a in inputs]
    if row.op in COMPLEX:
        arrays = [lax.complex(arrays[0][..., 0], arrays[0][..., 1])]
    f = FUNCTIONS[row.op]
    if row.how == "into":
        return into(f, arrays)
    if row.how != "eager":
        g = f
        f = jax.jit(lambda *a: g(*a))  # a function of its own, so that it is compiled anew
    return Cell(lambda: jax.block_until_ready(f(*arrays)), flat)


def side(_, threads):
    return make
