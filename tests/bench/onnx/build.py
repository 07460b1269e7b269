"""build.py OUT [NAME ...]: models that are not among the light ones, with drawn weights, as draw.py writes them.

mobilenetv2: torchvision's layout (inverted residuals, batch norms for inference, Clip as relu6), 1000 classes, a 224 x 224 image.
bert_layer: one encoder layer of BERT-base: 12 heads of 64, GELU by Erf, LayerNormalization; 128 tokens of 768.
The same numbers on every machine. Needs onnx, onnxruntime and numpy; a tool, and part of no test that must pass."""

import os
import sys

import numpy
from onnx import TensorProto, helper, numpy_helper

import draw


class Graph:
    def __init__(self, name, seed):
        self.name, self.random, self.nodes, self.weights = name, numpy.random.default_rng(seed), [], []

    def weight(self, array):
        name = "w%d" % len(self.weights)
        self.weights.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    def drawn(self, scale, *shape):
        return self.weight(self.random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale))

    def add(self, operator, *inputs, **attributes):
        name = "v%d" % len(self.nodes)
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(self, shape, result, out):
        described = lambda name, sizes: helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        graph = helper.make_graph(self.nodes, self.name, [described("x", shape)], [described(result, out)], self.weights)
        return helper.make_model(graph, producer_name="build.py", ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def mobilenetv2():
    g = Graph("mobilenetv2", 1)

    def unit(x, channels, filters, taps, stride=1, groups=1, relu=True):
        pad = [taps // 2] * 4
        w = g.drawn((2 / (channels // groups * taps * taps)) ** 0.5, filters, channels // groups, taps, taps)
        x = g.add("Conv", x, w, kernel_shape=[taps, taps], strides=[stride, stride], pads=pad, group=groups)
        ones = numpy.ones(filters, numpy.float32)
        x = g.add("BatchNormalization", x, g.weight(ones), g.drawn(0.1, filters), g.drawn(0.1, filters), g.weight(ones), epsilon=1e-5)
        return g.add("Clip", x, low, high) if relu else x

    low, high = g.weight(numpy.float32(0)), g.weight(numpy.float32(6))
    x, channels = unit("x", 3, 32, 3, 2), 32
    for expand, filters, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            step, inner, y = stride if i == 0 else 1, channels * expand, x
            if expand != 1:
                y = unit(y, channels, inner, 1)
            y = unit(unit(y, inner, inner, 3, step, inner), inner, filters, 1, relu=False)
            x, channels = g.add("Add", x, y) if step == 1 and channels == filters else y, filters
    x = g.add("Flatten", g.add("GlobalAveragePool", unit(x, channels, 1280, 1)))
    x = g.add("Gemm", x, g.drawn(0.03, 1000, 1280), g.drawn(0.1, 1000), transB=1)
    return g, g.model([1, 3, 224, 224], x, [1, 1000])


def bert_layer():
    g = Graph("bert_layer", 2)
    tokens, width, heads, inner = 128, 768, 12, 3072

    def dense(x, n, m):
        return g.add("Add", g.add("MatMul", x, g.drawn(n**-0.5, n, m)), g.drawn(0.02, m))

    def normalised(x):
        return g.add("LayerNormalization", x, g.weight(numpy.ones(width, numpy.float32)), g.drawn(0.02, width), epsilon=1e-12, axis=-1)

    def by_head(x, order):
        return g.add("Transpose", g.add("Reshape", x, parts), perm=order)

    parts, whole = g.weight(numpy.array([0, 0, heads, width // heads], numpy.int64)), g.weight(numpy.array([0, 0, width], numpy.int64))
    q, k, v = (by_head(dense("x", width, width), order) for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    scores = g.add("Softmax", g.add("Div", g.add("MatMul", q, k), g.weight(numpy.float32((width // heads) ** 0.5))), axis=-1)
    mixed = g.add("Reshape", g.add("Transpose", g.add("MatMul", scores, v), perm=[0, 2, 1, 3]), whole)
    x = normalised(g.add("Add", dense(mixed, width, width), "x"))
    h = dense(x, width, inner)
    erf = g.add("Erf", g.add("Div", h, g.weight(numpy.float32(2**0.5))))
    gelu = g.add("Mul", g.add("Mul", h, g.add("Add", erf, g.weight(numpy.float32(1)))), g.weight(numpy.float32(0.5)))
    x = normalised(g.add("Add", dense(gelu, inner, width), x))
    return g, g.model([1, tokens, width], x, [1, tokens, width])


def main():
    for make in (mobilenetv2, bert_layer):
        if len(sys.argv) == 2 or make.__name__ in sys.argv[2:]:
            graph, model = make()
            draw.keep_case(model, os.path.join(sys.argv[1], make.__name__), graph.random)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
