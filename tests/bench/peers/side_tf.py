"""TensorFlow as a side: tf.function of everything but the eager rows (`xla`: with jit_compile); networks, recurrent cells and
optimisers are Keras's. A call on a CPU returns after its kernels have run."""

import os

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras
import numpy as np
import tensorflow as tf

from draw import Draw
from rows import (
    ADAM_EPSILON,
    ADAM_RATE,
    BETA1,
    BETA2,
    BLOCK_RATE,
    LONG_STEPS,
    POWER,
    RECURRENT_UNITS,
    SGD_RATE,
    SQUARINGS,
    STEPS,
)
from side import ADAMS, NETS, Cell, moved


def gelu(x):
    return 0.5 * x * (1 + tf.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def chain(x, y):
    return tf.maximum(((x * 1.5 + y) * x - y) / (1 + x * x), y)


def layernorm(x, g, b, eps=1e-5):
    m, v = tf.nn.moments(x, [-1], keepdims=True)
    return tf.nn.batch_normalization(x, m, v, b, g, eps)


def power(x):
    r = tf.eye(10)
    for _ in range(POWER):
        r = tf.matmul(x, r)
    return r


def squares(x):
    for _ in tf.range(SQUARINGS):
        x = tf.matmul(x, x)
    return x


def cross_entropy(x, y):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, x))
    return loss, tape.gradient(loss, x)


def descent(a, b, c):
    x = tf.constant(0.0)
    for _ in tf.range(STEPS):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = a * x * x + b * x + c
        x = x - 0.01 * tape.gradient(y, x)
    return x


def long_loop(x):
    for i in tf.range(LONG_STEPS):
        x = x * 0.5 + tf.sin(tf.cast(i, tf.float32))
    return x


def attention(q, k, v, causal=False):
    score = tf.matmul(q, k, transpose_b=True) / 8.0
    if causal:
        n = q.shape[1]
        score = tf.where(tf.linalg.band_part(tf.ones((n, n), tf.bool), -1, 0), score, -np.inf)
    return tf.matmul(tf.nn.softmax(score), v)


def attention_causal(q, k, v):
    return attention(q, k, v, True)


def with_gradients(f):
    def back(*a):
        with tf.GradientTape() as tape:
            for x in a:
                tape.watch(x)
            y = tf.reduce_mean(f(*a))
        return [y, *tape.gradient(y, a)]

    return back


def bert(x, wq, bq, wo, bo, g1, h1, w1, b1, w2, b2, g2, h2):
    linear = lambda x, w, b: tf.matmul(tf.reshape(x, (128, -1)), w) + b
    split = lambda t: tf.transpose(tf.reshape(t, (1, 128, 12, 64)), (0, 2, 1, 3))
    q, k, v = tf.split(linear(x, wq, bq), 3, -1)
    a = tf.nn.softmax(tf.matmul(split(q), split(k), transpose_b=True) / 8.0, -1)
    o = tf.reshape(tf.transpose(tf.matmul(a, split(v)), (0, 2, 1, 3)), (128, 768))
    x = layernorm(tf.reshape(x, (128, 768)) + linear(o, wo, bo), g1, h1)
    return tf.reshape(layernorm(x + linear(tf.nn.gelu(linear(x, w1, b1)), w2, b2), g2, h2), (1, 128, 768))


def residual(x, p):
    conv = lambda x, i: tf.nn.conv2d(x, p[i], 1, "SAME") + p[i + 1]
    return tf.nn.relu(x + conv(tf.nn.relu(conv(tf.nn.relu(conv(x, 0)), 2)), 4))


def depthwise(x, w):
    return tf.nn.depthwise_conv2d(x, tf.transpose(w, (0, 1, 3, 2)), (1, 1, 1, 1), "SAME")


# No copy: assigned to a variable, x * 1 shares its memory with x until one of them is written.
FUNCTIONS = {
    "add_one": lambda x: x + 1,
    "add_four": lambda a, b, c, d: a + b + c + d,
    "add": lambda a, b: a + b,
    "chain": chain,
    "gelu": gelu,
    "softmax": lambda x: tf.nn.softmax(x, -1),
    "layernorm": layernorm,
    "rmsnorm": lambda x, w: x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-6) * w,
    "cross_entropy": cross_entropy,
    "sum0": lambda x: tf.reduce_sum(x, 0),
    "sum1": lambda x: tf.reduce_sum(x, 1),
    "var0": lambda x: tf.math.reduce_variance(x, 0),
    "var1": lambda x: tf.math.reduce_variance(x, 1),
    "transpose": tf.transpose,
    "permute0213": lambda x: tf.transpose(x, (0, 2, 1, 3)),
    "permute210": lambda x: tf.transpose(x, (2, 1, 0)),
    "product": lambda a, b: tf.matmul(a, b),
    "product_bf16": lambda a, b: tf.matmul(a, b),
    "dot": lambda a, b: tf.tensordot(a, b, 1),
    "power": power,
    "squares": squares,
    "descent": descent,
    "long_loop": long_loop,
    "depthwise": depthwise,
    "pointwise": lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"),
    "conv_transposed": lambda x, w: tf.nn.conv2d_transpose(x, w, (8, 56, 56, 32), 2, "SAME"),
    "resize_linear": lambda x: tf.image.resize(x, (112, 112)),
    "resize_nearest": lambda x: tf.image.resize(x, (112, 112), "nearest"),
    "resnet": lambda x, *p: residual(x, p),
    "bert": bert,
    "attention": attention,
    "attention_causal": attention_causal,
    "attention_back": with_gradients(attention),
    "attention_causal_back": with_gradients(attention_causal),
}


def arrays_of(r):
    return [
        np.asarray(z, np.float32 if z.dtype == tf.bfloat16 else None) for z in (r if isinstance(r, (tuple, list)) else [r])
    ]


