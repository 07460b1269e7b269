"""Layers and networks for JAX."""

import jax
import jax.numpy as jnp
from jax import lax

from rows import ADAM_EPSILON, ADAM_RATE, BETA1, BETA2, RECURRENT_UNITS


def relu(x):
    return jnp.maximum(x, 0)


def layernorm(x, g, b, eps=1e-5):
    d = x - x.mean(-1, keepdims=True)
    return d * lax.rsqrt((d * d).mean(-1, keepdims=True) + eps) * g + b


def cross_entropy(x, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()


def adam(p, g, m, v, t):
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g * g
    return p - ADAM_RATE * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + ADAM_EPSILON), m, v


def conv(x, w, padding, groups=1):
    return lax.conv_general_dilated(
        x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def conv_transposed(x, w):
    return lax.conv_transpose(
        x, w, (2, 2), ((2, 2), (2, 2)), dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True
    )


def residual(x, p):
    h = relu(conv(x, p[0], "SAME") + p[1])
    h = relu(conv(h, p[2], "SAME") + p[3])
    return relu(x + conv(h, p[4], "SAME") + p[5])


def mlp(x, p):
    return relu(x @ p[0] + p[1]) @ p[2] + p[3]


def convnet(x, p):
    h = relu(conv(x, p[0], "VALID") + p[1])
    return relu(conv(h, p[2], "VALID") + p[3]).mean((1, 2)) @ p[4] + p[5]


def pooled(x, p):
    pool = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    h = pool(relu(conv(x, p[0], "VALID") + p[1]))
    h = pool(relu(conv(h, p[2], "VALID") + p[3]))
    return h.reshape(h.shape[0], -1) @ p[4] + p[5]


def lstm(x, w, u, b):
    def cell(state, a):
        h, c = state
        i, f, g, o = jnp.split(a + h @ u, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((x.shape[1], RECURRENT_UNITS))
    return lax.scan(cell, (zero, zero), x @ w + b)[1]


def gru(x, w, u, b, bu):
    def cell(h, a):
        xr, xz, xn = jnp.split(a, 3, -1)
        pr, pz, pn = jnp.split(h @ u + bu, 3, -1)
        r, z = jax.nn.sigmoid(xr + pr), jax.nn.sigmoid(xz + pz)
        n = jnp.tanh(xn + r * pn)
        h = n + z * (h - n)
        return h, h

    return lax.scan(cell, jnp.zeros((x.shape[1], RECURRENT_UNITS)), x @ w + b)[1]


def attention(q, k, v):
    return jax.nn.softmax(jnp.einsum("hqd,hkd->hqk", q, k) / 8.0, -1) @ v


def attention_causal(q, k, v):
    n = q.shape[1]
    score = jnp.where(jnp.tril(jnp.ones((n, n), bool)), jnp.einsum("hqd,hkd->hqk", q, k) / 8.0, -jnp.inf)
    return jax.nn.softmax(score, -1) @ v


def bert(x, wq, bq, wo, bo, g1, h1, w1, b1, w2, b2, g2, h2):
    split = lambda t: t.reshape(1, 128, 12, 64).transpose(0, 2, 1, 3)
    q, k, v = jnp.split(x @ wq + bq, 3, -1)
    a = jax.nn.softmax(jnp.einsum("bhqd,bhkd->bhqk", split(q), split(k)) / 8.0, -1)
    o = jnp.einsum("bhqk,bhkd->bhqd", a, split(v)).transpose(0, 2, 1, 3).reshape(1, 128, 768)
    x = layernorm(x + o @ wo + bo, g1, h1)
    return layernorm(x + jax.nn.gelu(x @ w1 + b1, approximate=False) @ w2 + b2, g2, h2)
