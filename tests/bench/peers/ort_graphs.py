"""Graphs for ONNX Runtime, made with onnx.helper. Weights are constants in them; what ONNX has one op for, is that op."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from rows import ADAM_EPSILON, ADAM_RATE, BETA1, BETA2, LONG_STEPS, POWER, RECURRENT_UNITS, SQUARINGS, STEPS

TYPES = {
    "f4": TensorProto.FLOAT,
    "f8": TensorProto.DOUBLE,
    "i8": TensorProto.INT64,
    "i1": TensorProto.INT8,
    "i4": TensorProto.INT32,
}
MICROSOFT = "com.microsoft"


def type_of(a):
    return TYPES[np.asarray(a).dtype.str[1:]]


class Graph:
    """g("Add", x, y) adds a node and returns its result's name; g.constant(a) adds a constant, floats in the graph's dtype."""

    def __init__(self, dtype=np.float32, prefix="t"):
        self.nodes, self.constants, self.named, self.dtype, self.prefix = [], [], 0, dtype, prefix

    def name(self):
        self.named += 1
        return f"{self.prefix}{self.named}"

    def constant(self, a):
        a, name = np.asarray(a), self.name()
        self.constants.append(
            numpy_helper.from_array(np.array(a, self.dtype if a.dtype.kind == "f" else None, order="C"), name)
        )
        return name

    def __call__(self, op, *inputs, results=1, **attributes):
        names = [self.name() for _ in range(results)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if results == 1 else names

    def linear(self, x, w, b):
        return self("Add", self("MatMul", x, self.constant(w)), self.constant(b))


def chain(g, a):
    t = g("Sub", g("Mul", g("Add", g("Mul", "x0", g.constant(1.5)), "x1"), "x0"), "x1")
    return g("Max", g("Div", t, g("Add", g.constant(1.0), g("Mul", "x0", "x0"))), "x1")


def gelu(g, a):
    cube = g("Mul", g("Mul", g("Mul", "x0", g.constant(0.044715)), "x0"), "x0")
    t = g("Tanh", g("Mul", g("Add", "x0", cube), g.constant(0.7978845608)))
    return g("Mul", g("Mul", "x0", g.constant(0.5)), g("Add", t, g.constant(1.0)))


def rmsnorm(g, a):
    mean = g("ReduceMean", g("Mul", "x0", "x0"), g.constant(np.array([-1])))
    return g("Mul", g("Div", "x0", g("Sqrt", g("Add", mean, g.constant(1e-6)))), g.constant(a[1]))


def cross_entropy(g, a):
    rows, columns = a[0].shape
    hot = g("OneHot", "x1", g.constant(np.array([columns])), g.constant(np.array([0.0, 1.0])), axis=-1)
    loss = g("SoftmaxCrossEntropyLoss", "x0", "x1", reduction="mean")
    return [loss, g("Mul", g("Sub", g("Softmax", "x0", axis=-1), hot), g.constant(1 / rows))]


def repeated(count, first, again):
    def graph(g, a):
        y = first(g)
        for _ in range(count):
            y = again(g, y)
        return y

    return graph


def variance(axis):
    def graph(g, a):
        axes = g.constant(np.array([axis]))
        d = g("Sub", "x0", g("ReduceMean", "x0", axes))
        return g("ReduceMean", g("Mul", d, d), axes, keepdims=0)

    return graph


def loop(steps, start, body_of):
    """body_of(b) gives the next x from `x` and `i`; values of the outer graph are in reach."""

    def graph(g, a):
        b = Graph(prefix="inner")
        y, go = body_of(b), b("Identity", "go")
        value = helper.make_tensor_value_info
        inputs = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, None)]
        body = helper.make_graph(
            b.nodes, "body", inputs, [value(go, TensorProto.BOOL, []), value(y, TensorProto.FLOAT, None)], b.constants
        )
        return g("Loop", g.constant(np.array(steps)), g.constant(np.array(True)), start(g), body=body)

    return graph


def descent_step(b):
    slope = b("Add", b("Mul", b("Mul", b.constant(2.0), "x0"), "x"), "x1")  # by hand: there is no autodiff
    return b("Sub", "x", b("Mul", b.constant(0.01), slope))


def loop_step(b):
    return b("Add", b("Mul", "x", b.constant(0.5)), b("Sin", b("Cast", "i", to=TensorProto.FLOAT)))


def conv(g, x, w, b=None, **attributes):
    inputs = [x, g.constant(w.transpose(3, 2, 0, 1))] + ([] if b is None else [g.constant(b)])
    return g("Conv", *inputs, **attributes)


def mlp(g, a):
    h = g("Relu", g("Gemm", "x0", g.constant(a[2]), g.constant(a[3])))
    return g("Gemm", h, g.constant(a[4]), g.constant(a[5]))


def convnet(g, a):
    h = g("Relu", conv(g, g("Relu", conv(g, "x0", a[2], a[3])), a[4], a[5]))
    return g("Gemm", g("Flatten", g("GlobalAveragePool", h)), g.constant(a[6]), g.constant(a[7]))


def residual(g, a):
    h = g("Relu", conv(g, "x0", a[1], a[2]))
    h = g("Relu", conv(g, h, a[3], a[4], pads=[1, 1, 1, 1]))
    return g("Relu", g("Add", "x0", conv(g, h, a[5], a[6])))


def conv_transposed(g, a):
    return g("ConvTranspose", "x0", g.constant(a[1].transpose(3, 2, 0, 1)), strides=[2, 2], pads=[1, 1, 1, 1])


def resize(mode):
    return lambda g, a: g("Resize", "x0", "", g.constant(np.array([1, 1, 2, 2], np.float32)), mode=mode)


def gates(a, order):
    parts = np.split(a, len(order), -1)
    return np.concatenate([parts[i] for i in order], -1)


def lstm(g, a):
    turn = lambda x: gates(x, (0, 3, 1, 2))  # i f g o to i o f c
    bias = np.concatenate([turn(a[3]), 0 * a[3]])[None]
    y = g(
        "LSTM",
        "x0",
        g.constant(turn(a[1]).T[None]),
        g.constant(turn(a[2]).T[None]),
        g.constant(bias),
        hidden_size=RECURRENT_UNITS,
    )
    return g("Squeeze", y, g.constant(np.array([1])))


def gru(g, a):
    turn = lambda x: gates(x, (1, 0, 2))  # r z n to z r h
    bias = np.concatenate([turn(a[3]), turn(a[4])])[None]
    y = g(
        "GRU",
        "x0",
        g.constant(turn(a[1]).T[None]),
        g.constant(turn(a[2]).T[None]),
        g.constant(bias),
        hidden_size=RECURRENT_UNITS,
        linear_before_reset=1,
    )
    return g("Squeeze", y, g.constant(np.array([1])))


def attention(causal):
    """A batch of eight with a head each: the same sums as eight heads of one."""
    return lambda g, a: g("MultiHeadAttention", "x0", "x1", "x2", domain=MICROSOFT, num_heads=1, unidirectional=causal)


def bert(g, a):
    q, k, v = g("Split", g.linear("x0", a[1], a[2]), axis=-1, num_outputs=3, results=3)
    heads = g.constant(np.array([1, 128, 12, 64]))
    split = lambda t, perm: g("Transpose", g("Reshape", t, heads), perm=perm)
    score = g("Mul", g("MatMul", split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])), g.constant(0.125))
    o = g("MatMul", g("Softmax", score, axis=-1), split(v, [0, 2, 1, 3]))
    o = g("Reshape", g("Transpose", o, perm=[0, 2, 1, 3]), g.constant(np.array([1, 128, 768])))
    norm = lambda x, i: g("LayerNormalization", x, g.constant(a[i]), g.constant(a[i + 1]), axis=-1, epsilon=1e-5)
    x = norm(g("Add", "x0", g.linear(o, a[3], a[4])), 5)
    return norm(g("Add", x, g.linear(g("Gelu", g.linear(x, a[7], a[8])), a[9], a[10])), 11)


def adam(g, a):
    """p, g, m, v, t to p, m, v, t"""
    t = g("Add", "t", g.constant(1.0))
    m = g("Add", g("Mul", "m", g.constant(BETA1)), g("Mul", "g", g.constant(1 - BETA1)))
    v = g("Add", g("Mul", "v", g.constant(BETA2)), g("Mul", g("Mul", "g", g.constant(1 - BETA2)), "g"))
    correction = lambda beta: g("Sub", g.constant(1.0), g("Pow", g.constant(beta), t))
    root = g("Add", g("Sqrt", g("Div", v, correction(BETA2))), g.constant(ADAM_EPSILON))
    step = g("Mul", g("Div", g("Div", m, correction(BETA1)), root), g.constant(ADAM_RATE))
    return [g("Sub", "p", step), m, v, t]


GRAPHS = {
    "add_one": lambda g, a: g("Add", "x0", g.constant(1.0)),
    "add_four": lambda g, a: g("Add", g("Add", g("Add", "x0", "x1"), "x2"), "x3"),
    "copy": lambda g, a: g("Identity", "x0"),
    "chain": chain,
    "gelu": gelu,
    "softmax": lambda g, a: g("Softmax", "x0", axis=-1),
    "layernorm": lambda g, a: g("LayerNormalization", "x0", g.constant(a[1]), g.constant(a[2]), axis=-1, epsilon=1e-5),
    "rmsnorm": rmsnorm,
    "cross_entropy": cross_entropy,
    "sum0": lambda g, a: g("ReduceSum", "x0", g.constant(np.array([0])), keepdims=0),
    "sum1": lambda g, a: g("ReduceSum", "x0", g.constant(np.array([1])), keepdims=0),
    "var0": variance(0),
    "var1": variance(1),
    "transpose": lambda g, a: g("Transpose", "x0", perm=[1, 0]),
    "permute0213": lambda g, a: g("Transpose", "x0", perm=[0, 2, 1, 3]),
    "permute210": lambda g, a: g("Transpose", "x0", perm=[2, 1, 0]),
    "product": lambda g, a: g("MatMul", "x0", "x1"),
    "dot": lambda g, a: g("MatMul", "x0", "x1"),
    "product_i8": lambda g, a: g("MatMulInteger", "x0", "x1"),
    "squares": repeated(SQUARINGS, lambda g: "x0", lambda g, y: g("MatMul", y, y)),
    "power": repeated(POWER, lambda g: g.constant(np.eye(10)), lambda g, y: g("MatMul", "x0", y)),
    "descent": loop(STEPS, lambda g: g.constant(0.0), descent_step),
    "long_loop": loop(LONG_STEPS, lambda g: "x0", loop_step),
    "mlp": mlp,
    "convnet": convnet,
    "depthwise": lambda g, a: conv(g, "x0", a[1], group=144, pads=[1, 1, 1, 1]),
    "pointwise": lambda g, a: conv(g, "x0", a[1]),
    "conv_transposed": conv_transposed,
    "resize_linear": resize("linear"),
    "resize_nearest": resize("nearest"),
    "resnet": residual,
    "lstm": lstm,
    "gru": gru,
    "attention": attention(0),
    "attention_causal": attention(1),
    "bert": bert,
    "adam": adam,
}
CHANNELS_FIRST = ("convnet", "depthwise", "pointwise", "conv_transposed", "resize_linear", "resize_nearest", "resnet")
ONE_INPUT = ("layernorm", "rmsnorm", "mlp", *CHANNELS_FIRST, "lstm", "gru", "bert")


def graph_of(op, a):
    """The model's bytes and its inputs by name, or None."""
    if op not in GRAPHS:
        return None
    g = Graph(np.float64 if np.asarray(a[0]).dtype == np.float64 else np.float32)
    out = GRAPHS[op](g, a)
    out = out if isinstance(out, list) else [out]
    if op == "adam":
        inputs = {"p": a[0], "g": a[1], "m": 0 * a[0], "v": 0 * a[0], "t": np.float32(0)}
    else:
        inputs = {f"x{i}": x for i, x in enumerate(a[:1] if op in ONE_INPUT else a)}
    if op in CHANNELS_FIRST:
        inputs["x0"] = a[0].transpose(0, 3, 1, 2)
    result_type = TensorProto.INT32 if op == "product_i8" else TYPES[np.dtype(g.dtype).str[1:]]
    graph = helper.make_graph(
        g.nodes,
        "row",
        [helper.make_tensor_value_info(n, type_of(x), list(np.shape(x))) for n, x in inputs.items()],
        [helper.make_tensor_value_info(x, result_type, None) for x in out],
        g.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)])
    model.ir_version = 10
    return model.SerializeToString(), {n: np.asarray(x, order="C") for n, x in inputs.items()}