class Side:
    def __init__(self, mode):
        self.function = tf.function(jit_compile=True) if mode == "xla" else tf.function

    def into(self, f, arrays):
        """The result goes into a variable."""
        o = tf.Variable(tf.zeros_like(arrays[0]))
        g = self.function(lambda *a: o.assign(f(*a), read_value=False) and None)
        return Cell(lambda: g(*arrays), lambda _: [o.numpy()])

    def adam(self, inputs):
        p, m, v, t = (tf.Variable(a) for a in (inputs[0], 0 * inputs[0], 0 * inputs[0], np.float32(0)))
        g = tf.constant(inputs[1])

        def step(g):
            t.assign_add(1.0)
            m.assign(BETA1 * m + (1 - BETA1) * g)
            v.assign(BETA2 * v + (1 - BETA2) * g * g)
            p.assign_sub(ADAM_RATE * (m / (1 - BETA1**t)) / (tf.sqrt(v / (1 - BETA2**t)) + ADAM_EPSILON))
            return t.read_value()

        f = self.function(step)
        return Cell(
            lambda: f(g).numpy(), lambda _: [m.numpy(), v.numpy(), *moved([p.numpy()], inputs[:1], ADAM_RATE)], steps=3
        )

    def network(self, op, inputs):
        L = keras.layers
        a, conv = inputs, lambda i: L.Conv2D(inputs[i].shape[3], 3, activation="relu")
        layers = {
            "mlp": lambda: [L.Input((784,)), L.Dense(a[2].shape[1], activation="relu"), L.Dense(10)],
            "convnet": lambda: [L.Input((28, 28, 1)), conv(2), conv(4), L.GlobalAveragePooling2D(), L.Dense(10)],
            "pooled": lambda: [
                L.Input((28, 28, 1)),
                conv(2),
                L.MaxPooling2D(2),
                conv(4),
                L.MaxPooling2D(2),
                L.Flatten(),
                L.Dense(10),
            ],
        }
        net = keras.Sequential(layers[NETS[op]]())
        net.set_weights(a[2:])
        x, y = tf.constant(a[0]), tf.constant(a[1])
        if op in ("mlp", "convnet"):
            f = self.function(lambda x: net(x, training=False))
            return Cell(lambda: f(x).numpy(), lambda r: [r])
        # Epsilon is so small that Keras's place for it, inside the bias correction, makes no difference.
        rate = ADAM_RATE if op in ADAMS else SGD_RATE
        optimizer = keras.optimizers.Adam(rate, epsilon=ADAM_EPSILON) if op in ADAMS else keras.optimizers.SGD(rate)
        optimizer.build(net.trainable_variables)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def step(x, y):
            with tf.GradientTape() as tape:
                found = loss(y, net(x, training=True))
            optimizer.apply_gradients(zip(tape.gradient(found, net.trainable_variables), net.trainable_variables))
            return found

        f = self.function(step)
        return Cell(
            lambda: f(x, y).numpy(),
            lambda r: [r, *moved([p.numpy() for p in net.trainable_variables], a[2:], rate)],
            steps=3,
        )

    def residual_step(self, inputs):
        x, p = tf.constant(inputs[0]), [tf.Variable(a) for a in inputs[1:]]

        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(residual(x, p) ** 2)
            for v, g in zip(p, tape.gradient(loss, p)):
                v.assign_sub(BLOCK_RATE * g)
            return loss

        f = self.function(step)
        return Cell(lambda: f(x).numpy(), lambda r: [r, *moved([v.numpy() for v in p], inputs[1:], BLOCK_RATE)], steps=3)

    def recurrent(self, op, inputs):
        """Keras's sequences have the batch first, and a GRU's gates in the order z r n."""
        gru = op.startswith("gru")
        turn = lambda a: np.concatenate([np.split(a, 3, -1)[i] for i in (1, 0, 2)], -1) if gru else a
        layer = (keras.layers.GRU if gru else keras.layers.LSTM)(RECURRENT_UNITS, return_sequences=True)
        x = tf.constant(np.ascontiguousarray(inputs[0].transpose(1, 0, 2)))
        layer.build(x.shape)
        bias = np.stack([turn(b) for b in inputs[3:]]) if gru else inputs[3]
        layer.set_weights([turn(inputs[1]), turn(inputs[2]), bias])
        if not op.endswith("back"):
            f = self.function(lambda x: layer(x))
            return Cell(lambda: f(x), lambda r: [r.numpy().transpose(1, 0, 2)])

        def back(x):
            with tf.GradientTape() as tape:
                y = tf.reduce_mean(layer(x))
            return [y] + tape.gradient(y, layer.trainable_variables)

        f = self.function(back)
        biases = lambda b: [turn(z) for z in b] if gru else [b]
        return Cell(lambda: f(x), lambda r: [r[0].numpy(), *(turn(z.numpy()) for z in r[1:3]), *biases(r[3].numpy())])

    def make(self, row):
        inputs = row.inputs(Draw())
        if row.op == "adam":
            return self.adam(inputs)
        if row.op in NETS:
            return self.network(row.op, inputs)
        if row.op == "resnet_step":
            return self.residual_step(inputs)
        if row.op.startswith(("lstm", "gru")):
            return self.recurrent(row.op, inputs)
        f = FUNCTIONS.get(row.op)
        if not f:
            return None
        arrays = [tf.cast(a, tf.bfloat16) if row.op == "product_bf16" else tf.constant(a) for a in inputs]
        if row.how == "into":
            return self.into(f, arrays)
        g = f if row.how == "eager" else self.function(f)
        return Cell(lambda: g(*arrays), arrays_of)


def side(mode, threads):
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return Side(mode).make
